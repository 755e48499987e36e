//! Views: lists of objects that a session keeps on the server. A container view is always current.

use std::collections::HashSet;

use vsphere_model::managed;
use vsphere_model::registry;
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("ViewManager", "CreateContainerView", Handler::Write(create_container)),
    ("ViewManager", "CreateListView", Handler::Write(create_list)),
    ("ViewManager", "CreateListViewFromView", Handler::Write(create_list_from)),
    ("ViewManager", "CreateInventoryView", Handler::Write(create_inventory)),
    ("View", "DestroyView", Handler::Write(destroy)),
    ("ListView", "ModifyListView", Handler::Write(modify)),
    ("ListView", "ResetListView", Handler::Write(reset)),
    ("ListView", "ResetListViewFromView", Handler::Write(reset_from)),
    ("InventoryView", "OpenInventoryViewFolder", Handler::Write(open)),
    ("InventoryView", "CloseInventoryViewFolder", Handler::Write(close)),
];

/// The managed object `ViewManager`.
pub(crate) struct ViewManager;

impl Managed for ViewManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::ViewManager::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "viewList" => {
                let own = |(reference, _): &(&Moref, &View)| look.world.visible(reference, look.session);
                let views = look.world.all::<View>().into_iter().filter(own).map(|(reference, _)| reference.clone());
                Prop::made_list(views.collect())
            }
            _ => Prop::UNSET,
        }
    }
}

/// A view of any kind.
pub(crate) enum View {
    /// What is in a container, at the moment when one looks.
    Container { container: Moref, types: Vec<String>, recursive: bool },
    /// What the client put in.
    List { objects: Vec<Moref> },
    /// What is in the folders that the client opened.
    Inventory { opened: Vec<Moref> },
}

impl Managed for View {
    fn info(&self) -> &'static ManagedInfo {
        match self {
            Self::Container { .. } => managed::ContainerView::INFO,
            Self::List { .. } => managed::ListView::INFO,
            Self::Inventory { .. } => managed::InventoryView::INFO,
        }
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match (property, self) {
            ("view", _) => Prop::made_list(self.objects(look)),
            ("container", Self::Container { container, .. }) => Prop::kept(container),
            ("type", Self::Container { types, .. }) => Prop::list(types),
            ("recursive", Self::Container { recursive, .. }) => Prop::kept(recursive),
            _ => Prop::UNSET,
        }
    }
}

impl View {
    fn objects(&self, look: &Look<'_>) -> Vec<Moref> {
        let world = look.world;
        let objects = match self {
            Self::Container { container, types, recursive } => contained(world, container, types, *recursive),
            Self::List { objects } => objects.clone(),
            Self::Inventory { opened } => {
                let root = world.content.root_folder.clone();
                let below = opened.iter().flat_map(|folder| children(world, folder));
                std::iter::once(root).chain(below).collect()
            }
        };
        objects.into_iter().filter(|object| world.may_view(object, look.session)).collect()
    }
}

/// What is in a container, of these types or of any.
pub(crate) fn contained(world: &World, container: &Moref, types: &[String], recursive: bool) -> Vec<Moref> {
    let mut found = Vec::new();
    let mut seen = HashSet::from([container.value.clone()]);
    let mut stack: Vec<Moref> = children(world, container).into_iter().rev().collect();
    while let Some(object) = stack.pop() {
        let Some(managed) = world.find(&object) else { continue };
        if !seen.insert(object.value.clone()) {
            continue;
        }
        if recursive {
            stack.extend(managed.children().into_iter().rev());
        }
        if types.is_empty() || types.iter().any(|name| managed.info().is_named(name)) {
            found.push(object);
        }
    }
    found
}

fn children(world: &World, object: &Moref) -> Vec<Moref> {
    world.find(object).map(Managed::children).unwrap_or_default()
}

fn add(world: &mut World, call: &Call, view: View) -> Outcome<Reply> {
    let session = call.session()?.to_owned();
    let id = format!("session[{session}]{}", world.new_id("view-"));
    Ok(Reply::of(world.add_for_session(&session, &id, view)))
}

fn create_container(world: &mut World, call: &Call) -> Outcome<Reply> {
    let container: Moref = call.arg("container")?;
    let types: Vec<String> = call.arg("type")?;
    if !world.visible(&container, call.session.as_deref()) {
        return Err(Fault::not_found(&container));
    }
    let containers = ["Folder", "Datacenter", "ComputeResource", "ResourcePool", "HostSystem"].map(str::to_owned);
    let info = world.find(&container).map(Managed::info);
    if !info.is_some_and(|info| containers.iter().any(|name| info.is_named(name))) {
        return Err(Fault::invalid_argument("container"));
    }
    if types.iter().any(|name| registry().managed(name).is_none()) {
        return Err(Fault::invalid_argument("type"));
    }
    add(world, call, View::Container { container, types, recursive: call.arg("recursive")? })
}

fn create_list(world: &mut World, call: &Call) -> Outcome<Reply> {
    let objects = call.arg("obj")?;
    add(world, call, View::List { objects })
}

fn create_list_from(world: &mut World, call: &Call) -> Outcome<Reply> {
    let objects = objects_of(world, call, "view")?;
    add(world, call, View::List { objects })
}

fn create_inventory(world: &mut World, call: &Call) -> Outcome<Reply> {
    add(world, call, View::Inventory { opened: Vec::new() })
}

/// The objects of another view, which an argument names.
fn objects_of(world: &World, call: &Call, argument: &str) -> Outcome<Vec<Moref>> {
    let other: Moref = call.arg(argument)?;
    let look = Look { world, me: &other, session: call.session.as_deref() };
    Ok(world.get::<View>(&other)?.objects(&look))
}

fn destroy(world: &mut World, call: &Call) -> Outcome<Reply> {
    world.get::<View>(&call.target)?;
    world.remove(&call.target);
    Ok(Reply::NONE)
}

/// The objects of the list view that the call is about.
fn list<'w>(world: &'w mut World, call: &Call) -> Outcome<&'w mut Vec<Moref>> {
    match world.edit(&call.target)? {
        View::List { objects } => Ok(objects),
        _ => Err(Fault::not_found(&call.target)),
    }
}

fn modify(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (add, remove): (Vec<Moref>, Vec<Moref>) = (call.arg("add")?, call.arg("remove")?);
    let (there, unknown): (Vec<Moref>, Vec<Moref>) =
        add.into_iter().partition(|object| world.visible(object, call.session.as_deref()));
    let objects = list(world, call)?;
    objects.retain(|object| !remove.contains(object));
    for object in there {
        if !objects.contains(&object) {
            objects.push(object);
        }
    }
    Ok(Reply::list(unknown))
}

fn reset(world: &mut World, call: &Call) -> Outcome<Reply> {
    let given: Vec<Moref> = call.arg("obj")?;
    let (there, unknown): (Vec<Moref>, Vec<Moref>) =
        given.into_iter().partition(|object| world.visible(object, call.session.as_deref()));
    *list(world, call)? = there;
    Ok(Reply::list(unknown))
}

fn reset_from(world: &mut World, call: &Call) -> Outcome<Reply> {
    let objects = objects_of(world, call, "view")?;
    *list(world, call)? = objects;
    Ok(Reply::NONE)
}

/// The folders that the inventory view of the call has open.
fn opened<'w>(world: &'w mut World, call: &Call) -> Outcome<&'w mut Vec<Moref>> {
    match world.edit(&call.target)? {
        View::Inventory { opened } => Ok(opened),
        _ => Err(Fault::not_found(&call.target)),
    }
}

fn open(world: &mut World, call: &Call) -> Outcome<Reply> {
    let entities: Vec<Moref> = call.arg("entity")?;
    let (there, unknown): (Vec<Moref>, Vec<Moref>) =
        entities.into_iter().partition(|object| world.visible(object, call.session.as_deref()));
    opened(world, call)?.extend(there);
    Ok(Reply::list(unknown))
}

fn close(world: &mut World, call: &Call) -> Outcome<Reply> {
    let entities: Vec<Moref> = call.arg("entity")?;
    opened(world, call)?.retain(|folder| !entities.contains(folder));
    Ok(Reply::list(Vec::<Moref>::new()))
}
