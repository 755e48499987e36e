//! The sheet of hosts.

use std::sync::Arc;

use vsphere_model::managed::host_system as host;
use vsphere_model::types::{
    HostBIOSInfo, HostCpuPowerManagementInfo, HostDateTimeInfo, HostDnsConfig, HostHardwareSummary,
    HostHyperThreadScheduleInfo, HostListSummary, HostServiceInfo, HostSystemInfo, ManagedEntityStatus,
    ManagedObjectReference, ObjectContent, Poly,
};

use super::place::{Count, Places, Tally};
use super::{Column, Row, Sheet, cells_of, joined, number, time, word};
use crate::columns::Cell;
use crate::find::label;
use crate::read::Values;
use crate::vm::optional;

const STATUS: &str = "configStatus";
const HYPER_THREADING: &str = "config.hyperThread";
const DNS: &str = "config.network.dnsConfig";
const CLOCK: &str = "config.dateTimeInfo";
const SERVICES: &str = "config.service";
const POWER_POLICY: &str = "config.powerSystemInfo.currentPolicy.shortName";
const CPU_POWER: &str = "hardware.cpuPowerManagementInfo";
const BIOS: &str = "hardware.biosInfo";
const SYSTEM: &str = "hardware.systemInfo";
const STORAGE_VMOTION: &str = "capability.storageVMotionSupported";

pub(super) const PATHS: &[&str] = &[
    "name",
    host::SUMMARY.path(),
    STATUS,
    HYPER_THREADING,
    DNS,
    CLOCK,
    SERVICES,
    POWER_POLICY,
    CPU_POWER,
    BIOS,
    SYSTEM,
    STORAGE_VMOTION,
];

/// A host as it was read.
pub(super) struct Host {
    reference: ManagedObjectReference,
    name: String,
    places: Arc<Places>,
    /// What it has of VMs, where that is known.
    count: Option<Count>,
    summary: Option<HostListSummary>,
    status: Option<ManagedEntityStatus>,
    threads: Option<HostHyperThreadScheduleInfo>,
    dns: Option<Poly<HostDnsConfig>>,
    clock: Option<HostDateTimeInfo>,
    services: Option<HostServiceInfo>,
    power_policy: Option<String>,
    cpu_power: Option<HostCpuPowerManagementInfo>,
    bios: Option<HostBIOSInfo>,
    system: Option<HostSystemInfo>,
    storage_vmotion: Option<bool>,
}

/// The row of a host.
pub(super) fn row(content: ObjectContent, places: &Arc<Places>, tally: &Tally) -> Row {
    let name = label(&content);
    let values = &mut Values::new(content.prop_set, content.missing_set);
    let host = Host {
        count: tally.of(&tally.hosts, &content.obj.value),
        reference: content.obj,
        name,
        places: Arc::clone(places),
        summary: optional(values, host::SUMMARY.path()),
        status: optional(values, STATUS),
        threads: optional(values, HYPER_THREADING),
        dns: optional(values, DNS),
        clock: optional(values, CLOCK),
        services: optional(values, SERVICES),
        power_policy: optional(values, POWER_POLICY),
        cpu_power: optional(values, CPU_POWER),
        bios: optional(values, BIOS),
        system: optional(values, SYSTEM),
        storage_vmotion: optional(values, STORAGE_VMOTION),
    };
    Row { sheet: Sheet::VHost, cells: cells_of(COLUMNS, &host).collect() }
}

impl Host {
    fn summary<T>(&self, get: impl FnOnce(&HostListSummary) -> Option<T>) -> Option<T> {
        self.summary.as_ref().and_then(get)
    }

    fn hardware<T>(&self, get: impl FnOnce(&HostHardwareSummary) -> T) -> Option<T> {
        self.summary(|summary| summary.hardware.as_deref().map(get))
    }

    fn cpu_share(&self) -> Cell {
        let used = self.summary(|summary| summary.quick_stats.overall_cpu_usage);
        let whole = self.hardware(|it| i64::from(it.cpu_mhz) * i64::from(it.num_cpu_cores));
        Cell::percent(used.map(i64::from), whole)
    }

    fn memory_share(&self) -> Cell {
        let used = self.summary(|summary| summary.quick_stats.overall_memory_usage);
        Cell::percent(used.map(i64::from), self.hardware(|hardware| hardware.memory_size >> 20))
    }

    /// A count of VMs that needs the size of each.
    fn of_running(&self, get: fn(&Count) -> i64) -> Cell {
        number(self.count.as_ref().filter(|count| !count.is_partial).map(get))
    }

    /// What its maker calls it.
    fn identified(&self, key: &str) -> Option<String> {
        let all = self.system.as_ref().map(|system| &system.other_identifying_info);
        let all = all.or(self.summary.as_ref()?.hardware.as_ref().map(|hardware| &hardware.other_identifying_info))?;
        let found = all.iter().find(|info| info.identifier_type.key == key)?;
        Some(found.identifier_value.trim().to_owned())
    }
}

pub(super) const COLUMNS: &[Column<Host>] = &[
    ("Host", |host| Cell::text(Some(host.name.as_str()))),
    ("Datacenter", |host| Cell::text(host.places.datacenter(&host.reference))),
    ("Cluster", |host| Cell::text(host.places.cluster(&host.reference))),
    ("Config status", |host| word(host.status.as_ref())),
    ("in Maintenance Mode", |host| Cell::flag(host.summary(|it| Some(it.runtime.as_ref()?.in_maintenance_mode)))),
    ("in Quarantine Mode", |host| Cell::flag(host.summary(|it| it.runtime.as_ref()?.in_quarantine_mode))),
    ("CPU Model", |host| Cell::text(host.hardware(|it| it.cpu_model.clone()))),
    ("Speed", |host| number(host.hardware(|it| it.cpu_mhz))),
    ("HT Available", |host| Cell::flag(host.threads.as_ref().map(|it| it.available))),
    ("HT Active", |host| Cell::flag(host.threads.as_ref().map(|it| it.active))),
    ("# CPU", |host| number(host.hardware(|it| it.num_cpu_pkgs))),
    ("Cores per CPU", |host| number(host.hardware(|it| it.num_cpu_cores.checked_div(it.num_cpu_pkgs)).flatten())),
    ("# Cores", |host| number(host.hardware(|it| it.num_cpu_cores))),
    ("CPU usage %", Host::cpu_share),
    ("# Memory", |host| number(host.hardware(|it| it.memory_size >> 20))),
    ("Memory usage %", Host::memory_share),
    ("# NICs", |host| number(host.hardware(|it| it.num_nics))),
    ("# HBAs", |host| number(host.hardware(|it| it.num_hbas))),
    ("# VMs total", |host| number(host.count.as_ref().map(|count| count.total))),
    ("# VMs", |host| number(host.count.as_ref().map(|count| count.running))),
    ("# vCPUs", |host| host.of_running(|count| count.cpus)),
    ("vRAM", |host| host.of_running(|count| count.memory_mib)),
    ("VM Used memory", |host| number(host.count.as_ref().and_then(|count| count.used_mib))),
    ("VM Memory Swapped", |host| number(host.count.as_ref().and_then(|count| count.swapped_mib))),
    ("VM Memory Ballooned", |host| number(host.count.as_ref().and_then(|count| count.ballooned_mib))),
    ("VMotion support", |host| Cell::flag(host.summary(|it| Some(it.config.vmotion_enabled)))),
    ("Storage VMotion support", |host| Cell::flag(host.storage_vmotion)),
    ("Current EVC", |host| Cell::text(host.summary(|it| it.current_evc_mode_key.clone()))),
    ("Max EVC", |host| Cell::text(host.summary(|it| it.max_evc_mode_key.clone()))),
    ("Current CPU power man. policy", |host| {
        Cell::text(host.cpu_power.as_ref().and_then(|power| power.current_policy.as_deref()))
    }),
    ("Supported CPU power man.", |host| {
        Cell::text(host.cpu_power.as_ref().and_then(|power| power.hardware_support.as_deref()))
    }),
    ("Host Power Policy", |host| Cell::text(host.power_policy.as_deref())),
    ("ESX Version", |host| Cell::text(host.summary(|it| Some(it.config.product.as_ref()?.full_name.clone())))),
    ("Boot time", |host| {
        time(host.summary.as_ref().and_then(|it| it.runtime.as_ref()).and_then(|it| it.boot_time.as_ref()))
    }),
    ("DNS Servers", |host| joined(host.dns.iter().flat_map(|dns| dns.address.clone()))),
    ("DHCP", |host| Cell::flag(host.dns.as_ref().map(|dns| dns.dhcp))),
    ("Domain", |host| Cell::text(host.dns.as_ref().map(|dns| dns.domain_name.clone()))),
    ("DNS Search Order", |host| joined(host.dns.iter().flat_map(|dns| dns.search_domain.clone()))),
    ("NTP Server(s)", |host| {
        joined(host.clock.iter().filter_map(|clock| clock.ntp_config.as_ref()).flat_map(|ntp| ntp.server.clone()))
    }),
    ("NTPD running", |host| {
        let services = host.services.iter().flat_map(|services| &services.service);
        Cell::flag(services.filter(|service| service.key == "ntpd").map(|service| service.running).next())
    }),
    ("Time Zone", |host| Cell::text(host.clock.as_ref().map(|clock| clock.time_zone.key.clone()))),
    ("Time Zone Name", |host| Cell::text(host.clock.as_ref().map(|clock| clock.time_zone.name.clone()))),
    ("GMT Offset", |host| number(host.clock.as_ref().map(|clock| clock.time_zone.gmt_offset))),
    ("Vendor", |host| Cell::text(host.hardware(|it| it.vendor.clone()))),
    ("Model", |host| Cell::text(host.hardware(|it| it.model.clone()))),
    ("Serial number", |host| Cell::text(host.system.as_ref().and_then(|system| system.serial_number.clone()))),
    ("Service tag", |host| Cell::text(host.identified("ServiceTag"))),
    ("OEM specific string", |host| Cell::text(host.identified("OemSpecificString"))),
    ("BIOS Vendor", |host| Cell::text(host.bios.as_ref().and_then(|bios| bios.vendor.clone()))),
    ("BIOS Version", |host| Cell::text(host.bios.as_ref().and_then(|bios| bios.bios_version.clone()))),
    ("BIOS Date", |host| time(host.bios.as_ref().and_then(|bios| bios.release_date.as_ref()))),
    ("Object ID", |host| Cell::text(Some(host.reference.value.as_str()))),
    ("UUID", |host| Cell::text(host.hardware(|it| it.uuid.clone()))),
    ("VI SDK Server", |host| Cell::text(Some(host.places.server.name.as_str()))),
    ("VI SDK UUID", |host| Cell::text(host.places.server.about.instance_uuid.as_deref())),
];
