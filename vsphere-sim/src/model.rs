//! What a simulated server is like: its inventory, its users, its limits, its pace.

use std::time::Duration;

use crate::objects;
use crate::world::World;

/// What a simulated server is like.
///
/// Every model has the user `administrator@vsphere.local`, with the password of [`Model::PASSWORD`].
#[derive(Debug, Clone)]
pub struct Model {
    settings: Settings,
}

/// What the server keeps to.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The factor on the time that tasks take on a real server.
    pub(crate) pace: f64,
    /// How many objects an answer of the property collector has at most.
    pub(crate) page: usize,
    /// How long a session may be idle.
    pub(crate) idle_limit: Duration,
    /// How many sessions there may be.
    pub(crate) max_sessions: usize,
    pub(crate) users: Vec<User>,
    /// The version of the server and of its API (`9.0.0.0`).
    pub(crate) version: String,
    pub(crate) kind: ServerKind,
}

/// Which product is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerKind {
    VCenter,
    Esxi,
}

/// Who may log in.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: String,
}

/// The password is not shown, simulated or not: people use their real ones.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({})", self.name)
    }
}

impl Settings {
    /// The user with this name and password.
    pub(crate) fn user(&self, name: &str, password: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name.eq_ignore_ascii_case(name) && user.password == password)
    }
}

impl Model {
    /// The user that every model has.
    pub const USER: &str = "administrator@vsphere.local";

    /// The password of [`Model::USER`]. It is no secret: the simulator has none.
    pub const PASSWORD: &str = "VMware1!";

    /// A vCenter with nothing but its root folder.
    pub fn empty() -> Self {
        Self {
            settings: Settings {
                pace: 0.0,
                page: 100,
                idle_limit: Duration::from_secs(30 * 60),
                max_sessions: 550,
                users: vec![User { name: Self::USER.to_owned(), password: Self::PASSWORD.to_owned() }],
                version: "9.0.0.0".to_owned(),
                kind: ServerKind::VCenter,
            },
        }
    }

    /// How long tasks take: 1 is as on a real server, 0 (the default) is at once.
    #[must_use]
    pub fn pace(mut self, factor: f64) -> Self {
        self.settings.pace = factor;
        self
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Fills the world.
    pub(crate) fn build(&self, world: &mut World) {
        objects::install(world);
    }
}
