//! Two processes of one server behind a proxy that leads each connection to the next of them.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use vsphere_sim::{Model, Size};

use super::{Ask, Site, fastrand, wire};
use crate::{
    lab::{Lab, is_on},
    settings_with,
};

const KEY: (&str, &str) = ("MCP_SIGNING_KEY", "a key that both processes have");

/// A proxy before these servers, in turn.
struct RoundRobin {
    address: SocketAddr,
    led: std::sync::Arc<[AtomicUsize; 2]>,
    task: JoinHandle<()>,
}

impl RoundRobin {
    async fn new(servers: [&Site; 2]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let servers = servers.map(|site| site.address);
        let led = std::sync::Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let counted = std::sync::Arc::clone(&led);
        let task = tokio::spawn(async move {
            for at in (0..2).cycle() {
                let (mut client, _) = listener.accept().await.unwrap();
                counted[at].fetch_add(1, Ordering::Relaxed);
                let mut server = TcpStream::connect(servers[at]).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
            }
        });
        Self { address, led, task }
    }

    fn ask<'a>(&self) -> Ask<'a> {
        Ask::to(self.address).bearer("mcv_full_admin")
    }

    fn led(&self) -> [usize; 2] {
        [0, 1].map(|at| self.led[at].load(Ordering::Relaxed))
    }
}

impl Drop for RoundRobin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A folder for claims, which is removed with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("claims-{}-{}", std::process::id(), fastrand());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn setting(&self) -> (&str, &str) {
        ("MCP_CLAIMS", self.0.to_str().unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a tool answers, by a client without a session.
async fn called(ask: Ask<'_>, tool: &str, arguments: Value) -> Value {
    let reply = ask.stateless("tools/call", json!({ "name": tool, "arguments": arguments })).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let mut message = reply.message();
    let mut result = message["result"].take();
    let text = result["content"][0]["text"].take();
    let mut content = result["structuredContent"].take();
    content["text"] = text;
    content
}

async fn at(site: &Site, tool: &str, arguments: Value) -> Value {
    called(site.ask("mcv_full_admin"), tool, arguments).await
}

async fn plan(site: &Site, tool: &str, vm: &str) -> String {
    let plan = at(site, tool, json!({ "vm": vm })).await;
    plan["plan_token"].as_str().unwrap_or_else(|| panic!("{plan}")).to_owned()
}

async fn confirmed(site: &Site, tool: &str, vm: &str, token: &str) -> Value {
    at(site, tool, json!({ "vm": vm, "confirm": token })).await
}

fn done(answer: &Value) -> bool {
    answer["results"][0]["changed"] == true
}

#[tokio::test]
async fn a_client_without_a_session_is_served_by_whichever_it_meets() {
    let lab = Lab::of(Model::sized(Size { vms: 9, hosts: 1, datacenters: 1, clusters: 1, datastores: 1 })).await;
    let folder = Folder::new();
    let (one, other) =
        (Site::new(&lab, &[KEY, folder.setting()]).await, Site::new(&lab, &[KEY, folder.setting()]).await);
    let proxy = RoundRobin::new([&one, &other]).await;
    let mut lists = Vec::new();
    for _ in 0..2 {
        lists.push(proxy.ask().stateless("tools/list", json!({})).await.message()["result"].take());
    }
    assert_eq!(lists[0], lists[1]);

    let mut names = Vec::new();
    let mut arguments = json!({ "limit": 2 });
    loop {
        let page = called(proxy.ask(), "list_vms", arguments.clone()).await;
        names.extend(page["items"].as_array().unwrap().iter().map(|vm| vm["name"].as_str().unwrap().to_owned()));
        match page.get("next_cursor") {
            Some(cursor) if !cursor.is_null() => arguments["cursor"] = cursor.clone(),
            _ => break,
        }
    }
    assert_eq!(names.len(), 9);
    names.dedup();
    assert_eq!(names.len(), 9, "{names:?}");

    // The question is asked by one, and its answer comes to the other.
    let vm = names[0].as_str();
    let asked = called(proxy.ask(), "power_off_vm", json!({ "vm": vm })).await;
    let token = asked["plan_token"].as_str().unwrap();
    let answer = called(proxy.ask(), "power_off_vm", json!({ "vm": vm, "confirm": token })).await;
    assert!(done(&answer), "{answer}");
    let [first, second] = proxy.led();
    assert!(first.abs_diff(second) <= 1 && first + second == 2 + 5 + 2, "{first} {second}");
}

#[tokio::test]
async fn a_token_that_was_used_in_another_process_is_not_used_again_and_says_so() {
    let lab = Lab::new().await;
    let machine = lab.running("web-1").await;
    let folder = Folder::new();
    let (one, other) =
        (Site::new(&lab, &[KEY, folder.setting()]).await, Site::new(&lab, &[KEY, folder.setting()]).await);
    let token = plan(&one, "power_off_vm", "web-1").await;
    let answer = confirmed(&other, "power_off_vm", "web-1", &token).await;
    assert!(done(&answer), "{answer}");
    assert!(!is_on(&machine).await);
    machine.power_on().await.unwrap().await.unwrap();

    // Where it was used its outcome is known, elsewhere only that it was.
    let again = confirmed(&other, "power_off_vm", "web-1", &token).await;
    assert_eq!(again["replayed"], true, "{again}");
    let elsewhere = confirmed(&one, "power_off_vm", "web-1", &token).await;
    assert_eq!(elsewhere["code"], "conflict", "{elsewhere}");
    let message = elsewhere["message"].as_str().unwrap();
    assert!(message.contains("in another process") && message.contains("look at the present state first"), "{message}");
    assert!(is_on(&machine).await);

    // Nobody else's, and for nothing else.
    let token = plan(&one, "power_off_vm", "web-1").await;
    let john = other.ask("mcv_john");
    let foreign = called(john, "power_off_vm", json!({ "vm": "web-1", "confirm": token })).await;
    assert_eq!(
        (&foreign["void"]["code"], &foreign["confirmation_required"]),
        (&json!("foreign"), &json!(true)),
        "{foreign}"
    );
    let reset = confirmed(&other, "reset_vm", "web-1", &token).await;
    assert_eq!(reset["void"]["code"], "other_call", "{reset}");
    assert!(is_on(&machine).await);
    assert!(done(&confirmed(&other, "power_off_vm", "web-1", &token).await));
}

/// Asks both with one token at the same moment, often: one of them does it.
async fn race(lab: &Lab, one: &Site, other: &Site, times: usize) {
    lab.running("race").await;
    for round in 0..times {
        let token = plan(if round % 2 == 0 { one } else { other }, "reset_vm", "race").await;
        let (a, b) =
            tokio::join!(confirmed(one, "reset_vm", "race", &token), confirmed(other, "reset_vm", "race", &token));
        assert_eq!([&a, &b].into_iter().filter(|answer| done(answer)).count(), 1, "round {round}: {a}\n{b}");
        let refused = if done(&a) { &b } else { &a };
        // It came too late for the claim, or saw what the other has done.
        let why = (&refused["code"], &refused["void"]["code"]);
        assert!(why.0 == "conflict" || why.1 == "changed", "round {round}: {refused}");
    }
}

#[tokio::test]
async fn of_two_processes_that_are_asked_at_the_same_moment_one_does_it() {
    let lab = Lab::new().await;
    let folder = Folder::new();
    let (one, other) =
        (Site::new(&lab, &[KEY, folder.setting()]).await, Site::new(&lab, &[KEY, folder.setting()]).await);
    race(&lab, &one, &other, 100).await;
    let claims = std::fs::read_dir(&folder.0).unwrap();
    let texts: Vec<String> = claims.map(|claim| std::fs::read_to_string(claim.unwrap().path()).unwrap()).collect();
    assert_eq!(texts.len(), 100);
    assert!(texts.iter().all(|text| !text.contains("full_admin") && !text.contains("race")), "{texts:?}");
}

#[tokio::test]
async fn without_a_store_the_other_process_asks_again() {
    let lab = Lab::new().await;
    let machine = lab.running("web-1").await;
    let (one, other) = (Site::new(&lab, &[KEY]).await, Site::new(&lab, &[KEY]).await);
    let token = plan(&one, "power_off_vm", "web-1").await;
    let asked = confirmed(&other, "power_off_vm", "web-1", &token).await;
    assert_eq!(
        (&asked["void"]["code"], &asked["confirmation_required"]),
        (&json!("elsewhere"), &json!(true)),
        "{asked}"
    );
    assert!(asked["text"].as_str().unwrap().contains("MCP_CLAIMS"), "{asked}");
    assert!(is_on(&machine).await);
    // The token of its own is good there, and that of the first where it was made.
    let own = asked["plan_token"].as_str().unwrap();
    assert!(done(&confirmed(&other, "power_off_vm", "web-1", own).await));
    assert!(!is_on(&machine).await);
    let token = plan(&one, "delete_vm", "web-1").await;
    assert_ne!(confirmed(&one, "delete_vm", "web-1", &token).await["confirmation_required"], true);

    // Without the key, or with another, nothing of one is read by the other.
    let (alone, another) =
        (Site::new(&lab, &[]).await, Site::new(&lab, &[("MCP_SIGNING_KEY", "another key of another server")]).await);
    lab.running("web-2").await;
    let token = plan(&one, "power_off_vm", "web-2").await;
    for site in [&alone, &another] {
        assert_eq!(confirmed(site, "power_off_vm", "web-2", &token).await["void"]["code"], "unknown");
    }
}

#[tokio::test]
async fn a_store_that_fails_refuses_the_change_and_nothing_is_done() {
    let lab = Lab::new().await;
    let machine = lab.running("web-1").await;
    let folder = Folder::new();
    let site = Site::new(&lab, &[KEY, folder.setting()]).await;
    let token = plan(&site, "power_off_vm", "web-1").await;
    std::fs::remove_dir_all(&folder.0).unwrap();
    for _ in 0..2 {
        let refused = confirmed(&site, "power_off_vm", "web-1", &token).await;
        assert_eq!(refused["code"], "connection", "{refused}");
        let message = refused["message"].as_str().unwrap();
        assert!(
            message.contains("can't be recorded (MCP_CLAIMS)") && message.contains("nothing was done"),
            "{message}"
        );
        assert!(is_on(&machine).await);
    }
    // What loses nothing needs no claim, and once the volume is there again the same token is good.
    assert_eq!(at(&site, "power_on_vm", json!({ "vm": "web-1" })).await["failed"], 0);
    std::fs::create_dir(&folder.0).unwrap();
    assert!(done(&confirmed(&site, "power_off_vm", "web-1", &token).await));
    assert!(!is_on(&machine).await);
}

#[tokio::test]
async fn what_belongs_to_one_process_says_so_in_another() {
    let lab = Lab::new().await;
    let folder = Folder::new();
    let (one, other) =
        (Site::new(&lab, &[KEY, folder.setting()]).await, Site::new(&lab, &[KEY, folder.setting()]).await);
    let lost = at(&other, "wait_task", json!({ "task": "job-0000abcd-1" })).await;
    assert_eq!(lost["code"], "lost", "{lost}");
    assert!(lost["message"].as_str().unwrap().contains("another process"), "{lost}");
    let session = one.session("mcv_full_admin").await;
    let list = wire::request("tools/list", json!({}));
    let there = other.ask("mcv_full_admin").header("mcp-session-id", &session).json(&list).await;
    // By which a client knows that it has to begin anew.
    assert_eq!(there.status, 404, "{there:?}");
}

#[test]
fn a_server_with_settings_that_share_nothing_does_not_start() {
    let error = |environment: &[(&str, &str)]| {
        mcvsphere_mcp::Server::new(&settings_with(environment)).err().unwrap().to_string()
    };
    let folder = Folder::new();
    assert!(error(&[folder.setting()]).starts_with("MCP_SIGNING_KEY is not set"));
    assert!(error(&[("MCP_SIGNING_KEY", "hunter2")]).starts_with("MCP_SIGNING_KEY has fewer than 24 characters"));
    let proc = ("MCP_CLAIMS", "/proc");
    if Path::new(proc.1).is_dir() {
        assert!(error(&[KEY, proc]).starts_with("MCP_CLAIMS can't be used: /proc"));
    }
}

/// A Redis of Debian, with a password.
struct Redis {
    port: u16,
    child: Option<Child>,
    folder: Folder,
}

const PASSWORD: &str = "hunter2 @/:";

impl Redis {
    async fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let mut redis = Self { port, child: None, folder: Folder::new() };
        redis.start().await;
        redis
    }

    async fn start(&mut self) {
        let mut command = Command::new(std::env::var_os("PEERS_REDIS").unwrap_or_else(|| "redis-server".into()));
        command.args(["--bind", "127.0.0.1", "--requirepass", PASSWORD, "--appendonly", "yes", "--save", ""]);
        command.args(["--port", &self.port.to_string(), "--dir"]).arg(&self.folder.0);
        self.child = Some(command.stdout(Stdio::null()).spawn().unwrap());
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

#[tokio::test]
#[ignore = "needs a Redis: `cargo xtask peers` installs and names it"]
async fn peers_redis_holds_the_claims_of_two_processes() {
    let lab = Lab::new().await;
    let mut redis = Redis::new().await;
    let url = format!("redis://127.0.0.1:{}/3", redis.port);
    let settings = [KEY, ("MCP_CLAIMS", &url), ("MCP_CLAIMS_PASSWORD", PASSWORD)];
    let (one, other) = (Site::new(&lab, &settings).await, Site::new(&lab, &settings).await);
    race(&lab, &one, &other, 100).await;

    let machine = lab.running("web-1").await;
    let used = plan(&one, "power_off_vm", "web-1").await;
    assert!(done(&confirmed(&one, "power_off_vm", "web-1", &used).await));
    machine.power_on().await.unwrap().await.unwrap();
    assert_eq!(confirmed(&other, "power_off_vm", "web-1", &used).await["code"], "conflict");

    // Gone, and back with what it knew.
    let token = plan(&one, "power_off_vm", "web-1").await;
    redis.stop();
    let refused = confirmed(&other, "power_off_vm", "web-1", &token).await;
    assert_eq!(refused["code"], "connection", "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("nothing was done"), "{refused}");
    assert!(is_on(&machine).await);
    redis.start().await;
    assert_eq!(confirmed(&other, "power_off_vm", "web-1", &used).await["code"], "conflict");
    assert!(done(&confirmed(&other, "power_off_vm", "web-1", &token).await));
    assert!(!is_on(&machine).await);

    // A wrong password grants nothing, and is not told.
    let wrong = [KEY, ("MCP_CLAIMS", &url), ("MCP_CLAIMS_PASSWORD", "hunter3")];
    let site = Site::new(&lab, &wrong).await;
    machine.power_on().await.unwrap().await.unwrap();
    let token = plan(&site, "power_off_vm", "web-1").await;
    let refused = confirmed(&site, "power_off_vm", "web-1", &token).await;
    assert_eq!(refused["code"], "connection", "{refused}");
    assert!(!refused.to_string().contains("hunter"), "{refused}");
    assert!(is_on(&machine).await);
}
