//! What tells a supervisor whether this server lives, and whether it can work.

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::CONTENT_TYPE};
use serde_json::json;
use tokio::{sync::Mutex, time::timeout};
use vsphere_ops::Config;

use crate::{Server, Settings, metrics};

/// How long vSphere may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long what was found is told again, so that a probe costs vSphere little however often it is asked.
const FRESH: Duration = Duration::from_secs(5);

/// Whether vSphere can be reached.
pub(super) struct Probes {
    config: Option<Config>,
    last: Mutex<Option<(Instant, Reached)>>,
}

/// What came of reaching vSphere, in words that tell a stranger nothing.
type Reached = Result<(), &'static str>;

impl Probes {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { config: settings.vsphere().ok(), last: Mutex::default() }
    }

    async fn reach(&self) -> Reached {
        let mut last = self.last.lock().await;
        if let Some((at, reached)) = *last
            && at.elapsed() < FRESH
        {
            return reached;
        }
        let reached = match &self.config {
            None => Err("not set up"),
            Some(config) => match timeout(PATIENCE, config.reach()).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "vSphere is not reached");
                    Err("not reached")
                }
                Err(_) => Err("no answer in time"),
            },
        };
        *last = Some((Instant::now(), reached));
        reached
    }
}

/// The process lives.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// Calls can be done: vSphere answers.
pub(super) async fn ready(State(probes): State<Arc<Probes>>) -> Response {
    match probes.reach().await {
        Ok(()) => Json(json!({ "ready": true, "vsphere": "reached" })).into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "vsphere": why }))).into_response(),
    }
}

/// The metrics, in the text format of Prometheus.
pub(super) async fn measured(State(server): State<Server>) -> Response {
    let mut text = server.metrics().text();
    let backends = server.backends();
    let requests = "mcvsphere_vsphere_requests_total";
    metrics::head(&mut text, requests, "counter", "SOAP requests sent to vSphere.");
    let _ = writeln!(text, "{requests} {}", backends.requests());
    if let Some(age) = backends.cache_age() {
        let help = "Seconds since vSphere confirmed the oldest cache of VMs.";
        metrics::gauge(&mut text, "mcvsphere_cache_age_seconds", help, age.as_secs_f64());
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
