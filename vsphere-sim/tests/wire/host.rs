//! Hosts and their managers, over the wire.

use std::time::Duration;

use crate::support::Lab;
use vsphere_model::managed::{
    ClusterComputeResource, Folder, HostDatastoreSystem, HostDateTimeSystem, HostFirewallSystem, HostNetworkSystem,
    HostServiceSystem, HostSystem, HostVirtualNicManager, OptionManager, cluster_compute_resource, datacenter, folder,
    host_date_time_system, host_firewall_system, host_network_system, host_service_system, host_system,
    host_virtual_nic_manager, virtual_machine,
};
use vsphere_model::types::{
    ClusterConfigSpecEx, ClusterDrsConfigInfo, DrsBehavior, HostConnectSpec, HostDateTimeConfig, HostNtpConfig,
    HostPortGroupSpec, HostScsiDisk, HostSystemConnectionState, HostSystemPowerState, HostVirtualNicSpec,
    HostVirtualSwitchBondBridge, HostVirtualSwitchSpec, OptionValue, Poly, SSLVerifyFault, TaskInfoState,
    VirtualMachinePowerState, VmfsDatastoreCreateSpec,
};
use vsphere_sim::{Model, Size};
use vsphere_soap::object::{DataObject, ManagedObjectReference as Moref, Value};
use vsphere_soap::request::{ManagedObject as _, Request};

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await
}

async fn hosts(lab: &Lab) -> Vec<HostSystem> {
    let cluster = lab.site().await.cluster;
    let hosts = lab.get(&cluster, cluster_compute_resource::HOST).await;
    hosts.iter().map(|host| lab.object(host)).collect()
}

/// The fault of a call that fails at once.
async fn fault<T>(request: Request<T>) -> String
where
    Request<T>: IntoFuture<Output = vsphere_soap::Result<T>>,
{
    let error = request.await.err().unwrap();
    error.fault().unwrap().name().unwrap_or_default().to_owned()
}

/// The fault of a task that fails.
async fn failure(lab: &Lab, request: Request<Moref>) -> String {
    lab.task(request).await.unwrap().error.unwrap().fault.type_name().to_owned()
}

async fn success(lab: &Lab, request: Request<Moref>) {
    assert_eq!(lab.task(request).await.unwrap().error, None);
}

#[tokio::test]
async fn a_host_says_what_it_is_and_its_parts_agree() {
    let lab = lab().await;
    let host = &hosts(&lab).await[0];
    let summary = lab.get(host, host_system::SUMMARY).await;
    let hardware = lab.get(host, host_system::HARDWARE).await.unwrap();
    let config = lab.get(host, host_system::CONFIG).await.unwrap();
    let brief = summary.hardware.unwrap();
    assert_eq!(hardware.memory_size, brief.memory_size);
    assert_eq!(hardware.cpu_pkg.len(), usize::try_from(brief.num_cpu_pkgs).unwrap());
    let threads: usize = hardware.cpu_pkg.iter().map(|package| package.thread_id.len()).sum();
    assert_eq!(threads, usize::try_from(brief.num_cpu_threads).unwrap());
    let network = config.network.unwrap();
    assert_eq!(network.pnic.len(), usize::try_from(brief.num_nics).unwrap());
    assert_eq!(config.product.product_line_id, "embeddedEsx");
    assert_eq!(Some(&config.product), summary.config.product.as_deref());
    // The volumes are those of its datastores, and each has a disk that the multipath information knows.
    let datastores = lab.get(host, host_system::DATASTORE).await;
    assert_eq!(config.file_system_volume.unwrap().mount_info.len(), datastores.len());
    let storage = config.storage_device.unwrap();
    assert_eq!(storage.scsi_lun.len(), storage.multipath_info.unwrap().lun.len());
    assert!(storage.scsi_lun.len() > datastores.len());
    let health = summary.runtime.unwrap().health_system_runtime.unwrap();
    assert!(!health.system_health_info.unwrap().numeric_sensor_info.is_empty());
    // No two hosts have the same address or serial number.
    let mut seen = std::collections::HashSet::new();
    for host in hosts(&lab).await {
        let config = lab.get(&host, host_system::CONFIG).await.unwrap();
        let address = config.network.unwrap().vnic[0].spec.ip.as_ref().unwrap().ip_address.clone().unwrap();
        let serial = lab.get(&host, host_system::HARDWARE).await.unwrap().system_info.serial_number.unwrap();
        assert!(seen.insert(address) && seen.insert(serial));
    }
}

#[tokio::test]
async fn services_start_stop_and_keep_their_policy() {
    let lab = lab().await;
    let host = &hosts(&lab).await[0];
    let managers = lab.get(host, host_system::CONFIG_MANAGER).await;
    let services: HostServiceSystem = lab.object(&managers.service_system.unwrap());
    let state = async |key: &str| {
        let all = lab.get(&services, host_service_system::SERVICE_INFO).await.service;
        let found = all.into_iter().find(|service| service.key == key).unwrap();
        (found.running, found.policy)
    };
    assert_eq!(state("TSM-SSH").await, (false, "off".to_owned()));
    // What has its state already is no fault.
    services.stop_service("TSM-SSH").await.unwrap();
    assert!(!state("TSM-SSH").await.0);
    services.restart_service("TSM-SSH").await.unwrap();
    assert!(state("TSM-SSH").await.0);
    services.start_service("TSM-SSH").await.unwrap();
    services.restart_service("TSM-SSH").await.unwrap();
    assert_eq!(fault(services.update_service_policy("TSM-SSH", "always")).await, "InvalidArgument");
    services.update_service_policy("TSM-SSH", "automatic").await.unwrap();
    assert_eq!(state("TSM-SSH").await, (true, "automatic".to_owned()));
    assert_eq!(fault(services.start_service("telnetd")).await, "NotFound");
    // What was started by hand does not survive a reboot.
    success(&lab, host.reboot_host_task(true)).await;
    assert_eq!(state("TSM-SSH").await, (false, "automatic".to_owned()));
    assert!(state("ntpd").await.0);
}

#[tokio::test]
async fn the_clock_follows_its_servers_or_is_set_by_hand() {
    let lab = lab().await;
    let host = &hosts(&lab).await[0];
    let managers = lab.get(host, host_system::CONFIG_MANAGER).await;
    let clock: HostDateTimeSystem = lab.object(&managers.date_time_system.unwrap());
    let past = "2001-02-03T04:05:06Z".parse().unwrap();
    clock.update_date_time(&past).await.unwrap();
    let now = clock.query_date_time().await.unwrap();
    assert!((now - past).num_seconds() < 60, "{now}");
    let config = HostDateTimeConfig {
        time_zone: Some("Europe/Zurich".to_owned()),
        ntp_config: Some(Box::new(HostNtpConfig { server: vec!["ntp.example.com".to_owned()], ..Default::default() })),
        ..Default::default()
    };
    clock.update_date_time_config(&config).await.unwrap();
    let info = lab.get(&clock, host_date_time_system::DATE_TIME_INFO).await;
    assert_eq!(
        (info.time_zone.key.as_str(), info.ntp_config.unwrap().server),
        ("Europe/Zurich", config.ntp_config.unwrap().server)
    );
    assert!((clock.query_date_time().await.unwrap() - past).num_days() > 365);
    assert!(clock.query_available_time_zones().await.unwrap().iter().any(|zone| zone.key == "Europe/Zurich"));
    let wrong = HostDateTimeConfig { time_zone: Some("Mars/Olympus".to_owned()), ..Default::default() };
    assert_eq!(fault(clock.update_date_time_config(&wrong)).await, "InvalidArgument");
}

#[tokio::test]
async fn a_switch_its_port_groups_and_adapters_come_and_go() {
    let lab = lab().await;
    let host = &hosts(&lab).await[0];
    let managers = lab.get(host, host_system::CONFIG_MANAGER).await;
    let system: HostNetworkSystem = lab.object(&managers.network_system.unwrap());
    let bridge = HostVirtualSwitchBondBridge { nic_device: vec!["vmnic2".to_owned()], ..Default::default() };
    let spec = HostVirtualSwitchSpec {
        bridge: Some(Poly::new(bridge)),
        mtu: Some(9000),
        num_ports: 128,
        ..Default::default()
    };
    system.add_virtual_switch("vSwitch1", Some(&spec)).await.unwrap();
    assert_eq!(fault(system.add_virtual_switch("vSwitch1", None)).await, "AlreadyExists");
    assert_eq!(fault(system.add_virtual_switch("vSwitch2", Some(&spec))).await, "ResourceInUse");
    let group = |vlan_id| HostPortGroupSpec {
        name: "web".to_owned(),
        vlan_id,
        vswitch_name: "vSwitch1".to_owned(),
        ..Default::default()
    };
    assert_eq!(fault(system.add_port_group(&group(5000))).await, "InvalidArgument");
    system.add_port_group(&group(30)).await.unwrap();
    // The port group is a network of the datacenter now, and of this host alone.
    let networks: Folder =
        lab.object(&lab.get(&lab.site().await.datacenter, datacenter::NETWORK_FOLDER).await.unwrap());
    let made = lab.get(&networks, folder::CHILD_ENTITY).await.pop().unwrap();
    assert_eq!(lab.read(&made, "name").await.unwrap().as_str(), Some("web"));
    let seen: Vec<Moref> = lab.read(&made, "host").await.unwrap().take().unwrap();
    assert_eq!(seen, [host.handle().reference().clone()]);
    // An adapter for vMotion in it keeps it.
    let device = system.add_virtual_nic("web", &HostVirtualNicSpec::default()).await.unwrap();
    assert_eq!(device, "vmk2");
    let nics: HostVirtualNicManager = lab.object(&managers.virtual_nic_manager.unwrap());
    nics.select_vnic_for_nic_type("vmotion", "vmk2").await.unwrap();
    assert_eq!(fault(nics.select_vnic_for_nic_type("vmotion", "vmk9")).await, "InvalidArgument");
    let info = lab.get(&nics, host_virtual_nic_manager::INFO).await;
    let vmotion = info.net_config.iter().find(|config| config.nic_type == "vmotion").unwrap();
    assert_eq!(vmotion.selected_vnic.len(), 2);
    assert_eq!(fault(system.remove_port_group("web")).await, "ResourceInUse");
    assert_eq!(fault(system.remove_virtual_switch("vSwitch1")).await, "ResourceInUse");
    system.remove_virtual_nic("vmk2").await.unwrap();
    assert_eq!(fault(system.remove_virtual_nic("vmk2")).await, "NotFound");
    system.remove_virtual_switch("vSwitch1").await.unwrap();
    let info = lab.get(&system, host_network_system::NETWORK_INFO).await.unwrap();
    assert!(info.portgroup.iter().all(|group| group.spec.name != "web"));
    assert!(!lab.get(&networks, folder::CHILD_ENTITY).await.contains(&made));
}

#[tokio::test]
async fn a_port_group_with_machines_is_in_use() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    let host: HostSystem = lab.object(&lab.get(&machine, virtual_machine::RUNTIME).await.host.unwrap());
    let managers = lab.get(&host, host_system::CONFIG_MANAGER).await;
    let system: HostNetworkSystem = lab.object(&managers.network_system.unwrap());
    assert_eq!(fault(system.remove_port_group("VM Network")).await, "ResourceInUse");
    success(&lab, machine.destroy_task()).await;
    system.remove_port_group("VM Network").await.unwrap();
}

#[tokio::test]
async fn options_take_values_of_their_type_alone() {
    let lab = lab().await;
    let host = &hosts(&lab).await[0];
    let managers = lab.get(host, host_system::CONFIG_MANAGER).await;
    let options: OptionManager = lab.object(&managers.advanced_option.unwrap());
    let value = |key: &str, value: i64| Poly::new(OptionValue { key: key.to_owned(), value: Some(value.into()) });
    assert!(options.query_options(Some("Net.")).await.unwrap().len() > 1);
    options.update_options(&[value("UserVars.ESXiShellTimeOut", 600)]).await.unwrap();
    let found = options.query_options(Some("UserVars.ESXiShellTimeOut")).await.unwrap();
    assert_eq!(found[0].value, Some(600_i64.into()));
    assert_eq!(fault(options.update_options(&[value("Mem.ShareForceSalting", 7)])).await, "InvalidArgument");
    assert_eq!(fault(options.update_options(&[value("No.Such", 7)])).await, "InvalidName");
    assert_eq!(fault(options.query_options(Some("No.Such"))).await, "InvalidName");
    let own: OptionManager = lab.object(lab.content.setting.as_ref().unwrap());
    own.update_options(&[value("event.maxAge", 90)]).await.unwrap();
    assert_eq!(own.query_options(Some("event.maxAge")).await.unwrap()[0].value, Some(90_i64.into()));
}

#[tokio::test]
async fn rule_sets_of_the_firewall_open_and_close() {
    let lab = lab().await;
    let host = &hosts(&lab).await[0];
    let managers = lab.get(host, host_system::CONFIG_MANAGER).await;
    let firewall: HostFirewallSystem = lab.object(&managers.firewall_system.unwrap());
    let is_open = async |key: &str| {
        let info = lab.get(&firewall, host_firewall_system::FIREWALL_INFO).await.unwrap();
        info.ruleset.into_iter().find(|ruleset| ruleset.key == key).unwrap().enabled
    };
    assert!(!is_open("gdbserver").await);
    firewall.enable_ruleset("gdbserver").await.unwrap();
    assert!(is_open("gdbserver").await);
    firewall.disable_ruleset("gdbserver").await.unwrap();
    assert!(!is_open("gdbserver").await);
    assert_eq!(fault(firewall.enable_ruleset("doom")).await, "NotFound");
}

#[tokio::test]
async fn a_free_disk_becomes_a_datastore_and_is_free_again() {
    let lab = lab().await;
    let host = &hosts(&lab).await[0];
    let managers = lab.get(host, host_system::CONFIG_MANAGER).await;
    let system: HostDatastoreSystem = lab.object(&managers.datastore_system.unwrap());
    let free: Vec<HostScsiDisk> = system.query_available_disks_for_vmfs(None).await.unwrap();
    let options = system.query_vmfs_datastore_create_options(&free[0].device_path, None).await.unwrap();
    let mut spec: VmfsDatastoreCreateSpec = options[0].spec.clone().downcast().unwrap();
    spec.vmfs.volume_name = "scratch".to_owned();
    let made = system.create_vmfs_datastore(&spec).await.unwrap();
    let capacity: i64 = lab.read(&made, "summary.capacity").await.unwrap().take().unwrap();
    assert_eq!(capacity, free[0].capacity.block * i64::from(free[0].capacity.block_size));
    assert_eq!(system.query_available_disks_for_vmfs(None).await.unwrap().len(), free.len() - 1);
    assert!(lab.get(host, host_system::DATASTORE).await.contains(&made));
    assert_eq!(fault(system.create_vmfs_datastore(&spec)).await, "NotFound");
    system.remove_datastore(&made).await.unwrap();
    assert_eq!(system.query_available_disks_for_vmfs(None).await.unwrap().len(), free.len());
    assert!(!lab.get(host, host_system::DATASTORE).await.contains(&made));
}

#[tokio::test]
async fn drs_empties_a_host_that_enters_maintenance_mode() {
    let lab = lab().await;
    let (running, off) = (lab.machine("runs", &[]).await, lab.machine("rests", &[]).await);
    success(&lab, running.power_on_vm_task(None)).await;
    let before = lab.get(&running, virtual_machine::RUNTIME).await.host.unwrap();
    let host: HostSystem = lab.object(&before);
    success(&lab, host.enter_maintenance_mode_task(0, Some(true), None)).await;
    let runtime = lab.get(&host, host_system::RUNTIME).await;
    assert!(runtime.in_maintenance_mode);
    let after = lab.get(&running, virtual_machine::RUNTIME).await;
    assert_ne!(after.host.as_ref(), Some(&before));
    assert_eq!(after.power_state, VirtualMachinePowerState::PoweredOn);
    assert_ne!(lab.get(&off, virtual_machine::RUNTIME).await.host.as_ref(), Some(&before));
    assert_eq!(lab.get(&host, host_system::VM).await, []);
    assert_eq!(fault(host.enter_maintenance_mode_task(0, None, None)).await, "InvalidState");
    success(&lab, host.exit_maintenance_mode_task(0)).await;
    assert_eq!(failure(&lab, host.exit_maintenance_mode_task(0)).await, "InvalidState");
}

/// A host with a machine that runs, in a cluster whose DRS only recommends.
async fn host_that_drs_leaves_alone(lab: &Lab) -> (HostSystem, vsphere_model::managed::VirtualMachine) {
    let cluster: ClusterComputeResource = lab.site().await.cluster;
    let drs = ClusterDrsConfigInfo { default_vm_behavior: Some(DrsBehavior::Manual), ..Default::default() };
    let spec = ClusterConfigSpecEx { drs_config: Some(Box::new(drs)), ..Default::default() };
    success(lab, cluster.reconfigure_compute_resource_task(&Poly::new(spec), true)).await;
    let machine = lab.machine("runs", &[]).await;
    success(lab, machine.power_on_vm_task(None)).await;
    (lab.object(&lab.get(&machine, virtual_machine::RUNTIME).await.host.unwrap()), machine)
}

#[tokio::test]
async fn a_clock_before_7_0_3_knows_its_servers_and_its_zone_alone() {
    let lab = Lab::new(Model::sized(Size { vms: 0, ..Size::default() }).version("7.0.2.0")).await;
    let host = &hosts(&lab).await[0];
    let managers = lab.get(host, host_system::CONFIG_MANAGER).await;
    let clock: HostDateTimeSystem = lab.object(&managers.date_time_system.unwrap());
    let info = lab.get(&clock, host_date_time_system::DATE_TIME_INFO).await;
    assert_eq!((info.system_clock_protocol, info.enabled), (None, None));
    let servers = HostNtpConfig { server: vec!["ntp.example.com".to_owned()], ..Default::default() };
    let servers = HostDateTimeConfig { ntp_config: Some(Box::new(servers)), ..Default::default() };
    let newer = HostDateTimeConfig { protocol: Some("ntp".to_owned()), ..servers.clone() };
    assert_eq!(fault(clock.update_date_time_config(&newer)).await, "InvalidArgument");
    clock.update_date_time_config(&servers).await.unwrap();
    let info = lab.get(&clock, host_date_time_system::DATE_TIME_INFO).await;
    assert_eq!(info.ntp_config.unwrap().server, ["ntp.example.com"]);
}

#[tokio::test]
async fn drs_leaves_a_machine_where_there_is_no_vmotion() {
    let lab = lab().await;
    let machine = lab.machine("runs", &[]).await;
    success(&lab, machine.power_on_vm_task(None)).await;
    let host: HostSystem = lab.object(&lab.get(&machine, virtual_machine::RUNTIME).await.host.unwrap());
    let managers = lab.get(&host, host_system::CONFIG_MANAGER).await;
    let nics: HostVirtualNicManager = lab.object(&managers.virtual_nic_manager.unwrap());
    nics.deselect_vnic_for_nic_type("vmotion", "vmk1").await.unwrap();
    assert_eq!(failure(&lab, host.enter_maintenance_mode_task(1, None, None)).await, "Timedout");
    nics.select_vnic_for_nic_type("vmotion", "vmk1").await.unwrap();
    success(&lab, host.enter_maintenance_mode_task(0, None, None)).await;
    // Nobody has plugged a cable into the last NIC.
    let network = lab.get(&host, host_system::CONFIG).await.unwrap().network.unwrap();
    let links: Vec<bool> = network.pnic.iter().map(|nic| nic.link_speed.is_some()).collect();
    assert_eq!(links, [true, true, true, false]);
    assert!(network.vnic[0].spec.ip.as_ref().unwrap().ip_v6_config.is_some());
}

#[tokio::test]
async fn without_drs_maintenance_mode_waits_until_the_machines_are_gone() {
    let lab = lab().await;
    let (host, machine) = host_that_drs_leaves_alone(&lab).await;
    let task = host.enter_maintenance_mode_task(0, None, None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let info: vsphere_model::types::TaskInfo = lab.read(&task, "info").await.unwrap().take().unwrap();
    assert_eq!(info.state, TaskInfoState::Running);
    assert!(!lab.get(&host, host_system::RUNTIME).await.in_maintenance_mode);
    success(&lab, machine.power_off_vm_task()).await;
    for _ in 0..200 {
        if lab.get(&host, host_system::RUNTIME).await.in_maintenance_mode {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the host has not entered maintenance mode");
}

#[tokio::test]
async fn a_machine_that_is_off_holds_maintenance_mode_up_where_it_is_to_go_too() {
    let lab = lab().await;
    let (host, machine) = host_that_drs_leaves_alone(&lab).await;
    success(&lab, machine.power_off_vm_task()).await;
    assert_eq!(failure(&lab, host.enter_maintenance_mode_task(1, Some(true), None)).await, "Timedout");
    success(&lab, host.enter_maintenance_mode_task(0, Some(false), None)).await;
    success(&lab, host.exit_maintenance_mode_task(0)).await;
    success(&lab, machine.destroy_task()).await;
    success(&lab, host.enter_maintenance_mode_task(0, Some(true), None)).await;
}

#[tokio::test]
async fn maintenance_mode_that_waits_ends_in_time_or_is_cancelled() {
    let lab = lab().await;
    let (host, _machine) = host_that_drs_leaves_alone(&lab).await;
    assert_eq!(failure(&lab, host.enter_maintenance_mode_task(1, None, None)).await, "Timedout");
    let task = host.enter_maintenance_mode_task(0, None, None).await.unwrap();
    let handle: vsphere_model::managed::Task = lab.object(&task);
    handle.cancel_task().await.unwrap();
    let ended = async {
        loop {
            let info: vsphere_model::types::TaskInfo = lab.read(&task, "info").await.unwrap().take().unwrap();
            if let Some(error) = info.error {
                return error.fault.type_name().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap(), "RequestCanceled");
}

#[tokio::test]
async fn a_host_that_goes_down_takes_its_machines_along() {
    let lab = lab().await;
    let machine = lab.machine("runs", &[]).await;
    success(&lab, machine.power_on_vm_task(None)).await;
    let host: HostSystem = lab.object(&lab.get(&machine, virtual_machine::RUNTIME).await.host.unwrap());
    assert_eq!(fault(host.shutdown_host_task(false)).await, "InvalidState");
    success(&lab, host.shutdown_host_task(true)).await;
    let runtime = lab.get(&host, host_system::RUNTIME).await;
    assert_eq!(runtime.power_state, HostSystemPowerState::PoweredOff);
    assert_eq!(runtime.connection_state, HostSystemConnectionState::NotResponding);
    assert_eq!(lab.get(&machine, virtual_machine::RUNTIME).await.power_state, VirtualMachinePowerState::PoweredOff);
    assert_eq!(fault(host.enter_maintenance_mode_task(0, None, None)).await, "HostNotReachable");
    assert_eq!(failure(&lab, host.reconnect_host_task(None, None)).await, "HostNotReachable");
    let summary = lab.get(&lab.site().await.cluster, cluster_compute_resource::SUMMARY).await;
    assert_eq!((summary.num_hosts, summary.num_effective_hosts), (3, 2));
}

#[tokio::test]
async fn a_reboot_takes_its_time_and_the_host_comes_back() {
    let lab = Lab::new(Model::sized(Size { vms: 0, ..Size::default() }).pace(0.001)).await;
    let host = &hosts(&lab).await[0];
    let booted = lab.get(host, host_system::RUNTIME).await.boot_time.unwrap();
    success(&lab, host.reboot_host_task(true)).await;
    assert_eq!(lab.get(host, host_system::RUNTIME).await.connection_state, HostSystemConnectionState::NotResponding);
    for _ in 0..500 {
        let runtime = lab.get(host, host_system::RUNTIME).await;
        if runtime.connection_state == HostSystemConnectionState::Connected {
            assert!(runtime.boot_time.unwrap() > booted);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the host has not come back");
}

#[tokio::test]
async fn hosts_are_added_disconnected_and_removed() {
    let lab = lab().await;
    let site = lab.site().await;
    let spec = |name: &str| HostConnectSpec {
        host_name: Some(name.to_owned()),
        user_name: Some("root".to_owned()),
        password: Some("secret".to_owned()),
        ..Default::default()
    };
    let wrong = HostConnectSpec { ssl_thumbprint: Some("00:11".to_owned()), ..spec("esx-9.example.com") };
    let error = site.cluster.add_host_task(&wrong, true, None, None).await.unwrap_err();
    let verify = error.fault().unwrap().downcast_ref::<SSLVerifyFault>().unwrap();
    let right = HostConnectSpec { ssl_thumbprint: verify.thumbprint.clone(), ..spec("esx-9.example.com") };
    let task = lab.task(site.cluster.add_host_task(&right, true, None, None)).await.unwrap();
    let host: HostSystem = lab.object(&task.result.unwrap().take::<Moref>().unwrap());
    assert_eq!(
        lab.get(&host, host_system::DATASTORE).await,
        lab.get(&hosts(&lab).await[0], host_system::DATASTORE).await
    );
    assert_eq!(fault(site.cluster.add_host_task(&right, true, None, None)).await, "AlreadyConnected");
    assert_eq!(fault(site.cluster.add_host_task(&HostConnectSpec::default(), true, None, None)).await, "NoHost");
    // In a cluster only a host that is out of use can go.
    assert_eq!(fault(host.destroy_task()).await, "InvalidState");
    success(&lab, host.disconnect_host_task()).await;
    assert_eq!(failure(&lab, host.disconnect_host_task()).await, "InvalidState");
    success(&lab, host.reconnect_host_task(None, None)).await;
    success(&lab, host.disconnect_host_task()).await;
    success(&lab, host.destroy_task()).await;
    assert_eq!(hosts(&lab).await.len(), 3);
    // One of its own goes with the compute resource that it stands in.
    let folder: Folder = lab.object(&lab.get(&site.datacenter, datacenter::HOST_FOLDER).await);
    let task = lab.task(folder.add_standalone_host_task(&spec("lone"), None, true, None)).await.unwrap();
    let compute: Moref = task.result.unwrap().take().unwrap();
    let lone: Vec<Moref> = lab.read(&compute, "host").await.unwrap().take().unwrap();
    let lone: HostSystem = lab.object(&lone[0]);
    assert_eq!(fault(lone.destroy_task()).await, "NotSupported");
    // Into the cluster it moves with all it has, and leaves no empty shell.
    success(&lab, site.cluster.move_into_task(&[lone.handle().reference().clone()])).await;
    assert_eq!(hosts(&lab).await.len(), 4);
    assert!(!lab.get(&folder, folder::CHILD_ENTITY).await.contains(&compute));
}

#[tokio::test]
async fn what_a_host_and_a_machine_can_do_is_said_of_all_that_is_older_than_7() {
    let lab = Lab::new(Model::sized(Size { vms: 1, hosts: 1, ..Size::default() })).await;
    let host: HostSystem = lab.object(&lab.at("/DC0/host/DC0_C0/DC0_C0_H0").await);
    let vm: vsphere_model::managed::VirtualMachine = lab.object(&lab.at("/DC0/vm/DC0_C0_VM0").await);
    let host = lab.get(&host, host_system::CAPABILITY).await.unwrap();
    let machine = lab.get(&vm, virtual_machine::CAPABILITY).await;
    // The order of fields is that of their age, so that what follows is of 7.0 and later.
    let unset = |capability: &dyn DataObject, last: &str| -> Vec<&'static str> {
        let fields = capability.info().fields().iter().enumerate();
        let known = fields.take_while(|(_, field)| field.name != last);
        let unset = known.filter(|(index, _)| matches!(capability.get(*index), Value::Unset));
        unset.map(|(_, field)| field.name).collect()
    };
    let absent = unset(&host, "quickBootSupported");
    // What hosts tell of their TPM, and of what else is not in every one.
    let known = ["maxVirtualDiskDescVersionSupported", "tpmVersion", "txtEnabled", "drtmType"];
    assert_eq!(
        absent.iter().filter(|name| !known.contains(name)).collect::<Vec<_>>(),
        [&"vmDirectPathGen2UnsupportedReasonExtended"]
    );
    assert_eq!(unset(&machine, "toolsSyncTimeAllowSupported"), [""; 0]);
    assert_eq!((host.cpu_hw_mmu_supported, host.encryption_rdm_supported), (Some(true), Some(false)));
}
