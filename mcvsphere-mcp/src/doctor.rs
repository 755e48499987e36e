//! `mcvsphere doctor`: whether everything that the tools need is there, and what to do where it is not.

use std::{process::ExitCode, time::Instant};

use serde::Serialize;
use serde_json::{Value, json};
use vsphere_ops::{
    Client,
    managed::{ComputeResource, Datacenter, Datastore, Network},
    vcenter,
};

use crate::{Defaults, Settings, ToolError, render, vsphere::Vsphere};

/// A clock that is off by more is trouble: tokens and certificates are refused, events are out of order.
const MOST_SKEW_SECONDS: f64 = 60.0;

/// A server that takes longer for the least request makes every tool slow.
const SLOW_MS: f64 = 500.0;

/// What came of looking at one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warning,
    Failed,
}

#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    verdict: Verdict,
    found: String,
}

/// Looks at everything, and prints what it finds.
///
/// # Errors
/// What was found cannot be printed.
pub(crate) async fn run(
    settings: &Settings,
    json: bool,
    say: impl Fn(&str) -> std::io::Result<()>,
) -> anyhow::Result<ExitCode> {
    let vsphere = Vsphere::new(settings);
    let checks = examine(settings, &vsphere).await;
    vsphere.close().await;
    let checks_json: Vec<Value> = checks.iter().map(|check| json!(check)).collect();
    match json {
        true => say(&serde_json::to_string_pretty(&checks_json)?)?,
        false => say(&render::text(&Value::Array(checks_json)))?,
    }
    let failed = checks.iter().any(|check| check.verdict == Verdict::Failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn examine(settings: &Settings, vsphere: &Vsphere) -> Vec<Check> {
    let mut checks = vec![Check {
        check: "client",
        verdict: Verdict::Ok,
        found: concat!("mcvsphere ", env!("CARGO_PKG_VERSION")).to_owned(),
    }];
    let (weak, trust) = settings.trust_in_words();
    let verdict = if weak { Verdict::Warning } else { Verdict::Ok };
    checks.push(Check { check: "certificate", verdict, found: trust });
    let started = Instant::now();
    let client = match vsphere.client().await {
        Ok(client) => client,
        Err(error) => {
            checks.push(failed("connection", error));
            return checks;
        }
    };
    let found = format!("connected and logged in within {} ms", started.elapsed().as_millis());
    checks.push(Check { check: "connection", verdict: Verdict::Ok, found });
    checks.push(match vcenter::info(client).await {
        Ok(info) => Check {
            check: "server",
            verdict: Verdict::Ok,
            found: format!(
                "{}, API {} of {} in use, as {}",
                info.full_name,
                info.api_version_in_use,
                info.api_version,
                info.user.unwrap_or_else(|| "nobody".to_owned())
            ),
        },
        Err(error) => failed("server", error.into()),
    });
    checks.push(kind(client));
    checks.extend(time(client).await);
    checks.extend(defaults(client, settings.defaults()).await);
    checks
}

fn failed(check: &'static str, error: ToolError) -> Check {
    Check { check, verdict: Verdict::Failed, found: error.to_string() }
}

/// What a single host, or a free licence, cannot do.
fn kind(client: &Client) -> Check {
    let can = client.capabilities();
    let (verdict, found) = match (can.vcenter, can.read_only) {
        (_, true) => (Verdict::Warning, "the licence forbids changes: only tools that read will work"),
        (false, _) => (Verdict::Warning, "a single ESXi host: no clones, templates, clusters, tags and moves"),
        (true, false) => (Verdict::Ok, "a vCenter Server: all tools"),
    };
    Check { check: "kind", verdict, found: found.to_owned() }
}

/// How fast the server answers, and how its clock is set.
async fn time(client: &Client) -> Vec<Check> {
    let started = Instant::now();
    let offset = match client.clock_offset().await {
        Ok(offset) => offset.as_seconds_f64(),
        Err(error) => return vec![failed("clock", error.into())],
    };
    let latency = started.elapsed().as_secs_f64() * 1000.0;
    let warn = |bad: bool| if bad { Verdict::Warning } else { Verdict::Ok };
    vec![
        Check {
            check: "latency",
            verdict: warn(latency > SLOW_MS),
            found: format!("{latency:.0} ms for the least request"),
        },
        Check {
            check: "clock",
            verdict: warn(offset.abs() > MOST_SKEW_SECONDS),
            found: format!("the server's clock is {offset:+.1} s off this machine's"),
        },
    ]
}

/// Whether the objects that the settings name are there.
async fn defaults(client: &Client, defaults: &Defaults) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut note = |check, name: &str, found: vsphere_ops::Result<String>| {
        checks.push(match found {
            Ok(id) => Check { check, verdict: Verdict::Ok, found: format!("{name} is {id}") },
            Err(error) => failed(check, error.into()),
        });
    };
    if let Some(name) = &defaults.datacenter {
        note("VCENTER_DATACENTER", name, client.get::<Datacenter>(name).await.map(|it| it.id().to_owned()));
    }
    if let Some(name) = &defaults.cluster {
        note("VCENTER_CLUSTER", name, client.get::<ComputeResource>(name).await.map(|it| it.id().to_owned()));
    }
    if let Some(name) = &defaults.datastore {
        note("VCENTER_DATASTORE", name, client.get::<Datastore>(name).await.map(|it| it.id().to_owned()));
    }
    if let Some(name) = &defaults.network {
        note("VCENTER_NETWORK", name, client.get::<Network>(name).await.map(|it| it.id().to_owned()));
    }
    checks
}
