//! The specifications by which clones are made different from their source: host name, addresses, domain.
//!
//! ```
//! use vsphere_ops::managed::VirtualMachine;
//! use vsphere_ops::{ListQuery, customization};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let specs = customization::list(&client, &ListQuery::first(50).matching("linux-*")).await?;
//! let golden = client.get::<VirtualMachine>("tpl-ubuntu-24.04").await?;
//! if let Some(spec) = specs.items.first() {
//!     golden.clone_to("web-05").customized_by(&spec.name).start().await?.await?;
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```

mod identity;

pub use identity::Identity;

use serde::Serialize;
use vsphere_model::managed::{CustomizationSpecManager, customization_spec_manager as manager};
use vsphere_model::types::CustomizationSpecInfo;
use vsphere_soap::object::format_date_time;

use crate::client::Client;
use crate::error::Result;
use crate::mo::Mo;
use crate::page::{ByName, ListQuery, Page, Window};
use crate::untrusted::Untrusted;

const LIST: &str = "list customization specifications";

/// A customization specification in a list. Its name is what [`CloneVm::customized_by`](crate::vm::CloneVm::customized_by)
/// takes.
///
/// ```
/// use vsphere_ops::customization::CustomizationSummary;
///
/// fn for_linux(all: &[CustomizationSummary]) -> impl Iterator<Item = &str> {
///     all.iter().filter(|spec| spec.os == "Linux").map(|spec| spec.name.as_str())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CustomizationSummary {
    /// The name.
    pub name: String,
    /// The guest operating systems that it is for: `Windows` or `Linux`.
    pub os: String,
    /// What people wrote about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Untrusted>,
    /// When it was changed last, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<String>,
}

/// Lists the customization specifications that a vCenter keeps, sorted by name. That takes the privilege
/// `VirtualMachine.Provisioning.ReadCustSpecs`.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::{ListQuery, customization};
///
/// for spec in customization::list(&client, &ListQuery::default()).await?.items {
///     println!("{} for {}, of {:?}", spec.name, spec.os, spec.changed);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `unsupported` if the server is no vCenter, and server errors.
pub async fn list(client: &Client, query: &ListQuery) -> Result<Page<CustomizationSummary>> {
    client.require_vcenter(LIST)?;
    let specs = client.manager("customization specifications", client.content().customization_spec_manager.as_ref())?;
    let specs: Mo<CustomizationSpecManager> = Mo::new(client, specs, None);
    let all = specs.read(manager::INFO).await.map_err(|error| error.in_operation(LIST))?;
    let glob = query.glob();
    let fitting = all.into_iter().filter(|info| glob.as_ref().is_none_or(|glob| glob.fits(&info.name)));
    // Their names are their ids.
    let key = |info: &CustomizationSpecInfo| ByName { name: info.name.clone(), id: String::new() };
    Ok(Window::of(fitting, key, query)?.map(summary).into())
}

fn summary(info: CustomizationSpecInfo) -> CustomizationSummary {
    CustomizationSummary {
        name: info.name,
        os: info.type_,
        description: Some(info.description).filter(|text| !text.is_empty()).map(Untrusted::from),
        changed: info.last_update_time.as_ref().map(format_date_time),
    }
}
