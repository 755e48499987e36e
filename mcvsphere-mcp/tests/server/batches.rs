//! Several VMs in one call: one question that says of each what becomes of it, and one answer.

use serde_json::{Value, json};
use vsphere_ops::{
    Mo,
    managed::{VirtualMachine, virtual_machine as vm},
    nic::NewNic,
};
use vsphere_sim::Model;

use crate::{
    connect,
    lab::{Lab, is_on},
    monitoring::{bad, good},
    power::{assistant, without_tools},
};

fn again(arguments: &Value, plan: &Value) -> Value {
    let mut confirmed = arguments.clone();
    confirmed["confirm"] = plan["plan_token"].clone();
    confirmed
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// What a field is in each report.
fn each<'a>(answer: &'a Value, key: &str) -> Vec<&'a Value> {
    answer["results"].as_array().unwrap().iter().map(|result| &result[key]).collect()
}

#[tokio::test]
async fn several_vms_are_deleted_after_one_question_that_names_each() {
    let lab = Lab::new().await;
    lab.machine("old-1").await;
    lab.running("old-2").await;
    lab.machine("kept").await;
    let client = connect(lab.server(&[])).await;
    let arguments = json!({ "vms": ["old-1", "old-2", "gone", "old-1"] });
    let plan = good(&client, "delete_vm", arguments.clone()).await;
    assert_eq!(plan["question"], "Delete, with all their files, 2 virtual machines?");
    assert_eq!(each(&json!({ "results": plan["objects"] }), "name"), ["old-1", "old-2"]);
    let notes = texts(&plan["notes"]);
    assert!(notes.contains(&r#""old-2": It runs, and will be powered off like pulling the plug."#), "{notes:?}");
    assert!(notes.iter().any(|note| note.starts_with(r#"Will fail: "gone": "#)), "{notes:?}");

    // Bound to all: that one of them is started meanwhile voids the answer.
    let first: Mo<VirtualMachine> = lab.client.get("old-1").await.unwrap();
    first.power_on().await.unwrap().await.unwrap();
    let plan = good(&client, "delete_vm", again(&arguments, &plan)).await;
    assert_eq!(plan["void"]["code"], "changed", "{plan:#}");
    let done = good(&client, "delete_vm", again(&arguments, &plan)).await;
    assert_eq!(each(&done, "vm"), ["old-1", "old-2", "gone"]);
    assert_eq!((&done["failed"], &done["results"][2]["error"]["code"]), (&json!(1), &json!("not_found")));
    let left = lab.client.all::<VirtualMachine>().select(vm::NAME).await.unwrap();
    assert_eq!(left.into_iter().map(|(_, name)| name).collect::<Vec<_>>(), ["kept"]);
}

#[tokio::test]
async fn more_vms_than_are_allowed_are_refused_before_anything_is_looked_at() {
    let lab = Lab::of(Model::demo()).await;
    let client = connect(lab.server(&[("MCP_CONFIRM", "never")])).await;
    let vms: Vec<String> = (1..=21).map(|number| format!("web-{number:02}")).collect();
    for (tool, more) in [("delete_vm", json!({})), ("remove_nic", json!({ "nic": "Network adapter 1" }))] {
        let mut arguments = json!({ "vms": vms });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (code, message) = bad(&client, tool, arguments).await;
        assert_eq!(code, "invalid_argument");
        assert!(message.contains("21 objects") && message.contains("MCP_MAX_OBJECTS"), "{message}");
    }
}

#[tokio::test]
async fn a_reconfiguration_says_of_each_what_changes_what_is_so_and_what_fails() {
    let lab = Lab::new().await;
    for name in ["app-1", "app-2"] {
        lab.machine(name).await;
    }
    lab.running("app-3").await;
    let client = connect(lab.server(&[("MCP_CONFIRM", "always")])).await;
    let arguments = json!({ "vms": ["app-1", "app-2", "app-3"], "cpu": 2 });
    let one = good(&client, "reconfigure_vm", json!({ "vm": "app-2", "cpu": 2 })).await;
    good(&client, "reconfigure_vm", again(&json!({ "vm": "app-2", "cpu": 2 }), &one)).await;

    let plan = good(&client, "reconfigure_vm", arguments.clone()).await;
    assert_eq!(plan["question"], "Reconfigure 3 virtual machines?");
    assert_eq!(plan["objects"][0]["changes"][0], json!({ "setting": "cpu", "before": 1, "after": 2 }));
    assert_eq!(
        texts(&plan["notes"]),
        [r#""app-2": It is so already."#, r#""app-3": Will fail: it runs, and has no CPU hot-add."#]
    );
    let done = good(&client, "reconfigure_vm", again(&arguments, &plan)).await;
    assert_eq!(each(&done, "changed"), [&json!(true), &json!(false), &Value::Null]);
    assert_eq!(done["failed"], 1, "as it was foretold: {done:#}");
    for (name, cpu) in [("app-1", 2), ("app-2", 2), ("app-3", 1)] {
        let machine: Mo<VirtualMachine> = lab.client.get(name).await.unwrap();
        assert_eq!(machine.read(vm::NUM_CPU).await.unwrap(), Some(cpu), "{name}");
    }
}

#[tokio::test]
async fn adapters_of_several_vms_are_added_and_cut_off_at_once() {
    let lab = Lab::new().await;
    let client = assistant(&lab).await;
    for name in ["app-1", "app-2"] {
        lab.running(name).await;
    }
    let vms = json!(["app-1", "app-2"]);
    let added = good(&client, "add_nic", json!({ "vms": vms, "network": "VM Network" })).await;
    assert_eq!(added["failed"], 0, "{added:#}");
    let cut = good(&client, "connect_nic", json!({ "vms": vms, "nic": "Network adapter 1", "connected": false })).await;
    assert_eq!(each(&cut, "vm"), ["app-1", "app-2"]);
    for name in ["app-1", "app-2"] {
        let machine: Mo<VirtualMachine> = lab.client.get(name).await.unwrap();
        assert!(!machine.nic("Network adapter 1").await.unwrap().info().nic.connected.unwrap(), "{name}");
    }
    let machine: Mo<VirtualMachine> = lab.client.get("app-2").await.unwrap();
    machine.add_nic(&NewNic::of(&machine.network("VM Network").await.unwrap())).await.unwrap();
    let removed = good(&client, "remove_nic", json!({ "vms": vms, "nic": "Network adapter 2" })).await;
    assert_eq!((&removed["failed"], &removed["results"][0]["error"]["code"]), (&json!(1), &json!("not_found")));
}

#[tokio::test]
async fn a_question_about_power_says_what_is_so_already_and_what_will_fail() {
    let lab = Lab::new().await;
    let running = lab.running("web-1").await;
    without_tools(&lab, "web-2").await;
    lab.machine("web-3").await;
    let client = connect(lab.server(&[])).await;
    let arguments = json!({ "vms": ["web-1", "web-2", "web-3", "web-4"] });
    let plan = good(&client, "shutdown_guest", arguments.clone()).await;
    assert_eq!(plan["question"], r#"Shut down the guest OS of "web-1"?"#);
    let [already, fails] = texts(&plan["notes"])[..] else { panic!("{plan:#}") };
    assert_eq!(already, r#"Already so: "web-3"."#);
    assert!(fails.starts_with(r#"Will fail: "web-2": VMware Tools do not run in it; "web-4": "#), "{fails}");
    let done = good(&client, "shutdown_guest", again(&arguments, &plan)).await;
    assert_eq!((&done["results"][0]["changed"], &done["results"][2]["changed"]), (&json!(true), &json!(false)));
    assert_eq!(done["failed"], 2, "as it was foretold: {done:#}");
    assert!(!is_on(&running).await);
}

#[tokio::test]
async fn several_vms_are_made_by_one_call() {
    let lab = Lab::new().await;
    lab.machine("golden").await;
    let client = assistant(&lab).await;
    let made = good(&client, "create_vm", json!({ "name": "node", "count": 3, "disk_gb": 1 })).await;
    assert_eq!(each(&made, "name"), ["node-01", "node-02", "node-03"], "{made:#}");
    // One name is taken: the other is made all the same.
    let names = json!(["blue", "golden"]);
    let made = good(&client, "clone_vm", json!({ "template": "golden", "names": names })).await;
    assert_eq!((each(&made, "vm"), &made["failed"]), (vec![&json!("blue"), &json!("golden")], &json!(1)), "{made:#}");
    assert!(made["results"][1]["error"]["message"].as_str().unwrap().contains("golden"), "{made:#}");
    for (arguments, says) in [
        (json!({ "template": "golden" }), "`new_name` or `names` is needed"),
        (json!({ "template": "golden", "new_name": "a", "names": ["b"] }), "are both given"),
        (json!({ "template": "golden", "names": ["b"], "count": 2 }), "`count` goes with `new_name`"),
        (json!({ "template": "golden", "names": ["b", "b"] }), r#""b" is given twice"#),
        (json!({ "template": "golden", "new_name": "a", "count": 51 }), "from 1 to 50"),
        (json!({ "template": "golden", "names": [] }), "`new_name` or `names` is needed"),
    ] {
        let (code, message) = bad(&client, "clone_vm", arguments).await;
        assert_eq!(code, "invalid_argument");
        assert!(message.contains(says), "{message}");
    }
    let all = lab.client.all::<VirtualMachine>().select(vm::NAME).await.unwrap();
    let mut all: Vec<String> = all.into_iter().map(|(_, name)| name).collect();
    all.sort();
    assert_eq!(all, ["blue", "golden", "node-01", "node-02", "node-03"]);
}
