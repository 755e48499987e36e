//! Network adapters.

use vsphere_ops::nic::{MacAddress, NewNic, Nic, NicInfo, NicPlan, NicReport, NicType};

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
    let (query, fields) = args.paging.open(&cx)?;
    Ok(cx.page(args.vm.find(&cx).await?.list_nics(&query).await?, fields))
}

async fn get_nic_info(args: OneNic, cx: Cx) -> Result<Object<NicInfo>> {
    Ok(Object(args.vm.find(&cx).await?.nic(&args.nic).await?.info()))
}

async fn add_nic(args: AddNic, cx: Cx) -> Result<Object<NicReport>> {
    let vm = cx.agreed_change("Add a network adapter to", &args.vm).await?;
    let new = NewNic {
        kind: args.nic_type.unwrap_or_default(),
        start_connected: args.start_connected.unwrap_or(true),
        ..NewNic::of(&vm.network(&args.network).await?)
    };
    Ok(Object(vm.add_nic(&new).await?))
}

async fn remove_nic(args: OneNic, cx: Cx) -> Result<Object<NicReport>> {
    let removal = cx.agreed(|| async {
        let plan = args.vm.find(&cx).await?.nic(&args.nic).await?.removal();
        let preview = shown("Remove", &plan, "")?;
        Ok((plan, preview))
    });
    Ok(Object(removal.await?.carry_out().await?))
}

async fn connect_nic(args: ConnectNic, cx: Cx) -> Result<Object<NicReport>> {
    let connect = args.connected.unwrap_or(true);
    let linking = cx.agreed(|| async {
        let nic = args.vm.find(&cx).await?.nic(&args.nic).await?;
        let (verb, plan) = match connect {
            true => ("Connect", nic.connection()),
            false => ("Disconnect", nic.disconnection()),
        };
        let preview = shown(verb, &plan, "")?;
        let preview = match plan.cuts_off() && !connect {
            true => preview.note("The guest runs, and is cut off from this network."),
            false => preview.harmless(),
        };
        Ok((plan, preview))
    });
    Ok(Object(linking.await?.carry_out().await?))
}

async fn change_nic_network(args: ChangeNetwork, cx: Cx) -> Result<Object<NicReport>> {
    let plugging = cx.agreed(|| async {
        let nic = args.vm.find(&cx).await?.nic(&args.nic).await?;
        let plan = nic.plugging(&nic.vm().network(&args.network).await?).await?;
        let preview = shown("Plug", &plan, &format!(" into {}", quoted(&args.network)))?;
        let preview = match plan.cuts_off() {
            true => preview.note("The guest runs, and is cut off from the network that it has now."),
            false => preview.harmless(),
        };
        Ok((plan, preview))
    });
    Ok(Object(plugging.await?.carry_out().await?))
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
