//! The state of the simulated server: all managed objects, who is logged in, and what has changed when.

mod entity;
mod event;
mod later;
mod prop;
mod subnet;
mod task;
mod wait;

use std::any::Any as StdAny;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use vsphere_model::types::{DateTime, ManagedObjectReference, ServiceContent, VirtualMachineConfigInfo};
use vsphere_soap::object::ManagedInfo;

pub(crate) use entity::{Entity, Status, escaped};
pub(crate) use event::{Events, Recorded};
pub(crate) use prop::Prop;
pub(crate) use subnet::{PREFIX_LENGTH, Subnets, router_of};
pub(crate) use task::{Task, TaskPlan};

use crate::core::Core;
use crate::fault::{Fault, Outcome};
use crate::model::Settings;
use crate::objects::alarm::Alarms;
use crate::objects::datastore::upload::Uploads;
use crate::objects::guest_operations::transfer::Transfers;
use crate::objects::vm::{Place, Vm};
use crate::rights::Rights;
use crate::session::{Session, Sessions};
use crate::vapi::appliance::Appliance;
use crate::vapi::tagging::Tagging;

/// A UUID of these bits, as version 4 writes them.
pub(crate) fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf000 << 64) & !(0xc000 << 48) | (0x4000 << 64) | (0x8000 << 48);
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// A reference to a managed object.
pub(crate) type Moref = ManagedObjectReference;

/// A managed object of the simulated server.
pub(crate) trait Managed: StdAny + Send + Sync {
    /// The type that clients see.
    fn info(&self) -> &'static ManagedInfo;

    /// The value of a property that the type has by its description; [`Prop::UNSET`] where it has no value.
    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a>;

    /// The same for a path into the property, such as `storage.committed` in the summary: what the path does not lead to may
    /// be unset, so that nothing is made for lists that show one field of many objects but what they show.
    fn read_for<'a>(&'a self, look: &Look<'a>, property: &str, _path: &str) -> Prop<'a> {
        self.read(look, property)
    }

    /// The part that all managed entities share, where it is one.
    fn entity(&self) -> Option<&Entity> {
        None
    }

    /// The same, to change it.
    fn entity_mut(&mut self) -> Option<&mut Entity> {
        None
    }

    /// The object that it is a part of, whose permissions are its own.
    fn belongs_to(&self) -> Option<&Moref> {
        None
    }

    /// What stands below it in the inventory, for container views.
    fn children(&self) -> Vec<Moref> {
        Vec::new()
    }
}

/// Who looks at which object. Some properties differ from caller to caller.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) world: &'a World,
    /// The object that is looked at.
    pub(crate) me: &'a Moref,
    /// The key of the caller's session.
    pub(crate) session: Option<&'a str>,
}

impl<'a> Look<'a> {
    /// The caller's session.
    pub(crate) fn session(&self) -> Option<&'a Session> {
        self.world.sessions.get(self.session?)
    }
}

/// The state of the simulated server.
pub(crate) struct World {
    /// Where clients start.
    pub(crate) content: ServiceContent,
    pub(crate) settings: Settings,
    pub(crate) sessions: Sessions,
    pub(crate) events: Events,
    /// What the configuration files of machines say that are in no inventory.
    pub(crate) shelf: HashMap<Place, Box<VirtualMachineConfigInfo>>,
    pub(crate) rights: Rights,
    pub(crate) alarms: Alarms,
    pub(crate) tagging: Tagging,
    pub(crate) appliance: Appliance,
    /// Where the files are kept that clients send.
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) subnets: Subnets,
    /// The leases that have not ended, by what their URLs have in their path.
    pub(crate) leases: HashMap<String, Moref>,
    /// Of the server's certificate; none over plain HTTP.
    pub(crate) thumbprint: Option<String>,
    /// Files that may go into guests or out of them.
    pub(crate) transfers: Transfers,
    /// By id, which is unique among all kinds.
    objects: HashMap<String, Entry>,
    /// The last number given to an id. As on a vCenter, all kinds share one count.
    last_number: u64,
    /// Counts changes.
    version: u64,
    /// Whether anything asks for more than the usual course, so that what is shared out has to be looked at.
    pub(crate) is_strained: bool,
    /// How far back from the present the clock is.
    past: chrono::TimeDelta,
    /// The tasks that have an object to themselves, by the object's id.
    busy: HashMap<String, Moref>,
    /// The tasks that are remembered, oldest first.
    tasks: VecDeque<Moref>,
    core: Weak<Core>,
}

struct Entry {
    reference: Moref,
    /// The world's version when it last changed.
    changed: u64,
    /// The session that it goes with.
    owner: Option<String>,
    object: Box<dyn Managed>,
}

impl World {
    pub(crate) fn new(settings: Settings, core: Weak<Core>) -> Self {
        Self {
            content: ServiceContent::default(),
            settings,
            sessions: Sessions::default(),
            events: Events::default(),
            shelf: HashMap::new(),
            rights: Rights::new(),
            alarms: Alarms::default(),
            tagging: Tagging::default(),
            appliance: Appliance::default(),
            uploads: Arc::default(),
            subnets: Subnets::default(),
            leases: HashMap::new(),
            thumbprint: None,
            transfers: Transfers::default(),
            objects: HashMap::new(),
            last_number: 0,
            version: 1,
            is_strained: false,
            past: chrono::TimeDelta::zero(),
            busy: HashMap::new(),
            tasks: VecDeque::new(),
            core,
        }
    }

    /// What all connections share, for work that goes on after a call.
    pub(crate) fn core(&self) -> Weak<Core> {
        self.core.clone()
    }

    /// The time on the server's clock.
    pub(crate) fn now(&self) -> DateTime {
        (chrono::Utc::now() - self.past).fixed_offset()
    }

    /// Goes so many days back from the present, to do what was done then. A model does that before the first client comes.
    pub(crate) fn travel(&mut self, days: i64) {
        self.past = chrono::TimeDelta::days(days);
    }

    /// Lets the clock go ahead.
    pub(crate) fn pass(&mut self, time: chrono::TimeDelta) {
        self.past -= time;
    }

    /// The number of changes so far.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// An id that no other object has: `vm-` gives `vm-42`.
    pub(crate) fn new_id(&mut self, kind: &str) -> String {
        self.last_number += 1;
        format!("{kind}{}", self.last_number)
    }

    /// Adds an object under a new id of this kind (`vm-`).
    pub(crate) fn add(&mut self, kind: &str, object: impl Managed) -> Moref {
        let id = self.new_id(kind);
        self.add_as(&id, object)
    }

    /// Adds an object under this id.
    pub(crate) fn add_as(&mut self, id: &str, object: impl Managed) -> Moref {
        self.insert(id, None, object)
    }

    /// Adds an object that only a session sees, and that goes with it.
    pub(crate) fn add_for_session(&mut self, session: &str, id: &str, object: impl Managed) -> Moref {
        self.insert(id, Some(session.to_owned()), object)
    }

    fn insert(&mut self, id: &str, owner: Option<String>, object: impl Managed) -> Moref {
        self.version += 1;
        let reference = Moref::new(object.info().name, id);
        self.alarms.note(&reference);
        let entry = Entry { reference: reference.clone(), changed: self.version, owner, object: Box::new(object) };
        self.objects.insert(id.to_owned(), entry);
        reference
    }

    /// Removes an object; whoever refers to it must be told by the caller.
    pub(crate) fn remove(&mut self, object: &Moref) {
        if self.objects.remove(&object.value).is_some() {
            self.version += 1;
        }
    }

    /// Removes what goes with a session.
    pub(crate) fn remove_owned_by(&mut self, session: &str) {
        self.objects.retain(|_, entry| entry.owner.as_deref() != Some(session));
    }

    /// An object, whatever it is. One that belongs to a session is there for that session alone; see [`World::visible`].
    pub(crate) fn find(&self, object: &Moref) -> Option<&dyn Managed> {
        let entry = self.objects.get(&object.value)?;
        (object.type_.is_empty()
            || entry.reference.type_ == object.type_
            || entry.object.info().is_named(&object.type_))
        .then_some(&*entry.object)
    }

    /// Whether the object is there, and not another session's own.
    pub(crate) fn visible(&self, object: &Moref, session: Option<&str>) -> bool {
        let owner = self.objects.get(&object.value).map(|entry| entry.owner.as_deref());
        self.find(object).is_some() && owner.is_some_and(|owner| owner.is_none() || owner == session)
    }

    /// The object, as a `T`.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub(crate) fn get<T: Managed>(&self, object: &Moref) -> Outcome<&T> {
        let found: Option<&dyn StdAny> = self.find(object).map(|found| found as &dyn StdAny);
        found.and_then(|any| any.downcast_ref()).ok_or_else(|| Fault::not_found(object))
    }

    /// The object, as a `T`, to change it. It counts as changed from now on.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub(crate) fn edit<T: Managed>(&mut self, object: &Moref) -> Outcome<&mut T> {
        let not_found = || Fault::not_found(object);
        let any: &mut dyn StdAny = self.edit_any(object).ok_or_else(not_found)?;
        any.downcast_mut().ok_or_else(not_found)
    }

    /// The object, to change what no other client sees. It does not count as changed.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub(crate) fn quietly_edit<T: Managed>(&mut self, object: &Moref) -> Outcome<&mut T> {
        let entry = self.objects.get_mut(&object.value);
        let any: Option<&mut dyn StdAny> = entry.map(|entry| &mut *entry.object as &mut dyn StdAny);
        any.and_then(|any| any.downcast_mut()).ok_or_else(|| Fault::not_found(object))
    }

    /// Wakes all who wait for changes.
    pub(crate) fn announce(&mut self) {
        self.version += 1;
    }

    fn edit_any(&mut self, object: &Moref) -> Option<&mut dyn Managed> {
        self.find(object)?;
        let entry = self.objects.get_mut(&object.value)?;
        self.version += 1;
        entry.changed = self.version;
        self.alarms.note(&entry.reference);
        Some(&mut *entry.object)
    }

    /// What the object shares with all managed entities.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`, also for an object that is no entity.
    pub(crate) fn entity(&self, object: &Moref) -> Outcome<&Entity> {
        self.find(object).and_then(Managed::entity).ok_or_else(|| Fault::not_found(object))
    }

    /// The same, to change it.
    ///
    /// # Errors
    /// As [`World::entity`].
    pub(crate) fn edit_entity(&mut self, object: &Moref) -> Outcome<&mut Entity> {
        self.edit_any(object).and_then(Managed::entity_mut).ok_or_else(|| Fault::not_found(object))
    }

    /// Marks an object as changed whose properties follow from another one.
    pub(crate) fn touch(&mut self, object: &Moref) {
        self.edit_any(object);
    }

    /// Whether the object changed after the world had this version.
    pub(crate) fn changed_since(&self, object: &Moref, version: u64) -> bool {
        self.objects.get(&object.value).is_some_and(|entry| entry.changed > version)
    }

    /// All objects, in no order.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Moref> {
        self.objects.values().map(|entry| &entry.reference)
    }

    /// All objects of a kind, in the order of their ids.
    pub(crate) fn all<T: Managed>(&self) -> Vec<(&Moref, &T)> {
        let of_kind = self.objects.values().filter_map(|entry| {
            let any: &dyn StdAny = &*entry.object;
            any.downcast_ref().map(|object| (&entry.reference, object))
        });
        let mut all: Vec<_> = of_kind.collect();
        all.sort_by(|(a, _), (b, _)| (a.value.len(), &a.value).cmp(&(b.value.len(), &b.value)));
        all
    }

    /// The entity and what it stands in, nearest first, up to the root folder.
    pub(crate) fn ancestors(&self, object: &Moref) -> Vec<Moref> {
        let parent = |object: &Moref| self.entity(object).ok().and_then(|entity| entity.parent.clone());
        std::iter::successors(Some(object.clone()), parent).collect()
    }

    /// The nearest `T` that the entity stands in, or is itself.
    pub(crate) fn nearest<T: Managed>(&self, object: &Moref) -> Option<(Moref, &T)> {
        self.ancestors(object).into_iter().find_map(|at| self.get(&at).ok().map(|found| (at.clone(), found)))
    }

    /// The name of an entity; empty for anything else.
    pub(crate) fn name_of(&self, object: &Moref) -> String {
        self.entity(object).map(|entity| entity.name.clone()).unwrap_or_default()
    }

    /// The host that a virtual machine runs on, or is registered with.
    pub(crate) fn host_of(&self, vm: &Moref) -> Option<Moref> {
        self.get::<Vm>(vm).ok()?.runtime.host.clone()
    }

    /// The resource pool of a virtual machine.
    pub(crate) fn pool_of(&self, vm: &Moref) -> Option<Moref> {
        self.get::<Vm>(vm).ok()?.pool.clone()
    }

    /// The reference by which the object is known, with its own type.
    pub(crate) fn reference(&self, object: &Moref) -> Option<&Moref> {
        self.objects.get(&object.value).map(|entry| &entry.reference)
    }
}
