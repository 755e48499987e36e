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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn line(
        hour: u32,
        event: &str,
        call: &str,
        subject: Option<&str>,
        arguments: &Value,
        outcome: Option<&str>,
    ) -> String {
        let issuer = subject.map(|_| "https://login.example");
        let line = json!({
            "time": format!("2027-01-01T{hour:02}:00:00.000Z"), "event": event, "call": call, "who": "jane", "tool": "rename_vm",
            "issuer": issuer, "subject": subject, "arguments": arguments, "outcome": outcome,
        });
        format!("{line}\n")
    }

    fn about(since: u32, only: Option<Identity>) -> About {
        let since = DateTime::parse_from_rfc3339(&format!("2027-01-01T{since:02}:00:00Z")).unwrap().to_utc();
        About { names: vec!["web-1".to_owned(), "vm-7".to_owned()], since, only }
    }

    /// Files with these lines, the newest first.
    fn files(name: &str, contents: &[&str]) -> Vec<PathBuf> {
        let path = |number: usize| {
            std::env::temp_dir().join(format!("mcvsphere-story-{}-{name}.{number}", std::process::id()))
        };
        for (number, content) in contents.iter().enumerate() {
            std::fs::write(path(number), content).unwrap();
        }
        (0..=contents.len()).map(path).collect()
    }

    fn outcomes(told: &[Told]) -> Vec<Option<&str>> {
        told.iter().map(|call| call.outcome.as_deref()).collect()
    }

    #[test]
    fn changes_of_an_object_are_told_with_what_came_of_them() {
        let on = |what: Value| json!({ "vms": ["x", what] });
        let text = [
            line(1, "end", "read", None, &json!({ "vm": "web-1" }), Some("ok")),
            line(2, "begin", "asked", None, &json!({ "vm": "web-1" }), None),
            line(2, "end", "asked", None, &json!({ "vm": "web-1" }), Some("confirmation_required")),
            line(3, "begin", "done", None, &on(json!("WEB-1")), None),
            line(3, "end", "done", None, &on(json!("WEB-1")), Some("ok")),
            line(4, "begin", "failed", None, &json!({ "vm": "vm-7" }), None),
            line(4, "end", "failed", None, &json!({ "vm": "vm-7" }), Some("busy")),
            line(5, "begin", "lost", None, &json!({ "vm": "/dc/vm/web-1" }), None),
            line(6, "begin", "other", None, &json!({ "vm": "web-10" }), None),
            "{\"torn".to_owned(),
        ]
        .concat();
        let files = files("changes", &[&text]);
        let (told, is_complete) = read(&files, &about(0, None), MOST_BYTES).unwrap();
        assert_eq!(outcomes(&told), [None, Some("busy"), Some("unknown: no end is written")]);
        assert!(is_complete && told[0].arguments.contains("WEB-1"), "{told:?}");
        assert_eq!(read(&files, &about(4, None), MOST_BYTES).unwrap().0.len(), 2);
        std::fs::remove_file(&files[0]).unwrap();
    }

    #[test]
    fn of_others_nothing_is_told_to_those_who_see_their_own_calls_alone() {
        let vm = json!({ "vm": "web-1" });
        let text: String =
            [Some("7"), Some("70"), None].iter().map(|subject| line(1, "begin", "x", *subject, &vm, None)).collect();
        let files = files("own", &[&text]);
        let remote = |issuer: &str| Identity::Remote { issuer: Arc::from(issuer), subject: Arc::from("7") };
        let count = |only| read(&files, &about(0, only), MOST_BYTES).unwrap().0.len();
        assert_eq!(count(None), 3);
        assert_eq!(count(Some(remote("https://login.example"))), 1);
        assert_eq!(count(Some(remote("https://other.example"))), 0);
        assert_eq!(count(Some(Identity::Local)), 1);
        std::fs::remove_file(&files[0]).unwrap();
    }

    #[test]
    fn older_files_are_read_as_far_as_is_needed_and_allowed() {
        let vm = json!({ "vm": "web-1" });
        let text = |hours: [u32; 2]| hours.map(|hour| line(hour, "begin", &hour.to_string(), None, &vm, None)).concat();
        let (new, old) = (text([5, 6]), text([1, 2]));
        let files = files("older", &[&new, &old]);
        let read = |since, most| {
            let (told, is_complete) = read(&files, &about(since, None), most).unwrap();
            (told.len(), is_complete)
        };
        assert_eq!(read(0, MOST_BYTES), (4, true));
        assert_eq!(read(2, MOST_BYTES), (3, true));
        assert_eq!(read(6, MOST_BYTES), (1, true));
        // There is room for one line and a part of another.
        assert_eq!(read(0, new.len() as u64 - 10), (1, false));
        for file in &files[..2] {
            std::fs::remove_file(file).unwrap();
        }
    }
}
