//! `mcvsphere audit`: who did what when, from the lines of an audit file.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde_json::{Map, Value, json};
use vsphere_ops::moment;

use crate::{render, text::one_line};

/// The most characters of the arguments in the table.
const LONGEST: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// The file: that of MCP_AUDIT
    file: PathBuf,
    /// Only what is not older: a date, a moment such as 2027-03-01T10:00:00Z, or a time that is past, such as 90m, 24h, 7d
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<DateTime<Utc>>,
    /// Only what this user or token did
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Only calls of this tool
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Print each line that fits as it stands in the file, as a list in JSON
    #[arg(long)]
    json: bool,
}

impl AuditArgs {
    /// Prints the lines that fit, the oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn run(self, print: impl Fn(&str) -> io::Result<()>) -> anyhow::Result<ExitCode> {
        let file = File::open(&self.file).with_context(|| format!("{} cannot be read", self.file.display()))?;
        let mut lines = Vec::new();
        for line in BufReader::new(file).split(b'\n') {
            let line = line.with_context(|| format!("{} cannot be read", self.file.display()))?;
            // A line that was cut when the disk was full says nothing.
            if let Ok(Value::Object(line)) = serde_json::from_slice(&line)
                && self.fits(&line)
            {
                lines.push(line);
            }
        }
        // A change has two lines; the first is told only where the second is missing, as the program ended meanwhile.
        let ended: std::collections::HashSet<String> = lines
            .iter()
            .filter(|line| text(line, "event") == "end")
            .map(|line| text(line, "call").to_owned())
            .collect();
        lines.retain(|line| text(line, "event") != "begin" || !ended.contains(text(line, "call")));
        if self.json {
            print(&serde_json::to_string_pretty(&lines)?)?;
        } else {
            print(&render::table(&lines.iter().map(row).collect()))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn fits(&self, line: &Map<String, Value>) -> bool {
        let moment = || DateTime::parse_from_rfc3339(text(line, "time")).ok();
        self.since.is_none_or(|since| moment().is_some_and(|moment| moment >= since))
            && self.who.as_ref().is_none_or(|who| [text(line, "who"), text(line, "subject")].contains(&who.as_str()))
            && self.tool.as_ref().is_none_or(|tool| text(line, "tool") == tool)
    }
}

/// A row of the table.
fn row(line: &Map<String, Value>) -> Value {
    let outcome = match text(line, "event") {
        "begin" => "unknown: no end is written",
        "bearer_refused" => "bearer token refused",
        _ => text(line, "outcome"),
    };
    let what = match line.get("arguments") {
        Some(arguments) => arguments.to_string(),
        None => text(line, "reason").to_owned(),
    };
    let mut what: String = one_line(&what).chars().take(LONGEST + 1).collect();
    if what.chars().count() > LONGEST {
        what.pop();
        what.push('…');
    }
    json!({
        "time": text(line, "time"),
        "who": one_line(text(line, "who")),
        "from": text(line, "remote"),
        "tool": one_line(text(line, "tool")),
        "outcome": one_line(outcome),
        "ms": line.get("duration_ms"),
        "arguments": what,
    })
}

pub(super) fn text<'a>(line: &'a Map<String, Value>, key: &str) -> &'a str {
    line.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Reads a date, a moment, or how long ago it is (`24h`).
pub(crate) fn since(text: &str) -> Result<DateTime<Utc>, String> {
    let ago = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let number: i64 = number.parse().ok().filter(|number| *number >= 0)?;
        let time = match unit {
            "m" => TimeDelta::try_minutes(number),
            "h" => TimeDelta::try_hours(number),
            "d" => TimeDelta::try_days(number),
            _ => None,
        };
        Utc::now().checked_sub_signed(time?)
    };
    moment(text).or_else(ago).ok_or_else(|| "must be such as 2027-03-01, 2027-03-01T10:00:00Z or 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn run(name: &str, lines: &[Value], options: &[&str]) -> String {
        use clap::{Command, FromArgMatches as _};

        let file = std::env::temp_dir().join(format!("mcvsphere-report-{}-{name}", std::process::id()));
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        std::fs::write(&file, format!("{}\n{{\"torn\":", text.join("\n"))).unwrap();
        let command = AuditArgs::augment_args(Command::new("audit"));
        let path = file.to_str().unwrap();
        let matches = command.try_get_matches_from(["audit", path].iter().chain(options)).unwrap();
        let told = RefCell::new(String::new());
        let say = |text: &str| {
            told.borrow_mut().push_str(text);
            Ok(())
        };
        AuditArgs::from_arg_matches(&matches).unwrap().run(say).unwrap();
        std::fs::remove_file(&file).unwrap();
        told.into_inner()
    }

    #[test]
    fn who_did_what_when() {
        let line = |time: &str, event: &str, call: &str, who: &str, tool: &str| {
            json!({
                "time": time, "event": event, "call": call, "who": who, "tool": tool,
                "arguments": { "vm": "web-1" }, "outcome": if event == "end" { Some("ok") } else { None },
            })
        };
        let lines = [
            line("2020-01-01T00:00:00.000Z", "end", "1", "jane", "list_vms"),
            line("2027-01-01T00:00:00.000Z", "begin", "2", "jane", "power_off_vm"),
            line("2027-01-01T00:00:01.000Z", "end", "2", "jane", "power_off_vm"),
            line("2027-01-02T00:00:00.000Z", "begin", "3", "ci\u{1b}[2J", "delete_vm"),
            json!({ "time": "2027-01-03T00:00:00.000Z", "event": "bearer_refused", "remote": "192.0.2.1", "reason": "the token is not known" }),
        ];
        let all = run("all", &lines, &[]);
        for part in
            ["jane", "unknown: no end is written", "192.0.2.1", "bearer token refused", "the token is not known"]
        {
            assert!(all.contains(part), "{part}: {all}");
        }
        assert!(!all.contains('\u{1b}'), "{all}");
        let read = |options: &[&str]| -> Vec<Value> {
            serde_json::from_str(&run("json", &lines, &[options, &["--json"]].concat())).unwrap()
        };
        assert_eq!(read(&[]).len(), 4);
        assert_eq!(read(&["--since", "2026-06-01"]).len(), 3);
        assert_eq!(read(&["--since", "2027-01-02T00:00:00+00:00"]).len(), 2);
        assert_eq!(read(&["--who", "jane"]).len(), 2);
        assert_eq!(read(&["--who", "jane", "--tool", "power_off_vm"])[0]["outcome"], "ok");
        for wrong in ["soon", "d", "5w", "-5d", "99999999999999999d"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
        assert!(since("0m").unwrap() <= Utc::now() && since("7d").unwrap() < since("24h").unwrap());
    }
}
