//! The authorization manager: roles, and the permissions that give them to users.

use std::collections::BTreeSet;

use vsphere_model::managed;
use vsphere_model::types::{
    AlreadyExists, AuthMinimumAdminPermission, AuthorizationDescription, AuthorizationPrivilege, AuthorizationRole,
    Description, ElementDescription, EntityPrivilege, InvalidName, NotFound, Permission, PermissionAddedEvent,
    PermissionEvent, PermissionRemovedEvent, PermissionUpdatedEvent, Poly, PrivilegeAvailability, RemoveFailed,
    RoleAddedEvent, RoleEvent, RoleEventArgument, RoleRemovedEvent, RoleUpdatedEvent, UserNotFound,
    UserPrivilegeResult,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::roles::{self, Role};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::model::{principal, same};
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("AuthorizationManager", "AddAuthorizationRole", Handler::Write(add_role)),
    ("AuthorizationManager", "UpdateAuthorizationRole", Handler::Write(update_role)),
    ("AuthorizationManager", "RemoveAuthorizationRole", Handler::Write(remove_role)),
    ("AuthorizationManager", "MergePermissions", Handler::Write(merge)),
    ("AuthorizationManager", "RetrieveRolePermissions", Handler::Read(of_role)),
    ("AuthorizationManager", "RetrieveEntityPermissions", Handler::Read(of_entity)),
    ("AuthorizationManager", "RetrieveAllPermissions", Handler::Read(all)),
    ("AuthorizationManager", "SetEntityPermissions", Handler::Write(set)),
    ("AuthorizationManager", "ResetEntityPermissions", Handler::Write(reset)),
    ("AuthorizationManager", "RemoveEntityPermission", Handler::Write(remove)),
    ("AuthorizationManager", "HasPrivilegeOnEntity", Handler::Read(has_on_entity)),
    ("AuthorizationManager", "HasPrivilegeOnEntities", Handler::Read(has_on_entities)),
    ("AuthorizationManager", "HasUserPrivilegeOnEntities", Handler::Read(user_has)),
    ("AuthorizationManager", "FetchUserPrivilegeOnEntities", Handler::Read(fetch)),
];

/// The managed object `AuthorizationManager`.
struct AuthorizationManager;

impl Managed for AuthorizationManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::AuthorizationManager::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "roleList" => {
                let roles = &look.world.rights.roles;
                Prop::made_list(roles.iter().map(|(id, role)| describe(*id, role)).collect())
            }
            "privilegeList" => Prop::made_list(roles::all().iter().map(|id| privilege(id)).collect()),
            "description" => Prop::made(description()),
            _ => Prop::UNSET,
        }
    }
}

pub(super) fn install(world: &mut World) {
    world.content.authorization_manager = Some(world.add_as("AuthorizationManager", AuthorizationManager));
    let root = world.content.root_folder.clone();
    let admin = |principal: String, group| Permission {
        entity: Some(root.clone()),
        principal,
        group,
        role_id: roles::ADMIN,
        propagate: true,
    };
    // The users of a new model are its administrators; others come with permissions of their own.
    let mut permissions = Vec::new();
    if let Some(user) = world.settings.users.first() {
        permissions.push(admin(user.principal.clone(), false));
    }
    if let Some(group) = world.settings.groups.first() {
        permissions.push(admin(group.principal.clone(), true));
    }
    world.set_permissions(&root, permissions);
}

fn describe(id: i32, role: &Role) -> AuthorizationRole {
    AuthorizationRole {
        role_id: id,
        system: role.system,
        name: role.name.clone(),
        info: Poly::new(Description { label: role.label.clone(), summary: role.summary.clone() }),
        privilege: role.privileges(),
    }
}

fn privilege(id: &str) -> AuthorizationPrivilege {
    let (group, name) = id.rsplit_once('.').unwrap_or((id, id));
    AuthorizationPrivilege {
        priv_id: id.to_owned(),
        // Who creates something needs the right on what it is to stand in.
        on_parent: name.starts_with("Create"),
        name: name.to_owned(),
        priv_group_name: group.to_owned(),
    }
}

fn description() -> AuthorizationDescription {
    let element = |key: &str, label: &str| {
        let base = Description { label: label.to_owned(), summary: label.to_owned() };
        Poly::new(ElementDescription { base, key: key.to_owned() })
    };
    let groups: BTreeSet<String> = roles::all().iter().map(|id| privilege(id).priv_group_name).collect();
    AuthorizationDescription {
        privilege: roles::all().iter().map(|id| element(id, &privilege(id).name)).collect(),
        privilege_group: groups.iter().map(|group| element(group, group)).collect(),
    }
}

fn argument(id: i32, name: &str) -> RoleEventArgument {
    RoleEventArgument { role_id: id, name: name.to_owned(), ..Default::default() }
}

fn add_role(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (name, privileges): (String, Vec<String>) = (call.arg("name")?, call.arg("privIds")?);
    check_role(world, None, &name, &privileges)?;
    let id = world.rights.roles.keys().last().copied().unwrap_or_default().max(0) + 1;
    let role = Role::made(&name, privileges);
    let event = RoleAddedEvent { privilege_list: role.privileges(), base: about_role(id, &name) };
    world.rights.roles.insert(id, role);
    world.touch(&call.target);
    post(world, call, event, format!("New role {name} created"));
    Ok(Reply::of(id))
}

fn about_role(id: i32, name: &str) -> RoleEvent {
    RoleEvent { role: argument(id, name), ..Default::default() }
}

fn post<E: vsphere_soap::object::Extends<vsphere_model::types::Event>>(
    world: &mut World,
    call: &Call,
    event: E,
    message: String,
) {
    let (root, user) = (world.content.root_folder.clone(), call.user(world));
    world.post(&root, &user, event, message);
}

/// Whether a role may have this name and these privileges.
fn check_role(world: &World, itself: Option<i32>, name: &str, privileges: &[String]) -> Outcome<()> {
    if name.trim().is_empty() || name.len() > 80 {
        let detail = InvalidName { name: name.to_owned(), ..Default::default() };
        return Err(Fault::new(detail, format!("The name '{name}' is invalid.")));
    }
    if world.rights.roles.iter().any(|(id, role)| Some(*id) != itself && role.name.eq_ignore_ascii_case(name)) {
        let detail = AlreadyExists { name: Some(name.to_owned()), ..Default::default() };
        return Err(Fault::new(detail, format!("The specified key, name, or identifier '{name}' already exists.")));
    }
    // Extensions bring privileges of their own, so that one which is not known here may still be good.
    if privileges.iter().any(|id| !id.contains('.')) {
        return Err(Fault::invalid_argument("privIds"));
    }
    Ok(())
}

fn role_of(world: &World, id: i32) -> Outcome<&Role> {
    world.rights.roles.get(&id).ok_or_else(|| {
        Fault::new(NotFound::default(), format!("The object or item referred to could not be found: role {id}."))
    })
}

/// A role that may be changed: not one of the server's own.
fn own_role(world: &World, id: i32) -> Outcome<&Role> {
    let role = role_of(world, id)?;
    if role.system { Err(Fault::invalid_argument("roleId")) } else { Ok(role) }
}

fn update_role(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (id, name): (i32, String) = (call.arg("roleId")?, call.arg("newName")?);
    let given: Vec<String> = call.arg("privIds")?;
    let before = own_role(world, id)?.clone();
    check_role(world, Some(id), &name, &given)?;
    let after = Role::made(&name, given);
    let (old, new) = (before.privileges(), after.privileges());
    let without = |from: &[String], other: &[String]| from.iter().filter(|id| !other.contains(id)).cloned().collect();
    let event = RoleUpdatedEvent {
        privileges_added: without(&new, &old),
        privileges_removed: without(&old, &new),
        privilege_list: new,
        prev_role_name: Some(before.name.clone()),
        base: about_role(id, &name),
    };
    world.rights.roles.insert(id, after);
    world.touch(&call.target);
    world.rights_changed();
    post(world, call, event, format!("Role modified. Previous name: {}, new name: {name}", before.name));
    Ok(Reply::NONE)
}

fn remove_role(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (id, careful): (i32, bool) = (call.arg("roleId")?, call.arg("failIfUsed")?);
    let name = own_role(world, id)?.name.clone();
    let used: Vec<Moref> = entities_with(world, id);
    if careful && !used.is_empty() {
        return Err(Fault::new(RemoveFailed::default(), format!("The role {name} is in use and was not removed.")));
    }
    for entity in used {
        let rest = world.rights.on(&entity).iter().filter(|given| given.role_id != id).cloned().collect();
        world.set_permissions(&entity, rest);
    }
    world.rights.roles.remove(&id);
    world.touch(&call.target);
    let event = RoleRemovedEvent { base: about_role(id, &name) };
    post(world, call, event, format!("Role {name} removed"));
    Ok(Reply::NONE)
}

/// The entities with a permission of this role.
fn entities_with(world: &World, role: i32) -> Vec<Moref> {
    let of_role = world.rights.all().filter(|given| given.role_id == role);
    let set: BTreeSet<Moref> = of_role.filter_map(|given| given.entity.clone()).collect();
    set.into_iter().collect()
}

fn merge(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (from, to): (i32, i32) = (call.arg("srcRoleId")?, call.arg("dstRoleId")?);
    role_of(world, from)?;
    role_of(world, to)?;
    for entity in entities_with(world, from) {
        let mut permissions = world.rights.on(&entity).to_vec();
        for given in permissions.iter_mut().filter(|given| given.role_id == from) {
            given.role_id = to;
        }
        change(world, &entity, permissions)?;
    }
    Ok(Reply::NONE)
}

fn of_role(world: &World, call: &Call) -> Outcome<Reply> {
    let id: i32 = call.arg("roleId")?;
    role_of(world, id)?;
    let seen = visible(world, call).filter(|given| given.role_id == id);
    Ok(Reply::list(seen.cloned().collect()))
}

fn all(world: &World, call: &Call) -> Outcome<Reply> {
    Ok(Reply::list(visible(world, call).cloned().collect()))
}

/// The permissions on what the caller sees.
fn visible<'w>(world: &'w World, call: &'w Call) -> impl Iterator<Item = &'w Permission> {
    let seen = |entity: &Moref| world.may_view(entity, call.session.as_deref());
    world.rights.all().filter(move |given| given.entity.as_ref().is_some_and(seen))
}

fn of_entity(world: &World, call: &Call) -> Outcome<Reply> {
    let (entity, inherited): (Moref, bool) = (call.arg("entity")?, call.arg("inherited")?);
    world.demand(call, &entity, "System.View")?;
    let mut found = world.rights.on(&entity).to_vec();
    if inherited {
        let above = world.ancestors(&entity).into_iter().skip(1);
        for given in above.flat_map(|at| world.rights.on(&at).to_vec()).filter(|given| given.propagate) {
            // A nearer permission for the same user stands in its place.
            if !found.iter().any(|near| near.group == given.group && same(&near.principal, &given.principal)) {
                found.push(given);
            }
        }
    }
    Ok(Reply::list(found))
}

fn set(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (entity, given) = asked(world, call)?;
    let mut permissions = world.rights.on(&entity).to_vec();
    for new in given {
        let same_user = |old: &&mut Permission| old.group == new.group && same(&old.principal, &new.principal);
        match permissions.iter_mut().find(same_user) {
            Some(old) => *old = new,
            None => permissions.push(new),
        }
    }
    change_and_tell(world, call, &entity, permissions)
}

fn reset(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (entity, given) = asked(world, call)?;
    change_and_tell(world, call, &entity, given)
}

/// The entity and the permissions of the call, checked.
fn asked(world: &World, call: &Call) -> Outcome<(Moref, Vec<Permission>)> {
    let (entity, given): (Moref, Vec<Permission>) = (call.arg("entity")?, call.arg("permission")?);
    world.demand(call, &entity, "Authorization.ModifyPermissions")?;
    world.entity(&entity)?;
    let checked = given.into_iter().map(|mut permission| {
        let name = principal(&permission.principal);
        let settings = &world.settings;
        let known = match permission.group {
            true => settings.group_named(&name).map(|group| &group.principal),
            false => settings.user_named(&name).map(|user| &user.principal),
        };
        // Where anyone may log in, anyone is a user.
        let stranger = || settings.rules.trusts_strangers().then(|| name.clone());
        permission.principal = known.cloned().or_else(stranger).ok_or_else(|| {
            let detail = UserNotFound { principal: name.clone(), unresolved: false, ..Default::default() };
            Fault::new(detail, format!("The user or group named '{name}' does not exist."))
        })?;
        role_of(world, permission.role_id)?;
        if [roles::VIEW, roles::ANONYMOUS].contains(&permission.role_id) {
            return Err(Fault::invalid_argument("permission.roleId"));
        }
        permission.entity = Some(entity.clone());
        Ok(permission)
    });
    let checked = checked.collect::<Outcome<_>>()?;
    Ok((entity, checked))
}

fn remove(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (entity, user): (Moref, String) = (call.arg("entity")?, call.arg("user")?);
    let group: bool = call.arg("isGroup")?;
    world.demand(call, &entity, "Authorization.ModifyPermissions")?;
    let name = principal(&user);
    let mut permissions = world.rights.on(&entity).to_vec();
    let before = permissions.len();
    permissions.retain(|given| given.group != group || !same(&given.principal, &name));
    if permissions.len() == before {
        let message = format!("There is no permission for '{name}' on {}.", entity.value);
        return Err(Fault::new(NotFound::default(), message));
    }
    change_and_tell(world, call, &entity, permissions)
}

fn change_and_tell(world: &mut World, call: &Call, entity: &Moref, permissions: Vec<Permission>) -> Outcome<Reply> {
    let before = world.rights.on(entity).to_vec();
    change(world, entity, permissions)?;
    let (after, user) = (world.rights.on(entity).to_vec(), call.user(world));
    let key = |given: &Permission| (given.group, given.principal.clone());
    let about = |world: &World, given: &Permission| PermissionEvent {
        entity: world.argument(entity),
        principal: given.principal.clone(),
        group: given.group,
        ..Default::default()
    };
    let role = |world: &World, id| argument(id, world.rights.roles.get(&id).map_or("", |role| &role.name));
    for new in &after {
        let (role_now, base) = (role(world, new.role_id), about(world, new));
        let what = format!("for '{}' on {}, role is {}", new.principal, base.entity.name, role_now.name);
        match before.iter().find(|old| key(old) == key(new)) {
            Some(old) if old == new => {}
            Some(old) => {
                let event = PermissionUpdatedEvent {
                    base,
                    role: role_now,
                    propagate: new.propagate,
                    prev_role: Some(Box::new(role(world, old.role_id))),
                    prev_propagate: Some(old.propagate),
                };
                world.post(entity, &user, event, format!("Permission rule changed {what}"));
            }
            None => {
                let event = PermissionAddedEvent { base, role: role_now, propagate: new.propagate };
                world.post(entity, &user, event, format!("Permission created {what}"));
            }
        }
    }
    for old in before.iter().filter(|old| !after.iter().any(|new| key(new) == key(old))) {
        let event = PermissionRemovedEvent { base: about(world, old) };
        let message = format!("Permission rule removed for '{}' on {}", old.principal, event.entity.name);
        world.post(entity, &user, event, message);
    }
    Ok(Reply::NONE)
}

/// Replaces the permissions on an entity, as long as somebody is left who may do everything.
fn change(world: &mut World, entity: &Moref, permissions: Vec<Permission>) -> Outcome<()> {
    let rules = |given: &Permission| given.role_id == roles::ADMIN && given.propagate;
    if *entity == world.content.root_folder && !permissions.iter().any(rules) {
        let message =
            "Permissions can't be changed so that nobody is left with administrator rights on the root folder.";
        return Err(Fault::new(AuthMinimumAdminPermission::default(), message));
    }
    world.set_permissions(entity, permissions);
    Ok(())
}

/// The user of another session.
fn user_of_session(world: &World, call: &Call) -> Outcome<String> {
    let key: String = call.arg("sessionId")?;
    let session = world.sessions.get(&key).ok_or_else(|| Fault::invalid_argument("sessionId"))?;
    Ok(session.user.clone())
}

fn has_on_entity(world: &World, call: &Call) -> Outcome<Reply> {
    let (entity, privileges): (Moref, Vec<String>) = (call.arg("entity")?, call.arg("privId")?);
    let user = user_of_session(world, call)?;
    let granted = availability(world, &user, &entity, &privileges)?;
    Ok(Reply::list(granted.into_iter().map(|one| one.is_granted).collect()))
}

fn has_on_entities(world: &World, call: &Call) -> Outcome<Reply> {
    let user = user_of_session(world, call)?;
    privileges_on(world, &user, &call.arg::<Vec<Moref>>("entity")?, &call.arg::<Vec<String>>("privId")?)
}

fn user_has(world: &World, call: &Call) -> Outcome<Reply> {
    let user = principal(&call.arg::<String>("userName")?);
    privileges_on(world, &user, &call.arg::<Vec<Moref>>("entities")?, &call.arg::<Vec<String>>("privId")?)
}

fn privileges_on(world: &World, user: &str, entities: &[Moref], privileges: &[String]) -> Outcome<Reply> {
    let of_entity = |entity: &Moref| {
        let priv_availability = availability(world, user, entity, privileges)?;
        Ok(EntityPrivilege { entity: entity.clone(), priv_availability })
    };
    Ok(Reply::list(entities.iter().map(of_entity).collect::<Outcome<_>>()?))
}

fn availability(world: &World, user: &str, entity: &Moref, ids: &[String]) -> Outcome<Vec<PrivilegeAvailability>> {
    world.entity(entity)?;
    let available =
        |id: &String| PrivilegeAvailability { priv_id: id.clone(), is_granted: world.user_may(user, entity, id) };
    Ok(ids.iter().map(available).collect())
}

fn fetch(world: &World, call: &Call) -> Outcome<Reply> {
    let (entities, name): (Vec<Moref>, String) = (call.arg("entities")?, call.arg("userName")?);
    let user = principal(&name);
    let scope = world.scope_of(&user);
    let of_entity = |entity: Moref| {
        world.entity(&entity)?;
        let granted = roles::all().iter().filter(|id| scope.allows(world, &entity, id));
        Ok(UserPrivilegeResult { privileges: granted.map(|id| (*id).to_owned()).collect(), entity })
    };
    Ok(Reply::list(entities.into_iter().map(of_entity).collect::<Outcome<_>>()?))
}
