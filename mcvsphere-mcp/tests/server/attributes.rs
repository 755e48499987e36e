//! Custom attributes of VMs, and customization specifications.

use serde_json::{Value, json};
use vsphere_ops::{
    Mo,
    managed::{CustomFieldsManager, CustomizationSpecManager, VirtualMachine, virtual_machine as vm},
    types::{
        CustomFieldStringValue, CustomizationFixedName, CustomizationLinuxPrep, CustomizationSpec,
        CustomizationSpecInfo, CustomizationSpecItem, Poly,
    },
};
use vsphere_sim::Model;

use crate::{
    confirm::older,
    disks::{call, mcp, refused},
    lab::Lab,
};

/// The values that vSphere itself has for the VM.
async fn values(machine: &Mo<VirtualMachine>) -> Vec<String> {
    let values = machine.read(vm::CUSTOM_VALUE).await.unwrap();
    let text = |value: &CustomFieldStringValue| value.value.clone();
    values.iter().filter_map(|value| value.downcast_ref().map(text)).collect()
}

/// The attributes that the VM can have, each with the kind of object that it is for.
async fn defined(machine: &Mo<VirtualMachine>) -> Vec<(String, Option<String>)> {
    let fields = machine.read(vm::AVAILABLE_FIELD).await.unwrap();
    fields.into_iter().map(|field| (field.name, field.managed_object_type)).collect()
}

#[tokio::test]
async fn a_custom_attribute_is_defined_once_and_set_on_several_vms() {
    let lab = Lab::new().await;
    let (web, db) = (lab.machine("web-1").await, lab.machine("db-1").await);
    let client = mcp(&lab).await;
    let set = async |arguments: Value| call(&client, "set_custom_attribute", arguments).await.unwrap();
    let both = json!({ "vms": ["web-1", "db-1", "nope"], "name": "owner", "value": "team web" });
    let done = set(both).await;
    assert_eq!(done["failed"], 1, "{done:#}");
    for result in &done["results"].as_array().unwrap()[..2] {
        assert_eq!((&result["changed"], &result["created"]), (&json!(true), &json!(true)), "{done:#}");
        assert!(result.get("previous").is_none(), "{done:#}");
    }
    assert_eq!(done["results"][2]["error"]["code"], "not_found");
    assert_eq!((values(&web).await, values(&db).await), (vec!["team web".to_owned()], vec!["team web".to_owned()]));
    assert_eq!(defined(&web).await, [("owner".to_owned(), Some("VirtualMachine".to_owned()))]);

    let again = set(json!({ "vm": "web-1", "name": "owner", "value": "team web" })).await;
    let result = &again["results"][0];
    assert_eq!((&result["changed"], &result["created"]), (&json!(false), &json!(false)), "{again:#}");
    let other = set(json!({ "vm": "web-1", "name": "owner", "value": "Ann" })).await;
    let result = &other["results"][0];
    assert_eq!((&result["changed"], &result["previous"]), (&json!(true), &json!({ "untrusted": "team web" })));

    let info = call(&client, "get_vm_info", json!({ "vm": "web-1" })).await.unwrap();
    assert_eq!(info["custom_attributes"], json!({ "owner": { "untrusted": "Ann" } }), "{info:#}");
    call(&client, "reconfigure_vm", json!({ "vm": "db-1", "annotation": "Postgres" })).await.unwrap();
    let wanted = json!({ "fields": ["name", "annotation", "custom_attributes"] });
    let page = call(&client, "list_vms", wanted).await.unwrap();
    assert_eq!(
        page["items"],
        json!([
            { "name": "db-1", "annotation": { "untrusted": "Postgres" },
                "custom_attributes": { "owner": { "untrusted": "team web" } } },
            { "name": "web-1", "annotation": null, "custom_attributes": { "owner": { "untrusted": "Ann" } } },
        ])
    );
    // Nobody who does not ask for them gets them.
    let page = call(&client, "list_vms", json!({})).await.unwrap();
    assert!(page["items"][0].get("custom_attributes").is_none(), "{page:#}");

    set(json!({ "vm": "web-1", "name": "owner", "value": "" })).await;
    let info = call(&client, "get_vm_info", json!({ "vm": "web-1" })).await.unwrap();
    assert!(info.get("custom_attributes").is_none(), "{info:#}");
}

#[tokio::test]
async fn an_attribute_that_cannot_be_says_why() {
    let lab = Lab::new().await;
    let web = lab.machine("web-1").await;
    let manager: CustomFieldsManager = lab.client.raw(lab.client.content().custom_fields_manager.as_ref().unwrap());
    manager.add_custom_field_def("rack", Some("HostSystem"), None, None).await.unwrap();
    let client = mcp(&lab).await;
    for (arguments, expected, says) in [
        (json!({ "vm": "web-1", "name": "rack", "value": "7" }), "invalid_argument", "HostSystem"),
        (json!({ "vm": "web-1", "name": " ", "value": "7" }), "invalid_argument", "empty"),
        (json!({ "vm": "nope", "name": "owner", "value": "Ann" }), "not_found", "nope"),
        (json!({ "name": "owner", "value": "Ann" }), "invalid_argument", "`vm` or `vms`"),
    ] {
        let (code, message) = refused(&client, "set_custom_attribute", arguments.clone()).await;
        assert_eq!(code, expected, "{arguments}: {message}");
        assert!(message.contains(says), "{arguments}: {message}");
    }
    // Where there was no VM to set it on, nothing was defined.
    assert_eq!(defined(&web).await, []);
    let operator = older(lab.server(&[("MCP_PERMISSION", "power_ops")]), ()).await;
    let arguments = json!({ "vm": "web-1", "name": "owner", "value": "Ann" });
    assert_eq!(refused(&operator, "set_custom_attribute", arguments.clone()).await.0, "permission");
    lab.sim.trouble(vsphere_sim::Trouble::none().fail("AddCustomFieldDef", "NoPermission", 1));
    let (code, message) = refused(&client, "set_custom_attribute", arguments).await;
    assert_eq!(code, "permission");
    assert!(message.starts_with("create the custom attribute \"owner\""), "{message}");
}

#[tokio::test]
async fn customization_specs_are_listed_with_what_they_are_for() {
    let lab = Lab::new().await;
    let client = mcp(&lab).await;
    assert_eq!(call(&client, "list_customization_specs", json!({})).await.unwrap()["total"], 0);
    let manager = lab.client.content().customization_spec_manager.clone().unwrap();
    let manager: CustomizationSpecManager = lab.client.raw(&manager);
    for name in ["linux-dhcp", "linux-static"] {
        let host_name = Poly::new(CustomizationFixedName { name: "renamed".to_owned(), ..Default::default() });
        let identity = CustomizationLinuxPrep { host_name, domain: "example.org".to_owned(), ..Default::default() };
        let spec = CustomizationSpec { identity: Poly::new(identity), ..Default::default() };
        let description = if name == "linux-dhcp" { "for tests" } else { "" };
        let info = CustomizationSpecInfo {
            name: name.to_owned(),
            type_: "Linux".to_owned(),
            description: description.to_owned(),
            ..Default::default()
        };
        manager.create_customization_spec(&CustomizationSpecItem { info, spec }).await.unwrap();
    }
    let page = call(&client, "list_customization_specs", json!({ "limit": 1 })).await.unwrap();
    let item = &page["items"][0];
    assert_eq!((&page["total"], &item["name"], &item["os"]), (&json!(2), &json!("linux-dhcp"), &json!("Linux")));
    assert_eq!(item["description"], json!({ "untrusted": "for tests" }), "{page:#}");
    assert!(item["changed"].as_str().unwrap().contains('T'), "{page:#}");
    let next = json!({ "limit": 1, "cursor": page["next_cursor"] });
    assert_eq!(call(&client, "list_customization_specs", next).await.unwrap()["items"][0]["name"], "linux-static");
    let some = json!({ "filter": "*-static", "fields": ["name"] });
    let page = call(&client, "list_customization_specs", some).await.unwrap();
    assert_eq!(page["items"], json!([{ "name": "linux-static" }]));

    let host = Lab::of(Model::esxi()).await;
    let (code, message) = refused(&mcp(&host).await, "list_customization_specs", json!({})).await;
    assert!(code == "unsupported" && message.contains("vCenter"), "{message}");
}
