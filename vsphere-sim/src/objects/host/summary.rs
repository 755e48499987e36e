//! What a host says of itself in brief: its summary, its runtime, and how it is reached.

use vsphere_model::types::{
    AboutInfo, ClusterDasFdmHostState, DateTime, HostConfigSummary, HostConnectInfo, HostHardwareSummary,
    HostListSummary, HostListSummaryQuickStats, HostRuntimeInfo, HostServiceTicket, ManagedEntityStatus,
};

use super::load::{self, Load};
use super::{Host, certificate, config, connection, health, supply};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::Outcome;
use crate::objects::compute::Compute;
use crate::world::{Look, Managed, Moref, World, uuid};

pub(crate) const METHODS: Methods = &[
    ("HostSystem", "QueryHostConnectionInfo", Handler::Read(connection_info)),
    ("HostSystem", "RetrieveHardwareUptime", Handler::Read(uptime)),
    ("HostSystem", "AcquireCimServicesTicket", Handler::Read(cim_ticket)),
    ("HostSystem", "QueryMemoryOverhead", Handler::Read(memory_overhead)),
];

impl Host {
    /// Its product: that of the vCenter's own version.
    pub(super) fn product(world: &World) -> AboutInfo {
        let version = &world.content.about.version;
        let build = "99990001";
        AboutInfo {
            name: "VMware ESXi".to_owned(),
            full_name: format!("VMware ESXi {version} build-{build} (simulated)"),
            vendor: "VMware, Inc.".to_owned(),
            version: version.clone(),
            build: build.to_owned(),
            locale_version: Some("INTL".to_owned()),
            locale_build: Some("000".to_owned()),
            os_type: "vmnix-x86".to_owned(),
            product_line_id: "embeddedEsx".to_owned(),
            api_type: "HostAgent".to_owned(),
            api_version: world.content.about.api_version.clone(),
            license_product_name: Some("VMware ESX Server".to_owned()),
            license_product_version: version.split('.').next().map(|major| format!("{major}.0")),
            ..Default::default()
        }
    }

    pub(super) fn summary(&self, look: &Look<'_>) -> HostListSummary {
        let world = look.world;
        HostListSummary {
            host: Some(look.me.clone()),
            hardware: Some(Box::new(HostHardwareSummary {
                other_identifying_info: self.identification(),
                ..self.hardware.clone()
            })),
            runtime: Some(Box::new(self.runtime_info(look))),
            config: HostConfigSummary {
                name: self.entity.name.clone(),
                port: 443,
                ssl_thumbprint: Some(certificate::thumbprint(&self.entity.name)),
                product: Some(Box::new(Self::product(world))),
                vmotion_enabled: self.has_vmotion(),
                fault_tolerance_enabled: Some(false),
                ..Default::default()
            },
            quick_stats: self.quick_stats(look),
            overall_status: self.status(),
            reboot_required: false,
            maintenance_mode_required: Some(false),
            custom_value: self.entity.custom_values.clone(),
            management_server_ip: Some("10.20.0.5".to_owned()),
            max_evc_mode_key: Some(self.evc_mode().to_owned()),
            ..Default::default()
        }
    }

    /// What it is able to: the newest baseline of its vendor.
    fn evc_mode(&self) -> &'static str {
        if self.hardware.cpu_model.starts_with("AMD") { "amd-zen4" } else { "intel-sapphirerapids" }
    }

    /// Grey where nobody can ask it.
    fn status(&self) -> ManagedEntityStatus {
        if self.is_up() { self.entity.status.into() } else { ManagedEntityStatus::Gray }
    }

    /// The kernel and its daemons take something too.
    pub(super) fn own_load(&self) -> Load {
        Load {
            cpu: i64::from(self.cpu_mhz_total()) / 100,
            active_memory: 0,
            host_memory: (self.hardware.memory_size >> 20) / 100 + 2048,
        }
    }

    /// What it uses at this time, with the machines that it has now.
    pub(crate) fn load(&self, world: &World, time: DateTime) -> Load {
        let of_vms = supply::of_host(world, self, time).into_iter().map(|(_, supply)| Load::from(supply));
        of_vms.fold(self.own_load(), Load::and)
    }

    fn quick_stats(&self, look: &Look<'_>) -> HostListSummaryQuickStats {
        if !self.is_up() {
            return HostListSummaryQuickStats::default();
        }
        let load = load::of_all(look.world, &self.vms).and(self.own_load());
        let uptime = self.runtime.boot_time.map_or(0, |boot| (look.world.now() - boot).num_seconds());
        let int = |value: i64| i32::try_from(value).unwrap_or(i32::MAX);
        HostListSummaryQuickStats {
            overall_cpu_usage: Some(int(load.cpu.min(self.cpu_mhz_total().into()))),
            overall_memory_usage: Some(int(load.host_memory.min(self.hardware.memory_size >> 20))),
            distributed_cpu_fairness: Some(1000),
            distributed_memory_fairness: Some(1000),
            available_p_mem_capacity: Some(0),
            // Renewed as the others are, so that it is no news with every look.
            uptime: Some(int(uptime / 20 * 20)),
        }
    }

    pub(super) fn runtime_info(&self, look: &Look<'_>) -> HostRuntimeInfo {
        let das = self.entity.parent.as_ref().and_then(|parent| das_state(look, parent));
        HostRuntimeInfo {
            health_system_runtime: self.is_up().then(|| Box::new(health::runtime(self))),
            das_host_state: das.map(Box::new),
            ..self.runtime.clone()
        }
    }
}

/// Where the cluster has HA, one host that is up is its master, and the others follow it.
fn das_state(look: &Look<'_>, parent: &Moref) -> Option<ClusterDasFdmHostState> {
    let compute: &Compute = look.world.get(parent).ok()?;
    if !compute.has_ha() {
        return None;
    }
    let up = |host: &&Moref| look.world.get::<Host>(host).is_ok_and(Host::is_up);
    let master = compute.hosts.iter().find(up);
    let itself: &Host = look.world.get(look.me).ok()?;
    let state = if !itself.is_up() {
        "hostDown"
    } else if master == Some(look.me) {
        "master"
    } else {
        "connectedToMaster"
    };
    Some(ClusterDasFdmHostState { state: state.to_owned(), state_reporter: master.cloned() })
}

fn connection_info(world: &World, call: &Call) -> Outcome<Reply> {
    connection::check_reachable(world, &call.target)?;
    let host: &Host = world.get(&call.target)?;
    let look = Look { world, me: &call.target, session: call.session.as_deref() };
    let in_das = host.entity.parent.as_ref().and_then(|parent| world.get::<Compute>(parent).ok());
    Ok(Reply::of(HostConnectInfo {
        server_ip: Some("10.20.0.5".to_owned()),
        in_das_cluster: Some(in_das.is_some_and(Compute::has_ha)),
        host: host.summary(&look),
        vim_account_name_required: Some(false),
        cluster_supported: Some(true),
        capability: Some(Box::new(config::capability())),
        ..Default::default()
    }))
}

/// In seconds.
fn uptime(world: &World, call: &Call) -> Outcome<Reply> {
    connection::check_reachable(world, &call.target)?;
    let host: &Host = world.get(&call.target)?;
    let seconds = host.runtime.boot_time.map_or(0, |boot| (world.now() - boot).num_seconds());
    Ok(Reply::of(seconds))
}

fn cim_ticket(world: &World, call: &Call) -> Outcome<Reply> {
    connection::check_reachable(world, &call.target)?;
    let host: &Host = world.get(&call.target)?;
    Ok(Reply::of(HostServiceTicket {
        host: Some(host.address()),
        port: Some(5989),
        ssl_thumbprint: Some(certificate::thumbprint(host.entity().map_or("", |entity| &entity.name))),
        service: "cimServices".to_owned(),
        service_version: "1.0".to_owned(),
        session_id: uuid(fastrand::u128(..)),
        ..Default::default()
    }))
}

/// In bytes: a fixed part, and a little for each virtual processor and gigabyte.
fn memory_overhead(world: &World, call: &Call) -> Outcome<Reply> {
    world.get::<Host>(&call.target)?;
    let (memory, cpus): (i64, i32) = (call.arg("memorySize")?, call.arg("numVcpus")?);
    Ok(Reply::of((24_i64 << 20) + i64::from(cpus.max(1)) * (9 << 20) + memory / 256))
}
