//! The table: what a model should do, by the tool that was called and the fact that made it fail.

use vsphere_ops::{
    Cause, Circumstance, Error, ErrorKind, guest::GuestTrouble, types::VirtualMachinePowerState as State,
};

use super::{Of, Row, When};
use crate::Toolset;

const fn row(of: Of, when: When, says: &'static [&'static str]) -> Row {
    Row { of, when, says }
}

const SPACE: &[&str] = &["free space there or choose another datastore", "{get_datastore_info} tells how much is free"];
const OFF: &[&str] = &["the VM must be off for this", "{shutdown_guest} or {power_off_vm} first"];
const LESS_BUSY: &[&str] = &["take it without quiesce, or when the guest is less busy"];
const NAME: &[&str] = &["a name has 1 to 80 characters"];
const ADDRESS: &[&str] =
    &["check that VCENTER_HOST leads to a vCenter or ESXi itself, not to a proxy or a login page before it"];
const LICENCE: &[&str] = &[
    "the free ESXi licence does not let the API change anything: use a paid or evaluation licence, or the host's own web \
     client",
];

/// Inside a guest, this stands in the way.
const fn guest(when: fn(&Error) -> bool, says: &'static [&'static str]) -> Row {
    row(Of::Toolset(Toolset::Guest), When::Is(when), says)
}

pub(super) static TABLE: &[Row] = &[
    // Migrations.
    row(
        Of::Tools(&["migrate_vm"]),
        When::Is(obstructed),
        &[
            "check_only tries another place without moving anything",
            "{list_hosts} and {list_clusters} show which there are",
        ],
    ),
    row(
        Of::Tools(&["storage_vmotion"]),
        When::Is(obstructed),
        &["{get_datastore_info} tells which hosts have a datastore, and how much is free"],
    ),
    // Packages.
    row(
        Of::Tools(&["deploy_ovf"]),
        When::Is(|error| matches!(error.circumstance(), Some(Circumstance::LicenceNotAccepted))),
        &["{list_ovf_networks} has its text: show it to the user, and set accept_eula once they agree"],
    ),
    row(
        Of::Tools(&["export_ovf"]),
        When::PowerState(State::PoweredOn),
        &["give `snapshot` to export it while it runs", "{create_snapshot} takes one"],
    ),
    // Guests.
    guest(
        |error| error.guest_trouble() == Some(GuestTrouble::Login),
        &["check user name and password (on Windows DOMAIN\\user); do not try others, since refusals lock accounts"],
    ),
    guest(
        |error| error.guest_trouble() == Some(GuestTrouble::NotReady),
        &["{wait_for_vm_tools} waits until they run", "{get_vm_tools_status} shows what they do now"],
    ),
    guest(|error| error.guest_trouble() == Some(GuestTrouble::NotRunning), &["{power_on_vm} starts it"]),
    guest(
        |error| error.guest_trouble() == Some(GuestTrouble::Denied),
        &["use an account of the guest that may do it, such as root or Administrator"],
    ),
    guest(|error| error.guest_trouble() == Some(GuestTrouble::TooManyLogons), &["try again in a minute"]),
    guest(
        |error| error.guest_trouble() == Some(GuestTrouble::Disabled),
        &["the administrator of the guest can allow it in its tools.conf"],
    ),
    guest(|error| error.guest_trouble() == Some(GuestTrouble::OldTools), &["update VMware Tools in the guest"]),
    guest(
        |error| error.guest_trouble() == Some(GuestTrouble::Missing),
        &["paths and programs must be absolute", "{list_guest_directory} shows what there is"],
    ),
    guest(|error| error.guest_trouble() == Some(GuestTrouble::NotEmpty), &["`recursive` deletes all that is in it"]),
    guest(|error| error.guest_trouble() == Some(GuestTrouble::NotAFile), &["{list_guest_directory} lists it"]),
    guest(|error| error.guest_trouble() == Some(GuestTrouble::Link), &["name the file that it leads to"]),
    guest(
        |error| error.guest_trouble() == Some(GuestTrouble::Inaccessible),
        &["the file system may be read-only or the file protected"],
    ),
    guest(|error| error.guest_trouble() == Some(GuestTrouble::DiskFull), &["free space in the guest first"]),
    guest(|error| error.guest_trouble() == Some(GuestTrouble::InUse), &["end the program that has it open"]),
    row(
        Of::Tools(&["read_guest_file"]),
        When::Is(|error| matches!(error.kind(), ErrorKind::Unsupported(_))),
        &["{run_command_in_guest} shows it by cat"],
    ),
    guest(
        |error| error.guest_trouble() == Some(GuestTrouble::HostUnreachable),
        &[
            "files and output come from the VM's host: the computer that runs mcvsphere must reach it at this name and port, \
           and its certificate must be the one that vCenter knows",
        ],
    ),
    // Power states.
    row(Of::Toolset(Toolset::Power), When::PowerState(State::Suspended), &["{power_on_vm} resumes it"]),
    row(Of::Any, When::PowerState(State::PoweredOff), &["{power_on_vm} starts it"]),
    row(
        Of::Any,
        When::PowerState(State::Suspended),
        &["the VM must be off for this", "{power_off_vm} ends what is suspended, {power_on_vm} resumes it"],
    ),
    row(Of::Any, When::PowerState(State::PoweredOn), OFF),
    row(Of::Any, When::Fault("DeviceHotPlugNotSupported"), OFF),
    row(
        Of::Any,
        When::Fault("CpuHotPlugNotSupported"),
        &[
            "CPUs can be added to a running VM only where cpu_hot_add is on: power it off, change it (and set cpu_hot_add for \
           the next time), power it on",
        ],
    ),
    row(
        Of::Any,
        When::Fault("MemoryHotPlugNotSupported"),
        &["memory can be added to a running VM only where memory_hot_add is on: power it off, change it (and set \
           memory_hot_add for the next time), power it on"],
    ),
    row(
        Of::Tools(&["wait_for_vm_tools"]),
        When::Is(|error| matches!(error.kind(), ErrorKind::InvalidState(_))),
        &["{power_on_vm} starts it"],
    ),
    row(
        Of::Tools(&["wait_for_vm_tools"]),
        When::Is(|error| matches!(error.kind(), ErrorKind::TimedOut(_))),
        &["call again to go on waiting", "{get_vm_tools_status} shows what they do now"],
    ),
    row(
        Of::Tools(&["vm_screenshot", "send_keys"]),
        When::Is(|error| matches!(error.kind(), ErrorKind::InvalidState(_))),
        &["{power_on_vm} starts it"],
    ),
    // Hosts.
    row(
        Of::Any,
        When::Is(|error| matches!(error.circumstance(), Some(Circumstance::KeptFromMaintenance(_)))),
        &[
            "move these VMs or end them, then call again",
            "{migrate_vm} moves one",
            "{shutdown_guest} ends one cleanly, {power_off_vm} at once",
            "{detach_iso} takes an image out of a CD drive",
        ],
    ),
    row(
        Of::Tools(&["enter_maintenance_mode"]),
        When::Is(|error| matches!(error.kind(), ErrorKind::InvalidArgument(_))),
        &["leave evacuate_powered_off out, or set it to false"],
    ),
    row(
        Of::Any,
        When::Is(|error| error.circumstance() == Some(&Circumstance::NotInMaintenanceMode)),
        &["{enter_maintenance_mode} first; force ends VMs that run as a power failure would"],
    ),
    row(
        Of::Tools(&["exit_maintenance_mode"]),
        When::Fault("InvalidState"),
        &["a host that has just been started may not be ready yet: try again in a minute"],
    ),
    row(
        Of::Tools(&["get_service_status", "start_service", "stop_service", "restart_service", "set_service_policy"]),
        When::Is(|error| error.circumstance() == Some(&Circumstance::NoSuchService)),
        &["give one of these keys"],
    ),
    // Files.
    row(
        Of::Any,
        When::Is(|error| error.circumstance() == Some(&Circumstance::DatastoreInaccessible)),
        &["{get_datastore_info} tells which hosts have it"],
    ),
    row(
        Of::Tools(&["move_datastore_file", "copy_datastore_file"]),
        When::Is(exists),
        &["choose another dest_path, or set force to overwrite it once the user agrees"],
    ),
    row(
        Of::Tools(&["delete_datastore_file"]),
        When::Is(|error| matches!(error.kind(), ErrorKind::InvalidState(_))),
        &["set recursive to delete it with all that is in it", "{browse_datastore} shows what that is"],
    ),
    row(
        Of::Tools(&["delete_datastore_file"]),
        When::Is(|error| matches!(error.kind(), ErrorKind::Unsupported(_))),
        &["delete the disk itself, or its folder with recursive"],
    ),
    row(
        Of::Tools(&["upload_to_datastore"]),
        When::Is(Error::is_not_found),
        &["{create_datastore_folder} makes it", "{browse_datastore} shows what there is"],
    ),
    row(Of::Any, When::Fault("FileNotFound"), &["{browse_datastore} shows what there is"]),
    row(
        Of::Toolset(Toolset::Files),
        When::Fault("CannotCreateFile"),
        &["on this datastore files go into folders", "{create_datastore_folder} makes one"],
    ),
    row(
        Of::Toolset(Toolset::Files),
        When::Fault("CannotDeleteFile"),
        &["a VM that runs has files in it open: power it off, or leave its folder"],
    ),
    row(
        Of::Toolset(Toolset::Files),
        When::Is(|error| error.is_not_found()),
        &["{browse_datastore} shows what there is"],
    ),
    // VMware Tools.
    row(
        Of::Toolset(Toolset::Snapshots),
        When::Is(without_tools),
        &["{wait_for_vm_tools} waits until they run", "take it without quiesce otherwise"],
    ),
    row(
        Of::Toolset(Toolset::Power),
        When::Is(without_tools),
        &["{wait_for_vm_tools} waits until they run", "{power_off_vm} and {reset_vm} do without them"],
    ),
    row(Of::Any, When::Is(without_tools), &["{wait_for_vm_tools} waits until they run"]),
    // What else is going on.
    row(Of::Any, When::Is(Error::is_busy), &["another task holds it: try again once that has ended"]),
    row(
        Of::Any,
        When::Fault("FileLocked"),
        &["another VM that runs, or a task such as a backup, holds the file: end that first"],
    ),
    // Snapshots.
    row(Of::Any, When::Fault("ApplicationQuiesceFault"), LESS_BUSY),
    row(Of::Any, When::Fault("FilesystemQuiesceFault"), LESS_BUSY),
    row(Of::Any, When::Fault("MemorySnapshotOnIndependentDisk"), &["take it without memory, or while the VM is off"]),
    row(
        Of::Any,
        When::Fault("TooManySnapshotLevels"),
        &["{list_snapshots} shows the snapshots", "{delete_snapshot} makes room"],
    ),
    row(
        Of::Any,
        When::Fault("SnapshotDisabled"),
        &["the VM's option snapshot.maxSnapshots is 0; change it to allow snapshots"],
    ),
    row(
        Of::Any,
        When::Fault("SnapshotIncompatibleDeviceInVm"),
        &["make the disk independent, or remove the device", "{get_vm_info} and {list_disks} show the devices"],
    ),
    row(
        Of::Any,
        When::Is(|error| error.circumstance() == Some(&Circumstance::NoSnapshot)),
        &["{create_snapshot} takes one"],
    ),
    row(
        Of::Any,
        When::Is(|error| error.circumstance() == Some(&Circumstance::DiskHasSnapshots)),
        &["{delete_snapshot} deletes one snapshot, {delete_all_snapshots} all of them"],
    ),
    // Disks and devices.
    row(Of::Any, When::Fault("NoDiskSpace"), SPACE),
    row(Of::Any, When::Fault("InsufficientStorageSpace"), SPACE),
    row(Of::Any, When::Fault("InsufficientDisks"), SPACE),
    row(
        Of::Any,
        When::Fault("TooManyDevices"),
        &["the VM has as many devices of this kind as it may: remove one first"],
    ),
    row(
        Of::Any,
        When::Fault("DeviceUnsupportedForVmVersion"),
        &["the VM's virtual hardware is too old for this device"],
    ),
    row(Of::Any, When::Fault("DeviceUnsupportedForVmPlatform"), &["the host can't offer this device"]),
    row(
        Of::Tools(&["set_nic_mac"]),
        When::Fault("InvalidDeviceSpec"),
        &["servers always take 00:50:56:00:00:00 to 00:50:56:3f:ff:ff"],
    ),
    row(
        Of::Any,
        When::Is(|error| error.circumstance() == Some(&Circumstance::NoSerialPort)),
        &["{setup_serial_port} adds one"],
    ),
    row(
        Of::Any,
        When::Is(|error| error.circumstance() == Some(&Circumstance::LeftDisconnected)),
        &["{connect_serial_port} connects it"],
    ),
    // The inventory.
    row(
        Of::Tools(&["delete_folder"]),
        When::Is(|error| error.circumstance() == Some(&Circumstance::HoldsVms)),
        &[
            "vms=unregister keeps their files, vms=destroy deletes them with their disks: have the user decide",
            "{move_vm_to_folder} moves one elsewhere",
        ],
    ),
    row(
        Of::Tools(&["delete_folder"]),
        When::Is(|error| error.circumstance() == Some(&Circumstance::VmsRun)),
        &["{shutdown_guest} or {power_off_vm} first, once the user agrees"],
    ),
    row(
        Of::Tools(&["create_resource_pool"]),
        When::Fault("DuplicateName"),
        &["choose another name", "{list_resource_pools} shows the pools"],
    ),
    row(
        Of::Tools(&["create_resource_pool", "move_vm_to_resource_pool"]),
        When::Fault("InsufficientResourcesFault"),
        &["reserve less, or choose another pool", "{get_resource_pool_info} shows how much each has left"],
    ),
    row(
        Of::Tools(&["create_drs_rule"]),
        When::Is(|error| matches!(error.kind(), ErrorKind::InvalidState(_))),
        &["{list_drs_rules} shows the rules", "{delete_drs_rule} deletes one that is no longer wanted"],
    ),
    row(
        Of::Tools(&["delete_drs_rule"]),
        When::Is(|error| error.circumstance() == Some(&Circumstance::NoSuchRule)),
        &["{list_drs_rules} shows the rules"],
    ),
    row(
        Of::Tools(&["apply_drs_recommendation"]),
        When::Is(|error| error.circumstance() == Some(&Circumstance::NoSuchRecommendation)),
        &["DRS replaces them every few minutes: {get_drs_recommendations} shows the present ones"],
    ),
    // Plans that do not hold any longer.
    row(
        Of::Any,
        When::Is(|error| matches!(error.kind(), ErrorKind::Changed(_))),
        &["call again without `confirm` to see what is there now, and have the user decide"],
    ),
    // Places.
    row(
        Of::Any,
        When::Fault("NoActiveHostInCluster"),
        &["no host of the cluster can run VMs now: choose another one", "{list_hosts} shows the state of each"],
    ),
    row(
        Of::Any,
        When::Fault("HostNotConnected"),
        &["choose another host, or reconnect this one", "{list_hosts} shows the state of each"],
    ),
    row(
        Of::Any,
        When::Fault("InvalidHostState"),
        &["choose another host, or end its maintenance mode", "{list_hosts} shows the state of each"],
    ),
    row(Of::Any, When::Fault("InvalidDatastore"), &["choose another datastore that the host or cluster sees"]),
    row(
        Of::Any,
        When::Fault("InsufficientResourcesFault"),
        &["the pool or host has too little left: choose another one, or ask for less"],
    ),
    // What a VM is made of.
    row(
        Of::Any,
        When::Is(|error| error.circumstance() == Some(&Circumstance::NotATemplate)),
        &["{clone_vm} clones a VM", "{list_templates} shows the templates"],
    ),
    row(
        Of::Any,
        When::Is(|error| matches!(error.circumstance(), Some(Circumstance::Created(_)))),
        &["{power_on_vm} powers it on"],
    ),
    row(
        Of::Any,
        When::Fault("CustomizationFault"),
        &["check the customization specification; the guest needs VMware Tools for it"],
    ),
    row(Of::Any, When::Fault("DuplicateName"), &["choose another name, or another folder"]),
    row(Of::Any, When::Fault("InvalidName"), NAME),
    row(Of::Toolset(Toolset::Vm), When::Property("name"), NAME),
    row(
        Of::Toolset(Toolset::Vm),
        When::Property("guestId"),
        &[
            "guest_id must be one that the host offers, such as ubuntu64Guest, rhel9_64Guest, windows2019srv_64Guest or \
           otherGuest64",
        ],
    ),
    row(
        Of::Toolset(Toolset::Vm),
        When::Property("numCPUs"),
        &["cpu must be at least 1, and no more than the host and the VM's virtual hardware allow"],
    ),
    row(
        Of::Toolset(Toolset::Vm),
        When::Property("numCoresPerSocket"),
        &["cores_per_socket must divide cpu: give both"],
    ),
    row(
        Of::Toolset(Toolset::Vm),
        When::Property("memoryMB"),
        &["memory_mb must be a multiple of 4, and no more than the host allows"],
    ),
    row(Of::Toolset(Toolset::Vm), When::Property("firmware"), &["firmware must be bios or efi"]),
    // Rights.
    row(Of::Any, When::Fault("RestrictedVersion"), LICENCE),
    row(Of::Any, When::Is(|error| error.circumstance() == Some(&Circumstance::ReadOnlyLicence)), LICENCE),
    // The way to the server.
    row(Of::Any, When::Cause(Cause::UnknownHost), &["check the host name in VCENTER_HOST"]),
    row(Of::Any, When::Cause(Cause::NameServer), &["check the DNS and the network of this machine"]),
    row(Of::Any, When::Cause(Cause::Refused), &["check the port in VCENTER_HOST, and that vCenter runs there"]),
    row(
        Of::Any,
        When::Cause(Cause::Unreachable),
        &["check the address in VCENTER_HOST, and the route, VPN and firewall to it"],
    ),
    row(Of::Any, When::Cause(Cause::NotPermitted), &["check the firewall and the sandbox of this machine"]),
    row(
        Of::Any,
        When::Cause(Cause::NoAnswer),
        &["check the address in VCENTER_HOST, and whether a firewall drops what is sent to it"],
    ),
    row(
        Of::Any,
        When::Cause(Cause::Proxy),
        &["check the proxy that HTTPS_PROXY or ALL_PROXY names, or leave the server out by NO_PROXY"],
    ),
    row(
        Of::Any,
        When::Cause(Cause::Untrusted),
        &[
            "compare the thumbprint with the one that the server's own console shows, then set VCENTER_THUMBPRINT to it, or \
           VCENTER_CA_FILE to the CA's certificate",
        ],
    ),
    row(
        Of::Any,
        When::Cause(Cause::Expired),
        &["renew the server's certificate, or set VCENTER_THUMBPRINT, to which dates do not matter"],
    ),
    row(Of::Any, When::Cause(Cause::NotYetValid), &["set the clock of this machine or of the server"]),
    row(
        Of::Any,
        When::Cause(Cause::OtherName),
        &[
            "set VCENTER_HOST to a name that the certificate is made for, or set VCENTER_THUMBPRINT, to which names do not \
           matter",
        ],
    ),
    row(
        Of::Any,
        When::Cause(Cause::OtherPin),
        &["if the server's certificate was replaced, set VCENTER_THUMBPRINT to the new one; otherwise another server \
           answers in its place"],
    ),
    row(Of::Any, When::Cause(Cause::OldTls), &["TLS 1.2 or later must be on at the server"]),
    row(Of::Any, When::Cause(Cause::NotTls), &["check the port in VCENTER_HOST: HTTPS is expected there"]),
    row(Of::Any, When::Cause(Cause::Slow), &["try again later, or ask for less"]),
    row(Of::Any, When::Cause(Cause::Unavailable), &["the server may be starting or overloaded: try again later"]),
    row(Of::Any, When::Cause(Cause::Redirected), &["set VCENTER_HOST to the address of vCenter or ESXi itself"]),
    row(Of::Any, When::Cause(Cause::NoSuchPage), ADDRESS),
    row(Of::Any, When::Cause(Cause::NotVsphere), ADDRESS),
    row(Of::Any, When::Cause(Cause::TooLarge), &["the limit is VCENTER_MAX_ANSWER_MB"]),
    row(
        Of::Any,
        When::Is(|error| matches!(error.kind(), ErrorKind::Refused(_)) || error.is_fault("InvalidLogin")),
        &["check VCENTER_USER and VCENTER_PASSWORD"],
    ),
    // Tasks.
    row(
        Of::Any,
        When::Is(|error| error.circumstance() == Some(&Circumstance::NotCancelable)),
        &["{wait_task} waits for its end"],
    ),
    row(
        Of::Any,
        When::Is(|error| matches!(error.kind(), ErrorKind::Unfinished { .. })),
        &["{wait_task} waits for the task's end"],
    ),
    // What is meant.
    row(
        Of::Any,
        When::Is(|error| matches!(error.circumstance(), Some(Circumstance::TagInTheWay(_)))),
        &["call again with replace=true to take that one away"],
    ),
    row(
        Of::Any,
        When::Is(|error| matches!(error.circumstance(), Some(Circumstance::NameOfAnother(_)))),
        &["call again with the path of one candidate, or with its id after its type, as in VirtualMachine:vm-42"],
    ),
    row(
        Of::Any,
        When::Is(|error| !error.candidates().is_empty()),
        &["call again with the path or the id of one candidate"],
    ),
    row(
        Of::Any,
        When::Is(|error| error.cause().is_none() && error.is_not_found()),
        &["the list tools show what there is"],
    ),
];

/// Whether something is at the destination already.
fn exists(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidState(_)) || error.is_fault("FileAlreadyExists")
}

fn obstructed(error: &Error) -> bool {
    matches!(error.circumstance(), Some(Circumstance::Obstructed(_)))
}

fn without_tools(error: &Error) -> bool {
    error.circumstance() == Some(&Circumstance::ToolsNotRunning) || error.is_fault("ToolsUnavailable")
}
