//! Serial ports that are reached over the network.

use vsphere_ops::{
    Client,
    serial::{self, NewSerialPort, Protocol, SerialPorts, SerialReport},
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
    let which = args.serial_port.as_deref();
    let client = cx.client().await?;
    cx.confirm(|| async {
        let found = serial::get(&client, &args.vm).await?;
        let preview = Preview::new(format!("Set up a serial port of {} for the network?", quoted(&found.vm)));
        let preview = match args.direction.unwrap_or_default() {
            Way::Server => {
                preview.note("Whoever reaches the host can then use the console: nobody is asked to log in.")
            }
            Way::Client => preview.note("The machine then calls out to that address."),
        };
        let arguments = &cx.call.shown;
        let preview = preview.note(format!("It is called with {arguments}"));
        preview.object(&found)?.bind(version(&client, &found.id).await?)
    })
    .await?;
    Ok(Object(serial::set_up(&client, &args.vm, which, &new).await?))
}

async fn get_serial_port(args: OneVm, cx: Cx) -> Result<Object<SerialPorts>> {
    Ok(Object(serial::get(&cx.client().await?, &args.vm).await?))
}

async fn connect_serial_port(args: ConnectSerialPort, cx: Cx) -> Result<Object<SerialReport>> {
    let (client, which) = (cx.client().await?, args.serial_port.as_deref());
    let connect = args.connected.unwrap_or(true);
    let line = if connect { Line::Open } else { Line::Close };
    cx.confirm(|| line_preview(&client, &args.vm, which, line)).await?;
    Ok(Object(match connect {
        true => serial::connect(&client, &args.vm, which).await?,
        false => serial::disconnect(&client, &args.vm, which).await?,
    }))
}

async fn clear_serial_port(args: OneSerialPort, cx: Cx) -> Result<Object<SerialReport>> {
    let (client, which) = (cx.client().await?, args.serial_port.as_deref());
    cx.confirm(|| line_preview(&client, &args.vm, which, Line::Clear)).await?;
    cx.expect_tasks(2);
    Ok(Object(serial::clear(&client, &args.vm, which).await?))
}

async fn remove_serial_port(args: OneSerialPort, cx: Cx) -> Result<Object<SerialReport>> {
    let client = cx.client().await?;
    cx.confirm(|| remove_preview(&client, &args)).await?;
    Ok(Object(serial::remove(&client, &args.vm, args.serial_port.as_deref()).await?))
}

/// What goes with a port; nothing where the VM has none.
async fn remove_preview(client: &Client, args: &OneSerialPort) -> Result<Preview> {
    let found = serial::removal(client, &args.vm, args.serial_port.as_deref()).await?;
    let Some(port) = &found.serial_port else {
        return Ok(Preview::new(format!("{} has no serial port.", quoted(&found.vm))));
    };
    let preview = Preview::new(format!("Remove {} of {}?", quoted(&port.label), quoted(&found.vm)));
    preview.object(&found)?.bind(version(client, &found.id).await?)
}

/// What becomes of the line of a serial port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Open,
    Close,
    Clear,
}

/// Who gains or loses a console by this.
async fn line_preview(client: &Client, vm: &str, which: Option<&str>, line: Line) -> Result<Preview> {
    let found = serial::removal(client, vm, which).await?;
    let Some(port) = &found.serial_port else {
        return Ok(Preview::new(format!("{} has no serial port.", quoted(&found.vm))));
    };
    let verb = match line {
        Line::Open => "Connect",
        Line::Close => "Disconnect",
        Line::Clear => "Disconnect and reconnect",
    };
    let preview = Preview::new(format!("{verb} {} of {}?", quoted(&port.label), quoted(&found.vm)));
    let preview = match (line, port.connected) {
        (Line::Open, Some(true)) => preview.harmless(),
        (Line::Open, _) => {
            preview.note("Whoever reaches the host can then use the console: nobody is asked to log in.")
        }
        (Line::Close | Line::Clear, _) if found.power_state != "powered_on" => preview.harmless(),
        (Line::Close | Line::Clear, _) => preview.note("A person or program that uses the console is cut off."),
    };
    preview.object(&found)?.bind(version(client, &found.id).await?)
}

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
                let text = "direction client needs `address` and `port`: whom does the machine call?";
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
