//! `mcvsphere doctor`: whether everything that the tools need is there, and what to do where it is not.

#[cfg(feature = "certificate")]
mod certificate;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use serde::Serialize;
use serde_json::{Value, json};
use vsphere_ops::{
    Client,
    managed::{ComputeResource, Datacenter, Datastore, Network},
    vcenter,
};

use crate::{
    Defaults, Server, Settings, ToolError, Toolset,
    audit::Audit,
    backends::{Backend, Backends, LoginMode},
    catalog::Catalog,
    oauth::{Finding, OAuth, Vcenter},
    policy::Rule,
    render,
    settings::{InForce, Origin},
    text::one_line,
};

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
    check: Cow<'static, str>,
    verdict: Verdict,
    found: String,
}

impl Check {
    fn new(check: impl Into<Cow<'static, str>>, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { check: check.into(), verdict, found: found.into() }
    }
}

/// Looks at everything, and prints what it finds.
///
/// # Errors
/// What was found cannot be printed.
pub(crate) async fn run(
    settings: &Settings,
    json: bool,
    oauth_alone: bool,
    say: impl Fn(&str) -> std::io::Result<()>,
) -> anyhow::Result<ExitCode> {
    let mut checks = oauth(settings, oauth_alone).await;
    if let Err(error) = settings.check_user_login() {
        checks.push(Check::new("vCenter login", Verdict::Failed, error.to_string()));
    }
    if !oauth_alone {
        let server = Server::new(settings)?;
        checks.splice(0..0, examine(settings, &server).await);
        server.close().await;
    }
    let checks_json: Vec<Value> = checks.iter().map(|check| json!(check)).collect();
    match json {
        true => say(&serde_json::to_string_pretty(&checks_json)?)?,
        false => say(&render::table(&Value::Array(checks_json)))?,
    }
    let failed = checks.iter().any(|check| check.verdict == Verdict::Failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// How users log in, where they do.
async fn oauth(settings: &Settings, is_asked: bool) -> Vec<Check> {
    let failed = |problem: String| vec![Check::new("oauth", Verdict::Failed, problem)];
    let oauth = match settings.oauth() {
        Ok(Some(oauth)) => oauth,
        Ok(None) if is_asked => return failed("OAUTH_ENABLED is not set".to_owned()),
        Ok(None) => return Vec::new(),
        Err(error) => return failed(error.to_string()),
    };
    let is_of_users = settings.login() == LoginMode::User;
    let vcenter = is_of_users.then(|| {
        // Nobody is under a policy who logs in themselves.
        Vcenter::new(Backends::new(settings, &Arc::default()), settings.host().unwrap_or_default())
    });
    let oauth = match OAuth::new(&oauth, Audit::default(), vcenter) {
        Ok(oauth) => oauth,
        Err(error) => return failed(error.to_string()),
    };
    let check = |(what, finding, found)| {
        let verdict = match finding {
            Finding::Good => Verdict::Ok,
            Finding::Doubtful => Verdict::Warning,
            Finding::Bad => Verdict::Failed,
        };
        Check::new(what, verdict, found)
    };
    oauth.examine().await.into_iter().map(check).collect()
}

async fn examine(settings: &Settings, server: &Server) -> Vec<Check> {
    let found = concat!("mcvsphere ", env!("CARGO_PKG_VERSION"));
    let mut checks = vec![Check::new("client", Verdict::Ok, found)];
    checks.extend(settings.in_force().iter().map(|setting| in_force(settings, setting)));
    if let Some(target) = settings.audit_target() {
        checks.push(Check::new("audit", Verdict::Ok, target.place.to_string()));
    }
    let (weak, trust) = settings.trust_in_words();
    checks.push(Check::new("trust", if weak { Verdict::Warning } else { Verdict::Ok }, trust));
    let others = settings.warnings().into_iter().filter(|(check, _)| *check != "trust");
    checks.extend(others.map(|(check, found)| Check::new(check, Verdict::Warning, found)));
    if let Some(proxy) = settings.proxy_in_use() {
        checks.push(Check::new("route", Verdict::Ok, format!("by the proxy {proxy}")));
    }
    checks.extend(server.tokens().check_claims().await.map(|claims| match claims {
        Ok(()) => Check::new("claims", Verdict::Ok, "the store of MCP_CLAIMS answers"),
        Err(error) => Check::new("claims", Verdict::Failed, format!("MCP_CLAIMS: {error}")),
    }));
    #[cfg(feature = "certificate")]
    checks.extend(certificate::check(settings).await);
    let started = Instant::now();
    // There is no account to go on with.
    if let Ok(config) = settings.vsphere()
        && settings.login() == LoginMode::User
    {
        checks.push(match config.reach().await {
            Ok(()) => {
                let found =
                    format!("reached within {} ms; each user logs in themselves", started.elapsed().as_millis());
                Check::new("connection", Verdict::Ok, found)
            }
            Err(error) => failed("connection", error.into()),
        });
        return checks;
    }
    let backend = server.backends().unbound();
    let client = &match backend.client().await {
        Ok(client) => client,
        Err(error) => {
            checks.push(failed("connection", error));
            return checks;
        }
    };
    let found = format!("connected and logged in within {} ms", started.elapsed().as_millis());
    checks.push(Check::new("connection", Verdict::Ok, found));
    checks.push(match vcenter::info(client).await {
        Ok(info) => {
            let user = info.user.unwrap_or_else(|| "nobody".to_owned());
            let found = format!(
                "{}, API {} of {} in use, as {user}",
                info.full_name, info.api_version_in_use, info.api_version
            );
            Check::new("server", Verdict::Ok, found)
        }
        Err(error) => failed("server", error.into()),
    });
    checks.push(kind(client));
    checks.extend(time(client).await);
    checks.extend(defaults(client, &settings.defaults()).await);
    checks.extend(rights(client, server.catalog()).await);
    checks.extend(policy(settings, &backend, server.catalog()).await);
    checks
}

fn failed(check: &'static str, error: ToolError) -> Check {
    Check::new(check, Verdict::Failed, error.to_string())
}

/// A setting that was given; the value of a secret is not shown.
fn in_force(settings: &Settings, InForce { name, value, origin }: &InForce) -> Check {
    let from = match (origin, settings.config()) {
        (Origin::File, Some(path)) => path.display().to_string(),
        (origin, _) => format!("the {origin}"),
    };
    Check::new(format!("setting {name}"), Verdict::Ok, format!("{} (from {})", one_line(value), one_line(&from)))
}

/// What the user may not do that the tools do, toolset by toolset.
async fn rights(client: &Client, catalog: &Catalog) -> Vec<Check> {
    let needs = catalog.needs();
    let all: BTreeSet<&str> = needs.values().flat_map(|privileges| privileges.keys().copied()).collect();
    let missing = match client.missing_privileges(&all.into_iter().collect::<Vec<_>>()).await {
        Ok(missing) => missing,
        Err(error) => return vec![Check::new("rights", Verdict::Warning, format!("not known: {error}"))],
    };
    let check = |(toolset, privileges): (&Toolset, &BTreeMap<&str, Vec<&str>>)| {
        let lacks = privileges.iter().filter(|(privilege, _)| missing.iter().any(|other| other == **privilege));
        let lacks: Vec<String> = lacks.map(|(id, tools)| format!("{id} (for {})", tools.join(", "))).collect();
        let (verdict, found) = match lacks.as_slice() {
            [] => (Verdict::Ok, "all that its tools need, on the whole inventory".to_owned()),
            lacks => {
                let found = format!("missing on the root folder: {}; it may be granted further down", lacks.join(", "));
                (Verdict::Warning, found)
            }
        };
        Check::new(format!("rights: {toolset}"), verdict, found)
    };
    needs.iter().map(check).collect()
}

/// What the rules of the policy are about: how many tools, and how many objects of the inventory.
async fn policy(settings: &Settings, backend: &Backend, catalog: &Catalog) -> Vec<Check> {
    let rules = settings.policy().rules();
    if rules.is_empty() {
        return Vec::new();
    }
    let tree = match backend.tree().await {
        Ok(tree) => tree,
        Err(error) => return vec![failed("policy", error)],
    };
    let check = |rule: &Rule| {
        let effect = if rule.allows { "allows" } else { "denies" };
        let who = if rule.groups.is_empty() { "everybody".to_owned() } else { rule.groups.join(", ") };
        let tools = match rule.tools.is_empty() {
            true => "all tools".to_owned(),
            false => format!("{} tools", catalog.names().filter(|tool| rule.is_about(tool)).count()),
        };
        let counts: Vec<usize> = rule.objects.iter().map(|pattern| tree.count(pattern)).collect();
        let objects: Vec<String> =
            rule.objects.iter().zip(&counts).map(|(pattern, count)| format!("{pattern} ({count})")).collect();
        let objects = if objects.is_empty() { "everything".to_owned() } else { objects.join(", ") };
        let verdict = if counts.contains(&0) { Verdict::Warning } else { Verdict::Ok };
        Check::new(format!("policy: {}", one_line(&rule.name)), verdict, format!("{effect} {who} {tools} on {objects}"))
    };
    rules.iter().map(check).collect()
}

/// What a single host, or a free licence, cannot do.
fn kind(client: &Client) -> Check {
    let can = client.capabilities();
    let (verdict, found) = match (can.vcenter, can.read_only) {
        (_, true) => (Verdict::Warning, "the licence forbids changes: only tools that read will work"),
        (false, _) => (Verdict::Warning, "a single ESXi host: no clones, templates, clusters, tags and moves"),
        (true, false) => (Verdict::Ok, "a vCenter Server: all tools"),
    };
    Check::new("kind", verdict, found)
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
        Check::new("latency", warn(latency > SLOW_MS), format!("{latency:.0} ms for the least request")),
        Check::new(
            "clock",
            warn(offset.abs() > MOST_SKEW_SECONDS),
            format!("the server's clock is {offset:+.1} s off this machine's"),
        ),
    ]
}

/// Whether the objects that the settings name are there.
async fn defaults(client: &Client, defaults: &Defaults) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut note = |check, name: &str, found: vsphere_ops::Result<String>| {
        checks.push(match found {
            Ok(id) => Check::new(check, Verdict::Ok, format!("{name} is {id}")),
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
