//! The snapshots of all VMs, or of one, as they are shown to people.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{
    DateTime, ManagedObjectReference, ObjectContent, VirtualMachineFileLayoutEx, VirtualMachineSnapshotInfo,
};

use super::{SnapshotInfo, Tree, size};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::find::{self, label, no_longer};
use crate::gaps::Gaps;
use crate::page::{ListQuery, Page, Window};
use crate::read::Values;
use crate::vm::optional;

const OPERATION: &str = "list snapshots";

/// Of how many VMs the layout of files is read in one request.
const MEASURED_AT_ONCE: usize = 100;

/// The most characters of a description in a list of all VMs.
const MOST_OF_A_DESCRIPTION: usize = 200;

/// Which snapshots to list.
///
/// ```
/// use std::time::Duration;
/// use vsphere_ops::snapshot::SnapshotQuery;
///
/// let month = Duration::from_secs(30 * 24 * 3600);
/// let query = SnapshotQuery { older_than: Some(month), sizes: true, ..Default::default() };
/// ```
#[derive(Debug, Clone, Default)]
pub struct SnapshotQuery {
    /// The page that is wanted, and a glob on the name of the snapshot.
    pub page: ListQuery,
    /// Only those of this VM: name, path or id. Those of all VMs and templates without it.
    pub vm: Option<String>,
    /// Only those that were taken longer ago than this, by the server's clock.
    pub older_than: Option<Duration>,
    /// With sizes, which takes a request more for each hundred VMs on the page.
    pub sizes: bool,
}

/// A page of snapshots, with figures on what is listed.
///
/// ```
/// use vsphere_ops::snapshot::SnapshotList;
///
/// fn line(list: &SnapshotList) -> String {
///     format!("{} snapshots of {} VMs", list.page.total, list.totals.vms)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
pub struct SnapshotList {
    /// The snapshots, the oldest first.
    #[serde(flatten)]
    pub page: Page<VmSnapshot>,
    /// Figures on them.
    #[serde(flatten)]
    pub totals: SnapshotTotals,
}

/// Figures on a list of snapshots.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::snapshot::{self, SnapshotQuery, SnapshotTotals};
///
/// let query = SnapshotQuery { sizes: true, ..Default::default() };
/// let SnapshotTotals { vms, page_bytes } = snapshot::list(&client, &query).await?.totals;
/// println!("{vms} VMs have snapshots, which take {page_bytes:?} bytes");
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SnapshotTotals {
    /// How many VMs have those that match the query, on whatever page.
    pub vms: usize,
    /// What those on this page take together, as far as it is known. Absent where no sizes were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_bytes: Option<i64>,
}

/// A snapshot in a list of several VMs.
///
/// ```
/// use vsphere_ops::snapshot::VmSnapshot;
///
/// fn line(listed: &VmSnapshot) -> String {
///     format!("{} of {}: {:.0} days", listed.snapshot.name, listed.vm, listed.age_days)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VmSnapshot {
    /// The name of its VM.
    pub vm: String,
    /// The managed object id of its VM.
    pub vm_id: String,
    /// The snapshot. In a list of all VMs only the beginning of its description.
    #[serde(flatten)]
    pub snapshot: SnapshotInfo,
    /// How old it is in days, by the server's clock.
    #[serde(serialize_with = "crate::units::two_digits")]
    pub age_days: f64,
    /// Its place in its chain: 1 for a snapshot without a parent, 2 for its children.
    pub depth: usize,
}

/// Lists the snapshots of all VMs, templates included, or of one, the oldest first.
///
/// However many VMs there are, it takes two requests, and those that find a VM by its name. Sizes take one more for each
/// hundred VMs on the page: the layout of files, which is large, is read of these alone.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use std::time::Duration;
/// use vsphere_ops::snapshot::{self, SnapshotQuery};
///
/// let older_than = Some(Duration::from_secs(90 * 24 * 3600));
/// let query = SnapshotQuery { older_than, sizes: true, ..Default::default() };
/// for old in snapshot::list(&client, &query).await?.page.items {
///     println!("{} of {}: {:.0} days, {:?} bytes", old.snapshot.name, old.vm, old.age_days, old.snapshot.size_bytes);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found` or `ambiguous` where the VM is not exactly one, `invalid_argument` for a cursor that no list gave, and those
/// of the server.
pub async fn list(client: &Client, query: &SnapshotQuery) -> Result<SnapshotList> {
    let (vms, now) = futures::try_join!(with_snapshots(client, query), client.server_time())?;
    let mut gaps = Gaps::of(&vms);
    let before = query.older_than.map(|age| Client::earlier(now, age, OPERATION)).transpose()?;
    let glob = query.page.glob();
    let fits = |node: &SnapshotInfo| {
        before.is_none_or(|before| node.taken < before) && glob.as_ref().is_none_or(|glob| glob.fits(&node.name))
    };
    let mut infos: HashMap<String, VirtualMachineSnapshotInfo> = HashMap::new();
    let mut fitting: Vec<VmSnapshot> = Vec::new();
    for content in vms {
        let (name, id) = (label(&content), content.obj.value);
        let mut values = Values::new(content.prop_set, content.missing_set);
        let Some(info) = optional::<VirtualMachineSnapshotInfo>(&mut values, vm::SNAPSHOT.path()) else { continue };
        let nodes = Tree::new(Some(&info)).nodes.into_iter().filter(&fits);
        let known = fitting.len();
        fitting.extend(nodes.map(|node| listed(node, &name, &id, now, query.vm.is_none())));
        if fitting.len() > known {
            infos.insert(id, info);
        }
    }
    let vms = infos.len();
    let mut window = Window::of(fitting, |listed| listed.snapshot.key(), &query.page)?;
    if query.sizes {
        let measured = measure(client, &mut window.items, &infos).await;
        let measured = gaps.part("the sizes", measured);
        gaps.append(measured);
    }
    let page_bytes = query.sizes.then(|| window.items.iter().filter_map(|listed| listed.snapshot.size_bytes).sum());
    Ok(SnapshotList { page: Page { gaps, ..window.into() }, totals: SnapshotTotals { vms, page_bytes } })
}

/// The VMs in question with their names and snapshots.
async fn with_snapshots(client: &Client, query: &SnapshotQuery) -> Result<Vec<ObjectContent>> {
    const SHOWN: [&str; 2] = ["name", vm::SNAPSHOT.path()];
    let Some(what) = &query.vm else {
        return find::scan(client, None, &[("VirtualMachine", &SHOWN)]).await;
    };
    let machine = client.get::<VirtualMachine>(what).await?;
    let found = find::details(client, [machine.reference().clone()], &SHOWN).await?;
    if found.is_empty() {
        let gone = ErrorKind::NotFound(no_longer("VirtualMachine", machine.id()));
        return Err(Error::new(OPERATION, gone).on(machine.label()));
    }
    Ok(found)
}

fn listed(mut node: SnapshotInfo, vm: &str, vm_id: &str, now: DateTime, is_short: bool) -> VmSnapshot {
    if is_short {
        node.description = node.description.cut(MOST_OF_A_DESCRIPTION);
    }
    VmSnapshot {
        vm: vm.to_owned(),
        vm_id: vm_id.to_owned(),
        age_days: (now - node.taken).as_seconds_f64() / 86_400.0,
        depth: node.depth + 1,
        snapshot: node,
    }
}

/// Notes what each snapshot of a page takes. What could not be read is a gap.
async fn measure(
    client: &Client,
    page: &mut [VmSnapshot],
    infos: &HashMap<String, VirtualMachineSnapshotInfo>,
) -> Result<Gaps> {
    let ids: HashSet<&String> = page.iter().map(|listed| &listed.vm_id).collect();
    let vms: Vec<ManagedObjectReference> =
        ids.into_iter().map(|id| ManagedObjectReference::new("VirtualMachine", id)).collect();
    let mut gaps = Gaps::default();
    let mut sizes: HashMap<&str, i64> = HashMap::new();
    for some in vms.chunks(MEASURED_AT_ONCE) {
        let layouts = find::details(client, some.iter().cloned(), &[vm::LAYOUT_EX.path()]).await?;
        gaps.append(Gaps::of(&layouts));
        for content in layouts {
            let mut values = Values::new(content.prop_set, content.missing_set);
            let layout: Option<VirtualMachineFileLayoutEx> = optional(&mut values, vm::LAYOUT_EX.path());
            if let (Some(info), Some(layout)) = (infos.get(&content.obj.value), layout) {
                sizes.extend(size::of_all(info, &layout));
            }
        }
    }
    for listed in page {
        listed.snapshot.size_bytes = sizes.get(listed.snapshot.id.as_str()).copied();
    }
    Ok(gaps)
}
