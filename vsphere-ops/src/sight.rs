//! A client that sees and touches only what a set of rules permits, whatever the rights of its account are.
//!
//! ```
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
//! use vsphere_ops::sight::{ObjectPattern, Rules, Tree};
//!
//! let tree = Tree::start(&client).await?;
//! let rules = Rules::new()
//!     .allow(["/fra1/vm/prod/**", "/fra1/host/**", "/fra1/datastore/**", "/fra1/network/**"].map(pattern))
//!     .deny(["/fra1/vm/prod/db/**"].map(pattern));
//! # fn pattern(text: &str) -> ObjectPattern { ObjectPattern::parse(text).expect("a pattern") }
//! let guarded = tree.guarded(rules);
//! assert!(guarded.get::<VirtualMachine>("pg-01").await.is_err_and(|error| error.is_not_found()));
//! for (_, name) in guarded.all::<VirtualMachine>().select(vm::NAME).await? {
//!     println!("{name} is in prod, and not in db");
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! - A rule names objects by globs on inventory paths. A deny covers all below what it names, and wins. With a rule that
//!   allows, all that no such rule names is denied.
//! - The plain names at the front of a pattern are looked up once, and are ids from then on: to rename a folder changes no right. A
//!   VM has the rights of the folder that it is in, or of its vApp.
//! - The rules are checked where requests leave and answers arrive, so that no operation can forget them. A request that changes something is
//!   not sent unless all that it names is permitted; one about a container, such as a host, also needs all VMs in it, unless it only
//!   puts something there. What a rename or a move leads to must be permitted, too.
//! - An object that is denied does not exist: lists, counts, events, tasks and references leave it out. The folders and
//!   datacenters above what is permitted can be walked by name.
//! - A file of a datastore is denied where it is in the folder of a VM that is.
//! - What the rules cannot judge is refused: the Automation API but for tags of permitted objects, and managers of the whole server.

mod acts;
mod answers;
mod files;
mod guard;
mod pattern;
mod tree;

pub(crate) use guard::{Guard, Guarded};
pub use pattern::{BadPattern, ObjectPattern};
pub use tree::Tree;

/// Which objects of the inventory a client may see and touch.
///
/// ```
/// use vsphere_ops::sight::{ObjectPattern, Rules};
///
/// let lab = ObjectPattern::parse("/*/vm/lab/**")?;
/// let all_but_the_lab = Rules::new().deny([lab.clone()]);
/// let the_lab_alone = Rules::new().allow([lab]);
/// assert!(Rules::new().is_empty() && !all_but_the_lab.is_empty() && !the_lab_alone.is_empty());
/// # Ok::<(), vsphere_ops::sight::BadPattern>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Rules {
    allowed: Option<Vec<ObjectPattern>>,
    denied: Vec<ObjectPattern>,
}

impl Rules {
    /// No rule: all is permitted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Permits these objects, and with that nothing that no rule allows.
    #[must_use]
    pub fn allow(mut self, objects: impl IntoIterator<Item = ObjectPattern>) -> Self {
        self.allowed.get_or_insert_default().extend(objects);
        self
    }

    /// Denies these objects and all below them, whatever else is allowed.
    #[must_use]
    pub fn deny(mut self, objects: impl IntoIterator<Item = ObjectPattern>) -> Self {
        self.denied.extend(objects);
        self
    }

    /// Whether all is permitted.
    pub fn is_empty(&self) -> bool {
        self.allowed.is_none() && self.denied.is_empty()
    }
}

/// What a client may do with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Nothing: it is as if it did not exist.
    Denied,
    /// See its name and what is in it, on the way to something that is permitted.
    Walk,
    /// All that the account may.
    Full,
}
