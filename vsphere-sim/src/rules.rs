//! What a server insists on. Managers ask here what holds; what differs from rule to rule stands in this file alone.

/// What a server insists on.
///
/// ```
/// use vsphere_sim::{Logins, Model, Rules};
///
/// // As easy as can be, but for who may come in.
/// let mut rules = Rules::LENIENT;
/// rules.logins = Logins::Known;
/// let model = Model::demo().rules(rules);
/// # let _ = model;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rules {
    /// Who names the host of a VM in a cluster whose DRS is off.
    pub placement: Placement,
    /// When a host is in maintenance mode that was asked to enter it.
    pub maintenance: Maintenance,
    /// Whether a guest can be shut down, restarted or put to sleep without VMware Tools.
    pub guests: Guests,
    /// When the settings of a VM can be changed that its guest finds at its start.
    pub changes: Changes,
    /// What a host is asked for that comes into the inventory.
    pub new_hosts: NewHosts,
    /// Who may log in.
    pub logins: Logins,
}

/// Who names the host of a VM in a cluster whose DRS is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The client must.
    Client,
    /// The server takes one that fits where the client names none.
    Server,
}

/// When a host is in maintenance mode that was asked to enter it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maintenance {
    /// When no VM runs on it any more.
    WhenEmpty,
    /// At once, with the VMs that run there.
    AtOnce,
}

/// Whether a guest can be shut down, restarted or put to sleep without VMware Tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guests {
    /// Only a guest whose VMware Tools run.
    WithTools,
    /// Any guest that runs.
    All,
}

/// When the settings of a VM can be changed that its guest finds at its start: its guest operating system, its firmware, its
/// size without hot plugging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// Only while the VM is powered off.
    WhenOff,
    /// At any time.
    Anytime,
}

/// What a host is asked for that comes into the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewHosts {
    /// A user, and the thumbprint of its certificate where one is told.
    Verified,
    /// Nothing but its name.
    Trusted,
}

/// Who may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logins {
    /// The users of the model.
    Known,
    /// Any name and password that are not empty, as an administrator.
    Anyone,
}

impl Rules {
    /// As real servers are.
    pub const REAL: Self = Self {
        placement: Placement::Client,
        maintenance: Maintenance::WhenEmpty,
        guests: Guests::WithTools,
        changes: Changes::WhenOff,
        new_hosts: NewHosts::Verified,
        logins: Logins::Known,
    };

    /// As easy as can be, for tests that were written for a simulator that asks for less.
    pub const LENIENT: Self = Self {
        placement: Placement::Server,
        maintenance: Maintenance::AtOnce,
        guests: Guests::All,
        changes: Changes::Anytime,
        new_hosts: NewHosts::Trusted,
        logins: Logins::Anyone,
    };

    /// Whether the server finds a host in a compute resource that has `one` host alone, or `drs`.
    pub(crate) fn finds_host(&self, one: bool, drs: bool) -> bool {
        one || drs || self.placement == Placement::Server
    }

    /// How many of the VMs that are left keep a host from maintenance mode.
    pub(crate) fn in_the_way(&self, left: usize) -> usize {
        match self.maintenance {
            Maintenance::WhenEmpty => left,
            Maintenance::AtOnce => 0,
        }
    }

    /// Whether a guest does what it is asked, where its VMware Tools run or not.
    pub(crate) fn obeys(&self, tools_run: bool) -> bool {
        tools_run || self.guests == Guests::All
    }

    /// Whether a VM has to be off for what its guest finds at its start.
    pub(crate) fn changes_need_power_off(&self) -> bool {
        self.changes == Changes::WhenOff
    }

    /// Whether a new host has to show who it is, and the client who it is.
    pub(crate) fn verifies_hosts(&self) -> bool {
        self.new_hosts == NewHosts::Verified
    }

    /// Whether users whom the model does not know are administrators.
    pub(crate) fn trusts_strangers(&self) -> bool {
        self.logins == Logins::Anyone
    }

    /// Whether a user whom the model does not know may come in.
    pub(crate) fn admits(&self, name: &str, password: &str) -> bool {
        self.trusts_strangers() && !name.is_empty() && !password.is_empty()
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::REAL
    }
}
