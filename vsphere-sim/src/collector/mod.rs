//! The property collector: reads of any selection of objects and properties, and news of their changes.
//!
//! Each session has a default collector and can make more. A collector has filters; a filter is a selection and what the
//! client was last told of it.

mod filter;
mod read;
mod select;
mod updates;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use vsphere_model::managed;
use vsphere_model::types::{PropertyFilterSpec, RetrieveOptions};
use vsphere_soap::codec::Encoder;
use vsphere_soap::object::{Any, FieldInfo, ManagedInfo, ManagedType as _, Type, Value};
use vsphere_soap::request::{Effect, Method};

pub(crate) use filter::Filter;
use select::Spec;
use updates::Collector;

use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Moref, Prop, World};

/// The id of the collector that every session finds.
pub(crate) const DEFAULT: &str = "propertyCollector";

/// One property of one object. Servers answer it though no WSDL has it; pyVmomi 9 reads properties by it.
pub(crate) static FETCH: Method = Method {
    name: "Fetch",
    owner: "ManagedObject",
    params: &[FieldInfo::req("prop", Type::String)],
    result: Some(FieldInfo::opt("returnval", Type::Any)),
    // It is the object that counts.
    privilege: None,
    effect: Effect::Reads,
};

pub(crate) const METHODS: Methods = &[
    ("PropertyCollector", "CreateFilter", Handler::Write(create_filter)),
    ("PropertyCollector", "CreatePropertyCollector", Handler::Write(create_collector)),
    ("PropertyCollector", "DestroyPropertyCollector", Handler::Write(destroy_collector)),
    ("PropertyCollector", "RetrieveProperties", Handler::Read(retrieve)),
    ("PropertyCollector", "RetrievePropertiesEx", Handler::Read(retrieve_ex)),
    ("PropertyCollector", "ContinueRetrievePropertiesEx", Handler::Read(continue_retrieve)),
    ("PropertyCollector", "CancelRetrievePropertiesEx", Handler::Read(cancel_retrieve)),
    ("PropertyCollector", "CheckForUpdates", Handler::Wait(updates::check)),
    ("PropertyCollector", "WaitForUpdates", Handler::Wait(updates::wait)),
    ("PropertyCollector", "WaitForUpdatesEx", Handler::Wait(updates::wait_ex)),
    ("PropertyCollector", "CancelWaitForUpdates", Handler::Write(updates::cancel)),
    ("PropertyFilter", "DestroyPropertyFilter", Handler::Write(destroy_filter)),
    ("*", "Fetch", Handler::Read(fetch)),
];

/// The property collectors of a session.
#[derive(Default)]
pub(crate) struct SessionCollectors {
    by_id: HashMap<String, Collector>,
    /// What was not yet fetched of big answers, by token. Behind a lock of its own, because reads share the world.
    rests: Mutex<HashMap<String, Rest>>,
}

/// The rest of an answer that comes in pages.
struct Rest {
    parts: VecDeque<(Spec, VecDeque<Moref>)>,
    limit: usize,
}

impl SessionCollectors {
    /// The state of a collector; the default one is made when it is first asked for.
    fn get(&mut self, id: &str) -> &mut Collector {
        self.by_id.entry(id.to_owned()).or_default()
    }
}

/// A property collector that a session made, or the one that each has.
pub(crate) struct PropertyCollector;

impl Managed for PropertyCollector {
    fn info(&self) -> &'static ManagedInfo {
        managed::PropertyCollector::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        let collector = || look.session()?.collectors.by_id.get(&look.me.value);
        match property {
            "filter" => Prop::made_list(collector().map(|collector| collector.filters().to_vec()).unwrap_or_default()),
            _ => Prop::UNSET,
        }
    }
}

/// Whether a request asks for more than a server answers. It is looked at before anything is locked.
///
/// # Errors
/// `InvalidArgument`.
pub(crate) fn check_size(method: &Method, arguments: &[Any]) -> Outcome<()> {
    if method.owner != "PropertyCollector" {
        return Ok(());
    }
    let values = arguments.iter().flat_map(|argument| match argument {
        Any::Array(array) => array.items.as_slice(),
        single => std::slice::from_ref(single),
    });
    let specs = values.filter_map(|value| match value {
        Any::Object(object) => object.downcast_ref::<PropertyFilterSpec>(),
        _ => None,
    });
    select::check_size(&specs.collect::<Vec<_>>())
}

fn create_collector(world: &mut World, call: &Call) -> Outcome<Reply> {
    let session = call.session()?.to_owned();
    let id = format!("session[{session}]{}", world.new_id("collector-"));
    Ok(Reply::of(world.add_for_session(&session, &id, PropertyCollector)))
}

fn destroy_collector(world: &mut World, call: &Call) -> Outcome<Reply> {
    if call.target.value == DEFAULT {
        return Err(Fault::invalid_request("The default property collector can't be destroyed."));
    }
    let gone = collectors(world, call)?.by_id.remove(&call.target.value);
    for filter in gone.iter().flat_map(Collector::filters).cloned().collect::<Vec<_>>() {
        world.remove(&filter);
    }
    world.remove(&call.target);
    Ok(Reply::NONE)
}

fn create_filter(world: &mut World, call: &Call) -> Outcome<Reply> {
    let session = call.session()?.to_owned();
    let given: PropertyFilterSpec = call.arg("spec")?;
    let spec = Spec::parse(&given)?;
    select::select(world, &spec, Some(&session))?;
    let id = format!("session[{session}]{}", world.new_id("filter-"));
    let filter = Filter::new(given, spec, &call.target);
    let reference = world.add_for_session(&session, &id, filter);
    collectors(world, call)?.get(&call.target.value).add(reference.clone());
    Ok(Reply::of(reference))
}

fn destroy_filter(world: &mut World, call: &Call) -> Outcome<Reply> {
    let collector = world.get::<Filter>(&call.target)?.collector.clone();
    collectors(world, call)?.get(&collector.value).remove(&call.target);
    world.remove(&call.target);
    Ok(Reply::NONE)
}

/// The collectors of the caller's session.
fn collectors<'w>(world: &'w mut World, call: &Call) -> Outcome<&'w mut SessionCollectors> {
    let session = call.session()?;
    let session = world.sessions.get_mut(session);
    session.map(|session| &mut session.collectors).ok_or_else(|| Fault::not_found(&call.target))
}

fn fetch(world: &World, call: &Call) -> Outcome<Reply> {
    let path: String = call.arg("prop")?;
    let mut out = Encoder::new();
    read::property(world, &call.target, &path, call.session.as_deref(), "returnval", &mut out)?;
    Ok(Reply::Xml(out))
}

fn retrieve(world: &World, call: &Call) -> Outcome<Reply> {
    let mut out = Encoder::new();
    for given in call.arg::<Vec<PropertyFilterSpec>>("specSet")? {
        let spec = Spec::parse(&given)?;
        for object in select::select(world, &spec, call.session.as_deref())? {
            read::content(world, &object, &spec, call.session.as_deref(), "returnval", &mut out)?;
        }
    }
    Ok(Reply::Xml(out))
}

fn retrieve_ex(world: &World, call: &Call) -> Outcome<Reply> {
    let options: RetrieveOptions = call.arg("options")?;
    let limit = match options.max_objects {
        None => world.settings.page,
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| *limit > 0)
            .map(|limit| limit.min(world.settings.page))
            .ok_or_else(|| Fault::invalid_argument("options.maxObjects"))?,
    };
    let mut parts = VecDeque::new();
    for given in call.arg::<Vec<PropertyFilterSpec>>("specSet")? {
        let spec = Spec::parse(&given)?;
        let objects = select::select(world, &spec, call.session.as_deref())?.into();
        parts.push_back((spec, objects));
    }
    answer_page(world, call, Rest { parts, limit })
}

fn continue_retrieve(world: &World, call: &Call) -> Outcome<Reply> {
    let rest = take_rest(world, call)?;
    answer_page(world, call, rest)
}

fn cancel_retrieve(world: &World, call: &Call) -> Outcome<Reply> {
    take_rest(world, call).map(|_| Reply::NONE)
}

/// What the token of the call stands for. It is good for one call.
fn take_rest(world: &World, call: &Call) -> Outcome<Rest> {
    let token: String = call.arg("token")?;
    let rest = rests(world, call)?.remove(&token);
    rest.ok_or_else(|| Fault::invalid_argument("token"))
}

fn rests<'w>(world: &'w World, call: &Call) -> Outcome<MutexGuard<'w, HashMap<String, Rest>>> {
    let session = world.sessions.get(call.session()?).ok_or_else(|| Fault::not_found(&call.target))?;
    Ok(session.collectors.rests.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Writes a `RetrieveResult` with as many objects as a page holds, and a token where there are more. An empty selection
/// has no result at all.
fn answer_page(world: &World, call: &Call, mut rest: Rest) -> Outcome<Reply> {
    let mut out = Encoder::new();
    rest.parts.retain(|(_, objects)| !objects.is_empty());
    if rest.parts.is_empty() {
        return Ok(Reply::NONE);
    }
    let mut page = Encoder::new();
    let mut room = rest.limit;
    while room > 0
        && let Some((spec, objects)) = rest.parts.front_mut()
    {
        match objects.pop_front() {
            Some(object) => {
                read::content(world, &object, spec, call.session.as_deref(), "objects", &mut page)?;
                room -= 1;
            }
            None => drop(rest.parts.pop_front()),
        }
    }
    rest.parts.retain(|(_, objects)| !objects.is_empty());
    out.raw("<returnval>");
    if !rest.parts.is_empty() {
        let token = format!("{}-page", fastrand::u64(..));
        out.field(&FieldInfo::opt("token", Type::String), Value::String(&token));
        rests(world, call)?.insert(token, rest);
    }
    out.append(page);
    out.raw("</returnval>");
    Ok(Reply::Xml(out))
}
