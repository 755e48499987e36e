//! What a host is made of.

use serde::Serialize;
use vsphere_model::managed::{HostSystem, host_system as host};
use vsphere_model::types::{
    HostFibreChannelHba, HostGraphicsInfo, HostHostBusAdapter, HostInternetScsiHba, HostPciDevice, PhysicalNic, Poly,
};
use vsphere_soap::object::{Property, format_date_time};

use super::networking::{self, PhysicalAdapter};
use crate::error::Result;
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::units::Size;

/// What a host is made of.
///
/// ```
/// use vsphere_ops::host::HostHardware;
///
/// fn cores_per_socket(host: &HostHardware) -> Option<i16> {
///     host.cpu_cores?.checked_div(host.cpu_sockets?)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostHardware {
    /// The host's name.
    pub host: String,
    /// Its managed object id.
    pub id: String,
    /// Who built it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// The UUID of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The version of its firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bios_version: Option<String>,
    /// When that was released, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bios_released: Option<String>,
    /// The model of its CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    /// The speed of a core in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_mhz: Option<i32>,
    /// CPU sockets in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_sockets: Option<i16>,
    /// CPU cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<i16>,
    /// CPU threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_threads: Option<i16>,
    /// How it saves power, by the hypervisor's own name (`Balanced`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_policy: Option<String>,
    /// Memory in GiB.
    #[serde(rename = "memory_gb", skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// NUMA nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa_nodes: Option<i32>,
    /// Whether it has a Trusted Platform Module, where the server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<bool>,
    /// Adapters to storage.
    pub storage_adapters: Vec<StorageAdapter>,
    /// Network adapters.
    pub physical_nics: Vec<PhysicalAdapter>,
    /// Graphics devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub graphics: Vec<GraphicsDevice>,
    /// PCI devices.
    pub pci_devices: Vec<PciDevice>,
    /// What is not known of it, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// An adapter of a host to storage.
///
/// ```
/// use vsphere_ops::host::StorageAdapter;
///
/// fn is_in_trouble(adapter: &StorageAdapter) -> bool {
///     !matches!(adapter.status.as_str(), "online" | "unbound" | "unknown")
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StorageAdapter {
    /// Its name on the host (`vmhba2`).
    pub device: String,
    /// How it reaches the storage.
    pub kind: StorageAdapterKind,
    /// The model.
    pub model: String,
    /// `online`, `offline`, `fault`, `unbound` or `unknown`.
    pub status: String,
    /// The driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// By what the storage knows it: the WWN of a port, in hexadecimal, or an iSCSI name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// How an adapter reaches storage.
///
/// ```
/// use vsphere_ops::host::StorageAdapterKind;
///
/// assert_eq!(serde_json::to_string(&StorageAdapterKind::FibreChannel).unwrap(), r#""fibre_channel""#);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StorageAdapterKind {
    /// Over Fibre Channel, also over Ethernet.
    FibreChannel,
    /// Over iSCSI.
    Iscsi,
    /// Inside the machine, or in a way that the API has no type for.
    Other,
}

/// A graphics device of a host.
///
/// ```
/// use vsphere_ops::host::GraphicsDevice;
///
/// fn line(device: &GraphicsDevice) -> String {
///     format!("{} {} with {}", device.vendor, device.model, device.memory)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GraphicsDevice {
    /// Who built it.
    pub vendor: String,
    /// The model.
    pub model: String,
    /// Its place on the PCI bus.
    pub pci: String,
    /// How VMs use it: `basic`, `shared`, `sharedDirect` or `direct`.
    pub mode: String,
    /// Its memory in GiB.
    #[serde(rename = "memory_gb")]
    pub memory: Size,
    /// How many VMs use it.
    pub vms: usize,
}

/// A PCI device of a host.
///
/// ```
/// use vsphere_ops::host::PciDevice;
///
/// fn line(device: &PciDevice) -> String {
///     format!("{} {} {}", device.pci, device.vendor, device.name)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PciDevice {
    /// Its place (`0000:3b:00.0`).
    pub pci: String,
    /// Who built it.
    pub vendor: String,
    /// The name.
    pub name: String,
}

const ADAPTERS: Property<HostSystem, Option<Vec<Poly<HostHostBusAdapter>>>> =
    Property::new("config.storageDevice.hostBusAdapter");
const PHYSICAL: Property<HostSystem, Option<Vec<PhysicalNic>>> = Property::new("config.network.pnic");
const GRAPHICS: Property<HostSystem, Option<Vec<HostGraphicsInfo>>> = Property::new("config.graphicsInfo");
const TPM: Property<HostSystem, Option<bool>> = Property::new("capability.tpmSupported");

impl Mo<HostSystem> {
    /// Reads what the host is made of. Of one that is disconnected, vCenter may know no more than its summary says.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::HostSystem;
    ///
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?.hardware().await?;
    /// println!("{:?} {:?}, serial number {:?}", host.vendor, host.model, host.serial_number);
    /// for adapter in &host.storage_adapters {
    ///     println!("{} {:?} {}", adapter.device, adapter.address, adapter.status);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors, such as a host that is gone.
    pub async fn hardware(&self) -> Result<HostHardware> {
        let ((hardware, summary, adapters, nics, graphics, tpm), gaps) =
            self.read_known((host::HARDWARE, host::SUMMARY_HARDWARE, ADAPTERS, PHYSICAL, GRAPHICS, TPM)).await?;
        let system = hardware.as_ref().map(|hardware| &hardware.system_info);
        let bios = hardware.as_ref().and_then(|hardware| hardware.bios_info.as_ref());
        let power = hardware.as_ref().and_then(|hardware| hardware.cpu_power_management_info.as_ref());
        let of_summary = |of: fn(&vsphere_model::types::HostHardwareSummary) -> i16| summary.as_ref().map(of);
        Ok(HostHardware {
            host: self.label().to_owned(),
            id: self.id().to_owned(),
            vendor: summary.as_ref().map(|summary| summary.vendor.clone()),
            model: summary.as_ref().map(|summary| summary.model.clone()),
            serial_number: system.and_then(|system| system.serial_number.clone()),
            uuid: summary.as_ref().map(|summary| summary.uuid.clone()),
            bios_version: bios.and_then(|bios| bios.bios_version.clone()),
            bios_released: bios.and_then(|bios| bios.release_date.as_ref()).map(format_date_time),
            cpu_model: summary.as_ref().map(|summary| summary.cpu_model.clone()),
            cpu_mhz: summary.as_ref().map(|summary| summary.cpu_mhz),
            cpu_sockets: of_summary(|summary| summary.num_cpu_pkgs),
            cpu_cores: of_summary(|summary| summary.num_cpu_cores),
            cpu_threads: of_summary(|summary| summary.num_cpu_threads),
            power_policy: power.and_then(|power| power.current_policy.clone()),
            memory: summary.as_ref().map(|summary| Size::of_bytes(summary.memory_size)),
            numa_nodes: hardware.as_ref().and_then(|hardware| hardware.numa_info.as_ref()).map(|numa| numa.num_nodes),
            tpm,
            storage_adapters: adapters.unwrap_or_default().iter().map(storage_adapter).collect(),
            physical_nics: networking::physical(&nics.unwrap_or_default()),
            graphics: graphics.unwrap_or_default().iter().map(graphics_device).collect(),
            pci_devices: hardware
                .map(|hardware| hardware.pci_device)
                .unwrap_or_default()
                .iter()
                .map(pci_device)
                .collect(),
            gaps,
        })
    }
}

fn storage_adapter(adapter: &Poly<HostHostBusAdapter>) -> StorageAdapter {
    let fibre = adapter.downcast_ref::<HostFibreChannelHba>();
    let iscsi = adapter.downcast_ref::<HostInternetScsiHba>();
    StorageAdapter {
        device: adapter.device.clone(),
        kind: match (fibre, iscsi) {
            (Some(_), _) => StorageAdapterKind::FibreChannel,
            (_, Some(_)) => StorageAdapterKind::Iscsi,
            _ => StorageAdapterKind::Other,
        },
        model: adapter.model.clone(),
        status: adapter.status.clone(),
        driver: adapter.driver.clone(),
        address: fibre
            .map(|fibre| world_wide_name(fibre.port_world_wide_name))
            .or_else(|| iscsi.map(|iscsi| iscsi.i_scsi_name.clone())),
    }
}

/// A WWN as people write it: `21:00:00:24:ff:00:00:10`.
fn world_wide_name(name: i64) -> String {
    name.to_be_bytes().map(|byte| format!("{byte:02x}")).join(":")
}

fn graphics_device(device: &HostGraphicsInfo) -> GraphicsDevice {
    GraphicsDevice {
        vendor: device.vendor_name.clone(),
        model: device.device_name.clone(),
        pci: device.pci_id.clone(),
        mode: device.graphics_type.clone(),
        memory: Size::of_bytes(device.memory_size_in_kb.saturating_mul(1024)),
        vms: device.vm.len(),
    }
}

fn pci_device(device: &HostPciDevice) -> PciDevice {
    PciDevice { pci: device.id.clone(), vendor: device.vendor_name.clone(), name: device.device_name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_wide_name_is_written_in_pairs() {
        assert_eq!(world_wide_name(0x2100_0024_ff00_0010), "21:00:00:24:ff:00:00:10");
        assert_eq!(world_wide_name(-1), ["ff"; 8].join(":"));
    }
}
