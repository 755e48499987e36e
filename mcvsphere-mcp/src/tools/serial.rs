//! Serial ports that are reached over the network.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use vsphere_ops::{
    Client,
    serial::{self, NewSerialPort},
};

use crate::{
    Permission, Server, Spec, ToolError, Toolset,
    answer::Answer,
    arguments::Parameters,
    confirm::Preview,
    cx::Cx,
    error::Result,
    text::quoted,
    tools::targets::{OneVm, version},
};

#[tool_router(router = serial_tools, vis = "pub(crate)")]
impl Server {
    /// Set up a network serial port, for a console. The machine must be off. Answers where to connect.
    #[tool(
        meta = Spec::changes(Toolset::Serial, Permission::VmLifecycle, &[
            "VirtualMachine.Config.AddRemoveDevice",
            "VirtualMachine.Config.EditDevice",
        ])
        .asks().meta(),
        annotations(title = "Set up a serial port", destructive_hint = true, idempotent_hint = true)
    )]
    async fn setup_serial_port(&self, Parameters(args): Parameters<SetupSerialPort>, cx: Cx) -> Result<Answer> {
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
            let arguments = Value::Object(cx.call.arguments.clone());
            let preview = preview.note(format!("It is called with {arguments}"));
            preview.object(&found)?.bind(version(&client, &found.id).await?)
        })
        .await?;
        Answer::object(&serial::set_up(&client, &args.vm, which, &new).await?)
    }

    /// Get a machine's serial ports and where to connect.
    #[tool(
        meta = Spec::reads(Toolset::Serial).meta(),
        annotations(title = "Get serial ports", read_only_hint = true)
    )]
    async fn get_serial_port(&self, Parameters(args): Parameters<OneVm>, cx: Cx) -> Result<Answer> {
        Answer::object(&serial::get(&cx.client().await?, &args.vm).await?)
    }

    /// Connect or disconnect a serial port; where the machine is off, from its next power on.
    #[tool(
        meta = Spec::changes(Toolset::Serial, Permission::VmLifecycle, &[
            "VirtualMachine.Interact.DeviceConnection",
            "VirtualMachine.Config.EditDevice",
        ])
        .asks().meta(),
        annotations(title = "Connect a serial port", destructive_hint = true, idempotent_hint = true)
    )]
    async fn connect_serial_port(&self, Parameters(args): Parameters<ConnectSerialPort>, cx: Cx) -> Result<Answer> {
        let (client, which) = (cx.client().await?, args.serial_port.as_deref());
        let connect = args.connected.unwrap_or(true);
        let line = if connect { Line::Open } else { Line::Close };
        cx.confirm(|| line_preview(&client, &args.vm, which, line)).await?;
        Answer::object(&match connect {
            true => serial::connect(&client, &args.vm, which).await?,
            false => serial::disconnect(&client, &args.vm, which).await?,
        })
    }

    /// Disconnect a serial port and connect it again, to throw out whoever holds it.
    #[tool(
        meta = Spec::changes(Toolset::Serial, Permission::VmLifecycle, &[
            "VirtualMachine.Interact.DeviceConnection",
        ])
        .asks().meta(),
        annotations(title = "Clear a serial port", destructive_hint = true, idempotent_hint = true)
    )]
    async fn clear_serial_port(&self, Parameters(args): Parameters<OneSerialPort>, cx: Cx) -> Result<Answer> {
        let (client, which) = (cx.client().await?, args.serial_port.as_deref());
        cx.confirm(|| line_preview(&client, &args.vm, which, Line::Clear)).await?;
        cx.expect_tasks(2);
        Answer::object(&serial::clear(&client, &args.vm, which).await?)
    }

    /// Remove a serial port. The machine must be off.
    #[tool(
        meta = Spec::changes(Toolset::Serial, Permission::VmLifecycle, &[
            "VirtualMachine.Config.AddRemoveDevice",
        ])
        .asks()
        .meta(),
        annotations(title = "Remove a serial port", destructive_hint = true, idempotent_hint = true)
    )]
    async fn remove_serial_port(&self, Parameters(args): Parameters<OneSerialPort>, cx: Cx) -> Result<Answer> {
        let client = cx.client().await?;
        cx.confirm(|| remove_preview(&client, &args)).await?;
        Answer::object(&serial::remove(&client, &args.vm, args.serial_port.as_deref()).await?)
    }
}

/// What goes with a port; nothing where the machine has none.
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
#[serde(deny_unknown_fields)]
struct SetupSerialPort {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// telnet by default.
    protocol: Option<Protocol>,
    /// TCP port; a free one by default.
    #[schemars(range(min = 1, max = 65535))]
    port: Option<u16>,
    /// server (default) listens, client calls.
    direction: Option<Way>,
    /// Whom a client calls.
    address: Option<String>,
    /// True by default.
    yield_on_poll: Option<bool>,
    /// Label or key, where there are several.
    serial_port: Option<String>,
}

impl SetupSerialPort {
    fn wanted(&self) -> Result<NewSerialPort> {
        let protocol = self.protocol.unwrap_or_default().into();
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
enum Protocol {
    #[default]
    #[serde(rename = "telnet")]
    Telnet,
    #[serde(rename = "telnets")]
    Telnets,
    #[serde(rename = "tcp")]
    Tcp,
    #[serde(rename = "tcp+ssl")]
    TcpSsl,
    #[serde(rename = "tcp4")]
    Tcp4,
    #[serde(rename = "tcp6")]
    Tcp6,
}

impl From<Protocol> for serial::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Telnet => Self::Telnet,
            Protocol::Telnets => Self::Telnets,
            Protocol::Tcp => Self::Tcp,
            Protocol::TcpSsl => Self::TcpSsl,
            Protocol::Tcp4 => Self::Tcp4,
            Protocol::Tcp6 => Self::Tcp6,
        }
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
#[serde(deny_unknown_fields)]
struct OneSerialPort {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Label or key, where there are several.
    serial_port: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConnectSerialPort {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    vm: String,
    /// Label or key, where there are several.
    serial_port: Option<String>,
    /// False disconnects.
    connected: Option<bool>,
}
