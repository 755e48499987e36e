//! The record of events.

use std::collections::VecDeque;

use vsphere_model::types::{
    ComputeResourceEventArgument, DatacenterEventArgument, DatastoreEventArgument, DateTime, EntityEventArgument,
    Event, HostEventArgument, NetworkEventArgument, Poly, VmEventArgument,
};
use vsphere_soap::object::Extends;

use super::{Moref, World};

/// How many events the server keeps.
const KEPT: usize = 10_000;

/// The record of events, oldest first.
#[derive(Default)]
pub(crate) struct Events {
    pub(crate) kept: VecDeque<Poly<Event>>,
    last_key: i32,
}

impl World {
    /// Records an event about an object. Its key, its time and what the object stands in are filled in here; `message` is
    /// what people read.
    pub(crate) fn post<E: Extends<Event>>(&mut self, about: &Moref, user: &str, event: E, message: impl Into<String>) {
        let mut event: Poly<Event> = Poly::new(event);
        self.events.last_key += 1;
        event.key = self.events.last_key;
        event.chain_id = event.key;
        // One that belongs to the past brings its time.
        if event.created_time == DateTime::default() {
            event.created_time = self.now();
        }
        event.user_name = user.to_owned();
        event.full_formatted_message = Some(message.into());
        self.place(about, &mut event);
        self.events.kept.push_back(event);
        if self.events.kept.len() > KEPT {
            self.events.kept.pop_front();
        }
        if let Some(manager) = self.content.event_manager.clone() {
            self.touch(&manager);
        }
    }

    /// Says in the event where the object stands.
    fn place(&self, about: &Moref, event: &mut Event) {
        let mut around = self.ancestors(about);
        // A machine's host is not above it in the inventory, and above the host is the compute resource.
        if let Some(host) = self.host_of(about) {
            around.extend(self.ancestors(&host));
        }
        for at in around {
            let Ok(entity) = self.entity(&at) else { continue };
            let base = EntityEventArgument { name: entity.name.clone(), ..Default::default() };
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
    }
}
