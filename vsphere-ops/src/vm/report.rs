//! What is told of a machine after it was made or changed.

use std::collections::HashMap;

use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{ManagedObjectReference, VirtualMachinePowerState};

use crate::error::Result;
use crate::find::{self, name_of};
use crate::mo::Mo;
use crate::name;
use crate::placement::Choice;

/// A machine as it is after a change.
///
/// ```
/// use vsphere_ops::vm::VmReport;
///
/// fn line(vm: &VmReport) -> String {
///     let done = if vm.changed { "is now" } else { "was already" };
///     format!("{} ({}) {done} {}", vm.path, vm.id, if vm.template { "a template" } else { "a VM" })
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VmReport {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// Whether it is a template.
    pub template: bool,
    /// The state.
    #[serde(serialize_with = "crate::words::state")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub power_state: VirtualMachinePowerState,
    /// The name of the host that it is registered on.
    pub host: Option<String>,
    /// Virtual CPUs.
    pub cpu: Option<i32>,
    /// Memory in MiB.
    pub memory_mb: Option<i32>,
    /// The names of its datastores.
    pub datastores: Vec<String>,
    /// The names of its networks.
    pub networks: Vec<String>,
    /// Whether anything was changed; not where it was so already.
    pub changed: bool,
    /// What was taken for each part of its place, and why, where it was made just now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub placement: Vec<Choice>,
}

/// Reads the machine as it is now.
pub(crate) async fn report(machine: &Mo<VirtualMachine>, changed: bool) -> Result<VmReport> {
    let properties = (
        vm::NAME,
        vm::IS_TEMPLATE,
        vm::POWER_STATE,
        vm::HOST,
        vm::NUM_CPU,
        vm::MEMORY_SIZE_MB,
        vm::DATASTORE,
        vm::NETWORK,
    );
    let (name, template, power_state, host, cpu, memory_mb, datastores, networks) = machine.read(properties).await?;
    let path = machine.path().await?;
    let related: Vec<ManagedObjectReference> = host.iter().chain(&datastores).chain(&networks).cloned().collect();
    let contents = find::details(machine.client(), related, &["name"]).await?;
    let names: HashMap<&str, String> =
        contents.iter().filter_map(|content| Some((content.obj.value.as_str(), name_of(content)?))).collect();
    let known = |object: &ManagedObjectReference| names.get(object.value.as_str()).cloned();
    Ok(VmReport {
        name: name::decode(&name),
        id: machine.id().to_owned(),
        path,
        template,
        power_state,
        host: host.as_ref().and_then(known),
        cpu,
        memory_mb,
        datastores: datastores.iter().filter_map(known).collect(),
        networks: networks.iter().filter_map(known).collect(),
        changed,
        placement: Vec::new(),
    })
}
