//! The sections of docs/sharing.md, pasted into a fresh shell.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use peers::{IdentityProvider, Lifecycle, McpClient, free_port};
use serde_json::json;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};
use vsphere_sim::{Model, Sim};

use super::{MCVSPHERE, good, logins::users};

const PAGE: &str = include_str!("../../../docs/sharing.md");

/// The blocks of a section in this language.
fn blocks(section: &str, language: &str) -> Vec<&'static str> {
    let (_, from) = PAGE.split_once(&format!("\n### {section}\n")).unwrap();
    let section = from.split("\n### ").next().unwrap();
    let start = format!("\n```{language}\n");
    section.split(&start).skip(1).map(|block| block.split_once("\n```").unwrap().0).collect()
}

/// The commands of a section, each as one line.
fn commands(section: &str) -> Vec<String> {
    let text = blocks(section, "console").join("\n").replace("\\\n", " ");
    text.lines().map(|line| line.strip_prefix("$ ").unwrap_or_else(|| panic!("{line}")).to_owned()).collect()
}

/// A shell of a user who has nothing yet.
struct Shell {
    home: PathBuf,
    /// What it says, and what is so here.
    here: Vec<(&'static str, String)>,
}

impl Shell {
    fn new() -> Self {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
        if home.exists() {
            fs::remove_dir_all(&home).unwrap();
        }
        fs::create_dir_all(home.join("bin")).unwrap();
        Self { home, here: Vec::new() }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.home.join(name), text).unwrap();
    }

    fn told(&self, text: &str) -> String {
        self.here.iter().fold(text.to_owned(), |text, (there, here)| text.replace(there, here))
    }

    fn command(&self, line: &str) -> Command {
        let programs = Path::new(MCVSPHERE).parent().unwrap();
        let mut command = Command::new("env");
        command.arg("-i").arg(format!("HOME={}", self.home.display()));
        command.arg(format!("PATH={}/bin:{}:/usr/bin:/bin", self.home.display(), programs.display()));
        // What runs for long takes the place of the shell, so that it ends with the test.
        command.args(["bash", "-c", &format!("exec {}", self.told(line))]);
        command.current_dir(&self.home).kill_on_drop(true);
        command
    }

    async fn output(&self, line: &str) -> String {
        let output = self.command(line).output().await.unwrap();
        let (said, problems) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{line}: {said}{problems}");
        said
    }

    /// Starts what listens at this port.
    async fn start(&self, line: &str, port: u16) -> Child {
        let log = fs::File::create(self.home.join("log")).unwrap();
        let mut child = self.command(line).stderr(log).spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let log = fs::read_to_string(self.home.join("log")).unwrap();
            assert_eq!(child.try_wait().unwrap(), None, "{line}: {log}");
            sleep(Duration::from_millis(50)).await;
        }
        child
    }
}

#[tokio::test]
#[ignore = "needs oidc-provider: cargo xtask peers"]
async fn peers_the_sections_for_many_users_work_in_a_fresh_shell() {
    let port = free_port().unwrap();
    let base = format!("https://localhost:{port}");
    let provider = IdentityProvider::oidc_provider(&base, &users()).await.unwrap();
    let sim = Sim::start(Model::demo()).await.unwrap();
    let mut shell = Shell::new();
    let secret = shell.home.join("secret").display().to_string();
    shell.here = vec![
        ("https://mcp.example.com", base.clone()),
        ("https://login.example.com/realms/main", provider.issuer().to_owned()),
        ("/run/secrets/mcvsphere-oauth", secret),
    ];
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    shell.write("cert.pem", &pair.cert.pem());
    shell.write("key.pem", &pair.signing_key.serialize_pem());
    shell.write("secret", provider.secret());
    // It says how it was called.
    shell.write("bin/claude", "#!/bin/sh\nprintf '%s\\n' \"$@\"\n");
    fs::set_permissions(shell.home.join("bin/claude"), fs::Permissions::from_mode(0o755)).unwrap();

    let shared = commands("Shared use");
    let [new_token, serve, add] = shared.as_slice() else { panic!("{shared:?}") };
    let said = shell.output(new_token).await;
    let token = said.lines().find(|line| line.starts_with("mcv_")).unwrap().to_owned();
    let (_, entry) = said.split_once("\ntokens:\n").unwrap();
    let entry = entry.split_once("\n\n").unwrap().0;
    let [logins] = blocks("Logins", "yaml")[..] else { panic!() };
    let vcenter = format!(
        "vcenter_host: {}\nvcenter_user: {}\nvcenter_password: {}\nvcenter_insecure: true\nmcp_port: {port}\n",
        sim.url(),
        Model::USER,
        Model::PASSWORD
    );
    shell.write("mcvsphere.yaml", &shell.told(&format!("{vcenter}{logins}\ntokens:\n{entry}\n")));
    for file in ["mcvsphere.yaml", "secret", "key.pem"] {
        fs::set_permissions(shell.home.join(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(PAGE.contains("`mcvsphere doctor --oauth` checks the setup"));
    shell.output("mcvsphere --config mcvsphere.yaml doctor --oauth").await;
    let _serving = shell.start(serve, port).await;

    // What Claude Code is told is what other clients need to know, too.
    let added = shell.output(&add.replace("mcv_…", &token)).await;
    let added: Vec<&str> = added.lines().collect();
    let url = *added.iter().find(|word| word.starts_with("https://")).unwrap();
    let bearer = added.iter().find_map(|word| word.strip_prefix("Authorization: Bearer ")).unwrap();
    let trust = shell.home.join("cert.pem").display().to_string();
    let client = McpClient::new(Lifecycle::Stateless).setting("NODE_EXTRA_CA_CERTS", &trust);
    let steps = json!([
        { "name": "list_vms", "arguments": { "limit": 1 } },
        { "name": "delete_vm", "arguments": { "vm": "web-01" } },
    ]);
    let report = client.run_at(url, bearer, &steps).await.unwrap();
    assert_eq!(good(&report["results"][0])["returned"], 1);
    assert_eq!(report["results"][1]["structuredContent"]["code"], "permission");

    let told = client.log_in(url, "operator", None).await.unwrap();
    assert_eq!((&told["reads"]["returned"], &told["refused_call"]["code"]), (&json!(1), &json!("not_found")), "{told}");
    assert_eq!(told["refreshed"], true);
    assert_eq!(client.log_in(url, "stranger", None).await.unwrap(), json!({ "refused": "access_denied" }));
}
