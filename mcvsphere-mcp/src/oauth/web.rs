//! HTTP to a provider: bounded in time and size, without redirects.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};
use vsphere_soap::{
    http::{Answer, Endpoint, Exchange, FileLocation, Proxies, Transport, TransportOptions, Verb},
    secrets::Secrets,
};

use crate::text::one_line;

/// How long a provider may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer of a provider, in bytes.
const LARGEST: u64 = 512 << 10;

/// The most servers to which connections are kept.
const MOST_SERVERS: usize = 8;

/// What a server answered: its status, and the object that its body is, if it is one.
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) object: Option<Map<String, Value>>,
    /// For how many seconds it may be kept, where the server says so.
    pub(super) fresh_for: Option<u64>,
}

/// A server did not answer, or not in a way that can be used. For the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WebError(String);

impl WebError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(one_line(&text.into()))
    }
}

impl fmt::Display for WebError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How this server proves who it is.
pub(super) struct Client<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a str,
    /// Whether it does so in the body and not in a header.
    pub(super) in_body: bool,
}

/// The connections to the servers of a provider.
pub(super) struct Web {
    proxies: Proxies,
    transports: Mutex<HashMap<String, Transport>>,
}

impl Web {
    pub(super) fn new(proxies: Proxies) -> Self {
        Self { proxies, transports: Mutex::default() }
    }

    /// Gets an object, as the holder of this token where there is one.
    ///
    /// # Errors
    /// There is no answer.
    pub(super) async fn get(&self, what: &str, url: &str, bearer: Option<&str>) -> Result<Said, WebError> {
        let (transport, path) = self.route(url)?;
        let header = bearer.map(|token| format!("Bearer {token}"));
        let mut exchange = Exchange::new(what, Verb::Get, &path);
        if let Some(header) = &header {
            exchange = exchange.secret("authorization", header);
        }
        said(transport.exchange(exchange).await)
    }

    /// Posts a form, whose values no error shows.
    ///
    /// # Errors
    /// There is no answer.
    pub(super) async fn post(
        &self,
        what: &str,
        url: &str,
        form: &[(&str, &str)],
        client: &Client<'_>,
    ) -> Result<Said, WebError> {
        let (transport, path) = self.route(url)?;
        let mut secrets = Secrets::new();
        secrets.add(client.secret);
        for (name, value) in form {
            if ["code", "token", "verifier"].iter().any(|word| name.contains(word)) {
                secrets.add(value);
            }
        }
        // Some providers do not decode what the specification wants encoded: a usual secret goes as it is.
        let encoded =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace("%7E", "~");
        let pair = format!("{}:{}", encoded(client.id), encoded(client.secret));
        let basic = format!("Basic {}", BASE64_STANDARD.encode(pair));
        let own = [("client_id", client.id), ("client_secret", client.secret)];
        let own = if client.in_body { &own[..] } else { &[] };
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form.iter().chain(own)).finish();
        let mut exchange = Exchange::new(what, Verb::Post, &path).form(body).secrets(secrets);
        if !client.in_body {
            exchange = exchange.secret("authorization", &basic);
        }
        said(transport.exchange(exchange).await)
    }

    fn route(&self, url: &str) -> Result<(Transport, String), WebError> {
        let FileLocation { endpoint, path, .. } = location(url)?;
        let mut transports = self.transports.lock().unwrap_or_else(PoisonError::into_inner);
        let key = endpoint.to_string();
        if let Some(transport) = transports.get(&key) {
            return Ok((transport.clone(), path));
        }
        let options = options().max_body(LARGEST).request_timeout(PATIENCE).proxies(self.proxies.clone());
        let transport = Transport::new(endpoint, options).map_err(|error| WebError::new(error.to_string()))?;
        if transports.len() < MOST_SERVERS {
            transports.insert(key, transport.clone());
        }
        Ok((transport, path))
    }
}

/// Gets an object of at most so many bytes from a server that a stranger named: at addresses that may be reached alone, which are
/// looked at when the connection is made.
///
/// # Errors
/// There is no answer.
pub(super) async fn get_from_stranger(
    url: &str,
    most: u64,
    reach: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
) -> Result<Said, WebError> {
    let FileLocation { endpoint, path, .. } = location(url)?;
    let limit = Duration::from_secs(5);
    let options = options().max_body(most).connect_timeout(limit).request_timeout(limit).reach(reach);
    let transport = Transport::new(endpoint, options).map_err(|error| WebError::new(error.to_string()))?;
    let answer = transport.exchange(Exchange::new("read the metadata of the client", Verb::Get, &path)).await;
    if let Ok(answer) = &answer
        && !answer.content_type.as_deref().is_some_and(is_json)
    {
        return Err(WebError::new("the answer is no JSON"));
    }
    said(answer)
}

fn options() -> TransportOptions {
    TransportOptions::new().user_agent(concat!("mcvsphere/", env!("CARGO_PKG_VERSION")))
}

fn location(url: &str) -> Result<FileLocation, WebError> {
    let nowhere: Endpoint = "https://invalid.invalid".parse().map_err(|_| WebError::new("no URL can be read"))?;
    FileLocation::parse(url, &nowhere).map_err(|error| WebError::new(error.to_string()))
}

fn said(answer: vsphere_soap::Result<Answer>) -> Result<Said, WebError> {
    let answer = answer.map_err(|error| WebError::new(error.to_string()))?;
    // A signed or encrypted answer is none that is asked for here.
    let is_json = answer.content_type.as_deref().is_some_and(is_json);
    let object = if is_json { serde_json::from_slice(&answer.body).ok() } else { None };
    let fresh_for = answer.cache_control.as_deref().and_then(fresh_for);
    Ok(Said { status: answer.status, object, fresh_for })
}

/// For how many seconds a `Cache-Control` header lets an answer be kept, where it says so.
fn fresh_for(header: &str) -> Option<u64> {
    let directives = || header.split(',').map(|directive| directive.trim().to_ascii_lowercase());
    if directives().any(|it| it == "no-store" || it == "no-cache" || it.starts_with("no-cache=")) {
        return Some(0);
    }
    directives().find_map(|it| it.strip_prefix("max-age=")?.trim_matches('"').parse().ok())
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

/// Whether secrets may be sent there: by https, or to this computer.
pub(super) fn is_safe(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let plain = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    has_host
        && url.username().is_empty()
        && url.password().is_none()
        && (url.scheme() == "https" || (url.scheme() == "http" && plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_for_how_long_an_answer_may_be_kept() {
        for (header, wanted) in [
            ("max-age=3600", Some(3600)),
            ("public, Max-Age=60, s-maxage=5", Some(60)),
            ("no-store, max-age=60", Some(0)),
            ("no-cache=\"set-cookie\"", Some(0)),
            ("max-age=soon", None),
            ("max-age=-1", None),
            ("private", None),
            ("", None),
        ] {
            assert_eq!(fresh_for(header), wanted, "{header}");
        }
    }
}
