//! The storage of a host: adapters, disks, paths, and the volumes on them.

use vsphere_model::types::{
    FibreChannelPortType, HostBlockAdapterTargetTransport, HostBlockHba, HostDiskDimensionsLba, HostDiskPartitionInfo,
    HostDiskPartitionLayout, HostDiskPartitionSpec, HostFibreChannelHba, HostFibreChannelTargetTransport,
    HostFileSystemMountInfo, HostFileSystemVolume, HostFileSystemVolumeInfo, HostHostBusAdapter, HostMountInfo,
    HostMultipathInfo, HostMultipathInfoFixedLogicalUnitPolicy, HostMultipathInfoLogicalUnit,
    HostMultipathInfoLogicalUnitPolicy, HostMultipathInfoLogicalUnitStorageArrayTypePolicy, HostMultipathInfoPath,
    HostMultipathStateInfo, HostMultipathStateInfoPath, HostScsiDisk, HostScsiTopology, HostScsiTopologyInterface,
    HostScsiTopologyLun, HostScsiTopologyTarget, HostStorageDeviceInfo, HostTargetTransport, NotFound, Poly, ScsiLun,
    ScsiLunCapabilities,
};

use super::{Host, part};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::datastore::Datastore;
use crate::world::{Managed as _, Moref, World};

pub(crate) const METHODS: Methods = &[
    ("HostStorageSystem", "RescanAllHba", Handler::Write(rescan)),
    ("HostStorageSystem", "RescanHba", Handler::Read(rescan_hba)),
    ("HostStorageSystem", "RescanVmfs", Handler::Write(rescan)),
    ("HostStorageSystem", "RefreshStorageSystem", Handler::Write(rescan)),
    ("HostStorageSystem", "RetrieveDiskPartitionInfo", Handler::Read(partitions)),
    ("HostStorageSystem", "MarkAsSsd_Task", Handler::Write(mark_ssd)),
    ("HostStorageSystem", "MarkAsNonSsd_Task", Handler::Write(mark_non_ssd)),
    ("HostStorageSystem", "MarkAsLocal_Task", Handler::Write(mark_local)),
    ("HostStorageSystem", "MarkAsNonLocal_Task", Handler::Write(mark_non_local)),
];

/// Bytes of a sector.
const SECTOR: i64 = 512;

/// The adapters by name: one for the disks inside, two for those of the array.
const INSIDE: &str = "vmhba0";
const ARRAY: [&str; 2] = ["vmhba1", "vmhba2"];

/// A disk of a host.
#[derive(Debug, Clone)]
pub(in crate::objects) struct Disk {
    /// Its canonical name.
    pub(super) name: String,
    vendor: &'static str,
    model: &'static str,
    /// In bytes.
    pub(super) capacity: i64,
    ssd: bool,
    local: bool,
    pub(super) use_: Use,
}

/// What is on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Use {
    Empty,
    System,
    Datastore(Moref),
}

/// The disks inside of a fresh host: one that it starts from, and two that nobody uses.
pub(super) fn local_disks(number: u64) -> Vec<Disk> {
    let disk = |slot: u64, vendor, model, capacity, use_| Disk {
        name: format!("naa.{:016x}", 0x5002_538f_0000_0000_u64 + (number << 4) + slot),
        vendor,
        model,
        capacity,
        ssd: true,
        local: true,
        use_,
    };
    let terabyte = 1_000_204_886_016;
    vec![
        disk(0, "DELL", "BOSS-N1", 480_036_519_936, Use::System),
        disk(1, "SAMSUNG", "MZILT3T8HBLS0D3", terabyte * 4, Use::Empty),
        disk(2, "SAMSUNG", "MZILT3T8HBLS0D3", terabyte * 4, Use::Empty),
    ]
}

impl Disk {
    /// The disk of the array on which a datastore is. All hosts see the same.
    fn of_datastore(reference: &Moref, datastore: &Datastore) -> Self {
        let number: u64 = reference.value.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default();
        Self {
            name: format!("naa.600601604f{:06x}{:016x}", number, 0x5de1_7a2b_44c0_0000_u64 + number),
            vendor: "DGC",
            model: "VRAID",
            capacity: datastore.capacity,
            ssd: true,
            local: false,
            use_: Use::Datastore(reference.clone()),
        }
    }

    pub(super) fn uuid(&self) -> String {
        let digits = self.name.trim_start_matches("naa.");
        format!("02000000{digits:0<32}565241494420")
    }

    pub(super) fn device_path(&self) -> String {
        format!("/vmfs/devices/disks/{}", self.name)
    }

    fn key(&self) -> String {
        format!("key-vim.host.ScsiDisk-{}", self.uuid())
    }

    pub(super) fn sectors(&self) -> i64 {
        self.capacity / SECTOR
    }

    pub(super) fn describe(&self) -> HostScsiDisk {
        let mut lun = ScsiLun {
            key: Some(self.key()),
            uuid: self.uuid(),
            canonical_name: Some(self.name.clone()),
            display_name: Some(format!(
                "{} {} Disk ({})",
                if self.local { "Local" } else { self.vendor },
                if self.local { self.vendor } else { "Fibre Channel" },
                self.name
            )),
            lun_type: "disk".to_owned(),
            vendor: Some(format!("{:<8}", self.vendor)),
            model: Some(format!("{:<16}", self.model)),
            revision: Some("0520".to_owned()),
            scsi_level: Some(6),
            serial_number: Some("unavailable".to_owned()),
            queue_depth: Some(64),
            operational_state: vec!["ok".to_owned()],
            capabilities: Some(Box::new(ScsiLunCapabilities { update_display_name_supported: true })),
            v_storage_support: Some(if self.local { "vStorageUnsupported" } else { "vStorageSupported" }.to_owned()),
            protocol_endpoint: Some(false),
            perennially_reserved: Some(false),
            ..Default::default()
        };
        lun.device_name = self.device_path();
        lun.device_type = "disk".to_owned();
        HostScsiDisk {
            base: lun,
            capacity: HostDiskDimensionsLba { block_size: 512, block: self.sectors() },
            device_path: self.device_path(),
            ssd: Some(self.ssd),
            local_disk: Some(self.local),
            scsi_disk_type: Some("native512".to_owned()),
            emulated_dixdif_enabled: Some(false),
            ..Default::default()
        }
    }

    /// What of the disk is taken, from its first sector to its last.
    pub(super) fn layout(&self) -> HostDiskPartitionLayout {
        let whole = HostDiskDimensionsLba { block_size: 512, block: self.sectors() };
        HostDiskPartitionLayout { total: Some(Box::new(whole)), partition: Vec::new() }
    }
}

impl Host {
    /// The disks inside, and those of the array.
    fn all_disks(&self, world: &World) -> Vec<Disk> {
        let inside = |datastore: &Moref| self.disks.iter().any(|disk| disk.use_ == Use::Datastore(datastore.clone()));
        let of_array = self.datastores.iter().filter(|datastore| !inside(datastore)).filter_map(|reference| {
            let datastore: &Datastore = world.get(reference).ok()?;
            (datastore.kind == "VMFS").then(|| Disk::of_datastore(reference, datastore))
        });
        self.disks.iter().cloned().chain(of_array).collect()
    }

    pub(super) fn storage_device(&self, world: &World) -> HostStorageDeviceInfo {
        let disks = self.all_disks(world);
        HostStorageDeviceInfo {
            host_bus_adapter: self.adapters(),
            scsi_lun: disks.iter().map(|disk| Poly::new(disk.describe())).collect(),
            scsi_topology: Some(Box::new(self.topology(&disks))),
            multipath_info: Some(Box::new(HostMultipathInfo { lun: paths(&disks, self) })),
            software_internet_scsi_enabled: false,
            ..Default::default()
        }
    }

    pub(super) fn multipath_state(&self, world: &World) -> HostMultipathStateInfo {
        let units = paths(&self.all_disks(world), self);
        let state =
            |path: HostMultipathInfoPath| HostMultipathStateInfoPath { name: path.name, path_state: path.path_state };
        HostMultipathStateInfo { path: units.into_iter().flat_map(|unit| unit.path).map(state).collect() }
    }

    fn adapters(&self) -> Vec<Poly<HostHostBusAdapter>> {
        let adapter = |device: &str, bus, model: &str, driver: &str, pci: &str| HostHostBusAdapter {
            key: Some(adapter_key(device)),
            device: device.to_owned(),
            bus,
            status: if self.ailments.dead_adapters.contains(device) { "offline" } else { "online" }.to_owned(),
            model: model.to_owned(),
            driver: Some(driver.to_owned()),
            pci: Some(pci.to_owned()),
            storage_protocol: Some("scsi".to_owned()),
            ..Default::default()
        };
        let inside = adapter(INSIDE, 2, "Dell HBA355i Front", "lsi_msgpt35", "0000:02:00.0");
        let array = (0..).zip(ARRAY).map(|(port, device)| {
            let pci = format!("0000:3b:00.{port}");
            Poly::new(HostFibreChannelHba {
                base: adapter(device, 59, "QLogic QLE2772 Dual Port 32Gb Fibre Channel", "qlnativefc", &pci),
                port_world_wide_name: self.world_wide_name(0x2100, port),
                node_world_wide_name: self.world_wide_name(0x2000, port),
                port_type: FibreChannelPortType::Fabric,
                speed: 32,
            })
        });
        std::iter::once(Poly::new(HostBlockHba { base: inside })).chain(array).collect()
    }

    fn world_wide_name(&self, kind: i64, port: i64) -> i64 {
        kind << 48 | 0x0024_ff00_0000 | i64::try_from(self.number).unwrap_or_default() << 4 | port
    }

    fn topology(&self, disks: &[Disk]) -> HostScsiTopology {
        let lun = |number: i32, disk: &Disk| HostScsiTopologyLun {
            key: format!("key-vim.host.ScsiTopology.Lun-{}", disk.uuid()),
            lun: number,
            scsi_lun: disk.key(),
        };
        let target = |device: &str, number: i32, luns| HostScsiTopologyTarget {
            key: format!("key-vim.host.ScsiTopology.Target-{device}:0:{number}"),
            target: number,
            lun: luns,
            transport: Some(self.transport(device)),
        };
        let interface = |device: &str, targets| HostScsiTopologyInterface {
            key: format!("key-vim.host.ScsiTopology.Interface-{device}"),
            adapter: adapter_key(device),
            target: targets,
        };
        let inside = (0..).zip(disks.iter().filter(|disk| disk.local));
        let inside = inside.map(|(number, disk)| target(INSIDE, number, vec![lun(0, disk)])).collect();
        let of_array = |device| {
            let luns = (0..).zip(disks.iter().filter(|disk| !disk.local)).map(|(number, disk)| lun(number, disk));
            interface(device, vec![target(device, 0, luns.collect())])
        };
        HostScsiTopology { adapter: std::iter::once(interface(INSIDE, inside)).chain(ARRAY.map(of_array)).collect() }
    }

    fn transport(&self, device: &str) -> Poly<HostTargetTransport> {
        match (0..).zip(ARRAY).find(|(_, name)| *name == device) {
            Some((port, _)) => Poly::new(HostFibreChannelTargetTransport {
                port_world_wide_name: 0x5006_0169_4ee0_0000 | port,
                node_world_wide_name: 0x5006_0160_cee0_0000,
                ..Default::default()
            }),
            None => Poly::new(HostBlockAdapterTargetTransport::default()),
        }
    }

    pub(super) fn file_system_volume(&self, world: &World) -> HostFileSystemVolumeInfo {
        let mount = |reference: &Moref| -> Option<HostFileSystemMountInfo> {
            let datastore: &Datastore = world.get(reference).ok()?;
            let mount = datastore
                .mounts
                .iter()
                .find(|mount| world.get::<Self>(&mount.key).is_ok_and(|host| host.number == self.number))?;
            Some(HostFileSystemMountInfo {
                mount_info: HostMountInfo { ..mount.mount_info.clone() },
                volume: volume(world, reference, datastore),
                v_storage_support: Some("vStorageSupported".to_owned()),
            })
        };
        HostFileSystemVolumeInfo {
            volume_type_list: ["VMFS", "NFS", "NFS41", "vsan", "VVOL", "VFFS", "OTHER", "PMEM"]
                .map(str::to_owned)
                .to_vec(),
            mount_info: self.datastores.iter().filter_map(mount).collect(),
        }
    }
}

/// The volume as the datastore describes it; other kinds are described by name and size alone.
fn volume(world: &World, reference: &Moref, datastore: &Datastore) -> Poly<HostFileSystemVolume> {
    use vsphere_model::types::{NasDatastoreInfo, VmfsDatastoreInfo};
    use vsphere_soap::object::Value;
    let look = crate::world::Look { world, me: reference, session: None };
    let info = datastore.read(&look, "info");
    let described = match info.value() {
        Value::Poly(info) => {
            let vmfs = info.downcast_ref::<VmfsDatastoreInfo>().and_then(|info| info.vmfs.clone());
            let nas = info.downcast_ref::<NasDatastoreInfo>().and_then(|info| info.nas.clone());
            vmfs.map(|vmfs| Poly::new(*vmfs)).or_else(|| nas.map(|nas| Poly::new(*nas)))
        }
        _ => None,
    };
    described.unwrap_or_else(|| {
        Poly::new(HostFileSystemVolume {
            type_: datastore.kind.clone(),
            name: datastore.entity().map(|entity| entity.name.clone()).unwrap_or_default(),
            capacity: datastore.capacity,
        })
    })
}

fn adapter_key(device: &str) -> String {
    let kind = if device == INSIDE { "BlockHba" } else { "FibreChannelHba" };
    format!("key-vim.host.{kind}-{device}")
}

/// Which way the host takes to a disk: the first to its own, all by turns to those of an array.
fn selection(disk: &Disk, paths: &[HostMultipathInfoPath]) -> Poly<HostMultipathInfoLogicalUnitPolicy> {
    let policy = |name: &str| HostMultipathInfoLogicalUnitPolicy { policy: name.to_owned() };
    match paths.first() {
        Some(first) if disk.local => Poly::new(HostMultipathInfoFixedLogicalUnitPolicy {
            base: policy("VMW_PSP_FIXED"),
            prefer: first.name.clone(),
        }),
        _ => Poly::new(policy("VMW_PSP_RR")),
    }
}

/// By which ways the host reaches each disk.
fn paths(disks: &[Disk], host: &Host) -> Vec<HostMultipathInfoLogicalUnit> {
    let state = |adapter: &str| if host.ailments.dead_adapters.contains(adapter) { "dead" } else { "active" };
    let path = |disk: &Disk, adapter: &str, target: usize, lun: usize| HostMultipathInfoPath {
        key: format!("key-vim.host.MultipathInfo.Path-{adapter}:C0:T{target}:L{lun}"),
        name: format!("{adapter}:C0:T{target}:L{lun}"),
        path_state: state(adapter).to_owned(),
        state: Some(state(adapter).to_owned()),
        is_working_path: Some(state(adapter) == "active"),
        adapter: adapter_key(adapter),
        lun: disk.key(),
        transport: Some(host.transport(adapter)),
    };
    let unit = |disk: &Disk, path: Vec<HostMultipathInfoPath>| HostMultipathInfoLogicalUnit {
        key: format!("key-vim.host.MultipathInfo.LogicalUnit-{}", disk.uuid()),
        id: disk.uuid(),
        lun: disk.key(),
        policy: selection(disk, &path),
        path,
        storage_array_type_policy: Some(Box::new(HostMultipathInfoLogicalUnitStorageArrayTypePolicy {
            policy: if disk.local { "VMW_SATP_LOCAL" } else { "VMW_SATP_ALUA" }.to_owned(),
        })),
    };
    let (inside, array): (Vec<&Disk>, Vec<&Disk>) = disks.iter().partition(|disk| disk.local);
    let inside = inside.into_iter().enumerate().map(|(slot, disk)| unit(disk, vec![path(disk, INSIDE, slot, 0)]));
    let array = array
        .into_iter()
        .enumerate()
        .map(|(number, disk)| unit(disk, ARRAY.iter().map(|adapter| path(disk, adapter, 0, number)).collect()));
    inside.chain(array).collect()
}

/// All paths over an adapter die. Without any, the host loses its datastores on the array.
///
/// # Errors
/// `NotFound` for an adapter that it does not have.
pub(crate) fn kill_paths(world: &mut World, host: &Moref, adapter: &str) -> Outcome<()> {
    if !ARRAY.contains(&adapter) {
        let message = format!("The host has no adapter '{adapter}' to an array, only {}.", ARRAY.join(" and "));
        return Err(Fault::new(NotFound::default(), message));
    }
    let found = world.edit::<Host>(host)?;
    found.ailments.dead_adapters.insert(adapter.to_owned());
    let without = ARRAY.iter().all(|adapter| found.ailments.dead_adapters.contains(*adapter));
    let inside: Vec<Use> = found.disks.iter().map(|disk| disk.use_.clone()).collect();
    for datastore in found.datastores.clone().into_iter().filter(|_| without) {
        if !inside.contains(&Use::Datastore(datastore.clone())) && world.get::<Datastore>(&datastore)?.kind == "VMFS" {
            world.edit::<Datastore>(&datastore)?.set_accessible_on(host, false);
        }
    }
    part::touch_storage(world, host);
    Ok(())
}

/// All there is to find is known already; whoever watches gets it again.
fn rescan(world: &mut World, call: &Call) -> Outcome<Reply> {
    let host = part::host_of(world, call)?;
    part::touch_storage(world, &host);
    Ok(Reply::NONE)
}

fn rescan_hba(world: &World, call: &Call) -> Outcome<Reply> {
    part::host_of(world, call)?;
    let device: String = call.arg("hbaDevice")?;
    if device != INSIDE && !ARRAY.contains(&device.as_str()) {
        return Err(Fault::new(NotFound::default(), format!("The host has no adapter '{device}'.")));
    }
    Ok(Reply::NONE)
}

fn partitions(world: &World, call: &Call) -> Outcome<Reply> {
    let devices: Vec<String> = call.arg("devicePath")?;
    let disks = part::host(world, call)?.all_disks(world);
    let of = |device: &String| {
        let disk = disks.iter().find(|disk| disk.device_path() == *device || disk.name == *device);
        let disk = disk.ok_or_else(|| Fault::new(NotFound::default(), format!("The host has no disk '{device}'.")))?;
        Ok(HostDiskPartitionInfo {
            device_name: disk.device_path(),
            spec: HostDiskPartitionSpec {
                partition_format: Some("gpt".to_owned()),
                total_sectors: Some(disk.sectors()),
                partition: disk.partitions(),
                ..Default::default()
            },
            layout: disk.layout(),
        })
    };
    devices.iter().map(of).collect::<Outcome<Vec<_>>>().map(Reply::list)
}

fn mark_ssd(world: &mut World, call: &Call) -> Outcome<Reply> {
    mark(world, call, |disk| disk.ssd = true)
}

fn mark_non_ssd(world: &mut World, call: &Call) -> Outcome<Reply> {
    mark(world, call, |disk| disk.ssd = false)
}

fn mark_local(world: &mut World, call: &Call) -> Outcome<Reply> {
    mark(world, call, |disk| disk.local = true)
}

fn mark_non_local(world: &mut World, call: &Call) -> Outcome<Reply> {
    mark(world, call, |disk| disk.local = false)
}

/// Marks a disk inside of the host; those of the array are what the array says.
fn mark(world: &mut World, call: &Call, how: fn(&mut Disk)) -> Outcome<Reply> {
    let uuid: String = call.arg("scsiDiskUuid")?;
    let me = part::host_of(world, call)?;
    call.task().about(&me).start(world, move |world| {
        let disk = world.edit::<Host>(&me)?.disks.iter_mut().find(|disk| disk.uuid() == uuid);
        let disk = disk.ok_or_else(|| Fault::new(NotFound::default(), format!("The host has no disk '{uuid}'.")))?;
        how(disk);
        part::touch_storage(world, &me);
        Ok(vsphere_model::types::Any::Unset)
    })
}
