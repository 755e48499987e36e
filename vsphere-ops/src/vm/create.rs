//! The making of a new VM.

use serde::{Deserialize, Serialize};
use vsphere_model::managed::{Datastore, Folder, HostSystem, Network, ResourcePool, VirtualMachine, datastore};
use vsphere_model::types::{
    ManagedObjectReference, ParaVirtualSCSIController, Poly, VirtualDevice, VirtualDeviceBackingInfo,
    VirtualDeviceConfigSpec, VirtualDeviceConfigSpecFileOperation, VirtualDeviceConnectInfo, VirtualDisk,
    VirtualDiskFlatVer2BackingInfo, VirtualDiskMode, VirtualMachineConfigSpec, VirtualMachineFileInfo,
    VirtualSCSISharing, VirtualVmxnet3,
};

use super::names::checked_name;
use super::report::{VmReport, report};
use crate::client::Client;
use crate::device;
use crate::error::{Result, invalid};
use crate::mo::Mo;
use crate::nic::network::Outlet;
use crate::placement::{Choice, Part, Placement};
use crate::task::{self, Task};

const OPERATION: &str = "create";

/// The guest operating system where none is named.
const ANY_GUEST: &str = "otherGuest64";

/// The largest virtual disk, in GiB.
const LARGEST_DISK: i64 = 62 * 1024;

/// The keys of the devices, until the server gives them their own.
const CONTROLLER: i32 = -101;
const DISK: i32 = -102;
const ADAPTER: i32 = -103;

/// How the space of a virtual disk is taken.
///
/// ```
/// use vsphere_ops::vm::{NewVm, Provisioning};
///
/// let vm = NewVm { name: "db-1".into(), provisioning: Provisioning::Thick, ..Default::default() };
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Provisioning {
    /// As the guest writes.
    #[default]
    Thin,
    /// At once, and zeroed as the guest writes.
    Thick,
    /// At once, and zeroed at once.
    Eager,
}

/// What starts the guest operating system.
///
/// ```
/// use vsphere_ops::vm::{Firmware, NewVm};
///
/// let vm = NewVm { name: "web-05".into(), firmware: Some(Firmware::Efi), ..Default::default() };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Firmware {
    /// BIOS.
    Bios,
    /// EFI.
    Efi,
}

impl Firmware {
    fn name(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Efi => "efi",
        }
    }
}

impl Mo<Folder> {
    /// A new VM in this folder; nothing is sent before [`CreateVm::start`].
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{Folder, Network, ResourcePool};
    ///
    /// let folder = client.get::<Folder>("/fra1/vm/prod").await?;
    /// let network = client.get::<Network>("VM Network").await?;
    /// let pool = client.get::<ResourcePool>("/fra1/host/prod-cluster/Resources").await?;
    /// let new = folder.create_vm("web-05").cpus(2).memory_mb(4096).disk_gb(20).network(&network).pool(&pool);
    /// let vm = new.start().await?.await?;
    /// vm.power_on().await?.await
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn create_vm(&self, name: &str) -> CreateVm {
        CreateVm {
            folder: self.clone(),
            name: name.to_owned(),
            cpus: 1,
            memory_mb: 1024,
            disk_gb: None,
            provisioning: Provisioning::default(),
            guest_id: ANY_GUEST.to_owned(),
            firmware: None,
            pool: None,
            host: None,
            datastore: None,
            network: None,
        }
    }
}

/// A VM that is to be made: one CPU and 1 GiB of memory, without disk and adapter, by default. It has a
/// paravirtual SCSI controller.
///
/// Where its pool, host or datastore is not given, one is chosen as [`placement`](crate::placement) says.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::{Datastore, Folder, HostSystem, ResourcePool};
/// use vsphere_ops::vm::{CreateVm, Firmware};
///
/// let new: CreateVm = client.get::<Folder>("/fra1/vm/prod").await?.create_vm("pg-03");
/// let new = new.guest_id("rhel9_64Guest").firmware(Firmware::Efi).disk_gb(200).thick();
/// let new = new.pool(&client.get::<ResourcePool>("/fra1/host/prod-cluster/Resources").await?);
/// let new = new.host(&client.get::<HostSystem>("esx-01.corp.example").await?);
/// let task = new.datastore(&client.get::<Datastore>("nvme-01").await?).start().await?;
/// println!("{} is made", task.await?.id());
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is made before it is started"]
pub struct CreateVm {
    folder: Mo<Folder>,
    name: String,
    cpus: i32,
    memory_mb: i64,
    disk_gb: Option<i64>,
    provisioning: Provisioning,
    guest_id: String,
    firmware: Option<Firmware>,
    pool: Option<Mo<ResourcePool>>,
    host: Option<Mo<HostSystem>>,
    datastore: Option<Mo<Datastore>>,
    network: Option<Mo<Network>>,
}

impl CreateVm {
    /// Virtual CPUs.
    pub fn cpus(self, cpus: i32) -> Self {
        Self { cpus, ..self }
    }

    /// Memory in MiB.
    pub fn memory_mb(self, memory_mb: i64) -> Self {
        Self { memory_mb, ..self }
    }

    /// A disk of so many GiB, whose space is taken as the guest writes.
    pub fn disk_gb(self, gb: i64) -> Self {
        Self { disk_gb: Some(gb), ..self }
    }

    /// The space of the disk is taken at once.
    pub fn thick(self) -> Self {
        Self { provisioning: Provisioning::Thick, ..self }
    }

    /// The guest operating system, as vSphere calls it: `ubuntu64Guest`.
    pub fn guest_id(self, guest_id: &str) -> Self {
        Self { guest_id: guest_id.to_owned(), ..self }
    }

    /// What starts the guest operating system; by default, what vSphere uses for the guest.
    pub fn firmware(self, firmware: Firmware) -> Self {
        Self { firmware: Some(firmware), ..self }
    }

    /// The resource pool.
    pub fn pool(self, pool: &Mo<ResourcePool>) -> Self {
        Self { pool: Some(pool.clone()), ..self }
    }

    /// The host, where vSphere is not to choose it.
    pub fn host(self, host: &Mo<HostSystem>) -> Self {
        Self { host: Some(host.clone()), ..self }
    }

    /// The datastore.
    pub fn datastore(self, datastore: &Mo<Datastore>) -> Self {
        Self { datastore: Some(datastore.clone()), ..self }
    }

    /// A network adapter (vmxnet3) on this network, which may be a distributed port group or an opaque one, too.
    pub fn network(self, network: &Mo<Network>) -> Self {
        Self { network: Some(network.clone()), ..self }
    }

    /// Starts to make it.
    ///
    /// # Errors
    /// `invalid_argument` for a name that no VM can have, those of [`Placement::find`], and, at the latest from the task, the
    /// faults `InvalidArgument` for a size or guest that the server refuses, `DuplicateName`, `NoDiskSpace` and others.
    pub async fn start(self) -> Result<Task<Mo<VirtualMachine>>> {
        let escaped = checked_name(OPERATION, &self.name)?;
        if let Some(gb) = self.disk_gb.filter(|gb| !(1..=LARGEST_DISK).contains(gb)) {
            let text = format!("a disk has 1 to {LARGEST_DISK} GiB, and not {gb}");
            return Err(invalid(OPERATION, text).on(&self.name));
        }
        let (pool, datastore) = match (&self.pool, &self.datastore) {
            (Some(pool), Some(datastore)) => (pool.clone(), datastore.clone()),
            _ => {
                let place = self.placement().find(self.folder.client()).await?;
                (place.pool, place.datastore)
            }
        };
        let spec = VirtualMachineConfigSpec {
            name: Some(escaped),
            guest_id: Some(self.guest_id.clone()),
            num_cpus: Some(self.cpus),
            memory_mb: Some(self.memory_mb),
            firmware: self.firmware.map(|firmware| firmware.name().to_owned()),
            files: Some(Box::new(VirtualMachineFileInfo {
                vm_path_name: Some(format!("[{}]", name_on_server(&datastore).await?)),
                ..Default::default()
            })),
            device_change: self.devices().await?,
            ..Default::default()
        };
        let host = self.host.as_ref().map(Mo::reference);
        let request = self.folder.create_vm_task(&spec, pool.reference(), host);
        task::start_for(self.folder.client(), OPERATION, &self.name, request).await
    }

    fn placement(&self) -> Placement {
        let id = |reference: &ManagedObjectReference| reference.to_string();
        Placement {
            folder: Some(id(self.folder.reference())),
            pool: self.pool.as_ref().map(|pool| id(pool.reference())),
            host: self.host.as_ref().map(|host| id(host.reference())),
            datastore: self.datastore.as_ref().map(|datastore| id(datastore.reference())),
            ..Default::default()
        }
    }

    async fn devices(&self) -> Result<Vec<Poly<VirtualDeviceConfigSpec>>> {
        let mut changes = vec![device::add(controller())];
        if let Some(gb) = self.disk_gb {
            let mut change = device::add(disk(gb, self.provisioning));
            change.file_operation = Some(VirtualDeviceConfigSpecFileOperation::Create);
            changes.push(change);
        }
        if let Some(network) = &self.network {
            changes.push(device::add(adapter(Outlet::of(network).await?.backing)));
        }
        Ok(changes.into_iter().map(Poly::new).collect())
    }
}

/// The name of a datastore as the server writes it in paths.
async fn name_on_server(datastore: &Mo<Datastore>) -> Result<String> {
    datastore.read(datastore::NAME).await
}

fn controller() -> Poly<VirtualDevice> {
    let mut controller = ParaVirtualSCSIController::default();
    controller.key = CONTROLLER;
    controller.shared_bus = VirtualSCSISharing::NoSharing;
    Poly::new(controller)
}

fn disk(gb: i64, provisioning: Provisioning) -> Poly<VirtualDevice> {
    let mut backing = VirtualDiskFlatVer2BackingInfo {
        disk_mode: VirtualDiskMode::Persistent.as_str().to_owned(),
        thin_provisioned: Some(provisioning == Provisioning::Thin),
        eagerly_scrub: (provisioning == Provisioning::Eager).then_some(true),
        ..Default::default()
    };
    // An empty name: beside the VM's other files.
    backing.file_name = String::new();
    let mut disk = VirtualDisk { capacity_in_kb: gb << 20, ..Default::default() };
    disk.key = DISK;
    disk.controller_key = Some(CONTROLLER);
    disk.unit_number = Some(0);
    disk.backing = Some(Poly::new(backing));
    Poly::new(disk)
}

fn adapter(backing: Poly<VirtualDeviceBackingInfo>) -> Poly<VirtualDevice> {
    let mut adapter = VirtualVmxnet3::default();
    adapter.key = ADAPTER;
    adapter.backing = Some(backing);
    let connected = VirtualDeviceConnectInfo {
        start_connected: true,
        allow_guest_control: true,
        connected: true,
        ..Default::default()
    };
    adapter.connectable = Some(Box::new(connected));
    adapter.wake_on_lan_enabled = Some(true);
    Poly::new(adapter)
}

/// A VM that is to be made, in names.
///
/// ```
/// use vsphere_ops::placement::Placement;
/// use vsphere_ops::vm::NewVm;
///
/// let placement = Placement { folder: Some("/fra1/vm/prod".into()), ..Default::default() };
/// let vm = NewVm { name: "web-42".into(), network: Some("dmz".into()), placement, ..Default::default() };
/// assert_eq!((vm.cpu, vm.memory_mb, vm.disk_gb), (2, 4096, 20));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVm {
    /// The name, unique in its folder.
    pub name: String,
    /// Virtual CPUs.
    pub cpu: i32,
    /// Memory in MiB.
    pub memory_mb: i64,
    /// The size of its disk in GiB.
    pub disk_gb: i64,
    /// How the space of the disk is taken.
    pub provisioning: Provisioning,
    /// The guest operating system, as vSphere calls it.
    pub guest_id: String,
    /// What starts it; by default, what vSphere uses for the guest.
    pub firmware: Option<Firmware>,
    /// The network of its adapter: name, path or id.
    pub network: Option<String>,
    /// Where it goes.
    pub placement: Placement,
}

impl Default for NewVm {
    fn default() -> Self {
        Self {
            name: String::new(),
            cpu: 2,
            memory_mb: 4096,
            disk_gb: 20,
            provisioning: Provisioning::default(),
            guest_id: ANY_GUEST.to_owned(),
            firmware: None,
            network: None,
            placement: Placement::default(),
        }
    }
}

/// Makes a VM with a disk and a network adapter, and waits until it is there. It is off.
///
/// Where nothing is said of the network, the adapter gets the one that [`placement`](crate::placement) says; where there is
/// no network, there is no adapter.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::placement::Placement;
/// use vsphere_ops::vm::{self, NewVm};
///
/// let placement = Placement { host: Some("esx-01.corp.example".into()), ..Default::default() };
/// let new = NewVm { name: "web-05".into(), disk_gb: 40, placement, ..Default::default() };
/// let made = vm::create(&client, &new).await?;
/// println!("{} on {:?}", made.path, made.host);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// The errors of [`CreateVm::start`] and of [`Place::network`](crate::placement::Place::network).
pub async fn create(client: &Client, new: &NewVm) -> Result<VmReport> {
    checked_name(OPERATION, &new.name)?;
    let place = new.placement.find(client).await?;
    let network = place.network_for(new.network.as_deref(), new.placement.defaults.network.as_deref()).await?;
    let mut wanted = place.folder.create_vm(&new.name).cpus(new.cpu).memory_mb(new.memory_mb).disk_gb(new.disk_gb);
    wanted = wanted.guest_id(&new.guest_id).pool(&place.pool).datastore(&place.datastore);
    wanted.provisioning = new.provisioning;
    wanted.firmware = new.firmware;
    wanted.host.clone_from(&place.host);
    let mut choices = place.choices.clone();
    if let Some((network, why)) = network {
        choices.push(Choice::of(Part::Network, &network, why));
        wanted.network = Some(network);
    }
    let made = async { wanted.start().await?.await };
    match made.await {
        Ok(machine) => Ok(VmReport { placement: choices, ..report(&machine, true).await? }),
        Err(error) => Err(place.or_hosts(error).await?),
    }
}
