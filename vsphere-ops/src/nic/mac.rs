//! MAC addresses: as people write them, who else has them, and how an adapter gets one.

use std::fmt;
use std::str::FromStr;

use futures::TryStreamExt;
use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{
    Poly, VirtualDevice, VirtualEthernetCard, VirtualEthernetCardMacType, VirtualMachinePowerState,
};

use super::{Nic, NicReport, lost, report};
use crate::client::Client;
use crate::device::{self, Device, DeviceChange, Devices, label};
use crate::error::{Error, ErrorKind, Result, invalid};

/// How many VMs are read at a time while it is looked for an address.
const PAGE: usize = 100;

/// A MAC address that an adapter can be given: six bytes, not of a group, and not zero.
///
/// ```
/// use vsphere_ops::nic::MacAddress;
///
/// let mac: MacAddress = "00-50-56-0A-0B-0C".parse()?;
/// assert_eq!(mac.to_string(), "00:50:56:0a:0b:0c");
/// assert_eq!(mac, "0050.560a.0b0c".parse()?);
/// assert!("01:00:5e:00:00:01".parse::<MacAddress>().is_err()); // of a group
/// assert!(!mac.is_servers_own()); // no server will give it to another adapter
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// Whether it is in a range from which servers give addresses by themselves, so that they may give it to another
    /// adapter, too: that of vCenter and ESXi above `00:50:56:3f`, and those of ESXi without a vCenter.
    pub fn is_servers_own(self) -> bool {
        match self.0 {
            [0x00, 0x50, 0x56, fourth, ..] => fourth > 0x3f,
            [0x00, 0x0c, 0x29, ..] | [0x00, 0x05, 0x69, ..] => true,
            _ => false,
        }
    }
}

impl FromStr for MacAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |why: &str| {
            let text = format!("{text:?} is no MAC address for an adapter: {why}");
            Err(invalid("set the MAC address", text))
        };
        let groups: Vec<&str> = text.trim().split([':', '-', '.']).collect();
        // Six groups of two digits, three of four, or all in one.
        let digits = match groups.len() {
            6 if groups.iter().all(|group| group.len() == 2) => groups.concat(),
            3 if groups.iter().all(|group| group.len() == 4) => groups.concat(),
            1 => groups.concat(),
            _ => String::new(),
        };
        let mut bytes = [0; 6];
        if digits.len() != 12 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return refused("write it as 00:50:56:0a:0b:0c");
        }
        let Ok(number) = u64::from_str_radix(&digits, 16) else { return refused("write it as 00:50:56:0a:0b:0c") };
        bytes.copy_from_slice(&number.to_be_bytes()[2..]);
        match bytes {
            [first, ..] if first & 1 == 1 => refused("its first byte is odd, so it stands for a group of adapters"),
            [0, 0, 0, 0, 0, 0] => refused("it is zero"),
            _ => Ok(Self(bytes)),
        }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A plan to give an adapter a MAC address.
///
/// ```
/// use vsphere_ops::nic::MacChange;
///
/// fn question(change: &MacChange) -> String {
///     format!("{} of {}: {:?} becomes {}?", change.label, change.vm, change.mac, change.new_mac)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is changed before it is carried out"]
pub struct MacChange {
    /// The VM's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// The adapter.
    pub label: String,
    /// Its key.
    pub key: i32,
    /// The network that it is plugged into.
    pub network: Option<String>,
    /// The address that it has.
    pub mac: Option<String>,
    /// The one that it would get.
    pub new_mac: String,
    /// What speaks against it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Whether that is another address.
    #[serde(skip)]
    pub changes: bool,
    #[serde(skip)]
    change: DeviceChange,
}

impl Device<Nic> {
    /// Plans to give the adapter this MAC address. Any address of one adapter will do; `00:50:56:00:00:00` to
    /// `00:50:56:3f:ff:ff` are meant for it. The VM has to be off.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let nic = client.get::<VirtualMachine>("web-04").await?.nic("Network adapter 1").await?;
    /// let change = nic.mac_change("00:50:56:0a:0b:0c".parse()?).await?;
    /// println!("{:?} would go; {:?}; seen at {}", change.mac, change.warnings, change.change_version());
    /// change.carry_out().await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `unsupported` if the VM is not off, and server errors.
    pub async fn mac_change(&self, mac: MacAddress) -> Result<MacChange> {
        let named = self.named(SET_MAC);
        let (device, card) = self.found::<VirtualEthernetCard>(SET_MAC)?;
        let mut changes = Vec::new();
        if !has_mac(card, mac) {
            must_be_off(self.seen().devices()).map_err(&named)?;
            let mut device = device.clone();
            if let Some(card) = device.downcast_mut::<VirtualEthernetCard>() {
                card.address_type = Some(VirtualEthernetCardMacType::Manual.as_str().to_owned());
                card.mac_address = Some(mac.to_string());
            }
            changes.push(device::edit(device));
        }
        Ok(MacChange {
            vm: self.vm().label().to_owned(),
            id: self.vm().id().to_owned(),
            label: self.label.clone(),
            key: self.key(),
            network: self.network.clone(),
            mac: self.mac.clone(),
            new_mac: mac.to_string(),
            warnings: mac_warnings(self.vm().client(), mac, self.vm().id()).await?,
            changes: !changes.is_empty(),
            change: self.change(SET_MAC, changes),
        })
    }
}

impl MacChange {
    /// The version of the VM's configuration that this was planned from.
    pub fn change_version(&self) -> &str {
        self.change.seen.change_version()
    }

    /// Gives the adapter the address, and waits until it has it.
    ///
    /// # Errors
    /// `changed` if the VM's configuration is no longer the one that this was planned from, and the faults of the
    /// server.
    pub async fn carry_out(self) -> Result<NicReport> {
        let machine = self.change.seen.machine().clone();
        let done = self.change.carry_out().await?;
        let after = done.after.by_key(self.key).and_then(|device| Some((device, device.downcast_ref()?)));
        report(&machine, after.ok_or_else(|| lost(&machine, SET_MAC))?, done.changed, self.warnings).await
    }
}

const SET_MAC: &str = "set the MAC address of";

fn has_mac(card: &VirtualEthernetCard, mac: MacAddress) -> bool {
    card.mac_address.as_deref().and_then(|its| its.parse().ok()) == Some(mac)
}

fn must_be_off(devices: &Devices) -> Result<()> {
    if devices.power_state == VirtualMachinePowerState::PoweredOff {
        return Ok(());
    }
    let text = "the VM is not off, and an adapter keeps its address while it is in use: power it off first";
    Err(Error::new(SET_MAC, ErrorKind::Unsupported(text.to_owned())))
}

async fn mac_warnings(client: &Client, mac: MacAddress, own: &str) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    if mac.is_servers_own() {
        warnings.push(format!("{mac} is in a range from which servers assign addresses by themselves"));
    }
    let others = others_with(client, mac, own).await.map_err(|error| error.in_operation(SET_MAC))?;
    if !others.is_empty() {
        warnings.push(format!("{mac} is also the address of {}", others.join(", ")));
    }
    Ok(warnings)
}

/// The adapters of other VMs that have this address, as `label of VM`. All VMs are looked at, because no
/// index of the server knows addresses of VMs that are off.
async fn others_with(client: &Client, mac: MacAddress, own: &str) -> Result<Vec<String>> {
    let mut pages = client.all::<VirtualMachine>().select((vm::NAME, vm::DEVICES)).stream(PAGE);
    let mut found = Vec::new();
    while let Some(page) = pages.try_next().await? {
        for (machine, (name, devices)) in page {
            let has_it = |device: &&Poly<VirtualDevice>| {
                let card = device.downcast_ref::<VirtualEthernetCard>();
                let its = card.and_then(|card| card.mac_address.as_deref()?.parse::<MacAddress>().ok());
                its == Some(mac)
            };
            if machine.id() != own {
                let name = crate::name::decode(&name);
                found.extend(devices.iter().filter(has_it).map(|card| format!("{} of {name}", label(card))));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    #[test]
    fn an_address_is_read_however_it_is_written() {
        for text in ["00:50:56:0A:0b:0c", "00-50-56-0a-0b-0c", "0050.560a.0b0c", "0050560A0B0C", " 00:50:56:0a:0b:0c "]
        {
            assert_eq!(text.parse::<MacAddress>().unwrap().to_string(), "00:50:56:0a:0b:0c");
        }
        let wrong = [
            "",
            "00:50:56:0a:0b",
            "00:50:56:0a:0b:0c:0d",
            "00:50:56:0a:0b:0g",
            "0:0:50:56:0a:0b",
            "005:056:0a:0b:0c:0d",
            "ff:ff:ff:ff:ff:ff",
            "01:50:56:0a:0b:0c",
            "00:00:00:00:00:00",
            "+050560A0B0C",
            "ä050560A0B0",
        ];
        for text in wrong {
            let error = text.parse::<MacAddress>().unwrap_err();
            assert_eq!(error.code(), "invalid_argument", "{text}");
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn ranges_that_servers_draw_from_are_known() {
        let own = |text: &str| text.parse::<MacAddress>().unwrap().is_servers_own();
        for text in ["00:50:56:40:00:00", "00:50:56:bf:00:01", "00:0c:29:00:00:01", "00:05:69:00:00:01"] {
            assert!(own(text), "{text}");
        }
        for text in ["00:50:56:00:00:01", "00:50:56:3f:ff:ff", "02:00:00:00:00:01", "3c:ec:ef:00:00:01"] {
            assert!(!own(text), "{text}");
        }
    }
}
