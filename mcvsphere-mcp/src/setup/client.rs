//! The MCP clients: where each keeps its servers, and what an entry looks like there.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

/// A client whose files are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Client {
    /// Claude Code, for all projects
    ClaudeCode,
    /// Claude Desktop
    ClaudeDesktop,
    /// VS Code, for all workspaces
    #[value(name = "vscode")]
    VsCode,
    /// Cursor
    Cursor,
    /// Gemini CLI
    Gemini,
    /// Codex: its command line, its app and its extension of editors
    Codex,
    /// opencode
    #[value(name = "opencode")]
    OpenCode,
    /// Windsurf
    Windsurf,
    /// GitHub Copilot CLI
    Copilot,
    /// Junie of JetBrains
    Junie,
}

/// What a client is to start, or to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// A program on standard input and output.
    Program { command: String, arguments: Vec<String>, environment: Vec<(String, String)> },
    /// A server that runs already.
    Server { url: String, token: Option<Token> },
}

/// Where the bearer token of a server comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// The variable of the client's own environment.
    pub(super) variable: String,
}

/// The folders of a user.
pub(super) struct Folders<'a> {
    pub(super) home: PathBuf,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    /// As `std::env::consts::OS` says it.
    pub(super) system: &'a str,
}

impl Folders<'_> {
    /// Where programs keep their settings.
    fn settings(&self) -> PathBuf {
        match self.system {
            "macos" => self.home.join("Library/Application Support"),
            "windows" => self.named("APPDATA").unwrap_or_else(|| self.home.join("AppData").join("Roaming")),
            _ => self.xdg(),
        }
    }

    /// Where programs keep their settings that do so in one way on all systems.
    pub(super) fn xdg(&self) -> PathBuf {
        self.named("XDG_CONFIG_HOME").unwrap_or_else(|| self.home.join(".config"))
    }

    fn named(&self, variable: &str) -> Option<PathBuf> {
        (self.environment)(variable).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

impl Client {
    /// As people call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code",
            Self::ClaudeDesktop => "Claude Desktop",
            Self::VsCode => "VS Code",
            Self::Cursor => "Cursor",
            Self::Gemini => "Gemini CLI",
            Self::Codex => "Codex",
            Self::OpenCode => "opencode",
            Self::Windsurf => "Windsurf",
            Self::Copilot => "Copilot CLI",
            Self::Junie => "Junie",
        }
    }

    /// The file of this user that has its servers.
    pub(super) fn file(self, folders: &Folders<'_>) -> PathBuf {
        let home = |path: &str| folders.home.join(path);
        let own = |variable: &str, folder: &str| folders.named(variable).unwrap_or_else(|| home(folder));
        match self {
            Self::ClaudeCode => {
                folders.named("CLAUDE_CONFIG_DIR").unwrap_or_else(|| folders.home.clone()).join(".claude.json")
            }
            Self::ClaudeDesktop => folders.settings().join("Claude").join("claude_desktop_config.json"),
            Self::VsCode => folders.settings().join("Code").join("User").join("mcp.json"),
            Self::Cursor => home(".cursor").join("mcp.json"),
            Self::Gemini => home(".gemini").join("settings.json"),
            Self::Codex => own("CODEX_HOME", ".codex").join("config.toml"),
            Self::OpenCode => {
                let folder = folders.xdg().join("opencode");
                let commented = folder.join("opencode.jsonc");
                if commented.exists() { commented } else { folder.join("opencode.json") }
            }
            Self::Windsurf => home(".codeium").join("windsurf").join("mcp_config.json"),
            Self::Copilot => own("COPILOT_HOME", ".copilot").join("mcp-config.json"),
            Self::Junie => home(".junie").join("mcp").join("mcp.json"),
        }
    }

    /// Whether this user has the client, as its files tell.
    pub(super) fn is_found(self, folders: &Folders<'_>) -> bool {
        let file = self.file(folders);
        let folder = match self {
            // Its file is in the user's own folder, which says nothing.
            Self::ClaudeCode => Some(folders.home.join(".claude")),
            Self::Junie => Some(folders.home.join(".junie")),
            _ => file.parent().map(Path::to_owned),
        };
        file.exists() || folder.is_some_and(|folder| folder.is_dir())
    }

    /// The key under which the file has the servers.
    pub(super) fn servers(self) -> &'static str {
        match self {
            Self::VsCode => "servers",
            Self::OpenCode => "mcp",
            Self::Codex => "mcp_servers",
            _ => "mcpServers",
        }
    }

    /// Whether it asks the user for a secret itself, and keeps it.
    pub(super) fn asks_for_secrets(self) -> bool {
        self == Self::VsCode
    }

    /// The entry of a server in its file.
    ///
    /// # Errors
    /// The client cannot be set up so by its file; what can be done instead.
    pub(super) fn entry(self, start: &Start) -> Result<Value, String> {
        match start {
            Start::Program { command, arguments, environment } => Ok(self.program(command, arguments, environment)),
            Start::Server { url, token } => self.server(url, token.as_ref()),
        }
    }

    fn program(self, command: &str, arguments: &[String], environment: &[(String, String)]) -> Value {
        let mut entry = Map::new();
        let mut put = |key: &str, value: Value| entry.insert(key.to_owned(), value);
        match self {
            Self::ClaudeCode | Self::VsCode => put("type", "stdio".into()),
            Self::Copilot | Self::OpenCode => put("type", "local".into()),
            _ => None,
        };
        if self == Self::OpenCode {
            put("command", std::iter::once(command).chain(arguments.iter().map(String::as_str)).collect());
            put("enabled", true.into());
        } else {
            put("command", command.into());
            put("args", arguments.into());
        }
        if !environment.is_empty() {
            let environment: Map<String, Value> =
                environment.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            put(if self == Self::OpenCode { "environment" } else { "env" }, environment.into());
        }
        if self == Self::Copilot {
            put("tools", json!(["*"]));
        }
        entry.into()
    }

    fn server(self, url: &str, token: Option<&Token>) -> Result<Value, String> {
        let title = self.title();
        let mut entry = match self {
            Self::ClaudeCode | Self::VsCode => json!({ "type": "http", "url": url }),
            Self::Copilot => json!({ "type": "http", "url": url, "tools": ["*"] }),
            Self::Cursor | Self::Codex => json!({ "url": url }),
            Self::Gemini => json!({ "httpUrl": url }),
            Self::OpenCode => json!({ "type": "remote", "url": url, "enabled": true }),
            Self::Windsurf => json!({ "serverUrl": url }),
            Self::ClaudeDesktop => {
                return Err(format!(
                    "{title} takes servers by URL in its settings (Connectors) alone: add {url} there"
                ));
            }
            Self::Junie => return Err(format!("{title} is known to start programs alone: leave out --http")),
        };
        let Some(Token { variable }) = token else {
            return Ok(entry);
        };
        let reference = match self {
            Self::Codex => {
                put(&mut entry, "bearer_token_env_var", variable.as_str().into());
                return Ok(entry);
            }
            Self::VsCode => format!("${{input:{}}}", Self::input_id(variable)),
            Self::Cursor | Self::Windsurf => format!("${{env:{variable}}}"),
            Self::Gemini => format!("${variable}"),
            Self::OpenCode => format!("{{env:{variable}}}"),
            _ => {
                return Err(format!(
                    "{title} does not take the headers of a server from variables: leave out --token-env and log in, or \
                     add the server with the client's own command"
                ));
            }
        };
        put(&mut entry, "headers", json!({ "Authorization": format!("Bearer {reference}") }));
        Ok(entry)
    }

    /// What VS Code calls a secret that it asks for.
    pub(super) fn input_id(variable: &str) -> String {
        format!("mcvsphere-{}", variable.to_lowercase().replace('_', "-"))
    }

    /// What VS Code is told of a secret that it asks for.
    pub(super) fn input(variable: &str, description: &str) -> Value {
        let id = Self::input_id(variable);
        json!({ "type": "promptString", "id": id, "description": description, "password": true })
    }
}

fn put(entry: &mut Value, key: &str, value: Value) {
    if let Value::Object(entry) = entry {
        entry.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn file(client: Client, system: &str, variables: &[(&str, &str)]) -> String {
        let environment =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let folders = Folders { home: "/home/u".into(), environment: &environment, system };
        client.file(&folders).to_string_lossy().replace('\\', "/")
    }

    #[test]
    fn each_client_has_its_file() {
        for (client, linux) in [
            (Client::ClaudeCode, "/home/u/.claude.json"),
            (Client::ClaudeDesktop, "/home/u/.config/Claude/claude_desktop_config.json"),
            (Client::VsCode, "/home/u/.config/Code/User/mcp.json"),
            (Client::Cursor, "/home/u/.cursor/mcp.json"),
            (Client::Gemini, "/home/u/.gemini/settings.json"),
            (Client::Codex, "/home/u/.codex/config.toml"),
            (Client::OpenCode, "/home/u/.config/opencode/opencode.json"),
            (Client::Windsurf, "/home/u/.codeium/windsurf/mcp_config.json"),
            (Client::Copilot, "/home/u/.copilot/mcp-config.json"),
            (Client::Junie, "/home/u/.junie/mcp/mcp.json"),
        ] {
            assert_eq!(file(client, "linux", &[]), linux);
        }
        assert_eq!(
            file(Client::ClaudeDesktop, "macos", &[]),
            "/home/u/Library/Application Support/Claude/claude_desktop_config.json"
        );
        assert_eq!(file(Client::VsCode, "windows", &[]), "/home/u/AppData/Roaming/Code/User/mcp.json");
        assert_eq!(file(Client::Codex, "linux", &[("CODEX_HOME", "/c")]), "/c/config.toml");
        assert_eq!(file(Client::ClaudeCode, "linux", &[("CLAUDE_CONFIG_DIR", "/c")]), "/c/.claude.json");
        assert_eq!(file(Client::VsCode, "linux", &[("XDG_CONFIG_HOME", "/x")]), "/x/Code/User/mcp.json");
        // The specification says that a relative one does not count.
        assert_eq!(file(Client::VsCode, "linux", &[("XDG_CONFIG_HOME", "x")]), "/home/u/.config/Code/User/mcp.json");
    }

    #[test]
    fn a_program_is_started_with_its_settings() {
        let start = Start::Program {
            command: "/bin/mcvsphere".to_owned(),
            arguments: vec!["stdio".to_owned()],
            environment: vec![("VCENTER_HOST".to_owned(), "vc".to_owned())],
        };
        let usual = json!({ "command": "/bin/mcvsphere", "args": ["stdio"], "env": { "VCENTER_HOST": "vc" } });
        for client in Client::value_variants() {
            let expected = match client {
                Client::ClaudeCode | Client::VsCode => {
                    json!({ "type": "stdio", "command": "/bin/mcvsphere", "args": ["stdio"], "env": { "VCENTER_HOST": "vc" } })
                }
                Client::OpenCode => json!({
                    "type": "local", "command": ["/bin/mcvsphere", "stdio"], "enabled": true,
                    "environment": { "VCENTER_HOST": "vc" },
                }),
                Client::Copilot => json!({
                    "type": "local", "command": "/bin/mcvsphere", "args": ["stdio"], "env": { "VCENTER_HOST": "vc" },
                    "tools": ["*"],
                }),
                _ => usual.clone(),
            };
            assert_eq!(client.entry(&start).unwrap(), expected, "{client:?}");
        }
    }

    #[test]
    fn a_server_is_reached_by_its_url() {
        let url = "https://mcp.example.com/mcp";
        let at = |client: Client, token: Option<&str>| {
            let token = token.map(|variable| Token { variable: variable.to_owned() });
            client.entry(&Start::Server { url: url.to_owned(), token })
        };
        assert_eq!(at(Client::ClaudeCode, None).unwrap(), json!({ "type": "http", "url": url }));
        assert_eq!(at(Client::Windsurf, None).unwrap(), json!({ "serverUrl": url }));
        assert!(at(Client::ClaudeDesktop, None).unwrap_err().contains("Connectors"));
        assert!(at(Client::Junie, None).unwrap_err().contains("--http"));
        for (client, header) in [
            (Client::VsCode, "Bearer ${input:mcvsphere-my-token}"),
            (Client::Cursor, "Bearer ${env:MY_TOKEN}"),
            (Client::Windsurf, "Bearer ${env:MY_TOKEN}"),
            (Client::Gemini, "Bearer $MY_TOKEN"),
            (Client::OpenCode, "Bearer {env:MY_TOKEN}"),
        ] {
            assert_eq!(at(client, Some("MY_TOKEN")).unwrap()["headers"], json!({ "Authorization": header }));
        }
        assert_eq!(
            at(Client::Codex, Some("MY_TOKEN")).unwrap(),
            json!({ "url": url, "bearer_token_env_var": "MY_TOKEN" })
        );
        for client in [Client::ClaudeCode, Client::Copilot] {
            assert!(at(client, Some("MY_TOKEN")).unwrap_err().contains("--token-env"));
        }
    }
}
