//! The performance counters: which there are, of which objects and instances, and what their values are like.

use std::sync::OnceLock;

use vsphere_model::types::{Description, ElementDescription, PerfCounterInfo, PerfStatsType, PerfSummaryType, Poly};

/// A counter of a group with one of its rollups.
pub(super) struct Counter {
    pub(super) key: i32,
    pub(super) row: &'static Row,
    pub(super) rollup: Rollup,
}

/// A row of the table: a counter with all its rollups.
pub(super) struct Row {
    pub(super) group: &'static str,
    pub(super) name: &'static str,
    label: &'static str,
    pub(super) unit: &'static str,
    /// `rate`, `delta` or `absolute`.
    stats: &'static str,
    /// The statistics level from which it is kept.
    level: i32,
    rollups: &'static [Rollup],
    /// The objects that have it; see [`Kind::letter`].
    of: &'static str,
    pub(super) instances: Instances,
    pub(super) shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rollup {
    Average,
    Minimum,
    Maximum,
    Latest,
    Summation,
    None,
}
use Rollup::{Average, Latest, Maximum, Minimum, Summation};

/// What has counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Vm,
    Host,
    Cluster,
    Pool,
    Datastore,
    Datacenter,
}

impl Kind {
    /// The kind of an object of this type.
    pub(super) fn of(type_: &str) -> Option<Self> {
        Some(match type_ {
            "VirtualMachine" => Self::Vm,
            "HostSystem" => Self::Host,
            "ClusterComputeResource" => Self::Cluster,
            "ResourcePool" | "VirtualApp" => Self::Pool,
            "Datastore" => Self::Datastore,
            "Datacenter" => Self::Datacenter,
            _ => return None,
        })
    }

    /// The letter that stands for it in the table.
    fn letter(self) -> char {
        match self {
            Self::Vm => 'V',
            Self::Host => 'H',
            Self::Cluster => 'C',
            Self::Pool => 'P',
            Self::Datastore => 'D',
            Self::Datacenter => 'X',
        }
    }
}

/// Which parts of an object a counter also counts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instances {
    /// None: only the whole is counted.
    Whole,
    /// The whole, and each CPU.
    Cpus,
    /// The whole, and each network adapter.
    Nics,
    /// Each virtual disk, and no whole.
    Disks,
    /// Each datastore, and no whole.
    Datastores,
    /// Each storage adapter, and no whole.
    Adapters,
    /// The whole, and each logical unit.
    Luns,
}

/// What the values of a counter are like. Loads are between 0 and 1, and go up and down with the day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shape {
    /// The load of the CPUs, in hundredths of a percent.
    CpuPercent,
    /// So much of the load of the CPUs, in MHz.
    CpuMhz(f64),
    /// So much of the load of the CPUs, in milliseconds of the interval.
    CpuMs(f64),
    /// What the CPUs did not do, in milliseconds of the interval.
    IdleMs,
    /// What the CPUs can do, in MHz.
    CpuCapacity,
    /// The load of the memory, in hundredths of a percent.
    MemPercent,
    /// So much of the used memory, in KB.
    MemKb(f64),
    /// So much of all memory, in KB.
    MemCapacity(f64),
    /// The load of disks and networks: so much at most.
    Io(f64),
    /// The same, counted over the interval.
    IoCount(f64),
    /// What is waited for storage: so many at most as it grows with the load, and the delay of a datastore.
    Latency(f64),
    /// What requests wait before they get to the storage.
    KernelLatency(f64),
    /// So many at most as they grow with the load, and this part for each request that is beyond the usual.
    Iops(f64, f64),
    /// Milliseconds of the interval in which CPUs wait for their turn: so much of the load, and what contention makes of it.
    Ready(f64),
    /// The same in hundredths of a percent.
    ReadyPercent(f64),
    /// Milliseconds in which CPUs of a machine wait for each other.
    CoStop(f64),
    /// Milliseconds in which a limit keeps CPUs waiting.
    Limited,
    /// The part of the time that a machine does not run though it would, in hundredths of a percent.
    CpuLatency(f64),
    /// Milliseconds in which CPUs wait for memory.
    SwapWait,
    /// What machines would use if they got it, in MHz.
    Demand,
    /// What balloons have taken, in KB.
    Balloon,
    /// What is in swap files, in KB.
    Swapped,
    /// In KB a second.
    SwapIn,
    SwapOut,
    /// The part of the time that is waited for swapped memory, in hundredths of a percent.
    MemLatency,
    /// Packets that got lost: now and then so many at most, and a part of those that came, which are so many at most.
    Dropped(f64, f64),
    /// Seconds since the start.
    Uptime,
    /// In W, between idle and full load.
    Power(f64),
    /// The same summed over the interval, in J.
    Energy(f64),
    /// Used space of a datastore, in KB.
    SpaceUsed,
    /// The whole space of a datastore, in KB.
    SpaceCapacity,
    /// The used space, in hundredths of a percent.
    SpacePercent,
    /// Always the same.
    Fixed(i64),
    /// Something that happens now and then, so often at most in an interval.
    Rare(f64),
}
use Instances::{Adapters, Cpus, Datastores, Disks, Luns, Nics, Whole};
use Shape::{
    Balloon, CoStop, CpuCapacity, CpuLatency, CpuMhz, CpuMs, CpuPercent, Demand, Dropped, Energy, Fixed, IdleMs, Io,
    IoCount, Iops, KernelLatency, Latency, Limited, MemCapacity, MemKb, MemLatency, MemPercent, Power, Rare, Ready,
    ReadyPercent, SpaceCapacity, SpacePercent, SpaceUsed, SwapIn, SwapOut, SwapWait, Swapped, Uptime,
};

/// All counters, by key: the key of the first is 1.
pub(super) fn all() -> &'static [Counter] {
    static ALL: OnceLock<Vec<Counter>> = OnceLock::new();
    ALL.get_or_init(|| {
        let rollups = TABLE.iter().flat_map(|row| row.rollups.iter().map(move |rollup| (row, *rollup)));
        (1..).zip(rollups).map(|(key, (row, rollup))| Counter { key, row, rollup }).collect()
    })
}

/// The counter with this key.
pub(super) fn by_key(key: i32) -> Option<&'static Counter> {
    let index = usize::try_from(key).ok()?.checked_sub(1)?;
    all().get(index)
}

/// The key of a counter: `cpu.usage.average`.
pub(crate) fn counter_id(name: &str) -> Option<i32> {
    all().iter().find(|counter| counter.full_name() == name).map(|counter| counter.key)
}

impl Counter {
    /// Its name with group and rollup.
    fn full_name(&self) -> String {
        format!("{}.{}.{}", self.row.group, self.row.name, self.rollup.name())
    }

    /// Whether objects of this kind have it.
    pub(super) fn is_of(&self, kind: Kind) -> bool {
        self.row.of.contains(kind.letter())
    }

    /// The statistics level from which its history is kept; the extremes and the raw values are kept at the highest alone.
    pub(super) fn level(&self) -> i32 {
        match self.rollup {
            Minimum | Maximum | Rollup::None => 4,
            _ => self.row.level,
        }
    }

    /// The level from which the history of its instances is kept.
    pub(super) fn per_device_level(&self) -> i32 {
        if self.row.instances == Whole { self.level() } else { self.level().max(3) }
    }

    /// As clients see it.
    pub(super) fn describe(&self) -> PerfCounterInfo {
        let element = |key: &str, label: &str, summary: &str| {
            let base = Description { label: label.to_owned(), summary: summary.to_owned() };
            Poly::new(ElementDescription { base, key: key.to_owned() })
        };
        let Row { group, name, label, unit, stats, .. } = *self.row;
        let group_label = GROUPS.iter().find(|(key, _)| *key == group).map_or(group, |(_, label)| label);
        let unit_label = UNITS.iter().find(|(key, _)| *key == unit).map_or(unit, |(_, label)| label);
        PerfCounterInfo {
            key: self.key,
            name_info: element(name, label, &format!("{group_label}: {}", label.to_lowercase())),
            group_info: element(group, group_label, group_label),
            unit_info: element(unit, unit_label, unit_label),
            rollup_type: self.rollup.summary_type(),
            stats_type: match stats {
                "rate" => PerfStatsType::Rate,
                "delta" => PerfStatsType::Delta,
                _ => PerfStatsType::Absolute,
            },
            level: Some(self.level()),
            per_device_level: Some(self.per_device_level()),
            ..Default::default()
        }
    }
}

impl Rollup {
    /// Whether it is there as soon as something is measured, before history is made of it.
    pub(super) fn is_measured(self) -> bool {
        !matches!(self, Minimum | Maximum | Self::None)
    }

    fn name(self) -> &'static str {
        match self {
            Average => "average",
            Minimum => "minimum",
            Maximum => "maximum",
            Latest => "latest",
            Summation => "summation",
            Self::None => "none",
        }
    }

    fn summary_type(self) -> PerfSummaryType {
        match self {
            Average => PerfSummaryType::Average,
            Minimum => PerfSummaryType::Minimum,
            Maximum => PerfSummaryType::Maximum,
            Latest => PerfSummaryType::Latest,
            Summation => PerfSummaryType::Summation,
            Self::None => PerfSummaryType::None,
        }
    }
}

const GROUPS: &[(&str, &str)] = &[
    ("cpu", "CPU"),
    ("mem", "Memory"),
    ("disk", "Disk"),
    ("net", "Network"),
    ("sys", "System"),
    ("power", "Power"),
    ("datastore", "Datastore"),
    ("virtualDisk", "Virtual disk"),
    ("storageAdapter", "Storage adapter"),
    ("storagePath", "Storage path"),
    ("rescpu", "Resource group CPU"),
    ("clusterServices", "Cluster services"),
    ("vmop", "Virtual machine operations"),
    ("hbr", "vSphere Replication"),
    ("managementAgent", "Management agent"),
];

const UNITS: &[(&str, &str)] = &[
    ("percent", "%"),
    ("kiloBytes", "KB"),
    ("megaBytes", "MB"),
    ("megaHertz", "MHz"),
    ("number", "num"),
    ("millisecond", "ms"),
    ("microsecond", "µs"),
    ("second", "s"),
    ("kiloBytesPerSecond", "KBps"),
    ("megaBytesPerSecond", "MBps"),
    ("watt", "W"),
    ("joule", "J"),
];

/// All rollups of a value that is measured over and over.
const FOUR: &[Rollup] = &[Rollup::None, Average, Minimum, Maximum];
const AVG: &[Rollup] = &[Average];
const SUM: &[Rollup] = &[Summation];
const LAST: &[Rollup] = &[Latest];

#[expect(clippy::too_many_arguments, reason = "a row of a table, with a column each")]
const fn row(
    group: &'static str,
    name: &'static str,
    label: &'static str,
    unit: &'static str,
    stats: &'static str,
    level: i32,
    rollups: &'static [Rollup],
    of: &'static str,
    instances: Instances,
    shape: Shape,
) -> Row {
    Row { group, name, label, unit, stats, level, rollups, of, instances, shape }
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    row("cpu", "usage", "Usage", "percent", "rate", 1, FOUR, "VHC", Cpus, CpuPercent),
    row("cpu", "usagemhz", "Usage in MHz", "megaHertz", "rate", 1, FOUR, "VHCP", Cpus, CpuMhz(1.0)),
    row("cpu", "reservedCapacity", "Reserved capacity", "megaHertz", "absolute", 2, AVG, "H", Whole, CpuMhz(0.2)),
    row("cpu", "system", "System", "millisecond", "delta", 3, SUM, "V", Cpus, CpuMs(0.02)),
    row("cpu", "wait", "Wait", "millisecond", "delta", 3, SUM, "V", Cpus, IdleMs),
    row("cpu", "ready", "Readiness", "millisecond", "delta", 1, SUM, "VH", Cpus, Ready(0.03)),
    row("cpu", "idle", "Idle", "millisecond", "delta", 2, SUM, "VH", Cpus, IdleMs),
    row("cpu", "used", "Used", "millisecond", "delta", 3, SUM, "VH", Cpus, CpuMs(1.0)),
    row("cpu", "swapwait", "Swap wait", "millisecond", "delta", 3, SUM, "VH", Cpus, SwapWait),
    row("cpu", "utilization", "Utilization", "percent", "rate", 2, FOUR, "H", Cpus, CpuPercent),
    row("cpu", "coreUtilization", "Core utilization", "percent", "rate", 2, FOUR, "H", Cpus, CpuPercent),
    row("cpu", "totalCapacity", "Total capacity", "megaHertz", "absolute", 2, AVG, "H", Whole, CpuCapacity),
    row("cpu", "totalmhz", "Total MHz", "megaHertz", "rate", 1, AVG, "C", Whole, CpuCapacity),
    row("cpu", "latency", "Latency", "percent", "rate", 2, AVG, "VH", Whole, CpuLatency(90.0)),
    row("cpu", "entitlement", "Entitlement", "megaHertz", "absolute", 2, LAST, "V", Whole, CpuMhz(1.1)),
    row("cpu", "demand", "Demand", "megaHertz", "absolute", 2, AVG, "VH", Whole, Demand),
    row("cpu", "demandEntitlementRatio", "Demand-to-entitlement ratio", "percent", "absolute", 4, LAST, "V", Whole, Io(9000.0)),
    row("cpu", "costop", "Co-stop", "millisecond", "delta", 2, SUM, "VH", Cpus, CoStop(0.004)),
    row("cpu", "maxlimited", "Max limited", "millisecond", "delta", 2, SUM, "V", Cpus, Limited),
    row("cpu", "overlap", "Overlap", "millisecond", "delta", 3, SUM, "V", Cpus, CpuMs(0.01)),
    row("cpu", "run", "Run", "millisecond", "delta", 2, SUM, "V", Cpus, CpuMs(0.97)),
    row("cpu", "readiness", "Readiness", "percent", "rate", 4, AVG, "VH", Cpus, ReadyPercent(150.0)),
    row("cpu", "corecount.provisioned", "Cores provisioned", "number", "absolute", 4, AVG, "H", Whole, Fixed(64)),
    row("cpu", "capacity.provisioned", "Capacity provisioned", "megaHertz", "absolute", 4, AVG, "H", Whole, CpuCapacity),
    row("cpu", "capacity.usage", "Capacity usage", "megaHertz", "absolute", 4, AVG, "H", Whole, CpuMhz(1.0)),
    row("cpu", "capacity.demand", "Capacity demand", "megaHertz", "absolute", 4, AVG, "H", Whole, CpuMhz(1.03)),
    row("cpu", "capacity.contention", "Capacity contention", "percent", "rate", 4, AVG, "H", Whole, Io(60.0)),

    row("mem", "usage", "Usage", "percent", "absolute", 1, FOUR, "VHC", Whole, MemPercent),
    row("mem", "granted", "Granted", "kiloBytes", "absolute", 2, FOUR, "VHCP", Whole, MemKb(1.05)),
    row("mem", "active", "Active", "kiloBytes", "absolute", 2, FOUR, "VHCP", Whole, MemKb(0.35)),
    row("mem", "activewrite", "Active write", "kiloBytes", "absolute", 2, AVG, "VH", Whole, MemKb(0.2)),
    row("mem", "shared", "Shared", "kiloBytes", "absolute", 2, FOUR, "VHCP", Whole, MemKb(0.04)),
    row("mem", "sharedcommon", "Shared common", "kiloBytes", "absolute", 2, FOUR, "H", Whole, MemKb(0.01)),
    row("mem", "zero", "Zero pages", "kiloBytes", "absolute", 2, FOUR, "VHCP", Whole, MemKb(0.02)),
    row("mem", "unreserved", "Unreserved", "kiloBytes", "absolute", 2, AVG, "H", Whole, MemCapacity(0.8)),
    row("mem", "consumed", "Consumed", "kiloBytes", "absolute", 1, FOUR, "VHCP", Whole, MemKb(1.0)),
    row("mem", "overhead", "Overhead consumed", "kiloBytes", "absolute", 1, FOUR, "VHCP", Whole, MemKb(0.012)),
    row("mem", "overheadMax", "Reserved overhead", "kiloBytes", "absolute", 2, AVG, "V", Whole, MemCapacity(0.015)),
    row("mem", "overheadTouched", "Overhead touched", "kiloBytes", "absolute", 4, AVG, "V", Whole, MemKb(0.01)),
    row("mem", "vmmemctl", "Balloon", "kiloBytes", "absolute", 1, FOUR, "VHCP", Whole, Balloon),
    row("mem", "vmmemctltarget", "Balloon target", "kiloBytes", "absolute", 2, AVG, "V", Whole, Balloon),
    row("mem", "swapped", "Swapped", "kiloBytes", "absolute", 2, AVG, "VP", Whole, Swapped),
    row("mem", "swapused", "Swap consumed", "kiloBytes", "absolute", 2, FOUR, "HC", Whole, Swapped),
    row("mem", "swaptarget", "Swap target", "kiloBytes", "absolute", 2, AVG, "V", Whole, Swapped),
    row("mem", "swapin", "Swap in", "kiloBytes", "absolute", 2, AVG, "VH", Whole, Fixed(0)),
    row("mem", "swapout", "Swap out", "kiloBytes", "absolute", 2, AVG, "VH", Whole, Fixed(0)),
    row("mem", "swapinRate", "Swap in rate", "kiloBytesPerSecond", "rate", 1, AVG, "VHC", Whole, SwapIn),
    row("mem", "swapoutRate", "Swap out rate", "kiloBytesPerSecond", "rate", 1, AVG, "VHC", Whole, SwapOut),
    row("mem", "llSwapUsed", "Host cache consumed", "kiloBytes", "absolute", 4, AVG, "VH", Whole, Fixed(0)),
    row("mem", "llSwapInRate", "Host cache in rate", "kiloBytesPerSecond", "rate", 2, AVG, "VH", Whole, Fixed(0)),
    row("mem", "llSwapOutRate", "Host cache out rate", "kiloBytesPerSecond", "rate", 2, AVG, "VH", Whole, Fixed(0)),
    row("mem", "compressed", "Compressed", "kiloBytes", "absolute", 2, AVG, "VHC", Whole, Fixed(0)),
    row("mem", "compressionRate", "Compression rate", "kiloBytesPerSecond", "rate", 2, AVG, "VHC", Whole, Fixed(0)),
    row("mem", "decompressionRate", "Decompression rate", "kiloBytesPerSecond", "rate", 2, AVG, "VHC", Whole, Fixed(0)),
    row("mem", "zipSaved", "Compression saved", "kiloBytes", "absolute", 2, LAST, "V", Whole, Fixed(0)),
    row("mem", "zipped", "Zipped", "kiloBytes", "absolute", 2, LAST, "V", Whole, Fixed(0)),
    row("mem", "latency", "Latency", "percent", "absolute", 2, AVG, "VH", Whole, MemLatency),
    row("mem", "entitlement", "Entitlement", "kiloBytes", "absolute", 2, AVG, "V", Whole, MemKb(0.9)),
    row("mem", "heap", "Heap", "kiloBytes", "absolute", 2, AVG, "H", Whole, Fixed(36_864)),
    row("mem", "heapfree", "Heap free", "kiloBytes", "absolute", 2, AVG, "H", Whole, Fixed(12_288)),
    row("mem", "reservedCapacity", "Reserved capacity", "megaBytes", "absolute", 2, AVG, "H", Whole, MemCapacity(0.000_02)),
    row("mem", "sysUsage", "VMkernel consumed", "kiloBytes", "absolute", 2, FOUR, "H", Whole, MemCapacity(0.03)),
    row("mem", "state", "State", "number", "absolute", 2, LAST, "H", Whole, Fixed(0)),
    row("mem", "totalCapacity", "Total capacity", "megaBytes", "absolute", 2, AVG, "H", Whole, MemCapacity(1.0 / 1024.0)),
    row("mem", "totalmb", "Total", "megaBytes", "absolute", 1, AVG, "C", Whole, MemCapacity(1.0 / 1024.0)),
    row("mem", "lowfreethreshold", "Low free threshold", "kiloBytes", "absolute", 2, AVG, "H", Whole, MemCapacity(0.005)),

    row("disk", "usage", "Usage", "kiloBytesPerSecond", "rate", 1, FOUR, "VH", Whole, Io(90_000.0)),
    row("disk", "read", "Read rate", "kiloBytesPerSecond", "rate", 2, AVG, "VH", Luns, Iops(50_000.0, 4.8)),
    row("disk", "write", "Write rate", "kiloBytesPerSecond", "rate", 2, AVG, "VH", Luns, Iops(40_000.0, 3.2)),
    row("disk", "numberRead", "Read requests", "number", "delta", 3, SUM, "H", Luns, IoCount(300.0)),
    row("disk", "numberWrite", "Write requests", "number", "delta", 3, SUM, "H", Luns, IoCount(250.0)),
    row("disk", "numberReadAveraged", "Average read requests per second", "number", "rate", 1, AVG, "VH", Luns, Iops(300.0, 0.6)),
    row("disk", "numberWriteAveraged", "Average write requests per second", "number", "rate", 1, AVG, "VH", Luns, Iops(250.0, 0.4)),
    row("disk", "commands", "Commands issued", "number", "delta", 2, SUM, "VH", Luns, IoCount(550.0)),
    row("disk", "commandsAveraged", "Average commands issued per second", "number", "rate", 2, AVG, "VH", Luns, Io(550.0)),
    row("disk", "commandsAborted", "Commands aborted", "number", "delta", 2, SUM, "VH", Luns, Fixed(0)),
    row("disk", "busResets", "Bus resets", "number", "delta", 2, SUM, "VH", Luns, Fixed(0)),
    row("disk", "deviceReadLatency", "Physical device read latency", "millisecond", "absolute", 2, AVG, "H", Luns, Latency(6.0)),
    row("disk", "deviceWriteLatency", "Physical device write latency", "millisecond", "absolute", 2, AVG, "H", Luns, Latency(8.0)),
    row("disk", "deviceLatency", "Physical device command latency", "millisecond", "absolute", 1, AVG, "H", Luns, Latency(7.0)),
    row("disk", "kernelLatency", "Kernel command latency", "millisecond", "absolute", 2, AVG, "H", Luns, KernelLatency(1.0)),
    row("disk", "queueLatency", "Queue command latency", "millisecond", "absolute", 2, AVG, "H", Luns, KernelLatency(1.0)),
    row("disk", "totalLatency", "Command latency", "millisecond", "absolute", 3, AVG, "H", Luns, Latency(8.0)),
    row("disk", "totalReadLatency", "Read latency", "millisecond", "absolute", 2, AVG, "H", Luns, Latency(7.0)),
    row("disk", "totalWriteLatency", "Write latency", "millisecond", "absolute", 2, AVG, "H", Luns, Latency(9.0)),
    row("disk", "maxTotalLatency", "Highest latency", "millisecond", "absolute", 1, LAST, "VH", Whole, Latency(14.0)),
    row("disk", "maxQueueDepth", "Maximum queue depth", "number", "absolute", 1, AVG, "H", Luns, Fixed(64)),
    row("disk", "used", "Space actually used", "kiloBytes", "absolute", 1, LAST, "VD", Whole, SpaceUsed),
    row("disk", "provisioned", "Space potentially used", "kiloBytes", "absolute", 1, LAST, "VD", Whole, SpaceCapacity),
    row("disk", "unshared", "Space not shared", "kiloBytes", "absolute", 1, LAST, "VD", Whole, SpaceUsed),
    row("disk", "capacity", "Capacity", "kiloBytes", "absolute", 1, LAST, "D", Whole, SpaceCapacity),
    row("disk", "capacity.usage", "Capacity usage", "percent", "absolute", 4, AVG, "D", Whole, SpacePercent),

    row("net", "usage", "Usage", "kiloBytesPerSecond", "rate", 1, FOUR, "VHC", Nics, Io(30_000.0)),
    row("net", "received", "Data receive rate", "kiloBytesPerSecond", "rate", 2, AVG, "VH", Nics, Io(18_000.0)),
    row("net", "transmitted", "Data transmit rate", "kiloBytesPerSecond", "rate", 2, AVG, "VH", Nics, Io(12_000.0)),
    row("net", "bytesRx", "Bytes received rate", "kiloBytesPerSecond", "rate", 2, AVG, "VH", Nics, Io(18_000.0)),
    row("net", "bytesTx", "Bytes transmitted rate", "kiloBytesPerSecond", "rate", 2, AVG, "VH", Nics, Io(12_000.0)),
    row("net", "packetsRx", "Packets received", "number", "delta", 2, SUM, "VH", Nics, IoCount(14_000.0)),
    row("net", "packetsTx", "Packets transmitted", "number", "delta", 2, SUM, "VH", Nics, IoCount(11_000.0)),
    row("net", "droppedRx", "Receive packets dropped", "number", "delta", 2, SUM, "VH", Nics, Dropped(2.0, 14_000.0)),
    row("net", "droppedTx", "Transmit packets dropped", "number", "delta", 2, SUM, "VH", Nics, Fixed(0)),
    row("net", "errorsRx", "Packet receive errors", "number", "delta", 2, SUM, "H", Nics, Fixed(0)),
    row("net", "errorsTx", "Packet transmit errors", "number", "delta", 2, SUM, "H", Nics, Fixed(0)),
    row("net", "unknownProtos", "Unknown protocol frames", "number", "delta", 2, SUM, "H", Nics, Rare(3.0)),
    row("net", "multicastRx", "Multicast receives", "number", "delta", 2, SUM, "VH", Nics, IoCount(30.0)),
    row("net", "multicastTx", "Multicast transmits", "number", "delta", 2, SUM, "VH", Nics, IoCount(10.0)),
    row("net", "broadcastRx", "Broadcast receives", "number", "delta", 2, SUM, "VH", Nics, IoCount(80.0)),
    row("net", "broadcastTx", "Broadcast transmits", "number", "delta", 2, SUM, "VH", Nics, IoCount(20.0)),
    row("net", "pnicBytesRx", "Physical adapter receive rate", "kiloBytesPerSecond", "rate", 4, AVG, "V", Nics, Io(15_000.0)),
    row("net", "pnicBytesTx", "Physical adapter transmit rate", "kiloBytesPerSecond", "rate", 4, AVG, "V", Nics, Io(10_000.0)),

    row("sys", "uptime", "Uptime", "second", "absolute", 1, LAST, "VH", Whole, Uptime),
    row("sys", "osUptime", "OS uptime", "second", "absolute", 4, LAST, "V", Whole, Uptime),
    row("sys", "heartbeat", "Heartbeat", "number", "delta", 1, SUM, "V", Whole, Fixed(20)),
    row("sys", "resourceCpuUsage", "Resource CPU usage", "megaHertz", "rate", 3, FOUR, "H", Whole, CpuMhz(0.01)),
    row("sys", "resourceCpuAct1", "Resource CPU active (1 min average)", "percent", "absolute", 3, LAST, "H", Whole, Io(400.0)),
    row("sys", "resourceCpuAct5", "Resource CPU active (5 min average)", "percent", "absolute", 3, LAST, "H", Whole, Io(400.0)),
    row("sys", "resourceMemConsumed", "Resource memory consumed", "kiloBytes", "absolute", 4, LAST, "H", Whole, MemCapacity(0.004)),
    row("sys", "resourceFdUsage", "Resource file descriptors", "number", "absolute", 4, LAST, "H", Whole, Io(3000.0)),

    row("power", "power", "Usage", "watt", "rate", 2, AVG, "VH", Whole, Power(420.0)),
    row("power", "powerCap", "Cap", "watt", "absolute", 2, AVG, "H", Whole, Fixed(0)),
    row("power", "energy", "Energy usage", "joule", "delta", 2, SUM, "VH", Whole, Energy(420.0)),
    row("power", "capacity.usage", "Capacity usage", "watt", "absolute", 4, AVG, "H", Whole, Power(420.0)),

    row("datastore", "numberReadAveraged", "Average read requests per second", "number", "rate", 1, AVG, "VHD", Datastores, Iops(300.0, 0.6)),
    row("datastore", "numberWriteAveraged", "Average write requests per second", "number", "rate", 1, AVG, "VHD", Datastores, Iops(250.0, 0.4)),
    row("datastore", "read", "Read rate", "kiloBytesPerSecond", "rate", 2, AVG, "VH", Datastores, Iops(50_000.0, 4.8)),
    row("datastore", "write", "Write rate", "kiloBytesPerSecond", "rate", 2, AVG, "VH", Datastores, Iops(40_000.0, 3.2)),
    row("datastore", "totalReadLatency", "Read latency", "millisecond", "absolute", 1, AVG, "VH", Datastores, Latency(7.0)),
    row("datastore", "totalWriteLatency", "Write latency", "millisecond", "absolute", 1, AVG, "VH", Datastores, Latency(9.0)),
    row("datastore", "maxTotalLatency", "Highest latency", "millisecond", "absolute", 3, LAST, "VH", Whole, Latency(14.0)),
    row("datastore", "datastoreIops", "Storage I/O Control aggregated IOPS", "number", "absolute", 1, AVG, "H", Datastores, Io(500.0)),
    row("datastore", "sizeNormalizedDatastoreLatency", "Storage I/O Control normalized latency", "microsecond", "absolute", 1, AVG, "H", Datastores, Latency(7000.0)),
    row("datastore", "siocActiveTimePercentage", "Storage I/O Control active time", "percent", "absolute", 1, AVG, "H", Datastores, Fixed(0)),
    row("datastore", "datastoreReadIops", "Storage DRS read I/O rate", "number", "absolute", 1, LAST, "H", Datastores, Io(300.0)),
    row("datastore", "datastoreWriteIops", "Storage DRS write I/O rate", "number", "absolute", 1, LAST, "H", Datastores, Io(250.0)),
    row("datastore", "datastoreVMObservedLatency", "Latency observed by VMs", "microsecond", "absolute", 1, LAST, "H", Datastores, Latency(9000.0)),

    row("virtualDisk", "numberReadAveraged", "Average read requests per second", "number", "rate", 1, AVG, "V", Disks, Iops(200.0, 0.6)),
    row("virtualDisk", "numberWriteAveraged", "Average write requests per second", "number", "rate", 1, AVG, "V", Disks, Iops(150.0, 0.4)),
    row("virtualDisk", "read", "Read rate", "kiloBytesPerSecond", "rate", 2, AVG, "V", Disks, Iops(30_000.0, 4.8)),
    row("virtualDisk", "write", "Write rate", "kiloBytesPerSecond", "rate", 2, AVG, "V", Disks, Iops(20_000.0, 3.2)),
    row("virtualDisk", "totalReadLatency", "Read latency", "millisecond", "absolute", 1, AVG, "V", Disks, Latency(8.0)),
    row("virtualDisk", "totalWriteLatency", "Write latency", "millisecond", "absolute", 1, AVG, "V", Disks, Latency(10.0)),
    row("virtualDisk", "readOIO", "Average outstanding read requests", "number", "absolute", 2, LAST, "V", Disks, Io(4.0)),
    row("virtualDisk", "writeOIO", "Average outstanding write requests", "number", "absolute", 2, LAST, "V", Disks, Io(4.0)),
    row("virtualDisk", "readLoadMetric", "Read workload metric", "number", "absolute", 2, LAST, "V", Disks, Io(20.0)),
    row("virtualDisk", "writeLoadMetric", "Write workload metric", "number", "absolute", 2, LAST, "V", Disks, Io(20.0)),
    row("virtualDisk", "largeSeeks", "Number of large seeks", "number", "absolute", 4, LAST, "V", Disks, Io(60.0)),
    row("virtualDisk", "mediumSeeks", "Number of medium seeks", "number", "absolute", 4, LAST, "V", Disks, Io(40.0)),
    row("virtualDisk", "smallSeeks", "Number of small seeks", "number", "absolute", 4, LAST, "V", Disks, Io(90.0)),
    row("virtualDisk", "readIOSize", "Read request size", "number", "absolute", 4, LAST, "V", Disks, Io(65_536.0)),
    row("virtualDisk", "writeIOSize", "Write request size", "number", "absolute", 4, LAST, "V", Disks, Io(32_768.0)),
    row("virtualDisk", "readLatencyUS", "Read latency", "microsecond", "absolute", 4, LAST, "V", Disks, Latency(8000.0)),
    row("virtualDisk", "writeLatencyUS", "Write latency", "microsecond", "absolute", 4, LAST, "V", Disks, Latency(10_000.0)),

    row("storageAdapter", "commandsAveraged", "Average commands issued per second", "number", "rate", 2, AVG, "H", Adapters, Io(550.0)),
    row("storageAdapter", "numberReadAveraged", "Average read requests per second", "number", "rate", 2, AVG, "H", Adapters, Io(300.0)),
    row("storageAdapter", "numberWriteAveraged", "Average write requests per second", "number", "rate", 2, AVG, "H", Adapters, Io(250.0)),
    row("storageAdapter", "read", "Read rate", "kiloBytesPerSecond", "rate", 2, AVG, "H", Adapters, Io(50_000.0)),
    row("storageAdapter", "write", "Write rate", "kiloBytesPerSecond", "rate", 2, AVG, "H", Adapters, Io(40_000.0)),
    row("storageAdapter", "totalReadLatency", "Read latency", "millisecond", "absolute", 2, AVG, "H", Adapters, Latency(7.0)),
    row("storageAdapter", "totalWriteLatency", "Write latency", "millisecond", "absolute", 2, AVG, "H", Adapters, Latency(9.0)),
    row("storageAdapter", "maxTotalLatency", "Highest latency", "millisecond", "absolute", 3, LAST, "H", Whole, Latency(14.0)),
    row("storageAdapter", "queueDepth", "Queue depth", "number", "absolute", 4, AVG, "H", Adapters, Fixed(64)),

    row("rescpu", "actav1", "Active (1 min average)", "percent", "absolute", 3, LAST, "VH", Whole, CpuPercent),
    row("rescpu", "actpk1", "Active (1 min peak)", "percent", "absolute", 3, LAST, "VH", Whole, CpuPercent),
    row("rescpu", "runav1", "Running (1 min average)", "percent", "absolute", 3, LAST, "VH", Whole, CpuPercent),
    row("rescpu", "runpk1", "Running (1 min peak)", "percent", "absolute", 3, LAST, "VH", Whole, CpuPercent),
    row("rescpu", "maxLimited1", "Throttled (1 min average)", "percent", "absolute", 3, LAST, "VH", Whole, Fixed(0)),
    row("rescpu", "actav5", "Active (5 min average)", "percent", "absolute", 3, LAST, "VH", Whole, CpuPercent),
    row("rescpu", "actpk5", "Active (5 min peak)", "percent", "absolute", 3, LAST, "VH", Whole, CpuPercent),
    row("rescpu", "runav5", "Running (5 min average)", "percent", "absolute", 3, LAST, "VH", Whole, CpuPercent),
    row("rescpu", "runpk5", "Running (5 min peak)", "percent", "absolute", 3, LAST, "VH", Whole, CpuPercent),
    row("rescpu", "actav15", "Active (15 min average)", "percent", "absolute", 3, LAST, "VH", Whole, CpuPercent),
    row("rescpu", "runav15", "Running (15 min average)", "percent", "absolute", 3, LAST, "VH", Whole, CpuPercent),
    row("rescpu", "sampleCount", "Group CPU sample count", "number", "absolute", 3, LAST, "VH", Whole, Fixed(6)),
    row("rescpu", "samplePeriod", "Group CPU sample period", "millisecond", "absolute", 3, LAST, "VH", Whole, Fixed(6000)),

    row("clusterServices", "effectivecpu", "Effective CPU resources", "megaHertz", "rate", 1, AVG, "C", Whole, CpuCapacity),
    row("clusterServices", "effectivemem", "Effective memory resources", "megaBytes", "absolute", 1, AVG, "C", Whole, MemCapacity(1.0 / 1024.0)),
    row("clusterServices", "failover", "Current failover level", "number", "absolute", 1, LAST, "C", Whole, Fixed(1)),
    row("clusterServices", "cpufairness", "CPU fairness", "number", "absolute", 1, LAST, "H", Whole, Fixed(100)),
    row("clusterServices", "memfairness", "Memory fairness", "number", "absolute", 1, LAST, "H", Whole, Fixed(100)),

    row("vmop", "numPoweron", "VM power on count", "number", "absolute", 1, LAST, "CX", Whole, Rare(6.0)),
    row("vmop", "numPoweroff", "VM power off count", "number", "absolute", 1, LAST, "CX", Whole, Rare(5.0)),
    row("vmop", "numReset", "VM reset count", "number", "absolute", 1, LAST, "CX", Whole, Rare(2.0)),
    row("vmop", "numSuspend", "VM suspend count", "number", "absolute", 1, LAST, "CX", Whole, Fixed(0)),
    row("vmop", "numRebootGuest", "VM guest reboot count", "number", "absolute", 1, LAST, "CX", Whole, Rare(4.0)),
    row("vmop", "numShutdownGuest", "VM guest shutdown count", "number", "absolute", 1, LAST, "CX", Whole, Rare(3.0)),
    row("vmop", "numCreate", "VM create count", "number", "absolute", 1, LAST, "CX", Whole, Rare(3.0)),
    row("vmop", "numClone", "VM clone count", "number", "absolute", 1, LAST, "CX", Whole, Rare(3.0)),
    row("vmop", "numDeploy", "VM template deploy count", "number", "absolute", 1, LAST, "CX", Whole, Rare(2.0)),
    row("vmop", "numDestroy", "VM delete count", "number", "absolute", 1, LAST, "CX", Whole, Rare(2.0)),
    row("vmop", "numReconfigure", "VM reconfigure count", "number", "absolute", 1, LAST, "CX", Whole, Rare(8.0)),
    row("vmop", "numVMotion", "vMotion count", "number", "absolute", 1, LAST, "CX", Whole, Rare(9.0)),
    row("vmop", "numSVMotion", "Storage vMotion count", "number", "absolute", 1, LAST, "CX", Whole, Rare(2.0)),

    row("hbr", "hbrNumVms", "Replicated VM count", "number", "absolute", 4, AVG, "H", Whole, Fixed(0)),
    row("hbr", "hbrNetRx", "Replication data receive rate", "kiloBytesPerSecond", "rate", 4, AVG, "H", Whole, Fixed(0)),
    row("hbr", "hbrNetTx", "Replication data transmit rate", "kiloBytesPerSecond", "rate", 4, AVG, "H", Whole, Fixed(0)),
    row("managementAgent", "memUsed", "Memory used", "kiloBytes", "absolute", 3, AVG, "H", Whole, MemCapacity(0.000_4)),
    row("managementAgent", "cpuUsage", "CPU usage", "megaHertz", "rate", 3, AVG, "H", Whole, CpuMhz(0.005)),
    row("cpu", "cpuentitlement", "Worst case allocation", "megaHertz", "absolute", 4, LAST, "P", Whole, CpuMhz(1.2)),
    row("mem", "mementitlement", "Worst case allocation", "megaBytes", "absolute", 4, LAST, "P", Whole, MemKb(0.001)),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_counter_has_a_name_of_its_own_and_its_key() {
        let names: HashSet<String> = all().iter().map(Counter::full_name).collect();
        assert_eq!(names.len(), all().len());
        assert!(all().iter().all(|counter| by_key(counter.key).is_some_and(|found| found.key == counter.key)));
        assert!(by_key(0).is_none() && by_key(-1).is_none() && by_key(100_000).is_none());
    }

    #[test]
    fn the_counters_that_programs_ask_for_are_there() {
        for name in ["cpu.usage.average", "cpu.ready.summation", "mem.usage.average", "disk.maxTotalLatency.latest"] {
            assert!(counter_id(name).is_some(), "{name}");
        }
    }
}
