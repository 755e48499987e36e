//! Hosts: what they tell of themselves, their services and clocks, maintenance mode, restart and shutdown.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::time::Duration;

use vsphere_ops::disk::NewDisk;
use vsphere_ops::host::{
    Blocker, Down, Drs, Maintenance, MaintenancePlan, NewNtp, Obstacle, ServicePolicy, StorageAdapterKind, VsanMode,
};
use vsphere_ops::managed::{
    ClusterComputeResource, Datastore, HostDatastoreSystem, HostDateTimeSystem, HostNetworkSystem, HostSystem,
    HostVirtualNicManager, Network, VirtualMachine, VmwareDistributedVirtualSwitch, host_system as host,
    virtual_machine as vm,
};
use vsphere_ops::network::Vlan;
use vsphere_ops::types::{
    ArrayUpdateOperation, ClusterConfigSpecEx, ClusterDrsConfigInfo, ClusterDrsVmConfigInfo, ClusterDrsVmConfigSpec,
    ClusterGroupSpec, ClusterHostGroup, ClusterRuleSpec, ClusterVmGroup, ClusterVmHostRuleInfo,
    DistributedVirtualSwitchPortConnection, DrsBehavior, HostDateTimeConfig, HostIpConfig, HostNtpConfig,
    HostSystemConnectionState, HostVirtualNicSpec, ManagedObjectReference, Poly, VirtualCdrom,
    VirtualCdromAtapiBackingInfo, VirtualDevice, VirtualDeviceConfigSpec, VirtualDeviceConfigSpecOperation,
    VirtualDeviceConnectInfo, VirtualMachineConfigSpec, VirtualMachinePowerState, VirtualPCIPassthrough,
    VirtualPCIPassthroughDeviceBackingInfo,
};
use vsphere_ops::{Circumstance, Client, Config, ErrorKind, ListQuery, Mo, Scope, Task};
use vsphere_sim::{Incident, Model, Role, Sim, Size};

const MINUTE: Duration = Duration::from_secs(60);

async fn of(model: Model) -> (Sim, Client) {
    let sim = Sim::start(model).await.unwrap();
    let client = client(&sim, Model::USER, Model::PASSWORD).await;
    (sim, client)
}

async fn client(sim: &Sim, user: &str, password: &str) -> Client {
    let config = Config::new(sim.url()).user(user).password(password);
    Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap()
}

async fn demo() -> (Sim, Client) {
    of(Model::demo()).await
}

/// Two hosts in a cluster whose DRS moves VMs, and a datastore for both.
async fn small() -> (Sim, Client) {
    of(Model::sized(Size { vms: 2, hosts: 2, datacenters: 1, clusters: 1, datastores: 1 })).await
}

async fn host_of(client: &Client, name: &str) -> Mo<HostSystem> {
    client.get(name).await.unwrap()
}

/// A VM that runs, and its host.
async fn running(client: &Client) -> (Mo<VirtualMachine>, Mo<HostSystem>) {
    for (vm, state) in client.all::<VirtualMachine>().select(vm::POWER_STATE).await.unwrap() {
        if state == VirtualMachinePowerState::PoweredOn {
            let host = vm.read(vm::HOST).await.unwrap().unwrap();
            let vm: Mo<VirtualMachine> = client.get(vm.id()).await.unwrap();
            return (vm, client.get(&host.value).await.unwrap());
        }
    }
    let (first, ()) = client.all::<VirtualMachine>().select(()).await.unwrap().into_iter().next().unwrap();
    first.power_on().await.unwrap().await.unwrap();
    let host = first.read(vm::HOST).await.unwrap().unwrap();
    let vm: Mo<VirtualMachine> = client.get(first.id()).await.unwrap();
    (vm, client.get(&host.value).await.unwrap())
}

async fn reconfigure_cluster(client: &Client, spec: ClusterConfigSpecEx) {
    let cluster: Mo<ClusterComputeResource> = client.get_or_only(None).await.unwrap();
    let task = cluster.reconfigure_compute_resource_task(&Poly::new(spec), true).await.unwrap();
    Task::<()>::new(client, task, "change", cluster.label()).await.unwrap();
}

async fn drs(client: &Client, enabled: bool, behavior: DrsBehavior) {
    let drs =
        ClusterDrsConfigInfo { enabled: Some(enabled), default_vm_behavior: Some(behavior), ..Default::default() };
    reconfigure_cluster(client, ClusterConfigSpecEx { drs_config: Some(Box::new(drs)), ..Default::default() }).await;
}

async fn add_device(vm: &Mo<VirtualMachine>, device: Poly<VirtualDevice>) {
    let add = VirtualDeviceConfigSpec {
        operation: Some(VirtualDeviceConfigSpecOperation::Add),
        device,
        ..Default::default()
    };
    let spec = VirtualMachineConfigSpec { device_change: vec![Poly::new(add)], ..Default::default() };
    let task = vm.reconfig_vm_task(&spec).await.unwrap();
    Task::<()>::new(vm.client(), task, "change", vm.label()).await.unwrap();
}

async fn plan(host: &Mo<HostSystem>) -> MaintenancePlan {
    host.maintenance(&Maintenance::default()).await.unwrap()
}

/// What keeps the VM, by the plan of its host.
async fn obstacles(host: &Mo<HostSystem>, vm: &Mo<VirtualMachine>) -> Vec<Obstacle> {
    let blockers = plan(host).await.blockers;
    blockers.into_iter().find(|blocker| blocker.id == vm.id()).map(|blocker| blocker.obstacles).unwrap_or_default()
}

#[tokio::test]
async fn a_host_tells_what_it_is_and_how_it_is() {
    let (_sim, client) = demo().await;
    let host = host_of(&client, "esx-01.corp.example").await;
    let info = host.info().await.unwrap();
    assert_eq!((info.name.as_str(), info.id.as_str()), ("esx-01.corp.example", host.id()));
    assert_eq!(info.cluster.as_deref(), Some("prod-cluster"));
    assert_eq!(info.connection_state, HostSystemConnectionState::Connected);
    assert!(info.path.ends_with("/prod-cluster/esx-01.corp.example"), "{}", info.path);
    assert_eq!(info.model.as_deref(), Some("Dell Inc. PowerEdge R760"));
    assert_eq!((info.cpu_cores, info.memory.map(|memory| memory.bytes())), (Some(64), Some(512 << 30)));
    let vms = host.read(host::VM).await.unwrap();
    assert_eq!(info.vms, vms.len());
    assert!(info.running_vms.unwrap() > 0 && info.running_vms.unwrap() <= vms.len());
    assert_eq!(info.datastore_count, info.datastores.len());
    assert!(info.vmotion && info.management_ip.as_deref().unwrap().starts_with("10.20."), "{info:?}");
    assert!(info.gaps.is_empty() && info.booted.is_some() && info.version.is_some());

    let disconnected = host_of(&client, "esx-02.corp.example").await;
    let task = disconnected.disconnect_host_task().await.unwrap();
    Task::<()>::new(&client, task, "disconnect", disconnected.label()).await.unwrap();
    let info = disconnected.info().await.unwrap();
    assert_eq!((info.connection_state, info.uptime_seconds), (HostSystemConnectionState::Disconnected, None));
}

#[tokio::test]
async fn a_host_tells_what_it_is_made_of() {
    let (_sim, client) = demo().await;
    let host = host_of(&client, "esx-01.corp.example").await.hardware().await.unwrap();
    assert_eq!((host.cpu_sockets, host.cpu_cores, host.cpu_threads), (Some(2), Some(64), Some(128)));
    assert_eq!((host.vendor.as_deref(), host.bios_version.as_deref()), (Some("Dell Inc."), Some("2.3.5")));
    assert_eq!((host.numa_nodes, host.tpm), (Some(2), Some(false)));
    assert_eq!(host.serial_number.map(|number| number.len()), Some(7));
    let fibre = host.storage_adapters.iter().find(|one| one.kind == StorageAdapterKind::FibreChannel).unwrap();
    assert!(fibre.address.as_deref().unwrap().starts_with("21:00:00:24:ff:"), "{fibre:?}");
    assert_eq!(fibre.status, "online");
    assert_eq!(host.physical_nics.len(), 4);
    assert!(host.pci_devices.iter().any(|device| device.name.contains("BCM57414")));
    assert!(host.gaps.is_empty());
}

#[tokio::test]
async fn a_host_tells_how_it_is_connected() {
    let unplugged = Incident::LinkDown { host: "esx-01.corp.example".into(), nic: "vmnic3".into() };
    let (_sim, client) = of(Model::demo().incident(unplugged)).await;
    let host = host_of(&client, "esx-01.corp.example").await;
    // An adapter in a distributed port group.
    let group: Mo<Network> = client.get("infra").await.unwrap();
    let dvs: Mo<VmwareDistributedVirtualSwitch> = client.get("dvs-fra1").await.unwrap();
    let uuid = dvs.read(vsphere_ops::managed::vmware_distributed_virtual_switch::UUID).await.unwrap();
    let managers = host.read(host::CONFIG_MANAGER).await.unwrap();
    let system: HostNetworkSystem = client.raw(&managers.network_system.unwrap());
    let port = DistributedVirtualSwitchPortConnection {
        switch_uuid: uuid.clone(),
        portgroup_key: Some(group.id().to_owned()),
        ..Default::default()
    };
    let spec = HostVirtualNicSpec {
        ip: Some(Box::new(HostIpConfig { dhcp: true, ..Default::default() })),
        distributed_virtual_port: Some(Box::new(port)),
        ..Default::default()
    };
    let device = system.add_virtual_nic("", &spec).await.unwrap();

    let net = host.networking().await.unwrap();
    assert_eq!(net.host_name.as_deref(), Some("esx-01.corp.example"));
    assert_eq!(
        (net.gateway.as_deref(), net.dns_servers.as_slice()),
        (Some("10.20.0.1"), &["10.20.0.1".to_owned()][..])
    );
    let switch = &net.standard_switches[0];
    assert_eq!((switch.name.as_str(), switch.physical_nics.join(",").as_str()), ("vSwitch0", "vmnic0,vmnic1"));
    let vmotion = switch.port_groups.iter().find(|group| group.name == "vMotion").unwrap();
    assert_eq!(vmotion.vlan, Some(Vlan::Id { id: 21 }));
    let distributed = &net.distributed_switches[0];
    assert_eq!((distributed.name.as_str(), &distributed.uuid), ("dvs-fra1", &uuid));
    let web = distributed.port_groups.iter().find(|group| group.name == "prod-web").unwrap();
    assert_eq!(web.vlan, Some(Vlan::Id { id: 110 }));
    let adapter = |name: &str| net.vmkernel_adapters.iter().find(|adapter| adapter.device == name).unwrap();
    let management = adapter("vmk0");
    assert_eq!(management.services, ["management"]);
    assert_eq!(management.port_group.as_deref(), Some("Management Network"));
    let ipv6 = &management.ipv6[0];
    assert!(ipv6.address.starts_with("fe80::250:56ff:fe") && ipv6.prefix_length == 64, "{ipv6:?}");
    assert_eq!(adapter("vmk1").services, ["vmotion"]);
    let added = adapter(&device);
    assert_eq!((added.port_group.as_deref(), added.distributed_switch.as_ref()), (Some("infra"), Some(&uuid)));
    assert!(added.dhcp);
    let links: Vec<Option<i32>> = net.physical_nics.iter().map(|nic| nic.link_mbps).collect();
    assert_eq!(links, [Some(25_000), Some(25_000), Some(25_000), None]);
    assert!(net.gaps.is_empty());
}

#[tokio::test]
async fn the_facts_of_an_esxi_are_read_from_itself() {
    let (_sim, client) = of(Model::esxi()).await;
    let host: Mo<HostSystem> = client.get_or_only(None).await.unwrap();
    let info = host.info().await.unwrap();
    assert_eq!((info.cluster, info.vms, info.running_vms), (None, 4, Some(3)));
    assert_eq!(host.hardware().await.unwrap().vendor.as_deref(), Some("Lenovo"));
    let net = host.networking().await.unwrap();
    assert_eq!((net.standard_switches.len(), net.distributed_switches.len()), (1, 0));
    assert!(host.service("ntpd").await.unwrap().running);
    assert!(!host.ntp().await.unwrap().ntp_servers.is_empty());
}

#[tokio::test]
async fn services_are_listed_found_and_changed() {
    let (sim, client) = demo().await;
    let host = host_of(&client, "esx-01.corp.example").await;
    let page = host.list_services(&ListQuery::first(100).matching("*ssh*")).await.unwrap();
    assert_eq!(page.items.iter().map(|service| service.key.as_str()).collect::<Vec<_>>(), ["TSM-SSH"]);
    let ssh = host.service("tsm-ssh").await.unwrap();
    assert_eq!((ssh.key.as_str(), ssh.running, ssh.policy.as_str()), ("TSM-SSH", false, "off"));
    assert!(!ssh.stop().await.unwrap().changed);
    let started = ssh.start().await.unwrap();
    assert!(started.changed && started.service.running && !started.pending);
    assert_eq!((started.host.as_str(), started.id.as_str()), ("esx-01.corp.example", host.id()));
    assert!(!ssh.start().await.unwrap().changed);
    assert_eq!(sim.calls("StartService"), 1);
    assert!(ssh.restart().await.unwrap().changed);
    let policy = ssh.set_policy(ServicePolicy::Automatic).await.unwrap();
    assert_eq!((policy.previous_policy.as_deref(), policy.service.policy.as_str()), (Some("off"), "automatic"));
    assert!(!ssh.set_policy(ServicePolicy::Automatic).await.unwrap().changed);
    assert!(ssh.stop().await.unwrap().changed);
    // It is that host's alone.
    assert_eq!(host_of(&client, "esx-02.corp.example").await.service("TSM-SSH").await.unwrap().policy, "off");
    let error = host.service("telnetd").await.unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("TSM-SSH (SSH)"), "{error}");
    assert_eq!(sim.calls("RefreshServices"), 0);
}

#[tokio::test]
async fn reading_takes_no_more_than_a_right_to_read() {
    let sim = Sim::start(Model::demo().user("reader", "secret", Role::ReadOnly)).await.unwrap();
    let client = client(&sim, "reader", "secret").await;
    let host = host_of(&client, "esx-01.corp.example").await;
    let clock = host.ntp().await.unwrap();
    assert_eq!((clock.ntp_servers.len(), clock.service_running), (2, Some(true)));
    assert_eq!((clock.protocol.as_deref(), clock.synchronized), (Some("ntp"), Some(true)));
    assert!(clock.current_time.is_some() && clock.gaps.is_empty(), "{clock:?}");
    for info in [host.info().await.unwrap().gaps, host.networking().await.unwrap().gaps] {
        assert!(info.is_empty(), "{info:?}");
    }
    for refresh in ["RefreshDateTimeSystem", "RefreshServices", "TestTimeService"] {
        assert_eq!(sim.calls(refresh), 0, "{refresh}");
    }
    let error = host.service("TSM-SSH").await.unwrap().start().await.unwrap_err();
    assert_eq!(error.code(), "permission");
    let error = host.ntp_change(&NewNtp::of(["a"])).await.unwrap().carry_out().await.unwrap_err();
    assert_eq!(error.code(), "permission");
}

#[tokio::test]
async fn time_servers_are_replaced_as_planned_or_not_at_all() {
    let (sim, client) = demo().await;
    let host = host_of(&client, "esx-01.corp.example").await;
    let before = host.ntp().await.unwrap().ntp_servers;
    let new = NewNtp::of(["ntp1.corp.example iburst", "0.pool.ntp.org"]).policy(ServicePolicy::Automatic);
    let plan = host.ntp_change(&new).await.unwrap();
    assert_eq!((&plan.servers_now, plan.removed.as_slice()), (&before, &["1.pool.ntp.org".to_owned()][..]));
    assert!(plan.changes() && plan.starts_service);
    let late = host.ntp_change(&NewNtp::of(["other"])).await.unwrap();
    let done = plan.carry_out().await.unwrap();
    assert_eq!((done.changed, &done.previous_servers), (true, &before));
    assert_eq!(done.now.ntp_servers, ["ntp1.corp.example iburst", "0.pool.ntp.org"]);
    assert_eq!((done.now.service_policy.as_deref(), sim.calls("RestartService")), (Some("automatic"), 1));
    // What was planned from another list is refused.
    assert_eq!(late.carry_out().await.unwrap_err().code(), "changed");
    assert_eq!(host.ntp().await.unwrap().ntp_servers, done.now.ntp_servers);
    // As it is, nothing is sent.
    let again = host.ntp_change(&new).await.unwrap();
    assert!(!again.changes() && !again.carry_out().await.unwrap().changed);
    assert_eq!((sim.calls("UpdateDateTimeConfig"), sim.calls("RestartService")), (1, 1));
    assert_eq!(host.ntp_change(&NewNtp::of(Vec::<String>::new())).await.unwrap_err().code(), "invalid_argument");
    // A service that is off is started; one that is to be left is left.
    host.service("ntpd").await.unwrap().stop().await.unwrap();
    let left = host.ntp_change(&NewNtp::of(["a"]).without_start()).await.unwrap().carry_out().await.unwrap();
    assert_eq!((left.changed, left.now.service_running), (true, Some(false)));
    let started = host.ntp_change(&NewNtp::of(["a"])).await.unwrap().carry_out().await.unwrap();
    assert_eq!((started.changed, started.now.service_running), (true, Some(true)));
}

#[tokio::test]
async fn a_clock_that_is_kept_by_ptp_is_kept_by_ntp_again() {
    let (_sim, client) = demo().await;
    let host = host_of(&client, "esx-01.corp.example").await;
    let managers = host.read(host::CONFIG_MANAGER).await.unwrap();
    let system: HostDateTimeSystem = client.raw(&managers.date_time_system.unwrap());
    let servers = HostNtpConfig { server: vec!["a".to_owned()], ..Default::default() };
    let ptp = HostDateTimeConfig {
        protocol: Some("ptp".to_owned()),
        enabled: Some(false),
        ntp_config: Some(Box::new(servers)),
        ..Default::default()
    };
    system.update_date_time_config(&ptp).await.unwrap();
    let plan = host.ntp_change(&NewNtp::of(["a"])).await.unwrap();
    assert_eq!((plan.replaced_protocol.as_deref(), plan.removed.len()), (Some("ptp"), 0));
    let now = plan.carry_out().await.unwrap().now;
    assert_eq!((now.protocol.as_deref(), now.enabled, now.ntp_servers.len()), (Some("ntp"), Some(true), 1));
}

#[tokio::test]
async fn an_older_host_is_told_of_no_protocol() {
    let (_sim, client) = of(Model::demo().version("7.0.2.0")).await;
    let host = host_of(&client, "esx-01.corp.example").await;
    assert_eq!(host.ntp().await.unwrap().protocol, None);
    // The server refuses a protocol.
    let done = host.ntp_change(&NewNtp::of(["ntp.corp.example"])).await.unwrap().carry_out().await.unwrap();
    assert_eq!(done.now.ntp_servers, ["ntp.corp.example"]);
}

#[tokio::test]
async fn drs_empties_a_host_and_the_answer_says_who_left() {
    let (_sim, client) = small().await;
    let (vm, host) = running(&client).await;
    let plan = plan(&host).await;
    assert_eq!((plan.drs, plan.evacuate_powered_off, plan.blockers.len()), (Drs::Moves, true, 0));
    assert!(plan.moved_by_drs.iter().any(|moved| moved.id == vm.id()));
    let before = host.read(host::VM).await.unwrap().len();
    let done = plan.carry_out(MINUTE).await.unwrap();
    assert!(done.changed && done.maintenance_mode);
    assert_eq!((done.left.len() + done.vms, done.vms), (before, 0));
    assert_ne!(vm.read(vm::HOST).await.unwrap().unwrap().value, host.id());
    let again = plan_of(&host, Maintenance::default()).await.carry_out(MINUTE).await.unwrap();
    assert!(!again.changed && again.maintenance_mode);
    let exit = host.exit_maintenance(MINUTE).await.unwrap();
    assert!(exit.changed && !exit.maintenance_mode);
    assert!(!host.exit_maintenance(MINUTE).await.unwrap().changed);
}

async fn plan_of(host: &Mo<HostSystem>, how: Maintenance) -> MaintenancePlan {
    host.maintenance(&how).await.unwrap()
}

#[tokio::test]
async fn vms_that_are_off_stay_where_they_are_to() {
    let (_sim, client) = small().await;
    let (vm, host) = running(&client).await;
    vm.power_off().await.unwrap().await.unwrap();
    let plan = plan_of(&host, Maintenance::default().evacuate_powered_off(false).vsan(VsanMode::NoAction)).await;
    assert!(plan.moved_by_drs.iter().all(|moved| moved.id != vm.id()) && plan.staying > 0);
    let done = plan.carry_out(MINUTE).await.unwrap();
    assert!(done.changed && done.vms > 0);
    assert_eq!(vm.read(vm::HOST).await.unwrap().unwrap().value, host.id());
}

#[tokio::test]
async fn maintenance_of_a_host_with_a_running_vm_that_cannot_move() {
    let (_sim, client) = small().await;
    let (vm, host) = running(&client).await;
    drs(&client, false, DrsBehavior::FullyAutomated).await;
    let plan = plan(&host).await;
    assert_eq!((plan.drs, plan.evacuate_powered_off), (Drs::Off, false));
    let blocked: Vec<&Blocker> = plan.blockers.iter().filter(|blocker| blocker.id == vm.id()).collect();
    assert_eq!(blocked[0].obstacles, [Obstacle::NoDrs]);
    let error = plan.carry_out(Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error:?}");
    assert_eq!((error.code(), error.target()), ("timeout", Some(host.label())));
    let text = error.to_string();
    assert!(text.contains("not within 1 s") && text.contains(&format!("{} (no DRS moves it)", vm.label())), "{text}");
    let Some(Circumstance::KeptFromMaintenance(blockers)) = error.circumstance() else { panic!("{error:?}") };
    assert!(blockers.iter().any(|blocker| blocker.id == vm.id()));
    assert!(!host.read(host::IN_MAINTENANCE_MODE).await.unwrap());
    // Nothing is left on its way: once they are off, it enters.
    for blocker in blockers {
        let vm: Mo<VirtualMachine> = client.get(&blocker.id).await.unwrap();
        vm.power_off().await.unwrap().await.unwrap();
    }
    assert!(plan_of(&host, Maintenance::default()).await.carry_out(MINUTE).await.unwrap().changed);
    let error = host.maintenance(&Maintenance::default().evacuate_powered_off(true)).await.unwrap_err();
    assert_eq!(error.code(), "invalid_argument");
}

#[tokio::test]
async fn the_host_enters_when_the_last_vm_is_off() {
    let (_sim, client) = small().await;
    let (vm, host) = running(&client).await;
    drs(&client, true, DrsBehavior::Manual).await;
    assert_eq!(obstacles(&host, &vm).await, [Obstacle::DrsOnlyRecommends]);
    let plan = plan_of(&host, Maintenance::default().evacuate_powered_off(false)).await;
    let blockers = plan.blockers.clone();
    let end = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        for blocker in blockers {
            let vm: Mo<VirtualMachine> = client.get(&blocker.id).await.unwrap();
            vm.power_off().await.unwrap().await.unwrap();
        }
    };
    let (done, ()) = tokio::join!(plan.carry_out(MINUTE), end);
    assert!(done.unwrap().changed);
}

#[tokio::test]
async fn a_scope_that_is_cancelled_ends_the_wait_of_the_host() {
    let (_sim, client) = small().await;
    let (_, host) = running(&client).await;
    drs(&client, false, DrsBehavior::Manual).await;
    let scope = Scope::new();
    let scoped: Mo<HostSystem> = client.in_scope(&scope).get(host.id()).await.unwrap();
    let plan = plan(&scoped).await;
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        scope.cancel().await
    };
    let (ended, cancelled) = tokio::join!(plan.carry_out(MINUTE), cancel);
    assert_eq!(ended.unwrap_err().code(), "cancelled");
    assert!(cancelled.iter().all(|task| task.asked.is_ok()) && cancelled.len() == 1, "{cancelled:?}");
    assert!(!host.read(host::IN_MAINTENANCE_MODE).await.unwrap());
}

#[tokio::test]
async fn a_plan_is_refused_when_more_is_in_the_way() {
    let (_sim, client) = small().await;
    let (vm, host) = running(&client).await;
    let plan = plan(&host).await;
    assert!(plan.blockers.is_empty());
    drs(&client, true, DrsBehavior::Manual).await;
    let error = plan.carry_out(MINUTE).await.unwrap_err();
    assert!(error.code() == "changed" && error.to_string().contains(vm.label()), "{error}");
    assert!(!host.read(host::IN_MAINTENANCE_MODE).await.unwrap());
}

#[tokio::test]
async fn devices_and_files_that_tie_a_vm_to_its_host_are_named() {
    let (_sim, client) = small().await;
    let (vm, host) = running(&client).await;
    assert_eq!(obstacles(&host, &vm).await, []);
    vm.power_off().await.unwrap().await.unwrap();
    let backing = VirtualPCIPassthroughDeviceBackingInfo { id: "00000:059:00.0".to_owned(), ..Default::default() };
    let mut pci = VirtualPCIPassthrough::default();
    pci.backing = Some(Poly::new(backing));
    add_device(&vm, Poly::new(pci)).await;
    // A datastore of this host alone.
    let managers = host.read(host::CONFIG_MANAGER).await.unwrap();
    let system: HostDatastoreSystem = client.raw(&managers.datastore_system.unwrap());
    let disks = system.query_available_disks_for_vmfs(None).await.unwrap();
    let options = system.query_vmfs_datastore_create_options(&disks[0].device_path, None).await.unwrap();
    let mut spec = options[0].spec.downcast_ref::<vsphere_ops::types::VmfsDatastoreCreateSpec>().unwrap().clone();
    spec.vmfs.volume_name = "local-1".to_owned();
    let local = system.create_vmfs_datastore(&spec).await.unwrap();
    let local: Mo<Datastore> = client.get(&local.value).await.unwrap();
    vm.add_disk(&NewDisk::of_bytes(1 << 30).on(&local)).await.unwrap();
    vm.power_on().await.unwrap().await.unwrap();
    let found = obstacles(&host, &vm).await;
    let [Obstacle::PassthroughDevice { name }, Obstacle::Datastore { name: datastore }] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert!(name.starts_with("PCI device") && datastore == "local-1", "{found:?}");
    // The server's own DRS leaves it there too.
    let error = plan(&host).await.carry_out(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.code(), "timeout");
}

#[tokio::test]
async fn a_drive_of_the_host_ties_a_vm_while_it_is_connected() {
    let (_sim, client) = small().await;
    let (vm, host) = running(&client).await;
    vm.power_off().await.unwrap().await.unwrap();
    let mut cd = VirtualCdrom::default();
    let mut backing = VirtualCdromAtapiBackingInfo::default();
    backing.device_name = "/dev/cdrom".to_owned();
    cd.backing = Some(Poly::new(backing));
    let connected = VirtualDeviceConnectInfo { start_connected: true, allow_guest_control: true, ..Default::default() };
    cd.connectable = Some(Box::new(connected));
    cd.controller_key = Some(200);
    add_device(&vm, Poly::new(cd)).await;
    assert_eq!(obstacles(&host, &vm).await, [], "what is off is moved with it");
    vm.power_on().await.unwrap().await.unwrap();
    let found = obstacles(&host, &vm).await;
    assert!(
        matches!(found.as_slice(), [Obstacle::ConnectedDevice { name }] if name.starts_with("CD/DVD")),
        "{found:?}"
    );
}

#[tokio::test]
async fn rules_and_overrides_of_drs_and_missing_hosts_are_named() {
    let (_sim, client) = small().await;
    let (vm, host) = running(&client).await;
    let own = ClusterDrsVmConfigInfo { key: vm.reference().clone(), enabled: Some(false), ..Default::default() };
    let mut own = ClusterDrsVmConfigSpec { info: Some(Box::new(own)), ..Default::default() };
    own.operation = ArrayUpdateOperation::Add;
    let vms = ClusterVmGroup { vm: vec![vm.reference().clone()], ..named_group("vms") };
    let hosts = ClusterHostGroup { host: vec![host.reference().clone()], ..named_hosts("hosts") };
    let mut rule = ClusterVmHostRuleInfo {
        vm_group_name: Some("vms".to_owned()),
        affine_host_group_name: Some("hosts".to_owned()),
        ..Default::default()
    };
    rule.name = Some("licence".to_owned());
    rule.enabled = Some(true);
    rule.mandatory = Some(true);
    let mut groups = [
        ClusterGroupSpec { info: Some(Poly::new(vms)), ..Default::default() },
        ClusterGroupSpec { info: Some(Poly::new(hosts)), ..Default::default() },
    ];
    groups.iter_mut().for_each(|group| group.operation = ArrayUpdateOperation::Add);
    let mut rule = ClusterRuleSpec { info: Some(Poly::new(rule)), ..Default::default() };
    rule.operation = ArrayUpdateOperation::Add;
    let spec = ClusterConfigSpecEx {
        group_spec: groups.to_vec(),
        rules_spec: vec![rule],
        drs_vm_config_spec: vec![own],
        ..Default::default()
    };
    reconfigure_cluster(&client, spec).await;
    let found = obstacles(&host, &vm).await;
    assert_eq!(found, [Obstacle::DrsOffForVm, Obstacle::Rule { name: "licence".to_owned() }]);

    // No other host is there, or none is set up for vMotion.
    let (_sim, client) = small().await;
    let (vm, host) = running(&client).await;
    let managers = host.read(host::CONFIG_MANAGER).await.unwrap();
    let nics: HostVirtualNicManager = client.raw(&managers.virtual_nic_manager.unwrap());
    nics.deselect_vnic_for_nic_type("vmotion", "vmk1").await.unwrap();
    assert_eq!(obstacles(&host, &vm).await, [Obstacle::NoVmotion]);
    nics.select_vnic_for_nic_type("vmotion", "vmk1").await.unwrap();
    let hosts = client.all::<HostSystem>().select(()).await.unwrap();
    let (other, ()) = hosts.into_iter().find(|(other, ())| other.id() != host.id()).unwrap();
    let other: Mo<HostSystem> = client.get(other.id()).await.unwrap();
    plan(&other).await.carry_out(MINUTE).await.unwrap();
    assert_eq!(obstacles(&host, &vm).await, [Obstacle::NoOtherHost]);
}

fn named_group(name: &str) -> ClusterVmGroup {
    let mut group = ClusterVmGroup::default();
    group.name = name.to_owned();
    group
}

fn named_hosts(name: &str) -> ClusterHostGroup {
    let mut group = ClusterHostGroup::default();
    group.name = name.to_owned();
    group
}

#[tokio::test]
async fn an_esxi_enters_maintenance_mode_once_its_vms_are_off() {
    let (_sim, client) = of(Model::esxi()).await;
    let host: Mo<HostSystem> = client.get_or_only(None).await.unwrap();
    let plan = plan(&host).await;
    assert_eq!((plan.cluster.as_deref(), plan.drs, plan.blockers.len(), plan.staying), (None, Drs::Off, 3, 1));
    assert!(plan.blockers.iter().all(|blocker| blocker.obstacles == [Obstacle::NoDrs]));
    for blocker in &plan.blockers {
        let vm: Mo<VirtualMachine> = client.get(&blocker.id).await.unwrap();
        vm.power_off().await.unwrap().await.unwrap();
    }
    let done = plan.carry_out(MINUTE).await.unwrap();
    assert_eq!((done.maintenance_mode, done.vms), (true, 4));
    let down = host.going_down(Down::Reboot, false).await.unwrap();
    assert!(down.maintenance_mode && down.running_vms.is_empty());
    assert!(down.carry_out().await.unwrap().changed);
}

#[tokio::test]
async fn a_host_goes_down_in_maintenance_mode_or_by_force() {
    let (sim, client) = small().await;
    let (vm, host) = running(&client).await;
    let error = host.going_down(Down::Shutdown, false).await.unwrap_err();
    assert_eq!(error.circumstance(), Some(&Circumstance::NotInMaintenanceMode));
    assert!(error.code() == "invalid_state" && error.to_string().contains(vm.label()), "{error}");
    let plan = host.going_down(Down::Shutdown, true).await.unwrap();
    assert!(plan.running_vms.iter().any(|hit| hit.id == vm.id()) && !plan.maintenance_mode);
    let done = plan.carry_out().await.unwrap();
    assert!(done.changed && done.confirmed && !done.stopped_vms.is_empty());
    assert_eq!(done.connection_state, HostSystemConnectionState::NotResponding);
    assert_eq!(vm.read(vm::POWER_STATE).await.unwrap(), VirtualMachinePowerState::PoweredOff);
    // It is off already.
    let again = host.going_down(Down::Shutdown, false).await.unwrap();
    assert!(again.is_off && !again.carry_out().await.unwrap().changed);
    assert_eq!(sim.calls("ShutdownHost_Task"), 1);
}

#[tokio::test]
async fn a_host_does_not_go_down_with_a_vm_that_nobody_was_shown() {
    let (sim, client) = small().await;
    let (vm, host) = running(&client).await;
    vm.power_off().await.unwrap().await.unwrap();
    let plan = host.going_down(Down::Reboot, true).await.unwrap();
    let shown: Vec<String> = plan.running_vms.iter().map(|vm| vm.id.clone()).collect();
    assert!(!shown.contains(&vm.id().to_owned()));
    let reference: &ManagedObjectReference = host.reference();
    let task = vm.power_on_vm_task(Some(reference)).await.unwrap();
    Task::<()>::new(&client, task, "power on", vm.label()).await.unwrap();
    assert_eq!(vm.read(vm::HOST).await.unwrap().as_ref(), Some(reference));
    assert_eq!(plan.carry_out().await.unwrap_err().code(), "changed");
    assert_eq!(sim.calls("RebootHost_Task"), 0);
}
