//! The search index: objects by their place, their identity, or their address.

use std::net::IpAddr;

use vsphere_model::managed;
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::datacenter::Datacenter;
use super::datastore::path::DatastorePath;
use super::host::Host;
use super::vm::Vm;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Moref, Prop, World, escaped};

pub(crate) const METHODS: Methods = &[
    ("SearchIndex", "FindByInventoryPath", Handler::Read(by_inventory_path)),
    ("SearchIndex", "FindChild", Handler::Read(child)),
    ("SearchIndex", "FindByDatastorePath", Handler::Read(by_datastore_path)),
    ("SearchIndex", "FindByUuid", Handler::Read(by_uuid)),
    ("SearchIndex", "FindAllByUuid", Handler::Read(all_by_uuid)),
    ("SearchIndex", "FindByDnsName", Handler::Read(by_dns_name)),
    ("SearchIndex", "FindAllByDnsName", Handler::Read(all_by_dns_name)),
    ("SearchIndex", "FindByIp", Handler::Read(by_ip)),
    ("SearchIndex", "FindAllByIp", Handler::Read(all_by_ip)),
];

/// The managed object `SearchIndex`.
struct SearchIndex;

impl Managed for SearchIndex {
    fn info(&self) -> &'static ManagedInfo {
        managed::SearchIndex::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, _: &str) -> Prop<'a> {
        Prop::UNSET
    }
}

pub(super) fn install(world: &mut World) {
    world.content.search_index = Some(world.add_as("SearchIndex", SearchIndex));
}

/// A found object, if the caller sees it.
fn found(world: &World, call: &Call, object: Option<Moref>) -> Outcome<Reply> {
    let object = object.filter(|object| world.may_view(object, call.session.as_deref()));
    Ok(object.map_or(Reply::NONE, Reply::of))
}

fn by_inventory_path(world: &World, call: &Call) -> Outcome<Reply> {
    let path: String = call.arg("inventoryPath")?;
    let mut steps = path.split('/').filter(|step| !step.is_empty());
    let object = steps.try_fold(world.content.root_folder.clone(), |above, step| child_of(world, &above, step));
    found(world, call, object)
}

fn child(world: &World, call: &Call) -> Outcome<Reply> {
    let (entity, name): (Moref, String) = (call.arg("entity")?, call.arg("name")?);
    world.entity(&entity)?;
    found(world, call, child_of(world, &entity, &name))
}

/// What stands below an entity in the inventory and has this name.
fn child_of(world: &World, above: &Moref, name: &str) -> Option<Moref> {
    let name = escaped(name);
    let children = world.find(above).map(Managed::children).unwrap_or_default();
    let has_name = |child: &Moref| world.entity(child).is_ok_and(|entity| entity.name == name);
    let stands_below = |child: &Moref| world.entity(child).is_ok_and(|entity| entity.parent.as_ref() == Some(above));
    // What only belongs to it (a host's machines) stands elsewhere.
    children.into_iter().find(|child| has_name(child) && stands_below(child))
}

fn by_datastore_path(world: &World, call: &Call) -> Outcome<Reply> {
    let (datacenter, text): (Moref, String) = (call.arg("datacenter")?, call.arg("path")?);
    let path = DatastorePath::parse(&text)?;
    world.datastore_named(&datacenter, &path.datastore)?;
    let path = path.to_string();
    let has_path = |vm: &Vm| vm.config.files.vm_path_name.as_deref() == Some(&path);
    found(world, call, all_of::<Vm>(world, Some(&datacenter), has_path).next())
}

/// The objects of a kind that stand in the datacenter, where one is given.
fn all_of<'w, T: Managed>(
    world: &'w World,
    datacenter: Option<&'w Moref>,
    fits: impl Fn(&T) -> bool + 'w,
) -> impl Iterator<Item = Moref> + 'w {
    let within = move |object: &Moref| match datacenter {
        None => true,
        Some(wanted) => world.nearest::<Datacenter>(object).is_some_and(|(at, _)| at == *wanted),
    };
    let all = world.all::<T>().into_iter().filter(move |(_, object)| fits(object));
    all.map(|(reference, _)| reference.clone()).filter(within)
}

/// The machines, or the hosts, that the arguments of the call ask for and the caller sees.
fn search(world: &World, call: &Call, vm: impl Fn(&Vm) -> bool, host: impl Fn(&Host) -> bool) -> Outcome<Vec<Moref>> {
    let datacenter: Option<Moref> = call.opt("datacenter")?;
    if let Some(datacenter) = &datacenter {
        world.get::<Datacenter>(datacenter)?;
    }
    let mut objects: Vec<Moref> = if call.arg::<bool>("vmSearch")? {
        all_of::<Vm>(world, datacenter.as_ref(), vm).collect()
    } else {
        all_of::<Host>(world, datacenter.as_ref(), host).collect()
    };
    objects.retain(|object| world.may_view(object, call.session.as_deref()));
    Ok(objects)
}

fn first(objects: Vec<Moref>) -> Reply {
    objects.into_iter().next().map_or(Reply::NONE, Reply::of)
}

fn with_uuid(world: &World, call: &Call) -> Outcome<Vec<Moref>> {
    let plain = |uuid: &str| uuid.replace(['-', ' '], "").to_ascii_lowercase();
    let wanted = plain(&call.arg::<String>("uuid")?);
    let of_instance = call.opt("instanceUuid")? == Some(true);
    let vm = |vm: &Vm| match of_instance {
        true => vm.config.instance_uuid.as_deref().is_some_and(|uuid| plain(uuid) == wanted),
        false => plain(&vm.config.uuid) == wanted,
    };
    search(world, call, vm, |host| plain(&host.hardware.uuid) == wanted)
}

fn by_uuid(world: &World, call: &Call) -> Outcome<Reply> {
    with_uuid(world, call).map(first)
}

fn all_by_uuid(world: &World, call: &Call) -> Outcome<Reply> {
    with_uuid(world, call).map(Reply::list)
}

fn with_dns_name(world: &World, call: &Call) -> Outcome<Vec<Moref>> {
    let wanted: String = call.arg("dnsName")?;
    let vm = |vm: &Vm| vm.guest.host_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(&wanted));
    search(world, call, vm, |host| host_name(host).eq_ignore_ascii_case(&wanted))
}

fn by_dns_name(world: &World, call: &Call) -> Outcome<Reply> {
    with_dns_name(world, call).map(first)
}

fn all_by_dns_name(world: &World, call: &Call) -> Outcome<Reply> {
    with_dns_name(world, call).map(Reply::list)
}

/// A host is added by its name or its address, which names it from then on.
fn host_name(host: &Host) -> &str {
    host.entity().map(|entity| entity.name.as_str()).unwrap_or_default()
}

fn with_ip(world: &World, call: &Call) -> Outcome<Vec<Moref>> {
    let wanted: IpAddr = call.arg::<String>("ip")?.trim().parse().map_err(|_| Fault::invalid_argument("ip"))?;
    let is_it = |text: &str| text.parse() == Ok(wanted);
    let vm = |vm: &Vm| {
        let of_cards = vm.guest.net.iter().flat_map(|card| card.ip_address.iter());
        vm.guest.ip_address.iter().chain(of_cards).any(|address| is_it(address))
    };
    search(world, call, vm, |host| is_it(host_name(host)))
}

fn by_ip(world: &World, call: &Call) -> Outcome<Reply> {
    with_ip(world, call).map(first)
}

fn all_by_ip(world: &World, call: &Call) -> Outcome<Reply> {
    with_ip(world, call).map(Reply::list)
}
