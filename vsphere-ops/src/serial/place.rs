//! The host of a VM: where its serial ports are reached, what keeps them from that, and which network ports are free.

use vsphere_model::managed::{HostSystem, VirtualMachine, host_system as host, virtual_machine as vm};
use vsphere_model::types::{HostFirewallInfo, ManagedObjectReference, Poly, VirtualDevice, VirtualSerialPort};
use vsphere_soap::object::Property;

use super::uri::{self, Uri};
use super::{SET_UP, SerialPort, is_server, kind, uri_of};
use crate::client::Client;
use crate::device::label;
use crate::error::{Result, invalid};
use crate::find;
use crate::mo::Mo;
use crate::read::Values;
use crate::vm::optional;

/// The rule set of a host's firewall that lets serial ports through.
const RULESET: &str = "remoteSerialPort";

/// The network ports that are handed out: above those that hosts listen on themselves, below those that they call from.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// The host that a VM is on, as far as its serial ports need it.
pub(super) struct Place {
    host: Option<ManagedObjectReference>,
    pub(super) host_name: Option<String>,
    firewall: Option<HostFirewallInfo>,
}

impl Place {
    pub(super) async fn of(machine: &Mo<VirtualMachine>) -> Result<Self> {
        const FIREWALL: Property<HostSystem, Option<HostFirewallInfo>> = Property::new("config.firewall");
        let host = machine.read(vm::HOST).await?;
        let content = match &host {
            Some(host) => find::details(machine.client(), [host.clone()], &["name", FIREWALL.path()]).await?.pop(),
            None => None,
        };
        let host_name = content.as_ref().and_then(find::name_of);
        let firewall = content
            .and_then(|content| optional(&mut Values::new(content.prop_set, content.missing_set), FIREWALL.path()));
        Ok(Self { host, host_name, firewall })
    }

    /// What keeps the host's serial ports from the network.
    pub(super) fn warnings(&self) -> Vec<String> {
        let rules = self.firewall.as_ref().and_then(|firewall| firewall.ruleset.iter().find(|set| set.key == RULESET));
        if rules.is_none_or(|rules| rules.enabled) {
            return Vec::new();
        }
        vec![format!(
            "the firewall of host {} keeps serial ports from the network: enable its rule set {RULESET} (on the host: \
             esxcli network firewall ruleset set --ruleset-id {RULESET} --enabled true)",
            self.host_name.as_deref().unwrap_or("of the VM")
        )]
    }

    /// The network ports that serial ports of the host's VMs listen on, also of those that are off.
    pub(super) async fn taken(&self, client: &Client) -> Result<Vec<Taken>> {
        let Some(host) = &self.host else { return Ok(Vec::new()) };
        let host: Mo<HostSystem> = Mo::new(client, host, self.host_name.clone());
        let machines = host.read(host::VM).await?;
        let mut taken = Vec::new();
        for content in find::details(client, machines, &["name", vm::DEVICES.path()]).await? {
            let name = find::label(&content);
            let id = content.obj.value;
            let devices: Option<Vec<Poly<VirtualDevice>>> =
                optional(&mut Values::new(content.prop_set, content.missing_set), vm::DEVICES.path());
            for device in devices.iter().flatten().filter(|device| device.is::<VirtualSerialPort>()) {
                let backing = uri_of(device).filter(|backing| is_server(backing));
                if let Some(port) = backing.and_then(|backing| Uri::parse(&backing.service_uri).port) {
                    taken.push(Taken { port, vm: name.clone(), vm_id: id.clone(), key: device.key });
                }
            }
        }
        Ok(taken)
    }

    pub(super) fn describe(&self, device: &Poly<VirtualDevice>, port: &VirtualSerialPort) -> SerialPort {
        let link = device.connectable.as_ref();
        let backing = uri_of(device);
        let uri = backing.map(|backing| Uri::parse(&backing.service_uri));
        let connection = backing.zip(uri.as_ref()).and_then(|(backing, uri)| match is_server(backing) {
            true => Some(uri::write(&uri.protocol, self.host_name.as_deref()?, uri.port?)),
            false => Some(backing.service_uri.clone()),
        });
        SerialPort {
            label: label(device),
            key: device.key,
            kind: kind(device),
            protocol: uri.as_ref().map(|uri| uri.protocol.clone()),
            direction: backing.map(|backing| backing.direction.clone()),
            port: uri.and_then(|uri| uri.port),
            connection,
            service_uri: backing.map(|backing| backing.service_uri.clone()),
            proxy_uri: backing.and_then(|backing| backing.proxy_uri.clone()).filter(|proxy| !proxy.is_empty()),
            yield_on_poll: port.yield_on_poll,
            connected: link.map(|link| link.connected),
            start_connected: link.map(|link| link.start_connected),
        }
    }
}

/// A network port that a serial port listens on.
pub(super) struct Taken {
    pub(super) port: u16,
    pub(super) vm: String,
    vm_id: String,
    key: i32,
}

impl Taken {
    pub(super) fn is(&self, machine: &Mo<VirtualMachine>, key: Option<i32>) -> bool {
        self.vm_id == machine.id() && Some(self.key) == key
    }
}

/// A network port that no serial port of the host has. Each VM has another one to begin with, so that several that
/// are set up at once, or meet on a host later, do not get the same.
pub(super) fn free_port(machine: &Mo<VirtualMachine>, taken: &[&Taken]) -> Result<u16> {
    let id = machine.id().bytes().filter(u8::is_ascii_digit);
    let number = id.fold(0_u64, |number, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    let begin = u16::try_from(number % u64::from(PORTS.end - PORTS.start)).unwrap_or_default();
    let mut ports = (PORTS.start + begin..PORTS.end).chain(PORTS.start..PORTS.start + begin);
    ports.find(|port| taken.iter().all(|taken| taken.port != *port)).ok_or_else(|| {
        let text = format!("all network ports from {} to {} are taken: give one", PORTS.start, PORTS.end - 1);
        invalid(SET_UP, text)
    })
}
