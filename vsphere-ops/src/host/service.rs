//! The services of a host: SSH, NTP and the others.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vsphere_model::managed::{HostServiceSystem, HostSystem, host_service_system as system, host_system as host};
use vsphere_model::types::HostService;

use super::named;
use crate::error::{Circumstance, Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::page::{ListQuery, Page, Window};

/// How often, and how long in all, a service is looked at until it is as wanted: vCenter may learn of it later than the host.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS: u32 = 20;

/// A service of a host, as it is.
///
/// ```
/// use vsphere_ops::host::ServiceInfo;
///
/// fn survives_a_restart(service: &ServiceInfo) -> bool {
///     service.running && service.policy == "on"
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceInfo {
    /// What it is called in calls (`TSM-SSH`).
    pub key: String,
    /// What people call it.
    pub label: String,
    /// Whether it runs.
    pub running: bool,
    /// When it starts: `on` (with the host), `off` (by hand) or `automatic` (while its ports are open in the firewall).
    pub policy: String,
    /// Whether the host needs it, so that it can't be stopped.
    pub required: bool,
    /// The firewall rules that are for it.
    pub firewall_rules: Vec<String>,
}

impl From<&HostService> for ServiceInfo {
    fn from(service: &HostService) -> Self {
        Self {
            key: service.key.clone(),
            label: service.label.clone(),
            running: service.running,
            policy: service.policy.clone(),
            required: service.required,
            firewall_rules: service.ruleset.clone(),
        }
    }
}

/// When a service starts.
///
/// ```
/// use vsphere_ops::host::ServicePolicy;
///
/// assert_eq!(ServicePolicy::Automatic.to_string(), "automatic");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ServicePolicy {
    /// With the host.
    On,
    /// By hand.
    Off,
    /// It runs exactly while its ports are open in the firewall.
    Automatic,
}

impl fmt::Display for ServicePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Automatic => "automatic",
        })
    }
}

/// A service of a host, to be changed. It derefs to what was seen of it.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::host::Service;
/// use vsphere_ops::managed::HostSystem;
///
/// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
/// let ssh: Service = host.service("TSM-SSH").await?;
/// println!("{} of {} runs: {}, starts {}", ssh.label, ssh.host().label(), ssh.running, ssh.policy);
/// assert!(ssh.start().await?.changed);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
pub struct Service {
    host: Mo<HostSystem>,
    system: Mo<HostServiceSystem>,
    seen: ServiceInfo,
}

/// What a change of a service has led to.
///
/// ```
/// use vsphere_ops::host::ServiceChange;
///
/// fn line(change: &ServiceChange) -> String {
///     let state = if change.service.running { "runs" } else { "does not run" };
///     format!("{} on {} {state}{}", change.service.key, change.host, if change.changed { " now" } else { " already" })
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceChange {
    /// The host's name.
    pub host: String,
    /// Its managed object id.
    pub id: String,
    /// Whether anything had to be changed.
    pub changed: bool,
    /// The service after the change.
    #[serde(flatten)]
    pub service: ServiceInfo,
    /// When it started before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_policy: Option<String>,
    /// Whether the host has taken the change, and was not seen to have made it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
}

impl Mo<HostSystem> {
    /// Lists the services of the host, sorted by key.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::HostSystem;
    ///
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
    /// for service in host.list_services(&Default::default()).await?.items {
    ///     println!("{} ({}) runs: {}", service.key, service.label, service.running);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `unsupported` where the host has no services, and server errors.
    pub async fn list_services(&self, query: &ListQuery) -> Result<Page<ServiceInfo>> {
        let (_, services) = self.services("list the services of").await?;
        let glob = query.glob();
        let fits = |service: &ServiceInfo| {
            glob.as_ref().is_none_or(|glob| glob.fits(&service.key) || glob.fits(&service.label))
        };
        let services = services.into_iter().filter(fits);
        Ok(Window::of(services, |service| service.key.clone(), query)?.into())
    }

    /// The service of the host with this key. Case does not matter where only one fits.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::HostSystem;
    ///
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
    /// let error = host.service("telnetd").await.unwrap_err();
    /// println!("{error}"); // …: no service "telnetd"; there are DCUI (Direct Console UI), TSM (ESXi Shell), …
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` with the keys that there are, and the errors of [`list_services`](Self::list_services).
    pub async fn service(&self, key: &str) -> Result<Service> {
        const OPERATION: &str = "find the service of";
        let (system, services) = self.services(OPERATION).await?;
        let alike = || {
            let mut alike = services.iter().filter(|service| service.key.eq_ignore_ascii_case(key));
            alike.next().filter(|_| alike.next().is_none())
        };
        match services.iter().find(|service| service.key == key).or_else(alike) {
            Some(seen) => Ok(Service { host: self.clone(), system, seen: seen.clone() }),
            None => {
                let known: Vec<String> =
                    services.iter().map(|service| format!("{} ({})", service.key, service.label)).collect();
                let text = format!("no service {key:?}; there are {}", known.join(", "));
                let error = Error::new(OPERATION, ErrorKind::NotFound(text)).on(self.label());
                Err(error.with_circumstance(Circumstance::NoSuchService))
            }
        }
    }

    /// The manager of the host's services, and these.
    async fn services(&self, operation: &str) -> Result<(Mo<HostServiceSystem>, Vec<ServiceInfo>)> {
        let managers = self.read(host::CONFIG_MANAGER).await.map_err(named(self, operation))?;
        let Some(system) = managers.service_system else {
            let text = "the server offers no services of it";
            return Err(Error::new(operation, ErrorKind::Unsupported(text.to_owned())).on(self.label()));
        };
        let system = Mo::new(self.client(), &system, Some(self.label().to_owned()));
        let services = read(&system).await.map_err(named(self, operation))?;
        Ok((system, services))
    }
}

async fn read(system: &Mo<HostServiceSystem>) -> Result<Vec<ServiceInfo>> {
    let info = system.read(system::SERVICE_INFO).await?;
    Ok(info.service.iter().map(ServiceInfo::from).collect())
}

impl Deref for Service {
    type Target = ServiceInfo;

    fn deref(&self) -> &ServiceInfo {
        &self.seen
    }
}

impl Service {
    /// The host.
    pub fn host(&self) -> &Mo<HostSystem> {
        &self.host
    }

    /// Starts the service, unless it runs. Takes the privilege `Host.Config.NetService`, as all changes of services do.
    ///
    /// # Errors
    /// `not_found` if the host no longer has it, and server errors.
    pub async fn start(&self) -> Result<ServiceChange> {
        const OPERATION: &str = "start a service of";
        let now = self.now(OPERATION).await?;
        if now.running {
            return Ok(self.change(false, now));
        }
        self.system.start_service(&self.key).await.map_err(Error::from).map_err(named(&self.host, OPERATION))?;
        self.when(OPERATION, |now| now.running).await
    }

    /// Stops the service, if it runs.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::HostSystem;
    ///
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
    /// assert!(!host.service("ntpd").await?.stop().await?.service.running);
    /// assert!(!host.service("ntpd").await?.stop().await?.changed);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_state` if the host needs it, and those of [`start`](Self::start).
    pub async fn stop(&self) -> Result<ServiceChange> {
        const OPERATION: &str = "stop a service of";
        let now = self.now(OPERATION).await?;
        if !now.running {
            return Ok(self.change(false, now));
        }
        if let Some(text) = keeps_running(&now) {
            return Err(Error::new(OPERATION, ErrorKind::InvalidState(text)).on(self.host.label()));
        }
        self.system.stop_service(&self.key).await.map_err(Error::from).map_err(named(&self.host, OPERATION))?;
        self.when(OPERATION, |now| !now.running).await
    }

    /// Restarts the service; starts it if it does not run.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::HostSystem;
    ///
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
    /// assert!(host.service("ntpd").await?.restart().await?.service.running);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub async fn restart(&self) -> Result<ServiceChange> {
        const OPERATION: &str = "restart a service of";
        self.now(OPERATION).await?;
        self.system.restart_service(&self.key).await.map_err(Error::from).map_err(named(&self.host, OPERATION))?;
        self.when(OPERATION, |now| now.running).await
    }

    /// Says when the service starts. That neither starts nor stops it now, but for `automatic`, which may do either.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::host::ServicePolicy;
    /// use vsphere_ops::managed::HostSystem;
    ///
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
    /// let change = host.service("TSM-SSH").await?.set_policy(ServicePolicy::On).await?;
    /// assert_eq!((change.previous_policy.as_deref(), change.service.policy.as_str()), (Some("off"), "on"));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub async fn set_policy(&self, policy: ServicePolicy) -> Result<ServiceChange> {
        const OPERATION: &str = "set when a service starts of";
        let (now, policy) = (self.now(OPERATION).await?, policy.to_string());
        let previous_policy = Some(now.policy.clone());
        if now.policy == policy {
            return Ok(ServiceChange { previous_policy, ..self.change(false, now) });
        }
        let update = self.system.update_service_policy(&self.key, &policy);
        update.await.map_err(Error::from).map_err(named(&self.host, OPERATION))?;
        let change = self.when(OPERATION, |now| now.policy == policy).await?;
        Ok(ServiceChange { previous_policy, ..change })
    }

    /// The service as it is now.
    async fn now(&self, operation: &str) -> Result<ServiceInfo> {
        let services = read(&self.system).await.map_err(named(&self.host, operation))?;
        services.into_iter().find(|service| service.key == self.key).ok_or_else(|| {
            let text = format!("the host no longer has the service {}", self.key);
            let error = Error::new(operation, ErrorKind::NotFound(text)).on(self.host.label());
            error.with_circumstance(Circumstance::NoSuchService)
        })
    }

    /// The change, once the server tells the service as wanted, or has not for a while.
    async fn when(&self, operation: &str, wanted: impl Fn(&ServiceInfo) -> bool) -> Result<ServiceChange> {
        let mut now = self.now(operation).await?;
        for _ in 0..LOOKS {
            if wanted(&now) {
                break;
            }
            tokio::time::sleep(LOOK).await;
            now = self.now(operation).await?;
        }
        let pending = !wanted(&now);
        Ok(ServiceChange { pending, ..self.change(true, now) })
    }

    fn change(&self, changed: bool, service: ServiceInfo) -> ServiceChange {
        let (host, id) = (self.host.label().to_owned(), self.host.id().to_owned());
        ServiceChange { host, id, changed, service, previous_policy: None, pending: false }
    }
}

/// Why the service can't be stopped.
fn keeps_running(service: &ServiceInfo) -> Option<String> {
    service.required.then(|| format!("the host needs {} ({}), which can't be stopped", service.key, service.label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_the_host_needs_is_not_stopped() {
        let service =
            HostService { key: "hostd".into(), label: "Host agent".into(), required: true, ..Default::default() };
        let text = keeps_running(&ServiceInfo::from(&service)).unwrap();
        assert_eq!(text, "the host needs hostd (Host agent), which can't be stopped");
        let service = HostService { required: false, ..service };
        assert_eq!(keeps_running(&ServiceInfo::from(&service)), None);
    }
}
