//! The environment browser of a virtual machine or a compute resource: what machines can be given there.

use vsphere_model::managed;
use vsphere_model::types::{
    BoolOption, ConfigTarget, DatastoreCapability, DistributedVirtualPortgroupInfo,
    EnvironmentBrowserConfigOptionQuerySpec, GuestOsDescriptor, IntOption, LongOption, NetworkSummary,
    OpaqueNetworkSummary, OpaqueNetworkTargetInfo, Poly, VirtualHardwareOption, VirtualMachineConfigOption,
    VirtualMachineConfigOptionDescriptor, VirtualMachineDatastoreInfo, VirtualMachineNetworkInfo,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::{Vm, guest_os, hardware, properties, tools};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::compute::Compute;
use crate::objects::datastore::Datastore;
use crate::objects::dvs::Dvs;
use crate::objects::host::Host;
use crate::objects::network::Network;
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("EnvironmentBrowser", "QueryConfigOptionDescriptor", Handler::Read(descriptors)),
    ("EnvironmentBrowser", "QueryConfigOption", Handler::Read(option)),
    ("EnvironmentBrowser", "QueryConfigOptionEx", Handler::Read(option_ex)),
    ("EnvironmentBrowser", "QueryConfigTarget", Handler::Read(target)),
];

/// The managed object `EnvironmentBrowser`.
pub(crate) struct EnvironmentBrowser {
    /// The machine or the compute resource whose environment it is.
    pub(crate) of: Moref,
}

impl Managed for EnvironmentBrowser {
    fn info(&self) -> &'static ManagedInfo {
        managed::EnvironmentBrowser::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "datastoreBrowser" => {
                let host = look.world.get::<Vm>(&self.of).ok().and_then(|vm| vm.runtime.host.as_ref());
                match host.and_then(|me| Some((me, look.world.find(me)?))) {
                    Some((me, host)) => host.read(&Look { me, ..*look }, "datastoreBrowser"),
                    None => Prop::UNSET,
                }
            }
            _ => Prop::UNSET,
        }
    }
}

/// The browser of a machine or a compute resource.
pub(crate) fn browser_of(owner: &Moref) -> Moref {
    Moref::new("EnvironmentBrowser", id_of(owner))
}

/// Adds the browser of a machine or a compute resource.
pub(crate) fn add(world: &mut World, owner: &Moref) {
    world.add_as(&id_of(owner), EnvironmentBrowser { of: owner.clone() });
}

fn id_of(owner: &Moref) -> String {
    // All kinds of objects share one count, so that the number alone tells them apart.
    format!("envbrowser-{}", owner.value.rsplit('-').next().unwrap_or_default())
}

/// The oldest version of virtual hardware that is offered.
const OLDEST: u32 = 10;

/// The hosts that the browser is about: the one that is asked for, or all.
fn hosts(world: &World, call: &Call, asked: Option<Moref>) -> Outcome<Vec<Moref>> {
    let of = world.get::<EnvironmentBrowser>(&call.target)?.of.clone();
    let all = match world.get::<Vm>(&of) {
        Ok(vm) => vm.runtime.host.iter().cloned().collect(),
        Err(_) => world.get::<Compute>(&of)?.hosts.clone(),
    };
    match asked {
        // A machine may be asked about any host that it could go to.
        Some(host) if all.contains(&host) || of.type_ == "VirtualMachine" => Ok(vec![host]),
        Some(_) => Err(Fault::invalid_argument("host")),
        None => Ok(all),
    }
}

fn descriptors(world: &World, call: &Call) -> Outcome<Reply> {
    let hosts = hosts(world, call, None)?;
    let newest = tools::newest_hardware(world);
    let describe = |version: u32| VirtualMachineConfigOptionDescriptor {
        key: format!("vmx-{version:02}"),
        description: Some(format!("Virtual hardware version {version}")),
        host: hosts.clone(),
        create_supported: Some(true),
        default_config_option: Some(version == newest),
        run_supported: Some(true),
        upgrade_supported: Some(true),
    };
    Ok(Reply::list((OLDEST..=newest).map(describe).collect()))
}

fn option(world: &World, call: &Call) -> Outcome<Reply> {
    let (key, host): (Option<String>, Option<Moref>) = (call.opt("key")?, call.opt("host")?);
    hosts(world, call, host)?;
    config_option(world, key.as_deref(), &[])
}

fn option_ex(world: &World, call: &Call) -> Outcome<Reply> {
    let spec: Option<EnvironmentBrowserConfigOptionQuerySpec> = call.opt("spec")?;
    let spec = spec.unwrap_or_default();
    hosts(world, call, spec.host)?;
    config_option(world, spec.key.as_deref(), &spec.guest_id)
}

/// What a machine of this version may have; of this guest, or of all.
fn config_option(world: &World, key: Option<&str>, guests: &[String]) -> Outcome<Reply> {
    let newest = tools::newest_hardware(world);
    let version = match key.filter(|key| !key.is_empty()) {
        None => newest,
        Some(key) => {
            let number = key.strip_prefix("vmx-").and_then(|number| number.parse().ok());
            // Nothing is answered for a version that no host knows.
            let Some(number) = number.filter(|number| (OLDEST..=newest).contains(number)) else {
                return Ok(Reply::NONE);
            };
            number
        }
    };
    let wanted = |guest: &&guest_os::GuestOs| guests.is_empty() || guests.iter().any(|id| id == guest.id);
    let range = |min, max, default_value| IntOption { min, max, default_value, ..Default::default() };
    Ok(Reply::of(VirtualMachineConfigOption {
        version: format!("vmx-{version:02}"),
        description: format!("Virtual hardware version {version}"),
        guest_os_descriptor: guest_os::COMMON.iter().filter(wanted).map(describe).collect(),
        guest_os_default_index: 0,
        hardware_options: VirtualHardwareOption {
            hw_version: i32::try_from(version).unwrap_or_default(),
            num_cpu: (1..=128).collect(),
            num_cores_per_socket: Some(Box::new(range(1, 128, 1))),
            auto_cores_per_socket: Some(Box::new(BoolOption {
                supported: true,
                default_value: true,
                ..Default::default()
            })),
            memory_mb: LongOption { min: 4, max: 24 << 20, default_value: 2048, ..Default::default() },
            num_pci_controllers: range(1, 1, 1),
            num_ide_controllers: range(2, 2, 2),
            num_usb_controllers: range(0, 1, 0),
            num_usbxhci_controllers: Some(Box::new(range(0, 1, 0))),
            num_sio_controllers: range(1, 1, 1),
            num_ps2_controllers: range(1, 1, 1),
            num_tpm_devices: Some(Box::new(range(0, 1, 0))),
            ..Default::default()
        },
        capabilities: properties::capability(),
        default_device: hardware::default_devices(),
        supported_monitor_type: ["release", "debug", "stats"].map(str::to_owned).to_vec(),
        ..Default::default()
    }))
}

fn describe(guest: &guest_os::GuestOs) -> GuestOsDescriptor {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let windows = guest.family == "windowsGuest";
    let modern = guest.id.ends_with("64Guest");
    GuestOsDescriptor {
        id: guest.id.to_owned(),
        family: guest.family.to_owned(),
        full_name: guest.full_name.to_owned(),
        supported_max_cpus: 960,
        num_supported_physical_sockets: Some(128),
        num_supported_cores_per_socket: Some(128),
        supported_min_mem_mb: 32,
        supported_max_mem_mb: 24 << 20,
        recommended_mem_mb: if windows { 4096 } else { 2048 },
        recommended_color_depth: 32,
        supported_disk_controller_list: texts(&[
            "VirtualBusLogicController",
            "VirtualLsiLogicController",
            "VirtualLsiLogicSASController",
            "ParaVirtualSCSIController",
            "VirtualAHCIController",
            "VirtualNVMEController",
            "VirtualIDEController",
        ]),
        recommended_scsi_controller: Some(
            if windows { "VirtualLsiLogicSASController" } else { "ParaVirtualSCSIController" }.to_owned(),
        ),
        recommended_disk_controller: if windows { "VirtualLsiLogicSASController" } else { "ParaVirtualSCSIController" }
            .to_owned(),
        supported_num_disks: 256,
        recommended_disk_size_mb: if windows { 92_160 } else { 16_384 },
        recommended_cdrom_controller: Some("VirtualAHCIController".to_owned()),
        supported_ethernet_card: texts(&[
            "VirtualE1000e",
            "VirtualVmxnet3",
            "VirtualSriovEthernetCard",
            "VirtualE1000",
        ]),
        recommended_ethernet_card: Some(if windows { "VirtualE1000e" } else { "VirtualVmxnet3" }.to_owned()),
        supports_wake_on_lan: true,
        supports_memory_hot_add: Some(modern),
        supports_cpu_hot_add: Some(modern),
        supports_cpu_hot_remove: Some(false),
        supported_firmware: texts(&["bios", "efi"]),
        recommended_firmware: Some(if modern { "efi" } else { "bios" }.to_owned()),
        supported_usb_controller_list: texts(&["VirtualUSBXHCIController", "VirtualUSBController"]),
        recommended_usb_controller: Some("VirtualUSBXHCIController".to_owned()),
        support_level: Some("supported".to_owned()),
        supported_for_create: Some(true),
        num_supported_floppy_devices: Some(2),
        supports_pvscsi_controller_for_boot: Some(true),
        supports_secure_boot: Some(modern),
        supports_tpm20: Some(modern),
        ..Default::default()
    }
}

/// What the hosts offer: their processors, their datastores, their networks.
fn target(world: &World, call: &Call) -> Outcome<Reply> {
    let hosts = hosts(world, call, call.opt("host")?)?;
    let mut target =
        ConfigTarget { auto_vmotion: Some(hosts.len() > 1), smc_present: Some(false), ..Default::default() };
    let (mut datastores, mut networks): (Vec<Moref>, Vec<Moref>) = (Vec::new(), Vec::new());
    for host in &hosts {
        let host = world.get::<Host>(host)?;
        target.num_cpus += i32::from(host.hardware.num_cpu_threads);
        target.num_cpu_cores += i32::from(host.hardware.num_cpu_cores);
        target.num_numa_nodes += i32::from(host.hardware.num_cpu_pkgs);
        target.max_cpus_per_host = target.max_cpus_per_host.max(Some(i32::from(host.hardware.num_cpu_threads)));
        let memory = i32::try_from(host.hardware.memory_size >> 20).unwrap_or(i32::MAX);
        target.max_mem_mb_optimal_perf = target.max_mem_mb_optimal_perf.max(memory);
        target.supported_max_mem_mb = Some(24 << 20);
        datastores.extend(
            host.datastores.iter().filter(|datastore| !datastores.contains(datastore)).cloned().collect::<Vec<_>>(),
        );
        networks
            .extend(host.networks.iter().filter(|network| !networks.contains(network)).cloned().collect::<Vec<_>>());
    }
    for reference in &datastores {
        let datastore = world.get::<Datastore>(reference)?;
        let mut info = VirtualMachineDatastoreInfo {
            datastore: datastore.summary(reference),
            capability: DatastoreCapability {
                directory_hierarchy_supported: true,
                raw_disk_mappings_supported: true,
                per_file_thin_provisioning_supported: true,
                ..Default::default()
            },
            max_file_size: 62 << 40,
            max_virtual_disk_capacity: Some(62 << 40),
            mode: "readWrite".to_owned(),
            ..Default::default()
        };
        info.name = world.name_of(reference);
        target.datastore.push(info);
    }
    for reference in &networks {
        let found = world.get::<Network>(reference)?;
        match (&found.portgroup, &found.opaque) {
            (Some(portgroup), _) => {
                let switch = portgroup.distributed_virtual_switch.clone().unwrap_or_default();
                target.distributed_virtual_portgroup.push(DistributedVirtualPortgroupInfo {
                    switch_name: world.name_of(&switch),
                    switch_uuid: world.get::<Dvs>(&switch).map(|dvs| dvs.uuid().to_owned()).unwrap_or_default(),
                    portgroup_name: world.name_of(reference),
                    portgroup_key: portgroup.key.clone(),
                    portgroup_type: portgroup.type_.clone(),
                    uplink_portgroup: portgroup.uplink == Some(true),
                    portgroup: reference.clone(),
                    ..Default::default()
                });
            }
            (None, opaque) => {
                let name = world.name_of(reference);
                let summary = NetworkSummary {
                    network: Some(reference.clone()),
                    name: name.clone(),
                    accessible: true,
                    ..Default::default()
                };
                if let Some((id, kind)) = opaque {
                    let network = OpaqueNetworkSummary {
                        base: summary,
                        opaque_network_id: id.clone(),
                        opaque_network_type: kind.clone(),
                    };
                    let mut info = OpaqueNetworkTargetInfo { network, ..Default::default() };
                    info.name = name;
                    target.opaque_network.push(info);
                    continue;
                }
                let mut info = VirtualMachineNetworkInfo { network: Poly::new(summary), ..Default::default() };
                info.name = name;
                target.network.push(info);
            }
        }
    }
    Ok(Reply::of(target))
}
