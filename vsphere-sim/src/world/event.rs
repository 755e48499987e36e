//! The record of events.

use std::collections::VecDeque;

use vsphere_model::types::{
    ComputeResourceEventArgument, DatacenterEventArgument, DatastoreEventArgument, DateTime, EntityEventArgument,
    Event, HostEventArgument, ManagedEntityEventArgument, NetworkEventArgument, Poly, VmEventArgument,
};
use vsphere_soap::object::Extends;

use super::{Moref, World};

/// How many events the server keeps.
const KEPT: usize = 10_000;

/// The record of events, oldest first.
#[derive(Default)]
pub(crate) struct Events {
    pub(crate) kept: VecDeque<Recorded>,
    /// The event history collectors of all sessions: what they show changes with every event.
    pub(crate) collectors: Vec<Moref>,
    last_key: i32,
    /// The chain that what happens now belongs to: that of the task whose work is done.
    chain: Option<i32>,
}

/// An event, with where it happened. The object may be elsewhere by now, or gone.
pub(crate) struct Recorded {
    pub(crate) event: Poly<Event>,
    /// The ids of the object and of all that it stood in.
    place: Box<[Box<str>]>,
    /// How many of them, after the first, it stood in directly: a folder, a host, a pool.
    parents: usize,
}

impl Recorded {
    /// Whether the event is about this object itself.
    pub(crate) fn is_about(&self, object: &Moref) -> bool {
        self.place.first().is_some_and(|id| **id == *object.value)
    }

    /// Whether it is about something that stood directly in this object.
    pub(crate) fn is_about_child_of(&self, object: &Moref) -> bool {
        self.place.iter().skip(1).take(self.parents).any(|id| **id == *object.value)
    }

    /// Whether it is about this object or something below it.
    pub(crate) fn is_within(&self, object: &Moref) -> bool {
        self.place.iter().any(|id| **id == *object.value)
    }

    /// The id of the object that it is about.
    pub(crate) fn subject(&self) -> &str {
        self.place.first().map_or("", |id| id)
    }
}

impl Events {
    /// The key of the last event.
    pub(crate) fn last_key(&self) -> i32 {
        self.last_key
    }

    /// A chain of its own for a task: the key of the event that would tell of its begin.
    pub(crate) fn new_chain(&mut self) -> i32 {
        self.last_key += 1;
        self.last_key
    }

    /// From now on what happens belongs to this chain.
    pub(crate) fn begin_chain(&mut self, chain: Option<i32>) {
        self.chain = chain;
    }

    pub(crate) fn latest(&self) -> Option<&Poly<Event>> {
        self.kept.back().map(|recorded| &recorded.event)
    }
}

impl World {
    /// Records an event about an object. Its key, its time and what the object stands in are filled in here; `message` is
    /// what people read.
    pub(crate) fn post<E: Extends<Event>>(&mut self, about: &Moref, user: &str, event: E, message: impl Into<String>) {
        self.record(about, user, Poly::new(event), message.into());
    }

    /// The same, for an event whose type is only known at run time.
    pub(crate) fn record(&mut self, about: &Moref, user: &str, mut event: Poly<Event>, message: String) {
        self.events.last_key += 1;
        event.key = self.events.last_key;
        event.chain_id = self.events.chain.unwrap_or(event.key);
        // One that belongs to the past brings its time.
        if event.created_time == DateTime::default() {
            event.created_time = self.now();
        }
        event.user_name = user.to_owned();
        event.full_formatted_message = Some(message);
        let recorded = self.with_place(about, event);
        let triggered = self.alarms_by_event(about, &recorded.event);
        self.events.kept.push_back(recorded);
        if self.events.kept.len() > KEPT {
            self.events.kept.pop_front();
        }
        let manager = self.content.event_manager.clone();
        for shows_it in manager.into_iter().chain(self.events.collectors.clone()) {
            self.touch(&shows_it);
        }
        for (alarm, status) in triggered {
            self.set_alarm(&alarm, about, status);
        }
    }

    /// An entity as events name it.
    pub(crate) fn argument(&self, entity: &Moref) -> ManagedEntityEventArgument {
        let name = self.entity(entity).map(|entity| entity.name.clone()).unwrap_or_default();
        let base = EntityEventArgument { name, ..Default::default() };
        ManagedEntityEventArgument { base, entity: entity.clone() }
    }

    /// Says in the event where the object stands.
    fn with_place(&self, about: &Moref, mut event: Poly<Event>) -> Recorded {
        let mut around = self.ancestors(about);
        // What is no entity (a manager) has no place; what is told of it belongs to the server as a whole.
        if self.entity(about).is_err() {
            around.push(self.content.root_folder.clone());
        }
        let mut parents: Vec<Moref> = around.get(1).cloned().into_iter().collect();
        // A machine's host is not above it in the inventory, and above the host is the compute resource.
        if let Some(host) = self.host_of(about) {
            around.extend(self.ancestors(&host));
            parents.push(host);
        }
        for at in &around {
            let Ok(entity) = self.entity(at) else { continue };
            let base = EntityEventArgument { name: entity.name.clone(), ..Default::default() };
            let at = at.clone();
            match at.type_.as_str() {
                "Datacenter" => {
                    event.datacenter = Some(Box::new(DatacenterEventArgument { base, datacenter: at }));
                }
                "ComputeResource" | "ClusterComputeResource" => {
                    event.compute_resource =
                        Some(Box::new(ComputeResourceEventArgument { base, compute_resource: at }));
                }
                "HostSystem" => event.host = Some(Box::new(HostEventArgument { base, host: at })),
                "VirtualMachine" => event.vm = Some(Box::new(VmEventArgument { base, vm: at })),
                "Datastore" => event.ds = Some(Box::new(DatastoreEventArgument { base, datastore: at })),
                "Network" | "DistributedVirtualPortgroup" => {
                    event.net = Some(Box::new(NetworkEventArgument { base, network: at }));
                }
                _ => {}
            }
        }
        // The pools of a machine are found by what stands in them, and have no place of their own in an event.
        if let Some(pool) = self.pool_of(about) {
            around.extend(self.ancestors(&pool));
            parents.push(pool);
        }
        let above = around.iter().skip(1).filter(|at| !parents.contains(at));
        let place = [about].into_iter().chain(&parents).chain(above);
        let mut ids: Vec<Box<str>> = Vec::new();
        for id in place.map(|at| at.value.as_str()) {
            // The folders above are met on several ways.
            if !ids.iter().any(|known| **known == *id) {
                ids.push(id.into());
            }
        }
        Recorded { event, place: ids.into_boxed_slice(), parents: parents.len() }
    }
}
