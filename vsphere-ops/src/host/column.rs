//! The columns of lists of hosts.

use vsphere_model::managed::host_system as host;
use vsphere_model::types::{
    AboutInfo, CustomFieldValue, DateTime, HostHardwareSummary, HostListSummaryQuickStats, HostSystemConnectionState,
    HostSystemPowerState, ManagedEntityStatus, Poly,
};

use crate::columns::{Beside, Cell, Listed, Object, Others, columns};
use crate::words::word;

const PARENT: &str = host::PARENT.path();
const HARDWARE: &str = host::SUMMARY_HARDWARE.path();
const PRODUCT: &str = host::SUMMARY_PRODUCT.path();
const STATS: &str = host::QUICK_STATS.path();
const POWER_STATE: &str = "runtime.powerState";
const BOOT_TIME: &str = "runtime.bootTime";
const STATUS: &str = "overallStatus";
const REBOOT_REQUIRED: &str = "summary.rebootRequired";
const EVC: &str = "summary.currentEVCModeKey";
const NTP_SERVERS: &str = "config.dateTimeInfo.ntpConfig.server";
const SERIAL_NUMBER: &str = "hardware.systemInfo.serialNumber";
const DATASTORES: &str = host::DATASTORE.path();
const NETWORKS: &str = host::NETWORK.path();
const VMS: &str = host::VM.path();
const CUSTOM_VALUES: &str = "customValue";

columns! {
    /// A column of a list of hosts.
    ///
    /// ```
    /// use vsphere_ops::columns::Column;
    /// use vsphere_ops::host::HostColumn;
    ///
    /// let names: Vec<&str> = HostColumn::ALL.iter().map(|column| column.name()).collect();
    /// assert!(names.contains(&"cpu_usage_percent") && names.contains(&"build"));
    /// ```
    HostColumn {
        /// The name.
        Name = "name", Text, ["name"], Itself;
        /// The managed object id.
        Id = "id", Text, [], Itself;
        /// Whether vCenter reaches it: `connected`, `disconnected`, `not_responding`.
        ConnectionState = "connection_state", Text, [host::CONNECTION_STATE.path()], Itself;
        /// Whether it is in maintenance mode.
        MaintenanceMode = "maintenance_mode", Flag, [host::IN_MAINTENANCE_MODE.path()], Itself;
        /// The name of its cluster, or of itself where it is in none.
        Cluster = "cluster", Text, [PARENT], Names;
        /// The product and its version.
        Version = "version", Text, [PRODUCT], Itself;
        /// Vendor and model.
        Model = "model", Text, [HARDWARE], Itself;
        /// CPU cores.
        CpuCores = "cpu_cores", Number, [HARDWARE], Itself;
        /// CPU speed of a core in MHz.
        CpuMhz = "cpu_mhz", Number, [HARDWARE], Itself;
        /// CPU in use in MHz.
        CpuUsageMhz = "cpu_usage_mhz", Number, [STATS], Itself;
        /// Memory in MiB.
        MemoryMb = "memory_mb", Number, [HARDWARE], Itself;
        /// Memory in use in MiB.
        MemoryUsageMb = "memory_usage_mb", Number, [STATS], Itself;
        /// How many VMs, templates included, are registered on it.
        Vms = "vms", Number, [VMS], Itself;
        /// The inventory path.
        Path = "path", Text, [PARENT], Above;
        /// The power state.
        PowerState = "power_state", Text, [POWER_STATE], Itself;
        /// How well it is: `green`, `yellow`, `red` or `gray`.
        Status = "status", Text, [STATUS], Itself;
        /// The number of the version (`8.0.3`).
        Release = "release", Text, [PRODUCT], Itself;
        /// The build.
        Build = "build", Text, [PRODUCT], Itself;
        /// Who built it.
        Vendor = "vendor", Text, [HARDWARE], Itself;
        /// The serial number.
        SerialNumber = "serial_number", Text, [SERIAL_NUMBER], Itself;
        /// The model of its CPUs.
        CpuModel = "cpu_model", Text, [HARDWARE], Itself;
        /// CPU sockets.
        CpuSockets = "cpu_sockets", Number, [HARDWARE], Itself;
        /// CPU threads.
        CpuThreads = "cpu_threads", Number, [HARDWARE], Itself;
        /// How much of its CPU is in use, in per cent.
        CpuUsagePercent = "cpu_usage_percent", Number, [HARDWARE, STATS], Itself;
        /// How much of its memory is in use, in per cent.
        MemoryUsagePercent = "memory_usage_percent", Number, [HARDWARE, STATS], Itself;
        /// When it was started.
        BootTime = "boot_time", Time, [BOOT_TIME], Itself;
        /// Whether a change waits for it to be restarted.
        RebootRequired = "reboot_required", Flag, [REBOOT_REQUIRED], Itself;
        /// The baseline that its cluster holds the CPUs down to.
        Evc = "evc", Text, [EVC], Itself;
        /// Its time servers.
        NtpServers = "ntp_servers", Texts, [NTP_SERVERS], Itself;
        /// The datastores that it mounts.
        Datastores = "datastores", Texts, [DATASTORES], Names;
        /// The networks that it offers to VMs.
        Networks = "networks", Texts, [NETWORKS], Names;
        /// The values of its custom attributes.
        CustomAttributes = "custom_attributes", Texts, [CUSTOM_VALUES], Attributes;
        /// Its tags, as `category:tag`.
        Tags = "tags", Texts, [], Tags;
    }
    shown [
        Name, Id, ConnectionState, MaintenanceMode, Cluster, Version, Model, CpuCores, CpuMhz, CpuUsageMhz, MemoryMb,
        MemoryUsageMb, Vms
    ]
    searched [Name, Model, SerialNumber, CpuModel]
    summed [CpuCores, CpuUsageMhz, MemoryMb, MemoryUsageMb]
    untrusted [CustomAttributes]
}

impl Listed for HostColumn {
    const TYPES: &'static [&'static str] = &["HostSystem"];

    fn paths(self) -> &'static [&'static str] {
        self.paths()
    }

    fn beside(self) -> Beside {
        self.beside()
    }

    fn cell(self, object: &Object, others: &Others) -> Cell {
        let product = || object.get::<AboutInfo>(PRODUCT);
        let hardware = || object.get::<HostHardwareSummary>(HARDWARE);
        let stats = || object.get::<HostListSummaryQuickStats>(STATS);
        let labels = |path: &str| {
            let all = object.references(path);
            others.labels(all.iter().map(|reference| reference.value.as_str()))
        };
        match self {
            Self::Name => Cell::Text(object.name.clone()),
            Self::Id => Cell::Text(object.reference.value.clone()),
            Self::ConnectionState => {
                Cell::text(object.get::<HostSystemConnectionState>(host::CONNECTION_STATE.path()).map(|it| word(&it)))
            }
            Self::MaintenanceMode => Cell::flag(object.get(host::IN_MAINTENANCE_MODE.path())),
            Self::Cluster => {
                Cell::text(object.reference(PARENT).and_then(|parent| others.name(&parent).map(str::to_owned)))
            }
            Self::Version => Cell::text(product().map(|product| product.full_name)),
            Self::Model => Cell::text(hardware().map(|it| format!("{} {}", it.vendor, it.model))),
            Self::CpuCores => Cell::number(hardware().map(|it| it.num_cpu_cores)),
            Self::CpuMhz => Cell::number(hardware().map(|it| it.cpu_mhz)),
            Self::CpuUsageMhz => Cell::number(stats().and_then(|stats| stats.overall_cpu_usage)),
            Self::MemoryMb => Cell::number(hardware().map(|it| it.memory_size >> 20)),
            Self::MemoryUsageMb => Cell::number(stats().and_then(|stats| stats.overall_memory_usage)),
            Self::Vms => Cell::number(object.count(VMS)),
            Self::Path => others.path_in(object.reference(PARENT).as_deref(), &object.name),
            Self::PowerState => Cell::text(object.get::<HostSystemPowerState>(POWER_STATE).map(|it| word(&it))),
            Self::Status => Cell::text(object.get::<ManagedEntityStatus>(STATUS).map(|it| it.to_string())),
            Self::Release => Cell::text(product().map(|product| product.version)),
            Self::Build => Cell::text(product().map(|product| product.build)),
            Self::Vendor => Cell::text(hardware().map(|it| it.vendor)),
            Self::SerialNumber => Cell::text(object.get::<String>(SERIAL_NUMBER)),
            Self::CpuModel => Cell::text(hardware().map(|it| it.cpu_model)),
            Self::CpuSockets => Cell::number(hardware().map(|it| it.num_cpu_pkgs)),
            Self::CpuThreads => Cell::number(hardware().map(|it| it.num_cpu_threads)),
            Self::CpuUsagePercent => {
                let whole = hardware().map(|it| i64::from(it.cpu_mhz) * i64::from(it.num_cpu_cores));
                Cell::percent(stats().and_then(|stats| stats.overall_cpu_usage).map(i64::from), whole)
            }
            Self::MemoryUsagePercent => {
                let whole = hardware().map(|it| it.memory_size >> 20);
                Cell::percent(stats().and_then(|stats| stats.overall_memory_usage).map(i64::from), whole)
            }
            Self::BootTime => object.get::<DateTime>(BOOT_TIME).map_or(Cell::Nothing, |at| Cell::Time(at.to_utc())),
            Self::RebootRequired => Cell::flag(object.get(REBOOT_REQUIRED)),
            Self::Evc => Cell::text(object.get::<String>(EVC)),
            Self::NtpServers => Cell::texts(object.get(NTP_SERVERS).unwrap_or_default()),
            Self::Datastores => labels(DATASTORES),
            Self::Networks => labels(NETWORKS),
            Self::CustomAttributes => {
                others.attributes(&object.get::<Vec<Poly<CustomFieldValue>>>(CUSTOM_VALUES).unwrap_or_default())
            }
            Self::Tags => others.tags(&object.reference.value),
        }
    }
}
