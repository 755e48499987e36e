//! One snapshot of a VM, by whatever a user calls it.

use vsphere_model::managed::{VirtualMachine, VirtualMachineSnapshot};
use vsphere_model::types::ManagedObjectReference;
use vsphere_soap::object::ManagedType as _;

use super::{SnapshotInfo, Tree};
use crate::error::{Candidate, Error, ErrorKind, Result, invalid};
use crate::mo::Mo;
use crate::name;

/// How many snapshots an error lists.
const MOST_LISTED: usize = 20;

impl Mo<VirtualMachine> {
    /// The snapshot of this machine with this name, path (`/installed/patched`) or id (`snapshot-7`).
    ///
    /// A path begins at a root snapshot; the slash at its front may be left out, but with it a
    /// path is told from a name: `/installed` is the first of that name where it also stands further down.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// match web.snapshot("installed").await {
    ///     Ok(snapshot) => println!("{snapshot} of {web}"),
    ///     // Several have the name: their paths and ids are in the error.
    ///     Err(error) => error.candidates().iter().for_each(|found| println!("{} {}", found.path, found.id)),
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if there is none, with the existing ones; `ambiguous` with path and id of each where several
    /// fit; and the errors of [`read`](Self::read).
    pub async fn snapshot(&self, what: &str) -> Result<Mo<VirtualMachineSnapshot>> {
        let tree = Tree::read(self).await?;
        Ok(tree.one(self, what)?.object(self))
    }

    /// The snapshot that the VM's present state comes from; `None` where it has none.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::managed::VirtualMachine;
    /// let golden = client.get::<VirtualMachine>("tpl-ubuntu-24.04").await?;
    /// if golden.current_snapshot().await?.is_none() {
    ///     println!("take a snapshot before you make linked clones of it");
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`read`](Self::read).
    pub async fn current_snapshot(&self) -> Result<Option<Mo<VirtualMachineSnapshot>>> {
        Ok(Tree::read(self).await?.current().map(|current| current.object(self)))
    }
}

impl SnapshotInfo {
    /// The managed object. In messages it is called by its name and its VM's.
    pub(super) fn object(&self, machine: &Mo<VirtualMachine>) -> Mo<VirtualMachineSnapshot> {
        let reference = ManagedObjectReference::new(VirtualMachineSnapshot::NAME, &self.id);
        Mo::new(machine.client(), &reference, Some(format!("{} of {}", self.name, machine.label())))
    }
}

impl Tree {
    /// The snapshot that the present state comes from.
    pub(super) fn current(&self) -> Option<&SnapshotInfo> {
        self.nodes.iter().find(|node| node.is_current)
    }

    /// The one that fits.
    pub(super) fn one(&self, machine: &Mo<VirtualMachine>, what: &str) -> Result<&SnapshotInfo> {
        self.choose(what)
            .map_err(|error| error.in_operation("find snapshot").on(format!("{what} of {}", machine.label())))
    }

    fn choose(&self, what: &str) -> Result<&SnapshotInfo> {
        if what.trim().is_empty() {
            return Err(invalid("find snapshot", "the name is empty"));
        }
        let mut fitting = self.fitting(what);
        if fitting.is_empty() {
            fitting = self.fitting(what.trim());
        }
        match fitting.as_slice() {
            [only] => Ok(only),
            [] => Err(Error::new("find snapshot", ErrorKind::NotFound(self.none()))),
            several => Err(Error::new(
                "find snapshot",
                ErrorKind::Ambiguous(several.iter().map(|it| it.candidate()).collect()),
            )),
        }
    }

    /// By id, name or path as they are; else by a name as it stands in paths; else without regard to case.
    fn fitting(&self, what: &str) -> Vec<&SnapshotInfo> {
        if let Some(id) = what.strip_prefix("VirtualMachineSnapshot:")
            && let Some(found) = self.nodes.iter().find(|node| node.id == id)
        {
            return vec![found];
        }
        let path: String =
            what.split('/').filter(|part| !part.is_empty()).map(|part| format!("/{}", name::encode(part))).collect();
        // With a slash at its front it is a path, and only where there is none a name.
        let rooted = what.starts_with('/');
        let fits =
            |node: &SnapshotInfo, name: &str| node.id == what || node.path == path || (!rooted && node.name == name);
        let decoded = name::decode(what);
        for name in [what, decoded.as_str()] {
            let exactly: Vec<_> = self.nodes.iter().filter(|node| fits(node, name)).collect();
            if !exactly.is_empty() {
                return exactly;
            }
        }
        let called = |name: &str| self.nodes.iter().filter(|node| node.name == name).collect::<Vec<_>>();
        if rooted && !called(what).is_empty() {
            return called(what);
        }
        let (path, name) = (path.to_lowercase(), decoded.to_lowercase());
        let fits =
            |node: &&SnapshotInfo| (!rooted && node.name.to_lowercase() == name) || node.path.to_lowercase() == path;
        self.nodes.iter().filter(fits).collect()
    }

    /// What is said where none fits.
    fn none(&self) -> String {
        if self.nodes.is_empty() {
            return "the VM has no snapshots".to_owned();
        }
        let listed: Vec<_> =
            self.nodes.iter().take(MOST_LISTED).map(|node| format!("{} ({})", node.path, node.id)).collect();
        let more = match self.nodes.len().saturating_sub(MOST_LISTED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("none has this name, path or id; there are {}{more}", listed.join(", "))
    }
}

impl SnapshotInfo {
    fn candidate(&self) -> Candidate {
        Candidate { path: self.path.clone(), id: self.id.clone() }
    }
}

#[cfg(test)]
mod tests {
    use vsphere_model::types::{VirtualMachineSnapshotInfo, VirtualMachineSnapshotTree};

    use super::*;

    /// A tree of `(name, id, children)`.
    struct Sketch(&'static str, &'static str, Vec<Sketch>);

    fn tree(sketches: Vec<Sketch>) -> Tree {
        fn nodes(sketches: Vec<Sketch>) -> Vec<VirtualMachineSnapshotTree> {
            let node = |Sketch(name, id, children)| VirtualMachineSnapshotTree {
                name: name.to_owned(),
                snapshot: ManagedObjectReference::new(VirtualMachineSnapshot::NAME, id),
                child_snapshot_list: nodes(children),
                ..Default::default()
            };
            sketches.into_iter().map(node).collect()
        }
        Tree::new(Some(&VirtualMachineSnapshotInfo { root_snapshot_list: nodes(sketches), current_snapshot: None }))
    }

    #[test]
    fn pitfall_13_snapshots_of_one_name_are_never_guessed_among() {
        let tree = tree(vec![
            Sketch(
                "base",
                "snapshot-1",
                vec![
                    Sketch("base", "snapshot-2", vec![]),
                    Sketch("Patched", "snapshot-3", vec![]),
                    Sketch("patched", "snapshot-4", vec![Sketch("a%2fb", "snapshot-5", vec![])]),
                ],
            ),
            Sketch("twin", "snapshot-6", vec![]),
            Sketch("twin", "snapshot-7", vec![]),
            Sketch("snapshot-1", "snapshot-8", vec![]),
        ]);
        let ids = |what: &str| tree.fitting(what).iter().map(|node| node.id.as_str()).collect::<Vec<_>>().join(" ");
        for (what, found) in [
            ("base", "snapshot-1 snapshot-2"),
            ("/base", "snapshot-1"),
            ("base/base", "snapshot-2"),
            ("/BASE/base/", "snapshot-2"),
            ("patched", "snapshot-4"),
            ("PATCHED", "snapshot-3 snapshot-4"),
            ("a/b", "snapshot-5"),
            ("/base/patched/a%2Fb", "snapshot-5"),
            ("/a/b", ""),
            ("/twin", "snapshot-6 snapshot-7"),
            ("snapshot-6", "snapshot-6"),
            ("VirtualMachineSnapshot:snapshot-7", "snapshot-7"),
            // The id of one, and the name of another.
            ("snapshot-1", "snapshot-1 snapshot-8"),
            ("VirtualMachineSnapshot:snapshot-1", "snapshot-1"),
            ("/snapshot-1", "snapshot-8"),
            ("other", ""),
        ] {
            assert_eq!(ids(what), found, "{what}");
        }
        let error = tree.choose("twin").unwrap_err();
        let candidates: Vec<_> = error.candidates().iter().map(|it| (it.path.as_str(), it.id.as_str())).collect();
        assert_eq!(candidates, [("/twin", "snapshot-6"), ("/twin", "snapshot-7")]);
        let error = tree.choose("other").unwrap_err().to_string();
        assert!(error.contains("there are /base (snapshot-1), /base/base (snapshot-2)"), "{error}");
        assert_eq!(tree.choose(" ").unwrap_err().code(), "invalid_argument");
    }
}
