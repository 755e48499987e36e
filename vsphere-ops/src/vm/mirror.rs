//! The VMs in memory, listed without a request.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use tokio::time::timeout;
use vsphere_model::managed::{HostSystem, VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{ManagedObjectReference, VirtualMachinePowerState};
use vsphere_soap::object::ManagedType as _;

use super::{VmQuery, VmSummary};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::inventory::{Entry, Inventory};
use crate::name;
use crate::page::{Freshness, ListQuery, Page};
use crate::read::{Missing, Select, Values};
use crate::untrusted::{self, Untrusted};

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
/// let page = match mirror.list(&query)? {
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
        Ok(Self { vms: Inventory::start(vms).await?, client, seen })
    }

    /// The page that [`list`](super::list) would read from the server, with how fresh it is; `None` where that takes what the mirror does not
    /// hold: folders, clusters, tags, paths, notes, and names that do not fit exactly one host.
    ///
    /// # Errors
    /// `invalid_argument` for a cursor that no list gave.
    pub fn list(&self, query: &VmQuery) -> Result<Option<Page<VmSummary>>> {
        if query.folder.is_some() || query.cluster.is_some() || query.notes || query.tag.is_some() {
            return Ok(None);
        }
        let host = match &query.host {
            None => None,
            Some(what) => match self.host(what.trim()) {
                Some(id) => Some(id),
                None => return Ok(None),
            },
        };
        let glob = query.page.glob();
        let hosts = self.vms.beside();
        let fits = |entry: &Entry<VirtualMachine, Row>| {
            !entry.row.template
                && glob.as_ref().is_none_or(|glob| glob.fits(entry.object.label()))
                && query.power_state.as_ref().is_none_or(|wanted| entry.row.power_state.as_ref() == Some(wanted))
                && host.as_ref().is_none_or(|id| entry.row.host.as_ref().is_some_and(|own| own.value == **id))
        };
        let window = self.vms.window(fits, &query.page)?;
        let gaps = window.items.iter().flat_map(|entry| entry.row.refused.iter().cloned()).collect();
        let items = window.items.iter().map(|entry| summary(entry, &hosts)).collect();
        Ok(Some(Page { freshness: self.freshness(), gaps, ..window.page(items) }))
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
        let hosts = self.vms.beside();
        self.vms.sorted().iter().map(|entry| mirrored(entry, &hosts)).collect()
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
        let hosts = self.vms.beside();
        Ok(self.vms.page(query)?.map(|entry| mirrored(&entry, &hosts)))
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
        self.vms.sorted().iter().map(|entry| (entry.object.label().to_owned(), entry.row.template)).collect()
    }

    /// How many VMs, templates included, are on each host, by the host's id.
    pub(crate) fn by_host(&self) -> HashMap<String, usize> {
        let mut by_host = HashMap::new();
        for host in self.vms.sorted().iter().filter_map(|entry| entry.row.host.as_ref()) {
            match by_host.get_mut(&host.value) {
                Some(count) => *count += 1,
                None => drop(by_host.insert(host.value.clone(), 1)),
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
        let with = |of: fn(&Row) -> Option<u128>| {
            all.iter().filter(|entry| of(&entry.row) == Some(uuid)).map(|entry| named(entry)).collect::<Vec<_>>()
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

fn mirrored(entry: &Entry<VirtualMachine, Row>, hosts: &HashMap<String, String>) -> MirroredVm {
    MirroredVm { summary: summary(entry, hosts), template: entry.row.template }
}

fn summary(entry: &Entry<VirtualMachine, Row>, hosts: &HashMap<String, String>) -> VmSummary {
    let Row { power_state, cpu, memory_mb, guest_os, host, ip, .. } = &entry.row;
    VmSummary {
        name: entry.object.label().to_owned(),
        id: entry.object.id().to_owned(),
        power_state: power_state.clone().unwrap_or_default(),
        cpu: *cpu,
        memory_mb: *memory_mb,
        guest_os: guest_os.as_deref().map(Untrusted::from),
        host: host.as_ref().map(|host| hosts.get(&host.value).unwrap_or(&host.value).clone()),
        ip: ip.as_deref().and_then(untrusted::address),
        annotation: None,
        custom_attributes: BTreeMap::new(),
    }
}

fn named(entry: &Entry<VirtualMachine, Row>) -> (ManagedObjectReference, String) {
    (entry.object.reference().clone(), entry.object.label().to_owned())
}

/// A UUID as a number, so that its case does not matter.
fn number(uuid: &str) -> Option<u128> {
    let digits: String = uuid.chars().filter(|c| *c != '-').collect();
    u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)
}

impl fmt::Debug for VmMirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VmMirror({} machines)", self.vms.snapshot().len())
    }
}

/// What a list shows and asks for. As in a list, a VM of which something can't be read is there all the same.
#[derive(Debug, Clone)]
struct Row {
    power_state: Option<VirtualMachinePowerState>,
    cpu: Option<i32>,
    memory_mb: Option<i32>,
    guest_os: Option<String>,
    host: Option<ManagedObjectReference>,
    ip: Option<String>,
    template: bool,
    instance_uuid: Option<u128>,
    uuid: Option<u128>,
    /// What the user may not read of it.
    refused: Vec<Missing>,
}

/// The UUIDs as the server keeps them for lists: those below `config` make it read the whole configuration.
const INSTANCE_UUID: &str = "summary.config.instanceUuid";
const UUID: &str = "summary.config.uuid";

struct Lenient;

impl Select<VirtualMachine> for Lenient {
    type Row = Row;

    fn paths(&self, paths: &mut Vec<&'static str>) {
        paths.extend(super::SHOWN);
        paths.extend([vm::IS_TEMPLATE.path(), INSTANCE_UUID, UUID]);
    }

    fn row(&self, values: &mut Values) -> std::result::Result<Row, Missing> {
        Ok(Row {
            power_state: super::optional(values, vm::POWER_STATE.path()),
            cpu: super::optional(values, vm::NUM_CPU.path()),
            memory_mb: super::optional(values, vm::MEMORY_SIZE_MB.path()),
            guest_os: super::optional(values, vm::GUEST_FULL_NAME.path()),
            host: super::optional(values, vm::HOST.path()),
            ip: super::optional(values, vm::GUEST_IP_ADDRESS.path()),
            template: super::optional(values, vm::IS_TEMPLATE.path()).unwrap_or(false),
            instance_uuid: super::optional::<String>(values, INSTANCE_UUID).as_deref().and_then(number),
            uuid: super::optional::<String>(values, UUID).as_deref().and_then(number),
            // What is read for lookups alone is missed by nobody who lists.
            refused: values
                .refused()
                .into_iter()
                .filter(|missing| super::SHOWN.contains(&missing.path.as_str()))
                .collect(),
        })
    }
}
