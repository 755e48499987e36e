//! Custom attributes: fields of their own that the people of a vCenter give to VMs, such as an owner or a cost centre.
//!
//! ```
//! use vsphere_ops::managed::VirtualMachine;
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let owner = client.custom_attribute_or_new("owner").await?;
//! let web = client.get::<VirtualMachine>("web-01").await?;
//! let change = owner.set(&web, "team web").await?;
//! assert!(change.changed && change.previous.is_none());
//! assert_eq!(web.info().await?.custom_attributes["owner"].as_str(), "team web");
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! An attribute is defined once for the vCenter, for all kinds of objects or for one, and has a value on each object. People write
//! the values: they are not to be trusted.

use std::collections::BTreeMap;

use serde::Serialize;
use vsphere_model::managed::{
    CustomFieldsManager, VirtualMachine, custom_fields_manager as fields, virtual_machine as vm,
};
use vsphere_model::types::{CustomFieldDef, CustomFieldStringValue, CustomFieldValue, Poly};

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::mo::Mo;
use crate::untrusted::Untrusted;

const SET: &str = "set the custom attribute";
const CREATE: &str = "create the custom attribute";

/// The kind of object that the attributes of this module are for.
const OF_VMS: &str = "VirtualMachine";

/// A custom attribute that VMs can have.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::custom_attribute::CustomAttribute;
///
/// let owner: CustomAttribute = client.custom_attribute_or_new("owner").await?;
/// assert!(owner.created && owner.name == "owner");
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
pub struct CustomAttribute {
    /// The name.
    pub name: String,
    /// Whether it was defined just now.
    pub created: bool,
    key: i32,
    manager: Mo<CustomFieldsManager>,
}

/// A value that was set.
///
/// ```
/// use vsphere_ops::custom_attribute::AttributeChange;
///
/// fn line(change: &AttributeChange) -> String {
///     format!("{}: {:?}, before {:?}", change.attribute, change.value, change.previous)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AttributeChange {
    /// Whether anything was changed; not where it had that value already.
    pub changed: bool,
    /// The name of the attribute.
    pub attribute: String,
    /// The value.
    pub value: String,
    /// The value before; none where it had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Untrusted>,
    /// Whether the attribute was defined for this.
    pub created: bool,
}

impl Client {
    /// The custom attribute of VMs with this name, which is defined where it is missing. That takes the privilege
    /// `Global.ManageCustomFields`.
    ///
    /// # Errors
    /// `unsupported` if the server is no vCenter; `invalid_argument` for an empty name, and for one that an attribute of other
    /// kinds of objects has; `permission` where it is missing and the user may not define it.
    pub async fn custom_attribute_or_new(&self, name: &str) -> Result<CustomAttribute> {
        let name = name.trim();
        let named = |error: Error| error.in_operation(CREATE).on(name);
        self.require_vcenter(SET)?;
        if name.is_empty() {
            return Err(invalid(SET, "its name is empty"));
        }
        let manager = self.manager("custom attributes", self.content().custom_fields_manager.as_ref());
        let manager: Mo<CustomFieldsManager> = Mo::new(self, manager.map_err(named)?, None);
        if let Some(key) = defined(&manager, name).await? {
            return Ok(CustomAttribute { name: name.to_owned(), created: false, key, manager });
        }
        let added = manager.add_custom_field_def(name, Some(OF_VMS), None, None).await.map_err(Error::from);
        let (key, created) = match added {
            Ok(field) => (field.key, true),
            // Somebody else has just defined it.
            Err(error) if error.is_fault("DuplicateName") => {
                let key = defined(&manager, name).await?.ok_or_else(|| named(error))?;
                (key, false)
            }
            Err(error) => return Err(named(error)),
        };
        Ok(CustomAttribute { name: name.to_owned(), created, key, manager })
    }
}

impl CustomAttribute {
    /// Sets the value on a VM; an empty value clears it. Privilege: `Global.SetCustomField` on the VM.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let owner = client.custom_attribute_or_new("owner").await?;
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// owner.set(&web, "team web").await?;
    /// assert!(!owner.set(&web, "team web").await?.changed);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `permission`, and other errors of the server.
    pub async fn set(&self, machine: &Mo<VirtualMachine>, value: &str) -> Result<AttributeChange> {
        let named = |error: Error| error.in_operation(format!("{SET} {:?} of", self.name)).on(machine.label());
        let values = machine.read(vm::CUSTOM_VALUE).await.map_err(named)?;
        let previous = values.iter().find(|value| value.key == self.key).and_then(text);
        let previous = previous.filter(|text| !text.is_empty());
        let changed = previous.as_deref().unwrap_or_default() != value;
        if changed {
            let set = self.manager.set_field(machine.reference(), self.key, value).await;
            set.map_err(|error| named(Error::from(error)))?;
        }
        Ok(AttributeChange {
            changed,
            attribute: self.name.clone(),
            value: value.to_owned(),
            previous: previous.map(Untrusted::from),
            created: self.created,
        })
    }
}

/// The key of the attribute of this name, where VMs can have it.
///
/// # Errors
/// `invalid_argument` where only other kinds of objects can have it.
async fn defined(manager: &Mo<CustomFieldsManager>, name: &str) -> Result<Option<i32>> {
    let all = manager.read(fields::FIELD).await.map_err(|error| error.in_operation(SET).on(name))?;
    let mut same = all.iter().filter(|field| field.name == name).peekable();
    if same.peek().is_none() {
        return Ok(None);
    }
    let for_vms = |field: &&CustomFieldDef| {
        field.managed_object_type.as_deref().is_none_or(|of| matches!(of, "" | OF_VMS | "ManagedEntity"))
    };
    match same.clone().find(for_vms) {
        Some(field) => Ok(Some(field.key)),
        None => {
            let of: Vec<&str> = same.filter_map(|field| field.managed_object_type.as_deref()).collect();
            let text = format!("the attribute of this name is for {} alone: choose another name", of.join(", "));
            Err(Error::new(SET, ErrorKind::InvalidArgument(text)).on(name))
        }
    }
}

/// The attributes that are defined, where the server has any.
pub(crate) async fn definitions(client: &Client) -> Result<Vec<CustomFieldDef>> {
    let Some(manager) = &client.content().custom_fields_manager else { return Ok(Vec::new()) };
    Mo::<CustomFieldsManager>::new(client, manager, None).read(fields::FIELD).await
}

/// The values by the names of their attributes.
pub(crate) fn by_name(values: &[Poly<CustomFieldValue>], fields: &[CustomFieldDef]) -> BTreeMap<String, Untrusted> {
    let named = |value: &Poly<CustomFieldValue>| {
        let field = fields.iter().find(|field| field.key == value.key)?;
        Some((field.name.clone(), text(value).filter(|text| !text.is_empty())?.into()))
    };
    values.iter().filter_map(named).collect()
}

fn text(value: &Poly<CustomFieldValue>) -> Option<String> {
    value.downcast_ref::<CustomFieldStringValue>().map(|value| value.value.clone())
}
