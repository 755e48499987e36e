//! The way of a guarded client to the server: requests are checked before they leave, answers filtered when they come.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use vsphere_model::types::{Any, ManagedObjectNotFound, ManagedObjectReference};
use vsphere_soap::fault::SoapFault;
use vsphere_soap::object::Object;
use vsphere_soap::request::{Caller, Effect, Operation};
use vsphere_soap::{Error as WireError, ErrorKind as WireKind};

use super::files::Taken;
use super::tree::Nodes;
use super::{Level, Rules, Tree, acts, answers};
use crate::connection::{Line, Part, Parts};
use crate::datastore_path::DatastorePath;
use crate::error::{Error, Result};
use crate::find;

/// How many owners are remembered.
const MOST_OWNERS: usize = 16_384;

/// How often a page of a history is asked for again, of which nothing is left.
const MOST_EMPTY_PAGES: usize = 100;

/// What a guarded client may see and touch.
pub(crate) struct Guard {
    tree: Tree,
    rules: Rules,
    /// What features keep for the clients of this guard alone.
    parts: Parts,
    view: Mutex<Option<Arc<View>>>,
    epoch: AtomicU64,
    owners: Mutex<HashMap<ManagedObjectReference, Owner>>,
}

/// To what something that is not in the inventory belongs.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Owner {
    /// A client of this guard has made it, which it was permitted to.
    Guard,
    /// An object of the inventory.
    Object(ManagedObjectReference),
    /// Nothing that is known.
    Unknown,
}

/// What the rules say of each object at one moment.
pub(super) struct View {
    pub(super) nodes: Nodes,
    levels: HashMap<String, Level>,
}

impl View {
    /// What the rules say of the object with this id.
    pub(super) fn level(&self, id: &str) -> Level {
        self.levels.get(id).copied().unwrap_or(Level::Denied)
    }

    /// Whether a reference is to an object of the inventory that does not exist for the client.
    pub(super) fn hides(&self, reference: &ManagedObjectReference) -> bool {
        !reference.value.is_empty()
            && (self.nodes.has(&reference.value) || is_entity(&reference.type_))
            && self.level(&reference.value) == Level::Denied
    }

    /// Whether a text is the id of an object that does not exist for the client.
    pub(super) fn hides_id(&self, text: &str) -> bool {
        self.nodes.has(text) && self.level(text) == Level::Denied
    }
}

impl Guard {
    pub(super) fn new(tree: Tree, rules: Rules) -> Self {
        Self {
            tree,
            rules,
            parts: Parts::default(),
            view: Mutex::default(),
            epoch: AtomicU64::new(0),
            owners: Mutex::default(),
        }
    }

    /// What a feature keeps for the clients of this guard.
    pub(crate) fn part<P: Part>(&self) -> Arc<P> {
        self.parts.get()
    }

    /// A number that grows when an object that was there is permitted that was not, or the other way round: what was read
    /// before is to be read again then.
    pub(crate) async fn epoch(&self) -> Result<u64> {
        self.tree.catch_up().await?;
        self.view();
        Ok(self.epoch.load(Ordering::Acquire))
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(super) fn view(&self) -> Arc<View> {
        let nodes = self.tree.nodes();
        let mut kept = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = kept.as_ref().filter(|view| view.nodes.is(&nodes)) {
            return Arc::clone(view);
        }
        let levels = self.tree.levels(&self.rules, &nodes);
        let view = Arc::new(View { nodes, levels });
        if let Some(before) = kept.replace(Arc::clone(&view)) {
            let both = view.nodes.all().filter(|object| before.nodes.has(&object.value));
            if both.into_iter().any(|object| before.level(&object.value) != view.level(&object.value)) {
                self.epoch.fetch_add(1, Ordering::AcqRel);
            }
        }
        view
    }

    /// Whether an object of this name would be permitted in a container.
    pub(super) fn would_permit(&self, view: &View, container: &str, name: &str) -> bool {
        let Some(mut chain) = view.nodes.chain(container) else { return false };
        chain.push(("", crate::name::decode(name)));
        self.tree.judge(&self.rules, &view.nodes).permits(&chain)
    }

    /// Which of these objects, by their ids, are permitted now.
    pub(crate) async fn permitted(&self, ids: impl IntoIterator<Item = &str>) -> Result<Vec<bool>> {
        self.tree.catch_up().await?;
        let view = self.view();
        Ok(ids.into_iter().map(|id| view.level(id) == Level::Full).collect())
    }

    /// Fails unless a file may be read or written.
    ///
    /// # Errors
    /// `permission` where it is in a datastore or a folder of a VM that is denied.
    pub(crate) async fn check_file(&self, operation: &str, path: &DatastorePath) -> Result<()> {
        self.tree.catch_up().await?;
        let view = self.view();
        let taken = Taken::read(self, &view).await?;
        match view.permits_datastore(path.datastore()) && !taken.hides(path) {
            true => Ok(()),
            false => Err(denied(operation, &path.to_string(), NO_FILE).into()),
        }
    }

    pub(super) fn learn(&self, reference: &ManagedObjectReference, owner: Owner) {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if owners.len() >= MOST_OWNERS {
            owners.clear();
        }
        owners.entry(reference.clone()).or_insert(owner);
    }

    /// To what something that is not in the inventory belongs. It is asked for where that is not known yet.
    pub(super) async fn owner(&self, reference: &ManagedObjectReference) -> Result<Owner> {
        let known = self.owners.lock().unwrap_or_else(PoisonError::into_inner).get(reference).cloned();
        if let Some(owner) = known {
            return Ok(owner);
        }
        let path = match reference.type_.as_str() {
            "Task" => "info.entity",
            "VirtualMachineSnapshot" => "vm",
            "HttpNfcLease" => "info.entity",
            "Alarm" => "info.entity",
            _ => return Ok(Owner::Unknown),
        };
        let contents = match find::details(self.tree.client(), [reference.clone()], &[path]).await {
            Ok(contents) => contents,
            // It is gone.
            Err(error) if error.is_not_found() => return Ok(Owner::Unknown),
            Err(error) => return Err(error),
        };
        let value = contents.into_iter().flat_map(|content| content.prop_set).next().map(|property| property.val);
        let Some(Any::Ref(owner)) = value else { return Ok(Owner::Unknown) };
        let owner = Owner::Object(owner);
        self.learn(reference, owner.clone());
        Ok(owner)
    }

    /// What the rules say of something that is not in the inventory: what they say of its owner.
    pub(super) async fn level_of_owner(&self, view: &View, reference: &ManagedObjectReference) -> Result<Level> {
        Ok(match self.owner(reference).await? {
            Owner::Guard => Level::Full,
            Owner::Object(owner) => view.level(&owner.value),
            Owner::Unknown => Level::Denied,
        })
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// A connection as a guarded client calls it.
#[derive(Debug)]
pub(crate) struct Guarded {
    pub(crate) line: Line,
    pub(crate) guard: Arc<Guard>,
}

#[async_trait]
impl Caller for Guarded {
    async fn call(&self, operation: &Operation) -> Result<Any, WireError> {
        let failed = |error: Error| unchecked(operation, &error);
        acts::check(&self.guard, operation).await?;
        for _ in 0..MOST_EMPTY_PAGES {
            let answer = match self.line.call(operation).await {
                Ok(answer) => answer,
                Err(error) => return Err(self.guard.without_names(operation, error).await),
            };
            let had = count(&answer);
            let answer = answers::filtered(&self.guard, answer).await.map_err(failed)?;
            // A page of which nothing is left is not the end of a history.
            if is_page(operation.method.name) && had > 0 && count(&answer) == 0 {
                continue;
            }
            if let (Effect::Changes, Any::Ref(made)) = (operation.method.effect, &answer)
                && !is_entity(&made.type_)
            {
                self.guard.learn(made, Owner::Guard);
            }
            return Ok(answer);
        }
        Ok(Any::Unset)
    }
}

impl Guard {
    /// A fault as it came, unless it names what is denied. That something is gone it says of what does not exist, too.
    async fn without_names(&self, operation: &Operation, error: WireError) -> WireError {
        let Some(detail) = error.fault().and_then(|fault| fault.detail.as_ref()) else { return error };
        if operation.method.effect == Effect::Changes && self.tree.catch_up().await.is_err() {
            return error;
        }
        if detail.is::<ManagedObjectNotFound>() || !answers::mentions(&self.view(), detail.data()) {
            return error;
        }
        denied(
            operation.method.name,
            &operation.target.to_string(),
            "it failed because of something that the policy hides",
        )
    }
}

pub(super) const NO_FILE: &str = "the policy does not allow this file, or there is no such datastore";

/// The error of what the rules do not allow.
pub(super) fn denied(operation: &str, target: &str, text: &str) -> WireError {
    WireError::new(operation.to_owned(), WireKind::Denied(text.to_owned())).on(target.to_owned())
}

/// The error of an object that does not exist for the client: that of the server for one that does not exist.
pub(super) fn absent(operation: &Operation, object: &ManagedObjectReference) -> WireError {
    let fault = SoapFault {
        code: "ServerFaultCode".to_owned(),
        reason: "The object has already been deleted or has not been completely created".to_owned(),
        detail: Some(Object::new(ManagedObjectNotFound { obj: object.clone(), ..Default::default() })),
    };
    WireError::new(operation.method.name, WireKind::Fault(Box::new(fault)))
        .on(operation.target.to_string())
        .with_effect(operation.method.effect)
}

/// The error where the rules could not be checked.
pub(super) fn unchecked(operation: &Operation, error: &Error) -> WireError {
    let text = format!("the policy could not be checked: {error}");
    denied(operation.method.name, &operation.target.to_string(), &text)
}

/// Whether objects of this type stand in the inventory. Those of a type that is not known may.
pub(super) fn is_entity(type_: &str) -> bool {
    vsphere_model::registry().managed(type_).is_none_or(|info| info.is_named("ManagedEntity"))
}

fn is_page(method: &str) -> bool {
    matches!(method, "ReadNextEvents" | "ReadPreviousEvents" | "ReadNextTasks" | "ReadPreviousTasks")
}

fn count(answer: &Any) -> usize {
    match answer {
        Any::Array(array) => array.items.len(),
        _ => 0,
    }
}
