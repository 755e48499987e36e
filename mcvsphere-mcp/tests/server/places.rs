//! Datastores, networks and resource pools, on a simulated vCenter.

use serde_json::{Value, json};
use vsphere_ops::{
    Mo,
    managed::{
        ClusterComputeResource, ComputeResource, Datastore, DistributedVirtualPortgroup, HostNetworkSystem, HostSystem,
        Network, ResourcePool, cluster_compute_resource, compute_resource, datastore, host_system, network,
        resource_pool,
    },
    types::{
        ClusterConfigInfoEx, DVPortgroupConfigSpec, HostPortGroupSpec, NumericRange, Poly, ResourceAllocationInfo,
        ResourceConfigSpec, SharesInfo, SharesLevel, VMwareDVSPortSetting, VmwareDistributedVirtualSwitchTrunkVlanSpec,
    },
};
use vsphere_sim::{Model, Size};

use crate::{
    connect,
    lab::Lab,
    monitoring::{bad, good},
};

#[tokio::test]
async fn a_datastore_tells_its_sizes_hosts_and_machines() {
    let lab = Lab::of(Model::demo()).await;
    let client = connect(lab.server(&[])).await;
    for (found, summary) in lab.client.all::<Datastore>().select(datastore::SUMMARY).await.unwrap() {
        let info = good(&client, "get_datastore_info", json!({ "datastore": found.id() })).await;
        let gib = |bytes: i64| (bytes as f64 / 1_073_741_824.0 * 100.0).round() / 100.0;
        assert_eq!((&info["name"], &info["type"]), (&json!(summary.name), &json!(summary.type_)));
        assert_eq!(info["capacity_gb"], json!(gib(summary.capacity)), "{info:#}");
        assert_eq!(info["free_gb"], json!(gib(summary.free_space)), "{info:#}");
        assert_eq!(info["used_gb"], json!(gib(summary.capacity - summary.free_space)), "{info:#}");
        assert_eq!(info["uncommitted_gb"], json!(gib(summary.uncommitted.unwrap())), "{info:#}");
        assert_eq!((&info["accessible"], &info["maintenance_mode"]), (&json!(true), &json!("normal")));
        let (mounts, vms) = found.read((datastore::HOST, datastore::VM)).await.unwrap();
        assert_eq!((&info["host_count"], &info["vm_count"]), (&json!(mounts.len()), &json!(vms.len())));
        assert_eq!(info["hosts"].as_array().unwrap().len(), mounts.len());
        assert!(info["hosts"].as_array().unwrap().iter().all(|host| host["access_mode"] == "readWrite"), "{info:#}");
        assert_eq!(info["vms"].as_array().unwrap().len(), vms.len().min(50));
    }
    assert_eq!(bad(&client, "get_datastore_info", json!({ "datastore": "none" })).await.0, "not_found");
}

#[tokio::test]
async fn clusters_are_listed_with_what_the_server_says_of_them() {
    let lab = Lab::of(Model::demo()).await;
    let client = connect(lab.server(&[])).await;
    let page = good(&client, "list_clusters", json!({})).await;
    let select =
        (cluster_compute_resource::NAME, cluster_compute_resource::SUMMARY, cluster_compute_resource::CONFIGURATION_EX);
    let all = lab.client.all::<ClusterComputeResource>().select(select).await.unwrap();
    assert_eq!((&page["total"], all.len() > 1), (&json!(all.len()), true), "{page:#}");
    for (found, (name, summary, config)) in all {
        let item = page["items"].as_array().unwrap().iter().find(|item| item["id"] == found.id()).unwrap();
        let config = config.downcast_ref::<ClusterConfigInfoEx>().unwrap();
        assert_eq!((&item["name"], &item["status"]), (&json!(name), &json!(summary.overall_status.as_str())));
        assert_eq!(
            (&item["hosts"], &item["usable_hosts"]),
            (&json!(summary.num_hosts), &json!(summary.num_effective_hosts))
        );
        assert_eq!(
            (&item["cpu_mhz"], &item["memory_bytes"]),
            (&json!(summary.total_cpu), &json!(summary.total_memory))
        );
        let on = |enabled: Option<bool>| json!(enabled == Some(true));
        assert_eq!(
            (&item["drs"], &item["ha"]),
            (&on(config.drs_config.enabled), &on(config.das_config.enabled)),
            "{item:#}"
        );
        assert_eq!(item["failover_hosts"].is_null(), item["ha"] == false, "{item:#}");
    }
    // Page by page, and by a glob.
    let first = good(&client, "list_clusters", json!({ "limit": 1, "fields": ["name"] })).await;
    let second = good(&client, "list_clusters", json!({ "limit": 1, "cursor": first["next_cursor"] })).await;
    assert_eq!(first["items"], json!([{ "name": page["items"][0]["name"] }]));
    assert_eq!(second["items"][0], page["items"][1]);
    let name = page["items"][1]["name"].as_str().unwrap();
    assert_eq!(good(&client, "list_clusters", json!({ "filter": name })).await["total"], 1);
    // A host without vCenter has none.
    let host = Lab::of(Model::esxi()).await;
    assert_eq!(good(&connect(host.server(&[])).await, "list_clusters", json!({})).await["items"], json!([]));
}

#[tokio::test]
async fn of_many_machines_some_are_named_and_all_are_counted() {
    let lab = Lab::of(Model::sized(Size { vms: 60, hosts: 2, datacenters: 1, clusters: 1, datastores: 1 })).await;
    let client = connect(lab.server(&[])).await;
    let info = good(&client, "get_datastore_info", json!({ "name": "DC0_DS0" })).await;
    assert_eq!((&info["vm_count"], info["vms"].as_array().unwrap().len()), (&json!(60), 50));
    let info = good(&client, "get_network_info", json!({ "network": "VM Network" })).await;
    assert_eq!((&info["vm_count"], info["vms"].as_array().unwrap().len()), (&json!(60), 50));
}

#[tokio::test]
async fn a_standard_network_tells_vlan_and_switch_once_or_host_by_host() {
    let lab = Lab::new().await;
    let client = connect(lab.server(&[])).await;
    let info = good(&client, "get_network_info", json!({ "network": "VM Network" })).await;
    assert_eq!((&info["kind"], &info["switch"]), (&json!("standard"), &json!("vSwitch0")), "{info:#}");
    assert_eq!((&info["vlan"], &info["host_count"]), (&json!({ "type": "untagged" }), &json!(2)));
    assert!(info["hosts"][0].get("vlan").is_none(), "{info:#}");

    // One host's port group gets another VLAN.
    let host = lab.client.get::<HostSystem>("DC0_C0_H1").await.unwrap();
    let system = host.read(host_system::CONFIG_MANAGER).await.unwrap().network_system.unwrap();
    let system: HostNetworkSystem = lab.client.raw(&system);
    let spec = HostPortGroupSpec {
        name: "VM Network".to_owned(),
        vlan_id: 42,
        vswitch_name: "vSwitch0".to_owned(),
        ..Default::default()
    };
    system.update_port_group("VM Network", &spec).await.unwrap();
    let info = good(&client, "get_network_info", json!({ "network": "VM Network" })).await;
    assert!(info.get("vlan").is_none() && info.get("switch").is_none(), "{info:#}");
    assert_eq!(info["hosts"][0]["vlan"], json!({ "type": "untagged" }), "{info:#}");
    assert_eq!(info["hosts"][1]["vlan"], json!({ "type": "id", "id": 42 }), "{info:#}");
    assert_eq!(info["hosts"][1]["switch"], "vSwitch0");
}

#[tokio::test]
async fn distributed_and_opaque_networks_tell_what_they_are() {
    let lab = Lab::of(Model::demo()).await;
    let client = connect(lab.server(&[])).await;
    let opaque = good(&client, "get_network_info", json!({ "network": "nsx-partners" })).await;
    assert_eq!((&opaque["kind"], &opaque["opaque_type"]), (&json!("opaque"), &json!("nsx.LogicalSwitch")));
    assert_eq!(opaque["opaque_id"], "7d0e3a51-partners");
    assert!(opaque.get("vlan").is_none(), "{opaque:#}");

    let mut kinds = Vec::new();
    for (found, (name, hosts, vms)) in
        lab.client.all::<Network>().select((network::NAME, network::HOST, network::VM)).await.unwrap()
    {
        let info = good(&client, "get_network_info", json!({ "network": found.id() })).await;
        assert_eq!(info["name"], json!(name));
        assert_eq!((&info["host_count"], &info["vm_count"]), (&json!(hosts.len()), &json!(vms.len())), "{info:#}");
        if found.reference().type_ == "DistributedVirtualPortgroup" {
            assert_eq!((&info["kind"], &info["switch"]), (&json!("distributed"), &json!("dvs-fra1")), "{info:#}");
            kinds.push((found, info));
        }
    }
    let tagged = |(_, info): &&(Mo<Network>, Value)| info["vlan"]["type"] == "id";
    let (group, _) = kinds.iter().find(tagged).unwrap();
    assert!(kinds.iter().any(|(_, info)| info["uplink"] == true && info["vlan"]["type"] == "trunk"), "the uplinks");

    // It becomes a trunk.
    let group: DistributedVirtualPortgroup = lab.client.raw(group.reference());
    let ranges = [(100, 100), (200, 299)].map(|(start, end)| NumericRange { start, end });
    let trunk = VmwareDistributedVirtualSwitchTrunkVlanSpec { vlan_id: ranges.to_vec(), ..Default::default() };
    let setting = VMwareDVSPortSetting { vlan: Some(Poly::new(trunk)), ..Default::default() };
    let spec = DVPortgroupConfigSpec { default_port_config: Some(Poly::new(setting)), ..Default::default() };
    let id = vsphere_soap::request::ManagedObject::handle(&group).reference().value.clone();
    let task = group.reconfigure_dv_portgroup_task(&spec).await.unwrap();
    vsphere_ops::Task::<()>::new(&lab.client, task, "reconfigure", "port group").await.unwrap();
    let info = good(&client, "get_network_info", json!({ "network": id })).await;
    assert_eq!(info["vlan"], json!({ "type": "trunk", "ranges": ["100", "200-299"] }), "{info:#}");
    assert_eq!(bad(&client, "get_network_info", json!({ "network": "none" })).await.0, "not_found");
}

#[tokio::test]
async fn a_resource_pool_tells_what_it_is_given_and_what_it_uses() {
    let lab = Lab::new().await;
    lab.running("web-1").await;
    let client = connect(lab.server(&[])).await;
    let root = good(&client, "get_resource_pool_info", json!({})).await;
    let cluster = lab.client.get::<ComputeResource>("DC0_C0").await.unwrap();
    let reference = cluster.read(compute_resource::RESOURCE_POOL).await.unwrap().unwrap();
    assert_eq!((&root["id"], &root["cluster"]), (&json!(reference.value), &json!("DC0_C0")), "{root:#}");
    assert_eq!((&root["root"], &root["vm_count"]), (&json!(true), &json!(1)));
    assert_eq!(root["vms"][0]["name"], "web-1");

    let pool: Mo<ResourcePool> = lab.client.get(&reference.value).await.unwrap();
    let allocation = |reservation, limit, shares, level| ResourceAllocationInfo {
        reservation: Some(reservation),
        expandable_reservation: Some(true),
        limit: Some(limit),
        shares: Some(Box::new(SharesInfo { shares, level })),
        ..Default::default()
    };
    let spec = ResourceConfigSpec {
        cpu_allocation: allocation(500, 4000, 0, SharesLevel::High),
        memory_allocation: allocation(256, -1, 1234, SharesLevel::Custom),
        ..Default::default()
    };
    pool.create_resource_pool("web", &spec).await.unwrap();
    let web = good(&client, "get_resource_pool_info", json!({ "pool": "web" })).await;
    let cpu = &web["cpu"];
    assert_eq!((&cpu["reservation_mhz"], &cpu["limit_mhz"]), (&json!(500), &json!(4000)), "{web:#}");
    assert_eq!((&cpu["shares_level"], &cpu["expandable"]), (&json!("high"), &json!(true)));
    let memory = &web["memory"];
    assert_eq!((&memory["reservation_mb"], &memory["limit_mb"]), (&json!(256), &json!("unlimited")), "{web:#}");
    assert_eq!((&memory["shares"], &memory["shares_level"]), (&json!(1234), &json!("custom")));
    let made: Mo<ResourcePool> = lab.client.get("web").await.unwrap();
    let runtime = made.read(resource_pool::RUNTIME).await.unwrap();
    assert_eq!(memory["max_usage_mb"], json!(runtime.memory.max_usage >> 20));
    assert_eq!(cpu["unreserved_mhz"], json!(runtime.cpu.unreserved_for_vm));
    // It is not a root pool: there is still one of these.
    let root = good(&client, "get_resource_pool_info", json!({})).await;
    assert_eq!(root["pools"][0]["name"], "web");
    assert_eq!(bad(&client, "get_resource_pool_info", json!({ "pool": "none" })).await.0, "not_found");
}

#[tokio::test]
async fn of_several_root_pools_none_is_guessed() {
    let lab = Lab::of(Model::sized(Size { vms: 0, hosts: 2, datacenters: 1, clusters: 2, datastores: 1 })).await;
    let client = connect(lab.server(&[])).await;
    let (code, message) = bad(&client, "get_resource_pool_info", json!({})).await;
    assert_eq!(code, "ambiguous");
    for path in ["/DC0/host/DC0_C0/Resources (resgroup-", "/DC0/host/DC0_C1/Resources (resgroup-"] {
        assert!(message.contains(path), "{message}");
    }
    let info = good(&client, "get_resource_pool_info", json!({ "pool": "/DC0/host/DC0_C1/Resources" })).await;
    assert_eq!(info["cluster"], "DC0_C1");
}
