//! The service instance: where every client starts.

use vsphere_model::managed;
use vsphere_model::types::{
    AboutInfo, Capability, Event, HostEventArgument, HostVMotionCompatibility, LocalizedMethodFault, MigrationEvent,
    MigrationHostErrorEvent, Poly, ProductComponentInfo, ServiceContent, VmEvent,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::host::Host;
use super::vm::{self, Vm};
use crate::call::{Call, Handler, Methods, Reply};
use crate::collector::{self, PropertyCollector};
use crate::fault::{Fault, Outcome};
use crate::model::ServerKind;
use crate::view::ViewManager;
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("ServiceInstance", "RetrieveServiceContent", Handler::Read(content)),
    ("ServiceInstance", "CurrentTime", Handler::Read(current_time)),
    ("ServiceInstance", "RetrieveProductComponents", Handler::Read(components)),
    ("ServiceInstance", "QueryVMotionCompatibility", Handler::Read(vmotion_compatibility)),
    ("ServiceInstance", "ValidateMigration", Handler::Read(validate_migration)),
];

/// The managed object `ServiceInstance`.
struct ServiceInstance;

impl Managed for ServiceInstance {
    fn info(&self) -> &'static ManagedInfo {
        managed::ServiceInstance::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "content" => Prop::kept(&look.world.content),
            "serverClock" => Prop::made(look.world.now()),
            "capability" => Prop::made(Capability {
                provisioning_supported: true,
                multi_host_supported: look.world.settings.kind == ServerKind::VCenter,
                ..Default::default()
            }),
            _ => Prop::UNSET,
        }
    }
}

pub(super) fn install(world: &mut World) {
    world.add_as("ServiceInstance", ServiceInstance);
    world.content = ServiceContent {
        about: about(world),
        property_collector: world.add_as(collector::DEFAULT, PropertyCollector),
        view_manager: Some(world.add_as("ViewManager", ViewManager)),
        ..Default::default()
    };
}

/// What the server says it is. The names and the forms are VMware's; the build is one that was never released.
fn about(world: &World) -> AboutInfo {
    let version = &world.settings.version;
    let short: String = version.split('.').take(3).collect::<Vec<_>>().join(".");
    let build = "99990000";
    let (name, os, line, api) = match world.settings.kind {
        ServerKind::VCenter => ("VMware vCenter Server", "linux-x64", "vpx", "VirtualCenter"),
        ServerKind::Esxi => ("VMware ESXi", "vmnix-x86", "embeddedEsx", "HostAgent"),
    };
    AboutInfo {
        name: name.to_owned(),
        full_name: format!("{name} {short} build-{build} (simulated)"),
        vendor: "VMware, Inc.".to_owned(),
        version: short,
        build: build.to_owned(),
        locale_version: Some("INTL".to_owned()),
        locale_build: Some("000".to_owned()),
        os_type: os.to_owned(),
        product_line_id: line.to_owned(),
        api_type: api.to_owned(),
        api_version: version.clone(),
        instance_uuid: (world.settings.kind == ServerKind::VCenter)
            .then(|| "5ca1ab1e-0000-4000-8000-000000000001".to_owned()),
        license_product_name: Some(name.replace("vCenter", "VirtualCenter")),
        license_product_version: Some(version.split('.').next().map(|major| format!("{major}.0")).unwrap_or_default()),
        patch_level: None,
    }
}

fn content(world: &World, _: &Call) -> Outcome<Reply> {
    Ok(Reply::of(world.content.clone()))
}

fn current_time(world: &World, _: &Call) -> Outcome<Reply> {
    Ok(Reply::of(world.now()))
}

/// The server has no products beside itself.
fn components(_: &World, _: &Call) -> Outcome<Reply> {
    Ok(Reply::list(Vec::<ProductComponentInfo>::new()))
}

fn vmotion_compatibility(world: &World, call: &Call) -> Outcome<Reply> {
    let (vm, hosts): (Moref, Vec<Moref>) = (call.arg("vm")?, call.arg("host")?);
    let asked: Vec<String> = call.arg("compatibility")?;
    let from = world.get::<Vm>(&vm)?.runtime.host.as_ref().and_then(|from| world.get::<Host>(from).ok());
    let on_host = |host: Moref| {
        let to = world.get::<Host>(&host)?;
        // One that can't run machines is good for none.
        let usable = to.is_usable();
        let same_cpu = from.is_none_or(|from| vm::missing_features(from, to).is_empty());
        let good = ["cpu", "software"].into_iter().filter(|kind| {
            usable && (*kind != "cpu" || same_cpu) && (asked.is_empty() || asked.iter().any(|one| one == kind))
        });
        Ok(HostVMotionCompatibility { compatibility: good.map(str::to_owned).collect(), host })
    };
    Ok(Reply::list(hosts.into_iter().map(on_host).collect::<Outcome<_>>()?))
}

/// What would stand in the way of a migration, as the events that it would end with.
fn validate_migration(world: &World, call: &Call) -> Outcome<Reply> {
    let (vms, host): (Vec<Moref>, Option<Moref>) = (call.arg("vm")?, call.opt("host")?);
    if let Some(pool) = call.opt::<Moref>("pool")? {
        world.entity(&pool)?;
    }
    let mut problems: Vec<Poly<Event>> = Vec::new();
    for vm in &vms {
        world.get::<Vm>(vm)?;
        let Some(host) = &host else { continue };
        if world.get::<Host>(host)?.is_usable() {
            continue;
        }
        let argument = world.argument(host);
        let fault = Fault::not_supported("a migration to a host that is not connected, or in maintenance mode");
        let fault: LocalizedMethodFault = fault.localized();
        let message = format!(
            "Cannot migrate {} to {}: {}",
            world.argument(vm).name,
            argument.name,
            fault.localized_message.as_deref().unwrap_or_default()
        );
        let mut event = MigrationHostErrorEvent {
            base: MigrationEvent { base: VmEvent::default(), fault },
            dst_host: HostEventArgument { base: argument.base, host: host.clone() },
        };
        event.created_time = world.now();
        event.full_formatted_message = Some(message);
        problems.push(Poly::new(event));
    }
    Ok(Reply::list(problems))
}
