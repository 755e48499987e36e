//! Extensions: programs that are registered with the server.

use vsphere_model::managed;
use vsphere_model::types::{Description, Extension, NotFound, Poly};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::vm::Vm;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("ExtensionManager", "FindExtension", Handler::Read(find)),
    ("ExtensionManager", "RegisterExtension", Handler::Write(register)),
    ("ExtensionManager", "UpdateExtension", Handler::Write(update)),
    ("ExtensionManager", "UnregisterExtension", Handler::Write(unregister)),
    ("ExtensionManager", "QueryManagedBy", Handler::Read(managed_by)),
    ("ExtensionManager", "SetExtensionCertificate", Handler::Write(set_certificate)),
];

/// The managed object `ExtensionManager`.
struct ExtensionManager {
    extensions: Vec<Extension>,
}

impl Managed for ExtensionManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::ExtensionManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "extensionList" => Prop::list(&self.extensions),
            _ => Prop::UNSET,
        }
    }
}

pub(super) fn install(world: &mut World) {
    const OWN: [(&str, &str); 6] = [
        ("VirtualCenter", "VirtualCenter dynamic events and tasks"),
        ("com.vmware.vim.eam", "vSphere ESX Agent Manager"),
        ("com.vmware.vim.sps", "vSphere Profile-Driven Storage"),
        ("com.vmware.vim.stats.report", "Performance charts"),
        ("com.vmware.rbd", "vSphere Auto Deploy"),
        ("hostdiag", "Internal extension to publish diagnostic events from hosts"),
    ];
    let extension = |(key, label): &(&str, &str)| Extension {
        key: (*key).to_owned(),
        description: Poly::new(Description { label: (*label).to_owned(), summary: (*label).to_owned() }),
        company: Some("VMware, Inc.".to_owned()),
        version: world.settings.version.clone(),
        last_heartbeat_time: world.now(),
        shown_in_solution_manager: Some(false),
        ..Default::default()
    };
    let manager = ExtensionManager { extensions: OWN.iter().map(extension).collect() };
    world.content.extension_manager = Some(world.add_as("ExtensionManager", manager));
}

impl World {
    /// Whether an extension has this key.
    pub(crate) fn has_extension(&self, key: &str) -> bool {
        let manager = self.content.extension_manager.as_ref();
        let manager = manager.and_then(|manager| self.get::<ExtensionManager>(manager).ok());
        manager.is_some_and(|manager| manager.extensions.iter().any(|extension| extension.key == key))
    }
}

fn find(world: &World, call: &Call) -> Outcome<Reply> {
    let key: String = call.arg("extensionKey")?;
    let extensions = &world.get::<ExtensionManager>(&call.target)?.extensions;
    Ok(extensions.iter().find(|extension| extension.key == key).map_or(Reply::NONE, |found| Reply::of(found.clone())))
}

fn register(world: &mut World, call: &Call) -> Outcome<Reply> {
    let extension: Extension = call.arg("extension")?;
    if extension.key.is_empty() || world.has_extension(&extension.key) {
        return Err(Fault::invalid_argument("extension.key"));
    }
    world.edit::<ExtensionManager>(&call.target)?.extensions.push(extension);
    Ok(Reply::NONE)
}

/// The extension with this key, to change it.
fn named<'w>(world: &'w mut World, call: &Call, key: &str) -> Outcome<&'w mut Extension> {
    let extensions = &mut world.edit::<ExtensionManager>(&call.target)?.extensions;
    let found = extensions.iter_mut().find(|extension| extension.key == key);
    found.ok_or_else(|| Fault::new(NotFound::default(), format!("There is no extension '{key}'.")))
}

fn update(world: &mut World, call: &Call) -> Outcome<Reply> {
    let extension: Extension = call.arg("extension")?;
    let kept = named(world, call, &extension.key)?;
    *kept = extension;
    Ok(Reply::NONE)
}

fn unregister(world: &mut World, call: &Call) -> Outcome<Reply> {
    let key: String = call.arg("extensionKey")?;
    named(world, call, &key)?;
    world.edit::<ExtensionManager>(&call.target)?.extensions.retain(|extension| extension.key != key);
    Ok(Reply::NONE)
}

fn managed_by(world: &World, call: &Call) -> Outcome<Reply> {
    let key: String = call.arg("extensionKey")?;
    let is_its = |vm: &Vm| vm.config.managed_by.as_ref().is_some_and(|by| by.extension_key == key);
    let vms = world.all::<Vm>().into_iter().filter(|(_, vm)| is_its(vm)).map(|(reference, _)| reference.clone());
    Ok(Reply::list(vms.filter(|vm| world.may_view(vm, call.session.as_deref())).collect()))
}

fn set_certificate(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (key, certificate): (String, Option<String>) = (call.arg("extensionKey")?, call.opt("certificatePem")?);
    let extension = named(world, call, &key)?;
    // Without one in the call, it would be the one that the client connected with, and none does.
    let certificate = certificate.filter(|pem| pem.contains("BEGIN CERTIFICATE"));
    if certificate.is_none() {
        return Err(Fault::invalid_argument("certificatePem"));
    }
    extension.subject_name = Some(key);
    Ok(Reply::NONE)
}
