//! VMs made after others: full and linked clones, of VMs and of templates.

use std::time::Duration;

use vsphere_model::managed::{
    CustomizationSpecManager, Datastore, Folder, HostSystem, ResourcePool, VirtualMachine, VirtualMachineSnapshot,
    customization_spec_manager as customizations, virtual_machine as vm,
};
use vsphere_model::types::{
    CustomizationSpec, ManagedObjectReference, Poly, VirtualDisk, VirtualEthernetCard, VirtualMachineCloneSpec,
    VirtualMachinePowerState, VirtualMachineRelocateDiskMoveOptions, VirtualMachineRelocateSpec,
    VirtualMachineRelocateSpecDiskLocator,
};
use vsphere_soap::request::ManagedObject;

use super::create::Provisioning;
use super::names::checked_name;
use super::report::{VmReport, report};
use crate::client::Client;
use crate::customization::Identity;
use crate::datastore_path::DatastorePath;
use crate::device::Devices;
use crate::error::{Circumstance, Error, ErrorKind, Result, invalid};
use crate::find;
use crate::migration::backing;
use crate::mo::Mo;
use crate::name;
use crate::placement::{Near, Place, Placement, datacenter_of};
use crate::task::{self, Task};

const OPERATION: &str = "clone";

/// How long a source may be busy with others: each of its clones copies its disks.
const SOURCE_BUSY: Duration = Duration::from_secs(60 * 60);

impl Mo<VirtualMachine> {
    /// A clone of this machine or template under another name; nothing is sent before [`CloneVm::start`].
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{Datastore, Folder, VirtualMachine};
    ///
    /// let golden = client.get::<VirtualMachine>("tpl-ubuntu-24.04").await?;
    /// let prod = client.get::<Folder>("/fra1/vm/prod").await?;
    /// let nvme = client.get::<Datastore>("nvme-01").await?;
    /// let web = golden.clone_to("web-05").folder(&prod).datastore(&nvme).power_on()
    ///     .start().await?
    ///     .on_progress(|progress| println!("{} %", progress.percent)).await?;
    /// println!("{web} runs");
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn clone_to(&self, name: &str) -> CloneVm {
        CloneVm {
            source: self.clone(),
            name: name.to_owned(),
            folder: None,
            pool: None,
            host: None,
            datastore: None,
            snapshot: None,
            linked: false,
            customization: None,
            provisioning: None,
            power_on: false,
        }
    }
}

/// A clone that is to be made: a full one with disks of its own, that is off, by default.
///
/// Without more it is where its source is: in its folder, in its pool, in its datastore if that has room. The whole rule is in
/// [`placement`](crate::placement).
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::{HostSystem, ResourcePool, VirtualMachine};
/// use vsphere_ops::vm::CloneVm;
///
/// let base = client.get::<VirtualMachine>("erp-app-01").await?;
/// let clone: CloneVm = base.clone_to("erp-test").linked();
/// let clone = clone.pool(&client.get::<ResourcePool>("/fra1/host/prod-cluster/Resources").await?);
/// let clone = clone.host(&client.get::<HostSystem>("esx-01.corp.example").await?);
/// let test = clone.start().await?.await?;
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is made before it is started"]
pub struct CloneVm {
    source: Mo<VirtualMachine>,
    name: String,
    folder: Option<Mo<Folder>>,
    pool: Option<Mo<ResourcePool>>,
    host: Option<Mo<HostSystem>>,
    datastore: Option<Mo<Datastore>>,
    snapshot: Option<Mo<VirtualMachineSnapshot>>,
    linked: bool,
    customization: Option<Customization>,
    provisioning: Option<Provisioning>,
    power_on: bool,
}

impl CloneVm {
    /// The folder.
    pub fn folder(self, folder: &Mo<Folder>) -> Self {
        Self { folder: Some(folder.clone()), ..self }
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

    /// As the VM was at this snapshot.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let base = client.get::<VirtualMachine>("erp-app-01").await?;
    /// let before = base.snapshot("before hotfix 3").await?;
    /// let test = base.clone_to("erp-test").snapshot(&before).linked().start().await?.await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn snapshot(self, snapshot: &Mo<VirtualMachineSnapshot>) -> Self {
        Self { snapshot: Some(snapshot.clone()), ..self }
    }

    /// Its disks hold only what differs from those of the VM's snapshot: the current one, by default.
    pub fn linked(self) -> Self {
        Self { linked: true, ..self }
    }

    /// The guest is made different by the customization specification that vCenter keeps under this name.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let golden = client.get::<VirtualMachine>("tpl-ubuntu-24.04").await?;
    /// let web = golden.clone_to("web-05").customized_by("linux").power_on(); // nothing is sent yet
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn customized_by(self, name: &str) -> Self {
        Self { customization: Some(Customization::Kept(name.to_owned())), ..self }
    }

    /// The guest gets this host name and address.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::customization::Identity;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let golden = client.get::<VirtualMachine>("tpl-ubuntu-24.04").await?;
    /// let address = Identity { address: Some("10.1.20.31/24".into()), ..Identity::named("web-05") };
    /// let web = golden.clone_to("web-05").identified_by(address).start().await?.await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn identified_by(self, identity: Identity) -> Self {
        Self { customization: Some(Customization::Identity(identity)), ..self }
    }

    /// The space of its disks is taken in this way, and not as in the source.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    /// use vsphere_ops::vm::Provisioning;
    ///
    /// let golden = client.get::<VirtualMachine>("tpl-ubuntu-24.04").await?;
    /// let db = golden.clone_to("db-09").provisioning(Provisioning::Eager).start().await?.await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn provisioning(self, provisioning: Provisioning) -> Self {
        Self { provisioning: Some(provisioning), ..self }
    }

    /// It is powered on when it is made.
    pub fn power_on(self) -> Self {
        Self { power_on: true, ..self }
    }

    /// Starts to make it.
    ///
    /// # Errors
    /// `unsupported` on an ESXi host; `invalid_argument` for a linked clone of a VM without snapshots; `not_found` for
    /// a customization that is not there; those of [`Placement::find`]; and, at the latest from the task, the faults
    /// `DuplicateName`, `NoDiskSpace` and others.
    pub async fn start(self) -> Result<Task<Mo<VirtualMachine>>> {
        let placement = Placement::default();
        self.start_at(&self.place(&placement).await?).await
    }

    async fn start_at(&self, place: &Place) -> Result<Task<Mo<VirtualMachine>>> {
        let client = self.source.client();
        let name = checked_name(OPERATION, &self.name)?;
        let stays = self.pool.is_none() && place.host.is_none();
        let pool = match stays {
            // Without DRS a clone stays on its source's host only where no pool is named.
            true => self.source.read(vm::RESOURCE_POOL).await?.filter(|pool| pool == place.pool.reference()),
            false => None,
        };
        let move_type = VirtualMachineRelocateDiskMoveOptions::CreateNewChildDiskBacking.as_str();
        let location = VirtualMachineRelocateSpec {
            datastore: Some(place.datastore.reference().clone()),
            pool: pool.is_none().then(|| place.pool.reference().clone()),
            host: place.host.as_ref().map(|host| host.reference().clone()),
            disk_move_type: self.linked.then(|| move_type.to_owned()),
            disk: self.disks(place.datastore.reference()).await?,
            ..Default::default()
        };
        let customization = match &self.customization {
            Some(Customization::Kept(name)) => Some(Box::new(kept(client, name).await?)),
            Some(Customization::Identity(identity)) => Some(Box::new(self.identified(identity).await?)),
            None => None,
        };
        let spec = VirtualMachineCloneSpec {
            location,
            power_on: self.power_on,
            snapshot: self.needed_snapshot().await?,
            customization,
            ..Default::default()
        };
        let request = self.source.clone_vm_task(place.folder.reference(), &name, &spec);
        let target = format!("{} to {}", self.source.label(), self.name);
        task::start_for(client, OPERATION, &target, request).await
    }

    /// How its disks are stored, where not as in the source.
    async fn disks(&self, datastore: &ManagedObjectReference) -> Result<Vec<VirtualMachineRelocateSpecDiskLocator>> {
        let Some(wanted) = self.provisioning else { return Ok(Vec::new()) };
        if self.linked {
            let text = "the disks of a linked clone stand on those of its source, and are stored as these are";
            return Err(invalid(OPERATION, text).on(self.source.label()));
        }
        let devices = Devices::read(&self.source).await?;
        let locators = devices.of::<VirtualDisk>().map(|(_, disk)| VirtualMachineRelocateSpecDiskLocator {
            disk_id: disk.key,
            datastore: datastore.clone(),
            disk_backing_info: Some(Poly::new(backing(disk, wanted))),
            ..Default::default()
        });
        Ok(locators.collect())
    }

    async fn identified(&self, identity: &Identity) -> Result<CustomizationSpec> {
        let devices = Devices::read(&self.source).await?;
        let adapters = devices.of::<VirtualEthernetCard>().count();
        identity.spec(&self.name, &devices.config.guest_id, adapters)
    }

    /// The snapshot that is cloned, which a linked clone must have.
    async fn needed_snapshot(&self) -> Result<Option<ManagedObjectReference>> {
        let current = match &self.snapshot {
            None if self.linked => self.source.current_snapshot().await?,
            _ => self.snapshot.clone(),
        };
        if self.linked && current.is_none() {
            let text = "a linked clone stands on a snapshot, and it has none";
            let error = invalid(OPERATION, text).on(self.source.label());
            return Err(error.with_circumstance(Circumstance::NoSnapshot));
        }
        Ok(current.map(|snapshot| snapshot.reference().clone()))
    }

    /// Where it goes: as the builder was told, else as `asked` says, else near the source.
    async fn place(&self, asked: &Placement) -> Result<Place> {
        fn or<M: ManagedObject>(given: Option<&Mo<M>>, asked: &Option<String>) -> Option<String> {
            given.map(|object| object.reference().to_string()).or_else(|| asked.clone())
        }
        let client = self.source.client();
        client.require_vcenter(OPERATION)?;
        let placement = Placement {
            folder: or(self.folder.as_ref(), &asked.folder),
            pool: or(self.pool.as_ref(), &asked.pool),
            host: or(self.host.as_ref(), &asked.host),
            datastore: or(self.datastore.as_ref(), &asked.datastore),
            defaults: asked.defaults.clone(),
        };
        let near = near(&self.source).await?;
        // The disks of a linked clone stand on those of the source, and take next to nothing at first.
        let near = if self.linked { Near { bytes: 0, shares: true, ..near } } else { near };
        placement.find_near(client, Some(near)).await
    }
}

/// Where a VM is, for those that are made after it.
pub(super) async fn near(source: &Mo<VirtualMachine>) -> Result<Near> {
    let properties =
        (vm::RESOURCE_POOL, vm::HOST, vm::PARENT, vm::DATASTORE, vm::STORAGE_COMMITTED, vm::VM_PATH_NAME.optional());
    let (pool, host, folder, datastores, storage, path) = source.read(properties).await?;
    let client = source.client();
    Ok(Near {
        datacenter: datacenter_of(client, source.reference()).await?,
        folder: folder.filter(|folder| folder.type_ == "Folder"),
        pool,
        host,
        datastore: home(client, datastores, path.as_deref()).await?,
        bytes: storage.map(|storage| storage.committed).unwrap_or_default(),
        shares: false,
    })
}

/// Which of its datastores has the configuration of a VM.
pub(crate) async fn home(
    client: &Client,
    datastores: Vec<ManagedObjectReference>,
    path: Option<&str>,
) -> Result<Option<ManagedObjectReference>> {
    if let [only] = datastores.as_slice() {
        return Ok(Some(only.clone()));
    }
    let path: Option<DatastorePath> = path.and_then(|path| path.parse().ok());
    let Some(path) = path else { return Ok(None) };
    let names = find::names(client, datastores.iter().cloned()).await?;
    let is_home = |datastore: &&ManagedObjectReference| {
        names.get(&datastore.value).is_some_and(|name| *name == name::decode(path.datastore()))
    };
    Ok(datastores.iter().find(is_home).cloned())
}

/// The customization specification that vCenter keeps under a name.
async fn kept(client: &Client, name: &str) -> Result<CustomizationSpec> {
    const READ: &str = "read the customization specification";
    let manager =
        client.manager("customization specifications", client.content().customization_spec_manager.as_ref())?;
    let manager: Mo<CustomizationSpecManager> = Mo::new(client, manager, None);
    match manager.get_customization_spec(name).await.map_err(Error::from) {
        Ok(item) => Ok(item.spec),
        Err(error) if error.is_fault("NotFound") => {
            let known = manager.read(customizations::INFO).await?;
            let known: Vec<&str> = known.iter().map(|info| info.name.as_str()).collect();
            let text = match known.as_slice() {
                [] => "vCenter keeps none".to_owned(),
                known => format!("vCenter keeps none of this name, only {}", known.join(", ")),
            };
            Err(Error::new(READ, ErrorKind::NotFound(text)).on(name))
        }
        Err(error) => Err(error.in_operation(READ).on(name)),
    }
}

/// A clone that is to be made, in names.
///
/// ```
/// use vsphere_ops::vm::{CloneKind, NewClone};
///
/// let test = NewClone { name: "test-1".into(), kind: CloneKind::Linked, ..NewClone::of("base") };
/// assert_eq!(test.source, "base");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClone {
    /// The VM or template that is cloned: name, path or id.
    pub source: String,
    /// The name of the clone, unique in its folder.
    pub name: String,
    /// What becomes of the disks.
    pub kind: CloneKind,
    /// The snapshot that is cloned: name, path or id. Without it, the VM as it is, and for a linked clone the current
    /// snapshot.
    pub snapshot: Option<String>,
    /// How its guest is made different.
    pub customization: Option<Customization>,
    /// How the space of its disks is taken, where not as in the source.
    pub provisioning: Option<Provisioning>,
    /// Whether it is powered on then.
    pub start: Start,
    /// Where it goes.
    pub placement: Placement,
}

/// How the guest of a clone is made different from that of its source.
///
/// ```
/// use vsphere_ops::customization::Identity;
/// use vsphere_ops::vm::{Customization, NewClone};
///
/// let web = NewClone { customization: Some(Customization::Kept("linux".into())), ..NewClone::of("tpl-ubuntu-24.04") };
/// let db = NewClone { customization: Some(Customization::Identity(Identity::named("db-09"))), ..web };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Customization {
    /// By the customization specification that vCenter keeps under this name.
    Kept(String),
    /// By this host name and address.
    Identity(Identity),
}

/// What becomes of the disks of a VM that is cloned.
///
/// ```
/// use vsphere_ops::vm::{CloneKind, NewClone};
///
/// let test = NewClone { kind: CloneKind::Linked, snapshot: Some("installed".into()), ..NewClone::of("base") };
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CloneKind {
    /// They are copied.
    #[default]
    Full,
    /// The clone's stand on those of a snapshot, and hold what differs.
    Linked,
}

/// Whether a VM is powered on once it is made.
///
/// ```
/// use vsphere_ops::vm::{NewClone, Start};
///
/// let web = NewClone { start: Start::On, ..NewClone::of("tpl-ubuntu-24.04") };
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// It stays off.
    #[default]
    Off,
    /// It is powered on.
    On,
}

impl NewClone {
    /// A full clone of the VM or template with this name, path or id, which has no name yet.
    pub fn of(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            name: String::new(),
            kind: CloneKind::default(),
            snapshot: None,
            customization: None,
            provisioning: None,
            start: Start::default(),
            placement: Placement::default(),
        }
    }
}

/// Clones a VM or template, and waits until the clone is there.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::vm::{self, NewClone, Start};
///
/// let web = NewClone { name: "web-05".into(), start: Start::On, ..NewClone::of("tpl-ubuntu-24.04") };
/// println!("{} runs on {:?}", web.name, vm::clone(&client, &web).await?.host);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// The errors of [`CloneVm::start`], and `not_found` or `ambiguous` if not exactly one source or snapshot matches.
pub async fn clone(client: &Client, new: &NewClone) -> Result<VmReport> {
    make(client.get::<VirtualMachine>(&new.source).await?, new).await
}

/// As [`clone`], and only of a template.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::vm::{self, NewClone};
///
/// let web = vm::deploy(&client, &NewClone { name: "web-05".into(), ..NewClone::of("tpl-ubuntu-24.04") }).await?;
/// println!("{} is off still: {}", web.path, web.power_state);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// The errors of [`clone`], and `invalid_argument` if the source is no template.
pub async fn deploy(client: &Client, new: &NewClone) -> Result<VmReport> {
    let source = client.get::<VirtualMachine>(&new.source).await?;
    if !source.read(vm::IS_TEMPLATE).await? {
        let error = invalid("deploy from the template", "it is a VM and not a template").on(&new.source);
        return Err(error.with_circumstance(Circumstance::NotATemplate));
    }
    make(source, new).await
}

async fn make(source: Mo<VirtualMachine>, new: &NewClone) -> Result<VmReport> {
    checked_name(OPERATION, &new.name)?;
    let mut clone = source.clone_to(&new.name);
    clone.linked = new.kind == CloneKind::Linked;
    clone.power_on = new.start == Start::On;
    clone.customization.clone_from(&new.customization);
    clone.provisioning = new.provisioning;
    if let Some(what) = &new.snapshot {
        clone.snapshot = Some(source.snapshot(what).await?);
    }
    // What is missing is told before anything is looked for.
    clone.needed_snapshot().await?;
    let place = clone.place(&new.placement).await?;
    // Several clones of one source may be made one after another only.
    let made = source.client().retry_while_busy(SOURCE_BUSY, || {
        let (clone, place) = (clone.clone(), &place);
        async move { clone.start_at(place).await?.await }
    });
    match made.await {
        Ok(machine) => {
            let choices = place.choices;
            // Not every server powers a clone on by itself.
            if clone.power_on && machine.read(vm::POWER_STATE).await? != VirtualMachinePowerState::PoweredOn {
                let on = async { machine.power_on().await?.await };
                let made = Circumstance::Created(machine.reference().clone());
                on.await.map_err(|error| error.with_circumstance(made))?;
            }
            Ok(VmReport { placement: choices, ..report(&machine, true).await? })
        }
        Err(error) => Err(place.or_hosts(error).await?),
    }
}
