//! The end of a VM, with its files; and what would be lost by it.

use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{
    ManagedObjectReference, Poly, VirtualDevice, VirtualDeviceFileBackingInfo, VirtualDisk, VirtualEthernetCard,
    VirtualMachineFileLayoutEx, VirtualMachinePowerState, VirtualMachineSnapshotTree,
};
use vsphere_soap::object::format_date_time;

use super::{VmDisk, info, optional};
use crate::device::{self, Contents};
use crate::error::{Error, ErrorKind, Result};
use crate::find::{self, label};
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::name;
use crate::named::Named;
use crate::power::changed;
use crate::read::Values;
use crate::task::{self, BUSY, Task};
use crate::untrusted::Untrusted;

const OPERATION: &str = "delete";

impl Mo<VirtualMachine> {
    /// Deletes the VM with its files. It must be off.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// client.get::<VirtualMachine>("web-04").await?.delete().await?.await
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The fault `InvalidPowerState` if it runs, and server errors.
    pub async fn delete(&self) -> Result<Task<()>> {
        task::start(self, OPERATION, self.destroy_task()).await
    }
}

/// A VM that was deleted.
///
/// ```
/// use vsphere_ops::vm::Deleted;
///
/// fn line(vm: &Deleted) -> String {
///     format!("{} ({}) is gone{}", vm.path, vm.id, if vm.powered_off { ", and was powered off for it" } else { "" })
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deleted {
    /// The name that it had.
    pub name: String,
    /// The managed object id that it had.
    pub id: String,
    /// The inventory path that it had.
    pub path: String,
    /// Whether it had to be powered off.
    pub powered_off: bool,
    /// Always, since it was there before.
    pub changed: bool,
}

/// A plan to delete a VM or template, with what would be lost by it.
///
/// ```
/// use vsphere_ops::vm::Deletion;
///
/// fn warning(vm: &Deletion) -> String {
///     let size: i64 = vm.disks.iter().map(|disk| disk.capacity.bytes()).sum();
///     format!("{} is {} and has {size} bytes and {} snapshots", vm.path, vm.power_state, vm.snapshots.len())
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is deleted before it is carried out"]
pub struct Deletion {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// Whether it is a template.
    pub template: bool,
    /// The state: one that runs would be powered off first.
    #[serde(serialize_with = "crate::words::state")]
    pub power_state: VirtualMachinePowerState,
    /// Seconds since it was powered on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_seconds: Option<i32>,
    /// When it was powered on, RFC 3339: another time is another run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booted: Option<String>,
    /// The guest operating system, in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_os: Option<Untrusted>,
    /// The virtual disks; the datastore of each is in its file's path.
    pub disks: Vec<VmDisk>,
    /// Storage in use, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_used_bytes: Option<i64>,
    /// The note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<Untrusted>,
    /// The network adapters.
    pub nics: Vec<LostNic>,
    /// The snapshots, each before its children.
    pub snapshots: Vec<LostSnapshot>,
    /// The names of other VMs whose disks stand on its own: linked clones, which would be broken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub linked_clones: Vec<String>,
    /// What could not be measured, and why: what is not known may be lost all the same.
    #[serde(flatten)]
    pub gaps: Gaps,
    #[serde(skip)]
    machine: Mo<VirtualMachine>,
    #[serde(skip)]
    contents: Contents,
}

/// A network adapter that goes with its VM.
///
/// ```
/// use vsphere_ops::vm::LostNic;
///
/// fn addresses(nics: &[LostNic]) -> Vec<&str> {
///     nics.iter().filter_map(|nic| nic.mac.as_deref()).collect()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LostNic {
    /// The label (`Network adapter 1`).
    pub label: String,
    /// The MAC address, by which others may know the VM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// A snapshot that goes with its VM.
///
/// ```
/// use vsphere_ops::vm::LostSnapshot;
///
/// fn oldest(snapshots: &[LostSnapshot]) -> Option<&str> {
///     snapshots.iter().min_by_key(|snapshot| &snapshot.created).map(|snapshot| snapshot.name.as_str())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LostSnapshot {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// When it was taken, RFC 3339.
    pub created: String,
}

impl Mo<VirtualMachine> {
    /// Plans to delete the VM or template with its files, and measures what would be lost.
    ///
    /// Linked clones are looked for where there are snapshots that they could stand on.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let deletion = client.get::<VirtualMachine>("/fra1/vm/prod/web/web-04").await?.deletion().await?;
    /// println!("{} disks, {} snapshots", deletion.disks.len(), deletion.snapshots.len());
    /// println!("seen at {}", deletion.change_version());
    /// println!("{} is gone", deletion.carry_out().await?.path);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if it is gone, and server errors.
    pub async fn deletion(&self) -> Result<Deletion> {
        let ((name, runtime, config, snapshot, storage, stats, datastores), mut gaps) = self
            .read_known((
                vm::NAME,
                vm::RUNTIME,
                vm::CONFIG,
                vm::SNAPSHOT,
                vm::STORAGE_COMMITTED,
                vm::QUICK_STATS,
                vm::DATASTORE,
            ))
            .await?;
        let path = gaps.part("the inventory path", self.path().await);
        let hidden = |path: &str| gaps.unreadable.iter().any(|hidden| hidden.property == path);
        let blind =
            [vm::CONFIG.path(), vm::SNAPSHOT.path(), vm::DATASTORE.path()].into_iter().find(|path| hidden(path));
        let mut snapshots = Vec::new();
        snapshot.iter().for_each(|snapshot| list(&snapshot.root_snapshot_list, &mut snapshots));
        let devices = config.as_ref().map(|config| config.hardware.device.as_slice()).unwrap_or_default();
        let linked_clones = match (blind, snapshots.is_empty()) {
            (Some(path), _) => {
                gaps.lacks(CLONES, format!("{path} of the VM could not be read, so nobody looked for them"));
                Vec::new()
            }
            (None, true) => Vec::new(),
            (None, false) => {
                let (clones, unseen) = gaps.part(CLONES, clones_of(self, &datastores, devices).await);
                if let Some(why) = unseen {
                    gaps.lacks(CLONES, why);
                }
                clones.into_iter().map(|clone| clone.name).collect()
            }
        };
        let on = runtime.power_state == VirtualMachinePowerState::PoweredOn;
        Ok(Deletion {
            name: name::decode(&name),
            id: self.id().to_owned(),
            path,
            template: config.as_ref().is_some_and(|config| config.template),
            power_state: runtime.power_state.clone(),
            uptime_seconds: stats.uptime_seconds.filter(|_| on),
            booted: runtime.boot_time.as_ref().filter(|_| on).map(format_date_time),
            guest_os: config.as_ref().map(|config| config.guest_full_name.as_str().into()),
            disks: devices.iter().filter_map(info::disk).collect(),
            storage_used_bytes: storage.map(|storage| storage.committed),
            annotation: config
                .as_ref()
                .and_then(|config| config.annotation.clone())
                .filter(|note| !note.is_empty())
                .map(Into::into),
            nics: devices.iter().filter_map(nic).collect(),
            snapshots,
            linked_clones,
            gaps,
            machine: self.clone(),
            contents: Contents::of(config.as_ref(), snapshot.as_ref()),
        })
    }
}

impl Deletion {
    /// The version of the VM's configuration that this was planned from.
    pub fn change_version(&self) -> &str {
        self.contents.version()
    }

    /// Deletes the VM, by its id, with its files. One that ran when this was planned is powered off first.
    ///
    /// `Destroy_Task` takes no change version. So the VM is looked at right before it is called: the version of its
    /// configuration (not after it was powered off here, with which a server may write another one), its devices, what is
    /// behind its disks, and its snapshots. What is attached to it between that look and the call is deleted with it.
    ///
    /// # Errors
    /// `changed` if the VM is no longer as it was when this was planned, and those of the server, such as
    /// `InvalidPowerState` where it was powered on meanwhile.
    pub async fn carry_out(self) -> Result<Deleted> {
        let Self { machine, contents, .. } = &self;
        let mut powered_off = false;
        if self.power_state == VirtualMachinePowerState::PoweredOn {
            contents.must_be_so(machine, OPERATION).await?;
            let ended = machine.client().retry_while_busy(BUSY, || async move { machine.power_off().await?.await });
            // Where somebody else was faster, that is as good.
            powered_off = changed(ended.await, &VirtualMachinePowerState::PoweredOff)?;
        }
        let deleted = machine.client().retry_while_busy(BUSY, || async move {
            if !powered_off {
                contents.must_be_so(machine, OPERATION).await?;
            } else if !contents.is_held(machine).await? {
                let text = "it has changed since this was planned: it was powered off, and is not deleted";
                return Err(Error::new(OPERATION, ErrorKind::Changed(text.to_owned())).on(machine.label()));
            }
            machine.delete().await?.await
        });
        deleted.await?;
        Ok(Deleted { name: self.name, id: self.id, path: self.path, powered_off, changed: true })
    }
}

fn nic(device: &Poly<VirtualDevice>) -> Option<LostNic> {
    let card = device.downcast_ref::<VirtualEthernetCard>()?;
    Some(LostNic { label: device::label(card), mac: card.mac_address.clone() })
}

fn list(trees: &[VirtualMachineSnapshotTree], into: &mut Vec<LostSnapshot>) {
    for tree in trees {
        into.push(LostSnapshot {
            name: name::decode(&tree.name),
            id: tree.snapshot.value.clone(),
            created: format_date_time(&tree.create_time),
        });
        list(&tree.child_snapshot_list, into);
    }
}

/// The folders of a VM's disks, as datastore paths.
fn folders(devices: &[Poly<VirtualDevice>]) -> Vec<String> {
    let backings = devices.iter().filter_map(|device| device.downcast_ref::<VirtualDisk>()?.backing.as_ref());
    let files = backings.filter_map(|backing| backing.downcast_ref::<VirtualDeviceFileBackingInfo>());
    files.filter_map(|file| Some(format!("{}/", file.file_name.rsplit_once('/')?.0))).collect()
}

/// What a deletion may break, as it is called where it is not known.
pub(crate) const CLONES: &str = "the linked clones";

/// Other VMs that use a disk in a folder of this VM's disks; and why there may be more.
pub(crate) async fn clones_of(
    machine: &Mo<VirtualMachine>,
    datastores: &[ManagedObjectReference],
    devices: &[Poly<VirtualDevice>],
) -> Result<(Vec<Named>, Option<String>)> {
    let (client, folders) = (machine.client(), folders(devices));
    let mut others = Vec::new();
    let on = find::details(client, datastores.iter().cloned(), &["vm"]).await?;
    let mut unseen = Gaps::of(&on);
    for content in on {
        let mut values = Values::new(content.prop_set, content.missing_set);
        others.extend(optional::<Vec<ManagedObjectReference>>(&mut values, "vm").unwrap_or_default());
    }
    let others = others.into_iter().filter(|other| other != machine.reference());
    let mut clones = Vec::new();
    let others = find::details(client, others, &["name", vm::LAYOUT_EX.path()]).await?;
    for hidden in Gaps::of(&others).unreadable.into_iter().filter(|hidden| hidden.property != "name") {
        unseen.unreadable.push(hidden);
    }
    for content in others {
        let clone = Named { name: label(&content), id: content.obj.value.clone() };
        let mut values = Values::new(content.prop_set, content.missing_set);
        let layout: Option<VirtualMachineFileLayoutEx> = optional(&mut values, vm::LAYOUT_EX.path());
        let files = layout.iter().flat_map(|layout| &layout.file);
        let mut disks = files.filter(|file| file.name.ends_with(".vmdk"));
        if disks.any(|file| folders.iter().any(|folder| file.name.starts_with(folder.as_str()))) {
            clones.push(clone);
        }
    }
    clones.sort();
    let unseen = unseen.unreadable.iter().map(|hidden| {
        let right = hidden.privilege.as_ref().unwrap_or(&hidden.reason);
        format!("{} of {} objects could not be read ({right})", hidden.property, hidden.objects)
    });
    let unseen = unseen.collect::<Vec<_>>().join(", ");
    Ok((clones, Some(unseen).filter(|unseen| !unseen.is_empty())))
}
