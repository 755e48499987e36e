//! Requests beside SOAP: JSON, forms and the like, without the SOAP session.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};

use super::reply::Task;
use super::transport::{Answer, Cookies, Transport};
use crate::error::{ErrorKind, Result};
use crate::operation_id::OperationId;
use crate::secrets::Secrets;

/// What a request does with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads it.
    Get,
    /// Adds to it, or does what its path says.
    Post,
    /// Replaces it.
    Put,
    /// Changes parts of it.
    Patch,
    /// Removes it.
    Delete,
}

/// One request beside SOAP. It carries no cookie; what it needs to be let in is in its secret header.
#[derive(Clone)]
pub struct Exchange<'a> {
    operation: &'a str,
    verb: Verb,
    path: &'a str,
    secret: Option<(&'static str, &'a str)>,
    body: Option<(&'static str, Bytes)>,
    own: Secrets,
    deadline: Option<Duration>,
    traced: bool,
}

impl<'a> Exchange<'a> {
    /// A request for a path on the server, which may carry a query.
    pub fn new(operation: &'a str, verb: Verb, path: &'a str) -> Self {
        Self { operation, verb, path, secret: None, body: None, own: Secrets::new(), deadline: None, traced: false }
    }

    /// The header that lets the request in, such as `authorization`. It is never logged.
    #[must_use]
    pub fn secret(mut self, name: &'static str, value: &'a str) -> Self {
        self.secret = Some((name, value));
        self
    }

    /// What is secret in the body: it is struck out of a refusal that quotes it.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.own = secrets;
        self
    }

    /// A body of JSON.
    #[must_use]
    pub fn json(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(("application/json", body.into()));
        self
    }

    /// A body as a form of a web page has it: `name=value&…`, encoded already.
    #[must_use]
    pub fn form(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(("application/x-www-form-urlencoded", body.into()));
        self
    }

    /// Limits how long the exchange may take in all.
    #[must_use]
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    /// Carries the [operation ID](crate::operation_id) of the work that is done now, as `X-Request-ID`: vCenter writes it into
    /// its logs.
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.traced = true;
        self
    }
}

impl Transport {
    /// Sends a request beside SOAP. A refusal (400 to 499) and an error with a body of JSON are answers, for the caller
    /// to read.
    ///
    /// # Errors
    /// [`ErrorKind::Http`] for 429, 502 to 504 and for what is no answer, a redirect included, and those of the
    /// connection, as [`post`](Self::post).
    pub async fn exchange(&self, exchange: Exchange<'_>) -> Result<Answer> {
        let mut secrets = exchange.own.clone();
        if let Some((_, value)) = exchange.secret {
            // A scheme such as `Basic` is none.
            secrets.add(value.rsplit(' ').next().unwrap_or(value));
        }
        let task = Task::new(self, exchange.operation, Some(exchange.path)).hiding(&secrets);
        let method = match exchange.verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
        };
        let mut request = self.client().request(method, self.endpoint().url(exchange.path));
        request = request.header(ACCEPT, "application/json");
        if let Some((name, value)) = exchange.secret {
            let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) else {
                return Err(task.failed(ErrorKind::Config(format!("the header {name} is not valid"))));
            };
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        if let Some(id) = OperationId::current().filter(|_| exchange.traced) {
            request = request.header("x-request-id", id.as_str());
        }
        if let Some((kind, body)) = exchange.body {
            request = request.header(CONTENT_TYPE, kind).body(body);
        }
        let options = self.options();
        let total = exchange.deadline.unwrap_or(options.request_timeout).min(options.request_timeout);
        task.logged(async {
            let mut reply = self.send(&task, request, total, Cookies::None).await?;
            let is_json = reply.content_type().is_some_and(|kind| kind.to_ascii_lowercase().contains("json"));
            let is_answer = match reply.status() {
                429 | 502..=504 => false,
                200..=299 | 400..=499 => true,
                _ => is_json,
            };
            if is_answer {
                let body = reply.all(options.max_body).await?;
                // What a refusal quotes of the request is shown to people.
                let body = match reply.status() {
                    200..=299 => body,
                    _ => task.secrets().strike(&String::from_utf8_lossy(&body)).into_owned().into(),
                };
                return Ok(reply.answer(body));
            }
            let start = reply.start().await;
            Err(reply.http_error(&start))
        })
        .await
    }
}

/// Neither the secret nor the body is shown.
impl fmt::Debug for Exchange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({:?} {})", self.verb, self.path)
    }
}
