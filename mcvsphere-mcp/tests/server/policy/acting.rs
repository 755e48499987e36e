//! What is done, and what is not, by name.

use mcvsphere_mcp::{Caller, Permission, Server};
use serde_json::{Value, json};
use vsphere_ops::managed::{Folder, VirtualMachine};

use super::{PLACES, Site, World, call, file, good, refused};
use crate::settings_with;

/// Operators of the web servers.
fn web() -> String {
    let places = json!(PLACES);
    format!(
        "policy:
  web:
    effect: allow
    groups: [web]
    objects: [\"/fra1/vm/prod/web/**\"]
  places:
    effect: allow
    groups: [web]
    objects: {places}
  readers:
    effect: allow
    groups: [readers]
    tools: [list_*, get_*]
  careful:
    effect: deny
    groups: [readers, web]
    tools: [delete_vm, reset_*]
"
    )
}

/// What a tool that acts is called with, about a VM.
fn acts(vm: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("power_off_vm", json!({ "vm": vm })),
        ("power_on_vm", json!({ "vm": vm })),
        ("suspend_vm", json!({ "vm": vm })),
        ("reboot_guest", json!({ "vm": vm })),
        ("shutdown_guest", json!({ "vm": vm })),
        ("standby_guest", json!({ "vm": vm })),
        ("create_snapshot", json!({ "vm": vm, "snapshot_name": "x" })),
        ("delete_all_snapshots", json!({ "vm": vm })),
        ("revert_to_current_snapshot", json!({ "vm": vm })),
        ("rename_vm", json!({ "vm": vm, "new_name": "x" })),
        ("reconfigure_vm", json!({ "vm": vm, "annotation": "x" })),
        ("clone_vm", json!({ "template": vm, "new_name": "x" })),
        ("convert_to_template", json!({ "vm": vm })),
        ("migrate_vm", json!({ "vm": vm, "host": "esx-02.corp.example" })),
        ("storage_vmotion", json!({ "vm": vm, "target_datastore": "nvme-02" })),
        ("move_vm_to_folder", json!({ "vm": vm, "folder": "/fra1/vm/prod/web" })),
        ("add_disk", json!({ "vm": vm, "size_gb": 1 })),
        ("remove_disk", json!({ "vm": vm, "disk": "Hard disk 1" })),
        ("resize_disk", json!({ "vm": vm, "disk": "Hard disk 1", "new_size_gb": 5000 })),
        ("add_nic", json!({ "vm": vm, "network": "prod-web" })),
        ("attach_iso", json!({ "vm": vm, "iso_path": "tools/memtest86plus-7.20.iso", "datastore": "iso-library" })),
        ("apply_tag_to_vm", json!({ "vm": vm, "tag": "Compliance:gdpr" })),
        ("set_custom_attribute", json!({ "vm": vm, "name": "x", "value": "y" })),
        ("vm_screenshot", json!({ "vm": vm })),
        ("send_keys", json!({ "vm": vm, "text": "x" })),
        ("export_ovf", json!({ "vm": vm, "target": "[backup-nfs] x" })),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_done_to_what_is_denied() {
    let site = Site::new(&web()).await;
    let client = site.member("web").await;
    for what in ["pg-01", "dc-01"] {
        let id = site.world.vm(what).id.clone();
        for what in [what.to_owned(), id] {
            for (tool, arguments) in acts(&what) {
                let (content, failed) = call(&client, tool, arguments).await;
                let text = content.to_string();
                assert!(text.contains("not_found"), "{tool} {what} {failed}: {content}");
            }
        }
    }
    assert_eq!(World::read(&site.lab.client).await, site.world, "nothing has changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_permitted_is_done_as_always() {
    let site = Site::new(&web()).await;
    let client = site.member("web").await;
    for (tool, arguments) in [
        ("power_off_vm", json!({ "vm": "web-01" })),
        ("power_on_vm", json!({ "vm": "web-01" })),
        ("create_snapshot", json!({ "vm": "web-01", "snapshot_name": "x" })),
        ("delete_all_snapshots", json!({ "vm": "web-01" })),
        ("rename_vm", json!({ "vm": "web-01", "new_name": "web-11" })),
        ("reconfigure_vm", json!({ "vm": "web-11", "annotation": "x" })),
        ("migrate_vm", json!({ "vm": "web-11", "host": "esx-02.corp.example" })),
        ("storage_vmotion", json!({ "vm": "web-11", "target_datastore": "nvme-02" })),
        ("add_disk", json!({ "vm": "web-11", "size_gb": 1 })),
        ("remove_disk", json!({ "vm": "web-11", "disk": "Hard disk 2", "delete_file": true })),
        ("add_nic", json!({ "vm": "web-11", "network": "prod-web" })),
        ("apply_tag_to_vm", json!({ "vm": "web-11", "tag": "Compliance:gdpr" })),
        ("clone_vm", json!({ "template": "web-11", "new_name": "web-12", "folder": "/fra1/vm/prod/web" })),
        ("create_folder", json!({ "parent": "/fra1/vm/prod/web", "name": "new" })),
        ("move_vm_to_folder", json!({ "vm": "web-12", "folder": "/fra1/vm/prod/web/new" })),
        ("vm_screenshot", json!({ "vm": "web-11" })),
        ("wait_task", json!({ "task": "none" })),
    ] {
        let (content, failed) = call(&client, tool, arguments.clone()).await;
        assert_eq!(failed, tool == "wait_task", "{tool} {arguments}: {content}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moves_clones_and_attachments_need_both_ends() {
    let site = Site::new(&web()).await;
    let client = site.member("web").await;
    for (tool, arguments, code) in [
        ("move_vm_to_folder", json!({ "vm": "web-01", "folder": "/fra1/vm/infra" }), "not_found"),
        ("move_vm_to_folder", json!({ "vm": "web-01", "folder": "/fra1/vm/prod" }), "permission"),
        ("clone_vm", json!({ "template": "web-01", "new_name": "x", "folder": "/fra1/vm/infra" }), "not_found"),
        ("clone_vm", json!({ "template": "web-01", "new_name": "x", "folder": "/fra1/vm/prod" }), "permission"),
        ("create_folder", json!({ "parent": "/fra1/vm/prod", "name": "x" }), "permission"),
        ("delete_folder", json!({ "folder": "/fra1/vm/prod", "vms": "destroy" }), "invalid_state"),
        ("enter_maintenance_mode", json!({ "host": "esx-01.corp.example" }), "permission"),
        ("reboot_host", json!({ "host": "esx-01.corp.example", "force": true }), "permission"),
        ("delete_datastore_file", json!({ "datastore": "nvme-01", "path": "pg-01/pg-01.vmx" }), "permission"),
        ("delete_vm", json!({ "vm": "web-01" }), "permission"),
        ("reset_vm", json!({ "vm": "web-01" }), "permission"),
    ] {
        refused_any(&client, tool, arguments, code).await;
    }
    assert_eq!(World::read(&site.lab.client).await, site.world, "nothing has changed");
}

/// The refusal may say more than one code allows where the way to it differs, but never that something was done.
async fn refused_any(client: &super::Client, tool: &str, arguments: Value, code: &str) {
    let (content, failed) = call(client, tool, arguments.clone()).await;
    assert!(failed, "{tool} {arguments}: {content}");
    let found = content["code"].as_str().unwrap();
    assert!(found == code || found == "not_found", "{tool} {arguments}: {content}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_by_others_changes_no_right() {
    let site = Site::new(&web()).await;
    let client = site.member("web").await;
    assert_eq!(good(&client, "list_vms", json!({})).await["total"], 6);
    let rename = async |from: &str, to: &str| {
        let folder = site.lab.client.get::<Folder>(from).await.unwrap();
        let task = folder.rename_task(to).await.unwrap();
        vsphere_ops::Task::<()>::new(&site.lab.client, task, "rename", from).await.unwrap();
    };
    rename("/fra1/vm/prod/web", "shop").await;
    rename("/fra1/vm/prod/db", "web").await;
    assert_eq!(good(&client, "list_vms", json!({})).await["total"], 6);
    good(&client, "get_vm_info", json!({ "vm": "/fra1/vm/prod/shop/web-01" })).await;
    refused(&client, "get_vm_info", json!({ "vm": "/fra1/vm/prod/web/pg-01" }), "not_found").await;
    refused(&client, "power_off_vm", json!({ "vm": "pg-01" }), "not_found").await;
    // What is moved away is gone, also from memory.
    let one = site.lab.client.get::<VirtualMachine>("web-01").await.unwrap();
    let infra = site.lab.client.get::<Folder>("/fra1/vm/infra").await.unwrap();
    let task = infra.move_into_folder_task(&[one.reference().clone()]).await.unwrap();
    vsphere_ops::Task::<()>::new(&site.lab.client, task, "move", "web-01").await.unwrap();
    let gone = async {
        while call(&client, "get_vm_info", json!({ "vm": "web-01" })).await.0["code"] != "not_found" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.unwrap();
    assert_eq!(good(&client, "list_vms", json!({})).await["total"], 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_are_offered_by_the_rules() {
    let site = Site::new(&web()).await;
    let names = async |client: &super::Client| {
        let tools = client.list_all_tools().await.unwrap();
        tools.into_iter().map(|tool| tool.name.to_string()).collect::<Vec<_>>()
    };
    let readers = site.member("readers").await;
    let offered = names(&readers).await;
    assert!(offered.iter().all(|name| name.starts_with("list_") || name.starts_with("get_")), "{offered:?}");
    let message = refused(&readers, "power_off_vm", json!({ "vm": "web-01" }), "permission").await;
    assert!(message.contains("no rule names it"), "{message}");
    assert!(good(&readers, "list_vms", json!({})).await["total"].as_u64().unwrap() >= 40);
    let web = site.member("web").await;
    let offered = names(&web).await;
    for hidden in ["delete_vm", "reset_vm", "run_command_in_guest", "write_guest_file", "call_api"] {
        assert!(!offered.iter().any(|name| name == hidden), "{hidden}");
    }
    assert!(offered.iter().any(|name| name == "power_off_vm"));
    let message = refused(&web, "delete_vm", json!({ "vm": "web-01" }), "permission").await;
    assert!(message.contains("the rule `careful`"), "{message}");
    let guest = json!({ "vm": "web-01", "username": "root", "password": "x", "command": "id" });
    let message = refused(&web, "run_command_in_guest", guest, "permission").await;
    assert!(message.contains("under a policy"), "{message}");
    // Of whom no rule speaks they are under none.
    let other = site.member("other").await;
    assert!(names(&other).await.iter().any(|name| name == "delete_vm"));
    assert!(good(&other, "list_vms", json!({})).await["total"].as_u64().unwrap() >= 40);
    let local = site.client(Caller::local(Permission::FullAdmin)).await;
    assert!(good(&local, "list_vms", json!({})).await["total"].as_u64().unwrap() >= 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_under_no_policy_sends_no_request_more() {
    const COUNTED: [&str; 5] = [
        "RetrieveProperties",
        "RetrievePropertiesEx",
        "CreateContainerView",
        "CreatePropertyCollector",
        "FindByInventoryPath",
    ];

    let mut counts = Vec::new();
    for text in ["mcp_read_only: false\n".to_owned(), web()] {
        let site = Site::new(&text).await;
        let before: Vec<u64> = COUNTED.iter().map(|method| site.lab.sim.calls(method)).collect();
        let client = site.member("other").await;
        good(&client, "get_vm_info", json!({ "vm": "web-01" })).await;
        good(&client, "list_hosts", json!({})).await;
        let after = COUNTED.iter().map(|method| site.lab.sim.calls(method));
        counts.push(after.zip(before).map(|(after, before)| after - before).collect::<Vec<_>>());
    }
    assert_eq!(counts[0], counts[1], "{COUNTED:?}");
}

#[test]
fn rules_that_cannot_be_stop_the_start() {
    for (text, part) in [
        ("policy: {a: {effect: allow, tools: [list_vm]}}", "did you mean `list_vms`?"),
        ("policy: {a: {effect: allow, objects: [fra1/vm]}}", "is no inventory path"),
        ("policy: {a: {effect: maybe}}", "neither allow nor deny"),
        ("policy: {a: {effect: deny, object: /a}}", "did you mean `objects`?"),
    ] {
        let path = file(text);
        let made = std::panic::catch_unwind(|| settings_with(&[("MCVSPHERE_CONFIG", path.to_str().unwrap())]));
        let problem = match made {
            Ok(settings) => Server::new(&settings).err().unwrap().to_string(),
            Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
        };
        assert!(problem.contains(part), "{text}: {problem}");
        std::fs::remove_file(path).unwrap();
    }
}
