//! New disks, and the controllers that they need.

use serde::Deserialize;
use vsphere_model::managed::VirtualMachine;
use vsphere_model::types::{
    ParaVirtualSCSIController, Poly, VirtualAHCIController, VirtualController, VirtualDevice, VirtualDeviceConfigSpec,
    VirtualDeviceConfigSpecFileOperation, VirtualDeviceFileBackingInfo, VirtualDisk, VirtualDiskFlatVer2BackingInfo,
    VirtualIDEController, VirtualLsiLogicController, VirtualLsiLogicSASController, VirtualNVMEController,
    VirtualSATAController, VirtualSCSIController, VirtualSCSISharing,
};

use super::{Disk, DiskChange, bytes_of};
use crate::client::Client;
use crate::device::{self, Devices, NEW_CONTROLLER, NEW_DEVICE, label};
use crate::error::{Error, ErrorKind, Result};
use crate::mounted;

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
/// use vsphere_ops::disk::{DiskMode, NewDisk};
///
/// let scratch = NewDisk::gigabytes(200.0)
///     .thick()
///     .mode(DiskMode::IndependentPersistent)
///     .datastore("nvme-2")
///     .controller("NVME controller 0");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a disk is made by `add`"]
pub struct NewDisk {
    size_gb: f64,
    thick: bool,
    mode: DiskMode,
    datastore: Option<String>,
    controller: Option<String>,
}

impl NewDisk {
    /// A disk of this many GiB, whose space is allocated when it is written, beside the machine's other files.
    pub fn gigabytes(size_gb: f64) -> Self {
        Self { size_gb, thick: false, mode: DiskMode::default(), datastore: None, controller: None }
    }

    /// Its space is allocated at once, and zeroed when it is first written.
    pub fn thick(self) -> Self {
        Self { thick: true, ..self }
    }

    /// What snapshots and power cycles do to it.
    pub fn mode(self, mode: DiskMode) -> Self {
        Self { mode, ..self }
    }

    /// In this datastore: name, path or id. The machine's host must have it.
    pub fn datastore(self, datastore: impl Into<String>) -> Self {
        Self { datastore: Some(datastore.into()), ..self }
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

/// Adds a disk to a machine, also to one that runs, and waits until it is there.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::disk::{self, NewDisk};
///
/// let change = disk::add(&client, "web-01", &NewDisk::gigabytes(40.0).datastore("nvme-02")).await?;
/// println!("{} on {:?} in {:?}", change.disk.label, change.disk.controller, change.disk.file);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found` or `ambiguous` where it is not exactly one machine, datastore and controller; `invalid_argument` for a
/// size that no disk has; `unsupported` where there is no room for one more, or an IDE controller of a machine that runs
/// is asked for; and the faults of the server, such as `NoDiskSpace`.
pub async fn add(client: &Client, vm: &str, new: &NewDisk) -> Result<DiskChange> {
    let machine = client.get::<VirtualMachine>(vm).await?;
    let named = |error: Error| error.in_operation(OPERATION).on(machine.label());
    let bytes = bytes_of(new.size_gb).map_err(named)?;
    let datastore = match &new.datastore {
        Some(datastore) => Some(mounted::find(&machine, datastore).await.map_err(named)?),
        None => None,
    };
    let done = device::reconfigure(&machine, OPERATION, |devices| {
        let (mut changes, controller, unit) = place(devices, new.controller.as_deref())?;
        let mut file = VirtualDeviceFileBackingInfo::default();
        if let Some(datastore) = &datastore {
            // The server chooses a folder and a name of its own there.
            file.file_name = format!("[{}]", datastore.raw_name);
            file.datastore = Some(datastore.datastore.reference().clone());
        }
        let backing = VirtualDiskFlatVer2BackingInfo {
            base: file,
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
    Ok(DiskChange { new_controller, ..DiskChange::new(&machine, &done.after, true, report) })
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
fn place(devices: &Devices, asked: Option<&str>) -> Result<(Vec<VirtualDeviceConfigSpec>, i32, i32)> {
    let refused = |text: String| Err(Error::new(OPERATION, ErrorKind::Unsupported(text)));
    let kind = asked.and_then(Kind::parse);
    if let (Some(asked), None) = (asked, kind) {
        let controller = named(devices, asked)?;
        cold_only(devices, controller)?;
        return match devices.free_unit(controller) {
            Some(unit) => Ok((Vec::new(), controller.key, unit)),
            None => refused(format!("{} is full; choose another controller, or none", label(controller))),
        };
    }
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

/// What hangs on an IDE controller comes and goes only while the machine is off.
fn cold_only(devices: &Devices, controller: &Poly<VirtualDevice>) -> Result<()> {
    if devices.is_running() && controller.is::<VirtualIDEController>() {
        let text = "nothing can be plugged into an IDE controller while the machine runs: power it off first, or choose \
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

/// Whether the bus is shared with other machines: what belongs there, only its user knows.
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
