//! What columns are made of beside the objects of a list: names of other objects, custom attributes and tags.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use vsphere_model::types::{CustomFieldDef, CustomFieldValue, HostPortGroup, ManagedObjectReference, Poly};

use super::Cell;
use crate::client::Client;
use crate::custom_attribute;
use crate::error::Result;
use crate::find::{self, Ancestry};
use crate::name::decode;
use crate::network::Vlan;
use crate::read::Values;
use crate::vm::optional;

/// What columns are made of beside the objects of a list.
#[derive(Default)]
pub(crate) struct Others {
    /// The names of hosts that a mirror keeps.
    hosts: Arc<HashMap<String, String>>,
    /// Objects with their names and parents.
    known: Ancestry,
    attributes: Vec<CustomFieldDef>,
    /// The tags of objects, by their ids.
    tags: HashMap<String, Vec<String>>,
    /// The VLAN and the switch of each standard port group, by the ids of their hosts and by name.
    port_groups: HashMap<String, HashMap<String, (Vlan, String)>>,
}

impl Others {
    pub(crate) fn of_hosts(hosts: Arc<HashMap<String, String>>) -> Self {
        Self { hosts, ..Self::default() }
    }

    pub(crate) fn with(&mut self, others: Ancestry) {
        self.known.merge(others);
    }

    /// Reads the chains of parents of some objects and the names of others, in one request.
    pub(crate) async fn read(
        &mut self,
        client: &Client,
        climbed: HashSet<ManagedObjectReference>,
        named: HashSet<ManagedObjectReference>,
    ) -> Result<()> {
        if !climbed.is_empty() || !named.is_empty() {
            let climbed: Vec<ManagedObjectReference> = climbed.into_iter().collect();
            self.known.merge(Ancestry::read_with(client, &climbed, named).await?);
        }
        Ok(())
    }

    /// Reads the definitions of custom attributes, once.
    pub(crate) async fn read_attributes(&mut self, client: &Client) -> Result<()> {
        if self.attributes.is_empty() {
            self.attributes = custom_attribute::definitions(client).await?;
        }
        Ok(())
    }

    /// Reads the tags of these objects, of each once.
    pub(crate) async fn read_tags(
        &mut self,
        client: &Client,
        objects: impl Iterator<Item = ManagedObjectReference>,
    ) -> Result<()> {
        let unknown: Vec<_> = objects.filter(|object| !self.tags.contains_key(&object.value)).collect();
        if !unknown.is_empty() {
            // Few lists need them, and all would carry their state.
            let mut tags = Box::pin(async { client.tags().await?.names_of(&unknown).await }).await?;
            self.tags.extend(unknown.into_iter().map(|object| {
                let own = tags.remove(&object.value).unwrap_or_default();
                (object.value, own)
            }));
        }
        Ok(())
    }

    /// Reads the standard port groups of hosts, in one request.
    pub(crate) async fn read_port_groups(
        &mut self,
        client: &Client,
        hosts: HashSet<ManagedObjectReference>,
    ) -> Result<()> {
        const PORT_GROUPS: &str = "config.network.portgroup";
        if hosts.is_empty() {
            return Ok(());
        }
        for content in find::details(client, hosts, &[PORT_GROUPS]).await? {
            let mut values = Values::new(content.prop_set, content.missing_set);
            let groups: Vec<HostPortGroup> = optional(&mut values, PORT_GROUPS).unwrap_or_default();
            let groups = groups.into_iter().map(|group| group.spec);
            let named = groups.map(|spec| (decode(&spec.name), (Vlan::of_id(spec.vlan_id), spec.vswitch_name)));
            self.port_groups.insert(content.obj.value, named.collect());
        }
        Ok(())
    }

    pub(crate) fn has_port_groups(&self, host: &str) -> bool {
        self.port_groups.contains_key(host)
    }

    /// The VLAN and the switch of a host's port group of this name.
    pub(crate) fn port_group(&self, host: &str, name: &str) -> Option<&(Vlan, String)> {
        self.port_groups.get(host)?.get(name)
    }

    pub(crate) fn name(&self, id: &str) -> Option<&str> {
        let known = self.hosts.get(id).map(String::as_str);
        known.or_else(|| self.known.name_of(id))
    }

    /// The name of an object; its id where the user may not read the name.
    pub(crate) fn label(&self, id: &str) -> String {
        self.name(id).unwrap_or(id).to_owned()
    }

    /// The names of objects, in order.
    pub(crate) fn labels<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Cell {
        let mut names: Vec<String> = ids.map(|id| self.label(id)).collect();
        names.sort();
        Cell::texts(names)
    }

    /// The id of what an object is in, where that is known.
    pub(crate) fn parent_of(&self, id: &str) -> Option<&str> {
        self.known.parent_of(id)
    }

    /// Whether an object is known with all that it is in.
    pub(crate) fn has_chain(&self, id: &str) -> bool {
        self.known.has_chain(id)
    }

    pub(crate) fn type_of(&self, id: &str) -> Option<&str> {
        self.known.type_of(id)
    }

    /// The inventory path of an object of this name in another.
    pub(crate) fn path_in(&self, parent: Option<&str>, name: &str) -> Cell {
        let above = parent.and_then(|parent| self.known.path_of(parent));
        Cell::text(above.map(|above| format!("{}/{}", above.trim_end_matches('/'), crate::name::escape(name))))
    }

    /// The values of custom attributes, by their names.
    pub(crate) fn attributes(&self, values: &[Poly<CustomFieldValue>]) -> Cell {
        let pairs: BTreeMap<_, _> = custom_attribute::by_name(values, &self.attributes);
        if pairs.is_empty() { Cell::Nothing } else { Cell::Pairs(pairs) }
    }

    /// The tags of an object.
    pub(crate) fn tags(&self, id: &str) -> Cell {
        Cell::texts(self.tags.get(id).cloned().unwrap_or_default())
    }
}
