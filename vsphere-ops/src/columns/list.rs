//! Lists of the kinds of objects of which there are few: hosts, datastores, networks and clusters. VMs, of which there are many, are kept
//! as facts of their own.

use std::collections::{HashMap, HashSet};

use vsphere_model::types::{Any, ManagedObjectReference, ObjectContent};
use vsphere_soap::object::FromAny;

use super::{Asked, Cell, Column, Groups, Needle, Others, gathered};
use crate::client::Client;
use crate::error::Result;
use crate::find::{self, label};
use crate::gaps::Gaps;
use crate::page::{ByName, Window};

/// What else a column needs beside properties of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Nothing.
    Itself,
    /// The names of what it refers to.
    Names,
    /// The names of what it refers to, and of all that these are in.
    Above,
    /// The names of switches, and the port groups of the hosts that it refers to.
    PortGroups,
    /// The definitions of custom attributes.
    Attributes,
    /// Its tags.
    Tags,
}

/// The columns of a kind of objects.
pub(crate) trait Listed: Column {
    /// The types of the API that the objects have. A property of the second and further ones is asked of these alone.
    const TYPES: &'static [&'static str];

    /// The properties of the object that it is made of.
    fn paths(self) -> &'static [&'static str];

    /// What else it is made of.
    fn beside(self) -> Beside;

    /// Whether objects of a type have a property.
    fn has(_type: &str, _path: &str) -> bool {
        true
    }

    /// The objects whose names it needs.
    fn refers_to(self, object: &Object) -> Vec<ManagedObjectReference> {
        self.paths().iter().flat_map(|path| object.references(path)).collect()
    }

    /// What it says of an object.
    fn cell(self, object: &Object, others: &Others) -> Cell;
}

/// An object as it was read.
pub(crate) struct Object {
    pub(crate) name: String,
    pub(crate) reference: ManagedObjectReference,
    values: HashMap<String, Any>,
}

impl Object {
    fn of(content: ObjectContent) -> Self {
        let name = label(&content);
        let values = content.prop_set.into_iter().map(|property| (property.name, property.val)).collect();
        Self { name, reference: content.obj, values }
    }

    /// The value of a property, where it has one.
    pub(crate) fn get<T: FromAny>(&self, path: &str) -> Option<T> {
        self.values.get(path).cloned()?.take().ok()
    }

    /// How many objects a property lists.
    pub(crate) fn count(&self, path: &str) -> Option<i64> {
        let all: Vec<ManagedObjectReference> = self.get(path)?;
        i64::try_from(all.len()).ok()
    }

    /// The objects that a property refers to.
    pub(crate) fn references(&self, path: &str) -> Vec<ManagedObjectReference> {
        let several: Option<Vec<ManagedObjectReference>> = self.get(path);
        several.unwrap_or_else(|| self.get(path).into_iter().collect())
    }

    /// The one object that a property refers to.
    pub(crate) fn reference(&self, path: &str) -> Option<String> {
        self.get::<ManagedObjectReference>(path).map(|reference| reference.value)
    }
}

/// Which objects are wanted besides, by some properties.
pub(crate) struct Also<'a> {
    pub(crate) paths: &'a [&'static str],
    pub(crate) fits: &'a (dyn Fn(&Object) -> bool + Send + Sync),
}

impl Also<'_> {
    /// All.
    pub(crate) const ALL: Also<'static> = Also { paths: &[], fits: &|_| true };
}

/// The page of a list, with what its cells are made of.
pub(crate) struct Found {
    pub(crate) window: Window<ByName>,
    pub(crate) objects: Vec<Object>,
    pub(crate) others: Others,
    pub(crate) gaps: Gaps,
}

/// Reads a page: what tells which objects are wanted and where they stand of all, in one answer, then of the page these columns and
/// those that were asked for.
pub(crate) async fn list<C: Listed>(
    client: &Client,
    container: Option<&ManagedObjectReference>,
    asked: &Asked<'_, C>,
    also: &Also<'_>,
    shown: &[C],
) -> Result<Found> {
    let deciding = asked.deciding();
    let (objects, mut others, decided) = all(client, container, &deciding, also.paths).await?;
    let fitting = objects.iter().filter(|object| fits(asked, also, object, &others)).map(|object| {
        let standing = asked.standing(&object.name, &object.reference.value, |column| column.cell(object, &others));
        (standing, object)
    });
    let key = |object: &Object| ByName::new(&object.name, &object.reference.value);
    let window = asked.window(fitting)?.map(key);
    let wanted: HashSet<&str> = window.items.iter().map(|key| key.id.as_str()).collect();
    let columns: Vec<C> = shown.iter().chain(asked.columns).copied().collect();
    let paths: Vec<&'static str> = std::iter::once("name").chain(paths(columns.iter().copied())).collect();
    let references = objects.into_iter().map(|object| object.reference);
    let references: Vec<_> = references.filter(|reference| wanted.contains(reference.value.as_str())).collect();
    let mut details = Vec::new();
    for type_ in types_of(&references) {
        let own = references.iter().filter(|reference| reference.type_ == type_).cloned();
        let paths: Vec<&'static str> = once(paths.iter().copied().filter(|path| C::has(&type_, path)));
        details.extend(find::details(client, own, &paths).await?);
    }
    // What a condition could not look at is missing in the answer, too.
    let mut gaps = if deciding.is_empty() { Gaps::default() } else { decided };
    gaps.append_others(Gaps::of(&details));
    let objects: Vec<Object> = find::in_order(&window.items, details).map(Object::of).collect();
    complete(client, &mut others, &objects, &columns).await?;
    Ok(Found { window, objects, others, gaps })
}

/// How many objects have which value in a column.
pub(crate) async fn groups<C: Listed>(
    client: &Client,
    container: Option<&ManagedObjectReference>,
    asked: &Asked<'_, C>,
    also: &Also<'_>,
    column: C,
) -> Result<Groups> {
    let columns: Vec<C> = asked.deciding().into_iter().chain(C::SUMMED.iter().copied()).chain([column]).collect();
    let (objects, others, gaps) = all(client, container, &columns, also.paths).await?;
    let fitting = objects.iter().filter(|object| fits(asked, also, object, &others));
    Ok(gathered(column, fitting, |column, object| column.cell(object, &others), None, gaps))
}

fn fits<C: Listed>(asked: &Asked<'_, C>, also: &Also<'_>, object: &Object, others: &Others) -> bool {
    let holds = |needle: &Needle| C::SEARCHED.iter().any(|column| column.cell(object, others).holds(needle));
    (also.fits)(object) && asked.fits(&object.name, holds, |column| column.cell(object, others))
}

/// Reads what these columns need of all objects.
async fn all<C: Listed>(
    client: &Client,
    container: Option<&ManagedObjectReference>,
    columns: &[C],
    also: &[&'static str],
) -> Result<(Vec<Object>, Others, Gaps)> {
    let wanted = ["name"].into_iter().chain(also.iter().copied()).chain(paths(columns.iter().copied()));
    let wanted = once(wanted);
    let of_types: Vec<(&'static str, Vec<&'static str>)> = C::TYPES
        .iter()
        .map(|type_| (*type_, wanted.iter().copied().filter(|path| C::has(type_, path)).collect()))
        .collect();
    let types: Vec<(&'static str, &[&'static str])> =
        of_types.iter().map(|(type_, paths)| (*type_, &paths[..])).collect();
    let contents = find::scan(client, container, &types).await?;
    let gaps = Gaps::of(&contents);
    // What several types select comes in one part or in several.
    let mut objects: Vec<Object> = Vec::with_capacity(contents.len());
    let mut known: HashMap<String, usize> = HashMap::new();
    for content in contents {
        match known.get(&content.obj.value).and_then(|at| objects.get_mut(*at)) {
            Some(object) => object.values.extend(Object::of(content).values),
            None => {
                known.insert(content.obj.value.clone(), objects.len());
                objects.push(Object::of(content));
            }
        }
    }
    let mut others = Others::default();
    complete(client, &mut others, &objects, columns).await?;
    Ok((objects, others, gaps))
}

/// Reads what these columns need beside these objects and is not known.
async fn complete<C: Listed>(client: &Client, others: &mut Others, objects: &[Object], columns: &[C]) -> Result<()> {
    let (mut climbed, mut named, mut grouped) = (HashSet::new(), HashSet::new(), HashSet::new());
    for column in columns {
        let references = || objects.iter().flat_map(|object| column.refers_to(object));
        match column.beside() {
            Beside::Above => climbed.extend(references().filter(|other| !others.has_chain(&other.value))),
            Beside::Names => named.extend(references().filter(|other| others.name(&other.value).is_none())),
            Beside::PortGroups => {
                let (hosts, switches): (Vec<_>, Vec<_>) = references().partition(|other| other.type_ == "HostSystem");
                grouped.extend(hosts.into_iter().filter(|host| !others.has_port_groups(&host.value)));
                named.extend(switches.into_iter().filter(|other| others.name(&other.value).is_none()));
            }
            Beside::Itself | Beside::Attributes | Beside::Tags => {}
        }
    }
    others.read(client, climbed, named).await?;
    others.read_port_groups(client, grouped).await?;
    if columns.iter().any(|column| column.beside() == Beside::Attributes) {
        others.read_attributes(client).await?;
    }
    if columns.iter().any(|column| column.beside() == Beside::Tags) {
        others.read_tags(client, objects.iter().map(|object| object.reference.clone())).await?;
    }
    Ok(())
}

fn paths<C: Listed>(columns: impl IntoIterator<Item = C>) -> Vec<&'static str> {
    columns.into_iter().flat_map(|column| column.paths()).copied().collect()
}

/// Each of these once.
fn once(paths: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut paths: Vec<&'static str> = paths.collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

fn types_of(references: &[ManagedObjectReference]) -> Vec<String> {
    let mut types: Vec<String> = references.iter().map(|reference| reference.type_.clone()).collect();
    types.sort_unstable();
    types.dedup();
    types
}
