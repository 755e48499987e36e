//! Network adapters, in a shop with standard, distributed and opaque networks. Effects are read from the machine.

use rmcp::{RoleClient, model::CallToolRequestParams, service::RunningService};
use serde_json::{Value, json};
use vsphere_ops::{
    Mo,
    managed::{DistributedVirtualPortgroup, Network, VirtualMachine, virtual_machine as vm},
    types::{
        Poly, VirtualDevice, VirtualE1000, VirtualE1000e, VirtualEthernetCard,
        VirtualEthernetCardDistributedVirtualPortBackingInfo, VirtualEthernetCardNetworkBackingInfo,
        VirtualEthernetCardOpaqueNetworkBackingInfo, VirtualPCNet32, VirtualSriovEthernetCard, VirtualVmxnet2,
        VirtualVmxnet3,
    },
};
use vsphere_sim::{Model, Size};

use crate::{confirm::older, lab::Lab};

/// A machine of the model that runs, and one that is off; both are in `prod-web`.
const ON: &str = "web-01";
const OFF: &str = "web-04";
const FIRST: &str = "Network adapter 1";

/// The shop, and an assistant that need not ask.
async fn shop() -> (Lab, RunningService<RoleClient, ()>) {
    let lab = Lab::of(Model::demo()).await;
    let client = older(lab.server(&[("MCP_CONFIRM", "never")]), ()).await;
    (lab, client)
}

async fn call(client: &RunningService<RoleClient, ()>, tool: &'static str, arguments: Value) -> (bool, Value) {
    let request = CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
    let result = client.call_tool(request).await.unwrap();
    (result.is_error != Some(true), result.structured_content.unwrap())
}

pub(crate) async fn done(client: &RunningService<RoleClient, ()>, tool: &'static str, arguments: Value) -> Value {
    let (good, content) = call(client, tool, arguments).await;
    assert!(good, "{tool}: {content:#}");
    content
}

/// The code and the message of a call that must fail.
pub(crate) async fn refused(
    client: &RunningService<RoleClient, ()>,
    tool: &'static str,
    arguments: Value,
) -> (String, String, Value) {
    let (good, content) = call(client, tool, arguments).await;
    assert!(!good, "{tool}: {content:#}");
    let text = |key: &str| content[key].as_str().unwrap().to_owned();
    (text("code"), text("message"), content["candidates"].clone())
}

async fn machine(lab: &Lab, name: &str) -> Mo<VirtualMachine> {
    lab.client.get(name).await.unwrap()
}

async fn cards(machine: &Mo<VirtualMachine>) -> Vec<Poly<VirtualDevice>> {
    let devices = machine.read(vm::DEVICES).await.unwrap();
    devices.into_iter().filter(|device| device.is::<VirtualEthernetCard>()).collect()
}

async fn card(machine: &Mo<VirtualMachine>, key: &Value) -> Poly<VirtualDevice> {
    cards(machine).await.into_iter().find(|device| json!(device.key) == *key).unwrap()
}

#[tokio::test]
async fn adapters_are_listed_and_described() {
    let (lab, client) = shop().await;
    let page = done(&client, "list_nics", json!({ "vm": ON })).await;
    assert_eq!((&page["returned"], &page["total"], &page["truncated"]), (&json!(1), &json!(1), &json!(false)));
    let nic = &page["items"][0];
    let machine = machine(&lab, ON).await;
    let device = cards(&machine).await.remove(0);
    let own: &VirtualEthernetCard = device.downcast_ref().unwrap();
    let group: Mo<DistributedVirtualPortgroup> = lab.client.get("prod-web").await.unwrap();
    assert_eq!((&nic["label"], &nic["key"], &nic["type"]), (&json!(FIRST), &json!(own.key), &json!("vmxnet3")));
    assert_eq!((&nic["mac"], &nic["mac_type"]), (&json!(own.mac_address), &json!("assigned")));
    assert_eq!((&nic["connected"], &nic["start_connected"]), (&json!(true), &json!(true)));
    let network = (&nic["network"], &nic["network_id"], &nic["network_kind"]);
    assert_eq!(network, (&json!("prod-web"), &json!(group.id()), &json!("distributed")));
    let guest = machine.read(vm::GUEST_NICS).await.unwrap();
    assert_eq!(nic["ip_addresses"], json!(guest[0].ip_address));
    assert!(!guest[0].ip_address.is_empty());
    assert!(nic["problem"].is_null());

    let info = done(&client, "get_nic_info", json!({ "vm_name": ON, "nic": "network ADAPTER 1" })).await;
    assert_eq!((&info["mac"], &info["vm"], &info["power_state"]), (&nic["mac"], &json!(ON), &json!("powered_on")));
    let backing = device.backing.as_ref().unwrap();
    let port = &backing.downcast_ref::<VirtualEthernetCardDistributedVirtualPortBackingInfo>().unwrap().port;
    assert_eq!((&info["port"], &info["switch_uuid"]), (&json!(port.port_key), &json!(port.switch_uuid)));
    assert_eq!((&info["shares"], &info["limit_mbps"]), (&json!(50), &json!(-1)));
    let by_key = done(&client, "get_nic_info", json!({ "vm": ON, "nic": own.key.to_string() })).await;
    assert_eq!(by_key, info);

    let (code, message, _) = refused(&client, "get_nic_info", json!({ "vm": ON, "nic": "Network adapter 7" })).await;
    assert_eq!(code, "not_found");
    assert!(message.contains(&format!("{FIRST:?} (key {})", own.key)), "{message}");
    assert_eq!(refused(&client, "list_nics", json!({ "vm": "no-such-vm" })).await.0, "not_found");
}

#[tokio::test]
async fn a_list_is_filtered_and_cut_into_pages() {
    let (_lab, client) = shop().await;
    for _ in 0..2 {
        done(&client, "add_nic", json!({ "vm": OFF, "network": "lab" })).await;
    }
    let page = done(&client, "list_nics", json!({ "vm": OFF, "limit": 2, "fields": ["label", "network"] })).await;
    let expected =
        json!([{ "label": FIRST, "network": "prod-web" }, { "label": "Network adapter 2", "network": "lab" }]);
    assert_eq!((&page["items"], &page["total"], &page["truncated"]), (&expected, &json!(3), &json!(true)));
    let rest = done(&client, "list_nics", json!({ "vm": OFF, "cursor": page["next_cursor"] })).await;
    assert_eq!((&rest["items"][0]["label"], &rest["returned"]), (&json!("Network adapter 3"), &json!(1)));
    let one = done(&client, "list_nics", json!({ "vm": OFF, "filter": "*3" })).await;
    assert_eq!((&one["items"][0]["key"], &one["total"]), (&rest["items"][0]["key"], &json!(1)));
    let (code, message, _) = refused(&client, "list_nics", json!({ "vm": OFF, "fields": ["speed"] })).await;
    assert!(code == "invalid_argument" && message.contains("network_kind"), "{message}");
}

/// Given as a network of a standard switch, a distributed port group leaves its adapter without a link.
#[tokio::test]
async fn pitfall_15_each_kind_of_network_gets_its_own_backing() {
    let (lab, client) = shop().await;
    let machine = machine(&lab, ON).await;

    let added = done(&client, "add_nic", json!({ "vm": ON, "network": "prod-db" })).await;
    assert_eq!((&added["changed"], &added["nic"]["network_kind"]), (&json!(true), &json!("distributed")));
    let device = card(&machine, &added["nic"]["key"]).await;
    let backing = device.backing.as_ref().unwrap();
    let port = &backing.downcast_ref::<VirtualEthernetCardDistributedVirtualPortBackingInfo>().unwrap().port;
    let group: Mo<DistributedVirtualPortgroup> = lab.client.get("prod-db").await.unwrap();
    assert_eq!(port.portgroup_key.as_deref(), Some(group.id()));
    let link = device.connectable.as_ref().unwrap();
    assert_eq!((link.connected, link.start_connected, link.status.as_deref()), (true, true, Some("ok")));

    // By its path, and without a link.
    let arguments = json!({ "vm": ON, "network": "/fra1/network/VM Network", "start_connected": false });
    let added = done(&client, "add_nic", arguments).await;
    let device = card(&machine, &added["nic"]["key"]).await;
    let backing = device.backing.as_ref().unwrap();
    let standard = backing.downcast_ref::<VirtualEthernetCardNetworkBackingInfo>().unwrap();
    let network: Mo<Network> = lab.client.get("VM Network").await.unwrap();
    assert_eq!(standard.network.as_ref().unwrap().value, network.id());
    let link = device.connectable.as_ref().unwrap();
    assert_eq!((link.connected, link.start_connected), (false, false));

    // By its id.
    let opaque: Mo<Network> = lab.client.get("nsx-partners").await.unwrap();
    let added = done(&client, "add_nic", json!({ "vm": ON, "network": opaque.id() })).await;
    let nic = &added["nic"];
    assert_eq!((&nic["network"], &nic["network_id"]), (&json!("nsx-partners"), &json!(opaque.id())));
    assert_eq!((&nic["network_kind"], &nic["connected"]), (&json!("opaque"), &json!(true)));
    let device = card(&machine, &nic["key"]).await;
    let backing = device.backing.as_ref().unwrap();
    let backing = backing.downcast_ref::<VirtualEthernetCardOpaqueNetworkBackingInfo>().unwrap();
    let is = (backing.opaque_network_id.as_str(), backing.opaque_network_type.as_str());
    assert_eq!(is, ("7d0e3a51-partners", "nsx.LogicalSwitch"));
}

#[tokio::test]
async fn every_type_of_adapter_can_be_added_until_there_are_ten() {
    let (lab, client) = shop().await;
    let machine = machine(&lab, OFF).await;
    let add = |kind: Option<&'static str>| {
        let client = &client;
        async move {
            let mut arguments = json!({ "vm": OFF, "network": "lab" });
            if let Some(kind) = kind {
                arguments["nic_type"] = json!(kind);
            }
            done(client, "add_nic", arguments).await
        }
    };
    let mut kinds = Vec::new();
    for kind in [None, Some("e1000"), Some("e1000e"), Some("vmxnet2"), Some("pcnet32"), Some("sriov")] {
        let added = add(kind).await;
        assert_eq!(added["nic"]["type"], kind.unwrap_or("vmxnet3"));
        // In a machine that is off nothing is connected, but will be.
        assert_eq!((&added["nic"]["connected"], &added["nic"]["start_connected"]), (&json!(false), &json!(true)));
        kinds.push(card(&machine, &added["nic"]["key"]).await);
    }
    assert!(kinds[0].is::<VirtualVmxnet3>() && kinds[1].is::<VirtualE1000>() && kinds[2].is::<VirtualE1000e>());
    assert!(kinds[3].is::<VirtualVmxnet2>() && kinds[4].is::<VirtualPCNet32>());
    assert!(kinds[5].is::<VirtualSriovEthernetCard>());
    for _ in 0..3 {
        add(None).await;
    }
    assert_eq!(cards(&machine).await.len(), 10);
    let (_, message, _) = refused(&client, "add_nic", json!({ "vm": OFF, "network": "lab" })).await;
    assert!(message.contains("remove one first"), "{message}");
    let arguments = json!({ "vm": OFF, "network": "lab", "nic_type": "token-ring" });
    let (code, message, _) = refused(&client, "add_nic", arguments).await;
    assert!(code == "invalid_argument" && message.contains("pcnet32"), "{message}");
}

#[tokio::test]
async fn only_networks_that_machines_can_use_are_taken() {
    let (lab, client) = shop().await;
    let (code, message, _) = refused(&client, "add_nic", json!({ "vm": ON, "network": "prod-mail" })).await;
    assert_eq!(code, "not_found");
    assert!(message.contains("VM Network") && message.contains("prod-db") && message.contains("esx-0"), "{message}");
    let (code, message, _) = refused(&client, "add_nic", json!({ "vm": ON, "network": "dvs-fra1-DVUplinks" })).await;
    assert!(matches!(code.as_str(), "invalid_argument" | "not_found"), "{message}");
    let networks = lab.client.all::<DistributedVirtualPortgroup>();
    let networks = networks.select(vsphere_ops::managed::distributed_virtual_portgroup::CONFIG).await.unwrap();
    let (uplinks, _) = networks.iter().find(|(_, config)| config.uplink == Some(true)).unwrap();
    let (code, message, _) = refused(&client, "add_nic", json!({ "vm": ON, "network": uplinks.id() })).await;
    assert!(code == "invalid_argument" && message.contains("uplinks"), "{message}");
    assert_eq!(cards(&machine(&lab, ON).await).await.len(), 1);
}

#[tokio::test]
async fn pitfall_13_of_networks_with_one_name_the_one_of_the_machines_host_is_meant() {
    let size = Size { datacenters: 2, clusters: 1, hosts: 2, datastores: 1, vms: 2 };
    let lab = Lab::of(Model::sized(size)).await;
    let client = older(lab.server(&[]), ()).await;
    for dc in ["DC0", "DC1"] {
        let name = format!("{dc}_C0_VM0");
        let added = done(&client, "add_nic", json!({ "vm": name, "network": "VM Network" })).await;
        let own: Mo<Network> = lab.client.get(&format!("/{dc}/network/VM Network")).await.unwrap();
        assert_eq!(added["nic"]["network_id"], own.id(), "{added:#}");
    }
    let arguments = json!({ "vm": "DC0_C0_VM0", "network": "/DC1/network/VM Network" });
    let (code, message, _) = refused(&client, "add_nic", arguments).await;
    assert!(code == "invalid_argument" && message.contains("is not there"), "{message}");
    assert_eq!(cards(&machine(&lab, "DC0_C0_VM0").await).await.len(), 2);
}

#[tokio::test]
async fn removing_shows_first_what_goes() {
    let lab = Lab::of(Model::demo()).await;
    let client = older(lab.server(&[]), ()).await;
    let machine = machine(&lab, ON).await;
    let mac = cards(&machine).await[0].downcast_ref::<VirtualEthernetCard>().unwrap().mac_address.clone().unwrap();
    let plan = done(&client, "remove_nic", json!({ "vm": ON, "nic": FIRST })).await;
    let shown = &plan["objects"][0];
    assert_eq!((&shown["vm"], &shown["power_state"]), (&json!(ON), &json!("powered_on")));
    assert_eq!(
        (&shown["mac"], &shown["network"], &shown["connected"]),
        (&json!(mac), &json!("prod-web"), &json!(true))
    );
    assert!(!shown["ip_addresses"].as_array().unwrap().is_empty());
    assert_eq!(cards(&machine).await.len(), 1);

    // It was agreed to remove a connected one.
    let unasked = older(lab.server(&[("MCP_CONFIRM", "never")]), ()).await;
    done(&unasked, "connect_nic", json!({ "vm": ON, "nic": FIRST, "connected": false })).await;
    let again = done(&client, "remove_nic", json!({ "vm": ON, "nic": FIRST, "confirm": plan["plan_token"] })).await;
    assert_eq!(again["confirmation_required"], true);
    assert_eq!(cards(&machine).await.len(), 1);
    let removed = done(&client, "remove_nic", json!({ "vm": ON, "nic": FIRST, "confirm": again["plan_token"] })).await;
    assert_eq!((&removed["changed"], &removed["nic"]["mac"]), (&json!(true), &json!(mac)));
    assert!(cards(&machine).await.is_empty());
    let (code, message, _) = refused(&client, "remove_nic", json!({ "vm": ON, "nic": FIRST })).await;
    assert!(code == "not_found" && message.contains("no network adapter"), "{message}");
}

#[tokio::test]
async fn a_running_machines_adapter_is_connected_at_once_and_another_ones_from_power_on() {
    let (lab, client) = shop().await;
    let running = machine(&lab, ON).await;
    let link = async |machine: &Mo<VirtualMachine>| {
        let info = cards(machine).await.remove(0).connectable.clone().unwrap();
        (info.connected, info.start_connected)
    };
    let cut = done(&client, "connect_nic", json!({ "vm": ON, "nic": FIRST, "connected": false })).await;
    assert_eq!((&cut["changed"], &cut["nic"]["connected"]), (&json!(true), &json!(false)));
    assert!(cut["warnings"][0].as_str().unwrap().contains("connected again"), "{cut:#}");
    assert_eq!(link(&running).await, (false, true));
    let again = done(&client, "connect_nic", json!({ "vm": ON, "nic": FIRST, "connected": false })).await;
    assert_eq!(again["changed"], false);
    let joined = done(&client, "connect_nic", json!({ "vm": ON, "nic": FIRST })).await;
    assert_eq!((&joined["changed"], &joined["nic"]["connected"]), (&json!(true), &json!(true)));
    assert!(joined["warnings"].is_null(), "{joined:#}");
    assert_eq!(link(&running).await, (true, true));

    let off = machine(&lab, OFF).await;
    let cut = done(&client, "connect_nic", json!({ "vm": OFF, "nic": FIRST, "connected": false })).await;
    assert_eq!((&cut["changed"], &cut["nic"]["start_connected"]), (&json!(true), &json!(false)));
    assert!(cut["warnings"][0].as_str().unwrap().contains("does not run"), "{cut:#}");
    assert_eq!(link(&off).await, (false, false));
    off.power_on().await.unwrap().await.unwrap();
    assert_eq!(link(&off).await, (false, false));
    let (code, ..) = refused(&client, "connect_nic", json!({ "vm": OFF, "nic": "4999" })).await;
    assert_eq!(code, "not_found");
}

#[tokio::test]
async fn an_adapter_moves_to_another_network() {
    let (lab, client) = shop().await;
    let machine = machine(&lab, ON).await;
    let before = cards(&machine).await.remove(0);
    let (old, key) = (before.downcast_ref::<VirtualEthernetCard>().unwrap(), json!(before.key));
    for (argument, network, kind) in [
        ("network", "prod-db", "distributed"),
        ("new_network", "vm network", "standard"),
        ("network", "nsx-partners", "opaque"),
    ] {
        let arguments = json!({ "vm": ON, "nic": FIRST, argument: network });
        let moved = done(&client, "change_nic_network", arguments.clone()).await;
        assert_eq!((&moved["changed"], &moved["nic"]["network_kind"]), (&json!(true), &json!(kind)), "{moved:#}");
        let device = card(&machine, &key).await;
        let own: &VirtualEthernetCard = device.downcast_ref().unwrap();
        assert_eq!((&own.mac_address, &own.address_type), (&old.mac_address, &old.address_type));
        assert!(own.connectable.as_ref().unwrap().connected);
        let network: Mo<Network> = lab.client.get(network).await.unwrap();
        assert_eq!(machine.read(vm::NETWORK).await.unwrap(), [network.reference().clone()]);
        let again = done(&client, "change_nic_network", arguments).await;
        assert_eq!(again["changed"], false, "{again:#}");
    }
    done(&client, "connect_nic", json!({ "vm": ON, "nic": FIRST, "connected": false })).await;
    let moved = done(&client, "change_nic_network", json!({ "vm": ON, "nic": FIRST, "network": "lab" })).await;
    assert!(moved["warnings"][0].as_str().unwrap().contains("disconnected"), "{moved:#}");
    assert!(!card(&machine, &key).await.connectable.as_ref().unwrap().connected);
    let arguments = json!({ "vm": ON, "nic": FIRST, "network": "prod-mail" });
    assert_eq!(refused(&client, "change_nic_network", arguments).await.0, "not_found");
}

#[tokio::test]
async fn a_mac_address_is_set_on_a_machine_that_is_off() {
    let lab = Lab::of(Model::demo()).await;
    let client = older(lab.server(&[]), ()).await;
    let machine = machine(&lab, OFF).await;
    let set = |mac: &str| json!({ "vm": OFF, "nic": FIRST, "mac_address": mac });
    let (code, message, _) =
        refused(&client, "set_nic_mac", json!({ "vm": ON, "nic": FIRST, "mac_address": "00:50:56:0a:0b:0c" })).await;
    assert!(code == "unsupported" && message.contains("power it off first"), "{message}");
    for wrong in ["00:50:56:0a:0b", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"] {
        assert_eq!(refused(&client, "set_nic_mac", set(wrong)).await.0, "invalid_argument", "{wrong}");
    }

    let old = cards(&machine).await[0].downcast_ref::<VirtualEthernetCard>().unwrap().mac_address.clone().unwrap();
    let plan = done(&client, "set_nic_mac", set("00-50-56-0A-0B-0C")).await;
    let shown = &plan["objects"][0];
    assert_eq!((&shown["mac"], &shown["new_mac"]), (&json!(old), &json!("00:50:56:0a:0b:0c")), "{plan:#}");
    let mut agreed = set("00-50-56-0A-0B-0C");
    agreed["confirm"] = plan["plan_token"].clone();
    let set_ = done(&client, "set_nic_mac", agreed).await;
    assert_eq!((&set_["changed"], &set_["nic"]["mac_type"]), (&json!(true), &json!("manual")), "{set_:#}");
    assert!(set_["warnings"].is_null(), "{set_:#}");
    let device = cards(&machine).await.remove(0);
    let own: &VirtualEthernetCard = device.downcast_ref().unwrap();
    assert_eq!((own.mac_address.as_deref(), own.address_type.as_deref()), (Some("00:50:56:0a:0b:0c"), Some("manual")));
    // Nothing is lost, so nothing is asked.
    let again = done(&client, "set_nic_mac", set("0050.560a.0b0c")).await;
    assert_eq!(again["changed"], false, "{again:#}");

    // That of a machine in the same shop.
    let other = self::machine(&lab, ON).await;
    let taken = cards(&other).await[0].downcast_ref::<VirtualEthernetCard>().unwrap().mac_address.clone().unwrap();
    let plan = done(&client, "set_nic_mac", set(&taken)).await;
    let warnings = plan["objects"][0]["warnings"].to_string();
    assert!(warnings.contains("Network adapter 1 of web-01") && warnings.contains("by themselves"), "{warnings}");
    let mut agreed = set(&taken);
    agreed["confirm"] = plan["plan_token"].clone();
    let set = done(&client, "set_nic_mac", agreed).await;
    assert!(set["warnings"].to_string().contains("web-01"), "{set:#}");
}
