//! `mcvsphere setup`, as a user runs it: in a home of its own, without a terminal.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

/// The home of a user.
struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("mcvsphere-setup-{:016x}", fastrand::u64(..)));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_mcvsphere"))
            .arg("setup")
            .args(arguments)
            .env_clear()
            .env("HOME", &self.0)
            .env("USERPROFILE", &self.0)
            .envs(environment.iter().copied())
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What a run that goes well prints.
    fn done(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.run(arguments, environment);
        let told = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{told}");
        told
    }

    /// What a run that goes wrong prints.
    fn refused(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.run(arguments, environment);
        let told = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{told}");
        told
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap()
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.read(path)).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const VC: [&str; 4] = ["--server", "vc.example.com", "--user", "administrator@vsphere.local"];

fn with<'a>(first: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [first, &VC, more].concat()
}

#[test]
fn a_client_is_set_up_once_and_keeps_what_it_has() {
    let home = Home::new();
    home.write(
        ".claude.json",
        "{\n  \"numStartups\": 7,\n  \"mcpServers\": {\n    \"git\": { \"command\": \"git-mcp\" }\n  }\n}\n",
    );
    let told = home.done(&with(&["claude-code"], &["--yes", "--read-only"]), &[]);
    assert!(told.contains("+     \"vsphere\": {") && told.contains("VCENTER_PASSWORD"), "{told}");
    let file = home.json(".claude.json");
    assert_eq!((&file["numStartups"], &file["mcpServers"]["git"]), (&json!(7), &json!({ "command": "git-mcp" })));
    let entry = &file["mcpServers"]["vsphere"];
    assert_eq!(
        entry["env"],
        json!({
            "VCENTER_HOST": "vc.example.com",
            "VCENTER_USER": "administrator@vsphere.local",
            "MCP_READ_ONLY": "true",
        })
    );
    assert_eq!((&entry["type"], &entry["args"]), (&json!("stdio"), &json!(["stdio"])));
    assert!(Path::new(entry["command"].as_str().unwrap()).is_absolute());
    assert!(home.read(".claude.json.before-mcvsphere").contains("\"numStartups\": 7"));
    let again = home.done(&with(&["claude-code"], &["--yes", "--read-only"]), &[]);
    assert!(again.contains("has it already"), "{again}");
    assert_eq!(home.json(".claude.json"), file);
}

#[test]
fn what_is_written_is_what_the_program_reads() {
    let home = Home::new();
    let password = [("VCENTER_PASSWORD", "hunter2")];
    let told = home.done(&with(&["codex", "cursor"], &["--password", "file", "--yes"]), &password);
    assert!(!told.contains("hunter2"), "{told}");
    let entry = home.json(".cursor/mcp.json")["mcpServers"]["vsphere"].clone();
    let kept = entry["env"]["VCENTER_PASSWORD_FILE"].as_str().unwrap();
    assert_eq!(fs::read_to_string(kept).unwrap(), "hunter2");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for path in [Path::new(kept), &home.0.join(".codex/config.toml")] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    for path in [".codex/config.toml", ".cursor/mcp.json"] {
        assert!(!home.read(path).contains("hunter2"), "{path}");
    }
    // The entry starts the server, whose settings are good.
    let environment = entry["env"].as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap()));
    let mut server = Command::new(entry["command"].as_str().unwrap());
    server.args(entry["args"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()));
    let ended = server.env_clear().envs(environment).stdin(Stdio::null()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_password_is_in_a_clients_file_only_where_that_is_said() {
    let home = Home::new();
    let password = [("VCENTER_PASSWORD", "hunter2")];
    home.done(&with(&["gemini"], &["--yes"]), &password);
    assert!(!home.read(".gemini/settings.json").contains("hunter2"));
    let told = home.done(&with(&["gemini", "vscode"], &["--password", "client", "--yes"]), &password);
    assert!(!told.contains("hunter2"), "{told}");
    assert_eq!(home.json(".gemini/settings.json")["mcpServers"]["vsphere"]["env"]["VCENTER_PASSWORD"], "hunter2");
    let told = home.done(&with(&["gemini"], &["--yes"]), &password);
    assert!(told.contains("\"VCENTER_PASSWORD\": ***") && !told.contains("hunter2"), "{told}");
    if cfg!(target_os = "linux") {
        let code = home.json(".config/Code/User/mcp.json");
        assert_eq!(code["servers"]["vsphere"]["env"]["VCENTER_PASSWORD"], "${input:mcvsphere-vcenter-password}");
        assert_eq!(code["inputs"][0]["id"], "mcvsphere-vcenter-password");
    }
}

#[test]
fn the_clients_that_are_there_are_found() {
    let home = Home::new();
    assert!(home.refused(&with(&[], &["--yes"]), &[]).contains("name one of claude-code, claude-desktop"));
    fs::create_dir_all(home.0.join(".cursor")).unwrap();
    fs::create_dir_all(home.0.join(".codex")).unwrap();
    let told = home.done(&["--sim", "--yes"], &[]);
    assert!(told.contains("Cursor: done") && told.contains("Codex: done") && !told.contains("Gemini"), "{told}");
    assert_eq!(home.json(".cursor/mcp.json")["mcpServers"]["vsphere"]["args"], json!(["stdio", "--sim=demo"]));
    assert!(home.read(".codex/config.toml").contains("args = [\"stdio\", \"--sim=demo\"]"));
}

#[test]
fn a_file_that_cannot_be_read_is_left_and_the_others_are_done() {
    let home = Home::new();
    home.write(".cursor/mcp.json", "{ \"mcpServers\": {");
    home.write(".codex/config.toml", "# mine\n[tui]\n");
    let told = home.refused(&["cursor", "codex", "--sim", "--yes"], &[]);
    assert!(
        told.contains("Cursor: ") && told.contains("is no JSON: ") && told.contains("it is left as it was"),
        "{told}"
    );
    assert_eq!(home.read(".cursor/mcp.json"), "{ \"mcpServers\": {");
    assert!(home.read(".codex/config.toml").starts_with("# mine\n[tui]\n\n[mcp_servers.vsphere]\n"));
}

#[test]
fn nothing_is_changed_that_nobody_agreed_to() {
    let home = Home::new();
    let told = home.refused(&["cursor", "--sim"], &[]);
    assert!(told.contains("say --yes to change the files, or --print"), "{told}");
    let told = home.done(&with(&["cursor", "codex"], &["--print", "--password", "file"]), &[]);
    assert!(
        told.contains("[mcp_servers.vsphere.env]") && told.contains("Without --print the password goes to"),
        "{told}"
    );
    assert_eq!(fs::read_dir(&home.0).unwrap().count(), 0);
}

#[test]
fn a_server_that_runs_already_is_connected_to() {
    let home = Home::new();
    let url = ["--http", "https://mcp.example.com/mcp"];
    let told = home.done(&[&["codex", "vscode", "--print", "--token-env", "MY_TOKEN"][..], &url].concat(), &[]);
    assert!(told.contains("url = \"https://mcp.example.com/mcp\"\nbearer_token_env_var = \"MY_TOKEN\""), "{told}");
    assert!(told.contains("\"Authorization\": \"Bearer ${input:mcvsphere-my-token}\""), "{told}");
    let told = home.refused(&[&["claude-desktop", "--print"][..], &url].concat(), &[]);
    assert!(told.contains("Connectors"), "{told}");
}

#[test]
fn what_is_not_said_is_asked_for_by_name() {
    let home = Home::new();
    for (arguments, environment, why) in [
        (&["cursor"][..], &[][..], "no server is named: say --server HOST"),
        (&["cursor", "--server", "vc"], &[], "no user is named: say --user NAME"),
        (
            &["cursor", "--server", "vc", "--user", "u", "--password", "file", "--yes"],
            &[],
            "set VCENTER_PASSWORD for this",
        ),
        (&["cursor", "--http", "ftp://x"], &[], "--http wants the URL"),
        (&["cursor", "--sim", "--name", "a b"], &[], "the name \"a b\""),
        (&["codex", "--http", "http://x/mcp", "--token-env", "A-B"], &[], "\"A-B\" is no name of a variable"),
        (&["emacs"], &[], "possible values: claude-code"),
    ] {
        let told = home.refused(arguments, environment);
        assert!(told.contains(why), "{arguments:?}: {told}");
    }
}

#[test]
fn settings_of_the_shell_go_along() {
    let home = Home::new();
    home.write("settings.yaml", "vcenter_host: vc\n");
    home.write("ca.pem", "");
    let environment =
        [("VCENTER_HOST", "vc"), ("VCENTER_USER", "u"), ("VCENTER_CA_FILE", "ca.pem"), ("LOG_LEVEL", "debug")];
    home.done(&["cursor", "--yes", "--permission", "power_ops"], &environment);
    let expected = json!({
        "VCENTER_HOST": "vc", "VCENTER_USER": "u", "VCENTER_CA_FILE": home.0.join("ca.pem"),
        "MCP_PERMISSION": "power_ops",
    });
    assert_eq!(home.json(".cursor/mcp.json")["mcpServers"]["vsphere"]["env"], expected);
    home.done(&["cursor", "--yes", "--config", "settings.yaml"], &[]);
    let expected = json!({ "MCVSPHERE_CONFIG": home.0.join("settings.yaml") });
    assert_eq!(home.json(".cursor/mcp.json")["mcpServers"]["vsphere"]["env"], expected);
}
