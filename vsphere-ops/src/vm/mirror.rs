//! The VMs in memory, listed without a request.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use tokio::time::timeout;
use vsphere_model::managed::{HostSystem, VirtualMachine, virtual_machine as vm};
use vsphere_model::types::ManagedObjectReference;
use vsphere_soap::object::ManagedType as _;

use super::column::{Beside, VmColumn};
use super::facts::{Seen, VmFacts, number};
use super::list::{VmQuery, VmSummary, Wanted};
use crate::client::Client;
use crate::columns::Others as Names;
use crate::columns::{Column as _, Groups};
use crate::error::{Error, Result};
use crate::find::{self, Ancestry};
use crate::gaps::Gaps;
use crate::inventory::{Entry, Inventory};
use crate::name;
use crate::page::{Freshness, ListQuery, Page};
use crate::read::{Missing, Select, Values};
use crate::watch::Patch;

/// A live mirror of all VMs, templates included, that answers a [`VmQuery`] from memory.
///
/// What other clients change is in it within milliseconds; what this program changed is surely in it after
/// [`refresh`](Self::refresh). Cheap to clone; the watches behind it end with the last clone.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::ListQuery;
/// use vsphere_ops::vm::{self, VmMirror, VmQuery};
///
/// let mirror = VmMirror::start(&client).await?;
/// let query = VmQuery { page: ListQuery::first(50).matching("web-*"), ..Default::default() };
/// let page = match mirror.list(&query).await? {
///     Some(page) if mirror.is_current() => page,
///     _ => vm::list(&client, &query).await?,
/// };
/// println!("{} machines", page.total);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Clone)]
pub struct VmMirror {
    client: Client,
    /// VMs know their hosts by reference, people by name: the names of hosts stand beside.
    vms: Inventory<VirtualMachine, Row>,
    /// The number of changes by the client that the mirror surely holds.
    seen: Arc<AtomicU64>,
}

/// A cache of VMs for a [`Client`](crate::Client::with_cache), which may be there now and then: a [`VmMirror`], or what
/// starts one when it is worth it.
///
/// ```
/// use vsphere_ops::vm::{VmCache, VmMirror};
///
/// /// A cache that can be switched off.
/// struct Switched(tokio::sync::watch::Receiver<bool>, VmMirror);
///
/// #[async_trait::async_trait]
/// impl VmCache for Switched {
///     async fn current(&self) -> Option<VmMirror> {
///         if *self.0.borrow() { self.1.current().await } else { None }
///     }
/// }
/// ```
#[async_trait]
pub trait VmCache: Send + Sync {
    /// The mirror, where it is as new as what the server would say now: it follows the server, and holds what this client has
    /// changed before.
    async fn current(&self) -> Option<VmMirror>;
}

/// A VM or a template in a [`VmMirror`].
///
/// ```
/// use vsphere_ops::vm::MirroredVm;
///
/// fn templates(all: &[MirroredVm]) -> impl Iterator<Item = &str> {
///     all.iter().filter(|vm| vm.template).map(|vm| vm.summary.name.as_str())
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
pub struct MirroredVm {
    /// As in lists.
    #[serde(flatten)]
    pub summary: VmSummary,
    /// Whether it is a template, which no list of VMs shows.
    pub template: bool,
}

impl VmMirror {
    /// Starts the mirror, and waits until it is complete.
    ///
    /// # Errors
    /// Server errors.
    pub async fn start(client: &Client) -> Result<Self> {
        // What is looked up in the mirror must not hold the mirror.
        let client = client.without_cache();
        let seen = Arc::new(AtomicU64::new(client.connection.changes()));
        let vms = client.watch::<VirtualMachine>().select(Lenient).beside(HostSystem::NAME);
        Ok(Self { vms: Inventory::start_patched(vms, Row::patched).await?, client, seen })
    }

    /// The page that [`list`](super::list) would read from the server, with how fresh it is; `None` where that takes what the mirror does not
    /// hold: folders, clusters, tags and custom attributes, and names that do not fit exactly one host. The names of clusters, folders,
    /// pools, networks and datastores, where columns or conditions ask for them, take one request; all else takes none.
    ///
    /// # Errors
    /// `invalid_argument` for a cursor that no list gave, and those of the server.
    pub async fn list(&self, query: &VmQuery) -> Result<Option<Page<VmSummary>>> {
        let wanted = Wanted::new(query);
        let Some((mut names, host)) = self.needed(query, &wanted.columns(), &wanted.shown()).await? else {
            return Ok(None);
        };
        let sorted = self.vms.sorted();
        let fits =
            |entry: &Entry<VirtualMachine, Row>| is_on(entry, host.as_deref()) && wanted.fits(&names, seen(entry));
        let window = match query.order {
            None => self.vms.window(fits, &query.page)?,
            Some(_) => {
                let fitting = sorted.iter().filter(|entry| fits(entry));
                wanted.ranked(&names, fitting, |entry| seen(entry))?.map(Arc::clone)
            }
        };
        let shown = wanted.shown();
        let all: Vec<Seen<'_>> = window.items.iter().map(|entry| seen(entry)).collect();
        names.complete(&self.client, &all, &shown).await?;
        let items = all.iter().map(|seen| wanted.summary(&names, *seen)).collect();
        let mut gaps = refused(sorted.iter(), wanted.columns());
        gaps.append_others(refused(window.items.iter(), shown));
        Ok(Some(Page { freshness: self.freshness(), gaps, ..window.page(items) }))
    }

    /// The groups that [`groups`](super::groups) would read from the server, with how fresh they are; `None` where that takes what the
    /// mirror does not hold, as for [`list`](Self::list).
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::vm::{VmColumn, VmMirror, VmQuery};
    ///
    /// let mirror = VmMirror::start(&client).await?;
    /// if let Some(by_host) = mirror.groups(&VmQuery::default(), VmColumn::Host).await? {
    ///     println!("VMs run on {} hosts", by_host.groups.len());
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Those of the server.
    pub async fn groups(&self, query: &VmQuery, column: VmColumn) -> Result<Option<Groups>> {
        let wanted = Wanted::new(query);
        let columns = [wanted.columns(), vec![column]].concat();
        let Some((names, host)) = self.needed(query, &columns, &[]).await? else { return Ok(None) };
        let sorted = self.vms.sorted();
        let fitting = sorted.iter().filter(|entry| is_on(entry, host.as_deref())).map(|entry| seen(entry));
        let fitting = fitting.filter(|seen| wanted.fits(&names, *seen));
        Ok(Some(wanted.groups(&names, fitting, column, self.freshness(), refused(sorted.iter(), columns))))
    }

    /// The names that a query needs of all VMs, and the id of the host whose VMs are wanted; `None` where the mirror does not hold
    /// what the query asks for.
    async fn needed(
        &self,
        query: &VmQuery,
        columns: &[VmColumn],
        shown: &[VmColumn],
    ) -> Result<Option<(Names, Option<String>)>> {
        let is_held = |column: &VmColumn| !matches!(column.beside(), Beside::Tags | Beside::Attributes);
        let is_contained = query.folder.is_some() || query.cluster.is_some() || query.tag.is_some();
        if is_contained || !columns.iter().chain(shown).all(is_held) {
            return Ok(None);
        }
        let host = match &query.host {
            None => None,
            Some(what) => match self.host(what.trim()) {
                Some(id) => Some(id),
                None => return Ok(None),
            },
        };
        let mut names = Names::of_hosts(self.vms.beside());
        // Those of hosts are there.
        let others: Vec<VmColumn> = columns.iter().copied().filter(|column| column.beside() != Beside::Hosts).collect();
        if others.iter().any(|column| column.beside() != Beside::Itself) {
            let others = find::scan(&self.client, None, Names::types(&others)).await?;
            names.with(Ancestry::of(&self.client, &others));
        }
        Ok(Some((names, host)))
    }

    /// How fresh what the mirror holds is; `None` before the server has told all of it.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let mirror = vsphere_ops::vm::VmMirror::start(&client).await?;
    /// assert!(mirror.freshness().is_some_and(|freshness| freshness.live));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn freshness(&self) -> Option<Freshness> {
        Some(Freshness { live: self.is_current(), age: self.age()? })
    }

    /// All VMs and templates, sorted by name.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # let mirror = vsphere_ops::vm::VmMirror::start(&client).await?;
    /// for vm in mirror.all().iter().filter(|vm| vm.template) {
    ///     println!("{} is a template", vm.summary.name);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn all(&self) -> Vec<MirroredVm> {
        let mirrored = self.mirrored();
        self.vms.sorted().iter().map(|entry| mirrored(entry)).collect()
    }

    /// A page of the VMs and templates, by name.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # let mirror = vsphere_ops::vm::VmMirror::start(&client).await?;
    /// let page = mirror.page(&vsphere_ops::ListQuery::first(200))?;
    /// println!("{} of {} VMs and templates", page.returned, page.total);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` for a cursor that no page gave.
    pub fn page(&self, query: &ListQuery) -> Result<Page<MirroredVm>> {
        let mirrored = self.mirrored();
        Ok(self.vms.page(query)?.map(|entry| mirrored(&entry)))
    }

    /// The names of all VMs and templates, and whether each is that of a template.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # let mirror = vsphere_ops::vm::VmMirror::start(&client).await?;
    /// let templates = mirror.names().into_iter().filter(|(_, template)| *template).count();
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn names(&self) -> Vec<(String, bool)> {
        self.vms.sorted().iter().map(|entry| (entry.object.label().to_owned(), entry.row.facts.template)).collect()
    }

    /// How a VM is shown with all others.
    fn mirrored(&self) -> impl Fn(&Entry<VirtualMachine, Row>) -> MirroredVm {
        let names = Names::of_hosts(self.vms.beside());
        move |entry| MirroredVm {
            summary: Wanted::new(&VmQuery::default()).summary(&names, seen(entry)),
            template: entry.row.facts.template,
        }
    }

    /// How many VMs, templates included, are on each host, by the host's id.
    pub(crate) fn by_host(&self) -> HashMap<String, usize> {
        let mut by_host = HashMap::new();
        for host in self.vms.sorted().iter().filter_map(|entry| entry.row.facts.host.as_ref()) {
            match by_host.get_mut(&*host.id) {
                Some(count) => *count += 1,
                None => drop(by_host.insert(host.id.to_string(), 1)),
            }
        }
        by_host
    }

    /// The name of the VM with this id.
    pub(crate) fn name_of(&self, id: &str) -> Option<String> {
        self.vms.get(id).map(|entry| entry.object.label().to_owned())
    }

    /// The VMs with exactly this name.
    pub(crate) fn called(&self, name: &str) -> Vec<(ManagedObjectReference, String)> {
        self.vms.by_name(name).iter().map(|entry| named(entry)).collect()
    }

    /// The VMs that a user may mean by this name or id, whatever its form: as it is, else without spaces at its ends, else
    /// decoded, else without regard to case.
    pub(crate) fn named(&self, what: &str) -> Vec<(ManagedObjectReference, String)> {
        let decoded = name::decode(what.trim());
        let exactly = [what, what.trim(), &decoded].into_iter().map(|name| {
            let mut found = self.called(name);
            let by_id = self.vms.get(name).filter(|entry| entry.object.label() != name);
            found.extend(by_id.map(|entry| named(&entry)));
            found
        });
        if let Some(found) = exactly.into_iter().find(|found| !found.is_empty()) {
            return found;
        }
        let all = self.vms.sorted();
        let alike = |lower: String| {
            let alike = all.iter().filter(|entry| entry.object.label().to_lowercase() == lower);
            alike.map(|entry| named(entry)).collect::<Vec<_>>()
        };
        let found = alike(what.trim().to_lowercase());
        if found.is_empty() && decoded != what.trim() { alike(decoded.to_lowercase()) } else { found }
    }

    /// The VM with this instance UUID, else those with this BIOS UUID, which copies share.
    pub(crate) fn with_uuid(&self, uuid: &str) -> Vec<(ManagedObjectReference, String)> {
        let Some(uuid) = number(uuid) else { return Vec::new() };
        let all = self.vms.sorted();
        let with = |of: fn(&VmFacts) -> Option<u128>| {
            all.iter().filter(|entry| of(&entry.row.facts) == Some(uuid)).map(|entry| named(entry)).collect::<Vec<_>>()
        };
        let found = with(|row| row.instance_uuid);
        if found.is_empty() { with(|row| row.uuid) } else { found }
    }

    /// Waits until the mirror holds what this client has changed before, for as long as `patience`. Whether it does, and follows
    /// the server.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use std::time::Duration;
    /// use vsphere_ops::managed::VirtualMachine;
    /// use vsphere_ops::vm::VmMirror;
    ///
    /// let mirror = VmMirror::start(&client).await?;
    /// client.get::<VirtualMachine>("web-04").await?.power_on().await?.await?;
    /// if mirror.catch_up(Duration::from_millis(500)).await {
    ///     println!("web-04 is on in {} machines", mirror.all().len());
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub async fn catch_up(&self, patience: Duration) -> bool {
        let changes = self.client.connection.changes();
        if self.is_current() && self.seen.load(Ordering::Acquire) < changes {
            match timeout(patience, self.refresh()).await {
                Ok(Ok(())) => drop(self.seen.fetch_max(changes, Ordering::AcqRel)),
                Ok(Err(error)) => tracing::debug!(%error, "the mirror of virtual machines has ended"),
                Err(_) => return false,
            }
        }
        self.is_current() && self.seen.load(Ordering::Acquire) >= changes
    }

    /// Has the server asked at once, and waits until the mirror holds what it said of the VMs: what was changed before
    /// is seen afterwards.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # let mirror = vsphere_ops::vm::VmMirror::start(&client).await?;
    /// # use vsphere_ops::{managed::VirtualMachine, power::PowerOperation};
    /// client.get::<VirtualMachine>("web-01").await?.power(PowerOperation::Off).await?;
    /// mirror.refresh().await?;
    /// println!("as of {:?} ago", mirror.age());
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The mirror has ended with this error. While the server is not reached it waits.
    pub async fn refresh(&self) -> Result<()> {
        self.vms.refresh().await
    }

    /// Whether the mirror follows the server: it is reached, and has confirmed within the last 15 s that this is all.
    pub fn is_current(&self) -> bool {
        self.vms.is_live()
    }

    /// How long ago the server last confirmed that this is all.
    pub fn age(&self) -> Option<Duration> {
        self.vms.age()
    }

    /// The error that the mirror has ended with; it is to be started again then.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client, mut mirror: vsphere_ops::vm::VmMirror) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::vm::VmMirror;
    ///
    /// while mirror.changed().await.is_ok() {
    ///     println!("{} machines", mirror.all().len());
    /// }
    /// if let Some(error) = mirror.failure() {
    ///     println!("{error}");
    ///     mirror = VmMirror::start(&client).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn failure(&self) -> Option<Error> {
        self.vms.failure()
    }

    /// Waits until a VM has changed since this clone last waited.
    ///
    /// # Errors
    /// The mirror has ended with this error.
    pub async fn changed(&mut self) -> Result<()> {
        self.vms.changed().await
    }

    /// The id of the one host that is called so, or has this id.
    fn host(&self, what: &str) -> Option<String> {
        let hosts = self.vms.beside();
        let mut named = hosts.iter().filter(|(id, name)| *id == what || *name == what);
        match (named.next(), named.next()) {
            (Some((id, _)), None) => Some(id.clone()),
            _ => None,
        }
    }
}

/// How long a lookup waits for the mirror to see what its client has changed, before the server is asked instead.
const CATCH_UP: Duration = Duration::from_millis(500);

#[async_trait]
impl VmCache for VmMirror {
    async fn current(&self) -> Option<VmMirror> {
        self.catch_up(CATCH_UP).await.then(|| self.clone())
    }
}

fn seen(entry: &Entry<VirtualMachine, Row>) -> Seen<'_> {
    let Row { facts, searched, .. } = &entry.row;
    Seen { name: entry.object.label(), id: entry.object.id(), facts, searched: Some(searched) }
}

/// What could not be read of these VMs for these columns.
fn refused<'a>(
    entries: impl Iterator<Item = &'a Arc<Entry<VirtualMachine, Row>>>,
    columns: impl IntoIterator<Item = VmColumn>,
) -> Gaps {
    let paths = VmColumn::all_paths(columns);
    // Without columns nothing can be missing, and none of the VMs has to be looked at.
    let refused = entries.take_while(|_| !paths.is_empty()).flat_map(|entry| &entry.row.refused);
    refused.filter(|missing| paths.contains(&missing.path.as_str())).cloned().collect()
}

fn is_on(entry: &Entry<VirtualMachine, Row>, host: Option<&str>) -> bool {
    host.is_none_or(|id| entry.row.facts.host.as_ref().is_some_and(|own| *own.id == *id))
}

fn named(entry: &Entry<VirtualMachine, Row>) -> (ManagedObjectReference, String) {
    (entry.object.reference().clone(), entry.object.label().to_owned())
}

impl fmt::Debug for VmMirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VmMirror({} machines)", self.vms.snapshot().len())
    }
}

/// A VM as it is kept. As in a list, one of which something can't be read is there all the same.
#[derive(Debug, Clone)]
struct Row {
    facts: VmFacts,
    /// The texts by which it is found.
    searched: Box<str>,
    /// What the user may not read of it.
    refused: Vec<Missing>,
}

impl Row {
    /// The row with what has changed.
    fn patched(&self, patch: &mut Patch) -> Option<Self> {
        let mut row = self.clone();
        row.facts.patch(&patch.paths, &mut patch.values);
        row.searched = row.facts.searched_as_one();
        row.refused.retain(|missing| !patch.paths.contains(&missing.path.as_str()));
        row.refused.extend(patch.values.refused());
        Some(row)
    }
}

struct Lenient;

impl Select<VirtualMachine> for Lenient {
    type Row = Row;

    fn paths(&self, paths: &mut Vec<&'static str>) {
        let is_held = |column: &VmColumn| !matches!(column.beside(), Beside::Tags | Beside::Attributes);
        paths.extend(VmColumn::all_paths(VmColumn::ALL.iter().copied().filter(is_held)));
        paths.push(vm::IS_TEMPLATE.path());
    }

    fn row(&self, values: &mut Values) -> std::result::Result<Row, Missing> {
        let refused = values.refused();
        let facts = VmFacts::of(values);
        Ok(Row { searched: facts.searched_as_one(), facts, refused })
    }
}
