//! What reports and pages say of what they do not know.

use vsphere_ops::ListQuery;
use vsphere_ops::managed::VirtualMachine;
use vsphere_ops::snapshot::{self, SnapshotQuery};
use vsphere_ops::vm::{self, VmQuery};

use crate::server::{Reply, Server, object};

/// What the server refuses to give of an object.
fn refused(path: &str, privilege: &str) -> String {
    format!(
        "<missingSet><path>{path}</path><fault><fault xsi:type=\"NoPermission\">\
         <object type=\"VirtualMachine\">vm-1</object><privilegeId>{privilege}</privilegeId></fault>\
         <localizedMessage/></fault></missingSet>"
    )
}

fn with(object: String, more: &str) -> String {
    object.replace("</objects>", &format!("{more}</objects>"))
}

#[tokio::test]
async fn a_list_says_what_could_not_be_read_of_how_many_objects_and_which_right_is_missing() {
    let server = Server::start(|call| {
        let machines = ["vm-1", "vm-2", "vm-3"].map(|id| object("VirtualMachine", id, &[("name", "xsd:string", id)]));
        let [first, second, third] = machines;
        let hidden = refused("guest.ipAddress", "System.Read");
        let objects =
            with(first, &hidden) + &with(second, &hidden) + &with(third, &refused("runtime.host", "System.View"));
        match call.operation.as_str() {
            "RetrieveProperties" => {
                Reply::Good(objects.replace("<objects>", "<returnval>").replace("</objects>", "</returnval>"))
            }
            "RetrievePropertiesEx" => Reply::value(&objects),
            _ => Reply::Usual,
        }
    })
    .await;
    let client = server.client().await;
    let page = vm::list(&client, &VmQuery { page: ListQuery::first(50), ..VmQuery::default() }).await.unwrap();
    assert_eq!(page.items.len(), 3);
    let hidden: Vec<_> =
        page.gaps.unreadable.iter().map(|it| (&*it.property, it.privilege.as_deref(), it.objects)).collect();
    assert_eq!(hidden, [("guest.ipAddress", Some("System.Read"), 2), ("runtime.host", Some("System.View"), 1)]);
    assert_eq!(page.gaps.unreadable[0].reason, "NoPermission");
    let shown = serde_json::to_value(&page).unwrap();
    assert_eq!(shown["unreadable"][0]["privilege"], "System.Read");
    assert_eq!(shown.get("missing"), None, "nothing else is missing");
}

/// A machine of which some properties are refused.
async fn one(more: String) -> Server {
    Server::start(move |call| match call.operation.as_str() {
        "RetrievePropertiesEx" => Reply::value(&with(
            object(
                "VirtualMachine",
                "vm-1",
                &[
                    ("name", "xsd:string", "web"),
                    ("runtime.powerState", "VirtualMachinePowerState", "poweredOn"),
                    (
                        "runtime",
                        "VirtualMachineRuntimeInfo",
                        "<connectionState>connected</connectionState><powerState>poweredOff</powerState>",
                    ),
                    (
                        "summary.quickStats",
                        "VirtualMachineQuickStats",
                        "<overallCpuUsage>120</overallCpuUsage><guestHeartbeatStatus>green</guestHeartbeatStatus>",
                    ),
                ],
            ),
            &more,
        )),
        _ => Reply::Usual,
    })
    .await
}

#[tokio::test]
async fn a_preview_of_a_deletion_that_could_not_look_for_linked_clones_says_so() {
    for property in ["config", "snapshot", "datastore"] {
        let server = one(refused(property, "System.Read")).await;
        let lost =
            server.client().await.get::<VirtualMachine>("VirtualMachine:vm-1").await.unwrap().deletion().await.unwrap();
        assert!(lost.linked_clones.is_empty());
        let part = lost.gaps.missing.iter().find(|part| part.what == "the linked clones").unwrap();
        assert!(part.why.contains(property), "{part:?}");
        assert_eq!(lost.gaps.unreadable[0].privilege.as_deref(), Some("System.Read"), "{property}");
    }
}

#[tokio::test]
async fn details_say_what_could_not_be_read() {
    let server = one(refused("config", "System.Read") + &refused("guest", "System.View")).await;
    let info = server.client().await.get::<VirtualMachine>("VirtualMachine:vm-1").await.unwrap().info().await.unwrap();
    assert_eq!((info.cpu, info.ip.as_deref()), (None, None));
    let hidden: Vec<&str> = info.gaps.unreadable.iter().map(|hidden| hidden.property.as_str()).collect();
    assert_eq!(hidden, ["config", "guest"]);
}

#[tokio::test]
async fn statistics_without_counters_are_told_with_what_is_missing() {
    // This server has no performance manager.
    let server = one(String::new()).await;
    let stats =
        server.client().await.get::<VirtualMachine>("VirtualMachine:vm-1").await.unwrap().stats().await.unwrap();
    assert_eq!((stats.cpu_usage_mhz, stats.realtime.is_none()), (Some(120), true));
    assert_eq!(stats.gaps.missing[0].what, "the real-time counters");
    assert!(!stats.gaps.missing[0].why.is_empty());
}

#[tokio::test]
async fn snapshots_that_could_not_be_read_or_measured_are_gaps_and_the_others_are_listed() {
    let server = Server::start(|call| {
        let tree = "<rootSnapshotList><snapshot type=\"VirtualMachineSnapshot\">snapshot-7</snapshot>\
                    <vm type=\"VirtualMachine\">vm-1</vm><name>old</name><description/><id>1</id>\
                    <createTime>2020-01-01T00:00:00Z</createTime><state>poweredOff</state><quiesced>false</quiesced>\
                    </rootSnapshotList>";
        let name = |id| ("name", "xsd:string", id);
        let snapshot = ("snapshot", "VirtualMachineSnapshotInfo", tree);
        let known = object("VirtualMachine", "vm-1", &[name("vm-1"), snapshot]);
        let hidden = with(object("VirtualMachine", "vm-2", &[name("vm-2")]), &refused("snapshot", "System.Read"));
        match call.operation.as_str() {
            "CurrentTime" => Reply::Good("<returnval>2020-01-11T12:00:00Z</returnval>".to_owned()),
            "RetrieveProperties" => {
                Reply::Good((known + &hidden).replace("<objects>", "<returnval>").replace("</objects>", "</returnval>"))
            }
            "RetrievePropertiesEx" => {
                Reply::value(&with(object("VirtualMachine", "vm-1", &[]), &refused("layoutEx", "System.Read")))
            }
            _ => Reply::Usual,
        }
    })
    .await;
    let query = SnapshotQuery { sizes: true, ..Default::default() };
    let list = snapshot::list(&server.client().await, &query).await.unwrap();
    let rows: Vec<_> = list.page.items.iter().map(|row| (&*row.vm, &*row.snapshot.id, row.age_days)).collect();
    assert_eq!(rows, [("vm-1", "snapshot-7", 10.5)]);
    assert_eq!((list.page.items[0].snapshot.size_bytes, list.totals.page_bytes), (None, Some(0)));
    let hidden: Vec<_> = list.page.gaps.unreadable.iter().map(|it| (&*it.property, it.objects)).collect();
    assert_eq!(hidden, [("snapshot", 1), ("layoutEx", 1)]);
}
