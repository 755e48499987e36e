//! Serial ports that are reached over the network.

use serde_json::json;
use vsphere_ops::{
    serial::{NewSerialPort, Protocol, SerialPlan, SerialPorts, SerialReport},
    types::VirtualMachinePowerState::PoweredOn,
};

use super::prelude::*;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::changes("setup_serial_port", Serial, VmLifecycle, "Set up a serial port", setup_serial_port)
            .about("Set up a network serial port, for a console. The VM must be off. Returns where to connect.")
            .needs(&["VirtualMachine.Config.AddRemoveDevice", "VirtualMachine.Config.EditDevice"])
            .idempotent()
            .asks(),
        Tool::reads("get_serial_port", Serial, "Get serial ports", get_serial_port)
            .about("Get a VM's serial ports and where to connect."),
        Tool::changes("connect_serial_port", Serial, VmLifecycle, "Connect a serial port", connect_serial_port)
            .about("Connect or disconnect a serial port; if the VM is off, from its next power-on.")
            .needs(&["VirtualMachine.Interact.DeviceConnection", "VirtualMachine.Config.EditDevice"])
            .idempotent()
            .asks(),
        Tool::changes("clear_serial_port", Serial, VmLifecycle, "Clear a serial port", clear_serial_port)
            .about("Disconnect and reconnect a serial port, to end the session that holds it.")
            .needs(&["VirtualMachine.Interact.DeviceConnection"])
            .idempotent()
            .asks(),
        Tool::changes("remove_serial_port", Serial, VmLifecycle, "Remove a serial port", remove_serial_port)
            .about("Remove a serial port. The VM must be off.")
            .needs(&["VirtualMachine.Config.AddRemoveDevice"])
            .idempotent()
            .asks(),
    ]
}

async fn setup_serial_port(args: SetupSerialPort, cx: Cx) -> Result<Object<SerialReport>> {
    let new = args.wanted()?;
    let setup = cx.agreed(|| async {
        let plan = args.vm.find(&cx).await?.serial_setup(args.serial_port.as_deref(), &new).await?;
        let preview = Preview::new(format!("Set up a serial port of {} for the network?", quoted(&plan.ports.vm)));
        let preview = match args.direction.unwrap_or_default() {
            Way::Server => preview.note(OPEN),
            Way::Client => preview.note("The VM then calls out to that address."),
        };
        let preview = preview.note(format!("It is called with {}", cx.arguments_shown()));
        let preview = preview.object(&plan)?.bind(plan.change_version())?;
        Ok((plan, preview))
    });
    Ok(Object(setup.await?.carry_out().await?))
}

async fn get_serial_port(args: OneVm, cx: Cx) -> Result<Object<SerialPorts>> {
    Ok(Object(args.vm.find(&cx).await?.serial_ports().await?))
}

async fn connect_serial_port(args: ConnectSerialPort, cx: Cx) -> Result<Object<SerialReport>> {
    let which = args.serial_port.as_deref();
    let linking = cx.agreed(|| async {
        let vm = args.vm.find(&cx).await?;
        match args.connected.unwrap_or(true) {
            true => preview(vm.serial_connection(which).await?, Fate::Connected),
            false => preview(vm.serial_disconnection(which).await?, Fate::Disconnected),
        }
    });
    Ok(Object(linking.await?.carry_out().await?))
}

async fn clear_serial_port(args: OneSerialPort, cx: Cx) -> Result<Object<SerialReport>> {
    let clearing = cx.agreed(|| async {
        let plan = args.vm.find(&cx).await?.serial_clearing(args.serial_port.as_deref()).await?;
        preview(plan, Fate::Cleared)
    });
    let clearing = clearing.await?;
    cx.expect_tasks(2);
    Ok(Object(clearing.carry_out().await?))
}

async fn remove_serial_port(args: OneSerialPort, cx: Cx) -> Result<Object<SerialReport>> {
    let removal = cx.agreed(|| async {
        let plan = args.vm.find(&cx).await?.serial_removal(args.serial_port.as_deref()).await?;
        preview(plan, Fate::Removed)
    });
    Ok(Object(removal.await?.carry_out().await?))
}

/// What becomes of a serial port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Connected,
    Disconnected,
    Cleared,
    Removed,
}

/// Who gains or loses a console by this; nobody where the VM has no port.
fn preview(plan: SerialPlan, fate: Fate) -> Result<(SerialPlan, Preview)> {
    let vm = quoted(&plan.ports.vm);
    let Some(port) = &plan.serial_port else {
        return Ok((plan, Preview::new(format!("{vm} has no serial port."))));
    };
    let verb = match fate {
        Fate::Connected => "Connect",
        Fate::Disconnected => "Disconnect",
        Fate::Cleared => "Disconnect and reconnect",
        Fate::Removed => "Remove",
    };
    let preview = Preview::new(format!("{verb} {} of {vm}?", quoted(&port.label)));
    let preview = match fate {
        Fate::Connected if port.connected == Some(true) => preview.harmless(),
        Fate::Connected => preview.note(OPEN),
        Fate::Removed => preview,
        Fate::Disconnected | Fate::Cleared if plan.ports.power_state != PoweredOn => preview.harmless(),
        Fate::Disconnected | Fate::Cleared => preview.note("A person or program that uses the console is cut off."),
    };
    let ports = json!(&plan.ports);
    let shown = json!({
        "vm": ports["vm"], "id": ports["id"], "power_state": ports["power_state"], "serial_port": plan.serial_port,
    });
    let preview = preview.object(shown)?.bind(plan.change_version())?;
    Ok((plan, preview))
}

/// What a port that listens means.
const OPEN: &str = "Anyone who can reach the host can then use the console: nobody is asked to log in.";

#[derive(Debug, Deserialize, JsonSchema)]
struct SetupSerialPort {
    vm: VmName,
    /// telnet by default.
    protocol: Option<Protocol>,
    /// TCP port; a free one by default.
    #[schemars(range(min = 1, max = 65535))]
    port: Option<u16>,
    /// server (default) listens, client calls.
    direction: Option<Way>,
    /// Host that a client calls.
    address: Option<String>,
    /// True by default.
    yield_on_poll: Option<bool>,
    serial_port: Option<PortName>,
}

impl SetupSerialPort {
    fn wanted(&self) -> Result<NewSerialPort> {
        let protocol = self.protocol.unwrap_or_default();
        let new = match (self.direction.unwrap_or_default(), &self.address, self.port) {
            (Way::Server, None, port) => NewSerialPort { port, ..NewSerialPort::server(protocol) },
            (Way::Client, Some(address), Some(port)) => NewSerialPort::client(protocol, address, port),
            (Way::Server, Some(_), _) => {
                let text = "`address` is for direction client: a server listens on all addresses of the host";
                return Err(ToolError::invalid_argument(text));
            }
            (Way::Client, ..) => {
                let text = "direction client needs `address` and `port`: whom does the VM call?";
                return Err(ToolError::invalid_argument(text));
            }
        };
        Ok(NewSerialPort { yield_on_poll: self.yield_on_poll.unwrap_or(true), ..new })
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Way {
    #[default]
    Server,
    Client,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OneSerialPort {
    vm: VmName,
    serial_port: Option<PortName>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ConnectSerialPort {
    vm: VmName,
    serial_port: Option<PortName>,
    /// False disconnects.
    connected: Option<bool>,
}
