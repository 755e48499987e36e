//! The environment browser of a virtual machine: what it can be given where it is.

use vsphere_model::managed;
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::Vm;
use crate::world::{Look, Managed, Moref, Prop};

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

/// The id of the browser of this machine or compute resource.
pub(crate) fn id_of(owner: &Moref) -> String {
    format!("envbrowser-{}", owner.value.rsplit('-').next().unwrap_or_default())
}
