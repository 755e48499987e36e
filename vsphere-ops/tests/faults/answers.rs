//! Answers that are not what was asked for, in whole or in one leaf.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;
use vsphere_ops::Client;
use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};

use crate::support::{Answer, Vcenter, envelope, vms};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn one_odd_leaf_costs_that_leaf_and_is_logged_with_type_path_and_object() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    let cpus = |number: u32, text: &str| {
        format!(
            "<objects><obj type=\"VirtualMachine\">vm-{number}</obj><propSet><name>name</name>\
             <val xsi:type=\"xsd:string\">web-{number}</val></propSet><propSet><name>config.hardware.numCPU</name>\
             <val xsi:type=\"xsd:int\">{text}</val></propSet></objects>"
        )
    };
    let page = format!("<returnval>{}{}</returnval>", cpus(1, "4294967296"), cpus(2, "2"));
    vcenter.script("RetrievePropertiesEx", [Answer::Result(page)]);
    let property = vm::CONFIG.nested::<i32>("config.hardware.numCPU").unwrap();
    let rows = client.all::<VirtualMachine>().select((vm::NAME, property)).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|(_, row)| row.clone()).collect();
    assert_eq!(rows, [("web-1".to_owned(), None), ("web-2".to_owned(), Some(2))]);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let line = log.lines().find(|line| line.contains("cannot be read")).unwrap();
    for part in ["WARN", "VirtualMachine:vm-1", "config.hardware.numCPU", "expected=\"int\"", "4294967296"] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test]
async fn the_answer_of_another_operation_is_an_error_that_names_both() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    for (element, content) in [
        ("LoginResponse", "<returnval><key>k</key></returnval>".to_owned()),
        ("RetrievePropertiesResponse", vms(&["a"], None)),
        ("RetrievePropertiesEx", String::new()),
    ] {
        let document = envelope(&format!("<{element}>{content}</{element}>"));
        vcenter.script("RetrievePropertiesEx", [Answer::Page(200, "text/xml", document)]);
        let error = client.all::<VirtualMachine>().select(vm::NAME).await.unwrap_err();
        let expected = format!("the answer is <{element}>, not <RetrievePropertiesExResponse>");
        assert!(error.to_string().contains(&expected), "{error}");
        assert_eq!(error.code(), "protocol");
    }
}

#[tokio::test]
async fn a_login_that_opens_no_session_is_an_error() {
    let vcenter = Vcenter::start().await;
    for (content, said) in [
        ("<LoginResponse/>", "the answer to the login holds no session"),
        ("<LoginResponse><returnval/></LoginResponse>", "the answer to the login holds no session"),
        ("<LoginResponse><returnval><key></key></returnval></LoginResponse>", "holds no session"),
        ("<LoginResponse><returnval xsi:type=\"xsd:string\">yes</returnval></LoginResponse>", "holds no session"),
        ("<LoginResponse><returnval><key>k</key></returnval></LoginResponse>", "sets no session cookie"),
        ("<LogoutResponse/>", "the answer is <LogoutResponse>, not <LoginResponse>"),
        ("", "not a SOAP document: its body is empty"),
    ] {
        vcenter.always("Login", Answer::Page(200, "text/xml", envelope(content)));
        let error = Client::connect(vcenter.config()).await.unwrap_err();
        assert!(error.to_string().starts_with("log in \"reader\": ") && error.to_string().contains(said), "{error}");
        assert_eq!(error.code(), "protocol");
    }
}

#[tokio::test]
async fn an_automation_api_that_answers_something_else_is_an_error() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    let get = || async { client.rest().unwrap().get::<Vec<String>>("/api/cis/tagging/category").await };
    vcenter.script("POST /api/session", [Answer::Page(200, "text/html", "<html>Sign in</html>".into())]);
    assert_eq!(get().await.unwrap_err().code(), "protocol");
    for body in ["<html>", "{\"value\":{}}", "[1]", ""] {
        vcenter.script("GET /api/cis/tagging/category", [Answer::Page(200, "text/html", body.into())]);
        assert_eq!(get().await.unwrap_err().code(), "protocol", "{body}");
    }
}
