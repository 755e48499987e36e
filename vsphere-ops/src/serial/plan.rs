//! Changes of serial ports, planned and carried out.

use serde::Serialize;
use vsphere_model::managed::VirtualMachine;
use vsphere_model::types::{Poly, VirtualDevice, VirtualDeviceConfigSpec, VirtualSerialPort};

use super::place::{Place, Taken, free_port};
use super::uri::Uri;
use super::{
    Direction, Found, NewSerialPort, SET_UP, SerialPort, SerialPorts, SerialReport, all, choose, fresh, is_server,
    must_be_off, report, to_set_up, uri_of,
};
use crate::device::{self, DeviceChange, Devices, Seen};
use crate::error::{Circumstance, Error, ErrorKind, Result, invalid};
use crate::link::Link;
use crate::mo::Mo;

const REMOVE: &str = "remove a serial port of";
const CLEAR: &str = "clear a serial port of";

/// A plan to set up a serial port, to remove it, to connect or disconnect it, or to throw out whoever holds its line.
///
/// ```
/// use vsphere_ops::serial::SerialPlan;
///
/// fn question(plan: &SerialPlan) -> Option<String> {
///     let port = plan.serial_port.as_ref()?;
///     Some(format!("{} of {}, which is {:?}?", port.label, plan.ports.vm, port.connection))
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is changed before it is carried out"]
pub struct SerialPlan {
    /// All serial ports of the VM as they are.
    #[serde(flatten)]
    pub ports: SerialPorts,
    /// The port that is meant as it is; `None` where there is none yet.
    #[serde(skip)]
    pub serial_port: Option<SerialPort>,
    #[serde(skip)]
    act: Act,
    #[serde(skip)]
    change: DeviceChange,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    SetUp,
    Remove,
    Link(Link),
    Clear,
}

impl Mo<VirtualMachine> {
    /// Plans to set up a serial port on the network: the one that is named, else the one on the network that there is, else
    /// a new one. The VM has to be off for that.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    /// use vsphere_ops::serial::{NewSerialPort, Protocol};
    ///
    /// let web = client.get::<VirtualMachine>("web-04").await?;
    /// let plan = web.serial_setup(None, &NewSerialPort::server(Protocol::Tcp)).await?;
    /// println!("{} ports now, seen at {}", plan.ports.serial_ports.len(), plan.change_version());
    /// let report = plan.carry_out().await?;
    /// println!("{:?} {:?}", report.serial_port.and_then(|port| port.connection), report.warnings);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` for a network port that another VM of the host has, `unsupported` if something has to be
    /// changed and the VM is not off, `ambiguous` if it has several ports on the network and none is named, `not_found`
    /// where there is none of that name, and server errors.
    pub async fn serial_setup(&self, which: Option<&str>, new: &NewSerialPort) -> Result<SerialPlan> {
        new.check()?;
        let (seen, place) = self.with_place(SET_UP).await?;
        let taken = place.taken(self.client()).await?;
        let named = |error: Error| seen.named(SET_UP, error);
        let is = to_set_up(seen.devices(), which).map_err(named)?;
        let changes = set_up(self, seen.devices(), is, new, &taken).map_err(named)?;
        Ok(plan(&seen, &place, is, Act::SetUp, SET_UP, changes))
    }

    /// Plans to remove a serial port. The VM has to be off. Where it has none, nothing is changed.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let removal = client.get::<VirtualMachine>("web-04").await?.serial_removal(None).await?;
    /// if let Some(port) = &removal.serial_port {
    ///     println!("{} would go, and with it {:?}", port.label, port.connection);
    /// }
    /// println!("{}", removal.carry_out().await?.changed);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `unsupported` if the VM is not off, and the errors of [`serial_connection`](Self::serial_connection).
    pub async fn serial_removal(&self, which: Option<&str>) -> Result<SerialPlan> {
        let (seen, place) = self.with_place(REMOVE).await?;
        let named = |error: Error| seen.named(REMOVE, error);
        if seen.devices().of::<VirtualSerialPort>().next().is_none() {
            return Ok(plan(&seen, &place, None, Act::Remove, REMOVE, Vec::new()));
        }
        let found = choose(seen.devices(), which).map_err(named)?;
        must_be_off(seen.devices(), REMOVE).map_err(named)?;
        Ok(plan(&seen, &place, Some(found), Act::Remove, REMOVE, vec![device::remove(found.0.clone())]))
    }

    /// Plans to connect a serial port: at once where the VM runs, else from its next power on.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::serial::{NewSerialPort, Protocol};
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let web = client.get::<VirtualMachine>("web-04").await?;
    /// # web.serial_setup(None, &NewSerialPort::server(Protocol::Tcp)).await?.carry_out().await?;
    /// web.serial_connection(Some("Serial port 1")).await?.carry_out().await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if the VM has no such port, `ambiguous` if it has several and none is named, and the errors of the
    /// server.
    pub async fn serial_connection(&self, which: Option<&str>) -> Result<SerialPlan> {
        self.linking("connect a serial port of", which, Link::Up).await
    }

    /// Plans to disconnect a serial port: at once where the VM runs, else from its next power on.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::serial::{NewSerialPort, Protocol};
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let web = client.get::<VirtualMachine>("web-04").await?;
    /// # web.serial_setup(None, &NewSerialPort::server(Protocol::Tcp)).await?.carry_out().await?;
    /// web.serial_disconnection(None).await?.carry_out().await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`serial_connection`](Self::serial_connection).
    pub async fn serial_disconnection(&self, which: Option<&str>) -> Result<SerialPlan> {
        self.linking("disconnect a serial port of", which, Link::Down).await
    }

    async fn linking(&self, operation: &'static str, which: Option<&str>, wanted: Link) -> Result<SerialPlan> {
        let (seen, place) = self.with_place(operation).await?;
        let found = choose(seen.devices(), which).map_err(|error| seen.named(operation, error))?;
        let changes = wanted.change(seen.devices(), found.0);
        Ok(plan(&seen, &place, Some(found), Act::Link(wanted), operation, changes))
    }

    /// Plans to disconnect a serial port and to connect it again, which cuts off the present user of the line. Nobody holds
    /// the line of a VM that is off.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::serial::{NewSerialPort, Protocol};
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let web = client.get::<VirtualMachine>("web-04").await?;
    /// # web.serial_setup(None, &NewSerialPort::server(Protocol::Tcp)).await?.carry_out().await?;
    /// let report = web.serial_clearing(None).await?.carry_out().await?;
    /// println!("{}", report.changed);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`serial_connection`](Self::serial_connection).
    pub async fn serial_clearing(&self, which: Option<&str>) -> Result<SerialPlan> {
        let (seen, place) = self.with_place(CLEAR).await?;
        let found = choose(seen.devices(), which).map_err(|error| seen.named(CLEAR, error))?;
        let changes = if seen.devices().is_running() { Link::Down.change(seen.devices(), found.0) } else { Vec::new() };
        Ok(plan(&seen, &place, Some(found), Act::Clear, CLEAR, changes))
    }

    async fn with_place(&self, operation: &str) -> Result<(Seen, Place)> {
        let seen = Seen::now(self).await.map_err(|error| error.in_operation(operation).on(self.label()))?;
        Ok((seen, Place::of(self).await?))
    }
}

fn plan(
    seen: &Seen,
    place: &Place,
    found: Option<Found<'_>>,
    act: Act,
    operation: &'static str,
    changes: Vec<VirtualDeviceConfigSpec>,
) -> SerialPlan {
    SerialPlan {
        ports: all(seen.machine(), seen.devices(), place),
        serial_port: found.map(|(device, port)| place.describe(device, port)),
        act,
        change: DeviceChange { seen: seen.clone(), operation, changes },
    }
}

/// What makes a port as it is wanted; nothing where it is so.
fn set_up(
    machine: &Mo<VirtualMachine>,
    devices: &Devices,
    is: Option<Found<'_>>,
    new: &NewSerialPort,
    taken: &[Taken],
) -> Result<Vec<VirtualDeviceConfigSpec>> {
    let known = is.and_then(|(device, port)| Some((uri_of(device)?, port)));
    if let Some((backing, port)) = known
        && new.is(&Uri::parse(&backing.service_uri), backing, port)
    {
        return Ok(Vec::new());
    }
    must_be_off(devices, SET_UP)?;
    let key = is.map(|(device, _)| device.key);
    let others: Vec<&Taken> = taken.iter().filter(|taken| !taken.is(machine, key)).collect();
    let own = known.filter(|(backing, _)| is_server(backing)).and_then(|(backing, _)| {
        Uri::parse(&backing.service_uri).port.filter(|port| others.iter().all(|other| other.port != *port))
    });
    let port = new.port.or(own).map_or_else(|| free_port(machine, &others), Ok)?;
    if let (Direction::Server, Some(other)) = (&new.direction, others.iter().find(|other| other.port == port)) {
        let text = format!("{} listens on port {port} of the same host; without a port, a free one is taken", other.vm);
        return Err(invalid(SET_UP, text));
    }
    let mut device = match is {
        Some((device, _)) => device.clone(),
        None => fresh(devices),
    };
    device.backing = Some(Poly::new(new.backing(port)));
    if let Some(port) = device.downcast_mut::<VirtualSerialPort>() {
        port.yield_on_poll = new.yield_on_poll;
    }
    Ok(vec![if is.is_some() { device::edit(device) } else { device::add(device) }])
}

impl SerialPlan {
    /// The version of the VM's configuration that this was planned from.
    pub fn change_version(&self) -> &str {
        self.change.seen.change_version()
    }

    /// Makes the change, and waits until it is made.
    ///
    /// # Errors
    /// `changed` if the VM's configuration is no longer the one that this was planned from, and the faults of the
    /// server.
    pub async fn carry_out(self) -> Result<SerialReport> {
        let Self { serial_port: was, act, change, .. } = self;
        let (machine, operation) = (change.seen.machine().clone(), change.operation);
        let done = change.carry_out().await?;
        let place = Place::of(&machine).await?;
        let key = was.as_ref().map(|port| port.key);
        let (after, changed) = match act {
            Act::Clear if done.after.is_running() => (reconnect(&machine, key, &done.after).await?, true),
            _ => (done.after, done.changed),
        };
        let by_key = |key: i32| found(&after, key);
        let added = || {
            let mut ports = after.of::<VirtualSerialPort>();
            ports.find(|(device, _)| done.before.by_key(device.key).is_none())
        };
        let port = key.map_or_else(added, by_key);
        let described = port.map(|(device, port)| place.describe(device, port));
        let device = port.map(|(device, _)| device);
        let (port, warnings) = match act {
            Act::Remove => (was, Vec::new()),
            Act::SetUp => (described, place.warnings()),
            Act::Link(wanted) => {
                (described, device.and_then(|device| wanted.note(&after, device)).into_iter().collect())
            }
            Act::Clear if after.is_running() => {
                (described, device.and_then(|device| Link::Up.note(&after, device)).into_iter().collect())
            }
            Act::Clear => (described, vec!["the VM does not run: nobody holds the line".to_owned()]),
        };
        if port.is_none() && act != Act::Remove {
            let text = "it was done, but then somebody else has removed the port".to_owned();
            return Err(Error::new(operation, ErrorKind::NotFound(text)).on(machine.label()));
        }
        Ok(report(&machine, &after, changed, port, warnings))
    }
}

/// Connects a port again that was disconnected a moment ago.
async fn reconnect(machine: &Mo<VirtualMachine>, key: Option<i32>, devices: &Devices) -> Result<Devices> {
    let seen = Seen::new(machine, devices.clone());
    let device = key.and_then(|key| seen.devices().by_key(key));
    let changes = device.map(|device| Link::Up.change(seen.devices(), device)).unwrap_or_default();
    let again = DeviceChange { seen: seen.clone(), operation: CLEAR, changes }.carry_out().await;
    Ok(again.map_err(|error| error.with_circumstance(Circumstance::LeftDisconnected))?.after)
}

fn found(devices: &Devices, key: i32) -> Option<Found<'_>> {
    let device: &Poly<VirtualDevice> = devices.by_key(key)?;
    Some((device, device.downcast_ref()?))
}
