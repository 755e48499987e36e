//! Changes of a VM's size and options.

use serde::Serialize;
use serde_json::{Value, json};
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{VirtualMachineConfigInfo, VirtualMachineConfigSpec, VirtualMachinePowerState};

use crate::device::{Devices, Seen};
use crate::error::{Result, invalid};
use crate::mo::Mo;
use crate::name;
use crate::untrusted::Untrusted;

const OPERATION: &str = "reconfigure";

/// What to change of a VM; what is not given stays.
///
/// ```
/// use vsphere_ops::vm::Changes;
///
/// let changes = Changes { cpu: Some(8), memory_mb: Some(16 * 1024), ..Default::default() };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Virtual CPUs.
    pub cpu: Option<i32>,
    /// Cores of each virtual socket.
    pub cores_per_socket: Option<i32>,
    /// Memory in MiB.
    pub memory_mb: Option<i64>,
    /// The note on the VM; an empty one takes it away.
    pub annotation: Option<String>,
    /// Whether CPUs can be added while it runs.
    pub cpu_hot_add: Option<bool>,
    /// Whether memory can be added while it runs.
    pub memory_hot_add: Option<bool>,
}

/// What became of a VM that was to be changed.
///
/// ```
/// use vsphere_ops::vm::Reconfigured;
///
/// fn lines(vm: &Reconfigured) -> Vec<String> {
///     vm.changes.iter().map(|change| format!("{}: {} -> {}", change.setting, change.before, change.after)).collect()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reconfigured {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The state.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// Whether anything was changed.
    pub changed: bool,
    /// What is different now.
    pub changes: Vec<SettingChange>,
}

/// A setting that is different after a change.
///
/// ```
/// use vsphere_ops::vm::SettingChange;
///
/// fn grew(change: &SettingChange) -> bool {
///     change.setting == "memory_mb" && change.after.as_i64() > change.before.as_i64()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SettingChange {
    /// `cpu`, `cores_per_socket`, `memory_mb`, `annotation`, `cpu_hot_add` or `memory_hot_add`.
    pub setting: &'static str,
    /// Its value before. A note is [`Untrusted`].
    #[cfg_attr(feature = "schema", schemars(with = "SettingValue"))]
    pub before: Value,
    /// Its value now.
    #[cfg_attr(feature = "schema", schemars(with = "SettingValue"))]
    pub after: Value,
}

/// What a setting can be, for the schema.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema matters")]
enum SettingValue {
    Size(Option<i64>),
    Switch(bool),
    Note(Untrusted),
}

/// A plan to change a VM's size and options.
///
/// ```
/// use vsphere_ops::vm::Reconfiguration;
///
/// fn loses_its_note(plan: &Reconfiguration) -> bool {
///     plan.changes.annotation.is_some() && plan.annotation.is_some()
/// }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is changed before it is carried out"]
pub struct Reconfiguration {
    /// What is to be changed.
    pub changes: Changes,
    /// The note that the VM has. People write it: not to be trusted.
    pub annotation: Option<Untrusted>,
    /// What would be different afterwards; nothing where all is so already.
    pub differences: Vec<SettingChange>,
    seen: Seen,
}

impl Mo<VirtualMachine> {
    /// Plans to change the VM.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    /// use vsphere_ops::vm::Changes;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// let plan = web.reconfiguration(&Changes { annotation: Some("ask Kim".into()), ..Default::default() }).await?;
    /// println!("{:?} is replaced, seen at {}", plan.annotation, plan.change_version());
    /// if let Some(why) = plan.obstacle() {
    ///     println!("{} ({}) will refuse: {why}", plan.vm(), plan.id());
    /// }
    /// for change in plan.carry_out().await?.changes {
    ///     println!("{}: {} -> {}", change.setting, change.before, change.after);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` if nothing is given, `permission` if the configuration can't be read, and the errors of the
    /// server.
    pub async fn reconfiguration(&self, changes: &Changes) -> Result<Reconfiguration> {
        if *changes == Changes::default() {
            return Err(invalid(OPERATION, "nothing is given that is to be changed").on(self.label()));
        }
        let seen = Seen::now(self).await?;
        let config = &seen.devices().config;
        let annotation = config.annotation.clone().filter(|note| !note.is_empty());
        let differences = differences(config, &changes.applied(config));
        Ok(Reconfiguration { changes: changes.clone(), annotation: annotation.map(Untrusted::from), differences, seen })
    }
}

impl Reconfiguration {
    /// The version of the VM's configuration that this was planned from.
    pub fn change_version(&self) -> &str {
        self.seen.change_version()
    }

    /// The name of the VM.
    pub fn vm(&self) -> &str {
        self.seen.machine().label()
    }

    /// The managed object id of the VM.
    pub fn id(&self) -> &str {
        self.seen.machine().id()
    }

    /// Why the server will refuse this, as far as that can be told beforehand.
    pub fn obstacle(&self) -> Option<&'static str> {
        let devices = self.seen.devices();
        let runs = devices.power_state == VirtualMachinePowerState::PoweredOn;
        self.changes.obstacle(&devices.config).filter(|_| runs)
    }

    /// Changes the VM, and says what is different. Where nothing is to be changed, nothing is sent. All is changed, or
    /// nothing.
    ///
    /// # Errors
    /// `changed` if the configuration is no longer the one that this was planned from; `invalid_argument` for a size
    /// that the server does not take; the faults `CpuHotPlugNotSupported`, `MemoryHotPlugNotSupported` and
    /// `InvalidPowerState` where it would have to be off.
    pub async fn carry_out(self) -> Result<Reconfigured> {
        let (machine, before) = (self.seen.machine(), &self.seen.devices().config);
        let spec = self.changes.spec(before);
        if spec != VirtualMachineConfigSpec::default() {
            self.seen.reconfigure(OPERATION, spec).await?;
        }
        let after = Devices::read(machine).await?;
        let changes = differences(before, &after.config);
        Ok(Reconfigured {
            name: name::decode(&machine.read(vm::NAME).await?),
            id: machine.id().to_owned(),
            power_state: after.power_state,
            changed: !changes.is_empty(),
            changes,
        })
    }
}

impl Changes {
    /// The configuration as it would be, in what these are about.
    fn applied(&self, now: &VirtualMachineConfigInfo) -> VirtualMachineConfigInfo {
        let spec = self.spec(now);
        let mut after = now.clone();
        after.hardware.num_cpu = spec.num_cpus.unwrap_or(after.hardware.num_cpu);
        after.hardware.num_cores_per_socket = spec.num_cores_per_socket.or(after.hardware.num_cores_per_socket);
        let memory = spec.memory_mb.and_then(|memory| memory.try_into().ok());
        after.hardware.memory_mb = memory.unwrap_or(after.hardware.memory_mb);
        after.annotation = spec.annotation.or(after.annotation);
        after.cpu_hot_add_enabled = spec.cpu_hot_add_enabled.or(after.cpu_hot_add_enabled);
        after.memory_hot_add_enabled = spec.memory_hot_add_enabled.or(after.memory_hot_add_enabled);
        after
    }

    /// Why a VM that runs will not take these, as far as its configuration tells.
    fn obstacle(&self, now: &VirtualMachineConfigInfo) -> Option<&'static str> {
        let spec = self.spec(now);
        let fewer =
            spec.num_cpus.is_some_and(|cpu| cpu < now.hardware.num_cpu) && now.cpu_hot_remove_enabled != Some(true);
        let less = spec.memory_mb.is_some_and(|memory| memory < i64::from(now.hardware.memory_mb));
        let grows = |wanted: bool, hot_add: Option<bool>| wanted && hot_add != Some(true);
        match () {
            () if fewer => Some("it runs, and loses CPUs only while it is off"),
            () if less => Some("it runs, and loses memory only while it is off"),
            () if grows(spec.num_cpus.is_some_and(|cpu| cpu > now.hardware.num_cpu), now.cpu_hot_add_enabled) => {
                Some("it runs, and has no CPU hot-add")
            }
            () if grows(spec.memory_mb.is_some(), now.memory_hot_add_enabled) => {
                Some("it runs, and has no memory hot-add")
            }
            () if spec.num_cores_per_socket.is_some() => {
                Some("it runs, and its cores per socket change only while it is off")
            }
            () if spec.cpu_hot_add_enabled.is_some() || spec.memory_hot_add_enabled.is_some() => {
                Some("it runs, and hot-add is changed only while it is off")
            }
            () => None,
        }
    }

    /// What is wanted and not so yet.
    fn spec(&self, now: &VirtualMachineConfigInfo) -> VirtualMachineConfigSpec {
        let hardware = &now.hardware;
        let other = |wanted: Option<bool>, now: Option<bool>| wanted.filter(|wanted| *wanted != now.unwrap_or(false));
        VirtualMachineConfigSpec {
            num_cpus: self.cpu.filter(|cpu| *cpu != hardware.num_cpu),
            num_cores_per_socket: self.cores_per_socket.filter(|cores| Some(*cores) != hardware.num_cores_per_socket),
            memory_mb: self.memory_mb.filter(|memory| *memory != i64::from(hardware.memory_mb)),
            annotation: self.annotation.clone().filter(|text| text != now.annotation.as_deref().unwrap_or_default()),
            cpu_hot_add_enabled: other(self.cpu_hot_add, now.cpu_hot_add_enabled),
            memory_hot_add_enabled: other(self.memory_hot_add, now.memory_hot_add_enabled),
            ..Default::default()
        }
    }
}

/// How a setting is read.
type Reads = fn(&VirtualMachineConfigInfo) -> Value;

const SETTINGS: [(&str, Reads); 6] = [
    ("cpu", |config| json!(config.hardware.num_cpu)),
    // The server may fit them to another number of CPUs by itself.
    ("cores_per_socket", |config| json!(config.hardware.num_cores_per_socket)),
    ("memory_mb", |config| json!(config.hardware.memory_mb)),
    ("annotation", |config| json!(Untrusted::from(config.annotation.as_deref().unwrap_or_default()))),
    ("cpu_hot_add", |config| json!(config.cpu_hot_add_enabled.unwrap_or(false))),
    ("memory_hot_add", |config| json!(config.memory_hot_add_enabled.unwrap_or(false))),
];

/// What is different.
fn differences(before: &VirtualMachineConfigInfo, after: &VirtualMachineConfigInfo) -> Vec<SettingChange> {
    let changes = SETTINGS.iter().filter_map(|(setting, read)| {
        let (before, after) = (read(before), read(after));
        (before != after).then_some(SettingChange { setting, before, after })
    });
    changes.collect()
}
