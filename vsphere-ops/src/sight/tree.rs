//! Which object is in which, kept as new as the server, and what rules say of each.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use vsphere_model::managed::{ManagedEntity, VirtualMachine, managed_entity as entity, virtual_machine as vm};
use vsphere_model::types::ManagedObjectReference;

use super::pattern::fold;
use super::{Guard, Level, ObjectPattern, Rules};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::inventory::{Inventory, Snapshot};
use crate::name;

/// How long a request waits for the tree to be as new as the server.
const PATIENCE: Duration = Duration::from_secs(10);

/// The folders, hosts, VMs and other objects of a server and what each is in: what [`Rules`] are checked against. It
/// follows the server for as long as it, a clone or a client of it is held.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::sight::{ObjectPattern, Tree};
///
/// let tree = Tree::start(&client).await?;
/// let web = ObjectPattern::parse("/fra1/vm/prod/web/**").expect("a pattern");
/// println!("{} objects", tree.count(&web));
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Clone)]
pub struct Tree(Arc<Shared>);

type Entities = Snapshot<ManagedEntity, (String, Option<ManagedObjectReference>)>;
type Vapps = Snapshot<VirtualMachine, Option<ManagedObjectReference>>;

struct Shared {
    client: Client,
    entities: Inventory<ManagedEntity, (String, Option<ManagedObjectReference>)>,
    /// A VM in a vApp has no folder.
    vapps: Inventory<VirtualMachine, Option<ManagedObjectReference>>,
    /// The ids of what plain names at the front of patterns mean, by these names.
    pins: Mutex<HashMap<Vec<String>, HashSet<String>>>,
    /// How many changes of this client it holds.
    seen: AtomicU64,
}

impl Tree {
    /// Reads the tree and follows it.
    ///
    /// # Errors
    /// Server errors.
    pub async fn start(client: &Client) -> Result<Self> {
        let client = client.without_cache().outside_scopes().without_deadline();
        let seen = AtomicU64::new(client.connection.changes());
        let (entities, vapps) = futures::try_join!(
            Inventory::start(client.watch::<ManagedEntity>().select((entity::NAME, entity::PARENT))),
            Inventory::start(client.watch::<VirtualMachine>().select(vm::PARENT_V_APP)),
        )?;
        Ok(Self(Arc::new(Shared { client, entities, vapps, pins: Mutex::default(), seen })))
    }

    /// Reads the tree again after it has [ended](Self::failure). The plain names of patterns keep the ids that they have.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::sight::Tree;
    /// let mut tree = Tree::start(&client).await?;
    /// if tree.failure().is_some() {
    ///     tree = tree.again(&client).await?;
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors.
    pub async fn again(&self, client: &Client) -> Result<Self> {
        let again = Self::start(client).await?;
        let pins = self.0.pins.lock().unwrap_or_else(PoisonError::into_inner).clone();
        *again.0.pins.lock().unwrap_or_else(PoisonError::into_inner) = pins;
        Ok(again)
    }

    /// A client of the same session that sees and touches only what these rules permit.
    ///
    /// Each such client has watches of its own. What its account may not do it may not do either.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::sight::{ObjectPattern, Rules, Tree};
    ///
    /// let prod = ObjectPattern::parse("/fra1/vm/prod/**").expect("a pattern");
    /// let guarded = Tree::start(&client).await?.guarded(Rules::new().deny([prod]));
    /// assert!(guarded.rest().is_err_and(|error| error.code() == "permission"));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn guarded(&self, rules: Rules) -> Client {
        self.0.client.with_guard(Some(Arc::new(Guard::new(self.clone(), rules))))
    }

    /// Looks the plain names at the front of these patterns up, so that from now on they are ids. Without this, that is done when
    /// rules with them are first checked.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::sight::{ObjectPattern, Tree};
    ///
    /// let prod = ObjectPattern::parse("/fra1/vm/prod/**").expect("a pattern");
    /// let tree = Tree::start(&client).await?;
    /// tree.pin([&prod]);
    /// println!("{} objects, also once the folder has another name", tree.count(&prod));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn pin<'a>(&self, patterns: impl IntoIterator<Item = &'a ObjectPattern>) {
        let nodes = self.nodes();
        patterns.into_iter().for_each(|pattern| drop(self.pinned(pattern, &nodes)));
    }

    /// How many objects of the inventory a pattern names now.
    pub fn count(&self, pattern: &ObjectPattern) -> usize {
        let nodes = self.nodes();
        let pins = self.pinned(pattern, &nodes);
        let fitting = nodes.entities.keys().filter_map(|id| nodes.chain(id));
        fitting.filter(|chain| covers(pattern, &pins, chain)).count()
    }

    /// The error that it has ended with: it is to be started again then, and its clients see nothing any more.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::sight::Tree;
    /// assert!(Tree::start(&client).await?.failure().is_none());
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn failure(&self) -> Option<Error> {
        self.0.entities.failure().or_else(|| self.0.vapps.failure())
    }

    /// The client that sees all.
    pub(super) fn client(&self) -> &Client {
        &self.0.client
    }

    /// Waits until it holds what this client has changed, where it may not.
    pub(super) async fn catch_up(&self) -> Result<()> {
        let changes = self.0.client.connection.changes();
        let live = self.0.entities.is_live() && self.0.vapps.is_live();
        if live && self.0.seen.load(Ordering::Acquire) >= changes { Ok(()) } else { self.refresh().await }
    }

    /// Waits until it is as new as the server is now.
    pub(super) async fn refresh(&self) -> Result<()> {
        let changes = self.0.client.connection.changes();
        let refreshed = async { futures::try_join!(self.0.entities.refresh(), self.0.vapps.refresh()) };
        match timeout(PATIENCE, refreshed).await {
            Ok(done) => {
                done?;
                self.0.seen.fetch_max(changes, Ordering::AcqRel);
                Ok(())
            }
            Err(_) => {
                let text = "the server does not tell what is where, so that no right can be checked".to_owned();
                Err(Error::new("check the rules", ErrorKind::TimedOut(text)))
            }
        }
    }

    pub(super) fn nodes(&self) -> Nodes {
        let root = self.0.client.content().root_folder.value.clone();
        Nodes { entities: self.0.entities.snapshot(), vapps: self.0.vapps.snapshot(), root }
    }

    /// The ids that the plain names of a pattern mean: those of before, while there are any; else those of now.
    fn pinned(&self, pattern: &ObjectPattern, nodes: &Nodes) -> HashSet<String> {
        let prefix = pattern.prefix();
        if prefix.is_empty() {
            return HashSet::from([nodes.root.clone()]);
        }
        let mut pins = self.0.pins.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = pins.entry(prefix.to_vec()).or_default();
        ids.retain(|id| nodes.entities.contains_key(id));
        if ids.is_empty() {
            ids.extend(nodes.at(prefix));
        }
        ids.clone()
    }

    /// What rules say of each object. What is missing in it is denied.
    pub(super) fn levels(&self, rules: &Rules, nodes: &Nodes) -> HashMap<String, Level> {
        let judge = self.judge(rules, nodes);
        let mut levels = HashMap::new();
        let root = nodes.root.clone();
        if judge.permits(&[]) {
            levels.insert(root.clone(), Level::Full);
        }
        for id in nodes.entities.keys() {
            let Some(chain) = nodes.chain(id).filter(|chain| judge.permits(chain)) else { continue };
            for (above, _) in chain.iter().take(chain.len().saturating_sub(1)) {
                levels.entry((*above).to_owned()).or_insert(Level::Walk);
            }
            levels.insert(id.clone(), Level::Full);
            levels.entry(root.clone()).or_insert(Level::Walk);
        }
        levels
    }

    pub(super) fn judge<'a>(&self, rules: &'a Rules, nodes: &Nodes) -> Judge<'a> {
        let pinned = |patterns: &'a [ObjectPattern]| {
            patterns.iter().map(|pattern| (pattern, self.pinned(pattern, nodes))).collect()
        };
        Judge { allowed: rules.allowed.as_deref().map(pinned), denied: pinned(&rules.denied) }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree({} objects)", self.0.entities.snapshot().len())
    }
}

/// An object and all above it, outermost first, without the root folder: ids and names.
pub(super) type Chain<'a> = Vec<(&'a str, String)>;

/// The tree at one moment.
#[derive(Clone)]
pub(super) struct Nodes {
    entities: Arc<Entities>,
    vapps: Arc<Vapps>,
    root: String,
}

impl Nodes {
    /// Whether nothing has changed between two moments.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entities, &other.entities) && Arc::ptr_eq(&self.vapps, &other.vapps)
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }

    pub(super) fn has(&self, id: &str) -> bool {
        id == self.root || self.entities.contains_key(id)
    }

    pub(super) fn name(&self, id: &str) -> Option<String> {
        Some(name::decode(&self.entities.get(id)?.row.0))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &ManagedObjectReference> {
        self.entities.values().map(|entry| entry.object.reference())
    }

    fn parent(&self, id: &str) -> Option<&str> {
        let parent = self.entities.get(id)?.row.1.as_ref();
        let parent = parent.or_else(|| self.vapps.get(id)?.row.as_ref());
        parent.map(|parent| parent.value.as_str())
    }

    /// An object and what it is in; `None` where that does not lead to the root folder.
    pub(super) fn chain<'a>(&'a self, id: &'a str) -> Option<Chain<'a>> {
        let mut chain = Vec::new();
        let mut at = id;
        while at != self.root {
            // A loop has no end.
            if chain.len() > 64 {
                return None;
            }
            let (known, _) = self.entities.get_key_value(at)?;
            chain.push((known.as_str(), self.name(known)?));
            at = self.parent(known)?;
        }
        chain.reverse();
        Some(chain)
    }

    /// Whether one object is in another, or is it.
    pub(super) fn is_in(&self, id: &str, container: &str) -> bool {
        container == self.root || self.chain(id).is_some_and(|chain| chain.iter().any(|(above, _)| *above == container))
    }

    /// The objects at exactly this path.
    fn at(&self, names: &[String]) -> Vec<String> {
        let fits = |id: &&String| {
            self.chain(id).is_some_and(|chain| {
                chain.len() == names.len() && chain.iter().zip(names).all(|((_, name), wanted)| fold(name) == *wanted)
            })
        };
        let last = names.last();
        let named = self.entities.iter().filter(|(_, entry)| Some(&fold(&name::decode(&entry.row.0))) == last);
        named.map(|(id, _)| id).filter(fits).cloned().collect()
    }
}

/// Rules whose plain names are ids.
pub(super) struct Judge<'a> {
    allowed: Option<Vec<(&'a ObjectPattern, HashSet<String>)>>,
    denied: Vec<(&'a ObjectPattern, HashSet<String>)>,
}

impl Judge<'_> {
    /// Whether an object may be seen and touched, by what it is in.
    pub(super) fn permits(&self, chain: &[(&str, String)]) -> bool {
        let names: Vec<&str> = chain.iter().map(|(_, name)| name.as_str()).collect();
        // By its names as well: a replacement with the name of a denied object is denied, too.
        let denied = self.denied.iter().any(|(pattern, pins)| {
            (0..=chain.len()).any(|end| {
                let (part, names) = (chain.get(..end).unwrap_or_default(), names.get(..end).unwrap_or_default());
                covers(pattern, pins, part) || pattern.fits(names)
            })
        });
        let allowed = |all: &Vec<(&ObjectPattern, HashSet<String>)>| {
            all.iter().any(|(pattern, pins)| covers(pattern, pins, chain))
        };
        !denied && self.allowed.as_ref().is_none_or(allowed)
    }
}

/// Whether a pattern names the last object of a chain, by the ids that its plain names mean.
fn covers(pattern: &ObjectPattern, pins: &HashSet<String>, chain: &[(&str, String)]) -> bool {
    let after = |start: usize| {
        let names: Vec<&str> = chain.iter().skip(start).map(|(_, name)| name.as_str()).collect();
        pattern.fits_after(&names)
    };
    if pattern.prefix().is_empty() {
        return after(0);
    }
    chain.iter().position(|(id, _)| pins.contains(*id)).is_some_and(|at| after(at + 1))
}
