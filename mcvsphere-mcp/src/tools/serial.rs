//! Serial ports that are reached over the network.

use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use vsphere_ops::{
    Client,
    serial::{self, NewSerialPort},
};

use crate::{
    Permission, Server, ToolError, Toolset, answer::Answer, arguments::Parameters, confirm::Preview, cx::Cx,
    error::Result, needs, tool_meta, tools::targets::OneVm,
};

#[tool_router(router = serial_tools, vis = "pub(crate)")]
impl Server {
    /// Set up a network serial port, for a console. The machine must be off. Answers where to connect.
    #[tool(
        meta = needs(
            tool_meta(Toolset::Serial, Permission::VmLifecycle, &[]),
            &["VirtualMachine.Config.AddRemoveDevice", "VirtualMachine.Config.EditDevice"]
        ),
        annotations(title = "Set up a serial port", destructive_hint = false, idempotent_hint = true)
    )]
    async fn setup_serial_port(&self, Parameters(args): Parameters<SetupSerialPort>, cx: Cx) -> Result<Answer> {
        let new = args.wanted()?;
        let which = args.serial_port.as_deref();
        Answer::object(&serial::set_up(&cx.client().await?, &args.vm, which, &new).await?)
    }

    /// Get a machine's serial ports and where to connect.
    #[tool(
        meta = tool_meta(Toolset::Serial, Permission::ReadOnly, &[]),
        annotations(title = "Get serial ports", read_only_hint = true)
    )]
    async fn get_serial_port(&self, Parameters(args): Parameters<OneVm>) -> Result<Answer> {
        Answer::object(&serial::get(self.vsphere().client().await?, &args.vm).await?)
    }

    /// Connect or disconnect a serial port; where the machine is off, from its next power on.
    #[tool(
        meta = needs(
            tool_meta(Toolset::Serial, Permission::VmLifecycle, &[]),
            &["VirtualMachine.Interact.DeviceConnection", "VirtualMachine.Config.EditDevice"]
        ),
        annotations(title = "Connect a serial port", destructive_hint = false, idempotent_hint = true)
    )]
    async fn connect_serial_port(&self, Parameters(args): Parameters<ConnectSerialPort>, cx: Cx) -> Result<Answer> {
        let (client, which) = (cx.client().await?, args.serial_port.as_deref());
        Answer::object(&match args.connected.unwrap_or(true) {
            true => serial::connect(&client, &args.vm, which).await?,
            false => serial::disconnect(&client, &args.vm, which).await?,
        })
    }

    /// Disconnect a serial port and connect it again, to throw out whoever holds it.
    #[tool(
        meta = needs(
            tool_meta(Toolset::Serial, Permission::VmLifecycle, &[]),
            &["VirtualMachine.Interact.DeviceConnection"]
        ),
        annotations(title = "Clear a serial port", destructive_hint = false, idempotent_hint = true)
    )]
    async fn clear_serial_port(&self, Parameters(args): Parameters<OneSerialPort>, cx: Cx) -> Result<Answer> {
        cx.expect_tasks(2);
        Answer::object(&serial::clear(&cx.client().await?, &args.vm, args.serial_port.as_deref()).await?)
    }

    /// Remove a serial port. The machine must be off.
    #[tool(
        meta = needs(
            tool_meta(Toolset::Serial, Permission::VmLifecycle, &[]),
            &["VirtualMachine.Config.AddRemoveDevice"]
        ),
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
        return Ok(Preview::new(format!("{} has no serial port.", found.vm)));
    };
    let preview = Preview::new(format!("Remove {} of {}?", port.label, found.vm));
    preview.object(&json!({ "vm": found.vm, "serial_port": port }), json!([found.id, port.key, port.service_uri]))
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
