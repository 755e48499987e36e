//! A folder that is deleted, with what becomes of the VMs in it; and what would be lost by that.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use vsphere_model::managed::{Folder, VirtualMachine, folder, virtual_machine as vm};
use vsphere_model::types::{
    ManagedObjectReference, VirtualMachineConfigInfo, VirtualMachinePowerState, VirtualMachineSnapshotInfo,
    VirtualMachineSnapshotTree, VirtualMachineStorageSummary,
};

use super::FolderKind;
use crate::client::Client;
use crate::device::Contents;
use crate::error::{Circumstance, Error, ErrorKind, Result};
use crate::find::{self, Ancestry, label, name_of};
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::named::Named;
use crate::read::Values;
use crate::task::{self, BUSY};
use crate::vm::{CLONES, VmDisk, clones_of, disk, optional};

const OPERATION: &str = "delete the folder";

/// How many VMs are deleted, or looked at one by one, at a time.
const AT_ONCE: usize = 4;

/// How many objects an error names.
const NAMED: usize = 50;

/// What becomes of the VMs and templates below a folder that is deleted.
///
/// ```
/// use vsphere_ops::folder::VmsBelow;
///
/// assert_eq!(VmsBelow::default(), VmsBelow::Refused);
/// assert_eq!(serde_json::from_str::<VmsBelow>(r#""unregister""#).unwrap(), VmsBelow::Unregistered);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum VmsBelow {
    /// There must be none.
    #[default]
    #[serde(rename = "refuse")]
    Refused,
    /// They are taken out of the inventory, and their files stay.
    #[serde(rename = "unregister")]
    Unregistered,
    /// They are deleted with their disks.
    #[serde(rename = "destroy")]
    Destroyed,
}

/// A plan to delete a folder with the folders below it, and what would be lost by that.
///
/// ```
/// use vsphere_ops::folder::FolderDeletion;
///
/// fn disks(deletion: &FolderDeletion) -> usize {
///     deletion.vms.iter().map(|vm| vm.disks.len()).sum()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is deleted before it is carried out"]
pub struct FolderDeletion {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// What it is for.
    #[serde(rename = "type")]
    pub type_: FolderKind,
    /// The folders below it, which go with it.
    pub folders: Vec<BelowFolder>,
    /// What becomes of the VMs.
    pub vms_are: VmsBelow,
    /// The VMs and templates below it.
    pub vms: Vec<DoomedVm>,
    /// What could not be measured, and why: it may be lost all the same.
    #[serde(flatten)]
    pub gaps: Gaps,
    #[serde(skip)]
    folder: Mo<Folder>,
}

/// A folder below one that is deleted.
///
/// ```
/// use vsphere_ops::folder::{BelowFolder, FolderDeletion};
///
/// fn is_below(deletion: &FolderDeletion, id: &str) -> bool {
///     deletion.folders.iter().any(|folder: &BelowFolder| folder.id == id)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BelowFolder {
    /// The inventory path.
    pub path: String,
    /// The managed object id.
    pub id: String,
}

/// A VM or template below a folder that is deleted.
///
/// ```
/// use vsphere_ops::folder::DoomedVm;
///
/// fn bytes(vm: &DoomedVm) -> i64 {
///     vm.disks.iter().map(|disk| disk.capacity.bytes()).sum()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
pub struct DoomedVm {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// Whether it is a template.
    pub template: bool,
    /// The state.
    #[serde(serialize_with = "crate::words::state")]
    pub power_state: VirtualMachinePowerState,
    /// The virtual disks.
    pub disks: Vec<VmDisk>,
    /// How many snapshots it has.
    pub snapshots: usize,
    /// Storage in use, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_used_bytes: Option<i64>,
    /// The names of VMs elsewhere whose disks stand on its own: linked clones, which would be broken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub linked_clones: Vec<String>,
    #[serde(skip)]
    machine: Mo<VirtualMachine>,
    #[serde(skip)]
    contents: Contents,
}

impl DoomedVm {
    /// The version of its configuration that was seen.
    pub fn change_version(&self) -> &str {
        self.contents.version()
    }
}

/// A folder that was deleted; or not, where not all of its VMs could go.
///
/// ```
/// use vsphere_ops::folder::DeletedFolder;
///
/// fn left(folder: &DeletedFolder) -> Vec<&str> {
///     folder.vms.iter().filter(|vm| vm.error.is_some()).map(|vm| vm.path.as_str()).collect()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeletedFolder {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// Whether the folder is gone. It stays where a VM could not go, or something was put into it meanwhile.
    pub folder_deleted: bool,
    /// Why it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_because: Option<String>,
    /// How many folders below it went with it.
    pub folders: usize,
    /// What became of its VMs and templates, unless `error` says otherwise.
    pub vms_were: VmsBelow,
    /// The VMs and templates that were below it.
    pub vms: Vec<GoneVm>,
    /// How many of them could not go.
    pub failed: usize,
    /// Whether anything is gone.
    pub changed: bool,
}

/// A VM that went with its folder, or could not.
///
/// ```
/// use vsphere_ops::folder::GoneVm;
///
/// fn line(vm: &GoneVm) -> String {
///     format!("{}: {}", vm.path, vm.error.as_ref().map_or("gone".to_owned(), ToString::to_string))
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GoneVm {
    /// The inventory path that it had.
    pub path: String,
    /// The managed object id that it had.
    pub id: String,
    /// Why it is still there.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub error: Option<Error>,
}

fn text<S: serde::Serializer>(error: &Option<Error>, to: S) -> std::result::Result<S::Ok, S::Error> {
    error.as_ref().map(ToString::to_string).serialize(to)
}

impl Mo<Folder> {
    /// Plans to delete the folder with the folders below it, and measures what would be lost. Of the other objects only VMs
    /// and templates may be in them: clusters, hosts, datastores and networks are not removed by this.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::folder::{self, VmsBelow};
    ///
    /// let templates = folder::find(&client, "templates").await?;
    /// let refused = templates.deletion(VmsBelow::Refused).await.unwrap_err();
    /// assert!(refused.to_string().contains("3 VMs and templates are in it"), "{refused}");
    /// let deletion = templates.deletion(VmsBelow::Destroyed).await?;
    /// println!("{:?}", deletion.vms.iter().map(|vm| (&vm.path, vm.change_version())).collect::<Vec<_>>());
    /// assert!(deletion.carry_out().await?.folder_deleted);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `unsupported` for the folders that each datacenter has; `invalid_state`, with the names of what stands in the way: VMs
    /// that run, any where `vms` says `Refused`, and all that is no VM; and those of the server.
    pub async fn deletion(&self, vms: VmsBelow) -> Result<FolderDeletion> {
        let planned = async {
            let (parent, child_types) = self.read((folder::PARENT, folder::CHILD_TYPE)).await?;
            let (parent, type_) = (parent.as_ref(), FolderKind::of(&child_types));
            if self.reference().type_ != "Folder" || parent.is_none_or(|parent| parent.type_ != "Folder") {
                let text = "it is one of those that vSphere itself makes, such as the four of each datacenter";
                return Err(Error::new(OPERATION, ErrorKind::Unsupported(text.to_owned())));
            }
            let below = Below::read(self).await?;
            if !below.others.is_empty() {
                return Err(stands("something else than VMs is in it", &below.others));
            }
            if vms == VmsBelow::Refused && !below.vms.is_empty() {
                let paths: Vec<String> = below.vms.iter().map(|(_, path)| path.clone()).collect();
                return Err(stands("VMs and templates are in it", &paths).with_circumstance(Circumstance::HoldsVms));
            }
            let (mut doomed, mut gaps) = read(self.client(), &below.vms).await?;
            let runs = |vm: &&DoomedVm| vm.power_state == VirtualMachinePowerState::PoweredOn;
            let running: Vec<String> = doomed.iter().filter(runs).map(|vm| vm.path.clone()).collect();
            if !running.is_empty() {
                let error = stands("VMs in it run, and must be off first", &running);
                return Err(error.with_circumstance(Circumstance::VmsRun));
            }
            if vms == VmsBelow::Destroyed {
                clones(&mut doomed, &mut gaps).await?;
            }
            Ok(FolderDeletion {
                name: self.label().to_owned(),
                id: self.id().to_owned(),
                path: self.path().await?,
                type_,
                folders: below.folders,
                vms_are: vms,
                vms: doomed,
                gaps,
                folder: self.clone(),
            })
        };
        planned.await.map_err(|error: Error| error.in_operation(OPERATION).on(self.label()))
    }
}

/// The error where something stands in the way.
fn stands(why: &str, what: &[String]) -> Error {
    let named = what.get(..NAMED).unwrap_or(what).join(", ");
    let more = what.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Error::new(OPERATION, ErrorKind::InvalidState(format!("{} {why}: {named}{more}", what.len())))
}

impl FolderDeletion {
    /// Deletes what was measured, by ids: first each VM, then the folder once nothing but folders is left in it. The API
    /// has one call for all of this, which would take whatever is there at that moment.
    ///
    /// Needs `Folder.Delete` on the folder and what it is in, and for the VMs `VirtualMachine.Inventory.Delete` or
    /// `VirtualMachine.Inventory.Unregister`.
    ///
    /// # Errors
    /// `changed` if there is something else below the folder than was measured, or a VM is not as it was: nothing is done
    /// then. That of the first VM where none could go, and those of the server.
    pub async fn carry_out(self) -> Result<DeletedFolder> {
        let named = |error: Error| error.in_operation(OPERATION).on(self.name.as_str());
        self.must_be_so().await.map_err(named)?;
        let mut vms: Vec<GoneVm> = Vec::with_capacity(self.vms.len());
        for some in self.vms.chunks(AT_ONCE) {
            vms.extend(join_all(some.iter().map(|vm| self.gone(vm))).await);
        }
        let failed = vms.iter().filter(|vm| vm.error.is_some()).count();
        if failed == vms.len()
            && let Some(error) = vms.iter().find_map(|vm| vm.error.clone())
        {
            return Err(error);
        }
        let kept_because = match failed {
            0 => self.remove_folder().await.err().map(|error| error.to_string()),
            _ => Some(format!("{failed} of its {} VMs are still there", vms.len())),
        };
        let folder_deleted = kept_because.is_none();
        if vms.is_empty()
            && let Some(why) = kept_because
        {
            return Err(named(Error::new(OPERATION, ErrorKind::Changed(why))));
        }
        Ok(DeletedFolder {
            name: self.name,
            id: self.id,
            path: self.path,
            folder_deleted,
            kept_because,
            folders: if folder_deleted { self.folders.len() } else { 0 },
            vms_were: self.vms_are,
            vms,
            failed,
            changed: true,
        })
    }

    /// Looks whether the same is below the folder, and each VM is as it was.
    async fn must_be_so(&self) -> Result<()> {
        let below = Below::read(&self.folder).await?;
        let (then, now) = (self.vms.iter().map(|vm| &vm.id), below.vms.iter().map(|(vm, _)| &vm.value));
        let same_vms = then.collect::<BTreeSet<_>>() == now.collect::<BTreeSet<_>>();
        if !same_vms || !self.has_only_its_folders(&below) {
            return Err(has_changed());
        }
        let (now, _) = read(self.folder.client(), &below.vms).await?;
        let same = now.len() == self.vms.len()
            && self.vms.iter().all(|then| {
                let now = now.iter().find(|now| now.id == then.id);
                now.is_some_and(|now| now.contents == then.contents && now.power_state == then.power_state)
            });
        if same { Ok(()) } else { Err(has_changed()) }
    }

    fn has_only_its_folders(&self, below: &Below) -> bool {
        let ids = |folders: &[BelowFolder]| folders.iter().map(|folder| folder.id.clone()).collect::<BTreeSet<_>>();
        below.others.is_empty() && ids(&below.folders) == ids(&self.folders)
    }

    async fn gone(&self, vm: &DoomedVm) -> GoneVm {
        GoneVm { path: vm.path.clone(), id: vm.id.clone(), error: self.remove(vm).await.err() }
    }

    async fn remove(&self, doomed: &DoomedVm) -> Result<()> {
        let DoomedVm { machine, contents, .. } = doomed;
        let done = machine.client().retry_while_busy(BUSY, || async move {
            contents.must_be_so(machine, OPERATION).await?;
            match self.vms_are {
                VmsBelow::Destroyed => machine.delete().await?.await,
                _ => Ok(machine.unregister_vm().await?),
            }
        });
        done.await.map_err(|error: Error| error.on(machine.label()))
    }

    async fn remove_folder(&self) -> Result<()> {
        let below = Below::read(&self.folder).await?;
        if !below.vms.is_empty() || !self.has_only_its_folders(&below) {
            let text = "something was put into it meanwhile".to_owned();
            return Err(Error::new(OPERATION, ErrorKind::Changed(text)).on(self.name.as_str()));
        }
        task::start::<(), _>(&self.folder, OPERATION, self.folder.destroy_task()).await?.await
    }
}

fn has_changed() -> Error {
    let text = "what is below it has changed since this was planned, so nothing was done";
    Error::new(OPERATION, ErrorKind::Changed(text.to_owned()))
}

/// What is below a folder.
struct Below {
    folders: Vec<BelowFolder>,
    /// VMs and templates with their paths.
    vms: Vec<(ManagedObjectReference, String)>,
    /// The paths of all else.
    others: Vec<String>,
}

impl Below {
    async fn read(of: &Mo<Folder>) -> Result<Self> {
        const KINDS: [&str; 8] = [
            "Folder",
            "VirtualMachine",
            "VirtualApp",
            "Datacenter",
            "ComputeResource",
            "Datastore",
            "Network",
            "DistributedVirtualSwitch",
        ];
        let client = of.client();
        let types = KINDS.map(|kind| (kind, ["name", "parent"].as_slice()));
        let objects = find::scan(client, Some(of.reference()), &types).await?;
        let references: Vec<ManagedObjectReference> = objects.iter().map(|content| content.obj.clone()).collect();
        // What is above the folder is not in its view.
        let ancestry = Ancestry::read(client, &references).await?;
        let mut below = Self { folders: Vec::new(), vms: Vec::new(), others: Vec::new() };
        for content in objects {
            let path = ancestry.path(&content.obj).or_else(|| name_of(&content)).unwrap_or_default();
            match content.obj.type_.as_str() {
                "Folder" => below.folders.push(BelowFolder { path, id: content.obj.value }),
                "VirtualMachine" => below.vms.push((content.obj, path)),
                _ => below.others.push(path),
            }
        }
        below.folders.sort_by(|a, b| a.path.cmp(&b.path));
        below.vms.sort_by(|(_, a), (_, b)| a.cmp(b));
        below.others.sort();
        Ok(below)
    }
}

/// Reads what would be lost with VMs, in their order.
async fn read(client: &Client, vms: &[(ManagedObjectReference, String)]) -> Result<(Vec<DoomedVm>, Gaps)> {
    const SHOWN: [&str; 5] =
        ["name", vm::POWER_STATE.path(), vm::CONFIG.path(), vm::SNAPSHOT.path(), vm::STORAGE_COMMITTED.path()];
    let details = find::details(client, vms.iter().map(|(vm, _)| vm.clone()), &SHOWN).await?;
    let gaps = Gaps::of(&details);
    let mut doomed = Vec::with_capacity(details.len());
    for content in details {
        let (reference, name) = (content.obj.clone(), label(&content));
        let mut values = Values::new(content.prop_set, content.missing_set);
        let config: Option<VirtualMachineConfigInfo> = optional(&mut values, vm::CONFIG.path());
        let snapshot: Option<VirtualMachineSnapshotInfo> = optional(&mut values, vm::SNAPSHOT.path());
        let storage: Option<VirtualMachineStorageSummary> = optional(&mut values, vm::STORAGE_COMMITTED.path());
        let devices = config.as_ref().map(|config| config.hardware.device.as_slice()).unwrap_or_default();
        let path = vms.iter().find(|(vm, _)| *vm == reference).map(|(_, path)| path.clone());
        doomed.push(DoomedVm {
            machine: Mo::new(client, &reference, Some(name.clone())),
            name,
            path: path.unwrap_or_default(),
            id: reference.value,
            template: config.as_ref().is_some_and(|config| config.template),
            power_state: optional(&mut values, vm::POWER_STATE.path()).unwrap_or_default(),
            disks: devices.iter().filter_map(disk).collect(),
            snapshots: snapshot.as_ref().map_or(0, |snapshot| count(&snapshot.root_snapshot_list)),
            storage_used_bytes: storage.map(|storage| storage.committed),
            linked_clones: Vec::new(),
            contents: Contents::of(config.as_ref(), snapshot.as_ref()),
        });
    }
    doomed.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((doomed, gaps))
}

fn count(trees: &[VirtualMachineSnapshotTree]) -> usize {
    trees.iter().map(|tree| 1 + count(&tree.child_snapshot_list)).sum()
}

/// Looks for linked clones that stand on the VMs with snapshots, and are not lost with them.
async fn clones(doomed: &mut [DoomedVm], gaps: &mut Gaps) -> Result<()> {
    let own: BTreeSet<String> = doomed.iter().map(|vm| vm.id.clone()).collect();
    let with_snapshots: Vec<Mo<VirtualMachine>> =
        doomed.iter().filter(|vm| vm.snapshots > 0).map(|vm| vm.machine.clone()).collect();
    let mut found = Vec::with_capacity(with_snapshots.len());
    for some in with_snapshots.chunks(AT_ONCE) {
        found.extend(join_all(some.iter().map(clones_on)).await);
    }
    for outcome in found {
        let (id, clones, unseen) = outcome?;
        if let Some(why) = unseen {
            gaps.lacks(CLONES, why);
        }
        if let Some(vm) = doomed.iter_mut().find(|vm| vm.id == id) {
            let others = clones.into_iter().filter(|clone| !own.contains(&clone.id));
            vm.linked_clones = others.map(|clone| clone.name).collect();
        }
    }
    Ok(())
}

async fn clones_on(machine: &Mo<VirtualMachine>) -> Result<(String, Vec<Named>, Option<String>)> {
    let (config, datastores) = machine.read((vm::CONFIG, vm::DATASTORE)).await?;
    let devices = config.as_ref().map(|config| config.hardware.device.as_slice()).unwrap_or_default();
    let (clones, unseen) = clones_of(machine, &datastores, devices).await?;
    Ok((machine.id().to_owned(), clones, unseen))
}
