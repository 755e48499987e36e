//! What a tool's body is given besides its arguments: the call that it serves, and what belongs to that call alone.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rmcp::{
    RoleServer,
    model::{CallToolResponse, InputResponses, JsonObject},
    service::RequestContext,
};
use serde_json::Value;
use tokio::sync::watch;
use vsphere_ops::{
    Client, Page, Progress, Scope, Step,
    columns::Groups,
    guest::{Chunk, Stream},
    transfer::{TransferProgress, WebHosts},
    vm::{VmColumn, VmQuery, VmSummary},
};

use crate::{
    Defaults, Permission, Server, ToolError,
    answer::Listed,
    audit,
    backends::{Backend, InUse},
    caller::Visit,
    confirm::Claimed,
    credentials::GuestCredentials,
    error::Result,
    files::LocalFiles,
    mirror::Cached,
    progress::{Latest, Reporter},
    tasks::has_tasks,
};

/// How many characters of a piece of a command's output are told, the last ones.
const OUTPUT_TOLD: usize = 500;

/// What a call needs besides the time that its tool may take.
const AFTERWARDS: Duration = Duration::from_secs(60);

/// The context of a call: how a tool reaches vSphere, asks the user, and tells how far it is.
///
/// The tasks that its client starts are reported on as progress and cancelled with the call, without a word in the tool.
pub struct Cx {
    pub(crate) server: Server,
    pub(crate) call: Arc<Call>,
    pub(crate) request: RequestContext<RoleServer>,
}

/// A call on its way through the gate.
pub(crate) struct Call {
    /// The tool's present name.
    pub(crate) tool: &'static str,
    pub(crate) visit: Visit,
    /// The caller's way to vSphere.
    pub(crate) backend: Arc<Backend>,
    /// As long as this is kept, their session is not idle.
    #[expect(dead_code, reason = "it is kept for its drop")]
    pub(crate) in_use: InUse,
    /// The arguments by their present names, without the confirmation.
    pub(crate) arguments: JsonObject,
    /// The confirmation token that came with the call.
    pub(crate) plan: Option<String>,
    /// What the client answered to the questions of the round before, and the state that it was given with them.
    pub(crate) answers: Option<InputResponses>,
    pub(crate) state: Option<String>,
    pub(crate) scope: Scope,
    pub(crate) reporter: Reporter,
    /// What goes out in place of the tool's answer: a question, or the outcome of the call before.
    pub(crate) instead: Mutex<Option<CallToolResponse>>,
    /// The token that this call has used up, which remembers the outcome.
    pub(crate) claimed: Mutex<Option<Claimed>>,
    /// Whether the user has been asked, or need not be.
    pub(crate) clear: watch::Sender<bool>,
    /// Whether the caller waits for the answer.
    pub(crate) waits: bool,
    /// How long the call may take from its beginning; `None` where nothing but its caller ends it.
    pub(crate) limit: watch::Sender<Option<Duration>>,
}

impl Call {
    /// Leaves what goes out in place of the tool's answer. The tool ends with the error.
    pub(crate) fn answer_instead(&self, response: CallToolResponse) -> ToolError {
        *self.instead.lock().unwrap_or_else(PoisonError::into_inner) = Some(response);
        ToolError::new("confirmation_required", "the user has to be asked first")
    }

    /// What goes out in place of the tool's answer.
    pub(crate) fn take_instead(&self) -> Option<CallToolResponse> {
        self.instead.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes that this call has used up a token.
    pub(crate) fn claim(&self, claimed: Claimed) {
        *self.claimed.lock().unwrap_or_else(PoisonError::into_inner) = Some(claimed);
    }

    /// Remembers the outcome of the call, where it has used up a token.
    pub(crate) fn end_claim(&self, outcome: &CallToolResponse) {
        if let Some(claimed) = self.claimed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            claimed.ended(outcome);
        }
    }

    /// Notes that nothing more has to be asked.
    pub(crate) fn clear(&self) {
        self.clear.send_replace(true);
    }

    /// Waits until nothing more has to be asked.
    pub(crate) async fn cleared(&self) {
        // The sender lives as long as this call does.
        let _ = self.clear.subscribe().wait_for(|clear| *clear).await;
    }
}

impl Cx {
    /// The arguments as they may be shown: without secrets.
    pub(crate) fn arguments_shown(&self) -> Value {
        audit::shown(&self.call.arguments, self.server.catalog().get(self.call.tool))
    }

    /// The request in MCP's own terms.
    pub fn request(&self) -> &RequestContext<RoleServer> {
        &self.request
    }

    /// What the client answered to the questions of the round before.
    pub fn answers(&self) -> Option<&InputResponses> {
        self.call.answers.as_ref()
    }

    /// The state that the client was given with these questions.
    pub fn state(&self) -> Option<&str> {
        self.call.state.as_deref()
    }

    /// The connection to vSphere, which looks VMs up in the cache while that is current.
    ///
    /// # Errors
    /// A setting is missing, the server is not reached, or refuses the login.
    pub(crate) async fn client(&self) -> Result<Client> {
        let client = self.call.backend.client().await?.in_scope(&self.call.scope);
        Ok(client.with_cache(Arc::new(Cached(Arc::clone(&self.call.backend)))))
    }

    /// The objects to use where the call names none.
    pub(crate) fn defaults(&self) -> &Defaults {
        self.call.backend.defaults()
    }

    /// Whether this server is to change nothing, not even for a moment.
    pub(crate) fn is_read_only(&self) -> bool {
        self.server.catalog().is_read_only()
    }

    /// The stored credentials of guests.
    pub(crate) fn guests(&self) -> &GuestCredentials {
        self.server.guests()
    }

    /// The highest level that the caller has.
    pub(crate) fn level(&self) -> Option<Permission> {
        self.call.visit.caller.level()
    }

    /// The files of this computer that the call may touch.
    ///
    /// # Errors
    /// `config` where it may touch none.
    pub(crate) fn files(&self) -> Result<&LocalFiles> {
        let not_set = "no file of this computer may be touched: set MCP_FILES to the directory that is meant for it";
        self.server.files().ok_or_else(|| ToolError::new("config", not_set))
    }

    /// The web servers that the call may fetch files from.
    ///
    /// # Errors
    /// `config` where there are none.
    pub(crate) fn web(&self) -> Result<&WebHosts> {
        let web = self.server.web();
        let not_set = "no URL may be fetched: set MCP_URLS to the web servers that are meant for it";
        if web.is_empty() { Err(ToolError::new("config", not_set)) } else { Ok(web) }
    }

    /// A page of virtual machines, from memory where that is current.
    ///
    /// # Errors
    /// Those of the connection, and of the query.
    pub(crate) async fn list_machines(&self, query: &VmQuery) -> Result<Page<VmSummary>> {
        self.call.backend.list_machines(query).await
    }

    /// The virtual machines in groups, likewise.
    pub(crate) async fn group_machines(&self, query: &VmQuery, column: VmColumn) -> Result<Groups> {
        self.call.backend.group_machines(query, column).await
    }

    /// The answer that is this page of a list, of whose items only some fields may be wanted.
    pub(crate) fn page<T>(&self, page: Page<T>, fields: Option<Vec<String>>) -> Listed<T> {
        let next_cursor = page.next_cursor.map(|cursor| self.seal_cursor(&cursor));
        Listed { page: Page { next_cursor, ..page }, fields }
    }

    /// The cursor that this call gives, which only its caller can send back.
    pub(crate) fn seal_cursor(&self, cursor: &str) -> String {
        self.server.tokens().seal_cursor(&self.call.visit.owner(), self.call.tool, cursor.to_owned())
    }

    /// Where the page that is asked for begins.
    ///
    /// # Errors
    /// The cursor was given to another caller, session or tool.
    pub(crate) fn cursor(&self, given: Option<String>) -> Result<Option<String>> {
        let opened = given.map(|cursor| {
            let opened = self.server.tokens().open_cursor(&self.call.visit.owner(), self.call.tool, &cursor);
            opened.ok_or_else(|| {
                ToolError::invalid_argument(
                    "`cursor` is not the next_cursor of a page that this tool gave in this session: leave it out to \
                     begin with the first page",
                )
            })
        });
        opened.transpose()
    }

    /// Lets the call take this long, where that is more than the usual limit: a tool's own argument says how long its work
    /// may take, and what follows takes some time, too.
    pub(crate) fn may_take(&self, time: Duration) {
        let wanted = time.saturating_add(AFTERWARDS);
        self.call.limit.send_if_modified(|limit| {
            let longer = limit.is_some_and(|limit| limit < wanted);
            if longer {
                *limit = Some(wanted);
            }
            longer
        });
    }

    /// What a transfer of files tells its progress to, so that it becomes that of the call.
    pub(crate) fn transfer(
        &self,
        operation: &'static str,
        target: &str,
    ) -> impl Fn(TransferProgress) + Send + Sync + 'static {
        let (reporter, target) = (self.call.reporter.clone(), target.to_owned());
        move |progress| reporter.bytes(operation, &target, &progress)
    }

    /// What the progress of a task that somebody else has started is told to, so that it becomes that of the call.
    pub(crate) fn steps_of(&self, task: &str) -> impl Fn(Progress) + Send + Sync + 'static {
        let (reporter, task) = (self.call.reporter.clone(), task.to_owned());
        move |progress| {
            reporter.step(&Step {
                task: task.clone(),
                operation: "wait for".to_owned(),
                target: task.clone(),
                progress,
                waits_for: None,
            });
        }
    }

    /// Whether somebody sees how far the call is before it is done.
    pub(crate) fn is_watched(&self) -> bool {
        self.call.reporter.is_heard() || !self.call.waits || has_tasks(&self.request)
    }

    /// What the output of a command in a guest is told to as it comes: the end of each piece becomes progress of the call,
    /// marked as what a guest has written.
    pub(crate) fn output(&self) -> impl Fn(Chunk) + Send + Sync + 'static {
        let reporter = self.call.reporter.clone();
        move |chunk| {
            let text = String::from_utf8_lossy(&chunk.bytes);
            let text = text.trim_end();
            let from = text.char_indices().rev().nth(OUTPUT_TOLD - 1).map_or(0, |(at, _)| at);
            let stream = if chunk.stream == Stream::Stderr { "stderr" } else { "stdout" };
            let end = text.get(from..).unwrap_or_default();
            reporter.output(stream, end);
        }
    }

    /// Tells the progress of another call as that of this one.
    pub(crate) fn tell(&self, latest: &Latest) {
        self.call.reporter.relay(latest);
    }

    /// Says how many tasks this call will wait for, so that its progress does not reach its end with the first.
    pub(crate) fn expect_tasks(&self, tasks: usize) {
        self.call.reporter.expect(tasks);
    }
}
