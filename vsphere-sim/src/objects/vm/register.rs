//! `Folder.RegisterVM_Task`: a machine whose files are there comes into the inventory.

use std::time::Duration;

use vsphere_model::types::{
    AlreadyExists, Any, ParaVirtualSCSIController, Poly, VirtualController, VirtualDevice, VirtualDeviceConfigSpec,
    VirtualDeviceConfigSpecOperation, VirtualDeviceFileBackingInfo, VirtualDisk, VirtualDiskFlatVer2BackingInfo,
    VirtualMachineConfigInfo, VirtualSCSIController, VmRegisteredEvent,
};

use super::create::{add, choose_host, usable};
use super::draft::Draft;
use super::files::Place;
use super::{Vm, config, hardware};
use crate::call::{Call, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::datacenter::Datacenter;
use crate::objects::datastore::Datastore;
use crate::objects::datastore::path::join;
use crate::objects::host::Host;
use crate::world::{Moref, World, escaped};

struct Registration {
    folder: Moref,
    path: String,
    name: Option<String>,
    template: bool,
    pool: Option<Moref>,
    host: Option<Moref>,
}

pub(super) fn task(world: &mut World, call: &Call) -> Outcome<Reply> {
    let asked = Registration {
        folder: call.target.clone(),
        path: call.arg("path")?,
        name: call.opt("name")?,
        template: call.arg("asTemplate")?,
        pool: call.opt("pool")?,
        host: call.opt("host")?,
    };
    let user = call.user(world);
    call.task().takes(Duration::from_secs(1)).start(world, move |world| {
        let vm = register(world, &asked)?;
        let message = format!("Registered {} on {}", world.name_of(&vm), super::reconfigure::host_name(world, &vm));
        world.post(&vm, &user, VmRegisteredEvent::default(), message);
        Ok(Any::from(vm))
    })
}

fn register(world: &mut World, asked: &Registration) -> Outcome<Moref> {
    if asked.template && asked.pool.is_some() {
        return Err(Fault::invalid_argument("pool"));
    }
    let (datacenter, _) = world.nearest::<Datacenter>(&asked.folder).ok_or_else(|| Fault::not_found(&asked.folder))?;
    let (datastore, path) = world.locate(&asked.path, Some(&datacenter), "path")?;
    let host = match (&asked.pool, &asked.host) {
        (Some(pool), host) => choose_host(world, pool, host.as_ref(), std::slice::from_ref(&datastore))?,
        (None, Some(host)) if asked.template => usable(world, host).map(|()| host.clone())?,
        (None, _) => return Err(Fault::invalid_argument(if asked.template { "host" } else { "pool" })),
    };
    let seen = world.get::<Host>(&host)?.datastores.clone();
    if !seen.contains(&datastore) || !(path.ends_with(".vmx") || path.ends_with(".vmtx")) {
        return Err(crate::objects::datastore::path::invalid(&asked.path));
    }
    let vmx = Place { datastore, path };
    world.get::<Datastore>(&vmx.datastore)?.file(&vmx.path)?;
    let text = world.place_text(&vmx);
    let is_it = |vm: &&Moref| {
        world.get::<Vm>(vm).is_ok_and(|vm| vm.config.files.vm_path_name.as_deref() == Some(text.as_str()))
    };
    if let Some(known) = world.get::<Datastore>(&vmx.datastore)?.vms.iter().find(is_it) {
        let name = world.name_of(known);
        let message = format!("The virtual machine '{name}' is registered with these files already.");
        return Err(Fault::new(AlreadyExists { name: Some(name), ..Default::default() }, message));
    }
    let kept = world.shelf.get(&vmx).map(|config| config.name.clone());
    let name = asked.name.clone().filter(|name| !name.is_empty()).or(kept).unwrap_or_else(|| vmx.stem().to_owned());
    world.check_new_child(&asked.folder, &name, "VirtualMachine")?;
    let mut config = match world.shelf.remove(&vmx) {
        Some(config) => *config,
        None => found(world, &vmx, &host, seen)?,
    };
    config.name = escaped(&name);
    config.template = asked.template;
    add(world, config, &vmx.datastore, &host, asked.pool.as_ref(), &asked.folder)
}

/// The configuration of a machine of which nothing is known but its folder: it has the disks that lie there.
fn found(world: &mut World, vmx: &Place, host: &Moref, datastores: Vec<Moref>) -> Outcome<VirtualMachineConfigInfo> {
    let config = config::blank(world, &escaped(vmx.stem()), &world.place_text(vmx));
    let held = world.get::<Datastore>(&vmx.datastore)?;
    let files = held.files().children(vmx.folder());
    let disks = files.filter(|(_, file)| file.disk().is_some());
    let disks: Vec<String> = disks.map(|(name, _)| held.path(&join(vmx.folder(), name))).collect();
    let add = |device| {
        let operation = Some(VirtualDeviceConfigSpecOperation::Add);
        Poly::new(VirtualDeviceConfigSpec { operation, device, ..Default::default() })
    };
    let base = VirtualDevice { key: -1, ..Default::default() };
    let base = VirtualController { base, ..Default::default() };
    let base = VirtualSCSIController { base, ..Default::default() };
    let mut changes = vec![add(Poly::new(ParaVirtualSCSIController { base }))];
    for file in disks {
        let base = VirtualDeviceFileBackingInfo { file_name: file, ..Default::default() };
        let backing = Some(Poly::new(VirtualDiskFlatVer2BackingInfo { base, ..Default::default() }));
        let base = VirtualDevice { controller_key: Some(-1), backing, ..Default::default() };
        changes.push(add(Poly::new(VirtualDisk { base, ..Default::default() })));
    }
    let mut draft = Draft {
        config,
        host: host.clone(),
        datastores,
        vmx: vmx.clone(),
        running: false,
        has_snapshots: false,
        is_new: false,
        files: Vec::new(),
    };
    hardware::change(world, &mut draft, &changes, "spec")?;
    Ok(draft.config)
}
