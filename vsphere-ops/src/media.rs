//! ISO images in the CD drives of VMs.
//!
//! ```
//! use vsphere_ops::managed::VirtualMachine;
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let web = client.get::<VirtualMachine>("web-01").await?;
//! let iso = "[iso-library] tools/memtest86plus-7.20.iso".parse()?;
//! web.iso_insertion(&iso, None).await?.carry_out().await?;
//! web.iso_ejection(None).await?.carry_out().await?;
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```

mod door;
mod iso;

use serde::Serialize;
use vsphere_model::managed::VirtualMachine;
use vsphere_model::types::{
    Poly, VirtualAHCIController, VirtualCdrom, VirtualCdromIsoBackingInfo, VirtualCdromRemotePassthroughBackingInfo,
    VirtualDevice, VirtualDeviceBackingInfo, VirtualDeviceConfigSpec, VirtualDeviceConnectInfo,
    VirtualDeviceFileBackingInfo, VirtualIDEController, VirtualMachinePowerState, VirtualSATAController,
};

use crate::datastore_path::DatastorePath;
use crate::device::{self, DeviceChange, Devices, NEW_CONTROLLER, NEW_DEVICE, Reconfigured, Seen, label};
use crate::error::{Candidate, Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::mounted;

const ATTACH: &str = "attach an ISO image to";
const DETACH: &str = "detach the ISO image of";

/// What is in a CD drive after a change.
///
/// ```
/// use vsphere_ops::media::DriveChange;
///
/// fn line(change: &DriveChange) -> String {
///     format!("{:?} of {} has {:?} in it, {:?} before", change.drive, change.vm, change.iso, change.previous_iso)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DriveChange {
    /// The VM's name.
    pub vm: String,
    /// The VM's id.
    pub id: String,
    /// The VM's state.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// Whether anything had to be changed.
    pub changed: bool,
    /// The label of the drive; a VM without one has nothing to detach.
    pub drive: Option<String>,
    /// The key of the drive.
    pub key: Option<i32>,
    /// The image that is in it, as a datastore path.
    pub iso: Option<String>,
    /// Whether the guest sees it now; while the VM is off, it will at power-on.
    pub connected: bool,
    /// The image that was in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_iso: Option<String>,
    /// The drive was added.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drive_added: bool,
    /// The guest had locked the drive's door, which was overridden.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lock_overridden: bool,
}

/// A plan to change what is in a CD drive.
///
/// ```
/// use vsphere_ops::media::DrivePlan;
///
/// fn question(plan: &DrivePlan) -> String {
///     format!("{:?} takes the place of {:?} in {:?}?", plan.iso, plan.previous_iso, plan.drive)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is changed before it is carried out"]
pub struct DrivePlan {
    /// The label of the drive; `None` where one has to be added, or there is none to take an image out of.
    pub drive: Option<String>,
    /// The key of the drive.
    pub key: Option<i32>,
    /// The image that would be in it, as a datastore path.
    pub iso: Option<String>,
    /// The image that is in it.
    pub previous_iso: Option<String>,
    #[serde(skip)]
    change: DeviceChange,
}

impl Mo<VirtualMachine> {
    /// Plans to put an ISO image into a CD drive of the VM, with a new drive where it has none.
    ///
    /// `drive` is a label or key. Without it, the image goes into the drive that has it, else into one that is empty, else
    /// into the only one.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// let iso = "[iso-library] tools/memtest86plus-7.20.iso".parse()?;
    /// let plan = web.iso_insertion(&iso, None).await?;
    /// println!("into {:?}, seen at {}", plan.drive, plan.change_version());
    /// let change = plan.carry_out().await?;
    /// println!("{:?} is in place of {:?}", change.iso, change.previous_iso);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if there is no such drive, datastore on the VM's host, or image, with what there is instead;
    /// `ambiguous` if each of several drives has an image; `unsupported` if there is no room for a drive; and the
    /// faults of the server.
    pub async fn iso_insertion(&self, iso: &DatastorePath, drive: Option<&str>) -> Result<DrivePlan> {
        let named = |error: Error| error.in_operation(ATTACH).on(self.label());
        let datastore = mounted::find(self, iso.datastore()).await.map_err(named)?;
        let iso = DatastorePath::new(datastore.raw_name.clone(), iso.path())?;
        iso::must_be_there(&datastore, &iso).await.map_err(named)?;
        let file = iso.to_string();
        let base = VirtualDeviceFileBackingInfo {
            file_name: file.clone(),
            datastore: Some(datastore.datastore.reference().clone()),
            ..Default::default()
        };
        let backing = Poly::<VirtualDeviceBackingInfo>::new(VirtualCdromIsoBackingInfo { base });
        let seen = Seen::now(self).await.map_err(named)?;
        let devices = seen.devices();
        let drive = for_image(devices, drive, &file).map_err(named)?;
        let changes = match drive {
            Some(drive) if image(drive) == Some(file.as_str()) && is_plugged(devices, drive) => Vec::new(),
            Some(drive) => vec![device::edit(with(drive, backing, plugged_in(devices)))],
            None => new_drive(devices, backing).map_err(named)?,
        };
        Ok(DrivePlan::new(&seen, ATTACH, drive, Some(file), changes))
    }

    /// Plans to take the image out of a CD drive of the VM. The drive stays; one that is empty already is left alone.
    ///
    /// `drive` is a label or key. Without it, that is the only drive with an image.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let change = client.get::<VirtualMachine>("web-01").await?.iso_ejection(None).await?.carry_out().await?;
    /// println!("{:?} was in it", change.previous_iso);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if there is no such drive, `ambiguous` if several drives have an image, and the faults of the
    /// server.
    pub async fn iso_ejection(&self, drive: Option<&str>) -> Result<DrivePlan> {
        let named = |error: Error| error.in_operation(DETACH).on(self.label());
        let seen = Seen::now(self).await.map_err(named)?;
        let drive = with_image(seen.devices(), drive).map_err(named)?;
        let full = drive.filter(|drive| image(drive).is_some());
        let empty = |drive| {
            let backing = Poly::new(VirtualCdromRemotePassthroughBackingInfo::default());
            device::edit(with(drive, backing, unplugged()))
        };
        Ok(DrivePlan::new(&seen, DETACH, drive, None, full.map(empty).into_iter().collect()))
    }
}

impl DrivePlan {
    fn new(
        seen: &Seen,
        operation: &'static str,
        drive: Option<&Poly<VirtualDevice>>,
        iso: Option<String>,
        changes: Vec<VirtualDeviceConfigSpec>,
    ) -> Self {
        Self {
            drive: drive.map(|drive| label(drive)),
            key: drive.map(|drive| drive.key),
            iso,
            previous_iso: drive.and_then(|drive| image(drive)).map(str::to_owned),
            change: DeviceChange { seen: seen.clone(), operation, changes },
        }
    }

    /// The version of the VM's configuration that this was planned from.
    pub fn change_version(&self) -> &str {
        self.change.seen.change_version()
    }

    /// Changes what is in the drive, and waits until it is changed. Where the guest has locked the drive's door, that is
    /// overridden.
    ///
    /// # Errors
    /// `changed` if the VM's configuration is no longer the one that this was planned from, and the faults of the
    /// server.
    pub async fn carry_out(self) -> Result<DriveChange> {
        let Self { key, change, .. } = self;
        let machine = change.seen.machine().clone();
        // It is awaited in two places there.
        let (done, lock_overridden) = door::open_for(&machine, || Box::pin(change.carry_out())).await?;
        let added = done.added::<VirtualCdrom>().map(|(device, _)| device);
        let drive = key.and_then(|key| done.after.by_key(key)).or(added);
        let drive_added = key.is_none() && added.is_some();
        Ok(DriveChange { drive_added, lock_overridden, ..report(&machine, &done, drive) })
    }
}

fn report(machine: &Mo<VirtualMachine>, done: &Reconfigured, drive: Option<&Poly<VirtualDevice>>) -> DriveChange {
    let before = drive.and_then(|drive| done.before.by_key(drive.key));
    let after = drive.and_then(|drive| done.after.by_key(drive.key));
    let text = |drive: Option<&Poly<VirtualDevice>>| drive.and_then(|drive| image(drive)).map(str::to_owned);
    let is_connected = |drive: &Poly<VirtualDevice>| drive.connectable.as_ref().is_some_and(|it| it.connected);
    DriveChange {
        vm: machine.label().to_owned(),
        id: machine.id().to_owned(),
        power_state: done.after.power_state.clone(),
        changed: done.changed,
        drive: after.map(|drive| label(drive)),
        key: after.map(|drive| drive.key),
        iso: text(after),
        connected: after.is_some_and(is_connected),
        previous_iso: text(before),
        drive_added: false,
        lock_overridden: false,
    }
}

/// The image that is in a drive.
pub(crate) fn image(drive: &VirtualDevice) -> Option<&str> {
    let iso = drive.backing.as_ref()?.downcast_ref::<VirtualCdromIsoBackingInfo>()?;
    Some(iso.file_name.as_str()).filter(|file| !file.is_empty())
}

/// Whether the guest sees what is in a drive, or will once it runs.
fn is_plugged(devices: &Devices, drive: &VirtualDevice) -> bool {
    let info = drive.connectable.as_ref();
    info.is_some_and(|info| info.start_connected && (info.connected || !devices.is_running()))
}

/// The drive that an image goes into; `None` where one has to be added.
fn for_image<'a>(devices: &'a Devices, asked: Option<&str>, file: &str) -> Result<Option<&'a Poly<VirtualDevice>>> {
    if let Some(asked) = asked {
        return devices.choose::<VirtualCdrom>("CD drive", asked).map(|(drive, _)| Some(drive));
    }
    let drives: Vec<_> = devices.of::<VirtualCdrom>().map(|(drive, _)| drive).collect();
    let has_it = drives.iter().find(|drive| image(drive) == Some(file));
    match (has_it.or_else(|| drives.iter().find(|drive| image(drive).is_none())), drives.as_slice()) {
        (Some(drive), _) => Ok(Some(drive)),
        (None, []) => Ok(None),
        (None, [only]) => Ok(Some(only)),
        (None, several) => Err(several_have_images(several)),
    }
}

/// The drive whose image is to go; one that is empty where none has any, and `None` where there is no drive.
fn with_image<'a>(devices: &'a Devices, asked: Option<&str>) -> Result<Option<&'a Poly<VirtualDevice>>> {
    if let Some(asked) = asked {
        return devices.choose::<VirtualCdrom>("CD drive", asked).map(|(drive, _)| Some(drive));
    }
    let drives: Vec<_> = devices.of::<VirtualCdrom>().map(|(drive, _)| drive).collect();
    let full: Vec<_> = drives.iter().copied().filter(|drive| image(drive).is_some()).collect();
    match full.as_slice() {
        [] => Ok(drives.first().copied()),
        [only] => Ok(Some(only)),
        several => Err(several_have_images(several)),
    }
}

fn several_have_images(drives: &[&Poly<VirtualDevice>]) -> Error {
    let candidate = |drive: &&Poly<VirtualDevice>| Candidate { path: label(drive), id: drive.key.to_string() };
    Error::new(ATTACH, ErrorKind::Ambiguous(drives.iter().map(candidate).collect()))
}

/// A drive with something else in it.
fn with(
    drive: &Poly<VirtualDevice>,
    backing: Poly<VirtualDeviceBackingInfo>,
    connectable: VirtualDeviceConnectInfo,
) -> Poly<VirtualDevice> {
    let mut drive = drive.clone();
    drive.backing = Some(backing);
    drive.connectable = Some(Box::new(connectable));
    drive
}

fn plugged_in(devices: &Devices) -> VirtualDeviceConnectInfo {
    VirtualDeviceConnectInfo { start_connected: true, connected: devices.is_running(), ..unplugged() }
}

fn unplugged() -> VirtualDeviceConnectInfo {
    VirtualDeviceConnectInfo { allow_guest_control: true, ..Default::default() }
}

/// A drive for a VM that has none, with the controller that it may need.
fn new_drive(devices: &Devices, backing: Poly<VirtualDeviceBackingInfo>) -> Result<Vec<VirtualDeviceConfigSpec>> {
    let room = |controller: &&Poly<VirtualDevice>| devices.free_unit(controller).is_some();
    let mut sata = devices.of::<VirtualSATAController>().map(|(controller, _)| controller);
    let mut ide = devices.of::<VirtualIDEController>().map(|(controller, _)| controller);
    // Nothing comes to an IDE controller while the VM runs.
    let free = sata.find(room).or_else(|| ide.find(room).filter(|_| !devices.is_running()));
    let mut changes = Vec::new();
    let (controller, unit) = match free {
        Some(controller) => (controller.key, devices.free_unit(controller)),
        None => {
            changes.push(device::add(new_controller(devices)?));
            (NEW_CONTROLLER, Some(0))
        }
    };
    let mut drive = VirtualCdrom::default();
    drive.key = NEW_DEVICE;
    drive.controller_key = Some(controller);
    drive.unit_number = unit;
    drive.backing = Some(backing);
    drive.connectable = Some(Box::new(plugged_in(devices)));
    changes.push(device::add(Poly::new(drive)));
    Ok(changes)
}

fn new_controller(devices: &Devices) -> Result<Poly<VirtualDevice>> {
    let base = devices.new_controller(|device| device.is::<VirtualSATAController>()).ok_or_else(|| {
        let text = "all IDE and SATA controllers are full: remove a device first".to_owned();
        Error::new(ATTACH, ErrorKind::Unsupported(text))
    })?;
    Ok(Poly::new(VirtualAHCIController { base: VirtualSATAController { base } }))
}
