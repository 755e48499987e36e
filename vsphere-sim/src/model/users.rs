//! Who may log in to a simulated server, and what each may do there.

use vsphere_model::types::Permission;

use super::{Model, Settings};
use crate::objects::roles;
use crate::world::World;

/// What a user may do, by one of the roles that every server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// Everything.
    Administrator,
    /// Look at everything, and change nothing.
    ReadOnly,
    /// Nothing.
    NoAccess,
    /// Run virtual machines and change how they are made.
    VirtualMachinePowerUser,
    /// Run virtual machines.
    VirtualMachineUser,
}

impl Role {
    fn id(self) -> i32 {
        match self {
            Self::Administrator => roles::ADMIN,
            Self::ReadOnly => roles::READ_ONLY,
            Self::NoAccess => roles::NO_ACCESS,
            Self::VirtualMachinePowerUser => roles::POWER_USER,
            Self::VirtualMachineUser => roles::USER,
        }
    }
}

/// Who may log in.
#[derive(Clone)]
pub(crate) struct User {
    /// As permissions and sessions have it: `VSPHERE.LOCAL\Administrator`.
    pub(crate) principal: String,
    pub(crate) password: String,
}

/// The password is not shown, simulated or not: people use their real ones.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({})", self.principal)
    }
}

/// Users that a permission can name together.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) principal: String,
    /// The principals of its users.
    pub(crate) members: Vec<String>,
}

impl Settings {
    /// The principal of the user with this name, in any of its forms, and this password.
    pub(crate) fn principal(&self, name: &str, password: &str) -> Option<String> {
        let known = self.user_named(name).filter(|user| user.password == password);
        let known = known.map(|user| user.principal.clone());
        known.or_else(|| self.rules.admits(name, password).then(|| principal(name)))
    }

    /// The user with this name, in any of its forms.
    pub(crate) fn user_named(&self, name: &str) -> Option<&User> {
        let principal = principal(name);
        self.users.iter().find(|user| same(&user.principal, &principal))
    }

    /// The group with this name, in any of its forms.
    pub(crate) fn group_named(&self, name: &str) -> Option<&Group> {
        let principal = principal(name);
        self.groups.iter().find(|group| same(&group.principal, &principal))
    }

    /// The groups that a user is in.
    pub(crate) fn groups_of(&self, user: &str) -> Vec<&str> {
        // Whom only the rules let in is an administrator.
        let stranger = self.rules.trusts_strangers() && self.user_named(user).is_none();
        let admitted = |group: &Group| stranger && same(&group.principal, ADMINISTRATORS);
        let has = |group: &&Group| admitted(group) || group.members.iter().any(|member| same(member, user));
        self.groups.iter().filter(has).map(|group| group.principal.as_str()).collect()
    }
}

/// Whether two principals are one: names of users count without regard to case.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// The form in which servers keep a user's name: `joe@example.org` is `EXAMPLE.ORG\joe`.
pub(crate) fn principal(name: &str) -> String {
    let in_domain = |domain: &str, user: &str| format!("{}\\{user}", domain.to_uppercase());
    match (name.split_once('\\'), name.rsplit_once('@')) {
        (Some((domain, user)), _) | (None, Some((user, domain))) => in_domain(domain, user),
        (None, None) => name.to_owned(),
    }
}

impl Model {
    /// Adds a user, with a role on the whole inventory.
    ///
    /// ```
    /// use vsphere_sim::{Model, Role};
    ///
    /// let model = Model::empty()
    ///     .user("viewer@vsphere.local", "secret", Role::ReadOnly)
    ///     .user("web-team@vsphere.local", "secret", Role::NoAccess)
    ///     .permission("web-team@vsphere.local", "/DC0/vm/web", Role::VirtualMachinePowerUser);
    /// # let _ = model;
    /// ```
    #[must_use]
    pub fn user(mut self, name: &str, password: &str, role: Role) -> Self {
        self.settings.users.push(User { principal: principal(name), password: password.to_owned() });
        // Without any permission is what no access comes to, and leaves room for permissions further down.
        if role == Role::NoAccess { self } else { self.permission(name, "/", role) }
    }

    /// Adds a group of users.
    #[must_use]
    pub fn group(mut self, name: &str, members: &[&str]) -> Self {
        let members = members.iter().map(|member| principal(member)).collect();
        self.settings.groups.push(Group { principal: principal(name), members });
        self
    }

    /// Gives a user or a group a role on the entity at an inventory path, and on all below.
    #[must_use]
    pub fn permission(mut self, principal: &str, path: &str, role: Role) -> Self {
        self.permissions.push((principal.to_owned(), path.to_owned(), role));
        self
    }

    pub(super) fn give_rights(&self, world: &mut World) {
        for (name, path, role) in &self.permissions {
            let Some(entity) = world.at_path(path) else {
                tracing::warn!(%path, %name, "there is nothing to give rights on");
                continue;
            };
            let permission = Permission {
                entity: Some(entity.clone()),
                principal: principal(name),
                group: self.settings.group_named(name).is_some(),
                role_id: role.id(),
                propagate: true,
            };
            let mut permissions = world.rights.on(&entity).to_vec();
            permissions.push(permission);
            world.set_permissions(&entity, permissions);
        }
    }
}

/// The users of a new model: its administrator.
pub(super) fn first_user() -> User {
    User { principal: principal(ADMINISTRATOR), password: Model::PASSWORD.to_owned() }
}

/// The groups of a new model: its administrators.
pub(super) fn first_group() -> Group {
    Group { principal: ADMINISTRATORS.to_owned(), members: vec![principal(ADMINISTRATOR)] }
}

/// The group that may do everything.
const ADMINISTRATORS: &str = "VSPHERE.LOCAL\\Administrators";

/// [`Model::USER`] as servers write the name.
const ADMINISTRATOR: &str = "Administrator@vsphere.local";
