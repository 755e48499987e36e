//! What it takes to import a descriptor: the specification of the machine, and the files that must be sent.

use vsphere_model::types::{
    ArrayUpdateOperation, ImportSpec, KeyValue, OptionValue, OvfCreateImportSpecParams, OvfCreateImportSpecResult,
    OvfFileItem, OvfInvalidValue, OvfInvalidValueReference, OvfMissingElement, OvfUnsupportedDiskProvisioning,
    OvfUnsupportedType, OvfWrongElement, ParaVirtualSCSIController, Poly, VAppProductSpec, VAppPropertySpec,
    VirtualAHCIController, VirtualBusLogicController, VirtualCdrom, VirtualCdromIsoBackingInfo,
    VirtualCdromRemotePassthroughBackingInfo, VirtualController, VirtualDevice, VirtualDeviceBackingInfo,
    VirtualDeviceConfigSpec, VirtualDeviceConfigSpecFileOperation, VirtualDeviceConfigSpecOperation,
    VirtualDeviceConnectInfo, VirtualDisk, VirtualDiskFlatVer2BackingInfo, VirtualE1000, VirtualE1000e,
    VirtualEthernetCard, VirtualEthernetCardDistributedVirtualPortBackingInfo, VirtualEthernetCardNetworkBackingInfo,
    VirtualLsiLogicController, VirtualLsiLogicSASController, VirtualMachineConfigSpec, VirtualMachineFileInfo,
    VirtualMachineImportSpec, VirtualNVMEController, VirtualPCNet32, VirtualSCSIController, VirtualSCSISharing,
    VirtualVmxnet3, VmConfigSpec,
};

use super::envelope::{DiskDeclaration, Envelope, Item, System, unit};
use super::{PROVISIONING, default_name, product_info, property_info, unreadable};
use crate::fault::{Fault, Outcome};
use crate::objects::compute::Compute;
use crate::objects::datastore::Datastore;
use crate::objects::dvs::Dvs;
use crate::objects::network::Network;
use crate::objects::resource_pool::ResourcePool;
use crate::world::{Moref, World};

/// The CIM numbers of hardware.
mod cim {
    pub(super) const OTHER: i32 = 1;
    pub(super) const PROCESSOR: i32 = 3;
    pub(super) const MEMORY: i32 = 4;
    pub(super) const IDE: i32 = 5;
    pub(super) const SCSI: i32 = 6;
    pub(super) const ETHERNET: i32 = 10;
    pub(super) const FLOPPY: i32 = 14;
    pub(super) const CD: i32 = 15;
    pub(super) const DVD: i32 = 16;
    pub(super) const DISK: i32 = 17;
    pub(super) const SATA: i32 = 20;
    pub(super) const USB: i32 = 23;
    pub(super) const VIDEO: i32 = 24;
}

/// The keys of the two IDE controllers that every machine has.
const IDE_KEY: i32 = 200;

/// What `OvfManager.CreateImportSpec` answers.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(super) fn create(
    world: &World,
    text: &str,
    pool: &Moref,
    datastore: &Moref,
    params: &OvfCreateImportSpecParams,
) -> Outcome<OvfCreateImportSpecResult> {
    world.get::<ResourcePool>(pool)?;
    world.get::<Datastore>(datastore)?;
    let mut result = OvfCreateImportSpecResult::default();
    let envelope = match Envelope::read(text, &params.deployment_option) {
        Ok(envelope) => envelope,
        Err(why) => {
            result.error = unreadable(&why);
            return Ok(result);
        }
    };
    let Some(system) = envelope.systems.first().filter(|_| !envelope.is_collection) else {
        let fault = OvfWrongElement::default();
        let message = "A VirtualSystemCollection is not supported by the simulator.";
        result.error.push(Fault::new(fault, message).localized());
        return Ok(result);
    };
    let provisioning = params.disk_provisioning.clone().filter(|name| !name.is_empty());
    if let Some(name) = provisioning.as_ref().filter(|name| !PROVISIONING.contains(&name.as_str())) {
        let fault = OvfUnsupportedDiskProvisioning {
            disk_provisioning: name.clone(),
            supported_disk_provisioning: PROVISIONING.join(","),
            ..Default::default()
        };
        result.error.push(Fault::new(fault, format!("Disk provisioning type not supported: {name}")).localized());
        return Ok(result);
    }
    let name = match params.entity_name.is_empty() {
        true => default_name(system),
        false => params.entity_name.clone(),
    };
    let mut making = Making {
        world,
        envelope: &envelope,
        system,
        params,
        pool,
        name: name.clone(),
        provisioning: provisioning.unwrap_or_else(|| "thick".to_owned()),
        spec: VirtualMachineConfigSpec { name: Some(name), ..Default::default() },
        controllers: Vec::new(),
        next_key: -1,
        result,
    };
    making.identity(datastore);
    making.hardware();
    making.application();
    let Making { spec, mut result, .. } = making;
    if result.error.is_empty() {
        let spec = VirtualMachineImportSpec { config_spec: spec, ..Default::default() };
        result.import_spec = Some(Poly::<ImportSpec>::new(spec));
    }
    Ok(result)
}

/// A specification on its way.
struct Making<'a> {
    world: &'a World,
    envelope: &'a Envelope,
    system: &'a System,
    params: &'a OvfCreateImportSpecParams,
    pool: &'a Moref,
    name: String,
    provisioning: String,
    spec: VirtualMachineConfigSpec,
    /// The controllers so far: the instance in the descriptor, the key, the type, the bus, and its next unit.
    controllers: Vec<Controller>,
    next_key: i32,
    result: OvfCreateImportSpecResult,
}

struct Controller {
    instance: String,
    key: i32,
    type_: String,
    bus: i32,
    next_unit: i32,
}

impl Making<'_> {
    fn error(&mut self, fault: Fault) {
        self.result.error.push(fault.localized());
    }

    fn invalid(&mut self, item: &Item, element: &str, value: &str) {
        let mut fault = OvfInvalidValue { value: value.to_owned(), ..Default::default() };
        fault.line_number = item.line;
        let message = format!("Line {}: Invalid value '{value}' for element '{element}'.", item.line);
        self.error(Fault::new(fault, message));
    }

    /// A key that the descriptor's device gets until it is made.
    fn key(&mut self) -> i32 {
        self.next_key -= 1;
        self.next_key
    }

    fn add(&mut self, device: Poly<VirtualDevice>, file: Option<VirtualDeviceConfigSpecFileOperation>) {
        self.spec.device_change.push(Poly::new(VirtualDeviceConfigSpec {
            operation: Some(VirtualDeviceConfigSpecOperation::Add),
            file_operation: file,
            device,
            ..Default::default()
        }));
    }

    fn identity(&mut self, datastore: &Moref) {
        let (number, name) = &self.system.os;
        let guest = name.clone().unwrap_or_else(|| by_cim(*number).to_owned());
        self.spec.guest_id = Some(guest);
        let path = self.world.datastore_path(datastore, "");
        self.spec.files = Some(Box::new(VirtualMachineFileInfo {
            vm_path_name: Some(path.trim_end().to_owned()),
            ..Default::default()
        }));
        self.spec.version = self.system.version.clone().filter(|version| version.starts_with("vmx-"));
        if !self.system.annotation.is_empty() {
            self.spec.annotation = Some(self.system.annotation.clone());
        }
        for (key, value) in &self.system.config {
            match key.as_str() {
                "firmware" => self.spec.firmware = Some(value.clone()),
                "cpuHotAddEnabled" => self.spec.cpu_hot_add_enabled = value.parse().ok(),
                "memoryHotAddEnabled" => self.spec.memory_hot_add_enabled = value.parse().ok(),
                _ => {}
            }
        }
        for (key, value) in &self.system.extra_config {
            // The firmware's variables are a file of the package.
            match value.strip_prefix("ovf:/file/").and_then(|id| self.envelope.file(id)) {
                Some(file) if key == "nvram" => self.result.file_item.push(OvfFileItem {
                    device_id: format!("/{}/nvram", self.name),
                    path: file.href.clone(),
                    size: file.size,
                    compression_method: file.compression.clone(),
                    chunk_size: file.chunk_size,
                    cim_type: cim::OTHER,
                    create: true,
                }),
                _ => {
                    let value = Some(value.clone().into());
                    self.spec.extra_config.push(Poly::new(OptionValue { key: key.clone(), value }));
                }
            }
        }
    }

    fn hardware(&mut self) {
        // What hangs on a controller may stand before it.
        let (controllers, others): (Vec<&Item>, Vec<&Item>) = self
            .system
            .hardware
            .iter()
            .partition(|item| matches!(item.type_, cim::IDE | cim::SCSI | cim::SATA) || is_nvme(item));
        for item in controllers.into_iter().chain(others) {
            match item.type_ {
                cim::PROCESSOR => match item.quantity.and_then(|count| i32::try_from(count).ok()) {
                    Some(count) => {
                        self.spec.num_cpus = Some(count);
                        self.spec.num_cores_per_socket = item.cores_per_socket;
                    }
                    None => self.invalid(item, "VirtualQuantity", ""),
                },
                cim::MEMORY => match item.quantity.and_then(|count| count.checked_mul(unit(&item.units))) {
                    Some(bytes) => self.spec.memory_mb = Some(bytes >> 20),
                    None => self.invalid(item, "VirtualQuantity", ""),
                },
                cim::IDE | cim::SCSI | cim::SATA => self.controller(item),
                cim::OTHER if is_nvme(item) => self.controller(item),
                cim::ETHERNET => self.adapter(item),
                cim::CD | cim::DVD => self.drive(item),
                cim::DISK => self.disk(item),
                cim::OTHER | cim::FLOPPY | cim::USB | cim::VIDEO => {}
                other if item.required => {
                    let fault = OvfUnsupportedType {
                        name: item.name.clone(),
                        instance_id: item.instance.clone(),
                        device_type: other,
                        ..Default::default()
                    };
                    let message = format!("Line {}: Unsupported hardware type '{other}'.", item.line);
                    self.error(Fault::new(fault, message));
                }
                other => {
                    let fault = OvfUnsupportedType { device_type: other, ..Default::default() };
                    let message = format!("Line {}: Unsupported hardware type '{other}' is left out.", item.line);
                    self.result.warning.push(Fault::new(fault, message).localized());
                }
            }
        }
    }

    fn controller(&mut self, item: &Item) {
        if item.type_ == cim::IDE {
            // They are there.
            let bus = item.address.unwrap_or_default().clamp(0, 1);
            self.keep(item, IDE_KEY + bus, "VirtualIDEController", bus);
            return;
        }
        let key = self.key();
        // All SCSI controllers are counted together.
        let same = |other: &&Controller| match item.type_ {
            cim::SCSI => is_scsi(&other.type_),
            _ => other.type_ == type_of(item),
        };
        let bus = i32::try_from(self.controllers.iter().filter(same).count()).unwrap_or_default();
        let mut base = VirtualController { bus_number: bus, ..Default::default() };
        base.key = key;
        let shared = || VirtualSCSIController {
            base: base.clone(),
            shared_bus: VirtualSCSISharing::NoSharing,
            ..Default::default()
        };
        let device: Poly<VirtualDevice> = match type_of(item) {
            "ParaVirtualSCSIController" => Poly::new(ParaVirtualSCSIController { base: shared() }),
            "VirtualBusLogicController" => Poly::new(VirtualBusLogicController { base: shared() }),
            "VirtualLsiLogicSASController" => Poly::new(VirtualLsiLogicSASController { base: shared() }),
            "VirtualAHCIController" => {
                let mut controller = VirtualAHCIController::default();
                controller.key = key;
                controller.bus_number = bus;
                Poly::new(controller)
            }
            "VirtualNVMEController" => {
                let mut controller = VirtualNVMEController::default();
                controller.key = key;
                controller.bus_number = bus;
                Poly::new(controller)
            }
            _ => Poly::new(VirtualLsiLogicController { base: shared() }),
        };
        self.add(device, None);
        self.keep(item, key, type_of(item), bus);
    }

    fn keep(&mut self, item: &Item, key: i32, type_: &str, bus: i32) {
        let instance = item.instance.clone();
        self.controllers.push(Controller { instance, key, type_: type_.to_owned(), bus, next_unit: 0 });
    }

    /// The place of a device on the controller that it names: the key, the unit, and what the device is called by.
    fn place(&mut self, item: &Item) -> Option<(i32, i32, String)> {
        let parent = item.parent.clone().unwrap_or_default();
        let Some(controller) = self.controllers.iter_mut().find(|controller| controller.instance == parent) else {
            let mut fault = OvfInvalidValueReference::default();
            fault.line_number = item.line;
            let message = format!("Line {}: Invalid value '{parent}' for element 'Parent'.", item.line);
            self.error(Fault::new(fault, message));
            return None;
        };
        // The unit of a SCSI controller itself is taken.
        let mut unit = item.address_on_parent.unwrap_or(controller.next_unit);
        if is_scsi(&controller.type_) && unit == 7 {
            unit = 8;
        }
        controller.next_unit = controller.next_unit.max(unit + 1);
        let id = format!("/{}/{}{}:{unit}", self.name, controller.type_, controller.bus);
        Some((controller.key, unit, id))
    }

    fn disk(&mut self, item: &Item) {
        let resource = item.host_resource.clone().unwrap_or_default();
        let Some(declared) = self.envelope.disk(&resource).cloned() else {
            return self.invalid(item, "HostResource", &resource);
        };
        let Some((controller, unit, id)) = self.place(item) else { return };
        let thin = matches!(self.provisioning.as_str(), "thin" | "sparse" | "seSparse" | "monolithicSparse");
        let mut disk = VirtualDisk { capacity_in_kb: declared.capacity / 1024, ..Default::default() };
        disk.capacity_in_bytes = Some(declared.capacity);
        disk.key = self.key();
        disk.controller_key = Some(controller);
        disk.unit_number = Some(unit);
        disk.backing = Some(Poly::new(VirtualDiskFlatVer2BackingInfo {
            disk_mode: "persistent".to_owned(),
            thin_provisioned: Some(thin),
            eagerly_scrub: Some(self.provisioning == "eagerZeroedThick"),
            ..Default::default()
        }));
        self.add(Poly::new(disk), Some(VirtualDeviceConfigSpecFileOperation::Create));
        let DiskDeclaration { file, .. } = declared;
        let Some(file) = file else { return };
        self.file(item, &file, id, cim::DISK, false);
    }

    fn file(&mut self, item: &Item, file: &str, device_id: String, cim_type: i32, create: bool) {
        let Some(file) = self.envelope.file(file) else { return self.invalid(item, "fileRef", file) };
        self.result.file_item.push(OvfFileItem {
            device_id,
            path: file.href.clone(),
            compression_method: file.compression.clone(),
            chunk_size: file.chunk_size,
            size: file.size,
            cim_type,
            create,
        });
    }

    fn drive(&mut self, item: &Item) {
        let Some((controller, unit, id)) = self.place(item) else { return };
        let image = item.host_resource.as_deref().and_then(|resource| resource.strip_prefix("ovf:/file/"));
        let mut drive = VirtualCdrom::default();
        drive.key = self.key();
        drive.controller_key = Some(controller);
        drive.unit_number = Some(unit);
        let start_connected = image.is_some();
        drive.connectable = Some(Box::new(VirtualDeviceConnectInfo {
            start_connected,
            allow_guest_control: true,
            ..Default::default()
        }));
        drive.backing = Some(match image {
            Some(_) => Poly::<VirtualDeviceBackingInfo>::new(VirtualCdromIsoBackingInfo::default()),
            None => Poly::new(VirtualCdromRemotePassthroughBackingInfo::default()),
        });
        self.add(Poly::new(drive), None);
        if let Some(image) = image.map(str::to_owned) {
            self.file(item, &image, id, cim::CD, true);
        }
    }

    fn adapter(&mut self, item: &Item) {
        let name = item.connection.clone().unwrap_or_default();
        if !self.envelope.networks.iter().any(|(network, _)| *network == name) {
            return self.invalid(item, "Connection", &name);
        }
        let mapped = self.params.network_mapping.iter().find(|mapping| mapping.name == name);
        let network = match mapped {
            Some(mapping) => Some(mapping.network.clone()),
            // A standard network is taken where there is one.
            None => self.standard_network(),
        };
        let Some(backing) = network.and_then(|network| backing(self.world, &network)) else {
            return self.invalid(item, "Connection", &name);
        };
        let mut card = VirtualEthernetCard { address_type: Some("generated".to_owned()), ..Default::default() };
        card.key = self.key();
        card.backing = Some(backing);
        card.connectable = Some(Box::new(VirtualDeviceConnectInfo {
            start_connected: true,
            allow_guest_control: true,
            ..Default::default()
        }));
        // Some descriptors name several, the best first: that which is known here is taken.
        let known = |kind: &&str| matches!(*kind, "vmxnet3" | "e1000" | "e1000e" | "pcnet32");
        let kinds = item.sub_type.to_ascii_lowercase();
        let kind = kinds.split_whitespace().find(known).unwrap_or(&kinds);
        let device: Poly<VirtualDevice> = match kind {
            "vmxnet3" | "" => {
                let mut vmxnet = VirtualVmxnet3::default();
                vmxnet.base.base = card;
                Poly::new(vmxnet)
            }
            "e1000" => Poly::new(VirtualE1000 { base: card }),
            "e1000e" => Poly::new(VirtualE1000e { base: card }),
            "pcnet32" => Poly::new(VirtualPCNet32 { base: card }),
            _ => return self.invalid(item, "ResourceSubType", &item.sub_type),
        };
        self.add(device, None);
    }

    fn standard_network(&self) -> Option<Moref> {
        let owner = &self.world.get::<ResourcePool>(self.pool).ok()?.owner;
        let networks = &self.world.get::<Compute>(owner).ok()?.networks;
        let is_standard = |network: &&Moref| {
            self.world.get::<Network>(network).is_ok_and(|found| found.portgroup.is_none() && found.opaque.is_none())
        };
        networks.iter().find(is_standard).cloned()
    }

    /// What the descriptor says of the software in the machine.
    fn application(&mut self) {
        let System { products, properties, eulas, transports, .. } = self.system;
        if products.is_empty() && eulas.is_empty() && transports.is_empty() {
            return;
        }
        let mapped = |key: &str| {
            let of_key = |mapping: &&KeyValue| mapping.key == key;
            self.params.property_mapping.iter().find(of_key).map(|mapping| mapping.value.clone())
        };
        let property = |(property, key)| {
            let mut info = property_info(property, key);
            // The machine keeps what only a password's owner may see.
            info.default_value = Some(property.default.clone());
            info.value = mapped(&property.key());
            let mut spec = VAppPropertySpec { info: Some(Box::new(info)), ..Default::default() };
            spec.operation = ArrayUpdateOperation::Add;
            spec
        };
        let product = |(product, key)| {
            let mut spec = VAppProductSpec { info: Some(Box::new(product_info(product, key))), ..Default::default() };
            spec.operation = ArrayUpdateOperation::Add;
            spec
        };
        let application = VmConfigSpec {
            product: products.iter().zip(0..).map(product).collect(),
            property: properties.iter().zip(0..).map(property).collect(),
            eula: eulas.clone(),
            ovf_environment_transport: transports.clone(),
            ..Default::default()
        };
        self.spec.v_app_config = Some(Poly::new(application));
        if products.is_empty() && !properties.is_empty() {
            let fault = OvfMissingElement::default();
            self.error(Fault::new(fault, "Properties stand in no product section."));
        }
    }
}

fn is_scsi(controller: &str) -> bool {
    controller.contains("SCSI") || controller.contains("Logic")
}

fn is_nvme(item: &Item) -> bool {
    item.sub_type == "vmware.nvme.controller"
}

/// The type of a controller.
fn type_of(item: &Item) -> &'static str {
    if is_nvme(item) {
        return "VirtualNVMEController";
    }
    let kinds = item.sub_type.to_ascii_lowercase();
    match (item.type_, kinds.split_whitespace().next().unwrap_or_default()) {
        (cim::SATA, _) => "VirtualAHCIController",
        (_, "virtualscsi" | "pvscsi") => "ParaVirtualSCSIController",
        (_, "buslogic") => "VirtualBusLogicController",
        (_, "lsilogicsas") => "VirtualLsiLogicSASController",
        _ => "VirtualLsiLogicController",
    }
}

/// What an adapter is plugged into on this network.
fn backing(world: &World, network: &Moref) -> Option<Poly<VirtualDeviceBackingInfo>> {
    let found = world.get::<Network>(network).ok()?;
    Some(match &found.portgroup {
        Some(group) => {
            let mut backing = VirtualEthernetCardDistributedVirtualPortBackingInfo::default();
            backing.port.portgroup_key = Some(group.key.clone());
            let switch = group.distributed_virtual_switch.as_ref()?;
            backing.port.switch_uuid = world.get::<Dvs>(switch).ok().map(Dvs::uuid)?.to_owned();
            Poly::new(backing)
        }
        None => {
            let mut backing =
                VirtualEthernetCardNetworkBackingInfo { network: Some(network.clone()), ..Default::default() };
            backing.device_name = world.name_of(network);
            Poly::new(backing)
        }
    })
}

/// The guests that CIM has numbers for.
fn by_cim(number: i32) -> &'static str {
    match number {
        36 => "otherLinuxGuest",
        79 => "rhel6Guest",
        80 => "rhel6_64Guest",
        93 => "ubuntuGuest",
        94 => "ubuntu64Guest",
        95 => "debian6Guest",
        96 => "debian6_64Guest",
        101 => "otherLinux64Guest",
        107 => "centos64Guest",
        1..=35 => "otherGuest",
        _ => "otherGuest64",
    }
}
