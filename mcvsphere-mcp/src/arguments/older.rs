//! The names that arguments had in earlier releases, and that calls may still use.

use serde_json::{Map, Value};

/// A present name and its older ones, which mcvsphere 0.2.3 had in `src/mcvsphere/mixins`. `tests/older-names/0.2.3.txt` lists
/// what its tools took.
const OLDER: &[(&str, &[&str])] = &[
    ("vm", &["name", "vm_name"]),
    ("template", &["template_name"]),
    ("new_name", &["new_vm_name"]),
    ("snapshot", &["snapshot_name"]),
    ("disk", &["disk_label"]),
    ("nic", &["nic_label"]),
    ("network", &["new_network"]),
    ("host", &["host_name"]),
    ("cluster", &["cluster_name"]),
    ("pool", &["resource_pool"]),
    ("name", &["folder_name"]),
    ("parent", &["parent_path"]),
    ("folder", &["folder_path"]),
    ("thin", &["thin_provisioned"]),
    ("provisioning", &["thin_provision"]),
    ("count", &["max_count"]),
    ("hours", &["hours_back"]),
    ("entity", &["entity_name"]),
    ("source", &["ovf_path"]),
    ("target", &["target_path"]),
    ("path", &["remote_path"]),
    ("service", &["service_key"]),
    ("evacuate_powered_off", &["evacuate_vms"]),
];

/// Where `name` meant something else than a virtual machine.
const NAME: &[(&str, &str)] =
    &[("get_datastore_info", "datastore"), ("get_network_info", "network"), ("get_resource_pool_info", "pool")];

/// The present name of the argument that an earlier release called `older` in this tool.
pub(crate) fn present_name(tool: &str, older: &str, properties: &Map<String, Value>) -> Option<&'static str> {
    if older == "name"
        && let Some((_, present)) = NAME.iter().find(|(of, _)| *of == tool)
    {
        return Some(present);
    }
    let fits = |present: &str, names: &[&str]| names.contains(&older) && properties.contains_key(present);
    OLDER.iter().find(|(present, names)| fits(present, names)).map(|(present, _)| *present)
}

/// What the value of an argument by an older name says today. Whether disks are thin was all that could be said of how they are
/// stored.
pub(crate) fn present_value(older: &str, value: Value) -> Value {
    let is = |word: &str| value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(word));
    match older {
        "thin_provision" if value == true || is("true") => "thin".into(),
        "thin_provision" if value == false || is("false") => "thick".into(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_older_name_is_one_that_the_release_had() {
        let tools = include_str!("../../tests/older-names/0.2.3.txt").lines().filter(|line| !line.starts_with('#'));
        let took: BTreeSet<(&str, &str)> = tools
            .filter_map(|line| line.split_once(' '))
            .flat_map(|(tool, arguments)| arguments.split(' ').map(move |argument| (tool, argument)))
            .collect();
        for (present, older) in OLDER.iter().flat_map(|(present, all)| all.iter().map(move |older| (present, older))) {
            assert!(took.iter().any(|(_, argument)| argument == older), "{older}, for {present}");
        }
        for (tool, _) in NAME {
            assert!(took.contains(&(tool, "name")), "{tool}");
        }
    }
}
