//! What an event says that was changed.
//!
//! Since 6.5 an event of a reconfiguration has three texts that list what was modified, added and deleted, in a notation of
//! the server: `config.hardware.memoryMB: 1024 -> 2048;`. Values may be texts in quotes and structures in brackets, in which
//! all that parts a list may occur. Servers before that only tell what was asked for.

use std::fmt;

use serde::{Serialize as _, Serializer};
use vsphere_model::types::{
    Event, Poly, VirtualDeviceConfigSpec, VirtualDeviceConfigSpecOperation, VirtualMachineConfigSpec,
    VmReconfiguredEvent,
};
use vsphere_soap::object::{DataObject, DataType as _, Value};

use crate::device::label;
use crate::untrusted::Untrusted;

/// How many changes of an event a report shows, and how many characters of a value.
const MOST_SHOWN: usize = 20;
const MOST_OF_A_VALUE: usize = 80;

/// What the server changes with every change.
const BOOKKEEPING: [&str; 3] = ["config.changeVersion", "config.modified", "changeVersion"];

/// What became of a part of a configuration.
///
/// ```
/// use vsphere_ops::events::{ChangeKind, ConfigChange};
///
/// fn is_told(changes: &[ConfigChange]) -> bool {
///     changes.iter().all(|change| change.kind != ChangeKind::Requested)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It has another value.
    Modified,
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// It was asked for: the server, which is older than 6.5, does not tell what was before.
    Requested,
}

/// A change of the configuration of a VM, or of something else.
///
/// ```
/// use vsphere_ops::events::{ChangeKind, ConfigChange};
///
/// let change = ConfigChange {
///     kind: ChangeKind::Modified,
///     property: "config.hardware.memoryMB".into(),
///     from: Some("1024".into()),
///     to: Some("2048".into()),
/// };
/// assert_eq!(change.to_string(), "hardware.memoryMB: 1024 -> 2048");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// What became of it.
    pub kind: ChangeKind,
    /// Its path (`config.hardware.memoryMB`, `config.extraConfig("guestinfo.x")`). Keys in it may be what people wrote.
    pub property: Untrusted,
    /// What it was, as the server writes it.
    pub from: Option<Untrusted>,
    /// What it is, as the server writes it.
    pub to: Option<Untrusted>,
}

/// What an event of a reconfiguration says that was changed, of a VM (`VmReconfiguredEvent`), a cluster, a pool, a switch or
/// whatever has such events, without what the server changes each time, such as the change version. Nothing of other events.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::events::changes_of;
///
/// for event in client.events().types(["VmReconfiguredEvent"]).latest(20).await? {
///     for change in changes_of(&event) {
///         println!("{} {change}", event.user_name);
///     }
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub fn changes_of(event: &Poly<Event>) -> Vec<ConfigChange> {
    let data = event.as_object().data();
    let changes = data.info().index_of("configChanges").map(|index| data.get(index));
    let mut changes = match (changes, event.downcast_ref::<VmReconfiguredEvent>()) {
        (Some(Value::Data(changes)), _) => told(changes),
        (_, Some(event)) => requested(&event.config_spec),
        _ => Vec::new(),
    };
    changes.retain(|change| !BOOKKEEPING.contains(&change.property.as_str()));
    changes
}

/// Writes changes as one text, and nothing of them as trusted.
pub(crate) fn shown<S: Serializer>(changes: &[ConfigChange], to: S) -> Result<S::Ok, S::Error> {
    let mut text: Vec<String> = changes.iter().take(MOST_SHOWN).map(ToString::to_string).collect();
    let more = changes.len().saturating_sub(MOST_SHOWN);
    text.extend((more > 0).then(|| format!("and {more} more")));
    Untrusted::from(text.join("; ")).serialize(to)
}

impl fmt::Display for ConfigChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let property = Untrusted::from(self.property.strip_prefix("config.").unwrap_or(&self.property));
        let property = property.cut(MOST_OF_A_VALUE);
        let from = self.from.as_deref().map(brief);
        let to = self.to.as_deref().map(brief);
        match (self.kind, from, to) {
            (ChangeKind::Modified, Some(from), Some(to)) => write!(f, "{property}: {from} -> {to}"),
            (ChangeKind::Modified, _, Some(to)) => write!(f, "{property}: now {to}"),
            (ChangeKind::Modified, ..) => write!(f, "{property} modified"),
            (ChangeKind::Added, _, Some(to)) => write!(f, "{property} added: {to}"),
            (ChangeKind::Added, ..) => write!(f, "{property} added"),
            (ChangeKind::Deleted, Some(from), _) => write!(f, "{property} deleted: {from}"),
            (ChangeKind::Deleted, ..) => write!(f, "{property} deleted"),
            (ChangeKind::Requested, _, Some(to)) => write!(f, "requested {property}: {to}"),
            (ChangeKind::Requested, ..) => write!(f, "requested {property}"),
        }
    }
}

/// What was changed, out of the three texts of the server.
fn told(changes: &dyn DataObject) -> Vec<ConfigChange> {
    let of = |(kind, field): (ChangeKind, &str)| {
        let text = match changes.info().index_of(field).map(|index| changes.get(index)) {
            Some(Value::String(text)) => text,
            _ => "",
        };
        parts(text, ";").into_iter().filter_map(move |entry| change(kind, entry))
    };
    let kinds = [(ChangeKind::Modified, "modified"), (ChangeKind::Added, "added"), (ChangeKind::Deleted, "deleted")];
    kinds.into_iter().flat_map(of).collect()
}

/// One entry of a list: a path, and what it was and is where that is told.
fn change(kind: ChangeKind, entry: &str) -> Option<ConfigChange> {
    let mut entry = parts(entry, ": ").into_iter();
    let property = entry.next().map(|path| path.trim_end_matches(':').trim()).filter(|path| !path.is_empty())?;
    // A value may hold a colon outside of quotes, such as a path does.
    let value = entry.collect::<Vec<_>>().join(": ");
    let mut values = parts(&value, "->").into_iter();
    let (first, second) = (values.next(), values.next());
    let (from, to) = match kind {
        ChangeKind::Modified => match (first, second) {
            (Some(only), None) => (None, Some(only)),
            both => both,
        },
        ChangeKind::Deleted => (first, None),
        ChangeKind::Added | ChangeKind::Requested => (None, first),
    };
    let value = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(|text| unquoted(text).into());
    Some(ConfigChange { kind, property: property.into(), from: value(from), to: value(to) })
}

/// The parts of a text between separators that stand outside of quotes and brackets, without those that are empty. Where
/// a quote or a bracket is not closed, the last part reaches to the end.
fn parts<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let (mut found, mut begin, mut depth, mut quote, mut is_escaped) = (Vec::new(), 0, 0_u32, None, false);
    for (at, c) in text.char_indices() {
        if at < begin || std::mem::take(&mut is_escaped) {
            continue;
        }
        match (quote, c) {
            (Some(_), '\\') => is_escaped = true,
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, _) if depth == 0 && text.get(at..).is_some_and(|rest| rest.starts_with(separator)) => {
                found.push(text.get(begin..at).unwrap_or_default());
                begin = at + separator.len();
            }
            (None, _) => {}
        }
    }
    found.push(text.get(begin..).unwrap_or_default());
    found.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// A text without the quotes around it.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// A value as a report shows it: of a structure what people know it by.
fn brief(value: &str) -> String {
    if value.is_empty() {
        return "\"\"".to_owned();
    }
    let known = match value.strip_prefix('(').and_then(|fields| fields.strip_suffix(')')) {
        Some(fields) => {
            let named = ["label", "summary", "fileName", "value"].into_iter().filter_map(|name| field(fields, name));
            named.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
        }
        None => String::new(),
    };
    let text = if known.is_empty() { value.split_whitespace().collect::<Vec<_>>().join(" ") } else { known };
    Untrusted::from(text).cut(MOST_OF_A_VALUE).into_string()
}

/// The text of a field of a structure, or of one in it.
fn field<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
    parts(fields, ",").into_iter().find_map(|part| {
        let (key, value) = part.split_once('=')?;
        let value = value.trim();
        match value.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
            Some(inner) => field(inner, name),
            None => (key.trim() == name && value.starts_with('"')).then(|| unquoted(value)),
        }
    })
}

/// What a specification asks for: the values of plain fields, and what is to become of devices.
fn requested(spec: &VirtualMachineConfigSpec) -> Vec<ConfigChange> {
    let change = |property: &str, to: Option<String>| ConfigChange {
        kind: ChangeKind::Requested,
        property: property.into(),
        from: None,
        to: to.map(Untrusted::from),
    };
    let fields = VirtualMachineConfigSpec::INFO.fields().iter().enumerate();
    let plain = fields.filter(|(_, field)| field.name != "deviceChange").filter_map(|(index, field)| {
        let to = match spec.get(index) {
            value if value.is_unset() => return None,
            Value::String("") => return None,
            _ if field.secret => None,
            Value::String(text) | Value::Enum(_, text) => Some(text.to_owned()),
            Value::Boolean(value) => Some(value.to_string()),
            Value::Short(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Long(value) => Some(value.to_string()),
            _ => None,
        };
        Some(change(field.name, to))
    });
    let devices = spec.device_change.iter().map(|device| change("deviceChange", Some(device_change(device))));
    plain.chain(devices).collect()
}

/// What is to become of a device, which has a label only once it is there.
fn device_change(spec: &VirtualDeviceConfigSpec) -> String {
    let operation = match &spec.operation {
        Some(VirtualDeviceConfigSpecOperation::Add) => "add",
        Some(VirtualDeviceConfigSpecOperation::Remove) => "remove",
        Some(VirtualDeviceConfigSpecOperation::Edit) | None => "edit",
        Some(other) => other.as_str(),
    };
    match label(&spec.device) {
        label if label.is_empty() => format!("{operation} {} (key {})", spec.device.type_name(), spec.device.key),
        label => format!("{operation} {label}"),
    }
}

#[cfg(test)]
mod tests {
    use vsphere_model::types::{
        ChangesInfoEventArgument, ClusterReconfiguredEvent, Description, VirtualDevice, VirtualDisk, VmPoweredOnEvent,
    };

    use super::*;

    fn event(modified: &str, added: &str, deleted: &str) -> Vec<ConfigChange> {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let changes = ChangesInfoEventArgument { modified: text(modified), added: text(added), deleted: text(deleted) };
        let event = VmReconfiguredEvent { config_changes: Some(Box::new(changes)), ..Default::default() };
        changes_of(&Poly::new(event))
    }

    fn lines(changes: &[ConfigChange]) -> Vec<String> {
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn old_and_new_values_are_read_whatever_is_in_them() {
        let modified = "config.hardware.numCPU: 2 -> 4; \n\nconfig.changeVersion: \"2026-01-01T00:00:00Z\" -> \"b\"; \
                        config.hardware.device(1000).device: (2000) -> (2000, 2001);\n \
                        config.annotation: \"a; b -> \\\"c: d\" -> \"\"; config.extraConfig(\"a; b: (c\").value: \
                        \"x\" -> \"y\"; config.modified: \"1970\" -> \"2026\"; config.managedBy: <unset> -> \
                        (extensionKey = \"com.example\", type = \"vm\");";
        let changes = event(modified, "", "");
        let first = ConfigChange {
            kind: ChangeKind::Modified,
            property: "config.hardware.numCPU".into(),
            from: Some("2".into()),
            to: Some("4".into()),
        };
        assert_eq!(changes.first(), Some(&first));
        assert_eq!(
            lines(&changes),
            [
                "hardware.numCPU: 2 -> 4",
                "hardware.device(1000).device: (2000) -> (2000, 2001)",
                "annotation: a; b -> \\\"c: d -> \"\"",
                "extraConfig(\"a; b: (c\").value: x -> y",
                "managedBy: <unset> -> (extensionKey = \"com.example\", type = \"vm\")",
            ]
        );
    }

    #[test]
    fn devices_are_known_by_label_and_file() {
        let disk = "config.hardware.device(2001): (key = 2001, deviceInfo = (label = \"Hard disk 2\", summary = \
                    \"16,777,216 KB\"), backing = (fileName = \"[nvme] a/a_1.vmdk\", diskMode = \"persistent\", uuid = \
                    \"6000C29a; b\"), connectable = <unset>, capacityInKB = 16777216); \n\n";
        let option = "config.extraConfig(\"sched.swap\"): (key = \"sched.swap\", value = \"off\");";
        let changes = event("", &format!("{disk}{option}"), disk);
        assert_eq!(
            lines(&changes),
            [
                "hardware.device(2001) added: Hard disk 2, 16,777,216 KB, [nvme] a/a_1.vmdk",
                "extraConfig(\"sched.swap\") added: off",
                "hardware.device(2001) deleted: Hard disk 2, 16,777,216 KB, [nvme] a/a_1.vmdk",
            ]
        );
    }

    #[test]
    fn what_is_not_in_the_known_notation_is_kept_as_it_is() {
        assert_eq!(event("", "", ""), []);
        assert_eq!(
            lines(&event("config.annotation;", "config.hardware.device(4000)", " ; \n ;")),
            ["annotation modified", "hardware.device(4000) added",]
        );
        // A quote and a bracket that nobody closes.
        assert_eq!(
            lines(&event("config.name: \"a; config.b: 1 -> 2;", "", "config.c: (a; config.d: e")),
            ["name: now \"a; config.b: 1 -> 2;", "c deleted: (a; config.d: e",]
        );
        let long = event(&format!("config.annotation: \"{}\" -> \"\";", "é".repeat(300)), "", "");
        assert_eq!(lines(&long), [format!("annotation: {}… -> \"\"", "é".repeat(80))]);
    }

    #[test]
    fn other_reconfigurations_are_read_too() {
        let modified =
            Some("configurationEx.drsConfig.defaultVmBehavior: \"manual\" -> \"fullyAutomated\"; ".to_owned());
        let changes = ChangesInfoEventArgument { modified, ..Default::default() };
        let event = ClusterReconfiguredEvent { config_changes: Some(Box::new(changes)), ..Default::default() };
        assert_eq!(
            lines(&changes_of(&Poly::new(event))),
            ["configurationEx.drsConfig.defaultVmBehavior: manual -> fullyAutomated"]
        );
        assert_eq!(changes_of(&Poly::new(ClusterReconfiguredEvent::default())), []);
        assert_eq!(changes_of(&Poly::new(VmPoweredOnEvent::default())), []);
    }

    #[test]
    fn an_older_server_tells_what_was_asked_for() {
        let add = VirtualDeviceConfigSpec {
            operation: Some(VirtualDeviceConfigSpecOperation::Add),
            device: Poly::new(VirtualDisk {
                base: VirtualDevice { key: -1, ..Default::default() },
                ..Default::default()
            }),
            ..Default::default()
        };
        let info = Description { label: "CD/DVD drive 1".to_owned(), ..Default::default() };
        let edit = VirtualDeviceConfigSpec {
            operation: Some(VirtualDeviceConfigSpecOperation::Edit),
            device: Poly::new(VirtualDevice { device_info: Some(Poly::new(info)), ..Default::default() }),
            ..Default::default()
        };
        let spec = VirtualMachineConfigSpec {
            change_version: Some("7".to_owned()),
            num_cpus: Some(4),
            memory_mb: Some(8192),
            memory_hot_add_enabled: Some(true),
            cpu_allocation: Some(Box::default()),
            device_change: vec![Poly::new(add), Poly::new(edit)],
            ..Default::default()
        };
        let event = VmReconfiguredEvent { config_spec: spec, ..Default::default() };
        let changes = changes_of(&Poly::new(event));
        assert!(changes.iter().all(|change| change.kind == ChangeKind::Requested));
        let mut lines = lines(&changes);
        lines.sort();
        assert_eq!(
            lines,
            [
                "requested cpuAllocation",
                "requested deviceChange: add VirtualDisk (key -1)",
                "requested deviceChange: edit CD/DVD drive 1",
                "requested memoryHotAddEnabled: true",
                "requested memoryMB: 8192",
                "requested numCPUs: 4",
            ]
        );
    }
}
