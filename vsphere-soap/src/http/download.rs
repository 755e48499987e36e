//! A file as it arrives: checked by its head first, then a stream of pieces.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{FusedStream, Stream};
use reqwest::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, COOKIE, ETAG, HeaderName, RANGE};
use tokio::time::{Sleep, sleep_until};

use super::answer::snippet;
use super::failure;
use super::file::FileCall;
use super::reply::{Ends, Task};
use super::transport::{Cookies, Transport};
use crate::error::{Error, ErrorKind, Result, Sent, WaitingFor};

impl Transport {
    /// Gets a file as a stream, once the head of the answer says that it is there.
    ///
    /// There is no limit on how long the whole takes: the head may take as long as any answer may, and each piece as
    /// long as [`read_timeout`](super::TransportOptions::read_timeout) says.
    ///
    /// # Errors
    /// [`ErrorKind::Http`] for every status but 200, redirects included, and for 200 where a [part](FileCall::part) was
    /// asked for; [`ErrorKind::NotAFile`] where the server answers with a page; else as [`post`](Self::post).
    pub async fn download(&self, call: FileCall<'_>) -> Result<Download> {
        let mut request = self.client().get(self.endpoint().url(call.path)).header(ACCEPT, "*/*");
        request = request.headers(call.more_headers()?);
        if let Some((from, length)) = call.part {
            let last = from.saturating_add(length.saturating_sub(1));
            request = request.header(RANGE, format!("bytes={from}-{last}"));
        }
        let (request, cookies) = match call.ticket_cookie()? {
            Some(ticket) => (request.header(COOKIE, ticket), Cookies::None),
            None => (request, Cookies::Session),
        };
        let task = Task::new(self, call.operation, call.target).hiding(&call.secrets());
        let mut reply = self.send(&task, request, self.options().request_timeout, cookies).await?;
        let expected = if call.part.is_some() { 206 } else { 200 };
        if reply.status() != expected {
            let start = reply.start().await;
            return Err(reply.http_error(&start));
        }
        let content_type = reply.content_type();
        if is_page(content_type.as_deref(), call.path) {
            let start = reply.start().await;
            return Err(task.failed(ErrorKind::NotAFile { snippet: snippet(&start, &task.secrets()) }));
        }
        let response = reply.response;
        let header = |name: HeaderName| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let tls = response.extensions().get::<reqwest::tls::TlsInfo>();
        let certificate = tls.and_then(|tls| tls.peer_certificate()).map(Arc::from);
        let idle = self.options().read_timeout;
        Ok(Download {
            length: response.content_length(),
            whole: header(CONTENT_RANGE).and_then(|range| range.rsplit('/').next()?.trim().parse().ok()),
            etag: header(ETAG),
            certificate,
            content_type: header(CONTENT_TYPE),
            operation: call.operation.to_owned(),
            target: call.target.map(str::to_owned),
            received: 0,
            pieces: Some(Box::pin(response.bytes_stream())),
            idle,
            stalls: Box::pin(sleep_until(Ends::after(idle).at)),
            waits: false,
        })
    }
}

type Pieces = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

/// A file as it arrives. The stream ends after the last byte, or with the one error that ended it.
///
/// Dropping it closes the connection.
pub struct Download {
    length: Option<u64>,
    whole: Option<u64>,
    etag: Option<String>,
    certificate: Option<Arc<[u8]>>,
    content_type: Option<String>,
    operation: String,
    target: Option<String>,
    received: u64,
    pieces: Option<Pieces>,
    idle: std::time::Duration,
    stalls: Pin<Box<Sleep>>,
    /// Whether `stalls` runs: the timer is only set when there is something to wait for.
    waits: bool,
}

impl Download {
    /// How many bytes the file has, if the server said it. An answer that ends before is an error.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// How many bytes the whole file has, where a part of it was asked for.
    pub fn whole_length(&self) -> Option<u64> {
        self.whole
    }

    /// The mark of this version of the file, if the server gave one.
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// The certificate that the server presented, in DER; none over plain http.
    pub fn certificate(&self) -> Option<&Arc<[u8]>> {
        self.certificate.as_ref()
    }

    /// The content type, if the server said it.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// How many bytes have arrived.
    pub fn received(&self) -> u64 {
        self.received
    }

    fn failed(&self, kind: ErrorKind) -> Error {
        let error = Error::new(self.operation.clone(), kind).with_sent(Sent::Yes);
        match &self.target {
            Some(target) => error.on(target),
            None => error,
        }
    }

    fn end(&mut self, error: Option<ErrorKind>) -> Poll<Option<Result<Bytes>>> {
        self.pieces = None;
        Poll::Ready(error.map(|kind| Err(self.failed(kind))))
    }
}

impl Stream for Download {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(pieces) = &mut this.pieces else { return Poll::Ready(None) };
        match pieces.as_mut().poll_next(cx) {
            Poll::Ready(Some(Ok(piece))) => {
                this.waits = false;
                this.received += piece.len() as u64;
                Poll::Ready(Some(Ok(piece)))
            }
            Poll::Ready(Some(Err(error))) => {
                let source = failure::root_cause(&error);
                let received = this.received;
                this.end(Some(ErrorKind::Interrupted { received, source }))
            }
            Poll::Ready(None) => this.end(None),
            Poll::Pending => {
                if !this.waits {
                    this.stalls.as_mut().reset(Ends::after(this.idle).at);
                    this.waits = true;
                }
                if this.stalls.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                let after = this.idle;
                this.end(Some(ErrorKind::Timeout { after, waiting_for: WaitingFor::NextBytes }))
            }
        }
    }
}

impl FusedStream for Download {
    fn is_terminated(&self) -> bool {
        self.pieces.is_none()
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("target", &self.target)
            .field("length", &self.length)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

/// Whether an answer is a page for people: the list of a folder, or what a proxy says with status 200.
fn is_page(content_type: Option<&str>, path: &str) -> bool {
    let kind = content_type.and_then(|full| full.split(';').next()).unwrap_or_default().trim();
    let name = path.split('?').next().unwrap_or_default().to_ascii_lowercase();
    kind.eq_ignore_ascii_case("text/html") && !name.ends_with(".html") && !name.ends_with(".htm")
}
