//! Network adapters.

use serde_json::json;
use vsphere_ops::nic::{MacAddress, NewNic, Nic, NicInfo, NicPlan, NicReport, NicType};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("list_nics", Nics, "List network adapters", list_nics).about("List a VM's network adapters."),
        Tool::reads("get_nic_info", Nics, "Get a network adapter", get_nic_info)
            .about("Get the details of one network adapter."),
        Tool::adds("add_nic", Nics, VmLifecycle, "Add a network adapter", add_nic)
            .about("Add a network adapter to VMs, also while they run.")
            .needs(&["VirtualMachine.Config.AddRemoveDevice", "Network.Assign"]),
        Tool::changes("remove_nic", Nics, VmLifecycle, "Remove a network adapter", remove_nic)
            .about("Remove a network adapter of VMs, also while they run.")
            .needs(&["VirtualMachine.Config.AddRemoveDevice"])
            .asks(),
        Tool::changes("connect_nic", Nics, PowerOps, "Connect a network adapter", connect_nic)
            .about("Connect or disconnect a network adapter of VMs; where one is off, from its next power-on.")
            .needs(&["VirtualMachine.Interact.DeviceConnection", "VirtualMachine.Config.EditDevice"])
            .idempotent()
            .asks(),
        Tool::changes("change_nic_network", Nics, VmLifecycle, "Change an adapter's network", change_nic_network)
            .about("Connect a network adapter of VMs to another network, also while they run.")
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
    let (query, fields) = args.paging.open(&cx)?;
    Ok(cx.page(args.vm.find(&cx).await?.list_nics(&query).await?, fields))
}

async fn get_nic_info(args: OneNic, cx: Cx) -> Result<Object<NicInfo>> {
    Ok(Object(args.vm.find(&cx).await?.nic(&args.nic).await?.info()))
}

async fn add_nic(args: AddNic, cx: Cx) -> Result<Either<Object<NicReport>, Batch<NicReport>>> {
    let (kind, start_connected) = (args.nic_type.unwrap_or_default(), args.start_connected.unwrap_or(true));
    let network = &args.network;
    let plan = |vm: Mo<VirtualMachine>| async move {
        let new = NewNic { kind, start_connected, ..NewNic::of(&vm.network(network).await?) };
        Ok((vm, new))
    };
    let shown = |(vm, _): &(Mo<VirtualMachine>, NewNic)| {
        let question = format!("Add a network adapter in {} to {}?", quoted(network), quoted(vm.label()));
        Ok(Preview::new(question).object(json!({ "name": vm.label(), "id": vm.id() }))?.harmless())
    };
    let additions = Change::new("Add a network adapter to", shown);
    additions.carry_out(&cx, args.vms, plan, |(vm, new)| async move { vm.add_nic(&new).await }).await
}

async fn remove_nic(args: NicOfVms, cx: Cx) -> Result<Either<Object<NicReport>, Batch<NicReport>>> {
    let nic = &args.nic;
    let plan = |vm: Mo<VirtualMachine>| async move { Ok(vm.nic(nic).await?.removal()) };
    let removals = Change::new("Remove a network adapter from", |plan| shown("Remove", plan, "")).destroys();
    removals.carry_out(&cx, args.vms, plan, NicPlan::carry_out).await
}

async fn connect_nic(args: ConnectNic, cx: Cx) -> Result<Either<Object<NicReport>, Batch<NicReport>>> {
    let (nic, connect) = (&args.nic, args.connected.unwrap_or(true));
    let plan = |vm: Mo<VirtualMachine>| async move {
        let nic = vm.nic(nic).await?;
        Ok(if connect { nic.connection() } else { nic.disconnection() })
    };
    let shown = |plan: &NicPlan| {
        let preview = shown(if connect { "Connect" } else { "Disconnect" }, plan, "")?;
        Ok(match plan.cuts_off() && !connect {
            true => preview.note("The guest runs, and is cut off from this network."),
            false => preview.harmless(),
        })
    };
    let verb = if connect { "Connect a network adapter of" } else { "Disconnect a network adapter of" };
    Change::new(verb, shown).carry_out(&cx, args.vms, plan, NicPlan::carry_out).await
}

async fn change_nic_network(args: ChangeNetwork, cx: Cx) -> Result<Either<Object<NicReport>, Batch<NicReport>>> {
    let (nic, network) = (&args.nic, &args.network);
    let plan = |vm: Mo<VirtualMachine>| async move {
        let nic = vm.nic(nic).await?;
        nic.plugging(&nic.vm().network(network).await?).await
    };
    let shown = |plan: &NicPlan| {
        let preview = shown("Plug", plan, &format!(" into {}", quoted(network)))?;
        Ok(match plan.cuts_off() {
            true => preview.note("The guest runs, and is cut off from the network that it has now."),
            false => preview.harmless(),
        })
    };
    let changes = Change::new("Change the network of an adapter of", shown);
    changes.carry_out(&cx, args.vms, plan, NicPlan::carry_out).await
}

async fn set_nic_mac(args: SetMac, cx: Cx) -> Result<Object<NicReport>> {
    let mac: MacAddress = args.mac_address.parse()?;
    let change = cx.agreed(|| async {
        let change = args.vm.find(&cx).await?.nic(&args.nic).await?.mac_change(mac).await?;
        if !change.changes {
            return Ok((change, Preview::new("The adapter has this address already.")));
        }
        let (label, vm) = (quoted(&change.label), quoted(&change.vm));
        let preview = Preview::new(format!("Set the MAC address of {label} of {vm} to {mac}?"))
            .note("DHCP leases, firewalls and licences that know the VM by its old address no longer do.");
        let preview = preview.object(&change)?.bind(change.change_version())?;
        Ok((change, preview))
    });
    Ok(Object(change.await?.carry_out().await?))
}

/// What a change of an adapter is shown as: the adapter as it is.
fn shown(verb: &str, plan: &NicPlan, more: &str) -> Result<Preview> {
    let (label, vm) = (quoted(&plan.info.nic.label), quoted(&plan.info.vm));
    Preview::new(format!("{verb} {label} of {vm}{more}?")).object(plan)?.bind(plan.change_version())
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

/// An adapter of each of several VMs.
#[derive(Debug, Deserialize, JsonSchema)]
struct NicOfVms {
    #[serde(flatten)]
    vms: Vms,
    nic: NicName,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct AddNic {
    #[serde(flatten)]
    vms: Vms,
    network: NetName,
    /// vmxnet3 by default.
    nic_type: Option<NicType>,
    /// True by default.
    start_connected: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ConnectNic {
    #[serde(flatten)]
    vms: Vms,
    nic: NicName,
    /// False disconnects.
    connected: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ChangeNetwork {
    #[serde(flatten)]
    vms: Vms,
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
