//! Arguments that say which VMs a tool is about, the same for all tools; and how those VMs are shown to a user
//! before a change.

use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use vsphere_ops::{
    Mo,
    managed::{HostSystem, VirtualMachine},
    several,
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
    /// The only one by default.
    pub(super) host: Option<HostName>,
}

impl OneHost {
    /// The host: the one that is named, or the only one.
    ///
    /// # Errors
    /// `not_found` or `ambiguous`, also where none is named and there are several, and those of the server.
    pub(super) async fn find(&self, cx: &Cx) -> Result<Mo<HostSystem>> {
        Ok(cx.client().await?.get_or_only(self.host.as_deref()).await?)
    }
}

/// How many VMs are looked at at a time.
const AT_ONCE: usize = 16;

impl Cx {
    /// The VM that a change is about, once the user has agreed to it where the settings want a question before each: they
    /// are shown the VM as it is now, and with which arguments the tool is called.
    pub(super) async fn agreed_change(&self, change: &str, vm: &VmName) -> Result<Mo<VirtualMachine>> {
        self.agreed(|| async {
            let vm = vm.find(self).await?;
            let preview = self.change_of(change, [&vm]).await?.harmless();
            Ok((vm, preview))
        })
        .await
    }

    /// The same for several.
    pub(super) async fn agreed_vms(&self, change: &str, names: &[String]) -> Result<several::Vms> {
        let client = self.client().await?;
        self.agreed(|| async {
            let vms = client.vms(names).await;
            let preview = self.change_of(change, vms.found()).await?.harmless();
            Ok((vms, preview))
        })
        .await
    }

    /// What a change of these VMs is shown as. Where nobody is asked, nothing is looked at.
    pub(super) async fn change_of(
        &self,
        change: &str,
        vms: impl IntoIterator<Item = &Mo<VirtualMachine>>,
    ) -> Result<Preview> {
        if !self.asks() {
            return Ok(Preview::new(change));
        }
        let vms: Vec<&Mo<VirtualMachine>> = vms.into_iter().collect();
        let mut shown = Vec::new();
        for some in vms.chunks(AT_ONCE) {
            shown.extend(try_join_all(some.iter().map(|vm| as_it_is(vm))).await?.into_iter().flatten());
        }
        let question = match shown.as_slice() {
            [only] => format!("{change} {}?", only["path"]),
            several => format!("{change} {} virtual machines?", several.len()),
        };
        let preview = Preview::new(question).note(format!("It is called with {}", self.arguments_shown()));
        shown.into_iter().try_fold(preview, Preview::object)
    }
}

/// A VM as it is now; `None` where it is gone, which the operation itself says.
async fn as_it_is(vm: &Mo<VirtualMachine>) -> Result<Option<Value>> {
    let mut shown = match vm.info().await {
        Err(error) if error.is_not_found() => return Ok(None),
        other => json!(other?),
    };
    let kept = ["name", "id", "path", "power_state", "template", "host", "annotation"];
    Ok(Some(kept.into_iter().map(|key| (key.to_owned(), shown[key].take())).collect::<Map<_, _>>().into()))
}
