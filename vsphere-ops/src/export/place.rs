//! What the rows of an export are made of beside their own object: where it is, and who else counts.

use std::collections::HashMap;

use vsphere_model::managed::{ClusterComputeResource, Datacenter};
use vsphere_model::types::{
    AboutInfo, HostPortGroup, ManagedObjectReference, VirtualDevice,
    VirtualEthernetCardDistributedVirtualPortBackingInfo,
};
use vsphere_soap::object::ManagedType as _;

use super::Sheet;
use crate::client::Client;
use crate::error::Result;
use crate::find::{self, Ancestry};
use crate::gaps::Gaps;
use crate::nic::network::Known;
use crate::read::Values;
use crate::vm::optional;

/// The property of a host that has its standard port groups.
const PORT_GROUPS: &str = "config.network.portgroup";

/// The names of what objects are in and refer to.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The server that is exported.
    pub(super) server: Server,
    ancestry: Ancestry,
    pub(super) networks: Known,
    /// Names of distributed switches by their UUIDs.
    switches: HashMap<String, String>,
    /// Names of standard switches by their hosts and the names of their port groups.
    standard: HashMap<(String, String), String>,
}

/// What each row says of the server.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) about: AboutInfo,
}

impl Places {
    /// Reads names and parents of all that is not a VM or a datastore, in one answer.
    pub(super) async fn read(client: &Client, sheets: &[Sheet], gaps: &mut Gaps) -> Result<Self> {
        const NAMED: &[&str] = &["name", "parent"];
        let adapters = sheets.contains(&Sheet::VNetwork);
        let host: &[&str] = if adapters { &["name", "parent", PORT_GROUPS] } else { NAMED };
        let mut types = vec![
            ("HostSystem", host),
            ("ComputeResource", NAMED),
            ("ResourcePool", NAMED),
            ("Folder", NAMED),
            ("Datacenter", NAMED),
        ];
        if adapters || sheets.contains(&Sheet::VInfo) {
            types.push(("Network", &["name", "summary"]));
        }
        if adapters && client.is_vcenter() {
            types.push(("DistributedVirtualSwitch", &["name", "uuid"]));
        }
        let contents = find::scan(client, None, &types).await?;
        gaps.append(Gaps::of(&contents));
        let mut places = Self {
            server: Server {
                name: client.transport().endpoint().host().to_owned(),
                about: client.content().about.clone(),
            },
            ancestry: Ancestry::of(client, &contents),
            ..Self::default()
        };
        let mut networks = Vec::new();
        for content in contents {
            match content.obj.type_.as_str() {
                "HostSystem" => {
                    let host = content.obj.value;
                    let mut values = Values::new(content.prop_set, content.missing_set);
                    let groups: Vec<HostPortGroup> = optional(&mut values, PORT_GROUPS).unwrap_or_default();
                    let groups = groups.into_iter().map(|group| group.spec);
                    places.standard.extend(groups.map(|spec| ((host.clone(), spec.name), spec.vswitch_name)));
                }
                "Network" | "DistributedVirtualPortgroup" | "OpaqueNetwork" => networks.push(content),
                "DistributedVirtualSwitch" | "VmwareDistributedVirtualSwitch" => {
                    let name = find::label(&content);
                    let mut values = Values::new(content.prop_set, content.missing_set);
                    if let Some(uuid) = optional::<String>(&mut values, "uuid") {
                        places.switches.insert(uuid, name);
                    }
                }
                _ => {}
            }
        }
        places.networks = Known::of(networks);
        Ok(places)
    }

    /// The name of an object; its id where the user may not read the name.
    pub(super) fn label(&self, object: &ManagedObjectReference) -> String {
        self.ancestry.name(object).unwrap_or(&object.value).to_owned()
    }

    /// Whether the user sees an object.
    pub(super) fn knows(&self, object: &ManagedObjectReference) -> bool {
        self.ancestry.type_of(&object.value).is_some()
    }

    /// The inventory path of an object that the user sees.
    pub(super) fn path(&self, object: &ManagedObjectReference) -> Option<String> {
        self.ancestry.path(object)
    }

    /// The name of the cluster that a host is in.
    pub(super) fn cluster(&self, host: &ManagedObjectReference) -> Option<String> {
        self.above(host, ClusterComputeResource::INFO.name)
    }

    /// The name of the datacenter that an object is in.
    pub(super) fn datacenter(&self, object: &ManagedObjectReference) -> Option<String> {
        self.above(object, Datacenter::INFO.name)
    }

    /// The name of the nearest object of a type that an object is in, or is.
    fn above(&self, object: &ManagedObjectReference, type_: &str) -> Option<String> {
        if object.type_ == type_ {
            return Some(self.label(object));
        }
        let above = self.ancestry.ancestors(object)?;
        let nearest = above.into_iter().rev().find(|ancestor| ancestor.reference.type_ == type_)?;
        Some(nearest.name).filter(|name| !name.is_empty()).or(Some(nearest.reference.value))
    }

    /// The name of the switch that an adapter of a VM on this host is plugged into.
    pub(super) fn switch(&self, host: Option<&ManagedObjectReference>, device: &VirtualDevice) -> Option<String> {
        let backing = device.backing.as_ref()?;
        if let Some(distributed) = backing.downcast_ref::<VirtualEthernetCardDistributedVirtualPortBackingInfo>() {
            return self.switches.get(&distributed.port.switch_uuid).cloned();
        }
        let group = self.networks.plugged(device).name?;
        self.standard.get(&(host?.value.clone(), group)).cloned()
    }
}

/// How many VMs something has.
#[derive(Debug, Clone)]
pub(super) struct Count {
    /// All, templates included.
    pub(super) total: i64,
    /// Those that run.
    pub(super) running: i64,
    /// The virtual CPUs of those.
    pub(super) cpus: i64,
    /// Their memory in MiB.
    pub(super) memory_mib: i64,
    /// What of the host's memory they use, where all say that.
    pub(super) used_mib: Option<i64>,
    pub(super) swapped_mib: Option<i64>,
    pub(super) ballooned_mib: Option<i64>,
    /// Whether the size of one is not known.
    pub(super) is_partial: bool,
}

impl Default for Count {
    fn default() -> Self {
        let none = Some(0);
        Self {
            total: 0,
            running: 0,
            cpus: 0,
            memory_mib: 0,
            used_mib: none,
            swapped_mib: none,
            ballooned_mib: none,
            is_partial: false,
        }
    }
}

/// What hosts and datastores have of VMs, by their ids.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) hosts: HashMap<String, Count>,
    pub(super) datastores: HashMap<String, Count>,
    /// Whether of a VM it is not known where it is: then nothing counts.
    pub(super) is_partial: bool,
}

impl Tally {
    /// What one of these has; `None` where that is not known.
    pub(super) fn of(&self, counts: &HashMap<String, Count>, id: &str) -> Option<Count> {
        (!self.is_partial).then(|| counts.get(id).cloned().unwrap_or_default())
    }
}
