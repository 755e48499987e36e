//! Arguments that say which machines a tool is about, the same for all tools; and how those machines are shown to a user
//! before a change.

use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use vsphere_ops::{
    Client,
    managed::{VirtualMachine, virtual_machine},
    vm,
};

use crate::{ToolError, confirm::Preview, cx::Cx, error::Result};

/// One machine, and nothing besides.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OneVm {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    pub(super) vm: String,
}

/// One machine or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VmTargets {
    /// One virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    pub(super) vm: Option<String>,
    /// Several at once.
    #[serde(alias = "names", alias = "vm_names")]
    pub(super) vms: Option<Vec<String>>,
}

impl VmTargets {
    pub(super) fn vms(self) -> Result<Vec<String>> {
        let mut vms = self.vms.unwrap_or_default();
        vms.extend(self.vm);
        if vms.is_empty() {
            return Err(ToolError::invalid_argument("`vm` or `vms` is needed: which machines?"));
        }
        Ok(vms)
    }
}

/// One host, which need not be named where there is only one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OneHost {
    /// Host: name, path or id; optional where there is one.
    #[serde(alias = "name", alias = "host_name")]
    pub(super) host: Option<String>,
}

/// How many machines are looked at at a time.
const AT_ONCE: usize = 16;

impl Cx {
    /// Asks before a change that loses nothing, where the settings want a question before each: it is shown which machines
    /// are changed, as they are now, and with which arguments.
    pub(super) async fn confirm_change(
        &self,
        client: &Client,
        change: &str,
        vms: &[impl AsRef<str> + Sync],
    ) -> Result<()> {
        self.confirm(|| async { Ok(self.change_of(client, change, vms).await?.harmless()) }).await
    }

    /// What a change of these machines is shown as.
    pub(super) async fn change_of(
        &self,
        client: &Client,
        change: &str,
        vms: &[impl AsRef<str> + Sync],
    ) -> Result<Preview> {
        let mut machines = Vec::new();
        for some in vms.chunks(AT_ONCE) {
            let looks: Vec<_> = some.iter().map(|what| machine(client, what.as_ref())).collect();
            machines.extend(try_join_all(looks).await?.into_iter().flatten());
        }
        let question = match machines.as_slice() {
            [only] => format!("{change} {}?", only["path"]),
            several => format!("{change} {} virtual machines?", several.len()),
        };
        let arguments = Value::Object(self.call.arguments.clone());
        let preview = Preview::new(question).note(format!("It is called with {arguments}"));
        machines.into_iter().try_fold(preview, Preview::object)
    }
}

/// A machine as it is now; none where it is not found, which the operation itself says.
async fn machine(client: &Client, what: &str) -> Result<Option<Value>> {
    match vm::info(client, what).await {
        Ok(it) => Ok(Some(json!({
            "name": it.name, "id": it.id, "path": it.path, "power_state": it.power_state, "template": it.template,
            "host": it.host, "annotation": it.annotation,
        }))),
        Err(error) if matches!(error.code(), "not_found" | "ambiguous") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The version of a machine's configuration. Bound in a preview, it voids the answer when anything about the machine was
/// changed meanwhile, also what the preview does not show.
pub(super) async fn version(client: &Client, what: &str) -> Result<Option<String>> {
    Ok(client.get::<VirtualMachine>(what).await?.read(virtual_machine::CHANGE_VERSION).await?)
}
