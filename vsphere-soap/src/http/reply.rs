//! An answer as it arrives: bounded in time and size, judged by its head.

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use reqwest::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use tokio::time::{Instant, timeout_at};

use super::answer::{retry_after, sent_before, snippet};
use super::coding::{Incoming, Refusal};
use super::endpoint::Endpoint;
use super::failure;
use super::options::TransportOptions;
use super::transport::{Answer, Transport};
use crate::error::{Error, ErrorKind, Result, Sent, WaitingFor};
use crate::secrets::Secrets;

/// An answer whose head has arrived.
pub(super) struct Reply<'t> {
    pub(super) response: reqwest::Response,
    pub(super) task: &'t Task<'t>,
    pub(super) endpoint: &'t Endpoint,
    pub(super) options: &'t TransportOptions,
    pub(super) ends: Ends,
    /// Whether the server was told that it may compress the answer.
    pub(super) asked_compressed: bool,
}

impl Reply<'_> {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    fn header(&self, name: HeaderName) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn content_type(&self) -> Option<String> {
        self.header(CONTENT_TYPE).map(str::to_owned)
    }

    /// The whole body, of at most `limit` bytes when it is unpacked.
    pub(super) async fn all(&mut self, limit: u64) -> Result<Bytes> {
        // The server has begun to answer, so it has dealt with the request, whatever becomes of the answer.
        let failed = |kind| self.task.failed(kind).with_sent(Sent::Yes);
        let announced = self.response.content_length().unwrap_or(0);
        let coding = self.header(CONTENT_ENCODING).map(str::trim).unwrap_or("identity");
        let mut body = match coding {
            coding if self.unpacks(coding) => Incoming::gzip(limit),
            _ if announced > limit => return Err(failed(ErrorKind::TooLarge { limit })),
            // What is announced need not come: memory beyond this is taken as it arrives.
            coding if coding.eq_ignore_ascii_case("identity") => {
                Incoming::plain(limit, announced.min(16 << 20) as usize)
            }
            coding => {
                let coding = snippet(coding.as_bytes(), &self.task.secrets());
                let snippet = format!("compressed by {coding}, which was not asked for");
                let (host, content_type) = (self.endpoint.host().to_owned(), self.content_type());
                return Err(failed(ErrorKind::NotSoap { host, content_type, snippet }));
            }
        };
        let refused = |received: usize, refusal| {
            failed(match refusal {
                Refusal::TooLarge => ErrorKind::TooLarge { limit },
                Refusal::Corrupt(source) => ErrorKind::Interrupted { received: received as u64, source },
            })
        };
        let idle = self.options.read_timeout;
        loop {
            let stalled = Ends::after(idle);
            let chunk = match timeout_at(stalled.at.min(self.ends.at), self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => {
                    let received = body.len();
                    return Ok(body.finish().map_err(|refusal| refused(received, refusal))?.into());
                }
                Ok(Err(error)) => {
                    let source = failure::root_cause(&error);
                    return Err(failed(ErrorKind::Interrupted { received: body.len() as u64, source }));
                }
                Err(_) if self.ends.at <= stalled.at => return Err(failed(self.ends.passed())),
                Err(_) => {
                    return Err(failed(ErrorKind::Timeout { after: idle, waiting_for: WaitingFor::NextBytes }));
                }
            };
            body.push(&chunk).map_err(|refusal| refused(body.len(), refusal))?;
        }
    }

    /// The start of a body that is no envelope; what can't be read of it doesn't matter.
    pub(super) async fn start(&mut self) -> Vec<u8> {
        let until = Ends::after(START_TIMEOUT).at.min(self.ends.at);
        let packed = self.header(CONTENT_ENCODING).is_some_and(|coding| self.unpacks(coding.trim()));
        let mut start = if packed { Incoming::gzip(START as u64) } else { Incoming::plain(START as u64, 0) };
        let mut left = START;
        while left > 0
            && let Ok(Ok(Some(chunk))) = timeout_at(until, self.response.chunk()).await
        {
            let some = &chunk[..chunk.len().min(left)];
            left -= some.len();
            if start.push(some).is_err() {
                break;
            }
        }
        start.into_received()
    }

    /// Whether a body may be compressed in this way.
    fn unpacks(&self, coding: &str) -> bool {
        self.asked_compressed && (coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip"))
    }

    pub(super) fn answer(&self, body: Bytes) -> Answer {
        let cache_control = self.header(CACHE_CONTROL).map(str::to_owned);
        Answer { status: self.status(), content_type: self.content_type(), cache_control, body }
    }

    pub(super) fn envelope(&self, body: Bytes) -> Result<Answer> {
        if body.trim_ascii().is_empty() {
            return Err(self.not_soap(&body));
        }
        Ok(self.answer(body))
    }

    /// The error for an answer that is no envelope.
    pub(super) fn not_soap(&self, body: &[u8]) -> Error {
        if !(200..300).contains(&self.status()) {
            return self.http_error(body);
        }
        let kind = ErrorKind::NotSoap {
            host: self.endpoint.host().to_owned(),
            content_type: self.content_type().map(|kind| snippet(kind.as_bytes(), &self.task.secrets())),
            snippet: match snippet(body, &self.task.secrets()) {
                empty if empty.is_empty() && !body.trim_ascii().is_empty() => {
                    format!("{} bytes", body.len())
                }
                text => text,
            },
        };
        self.task.failed(kind)
    }

    /// The error for a status that says enough.
    pub(super) fn http_error(&self, body: &[u8]) -> Error {
        let status = self.status();
        let snippet = match self.header(LOCATION) {
            Some(to) if (300..400).contains(&status) => {
                let to = without_query(to, self.endpoint);
                format!("it redirects to {}", self.task.secrets().strike(&to))
            }
            _ => snippet(body, &self.task.secrets()),
        };
        let sent = sent_before(status, &snippet);
        let retry_after = self.header(RETRY_AFTER).and_then(|value| retry_after(value, Utc::now()));
        let error = self.task.failed(ErrorKind::Http { status, snippet, retry_after });
        match sent {
            Some(sent) => error.with_sent(sent),
            None => error,
        }
    }
}

/// What is being done, for errors and logs.
pub(super) struct Task<'a> {
    operation: &'a str,
    target: Option<&'a str>,
    transport: &'a Transport,
    /// The secrets of the request itself.
    own: Secrets,
}

impl<'a> Task<'a> {
    pub(super) fn new(transport: &'a Transport, operation: &'a str, target: Option<&'a str>) -> Self {
        let mut own = Secrets::new();
        // The answer may bring another cookie.
        if let Some(cookie) = transport.session_cookie() {
            own.add(cookie.as_str().trim_matches('"'));
        }
        Self { operation, target, transport, own }
    }

    /// Adds what no error may show.
    pub(super) fn hiding(mut self, secrets: &Secrets) -> Self {
        self.own.add_all(secrets);
        self
    }

    /// What no error may show.
    pub(super) fn secrets(&self) -> Secrets {
        let mut all = self.transport.secrets();
        all.add_all(&self.own);
        all
    }

    pub(super) fn failed(&self, kind: ErrorKind) -> Error {
        let error = Error::new(self.operation.to_owned(), kind);
        match self.target {
            Some(target) => error.on(target),
            None => error,
        }
    }

    /// Logs how the work went: never what was sent or answered, as there are secrets in both.
    pub(super) async fn logged(&self, work: impl Future<Output = Result<Answer>>) -> Result<Answer> {
        let start = Instant::now();
        let result = work.await;
        let ms = start.elapsed().as_millis() as u64;
        let (operation, object) = (self.operation, self.target);
        match &result {
            Ok(answer) => {
                tracing::debug!(operation, object, status = answer.status, bytes = answer.body.len(), ms, "answered");
            }
            Err(error) => {
                tracing::debug!(operation, object, status = error.status(), %error, ms, "failed")
            }
        }
        result
    }
}

/// When a call ends at the latest.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) at: Instant,
    total: Duration,
}

impl Ends {
    pub(super) fn after(total: Duration) -> Self {
        let now = Instant::now();
        // A limit beyond what the clock can hold is no limit; ten years are none either.
        let at = now.checked_add(total).unwrap_or_else(|| now + Duration::from_secs(10 * 365 * 86_400));
        Self { at, total }
    }

    pub(super) fn passed(&self) -> ErrorKind {
        ErrorKind::Timeout { after: self.total, waiting_for: WaitingFor::Answer }
    }
}

/// How much of an answer that is no envelope is looked at, in bytes, and for how long.
const START: usize = 64 << 10;
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// The address that a redirect leads to, without what may be secret in it.
fn without_query(location: &str, from: &Endpoint) -> String {
    match from.sdk().join(location) {
        Ok(url) => format!("{}{}", url.origin().ascii_serialization(), url.path()),
        Err(_) => "an invalid address".to_owned(),
    }
}
