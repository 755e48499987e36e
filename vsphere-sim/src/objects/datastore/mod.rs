//! Datastores, the browsers that look into them, and the managers of what is in them.

pub(crate) mod checksum;
pub(crate) mod disk;
pub(crate) mod files;
pub(crate) mod path;
pub(crate) mod pod;
pub(crate) mod source;
pub(crate) mod stream;
pub(crate) mod upload;

pub(crate) mod browser;
pub(crate) mod file_manager;
pub(crate) mod namespace_manager;
pub(crate) mod storage_resource_manager;
pub(crate) mod v_storage_object_extras;
pub(crate) mod v_storage_object_manager;
pub(crate) mod virtual_disk_manager;

mod contents;
mod life;

use vsphere_model::managed;
use vsphere_model::types::{
    DatastoreCapability, DatastoreHostMount, DatastoreInfo, DatastoreSummary, HostMountInfo, HostNasVolume,
    HostScsiDiskPartition, HostVmfsVolume, InaccessibleDatastore, InvalidDatastore, LocalDatastoreInfo,
    NasDatastoreInfo, Poly, StorageIORMInfo, VirtualMachineConfigInfoDatastoreUrlPair, VmfsDatastoreInfo,
    VsanDatastoreInfo,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use self::files::Files;
use super::compute::Compute;
use super::datacenter::Datacenter;
use super::host::Host;
use super::vm::Spell;
use crate::call::Call;
use crate::fault::{Fault, Outcome};
use crate::world::{Entity, Look, Managed, Moref, Prop, World, uuid};

pub(crate) use browser::add_browser;
pub(crate) use life::remove;
pub(crate) use life::{METHODS, renamed};

/// The managed object `Datastore`.
pub(crate) struct Datastore {
    entity: Entity,
    /// The type of the file system, as a summary tells it: `VMFS`, `NFS`, `NFS41`, `vsan`, and others for local folders.
    pub(crate) kind: String,
    /// In bytes.
    pub(crate) capacity: i64,
    files: Files,
    pub(crate) url: String,
    pub(crate) mounts: Vec<DatastoreHostMount>,
    pub(crate) vms: Vec<Moref>,
    /// The server and the folder there, where it is on the network.
    pub(crate) share: Option<Share>,
    pub(crate) maintenance: Maintenance,
    /// By how many milliseconds its storage answers later than it should.
    pub(crate) slow: Vec<Spell>,
    browser: Moref,
}

/// What a network file system is mounted from.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub(crate) host: String,
    pub(crate) path: String,
}

/// Whether a datastore is in maintenance mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maintenance {
    Normal,
    In,
}

impl Managed for Datastore {
    fn info(&self) -> &'static ManagedInfo {
        managed::Datastore::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "info" => Prop::made(self.describe(look)),
            "summary" => Prop::made(self.summary(look.me)),
            "host" => Prop::list(&self.mounts),
            "vm" => Prop::list(&self.vms),
            "browser" => Prop::kept(&self.browser),
            "capability" => Prop::made(self.capability()),
            "iormConfiguration" => Prop::made(StorageIORMInfo {
                enabled: false,
                congestion_threshold_mode: Some("automatic".to_owned()),
                congestion_threshold: 30,
                percent_of_peak_throughput: Some(90),
                stats_collection_enabled: Some(false),
                reservation_enabled: Some(false),
                stats_aggregation_disabled: Some(false),
                ..Default::default()
            }),
            _ => self.entity.read(look, property),
        }
    }

    fn entity(&self) -> Option<&Entity> {
        Some(&self.entity)
    }

    fn entity_mut(&mut self) -> Option<&mut Entity> {
        Some(&mut self.entity)
    }
}

impl Datastore {
    /// A host sees it from now on.
    pub(crate) fn mount(&mut self, host: &Moref) {
        let mount_info = HostMountInfo {
            path: Some(self.mount_path()),
            access_mode: "readWrite".to_owned(),
            mounted: Some(true),
            accessible: Some(true),
            ..Default::default()
        };
        self.mounts.push(DatastoreHostMount { key: host.clone(), mount_info });
    }

    /// No host can access it any more, or all can again.
    pub(crate) fn set_accessible(&mut self, accessible: bool) {
        for mount in &mut self.mounts {
            mount.mount_info.accessible = Some(accessible);
        }
    }

    /// A host can't access it any more, or can again.
    pub(crate) fn set_accessible_on(&mut self, host: &Moref, accessible: bool) {
        for mount in self.mounts.iter_mut().filter(|mount| mount.key == *host) {
            mount.mount_info.accessible = Some(accessible);
        }
    }

    fn is_accessible(&self) -> bool {
        self.mounts.is_empty() || self.mounts.iter().any(|at| at.mount_info.accessible != Some(false))
    }

    /// Its name and where hosts find it, as VMs have them.
    pub(crate) fn url_pair(&self) -> VirtualMachineConfigInfoDatastoreUrlPair {
        VirtualMachineConfigInfoDatastoreUrlPair { name: self.entity.name.clone(), url: self.mount_path() }
    }

    /// Where hosts find it: `/vmfs/volumes/UUID`.
    fn mount_path(&self) -> String {
        self.url.trim_start_matches("ds://").trim_end_matches('/').to_owned()
    }

    /// The last part of where hosts find it.
    fn volume_id(&self) -> String {
        self.mount_path().rsplit('/').next().unwrap_or_default().trim_start_matches("vsan:").to_owned()
    }

    fn is_vmfs(&self) -> bool {
        self.kind == "VMFS"
    }

    fn is_nas(&self) -> bool {
        self.kind.starts_with("NFS")
    }

    pub(crate) fn summary(&self, me: &Moref) -> DatastoreSummary {
        DatastoreSummary {
            datastore: Some(me.clone()),
            name: self.entity.name.clone(),
            url: self.url.clone(),
            capacity: self.capacity,
            free_space: self.free(),
            uncommitted: Some(self.files.uncommitted()),
            accessible: self.is_accessible(),
            multiple_host_access: Some(self.mounts.len() > 1),
            type_: self.kind.clone(),
            maintenance_mode: Some(
                match self.maintenance {
                    Maintenance::Normal => "normal",
                    Maintenance::In => "inMaintenance",
                }
                .to_owned(),
            ),
        }
    }

    fn describe(&self, look: &Look<'_>) -> Poly<DatastoreInfo> {
        let base = DatastoreInfo {
            name: self.entity.name.clone(),
            url: self.url.clone(),
            free_space: self.free(),
            max_file_size: LARGEST,
            max_virtual_disk_capacity: Some(LARGEST),
            max_memory_file_size: Some(LARGEST),
            timestamp: Some(look.world.now()),
            container_id: Some(self.volume_id()),
            supported_v_disk_formats: vec!["native_512".to_owned()],
            ..Default::default()
        };
        match self.kind.as_str() {
            "VMFS" => Poly::new(VmfsDatastoreInfo {
                base,
                max_physical_rdm_file_size: Some(LARGEST),
                max_virtual_rdm_file_size: Some(LARGEST),
                vmfs: Some(Box::new(self.vmfs())),
            }),
            "NFS" | "NFS41" => Poly::new(NasDatastoreInfo { base, nas: Some(Box::new(self.nas())) }),
            "vsan" => {
                Poly::new(VsanDatastoreInfo { base, membership_uuid: Some(self.volume_id()), access_gen_no: Some(0) })
            }
            _ => Poly::new(LocalDatastoreInfo { base, path: Some(self.mount_path()) }),
        }
    }

    fn vmfs(&self) -> HostVmfsVolume {
        let id = self.volume_id();
        let disk: String = id.chars().filter(char::is_ascii_hexdigit).collect();
        let mut volume = HostVmfsVolume {
            block_size_mb: 1,
            block_size: Some(1024),
            unmap_granularity: Some(1024),
            unmap_priority: Some("low".to_owned()),
            max_blocks: 61 << 20,
            major_version: 6,
            version: "6.82".to_owned(),
            uuid: id,
            extent: vec![HostScsiDiskPartition { disk_name: format!("naa.{disk}"), partition: 1 }],
            ssd: Some(true),
            local: Some(self.mounts.len() < 2),
            ..Default::default()
        };
        volume.type_ = self.kind.clone();
        volume.name = self.entity.name.clone();
        volume.capacity = self.capacity;
        volume
    }

    fn nas(&self) -> HostNasVolume {
        let share = self.share.clone();
        let mut volume = HostNasVolume {
            remote_host: share.as_ref().map(|share| share.host.clone()).unwrap_or_default(),
            remote_path: share.as_ref().map(|share| share.path.clone()).unwrap_or_default(),
            remote_host_names: share.into_iter().map(|share| share.host).collect(),
            security_type: Some("AUTH_SYS".to_owned()),
            protocol_endpoint: Some(false),
            ..Default::default()
        };
        volume.type_ = self.kind.clone();
        volume.name = self.entity.name.clone();
        volume.capacity = self.capacity;
        volume
    }

    fn capability(&self) -> DatastoreCapability {
        DatastoreCapability {
            directory_hierarchy_supported: true,
            raw_disk_mappings_supported: self.is_vmfs(),
            per_file_thin_provisioning_supported: true,
            storage_iorm_supported: Some(self.is_vmfs() || self.is_nas()),
            native_snapshot_supported: Some(false),
            top_level_directory_create_supported: Some(self.kind != "vsan"),
            se_sparse_supported: Some(true),
            vmfs_sparse_supported: Some(self.is_vmfs()),
            vsan_sparse_supported: Some(self.kind == "vsan"),
            vmdk_expand_supported: Some(true),
            clustered_vmdk_supported: Some(false),
            ..Default::default()
        }
    }
}

/// The largest file of a datastore, in bytes: 62 TB, as VMFS 6 has it.
const LARGEST: i64 = 62 << 40;

/// Adds the managers of files, which the service content names.
pub(super) fn install(world: &mut World) {
    file_manager::install(world);
    namespace_manager::install(world);
    v_storage_object_manager::install(world);
    virtual_disk_manager::install(world);
}

/// Adds a datastore of so many bytes, which the hosts of these compute resources see.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(crate) fn add(
    world: &mut World,
    name: &str,
    kind: &str,
    capacity: i64,
    datacenter: &Moref,
    computes: &[Moref],
) -> Outcome<Moref> {
    let id = world.new_id("datastore-");
    let browser = add_browser(world, &Moref::new("Datastore", &id));
    let folder = world.get::<Datacenter>(datacenter)?.datastore_folder.clone();
    let volume = uuid(fastrand::u128(..));
    let volume = if kind == "vsan" { format!("vsan:{volume}") } else { volume };
    let datastore = Datastore {
        entity: Entity::new(name, Some(&folder)),
        kind: kind.to_owned(),
        capacity,
        files: Files::default(),
        url: format!("ds:///vmfs/volumes/{volume}/"),
        mounts: Vec::new(),
        vms: Vec::new(),
        share: None,
        maintenance: Maintenance::Normal,
        slow: Vec::new(),
        browser,
    };
    let datastore = world.add_as(&id, datastore);
    world.hang(&datastore, &folder)?;
    world.edit::<Datacenter>(datacenter)?.datastores.push(datastore.clone());
    for compute in computes {
        let compute = world.edit::<Compute>(compute)?;
        compute.datastores.push(datastore.clone());
        for host in compute.hosts.clone() {
            world.edit::<Host>(&host)?.datastores.push(datastore.clone());
            world.edit::<Datastore>(&datastore)?.mount(&host);
        }
    }
    Ok(datastore)
}

/// Whether the caller has a privilege on a datastore that can be accessed: the methods of the managers are declared without
/// one.
///
/// # Errors
/// `NoPermission`, `InaccessibleDatastore`.
fn require(world: &World, call: &Call, datastore: &Moref, privilege: &str) -> Outcome<()> {
    if !world.may(datastore, call.session.as_deref(), privilege) {
        return Err(Fault::no_permission(datastore, privilege));
    }
    if world.get::<Datastore>(datastore).is_ok_and(|found| !found.is_accessible()) {
        let name = world.entity(datastore)?.name.clone();
        let message = format!("Unable to access the datastore '{name}'.");
        let base = InvalidDatastore { datastore: Some(datastore.clone()), name: Some(name), ..Default::default() };
        return Err(Fault::new(InaccessibleDatastore { base, ..Default::default() }, message));
    }
    Ok(())
}
