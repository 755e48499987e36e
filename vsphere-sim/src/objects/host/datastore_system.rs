//! How a host makes datastores, mounts them, and lets go of them.

use vsphere_model::types::{
    AlreadyExists, HostDiskDimensionsLba, HostDiskPartitionAttributes, HostDiskPartitionBlockRange,
    HostDiskPartitionLayout, HostDiskPartitionSpec, HostNasVolumeSpec, HostScsiDiskPartition, HostVmfsSpec, NotFound,
    Poly, ResourceInUse, VmfsDatastoreAllExtentOption, VmfsDatastoreBaseOption, VmfsDatastoreCreateSpec,
    VmfsDatastoreOption, VmfsDatastoreSingleExtentOption,
};

use super::storage::{Disk, Use};
use super::{Host, datacenter_of, part};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::compute::Compute;
use crate::objects::datacenter::Datacenter;
use crate::objects::datastore::{self, Datastore};
use crate::objects::folder;
use crate::world::{Moref, World};

pub(crate) const METHODS: Methods = &[
    ("HostDatastoreSystem", "QueryAvailableDisksForVmfs", Handler::Read(available_disks)),
    ("HostDatastoreSystem", "QueryVmfsDatastoreCreateOptions", Handler::Read(create_options)),
    ("HostDatastoreSystem", "CreateVmfsDatastore", Handler::Write(create_vmfs)),
    ("HostDatastoreSystem", "CreateNasDatastore", Handler::Write(create_nas)),
    ("HostDatastoreSystem", "CreateLocalDatastore", Handler::Write(create_local)),
    ("HostDatastoreSystem", "RemoveDatastore", Handler::Write(remove)),
    ("HostDatastoreSystem", "RemoveDatastoreEx_Task", Handler::Write(remove_several)),
];

/// A sector where partitions begin.
const FIRST_SECTOR: i64 = 2048;

/// The size of what is mounted over the network, in bytes.
const SHARE_SIZE: i64 = 10 << 40;

/// The size of a folder that serves as a datastore, in bytes.
const LOCAL_SIZE: i64 = 1 << 40;

impl Disk {
    /// The partitions on the disk.
    pub(super) fn partitions(&self) -> Vec<HostDiskPartitionAttributes> {
        match self.use_ {
            Use::Empty => Vec::new(),
            Use::System => vec![
                partition(1, "none", 64, 204_863),
                partition(5, "none", 206_848, 8_595_455),
                partition(6, "none", 8_597_504, 16_986_111),
                partition(7, "vmfs", 16_988_160, self.last_sector()),
            ],
            Use::Datastore(_) => vec![self.whole()],
        }
    }

    /// One partition of all that the disk has.
    fn whole(&self) -> HostDiskPartitionAttributes {
        partition(1, "vmfs", FIRST_SECTOR, self.last_sector())
    }

    /// The last sector that a partition may have: the copy of the table is behind it.
    fn last_sector(&self) -> i64 {
        self.sectors() - 34
    }
}

fn partition(number: i32, kind: &str, start_sector: i64, end_sector: i64) -> HostDiskPartitionAttributes {
    HostDiskPartitionAttributes {
        partition: number,
        start_sector,
        end_sector,
        type_: kind.to_owned(),
        ..Default::default()
    }
}

/// The disks that have nothing on them.
fn free_disks(host: &Host) -> impl Iterator<Item = &Disk> {
    host.disks.iter().filter(|disk| disk.use_ == Use::Empty)
}

fn available_disks(world: &World, call: &Call) -> Outcome<Reply> {
    let host = part::host(world, call)?;
    Ok(Reply::list(free_disks(host).map(Disk::describe).collect()))
}

fn create_options(world: &World, call: &Call) -> Outcome<Reply> {
    let path: String = call.arg("devicePath")?;
    let version: Option<i32> = call.opt("vmfsMajorVersion")?;
    let host = part::host(world, call)?;
    // Clients name the disk by its path, or by its canonical name alone.
    let disk = free_disks(host).find(|disk| disk.device_path() == path || disk.name == path);
    let disk = disk.ok_or_else(|| no_disk(&path))?;
    let at = |block| HostDiskDimensionsLba { block_size: 512, block };
    let range = HostDiskPartitionBlockRange {
        partition: Some(1),
        type_: "vmfs".to_owned(),
        start: at(FIRST_SECTOR),
        end: at(disk.last_sector()),
    };
    let layout = HostDiskPartitionLayout { partition: vec![range.clone()], ..disk.layout() };
    let base = VmfsDatastoreBaseOption { layout, partition_format_change: Some(false) };
    let info = VmfsDatastoreAllExtentOption { base: VmfsDatastoreSingleExtentOption { base, vmfs_extent: range } };
    let mut spec = VmfsDatastoreCreateSpec {
        partition: HostDiskPartitionSpec {
            partition_format: Some("gpt".to_owned()),
            total_sectors: Some(disk.sectors()),
            partition: vec![disk.whole()],
            ..Default::default()
        },
        vmfs: HostVmfsSpec {
            extent: HostScsiDiskPartition { disk_name: disk.name.clone(), partition: 1 },
            block_size_mb: Some(1),
            major_version: version.unwrap_or(6),
            ..Default::default()
        },
        ..Default::default()
    };
    spec.disk_uuid = disk.uuid();
    Ok(Reply::list(vec![VmfsDatastoreOption { info: Poly::new(info), spec: Poly::new(spec) }]))
}

fn no_disk(name: &str) -> Fault {
    Fault::new(NotFound::default(), format!("The host has no free disk '{name}'."))
}

fn create_vmfs(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: VmfsDatastoreCreateSpec = call.arg("spec")?;
    let me = part::host_of(world, call)?;
    let disk = free_disks(world.get(&me)?).find(|disk| disk.uuid() == spec.disk_uuid);
    let (uuid, capacity) = disk.map(|disk| (disk.uuid(), disk.capacity)).ok_or_else(|| no_disk(&spec.disk_uuid))?;
    let made = make(world, &me, &spec.vmfs.volume_name, "VMFS", capacity)?;
    let disks = &mut world.edit::<Host>(&me)?.disks;
    if let Some(disk) = disks.iter_mut().find(|disk| disk.uuid() == uuid) {
        disk.use_ = Use::Datastore(made.clone());
    }
    part::touch_storage(world, &me);
    Ok(Reply::of(made))
}

/// Mounts a share. Where another host of the datacenter has mounted the same, both have one datastore.
fn create_nas(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: HostNasVolumeSpec = call.arg("spec")?;
    let me = part::host_of(world, call)?;
    if spec.remote_host.is_empty() || spec.remote_path.is_empty() {
        return Err(Fault::invalid_argument("spec.remoteHost"));
    }
    let kind = match spec.type_.as_deref() {
        None | Some("NFS" | "nfs") => "NFS",
        Some("NFS41" | "nfs41") => "NFS41",
        Some(_) => return Err(Fault::invalid_argument("spec.type")),
    };
    let datacenter = datacenter_of(world, &me)?;
    let same_share = |datastore: &Datastore| {
        datastore.share.as_ref().is_some_and(|share| share.host == spec.remote_host && share.path == spec.remote_path)
    };
    let mut all = world.get::<Datacenter>(&datacenter)?.datastores.iter();
    let there = all.find(|one| world.get::<Datastore>(one).is_ok_and(same_share)).cloned();
    let made = match there {
        Some(there) if world.get::<Host>(&me)?.datastores.contains(&there) => {
            let fault = AlreadyExists { name: Some(spec.local_path.clone()), ..Default::default() };
            return Err(Fault::new(fault, "The host has mounted this share already."));
        }
        Some(there) => {
            mount(world, &me, &there)?;
            there
        }
        None => {
            let made = make(world, &me, &spec.local_path, kind, SHARE_SIZE)?;
            world.edit::<Datastore>(&made)?.share =
                Some(datastore::Share { host: spec.remote_host, path: spec.remote_path });
            made
        }
    };
    part::touch_storage(world, &me);
    Ok(Reply::of(made))
}

fn create_local(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (name, path): (String, String) = (call.arg("name")?, call.arg("path")?);
    if !path.starts_with('/') {
        return Err(Fault::invalid_argument("path"));
    }
    let me = part::host_of(world, call)?;
    let made = make(world, &me, &name, "OTHER", LOCAL_SIZE)?;
    part::touch_storage(world, &me);
    Ok(Reply::of(made))
}

/// Makes a datastore that this host sees.
fn make(world: &mut World, host: &Moref, name: &str, kind: &str, capacity: i64) -> Outcome<Moref> {
    folder::check_name(name, Some(host))?;
    let datacenter = datacenter_of(world, host)?;
    let there = world.get::<Datacenter>(&datacenter)?.datastores.iter();
    let name_kept = crate::world::escaped(name);
    if let Some(object) = there.into_iter().find(|one| world.entity(one).is_ok_and(|one| one.name == name_kept)) {
        return Err(folder::duplicate(name, object));
    }
    let made = datastore::add(world, name, kind, capacity, &datacenter, &[])?;
    mount(world, host, &made)?;
    Ok(made)
}

/// Lets a host see a datastore, and so the compute resource that it stands in.
fn mount(world: &mut World, host: &Moref, datastore: &Moref) -> Outcome<()> {
    world.edit::<Datastore>(datastore)?.mount(host);
    world.edit::<Host>(host)?.datastores.push(datastore.clone());
    if let Some((compute, _)) = world.nearest::<Compute>(host) {
        let datastores = &mut world.edit::<Compute>(&compute)?.datastores;
        if !datastores.contains(datastore) {
            datastores.push(datastore.clone());
        }
    }
    Ok(())
}

fn remove(world: &mut World, call: &Call) -> Outcome<Reply> {
    let datastore: Moref = call.arg("datastore")?;
    let me = part::host_of(world, call)?;
    unmount(world, &me, &datastore, &call.user(world))?;
    Ok(Reply::NONE)
}

fn remove_several(world: &mut World, call: &Call) -> Outcome<Reply> {
    let datastores: Vec<Moref> = call.arg("datastore")?;
    let (me, user) = (part::host_of(world, call)?, call.user(world));
    call.task().about(&me).start(world, move |world| {
        for datastore in &datastores {
            unmount(world, &me, datastore, &user)?;
        }
        Ok(vsphere_model::types::Any::Unset)
    })
}

/// Takes a datastore away from a host. A volume on a disk is deleted, for all who see it; a share goes with its last host.
fn unmount(world: &mut World, me: &Moref, reference: &Moref, user: &str) -> Outcome<()> {
    let datastore: &Datastore = world.get(reference)?;
    if !world.get::<Host>(me)?.datastores.contains(reference) {
        return Err(Fault::new(NotFound::default(), "The host does not see this datastore."));
    }
    let share = datastore.kind.starts_with("NFS");
    let used = |vm: &&Moref| !share || world.host_of(vm).as_ref() == Some(me);
    if datastore.vms.iter().any(|vm| used(&vm)) {
        let name = world.entity(reference)?.name.clone();
        let fault =
            ResourceInUse { type_: Some("Datastore".to_owned()), name: Some(name.clone()), ..Default::default() };
        return Err(Fault::new(fault, format!("The datastore '{name}' is in use by virtual machines.")));
    }
    let all: Vec<Moref> = datastore.mounts.iter().map(|mount| mount.key.clone()).collect();
    let leaving: Vec<Moref> = if share { vec![me.clone()] } else { all.clone() };
    for host in &leaving {
        let disks = world.edit::<Host>(host)?;
        disks.datastores.retain(|other| other != reference);
        for disk in disks.disks.iter_mut().filter(|disk| disk.use_ == Use::Datastore(reference.clone())) {
            disk.use_ = Use::Empty;
        }
        part::touch_storage(world, host);
    }
    world.edit::<Datastore>(reference)?.mounts.retain(|mount| !leaving.contains(&mount.key));
    let computes: Vec<Moref> =
        leaving.iter().filter_map(|host| world.nearest::<Compute>(host)).map(|one| one.0).collect();
    for compute in computes {
        let hosts = world.get::<Compute>(&compute)?.hosts.clone();
        if !hosts.iter().any(|host| world.get::<Host>(host).is_ok_and(|host| host.datastores.contains(reference))) {
            world.edit::<Compute>(&compute)?.datastores.retain(|other| other != reference);
        }
    }
    if leaving.len() == all.len() {
        datastore::remove(world, reference, user)?;
    }
    Ok(())
}
