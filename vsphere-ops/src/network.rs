//! Networks: which kind, which VLAN, on which switch, and who uses them.
//!
//! ```
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! use vsphere_ops::managed::Network;
//!
//! let network = client.get::<Network>("VM Network").await?.info().await?;
//! println!("{:?} network on {:?}, VLAN {:?}", network.kind, network.switch, network.vlan);
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! A standard network is what port groups of one name on several hosts come to: each host has its own switch and VLAN
//! for it, and nothing but care keeps these the same. Where they are not, the report says so host by host.

mod list;

use std::collections::HashMap;

use serde::Serialize;
use vsphere_model::managed::Network;
use vsphere_model::types::{
    DVPortSetting, DVPortgroupConfigInfo, HostPortGroup, ManagedObjectReference, NetworkSummary, OpaqueNetworkSummary,
    Poly, VMwareDVSPortSetting, VmwareDistributedVirtualSwitchPvlanSpec, VmwareDistributedVirtualSwitchTrunkVlanSpec,
    VmwareDistributedVirtualSwitchVlanIdSpec,
};

use crate::client::Client;
use crate::error::Result;
use crate::find::{self, label};
use crate::mo::Mo;
use crate::named::{NAMED, Named};
use crate::read::Values;
use crate::vm::optional;

pub use list::{NetworkColumn, NetworkItem, NetworkQuery, groups, list};

/// All about one network.
///
/// ```
/// use vsphere_ops::network::{NetworkInfo, Vlan};
///
/// fn is_tagged_by_the_guest(network: &NetworkInfo) -> bool {
///     matches!(network.vlan, Some(Vlan::Trunk { .. }))
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetworkInfo {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// Who provides it.
    pub kind: NetworkKind,
    /// Whether any host offers it.
    pub accessible: bool,
    /// The VLAN. Of a standard network only where it is the same on all hosts, and of an opaque one never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// The name of the switch, as with the VLAN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch: Option<String>,
    /// The managed object id of a distributed switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch_id: Option<String>,
    /// Whether it is the port group of a distributed switch's uplinks, to which no VM can be attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uplink: Option<bool>,
    /// The id that another product gave to an opaque network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opaque_id: Option<String>,
    /// Of which type it is there (`nsx.LogicalSwitch`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opaque_type: Option<String>,
    /// How many hosts offer it.
    pub host_count: usize,
    /// These hosts, at most 50.
    pub hosts: Vec<HostPort>,
    /// How many VMs are attached to it.
    pub vm_count: usize,
    /// These VMs and templates, at most 50.
    pub vms: Vec<Named>,
}

/// Who provides a network.
///
/// ```
/// use vsphere_ops::network::NetworkKind;
///
/// assert_eq!(serde_json::to_string(&NetworkKind::Distributed).unwrap(), r#""distributed""#);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NetworkKind {
    /// The standard switches of hosts.
    Standard,
    /// A distributed switch: it is one of its port groups.
    Distributed,
    /// Another product, such as NSX.
    Opaque,
}

impl NetworkKind {
    /// Its name in reports.
    fn word(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Distributed => "distributed",
            Self::Opaque => "opaque",
        }
    }
}

/// What a network tags frames with.
///
/// ```
/// use vsphere_ops::network::Vlan;
///
/// assert_eq!(Vlan::of_id(0), Vlan::Untagged);
/// assert_eq!(Vlan::of_id(42), Vlan::Id { id: 42 });
/// assert_eq!(Vlan::of_id(4095), Vlan::Trunk { ranges: vec!["0-4094".into()] });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Vlan {
    /// Nothing.
    Untagged,
    /// One VLAN.
    Id {
        /// Its id.
        id: i32,
    },
    /// What the guests tag, of these VLANs.
    Trunk {
        /// `100`, `200-299`.
        ranges: Vec<String>,
    },
    /// A secondary VLAN of a private one.
    Private {
        /// Its id.
        id: i32,
    },
}

impl Vlan {
    /// It in a word or two, as lists show it: `42`, `none`, `trunk 1-4094`, `private 7`.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Untagged => "none".to_owned(),
            Self::Id { id } => id.to_string(),
            Self::Trunk { ranges } => format!("trunk {}", ranges.join(",")),
            Self::Private { id } => format!("private {id}"),
        }
    }

    /// What the VLAN id of a standard port group means: 0 is none, and 4095 leaves the tags to the guests.
    pub fn of_id(id: i32) -> Self {
        match id {
            0 => Self::Untagged,
            4095 => Self::Trunk { ranges: vec!["0-4094".to_owned()] },
            id => Self::Id { id },
        }
    }

    /// That of the ports of a distributed port group.
    pub(crate) fn of_ports(setting: &Poly<DVPortSetting>) -> Option<Self> {
        let vlan = setting.downcast_ref::<VMwareDVSPortSetting>()?.vlan.as_ref()?;
        if let Some(trunk) = vlan.downcast_ref::<VmwareDistributedVirtualSwitchTrunkVlanSpec>() {
            let range = |range: &vsphere_model::types::NumericRange| match range.start == range.end {
                true => range.start.to_string(),
                false => format!("{}-{}", range.start, range.end),
            };
            return Some(Self::Trunk { ranges: trunk.vlan_id.iter().map(range).collect() });
        }
        if let Some(private) = vlan.downcast_ref::<VmwareDistributedVirtualSwitchPvlanSpec>() {
            return Some(Self::Private { id: private.pvlan_id });
        }
        vlan.downcast_ref::<VmwareDistributedVirtualSwitchVlanIdSpec>().map(|spec| Self::of_id(spec.vlan_id))
    }
}

/// A host that offers a network.
///
/// ```
/// use vsphere_ops::network::HostPort;
///
/// fn line(host: &HostPort) -> String {
///     format!("{}: {:?} on {:?}", host.name, host.vlan, host.switch)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostPort {
    /// The host's name.
    pub name: String,
    /// Its managed object id.
    pub id: String,
    /// The VLAN of its port group, where hosts differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// The switch of its port group, where hosts differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch: Option<String>,
}

impl Mo<Network> {
    /// Reads all about the network: a standard one, a distributed port group, or an opaque one.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::Network;
    ///
    /// let network = client.get::<Network>("dvportgroup-54").await?.info().await?;
    /// println!("{} machines on {} hosts", network.vm_count, network.host_count);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors, such as a network that is gone.
    pub async fn info(&self) -> Result<NetworkInfo> {
        let client = self.client();
        let distributed = self.reference().type_ == "DistributedVirtualPortgroup";
        let paths: &[&'static str] =
            if distributed { &["summary", "host", "vm", "config"] } else { &["summary", "host", "vm"] };
        let mut values = find::detail(client, self.reference(), paths).await?;
        let summary: Option<Poly<NetworkSummary>> = optional(&mut values, "summary");
        let hosts: Vec<ManagedObjectReference> = optional(&mut values, "host").unwrap_or_default();
        let vms: Vec<ManagedObjectReference> = optional(&mut values, "vm").unwrap_or_default();
        let opaque = summary.as_ref().and_then(|summary| summary.downcast_ref::<OpaqueNetworkSummary>());
        let mut info = NetworkInfo {
            name: self.label().to_owned(),
            id: self.id().to_owned(),
            path: self.path().await?,
            kind: match (distributed, opaque) {
                (true, _) => NetworkKind::Distributed,
                (false, Some(_)) => NetworkKind::Opaque,
                (false, None) => NetworkKind::Standard,
            },
            accessible: summary.as_ref().is_some_and(|summary| summary.accessible),
            vlan: None,
            switch: None,
            switch_id: None,
            uplink: None,
            opaque_id: opaque.map(|opaque| opaque.opaque_network_id.clone()),
            opaque_type: opaque.map(|opaque| opaque.opaque_network_type.clone()),
            host_count: hosts.len(),
            hosts: Vec::new(),
            vm_count: vms.len(),
            vms: Named::some(client, &vms).await?,
        };
        match info.kind {
            NetworkKind::Standard => info.add_port_groups(client, hosts).await?,
            _ => {
                let port = |Named { name, id }| HostPort { name, id, vlan: None, switch: None };
                info.hosts = Named::some(client, &hosts).await?.into_iter().map(port).collect();
            }
        }
        let config: Option<DVPortgroupConfigInfo> = if distributed { optional(&mut values, "config") } else { None };
        if let Some(config) = config {
            info.add_config(client, config).await?;
        }
        Ok(info)
    }
}

impl NetworkInfo {
    /// What the configuration of a distributed port group says.
    async fn add_config(&mut self, client: &Client, config: DVPortgroupConfigInfo) -> Result<()> {
        self.vlan = config.default_port_config.as_ref().and_then(Vlan::of_ports);
        self.uplink = config.uplink;
        if let Some(switch) = config.distributed_virtual_switch {
            let mut names: HashMap<String, String> = find::names(client, [switch.clone()]).await?;
            self.switch = names.remove(&switch.value);
            self.switch_id = Some(switch.value);
        }
        Ok(())
    }

    /// What each host's port group of this name says: once where all say the same, else host by host.
    async fn add_port_groups(&mut self, client: &Client, hosts: Vec<ManagedObjectReference>) -> Result<()> {
        const PORT_GROUPS: &str = "config.network.portgroup";
        if hosts.is_empty() {
            return Ok(());
        }
        for content in find::details(client, hosts, &["name", PORT_GROUPS]).await? {
            let (name, id) = (label(&content), content.obj.value);
            let mut values = Values::new(content.prop_set, content.missing_set);
            let groups: Vec<HostPortGroup> = optional(&mut values, PORT_GROUPS).unwrap_or_default();
            let own = groups.into_iter().map(|group| group.spec).find(|spec| spec.name == self.name);
            let (vlan, switch) = own.map(|spec| (Vlan::of_id(spec.vlan_id), spec.vswitch_name)).unzip();
            self.hosts.push(HostPort { name, id, vlan, switch });
        }
        self.hosts.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        // A host that does not say, being away, contradicts none.
        let said = || self.hosts.iter().filter(|host| host.vlan.is_some());
        let first = said().next().map(|host| (host.vlan.clone(), host.switch.clone()));
        if let Some((vlan, switch)) = first
            && said().all(|host| (&host.vlan, &host.switch) == (&vlan, &switch))
        {
            for host in &mut self.hosts {
                (host.vlan, host.switch) = (None, None);
            }
            (self.vlan, self.switch) = (vlan, switch);
        }
        self.hosts.truncate(NAMED);
        Ok(())
    }
}
