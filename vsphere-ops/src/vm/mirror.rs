//! The virtual machines in memory, listed without a request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use vsphere_model::managed::{HostSystem, VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{ManagedObjectReference, VirtualMachinePowerState};

use super::{VmQuery, VmSummary, parse_power_state, power_state_name};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::inventory::{Entry, Inventory};
use crate::name::Glob;
use crate::page::{Freshness, Page, Window};
use crate::read::{Missing, Select, Values};
use crate::untrusted::{self, Untrusted};

/// A live mirror of all virtual machines, templates included, that answers a [`VmQuery`] from memory.
///
/// What other clients change is in it within milliseconds; what this program changed is surely in it after
/// [`refresh`](Self::refresh). Cheap to clone; the watches behind it end with the last clone.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::vm::{self, VmMirror, VmQuery};
///
/// let mirror = VmMirror::start(&client).await?;
/// let query = VmQuery { filter: Some("web-*".into()), limit: 50, ..Default::default() };
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
pub struct VmMirror {
    vms: Inventory<VirtualMachine, Row>,
    /// Machines know their hosts by reference, people by name.
    hosts: Inventory<HostSystem, ()>,
}

/// A virtual machine or a template in a [`VmMirror`].
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
    /// Whether it is a template, which no list of machines shows.
    pub template: bool,
}

impl VmMirror {
    /// Starts the mirror, and waits until it is complete.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn start(client: &Client) -> Result<Self> {
        let vms = Inventory::start(client.watch::<VirtualMachine>().select(Lenient));
        let hosts = Inventory::start(client.watch::<HostSystem>().select(()));
        let (vms, hosts) = tokio::try_join!(vms, hosts)?;
        Ok(Self { vms, hosts })
    }

    /// The page that [`list`](super::list) would read from the server, with how fresh it is; `None` where that takes what the mirror does not
    /// hold: folders, clusters, paths, and names that do not fit exactly one host.
    ///
    /// # Errors
    /// `invalid_argument` for a power state that does not exist or a cursor that no list gave.
    pub fn list(&self, query: &VmQuery) -> Result<Option<Page<VmSummary>>> {
        if query.folder.is_some() || query.cluster.is_some() {
            return Ok(None);
        }
        let host = match &query.host {
            None => None,
            Some(what) => match self.host(what.trim()) {
                Some(id) => Some(id),
                None => return Ok(None),
            },
        };
        let power_state = query.power_state.as_deref().map(parse_power_state).transpose()?;
        let glob = query.filter.as_deref().map(Glob::new);
        let all = self.vms.snapshot();
        let fits = |entry: &Entry<VirtualMachine, Row>| {
            !entry.row.template
                && glob.as_ref().is_none_or(|glob| glob.fits(entry.object.label()))
                && power_state.as_ref().is_none_or(|wanted| entry.row.power_state.as_ref() == Some(wanted))
                && host.as_ref().is_none_or(|id| entry.row.host.as_ref().is_some_and(|own| own.value == **id))
        };
        let keys = all.iter().filter(|(_, entry)| fits(entry));
        let keys = keys.map(|(id, entry)| (entry.object.label(), id.as_str())).collect();
        let window = Window::cut(keys, query.limit, query.cursor.as_deref())?;
        let shown: Vec<_> = window.keys.iter().filter_map(|(_, id)| all.get(*id)).collect();
        let gaps = shown.iter().flat_map(|entry| entry.row.refused.iter().cloned()).collect();
        let items = shown.into_iter().map(|entry| self.summary(entry)).collect();
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

    /// All machines and templates, sorted by name.
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
        let all = self.vms.snapshot();
        let mut all: Vec<MirroredVm> = all
            .values()
            .map(|entry| MirroredVm { summary: self.summary(entry), template: entry.row.template })
            .collect();
        all.sort_by(|a, b| (&a.summary.name, &a.summary.id).cmp(&(&b.summary.name, &b.summary.id)));
        all
    }

    /// Has the server asked at once, and waits until the mirror holds what it said of the machines: what was changed before
    /// is seen afterwards.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # let mirror = vsphere_ops::vm::VmMirror::start(&client).await?;
    /// vsphere_ops::power::on(&client, &["web-01".into()], &|_| ()).await;
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
        self.vms.is_live() && self.hosts.is_live()
    }

    /// How long ago the server last confirmed that this is all.
    pub fn age(&self) -> Option<Duration> {
        Some(self.vms.age()?.max(self.hosts.age()?))
    }

    /// The error that the mirror has ended with; it is to be started anew then.
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
        self.vms.failure().or_else(|| self.hosts.failure())
    }

    /// Waits until a machine has changed since this clone last waited.
    ///
    /// # Errors
    /// The mirror has ended with this error.
    pub async fn changed(&mut self) -> Result<()> {
        self.vms.changed().await
    }

    /// The id of the one host that is called so, or has this id.
    fn host(&self, what: &str) -> Option<String> {
        let hosts = self.hosts.snapshot();
        let mut named = hosts.iter().filter(|(id, entry)| *id == what || entry.object.label() == what);
        match (named.next(), named.next()) {
            (Some((id, _)), None) => Some(id.clone()),
            _ => None,
        }
    }

    fn summary(&self, entry: &Arc<Entry<VirtualMachine, Row>>) -> VmSummary {
        let Row { power_state, cpu, memory_mb, guest_os, host, ip, .. } = &entry.row;
        let host = host.as_ref().map(|host| match self.hosts.get(&host.value) {
            Some(host) => host.object.label().to_owned(),
            None => host.value.clone(),
        });
        VmSummary {
            name: entry.object.label().to_owned(),
            id: entry.object.id().to_owned(),
            power_state: power_state_name(power_state.as_ref().unwrap_or(&VirtualMachinePowerState::default())),
            cpu: *cpu,
            memory_mb: *memory_mb,
            guest_os: guest_os.as_deref().map(Untrusted::from),
            host,
            ip: ip.as_deref().and_then(untrusted::address),
        }
    }
}

impl Clone for VmMirror {
    fn clone(&self) -> Self {
        Self { vms: self.vms.clone(), hosts: self.hosts.clone() }
    }
}

impl fmt::Debug for VmMirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VmMirror({} machines)", self.vms.snapshot().len())
    }
}

/// What a list shows and asks for. As in a list, a machine of which something can't be read is there all the same.
#[derive(Debug, Clone)]
struct Row {
    power_state: Option<VirtualMachinePowerState>,
    cpu: Option<i32>,
    memory_mb: Option<i32>,
    guest_os: Option<String>,
    host: Option<ManagedObjectReference>,
    ip: Option<String>,
    template: bool,
    /// What the user may not read of it.
    refused: Vec<Missing>,
}

struct Lenient;

impl Select<VirtualMachine> for Lenient {
    type Row = Row;

    fn paths(&self, paths: &mut Vec<&'static str>) {
        paths.extend(super::SHOWN);
        paths.push(vm::IS_TEMPLATE.path());
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
            refused: values.refused(),
        })
    }
}
