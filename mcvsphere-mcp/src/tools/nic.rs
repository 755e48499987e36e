//! Network adapters.

use vsphere_ops::{
    Client,
    nic::{self, MacAddress, NewNic, Nic, NicInfo, NicQuery, NicReport, NicType},
};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_nics", Nics, "List network adapters", list_nics).about("List a VM's network adapters."),
        Tool::reads("get_nic_info", Nics, "Get a network adapter", get_nic_info)
            .about("Get the details of one network adapter."),
        Tool::adds("add_nic", Nics, VmLifecycle, "Add a network adapter", add_nic)
            .about("Add a network adapter, also while the VM runs.")
            .needs(&["VirtualMachine.Config.AddRemoveDevice", "Network.Assign"]),
        Tool::changes("remove_nic", Nics, VmLifecycle, "Remove a network adapter", remove_nic)
            .about("Remove a network adapter, also while the VM runs.")
            .needs(&["VirtualMachine.Config.AddRemoveDevice"])
            .asks(),
        Tool::changes("connect_nic", Nics, PowerOps, "Connect a network adapter", connect_nic)
            .about("Connect or disconnect a network adapter; if the VM is off, from its next power-on.")
            .needs(&["VirtualMachine.Interact.DeviceConnection", "VirtualMachine.Config.EditDevice"])
            .idempotent()
            .asks(),
        Tool::changes("change_nic_network", Nics, VmLifecycle, "Change an adapter's network", change_nic_network)
            .about("Connect a network adapter to another network, also while the VM runs.")
            .needs(&["VirtualMachine.Config.EditDevice", "Network.Assign"])
            .idempotent()
            .asks(),
        Tool::changes("set_nic_mac", Nics, VmLifecycle, "Set a MAC address", set_nic_mac)
            .about("Set the MAC address of a network adapter. The VM must be off.")
            .needs(&["VirtualMachine.Config.EditDevice"])
            .asks(),
    ]
}

async fn list_nics(args: ListNics, cx: Cx) -> Result<Listed<Nic>> {
    let wanted = args.paging.open(&cx)?;
    let query = NicQuery { vm: args.vm.into(), filter: wanted.filter, limit: wanted.limit, cursor: wanted.cursor };
    let page = nic::list(&cx.client().await?, &query).await?;
    Ok(cx.page(page, wanted.fields))
}

async fn get_nic_info(args: OneNic, cx: Cx) -> Result<Object<NicInfo>> {
    Ok(Object(nic::info(&cx.client().await?, &args.vm, &args.nic).await?))
}

async fn add_nic(args: AddNic, cx: Cx) -> Result<Object<NicReport>> {
    let new = NewNic {
        kind: args.nic_type.unwrap_or_default(),
        start_connected: args.start_connected.unwrap_or(true),
        ..NewNic::of(args.network)
    };
    let client = cx.client().await?;
    cx.confirm_change(&client, "Add a network adapter to", &[&args.vm]).await?;
    Ok(Object(nic::add(&client, &args.vm, &new).await?))
}

async fn remove_nic(args: OneNic, cx: Cx) -> Result<Object<NicReport>> {
    let client = cx.client().await?;
    cx.confirm(|| remove_preview(&client, &args)).await?;
    Ok(Object(nic::remove(&client, &args.vm, &args.nic).await?))
}

async fn connect_nic(args: ConnectNic, cx: Cx) -> Result<Object<NicReport>> {
    let client = cx.client().await?;
    let connect = args.connected.unwrap_or(true);
    cx.confirm(|| link_preview(&client, &args, connect)).await?;
    Ok(Object(match connect {
        true => nic::connect(&client, &args.vm, &args.nic).await?,
        false => nic::disconnect(&client, &args.vm, &args.nic).await?,
    }))
}

async fn change_nic_network(args: ChangeNetwork, cx: Cx) -> Result<Object<NicReport>> {
    let client = cx.client().await?;
    cx.confirm(|| network_preview(&client, &args)).await?;
    Ok(Object(nic::connect_to(&client, &args.vm, &args.nic, &args.network).await?))
}

async fn set_nic_mac(args: SetMac, cx: Cx) -> Result<Object<NicReport>> {
    let mac: MacAddress = args.mac_address.parse()?;
    let client = cx.client().await?;
    cx.confirm(|| mac_preview(&client, &args, mac)).await?;
    Ok(Object(nic::set_mac(&client, &args.vm, &args.nic, mac).await?))
}

/// What goes with an adapter.
async fn remove_preview(client: &Client, args: &OneNic) -> Result<Preview> {
    let found = nic::info(client, &args.vm, &args.nic).await?;
    let nic = &found.nic;
    let preview = Preview::new(format!("Remove {} of {}?", quoted(&nic.label), quoted(&found.vm)));
    preview.object(&found)?.bind(version(client, &found.id).await?)
}

/// What a VM that runs loses with the link of an adapter.
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

/// What a VM that runs loses with the network of an adapter.
async fn network_preview(client: &Client, args: &ChangeNetwork) -> Result<Preview> {
    let found = nic::info(client, &args.vm, &args.nic).await?;
    let (nic, to) = (&found.nic, &args.network);
    let question = format!("Plug {} of {} into {}?", quoted(&nic.label), quoted(&found.vm), quoted(to));
    let preview = Preview::new(question).object(&found)?.bind(version(client, &found.id).await?)?;
    let same = [&nic.network, &nic.network_id].iter().any(|now| now.as_deref() == Some(&**to));
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
struct ListNics {
    vm: VmName,
    #[serde(flatten)]
    paging: Paging<Nic>,
}

/// An adapter of a VM.
#[derive(Debug, Deserialize, JsonSchema)]
struct OneNic {
    vm: VmName,
    nic: NicName,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct AddNic {
    vm: VmName,
    network: NetName,
    /// vmxnet3 by default.
    nic_type: Option<NicType>,
    /// True by default.
    start_connected: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ConnectNic {
    vm: VmName,
    nic: NicName,
    /// False disconnects.
    connected: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ChangeNetwork {
    vm: VmName,
    nic: NicName,
    network: NetName,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct SetMac {
    vm: VmName,
    nic: NicName,
    /// As 00:50:56:0a:0b:0c.
    mac_address: String,
}
