//! Serial ports over the network. Effects are read from the machine.

use rmcp::{RoleClient, service::RunningService};
use serde_json::{Value, json};
use vsphere_ops::{
    Mo, Task,
    managed::{HostFirewallSystem, HostSystem, VirtualMachine, host_system, virtual_machine as vm},
    types::{
        Poly, VirtualDeviceConfigSpec, VirtualDeviceConfigSpecOperation, VirtualDeviceFileBackingInfo,
        VirtualDeviceURIBackingInfo, VirtualMachineConfigSpec, VirtualSerialPort, VirtualSerialPortFileBackingInfo,
        VirtualSerialPortURIBackingInfo,
    },
};

use crate::{
    confirm::older,
    lab::Lab,
    nics::{done, refused},
};

type Mcp = RunningService<RoleClient, ()>;

async fn lab() -> (Lab, Mo<VirtualMachine>, Mcp) {
    let lab = Lab::new().await;
    let machine = lab.machine("router-1").await;
    let client = older(lab.server(&[("MCP_CONFIRM", "never")]), ()).await;
    (lab, machine, client)
}

async fn ports(machine: &Mo<VirtualMachine>) -> Vec<VirtualSerialPort> {
    let devices = machine.read(vm::DEVICES).await.unwrap();
    devices.iter().filter_map(|device| device.downcast_ref().cloned()).collect()
}

/// URI and direction of the machine's only serial port.
async fn line(machine: &Mo<VirtualMachine>) -> (String, String) {
    let ports = ports(machine).await;
    let [port] = ports.as_slice() else { panic!("{} ports", ports.len()) };
    let backing = port.backing.as_ref().unwrap();
    let uri: &VirtualDeviceURIBackingInfo = backing.downcast_ref().unwrap();
    assert!(backing.is::<VirtualSerialPortURIBackingInfo>());
    (uri.service_uri.clone(), uri.direction.clone())
}

async fn host(lab: &Lab, machine: &Mo<VirtualMachine>) -> (Mo<HostSystem>, String) {
    let host = machine.read(vm::HOST).await.unwrap().unwrap();
    let host: Mo<HostSystem> = lab.client.get(&host.value).await.unwrap();
    let name = host.read(host_system::NAME).await.unwrap();
    (host, name)
}

/// Adds a port that is no network's, or whatever.
async fn add(lab: &Lab, machine: &Mo<VirtualMachine>, port: VirtualSerialPort) {
    let change = VirtualDeviceConfigSpec {
        operation: Some(VirtualDeviceConfigSpecOperation::Add),
        device: Poly::new(port),
        ..Default::default()
    };
    let spec = VirtualMachineConfigSpec { device_change: vec![Poly::new(change)], ..Default::default() };
    let task = machine.reconfig_vm_task(&spec).await.unwrap();
    Task::<()>::new(&lab.client, task, "add", "port").await.unwrap();
}

fn to_file() -> VirtualSerialPort {
    let base = VirtualDeviceFileBackingInfo { file_name: "[DC0_DS0] console.log".to_owned(), ..Default::default() };
    let mut port = VirtualSerialPort::default();
    port.backing = Some(Poly::new(VirtualSerialPortFileBackingInfo { base }));
    port
}

fn on_network(uri: &str) -> VirtualSerialPort {
    let base = VirtualDeviceURIBackingInfo {
        service_uri: uri.to_owned(),
        direction: "server".to_owned(),
        ..Default::default()
    };
    let mut port = VirtualSerialPort { yield_on_poll: true, ..Default::default() };
    port.backing = Some(Poly::new(VirtualSerialPortURIBackingInfo { base }));
    port
}

#[tokio::test]
async fn a_port_is_set_up_once_and_answers_where_to_connect() {
    let (lab, machine, client) = lab().await;
    let none = done(&client, "get_serial_port", json!({ "vm": "router-1" })).await;
    assert_eq!((&none["serial_ports"], &none["power_state"]), (&json!([]), &json!("powered_off")));

    let set_up = done(&client, "setup_serial_port", json!({ "name": "router-1" })).await;
    let port = &set_up["serial_port"];
    let number = port["port"].as_u64().unwrap();
    assert!((20_000..30_000).contains(&number));
    assert_eq!(line(&machine).await, (format!("telnet://:{number}"), "server".to_owned()));
    let own = ports(&machine).await.remove(0);
    assert!(own.yield_on_poll && own.connectable.as_ref().unwrap().start_connected);
    let (host, host_name) = host(&lab, &machine).await;
    assert_eq!(port["connection"], format!("telnet://{host_name}:{number}"));
    assert_eq!(
        (&set_up["changed"], &port["protocol"], &port["direction"]),
        (&json!(true), &json!("telnet"), &json!("server"))
    );

    let got = done(&client, "get_serial_port", json!({ "vm": "router-1" })).await;
    assert_eq!((&got["serial_ports"], &got["host"]), (&json!([port]), &json!(host_name)));

    // Hosts keep serial ports from the network at first.
    let warning = got["warnings"][0].as_str().unwrap();
    assert!(warning.contains("remoteSerialPort") && warning.contains(&host_name), "{warning}");
    assert_eq!(set_up["warnings"], got["warnings"]);
    let manager = host.read(host_system::CONFIG_MANAGER).await.unwrap();
    let firewall: HostFirewallSystem = lab.client.raw(manager.firewall_system.as_ref().unwrap());
    firewall.enable_ruleset("remoteSerialPort").await.unwrap();

    let again = done(&client, "setup_serial_port", json!({ "vm": "router-1" })).await;
    assert_eq!((&again["changed"], &again["serial_port"]), (&json!(false), port));
    assert!(again["warnings"].is_null(), "{again:#}");
    // Also while it runs.
    machine.power_on().await.unwrap().await.unwrap();
    let again = done(&client, "setup_serial_port", json!({ "vm": "router-1", "port": number })).await;
    assert_eq!((&again["changed"], &again["serial_port"]["connected"]), (&json!(false), &json!(true)));
}

#[tokio::test]
async fn every_protocol_and_direction_is_written_as_vsphere_reads_it() {
    let (_lab, machine, client) = lab().await;
    for protocol in ["telnet", "telnets", "tcp", "tcp+ssl", "tcp4", "tcp6"] {
        let arguments = json!({ "vm": "router-1", "protocol": protocol, "port": 2001, "yield_on_poll": false });
        let set_up = done(&client, "setup_serial_port", arguments).await;
        assert_eq!((&set_up["changed"], &set_up["serial_port"]["protocol"]), (&json!(true), &json!(protocol)));
        assert_eq!(line(&machine).await, (format!("{protocol}://:2001"), "server".to_owned()));
        assert!(!ports(&machine).await[0].yield_on_poll);
    }
    let call = |address: &str| json!({ "vm": "router-1", "protocol": "telnets", "direction": "client", "address": address, "port": 7000 });
    let set_up = done(&client, "setup_serial_port", call("console.example")).await;
    assert_eq!(set_up["serial_port"]["connection"], "telnets://console.example:7000");
    assert_eq!(line(&machine).await, ("telnets://console.example:7000".to_owned(), "client".to_owned()));
    assert_eq!(done(&client, "setup_serial_port", call("console.example")).await["changed"], false);
    done(&client, "setup_serial_port", call("2001:db8::7")).await;
    assert_eq!(line(&machine).await.0, "telnets://[2001:db8::7]:7000");
    for (wrong, says) in [
        (json!({ "vm": "router-1", "direction": "client", "port": 7000 }), "`address`"),
        (json!({ "vm": "router-1", "direction": "client", "address": "x" }), "`port`"),
        (json!({ "vm": "router-1", "address": "x" }), "direction client"),
        (json!({ "vm": "router-1", "port": 0 }), "port 0"),
        (json!({ "vm": "router-1", "port": 70_000 }), "`port`"),
        (json!({ "vm": "router-1", "protocol": "ssh" }), "telnets"),
        (call("a b"), "no name or address"),
    ] {
        let (code, message, _) = refused(&client, "setup_serial_port", wrong).await;
        assert!(code == "invalid_argument" && message.contains(says), "{says}: {message}");
    }
    assert_eq!(line(&machine).await.0, "telnets://[2001:db8::7]:7000");
}

#[tokio::test]
async fn no_two_machines_of_a_host_listen_on_one_port() {
    let (lab, machine, client) = lab().await;
    let (home, _) = host(&lab, &machine).await;
    // Some machine that is on the same host.
    let mut other = lab.machine("router-2").await;
    for number in 3..9 {
        if other.read(vm::HOST).await.unwrap().as_ref() == Some(home.reference()) {
            break;
        }
        other = lab.machine(&format!("router-{number}")).await;
    }
    assert_eq!(other.read(vm::HOST).await.unwrap().as_ref(), Some(home.reference()));
    let first = done(&client, "setup_serial_port", json!({ "vm": "router-1" })).await;
    let taken = first["serial_port"]["port"].clone();
    let (code, message, _) = refused(&client, "setup_serial_port", json!({ "vm": other.id(), "port": taken })).await;
    assert!(code == "invalid_argument" && message.contains("router-1 listens on port"), "{message}");
    assert!(ports(&other).await.is_empty());

    // The port that the other one would have got is in use already.
    let wanted = done(&client, "setup_serial_port", json!({ "vm": other.id() })).await["serial_port"]["port"].clone();
    assert_ne!(wanted, taken);
    done(&client, "remove_serial_port", json!({ "vm": other.id() })).await;
    done(&client, "setup_serial_port", json!({ "vm": "router-1", "port": wanted })).await;
    let next = done(&client, "setup_serial_port", json!({ "vm": other.id() })).await["serial_port"]["port"].clone();
    assert_ne!(next, wanted);
}

#[tokio::test]
async fn a_machine_that_runs_keeps_its_ports() {
    let (_lab, machine, client) = lab().await;
    machine.power_on().await.unwrap().await.unwrap();
    let (code, message, _) = refused(&client, "setup_serial_port", json!({ "vm": "router-1" })).await;
    assert!(code == "unsupported" && message.contains("shut it down first"), "{message}");
    machine.power_off().await.unwrap().await.unwrap();
    done(&client, "setup_serial_port", json!({ "vm": "router-1" })).await;
    let before = line(&machine).await;
    machine.power_on().await.unwrap().await.unwrap();
    for (tool, arguments) in [
        ("setup_serial_port", json!({ "vm": "router-1", "protocol": "tcp" })),
        ("remove_serial_port", json!({ "vm": "router-1" })),
    ] {
        let (code, message, _) = refused(&client, tool, arguments).await;
        assert!(code == "unsupported" && message.contains("shut it down first"), "{tool}: {message}");
    }
    assert_eq!(line(&machine).await, before);
}

#[tokio::test]
async fn the_line_is_cut_joined_and_cleared() {
    let (_lab, machine, client) = lab().await;
    let link = async || {
        let info = ports(&machine).await.remove(0).connectable.clone().unwrap();
        (info.connected, info.start_connected)
    };
    for tool in ["connect_serial_port", "clear_serial_port"] {
        let (code, message, _) = refused(&client, tool, json!({ "vm": "router-1" })).await;
        assert!(code == "not_found" && message.contains("setup_serial_port"), "{tool}: {message}");
    }
    done(&client, "setup_serial_port", json!({ "vm": "router-1" })).await;

    let off = done(&client, "connect_serial_port", json!({ "vm": "router-1", "connected": false })).await;
    assert_eq!((&off["changed"], link().await), (&json!(true), (false, false)));
    assert!(off["warnings"][0].as_str().unwrap().contains("does not run"));
    let on = done(&client, "connect_serial_port", json!({ "vm": "router-1" })).await;
    assert_eq!((&on["changed"], link().await), (&json!(true), (false, true)));
    let cleared = done(&client, "clear_serial_port", json!({ "vm": "router-1" })).await;
    assert_eq!((&cleared["changed"], link().await), (&json!(false), (false, true)));

    machine.power_on().await.unwrap().await.unwrap();
    assert_eq!(link().await, (true, true));
    let again = done(&client, "connect_serial_port", json!({ "vm": "router-1" })).await;
    assert_eq!(again["changed"], false);
    let tasks = async || machine.read(vm::RECENT_TASK).await.unwrap().len();
    let before = tasks().await;
    let cleared = done(&client, "clear_serial_port", json!({ "vm": "router-1" })).await;
    assert_eq!((&cleared["changed"], &cleared["serial_port"]["connected"]), (&json!(true), &json!(true)));
    assert_eq!((tasks().await - before, link().await), (2, (true, true)));

    let cut = done(&client, "connect_serial_port", json!({ "vm": "router-1", "connected": false })).await;
    assert_eq!((&cut["changed"], link().await), (&json!(true), (false, true)));
    assert!(cut["warnings"][0].as_str().unwrap().contains("next power on"), "{cut:#}");
    done(&client, "clear_serial_port", json!({ "vm": "router-1" })).await;
    assert_eq!(link().await, (true, true));
}

#[tokio::test]
async fn removing_shows_first_what_goes_and_of_nothing_is_none() {
    let (lab, machine, unasked) = lab().await;
    let client = older(lab.server(&[]), ()).await;
    done(&unasked, "setup_serial_port", json!({ "vm": "router-1" })).await;
    let (uri, _) = line(&machine).await;
    let plan = done(&client, "remove_serial_port", json!({ "vm": "router-1" })).await;
    assert_eq!(plan["objects"][0]["serial_port"]["service_uri"], uri, "{plan:#}");
    assert_eq!(ports(&machine).await.len(), 1);
    let agreed = json!({ "vm": "router-1", "confirm": plan["plan_token"] });
    let removed = done(&client, "remove_serial_port", agreed).await;
    assert_eq!((&removed["changed"], &removed["serial_port"]["service_uri"]), (&json!(true), &json!(uri)));
    assert!(ports(&machine).await.is_empty());
    let again = done(&client, "remove_serial_port", json!({ "vm": "router-1" })).await;
    assert_eq!((&again["changed"], &again["serial_port"]), (&json!(false), &Value::Null), "{again:#}");
}

#[tokio::test]
async fn pitfall_13_among_several_ports_none_is_guessed() {
    let (lab, machine, client) = lab().await;
    add(&lab, &machine, to_file()).await;
    // A port to a file is nobody's console: it stays, beside the new one.
    done(&client, "setup_serial_port", json!({ "vm": "router-1", "port": 2001 })).await;
    let got = done(&client, "get_serial_port", json!({ "vm": "router-1" })).await;
    let kinds: Vec<_> = got["serial_ports"].as_array().unwrap().iter().map(|port| port["kind"].clone()).collect();
    assert_eq!(kinds, ["file", "network"]);
    // The only one on the network is meant.
    let cut = done(&client, "connect_serial_port", json!({ "vm": "router-1", "connected": false })).await;
    assert_eq!(cut["serial_port"]["port"], 2001);

    add(&lab, &machine, on_network("tcp://:2002")).await;
    for tool in ["setup_serial_port", "connect_serial_port", "clear_serial_port", "remove_serial_port"] {
        let (code, _, candidates) = refused(&client, tool, json!({ "vm": "router-1" })).await;
        assert_eq!((code.as_str(), candidates.as_array().unwrap().len()), ("ambiguous", 2), "{tool}: {candidates}");
    }
    let arguments = json!({ "vm": "router-1", "serial_port": "Serial port 3", "protocol": "telnet", "port": 2003 });
    let set_up = done(&client, "setup_serial_port", arguments).await;
    assert_eq!((&set_up["changed"], &set_up["serial_port"]["port"]), (&json!(true), &json!(2003)));
    done(&client, "remove_serial_port", json!({ "vm": "router-1", "serial_port": "9001" })).await;
    let labels: Vec<_> =
        ports(&machine).await.iter().map(|port| port.device_info.as_ref().unwrap().label.clone()).collect();
    assert_eq!(labels, ["Serial port 1", "Serial port 3"]);
    let (code, message, _) =
        refused(&client, "remove_serial_port", json!({ "vm": "router-1", "serial_port": "9001" })).await;
    assert!(code == "not_found" && message.contains("Serial port 3"), "{message}");
}
