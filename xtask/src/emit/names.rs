//! The API's own names, in Rust case.

/// A Rust type name: the wire's, with the first letter in upper case.
pub(super) fn type_name(wire: &str) -> String {
    let mut name = wire.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
}

/// A Rust field, parameter or method name. Where it is a keyword, an underscore follows.
pub(super) fn snake(wire: &str) -> String {
    let name = words(wire).join("_");
    match name.as_str() {
        "type" | "self" | "use" | "match" | "move" | "ref" | "in" | "loop" | "static" | "final" | "override"
        | "mod" | "where" | "box" | "default" | "async" | "await" | "dyn" | "enum" | "fn" | "for" | "if" | "impl"
        | "let" | "mut" | "pub" | "return" | "struct" | "super" | "trait" | "true" | "false" | "unsafe" | "while"
        | "yield" | "abstract" | "become" | "do" | "macro" | "priv" | "try" | "typeof" | "unsized" | "virtual"
        | "as" | "break" | "const" | "continue" | "crate" | "else" | "extern" | "gen" => name + "_",
        // Every type that inherits has a field of this name.
        "base" => name + "_",
        _ => name,
    }
}

/// A Rust constant name.
pub(super) fn constant(wire: &str) -> String {
    words(wire).join("_").to_ascii_uppercase()
}

/// A Rust module name.
pub(super) fn module(wire: &str) -> String {
    snake(wire)
}

/// A Rust enum variant for a value. Values are free text: what can't stand in a name becomes a word boundary.
pub(super) fn variant(value: &str) -> String {
    let mut name: String =
        value.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).map(type_name).collect();
    if name.is_empty() {
        name.push_str("Empty");
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, 'N');
    }
    if name == "Self" {
        name.push('_');
    }
    name
}

/// The words of a camel-case name, in lower case. A run of capitals is one word, up to the capital that starts the next
/// (`numCPU` → num cpu, `VMotionNic` → v motion nic, `ipV6Config` → ip v6 config); a plural `s` stays with its
/// acronym (`numCPUs` → num cpus).
fn words(wire: &str) -> Vec<String> {
    let chars: Vec<char> = wire.chars().collect();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for (at, &c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at)).copied();
        let next = chars.get(at + 1).copied();
        let boundary = match before {
            None => false,
            Some(before) if !before.is_ascii_alphanumeric() => true,
            Some(before) if c.is_ascii_uppercase() => {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || next.is_some_and(|n| n.is_ascii_lowercase() && !plural(&chars, at + 1))
            }
            Some(_) => false,
        };
        if boundary && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Whether the `s` at this position ends a word of capitals.
fn plural(chars: &[char], at: usize) -> bool {
    chars.get(at) == Some(&'s') && chars.get(at + 1).is_none_or(|next| !next.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_in_snake_case() {
        for (wire, rust) in [
            ("name", "name"),
            ("numCPU", "num_cpu"),
            ("numCPUs", "num_cpus"),
            ("memoryMB", "memory_mb"),
            ("capacityInKB", "capacity_in_kb"),
            ("vAppConfig", "v_app_config"),
            ("type", "type_"),
            ("ipV6Config", "ip_v6_config"),
            ("PowerOnVM_Task", "power_on_vm_task"),
            ("QueryVMotionCompatibility", "query_v_motion_compatibility"),
            ("FetchDVPorts", "fetch_dv_ports"),
            ("retrieveVStorageInfrastructureObjectPolicy", "retrieve_v_storage_infrastructure_object_policy"),
            ("iSCSI", "i_scsi"),
            ("hostMaxVirtualDiskCapacity", "host_max_virtual_disk_capacity"),
        ] {
            assert_eq!(snake(wire), rust, "{wire}");
        }
    }

    #[test]
    fn values_become_variants() {
        for (wire, rust) in
            [("poweredOn", "PoweredOn"), ("5.0", "N50"), ("vmxnet-3", "Vmxnet3"), ("self", "Self_"), ("", "Empty")]
        {
            assert_eq!(variant(wire), rust, "{wire}");
        }
    }
}
