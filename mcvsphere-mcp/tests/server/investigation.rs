//! What ails one object, and who changed it, as a model sees it.

use std::{path::PathBuf, time::Duration};

use mcvsphere_mcp::{Caller, Permission, Server};
use rmcp::{RoleClient, ServiceExt, service::RunningService};
use serde_json::{Value, json};
use vsphere_sim::{Incident, Model, Size};

use crate::{
    connect,
    lab::Lab,
    monitoring::{bad, good},
};

const HOUR: Duration = Duration::from_secs(3600);

/// VM0 waits for CPUs that VM3 and VM6 take, and for a datastore.
fn ill() -> Model {
    let vm = |number: usize| format!("DC0_C0_VM{number}");
    let busy = |number| {
        [
            Incident::Sized { vm: vm(number), cpus: 64, memory_mb: 4096 },
            Incident::CpuLoad { vm: vm(number), percent: 100.0, since: HOUR },
        ]
    };
    let own = Incident::CpuLoad { vm: vm(0), percent: 60.0, since: 48 * HOUR };
    let slow =
        Incident::DatastoreSlow { datastore: "DC0_DS0".into(), delay: Duration::from_millis(70), since: 48 * HOUR };
    let old = Incident::Snapshot { vm: vm(0), name: "before".into(), age: 100 * HOUR, bytes: 1 << 30 };
    let all = busy(3).into_iter().chain(busy(6)).chain([own, slow, old, Incident::ToolsEnd { vm: vm(0) }]);
    all.fold(Model::sized(Size::default()), Model::incident)
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("investigation-{}-{name}", std::process::id()))
}

async fn client_of(server: &Server, caller: Caller) -> RunningService<RoleClient, ()> {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let server = server.clone();
    tokio::spawn(async move { server.serve(caller, theirs).await.unwrap().waiting().await });
    ().serve(ours).await.unwrap()
}

/// What each finding is, how much it matters, and the tool to go on with.
fn found(answer: &Value) -> Vec<(String, &str)> {
    let findings = answer["findings"].as_array().unwrap();
    let of = |finding: &Value| {
        let kind = finding["of"].as_str().or(finding["problem"].as_str());
        format!("{} {}", finding["severity"].as_str().unwrap(), kind.unwrap())
    };
    findings.iter().map(|finding| (of(finding), finding["tool"].as_str().unwrap_or("none"))).collect()
}

#[tokio::test]
async fn an_ill_vm_is_told_with_evidence_in_a_short_answer() {
    let lab = Lab::of(ill()).await;
    let client = connect(lab.server(&[])).await;
    let answer = good(&client, "investigate", json!({ "object": "DC0_C0_VM0" })).await;
    let told = found(&answer);
    for expected in [
        ("critical cpu_ready", "migrate_vm"),
        ("critical storage_latency", "storage_vmotion"),
        ("warning snapshot_old", "delete_snapshot"),
        ("notice tools_not_running", "get_vm_tools_status"),
    ] {
        assert!(told.contains(&(expected.0.to_owned(), expected.1)), "{expected:?}: {answer:#}");
    }
    let length = answer.to_string().len();
    assert!(length < 6 * 1024, "{length} bytes: {answer:#}");
    let ready = answer["findings"].as_array().unwrap().iter().find(|finding| finding["of"] == "cpu_ready").unwrap();
    let measured = &ready["measured"];
    assert_eq!(
        (&measured["counter"], &measured["unit"]),
        (&json!("cpu.ready.summation"), &json!("% of each vCPU's time"))
    );
    assert!(measured["average"].as_f64().unwrap() > 25.0 && ready["since"].is_string(), "{ready:#}");
    assert_eq!(ready["neighbours"].as_array().unwrap().len(), 3, "{ready:#}");

    let first = good(&client, "investigate", json!({ "object": "DC0_C0_VM0", "limit": 1, "timeline": 1 })).await;
    assert_eq!((found(&first).len(), &first["not_shown"]), (1, &json!(told.len() - 1)));
    assert!(first["timeline"].as_array().unwrap().len() <= 1);
    for object in ["DC0_C0_H0", "DC0_DS0", "DC0_C0"] {
        let answer = good(&client, "investigate", json!({ "object": object })).await;
        assert!(!found(&answer).is_empty(), "{object}: {answer:#}");
        assert!(answer.to_string().len() < 12 * 1024, "{object}: {} bytes", answer.to_string().len());
    }
    let (code, message) = bad(&client, "investigate", json!({ "object": "VM Network" })).await;
    assert!(code == "invalid_argument" && message.contains("give a VM"), "{message}");
    assert_eq!(bad(&client, "investigate", json!({ "object": "nobody" })).await.0, "not_found");
    assert_eq!(bad(&client, "investigate", json!({ "object": "DC0_C0", "timeline": 21 })).await.0, "invalid_argument");
}

#[tokio::test]
async fn a_healthy_vm_has_no_finding_and_says_what_was_not_measured() {
    let lab = Lab::of(Model::sized(Size::default())).await;
    let client = connect(lab.server(&[])).await;
    let answer = good(&client, "investigate", json!({ "object": "DC0_C0_VM0" })).await;
    assert_eq!((found(&answer).len(), &answer["timeline"]), (0, &json!([])), "{answer:#}");
    // At the usual level of statistics vCenter keeps no history of these.
    let missing = answer["missing"].to_string();
    assert!(missing.contains("cpu.costop.summation") && missing.contains("statistics level"), "{missing}");
    assert!(answer.to_string().len() < 1024);
}

/// What is told of who changed an object: who, what and with which record.
fn deeds(answer: &Value) -> Vec<String> {
    let of = |deed: &Value| {
        let part = |key: &str| deed[key].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", part("record"), part("user").to_lowercase(), part("what"))
    };
    answer["deeds"].as_array().unwrap().iter().map(of).collect()
}

/// The answer once the audit has been written.
async fn who_changed(client: &RunningService<RoleClient, ()>, lines: usize) -> Value {
    let mut answer = Value::Null;
    for _ in 0..100 {
        answer = good(client, "who_changed", json!({ "object": "DC0_C0_VM0" })).await;
        if answer["deeds"].as_array().unwrap().len() >= lines {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    answer
}

#[tokio::test]
async fn who_changed_what_is_one_story_with_the_calls_to_this_server() {
    let lab = Lab::of(Model::sized(Size::default())).await;
    let (audit, settings) = (file("audit.jsonl"), file("policy.yaml"));
    let policy = "policy:\n  bounded:\n    effect: allow\n    groups: [bounded]\n    objects: ['/**']\n";
    std::fs::write(&settings, policy).unwrap();
    let _ = std::fs::remove_file(&audit);
    let server = lab.server(&[
        ("MCP_AUDIT_FILE", audit.to_str().unwrap()),
        ("MCVSPHERE_CONFIG", settings.to_str().unwrap()),
        ("MCP_CONFIRM", "never"),
    ]);
    std::fs::remove_file(&settings).unwrap();
    let caller = |name: &str, group: &str| {
        Caller::remote("https://login.example", name).named(name).in_groups([group]).with_level(Permission::FullAdmin)
    };
    let jane = client_of(&server, caller("jane", "operators")).await;
    let bob = client_of(&server, caller("bob", "bounded")).await;
    let note = |text: &str| json!({ "vm": "DC0_C0_VM0", "annotation": text });
    good(&jane, "reconfigure_vm", note("jane's")).await;
    good(&bob, "reconfigure_vm", note("bob's")).await;
    good(&jane, "reconfigure_vm", json!({ "vm": "DC0_C0_VM1", "annotation": "another" })).await;

    let admin = "vsphere.local\\administrator";
    let answer = who_changed(&jane, 4).await;
    let task = format!("- {admin} VirtualMachine.reconfigure");
    let own = |who: &str| format!("mcvsphere {who} reconfigure_vm");
    // A call comes before the task that it starts; the newest is the first.
    assert_eq!(deeds(&answer), [task.clone(), own("bob"), task.clone(), own("jane")], "{answer:#}");
    let newest = &answer["deeds"][0];
    assert_eq!(newest["changes"]["untrusted"], "annotation: jane's -> bob's", "{newest:#}");
    let arguments = answer["deeds"][1]["message"]["untrusted"].as_str().unwrap();
    assert!(arguments.contains("\"vm\":\"DC0_C0_VM0\""), "{arguments}");
    assert!(answer["missing"].is_null(), "{answer:#}");

    // Whom a policy bounds sees their own calls, and that others are left out.
    let answer = who_changed(&bob, 3).await;
    assert_eq!(deeds(&answer), [task.clone(), own("bob"), task.clone()], "{answer:#}");
    assert!(answer["missing"].to_string().contains("others' calls are left out"), "{answer:#}");

    let cut = good(&jane, "who_changed", json!({ "object": "DC0_C0_VM0", "count": 1, "since": "2h" })).await;
    assert_eq!((deeds(&cut).len(), &cut["left_out"]), (1, &json!(3)));
    let later = json!({ "object": "DC0_C0_VM0", "since": "2100-01-01" });
    assert_eq!(deeds(&good(&jane, "who_changed", later).await).len(), 0);
    let (code, message) = bad(&jane, "who_changed", json!({ "object": "DC0_C0_VM0", "since": "soon" })).await;
    assert!(code == "invalid_argument" && message.contains("24h"), "{message}");
    std::fs::remove_file(&audit).unwrap();
}

#[tokio::test]
async fn a_neighbour_that_a_policy_denies_is_in_no_answer() {
    let lab = Lab::of(ill()).await;
    let settings = file("denied.yaml");
    let policy = "policy:\n  hidden:\n    effect: deny\n    groups: [bounded]\n    objects: ['/DC0/vm/DC0_C0_VM3']\n";
    std::fs::write(&settings, policy).unwrap();
    let server = lab.server(&[("MCVSPHERE_CONFIG", settings.to_str().unwrap())]);
    std::fs::remove_file(&settings).unwrap();
    let bounded =
        Caller::remote("https://login.example", "bob").in_groups(["bounded"]).with_level(Permission::ReadOnly);
    let client = client_of(&server, bounded).await;
    for object in ["DC0_C0_VM0", "DC0_C0_H0", "DC0_C0", "DC0_DS0"] {
        let answer = good(&client, "investigate", json!({ "object": object })).await;
        assert!(!answer.to_string().contains("DC0_C0_VM3"), "{object}: {answer:#}");
    }
    let own = good(&client, "who_changed", json!({ "object": "DC0_C0_VM0" })).await;
    assert!(!own.to_string().contains("DC0_C0_VM3"), "{own:#}");
    // Of a host all tasks and events below it are asked for, of which some are denied.
    assert_eq!(bad(&client, "who_changed", json!({ "object": "DC0_C0_H0" })).await.0, "permission");
    let answer = good(&client, "investigate", json!({ "object": "DC0_C0_VM0" })).await;
    let ready = answer["findings"].as_array().unwrap().iter().find(|finding| finding["of"] == "cpu_ready").unwrap();
    assert_eq!(ready["neighbours"][0]["name"], "DC0_C0_VM6", "{ready:#}");
    assert_eq!(bad(&client, "investigate", json!({ "object": "DC0_C0_VM3" })).await.0, "not_found");
}

#[tokio::test]
async fn without_an_audit_file_that_is_said() {
    let lab = Lab::of(Model::sized(Size::default())).await;
    let client = connect(lab.server(&[])).await;
    let answer = good(&client, "who_changed", json!({ "object": "DC0_C0_VM0" })).await;
    assert_eq!(answer["deeds"], json!([]));
    assert!(answer["missing"][0]["why"].as_str().unwrap().contains("MCP_AUDIT"), "{answer:#}");
}
