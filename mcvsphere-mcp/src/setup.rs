//! `mcvsphere setup`: puts this server into the files of MCP clients, and the password where it is safe.

mod client;
mod difference;
mod document;
mod place;

use std::{
    fmt::Write as _,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow, bail};
use clap::ValueEnum;
use url::Url;

use crate::{
    Settings,
    cli::terminal,
    settings::{InForce, Origin, keyring, name},
};
use client::{Client, Folders, Start, Token};
use document::Change;

/// Set up MCP clients to use this server, after showing what changes in their files
#[derive(Debug, clap::Args)]
pub(crate) struct SetupArgs {
    /// The clients; all that are found on this computer by default
    #[arg(value_name = "CLIENT")]
    clients: Vec<Client>,
    /// Print the entries for the clients' files, and change nothing
    #[arg(long)]
    print: bool,
    /// vCenter Server or ESXi host; VCENTER_HOST by default
    #[arg(long, value_name = "HOST")]
    server: Option<String>,
    /// User to log in as; VCENTER_USER by default
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Where the password is kept; by default the keyring where there is one, else a variable
    #[arg(long, value_name = "WHERE")]
    password: Option<Keep>,
    /// Connect to a server that runs already, at this URL
    #[arg(long, value_name = "URL", conflicts_with_all = ["server", "user", "password"])]
    http: Option<Url>,
    /// Variable of the client's environment with the bearer token for the server at the URL; without it the client logs in
    #[arg(long, value_name = "VARIABLE", requires = "http")]
    token_env: Option<String>,
    /// What the clients call this server
    #[arg(long, value_name = "NAME", default_value = "vsphere")]
    name: String,
    /// The program that clients start; this one by default
    #[arg(long, value_name = "FILE", conflicts_with = "http")]
    command: Option<PathBuf>,
    /// The model of `--sim`, for which no vCenter is needed.
    #[arg(skip)]
    simulated: Option<String>,
}

/// Where the password is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Keep {
    /// The keyring of this user: Secret Service on Linux, Keychain on macOS
    Keyring,
    /// A file that only this user can read
    File,
    /// The variable VCENTER_PASSWORD, which you set yourself
    Env,
    /// The client's own file, in clear; VS Code asks for it, and keeps it in its secret storage
    Client,
}

impl SetupArgs {
    /// Lets the clients start a simulated vCenter of this model.
    #[cfg(feature = "sim")]
    pub(crate) fn simulate(&mut self, model: String) {
        self.simulated = Some(model);
    }
}

/// What the clients are to start, and what has to be done beside.
struct Plan {
    start: Start,
    /// The password that has to be stored, and where.
    stored: Option<Stored>,
    /// Whether a client gets the password itself.
    in_clear: bool,
    /// Whether a client that asks for secrets asks for the password.
    asked_for: bool,
}

enum Stored {
    Keyring(String),
    File(PathBuf),
}

/// Carries out the command.
///
/// # Errors
/// Something is not said, or the password cannot be stored. What one client's file does not permit is told, and others
/// are set up.
pub(crate) fn run(
    args: &SetupArgs,
    settings: &Settings,
    print: impl Fn(&str) -> io::Result<()>,
) -> anyhow::Result<ExitCode> {
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let home = std::env::home_dir().filter(|home| home.is_absolute()).context("your home directory is not known")?;
    let folders = Folders { home, environment: &environment, system: std::env::consts::OS };
    check_name(&args.name)?;
    let clients = clients(args, &folders)?;
    let plan = Plan::new(args, settings, &folders)?;
    let agreed = settings.in_force().iter().any(is_yes);
    if args.print {
        return print_all(args, &plan, &clients, &folders, print);
    }
    let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !agreed && !can_ask {
        bail!("there is no terminal to ask on: say --yes to change the files, or --print to see the entries");
    }
    let password = plan.password(settings)?;
    let mut stored = false;
    let mut failed = false;
    for client in clients {
        let path = client.file(&folders);
        let outcome = plan.change(args, client, password.as_deref()).and_then(|change| {
            let found = place::read(&path)?;
            let before = found.text.as_deref().unwrap_or_default();
            Ok((change.applied(before)?, found))
        });
        let (after, found) = match outcome {
            Ok(outcome) => outcome,
            Err(problem) => {
                failed = true;
                print(&format!("{}: {} {problem}; it is left as it was", client.title(), path.display()))?;
                continue;
            }
        };
        let before = found.text.as_deref().unwrap_or_default();
        let is_same = found.text.as_deref() == Some(after.as_str());
        if !is_same {
            let what = if found.text.is_some() { "changes" } else { "makes" };
            let shown = difference::shown(before, &after);
            let message = format!("{}: this {what} {}\n\n{shown}", client.title(), found.path.display());
            if agreed {
                print(&message)?;
            } else if !terminal::ask_here(message.trim_end())? {
                print(&format!("{}: {} is left as it was", client.title(), found.path.display()))?;
                continue;
            }
        }
        if let (Some(kept), Some(password), false) = (&plan.stored, password.as_deref(), stored) {
            kept.store(password)?;
            stored = true;
            print(&format!("The password is in {}.", kept.place()))?;
        }
        if is_same {
            print(&format!("{}: {} has it already", client.title(), found.path.display()))?;
            continue;
        }
        match found.replace(&after) {
            Ok(None) => print(&format!("{}: done", client.title()))?,
            Ok(Some(kept)) => {
                print(&format!("{}: done; what the file was is in {}", client.title(), kept.display()))?;
            }
            Err(problem) => {
                failed = true;
                print(&format!("{}: {} {problem}", client.title(), found.path.display()))?;
            }
        }
    }
    if let Some(advice) = plan.advice(args) {
        print(&advice)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Clients make names of tools from it.
fn check_name(name: &str) -> anyhow::Result<()> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > 40 || !name.chars().all(is_good) {
        bail!("the name {name:?} has something else than letters, digits, - and _, or more than 40 of them");
    }
    Ok(())
}

fn clients(args: &SetupArgs, folders: &Folders<'_>) -> anyhow::Result<Vec<Client>> {
    let mut clients = args.clients.clone();
    if clients.is_empty() {
        clients.extend(Client::value_variants().iter().filter(|client| client.is_found(folders)));
    }
    if clients.is_empty() {
        let known: Vec<String> = Client::value_variants().iter().filter_map(word).collect();
        bail!("no client is found on this computer: name one of {}", known.join(", "));
    }
    let mut seen = Vec::new();
    clients.retain(|client| {
        let is_new = !seen.contains(client);
        seen.push(*client);
        is_new
    });
    Ok(clients)
}

/// What a client is called on the command line.
fn word(client: &Client) -> Option<String> {
    client.to_possible_value().map(|value| value.get_name().to_owned())
}

/// `--yes`, which on this command is about the files.
fn is_yes(setting: &InForce) -> bool {
    (setting.name, setting.origin, setting.value.as_str()) == (name::MCP_CONFIRM, Origin::CommandLine, "never")
}

impl Plan {
    fn new(args: &SetupArgs, settings: &Settings, folders: &Folders<'_>) -> anyhow::Result<Self> {
        let mut plan = Self {
            start: Start::Program { command: String::new(), arguments: Vec::new(), environment: Vec::new() },
            stored: None,
            in_clear: false,
            asked_for: false,
        };
        if let Some(url) = &args.http {
            if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
                bail!("--http wants the URL of a server, http:// or https://, without a user and a password");
            }
            let token = args.token_env.clone().map(|variable| Token { variable });
            if let Some(Token { variable }) = &token {
                check_variable(variable)?;
            }
            plan.start = Start::Server { url: url.to_string(), token };
            return Ok(plan);
        }
        let mut arguments = vec!["stdio".to_owned()];
        let mut environment = Vec::new();
        if let Some(model) = &args.simulated {
            arguments.push(format!("--sim={model}"));
        } else {
            plan.reach(args, settings, folders, &mut environment)?;
        }
        for setting in settings.in_force() {
            let is_told = setting.origin == Origin::CommandLine
                || setting.origin == Origin::Environment
                    && setting.name.starts_with("VCENTER_")
                    && args.simulated.is_none();
            let is_new = !environment.iter().any(|(name, _)| name == setting.name);
            if is_told && is_new && !OWN.contains(&setting.name) {
                environment.push((setting.name.to_owned(), for_others(setting)?));
            }
        }
        plan.start = Start::Program { command: program(args)?, arguments, environment };
        Ok(plan)
    }

    /// Adds what a program has to know to reach vSphere.
    fn reach(
        &mut self,
        args: &SetupArgs,
        settings: &Settings,
        folders: &Folders<'_>,
        environment: &mut Vec<(String, String)>,
    ) -> anyhow::Result<()> {
        let given = |name: &str| settings.in_force().iter().find(|it| it.name == name && it.origin != Origin::File);
        let mut put = |name: &str, value: String| environment.push((name.to_owned(), value));
        let file = given(name::MCVSPHERE_CONFIG);
        if let Some(file) = file {
            put(file.name, for_others(file)?);
            if args.server.is_none() && args.user.is_none() && args.password.is_none() {
                return Ok(());
            }
        }
        let host = args.server.as_deref().or_else(|| settings.host());
        let host = host.context(
            "no server is named: say --server HOST, --config FILE, --http URL for an mcvsphere that runs already, or --sim \
             to try it without a vCenter",
        )?;
        vsphere_ops::Config::new(host).check().map_err(|error| anyhow!("--server {error}"))?;
        let user = args.user.as_deref().or_else(|| settings.user());
        let user = user.context("no user is named: say --user NAME")?;
        put(name::VCENTER_HOST, host.to_owned());
        put(name::VCENTER_USER, user.to_owned());
        for name in [name::VCENTER_PASSWORD_FILE, name::VCENTER_PASSWORD_KEYRING] {
            if let Some(setting) = given(name).filter(|_| args.password.is_none()) {
                put(name, for_others(setting)?);
                return Ok(());
            }
        }
        let system = |name: &str| std::env::var_os(name);
        let keep = args.password.unwrap_or_else(|| match keyring::is_here(&system) {
            true => Keep::Keyring,
            false => Keep::Env,
        });
        match keep {
            Keep::Keyring => {
                if user.contains('/') {
                    bail!("an entry of the keyring cannot be for a user with a slash in the name: say --password file");
                }
                let entry = format!("mcvsphere/{host}/{user}");
                put(name::VCENTER_PASSWORD_KEYRING, entry.clone());
                self.stored = Some(Stored::Keyring(entry));
            }
            Keep::File => {
                let path = folders.xdg().join("mcvsphere").join(format!("{}.password", file_name(host, user)));
                put(name::VCENTER_PASSWORD_FILE, text(&path)?);
                self.stored = Some(Stored::File(path));
            }
            Keep::Env => self.asked_for = args.password.is_none(),
            Keep::Client => (self.in_clear, self.asked_for) = (true, true),
        }
        Ok(())
    }

    /// The password, where somebody has to keep it.
    fn password(&self, settings: &Settings) -> anyhow::Result<Option<String>> {
        if self.stored.is_none() && !self.in_clear {
            return Ok(None);
        }
        if let Some(password) = settings.password() {
            return Ok(Some(password.to_owned()));
        }
        if !io::stdin().is_terminal() {
            bail!("there is no terminal to ask for the password on: set VCENTER_PASSWORD for this command");
        }
        let password = rpassword::prompt_password("Password for vSphere: ").context("the password was not read")?;
        match password.is_empty() {
            true => bail!("the password is empty"),
            false => Ok(Some(password)),
        }
    }

    /// What is put into the file of a client.
    fn change(&self, args: &SetupArgs, client: Client, password: Option<&str>) -> Result<Change, String> {
        let mut start = self.start.clone();
        let mut input = None;
        match &mut start {
            Start::Program { environment, .. } if self.asked_for && client.asks_for_secrets() => {
                input = Some(Client::input(name::VCENTER_PASSWORD, "Password of the vSphere user"));
                let reference = format!("${{input:{}}}", Client::input_id(name::VCENTER_PASSWORD));
                environment.push((name::VCENTER_PASSWORD.to_owned(), reference));
            }
            Start::Program { environment, .. } if self.in_clear => {
                let password = password.unwrap_or("<the password>").to_owned();
                environment.push((name::VCENTER_PASSWORD.to_owned(), password));
            }
            Start::Server { token: Some(Token { variable }), .. } if client.asks_for_secrets() => {
                input = Some(Client::input(variable, "Bearer token for mcvsphere"));
            }
            _ => {}
        }
        Ok(Change { client, name: args.name.clone(), entry: client.entry(&start)?, input })
    }

    /// What is left to do.
    fn advice(&self, args: &SetupArgs) -> Option<String> {
        match &self.start {
            Start::Program { environment, .. } => {
                let has = |wanted: &str| environment.iter().any(|(name, _)| name.starts_with(wanted));
                let is_kept = has(name::VCENTER_PASSWORD) || has(name::MCVSPHERE_CONFIG);
                (args.simulated.is_none() && !is_kept && !self.in_clear).then(|| {
                    "The password is not kept: set VCENTER_PASSWORD where the client starts, or run this again with --password \
                     file. Clients that pass no variables on need the latter. VS Code asks for it."
                        .to_owned()
                })
            }
            Start::Server { token: Some(Token { variable }), .. } => {
                Some(format!("Set {variable} to the token where the client starts (`mcvsphere token new` makes one)."))
            }
            Start::Server { token: None, .. } => None,
        }
    }
}

impl Stored {
    fn store(&self, password: &str) -> anyhow::Result<()> {
        match self {
            Self::Keyring(entry) => {
                keyring::store(entry, password, &|name| std::env::var_os(name)).map_err(|problem| {
                    anyhow!("the keyring does not take the password: {problem}; say --password file or --password env")
                })
            }
            Self::File(path) => place::write_secret(path, password)
                .with_context(|| format!("the password cannot be written to {}", path.display())),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Keyring(entry) => format!("your keyring, as {entry}"),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// What this command says in its own way.
const OWN: [&str; 7] = [
    name::MCVSPHERE_CONFIG,
    name::VCENTER_HOST,
    name::VCENTER_USER,
    name::VCENTER_PASSWORD,
    name::VCENTER_PASSWORD_FILE,
    name::VCENTER_PASSWORD_KEYRING,
    name::MCP_CONFIRM,
];

/// The value of a setting for a program that is started in another directory.
fn for_others(setting: &InForce) -> anyhow::Result<String> {
    const PATHS: [&str; 7] = [
        name::MCVSPHERE_CONFIG,
        name::VCENTER_PASSWORD_FILE,
        name::VCENTER_CA_FILE,
        name::MCP_FILES,
        name::MCP_AUDIT_FILE,
        name::MCP_TLS_CERT,
        name::MCP_TLS_KEY,
    ];
    if !PATHS.contains(&setting.name) {
        return Ok(setting.value.clone());
    }
    text(&std::path::absolute(&setting.value).with_context(|| format!("{} is no path", setting.name))?)
}

fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{} is no UTF-8 text", path.display()))?;
    Ok(text.to_owned())
}

/// A host and a user as the name of a file.
fn file_name(host: &str, user: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    format!("{user}@{host}").chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}

/// The program that clients start. Those with windows have another search path than shells.
fn program(args: &SetupArgs) -> anyhow::Result<String> {
    if let Some(command) = &args.command {
        // A name alone is for the client's search path.
        return match command.components().count() {
            1 => text(command),
            _ => text(&std::path::absolute(command)?),
        };
    }
    let here = std::env::current_exe().context("the path of this program is not known")?;
    let real = here.canonicalize().unwrap_or_else(|_| here.clone());
    // What a package manager links to this version, it links to the next one.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut steps = std::env::split_paths(&path).filter(|step| step.is_absolute());
    let name = here.file_name().unwrap_or_default().to_owned();
    let linked = steps.find_map(|step| {
        let program = step.join(&name);
        program.canonicalize().is_ok_and(|it| it == real).then_some(program)
    });
    text(&linked.unwrap_or(here))
}

fn check_variable(name: &str) -> anyhow::Result<()> {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        bail!("{name:?} is no name of a variable");
    }
    Ok(())
}

/// Prints what belongs into the files.
fn print_all(
    args: &SetupArgs,
    plan: &Plan,
    clients: &[Client],
    folders: &Folders<'_>,
    print: impl Fn(&str) -> io::Result<()>,
) -> anyhow::Result<ExitCode> {
    let mut failed = false;
    let mut text = String::new();
    for client in clients {
        let path = client.file(folders);
        match plan.change(args, *client, None).and_then(|change| change.applied("")) {
            Ok(entry) => write!(text, "{}: {}\n\n{}\n\n", client.title(), path.display(), entry.trim())?,
            Err(problem) => {
                failed = true;
                write!(text, "{}: {problem}\n\n", client.title())?;
            }
        }
    }
    if let Some(stored) = &plan.stored {
        write!(text, "Without --print the password goes to {}.\n\n", stored.place())?;
    }
    if let Some(advice) = plan.advice(args) {
        text.push_str(&advice);
    }
    print(text.trim_end())?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
