//! The session manager: who comes in, who is in, who must go.

use vsphere_model::managed;
use vsphere_model::types::{
    InvalidLogin, Poly, SessionManagerGenericServiceTicket, SessionManagerHttpServiceRequestSpec,
    SessionManagerServiceRequestSpec,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::server::folder;
use crate::session::new_key;
use crate::world::{Look, Managed, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("SessionManager", "Login", Handler::Write(login)),
    ("SessionManager", "Logout", Handler::Write(logout)),
    ("SessionManager", "SessionIsActive", Handler::Read(is_active)),
    ("SessionManager", "AcquireGenericServiceTicket", Handler::Write(acquire_ticket)),
    ("SessionManager", "TerminateSession", Handler::Write(terminate)),
];

/// The managed object `SessionManager`.
#[derive(Default)]
struct SessionManager {
    tickets: Vec<Ticket>,
}

/// Leave to do one thing with one file of a datastore, over HTTP.
struct Ticket {
    id: String,
    session: String,
    /// The HTTP method, in small letters.
    method: String,
    path: String,
    datastore: String,
}

/// What somebody does by a ticket.
pub(crate) struct Use<'a> {
    pub(crate) method: &'a hyper::Method,
    /// Below the datastore.
    pub(crate) path: &'a str,
    pub(crate) datastore: &'a str,
}

impl Managed for SessionManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::SessionManager::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "currentSession" => {
                let session = look.session.zip(look.session());
                Prop::made_optional(session.map(|(key, session)| session.describe(key)))
            }
            "sessionList" => {
                let sessions = look.world.sessions.iter();
                Prop::made_list(sessions.map(|(key, session)| session.describe(key)).collect())
            }
            "defaultLocale" => Prop::made("en".to_owned()),
            "supportedLocaleList" | "messageLocaleList" => Prop::made_list(vec!["en".to_owned()]),
            "message" => Prop::made(String::new()),
            _ => Prop::UNSET,
        }
    }
}

pub(super) fn install(world: &mut World) {
    world.content.session_manager = Some(world.add_as("SessionManager", SessionManager::default()));
}

fn login(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (name, password): (String, String) = (call.arg("userName")?, call.arg("password")?);
    let locale: Option<String> = call.opt("locale")?;
    let refused = || {
        let message = "Cannot complete login due to an incorrect user name or password.";
        Fault::new(InvalidLogin::default(), message)
    };
    let user = world.settings.user(&name, &password).ok_or_else(refused)?.name.clone();
    let session = world.open_session(&user, &call.peer, locale.as_deref().unwrap_or("en"));
    Ok(session.map_or(Reply::Unavailable("The maximum number of sessions has been exceeded."), Reply::Session))
}

fn logout(world: &mut World, call: &Call) -> Outcome<Reply> {
    world.end_session(call.session()?);
    Ok(Reply::NONE)
}

fn is_active(world: &World, call: &Call) -> Outcome<Reply> {
    let (key, user): (String, String) = (call.arg("sessionID")?, call.arg("userName")?);
    Ok(Reply::of(world.sessions.get(&key).is_some_and(|session| session.user == user)))
}

fn terminate(world: &mut World, call: &Call) -> Outcome<Reply> {
    let keys: Vec<String> = call.arg("sessionId")?;
    if keys.iter().any(|key| Some(key.as_str()) == call.session.as_deref()) {
        return Err(Fault::invalid_argument("sessionId"));
    }
    for key in &keys {
        if world.sessions.get(key).is_none() {
            return Err(Fault::invalid_argument("sessionId"));
        }
        world.end_session(key);
    }
    Ok(Reply::NONE)
}

/// How many tickets wait to be used: who never uses them does not fill the memory.
const WAITING: usize = 1000;

fn acquire_ticket(world: &mut World, call: &Call) -> Outcome<Reply> {
    let session = call.session()?.to_owned();
    let spec: Poly<SessionManagerServiceRequestSpec> = call.arg("spec")?;
    let Some(spec) = spec.downcast_ref::<SessionManagerHttpServiceRequestSpec>() else {
        return Err(Fault::not_supported("a ticket for anything but HTTP"));
    };
    let wanted = spec.url.parse::<hyper::Uri>().ok().and_then(|url| folder::asked(&url));
    let (path, datastore) = wanted.ok_or_else(|| Fault::invalid_argument("spec.url"))?;
    let method = spec.method.as_deref().unwrap_or("httpGet").to_ascii_lowercase();
    let method = method.strip_prefix("http").ok_or_else(|| Fault::invalid_argument("spec.method"))?.to_owned();
    let id = new_key();
    let manager = world.content.session_manager.clone().unwrap_or_default();
    let tickets = &mut world.quietly_edit::<SessionManager>(&manager)?.tickets;
    tickets.push(Ticket { id: id.clone(), session, method, path, datastore });
    let excess = tickets.len().saturating_sub(WAITING);
    tickets.drain(..excess);
    // All hosts are reached where the server is.
    let host_name = Some(call.peer.host.clone()).filter(|host| !host.is_empty());
    Ok(Reply::of(SessionManagerGenericServiceTicket { id, host_name, ..Default::default() }))
}

/// Takes a ticket; the key of the session that asked for it, where that goes on and the ticket is for this use.
pub(crate) fn redeem(world: &mut World, id: &str, used: &Use<'_>) -> Option<String> {
    let manager = world.content.session_manager.clone()?;
    let tickets = &mut world.quietly_edit::<SessionManager>(&manager).ok()?.tickets;
    let at = tickets.iter().position(|ticket| ticket.id == id)?;
    let ticket = tickets.swap_remove(at);
    let fits = used.method.as_str().eq_ignore_ascii_case(&ticket.method)
        && used.path == ticket.path
        && used.datastore == ticket.datastore;
    world.sessions.get(&ticket.session)?;
    fits.then_some(ticket.session)
}
