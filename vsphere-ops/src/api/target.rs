//! The object that a method is called on, by whatever a user calls it.

use vsphere_model::managed::{
    ClusterComputeResource, ComputeResource, Datacenter, Datastore, DistributedVirtualPortgroup,
    DistributedVirtualSwitch, Folder, HostSystem, ManagedEntity, Network, ResourcePool, StoragePod, VirtualApp,
    VirtualMachine, VmwareDistributedVirtualSwitch, host_system,
};
use vsphere_model::types::ManagedObjectReference;
use vsphere_soap::object::{DataObject, Value};
use vsphere_soap::request::ManagedObject;

use super::arguments;
use crate::client::Client;
use crate::connection::service_instance;
use crate::error::{Error, ErrorKind, Result, invalid};

/// A managed object whose type is known only at run time.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::api::Object;
///
/// let web = Object::find(&client, "VirtualMachine", Some("web-01")).await?;     // by name, path, id or reference
/// let licenses = Object::find(&client, "LicenseManager", None).await?;          // there is one
/// let firewall = Object::find(&client, "HostFirewallSystem", Some("esx-01.corp.example")).await;
/// println!("{} {}", web.label(), licenses.reference());
/// # drop(firewall);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    reference: ManagedObjectReference,
    name: Option<String>,
}

impl Object {
    /// The object that a method of the type `owner` is called on.
    ///
    /// An object of the inventory has a name, a path or an id; any object a reference (`EventHistoryCollector:session[52a3]5`). A
    /// manager of the server needs none, since there is one. A part of a host, such as its `HostStorageSystem`, is named by the host.
    ///
    /// # Errors
    /// `not_found` and `ambiguous`; `invalid_argument` if it is of another type, or nothing says which one is meant.
    pub async fn find(client: &Client, owner: &str, what: Option<&str>) -> Result<Self> {
        let failed = |text: String| invalid("find the object", text);
        let registry = vsphere_model::registry();
        let info = registry.managed(owner);
        let info = info.ok_or_else(|| failed(format!("the API has no managed object {owner}")))?;
        let Some(what) = what.map(str::trim).filter(|what| !what.is_empty()) else {
            let only = content(client).into_iter().find(|reference| is_a(&reference.type_, owner));
            let only = only.map(|reference| Self { reference, name: None });
            return only.ok_or_else(|| failed(format!("which {owner}? name it, or give its reference")));
        };
        if let Some(reference) = arguments::reference(what)
            && !is_a(&reference.type_, "ManagedEntity")
        {
            let text = || failed(format!("{what} is no {owner}")).on(what);
            return if is_a(&reference.type_, owner) { Ok(Self { reference, name: None }) } else { Err(text()) };
        }
        if info.is_named("ManagedEntity") {
            return Self::entity(client, owner, what).await;
        }
        if let Some(reference) = content(client).into_iter().find(|reference| reference.type_ == what) {
            let text = || failed(format!("it is no {owner}")).on(what);
            return if is_a(&reference.type_, owner) { Ok(Self { reference, name: None }) } else { Err(text()) };
        }
        Self::of_host(client, owner, what).await
    }

    /// The object with this reference, the manager of this type, or the object of the inventory that is called so.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::api::Object;
    ///
    /// assert_eq!(Object::get(&client, "web-01").await?.reference().type_, "VirtualMachine");
    /// assert_eq!(Object::get(&client, "OptionManager").await?.reference().type_, "OptionManager");
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` and `ambiguous`.
    pub async fn get(client: &Client, what: &str) -> Result<Self> {
        let what = what.trim();
        let type_ = what.split_once(':').map_or(what, |(type_, _)| type_);
        let is_type = vsphere_model::registry().managed(type_).is_some();
        Self::find(client, if is_type { type_ } else { "ManagedEntity" }, Some(what)).await
    }

    async fn entity(client: &Client, owner: &str, what: &str) -> Result<Self> {
        async fn get<M: ManagedObject>(client: &Client, what: &str) -> Result<Object> {
            let found = client.get::<M>(what).await?;
            Ok(Object { reference: found.reference().clone(), name: Some(found.label().to_owned()) })
        }
        match owner {
            "VirtualMachine" => get::<VirtualMachine>(client, what).await,
            "HostSystem" => get::<HostSystem>(client, what).await,
            "ClusterComputeResource" => get::<ClusterComputeResource>(client, what).await,
            "ComputeResource" => get::<ComputeResource>(client, what).await,
            "ResourcePool" => get::<ResourcePool>(client, what).await,
            "VirtualApp" => get::<VirtualApp>(client, what).await,
            "Datacenter" => get::<Datacenter>(client, what).await,
            "Datastore" => get::<Datastore>(client, what).await,
            "Folder" => get::<Folder>(client, what).await,
            "StoragePod" => get::<StoragePod>(client, what).await,
            "Network" => get::<Network>(client, what).await,
            "DistributedVirtualPortgroup" => get::<DistributedVirtualPortgroup>(client, what).await,
            "DistributedVirtualSwitch" => get::<DistributedVirtualSwitch>(client, what).await,
            "VmwareDistributedVirtualSwitch" => get::<VmwareDistributedVirtualSwitch>(client, what).await,
            _ => get::<ManagedEntity>(client, what).await,
        }
    }

    /// A part of the host that is called `what`.
    async fn of_host(client: &Client, owner: &str, what: &str) -> Result<Self> {
        let host = client.get::<HostSystem>(what).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound(_) => {
                let text = format!("no host is called so: a {owner} is named by its host or its reference");
                Error::new("find the object", ErrorKind::NotFound(text)).on(what)
            }
            _ => error,
        })?;
        let parts = host.read(host_system::CONFIG_MANAGER).await?;
        let part = references(&parts).into_iter().find(|reference| is_a(&reference.type_, owner));
        let text = || invalid("find the object", format!("a host has no {owner}: give its reference")).on(what);
        Ok(Self { reference: part.ok_or_else(text)?, name: Some(host.label().to_owned()) })
    }

    /// Its reference (moref).
    pub fn reference(&self) -> &ManagedObjectReference {
        &self.reference
    }

    /// What messages call it: its name if that is known, else its reference.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.reference.to_string())
    }
}

/// Whether a type of managed object is `base` or extends it.
pub(super) fn is_a(type_: &str, base: &str) -> bool {
    type_ == base || vsphere_model::registry().managed(type_).is_some_and(|info| info.is_named(base))
}

/// The managers of the server, and the server itself.
fn content(client: &Client) -> Vec<ManagedObjectReference> {
    let mut all = references(client.content());
    all.push(service_instance());
    all
}

/// The references that an object holds itself.
fn references(object: &dyn DataObject) -> Vec<ManagedObjectReference> {
    let values = (0..object.info().fields().len()).map(|index| object.get(index));
    let references = values.filter_map(|value| match value {
        Value::Ref(reference) => Some(reference.clone()),
        _ => None,
    });
    references.collect()
}
