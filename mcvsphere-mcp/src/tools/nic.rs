//! Network adapters.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use vsphere_ops::{
    Client,
    nic::{self, MacAddress, NewNic, NicQuery},
};

use crate::{
    Permission, Server, Toolset,
    answer::Answer,
    arguments::{Parameters, page_size},
    confirm::Preview,
    cx::Cx,
    error::Result,
    needs, tool_meta,
};

#[tool_router(router = nic_tools, vis = "pub(crate)")]
impl Server {
    /// List a machine's network adapters.
    #[tool(
        meta = tool_meta(Toolset::Nics, Permission::ReadOnly, &[]),
        annotations(title = "List network adapters", read_only_hint = true)
    )]
    async fn list_nics(&self, Parameters(args): Parameters<ListNics>) -> Result<Answer> {
        let query = NicQuery { vm: args.vm, filter: args.filter, limit: page_size(args.limit)?, cursor: args.cursor };
        let page = nic::list(self.vsphere().client().await?, &query).await?;
        Answer::list(&page, args.fields)
    }

    /// Get all about one network adapter.
    #[tool(
        meta = tool_meta(Toolset::Nics, Permission::ReadOnly, &[]),
        annotations(title = "Get a network adapter", read_only_hint = true)
    )]
    async fn get_nic_info(&self, Parameters(args): Parameters<OneNic>) -> Result<Answer> {
        Answer::object(&nic::info(self.vsphere().client().await?, &args.vm, &args.nic).await?)
    }

    /// Add a network adapter, also while the machine runs.
    #[tool(
        meta = needs(
            tool_meta(Toolset::Nics, Permission::VmLifecycle, &[]),
            &["VirtualMachine.Config.AddRemoveDevice", "Network.Assign"]
        ),
        annotations(title = "Add a network adapter", destructive_hint = false, idempotent_hint = false)
    )]
    async fn add_nic(&self, Parameters(args): Parameters<AddNic>, cx: Cx) -> Result<Answer> {
        let new = NewNic {
            kind: args.nic_type.unwrap_or_default().into(),
            start_connected: args.start_connected.unwrap_or(true),
            ..NewNic::of(args.network)
        };
        Answer::object(&nic::add(&cx.client().await?, &args.vm, &new).await?)
    }

    /// Remove a network adapter, also while the machine runs.
    #[tool(
        meta = needs(
            tool_meta(Toolset::Nics, Permission::VmLifecycle, &[]),
            &["VirtualMachine.Config.AddRemoveDevice"]
        ),
        annotations(title = "Remove a network adapter", destructive_hint = true, idempotent_hint = false)
    )]
    async fn remove_nic(&self, Parameters(args): Parameters<OneNic>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        cx.confirm(|| remove_preview(&client, &args)).await?;
        Answer::object(&nic::remove(&client, &args.vm, &args.nic).await?)
    }

    /// Connect or disconnect a network adapter; where the machine is off, from its next power on.
    #[tool(
        meta = needs(
            tool_meta(Toolset::Nics, Permission::PowerOps, &[]),
            &["VirtualMachine.Interact.DeviceConnection", "VirtualMachine.Config.EditDevice"]
        ),
        annotations(title = "Connect a network adapter", destructive_hint = false, idempotent_hint = true)
    )]
    async fn connect_nic(&self, Parameters(args): Parameters<ConnectNic>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        Answer::object(&match args.connected.unwrap_or(true) {
            true => nic::connect(&client, &args.vm, &args.nic).await?,
            false => nic::disconnect(&client, &args.vm, &args.nic).await?,
        })
    }

    /// Plug a network adapter into another network, also while the machine runs.
    #[tool(
        meta = needs(
            tool_meta(Toolset::Nics, Permission::VmLifecycle, &[]),
            &["VirtualMachine.Config.EditDevice", "Network.Assign"]
        ),
        annotations(title = "Change an adapter's network", destructive_hint = false, idempotent_hint = true)
    )]
    async fn change_nic_network(&self, Parameters(args): Parameters<ChangeNetwork>, cx: Cx) -> Result<Answer> {
        Answer::object(&nic::connect_to(&cx.client().await?, &args.vm, &args.nic, &args.network).await?)
    }

    /// Give a network adapter a MAC address. The machine must be off.
    #[tool(
        meta = needs(
            tool_meta(Toolset::Nics, Permission::VmLifecycle, &[]),
            &["VirtualMachine.Config.EditDevice"]
        ),
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
    let preview = Preview::new(format!("Remove {} of {}?", nic.label, found.vm));
    let bound = json!([found.id, found.power_state, nic.key, nic.mac, nic.network_id, nic.connected]);
    preview.object(&json!({ "vm": found.vm, "power_state": found.power_state, "nic": nic }), bound)
}

/// What another address replaces; nothing where it is the same.
async fn mac_preview(client: &Client, args: &SetMac, mac: MacAddress) -> Result<Preview> {
    let Some(change) = nic::mac_change(client, &args.vm, &args.nic, mac).await? else {
        return Ok(Preview::new("The adapter has this address already."));
    };
    let preview = Preview::new(format!("Set the MAC address of {} of {} to {mac}?", change.label, change.vm))
        .note("DHCP leases, firewalls and licences that know the machine by its old address no longer do.");
    preview.object(&change, &change)
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
