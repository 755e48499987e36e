//! The session manager: who comes in, who is in, who must go.

use vsphere_model::managed;
use vsphere_model::types::{
    BadUsernameSessionEvent, InvalidLocale, InvalidLogin, NoClientCertificate, NotFound, Poly,
    SessionManagerGenericServiceTicket, SessionManagerHttpServiceRequestSpec, SessionManagerServiceRequestSpec,
    SessionTerminatedEvent, UserLoginSessionEvent, UserLogoutSessionEvent, UserSession,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::model::{principal, same};
use crate::server::folder;
use crate::session::new_key;
use crate::world::{Look, Managed, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("SessionManager", "Login", Handler::Write(login)),
    ("SessionManager", "LoginByToken", Handler::Read(login_without)),
    ("SessionManager", "LoginBySSPI", Handler::Read(login_without)),
    ("SessionManager", "LoginExtensionByCertificate", Handler::Read(login_extension)),
    ("SessionManager", "LoginExtensionBySubjectName", Handler::Read(login_extension)),
    ("SessionManager", "Logout", Handler::Write(logout)),
    ("SessionManager", "SessionIsActive", Handler::Read(is_active)),
    ("SessionManager", "AcquireGenericServiceTicket", Handler::Write(acquire_ticket)),
    ("SessionManager", "TerminateSession", Handler::Write(terminate)),
    ("SessionManager", "AcquireCloneTicket", Handler::Write(clone_ticket)),
    ("SessionManager", "CloneSession", Handler::Write(clone)),
    ("SessionManager", "AcquireLocalTicket", Handler::Read(local_ticket)),
    ("SessionManager", "ImpersonateUser", Handler::Write(impersonate)),
    ("SessionManager", "SetLocale", Handler::Write(set_locale)),
    ("SessionManager", "UpdateServiceMessage", Handler::Write(set_message)),
];

/// The languages that messages come in; they are all the same here, but a client may ask for its own.
const LANGUAGES: [&str; 9] = ["en", "de", "es", "fr", "it", "ja", "ko", "zh_CN", "zh_TW"];

/// The managed object `SessionManager`.
#[derive(Default)]
struct SessionManager {
    /// What the server tells everyone.
    message: String,
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
            "supportedLocaleList" | "messageLocaleList" => {
                Prop::made_list(LANGUAGES.iter().map(|language| (*language).to_owned()).collect())
            }
            "message" => Prop::kept(&self.message),
            _ => Prop::UNSET,
        }
    }
}

pub(super) fn install(world: &mut World) {
    world.content.session_manager = Some(world.add_as("SessionManager", SessionManager::default()));
}

fn refused() -> Fault {
    Fault::new(InvalidLogin::default(), "Cannot complete login due to an incorrect user name or password.")
}

fn login(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (name, password): (String, String) = (call.arg("userName")?, call.arg("password")?);
    let locale = locale(call)?;
    if call.session.is_some() {
        return Err(Fault::new(InvalidLogin::default(), "The session is already logged in: log out first."));
    }
    let Some(user) = world.settings.principal(&name, &password) else {
        let event = BadUsernameSessionEvent { ip_address: call.peer.address.clone(), ..Default::default() };
        let message = format!("Cannot login {name}@{}", call.peer.address);
        tell(world, &principal(&name), event, message);
        return Err(refused());
    };
    // Who may see nothing at all has no business here.
    if world.scope_of(&user).is_empty() {
        return Err(Fault::no_permission(&world.content.root_folder, "System.View"));
    }
    Ok(open(world, call, &user, &locale))
}

/// Opens a session, and tells it.
fn open(world: &mut World, call: &Call, user: &str, locale: &str) -> Reply {
    let Some(session) = world.open_session(user, &call.peer, locale) else {
        return Reply::Unavailable("The maximum number of sessions has been exceeded.");
    };
    let event = UserLoginSessionEvent {
        ip_address: call.peer.address.clone(),
        user_agent: Some(call.peer.user_agent.clone()),
        locale: locale.to_owned(),
        session_id: session.key.clone(),
        ..Default::default()
    };
    let message = format!("User {user}@{} logged in as {}", call.peer.address, call.peer.user_agent);
    tell(world, user, event, message);
    Reply::Session(session)
}

fn tell<E: vsphere_soap::object::Extends<vsphere_model::types::Event>>(
    world: &mut World,
    user: &str,
    event: E,
    message: String,
) {
    let root = world.content.root_folder.clone();
    world.post(&root, user, event, message);
}

/// The language that the call asks for.
fn locale(call: &Call) -> Outcome<String> {
    let locale: Option<String> = call.opt("locale")?;
    let Some(locale) = locale.filter(|locale| !locale.is_empty()) else { return Ok("en".to_owned()) };
    let plain = locale.replace('-', "_");
    let language = plain.split('_').next().unwrap_or_default();
    if LANGUAGES.iter().any(|known| known.split('_').next() == Some(language)) {
        return Ok(locale);
    }
    Err(Fault::new(InvalidLocale::default(), format!("The locale '{locale}' is not known.")))
}

/// Tokens are signed by somebody, and the simulator trusts nobody.
fn login_without(_: &World, _: &Call) -> Outcome<Reply> {
    Err(Fault::new(InvalidLogin::default(), "The simulator does not take this kind of login: use a name and password."))
}

fn login_extension(world: &World, call: &Call) -> Outcome<Reply> {
    let key: String = call.arg("extensionKey")?;
    if call.method.name == "LoginExtensionBySubjectName" && !world.has_extension(&key) {
        return Err(Fault::new(NotFound::default(), format!("There is no extension '{key}'.")));
    }
    Err(Fault::new(NoClientCertificate::default(), "The client has shown no certificate."))
}

fn logout(world: &mut World, call: &Call) -> Outcome<Reply> {
    let key = call.session()?.to_owned();
    let described = world.sessions.get(&key).map(|session| session.describe(&key));
    world.end_session(&key);
    if let Some(session) = described {
        let message = format!("User {}@{} logged out", session.user_name, call.peer.address);
        let (user, event) = logged_out(session);
        tell(world, &user, event, message);
    }
    Ok(Reply::NONE)
}

fn logged_out(session: UserSession) -> (String, UserLogoutSessionEvent) {
    let event = UserLogoutSessionEvent {
        ip_address: session.ip_address,
        user_agent: session.user_agent,
        call_count: session.call_count,
        session_id: Some(session.key),
        login_time: Some(session.login_time),
        ..Default::default()
    };
    (session.user_name, event)
}

fn is_active(world: &World, call: &Call) -> Outcome<Reply> {
    let (key, user): (String, String) = (call.arg("sessionID")?, call.arg("userName")?);
    let user = principal(&user);
    Ok(Reply::of(world.sessions.get(&key).is_some_and(|session| same(&session.user, &user))))
}

fn terminate(world: &mut World, call: &Call) -> Outcome<Reply> {
    let keys: Vec<String> = call.arg("sessionId")?;
    if keys.iter().any(|key| Some(key.as_str()) == call.session.as_deref()) {
        return Err(Fault::invalid_argument("sessionId"));
    }
    let by = call.user(world);
    for key in &keys {
        let Some(user) = world.sessions.get(key).map(|session| session.user.clone()) else {
            return Err(Fault::new(NotFound::default(), format!("There is no session '{key}'.")));
        };
        world.end_session(key);
        let message = format!("Terminated session of user {user}");
        let event = SessionTerminatedEvent { session_id: key.clone(), terminated_username: user, ..Default::default() };
        tell(world, &by, event, message);
    }
    Ok(Reply::NONE)
}

fn clone_ticket(world: &mut World, call: &Call) -> Outcome<Reply> {
    let user = call.user(world);
    Ok(Reply::of(world.sessions.new_ticket(&user)))
}

/// Opens a session for the one who has a ticket. It is good for one.
fn clone(world: &mut World, call: &Call) -> Outcome<Reply> {
    let ticket: String = call.arg("cloneTicket")?;
    let user = world.sessions.take_ticket(&ticket).ok_or_else(refused)?;
    Ok(open(world, call, &user, "en"))
}

/// Local tickets are files on the server's own disk.
fn local_ticket(_: &World, _: &Call) -> Outcome<Reply> {
    Err(Fault::not_supported("AcquireLocalTicket from another machine"))
}

/// The session goes on as that of another user, who must be in.
fn impersonate(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (name, locale) = (principal(&call.arg::<String>("userName")?), locale(call)?);
    let key = call.session()?.to_owned();
    // The user must have a session.
    let is_in = world.sessions.iter().find(|(_, session)| same(&session.user, &name));
    let user = is_in.map(|(_, session)| session.user.clone()).ok_or_else(refused)?;
    let scope = world.scope_of(&user);
    let session = world.sessions.get_mut(&key).ok_or_else(|| Fault::not_found(&call.target))?;
    session.user = user;
    session.scope = scope;
    session.locale = locale;
    let described = session.describe(&key);
    world.announce();
    Ok(Reply::of(described))
}

fn set_locale(world: &mut World, call: &Call) -> Outcome<Reply> {
    let locale = locale(call)?;
    if let Some(session) = world.sessions.get_mut(call.session()?) {
        session.locale = locale;
    }
    world.touch(&call.target);
    Ok(Reply::NONE)
}

fn set_message(world: &mut World, call: &Call) -> Outcome<Reply> {
    world.edit::<SessionManager>(&call.target)?.message = call.arg("message")?;
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
    let ssl_thumbprint = world.thumbprint.clone();
    Ok(Reply::of(SessionManagerGenericServiceTicket { id, host_name, ssl_thumbprint, ..Default::default() }))
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
