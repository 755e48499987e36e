use futures::TryStreamExt;
use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_ops::types::VirtualMachinePowerState;
use vsphere_ops::{PropertyState, properties, state};

use crate::server::{Call, Reply, Server, machine, object};

properties! {
    #[derive(Debug, PartialEq)]
    struct Line for VirtualMachine {
        name: String = vm::NAME,
        power: Option<VirtualMachinePowerState> = vm::POWER_STATE.optional(),
        ip: PropertyState<String> = state(vm::GUEST_IP_ADDRESS),
    }
}

/// Pages of 100 machines, of which there are `total`.
fn pages(call: &Call, total: usize) -> Reply {
    let first = match call.operation.as_str() {
        "RetrievePropertiesEx" => 0,
        "ContinueRetrievePropertiesEx" => {
            let (_, token) = call.body.split_once("<token>").unwrap();
            token.split_once('<').unwrap().0.parse().unwrap()
        }
        _ => return Reply::Usual,
    };
    let end = (first + 100).min(total);
    let token = if end < total { format!("<token>{end}</token>") } else { String::new() };
    Reply::value(&format!("{token}{}", (first..end).map(machine).collect::<String>()))
}

#[tokio::test]
async fn pitfall_05_all_pages_of_100_are_read() {
    let server = Server::start(|call| pages(call, 250)).await;
    let client = server.client().await;
    let rows = client.all::<VirtualMachine>().select(vm::NAME).await.unwrap();
    assert_eq!(rows.len(), 250);
    assert_eq!(rows[249].1, "web-249");
    assert_eq!(
        server.operations(),
        ["CreateContainerView", "RetrievePropertiesEx", "ContinueRetrievePropertiesEx", "ContinueRetrievePropertiesEx"]
    );
}

#[tokio::test]
async fn only_the_chosen_properties_leave_the_server() {
    let server = Server::start(|call| pages(call, 3)).await;
    let client = server.client().await;
    drop(client.all::<VirtualMachine>().select(vm::POWER_STATE).await.unwrap());
    drop(client.find::<VirtualMachine>("web-*").select(vm::POWER_STATE).await.unwrap());
    let paths = |body: &str| {
        let parts = body.split("<pathSet>").skip(1);
        parts.map(|part| part.split_once('<').unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    let bodies = server.bodies("RetrievePropertiesEx");
    assert_eq!(paths(&bodies[0]), ["runtime.powerState"]);
    // A glob is matched here: it needs the name.
    assert_eq!(paths(&bodies[1]), ["name", "runtime.powerState"]);
}

#[tokio::test]
async fn pitfall_35_a_limit_is_pushed_to_the_server_and_the_rest_is_cancelled() {
    let server = Server::start(|call| pages(call, 1000)).await;
    let client = server.client().await;
    let rows = client.all::<VirtualMachine>().select(vm::NAME).limit(7).await.unwrap();
    assert_eq!(rows.len(), 7);
    assert!(server.bodies("RetrievePropertiesEx")[0].contains("<maxObjects>7</maxObjects>"));
    assert!(server.saw("CancelRetrievePropertiesEx").await);
    assert!(server.bodies("ContinueRetrievePropertiesEx").is_empty());
}

#[tokio::test]
async fn a_stream_that_is_dropped_cancels_its_rest_on_the_server() {
    let server = Server::start(|call| pages(call, 1000)).await;
    let client = server.client().await;
    let mut stream = client.all::<VirtualMachine>().select(vm::NAME).stream(100);
    assert_eq!(stream.try_next().await.unwrap().unwrap().len(), 100);
    assert_eq!(stream.try_next().await.unwrap().unwrap().len(), 100);
    drop(stream);
    assert!(server.saw("CancelRetrievePropertiesEx").await);
    assert_eq!(server.bodies("CancelRetrievePropertiesEx").len(), 1);
    assert_eq!(server.bodies("ContinueRetrievePropertiesEx").len(), 1);
}

#[tokio::test]
async fn pitfall_06_a_user_who_may_not_continue_gets_the_rest_by_reference() {
    let server = Server::start(|call| match call.operation.as_str() {
        "ContinueRetrievePropertiesEx" => Reply::Fault("NoPermission", String::new()),
        "RetrievePropertiesEx" if call.body.contains("<pathSet>view</pathSet>") => {
            let objects: String = (0..250)
                .map(|n| format!("<ManagedObjectReference type=\"VirtualMachine\">vm-{n}</ManagedObjectReference>"))
                .collect();
            Reply::value(&object(
                "ContainerView",
                "session[1]view-1",
                &[("view", "ArrayOfManagedObjectReference", &objects)],
            ))
        }
        "RetrievePropertiesEx" if call.body.contains(">vm-") => {
            let asked = (0..250).filter(|n| call.body.contains(&format!(">vm-{n}<")));
            Reply::value(&asked.map(machine).collect::<String>())
        }
        _ => pages(call, 250),
    })
    .await;
    let client = server.client().await;
    let rows = client.all::<VirtualMachine>().select(vm::NAME).await.unwrap();
    let mut names: Vec<&str> = rows.iter().map(|(_, name)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((rows.len(), names.len()), (250, 250));
    // No answer had to be continued after the refusal.
    assert_eq!(server.bodies("ContinueRetrievePropertiesEx").len(), 1);
    assert_eq!(server.bodies("RetrievePropertiesEx").len(), 1 + 1 + 2);
}

#[tokio::test]
async fn pitfall_06_where_there_is_no_other_way_the_error_says_what_mends_it() {
    let server = Server::start(|call| match call.operation.as_str() {
        "ContinueRetrievePropertiesEx" => Reply::Fault("NoPermission", String::new()),
        _ => pages(call, 250),
    })
    .await;
    let client = server.client().await;
    let error = client.find::<VirtualMachine>("/**/web-*").select(vm::NAME).await.unwrap_err();
    assert_eq!(error.code(), "permission");
    assert!(error.to_string().contains("root folder"), "{error}");
}

#[tokio::test]
async fn pitfall_11_an_object_that_vanishes_during_a_listing_is_skipped() {
    let server = Server::start(|call| match call.operation.as_str() {
        // The second page can't be given, because a machine on it is gone; the second read goes through.
        "ContinueRetrievePropertiesEx" if call.before == 0 => {
            Reply::Fault("ManagedObjectNotFound", "<obj type=\"VirtualMachine\">vm-150</obj>".to_owned())
        }
        _ => pages(call, 250),
    })
    .await;
    let client = server.client().await;
    let mut names = Vec::new();
    let mut stream = client.all::<VirtualMachine>().select(vm::NAME).stream(100);
    while let Some(page) = stream.try_next().await.unwrap() {
        names.extend(page.into_iter().map(|(_, name)| name));
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!((count, names.len()), (250, 250), "each machine once");
}

#[tokio::test]
async fn pitfall_11_a_server_that_always_faults_is_not_asked_for_ever_and_finds_nothing_missing() {
    let server = Server::start(|call| match call.operation.as_str() {
        "RetrievePropertiesEx" => {
            Reply::Fault("ManagedObjectNotFound", "<obj type=\"VirtualMachine\">vm-150</obj>".to_owned())
        }
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let error = client.all::<VirtualMachine>().select(vm::NAME).await.unwrap_err();
    assert_eq!(error.code(), "protocol", "{error}");
    assert_eq!(server.bodies("RetrievePropertiesEx").len(), 4);
    // What the list of all names could not be read for is not "there is no such machine".
    let error = client.get::<VirtualMachine>("web-1").await.unwrap_err();
    assert_eq!((error.code(), error.is_not_found()), ("protocol", false), "{error}");
}

/// A server that loses the session in each read: the answer in the new one leaves out all that the view of the old one
/// held.
async fn forgetful() -> Server {
    Server::start(|call| match call.operation.as_str() {
        "RetrievePropertiesEx" if call.before % 3 < 2 => Reply::Fault("NotAuthenticated", String::new()),
        // A session that is lost can't be ended.
        "Logout" => Reply::Fault("NotAuthenticated", String::new()),
        _ => Reply::Usual,
    })
    .await
}

#[tokio::test]
async fn a_read_that_loses_its_session_each_time_is_an_error_and_never_an_empty_answer() {
    let server = forgetful().await;
    let client = server.client().await;
    let error = client.all::<VirtualMachine>().select(vm::NAME).await.unwrap_err();
    assert_eq!(error.code(), "session", "{error}");
    assert!(error.to_string().contains("lost the session 4 times"), "{error}");
    let error = client.get::<VirtualMachine>("web-1").await.unwrap_err();
    assert_eq!((error.code(), error.is_not_found()), ("session", false), "{error}");
}

#[tokio::test]
async fn pages_whose_token_repeats_or_that_bring_nothing_new_end_in_an_error() {
    let page = |token: &str, range: std::ops::Range<usize>| {
        Reply::value(&format!("<token>{token}</token>{}", range.map(machine).collect::<String>()))
    };
    let is_page = |operation: &str| matches!(operation, "RetrievePropertiesEx" | "ContinueRetrievePropertiesEx");
    let count = |call: &Call| if call.operation.starts_with("Continue") { call.before + 1 } else { 0 };

    let repeats = Server::start(move |call| match call.operation.as_str() {
        operation if is_page(operation) => page("t", count(call) * 100..count(call) * 100 + 100),
        _ => Reply::Usual,
    })
    .await;
    let error = repeats.client().await.all::<VirtualMachine>().select(vm::NAME).await.unwrap_err();
    assert_eq!(error.code(), "protocol", "{error}");
    assert!(error.to_string().contains("token of a page a second time"), "{error}");
    assert_eq!(repeats.bodies("ContinueRetrievePropertiesEx").len(), 1);
    assert!(repeats.saw("CancelRetrievePropertiesEx").await, "the rest is not left on the server");

    let circles = Server::start(move |call| match call.operation.as_str() {
        operation if is_page(operation) => page(&count(call).to_string(), 0..100),
        _ => Reply::Usual,
    })
    .await;
    let error = circles.client().await.all::<VirtualMachine>().select(vm::NAME).await.unwrap_err();
    assert_eq!(error.code(), "protocol", "{error}");
    assert!(circles.bodies("ContinueRetrievePropertiesEx").len() < 10);
}

#[tokio::test]
async fn pages_that_never_end_are_given_up_at_a_bound() {
    let server = Server::start(|call| match call.operation.as_str() {
        "RetrievePropertiesEx" | "ContinueRetrievePropertiesEx" => {
            let at = if call.operation.starts_with("Continue") { call.before + 1 } else { 0 };
            let objects = (at * 20_000..(at + 1) * 20_000).map(|n| object("VirtualMachine", &format!("vm-{n}"), &[]));
            Reply::value(&format!("<token>{at}</token>{}", objects.collect::<String>()))
        }
        _ => Reply::Usual,
    })
    .await;
    let error = server.client().await.all::<VirtualMachine>().select(()).await.unwrap_err();
    assert_eq!(error.code(), "protocol", "{error}");
    assert!(error.to_string().contains("more than 250000 objects"), "{error}");
}

#[tokio::test]
async fn pitfall_26_limited_users_get_what_they_may_see_and_are_told_what_was_missing() {
    let missing = |path: &str| {
        format!(
            "<missingSet><path>{path}</path><fault><fault xsi:type=\"NoPermission\">\
             <object type=\"VirtualMachine\">vm-1</object><privilegeId>System.Read</privilegeId></fault>\
             <localizedMessage/></fault></missingSet></objects>"
        )
    };
    let server = Server::start(move |call| match call.operation.as_str() {
        "RetrievePropertiesEx" => {
            let open = |object: String| object.trim_end_matches("</objects>").to_owned();
            Reply::value(&format!(
                "{}{}{}",
                object(
                    "VirtualMachine",
                    "vm-0",
                    &[("name", "xsd:string", "a"), ("runtime.powerState", "VirtualMachinePowerState", "poweredOn")]
                ),
                open(machine(1)) + &missing("runtime").replace("</objects>", "") + &missing("guest.ipAddress"),
                open(object("VirtualMachine", "vm-2", &[])) + &missing("name"),
            ))
        }
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let rows = client.all::<VirtualMachine>().select_as::<Line>().await.unwrap();
    assert_eq!(rows.len(), 2);
    let lines: Vec<&Line> = rows.iter().map(|(_, line)| line).collect();
    let first = Line { name: "a".into(), power: Some(VirtualMachinePowerState::PoweredOn), ip: PropertyState::Unset };
    assert_eq!(*lines[0], first);
    assert_eq!((lines[1].name.as_str(), &lines[1].power), ("web-1", &None));
    assert!(matches!(&lines[1].ip, PropertyState::Unreadable(fault) if fault.fault.type_name() == "NoPermission"));
    let (object, gap) = &rows.gaps[0];
    assert_eq!((object.value.as_str(), gap.path.as_str()), ("vm-1", "runtime.powerState"));
    let (object, missing) = &rows.unreadable[0];
    assert_eq!(
        (object.value.as_str(), missing.to_string().as_str()),
        ("vm-2", "name could not be read: NoPermission, the right System.Read is missing")
    );
}

#[test]
fn nested_properties_are_checked_when_they_are_made() {
    assert_eq!(vm::CONFIG.nested::<i32>("config.hardware.numCPU").unwrap().path(), "config.hardware.numCPU");
    assert!(vm::CONFIG.nested::<Vec<String>>("config.hardware.device").is_err());
    assert!(vm::RUNTIME.nested::<vsphere_ops::types::ManagedObjectReference>("runtime.host").is_ok());
    let text = |result: Result<_, vsphere_ops::PathError>| {
        let _: &Result<vsphere_ops::Property<VirtualMachine, Option<String>>, _> = &result;
        result.unwrap_err().to_string()
    };
    assert_eq!(
        text(vm::CONFIG.nested("config.hardware.numCpu")),
        "there is no property config.hardware.numCpu: VirtualHardware has no field numCpu"
    );
    assert_eq!(text(vm::CONFIG.nested("config.hardware.numCPU")), "config.hardware.numCPU is int, not string");
    assert_eq!(text(vm::CONFIG.nested("runtime.host")), "runtime.host is not inside of config");
    assert_eq!(
        text(vm::CONFIG.nested("config.hardware.device.key")),
        "there is no property config.hardware.device.key: device is a list: name one of its elements, as in device[key]"
    );
}

#[test]
fn paths_lead_through_the_objects_of_the_model() {
    use vsphere_ops::types::*;
    use vsphere_soap::object::{Value, path::get_path};

    let mut flat = VirtualDiskFlatVer2BackingInfo { thin_provisioned: Some(true), ..Default::default() };
    flat.file_name = "[nvme] web/web.vmdk".to_owned();
    let mut disk = VirtualDisk { capacity_in_kb: 1024, ..Default::default() };
    disk.key = 2000;
    disk.backing = Some(Poly::new(flat));
    let mut config = VirtualMachineConfigInfo { name: "web".into(), ..Default::default() };
    config.hardware.num_cpu = 4;
    config.hardware.device.push(Poly::new(VirtualDevice { key: 100, ..Default::default() }));
    config.hardware.device.push(Poly::new(disk));
    let option = OptionValue { key: "guestinfo.ip".into(), value: Some("10.0.0.1".into()) };
    config.extra_config.push(Poly::new(option));

    let text = |path: &str| match get_path(&config, path) {
        Ok(Value::String(text)) => text.to_owned(),
        other => panic!("{path}: {other:?}"),
    };
    assert!(matches!(get_path(&config, "hardware.numCPU"), Ok(Value::Int(4))));
    assert_eq!(text("hardware.device[2000].backing.fileName"), "[nvme] web/web.vmdk");
    assert!(matches!(get_path(&config, "hardware.device[2000].capacityInKB"), Ok(Value::Long(1024))));
    assert_eq!(text("extraConfig[\"guestinfo.ip\"].value"), "10.0.0.1");
    // What is not there is unset; what can't be there is an error.
    for unset in ["hardware.device[2001].backing", "hardware.device[100].backing.fileName", "bootOptions.bootDelay"] {
        assert!(matches!(get_path(&config, unset), Ok(Value::Unset)), "{unset}");
    }
    let error = |path: &str| get_path(&config, path).unwrap_err().to_string();
    assert_eq!(error("hardware.cpus"), "VirtualHardware has no field cpus");
    assert_eq!(error("name.length"), "length is inside of a value that has no fields");
    assert_eq!(error("name[1]"), "name is not a list and has no elements");
}
