//! The session manager: who comes in, who is in, who must go.

use vsphere_model::managed;
use vsphere_model::types::InvalidLogin;
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("SessionManager", "Login", Handler::Write(login)),
    ("SessionManager", "Logout", Handler::Write(logout)),
    ("SessionManager", "SessionIsActive", Handler::Read(is_active)),
    ("SessionManager", "TerminateSession", Handler::Write(terminate)),
];

/// The managed object `SessionManager`.
struct SessionManager;

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
    world.content.session_manager = Some(world.add_as("SessionManager", SessionManager));
}

fn login(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (name, password): (String, String) = (call.arg("userName")?, call.arg("password")?);
    let locale: Option<String> = call.opt("locale")?;
    let refused = || {
        let message = "Cannot complete login due to an incorrect user name or password.";
        Fault::new(InvalidLogin::default(), message)
    };
    let user = world.settings.user(&name, &password).ok_or_else(refused)?.principal.clone();
    let session = world.open_session(&user, call, locale.as_deref().unwrap_or("en"));
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
