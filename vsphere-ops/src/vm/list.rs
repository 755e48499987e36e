//! Lists of VMs, from the server or from memory.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use vsphere_model::managed::virtual_machine as vm;
use vsphere_model::types::{ManagedObjectReference, ObjectContent, VirtualMachinePowerState};

use super::column::{Beside, VmColumn};
use super::facts::{Seen, VmFacts};
use crate::client::Client;
use crate::columns::{Asked, Cells, Column as _, Condition, Groups, Needle, Order, Others as Names, gathered};
use crate::error::{Result, invalid};
use crate::find::{self, Ancestry, label};
use crate::gaps::Gaps;
use crate::page::{Freshness, ListQuery, Page, Window};
use crate::read::Values;
use crate::untrusted::Untrusted;

/// Which virtual machines to list, and what of them.
///
/// ```
/// use vsphere_ops::vm::{VmColumn, VmQuery};
///
/// let query = VmQuery {
///     folder: Some("/fra1/vm/prod".into()),
///     conditions: vec!["oldest_snapshot_days>3".parse()?],
///     order: Some("-oldest_snapshot_days".parse()?),
///     columns: vec![VmColumn::Snapshots, VmColumn::OldestSnapshotDays],
///     ..Default::default()
/// };
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct VmQuery {
    /// The page that is wanted, and a glob on the name.
    pub page: ListQuery,
    /// Only those in this state.
    pub power_state: Option<VirtualMachinePowerState>,
    /// Only those in this folder and below: name, path or id.
    pub folder: Option<String>,
    /// Only those on this host: name, path or id.
    pub host: Option<String>,
    /// Only those of this cluster: name, path or id.
    pub cluster: Option<String>,
    /// Only those with this tag: `category:tag`, name or id.
    pub tag: Option<String>,
    /// Only those with this text in their name, IP or MAC addresses, guest host name, UUIDs or note. Case does not matter.
    pub find: Option<String>,
    /// Only those for which all of these hold.
    pub conditions: Vec<Condition<VmColumn>>,
    /// The order, in place of that by name.
    pub order: Option<Order<VmColumn>>,
    /// What is shown besides.
    pub columns: Vec<VmColumn>,
}

/// A virtual machine in a list.
///
/// ```
/// use vsphere_ops::vm::VmSummary;
///
/// fn memory_gb(machines: &[VmSummary]) -> i32 {
///     machines.iter().filter_map(|vm| vm.memory_mb).sum::<i32>() / 1024
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VmSummary {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The state.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// Virtual CPUs.
    pub cpu: Option<i32>,
    /// Memory in MiB.
    pub memory_mb: Option<i32>,
    /// The guest operating system, in full.
    pub guest_os: Option<Untrusted>,
    /// The name of the host that it runs on.
    pub host: Option<String>,
    /// The guest's primary IP address.
    pub ip: Option<String>,
    /// What was asked for besides.
    #[serde(flatten)]
    pub columns: Cells<VmColumn>,
}

/// Lists virtual machines, sorted by name unless another order is asked for. Templates are not among them.
///
/// It takes two requests: one for what tells which VMs are wanted and where they stand, of all VMs in one answer, and then what is
/// shown of the page. The first list of a session has to make the view of all machines first. A [`VmMirror`](super::VmMirror) takes
/// none. Names of folders, clusters and the like take one more, as do tags, custom attributes, and a container that is found by name.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::vm::{self, VmQuery};
///
/// let query = VmQuery { cluster: Some("prod-cluster".into()), ..Default::default() };
/// let page = vm::list(&client, &query).await?;
/// println!("{} of {}, and on with {:?}", page.returned, page.total, page.next_cursor);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found` or `ambiguous` where a folder, host or cluster is not exactly one, `invalid_argument` where several of them
/// are given, `unsupported` for tags on an ESXi host, and those of the server.
pub async fn list(client: &Client, query: &VmQuery) -> Result<Page<VmSummary>> {
    let wanted = Wanted::new(query);
    let found = Found::read(client, &wanted, &wanted.columns()).await?;
    let window = wanted.ranked(&found.names, found.fitting(&wanted), |seen| *seen)?.map(Seen::key);
    let Found { mut names, gaps: found_gaps, .. } = found;
    let references = window.items.iter().map(|key| ManagedObjectReference::new("VirtualMachine", &key.id));
    let details = find::details(client, references, &VmColumn::all_paths(wanted.shown())).await?;
    // What a condition could not look at is missing in the answer, too.
    let mut gaps = if wanted.columns().is_empty() { Gaps::default() } else { found_gaps };
    gaps.append_others(Gaps::of(&details));
    let read: Vec<Read> = find::in_order(&window.items, details).map(Read::of).collect();
    let seen: Vec<Seen<'_>> = read.iter().map(Read::seen).collect();
    names.complete(client, &seen, &wanted.shown()).await?;
    let items = seen.iter().map(|seen| wanted.summary(&names, *seen)).collect();
    Ok(Page { gaps, ..window.page(items) })
}

/// How many virtual machines have which value in a column, with the sums of their CPUs, memory and storage. The page of the query
/// does not matter, nor do its order and columns.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::vm::{VmColumn, VmQuery, groups};
///
/// let by_cluster = groups(&client, &VmQuery::default(), VmColumn::Cluster).await?;
/// for group in &by_cluster.groups {
///     println!("{:?}: {} VMs with {:?} MiB", group.value, group.count, group.sums.get("memory_mb"));
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// As [`list`].
pub async fn groups(client: &Client, query: &VmQuery, column: VmColumn) -> Result<Groups> {
    let wanted = Wanted::new(query);
    let columns: Vec<VmColumn> =
        wanted.columns().into_iter().chain(VmColumn::SUMMED.iter().copied()).chain([column]).collect();
    let found = Found::read(client, &wanted, &columns).await?;
    Ok(wanted.groups(&found.names, found.fitting(&wanted), column, None, found.gaps.clone()))
}

/// A query, ready to be asked of each VM.
pub(super) struct Wanted<'q> {
    query: &'q VmQuery,
    asked: Asked<'q, VmColumn>,
    /// By what times are told.
    now: DateTime<Utc>,
}

impl<'q> Wanted<'q> {
    pub(super) fn new(query: &'q VmQuery) -> Self {
        let VmQuery { page, find, conditions, order, columns, .. } = query;
        Self { query, asked: Asked::new(page, find.as_deref(), conditions, *order, columns), now: Utc::now() }
    }

    /// The columns that tell which VMs are wanted and where they stand.
    pub(super) fn columns(&self) -> Vec<VmColumn> {
        let mut columns = self.asked.deciding();
        columns.extend(self.query.power_state.is_some().then_some(VmColumn::PowerState));
        columns
    }

    /// The columns that are shown.
    pub(super) fn shown(&self) -> Vec<VmColumn> {
        self.asked.shown()
    }

    /// Whether a VM is wanted.
    pub(super) fn fits(&self, names: &Names, seen: Seen<'_>) -> bool {
        let facts = seen.facts;
        let holds = |needle: &Needle| facts.hold(seen, needle);
        !facts.template
            && self.query.power_state.as_ref().is_none_or(|wanted| facts.power_state.as_ref() == Some(wanted))
            && self.asked.fits(seen.name, holds, |column| names.cell(column, seen, self.now))
    }

    pub(super) fn summary(&self, names: &Names, seen: Seen<'_>) -> VmSummary {
        let Seen { name, id, facts, .. } = seen;
        VmSummary {
            name: name.to_owned(),
            id: id.to_owned(),
            power_state: facts.power_state.clone().unwrap_or_default(),
            cpu: facts.cpu,
            memory_mb: facts.memory_mb,
            guest_os: facts.guest_os.as_deref().map(Untrusted::from),
            host: names.host(facts),
            ip: facts.address(),
            columns: self.asked.cells(|column| names.cell(column, seen, self.now)),
        }
    }

    pub(super) fn groups<'s>(
        &self,
        names: &Names,
        seen: impl Iterator<Item = Seen<'s>>,
        column: VmColumn,
        freshness: Option<Freshness>,
        gaps: Gaps,
    ) -> Groups {
        gathered(column, seen, |column, seen| names.cell(column, *seen, self.now), freshness, gaps)
    }

    /// The page of VMs, which may stand in any order.
    pub(super) fn ranked<'s, T>(
        &self,
        names: &Names,
        vms: impl Iterator<Item = T>,
        seen: impl Fn(&T) -> Seen<'s>,
    ) -> Result<Window<T>> {
        self.asked.window(vms.map(|vm| {
            let seen = seen(&vm);
            (self.asked.standing(seen.name, seen.id, |column| names.cell(column, seen, self.now)), vm)
        }))
    }
}

/// A VM as it was read.
struct Read {
    name: String,
    id: String,
    facts: VmFacts,
}

impl Read {
    fn of(content: ObjectContent) -> Self {
        let name = label(&content);
        let id = content.obj.value;
        Self { name, id, facts: VmFacts::of(&mut Values::new(content.prop_set, content.missing_set)) }
    }

    fn seen(&self) -> Seen<'_> {
        Seen { name: &self.name, id: &self.id, facts: &self.facts, searched: None }
    }
}

/// The VMs in the container of a query.
struct Found {
    vms: Vec<Read>,
    names: Names,
    tagged: Option<HashSet<String>>,
    gaps: Gaps,
}

impl Found {
    /// Reads what these columns need of all VMs.
    async fn read(client: &Client, wanted: &Wanted<'_>, columns: &[VmColumn]) -> Result<Self> {
        let query = wanted.query;
        let container = container(client, query).await?;
        let tagged = match &query.tag {
            // Few lists need it, and all would carry its state.
            Some(what) => Some(Box::pin(tagged(client, what)).await?),
            None => None,
        };
        let paths = VmColumn::all_paths(columns.iter().copied().chain([VmColumn::Name]));
        let paths = [&paths[..], &[vm::IS_TEMPLATE.path()]].concat();
        let mut types = vec![("VirtualMachine", &paths[..])];
        // The hosts are few, and their names are shown. Below a container there are not all of what VMs refer to: their names come
        // afterwards.
        if container.is_none() {
            types.extend(Names::types(columns));
        }
        let contents = find::scan(client, container.as_ref(), &types).await?;
        let (vms, others): (Vec<_>, Vec<_>) =
            contents.into_iter().partition(|content| content.obj.type_ == "VirtualMachine");
        let gaps = Gaps::of(&vms);
        let mut names = Names::default();
        names.with(Ancestry::of(client, &others));
        let mut found = Self { vms: vms.into_iter().map(Read::of).collect(), names, tagged, gaps };
        let needs_more = columns.iter().any(|column| !matches!(column.beside(), Beside::Itself));
        if needs_more {
            let seen: Vec<Seen<'_>> = found.vms.iter().map(Read::seen).collect();
            found.names.complete(client, &seen, columns).await?;
        }
        Ok(found)
    }

    fn fitting<'f>(&'f self, wanted: &'f Wanted<'_>) -> impl Iterator<Item = Seen<'f>> {
        let has_tag = |seen: &Seen<'_>| self.tagged.as_ref().is_none_or(|tagged| tagged.contains(seen.id));
        self.vms.iter().map(Read::seen).filter(move |seen| has_tag(seen) && wanted.fits(&self.names, *seen))
    }
}

/// The ids of the machines that have a tag.
async fn tagged(client: &Client, what: &str) -> Result<HashSet<String>> {
    let tags = client.tags().await?;
    tags.vms_with(&tags.find(what).await?).await
}

/// The container that holds the machines asked for; `None` for the whole inventory.
async fn container(client: &Client, query: &VmQuery) -> Result<Option<ManagedObjectReference>> {
    use vsphere_model::managed::{ComputeResource, Folder, HostSystem};
    Ok(match (&query.folder, &query.host, &query.cluster) {
        (None, None, None) => None,
        (Some(folder), None, None) => Some(client.get::<Folder>(folder).await?.reference().clone()),
        (None, Some(host), None) => Some(client.get::<HostSystem>(host).await?.reference().clone()),
        (None, None, Some(cluster)) => Some(client.get::<ComputeResource>(cluster).await?.reference().clone()),
        _ => return Err(invalid("list virtual machines", "folder, host and cluster exclude each other: give one")),
    })
}
