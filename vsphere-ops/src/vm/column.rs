//! The columns of lists of VMs.

#[cfg(feature = "schema")]
use std::collections::BTreeMap;

use vsphere_model::managed::virtual_machine as vm;

#[cfg(feature = "schema")]
use crate::columns::Cells;
use crate::columns::{Column, Kind};
#[cfg(feature = "schema")]
use crate::untrusted::Untrusted;

/// What else a column needs beside properties of the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// Nothing.
    Itself,
    /// The names of hosts.
    Hosts,
    /// The names of hosts and of what they are in.
    Clusters,
    /// The names of folders, vApps and datacenters, and what these are in.
    Folders,
    /// The names of resource pools.
    Pools,
    /// The names of networks.
    Networks,
    /// The names of datastores.
    Datastores,
    /// The definitions of custom attributes.
    Attributes,
    /// Its tags.
    Tags,
}

macro_rules! columns {
    ($($(#[$doc:meta])+ $column:ident = $name:literal, $kind:ident, [$($path:expr),*], $beside:ident;)*) => {
        /// A column of a list of VMs.
        ///
        /// ```
        /// use vsphere_ops::columns::Column;
        /// use vsphere_ops::vm::VmColumn;
        ///
        /// let names: Vec<&str> = VmColumn::ALL.iter().map(|column| column.name()).collect();
        /// assert!(names.contains(&"used_bytes") && names.contains(&"mac_addresses"));
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum VmColumn {
            $($(#[$doc])+ $column,)*
        }

        impl Column for VmColumn {
            const ALL: &'static [Self] = &[$(Self::$column),*];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$column => $name,)*
                }
            }

            fn kind(self) -> Kind {
                match self {
                    $(Self::$column => Kind::$kind,)*
                }
            }
        }

        impl VmColumn {
            /// The properties of the VM that it is made of.
            pub(super) fn paths(self) -> &'static [&'static str] {
                match self {
                    $(Self::$column => const { &[$($path),*] },)*
                }
            }

            /// What else it is made of.
            pub(super) fn beside(self) -> Beside {
                match self {
                    $(Self::$column => Beside::$beside,)*
                }
            }
        }
    };
}

columns! {
    /// The name.
    Name = "name", Text, ["name"], Itself;
    /// The managed object id.
    Id = "id", Text, [], Itself;
    /// The power state, as lists show it: `powered_on`.
    PowerState = "power_state", Text, [vm::POWER_STATE.path()], Itself;
    /// Virtual CPUs.
    Cpu = "cpu", Number, [vm::NUM_CPU.path()], Itself;
    /// Memory in MiB.
    MemoryMb = "memory_mb", Number, [vm::MEMORY_SIZE_MB.path()], Itself;
    /// The guest operating system, in full.
    GuestOs = "guest_os", Text, [vm::GUEST_FULL_NAME.path()], Itself;
    /// The name of the host that it runs on.
    Host = "host", Text, [vm::HOST.path()], Hosts;
    /// The guest's primary IP address.
    Ip = "ip", Text, [vm::GUEST_IP_ADDRESS.path()], Itself;
    /// The name of the cluster that its host is in.
    Cluster = "cluster", Text, [vm::HOST.path()], Clusters;
    /// The inventory path.
    Path = "path", Text, ["name", PARENT, PARENT_VAPP], Folders;
    /// The name of the folder or vApp that it is in.
    Folder = "folder", Text, [PARENT, PARENT_VAPP], Folders;
    /// The name of its resource pool.
    ResourcePool = "resource_pool", Text, [vm::RESOURCE_POOL.path()], Pools;
    /// All IP addresses that the guest reports.
    IpAddresses = "ip_addresses", Texts, [GUEST_NET, vm::GUEST_IP_ADDRESS.path()], Itself;
    /// The MAC addresses that the guest reports.
    MacAddresses = "mac_addresses", Texts, [GUEST_NET], Itself;
    /// The host name that the guest reports.
    GuestHostName = "guest_host_name", Text, [GUEST_HOST_NAME], Itself;
    /// What VMware Tools do: `guestToolsRunning`, `guestToolsNotRunning`.
    ToolsStatus = "tools_status", Text, [TOOLS_RUNNING], Itself;
    /// How old VMware Tools are: `guestToolsCurrent`, `guestToolsNeedUpgrade`, `guestToolsNotInstalled`.
    ToolsVersionStatus = "tools_version_status", Text, [TOOLS_VERSION_STATUS], Itself;
    /// The networks that it is connected to.
    Networks = "networks", Texts, [vm::NETWORK.path()], Networks;
    /// The datastores that it has files on.
    Datastores = "datastores", Texts, [vm::DATASTORE.path()], Datastores;
    /// Storage in use, in bytes.
    UsedBytes = "used_bytes", Bytes, [COMMITTED], Itself;
    /// Storage in use once its thin disks are full, in bytes.
    ProvisionedBytes = "provisioned_bytes", Bytes, [COMMITTED, UNCOMMITTED], Itself;
    /// How many disks it has.
    Disks = "disks", Number, [DISKS], Itself;
    /// How many snapshots it has.
    Snapshots = "snapshots", Number, [SNAPSHOT], Itself;
    /// How many days ago its oldest snapshot was taken.
    OldestSnapshotDays = "oldest_snapshot_days", Number, [SNAPSHOT], Itself;
    /// When it was powered on.
    BootTime = "boot_time", Time, [BOOT_TIME], Itself;
    /// The limit of its CPUs in MHz, where there is one.
    CpuLimitMhz = "cpu_limit_mhz", Number, [CPU_LIMIT], Itself;
    /// The CPU that is reserved for it, in MHz.
    CpuReservationMhz = "cpu_reservation_mhz", Number, [CPU_RESERVATION], Itself;
    /// The limit of its memory in MiB, where there is one.
    MemoryLimitMb = "memory_limit_mb", Number, [MEMORY_LIMIT], Itself;
    /// The memory that is reserved for it, in MiB.
    MemoryReservationMb = "memory_reservation_mb", Number, [MEMORY_RESERVATION], Itself;
    /// The BIOS UUID.
    Uuid = "uuid", Text, [UUID], Itself;
    /// The instance UUID.
    InstanceUuid = "instance_uuid", Text, [INSTANCE_UUID], Itself;
    /// The note on it.
    Annotation = "annotation", Text, [ANNOTATION], Itself;
    /// The values of its custom attributes.
    CustomAttributes = "custom_attributes", Texts, [vm::CUSTOM_VALUE.path()], Attributes;
    /// Its tags, as `category:tag`.
    Tags = "tags", Texts, [], Tags;
}

pub(super) const PARENT: &str = "parent";
pub(super) const PARENT_VAPP: &str = "parentVApp";
pub(super) const GUEST_NET: &str = "guest.net";
pub(super) const GUEST_HOST_NAME: &str = "guest.hostName";
pub(super) const TOOLS_RUNNING: &str = "guest.toolsRunningStatus";
pub(super) const TOOLS_VERSION_STATUS: &str = "guest.toolsVersionStatus2";
pub(super) const COMMITTED: &str = "summary.storage.committed";
pub(super) const UNCOMMITTED: &str = "summary.storage.uncommitted";
pub(super) const SNAPSHOT: &str = "snapshot";
pub(super) const BOOT_TIME: &str = "runtime.bootTime";
pub(super) const CPU_LIMIT: &str = "resourceConfig.cpuAllocation.limit";
pub(super) const CPU_RESERVATION: &str = "resourceConfig.cpuAllocation.reservation";
pub(super) const MEMORY_LIMIT: &str = "resourceConfig.memoryAllocation.limit";
pub(super) const MEMORY_RESERVATION: &str = "resourceConfig.memoryAllocation.reservation";
// As the server keeps them for lists: those below `config` make it read the whole configuration.
pub(super) const DISKS: &str = "summary.config.numVirtualDisks";
pub(super) const INSTANCE_UUID: &str = "summary.config.instanceUuid";
pub(super) const UUID: &str = "summary.config.uuid";
pub(super) const ANNOTATION: &str = "summary.config.annotation";

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Cells<VmColumn> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "VmColumns".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let asked_for = VmColumn::ALL.iter().filter(|column| !VmColumn::SHOWN.contains(column));
        let properties: serde_json::Map<String, serde_json::Value> = asked_for
            .map(|column| {
                let schema = match (column, column.kind()) {
                    (VmColumn::Annotation | VmColumn::GuestHostName, _) => generator.subschema_for::<Untrusted>(),
                    (VmColumn::CustomAttributes, _) => generator.subschema_for::<BTreeMap<String, Untrusted>>(),
                    (_, Kind::Text | Kind::Time) => generator.subschema_for::<String>(),
                    (_, Kind::Number | Kind::Bytes) => generator.subschema_for::<i64>(),
                    (_, Kind::Flag) => generator.subschema_for::<bool>(),
                    (_, Kind::Texts) => generator.subschema_for::<Vec<String>>(),
                };
                (column.name().to_owned(), schema.to_value())
            })
            .collect();
        schemars::json_schema!({ "type": "object", "properties": properties })
    }
}

impl VmColumn {
    /// Those that every list shows.
    pub(super) const SHOWN: [Self; 8] =
        [Self::Name, Self::Id, Self::PowerState, Self::Cpu, Self::MemoryMb, Self::GuestOs, Self::Host, Self::Ip];

    /// Those in which a text is looked for.
    pub(super) const SEARCHED: [Self; 8] = [
        Self::Name,
        Self::Ip,
        Self::IpAddresses,
        Self::MacAddresses,
        Self::GuestHostName,
        Self::Uuid,
        Self::InstanceUuid,
        Self::Annotation,
    ];

    /// Those whose sums are of interest, where VMs are in groups.
    pub(super) const SUMMED: [Self; 4] = [Self::Cpu, Self::MemoryMb, Self::UsedBytes, Self::ProvisionedBytes];

    /// The properties of several columns, each once.
    pub(super) fn all_paths(columns: impl IntoIterator<Item = Self>) -> Vec<&'static str> {
        let mut paths: Vec<&'static str> = columns.into_iter().flat_map(|column| column.paths()).copied().collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}
