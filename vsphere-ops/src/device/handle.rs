//! A device of a VM as a handle: what operations on it are called on.

use std::ops::Deref;

use vsphere_model::managed::VirtualMachine;
use vsphere_model::types::{Poly, VirtualDevice, VirtualMachinePowerState};
use vsphere_soap::object::DataType;

use super::{DeviceChange, Seen};
use crate::error::{Error, ErrorKind, Result};
use crate::mo::Mo;

/// A device of a VM as it was seen at one moment: a [`Disk`](crate::disk::Disk), a [`Nic`](crate::nic::Nic)…
///
/// It derefs to what is known of the device. Its methods plan changes of exactly this device, by its key and by the
/// version of the VM's configuration, and never look it up by its label again. Once the VM has changed, its plans are
/// refused as `changed`: get the device again to plan from what is there now.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
///
/// let web = client.get::<VirtualMachine>("web-01").await?;
/// let disk = web.disk("Hard disk 1").await?;
/// println!("{} of {} has {} bytes", disk.label, disk.vm().label(), disk.capacity_bytes);
/// println!("key {}, seen at {:?} while {}", disk.key(), disk.change_version(), disk.power_state());
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
pub struct Device<T> {
    seen: Seen,
    key: i32,
    facts: T,
}

impl<T> Device<T> {
    pub(crate) fn new(seen: &Seen, key: i32, facts: T) -> Self {
        Self { seen: seen.clone(), key, facts }
    }

    /// The VM that has it.
    pub fn vm(&self) -> &Mo<VirtualMachine> {
        self.seen.machine()
    }

    /// Its key, which no other device of the VM has.
    pub fn key(&self) -> i32 {
        self.key
    }

    /// The state of the VM when it was seen.
    pub fn power_state(&self) -> &VirtualMachinePowerState {
        &self.seen.devices().power_state
    }

    /// The version of the VM's configuration that it was seen in: opaque, another one after each change.
    pub fn change_version(&self) -> &str {
        self.seen.change_version()
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The device as the API has it.
    pub(crate) fn found<D: DataType>(&self, operation: &str) -> Result<(&Poly<VirtualDevice>, &D)> {
        let device = self.seen.devices().by_key(self.key);
        device.and_then(|device| Some((device, device.downcast_ref::<D>()?))).ok_or_else(|| {
            let text = format!("the device with the key {} is of another type", self.key);
            Error::new(operation, ErrorKind::NotFound(text)).on(self.vm().label())
        })
    }

    /// A change of it, or of other devices for its sake.
    pub(crate) fn change(
        &self,
        operation: &'static str,
        changes: Vec<vsphere_model::types::VirtualDeviceConfigSpec>,
    ) -> DeviceChange {
        DeviceChange { seen: self.seen.clone(), operation, changes }
    }

    /// Adds to an error what it was that failed.
    pub(crate) fn named(&self, operation: &str) -> impl Fn(Error) -> Error {
        let label = self.vm().label().to_owned();
        let operation = operation.to_owned();
        move |error| error.in_operation(&operation).on(&label)
    }
}

impl<T> Deref for Device<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.facts
    }
}
