//! The namespace manager: folders at the top of datastores that keep objects, as vSAN does.

use vsphere_model::managed;
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::{Datastore, file_manager, path, require};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Moref, Prop, World, uuid};

pub(crate) const METHODS: Methods = &[
    ("DatastoreNamespaceManager", "CreateDirectory", Handler::Write(create)),
    ("DatastoreNamespaceManager", "DeleteDirectory", Handler::Write(delete)),
    ("DatastoreNamespaceManager", "ConvertNamespacePathToUuidPath", Handler::Read(convert)),
];

/// The privilege that it takes to make and delete such a folder.
const CONFIGURE: &str = "Datastore.Config";

/// The managed object `DatastoreNamespaceManager`.
struct DatastoreNamespaceManager;

impl Managed for DatastoreNamespaceManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::DatastoreNamespaceManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, _: &str) -> Prop<'a> {
        Prop::UNSET
    }
}

pub(super) fn install(world: &mut World) {
    world.content.datastore_namespace_manager =
        Some(world.add_as("DatastoreNamespaceManager", DatastoreNamespaceManager));
}

fn create(world: &mut World, call: &Call) -> Outcome<Reply> {
    let reference: Moref = call.arg("datastore")?;
    let name: Option<String> = call.opt("displayName")?;
    require(world, call, &reference, CONFIGURE)?;
    let datastore = world.edit::<Datastore>(&reference)?;
    if datastore.capability().top_level_directory_create_supported != Some(false) {
        // Elsewhere the file manager makes them.
        return Err(Fault::not_supported("CreateDirectory on a datastore that has folders of its own"));
    }
    let name = name.unwrap_or_else(|| uuid(fastrand::u128(..)));
    let name = path::clean(&name).filter(|name| !name.is_empty() && !name.contains('/'));
    let name = name.ok_or_else(|| Fault::invalid_argument("displayName"))?;
    datastore.make_folder(&name, false)?;
    Ok(Reply::of(format!("{}/{name}", datastore.mount_path())))
}

fn delete(world: &mut World, call: &Call) -> Outcome<Reply> {
    let text: String = call.arg("datastorePath")?;
    let datacenter: Option<Moref> = call.opt("datacenter")?;
    let (reference, path) = match text.strip_prefix("/vmfs/") {
        Some(rest) => world.locate(&format!("ds:///vmfs/{rest}"), None, "datacenter")?,
        None => world.locate(&text, datacenter.as_ref(), "datacenter")?,
    };
    require(world, call, &reference, CONFIGURE)?;
    if path.is_empty() || path.contains('/') {
        return Err(path::invalid(&text));
    }
    file_manager::check_unlocked(world, &reference, &path)?;
    world.edit::<Datastore>(&reference)?.remove_tree(&path)?;
    Ok(Reply::NONE)
}

/// The folders of the simulator have one name only.
fn convert(world: &World, call: &Call) -> Outcome<Reply> {
    let url: String = call.arg("namespaceUrl")?;
    let (reference, path) = world.locate(&url, None, "datacenter")?;
    let datastore = world.get::<Datastore>(&reference)?;
    Ok(Reply::of(format!("{}{path}", datastore.url)))
}
