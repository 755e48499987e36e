//! Arguments that say which VMs a tool is about, the same for all tools; and how those VMs are shown to a user
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

use crate::{
    arguments::kinds::{HostName, VmName},
    confirm::Preview,
    cx::Cx,
    error::Result,
};

/// One VM, and nothing besides.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct OneVm {
    pub(super) vm: VmName,
}

/// One host, which need not be named where there is only one.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct OneHost {
    /// Host: name, path or id; optional where there is one.
    pub(super) host: Option<HostName>,
}

/// How many VMs are looked at at a time.
const AT_ONCE: usize = 16;

impl Cx {
    /// Asks before a change that loses nothing, where the settings want a question before each: it is shown which VMs
    /// are changed, as they are now, and with which arguments.
    pub(super) async fn confirm_change(
        &self,
        client: &Client,
        change: &str,
        vms: &[impl AsRef<str> + Sync],
    ) -> Result<()> {
        self.confirm(|| async { Ok(self.change_of(client, change, vms).await?.harmless()) }).await
    }

    /// What a change of these VMs is shown as.
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
        let preview = Preview::new(question).note(format!("It is called with {}", self.call.shown));
        machines.into_iter().try_fold(preview, Preview::object)
    }
}

/// A VM as it is now; none where it is not found, which the operation itself says.
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

/// The version of a VM's configuration. Bound in a preview, it voids the answer when anything about the VM was
/// changed meanwhile, also what the preview does not show.
pub(super) async fn version(client: &Client, what: &str) -> Result<Option<String>> {
    Ok(client.get::<VirtualMachine>(what).await?.read(virtual_machine::CHANGE_VERSION).await?)
}
