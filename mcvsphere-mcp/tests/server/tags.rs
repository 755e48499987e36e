//! The tools for tags: what they do is read from the Automation API of the vCenter.

use serde_json::{Value, json};
use vsphere_ops::managed::VirtualMachine;
use vsphere_sim::{Model, Role};

use crate::{
    confirm::older,
    disks::{Mcp, call, mcp, refused},
    lab::Lab,
    settings_with,
};

async fn lab() -> Lab {
    Lab::of(Model::demo().version("8.0.3.0")).await
}

/// The tags that vSphere itself says a VM has.
async fn tags(lab: &Lab, vm: &str) -> Vec<String> {
    let rest = lab.client.rest().unwrap();
    let vm = lab.client.get::<VirtualMachine>(vm).await.unwrap();
    let object = json!({ "object_id": { "type": "VirtualMachine", "id": vm.id() } });
    let path = "/rest/com/vmware/cis/tagging/tag-association?~action=list-attached-tags";
    let mut names = Vec::new();
    for id in rest.post::<Vec<String>>(path, &object).await.unwrap() {
        let tag: Value = rest.get(&format!("/rest/com/vmware/cis/tagging/tag/id:{id}")).await.unwrap();
        names.push(tag["name"].as_str().unwrap().to_owned());
    }
    names.sort();
    names
}

async fn done(client: &Mcp, tool: &'static str, arguments: Value) -> Value {
    call(client, tool, arguments).await.unwrap()["results"].clone()
}

#[tokio::test]
async fn tags_are_listed_by_category_and_by_vm() {
    let lab = lab().await;
    let client = mcp(&lab).await;
    let all = call(&client, "list_tags", json!({})).await.unwrap();
    assert_eq!((&all["total"], &all["items"][0]["category"]), (&json!(7), &json!("Backup")));
    let some = call(&client, "list_tags", json!({ "category": "Environment", "filter": "p*" })).await.unwrap();
    assert_eq!(some["items"].as_array().unwrap().len(), 1);
    let prod = &some["items"][0];
    assert_eq!((&prod["name"], &prod["cardinality"]), (&json!("prod"), &json!("SINGLE")));
    assert_eq!(refused(&client, "list_tags", json!({ "category": "Tier" })).await.0, "not_found");

    let one = done(&client, "get_vm_tags", json!({ "vm": "pg-01" })).await;
    let expected = ["Backup:daily", "Compliance:gdpr", "Compliance:pci-dss", "Environment:prod"];
    assert_eq!(one[0]["tags"], json!(expected));
    let several = done(&client, "get_vm_tags", json!({ "vms": ["web-01", "nobody", "test-alice"] })).await;
    assert_eq!(several[0]["tags"], json!(["Backup:weekly", "Environment:prod"]));
    assert_eq!(several[1]["error"]["code"], "not_found");
    assert_eq!(several[2]["tags"], json!(["Environment:test"]));
    assert_eq!(refused(&client, "get_vm_tags", json!({})).await.0, "invalid_argument");
}

#[tokio::test]
async fn vms_are_listed_by_tag() {
    let lab = lab().await;
    let client = mcp(&lab).await;
    let listed = call(&client, "list_vms", json!({ "tag": "Compliance:pci-dss" })).await.unwrap();
    let names: Vec<&str> = listed["items"].as_array().unwrap().iter().map(|vm| vm["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["pg-01", "pg-02"]);
    let off = json!({ "tag": "prod", "power_state": "powered_off", "filter": "web-*" });
    assert_eq!(call(&client, "list_vms", off).await.unwrap()["items"][0]["name"], "web-04");
    // Once the machines are in memory, too.
    for _ in 0..3 {
        call(&client, "list_vms", json!({})).await.unwrap();
    }
    let on_host = json!({ "tag": "Environment:test", "cluster": "lab-cluster", "limit": 2 });
    let page = call(&client, "list_vms", on_host.clone()).await.unwrap();
    assert_eq!((&page["total"], &page["truncated"]), (&json!(7), &json!(true)));
    let mut next = on_host;
    next["cursor"] = page["next_cursor"].clone();
    assert_ne!(call(&client, "list_vms", next).await.unwrap()["items"][0], page["items"][0]);
    let (code, words) = refused(&client, "list_vms", json!({ "tag": "Environment:dev" })).await;
    assert_eq!(code, "not_found");
    assert!(words.contains("the tags are Environment:prod, Environment:test"), "{words}");
}

#[tokio::test]
async fn a_tag_is_applied_and_removed() {
    let lab = lab().await;
    let client = mcp(&lab).await;
    let arguments = json!({ "vms": ["web-01", "pg-01"], "tag": "Compliance:gdpr" });
    let results = done(&client, "apply_tag_to_vm", arguments.clone()).await;
    assert_eq!((&results[0]["tag"], &results[0]["changed"]), (&json!("Compliance:gdpr"), &json!(true)));
    assert_eq!(results[1]["changed"], false);
    assert_eq!(tags(&lab, "web-01").await, ["gdpr", "prod", "weekly"]);
    let results = done(&client, "remove_tag_from_vm", arguments).await;
    assert_eq!((&results[0]["changed"], &results[1]["changed"]), (&json!(true), &json!(true)));
    assert_eq!(tags(&lab, "pg-01").await, ["daily", "pci-dss", "prod"]);
    let again = done(&client, "remove_tag_from_vm", json!({ "vm": "pg-01", "tag": "gdpr" })).await;
    assert_eq!(again[0]["changed"], false);

    let (code, words) = refused(&client, "apply_tag_to_vm", json!({ "vm": "nobody", "tag": "gdpr" })).await;
    assert_eq!(code, "not_found", "{words}");
    let (code, words) = refused(&client, "apply_tag_to_vm", json!({ "vm": "web-01", "tag": "gold" })).await;
    assert_eq!(code, "not_found");
    assert!(words.contains("Environment:prod"), "{words}");
    assert_eq!(refused(&client, "apply_tag_to_vm", json!({ "tag": "gdpr" })).await.0, "invalid_argument");
}

#[tokio::test]
async fn a_tag_of_a_single_category() {
    let lab = lab().await;
    let client = mcp(&lab).await;
    let arguments = json!({ "vm": "web-01", "tag": "Environment:test" });
    let (code, words) = refused(&client, "apply_tag_to_vm", arguments.clone()).await;
    assert_eq!(code, "invalid_state");
    assert_eq!(
        words,
        "apply tag Environment:test to \"web-01\": it has Environment:prod, and may have one tag of Environment at a time; \
         call again with replace=true to take that one away"
    );
    assert_eq!(tags(&lab, "web-01").await, ["prod", "weekly"]);
    let mut replacing = arguments;
    replacing["replace"] = json!(true);
    let results = done(&client, "apply_tag_to_vm", replacing.clone()).await;
    assert_eq!((&results[0]["replaced"], &results[0]["changed"]), (&json!(["Environment:prod"]), &json!(true)));
    assert_eq!(tags(&lab, "web-01").await, ["test", "weekly"]);
    assert_eq!(done(&client, "apply_tag_to_vm", replacing).await[0]["changed"], false);
}

#[tokio::test]
async fn a_name_that_two_categories_have_is_asked_about() {
    let model = Model::demo().category("Stage", vsphere_sim::Cardinality::Multiple, &[]).tag("Stage", "prod", &[]);
    let lab = Lab::of(model).await;
    let client = mcp(&lab).await;
    let error = call(&client, "apply_tag_to_vm", json!({ "vm": "web-01", "tag": "prod" })).await.unwrap_err();
    assert_eq!(error["code"], "ambiguous");
    assert_eq!(error["candidates"][1]["path"], "Stage:prod");
    let id = error["candidates"][1]["id"].clone();
    let results = done(&client, "apply_tag_to_vm", json!({ "vm": "web-01", "tag": id })).await;
    assert_eq!((&results[0]["tag"], &results[0]["changed"]), (&json!("Stage:prod"), &json!(true)));
}

#[tokio::test]
async fn tags_need_rights_a_level_and_a_vcenter() {
    let lab = Lab::of(Model::demo().user("viewer@vsphere.local", "secret", Role::ReadOnly)).await;
    let environment = [
        ("VCENTER_HOST", lab.sim.url()),
        ("VCENTER_USER", "viewer@vsphere.local".to_owned()),
        ("VCENTER_PASSWORD", "secret".to_owned()),
        ("VCENTER_THUMBPRINT", lab.sim.thumbprint().unwrap().to_string()),
        ("MCP_CONFIRM", "never".to_owned()),
    ];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let client = older(mcvsphere_mcp::Server::new(&settings_with(&environment)).unwrap(), ()).await;
    let (code, words) = refused(&client, "apply_tag_to_vm", json!({ "vm": "web-01", "tag": "gdpr" })).await;
    assert_eq!(code, "permission");
    assert!(words.contains("InventoryService.Tagging.AttachTag"), "{words}");

    let client = older(lab.server(&[("MCP_READ_ONLY", "true")]), ()).await;
    let (code, _) = refused(&client, "apply_tag_to_vm", json!({ "vm": "web-01", "tag": "gdpr" })).await;
    assert_eq!(code, "not_offered");

    let host = Lab::of(Model::esxi()).await;
    let client = mcp(&host).await;
    for (tool, arguments) in [("list_tags", json!({})), ("list_vms", json!({ "tag": "prod" }))] {
        let (code, words) = refused(&client, tool, arguments).await;
        assert_eq!(code, "unsupported");
        assert!(words.contains("single ESXi host"), "{words}");
    }
}

#[tokio::test]
async fn a_user_who_is_asked_before_each_change_sees_what_it_is() {
    let lab = lab().await;
    let client = older(lab.server(&[("MCP_CONFIRM", "always")]), ()).await;
    let arguments = json!({ "vm": "web-01", "tag": "gdpr" });
    let plan = call(&client, "apply_tag_to_vm", arguments.clone()).await.unwrap();
    assert_eq!(plan["confirmation_required"], true, "{plan:#}");
    assert!(plan.to_string().contains("Apply the tag \\\"Compliance:gdpr\\\" to"), "{plan:#}");
    assert_eq!(tags(&lab, "web-01").await, ["prod", "weekly"]);
    let mut again = arguments;
    again["confirm"] = plan["plan_token"].clone();
    done(&client, "apply_tag_to_vm", again).await;
    assert_eq!(tags(&lab, "web-01").await, ["gdpr", "prod", "weekly"]);
}

#[tokio::test]
async fn the_session_of_the_automation_api_ends_with_the_server() {
    let lab = lab().await;
    let client = mcp(&lab).await;
    call(&client, "list_tags", json!({})).await.unwrap();
    call(&client, "get_vm_tags", json!({ "vm": "web-01" })).await.unwrap();
    assert_eq!(lab.sim.automation_sessions(), 1);
}
