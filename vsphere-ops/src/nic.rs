//! Network adapters of VMs: what they are plugged into, and changes of that.
//!
//! ```
//! use vsphere_ops::managed::VirtualMachine;
//! use vsphere_ops::nic::{NewNic, NicType};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let web = client.get::<VirtualMachine>("web-01").await?;
//! for nic in web.list_nics(&Default::default()).await?.items {
//!     println!("{} {:?} in {:?}", nic.label, nic.mac, nic.network);
//! }
//! let (prod, db) = (web.network("prod-web").await?, web.network("prod-db").await?);
//! let added = web.add_nic(&NewNic { kind: NicType::E1000e, ..NewNic::of(&prod) }).await?;
//! web.nic(&added.nic.label).await?.plugging(&db).await?.carry_out().await?;
//! web.nic(&added.nic.key.to_string()).await?.disconnection().carry_out().await?;
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! An adapter is named by its label, in whatever case, or by its key. A network is named by its name, path or id, and has
//! to be one of the VM's host; whether it is one of a standard switch, a distributed port group or an opaque one is found
//! out. What the guest says, its addresses, is not to be trusted. What is planned is carried out on the very adapter that
//! was seen, or refused as `changed`.

mod mac;
pub(crate) mod network;
mod plan;

use serde::{Deserialize, Serialize};
use vsphere_model::managed::{Network, VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{
    GuestNicInfo, Poly, VirtualDevice, VirtualDeviceConnectInfo, VirtualE1000, VirtualE1000e, VirtualEthernetCard,
    VirtualMachinePowerState, VirtualPCNet32, VirtualSriovEthernetCard, VirtualVmxnet2, VirtualVmxnet3,
};

pub use mac::{MacAddress, MacChange};
pub use plan::NicPlan;

use crate::device::{self, Device, Devices, Seen, label};
use crate::error::{Circumstance, Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::network::NetworkKind;
use crate::page::{ListQuery, Page, Window};
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
    /// Whether it has a link; not in a VM that is off.
    pub connected: Option<bool>,
    /// Whether it has one from power on.
    pub start_connected: Option<bool>,
    /// The network or port group that it is plugged into.
    pub network: Option<String>,
    /// The managed object id of that.
    pub network_id: Option<String>,
    /// Who provides that.
    pub network_kind: Option<NetworkKind>,
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
    /// The VM's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// Its power state.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
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
    /// Whether a packet may wake the VM.
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
    /// The VM's name.
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
    /// A virtual function of an adapter of the host, for which all memory of the VM has to be reserved.
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
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
/// use vsphere_ops::nic::{NewNic, NicType};
///
/// let lab = client.get::<VirtualMachine>("web-01").await?.network("prod-web").await?;
/// let nic = NewNic { kind: NicType::E1000, start_connected: false, ..NewNic::of(&lab) };
/// # assert_eq!(nic.network.label(), "prod-web");
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
pub struct NewNic {
    /// The network that it is plugged into: see [`Mo::network`].
    pub network: Mo<Network>,
    /// What it pretends to be.
    pub kind: NicType,
    /// Whether it has a link, at once in a VM that runs, and from power on.
    pub start_connected: bool,
}

impl NewNic {
    /// The usual one, in this network.
    pub fn of(network: &Mo<Network>) -> Self {
        Self { network: network.clone(), kind: NicType::default(), start_connected: true }
    }
}

impl Mo<VirtualMachine> {
    /// Lists the network adapters of the VM.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// for nic in web.list_nics(&Default::default()).await?.items {
    ///     println!("{}: {:?} {:?}", nic.label, nic.network, nic.ip_addresses);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `permission` if the configuration can't be read, and server errors.
    pub async fn list_nics(&self, query: &ListQuery) -> Result<Page<Nic>> {
        let named = |error: Error| error.in_operation("list the network adapters of").on(self.label());
        let devices = Devices::read(self).await.map_err(named)?;
        let look = Look::at(self).await.map_err(named)?;
        let glob = query.glob();
        let nics = devices.of::<VirtualEthernetCard>().map(|(device, card)| look.nic(device, card));
        let fitting = nics.filter(|nic| glob.as_ref().is_none_or(|glob| glob.fits(&nic.label)));
        Ok(Window::of(fitting, |nic| nic.key, query)?.into())
    }

    /// The network adapter of the VM with this label or key.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let nic = client.get::<VirtualMachine>("web-01").await?.nic("Network adapter 1").await?;
    /// println!("{:?} ({:?})", nic.mac, nic.mac_type);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` with the existing adapters, `ambiguous` if two have the label, and those of
    /// [`list_nics`](Self::list_nics).
    pub async fn nic(&self, what: &str) -> Result<Device<Nic>> {
        let named = |error: Error| error.in_operation("get the network adapter").on(self.label());
        let seen = Seen::now(self).await.map_err(named)?;
        let (device, card) = seen.devices().choose::<VirtualEthernetCard>(NOUN, what).map_err(named)?;
        let facts = Look::at(self).await?.nic(device, card);
        Ok(Device::new(&seen, device.key, facts))
    }

    /// The network with this name, path or id among those of the VM's host: the only ones that its adapters can be plugged
    /// into.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let prod = client.get::<VirtualMachine>("web-01").await?.network("prod-db").await?;
    /// println!("{prod}");
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` with the networks of the host, `ambiguous` if several of them have the name, `invalid_argument` for
    /// one that the host does not have, and server errors.
    pub async fn network(&self, what: &str) -> Result<Mo<Network>> {
        network::seen(self, what.trim()).await.map_err(|error| error.in_operation("find network").on(what))
    }

    /// Adds a network adapter, also while the VM runs. The server gives it its address.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    /// use vsphere_ops::nic::NewNic;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// let added = web.add_nic(&NewNic::of(&web.network("prod-web").await?)).await?;
    /// println!("{} has {:?}", added.nic.label, added.nic.mac);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` if the network holds the uplinks of a switch; the fault `TooManyDevices` if the VM has ten
    /// adapters, and server errors.
    pub async fn add_nic(&self, new: &NewNic) -> Result<NicReport> {
        const ADD: &str = "add a network adapter to";
        let outlet = Outlet::of(&new.network).await?;
        let done = device::reconfigure(self, ADD, |devices| {
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
        let added = done.added::<VirtualEthernetCard>().ok_or_else(|| lost(self, ADD))?;
        report(self, added, true, Vec::new()).await
    }
}

/// What is known of a VM's adapters beside the adapters themselves.
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
pub(crate) fn kind(device: &Poly<VirtualDevice>) -> String {
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
