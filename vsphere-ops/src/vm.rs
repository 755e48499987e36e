//! Virtual machines: lists and details, as they are shown to people.
//!
//! ```
//! use vsphere_ops::managed::VirtualMachine;
//! use vsphere_ops::ListQuery;
//! use vsphere_ops::vm::{self, VmQuery};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let query = VmQuery { page: ListQuery::first(50).matching("web-*"), ..Default::default() };
//! for vm in vm::list(&client, &query).await?.items {
//!     println!("{} {:?} on {:?}", vm.name, vm.ip, vm.host);
//! }
//! println!("{:?}", client.get::<VirtualMachine>("web-01").await?.info().await?.disks);
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! These are reports with plain fields, in names instead of references. To read other properties, or into a type of one's
//! own, use [`Client::find`] with [`select`](crate::Query::select). What the guest or people say of a machine (host name,
//! addresses, notes) is marked as such: whoever shows it to a program or a language model should not trust it.

mod clone;
mod create;
mod delete;
mod info;
mod mirror;
mod names;
mod reconfigure;
mod rename;
mod report;
mod template;
mod tools;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use vsphere_model::managed::virtual_machine as vm;
use vsphere_model::types::{
    CustomFieldDef, CustomFieldValue, ManagedObjectReference, ObjectContent, Poly, VirtualMachinePowerState,
};

pub(crate) use clone::home;
pub use clone::{CloneKind, CloneVm, NewClone, Start, clone, deploy};
pub use create::{CreateVm, Firmware, NewVm, Provisioning, create};
pub(crate) use delete::{CLONES, clones_of};
pub use delete::{Deleted, Deletion, LostNic, LostSnapshot};
pub(crate) use info::disk;
pub use info::{ToolsInfo, VmDisk, VmInfo, VmNic};
pub use mirror::{MirroredVm, VmCache, VmMirror};
pub(crate) use names::checked_name;
pub use reconfigure::{Changes, Reconfiguration, Reconfigured, SettingChange};
pub use rename::Renamed;
pub use report::VmReport;
pub(crate) use report::report;
pub use template::{TemplateSummary, templates};
pub use tools::{ToolsReady, ToolsStatus};

use crate::client::Client;
use crate::custom_attribute;
use crate::error::{Result, invalid};
use crate::find::{self, label, name_of};
use crate::gaps::Gaps;
use crate::page::{ByName, ListQuery, Page, Window};
use crate::read::Values;
use crate::untrusted::{self, Untrusted};

/// Which virtual machines to list.
///
/// ```
/// use vsphere_ops::vm::VmQuery;
///
/// let query = VmQuery { folder: Some("/fra1/vm/prod".into()), ..Default::default() };
/// ```
#[derive(Debug, Clone, Default)]
pub struct VmQuery {
    /// The page that is wanted, and a glob on the name.
    pub page: ListQuery,
    /// Only those in this state.
    pub power_state: Option<VirtualMachinePowerState>,
    /// Only those in this folder and below: name, path or id.
    pub folder: Option<String>,
    /// Only those on this host: name, path or id.
    pub host: Option<String>,
    /// Only those of this cluster: name, path or id.
    pub cluster: Option<String>,
    /// With notes and custom attributes.
    pub notes: bool,
    /// Only those with this tag: `category:tag`, name or id.
    pub tag: Option<String>,
}

/// A virtual machine in a list.
///
/// ```
/// use vsphere_ops::vm::VmSummary;
///
/// fn memory_gb(machines: &[VmSummary]) -> i32 {
///     machines.iter().filter_map(|vm| vm.memory_mb).sum::<i32>() / 1024
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VmSummary {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The state.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// Virtual CPUs.
    pub cpu: Option<i32>,
    /// Memory in MiB.
    pub memory_mb: Option<i32>,
    /// The guest operating system, in full.
    pub guest_os: Option<Untrusted>,
    /// The name of the host that it runs on.
    pub host: Option<String>,
    /// The guest's primary IP address.
    pub ip: Option<String>,
    /// The note on it, where notes are asked for. People write it: not to be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<Untrusted>,
    /// The values of its custom attributes, where notes are asked for. People write them: not to be trusted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_attributes: BTreeMap<String, Untrusted>,
}

/// What is shown of each machine.
const SHOWN: [&str; 7] = [
    "name",
    vm::POWER_STATE.path(),
    vm::NUM_CPU.path(),
    vm::MEMORY_SIZE_MB.path(),
    vm::GUEST_FULL_NAME.path(),
    vm::HOST.path(),
    vm::GUEST_IP_ADDRESS.path(),
];

/// What is shown besides where notes are asked for.
const NOTES: [&str; 2] = [vm::ANNOTATION.path(), vm::CUSTOM_VALUE.path()];

/// Lists virtual machines, sorted by name. Templates are not among them.
///
/// It takes two requests: the names of all machines in one answer, and then what is shown of the page. The first list of a
/// session has to make the view of all machines first. A [`VmMirror`] takes none. A tag takes one more, and those that find
/// it by name.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::vm::{self, VmQuery};
///
/// let query = VmQuery { cluster: Some("prod-cluster".into()), ..Default::default() };
/// let page = vm::list(&client, &query).await?;
/// println!("{} of {}, and on with {:?}", page.returned, page.total, page.next_cursor);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found` or `ambiguous` where a folder, host or cluster is not exactly one, `invalid_argument` where several of them
/// are given, `unsupported` for a tag on an ESXi host, and those of the server.
pub async fn list(client: &Client, query: &VmQuery) -> Result<Page<VmSummary>> {
    let power_state = &query.power_state;
    let container = container(client, query).await?;
    let tagged = match &query.tag {
        // Few lists need it, and all would carry its state.
        Some(what) => Some(Box::pin(tagged(client, what)).await?),
        None => None,
    };
    let glob = query.page.glob();
    // Of all machines only what tells whether and where they stand in the list.
    let mut paths = vec!["name", vm::IS_TEMPLATE.path()];
    paths.extend(power_state.is_some().then_some(vm::POWER_STATE.path()));
    let types: &[(&'static str, &[&'static str])] = &[("VirtualMachine", &paths), ("HostSystem", &["name"])];
    // Below a folder of machines there are no hosts: their names come with the details.
    let types = if container.is_some() { &types[..1] } else { types };
    let objects = find::scan(client, container.as_ref(), types).await?;
    let mut hosts: HashMap<String, String> =
        find::names_by_id(&objects, "HostSystem").into_iter().map(|(id, name)| (id.to_owned(), name)).collect();
    let fitting = objects.into_iter().filter(|content| content.obj.type_ == "VirtualMachine").filter_map(|content| {
        let fits = tagged.as_ref().is_none_or(|tagged| tagged.contains(&content.obj.value))
            && !value(&content, vm::IS_TEMPLATE.path()).unwrap_or(false)
            && power_state
                .as_ref()
                .is_none_or(|wanted| value(&content, vm::POWER_STATE.path()).as_ref() == Some(wanted));
        let key = fits.then(|| ByName::of(&content))?;
        glob.as_ref().is_none_or(|glob| glob.fits(&key.name)).then_some(key)
    });
    let window = Window::of(fitting, ByName::clone, &query.page)?;
    let references = window.items.iter().map(|key| ManagedObjectReference::new("VirtualMachine", &key.id));
    let shown = if query.notes { [SHOWN.as_slice(), &NOTES].concat() } else { SHOWN.to_vec() };
    let details = find::details(client, references, &shown).await?;
    let fields = if query.notes { custom_attribute::definitions(client).await? } else { Vec::new() };
    let gaps = Gaps::of(&details);
    let unknown = details.iter().filter_map(host_of).filter(|host| !hosts.contains_key(&host.value));
    for content in find::details(client, unknown, &["name"]).await? {
        let name = name_of(&content).unwrap_or_default();
        hosts.insert(content.obj.value, name);
    }
    let items = find::in_order(&window.items, details).map(|content| summary(content, &hosts, &fields)).collect();
    Ok(Page { gaps, ..window.page(items) })
}

/// The ids of the machines that have a tag.
async fn tagged(client: &Client, what: &str) -> Result<HashSet<String>> {
    let tags = client.tags().await?;
    tags.vms_with(&tags.find(what).await?).await
}

/// The container that holds the machines asked for; `None` for the whole inventory.
async fn container(client: &Client, query: &VmQuery) -> Result<Option<ManagedObjectReference>> {
    use vsphere_model::managed::{ComputeResource, Folder, HostSystem};
    Ok(match (&query.folder, &query.host, &query.cluster) {
        (None, None, None) => None,
        (Some(folder), None, None) => Some(client.get::<Folder>(folder).await?.reference().clone()),
        (None, Some(host), None) => Some(client.get::<HostSystem>(host).await?.reference().clone()),
        (None, None, Some(cluster)) => Some(client.get::<ComputeResource>(cluster).await?.reference().clone()),
        _ => return Err(invalid("list virtual machines", "folder, host and cluster exclude each other: give one")),
    })
}

fn value<T: vsphere_soap::object::FromAny>(content: &ObjectContent, path: &str) -> Option<T> {
    let property = content.prop_set.iter().find(|property| property.name == path)?;
    property.val.clone().take().ok()
}

fn host_of(content: &ObjectContent) -> Option<ManagedObjectReference> {
    value(content, vm::HOST.path())
}

fn summary(content: ObjectContent, hosts: &HashMap<String, String>, fields: &[CustomFieldDef]) -> VmSummary {
    let name = label(&content);
    let id = content.obj.value;
    let mut values = Values::new(content.prop_set, content.missing_set);
    let host: Option<ManagedObjectReference> = optional(&mut values, vm::HOST.path());
    VmSummary {
        name,
        id,
        power_state: optional(&mut values, vm::POWER_STATE.path()).unwrap_or_default(),
        cpu: optional(&mut values, vm::NUM_CPU.path()),
        memory_mb: optional(&mut values, vm::MEMORY_SIZE_MB.path()),
        guest_os: optional(&mut values, vm::GUEST_FULL_NAME.path()).map(String::into),
        host: host.map(|host| hosts.get(&host.value).cloned().unwrap_or(host.value)),
        ip: optional::<String>(&mut values, vm::GUEST_IP_ADDRESS.path()).and_then(untrusted::address),
        annotation: optional::<String>(&mut values, vm::ANNOTATION.path())
            .filter(|text| !text.is_empty())
            .map(Untrusted::from),
        custom_attributes: attributes(&mut values, fields),
    }
}

fn attributes(values: &mut Values, fields: &[CustomFieldDef]) -> BTreeMap<String, Untrusted> {
    let set: Option<Vec<Poly<CustomFieldValue>>> = optional(values, vm::CUSTOM_VALUE.path());
    custom_attribute::by_name(&set.unwrap_or_default(), fields)
}

/// The value of a property, where it has one that the user may read.
pub(crate) fn optional<T: vsphere_soap::object::FromAny>(values: &mut Values, path: &'static str) -> Option<T> {
    values.take::<Option<T>>(path).ok().flatten()
}
