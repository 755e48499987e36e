//! Finding objects: all of a type, by a glob on the name or on the inventory path, or one by name, path, UUID or id.
//!
//! ```
//! use vsphere_ops::managed::{HostSystem, VirtualMachine, virtual_machine as vm};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! # let uuid = client.get::<VirtualMachine>("web-01").await?.info().await?.uuid.unwrap();
//! client.get::<VirtualMachine>("web-01").await?;                         // the only one of this name
//! client.get::<VirtualMachine>("/fra1/vm/prod/web/web-01").await?;       // by inventory path
//! client.get::<VirtualMachine>("vm-65").await?;                          // by managed object id
//! client.get::<VirtualMachine>("VirtualMachine:vm-65").await?;           // by reference
//! client.get::<VirtualMachine>(&uuid).await?;                            // by instance or BIOS UUID
//!
//! let dc = client.datacenter("fra1").await?;
//! dc.get::<VirtualMachine>("templates/tpl-ubuntu-24.04").await?;         // below /fra1/vm
//! dc.find::<VirtualMachine>("web-*").select(vm::NAME).await?;            // anywhere in the datacenter
//! dc.find::<VirtualMachine>("prod/**/web-0?").select(vm::NAME).await?;
//! client.find::<HostSystem>("/*/host/**").select(()).await?;
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! A name or path that matches several objects is an error that lists them; the first one is never taken.

pub(crate) mod inventory;
pub(crate) mod names;
mod one;
mod path;
mod selection;

use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;

use vsphere_model::managed::Datacenter;
use vsphere_model::types::{ManagedObjectReference, ObjectContent, ObjectSpec, PropertyFilterSpec};
use vsphere_soap::request::ManagedObject;

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::name;
use crate::page::ByName;
use crate::read::{self, As, Record, Select, Source, Values, property_spec};

pub(crate) use one::{ambiguous, named, no_longer};
pub use path::Ancestor;
pub(crate) use path::Ancestry;
pub use selection::Selection;

impl Client {
    /// All objects of type `M` in the inventory.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{HostSystem, host_system};
    ///
    /// for (host, name) in client.all::<HostSystem>().select(host_system::NAME).await? {
    ///     println!("{host} is {name}");
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn all<M: ManagedObject>(&self) -> Query<M> {
        Query::new(self, None, None)
    }

    /// The objects of type `M` whose name matches the glob `pattern` (`web-*`), or, if it has a slash or is `**`, whose
    /// inventory path matches: `/fra1/vm/prod/*`, `/*/vm/**/web-0?`.
    ///
    /// `*` stands for any name or part of one, `**` for any number of folders, none included. A path without a slash at
    /// its front starts at the root or below any datacenter: `vm/prod/*`. A slash in a name is written `%2f` in a path; a
    /// pattern without a slash at its front is compared with whole names, too.
    pub fn find<M: ManagedObject>(&self, pattern: &str) -> Query<M> {
        Query::new(self, None, Some(pattern))
    }

    /// The one object of type `M` with this name, inventory path (`/fra1/vm/prod/web/web-01`), id (`vm-65`),
    /// reference (`VirtualMachine:vm-65`) or, of a VM or a host, UUID.
    ///
    /// A name is taken as it is shown, also one with a slash (`a/b`), or as it stands in paths (`a%2fb`). Names are compared
    /// as they are first, then without regard to case. What is the id, UUID or path of one object and the name of another
    /// is `ambiguous`.
    ///
    /// # Errors
    /// `not_found` if there is none, `ambiguous`, with the path and id of each, if several have the name.
    pub async fn get<M: ManagedObject>(&self, what: &str) -> Result<Mo<M>> {
        one::get(self, None, what).await
    }

    /// The object of type `M` that [`get`](Self::get) finds, or without a name the only one.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::Datacenter;
    ///
    /// let datacenter = client.get_or_only::<Datacenter>(None).await?; // several would be an error that lists them
    /// println!("{}", datacenter.label());
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`get`](Self::get); without a name `not_found` if there is none, and `ambiguous` with the path and id
    /// of each where there are several.
    pub async fn get_or_only<M: ManagedObject>(&self, what: Option<&str>) -> Result<Mo<M>> {
        match what {
            Some(what) => one::get(self, None, what).await,
            None => one::only(self).await,
        }
    }

    /// Several objects like [`get`](Self::get), each with its own outcome. Names are looked up in one request.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// for found in client.get_many::<VirtualMachine>(&["web-01", "vm-64", "/fra1/vm/prod/db/pg-01"]).await? {
    ///     match found {
    ///         Ok(vm) => println!("{} is {vm}", vm.label()),
    ///         Err(error) => println!("{error}"), // the others are there all the same
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors.
    pub async fn get_many<M: ManagedObject>(&self, whats: &[&str]) -> Result<Vec<Result<Mo<M>>>> {
        one::get_many(self, None, whats).await
    }

    /// The datacenter with this name, path or id, to look below it.
    ///
    /// # Errors
    /// The errors of [`get`](Self::get).
    pub async fn datacenter(&self, what: &str) -> Result<Mo<Datacenter>> {
        self.get(what).await
    }

    /// The inventory paths of objects, in one round trip. The part of a path that the user may not see is `…` at its front; the
    /// path of a deleted object is empty.
    ///
    /// # Errors
    /// Server errors.
    pub async fn paths(&self, objects: &[ManagedObjectReference]) -> Result<Vec<String>> {
        let ancestry = Ancestry::read(self, objects).await?;
        Ok(objects.iter().map(|object| ancestry.path(object).unwrap_or_default()).collect())
    }
}

impl<M: ManagedObject> Mo<M> {
    /// All objects of type `N` below this one.
    pub fn all<N: ManagedObject>(&self) -> Query<N> {
        Query::new(self.client(), Some(self.reference().clone()), None)
    }

    /// The objects of type `N` below this one whose name, or path from here, fits the glob `pattern`.
    ///
    /// Below a datacenter a path may leave out the folder of the type: `prod/*` is `vm/prod/*` for VMs.
    pub fn find<N: ManagedObject>(&self, pattern: &str) -> Query<N> {
        Query::new(self.client(), Some(self.reference().clone()), Some(pattern))
    }

    /// The one object of type `N` below this one with this name or path from here; ids, references and UUIDs are those
    /// of the whole inventory.
    ///
    /// # Errors
    /// The errors of [`Client::get`].
    pub async fn get<N: ManagedObject>(&self, what: &str) -> Result<Mo<N>> {
        one::get(self.client(), Some(self.reference()), what).await
    }

    /// The inventory path, in one round trip.
    ///
    /// # Errors
    /// `not_found` if the object no longer exists.
    pub async fn path(&self) -> Result<String> {
        let ancestry = Ancestry::read(self.client(), std::slice::from_ref(self.reference())).await?;
        ancestry.path(self.reference()).ok_or_else(|| gone("find the path of", self))
    }

    /// The ancestors of this object, outermost first and without the root folder: datacenter, folders, cluster, in one round
    /// trip.
    ///
    /// # Errors
    /// `not_found` if the object no longer exists.
    pub async fn ancestors(&self) -> Result<Vec<Ancestor>> {
        let ancestry = Ancestry::read(self.client(), std::slice::from_ref(self.reference())).await?;
        ancestry.ancestors(self.reference()).ok_or_else(|| gone("find the ancestors of", self))
    }
}

fn gone<M: ManagedObject>(operation: &str, object: &Mo<M>) -> Error {
    Error::new(operation, ErrorKind::NotFound(no_longer(M::NAME, object.id()))).on(object.label())
}

/// A query of objects of type `M`. Nothing is sent before a [`Selection`] of it is awaited.
#[derive(Debug, Clone)]
#[must_use = "a query is sent when its selection is awaited"]
pub struct Query<M> {
    client: Client,
    container: Option<ManagedObjectReference>,
    fit: Fit,
    object: PhantomData<fn() -> M>,
}

/// Which objects below the container.
#[derive(Debug, Clone)]
enum Fit {
    All,
    Name(name::Glob),
    Path(path::Pattern),
}

impl<M: ManagedObject> Query<M> {
    fn new(client: &Client, container: Option<ManagedObjectReference>, pattern: Option<&str>) -> Self {
        let fit = match pattern {
            None => Fit::All,
            Some(pattern) if pattern.contains('/') || pattern == "**" => Fit::Path(path::Pattern::new(pattern)),
            Some(pattern) => Fit::Name(name::Glob::new(&name::decode(pattern))),
        };
        Self { client: client.clone(), container, fit, object: PhantomData }
    }

    /// Selects the properties to read. Only these leave the server, and the name if a glob needs it.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
    ///
    /// for (vm, (name, power)) in client.find::<VirtualMachine>("web-*").select((vm::NAME, vm::POWER_STATE)).await? {
    ///     println!("{vm} {name}: {power}");
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn select<S: Select<M>>(self, select: S) -> Selection<M, S> {
        Selection::new(self, select)
    }

    /// Reads into your own struct; see [`properties!`](crate::properties).
    pub fn select_as<R: Record<M>>(self) -> Selection<M, As<R>> {
        self.select(As::default())
    }
}

const NAME: &str = "name";

/// Reads properties of all objects of some types below `container`, or in the whole inventory, in one answer where the server
/// gives it.
pub(crate) async fn scan(
    client: &Client,
    container: Option<&ManagedObjectReference>,
    types: &[(&'static str, &[&'static str])],
) -> Result<Vec<ObjectContent>> {
    let types: Vec<_> =
        types.iter().map(|(name, paths)| (*name, paths.iter().map(|path| (*path).to_owned()).collect())).collect();
    read::at_once(client, Source::View { container: container.cloned(), types }).await
}

/// Reads properties of these objects; one that is gone is left out.
pub(crate) async fn details(
    client: &Client,
    objects: impl IntoIterator<Item = ManagedObjectReference>,
    paths: &[&'static str],
) -> Result<Vec<ObjectContent>> {
    let spec = objects_spec(objects, paths);
    if spec.object_set.len() > PAGE {
        read::at_once(client, Source::Filter(spec)).await
    } else {
        read::retrieve(client, spec).await
    }
}

/// How many objects servers give in one page.
const PAGE: usize = 100;

/// The names of these objects by id. Of one that is gone, or whose name the user may not read, there is none.
pub(crate) async fn names(
    client: &Client,
    objects: impl IntoIterator<Item = ManagedObjectReference>,
) -> Result<HashMap<String, String>> {
    let contents = details(client, objects, &[NAME]).await?;
    Ok(contents
        .into_iter()
        .filter_map(|content| Some((name_of(&content)?, content.obj.value)))
        .map(|(n, id)| (id, n))
        .collect())
}

/// Properties of one object, whatever its type.
///
/// # Errors
/// `not_found` if it is gone.
pub(crate) async fn detail(client: &Client, object: &ManagedObjectReference, paths: &[&'static str]) -> Result<Values> {
    let content = details(client, [object.clone()], paths).await?.pop();
    let gone = || Error::new("read", ErrorKind::NotFound(no_longer(&object.type_, &object.value)));
    content.map(|content| Values::new(content.prop_set, content.missing_set)).ok_or_else(gone)
}

/// Properties of these objects, whatever their types; one that is gone is left out. An object may be given several times, by
/// the devices of a VM for example; a read names it once.
fn objects_spec(
    objects: impl IntoIterator<Item = ManagedObjectReference>,
    paths: &[&'static str],
) -> PropertyFilterSpec {
    let mut types = Vec::new();
    let mut object_set = Vec::new();
    let mut named = HashSet::new();
    for obj in objects {
        if !named.insert(obj.clone()) {
            continue;
        }
        if !types.contains(&obj.type_) {
            types.push(obj.type_.clone());
        }
        object_set.push(ObjectSpec { obj, ..Default::default() });
    }
    PropertyFilterSpec {
        prop_set: types.iter().map(|name| property_spec(name, paths)).collect(),
        object_set,
        report_missing_objects_in_results: Some(true),
    }
}

/// The name that the server gave for an object, decoded for people.
pub(crate) fn name_of(content: &ObjectContent) -> Option<String> {
    let property = content.prop_set.iter().find(|property| property.name == NAME)?;
    property.val.as_str().map(name::decode)
}

/// The name of an object in lists; its id where the user may not read the name.
pub(crate) fn label(content: &ObjectContent) -> String {
    name_of(content).unwrap_or_else(|| content.obj.value.clone())
}

impl ByName {
    /// Where an object stands in a list by name.
    pub(crate) fn of(content: &ObjectContent) -> Self {
        Self { name: label(content), id: content.obj.value.clone() }
    }
}

/// The objects of a page in its order. One that went meanwhile is left out.
pub(crate) fn in_order(keys: &[ByName], contents: Vec<ObjectContent>) -> impl Iterator<Item = ObjectContent> {
    let mut by_id: HashMap<String, ObjectContent> =
        contents.into_iter().map(|content| (content.obj.value.clone(), content)).collect();
    keys.iter().filter_map(move |key| by_id.remove(&key.id))
}
