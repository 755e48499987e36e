//! A file that is sent: a stream of pieces, watched by how the server takes them.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::Stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderValue};
use tokio::time::{Instant, sleep_until};

use super::file::{FileCall, SendMethod};
use super::reply::{Ends, Task};
use super::transport::{Cookies, Transport};
use crate::error::{ErrorKind, Result, WaitingFor};

impl Transport {
    /// Sends a file whose pieces come from a stream, and waits until the server has it.
    ///
    /// Give the `length` where it is known: without it the file goes in chunks, which not every server takes. There is
    /// no limit on how long the whole takes: the server may stall as long as
    /// [`read_timeout`](super::TransportOptions::read_timeout) says, and may take for its answer, once it has all, as
    /// long as any answer may. How long the stream takes for a piece does not count.
    ///
    /// # Errors
    /// [`ErrorKind::Source`] when the stream fails, or has more or fewer bytes than `length`; [`ErrorKind::Http`] for
    /// every status but 200 to 299; else as [`post`](Self::post).
    pub async fn upload<S>(&self, call: FileCall<'_>, body: S, length: Option<u64>) -> Result<()>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let url = self.endpoint().url(call.path);
        let mut request = match call.method {
            SendMethod::Put => self.client().put(url),
            SendMethod::Replace => self.client().put(url).header("Overwrite", "t"),
            SendMethod::Post => self.client().post(url),
        };
        let kind = HeaderValue::from_str(call.content_type).map_err(|_| {
            call.failed(ErrorKind::Config(format!("the content type {:?} is not valid", call.content_type)))
        })?;
        request = request.header(CONTENT_TYPE, kind);
        if let Some(length) = length {
            request = request.header(CONTENT_LENGTH, length);
        }
        let state = Arc::new(Mutex::new(State { phase: Phase::Sending(Instant::now()), failure: None }));
        let body = Watched { pieces: Box::pin(body), left: length, last: None, state: Arc::clone(&state) };
        request = request.body(reqwest::Body::wrap_stream(body));
        let cookies = match call.ticket_cookie()? {
            Some(ticket) => {
                request = request.header(COOKIE, ticket);
                Cookies::None
            }
            None => Cookies::Session,
        };

        let task = Task::new(self, call.operation, call.target).hiding(&call.secrets());
        let options = self.options();
        // A connection comes first, and has a limit of its own.
        let stall = options.read_timeout.max(options.connect_timeout);
        let answered = tokio::select! {
            answered = self.send(&task, request, Duration::MAX, cookies) => answered,
            late = stalled(&state, stall, options.request_timeout) => Err(call.failed(late)),
        };
        // The HTTP client only says that the body failed; what failed is known here.
        if let Some(failure) = lock(&state).failure.take() {
            return Err(call.failed(ErrorKind::Source(failure)));
        }
        let mut reply = answered?;
        if !(200..300).contains(&reply.status()) {
            let start = reply.start().await;
            return Err(reply.http_error(&start));
        }
        Ok(())
    }
}

/// How far an upload is, seen from both its ends.
struct State {
    phase: Phase,
    /// Why the stream of pieces failed.
    failure: Option<io::Error>,
}

#[derive(Clone, Copy)]
enum Phase {
    /// The stream is to give the next piece.
    Reading,
    /// The server is to take the piece that it was given then.
    Sending(Instant),
    /// The server has all since then, and is to answer.
    Sent(Instant),
}

/// Ends when the server has stalled for too long.
async fn stalled(state: &Mutex<State>, stall: Duration, answer: Duration) -> ErrorKind {
    loop {
        let phase = lock(state).phase;
        let (since, after, waiting_for) = match phase {
            Phase::Reading => (Instant::now(), stall, WaitingFor::Taken),
            Phase::Sending(since) => (since, stall, WaitingFor::Taken),
            Phase::Sent(since) => (since, answer, WaitingFor::Answer),
        };
        let ends = since.checked_add(after).unwrap_or_else(|| Ends::after(after).at);
        if ends <= Instant::now() {
            return ErrorKind::Timeout { after, waiting_for };
        }
        sleep_until(ends).await;
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pieces on their way to the server: counted, and with the time of each.
struct Watched {
    pieces: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    /// How many bytes are still to come, where the length is known.
    left: Option<u64>,
    /// The last piece, where the length is known: it goes when the stream has ended there. Nobody would ask for more.
    last: Option<Bytes>,
    state: Arc<Mutex<State>>,
}

impl Watched {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            let piece = match self.pieces.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(piece))) => piece,
                Poll::Ready(None) => match (self.last.take(), self.left) {
                    (Some(last), _) => return Poll::Ready(Some(Ok(last))),
                    (None, None | Some(0)) => return Poll::Ready(None),
                    (None, Some(left)) => {
                        let text = format!("the data to send is {left} bytes shorter than announced");
                        return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))));
                    }
                },
                failed_or_pending => return failed_or_pending,
            };
            let Some(left) = self.left else { return Poll::Ready(Some(Ok(piece))) };
            let Some(left) = left.checked_sub(piece.len() as u64) else {
                return Poll::Ready(Some(Err(io::Error::other("the data to send is longer than announced"))));
            };
            self.left = Some(left);
            if left > 0 {
                return Poll::Ready(Some(Ok(piece)));
            }
            if !piece.is_empty() {
                self.last = Some(piece);
            }
        }
    }
}

impl Stream for Watched {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let polled = this.poll_piece(cx);
        let mut state = lock(&this.state);
        state.phase = match &polled {
            Poll::Pending => Phase::Reading,
            Poll::Ready(Some(_)) if this.left != Some(0) => Phase::Sending(Instant::now()),
            Poll::Ready(_) => Phase::Sent(Instant::now()),
        };
        match polled {
            Poll::Ready(Some(Err(failure))) => {
                let told = io::Error::from(failure.kind());
                state.failure = Some(failure);
                Poll::Ready(Some(Err(told)))
            }
            other => other,
        }
    }
}
