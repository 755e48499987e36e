//! What a request touches, and whether the rules permit it.

use percent_encoding::percent_decode_str;
use vsphere_model::types::{Any, ImportSpec, ManagedObjectReference, VirtualMachineImportSpec};
use vsphere_soap::Error as WireError;
use vsphere_soap::envelope::{self, Received};
use vsphere_soap::object::{Object, Value, view as part_of};
use vsphere_soap::request::{Effect, Operation};

use super::answers::{is_service, walk};
use super::files::Taken;
use super::guard::{Guard, NO_FILE, Owner, View, absent, denied, is_entity, unchecked};
use super::{Level, tree::Nodes};
use crate::datastore_path::DatastorePath;
use crate::error::{Error, Result};
use crate::find;

/// Methods whose arguments name places that something goes to, or that it is looked up in: the other VMs there are not touched. Whatever
/// is not here touches all VMs in a container that it names.
///
/// `*` stands for the target and all arguments.
const PUTS: [(&str, &str); 38] = [
    // A new VM takes from its pool, host, datastores and networks no more than their limits give.
    ("CreateVM_Task", "*"),
    ("CreateChildVM_Task", "*"),
    ("RegisterVM_Task", "*"),
    ("ImportVApp", "*"),
    ("CloneVM_Task", "*"),
    ("InstantClone_Task", "*"),
    // The VM is what moves or changes; where to is only a place.
    ("RelocateVM_Task", "*"),
    ("MigrateVM_Task", "*"),
    ("ReconfigVM_Task", "*"),
    ("PowerOnVM_Task", "*"),
    ("MarkAsVirtualMachine", "*"),
    ("RevertToSnapshot_Task", "*"),
    ("RevertToCurrentSnapshot_Task", "*"),
    // They answer whether something could go there.
    ("CheckMigrate_Task", "*"),
    ("CheckRelocate_Task", "*"),
    ("CheckClone_Task", "*"),
    ("CheckVmConfig_Task", "*"),
    ("CheckPowerOn_Task", "*"),
    ("CheckCompatibility_Task", "*"),
    ("QueryVMotionCompatibilityEx_Task", "*"),
    ("CreateImportSpec", "*"),
    ("PlaceVm", "*"),
    // The container gets one more child.
    ("CreateFolder", "_this"),
    ("CreateResourcePool", "_this"),
    ("MoveIntoFolder_Task", "_this"),
    ("MoveIntoResourcePool", "_this"),
    // The datacenter tells in which one a datastore's name is looked up.
    ("PowerOnMultiVM_Task", "_this"),
    ("DeleteDatastoreFile_Task", "*"),
    ("MoveDatastoreFile_Task", "*"),
    ("CopyDatastoreFile_Task", "*"),
    ("MakeDirectory", "*"),
    ("CreateVirtualDisk_Task", "*"),
    ("DeleteVirtualDisk_Task", "*"),
    ("MoveVirtualDisk_Task", "*"),
    ("CopyVirtualDisk_Task", "*"),
    ("ExtendVirtualDisk_Task", "*"),
    // Tasks of a browser only look, and what they find is filtered.
    ("SearchDatastore_Task", "*"),
    ("SearchDatastoreSubFolders_Task", "*"),
];

/// Arguments that only tell where something is looked up.
const CONTEXTS: [&str; 5] =
    ["datacenter", "sourceDatacenter", "destinationDatacenter", "destDatacenter", "inventoryPath"];

/// Methods of the managers of the whole server that change something about the objects that they name, and about nothing else.
const ABOUT_OBJECTS: [&str; 28] = [
    "AcknowledgeAlarm",
    // Its address names a file.
    TICKET,
    "CopyDatastoreFile_Task",
    "CopyVirtualDisk_Task",
    "CheckClone_Task",
    "CheckCompatibility_Task",
    "CheckMigrate_Task",
    "CheckPowerOn_Task",
    "CheckRelocate_Task",
    "CheckVmConfig_Task",
    "CreateCollectorForEvents",
    "CreateCollectorForTasks",
    "CreateImportSpec",
    "CreateVirtualDisk_Task",
    "DeleteDatastoreFile_Task",
    "DeleteVirtualDisk_Task",
    "ExtendVirtualDisk_Task",
    "LogUserEvent",
    "MakeDirectory",
    "MoveDatastoreFile_Task",
    "MoveVirtualDisk_Task",
    "PowerOnMultiVM_Task",
    "QueryVMotionCompatibilityEx_Task",
    "QueryVirtualDiskUuid",
    "SetField",
    "ParseDescriptor",
    "ValidateHost",
    "CreateDescriptor",
];

const TICKET: &str = "AcquireGenericServiceTicket";

/// Methods that are withheld: what they tell or fetch cannot be judged by objects.
const WITHHELD: [&str; 5] = [
    "BrowseDiagnosticLog",
    "GenerateLogBundles_Task",
    "HttpNfcLeasePullFromUrls_Task",
    "ExecuteSimpleCommand",
    "QueryHostPatch_Task",
];

/// Managers whose answers are filtered, so that they may be asked about what is only on the way, too.
const FILTERED: [&str; 7] = [
    "AlarmManager",
    "AuthorizationManager",
    "EventManager",
    "SearchIndex",
    "TaskManager",
    "ViewManager",
    "CustomFieldsManager",
];

/// Fields whose texts are never paths of files.
const TEXTS: [&str; 8] = ["name", "newName", "annotation", "description", "displayName", "msg", "value", "deviceName"];

/// Fails unless a request may be sent.
pub(super) async fn check(guard: &Guard, operation: &Operation) -> Result<(), WireError> {
    let target = &operation.target;
    // What these answer is filtered, whatever they are asked for.
    if is_of_session(&target.type_) && !guard.tree().nodes().has(&target.value) {
        return Ok(());
    }
    let method = operation.method;
    let failed = |error: Error| unchecked(operation, &error);
    let refused = |text: &str| denied(method.name, &target.to_string(), text);
    if WITHHELD.contains(&method.name) {
        return Err(refused("it is not for clients under a policy"));
    }
    let changes = method.effect == Effect::Changes;
    if changes && is_service(&target.type_) && !ABOUT_OBJECTS.contains(&method.name) && !is_of_guests(&target.type_) {
        return Err(refused("it is about the whole server, which the policy does not allow"));
    }
    let tree = guard.tree();
    // What is changed is judged by how things are now.
    if changes { tree.refresh().await } else { tree.catch_up().await }.map_err(failed)?;
    let view = guard.view();
    let received = envelope::read_request(operation.document.as_bytes(), vsphere_model::registry(), |_| Some(method));
    let received = received.map_err(|error| refused(&format!("the policy could not be checked: {error}")))?;
    let touched = Touched { guard, view: &view, operation, changes };
    for (param, reference) in references(&received) {
        touched.check(param, &reference).await?;
    }
    if changes {
        touched.check_names(&received)?;
    }
    touched.check_files(&received).await
}

/// Whether objects of this type belong to the session alone.
fn is_of_session(type_: &str) -> bool {
    matches!(
        type_,
        "PropertyCollector"
            | "PropertyFilter"
            | "ContainerView"
            | "ListView"
            | "InventoryView"
            | "EventHistoryCollector"
            | "TaskHistoryCollector"
    )
}

/// Managers of guest operations: each names its VM.
fn is_of_guests(type_: &str) -> bool {
    matches!(type_, "GuestFileManager" | "GuestProcessManager" | "GuestAuthManager")
}

/// What a request refers to, each with the name of the argument.
fn references(received: &Received) -> Vec<(&'static str, ManagedObjectReference)> {
    let mut all = vec![("_this", received.target.clone())];
    for (param, value) in received.method.params.iter().zip(&received.arguments) {
        walk(Value::Any(value), param.name, &mut |_, value| {
            if let Value::Ref(reference) = value
                && !reference.value.is_empty()
                && !all.contains(&(param.name, reference.clone()))
            {
                all.push((param.name, reference.clone()));
            }
        });
    }
    all
}

fn puts(method: &str, param: &str) -> bool {
    PUTS.iter().any(|(of, which)| *of == method && (*which == "*" || *which == param))
}

struct Touched<'a> {
    guard: &'a Guard,
    view: &'a View,
    operation: &'a Operation,
    changes: bool,
}

impl Touched<'_> {
    fn refused(&self, target: &str, text: &str) -> WireError {
        denied(self.operation.method.name, target, text)
    }

    /// Checks one object that the request names.
    async fn check(&self, param: &str, reference: &ManagedObjectReference) -> Result<(), WireError> {
        let (view, operation) = (self.view, self.operation);
        let known = view.nodes.has(&reference.value);
        if !known && is_service(&reference.type_) {
            return Ok(());
        }
        let owner;
        let object = if known || is_entity(&reference.type_) {
            reference
        } else {
            match self.guard.owner(reference).await.map_err(|error| unchecked(operation, &error))? {
                Owner::Guard => return Ok(()),
                Owner::Object(of) => {
                    owner = of;
                    &owner
                }
                Owner::Unknown => return Err(absent(operation, reference)),
            }
        };
        match view.level(&object.value) {
            Level::Denied => return Err(absent(operation, reference)),
            Level::Walk if self.is_on_the_way(param) => return Ok(()),
            Level::Walk => {
                let name = view.nodes.name(&object.value).unwrap_or_else(|| object.value.clone());
                return Err(self.refused(&name, "the policy does not allow this on it"));
            }
            Level::Full => {}
        }
        if !self.changes || puts(operation.method.name, param) {
            return Ok(());
        }
        let whole = permits_all_in(self.guard, view, object).await.map_err(|error| unchecked(operation, &error))?;
        if whole {
            return Ok(());
        }
        let name = view.nodes.name(&object.value).unwrap_or_else(|| object.value.clone());
        Err(self.refused(&name, "this would touch VMs that the policy does not allow"))
    }

    /// Whether an argument may be an object that is only on the way to something permitted.
    fn is_on_the_way(&self, param: &str) -> bool {
        CONTEXTS.contains(&param)
            || (self.operation.method.name == "PowerOnMultiVM_Task" && param == "_this")
            || (FILTERED.contains(&self.operation.target.type_.as_str()) && !self.changes)
            || matches!(self.operation.method.name, "CreateCollectorForEvents" | "CreateCollectorForTasks")
    }

    /// Checks what an object would be called afterwards, and where it would be.
    fn check_names(&self, received: &Received) -> Result<(), WireError> {
        for (container, name) in leads_to(&self.view.nodes, received) {
            if !self.guard.would_permit(self.view, &container, &name) {
                return Err(self.refused(&name, "the policy does not allow an object of this name there"));
            }
        }
        Ok(())
    }

    /// Checks the files that the request names.
    async fn check_files(&self, received: &Received) -> Result<(), WireError> {
        let mut paths: Vec<DatastorePath> = Vec::new();
        let mut foreign = None;
        for (param, value) in received.method.params.iter().zip(&received.arguments) {
            walk(Value::Any(value), param.name, &mut |field, value| {
                let Value::String(text) = value else { return };
                if TEXTS.contains(&field) && !self.is_of_files() {
                    return;
                }
                match text.trim().parse::<DatastorePath>() {
                    Ok(path) => paths.push(path),
                    Err(_) => match at_address(text) {
                        Some(path) => paths.push(path),
                        None if is_other_path(text) => foreign = Some(text.to_owned()),
                        None => {}
                    },
                }
            });
        }
        if let Some(text) = foreign {
            return Err(self.refused(&text, "the policy allows paths of the form [datastore] folder/file alone"));
        }
        if paths.is_empty() {
            if received.method.name == TICKET {
                return Err(self.refused(&self.operation.target.to_string(), NO_FILE));
            }
            return Ok(());
        }
        let taken = Taken::read(self.guard, self.view).await.map_err(|error| unchecked(self.operation, &error))?;
        for path in paths {
            // Managers of files act on whole folders, a VM on its own file.
            let theirs = if self.is_of_files() && self.changes { taken.touches(&path) } else { taken.hides(&path) };
            if theirs || !self.view.permits_datastore(path.datastore()) {
                return Err(self.refused(&path.to_string(), NO_FILE));
            }
        }
        Ok(())
    }

    fn is_of_files(&self) -> bool {
        matches!(self.operation.target.type_.as_str(), "FileManager" | "VirtualDiskManager")
    }
}

/// Whether a text names a file of a host or datastore in another form.
fn is_other_path(text: &str) -> bool {
    let text = text.trim();
    text.starts_with('[') && text.contains(']')
        || text.starts_with("ds://")
        || text.contains("/vmfs/volumes/")
        || (text.contains("/folder/") && text.contains("dsName="))
}

/// The file at the address by which a host offers it.
fn at_address(text: &str) -> Option<DatastorePath> {
    let (path, query) = text.split_once("/folder/")?.1.split_once('?')?;
    let store = query.split('&').find_map(|part| part.strip_prefix("dsName="))?;
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
    DatastorePath::new(decoded(store)?, &decoded(path)?).ok()
}

/// Whether all VMs in a container are permitted, as it is now.
async fn permits_all_in(guard: &Guard, view: &View, container: &ManagedObjectReference) -> Result<bool> {
    if container.type_ == "VirtualMachine" {
        return Ok(true);
    }
    let nodes = &view.nodes;
    let below: Vec<&ManagedObjectReference> =
        nodes.all().filter(|object| nodes.is_in(&object.value, &container.value)).collect();
    let is_full = |object: &ManagedObjectReference| view.level(&object.value) == Level::Full;
    if below.iter().any(|object| object.type_ == "VirtualMachine" && !is_full(object)) {
        return Ok(false);
    }
    let client = guard.tree().client();
    let holds = |type_: &str, path: &'static str| {
        vsphere_model::registry().managed(type_).is_some_and(|info| info.property(path).is_some())
    };
    let with = |path: &'static str| {
        below
            .iter()
            .filter(move |object| holds(&object.type_, path))
            .map(|object| (*object).clone())
            .collect::<Vec<_>>()
    };
    let mut holders = with("vm");
    let switches = find::details(client, with("portgroup"), &["portgroup"]).await?;
    holders.extend(switches.iter().flat_map(|content| &content.prop_set).flat_map(|property| members(&property.val)));
    let contents = find::details(client, holders, &["vm"]).await?;
    let mut vms = contents.iter().flat_map(|content| &content.prop_set).flat_map(|property| members(&property.val));
    Ok(vms.all(|vm| is_full(&vm)))
}

fn members(value: &Any) -> Vec<ManagedObjectReference> {
    let mut all = Vec::new();
    walk(Value::Any(value), "", &mut |_, value| {
        if let Value::Ref(reference) = value {
            all.push(reference.clone());
        }
    });
    all
}

/// What stands for a name that the request leaves to the server.
const ANY_NAME: &str = "\u{1}";

/// Which names in which containers a request leads to.
fn leads_to(nodes: &Nodes, received: &Received) -> Vec<(String, String)> {
    let target = &received.target;
    let argument = |name: &str| {
        let at = received.method.params.iter().position(|param| param.name == name)?;
        received.arguments.get(at).filter(|value| !matches!(value, Any::Unset))
    };
    let text = |name: &str| argument(name).and_then(Any::as_str).map(str::to_owned);
    let inner = |argument_: &str, path: &[&str]| argument(argument_).and_then(|value| inside(value, path));
    let name_of = |object: &ManagedObjectReference| nodes.name(&object.value).unwrap_or_else(|| ANY_NAME.to_owned());
    let parent_of = |object: &ManagedObjectReference| {
        let chain = nodes.chain(&object.value)?;
        let above = chain.iter().rev().nth(1).map(|(id, _)| (*id).to_owned());
        Some(above.unwrap_or_else(|| nodes.root().to_owned()))
    };
    let renamed = |name: Option<String>| name.and_then(|name| Some((parent_of(target)?, name)));
    let here = |name: Option<String>| Some((target.value.clone(), name.unwrap_or_else(|| ANY_NAME.to_owned())));
    let in_folder = |folder: Option<Any>, name: String| match folder {
        Some(Any::Ref(folder)) => Some((folder.value, name)),
        _ => None,
    };
    let string = |value: Option<Any>| value.and_then(|value| value.as_str().map(str::to_owned));
    let moved = |vms_too: bool| {
        let list = argument("list").map(members).unwrap_or_default();
        let list = list.into_iter().filter(|object| vms_too || object.type_ != "VirtualMachine");
        list.map(|object| (target.value.clone(), name_of(&object))).collect::<Vec<_>>()
    };
    match received.method.name {
        "Rename_Task" => renamed(text("newName")).into_iter().collect(),
        "UpdateConfig" => renamed(text("name")).into_iter().collect(),
        "ReconfigVM_Task" => renamed(string(inner("spec", &["name"]))).into_iter().collect(),
        "ReconfigureDVPortgroup_Task" | "ReconfigureDvs_Task" => {
            renamed(string(inner("spec", &["name"]))).into_iter().collect()
        }
        "RenameDatastore" => renamed(text("newName")).into_iter().collect(),
        "CreateVM_Task" => here(string(inner("config", &["name"]))).into_iter().collect(),
        "RegisterVM_Task"
        | "CreateFolder"
        | "CreateResourcePool"
        | "CreateVApp"
        | "CreateDatacenter"
        | "CreateCluster"
        | "CreateClusterEx"
        | "CreateStoragePod"
        | "RegisterChildVM_Task" => here(text("name")).into_iter().collect(),
        "CloneVM_Task" => {
            let name = text("name").unwrap_or_else(|| ANY_NAME.to_owned());
            let given = in_folder(argument("folder").cloned(), name.clone());
            given.into_iter().chain(in_folder(inner("spec", &["location", "folder"]), name)).collect()
        }
        "InstantClone_Task" => {
            let name = string(inner("spec", &["name"])).unwrap_or_else(|| ANY_NAME.to_owned());
            let folder = in_folder(inner("spec", &["location", "folder"]), name.clone());
            folder.or_else(|| Some((parent_of(target)?, name))).into_iter().collect()
        }
        "RelocateVM_Task" => in_folder(inner("spec", &["folder"]), name_of(target)).into_iter().collect(),
        "ImportVApp" => {
            let name = argument("spec").and_then(import_name).unwrap_or_else(|| ANY_NAME.to_owned());
            match in_folder(argument("folder").cloned(), name.clone()) {
                Some(place) => vec![place],
                None => here(Some(name)).into_iter().collect(),
            }
        }
        "MoveIntoFolder_Task" => moved(true),
        "MoveIntoResourcePool" => moved(false),
        _ => Vec::new(),
    }
}

fn import_name(spec: &Any) -> Option<String> {
    let Any::Object(spec) = spec else { return None };
    debug_assert!(part_of::<ImportSpec>(spec.data()).is_some(), "it is declared so");
    part_of::<VirtualMachineImportSpec>(spec.data())?.config_spec.name.clone()
}

/// The text or reference at a path of fields inside of a value.
fn inside(value: &Any, path: &[&str]) -> Option<Any> {
    let Any::Object(object) = value else { return None };
    field(object, path)
}

fn field(object: &Object, path: &[&str]) -> Option<Any> {
    let mut data = object.data();
    let (last, steps) = path.split_last()?;
    for step in steps {
        data = match data.get(data.info().index_of(step)?) {
            Value::Data(data) => data,
            Value::Poly(object) => object.data(),
            _ => return None,
        };
    }
    match data.get(data.info().index_of(last)?) {
        Value::String(text) => Some(Any::String(text.to_owned())),
        Value::Ref(reference) => Some(Any::Ref(reference.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    #[test]
    fn a_file_is_known_by_its_address_too() {
        let path = DatastorePath::new("nvme 1", "pg-01/a&b.vmdk").unwrap();
        assert_eq!(at_address(&format!("https://esx-01{}", path.folder_url("DC0"))), Some(path));
        assert_eq!(at_address("https://esx-01/folder/a/../b?dsName=x"), None);
        assert_eq!(at_address("https://esx-01/screen?id=vm-1"), None);
    }

    #[test]
    fn the_api_has_every_method_that_is_named() {
        let named = PUTS.iter().map(|(method, _)| *method).chain(ABOUT_OBJECTS).chain(WITHHELD);
        for method in named {
            assert!(vsphere_model::registry().method(method).is_some(), "{method}");
        }
    }
}
