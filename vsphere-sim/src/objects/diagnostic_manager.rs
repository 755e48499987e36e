//! The diagnostic manager: the logs of the server and of its hosts, and the manager of other services.

use vsphere_model::managed;
use vsphere_model::types::{
    Description, DiagnosticManagerLogDescriptor, DiagnosticManagerLogHeader, Poly, ServiceManagerServiceInfo,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _, format_date_time};

use super::host::Host;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("DiagnosticManager", "QueryDescriptions", Handler::Read(descriptions)),
    ("DiagnosticManager", "BrowseDiagnosticLog", Handler::Read(browse)),
    ("ServiceManager", "QueryServiceList", Handler::Read(services)),
];

/// The managed object `DiagnosticManager`.
struct DiagnosticManager;

impl Managed for DiagnosticManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::DiagnosticManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, _: &str) -> Prop<'a> {
        Prop::UNSET
    }
}

/// The managed object `ServiceManager`. It knows of none beside the server itself.
struct ServiceManager;

impl Managed for ServiceManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::ServiceManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, _: &str) -> Prop<'a> {
        Prop::UNSET
    }
}

pub(super) fn install(world: &mut World) {
    world.content.diagnostic_manager = Some(world.add_as("DiagMgr", DiagnosticManager));
    world.content.service_manager = Some(world.add_as("ServiceMgr", ServiceManager));
}

/// The key, the file and the description of a log.
type Log = (&'static str, &'static str, &'static str);

const OF_SERVER: &[Log] = &[("vpxd:vpxd.log", "/var/log/vmware/vpxd/vpxd.log", "Server log as plain text")];
const OF_HOST: &[Log] = &[
    ("hostd", "/var/log/hostd.log", "Server log as plain text"),
    ("vmkernel", "/var/log/vmkernel.log", "Kernel log as plain text"),
    ("vpxa", "/var/log/vpxa.log", "Agent log as plain text"),
];

/// The host that the call is about, where it is not about the server itself, and its logs.
fn logs(world: &World, call: &Call) -> Outcome<(Option<Moref>, &'static [Log])> {
    let host: Option<Moref> = call.opt("host")?;
    let Some(host) = host else { return Ok((None, OF_SERVER)) };
    world.demand(call, &host, "Global.Diagnostics")?;
    world.get::<Host>(&host)?;
    Ok((Some(host), OF_HOST))
}

fn descriptions(world: &World, call: &Call) -> Outcome<Reply> {
    let (_, logs) = logs(world, call)?;
    let describe = |(key, file, label): &(&str, &str, &str)| DiagnosticManagerLogDescriptor {
        key: (*key).to_owned(),
        file_name: (*file).to_owned(),
        creator: key.split(':').next().unwrap_or(key).to_owned(),
        format: "plain".to_owned(),
        mime_type: "text/plain".to_owned(),
        info: Poly::new(Description { label: (*label).to_owned(), summary: (*label).to_owned() }),
    };
    Ok(Reply::list(logs.iter().map(describe).collect()))
}

/// The lines from `start` on, which counts from one. What happened, as the events have it, is what the logs have to tell.
fn browse(world: &World, call: &Call) -> Outcome<Reply> {
    const MOST: usize = 1000;
    let (host, logs) = logs(world, call)?;
    let key: String = call.arg("key")?;
    if !logs.iter().any(|(known, _, _)| *known == key) {
        return Err(Fault::invalid_argument("key"));
    }
    let number = |value: Option<i32>, name: &str| match value {
        None => Ok(None),
        Some(value) => usize::try_from(value).map(Some).map_err(|_| Fault::invalid_argument(name)),
    };
    let start = number(call.opt("start")?, "start")?.unwrap_or(1).max(1);
    let most = number(call.opt("lines")?, "lines")?.unwrap_or(MOST).min(MOST);
    let events = world.events.kept.iter().filter(|recorded| host.as_ref().is_none_or(|host| recorded.is_within(host)));
    let lines: Vec<String> = events
        .map(|recorded| {
            let event = &recorded.event;
            let message = event.full_formatted_message.as_deref().unwrap_or_default();
            let time = format_date_time(&event.created_time);
            format!("{time} info {key}[{:05}] [{}] {message}", event.chain_id, event.type_name())
        })
        .collect();
    let first = (start - 1).min(lines.len());
    let page = lines.get(first..(first + most).min(lines.len())).unwrap_or_default().to_vec();
    let line = |index: usize| i32::try_from(index).unwrap_or(i32::MAX);
    Ok(Reply::of(DiagnosticManagerLogHeader {
        line_start: line(first + 1),
        line_end: line(first + page.len()),
        line_text: page,
    }))
}

fn services(_: &World, _: &Call) -> Outcome<Reply> {
    Ok(Reply::list(Vec::<ServiceManagerServiceInfo>::new()))
}
