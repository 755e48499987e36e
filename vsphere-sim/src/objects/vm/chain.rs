//! Chains of disk files: a snapshot freezes a disk's file and puts a child on it, which takes what is written from then on.

use std::collections::{BTreeMap, BTreeSet};

use vsphere_model::types::{
    Poly, VirtualDeviceBackingInfo, VirtualDisk, VirtualDiskFlatVer2BackingInfo,
    VirtualDiskRawDiskMappingVer1BackingInfo, VirtualDiskSeSparseBackingInfo, VirtualMachineConfigInfo,
};

/// A kind of backing that can stand on a parent of its kind.
trait Layer: Clone {
    fn file(&self) -> &str;
    fn parent(&self) -> Option<&Self>;
    fn parent_mut(&mut self) -> &mut Option<Box<Self>>;
    fn start_anew(&mut self, file: &str, content: &str);
    fn is_independent(&self) -> bool;
}

macro_rules! layer {
    ($kind:ty, $mode:expr) => {
        impl Layer for $kind {
            fn file(&self) -> &str {
                &self.file_name
            }

            fn parent(&self) -> Option<&Self> {
                self.parent.as_deref()
            }

            fn parent_mut(&mut self) -> &mut Option<Box<Self>> {
                &mut self.parent
            }

            fn start_anew(&mut self, file: &str, content: &str) {
                self.file_name = file.to_owned();
                self.content_id = Some(content.to_owned());
                self.change_id = None;
                // The object of the parent, where the datastore keeps disks as objects.
                self.backing_object_id = None;
                self.delta_disk_format = Some("redoLogFormat".to_owned());
            }

            fn is_independent(&self) -> bool {
                let mode: fn(&Self) -> Option<&str> = $mode;
                mode(self).is_some_and(|mode| mode.starts_with("independent_"))
            }
        }
    };
}

layer!(VirtualDiskFlatVer2BackingInfo, |layer| Some(&layer.disk_mode));
layer!(VirtualDiskSeSparseBackingInfo, |layer| Some(&layer.disk_mode));
layer!(VirtualDiskRawDiskMappingVer1BackingInfo, |layer| layer.disk_mode.as_deref());

/// Does something with a backing as the kind of layer that it is; nothing with one of another kind.
macro_rules! as_layer {
    ($backing:expr, $cast:ident, $layer:ident => $work:expr) => {
        if let Some($layer) = $backing.$cast::<VirtualDiskFlatVer2BackingInfo>() {
            $work
        } else if let Some($layer) = $backing.$cast::<VirtualDiskSeSparseBackingInfo>() {
            $work
        } else if let Some($layer) = $backing.$cast::<VirtualDiskRawDiskMappingVer1BackingInfo>() {
            $work
        } else {
            Default::default()
        }
    };
}

type Backing = Poly<VirtualDeviceBackingInfo>;

/// The files that a disk is made of, the one that is written to first.
pub(super) fn files(disk: &VirtualDisk) -> Vec<String> {
    fn of<L: Layer>(leaf: &L) -> Vec<String> {
        std::iter::successors(Some(leaf), |layer| layer.parent()).map(|layer| layer.file().to_owned()).collect()
    }
    let Some(backing) = &disk.backing else { return Vec::new() };
    as_layer!(backing, downcast_ref, layer => of(layer))
}

/// Whether snapshots leave the disk alone.
pub(super) fn is_independent(disk: &VirtualDisk) -> bool {
    let Some(backing) = &disk.backing else { return false };
    as_layer!(backing, downcast_ref, layer => layer.is_independent())
}

pub(super) fn disks(config: &VirtualMachineConfigInfo) -> impl Iterator<Item = &VirtualDisk> {
    config.hardware.device.iter().filter_map(|device| device.downcast_ref())
}

fn backings(config: &mut VirtualMachineConfigInfo) -> impl Iterator<Item = &mut Backing> {
    let disks = config.hardware.device.iter_mut().filter_map(|device| device.downcast_mut::<VirtualDisk>());
    disks.filter(|disk| !is_independent(disk)).filter_map(|disk| disk.backing.as_mut())
}

/// Puts a new child on each disk of the configuration that snapshots freeze. `taken` are the names in use; those of the
/// children are added. Answers each child with its parent.
pub(super) fn grow(config: &mut VirtualMachineConfigInfo, taken: &mut BTreeSet<String>) -> Vec<(String, String)> {
    fn child<L: Layer>(leaf: &mut L, taken: &mut BTreeSet<String>) -> Option<(String, String)> {
        let parent = leaf.file().to_owned();
        let name = child_name(&parent, taken);
        taken.insert(name.clone());
        let below = leaf.clone();
        leaf.start_anew(&name, &format!("{:08x}", fastrand::u32(..)));
        *leaf.parent_mut() = Some(Box::new(below));
        Some((name, parent))
    }
    backings(config).filter_map(|backing| as_layer!(backing, downcast_mut, layer => child(layer, taken))).collect()
}

/// The first free name for a child of this file: `web.vmdk` and `web-000001.vmdk` have `web-000002.vmdk`.
fn child_name(parent: &str, taken: &BTreeSet<String>) -> String {
    let stem = parent.strip_suffix(".vmdk").unwrap_or(parent);
    let is_number = |end: &str| end.len() == 6 && end.bytes().all(|digit| digit.is_ascii_digit());
    let base = match stem.rsplit_once('-') {
        Some((base, end)) if is_number(end) => base,
        _ => stem,
    };
    let name = |number: u32| format!("{base}-{number:06}.vmdk");
    (1..=999_999).map(name).find(|name| !taken.contains(name)).unwrap_or_else(|| name(0))
}

/// All files of the disks of these configurations.
pub(super) fn all_files<'a>(configs: impl IntoIterator<Item = &'a VirtualMachineConfigInfo>) -> BTreeSet<String> {
    configs.into_iter().flat_map(disks).flat_map(files).collect()
}

/// A file that another one is written into: the child vanishes, and the parent has what it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Merge {
    pub(super) parent: String,
    pub(super) child: String,
    /// What stood on the child, and stands on the parent from then on.
    pub(super) above: Vec<String>,
}

/// What can be folded: where nobody needs a file as it is, and only one child stands on it. `configs` are the machine's
/// own and those of all its snapshots.
pub(super) fn foldable(configs: &[&VirtualMachineConfigInfo]) -> Option<Merge> {
    let mut needed = BTreeSet::new();
    let mut children: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for chain in configs.iter().flat_map(|config| disks(config)).map(files) {
        needed.extend(chain.first().cloned());
        for pair in chain.windows(2) {
            if let [child, parent] = pair {
                children.entry(parent.clone()).or_default().insert(child.clone());
            }
        }
    }
    children.iter().find_map(|(parent, on_it)| {
        let child = on_it.first().filter(|_| on_it.len() == 1)?;
        // A parent in another machine's folder is that one's: so a linked clone stands on its origin.
        let fold = !needed.contains(parent) && folder(parent) == folder(child);
        let above = || children.get(child).into_iter().flatten().cloned().collect();
        fold.then(|| Merge { parent: parent.clone(), child: child.clone(), above: above() })
    })
}

fn folder(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Carries out a merge in a configuration.
pub(super) fn fold(config: &mut VirtualMachineConfigInfo, merge: &Merge) {
    fn cut<L: Layer>(layer: &mut L, merge: &Merge) {
        if layer.file() == merge.child {
            if let Some(parent) = layer.parent_mut().take() {
                *layer = *parent;
            }
        } else if let Some(parent) = layer.parent_mut() {
            cut(&mut **parent, merge);
        }
    }
    backings(config).for_each(|backing| as_layer!(backing, downcast_mut, layer => cut(layer, merge)));
}

#[cfg(test)]
mod tests {
    use vsphere_model::types::{VirtualDevice, VirtualDeviceFileBackingInfo};

    use super::*;

    fn config(file: &str) -> VirtualMachineConfigInfo {
        let base = VirtualDeviceFileBackingInfo { file_name: file.to_owned(), ..Default::default() };
        let backing = VirtualDiskFlatVer2BackingInfo { base, disk_mode: "persistent".to_owned(), ..Default::default() };
        let device = VirtualDevice { backing: Some(Poly::new(backing)), ..Default::default() };
        let disk = VirtualDisk { base: device, ..Default::default() };
        let mut config = VirtualMachineConfigInfo::default();
        config.hardware.device.push(Poly::new(disk));
        config
    }

    fn chain(config: &VirtualMachineConfigInfo) -> Vec<String> {
        disks(config).flat_map(files).collect()
    }

    #[test]
    fn a_child_gets_the_first_free_number() {
        let taken = ["[d] a/a.vmdk", "[d] a/a-000001.vmdk", "[d] a/a-000003.vmdk"].map(str::to_owned).into();
        assert_eq!(child_name("[d] a/a-000003.vmdk", &taken), "[d] a/a-000002.vmdk");
    }

    #[test]
    fn a_file_that_nobody_needs_takes_in_its_only_child() {
        let mut now = config("[d] a/a.vmdk");
        let first = now.clone();
        let mut taken = all_files([&now]);
        grow(&mut now, &mut taken);
        let second = now.clone();
        grow(&mut now, &mut taken);
        assert_eq!(chain(&now), ["[d] a/a-000002.vmdk", "[d] a/a-000001.vmdk", "[d] a/a.vmdk"]);
        assert_eq!(foldable(&[&now, &first, &second]), None);
        // Without the first snapshot, its file takes in the one above.
        let merge = foldable(&[&now, &second]).expect("something to fold");
        assert_eq!((merge.parent.as_str(), merge.child.as_str()), ("[d] a/a.vmdk", "[d] a/a-000001.vmdk"));
        fold(&mut now, &merge);
        assert_eq!(chain(&now), ["[d] a/a-000002.vmdk", "[d] a/a.vmdk"]);
        // A second child is in the way.
        let mut other = first.clone();
        grow(&mut other, &mut taken);
        assert_eq!(foldable(&[&now, &other]), None);
    }

    #[test]
    fn a_linked_clone_leaves_its_origin_alone() {
        let mut clone = config("[d] origin/a.vmdk");
        grow(&mut clone, &mut BTreeSet::new());
        for backing in backings(&mut clone) {
            if let Some(layer) = backing.downcast_mut::<VirtualDiskFlatVer2BackingInfo>() {
                layer.file_name = "[d] clone/clone.vmdk".to_owned();
            }
        }
        assert_eq!(foldable(&[&clone]), None);
    }
}
