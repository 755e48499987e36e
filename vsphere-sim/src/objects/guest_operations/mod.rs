//! Guest operations: what clients do inside the guest of a machine, through VMware Tools.
//!
//! A machine's `extraConfig` can make the Tools difficult, by `guestinfo.sim.guestops`: `disabled`, `unsupported`, `old` or
//! `logons` answer the fault of that name; and by `guestinfo.sim.transfer_host`, files are said to be at another host.

mod file;
mod process;
pub(crate) mod transfer;

use vsphere_model::managed;
use vsphere_model::types::{
    CannotAccessFile, DirectoryNotEmpty, FileAlreadyExists, FileFault, FileLocked, FileNotFound, GuestAuthentication,
    GuestComponentsOutOfDate, GuestOperationsUnavailable, GuestPermissionDenied, InvalidGuestLogin, MethodFault,
    NamePasswordAuthentication, NoDiskSpace, NotADirectory, NotAFile, OperationDisabledByGuest,
    OperationNotSupportedByGuest, Poly, SystemError, TooManyGuestLogons, VirtualMachineGuestState,
    VirtualMachinePowerState,
};
use vsphere_soap::object::{Extends, ManagedInfo, ManagedType as _};

use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::guest::files::{Errno, User};
use crate::guest::{Facts, System};
use crate::model::ServerKind;
use crate::objects::vm::{Vm, guest};
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) use file::METHODS as FILE_METHODS;
pub(crate) use process::METHODS as PROCESS_METHODS;

pub(crate) const METHODS: Methods =
    &[("GuestAuthManager", "ValidateCredentialsInGuest", Handler::Write(validate_credentials))];

/// The managed object `GuestOperationsManager`.
struct GuestOperationsManager {
    auth: Moref,
    file: Moref,
    process: Moref,
}

impl Managed for GuestOperationsManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::GuestOperationsManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "authManager" => Prop::kept(&self.auth),
            "fileManager" => Prop::kept(&self.file),
            "processManager" => Prop::kept(&self.process),
            _ => Prop::UNSET,
        }
    }
}

/// A manager without properties.
struct Manager(&'static ManagedInfo);

impl Managed for Manager {
    fn info(&self) -> &'static ManagedInfo {
        self.0
    }

    fn read<'a>(&'a self, _: &Look<'a>, _: &str) -> Prop<'a> {
        Prop::UNSET
    }
}

pub(super) fn install(world: &mut World) {
    // Each product has its own names for them.
    let ids = match world.settings.kind {
        ServerKind::VCenter => [
            "guestOperationsManager",
            "guestOperationsAuthManager",
            "guestOperationsFileManager",
            "guestOperationsProcessManager",
        ],
        ServerKind::Esxi => [
            "ha-guest-operations-manager",
            "ha-guest-operations-auth-manager",
            "ha-guest-operations-file-manager",
            "ha-guest-operations-process-manager",
        ],
    };
    let auth = world.add_as(ids[1], Manager(managed::GuestAuthManager::INFO));
    let file = world.add_as(ids[2], Manager(managed::GuestFileManager::INFO));
    let process = world.add_as(ids[3], Manager(managed::GuestProcessManager::INFO));
    let manager = world.add_as(ids[0], GuestOperationsManager { auth, file, process });
    world.content.guest_operations_manager = Some(manager);
}

const QUERY: &str = "VirtualMachine.GuestOperations.Query";
const MODIFY: &str = "VirtualMachine.GuestOperations.Modify";
const EXECUTE: &str = "VirtualMachine.GuestOperations.Execute";

/// The machine and the user that a call is for, checked as a server and the Tools check them.
fn enter(world: &mut World, call: &Call, privilege: &str) -> Outcome<(Moref, User)> {
    let vm: Moref = call.arg("vm")?;
    world.demand(call, &vm, privilege)?;
    let now = world.now();
    let machine = world.get::<Vm>(&vm)?;
    machine.must_be(&[VirtualMachinePowerState::PoweredOn], None)?;
    let restarting = [VirtualMachineGuestState::Resetting, VirtualMachineGuestState::ShuttingDown];
    if restarting.iter().any(|state| machine.guest.guest_state == state.as_str()) {
        let reason = "vix error codes = (3016, 0).\n".to_owned();
        let text = format!("A general system error occurred: {reason}");
        return Err(Fault::new(SystemError { reason, ..Default::default() }, text));
    }
    let trouble = guest::extra_config(&machine.config, "guestinfo.sim.guestops").unwrap_or_default().to_owned();
    if machine.guest.guest_operations_ready != Some(true) || machine.guest_plan.is_none() {
        let text = "The guest operations agent could not be contacted.";
        return Err(Fault::new(GuestOperationsUnavailable::default(), text));
    }
    match trouble.as_str() {
        "disabled" => {
            let text = "The operation has been disabled on the guest.";
            return Err(Fault::new(OperationDisabledByGuest::default(), text));
        }
        "unsupported" => {
            let text = "The operation is not supported on this guest.";
            return Err(Fault::new(OperationNotSupportedByGuest::default(), text));
        }
        "old" => {
            let text = "The guest components are out of date.";
            return Err(Fault::new(GuestComponentsOutOfDate::default(), text));
        }
        "logons" => {
            let text = "There are too many logons to the guest.";
            return Err(Fault::new(TooManyGuestLogons::default(), text));
        }
        _ => {}
    }
    let facts = facts(machine);
    let windows = guest::is_windows(&machine.config.guest_id);
    let turn = machine.life.turn();
    let machine = world.quietly_edit::<Vm>(&vm)?;
    let system = machine.guest_system.get_or_insert_with(|| Box::new(System::installed(windows, facts.clone(), now)));
    system.be_in(turn, facts, now);
    let auth: Poly<GuestAuthentication> = call.arg("auth")?;
    let Some(login) = auth.downcast_ref::<NamePasswordAuthentication>() else {
        let text = "The kind of authentication is not supported on this guest.";
        return Err(Fault::new(OperationNotSupportedByGuest::default(), text));
    };
    // There is nobody at the desktop.
    let user = system.login(&login.username, &login.password).filter(|_| !login.interactive_session);
    let user = user.ok_or_else(|| {
        let text = "Failed to authenticate with the guest operating system using the supplied credentials.";
        Fault::new(InvalidGuestLogin::default(), text)
    })?;
    Ok((vm, user))
}

fn facts(machine: &Vm) -> Facts {
    Facts {
        host_name: machine.guest.host_name.clone().unwrap_or_default(),
        os: machine.config.guest_full_name.clone(),
        address: machine.guest.ip_address.clone(),
        mac: machine.guest.net.first().and_then(|nic| nic.mac_address.clone()),
        memory_mb: machine.config.hardware.memory_mb.into(),
        cpus: machine.config.hardware.num_cpu,
        booted: machine.runtime.boot_time,
    }
}

/// The system of a machine that was entered.
fn system<'a>(world: &'a mut World, vm: &Moref) -> Outcome<&'a mut System> {
    let found = world.quietly_edit::<Vm>(vm)?.guest_system.as_deref_mut();
    found.ok_or_else(|| Fault::not_found(vm))
}

fn validate_credentials(world: &mut World, call: &Call) -> Outcome<Reply> {
    enter(world, call, QUERY).map(|_| Reply::NONE)
}

/// The fault that VMware Tools answer where a file operation fails.
fn file_fault(error: Errno, path: &str) -> Fault {
    fn of<F: Extends<MethodFault> + std::ops::DerefMut<Target = FileFault>>(
        mut fault: F,
        path: &str,
        text: &str,
    ) -> Fault {
        path.clone_into(&mut fault.file);
        Fault::new(fault, format!("{text} {path}"))
    }
    match error {
        Errno::Missing => of(FileNotFound::default(), path, "File not found:"),
        Errno::Exists => {
            of(FileAlreadyExists::default(), path, "The specified key, name, or identifier exists already:")
        }
        Errno::NotADirectory => of(NotADirectory::default(), path, "Not a directory:"),
        Errno::IsADirectory => of(NotAFile::default(), path, "Not a file:"),
        Errno::NotEmpty => of(DirectoryNotEmpty::default(), path, "The directory is not empty:"),
        Errno::ReadOnly => of(CannotAccessFile::default(), path, "Unable to access file (read-only file system):"),
        Errno::Full => of(NoDiskSpace::default(), path, "There is not enough space in the file system:"),
        Errno::InUse => of(FileLocked::default(), path, "Unable to access file since it is locked:"),
        Errno::Denied => {
            let text = "Permission to perform this operation was denied in the guest.";
            Fault::new(GuestPermissionDenied::default(), text)
        }
        Errno::Invalid => Fault::invalid_argument("guestFilePath"),
    }
}
