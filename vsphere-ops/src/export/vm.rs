//! The sheets of VMs.

use std::collections::HashMap;
use std::sync::Arc;

use vsphere_model::managed::virtual_machine as vm;
use vsphere_model::types::{
    DateTime, GuestDiskInfo, GuestNicInfo, LatencySensitivity, ManagedEntityStatus, ManagedObjectReference,
    ObjectContent, Poly, ResourceAllocationInfo, ScheduledHardwareUpgradeInfo, VirtualDevice, VirtualDisk,
    VirtualDiskRawDiskMappingVer1BackingInfo, VirtualEthernetCard, VirtualMachineBootOptions,
    VirtualMachineConfigSummary, VirtualMachineFileInfo, VirtualMachineFileLayoutEx, VirtualMachineFlagInfo,
    VirtualMachinePowerState, VirtualMachineQuickStats, VirtualMachineRuntimeInfo, VirtualMachineSnapshotInfo,
    VirtualMachineSnapshotTree, VirtualMachineStorageSummary, VirtualMachineVideoCard, VirtualSCSIController,
};

use super::place::{Places, Tally};
use super::{Column, Row, Sheet, cells_of, joined, mib, mib_in_use, names_of, number, time, word};
use crate::client::Client;
use crate::columns::Cell;
use crate::disk::{self, Disk};
use crate::find::{self, label};
use crate::gaps::Gaps;
use crate::name;
use crate::nic;
use crate::read::Values;
use crate::snapshot;
use crate::untrusted;
use crate::vm::optional;

const CONFIG: &str = "summary.config";
const RUNTIME: &str = "runtime";
const PARENT: &str = "parent";
const PARENT_VAPP: &str = "parentVApp";
const GUEST_OS: &str = "guest.guestFullName";
const DEVICES: &str = "config.hardware.device";

// What vInfo has besides.
const STATUS: &str = "configStatus";
const HEARTBEAT: &str = "guestHeartbeatStatus";
const GUEST_HOST_NAME: &str = "guest.hostName";
const GUEST_STATE: &str = "guest.guestState";
const CREATED: &str = "config.createDate";
const CHANGE_VERSION: &str = "config.changeVersion";
const LATENCY: &str = "config.latencySensitivity";
const FLAGS: &str = "config.flags";
const CHANGE_TRACKING: &str = "config.changeTrackingEnabled";
const BOOT: &str = "config.bootOptions";
const FIRMWARE: &str = "config.firmware";
const HARDWARE: &str = "config.version";
const UPGRADE: &str = "config.scheduledHardwareUpgradeInfo";
const FILES: &str = "config.files";
const STORAGE: &str = "summary.storage";

// What vCPU and vMemory have besides.
const QUICK_STATS: &str = "summary.quickStats";
const CORES_PER_SOCKET: &str = "config.hardware.numCoresPerSocket";
const CPU_ALLOCATION: &str = "config.cpuAllocation";
const CPU_HOT_ADD: &str = "config.cpuHotAddEnabled";
const CPU_HOT_REMOVE: &str = "config.cpuHotRemoveEnabled";
const MEMORY_ALLOCATION: &str = "config.memoryAllocation";
const MEMORY_HOT_ADD: &str = "config.memoryHotAddEnabled";
const MEMORY_LOCKED: &str = "config.memoryReservationLockedToMax";

const GUEST_DISKS: &str = "guest.disk";

/// How many layouts of files are read at a time: they are large.
const MEASURED_AT_ONCE: usize = 100;

/// The properties that these sheets are made of. VMs are counted for the others.
pub(super) fn paths(sheets: &[Sheet]) -> Vec<&'static str> {
    let has = |sheet| sheets.contains(&sheet);
    let mut paths = vec!["name", CONFIG, RUNTIME];
    if has(Sheet::VDatastore) {
        paths.push(vm::DATASTORE.path());
    }
    if sheets.iter().any(|sheet| sheet.is_of_vms()) {
        paths.extend([PARENT, PARENT_VAPP, GUEST_OS]);
    }
    if sheets.iter().any(|sheet| sheet.is_of_devices()) {
        paths.push(DEVICES);
    }
    if has(Sheet::VInfo) {
        paths.extend([
            STATUS,
            HEARTBEAT,
            GUEST_HOST_NAME,
            GUEST_STATE,
            vm::GUEST_IP_ADDRESS.path(),
            CREATED,
            CHANGE_VERSION,
            LATENCY,
            FLAGS,
            CHANGE_TRACKING,
            BOOT,
            FIRMWARE,
            HARDWARE,
            UPGRADE,
            FILES,
            STORAGE,
            vm::RESOURCE_POOL.path(),
        ]);
    }
    if has(Sheet::VCpu) || has(Sheet::VMemory) || has(Sheet::VHost) {
        paths.push(QUICK_STATS);
    }
    if has(Sheet::VCpu) {
        paths.extend([CORES_PER_SOCKET, CPU_ALLOCATION, CPU_HOT_ADD, CPU_HOT_REMOVE]);
    }
    if has(Sheet::VMemory) {
        paths.extend([MEMORY_ALLOCATION, MEMORY_HOT_ADD, MEMORY_LOCKED]);
    }
    if has(Sheet::VPartition) {
        paths.push(GUEST_DISKS);
    }
    if has(Sheet::VNetwork) {
        paths.push(vm::GUEST_NICS.path());
    }
    if has(Sheet::VSnapshot) {
        paths.push(vm::SNAPSHOT.path());
    }
    paths
}

/// A VM as it was read.
pub(super) struct Vm {
    reference: ManagedObjectReference,
    name: String,
    places: Arc<Places>,
    config: Option<VirtualMachineConfigSummary>,
    runtime: Option<VirtualMachineRuntimeInfo>,
    datastores: Vec<ManagedObjectReference>,
    /// Whether what is not there was refused, and so is a gap already.
    is_refused: bool,
    wants_devices: bool,
    folder: Option<ManagedObjectReference>,
    vapp: Option<ManagedObjectReference>,
    pool: Option<ManagedObjectReference>,
    guest_os: Option<String>,
    devices: Option<Vec<Poly<VirtualDevice>>>,
    guest_nics: Vec<GuestNicInfo>,
    guest_disks: Vec<GuestDiskInfo>,
    stats: Option<VirtualMachineQuickStats>,
    size: Size,
    snapshots: Option<VirtualMachineSnapshotInfo>,
    layout: Option<VirtualMachineFileLayoutEx>,
    info: Info,
}

/// What only vCPU and vMemory show.
#[derive(Default)]
struct Size {
    cores_per_socket: Option<i32>,
    cpu: Option<ResourceAllocationInfo>,
    cpu_hot_add: Option<bool>,
    cpu_hot_remove: Option<bool>,
    memory: Option<ResourceAllocationInfo>,
    memory_hot_add: Option<bool>,
    memory_locked: Option<bool>,
}

/// What only vInfo shows.
#[derive(Default)]
struct Info {
    status: Option<ManagedEntityStatus>,
    heartbeat: Option<ManagedEntityStatus>,
    host_name: Option<String>,
    guest_state: Option<String>,
    ip: Option<String>,
    created: Option<DateTime>,
    change_version: Option<String>,
    latency: Option<LatencySensitivity>,
    flags: Option<VirtualMachineFlagInfo>,
    change_tracking: Option<bool>,
    boot: Option<VirtualMachineBootOptions>,
    firmware: Option<String>,
    hardware: Option<String>,
    upgrade: Option<ScheduledHardwareUpgradeInfo>,
    files: Option<VirtualMachineFileInfo>,
    storage: Option<VirtualMachineStorageSummary>,
}

impl Vm {
    pub(super) fn new(content: ObjectContent, places: &Arc<Places>, wants_devices: bool) -> Self {
        let name = label(&content);
        let is_refused = !content.missing_set.is_empty();
        let values = &mut Values::new(content.prop_set, content.missing_set);
        Self {
            reference: content.obj,
            name,
            places: Arc::clone(places),
            config: optional(values, CONFIG),
            runtime: optional(values, RUNTIME),
            datastores: optional(values, vm::DATASTORE.path()).unwrap_or_default(),
            is_refused,
            wants_devices,
            folder: optional(values, PARENT),
            vapp: optional(values, PARENT_VAPP),
            pool: optional(values, vm::RESOURCE_POOL.path()),
            guest_os: optional(values, GUEST_OS),
            devices: optional(values, DEVICES),
            guest_nics: optional(values, vm::GUEST_NICS.path()).unwrap_or_default(),
            guest_disks: optional(values, GUEST_DISKS).unwrap_or_default(),
            stats: optional(values, QUICK_STATS),
            size: Size {
                cores_per_socket: optional(values, CORES_PER_SOCKET),
                cpu: optional(values, CPU_ALLOCATION),
                cpu_hot_add: optional(values, CPU_HOT_ADD),
                cpu_hot_remove: optional(values, CPU_HOT_REMOVE),
                memory: optional(values, MEMORY_ALLOCATION),
                memory_hot_add: optional(values, MEMORY_HOT_ADD),
                memory_locked: optional(values, MEMORY_LOCKED),
            },
            snapshots: optional(values, vm::SNAPSHOT.path()),
            layout: None,
            info: Info {
                status: optional(values, STATUS),
                heartbeat: optional(values, HEARTBEAT),
                host_name: optional(values, GUEST_HOST_NAME),
                guest_state: optional(values, GUEST_STATE),
                ip: optional(values, vm::GUEST_IP_ADDRESS.path()),
                created: optional(values, CREATED),
                change_version: optional(values, CHANGE_VERSION),
                latency: optional(values, LATENCY),
                flags: optional(values, FLAGS),
                change_tracking: optional(values, CHANGE_TRACKING),
                boot: optional(values, BOOT),
                firmware: optional(values, FIRMWARE),
                hardware: optional(values, HARDWARE),
                upgrade: optional(values, UPGRADE),
                files: optional(values, FILES),
                storage: optional(values, STORAGE),
            },
        }
    }

    /// Whether the server has no configuration of it.
    pub(super) fn is_untold(&self) -> bool {
        self.wants_devices && self.devices.is_none() && !self.is_refused
    }

    /// Whether something of what it runs in is hidden from the user.
    pub(super) fn is_unplaced(&self) -> bool {
        self.host().into_iter().chain(&self.pool).any(|object| !self.places.knows(object))
    }

    /// Counts it for its host and its datastores.
    pub(super) fn count(&self, tally: &mut Tally) {
        let Some(runtime) = &self.runtime else {
            tally.is_partial = true;
            return;
        };
        let size = self.config.as_ref().and_then(|config| config.num_cpu.zip(config.memory_size_mb));
        let runs = runtime.power_state == VirtualMachinePowerState::PoweredOn;
        let counts = runtime.host.iter().map(|host| (true, host)).chain(self.datastores.iter().map(|it| (false, it)));
        for (is_host, object) in counts {
            let counts = if is_host { &mut tally.hosts } else { &mut tally.datastores };
            let count = counts.entry(object.value.clone()).or_default();
            count.total += 1;
            if runs {
                count.running += 1;
                let (cpus, memory) = size.unwrap_or_default();
                count.cpus += i64::from(cpus);
                count.memory_mib += i64::from(memory);
                count.is_partial |= size.is_none();
                let stats = |get: fn(&VirtualMachineQuickStats) -> Option<i32>| self.stats.as_ref().and_then(get);
                count.used_mib = add(count.used_mib, stats(|stats| stats.host_memory_usage));
                count.swapped_mib = add(count.swapped_mib, stats(|stats| stats.swapped_memory));
                count.ballooned_mib = add(count.ballooned_mib, stats(|stats| stats.ballooned_memory));
            }
        }
    }

    /// Its rows in these sheets.
    pub(super) fn rows(&self, sheets: &[Sheet]) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut add = |sheet, cells: Vec<Cell>| rows.push(Row { sheet, cells });
        for sheet in sheets {
            match sheet {
                Sheet::VInfo => add(*sheet, cells_of(INFO, self).collect()),
                Sheet::VCpu => add(*sheet, self.framed(HEAD, CPU, self)),
                Sheet::VMemory => add(*sheet, self.framed(HEAD, MEMORY, self)),
                Sheet::VPartition => {
                    self.guest_disks.iter().for_each(|it| add(*sheet, self.framed(HEAD, PARTITION, it)));
                }
                Sheet::VDisk => self.disks().for_each(|disk| add(*sheet, self.framed(HEAD, &of_disks(), &disk))),
                Sheet::VNetwork => self.nics().for_each(|nic| add(*sheet, self.framed(HEAD, &of_nics(), &nic))),
                Sheet::VSnapshot => self.taken().iter().for_each(|it| add(*sheet, self.framed(SHORT, SNAPSHOT, it))),
                Sheet::VHost | Sheet::VDatastore => {}
            }
        }
        rows
    }

    /// A row of something that belongs to it.
    fn framed<T>(&self, head: &[Column<Self>], own: &[Column<T>], of: &T) -> Vec<Cell> {
        cells_of(head, self).chain(cells_of(own, of)).chain(cells_of(TAIL, self)).collect()
    }

    fn host(&self) -> Option<&ManagedObjectReference> {
        self.runtime.as_ref()?.host.as_ref()
    }

    fn config<T>(&self, get: impl FnOnce(&VirtualMachineConfigSummary) -> Option<T>) -> Option<T> {
        self.config.as_ref().and_then(get)
    }

    fn runtime<T>(&self, get: impl FnOnce(&VirtualMachineRuntimeInfo) -> Option<T>) -> Option<T> {
        self.runtime.as_ref().and_then(get)
    }

    fn quick(&self, get: impl FnOnce(&VirtualMachineQuickStats) -> Option<i32>) -> Cell {
        number(self.stats.as_ref().and_then(get))
    }

    fn boot<T>(&self, get: impl FnOnce(&VirtualMachineBootOptions) -> Option<T>) -> Option<T> {
        self.info.boot.as_ref().and_then(get)
    }

    /// Where it stands in the inventory, whatever it is in.
    fn above(&self) -> Option<&ManagedObjectReference> {
        self.folder.as_ref().or(self.vapp.as_ref())
    }

    fn is_placeholder(&self) -> Option<bool> {
        // As VMware Live Site Recovery marks the VMs that hold a place for those of the other site.
        let by = |config: &VirtualMachineConfigSummary| {
            let by = config.managed_by.as_ref();
            Some(by.is_some_and(|by| by.extension_key.starts_with("com.vmware.vcDr") && by.type_ == "placeholderVm"))
        };
        self.config(by)
    }

    fn of_type<T: vsphere_soap::object::DataType>(&self) -> impl Iterator<Item = (&Poly<VirtualDevice>, &T)> {
        self.devices.iter().flatten().filter_map(|device| Some((device, device.downcast_ref::<T>()?)))
    }

    fn disks(&self) -> impl Iterator<Item = OneDisk<'_>> {
        let all = self.devices.as_deref().unwrap_or_default();
        self.of_type::<VirtualDisk>().map(move |(_, disk)| OneDisk {
            disk,
            report: Disk::of(all, disk),
            controller: all.iter().find(|device| Some(device.key) == disk.controller_key),
        })
    }

    fn nics(&self) -> impl Iterator<Item = Nic<'_>> {
        self.of_type::<VirtualEthernetCard>().map(|(device, card)| Nic { vm: self, device, card })
    }

    fn network(&self, number: usize) -> Cell {
        Cell::text(self.nics().nth(number).and_then(|nic| nic.network()))
    }

    fn capacity(&self) -> Option<i64> {
        self.devices.as_ref()?;
        Some(self.of_type::<VirtualDisk>().map(|(_, disk)| disk::capacity(disk)).sum())
    }

    /// Its snapshots with what they take, the oldest first.
    fn taken(&self) -> Vec<Taken> {
        let Some(info) = &self.snapshots else { return Vec::new() };
        let sizes = self.layout.as_ref().map(|layout| snapshot::sizes(info, layout)).unwrap_or_default();
        let states: HashMap<&str, _> = self
            .layout
            .iter()
            .flat_map(|layout| &layout.snapshot)
            .map(|state| (state.key.value.as_str(), state.data_key))
            .collect();
        let mut taken = Vec::new();
        let mut add = |tree: &VirtualMachineSnapshotTree| {
            let id = tree.snapshot.value.as_str();
            let state = states.get(id).and_then(|key| {
                let files = &self.layout.as_ref()?.file;
                files.iter().find(|file| file.key == *key)
            });
            taken.push(Taken {
                name: name::decode(&tree.name),
                description: tree.description.clone(),
                at: tree.create_time,
                file: state.map(|file| file.name.clone()),
                state_bytes: state.map(|file| file.size),
                bytes: sizes.get(id).copied(),
                quiesced: tree.quiesced,
                state: tree.state.to_string(),
            });
        };
        let mut left: Vec<&VirtualMachineSnapshotTree> = info.root_snapshot_list.iter().rev().collect();
        while let Some(tree) = left.pop() {
            add(tree);
            left.extend(tree.child_snapshot_list.iter().rev());
        }
        taken.sort_by_key(|taken| taken.at);
        taken
    }
}

/// A sum, which is not known where one of its parts is not.
fn add(sum: Option<i64>, part: Option<i32>) -> Option<i64> {
    Some(sum? + i64::from(part?))
}

/// Reads which files the snapshots of these VMs have. What could not be read is a gap.
pub(super) async fn measure(client: &Client, vms: &mut [Vm], gaps: &mut Gaps) {
    let with: Vec<ManagedObjectReference> =
        vms.iter().filter(|vm| vm.snapshots.is_some()).map(|vm| vm.reference.clone()).collect();
    let mut layouts: HashMap<String, VirtualMachineFileLayoutEx> = HashMap::new();
    for some in with.chunks(MEASURED_AT_ONCE) {
        let read = find::details(client, some.iter().cloned(), &[vm::LAYOUT_EX.path()]).await;
        let contents = gaps.part("the sizes of snapshots", read);
        gaps.append(Gaps::of(&contents));
        for content in contents {
            let mut values = Values::new(content.prop_set, content.missing_set);
            if let Some(layout) = optional(&mut values, vm::LAYOUT_EX.path()) {
                layouts.insert(content.obj.value, layout);
            }
        }
    }
    for vm in vms {
        vm.layout = layouts.remove(&vm.reference.value);
    }
}

/// The names of the columns of a sheet of VMs.
pub(super) fn columns(sheet: Sheet) -> Vec<&'static str> {
    let (head, own) = match sheet {
        Sheet::VCpu => (HEAD, names_of(CPU)),
        Sheet::VMemory => (HEAD, names_of(MEMORY)),
        Sheet::VDisk => (HEAD, names_of(&of_disks())),
        Sheet::VPartition => (HEAD, names_of(PARTITION)),
        Sheet::VNetwork => (HEAD, names_of(&of_nics())),
        Sheet::VSnapshot => (SHORT, names_of(SNAPSHOT)),
        Sheet::VInfo | Sheet::VHost | Sheet::VDatastore => return names_of(INFO),
    };
    [names_of(head), own, names_of(TAIL)].concat()
}

const NAME: Column<Vm> = ("VM", |vm| Cell::text(Some(vm.name.as_str())));
const POWER_STATE: Column<Vm> = ("Powerstate", |vm| word(vm.runtime.as_ref().map(|runtime| &runtime.power_state)));
const TEMPLATE: Column<Vm> = ("Template", |vm| Cell::flag(vm.config(|config| Some(config.template))));
const PLACEHOLDER: Column<Vm> = ("SRM Placeholder", |vm| Cell::flag(vm.is_placeholder()));
const NOTE: Column<Vm> = ("Annotation", |vm| Cell::untrusted(vm.config(|config| config.annotation.clone()).as_deref()));
const DATACENTER: Column<Vm> =
    ("Datacenter", |vm| Cell::text(vm.above().or(vm.host()).and_then(|it| vm.places.datacenter(it))));
const CLUSTER: Column<Vm> = ("Cluster", |vm| Cell::text(vm.host().and_then(|host| vm.places.cluster(host))));
const HOST: Column<Vm> = ("Host", |vm| Cell::text(vm.host().map(|host| vm.places.label(host))));
const FOLDER: Column<Vm> = ("Folder", |vm| Cell::text(vm.folder.as_ref().and_then(|it| vm.places.path(it))));
const CONFIGURED_OS: Column<Vm> = ("OS according to the configuration file", |vm| {
    Cell::untrusted(vm.config(|config| config.guest_full_name.clone()).as_deref())
});
const REPORTED_OS: Column<Vm> = ("OS according to the VMware Tools", |vm| Cell::untrusted(vm.guest_os.as_deref()));
const ID: Column<Vm> = ("VM ID", |vm| Cell::text(Some(vm.reference.value.as_str())));
const UUID: Column<Vm> = ("VM UUID", |vm| Cell::text(vm.config(|config| config.instance_uuid.clone())));
const SERVER: Column<Vm> = ("VI SDK Server", |vm| Cell::text(Some(vm.places.server.name.as_str())));
const SERVER_UUID: Column<Vm> = ("VI SDK UUID", |vm| Cell::text(vm.places.server.about.instance_uuid.as_deref()));

/// What stands before the columns of what belongs to a VM.
const HEAD: &[Column<Vm>] = &[NAME, POWER_STATE, TEMPLATE, PLACEHOLDER];

/// The same of a snapshot.
const SHORT: &[Column<Vm>] = &[NAME, POWER_STATE];

/// What stands after them.
const TAIL: &[Column<Vm>] =
    &[NOTE, DATACENTER, CLUSTER, HOST, FOLDER, CONFIGURED_OS, REPORTED_OS, ID, UUID, SERVER, SERVER_UUID];

const INFO: &[Column<Vm>] = &[
    NAME,
    POWER_STATE,
    TEMPLATE,
    PLACEHOLDER,
    ("Config status", |vm| word(vm.info.status.as_ref())),
    ("DNS Name", |vm| Cell::untrusted(vm.info.host_name.as_deref())),
    ("Connection state", |vm| word(vm.runtime.as_ref().map(|runtime| &runtime.connection_state))),
    ("Guest state", |vm| Cell::text(vm.info.guest_state.as_deref())),
    ("Heartbeat", |vm| word(vm.info.heartbeat.as_ref())),
    ("Consolidation Needed", |vm| Cell::flag(vm.runtime(|runtime| runtime.consolidation_needed))),
    ("PowerOn", |vm| time(vm.runtime.as_ref().and_then(|runtime| runtime.boot_time.as_ref()))),
    ("Suspend time", |vm| time(vm.runtime.as_ref().and_then(|runtime| runtime.suspend_time.as_ref()))),
    ("Creation date", |vm| time(vm.info.created.as_ref())),
    ("Change Version", |vm| Cell::text(vm.info.change_version.as_deref())),
    ("CPUs", |vm| number(vm.config(|config| config.num_cpu))),
    ("Memory", |vm| number(vm.config(|config| config.memory_size_mb))),
    ("NICs", |vm| number(vm.config(|config| config.num_ethernet_cards))),
    ("Disks", |vm| number(vm.config(|config| config.num_virtual_disks))),
    ("Total disk capacity MiB", |vm| vm.capacity().map_or(Cell::Nothing, mib)),
    ("min Required EVC Mode Key", |vm| Cell::text(vm.runtime(|runtime| runtime.min_required_evc_mode_key.clone()))),
    ("Latency Sensitivity", |vm| word(vm.info.latency.as_ref().map(|latency| &latency.level))),
    ("EnableUUID", |vm| Cell::flag(vm.info.flags.as_ref().and_then(|flags| flags.disk_uuid_enabled))),
    ("CBT", |vm| Cell::flag(vm.info.change_tracking)),
    ("Primary IP Address", |vm| Cell::text(vm.info.ip.as_ref().and_then(untrusted::address))),
    ("Network #1", |vm| vm.network(0)),
    ("Network #2", |vm| vm.network(1)),
    ("Network #3", |vm| vm.network(2)),
    ("Network #4", |vm| vm.network(3)),
    ("Network #5", |vm| vm.network(4)),
    ("Network #6", |vm| vm.network(5)),
    ("Network #7", |vm| vm.network(6)),
    ("Network #8", |vm| vm.network(7)),
    ("Num Monitors", |vm| {
        number(vm.of_type::<VirtualMachineVideoCard>().next().and_then(|(_, card)| card.num_displays))
    }),
    ("Video Ram KiB", |vm| {
        number(vm.of_type::<VirtualMachineVideoCard>().next().and_then(|(_, card)| card.video_ram_size_in_kb))
    }),
    ("Resource pool", |vm| Cell::text(vm.pool.as_ref().and_then(|pool| vm.places.path(pool)))),
    ("Folder ID", |vm| Cell::text(vm.folder.as_ref().map(|folder| folder.value.clone()))),
    FOLDER,
    ("vApp", |vm| Cell::text(vm.vapp.as_ref().map(|vapp| vm.places.label(vapp)))),
    ("DAS protection", |vm| Cell::flag(vm.runtime(|it| Some(it.das_vm_protection.as_ref()?.das_protected)))),
    ("FT State", |vm| word(vm.runtime.as_ref().and_then(|runtime| runtime.fault_tolerance_state.as_ref()))),
    ("Provisioned MiB", |vm| storage(vm, |storage| storage.committed.saturating_add(storage.uncommitted))),
    ("In Use MiB", |vm| storage(vm, |storage| storage.committed)),
    ("Unshared MiB", |vm| storage(vm, |storage| storage.unshared)),
    ("Boot Required", |vm| Cell::flag(vm.config(|config| config.install_boot_required))),
    ("Boot delay", |vm| number(vm.boot(|boot| boot.boot_delay))),
    ("Boot retry delay", |vm| number(vm.boot(|boot| boot.boot_retry_delay))),
    ("Boot retry enabled", |vm| Cell::flag(vm.boot(|boot| boot.boot_retry_enabled))),
    ("Boot BIOS setup", |vm| Cell::flag(vm.boot(|boot| boot.enter_bios_setup))),
    ("EFI Secure boot", |vm| Cell::flag(vm.boot(|boot| boot.efi_secure_boot_enabled))),
    ("Firmware", |vm| Cell::text(vm.info.firmware.as_deref())),
    ("HW version", |vm| Cell::text(vm.info.hardware.as_deref())),
    ("HW upgrade status", |vm| {
        Cell::text(vm.info.upgrade.as_ref().and_then(|it| it.scheduled_hardware_upgrade_status.as_deref()))
    }),
    ("HW upgrade policy", |vm| Cell::text(vm.info.upgrade.as_ref().and_then(|it| it.upgrade_policy.as_deref()))),
    ("HW target", |vm| Cell::text(vm.info.upgrade.as_ref().and_then(|it| it.version_key.as_deref()))),
    ("Path", |vm| Cell::text(vm.config(|config| Some(config.vm_path_name.clone())))),
    ("Log directory", |vm| Cell::text(vm.info.files.as_ref().and_then(|files| files.log_directory.as_deref()))),
    ("Snapshot directory", |vm| {
        Cell::text(vm.info.files.as_ref().and_then(|files| files.snapshot_directory.as_deref()))
    }),
    ("Suspend directory", |vm| Cell::text(vm.info.files.as_ref().and_then(|files| files.suspend_directory.as_deref()))),
    NOTE,
    DATACENTER,
    CLUSTER,
    HOST,
    CONFIGURED_OS,
    REPORTED_OS,
    ID,
    ("SMBIOS UUID", |vm| Cell::text(vm.config(|config| config.uuid.clone()))),
    UUID,
    ("VI SDK Server type", |vm| Cell::text(Some(vm.places.server.about.full_name.as_str()))),
    ("VI SDK API Version", |vm| Cell::text(Some(vm.places.server.about.api_version.as_str()))),
    SERVER,
    SERVER_UUID,
];

const CPU: &[Column<Vm>] = &[
    ("CPUs", |vm| number(vm.config(|config| config.num_cpu))),
    ("Sockets", |vm| {
        let cores = vm.size.cores_per_socket.filter(|cores| *cores > 0);
        number(vm.config(|config| config.num_cpu).zip(cores).map(|(cpus, cores)| (cpus + cores - 1) / cores))
    }),
    ("Cores p/s", |vm| number(vm.size.cores_per_socket.filter(|cores| *cores > 0))),
    ("Max", |vm| number(vm.runtime(|runtime| runtime.max_cpu_usage))),
    ("Overall", |vm| vm.quick(|stats| stats.overall_cpu_usage)),
    ("Level", |vm| level(vm.size.cpu.as_ref())),
    ("Shares", |vm| shares(vm.size.cpu.as_ref())),
    ("Reservation", |vm| number(vm.size.cpu.as_ref().and_then(|it| it.reservation))),
    ("Entitlement", |vm| vm.quick(|stats| stats.static_cpu_entitlement)),
    ("DRS Entitlement", |vm| vm.quick(|stats| stats.distributed_cpu_entitlement)),
    ("Limit", |vm| number(vm.size.cpu.as_ref().and_then(|it| it.limit))),
    ("Hot Add", |vm| Cell::flag(vm.size.cpu_hot_add)),
    ("Hot Remove", |vm| Cell::flag(vm.size.cpu_hot_remove)),
];

const MEMORY: &[Column<Vm>] = &[
    ("Size MiB", |vm| number(vm.config(|config| config.memory_size_mb))),
    ("Memory Reservation Locked To Max", |vm| Cell::flag(vm.size.memory_locked)),
    ("Overhead", |vm| vm.runtime(|runtime| runtime.memory_overhead).map_or(Cell::Nothing, mib_in_use)),
    ("Max", |vm| number(vm.runtime(|runtime| runtime.max_memory_usage))),
    ("Consumed", |vm| vm.quick(|stats| stats.host_memory_usage)),
    ("Consumed Overhead", |vm| vm.quick(|stats| stats.consumed_overhead_memory)),
    ("Private", |vm| vm.quick(|stats| stats.private_memory)),
    ("Shared", |vm| vm.quick(|stats| stats.shared_memory)),
    ("Swapped", |vm| vm.quick(|stats| stats.swapped_memory)),
    ("Ballooned", |vm| vm.quick(|stats| stats.ballooned_memory)),
    ("Active", |vm| vm.quick(|stats| stats.guest_memory_usage)),
    ("Entitlement", |vm| vm.quick(|stats| stats.static_memory_entitlement)),
    ("DRS Entitlement", |vm| vm.quick(|stats| stats.distributed_memory_entitlement)),
    ("Level", |vm| level(vm.size.memory.as_ref())),
    ("Shares", |vm| shares(vm.size.memory.as_ref())),
    ("Reservation", |vm| number(vm.size.memory.as_ref().and_then(|it| it.reservation))),
    ("Limit", |vm| number(vm.size.memory.as_ref().and_then(|it| it.limit))),
    ("Hot Add", |vm| Cell::flag(vm.size.memory_hot_add)),
];

fn level(allocation: Option<&ResourceAllocationInfo>) -> Cell {
    word(allocation.and_then(|it| it.shares.as_ref()).map(|shares| &shares.level))
}

fn shares(allocation: Option<&ResourceAllocationInfo>) -> Cell {
    number(allocation.and_then(|it| it.shares.as_ref()).map(|shares| shares.shares))
}

const PARTITION: &[Column<GuestDiskInfo>] = &[
    ("Disk Key", |it| joined(it.mappings.iter().map(|mapping| mapping.key.to_string()))),
    ("Disk", |it| Cell::untrusted(it.disk_path.as_deref())),
    ("Capacity MiB", |it| it.capacity.map_or(Cell::Nothing, mib)),
    ("Consumed MiB", |it| {
        let used = it.capacity.zip(it.free_space).map(|(capacity, free)| capacity.saturating_sub(free));
        used.map_or(Cell::Nothing, mib_in_use)
    }),
    ("Free MiB", |it| it.free_space.map_or(Cell::Nothing, mib)),
    ("Free %", |it| {
        let share = |(free, capacity): (i64, i64)| free.saturating_mul(100).checked_div(capacity);
        number(it.free_space.zip(it.capacity).and_then(share))
    }),
];

fn storage(vm: &Vm, bytes: impl FnOnce(&VirtualMachineStorageSummary) -> i64) -> Cell {
    vm.info.storage.as_ref().map_or(Cell::Nothing, |storage| mib_in_use(bytes(storage)))
}

/// A disk of a VM.
struct OneDisk<'a> {
    disk: &'a VirtualDisk,
    report: Disk,
    controller: Option<&'a Poly<VirtualDevice>>,
}

impl OneDisk<'_> {
    fn raw(&self) -> Option<&VirtualDiskRawDiskMappingVer1BackingInfo> {
        self.disk.backing.as_ref()?.downcast_ref()
    }

    fn scsi(&self) -> Option<&VirtualSCSIController> {
        self.controller?.downcast_ref()
    }

    fn allocation<T>(
        &self,
        get: impl FnOnce(&vsphere_model::types::StorageIOAllocationInfo) -> Option<T>,
    ) -> Option<T> {
        self.disk.storage_io_allocation.as_ref().and_then(|it| get(it))
    }
}

fn of_disks<'a>() -> [Column<OneDisk<'a>>; 23] {
    [
        ("Disk", |it| Cell::text(Some(it.report.label.as_str()))),
        ("Disk Key", |it| number(Some(it.report.key))),
        ("Disk UUID", |it| Cell::text(disk::uuid(it.disk).or_else(|| it.raw()?.uuid.clone()))),
        ("Capacity MiB", |it| mib(it.report.capacity_bytes)),
        ("Raw", |it| Cell::flag(it.disk.backing.as_ref().map(|_| it.raw().is_some()))),
        ("Disk Mode", |it| Cell::text(it.report.mode.as_deref())),
        ("Sharing mode", |it| {
            let flat = disk::flat(it.disk).and_then(|flat| flat.sharing.clone());
            Cell::text(flat.or_else(|| it.raw()?.sharing.clone()))
        }),
        ("Thin", |it| Cell::flag(it.report.thin)),
        ("Eagerly Scrub", |it| Cell::flag(disk::flat(it.disk).and_then(|flat| flat.eagerly_scrub))),
        ("Split", |it| Cell::flag(disk::flat(it.disk).and_then(|flat| flat.split))),
        ("Write Through", |it| Cell::flag(disk::flat(it.disk).and_then(|flat| flat.write_through))),
        ("Level", |it| word(it.allocation(|it| Some(it.shares.as_ref()?.level.clone())).as_ref())),
        ("Shares", |it| number(it.allocation(|it| Some(it.shares.as_ref()?.shares)))),
        ("Reservation", |it| number(it.allocation(|it| it.reservation))),
        ("Limit", |it| number(it.allocation(|it| it.limit))),
        ("Controller", |it| Cell::text(it.controller.and_then(|it| Some(it.device_info.as_ref()?.summary.as_str())))),
        ("Label", |it| Cell::text(it.report.controller.as_deref())),
        ("SCSI Unit #", |it| number(it.scsi().and(it.report.unit))),
        ("Unit #", |it| number(it.report.unit)),
        ("Shared Bus", |it| word(it.scsi().map(|scsi| &scsi.shared_bus))),
        ("Path", |it| Cell::text(it.report.file.as_deref())),
        ("Raw LUN ID", |it| Cell::text(it.raw().and_then(|raw| raw.lun_uuid.as_deref()))),
        ("Raw Comp. Mode", |it| Cell::text(it.raw().and_then(|raw| raw.compatibility_mode.as_deref()))),
    ]
}

/// A network adapter of a VM.
struct Nic<'a> {
    vm: &'a Vm,
    device: &'a Poly<VirtualDevice>,
    card: &'a VirtualEthernetCard,
}

impl Nic<'_> {
    fn network(&self) -> Option<String> {
        self.vm.places.networks.plugged(self.device).name
    }

    /// The addresses that the guest reports for it.
    fn addresses(&self, wanted: fn(&str) -> bool) -> Cell {
        let own = self.vm.guest_nics.iter().filter(|nic| nic.device_config_id == self.device.key);
        let addresses = own.flat_map(|nic| nic.ip_address.iter().filter_map(untrusted::address));
        joined(addresses.filter(|address| wanted(address)))
    }
}

fn of_nics<'a>() -> [Column<Nic<'a>>; 11] {
    [
        ("NIC label", |it| Cell::text(Some(crate::device::label(it.device)))),
        ("Adapter", |it| Cell::text(Some(nic::kind(it.device)))),
        ("Network", |it| Cell::text(it.network())),
        ("Switch", |it| Cell::text(it.vm.places.switch(it.vm.host(), it.device))),
        ("Connected", |it| Cell::flag(it.device.connectable.as_ref().map(|link| link.connected))),
        ("Starts Connected", |it| Cell::flag(it.device.connectable.as_ref().map(|link| link.start_connected))),
        ("Mac Address", |it| Cell::text(it.card.mac_address.as_deref())),
        ("Type", |it| Cell::text(it.card.address_type.as_deref())),
        ("IPv4 Address", |it| it.addresses(|address| !address.contains(':'))),
        ("IPv6 Address", |it| it.addresses(|address| address.contains(':'))),
        ("Direct Path IO", |it| Cell::flag(it.card.upt_compatibility_enabled)),
    ]
}

/// A snapshot of a VM.
struct Taken {
    name: String,
    description: String,
    at: DateTime,
    /// The file of its state.
    file: Option<String>,
    state_bytes: Option<i64>,
    bytes: Option<i64>,
    quiesced: bool,
    state: String,
}

const SNAPSHOT: &[Column<Taken>] = &[
    ("Name", |it| Cell::untrusted(Some(&it.name))),
    ("Description", |it| Cell::untrusted(Some(&it.description))),
    ("Date / time", |it| time(Some(&it.at))),
    ("Filename", |it| Cell::text(it.file.as_deref())),
    ("Size MiB (vmsn)", |it| it.state_bytes.map_or(Cell::Nothing, mib_in_use)),
    ("Size MiB (total)", |it| it.bytes.map_or(Cell::Nothing, mib_in_use)),
    ("Quiesced", |it| Cell::flag(Some(it.quiesced))),
    ("State", |it| Cell::text(Some(it.state.as_str()))),
];
