//! Snapshots of VMs: found, listed with what they take, of one VM or of all, taken on several VMs at once, gone back to,
//! deleted.
//!
//! ```
//! use vsphere_ops::managed::VirtualMachine;
//! use vsphere_ops::ListQuery;
//! use vsphere_ops::snapshot::{self, Doomed, NewSnapshot, SnapshotQuery};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let erp = client.get::<VirtualMachine>("erp-app-01").await?;
//! for snapshot in erp.list_snapshots(&ListQuery::default()).await?.items {
//!     println!("{} of {}: {:?} bytes", snapshot.path, snapshot.created, snapshot.size_bytes);
//! }
//! let all = snapshot::list(&client, &SnapshotQuery::default()).await?;
//! println!("{} snapshots of {} VMs", all.page.total, all.totals.vms);
//! let reversion = erp.reversion(Some("/before 2026.2 upgrade/before hotfix 3")).await?; // by path; or a name, or an id
//! println!("{:?} bytes would be lost", reversion.written_since_bytes);
//! reversion.carry_out().await?;
//! erp.snapshot_deletion(Doomed::One("snapshot-157")).await?.carry_out().await?;
//!
//! let vms = client.vms(&["web-01".to_owned(), "web-02".to_owned()]).await;
//! let new = NewSnapshot::new("before the update").quiesced();
//! for report in vms.each(|vm| { let new = &new; async move { vm.take_snapshot(new).await } }).await {
//!     println!("{}: {:?}", report.vm, report.outcome);
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! Names of snapshots need not be unique, not even among the children of one. What fits several is an error that lists
//! them. Names and descriptions are what people wrote: do not pass them to a program or a language model that would
//! trust them.

mod change;
mod deletion;
mod list;
mod lookup;
mod reversion;
mod size;

use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{
    DateTime, VirtualMachineFileLayoutEx, VirtualMachinePowerState, VirtualMachineSnapshotInfo,
    VirtualMachineSnapshotTree,
};
use vsphere_soap::object::format_date_time;

pub use change::{NewSnapshot, SnapshotChange, SnapshotRenaming};
pub use deletion::{Deleted, Doomed, SnapshotDeletion};
pub use list::{SnapshotList, SnapshotQuery, SnapshotTotals, VmSnapshot, list};
pub use reversion::{Reversion, Reverted};
pub(crate) use size::of_all as sizes;

use crate::error::{Error, ErrorKind, Result};
use crate::find::no_longer;
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::name;
use crate::page::{ListQuery, Page, Window};
use crate::untrusted::Untrusted;

/// A snapshot of a VM.
///
/// ```
/// use vsphere_ops::snapshot::SnapshotInfo;
///
/// fn bytes(snapshots: &[SnapshotInfo]) -> i64 {
///     snapshots.iter().filter_map(|snapshot| snapshot.size_bytes).sum()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SnapshotInfo {
    /// The name. People write it: not to be trusted.
    pub name: String,
    /// The names on the way from the first snapshot to this one: `/installed/patched`. A slash in a name is `%2f`.
    pub path: String,
    /// The managed object id (`snapshot-7`).
    pub id: String,
    /// The description. People write it: not to be trusted.
    #[serde(skip_serializing_if = "Untrusted::is_empty")]
    pub description: Untrusted,
    /// When it was taken, RFC 3339.
    pub created: String,
    /// The VM's state when it was taken, to which a reversion brings it back: on where it holds memory, suspended, or off.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub state_when_taken: VirtualMachinePowerState,
    /// Whether VMware Tools had brought the file systems to rest.
    pub quiesced: bool,
    /// Whether the VM's present state comes from it.
    pub is_current: bool,
    /// What it takes besides the VM's own disks: state, memory, and the changes that are kept apart because of it. As
    /// the server last measured, where it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<i64>,
    #[serde(skip)]
    taken: DateTime,
    /// How many ancestors it has.
    #[serde(skip)]
    depth: usize,
}

impl Mo<VirtualMachine> {
    /// Lists the snapshots of the VM, the oldest first, so that each comes after its ancestors.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    /// use vsphere_ops::ListQuery;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// let page = web.list_snapshots(&ListQuery::default()).await?;
    /// let current = page.items.iter().find(|snapshot| snapshot.is_current);
    /// println!("{} snapshots; the present state comes from {:?}", page.total, current.map(|snapshot| &snapshot.path));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if the VM no longer exists, and server errors.
    pub async fn list_snapshots(&self, query: &ListQuery) -> Result<Page<SnapshotInfo>> {
        let (tree, gaps) = Tree::measured_with_gaps(self).await?;
        let glob = query.glob();
        let fitting = tree.nodes.into_iter().filter(|node| glob.as_ref().is_none_or(|glob| glob.fits(&node.name)));
        let window = Window::of(fitting, SnapshotInfo::key, query)?;
        Ok(Page { gaps, ..window.into() })
    }
}

impl SnapshotInfo {
    /// Where it stands in a list: the oldest comes first.
    fn key(&self) -> (i64, u32, String) {
        (self.taken.timestamp(), self.taken.timestamp_subsec_nanos(), self.id.clone())
    }
}

/// The snapshots of a VM.
#[derive(Debug, Default)]
struct Tree {
    /// Each before its children.
    nodes: Vec<SnapshotInfo>,
}

impl Tree {
    async fn read(machine: &Mo<VirtualMachine>) -> Result<Self> {
        Ok(Self::new(machine.read(vm::SNAPSHOT).await?.as_ref()))
    }

    /// The same with sizes.
    async fn measured(machine: &Mo<VirtualMachine>) -> Result<Self> {
        Ok(Self::measured_with_gaps(machine).await?.0)
    }

    async fn measured_with_gaps(machine: &Mo<VirtualMachine>) -> Result<(Self, Gaps)> {
        let ((info, layout), gaps) = machine.read_known((vm::SNAPSHOT, vm::LAYOUT_EX)).await?;
        let mut tree = Self::new(info.as_ref());
        tree.measure(info.as_ref(), layout.as_ref());
        Ok((tree, gaps))
    }

    fn new(info: Option<&VirtualMachineSnapshotInfo>) -> Self {
        let mut tree = Self::default();
        let Some(info) = info else { return tree };
        let current = info.current_snapshot.as_ref().map(|current| current.value.as_str());
        tree.add(&info.root_snapshot_list, "", 0, current);
        tree
    }

    fn add(&mut self, siblings: &[VirtualMachineSnapshotTree], above: &str, depth: usize, current: Option<&str>) {
        for node in siblings {
            let path = format!("{above}/{}", name::encode(&node.name));
            self.nodes.push(SnapshotInfo {
                name: name::decode(&node.name),
                path: path.clone(),
                id: node.snapshot.value.clone(),
                description: node.description.as_str().into(),
                created: format_date_time(&node.create_time),
                taken: node.create_time,
                state_when_taken: node.state.clone(),
                quiesced: node.quiesced,
                is_current: current == Some(node.snapshot.value.as_str()),
                size_bytes: None,
                depth,
            });
            self.add(&node.child_snapshot_list, &path, depth + 1, current);
        }
    }

    /// The one to go back to: the one that fits, or the current one.
    fn target(&self, machine: &Mo<VirtualMachine>, what: Option<&str>) -> Result<&SnapshotInfo> {
        match what {
            Some(what) => self.one(machine, what),
            None => self.current().ok_or_else(|| {
                let text = if self.nodes.is_empty() { "the VM has no snapshots" } else { "it comes from none of them" };
                Error::new("find current snapshot of", ErrorKind::NotFound(text.to_owned())).on(machine.label())
            }),
        }
    }

    /// Those that are to go, each before its children.
    fn doomed(&self, machine: &Mo<VirtualMachine>, doomed: Doomed<'_>) -> Result<&[SnapshotInfo]> {
        let (what, children) = match doomed {
            Doomed::All => return Ok(&self.nodes),
            Doomed::One(what) => (what, false),
            Doomed::WithChildren(what) => (what, true),
        };
        let chosen = self.one(machine, what)?;
        let rest = self.nodes.iter().skip_while(|node| node.id != chosen.id).skip(1);
        let below = rest.take_while(|node| children && node.depth > chosen.depth).count();
        let at = self.nodes.iter().position(|node| node.id == chosen.id).unwrap_or_default();
        Ok(self.nodes.get(at..=at + below).unwrap_or_default())
    }

    fn with_id(self, machine: &Mo<VirtualMachine>, id: &str) -> Result<SnapshotInfo> {
        self.nodes.into_iter().find(|node| node.id == id).ok_or_else(|| {
            let text = no_longer("VirtualMachineSnapshot", id);
            Error::new("find snapshot of", ErrorKind::NotFound(text)).on(machine.label())
        })
    }

    fn measure(&mut self, info: Option<&VirtualMachineSnapshotInfo>, layout: Option<&VirtualMachineFileLayoutEx>) {
        let Some((info, layout)) = info.zip(layout) else { return };
        let sizes = size::of_all(info, layout);
        for node in &mut self.nodes {
            node.size_bytes = sizes.get(node.id.as_str()).copied();
        }
    }
}
