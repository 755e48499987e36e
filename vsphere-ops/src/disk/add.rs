//! New disks, and the controllers that they need.

use serde::Deserialize;
use vsphere_model::managed::{Datastore, VirtualMachine, datastore as ds};
use vsphere_model::types::{
    ParaVirtualSCSIController, Poly, VirtualAHCIController, VirtualController, VirtualDevice, VirtualDeviceConfigSpec,
    VirtualDeviceConfigSpecFileOperation, VirtualDeviceFileBackingInfo, VirtualDisk, VirtualDiskFlatVer2BackingInfo,
    VirtualIDEController, VirtualLsiLogicController, VirtualLsiLogicSASController, VirtualNVMEController,
    VirtualSATAController, VirtualSCSIController, VirtualSCSISharing,
};

use super::{Disk, DiskChange, checked_size};
use crate::device::{self, Devices, NEW_CONTROLLER, NEW_DEVICE, label};
use crate::error::{Error, ErrorKind, Result};
use crate::mo::Mo;

const OPERATION: &str = "add a disk to";

/// What snapshots and power cycles do to a disk.
///
/// ```
/// use vsphere_ops::disk::DiskMode;
///
/// assert_eq!(DiskMode::IndependentPersistent.as_str(), "independent_persistent");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DiskMode {
    /// Snapshots take it along.
    #[default]
    Persistent,
    /// Snapshots leave it alone; what is written stays.
    IndependentPersistent,
    /// Snapshots leave it alone; what is written is lost at power-off.
    IndependentNonpersistent,
}

impl DiskMode {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Persistent => "persistent",
            Self::IndependentPersistent => "independent_persistent",
            Self::IndependentNonpersistent => "independent_nonpersistent",
        }
    }
}

/// A disk to be made.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::disk::{DiskMode, NewDisk};
/// use vsphere_ops::managed::VirtualMachine;
///
/// let nvme = client.get::<VirtualMachine>("web-01").await?.datastore("nvme-02").await?;
/// let scratch = NewDisk::of_bytes(200 << 30)
///     .thick()
///     .mode(DiskMode::IndependentPersistent)
///     .on(&nvme)
///     .controller("NVME controller 0");
/// # let _ = scratch;
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is made before it is added to a VM"]
pub struct NewDisk {
    bytes: i64,
    thick: bool,
    mode: DiskMode,
    datastore: Option<Mo<Datastore>>,
    controller: Option<String>,
}

impl NewDisk {
    /// A disk of this many bytes, in whole MiB, whose space is allocated when it is written, beside the VM's other files.
    pub fn of_bytes(bytes: i64) -> Self {
        Self { bytes, thick: false, mode: DiskMode::default(), datastore: None, controller: None }
    }

    /// Its space is allocated at once, and zeroed when it is first written.
    pub fn thick(self) -> Self {
        Self { thick: true, ..self }
    }

    /// What snapshots and power cycles do to it.
    pub fn mode(self, mode: DiskMode) -> Self {
        Self { mode, ..self }
    }

    /// In this datastore, which the VM's host must have mounted: see [`Mo::datastore`].
    pub fn on(self, datastore: &Mo<Datastore>) -> Self {
        Self { datastore: Some(datastore.clone()), ..self }
    }

    /// On this controller: its label or key, or one of `scsi`, `pvscsi`, `lsilogic`, `lsilogic-sas`, `nvme`, `sata` and
    /// `ide` for the first of its kind that has room, or a new one.
    ///
    /// Without it, a disk goes to the first SCSI, NVMe or SATA controller that has room, and to a new paravirtual SCSI
    /// controller where none has.
    pub fn controller(self, controller: impl Into<String>) -> Self {
        Self { controller: Some(controller.into()), ..self }
    }
}

impl Mo<VirtualMachine> {
    /// Adds a disk to the VM, also while it runs, and waits until it is there.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::disk::NewDisk;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// let nvme = web.datastore("nvme-02").await?;
    /// let change = web.add_disk(&NewDisk::of_bytes(40 << 30).on(&nvme)).await?;
    /// println!("{} on {:?} in {:?}", change.disk.label, change.disk.controller, change.disk.file);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` or `ambiguous` if not exactly one controller matches; `invalid_argument` for a size that no disk has;
    /// `unsupported` if there is no room for one more, or an IDE controller of a VM that runs is asked for; and the
    /// faults of the server, such as `NoDiskSpace`.
    pub async fn add_disk(&self, new: &NewDisk) -> Result<DiskChange> {
        let named = |error: Error| error.in_operation(OPERATION).on(self.label());
        let bytes = checked_size(new.bytes).map_err(named)?;
        let controller = self.controller(new.controller.as_deref()).await.map_err(named)?;
        let mut file = VirtualDeviceFileBackingInfo::default();
        if let Some(datastore) = &new.datastore {
            // The server chooses a folder and a name of its own there.
            file.file_name = format!("[{}]", datastore.read(ds::NAME).await.map_err(named)?);
            file.datastore = Some(datastore.reference().clone());
        }
        let done = device::reconfigure(self, OPERATION, |devices| {
            let (mut changes, controller, unit) = place(devices, controller)?;
            let backing = VirtualDiskFlatVer2BackingInfo {
                base: file.clone(),
                disk_mode: new.mode.as_str().to_owned(),
                thin_provisioned: Some(!new.thick),
                ..Default::default()
            };
            let mut disk =
                VirtualDisk { capacity_in_kb: bytes / 1024, capacity_in_bytes: Some(bytes), ..Default::default() };
            disk.key = NEW_DEVICE;
            disk.controller_key = Some(controller);
            disk.unit_number = Some(unit);
            disk.backing = Some(Poly::new(backing));
            let file_operation = Some(VirtualDeviceConfigSpecFileOperation::Create);
            changes.push(VirtualDeviceConfigSpec { file_operation, ..device::add(Poly::new(disk)) });
            Ok(changes)
        })
        .await?;
        let (_, disk) = done.added::<VirtualDisk>().ok_or_else(|| {
            let text = "the server has added it, but it is gone again; list the disks".to_owned();
            named(Error::new(OPERATION, ErrorKind::NotFound(text)))
        })?;
        let report = Disk::of(done.after.list(), disk);
        let new_controller = done.added::<VirtualController>().map(|(controller, _)| label(controller));
        Ok(DiskChange { new_controller, ..DiskChange::new(self, &done.after, true, report) })
    }

    /// What the caller means by a controller. A label is looked up once, and not again while the VM is busy.
    async fn controller(&self, asked: Option<&str>) -> Result<On> {
        let Some(asked) = asked else { return Ok(On::Any) };
        match Kind::parse(asked) {
            Some(kind) => Ok(On::Kind(kind)),
            None => Ok(On::Key(named(&Devices::read(self).await?, asked)?.key)),
        }
    }
}

/// The controller that a disk goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    /// The first that has room.
    Any,
    /// The first of this kind.
    Kind(Kind),
    /// The one with this key.
    Key(i32),
}

/// The kinds of controllers that disks can be plugged into, by the words that ask for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Scsi,
    Pvscsi,
    LsiLogic,
    LsiLogicSas,
    Nvme,
    Sata,
    Ide,
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.trim().to_ascii_lowercase().as_str() {
            "scsi" => Self::Scsi,
            "pvscsi" | "paravirtual" => Self::Pvscsi,
            "lsilogic" => Self::LsiLogic,
            "lsilogic-sas" | "lsilogicsas" => Self::LsiLogicSas,
            "nvme" => Self::Nvme,
            "sata" | "ahci" => Self::Sata,
            "ide" => Self::Ide,
            _ => return None,
        })
    }

    fn fits(self, controller: &Poly<VirtualDevice>) -> bool {
        match self {
            Self::Scsi => controller.is::<VirtualSCSIController>(),
            Self::Pvscsi => controller.is::<ParaVirtualSCSIController>(),
            Self::LsiLogic => controller.is::<VirtualLsiLogicController>(),
            Self::LsiLogicSas => controller.is::<VirtualLsiLogicSASController>(),
            Self::Nvme => controller.is::<VirtualNVMEController>(),
            Self::Sata => controller.is::<VirtualSATAController>(),
            Self::Ide => controller.is::<VirtualIDEController>(),
        }
    }

    /// What counts against the limit, and shares the numbers of buses.
    fn family(self) -> Self {
        match self {
            Self::Pvscsi | Self::LsiLogic | Self::LsiLogicSas => Self::Scsi,
            other => other,
        }
    }
}

/// The kinds that a disk goes to by itself, in this order.
const BY_ITSELF: [Kind; 3] = [Kind::Scsi, Kind::Nvme, Kind::Sata];

/// Where a new disk goes: the controllers to be added, the key of the one for it, and its unit.
fn place(devices: &Devices, on: On) -> Result<(Vec<VirtualDeviceConfigSpec>, i32, i32)> {
    let refused = |text: String| Err(Error::new(OPERATION, ErrorKind::Unsupported(text)));
    let kind = match on {
        On::Any => None,
        On::Kind(kind) => Some(kind),
        On::Key(key) => {
            let controller = named(devices, &key.to_string())?;
            cold_only(devices, controller)?;
            return match devices.free_unit(controller) {
                Some(unit) => Ok((Vec::new(), controller.key, unit)),
                None => refused(format!("{} is full; choose another controller, or none", label(controller))),
            };
        }
    };
    let kinds = kind.map_or(BY_ITSELF.to_vec(), |kind| vec![kind]);
    for kind in &kinds {
        let mut free = controllers(devices, *kind).filter(|device| kind == &Kind::Ide || !is_shared(device));
        if let Some((controller, unit)) = free.find_map(|device| Some((device, devices.free_unit(device)?))) {
            cold_only(devices, controller)?;
            return Ok((Vec::new(), controller.key, unit));
        }
    }
    let kind = kind.unwrap_or(Kind::Pvscsi);
    match new_controller(devices, kind) {
        Some(controller) => Ok((vec![device::add(controller)], NEW_CONTROLLER, 0)),
        None if kind == Kind::Ide => refused("both IDE controllers are full; choose another kind".to_owned()),
        None => refused("all controllers are full, and there can't be one more: remove a disk first".to_owned()),
    }
}

/// The controller for disks that a user means.
fn named<'a>(devices: &'a Devices, asked: &str) -> Result<&'a Poly<VirtualDevice>> {
    const ALL: [Kind; 4] = [Kind::Scsi, Kind::Nvme, Kind::Sata, Kind::Ide];
    let takes_disks = |device: &Poly<VirtualDevice>| ALL.iter().any(|kind| kind.fits(device));
    devices.choose_where::<VirtualController>("controller", asked, takes_disks).map(|(device, _)| device)
}

/// What hangs on an IDE controller comes and goes only while the VM is off.
fn cold_only(devices: &Devices, controller: &Poly<VirtualDevice>) -> Result<()> {
    if devices.is_running() && controller.is::<VirtualIDEController>() {
        let text = "nothing can be plugged into an IDE controller while the VM runs: power it off first, or choose \
                    another controller";
        return Err(Error::new(OPERATION, ErrorKind::Unsupported(text.to_owned())));
    }
    Ok(())
}

/// The controllers of a kind in the order of their buses.
fn controllers(devices: &Devices, kind: Kind) -> impl Iterator<Item = &Poly<VirtualDevice>> {
    let mut all: Vec<_> = devices.of::<VirtualController>().filter(|(device, _)| kind.fits(device)).collect();
    all.sort_by_key(|(_, controller)| controller.bus_number);
    all.into_iter().map(|(device, _)| device)
}

/// Whether the bus is shared with other VMs: what belongs there, only its user knows.
fn is_shared(controller: &Poly<VirtualDevice>) -> bool {
    let scsi = controller.downcast_ref::<VirtualSCSIController>();
    let nvme = controller.downcast_ref::<VirtualNVMEController>().and_then(|nvme| nvme.shared_bus.as_deref());
    scsi.is_some_and(|scsi| {
        matches!(scsi.shared_bus, VirtualSCSISharing::VirtualSharing | VirtualSCSISharing::PhysicalSharing)
    }) || nvme.is_some_and(|sharing| sharing == "physicalSharing")
}

/// A controller of a kind for the first bus that is free.
fn new_controller(devices: &Devices, kind: Kind) -> Option<Poly<VirtualDevice>> {
    let base = devices.new_controller(|device| kind.family().fits(device))?;
    let scsi = || VirtualSCSIController {
        base: base.clone(),
        shared_bus: VirtualSCSISharing::NoSharing,
        ..Default::default()
    };
    Some(match kind {
        Kind::Scsi | Kind::Pvscsi => Poly::new(ParaVirtualSCSIController { base: scsi() }),
        Kind::LsiLogic => Poly::new(VirtualLsiLogicController { base: scsi() }),
        Kind::LsiLogicSas => Poly::new(VirtualLsiLogicSASController { base: scsi() }),
        Kind::Nvme => Poly::new(VirtualNVMEController { base, ..Default::default() }),
        Kind::Sata => Poly::new(VirtualAHCIController { base: VirtualSATAController { base } }),
        Kind::Ide => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tests::{device, devices};

    /// Where a disk goes that is to be on this controller.
    fn place(devices: &Devices, asked: Option<&str>) -> Result<(Vec<VirtualDeviceConfigSpec>, i32, i32)> {
        let on = match (asked, asked.and_then(Kind::parse)) {
            (None, _) => On::Any,
            (_, Some(kind)) => On::Kind(kind),
            (Some(asked), None) => On::Key(named(devices, asked)?.key),
        };
        super::place(devices, on)
    }

    fn pvscsi(bus_number: i32, sharing: VirtualSCSISharing) -> Poly<VirtualDevice> {
        let base = VirtualController { bus_number, ..Default::default() };
        let base = VirtualSCSIController { base, shared_bus: sharing, ..Default::default() };
        device(ParaVirtualSCSIController { base }, 1000 + bus_number, &format!("SCSI-Controller {bus_number}"), None)
    }

    fn ide(taken: i32) -> Vec<Poly<VirtualDevice>> {
        let ide = VirtualIDEController { base: VirtualController::default() };
        let disks = (0..taken).map(|unit| device(VirtualDisk::default(), 3000 + unit, "Festplatte", Some((200, unit))));
        disks.chain([device(ide, 200, "IDE-Controller", None)]).collect()
    }

    #[test]
    fn pitfall_33_a_place_is_found_in_whatever_language_the_labels_are() {
        let all = devices("vmx-21", [vec![pvscsi(0, VirtualSCSISharing::NoSharing)], ide(1)].concat());
        let (new, controller, unit) = place(&all, None).unwrap();
        assert_eq!((new.len(), controller, unit), (0, 1000, 0));
        assert_eq!(place(&all, Some("scsi-controller 0")).unwrap().1, 1000);
        let (new, controller, unit) = place(&all, Some("ide")).unwrap();
        assert_eq!((new.len(), controller, unit), (0, 200, 1));
        assert_eq!(place(&all, Some("IDE 0")).unwrap_err().code(), "not_found");
    }

    #[test]
    fn a_bus_that_machines_share_is_left_to_those_who_ask_for_it() {
        let all = devices("vmx-21", vec![pvscsi(0, VirtualSCSISharing::PhysicalSharing)]);
        let (new, controller, _) = place(&all, None).unwrap();
        assert_eq!(controller, NEW_CONTROLLER);
        let added = new[0].device.downcast_ref::<VirtualController>().unwrap();
        assert_eq!((new[0].device.type_name(), added.bus_number), ("ParaVirtualSCSIController", 1));
        assert_eq!(place(&all, Some("1000")).unwrap().1, 1000);
    }

    #[test]
    fn there_are_four_controllers_of_a_kind_and_two_of_ide() {
        let full = (0..4).map(|bus| pvscsi(bus, VirtualSCSISharing::VirtualSharing));
        let all = devices("vmx-21", full.chain(ide(2)).collect());
        for asked in [None, Some("scsi"), Some("lsilogic"), Some("ide"), Some("200")] {
            assert_eq!(place(&all, asked).unwrap_err().code(), "unsupported", "{asked:?}");
        }
        assert_eq!(place(&all, Some("nvme")).unwrap().0[0].device.type_name(), "VirtualNVMEController");
    }
}
