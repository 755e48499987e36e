//! The manager of distributed switches: which versions there are, which switches a host can use.

use vsphere_model::managed;
use vsphere_model::types::{
    DVSManagerDvsConfigTarget, DistributedVirtualPortgroupInfo, DistributedVirtualSwitchHostProductSpec,
    DistributedVirtualSwitchInfo, DistributedVirtualSwitchProductSpec, NotFound,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::{Dvs, by_uuid, capability, product_of};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::model::ServerKind;
use crate::objects::host::Host;
use crate::objects::network::Network;
use crate::view::contained;
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("DistributedVirtualSwitchManager", "QueryAvailableDvsSpec", Handler::Read(available)),
    ("DistributedVirtualSwitchManager", "QueryDvsByUuid", Handler::Read(query_by_uuid)),
    ("DistributedVirtualSwitchManager", "QueryDvsConfigTarget", Handler::Read(config_target)),
    ("DistributedVirtualSwitchManager", "QueryDvsCompatibleHostSpec", Handler::Read(compatible_spec)),
    ("DistributedVirtualSwitchManager", "QueryDvsFeatureCapability", Handler::Read(features)),
    ("DistributedVirtualSwitchManager", "QueryCompatibleHostForNewDvs", Handler::Read(hosts_for_new)),
    ("DistributedVirtualSwitchManager", "QueryCompatibleHostForExistingDvs", Handler::Read(hosts_for_existing)),
    ("DistributedVirtualSwitchManager", "DVSManagerLookupDvPortGroup", Handler::Read(lookup)),
];

/// The versions of the switch, oldest first.
const VERSIONS: [&str; 7] = ["6.6.0", "7.0.0", "7.0.2", "7.0.3", "8.0.0", "8.0.3", "9.0.0"];

/// The managed object `DistributedVirtualSwitchManager`.
struct Manager;

impl Managed for Manager {
    fn info(&self) -> &'static ManagedInfo {
        managed::DistributedVirtualSwitchManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, _: &str) -> Prop<'a> {
        Prop::UNSET
    }
}

pub(in crate::objects) fn install(world: &mut World) {
    if world.settings.kind == ServerKind::VCenter {
        world.content.dv_switch_manager = Some(world.add_as("DVSManager", Manager));
    }
}

/// The first three numbers of a version, in which versions are compared.
pub(in crate::objects) fn numbers(version: &str) -> Vec<u32> {
    version.split('.').take(3).filter_map(|number| number.parse().ok()).collect()
}

/// The versions that this server knows, newest first.
fn known(world: &World) -> Vec<&'static str> {
    let newest = numbers(&world.content.about.version);
    VERSIONS.into_iter().rev().filter(|version| numbers(version) <= newest).collect()
}

/// The product of this version, or of the newest where none is wanted.
///
/// # Errors
/// `InvalidArgument` for a version that this server does not know.
pub(super) fn product(world: &World, wanted: Option<&str>) -> Outcome<DistributedVirtualSwitchProductSpec> {
    let known = known(world);
    let found = match wanted.filter(|version| !version.is_empty()) {
        Some(version) => known.into_iter().find(|one| *one == version),
        None => known.into_iter().next(),
    };
    found.map(product_of).ok_or_else(|| Fault::invalid_argument("spec.productInfo"))
}

/// The hosts that can have the switch.
pub(super) fn compatible_hosts() -> Vec<DistributedVirtualSwitchHostProductSpec> {
    let spec = |version: &str| DistributedVirtualSwitchHostProductSpec {
        product_line_id: Some("embeddedEsx".to_owned()),
        version: Some(version.to_owned()),
    };
    ["7.0.0+", "8.0.0+", "9.0.0+"].map(spec).to_vec()
}

fn available(world: &World, call: &Call) -> Outcome<Reply> {
    let asked: Option<bool> = call.opt("recommended")?;
    let major = |version: &str| numbers(version).first().copied().unwrap_or_default();
    // Hosts of the release before are managed too, and a switch that is older than they are has no purpose.
    let oldest = major(&world.content.about.version).saturating_sub(1);
    let wanted = |version: &&str| asked.is_none_or(|asked| asked == (major(version) >= oldest));
    Ok(Reply::list(known(world).into_iter().filter(wanted).map(product_of).collect::<Vec<_>>()))
}

fn query_by_uuid(world: &World, call: &Call) -> Outcome<Reply> {
    let uuid: String = call.arg("uuid")?;
    by_uuid(world, &uuid)
        .map(Reply::of)
        .ok_or_else(|| Fault::new(NotFound::default(), format!("There is no distributed switch '{uuid}'.")))
}

fn config_target(world: &World, call: &Call) -> Outcome<Reply> {
    let (host, dvs): (Option<Moref>, Option<Moref>) = (call.opt("host")?, call.opt("dvs")?);
    let asked = |(reference, switch): &(&Moref, &Dvs)| {
        host.as_ref().is_none_or(|host| switch.has(host)) && dvs.as_ref().is_none_or(|dvs| dvs == *reference)
    };
    let mut target = DVSManagerDvsConfigTarget::default();
    for (reference, switch) in world.all::<Dvs>().into_iter().filter(asked) {
        target.distributed_virtual_switch.push(DistributedVirtualSwitchInfo {
            switch_name: switch.entity.name.clone(),
            switch_uuid: switch.config.uuid.clone(),
            distributed_virtual_switch: reference.clone(),
            network_reservation_supported: Some(true),
        });
        for group in &switch.portgroups {
            let Some(config) = world.get::<Network>(group).ok().and_then(|group| group.portgroup.as_ref()) else {
                continue;
            };
            target.distributed_virtual_portgroup.push(DistributedVirtualPortgroupInfo {
                switch_name: switch.entity.name.clone(),
                switch_uuid: switch.config.uuid.clone(),
                portgroup_name: world.entity(group)?.name.clone(),
                portgroup_key: config.key.clone(),
                portgroup_type: config.type_.clone(),
                uplink_portgroup: config.uplink == Some(true),
                portgroup: group.clone(),
                network_reservation_supported: Some(true),
                backing_type: config.backing_type.clone(),
                ..Default::default()
            });
        }
    }
    Ok(Reply::of(target))
}

fn compatible_spec(_: &World, _: &Call) -> Outcome<Reply> {
    Ok(Reply::list(compatible_hosts()))
}

fn features(_: &World, _: &Call) -> Outcome<Reply> {
    Ok(capability().features_supported.map_or(Reply::NONE, Reply::of))
}

/// The hosts in a container that can be members, and are not.
fn hosts(world: &World, call: &Call, dvs: Option<&Dvs>) -> Outcome<Reply> {
    let container: Moref = call.arg("container")?;
    let recursive: bool = call.arg("recursive")?;
    world.find(&container).ok_or_else(|| Fault::not_found(&container))?;
    let mut hosts = contained(world, &container, &["HostSystem".to_owned()], recursive);
    if world.get::<Host>(&container).is_ok() {
        hosts.push(container);
    }
    hosts.retain(|host| world.get::<Host>(host).is_ok_and(Host::is_up) && dvs.is_none_or(|dvs| !dvs.has(host)));
    Ok(Reply::list(hosts))
}

fn hosts_for_new(world: &World, call: &Call) -> Outcome<Reply> {
    hosts(world, call, None)
}

fn hosts_for_existing(world: &World, call: &Call) -> Outcome<Reply> {
    let dvs: Moref = call.arg("dvs")?;
    hosts(world, call, Some(world.get(&dvs)?))
}

fn lookup(world: &World, call: &Call) -> Outcome<Reply> {
    let (uuid, key): (String, String) = (call.arg("switchUuid")?, call.arg("portgroupKey")?);
    let dvs = by_uuid(world, &uuid)
        .ok_or_else(|| Fault::new(NotFound::default(), format!("There is no distributed switch '{uuid}'.")))?;
    let group = world.get::<Dvs>(&dvs)?.portgroups.iter().find(|group| group.value == key);
    Ok(group.cloned().map_or(Reply::NONE, Reply::of))
}
