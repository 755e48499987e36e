//! Serial ports on vcsim.

use peers::{Vcsim, govc};
use serde_json::{Value, json};

use crate::{call, command};

const VM: &str = "DC0_H0_VM0";

/// The serial ports of the machine as govc lists them.
async fn ports(vcsim: &Vcsim) -> Vec<Value> {
    let info = govc(&vcsim.govc_url(), &["device.info", "-vm", VM]).await.unwrap();
    let devices = info["devices"].as_array().unwrap();
    devices.iter().filter(|device| device["type"] == "VirtualSerialPort").cloned().collect()
}

async fn act(vcsim: &Vcsim, tool: &str, arguments: &[&str]) -> Value {
    let mut all = vec![format!("vm={VM}")];
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    call(&vcsim.url(), tool, &all).await
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_the_life_of_a_serial_port() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    assert_eq!(act(&vcsim, "get_serial_port", &[]).await["serial_ports"], json!([]));
    let refused = command(&vcsim.url(), "setup_serial_port", &[format!("vm={VM}")]).await;
    let error: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(error["code"], "unsupported", "{error:#}");
    act(&vcsim, "power_off_vm", &[]).await;

    let set_up = act(&vcsim, "setup_serial_port", &["protocol=tcp"]).await;
    let port = &set_up["serial_port"];
    let own = ports(&vcsim).await.remove(0);
    assert_eq!(own["backing"]["serviceURI"], format!("tcp://:{}", port["port"]), "{own:#}");
    assert_eq!((&own["backing"]["direction"], &own["yieldOnPoll"]), (&json!("server"), &json!(true)), "{own:#}");
    assert_eq!(port["connection"], format!("tcp://DC0_H0:{}", port["port"]));
    assert_eq!(act(&vcsim, "setup_serial_port", &["protocol=tcp"]).await["changed"], false);
    assert_eq!(act(&vcsim, "get_serial_port", &[]).await["serial_ports"], json!([port]));

    let changed = act(&vcsim, "setup_serial_port", &["protocol=telnet", "port=2001", "yield_on_poll=false"]).await;
    assert_eq!(changed["changed"], true);
    let own = ports(&vcsim).await;
    assert_eq!((own.len(), &own[0]["backing"]["serviceURI"]), (1, &json!("telnet://:2001")), "{own:#?}");

    act(&vcsim, "power_on_vm", &[]).await;
    let joined = act(&vcsim, "connect_serial_port", &[]).await;
    assert_eq!(joined["serial_port"]["connected"], true, "{joined:#}");
    assert_eq!(ports(&vcsim).await[0]["connectable"]["connected"], true);
    let cut = act(&vcsim, "connect_serial_port", &["connected=false"]).await;
    assert_eq!(cut["changed"], true);
    assert_eq!(ports(&vcsim).await[0]["connectable"]["connected"], false);
    assert_eq!(act(&vcsim, "clear_serial_port", &[]).await["changed"], true);
    assert_eq!(ports(&vcsim).await[0]["connectable"]["connected"], true);

    act(&vcsim, "power_off_vm", &[]).await;
    assert_eq!(act(&vcsim, "remove_serial_port", &[]).await["changed"], true);
    assert!(ports(&vcsim).await.is_empty());
    assert_eq!(act(&vcsim, "remove_serial_port", &[]).await["changed"], false);
}
