//! `/api` and `/rest`: the Automation API of both generations, as REST.
//!
//! The older one wraps answers and the specifications of changes, marks ids in paths (`id:urn…`), and has `~action` in the
//! query.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, SET_COOKIE};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::{Body, soap, text};
use crate::core::Core;
use crate::model::ServerKind;
use crate::vapi::{self, Caller, Failure, Kind, Operation, Outcome, Run, session};

/// The header and the cookie that carry a session's key.
const SESSION: &str = "vmware-api-session-id";

/// The largest request that is read, in bytes.
pub(super) const MAX_REQUEST: usize = 16 << 20;

pub(super) async fn answer(core: Arc<Core>, request: Request<Incoming>) -> Response<Body> {
    let older = request.uri().path().starts_with("/rest/");
    match carry_out(&core, request, older).await {
        Ok(response) => response,
        Err(failure) => error(older, &failure),
    }
}

async fn carry_out(core: &Core, request: Request<Incoming>, older: bool) -> Outcome<Response<Body>> {
    let (kind, (major, minor, update)) = {
        let world = core.read();
        (world.settings.kind, vapi::version(&world))
    };
    if kind == ServerKind::Esxi {
        return Ok(of_a_host());
    }
    // The newer paths came with 7.0 U2.
    if !older && (major, minor, update) < (7, 0, 2) {
        return Ok(text(StatusCode::NOT_FOUND, "text/plain", "There is nothing at this path.\n"));
    }
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let key = header(SESSION).map(str::to_owned).or_else(|| soap::cookie(&request, SESSION));
    let path = request.uri().path().trim_end_matches('/').to_owned();
    let query = Query::read(request.uri().query().unwrap_or_default());
    if matches!(path.as_str(), "/api/session" | "/rest/com/vmware/cis/session") {
        let credentials = header(AUTHORIZATION.as_str()).and_then(basic);
        let by_header = header("vmware-use-header-authn").is_some();
        return of_session(core, request.method(), older, query.action(older), key.as_deref(), credentials, by_header);
    }
    let caller = session::caller(&core.read(), key.as_deref())?;
    let below = if older {
        path.strip_prefix("/rest/com/vmware/").or_else(|| path.strip_prefix("/rest/"))
    } else {
        path.strip_prefix("/api/")
    };
    let below = below.unwrap_or_default();
    let verb = request.method().as_str().to_owned();
    let found = vapi::operations().filter(|operation| vapi::has(&core.read(), operation)).find_map(|operation| {
        let fits = operation.route.verb == verb && operation.route.action == query.action(older);
        let ids = if fits { ids(operation.route.path, below, older) } else { None };
        Some((operation, ids?))
    });
    let (operation, ids) = found.ok_or_else(|| Failure { kind: Kind::NotFound, ..Failure::no_operation(&path) })?;
    let body = Limited::new(request.into_body(), MAX_REQUEST).collect().await;
    let body = body.map_err(|error| Failure::invalid(error.to_string()))?.to_bytes();
    let body: Value = match body.trim_ascii() {
        [] => Value::Null,
        json => serde_json::from_slice(json).map_err(|error| Failure::invalid(format!("No JSON: {error}.")))?,
    };
    let mut input = match (body, operation.route.body) {
        (body, field) if !older && !field.is_empty() => Map::from_iter([(field.to_owned(), body)]),
        (Value::Object(fields), _) => fields,
        _ => Map::new(),
    };
    input.extend(ids);
    input.extend(query.into_fields());
    let output = run(core, operation, &caller, &Value::Object(input))?;
    Ok(match (older, output.is_null()) {
        (true, true) => text(StatusCode::OK, "application/json", ""),
        (true, false) => json_answer(StatusCode::OK, &json!({ "value": output })),
        (false, true) => text(StatusCode::NO_CONTENT, "application/json", ""),
        (false, false) if operation.id.ends_with(".create") => json_answer(StatusCode::CREATED, &output),
        (false, false) => json_answer(StatusCode::OK, &output),
    })
}

/// What a host answers, which has no such API.
pub(super) fn of_a_host() -> Response<Body> {
    text(StatusCode::BAD_REQUEST, "text/plain", "A host has no Automation API.\n")
}

/// Carries out an operation, unless it was asked for to fail.
pub(super) fn run(core: &Core, operation: &'static Operation, caller: &Caller, input: &Value) -> Outcome<Value> {
    refusal(core, operation.id)?;
    // The SOAP API tells of tags, too.
    if let Some(character) = vapi::unwritable(input) {
        let code = u32::from(character);
        return Err(Failure::invalid(format!("A text has the character U+{code:04X}, which XML can't carry.")));
    }
    match operation.run {
        Run::Read(read) => read(&core.read(), caller, input),
        Run::Write(write) => write(&mut core.write(), caller, input),
    }
}

fn of_session(
    core: &Core,
    method: &Method,
    older: bool,
    action: &str,
    key: Option<&str>,
    credentials: Option<(String, String)>,
    by_header: bool,
) -> Outcome<Response<Body>> {
    let wrap = |value: Value| if older { json!({ "value": value }) } else { value };
    match (method, older, action) {
        (&Method::GET, false, _) | (&Method::POST, true, "get") => {
            let info = session::info(&core.read(), key)?;
            Ok(json_answer(StatusCode::OK, &wrap(info)))
        }
        (&Method::POST, ..) => {
            let (user, password) = credentials.ok_or_else(Failure::unauthenticated)?;
            let key = log_in(core, &user, &password)?;
            let mut response = json_answer(if older { StatusCode::OK } else { StatusCode::CREATED }, &wrap(json!(key)));
            let cookie = HeaderValue::from_str(&format!("{SESSION}={key}; Path=/rest; HttpOnly{}", soap::secure(core)));
            if let Some(cookie) = cookie.ok().filter(|_| older && !by_header) {
                response.headers_mut().insert(SET_COOKIE, cookie);
            }
            Ok(response)
        }
        (&Method::DELETE, ..) => {
            session::delete(&mut core.write(), key)?;
            let status = if older { StatusCode::OK } else { StatusCode::NO_CONTENT };
            Ok(text(status, "application/json", ""))
        }
        _ => Err(Failure { kind: Kind::NotFound, ..Failure::no_operation("the session") }),
    }
}

/// Opens a session, unless it was asked for to fail.
pub(super) fn log_in(core: &Core, user: &str, password: &str) -> Outcome<String> {
    refusal(core, "com.vmware.cis.session.create")?;
    session::create(&mut core.write(), user, password)
}

/// Counts a call.
fn refusal(core: &Core, operation: &'static str) -> Outcome<()> {
    match core.troubles.api_call(operation) {
        Some(kind) => Err(Failure::new(Kind::named(&kind), "vsphere.sim", "This error was asked for.")),
        None => Ok(()),
    }
}

/// The ids in a path, by the fields that they are for; `None` where the path is another one.
fn ids(pattern: &str, path: &str, older: bool) -> Option<Vec<(String, Value)>> {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    let mut ids = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(ids),
            (Some(wanted), Some(given)) => match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(field) => {
                    let given = percent_decode_str(given).decode_utf8_lossy();
                    let id = if older { given.strip_prefix("id:")? } else { &given };
                    ids.push((field.to_owned(), json!(id)));
                }
                None if wanted != given => return None,
                None => {}
            },
            _ => return None,
        }
    }
}

/// What stands behind the question mark.
struct Query(Vec<(String, String)>);

impl Query {
    fn read(query: &str) -> Self {
        let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(key, value)| (decoded(key), decoded(value))).collect())
    }

    fn action(&self, older: bool) -> &str {
        let wanted = if older { "~action" } else { "action" };
        self.0.iter().find(|(key, _)| key == wanted).map_or("", |(_, value)| value)
    }

    /// The fields of the input that are told in the query: a filter, and which page.
    fn into_fields(self) -> Map<String, Value> {
        let (mut filter, mut iterate) = (Map::new(), Map::new());
        let mut names = Vec::new();
        for (key, value) in self.0 {
            match key.rsplit('.').next().unwrap_or_default() {
                "names" => names.push(json!(value)),
                "marker" => drop(iterate.insert("marker".to_owned(), json!(value))),
                "page_size" => drop(iterate.insert("page_size".to_owned(), json!(value.parse::<u64>().ok()))),
                _ => {}
            }
        }
        if !names.is_empty() {
            filter.insert("names".to_owned(), Value::Array(names));
        }
        let fields = [("filter", filter), ("iterate", iterate)];
        fields
            .into_iter()
            .filter(|(_, given)| !given.is_empty())
            .map(|(key, given)| (key.to_owned(), given.into()))
            .collect()
    }
}

/// The user and the password of an `Authorization: Basic` header.
pub(super) fn basic(header: &str) -> Option<(String, String)> {
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// An error, which below the older path is named by its type.
fn error(older: bool, failure: &Failure) -> Response<Body> {
    let error = json!({ "error_type": failure.kind.name(), "messages": [failure.as_message()] });
    let status = StatusCode::from_u16(failure.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = if older { json!({ "type": failure.kind.canonical(), "value": error }) } else { error };
    json_answer(status, &error)
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    text(status, "application/json", value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_paths_are_marked_below_the_older_one_alone() {
        let found = |path, older| ids("cis/tagging/tag/{tag_id}", path, older);
        assert_eq!(found("cis/tagging/tag/urn:a", false), Some(vec![("tag_id".to_owned(), json!("urn:a"))]));
        assert_eq!(found("cis/tagging/tag/id:urn:a", true), Some(vec![("tag_id".to_owned(), json!("urn:a"))]));
        assert_eq!(found("cis/tagging/tag/urn:a", true), None);
        assert_eq!(found("cis/tagging/tag", true), None);
        assert_eq!(found("cis/tagging/category/urn:a", false), None);
    }

    #[test]
    fn a_page_and_a_filter_come_from_the_query() {
        let query = Query::read("filter.names=a%20b&names=c&page_size=5&marker=x");
        let fields = json!({ "filter": { "names": ["a b", "c"] }, "iterate": { "page_size": 5, "marker": "x" } });
        assert_eq!(Value::Object(query.into_fields()), fields);
        assert!(Query::read("action=attach").into_fields().is_empty());
    }
}
