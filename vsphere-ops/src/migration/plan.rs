//! What has to move, and where to: the specification that the server is given.

use vsphere_model::managed::{
    ComputeResource, Datacenter, Datastore, Folder, HostSystem, Network, ResourcePool, VirtualMachine,
    virtual_machine as vm,
};
use vsphere_model::types::{
    ManagedObjectReference, Poly, VirtualDevice, VirtualDeviceConfigSpec, VirtualDeviceFileBackingInfo, VirtualDisk,
    VirtualDiskFlatVer2BackingInfo, VirtualEthernetCard, VirtualMachinePowerState, VirtualMachineRelocateSpec,
    VirtualMachineRelocateSpecDiskLocator,
};

use super::{Destination, FileMove, NicMove, OPERATION, Whereabouts, compute_of};
use crate::client::Client;
use crate::device::{self, Seen, label};
use crate::error::{Result, invalid};
use crate::find;
use crate::mo::Mo;
use crate::name;
use crate::nic::network::{Known, Outlet};
use crate::placement::{self, Choice, Part, Reason, datacenter_of, folder_of, named, nothing, pool_of, root_pool};
use crate::vm::{Provisioning, home};

/// What the files are called that are no disks.
const CONFIGURATION: &str = "configuration";

/// What has to move, and where to.
pub(super) struct Route {
    pub(super) spec: VirtualMachineRelocateSpec,
    /// Only what is said.
    pub(super) to: Whereabouts,
    pub(super) files: Vec<FileMove>,
    pub(super) nics: Vec<NicMove>,
    pub(super) placement: Vec<Choice>,
}

/// Where the VM is to run.
struct Target {
    compute: Mo<ComputeResource>,
    datacenter: Mo<Datacenter>,
    /// The host whose view counts: the one that is asked for, or its own where it stays.
    host: Option<Mo<HostSystem>>,
    leaves_compute: bool,
    leaves_datacenter: bool,
}

impl Route {
    pub(super) async fn find(machine: &Mo<VirtualMachine>, seen: &Seen, to: &Destination) -> Result<Self> {
        let client = machine.client();
        let (own_host, own_pool, own_folder) = machine.read((vm::HOST, vm::RESOURCE_POOL, vm::PARENT)).await?;
        let own_host = own_host.ok_or_else(|| nothing(OPERATION, "the host that has the VM can't be read"))?;
        let own_host: Mo<HostSystem> = named(client, &own_host).await?;
        let asked_host = match &to.host {
            Some(what) => Some(client.get::<HostSystem>(what).await?),
            None => None,
        };
        let asked_pool = match &to.pool {
            Some(what) => Some(client.get::<ResourcePool>(what).await?),
            None => None,
        };
        let target = target(machine, &own_host, asked_host.as_ref(), asked_pool.as_ref(), to).await?;
        let mut spec = VirtualMachineRelocateSpec::default();
        let mut placement = Vec::new();
        let template = seen.devices().config.template;
        let pool = match asked_pool {
            Some(pool) => Some(pool),
            None if target.leaves_compute && !template => {
                let pool = root_pool(&target.compute).await?;
                placement.push(Choice::of(Part::Pool, &pool, Reason::FollowsFromAsked));
                Some(pool)
            }
            None => None,
        };
        spec.pool = pool.as_ref().map(|pool| pool.reference().clone()).filter(|pool| Some(pool) != own_pool.as_ref());
        let host = asked_host.as_ref().map(|host| host.reference().clone());
        spec.host = host.filter(|host| host != own_host.reference());
        if spec.host.is_none() && target.leaves_compute {
            must_be_chosen(&target.compute, &seen.devices().power_state).await?;
        }
        let folder = folder(client, &target, to, &mut placement).await?;
        spec.folder = folder
            .as_ref()
            .map(|folder| folder.reference().clone())
            .filter(|folder| Some(folder) != own_folder.as_ref());
        let reach = placement::Seen::by(target.host.as_ref(), &target.compute).await?;
        let files = files(machine, seen, to, &target, &reach, &mut spec, &mut placement).await?;
        let nics = networks(machine, seen, to, &target, &reach, &mut spec, &mut placement).await?;
        let said = |moves: bool, what: ManagedObjectReference| moves.then_some(what);
        let to = Whereabouts::of(
            machine,
            spec.host.clone(),
            said(target.leaves_compute, target.compute.reference().clone()),
            spec.pool.clone(),
            spec.folder.clone(),
        )
        .await?;
        Ok(Self { spec, to, files, nics, placement })
    }

    /// Whether there is anything to do.
    pub(super) fn moves(&self) -> bool {
        let VirtualMachineRelocateSpec { host, pool, folder, datastore, disk, device_change, .. } = &self.spec;
        host.is_some()
            || pool.is_some()
            || folder.is_some()
            || datastore.is_some()
            || !disk.is_empty()
            || !device_change.is_empty()
    }
}

/// Where the VM is to run, by the host, the pool or the cluster that is asked for, which have to fit together.
async fn target(
    machine: &Mo<VirtualMachine>,
    own_host: &Mo<HostSystem>,
    host: Option<&Mo<HostSystem>>,
    pool: Option<&Mo<ResourcePool>>,
    to: &Destination,
) -> Result<Target> {
    let client = machine.client();
    let own = compute_of(own_host).await?.ok_or_else(|| nothing(OPERATION, "its host is in no cluster"))?;
    let cluster = match &to.cluster {
        Some(what) => Some(client.get::<ComputeResource>(what).await?),
        None => None,
    };
    let by_host_or_pool = match (host, pool) {
        (None, None) => None,
        (host, pool) => Some(pool_of(client, pool.cloned(), host).await?.1),
    };
    if let (Some(cluster), Some(other)) = (&cluster, &by_host_or_pool)
        && cluster.reference() != other.reference()
    {
        let text = format!("what else is asked for is of {}, and not of {}", other.label(), cluster.label());
        return Err(invalid("use the cluster", text).on(cluster.label()));
    }
    let compute = by_host_or_pool.or(cluster).unwrap_or_else(|| own.clone());
    let leaves_compute = compute.reference() != own.reference();
    let own_datacenter = datacenter_of(client, machine.reference()).await?;
    let datacenter =
        if leaves_compute { datacenter_of(client, compute.reference()).await? } else { own_datacenter.clone() };
    let view = match host {
        Some(host) => Some(host.clone()),
        None if leaves_compute => None,
        None => Some(own_host.clone()),
    };
    Ok(Target {
        leaves_datacenter: datacenter.reference() != own_datacenter.reference(),
        compute,
        datacenter,
        host: view,
        leaves_compute,
    })
}

/// Somebody must choose the host of a VM that runs: DRS, or whoever asks.
///
/// # Errors
/// `ambiguous` with the hosts.
async fn must_be_chosen(compute: &Mo<ComputeResource>, state: &VirtualMachinePowerState) -> Result<()> {
    let Some(hosts) = placement::hosts_without_drs(compute).await? else { return Ok(()) };
    if hosts.len() < 2 || *state == VirtualMachinePowerState::PoweredOff {
        return Ok(());
    }
    let ambiguous = find::ambiguous(compute.client(), &hosts).await?;
    Err(ambiguous.in_operation("choose a host, since DRS is off in the cluster").on(compute.label()))
}

async fn folder(
    client: &Client,
    target: &Target,
    to: &Destination,
    placement: &mut Vec<Choice>,
) -> Result<Option<Mo<Folder>>> {
    if let Some(what) = &to.folder {
        let folder = placement::machine_folder(client, what).await?;
        let at = datacenter_of(client, folder.reference()).await?;
        if at.reference() != target.datacenter.reference() {
            let text =
                format!("it is in the datacenter {}, and the VM is to be in {}", at.label(), target.datacenter.label());
            return Err(invalid("use the folder", text).on(what));
        }
        return Ok(Some(folder));
    }
    if !target.leaves_datacenter {
        return Ok(None);
    }
    let folder = folder_of(&target.datacenter).await?;
    placement.push(Choice::of(Part::Folder, &folder, Reason::Usual));
    Ok(Some(folder))
}

/// What has to move of the files: all to the datastore that is asked for, else what the target does not see.
async fn files(
    machine: &Mo<VirtualMachine>,
    seen: &Seen,
    to: &Destination,
    target: &Target,
    reach: &placement::Seen,
    spec: &mut VirtualMachineRelocateSpec,
    placement: &mut Vec<Choice>,
) -> Result<Vec<FileMove>> {
    let client = machine.client();
    let datastores = machine.read(vm::DATASTORE).await?;
    let names = find::names(client, datastores.iter().cloned()).await?;
    let devices = seen.devices();
    let own_home =
        home(client, datastores, Some(&devices.config.files.vm_path_name.clone().unwrap_or_default())).await?;
    let unseen = |datastore: Option<&ManagedObjectReference>| {
        datastore.is_some_and(|datastore| !reach.datastores.contains(datastore))
    };
    let all = match &to.datastore {
        Some(what) => {
            let (datastore, why) = reach.datastore(&target.datacenter, what, Reason::Asked).await?;
            if why != Reason::Asked {
                placement.push(Choice::of(Part::Datastore, &datastore, why));
            }
            Some(datastore)
        }
        None => None,
    };
    let stays_behind =
        unseen(own_home.as_ref()) || devices.of::<VirtualDisk>().any(|(_, disk)| unseen(datastore_of(disk)));
    let elsewhere = match (&all, stays_behind) {
        (None, true) => Some(chosen(to, target, reach, placement).await?),
        _ => None,
    };
    let goes = |own: Option<&ManagedObjectReference>| -> Option<Mo<Datastore>> {
        all.clone().or_else(|| elsewhere.clone().filter(|_| unseen(own)))
    };
    let mut moves = Vec::new();
    let called = |own: Option<&ManagedObjectReference>| own.and_then(|own| names.get(&own.value).cloned());
    let new_home = goes(own_home.as_ref()).filter(|new| Some(new.reference()) != own_home.as_ref());
    if let Some(new) = &new_home {
        let from = called(own_home.as_ref());
        moves.push(FileMove { label: CONFIGURATION.to_owned(), from, to: new.label().to_owned(), provisioning: None });
        spec.datastore = Some(new.reference().clone());
    }
    let mut single = Vec::new();
    for (disk, what) in &to.disks {
        let key = devices.choose::<VirtualDisk>("disk", disk)?.0.key;
        single.push((key, reach.datastore(&target.datacenter, what, Reason::Asked).await?.0));
    }
    for (_, disk) in devices.of::<VirtualDisk>() {
        let own = datastore_of(disk);
        let asked = single.iter().find(|(key, _)| *key == disk.key).map(|(_, datastore)| datastore.clone());
        let new = asked.or_else(|| goes(own));
        let changes = to.provisioning.filter(|wanted| format(disk).is_some_and(|is| is != *wanted));
        let there = new.as_ref().map(Mo::reference).or(own);
        let Some(there) = there.cloned() else { continue };
        let moves_to_other = Some(&there) != own;
        if moves_to_other || changes.is_some() {
            moves.push(FileMove {
                label: label(disk),
                from: called(own),
                to: new.as_ref().map(|new| new.label().to_owned()).or_else(|| called(own)).unwrap_or_default(),
                provisioning: changes,
            });
        }
        // Without a locator a disk goes where the configuration goes.
        let with_home = spec.datastore.as_ref().or(own) == Some(&there);
        if !with_home || changes.is_some() {
            spec.disk.push(VirtualMachineRelocateSpecDiskLocator {
                disk_id: disk.key,
                datastore: there,
                disk_backing_info: changes.map(|wanted| Poly::new(backing(disk, wanted))),
                ..Default::default()
            });
        }
    }
    Ok(moves)
}

/// The datastore for what the target does not see: the default, where it is seen there, or the one with most space.
async fn chosen(
    to: &Destination,
    target: &Target,
    reach: &placement::Seen,
    placement: &mut Vec<Choice>,
) -> Result<Mo<Datastore>> {
    if let Some(what) = &to.defaults.datastore
        && let Ok((datastore, why)) = reach.datastore(&target.datacenter, what, Reason::Setting).await
    {
        placement.push(Choice::of(Part::Datastore, &datastore, why));
        return Ok(datastore);
    }
    let datastore = reach.roomiest(&target.datacenter).await?;
    placement.push(Choice::of(Part::Datastore, &datastore, Reason::MostSpace));
    Ok(datastore)
}

/// The datastore that a disk is in.
pub(super) fn datastore_of(disk: &VirtualDisk) -> Option<&ManagedObjectReference> {
    disk.backing.as_ref()?.downcast_ref::<VirtualDeviceFileBackingInfo>()?.datastore.as_ref()
}

/// How the space of a disk is taken; `None` for a disk that has no such choice, and for one on whose file snapshots stand.
pub(super) fn format(disk: &VirtualDisk) -> Option<Provisioning> {
    let flat = disk.backing.as_ref()?.downcast_ref::<VirtualDiskFlatVer2BackingInfo>()?;
    if flat.parent.is_some() {
        return None;
    }
    Some(format_of(flat))
}

pub(super) fn format_of(flat: &VirtualDiskFlatVer2BackingInfo) -> Provisioning {
    match (flat.thin_provisioned, flat.eagerly_scrub) {
        (Some(true), _) => Provisioning::Thin,
        (_, Some(true)) => Provisioning::Eager,
        _ => Provisioning::Thick,
    }
}

pub(super) fn word(provisioning: Provisioning) -> &'static str {
    match provisioning {
        Provisioning::Thin => "thin",
        Provisioning::Thick => "thick",
        Provisioning::Eager => "thick and zeroed",
    }
}

/// How a disk is to be stored. File and mode are required, and say nothing new.
pub(crate) fn backing(disk: &VirtualDisk, wanted: Provisioning) -> VirtualDiskFlatVer2BackingInfo {
    let is = disk.backing.as_ref().and_then(|backing| backing.downcast_ref::<VirtualDiskFlatVer2BackingInfo>());
    VirtualDiskFlatVer2BackingInfo {
        disk_mode: is.map(|flat| flat.disk_mode.clone()).unwrap_or_default(),
        thin_provisioned: Some(wanted == Provisioning::Thin),
        eagerly_scrub: Some(wanted == Provisioning::Eager),
        ..Default::default()
    }
}

/// The adapters that get another network: what is asked for, and what the target does not have under its own id.
async fn networks(
    machine: &Mo<VirtualMachine>,
    seen: &Seen,
    to: &Destination,
    target: &Target,
    reach: &placement::Seen,
    spec: &mut VirtualMachineRelocateSpec,
    placement: &mut Vec<Choice>,
) -> Result<Vec<NicMove>> {
    let client = machine.client();
    let own = machine.read(vm::NETWORK).await?;
    let known = Known::read(client, own).await?;
    let mut unused: Vec<&str> = to.networks.iter().map(|(before, _)| before.as_str()).collect();
    let mut there: Option<Vec<(ManagedObjectReference, String)>> = None;
    let mut moves = Vec::new();
    let mut plugs = Vec::new();
    for (nic, _) in seen.devices().of::<VirtualEthernetCard>() {
        let plugged = known.plugged(nic);
        let means = |what: &str| {
            let what = name::decode(what.trim());
            Some(&what) == plugged.name.as_ref() || Some(&what) == plugged.id.as_ref() || what == label(nic)
        };
        plugs.push(format!("{} ({})", plugged.name.clone().unwrap_or_default(), label(nic)));
        let asked = to.networks.iter().find(|(before, _)| means(before));
        let new = match asked {
            Some((before, after)) => {
                unused.retain(|other| *other != before.as_str());
                let found = target.datacenter.get::<Network>(after).await?;
                Some(reach.must_have("use the network", &reach.networks, found).await?)
            }
            None if has(reach, plugged.id.as_deref()) => None,
            None => {
                let all = match &mut there {
                    Some(all) => all,
                    none => {
                        let names = find::names(client, reach.networks.iter().cloned()).await?;
                        let named = |network: &ManagedObjectReference| {
                            Some((network.clone(), names.get(&network.value)?.clone()))
                        };
                        none.insert(reach.networks.iter().filter_map(named).collect())
                    }
                };
                let same: Vec<_> = all.iter().filter(|(_, name)| Some(name) == plugged.name.as_ref()).collect();
                match same.as_slice() {
                    [(network, name)] => {
                        let network: Mo<Network> = Mo::new(client, network, Some(name.clone()));
                        placement.push(Choice::of(Part::Network, &network, Reason::SameName));
                        Some(network)
                    }
                    // The server says what is missing.
                    _ => None,
                }
            }
        };
        let Some(new) = new else { continue };
        let outlet = Outlet::of(&new).await?;
        if !outlet.has(nic) {
            spec.device_change.push(plugged_into(nic, outlet));
            moves.push(NicMove { label: label(nic), from: plugged.name, to: new.label().to_owned() });
        }
    }
    if let Some(unknown) = unused.first() {
        let text = match plugs.as_slice() {
            [] => "the VM has no network adapter".to_owned(),
            plugs => format!("no adapter of the VM is plugged into it, only into {}", plugs.join(", ")),
        };
        return Err(invalid("replace the network", text).on(*unknown));
    }
    Ok(moves)
}

/// Whether the target has the network with this id.
fn has(reach: &placement::Seen, id: Option<&str>) -> bool {
    id.is_none_or(|id| reach.networks.iter().any(|network| network.value == id))
}

fn plugged_into(nic: &Poly<VirtualDevice>, outlet: Outlet) -> Poly<VirtualDeviceConfigSpec> {
    let mut nic = nic.clone();
    nic.backing = Some(outlet.backing);
    Poly::new(device::edit(nic))
}
