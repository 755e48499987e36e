//! Looking for a method, an object, a property or a type by the words of its name.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use vsphere_soap::request::Method;

use super::access::Access;
use super::describe::{type_of, typed};
use crate::error::{Result, invalid};
use crate::page::{ListQuery, Page, Window};

/// What a name of the API names.
///
/// ```
/// use vsphere_ops::api::{Kind, describe};
///
/// assert_eq!(describe("HostSystem")?.kind, Kind::Object);
/// assert_eq!(describe("VirtualDisk")?.kind, Kind::Type);
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A method of a managed object.
    Method,
    /// A managed object.
    Object,
    /// A property of a managed object.
    Property,
    /// A data object.
    Type,
    /// An enumeration.
    Enumeration,
}

/// Something of the API that was found.
///
/// ```
/// use vsphere_ops::ListQuery;
/// use vsphere_ops::api::{Access, search};
///
/// let found = search("create snapshot", &ListQuery::first(1))?.items.remove(0);
/// assert_eq!((found.name.as_str(), found.access), ("VirtualMachine.CreateSnapshot_Task", Some(Access::Change)));
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Found {
    /// Its name; that of a method or a property after its owner.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What a method takes and answers, the type of a property.
    pub signature: String,
    /// What a caller has to be allowed for a method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

/// Something of the API, ready to be looked for.
struct Entry {
    kind: Kind,
    name: String,
    /// The name and the signature in lower case.
    lower_name: String,
    lower: String,
    signature: String,
    method: Option<&'static Method>,
}

impl Entry {
    fn new(kind: Kind, name: String, signature: String) -> Self {
        let lower_name = name.to_lowercase();
        let lower = format!("{lower_name} {}", signature.to_lowercase());
        Self { kind, name, lower_name, lower, signature, method: None }
    }

    fn found(&self) -> Found {
        let access = self.method.map(Access::of);
        Found { name: self.name.clone(), kind: self.kind, signature: self.signature.clone(), access }
    }

    /// How little it fits: how many of the words it lacks, then how far from its name it has the others.
    fn distance(&self, words: &[String]) -> (usize, usize) {
        let own = self.lower_name.rsplit('.').next().unwrap_or_default();
        let missing = words.iter().filter(|word| !self.lower.contains(*word)).count();
        let joined = words.concat();
        let far = if self.lower_name == joined || own == joined || own == format!("{joined}_task") {
            0
        } else if own.starts_with(&joined) {
            1
        } else if words.iter().all(|word| own.contains(word)) {
            2
        } else if words.iter().all(|word| self.lower_name.contains(word)) {
            3
        } else {
            4
        };
        (missing, far)
    }
}

/// All that the API has.
static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let registry = vsphere_model::registry();
    let methods = registry.methods().iter().map(|method| Entry {
        method: Some(method),
        ..Entry::new(Kind::Method, format!("{}.{}", method.owner, method.name), signature(method))
    });
    let objects = registry.managed_objects().iter().flat_map(|object| {
        let base = object.base.map(|base| format!("extends {}", base.name)).unwrap_or_default();
        let own = Entry::new(Kind::Object, object.name.to_owned(), base);
        let properties = object.own_properties.iter();
        let properties = properties.map(|property| {
            Entry::new(Kind::Property, format!("{}.{}", object.name, property.name), type_of(property))
        });
        std::iter::once(own).chain(properties)
    });
    let types = registry.types().iter().map(|info| {
        let base = info.base().map(|base| format!("extends {}", base.name())).unwrap_or_default();
        Entry::new(Kind::Type, info.name().to_owned(), base)
    });
    let enums = registry.enums().iter().map(|info| {
        let values = info.values.iter().take(8).copied().collect::<Vec<_>>().join(" | ");
        Entry::new(Kind::Enumeration, info.name.to_owned(), values)
    });
    methods.chain(objects).chain(types).chain(enums).collect()
});

/// The order of what was found: what fits best first.
type Place = ((usize, usize), Kind, String);

/// Looks for what has all words in its name or its signature, else for what has most of them. What fits best comes first. The
/// filter of the page is a glob on the name.
///
/// ```
/// use vsphere_ops::ListQuery;
///
/// for found in vsphere_ops::api::search("snapshot remove", &ListQuery::first(5))?.items {
///     println!("{} {}", found.name, found.signature);
/// }
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
///
/// # Errors
/// `invalid_argument` if there is no word to look for, or for a cursor of another list.
pub fn search(words: &str, page: &ListQuery) -> Result<Page<Found>> {
    let words: Vec<String> =
        words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    if words.is_empty() {
        return Err(invalid("search the API", "there is no word to look for"));
    }
    let glob = page.glob();
    let chosen = ENTRIES.iter().filter(|entry| glob.as_ref().is_none_or(|glob| glob.fits(&entry.name)));
    let placed: Vec<((usize, usize), &Entry)> = chosen.map(|entry| (entry.distance(&words), entry)).collect();
    let least = placed.iter().map(|((missing, _), _)| *missing).min().filter(|missing| *missing < words.len());
    let fitting = placed.into_iter().filter(|((missing, _), _)| Some(*missing) == least);
    let key = |(distance, entry): &((usize, usize), &Entry)| -> Place { (*distance, entry.kind, entry.name.clone()) };
    Ok(Page::from(Window::of(fitting, key, page)?.map(|(_, entry)| entry.found())))
}

/// `Rename_Task(newName: string) -> ManagedObjectReference`.
pub(super) fn signature(method: &Method) -> String {
    let params: Vec<String> = method.params.iter().map(typed).collect();
    let result = method.result.as_ref().map(|result| format!(" -> {}", type_of(result))).unwrap_or_default();
    format!("{}({}){result}", method.name, params.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    fn first(words: &str) -> String {
        search(words, &ListQuery::first(1)).unwrap().items.remove(0).name
    }

    #[test]
    fn what_fits_best_comes_first() {
        for (words, expected) in [
            ("PowerOnVM_Task", "VirtualMachine.PowerOnVM_Task"),
            ("power on vm", "VirtualMachine.PowerOnVM_Task"),
            ("create snapshot", "VirtualMachine.CreateSnapshot_Task"),
            ("HostSystem", "HostSystem"),
            ("VirtualDisk", "VirtualDisk"),
            ("enter maintenance", "HostSystem.EnterMaintenanceMode_Task"),
            ("scan hba", "HostStorageSystem.RescanHba"),
        ] {
            let found = search(words, &ListQuery::first(10)).unwrap();
            let names: Vec<&str> = found.items.iter().map(|found| found.name.as_str()).collect();
            assert!(names.contains(&expected), "{words}: {names:?}");
        }
        assert_eq!(first("rename"), "ManagedEntity.Rename_Task");
    }

    #[test]
    fn pages_go_on_where_the_one_before_ended() {
        let all = search("snapshot", &ListQuery::first(500)).unwrap();
        let first = search("snapshot", &ListQuery::first(7)).unwrap();
        let next = search("snapshot", &ListQuery { cursor: first.next_cursor, ..ListQuery::first(7) }).unwrap();
        assert_eq!(all.total, first.total);
        assert_eq!([first.items, next.items].concat(), all.items[..14]);
    }

    #[test]
    fn nothing_is_found_where_nothing_fits() {
        assert_eq!(search("qqqqq", &ListQuery::first(5)).unwrap().total, 0);
        assert_eq!(search(" . ", &ListQuery::first(5)).unwrap_err().code(), "invalid_argument");
    }
}
