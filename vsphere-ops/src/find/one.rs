//! One object, by whatever a user calls it.

use std::sync::Arc;

use futures::future::{join, join_all};
use vsphere_model::types::{ManagedObjectNotFound, ManagedObjectReference, ObjectSpec, PropertyFilterSpec};
use vsphere_soap::request::ManagedObject;

use super::inventory::{folder_of, is_a, kind_of, type_of_id};
use super::names::{self, Named};
use super::path::{self, Ancestry, Pattern};
use super::{NAME, inventory, name_of};
use crate::client::Client;
use crate::error::{Candidate, Circumstance, Error, ErrorKind, Result, invalid};
use crate::mo::Mo;
use crate::name;
use crate::read::{self, property_spec};
use crate::vm::VmMirror;

/// An object that was found, and its name where it is known.
type Found = (ManagedObjectReference, Option<String>);

/// The object of type `M` that `what` names.
pub(super) async fn get<M: ManagedObject>(
    client: &Client,
    container: Option<&ManagedObjectReference>,
    what: &str,
) -> Result<Mo<M>> {
    Ok(typed(client, get_untyped(M::NAME, client, container, what).await?))
}

/// The only object of type `M` in the inventory.
pub(super) async fn only<M: ManagedObject>(client: &Client) -> Result<Mo<M>> {
    Ok(typed(client, only_untyped(M::NAME, client).await?))
}

/// The object of type `M` that each of these names.
pub(super) async fn get_many<M: ManagedObject>(
    client: &Client,
    container: Option<&ManagedObjectReference>,
    whats: &[&str],
) -> Result<Vec<Result<Mo<M>>>> {
    let found = get_many_untyped(M::NAME, client, container, whats).await?;
    Ok(found.into_iter().map(|found| Ok(typed(client, found?))).collect())
}

fn typed<M: ManagedObject>(client: &Client, (reference, name): Found) -> Mo<M> {
    Mo::new(client, &reference, name)
}

// From here on types are names: all of this is compiled once, and not once for each type.

async fn get_untyped(
    of: &'static str,
    client: &Client,
    container: Option<&ManagedObjectReference>,
    what: &str,
) -> Result<Found> {
    let described = |error: Error| error.in_operation(operation(of)).on(what);
    match get_many_untyped(of, client, container, &[what]).await.map_err(described)?.pop() {
        Some(found) => found,
        None => Err(described(nothing(of, "has this name"))),
    }
}

async fn only_untyped(of: &'static str, client: &Client) -> Result<Found> {
    let described = |error: Error| error.in_operation(operation(of));
    let source = inventory::below(None, of, vec![NAME.to_owned()])?;
    let contents = read::at_once(client, source).await.map_err(described)?;
    match contents.as_slice() {
        [] => Err(described(nothing(of, "is in the inventory, or none that this user may see"))),
        [only] => Ok((only.obj.clone(), name_of(only))),
        several => {
            let references: Vec<_> = several.iter().map(|content| content.obj.clone()).collect();
            Err(described(ambiguous(client, &references).await?))
        }
    }
}

async fn get_many_untyped(
    of: &'static str,
    client: &Client,
    container: Option<&ManagedObjectReference>,
    whats: &[&str],
) -> Result<Vec<Result<Found>>> {
    let cache = match container {
        None => client.cache_of(of).await,
        Some(_) => None,
    };
    // What is no name by its form may be one all the same.
    let alike = async {
        match cache.is_none() && whats.iter().any(|what| names::look_alike(what.trim())) {
            true => names::lookalikes(of, client, container).await,
            false => Ok(Arc::default()),
        }
    };
    let steps = whats.iter().map(|what| async {
        match cache.as_ref().and_then(|cache| known(of, cache, what)) {
            Some(step) => Ok(step),
            None => direct(of, client, container, what).await,
        }
    });
    let (direct, alike) = join(join_all(steps), alike).await;
    let mut look = Look { client, container, cache, alike: alike?, names: None };
    let mut found = Vec::with_capacity(whats.len());
    for (what, step) in whats.iter().zip(direct) {
        let outcome = match step {
            Ok(Step::Found(found)) => match look.namesakes(what, std::slice::from_ref(&found.0)) {
                others if others.is_empty() => Ok(found),
                others => Err(ambiguous_form(client, vec![found.0], others).await?),
            },
            Ok(Step::Several(objects)) => {
                let others = look.namesakes(what, &objects);
                Err(ambiguous_form(client, objects, others).await?)
            }
            Ok(Step::ByName(none)) => {
                let mut fitting = look.named(of, what).await?;
                match (fitting.pop(), fitting.is_empty()) {
                    (Some((reference, name)), true) => Ok((reference, Some(name))),
                    (Some(last), false) => {
                        fitting.push(last);
                        let references: Vec<_> = fitting.into_iter().map(|(object, _)| object).collect();
                        Err(ambiguous(client, &references).await?)
                    }
                    (None, _) => Err(none),
                }
            }
            Err(error) => Err(error),
        };
        found.push(outcome.map_err(|error| error.in_operation(operation(of)).on(*what)));
    }
    Ok(found)
}

/// Where several names are looked up: in the cache, where it is current, and among all names, which are read once.
struct Look<'a> {
    client: &'a Client,
    container: Option<&'a ManagedObjectReference>,
    cache: Option<VmMirror>,
    alike: Arc<Named>,
    names: Option<Arc<Named>>,
}

impl Look<'_> {
    /// The objects of this name. What the cache does not have the server may have since a moment.
    async fn named(&mut self, of: &'static str, what: &str) -> Result<Named> {
        let cached = self.cache.as_ref().map(|cache| cache.named(what)).unwrap_or_default();
        if !cached.is_empty() {
            return Ok(cached);
        }
        let names = match &self.names {
            Some(names) => names,
            None => self.names.insert(names::all(of, self.client, self.container).await?),
        };
        Ok(named(names, what).into_iter().cloned().collect())
    }

    /// The objects that are called `what`, as it is or decoded, besides those that it leads to by its form.
    fn namesakes(&self, what: &str, found: &[ManagedObjectReference]) -> Vec<ManagedObjectReference> {
        let decoded = name::decode(what.trim());
        if let Some(cache) = &self.cache {
            let mut spellings = vec![what, what.trim(), decoded.as_str()];
            spellings.dedup();
            let called = spellings.into_iter().flat_map(|name| cache.called(name));
            let others = called.map(|(object, _)| object).filter(|object| !found.contains(object));
            return others.collect();
        }
        let is_called = |name: &str| name == what || name == what.trim() || name == decoded;
        let others = self.alike.iter().filter(|(object, name)| !found.contains(object) && is_called(name));
        others.map(|(object, _)| object.clone()).collect()
    }
}

/// Where looking for a VM without the server has led; `None` where the server has to be asked: for paths, and for what
/// the cache does not know.
fn known(of: &'static str, cache: &VmMirror, what: &str) -> Option<Step> {
    let what = what.trim();
    if let Some(reference) = as_reference(what) {
        let name = cache.name_of(&reference.value).filter(|_| is_a(&reference.type_, of))?;
        return Some(Step::Found((reference, Some(name))));
    }
    if what.is_empty() || what.contains('/') {
        return None;
    }
    if let Some(type_) = type_of_id(what).filter(|type_| is_a(type_, of)) {
        let name = cache.name_of(what)?;
        return Some(Step::Found((ManagedObjectReference::new(type_, what), Some(name))));
    }
    if is_uuid(what) {
        let mut found = cache.with_uuid(what);
        let only = if found.len() == 1 { found.pop() } else { None };
        return match only {
            Some((reference, name)) => Some(Step::Found((reference, Some(name)))),
            None if found.is_empty() => None,
            None => Some(Step::Several(found.into_iter().map(|(object, _)| object).collect())),
        };
    }
    Some(Step::ByName(nothing(of, "has this name or id")))
}

/// The error where something is the id, UUID or path of one object and the name of others.
async fn ambiguous_form(
    client: &Client,
    mut objects: Vec<ManagedObjectReference>,
    others: Vec<ManagedObjectReference>,
) -> Result<Error> {
    let meant = objects.first().filter(|_| !others.is_empty()).cloned();
    objects.extend(others);
    let error = ambiguous(client, &objects).await?;
    Ok(match meant {
        Some(object) => error.with_circumstance(Circumstance::NameOfAnother(object)),
        None => error,
    })
}

/// Where looking for an object without its name has led.
enum Step {
    Found(Found),
    Several(Vec<ManagedObjectReference>),
    /// Nowhere: it is looked for by name. Where that fails too, this is the error.
    ByName(Error),
}

async fn direct(
    of: &'static str,
    client: &Client,
    container: Option<&ManagedObjectReference>,
    given: &str,
) -> Result<Step> {
    let what = given.trim();
    if what.is_empty() {
        return Err(invalid("find", "the name is empty"));
    }
    if let Some(reference) = as_reference(what) {
        if !is_a(&reference.type_, of) {
            return Ok(Step::ByName(other_kind(of, "this", &reference.type_)));
        }
        let gone = || Error::new("find", ErrorKind::NotFound(no_longer(&reference.type_, &reference.value)));
        return Ok(by_reference(client, &reference).await?.map_or_else(|| Step::ByName(gone()), Step::Found));
    }
    if what.contains('/') {
        return by_path(of, client, container, what).await;
    }
    if let Some(type_) = type_of_id(what).filter(|type_| is_a(type_, of)) {
        let found = by_reference(client, &ManagedObjectReference::new(type_, what)).await?;
        let none = || Step::ByName(nothing(of, "has this name or, any longer, this id"));
        return Ok(found.map_or_else(none, Step::Found));
    }
    if is_uuid(what) && matches!(of, "VirtualMachine" | "HostSystem") {
        return by_uuid(of, client, what).await;
    }
    Ok(Step::ByName(nothing(of, "has this name or id")))
}

async fn by_reference(client: &Client, reference: &ManagedObjectReference) -> Result<Option<Found>> {
    let spec = PropertyFilterSpec {
        prop_set: vec![property_spec(&reference.type_, [NAME])],
        object_set: vec![ObjectSpec { obj: reference.clone(), ..Default::default() }],
        ..Default::default()
    };
    match read::retrieve(client, spec).await {
        Ok(contents) => Ok(contents.first().map(|content| (content.obj.clone(), name_of(content)))),
        Err(error) if error.fault::<ManagedObjectNotFound>().is_some_and(|gone| gone.obj.value == reference.value) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn by_path(
    of: &'static str,
    client: &Client,
    container: Option<&ManagedObjectReference>,
    what: &str,
) -> Result<Step> {
    let below;
    let mut parts = Vec::new();
    let container = container.filter(|_| !what.starts_with('/'));
    if let Some(container) = container {
        let ancestry = Ancestry::read(client, std::slice::from_ref(container)).await?;
        below = ancestry.path(container).unwrap_or_default();
        parts.extend(path::split(&below));
        let own = path::split(what);
        // As below a datacenter in the paths of others: its folder of this type may be left out.
        let folder = folder_of(of).filter(|_| container.type_ == "Datacenter");
        if let Some(folder) =
            folder.filter(|_| !matches!(own.first(), Some(&("vm" | "host" | "datastore" | "network"))))
        {
            parts.push(folder);
        }
    }
    parts.extend(path::split(what));
    if let Some(reference) = path::by_inventory_path(client, &parts).await? {
        if !is_a(&reference.type_, of) {
            return Ok(Step::ByName(other_kind(of, "the object at this path", &reference.type_)));
        }
        let name = parts.last().map(|name| name::decode(name));
        return Ok(Step::Found((reference, name)));
    }
    // The server compares paths exactly and from the root: written in another case, or from below a datacenter.
    let contents = path::read_fitting(of, client, container, &Pattern::literal(what), &[]).await?;
    let mut objects: Vec<_> = contents.iter().map(|content| (content.obj.clone(), name_of(content))).collect();
    match (objects.pop(), objects.is_empty()) {
        (None, _) => Ok(Step::ByName(nothing(of, "has this path, and none this name"))),
        (Some((object, name)), true) => Ok(Step::Found((object, name))),
        (Some(last), false) => {
            objects.push(last);
            Ok(Step::Several(objects.into_iter().map(|(object, _)| object).collect()))
        }
    }
}

/// By instance UUID, which is unique, then by BIOS UUID, which copies share. Hosts have the latter only.
async fn by_uuid(of: &'static str, client: &Client, uuid: &str) -> Result<Step> {
    let index = client.search_index()?;
    let machine = of == "VirtualMachine";
    let mut found = Vec::new();
    if machine {
        found.extend(index.find_by_uuid(None, uuid, true, Some(true)).await?);
    }
    if found.is_empty() {
        found = match index.find_all_by_uuid(None, uuid, machine, machine.then_some(false)).await.map_err(Error::from) {
            // Simulators know the older method only.
            Err(error) if error.is_fault("MethodNotFound") => {
                index.find_by_uuid(None, uuid, machine, machine.then_some(false)).await?.into_iter().collect()
            }
            found => found?,
        };
    }
    match found.as_slice() {
        [] => Ok(Step::ByName(nothing(of, "has this UUID or name"))),
        [reference] => {
            let none = || Step::ByName(nothing(of, "has this UUID or name"));
            Ok(by_reference(client, reference).await?.map_or_else(none, Step::Found))
        }
        _ => Ok(Step::Several(found)),
    }
}

/// The objects of this name or id, whatever its form: as it is, else without spaces at its ends, else decoded, else without
/// regard to case.
pub(crate) fn named<'a>(
    objects: &'a [(ManagedObjectReference, String)],
    what: &str,
) -> Vec<&'a (ManagedObjectReference, String)> {
    let decoded = name::decode(what.trim());
    for wanted in [what, what.trim(), decoded.as_str()] {
        let exactly: Vec<_> =
            objects.iter().filter(|(object, name)| name == wanted || object.value == wanted).collect();
        if !exactly.is_empty() {
            return exactly;
        }
    }
    for lower in [what.trim().to_lowercase(), decoded.to_lowercase()] {
        let fitting: Vec<_> = objects.iter().filter(|(_, name)| name.to_lowercase() == lower).collect();
        if !fitting.is_empty() {
            return fitting;
        }
    }
    Vec::new()
}

/// The error that lists these objects, because each of them fits.
pub(crate) async fn ambiguous(client: &Client, objects: &[ManagedObjectReference]) -> Result<Error> {
    let paths = client.paths(objects).await?;
    let mut candidates: Vec<Candidate> =
        paths.into_iter().zip(objects).map(|(path, object)| Candidate { path, id: object.value.clone() }).collect();
    candidates.sort_by(|a, b| (&a.path, &a.id).cmp(&(&b.path, &b.id)));
    Ok(Error::new("find", ErrorKind::Ambiguous(candidates)))
}

/// `VirtualMachine:vm-42`, as govc and logs write references.
fn as_reference(what: &str) -> Option<ManagedObjectReference> {
    let (type_, id) = what.split_once(':')?;
    let known = folder_of(type_).is_some() || matches!(type_, "Folder" | "Datacenter" | "ManagedEntity");
    (known && !id.is_empty() && !id.contains([':', '/', ' '])).then(|| ManagedObjectReference::new(type_, id))
}

pub(super) fn is_uuid(what: &str) -> bool {
    let groups: Vec<&str> = what.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn operation(of: &'static str) -> String {
    format!("find {}", kind_of(of))
}

fn nothing(of: &'static str, what: &str) -> Error {
    Error::new("find", ErrorKind::NotFound(format!("no {} {what}", kind_of(of))))
}

fn other_kind(of: &'static str, what: &str, type_: &str) -> Error {
    invalid("find", format!("{what} is a {}, not a {}", kind_of(type_), kind_of(of)))
}

/// What is said of a reference that leads nowhere.
pub(crate) fn no_longer(type_: &str, id: &str) -> String {
    format!("there is no {} {id}, or no longer", kind_of(type_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_uuids_are_told_from_names() {
        assert_eq!(
            as_reference("VirtualMachine:vm-42").map(|r| r.to_string()).as_deref(),
            Some("VirtualMachine:vm-42")
        );
        for name in ["web:1", "VirtualMachine:", "a:b:c", "VirtualMachine:my vm"] {
            assert_eq!(as_reference(name), None, "{name}");
        }
        assert!(is_uuid("4203a2cc-8f3d-4b1e-9a31-0d5b0c7d3e11"));
        assert!(!is_uuid("4203a2cc-8f3d-4b1e-9a31-0d5b0c7d3e1x"));
        assert!(!is_uuid("web-1"));
    }

    #[test]
    fn pitfall_13_names_that_differ_by_case_only_are_told_apart() {
        let objects: Vec<_> = [("vm-1", "Web"), ("vm-2", "web"), ("vm-3", "WEB")]
            .map(|(id, name)| (ManagedObjectReference::new("VirtualMachine", id), name.to_owned()))
            .into();
        let ids = |what: &str| named(&objects, what).iter().map(|(o, _)| o.value.as_str()).collect::<Vec<_>>();
        assert_eq!(ids("web"), ["vm-2"]);
        assert_eq!(ids("wEb"), ["vm-1", "vm-2", "vm-3"]);
        assert_eq!(ids("vm-3"), ["vm-3"]);
        assert!(ids("other").is_empty());
    }
}
