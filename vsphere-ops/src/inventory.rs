//! A mirror of a part of the inventory, which follows the server and answers from memory, with the age of the answers.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::poll_fn;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vsphere_soap::request::ManagedObject;

use crate::error::{Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::page::{ByName, ListQuery, Page, Window};
use crate::read::Select;
use crate::watch::{Change, Freshness, Patch, Told, Watch};

/// A mirror of the objects of type `M`, with a row of type `R` for each, which follows the server.
///
/// It survives reconnects: until all objects have been reported again, it answers with what it knew, and
/// [`is_live`](Self::is_live) is false. Objects whose required properties can't be read are not in it. Cheap to clone;
/// the watch behind it ends with the last clone.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::Inventory;
/// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
///
/// let vms = Inventory::start(client.watch::<VirtualMachine>().select((vm::POWER_STATE, vm::NUM_CPU))).await?;
/// for entry in vms.by_name("web-01") {
///     println!("{} is {}", entry.object, entry.row.0); // from memory
/// }
/// println!("{} machines, as of {:?} ago", vms.snapshot().len(), vms.age());
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub struct Inventory<M: ManagedObject, R> {
    known: watch::Receiver<Known<M, R>>,
    /// The last question that was answered. Beside what is known: an answer is no change.
    looked: watch::Receiver<u64>,
    freshness: Freshness,
    _task: Arc<AbortOnDrop>,
}

/// An object in an [`Inventory`].
///
/// ```
/// use vsphere_ops::Entry;
/// use vsphere_ops::managed::VirtualMachine;
///
/// async fn stop(entry: &Entry<VirtualMachine, (String, bool)>) -> vsphere_ops::Result<()> {
///     let (guest, template) = &entry.row; // from memory
///     println!("{} runs {guest}, template: {template}", entry.object.label());
///     entry.object.power_off().await?.await // on the server
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Entry<M: ManagedObject, R> {
    /// The object; its [`label`](Mo::label) is its name.
    pub object: Mo<M>,
    /// Its properties.
    pub row: R,
}

/// All objects of an [`Inventory`] at one moment, by id.
///
/// ```
/// use vsphere_ops::Snapshot;
/// use vsphere_ops::managed::VirtualMachine;
/// use vsphere_ops::types::VirtualMachinePowerState as Power;
///
/// fn running(machines: &Snapshot<VirtualMachine, Power>) -> usize {
///     machines.values().filter(|entry| entry.row == Power::PoweredOn).count()
/// }
/// ```
pub type Snapshot<M, R> = HashMap<String, Arc<Entry<M, R>>>;

/// The objects of an inventory in the order of their names, and of their ids where names are the same.
pub(crate) type Sorted<M, R> = Vec<Arc<Entry<M, R>>>;

/// Makes a row with what has changed out of the row that was; `None` where it can't.
pub(crate) type Patcher<R> = fn(&R, &mut Patch) -> Option<R>;

struct Known<M: ManagedObject, R> {
    objects: Arc<Snapshot<M, R>>,
    sorted: Arc<Sorted<M, R>>,
    /// The names of objects of another type, by id.
    beside: Arc<HashMap<String, String>>,
    /// Whether the first objects were all told.
    started: bool,
    failed: Option<Error>,
}

impl<M, R> Inventory<M, R>
where
    M: ManagedObject,
    R: Send + Sync + 'static,
{
    /// Starts a mirror of what a watch tells of, and waits until it is complete.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::Inventory;
    /// use vsphere_ops::managed::{HostSystem, host_system};
    ///
    /// let mut hosts = Inventory::start(client.watch::<HostSystem>().select(host_system::CONNECTION_STATE)).await?;
    /// while !hosts.snapshot().is_empty() {
    ///     for (id, host) in hosts.snapshot().iter() {
    ///         println!("{id} {}", host.row);
    ///     }
    ///     hosts.changed().await?;
    ///     println!("live: {}", hosts.is_live());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of the watch.
    pub async fn start<S>(watch: Watch<M, S>) -> Result<Self>
    where
        S: Select<M, Row = R> + Unpin + Send + 'static,
    {
        // Without patches there is nothing to be patched.
        Self::of(watch, |_, _| None).await
    }

    /// Starts a mirror that keeps nothing but the rows: they are made once, and what changes is brought into them.
    pub(crate) async fn start_patched<S>(watch: Watch<M, S>, patch: Patcher<R>) -> Result<Self>
    where
        S: Select<M, Row = R> + Unpin + Send + 'static,
    {
        Self::of(watch.in_patches(), patch).await
    }

    async fn of<S>(mut watch: Watch<M, S>, patch: Patcher<R>) -> Result<Self>
    where
        S: Select<M, Row = R> + Unpin + Send + 'static,
    {
        let freshness = watch.freshness()?;
        let known = Known {
            objects: Arc::default(),
            sorted: Arc::default(),
            beside: Arc::default(),
            started: false,
            failed: None,
        };
        let (sender, known) = watch::channel(known);
        let (answer, looked) = watch::channel(0);
        let task = Arc::new(AbortOnDrop(tokio::spawn(mirror(watch, patch, sender, answer).boxed())));
        let mut inventory = Self { known, looked, freshness, _task: task };
        loop {
            {
                let known = inventory.known.borrow_and_update();
                if let Some(error) = &known.failed {
                    return Err(error.clone());
                }
                if known.started {
                    break;
                }
            }
            inventory.changed().await?;
        }
        Ok(inventory)
    }

    /// The object with this managed object id.
    pub fn get(&self, id: &str) -> Option<Arc<Entry<M, R>>> {
        self.known.borrow().objects.get(id).cloned()
    }

    /// The objects with this name, of which there may be several.
    pub fn by_name(&self, name: &str) -> Vec<Arc<Entry<M, R>>> {
        let sorted = self.sorted();
        let start = sorted.partition_point(|entry| entry.object.label() < name);
        sorted.iter().skip(start).take_while(|entry| entry.object.label() == name).cloned().collect()
    }

    /// A page of the objects, by name.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{HostSystem, host_system};
    /// use vsphere_ops::{Inventory, ListQuery};
    ///
    /// let hosts = Inventory::start(client.watch::<HostSystem>().select(host_system::CONNECTION_STATE)).await?;
    /// let page = hosts.page(&ListQuery::first(50))?;
    /// println!("{} of {} hosts, and on with {:?}", page.returned, page.total, page.next_cursor);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` for a cursor that no page gave.
    pub fn page(&self, query: &ListQuery) -> Result<Page<Arc<Entry<M, R>>>> {
        let glob = query.glob();
        let fits = |entry: &Entry<M, R>| glob.as_ref().is_none_or(|glob| glob.fits(entry.object.label()));
        Ok(self.window(fits, query)?.into())
    }

    /// A window on the objects that fit.
    pub(crate) fn window(
        &self,
        fits: impl Fn(&Entry<M, R>) -> bool,
        query: &ListQuery,
    ) -> Result<Window<Arc<Entry<M, R>>>> {
        let key = |entry: &&Arc<Entry<M, R>>| {
            let (name, id) = name_and_id(entry);
            ByName::new(name, id)
        };
        let compare = |entry: &&Arc<Entry<M, R>>, key: &ByName| name_and_id(entry).cmp(&(&key.name, &key.id));
        let sorted = self.sorted();
        let window = Window::of_sorted(sorted.iter().filter(|entry| fits(entry)), key, compare, query)?;
        Ok(window.map(Arc::clone))
    }

    /// All objects as they are known now, by name and id.
    pub(crate) fn sorted(&self) -> Arc<Sorted<M, R>> {
        Arc::clone(&self.known.borrow().sorted)
    }

    /// The names of the objects of the other type that the watch tells of, by id.
    pub(crate) fn beside(&self) -> Arc<HashMap<String, String>> {
        Arc::clone(&self.known.borrow().beside)
    }

    /// All objects as they are known now. It stays as it is; nothing is copied.
    pub fn snapshot(&self) -> Arc<Snapshot<M, R>> {
        Arc::clone(&self.known.borrow().objects)
    }

    /// Whether the mirror follows the server. It does not while the server is not reached or has said nothing for 15 s, and
    /// while all objects are read again.
    pub fn is_live(&self) -> bool {
        self.known.borrow().failed.is_none() && self.freshness.is_live()
    }

    /// How long ago the server last said that there is nothing more to tell. Where nothing happens it says so every ten
    /// seconds.
    pub fn age(&self) -> Option<Duration> {
        self.freshness.age()
    }

    /// Has the server asked at once whether there is something to tell, and waits until it is in the mirror: what was
    /// changed before, also by other clients, is seen afterwards. Many who ask at the same time share two requests.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::Inventory;
    /// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
    ///
    /// let vms = Inventory::start(client.watch::<VirtualMachine>().select(vm::POWER_STATE)).await?;
    /// client.get::<VirtualMachine>("web-04").await?.power_on().await?.await?;
    /// vms.refresh().await?;
    /// println!("{}", vms.by_name("web-04")[0].row); // poweredOn
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The watch has ended with this error. While the server is not reached it waits.
    pub async fn refresh(&self) -> Result<()> {
        let question = self.freshness.ask();
        let ended = self.looked.clone().wait_for(|answered| *answered >= question).await.is_err();
        self.state(ended)
    }

    /// The error that the watch has ended with; the mirror is to be started again then.
    ///
    /// ```no_run
    /// # async fn run(mut vms: vsphere_ops::Inventory<vsphere_ops::managed::VirtualMachine, ()>) {
    /// while vms.changed().await.is_ok() {
    ///     println!("{} machines", vms.snapshot().len());
    /// }
    /// println!("no longer: {:?}", vms.failure());
    /// # }
    /// ```
    pub fn failure(&self) -> Option<Error> {
        self.known.borrow().failed.clone()
    }

    /// Waits until something has changed since this clone last waited. Many changes at once are one.
    ///
    /// # Errors
    /// The watch has ended with this error; what is known stays as it is.
    pub async fn changed(&mut self) -> Result<()> {
        let ended = self.known.changed().await.is_err();
        self.state(ended)
    }

    fn state(&self, ended: bool) -> Result<()> {
        match &self.known.borrow().failed {
            Some(error) => Err(error.clone()),
            None if ended => Err(Error::new("mirror the inventory", ErrorKind::NotFound("the watch has ended".into()))),
            None => Ok(()),
        }
    }
}

impl<M: ManagedObject, R> Clone for Inventory<M, R> {
    fn clone(&self) -> Self {
        let (known, looked) = (self.known.clone(), self.looked.clone());
        Self { known, looked, freshness: self.freshness.clone(), _task: Arc::clone(&self._task) }
    }
}

impl<M: ManagedObject, R> fmt::Debug for Inventory<M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inventory({} objects)", self.known.borrow().objects.len())
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Brings what the watch tells into the mirror.
async fn mirror<M, S>(
    mut watch: Watch<M, S>,
    patch: Patcher<S::Row>,
    known: watch::Sender<Known<M, S::Row>>,
    answer: watch::Sender<u64>,
) where
    M: ManagedObject,
    S: Select<M> + Unpin,
    S::Row: Send + Sync + 'static,
{
    // After a resync the objects gather here, and are shown when they are complete.
    let mut gathering: Option<Gathered<M, S::Row>> = Some(Gathered::default());
    while let Some(first) = poll_fn(|context| watch.poll_told(context)).await {
        // Whatever waits comes along: a consumer that is told of each change would be told too often, and the map is copied once.
        let mut told = vec![first];
        while told.len() < 1000
            && let Some(Some(next)) = poll_fn(|context| watch.poll_told(context)).now_or_never()
        {
            told.push(next);
        }
        let mut live = Vec::new();
        let (mut started, mut failed, mut looked) = (false, None, None);
        for told in told {
            let step = match told {
                Told::Looked(question) => {
                    looked = Some(question);
                    continue;
                }
                Told::Change(Err(error)) => {
                    failed = Some(error);
                    continue;
                }
                Told::Change(Ok(Change::Resync)) => {
                    gathering = Some(Gathered::default());
                    continue;
                }
                Told::Change(Ok(Change::Live)) => {
                    if let Some(gathered) = gathering.take() {
                        started = true;
                        live = vec![Step::Replace(gathered)];
                    }
                    continue;
                }
                Told::Change(Ok(change)) => step(change),
                Told::Patch(patch) => Some(Step::Patch(patch)),
                Told::Beside(id, name) => Some(Step::Beside(id, name)),
            };
            match &mut gathering {
                Some(gathered) => step.into_iter().for_each(|step| gathered.apply(step, patch)),
                None => live.extend(step),
            }
        }
        if !live.is_empty() || failed.is_some() {
            known.send_modify(|known| {
                live.into_iter().for_each(|step| known.apply(step, patch));
                known.started |= started;
                known.failed = failed;
            });
        }
        if let Some(question) = looked {
            answer.send_replace(question);
        }
    }
}

/// A step of the mirror.
enum Step<M: ManagedObject, R> {
    Put(Arc<Entry<M, R>>),
    Patch(Patch),
    Remove(String),
    Beside(String, Option<String>),
    Replace(Gathered<M, R>),
}

/// Objects that are not all told yet.
struct Gathered<M: ManagedObject, R> {
    objects: Snapshot<M, R>,
    beside: HashMap<String, String>,
}

impl<M: ManagedObject, R> Default for Gathered<M, R> {
    fn default() -> Self {
        Self { objects: HashMap::new(), beside: HashMap::new() }
    }
}

fn step<M: ManagedObject, R>(change: Change<M, R>) -> Option<Step<M, R>> {
    match change {
        Change::Entered { object, row } | Change::Changed { object, row, .. } => {
            Some(Step::Put(Arc::new(Entry { object, row })))
        }
        Change::Left { object } | Change::Unreadable { object, .. } => Some(Step::Remove(object.id().to_owned())),
        Change::Resync | Change::Live => None,
    }
}

impl<M: ManagedObject, R> Gathered<M, R> {
    fn apply(&mut self, step: Step<M, R>, patcher: Patcher<R>) {
        match step {
            Step::Put(entry) => drop(self.objects.insert(entry.object.id().to_owned(), entry)),
            Step::Patch(patch) => {
                let entry = patched(&self.objects, patch, patcher);
                entry.into_iter().for_each(|entry| drop(self.objects.insert(entry.object.id().to_owned(), entry)));
            }
            Step::Remove(id) => drop(self.objects.remove(&id)),
            Step::Beside(id, Some(name)) => drop(self.beside.insert(id, name)),
            Step::Beside(id, None) => drop(self.beside.remove(&id)),
            Step::Replace(all) => *self = all,
        }
    }
}

impl<M: ManagedObject, R> Known<M, R> {
    /// Brings a step into all that is known. Lists are copied only while somebody looks at them.
    fn apply(&mut self, step: Step<M, R>, patcher: Patcher<R>) {
        match step {
            Step::Patch(patch) => {
                if let Some(entry) = patched(&self.objects, patch, patcher) {
                    self.apply(Step::Put(entry), patcher);
                }
            }
            Step::Put(entry) => {
                let sorted = Arc::make_mut(&mut self.sorted);
                let before = Arc::make_mut(&mut self.objects).insert(entry.object.id().to_owned(), Arc::clone(&entry));
                match before.and_then(|before| place(sorted, &before).ok()) {
                    Some(at) if sorted.get(at).is_some_and(|old| order(old, &entry).is_eq()) => sorted[at] = entry,
                    at => {
                        at.into_iter().for_each(|at| drop(sorted.remove(at)));
                        let at = place(sorted, &entry).unwrap_or_else(|at| at);
                        sorted.insert(at, entry);
                    }
                }
            }
            Step::Remove(id) => {
                if let Some(gone) = Arc::make_mut(&mut self.objects).remove(&id) {
                    let sorted = Arc::make_mut(&mut self.sorted);
                    place(sorted, &gone).into_iter().for_each(|at| drop(sorted.remove(at)));
                }
            }
            Step::Beside(id, Some(name)) => drop(Arc::make_mut(&mut self.beside).insert(id, name)),
            Step::Beside(id, None) => drop(Arc::make_mut(&mut self.beside).remove(&id)),
            Step::Replace(all) => {
                let mut sorted: Sorted<M, R> = all.objects.values().cloned().collect();
                sorted.sort_unstable_by(|a, b| order(a, b));
                self.sorted = Arc::new(sorted);
                self.objects = Arc::new(all.objects);
                self.beside = Arc::new(all.beside);
            }
        }
    }
}

/// An object with what has changed of it.
fn patched<M: ManagedObject, R>(
    objects: &Snapshot<M, R>,
    mut patch: Patch,
    patcher: Patcher<R>,
) -> Option<Arc<Entry<M, R>>> {
    let before = objects.get(&patch.id)?;
    let object = match patch.name.take() {
        Some(name) => Mo::new(before.object.client(), before.object.reference(), Some(name)),
        None => before.object.clone(),
    };
    Some(Arc::new(Entry { object, row: patcher(&before.row, &mut patch)? }))
}

/// Where an entry stands, or is to stand.
fn place<M: ManagedObject, R>(sorted: &Sorted<M, R>, entry: &Entry<M, R>) -> std::result::Result<usize, usize> {
    sorted.binary_search_by(|own| order(own, entry))
}

fn order<M: ManagedObject, R>(a: &Entry<M, R>, b: &Entry<M, R>) -> Ordering {
    name_and_id(a).cmp(&name_and_id(b))
}

fn name_and_id<M: ManagedObject, R>(entry: &Entry<M, R>) -> (&str, &str) {
    (entry.object.label(), entry.object.id())
}
