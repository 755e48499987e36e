//! The tools for folders, resource pools, and the rules and recommendations of clusters: what they do is read from vSphere.

use mcvsphere_mcp::Server;
use rmcp::{RoleClient, service::RunningService};
use serde_json::{Value, json};
use vsphere_ops::{
    ListQuery, Mo, Task, folder,
    managed::{
        ClusterComputeResource, Folder, ResourcePool, VirtualMachine, cluster_compute_resource, virtual_machine as vm,
    },
    types::{ClusterConfigInfoEx, ClusterConfigSpecEx, ClusterDrsConfigInfo, DrsBehavior, Poly},
    vm::{Changes, NewVm},
};
use vsphere_sim::{Model, Role};

use crate::{
    confirm::older,
    disks::{Mcp, call, mcp, refused},
    lab::Lab,
    settings_with,
};

async fn demo() -> Lab {
    Lab::of(Model::demo()).await
}

/// A client that can't ask its user: previews come with a token.
async fn planning(lab: &Lab) -> RunningService<RoleClient, ()> {
    older(lab.server(&[]), ()).await
}

/// The preview of a call, and the arguments with its token.
async fn planned(client: &Mcp, tool: &'static str, arguments: Value) -> (Value, Value) {
    let plan = call(client, tool, arguments.clone()).await.unwrap();
    assert_eq!(plan["confirmation_required"], true, "{plan:#}");
    let mut again = arguments;
    again["confirm"] = plan["plan_token"].clone();
    (plan, again)
}

async fn machine(lab: &Lab, name: &str) -> Mo<VirtualMachine> {
    lab.client.get(name).await.unwrap()
}

async fn filled(lab: &Lab, path: &str, count: usize) {
    let made = lab.client.make_folder(path).await.unwrap();
    for number in 0..count {
        let mut new = NewVm { name: format!("batch-{number:02}"), disk_gb: 1, ..Default::default() };
        new.placement.folder = Some(made.id.clone());
        new.placement.host = Some("esx-05.corp.example".to_owned());
        new.placement.datastore = Some("iso-library".to_owned());
        vsphere_ops::vm::create(&lab.client, &new).await.unwrap();
    }
}

#[tokio::test]
async fn folders_are_listed_created_by_path_or_name_and_moved_into() {
    let lab = demo().await;
    let client = mcp(&lab).await;
    let page = call(&client, "list_folders", json!({ "filter": "web" })).await.unwrap();
    assert_eq!((&page["total"], &page["items"][0]["path"]), (&json!(1), &json!("/fra1/vm/prod/web")), "{page:#}");
    assert_eq!((&page["items"][0]["type"], &page["items"][0]["children"]), (&json!("vm"), &json!(6)));
    let all = folder::list(&lab.client, &ListQuery::default()).await.unwrap();
    assert_eq!(call(&client, "list_folders", json!({})).await.unwrap()["total"], all.total);

    let made = call(&client, "create_folder", json!({ "path": "vm/new/inner" })).await.unwrap();
    assert_eq!((&made["path"], &made["created"]), (&json!("/fra1/vm/new/inner"), &json!(2)), "{made:#}");
    let again = call(&client, "create_folder", json!({ "name": "inner", "parent": "vm/new" })).await.unwrap();
    assert_eq!((&again["id"], &again["changed"]), (&made["id"], &json!(false)));
    // As the Python original called them.
    let older = json!({ "folder_name": "older", "parent_path": "vm/new" });
    assert_eq!(call(&client, "create_folder", older).await.unwrap()["path"], "/fra1/vm/new/older");
    assert_eq!(call(&client, "create_folder", json!({ "name": "top" })).await.unwrap()["path"], "/fra1/vm/top");
    for wrong in [json!({}), json!({ "path": "a", "name": "b" }), json!({ "parent": "vm" })] {
        assert_eq!(refused(&client, "create_folder", wrong).await.0, "invalid_argument");
    }
    let (code, text) = refused(&client, "create_folder", json!({ "path": "/none/vm/x" })).await;
    assert!(code == "not_found" && text.contains("no folder or datacenter /none"), "{text}");

    let moved = call(&client, "move_vm_to_folder", json!({ "vm": "web-04", "folder": "new/inner" })).await.unwrap();
    assert_eq!((&moved["path"], &moved["changed"]), (&json!("/fra1/vm/new/inner/web-04"), &json!(true)), "{moved:#}");
    let older = json!({ "vm_name": "web-04", "folder_path": "vm/new/inner" });
    assert_eq!(call(&client, "move_vm_to_folder", older).await.unwrap()["changed"], false);
    assert_eq!(machine(&lab, "web-04").await.path().await.unwrap(), "/fra1/vm/new/inner/web-04");
    let none = json!({ "vm": "web-04", "folder": "none" });
    assert_eq!(refused(&client, "move_vm_to_folder", none).await.0, "not_found");
    let wrong = json!({ "vm": "web-04", "folder": "/fra1/network" });
    assert_eq!(refused(&client, "move_vm_to_folder", wrong).await.0, "invalid_argument");
}

#[tokio::test]
async fn a_folder_with_30_vms_ends_with_what_an_administrator_can_decide() {
    let lab = demo().await;
    filled(&lab, "vm/batch/inner", 30).await;
    let client = older(lab.server(&[("MCP_MAX_OBJECTS", "31")]), ()).await;
    let (code, text) = refused(&client, "delete_folder", json!({ "folder": "vm/batch" })).await;
    assert_eq!(code, "invalid_state");
    for part in
        ["30 VMs and templates are in it", "batch-00", "batch-29", "vms=destroy deletes them", "move_vm_to_folder"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    machine(&lab, "batch-11").await.power_on().await.unwrap().await.unwrap();
    let destroy = json!({ "folder": "vm/batch", "vms": "destroy" });
    let (code, text) = refused(&client, "delete_folder", destroy.clone()).await;
    assert!(code == "invalid_state" && text.contains("/fra1/vm/batch/inner/batch-11; "), "{text}");
    assert!(text.contains("shutdown_guest or power_off_vm first"), "{text}");
    machine(&lab, "batch-11").await.power_off().await.unwrap().await.unwrap();

    let (code, text) = refused(&planning(&lab).await, "delete_folder", destroy.clone()).await;
    assert!(code == "invalid_argument" && text.contains("31 objects, and 20 are the most at once"), "{text}");
    let (plan, with_token) = planned(&client, "delete_folder", destroy.clone()).await;
    let question = plan["question"].as_str().unwrap();
    assert_eq!(question, "Delete the folder \"/fra1/vm/batch\" and DELETE its 30 VMs with all their disks?");
    assert!(plan["notes"][0].as_str().unwrap().starts_with("30 disks are lost"), "{plan:#}");
    // Each VM is shown with its disks, or at least named.
    assert_eq!(plan["total"], 31);
    let shown: Vec<&Value> = plan["objects"].as_array().unwrap().iter().skip(1).collect();
    assert!(shown.iter().all(|vm| vm["disks"][0]["capacity_gb"] == 1.0), "{plan:#}");
    let named = format!("{shown:?}{}", plan["others"]);
    for number in 0..30 {
        assert!(named.contains(&format!("batch-{number:02}")), "{number}: {plan:#}");
    }
    // One of them is changed after the user has agreed: the token is void, and nothing is done.
    let note = Changes { annotation: Some("mine".to_owned()), ..Default::default() };
    machine(&lab, "batch-29").await.reconfiguration(&note).await.unwrap().carry_out().await.unwrap();
    let void = call(&client, "delete_folder", with_token).await.unwrap();
    assert_eq!((&void["confirmation_required"], &void["void"]["code"]), (&json!(true), &json!("changed")), "{void:#}");
    assert_eq!((lab.sim.calls("Destroy_Task"), lab.sim.calls("UnregisterVM")), (0, 0));
    let (_, with_token) = planned(&client, "delete_folder", destroy).await;
    let done = call(&client, "delete_folder", with_token).await.unwrap();
    assert_eq!((&done["folder_deleted"], &done["failed"], &done["folders"]), (&json!(true), &json!(0), &json!(1)));
    assert_eq!((done["vms"].as_array().unwrap().len(), &done["vms_were"]), (30, &json!("destroy")));
    assert!(lab.client.get::<Folder>("vm/batch").await.unwrap_err().is_not_found());
    assert!(lab.client.find::<VirtualMachine>("batch-*").select(vm::NAME).await.unwrap().is_empty());
}

#[tokio::test]
async fn vms_of_a_folder_can_stay_as_files_and_an_empty_one_is_asked_about_too() {
    let lab = demo().await;
    filled(&lab, "vm/batch", 2).await;
    let client = planning(&lab).await;
    let unregister = json!({ "folder": "vm/batch", "vms": "unregister" });
    let (plan, with_token) = planned(&client, "delete_folder", unregister).await;
    assert!(plan["notes"][0].as_str().unwrap().starts_with("The files of their 2 disks stay"), "{plan:#}");
    let done = call(&client, "delete_folder", with_token).await.unwrap();
    assert_eq!((&done["folder_deleted"], lab.sim.calls("UnregisterVM")), (&json!(true), 2), "{done:#}");
    lab.client.make_folder("vm/empty").await.unwrap();
    let (plan, with_token) = planned(&client, "delete_folder", json!({ "folder": "vm/empty" })).await;
    assert_eq!((&plan["total"], &plan["notes"]), (&json!(1), &json!([])));
    assert_eq!(call(&client, "delete_folder", with_token).await.unwrap()["folder_deleted"], true);
    for (folder, code) in [("/fra1/vm", "unsupported"), ("none", "not_found")] {
        assert_eq!(refused(&client, "delete_folder", json!({ "folder": folder, "vms": "destroy" })).await.0, code);
    }
}

const TOP: &str = "/fra1/host/prod-cluster/Resources";

#[tokio::test]
async fn pools_are_created_listed_filled_and_deleted() {
    let lab = demo().await;
    let client = planning(&lab).await;
    let (code, text) = refused(&client, "create_resource_pool", json!({ "name": "web" })).await;
    assert!(code == "ambiguous" && text.contains(TOP), "{text}");
    let new = json!({ "name": "web", "parent": TOP, "cpu_shares": "high", "cpu_reservation_mhz": 1000,
        "cpu_expandable": false, "memory_shares": 5000, "memory_limit_mb": 65536 });
    let made = call(&client, "create_resource_pool", new.clone()).await.unwrap();
    assert_eq!(made["path"], format!("{TOP}/web"), "{made:#}");
    assert_eq!(made["cpu_shares"], json!({ "shares": 8000, "shares_level": "high" }));
    assert_eq!((&made["cpu_limit_mhz"], &made["memory_limit_mb"]), (&json!("unlimited"), &json!(65536)));
    let info = call(&client, "get_resource_pool_info", json!({ "pool": "web" })).await.unwrap();
    assert_eq!((&info["cpu"]["expandable"], &info["memory"]["shares"]), (&json!(false), &json!(5000)), "{info:#}");
    assert_eq!(info["parent"]["name"], "Resources");
    let (_, text) = refused(&client, "create_resource_pool", new).await;
    assert!(text.contains("DuplicateName") && text.contains("list_resource_pools shows the pools"), "{text}");
    let greedy = json!({ "name": "greedy", "parent": "web", "cpu_reservation_mhz": 1001 });
    let (_, text) = refused(&client, "create_resource_pool", greedy).await;
    assert!(text.contains("InsufficientCpuResourcesFault") && text.contains("reserve less"), "{text}");
    let some = json!({ "name": "odd", "parent": "web", "cpu_shares": "some" });
    assert_eq!(refused(&client, "create_resource_pool", some).await.0, "invalid_argument");
    let odd = json!({ "name": "odd", "parent": "web", "memory_reservation_mb": 10, "memory_limit_mb": 5 });
    assert_eq!(refused(&client, "create_resource_pool", odd).await.0, "invalid_argument");

    for (changed, expected) in [(true, "web"), (false, "web")] {
        let moved = call(&client, "move_vm_to_resource_pool", json!({ "vm": "web-01", "pool": "web" })).await.unwrap();
        assert_eq!((&moved["changed"], &moved["pool"]["name"]), (&json!(changed), &json!(expected)), "{moved:#}");
    }
    let elsewhere = json!({ "vm": "web-01", "pool": "/fra1/host/lab-cluster/Resources" });
    assert_eq!(refused(&client, "move_vm_to_resource_pool", elsewhere).await.0, "invalid_argument");
    let page = call(&client, "list_resource_pools", json!({ "filter": "web" })).await.unwrap();
    assert_eq!((&page["items"][0]["vms"], &page["items"][0]["cluster"]), (&json!(1), &json!("prod-cluster")));

    let (code, text) = refused(&client, "delete_resource_pool", json!({ "pool": TOP })).await;
    assert!(code == "unsupported" && text.contains("root pool"), "{text}");
    let (plan, with_token) = planned(&client, "delete_resource_pool", json!({ "pool": "web" })).await;
    assert!(plan["notes"][0].as_str().unwrap().starts_with("Its 1 VMs and 0 pools move to \"Resources\""), "{plan:#}");
    assert_eq!((&plan["objects"][1]["name"], &plan["total"]), (&json!("web-01"), &json!(2)));
    // Another VM has come meanwhile.
    let web: Mo<ResourcePool> = lab.client.get("web").await.unwrap();
    machine(&lab, "web-02").await.move_to_pool(&web).await.unwrap();
    assert_eq!(call(&client, "delete_resource_pool", with_token).await.unwrap()["void"]["code"], "changed");
    assert_eq!(lab.sim.calls("Destroy_Task"), 0);
    let (_, with_token) = planned(&client, "delete_resource_pool", json!({ "pool": "web" })).await;
    let done = call(&client, "delete_resource_pool", with_token).await.unwrap();
    assert_eq!((done["vms"].as_array().unwrap().len(), &done["parent"]["name"]), (2, &json!("Resources")));
    let top: Mo<ResourcePool> = lab.client.get(TOP).await.unwrap();
    let pool = machine(&lab, "web-01").await.read(vm::RESOURCE_POOL).await.unwrap();
    assert_eq!(pool.as_ref(), Some(top.reference()));
}

async fn config(lab: &Lab) -> ClusterConfigInfoEx {
    let prod: Mo<ClusterComputeResource> = lab.client.get("prod-cluster").await.unwrap();
    prod.read(cluster_compute_resource::CONFIGURATION_EX).await.unwrap().downcast().unwrap()
}

#[tokio::test]
async fn a_rule_that_contradicts_another_ends_with_what_an_administrator_can_decide() {
    let lab = demo().await;
    let client = mcp(&lab).await;
    let apart =
        json!({ "cluster": "prod-cluster", "name": "dc apart", "kind": "anti_affinity", "vms": ["dc-01", "dc-02"] });
    let made = call(&client, "create_drs_rule", apart.clone()).await.unwrap();
    assert_eq!((&made["changed"], &made["kind"], &made["drs"]), (&json!(true), &json!("anti_affinity"), &json!(true)));
    assert_eq!(call(&client, "create_drs_rule", apart).await.unwrap()["changed"], false);
    let together =
        json!({ "cluster": "prod-cluster", "name": "dc together", "kind": "affinity", "vms": ["dc-02", "dc-01"] });
    let (code, text) = refused(&client, "create_drs_rule", together.clone()).await;
    assert_eq!(code, "invalid_state");
    for part in ["contradicts the rule \"dc apart\"", "\"dc-01\"", "\"dc-02\"", "list_drs_rules", "delete_drs_rule"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(config(&lab).await.rule.len(), 1);
    let gone =
        call(&client, "delete_drs_rule", json!({ "cluster": "prod-cluster", "rule": "dc apart" })).await.unwrap();
    assert_eq!((&gone["rule"], &gone["groups"]), (&json!("dc apart"), &json!([])), "{gone:#}");
    assert_eq!(call(&client, "create_drs_rule", together).await.unwrap()["changed"], true);
    let (code, text) = refused(&client, "delete_drs_rule", json!({ "cluster": "prod-cluster", "rule": "none" })).await;
    assert!(code == "not_found" && text.contains("dc together") && text.contains("list_drs_rules"), "{text}");
    let wrong = json!({ "cluster": "prod-cluster", "name": "x", "kind": "dependency", "vms": ["dc-01", "dc-02"] });
    assert_eq!(refused(&client, "create_drs_rule", wrong).await.0, "invalid_argument");
}

#[tokio::test]
async fn the_groups_that_only_a_rule_uses_are_told_before_they_go_with_it() {
    let lab = demo().await;
    let client = planning(&lab).await;
    let rule = json!({ "cluster": "prod-cluster", "name": "pg", "kind": "should_run_on", "vms": ["pg-01"],
        "hosts": ["esx-01.corp.example", "esx-02.corp.example"] });
    let made = call(&client, "create_drs_rule", rule).await.unwrap();
    assert_eq!(made["new_groups"], json!(["pg VMs", "pg hosts"]), "{made:#}");
    let page = call(&client, "list_drs_rules", json!({ "cluster": "prod-cluster" })).await.unwrap();
    assert_eq!((&page["items"][0]["hosts"][1]["name"], &page["total"]), (&json!("esx-02.corp.example"), &json!(1)));
    let delete = json!({ "cluster": "prod-cluster", "rule": made["key"].to_string() });
    let (plan, with_token) = planned(&client, "delete_drs_rule", delete).await;
    assert!(plan["notes"][0].as_str().unwrap().contains("\"pg VMs\", \"pg hosts\""), "{plan:#}");
    assert_eq!(config(&lab).await.group.len(), 2);
    let done = call(&client, "delete_drs_rule", with_token).await.unwrap();
    assert_eq!(done["groups"], json!(["pg VMs", "pg hosts"]));
    let now = config(&lab).await;
    assert!(now.rule.is_empty() && now.group.is_empty());
}

#[tokio::test]
async fn recommendations_are_read_without_a_refresh_and_applied_by_key() {
    let lab = demo().await;
    let client = mcp(&lab).await;
    let prod: Mo<ClusterComputeResource> = lab.client.get("prod-cluster").await.unwrap();
    let drs = ClusterDrsConfigInfo { default_vm_behavior: Some(DrsBehavior::Manual), ..Default::default() };
    let spec = Poly::new(ClusterConfigSpecEx { drs_config: Some(Box::new(drs)), ..Default::default() });
    let task = prod.reconfigure_compute_resource_task(&spec, true).await.unwrap();
    Task::<()>::new(&lab.client, task, "reconfigure", "prod-cluster").await.unwrap();
    prod.refresh_recommendation().await.unwrap();
    let found = call(&client, "get_drs_recommendations", json!({ "cluster_name": "prod-cluster" })).await.unwrap();
    assert_eq!((&found["automation"], lab.sim.calls("RefreshRecommendation")), (&json!("manual"), 1), "{found:#}");
    let first = &found["recommendations"][0];
    let step = &first["moves"][0];
    let apply = json!({ "cluster": "prod-cluster", "recommendation": first["key"] });
    // Nothing is lost, so that the user is asked only where the settings want that.
    let always = older(lab.server(&[("MCP_CONFIRM", "always")]), ()).await;
    let (plan, _) = planned(&always, "apply_drs_recommendation", apply.clone()).await;
    assert_eq!(plan["objects"][0]["moves"], first["moves"], "{plan:#}");
    assert_eq!(lab.sim.calls("ApplyRecommendation"), 0);
    let applied = call(&client, "apply_drs_recommendation", apply.clone()).await.unwrap();
    assert_eq!((&applied["moved"], &applied["moves"][0]), (&json!(first["moves"].as_array().unwrap().len()), step));
    let host = machine(&lab, step["vm"]["id"].as_str().unwrap()).await.read(vm::HOST).await.unwrap().unwrap();
    assert_eq!(json!(host.value), step["to"]["id"]);
    let (code, text) = refused(&client, "apply_drs_recommendation", apply).await;
    assert!(code == "not_found" && text.contains("get_drs_recommendations shows the present ones"), "{text}");

    let info = call(&client, "get_cluster_info", json!({ "cluster": "prod-cluster" })).await.unwrap();
    assert_eq!((&info["drs"]["automation"], &info["ha"]["admission"]["policy"]), (&json!("manual"), &json!("slots")));
    assert_eq!((info["hosts"].as_array().unwrap().len(), &info["vsan"]), (4, &json!(false)), "{info:#}");
    assert_eq!(refused(&client, "get_cluster_info", json!({ "cluster": "none" })).await.0, "not_found");
}

#[tokio::test]
async fn levels_and_rights_decide() {
    let lab = demo().await;
    let client = older(lab.server(&[("MCP_CONFIRM", "never"), ("MCP_PERMISSION", "vm_lifecycle")]), ()).await;
    let rule = json!({ "cluster": "prod-cluster", "name": "a", "kind": "affinity", "vms": ["dc-01", "dc-02"] });
    let apply = json!({ "cluster": "prod-cluster", "recommendation": "1" });
    for (tool, arguments) in [("create_drs_rule", rule.clone()), ("apply_drs_recommendation", apply)] {
        assert_eq!(refused(&client, tool, arguments).await.0, "permission", "{tool}");
    }
    call(&client, "create_folder", json!({ "path": "vm/mine" })).await.unwrap();
    let reader = older(lab.server(&[("MCP_PERMISSION", "read_only")]), ()).await;
    assert_eq!(refused(&reader, "create_folder", json!({ "path": "vm/x" })).await.0, "permission");
    call(&reader, "get_drs_recommendations", json!({ "cluster": "prod-cluster" })).await.unwrap();

    // The user of vSphere may only look.
    let lab = Lab::of(Model::demo().user("reader", "secret", Role::ReadOnly)).await;
    let settings = settings_with(&[
        ("VCENTER_HOST", &lab.sim.url()),
        ("VCENTER_USER", "reader"),
        ("VCENTER_PASSWORD", "secret"),
        ("VCENTER_INSECURE", "true"),
        ("MCP_CONFIRM", "never"),
    ]);
    let client = older(Server::new(&settings).unwrap(), ()).await;
    for (tool, arguments) in [
        ("create_folder", json!({ "path": "vm/x" })),
        ("move_vm_to_folder", json!({ "vm": "web-01", "folder": "lab" })),
        ("create_resource_pool", json!({ "name": "x", "parent": TOP })),
        ("create_drs_rule", rule),
        ("delete_folder", json!({ "folder": "templates", "vms": "unregister" })),
    ] {
        let (code, text) = refused(&client, tool, arguments).await;
        assert_eq!(code, "permission", "{tool}: {text}");
    }
    assert_eq!(call(&client, "list_folders", json!({ "filter": "vm" })).await.unwrap()["total"], 1);
}
