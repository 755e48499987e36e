//! A machine of a model: what a catalogue would say of it, made by the same code that clients' machines are made by.

use chrono::TimeDelta;
use vsphere_model::types::{
    DistributedVirtualSwitchPortConnection, ParaVirtualSCSIController, Poly, VirtualCdrom,
    VirtualCdromRemotePassthroughBackingInfo, VirtualDevice, VirtualDeviceConfigSpec,
    VirtualDeviceConfigSpecFileOperation, VirtualDeviceConfigSpecOperation, VirtualDisk,
    VirtualDiskFlatVer2BackingInfo, VirtualDiskMode, VirtualEthernetCardDistributedVirtualPortBackingInfo,
    VirtualEthernetCardNetworkBackingInfo, VirtualMachineConfigSpec, VirtualSCSISharing, VirtualVmxnet3,
};
use vsphere_soap::object::Extends;

use crate::fault::Outcome;
use crate::objects::dvs::Dvs;
use crate::objects::network::Network;
use crate::objects::vm::guest::Tools;
use crate::objects::vm::{self, GuestPlan, Placement, Vm, power};
use crate::world::{Moref, World};

/// A machine of a model.
#[derive(Debug, Clone)]
pub(super) struct Machine<'a> {
    pub(super) name: &'a str,
    pub(super) guest_id: &'a str,
    pub(super) cpus: i32,
    pub(super) memory_mb: i64,
    pub(super) disks_gb: &'a [i64],
    pub(super) note: &'a str,
    /// The name of its host, with the domain; empty where no system is installed.
    pub(super) host_name: &'a str,
    pub(super) tools: Tools,
    /// Whether it has a CD drive, which is empty.
    pub(super) cd_drive: bool,
}

impl Machine<'_> {
    /// Makes the machine, switched off.
    ///
    /// # Errors
    /// Those of making any machine.
    pub(super) fn make(&self, world: &mut World, place: &Placement, network: &Moref) -> Outcome<Moref> {
        let mut controller = ParaVirtualSCSIController::default();
        controller.key = CONTROLLER;
        controller.shared_bus = VirtualSCSISharing::NoSharing;
        let mut devices = vec![add(controller)];
        devices.extend(self.disks_gb.iter().zip(0..).map(|(gb, number)| disk(*gb, number)));
        devices.push(card(world, network)?);
        devices.extend(self.cd_drive.then(cd_drive));
        let spec = VirtualMachineConfigSpec {
            name: Some(self.name.to_owned()),
            guest_id: Some(self.guest_id.to_owned()),
            num_cpus: Some(self.cpus),
            memory_mb: Some(self.memory_mb),
            annotation: Some(self.note.to_owned()).filter(|note| !note.is_empty()),
            device_change: devices,
            ..Default::default()
        };
        let vm = vm::create(world, &spec, place)?;
        if !self.host_name.is_empty() {
            world.edit::<Vm>(&vm)?.guest_plan = Some(Box::new(GuestPlan::new(self.host_name, self.tools)));
        }
        Ok(vm)
    }
}

/// Switches a machine on, some weeks before the first client came, with its guest running.
pub(super) fn switch_on(world: &mut World, vm: &Moref) -> Outcome<()> {
    let since = world.now() - TimeDelta::hours(fastrand::i64(24..1500));
    power::has_run_since(world, vm, since)
}

/// Who did what was done before the first client came.
pub(super) const SYSTEM: &str = "VSPHERE.LOCAL\\Administrator";

/// The client's own key of the new controller.
const CONTROLLER: i32 = -100;

fn add<D: Extends<VirtualDevice>>(device: D) -> Poly<VirtualDeviceConfigSpec> {
    Poly::new(VirtualDeviceConfigSpec {
        operation: Some(VirtualDeviceConfigSpecOperation::Add),
        device: Poly::new(device),
        ..Default::default()
    })
}

fn disk(gb: i64, number: i32) -> Poly<VirtualDeviceConfigSpec> {
    let backing = VirtualDiskFlatVer2BackingInfo {
        disk_mode: VirtualDiskMode::Persistent.into(),
        thin_provisioned: Some(true),
        ..Default::default()
    };
    let mut disk = VirtualDisk { capacity_in_kb: gb << 20, ..Default::default() };
    disk.key = -200 - number;
    disk.controller_key = Some(CONTROLLER);
    // Unit 7 is the controller's own.
    disk.unit_number = Some(if number < 7 { number } else { number + 1 });
    disk.backing = Some(Poly::new(backing));
    let mut change = add(disk);
    change.file_operation = Some(VirtualDeviceConfigSpecFileOperation::Create);
    change
}

/// A drive at the controller that every machine has.
fn cd_drive() -> Poly<VirtualDeviceConfigSpec> {
    let mut drive = VirtualCdrom::default();
    drive.key = -400;
    drive.controller_key = Some(200);
    drive.unit_number = Some(0);
    drive.backing = Some(Poly::new(VirtualCdromRemotePassthroughBackingInfo::default()));
    add(drive)
}

fn card(world: &World, network: &Moref) -> Outcome<Poly<VirtualDeviceConfigSpec>> {
    let name = world.entity(network)?.name.clone();
    let mut card = VirtualVmxnet3::default();
    card.key = -300;
    card.backing = Some(match &world.get::<Network>(network)?.portgroup {
        Some(group) => {
            let switch = group.distributed_virtual_switch.clone().unwrap_or_default();
            let port = DistributedVirtualSwitchPortConnection {
                switch_uuid: world.get::<Dvs>(&switch)?.uuid().to_owned(),
                portgroup_key: Some(group.key.clone()),
                ..Default::default()
            };
            Poly::new(VirtualEthernetCardDistributedVirtualPortBackingInfo { port, ..Default::default() })
        }
        None => {
            let network = Some(network.clone());
            let mut backing = VirtualEthernetCardNetworkBackingInfo { network, ..Default::default() };
            backing.device_name = name;
            Poly::new(backing)
        }
    });
    Ok(add(card))
}
