//! What a host is, and how it is.

use serde::Serialize;
use vsphere_model::managed::{ClusterComputeResource, HostSystem, host_system as host, virtual_machine as vm};
use vsphere_model::types::{
    HostLockdownMode, HostSystemConnectionState, HostSystemPowerState, HostVirtualNicManagerInfo, ManagedEntityStatus,
    ManagedObjectReference, VirtualMachinePowerState,
};
use vsphere_soap::object::{ManagedType as _, Property, format_date_time};

use crate::error::Result;
use crate::find;
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::named::Named;
use crate::read::Values;
use crate::units::Size;
use crate::vm::optional;

/// All about one host.
///
/// ```
/// use vsphere_ops::host::HostInfo;
///
/// fn is_to_be_restarted(host: &HostInfo) -> bool {
///     host.reboot_required && host.running_vms == Some(0)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostInfo {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// Whether vCenter reaches it.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub connection_state: HostSystemConnectionState,
    /// Whether the machine is on, as far as vCenter knows.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: HostSystemPowerState,
    /// Whether it is in maintenance mode.
    pub maintenance_mode: bool,
    /// Whether DRS avoids it because a part of it fails, where the server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine_mode: Option<bool>,
    /// How well it is: `green`, `yellow`, `red` or `gray` (unknown).
    #[serde(serialize_with = "crate::cluster::word")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub status: ManagedEntityStatus,
    /// The name of its cluster; none of a host that is by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The product with version and build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The version (`8.0.3`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// Vendor and model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The model of its CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    /// CPU cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<i16>,
    /// Memory in GiB.
    #[serde(rename = "memory_gb", skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// The baseline that its cluster holds the CPUs down to (EVC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evc_mode: Option<String>,
    /// The highest baseline that it could take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest_evc_mode: Option<String>,
    /// When it was started, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booted: Option<String>,
    /// Seconds since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_seconds: Option<i32>,
    /// Whether a change waits for it to be restarted.
    pub reboot_required: bool,
    /// The address by which it is managed, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub management_ip: Option<String>,
    /// The address of the vCenter that manages it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcenter_ip: Option<String>,
    /// Whether VMs can move to and from it while they run.
    pub vmotion: bool,
    /// Who may use it without vCenter.
    #[serde(serialize_with = "crate::words::state_if_known", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub lockdown_mode: Option<HostLockdownMode>,
    /// How many VMs, templates included, are registered on it.
    pub vms: usize,
    /// How many of them run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_vms: Option<usize>,
    /// How many datastores it mounts.
    pub datastore_count: usize,
    /// These datastores, at most 50.
    pub datastores: Vec<Named>,
    /// How many networks it offers to VMs.
    pub network_count: usize,
    /// What is not known of it, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

const LOCKDOWN: Property<HostSystem, Option<HostLockdownMode>> = Property::new("config.lockdownMode");

/// What the adapters of a host are for.
pub(crate) const NIC_MANAGER: Property<HostSystem, Option<HostVirtualNicManagerInfo>> =
    Property::new("config.virtualNicManagerInfo");

impl Mo<HostSystem> {
    /// Reads all about the host. Of one that vCenter does not reach, vCenter knows less: what it has no value for is unset.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::HostSystem;
    ///
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?.info().await?;
    /// println!("{} of {:?}: {:?}, {:?} VMs run", host.name, host.cluster, host.version, host.running_vms);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors, such as a host that is gone.
    pub async fn info(&self) -> Result<HostInfo> {
        let client = self.client();
        let ((runtime, summary, parent, nics, lockdown_mode, vms, datastores, networks), mut gaps) = self
            .read_known((
                host::RUNTIME,
                host::SUMMARY,
                host::PARENT,
                NIC_MANAGER,
                LOCKDOWN,
                host::VM,
                host::DATASTORE,
                host::NETWORK,
            ))
            .await?;
        let path = gaps.part("the inventory path", self.path().await);
        let cluster = match parent.filter(|parent| parent.type_ == ClusterComputeResource::INFO.name) {
            Some(cluster) => {
                let mut names = gaps.part("the name of its cluster", find::names(client, [cluster.clone()]).await);
                Some(names.remove(&cluster.value).unwrap_or(cluster.value))
            }
            None => None,
        };
        let running_vms = gaps.part("how many VMs run", self.count_running(&vms).await);
        let named = gaps.part("its datastores", Named::some(client, &datastores).await);
        let (config, hardware) = (summary.config, summary.hardware);
        let product = config.product;
        let connected = runtime.connection_state == HostSystemConnectionState::Connected;
        Ok(HostInfo {
            name: self.label().to_owned(),
            id: self.id().to_owned(),
            path,
            connection_state: runtime.connection_state,
            power_state: runtime.power_state,
            maintenance_mode: runtime.in_maintenance_mode,
            quarantine_mode: runtime.in_quarantine_mode,
            status: summary.overall_status,
            cluster,
            product: product.as_ref().map(|product| product.full_name.clone()),
            version: product.as_ref().map(|product| product.version.clone()),
            build: product.map(|product| product.build),
            model: hardware.as_ref().map(|hardware| format!("{} {}", hardware.vendor, hardware.model)),
            cpu_model: hardware.as_ref().map(|hardware| hardware.cpu_model.clone()),
            cpu_cores: hardware.as_ref().map(|hardware| hardware.num_cpu_cores),
            memory: hardware.map(|hardware| Size::of_bytes(hardware.memory_size)),
            evc_mode: summary.current_evc_mode_key,
            highest_evc_mode: summary.max_evc_mode_key,
            booted: runtime.boot_time.as_ref().map(format_date_time),
            uptime_seconds: summary.quick_stats.uptime.filter(|_| connected),
            reboot_required: summary.reboot_required,
            management_ip: nics.as_ref().and_then(management_address),
            vcenter_ip: summary.management_server_ip,
            vmotion: config.vmotion_enabled,
            lockdown_mode,
            vms: vms.len(),
            running_vms,
            datastore_count: datastores.len(),
            datastores: named,
            network_count: networks.len(),
            gaps,
        })
    }

    /// How many of these VMs run; `None` where the state of one can't be read.
    async fn count_running(&self, vms: &[ManagedObjectReference]) -> Result<Option<usize>> {
        const STATE: &str = vm::POWER_STATE.path();
        let contents = find::details(self.client(), vms.iter().cloned(), &[STATE]).await?;
        let states = contents.into_iter().map(|content| {
            let mut values = Values::new(content.prop_set, content.missing_set);
            optional::<VirtualMachinePowerState>(&mut values, STATE)
        });
        let states: Option<Vec<_>> = states.collect();
        Ok(states.map(|states| states.iter().filter(|state| **state == VirtualMachinePowerState::PoweredOn).count()))
    }
}

/// The one address by which a host is managed.
pub(crate) fn management_address(info: &HostVirtualNicManagerInfo) -> Option<String> {
    let config = info.net_config.iter().find(|config| config.nic_type == "management")?;
    let chosen = config.candidate_vnic.iter().filter(|nic| is_selected(&config.selected_vnic, &nic.key));
    let mut addresses = chosen.filter_map(|nic| nic.spec.ip.as_ref()?.ip_address.clone());
    let only = addresses.next()?;
    addresses.next().is_none().then_some(only)
}

/// Whether the adapter with this key is one of those that were selected for a use. Some servers put the use before the key.
pub(super) fn is_selected(selected: &[String], key: &str) -> bool {
    selected.iter().any(|selected| selected == key || selected.ends_with(&format!("-{key}")))
}
