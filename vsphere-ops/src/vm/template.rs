//! Templates: VMs that are there to be cloned, and never run.

use serde::Serialize;
use vsphere_model::managed::{HostSystem, ResourcePool, VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{ManagedObjectReference, ObjectContent};

use super::clone::near;
use super::optional;
use super::report::{VmReport, report};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::find::{self, Ancestry, label};
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::page::{ByName, ListQuery, Page, Window};
use crate::placement::Placement;
use crate::read::Values;
use crate::task::BUSY;
use crate::untrusted::Untrusted;

const TO_TEMPLATE: &str = "convert to a template";
const TO_MACHINE: &str = "convert to a virtual machine";

impl Mo<VirtualMachine> {
    /// Marks the VM as a template: it leaves its resource pool, and can't be powered on until it is a VM again.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// client.get::<VirtualMachine>("web-04").await?.convert_to_template().await
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The fault `InvalidPowerState` if it is not off, `unsupported` on an ESXi host.
    pub async fn convert_to_template(&self) -> Result<()> {
        self.client().require_vcenter(TO_TEMPLATE)?;
        let named = |error| Error::from(error).in_operation(TO_TEMPLATE).on(self.label());
        self.mark_as_template().await.map_err(named)
    }

    /// Makes the template a VM again, which can be powered on, in this pool, and on this host where vSphere is not to
    /// choose it.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{ResourcePool, VirtualMachine};
    ///
    /// let pool = client.get::<ResourcePool>("/fra1/host/lab-cluster/Resources").await?;
    /// client.get::<VirtualMachine>("tpl-ubuntu-24.04").await?.convert_to_vm(&pool, None).await
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The fault `InvalidState` if it is no template, `InvalidDatastore` where the host does not see its files,
    /// `unsupported` on an ESXi host.
    pub async fn convert_to_vm(&self, pool: &Mo<ResourcePool>, host: Option<&Mo<HostSystem>>) -> Result<()> {
        self.client().require_vcenter(TO_MACHINE)?;
        let named = |error| Error::from(error).in_operation(TO_MACHINE).on(self.label());
        self.mark_as_virtual_machine(pool.reference(), host.map(Mo::reference)).await.map_err(named)
    }
}

impl Mo<VirtualMachine> {
    /// Marks the VM as a template, unless it is one. A VM that is busy is waited for.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// # use vsphere_ops::managed::VirtualMachine;
    /// let spare = client.get::<VirtualMachine>("web-04").await?.make_template().await?;
    /// assert!(spare.template);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`convert_to_template`](Self::convert_to_template).
    pub async fn make_template(&self) -> Result<VmReport> {
        let changed = !self.read(vm::IS_TEMPLATE).await?;
        if changed {
            self.client().retry_while_busy(BUSY, || self.convert_to_template()).await?;
        }
        report(self, changed).await
    }

    /// Makes the template a VM again, unless it is one: in the pool or on the host that the placement gives, else where a
    /// clone of it would be.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    /// use vsphere_ops::placement::Placement;
    ///
    /// let placement = Placement { pool: Some("/fra1/host/prod-cluster/Resources".into()), ..Default::default() };
    /// let golden = client.get::<VirtualMachine>("tpl-ubuntu-24.04").await?.make_vm(&placement).await?;
    /// assert!(!golden.template);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`Placement::find`] and of [`convert_to_vm`](Self::convert_to_vm).
    pub async fn make_vm(&self, placement: &Placement) -> Result<VmReport> {
        let client = self.client();
        let (is_template, datastores) = self.read((vm::IS_TEMPLATE, vm::DATASTORE)).await?;
        if !is_template {
            return report(self, false).await;
        }
        // Its files stay where they are.
        let datastore = datastores.first().map(ToString::to_string).or_else(|| placement.datastore.clone());
        let placement = Placement { folder: None, datastore, ..placement.clone() };
        let place = placement.find_near(client, Some(near(self).await?)).await?;
        let done = client.retry_while_busy(BUSY, || self.convert_to_vm(&place.pool, place.host.as_ref()));
        match done.await {
            Ok(()) => report(self, true).await,
            Err(error) => Err(place.or_hosts(error).await?),
        }
    }
}

/// A template in a list.
///
/// ```
/// use vsphere_ops::vm::TemplateSummary;
///
/// fn line(template: &TemplateSummary) -> String {
///     format!("{} for {:?}", template.path, template.guest_os)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TemplateSummary {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// Virtual CPUs.
    pub cpu: Option<i32>,
    /// Memory in MiB.
    pub memory_mb: Option<i32>,
    /// The guest operating system, in full.
    pub guest_os: Option<Untrusted>,
    /// The name of the host that it is registered on.
    pub host: Option<String>,
}

/// What is shown of each template.
const SHOWN: [&str; 5] =
    ["name", vm::NUM_CPU.path(), vm::MEMORY_SIZE_MB.path(), vm::GUEST_FULL_NAME.path(), vm::HOST.path()];

/// Lists templates, sorted by name.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::{ListQuery, vm};
///
/// for template in vm::templates(&client, &ListQuery::default()).await?.items {
///     println!("{} {:?}", template.name, template.guest_os);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `invalid_argument` for a cursor that no page gave, and server errors.
pub async fn templates(client: &Client, query: &ListQuery) -> Result<Page<TemplateSummary>> {
    let glob = query.glob();
    let types: [(&str, &[&str]); 1] = [("VirtualMachine", &["name", vm::IS_TEMPLATE.path()])];
    let fitting = find::scan(client, None, &types).await?.into_iter().filter_map(|content| {
        let key = ByName::of(&content);
        let mut values = Values::new(content.prop_set, content.missing_set);
        let template = optional(&mut values, vm::IS_TEMPLATE.path()).unwrap_or(false);
        (template && glob.as_ref().is_none_or(|glob| glob.fits(&key.name))).then_some(key)
    });
    let window = Window::of(fitting, ByName::clone, query)?;
    let references: Vec<_> =
        window.items.iter().map(|key| ManagedObjectReference::new("VirtualMachine", &key.id)).collect();
    let details = find::details(client, references.iter().cloned(), &SHOWN).await?;
    let gaps = Gaps::of(&details);
    let hosts: Vec<ManagedObjectReference> = details.iter().filter_map(host_of).collect();
    let around = Ancestry::read_with(client, &references, hosts).await?;
    let items = find::in_order(&window.items, details).map(|content| summary(content, &around)).collect();
    Ok(Page { gaps, ..window.page(items) })
}

fn summary(content: ObjectContent, around: &Ancestry) -> TemplateSummary {
    let host = host_of(&content).map(|host| around.name(&host).map_or_else(|| host.value.clone(), str::to_owned));
    let path = around.path(&content.obj).unwrap_or_default();
    let name = label(&content);
    let id = content.obj.value;
    let mut values = Values::new(content.prop_set, content.missing_set);
    TemplateSummary {
        name,
        id,
        path,
        cpu: optional(&mut values, vm::NUM_CPU.path()),
        memory_mb: optional(&mut values, vm::MEMORY_SIZE_MB.path()),
        guest_os: optional(&mut values, vm::GUEST_FULL_NAME.path()).map(String::into),
        host,
    }
}

/// The host that a template is registered on.
fn host_of(content: &ObjectContent) -> Option<ManagedObjectReference> {
    let property = content.prop_set.iter().find(|property| property.name == vm::HOST.path())?;
    property.val.clone().take().ok()
}
