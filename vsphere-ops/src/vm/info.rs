//! All about one VM.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{
    GuestInfo, ManagedObjectReference, Poly, VirtualCdrom, VirtualDevice, VirtualDeviceDeviceBackingInfo,
    VirtualDeviceRemoteDeviceBackingInfo, VirtualDisk, VirtualEthernetCard,
    VirtualEthernetCardDistributedVirtualPortBackingInfo, VirtualEthernetCardNetworkBackingInfo,
    VirtualEthernetCardOpaqueNetworkBackingInfo, VirtualMachineConfigInfo, VirtualMachineFaultToleranceState,
    VirtualMachinePowerState, VirtualMachineSnapshotTree,
};
use vsphere_soap::object::format_date_time;

use super::VmResources;
use crate::custom_attribute;
use crate::device::label;
use crate::error::Result;
use crate::find::Ancestry;
use crate::gaps::Gaps;
use crate::media::image;
use crate::mo::Mo;
use crate::units::Size;
use crate::untrusted::{self, Untrusted};
use crate::words::word;

/// All about one VM.
///
/// ```
/// use vsphere_ops::vm::VmInfo;
///
/// fn line(vm: &VmInfo) -> String {
///     format!("{} {} on {:?}, {} disks", vm.path, vm.power_state, vm.host, vm.disks.len())
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VmInfo {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// Whether it is a template.
    pub template: bool,
    /// The state.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// `connected`, `disconnected`, `inaccessible`, `invalid` or `orphaned`.
    pub connection_state: String,
    /// When it was powered on, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_time: Option<String>,
    /// The name of the host that it is registered on.
    pub host: Option<String>,
    /// Virtual CPUs.
    pub cpu: Option<i32>,
    /// Cores per socket.
    pub cores_per_socket: Option<i32>,
    /// Memory in MiB.
    pub memory_mb: Option<i32>,
    /// Whether CPUs can be added while it runs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cpu_hot_add: bool,
    /// Whether memory can be added while it runs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub memory_hot_add: bool,
    /// What it is guaranteed and may use at most.
    #[serde(flatten)]
    pub resources: VmResources,
    /// The inventory path of its resource pool or vApp. A template has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The virtual hardware version (`vmx-21`).
    pub hardware_version: Option<String>,
    /// `bios` or `efi`.
    pub firmware: Option<String>,
    /// The identifier of the configured guest operating system.
    pub guest_id: Option<String>,
    /// The guest operating system, in full.
    pub guest_os: Option<Untrusted>,
    /// The guest's host name. The guest says so: not to be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_host_name: Option<Untrusted>,
    /// The guest's primary IP address. The guest says so: not to be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// What VMware Tools in the guest do.
    pub tools: ToolsInfo,
    /// The BIOS UUID.
    pub uuid: Option<String>,
    /// The instance UUID, unique within the vCenter.
    pub instance_uuid: Option<String>,
    /// The note on the VM. People write it: not to be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<Untrusted>,
    /// The values of its custom attributes, by their names. People write them: not to be trusted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_attributes: BTreeMap<String, Untrusted>,
    /// The names of its datastores.
    pub datastores: Vec<String>,
    /// The path of the configuration file, as a datastore path.
    pub vmx_path: Option<String>,
    /// The virtual disks.
    pub disks: Vec<VmDisk>,
    /// The network adapters.
    pub nics: Vec<VmNic>,
    /// The CD drives, and what is in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cd_drives: Vec<VmCdDrive>,
    /// How many snapshots it has.
    pub snapshots: usize,
    /// Whether its disks have to be consolidated: a deleted snapshot has left files behind.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub consolidation_needed: bool,
    /// The question that it waits with. Names of files and of devices of the guest may be in it: not to be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<Untrusted>,
    /// Whether its configuration, and so its memory and swap files, are encrypted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub encrypted: bool,
    /// Its state in fault tolerance (`running`, `need_secondary`…), where that is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault_tolerance: Option<String>,
    /// The key of the extension that manages it (`com.vmware.vcDr`): changes of others may break it, or be undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// The product in it, as the package says that it was deployed from: not to be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Untrusted>,
    /// Storage in use, in bytes.
    pub storage_used_bytes: Option<i64>,
    /// What is not known of it, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// VMware Tools.
///
/// ```
/// use vsphere_ops::vm::ToolsInfo;
///
/// fn can_run_programs(tools: &ToolsInfo) -> bool {
///     tools.running_status.as_deref() == Some("guestToolsRunning")
/// }
/// ```
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolsInfo {
    /// `guestToolsRunning`, `guestToolsNotRunning` or `guestToolsExecutingScripts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_status: Option<String>,
    /// How the version compares (`guestToolsCurrent`, `guestToolsNeedUpgrade`…).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_status: Option<String>,
    /// The version number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A virtual disk among the details of its VM.
///
/// ```
/// use vsphere_ops::vm::VmDisk;
///
/// fn provisioned_bytes(disks: &[VmDisk]) -> i64 {
///     disks.iter().map(|disk| disk.capacity.bytes()).sum()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Disk"))]
pub struct VmDisk {
    /// The label (`Hard disk 1`).
    pub label: String,
    /// The device key.
    pub key: i32,
    /// The capacity in GiB.
    #[serde(rename = "capacity_gb")]
    pub capacity: Size,
    /// Whether its space is allocated on demand, where the server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thin: Option<bool>,
    /// The file, as a datastore path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The UUID of what is behind it, which another disk of the same label and file does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

/// A network adapter among the details of its VM.
///
/// ```
/// use vsphere_ops::vm::VmNic;
///
/// fn networks(nics: &[VmNic]) -> Vec<&str> {
///     nics.iter().filter(|nic| nic.connected == Some(true)).filter_map(|nic| nic.network.as_deref()).collect()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Nic"))]
pub struct VmNic {
    /// The label (`Network adapter 1`).
    pub label: String,
    /// The device key.
    pub key: i32,
    /// The API's type (`VirtualVmxnet3`).
    #[serde(rename = "type")]
    pub type_: String,
    /// The MAC address.
    pub mac: Option<String>,
    /// Whether it is connected.
    pub connected: Option<bool>,
    /// The network, port group or switch that it is attached to.
    pub network: Option<String>,
    /// The addresses that the guest reports: not to be trusted.
    pub ip_addresses: Vec<String>,
}

/// A CD drive among the details of its VM.
///
/// ```
/// use vsphere_ops::vm::VmCdDrive;
///
/// fn keeps_from_moving(drive: &VmCdDrive) -> bool {
///     drive.connected && drive.device.is_some()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VmCdDrive {
    /// The label (`CD/DVD drive 1`).
    pub label: String,
    /// The device key.
    pub key: i32,
    /// The image in it, as a datastore path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iso: Option<String>,
    /// The drive of the host, or of the computer that a console runs on, that is behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Whether the guest sees what is in it.
    pub connected: bool,
    /// Whether it is connected at power-on.
    pub start_connected: bool,
}

impl Mo<VirtualMachine> {
    /// Reads all about the VM.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let vm = client.get::<VirtualMachine>("/fra1/vm/prod/web/web-01").await?.info().await?;
    /// println!("{} has {} disks and {} snapshots", vm.name, vm.disks.len(), vm.snapshots);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if it is gone, and server errors.
    pub async fn info(&self) -> Result<VmInfo> {
        let client = self.client();
        let ((name, runtime, config, guest, datastores, snapshot, storage, values, fields, pool), mut gaps) = self
            .read_known((
                vm::NAME,
                vm::RUNTIME,
                vm::CONFIG,
                vm::GUEST,
                vm::DATASTORE,
                vm::SNAPSHOT,
                vm::STORAGE_COMMITTED,
                vm::CUSTOM_VALUE,
                vm::AVAILABLE_FIELD,
                vm::RESOURCE_POOL,
            ))
            .await?;
        let networks = config.as_ref().map(portgroups).unwrap_or_default();
        let related = datastores.iter().cloned().chain(runtime.host.clone()).chain(networks);
        let related: Vec<ManagedObjectReference> = related.collect();
        let placed: Vec<ManagedObjectReference> = [self.reference().clone()].into_iter().chain(pool.clone()).collect();
        let around = Ancestry::read_with(client, &placed, related.iter().cloned()).await;
        let around =
            gaps.part("its inventory path and pool, and the names of its host, datastores and networks", around);
        let path = around.path(self.reference()).unwrap_or_default();
        let names: HashMap<String, String> =
            related.iter().filter_map(|object| Some((object.value.clone(), around.name(object)?.to_owned()))).collect();
        let guest = guest.unwrap_or_default();
        let known = |reference: &ManagedObjectReference| names.get(&reference.value).cloned();
        let hardware = config.as_ref().map(|config| &config.hardware);
        let devices = hardware.map(|hardware| hardware.device.as_slice()).unwrap_or_default();
        let annotation = config.as_ref().and_then(|config| config.annotation.clone());
        let is_on =
            |flag: fn(&VirtualMachineConfigInfo) -> Option<bool>| config.as_ref().and_then(flag).unwrap_or(false);
        Ok(VmInfo {
            name: crate::name::decode(&name),
            id: self.id().to_owned(),
            path,
            template: config.as_ref().is_some_and(|config| config.template),
            power_state: runtime.power_state,
            connection_state: runtime.connection_state.as_str().to_owned(),
            boot_time: runtime.boot_time.as_ref().map(format_date_time),
            host: runtime.host.as_ref().and_then(known),
            cpu: hardware.map(|hardware| hardware.num_cpu),
            cores_per_socket: hardware.and_then(|hardware| hardware.num_cores_per_socket),
            memory_mb: hardware.map(|hardware| hardware.memory_mb),
            cpu_hot_add: is_on(|config| config.cpu_hot_add_enabled),
            memory_hot_add: is_on(|config| config.memory_hot_add_enabled),
            resources: config.as_ref().map(VmResources::of).unwrap_or_default(),
            pool: pool.as_ref().map(|pool| around.path(pool).unwrap_or_else(|| pool.value.clone())),
            hardware_version: config.as_ref().map(|config| config.version.clone()),
            firmware: config.as_ref().and_then(|config| config.firmware.clone()),
            guest_id: config.as_ref().map(|config| config.guest_id.clone()),
            guest_os: config.as_ref().map(|config| config.guest_full_name.as_str().into()),
            guest_host_name: guest.host_name.as_deref().map(Untrusted::from),
            ip: guest.ip_address.as_deref().and_then(untrusted::address),
            tools: ToolsInfo {
                running_status: guest.tools_running_status.clone(),
                version_status: guest.tools_version_status2.clone(),
                version: guest.tools_version.clone().and_then(untrusted::version),
            },
            uuid: config.as_ref().map(|config| config.uuid.clone()),
            instance_uuid: config.as_ref().and_then(|config| config.instance_uuid.clone()),
            custom_attributes: custom_attribute::by_name(&values, &fields),
            annotation: annotation.filter(|text| !text.is_empty()).map(Untrusted::from),
            datastores: datastores.iter().filter_map(known).collect(),
            vmx_path: config.as_ref().map(|config| config.files.vm_path_name.clone()).unwrap_or_default(),
            disks: devices.iter().filter_map(disk).collect(),
            nics: devices.iter().filter_map(|device| nic(device, &guest, &names)).collect(),
            cd_drives: devices.iter().filter_map(cd_drive).collect(),
            consolidation_needed: runtime.consolidation_needed.unwrap_or(false),
            question: runtime.question.as_ref().map(|question| question.text.as_str().into()),
            encrypted: config.as_ref().is_some_and(|config| config.key_id.is_some()),
            fault_tolerance: runtime.fault_tolerance_state.as_ref().and_then(fault_tolerance),
            managed_by: config.as_ref().and_then(managed_by),
            product: config.as_ref().and_then(product),
            snapshots: snapshot.map_or(0, |snapshot| count(&snapshot.root_snapshot_list)),
            storage_used_bytes: storage.map(|storage| storage.committed),
            gaps,
        })
    }
}

/// The distributed port groups that adapters are attached to; their names are not in the devices.
fn portgroups(config: &VirtualMachineConfigInfo) -> Vec<ManagedObjectReference> {
    config
        .hardware
        .device
        .iter()
        .filter_map(port_of)
        .map(|id| ManagedObjectReference::new("DistributedVirtualPortgroup", id))
        .collect()
}

fn port_of(device: &Poly<VirtualDevice>) -> Option<String> {
    let backing = device.backing.as_ref()?;
    let port = backing.downcast_ref::<VirtualEthernetCardDistributedVirtualPortBackingInfo>()?;
    port.port.portgroup_key.clone()
}

pub(crate) fn disk(device: &Poly<VirtualDevice>) -> Option<VmDisk> {
    let disk = device.downcast_ref::<VirtualDisk>()?;
    let uuid = crate::disk::uuid(disk);
    let crate::disk::Disk { label, key, capacity, thin, file, .. } = crate::disk::Disk::of(&[], disk);
    Some(VmDisk { label, key, capacity, thin, file, uuid })
}

fn nic(device: &Poly<VirtualDevice>, guest: &GuestInfo, names: &HashMap<String, String>) -> Option<VmNic> {
    let card = device.downcast_ref::<VirtualEthernetCard>()?;
    let backing = card.backing.as_ref();
    let standard = backing.and_then(|b| b.downcast_ref::<VirtualEthernetCardNetworkBackingInfo>());
    let opaque = backing.and_then(|b| b.downcast_ref::<VirtualEthernetCardOpaqueNetworkBackingInfo>());
    let network = match (standard, opaque, port_of(device)) {
        (Some(standard), ..) => Some(standard.device_name.clone()),
        (_, Some(opaque), _) => Some(opaque.opaque_network_id.clone()),
        (.., Some(key)) => Some(names.get(&key).cloned().unwrap_or(key)),
        _ => None,
    };
    let reported = guest.net.iter().filter(|net| net.device_config_id == card.key);
    Some(VmNic {
        label: label(card),
        key: card.key,
        type_: device.type_name().to_owned(),
        mac: card.mac_address.clone(),
        connected: card.connectable.as_ref().map(|connectable| connectable.connected),
        network,
        ip_addresses: reported.flat_map(|net| net.ip_address.iter().filter_map(untrusted::address)).collect(),
    })
}

fn cd_drive(device: &Poly<VirtualDevice>) -> Option<VmCdDrive> {
    let drive = device.downcast_ref::<VirtualCdrom>()?;
    let backing = drive.backing.as_ref();
    let of_host = backing.and_then(|backing| backing.downcast_ref::<VirtualDeviceDeviceBackingInfo>());
    let of_client = backing.and_then(|backing| backing.downcast_ref::<VirtualDeviceRemoteDeviceBackingInfo>());
    let device = of_host.map(|backing| &backing.device_name).or(of_client.map(|backing| &backing.device_name));
    let connectable = drive.connectable.as_ref();
    Some(VmCdDrive {
        label: label(drive),
        key: drive.key,
        iso: image(drive).map(str::to_owned),
        device: device.filter(|name| !name.is_empty()).cloned(),
        connected: connectable.is_some_and(|connectable| connectable.connected),
        start_connected: connectable.is_some_and(|connectable| connectable.start_connected),
    })
}

fn fault_tolerance(state: &VirtualMachineFaultToleranceState) -> Option<String> {
    (*state != VirtualMachineFaultToleranceState::NotConfigured).then(|| word(state))
}

fn managed_by(config: &VirtualMachineConfigInfo) -> Option<String> {
    Some(config.managed_by.as_ref()?.extension_key.clone()).filter(|key| !key.is_empty())
}

/// Name, version and vendor of the first product; most packages have one.
fn product(config: &VirtualMachineConfigInfo) -> Option<Untrusted> {
    let product = config.v_app_config.as_ref()?.product.first()?;
    let name = [&product.name, &product.version].into_iter().flatten().filter(|text| !text.is_empty());
    let name = name.map(String::as_str).collect::<Vec<_>>().join(" ");
    let vendor = product.vendor.as_deref().filter(|vendor| !vendor.is_empty());
    match (name.is_empty(), vendor) {
        (true, None) => None,
        (true, Some(vendor)) => Some(vendor.into()),
        (false, None) => Some(name.into()),
        (false, Some(vendor)) => Some(format!("{name} ({vendor})").into()),
    }
}

pub(super) fn count(trees: &[VirtualMachineSnapshotTree]) -> usize {
    trees.iter().map(|tree| 1 + count(&tree.child_snapshot_list)).sum()
}
