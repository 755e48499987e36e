//! What a simulated server is like: its inventory, its users, its limits, its pace.

mod demo;
mod esxi;
mod machine;
mod sized;
mod tags;
mod users;
mod vcsim;

use std::io;
use std::time::Duration;

use crate::incident::Incident;
use crate::objects;
use crate::rules::Rules;
use crate::trouble::Trouble;
use crate::world::World;

pub use tags::Cardinality;
pub use users::Role;
pub(crate) use users::{Group, User, principal, same};
pub use vcsim::Vcsim;

/// What a simulated server is like.
///
/// Every model has the user [`Model::USER`] with the password [`Model::PASSWORD`], who may do everything.
///
/// ```
/// use vsphere_sim::{Model, Size};
///
/// // A vCenter 8 with 200 machines on 8 hosts, whose tasks take a tenth of the time that they take on a real one.
/// let model = Model::sized(Size { vms: 200, hosts: 8, ..Size::default() }).version("8.0.3.0").pace(0.1);
/// # let _ = model;
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    settings: Settings,
    inventory: Inventory,
    trouble: Trouble,
    /// Who has which role on the entity at a path.
    permissions: Vec<(String, String, Role)>,
    tags: tags::Wanted,
    incidents: Vec<Incident>,
}

#[derive(Debug, Clone)]
enum Inventory {
    Empty,
    Demo,
    Esxi,
    Sized(Size),
    Vcsim(Vcsim),
}

/// How much there is in the inventory of [`Model::sized`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// Datacenters: `DC0`, `DC1`… What follows is spread over them.
    pub datacenters: usize,
    /// Clusters in each datacenter: `DC0_C0`…
    pub clusters: usize,
    /// Hosts in all clusters together: `DC0_C0_H0`…
    pub hosts: usize,
    /// Datastores that all hosts of a datacenter see: `DC0_DS0`…
    pub datastores: usize,
    /// Virtual machines in all datacenters together: `DC0_C0_VM0`…
    pub vms: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { datacenters: 1, clusters: 1, hosts: 3, datastores: 2, vms: 10 }
    }
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
    /// How long a lease goes on of whose progress nothing is told.
    pub(crate) lease_timeout: Duration,
    /// Whether the server fetches the files of a lease by itself.
    pub(crate) pull_mode: bool,
    pub(crate) users: Vec<User>,
    pub(crate) groups: Vec<Group>,
    /// The version of the server and of its API (`9.0.0.0`).
    pub(crate) version: String,
    pub(crate) kind: ServerKind,
    pub(crate) rules: Rules,
}

/// Which product is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerKind {
    VCenter,
    Esxi,
}

impl Model {
    /// The user that every model has.
    pub const USER: &str = "administrator@vsphere.local";

    /// The password of [`Model::USER`]. It is no secret: the simulator has none.
    pub const PASSWORD: &str = "VMware1!";

    /// The administrator of every simulated Linux guest, with the password [`Model::GUEST_PASSWORD`].
    pub const LINUX_USER: &str = "root";

    /// The administrator of every simulated Windows guest, with the password [`Model::GUEST_PASSWORD`].
    pub const WINDOWS_USER: &str = "Administrator";

    /// The password of all users of simulated guests. Besides the administrators there is `operator`, who may not do
    /// everything.
    pub const GUEST_PASSWORD: &str = "Guest1!";

    /// A vCenter with nothing but its root folder.
    pub fn empty() -> Self {
        Self {
            settings: Settings {
                pace: 0.0,
                page: 100,
                idle_limit: Duration::from_secs(30 * 60),
                max_sessions: 550,
                lease_timeout: Duration::from_secs(300),
                pull_mode: true,
                users: vec![users::first_user()],
                groups: vec![users::first_group()],
                version: "9.0.0.0".to_owned(),
                kind: ServerKind::VCenter,
                rules: Rules::REAL,
            },
            inventory: Inventory::Empty,
            trouble: Trouble::none(),
            permissions: Vec::new(),
            tags: tags::Wanted::default(),
            incidents: Vec::new(),
        }
    }

    /// A vCenter as a shop has it: two clusters, some forty machines with folders, guests, addresses and tags, templates, old
    /// snapshots, a datastore that runs full, and a past.
    pub fn demo() -> Self {
        Self { inventory: Inventory::Demo, ..Self::empty() }
    }

    /// An ESXi host without a vCenter, with four machines. What only a vCenter can do is not supported.
    pub fn esxi() -> Self {
        let mut model = Self { inventory: Inventory::Esxi, ..Self::empty() };
        model.settings.kind = ServerKind::Esxi;
        model
    }

    /// A vCenter with so much of each kind, under names that count.
    pub fn sized(size: Size) -> Self {
        Self { inventory: Inventory::Sized(size), ..Self::empty() }
    }

    /// What govmomi's simulator, vcsim, has at its start: the same objects under the same names, for tests that know them. Ids
    /// and UUIDs are the same at each start, though not those of vcsim.
    ///
    /// What the server insists on is another thing: see [`Rules::LENIENT`].
    ///
    /// ```
    /// use vsphere_sim::{Model, Rules, Vcsim};
    ///
    /// // As `vcsim -dc 2 -vm 10`.
    /// let model = Model::vcsim(Vcsim { datacenters: 2, vms: 10, ..Vcsim::default() }).rules(Rules::LENIENT);
    /// # let _ = model;
    /// ```
    pub fn vcsim(size: Vcsim) -> Self {
        let mut model = Self::empty();
        if size.esx {
            model.settings.kind = ServerKind::Esxi;
        }
        Self { inventory: Inventory::Vcsim(size), ..model }
    }

    /// What the server insists on; on what real servers do by default.
    #[must_use]
    pub fn rules(mut self, rules: Rules) -> Self {
        self.settings.rules = rules;
        self
    }

    /// How long tasks take: 1 is as on a real server, 0 (the default) is at once.
    #[must_use]
    pub fn pace(mut self, factor: f64) -> Self {
        self.settings.pace = factor;
        self
    }

    /// The version of the server and its API, as `vimServiceVersions.xml` writes it (`8.0.3.0`). The default is `9.0.0.0`.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.settings.version);
        self
    }

    /// How many objects an answer of the property collector has at most; 100 by default, as on a real server.
    #[must_use]
    pub fn page(mut self, objects: usize) -> Self {
        self.settings.page = objects.max(1);
        self
    }

    /// How long a session may be idle; half an hour by default, as on a real server.
    #[must_use]
    pub fn idle_limit(mut self, time: Duration) -> Self {
        self.settings.idle_limit = time;
        self
    }

    /// How many sessions there may be; 550 by default, as on a real server.
    #[must_use]
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.settings.max_sessions = sessions;
        self
    }

    /// How long a lease goes on of whose progress nothing is told; 300 seconds by default, as on a real server. Clients are
    /// told whole seconds.
    #[must_use]
    pub fn lease_timeout(mut self, time: Duration) -> Self {
        self.settings.lease_timeout = time;
        self
    }

    /// Whether a vCenter fetches the files of an import by itself where a client asks for that, as it does by default and as
    /// real ones do since 6.7. It then connects to whatever a client names.
    #[must_use]
    pub fn pull_mode(mut self, offered: bool) -> Self {
        self.settings.pull_mode = offered;
        self
    }

    /// The trouble that the server makes from its start.
    #[must_use]
    pub fn trouble(mut self, trouble: Trouble) -> Self {
        self.trouble = trouble;
        self
    }

    /// This has gone wrong when the server starts.
    ///
    /// ```
    /// use vsphere_sim::{Incident, Model};
    ///
    /// let model = Model::demo().incident(Incident::DatastoreFills { datastore: "nvme-01".into(), free: 0 });
    /// # let _ = model;
    /// ```
    #[must_use]
    pub fn incident(mut self, incident: Incident) -> Self {
        self.incidents.push(incident);
        self
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn first_trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// Fills the world.
    ///
    /// # Errors
    /// The inventory can't hold what was asked for.
    pub(crate) fn build(&self, world: &mut World) -> io::Result<()> {
        let possible = match &self.inventory {
            Inventory::Sized(size) => sized::check(size),
            Inventory::Vcsim(size) => vcsim::check(size),
            Inventory::Empty | Inventory::Demo | Inventory::Esxi => Ok(()),
        };
        possible.map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        objects::install(world);
        // What was before the first client came has happened at once.
        let pace = std::mem::replace(&mut world.settings.pace, 0.0);
        let built = match &self.inventory {
            Inventory::Empty => Ok(()),
            Inventory::Demo => demo::build(world),
            Inventory::Esxi => esxi::build(world),
            Inventory::Sized(size) => sized::build(world, size),
            Inventory::Vcsim(size) => vcsim::build(world, size),
        };
        world.settings.pace = pace;
        self.give_rights(world);
        self.make_tags(world);
        built.map_err(|fault| io::Error::other(format!("the inventory can't be made: {}", fault.message())))?;
        self.incidents.iter().try_for_each(|incident| incident.happen(world))
    }
}
