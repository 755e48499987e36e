//! What all managed entities have: a name, a place in the inventory, a status.

use vsphere_model::types::{AlarmState, CustomFieldValue, ManagedEntityStatus, ManagedObjectReference, Poly, Tag};

use super::{Look, Prop};

/// The part of a managed entity that all kinds share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entity {
    /// As the API gives it: `/`, `\` and `%` are escaped as `%2f`, `%5c` and `%25`.
    pub(crate) name: String,
    pub(crate) parent: Option<ManagedObjectReference>,
    pub(crate) status: Status,
    /// The last tasks about it, newest last; the server keeps a handful.
    pub(crate) recent_tasks: Vec<ManagedObjectReference>,
    pub(crate) custom_values: Vec<Poly<CustomFieldValue>>,
    /// Its own; see [`World::triggered_alarms`](super::World::triggered_alarms).
    pub(crate) triggered_alarms: Vec<AlarmState>,
    /// Whether alarms on it do nothing but show.
    pub(crate) alarms_silent: bool,
    pub(crate) tags: Vec<Tag>,
}

/// The health that the server shows beside a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    #[default]
    Green,
    Yellow,
    Red,
}

impl From<Status> for ManagedEntityStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Green => Self::Green,
            Status::Yellow => Self::Yellow,
            Status::Red => Self::Red,
        }
    }
}

impl From<&ManagedEntityStatus> for Status {
    fn from(status: &ManagedEntityStatus) -> Self {
        match status {
            ManagedEntityStatus::Red => Self::Red,
            ManagedEntityStatus::Yellow => Self::Yellow,
            _ => Self::Green,
        }
    }
}

impl Status {
    /// As it stands on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        }
    }

    /// As people read it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Green => "Green",
            Self::Yellow => "Yellow",
            Self::Red => "Red",
        }
    }
}

impl Entity {
    pub(crate) fn new(name: &str, parent: Option<&ManagedObjectReference>) -> Self {
        Self { name: escaped(name), parent: parent.cloned(), ..Self::default() }
    }

    /// The properties that all entities have. A kind of entity answers its own first, and asks here for the rest.
    pub(crate) fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "name" => Prop::kept(&self.name),
            "parent" => Prop::kept_optional(&self.parent),
            "overallStatus" => Prop::made(ManagedEntityStatus::from(self.status)),
            "configStatus" => Prop::made(ManagedEntityStatus::Green),
            "recentTask" => Prop::list(&self.recent_tasks),
            "customValue" | "value" => Prop::list(&self.custom_values),
            "permission" => Prop::made_list(look.world.rights.on(look.me).to_vec()),
            "triggeredAlarmState" => Prop::made_list(look.world.triggered_alarms(look.me)),
            "declaredAlarmState" => Prop::made_list(look.world.declared_alarms(look.me)),
            "availableField" => Prop::made_list(look.world.available_fields(look.me)),
            "tag" => Prop::list(&self.tags),
            "alarmActionsEnabled" => Prop::made(!self.alarms_silent),
            "effectiveRole" => Prop::made_list(look.world.effective_roles(look.me, look.session)),
            "disabledMethod" => Prop::made_list(Vec::<String>::new()),
            "configIssue" => Prop::made_list(Vec::<Poly<vsphere_model::types::Event>>::new()),
            _ => Prop::UNSET,
        }
    }
}

/// The name as the server keeps it: three characters are written in percent codes, unless they already are.
pub(crate) fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find(['/', '\\', '%']) {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let code = match found.as_bytes() {
            [b'/', ..] => "%2f",
            [b'\\', ..] => "%5c",
            [b'%', a, b, ..] if is_code(*a, *b) => "%",
            _ => "%25",
        };
        out.push_str(code);
        rest = &found[1..];
    }
    out.push_str(rest);
    out
}

/// Whether the two characters after a `%` are one of the three codes.
fn is_code(high: u8, low: u8) -> bool {
    matches!([high, low.to_ascii_lowercase()], [b'2', b'f'] | [b'5', b'c'] | [b'2', b'5'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_12_names_are_kept_with_percent_codes() {
        assert_eq!(escaped("a/b\\c%d"), "a%2fb%5cc%25d");
        assert_eq!(escaped("a%2fb%25"), "a%2fb%25");
        assert_eq!(escaped("50%"), "50%25");
    }
}
