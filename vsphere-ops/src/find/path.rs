//! Inventory paths: of an object, and globs on them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use vsphere_model::types::{
    Any, ManagedObjectReference, ObjectContent, ObjectSpec, Poly, PropertyFilterSpec, SelectionSpec, TraversalSpec,
};

use super::inventory::{CONTAINERS, folder_of, ways_down};
use super::{NAME, name_of, names};
use crate::client::Client;
use crate::error::Result;
use crate::name::{self, Glob};
use crate::read::{self, property_spec};

const PARENT: &str = "parent";
const PARENT_VAPP: &str = "parentVApp";

/// What stands in front of a path whose beginning the user may not see.
const HIDDEN: &str = "…";

/// An object that another is in.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
///
/// let vm = client.get::<VirtualMachine>("web-01").await?;
/// let folders = vm.ancestors().await?;
/// let datacenter = folders.iter().find(|ancestor| ancestor.reference.type_ == "Datacenter");
/// println!("{} is in {:?}", vm.path().await?, datacenter.map(|datacenter| &datacenter.name));
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ancestor {
    /// Its reference (moref).
    pub reference: ManagedObjectReference,
    /// Its name, decoded for people.
    pub name: String,
}

/// Objects with what they are in.
#[derive(Debug, Default)]
pub(crate) struct Ancestry {
    entities: HashMap<String, Entity>,
}

#[derive(Debug)]
struct Entity {
    reference: ManagedObjectReference,
    name: String,
    parent: Option<String>,
}

impl Ancestry {
    /// Reads the chains of parents of objects, in one round trip.
    pub(crate) async fn read(client: &Client, objects: &[ManagedObjectReference]) -> Result<Self> {
        Self::read_with(client, objects, []).await
    }

    /// The same, with the names of other objects in the same round trip.
    pub(crate) async fn read_with(
        client: &Client,
        objects: &[ManagedObjectReference],
        named: impl IntoIterator<Item = ManagedObjectReference>,
    ) -> Result<Self> {
        let again = || Poly::new(SelectionSpec { name: Some("up".into()) });
        let up = TraversalSpec {
            base: SelectionSpec { name: Some("up".into()) },
            type_: "ManagedEntity".into(),
            path: PARENT.into(),
            skip: Some(false),
            select_set: vec![again()],
        };
        let through_vapp = TraversalSpec {
            type_: "VirtualMachine".into(),
            path: PARENT_VAPP.into(),
            skip: Some(false),
            select_set: vec![again()],
            ..Default::default()
        };
        let object_set = objects.iter().map(|obj| ObjectSpec {
            obj: obj.clone(),
            skip: Some(false),
            select_set: vec![Poly::new(up.clone()), Poly::new(through_vapp.clone())],
        });
        let mut object_set: Vec<ObjectSpec> = object_set.collect();
        for obj in named {
            if object_set.iter().all(|known| known.obj != obj) {
                object_set.push(ObjectSpec { obj, ..Default::default() });
            }
        }
        let spec = PropertyFilterSpec {
            prop_set: vec![
                property_spec("ManagedEntity", [NAME, PARENT]),
                property_spec("VirtualMachine", [PARENT_VAPP]),
            ],
            object_set,
            report_missing_objects_in_results: Some(true),
        };
        let mut ancestry = Self::default();
        for content in read::retrieve(client, spec).await? {
            ancestry.add(&content);
        }
        Ok(ancestry)
    }

    /// The chains of parents that these objects make, which were read with their names and parents. A view does not hold the
    /// root folder, at which paths begin.
    pub(crate) fn of(client: &Client, contents: &[ObjectContent]) -> Self {
        let mut ancestry = Self::default();
        contents.iter().for_each(|content| ancestry.add(content));
        let root = client.content().root_folder.clone();
        let entity = Entity { reference: root.clone(), name: String::new(), parent: None };
        ancestry.entities.entry(root.value).or_insert(entity);
        ancestry
    }

    fn add(&mut self, content: &ObjectContent) {
        let reference = |path: &str| {
            let property = content.prop_set.iter().find(|property| property.name == path)?;
            if let Any::Ref(reference) = &property.val { Some(reference.value.clone()) } else { None }
        };
        let entity = self.entities.entry(content.obj.value.clone()).or_insert_with(|| Entity {
            reference: content.obj.clone(),
            name: String::new(),
            parent: None,
        });
        // What several specifications select comes in one part or in several. A VM in a vApp has no other parent.
        entity.name = name_of(content).unwrap_or_else(|| std::mem::take(&mut entity.name));
        entity.parent = reference(PARENT).or_else(|| entity.parent.take()).or_else(|| reference(PARENT_VAPP));
    }

    /// Takes in what others were read.
    pub(crate) fn merge(&mut self, other: Self) {
        for (id, new) in other.entities {
            match self.entities.entry(id) {
                Entry::Vacant(vacant) => drop(vacant.insert(new)),
                Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    if known.name.is_empty() {
                        known.name = new.name;
                    }
                    known.parent = known.parent.take().or(new.parent);
                }
            }
        }
    }

    /// Whether an object is known with all that it is in.
    pub(crate) fn has_chain(&self, id: &str) -> bool {
        self.chain(id).is_some_and(|(_, complete)| complete)
    }

    /// The name of an object, decoded; `None` where the user may not read it, or it is gone.
    pub(crate) fn name(&self, object: &ManagedObjectReference) -> Option<&str> {
        self.name_of(&object.value)
    }

    /// The same by id.
    pub(crate) fn name_of(&self, id: &str) -> Option<&str> {
        Some(self.entities.get(id)?.name.as_str()).filter(|name| !name.is_empty())
    }

    /// The id of what an object is in.
    pub(crate) fn parent_of(&self, id: &str) -> Option<&str> {
        self.entities.get(id)?.parent.as_deref()
    }

    /// The type of an object.
    pub(crate) fn type_of(&self, id: &str) -> Option<&str> {
        Some(self.entities.get(id)?.reference.type_.as_str())
    }

    /// The inventory path; `None` where the object is not known.
    pub(crate) fn path(&self, object: &ManagedObjectReference) -> Option<String> {
        self.path_of(&object.value)
    }

    /// The same by id.
    pub(crate) fn path_of(&self, id: &str) -> Option<String> {
        let (chain, complete) = self.chain(id)?;
        let parts: Vec<String> = chain.iter().rev().map(|entity| name::escape(&entity.name)).collect();
        Some(format!("{}/{}", if complete { "" } else { HIDDEN }, parts.join("/")))
    }

    /// What the object is in, outermost first.
    pub(crate) fn ancestors(&self, object: &ManagedObjectReference) -> Option<Vec<Ancestor>> {
        let (chain, _) = self.chain(&object.value)?;
        let above = chain.iter().skip(1).rev();
        Some(above.map(|entity| Ancestor { reference: entity.reference.clone(), name: entity.name.clone() }).collect())
    }

    /// The object and its parents without the root folder, and whether they lead there.
    fn chain(&self, id: &str) -> Option<(Vec<&Entity>, bool)> {
        let mut at = self.entities.get(id)?;
        let mut chain = Vec::new();
        loop {
            match &at.parent {
                // The root folder is no part of a path; anything else without a parent hides it.
                None if at.reference.type_ == "Folder" => return Some((chain, true)),
                None => {
                    chain.push(at);
                    return Some((chain, false));
                }
                Some(parent) => {
                    chain.push(at);
                    match self.entities.get(parent) {
                        Some(parent) if chain.len() <= self.entities.len() => at = parent,
                        _ => return Some((chain, false)),
                    }
                }
            }
        }
    }

    /// The names on the way from `start` down to an object, both decoded; `None` where it is not below.
    fn names_from(&self, start: &str, id: &str) -> Option<Vec<(&str, bool)>> {
        let mut names = Vec::new();
        let mut at = self.entities.get(id)?;
        loop {
            names.push((at.name.as_str(), at.reference.type_ == "Datacenter"));
            let parent = at.parent.as_deref()?;
            if parent == start {
                names.reverse();
                return Some(names);
            }
            if names.len() > self.entities.len() {
                return None;
            }
            at = self.entities.get(parent)?;
        }
    }
}

/// A glob on an inventory path.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    absolute: bool,
    segments: Vec<Segment>,
    /// The same as a glob on names, which may have a slash: `a/b*`.
    on_names: Option<Glob>,
}

#[derive(Debug, Clone)]
enum Segment {
    /// Any number of names.
    Any,
    One(Glob),
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let parts = parts(text);
        let segments = parts.iter().map(|part| match *part {
            "**" => Segment::Any,
            part => Segment::One(Glob::new(&name::decode(part))),
        });
        let absolute = text.starts_with('/');
        let on_names = (!absolute && text.contains('/')).then(|| Glob::new(text));
        Self { text: text.to_owned(), absolute, segments: segments.collect(), on_names }
    }

    /// The same without the glob: each part is the name as it is.
    pub(super) fn literal(text: &str) -> Self {
        let segments = parts(text).iter().map(|part| Segment::One(Glob::literal(&name::decode(part)))).collect();
        Self { text: text.to_owned(), absolute: text.starts_with('/'), segments, on_names: None }
    }

    /// The leading parts that are plain names, without the last part; and what is left behind them.
    fn split(&self) -> (Vec<&str>, &[Segment]) {
        let parts = parts(&self.text);
        let plain = |part: &&&str| !part.contains(['*', '?', '[', '{', '\\']);
        let count = parts.iter().take(parts.len().saturating_sub(1)).take_while(plain).count();
        (parts.into_iter().take(count).collect(), self.segments.get(count..).unwrap_or_default())
    }

    /// Whether the names on the way from the start fit; the start may be a datacenter, or the names may lead through
    /// one where the pattern is relative.
    fn fits(&self, segments: &[Segment], names: &[(&str, bool)], start: Start, wanted: &str) -> bool {
        let whole = fits(segments, names);
        match start {
            _ if whole => true,
            Start::Exact => false,
            Start::Datacenter => names
                .split_first()
                .is_some_and(|(first, rest)| folder_of(wanted) == Some(first.0) && fits(segments, rest)),
            Start::Root => {
                !self.absolute
                    && names.iter().enumerate().any(|(index, (_, datacenter))| {
                        *datacenter && names.get(index + 1..).is_some_and(|rest| fits(segments, rest))
                    })
            }
        }
    }
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect()
}

fn fits(segments: &[Segment], names: &[(&str, bool)]) -> bool {
    match (segments.split_first(), names.split_first()) {
        (None, None) => true,
        // The object itself is a name, too: `**` at the end stands for at least one.
        (Some((Segment::Any, rest)), _) => {
            (!rest.is_empty() && fits(rest, names))
                || names.split_first().is_some_and(
                    |(_, more)| {
                        if more.is_empty() { rest.is_empty() } else { fits(segments, more) }
                    },
                )
        }
        (Some((Segment::One(glob), rest)), Some(((name, _), more))) => glob.fits(name) && fits(rest, more),
        _ => false,
    }
}

/// Where a pattern starts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Start {
    /// At the root folder, or below any datacenter where it is relative.
    Root,
    /// At a datacenter, whose folders may be left out.
    Datacenter,
    /// Exactly here.
    Exact,
}

/// Reads `paths` of all objects of this type whose path fits, below `container` if the pattern is relative.
pub(super) async fn read_fitting(
    of: &'static str,
    client: &Client,
    container: Option<&ManagedObjectReference>,
    pattern: &Pattern,
    paths: &[&'static str],
) -> Result<Vec<ObjectContent>> {
    let root = &client.content().root_folder;
    let (prefix, rest) = pattern.split();
    let container = container.filter(|_| !pattern.absolute);
    let (start, kind, segments) = match container {
        Some(container) if container.type_ == "Datacenter" => {
            (container.clone(), Start::Datacenter, &*pattern.segments)
        }
        Some(container) => (container.clone(), Start::Exact, &*pattern.segments),
        None if prefix.is_empty() => (root.clone(), Start::Root, rest),
        None => match by_inventory_path(client, &prefix).await? {
            Some(start) => (start, Start::Exact, rest),
            // Relative to a datacenter, or written in another case.
            None => (root.clone(), Start::Root, &*pattern.segments),
        },
    };
    let all_the_way = kind != Start::Exact || !matches!(segments, [Segment::One(_)]);
    let mut own = vec![NAME, PARENT];
    if matches!(of, "VirtualMachine") {
        own.push(PARENT_VAPP);
    }
    own.extend(paths);
    own.sort_unstable();
    own.dedup();
    let mut prop_set = vec![property_spec(of, &own)];
    let on_the_way = CONTAINERS.iter().filter(|name| all_the_way && **name != of);
    prop_set.extend(on_the_way.map(|name| property_spec(name, [NAME, PARENT])));
    let spec = PropertyFilterSpec {
        prop_set,
        object_set: vec![ObjectSpec {
            obj: start.clone(),
            skip: Some(true),
            select_set: ways_down(&start.type_, of, all_the_way, kind == Start::Exact && prefix.contains(&"host")),
        }],
        ..Default::default()
    };
    let mut contents = read::retrieve(client, spec).await?;
    let mut ancestry = Ancestry::default();
    for content in &contents {
        ancestry.add(content);
    }
    contents.retain(|content| {
        super::inventory::is_a(&content.obj.type_, of)
            && ancestry
                .names_from(&start.value, &content.obj.value)
                .is_some_and(|names| pattern.fits(segments, &names, kind, of))
    });
    if let Some(glob) = &pattern.on_names {
        let alike = names::lookalikes(of, client, container).await?;
        let known: HashSet<&str> = contents.iter().map(|content| content.obj.value.as_str()).collect();
        let named = alike.iter().filter(|(object, name)| glob.fits(name) && !known.contains(object.value.as_str()));
        let named: Vec<_> = named.map(|(object, _)| object.clone()).collect();
        if !named.is_empty() {
            contents.extend(super::details(client, named, &own).await?);
        }
    }
    Ok(contents)
}

/// The object at exactly this path.
pub(super) async fn by_inventory_path(client: &Client, parts: &[&str]) -> Result<Option<ManagedObjectReference>> {
    let parts: Vec<String> = parts.iter().map(|part| name::encode(part)).collect();
    Ok(client.search_index()?.find_by_inventory_path(&parts.join("/")).await?)
}

/// The parts of a path.
pub(super) fn split(path: &str) -> Vec<&str> {
    parts(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitting(pattern: &str, path: &str) -> bool {
        let pattern = Pattern::new(pattern);
        let names: Vec<(&str, bool)> = parts(path).into_iter().map(|name| (name, name.starts_with("DC"))).collect();
        pattern.fits(&pattern.segments, &names, Start::Root, "VirtualMachine")
    }

    #[test]
    fn a_star_stands_for_one_name_and_two_for_any_number() {
        for (pattern, path, expected) in [
            ("/DC0/vm/prod/*", "/DC0/vm/prod/web-1", true),
            ("/DC0/vm/*", "/DC0/vm/prod/web-1", false),
            ("/*/vm/**/web-?", "/DC0/vm/web-1", true),
            ("/*/vm/**/web-?", "/DC0/vm/a/b/web-1", true),
            ("/*/vm/**/web-?", "/DC0/vm/a/b/web-10", false),
            ("/DC0/vm/**", "/DC0/vm/a/b", true),
            ("/DC0/vm/**", "/DC0/vm", false),
            ("**", "/DC0/vm/a", true),
            ("/**/a/**/b", "/x/a/b", true),
            ("/**/a/**/b", "/x/b/a", false),
            ("vm/prod/*", "/F/DC1/vm/prod/web-1", true),
            ("/vm/prod/*", "/F/DC1/vm/prod/web-1", false),
            ("/dc0/VM/Web", "/DC0/vm/web", true),
        ] {
            assert_eq!(fitting(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn pitfall_12_an_escaped_slash_belongs_to_its_name() {
        let pattern = Pattern::new("/DC0/vm/a%2fb");
        let names = [("DC0", true), ("vm", false), ("a/b", false)];
        assert!(pattern.fits(&pattern.segments, &names, Start::Root, "VirtualMachine"));
    }

    #[test]
    fn plain_names_in_front_are_looked_up_and_the_last_is_not() {
        let pattern = Pattern::new("/DC0/vm/pr*/x");
        assert_eq!(pattern.split().0, ["DC0", "vm"]);
        assert_eq!(Pattern::new("/DC0/vm/x").split().0, ["DC0", "vm"]);
        assert!(Pattern::new("**").split().0.is_empty());
    }
}
