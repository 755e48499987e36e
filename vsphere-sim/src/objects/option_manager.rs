//! Settings by name: those of vCenter itself, and the advanced options of a host, which are asked in the same way.

use std::collections::BTreeMap;

use vsphere_model::managed;
use vsphere_model::types::{
    Any, BoolOption, ChoiceOption, ElementDescription, InvalidName, LongOption, OptionDef, OptionType, OptionValue,
    Poly, StringOption,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::host;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::model::ServerKind;
use crate::world::{Look, Managed, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("OptionManager", "QueryOptions", Handler::Read(query)),
    ("OptionManager", "UpdateOptions", Handler::Write(update)),
];

/// An option that is always there.
pub(super) struct Definition {
    pub(super) key: &'static str,
    pub(super) label: &'static str,
    pub(super) kind: Kind,
}

/// The values that an option takes, the default among them.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Least, most and default.
    Number(i64, i64, i64),
    Switch(bool),
    Text(&'static str),
    /// The first is the default.
    Choice(&'static [&'static str]),
}

impl Kind {
    fn default_value(self) -> Any {
        match self {
            Self::Number(_, _, value) => value.into(),
            Self::Switch(value) => value.into(),
            Self::Text(value) => value.into(),
            Self::Choice(values) => values.first().copied().unwrap_or_default().into(),
        }
    }

    /// The value as the option keeps it: clients send numbers of any width, and text for all.
    fn accept(self, value: &Any) -> Option<Any> {
        let text = value.as_str();
        match self {
            Self::Number(least, most, _) => {
                let number = match value {
                    Any::Short(number) => i64::from(*number),
                    Any::Int(number) => i64::from(*number),
                    Any::Long(number) => *number,
                    _ => text?.trim().parse().ok()?,
                };
                (least..=most).contains(&number).then(|| number.into())
            }
            Self::Switch(_) => match value {
                Any::Boolean(on) => Some((*on).into()),
                _ => text?.parse::<bool>().ok().map(Any::from),
            },
            Self::Text(_) => text.map(Any::from),
            Self::Choice(values) => text.filter(|text| values.contains(text)).map(Any::from),
        }
    }

    fn describe(self) -> Poly<OptionType> {
        let base = OptionType { value_is_readonly: Some(false) };
        match self {
            Self::Number(min, max, default_value) => Poly::new(LongOption { base, min, max, default_value }),
            Self::Switch(default_value) => Poly::new(BoolOption { base, supported: true, default_value }),
            Self::Text(default) => {
                Poly::new(StringOption { base, default_value: default.to_owned(), ..Default::default() })
            }
            Self::Choice(values) => {
                let describe = |value: &&str| Poly::new(element(value, value));
                Poly::new(ChoiceOption {
                    choice_info: values.iter().map(describe).collect(),
                    base,
                    default_index: Some(0),
                })
            }
        }
    }
}

fn element(key: &str, label: &str) -> ElementDescription {
    let mut element = ElementDescription { key: key.to_owned(), ..Default::default() };
    element.label = label.to_owned();
    element.summary = label.to_owned();
    element
}

/// Options: which there are, and the values of those that are not as by default.
#[derive(Clone, Copy)]
pub(super) struct Options<'a> {
    pub(super) defined: &'static [Definition],
    pub(super) changed: &'a BTreeMap<String, Any>,
}

impl Options<'_> {
    pub(super) fn values(&self) -> Vec<Poly<OptionValue>> {
        let defaults = self.defined.iter().map(|option| (option.key.to_owned(), option.kind.default_value()));
        let mut values: BTreeMap<String, Any> = defaults.collect();
        values.extend(self.changed.clone());
        let value = |(key, value)| Poly::new(OptionValue { key, value: Some(value) });
        values.into_iter().map(value).collect()
    }

    /// The option of this name, or all whose names begin so.
    ///
    /// # Errors
    /// `InvalidName` where there is none.
    fn named(&self, name: Option<&str>) -> Outcome<Vec<Poly<OptionValue>>> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(self.values()) };
        let branch = format!("{}.", name.trim_end_matches('.'));
        let mut values = self.values();
        let exact = values.iter().any(|option| option.key == name);
        values.retain(|option| if exact { option.key == name } else { option.key.starts_with(&branch) });
        if values.is_empty() { Err(no_option(name)) } else { Ok(values) }
    }
}

fn no_option(name: &str) -> Fault {
    Fault::new(InvalidName { name: name.to_owned(), ..Default::default() }, format!("There is no option '{name}'."))
}

pub(super) fn describe(defined: &[Definition]) -> Vec<OptionDef> {
    let describe = |option: &Definition| OptionDef {
        base: element(option.key, option.label),
        option_type: option.kind.describe(),
    };
    defined.iter().map(describe).collect()
}

/// The changed values as the options keep them, by name. `open` says whether a name that is not defined makes a new one.
///
/// # Errors
/// `InvalidName` and `InvalidArgument`; then nothing is to be changed.
fn check(defined: &[Definition], open: bool, changed: &[Poly<OptionValue>]) -> Outcome<Vec<(String, Any)>> {
    let check = |option: &Poly<OptionValue>| {
        let value = option.value.clone().unwrap_or_default();
        let value = match defined.iter().find(|definition| definition.key == option.key) {
            Some(definition) => {
                definition.kind.accept(&value).ok_or_else(|| Fault::invalid_argument("changedValue"))?
            }
            None if open && option.key.contains('.') => value,
            None => return Err(no_option(&option.key)),
        };
        Ok((option.key.clone(), value))
    };
    changed.iter().map(check).collect()
}

fn query(world: &World, call: &Call) -> Outcome<Reply> {
    let name: Option<String> = call.opt("name")?;
    let options = match world.get::<Settings>(&call.target) {
        Ok(settings) => settings.options(),
        Err(_) => host::options_of(world, call)?,
    };
    options.named(name.as_deref()).map(Reply::list)
}

fn update(world: &mut World, call: &Call) -> Outcome<Reply> {
    let changed: Vec<Poly<OptionValue>> = call.arg("changedValue")?;
    let (kept, values) = match world.get::<Settings>(&call.target) {
        Ok(_) => {
            let values = check(DEFINED, true, &changed)?;
            (&mut world.edit::<Settings>(&call.target)?.changed, values)
        }
        Err(_) => {
            let values = check(host::options_of(world, call)?.defined, false, &changed)?;
            (host::edit_options_of(world, call)?, values)
        }
    };
    for (key, value) in values {
        if value == Any::Unset {
            kept.remove(&key);
        } else {
            kept.insert(key, value);
        }
    }
    Ok(Reply::NONE)
}

/// The managed object `OptionManager` of vCenter itself.
pub(super) struct Settings {
    changed: BTreeMap<String, Any>,
}

impl Settings {
    fn options(&self) -> Options<'_> {
        Options { defined: DEFINED, changed: &self.changed }
    }
}

impl Managed for Settings {
    fn info(&self) -> &'static ManagedInfo {
        managed::OptionManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "setting" => Prop::made_list(self.options().values()),
            "supportedOption" => Prop::made_list(describe(DEFINED)),
            _ => Prop::UNSET,
        }
    }
}

pub(super) fn install(world: &mut World) {
    let mut changed = BTreeMap::new();
    if let Some(uuid) = &world.content.about.instance_uuid {
        changed.insert("instance.uuid".to_owned(), uuid.as_str().into());
    }
    let id = match world.settings.kind {
        ServerKind::VCenter => "VpxSettings",
        ServerKind::Esxi => "HostAgentSettings",
    };
    world.content.setting = Some(world.add_as(id, Settings { changed }));
}

const fn option(key: &'static str, label: &'static str, kind: Kind) -> Definition {
    Definition { key, label, kind }
}

/// Settings that administrators of a vCenter know.
const DEFINED: &[Definition] = &[
    option("VirtualCenter.FQDN", "Name of this vCenter", Kind::Text("vcenter.example.com")),
    option("VirtualCenter.InstanceName", "Name of this instance", Kind::Text("vcenter.example.com")),
    option("VirtualCenter.MaxDBConnection", "Connections to the database", Kind::Number(10, 128, 50)),
    option("VirtualCenter.ManagedIP", "Address by which hosts reach vCenter", Kind::Text("")),
    option("VirtualCenter.VimApiUrl", "URL of the API", Kind::Text("https://vcenter.example.com:443/sdk")),
    option("VirtualCenter.VimPasswordExpirationInDays", "Days until vpxuser's password", Kind::Number(0, 999, 30)),
    option("WebService.Ports.http", "HTTP port", Kind::Number(1, 65535, 80)),
    option("WebService.Ports.https", "HTTPS port", Kind::Number(1, 65535, 443)),
    option("alarms.version", "Version of the default alarms", Kind::Number(0, 1000, 65)),
    option("client.timeout.normal", "Seconds for a normal call", Kind::Number(1, 3600, 30)),
    option("client.timeout.long", "Seconds for a long call", Kind::Number(1, 3600, 120)),
    option(
        "config.log.level",
        "Level of the log",
        Kind::Choice(&["info", "none", "error", "warning", "verbose", "trivia"]),
    ),
    option("config.vmacore.ssl.protocols", "TLS versions", Kind::Text("tls1.2 tls1.3")),
    option("config.vpxd.das.slotCpuMinMHz", "Smallest slot of HA for CPU", Kind::Number(0, 100_000, 32)),
    option("config.vpxd.filter.hostRescanFilter", "Rescan hosts of a new datastore", Kind::Switch(true)),
    option("config.vpxd.maxQueryMetrics", "Counters in a performance query", Kind::Number(-1, 100_000, 256)),
    option("config.vpxd.stats.maxQueryMetrics", "Counters in a statistics query", Kind::Number(-1, 100_000, 256)),
    option("event.batchsize", "Events written at once", Kind::Number(1, 10_000, 1000)),
    option("event.maxAge", "Days that events are kept", Kind::Number(1, 3650, 30)),
    option("event.maxAgeEnabled", "Whether old events are deleted", Kind::Switch(true)),
    option("instance.id", "Number of this instance", Kind::Number(0, 63, 17)),
    option("mail.sender", "Sender of mail", Kind::Text("")),
    option("mail.smtp.port", "Port of the mail server", Kind::Number(1, 65535, 25)),
    option("mail.smtp.server", "Mail server", Kind::Text("")),
    option("snmp.receiver.1.enabled", "Whether traps are sent", Kind::Switch(true)),
    option("snmp.receiver.1.name", "Receiver of traps", Kind::Text("localhost")),
    option("snmp.receiver.1.port", "Port for traps", Kind::Number(1, 65535, 162)),
    option("task.maxAge", "Days that tasks are kept", Kind::Number(1, 3650, 30)),
    option("task.maxAgeEnabled", "Whether old tasks are deleted", Kind::Switch(true)),
    option("vpxd.certmgmt.mode", "Who issues certificates of hosts", Kind::Choice(&["vmca", "custom", "thumbprint"])),
    option("vpxd.certmgmt.certs.daysValid", "Days that a certificate is valid", Kind::Number(1, 3650, 1825)),
    option("vpxd.event.syslog.enabled", "Whether events go to syslog", Kind::Switch(true)),
    option("vpxd.httpClientIdleTimeout", "Minutes that a connection may idle", Kind::Number(0, 100_000, 900)),
];
