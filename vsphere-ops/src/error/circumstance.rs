//! What a program should know of a failure beside its kind and fault.

use vsphere_model::types::ManagedObjectReference;

use crate::guest::GuestTrouble;
use crate::host::Blocker;
use crate::migration::{Finding, explained};

/// What a program should know of a failure beside its kind and fault: what stood in the way, or what was done all the same.
///
/// ```
/// use vsphere_ops::{Circumstance, Error};
///
/// fn needs_tools(error: &Error) -> bool {
///     error.circumstance() == Some(&Circumstance::ToolsNotRunning) || error.is_fault("ToolsUnavailable")
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Circumstance {
    /// VMware Tools do not run in the guest.
    ToolsNotRunning,
    /// The VM has no snapshot, and a linked clone needs one.
    NoSnapshot,
    /// Snapshots use the disk.
    DiskHasSnapshots,
    /// The VM is not a template.
    NotATemplate,
    /// The VM has no serial port.
    NoSerialPort,
    /// The serial port was disconnected, and could not be connected again.
    LeftDisconnected,
    /// The network adapter is an SR-IOV adapter, which needs a VM that is off, all of its memory reserved, and a host
    /// whose network has an adapter with virtual functions.
    SriovAdapter,
    /// The VM was created; only what should have followed has failed.
    Created(ManagedObjectReference),
    /// What was given is the id, UUID or path of this object and the name of another one.
    NameOfAnother(ManagedObjectReference),
    /// A package has a licence that was not accepted.
    LicenceNotAccepted,
    /// The server's licence lets the API read only.
    ReadOnlyLicence,
    /// No host can access the datastore at present.
    DatastoreInaccessible,
    /// The server cannot cancel the task, which goes on to its end.
    NotCancelable,
    /// These VMs kept a host from entering maintenance mode in time.
    KeptFromMaintenance(Vec<Blocker>),
    /// The host is not in maintenance mode.
    NotInMaintenanceMode,
    /// The folder has VMs or templates in it, which are not to go with it.
    HoldsVms,
    /// VMs run that would have to be off.
    VmsRun,
    /// The VM has this tag of a category of which it may have one.
    TagInTheWay(String),
    /// The VM has lost this tag, and did not get the other one.
    TagLost(String),
    /// The host has no service of this key.
    NoSuchService,
    /// The cluster has no rule of this name.
    NoSuchRule,
    /// DRS recommends nothing of this key, or no longer.
    NoSuchRecommendation,
    /// What stood in the way inside a guest.
    Guest(GuestTrouble),
    /// What stands in the way of a migration.
    Obstructed(Vec<Finding>),
}

impl Circumstance {
    /// The clause that an error's text ends with, where the cause does not tell it.
    pub(super) fn told(&self) -> Option<String> {
        Some(match self {
            Self::LeftDisconnected => "the port is disconnected now".to_owned(),
            Self::SriovAdapter => {
                "an SR-IOV adapter needs a VM that is off, with all its memory reserved, on a host whose \
                                   network has an adapter with virtual functions"
                    .to_owned()
            }
            Self::Created(vm) => format!("the VM was created ({})", vm.value),
            Self::NameOfAnother(object) => format!("it is both the name of one and the id or path of {object}"),
            Self::NotCancelable => "it goes on to its end".to_owned(),
            Self::TagLost(tag) => format!("its tag {tag} was taken off before, and could not be put back"),
            Self::Guest(trouble) => trouble.told()?.to_owned(),
            Self::Obstructed(findings) => Some(explained(findings)).filter(|told| !told.is_empty())?,
            Self::ToolsNotRunning
            | Self::NoSnapshot
            | Self::DiskHasSnapshots
            | Self::NotATemplate
            | Self::TagInTheWay(_)
            | Self::NoSerialPort
            | Self::LicenceNotAccepted
            | Self::ReadOnlyLicence
            | Self::DatastoreInaccessible
            | Self::KeptFromMaintenance(_)
            | Self::NotInMaintenanceMode
            | Self::HoldsVms
            | Self::NoSuchService
            | Self::NoSuchRule
            | Self::NoSuchRecommendation
            | Self::VmsRun => return None,
        })
    }
}
