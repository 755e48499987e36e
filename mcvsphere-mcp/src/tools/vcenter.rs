//! The vCenter Server itself, and what it keeps for VMs.

use tokio::sync::OnceCell;
use vsphere_ops::{
    custom_attribute::AttributeChange,
    customization::{self, CustomizationSummary},
    vcenter::{self, VcenterInfo},
};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("get_vcenter_info", Vcenter, "Get vCenter information", get_vcenter_info).about(
            "Get what this server is connected to: product, version, build, API type and version, the user \
             logged in and the server's time. Use it first to learn whether it is a vCenter Server or a \
             single ESXi host.",
        ),
        Tool::adds("set_custom_attribute", Vcenter, VmLifecycle, "Set a custom attribute", set_custom_attribute)
            .about("Set a custom attribute of VMs, such as an owner; defines a new one.")
            .needs(&["Global.SetCustomField", "Global.ManageCustomFields"])
            .idempotent(),
        Tool::reads("list_customization_specs", Vcenter, "List customization specs", list_customization_specs)
            .about("List the specifications for clone_vm's `customization`.")
            .needs(&["VirtualMachine.Provisioning.ReadCustSpecs"]),
    ]
}

async fn get_vcenter_info(_: NoArguments, cx: Cx) -> Result<Object<VcenterInfo>> {
    Ok(Object(vcenter::info(&cx.client().await?).await?))
}

async fn set_custom_attribute(args: SetCustomAttribute, cx: Cx) -> Result<Batch<AttributeChange>> {
    let (name, value) = (args.name, String::from(args.value));
    let vms = cx.agreed_vms("Set a custom attribute of", &args.vms.names()?).await?;
    let client = cx.client().await?;
    // Where there is no VM to set it on, it is not defined either.
    let attribute = OnceCell::new();
    let reports = vms.each(|vm| {
        let (client, attribute, name, value) = (&client, &attribute, &name, &value);
        async move {
            let attribute = attribute.get_or_try_init(|| client.custom_attribute_or_new(name)).await?;
            attribute.set(&vm, value).await
        }
    });
    Ok(Batch(reports.await))
}

async fn list_customization_specs(args: Paging<CustomizationSummary>, cx: Cx) -> Result<Listed<CustomizationSummary>> {
    let (query, fields) = args.open(&cx)?;
    Ok(cx.page(customization::list(&cx.client().await?, &query).await?, fields))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct SetCustomAttribute {
    #[serde(flatten)]
    vms: Vms,
    /// Of the attribute.
    name: String,
    /// An empty one clears it.
    value: Text,
}
