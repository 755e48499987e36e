//! The columns of lists of VMs.

use vsphere_model::managed::virtual_machine as vm;

use crate::columns::columns;

/// What else a column needs beside properties of the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
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

columns! {
    /// A column of a list of VMs.
    ///
    /// ```
    /// use vsphere_ops::columns::Column;
    /// use vsphere_ops::vm::VmColumn;
    ///
    /// let names: Vec<&str> = VmColumn::ALL.iter().map(|column| column.name()).collect();
    /// assert!(names.contains(&"used_bytes") && names.contains(&"mac_addresses"));
    /// ```
    VmColumn {
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
    shown [Name, Id, PowerState, Cpu, MemoryMb, GuestOs, Host, Ip]
    searched [Name, Ip, IpAddresses, MacAddresses, GuestHostName, Uuid, InstanceUuid, Annotation]
    summed [Cpu, MemoryMb, UsedBytes, ProvisionedBytes]
    untrusted [Annotation, GuestHostName, CustomAttributes]
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

impl VmColumn {
    /// The properties of several columns, each once.
    pub(super) fn all_paths(columns: impl IntoIterator<Item = Self>) -> Vec<&'static str> {
        let mut paths: Vec<&'static str> = columns.into_iter().flat_map(|column| column.paths()).copied().collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}
