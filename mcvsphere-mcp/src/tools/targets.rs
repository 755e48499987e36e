//! Arguments that say which VMs a tool is about, the same for all tools; and how those VMs are shown to a user
//! before a change.

use std::marker::PhantomData;

use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use vsphere_ops::{
    Mo,
    managed::{HostSystem, VirtualMachine},
    several::{self, Report},
};

use crate::{
    Batch, Object,
    answer::Either,
    arguments::kinds::{HostName, VmName, Vms},
    confirm::Preview,
    cx::Cx,
    error::Result,
    text::quoted,
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

/// A change of one VM or several.
pub(super) struct Change<P, S> {
    /// What it does, up to the VMs: `Delete`.
    verb: &'static str,
    /// What is shown of a plan.
    shown: S,
    destroys: bool,
    plan: PhantomData<fn() -> P>,
}

impl<P, S> Change<P, S>
where
    S: Fn(&P) -> Result<Preview>,
{
    pub(super) fn new(verb: &'static str, shown: S) -> Self {
        Self { verb, shown, destroys: false, plan: PhantomData }
    }

    /// Of too many VMs at once it is refused before anything is looked at.
    pub(super) fn destroys(self) -> Self {
        Self { destroys: true, ..self }
    }

    /// Plans the change of each VM, and carries out what the user agreed to. What can't be planned is a part of the question,
    /// and of the answer.
    pub(super) async fn carry_out<T, F, G>(
        &self,
        cx: &Cx,
        vms: Vms,
        plan: impl Fn(Mo<VirtualMachine>) -> F,
        carry_out: impl Fn(P) -> G,
    ) -> Result<Either<Object<T>, Batch<T>>>
    where
        F: Future<Output = vsphere_ops::Result<P>>,
        G: Future<Output = vsphere_ops::Result<T>>,
    {
        if let Some(only) = vms.only() {
            let plan = cx.agreed(|| async {
                let plan = plan(cx.client().await?.get(only).await?).await?;
                let preview = (self.shown)(&plan)?;
                Ok((plan, preview))
            });
            return Ok(Either::One(Object(carry_out(plan.await?).await?)));
        }
        let names = vms.names()?;
        let client = cx.client().await?;
        let plans = cx.agreed(|| async {
            let vms = client.vms(&names).await;
            if self.destroys {
                cx.at_most(vms.len())?;
            }
            let plans = vms.each(&plan).await;
            let preview = self.preview(&plans)?;
            Ok((plans, preview))
        });
        let plans = plans.await?;
        cx.expect_tasks(plans.iter().filter(|report| report.outcome.is_ok()).count());
        Ok(Either::Other(Batch(several::carry_out(plans, carry_out).await)))
    }

    fn preview(&self, plans: &[Report<P>]) -> Result<Preview> {
        let (mut parts, mut failing) = (Vec::new(), Vec::new());
        for Report { vm, outcome, .. } in plans {
            match outcome {
                Ok(plan) => parts.push((vm.clone(), (self.shown)(plan)?)),
                Err(error) => failing.push(format!("Will fail: {}: {error}", quoted(vm))),
            }
        }
        let question = format!("{} {} virtual machines?", self.verb, parts.len());
        let preview = Preview::join(question, parts);
        Ok(failing.iter().fold(preview, Preview::note))
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
