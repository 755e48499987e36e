//! Which files of datastores belong to VMs that are denied.

use std::collections::HashSet;

use vsphere_model::types::{Any, ManagedObjectReference};
use vsphere_soap::object::Value;

use super::Level;
use super::answers::walk;
use super::guard::{Guard, View};
use super::pattern::fold;
use crate::datastore_path::DatastorePath;
use crate::error::Result;
use crate::find;

/// The paths in which a VM names its files.
const FILES: [&str; 2] = ["config.files", "layoutEx.file"];

/// The files of VMs that are denied.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Datastores and folders in them, folded, each with all that is below.
    folders: HashSet<(String, String)>,
    /// Files that are in no folder.
    files: HashSet<(String, String)>,
    /// The names of VMs that do not say where their files are: they are in folders of this name, by custom.
    names: HashSet<String>,
    /// The names of all that are denied, as some datastores show them beside ids.
    friendly: HashSet<String>,
}

impl Taken {
    /// Asks the VMs that are denied.
    pub(super) async fn read(guard: &Guard, view: &View) -> Result<Self> {
        let denied: Vec<ManagedObjectReference> = view
            .nodes
            .all()
            .filter(|object| object.type_ == "VirtualMachine" && view.level(&object.value) != Level::Full)
            .cloned()
            .collect();
        let mut taken = Self::default();
        if denied.is_empty() {
            return Ok(taken);
        }
        let mut silent: HashSet<String> = denied.iter().map(|vm| vm.value.clone()).collect();
        taken.friendly.extend(denied.iter().filter_map(|vm| view.nodes.name(&vm.value)).map(|name| fold(&name)));
        for content in find::details(guard.tree().client(), denied, &FILES).await? {
            for property in &content.prop_set {
                let mut told = false;
                walk(Value::Any(&property.val), "", &mut |_, value| {
                    if let Value::String(text) = value {
                        told |= taken.add(text);
                    }
                });
                if told {
                    silent.remove(&content.obj.value);
                }
            }
        }
        taken.names.extend(silent.iter().filter_map(|id| view.nodes.name(id)).map(|name| fold(&name)));
        Ok(taken)
    }

    fn add(&mut self, text: &str) -> bool {
        let Ok(path) = text.parse::<DatastorePath>() else { return false };
        let store = fold(path.datastore());
        match if text.ends_with('/') { Some(path.clone()) } else { path.parent() } {
            Some(folder) if !folder.path().is_empty() => self.folders.insert((store, fold(folder.path()))),
            _ => self.files.insert((store, fold(path.path()))),
        };
        true
    }

    /// Whether a file or folder is one of theirs.
    pub(super) fn hides(&self, path: &DatastorePath) -> bool {
        let (store, path) = (fold(path.datastore()), fold(path.path()));
        let first = path.split('/').next().unwrap_or_default();
        let mut above = Some(path.as_str());
        while let Some(folder) = above.filter(|folder| !folder.is_empty()) {
            if self.folders.contains(&(store.clone(), folder.to_owned())) {
                return true;
            }
            above = folder.rsplit_once('/').map(|(above, _)| above);
        }
        self.names.contains(first) || self.files.contains(&(store, path.clone()))
    }

    /// Whether a name that is shown in the place of an id is that of one of theirs.
    pub(super) fn hides_name(&self, name: &str) -> bool {
        self.friendly.contains(&fold(name))
    }

    /// Whether a file or folder is one of theirs, or holds one.
    pub(super) fn touches(&self, path: &DatastorePath) -> bool {
        let (store, folder) = (fold(path.datastore()), fold(path.path()));
        let below = |(of, path): &(String, String)| {
            *of == store && (folder.is_empty() || path.strip_prefix(&folder).is_some_and(|rest| rest.starts_with('/')))
        };
        self.hides(path)
            || self.folders.iter().chain(&self.files).any(below)
            || (folder.is_empty() && !self.names.is_empty())
    }
}

impl View {
    /// Whether all datastores of this name are permitted, and there is one.
    pub(super) fn permits_datastore(&self, name: &str) -> bool {
        let wanted = fold(&crate::name::decode(name));
        let named = |object: &&ManagedObjectReference| {
            object.type_ == "Datastore" && self.nodes.name(&object.value).is_some_and(|name| fold(&name) == wanted)
        };
        let mut found = self.nodes.all().filter(named).peekable();
        found.peek().is_some() && found.all(|store| self.level(&store.value) == Level::Full)
    }
}

/// Whether a value tells files of datastores.
pub(super) fn tells_files(answer: &Any) -> bool {
    let mut tells = false;
    super::answers::objects(Value::Any(answer), &mut |type_| {
        tells |= type_ == "HostDatastoreBrowserSearchResults";
    });
    tells
}
