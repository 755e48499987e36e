//! The faults that come up while machines are made and changed, with what helps against each.

use vsphere_model::types::{DuplicateName, InvalidArgument};

use crate::error::{Error, ErrorKind, Result, invalid};
use crate::name;

/// The longest name that vSphere takes, in characters.
const LONGEST_NAME: usize = 80;

/// What helps against a fault.
const ADVICE: [(&str, &str); 12] = [
    ("NoDiskSpace", NO_SPACE),
    ("InsufficientStorageSpace", NO_SPACE),
    ("CpuHotPlugNotSupported", NO_CPU_HOT_ADD),
    ("MemoryHotPlugNotSupported", NO_MEMORY_HOT_ADD),
    ("InvalidPowerState", "it must be off for this: shutdown_guest or power_off_vm first"),
    ("NoActiveHostInCluster", "no host of the cluster can run machines now: see list_hosts, or choose another one"),
    ("HostNotConnected", "choose another host, or reconnect this one; list_hosts shows the state of each"),
    ("InvalidHostState", "choose another host, or end its maintenance mode; list_hosts shows the state of each"),
    ("InvalidDatastore", "choose another datastore that the host or cluster sees"),
    ("InsufficientResourcesFault", "the pool or host has too little left: choose another one, or ask for less"),
    ("CustomizationFault", "check the customization specification; the guest needs VMware Tools for it"),
    ("InvalidName", "a name has 1 to 80 characters"),
];
const NO_SPACE: &str = "free space there or choose another datastore; get_datastore_info tells how much is free";
const NO_CPU_HOT_ADD: &str = "it runs, and CPUs can only be added then, where cpu_hot_add is on: power it off, change it \
                              (and set cpu_hot_add for the next time), power it on";
const NO_MEMORY_HOT_ADD: &str = "it runs, and memory can only be added then, where memory_hot_add is on: power it off, \
                                 change it (and set memory_hot_add for the next time), power it on";

/// What is wrong with an argument that the server refuses, by the last step of the property's path.
const ARGUMENTS: [(&str, &str); 6] = [
    (
        "guestId",
        "guest_id is none that the host offers: give one such as ubuntu64Guest, rhel9_64Guest, windows2019srv_64Guest or otherGuest64",
    ),
    ("numCPUs", "cpu is more than the host or the machine's virtual hardware allows, or less than 1"),
    ("numCoresPerSocket", "cores_per_socket must divide cpu: give both"),
    ("memoryMB", "memory_mb must be a multiple of 4, and not more than the host allows"),
    ("firmware", "firmware must be bios or efi"),
    ("name", "a name has 1 to 80 characters"),
];

/// Adds what helps to an error of the server.
pub(super) fn explained(error: Error) -> Error {
    if let Some(taken) = error.fault::<DuplicateName>() {
        let advice = format!("{} has the name: choose another name, or another folder", taken.object.value);
        return error.advised(advice);
    }
    if let Some(refused) = error.fault::<InvalidArgument>().and_then(|fault| fault.invalid_property.as_deref()) {
        let last = refused.rsplit('.').next().unwrap_or(refused);
        let known = ARGUMENTS.iter().find(|(property, _)| *property == last);
        if let Some((_, text)) = known {
            let named = Error::new(error.operation(), ErrorKind::InvalidArgument((*text).to_owned()));
            return match error.target() {
                Some(target) => named.on(target),
                None => named,
            };
        }
    }
    match ADVICE.iter().find(|(fault, _)| error.is_fault(fault)) {
        Some((_, advice)) => error.advised(*advice),
        None => error,
    }
}

/// Whether a name can be given to a machine, as it is sent to the server.
///
/// # Errors
/// `invalid_argument`.
pub(super) fn checked_name(operation: &str, wanted: &str) -> Result<String> {
    let shown = name::decode(wanted);
    let refused = match shown.chars().count() {
        _ if shown.trim().is_empty() => "the name is empty".to_owned(),
        length if length > LONGEST_NAME => {
            format!("a name has at most {LONGEST_NAME} characters, and this has {length}")
        }
        _ if shown.contains(char::is_control) => "the name has a control character".to_owned(),
        _ => return Ok(name::encode(wanted)),
    };
    Err(invalid(operation, refused).on(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_escaped() {
        let check = |name: &str| checked_name("create", name);
        assert_eq!(check("web/1").unwrap(), "web%2f1");
        assert_eq!(check("web%2f1").unwrap(), "web%2f1");
        assert!(check(&"x".repeat(80)).is_ok());
        for refused in ["", "  ", &"x".repeat(81), "a\nb"] {
            assert_eq!(check(refused).unwrap_err().code(), "invalid_argument", "{refused:?}");
        }
    }
}
