//! What is in a package, as its server reads it.

use serde::Serialize;
use vsphere_model::types::{
    LocalizedMethodFault, OvfManagerCommonParams, OvfParseDescriptorParams, OvfParseDescriptorResult,
};

use super::package::Package;
use super::property::OvfProperty;
use super::{OPEN, manager};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::untrusted::Untrusted;

/// What is in a package.
///
/// The hardware, the properties and the sizes are those of one deployment option: of the default one, unless another was
/// asked for.
///
/// ```
/// use vsphere_ops::ovf::OvfContents;
///
/// fn sum_up(contents: &OvfContents) -> String {
///     format!("{}: {} networks, {} properties", contents.name, contents.networks.len(), contents.properties.len())
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OvfContents {
    /// The name that a VM gets which is given none.
    pub name: String,
    /// The product, with its version and its vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<OvfProduct>,
    /// What the author says of it.
    #[serde(skip_serializing_if = "Untrusted::is_empty")]
    pub annotation: Untrusted,
    /// The networks, each of which must be mapped to one of vSphere's.
    pub networks: Vec<OvfNetwork>,
    /// The properties.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<OvfProperty>,
    /// The licences that must be accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub eulas: Vec<Untrusted>,
    /// The deployment options, of which one is chosen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deployment_options: Vec<OvfOption>,
    /// Which of them the rest of this is of.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deployment_option: String,
    /// The VMs, where the package is a vApp with several of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vapp: Vec<String>,
    /// The files.
    pub files: Vec<OvfFile>,
    /// How many bytes are sent to deploy it.
    pub download_bytes: Option<i64>,
    /// How many bytes its disks take when they are thin.
    pub thin_bytes: Option<i64>,
    /// How many bytes its disks take when they are thick.
    pub thick_bytes: Option<i64>,
    /// Whether it has a manifest, by which all files are checked.
    pub manifest: bool,
    /// What the server warns of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The product in a package.
///
/// ```
/// use vsphere_ops::ovf::OvfProduct;
///
/// fn title(product: &OvfProduct) -> String {
///     format!("{} {}", product.name, product.version)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OvfProduct {
    /// The name.
    pub name: Untrusted,
    /// The version.
    pub version: Untrusted,
    /// The vendor.
    pub vendor: Untrusted,
}

/// A network in a package.
///
/// ```
/// use vsphere_ops::ovf::OvfNetwork;
///
/// fn names(networks: &[OvfNetwork]) -> Vec<&str> {
///     networks.iter().map(|network| network.name.as_str()).collect()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OvfNetwork {
    /// The name, by which it is mapped.
    pub name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Untrusted::is_empty")]
    pub description: Untrusted,
}

/// A deployment option: one of several sizes or shapes that a package can have.
///
/// ```
/// use vsphere_ops::ovf::OvfOption;
///
/// fn is_there(options: &[OvfOption], key: &str) -> bool {
///     options.iter().any(|option| option.key == key)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OvfOption {
    /// The name by which it is chosen.
    pub key: String,
    /// What it is called.
    pub label: Untrusted,
    /// What it is.
    #[serde(skip_serializing_if = "Untrusted::is_empty")]
    pub description: Untrusted,
}

/// A file of a package.
///
/// ```
/// use vsphere_ops::ovf::OvfFile;
///
/// fn total(files: &[OvfFile]) -> u64 {
///     files.iter().filter_map(|file| file.bytes).sum()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OvfFile {
    /// The path in the package.
    pub path: String,
    /// How many bytes it has there, where the descriptor says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How it is packed, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// How many bytes each of its chunks has, where it is in several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_bytes: Option<u64>,
}

/// What the methods of the OVF manager want to know beside the descriptor.
pub(super) fn common(option: &str) -> OvfManagerCommonParams {
    OvfManagerCommonParams { locale: String::new(), deployment_option: option.to_owned(), ..Default::default() }
}

/// Asks the server what a descriptor means in a deployment option.
pub(super) async fn read(client: &Client, package: &Package, option: &str) -> Result<OvfContents> {
    let params = OvfParseDescriptorParams { base: common(option) };
    let parsed = manager(client)?.parse_descriptor(&package.descriptor, &params).await;
    let parsed = parsed.map_err(|error| Error::from(error).in_operation(OPEN))?;
    refuse(OPEN, &parsed.error)?;
    Ok(of(parsed, package, option))
}

fn of(parsed: OvfParseDescriptorResult, package: &Package, option: &str) -> OvfContents {
    let product = parsed.product_info.map(|product| OvfProduct {
        name: product.name.unwrap_or_default().into(),
        version: product
            .full_version
            .filter(|version| !version.is_empty())
            .or(product.version)
            .unwrap_or_default()
            .into(),
        vendor: product.vendor.unwrap_or_default().into(),
    });
    let mut warnings: Vec<String> = parsed.warning.iter().map(message).collect();
    if package.is_signed {
        warnings.push("the package is signed, but its signature is not checked".to_owned());
    }
    OvfContents {
        name: parsed.default_entity_name,
        product: product.filter(|product| !product.name.is_empty()),
        annotation: Untrusted::from(parsed.annotation),
        networks: parsed
            .network
            .into_iter()
            .map(|network| OvfNetwork { name: network.name, description: network.description.into() })
            .collect(),
        properties: parsed.property.iter().map(OvfProperty::of).collect(),
        eulas: parsed.eula.into_iter().map(Untrusted::from).collect(),
        deployment_option: match option.is_empty() {
            true => parsed.default_deployment_option,
            false => option.to_owned(),
        },
        deployment_options: parsed
            .deployment_option
            .into_iter()
            .map(|option| OvfOption {
                key: option.key,
                label: option.label.into(),
                description: option.description.into(),
            })
            .collect(),
        vapp: package.references.collection.clone(),
        files: package
            .references
            .files
            .iter()
            .map(|file| OvfFile {
                path: file.href.clone(),
                bytes: file.size,
                compression: file.compression.clone().filter(|method| !method.is_empty()),
                chunk_bytes: file.chunk_size,
            })
            .collect(),
        download_bytes: parsed.approximate_download_size,
        thin_bytes: parsed.approximate_sparse_deployment_size,
        thick_bytes: parsed.approximate_flat_deployment_size,
        manifest: package.manifest.is_some(),
        warnings,
    }
}

/// What the server says of a fault in its answer.
pub(super) fn message(fault: &LocalizedMethodFault) -> String {
    let message = fault.localized_message.clone().filter(|message| !message.is_empty());
    message.unwrap_or_else(|| fault.fault.type_name().to_owned())
}

/// An error that says all that the server finds wrong, where it does.
pub(super) fn refuse(operation: &str, faults: &[LocalizedMethodFault]) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let messages: Vec<String> = faults.iter().map(message).collect();
    Err(Error::new(operation, ErrorKind::InvalidArgument(messages.join("; "))))
}
