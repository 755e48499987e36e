//! Users who log in to vCenter themselves (`VCENTER_LOGIN=user`): from a one-time link to a session there.
//!
//! A link names a user. It leads to the provider first, and the form is shown only where the provider says that the browser is
//! of that same user: whoever else opens a link gets nothing, and nobody types a password for somebody else. User name and password
//! are used for one login at vCenter. Three that are refused are a pause, which stays below what locks an account there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Access, Login, OAuth,
    bounded::Bounded,
    identity::User,
    login::{self, NotIn, PATIENCE, broken, cookie, is_browser_of, is_from_own_page, known_as, with_cookie},
    pages::{self, Page},
    params::Params,
    remote,
    seal::{Kind, NoRandomness, Unsealed},
};
use crate::{
    Caller,
    backends::{Backends, LoginError},
    caller::Identity,
    http::tokens,
    text::one_line,
};

/// Where users log in.
const PATH: &str = "/vcenter/login";

/// Where they end their session.
const END: &str = "/vcenter/logout";

/// The most characters of a user name, and of a password.
const LONGEST_USER: usize = 256;
const LONGEST_PASSWORD: usize = 1024;

/// How many logins may be refused within the pause. By default vCenter locks an account after five within 180 seconds.
const MOST_TRIES: usize = 3;

/// How long a refused login counts, in seconds.
const PAUSE: u64 = 300;

/// For how long the page after a login can end the session, in seconds: as long as the cookie lives.
const CAN_END: u64 = 3600;

/// What logs users in to vCenter.
pub(crate) struct Vcenter {
    backends: Backends,
    /// The server, as the form names it.
    host: String,
    /// The links that were followed.
    followed: Bounded<()>,
    tries: Tries,
}

/// Whom a link is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Invited {
    #[serde(rename = "k")]
    number: String,
    #[serde(rename = "i")]
    issuer: String,
    #[serde(rename = "s")]
    subject: String,
    #[serde(rename = "n")]
    name: String,
}

/// A user who has followed a link, as their browser keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Visit {
    #[serde(rename = "v")]
    number: String,
    /// A digest of the browser's cookie.
    #[serde(rename = "b")]
    browser: String,
    #[serde(rename = "w")]
    invited: Invited,
    /// When it is over, however often the form is shown again.
    #[serde(rename = "x")]
    ends: u64,
}

/// What a form is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Form {
    #[serde(rename = "l")]
    LogIn(Visit),
    #[serde(rename = "e")]
    End(Visit),
}

impl Invited {
    fn identity(&self) -> Identity {
        Identity::Remote { issuer: self.issuer.as_str().into(), subject: self.subject.as_str().into() }
    }
}

impl Vcenter {
    /// Logs users in to the server of these backends, which pages call so.
    pub(crate) fn new(backends: Backends, host: &str) -> Self {
        Self { backends, host: host.to_owned(), followed: Bounded::new(20_000, PATIENCE), tries: Tries::default() }
    }
}

/// Has the links of callers made here.
pub(super) fn make_links(oauth: &OAuth) {
    if let Some(vcenter) = oauth.inner.login.as_ref().and_then(|login| login.vcenter.as_ref()) {
        // The backends are a part of what makes the links.
        let inner = Arc::downgrade(&oauth.inner);
        vcenter.backends.make_links_by(move |caller| OAuth { inner: inner.upgrade()? }.vcenter_link(caller));
    }
}

pub(super) fn routes(oauth: &OAuth) -> Router {
    if oauth.inner.login.as_ref().is_none_or(|login| login.vcenter.is_none()) {
        return Router::new();
    }
    Router::new()
        .route(PATH, get(follow).post(log_in))
        .route(END, post(log_out))
        .layer(DefaultBodyLimit::max(64 << 10))
        .with_state(oauth.clone())
}

impl OAuth {
    /// A link by which this caller can log in. There is none for a caller whom the provider does not know.
    fn vcenter_link(&self, caller: &Caller) -> Option<String> {
        let login = self.inner.login.as_ref()?;
        let Identity::Remote { issuer, subject } = caller.identity() else { return None };
        if **issuer == *tokens::ISSUER {
            return None;
        }
        let invited = Invited {
            number: login.seal.random().ok()?,
            issuer: issuer.to_string(),
            subject: subject.to_string(),
            name: caller.name().to_owned(),
        };
        let link = login.seal.seal(Kind::Link, self.now() + PATIENCE, &invited).ok()?;
        Some(format!("{}{PATH}?link={link}", self.base()))
    }

    /// Writes an audit line about a login at vCenter under this name. What a user types is data: it may hold anything.
    fn note_vcenter(&self, event: &'static str, invited: &Invited, typed: Option<&str>, outcome: &str) {
        let typed = typed.map(|typed| one_line(&typed.chars().take(LONGEST_USER).collect::<String>()));
        let fields = json!({
            "who": invited.name,
            "issuer": invited.issuer,
            "subject": invited.subject,
            "vcenter_user": typed,
            "outcome": outcome,
            "remote": remote(),
        });
        self.inner.audit.note(event, fields);
    }
}

const REFUSED: &str = "vcenter_login_refused";

/// What logs users in, where that is done here.
fn parts(oauth: &OAuth) -> Option<(&Login, &Vcenter)> {
    let login = oauth.inner.login.as_ref()?;
    Some((login, login.vcenter.as_ref()?))
}

fn problem(status: StatusCode, title: &str, text: &str) -> Response {
    Page::problem(status, title, text).into_response()
}

fn no_link() -> Response {
    let text = "It was changed on the way, or this server's signing key was replaced. Ask in the client for something in vSphere: \
                it shows another link.";
    problem(StatusCode::BAD_REQUEST, "This link is not valid", text)
}

fn late_link() -> Response {
    let text = "It is good for ten minutes. Ask in the client for something in vSphere: it shows another link.";
    problem(StatusCode::BAD_REQUEST, "This link has expired", text)
}

fn used_link() -> Response {
    let text = "It is good once. If you are not logged in, ask in the client for something in vSphere: it shows another link. If it \
                was not you who followed it, tell an administrator.";
    problem(StatusCode::BAD_REQUEST, "This link was followed before", text)
}

/// A user follows a link: first they log in at the provider.
async fn follow(State(oauth): State<OAuth>, headers: HeaderMap, uri: Uri) -> Response {
    let Some((login, vcenter)) = parts(&oauth) else { return StatusCode::NOT_FOUND.into_response() };
    let Ok(params) = Params::read(uri.query().unwrap_or_default().as_bytes()) else { return no_link() };
    let invited: Invited = match login.seal.open(Kind::Link, oauth.now(), params.get("link").unwrap_or_default()) {
        Ok(invited) => invited,
        Err(Unsealed::Expired) => return late_link(),
        Err(Unsealed::Foreign) => return no_link(),
    };
    if vcenter.followed.get(oauth.now(), &invited.number).is_some() {
        return used_link();
    }
    let begun = || -> Result<(String, String, String), NoRandomness> {
        let browser = match cookie(&oauth, &headers) {
            Some(browser) => browser,
            None => login.seal.random()?,
        };
        let ends = oauth.now() + PATIENCE;
        let visit = Visit { number: login.seal.random()?, browser: known_as(&browser), invited, ends };
        let state = login.seal.seal(Kind::Visit, ends, &visit)?;
        Ok((browser, visit.number, state))
    };
    let (browser, number, state) = match begun() {
        Ok(begun) => begun,
        Err(error) => return broken(error),
    };
    let response = login::to_provider(&oauth, login, &number, &state).await;
    with_cookie(&oauth, response, &browser)
}

/// The provider has said who they are: the form, where they are who the link is for.
pub(super) async fn callback(oauth: &OAuth, login: &Login, headers: &HeaderMap, params: &Params) -> Response {
    let Some(vcenter) = &login.vcenter else { return StatusCode::NOT_FOUND.into_response() };
    let mut visit: Visit = match login.seal.open(Kind::Visit, oauth.now(), params.get("state").unwrap_or_default()) {
        Ok(visit) => visit,
        Err(Unsealed::Expired) => return late_link(),
        Err(Unsealed::Foreign) => return no_link(),
    };
    if !is_browser_of(oauth, headers, &visit.browser) {
        return login::other_browser();
    }
    let user = match oauth.answered(login, params, &visit.number, REFUSED).await {
        Ok((user, _)) => user,
        Err(NotIn::Page(page)) => return *page,
        Err(NotIn::Refused(_, text)) => {
            let text = format!("You cannot go on: {text}. Follow another link from the client to try again.");
            return problem(StatusCode::FORBIDDEN, "You are not logged in", &text);
        }
        Err(NotIn::NoUser(why)) => {
            return login::no_user(oauth, REFUSED, |user| access(user, &visit), why).0.into_response();
        }
    };
    let invited = &visit.invited;
    if (&user.issuer, &user.subject) != (&invited.issuer, &invited.subject) {
        oauth.note(REFUSED, Some(&access(user, &visit)), "the link is for another user");
        let text = "You are logged in at your organization as somebody else than the one for whom the link was made. Somebody may have \
                    sent it to you so that you log in to vCenter for them: do not go on. If it is your own, log out there first.";
        return problem(StatusCode::FORBIDDEN, "This link is for somebody else", text);
    }
    // Whoever it is that looks at a link, only its user uses it up.
    if !vcenter.followed.insert_new(oauth.now(), &invited.number, ()) {
        return used_link();
    }
    visit.ends = oauth.now() + PATIENCE;
    show_form(login, vcenter, visit, None, StatusCode::OK)
}

fn access(user: User, visit: &Visit) -> Access {
    Access {
        issuer: user.issuer,
        subject: user.subject,
        name: user.name,
        groups: user.groups,
        client: "vCenter login".to_owned(),
        family: visit.number.clone(),
    }
}

/// The form, with what was wrong before.
fn show_form(login: &Login, vcenter: &Vcenter, visit: Visit, wrong: Option<&str>, status: StatusCode) -> Response {
    let name = visit.invited.name.clone();
    match login.seal.seal(Kind::Form, visit.ends, Form::LogIn(visit)) {
        Ok(form) => pages::vcenter_login(status, &vcenter.host, &name, PATH, &form, wrong).into_response(),
        Err(error) => broken(error),
    }
}

fn forbidden() -> Response {
    let text = "It did not come from the page of this server in this browser. Ask in the client for something in vSphere, and follow \
                the link that it shows.";
    problem(StatusCode::FORBIDDEN, "This form does not count", text)
}

/// What was sent with a form of this server, from its own page in the browser that it was made for; else the answer.
fn sent(oauth: &OAuth, login: &Login, headers: &HeaderMap, body: &[u8]) -> Result<(Params, Form), Box<Response>> {
    if !is_from_own_page(oauth, headers) {
        return Err(Box::new(forbidden()));
    }
    let params = Params::read(body).map_err(|_| Box::new(forbidden()))?;
    // The text on the page is good in the browser for which the page was made: no other page can know it.
    let form = login.seal.open(Kind::Form, oauth.now(), params.get("form").unwrap_or_default()).map_err(|why| {
        Box::new(match why {
            Unsealed::Expired => late_link(),
            Unsealed::Foreign => forbidden(),
        })
    })?;
    let (Form::LogIn(visit) | Form::End(visit)) = &form;
    match is_browser_of(oauth, headers, &visit.browser) {
        true => Ok((params, form)),
        false => Err(Box::new(forbidden())),
    }
}

/// User name and password have come.
async fn log_in(State(oauth): State<OAuth>, headers: HeaderMap, body: Bytes) -> Response {
    let Some((login, vcenter)) = parts(&oauth) else { return StatusCode::NOT_FOUND.into_response() };
    let (mut params, visit) = match sent(&oauth, login, &headers, &body) {
        Ok((params, Form::LogIn(visit))) => (params, visit),
        Ok((_, Form::End(_))) => return forbidden(),
        Err(response) => return *response,
    };
    drop(body);
    let invited = visit.invited.clone();
    // A form that has logged somebody in does so once.
    if vcenter.followed.get(oauth.now(), &visit.number).is_some() {
        return used_link();
    }
    let again = |wrong: &str, status| show_form(login, vcenter, visit.clone(), Some(wrong), status);
    let password = params.take_secret("password").unwrap_or_default();
    let user = params.get("user").unwrap_or_default().trim();
    if user.is_empty() || password.is_empty() {
        return again("Type your user name and your password.", StatusCode::BAD_REQUEST);
    }
    if user.chars().count() > LONGEST_USER || user.contains(char::is_control) || password.len() > LONGEST_PASSWORD {
        return again("This is no user name or no password of vCenter.", StatusCode::BAD_REQUEST);
    }
    let keys = [format!("caller\n{}\n{}", invited.issuer, invited.subject), format!("user\n{}", principal(user))];
    if let Err(wait) = vcenter.tries.begin(oauth.now(), &keys) {
        oauth.note_vcenter(REFUSED, &invited, Some(user), "too many tries");
        let minutes = wait.div_ceil(60);
        let wrong = format!(
            "Three logins were refused, so this one was not tried: more would lock the account. Try again in {minutes} min."
        );
        return again(&wrong, StatusCode::TOO_MANY_REQUESTS);
    }
    match vcenter.backends.log_in(&invited.identity(), user, password).await {
        Ok(name) => {
            vcenter.tries.take_back(&keys);
            vcenter.followed.insert(oauth.now(), &visit.number, ());
            oauth.note_vcenter("vcenter_login", &invited, Some(&name), "ok");
            logged_in(&oauth, login, vcenter, visit, &name)
        }
        Err(LoginError::Refused) => {
            oauth.note_vcenter(REFUSED, &invited, Some(user), "vCenter refused user name or password");
            let wrong = "vCenter does not know this user name with this password. Your user name there may need its domain, as in \
                         jane@example.com.";
            again(wrong, StatusCode::FORBIDDEN)
        }
        Err(LoginError::NoRights) => {
            vcenter.tries.take_back(&keys);
            oauth.note_vcenter(REFUSED, &invited, Some(user), "the user may see nothing in vCenter");
            again("vCenter knows you, but you may see nothing there.", StatusCode::FORBIDDEN)
        }
        Err(LoginError::Full) => {
            vcenter.tries.take_back(&keys);
            oauth.note_vcenter(REFUSED, &invited, Some(user), "too many users are logged in");
            again("Too many users are logged in here. Try again later.", StatusCode::SERVICE_UNAVAILABLE)
        }
        Err(LoginError::Failed(cause)) => {
            // Whether vCenter has counted it is not known.
            tracing::error!(%cause, "a user could not be logged in to vCenter");
            oauth.note_vcenter(REFUSED, &invited, Some(user), "vCenter did not answer as it should");
            let wrong = "vCenter did not answer as it should. Try again in a moment; an administrator finds the cause in the log of \
                         this server.";
            again(wrong, StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

/// The page after a login, by which it can be ended.
fn logged_in(oauth: &OAuth, login: &Login, vcenter: &Vcenter, visit: Visit, name: &str) -> Response {
    let idle = vcenter.backends.idle_limit();
    match login.seal.seal(Kind::Form, oauth.now() + CAN_END, Form::End(visit)) {
        Ok(form) => pages::vcenter_done(&vcenter.host, name, idle, END, &form).into_response(),
        Err(error) => broken(error),
    }
}

/// The user ends the session.
async fn log_out(State(oauth): State<OAuth>, headers: HeaderMap, body: Bytes) -> Response {
    let Some((login, vcenter)) = parts(&oauth) else { return StatusCode::NOT_FOUND.into_response() };
    let visit = match sent(&oauth, login, &headers, &body) {
        Ok((_, Form::End(visit))) => visit,
        Ok((_, Form::LogIn(_))) => return forbidden(),
        Err(response) => return *response,
    };
    let identity = visit.invited.identity();
    let name = vcenter.backends.user_of(&identity);
    if vcenter.backends.log_out(&identity).await {
        oauth.note_vcenter("vcenter_logout", &visit.invited, name.as_deref(), "ok");
    }
    let text = "Your session with vCenter has ended, and nothing of it is kept here. The client asks you to log in again when it \
                needs vSphere.";
    problem(StatusCode::OK, "You are logged out of vCenter", text)
}

/// One form for the ways in which a user name is written: `EXAMPLE\jane` is `jane@example`.
fn principal(user: &str) -> String {
    let user = user.to_lowercase();
    match user.split_once('\\') {
        Some((domain, name)) => format!("{name}@{domain}"),
        None => user,
    }
}

/// The logins that were refused lately, by caller and by user name.
#[derive(Default)]
struct Tries(Mutex<HashMap<String, Vec<u64>>>);

impl Tries {
    /// Counts a try for each of these, before it is known how it ends: many at once are as many as one after the other.
    ///
    /// # Errors
    /// One of them has had too many: in how many seconds there may be another.
    fn begin(&self, now: u64, keys: &[String]) -> Result<(), u64> {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tries.retain(|_, times| {
            times.retain(|time| time + PAUSE > now);
            !times.is_empty()
        });
        let wait = keys.iter().filter_map(|key| {
            let times = tries.get(key)?;
            (times.len() >= MOST_TRIES).then(|| times.first().map_or(0, |first| first + PAUSE - now))
        });
        if let Some(wait) = wait.max() {
            return Err(wait);
        }
        for key in keys {
            tries.entry(key.clone()).or_default().push(now);
        }
        Ok(())
    }

    /// Takes back the latest try of each, which was not refused.
    fn take_back(&self, keys: &[String]) {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if let Some(times) = tries.get_mut(key) {
                times.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_is_one_however_it_is_written() {
        assert_eq!(principal("EXAMPLE\\Jane"), principal("jane@Example"));
        assert_ne!(principal("jane"), principal("jane@example"));
    }

    #[test]
    fn three_refused_tries_are_a_pause_for_each_key() {
        let tries = Tries::default();
        let keys = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for time in [0, 100, 200] {
            tries.begin(time, &keys(&["jane", "admin"])).unwrap();
        }
        assert_eq!(tries.begin(200, &keys(&["jane", "other"])), Err(100));
        assert_eq!(tries.begin(200, &keys(&["joe", "admin"])), Err(100));
        // What was not begun is not counted.
        tries.begin(200, &keys(&["joe", "other"])).unwrap();
        tries.take_back(&keys(&["joe", "other"]));
        tries.begin(300, &keys(&["jane", "admin"])).unwrap();
        assert_eq!(tries.begin(300, &keys(&["jane", "admin"])), Err(100));
        tries.begin(9_999, &keys(&["late"])).unwrap();
        assert_eq!(tries.0.lock().unwrap().len(), 1);
    }
}
