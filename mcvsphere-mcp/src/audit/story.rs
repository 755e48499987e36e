//! The calls that changed an object, from the audit file of this server.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::PathBuf,
};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{Audit, parts, report::text};
use crate::caller::Identity;

/// How many bytes of the files are read, the newest.
const MOST_BYTES: u64 = 16 << 20;

/// A call that changed something, or tried to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) time: DateTime<Utc>,
    pub(crate) who: String,
    pub(crate) tool: String,
    /// As the audit has them: without secrets.
    pub(crate) arguments: String,
    /// The code of an error, or that the end is not known.
    pub(crate) outcome: Option<String>,
}

/// What is looked for in the audit.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// The name and the id of the object.
    pub(crate) names: Vec<String>,
    pub(crate) since: DateTime<Utc>,
    /// Only the calls of this caller, where they may not see those of others.
    pub(crate) only: Option<Identity>,
}

impl Audit {
    /// The calls that changed an object, or why there are none to read. Where older ones could not be read that is told too.
    pub(crate) async fn calls(&self, about: About) -> (Vec<Told>, Option<String>) {
        let files = self.journal.as_ref().map(|journal| journal.files()).unwrap_or_default();
        if files.is_empty() {
            return (Vec::new(), Some("this server keeps no audit file: MCP_AUDIT names one".to_owned()));
        }
        match tokio::task::spawn_blocking(move || read(&files, &about, MOST_BYTES)).await {
            Ok(Ok((told, true))) => (told, None),
            Ok(Ok((told, false))) => {
                (told, Some("of older calls there is no line left, or there are too many".to_owned()))
            }
            Ok(Err(error)) => (Vec::new(), Some(format!("the audit file cannot be read: {error}"))),
            Err(error) => (Vec::new(), Some(format!("the audit file cannot be read: {error}"))),
        }
    }
}

/// Reads the calls that fit, and whether all since then could be read.
fn read(files: &[PathBuf], about: &About, mut left: u64) -> io::Result<(Vec<Told>, bool)> {
    let (mut lines, mut is_complete) = (Vec::new(), false);
    for path in files {
        let file = match File::open(path) {
            // There were never more lines than these files hold, unless all of them are there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                is_complete = true;
                break;
            }
            opened => opened?,
        };
        let taken = tail(file, left)?;
        left = left.saturating_sub(taken.bytes);
        let is_older = taken.lines.first().and_then(moment).is_some_and(|first| first < about.since);
        lines.extend(taken.lines);
        if is_older || left == 0 {
            is_complete = is_older;
            break;
        }
    }
    Ok((told(lines, about), is_complete))
}

/// The last lines of a file.
struct Tail {
    lines: Vec<Map<String, Value>>,
    bytes: u64,
}

fn tail(mut file: File, most: u64) -> io::Result<Tail> {
    let length = file.metadata()?.len();
    let bytes = length.min(most);
    file.seek(SeekFrom::Start(length - bytes))?;
    let mut lines = Vec::new();
    // What is written meanwhile is for the next time; a line that was cut says nothing.
    for line in BufReader::new(file.take(bytes)).split(b'\n') {
        if let Ok(Value::Object(line)) = serde_json::from_slice(&line?) {
            lines.push(line);
        }
    }
    Ok(Tail { lines, bytes })
}

/// The calls among these lines that changed the object, or tried to: those before which a line was written.
fn told(lines: Vec<Map<String, Value>>, about: &About) -> Vec<Told> {
    let of_event = |event: &'static str| lines.iter().filter(move |line| text(line, "event") == event);
    let ended: HashMap<&str, &str> = of_event("end").map(|line| (text(line, "call"), text(line, "outcome"))).collect();
    let told = of_event("begin").filter(|line| fits(line, about)).filter_map(|line| {
        let outcome = match ended.get(text(line, "call")).copied() {
            Some("ok") => None,
            // The user was asked, and nothing was done yet.
            Some("confirmation_required" | "input_required") => return None,
            Some(outcome) => Some(outcome.to_owned()),
            None => Some("unknown: no end is written".to_owned()),
        };
        Some(Told {
            time: moment(line)?,
            who: text(line, "who").to_owned(),
            tool: text(line, "tool").to_owned(),
            arguments: line.get("arguments").map(Value::to_string).unwrap_or_default(),
            outcome,
        })
    });
    told.collect()
}

fn fits(line: &Map<String, Value>, about: &About) -> bool {
    let is_theirs = about.only.as_ref().is_none_or(|only| {
        let (issuer, subject) = parts(only);
        let of = |key: &str| line.get(key).and_then(Value::as_str);
        (of("issuer"), of("subject")) == (issuer, subject)
    });
    is_theirs
        && moment(line).is_some_and(|moment| moment >= about.since)
        && line.get("arguments").is_some_and(|arguments| names(arguments, &about.names))
}

/// Whether one of the texts in a value is one of these names, or an inventory path that ends with it.
fn names(value: &Value, wanted: &[String]) -> bool {
    match value {
        Value::String(text) => {
            let last = text.rsplit('/').next().unwrap_or(text);
            wanted.iter().any(|name| [text.as_str(), last].iter().any(|text| text.eq_ignore_ascii_case(name)))
        }
        Value::Array(items) => items.iter().any(|item| names(item, wanted)),
        Value::Object(fields) => fields.values().any(|field| names(field, wanted)),
        _ => false,
    }
}

fn moment(line: &Map<String, Value>) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text(line, "time")).ok().map(|time| time.to_utc())
}
