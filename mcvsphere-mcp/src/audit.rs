//! Who called what with which arguments, what came of it, how long it took.
//!
//! Each call leaves a line in the log, which may drop lines. Where a file is set for it, the audit goes there too, and what
//! changes something is not done without its line: one is written, and on the disk, before the act, and one after it,
//! with one id in both. A call that only reads leaves the one after it, and is answered whatever becomes of the line.
//! A line before an act that has none after it: the program ended meanwhile.

mod journal;
pub(crate) mod report;
mod story;

use std::{borrow::Cow, fmt, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use chrono::{SecondsFormat, Utc};
use ring::digest::{SHA256, digest};
use rmcp::{RoleServer, model::JsonObject, service::RequestContext};
use serde_json::{Value, json};
use vsphere_ops::OperationId;

use crate::{
    Permission,
    caller::{Caller, Identity},
    catalog::Entry,
    confirm,
    http::Remote,
    metrics::Metrics,
    schema::Mark,
    text::one_line,
};
use journal::Journal;
pub(crate) use journal::settle;
pub(crate) use story::About;

/// The target of audit lines, which a log level does not silence.
pub(crate) const TARGET: &str = "audit";

/// Where audit lines go, besides the log.
#[derive(Clone, Default)]
pub(crate) struct Audit {
    journal: Option<Arc<Journal>>,
    /// Where what is written is counted too.
    metrics: Option<Arc<Metrics>>,
}

impl Audit {
    /// The audit that goes there. A file is created where it is not there, for its owner alone.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn new(target: Option<Target>) -> Result<Self, AuditError> {
        Ok(Self { journal: target.map(|target| Journal::open(target).map(Arc::new)).transpose()?, metrics: None })
    }

    /// The audit, whose calls these metrics count.
    #[must_use]
    pub(crate) fn counted_by(self, metrics: &Arc<Metrics>) -> Self {
        Self { metrics: Some(Arc::clone(metrics)), ..self }
    }

    /// Writes that a bearer token was refused.
    pub(crate) fn refused(&self, remote: Option<IpAddr>, reason: &str) {
        let remote = remote.map(|address| address.to_string());
        tracing::warn!(target: TARGET, remote, reason, "a bearer token was refused");
        self.event("bearer_refused", json!({ "remote": remote, "reason": reason }));
    }

    /// Writes a line about something else than a call, such as a login.
    pub(crate) fn note(&self, event: &'static str, fields: Value) {
        tracing::info!(target: TARGET, event, %fields, "login");
        self.event(event, fields);
    }

    fn event(&self, event: &'static str, fields: Value) {
        let Some(journal) = &self.journal else { return };
        let mut line = json!({ "time": now(), "event": event });
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        journal.write(format!("{line}\n").into_bytes());
    }
}

/// Where audit lines go besides the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) place: Place,
    /// The setting that names it, for errors.
    pub(crate) setting: &'static str,
}

/// A place for audit lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file. Before it becomes larger than so many bytes, it gets a number at its end, and another begins.
    File { path: PathBuf, most: Option<u64> },
    /// The log of the system.
    Syslog,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => path.display().fmt(f),
            Self::Syslog => f.write_str("syslog"),
        }
    }
}

/// Why there is no audit line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditError(String);

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AuditError {}

/// A call, from before it runs to its end.
pub(crate) struct Record {
    pub(crate) tool: Cow<'static, str>,
    pub(crate) permission: Option<Permission>,
    audit: Audit,
    call: String,
    caller: Caller,
    remote: Option<IpAddr>,
    arguments: Value,
    client: Option<String>,
    trace_id: String,
    finished: bool,
}

impl Record {
    /// The record of a call with these arguments, as [`shown`] makes them, or of another method than `tools/call` under the
    /// method's name.
    pub(crate) fn new(
        name: impl Into<Cow<'static, str>>,
        arguments: Value,
        context: &RequestContext<RoleServer>,
        caller: &Caller,
    ) -> Self {
        let client = context.client_info().map(|it| format!("{}/{}", it.name, it.version));
        let trace_id = context.meta.get_traceparent().and_then(trace_id);
        let parts = context.extensions.get::<http::request::Parts>();
        let remote = parts.and_then(|parts| Some(parts.extensions.get::<Remote>()?.address));
        let mut record = Self::of(name.into(), arguments, caller, client, trace_id);
        record.remote = remote;
        record
    }

    fn of(
        tool: Cow<'static, str>,
        arguments: Value,
        caller: &Caller,
        client: Option<String>,
        trace_id: Option<String>,
    ) -> Self {
        Self {
            tool,
            permission: None,
            audit: Audit::default(),
            call: format!("{:016x}", fastrand::u64(..)),
            caller: caller.clone(),
            remote: None,
            arguments: limited(arguments),
            client,
            trace_id: trace_id.unwrap_or_else(new_trace_id),
            finished: false,
        }
    }

    /// The record of a call whose lines go to this audit too.
    pub(crate) fn kept_in(mut self, audit: &Audit) -> Self {
        self.audit = audit.clone();
        self
    }

    /// The operation ID that vSphere logs with the requests of this call: the start of the trace ID, and the caller's name.
    pub(crate) fn operation_id(&self) -> OperationId {
        let trace = self.trace_id.get(..8).unwrap_or_default();
        OperationId::new(&format!("mcv-{trace}-{}", self.caller.name()))
    }

    /// Writes the line before a change. Where it cannot be written the change must not be made.
    ///
    /// # Errors
    /// The file takes no line, or not in time.
    pub(crate) async fn begin(&self) -> Result<(), AuditError> {
        match &self.audit.journal {
            Some(journal) => journal.write_and_wait(self.line("begin", json!({}))).await,
            None => Ok(()),
        }
    }

    /// Writes the line after the call.
    pub(crate) fn finish(mut self, outcome: &str, duration: Duration) {
        self.end(outcome, Some(duration));
    }

    fn end(&mut self, outcome: &str, duration: Option<Duration>) {
        self.finished = true;
        if let Some(metrics) = &self.audit.metrics {
            metrics.ended(&self.tool, outcome, duration);
        }
        let (issuer, subject) = parts(self.caller.identity());
        let duration_ms = duration.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX));
        tracing::info!(
            target: TARGET,
            call = self.call,
            who = self.caller.name(),
            issuer,
            subject,
            level = self.caller.level().map(Permission::name),
            remote = self.remote.map(|address| address.to_string()),
            tool = %self.tool,
            permission = self.permission.map(Permission::name),
            arguments = %self.arguments,
            client = self.client,
            trace_id = self.trace_id,
            operation_id = %self.operation_id(),
            outcome,
            duration_ms,
            "call"
        );
        if let Some(journal) = &self.audit.journal {
            journal.write(self.line("end", json!({ "outcome": outcome, "duration_ms": duration_ms })));
        }
    }

    /// A line of the file.
    fn line(&self, event: &str, more: Value) -> Vec<u8> {
        let (issuer, subject) = parts(self.caller.identity());
        let mut line = json!({
            "time": now(),
            "event": event,
            "call": self.call,
            "who": self.caller.name(),
            "issuer": issuer,
            "subject": subject,
            "groups": self.caller.groups(),
            "level": self.caller.level(),
            "remote": self.remote,
            "tool": self.tool,
            "permission": self.permission.map(Permission::name),
            "arguments": self.arguments,
            "client": self.client,
            "trace_id": self.trace_id,
            "operation_id": self.operation_id().as_str(),
        });
        if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
            line.extend(more);
        }
        format!("{line}\n").into_bytes()
    }
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The issuer of a remote caller, and the subject by which it knows them.
fn parts(identity: &Identity) -> (Option<&str>, Option<&str>) {
    match identity {
        Identity::Local => (None, None),
        Identity::Remote { issuer, subject } => (Some(issuer), Some(subject)),
    }
}

/// A call that is dropped in the middle leaves its line too.
impl Drop for Record {
    fn drop(&mut self) {
        if !self.finished {
            self.end("abandoned", None);
        }
    }
}

/// The trace id in a W3C `traceparent`: version, trace id, parent id and flags, in hexadecimal.
fn trace_id(traceparent: &str) -> Option<String> {
    let id = traceparent.split('-').nth(1)?;
    let valid = id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()) && id.chars().any(|c| c != '0');
    valid.then(|| id.to_lowercase())
}

/// A trace id for a call whose client gave none.
fn new_trace_id() -> String {
    format!("{:032x}", fastrand::u128(1..))
}

/// The arguments of a call as they may be logged and shown: what the tool's schema marks as secret is left out, and so is
/// what the tool does not take, because it may be a secret by a misspelt name. Of a confirmation token there is a
/// fingerprint, which tells whether two calls used the same.
pub(crate) fn shown(arguments: &JsonObject, tool: Option<&Entry>) -> Value {
    let shown = |(name, value): (&String, &Value)| {
        let own = tool.and_then(|tool| tool.tool.shown?(name, arguments));
        let value = match (tool.and_then(|tool| tool.mark(name)), value) {
            _ if own.is_some() => short(&own.unwrap_or_default(), LONGEST),
            (_, Value::String(token)) if name == confirm::ARGUMENT => fingerprint(token),
            (Some(None | Some(Mark::Text)), value) => short(value, LONGEST),
            (Some(Some(Mark::Cut)), value) => beginning(value),
            (None | Some(Some(Mark::Secret | Mark::Json)), _) => Value::from("***"),
        };
        (name.clone(), value)
    };
    arguments.iter().map(shown).collect()
}

/// A value with each of its texts cut after so many characters.
fn short(value: &Value, most: usize) -> Value {
    match value {
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), short(value, most))).collect(),
        Value::Array(items) => items.iter().map(|item| short(item, most)).collect(),
        Value::String(text) => match text.char_indices().nth(most) {
            Some((end, _)) => Value::from(format!("{}… ({} bytes)", &text[..end], text.len())),
            None => value.clone(),
        },
        other => other.clone(),
    }
}

/// The beginning of a value that is never logged whole.
fn beginning(value: &Value) -> Value {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let start: String = text.chars().take(BEGINNING.min(text.chars().count() / 2)).collect();
    Value::from(format!("{start}… ({} bytes)", text.len()))
}

/// The most characters of an argument that is never logged whole.
const BEGINNING: usize = 40;

/// The most characters of one argument in an audit line.
const LONGEST: usize = 200;

/// The most bytes of all arguments in an audit line.
const MOST: usize = 64 << 10;

/// Arguments that are many more than a call has are written as the beginning of their JSON.
fn limited(arguments: Value) -> Value {
    let text = arguments.to_string();
    if text.len() <= MOST {
        return arguments;
    }
    let start: String = text.chars().take(MOST / 4).collect();
    Value::from(format!("{start}… ({} bytes)", text.len()))
}

fn fingerprint(token: &str) -> Value {
    let hash = digest(&SHA256, token.as_bytes());
    let start: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Value::from(format!("sha256:{start}"))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;

    fn temporary(name: &str) -> PathBuf {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("mcvsphere-audit-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory.join(name)
    }

    fn to(path: &Path) -> Target {
        Target { place: Place::File { path: path.to_owned(), most: None }, setting: "MCP_AUDIT_FILE" }
    }

    fn lines(path: &Path) -> Vec<Value> {
        assert!(settle(Duration::from_secs(10)));
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
    }

    fn record(audit: &Audit, arguments: Value) -> Record {
        Record::of("power_off_vm".into(), arguments, &Caller::local(Permission::FullAdmin), None, None).kept_in(audit)
    }

    #[tokio::test]
    async fn a_change_has_a_line_before_and_one_after_with_one_id() {
        let path = temporary("audit.jsonl");
        let audit = Audit::new(Some(to(&path))).unwrap();
        let change = record(&audit, json!({ "vm": "web-1" }));
        change.begin().await.unwrap();
        let before = lines(&path);
        assert_eq!((before.len(), &before[0]["event"]), (1, &json!("begin")));
        change.finish("ok", Duration::from_millis(7));
        record(&audit, json!({ "vm": "web-2" })).finish("not_found", Duration::ZERO);
        drop(record(&audit, json!({})));

        let all = lines(&path);
        let told: Vec<_> = all.iter().map(|line| (&line["event"], &line["outcome"])).collect();
        let (begin, end) = (json!("begin"), json!("end"));
        let outcomes = [json!("ok"), json!("not_found"), json!("abandoned")];
        assert_eq!(told, [(&begin, &Value::Null), (&end, &outcomes[0]), (&end, &outcomes[1]), (&end, &outcomes[2])]);
        assert_eq!(all[0]["call"], all[1]["call"]);
        assert_ne!(all[1]["call"], all[2]["call"]);
        assert_eq!((&all[1]["tool"], &all[1]["arguments"]["vm"]), (&json!("power_off_vm"), &json!("web-1")));
        assert_eq!(all[1]["duration_ms"], 7);
    }

    #[test]
    fn a_login_has_a_line_that_no_name_breaks() {
        let path = temporary("audit.jsonl");
        let audit = Audit::new(Some(to(&path))).unwrap();
        audit.note("login", json!({ "who": "a\nb\u{202e}", "outcome": "ok" }));
        let all = lines(&path);
        assert_eq!((all.len(), &all[0]["event"], &all[0]["who"]), (1, &json!("login"), &json!("a\nb\u{202e}")));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_file_is_appended_to_and_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let path = temporary("audit.jsonl");
        for _ in 0..2 {
            record(&Audit::new(Some(to(&path))).unwrap(), json!({})).begin().await.unwrap();
        }
        // Each leaves a line for its end, as nobody finished it.
        assert_eq!(lines(&path).len(), 4);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_made_again() {
        let path = temporary("audit.jsonl");
        let audit = Audit::new(Some(to(&path))).unwrap();
        fs::rename(&path, path.with_extension("1")).unwrap();
        record(&audit, json!({})).begin().await.unwrap();
        assert_eq!(lines(&path)[0]["event"], "begin");
    }

    #[tokio::test]
    async fn a_file_that_would_become_too_large_gets_a_number_and_the_oldest_goes() {
        let path = temporary("audit.jsonl");
        let target = Target { place: Place::File { path: path.clone(), most: Some(700) }, setting: "MCP_AUDIT" };
        let audit = Audit::new(Some(target)).unwrap();
        let all = 24;
        for number in 0..all {
            audit.refused(None, &format!("{number:0>200}"));
        }
        let numbered = |number: usize| {
            let mut name = path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        assert_eq!(lines(&path).len(), 2);
        let kept = (1..=journal::KEPT).map(|number| lines(&numbered(number)));
        let kept: Vec<Value> = kept.flat_map(|lines| lines.into_iter().rev()).collect();
        assert!(!numbered(journal::KEPT + 1).exists());
        let last = lines(&path).into_iter().rev().chain(kept);
        let told: Vec<usize> = last.map(|line| line["reason"].as_str().unwrap().parse().unwrap()).collect();
        let expected: Vec<usize> = (0..all).rev().take(told.len()).collect();
        assert_eq!(told, expected);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_log_of_the_system_gets_each_line_whole() {
        let path = temporary("log");
        let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let journal = Journal::open_syslog_at(path).unwrap();
        let audit = Audit { journal: Some(Arc::new(journal)), metrics: None };
        record(&audit, json!({ "vm": "web-1" })).begin().await.unwrap();
        let mut bytes = [0; 4096];
        // The first tries whether it can be written.
        socket.recv(&mut bytes).unwrap();
        let count = socket.recv(&mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..count]).unwrap();
        let (head, line) = text.split_once(": ").unwrap();
        assert_eq!(head, format!("<86>mcvsphere[{}]", std::process::id()));
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["event"], "begin");
    }

    #[tokio::test]
    async fn a_change_whose_line_cannot_be_written_is_refused_and_a_read_goes_on() {
        let path = temporary("audit.jsonl");
        let audit = Audit::new(Some(to(&path))).unwrap();
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        let change = record(&audit, json!({}));
        let error = change.begin().await.unwrap_err().to_string();
        assert!(error.contains("MCP_AUDIT_FILE") && error.contains("nothing was done"), "{error}");
        change.finish("audit", Duration::ZERO);
        assert!(settle(Duration::from_secs(10)));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        record(&audit, json!({})).begin().await.unwrap();
        assert_eq!(lines(&path)[0]["event"], "begin");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_refuses_changes() {
        let audit = Audit::new(Some(to(Path::new("/dev/full")))).unwrap();
        let error = record(&audit, json!({})).begin().await.unwrap_err().to_string();
        assert!(error.contains("/dev/full"), "{error}");
    }

    #[test]
    fn a_file_that_can_never_be_written_is_told_at_start() {
        let directory = temporary("");
        let error = Audit::new(Some(to(&directory))).err().unwrap().to_string();
        assert!(error.starts_with("MCP_AUDIT_FILE cannot be written"), "{error}");
        assert!(Audit::new(Some(to(&directory.join("no/such/folder")))).is_err());
    }

    fn entry() -> Entry {
        let (secret, cut) = (json!({ "x-mcvsphere": "secret" }), json!({ "x-mcvsphere": "cut" }));
        let properties = json!({ "vm": {}, "vms": {}, "note": {}, "password": secret, "command": cut });
        let schema = json!({ "type": "object", "properties": properties });
        let tool = crate::Tool::reads("sample", crate::Toolset::Vm, "Sample", |_: JsonObject, _| async {
            Ok(crate::Content(Vec::new()))
        });
        Entry::new(tool.takes(schema.as_object().cloned().unwrap()), false, false)
    }

    fn told(arguments: &Value) -> Value {
        shown(arguments.as_object().unwrap(), Some(&entry()))
    }

    #[test]
    fn no_confirmation_token_is_written() {
        let arguments = told(&json!({ "vm": "web-1", "confirm": "rs1.live-token", "plan_token": "rs1.live-token" }));
        let text = arguments.to_string();
        assert!(!text.contains("live"), "{text}");
        assert_eq!(arguments["confirm"], told(&json!({ "confirm": "rs1.live-token" }))["confirm"]);
        assert_ne!(arguments["confirm"], told(&json!({ "confirm": "rs1.other" }))["confirm"]);
        assert_eq!(told(&json!({ "confirm": ["rs1.live-token"] }))["confirm"], "***");
    }

    #[test]
    fn many_arguments_are_cut() {
        let many = limited(json!({ "vms": vec!["x".repeat(100); 10_000] }));
        assert!(many.as_str().unwrap().ends_with("bytes)"));
        let all = json!({ "vms": vec!["web-1"; 500] });
        assert_eq!(limited(all.clone()), all);
    }

    #[test]
    fn the_trace_id_is_the_clients_or_new() {
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_id(given).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for wrong in ["", "00-short-x-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
            assert_eq!(trace_id(wrong), None, "{wrong}");
        }
        let (one, other) = (new_trace_id(), new_trace_id());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }

    #[test]
    fn secrets_are_not_written() {
        let line = told(&json!({
            "vm_name": "web-1", "password": "x", "pasword": "x", "note": "a".repeat(201), "vms": ["b".repeat(300)],
        }));
        assert_eq!(line["vm_name"], "web-1");
        assert_eq!((&line["password"], &line["pasword"]), (&json!("***"), &json!("***")));
        assert!(line["note"].as_str().unwrap().ends_with("… (201 bytes)"));
        assert!(line["vms"][0].as_str().unwrap().ends_with("… (300 bytes)"));
        let arguments = json!({ "vm": "web-1", "password": "x" });
        assert_eq!(
            shown(arguments.as_object().unwrap(), None),
            json!({ "vm": "***", "password": "***" }),
            "no such tool"
        );
    }

    #[test]
    fn what_is_to_be_cut_is_never_written_whole() {
        for command in ["rm", "mysql -psecret", &"x".repeat(1000)] {
            let line = told(&json!({ "command": command }))["command"].as_str().unwrap().to_owned();
            let (start, length) = line.split_once("… (").unwrap();
            assert!(start.len() <= 40 && start.len() < command.len() && command.starts_with(start), "{line}");
            assert_eq!(length, format!("{} bytes)", command.len()));
        }
        assert_eq!(told(&json!({ "command": ["mysql", "-psecret"] }))["command"], "[\"mysql\",\"… (20 bytes)");
    }
}
