//! The programs that ask for a login: registered here, or described by a document at the URL that is their name.

use std::{net::IpAddr, ops::RangeInclusive, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use url::Url;

use super::{
    bounded::Bounded,
    redirect::{Place, matches, place},
    seal::{Kind, NoRandomness, Sealer},
    web::get_from_stranger,
};

/// The most addresses of one client, and the most bytes of all of them.
const MOST_REDIRECTS: usize = 10;
const MOST_BYTES: usize = 2000;

/// The most characters of a client's name.
const LONGEST_NAME: usize = 80;

/// For how long a registration holds, in seconds: a year.
const LIFE: u64 = 365 * 86_400;

/// The most bytes of a document that describes a client.
const LARGEST_DOCUMENT: u64 = 5 << 10;

/// For how long a document is taken as it was read, in seconds, where its server does not say it; and the least and the most where
/// it does, so that no login hammers a server, and none trusts for ever what was read once.
const DOCUMENT_LIFE: u64 = 300;
const DOCUMENT_LIVES: RangeInclusive<u64> = 60..=86_400;

/// A client, as it says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Client {
    #[serde(rename = "n")]
    pub(super) name: String,
    #[serde(rename = "r")]
    pub(super) redirects: Vec<String>,
    /// The host that answers for it, where it is described by a document.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
}

impl Client {
    /// Whether answers for it may be sent there.
    pub(super) fn allows(&self, redirect: &str) -> bool {
        self.redirects.iter().any(|registered| matches(registered, redirect))
    }

    /// Whether any program on the user's computer could pass itself off as it.
    pub(super) fn is_local_only(&self) -> bool {
        self.redirects.iter().all(|uri| place(uri) != Some(Place::Web))
    }
}

/// Why a client is not known or not taken, for whoever wrote or configured it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoClient {
    pub(super) code: &'static str,
    pub(super) problem: String,
}

impl NoClient {
    fn new(code: &'static str, problem: impl Into<String>) -> Self {
        Self { code, problem: problem.into() }
    }

    fn unknown() -> Self {
        let problem = "this server does not know the client: it was registered with another signing key. Remove the server's \
                       stored login in the client, so that it registers again";
        Self::new("invalid_client", problem)
    }
}

/// The clients that are described by documents.
pub(super) struct Documents {
    /// What they say, and until when that counts.
    read: Bounded<(u64, Result<Client, NoClient>)>,
    flights: Arc<Semaphore>,
    /// The addresses that documents may be read from.
    pub(super) reach: fn(IpAddr) -> bool,
}

impl Documents {
    pub(super) fn new(reach: fn(IpAddr) -> bool) -> Self {
        Self { read: Bounded::new(256, *DOCUMENT_LIVES.end()), flights: Arc::new(Semaphore::new(8)), reach }
    }

    /// Takes a document for read.
    #[cfg(test)]
    pub(super) fn know(&self, now: u64, url: &str, document: &Map<String, Value>) {
        self.keep(now, url, None, from_document(url, document));
    }

    /// Remembers what a document says, for as long as its server says within bounds.
    fn keep(&self, now: u64, url: &str, fresh_for: Option<u64>, found: Result<Client, NoClient>) {
        let life = fresh_for.unwrap_or(DOCUMENT_LIFE).clamp(*DOCUMENT_LIVES.start(), *DOCUMENT_LIVES.end());
        self.read.insert(now, url, (now + life, found));
    }

    async fn get(&self, now: u64, url: &str) -> Result<Client, NoClient> {
        if let Some((until, known)) = self.read.get(now, url)
            && until > now
        {
            return known;
        }
        check_url(url)?;
        // What cannot be read may be read the next moment: only what a document says is remembered.
        let (document, fresh_for) = self.fetch(url).await?;
        let found = from_document(url, &document);
        self.keep(now, url, fresh_for, found.clone());
        found
    }

    async fn fetch(&self, url: &str) -> Result<(Map<String, Value>, Option<u64>), NoClient> {
        let cannot = |problem: &str| NoClient::new("invalid_client", format!("the metadata of the client {problem}"));
        let _flight = self.flights.try_acquire().map_err(|_| cannot("cannot be read now: try again in a moment"))?;
        let said = get_from_stranger(url, LARGEST_DOCUMENT, self.reach).await.map_err(|error| {
            tracing::warn!(url, %error, "the metadata of a client cannot be read");
            cannot("cannot be read")
        })?;
        match (said.status, said.object) {
            (200, Some(object)) => Ok((object, said.fresh_for)),
            _ => Err(cannot("is no JSON object")),
        }
    }
}

/// Whether a program may use this id where it has no browser with it. What a document says matters only for where answers are sent:
/// a login goes on while it cannot be read.
///
/// # Errors
/// It is no id that was given here.
pub(super) fn check(seal: &Sealer, now: u64, id: &str) -> Result<(), NoClient> {
    match id.starts_with("https://") {
        true => check_url(id),
        false => seal.open::<Client>(Kind::Client, now, id).map(drop).map_err(|_| NoClient::unknown()),
    }
}

/// The client with this id.
///
/// # Errors
/// There is none.
pub(super) async fn find(seal: &Sealer, documents: &Documents, now: u64, id: &str) -> Result<Client, NoClient> {
    match id.starts_with("https://") {
        true => documents.get(now, id).await,
        false => seal.open(Kind::Client, now, id).map_err(|_| NoClient::unknown()),
    }
}

/// Registers a client: what is kept of it is its id.
///
/// # Errors
/// It has no address that answers may be sent to, or wants something that is not offered.
pub(super) fn register(seal: &Sealer, now: u64, asked: &Map<String, Value>) -> Result<Value, NoClient> {
    let invalid = |problem: &str| NoClient::new("invalid_client_metadata", problem);
    let redirects = redirects(asked);
    if redirects.is_empty() {
        let problem = "redirect_uris has no address that is accepted: https, http to 127.0.0.1, [::1] or localhost, or a scheme of \
                       an application; without user, fragment and dot segments";
        return Err(NoClient::new("invalid_redirect_uri", problem));
    }
    if let Some(grants) = asked.get("grant_types").and_then(Value::as_array)
        && !grants.iter().any(|grant| grant == "authorization_code")
    {
        return Err(invalid("grant_types lacks authorization_code"));
    }
    let client = Client { name: name(asked), redirects, host: None };
    let none = |_: NoRandomness| NoClient::new("server_error", "the system gives no random numbers");
    let id = seal.seal(Kind::Client, now + LIFE, &client).map_err(none)?;
    let is_native = client.is_local_only();
    Ok(json!({
        "client_id": id,
        "client_id_issued_at": now,
        "client_name": client.name,
        "redirect_uris": client.redirects,
        "application_type": if is_native { "native" } else { "web" },
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        // There are no secrets of clients: each proves itself by PKCE.
        "token_endpoint_auth_method": "none",
    }))
}

/// The addresses that are accepted of those that a client wants.
fn redirects(asked: &Map<String, Value>) -> Vec<String> {
    let wanted = asked.get("redirect_uris").and_then(Value::as_array);
    let mut bytes = 0;
    let accepted = wanted.into_iter().flatten().filter_map(Value::as_str).filter(|uri| place(uri).is_some());
    let accepted = accepted.take(MOST_REDIRECTS).take_while(|uri| {
        bytes += uri.len();
        bytes <= MOST_BYTES
    });
    accepted.map(str::to_owned).collect()
}

/// The name that a client gives itself, without what could mislead.
fn name(asked: &Map<String, Value>) -> String {
    let given = asked.get("client_name").and_then(Value::as_str).unwrap_or_default();
    let plain: String = given.chars().filter(|c| !c.is_control() && !is_hidden(*c)).take(LONGEST_NAME).collect();
    match plain.trim() {
        "" => "A client without a name".to_owned(),
        name => name.to_owned(),
    }
}

/// Characters that change the direction of text, or show nothing.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The name of a client that is described by a document must be a URL that can mean one document only.
fn check_url(id: &str) -> Result<(), NoClient> {
    let invalid = |problem: &str| Err(NoClient::new("invalid_client", format!("the client's id {problem}")));
    let Ok(url) = Url::parse(id) else { return invalid("is no URL") };
    if place(id) != Some(Place::Web) || url.as_str() != id {
        return invalid("is no plain https URL");
    }
    match url.path() {
        "" | "/" => invalid("is a URL without a path"),
        _ => Ok(()),
    }
}

/// The client that the document at this URL describes.
pub(super) fn from_document(url: &str, document: &Map<String, Value>) -> Result<Client, NoClient> {
    let invalid = |problem: &str| NoClient::new("invalid_client", format!("the metadata of the client {problem}"));
    if document.get("client_id").and_then(Value::as_str) != Some(url) {
        return Err(invalid("names another client_id than its own URL"));
    }
    if document.contains_key("client_secret") || document.contains_key("client_secret_expires_at") {
        return Err(invalid("holds a secret"));
    }
    match document.get("token_endpoint_auth_method").map(Value::as_str) {
        None | Some(Some("none")) => {}
        _ => return Err(invalid("asks for an authentication of the client that is not offered: only `none` is")),
    }
    let redirects = redirects(document);
    if redirects.is_empty() {
        return Err(invalid("has no redirect_uris that are accepted"));
    }
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    Ok(Client { name: name(document), redirects, host })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn sealer() -> Sealer {
        Sealer::new("a key", None, String::new()).unwrap()
    }

    #[tokio::test]
    async fn a_client_is_registered_with_the_addresses_that_are_accepted() {
        let seal = sealer();
        let cursor = "cursor://anysphere.cursor-retrieval/oauth/callback";
        let asked = json!({
            "client_name": "Cursor",
            "application_type": "web",
            "scope": "offline_access something",
            "token_endpoint_auth_method": "client_secret_post",
            "redirect_uris": ["http://evil.example/cb", cursor, "javascript:alert(1)", "http://localhost:1/cb"],
        });
        let answer = register(&seal, 0, &object(asked)).unwrap();
        assert_eq!(answer["redirect_uris"], json!([cursor, "http://localhost:1/cb"]));
        assert_eq!(
            (&answer["application_type"], &answer["token_endpoint_auth_method"]),
            (&json!("native"), &json!("none"))
        );
        assert!(answer.get("client_secret").is_none());
        let documents = Documents::new(|_| false);
        let id = answer["client_id"].as_str().unwrap();
        let client = find(&seal, &documents, 1, id).await.unwrap();
        assert!(client.allows("http://localhost:77/cb") && !client.allows("http://evil.example/cb"));
        let other = Sealer::new("another", None, String::new()).unwrap();
        assert_eq!(find(&other, &documents, 1, id).await.unwrap_err().code, "invalid_client");
        assert_eq!(find(&seal, &documents, LIFE, id).await.unwrap_err().code, "invalid_client");
    }

    #[tokio::test]
    async fn a_document_counts_for_as_long_as_its_server_says_within_bounds() {
        let documents = Documents::new(|_| false);
        let url = "https://app.example/client.json";
        let client = || Client { name: "App".to_owned(), redirects: Vec::new(), host: None };
        for (said, life) in [(None, 300), (Some(0), 60), (Some(3600), 3600), (Some(u64::MAX), 86_400)] {
            documents.keep(1000, url, said, Ok(client()));
            assert_eq!(documents.get(1000 + life - 1, url).await, Ok(client()), "{said:?}");
            // It would be read again, which no address allows here.
            assert_eq!(documents.get(1000 + life, url).await.unwrap_err().code, "invalid_client", "{said:?}");
        }
    }

    #[test]
    fn a_client_without_an_address_is_refused_and_an_id_stays_small() {
        let seal = sealer();
        for asked in
            [json!({}), json!({ "redirect_uris": "https://a.example" }), json!({ "redirect_uris": ["data:x"] })]
        {
            assert_eq!(register(&seal, 0, &object(asked)).unwrap_err().code, "invalid_redirect_uri");
        }
        let many: Vec<String> =
            (0..1000).map(|number| format!("https://a.example/{number}/{}", "x".repeat(500))).collect();
        let answer =
            register(&seal, 0, &object(json!({ "redirect_uris": many, "client_name": "n".repeat(10_000) }))).unwrap();
        assert!(answer["client_id"].as_str().unwrap().len() < 4000);
    }

    /// Threat 16: what a client says of itself is shown to people.
    #[test]
    fn threat_16_a_name_is_cut_and_has_nothing_that_hides() {
        let named = |text: &str| name(&object(json!({ "client_name": text })));
        assert_eq!(named("a\u{202e}b\u{200b}c\nd\u{7}"), "abcd");
        assert_eq!(named(" \u{feff} "), "A client without a name");
        assert_eq!(named(&"x".repeat(500)).len(), LONGEST_NAME);
    }

    #[test]
    fn a_document_describes_the_client_at_its_own_url_alone() {
        let url = "https://app.example/client.json";
        let document = json!({ "client_id": url, "client_name": "App", "redirect_uris": ["http://127.0.0.1/cb"] });
        let client = from_document(url, &object(document.clone())).unwrap();
        assert_eq!(client.host.as_deref(), Some("app.example"));
        assert!(client.is_local_only());
        for (key, value) in [
            ("client_id", json!("https://app.example/other.json")),
            ("client_secret", json!("x")),
            ("token_endpoint_auth_method", json!("client_secret_basic")),
            ("token_endpoint_auth_method", json!("private_key_jwt")),
            ("redirect_uris", json!(["http://evil.example"])),
            ("redirect_uris", Value::Null),
        ] {
            let mut changed = object(document.clone());
            changed.insert(key.to_owned(), value.clone());
            assert_eq!(from_document(url, &changed).unwrap_err().code, "invalid_client", "{key} {value}");
        }
    }

    #[tokio::test]
    async fn threat_15_no_document_is_read_from_an_address_that_is_not_public() {
        let (seal, documents) = (sealer(), Documents::new(vsphere_soap::http::is_public));
        for id in [
            "https://127.0.0.1/c.json",
            "https://[::1]/c.json",
            "https://169.254.169.254/latest/meta-data",
            "https://10.0.0.1/c.json",
            "https://[::ffff:10.0.0.1]/c.json",
            "https://[64:ff9b::a9fe:a9fe]/c.json",
            "https://localhost/c.json",
            "https://app.example",
            "https://app.example/",
            "https://user@app.example/c.json",
            "https://app.example/a/../c.json",
            "https://app.example/c.json#x",
            "https://2130706433/c.json",
        ] {
            let error = find(&seal, &documents, 0, id).await.unwrap_err();
            assert_eq!(error.code, "invalid_client", "{id}");
        }
        assert_eq!(find(&seal, &documents, 0, "http://app.example/c.json").await.unwrap_err(), NoClient::unknown());
    }
}
