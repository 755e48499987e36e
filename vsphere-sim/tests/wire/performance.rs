//! Performance counters: which there are, and what their series say.

use std::collections::HashMap;

use crate::support::{Lab, fault};
use chrono::Duration;
use vsphere_model::managed::{PerformanceManager, VirtualMachine, performance_manager, virtual_machine};
use vsphere_model::types::{
    AlarmState, DateTime, ManagedObjectReference, PerfCounterInfo, PerfEntityMetric, PerfEntityMetricCSV, PerfMetricId,
    PerfMetricIntSeries, PerfQuerySpec, VirtualMachineQuickStats,
};
use vsphere_sim::{Incident, Model, Size};

struct Performance {
    lab: Lab,
    manager: PerformanceManager,
    ids: HashMap<String, i32>,
}

impl Performance {
    async fn new() -> Self {
        Self::of(Lab::new(Model::sized(Size { vms: 3, ..Size::default() })).await).await
    }

    async fn of(lab: Lab) -> Self {
        let manager: PerformanceManager = lab.object(lab.content.perf_manager.as_ref().unwrap());
        let counters = lab.get(&manager, performance_manager::PERF_COUNTER).await;
        let ids = counters.iter().map(|counter| (name(counter), counter.key)).collect();
        Self { lab, manager, ids }
    }

    fn metric(&self, name: &str, instance: &str) -> PerfMetricId {
        PerfMetricId { counter_id: self.ids[name], instance: instance.to_owned() }
    }

    fn query(&self, entity: &ManagedObjectReference, names: &[(&str, &str)], interval: i32) -> PerfQuerySpec {
        PerfQuerySpec {
            entity: entity.clone(),
            metric_id: names.iter().map(|(name, instance)| self.metric(name, instance)).collect(),
            interval_id: Some(interval),
            ..Default::default()
        }
    }

    /// The answer to one query; `None` where the entity has no place in it.
    async fn ask(&self, query: PerfQuerySpec) -> Option<PerfEntityMetric> {
        let answer = self.manager.query_perf(&[query]).await.unwrap();
        answer.into_iter().next().map(|metric| metric.downcast_ref::<PerfEntityMetric>().unwrap().clone())
    }

    async fn now(&self) -> DateTime {
        let instance = ManagedObjectReference::new("ServiceInstance", "ServiceInstance");
        self.lab.read(&instance, "serverClock").await.unwrap().take().unwrap()
    }
}

fn name(counter: &PerfCounterInfo) -> String {
    use vsphere_soap::object::Item as _;
    let vsphere_soap::object::Value::Enum(_, rollup) = counter.rollup_type.value() else { return String::new() };
    format!("{}.{}.{rollup}", counter.group_info.key, counter.name_info.key)
}

/// The values of a series.
fn values(metric: &PerfEntityMetric, index: usize) -> Vec<i64> {
    metric.value[index].downcast_ref::<PerfMetricIntSeries>().unwrap().value.clone()
}

#[tokio::test]
async fn there_are_the_counters_of_a_vcenter() {
    let performance = Performance::new().await;
    assert!(performance.ids.len() > 200, "{}", performance.ids.len());
    let ids = ["cpu.usage.average", "net.usage.average"].map(|name| performance.ids[name]);
    let found = performance.manager.query_perf_counter(&ids).await.unwrap();
    assert_eq!(found.iter().map(name).collect::<Vec<_>>(), ["cpu.usage.average", "net.usage.average"]);
    assert_eq!((found[0].unit_info.key.as_str(), found[0].level), ("percent", Some(1)));
    assert_eq!(fault(performance.manager.query_perf_counter(&[0])).await, "InvalidArgument");
    let first = performance.manager.query_perf_counter_by_level(1).await.unwrap();
    assert!(first.iter().all(|counter| counter.level == Some(1)) && first.len() > 30);
    assert_eq!(fault(performance.manager.query_perf_counter_by_level(5)).await, "InvalidArgument");
    let intervals = performance.lab.get(&performance.manager, performance_manager::HISTORICAL_INTERVAL).await;
    assert_eq!(intervals.iter().map(|one| one.sampling_period).collect::<Vec<_>>(), [300, 1800, 7200, 86_400]);
}

#[tokio::test]
async fn what_is_measured_depends_on_the_object_and_the_interval() {
    let performance = Performance::new().await;
    let [vm, host, cluster, datastore] =
        performance.lab.some(["VirtualMachine", "HostSystem", "ClusterComputeResource", "Datastore"]).await;
    let summary = performance.manager.query_perf_provider_summary(&vm).await.unwrap();
    assert_eq!((summary.current_supported, summary.refresh_rate), (true, Some(20)));
    let summary = performance.manager.query_perf_provider_summary(&cluster).await.unwrap();
    assert_eq!((summary.current_supported, summary.refresh_rate), (false, None));
    let root = performance.lab.content.root_folder.clone();
    assert_eq!(fault(performance.manager.query_perf_provider_summary(&root)).await, "InvalidArgument");

    let available = |entity: &ManagedObjectReference, interval| {
        performance.manager.query_available_perf_metric(entity, None, None, Some(interval))
    };
    let of_vm = available(&vm, 20).await.unwrap();
    assert!(of_vm.contains(&performance.metric("cpu.usage.average", "0")));
    assert!(of_vm.contains(&performance.metric("virtualDisk.read.average", "scsi0:0")));
    assert!(!of_vm.contains(&performance.metric("cpu.usage.maximum", "")), "extremes are made of history");
    let of_host = available(&host, 20).await.unwrap();
    assert!(of_host.contains(&performance.metric("net.received.average", "vmnic0")));
    let of_history = available(&host, 300).await.unwrap();
    assert!(of_history.contains(&performance.metric("cpu.usage.average", "")));
    assert!(!of_history.contains(&performance.metric("cpu.usage.average", "0")), "level 1 keeps no instances");
    assert!(available(&cluster, 20).await.unwrap().is_empty());
    assert!(available(&datastore, 300).await.unwrap().contains(&performance.metric("disk.used.latest", "")));
    assert_eq!(fault(available(&vm, 77)).await, "InvalidArgument");
}

#[tokio::test]
async fn a_series_is_the_same_whenever_one_asks() {
    let performance = Performance::new().await;
    let [vm] = performance.lab.some(["VirtualMachine"]).await;
    let end = performance.now().await - Duration::minutes(2);
    let counters = [("cpu.usage.average", ""), ("cpu.usage.average", "*"), ("mem.usage.average", "")];
    let query = || PerfQuerySpec {
        start_time: Some(end - Duration::minutes(10)),
        end_time: Some(end),
        ..performance.query(&vm, &counters, 20)
    };
    let first = performance.ask(query()).await.unwrap();
    assert_eq!(first, performance.ask(query()).await.unwrap());
    assert_eq!(first.sample_info.len(), 30);
    assert!(first.sample_info.windows(2).all(|two| two[1].timestamp - two[0].timestamp == Duration::seconds(20)));
    assert!(first.sample_info.iter().all(|sample| sample.timestamp > end - Duration::minutes(10)));
    let cpu = values(&first, 0);
    assert!(cpu.iter().all(|value| (0..=10_000).contains(value)) && cpu.iter().any(|value| *value > 0));
    assert!(cpu.windows(2).any(|two| two[0] != two[1]), "a load is never quite the same");
    let cpus: i32 = performance.lab.read(&vm, "config.hardware.numCPU").await.unwrap().take().unwrap();
    assert_eq!(first.value.len(), 1 + (usize::try_from(cpus).unwrap() + 1) + 1);
}

#[tokio::test]
async fn the_past_stays_as_it_was_while_time_goes_on() {
    let performance = Performance::new().await;
    let [vm, host] = performance.lab.some(["VirtualMachine", "HostSystem"]).await;
    let start = performance.now().await;
    let counters = [("cpu.usage.average", ""), ("mem.active.average", ""), ("mem.usage.average", "")];
    let past = async |entity: &ManagedObjectReference| {
        let end_time = Some(start - Duration::minutes(1));
        let query = PerfQuerySpec { end_time, ..performance.query(entity, &counters, 20) };
        let samples = performance.ask(query).await.unwrap();
        let newest = samples.sample_info.last().unwrap().timestamp;
        (newest, (0..counters.len()).map(|at| *values(&samples, at).last().unwrap()).collect::<Vec<_>>())
    };
    let before = (past(&vm).await, past(&host).await);
    while performance.now().await < start + Duration::seconds(2) {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!((past(&vm).await, past(&host).await), before);
}

#[tokio::test]
async fn samples_are_limited_and_csv_has_the_same_values() {
    let performance = Performance::new().await;
    let [host] = performance.lab.some(["HostSystem"]).await;
    let query = performance.query(&host, &[("cpu.usagemhz.average", ""), ("sys.uptime.latest", "")], 20);
    assert_eq!(performance.ask(query.clone()).await.unwrap().sample_info.len(), 180, "an hour is kept");
    let six = PerfQuerySpec { max_sample: Some(6), end_time: Some(performance.now().await), ..query.clone() };
    let plain = performance.ask(six.clone()).await.unwrap();
    assert_eq!(plain.sample_info.len(), 6);
    let csv = PerfQuerySpec { format: Some("csv".to_owned()), ..six };
    let csv = performance.manager.query_perf(&[csv]).await.unwrap();
    let csv = csv[0].downcast_ref::<PerfEntityMetricCSV>().unwrap();
    let text: Vec<String> = values(&plain, 0).iter().map(i64::to_string).collect();
    assert_eq!(csv.value[0].value.as_deref().unwrap(), text.join(","));
    assert_eq!(csv.sample_info_csv.split(',').count(), 12);
    assert!(csv.sample_info_csv.starts_with("20,20"), "{}", csv.sample_info_csv);
    let capacity: i32 = performance.lab.read(&host, "summary.hardware.cpuMhz").await.unwrap().take().unwrap();
    let cores: i16 = performance.lab.read(&host, "summary.hardware.numCpuCores").await.unwrap().take().unwrap();
    let most = i64::from(capacity) * i64::from(cores);
    assert!(values(&plain, 0).iter().all(|mhz| (1..most).contains(mhz)));
}

#[tokio::test]
async fn history_is_kept_by_intervals() {
    let performance = Performance::new().await;
    let [cluster] = performance.lab.some(["ClusterComputeResource"]).await;
    for (interval, samples) in [(300, 288), (1800, 336), (7200, 360), (86_400, 365)] {
        let metric =
            performance.ask(performance.query(&cluster, &[("cpu.usage.average", "")], interval)).await.unwrap();
        assert_eq!(metric.sample_info.len(), samples, "every {interval} s");
        assert!(metric.sample_info.iter().all(|sample| sample.timestamp.timestamp() % i64::from(interval) == 0));
    }
    let day = performance.ask(performance.query(&cluster, &[("cpu.usage.average", "")], 300)).await.unwrap();
    let (low, high) = (values(&day, 0).into_iter().min().unwrap(), values(&day, 0).into_iter().max().unwrap());
    assert!(high > low * 5 / 4, "a day has its rush hour: {low} to {high}");
    let real_time = performance.query(&cluster, &[("cpu.usage.average", "")], 20);
    assert_eq!(fault(performance.manager.query_perf(&[real_time])).await, "InvalidArgument");
}

#[tokio::test]
async fn what_is_off_is_not_measured() {
    let performance = Performance::new().await;
    let [vm] = performance.lab.some(["VirtualMachine"]).await;
    let machine: VirtualMachine = performance.lab.object(&vm);
    performance.lab.task(machine.power_off_vm_task()).await.unwrap();
    assert!(performance.ask(performance.query(&vm, &[("cpu.usage.average", "")], 20)).await.is_none());
    let history = performance.ask(performance.query(&vm, &[("cpu.usage.average", "")], 300)).await.unwrap();
    assert_eq!(values(&history, 0).iter().sum::<i64>(), 0);
    let metrics = performance.manager.query_available_perf_metric(&vm, None, None, Some(20)).await.unwrap();
    assert!(metrics.is_empty());
}

#[tokio::test]
async fn pitfall_29_history_is_asked_for_64_series_at_most() {
    let performance = Performance::new().await;
    let [host] = performance.lab.some(["HostSystem"]).await;
    let query = performance.query(&host, &[("cpu.usage.average", ""), ("mem.usage.average", "")], 300);
    performance.manager.query_perf(&vec![query.clone(); 32]).await.unwrap();
    assert_eq!(fault(performance.manager.query_perf(&vec![query; 33])).await, "RestrictedByAdministrator");
    let now = performance.query(&host, &[("cpu.usage.average", "*")], 20);
    performance.manager.query_perf(&vec![now; 33]).await.unwrap();
}

#[tokio::test]
async fn wrong_queries_are_refused() {
    let performance = Performance::new().await;
    let [host] = performance.lab.some(["HostSystem"]).await;
    let good = performance.query(&host, &[("cpu.usage.average", "")], 20);
    let now = performance.now().await;
    let wrong = [
        PerfQuerySpec { interval_id: Some(21), ..good.clone() },
        PerfQuerySpec { format: Some("xml".to_owned()), ..good.clone() },
        PerfQuerySpec { max_sample: Some(0), ..good.clone() },
        PerfQuerySpec { start_time: Some(now), end_time: Some(now - Duration::hours(1)), ..good.clone() },
        PerfQuerySpec { entity: performance.lab.content.root_folder.clone(), ..good.clone() },
        PerfQuerySpec { metric_id: vec![PerfMetricId { counter_id: 9999, ..Default::default() }], ..good.clone() },
    ];
    for query in wrong {
        assert_eq!(fault(performance.manager.query_perf(&[query])).await, "InvalidArgument");
    }
}

#[tokio::test]
async fn a_composite_has_the_host_and_its_machines() {
    let performance = Performance::new().await;
    let [vm] = performance.lab.some(["VirtualMachine"]).await;
    let host: ManagedObjectReference = performance.lab.read(&vm, "runtime.host").await.unwrap().take().unwrap();
    let vms: Vec<ManagedObjectReference> = performance.lab.read(&host, "vm").await.unwrap().take().unwrap();
    let query = performance.query(&host, &[("cpu.usage.average", "")], 20);
    let composite = performance.manager.query_perf_composite(&query).await.unwrap();
    assert_eq!(composite.entity.unwrap().entity, host);
    let children: Vec<_> = composite.child_entity.iter().map(|child| child.entity.clone()).collect();
    assert_eq!(children, vms);
    let wrong = PerfQuerySpec { entity: vm, ..query };
    assert_eq!(fault(performance.manager.query_perf_composite(&wrong)).await, "InvalidArgument");
}

#[tokio::test]
async fn a_higher_level_keeps_more() {
    let performance = Performance::new().await;
    let [host] = performance.lab.some(["HostSystem"]).await;
    let ready = performance.metric("net.received.average", "");
    let kept = || performance.manager.query_available_perf_metric(&host, None, None, Some(300));
    assert!(!kept().await.unwrap().contains(&ready));
    let mut day = performance.lab.get(&performance.manager, performance_manager::HISTORICAL_INTERVAL).await.remove(0);
    day.level = Some(2);
    performance.manager.update_perf_interval(&day).await.unwrap();
    assert!(kept().await.unwrap().contains(&ready));
    let mut week = performance.lab.get(&performance.manager, performance_manager::HISTORICAL_INTERVAL).await.remove(1);
    week.level = Some(4);
    assert_eq!(fault(performance.manager.update_perf_interval(&week)).await, "InvalidArgument");
}

/// A server with these incidents: VM0, VM3, VM6 and VM9 are on the first host, and VM0 and VM6 on the first datastore.
async fn after(incidents: impl IntoIterator<Item = Incident>) -> Performance {
    let model = incidents.into_iter().fold(Model::sized(Size::default()), Model::incident);
    Performance::of(Lab::new(model).await).await
}

impl Performance {
    /// The mean of the last five minutes of a counter.
    async fn mean(&self, entity: &ManagedObjectReference, name: &str, instance: &str) -> f64 {
        let query = PerfQuerySpec { max_sample: Some(15), ..self.query(entity, &[(name, instance)], 20) };
        let values = values(&self.ask(query).await.unwrap(), 0);
        values.iter().sum::<i64>() as f64 / values.len() as f64
    }

    async fn vm(&self, number: usize) -> (ManagedObjectReference, VirtualMachineQuickStats) {
        let vm = self.lab.at(&format!("/DC0/vm/DC0_C0_VM{number}")).await;
        let stats = self.lab.get(&self.lab.object::<VirtualMachine>(&vm), virtual_machine::QUICK_STATS).await;
        (vm, stats)
    }
}

#[track_caller]
fn about(value: f64, expected: f64) {
    assert!((value - expected).abs() < expected * 0.1, "{value} is not about {expected}");
}

#[tokio::test]
async fn a_host_that_is_asked_for_more_cpu_than_it_has_makes_vms_wait() {
    let since = std::time::Duration::from_secs(3600);
    let load = |number: usize, percent| Incident::CpuLoad { vm: format!("DC0_C0_VM{number}"), percent, since };
    let sized = |number: usize| Incident::Sized { vm: format!("DC0_C0_VM{number}"), cpus: 64, memory_mb: 4096 };
    let performance = after([sized(3), sized(6), load(3, 100.0), load(6, 100.0), load(0, 50.0)]).await;
    let host = performance.lab.at("/DC0/host/DC0_C0/DC0_C0_H0").await;
    about(performance.mean(&host, "cpu.usage.average", "").await, 10_000.0);
    let (vm, stats) = performance.vm(0).await;
    // 129 CPUs are wanted of 63.4: half of what this one wants, half the time of two CPUs, it waits for.
    let ready = performance.mean(&vm, "cpu.ready.summation", "").await;
    about(ready, 0.5 * 0.51 * 2.0 * 20_000.0);
    about(f64::from(stats.overall_cpu_readiness.unwrap()), ready * 100.0 / 20_000.0 / 2.0);
    about(f64::from(stats.overall_cpu_usage.unwrap()), performance.mean(&vm, "cpu.usagemhz.average", "").await);
    assert!(stats.overall_cpu_demand > stats.overall_cpu_usage, "{stats:?}");
    // What all get is what there is.
    let mut sum = 0.0;
    for number in [0, 3, 6, 9] {
        sum += performance.mean(&performance.vm(number).await.0, "cpu.usagemhz.average", "").await;
    }
    about(sum, performance.mean(&host, "cpu.totalCapacity.average", "").await);
    assert!(performance.mean(&host, "cpu.ready.summation", "").await > 100.0 * ready, "that of all VMs");
    let alarms = performance.lab.read(&host, "triggeredAlarmState").await.unwrap().take::<Vec<AlarmState>>().unwrap();
    assert!(alarms.iter().any(|alarm| alarm.entity == host && alarm.overall_status.as_str() == "red"), "{alarms:?}");
    // Elsewhere nobody waits.
    let (other, stats) = performance.vm(1).await;
    assert_eq!(stats.overall_cpu_readiness, Some(0));
    assert!(performance.mean(&other, "cpu.ready.summation", "").await < 0.05 * 2.0 * 20_000.0);
}

#[tokio::test]
async fn a_host_that_is_short_of_memory_takes_it_from_all() {
    let sized = Incident::Sized { vm: "DC0_C0_VM3".into(), cpus: 2, memory_mb: 600_000 };
    let load =
        Incident::MemoryLoad { vm: "DC0_C0_VM3".into(), percent: 100.0, since: std::time::Duration::from_secs(3600) };
    let performance = after([sized, load, Incident::ToolsEnd { vm: "DC0_C0_VM6".into() }]).await;
    let host = performance.lab.at("/DC0/host/DC0_C0/DC0_C0_H0").await;
    let mut sum = 0.0;
    for number in [0, 3, 6, 9] {
        let (vm, stats) = performance.vm(number).await;
        let balloon = performance.mean(&vm, "mem.vmmemctl.average", "").await;
        sum += balloon;
        let (ballooned, swapped) = (stats.ballooned_memory.unwrap(), stats.swapped_memory.unwrap());
        // A VM without VMware Tools has no balloon.
        assert_eq!((ballooned > 0, swapped > 0), (number != 6, number == 6), "VM{number}: {stats:?}");
        if number != 6 {
            about(f64::from(ballooned) * 1024.0, balloon);
        }
    }
    about(performance.mean(&host, "mem.vmmemctl.average", "").await, sum);
    assert!(performance.mean(&host, "mem.swapused.average", "").await > 0.0);
    assert!(performance.mean(&host, "mem.usage.average", "").await > 9600.0);
    let (_, stats) = performance.vm(1).await;
    assert_eq!((stats.ballooned_memory, stats.swapped_memory), (Some(0), Some(0)));
}

#[tokio::test]
async fn a_datastore_that_is_slow_is_so_for_all_who_use_it() {
    let since = std::time::Duration::from_secs(3600);
    let delay = std::time::Duration::from_millis(80);
    let performance = after([Incident::DatastoreSlow { datastore: "DC0_DS0".into(), delay, since }]).await;
    for (number, is_slow) in [(0, true), (1, false), (6, true)] {
        let (vm, _) = performance.vm(number).await;
        let latency = performance.mean(&vm, "virtualDisk.totalReadLatency.average", "scsi0:0").await;
        assert_eq!(latency > 75.0, is_slow, "VM{number}: {latency}");
    }
    let host = performance.lab.at("/DC0/host/DC0_C0/DC0_C0_H1").await;
    let query = performance.query(&host, &[("datastore.totalWriteLatency.average", "*")], 20);
    let answer = performance.ask(query).await.unwrap();
    let mut slow: Vec<bool> = (0..answer.value.len()).map(|index| values(&answer, index).last() > Some(&75)).collect();
    slow.sort_unstable();
    assert_eq!(slow, [false, true]);
    // Yesterday it was well.
    let query = performance.query(&host, &[("datastore.totalWriteLatency.average", "*")], 300);
    let answer = performance.ask(query).await.unwrap();
    assert!((0..2).all(|index| values(&answer, index)[0] < 20));
}
