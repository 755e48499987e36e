//! The local accounts of a host, and who may come in past vCenter.

use vsphere_model::types::{
    AlreadyExists, HostAccessControlEntry, HostAccessMode, HostAccountSpec, HostLockdownMode, HostPosixAccountSpec,
    Poly, UserNotFound,
};

use super::part;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::World;

pub(crate) const METHODS: Methods = &[
    ("HostLocalAccountManager", "CreateUser", Handler::Write(create)),
    ("HostLocalAccountManager", "UpdateUser", Handler::Write(update)),
    ("HostLocalAccountManager", "RemoveUser", Handler::Write(remove)),
    ("HostLocalAccountManager", "ChangePassword", Handler::Write(change_password)),
    ("HostAccessManager", "RetrieveHostAccessControlEntries", Handler::Read(entries)),
    ("HostAccessManager", "ChangeAccessMode", Handler::Write(change_access)),
    ("HostAccessManager", "ChangeLockdownMode", Handler::Write(change_lockdown)),
    ("HostAccessManager", "QueryLockdownExceptions", Handler::Read(exceptions)),
    ("HostAccessManager", "UpdateLockdownExceptions", Handler::Write(update_exceptions)),
    ("HostSystem", "EnterLockdownMode", Handler::Write(enter_lockdown)),
    ("HostSystem", "ExitLockdownMode", Handler::Write(exit_lockdown)),
];

/// A local account. Its password is not kept: nobody logs in to a simulated host.
pub(in crate::objects) struct Account {
    name: String,
    description: String,
    access: HostAccessMode,
}

/// The accounts of a fresh host.
pub(super) fn defaults() -> Vec<Account> {
    let account = |name: &str, description: &str| Account {
        name: name.to_owned(),
        description: description.to_owned(),
        access: HostAccessMode::AccessAdmin,
    };
    vec![account("root", "Administrator"), account("dcui", "DCUI User"), account("vpxuser", "VMware VirtualCenter")]
}

fn not_found(name: &str) -> Fault {
    let fault = UserNotFound { principal: name.to_owned(), ..Default::default() };
    Fault::new(fault, format!("The user '{name}' does not exist."))
}

/// The account that an argument of the call names.
fn account<'w>(world: &'w mut World, call: &Call, name: &str) -> Outcome<&'w mut Account> {
    let accounts = &mut part::edit_host(world, call)?.accounts;
    accounts.iter_mut().find(|account| account.name == name).ok_or_else(|| not_found(name))
}

fn create(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: Poly<HostAccountSpec> = call.arg("user")?;
    check_password(spec.password.as_deref())?;
    let accounts = &mut part::edit_host(world, call)?.accounts;
    if spec.id.is_empty() || spec.id.len() > 32 {
        return Err(Fault::invalid_argument("user.id"));
    }
    if accounts.iter().any(|account| account.name == spec.id) {
        let fault = AlreadyExists { name: Some(spec.id.clone()), ..Default::default() };
        return Err(Fault::new(fault, format!("The user '{}' already exists.", spec.id)));
    }
    // An account with access to the shell may do all; another one nothing until it is given a role.
    let shell = spec.downcast_ref::<HostPosixAccountSpec>().and_then(|posix| posix.shell_access) == Some(true);
    accounts.push(Account {
        name: spec.id.clone(),
        description: spec.description.clone().unwrap_or_default(),
        access: if shell { HostAccessMode::AccessAdmin } else { HostAccessMode::AccessNone },
    });
    Ok(Reply::NONE)
}

fn update(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: Poly<HostAccountSpec> = call.arg("user")?;
    if spec.password.is_some() {
        check_password(spec.password.as_deref())?;
    }
    let account = account(world, call, &spec.id)?;
    if let Some(description) = &spec.description {
        account.description.clone_from(description);
    }
    Ok(Reply::NONE)
}

/// A host wants at least seven characters.
fn check_password(password: Option<&str>) -> Outcome<()> {
    match password {
        Some(password) if password.chars().count() >= 7 => Ok(()),
        _ => Err(Fault::invalid_argument("user.password")),
    }
}

fn remove(world: &mut World, call: &Call) -> Outcome<Reply> {
    let name: String = call.arg("userName")?;
    account(world, call, &name)?;
    if ["root", "dcui", "vpxuser"].contains(&name.as_str()) {
        return Err(Fault::invalid_argument("userName"));
    }
    part::edit_host(world, call)?.accounts.retain(|account| account.name != name);
    Ok(Reply::NONE)
}

fn change_password(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (name, password): (String, String) = (call.arg("user")?, call.arg("newPassword")?);
    account(world, call, &name)?;
    check_password(Some(&password))?;
    Ok(Reply::NONE)
}

fn entries(world: &World, call: &Call) -> Outcome<Reply> {
    let accounts = part::host(world, call)?.accounts.iter().filter(|one| one.access != HostAccessMode::AccessNone);
    let entry = |account: &Account| HostAccessControlEntry {
        principal: account.name.clone(),
        group: false,
        access_mode: account.access.clone(),
    };
    Ok(Reply::list(accounts.map(entry).collect()))
}

fn change_access(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (name, mode): (String, HostAccessMode) = (call.arg("principal")?, call.arg("accessMode")?);
    account(world, call, &name)?.access = mode;
    Ok(Reply::NONE)
}

fn change_lockdown(world: &mut World, call: &Call) -> Outcome<Reply> {
    let mode: HostLockdownMode = call.arg("mode")?;
    part::edit_host(world, call)?.lockdown = mode;
    Ok(Reply::NONE)
}

fn exceptions(world: &World, call: &Call) -> Outcome<Reply> {
    Ok(Reply::list(part::host(world, call)?.lockdown_exceptions.clone()))
}

fn update_exceptions(world: &mut World, call: &Call) -> Outcome<Reply> {
    let users: Vec<String> = call.arg("users")?;
    part::edit_host(world, call)?.lockdown_exceptions = users;
    Ok(Reply::NONE)
}

fn enter_lockdown(world: &mut World, call: &Call) -> Outcome<Reply> {
    set_lockdown(world, call, HostLockdownMode::LockdownNormal)
}

fn exit_lockdown(world: &mut World, call: &Call) -> Outcome<Reply> {
    set_lockdown(world, call, HostLockdownMode::LockdownDisabled)
}

fn set_lockdown(world: &mut World, call: &Call, mode: HostLockdownMode) -> Outcome<Reply> {
    super::connection::check_reachable(world, &call.target)?;
    world.edit::<super::Host>(&call.target)?.lockdown = mode;
    Ok(Reply::NONE)
}
