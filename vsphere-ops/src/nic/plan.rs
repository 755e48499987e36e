//! Changes of an adapter that is there, planned and carried out.

use serde::Serialize;
use vsphere_model::managed::Network;
use vsphere_model::types::{VirtualEthernetCard, VirtualMachinePowerState};

use super::network::{self, Outlet};
use super::{Nic, NicInfo, NicReport, lost, report};
use crate::device::{self, Device, DeviceChange};
use crate::error::Result;
use crate::link::Link;
use crate::mo::Mo;

/// A plan to remove an adapter, to connect or disconnect it, or to plug it into another network.
///
/// ```
/// use vsphere_ops::nic::NicPlan;
///
/// fn warning(plan: &NicPlan) -> Option<String> {
///     plan.cuts_off().then(|| format!("{} is in use in {:?}", plan.info.nic.label, plan.info.nic.network))
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is changed before it is carried out"]
pub struct NicPlan {
    /// The adapter as it is.
    #[serde(flatten)]
    pub info: NicInfo,
    #[serde(skip)]
    act: Act,
    #[serde(skip)]
    change: DeviceChange,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Remove,
    Link(Link),
    Plug,
}

impl Device<Nic> {
    /// All about the adapter.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::managed::VirtualMachine;
    /// let info = client.get::<VirtualMachine>("web-01").await?.nic("Network adapter 1").await?.info();
    /// println!("{:?} at port {:?} of {:?}", info.nic.mac, info.port, info.nic.network);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn info(&self) -> NicInfo {
        let device = self.seen().devices().by_key(self.key());
        let card = device.and_then(|device| device.downcast_ref::<VirtualEthernetCard>());
        let allocation = card.and_then(|card| card.resource_allocation.as_ref());
        let port = device.and_then(|device| device.backing.as_ref()).and_then(network::port);
        let connectable = device.and_then(|device| device.connectable.as_ref());
        NicInfo {
            vm: self.vm().label().to_owned(),
            id: self.vm().id().to_owned(),
            power_state: self.power_state().clone(),
            nic: (**self).clone(),
            port: port.and_then(|port| port.port_key.clone()),
            switch_uuid: port.map(|port| port.switch_uuid.clone()),
            allow_guest_control: connectable.map(|info| info.allow_guest_control),
            wake_on_lan: card.and_then(|card| card.wake_on_lan_enabled),
            shares: allocation.map(|allocation| allocation.share.shares),
            limit_mbps: allocation.and_then(|allocation| allocation.limit),
            reservation_mbps: allocation.and_then(|allocation| allocation.reservation),
        }
    }

    /// Plans to take the adapter out, also while the VM runs.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::managed::VirtualMachine;
    /// let nic = client.get::<VirtualMachine>("web-01").await?.nic("Network adapter 1").await?;
    /// let removal = nic.removal();
    /// println!("in use: {}, seen at {}", removal.cuts_off(), removal.change_version());
    /// println!("{:?} is free", removal.carry_out().await?.nic.mac);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn removal(&self) -> NicPlan {
        let device = self.seen().devices().by_key(self.key());
        let changes = device.map(|device| device::remove(device.clone())).into_iter().collect();
        self.plan(Act::Remove, self.change("remove a network adapter of", changes))
    }

    /// Plans to connect the adapter: at once where the VM runs, else from its next power on.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::managed::VirtualMachine;
    /// let nic = client.get::<VirtualMachine>("web-01").await?.nic("Network adapter 1").await?;
    /// let report = nic.connection().carry_out().await?;
    /// println!("{:?}, from power on {:?}", report.nic.connected, report.nic.start_connected);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn connection(&self) -> NicPlan {
        self.linking("connect a network adapter of", Link::Up)
    }

    /// Plans to disconnect the adapter, as if its cable were pulled: at once where the VM runs, else from its next power
    /// on.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::managed::VirtualMachine;
    /// let nic = client.get::<VirtualMachine>("web-01").await?.nic("4000").await?;
    /// let report = nic.disconnection().carry_out().await?;
    /// report.warnings.iter().for_each(|warning| println!("{warning}")); // such as: connected again at the next power on
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn disconnection(&self) -> NicPlan {
        self.linking("disconnect a network adapter of", Link::Down)
    }

    fn linking(&self, operation: &'static str, wanted: Link) -> NicPlan {
        let devices = self.seen().devices();
        let changes = devices.by_key(self.key()).map(|device| wanted.change(devices, device)).unwrap_or_default();
        self.plan(Act::Link(wanted), self.change(operation, changes))
    }

    /// Plans to plug the adapter into another network, also while the VM runs. Whether it is connected stays as it is.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// let db = web.network("prod-db").await?;
    /// let report = web.nic("Network adapter 1").await?.plugging(&db).await?.carry_out().await?;
    /// assert_eq!(report.nic.network.as_deref(), Some("prod-db"));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` for a network that holds the uplinks of a switch, and server errors.
    pub async fn plugging(&self, network: &Mo<Network>) -> Result<NicPlan> {
        const OPERATION: &str = "change the network of";
        let outlet = Outlet::of(network).await?;
        let (device, _) = self.found::<VirtualEthernetCard>(OPERATION)?;
        let mut changes = Vec::new();
        if !outlet.has(device) {
            let mut device = device.clone();
            device.backing = Some(outlet.backing);
            changes.push(device::edit(device));
        }
        Ok(self.plan(Act::Plug, self.change(OPERATION, changes)))
    }

    fn plan(&self, act: Act, change: DeviceChange) -> NicPlan {
        NicPlan { info: self.info(), act, change }
    }
}

impl NicPlan {
    /// The version of the VM's configuration that this was planned from.
    pub fn change_version(&self) -> &str {
        self.change.seen.change_version()
    }

    /// Whether there is anything to change, and somebody may be using the adapter now.
    pub fn cuts_off(&self) -> bool {
        let runs = self.info.power_state == VirtualMachinePowerState::PoweredOn;
        runs && self.info.nic.connected != Some(false) && !self.change.changes.is_empty()
    }

    /// Makes the change, and waits until it is made.
    ///
    /// # Errors
    /// `changed` if the VM's configuration is no longer the one that this was planned from, and the faults of the
    /// server.
    pub async fn carry_out(self) -> Result<NicReport> {
        let machine = self.change.seen.machine().clone();
        let (key, operation) = (self.info.nic.key, self.change.operation);
        let done = self.change.carry_out().await?;
        if self.act == Act::Remove {
            // Now neither the guest nor the server knows it any longer.
            let (vm, id, nic) = (machine.label().to_owned(), machine.id().to_owned(), self.info.nic);
            return Ok(NicReport { vm, id, changed: done.changed, nic, warnings: Vec::new() });
        }
        let after = done.after.by_key(key).and_then(|device| Some((device, device.downcast_ref()?)));
        let after: (_, &VirtualEthernetCard) = after.ok_or_else(|| lost(&machine, operation))?;
        let warnings = match self.act {
            Act::Link(wanted) => wanted.note(&done.after, after.0),
            _ => {
                let connected = after.0.connectable.as_ref().is_none_or(|info| info.connected);
                let apart = done.after.is_running() && !connected;
                apart.then(|| "it is disconnected".to_owned())
            }
        };
        report(&machine, after, done.changed, warnings.into_iter().collect()).await
    }
}
