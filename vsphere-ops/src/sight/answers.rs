//! Answers without what the rules deny.

use std::collections::{HashMap, HashSet};

use vsphere_model::types::{
    Any, Event, ManagedObjectReference, MethodFault, ObjectContent, ObjectUpdate, ObjectUpdateKind, Poly, VirtualDevice,
};
use vsphere_soap::object::{Array, DataObject, Element, Object, Slot, Type, Value, view as part_of};

use super::Level;
use super::files::{Taken, tells_files};
use super::guard::{Guard, Owner, View, is_entity};
use crate::datastore_path::DatastorePath;
use crate::error::Result;

/// The properties of a folder or datacenter that leads to something permitted: its name, and what it holds.
const WAYS: [&str; 14] = [
    "name",
    "parent",
    "parentVApp",
    "childEntity",
    "childType",
    "vmFolder",
    "hostFolder",
    "datastoreFolder",
    "networkFolder",
    "host",
    "resourcePool",
    "owner",
    "datastore",
    "network",
];

/// Types that tell of one thing, which is left out where it is about what is denied.
const RECORDS: [&str; 8] = [
    "Event",
    "EventArgument",
    "TaskInfo",
    "TaskReason",
    "AlarmState",
    "AlarmInfo",
    "Permission",
    "ClusterRecommendation",
];

/// Counts of all VMs, which cannot be counted again.
const COUNTS: [&str; 2] = ["ClusterUsageSummary", "ClusterResourceUsageSummary"];

/// Types of managed objects that belong to the server or the session, and not to objects of the inventory.
const SERVICES: [&str; 46] = [
    "AlarmManager",
    "AuthorizationManager",
    "CertificateManager",
    "ClusterProfileManager",
    "ContainerView",
    "CryptoManagerKmip",
    "CustomFieldsManager",
    "CustomizationSpecManager",
    "DatastoreNamespaceManager",
    "DiagnosticManager",
    "DistributedVirtualSwitchManager",
    "EventHistoryCollector",
    "EventManager",
    "ExtensionManager",
    "FailoverClusterConfigurator",
    "FailoverClusterManager",
    "FileManager",
    "GuestAliasManager",
    "GuestAuthManager",
    "GuestFileManager",
    "GuestOperationsManager",
    "GuestProcessManager",
    "GuestWindowsRegistryManager",
    "HealthUpdateManager",
    "HostProfileManager",
    "InventoryView",
    "IpPoolManager",
    "LicenseManager",
    "ListView",
    "LocalizationManager",
    "OptionManager",
    "OverheadMemoryManager",
    "OvfManager",
    "PerformanceManager",
    "PropertyCollector",
    "PropertyFilter",
    "SearchIndex",
    "ServiceInstance",
    "ServiceManager",
    "SessionManager",
    "StorageResourceManager",
    "TaskHistoryCollector",
    "TaskManager",
    "ViewManager",
    "VirtualDiskManager",
    "VirtualMachineProvisioningChecker",
];

/// More of them, which tell what is compatible.
const CHECKERS: [&str; 4] = [
    "VirtualMachineCompatibilityChecker",
    "VirtualMachineGuestCustomizationManager",
    "TenantTenantManager",
    "UserDirectory",
];

/// Whether objects of this type belong to the server or the session.
pub(super) fn is_service(type_: &str) -> bool {
    SERVICES.binary_search(&type_).is_ok() || CHECKERS.contains(&type_)
}

/// Looks at a value and all values inside of it, each with the name of its field.
pub(super) fn walk<'a>(value: Value<'a>, field: &str, visit: &mut dyn FnMut(&str, Value<'a>)) {
    visit(field, value);
    match value {
        Value::Data(data) => walk_fields(data, visit),
        Value::Poly(object) => walk_fields(object.data(), visit),
        Value::Any(Any::Object(object)) => walk_fields(object.data(), visit),
        Value::Any(Any::Array(array)) => array.items.iter().for_each(|item| walk(Value::Any(item), field, visit)),
        Value::Any(any @ (Any::Ref(_) | Any::String(_) | Any::Uri(_))) => visit(field, any.as_value()),
        Value::List(list) => (0..list.count()).for_each(|index| walk(list.at(index), field, visit)),
        _ => {}
    }
}

fn walk_fields<'a>(data: &'a dyn DataObject, visit: &mut dyn FnMut(&str, Value<'a>)) {
    for (index, field) in data.info().fields().iter().enumerate() {
        let value = data.get(index);
        if !matches!(value, Value::Unset) {
            walk(value, field.name, visit);
        }
    }
}

/// The types of all data objects in a value.
pub(super) fn objects(value: Value<'_>, visit: &mut dyn FnMut(&str)) {
    walk(value, "", &mut |_, value| match value {
        Value::Data(data) => visit(data.info().name()),
        Value::Poly(object) | Value::Any(Any::Object(object)) => visit(object.data().info().name()),
        _ => {}
    });
}

/// Whether a data object refers to what is denied, by itself and not in lists.
pub(super) fn mentions(view: &View, data: &dyn DataObject) -> bool {
    let fields = data.info().fields();
    (0..fields.len()).any(|index| mentioned(view, data.get(index)))
}

fn mentioned(view: &View, value: Value<'_>) -> bool {
    match value {
        Value::Ref(reference) => view.hides(reference),
        Value::String(text) => view.hides_id(text),
        Value::Data(data) => data.info().name() != "LocalizedMethodFault" && mentions(view, data),
        Value::Poly(object) => mentions(view, object.data()) || unknown(view, object),
        Value::Any(any) => mentioned_any(view, any),
        _ => false,
    }
}

fn mentioned_any(view: &View, any: &Any) -> bool {
    match any {
        Any::Object(object) => mentions(view, object.data()) || unknown(view, object),
        Any::Unknown(element) => element_mentions(view, element),
        Any::Array(_) | Any::Unset => false,
        any => mentioned(view, any.as_value()),
    }
}

/// Whether what the model does not know of an object refers to what is denied.
fn unknown(view: &View, object: &Object) -> bool {
    object.unknown().is_some_and(|unknown| unknown.elements.iter().any(|element| element_mentions(view, element)))
}

fn element_mentions(view: &View, element: &Element) -> bool {
    let refers = element
        .reference_type
        .as_deref()
        .is_some_and(|type_| view.hides(&ManagedObjectReference::new(type_, element.text.trim())));
    refers || view.hides_id(element.text.trim()) || element.children.iter().any(|child| element_mentions(view, child))
}

/// An event also names objects in texts, such as the one that it is about.
fn event_mentions(view: &View, event: &dyn DataObject) -> bool {
    let mut found = false;
    walk_fields(event, &mut |_, value| {
        found |= match value {
            Value::Ref(reference) => view.hides(reference),
            Value::String(text) => view.hides_id(text),
            Value::Any(any) => mentioned_any(view, any),
            _ => false,
        };
    });
    found
}

fn is_record(data: &dyn DataObject) -> bool {
    data.info().lineage().any(|info| RECORDS.contains(&info.name()))
}

fn is_hidden_record(view: &View, data: &dyn DataObject) -> bool {
    if part_of::<Event>(data).is_some() { event_mentions(view, data) } else { is_record(data) && mentions(view, data) }
}

/// An answer without what the rules deny.
pub(super) async fn filtered(guard: &Guard, answer: Any) -> Result<Any> {
    if matches!(answer, Any::Unset | Any::Boolean(_) | Any::Int(_) | Any::Long(_) | Any::DateTime(_)) {
        return Ok(answer);
    }
    guard.tree().catch_up().await?;
    let mut view = guard.view();
    let (mut unseen, mut strangers) = (false, HashSet::new());
    survey(Value::Any(&answer), &mut |reference, told| {
        if is_entity(&reference.type_) {
            unseen |= !reference.value.is_empty() && !view.nodes.has(&reference.value);
        } else if told && !is_service(&reference.type_) {
            strangers.insert(reference.clone());
        }
    });
    // What has come since is looked for once; what is not found then is not there.
    if unseen {
        guard.tree().refresh().await?;
        view = guard.view();
    }
    let taken = if tells_files(&answer) { Some(Taken::read(guard, &view).await?) } else { None };
    let mut sieve = Sieve { view: &view, taken, strangers: HashMap::new() };
    // What belongs to objects is told of in their properties.
    learn(guard, &view, Value::Any(&answer));
    for stranger in strangers {
        let level = guard.level_of_owner(&view, &stranger).await?;
        sieve.strangers.insert(stranger, level);
    }
    Ok(sieve.any(&answer).unwrap_or_default())
}

/// All references of a value; `true` with those of objects whose properties are told.
fn survey<'a>(value: Value<'a>, found: &mut dyn FnMut(&'a ManagedObjectReference, bool)) {
    walk(value, "", &mut |_, value| match value {
        Value::Ref(reference) => found(reference, false),
        Value::Data(data) => told_of(data).into_iter().for_each(|object| found(object, true)),
        Value::Poly(object) | Value::Any(Any::Object(object)) => {
            told_of(object.data()).into_iter().for_each(|object| found(object, true));
        }
        _ => {}
    });
}

/// The object whose properties a part of an answer tells.
fn told_of(data: &dyn DataObject) -> Option<&ManagedObjectReference> {
    match part_of::<ObjectContent>(data) {
        Some(content) => Some(&content.obj),
        None => part_of::<ObjectUpdate>(data).map(|update| &update.obj),
    }
}

/// Remembers what belongs to the objects that are told of.
fn learn(guard: &Guard, view: &View, value: Value<'_>) {
    let tell = |data: &dyn DataObject| {
        let Some(object) = told_of(data).filter(|object| is_entity(&object.type_)) else { return };
        if view.level(&object.value) != Level::Full {
            return;
        }
        walk_fields(data, &mut |_, value| {
            if let Value::Ref(reference) = value
                && !is_entity(&reference.type_)
                && !is_service(&reference.type_)
                && reference.type_ != "Task"
            {
                guard.learn(reference, Owner::Object(object.clone()));
            }
        });
    };
    walk(value, "", &mut |_, value| match value {
        Value::Data(data) => tell(data),
        Value::Poly(object) | Value::Any(Any::Object(object)) => tell(object.data()),
        _ => {}
    });
}

/// Copies values without what is denied.
struct Sieve<'a> {
    view: &'a View,
    taken: Option<Taken>,
    /// What the rules say of objects that are not in the inventory.
    strangers: HashMap<ManagedObjectReference, Level>,
}

impl Sieve<'_> {
    /// What the rules say of an object whose properties are told.
    fn level(&self, object: &ManagedObjectReference) -> Level {
        if self.view.nodes.has(&object.value) || is_entity(&object.type_) {
            return self.view.level(&object.value);
        }
        if is_service(&object.type_) {
            return Level::Full;
        }
        match self.strangers.get(object).copied().unwrap_or(Level::Denied) {
            // Alarms are mostly defined above all that is permitted.
            Level::Walk if object.type_ == "Alarm" => Level::Full,
            level => level,
        }
    }

    fn any(&self, any: &Any) -> Option<Any> {
        match any {
            Any::Ref(reference) if self.view.hides(reference) => None,
            Any::Unknown(element) if element_mentions(self.view, element) => None,
            Any::Object(object) if is_hidden_record(self.view, object.data()) || unknown(self.view, object) => None,
            Any::Object(object) if COUNTS.contains(&object.data().info().name()) => None,
            Any::Object(object) => self.object(object).map(Any::Object),
            Any::Array(array) => {
                let items = array.items.iter().filter(|item| self.keeps(Value::Any(item)));
                let items = items.filter_map(|item| self.any(item)).collect();
                Some(Any::Array(Array { item: array.item.clone(), items }))
            }
            other => Some(other.clone()),
        }
    }

    /// An object without what is denied; `None` where it is all about that.
    fn object(&self, object: &Object) -> Option<Object> {
        let mut data = object.data().info().instance();
        self.fields(object.data(), &mut *data).then(|| Object::with_unknown(data, object.unknown().cloned()))
    }

    /// Whether an item stays in its list.
    fn keeps(&self, item: Value<'_>) -> bool {
        match item {
            Value::Ref(reference) => !self.view.hides(reference),
            Value::Data(data) => self.keeps_data(data),
            Value::Poly(object) => self.keeps_data(object.data()) && !unknown(self.view, object),
            Value::Any(Any::Object(object)) => self.keeps_data(object.data()) && !unknown(self.view, object),
            Value::Any(any @ Any::Ref(_)) => self.keeps(any.as_value()),
            Value::Any(any) => !mentioned_any(self.view, any),
            _ => true,
        }
    }

    fn keeps_data(&self, data: &dyn DataObject) -> bool {
        if let Some(object) = told_of(data) {
            return self.level(object) != Level::Denied || is_leave(data);
        }
        // A disk or an adapter stays, without the datastore or network that it is on.
        if part_of::<VirtualDevice>(data).is_some() {
            return true;
        }
        match data.info().name() {
            "DynamicProperty" | "PropertyChange" | "PropertyFilterUpdate" | "HostDatastoreBrowserSearchResults" => true,
            _ => !is_hidden_record(self.view, data) && !mentions(self.view, data),
        }
    }

    /// Copies the fields of an object. Whether it says anything.
    fn fields(&self, from: &dyn DataObject, to: &mut dyn DataObject) -> bool {
        match from.info().name() {
            // Its value may be what is denied, and then there is no such property.
            "DynamicProperty" | "PropertyChange" => return self.property(from, to),
            "ObjectContent" | "ObjectUpdate" => return self.told(from, to),
            "LocalizedMethodFault" if fault_mentions(self.view, from) => {
                put_fault(to);
                return true;
            }
            "HostDatastoreBrowserSearchResults" => return self.files(from, to),
            _ => {}
        }
        for index in 0..from.info().fields().len() {
            self.field(from.get(index), to, index);
        }
        true
    }

    fn field(&self, value: Value<'_>, to: &mut dyn DataObject, index: usize) {
        let hidden = match value {
            Value::Unset => true,
            Value::Ref(reference) => self.view.hides(reference),
            Value::Data(data) => COUNTS.contains(&data.info().name()) || is_hidden_record(self.view, data),
            Value::Poly(object) => {
                COUNTS.contains(&object.data().info().name())
                    || is_hidden_record(self.view, object.data())
                    || unknown(self.view, object)
            }
            _ => false,
        };
        if !hidden {
            self.put(value, to.slot(index));
        }
    }

    fn put(&self, value: Value<'_>, slot: Slot<'_>) {
        match (value, slot) {
            (Value::List(list), Slot::Scalar(scalar)) => {
                for item in (0..list.count()).map(|index| list.at(index)).filter(|item| self.keeps(*item)) {
                    scalar.put_value(item);
                }
            }
            (value, Slot::Scalar(scalar)) => drop(scalar.put_value(value)),
            (Value::Data(from), Slot::Data(to)) => drop(self.fields(from, to)),
            (Value::List(list), Slot::List(to)) => {
                for item in (0..list.count()).map(|index| list.at(index)).filter(|item| self.keeps(*item)) {
                    if let Value::Data(from) = item
                        && !self.is_empty_property(from)
                    {
                        self.fields(from, to.push_new());
                    }
                }
            }
            (Value::Poly(object), Slot::Poly(to)) => drop(self.object(object).map(|object| to.put(object))),
            (Value::List(list), Slot::Poly(to)) => {
                for item in (0..list.count()).map(|index| list.at(index)).filter(|item| self.keeps(*item)) {
                    if let Value::Poly(object) = item {
                        drop(self.object(object).map(|object| to.put(object)));
                    }
                }
            }
            (Value::Any(any), Slot::Any(to)) => to.put(self.any(any).unwrap_or_default()),
            (Value::List(list), Slot::Any(to)) => {
                for item in (0..list.count()).map(|index| list.at(index)).filter(|item| self.keeps(*item)) {
                    if let Value::Any(any) = item {
                        to.put(self.any(any).unwrap_or_default());
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether a property of an object is one whose whole value is denied.
    fn is_empty_property(&self, data: &dyn DataObject) -> bool {
        match value_of(data) {
            Some(value) => !matches!(value, Any::Unset) && self.any(value).is_none(),
            None => false,
        }
    }

    fn property(&self, from: &dyn DataObject, to: &mut dyn DataObject) -> bool {
        for index in 0..from.info().fields().len() {
            self.field(from.get(index), to, index);
        }
        true
    }

    /// What is told of an object: all of one that is permitted, of one on the way the way alone.
    fn told(&self, from: &dyn DataObject, to: &mut dyn DataObject) -> bool {
        let Some(object) = told_of(from) else { return false };
        let level = self.level(object);
        let walks = |property: &dyn DataObject| {
            let name = property.info().index_of("name").map(|index| property.get(index));
            matches!(name, Some(Value::String(name)) if WAYS.contains(&name))
        };
        for (index, field) in from.info().fields().iter().enumerate() {
            let value = from.get(index);
            match (value, to.slot(index)) {
                (Value::List(list), Slot::List(into)) => {
                    for item in (0..list.count()).map(|index| list.at(index)) {
                        let Value::Data(data) = item else { continue };
                        let shown = match level {
                            Level::Denied => false,
                            Level::Walk => walks(data),
                            Level::Full => true,
                        };
                        if shown && !self.is_empty_property(data) {
                            self.fields(data, into.push_new());
                        }
                    }
                }
                // The object itself, also of one that has gone.
                (value, Slot::Scalar(scalar)) if matches!(field.ty, Type::Ref | Type::Enum(_)) => {
                    scalar.put_value(value);
                }
                (value, slot) => self.put(value, slot),
            }
        }
        true
    }

    /// The files of a folder without those of VMs that are denied.
    fn files(&self, from: &dyn DataObject, to: &mut dyn DataObject) -> bool {
        let text = |data: &dyn DataObject, name: &str| {
            let index = data.info().index_of(name)?;
            if let Value::String(text) = data.get(index) { Some(text.to_owned()) } else { None }
        };
        let Some(taken) = &self.taken else { return false };
        let folder = text(from, "folderPath").and_then(|folder| folder.parse::<DatastorePath>().ok());
        let Some(folder) = folder.filter(|folder| !taken.hides(folder)) else { return false };
        for (index, field) in from.info().fields().iter().enumerate() {
            match (from.get(index), to.slot(index)) {
                (Value::List(list), Slot::Poly(into)) if field.name == "file" => {
                    for item in (0..list.count()).map(|index| list.at(index)) {
                        let Value::Poly(file) = item else { continue };
                        let shown = text(file.data(), "path").is_some_and(|path| !taken.hides(&folder.child(&path)))
                            && text(file.data(), "friendlyName").is_none_or(|name| !taken.hides_name(&name));
                        if shown {
                            drop(into.put(file.clone()));
                        }
                    }
                }
                (value, _) => self.field(value, to, index),
            }
        }
        true
    }
}

/// Whether an update says that an object has gone. That of one which was never told of does no harm.
fn is_leave(data: &dyn DataObject) -> bool {
    let leaves = |update: &ObjectUpdate| update.kind == ObjectUpdateKind::Leave;
    part_of::<ObjectUpdate>(data).is_some_and(leaves)
}

/// The value of a property of an object.
fn value_of(data: &dyn DataObject) -> Option<&Any> {
    if !matches!(data.info().name(), "DynamicProperty" | "PropertyChange") {
        return None;
    }
    let index = data.info().index_of("val")?;
    if let Value::Any(value) = data.get(index) { Some(value) } else { None }
}

fn fault_mentions(view: &View, fault: &dyn DataObject) -> bool {
    let mut found = false;
    walk_fields(fault, &mut |_, value| {
        found |= match value {
            Value::Ref(reference) => view.hides(reference),
            Value::String(text) => view.hides_id(text),
            _ => false,
        };
    });
    found
}

/// The fault that stands for one about what is denied.
fn put_fault(to: &mut dyn DataObject) {
    let fields: Vec<&'static str> = to.info().fields().iter().map(|field| field.name).collect();
    for (index, name) in fields.into_iter().enumerate() {
        match (name, to.slot(index)) {
            ("fault", Slot::Poly(fault)) => {
                drop(fault.put(Poly::<MethodFault>::new(MethodFault::default()).into_object()))
            }
            ("localizedMessage", Slot::Scalar(text)) => {
                text.put_value(Value::String("it failed because of something that the policy hides"));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_of_the_server_are_sorted_and_known() {
        assert!(SERVICES.is_sorted());
        for type_ in SERVICES {
            assert!(vsphere_model::registry().managed(type_).is_some(), "{type_}");
            assert!(!is_entity(type_), "{type_}");
        }
    }
}
