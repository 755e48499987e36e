//! The program `mcvsphere` on the command line, without a vCenter Server.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn mcvsphere(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mcvsphere"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_tools_are_listed_without_a_server() {
    let output = mcvsphere(&["tools", "list", "--toolsets", "all,api"], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let names: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    let snapshots = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots");
    let file = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut expected: Vec<String> = std::fs::read_dir(snapshots).unwrap().map(file).collect();
    expected.sort();
    assert_eq!(names, expected.iter().map(|file| file.trim_end_matches(".json")).collect::<Vec<_>>());
    assert_eq!(stderr(&output), "");

    let json: Value = serde_json::from_slice(&mcvsphere(&["tools", "list", "--json"], &[]).stdout).unwrap();
    assert!(json.as_array().unwrap().iter().any(|tool| tool["name"] == "list_vms"));
}

#[test]
fn a_tool_is_described() {
    let text = stdout(&mcvsphere(&["tools", "describe", "power_off_vm"], &[]));
    assert!(text.contains("permission: power_ops"), "{text}");
    assert!(text.contains("destructive: true"), "{text}");
    assert!(text.contains("list of string"), "{text}");
}

#[test]
fn what_fails_has_exit_code_1_and_says_why() {
    for (arguments, why) in [
        (&["tools", "describe", "list_vm"][..], "did you mean `list_vms`?"),
        (&["tools", "call", "list_vm"], "did you mean `list_vms`?"),
        (&["tools", "call", "list_vms", "limit=many"], "`limit`: must be a number"),
        (&["tools", "call", "list_vms", "powerstate=on"], "did you mean `power_state`?"),
        (&["tools", "call", "get_vcenter_info"], "VCENTER_HOST is not set"),
        (&["tools", "list", "--log-level", "loud"], "LOG_LEVEL must be"),
    ] {
        let output = mcvsphere(arguments, &[]);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        let error = stderr(&output);
        assert!(error.starts_with("mcvsphere: ") && error.contains(why), "{arguments:?}: {error}");
    }
}

#[test]
fn a_failure_as_json_is_on_standard_output() {
    let output = mcvsphere(&["tools", "call", "get_vcenter_info", "--json"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["code"], "config");
}

/// The demo's VMs run.
const SCREENSHOT: [&str; 5] = ["tools", "call", "vm_screenshot", "vm=web-01", "--sim"];

#[test]
fn a_picture_goes_to_a_file_or_to_a_pipe() {
    let path = std::env::temp_dir().join(format!("mcvsphere-{:016x}.png", fastrand::u64(..)));
    let shown = path.to_str().unwrap();
    let output = mcvsphere(&[&SCREENSHOT[..], &["--output", shown]].concat(), &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let picture = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"));
    let text = stdout(&output);
    assert!(text.contains(shown) && text.contains("web-01") && text.contains("pixels"), "{text}");
    // Who reads a pipe gets the picture and nothing else.
    let piped = mcvsphere(&SCREENSHOT, &[]);
    assert!(piped.status.success() && piped.stdout.starts_with(b"\x89PNG\r\n\x1a\n"), "{}", stderr(&piped));

    let nowhere = mcvsphere(&[&SCREENSHOT[..], &["--output", "/no/such/folder/a.png"]].concat(), &[]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(stderr(&nowhere).contains("/no/such/folder/a.png cannot be written"), "{}", stderr(&nowhere));
    let none = mcvsphere(&["tools", "call", "list_vms", "--sim", "--output", shown], &[]);
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("has no picture") && !path.exists(), "{}", stderr(&none));
}

#[test]
fn a_call_is_audited_without_its_secrets() {
    let environment = [("LOG_LEVEL", "info")];
    let arguments = ["tools", "call", "get_vm_info", "vm=web-1", "password=hunter2"];
    let error = stderr(&mcvsphere(&arguments, &environment));
    let line = error.lines().find(|line| line.contains("\"audit\"")).unwrap();
    let audit: Value = serde_json::from_str(line).unwrap();
    assert_eq!(audit["tool"], "get_vm_info");
    assert_eq!(audit["outcome"], "invalid_argument");
    assert!(audit["arguments"].as_str().unwrap().contains("web-1"), "{line}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_client_that_leaves_ends_the_server() {
    // Standard input is empty: the client is gone before it said anything.
    let output = mcvsphere(&[], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

#[test]
fn the_doctor_finds_what_is_well_and_what_is_not() {
    let well =
        mcvsphere(&["doctor", "--sim=vms=1,hosts=1,datastores=1", "--json"], &[("VCENTER_DATASTORE", "DC0_DS0")]);
    assert!(well.status.success(), "{}{}", stdout(&well), stderr(&well));
    let checks: Value = serde_json::from_slice(&well.stdout).unwrap();
    let found = |name: &str| {
        let check = checks.as_array().unwrap().iter().find(|check| check["check"] == name);
        check.unwrap_or_else(|| panic!("no {name} in {checks:#}"))["verdict"].as_str().unwrap().to_owned()
    };
    for name in [
        "trust",
        "connection",
        "certificate",
        "server",
        "kind",
        "latency",
        "clock",
        "VCENTER_DATASTORE",
        "rights: power",
        "rights: monitoring",
    ] {
        assert_eq!(found(name), "ok", "{checks:#}");
    }

    let unwell = mcvsphere(&["doctor", "--sim"], &[("VCENTER_NETWORK", "no-such-network")]);
    assert_eq!(unwell.status.code(), Some(1));
    assert!(stdout(&unwell).contains("no-such-network"), "{}", stdout(&unwell));
    let alone = mcvsphere(&["doctor"], &[]);
    assert_eq!(alone.status.code(), Some(1));
    assert!(stdout(&alone).contains("VCENTER_HOST is not set"), "{}", stdout(&alone));
}

#[test]
fn settings_that_are_not_safe_are_said_at_start() {
    let unsafe_settings = [("VCENTER_HOST", "vc"), ("VCENTER_INSECURE", "true"), ("MCP_CONFIRM", "never")];
    let log = stderr(&mcvsphere(&[], &unsafe_settings));
    let warned = |said: &str| log.lines().any(|line| line.contains("WARN") && line.contains(said));
    assert!(warned("VCENTER_INSECURE") && warned("MCP_CONFIRM"), "{log}");
    let log = stderr(&mcvsphere(&[], &[("VCENTER_HOST", "vc")]));
    assert!(!log.contains("WARN"), "{log}");
}

#[test]
fn a_placeholder_that_no_client_replaced_ends_the_start() {
    let output = mcvsphere(&[], &[("VCENTER_HOST", "vc"), ("VCENTER_PASSWORD", "${VCENTER_PASSWORD}")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("VCENTER_PASSWORD is the placeholder"), "{}", stderr(&output));
}

#[test]
fn the_version_is_told() {
    let text = stdout(&mcvsphere(&["--version"], &[]));
    assert_eq!(text.trim(), concat!("mcvsphere ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_new_token_is_printed_with_what_to_do_with_it() {
    let output =
        mcvsphere(&["token", "new", "ci", "--level", "power_ops", "--public-url", "https://mcp.example/"], &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let token = text.lines().next().unwrap();
    assert!(token.starts_with("mcv_") && token.len() == 47, "{text}");
    let claude = format!(
        "claude mcp add --transport http mcvsphere https://mcp.example/mcp --header \"Authorization: Bearer {token}\""
    );
    for part in ["tokens:\n  ci:\n    level: power_ops\n    sha256: ", claude.as_str()] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for (arguments, why) in [
        (&["token", "new", "c i", "--level", "power_ops"][..], "must have a name"),
        (&["token", "new", "ci"], "--level"),
        (&["token", "new", "ci", "--level", "king"], "must be one of read_only"),
        (&["token", "new", "ci", "--level", "power_ops", "--days", "0"], "--days"),
    ] {
        let output = mcvsphere(arguments, &[]);
        assert!(!output.status.success() && stderr(&output).contains(why), "{arguments:?}: {}", stderr(&output));
    }
}

#[cfg(all(unix, feature = "sim"))]
#[test]
fn a_token_is_let_in_over_http_and_written_nowhere_and_the_server_ends_at_a_signal() {
    use std::{
        io::{BufRead, BufReader, Read, Write},
        net::TcpStream,
        os::unix::net::UnixDatagram,
        path::Path,
    };

    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-http-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let made = mcvsphere(&["token", "new", "ci", "--level", "power_ops", "--days", "1", "--json"], &[]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let field = |name: &str| made[name].as_str().unwrap();
    let (settings, audit, notify) =
        (directory.join("settings.yaml"), directory.join("audit.jsonl"), directory.join("notify"));
    let entry = format!("{{level: {}, sha256: {}, expires: {}}}", field("level"), field("sha256"), field("expires"));
    std::fs::write(&settings, format!("tokens: {{ci: {entry}}}\nmcp_audit: {}\n", audit.display())).unwrap();
    let supervisor = UnixDatagram::bind(&notify).unwrap();
    supervisor.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let told = || {
        let mut bytes = [0; 64];
        let count = supervisor.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).trim().to_owned()
    };

    let mut server = Command::new(env!("CARGO_BIN_EXE_mcvsphere"))
        .args(["--sim", "--transport", "http", "--port", "0", "--config"])
        .arg(&settings)
        .env_clear()
        .env("NOTIFY_SOCKET", &notify)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap());
    let mut logged = String::new();
    let address = loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "{logged}");
        logged.push_str(&line);
        let record: Value = serde_json::from_str(&line).unwrap();
        if record["message"] == "listening" {
            break record["address"].as_str().unwrap().to_owned();
        }
    };
    assert_eq!(told(), "READY=1");
    let token = field("token");
    let ask = |path: &str, authorization: &str| {
        let body = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\",\
                    \"capabilities\":{},\"clientInfo\":{\"name\":\"test\",\"version\":\"1\"}}}";
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\naccept: application/json, text/event-stream\r\n\
             content-type: application/json\r\n{authorization}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let good = ask("/mcp", &format!("authorization: Bearer {token}\r\n"));
    assert!(good.starts_with("HTTP/1.1 200") && good.contains("\"mcvsphere\""), "{good}");
    for wrong in
        [ask(&format!("/mcp?access_token={token}"), ""), ask("/mcp", &format!("authorization: Bearer {token}x\r\n"))]
    {
        assert!(wrong.starts_with("HTTP/1.1 401"), "{wrong}");
    }
    let killed = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(told(), "STOPPING=1");
    log.read_to_string(&mut logged).unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0), "{logged}");
    let audited = std::fs::read_to_string(&audit).unwrap();
    assert!(audited.contains("bearer_refused") && logged.contains("a bearer token was refused"), "{audited}{logged}");
    assert!(!logged.contains(&token[4..]) && !audited.contains(&token[4..]), "{logged}{audited}");

    let shown = mcvsphere(&["audit", audit.to_str().unwrap()], &[]);
    assert!(shown.status.success() && stdout(&shown).contains("bearer token refused"), "{}", stdout(&shown));
    std::fs::remove_dir_all(&directory).unwrap();
}

/// A program named vcsim has vcsim's command line, and so has `mcvsphere sim --as-vcsim`.
#[cfg(all(unix, feature = "sim"))]
#[test]
fn what_starts_vcsim_can_start_the_simulator_instead() {
    use std::{
        io::{BufRead, BufReader, Read, Write},
        path::Path,
        process::Child,
    };

    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-vcsim-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let program = directory.join("vcsim");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mcvsphere"), &program).unwrap();
    let start = |program: &Path, first: &[&str], arguments: &[&str]| -> Child {
        let mut command = Command::new(program);
        let pipes = command.args(first).args(arguments).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        pipes.spawn().unwrap()
    };
    let login_of = |announced: &str| announced.split_once("http://").unwrap().1.split_once('@').unwrap().0.to_owned();

    // Over plain HTTP, so that the answer can be read by hand; it ends with its standard input.
    let usual = ["-l", "127.0.0.1:0", "-tls=false", "-stdinexit", "-vm", "1"];
    let mut server = start(&program, &[], &usual);
    let mut output = BufReader::new(server.stdout.take().unwrap());
    let mut announced = String::new();
    output.read_line(&mut announced).unwrap();
    assert!(announced.starts_with("export GOVC_URL=http://user:pass@127.0.0.1:"), "{announced}");
    assert!(announced.trim_end().ends_with(&format!("/sdk GOVC_SIM_PID={}", server.id())), "{announced}");
    let address = announced.split_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
    let body = "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><Login xmlns=\"urn:vim25\">\
                <_this type=\"SessionManager\">SessionManager</_this><userName>user</userName><password>pass</password>\
                </Login></e:Body></e:Envelope>";
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    write!(
        stream,
        "POST /sdk HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("<LoginResponse"), "{answer}");
    drop(server.stdin.take());
    assert_eq!(server.wait().unwrap().code(), Some(0));

    // The address goes to a file that is there.
    let file = directory.join("env");
    std::fs::write(&file, "").unwrap();
    let own = ["-E", file.to_str().unwrap(), "-username", "me", "-password", "a b"];
    let arguments = [&usual[..], &own].concat();
    let mut server = start(Path::new(env!("CARGO_BIN_EXE_mcvsphere")), &["sim", "--as-vcsim"], &arguments);
    let mut output = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "Press any key to exit\n");
    assert_eq!(login_of(&std::fs::read_to_string(&file).unwrap()), "me:a%20b");
    server.stdin.take().unwrap().write_all(b"x").unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0));

    let wrong = Command::new(&program).args(["-load", "x"]).env_clear().output().unwrap();
    assert!(stderr(&wrong).contains("-load is not offered") && !wrong.status.success(), "{}", stderr(&wrong));
    let help = Command::new(&program).arg("-help").env_clear().output().unwrap();
    assert!(stdout(&help).contains("-standalone-host N") && help.status.success(), "{}", stdout(&help));
    std::fs::remove_dir_all(&directory).unwrap();
}
