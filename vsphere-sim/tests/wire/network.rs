//! Networks and distributed switches, over the wire.

use crate::support::Lab;
use vsphere_model::managed::{
    DistributedVirtualPortgroup, DistributedVirtualSwitchManager, Folder, HostSystem, Network,
    VmwareDistributedVirtualSwitch, cluster_compute_resource, datacenter, distributed_virtual_portgroup as portgroup,
    host_system, network, vmware_distributed_virtual_switch as dvs,
};
use vsphere_model::types::{
    BoolPolicy, DVPortgroupConfigSpec, DVSConfigSpec, DVSCreateSpec, DVSSecurityPolicy,
    DistributedVirtualSwitchHostMemberConfigSpec, DistributedVirtualSwitchHostMemberPnicBacking,
    DistributedVirtualSwitchHostMemberPnicSpec, DistributedVirtualSwitchPortCriteria,
    DistributedVirtualSwitchProductSpec, Poly, VMwareDVSConfigInfo, VMwareDVSConfigSpec, VMwareDVSPortSetting,
    VmwareDistributedVirtualSwitchVlanIdSpec,
};
use vsphere_sim::{Model, Size};
use vsphere_soap::object::ManagedObjectReference as Moref;
use vsphere_soap::request::{ManagedObject as _, Request};

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await
}

async fn failure(lab: &Lab, request: Request<Moref>) -> String {
    lab.task(request).await.unwrap().error.unwrap().fault.type_name().to_owned()
}

async fn success(lab: &Lab, request: Request<Moref>) -> Option<Moref> {
    let task = lab.task(request).await.unwrap();
    assert_eq!(task.error, None);
    task.result.and_then(|result| result.take().ok())
}

async fn switch(lab: &Lab) -> VmwareDistributedVirtualSwitch {
    let folder: Folder = lab.object(&lab.get(&lab.site().await.datacenter, datacenter::NETWORK_FOLDER).await.unwrap());
    let mut config = VMwareDVSConfigSpec { max_mtu: Some(9000), ..Default::default() };
    config.name = Some("dvs".to_owned());
    let spec = DVSCreateSpec { config_spec: Poly::new(config), ..Default::default() };
    lab.object(&success(lab, folder.create_dvs_task(&spec)).await.unwrap())
}

fn member(operation: &str, host: &Moref, nic: &str) -> Poly<DVSConfigSpec> {
    let spec = DistributedVirtualSwitchHostMemberPnicSpec { pnic_device: nic.to_owned(), ..Default::default() };
    let backing = DistributedVirtualSwitchHostMemberPnicBacking { pnic_spec: vec![spec], ..Default::default() };
    let member = DistributedVirtualSwitchHostMemberConfigSpec {
        operation: operation.to_owned(),
        host: host.clone(),
        backing: Some(Poly::new(backing)),
        ..Default::default()
    };
    Poly::new(DVSConfigSpec { host: vec![member], ..Default::default() })
}

fn vlan(id: i32) -> DVPortgroupConfigSpec {
    let setting = VMwareDVSPortSetting {
        vlan: Some(Poly::new(VmwareDistributedVirtualSwitchVlanIdSpec { vlan_id: id, ..Default::default() })),
        ..Default::default()
    };
    DVPortgroupConfigSpec {
        name: Some(format!("vlan-{id}")),
        num_ports: Some(16),
        default_port_config: Some(Poly::new(setting)),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_switch_comes_with_its_uplinks_and_hosts_join_and_leave() {
    let lab = lab().await;
    let made = switch(&lab).await;
    let config: VMwareDVSConfigInfo = lab.get(&made, dvs::CONFIG).await.downcast().unwrap();
    assert_eq!((config.max_mtu, config.uplink_portgroup.len()), (9000, 1));
    assert_eq!(lab.get(&made, dvs::PORTGROUP).await, config.uplink_portgroup);
    let uplinks: DistributedVirtualPortgroup = lab.object(&config.uplink_portgroup[0]);
    assert_eq!(lab.get(&uplinks, portgroup::CONFIG).await.uplink, Some(true));
    let hosts = lab.get(&lab.site().await.cluster, cluster_compute_resource::HOST).await;
    // The first two NICs are the standard switch's.
    let taken = member("add", &hosts[0], "vmnic0");
    assert_eq!(failure(&lab, made.reconfigure_dvs_task(&taken)).await, "ResourceInUse");
    let unknown = member("add", &hosts[0], "vmnic77");
    assert_eq!(failure(&lab, made.reconfigure_dvs_task(&unknown)).await, "InvalidArgument");
    success(&lab, made.reconfigure_dvs_task(&member("add", &hosts[0], "vmnic2"))).await;
    assert_eq!(failure(&lab, made.reconfigure_dvs_task(&member("add", &hosts[0], "vmnic3"))).await, "InvalidArgument");
    let group = success(&lab, made.create_dv_portgroup_task(&vlan(30))).await.unwrap();
    // Whoever is a member has its port groups, also those that were there before.
    for group in [&group, &config.uplink_portgroup[0]] {
        let seen: Vec<Moref> = lab.read(group, "host").await.unwrap().take().unwrap();
        assert_eq!(seen, hosts[..1]);
    }
    let host: HostSystem = lab.object(&hosts[0]);
    let network = lab.get(&host, host_system::CONFIG).await.unwrap().network.unwrap();
    assert_eq!(network.proxy_switch[0].dvs_uuid, config.uuid);
    assert_eq!(network.proxy_switch[0].pnic, ["key-vim.host.PhysicalNic-vmnic2"]);
    success(&lab, made.reconfigure_dvs_task(&member("remove", &hosts[0], "vmnic2"))).await;
    assert!(!lab.get(&host, host_system::NETWORK).await.contains(&group));
    assert_eq!(lab.get(&made, dvs::SUMMARY).await.num_hosts, Some(0));
    let stale: Poly<DVSConfigSpec> =
        Poly::new(DVSConfigSpec { config_version: Some("1".to_owned()), ..Default::default() });
    assert_eq!(failure(&lab, made.reconfigure_dvs_task(&stale)).await, "ConcurrentAccess");
    success(&lab, made.destroy_task()).await;
    assert!(lab.read(&group, "name").await.is_err());
}

#[tokio::test]
async fn a_port_group_has_ports_and_settings_over_those_of_its_switch() {
    let lab = lab().await;
    let made = switch(&lab).await;
    let group = success(&lab, made.create_dv_portgroup_task(&vlan(30))).await.unwrap();
    let group: DistributedVirtualPortgroup = lab.object(&group);
    let config = lab.get(&group, portgroup::CONFIG).await;
    assert_eq!(
        (config.num_ports, config.type_.as_str(), &config.key),
        (16, "earlyBinding", &group.handle().reference().value)
    );
    let setting = config.default_port_config.unwrap();
    let setting = setting.downcast_ref::<VMwareDVSPortSetting>().unwrap();
    let id = setting.vlan.as_ref().unwrap().downcast_ref::<VmwareDistributedVirtualSwitchVlanIdSpec>().unwrap();
    assert_eq!(id.vlan_id, 30);
    assert!(setting.security_policy.is_some(), "what the port group does not say is the switch's");
    assert_eq!(setting.qos_tag.as_ref().and_then(|tag| tag.value), Some(-1));
    let uplinks = lab.get(&made, dvs::CONFIG).await.uplink_portgroup[0].clone();
    let uplinks: DistributedVirtualPortgroup = lab.object(&uplinks);
    assert_eq!(lab.get(&uplinks, portgroup::TAG).await[0].key, "SYSTEM/DVS.UPLINKPG");
    let error = made.create_dv_portgroup_task(&vlan(30)).await.unwrap_err();
    assert!(error.fault().unwrap().is_named("DuplicateName"), "{error}");
    let error = made.create_dv_portgroup_task(&vlan(4095)).await.unwrap_err();
    assert!(error.fault().unwrap().is_named("InvalidArgument"), "{error}");
    let keys = lab.get(&group, portgroup::PORT_KEYS).await;
    let criteria = |connected| DistributedVirtualSwitchPortCriteria {
        portgroup_key: vec![group.handle().reference().value.clone()],
        inside: Some(true),
        connected,
        ..Default::default()
    };
    assert_eq!(made.fetch_dv_port_keys(Some(&criteria(None))).await.unwrap(), keys);
    assert_eq!(made.fetch_dv_ports(Some(&criteria(Some(true)))).await.unwrap(), []);
    let spec = DVPortgroupConfigSpec {
        config_version: config.config_version,
        name: Some("renamed".to_owned()),
        num_ports: Some(20),
        ..Default::default()
    };
    success(&lab, group.reconfigure_dv_portgroup_task(&spec)).await;
    assert_eq!(failure(&lab, group.reconfigure_dv_portgroup_task(&spec)).await, "ConcurrentAccess");
    let config = lab.get(&group, portgroup::CONFIG).await;
    assert_eq!((config.name.as_str(), config.num_ports), ("renamed", 20));
    let more = lab.get(&group, portgroup::PORT_KEYS).await;
    assert_eq!((more.len(), &more[..16]), (20, &keys[..]));
    success(&lab, group.destroy_task()).await;
    assert_eq!(lab.get(&made, dvs::PORTGROUP).await.len(), 1);
    // The two policies on who may pretend to be another are one, and what is not said stays.
    let other = success(&lab, made.create_dv_portgroup_task(&vlan(31))).await.unwrap();
    let other: DistributedVirtualPortgroup = lab.object(&other);
    let promiscuous = BoolPolicy { value: Some(true), ..Default::default() };
    let policy = DVSSecurityPolicy { allow_promiscuous: Some(Box::new(promiscuous)), ..Default::default() };
    let security = VMwareDVSPortSetting { security_policy: Some(Box::new(policy)), ..Default::default() };
    let spec = DVPortgroupConfigSpec { default_port_config: Some(Poly::new(security)), ..Default::default() };
    success(&lab, other.reconfigure_dv_portgroup_task(&spec)).await;
    let reread = lab.get(&other, portgroup::CONFIG).await.default_port_config.unwrap();
    let reread = reread.downcast_ref::<VMwareDVSPortSetting>().unwrap();
    let newer = reread.mac_management_policy.as_ref().unwrap();
    assert_eq!((newer.allow_promiscuous, newer.mac_changes), (Some(true), Some(false)));
    let older = reread.security_policy.as_ref().unwrap();
    assert_eq!(older.mac_changes.as_ref().and_then(|policy| policy.value), Some(false));
    let id = reread.vlan.as_ref().unwrap().downcast_ref::<VmwareDistributedVirtualSwitchVlanIdSpec>().unwrap();
    assert_eq!(id.vlan_id, 31);
}

#[tokio::test]
async fn the_manager_finds_switches_and_knows_their_versions() {
    let lab = lab().await;
    let made = switch(&lab).await;
    let manager: DistributedVirtualSwitchManager = lab.object(lab.content.dv_switch_manager.as_ref().unwrap());
    let uuid = lab.get(&made, dvs::UUID).await;
    assert_eq!(manager.query_dvs_by_uuid(&uuid).await.unwrap().as_ref(), Some(made.handle().reference()));
    let error = manager.query_dvs_by_uuid("no").await.unwrap_err();
    assert!(error.fault().unwrap().is_named("NotFound"), "{error}");
    let newest = manager.query_available_dvs_spec(Some(true)).await.unwrap();
    let product = lab.get(&made, dvs::SUMMARY).await.product_info.unwrap();
    assert_eq!(newest[0].version, product.version);
    let versions = async |recommended| {
        let specs = manager.query_available_dvs_spec(recommended).await.unwrap();
        specs.into_iter().filter_map(|spec| spec.version).collect::<Vec<_>>()
    };
    assert_eq!(versions(Some(true)).await, ["9.0.0", "8.0.3", "8.0.0"]);
    assert_eq!(versions(Some(false)).await, ["7.0.3", "7.0.2", "7.0.0", "6.6.0"]);
    assert_eq!(versions(None).await.len(), 7);
    let hosts = lab.get(&lab.site().await.cluster, cluster_compute_resource::HOST).await;
    let target = manager.query_dvs_config_target(Some(&hosts[0]), None).await.unwrap();
    assert_eq!(target.distributed_virtual_switch, []);
    success(&lab, made.reconfigure_dvs_task(&member("add", &hosts[0], "vmnic2"))).await;
    let target = manager.query_dvs_config_target(Some(&hosts[0]), None).await.unwrap();
    assert_eq!(target.distributed_virtual_switch[0].switch_uuid, uuid);
    let folder: Folder = lab.object(&lab.get(&lab.site().await.datacenter, datacenter::NETWORK_FOLDER).await.unwrap());
    let spec = DVSCreateSpec {
        config_spec: Poly::new(DVSConfigSpec { name: Some("old".to_owned()), ..Default::default() }),
        product_info: Some(Box::new(DistributedVirtualSwitchProductSpec {
            version: Some("4.0.0".to_owned()),
            ..Default::default()
        })),
        ..Default::default()
    };
    let error = folder.create_dvs_task(&spec).await.unwrap_err();
    assert!(error.fault().unwrap().is_named("InvalidArgument"), "{error}");
}

#[tokio::test]
async fn a_network_that_hosts_have_stays() {
    let lab = lab().await;
    let shared: Network = lab.object(&lab.site().await.network);
    assert_eq!(lab.get(&shared, network::HOST).await.len(), 3);
    assert!(lab.get(&shared, network::SUMMARY).await.accessible);
    let error = shared.destroy_network().await.unwrap_err();
    assert!(error.fault().unwrap().is_named("ResourceInUse"), "{error}");
}
