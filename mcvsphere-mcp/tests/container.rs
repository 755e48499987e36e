//! The program as an image starts it: over HTTP on all interfaces, with a token of its own where nobody has set one up.

#![cfg(all(unix, feature = "sim"))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

const INITIALIZE: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\",\
    \"capabilities\":{},\"clientInfo\":{\"name\":\"test\",\"version\":\"1\"}}}";

/// The settings of an image, at a port that is free.
struct Image {
    port: String,
    environment: Vec<(&'static str, &'static str)>,
}

impl Image {
    fn new(environment: &[(&'static str, &'static str)]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let own = [("MCP_TRANSPORT", "streamable-http"), ("MCP_HOST", "0.0.0.0"), ("MCP_MAKE_TOKEN", "true")];
        Self { port, environment: [&own, environment].concat() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcvsphere"));
        command.args(arguments).env_clear().envs(self.environment.iter().copied()).env("MCP_PORT", &self.port);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts the server, and answers what it has said once it listens.
    fn serve(&self) -> (Server, String) {
        let mut server = Server(self.command(&["--sim"]).spawn().unwrap());
        let mut said = String::new();
        for line in BufReader::new(server.0.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            said.push_str(&line);
            said.push('\n');
            if line.contains("\"listening\"") {
                return (server, said);
            }
        }
        panic!("{said}");
    }

    /// The status line of a call with this header.
    fn ask(&self, header: &str) -> String {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{}", self.port)).unwrap();
        let request = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\naccept: application/json, text/event-stream\r\n\
             content-type: application/json\r\n{header}content-length: {}\r\n\r\n{INITIALIZE}",
            INITIALIZE.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.lines().next().unwrap().to_owned()
    }
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn made_token(said: &str) -> Option<&str> {
    said.lines().find(|line| line.starts_with("mcv_"))
}

#[test]
fn a_token_is_made_and_told_once_and_nobody_is_served_without_it() {
    let image = Image::new(&[]);
    let health = image.output(&["health"]);
    let error = String::from_utf8_lossy(&health.stderr);
    assert!(!health.status.success() && error.contains("MCP_PORT"), "{error}");

    let (_server, said) = image.serve();
    let token = made_token(&said).unwrap();
    assert!(said.contains(&format!("http://localhost:{}/mcp --header \"Authorization: Bearer {token}\"", image.port)));
    assert_eq!(said.matches(token).count(), 2, "{said}");
    assert_eq!(image.ask(""), "HTTP/1.1 401 Unauthorized");
    assert_eq!(image.ask(&format!("authorization: Bearer {token}x\r\n")), "HTTP/1.1 401 Unauthorized");
    assert_eq!(image.ask(&format!("authorization: Bearer {token}\r\n")), "HTTP/1.1 200 OK");
    let health = image.output(&["health"]);
    assert!(health.status.success(), "{}", String::from_utf8_lossy(&health.stderr));

    let (_again, later) = Image::new(&[]).serve();
    assert_ne!(made_token(&later), Some(token));
}

#[test]
fn no_token_is_made_where_the_settings_say_who_is_served() {
    let digest = "7812727158365431070715b9058635ac641ff041807d7453f694357775a0fb1a";
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("container-{}.yaml", std::process::id()));
    let entry = format!("{{level: read_only, sha256: {digest}, expires: never}}");
    std::fs::write(&file, format!("tokens: {{read_only: {entry}}}\n")).unwrap();
    let path: &'static str = file.to_str().unwrap().to_owned().leak();
    let image = Image::new(&[("MCVSPHERE_CONFIG", path)]);
    let (_server, said) = image.serve();
    assert_eq!(made_token(&said), None);
    assert_eq!(image.ask("authorization: Bearer mcv_read_only\r\n"), "HTTP/1.1 200 OK");
    std::fs::remove_file(&file).unwrap();

    let image = Image::new(&[("MCP_ALLOW_UNAUTHENTICATED", "yes-anyone-may-control-vsphere")]);
    let (_open, said) = image.serve();
    assert_eq!(made_token(&said), None);
    assert_eq!(image.ask(""), "HTTP/1.1 200 OK");
}

#[test]
fn stdio_is_for_one_user_whatever_the_transport_is() {
    let image = Image::new(&[]);
    let mut server = image.command(&["stdio"]).stdin(Stdio::piped()).spawn().unwrap();
    writeln!(server.stdin.take().unwrap(), "{INITIALIZE}").unwrap();
    let output = server.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["result"]["serverInfo"]["name"], "mcvsphere");
    assert_eq!(made_token(&String::from_utf8_lossy(&output.stderr)), None);
    assert!(output.status.success());
}
