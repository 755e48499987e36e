//! Datastores as a machine sees them: those that its host has mounted, among which names are unique.

use vsphere_model::managed::{
    Datastore, HostSystem, VirtualMachine, datastore as ds, host_system, virtual_machine as vm,
};

use crate::error::{Error, ErrorKind, Result};
use crate::find::{details, name_of};
use crate::mo::Mo;
use crate::read::Values;
use crate::vm::optional;

/// A datastore that the host of a machine has mounted.
#[derive(Debug, Clone)]
pub(crate) struct Mounted {
    pub(crate) datastore: Mo<Datastore>,
    /// The name as the server writes it in paths of files.
    pub(crate) raw_name: String,
    accessible: bool,
}

/// The datastore with this name, path or id that the host of the machine has mounted.
///
/// # Errors
/// `not_found` with those that there are, and those of the server.
pub(crate) async fn find(machine: &Mo<VirtualMachine>, what: &str) -> Result<Mounted> {
    let client = machine.client();
    let what = what.trim();
    let host = machine.read(vm::HOST).await?.ok_or_else(|| {
        Error::new("find", ErrorKind::Unsupported("no host has the VM, so that it sees no datastore".to_owned()))
    })?;
    let host = Mo::<HostSystem>::new(client, &host, None);
    let (host_name, references) = host.read((host_system::NAME, host_system::DATASTORE)).await?;
    let paths = ["name", ds::ACCESSIBLE.path()];
    let mut mounted = Vec::new();
    for content in details(client, references, &paths).await? {
        let name = name_of(&content);
        let datastore = Mo::new(client, &content.obj, name.clone());
        let mut values = Values::new(content.prop_set, content.missing_set);
        mounted.push(Mounted {
            datastore,
            raw_name: optional(&mut values, "name").unwrap_or_default(),
            accessible: optional(&mut values, ds::ACCESSIBLE.path()).unwrap_or(true),
        });
    }
    let mut names: Vec<String> = mounted.iter().map(|mounted| mounted.datastore.label().to_owned()).collect();
    let same = |mounted: &Mounted, what: &str| {
        mounted.datastore.label() == what || mounted.raw_name == what || mounted.datastore.id() == what
    };
    let found = match mounted.iter().position(|mounted| same(mounted, what)) {
        Some(position) => Some(position),
        // A path, another case of the name, or a datastore that other hosts have.
        None => {
            let elsewhere = match client.get::<Datastore>(what).await {
                Ok(datastore) => Some(datastore),
                // Where several have the name, none of them is here.
                Err(error) if matches!(error.code(), "not_found" | "ambiguous") => None,
                Err(error) => return Err(error),
            };
            elsewhere.and_then(|it| mounted.iter().position(|mounted| mounted.datastore.id() == it.id()))
        }
    };
    names.sort();
    let Some(found) = found else {
        let text = format!("{host_name}, its host, has no datastore {what:?} mounted, only {}", names.join(", "));
        return Err(Error::new("find", ErrorKind::NotFound(text)));
    };
    let found = mounted.swap_remove(found);
    if !found.accessible {
        let text = format!("the datastore {} is not accessible at present", found.datastore.label());
        return Err(Error::new("find", ErrorKind::Unsupported(text)));
    }
    Ok(found)
}
