//! What snapshots take on the datastore, from the layout of their VM's files.
//!
//! A snapshot keeps its state and its memory. Besides, it freezes the files that the disks had when it was taken, and
//! what is written later goes to new ones. So what a snapshot costs in disks is what it has frozen beyond the snapshot
//! that it depends on, and, for the current one, what the VM has written since. The files that all states share
//! are the VM's own, and count to no snapshot. The sizes of all snapshots add up to what deleting them would save
//! at most.

use std::collections::{HashMap, HashSet};

use vsphere_model::types::{
    VirtualMachineFileLayoutEx, VirtualMachineFileLayoutExDiskLayout, VirtualMachineFileLayoutExSnapshotLayout,
    VirtualMachineSnapshotInfo, VirtualMachineSnapshotTree,
};

/// The size of each snapshot in bytes, by id.
pub(crate) fn of_all<'a>(
    info: &'a VirtualMachineSnapshotInfo,
    layout: &VirtualMachineFileLayoutEx,
) -> HashMap<&'a str, i64> {
    let sizes = Sizes::new(layout);
    let live = files(&layout.disk);
    let roots = info.root_snapshot_list.iter().filter_map(|root| sizes.snapshots.get(root.snapshot.value.as_str()));
    let shared = roots.fold(live, |shared, root| &shared & &files(&root.disk));
    let mut found = HashMap::new();
    sizes.add(&info.root_snapshot_list, &shared, &mut found);
    if let Some(current) = info.current_snapshot.as_ref()
        && let Some(size) = found.get_mut(current.value.as_str())
    {
        *size += since(layout);
    }
    found
}

/// What the VM has written since its current snapshot, in bytes: the disk files that no snapshot keeps.
pub(super) fn since(layout: &VirtualMachineFileLayoutEx) -> i64 {
    let kept: HashSet<i32> = layout.snapshot.iter().flat_map(|snapshot| files(&snapshot.disk)).collect();
    if layout.snapshot.is_empty() {
        return 0;
    }
    Sizes::new(layout).total(&files(&layout.disk) - &kept)
}

struct Sizes<'a> {
    by_key: HashMap<i32, i64>,
    snapshots: HashMap<&'a str, &'a VirtualMachineFileLayoutExSnapshotLayout>,
}

impl<'a> Sizes<'a> {
    fn new(layout: &'a VirtualMachineFileLayoutEx) -> Self {
        Self {
            by_key: layout.file.iter().map(|file| (file.key, file.size)).collect(),
            snapshots: layout.snapshot.iter().map(|snapshot| (snapshot.key.value.as_str(), snapshot)).collect(),
        }
    }

    /// Notes the sizes of siblings, which depend on these files, and of all below them.
    fn add<'b>(
        &self,
        siblings: &'b [VirtualMachineSnapshotTree],
        below: &HashSet<i32>,
        found: &mut HashMap<&'b str, i64>,
    ) {
        for node in siblings {
            let id = node.snapshot.value.as_str();
            // A layout that is older than the snapshot does not know it.
            let Some(layout) = self.snapshots.get(id) else { continue };
            let disks = files(&layout.disk);
            let mut own = &disks - below;
            own.insert(layout.data_key);
            own.extend(layout.memory_key);
            found.insert(id, self.total(own));
            self.add(&node.child_snapshot_list, &disks, found);
        }
    }

    /// What these files take. A key of -1 stands for none.
    fn total(&self, files: impl IntoIterator<Item = i32>) -> i64 {
        files.into_iter().filter_map(|key| self.by_key.get(&key)).sum()
    }
}

/// The keys of all files that these disks stand on.
fn files(disks: &[VirtualMachineFileLayoutExDiskLayout]) -> HashSet<i32> {
    disks.iter().flat_map(|disk| &disk.chain).flat_map(|unit| unit.file_key.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use vsphere_model::types::{
        ManagedObjectReference, VirtualMachineFileLayoutExDiskUnit, VirtualMachineFileLayoutExFileInfo,
    };

    use super::*;

    fn reference(id: &str) -> ManagedObjectReference {
        ManagedObjectReference::new("VirtualMachineSnapshot", id)
    }

    fn disks(chain: &[i32]) -> Vec<VirtualMachineFileLayoutExDiskLayout> {
        let unit = |key: &i32| VirtualMachineFileLayoutExDiskUnit { file_key: vec![*key] };
        vec![VirtualMachineFileLayoutExDiskLayout {
            key: 2000,
            chain: chain.iter().map(unit).collect(),
            ..Default::default()
        }]
    }

    fn snapshot(id: &str, data: i32, memory: Option<i32>, chain: &[i32]) -> VirtualMachineFileLayoutExSnapshotLayout {
        VirtualMachineFileLayoutExSnapshotLayout {
            key: reference(id),
            data_key: data,
            memory_key: memory,
            disk: disks(chain),
        }
    }

    fn node(id: &str, children: Vec<VirtualMachineSnapshotTree>) -> VirtualMachineSnapshotTree {
        VirtualMachineSnapshotTree { snapshot: reference(id), child_snapshot_list: children, ..Default::default() }
    }

    /// Files 1, 2, 3… take 1, 10, 100… bytes, so that a sum shows its parts. A linked clone: file 1 is its parent's disk and 2
    /// its own; from `a` (frozen at 2) `b` was taken after 3 was written, then the VM went back to `a` and writes to 4.
    #[test]
    fn each_file_counts_once_and_the_machines_own_not_at_all() {
        let file = |key: i32| VirtualMachineFileLayoutExFileInfo {
            key,
            size: 10_i64.pow(key.unsigned_abs() - 1),
            ..Default::default()
        };
        let layout = VirtualMachineFileLayoutEx {
            file: (1..=8).map(file).collect(),
            disk: disks(&[1, 2, 4]),
            snapshot: vec![snapshot("a", 5, Some(6), &[1, 2]), snapshot("b", 7, Some(-1), &[1, 2, 3])],
            ..Default::default()
        };
        let info = VirtualMachineSnapshotInfo {
            current_snapshot: Some(reference("a")),
            root_snapshot_list: vec![node("a", vec![node("b", vec![])]), node("unmeasured", vec![])],
        };
        let sizes = of_all(&info, &layout);
        assert_eq!(sizes.get("a"), Some(&111_000));
        assert_eq!(sizes.get("b"), Some(&1_000_100));
        assert_eq!(sizes.len(), 2);
        assert_eq!(since(&layout), 1_000);
        assert_eq!(since(&VirtualMachineFileLayoutEx { snapshot: vec![], ..layout }), 0);
    }
}
