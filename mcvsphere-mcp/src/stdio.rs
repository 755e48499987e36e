//! MCP over standard input and output: one JSON-RPC message a line.
//!
//! It stands in the place of rmcp's own transport, which drops in silence what it cannot parse, forgets a last line
//! without a newline, and ends at a notification that comes before `initialize`. Here every line gets a message passed
//! on, or the JSON-RPC error that it deserves (see [`message`]), or is a notification, which is never answered.
//!
//! The session ends when the client closes its side and the calls that still run have been answered, or answers stop
//! coming; and at once when standard output can no longer be written.

mod lines;
mod message;

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rmcp::{
    RoleServer,
    model::{
        ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorData, GetMeta, JsonRpcMessage, ProtocolVersion,
        RequestId, ServerJsonRpcMessage,
    },
    transport::Transport,
};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use lines::{Line, Lines};
use message::Read;

/// How long calls that still run may go on without any answer, once the client has closed its side.
const GRACE: Duration = Duration::from_millis(1400);

/// How long the last answers may take to be written when the session ends.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// The messages that wait to be written before those who send wait too.
const QUEUE: usize = 64;

/// The transport over a reader and a writer.
pub(crate) struct Stdio<R> {
    lines: Lines<R>,
    output: Option<mpsc::Sender<Outgoing>>,
    writer: Option<JoinHandle<()>>,
    /// What was read and is to be refused, in lines.
    refusals: VecDeque<Vec<u8>>,
    shared: Arc<Shared>,
    broken: watch::Receiver<bool>,
    ended: watch::Sender<bool>,
    /// Whether rmcp has chosen the lifecycle. Before that it ends at all that is no request.
    opened: bool,
    /// When the client closed its side.
    closed: Option<Instant>,
}

/// A line to write, and who wants to know whether it was.
struct Outgoing {
    line: Vec<u8>,
    done: Option<oneshot::Sender<io::Result<()>>>,
}

#[derive(Default)]
struct Shared {
    calls: Mutex<Calls>,
    answered: Notify,
}

#[derive(Default)]
struct Calls {
    /// The requests that were not answered, and whether the end of the session waits for them.
    open: HashMap<RequestId, bool>,
    /// Answers that are on their way to the client.
    unwritten: usize,
    last_answer: Option<Instant>,
}

impl Shared {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: AsyncRead + Send + Unpin> Stdio<R> {
    /// A transport that reads and writes in the runtime of this task.
    pub(crate) fn new(reader: R, writer: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        let (output, queue) = mpsc::channel(QUEUE);
        let (breaks, broken) = watch::channel(false);
        Self {
            lines: Lines::new(reader),
            output: Some(output),
            writer: Some(tokio::spawn(write(queue, writer, breaks))),
            refusals: VecDeque::new(),
            shared: Arc::default(),
            broken,
            ended: watch::Sender::new(false),
            opened: false,
            closed: None,
        }
    }

    /// Turns true when nothing more will be read, so that whoever serves need not wait for calls that still run.
    pub(crate) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// The next message, `None` at the end. May be dropped and called again at any time.
    async fn next(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            while !self.refusals.is_empty() {
                let permit = self.output.as_ref()?.reserve().await.ok()?;
                if let Some(line) = self.refusals.pop_front() {
                    permit.send(Outgoing { line, done: None });
                }
            }
            if *self.broken.borrow() {
                return None;
            }
            if let Some(closed) = self.closed {
                if !self.waits_for_answers(closed).await {
                    return None;
                }
                continue;
            }
            let line = tokio::select! {
                line = self.lines.next() => line,
                _ = self.broken.wait_for(|broken| *broken) => return None,
            };
            let read = match line {
                Ok(Line::Whole(line)) => message::read(&line),
                Ok(Line::TooLong { head, tail }) => message::too_long(&head, &tail),
                Ok(Line::End) => {
                    self.closed = Some(Instant::now());
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "standard input cannot be read");
                    self.closed = Some(Instant::now());
                    continue;
                }
            };
            match read {
                Read::Nothing => {}
                Read::Refusal(lines) => self.refusals.extend(lines),
                Read::Message(message) => {
                    if let Some(message) = self.accept(*message) {
                        return Some(message);
                    }
                }
            }
        }
    }

    /// Keeps account of a message. `None` where it is not for rmcp.
    fn accept(&mut self, message: ClientJsonRpcMessage) -> Option<ClientJsonRpcMessage> {
        match &message {
            JsonRpcMessage::Request(request) => {
                let waits = !matches!(request.request, ClientRequest::SubscriptionsListenRequest(_));
                if self.shared.calls().open.contains_key(&request.id) {
                    let why = format!("the id {} belongs to a request that is not answered yet", json!(request.id));
                    let id = json!(request.id);
                    self.refusals.push_back(message::refusal(Some(&id), &ErrorData::invalid_request(why, None)));
                    return None;
                }
                self.shared.calls().open.insert(request.id.clone(), waits);
                self.opened |= opens(&request.request);
            }
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    // rmcp sends no answer to what was cancelled.
                    self.shared.calls().open.remove(id);
                }
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
        }
        if !self.opened && !matches!(message, JsonRpcMessage::Request(_)) {
            tracing::debug!("a message that is no request came before initialize");
            return None;
        }
        Some(message)
    }

    /// Waits for the next answer to a call that still runs. False when there is none to wait for any more.
    async fn waits_for_answers(&mut self, closed: Instant) -> bool {
        let (deadline, answered) = {
            let answered = self.shared.answered.notified();
            let calls = self.shared.calls();
            if calls.unwritten == 0 && !calls.open.values().any(|waits| *waits) {
                return false;
            }
            (calls.last_answer.map_or(closed, |last| last.max(closed)) + GRACE, answered)
        };
        tokio::select! {
            () = answered => true,
            _ = self.broken.wait_for(|broken| *broken) => false,
            () = sleep_until(deadline) => false,
        }
    }
}

/// Whether rmcp leaves its opening phase by this request, in which it takes nothing but requests.
fn opens(request: &ClientRequest) -> bool {
    let meta = request.get_meta();
    match request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_) => false,
        _ => {
            let known = |version| ProtocolVersion::KNOWN_VERSIONS.contains(&version);
            meta.protocol_version().is_some_and(known)
                && meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
        }
    }
}

impl<R: AsyncRead + Send + Unpin> Transport<RoleServer> for Stdio<R> {
    type Error = io::Error;

    fn send(&mut self, message: ServerJsonRpcMessage) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let answers = match &message {
            JsonRpcMessage::Response(response) => Some(&response.id),
            JsonRpcMessage::Error(error) => error.id.as_ref(),
            _ => None,
        };
        let answers = answers.map(|id| {
            let mut calls = self.shared.calls();
            calls.open.remove(id);
            calls.unwritten += 1;
        });
        let line = serde_json::to_vec(&message).map(|mut line| {
            line.push(b'\n');
            line
        });
        let (output, shared) = (self.output.clone(), Arc::clone(&self.shared));
        async move {
            let sent = async {
                let gone = || io::Error::from(io::ErrorKind::NotConnected);
                let (done, written) = oneshot::channel();
                let outgoing = Outgoing { line: line?, done: Some(done) };
                output.ok_or_else(gone)?.send(outgoing).await.map_err(|_| gone())?;
                written.await.map_err(|_| gone())?
            };
            let sent = sent.await;
            if answers.is_some() {
                let mut calls = shared.calls();
                calls.unwritten -= 1;
                calls.last_answer = Some(Instant::now());
            }
            shared.answered.notify_waiters();
            sent
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        let message = self.next().await;
        if message.is_none() {
            self.ended.send_replace(true);
        }
        message
    }

    async fn close(&mut self) -> io::Result<()> {
        self.output = None;
        if let Some(writer) = self.writer.take() {
            let _ = timeout(LAST_WORDS, writer).await;
        }
        Ok(())
    }
}

/// Writes what comes, until nobody can send any more or the client no longer reads.
async fn write(
    mut queue: mpsc::Receiver<Outgoing>,
    mut writer: impl AsyncWrite + Send + Unpin + 'static,
    broken: watch::Sender<bool>,
) {
    while let Some(Outgoing { line, done }) = queue.recv().await {
        let written = async {
            writer.write_all(&line).await?;
            writer.flush().await
        };
        let written = written.await;
        if let Err(error) = &written {
            tracing::info!(%error, "the client does not take answers any more");
            broken.send_replace(true);
        }
        let failed = written.is_err();
        if let Some(done) = done {
            let _ = done.send(written);
        }
        if failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
