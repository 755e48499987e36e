//! Network adapters of virtual machines: what they are plugged into, and changes of that.
//!
//! ```
//! use vsphere_ops::nic::{self, NewNic, NicQuery, NicType};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! for nic in nic::list(&client, &NicQuery::of("web-01")).await?.items {
//!     println!("{} {:?} in {:?}", nic.label, nic.mac, nic.network);
//! }
//! let added = nic::add(&client, "web-01", &NewNic { kind: NicType::E1000e, ..NewNic::of("prod-web") }).await?;
//! nic::connect_to(&client, "web-01", &added.nic.label, "prod-db").await?;
//! nic::disconnect(&client, "web-01", &added.nic.key.to_string()).await?;
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! An adapter is meant by its label, in whatever case, or by its key. A network is meant by its name, path or id, and has
//! to be one of the machine's host; whether it is one of a standard switch, a distributed port group or an opaque one is
//! found out. What the guest says, its addresses, is not to be trusted.

mod mac;
pub(crate) mod network;

use serde::{Deserialize, Serialize};
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{
    GuestNicInfo, Poly, VirtualDevice, VirtualDeviceConnectInfo, VirtualE1000, VirtualE1000e, VirtualEthernetCard,
    VirtualPCNet32, VirtualSriovEthernetCard, VirtualVmxnet2, VirtualVmxnet3,
};

pub use mac::{MacAddress, MacChange, mac_change, set_mac};

use crate::client::Client;
use crate::device::{self, Devices, label};
use crate::error::{Circumstance, Error, ErrorKind, Result};
use crate::link::Link;
use crate::mo::Mo;
use crate::name::Glob;
use crate::page::{Page, Window};
use crate::untrusted;
use network::{Known, Outlet};

/// What adapters are called in errors.
const NOUN: &str = "network adapter";

/// The key that a new device has until the server gives it one.
const NEW_KEY: i32 = -1;

/// A network adapter.
///
/// ```
/// use vsphere_ops::nic::Nic;
///
/// fn networks(nics: &[Nic]) -> Vec<&str> {
///     nics.iter().filter(|nic| nic.connected == Some(true)).filter_map(|nic| nic.network.as_deref()).collect()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Nic {
    /// The label (`Network adapter 1`).
    pub label: String,
    /// The device key.
    pub key: i32,
    /// `vmxnet3`, `e1000e`…
    #[serde(rename = "type")]
    pub kind: String,
    /// The MAC address.
    pub mac: Option<String>,
    /// Who chose it: `manual` for a person, `assigned` for vCenter, `generated` for the host.
    pub mac_type: Option<String>,
    /// Whether it has a link; not in a machine that is off.
    pub connected: Option<bool>,
    /// Whether it has one from power on.
    pub start_connected: Option<bool>,
    /// The network or port group that it is plugged into.
    pub network: Option<String>,
    /// The managed object id of that.
    pub network_id: Option<String>,
    /// `standard`, `distributed` or `opaque`.
    pub network_kind: Option<&'static str>,
    /// The addresses that the guest reports: not to be trusted.
    pub ip_addresses: Vec<String>,
    /// What keeps it from working, such as a network that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// All about one adapter.
///
/// ```
/// use vsphere_ops::nic::NicInfo;
///
/// fn line(nic: &NicInfo) -> String {
///     format!("{}: {} at port {:?} of {:?}", nic.vm, nic.nic.label, nic.port, nic.nic.network)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NicInfo {
    /// The machine's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// Its power state.
    pub power_state: &'static str,
    /// The adapter.
    #[serde(flatten)]
    pub nic: Nic,
    /// The key of its port on a distributed switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The UUID of that switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch_uuid: Option<String>,
    /// Whether the guest may connect and disconnect it.
    pub allow_guest_control: Option<bool>,
    /// Whether a packet may wake the machine.
    pub wake_on_lan: Option<bool>,
    /// What it gets of a full network, relative to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<i32>,
    /// The most that it may send, in Mbit/s; -1 for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_mbps: Option<i64>,
    /// What it always gets, in Mbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation_mbps: Option<i64>,
}

/// How a change of an adapter ended.
///
/// ```
/// use vsphere_ops::nic::NicReport;
///
/// fn tell(report: &NicReport) {
///     println!("{} of {}: changed {}", report.nic.label, report.vm, report.changed);
///     report.warnings.iter().for_each(|warning| println!("but {warning}"));
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NicReport {
    /// The machine's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// Whether anything was changed; not where it was so already.
    pub changed: bool,
    /// The adapter after the change; one that was removed as it was before.
    pub nic: Nic,
    /// What is done and yet may not be what was wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The types of adapters that can be added.
///
/// ```
/// assert_eq!(vsphere_ops::nic::NicType::default().name(), "vmxnet3");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NicType {
    /// VMware's own, the fastest; its driver comes with VMware Tools and with Linux.
    #[default]
    Vmxnet3,
    /// An Intel 82545EM, for guests without a driver of VMware's.
    E1000,
    /// An Intel 82574L.
    E1000e,
    /// The one before vmxnet3, for old guests.
    Vmxnet2,
    /// An AMD PCnet, for guests that know nothing else.
    Pcnet32,
    /// A virtual function of an adapter of the host, for which all memory of the machine has to be reserved.
    Sriov,
}

impl NicType {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vmxnet3 => "vmxnet3",
            Self::E1000 => "e1000",
            Self::E1000e => "e1000e",
            Self::Vmxnet2 => "vmxnet2",
            Self::Pcnet32 => "pcnet32",
            Self::Sriov => "sriov",
        }
    }

    fn device(self) -> Poly<VirtualDevice> {
        match self {
            Self::Vmxnet3 => Poly::new(VirtualVmxnet3::default()),
            Self::E1000 => Poly::new(VirtualE1000::default()),
            Self::E1000e => Poly::new(VirtualE1000e::default()),
            Self::Vmxnet2 => Poly::new(VirtualVmxnet2::default()),
            Self::Pcnet32 => Poly::new(VirtualPCNet32::default()),
            Self::Sriov => Poly::new(VirtualSriovEthernetCard::default()),
        }
    }
}

/// A network adapter to be.
///
/// ```
/// use vsphere_ops::nic::{NewNic, NicType};
///
/// let nic = NewNic { kind: NicType::E1000, start_connected: false, ..NewNic::of("/fra1/network/lab") };
/// # assert_eq!(nic.network, "/fra1/network/lab");
/// ```
#[derive(Debug, Clone)]
pub struct NewNic {
    /// The network that it is plugged into: name, path or id.
    pub network: String,
    /// What it pretends to be.
    pub kind: NicType,
    /// Whether it has a link, at once in a machine that runs, and from power on.
    pub start_connected: bool,
}

impl NewNic {
    /// The usual one, in this network.
    pub fn of(network: impl Into<String>) -> Self {
        Self { network: network.into(), kind: NicType::default(), start_connected: true }
    }
}

/// Which network adapters of a machine to list.
///
/// ```
/// use vsphere_ops::nic::NicQuery;
///
/// let query = NicQuery { filter: Some("*adapter 1*".into()), ..NicQuery::of("web-01") };
/// # assert_eq!(query.vm, "web-01");
/// ```
#[derive(Debug, Clone)]
pub struct NicQuery {
    /// The machine: name, path or id.
    pub vm: String,
    /// A glob on the label.
    pub filter: Option<String>,
    /// The most to answer with.
    pub limit: usize,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl NicQuery {
    /// All adapters of this machine; it can't have more than ten.
    pub fn of(vm: impl Into<String>) -> Self {
        Self { vm: vm.into(), filter: None, limit: 50, cursor: None }
    }
}

/// Lists the network adapters of a machine.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::nic::{self, NicQuery};
///
/// for nic in nic::list(&client, &NicQuery::of("web-01")).await?.items {
///     println!("{}: {:?} {:?}", nic.label, nic.network, nic.ip_addresses);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found` or `ambiguous` where the machine is not exactly one, `permission` where its configuration can't be read,
/// and those of the server.
pub async fn list(client: &Client, query: &NicQuery) -> Result<Page<Nic>> {
    let machine = client.get::<VirtualMachine>(&query.vm).await?;
    let named = |error: Error| error.in_operation("list the network adapters of").on(machine.label());
    let devices = Devices::read(&machine).await.map_err(named)?;
    let look = Look::at(&machine).await.map_err(named)?;
    let glob = query.filter.as_deref().map(Glob::new);
    let nics = devices.of::<VirtualEthernetCard>().map(|(device, card)| look.nic(device, card));
    let fitting = nics.filter(|nic| glob.as_ref().is_none_or(|glob| glob.fits(&nic.label)));
    Ok(Window::of(fitting, |nic| nic.key, query.limit, query.cursor.as_deref())?.into())
}

/// One network adapter of a machine, by its label or key.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let nic = vsphere_ops::nic::info(&client, "web-01", "Network adapter 1").await?;
/// println!("{:?} ({:?})", nic.nic.mac, nic.nic.mac_type);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// Those of [`list`]; `not_found` with the adapters that there are, and `ambiguous` where two have the label.
pub async fn info(client: &Client, vm: &str, nic: &str) -> Result<NicInfo> {
    const OPERATION: &str = "get the network adapter";
    let machine = client.get::<VirtualMachine>(vm).await?;
    let named = |error: Error| error.in_operation(OPERATION).on(machine.label());
    let devices = Devices::read(&machine).await.map_err(named)?;
    let (device, card) = devices.choose::<VirtualEthernetCard>(NOUN, nic).map_err(named)?;
    let look = Look::at(&machine).await?;
    let allocation = card.resource_allocation.as_ref();
    let port = device.backing.as_ref().and_then(network::port);
    Ok(NicInfo {
        vm: machine.label().to_owned(),
        id: machine.id().to_owned(),
        power_state: crate::vm::power_state_name(&devices.power_state),
        nic: look.nic(device, card),
        port: port.and_then(|port| port.port_key.clone()),
        switch_uuid: port.map(|port| port.switch_uuid.clone()),
        allow_guest_control: device.connectable.as_ref().map(|info| info.allow_guest_control),
        wake_on_lan: card.wake_on_lan_enabled,
        shares: allocation.map(|allocation| allocation.share.shares),
        limit_mbps: allocation.and_then(|allocation| allocation.limit),
        reservation_mbps: allocation.and_then(|allocation| allocation.reservation),
    })
}

/// Adds a network adapter, also while the machine runs. The server gives it its address.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::nic::{self, NewNic};
///
/// let added = nic::add(&client, "web-01", &NewNic::of("prod-web")).await?;
/// println!("{} has {:?}", added.nic.label, added.nic.mac);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found`, `ambiguous` or `invalid_argument` where the network is not exactly one of the machine's host, or holds
/// the uplinks of a switch; the fault `TooManyDevices` where the machine has ten, and those of the server.
pub async fn add(client: &Client, vm: &str, new: &NewNic) -> Result<NicReport> {
    const ADD: &str = "add a network adapter to";
    let machine = client.get::<VirtualMachine>(vm).await?;
    let outlet = Outlet::find(&machine, &new.network).await?;
    let done = device::reconfigure(&machine, ADD, |devices| {
        let mut nic = new.kind.device();
        nic.key = NEW_KEY;
        nic.backing = Some(outlet.backing.clone());
        nic.connectable = Some(Box::new(VirtualDeviceConnectInfo {
            start_connected: new.start_connected,
            connected: new.start_connected && devices.is_running(),
            allow_guest_control: true,
            ..Default::default()
        }));
        Ok(vec![device::add(nic)])
    });
    let done = done.await.map_err(|error| match new.kind {
        NicType::Sriov => error.with_circumstance(Circumstance::SriovAdapter),
        _ => error,
    })?;
    let added = done.added::<VirtualEthernetCard>().ok_or_else(|| lost(&machine, ADD))?;
    report(&machine, added, true, Vec::new()).await
}

/// Takes a network adapter out, also while the machine runs.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// # vsphere_ops::nic::add(&client, "web-01", &vsphere_ops::nic::NewNic::of("prod-db")).await?;
/// let removed = vsphere_ops::nic::remove(&client, "web-01", "Network adapter 2").await?;
/// println!("{:?} is free", removed.nic.mac);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// Those of [`info`], and those of the server.
pub async fn remove(client: &Client, vm: &str, nic: &str) -> Result<NicReport> {
    let machine = client.get::<VirtualMachine>(vm).await?;
    // Afterwards neither the guest nor the server knows it any longer.
    let look = Look::at(&machine).await?;
    let choose = |devices: &Devices| {
        let (device, card) = devices.choose::<VirtualEthernetCard>(NOUN, nic)?;
        Ok::<_, Error>((device.clone(), look.nic(device, card)))
    };
    let plan = |devices: &Devices| Ok(vec![device::remove(choose(devices)?.0)]);
    let done = device::reconfigure(&machine, "remove a network adapter of", plan).await?;
    let (_, nic) = choose(&done.before)?;
    Ok(NicReport {
        vm: machine.label().to_owned(),
        id: machine.id().to_owned(),
        changed: true,
        nic,
        warnings: Vec::new(),
    })
}

/// Connects a network adapter: at once where the machine runs, else from its next power on.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let report = vsphere_ops::nic::connect(&client, "web-01", "Network adapter 1").await?;
/// println!("{:?}, from power on {:?}", report.nic.connected, report.nic.start_connected);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// Those of [`info`], and those of the server.
pub async fn connect(client: &Client, vm: &str, nic: &str) -> Result<NicReport> {
    link(client, vm, nic, Link::Up).await
}

/// Disconnects a network adapter, as if its cable were pulled: at once where the machine runs, else from its next power
/// on.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let report = vsphere_ops::nic::disconnect(&client, "web-01", "4000").await?;
/// report.warnings.iter().for_each(|warning| println!("{warning}")); // such as: connected again at the next power on
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// Those of [`info`], and those of the server.
pub async fn disconnect(client: &Client, vm: &str, nic: &str) -> Result<NicReport> {
    link(client, vm, nic, Link::Down).await
}

async fn link(client: &Client, vm: &str, nic: &str, wanted: Link) -> Result<NicReport> {
    let operation = match wanted {
        Link::Up => "connect a network adapter of",
        Link::Down => "disconnect a network adapter of",
    };
    let machine = client.get::<VirtualMachine>(vm).await?;
    let done = device::reconfigure(&machine, operation, |devices| {
        Ok(wanted.change(devices, devices.choose::<VirtualEthernetCard>(NOUN, nic)?.0))
    });
    let done = done.await?;
    let chosen = done.after.choose::<VirtualEthernetCard>(NOUN, nic)?;
    let warnings = wanted.note(&done.after, chosen.0).into_iter().collect();
    report(&machine, chosen, done.changed, warnings).await
}

/// Plugs a network adapter into another network, also while the machine runs. Whether it is connected stays as it is.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let report = vsphere_ops::nic::connect_to(&client, "web-01", "Network adapter 1", "prod-db").await?;
/// assert_eq!(report.nic.network.as_deref(), Some("prod-db"));
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// Those of [`info`] for the adapter and of [`add`] for the network.
pub async fn connect_to(client: &Client, vm: &str, nic: &str, network: &str) -> Result<NicReport> {
    let machine = client.get::<VirtualMachine>(vm).await?;
    let outlet = Outlet::find(&machine, network).await?;
    let done = device::reconfigure(&machine, "change the network of", |devices| {
        let (device, _) = devices.choose::<VirtualEthernetCard>(NOUN, nic)?;
        if outlet.has(device) {
            return Ok(Vec::new());
        }
        let mut device = device.clone();
        device.backing = Some(outlet.backing.clone());
        Ok(vec![device::edit(device)])
    });
    let done = done.await?;
    let chosen = done.after.choose::<VirtualEthernetCard>(NOUN, nic)?;
    let connected = chosen.0.connectable.as_ref().is_none_or(|info| info.connected);
    let warnings =
        if done.after.is_running() && !connected { vec!["it is disconnected".to_owned()] } else { Vec::new() };
    report(&machine, chosen, done.changed, warnings).await
}

/// What is known of a machine's adapters beside the adapters themselves.
struct Look {
    guest: Vec<GuestNicInfo>,
    known: Known,
}

impl Look {
    async fn at(machine: &Mo<VirtualMachine>) -> Result<Self> {
        let (guest, networks) = machine.read((vm::GUEST_NICS, vm::NETWORK)).await?;
        Ok(Self { guest, known: Known::read(machine.client(), networks).await? })
    }

    fn nic(&self, device: &Poly<VirtualDevice>, card: &VirtualEthernetCard) -> Nic {
        let plugged = self.known.plugged(device);
        let link = device.connectable.as_ref();
        let reported = self.guest.iter().filter(|net| net.device_config_id == device.key);
        let broken = link.and_then(|link| link.status.as_deref()).filter(|status| !matches!(*status, "ok" | "untried"));
        let broken = broken.map(|status| format!("the server can't connect it (status {status})"));
        Nic {
            label: label(device),
            key: device.key,
            kind: kind(device),
            mac: card.mac_address.clone(),
            mac_type: card.address_type.clone(),
            connected: link.map(|link| link.connected),
            start_connected: link.map(|link| link.start_connected),
            network: plugged.name,
            network_id: plugged.id,
            network_kind: plugged.kind,
            ip_addresses: reported.flat_map(|net| net.ip_address.iter().filter_map(untrusted::address)).collect(),
            problem: plugged.problem.map(str::to_owned).or(broken),
        }
    }
}

/// The type of an adapter as people call it: `VirtualVmxnet3` is `vmxnet3`.
fn kind(device: &Poly<VirtualDevice>) -> String {
    if device.is::<VirtualSriovEthernetCard>() {
        return NicType::Sriov.name().to_owned();
    }
    let name = device.type_name();
    name.strip_prefix("Virtual").unwrap_or(name).to_ascii_lowercase()
}

/// How a change ended.
async fn report(
    machine: &Mo<VirtualMachine>,
    (device, card): (&Poly<VirtualDevice>, &VirtualEthernetCard),
    changed: bool,
    warnings: Vec<String>,
) -> Result<NicReport> {
    let nic = Look::at(machine).await?.nic(device, card);
    Ok(NicReport { vm: machine.label().to_owned(), id: machine.id().to_owned(), changed, nic, warnings })
}

/// Somebody else was quicker.
fn lost(machine: &Mo<VirtualMachine>, operation: &str) -> Error {
    let text = "it was done, but then somebody else has removed the adapter".to_owned();
    Error::new(operation, ErrorKind::NotFound(text)).on(machine.label())
}
