//! The OVF manager: it reads descriptors, says what it takes to import them, and writes them.
//!
//! | file | has |
//! |---|---|
//! | `envelope` | what a descriptor says |
//! | `spec` | the specification of a machine that is made after one |
//! | `writing` | a descriptor of a machine |

mod envelope;
mod spec;
mod writing;

use vsphere_model::managed;
use vsphere_model::types::{
    LocalizableMessage, LocalizedMethodFault, OvfCreateDescriptorParams, OvfCreateImportSpecParams,
    OvfDeploymentOption, OvfNetworkInfo, OvfOptionInfo, OvfParseDescriptorParams, OvfParseDescriptorResult,
    OvfValidateHostParams, OvfValidateHostResult, OvfXmlFormat, Poly, VAppProductInfo, VAppPropertyInfo,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use self::envelope::{Envelope, Product, Property};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::host::Host;
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("OvfManager", "ParseDescriptor", Handler::Read(parse)),
    ("OvfManager", "ValidateHost", Handler::Read(validate)),
    ("OvfManager", "CreateImportSpec", Handler::Read(create_import_spec)),
    ("OvfManager", "CreateDescriptor", Handler::Read(create_descriptor)),
];

/// How the disks of an import can be allocated.
const PROVISIONING: [&str; 8] =
    ["thin", "thick", "eagerZeroedThick", "flat", "sparse", "seSparse", "monolithicSparse", "monolithicFlat"];

/// The managed object `OvfManager`.
struct OvfManager {
    export_options: Vec<OvfOptionInfo>,
}

impl Managed for OvfManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::OvfManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "ovfExportOption" => Prop::list(&self.export_options),
            _ => Prop::UNSET,
        }
    }
}

pub(super) fn install(world: &mut World) {
    let option = |option: &str, text: &str| OvfOptionInfo {
        option: option.to_owned(),
        description: LocalizableMessage {
            key: format!("com.vmware.ovfs.ovfs-main.ovfs.{option}"),
            message: Some(text.to_owned()),
            ..Default::default()
        },
    };
    let export_options = vec![option("extraconfig", "Include the options that have no place of their own")];
    world.content.ovf_manager = Some(world.add_as("OvfManager", OvfManager { export_options }));
}

/// What is wrong with a descriptor that can't be read.
fn unreadable(why: &str) -> Vec<LocalizedMethodFault> {
    let line = why.strip_prefix("Line ").and_then(|rest| rest.split(':').next()?.parse().ok()).unwrap_or_default();
    let mut fault = OvfXmlFormat { description: why.to_owned(), ..Default::default() };
    fault.line_number = line;
    vec![Fault::new(fault, format!("The OVF descriptor is not valid: {why}")).localized()]
}

fn parse(_: &World, call: &Call) -> Outcome<Reply> {
    let (text, params): (String, OvfParseDescriptorParams) = (call.arg("ovfDescriptor")?, call.arg("pdp")?);
    let envelope = match Envelope::read(&text, &params.deployment_option) {
        Ok(envelope) => envelope,
        Err(why) => return Ok(Reply::of(OvfParseDescriptorResult { error: unreadable(&why), ..Default::default() })),
    };
    let capacity: i64 = envelope.disks.iter().map(|disk| disk.capacity).sum();
    let populated: i64 = envelope.disks.iter().map(|disk| disk.populated.unwrap_or(disk.capacity)).sum();
    let download: i64 = envelope.files.iter().filter_map(|file| file.size).sum();
    let systems = &envelope.systems;
    let properties = systems.iter().flat_map(|system| &system.properties);
    let option = |option: &envelope::DeploymentOption| OvfDeploymentOption {
        key: option.id.clone(),
        label: option.label.clone(),
        description: option.description.clone(),
    };
    let network = |(name, text): &(String, String)| OvfNetworkInfo { name: name.clone(), description: text.clone() };
    let first = systems.first();
    Ok(Reply::of(OvfParseDescriptorResult {
        eula: systems.iter().flat_map(|system| system.eulas.iter().cloned()).collect(),
        network: envelope.networks.iter().map(network).collect(),
        ip_protocols: vec!["IPv4".to_owned()],
        property: properties.zip(0..).map(|(property, key)| property_info(property, key)).collect(),
        product_info: first.and_then(|system| system.products.first()).map(|it| Box::new(product_info(it, 0))),
        annotation: first.map(|system| system.annotation.clone()).unwrap_or_default(),
        approximate_download_size: Some(download),
        approximate_flat_deployment_size: Some(capacity),
        approximate_sparse_deployment_size: Some(populated),
        default_entity_name: first.map(default_name).unwrap_or_default(),
        virtual_app: envelope.is_collection,
        deployment_option: envelope.options.iter().map(option).collect(),
        default_deployment_option: envelope.default_option(),
        ..Default::default()
    }))
}

/// The name of a machine that is given none.
fn default_name(system: &envelope::System) -> String {
    let product = system.products.first().map(|product| product.name.clone()).filter(|name| !name.is_empty());
    system.name.clone().filter(|name| !name.is_empty()).or(product).unwrap_or_else(|| system.id.clone())
}

fn property_info(property: &Property, key: i32) -> VAppPropertyInfo {
    VAppPropertyInfo {
        key,
        class_id: Some(property.class.clone()),
        instance_id: Some(property.instance.clone()),
        id: Some(property.id.clone()),
        category: Some(property.category.clone()),
        label: Some(property.label.clone()),
        type_: Some(property.type_.clone()),
        type_reference: Some(String::new()),
        user_configurable: Some(property.user_configurable),
        // A password that stands in a descriptor is not told.
        default_value: Some(if is_password(&property.type_) { String::new() } else { property.default.clone() }),
        value: Some(String::new()),
        description: Some(property.description.clone()),
    }
}

fn is_password(type_: &str) -> bool {
    type_.starts_with("password")
}

fn product_info(product: &Product, key: i32) -> VAppProductInfo {
    VAppProductInfo {
        key,
        class_id: Some(product.class.clone()),
        instance_id: Some(product.instance.clone()),
        name: Some(product.name.clone()),
        vendor: Some(product.vendor.clone()),
        version: Some(product.version.clone()),
        full_version: Some(product.full_version.clone()),
        ..Default::default()
    }
}

fn validate(world: &World, call: &Call) -> Outcome<Reply> {
    let (text, host): (String, Moref) = (call.arg("ovfDescriptor")?, call.arg("host")?);
    let params: OvfValidateHostParams = call.arg("vhp")?;
    world.get::<Host>(&host)?;
    let supported = PROVISIONING.iter().map(|name| (*name).to_owned()).collect();
    let mut result = OvfValidateHostResult { supported_disk_provisioning: supported, ..Default::default() };
    match Envelope::read(&text, &params.deployment_option) {
        Err(why) => result.error = unreadable(&why),
        Ok(envelope) => {
            result.download_size = Some(envelope.files.iter().filter_map(|file| file.size).sum());
            result.flat_deployment_size = Some(envelope.disks.iter().map(|disk| disk.capacity).sum());
            result.sparse_deployment_size =
                Some(envelope.disks.iter().map(|disk| disk.populated.unwrap_or(disk.capacity)).sum());
        }
    }
    Ok(Reply::of(result))
}

fn create_import_spec(world: &World, call: &Call) -> Outcome<Reply> {
    let text: String = call.arg("ovfDescriptor")?;
    let (pool, datastore): (Moref, Moref) = (call.arg("resourcePool")?, call.arg("datastore")?);
    let params: Poly<OvfCreateImportSpecParams> = call.arg("cisp")?;
    spec::create(world, &text, &pool, &datastore, &params).map(Reply::of)
}

fn create_descriptor(world: &World, call: &Call) -> Outcome<Reply> {
    let (object, params): (Moref, OvfCreateDescriptorParams) = (call.arg("obj")?, call.arg("cdp")?);
    world.demand(call, &object, "VApp.Export")?;
    writing::create(world, &object, &params).map(Reply::of)
}
