//! How a lease comes to be: the machine of an import is made, the files of an export are found.

use std::time::Duration;

use vsphere_model::types::{
    HttpNfcLeaseDatastoreLeaseInfo, HttpNfcLeaseDeviceUrl, HttpNfcLeaseHostInfo, HttpNfcLeaseInfo, HttpNfcLeaseState,
    ImportSpec, Poly, VirtualCdromIsoBackingInfo, VirtualMachineConfigInfo, VirtualMachineConfigSpec,
    VirtualMachineImportSpec, VirtualMachinePowerState, VmCreatedEvent,
};

use super::{Lease, LeaseFile, end, parts, watch};
use crate::call::{Call, Reply};
use crate::fault::{Fault, Outcome};
use crate::model::ServerKind;
use crate::objects::datacenter::Datacenter;
use crate::objects::datastore::Datastore;
use crate::objects::datastore::checksum::Algorithm;
use crate::objects::datastore::files::File;
use crate::objects::vm::snapshot::Snapshot;
use crate::objects::vm::{self, Placement, Vm};
use crate::world::{Moref, World};

/// How long it takes to make a machine for an import.
const MAKING: Duration = Duration::from_secs(2);

const IMPORT: &str = "VApp.Import";

/// `ResourcePool.ImportVApp`.
pub(super) fn import(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: Poly<ImportSpec> = call.arg("spec")?;
    let host: Option<Moref> = call.opt("host")?;
    let pool = call.target.clone();
    let folder = match call.opt::<Moref>("folder")? {
        Some(folder) => folder,
        None => world.nearest::<Datacenter>(&pool).map(|(_, found)| found.vm_folder.clone()).unwrap_or_default(),
    };
    world.demand(call, &pool, IMPORT)?;
    world.demand(call, &folder, IMPORT)?;
    let Some(spec) = spec.downcast_ref::<VirtualMachineImportSpec>() else {
        return Err(Fault::not_supported("the import of a vApp"));
    };
    let mut spec = spec.config_spec.clone();
    if let Some(datastore) = datastore_of(world, &spec, &pool) {
        world.demand(call, &datastore, "Datastore.AllocateSpace")?;
    }
    let name = spec.name.clone().unwrap_or_default();
    world.check_new_child(&folder, &name, "VirtualMachine")?;
    // The image of a drive comes to where the machine is, and its place is known when that is made.
    let images = take_images(&mut spec);
    let task = call.task().hold(world)?;
    let lease = open(world, call, true, task)?;
    let (reference, peer) = (lease.clone(), call.peer.host.clone());
    world.later(MAKING, move |world| {
        let placement = Placement { folder, pool, host, datastore: None };
        let made = make(world, &spec, &placement, images);
        match made {
            Ok(vm) => {
                let user = world.get::<Lease>(&reference).map(|lease| lease.user.clone()).unwrap_or_default();
                world.post(&vm, &user, VmCreatedEvent::default(), format!("Created virtual machine {name}"));
                let config = world.get::<Vm>(&vm).map(|vm| vm.config.clone());
                if let Ok(config) = config {
                    ready(world, &reference, &vm, &config, &peer);
                }
            }
            Err(fault) => end(world, &reference, Some(fault)),
        }
    });
    Ok(Reply::of(lease))
}

/// The datastore that a specification names.
fn datastore_of(world: &World, spec: &VirtualMachineConfigSpec, pool: &Moref) -> Option<Moref> {
    let path = spec.files.as_ref()?.vm_path_name.as_deref()?;
    let name = path.strip_prefix('[')?.split(']').next()?;
    let (datacenter, _) = world.nearest::<Datacenter>(pool)?;
    world.datastore_named(&datacenter, name).ok()
}

/// Takes the images out of the drives of a specification; the keys of these drives.
fn take_images(spec: &mut VirtualMachineConfigSpec) -> usize {
    let mut images = 0;
    for change in &mut spec.device_change {
        let image = change.device.backing.as_ref().and_then(|it| it.downcast_ref::<VirtualCdromIsoBackingInfo>());
        if image.is_some_and(|image| image.file_name.is_empty()) {
            change.device.backing = None;
            images += 1;
        }
    }
    images
}

fn make(world: &mut World, spec: &VirtualMachineConfigSpec, at: &Placement, images: usize) -> Outcome<Moref> {
    if let Some(application) = &spec.v_app_config {
        vm::application::check_values(application)?;
    }
    let vm = vm::create(world, spec, at)?;
    let vmx = world.vmx_of(&vm)?;
    let drives: Vec<usize> = world
        .get::<Vm>(&vm)?
        .config
        .hardware
        .device
        .iter()
        .enumerate()
        .filter(|(_, device)| vm::hardware::Kind::of(device) == vm::hardware::Kind::Cdrom)
        .map(|(index, _)| index)
        .collect();
    for (number, index) in drives.into_iter().take(images).enumerate() {
        let place = vmx.beside(&format!("_deviceImage-{number}.iso"));
        world.datastore_of(&place)?.put_file(&place.path, File::made(0))?;
        let mut backing = VirtualCdromIsoBackingInfo::default();
        backing.file_name = world.place_text(&place);
        backing.datastore = Some(place.datastore);
        if let Some(drive) = world.edit::<Vm>(&vm)?.config.hardware.device.get_mut(index) {
            drive.backing = Some(Poly::new(backing));
        }
    }
    Ok(vm)
}

/// `VirtualMachine.ExportVm`.
pub(super) fn export(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = call.target.clone();
    world.demand(call, &vm, "VApp.Export")?;
    let machine = world.get::<Vm>(&vm)?;
    machine.must_be(&[VirtualMachinePowerState::PoweredOff], Some(VirtualMachinePowerState::PoweredOff))?;
    let config = machine.config.clone();
    begin(world, call, &vm, &config)
}

/// `VirtualMachineSnapshot.ExportSnapshot`.
pub(super) fn export_snapshot(world: &mut World, call: &Call) -> Outcome<Reply> {
    let snapshot = world.get::<Snapshot>(&call.target)?;
    let (vm, config) = (snapshot.vm.clone(), snapshot.config.clone());
    world.demand(call, &vm, "VApp.Export")?;
    begin(world, call, &vm, &config)
}

fn begin(world: &mut World, call: &Call, vm: &Moref, config: &VirtualMachineConfigInfo) -> Outcome<Reply> {
    for part in parts(world, vm, config).iter().filter(|part| part.is_image) {
        // An image that somebody deleted breaks the export.
        world.get::<Datastore>(&part.place.datastore)?.file(&part.place.path)?;
    }
    let task = call.task().about(vm).alone_with(vm).hold(world)?;
    let lease = open(world, call, false, task)?;
    ready(world, &lease, vm, config, &call.peer.host);
    Ok(Reply::of(lease))
}

fn open(world: &mut World, call: &Call, imports: bool, task: Moref) -> Outcome<Moref> {
    let lease = Lease::new(call, world, imports, task)?;
    let (ticket, session) = (lease.ticket.clone(), lease.session.clone());
    let id = format!("session[{}]{}", session, crate::world::uuid(fastrand::u128(..)));
    let reference = world.add_for_session(&session, &id, lease);
    world.leases.insert(ticket, reference.clone());
    watch(world, &reference);
    Ok(reference)
}

/// The machine is there: the files can be sent or fetched.
fn ready(world: &mut World, reference: &Moref, vm: &Moref, config: &VirtualMachineConfigInfo, peer: &str) {
    let parts = parts(world, vm, config);
    let esxi = world.settings.kind == ServerKind::Esxi;
    let thumbprint = world.thumbprint.clone();
    let scheme = if thumbprint.is_some() { "https" } else { "http" };
    let thumbprint = thumbprint.unwrap_or_default();
    // All hosts are reached where the server is; a host itself says so by a star.
    let host = if esxi || peer.is_empty() { "*" } else { peer };
    let door = if esxi { "ha-nfc" } else { "nfc" };
    let sizes: Vec<Option<i64>> = parts
        .iter()
        .map(|part| {
            let datastore = world.get::<Datastore>(&part.place.datastore).ok()?;
            datastore.find(&part.place.path).filter(|_| !part.is_disk).map(|file| file.size)
        })
        .collect();
    let Ok(lease) = world.edit::<Lease>(reference) else { return };
    if lease.state != HttpNfcLeaseState::Initializing {
        // It was aborted meanwhile.
        lease.vm = Some(vm.clone());
        let fault = super::aborted();
        end(world, reference, Some(fault));
        return;
    }
    let machine = config.name.clone();
    let ticket = &lease.ticket;
    let device_url = parts.iter().zip(sizes).map(|(part, size)| HttpNfcLeaseDeviceUrl {
        key: part.key.clone(),
        import_key: if lease.imports { part.import_key(&machine) } else { String::new() },
        url: format!("{scheme}://{host}/{door}/{ticket}/{}", part.name),
        ssl_thumbprint: thumbprint.clone(),
        disk: Some(part.is_disk),
        target_id: Some(part.name.clone()),
        datastore_key: Some(part.place.datastore.value.clone()),
        file_size: size.filter(|_| !lease.imports),
        ssl_certificate: None,
    });
    let device_url: Vec<HttpNfcLeaseDeviceUrl> = device_url.collect();
    let capacity: i64 = parts.iter().map(|part| part.capacity / 1024).sum();
    let key = device_url.first().and_then(|url| url.datastore_key.clone()).unwrap_or_default();
    lease.info = Some(HttpNfcLeaseInfo {
        lease: reference.clone(),
        entity: vm.clone(),
        device_url,
        total_disk_capacity_in_kb: capacity,
        lease_timeout: i32::try_from(lease.timeout.as_secs().max(1)).unwrap_or(i32::MAX),
        host_map: vec![HttpNfcLeaseDatastoreLeaseInfo {
            datastore_key: key,
            hosts: vec![HttpNfcLeaseHostInfo {
                url: format!("{scheme}://{host}/{door}/{ticket}/"),
                ssl_thumbprint: thumbprint,
            }],
        }],
    });
    let file = |part| LeaseFile { part, checksum: Algorithm::Sha1, passed: None };
    lease.files = parts.into_iter().map(file).collect();
    lease.vm = Some(vm.clone());
    lease.initialize_progress = 100;
    lease.state = HttpNfcLeaseState::Ready;
    let task = lease.task.clone();
    world.keep_busy(&task, vm);
}
