//! What tools answer, as schemas, for programs that hold answers against them. A model would pay for them at each start and
//! gain little, so that they stand behind a setting.
//!
//! They are made of the very types that the answers are written from.

use rmcp::model::JsonObject;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};
use vsphere_ops::{
    Candidate,
    host::HostSummary,
    power::PowerChange,
    snapshot::{Deleted, Reverted, SnapshotChange, SnapshotInfo},
    vcenter::VcenterInfo,
    vm::{VmInfo, VmSummary},
};

/// The schema of what a tool answers when it has not failed; `None` where none is known. One that `asks` may answer with a
/// question first.
pub(crate) fn schema(tool: &str, asks: bool) -> Option<JsonObject> {
    let answer = match tool {
        "list_vms" => list::<VmSummary>(),
        "get_vm_info" => object::<VmInfo>(),
        "power_on_vm" | "power_off_vm" | "suspend_vm" | "reset_vm" => reports::<PowerChange>(),
        "shutdown_guest" | "reboot_guest" | "standby_guest" => reports::<PowerChange>(),
        "list_snapshots" => list::<SnapshotInfo>(),
        "create_snapshot" => reports::<SnapshotChange>(),
        "revert_to_snapshot" | "revert_to_current_snapshot" => object::<Reverted>(),
        "delete_snapshot" | "delete_all_snapshots" => object::<Deleted>(),
        "rename_snapshot" => object::<SnapshotChange>(),
        "list_hosts" => list::<HostSummary>(),
        "get_vcenter_info" => object::<VcenterInfo>(),
        _ => return None,
    };
    let answer = if asks { json!({ "type": "object", "anyOf": [answer, preview()] }) } else { answer };
    match answer {
        Value::Object(schema) => Some(schema),
        _ => None,
    }
}

/// One object.
fn object<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    clean(&mut schema);
    schema
}

/// A page of a list. Which fields its items have is the caller's choice.
fn list<T: JsonSchema>() -> Value {
    let mut item = object::<T>();
    if let Some(item) = item.as_object_mut() {
        item.remove("required");
    }
    json!({
        "type": "object",
        "properties": {
            "items": { "type": "array", "items": item },
            "returned": { "type": "integer" },
            "total": { "type": "integer" },
            "truncated": { "type": "boolean" },
            "next_cursor": { "type": "string" },
        },
        "required": ["items", "returned", "total", "truncated"],
    })
}

/// A report for each machine: what became of it, or why that failed.
fn reports<T: JsonSchema>() -> Value {
    let mut properties = json!({ "vm": { "type": "string" }, "id": { "type": "string" } });
    let mut outcome = object::<T>();
    if let (Some(properties), Some(outcome)) = (properties.as_object_mut(), outcome["properties"].as_object_mut()) {
        properties.append(outcome);
    }
    properties["error"] = json!({
        "type": "object",
        "properties": {
            "code": { "type": "string" },
            "message": { "type": "string" },
            "candidates": { "type": "array", "items": object::<Candidate>() },
        },
        "required": ["code", "message"],
    });
    json!({
        "type": "object",
        "properties": {
            "results": { "type": "array", "items": { "type": "object", "properties": properties, "required": ["vm"] } },
            "failed": { "type": "integer" },
        },
        "required": ["results", "failed"],
    })
}

/// The question before a change, of a client that can't ask its user.
fn preview() -> Value {
    json!({
        "type": "object",
        "properties": { "confirmation_required": { "const": true }, "plan_token": { "type": "string" } },
        "required": ["confirmation_required", "plan_token"],
    })
}

/// Takes out what schemars writes for programs that generate code. Unlike an argument, a value may well be null.
fn clean(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            for noise in ["$schema", "title", "format", "minimum", "maximum", "default"] {
                // Within `properties` the keys are names of fields, whose values are schemas.
                if object.get(noise).is_some_and(|value| !value.is_object()) {
                    object.remove(noise);
                }
            }
            object.values_mut().for_each(clean);
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        _ => {}
    }
}
