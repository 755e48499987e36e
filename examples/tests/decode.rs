//! The example `decode`, run as a process.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn data(name: &str) -> String {
    Path::new("tests/data").join(name).to_str().unwrap().to_owned()
}

fn decode(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_decode")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn printed(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The one line on stderr of a run that failed, with nothing on stdout.
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim_end().to_owned()
}

fn power_state() -> Value {
    json!({"_typeName": "RetrieveResult", "objects": [{
        "_typeName": "ObjectContent",
        "obj": {"_typeName": "ManagedObjectReference", "type": "VirtualMachine", "value": "vm-42"},
        "propSet": [{
            "_typeName": "DynamicProperty",
            "name": "runtime.powerState",
            "val": {"_typeName": "VirtualMachinePowerState", "_value": "poweredOn"},
        }],
    }]})
}

#[test]
fn a_result_is_printed() {
    let output = decode(&[&data("power_state.xml")]);
    assert_eq!(printed(&output), power_state());
    assert!(output.stdout.starts_with(b"{\n  \"_typeName\": \"RetrieveResult\",\n"), "{output:?}");
}

#[test]
fn an_answer_comes_from_standard_input() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_decode"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&std::fs::read(data("power_state.xml")).unwrap()).unwrap();
    assert_eq!(printed(&child.wait_with_output().unwrap()), power_state());
}

#[test]
fn a_fault_fails_in_one_line() {
    assert_eq!(
        refused(&decode(&[&data("fault.xml")])),
        "decode: tests/data/fault.xml: the answer is a fault: The attempted operation cannot be performed in the current \
         state (Powered on) (InvalidPowerState: requestedState poweredOn, existingState poweredOn)"
    );
}

#[test]
fn a_fault_is_printed_when_asked_for() {
    let fault = printed(&decode(&["--fault", &data("fault.xml")]));
    assert_eq!(fault["faultcode"], "ServerFaultCode");
    assert_eq!(
        fault["detail"],
        json!({"_typeName": "InvalidPowerState", "requestedState": "poweredOn", "existingState": "poweredOn"})
    );
    assert_eq!(printed(&decode(&["--fault", &data("power_state.xml")])), power_state());
}

#[test]
fn what_is_not_an_answer_fails_in_one_line() {
    for (file, cause) in [("login_page.html", "document type"), ("cut.xml", "end"), ("missing.xml", "No such file")] {
        let line = refused(&decode(&[&data(file)]));
        assert!(line.starts_with(&format!("decode: tests/data/{file}: ")) && line.contains(cause), "{line}");
    }
    assert!(refused(&decode(&[])).starts_with("decode: standard input: not a SOAP document"));
}
