//! What is found wrong in an inventory, each with its near miss, and in how many requests.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is its failure report")]

use std::time::Duration;

use vsphere_ops::diagnosis::{
    Attention, Capacity, ChoreKind, Finding, Hygiene, KeptFree, Problem, Room, RoomRule, Severity, Workload,
};
use vsphere_ops::managed::virtual_machine::CONFIG;
use vsphere_ops::managed::{AlarmManager, ClusterComputeResource, Folder, VirtualMachine, cluster_compute_resource};
use vsphere_ops::types::{
    ClusterConfigSpecEx, ClusterDasAdmissionControlPolicy, ClusterDasConfigInfo,
    ClusterFailoverLevelAdmissionControlPolicy, ClusterFailoverResourcesAdmissionControlPolicy, ManagedObjectReference,
    Poly, VirtualMachineConfigSpec, VirtualMachineFileInfo,
};
use vsphere_ops::{Client, Config, Mo};
use vsphere_sim::{Incident, Model, Role, Sim, Size, Trouble};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A host and VMs of the usual inventory.
const HOST: &str = "DC0_C0_H0";
const VM: &str = "DC0_C0_VM0";
const DATASTORE: &str = "DC0_DS0";

async fn client(sim: &Sim) -> Client {
    let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
    Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap()
}

/// What is found in the usual inventory after these incidents. Everything was looked at.
async fn after(incidents: &[Incident]) -> Attention {
    let model = incidents.iter().cloned().fold(Model::sized(Size::default()), Model::incident);
    let sim = Sim::start(model).await.unwrap();
    client(&sim).await.attention().await.unwrap()
}

/// The findings after these incidents, alarms apart, which are vCenter's own.
async fn found(incidents: &[Incident]) -> Vec<Finding> {
    let attention = after(incidents).await;
    let alarm = |finding: &Finding| matches!(finding.problem, Problem::Alarm { .. });
    attention.findings.into_iter().filter(|finding| !alarm(finding)).collect()
}

/// The only finding after this incident.
async fn only(incident: Incident) -> Finding {
    let mut found = found(&[incident]).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

async fn silent(incident: Incident) {
    let attention = after(std::slice::from_ref(&incident)).await;
    assert!(attention.findings.is_empty(), "{incident:?}: {:#?}", attention.findings);
    assert!(attention.gaps.is_empty(), "{:?}", attention.gaps);
}

#[tokio::test]
async fn a_healthy_inventory_has_no_finding_and_no_gap() {
    let attention = after(&[]).await;
    assert!(attention.findings.is_empty(), "{:#?}", attention.findings);
    assert!(attention.gaps.is_empty(), "{:?}", attention.gaps);
    assert_eq!((attention.critical, attention.warnings, attention.notices), (0, 0, 0));
}

#[tokio::test]
async fn a_datastore_is_full_below_the_limits_and_not_at_them() {
    let sim = Sim::start(Model::sized(Size { vms: 0, ..Size::default() })).await.unwrap();
    let client = client(&sim).await;
    let capacity = {
        sim.fill_datastore(DATASTORE, 0).unwrap();
        let attention = client.attention().await.unwrap();
        let full = attention.findings.iter().find_map(|finding| match finding.problem {
            Problem::DatastoreFull { free_bytes, capacity_bytes } => Some((free_bytes, capacity_bytes)),
            _ => None,
        });
        let (free, capacity) = full.unwrap();
        assert_eq!(free, 0);
        u64::try_from(capacity).unwrap()
    };
    for (free, expected) in [
        (capacity * 15 / 100 + 1, None),
        (capacity * 15 / 100 - 1, Some(Severity::Warning)),
        (capacity * 5 / 100 + 1, Some(Severity::Warning)),
        (capacity * 5 / 100 - 1, Some(Severity::Critical)),
    ] {
        sim.fill_datastore(DATASTORE, free).unwrap();
        let findings = client.attention().await.unwrap().findings;
        let full = |finding: &&Finding| matches!(finding.problem, Problem::DatastoreFull { .. });
        let severity = findings.iter().find(full).map(|finding| finding.severity);
        assert_eq!(severity, expected, "{free} of {capacity}");
    }
}

#[tokio::test]
async fn a_datastore_that_one_host_has_lost_is_a_warning_and_one_that_all_have_lost_is_critical() {
    let one = Incident::DatastoreLost { datastore: DATASTORE.into(), host: Some(HOST.into()) };
    let finding = only(one).await;
    assert_eq!((finding.severity, finding.object.name.as_str()), (Severity::Warning, DATASTORE));
    assert_eq!(finding.problem, Problem::DatastoreInaccessible { hosts_without: 1, hosts: 3 });
    let finding = only(Incident::DatastoreLost { datastore: DATASTORE.into(), host: None }).await;
    assert_eq!(finding.severity, Severity::Critical);
    assert_eq!(finding.problem, Problem::DatastoreInaccessible { hosts_without: 3, hosts: 3 });
}

#[tokio::test]
async fn thin_disks_that_may_outgrow_their_datastore_are_a_notice() {
    // The thin disks of five VMs may take more than the byte that is left.
    let findings = found(&[Incident::DatastoreFills { datastore: DATASTORE.into(), free: 1 }]).await;
    let overcommitted = findings.iter().find_map(|finding| match finding.problem {
        Problem::DatastoreOvercommitted { capacity_bytes, provisioned_bytes } => {
            Some((finding.severity, provisioned_bytes - capacity_bytes))
        }
        _ => None,
    });
    let (severity, excess) = overcommitted.unwrap();
    assert!(severity == Severity::Notice && excess > 0, "{excess}");
}

#[tokio::test]
async fn a_host_that_fails_is_told_with_its_vms_and_they_are_not_told_again() {
    // HA restarts VMs elsewhere after 30 s, times the pace.
    let sim = Sim::start(Model::sized(Size::default()).pace(100.0)).await.unwrap();
    sim.incident(&Incident::HostFails { host: HOST.into() }).unwrap();
    let attention = client(&sim).await.attention().await.unwrap();
    let hosts: Vec<&Finding> =
        attention.findings.iter().filter(|finding| finding.object.kind != "VirtualMachine").collect();
    let Problem::HostUnreachable { state, running_vms } = &hosts[0].problem else { panic!("{hosts:#?}") };
    // Ten VMs on three hosts in turn: 4, 3, 3.
    assert_eq!((state.as_str(), *running_vms, hosts[0].severity), ("notResponding", 4, Severity::Critical));
    let lost = |finding: &&Finding| matches!(finding.problem, Problem::VmUnavailable { .. });
    assert!(!attention.findings.iter().any(|finding| lost(&finding)), "{:#?}", attention.findings);
    // Nobody has looked inside of it.
    assert_eq!(attention.gaps.missing.len(), 1, "{:?}", attention.gaps);
    assert!(attention.gaps.missing[0].what.ends_with("(1)"), "{:?}", attention.gaps);
    let finding = only(Incident::HostDisconnected { host: HOST.into() }).await;
    assert_eq!(finding.severity, Severity::Warning, "a user did that");
}

#[tokio::test]
async fn a_host_in_maintenance_or_quarantine_matters_only_with_vms_that_run() {
    let finding = only(Incident::Maintenance { host: HOST.into() }).await;
    assert_eq!((finding.severity, finding.problem), (Severity::Warning, Problem::Maintenance { running_vms: 4 }));
    let finding = only(Incident::Quarantine { host: HOST.into() }).await;
    assert_eq!(finding.problem, Problem::Quarantine { running_vms: 4 });
    let empty = Model::sized(Size { vms: 0, ..Size::default() });
    let empty = empty.incident(Incident::Maintenance { host: HOST.into() });
    let sim = Sim::start(empty.incident(Incident::Quarantine { host: HOST.into() })).await.unwrap();
    assert!(client(&sim).await.attention().await.unwrap().findings.is_empty());
}

#[tokio::test]
async fn sensors_that_are_red_or_yellow_are_told_worst_first() {
    let sensor = |name: &str, red| Incident::Sensor { host: HOST.into(), sensor: name.into(), red };
    let finding = only(sensor("System Board 1 Fan1A", false)).await;
    assert_eq!((finding.severity, finding.object.name.as_str()), (Severity::Warning, HOST));
    let two = found(&[sensor("System Board 1 Fan1A", false), sensor("CPU Package 2", true)]).await;
    let [Finding { severity: Severity::Critical, problem: Problem::Hardware { sensors, count: 2 }, .. }] = &two[..]
    else {
        panic!("{two:#?}")
    };
    let named: Vec<(&str, &str)> = sensors.iter().map(|it| (it.status.as_str(), it.name.as_str())).collect();
    assert_eq!(named, [("red", "CPU Package 2"), ("yellow", "System Board 1 Fan1A")]);
}

#[tokio::test]
async fn an_uplink_without_a_link_matters_where_a_switch_uses_it() {
    let down = |nic: &str| Incident::LinkDown { host: HOST.into(), nic: nic.into() };
    let finding = only(down("vmnic0")).await;
    let problem =
        Problem::Uplinks { switch: "vSwitch0".into(), down: vec!["vmnic0".into()], up: vec!["vmnic1".into()] };
    assert_eq!((finding.severity, finding.problem), (Severity::Warning, problem));
    let both = found(&[down("vmnic0"), down("vmnic1")]).await;
    assert_eq!(both.len(), 1, "{both:#?}");
    assert_eq!(both[0].severity, Severity::Critical);
    // No switch uses the third.
    silent(down("vmnic2")).await;
}

#[tokio::test]
async fn a_dead_path_leaves_its_devices_without_redundancy() {
    let dead = |adapter: &str| Incident::PathsDead { host: HOST.into(), adapter: adapter.into() };
    let finding = only(dead("vmhba1")).await;
    // Three disks inside have a path each, two datastores on the array have two.
    let problem = Problem::StoragePaths {
        dead: 2,
        paths: 7,
        adapters: vec!["vmhba1".into()],
        devices_lost: Some(0),
        devices_without_redundancy: Some(2),
    };
    assert_eq!((finding.severity, finding.problem), (Severity::Warning, problem));
    let all = found(&[dead("vmhba1"), dead("vmhba2")]).await;
    let of_host = all.iter().find(|finding| finding.object.name == HOST).unwrap();
    let Problem::StoragePaths { dead: 4, devices_lost: Some(2), .. } = of_host.problem else { panic!("{all:#?}") };
    assert_eq!(of_host.severity, Severity::Critical);
    // The host has lost both datastores with their paths.
    assert_eq!(all.iter().filter(|at| matches!(at.problem, Problem::DatastoreInaccessible { .. })).count(), 2);
}

#[tokio::test]
async fn a_certificate_is_a_warning_two_months_before_its_end_and_critical_one_before() {
    let ends = |after| Incident::CertificateEnds { host: HOST.into(), after };
    silent(ends(61 * DAY)).await;
    for (after, severity, days) in [
        (59 * DAY + HOUR, Severity::Warning, 59),
        (30 * DAY + HOUR, Severity::Warning, 30),
        (29 * DAY + HOUR, Severity::Critical, 29),
    ] {
        let finding = only(ends(after)).await;
        let Problem::Certificate { days_left, .. } = finding.problem else { panic!("{finding:#?}") };
        assert_eq!((finding.severity, days_left), (severity, days));
    }
    // It has ended by the time of the read.
    let finding = only(ends(Duration::ZERO)).await;
    let Problem::Certificate { days_left: -1, .. } = finding.problem else { panic!("{finding:#?}") };
}

#[tokio::test]
async fn an_evaluation_that_ends_is_told_where_it_is_in_use() {
    silent(Incident::EvaluationEnds { after: 31 * DAY }).await;
    let finding = only(Incident::EvaluationEnds { after: 29 * DAY + HOUR }).await;
    let problem = Problem::Licence { licence: "Evaluation Mode".into(), days_left: 29 };
    assert_eq!((finding.severity, finding.problem), (Severity::Warning, problem));
    let finding = only(Incident::EvaluationEnds { after: 6 * DAY }).await;
    assert_eq!((finding.severity, finding.object.kind.as_str()), (Severity::Critical, "LicenseManager"));
    let finding = only(Incident::EvaluationEnds { after: Duration::ZERO }).await;
    let Problem::Licence { days_left: -1, .. } = finding.problem else { panic!("{finding:#?}") };
}

#[tokio::test]
async fn a_clock_that_follows_no_server_is_told_where_there_are_servers() {
    let stops = |service: &str| Incident::ServiceStops { host: HOST.into(), service: service.into() };
    let finding = only(stops("ntpd")).await;
    let Problem::Clock { servers, service_running: false, synchronized: Some(false) } = &finding.problem else {
        panic!("{finding:#?}")
    };
    assert_eq!((finding.severity, servers.len()), (Severity::Warning, 2));
    silent(stops("lbtd")).await;
}

#[tokio::test]
async fn vms_that_are_lost_ask_or_need_consolidation_are_told() {
    for (state, severity) in [
        ("inaccessible", Severity::Critical),
        ("invalid", Severity::Critical),
        ("orphaned", Severity::Warning),
        ("disconnected", Severity::Warning),
    ] {
        let finding = only(Incident::VmLost { vm: VM.into(), state: state.into() }).await;
        assert_eq!(finding.problem, Problem::VmUnavailable { state: state.into() });
        assert_eq!((finding.severity, finding.object.name.as_str()), (severity, VM));
    }
    let finding = only(Incident::Question { vm: VM.into(), text: "Retry?".into() }).await;
    assert_eq!((finding.severity, finding.problem), (Severity::Critical, Problem::Question { text: "Retry?".into() }));
    let finding = only(Incident::Consolidation { vm: VM.into() }).await;
    assert_eq!((finding.severity, finding.problem), (Severity::Warning, Problem::Consolidation));
}

#[tokio::test]
async fn tasks_that_fail_are_told_together_and_for_a_day() {
    let fails = |operation: &str| Incident::TaskFails {
        vm: VM.into(),
        operation: operation.into(),
        fault: "NoDiskSpace".into(),
    };
    let findings = found(&[fails("VirtualMachine.powerOn"), fails("VirtualMachine.powerOn")]).await;
    let [Finding { severity: Severity::Warning, problem, object, .. }] = &findings[..] else { panic!("{findings:#?}") };
    let Problem::TaskFailed { operation, fault, times: 2, .. } = problem else { panic!("{problem:#?}") };
    assert_eq!((operation.as_str(), fault.as_str()), ("VirtualMachine.powerOn", "NoDiskSpace"));
    assert_eq!((object.name.as_str(), object.kind.as_str()), (VM, "VirtualMachine"));

    let sim = Sim::start(Model::sized(Size::default()).incident(fails("VirtualMachine.powerOn"))).await.unwrap();
    sim.pass_time(25 * HOUR);
    assert!(client(&sim).await.attention().await.unwrap().findings.is_empty());
}

#[tokio::test]
async fn a_snapshot_is_told_from_its_fourth_day_on_or_where_it_fills_half_of_its_disk() {
    let snapshot = |age, bytes| Incident::Snapshot { vm: VM.into(), name: "before patch".into(), age, bytes };
    silent(snapshot(71 * HOUR, 1 << 30)).await;
    let finding = only(snapshot(73 * HOUR, 1 << 30)).await;
    let problem = Problem::SnapshotOld { snapshots: 1, oldest: "before patch".into(), days: 3 };
    assert_eq!((finding.severity, finding.problem), (Severity::Warning, problem));
    assert!(finding.since.is_some());
    // The disk has 20 GB.
    let half = 10 << 30;
    silent(snapshot(HOUR, half - (64 << 20))).await;
    let finding = only(snapshot(HOUR, half + (64 << 20))).await;
    let Problem::SnapshotLarge { delta_bytes, capacity_bytes, .. } = finding.problem else { panic!("{finding:#?}") };
    assert_eq!((delta_bytes, capacity_bytes), (10_804_527_104, 21_474_836_480));
}

#[tokio::test]
async fn an_alarm_is_as_bad_as_its_colour_until_somebody_acknowledges_it() {
    let sim = Sim::start(Model::sized(Size { vms: 0, ..Size::default() })).await.unwrap();
    let client = client(&sim).await;
    sim.fill_datastore(DATASTORE, 0).unwrap();
    let alarm = |attention: Attention| {
        let is_alarm = |finding: &Finding| matches!(finding.problem, Problem::Alarm { .. });
        attention.findings.into_iter().find(is_alarm)
    };
    let red = alarm(client.attention().await.unwrap()).unwrap();
    let Problem::Alarm { alarm: name, alarm_id, status, acknowledged: false, acknowledged_by: None } = red.problem
    else {
        panic!("{red:?}")
    };
    assert_eq!((name.as_str(), status.as_str()), ("Datastore usage on disk", "red"));
    assert_eq!((red.severity, red.object.name.as_str(), red.since.is_some()), (Severity::Critical, DATASTORE, true));
    let manager: AlarmManager = client.raw(client.content().alarm_manager.as_ref().unwrap());
    let (alarm_id, id) =
        (ManagedObjectReference::new("Alarm", alarm_id), ManagedObjectReference::new("Datastore", red.object.id));
    manager.acknowledge_alarm(&alarm_id, &id).await.unwrap();
    assert_eq!(alarm(client.attention().await.unwrap()).unwrap().severity, Severity::Notice);
}

#[tokio::test]
async fn the_worst_comes_first() {
    let attention = after(&[
        Incident::ServiceStops { host: HOST.into(), service: "ntpd".into() },
        Incident::DatastoreLost { datastore: DATASTORE.into(), host: None },
        Incident::Consolidation { vm: VM.into() },
        Incident::Question { vm: VM.into(), text: "Retry?".into() },
    ])
    .await;
    let order: Vec<(Severity, &str)> =
        attention.findings.iter().map(|finding| (finding.severity, finding.object.name.as_str())).collect();
    assert!(order.is_sorted_by_key(|(severity, _)| *severity), "{order:?}");
    assert_eq!(order[0], (Severity::Critical, DATASTORE));
    let counted = (attention.critical, attention.warnings);
    let count = |severity| order.iter().filter(|(of, _)| *of == severity).count();
    assert_eq!(counted, (count(Severity::Critical), count(Severity::Warning)));
}

/// What only a read of an inventory sends.
fn requests(sim: &Sim) -> u64 {
    let methods = [
        "CurrentTime",
        "CreateContainerView",
        "RetrieveProperties",
        "RetrievePropertiesEx",
        "ContinueRetrievePropertiesEx",
        "CreateCollectorForTasks",
        "SetCollectorPageSize",
        "ResetCollector",
        "ReadPreviousTasks",
    ];
    methods.iter().map(|method| sim.calls(method)).sum()
}

#[tokio::test]
async fn a_large_inventory_takes_as_many_requests_as_a_small_one() {
    let mut counted = Vec::new();
    for (vms, hosts) in [(10, 3), (400, 60)] {
        let sim = Sim::start(Model::sized(Size { vms, hosts, ..Size::default() })).await.unwrap();
        let client = client(&sim).await;
        client.attention().await.unwrap();
        let before = requests(&sim);
        assert!(client.attention().await.unwrap().findings.is_empty());
        counted.push(requests(&sim) - before);
    }
    assert_eq!(counted[0], counted[1]);
    assert!(counted[0] <= 12, "{counted:?}");
}

#[tokio::test]
async fn what_fails_or_is_not_for_the_user_is_a_gap_and_the_rest_is_told() {
    let model = Model::sized(Size::default()).incident(Incident::Consolidation { vm: VM.into() });
    let sim = Sim::start(model).await.unwrap();
    let client = client(&sim).await;
    sim.trouble(Trouble::none().fail("CreateCollectorForTasks", "NoPermission", u32::MAX));
    let attention = client.attention().await.unwrap();
    assert_eq!(attention.warnings, 1, "{:#?}", attention.findings);
    let missing: Vec<&str> = attention.gaps.missing.iter().map(|part| part.what.as_str()).collect();
    assert_eq!(missing, ["failed tasks"]);
}

#[tokio::test]
async fn what_a_user_may_not_read_is_a_gap() {
    let model = Model::sized(Size::default())
        .user("viewer@vsphere.local", "Viewer1!", Role::ReadOnly)
        .incident(Incident::Consolidation { vm: VM.into() });
    let sim = Sim::start(model).await.unwrap();
    let config = Config::new(sim.url()).user("viewer@vsphere.local").password("Viewer1!");
    let client = Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap();
    let attention = client.attention().await.unwrap();
    assert_eq!(attention.warnings, 1, "{:#?}", attention.findings);
    assert!(!attention.gaps.is_empty(), "a reader sees no licences");
}

const GIB: i64 = 1 << 30;

/// Three hosts of 64 cores with 2,000 MHz and of 512 GiB, with ten VMs of 2 CPUs and 4 GiB.
async fn cluster(model: Model) -> (Sim, Mo<ClusterComputeResource>) {
    let sim = Sim::start(model).await.unwrap();
    let cluster = client(&sim).await.get("DC0_C0").await.unwrap();
    (sim, cluster)
}

fn of(capacity: &Capacity, rule: RoomRule) -> &Room {
    capacity.rules.iter().find(|room| room.rule == rule).unwrap()
}

#[tokio::test]
async fn what_fits_follows_from_the_rule_that_leaves_least_room() {
    let (_sim, cluster) = cluster(Model::sized(Size::default())).await;
    let work = |vms| Workload { vms, cpus: 4, memory_bytes: 16 * GIB };
    let capacity = cluster.capacity(Some(work(61)), Some(1)).await.unwrap();
    assert_eq!((capacity.hosts, capacity.usable_hosts, capacity.host_failures), (3, 3, 1));
    assert_eq!((capacity.cpu.cores, capacity.cpu.total_mhz, capacity.cpu.running_vcpus), (192, 384_000, 20));
    assert_eq!((capacity.memory.total_bytes, capacity.memory.running_bytes), (1536 * GIB, 40 * GIB));
    let memory = of(&capacity, RoomRule::MemoryConfigured);
    assert_eq!((memory.limit, memory.taken, memory.more_vms), (1024 * GIB, 40 * GIB, Some(61)));
    let vcpus = of(&capacity, RoomRule::VcpusPerCore);
    assert_eq!((vcpus.limit, vcpus.taken, vcpus.more_vms), (512, 20, Some(123)));
    let reserved = of(&capacity, RoomRule::CpuReserved);
    assert_eq!((reserved.limit, reserved.taken, reserved.more_vms), (256_000, 0, Some(8_000)));
    assert_eq!((capacity.fits, capacity.rules[0].rule), (Some(true), RoomRule::MemoryConfigured));
    assert_eq!(capacity.shared_datastores.len(), 2);
    assert_eq!(cluster.capacity(Some(work(62)), Some(1)).await.unwrap().fits, Some(false));
    // With all hosts, there is room for 93.
    assert_eq!(cluster.capacity(Some(work(93)), Some(0)).await.unwrap().fits, Some(true));
    assert_eq!(cluster.capacity(Some(work(94)), Some(0)).await.unwrap().fits, Some(false));
    // A VM is on one host.
    let huge = Workload { vms: 1, cpus: 4, memory_bytes: 513 * GIB };
    let capacity = cluster.capacity(Some(huge), Some(0)).await.unwrap();
    assert_eq!((capacity.fits, of(&capacity, RoomRule::LargestHostMemory).fits), (Some(false), false));
    assert_eq!(of(&capacity, RoomRule::MemoryConfigured).more_vms, Some(2));
    assert_eq!(cluster.capacity(None, Some(3)).await.unwrap().rules[0].limit, 0);
    let error = cluster.capacity(Some(Workload { vms: 0, ..huge }), None).await.unwrap_err();
    assert!(error.to_string().contains("at least one VM"), "{error}");
}

#[tokio::test]
async fn what_ha_keeps_free_is_no_room_for_reservations() {
    let (_sim, cluster) = cluster(Model::sized(Size::default())).await;
    let with = async |policy: Poly<ClusterDasAdmissionControlPolicy>| {
        let das = ClusterDasConfigInfo {
            enabled: Some(true),
            admission_control_enabled: Some(true),
            admission_control_policy: Some(policy),
            ..Default::default()
        };
        let spec = ClusterConfigSpecEx { das_config: Some(Box::new(das)), ..Default::default() };
        let task = cluster.reconfigure_compute_resource_task(&Poly::new(spec), true).await.unwrap();
        vsphere_ops::Task::<()>::new(cluster.client(), task, "reconfigure", "DC0_C0").await.unwrap();
        cluster.capacity(None, None).await.unwrap()
    };
    let slots = ClusterFailoverLevelAdmissionControlPolicy { failover_level: 1, ..Default::default() };
    let capacity = with(Poly::new(slots)).await;
    assert_eq!((capacity.host_failures, capacity.fits), (1, None));
    assert_eq!(capacity.kept_free, Some(KeptFree { cpu_mhz: 128_000, memory_bytes: 512 * GIB }));
    assert!(capacity.gaps.is_empty(), "{:?}", capacity.gaps);
    let share = ClusterFailoverResourcesAdmissionControlPolicy {
        cpu_failover_resources_percent: 25,
        memory_failover_resources_percent: 50,
        ..Default::default()
    };
    let capacity = with(Poly::new(share)).await;
    assert_eq!(capacity.host_failures, 0, "the policy says no number of hosts");
    assert_eq!(capacity.kept_free, Some(KeptFree { cpu_mhz: 96_000, memory_bytes: 768 * GIB }));
    assert_eq!(of(&capacity, RoomRule::CpuReserved).limit, 288_000);
    assert_eq!(of(&capacity, RoomRule::MemoryReserved).limit, 768 * GIB);
    // Configured memory is not what HA reckons with.
    assert_eq!(of(&capacity, RoomRule::MemoryConfigured).limit, 1536 * GIB);
}

#[tokio::test]
async fn a_host_in_maintenance_or_lost_counts_for_nothing() {
    let model = Model::sized(Size::default()).incident(Incident::Maintenance { host: HOST.into() });
    let (_sim, cluster) = cluster(model).await;
    let capacity = cluster.capacity(None, Some(0)).await.unwrap();
    assert_eq!((capacity.hosts, capacity.usable_hosts, capacity.cpu.cores), (3, 2, 128));
}

fn chore(hygiene: &Hygiene, kind: ChoreKind) -> Vec<(&str, Option<i64>)> {
    let chores = hygiene.chores.iter().filter(|chore| chore.kind == kind).flat_map(|chore| &chore.items);
    chores.map(|item| (item.object.name.as_str(), item.bytes)).collect()
}

#[tokio::test]
async fn a_tidy_inventory_has_no_chore() {
    let sim = Sim::start(Model::sized(Size::default())).await.unwrap();
    let hygiene = client(&sim).await.hygiene(true).await.unwrap();
    assert!(hygiene.chores.is_empty() && hygiene.gaps.is_empty(), "{hygiene:#?}");
}

#[tokio::test]
async fn snapshots_give_back_what_was_written_since_and_their_states() {
    let snapshot = |vm: &str, hours: u32, bytes| Incident::Snapshot {
        vm: vm.into(),
        name: "before patch".into(),
        age: hours * HOUR,
        bytes,
    };
    let model = Model::sized(Size::default())
        .incident(snapshot(VM, 100, 3 << 30))
        .incident(snapshot("DC0_C0_VM1", 71, 5 << 30))
        .incident(Incident::Consolidation { vm: "DC0_C0_VM2".into() });
    let sim = Sim::start(model).await.unwrap();
    let hygiene = client(&sim).await.hygiene(false).await.unwrap();
    // A state without memory has 32 KiB.
    assert_eq!(chore(&hygiene, ChoreKind::OldSnapshots), [(VM, Some((3 << 30) + (32 << 10)))]);
    assert_eq!(hygiene.chores[0].bytes, Some((3 << 30) + (32 << 10)));
    let detail = &hygiene.chores[0].items[0].detail;
    assert_eq!((detail.days, detail.count), (Some(4), Some(1)));
    assert_eq!(chore(&hygiene, ChoreKind::Consolidation), [("DC0_C0_VM2", None)]);
}

#[tokio::test]
async fn a_vm_is_off_for_long_when_the_events_no_longer_tell_since_when() {
    let sim = Sim::start(Model::sized(Size::default())).await.unwrap();
    let client = client(&sim).await;
    client.get::<VirtualMachine>(VM).await.unwrap().power_off().await.unwrap().await.unwrap();
    sim.pass_time(29 * DAY);
    let off = chore(&client.hygiene(false).await.unwrap(), ChoreKind::PoweredOff).len();
    assert_eq!(off, 0, "it was switched off 29 days ago");
    sim.pass_time(2 * DAY);
    let hygiene = client.hygiene(false).await.unwrap();
    let off = chore(&hygiene, ChoreKind::PoweredOff);
    let [(VM, Some(bytes))] = off[..] else { panic!("{off:?}") };
    assert!(bytes > 0);
    // The event is there still.
    let detail = &hygiene.chores[0].items[0].detail;
    let since = chrono::DateTime::parse_from_rfc3339(detail.since.as_deref().unwrap()).unwrap();
    let days = (client.server_time().await.unwrap() - since).num_days();
    assert_eq!((detail.days, days), (Some(31), 31));
}

#[tokio::test]
async fn a_vm_that_never_ran_is_off_since_it_was_made() {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let client = client(&sim).await;
    let hygiene = client.hygiene(false).await.unwrap();
    let off = hygiene.chores.iter().find(|chore| chore.kind == ChoreKind::PoweredOff).unwrap();
    let spare = off.items.iter().find(|item| item.object.name == "loadgen-01").unwrap();
    let made = client.get::<VirtualMachine>("loadgen-01").await.unwrap().read(CONFIG).await.unwrap().unwrap();
    let since = chrono::DateTime::parse_from_rfc3339(spare.detail.since.as_deref().unwrap()).unwrap();
    assert!((made.create_date.unwrap() - since).num_minutes().abs() < 60, "{spare:?}");
    assert!(spare.detail.days.unwrap() > 30, "{spare:?}");
}

#[tokio::test]
async fn an_iso_image_in_a_drive_is_told_with_its_path() {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let client = client(&sim).await;
    let left = async || {
        let hygiene = client.hygiene(false).await.unwrap();
        let chores = hygiene.chores.into_iter().filter(|chore| chore.kind == ChoreKind::IsoLeft);
        let items = chores.flat_map(|chore| chore.items);
        items.map(|item| (item.object.name, item.detail.path.unwrap())).collect::<Vec<_>>()
    };
    let before = left().await;
    let iso = "[iso-library] tools/memtest86plus-7.20.iso";
    let vm = client.get::<VirtualMachine>("web-01").await.unwrap();
    vm.iso_insertion(&iso.parse().unwrap(), None).await.unwrap().carry_out().await.unwrap();
    let after = left().await;
    let added: Vec<_> = after.iter().filter(|item| !before.contains(item)).collect();
    assert_eq!(added, [&("web-01".to_owned(), iso.to_owned())]);
    vm.iso_ejection(None).await.unwrap().carry_out().await.unwrap();
    assert_eq!(left().await, before, "an empty drive is no chore");
}

#[tokio::test]
async fn a_vm_is_idle_that_did_nothing_all_week_and_not_by_one_look() {
    let load = |vm: &str, percent, days: u32| Incident::CpuLoad { vm: vm.into(), percent, since: days * DAY };
    let model = Model::sized(Size::default()).incident(load(VM, 0.2, 20)).incident(load("DC0_C0_VM1", 0.2, 20));
    let sim = Sim::start(model).await.unwrap();
    sim.pass_time(9 * DAY);
    sim.incident(&load("DC0_C0_VM1", 30.0, 3)).unwrap();
    sim.incident(&load("DC0_C0_VM1", 0.2, 2)).unwrap();
    let hygiene = client(&sim).await.hygiene(false).await.unwrap();
    assert_eq!(chore(&hygiene, ChoreKind::Idle), [(VM, None)], "{hygiene:#?}");
    let chore = hygiene.chores.iter().find(|chore| chore.kind == ChoreKind::Idle).unwrap();
    let detail = &chore.items[0].detail;
    assert!(detail.cpu_peak_percent.unwrap() < 5.0 && detail.cpu_used_mhz.is_some(), "{detail:?}");
}

#[tokio::test]
async fn a_vm_is_oversized_that_in_a_week_never_used_a_fifth_of_what_it_has() {
    let sized = |vm: &str, cpus| Incident::Sized { vm: vm.into(), cpus, memory_mb: 4096 };
    let load = |vm: &str, percent, days: u32| Incident::CpuLoad { vm: vm.into(), percent, since: days * DAY };
    let model = Model::sized(Size::default())
        // One never uses more than a tenth, one did so once, one has no CPU to give back.
        .incident(sized(VM, 8))
        .incident(load(VM, 10.0, 20))
        .incident(sized("DC0_C0_VM1", 8))
        .incident(sized("DC0_C0_VM2", 2))
        .incident(load("DC0_C0_VM2", 5.0, 20));
    let sim = Sim::start(model).await.unwrap();
    sim.pass_time(9 * DAY);
    sim.incident(&load("DC0_C0_VM1", 40.0, 3)).unwrap();
    sim.incident(&load("DC0_C0_VM1", 5.0, 2)).unwrap();
    let client = client(&sim).await;
    let hygiene = client.hygiene(false).await.unwrap();
    assert!(hygiene.gaps.is_empty(), "{:?}", hygiene.gaps);
    let oversized: Vec<_> = hygiene.chores.iter().filter(|chore| chore.kind == ChoreKind::Oversized).collect();
    let items: Vec<_> = oversized.iter().flat_map(|chore| &chore.items).collect();
    let names: Vec<&str> = items.iter().map(|item| item.object.name.as_str()).collect();
    assert_eq!(names, [VM], "{oversized:#?}");
    let detail = &items[0].detail;
    let peak = detail.cpu_peak_percent.unwrap();
    assert!((9.0..15.0).contains(&peak) && detail.cpus == Some(8), "{detail:?}");
}

#[tokio::test]
async fn old_tools_and_files_that_no_vm_uses_are_told() {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let demo = client(&sim).await.hygiene(false).await.unwrap();
    let old = chore(&demo, ChoreKind::ToolsOld);
    assert_eq!(old, [("legacy-crm", None), ("print-01", None)]);
    assert_eq!(chore(&demo, ChoreKind::OrphanedFiles), []);

    let sim = Sim::start(Model::sized(Size::default())).await.unwrap();
    let client = client(&sim).await;
    let vm = client.get::<VirtualMachine>(VM).await.unwrap();
    vm.power_off().await.unwrap().await.unwrap();
    vm.unregister_vm().await.unwrap();
    assert_eq!(chore(&client.hygiene(false).await.unwrap(), ChoreKind::OrphanedFiles), []);
    let hygiene = client.hygiene(true).await.unwrap();
    let paths: Vec<&str> = hygiene.chores[0].items.iter().map(|item| item.detail.path.as_deref().unwrap()).collect();
    assert_eq!(paths, ["[DC0_DS0] DC0_C0_VM0/DC0_C0_VM0.vmdk"], "{hygiene:#?}");
}

#[tokio::test]
async fn events_that_can_not_be_read_leave_it_open_who_is_off_for_long() {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let client = client(&sim).await;
    let off = chore(&client.hygiene(false).await.unwrap(), ChoreKind::PoweredOff).len();
    assert!(off > 0, "the spare ones are off since they were made");
    sim.trouble(Trouble::none().fail("CreateCollectorForEvents", "NoPermission", u32::MAX));
    let hygiene = client.hygiene(false).await.unwrap();
    assert_eq!(chore(&hygiene, ChoreKind::PoweredOff), []);
    assert!(hygiene.gaps.missing.iter().any(|part| part.what.contains("off for long")), "{:?}", hygiene.gaps);
}

#[tokio::test]
async fn hardware_is_old_four_versions_behind_what_the_cluster_supports() {
    let sim = Sim::start(Model::sized(Size { vms: 0, ..Size::default() })).await.unwrap();
    let client = client(&sim).await;
    let folder: Mo<Folder> = client.get("/DC0/vm").await.unwrap();
    let cluster: Mo<ClusterComputeResource> = client.get("DC0_C0").await.unwrap();
    let pool = cluster.read(cluster_compute_resource::RESOURCE_POOL).await.unwrap().unwrap();
    for version in ["vmx-18", "vmx-19"] {
        let files = VirtualMachineFileInfo { vm_path_name: Some("[DC0_DS0]".into()), ..Default::default() };
        let spec = VirtualMachineConfigSpec {
            name: Some(version.to_owned()),
            version: Some(version.to_owned()),
            guest_id: Some("otherGuest64".to_owned()),
            num_cpus: Some(1),
            memory_mb: Some(1024),
            files: Some(Box::new(files)),
            ..Default::default()
        };
        let task = folder.create_vm_task(&spec, &pool, None).await.unwrap();
        vsphere_ops::Task::<Mo<VirtualMachine>>::new(&client, task, "create", version).await.unwrap();
    }
    let hygiene = client.hygiene(false).await.unwrap();
    assert_eq!(chore(&hygiene, ChoreKind::HardwareOld), [("vmx-18", None)], "{hygiene:#?}");
    assert_eq!(hygiene.chores[0].items[0].detail.newest.as_deref(), Some("vmx-22"));
    // They have no network, and are off.
    assert_eq!(chore(&hygiene, ChoreKind::NoNetwork), []);
    client.get::<VirtualMachine>("vmx-19").await.unwrap().power_on().await.unwrap().await.unwrap();
    assert_eq!(chore(&client.hygiene(false).await.unwrap(), ChoreKind::NoNetwork), [("vmx-19", None)]);
}

#[tokio::test]
async fn a_host_without_a_vcenter_is_looked_at_as_far_as_it_goes() {
    let sim = Sim::start(Model::esxi().incident(Incident::Consolidation { vm: VM.into() })).await;
    let known = sim.unwrap_err().to_string();
    let vm = known.rsplit("only ").next().unwrap().split(", ").next().unwrap().to_owned();
    let sim = Sim::start(Model::esxi().incident(Incident::Consolidation { vm: vm.clone() })).await.unwrap();
    let client = client(&sim).await;
    let attention = client.attention().await.unwrap();
    assert!(attention.findings.iter().any(|at| at.problem == Problem::Consolidation && at.object.name == vm));
    assert_eq!(chore(&client.hygiene(false).await.unwrap(), ChoreKind::Consolidation), [(vm.as_str(), None)]);
}
