//! Custom attributes.

use crate::support::{Lab, fault};
use vsphere_model::managed::{CustomFieldsManager, ExtensibleManagedObject, custom_fields_manager};
use vsphere_model::types::{CustomFieldDef, CustomFieldStringValue, CustomFieldValue, ManagedObjectReference, Poly};
use vsphere_sim::{Model, Size};

struct Fields {
    lab: Lab,
    manager: CustomFieldsManager,
}

impl Fields {
    async fn new() -> Self {
        let lab = Lab::new(Model::sized(Size { vms: 1, ..Size::default() })).await;
        let manager = lab.object(lab.content.custom_fields_manager.as_ref().unwrap());
        Self { lab, manager }
    }

    async fn values(&self, entity: &ManagedObjectReference) -> Vec<(i32, String)> {
        let values: Vec<Poly<CustomFieldValue>> =
            self.lab.read(entity, "customValue").await.unwrap().take().unwrap_or_default();
        let text =
            |value: &Poly<CustomFieldValue>| value.downcast_ref::<CustomFieldStringValue>().unwrap().value.clone();
        values.iter().map(|value| (value.key, text(value))).collect()
    }
}

#[tokio::test]
async fn a_field_is_for_one_type_or_for_all() {
    let fields = Fields::new().await;
    let [vm, host] = fields.lab.some(["VirtualMachine", "HostSystem"]).await;
    let owner = fields.manager.add_custom_field_def("owner", None, None, None).await.unwrap().key;
    let backup = fields.manager.add_custom_field_def("backup", Some("VirtualMachine"), None, None).await.unwrap().key;
    let available = async |entity| -> Vec<CustomFieldDef> {
        fields.lab.read(entity, "availableField").await.unwrap().take().unwrap()
    };
    assert_eq!(available(&vm).await.iter().map(|field| field.key).collect::<Vec<_>>(), [owner, backup]);
    assert_eq!(available(&host).await.iter().map(|field| field.key).collect::<Vec<_>>(), [owner]);
    fields.manager.set_field(&vm, backup, "daily").await.unwrap();
    fields.lab.object::<ExtensibleManagedObject>(&vm).set_custom_value("owner", "alice").await.unwrap();
    assert_eq!(fields.values(&vm).await, [(owner, "alice".to_owned()), (backup, "daily".to_owned())]);
    fields.manager.set_field(&vm, backup, "weekly").await.unwrap();
    assert_eq!(fields.values(&vm).await[1], (backup, "weekly".to_owned()));
    assert_eq!(fault(fields.manager.set_field(&host, backup, "daily")).await, "InvalidArgument");
    assert_eq!(fault(fields.manager.set_field(&vm, 7, "x")).await, "InvalidArgument");
    let no = fields.lab.object::<ExtensibleManagedObject>(&vm);
    assert_eq!(fault(no.set_custom_value("none", "x")).await, "InvalidArgument");
}

#[tokio::test]
async fn a_field_is_renamed_and_goes_with_its_values() {
    let fields = Fields::new().await;
    let [vm] = fields.lab.some(["VirtualMachine"]).await;
    let owner = fields.manager.add_custom_field_def("owner", None, None, None).await.unwrap().key;
    let other = fields.manager.add_custom_field_def("other", None, None, None).await.unwrap().key;
    assert_eq!(fault(fields.manager.add_custom_field_def("owner", None, None, None)).await, "DuplicateName");
    assert_eq!(fault(fields.manager.add_custom_field_def("x", Some("Toaster"), None, None)).await, "InvalidArgument");
    assert_eq!(fault(fields.manager.rename_custom_field_def(other, "owner")).await, "DuplicateName");
    fields.manager.rename_custom_field_def(owner, "keeper").await.unwrap();
    let names = fields.lab.get(&fields.manager, custom_fields_manager::FIELD).await;
    assert_eq!(names.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["keeper", "other"]);
    fields.manager.set_field(&vm, owner, "alice").await.unwrap();
    fields.manager.set_field(&vm, other, "x").await.unwrap();
    fields.manager.remove_custom_field_def(owner).await.unwrap();
    assert_eq!(fields.values(&vm).await, [(other, "x".to_owned())]);
    assert_eq!(fault(fields.manager.remove_custom_field_def(owner)).await, "InvalidArgument");
}
