//! Property paths below a property that readers ask for often, as constants of their own.
//!
//! The API has no list of these, so this is one: each path is checked against the model when it is generated, and one
//! that a WSDL does not have is left out.

use super::{Shape, managed};
use crate::ir::{Field, ManagedObject, Ty};

/// Managed object, constant, path.
const PATHS: &[(&str, &str, &str)] = &[
    ("VirtualMachine", "POWER_STATE", "runtime.powerState"),
    ("VirtualMachine", "CONNECTION_STATE", "runtime.connectionState"),
    ("VirtualMachine", "HOST", "runtime.host"),
    ("VirtualMachine", "BOOT_TIME", "runtime.bootTime"),
    ("VirtualMachine", "QUESTION", "runtime.question"),
    ("VirtualMachine", "NUM_CPU", "summary.config.numCpu"),
    ("VirtualMachine", "MEMORY_SIZE_MB", "summary.config.memorySizeMB"),
    ("VirtualMachine", "GUEST_FULL_NAME", "summary.config.guestFullName"),
    ("VirtualMachine", "GUEST_ID", "summary.config.guestId"),
    ("VirtualMachine", "IS_TEMPLATE", "summary.config.template"),
    ("VirtualMachine", "VM_PATH_NAME", "summary.config.vmPathName"),
    ("VirtualMachine", "UUID", "config.uuid"),
    ("VirtualMachine", "INSTANCE_UUID", "config.instanceUuid"),
    ("VirtualMachine", "ANNOTATION", "config.annotation"),
    ("VirtualMachine", "HARDWARE", "config.hardware"),
    ("VirtualMachine", "DEVICES", "config.hardware.device"),
    ("VirtualMachine", "EXTRA_CONFIG", "config.extraConfig"),
    ("VirtualMachine", "CHANGE_VERSION", "config.changeVersion"),
    ("VirtualMachine", "GUEST_IP_ADDRESS", "guest.ipAddress"),
    ("VirtualMachine", "GUEST_HOST_NAME", "guest.hostName"),
    ("VirtualMachine", "GUEST_NICS", "guest.net"),
    ("VirtualMachine", "TOOLS_RUNNING_STATUS", "guest.toolsRunningStatus"),
    ("VirtualMachine", "TOOLS_VERSION_STATUS", "guest.toolsVersionStatus2"),
    ("VirtualMachine", "QUICK_STATS", "summary.quickStats"),
    ("VirtualMachine", "STORAGE_COMMITTED", "summary.storage"),
    ("HostSystem", "CONNECTION_STATE", "runtime.connectionState"),
    ("HostSystem", "POWER_STATE", "runtime.powerState"),
    ("HostSystem", "IN_MAINTENANCE_MODE", "runtime.inMaintenanceMode"),
    ("HostSystem", "BOOT_TIME", "runtime.bootTime"),
    ("HostSystem", "PRODUCT", "config.product"),
    ("HostSystem", "SUMMARY_HARDWARE", "summary.hardware"),
    ("HostSystem", "SUMMARY_PRODUCT", "summary.config.product"),
    ("HostSystem", "QUICK_STATS", "summary.quickStats"),
    ("HostSystem", "MANAGEMENT_SERVER_IP", "summary.managementServerIp"),
    ("HostSystem", "MAX_EVC_MODE", "summary.maxEVCModeKey"),
    ("Datastore", "CAPACITY", "summary.capacity"),
    ("Datastore", "FREE_SPACE", "summary.freeSpace"),
    ("Datastore", "UNCOMMITTED", "summary.uncommitted"),
    ("Datastore", "ACCESSIBLE", "summary.accessible"),
    ("Datastore", "MAINTENANCE_MODE", "summary.maintenanceMode"),
    ("Datastore", "DATASTORE_TYPE", "summary.type"),
    ("Datastore", "URL", "summary.url"),
    ("ClusterComputeResource", "DRS_CONFIG", "configuration.drsConfig"),
    ("ClusterComputeResource", "DAS_CONFIG", "configuration.dasConfig"),
    ("Task", "STATE", "info.state"),
    ("Task", "PROGRESS", "info.progress"),
    ("Task", "ERROR", "info.error"),
    ("Task", "RESULT", "info.result"),
    ("Task", "DESCRIPTION", "info.description"),
];

/// A property path with its Rust type.
pub(super) struct Path {
    pub constant: String,
    pub path: String,
    pub value_type: String,
}

/// The paths of a managed object that this API has.
pub(super) fn of(shape: &Shape<'_>, object: &ManagedObject) -> Vec<Path> {
    PATHS
        .iter()
        .filter(|(owner, ..)| *owner == object.name)
        .filter_map(|(_, constant, path)| {
            let field = resolve(shape, object, path)?;
            Some(Path {
                constant: (*constant).to_owned(),
                path: (*path).to_owned(),
                value_type: shape.value_type(&field),
            })
        })
        .collect()
}

/// The field at the end of a path. It is optional where any field on the way is.
fn resolve(shape: &Shape<'_>, object: &ManagedObject, path: &str) -> Option<Field> {
    let mut parts = path.split('.');
    let first = parts.next()?;
    let owners = managed::lineage(shape.api, object);
    let mut field = owners.iter().flat_map(|owner| &owner.properties).find(|field| field.name == first)?.clone();
    for part in parts {
        let Ty::Data(of) = &field.ty else { return None };
        let next = shape.api.flattened(of).into_iter().find(|field| field.name == part)?.clone();
        field = Field { optional: field.optional || next.optional, ..next };
    }
    Some(field)
}
