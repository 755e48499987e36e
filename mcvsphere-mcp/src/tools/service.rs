//! The services of hosts, and their clocks.

use serde::Serialize;
use vsphere_ops::host::{NewNtp, NtpChange, NtpConfig, NtpPlan, Service, ServiceChange, ServiceInfo, ServicePolicy};

use super::prelude::*;

/// The service by which vCenter reaches a host.
const AGENT_OF_VCENTER: &str = "vpxa";

const SERVICES: &[&str] = &["Host.Config.NetService"];

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_services", Hosts, "List services", list_services)
            .about("List the services of a host: SSH, NTP and others."),
        Tool::reads("get_service_status", Hosts, "Get a service's state", get_service_status)
            .about("Get the state of one service of a host."),
        Tool::adds("start_service", Hosts, FullAdmin, "Start a service", start_service)
            .about("Start a service of a host.")
            .needs(SERVICES)
            .idempotent(),
        Tool::changes("stop_service", Hosts, FullAdmin, "Stop a service", stop_service)
            .about("Stop a service of a host.")
            .needs(SERVICES)
            .asks()
            .idempotent(),
        Tool::changes("restart_service", Hosts, FullAdmin, "Restart a service", restart_service)
            .about("Restart a service of a host.")
            .needs(SERVICES)
            .asks(),
        Tool::changes("set_service_policy", Hosts, HostAdmin, "Set a service's policy", set_service_policy)
            .about("Set when a service starts; automatic is while its ports are open.")
            .needs(SERVICES)
            .idempotent(),
        Tool::reads("get_ntp_config", Hosts, "Get time servers", get_ntp_config)
            .about("Get a host's time servers, clock, and the state of its NTP service."),
        Tool::changes("configure_ntp", Hosts, HostAdmin, "Set time servers", configure_ntp)
            .about("Replace the list of a host's time servers.")
            .needs(&["Host.Config.DateTime", "Host.Config.NetService"])
            .asks()
            .idempotent(),
    ]
}

async fn list_services(args: ListServices, cx: Cx) -> Result<Listed<ServiceInfo>> {
    let (query, fields) = args.paging.open(&cx)?;
    Ok(cx.page(args.host.find(&cx).await?.list_services(&query).await?, fields))
}

async fn get_service_status(args: OneService, cx: Cx) -> Result<Object<ServiceStatus>> {
    let service = args.find(&cx).await?;
    let (host, id) = (service.host().label().to_owned(), service.host().id().to_owned());
    Ok(Object(ServiceStatus { host, id, service: (*service).clone() }))
}

async fn start_service(args: OneService, cx: Cx) -> Result<Object<ServiceChange>> {
    let service = cx.agreed(|| async {
        let service = args.find(&cx).await?;
        let preview = shown("Start", &service, !service.running)?.harmless();
        Ok((service, preview))
    });
    Ok(Object(service.await?.start().await?))
}

async fn stop_service(args: OneService, cx: Cx) -> Result<Object<ServiceChange>> {
    let service = cx.agreed(|| async {
        let service = args.find(&cx).await?;
        let mut preview = shown("Stop", &service, service.running)?;
        if service.policy == "on" {
            preview = preview.note("It starts again with the host.");
        }
        Ok((service, preview))
    });
    Ok(Object(service.await?.stop().await?))
}

async fn restart_service(args: OneService, cx: Cx) -> Result<Object<ServiceChange>> {
    let service = cx.agreed(|| async {
        let service = args.find(&cx).await?;
        let preview = shown("Restart", &service, true)?;
        let preview = if service.running { preview } else { preview.harmless() };
        Ok((service, preview))
    });
    Ok(Object(service.await?.restart().await?))
}

async fn set_service_policy(args: SetPolicy, cx: Cx) -> Result<Object<ServiceChange>> {
    let policy = args.policy;
    let service = cx.agreed(|| async {
        let service = args.one.find(&cx).await?;
        let change = format!("Set to {policy} (when it starts)");
        let preview = shown(&change, &service, service.policy != policy.to_string())?.harmless();
        Ok((service, preview))
    });
    Ok(Object(service.await?.set_policy(policy).await?))
}

/// What a change of a service is shown as; without it where nothing would change.
fn shown(change: &str, service: &Service, changes: bool) -> Result<Preview> {
    let host = quoted(service.host().label());
    let preview = Preview::new(format!("{change} {} ({}) on {host}?", quoted(&service.label), quoted(&service.key)));
    if !changes {
        return Ok(preview);
    }
    let preview = preview.object(&**service)?.bind(service.host().id())?;
    Ok(match service.key.as_str() {
        AGENT_OF_VCENTER => preview.note("vCenter reaches the host through this service, and loses it without."),
        _ => preview,
    })
}

async fn get_ntp_config(args: OneHost, cx: Cx) -> Result<Object<NtpConfig>> {
    Ok(Object(args.find(&cx).await?.ntp().await?))
}

async fn configure_ntp(args: ConfigureNtp, cx: Cx) -> Result<Object<NtpChange>> {
    let mut new = NewNtp::of(args.ntp_servers.iter().map(String::as_str));
    if !args.start_service.unwrap_or(true) {
        new = new.without_start();
    }
    if let Some(policy) = args.service_policy {
        new = new.policy(policy);
    }
    let plan = cx.agreed(|| async {
        let plan = args.host.find(&cx).await?.ntp_change(&new).await?;
        let preview = shown_ntp(&plan)?;
        Ok((plan, preview))
    });
    Ok(Object(plan.await?.carry_out().await?))
}

fn shown_ntp(plan: &NtpPlan) -> Result<Preview> {
    let (now, then) = (quoted(&plan.servers_now.join(", ")), quoted(&plan.servers_then.join(", ")));
    let preview = Preview::new(format!("Set the time servers of {} to {then} in place of {now}?", quoted(&plan.host)));
    if !plan.changes() {
        return Ok(preview);
    }
    let preview = preview.object(plan)?;
    Ok(match (plan.removed.is_empty(), &plan.replaced_protocol) {
        (true, None) => preview.harmless(),
        (_, Some(protocol)) => preview.note(format!("Its clock is kept by {} now.", quoted(protocol))),
        _ => preview,
    })
}

impl OneService {
    async fn find(&self, cx: &Cx) -> Result<Service> {
        Ok(self.host.find(cx).await?.service(&self.service).await?)
    }
}

/// A service, and the host that it is of.
#[derive(Debug, Serialize, JsonSchema)]
struct ServiceStatus {
    /// The host's name.
    host: String,
    /// Its managed object id.
    id: String,
    #[serde(flatten)]
    service: ServiceInfo,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListServices {
    #[serde(flatten)]
    host: OneHost,
    #[serde(flatten)]
    paging: Paging<ServiceInfo>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OneService {
    #[serde(flatten)]
    host: OneHost,
    service: ServiceKey,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct SetPolicy {
    #[serde(flatten)]
    one: OneService,
    policy: ServicePolicy,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ConfigureNtp {
    #[serde(flatten)]
    host: OneHost,
    /// The whole list.
    ntp_servers: Vec<String>,
    /// Or restart it; true by default.
    start_service: Option<bool>,
    /// As before by default.
    service_policy: Option<ServicePolicy>,
}
