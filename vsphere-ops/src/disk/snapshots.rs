//! Which snapshots need a disk: it can neither go nor grow below them.

use vsphere_model::types::{VirtualDisk, VirtualMachineFileLayoutEx, VirtualMachineSnapshotTree};

use super::mode;
use crate::device::Devices;

/// The names of the snapshots that use a disk.
pub(super) fn that_use(devices: &Devices, layout: &VirtualMachineFileLayoutEx, disk: &VirtualDisk) -> Vec<String> {
    // Snapshots leave independent disks alone.
    if mode(disk).is_some_and(|mode| mode.starts_with("independent")) {
        return Vec::new();
    }
    let mut names = Vec::new();
    let roots = devices.snapshot.as_ref().map(|snapshot| snapshot.root_snapshot_list.as_slice()).unwrap_or_default();
    gather(roots, layout, disk.key, &mut names);
    names
}

fn gather(
    trees: &[VirtualMachineSnapshotTree],
    layout: &VirtualMachineFileLayoutEx,
    key: i32,
    names: &mut Vec<String>,
) {
    for tree in trees {
        let its = layout.snapshot.iter().find(|snapshot| snapshot.key == tree.snapshot);
        // Where the server does not say what a snapshot needs, it needs all.
        if its.is_none_or(|its| its.disk.iter().any(|disk| disk.key == key)) {
            names.push(crate::name::decode(&tree.name));
        }
        gather(&tree.child_snapshot_list, layout, key, names);
    }
}
