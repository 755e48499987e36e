//! What ails one object: incidents that are planted, each with its near miss, and who changed what before.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is its failure report")]

use std::time::Duration;

use vsphere_ops::diagnosis::{Contention, Deed, Finding, Investigation, Problem, Severity};
use vsphere_ops::managed::datastore::SUMMARY;
use vsphere_ops::managed::{Datastore, ManagedEntity, VirtualMachine};
use vsphere_ops::types::{ResourceAllocationInfo, SharesInfo, SharesLevel, VirtualMachineConfigSpec};
use vsphere_ops::vm::Changes;
use vsphere_ops::{Client, Config};
use vsphere_sim::{Incident, Model, Sim, Size, Trouble};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A host and VMs of the usual inventory: VM0, VM3, VM6 and VM9 are on H0.
const HOST: &str = "DC0_C0_H0";
const VM: &str = "DC0_C0_VM0";
const NOISY: &str = "DC0_C0_VM3";
const DATASTORE: &str = "DC0_DS0";

async fn client(sim: &Sim) -> Client {
    let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
    Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap()
}

async fn sim(incidents: &[Incident]) -> Sim {
    let model = incidents.iter().cloned().fold(Model::sized(Size::default()), Model::incident);
    Sim::start(model).await.unwrap()
}

async fn look(client: &Client, object: &str) -> Investigation {
    client.get::<ManagedEntity>(object).await.unwrap().investigate().await.unwrap()
}

/// What is found about an object after these incidents, alarms apart, which are vCenter's own.
async fn found(object: &str, incidents: &[Incident]) -> Vec<Finding> {
    let sim = sim(incidents).await;
    let found = look(&client(&sim).await, object).await;
    let alarm = |finding: &Finding| matches!(finding.problem, Problem::Alarm { .. });
    found.findings.into_iter().filter(|finding| !alarm(finding)).collect()
}

fn cpu(vm: &str, percent: f64, since: Duration) -> Incident {
    Incident::CpuLoad { vm: vm.into(), percent, since }
}

fn sized(vm: &str, cpus: i32, memory_mb: i32) -> Incident {
    Incident::Sized { vm: vm.into(), cpus, memory_mb }
}

#[tokio::test]
async fn healthy_objects_have_no_finding() {
    let sim = sim(&[]).await;
    let client = client(&sim).await;
    for object in [VM, HOST, DATASTORE, "DC0_C0"] {
        let before = client.requests_sent();
        let found = look(&client, object).await;
        let requests = client.requests_sent() - before;
        assert!(requests <= 40, "{object}: {requests}");
        assert!(found.findings.is_empty(), "{object}: {:#?}", found.findings);
    }
}

/// What there is of one kind of contention, by the name of its object.
fn of<'f>(findings: &'f [Finding], kind: Contention, object: &str) -> Option<&'f Finding> {
    findings.iter().find(|finding| {
        finding.object.name == object && matches!(&finding.problem, Problem::Contention { of, .. } if *of == kind)
    })
}

/// The mean, the limit and the names of the neighbours of a finding.
fn evidence(finding: &Finding) -> (f64, f64, Vec<&str>) {
    let Problem::Contention { measured, neighbours, .. } = &finding.problem else { panic!("{finding:?}") };
    (measured.average, measured.limit, neighbours.iter().map(|neighbour| neighbour.name.as_str()).collect())
}

fn kinds(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| serde_json::to_value(&finding.problem).unwrap()["problem"].to_string()).collect()
}

#[track_caller]
fn about(value: f64, expected: f64) {
    assert!((value - expected).abs() < expected * 0.1, "{value} is not about {expected}");
}

/// Two VMs of 64 vCPUs each on a host of 64 cores.
fn overloaded(percent: f64) -> Vec<Incident> {
    let busy = |vm| [sized(vm, 64, 4096), cpu(vm, 10.0, 48 * HOUR), cpu(vm, percent, 30 * MINUTE)];
    ["DC0_C0_VM3", "DC0_C0_VM6"].into_iter().flat_map(busy).collect()
}

#[tokio::test]
async fn a_vm_waits_for_cpus_that_its_neighbours_take() {
    let mut incidents = overloaded(100.0);
    incidents.push(cpu(VM, 50.0, 48 * HOUR));
    let findings = found(VM, &incidents).await;
    let ready = of(&findings, Contention::CpuReady, VM).unwrap();
    let (average, limit, neighbours) = evidence(ready);
    // 128 CPUs are wanted of 63.4 cores: about half of what a CPU wants it waits for, and this one wants half its time.
    about(average, 25.5);
    assert_eq!((ready.severity, limit), (Severity::Critical, 5.0));
    let mut noisy = neighbours[..2].to_vec();
    noisy.sort_unstable();
    assert_eq!(noisy, ["DC0_C0_VM3", "DC0_C0_VM6"]);
    assert!(of(&findings, Contention::CpuFull, HOST).is_some(), "{findings:#?}");
    // Of two CPUs that wait a quarter of the time each, a fifth is for each other.
    about(evidence(of(&findings, Contention::CpuCostop, VM).unwrap()).0, 5.1);
    // It began half an hour ago.
    let since = chrono::DateTime::parse_from_rfc3339(ready.since.as_deref().unwrap()).unwrap();
    let ago = (chrono::Utc::now() - since.to_utc()).num_minutes();
    assert!((25..=36).contains(&ago), "{ago}");
}

#[tokio::test]
async fn a_host_that_is_busy_and_not_full_makes_nobody_wait() {
    // 128 vCPUs that want 45 % are 57.6 of 64 cores, which is 90 %; a little less is no finding.
    let findings = found(VM, &overloaded(42.0)).await;
    assert!(findings.is_empty(), "{findings:#?}");
    let findings = found(HOST, &overloaded(42.0)).await;
    assert!(findings.is_empty(), "{findings:#?}");
    let findings = found(HOST, &overloaded(47.0)).await;
    let full = of(&findings, Contention::CpuFull, HOST).unwrap();
    about(evidence(full).0, 96.0);
    assert_eq!(findings.len(), 1, "{findings:#?}");
}

#[tokio::test]
async fn a_peak_of_three_minutes_is_no_finding() {
    let short = |vm| [sized(vm, 64, 4096), cpu(vm, 10.0, 48 * HOUR), cpu(vm, 100.0, 3 * MINUTE)];
    let incidents: Vec<Incident> = ["DC0_C0_VM3", "DC0_C0_VM6"].into_iter().flat_map(short).collect();
    let findings = found(VM, &incidents).await;
    assert!(findings.is_empty(), "{findings:#?}");
}

#[tokio::test]
async fn what_is_over_is_a_notice_with_its_end() {
    let mut incidents = overloaded(100.0);
    incidents.push(cpu(VM, 50.0, 48 * HOUR));
    incidents.extend([cpu("DC0_C0_VM3", 10.0, 15 * MINUTE), cpu("DC0_C0_VM6", 10.0, 15 * MINUTE)]);
    let findings = found(VM, &incidents).await;
    let ready = of(&findings, Contention::CpuReady, VM).unwrap();
    let Problem::Contention { measured, .. } = &ready.problem else { panic!() };
    assert!(ready.severity == Severity::Notice && measured.until.is_some() && !measured.or_earlier, "{ready:#?}");
}

#[tokio::test]
async fn a_host_tells_its_vms_that_wait() {
    let findings = found(HOST, &overloaded(100.0)).await;
    let waiting: Vec<&str> = findings
        .iter()
        .filter(|finding| matches!(finding.problem, Problem::Contention { of: Contention::CpuReady, .. }))
        .map(|finding| finding.object.name.as_str())
        .collect();
    assert!(waiting.contains(&"DC0_C0_VM3") && waiting.contains(&"DC0_C0_VM6"), "{findings:#?}");
    let findings = found("DC0_C0", &overloaded(100.0)).await;
    assert!(of(&findings, Contention::CpuFull, HOST).is_some() && of(&findings, Contention::CpuReady, NOISY).is_some());
    assert!(of(&findings, Contention::CpuFull, "DC0_C0_H1").is_none());
}

#[tokio::test]
async fn a_limit_that_holds_cpus_back_is_told_as_such() {
    let limited = |cpu_mhz| Incident::Limited { vm: VM.into(), cpu_mhz: Some(cpu_mhz), memory_mb: None };
    let findings = found(VM, &[cpu(VM, 80.0, HOUR), limited(1000)]).await;
    let held = of(&findings, Contention::CpuLimit, VM).unwrap();
    assert_eq!((held.severity, evidence(held).2.len()), (Severity::Warning, 0), "no neighbour does it");
    assert!(of(&findings, Contention::CpuReady, VM).is_none(), "{findings:#?}");
    let restricted = findings.iter().find(|finding| matches!(finding.problem, Problem::Restricted { .. })).unwrap();
    assert_eq!(
        (&restricted.problem, restricted.severity),
        (
            &Problem::Restricted {
                cpu_limit_mhz: Some(1000),
                memory_limit_mb: None,
                cpu_shares: None,
                memory_shares: None
            },
            Severity::Notice
        )
    );
    // A limit that is not reached is to be known, and holds nothing back.
    let findings = found(VM, &[cpu(VM, 20.0, HOUR), limited(1_000_000)]).await;
    assert_eq!(kinds(&findings), ["\"restricted\""], "{findings:#?}");
}

#[tokio::test]
async fn a_vm_that_uses_all_that_it_has_is_told() {
    let full = found(VM, &[cpu(VM, 96.0, HOUR)]).await;
    assert_eq!(full.len(), 1, "{full:#?}");
    about(evidence(of(&full, Contention::CpuFull, VM).unwrap()).0, 96.0);
    assert!(found(VM, &[cpu(VM, 80.0, HOUR)]).await.is_empty());
    let memory = |percent| Incident::MemoryLoad { vm: VM.into(), percent, since: HOUR };
    let full = found(VM, &[memory(98.0)]).await;
    about(evidence(of(&full, Contention::MemoryFull, VM).unwrap()).0, 98.0);
    assert_eq!(full.len(), 1, "{full:#?}");
    assert!(found(VM, &[memory(90.0)]).await.is_empty());
}

/// A VM that takes so much of the 512 GiB of a host.
fn large(memory_mb: i32) -> [Incident; 2] {
    [sized(NOISY, 2, memory_mb), Incident::MemoryLoad { vm: NOISY.into(), percent: 90.0, since: HOUR }]
}

#[tokio::test]
async fn a_host_that_is_short_of_memory_takes_it_back() {
    // With 580,000 MB, of which the guest touches 90 %, the host lacks more than 20,000 MB.
    let findings = found(VM, &large(580_000)).await;
    let balloon = of(&findings, Contention::Ballooning, VM).unwrap();
    let (average, limit, neighbours) = evidence(balloon);
    assert!((average > 10.0, limit, neighbours[0]) == (true, 1.0, NOISY), "{balloon:#?}");
    assert!(of(&findings, Contention::SwappingIn, VM).is_none(), "the balloon does it");
    assert!(of(&findings, Contention::MemoryFull, HOST).is_some(), "{findings:#?}");
    // Without VMware Tools there is no balloon, and a guest that touches all that it has waits for the swap file.
    let mut incidents = large(580_000).to_vec();
    incidents.push(Incident::ToolsEnd { vm: VM.into() });
    incidents.push(Incident::MemoryLoad { vm: VM.into(), percent: 90.0, since: HOUR });
    let findings = found(VM, &incidents).await;
    assert!(of(&findings, Contention::Ballooning, VM).is_none(), "{findings:#?}");
    assert!(evidence(of(&findings, Contention::SwappingIn, VM).unwrap()).0 > 100.0, "{findings:#?}");
    assert!(kinds(&findings).contains(&"\"tools_not_running\"".to_owned()));
    // A host that is nearly full takes nothing back.
    assert!(found(VM, &large(400_000)).await.is_empty());
}

#[tokio::test]
async fn a_memory_limit_is_told_with_the_balloon_that_it_makes() {
    let limited = |memory_mb| Incident::Limited { vm: VM.into(), cpu_mhz: None, memory_mb: Some(memory_mb) };
    let used = Incident::MemoryLoad { vm: VM.into(), percent: 60.0, since: HOUR };
    let findings = found(VM, &[limited(1024), used.clone()]).await;
    // Of 4096 MB at least 60 % were given, of which 1024 are left.
    let Problem::Contention { measured, .. } = &of(&findings, Contention::Ballooning, VM).unwrap().problem else {
        panic!()
    };
    assert!(measured.peak >= 0.6 * 4096.0 - 1024.0 - 1.0, "{measured:?}");
    let restricted = findings
        .iter()
        .any(|finding| matches!(finding.problem, Problem::Restricted { memory_limit_mb: Some(1024), .. }));
    assert!(restricted && of(&findings, Contention::MemoryFull, HOST).is_none(), "{findings:#?}");
    assert!(found(VM, &[limited(4096), used]).await.is_empty(), "it has no more than that");
}

#[tokio::test]
async fn a_datastore_that_answers_late_is_told_with_the_disks_on_it() {
    let slow = |milliseconds| Incident::DatastoreSlow {
        datastore: DATASTORE.into(),
        delay: Duration::from_millis(milliseconds),
        since: HOUR / 2,
    };
    let findings = found(VM, &[slow(60)]).await;
    let late = of(&findings, Contention::StorageLatency, VM).unwrap();
    let Problem::Contention { part, datastore, .. } = &late.problem else { panic!() };
    assert_eq!((part.as_deref(), datastore.as_deref()), (Some("Hard disk 1"), Some(DATASTORE)));
    assert_eq!(late.severity, Severity::Critical);
    assert!((60.0..68.0).contains(&evidence(late).0), "{late:#?}");
    assert!(of(&findings, Contention::StorageLatency, DATASTORE).is_some(), "its host sees it too");
    // All three hosts wait for it; the other datastore is well.
    let findings = found(DATASTORE, &[slow(30)]).await;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let Problem::Contention { others, .. } = &findings[0].problem else { panic!() };
    assert_eq!((findings[0].severity, *others), (Severity::Warning, 2));
    assert!(found("DC0_DS1", &[slow(30)]).await.is_empty());
    assert!(found(VM, &[slow(10)]).await.is_empty() && found(DATASTORE, &[slow(10)]).await.is_empty());
}

#[tokio::test]
async fn who_writes_most_on_a_late_datastore_is_told() {
    // VM6 is on the datastore of VM0. 10,000 requests a second are carried out at once; three times as many wait 40 ms.
    let busy = |iops| Incident::DiskLoad { vm: "DC0_C0_VM6".into(), iops, since: HOUR };
    for object in [VM, DATASTORE] {
        let findings = found(object, &[busy(30_000)]).await;
        let late = of(&findings, Contention::StorageLatency, object).unwrap();
        let (average, _, neighbours) = evidence(late);
        assert!((40.0..48.0).contains(&average) && neighbours[0] == "DC0_C0_VM6", "{late:#?}");
        assert!(found(object, &[busy(9000)]).await.is_empty());
    }
}

#[tokio::test]
async fn packets_that_are_dropped_are_told_from_one_per_cent_on() {
    let dropped = |percent| Incident::PacketsDropped { vm: VM.into(), percent, since: HOUR };
    let findings = found(VM, &[dropped(5.0), cpu(VM, 50.0, HOUR)]).await;
    let lost = of(&findings, Contention::PacketsDropped, VM).unwrap();
    about(evidence(lost).0, 5.0 / 105.0 * 100.0);
    assert!(found(VM, &[dropped(0.5), cpu(VM, 50.0, HOUR)]).await.is_empty());
}

#[tokio::test]
async fn what_else_is_wrong_with_a_vm_and_what_it_stands_on_is_found() {
    let old = |hours: u32, bytes| Incident::Snapshot { vm: VM.into(), name: "old".into(), age: hours * HOUR, bytes };
    let full = Incident::DatastoreFills { datastore: DATASTORE.into(), free: 1 << 30 };
    let expected = [
        (old(73, 1 << 20), "\"snapshot_old\""),
        (old(1, 11 << 30), "\"snapshot_large\""),
        (Incident::Consolidation { vm: VM.into() }, "\"consolidation\""),
        (Incident::Question { vm: VM.into(), text: "Retry?".into() }, "\"question\""),
        (Incident::VmLost { vm: VM.into(), state: "invalid".into() }, "\"vm_unavailable\""),
        (Incident::ToolsEnd { vm: VM.into() }, "\"tools_not_running\""),
        (Incident::DatastoreLost { datastore: DATASTORE.into(), host: None }, "\"datastore_inaccessible\""),
        (full, "\"datastore_full\""),
        (Incident::LinkDown { host: HOST.into(), nic: "vmnic0".into() }, "\"uplinks\""),
        (Incident::PathsDead { host: HOST.into(), adapter: "vmhba1".into() }, "\"storage_paths\""),
        (Incident::HostDisconnected { host: HOST.into() }, "\"host_unreachable\""),
    ];
    for (incident, expected) in expected {
        let findings = found(VM, std::slice::from_ref(&incident)).await;
        assert!(kinds(&findings).contains(&expected.to_owned()), "{incident:?}: {findings:#?}");
    }
    for near in [
        old(71, 1 << 20),
        old(1, 9 << 30),
        Incident::Consolidation { vm: NOISY.into() },
        Incident::Question { vm: NOISY.into(), text: "Retry?".into() },
        Incident::VmLost { vm: NOISY.into(), state: "invalid".into() },
        Incident::ToolsEnd { vm: NOISY.into() },
        Incident::DatastoreLost { datastore: "DC0_DS1".into(), host: None },
        Incident::DatastoreFills { datastore: "DC0_DS1".into(), free: 1 << 30 },
        Incident::LinkDown { host: "DC0_C0_H1".into(), nic: "vmnic0".into() },
        Incident::PathsDead { host: "DC0_C0_H1".into(), adapter: "vmhba1".into() },
        Incident::HostDisconnected { host: "DC0_C0_H1".into() },
        Incident::ServiceStops { host: HOST.into(), service: "ntpd".into() },
    ] {
        let findings = found(VM, std::slice::from_ref(&near)).await;
        assert!(findings.is_empty(), "{near:?}: {findings:#?}");
    }
}

#[tokio::test]
async fn a_datastore_is_full_below_fifteen_per_cent_and_not_at_that() {
    let usual = sim(&[]).await;
    let datastore = client(&usual).await.get::<Datastore>(DATASTORE).await.unwrap();
    let capacity = datastore.read(SUMMARY).await.unwrap().capacity;
    let fills = |percent: i64| Incident::DatastoreFills {
        datastore: DATASTORE.into(),
        free: u64::try_from(capacity / 1000 * percent).unwrap(),
    };
    for object in [VM, DATASTORE] {
        let full = found(object, &[fills(149)]).await;
        assert!(kinds(&full).contains(&"\"datastore_full\"".to_owned()), "{full:#?}");
        let near = found(object, &[fills(151)]).await;
        assert!(!kinds(&near).contains(&"\"datastore_full\"".to_owned()), "{near:#?}");
    }
}

#[tokio::test]
async fn low_shares_are_told_and_normal_or_high_ones_are_not() {
    let sim = sim(&[]).await;
    let client = client(&sim).await;
    let vm = client.get::<VirtualMachine>(VM).await.unwrap();
    let found = async |level: SharesLevel| {
        let shares = SharesInfo { shares: 0, level };
        let allocation = ResourceAllocationInfo { shares: Some(Box::new(shares)), ..Default::default() };
        let spec = VirtualMachineConfigSpec { cpu_allocation: Some(Box::new(allocation)), ..Default::default() };
        let task = vm.reconfig_vm_task(&spec).await.unwrap();
        vsphere_ops::Task::<()>::new(&client, task, "reconfigure", VM).await.unwrap();
        look(&client, VM).await.findings
    };
    let low = found(SharesLevel::Low).await;
    let [Finding { problem: Problem::Restricted { cpu_shares: Some(shares), memory_shares: None, .. }, .. }] = &low[..]
    else {
        panic!("{low:#?}")
    };
    assert_eq!(*shares, "low");
    for level in [SharesLevel::Normal, SharesLevel::High] {
        let near = found(level.clone()).await;
        assert!(near.is_empty(), "{level:?}: {near:#?}");
    }
}

#[tokio::test]
async fn what_changed_before_it_began_is_told_with_old_and_new_values() {
    let sim = sim(&[cpu(VM, 50.0, 48 * HOUR)]).await;
    let client = client(&sim).await;
    let vm = client.get::<VirtualMachine>(VM).await.unwrap();
    let note = Changes { annotation: Some("index built".into()), ..Default::default() };
    vm.reconfiguration(&note).await.unwrap().carry_out().await.unwrap();
    sim.pass_time(3 * MINUTE);
    sim.incident(&cpu(VM, 99.0, Duration::ZERO)).unwrap();
    sim.pass_time(25 * MINUTE);
    let after = Changes { annotation: Some("slow".into()), ..Default::default() };
    vm.reconfiguration(&after).await.unwrap().carry_out().await.unwrap();
    let found = look(&client, VM).await;
    assert!(of(&found.findings, Contention::CpuFull, VM).is_some(), "{found:#?}");
    let changes = |deeds: &[Deed]| -> Vec<String> {
        deeds.iter().flat_map(|deed| deed.changes.iter().map(ToString::to_string)).collect()
    };
    // What came afterwards is in the timeline alone.
    assert_eq!(changes(&found.changes_before), ["annotation: \"\" -> index built"], "{found:#?}");
    assert_eq!(found.changes_before[0].what, "VirtualMachine.reconfigure");
    assert_eq!(changes(&found.timeline), ["annotation: index built -> slow", "annotation: \"\" -> index built"]);
    // Without contention nothing has caused it.
    let well = look(&client, NOISY).await;
    assert!(well.findings.is_empty() && well.changes_before.is_empty(), "{well:#?}");
}

#[tokio::test]
async fn who_changed_what_is_one_story_of_tasks_and_events() {
    let sim = sim(&[]).await;
    let client = client(&sim).await;
    let vm = client.get::<VirtualMachine>(VM).await.unwrap();
    let begin = client.server_time().await.unwrap();
    let note = Changes { annotation: Some("mine".into()), ..Default::default() };
    vm.reconfiguration(&note).await.unwrap().carry_out().await.unwrap();
    vm.power_off().await.unwrap().await.unwrap();
    assert!(vm.suspend().await.unwrap().await.is_err(), "it is off");
    let story = vm.who_changed(begin, 20).await.unwrap();
    assert!(story.gaps.is_empty() && story.left_out == 0, "{story:#?}");
    let told = story.deeds.iter().map(|deed| (deed.what.as_str(), deed.outcome.as_deref()));
    let told: Vec<(&str, Option<&str>)> = told.filter(|(what, _)| what.contains('.')).collect();
    // Newest first, and each task once, with the events that came of its work.
    assert_eq!(
        told,
        [
            ("VirtualMachine.suspend", Some("InvalidPowerState")),
            ("VirtualMachine.powerOff", None),
            ("VirtualMachine.reconfigure", None)
        ],
        "{story:#?}"
    );
    let first = story.deeds.last().unwrap();
    assert!(first.user.as_ref().is_some_and(|user| user.to_lowercase().contains("administrator")), "{first:#?}");
    assert_eq!(first.changes[0].to_string(), "annotation: \"\" -> mine");
    let cut = vm.who_changed(begin, 1).await.unwrap();
    assert_eq!((cut.deeds.len(), cut.left_out), (1, story.deeds.len() - 1));
    let later = vm.who_changed(client.server_time().await.unwrap(), 20).await.unwrap();
    assert!(later.deeds.is_empty(), "{later:#?}");
    let other = client.get::<VirtualMachine>(NOISY).await.unwrap().who_changed(begin, 20).await.unwrap();
    assert!(other.deeds.is_empty(), "{other:#?}");
}

#[tokio::test]
async fn only_objects_that_can_be_measured_are_investigated() {
    let sim = sim(&[]).await;
    let error = client(&sim).await.get::<ManagedEntity>("VM Network").await.unwrap().investigate().await.unwrap_err();
    assert!(error.to_string().contains("give a VM, a host, a datastore or a cluster"), "{error}");
}

#[tokio::test]
async fn a_host_without_a_vcenter_is_investigated_as_far_as_it_tells() {
    let sim = Sim::start(Model::esxi()).await.unwrap();
    let client = client(&sim).await;
    let vms = client.all::<VirtualMachine>().select(()).await.unwrap();
    for (vm, ()) in vms {
        let found = vm.investigate().await.unwrap();
        let contention = |finding: &&Finding| matches!(finding.problem, Problem::Contention { .. });
        assert_eq!(found.findings.iter().find(contention), None, "{}", vm.label());
        assert!(vm.who_changed(client.server_time().await.unwrap() - chrono::TimeDelta::days(1), 9).await.is_ok());
    }
}

#[tokio::test]
async fn a_large_cluster_takes_no_more_requests_and_says_what_is_left_out() {
    let size = Size { hosts: 12, vms: 300, ..Size::default() };
    let sim = Sim::start(Model::sized(size)).await.unwrap();
    let client = client(&sim).await;
    let before = client.requests_sent();
    let found = look(&client, "DC0_C0").await;
    let requests = client.requests_sent() - before;
    assert!(found.findings.is_empty(), "{:#?}", found.findings);
    assert!(requests <= 40, "{requests}");
    let missing: Vec<&str> = found.gaps.missing.iter().map(|part| part.what.as_str()).collect();
    assert!(missing.contains(&"the counters of 200 VMs"), "{missing:?}");
    assert!(missing.contains(&"the last day of the counters of hosts"), "{missing:?}");
}

#[tokio::test]
async fn what_can_not_be_measured_is_a_gap_and_the_rest_is_looked_at() {
    let sim = sim(&[Incident::Consolidation { vm: VM.into() }]).await;
    let client = client(&sim).await;
    sim.trouble(Trouble::none().fail("QueryPerf", "NoPermission", u32::MAX));
    let found = look(&client, VM).await;
    assert_eq!(kinds(&found.findings), ["\"consolidation\""], "{found:#?}");
    let mut missing: Vec<&str> = found.gaps.missing.iter().map(|part| part.what.as_str()).collect();
    missing.dedup();
    // Of the VM and of its host.
    let each = ["the counters of the last hour", "the counters of the last day"];
    assert_eq!(missing, [each, each].concat(), "{:#?}", found.gaps);
    sim.trouble(Trouble::none().fail("CreateCollectorForEvents", "NoPermission", u32::MAX));
    let vm = client.get::<VirtualMachine>(VM).await.unwrap();
    let story = vm.who_changed(client.server_time().await.unwrap(), 9).await.unwrap();
    assert_eq!(story.gaps.missing.iter().map(|part| part.what.as_str()).collect::<Vec<_>>(), ["events"]);
}

#[tokio::test]
async fn of_a_vm_that_does_not_run_nothing_is_measured() {
    let sim = sim(&[]).await;
    let client = client(&sim).await;
    client.get::<VirtualMachine>(VM).await.unwrap().power_off().await.unwrap().await.unwrap();
    let found = look(&client, VM).await;
    assert!(found.findings.is_empty(), "{:#?}", found.findings);
    assert!(found.gaps.missing.iter().any(|part| part.what == "the counters of DC0_C0_VM0"), "{:#?}", found.gaps);
}
