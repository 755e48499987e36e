//! Who may do what: the roles that permissions give on an object, and on what it stands in.
//!
//! The nearest permission counts: one on the object itself, or else one above it that propagates. On one object, a
//! permission for the user stands above those for groups, and those of several groups add up. A virtual machine stands in a
//! folder and in a resource pool, and gets rights from both.

use std::collections::{BTreeMap, HashMap, HashSet};

use vsphere_model::types::Permission;
use vsphere_soap::request::Method;

use crate::call::Call;
use crate::fault::{Fault, Outcome};
use crate::objects::roles::{self, Role};
use crate::objects::vm::Vm;
use crate::world::{Managed, Moref, World};

/// The roles and the permissions of the server.
#[derive(Default)]
pub(crate) struct Rights {
    pub(crate) roles: BTreeMap<i32, Role>,
    /// By the id of the entity.
    granted: BTreeMap<String, Vec<Permission>>,
}

impl Rights {
    pub(crate) fn new() -> Self {
        Self { roles: roles::standard(), granted: BTreeMap::new() }
    }

    /// The permissions that are defined on an entity.
    pub(crate) fn on(&self, entity: &Moref) -> &[Permission] {
        self.granted.get(&entity.value).map_or(&[], Vec::as_slice)
    }

    /// All permissions that are defined.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Permission> {
        self.granted.values().flatten()
    }

    fn allows(&self, role: i32, privilege: &str) -> bool {
        self.roles.get(&role).is_some_and(|role| role.allows(privilege))
    }
}

/// What a user's permissions come to. It is kept in the session, because every read of every object asks for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// The roles that hold everywhere, where the user has permissions on the root folder and nowhere else.
    everywhere: Option<Vec<i32>>,
    /// By the id of the entity that they are defined on.
    grants: HashMap<String, Grant>,
    /// What stands above an object with permissions: the user must find the way there.
    on_the_way: HashSet<String>,
}

/// The roles of a user by permissions on one entity.
#[derive(Debug, Clone, Default)]
struct Grant {
    here: Vec<i32>,
    below: Vec<i32>,
}

impl Scope {
    /// Whether the user is in no permission at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// The scope of a user and the groups that it is in.
    fn of(world: &World, principal: &str) -> Self {
        let user = fold(principal);
        let groups = world.settings.groups_of(principal);
        let groups: HashSet<String> = groups.iter().map(|group| fold(group)).collect();
        let mut scope = Self::default();
        for (id, permissions) in &world.rights.granted {
            let own: Vec<_> =
                permissions.iter().filter(|given| !given.group && fold(&given.principal) == user).collect();
            let by_group =
                || permissions.iter().filter(|given| given.group && groups.contains(&fold(&given.principal)));
            let counting = if own.is_empty() { by_group().collect() } else { own };
            let mut grant = Grant::default();
            for given in counting {
                grant.here.push(given.role_id);
                if given.propagate {
                    grant.below.push(given.role_id);
                }
            }
            if grant.here.is_empty() {
                continue;
            }
            if grant.here.iter().any(|role| world.rights.allows(*role, VIEW)) {
                let entity = permissions.iter().find_map(|given| given.entity.clone());
                let above = entity.map(|entity| world.above(&entity)).unwrap_or_default();
                scope.on_the_way.extend(above.into_iter().map(|at| at.value));
            }
            scope.grants.insert(id.clone(), grant);
        }
        let root = &world.content.root_folder.value;
        scope.everywhere = match scope.grants.get(root) {
            Some(grant) if scope.grants.len() == 1 && grant.here == grant.below => Some(grant.here.clone()),
            _ => None,
        };
        scope
    }

    pub(crate) fn allows(&self, world: &World, object: &Moref, privilege: &str) -> bool {
        if let Some(roles) = &self.everywhere {
            return roles.iter().any(|role| world.rights.allows(*role, privilege));
        }
        let Some(entity) = world.place(object) else {
            // Managers, views and the like are for everyone who is logged in; what one does with them is done to all.
            let root = &world.content.root_folder;
            return privilege == VIEW || privilege == READ || self.allows_on(world, root, privilege);
        };
        self.allows_on(world, entity, privilege) || privilege == VIEW && self.on_the_way.contains(&entity.value)
    }

    fn allows_on(&self, world: &World, entity: &Moref, privilege: &str) -> bool {
        let allows = |roles: &[i32]| roles.iter().any(|role| world.rights.allows(*role, privilege));
        self.roles(world, entity).into_iter().any(allows)
    }

    /// The roles on an entity, by the line of its folders and by that of its resource pools.
    fn roles(&self, world: &World, entity: &Moref) -> [&[i32]; 2] {
        if let Some(grant) = self.grants.get(&entity.value) {
            return [&grant.here, &[]];
        }
        let parent = |at: &&Moref| world.entity(at).ok().and_then(|entity| entity.parent.as_ref());
        let inherited = |from: Option<&Moref>| {
            let nearest = std::iter::successors(from, |at| parent(at)).find_map(|at| {
                self.grants.get(&at.value).map(|grant| grant.below.as_slice()).filter(|roles| !roles.is_empty())
            });
            nearest.unwrap_or_default()
        };
        let pool = world.get::<Vm>(entity).ok().and_then(|vm| vm.pool.as_ref());
        [inherited(parent(&entity)), inherited(pool)]
    }
}

/// What also those may do who have not logged in.
pub(crate) const ANONYMOUS: &str = "System.Anonymous";
const VIEW: &str = "System.View";
const READ: &str = "System.Read";

/// Names of users count without regard to case.
fn fold(principal: &str) -> String {
    principal.to_lowercase()
}

impl World {
    /// Whether the session's user has the privilege on the object.
    pub(crate) fn may(&self, object: &Moref, session: Option<&str>, privilege: &str) -> bool {
        let session = session.and_then(|key| self.sessions.get(key));
        privilege == ANONYMOUS || session.is_some_and(|session| session.scope.allows(self, object, privilege))
    }

    /// Whether the session's user sees that the object is there.
    pub(crate) fn may_view(&self, object: &Moref, session: Option<&str>) -> bool {
        self.may(object, session, VIEW)
    }

    /// Whether the session's user may read the property.
    pub(crate) fn may_read(&self, object: &Moref, property: &str, session: Option<&str>) -> bool {
        self.may(object, session, to_read(object, property))
    }

    /// Checks that the caller has a privilege on an entity that is not the method's target, or that only the method knows.
    ///
    /// # Errors
    /// `NoPermission`, and `ManagedObjectNotFound` where the entity is not there.
    pub(crate) fn demand(&self, call: &Call, entity: &Moref, privilege: &str) -> Outcome<()> {
        if !self.visible(entity, call.session.as_deref()) {
            return Err(Fault::not_found(entity));
        }
        if self.may(entity, call.session.as_deref(), privilege) {
            return Ok(());
        }
        Err(Fault::no_permission(entity, privilege))
    }

    /// Whether a user, logged in or not, has the privilege on the object.
    pub(crate) fn user_may(&self, principal: &str, object: &Moref, privilege: &str) -> bool {
        self.scope_of(principal).allows(self, object, privilege)
    }

    /// What a user's permissions come to now.
    pub(crate) fn scope_of(&self, principal: &str) -> Scope {
        Scope::of(self, principal)
    }

    /// The roles that the session's user has on the object, as the property `effectiveRole` has them.
    pub(crate) fn effective_roles(&self, object: &Moref, session: Option<&str>) -> Vec<i32> {
        let Some(session) = session.and_then(|key| self.sessions.get(key)) else { return vec![roles::ANONYMOUS] };
        let mut found: Vec<i32> = session.scope.roles(self, object).concat();
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            let seen = session.scope.on_the_way.contains(&object.value);
            found.push(if seen { roles::VIEW } else { roles::NO_ACCESS });
        }
        found
    }

    /// Replaces the permissions on an entity.
    pub(crate) fn set_permissions(&mut self, entity: &Moref, permissions: Vec<Permission>) {
        if permissions.is_empty() {
            self.rights.granted.remove(&entity.value);
        } else {
            self.rights.granted.insert(entity.value.clone(), permissions);
        }
        self.touch(entity);
        self.rights_changed();
    }

    /// Brings the sessions up to date after a change of roles or permissions.
    pub(crate) fn rights_changed(&mut self) {
        let users: HashSet<String> = self.sessions.iter().map(|(_, session)| session.user.clone()).collect();
        let scopes: HashMap<String, Scope> =
            users.into_iter().map(|user| (user.clone(), self.scope_of(&user))).collect();
        self.sessions.set_scopes(&scopes);
        // What a client sees of the inventory may be another part from now on.
        self.announce();
    }

    /// The entity that decides about the rights on an object: itself, or what it is a part of.
    fn place<'w>(&'w self, object: &'w Moref) -> Option<&'w Moref> {
        let mut at = object;
        // A browser is part of a datastore, a snapshot of a machine: chains are short, and a circle must end.
        for _ in 0..4 {
            let found = self.find(at)?;
            if found.entity().is_some() {
                return Some(at);
            }
            at = found.belongs_to()?;
        }
        None
    }

    /// What the entity stands in, by folders and by resource pools, without itself.
    fn above(&self, entity: &Moref) -> Vec<Moref> {
        let mut above: Vec<Moref> = self.ancestors(entity).into_iter().skip(1).collect();
        if let Ok(vm) = self.get::<Vm>(entity) {
            above.extend(vm.pool.iter().chain(&vm.runtime.host).flat_map(|other| self.ancestors(other)));
        }
        above
    }

    /// The entity at an inventory path: `/DC0/vm/prod`; the root folder at `/`.
    pub(crate) fn at_path(&self, path: &str) -> Option<Moref> {
        let mut at = self.content.root_folder.clone();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let children = self.find(&at).map(Managed::children)?;
            at = children.into_iter().find(|child| self.entity(child).is_ok_and(|entity| entity.name == name))?;
        }
        Some(at)
    }
}

/// The privilege that it takes to call a method on an object of this type. Where the API's description has none, it goes by
/// what the object is; methods that go by their arguments ask again for themselves.
pub(crate) fn to_call(method: &Method, type_: &str) -> &'static str {
    method.privilege.unwrap_or_else(|| {
        let by_type = |table: &[(&str, &'static str)]| {
            table.iter().find(|(of, _)| *of == type_).map_or(VIEW, |(_, privilege)| *privilege)
        };
        match method.name {
            "Destroy_Task" => by_type(TO_DESTROY),
            "Rename_Task" => by_type(TO_RENAME),
            "Fetch" => by_type(TO_FETCH),
            name => TO_CALL.iter().find(|(of, _)| *of == name).map_or(VIEW, |(_, privilege)| *privilege),
        }
    })
}

/// What the property needs more is asked when it is read.
const TO_FETCH: &[(&str, &str)] =
    &[("ServiceInstance", ANONYMOUS), ("SessionManager", ANONYMOUS), ("GuestOperationsManager", ANONYMOUS)];

const TO_DESTROY: &[(&str, &str)] = &[
    ("VirtualMachine", "VirtualMachine.Inventory.Delete"),
    ("Folder", "Folder.Delete"),
    ("Datacenter", "Datacenter.Delete"),
    ("ClusterComputeResource", "Host.Inventory.DeleteCluster"),
    ("ComputeResource", "Host.Inventory.RemoveHostFromCluster"),
    ("HostSystem", "Host.Inventory.RemoveHostFromCluster"),
    ("ResourcePool", "Resource.DeletePool"),
    ("VirtualApp", "VApp.Delete"),
    ("Datastore", "Datastore.Delete"),
    ("Network", "Network.Delete"),
    ("VmwareDistributedVirtualSwitch", "DVSwitch.Delete"),
    ("DistributedVirtualPortgroup", "DVPortgroup.Delete"),
];

const TO_RENAME: &[(&str, &str)] = &[
    ("VirtualMachine", "VirtualMachine.Config.Rename"),
    ("Folder", "Folder.Rename"),
    ("Datacenter", "Datacenter.Rename"),
    ("ClusterComputeResource", "Host.Inventory.RenameCluster"),
    ("ResourcePool", "Resource.RenamePool"),
    ("VirtualApp", "VApp.Rename"),
    ("Datastore", "Datastore.Rename"),
    ("VmwareDistributedVirtualSwitch", "DVSwitch.Modify"),
    ("DistributedVirtualPortgroup", "DVPortgroup.Modify"),
];

const TO_CALL: &[(&str, &str)] = &[
    ("AcquireTicket", "VirtualMachine.Interact.ConsoleInteract"),
    ("AddVirtualNic", "Host.Config.Network"),
    ("ApplyRecommendation", "Resource.ApplyRecommendation"),
    ("CloneVM_Task", "VirtualMachine.Provisioning.Clone"),
    ("DestroyChildren", "Resource.DeletePool"),
    ("MigrateVM_Task", "Resource.HotMigrate"),
    ("ReconfigVM_Task", "VirtualMachine.Config.Settings"),
    ("ReconfigureDVPortgroup_Task", "DVPortgroup.Modify"),
    ("ReconfigureDvs_Task", "DVSwitch.Modify"),
    ("SearchDatastoreSubFolders_Task", "Datastore.Browse"),
    ("SearchDatastore_Task", "Datastore.Browse"),
    ("UpdateChildResourceConfiguration", "Resource.EditPool"),
    ("UpdateConfig", "Resource.EditPool"),
    ("UpdateOptions", "Global.Settings"),
    ("UpdateVirtualNic", "Host.Config.Network"),
];

/// Whether there are properties of the object that also those may read who have not logged in.
pub(crate) fn is_for_all(world: &World, object: &Moref) -> bool {
    world.reference(object).is_some_and(|object| TO_FETCH.iter().any(|(type_, _)| *type_ == object.type_))
}

/// The privilege that it takes to read a property. Those that lead through the inventory need less than others.
pub(crate) fn to_read(object: &Moref, property: &str) -> &'static str {
    match (object.type_.as_str(), property) {
        ("ServiceInstance", "content") | ("GuestOperationsManager", _) => ANONYMOUS,
        ("SessionManager", "currentSession" | "defaultLocale" | "supportedLocaleList" | "messageLocaleList") => {
            ANONYMOUS
        }
        ("SessionManager", "sessionList") => "Sessions.TerminateSession",
        ("LicenseManager", "licenses") => "Global.Licenses",
        (_, property) if SEEN.contains(&property) => VIEW,
        _ => READ,
    }
}

/// The properties that need no more than to see the object.
const SEEN: &[&str] = &[
    "name",
    "parent",
    "childEntity",
    "childType",
    "vmFolder",
    "hostFolder",
    "datastoreFolder",
    "networkFolder",
    "resourcePool",
    "owner",
    "customValue",
    "value",
    "availableField",
    "effectiveRole",
    "tag",
    "declaredAlarmState",
    "triggeredAlarmState",
];
