//! The alarms that a new vCenter has on its root folder.

use vsphere_model::types::{
    AlarmExpression, AlarmSetting, AlarmSpec, EventAlarmExpression, ManagedEntityStatus, MetricAlarmExpression,
    MetricAlarmOperator, OrAlarmExpression, PerfMetricId, Poly, StateAlarmExpression, StateAlarmOperator,
};

use super::performance;

/// The default alarms, in the order in which a vCenter makes them.
pub(super) fn all() -> Vec<AlarmSpec> {
    let conditions = [
        spec(
            "Host connection and power state",
            "alarm.HostConnectionStateAlarm",
            "Default alarm to monitor host connection and power state",
            vec![Poly::new(StateAlarmExpression {
                operator: StateAlarmOperator::IsEqual,
                type_: "HostSystem".to_owned(),
                state_path: "runtime.connectionState".to_owned(),
                yellow: Some("disconnected".to_owned()),
                red: Some("notResponding".to_owned()),
                ..Default::default()
            })],
        ),
        usage("Host CPU usage", "alarm.HostCPUUsageAlarm", "HostSystem", "cpu.usage.average", [7500, 9000]),
        usage("Host memory usage", "alarm.HostMemoryUsageAlarm", "HostSystem", "mem.usage.average", [9000, 9500]),
        usage(
            "Virtual machine CPU usage",
            "alarm.VmCPUUsageAlarm",
            "VirtualMachine",
            "cpu.usage.average",
            [7500, 9000],
        ),
        usage(
            "Virtual machine memory usage",
            "alarm.VmMemoryUsageAlarm",
            "VirtualMachine",
            "mem.usage.average",
            [8500, 9500],
        ),
        usage(
            "Datastore usage on disk",
            "alarm.DatastoreDiskUsageAlarm",
            "Datastore",
            "disk.used.latest",
            [7500, 8500],
        ),
    ];
    let by_event = EVENTS.iter().map(|(name, system, type_, status, events)| {
        let expressions = events.iter().map(|id| event(type_, id, status)).collect();
        spec(name, system, &format!("Default alarm: {}", name.to_lowercase()), expressions)
    });
    conditions.into_iter().chain(by_event).collect()
}

fn spec(name: &str, system: &str, description: &str, expressions: Vec<Poly<AlarmExpression>>) -> AlarmSpec {
    AlarmSpec {
        name: name.to_owned(),
        system_name: Some(system.to_owned()),
        description: description.to_owned(),
        enabled: true,
        expression: Poly::new(OrAlarmExpression { expression: expressions, ..Default::default() }),
        action_frequency: Some(0),
        setting: Some(Box::new(AlarmSetting { tolerance_range: 0, reporting_frequency: 300 })),
        ..Default::default()
    }
}

/// An alarm on a measurement in hundredths of a percent, with its limits for yellow and red.
fn usage(name: &str, system: &str, type_: &str, counter: &str, [yellow, red]: [i32; 2]) -> AlarmSpec {
    // How full a datastore is needs no time to be sure of.
    let interval = (type_ != "Datastore").then_some(300);
    let expression = MetricAlarmExpression {
        operator: MetricAlarmOperator::IsAbove,
        type_: type_.to_owned(),
        metric: PerfMetricId { counter_id: performance::counter_id(counter).unwrap_or_default(), ..Default::default() },
        yellow: Some(yellow),
        yellow_interval: interval,
        red: Some(red),
        red_interval: interval,
        ..Default::default()
    };
    let description = format!(
        "Default alarm to monitor {}{}",
        name.get(..1).unwrap_or_default().to_lowercase(),
        name.get(1..).unwrap_or_default()
    );
    spec(name, system, &description, vec![Poly::new(expression)])
}

fn event(type_: &str, id: &str, status: &str) -> Poly<AlarmExpression> {
    // Ids with dots are those of events that have no type of their own.
    let event_type = if id.contains('.') { "EventEx" } else { id };
    let event_type_id = if id.contains('.') { id.to_owned() } else { format!("vim.event.{id}") };
    Poly::new(EventAlarmExpression {
        event_type: event_type.to_owned(),
        event_type_id: Some(event_type_id),
        object_type: Some(type_.to_owned()),
        status: Some(match status {
            "red" => ManagedEntityStatus::Red,
            "yellow" => ManagedEntityStatus::Yellow,
            _ => ManagedEntityStatus::Green,
        }),
        ..Default::default()
    })
}

type ByEvent = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

/// Alarms on events: name, system name, type of object, status, the events.
const EVENTS: &[ByEvent] = &[
    ("Host error", "alarm.HostErrorAlarm", "HostSystem", "red", &["GeneralHostErrorEvent"]),
    ("Virtual machine error", "alarm.VmErrorAlarm", "VirtualMachine", "red", &["GeneralVmErrorEvent"]),
    ("Host connection failure", "alarm.HostConnectivityAlarm", "HostSystem", "red", &["HostConnectionLostEvent"]),
    (
        "Cannot connect to storage",
        "alarm.StorageConnectivityAlarm",
        "HostSystem",
        "red",
        &["esx.problem.storage.connectivity.lost", "esx.problem.storage.redundancy.lost"],
    ),
    (
        "Network connectivity lost",
        "alarm.NetworkConnectivityLostAlarm",
        "HostSystem",
        "red",
        &["esx.problem.net.connectivity.lost"],
    ),
    (
        "Network uplink redundancy lost",
        "alarm.NetworkRedundancyLostAlarm",
        "HostSystem",
        "yellow",
        &["esx.problem.net.redundancy.lost"],
    ),
    (
        "Network uplink redundancy degraded",
        "alarm.NetworkRedundancyDegradedAlarm",
        "HostSystem",
        "yellow",
        &["esx.problem.net.redundancy.degraded"],
    ),
    (
        "Insufficient vSphere HA failover resources",
        "alarm.InsufficientHAFailoverResourcesAlarm",
        "ClusterComputeResource",
        "red",
        &["InsufficientFailoverResourcesEvent"],
    ),
    ("vSphere HA host status", "alarm.HAhostStatus", "HostSystem", "red", &["DasAgentUnavailableEvent"]),
    (
        "vSphere HA virtual machine failover failed",
        "alarm.VmDasErrorAlarm",
        "VirtualMachine",
        "red",
        &["VmMaxRestartCountReached"],
    ),
    ("Migration error", "alarm.MigrationErrorAlarm", "VirtualMachine", "yellow", &["MigrationErrorEvent"]),
    ("Exit standby error", "alarm.ExitStandbyErrorAlarm", "HostSystem", "red", &["ExitStandbyModeFailedEvent"]),
    (
        "Virtual machine Consolidation Needed status",
        "alarm.VmDiskConsolidationNeeded",
        "VirtualMachine",
        "yellow",
        &["com.vmware.vc.VmDiskConsolidationNeeded"],
    ),
    (
        "Virtual machine Fault Tolerance state changed",
        "alarm.FTVmStateChangedAlarm",
        "VirtualMachine",
        "yellow",
        &["VmFaultToleranceStateChangedEvent"],
    ),
    (
        "No compatible host for Secondary VM",
        "alarm.NoCompatibleHostForSecondaryVmAlarm",
        "VirtualMachine",
        "red",
        &["VmNoCompatibleHostForSecondaryEvent"],
    ),
    (
        "Timed out starting Secondary VM",
        "alarm.VmTimedoutStartingSecondaryAlarm",
        "VirtualMachine",
        "red",
        &["VmTimedoutStartingSecondaryEvent"],
    ),
    (
        "Unmanaged workload detected on SIOC-enabled datastore",
        "alarm.NonVIWorkloadDetectedAlarm",
        "Datastore",
        "yellow",
        &["NonVIWorkloadDetectedOnDatastoreEvent"],
    ),
    ("Expired host license", "alarm.HostLicenseExpiredAlarm", "HostSystem", "red", &["HostLicenseExpiredEvent"]),
    (
        "Thin-provisioned LUN capacity exceeded",
        "alarm.ThinProvisionedLUNAlarm",
        "Datastore",
        "red",
        &["esx.problem.scsi.device.thinprov.atquota"],
    ),
    (
        "Host hardware temperature status",
        "alarm.TemperatureHealthAlarm",
        "HostSystem",
        "red",
        &["esx.problem.hardware.temperature.red"],
    ),
    ("Host hardware fan status", "alarm.FanHealthAlarm", "HostSystem", "red", &["esx.problem.hardware.fan.red"]),
    ("Host hardware power status", "alarm.PowerHealthAlarm", "HostSystem", "red", &["esx.problem.hardware.power.red"]),
];
