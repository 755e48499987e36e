//! What stands in the way of a migration: the host, its processors, and what it does not see.

use vsphere_model::types::{
    CannotAccessNetwork, CannotAccessVmConfig, CannotAccessVmDevice, CannotAccessVmDisk, DatastoreNotWritableOnHost,
    DeviceNotSupported, DisallowedMigrationDeviceAttached, FeatureRequirementsNotMet, Poly, VMotionInterfaceIssue,
    VMotionNotConfigured, VirtualCdrom, VirtualCdromAtapiBackingInfo, VirtualCdromPassthroughBackingInfo,
    VirtualDevice, VirtualDeviceConfigSpecOperation, VirtualDeviceFileBackingInfo, VirtualDisk,
    VirtualEthernetCardDistributedVirtualPortBackingInfo, VirtualEthernetCardNetworkBackingInfo,
    VirtualMachineFeatureRequirement, VirtualMachinePowerState, VirtualMachineRelocateSpec, VirtualSriovEthernetCard,
};

use super::Vm;
use super::create::usable;
use super::hardware::{self, Kind};
use super::room::host_has_room;
use crate::fault::{Fault, Outcome};
use crate::objects::datastore::Datastore;
use crate::objects::host::Host;
use crate::world::{Moref, World, escaped};

/// Something that stands in the way of a migration, or that one should know of before.
pub(super) struct Obstacle {
    /// The kind of test that finds it, as clients choose among them.
    pub(super) test: &'static str,
    pub(super) is_warning: bool,
    pub(super) fault: Fault,
}

pub(super) const HOST: &str = "hostTests";
pub(super) const NETWORK: &str = "networkTests";
pub(super) const DATASTORE: &str = "datastoreTests";
pub(super) const POOL: &str = "resourcePoolTests";
pub(super) const SOURCE: &str = "sourceTests";

fn error(test: &'static str, fault: Fault) -> Obstacle {
    Obstacle { test, is_warning: false, fault }
}

/// What stands in the way of the machine, with these devices, to this host.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(super) fn to_host(
    world: &World,
    vm: &Moref,
    devices: &[Poly<VirtualDevice>],
    spec: &VirtualMachineRelocateSpec,
    host: &Moref,
) -> Outcome<Vec<Obstacle>> {
    let machine = world.get::<Vm>(vm)?;
    let mut found = Vec::new();
    if let Err(fault) = usable(world, host) {
        found.push(error(HOST, fault));
        // Nothing more is known of a host that can't be asked.
        return Ok(found);
    }
    let moves = machine.runtime.host.as_ref() != Some(host);
    if moves {
        found.extend(of_host(world, vm, machine, host)?);
        found.extend(of_devices(world, machine, devices, host)?);
    }
    found.extend(of_networks(world, devices, host)?.into_iter().map(|fault| error(NETWORK, fault)));
    found.extend(of_files(world, vm, machine, devices, spec, host)?);
    Ok(found)
}

/// The devices as the specification changes them, without what only the change itself finds out.
pub(super) fn changed_devices(machine: &Vm, spec: &VirtualMachineRelocateSpec) -> Vec<Poly<VirtualDevice>> {
    let mut devices = machine.config.hardware.device.clone();
    for change in &spec.device_change {
        let edits = change.operation == Some(VirtualDeviceConfigSpecOperation::Edit);
        if let Some(old) = devices.iter_mut().find(|device| edits && device.key == change.device.key) {
            *old = change.device.clone();
        }
    }
    devices
}

/// The features of processors that not all hosts have, by what they are called on a host.
const FEATURES: [(&str, &str, &[&str]); 2] = [
    ("cpuid.avx512f", "Advanced Vector Extensions 512 Foundation (AVX512F)", &["6438Y", "6330"]),
    ("cpuid.amx_tile", "Advanced Matrix Extensions Tile (AMX_TILE)", &["6438Y"]),
];

/// The features that a machine which runs on `from` has seen, and that `to` lacks.
pub(crate) fn missing_features(from: &Host, to: &Host) -> Vec<VirtualMachineFeatureRequirement> {
    let has = |host: &Host, models: &[&str]| models.iter().any(|model| host.hardware.cpu_model.contains(model));
    let lacks = FEATURES.iter().filter(|(.., models)| has(from, models) && !has(to, models));
    let required = lacks.map(|(key, name, _)| VirtualMachineFeatureRequirement {
        key: (*key).to_owned(),
        feature_name: (*key).to_owned(),
        value: format!("Bool:Min:1 ({name})"),
    });
    required.collect()
}

fn of_host(world: &World, vm: &Moref, machine: &Vm, host: &Moref) -> Outcome<Vec<Obstacle>> {
    let mut found = Vec::new();
    // The processor that a machine has seen is in its memory; one that is off has seen none.
    if machine.runtime.power_state == VirtualMachinePowerState::PoweredOff {
        return Ok(found);
    }
    let target = world.get::<Host>(host)?;
    let source = machine.runtime.host.as_ref().map(|from| (from, world.get::<Host>(from)));
    if let Some((_, Ok(source))) = &source {
        let feature_requirement = missing_features(source, target);
        if !feature_requirement.is_empty() {
            let keys: Vec<&str> = feature_requirement.iter().map(|feature| feature.key.as_str()).collect();
            let message = format!(
                "The target host does not support the virtual machine's current hardware requirements: {}.",
                keys.join(", ")
            );
            let fault = FeatureRequirementsNotMet {
                feature_requirement,
                vm: Some(vm.clone()),
                host: Some(host.clone()),
                ..Default::default()
            };
            found.push(error(HOST, Fault::new(fault, message)));
        }
    }
    if machine.runtime.power_state != VirtualMachinePowerState::PoweredOn {
        return Ok(found);
    }
    if let Some((from, Ok(source))) = source
        && !source.has_vmotion()
    {
        found.push(error(SOURCE, no_vmotion(world, from, true)));
    }
    if !target.has_vmotion() {
        found.push(error(HOST, no_vmotion(world, host, false)));
    }
    if let Err(fault) = host_has_room(world, vm, machine, host) {
        found.push(error(POOL, fault));
    }
    Ok(found)
}

fn no_vmotion(world: &World, host: &Moref, at_source: bool) -> Fault {
    let name = world.name_of(host);
    let message = format!("The vMotion interface is not configured on the host '{name}'.");
    let base = VMotionInterfaceIssue {
        at_source_host: at_source,
        failed_host: name,
        failed_host_entity: Some(host.clone()),
        ..Default::default()
    };
    Fault::new(VMotionNotConfigured { base }, message)
}

/// Devices that are tied to the host, or have files that the new one does not see.
fn of_devices(world: &World, machine: &Vm, devices: &[Poly<VirtualDevice>], host: &Moref) -> Outcome<Vec<Obstacle>> {
    let running = machine.runtime.power_state == VirtualMachinePowerState::PoweredOn;
    let sees = &world.get::<Host>(host)?.datastores;
    let mut found = Vec::new();
    for device in devices {
        let connected = device.connectable.as_ref().is_some_and(|info| info.connected);
        let label = device.device_info.as_ref().map(|info| info.label.clone()).unwrap_or_default();
        let backing = device.backing.as_ref();
        // A drive of the client's holds a machine nowhere.
        let local = backing.is_some_and(|backing| {
            backing.is::<VirtualCdromAtapiBackingInfo>() || backing.is::<VirtualCdromPassthroughBackingInfo>()
        });
        if running && (local && connected || device.is::<VirtualSriovEthernetCard>()) {
            let message = format!("Device '{label}' is connected to a physical device of the host.");
            let inner = DeviceNotSupported { device: label.clone(), ..Default::default() };
            let fault = Fault::new(inner, message.clone()).localized();
            let outer = DisallowedMigrationDeviceAttached { fault, ..Default::default() };
            found.push(error(SOURCE, Fault::new(outer, format!("The migration is not allowed. {message}"))));
            continue;
        }
        let file = backing.and_then(|backing| backing.downcast_ref::<VirtualDeviceFileBackingInfo>());
        let Some(file) = file.filter(|_| device.is::<VirtualCdrom>()) else { continue };
        if file.datastore.as_ref().is_some_and(|datastore| !sees.contains(datastore)) {
            let message = format!("Device '{label}' has the backing '{}', which is not accessible.", file.file_name);
            let fault = CannotAccessVmDevice {
                device: label,
                backing: file.file_name.clone(),
                connected,
                ..Default::default()
            };
            let is_warning = !(running && connected);
            found.push(Obstacle { test: HOST, is_warning, fault: Fault::new(fault, message) });
        }
    }
    Ok(found)
}

/// The networks that the host does not have.
fn of_networks(world: &World, devices: &[Poly<VirtualDevice>], host: &Moref) -> Outcome<Vec<Fault>> {
    let at = world.get::<Host>(host)?;
    let mut faults = Vec::new();
    for device in devices.iter().filter(|device| Kind::of(device) == Kind::Nic) {
        let Some(backing) = device.backing.as_ref() else { continue };
        let standard = backing.downcast_ref::<VirtualEthernetCardNetworkBackingInfo>();
        let unnamed = standard.filter(|standard| standard.network.is_none());
        if let Some(by_name) = unnamed {
            let name = escaped(&by_name.device_name);
            if at.networks.iter().any(|network| world.name_of(network) == name) {
                continue;
            }
        }
        let network = hardware::network_anywhere(world, device);
        if let Some(network) = &network
            && at.networks.contains(network)
        {
            continue;
        }
        let distributed = backing.is::<VirtualEthernetCardDistributedVirtualPortBackingInfo>();
        if network.is_none() && (!distributed && unnamed.is_none()) {
            continue;
        }
        let base = CannotAccessVmDevice {
            device: device.device_info.as_ref().map(|info| info.label.clone()).unwrap_or_default(),
            backing: network.as_ref().map(|network| world.name_of(network)).unwrap_or_default(),
            connected: device.connectable.as_ref().is_some_and(|info| info.connected),
            ..Default::default()
        };
        let message = format!(
            "Currently connected network interface '{}' uses network '{}', which is not accessible.",
            base.device, base.backing
        );
        faults.push(Fault::new(CannotAccessNetwork { base, network }, message));
    }
    Ok(faults)
}

/// The files that the host would not see.
fn of_files(
    world: &World,
    vm: &Moref,
    machine: &Vm,
    devices: &[Poly<VirtualDevice>],
    spec: &VirtualMachineRelocateSpec,
    host: &Moref,
) -> Outcome<Vec<Obstacle>> {
    let sees = &world.get::<Host>(host)?.datastores;
    let mut found = Vec::new();
    let named = spec.datastore.iter().chain(spec.disk.iter().map(|locator| &locator.datastore));
    let mut unseen: Vec<&Moref> = named.filter(|datastore| !sees.contains(datastore)).collect();
    unseen.dedup();
    for datastore in unseen {
        world.get::<Datastore>(datastore)?;
        let fault = DatastoreNotWritableOnHost { host: host.clone(), ..Default::default() };
        let message = format!(
            "The host '{}' can't access the datastore '{}', or may only read it.",
            world.name_of(host),
            world.name_of(datastore)
        );
        found.push(error(DATASTORE, Fault::new(fault, message)));
    }
    let home = world.vmx_of(vm)?;
    if spec.datastore.is_none() && !sees.contains(&home.datastore) {
        found.push(error(DATASTORE, unseen_home(world, vm)));
    }
    for device in devices.iter().filter(|device| device.is::<VirtualDisk>()) {
        let located = spec.disk.iter().any(|locator| locator.disk_id == device.key);
        let file = hardware::file_of(device);
        let stays = file.filter(|_| !located && spec.datastore.is_none());
        let Some(file) = stays.filter(|file| file.datastore.as_ref().is_some_and(|it| !sees.contains(it))) else {
            continue;
        };
        let base = CannotAccessVmDevice {
            device: device.device_info.as_ref().map(|info| info.label.clone()).unwrap_or_default(),
            backing: file.file_name.clone(),
            connected: machine.is_on(),
            ..Default::default()
        };
        let message = format!("Virtual disk '{}' is not accessible on the host: {}.", base.device, base.backing);
        let fault = Fault::not_supported("a datastore that the host has not mounted").localized();
        found.push(error(DATASTORE, Fault::new(CannotAccessVmDisk { base, fault }, message)));
    }
    Ok(found)
}

pub(super) fn unseen_home(world: &World, vm: &Moref) -> Fault {
    let reason = Fault::invalid_argument("spec.datastore").localized();
    let message = format!("Virtual machine '{}' is not accessible from the new host.", world.name_of(vm));
    Fault::new(CannotAccessVmConfig { reason, ..Default::default() }, message)
}
