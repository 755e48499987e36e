//! Random rules: what each reading tool, resource and completion says, and which hosts may be emptied.

use rmcp::model::{ArgumentInfo, CompleteRequestParams, ReadResourceRequestParams, Reference};
use serde_json::{Value, json};

use super::{
    Client, PLACES, Site, call, good,
    model::{Rule, Vm, has_word},
    policy, refused,
};

/// Folders and VMs of the demo world that rules are about.
const CHOICES: [&str; 12] = [
    "/fra1/vm/prod/web/**",
    "/fra1/vm/prod/app/**",
    "/fra1/vm/prod/db/**",
    "/fra1/vm/prod/erp/**",
    "/fra1/vm/prod/**",
    "/fra1/vm/infra/**",
    "/fra1/vm/infra/ci",
    "/fra1/vm/infra/*-01",
    "/fra1/vm/lab/**",
    "/fra1/vm/templates/**",
    "/fra1/vm/prod/*/*-02",
    "/**/web-0?",
];

/// Rules for so many groups, always the same ones.
fn random(groups: usize) -> Vec<Rule> {
    let mut random = fastrand::Rng::with_seed(4711);
    let mut rules = Vec::new();
    for number in 0..groups {
        let group = format!("g{number}");
        let mut rule = |allows: bool, objects: Vec<String>| rules.push(Rule { allows, group: group.clone(), objects });
        // The model of this test knows no `?`.
        let mut some = |most: usize| -> Vec<String> {
            (0..random.usize(1..=most)).map(|_| random.choice(CHOICES).unwrap().replace("0?", "0*")).collect()
        };
        if number % 3 != 0 {
            rule(true, some(4));
            rule(true, PLACES.map(str::to_owned).to_vec());
        }
        if number % 3 != 1 {
            rule(false, some(2));
        }
    }
    rules
}

/// Fails where a text tells of a VM that is denied.
fn check(what: &str, text: &str, denied: &[&Vm]) {
    for vm in denied {
        for word in [&vm.name, &vm.id] {
            assert!(!has_word(text, word), "{what} tells of {word} ({}): {text}", vm.path);
        }
    }
}

/// Arguments with which reading tools are called, besides those about VMs.
fn questions() -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("list_vms", json!({ "limit": 1000 })),
        ("list_vms", json!({ "limit": 1000, "tag": "Environment:prod" })),
        ("list_vms", json!({ "limit": 1000, "power_state": "poweredOn" })),
        ("list_templates", json!({})),
        ("list_hosts", json!({})),
        ("list_clusters", json!({})),
        ("list_datastores", json!({ "fields": ["name", "vm_count", "hosts"] })),
        ("list_networks", json!({ "fields": ["name", "vms", "vlan"] })),
        ("list_folders", json!({ "limit": 1000 })),
        ("list_resource_pools", json!({})),
        ("list_tags", json!({})),
        ("list_customization_specs", json!({})),
        ("list_recent_tasks", json!({ "max_count": 200 })),
        ("list_recent_events", json!({ "max_count": 200 })),
        ("get_recent_events", json!({ "count": 200 })),
        ("get_alarms", json!({})),
        ("get_vcenter_info", json!({})),
        ("export_inventory", json!({ "sheets": ["vSnapshot", "vHost", "vDatastore"] })),
        ("export_inventory", json!({ "sheets": ["vPartition"], "format": "json" })),
    ];
    for host in ["esx-01.corp.example", "esx-05.corp.example"] {
        for tool in [
            "get_host_info",
            "get_host_hardware",
            "get_host_networking",
            "get_host_stats",
            "get_ntp_config",
            "list_services",
        ] {
            all.push((tool, json!({ "host": host })));
        }
        all.push(("get_alarms", json!({ "entity": host })));
        all.push(("list_vms", json!({ "host": host, "limit": 1000 })));
    }
    for cluster in ["prod-cluster", "lab-cluster"] {
        for tool in ["get_cluster_info", "list_drs_rules", "get_drs_recommendations"] {
            all.push((tool, json!({ "cluster": cluster })));
        }
        all.push(("list_vms", json!({ "cluster": cluster, "limit": 1000 })));
        all.push(("list_recent_events", json!({ "entity": cluster, "max_count": 200 })));
    }
    for store in ["nvme-01", "nvme-02", "lab-ssd", "backup-nfs"] {
        all.push(("get_datastore_info", json!({ "datastore": store })));
        all.push(("browse_datastore", json!({ "datastore": store, "limit": 1000 })));
        all.push(("browse_datastore", json!({ "datastore": store, "recursive": true, "limit": 1000 })));
        all.push(("browse_datastore", json!({ "datastore": store, "orphaned": true, "limit": 1000 })));
    }
    for network in ["prod-web", "prod-db", "lab"] {
        all.push(("get_network_info", json!({ "network": network })));
    }
    all
}

/// Reading tools about one VM.
const ABOUT_VM: [&str; 9] = [
    "get_vm_info",
    "get_vm_stats",
    "get_vm_tags",
    "get_vm_tools_status",
    "list_disks",
    "list_nics",
    "list_snapshots",
    "get_serial_port",
    "get_alarms",
];

/// Has things happen to VMs, so that there are tasks and events of them.
async fn history(site: &Site) {
    for name in ["web-01", "pg-01", "dc-01", "app-01", "ci-runner-01"] {
        let vm = site.lab.client.get::<vsphere_ops::managed::VirtualMachine>(name).await.unwrap();
        vm.power_off().await.unwrap().await.unwrap();
        vm.power_on().await.unwrap().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_tells_of_what_is_denied() {
    const GROUPS: usize = 6;

    let rules = random(GROUPS);
    let site = Site::new(&policy(&rules)).await;
    history(&site).await;
    for number in 0..GROUPS {
        let group = format!("g{number}");
        let (allowed, denied) = site.world.split(&rules, &group);
        assert!(!denied.is_empty(), "{group} denies something");
        let client = site.member(&group).await;
        for (tool, arguments) in questions() {
            let (content, failed) = call(&client, tool, arguments.clone()).await;
            assert!(
                !failed || content["code"] == "permission" || content["code"] == "not_found",
                "{group} {tool} {arguments}: {content}"
            );
            check(&format!("{group} {tool} {arguments}"), &content.to_string(), &denied);
        }
        resources(&client, &group, &denied).await;
        // All that is permitted is there, and counted.
        let machines = allowed.iter().filter(|vm| !vm.path.contains("/templates/")).count();
        let listed = good(&client, "list_vms", json!({ "limit": 1 })).await;
        assert_eq!(listed["total"], machines, "{group}: {listed}");
        for vm in allowed.iter().take(3) {
            for tool in ABOUT_VM {
                let argument = if tool == "get_alarms" { "entity" } else { "vm" };
                let (content, failed) = call(&client, tool, json!({ argument: vm.name })).await;
                assert!(!failed || content["code"] != "not_found", "{group} {tool} {}: {content}", vm.name);
                check(&format!("{group} {tool} {}", vm.name), &content.to_string(), &denied);
            }
        }
        for vm in denied.iter().take(2) {
            let others: Vec<&Vm> = denied.iter().copied().filter(|other| other.id != vm.id).collect();
            for what in [&vm.name, &vm.id, &vm.path] {
                for tool in ABOUT_VM {
                    let argument = if tool == "get_alarms" { "entity" } else { "vm" };
                    let (content, failed) = call(&client, tool, json!({ argument: what })).await;
                    // A report on several says it of each.
                    let text = content.to_string();
                    assert!(failed || text.contains("not_found"), "{group} {tool} {what}: {content}");
                    assert!(text.contains("not_found"), "{group} {tool} {what}: {content}");
                    check(&format!("{group} {tool} {what}"), &text, &others);
                }
            }
        }
    }
}

async fn resources(client: &Client, group: &str, denied: &[&Vm]) {
    for kind in ["vms", "hosts", "datastores", "networks", "clusters", "resource-pools"] {
        let uri = format!("esxi://{kind}");
        let read = client.read_resource(ReadResourceRequestParams::new(uri.clone())).await.unwrap();
        check(&format!("{group} {uri}"), &serde_json::to_string(&read).unwrap(), denied);
    }
    for vm in denied.iter().take(2) {
        let typed = ArgumentInfo::new("vm", vm.name.clone());
        let request = CompleteRequestParams::new(Reference::for_prompt("snapshot-before-change"), typed);
        let completed = client.complete(request).await.unwrap();
        assert!(completed.completion.values.is_empty(), "{group}: {completed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_may_be_emptied_by_whom_all_its_vms_are_permitted() {
    const GROUPS: usize = 6;

    let rules = random(GROUPS);
    let site = Site::new(&policy(&rules)).await;
    let mut seen = [false; 2];
    for number in 0..GROUPS {
        let group = format!("g{number}");
        let (_, denied) = site.world.split(&rules, &group);
        let client = site.member(&group).await;
        for (host, vms) in &site.world.hosts {
            let allowed = vms.iter().all(|id| denied.iter().all(|vm| vm.id != *id));
            seen[usize::from(allowed)] = true;
            let arguments = json!({ "host": host, "timeout_seconds": 60 });
            if !allowed {
                refused(&client, "enter_maintenance_mode", arguments, "permission").await;
            }
        }
    }
    assert!(seen[0], "some host has a VM that is denied");
    assert_eq!(site.lab.sim.calls("EnterMaintenanceMode_Task"), 0);
}
