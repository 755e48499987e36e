//! The tools that work inside guests.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};
use vsphere_sim::Model;

use crate::{
    confirm::older,
    lab::Lab,
    power::{assistant, bad, good, set_option},
};

/// The arguments of a call as the administrator of a guest.
fn as_root(vm: &str, more: Value) -> Value {
    let mut arguments = json!({ "vm": vm, "username": Model::LINUX_USER, "password": Model::GUEST_PASSWORD });
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    arguments
}

#[tokio::test]
async fn a_command_answers_its_output_and_its_exit_code() {
    let lab = Lab::new().await;
    lab.running("web-1").await;
    let client = assistant(&lab).await;
    let line =
        json!({ "command": "echo $A; echo bad >&2; exit 3", "environment": ["A=it's"], "working_directory": "/tmp" });
    let ran = good(&client, "run_command_in_guest", as_root("web-1", line)).await;
    assert_eq!(
        (&ran["vm"], &ran["completed"], &ran["exit_code"]),
        (&json!("web-1"), &json!(true), &json!(3)),
        "{ran:#}"
    );
    assert_eq!(ran["stdout"]["text"], json!({ "untrusted": "it's\n" }));
    assert_eq!(ran["stderr"]["text"], json!({ "untrusted": "bad\n" }));
    assert!(ran["pid"].as_i64().unwrap() > 0 && ran["end"] == "exited");
    // With arguments no shell is between.
    let program = json!({ "command": "/bin/echo", "arguments": ["$HOME", "a;b"] });
    let ran = good(&client, "run_command_in_guest", as_root("web-1", program)).await;
    assert_eq!(ran["stdout"]["text"]["untrusted"], "$HOME a;b\n");
    // Cut with a note, and base64 where it is no text.
    let long = json!({ "command": "head -c 100000 /dev/zero", "max_output_bytes": 1000 });
    let ran = good(&client, "run_command_in_guest", as_root("web-1", long)).await;
    assert_eq!(
        (&ran["stdout"]["size_bytes"], &ran["stdout"]["note"]),
        (&json!(100_000), &json!("only the first 1000 bytes are shown"))
    );
    let binary = json!({ "command": "printf '\\377'" });
    let ran = good(&client, "run_command_in_guest", as_root("web-1", binary)).await;
    assert_eq!(ran["stdout"]["base64"], "/w==");
}

#[tokio::test]
async fn a_command_out_of_time_or_not_waited_for_runs_on() {
    let lab = Lab::new().await;
    lab.running("web-1").await;
    let client = assistant(&lab).await;
    let line = json!({ "command": "sleep 600", "timeout_seconds": 1 });
    let ran = good(&client, "run_command_in_guest", as_root("web-1", line)).await;
    assert_eq!((&ran["completed"], &ran["end"]), (&json!(false), &json!("timed_out")), "{ran:#}");
    assert!(ran["note"].as_str().unwrap().contains(&ran["pid"].to_string()), "{ran:#}");
    let line = json!({ "command": "sleep 600", "wait_for_completion": false });
    let started = good(&client, "run_command_in_guest", as_root("web-1", line)).await;
    let processes = json!({ "filter": "sh", "fields": ["pid", "command"] });
    let processes = good(&client, "list_guest_processes", as_root("web-1", processes)).await;
    assert_eq!(processes["total"], 2, "{processes:#}");
    assert_eq!(processes["items"][1]["pid"], started["pid"]);
}

#[tokio::test]
async fn files_are_written_listed_read_and_deleted() {
    let lab = Lab::new().await;
    lab.running("web-1").await;
    let client = assistant(&lab).await;
    let made = json!({ "guest_path": "/srv/app/data" });
    assert_eq!(good(&client, "create_guest_directory", as_root("web-1", made.clone())).await["changed"], true);
    assert_eq!(good(&client, "create_guest_directory", as_root("web-1", made)).await["changed"], false);
    let write = json!({ "guest_path": "/srv/app/data/a.txt", "content": "größe", "permissions": "0600" });
    let written = good(&client, "write_guest_file", as_root("web-1", write)).await;
    assert_eq!(
        (&written["size"], &written["replaced"], &written["permissions"]),
        (&json!(7), &json!(false), &json!("0600"))
    );
    let read = json!({ "guest_path": "/srv/app/data/a.txt" });
    let content = good(&client, "read_guest_file", as_root("web-1", read.clone())).await;
    assert_eq!((&content["encoding"], &content["content"]), (&json!("utf-8"), &json!({ "untrusted": "größe" })));
    let write = json!({ "guest_path": "/srv/app/data/a.txt", "content": "/w==", "encoding": "base64" });
    let written = good(&client, "write_guest_file", as_root("web-1", write)).await;
    assert_eq!(
        (&written["replaced"], &written["permissions"], &written["owner_kept"]),
        (&json!(true), &json!("0600"), &json!(true))
    );
    let content = good(&client, "read_guest_file", as_root("web-1", read)).await;
    assert_eq!((&content["encoding"], &content["content"]["untrusted"]), (&json!("base64"), &json!("/w==")));
    let empty = json!({ "guest_path": "/srv/app/data/empty", "content": "" });
    assert_eq!(good(&client, "write_guest_file", as_root("web-1", empty)).await["size"], 0);
    let list = json!({ "guest_path": "/srv/app/data", "filter": "*.txt" });
    let listed = good(&client, "list_guest_directory", as_root("web-1", list)).await;
    let file = &listed["items"][0];
    assert_eq!(
        (&file["name"], &file["type"], &file["size"]),
        (&json!({ "untrusted": "a.txt" }), &json!("file"), &json!(1))
    );
    let full = bad(&client, "delete_guest_file", as_root("web-1", json!({ "guest_path": "/srv/app" }))).await;
    assert!(full["message"].as_str().unwrap().contains("`recursive`"), "{full}");
    let gone = json!({ "guest_path": "/srv/app", "recursive": true });
    assert_eq!(good(&client, "delete_guest_file", as_root("web-1", gone.clone())).await["changed"], true);
    assert_eq!(good(&client, "delete_guest_file", as_root("web-1", gone)).await["changed"], false);
    for wrong in [
        json!({ "guest_path": "/srv/x", "content": "?", "encoding": "base64" }),
        json!({ "guest_path": "/srv/x", "content": "x", "permissions": "rw" }),
    ] {
        assert_eq!(bad(&client, "write_guest_file", as_root("web-1", wrong)).await["code"], "invalid_argument");
    }
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let lab = Lab::new().await;
    let machine = lab.running("web-1").await;
    lab.machine("off-1").await;
    let client = assistant(&lab).await;
    let list =
        |vm: &str, password: &str| json!({ "vm": vm, "username": "root", "password": password, "guest_path": "/etc" });
    let error = bad(&client, "list_guest_directory", list("web-1", "hunter2")).await;
    assert_eq!(error["code"], "auth", "{error}");
    assert!(error["message"].as_str().unwrap().contains("check user name and password"), "{error}");
    assert!(!error.to_string().contains("hunter2"));
    let error = bad(&client, "list_guest_directory", list("off-1", "x")).await;
    assert!(error["message"].as_str().unwrap().contains("power_on_vm starts it"), "{error}");
    let missing = bad(&client, "read_guest_file", as_root("web-1", json!({ "guest_path": "/none" }))).await;
    assert_eq!(missing["code"], "not_found");
    assert!(missing["message"].as_str().unwrap().contains("list_guest_directory"), "{missing}");
    let link = bad(&client, "read_guest_file", as_root("web-1", json!({ "guest_path": "/bin" }))).await;
    assert!(link["message"].as_str().unwrap().contains("name the file that it leads to"), "{link}");
    let kernel = bad(&client, "read_guest_file", as_root("web-1", json!({ "guest_path": "/proc/meminfo" }))).await;
    assert!(kernel["message"].as_str().unwrap().contains("run_command_in_guest"), "{kernel}");
    set_option(&machine, "guestinfo.sim.transfer_host", "127.0.0.1:1").await;
    let error = bad(&client, "read_guest_file", as_root("web-1", json!({ "guest_path": "/etc/hosts" }))).await;
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("127.0.0.1:1") && message.contains("must reach it"), "{message}");
    set_option(&machine, "guestinfo.sim.guestops", "disabled").await;
    let error = bad(&client, "list_guest_directory", list("web-1", Model::GUEST_PASSWORD)).await;
    assert_eq!(error["code"], "unsupported");
    assert!(error["message"].as_str().unwrap().contains("tools.conf"), "{error}");
}

#[tokio::test]
async fn a_command_asks_and_shows_it_and_the_guest_is_not_entered_before() {
    let lab = Lab::new().await;
    lab.running("web-1").await;
    let client = older(lab.server(&[]), ()).await;
    let line = as_root("web-1", json!({ "command": "rm -rf /srv/data" }));
    let plan = good(&client, "run_command_in_guest", line.clone()).await;
    let shown = plan.to_string();
    assert!(shown.contains("rm -rf /srv/data") && shown.contains("root") && shown.contains("web-1"), "{shown}");
    assert!(!shown.contains(Model::GUEST_PASSWORD), "{shown}");
    for method in ["ValidateCredentialsInGuest", "ListFilesInGuest", "StartProgramInGuest"] {
        assert_eq!(lab.sim.calls(method), 0, "{method}");
    }
    let mut confirmed = line;
    confirmed["confirm"] = plan["plan_token"].clone();
    assert_eq!(good(&client, "run_command_in_guest", confirmed).await["exit_code"], 0);
    // What may replace nothing does not ask.
    let write = json!({ "guest_path": "/srv/new", "content": "x", "overwrite": false });
    assert_eq!(good(&client, "write_guest_file", as_root("web-1", write)).await["size"], 1);
    let write = json!({ "guest_path": "/srv/new", "content": "y" });
    assert!(good(&client, "write_guest_file", as_root("web-1", write)).await["plan_token"].is_string());
    let delete = json!({ "guest_path": "/srv/new" });
    assert!(good(&client, "delete_guest_file", as_root("web-1", delete)).await["plan_token"].is_string());
}

/// A file of settings that goes with the test.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_stored_credential_is_sent_to_its_vms_alone() {
    let lab = Lab::new().await;
    lab.running("web-1").await;
    lab.running("db-1").await;
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("guests-{}.yaml", std::process::id()));
    let text = format!(
        "guest_credentials:\n  web:\n    user: {}\n    password: {}\n    vms: [\"/DC0/vm/web-*\"]\n  other:\n    user: root\n    \
         password: hunter2\n    vms: [/DC0/vm/none]\n",
        Model::LINUX_USER,
        Model::GUEST_PASSWORD
    );
    std::fs::write(&path, text).unwrap();
    let file = File(path);
    let settings = [("MCP_CONFIRM", "never"), ("MCVSPHERE_CONFIG", file.0.to_str().unwrap())];
    let client = older(lab.server(&settings), ()).await;
    let read = |vm: &str, more: Value| {
        let mut arguments = json!({ "vm": vm, "guest_path": "/etc/hostname" });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    };
    let content = good(&client, "read_guest_file", read("web-1", json!({ "guest": "web" }))).await;
    assert_eq!(content["content"]["untrusted"], "web-1\n");
    let asked = lab.sim.calls("InitiateFileTransferFromGuest");
    for (vm, login, code, part) in [
        ("db-1", json!({ "guest": "web" }), "permission", "none is stored for this VM"),
        ("web-1", json!({ "guest": "other" }), "permission", "`guest` may be \"web\""),
        ("web-1", json!({ "guest": "none" }), "permission", "`guest` may be \"web\""),
        ("web-1", json!({}), "invalid_argument", "`guest` may be \"web\""),
        ("web-1", json!({ "username": "root" }), "invalid_argument", "give either"),
        ("web-1", json!({ "guest": "web", "username": "root", "password": "x" }), "invalid_argument", "give either"),
    ] {
        let error = bad(&client, "read_guest_file", read(vm, login)).await;
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().unwrap().contains(part), "{error}");
        assert!(!error.to_string().contains(Model::GUEST_PASSWORD) && !error.to_string().contains("hunter2"));
    }
    assert_eq!(lab.sim.calls("InitiateFileTransferFromGuest"), asked, "nothing was sent");
}

#[tokio::test]
async fn a_command_line_and_its_secrets_are_not_logged() {
    let lab = Lab::new().await;
    lab.running("web-1").await;
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("guests-audit-{}.log", std::process::id()));
    let file = File(path);
    let settings = [("MCP_CONFIRM", "never"), ("MCP_AUDIT_FILE", file.0.to_str().unwrap())];
    let client = older(lab.server(&settings), ()).await;
    let line = json!({
        "command": "true && true && true && true && true && mysql -p'topsecret'",
        "environment": ["TOKEN=alsosecret"],
    });
    good(&client, "run_command_in_guest", as_root("web-1", line)).await;
    let write = json!({ "guest_path": "/srv/key", "content": "-----BEGIN KEY----- and then the key itself" });
    good(&client, "write_guest_file", as_root("web-1", write)).await;
    // How a call ended is written beside its answer.
    let mut audit = String::new();
    for _ in 0..1000 {
        audit = std::fs::read_to_string(&file.0).unwrap();
        if audit.lines().count() == 4 && audit.ends_with('\n') {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(audit.lines().count(), 4, "{audit}");
    for secret in [Model::GUEST_PASSWORD, "topsecret", "alsosecret", "the key itself"] {
        assert!(!audit.contains(secret), "{secret}: {audit}");
    }
}
