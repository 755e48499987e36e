//! What is counted: calls by tool and outcome, how long they take, sessions.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

/// The upper bounds of the histogram in seconds: from what the cache answers to the longest tasks of vSphere.
const BOUNDS: [f64; 12] = [0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0];

/// What a name stands for that is no tool: a client may send any number of such.
const UNKNOWN: &str = "unknown";

/// The counters of a server.
pub(crate) struct Metrics {
    calls: Mutex<Calls>,
    /// Calls that run now.
    running: watch::Sender<usize>,
    sessions: AtomicI64,
}

#[derive(Default)]
struct Calls {
    /// By tool or method, and outcome.
    outcomes: BTreeMap<(String, String), u64>,
    durations: BTreeMap<String, Histogram>,
}

#[derive(Default)]
struct Histogram {
    /// How many are in each bucket, and not in one before it.
    buckets: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { calls: Mutex::default(), running: watch::Sender::new(0), sessions: AtomicI64::new(0) }
    }
}

/// A call that runs, for as long as this lives.
pub(crate) struct Running<'a>(&'a Metrics);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

impl Metrics {
    /// Counts a call that has ended, of a tool or another method.
    pub(crate) fn ended(&self, tool: &str, outcome: &str, duration: Option<Duration>) {
        let tool = if outcome == "unknown_tool" { UNKNOWN } else { tool };
        let mut calls = self.calls();
        *calls.outcomes.entry((tool.to_owned(), outcome.to_owned())).or_default() += 1;
        if let Some(duration) = duration {
            calls.durations.entry(tool.to_owned()).or_default().add(duration.as_secs_f64());
        }
    }

    /// Counts a call that begins.
    pub(crate) fn begin(&self) -> Running<'_> {
        self.running.send_modify(|running| *running += 1);
        Running(self)
    }

    /// Waits until no call runs.
    pub(crate) async fn idle(&self) {
        // The sender lives as long as this.
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }

    /// Counts a session that has begun (1) or ended (-1).
    pub(crate) fn sessions(&self, change: i64) {
        self.sessions.fetch_add(change, Ordering::Relaxed);
    }

    /// All, in the text format of Prometheus.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        let calls = self.calls();
        head(text, "mcvsphere_calls_total", "counter", "Calls by tool or method and outcome.");
        for ((tool, outcome), count) in &calls.outcomes {
            let _ = writeln!(
                text,
                "mcvsphere_calls_total{{tool=\"{}\",outcome=\"{}\"}} {count}",
                label(tool),
                label(outcome)
            );
        }
        const DURATION: &str = "mcvsphere_call_duration_seconds";
        head(text, DURATION, "histogram", "How long calls took.");
        for (tool, histogram) in &calls.durations {
            let tool = label(tool);
            let mut below = 0;
            for (bound, count) in BOUNDS.iter().zip(histogram.buckets) {
                below += count;
                let _ = writeln!(text, "{DURATION}_bucket{{tool=\"{tool}\",le=\"{bound}\"}} {below}");
            }
            let Histogram { count, seconds, .. } = histogram;
            let _ = writeln!(text, "{DURATION}_bucket{{tool=\"{tool}\",le=\"+Inf\"}} {count}");
            let _ = writeln!(text, "{DURATION}_sum{{tool=\"{tool}\"}} {seconds}");
            let _ = writeln!(text, "{DURATION}_count{{tool=\"{tool}\"}} {count}");
        }
        gauge(text, "mcvsphere_calls_running", "Calls that run now.", *self.running.borrow());
        gauge(text, "mcvsphere_sessions", "Sessions of MCP that are open.", self.sessions.load(Ordering::Relaxed));
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Histogram {
    fn add(&mut self, seconds: f64) {
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.seconds += seconds;
    }
}

/// The lines before the samples of a metric.
pub(crate) fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

/// A metric of one sample.
pub(crate) fn gauge(text: &mut String, name: &str, help: &str, value: impl std::fmt::Display) {
    head(text, name, "gauge", help);
    let _ = writeln!(text, "{name} {value}");
}

/// A value between quotes.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_tool_and_outcome_and_unknown_names_as_one() {
        let metrics = Metrics::default();
        metrics.ended("list_vms", "ok", Some(Duration::from_millis(7)));
        metrics.ended("list_vms", "ok", Some(Duration::from_secs(1000)));
        metrics.ended("list_vms", "not\"found", None);
        metrics.ended("evil\n1", "unknown_tool", Some(Duration::ZERO));
        metrics.sessions(1);
        let running = metrics.begin();
        let text = metrics.text();
        for line in [
            "mcvsphere_calls_total{tool=\"list_vms\",outcome=\"ok\"} 2",
            "mcvsphere_calls_total{tool=\"list_vms\",outcome=\"not\\\"found\"} 1",
            "mcvsphere_calls_total{tool=\"unknown\",outcome=\"unknown_tool\"} 1",
            "mcvsphere_call_duration_seconds_bucket{tool=\"list_vms\",le=\"0.005\"} 0",
            "mcvsphere_call_duration_seconds_bucket{tool=\"list_vms\",le=\"0.02\"} 1",
            "mcvsphere_call_duration_seconds_bucket{tool=\"list_vms\",le=\"900\"} 1",
            "mcvsphere_call_duration_seconds_bucket{tool=\"list_vms\",le=\"+Inf\"} 2",
            "mcvsphere_call_duration_seconds_count{tool=\"list_vms\"} 2",
            "mcvsphere_calls_running 1",
            "mcvsphere_sessions 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("evil"));
        drop(running);
        assert!(metrics.text().contains("mcvsphere_calls_running 0"));
    }
}
