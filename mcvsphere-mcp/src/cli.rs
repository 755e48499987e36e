//! The command line: serve, or list, describe and call tools as a client of the same server would.

mod health;
mod papers;
pub(crate) mod terminal;
mod token;

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, anyhow};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResult, JsonObject, Tool},
    service::{RunningService, ServerInitializeError, ServiceError},
    transport::io::stdio_pipes,
};
use sd_notify::NotifyState;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tracing::Level;
use tracing_subscriber::EnvFilter;

use crate::{
    Server, SettingArgs, Settings,
    arguments::nearest,
    audit::{self, report::AuditArgs},
    cli::{terminal::Terminal, token::TokenCommand},
    confirm, doctor, gate,
    http::HttpServer,
    log::{self, Log},
    render,
    settings::TransportKind,
    setup::{self, SetupArgs},
    signals::{self, Signals},
    stdio::Stdio,
};
#[cfg(feature = "sim")]
use crate::{
    demo,
    sim::{self, SimArgs, Simulated},
};

/// Gives AI assistants control of VMware vSphere by the Model Context Protocol.
///
/// Without a command it serves MCP on standard input and output, as clients start it.
#[derive(Debug, Parser)]
#[command(name = "mcvsphere", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[cfg(feature = "sim")]
    /// Use an embedded simulated vCenter: demo, empty, esxi, vcsim, or counts such as vms=5000,hosts=64
    #[arg(long, global = true, value_name = "MODEL", num_args = 0..=1, require_equals = true, default_missing_value = "demo")]
    sim: Option<Simulated>,
    #[command(flatten)]
    settings: SettingArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve MCP on standard input and output, whatever MCP_TRANSPORT says
    Stdio,
    Setup(Box<SetupArgs>),
    /// Use the tools from the command line
    #[command(subcommand)]
    Tools(Tools),
    /// Show who did what when, from an audit file
    Audit(AuditArgs),
    /// Check the connection and the settings: exit code 1 when something fails
    Doctor {
        /// Print what was found as JSON
        #[arg(long)]
        json: bool,
        /// Look at nothing but how users log in
        #[arg(long)]
        oauth: bool,
    },
    /// Make a bearer token for a user or a program that calls this server over HTTP
    #[command(subcommand)]
    Token(TokenCommand),
    /// Ask the server that listens at MCP_HOST and MCP_PORT whether it lives: exit code 1 if it does not
    Health,
    #[cfg(feature = "sim")]
    Sim(Box<SimArgs>),
    /// Show an MCP client at work with a simulated vCenter
    #[cfg(feature = "sim")]
    Demo,
    /// Print a script that completes commands in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Man {
        /// The directory, which is there
        directory: PathBuf,
    },
}

impl Cli {
    /// Whether it serves until it is stopped.
    fn serves(&self) -> bool {
        match self.command {
            None | Some(Command::Stdio) => true,
            #[cfg(feature = "sim")]
            Some(Command::Sim(_)) => true,
            Some(_) => false,
        }
    }

    /// The same where the simulation is one that clients are to start.
    #[cfg(feature = "sim")]
    fn for_clients(mut self) -> Self {
        if let (Some(Command::Setup(args)), Some(simulated)) = (&mut self.command, &self.sim) {
            args.simulate(simulated.to_string());
        }
        self
    }

    /// The vCenter that is simulated in place of a real one.
    #[cfg(feature = "sim")]
    fn simulated(&self) -> Option<&Simulated> {
        self.sim.as_ref().filter(|_| !matches!(self.command, Some(Command::Sim(_) | Command::Demo | Command::Setup(_))))
    }
}

#[derive(Debug, Subcommand)]
enum Tools {
    /// List the tools
    List {
        /// Print what a client gets, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Describe a tool and its arguments
    Describe {
        /// The tool's name
        name: String,
        /// Print what a client gets, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Call a tool: exit code 1 if it fails. Before a loss it asks on the terminal; without a terminal it needs --yes
    Call {
        /// The tool's name
        name: String,
        /// Its arguments; a list is written a,b or as JSON
        #[arg(value_name = "KEY=VALUE")]
        arguments: Vec<String>,
        /// Print the answer's structured content as JSON
        #[arg(long)]
        json: bool,
        /// Write the picture of the answer to this file; without it a picture goes to standard output, unless that is a terminal
        #[arg(long, value_name = "FILE", conflicts_with = "json")]
        output: Option<PathBuf>,
    },
}

/// How long the end of the sessions with vSphere may take.
const LOGOUT: Duration = Duration::from_millis(900);

/// The same, after calls that did not end have taken their time already.
const SHORT_LOGOUT: Duration = Duration::from_millis(300);

/// How long the server may take to end once its transport has.
const DRAIN: Duration = Duration::from_millis(100);

/// The same over HTTP, after the calls that ran when the signal came.
const DRAIN_HTTP: Duration = Duration::from_millis(1500);

/// How long the last lines of the audit, and then of the log, may take to be written.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// What came of a command.
struct Done {
    code: ExitCode,
    /// How long the logout may take.
    logout: Duration,
}

impl From<ExitCode> for Done {
    fn from(code: ExitCode) -> Self {
        Self { code, logout: LOGOUT }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let log = log::start();
    #[cfg(feature = "sim")]
    let cli = Cli::parse_from(sim::vcsim::command_line(std::env::args_os()));
    #[cfg(not(feature = "sim"))]
    let cli = Cli::parse();
    let code = match run(cli, log) {
        Ok(code) => code,
        // The reader of a pipe has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            log::say(&format!("mcvsphere: {error:#}"));
            ExitCode::FAILURE
        }
    };
    audit::settle(LAST_WORDS);
    log::flush(LAST_WORDS);
    code
}

/// Runs a command until it is done or a signal comes, and ends the sessions with vSphere in either case.
fn run(cli: Cli, log: Log) -> anyhow::Result<ExitCode> {
    #[cfg(feature = "sim")]
    let cli = cli.for_clients();
    let settings = Settings::new(&cli.settings, |name| std::env::var_os(name))?;
    let settings = if matches!(cli.command, Some(Command::Stdio)) { settings.over_stdio() } else { settings };
    let serves = cli.serves();
    let serves_mcp = matches!(cli.command, None | Some(Command::Stdio));
    // It hears the signal itself, and ends in order.
    let over_http = serves_mcp && settings.transport() == TransportKind::StreamableHttp;
    start_log(&settings, serves_mcp, log)?;
    let mut signals = Signals::listen(if over_http { settings.stop_timeout() + DRAIN_HTTP } else { Duration::ZERO })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        // It lives until the sessions have ended.
        #[cfg(feature = "sim")]
        let embedded = match cli.simulated() {
            Some(simulated) => Some(sim::embedded(simulated).await?),
            None => None,
        };
        #[cfg(feature = "sim")]
        let settings = match &embedded {
            Some(sim) => settings.simulated(sim),
            None => settings,
        };
        // In a task of its own, as it may wait for the reader of its output when a signal comes.
        let mut work = tokio::spawn(carry_out(cli.command, settings, signals.clone()));
        let outcome = tokio::select! {
            done = &mut work => done.unwrap_or_else(|_| Err(anyhow!("the command failed by a fault in mcvsphere"))),
            number = signals.first(), if !over_http => {
                work.abort();
                // To be stopped is how a server ends.
                Ok(if serves { ExitCode::SUCCESS } else { signals::exit_code(number) }.into())
            }
        };
        let logout = outcome.as_ref().map_or(LOGOUT, |done| done.logout);
        if timeout(logout, vsphere_ops::end_all_sessions()).await.is_err() {
            tracing::warn!("vSphere did not answer the logout in time");
        }
        outcome.map(|done| done.code)
    });
    // A read from standard input cannot be cancelled and must not hold up the end.
    runtime.shutdown_background();
    outcome
}

async fn carry_out(command: Option<Command>, settings: Settings, signals: Signals) -> anyhow::Result<Done> {
    let code = match command {
        None | Some(Command::Stdio) => {
            for (setting, warning) in settings.warnings() {
                tracing::warn!(setting, "{warning}");
            }
            if settings.transport() == TransportKind::Stdio {
                settings.check_without_login()?;
                settings.check_user_login()?;
            }
            let server = Server::new(&settings)?;
            return match settings.transport() {
                TransportKind::Stdio => serve(server).await,
                TransportKind::StreamableHttp => serve_http(server, &settings, signals).await,
            };
        }
        Some(Command::Tools(command)) => {
            let here = std::env::current_dir().context("the current directory cannot be read")?;
            tools(Server::new(&settings.at_work_in(here))?, command).await?
        }
        Some(Command::Setup(args)) => tokio::task::block_in_place(|| setup::run(&args, &settings, print))?,
        Some(Command::Audit(args)) => args.run(print)?,
        Some(Command::Token(command)) => token::run(command, &settings, print)?,
        Some(Command::Doctor { json, oauth }) => doctor::run(&settings, json, oauth, print).await?,
        #[cfg(feature = "sim")]
        Some(Command::Sim(args)) => sim::run(*args, print).await?,
        #[cfg(feature = "sim")]
        Some(Command::Demo) => demo::run(print).await.map(|()| ExitCode::SUCCESS)?,
        Some(Command::Health) => health::run(&settings, print).await?,
        Some(Command::Completions { shell }) => papers::completions(Cli::command(), shell, print)?,
        Some(Command::Man { directory }) => papers::manual(Cli::command(), &directory)?,
    };
    Ok(code.into())
}

/// Serves over HTTP until a signal comes and the calls that run have ended.
async fn serve_http(server: Server, settings: &Settings, mut signals: Signals) -> anyhow::Result<Done> {
    let server = HttpServer::bind(server, settings).await?;
    tracing::info!(url = server.url(), address = %server.address(), "listening");
    tell_supervisor(NotifyState::Ready);
    server
        .serve(async {
            signals.first().await;
            tell_supervisor(NotifyState::Stopping);
        })
        .await;
    Ok(ExitCode::SUCCESS.into())
}

/// Tells systemd, where it has started this process and wants to be told.
fn tell_supervisor(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd is not told");
    }
}

/// Serves until the client closes its side.
async fn serve(server: Server) -> anyhow::Result<Done> {
    if io::stdin().is_terminal() {
        tracing::warn!("serving MCP on standard input; `mcvsphere --help` says what else there is");
    }
    let (reader, writer) = stdio_pipes();
    let transport = Stdio::new(reader, writer);
    let mut ended = transport.ended();
    let serving = async {
        match server.serve_local(transport).await {
            Ok(service) => service.waiting().await.map(drop).context("the server's task failed"),
            // A client that leaves before it says anything has done nothing wrong.
            Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            Err(error) => Err(error).context("no MCP client on standard input"),
        }
    };
    let given_up = async {
        let _ = ended.wait_for(|ended| *ended).await;
        sleep(DRAIN).await;
    };
    tokio::select! {
        done = serving => done.map(|()| ExitCode::SUCCESS.into()),
        // rmcp would wait longer for calls that nobody waits for.
        () = given_up => Ok(Done { code: ExitCode::SUCCESS, logout: SHORT_LOGOUT }),
    }
}

/// Carries out a command on the tools through a client in this process, so that it passes where every client passes.
async fn tools(server: Server, command: Tools) -> anyhow::Result<ExitCode> {
    // One call is too short to gain by a mirror.
    server.backends().unbound().mirrors().machines().keep_cold();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn({
        let server = server.clone();
        async move { server.serve_local(theirs).await.map(|service| service.waiting()) }
    });
    let client = Terminal::here().serve(ours).await.context("the server in this process does not answer")?;
    let code = use_tools(&client, command).await;
    let _ = client.cancel().await;
    // It ends with its client; the time-out only guards the user's terminal against a fault.
    let _ = timeout(Duration::from_secs(1), serving).await;
    code
}

type Client = RunningService<RoleClient, Terminal>;

async fn use_tools(client: &Client, command: Tools) -> anyhow::Result<ExitCode> {
    let all = client.list_all_tools().await?;
    match command {
        Tools::List { json: true } => print(&pretty(&json!(all))?)?,
        Tools::List { json: false } => print(&overview(&all))?,
        Tools::Describe { name, json } => {
            let tool = find(&all, &name)?;
            print(&if json { pretty(&json!(tool))? } else { description(tool) })?;
        }
        Tools::Call { name, arguments, json, output } => {
            // An older name is not in the list; the server knows it.
            let schema = all.iter().find(|tool| tool.name == name).map(|tool| &*tool.input_schema);
            let request = CallToolRequestParams::new(name.clone()).with_arguments(parse_arguments(&arguments, schema)?);
            let result = client.call_tool(request).await.map_err(plain)?;
            if gate::is_preview(&result) && !json {
                return refuse_preview(&result);
            }
            if result.is_error != Some(true) && !json {
                return print_answer(&result, output);
            }
            return print_result(&result, json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The words of the server alone, without those of the protocol around them.
fn plain(error: ServiceError) -> anyhow::Error {
    match error {
        ServiceError::McpError(error) => anyhow!("{}", error.message),
        other => other.into(),
    }
}

/// Nobody could be asked: shows what would have been.
fn refuse_preview(result: &CallToolResult) -> anyhow::Result<ExitCode> {
    let preview = result.structured_content.as_ref().map(confirm::preview_text).unwrap_or_default();
    log::say(&format!("{preview}\nmcvsphere: nothing was done: say --yes to do it"));
    Ok(ExitCode::FAILURE)
}

/// Prints an answer; a picture in it goes to a file, or to a reader that is no person.
fn print_answer(result: &CallToolResult, output: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let Some(image) = result.content.iter().find_map(|block| block.as_image()) else {
        let code = print_result(result, false)?;
        return match output {
            Some(_) => Err(anyhow!("the answer has no picture, so `--output` wrote no file")),
            None => Ok(code),
        };
    };
    let picture = STANDARD.decode(&image.data).context("the picture of the answer cannot be read")?;
    if let Some(path) = output {
        std::fs::write(&path, &picture).with_context(|| format!("{} cannot be written", path.display()))?;
        print_result(result, false)?;
        print(&format!("The picture is in {} ({} bytes, {}).", path.display(), picture.len(), image.mime_type))?;
    } else if io::stdout().is_terminal() {
        print_result(result, false)?;
        print("The picture is not shown here: `--output FILE` writes it to a file, and `> FILE` does so, too.")?;
    } else {
        tokio::task::block_in_place(|| {
            let mut output = io::stdout().lock();
            output.write_all(&picture)?;
            output.flush()
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_result(result: &CallToolResult, json: bool) -> anyhow::Result<ExitCode> {
    let text = match &result.structured_content {
        Some(content) if json => pretty(content)?,
        // What a model gets is too terse for a terminal. An error is a sentence in both.
        Some(content) if result.is_error != Some(true) => render::table(content),
        _ => {
            let texts = result.content.iter().filter_map(|block| block.as_text());
            texts.map(|block| block.text.as_str()).collect::<Vec<_>>().join("\n")
        }
    };
    let failed = result.is_error == Some(true) || gate::is_preview(result);
    if failed && !json {
        log::say(&format!("mcvsphere: {text}"));
    } else {
        print(&text)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn overview(tools: &[Tool]) -> String {
    let rows = tools.iter().map(|tool| {
        json!({
            "tool": tool.name,
            "permission": fact(tool, "permission"),
            "toolset": fact(tool, "toolset"),
            "title": tool.annotations.as_ref().and_then(|it| it.title.clone()),
        })
    });
    render::table(&rows.collect())
}

fn description(tool: &Tool) -> String {
    let hints = tool.annotations.as_ref();
    let hint = |get: fn(&rmcp::model::ToolAnnotations) -> Option<bool>| hints.and_then(get);
    let required = tool.input_schema.get("required").and_then(Value::as_array);
    let no_properties = JsonObject::new();
    let properties = tool.input_schema.get("properties").and_then(Value::as_object);
    let arguments = properties.unwrap_or(&no_properties).iter().map(|(name, schema)| {
        let is_required = required.is_some_and(|names| names.iter().any(|it| it == name));
        json!({
            "argument": name,
            "type": type_of(schema),
            "required": if is_required { "yes" } else { "no" },
            "meaning": schema.get("description"),
        })
    });
    let facts = json!({
        "tool": tool.name,
        "title": hints.and_then(|it| it.title.clone()),
        "permission": fact(tool, "permission"),
        "toolset": fact(tool, "toolset"),
        "read_only": hint(|it| it.read_only_hint),
        "destructive": hint(|it| it.destructive_hint).unwrap_or(false),
        "idempotent": hint(|it| it.idempotent_hint).unwrap_or(false),
        "description": tool.description,
        "arguments": arguments.collect::<Value>(),
    });
    render::table(&facts)
}

/// A type as a person would write it: `integer`, `powered_on|powered_off`, `list of string`.
fn type_of(schema: &Value) -> String {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("|");
    }
    match (schema.get("type").and_then(Value::as_str), schema.get("items")) {
        (Some("array"), Some(items)) => format!("list of {}", type_of(items)),
        (name, _) => name.unwrap_or("any").to_owned(),
    }
}

fn fact<'a>(tool: &'a Tool, name: &str) -> Option<&'a Value> {
    tool.meta.as_ref()?.get(&format!("mcvsphere/{name}"))
}

fn find<'a>(tools: &'a [Tool], name: &str) -> anyhow::Result<&'a Tool> {
    tools.iter().find(|tool| tool.name == name).ok_or_else(|| {
        match nearest(name, tools.iter().map(|tool| &*tool.name)) {
            Some(near) => anyhow!("unknown tool `{name}`, did you mean `{near}`?"),
            None => anyhow!("unknown tool `{name}`: `mcvsphere tools list` shows all"),
        }
    })
}

/// Reads `key=value` pairs by the types in the schema. A key that is not in it goes to the server as text: it may be an
/// older name, and if it is wrong the server says which is right.
fn parse_arguments(pairs: &[String], schema: Option<&JsonObject>) -> anyhow::Result<JsonObject> {
    let properties = schema.and_then(|schema| schema.get("properties"));
    let mut arguments = JsonObject::new();
    for pair in pairs {
        let (key, text) = pair.split_once('=').with_context(|| format!("`{pair}` is not key=value"))?;
        let property = properties.and_then(|properties| properties.get(key));
        let value = parse_value(text, property).map_err(|why| anyhow!("`{key}`: {why}"))?;
        if arguments.insert(key.to_owned(), value).is_some() {
            return Err(anyhow!("`{key}` is given twice"));
        }
    }
    Ok(arguments)
}

fn parse_value(text: &str, schema: Option<&Value>) -> Result<Value, String> {
    let json = || serde_json::from_str::<Value>(text).ok();
    let expected = schema.and_then(|schema| schema.get("type")).and_then(Value::as_str);
    match expected {
        Some("integer" | "number") => {
            json().filter(Value::is_number).ok_or_else(|| format!("must be a number, not {text:?}"))
        }
        Some("boolean") => {
            json().filter(Value::is_boolean).ok_or_else(|| format!("must be true or false, not {text:?}"))
        }
        Some("object") => json().filter(Value::is_object).ok_or_else(|| "must be a JSON object".to_owned()),
        Some("array") => match json() {
            Some(list @ Value::Array(_)) => Ok(list),
            _ => {
                let items = schema.and_then(|schema| schema.get("items"));
                text.split(',').map(|item| parse_value(item.trim(), items)).collect()
            }
        },
        _ => Ok(Value::from(text)),
    }
}

fn pretty(value: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}

/// Prints a line, for as long as its reader takes.
fn print(text: &str) -> io::Result<()> {
    tokio::task::block_in_place(|| {
        let mut output = io::stdout().lock();
        writeln!(output, "{text}")?;
        output.flush()
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Logs as JSON lines on standard error; standard output belongs to the protocol. A server always writes its audit lines;
/// on the command line the user sees what they call, and asks for them with a log level.
fn start_log(settings: &Settings, serving: bool, log: Log) -> anyhow::Result<()> {
    let default = if serving { Level::INFO } else { Level::WARN };
    let level = settings.log_level().unwrap_or(default);
    let detailed = level >= Level::DEBUG;
    // Below this, HTTP libraries write headers.
    let libraries = if detailed { Level::DEBUG } else { Level::WARN };
    // rmcp warns of each error that it answers, which the audit line says already. In detail it would write whole
    // messages, with the passwords and confirmation tokens in them.
    let protocol = if detailed { Level::WARN } else { Level::ERROR };
    let audited = serving || settings.log_level().is_some();
    let filter = format!(
        "{libraries},rmcp={protocol},mcvsphere_mcp={level},vsphere_ops={level},vsphere_soap={level},{}={}",
        audit::TARGET,
        if audited { "info" } else { "off" }
    );
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .log_internal_errors(false)
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(log)
        .try_init()
        .map_err(|error| anyhow!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_the_schema() {
        let schema = json!({ "properties": {
            "limit": { "type": "integer" },
            "force": { "type": "boolean" },
            "vms": { "type": "array", "items": { "type": "string" } },
            "vm": { "type": "string" },
        } });
        let parse = |pairs: &[&str]| {
            let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
            parse_arguments(&pairs, schema.as_object())
        };
        let all = parse(&["limit=5", "force=true", "vms=a, b", "vm=007", "older=1"]).unwrap();
        assert_eq!(
            Value::Object(all),
            json!({ "limit": 5, "force": true, "vms": ["a", "b"], "vm": "007", "older": "1" })
        );
        let list = parse(&[r#"vms=["a,b"]"#]).unwrap();
        assert_eq!(list["vms"], json!(["a,b"]));
        for (pairs, wrong) in [
            (vec!["limit=many"], "`limit`: must be a number"),
            (vec!["force=maybe"], "`force`: must be true or false"),
            (vec!["vm"], "`vm` is not key=value"),
            (vec!["vm=a", "vm=b"], "`vm` is given twice"),
        ] {
            let error = parse(&pairs).unwrap_err().to_string();
            assert!(error.starts_with(wrong), "{error}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
