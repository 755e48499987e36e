//! What tools answer, as schemas, for programs that hold answers against them. A model would pay for them at each start and
//! gain little, so that they stand behind a setting.
//!
//! They are made of the very types that the answers are written from.

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use serde_json::{Value, json};
use vsphere_ops::Candidate;

use crate::{answer::CUT, schema};

/// The schema of an answer with this data. A tool that `asks` may answer with a question first, and one that takes long
/// before it is done.
pub(crate) fn schema(mut answer: Value, asks: bool, is_long: bool) -> Option<JsonObject> {
    // Of an answer that is too long, something is left out, and this says what.
    answer["properties"][CUT] = json!({ "type": "string" });
    let mut all = vec![answer];
    all.extend(asks.then(preview));
    all.extend(is_long.then(pending));
    let answer = match all.len() {
        1 => all.pop().unwrap_or_default(),
        _ => json!({ "type": "object", "anyOf": all }),
    };
    match answer {
        Value::Object(schema) => Some(schema),
        _ => None,
    }
}

/// One object.
pub(crate) fn object<T: JsonSchema>() -> Value {
    let mut schema = schema::of_output::<T>();
    clean(&mut schema);
    schema
}

/// A page of a list. Which fields its items have is the caller's choice.
pub(crate) fn list<T: JsonSchema>() -> Value {
    let mut item = object::<T>();
    let required = item.as_object_mut().and_then(|item| item.remove("required")).unwrap_or_default();
    let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|other| other == name));
    for (name, field) in item["properties"].as_object_mut().into_iter().flatten() {
        // One that an item may lack is null where the caller wants to see it.
        if let Some(kind) = field.get_mut("type").filter(|kind| kind.is_string() && !is_required(name)) {
            *kind = json!([kind.take(), "null"]);
        }
    }
    json!({
        "type": "object",
        "properties": {
            "items": { "type": "array", "items": item },
            "returned": { "type": "integer" },
            "total": { "type": "integer" },
            "truncated": { "type": "boolean" },
            "next_cursor": { "type": "string" },
            "live": { "type": "boolean" },
            "age_seconds": { "type": "number" },
            "unreadable": { "type": "array", "items": object::<vsphere_ops::Unreadable>() },
            "missing": { "type": "array", "items": object::<vsphere_ops::MissingPart>() },
        },
        "required": ["items", "returned", "total", "truncated"],
    })
}

/// A report for each machine: what became of it, or why that failed.
pub(crate) fn reports<T: JsonSchema>() -> Value {
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

/// What is told of a call that goes on.
fn pending() -> Value {
    json!({
        "type": "object",
        "properties": { "pending": { "const": true }, "job": { "type": "string" }, "note": { "type": "string" } },
        "required": ["pending", "job"],
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts that are shown without a mark: names, ids, paths, words of vSphere, dates, and sentences of our own. A field
    /// that is not here holds what people or guests write, and is [`vsphere_ops::Untrusted`].
    #[rustfmt::skip]
    const PLAIN: &[&str] = &[
        "full_name", "product", "version", "build", "api_type", "api_version", "api_version_in_use", "os_type",
        "instance_uuid", "user", "server_time", "name", "id", "power_state", "host", "guest_heartbeat", "note",
        "connection_state", "alarm", "alarm_id", "entity", "entity_id", "entity_type", "status", "time",
        "acknowledged_by", "acknowledged_time", "label", "type", "mac", "mac_type", "network", "network_id",
        "network_kind", "ip_addresses", "ip", "problem", "vm", "port", "switch_uuid", "warnings", "mode", "file",
        "datastore", "controller", "controller_type", "backing", "uuid", "sharing", "parents", "snapshots",
        "previous_datastore", "new_controller", "path", "created", "state", "state_when_taken", "vm_id", "deleted", "kind", "protocol",
        "direction", "connection", "service_uri", "proxy_uri", "switch", "switch_id", "opaque_id", "opaque_type",
        "ranges", "newest", "cluster", "shares_level", "model", "maintenance_mode", "url", "access_mode",
        "inaccessible_reason", "install_type", "upgrade_policy", "guest_state", "heartbeat", "running_status",
        "version_status", "old_name", "completed", "fault", "operation", "outcome", "queued", "result", "task", "tool",
        "cpu_shares_level", "memory_shares_level", "fault_tolerance", "managed_by", "boot_time", "hardware_version", "firmware", "guest_id", "datastores",
        "vmx_path", "networks", "setting", "drive", "iso", "previous_iso", "error.code", "error.message",
        "next_cursor", "cut",
        // Of what could not be read: the property, the right that is missing, and the server's reason.
        "property", "privilege", "reason", "what", "why", "waits_for",
        // Files, packages and guests: paths, numbers and times in text, and what the server itself asks.
        "action", "from", "to", "checksum", "encoding", "saved_to", "sheet", "descriptor", "manifest", "compression", "modified",
        "owner", "permissions", "friendly_name", "started", "ended", "deployment_option", "vapp", "key", "question", "text",
        // Hosts, clusters, moves and tags: keys, addresses, versions and names that administrators give, and what the caller gave.
        "other_actions", "prerequisites", "replaced", "tag", "error.fault", "current_time", "following",
        "last_synchronized", "ntp_servers", "previous_servers", "service_policy", "time_zone", "new_groups",
        "other_group", "vm_group", "groups", "rule", "error", "kept_because", "vms_were", "automation", "evc",
        "isolation_response", "policy", "restart_priority", "vm_monitoring", "faults", "address", "bios_released",
        "bios_version", "cpu_model", "device", "driver", "pci", "power_policy", "serial_number", "vendor", "booted",
        "evc_mode", "highest_evc_mode", "lockdown_mode", "management_ip", "vcenter_ip", "distributed_switch",
        "dns_servers", "gateway", "host_name", "ipv6_gateway", "netmask", "opaque_switches", "origin",
        "physical_nics", "port_group", "search_domains", "services", "stack", "firewall_rules", "tags", "changed",
        "resource_pool", "mac_addresses", "tools_status", "tools_version_status", "os", "associable_types", "cardinality", "category", "about", "datacenter", "explanation", "folder", "pool",
        "provisioning", "severity", "previous_policy", "attribute", "value",
        // Investigations: counters and their units and times, shares, the device or datastore that a figure is of, and where a deed is on record.
        "counter", "unit", "peak_time", "until", "cpu_shares", "memory_shares", "of", "part", "record", "timeline_tool",
        // The API: names and types of its own, and the reference of an object. What it answers is marked whole.
        "object", "access", "example", "extended_by", "extends", "fields", "methods", "parameters", "values", "signature",
        // Findings: names of adapters, of sensors and of what the server counts, dates, and what the server calls a user's deed.
        "adapters", "down", "up", "expires", "licence", "servers", "since",
        // Columns of lists: versions, words of the API, VLANs, and names of VMs and hosts.
        "drs_automation", "hosts", "release", "vlan", "vmfs_version", "vms",
    ];

    #[test]
    fn each_text_is_marked_as_untrusted_or_known_to_be_none() {
        let mut unknown = std::collections::BTreeSet::new();
        let mut marked = std::collections::BTreeSet::new();
        for tool in crate::tools::all() {
            // A picture has no text.
            let Some(output) = tool.output() else { continue };
            let schema = Value::Object(schema(output, false, false).unwrap());
            texts(&schema, "", &mut |field, is_marked| {
                if is_marked {
                    marked.insert(field.to_owned());
                } else if !PLAIN.contains(&field) {
                    unknown.insert(format!("{}: {field}", tool.name));
                }
            });
        }
        assert!(unknown.is_empty(), "{unknown:#?}");
        for field in ["annotation", "description", "message", "guest_os", "guest_host_name"] {
            assert!(marked.contains(field), "{field} is not marked: {marked:?}");
        }
    }

    /// Each text of a schema, by the name of its field.
    fn texts(schema: &Value, field: &str, found: &mut impl FnMut(&str, bool)) {
        if schema.pointer("/properties/untrusted").is_some() {
            return found(field, true);
        }
        let is_text =
            |kind: &Value| kind == "string" || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("string")));
        if schema.get("enum").is_none() && schema.get("type").is_some_and(is_text) {
            found(field, false);
        }
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            // The sentences of an error are our own, and quote what they name.
            let name = if field == "error" { &format!("error.{name}") } else { name };
            texts(schema, name, found);
        }
        schema.get("items").into_iter().for_each(|items| texts(items, field, found));
        for choices in ["anyOf", "oneOf", "allOf"] {
            let choices = schema.get(choices).and_then(Value::as_array);
            choices.into_iter().flatten().for_each(|choice| texts(choice, field, found));
        }
    }

    #[test]
    fn every_tool_says_what_it_answers() {
        let tools = crate::tools::all();
        assert!(tools.len() >= 50, "{}", tools.len());
        for tool in tools {
            let Some(schema) = tool.output() else {
                assert_eq!(tool.name, "vm_screenshot", "only a picture has no output schema");
                continue;
            };
            assert!(schema["properties"].as_object().is_some_and(|fields| !fields.is_empty()), "{}", tool.name);
        }
    }
}
