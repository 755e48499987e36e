//! Network adapters.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vsphere_ops::{
    Client,
    nic::{self, MacAddress, NewNic, NicInfo, NicQuery},
};

use crate::{
    Permission, Server, Spec, Toolset,
    answer::Answer,
    arguments::{Parameters, page_size},
    confirm::Preview,
    cx::Cx,
    error::Result,
    text::quoted,
    tools::targets::version,
};

#[tool_router(router = nic_tools, vis = "pub(crate)")]
impl Server {
    /// List a machine's network adapters.
    #[tool(
        meta = Spec::reads(Toolset::Nics).meta(),
        annotations(title = "List network adapters", read_only_hint = true)
    )]
    async fn list_nics(&self, Parameters(args): Parameters<ListNics>, cx: Cx) -> Result<Answer> {
        let query = NicQuery {
            vm: args.vm,
            filter: args.filter,
            limit: page_size(args.limit)?,
            cursor: cx.cursor(args.cursor)?,
        };
        let page = nic::list(&cx.client().await?, &query).await?;
        cx.page(&page, args.fields)
    }

    /// Get all about one network adapter.
    #[tool(
        meta = Spec::reads(Toolset::Nics).meta(),
        annotations(title = "Get a network adapter", read_only_hint = true)
    )]
    async fn get_nic_info(&self, Parameters(args): Parameters<OneNic>, cx: Cx) -> Result<Answer> {
        Answer::object(&nic::info(&cx.client().await?, &args.vm, &args.nic).await?)
    }

    /// Add a network adapter, also while the machine runs.
    #[tool(
        meta = Spec::changes(Toolset::Nics, Permission::VmLifecycle, &[
            "VirtualMachine.Config.AddRemoveDevice",
            "Network.Assign",
        ])
        .meta(),
        annotations(title = "Add a network adapter", destructive_hint = false, idempotent_hint = false)
    )]
    async fn add_nic(&self, Parameters(args): Parameters<AddNic>, cx: Cx) -> Result<Answer> {
        let new = NewNic {
            kind: args.nic_type.unwrap_or_default().into(),
            start_connected: args.start_connected.unwrap_or(true),
            ..NewNic::of(args.network)
        };
        let client = cx.client().await?;
        cx.confirm_change(&client, "Add a network adapter to", &[&args.vm]).await?;
        Answer::object(&nic::add(&client, &args.vm, &new).await?)
    }

    /// Remove a network adapter, also while the machine runs.
    #[tool(
        meta = Spec::changes(Toolset::Nics, Permission::VmLifecycle, &[
            "VirtualMachine.Config.AddRemoveDevice",
        ])
        .asks()
        .meta(),
        annotations(title = "Remove a network adapter", destructive_hint = true, idempotent_hint = false)
    )]
    async fn remove_nic(&self, Parameters(args): Parameters<OneNic>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        cx.confirm(|| remove_preview(&client, &args)).await?;
        Answer::object(&nic::remove(&client, &args.vm, &args.nic).await?)
    }

    /// Connect or disconnect a network adapter; where the machine is off, from its next power on.
    #[tool(
        meta = Spec::changes(Toolset::Nics, Permission::PowerOps, &[
            "VirtualMachine.Interact.DeviceConnection",
            "VirtualMachine.Config.EditDevice",
        ])
        .asks().meta(),
        annotations(title = "Connect a network adapter", destructive_hint = true, idempotent_hint = true)
    )]
    async fn connect_nic(&self, Parameters(args): Parameters<ConnectNic>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        let connect = args.connected.unwrap_or(true);
        cx.confirm(|| link_preview(&client, &args, connect)).await?;
        Answer::object(&match connect {
            true => nic::connect(&client, &args.vm, &args.nic).await?,
            false => nic::disconnect(&client, &args.vm, &args.nic).await?,
        })
    }

    /// Plug a network adapter into another network, also while the machine runs.
    #[tool(
        meta = Spec::changes(Toolset::Nics, Permission::VmLifecycle, &[
            "VirtualMachine.Config.EditDevice",
            "Network.Assign",
        ])
        .asks().meta(),
        annotations(title = "Change an adapter's network", destructive_hint = true, idempotent_hint = true)
    )]
    async fn change_nic_network(&self, Parameters(args): Parameters<ChangeNetwork>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        cx.confirm(|| network_preview(&client, &args)).await?;
        Answer::object(&nic::connect_to(&client, &args.vm, &args.nic, &args.network).await?)
    }

    /// Give a network adapter a MAC address. The machine must be off.
    #[tool(
        meta = Spec::changes(Toolset::Nics, Permission::VmLifecycle, &[
            "VirtualMachine.Config.EditDevice",
        ])
        .asks()
        .meta(),
        annotations(title = "Set a MAC address", destructive_hint = true, idempotent_hint = false)
    )]
    async fn set_nic_mac(&self, Parameters(args): Parameters<SetMac>, cx: Cx) -> Result<Answer> {
        let mac: MacAddress = args.mac_address.parse()?;
        let client = cx.client().await?;
        cx.confirm(|| mac_preview(&client, &args, mac)).await?;
        Answer::object(&nic::set_mac(&client, &args.vm, &args.nic, mac).await?)
    }
}

/// What goes with an adapter.
async fn remove_preview(client: &Client, args: &OneNic) -> Result<Preview> {
    let found = nic::info(client, &args.vm, &args.nic).await?;
    let nic = &found.nic;
    let preview = Preview::new(format!("Remove {} of {}?", quoted(&nic.label), quoted(&found.vm)));
    preview.object(&found)?.bind(version(client, &found.id).await?)
}

/// What a machine that runs loses with the link of an adapter.
async fn link_preview(client: &Client, args: &ConnectNic, connect: bool) -> Result<Preview> {
    let found = nic::info(client, &args.vm, &args.nic).await?;
    let verb = if connect { "Connect" } else { "Disconnect" };
    let preview = Preview::new(format!("{verb} {} of {}?", quoted(&found.nic.label), quoted(&found.vm)));
    let preview = preview.object(&found)?.bind(version(client, &found.id).await?)?;
    Ok(match cuts_off(&found) && !connect {
        true => preview.note("The guest runs, and is cut off from this network."),
        false => preview.harmless(),
    })
}

/// What a machine that runs loses with the network of an adapter.
async fn network_preview(client: &Client, args: &ChangeNetwork) -> Result<Preview> {
    let found = nic::info(client, &args.vm, &args.nic).await?;
    let (nic, to) = (&found.nic, &args.network);
    let question = format!("Plug {} of {} into {}?", quoted(&nic.label), quoted(&found.vm), quoted(to));
    let preview = Preview::new(question).object(&found)?.bind(version(client, &found.id).await?)?;
    let same = [&nic.network, &nic.network_id].iter().any(|now| now.as_ref() == Some(to));
    Ok(match cuts_off(&found) && !same {
        true => preview.note("The guest runs, and is cut off from the network that it has now."),
        false => preview.harmless(),
    })
}

/// Whether somebody may be using the adapter now.
fn cuts_off(found: &NicInfo) -> bool {
    found.power_state == "powered_on" && found.nic.connected != Some(false)
}

/// What another address replaces; nothing where it is the same.
async fn mac_preview(client: &Client, args: &SetMac, mac: MacAddress) -> Result<Preview> {
    let Some(change) = nic::mac_change(client, &args.vm, &args.nic, mac).await? else {
        return Ok(Preview::new("The adapter has this address already."));
    };
    let (label, vm) = (quoted(&change.label), quoted(&change.vm));
    let preview = Preview::new(format!("Set the MAC address of {label} of {vm} to {mac}?"))
        .note("DHCP leases, firewalls and licences that know the machine by its old address no longer do.");
    preview.object(&change)?.bind(version(client, &change.id).await?)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListNics {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Glob on the label.
    filter: Option<String>,
    /// Only these fields.
    #[schemars(with = "Option<Vec<String>>")]
    fields: Option<Vec<NicField>>,
    /// 50 by default.
    limit: Option<usize>,
    /// The next_cursor of the page before.
    cursor: Option<String>,
}

/// What is told of each adapter. The schema does not list it, which would cost more than an error now and then.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NicField {
    Label,
    Key,
    Type,
    Mac,
    MacType,
    Connected,
    StartConnected,
    Network,
    NetworkId,
    NetworkKind,
    IpAddresses,
    Problem,
}

/// An adapter of a machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneNic {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Network adapter: label or key.
    #[serde(alias = "nic_label")]
    nic: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddNic {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Network or port group: name, path or id.
    #[serde(alias = "network_name")]
    network: String,
    /// vmxnet3 by default.
    #[serde(alias = "adapter_type")]
    nic_type: Option<NicType>,
    /// True by default.
    #[serde(alias = "connected")]
    start_connected: Option<bool>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum NicType {
    #[default]
    Vmxnet3,
    E1000,
    E1000e,
    Vmxnet2,
    Pcnet32,
    Sriov,
}

impl From<NicType> for nic::NicType {
    fn from(kind: NicType) -> Self {
        match kind {
            NicType::Vmxnet3 => Self::Vmxnet3,
            NicType::E1000 => Self::E1000,
            NicType::E1000e => Self::E1000e,
            NicType::Vmxnet2 => Self::Vmxnet2,
            NicType::Pcnet32 => Self::Pcnet32,
            NicType::Sriov => Self::Sriov,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConnectNic {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Network adapter: label or key.
    #[serde(alias = "nic_label")]
    nic: String,
    /// False disconnects.
    connected: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChangeNetwork {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Network adapter: label or key.
    #[serde(alias = "nic_label")]
    nic: String,
    /// Network or port group: name, path or id.
    #[serde(alias = "new_network", alias = "network_name")]
    network: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetMac {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Network adapter: label or key.
    #[serde(alias = "nic_label")]
    nic: String,
    /// As 00:50:56:0a:0b:0c.
    #[serde(alias = "mac")]
    mac_address: String,
}
