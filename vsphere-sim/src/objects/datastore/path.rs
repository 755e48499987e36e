//! Paths of files: `[datastore1] web-1/web-1.vmdk`, and the URLs that stand for them.

use std::fmt;

use super::Datastore;
use crate::fault::{Fault, Outcome};
use crate::model::ServerKind;
use crate::objects::datacenter::Datacenter;
use crate::world::{Entity, Managed as _, Moref, World, escaped};
use vsphere_model::types::{InvalidDatastore, InvalidDatastorePath};

/// The path of a file or folder in a datastore, as the API writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatastorePath {
    /// The name of the datastore.
    pub(crate) datastore: String,
    /// The steps below it, without slashes at the ends; empty for the datastore itself.
    pub(crate) path: String,
}

impl DatastorePath {
    /// Reads `[datastore] folder/file`.
    ///
    /// # Errors
    /// `InvalidDatastorePath`, also for steps that lead upwards.
    pub(crate) fn parse(text: &str) -> Outcome<Self> {
        let refused = || invalid(text);
        let rest = text.trim().strip_prefix('[').ok_or_else(refused)?;
        // A name may have a bracket in it: the one that ends it stands before a space, or at the end.
        let (datastore, path) = match rest.split_once("] ") {
            Some(parts) => parts,
            None => match rest.strip_suffix(']') {
                Some(name) => (name, ""),
                None => rest.split_once(']').ok_or_else(refused)?,
            },
        };
        let path = clean(path).ok_or_else(refused)?;
        if datastore.is_empty() {
            return Err(refused());
        }
        Ok(Self { datastore: datastore.to_owned(), path })
    }
}

impl fmt::Display for DatastorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.datastore, self.path)
    }
}

/// The longest path that a datastore takes, in bytes.
const LONGEST: usize = 2048;

/// A path without empty steps; `None` where it leads upwards, is too long, or has characters that no name has.
pub(crate) fn clean(path: &str) -> Option<String> {
    if path.len() > LONGEST || path.chars().any(char::is_control) {
        return None;
    }
    let steps: Vec<&str> = path.trim().split('/').filter(|step| !step.is_empty() && *step != ".").collect();
    (!steps.contains(&"..")).then(|| steps.join("/"))
}

/// The folder that a path stands in, and its last step.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The path below a folder; the datastore itself is the empty one.
pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A text that is no path in a datastore.
pub(crate) fn invalid(text: &str) -> Fault {
    let fault = InvalidDatastorePath { datastore_path: text.to_owned(), ..Default::default() };
    Fault::new(fault, format!("Invalid datastore path '{text}'."))
}

impl World {
    /// The datastore and the path in it that a text means: a datastore path, or one of the URLs that stand for it. A
    /// vCenter must be told the datacenter of a datastore path; `argument` is the name by which it is asked for.
    ///
    /// # Errors
    /// `InvalidDatastorePath`, `InvalidDatastore`, and `InvalidArgument` for the datacenter.
    pub(crate) fn locate(&self, text: &str, datacenter: Option<&Moref>, argument: &str) -> Outcome<(Moref, String)> {
        if let Some(rest) = text.strip_prefix("ds://") {
            return self.locate_url(text, rest.trim_start_matches('/'));
        }
        let path = DatastorePath::parse(text)?;
        let datacenter = match datacenter {
            Some(datacenter) => datacenter.clone(),
            None if self.settings.kind == ServerKind::Esxi => {
                let all = self.all::<Datacenter>();
                all.first().map(|(reference, _)| (*reference).clone()).ok_or_else(|| invalid(text))?
            }
            None => return Err(Fault::invalid_argument(argument)),
        };
        let datastore = self.datastore_named(&datacenter, &path.datastore)?;
        Ok((datastore, path.path))
    }

    /// `ds:///vmfs/volumes/UUID/folder/file`.
    fn locate_url(&self, text: &str, rest: &str) -> Outcome<(Moref, String)> {
        let full = format!("ds:///{rest}/");
        let all = self.all::<Datastore>();
        let (datastore, rest) = all
            .iter()
            .find_map(|(reference, datastore)| Some(((*reference).clone(), full.strip_prefix(&datastore.url)?)))
            .ok_or_else(|| invalid(text))?;
        Ok((datastore, clean(rest).ok_or_else(|| invalid(text))?))
    }

    /// The datastore of a datacenter that has this name.
    ///
    /// # Errors
    /// `InvalidDatastore`, and `ManagedObjectNotFound` for the datacenter.
    pub(crate) fn datastore_named(&self, datacenter: &Moref, name: &str) -> Outcome<Moref> {
        let wanted = escaped(name);
        let has_name = |reference: &&Moref| self.entity(reference).is_ok_and(|entity: &Entity| entity.name == wanted);
        self.get::<Datacenter>(datacenter)?.datastores.iter().find(has_name).cloned().ok_or_else(|| {
            let fault = InvalidDatastore { name: Some(name.to_owned()), ..Default::default() };
            Fault::new(fault, format!("Invalid datastore '{name}'."))
        })
    }

    /// The path of a file in a datastore, as the API writes it.
    pub(crate) fn datastore_path(&self, datastore: &Moref, path: &str) -> String {
        let name = self.get::<Datastore>(datastore).ok().and_then(|found| found.entity());
        let datastore = name.map(|entity| entity.name.clone()).unwrap_or_default();
        DatastorePath { datastore, path: path.to_owned() }.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        for (text, datastore, path) in [
            ("[ds 1] web/web.vmdk", "ds 1", "web/web.vmdk"),
            ("[ds]", "ds", ""),
            ("[ds] ", "ds", ""),
            ("[ds]a//b/", "ds", "a/b"),
            ("[a]b] c", "a]b", "c"),
        ] {
            let read = DatastorePath::parse(text).unwrap();
            assert_eq!((read.datastore.as_str(), read.path.as_str()), (datastore, path), "{text}");
        }
        for text in ["", "ds/a", "[ds", "[] a", "[ds] ../a", "[ds] a/../../b", "[ds] a\u{0}"] {
            assert!(DatastorePath::parse(text).is_err(), "{text}");
        }
    }
}
