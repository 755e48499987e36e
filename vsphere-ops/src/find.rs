//! Finding objects: all of a type, by a glob on the name, or one by name, inventory path or id.

use std::collections::HashMap;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;

use vsphere_model::types::{
    Any, ManagedObjectReference, ObjectContent, ObjectSpec, Poly, PropertyFilterSpec, PropertySpec, SelectionSpec,
    TraversalSpec,
};
use vsphere_soap::request::ManagedObject;

use crate::client::Client;
use crate::error::{Candidate, Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::name;
use crate::read::{self, Rows, Select, Values};
use crate::view::ViewGuard;

impl Client {
    /// All objects of type `M` in the inventory.
    pub fn all<M: ManagedObject>(&self) -> Query<M> {
        Query::new(self, None, None)
    }

    /// The objects of type `M` whose name fits the glob `name` (`web-*`).
    pub fn find<M: ManagedObject>(&self, name: &str) -> Query<M> {
        Query::new(self, None, Some(name.to_owned()))
    }

    /// The one object of type `M` with this name, inventory path (`/DC0/vm/prod/web-1`) or id (`vm-42`).
    ///
    /// # Errors
    /// `not_found` where there is none, `ambiguous` with the path and id of each where several have the name.
    pub async fn get<M: ManagedObject>(&self, what: &str) -> Result<Mo<M>> {
        get(self, what).await.map_err(|error| error.in_operation(format!("find {}", kind_of(M::NAME))).on(what))
    }

    /// The inventory paths of objects, in one round trip.
    ///
    /// # Errors
    /// Those of the server. An object whose parents can't be read gets the part of the path that can.
    pub async fn paths(&self, objects: &[ManagedObjectReference]) -> Result<Vec<String>> {
        paths(self, objects).await
    }
}

/// Objects of type `M` that are to be read. Nothing is sent before a [`Selection`] of it is awaited.
#[derive(Debug, Clone)]
#[must_use = "a query is sent when its selection is awaited"]
pub struct Query<M> {
    client: Client,
    container: Option<ManagedObjectReference>,
    name: Option<String>,
    object: PhantomData<fn() -> M>,
}

impl<M: ManagedObject> Query<M> {
    pub(crate) fn new(client: &Client, container: Option<ManagedObjectReference>, name: Option<String>) -> Self {
        Self { client: client.clone(), container, name, object: PhantomData }
    }

    /// Chooses the properties to read. Only these leave the server.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
    ///
    /// for (vm, (name, power)) in client.find::<VirtualMachine>("web-*").select((vm::NAME, vm::POWER_STATE)).await? {
    ///     println!("{vm} {name}: {power}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn select<S: Select<M>>(self, select: S) -> Selection<M, S> {
        Selection { query: self, select }
    }
}

/// A query with the properties to read. Awaited, it gives a row per object.
#[derive(Debug)]
#[must_use = "a selection is sent when it is awaited"]
pub struct Selection<M, S> {
    query: Query<M>,
    select: S,
}

impl<M, S> Selection<M, S>
where
    M: ManagedObject,
    S: Select<M>,
{
    async fn run(self) -> Result<Rows<(Mo<M>, S::Row)>> {
        let Self { query, select } = self;
        let mut paths = vec![NAME];
        select.paths(&mut paths);
        paths.sort_unstable();
        paths.dedup();
        let pattern = query.name.as_deref().map(name::Glob::new);
        let objects = scan(&query.client, query.container.as_ref(), &[(M::NAME, &paths)]).await?;
        let mut rows = Vec::with_capacity(objects.len());
        let mut unreadable = Vec::new();
        for content in objects {
            let name = name_of(&content);
            if !pattern.as_ref().is_none_or(|pattern| name.as_deref().is_some_and(|name| pattern.fits(name))) {
                continue;
            }
            let mut values = Values::new(content.prop_set, content.missing_set);
            match select.row(&mut values) {
                Ok(row) => rows.push((Mo::new(&query.client, &content.obj, name), row)),
                Err(missing) => unreadable.push((content.obj, missing)),
            }
        }
        Ok(Rows::new(rows, unreadable))
    }
}

impl<M, S> IntoFuture for Selection<M, S>
where
    M: ManagedObject,
    S: Select<M> + Send + Sync + 'static,
    S::Row: Send,
{
    type Output = Result<Rows<(Mo<M>, S::Row)>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

const NAME: &str = "name";

/// Reads properties of all objects of some types below `container`, or in the whole inventory.
pub(crate) async fn scan(
    client: &Client,
    container: Option<&ManagedObjectReference>,
    types: &[(&'static str, &[&'static str])],
) -> Result<Vec<ObjectContent>> {
    let names: Vec<&'static str> = types.iter().map(|(name, _)| *name).collect();
    let view = ViewGuard::open(client, container, &names).await?;
    match read::retrieve(client, through_view(&view, types)).await {
        // A view that was kept may have ended with the session that it was made in: make it anew, once.
        Err(error) if error.is_not_found() && container.is_none() => {
            view.forget(&names);
            let view = ViewGuard::open(client, container, &names).await?;
            read::retrieve(client, through_view(&view, types)).await
        }
        read => read,
    }
}

fn through_view(view: &ViewGuard, types: &[(&'static str, &[&'static str])]) -> PropertyFilterSpec {
    let traversal = TraversalSpec { type_: "ContainerView".into(), path: "view".into(), ..Default::default() };
    PropertyFilterSpec {
        prop_set: types.iter().map(|(name, paths)| property_spec(name, paths)).collect(),
        object_set: vec![ObjectSpec {
            obj: view.reference().clone(),
            skip: Some(true),
            select_set: vec![Poly::new(traversal)],
        }],
        // An object that is deleted meanwhile is left out, and does not end the read.
        report_missing_objects_in_results: Some(true),
    }
}

/// Reads properties of these objects; one that is gone is left out.
pub(crate) async fn details(
    client: &Client,
    objects: impl IntoIterator<Item = ManagedObjectReference>,
    paths: &[&'static str],
) -> Result<Vec<ObjectContent>> {
    let mut types = Vec::new();
    let mut object_set = Vec::new();
    for obj in objects {
        if !types.contains(&obj.type_) {
            types.push(obj.type_.clone());
        }
        object_set.push(ObjectSpec { obj, ..Default::default() });
    }
    if object_set.is_empty() {
        return Ok(Vec::new());
    }
    let spec = PropertyFilterSpec {
        prop_set: types.iter().map(|name| property_spec(name, paths)).collect(),
        object_set,
        report_missing_objects_in_results: Some(true),
    };
    read::retrieve(client, spec).await
}

fn property_spec(type_: &str, paths: &[&str]) -> PropertySpec {
    PropertySpec {
        type_: type_.to_owned(),
        path_set: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..Default::default()
    }
}

/// The name that the server gave for an object, decoded for people.
pub(crate) fn name_of(content: &ObjectContent) -> Option<String> {
    let property = content.prop_set.iter().find(|property| property.name == NAME)?;
    property.val.as_str().map(name::decode)
}

async fn get<M: ManagedObject>(client: &Client, what: &str) -> Result<Mo<M>> {
    let what = what.trim();
    if what.is_empty() {
        return Err(Error::new("find", ErrorKind::InvalidArgument("the name is empty".into())));
    }
    if what.contains('/') {
        return by_path(client, what).await;
    }
    let objects = scan(client, None, &[(M::NAME, &[NAME])]).await?;
    let mut found: Vec<(ManagedObjectReference, String)> = Vec::new();
    for content in objects {
        let name = name_of(&content).unwrap_or_default();
        if name == what || content.obj.value == what || content.obj.to_string() == what {
            found.push((content.obj, name));
        }
    }
    if found.len() > 1 {
        let references: Vec<ManagedObjectReference> = found.into_iter().map(|(reference, _)| reference).collect();
        let paths = paths(client, &references).await?;
        let candidates = paths
            .into_iter()
            .zip(references)
            .map(|(path, reference)| Candidate { path, id: reference.value })
            .collect();
        return Err(Error::new("find", ErrorKind::Ambiguous(candidates)));
    }
    match found.pop() {
        Some((reference, name)) => Ok(Mo::new(client, &reference, Some(name))),
        None => Err(nothing::<M>("has this name or id")),
    }
}

async fn by_path<M: ManagedObject>(client: &Client, path: &str) -> Result<Mo<M>> {
    let found = client.search_index()?.find_by_inventory_path(path.trim_matches('/')).await?;
    let reference = found.ok_or_else(|| nothing::<M>("has this path"))?;
    if reference.type_ != M::NAME && !extends(&reference.type_, M::NAME) {
        let text = format!("the object at this path is a {}, not a {}", kind_of(&reference.type_), kind_of(M::NAME));
        return Err(Error::new("find", ErrorKind::InvalidArgument(text)));
    }
    let name = path.trim_matches('/').rsplit('/').next().map(name::decode);
    Ok(Mo::new(client, &reference, name))
}

fn nothing<M: ManagedObject>(what: &str) -> Error {
    Error::new("find", ErrorKind::NotFound(format!("no {} {what}", kind_of(M::NAME))))
}

/// Whether a managed object type extends another, of those that a user names.
fn extends(type_: &str, base: &str) -> bool {
    matches!(
        (type_, base),
        ("ClusterComputeResource", "ComputeResource")
            | ("VirtualApp", "ResourcePool")
            | ("DistributedVirtualPortgroup" | "OpaqueNetwork", "Network")
            | ("VmwareDistributedVirtualSwitch", "DistributedVirtualSwitch")
            | ("StoragePod", "Folder")
    )
}

/// What administrators call a type.
pub(crate) fn kind_of(type_: &str) -> &str {
    match type_ {
        "VirtualMachine" => "virtual machine",
        "HostSystem" => "host",
        "ClusterComputeResource" => "cluster",
        "ComputeResource" => "compute resource",
        "ResourcePool" => "resource pool",
        "Datacenter" => "datacenter",
        "Datastore" => "datastore",
        "Network" => "network",
        "DistributedVirtualPortgroup" => "distributed port group",
        "Folder" => "folder",
        other => other,
    }
}

/// The inventory paths of objects, by their chains of parents.
async fn paths(client: &Client, objects: &[ManagedObjectReference]) -> Result<Vec<String>> {
    const PARENT: &str = "parent";
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
        path: "parentVApp".into(),
        skip: Some(false),
        select_set: vec![again()],
        ..Default::default()
    };
    let object_set = objects.iter().map(|obj| ObjectSpec {
        obj: obj.clone(),
        skip: Some(false),
        select_set: vec![Poly::new(up.clone()), Poly::new(through_vapp.clone())],
    });
    let spec = PropertyFilterSpec {
        prop_set: vec![
            property_spec("ManagedEntity", &[NAME, PARENT]),
            property_spec("VirtualMachine", &["parentVApp"]),
        ],
        object_set: object_set.collect(),
        report_missing_objects_in_results: Some(true),
    };
    let mut entities: HashMap<String, (String, Option<String>)> = HashMap::new();
    for content in read::retrieve(client, spec).await? {
        // Encoded as in paths: a name may hold a slash.
        let name = content.prop_set.iter().find(|p| p.name == NAME).and_then(|p| p.val.as_str()).map(name::encode);
        let parent = content.prop_set.iter().find_map(|property| match (property.name.as_str(), &property.val) {
            (PARENT | "parentVApp", Any::Ref(parent)) => Some(parent.value.clone()),
            _ => None,
        });
        let entry = entities.entry(content.obj.value).or_default();
        entry.0 = name.unwrap_or_else(|| std::mem::take(&mut entry.0));
        entry.1 = parent.or_else(|| entry.1.take());
    }
    Ok(objects.iter().map(|object| path_of(&entities, &object.value)).collect())
}

fn path_of(entities: &HashMap<String, (String, Option<String>)>, id: &str) -> String {
    let mut parts = Vec::new();
    let mut at = id;
    // A parent that can't be read ends the path. The root folder has no parent and is not part of it.
    while let Some((name, Some(parent))) = entities.get(at)
        && parts.len() < entities.len()
    {
        parts.push(name.as_str());
        at = parent;
    }
    parts.reverse();
    format!("/{}", parts.join("/"))
}

/// The names of all objects of one type, by id.
pub(crate) fn names_by_id<'a>(objects: &'a [ObjectContent], type_: &str) -> HashMap<&'a str, String> {
    let of_type = objects.iter().filter(|content| content.obj.type_ == type_);
    of_type.filter_map(|content| Some((content.obj.value.as_str(), name_of(content)?))).collect()
}
