//! Lists of networks.

use std::collections::BTreeSet;

use serde::Serialize;
use vsphere_model::types::{
    CustomFieldValue, DVPortgroupConfigInfo, ManagedEntityStatus, ManagedObjectReference, NetworkSummary, Poly,
};

use super::{NetworkKind, Vlan};
use crate::client::Client;
use crate::columns::{
    self, Also, Asked, Beside, Cell, Cells, Column as _, Condition, Groups, Listed, Object, Order, Others, columns,
};
use crate::error::Result;
use crate::page::{ListQuery, Page};

const SUMMARY: &str = "summary";
const HOSTS: &str = "host";
const VMS: &str = "vm";
const PARENT: &str = "parent";
const CONFIG: &str = "config";
const STATUS: &str = "overallStatus";
const CUSTOM_VALUES: &str = "customValue";

/// The type of port groups of distributed switches, which alone have a configuration of their own.
const DISTRIBUTED: &str = "DistributedVirtualPortgroup";

columns! {
    /// A column of a list of networks.
    ///
    /// ```
    /// use vsphere_ops::columns::Column;
    /// use vsphere_ops::network::NetworkColumn;
    ///
    /// assert_eq!(NetworkColumn::named("vlan")?, NetworkColumn::Vlan);
    /// # Ok::<(), vsphere_ops::Error>(())
    /// ```
    NetworkColumn {
        /// The name.
        Name = "name", Text, ["name"], Itself;
        /// The managed object id.
        Id = "id", Text, [], Itself;
        /// Who provides it: `standard`, `distributed`, `opaque`.
        Kind = "kind", Text, [], Itself;
        /// Whether any host offers it.
        Accessible = "accessible", Flag, [SUMMARY], Itself;
        /// How many VMs and templates are attached to it.
        VmCount = "vm_count", Number, [VMS], Itself;
        /// How many hosts offer it.
        HostCount = "host_count", Number, [HOSTS], Itself;
        /// The inventory path.
        Path = "path", Text, [PARENT], Above;
        /// What it tags frames with: `42`, `none`, `trunk 1-4094`, `private 7`; several where the hosts of a standard network differ.
        Vlan = "vlan", Texts, [CONFIG, HOSTS], PortGroups;
        /// The switch; several where the hosts of a standard network differ.
        Switch = "switch", Texts, [CONFIG, HOSTS], PortGroups;
        /// Whether it is the port group of a distributed switch's uplinks.
        Uplink = "uplink", Flag, [CONFIG], Itself;
        /// How many ports it has, of a distributed switch.
        Ports = "ports", Number, [CONFIG], Itself;
        /// The hosts that offer it.
        Hosts = "hosts", Texts, [HOSTS], Names;
        /// The VMs and templates that are attached to it.
        Vms = "vms", Texts, [VMS], Names;
        /// How well it is: `green`, `yellow`, `red` or `gray`.
        Status = "status", Text, [STATUS], Itself;
        /// The values of its custom attributes.
        CustomAttributes = "custom_attributes", Texts, [CUSTOM_VALUES], Attributes;
        /// Its tags, as `category:tag`.
        Tags = "tags", Texts, [], Tags;
    }
    shown [Name, Id, Kind, Accessible, VmCount, HostCount]
    searched [Name]
    summed [VmCount]
    untrusted [CustomAttributes]
}

impl NetworkColumn {
    /// What each port group of the network says: that of its distributed switch, or those of its hosts.
    fn of_port_groups(
        object: &Object,
        others: &Others,
        distributed: Option<String>,
        own: fn(&(Vlan, String)) -> String,
    ) -> Cell {
        if object.reference.type_ == DISTRIBUTED {
            return Cell::texts(distributed.into_iter().collect());
        }
        let hosts = object.references(HOSTS);
        let said = hosts.iter().filter_map(|host| others.port_group(&host.value, &object.name)).map(own);
        Cell::texts(said.collect::<BTreeSet<String>>().into_iter().collect())
    }
}

impl Listed for NetworkColumn {
    const TYPES: &'static [&'static str] = &["Network", DISTRIBUTED];

    fn paths(self) -> &'static [&'static str] {
        self.paths()
    }

    fn beside(self) -> Beside {
        self.beside()
    }

    fn has(type_: &str, path: &str) -> bool {
        path != CONFIG || type_ == DISTRIBUTED
    }

    fn refers_to(self, object: &Object) -> Vec<ManagedObjectReference> {
        match self {
            Self::Vlan | Self::Switch => match object.reference.type_.as_str() {
                DISTRIBUTED => {
                    config(object).and_then(|config| config.distributed_virtual_switch).into_iter().collect()
                }
                "Network" => object.references(HOSTS),
                _ => Vec::new(),
            },
            _ => self.paths().iter().flat_map(|path| object.references(path)).collect(),
        }
    }

    fn cell(self, object: &Object, others: &Others) -> Cell {
        let labels = |path: &str| {
            let all = object.references(path);
            others.labels(all.iter().map(|reference| reference.value.as_str()))
        };
        match self {
            Self::Name => Cell::Text(object.name.clone()),
            Self::Id => Cell::Text(object.reference.value.clone()),
            Self::Kind => Cell::Text(kind(object).word().to_owned()),
            Self::Accessible => {
                Cell::flag(object.get::<Poly<NetworkSummary>>(SUMMARY).map(|summary| summary.accessible))
            }
            Self::VmCount => Cell::number(object.count(VMS)),
            Self::HostCount => Cell::number(object.count(HOSTS)),
            Self::Path => others.path_in(object.reference(PARENT).as_deref(), &object.name),
            Self::Vlan => {
                let ports = config(object).and_then(|config| config.default_port_config);
                let vlan = ports.as_ref().and_then(Vlan::of_ports).map(|vlan| vlan.text());
                Self::of_port_groups(object, others, vlan, |(vlan, _)| vlan.text())
            }
            Self::Switch => {
                let switch = config(object).and_then(|config| config.distributed_virtual_switch);
                let switch = switch.map(|switch| others.label(&switch.value));
                Self::of_port_groups(object, others, switch, |(_, switch)| switch.clone())
            }
            Self::Uplink => Cell::flag(config(object).and_then(|config| config.uplink)),
            Self::Ports => Cell::number(config(object).map(|config| config.num_ports)),
            Self::Hosts => labels(HOSTS),
            Self::Vms => labels(VMS),
            Self::Status => Cell::text(object.get::<ManagedEntityStatus>(STATUS).map(|it| it.to_string())),
            Self::CustomAttributes => {
                others.attributes(&object.get::<Vec<Poly<CustomFieldValue>>>(CUSTOM_VALUES).unwrap_or_default())
            }
            Self::Tags => others.tags(&object.reference.value),
        }
    }
}

fn config(object: &Object) -> Option<DVPortgroupConfigInfo> {
    object.get(CONFIG)
}

fn kind(object: &Object) -> NetworkKind {
    match object.reference.type_.as_str() {
        DISTRIBUTED => NetworkKind::Distributed,
        "OpaqueNetwork" => NetworkKind::Opaque,
        _ => NetworkKind::Standard,
    }
}

/// Which networks to list, and what of them.
///
/// ```
/// use vsphere_ops::network::{NetworkColumn, NetworkQuery};
///
/// let query = NetworkQuery {
///     conditions: vec!["vlan=42".parse()?],
///     columns: vec![NetworkColumn::Vlan, NetworkColumn::Switch],
///     ..Default::default()
/// };
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct NetworkQuery {
    /// The page that is wanted, and a glob on the name.
    pub page: ListQuery,
    /// Only those with this text in their name. Case does not matter.
    pub find: Option<String>,
    /// Only those for which all of these hold.
    pub conditions: Vec<Condition<NetworkColumn>>,
    /// The order, in place of that by name.
    pub order: Option<Order<NetworkColumn>>,
    /// What is shown besides.
    pub columns: Vec<NetworkColumn>,
}

impl NetworkQuery {
    fn asked(&self) -> Asked<'_, NetworkColumn> {
        Asked::new(&self.page, self.find.as_deref(), &self.conditions, self.order, &self.columns)
    }
}

/// A network in a list.
///
/// ```
/// use vsphere_ops::network::NetworkItem;
///
/// fn unused(networks: &[NetworkItem]) -> Vec<&str> {
///     networks.iter().filter(|network| network.vm_count == Some(0)).map(|network| network.name.as_str()).collect()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetworkItem {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// Who provides it.
    pub kind: NetworkKind,
    /// Whether any host offers it.
    pub accessible: Option<bool>,
    /// How many VMs and templates are attached to it.
    pub vm_count: Option<i64>,
    /// How many hosts offer it.
    pub host_count: Option<i64>,
    /// What was asked for besides.
    #[serde(flatten)]
    pub columns: Cells<NetworkColumn>,
}

/// Lists networks, sorted by name unless another order is asked for: standard ones, distributed port groups and opaque ones.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::network::{self, NetworkColumn, NetworkQuery};
///
/// let query = NetworkQuery { columns: vec![NetworkColumn::Vlan], ..Default::default() };
/// for network in network::list(&client, &query).await?.items {
///     println!("{} {:?}: {:?} VMs", network.name, network.columns.get(NetworkColumn::Vlan), network.vm_count);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `invalid_argument` for a cursor that no list gave, and those of the server.
pub async fn list(client: &Client, query: &NetworkQuery) -> Result<Page<NetworkItem>> {
    let asked = query.asked();
    let found = columns::list(client, None, &asked, &Also::ALL, NetworkColumn::SHOWN).await?;
    let items = found.objects.iter().map(|object| {
        let cell = |column: NetworkColumn| column.cell(object, &found.others);
        NetworkItem {
            name: object.name.clone(),
            id: object.reference.value.clone(),
            kind: kind(object),
            accessible: cell(NetworkColumn::Accessible).as_flag(),
            vm_count: cell(NetworkColumn::VmCount).as_number(),
            host_count: cell(NetworkColumn::HostCount).as_number(),
            columns: asked.cells(cell),
        }
    });
    let items = items.collect();
    Ok(Page { gaps: found.gaps, ..found.window.page(items) })
}

/// How many networks have which value in a column, with how many VMs they have. The page of the query does not matter, nor do its order
/// and columns.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::network::{NetworkColumn, groups};
///
/// for group in groups(&client, &Default::default(), NetworkColumn::Vlan).await?.groups {
///     println!("VLAN {:?}: {} networks", group.value, group.count);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// As [`list`].
pub async fn groups(client: &Client, query: &NetworkQuery, column: NetworkColumn) -> Result<Groups> {
    columns::groups(client, None, &query.asked(), &Also::ALL, column).await
}
