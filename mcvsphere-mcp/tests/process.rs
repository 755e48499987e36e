//! The program as a process, whatever becomes of its standard streams, its client and its user: calls are answered or
//! the process ends soon, and no session is left at the server.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use vsphere_ops::managed::VirtualMachine;
use vsphere_sim::{Model, Sim, Size, Trouble};

/// How soon the process must have ended.
const SOON: Duration = Duration::from_secs(2);

/// How long a busy machine may take for what is not measured.
const PATIENCE: Duration = Duration::from_secs(60);

/// A simulated vCenter whose sessions are counted.
struct Lab {
    sim: Sim,
    runtime: Runtime,
}

impl Lab {
    fn new() -> Self {
        let size = Size { vms: 1, hosts: 1, datacenters: 1, clusters: 1, datastores: 1 };
        Self::of(Model::sized(size))
    }

    fn of(model: Model) -> Self {
        let runtime = Runtime::new().unwrap();
        let sim = runtime.block_on(Sim::start(model)).unwrap();
        Self { sim, runtime }
    }

    /// Another client of this vCenter.
    fn client(&self) -> vsphere_ops::Client {
        let config = vsphere_ops::Config::new(self.sim.url()).user(Model::USER).password(Model::PASSWORD);
        let config = config.thumbprint(&self.sim.thumbprint().unwrap().to_string());
        self.runtime.block_on(vsphere_ops::Client::connect(config)).unwrap()
    }

    /// The program with this vCenter as its own.
    fn mcvsphere(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcvsphere"));
        command
            .args(arguments)
            .env_clear()
            .env("VCENTER_HOST", self.sim.url())
            .env("VCENTER_USER", Model::USER)
            .env("VCENTER_PASSWORD", Model::PASSWORD)
            .env("VCENTER_THUMBPRINT", self.sim.thumbprint().unwrap().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    /// Lets every answer take so long that a call is in the middle of it.
    fn slow_down(&self) {
        self.sim.trouble(Trouble::none().latency(Duration::from_millis(300)));
    }

    /// Waits until a client is logged in.
    fn await_session(&self) {
        eventually(|| self.sim.sessions() > 0);
    }

    fn assert_no_session_is_left(&self) {
        assert_eq!(self.sim.sessions(), 0, "sessions are left at the server");
    }
}

fn eventually(done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "it did not come about");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A client of the server, message by message.
struct Client {
    process: Child,
    input: Option<ChildStdin>,
    /// The answers, as they come.
    answers: mpsc::Receiver<Value>,
}

impl Client {
    fn start(command: &mut Command) -> Self {
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take();
        let output = process.stdout.take().unwrap();
        let mut client = Self { process, input, answers: read(output) };
        client.send(&json!({ "jsonrpc": "2.0", "id": "init", "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" }
        } }));
        assert_eq!(client.answer()["result"]["serverInfo"]["name"], "mcvsphere");
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    fn send(&mut self, message: &Value) {
        self.send_text(&format!("{message}\n"));
    }

    fn send_text(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn call(&mut self, id: usize, tool: &str, arguments: &Value) {
        let params = json!({ "name": tool, "arguments": arguments });
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }));
    }

    fn answer(&self) -> Value {
        self.answers.recv_timeout(PATIENCE).unwrap()
    }

    /// Asks 2,000 times, some of it of vSphere, and wants as many answers.
    fn assert_calls_are_answered(&mut self) {
        const CALLS: usize = 2000;
        for id in 0..CALLS {
            match id % 100 {
                0 => self.call(id, "get_vcenter_info", &json!({})),
                _ => self.call(id, "get_vm_info", &json!({ "unknown": true, "filler": "x".repeat(100) })),
            }
        }
        let answered = (0..CALLS).filter(|_| !self.answer()["result"].is_null()).count();
        assert_eq!(answered, CALLS);
    }

    /// Closes standard input, and wants the process to end.
    fn leave(mut self) -> ExitStatus {
        self.input = None;
        ended(&mut self.process)
    }

    fn signal(&self, name: &str) {
        signal(&self.process, name);
    }
}

fn read(output: ChildStdout) -> mpsc::Receiver<Value> {
    let (sender, answers) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let Ok(answer) = serde_json::from_str(&line) else { panic!("no JSON: {line}") };
            if sender.send(answer).is_err() {
                return;
            }
        }
    });
    answers
}

fn signal(process: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Wants the process to end soon from now on.
fn ended(process: &mut Child) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > SOON + Duration::from_millis(500) {
            process.kill().unwrap();
            panic!("the process has not ended within {SOON:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A standard error that nobody reads, and its other end.
fn unread() -> (Stdio, impl Read) {
    let (reader, writer) = std::io::pipe().unwrap();
    (Stdio::from(writer), reader)
}

/// A standard error whose reader is gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    Stdio::from(writer)
}

#[test]
fn calls_are_answered_when_nobody_reads_the_log() {
    let lab = Lab::new();
    let (stderr, mut reader) = unread();
    let mut client = Client::start(lab.mcvsphere(&[]).stderr(stderr));
    client.assert_calls_are_answered();
    assert!(client.leave().success());
    lab.assert_no_session_is_left();
    // What the pipe holds is whole lines.
    let mut log = String::new();
    reader.read_to_string(&mut log).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.len() > 50);
    for line in &lines[..lines.len() - 1] {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn signals_end_the_server_when_nobody_reads_the_log() {
    let lab = Lab::new();
    let (stderr, _reader) = unread();
    let mut client = Client::start(lab.mcvsphere(&[]).stderr(stderr));
    client.assert_calls_are_answered();
    client.signal("TERM");
    assert!(ended(&mut client.process).success());
    lab.assert_no_session_is_left();
}

#[test]
fn what_was_dropped_from_the_log_is_counted_in_it() {
    let lab = Lab::new();
    let (stderr, reader) = unread();
    let mut client = Client::start(lab.mcvsphere(&[]).stderr(stderr));
    // More than the pipe and the queue hold.
    client.assert_calls_are_answered();
    let lines = thread::spawn(move || BufReader::new(reader).lines().map_while(Result::ok).collect::<Vec<_>>());
    // A line that is written after the reader has come back.
    thread::sleep(Duration::from_millis(200));
    client.call(1, "get_vm_info", &json!({ "unknown": true }));
    client.answer();
    assert!(client.leave().success());
    let lines: Vec<Value> = lines.join().unwrap().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let calls = lines.iter().filter(|line| line["message"] == "call").count() as u64;
    let dropped: u64 = lines.iter().filter_map(|line| line["dropped"].as_u64()).sum();
    assert!(dropped > 0, "nothing was dropped of {calls}");
    // What the libraries log is dropped too.
    assert!((2001..2050).contains(&(calls + dropped)), "{calls} calls, {dropped} dropped");
}

#[test]
fn calls_are_answered_when_the_log_is_closed() {
    let lab = Lab::new();
    let mut client = Client::start(lab.mcvsphere(&[]).stderr(closed()));
    client.assert_calls_are_answered();
    assert!(client.leave().success());
    lab.assert_no_session_is_left();
}

#[cfg(target_os = "linux")]
#[test]
fn calls_are_answered_when_the_disk_of_the_log_is_full() {
    let lab = Lab::new();
    let full: File = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut client = Client::start(lab.mcvsphere(&[]).stderr(full));
    client.assert_calls_are_answered();
    assert!(client.leave().success());
    lab.assert_no_session_is_left();
}

#[test]
fn each_signal_ends_the_server_and_its_session() {
    for name in ["TERM", "INT", "HUP", "QUIT"] {
        let lab = Lab::new();
        let mut client = Client::start(&mut lab.mcvsphere(&[]));
        client.call(1, "get_vcenter_info", &json!({}));
        client.answer();
        // One call is in the middle of something.
        lab.slow_down();
        client.call(2, "list_vms", &json!({}));
        client.signal(name);
        assert!(ended(&mut client.process).success(), "{name}");
        lab.assert_no_session_is_left();
    }
}

#[test]
fn a_signal_while_the_server_logs_in_leaves_no_session() {
    for pause in [300, 600, 900, 1200] {
        let lab = Lab::new();
        let mut client = Client::start(&mut lab.mcvsphere(&[]));
        lab.sim.trouble(Trouble::none().latency(Duration::from_millis(200)));
        client.call(1, "get_vcenter_info", &json!({}));
        thread::sleep(Duration::from_millis(pause));
        client.signal("TERM");
        assert!(ended(&mut client.process).success());
        lab.assert_no_session_is_left();
    }
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let lab = Lab::new();
    let mut client = Client::start(&mut lab.mcvsphere(&[]));
    client.call(1, "get_vcenter_info", &json!({}));
    client.answer();
    // The logout takes longer than anybody waits.
    lab.sim.trouble(Trouble::none().latency(Duration::from_secs(30)));
    client.signal("INT");
    thread::sleep(Duration::from_millis(100));
    client.signal("INT");
    let began = Instant::now();
    assert_eq!(ended(&mut client.process).code(), Some(130));
    assert!(began.elapsed() < Duration::from_millis(700));
}

#[test]
fn a_server_that_hangs_at_the_logout_does_not_hold_up_the_end() {
    let lab = Lab::new();
    let mut client = Client::start(&mut lab.mcvsphere(&[]));
    client.call(1, "get_vcenter_info", &json!({}));
    client.answer();
    lab.sim.trouble(Trouble::none().latency(Duration::from_secs(30)));
    client.call(2, "list_vms", &json!({}));
    client.leave();
}

#[test]
fn a_client_that_is_killed_in_the_middle_of_calls_leaves_no_session() {
    let lab = Lab::new();
    let mut client = Client::start(&mut lab.mcvsphere(&[]));
    client.call(0, "get_vcenter_info", &json!({}));
    client.answer();
    lab.slow_down();
    for id in 1..50 {
        client.call(id, "list_vms", &json!({}));
    }
    // Both pipes are closed, as when a process ends.
    drop(client.answers);
    drop(client.input.take());
    assert!(ended(&mut client.process).success());
    lab.assert_no_session_is_left();
}

#[test]
fn calls_that_run_when_the_client_closes_its_side_are_answered() {
    let lab = Lab::new();
    let mut client = Client::start(&mut lab.mcvsphere(&[]));
    client.call(0, "get_vcenter_info", &json!({}));
    client.answer();
    for id in 1..=5 {
        client.call(id, "get_vcenter_info", &json!({}));
    }
    drop(client.input.take());
    assert!(ended(&mut client.process).success());
    assert_eq!(client.answers.iter().filter(|answer| answer["result"]["isError"] != true).count(), 5);
    lab.assert_no_session_is_left();
}

#[test]
fn a_server_whose_answers_nobody_takes_ends() {
    let lab = Lab::new();
    let mut process = lab.mcvsphere(&[]).spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" }
    } });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "get_vcenter_info" } });
    write!(input, "{initialize}\n{call}\n").unwrap();
    for _ in 0..2 {
        output.read_line(&mut String::new()).unwrap();
    }
    assert_eq!(lab.sim.sessions(), 1);
    drop(output);
    writeln!(input, "{}", json!({ "jsonrpc": "2.0", "id": 2, "method": "ping" })).unwrap();
    ended(&mut process);
    lab.assert_no_session_is_left();
}

#[test]
fn a_signal_ends_a_command_and_its_session() {
    for arguments in [&["tools", "call", "list_vms"][..], &["doctor"]] {
        for (name, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
            let lab = Lab::new();
            lab.slow_down();
            let mut process = lab.mcvsphere(arguments).spawn().unwrap();
            lab.await_session();
            signal(&process, name);
            assert_eq!(ended(&mut process).code(), Some(code), "{arguments:?} {name}");
            lab.assert_no_session_is_left();
        }
    }
}

#[test]
fn a_command_ends_and_logs_out_whatever_becomes_of_its_output() {
    for arguments in
        [&["tools", "call", "list_vms"][..], &["tools", "call", "get_vm_info", "vm=no-such-vm"], &["doctor"]]
    {
        let lab = Lab::new();
        let mut gone = lab.mcvsphere(arguments).stdout(closed()).stderr(closed()).spawn().unwrap();
        assert!(finished(&mut gone).signal().is_none(), "{arguments:?}");
        lab.assert_no_session_is_left();
        #[cfg(target_os = "linux")]
        {
            let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
            let mut full = lab.mcvsphere(arguments).stdout(full()).stderr(full()).spawn().unwrap();
            assert_eq!(finished(&mut full).code(), Some(1), "{arguments:?}");
            lab.assert_no_session_is_left();
        }
    }
}

#[test]
fn a_command_whose_output_nobody_reads_ends_at_a_signal() {
    let lab = Lab::new();
    // More than a pipe holds.
    let (reader, writer) = std::io::pipe().unwrap();
    (&writer).write_all(&vec![b'x'; 65536]).unwrap();
    let mut process = lab.mcvsphere(&["tools", "call", "list_vms"]).stdout(writer).spawn().unwrap();
    lab.await_session();
    thread::sleep(Duration::from_millis(500));
    assert!(process.try_wait().unwrap().is_none());
    signal(&process, "TERM");
    assert_eq!(ended(&mut process).code(), Some(143));
    lab.assert_no_session_is_left();
    drop(reader);
}

/// Waits for the process to end by itself.
fn finished(process: &mut Child) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > PATIENCE {
            process.kill().unwrap();
            panic!("the process does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_server_of_the_demo_ends_with_the_demo() {
    for name in ["KILL", "TERM", "HUP"] {
        let lab = Lab::new();
        let mut demo = lab.mcvsphere(&["demo"]).spawn().unwrap();
        let mut output = BufReader::new(demo.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();
        // Each thread has children of its own.
        let tasks = std::fs::read_dir(format!("/proc/{}/task", demo.id())).unwrap();
        let children =
            tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default());
        let child = children.collect::<String>().trim().to_owned();
        assert!(!child.is_empty(), "the demo has no server");
        signal(&demo, name);
        ended(&mut demo);
        let began = Instant::now();
        let runs = || std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        while runs() {
            assert!(began.elapsed() < SOON + Duration::from_millis(500), "{name}: the server runs on");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn the_demo_ends_when_nobody_reads_it() {
    let lab = Lab::new();
    let mut demo = lab.mcvsphere(&["demo"]).stdout(closed()).stderr(closed()).spawn().unwrap();
    assert!(finished(&mut demo).success());
}

#[test]
fn edges_of_the_protocol_are_answered_and_do_not_end_the_server() {
    let lab = Lab::new();
    let mut process = lab.mcvsphere(&["--sim=empty"]).spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    let answers = read(process.stdout.take().unwrap());
    let mut ask = |text: &[u8]| {
        input.write_all(text).unwrap();
        answers.recv_timeout(PATIENCE).unwrap()
    };
    // Before the handshake.
    let early = b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}\n";
    assert_eq!(ask(early)["error"]["code"], -32602);
    assert_eq!(ask(b"\xEF\xBB\xBF{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}\r\n\r\n")["result"], json!({}));
    let initialize = json!({ "jsonrpc": "2.0", "id": 3, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" }
    } });
    assert_eq!(ask(format!("{initialize}\n").as_bytes())["id"], 3);
    // After it.
    for (text, id, code) in [
        ("{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"no/such\"}\n", json!(4), -32601),
        ("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{\"arguments\":{}}}\n", json!(5), -32602),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"tools/call\",\"params\":{\"name\":\"x\\ud800\"}}\n",
            json!(6),
            -32700,
        ),
        ("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}\n", json!(null), -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}\n", json!(1.5), -32600),
        ("[{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}]\n", json!(7), -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"no/such\"}\n", json!(8), -32601),
    ] {
        let answer = ask(text.as_bytes());
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{text}: {answer}");
    }
    let text = "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/call\",\"params\":{\"name\":\"list_vms\",\"arguments\":\"{\\\"limit\\\":5}\"}}\n";
    assert_eq!(ask(text.as_bytes())["result"]["structuredContent"]["total"], 0);
    let mut long = b"{\"jsonrpc\":\"2.0\",\"id\":10,\"method\":\"tools/call\",\"params\":{\"name\":\"".to_vec();
    long.resize(50 << 20, b'x');
    long.extend_from_slice(b"\"}}\n");
    let answer = ask(&long);
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(10), &json!(-32600)));
    // The last line has no newline.
    input.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":11,\"method\":\"ping\"}").unwrap();
    drop(input);
    assert_eq!(answers.recv_timeout(PATIENCE).unwrap()["id"], 11);
    assert!(ended(&mut process).success());
}

#[test]
fn a_change_is_on_the_disk_before_it_is_made() {
    let lab = Lab::new();
    let file = std::env::temp_dir().join(format!("mcvsphere-process-{}.jsonl", std::process::id()));
    let mut client = Client::start(lab.mcvsphere(&["--yes"]).env("MCP_AUDIT_FILE", &file));
    client.call(1, "power_off_vm", &json!({ "vm": "DC0_C0_VM0", "confirm": "rs1.some-token" }));
    client.answer();
    client.call(2, "get_vcenter_info", &json!({}));
    client.answer();
    assert!(client.leave().success());
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> =
        lines.iter().map(|line| (line["event"].as_str().unwrap(), line["tool"].as_str().unwrap())).collect();
    assert_eq!(told, [("begin", "power_off_vm"), ("end", "power_off_vm"), ("end", "get_vcenter_info")]);
    assert_eq!(lines[0]["call"], lines[1]["call"]);
    assert_eq!((&lines[2]["outcome"], &lines[0]["outcome"]), (&json!("ok"), &Value::Null));
    assert!(!text.contains("some-token"), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn no_change_is_made_whose_audit_line_cannot_be_written() {
    let lab = Lab::new();
    let mut client = Client::start(lab.mcvsphere(&["--yes"]).env("MCP_AUDIT_FILE", "/dev/full"));
    client.call(1, "power_off_vm", &json!({ "vm": "DC0_C0_VM0" }));
    let answer = client.answer();
    assert_eq!(answer["result"]["structuredContent"]["code"], "audit", "{answer}");
    client.call(2, "get_vcenter_info", &json!({}));
    assert_ne!(client.answer()["result"]["isError"], true);
    assert_eq!(lab.sim.calls("PowerOffVM_Task"), 0);
    assert!(client.leave().success());

    let mut never = lab.mcvsphere(&["tools", "list"]);
    let output = never.env("MCP_AUDIT_FILE", "/no/such/folder/file").stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("MCP_AUDIT_FILE"));
}

/// Writes a package whose disk takes longer to send than any test does: what is in it takes no space here.
fn endless_package(folder: &Path) {
    const SIZE: u64 = 64 << 30;
    let template = include_str!("../../examples/src/one_disk.ovf");
    let descriptor = template.replace("{file}", "endless.vmdk").replace("{bytes}", &SIZE.to_string());
    std::fs::write(folder.join("endless.ovf"), descriptor).unwrap();
    let mut head = [0; 512];
    head[..9].copy_from_slice(b"KDMV\x03\0\0\0\x01");
    (head[10], head[14], head[77]) = (3, 32, 1);
    let mut file = File::create(folder.join("endless.vmdk")).unwrap();
    file.write_all(&head).unwrap();
    file.set_len(SIZE).unwrap();
}

#[test]
fn a_deployment_whose_process_is_killed_ends_at_the_time_out_of_its_lease() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("endless-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    endless_package(&folder);
    let size = Size { vms: 0, hosts: 1, datacenters: 1, clusters: 1, datastores: 1 };
    let lab = Lab::of(Model::sized(size).lease_timeout(Duration::from_secs(2)));
    let witness = lab.client();
    let is_there = || lab.runtime.block_on(witness.get::<VirtualMachine>("endless")).is_ok();
    let mut client = Client::start(lab.mcvsphere(&["--yes"]).env("MCP_FILES", &folder));
    client.call(1, "deploy_ovf", &json!({ "source": "endless.ovf", "vm_name": "endless" }));
    // It goes on for longer than the time-out: the lease is kept alive.
    eventually(|| lab.sim.calls("HttpNfcLeaseProgress") > 5);
    assert!(is_there());
    client.signal("KILL");
    client.process.wait().unwrap();
    eventually(|| !is_there());
    assert_eq!((lab.sim.calls("HttpNfcLeaseAbort"), lab.sim.calls("HttpNfcLeaseComplete")), (0, 0));
    std::fs::remove_dir_all(&folder).unwrap();
}
