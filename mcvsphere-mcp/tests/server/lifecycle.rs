//! The tools for the life of virtual machines. Effects are read from the simulated vCenter beside the tools.

use rmcp::{
    RoleClient,
    model::{CallToolRequestParams, CallToolResult},
    service::RunningService,
};
use serde_json::{Value, json};
use vsphere_ops::Mo;
use vsphere_ops::managed::{
    ClusterComputeResource, ComputeResource, CustomizationSpecManager, DistributedVirtualSwitch, Folder, HostSystem,
    Network, VirtualMachine, VirtualMachineSnapshot, compute_resource, virtual_machine as vm,
};
use vsphere_ops::types::{
    ClusterConfigSpecEx, ClusterDrsConfigInfo, CustomizationFixedName, CustomizationLinuxPrep, CustomizationSpec,
    CustomizationSpecInfo, CustomizationSpecItem, DVPortgroupConfigSpec, DVSConfigSpec, DVSCreateSpec,
    DistributedVirtualSwitchHostMemberConfigSpec, ManagedObjectReference, ParaVirtualSCSIController, Poly, VirtualDisk,
    VirtualDiskFlatVer2BackingInfo, VirtualEthernetCardDistributedVirtualPortBackingInfo, VirtualMachineConfigInfo,
    VirtualVmxnet3,
};
use vsphere_sim::{Model, Size};

use crate::{confirm::older, lab::Lab, lab::is_on};

/// Calls a tool, which must succeed.
async fn call(client: &RunningService<RoleClient, ()>, tool: &'static str, arguments: Value) -> Value {
    let result = raw(client, tool, arguments).await;
    assert_ne!(result.is_error, Some(true), "{tool}: {result:?}");
    result.structured_content.unwrap()
}

/// Calls a tool, which must fail: its code and its message.
async fn refused(client: &RunningService<RoleClient, ()>, tool: &'static str, arguments: Value) -> (String, String) {
    let result = raw(client, tool, arguments).await;
    assert_eq!(result.is_error, Some(true), "{tool}: {result:?}");
    let content = result.structured_content.unwrap();
    let text = |key: &str| content[key].as_str().unwrap().to_owned();
    (text("code"), format!("{} {}", text("message"), content["candidates"]))
}

async fn raw(client: &RunningService<RoleClient, ()>, tool: &'static str, arguments: Value) -> CallToolResult {
    let arguments = arguments.as_object().unwrap().clone();
    client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await.unwrap()
}

/// A client whose user need not be asked.
async fn trusted(lab: &Lab) -> RunningService<RoleClient, ()> {
    older(lab.server(&[("MCP_CONFIRM", "never")]), ()).await
}

async fn exists(lab: &Lab, name: &str) -> bool {
    lab.client.get::<VirtualMachine>(name).await.is_ok()
}

#[tokio::test]
async fn rename_gives_a_name_that_people_read_and_paths_find() {
    let lab = Lab::new().await;
    let (web, _db) = (lab.machine("web-1").await, lab.machine("db-1").await);
    let client = trusted(&lab).await;
    let done = call(&client, "rename_vm", json!({ "vm": "web-1", "new_name": "web/blue 100%" })).await;
    assert_eq!(done["changed"], true);
    assert_eq!((&done["name"], &done["old_name"]), (&json!("web/blue 100%"), &json!("web-1")), "{done:#}");
    assert_eq!(web.read(vm::NAME).await.unwrap(), "web%2fblue 100%25");
    assert_eq!(done["path"], "/DC0/vm/web%2fblue 100%25");

    let again = call(&client, "rename_vm", json!({ "vm": web.id(), "new_name": "web%2fblue 100%25" })).await;
    assert_eq!(again["changed"], false, "{again:#}");

    let (code, message) = refused(&client, "rename_vm", json!({ "vm": "db-1", "new_name": "web/blue 100%" })).await;
    assert_eq!(code, "fault");
    assert!(message.contains("already exists") && message.contains(web.id()), "{message}");
    for name in ["", " ", &"x".repeat(81)] {
        let (code, message) = refused(&client, "rename_vm", json!({ "vm": "db-1", "new_name": name })).await;
        assert_eq!(code, "invalid_argument", "{message}");
    }
    assert_eq!(refused(&client, "rename_vm", json!({ "vm": "nope", "new_name": "x" })).await.0, "not_found");
    assert!(exists(&lab, "db-1").await);
}

#[tokio::test]
async fn reconfigure_says_what_was_before_and_after() {
    let lab = Lab::new().await;
    let machine = lab.machine("web-1").await;
    let client = trusted(&lab).await;
    let arguments = json!({ "vm": "web-1", "cpu": 4, "cores_per_socket": 2, "memory_mb": 2048, "annotation": "shop",
                            "cpu_hot_add": true });
    let done = call(&client, "reconfigure_vm", arguments.clone()).await;
    let changes = |done: &Value| {
        let changes = done["changes"].as_array().unwrap();
        changes.iter().map(|change| (change["setting"].clone(), change["after"].clone())).collect::<Vec<_>>()
    };
    let expected = [
        ("cpu", json!(4)),
        ("cores_per_socket", json!(2)),
        ("memory_mb", json!(2048)),
        ("annotation", json!({ "untrusted": "shop" })),
        ("cpu_hot_add", json!(true)),
    ];
    assert_eq!(changes(&done), expected.map(|(setting, after)| (json!(setting), after)));
    assert_eq!(done["changes"][2]["before"], 1024);
    let config = machine.read(vm::CONFIG).await.unwrap().unwrap();
    assert_eq!((config.hardware.num_cpu, config.hardware.num_cores_per_socket), (4, Some(2)));
    assert_eq!((config.hardware.memory_mb, config.annotation.as_deref()), (2048, Some("shop")));
    assert_eq!(config.cpu_hot_add_enabled, Some(true));

    let again = call(&client, "reconfigure_vm", arguments).await;
    assert_eq!((&again["changed"], &again["changes"]), (&json!(false), &json!([])), "{again:#}");
    let version = machine.read(vm::CHANGE_VERSION).await.unwrap();
    assert_eq!(version, Some(config.change_version.clone()), "nothing was sent");

    for (arguments, says) in [
        (json!({ "vm": "web-1" }), "nothing is given"),
        (json!({ "vm": "web-1", "memory_mb": 1023 }), "multiple of 4"),
        (json!({ "vm": "web-1", "cpu": 0 }), "cpu must be at least 1"),
        (json!({ "vm": "web-1", "cores_per_socket": 3 }), "must divide cpu"),
    ] {
        let (code, message) = refused(&client, "reconfigure_vm", arguments).await;
        assert_eq!(code, "invalid_argument", "{message}");
        assert!(message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn a_running_machine_grows_only_with_hot_add() {
    let lab = Lab::new().await;
    let machine = lab.machine("web-1").await;
    let client = trusted(&lab).await;
    call(&client, "reconfigure_vm", json!({ "vm": "web-1", "cpu_hot_add": true })).await;
    machine.power_on().await.unwrap().await.unwrap();
    let done = call(&client, "reconfigure_vm", json!({ "vm": "web-1", "cpu": 2 })).await;
    assert_eq!((&done["changed"], &done["power_state"]), (&json!(true), &json!("powered_on")), "{done:#}");
    assert_eq!(machine.read(vm::NUM_CPU).await.unwrap(), Some(2));

    for (arguments, says) in [
        (json!({ "vm": "web-1", "memory_mb": 2048 }), "memory_hot_add"),
        (json!({ "vm": "web-1", "cpu": 1 }), "cpu_hot_add"),
        (json!({ "vm": "web-1", "memory_hot_add": true }), "power_off_vm"),
    ] {
        let (code, message) = refused(&client, "reconfigure_vm", arguments).await;
        assert_eq!(code, "fault", "{message}");
        assert!(message.contains(says) && message.contains("reconfigure \"web-1\""), "{message}");
    }
    assert_eq!(machine.read(vm::MEMORY_SIZE_MB).await.unwrap(), Some(1024));
}

#[tokio::test]
async fn delete_shows_what_is_lost_and_powers_off_first() {
    let lab = Lab::new().await;
    let machine = lab.running("web-1").await;
    machine.create_snapshot_task("before", None, false, false).await.unwrap();
    lab.machine("db-1").await;
    let asked = older(lab.server(&[]), ()).await;
    let plan = call(&asked, "delete_vm", json!({ "vm": "web-1" })).await;
    assert_eq!(plan["confirmation_required"], true, "{plan:#}");
    let shown = &plan["objects"][0];
    assert_eq!((&shown["power_state"], &shown["snapshots"][0]["name"]), (&json!("powered_on"), &json!("before")));
    assert!(shown["uptime_seconds"].is_number() && plan["notes"][0].as_str().unwrap().contains("powered off"));
    assert!(is_on(&machine).await);

    // Another state is another question.
    machine.power_off().await.unwrap().await.unwrap();
    let token = plan["plan_token"].as_str().unwrap();
    let void = call(&asked, "delete_vm", json!({ "vm": "web-1", "confirm": token })).await;
    assert!(void["void"]["code"] == "changed" && exists(&lab, "web-1").await, "{void:#}");
    machine.power_on().await.unwrap().await.unwrap();

    let plan = call(&asked, "delete_vm", json!({ "vm": "web-1" })).await;
    let token = plan["plan_token"].as_str().unwrap();
    let done = call(&asked, "delete_vm", json!({ "vm": "web-1", "confirm": token })).await;
    assert_eq!((&done["changed"], &done["powered_off"]), (&json!(true), &json!(true)), "{done:#}");
    assert_eq!(done["path"], "/DC0/vm/web-1");
    assert!(!exists(&lab, "web-1").await && exists(&lab, "db-1").await);

    let gone = json!({ "vm": machine.id() });
    assert_eq!(refused(&asked, "delete_vm", gone).await.0, "not_found");
    let client = trusted(&lab).await;
    let off = call(&client, "delete_vm", json!({ "vm": "db-1" })).await;
    assert_eq!(off["powered_off"], false);
    assert!(!exists(&lab, "db-1").await);
}

#[tokio::test]
async fn several_of_one_name_are_not_deleted_but_listed() {
    let lab = Lab::new().await;
    let first = lab.machine("web-1").await;
    let root = lab.client.get::<Folder>("/DC0/vm").await.unwrap();
    let other = root.create_folder("other").await.unwrap();
    let second = lab.machine("web-2").await;
    lab.client.raw::<Folder>(&other).move_into_folder_task(&[second.reference().clone()]).await.unwrap();
    second.rename("web-1").await.unwrap().await.unwrap();
    let client = trusted(&lab).await;
    let (code, message) = refused(&client, "delete_vm", json!({ "vm": "web-1" })).await;
    assert_eq!(code, "ambiguous", "{message}");
    assert!(message.contains("/DC0/vm/other/web-1") && message.contains(first.id()), "{message}");
    call(&client, "delete_vm", json!({ "vm": "/DC0/vm/other/web-1" })).await;
    assert!(second.read(vm::NAME).await.unwrap_err().is_not_found());
    assert_eq!(first.read(vm::NAME).await.unwrap(), "web-1");
}

#[tokio::test]
async fn a_machine_that_is_off_becomes_a_template() {
    let lab = Lab::new().await;
    let (golden, web) = (lab.machine("golden").await, lab.running("web-1").await);
    let asked = older(lab.server(&[]), ()).await;
    let plan = call(&asked, "convert_to_template", json!({ "vm": "golden" })).await;
    assert!(plan["question"].as_str().unwrap().contains("/DC0/vm/golden"), "{plan:#}");
    assert!(!golden.read(vm::IS_TEMPLATE).await.unwrap());
    let token = plan["plan_token"].as_str().unwrap();
    let done = call(&asked, "convert_to_template", json!({ "vm": "golden", "confirm": token })).await;
    assert_eq!((&done["changed"], &done["template"]), (&json!(true), &json!(true)), "{done:#}");
    assert!(golden.read(vm::IS_TEMPLATE).await.unwrap());
    assert_eq!(golden.read(vm::RESOURCE_POOL).await.unwrap(), None);

    // It is one already: there is nothing to ask.
    let again = call(&asked, "convert_to_template", json!({ "vm": "golden" })).await;
    assert_eq!((&again["changed"], &again["id"]), (&json!(false), &json!(golden.id())), "{again:#}");

    let (code, message) = refused(&asked, "convert_to_template", json!({ "vm": "web-1" })).await;
    assert_eq!(code, "fault", "{message}");
    assert!(message.contains("power_off_vm") && is_on(&web).await, "{message}");
}

#[tokio::test]
async fn templates_are_listed_and_machines_are_not() {
    let lab = Lab::new().await;
    for name in ["ubuntu-22", "ubuntu-24", "windows"] {
        lab.machine(name).await.convert_to_template().await.unwrap();
    }
    lab.machine("ubuntu-vm").await;
    let client = trusted(&lab).await;
    let all = call(&client, "list_templates", json!({})).await;
    assert_eq!((&all["total"], &all["truncated"]), (&json!(3), &json!(false)), "{all:#}");
    assert_eq!(all["items"][0]["path"], "/DC0/vm/ubuntu-22");
    assert!(all["items"][0]["host"].is_string() && all["items"][0]["guest_os"]["untrusted"].is_string(), "{all:#}");
    let first = call(&client, "list_templates", json!({ "filter": "ubuntu-*", "limit": 1, "fields": ["name"] })).await;
    assert_eq!((&first["items"], &first["total"]), (&json!([{ "name": "ubuntu-22" }]), &json!(2)));
    let next = json!({ "filter": "ubuntu-*", "limit": 1, "cursor": first["next_cursor"] });
    assert_eq!(call(&client, "list_templates", next).await["items"][0]["name"], "ubuntu-24");
}

/// A vCenter of this many datacenters, each with this many clusters of two hosts.
async fn lab_of(datacenters: usize, clusters: usize, datastores: usize) -> Lab {
    let hosts = 2 * datacenters * clusters;
    Lab::of(Model::sized(Size { vms: 0, hosts, datacenters, clusters, datastores })).await
}

/// The configuration of the machine with this name.
async fn configuration(lab: &Lab, name: &str) -> VirtualMachineConfigInfo {
    lab.client.get::<VirtualMachine>(name).await.unwrap().read(vm::CONFIG).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_new_machine_has_what_was_asked_for() {
    let lab = Lab::new().await;
    let client = trusted(&lab).await;
    let made = call(&client, "create_vm", json!({ "name": "web/1" })).await;
    assert_eq!((&made["name"], &made["path"]), (&json!("web/1"), &json!("/DC0/vm/web%2f1")), "{made:#}");
    assert_eq!((&made["power_state"], &made["changed"]), (&json!("powered_off"), &json!(true)));
    assert_eq!((&made["datastores"], &made["networks"]), (&json!(["DC0_DS0"]), &json!(["VM Network"])));
    let config = configuration(&lab, "web%2f1").await;
    assert_eq!((config.hardware.num_cpu, config.hardware.memory_mb), (2, 4096));
    assert_eq!(config.guest_id, "otherGuest64");
    let devices = &config.hardware.device;
    let controller = devices.iter().find(|device| device.is::<ParaVirtualSCSIController>()).unwrap();
    let disk = devices.iter().find_map(|device| device.downcast_ref::<VirtualDisk>()).unwrap();
    assert_eq!((disk.capacity_in_kb, disk.controller_key), (20 << 20, Some(controller.key)));
    let backing = disk.backing.as_ref().unwrap().downcast_ref::<VirtualDiskFlatVer2BackingInfo>().unwrap();
    assert_eq!(backing.thin_provisioned, Some(true));
    let nic = devices.iter().find_map(|device| device.downcast_ref::<VirtualVmxnet3>()).unwrap();
    assert!(nic.connectable.as_ref().unwrap().start_connected);

    let arguments = json!({ "name": "db-1", "cpu": 4, "memory_mb": 8192, "disk_gb": 100, "thin": false,
                            "guest_id": "rhel9_64Guest", "firmware": "efi", "host": "DC0_C0_H1", "datastore": "DC0_DS0" });
    let made = call(&client, "create_vm", arguments).await;
    assert_eq!(made["host"], "DC0_C0_H1", "{made:#}");
    let config = configuration(&lab, "db-1").await;
    assert_eq!((config.hardware.num_cpu, config.hardware.memory_mb), (4, 8192));
    assert_eq!((config.guest_id.as_str(), config.firmware.as_deref()), ("rhel9_64Guest", Some("efi")));
    let disk = config.hardware.device.iter().find_map(|device| device.downcast_ref::<VirtualDisk>()).unwrap();
    let backing = disk.backing.as_ref().unwrap().downcast_ref::<VirtualDiskFlatVer2BackingInfo>().unwrap();
    assert_eq!((disk.capacity_in_kb, backing.thin_provisioned), (100 << 20, Some(false)));
}

#[tokio::test]
async fn a_new_machine_that_cannot_be_says_why() {
    let lab = Lab::new().await;
    let web = lab.machine("web-1").await;
    let client = trusted(&lab).await;
    for (arguments, expected, says) in [
        (json!({ "name": "web-1" }), "fault", web.id()),
        (json!({ "name": "" }), "invalid_argument", "`name` or `names` is needed"),
        (json!({ "name": "a", "guest_id": "ubuntu" }), "invalid_argument", "ubuntu64Guest"),
        (json!({ "name": "a", "memory_mb": 1023 }), "invalid_argument", "multiple of 4"),
        (json!({ "name": "a", "cpu": 0 }), "invalid_argument", "cpu"),
        (json!({ "name": "a", "disk_gb": 0 }), "invalid_argument", "1 to"),
        (json!({ "name": "a", "disk_gb": 100_000 }), "invalid_argument", "1 to"),
        (json!({ "name": "a", "disk_gb": 63_489 }), "invalid_argument", "1 to"),
        (json!({ "name": "a", "firmware": "uefi" }), "invalid_argument", "efi"),
        (json!({ "name": "a", "datastore": "nope" }), "not_found", "datastore"),
        (json!({ "name": "a", "network": "nope" }), "not_found", "network"),
        (json!({ "name": "a", "pool": "nope" }), "not_found", "resource pool"),
        (json!({ "name": "a", "folder": "/DC0/host" }), "invalid_argument", "not for machines"),
    ] {
        let (code, message) = refused(&client, "create_vm", arguments.clone()).await;
        assert_eq!(code, expected, "{arguments}: {message}");
        assert!(message.contains(says), "{arguments}: {message}");
    }
    // What did not come to be left nothing behind.
    assert_eq!(call(&client, "list_vms", json!({})).await["total"], 1);

    // Two disks that take their space at once and do not fit beside each other in 64 TiB.
    call(&client, "create_vm", json!({ "name": "big", "disk_gb": 62 * 1024, "thin": false })).await;
    let arguments = json!({ "name": "bigger", "disk_gb": 62 * 1024, "thin": false });
    let (code, message) = refused(&client, "create_vm", arguments).await;
    assert_eq!(code, "fault", "{message}");
    assert!(message.contains("create \"bigger\"") && message.contains("get_datastore_info"), "{message}");
    assert!(!exists(&lab, "bigger").await);
}

#[tokio::test]
async fn where_several_fit_the_candidates_are_listed() {
    let lab = lab_of(2, 2, 2).await;
    let client = trusted(&lab).await;
    let (code, message) = refused(&client, "create_vm", json!({ "name": "web-1" })).await;
    assert_eq!(code, "ambiguous", "{message}");
    assert!(message.contains("/DC0") && message.contains("/DC1"), "{message}");
    let (code, message) = refused(&client, "create_vm", json!({ "name": "web-1", "folder": "/DC1/vm" })).await;
    assert_eq!(code, "ambiguous", "{message}");
    assert!(message.contains("/DC1/host/DC1_C1/Resources") && !message.contains("/DC0/"), "{message}");
    // A candidate's id is what the next call takes.
    let cluster = lab.client.get::<ComputeResource>("DC1_C1").await.unwrap();
    let pool = cluster.read(compute_resource::RESOURCE_POOL).await.unwrap().unwrap();
    assert!(message.contains(&pool.value), "{message}");
    let made = call(&client, "create_vm", json!({ "name": "web-1", "pool": pool.value })).await;
    assert_eq!(made["path"], "/DC1/vm/web-1");
    assert!(made["host"].as_str().unwrap().starts_with("DC1_C1_"), "{made:#}");

    for (arguments, says) in [
        (json!({ "name": "a", "pool": pool.value, "folder": "/DC0/vm" }), "two datacenters"),
        (json!({ "name": "a", "pool": pool.value, "host": "DC1_C0_H0" }), "DC1_C0_H0"),
    ] {
        let (code, message) = refused(&client, "create_vm", arguments).await;
        assert_eq!(code, "invalid_argument", "{message}");
        assert!(message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn the_settings_say_where_and_else_the_roomiest_datastore() {
    let lab = lab_of(2, 2, 3).await;
    let settings = [("VCENTER_CLUSTER", "DC1_C0"), ("MCP_CONFIRM", "never")];
    let client = older(lab.server(&settings), ()).await;
    // What takes a datastore's space at once leaves the others with more.
    let fat = json!({ "name": "fat", "disk_gb": 1000, "thin": false, "datastore": "DC1_DS0" });
    assert_eq!(call(&client, "create_vm", fat).await["path"], "/DC1/vm/fat");
    let fat = json!({ "name": "fat-2", "disk_gb": 1000, "thin": false, "datastore": "DC1_DS2" });
    call(&client, "create_vm", fat).await;
    let made = call(&client, "create_vm", json!({ "name": "web-1" })).await;
    assert_eq!(made["datastores"], json!(["DC1_DS1"]), "{made:#}");
    assert!(made["host"].as_str().unwrap().starts_with("DC1_C0_"), "{made:#}");

    let settings = [("VCENTER_CLUSTER", "DC1_C0"), ("VCENTER_DATASTORE", "DC1_DS0"), ("VCENTER_NETWORK", "VM Network")];
    let client = older(lab.server(&settings), ()).await;
    let made = call(&client, "create_vm", json!({ "name": "web-2" })).await;
    assert_eq!((&made["datastores"], &made["networks"]), (&json!(["DC1_DS0"]), &json!(["VM Network"])), "{made:#}");
}

#[tokio::test]
async fn a_distributed_port_group_is_attached_as_one() {
    let lab = Lab::new().await;
    let groups = port_groups(&lab, &["prod", "test"]).await;
    let client = trusted(&lab).await;
    // Several networks: the one that ESXi makes for machines is the usual one.
    assert_eq!(call(&client, "create_vm", json!({ "name": "a" })).await["networks"], json!(["VM Network"]));
    let made = call(&client, "create_vm", json!({ "name": "b", "network": "prod" })).await;
    assert_eq!(made["networks"], json!(["prod"]), "{made:#}");
    let config = configuration(&lab, "b").await;
    let nic = config.hardware.device.iter().find_map(|device| device.downcast_ref::<VirtualVmxnet3>()).unwrap();
    let port = nic.backing.as_ref().unwrap().downcast_ref::<VirtualEthernetCardDistributedVirtualPortBackingInfo>();
    assert_eq!(port.unwrap().port.portgroup_key.as_deref(), Some(groups[0].value.as_str()));

    // Without the usual one nothing is guessed among the others.
    let network = lab.client.get::<Network>("VM Network").await.unwrap();
    let rename = network.rename_task("Office").await.unwrap();
    vsphere_ops::Task::<()>::new(&lab.client, rename, "rename", "VM Network").await.unwrap();
    let (code, message) = refused(&client, "create_vm", json!({ "name": "c" })).await;
    assert_eq!(code, "ambiguous", "{message}");
    assert!(message.contains("prod") && message.contains("Office") && !message.contains("Uplink"), "{message}");
}

/// Port groups of a distributed switch that all hosts are in.
async fn port_groups(lab: &Lab, names: &[&str]) -> Vec<ManagedObjectReference> {
    let folder = lab.client.get::<Folder>("/DC0/network").await.unwrap();
    let hosts = lab.client.all::<HostSystem>().select(()).await.unwrap();
    let hosts = hosts.into_iter().map(|(host, ())| DistributedVirtualSwitchHostMemberConfigSpec {
        operation: "add".to_owned(),
        host: host.reference().clone(),
        ..Default::default()
    });
    let config = DVSConfigSpec { name: Some("switch".to_owned()), host: hosts.collect(), ..Default::default() };
    let spec = DVSCreateSpec { config_spec: Poly::new(config), ..Default::default() };
    let task = folder.create_dvs_task(&spec).await.unwrap();
    let switch: Mo<DistributedVirtualSwitch> =
        vsphere_ops::Task::new(&lab.client, task, "create", "switch").await.unwrap();
    let specs: Vec<DVPortgroupConfigSpec> = names
        .iter()
        .map(|name| DVPortgroupConfigSpec {
            name: Some((*name).to_owned()),
            type_: Some("earlyBinding".to_owned()),
            num_ports: Some(8),
            ..Default::default()
        })
        .collect();
    let task = switch.add_dv_portgroup_task(&specs).await.unwrap();
    vsphere_ops::Task::<()>::new(&lab.client, task, "create", "port groups").await.unwrap();
    let mut groups = Vec::new();
    for name in names {
        groups.push(lab.client.get::<Network>(name).await.unwrap().reference().clone());
    }
    groups
}

#[tokio::test]
async fn a_cluster_without_drs_wants_a_host() {
    let lab = Lab::new().await;
    without_drs(&lab).await;
    let client = trusted(&lab).await;
    let (code, message) = refused(&client, "create_vm", json!({ "name": "web-1" })).await;
    assert_eq!(code, "ambiguous", "{message}");
    assert!(message.contains("DC0_C0_H0") && message.contains("DC0_C0_H1") && message.contains("DRS"), "{message}");
    let made = call(&client, "create_vm", json!({ "name": "web-1", "host": "DC0_C0_H1" })).await;
    assert_eq!(made["host"], "DC0_C0_H1");
    // A copy stays where its source is: nobody else chooses a host.
    let copy = call(&client, "clone_vm", json!({ "template": "web-1", "new_name": "web-2" })).await;
    assert_eq!(copy["host"], "DC0_C0_H1", "{copy:#}");
    lab.client.get::<VirtualMachine>("web-1").await.unwrap().convert_to_template().await.unwrap();
    let copy = call(&client, "deploy_from_template", json!({ "template": "web-1", "new_name": "web-3" })).await;
    assert_eq!(copy["host"], "DC0_C0_H1", "{copy:#}");
    let back = call(&client, "convert_to_vm", json!({ "template": "web-1" })).await;
    assert_eq!((&back["host"], &back["template"]), (&json!("DC0_C0_H1"), &json!(false)), "{back:#}");
}

async fn without_drs(lab: &Lab) {
    let cluster = lab.client.get::<ClusterComputeResource>("DC0_C0").await.unwrap();
    let drs_config = ClusterDrsConfigInfo { enabled: Some(false), ..Default::default() };
    let spec = Poly::new(ClusterConfigSpecEx { drs_config: Some(Box::new(drs_config)), ..Default::default() });
    let task = cluster.reconfigure_compute_resource_task(&spec, true).await.unwrap();
    vsphere_ops::Task::<()>::new(&lab.client, task, "reconfigure", "DC0_C0").await.unwrap();
}

#[tokio::test]
async fn a_clone_is_a_machine_of_its_own() {
    let lab = Lab::new().await;
    let source = lab.machine("base").await;
    let client = trusted(&lab).await;
    let folder = lab.client.get::<Folder>("/DC0/vm").await.unwrap().create_folder("prod").await.unwrap();
    let arguments = json!({ "template": "base", "new_name": "web-1", "folder": "prod", "power_on": true });
    let made = call(&client, "clone_vm", arguments.clone()).await;
    assert_eq!((&made["path"], &made["power_state"]), (&json!("/DC0/vm/prod/web-1"), &json!("powered_on")), "{made:#}");
    let copy = lab.client.get::<VirtualMachine>("web-1").await.unwrap();
    assert!(is_on(&copy).await && !is_on(&source).await);
    assert_eq!(copy.read(vm::PARENT).await.unwrap(), Some(folder));
    assert_eq!(copy.read(vm::RESOURCE_POOL).await.unwrap(), source.read(vm::RESOURCE_POOL).await.unwrap());
    assert_ne!(copy.read(vm::UUID).await.unwrap(), source.read(vm::UUID).await.unwrap());

    let (code, message) = refused(&client, "clone_vm", arguments).await;
    assert_eq!(code, "fault", "{message}");
    assert!(message.contains("already exists") && message.contains(copy.id()), "{message}");
    for (arguments, expected, says) in [
        (json!({ "template": "nope", "new_name": "x" }), "not_found", "nope"),
        (json!({ "template": "base", "new_name": " " }), "invalid_argument", "empty"),
        (json!({ "template": "base", "new_name": "x", "linked": true }), "invalid_argument", "create_snapshot"),
        (json!({ "template": "base", "new_name": "x", "snapshot": "s" }), "not_found", "no snapshots"),
        (json!({ "template": "base", "new_name": "x", "customization": "linux" }), "not_found", "linux"),
        (json!({ "template": "base", "new_name": "x", "datastore": "nope" }), "not_found", "nope"),
    ] {
        let (code, message) = refused(&client, "clone_vm", arguments.clone()).await;
        assert_eq!(code, expected, "{arguments}: {message}");
        assert!(message.contains(says), "{arguments}: {message}");
    }
    assert!(!exists(&lab, "x").await);
}

#[tokio::test]
async fn a_linked_clone_stands_on_a_snapshot_and_its_source_says_so() {
    let lab = Lab::new().await;
    let client = trusted(&lab).await;
    call(&client, "create_vm", json!({ "name": "base" })).await;
    let base = lab.client.get::<VirtualMachine>("base").await.unwrap();
    for name in ["installed", "updated"] {
        let task = base.create_snapshot_task(name, None, false, false).await.unwrap();
        vsphere_ops::Task::<Mo<VirtualMachineSnapshot>>::new(&lab.client, task, "snapshot", name).await.unwrap();
    }
    call(&client, "clone_vm", json!({ "template": "base", "new_name": "now", "linked": true })).await;
    let arguments = json!({ "template": "base", "new_name": "then", "linked": true, "snapshot": "installed" });
    call(&client, "clone_vm", arguments).await;
    let parent = async |name: &str| {
        let config = configuration(&lab, name).await;
        let disk = config.hardware.device.iter().find_map(|device| device.downcast_ref::<VirtualDisk>()).unwrap();
        let backing = disk.backing.as_ref().unwrap().downcast_ref::<VirtualDiskFlatVer2BackingInfo>().unwrap();
        backing.parent.as_ref().unwrap().file_name.clone()
    };
    let (now, then) = (parent("now").await, parent("then").await);
    assert!(now.contains("base/") && then.contains("base/") && now != then, "{now} {then}");
    assert!(then.ends_with("base/base.vmdk"), "{then}");

    let copy =
        call(&client, "clone_vm", json!({ "template": "base", "new_name": "full", "snapshot": "installed" })).await;
    assert_eq!(copy["changed"], true);
    let asked = older(lab.server(&[]), ()).await;
    let plan = call(&asked, "delete_vm", json!({ "vm": "base" })).await;
    assert_eq!(plan["objects"][0]["linked_clones"], json!(["now", "then"]), "{plan:#}");
    assert!(plan["notes"][0].as_str().unwrap().contains(r#""now", "then""#), "{plan:#}");

    let arguments = json!({ "template": "base", "new_name": "x", "linked": true, "snapshot": "nope" });
    let (code, message) = refused(&client, "clone_vm", arguments).await;
    assert_eq!(code, "not_found", "{message}");
    assert!(message.contains("updated"), "{message}");
}

#[tokio::test]
async fn a_customization_is_one_that_vcenter_keeps() {
    let lab = Lab::new().await;
    lab.machine("base").await;
    let manager = lab.client.content().customization_spec_manager.clone().unwrap();
    let manager: CustomizationSpecManager = lab.client.raw(&manager);
    let name = CustomizationFixedName { name: "renamed".to_owned(), ..Default::default() };
    let identity =
        CustomizationLinuxPrep { host_name: Poly::new(name), domain: "example.org".to_owned(), ..Default::default() };
    let spec = CustomizationSpec { identity: Poly::new(identity), ..Default::default() };
    let info = CustomizationSpecInfo { name: "linux".to_owned(), type_: "Linux".to_owned(), ..Default::default() };
    manager.create_customization_spec(&CustomizationSpecItem { info, spec }).await.unwrap();
    let client = trusted(&lab).await;
    let arguments = json!({ "template": "base", "new_name": "web-1", "customization": "linux" });
    call(&client, "clone_vm", arguments).await;
    let config = configuration(&lab, "web-1").await;
    assert!(config.tools.unwrap().pending_customization.is_some());
    let arguments = json!({ "template": "base", "new_name": "web-2", "customization": "windows" });
    let (code, message) = refused(&client, "clone_vm", arguments).await;
    assert_eq!(code, "not_found", "{message}");
    assert!(message.contains("only linux"), "{message}");
}

#[tokio::test]
async fn deploy_takes_templates_alone() {
    let lab = lab_of(1, 2, 1).await;
    let golden = lab.machine("golden").await;
    lab.machine("web-1").await;
    golden.convert_to_template().await.unwrap();
    let client = trusted(&lab).await;
    // Two clusters: it goes where the template is.
    let arguments = json!({ "template": "golden", "new_name": "web-2", "power_on": true });
    let made = call(&client, "deploy_from_template", arguments).await;
    assert_eq!((&made["path"], &made["power_state"]), (&json!("/DC0/vm/web-2"), &json!("powered_on")), "{made:#}");
    assert_eq!(made["template"], false);
    assert!(made["host"].as_str().unwrap().starts_with("DC0_C0_"), "{made:#}");
    assert!(is_on(&lab.client.get::<VirtualMachine>("web-2").await.unwrap()).await);
    // The settings' cluster comes first.
    let settings = [("VCENTER_CLUSTER", "DC0_C1"), ("MCP_CONFIRM", "never")];
    let other = older(lab.server(&settings), ()).await;
    let made = call(&other, "deploy_from_template", json!({ "template": "golden", "new_name": "web-3" })).await;
    assert!(made["host"].as_str().unwrap().starts_with("DC0_C1_"), "{made:#}");

    let arguments = json!({ "template": "web-1", "new_name": "web-4" });
    let (code, message) = refused(&client, "deploy_from_template", arguments).await;
    assert_eq!(code, "invalid_argument", "{message}");
    assert!(message.contains("clone_vm") && !exists(&lab, "web-4").await, "{message}");
    let arguments = json!({ "template": "golden", "new_name": "web-1" });
    assert_eq!(refused(&client, "deploy_from_template", arguments).await.0, "fault");
}

#[tokio::test]
async fn a_template_becomes_a_machine_again() {
    let lab = Lab::new().await;
    let golden = lab.machine("golden").await;
    golden.convert_to_template().await.unwrap();
    let asked = older(lab.server(&[]), ()).await;
    let plan = call(&asked, "convert_to_vm", json!({ "template": "golden" })).await;
    assert_eq!(plan["confirmation_required"], true, "{plan:#}");
    assert!(golden.read(vm::IS_TEMPLATE).await.unwrap());
    let token = &plan["plan_token"];
    let done = call(&asked, "convert_to_vm", json!({ "template": "golden", "confirm": token })).await;
    assert_eq!((&done["changed"], &done["template"]), (&json!(true), &json!(false)), "{done:#}");
    assert!(!golden.read(vm::IS_TEMPLATE).await.unwrap());
    assert!(golden.read(vm::RESOURCE_POOL).await.unwrap().is_some());
    golden.power_on().await.unwrap().await.unwrap();

    let again = call(&asked, "convert_to_vm", json!({ "template": "golden" })).await;
    assert_eq!((&again["changed"], &again["power_state"]), (&json!(false), &json!("powered_on")), "{again:#}");
    golden.power_off().await.unwrap().await.unwrap();
    golden.convert_to_template().await.unwrap();
    let client = trusted(&lab).await;
    let done = call(&client, "convert_to_vm", json!({ "template": "golden", "host": "DC0_C0_H1" })).await;
    assert_eq!(done["host"], "DC0_C0_H1", "{done:#}");
    assert_eq!(refused(&client, "convert_to_vm", json!({ "template": "nope" })).await.0, "not_found");
}

#[tokio::test]
async fn a_single_host_makes_machines_and_says_that_clones_need_a_vcenter() {
    let lab = Lab::of(Model::esxi()).await;
    let client = trusted(&lab).await;
    let made = call(&client, "create_vm", json!({ "name": "web-1" })).await;
    assert_eq!(made["changed"], true, "{made:#}");
    assert!(exists(&lab, "web-1").await);
    for (tool, arguments) in [
        ("clone_vm", json!({ "template": "web-1", "new_name": "web-2" })),
        ("convert_to_template", json!({ "vm": "web-1" })),
    ] {
        let (code, message) = refused(&client, tool, arguments).await;
        assert_eq!(code, "unsupported", "{message}");
        assert!(message.contains("vCenter"), "{message}");
    }
}
