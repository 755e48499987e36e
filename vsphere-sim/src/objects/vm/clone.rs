//! `VirtualMachine.CloneVM_Task`: a machine is made after another one, with disks of its own, or with children of the other's.

use std::time::Duration;

use vsphere_model::types::{
    Any, DistributedVirtualSwitchPortConnection, EntityEventArgument, FolderEventArgument, HostEventArgument, Poly,
    VirtualDevice, VirtualDisk, VirtualDiskFlatVer2BackingInfo, VirtualEthernetCard,
    VirtualEthernetCardDistributedVirtualPortBackingInfo, VirtualMachineCloneSpec, VirtualMachineConfigInfo,
    VirtualMachineConfigSpec, VirtualMachineRelocateSpec, VirtualMachineRelocateSpecDiskLocator,
    VirtualMachineRelocateTransformation, VmBeingClonedEvent, VmBeingDeployedEvent, VmClonedEvent, VmDeployedEvent,
    VmEventArgument,
};

use super::create::{add, choose_host, choose_vmx, chooses, home, least_busy, usable};
use super::draft::{Draft, FileChange, carry_out};
use super::files::Place;
use super::relocate::targets;
use super::snapshot::Snapshot;
use super::{Vm, chain, config, customize, hardware, power};
use crate::call::{Call, Reply};
use crate::fault::{Fault, Outcome};
use crate::model::ServerKind;
use crate::objects::compute::Compute;
use crate::objects::datastore::Datastore;
use crate::objects::datastore::disk::{Disk, Format};
use crate::objects::host::Host;
use crate::objects::resource_pool::ResourcePool;
use crate::world::{Moref, World, escaped};

/// How long a gigabyte takes that is copied.
const GIGABYTE: Duration = Duration::from_millis(300);

pub(super) fn task(world: &mut World, call: &Call) -> Outcome<Reply> {
    if world.settings.kind == ServerKind::Esxi {
        return Err(Fault::not_supported("cloning without a vCenter"));
    }
    let wanted = Clone {
        source: call.target.clone(),
        folder: call.arg("folder")?,
        name: call.arg("name")?,
        spec: call.arg("spec")?,
    };
    let user = call.user(world);
    // What can be refused at once is.
    wanted.pool(world)?;
    world.check_new_child(&wanted.folder, &wanted.name, "VirtualMachine")?;
    let takes = Duration::from_secs(1) + if wanted.is_linked() { Duration::ZERO } else { wanted.copying(world) };
    call.task().alone_with(&wanted.source).takes(takes).cancelable().start(world, move |world| {
        let vm = wanted.make(world, &user)?;
        if wanted.spec.power_on && !wanted.spec.template {
            power::turn_on(world, &vm, None, &user)?;
        }
        Ok(Any::from(vm))
    })
}

/// A clone that is wanted.
struct Clone {
    source: Moref,
    folder: Moref,
    name: String,
    spec: VirtualMachineCloneSpec,
}

/// What becomes of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiskCopy {
    /// One file of its own, with all that the chain has.
    Full,
    /// A child of the source's.
    Child,
    /// A copy of what the source wrote last, on the same parents.
    Top,
}

impl DiskCopy {
    /// The way that a specification names.
    pub(super) fn parse(name: Option<&str>) -> Option<Self> {
        match name {
            None
            | Some(
                ""
                | "moveAllDiskBackingsAndDisallowSharing"
                | "moveAllDiskBackingsAndAllowSharing"
                | "moveAllDiskBackingsAndConsolidate",
            ) => Some(Self::Full),
            Some("createNewChildDiskBacking") => Some(Self::Child),
            Some("moveChildMostDiskBacking") => Some(Self::Top),
            Some(_) => None,
        }
    }
}

impl Clone {
    fn is_linked(&self) -> bool {
        DiskCopy::parse(self.spec.location.disk_move_type.as_deref()) == Some(DiskCopy::Child)
    }

    /// The pool of the clone; a template has none.
    fn pool(&self, world: &World) -> Outcome<Option<Moref>> {
        if self.spec.template {
            return Ok(None);
        }
        let source = world.get::<Vm>(&self.source)?;
        let pool = self.spec.location.pool.clone().or_else(|| source.pool.clone());
        pool.map(Some).ok_or_else(|| Fault::invalid_argument("spec.location.pool"))
    }

    fn host(&self, world: &World, pool: Option<&Moref>) -> Outcome<Moref> {
        let source = world.get::<Vm>(&self.source)?;
        let asked = self.spec.location.host.as_ref();
        let current = source.runtime.host.clone().unwrap_or_default();
        let datastores = self.datastores(world)?;
        let sees = world.get::<Host>(&current).is_ok_and(|host| host.sees(&datastores));
        let Some(pool) = pool else {
            let elsewhere = world.nearest::<Compute>(&current).filter(|_| asked.is_none() && !sees);
            let host = match elsewhere {
                Some((compute, _)) => least_busy(world, &compute, &datastores)?,
                None => asked.unwrap_or(&current).clone(),
            };
            return usable(world, &host).map(|()| host);
        };
        let owner = &world.get::<ResourcePool>(pool)?.owner;
        if asked.is_some() || chooses(world, owner) {
            return choose_host(world, pool, asked, &datastores);
        }
        // Without somebody who chooses, a clone stays with its source, or else where its datastores are seen.
        let same = self.spec.location.pool.is_none() || self.spec.location.pool == source.pool;
        match (same, sees) {
            (true, true) => choose_host(world, pool, Some(&current), &datastores),
            (true, false) => least_busy(world, owner, &datastores),
            (false, _) => Err(Fault::invalid_argument("spec.location.host")),
        }
    }

    /// The datastores that its files go to.
    fn datastores(&self, world: &World) -> Outcome<Vec<Moref>> {
        let mut datastores = targets(&self.spec.location);
        if self.spec.location.datastore.is_none() {
            datastores.push(world.vmx_of(&self.source)?.datastore);
        }
        Ok(datastores)
    }

    /// The configuration that is cloned: the source's as it is, or as a snapshot has it.
    fn source_config(&self, world: &World) -> Outcome<VirtualMachineConfigInfo> {
        match &self.spec.snapshot {
            None => Ok(world.get::<Vm>(&self.source)?.config.clone()),
            Some(snapshot) => {
                let found = world.get::<Snapshot>(snapshot)?;
                if found.vm != self.source {
                    return Err(Fault::invalid_argument("spec.snapshot"));
                }
                Ok(found.config.clone())
            }
        }
    }

    /// How long the copying takes.
    fn copying(&self, world: &World) -> Duration {
        let Ok(source) = world.get::<Vm>(&self.source) else { return Duration::ZERO };
        let bytes: i64 = source.storage(world).per_datastore_usage.iter().map(|usage| usage.committed).sum();
        GIGABYTE.mul_f64((bytes >> 30) as f64)
    }

    fn make(&self, world: &mut World, user: &str) -> Outcome<Moref> {
        world.check_new_child(&self.folder, &self.name, "VirtualMachine")?;
        let pool = self.pool(world)?;
        let host = self.host(world, pool.as_ref())?;
        self.announce(world, &host, user);
        let seen = world.get::<Host>(&host)?.datastores.clone();
        let source_home = world.vmx_of(&self.source)?.datastore;
        let datastore = self.spec.location.datastore.clone().unwrap_or(source_home);
        if !seen.contains(&datastore) {
            return Err(Fault::invalid_argument("spec.location.datastore"));
        }
        let mut vmx = choose_vmx(world, "", Some(&datastore), &seen, &self.name)?;
        if self.spec.template {
            vmx = vmx.beside(&format!("{}.vmtx", vmx.stem()));
        }
        let mut config = self.source_config(world)?;
        adopt(world, &mut config, &self.name, &vmx);
        config.template = self.spec.template;
        let mut draft = Draft {
            files: home(&vmx),
            config,
            host,
            datastores: seen,
            vmx,
            running: false,
            has_snapshots: false,
            is_new: false,
        };
        self.copy_disks(world, &mut draft)?;
        renew_cards(world, &mut draft.config.hardware.device)?;
        hardware::set_running(&mut draft.config.hardware.device, false);
        if let Some(overrides) = &self.spec.config {
            // What is cloned has the name that the call gives, whatever the overrides say.
            let spec = VirtualMachineConfigSpec { change_version: None, name: None, ..(**overrides).clone() };
            config::apply(world, &mut draft, &spec, "spec.config")?;
        }
        hardware::change(world, &mut draft, &self.spec.location.device_change, "spec.location")?;
        if let Some(customization) = &self.spec.customization {
            customize::check_adapters(customization, &draft.config.hardware.device)?;
            customize::record(&mut draft.config);
        }
        carry_out(world, &draft.files)?;
        let vm = add(world, draft.config, &draft.vmx.datastore, &draft.host, pool.as_ref(), &self.folder)?;
        let plan = world.get::<Vm>(&self.source)?.guest_plan.clone();
        let system = world.get::<Vm>(&self.source)?.guest_system.as_deref().map(|system| Box::new(system.copied()));
        let host_name = self.spec.customization.as_deref().and_then(|spec| customize::host_name(spec, &self.name));
        world.edit::<Vm>(&vm)?.guest_plan =
            plan.map(|plan| Box::new(plan.for_clone(host_name.as_deref().unwrap_or(&self.name))));
        world.edit::<Vm>(&vm)?.guest_system = system;
        world.edit::<Vm>(&vm)?.customization.clone_from(&self.spec.customization);
        self.report(world, &vm, user);
        Ok(vm)
    }

    fn copy_disks(&self, world: &World, draft: &mut Draft) -> Outcome<()> {
        let location = &self.spec.location;
        let places = world.get::<Vm>(&self.source)?.datastores.clone();
        let mut devices = std::mem::take(&mut draft.config.hardware.device);
        check_locators(location, &devices, "spec.location")?;
        for device in &mut devices {
            let Some(disk) = device.downcast_mut::<VirtualDisk>() else { continue };
            let locator = location.disk.iter().find(|locator| locator.disk_id == disk.key);
            let named = locator.and_then(|locator| locator.disk_move_type.as_deref());
            let named = named.or(location.disk_move_type.as_deref());
            let how = DiskCopy::parse(named).ok_or_else(|| Fault::invalid_argument("spec.location.diskMoveType"))?;
            let target = locator.map_or_else(|| draft.vmx.datastore.clone(), |locator| locator.datastore.clone());
            if !draft.datastores.contains(&target) {
                return Err(Fault::invalid_argument("spec.location.disk.datastore"));
            }
            copy_disk(world, draft, disk, &places, target, how, asked_format(location, locator))?;
        }
        draft.config.hardware.device = devices;
        Ok(())
    }

    fn announce(&self, world: &mut World, host: &Moref, user: &str) {
        let name = &self.name;
        let source = world.name_of(&self.source);
        let vm = vm_argument(world, &self.source);
        if world.get::<Vm>(&self.source).is_ok_and(|vm| vm.config.template) {
            let message = format!("Deploying {name} from template {source}");
            world.post(&self.source, user, VmBeingDeployedEvent { src_template: vm, ..Default::default() }, message);
            return;
        }
        let base = |name: String| EntityEventArgument { name, ..Default::default() };
        let event = VmBeingClonedEvent {
            dest_folder: FolderEventArgument { base: base(world.name_of(&self.folder)), folder: self.folder.clone() },
            dest_name: name.clone(),
            dest_host: HostEventArgument { base: base(world.name_of(host)), host: host.clone() },
            ..Default::default()
        };
        world.post(&self.source, user, event, format!("Cloning {source} to {name}"));
    }

    fn report(&self, world: &mut World, vm: &Moref, user: &str) {
        let source = vm_argument(world, &self.source);
        let (name, from) = (&self.name, source.name.clone());
        if world.get::<Vm>(&self.source).is_ok_and(|vm| vm.config.template) {
            let message = format!("Template {from} deployed as {name}");
            world.post(vm, user, VmDeployedEvent { src_template: source, ..Default::default() }, message);
        } else {
            let message = format!("Clone of {from} completed: {name}");
            world.post(vm, user, VmClonedEvent { source_vm: source, ..Default::default() }, message);
        }
    }
}

pub(super) fn vm_argument(world: &World, vm: &Moref) -> VmEventArgument {
    let base = EntityEventArgument { name: world.name_of(vm), ..Default::default() };
    VmEventArgument { base, vm: vm.clone() }
}

/// Makes a configuration that of another machine, at another place.
fn adopt(world: &World, config: &mut VirtualMachineConfigInfo, name: &str, vmx: &Place) {
    let fresh = config::blank(world, &escaped(name), &world.place_text(vmx));
    config.extra_config.retain(|option| option.key != "nvram");
    config.extra_config.extend(fresh.extra_config.into_iter().filter(|option| option.key == "nvram"));
    config.name = fresh.name;
    config.uuid = fresh.uuid;
    config.instance_uuid = fresh.instance_uuid;
    config.location_id = fresh.location_id;
    config.files = fresh.files;
    config.create_date = fresh.create_date;
    config.modified = fresh.modified;
    config.change_version = fresh.change_version;
    config.managed_by = None;
}

/// Whether every locator is for a disk that is there.
///
/// # Errors
/// `InvalidArgument`, with the path of the key.
pub(super) fn check_locators(
    location: &VirtualMachineRelocateSpec,
    devices: &[Poly<VirtualDevice>],
    root: &str,
) -> Outcome<()> {
    for (index, locator) in location.disk.iter().enumerate() {
        if !devices.iter().any(|device| device.key == locator.disk_id && device.is::<VirtualDisk>()) {
            return Err(Fault::invalid_argument(&format!("{root}.disk[{index}].diskId")));
        }
    }
    Ok(())
}

/// The format that a disk is to have, where the client names one.
pub(super) fn asked_format(
    location: &VirtualMachineRelocateSpec,
    locator: Option<&VirtualMachineRelocateSpecDiskLocator>,
) -> Option<Format> {
    let backing = locator.and_then(|locator| locator.disk_backing_info.as_ref());
    if let Some(flat) = backing.and_then(|backing| backing.downcast_ref::<VirtualDiskFlatVer2BackingInfo>()) {
        return match (flat.thin_provisioned, flat.eagerly_scrub) {
            (Some(true), _) => Some(Format::Thin),
            (_, Some(true)) => Some(Format::EagerZeroed),
            (Some(false), _) => Some(Format::LazyZeroed),
            (None, _) => None,
        };
    }
    match location.transform {
        Some(VirtualMachineRelocateTransformation::Sparse) => Some(Format::Thin),
        Some(VirtualMachineRelocateTransformation::Flat) => Some(Format::LazyZeroed),
        _ => None,
    }
}

/// Plans the file of a cloned disk, and puts it behind the disk.
fn copy_disk(
    world: &World,
    draft: &mut Draft,
    disk: &mut VirtualDisk,
    source: &[Moref],
    target: Moref,
    how: DiskCopy,
    format: Option<Format>,
) -> Outcome<()> {
    let files = chain::files(disk);
    let layers: Vec<Place> = files.iter().map(|file| world.place_among(source, file)).collect::<Outcome<_>>()?;
    let layer = |place: &Place| world.get::<Datastore>(&place.datastore)?.disk(&place.path).cloned();
    let (Some(top), Some(last)) = (layers.first(), layers.last()) else { return Ok(()) };
    let (file, root) = (layer(top)?, layer(last)?);
    let written = |place: &Place| world.get::<Datastore>(&place.datastore).map_or(0, |held| held.written(&place.path));
    let Some(flat) = disk.backing.as_mut().and_then(|backing| backing.downcast_mut::<VirtualDiskFlatVer2BackingInfo>())
    else {
        return Err(Fault::not_supported("cloning of a disk of this kind"));
    };
    let folder = draft.vmx.folder().to_owned();
    if target != draft.vmx.datastore {
        draft.files.push(FileChange::Folder(Place { datastore: target.clone(), path: folder.clone() }));
    }
    let place = hardware::free_disk_name(world, draft, &Place { datastore: target, path: format!("{folder}/") });
    let (made, bytes) = match how {
        DiskCopy::Child => {
            flat.parent = Some(Box::new(flat.clone()));
            (file.delta(&world.place_text(top)), 0)
        }
        DiskCopy::Top if flat.parent.is_some() => {
            (Disk { uuid: Disk::new(0, Format::Thin).uuid, ..file }, written(top))
        }
        DiskCopy::Top | DiskCopy::Full => {
            flat.parent = None;
            flat.delta_disk_format = None;
            let format = format.unwrap_or(root.format);
            let bytes = layers.iter().map(written).sum();
            (Disk { adapter: root.adapter, ..Disk::new(root.capacity, format) }, bytes)
        }
    };
    flat.datastore = Some(place.datastore.clone());
    flat.file_name = world.place_text(&place);
    flat.change_id = None;
    hardware::fill_backing(flat, &made);
    disk.v_disk_id = None;
    disk.disk_object_id = None;
    draft.files.push(FileChange::Disk(place, made, bytes));
    Ok(())
}

/// Gives the network adapters addresses and ports of their own.
///
/// # Errors
/// `ResourceInUse` where a port group has no port left.
fn renew_cards(world: &mut World, devices: &mut [Poly<VirtualDevice>]) -> Outcome<()> {
    fn port_of(device: &mut VirtualDevice) -> Option<&mut DistributedVirtualSwitchPortConnection> {
        let backing = device.backing.as_mut()?;
        Some(&mut backing.downcast_mut::<VirtualEthernetCardDistributedVirtualPortBackingInfo>()?.port)
    }
    // The source's ports are the source's.
    devices.iter_mut().filter_map(|device| port_of(device)).for_each(|port| port.port_key = None);
    for at in 0..devices.len() {
        let group = devices.get(at).and_then(|device| hardware::network_anywhere(world, device));
        let port = devices.get_mut(at).and_then(|device| port_of(device)).cloned();
        if let (Some(group), Some(mut port)) = (group, port) {
            hardware::take_port(world, devices, &mut port, &group)?;
            if let Some(kept) = devices.get_mut(at).and_then(|device| port_of(device)) {
                *kept = port;
            }
        }
        if let Some(card) = devices.get_mut(at).and_then(|device| device.downcast_mut::<VirtualEthernetCard>()) {
            let (kind, address) = hardware::new_address(world);
            card.address_type = Some(kind.to_owned());
            card.mac_address = Some(address);
        }
    }
    Ok(())
}
