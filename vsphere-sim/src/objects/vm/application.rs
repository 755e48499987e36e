//! What a descriptor said of the software in a machine: products, licences, and properties with their values.

use vsphere_model::types::{
    ArrayUpdateOperation, NotUserConfigurableProperty, Poly, VAppPropertyFault, VAppPropertyInfo,
    VirtualMachineConfigInfo, VmConfigInfo, VmConfigSpec,
};

use crate::fault::{Fault, Outcome};

/// Changes it as a specification says.
pub(super) fn apply(config: &mut VirtualMachineConfigInfo, spec: &VmConfigSpec) {
    let kept = config.v_app_config.get_or_insert_with(|| Poly::new(VmConfigInfo::default()));
    for change in &spec.product {
        let Some(info) = &change.info else { continue };
        match change.operation {
            ArrayUpdateOperation::Remove => kept.product.retain(|other| other.key != info.key),
            ArrayUpdateOperation::Edit => {
                if let Some(found) = kept.product.iter_mut().find(|other| other.key == info.key) {
                    (**info).clone_into(found);
                }
            }
            _ => kept.product.push((**info).clone()),
        }
    }
    for change in &spec.property {
        let Some(info) = &change.info else { continue };
        match change.operation {
            ArrayUpdateOperation::Remove => kept.property.retain(|other| other.key != info.key),
            ArrayUpdateOperation::Edit => {
                if let Some(found) = kept.property.iter_mut().find(|other| other.key == info.key) {
                    vsphere_soap::object::copy(&**info, found);
                }
            }
            _ => kept.property.push((**info).clone()),
        }
    }
    if !spec.eula.is_empty() {
        kept.eula.clone_from(&spec.eula);
    }
    if !spec.ovf_environment_transport.is_empty() {
        kept.ovf_environment_transport.clone_from(&spec.ovf_environment_transport);
    }
}

/// A fault that names a property.
fn about(property: &VAppPropertyInfo) -> VAppPropertyFault {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    VAppPropertyFault {
        id: text(&property.id),
        category: text(&property.category),
        label: text(&property.label),
        type_: text(&property.type_),
        value: text(&property.value),
        ..Default::default()
    }
}

fn is_set(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

/// Ends in `NotUserConfigurableProperty` where a property has a value that only its author may give.
///
/// # Errors
/// `NotUserConfigurableProperty`.
pub(crate) fn check_values(spec: &VmConfigSpec) -> Outcome<()> {
    for property in spec.property.iter().filter_map(|change| change.info.as_ref()) {
        let other = is_set(property.value.as_ref()) && property.value != property.default_value;
        if property.user_configurable == Some(false) && other {
            let name = property.id.as_deref().unwrap_or_default();
            let message = format!("Property '{name}' is not user configurable.");
            return Err(Fault::new(NotUserConfigurableProperty { base: about(property) }, message));
        }
    }
    Ok(())
}

/// Ends in `VAppPropertyFault` where a property must have a value, by its type, and has none.
///
/// # Errors
/// `VAppPropertyFault`.
pub(super) fn check_power_on(config: &VirtualMachineConfigInfo) -> Outcome<()> {
    let properties = config.v_app_config.as_ref().map(|application| &application.property);
    for property in properties.into_iter().flatten() {
        let empty = !is_set(property.value.as_ref()) && !is_set(property.default_value.as_ref());
        if empty && property.user_configurable == Some(true) && needs_value(property.type_.as_deref()) {
            let name = property.label.clone().filter(|label| !label.is_empty()).or_else(|| property.id.clone());
            let message = format!("Property '{}' must be configured for the VM to power on.", name.unwrap_or_default());
            return Err(Fault::new(about(property), message));
        }
    }
    Ok(())
}

/// Whether a type has no empty value: all but texts, and texts that have a shortest length.
fn needs_value(type_: Option<&str>) -> bool {
    let type_ = type_.unwrap_or_default();
    let (base, bounds) = type_.split_once('(').unwrap_or((type_, ""));
    match base {
        "string" | "password" => !bounds.is_empty() && !bounds.starts_with("..") && !bounds.starts_with('0'),
        "" => false,
        // A text that is one of several, or an address.
        _ => true,
    }
}
