//! Network adapters on vcsim, which has standard networks and distributed port groups.

use peers::{Vcsim, govc};
use serde_json::{Value, json};

use crate::{call, command};

const VM: &str = "DC0_H0_VM0";

/// The adapters of the machine as govc lists them.
async fn adapters(vcsim: &Vcsim) -> Vec<Value> {
    let info = govc(&vcsim.govc_url(), &["device.info", "-vm", VM, "ethernet-*"]).await.unwrap();
    info["devices"].as_array().unwrap().clone()
}

async fn act(vcsim: &Vcsim, tool: &str, arguments: &[&str]) -> Value {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    call(&vcsim.url(), tool, &arguments).await
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_the_life_of_a_network_adapter() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let vm = format!("vm={VM}");
    let listed = act(&vcsim, "list_nics", &[&vm]).await;
    let own = adapters(&vcsim).await;
    assert_eq!(listed["total"], own.len(), "{listed:#}");
    assert_eq!((&listed["items"][0]["key"], &listed["items"][0]["mac"]), (&own[0]["key"], &own[0]["macAddress"]));
    assert!(listed["items"][0]["problem"].is_null(), "{listed:#}");

    let added = act(&vcsim, "add_nic", &[&vm, "network=DC0_DVPG0", "nic_type=e1000e"]).await;
    let nic = &added["nic"];
    let key = format!("nic={}", nic["key"]);
    let now = adapters(&vcsim).await;
    let device = now.iter().find(|device| device["key"] == nic["key"]).unwrap();
    assert_eq!((&nic["network"], &nic["network_kind"]), (&json!("DC0_DVPG0"), &json!("distributed")), "{added:#}");
    assert_eq!(device["type"], "VirtualE1000e", "{device:#}");
    let info = govc(&vcsim.govc_url(), &["object.collect", "/DC0/network/DC0_DVPG0", "key"]).await.unwrap();
    assert_eq!(device["backing"]["port"]["portgroupKey"], info[0]["val"], "{device:#}");
    let switch = govc(&vcsim.govc_url(), &["object.collect", "/DC0/network/DVS0", "uuid"]).await.unwrap();
    assert_eq!(device["backing"]["port"]["switchUuid"], switch[0]["val"], "{device:#}");
    let shown = act(&vcsim, "get_nic_info", &[&vm, &key]).await;
    assert_eq!((&shown["mac"], &shown["switch_uuid"]), (&device["macAddress"], &switch[0]["val"]));

    let moved = act(&vcsim, "change_nic_network", &[&vm, &key, "new_network=VM Network"]).await;
    assert_eq!((&moved["changed"], &moved["nic"]["network_kind"]), (&json!(true), &json!("standard")), "{moved:#}");
    let now = adapters(&vcsim).await;
    let device = now.iter().find(|device| device["key"] == nic["key"]).unwrap();
    assert_eq!(device["backing"]["deviceName"], "VM Network", "{device:#}");
    let again = act(&vcsim, "change_nic_network", &[&vm, &key, "network=VM Network"]).await;
    assert_eq!(again["changed"], false);

    let cut = act(&vcsim, "connect_nic", &[&vm, &key, "connected=false"]).await;
    let now = adapters(&vcsim).await;
    let device = now.iter().find(|device| device["key"] == nic["key"]).unwrap();
    assert_eq!((&cut["changed"], &device["connectable"]["connected"]), (&json!(true), &json!(false)), "{device:#}");

    act(&vcsim, "power_off_vm", &[&vm]).await;
    let set = act(&vcsim, "set_nic_mac", &[&vm, &key, "mac_address=00-50-56-0A-0B-0C"]).await;
    let now = adapters(&vcsim).await;
    let device = now.iter().find(|device| device["key"] == nic["key"]).unwrap();
    assert_eq!((&set["changed"], &device["macAddress"]), (&json!(true), &json!("00:50:56:0a:0b:0c")), "{device:#}");
    assert_eq!(device["addressType"], "manual");

    let removed = act(&vcsim, "remove_nic", &[&vm, &key]).await;
    assert_eq!(removed["changed"], true);
    let left = adapters(&vcsim).await;
    assert!(left.len() == own.len() && left.iter().all(|device| device["key"] != nic["key"]));
}

/// Which port group holds the uplinks of a switch, vcsim does not say: that such a one is refused, it can't tell.
#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_a_network_that_is_not_there_is_refused() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let before = adapters(&vcsim).await.len();
    let arguments = [format!("vm={VM}"), "network=no-such-network".to_owned()];
    let output = command(&vcsim.url(), "add_nic", &arguments).await;
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["code"], "not_found", "{error:#}");
    assert!(error["message"].as_str().unwrap().contains("VM Network"), "{error:#}");
    assert_eq!(adapters(&vcsim).await.len(), before);
}
