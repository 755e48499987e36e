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
