//! Serial ports of VMs that are reached over the network: the console of guests without a screen.
//!
//! ```
//! use vsphere_ops::managed::VirtualMachine;
//! use vsphere_ops::serial::{NewSerialPort, Protocol};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let web = client.get::<VirtualMachine>("web-04").await?;
//! let setup = web.serial_setup(None, &NewSerialPort::server(Protocol::Telnet)).await?;
//! let set_up = setup.carry_out().await?;
//! println!("{:?}", set_up.serial_port.and_then(|port| port.connection)); // telnet://esx-01.example:20042
//! web.serial_clearing(None).await?.carry_out().await?; // throw out whoever holds the line
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! A port that is a server listens on the VM's host while the VM runs: where it moves to another host, its
//! address does, too. The firewall of the host has to let it through.
//!
//! Where a VM has several ports, the one that is meant is named by its label or key; the only one, or the only one on
//! the network, needs no name.

mod place;
mod plan;
mod uri;

use serde::Serialize;
use vsphere_model::managed::VirtualMachine;
use vsphere_model::types::{
    Poly, VirtualDevice, VirtualDeviceConnectInfo, VirtualDeviceURIBackingInfo,
    VirtualDeviceURIBackingOptionDirection as ApiDirection, VirtualMachinePowerState, VirtualSIOController,
    VirtualSerialPort, VirtualSerialPortURIBackingInfo,
};

use crate::device::{Devices, label};
use crate::error::{Candidate, Circumstance, Error, ErrorKind, Result, invalid};
use crate::mo::Mo;
use place::Place;
use uri::Uri;

pub use plan::SerialPlan;
pub use uri::Protocol;

/// What serial ports are called in errors.
const NOUN: &str = "serial port";

/// The key that a new device has until the server gives it one.
const NEW_KEY: i32 = -1;

/// A serial port.
///
/// ```
/// use vsphere_ops::serial::SerialPort;
///
/// fn consoles(ports: &[SerialPort]) -> Vec<&str> {
///     ports.iter().filter(|port| port.connected == Some(true)).filter_map(|port| port.connection.as_deref()).collect()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SerialPort {
    /// The label (`Serial port 1`).
    pub label: String,
    /// The device key.
    pub key: i32,
    /// What is behind it: `network`, `file`, `pipe`, `device`…
    pub kind: String,
    /// `telnet`, `tcp`…, of one on the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// `server` for one that is called, `client` for one that calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// The TCP port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Where it is reached, `telnet://esx-01.example:20042`; of a client, whom it calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// The URI as the server keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_uri: Option<String>,
    /// The concentrator that all goes through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_uri: Option<String>,
    /// Whether the guest gives up the processor while it polls the port.
    pub yield_on_poll: bool,
    /// Whether it has a line; not in a VM that is off.
    pub connected: Option<bool>,
    /// Whether it has one from power on.
    pub start_connected: Option<bool>,
}

/// The serial ports of a VM.
///
/// ```
/// use vsphere_ops::serial::SerialPorts;
///
/// fn lines(ports: &SerialPorts) -> Vec<String> {
///     ports.serial_ports.iter().map(|port| format!("{} on {:?}: {:?}", ports.vm, ports.host, port.connection)).collect()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SerialPorts {
    /// The VM's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// Its power state: only while it runs is there somebody at the other end.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// The name of its host.
    pub host: Option<String>,
    /// Its serial ports; empty where none is set up.
    pub serial_ports: Vec<SerialPort>,
    /// What may keep them from being reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How a change of a serial port ended.
///
/// ```
/// use vsphere_ops::serial::SerialReport;
///
/// fn tell(report: &SerialReport) {
///     println!("{}: changed {}", report.vm, report.changed);
///     report.warnings.iter().for_each(|warning| println!("but {warning}"));
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SerialReport {
    /// The VM's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// Its power state.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// Whether anything was changed; not where it was so already.
    pub changed: bool,
    /// The port after the change; one that was removed as it was before.
    pub serial_port: Option<SerialPort>,
    /// What is done and yet may not be what was wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Who calls whom.
///
/// ```
/// use vsphere_ops::serial::Direction;
///
/// assert_ne!(Direction::Server, Direction::Client { address: "console.example".into() });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direction {
    /// The host listens.
    Server,
    /// The host calls this name or address.
    Client {
        /// Whom.
        address: String,
    },
}

/// A serial port to be.
///
/// ```
/// use vsphere_ops::serial::{NewSerialPort, Protocol};
///
/// let console = NewSerialPort { port: Some(2001), ..NewSerialPort::server(Protocol::Tcp) };
/// let call = NewSerialPort::client(Protocol::Telnets, "console.example", 2001);
/// # assert_eq!((console.port, call.port), (Some(2001), Some(2001)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSerialPort {
    /// How the line is spoken.
    pub protocol: Protocol,
    /// Who calls whom.
    pub direction: Direction,
    /// The TCP port; of a server, one that is free where `None`.
    pub port: Option<u16>,
    /// Whether the guest gives up the processor while it polls the port, as it should.
    pub yield_on_poll: bool,
}

impl NewSerialPort {
    /// One that listens on a port that is free.
    pub fn server(protocol: Protocol) -> Self {
        Self { protocol, direction: Direction::Server, port: None, yield_on_poll: true }
    }

    /// One that calls.
    pub fn client(protocol: Protocol, address: impl Into<String>, port: u16) -> Self {
        let direction = Direction::Client { address: address.into() };
        Self { direction, port: Some(port), ..Self::server(protocol) }
    }

    fn check(&self) -> Result<()> {
        match (&self.direction, self.port) {
            (_, Some(0)) => Err(invalid(SET_UP, "port 0 is none: give one from 1 to 65535")),
            (Direction::Client { address }, _) if !uri::is_address(address) => {
                Err(invalid(SET_UP, format!("{address:?} is no name or address that a host could call")))
            }
            (Direction::Client { .. }, None) => {
                Err(invalid(SET_UP, "a port that calls needs the port number that is called"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a port is like this already; its number may be any where none is wanted.
    fn is(&self, uri: &Uri, backing: &VirtualDeviceURIBackingInfo, port: &VirtualSerialPort) -> bool {
        let direction = match &self.direction {
            Direction::Server => is_server(backing),
            Direction::Client { address } => !is_server(backing) && uri.address == *address,
        };
        direction
            && uri.protocol == self.protocol.name()
            && self.port.is_none_or(|wanted| uri.port == Some(wanted))
            && uri.port.is_some()
            && port.yield_on_poll == self.yield_on_poll
            && backing.proxy_uri.as_deref().is_none_or(str::is_empty)
    }

    fn backing(&self, port: u16) -> VirtualSerialPortURIBackingInfo {
        let (direction, address) = match &self.direction {
            Direction::Server => (ApiDirection::Server, ""),
            Direction::Client { address } => (ApiDirection::Client, address.as_str()),
        };
        let mut backing = VirtualSerialPortURIBackingInfo::default();
        backing.service_uri = uri::write(self.protocol.name(), address, port);
        backing.direction = direction.as_str().to_owned();
        backing
    }
}

impl Mo<VirtualMachine> {
    /// The serial ports of the VM, and where they are reached.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::managed::VirtualMachine;
    /// for port in client.get::<VirtualMachine>("web-04").await?.serial_ports().await?.serial_ports {
    ///     println!("{}: {:?}", port.label, port.connection);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `permission` if the configuration can't be read, and server errors.
    pub async fn serial_ports(&self) -> Result<SerialPorts> {
        let devices = Devices::read(self).await;
        let devices = devices.map_err(|error| error.in_operation("get the serial ports of").on(self.label()))?;
        let place = Place::of(self).await?;
        Ok(all(self, &devices, &place))
    }
}

fn all(machine: &Mo<VirtualMachine>, devices: &Devices, place: &Place) -> SerialPorts {
    let ports = devices.of::<VirtualSerialPort>().map(|(device, port)| place.describe(device, port));
    let ports: Vec<SerialPort> = ports.collect();
    let on_network = ports.iter().any(|port| port.service_uri.is_some());
    SerialPorts {
        vm: machine.label().to_owned(),
        id: machine.id().to_owned(),
        power_state: devices.power_state.clone(),
        warnings: if on_network { place.warnings() } else { Vec::new() },
        host: place.host_name.clone(),
        serial_ports: ports,
    }
}

const SET_UP: &str = "set up a serial port of";

/// A serial port as the VM has it.
type Found<'a> = (&'a Poly<VirtualDevice>, &'a VirtualSerialPort);

/// The port that is meant: by its name, or as the only one.
fn choose<'a>(devices: &'a Devices, which: Option<&str>) -> Result<Found<'a>> {
    if let Some(what) = which {
        return devices.choose(NOUN, what);
    }
    let mut all = devices.of::<VirtualSerialPort>();
    match (all.next(), all.next()) {
        (None, _) => {
            let error = Error::new("choose", ErrorKind::NotFound("the VM has no serial port".to_owned()));
            Err(error.with_circumstance(Circumstance::NoSerialPort))
        }
        (Some(only), None) => Ok(only),
        _ => the_network_one(devices)?.ok_or_else(|| several(devices.of::<VirtualSerialPort>())),
    }
}

/// The port that is to be set up; none where there has to be a new one.
fn to_set_up<'a>(devices: &'a Devices, which: Option<&str>) -> Result<Option<Found<'a>>> {
    match which {
        Some(what) => devices.choose(NOUN, what).map(Some),
        None => the_network_one(devices),
    }
}

/// The one port on the network, where there is one.
fn the_network_one(devices: &Devices) -> Result<Option<Found<'_>>> {
    let on_network = || devices.of::<VirtualSerialPort>().filter(|(device, _)| uri_of(device).is_some());
    let mut ports = on_network();
    match (ports.next(), ports.next()) {
        (Some(_), Some(_)) => Err(several(on_network())),
        (first, _) => Ok(first),
    }
}

fn several<'a>(ports: impl Iterator<Item = Found<'a>>) -> Error {
    let candidates = ports.map(|(device, _)| Candidate { path: label(device), id: device.key.to_string() });
    Error::new("choose", ErrorKind::Ambiguous(candidates.collect()))
}

fn uri_of(device: &VirtualDevice) -> Option<&VirtualDeviceURIBackingInfo> {
    device.backing.as_ref()?.downcast_ref()
}

fn is_server(backing: &VirtualDeviceURIBackingInfo) -> bool {
    backing.direction == ApiDirection::Server.as_str()
}

fn must_be_off(devices: &Devices, operation: &str) -> Result<()> {
    if devices.power_state == VirtualMachinePowerState::PoweredOff {
        return Ok(());
    }
    let text = "the VM is not off, and serial ports come, go and change only then: shut it down first";
    Err(Error::new(operation, ErrorKind::Unsupported(text.to_owned())))
}

/// A port that is not there yet.
fn fresh(devices: &Devices) -> Poly<VirtualDevice> {
    let mut device = Poly::<VirtualDevice>::new(VirtualSerialPort::default());
    device.key = NEW_KEY;
    device.controller_key = devices.of::<VirtualSIOController>().next().map(|(controller, _)| controller.key);
    device.connectable = Some(Box::new(VirtualDeviceConnectInfo {
        start_connected: true,
        allow_guest_control: true,
        ..Default::default()
    }));
    device
}

fn report(
    machine: &Mo<VirtualMachine>,
    devices: &Devices,
    changed: bool,
    serial_port: Option<SerialPort>,
    warnings: Vec<String>,
) -> SerialReport {
    SerialReport {
        vm: machine.label().to_owned(),
        id: machine.id().to_owned(),
        power_state: devices.power_state.clone(),
        changed,
        serial_port,
        warnings,
    }
}

/// What is behind a port, in a word: `VirtualSerialPortFileBackingInfo` is `file`.
fn kind(device: &VirtualDevice) -> String {
    let Some(backing) = device.backing.as_ref() else { return "none".to_owned() };
    let name = backing.type_name();
    match name.strip_prefix("VirtualSerialPort").and_then(|name| name.strip_suffix("BackingInfo")) {
        Some("URI") => "network".to_owned(),
        Some(kind) => kind.to_ascii_lowercase(),
        None => name.to_owned(),
    }
}
