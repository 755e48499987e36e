//! What a user is told of a server that does not answer as it should: the code, and a next step that fits the cause, or none.

use std::{io, time::Duration};

use futures::future::join_all;
use mcvsphere_mcp::Server;
use rmcp::model::CallToolRequestParams;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{connect, settings_with};

/// When a server begins to answer badly.
#[derive(Clone, Copy, PartialEq)]
enum Since {
    /// With the first SOAP request.
    Hello,
    /// With the login.
    Login,
    /// After the login.
    Read,
}
use Since::{Hello, Login, Read};

fn http(status: u16, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n");
    format!("{head}Connection: close\r\n\r\n{body}").into_bytes()
}

fn soap(status: u16, content: &str) -> Vec<u8> {
    http(
        status,
        "text/xml",
        &format!(
            "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>{content}</soapenv:Body>\
             </soapenv:Envelope>"
        ),
    )
}

fn fault(name: &str, fields: &str) -> Vec<u8> {
    soap(
        500,
        &format!(
            "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>It was refused.\n  Sorry.</faultstring>\
             <detail><{name}Fault xsi:type=\"{name}\">{fields}</{name}Fault></detail></soapenv:Fault>"
        ),
    )
}

/// What a server in good health answers.
fn good(operation: &str) -> Vec<u8> {
    let manager = |field: &str, kind: &str| format!("<{field} type=\"{kind}\">{kind}</{field}>");
    match operation {
        "RetrieveServiceContent" => soap(
            200,
            &format!(
                "<RetrieveServiceContentResponse><returnval>{}{}{}<about><name>x</name><fullName>x</fullName>\
                 <apiType>VirtualCenter</apiType><apiVersion>8.0.3.0</apiVersion></about>{}</returnval>\
                 </RetrieveServiceContentResponse>",
                manager("rootFolder", "Folder"),
                manager("propertyCollector", "PropertyCollector"),
                manager("viewManager", "ViewManager"),
                manager("sessionManager", "SessionManager"),
            ),
        ),
        "Login" => {
            let answer = soap(200, "<LoginResponse><returnval><key>k</key></returnval></LoginResponse>");
            let answer = String::from_utf8(answer).unwrap();
            let cookie = "Content-Type: text/xml\r\nSet-Cookie: vmware_soap_session=\"5a1b\"";
            answer.replacen("Content-Type: text/xml", cookie, 1).into_bytes()
        }
        "Logout" => soap(200, "<LogoutResponse/>"),
        _ => http(404, "text/html", "none"),
    }
}

async fn answer(mut stream: TcpStream, from: Since, bad: &[u8]) -> io::Result<()> {
    let mut request = Vec::new();
    // The requests of this client end with the envelope, or have no body.
    let whole = |request: &[u8]| {
        request.ends_with(b"Envelope>") || (request.starts_with(b"GET") && request.ends_with(b"\r\n\r\n"))
    };
    while !whole(&request) {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let operation = text.split_once("Body><").map_or("", |(_, rest)| rest.split([' ', '>']).next().unwrap());
    let is_good = match operation {
        "" | "Logout" => true,
        "RetrieveServiceContent" => from != Hello,
        "Login" => from == Read,
        _ => false,
    };
    let good = good(operation);
    stream.write_all(if is_good { &good } else { bad }).await?;
    stream.shutdown().await
}

/// The error of a tool that asks a server which answers so.
async fn error_of(from: Since, bad: Vec<u8>) -> Value {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let bad = bad.clone();
            tokio::spawn(async move { answer(stream, from, &bad).await });
        }
    });
    let error = error_at(&host, &[]).await;
    serving.abort();
    error
}

/// The error of a tool that asks the server at this address.
async fn error_at(host: &str, more: &[(&str, &str)]) -> Value {
    let mut environment = vec![("VCENTER_HOST", host), ("VCENTER_USER", "user"), ("VCENTER_PASSWORD", "hunter2")];
    environment.extend(more);
    let client = connect(Server::new(&settings_with(&environment)).unwrap()).await;
    let call = client.call_tool(CallToolRequestParams::new("list_vms"));
    let result = tokio::time::timeout(Duration::from_secs(60), call).await.unwrap().unwrap();
    assert_eq!(result.is_error, Some(true), "{result:?}");
    result.structured_content.unwrap()
}

const HOST: &str =
    "check that VCENTER_HOST leads to a vCenter or ESXi itself, not to a proxy or a login page before it";
const BUSY: &str = "the server may be starting or overloaded: try again later";
const ITSELF: &str = "set VCENTER_HOST to the address of vCenter or ESXi itself";
const LOGIN: &str = "check VCENTER_USER and VCENTER_PASSWORD";

/// The next steps that there are: of an answer without one, none may be told.
const STEPS: [&str; 6] = [HOST, BUSY, ITSELF, LOGIN, "VCENTER_", "check "];

#[tokio::test]
async fn each_bad_answer_has_its_code_and_a_step_that_fits_or_none() {
    let page = "<html><h1>Sign in</h1></html>";
    let cut = |length: usize| soap(200, "<LoginResponse/>")[..length].to_vec();
    let redirect = "HTTP/1.1 302 X\r\nLocation: https://sso.example/login?user=x\r\nContent-Length: 0\r\n\r\n";
    let cases: Vec<(Since, Vec<u8>, &str, Option<&str>)> = vec![
        (Hello, http(200, "text/html", page), "protocol", Some(HOST)),
        (Hello, http(200, "text/plain", "OK"), "protocol", Some(HOST)),
        (Hello, http(200, "application/json", "{}"), "protocol", Some(HOST)),
        (Hello, http(200, "text/xml", ""), "protocol", Some(HOST)),
        (Hello, http(204, "text/xml", ""), "protocol", Some(HOST)),
        (Hello, http(404, "text/html", page), "connection", Some(HOST)),
        (Hello, http(405, "text/html", page), "connection", Some(HOST)),
        (Hello, http(401, "text/html", page), "connection", None),
        (Hello, http(403, "text/html", "blocked"), "connection", None),
        (Hello, http(400, "text/plain", "bad"), "connection", None),
        (Hello, http(500, "text/plain", "oops"), "connection", None),
        (Hello, http(501, "text/plain", "oops"), "connection", None),
        (Hello, http(429, "text/plain", "slow down"), "connection", Some(BUSY)),
        (Hello, http(502, "text/html", page), "connection", Some(BUSY)),
        (Hello, http(503, "text/plain", "no healthy upstream"), "connection", Some(BUSY)),
        (Hello, http(504, "text/html", page), "connection", Some(BUSY)),
        (Hello, redirect.into(), "connection", Some(ITSELF)),
        (Hello, http(301, "text/html", page), "connection", Some(ITSELF)),
        (Hello, b"garbage\r\n\r\n".to_vec(), "protocol", Some(HOST)),
        (Hello, b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), "protocol", Some(HOST)),
        (Hello, Vec::new(), "connection", None),
        (Hello, cut(30), "connection", None),
        (Hello, cut(110), "connection", None),
        (Hello, http(200, "text/xml", "<Envelope><Body>"), "protocol", None),
        (Hello, http(200, "text/xml", "<Envelope><Body/></Envelope>"), "protocol", None),
        (Hello, http(200, "text/xml", page), "protocol", None),
        (Hello, soap(200, "<LoginResponse/>"), "protocol", None),
        (Hello, soap(200, "<RetrieveServiceContentResponse/>"), "protocol", None),
        (Hello, fault("HostConfigFault", ""), "fault", None),
        (Login, soap(200, "<LoginResponse/>"), "protocol", None),
        (Login, soap(200, "<LoginResponse><returnval><key>k</key></returnval></LoginResponse>"), "protocol", None),
        (Login, fault("InvalidLogin", ""), "auth", Some(LOGIN)),
        (Login, fault("NoPermission", "<privilegeId>System.View</privilegeId>"), "permission", None),
        (Login, http(503, "text/plain", "busy"), "connection", Some(BUSY)),
        (Login, http(200, "text/html", page), "protocol", Some(HOST)),
        (Read, fault("NoPermission", "<object type=\"Folder\">group-d1</object>"), "permission", None),
        (Read, fault("NotAuthenticated", ""), "session", None),
        (Read, fault("InvalidArgument", "<invalidProperty>spec</invalidProperty>"), "fault", None),
        (Read, fault("RuntimeFault", ""), "fault", None),
        (Read, fault("NewFaultOfTomorrow", "<a>b</a>"), "fault", None),
        (Read, soap(200, "<LoginResponse/>"), "protocol", None),
        (Read, http(500, "text/html", page), "connection", None),
    ];
    assert!(cases.len() >= 40, "{}", cases.len());
    let errors = join_all(cases.iter().map(|(from, bad, ..)| error_of(*from, bad.clone()))).await;
    let mut wrong = Vec::new();
    for ((_, bad, code, step), error) in cases.iter().zip(errors) {
        let message = error["message"].as_str().unwrap();
        let fits = match step {
            Some(step) => message.ends_with(&format!("; {step}")),
            None => !STEPS.iter().any(|step| message.contains(step)),
        };
        if error["code"] != *code || !fits || message.contains(['\n', '\r']) {
            wrong.push(format!("{}\n  {code}, {step:?}\n  {error}", String::from_utf8_lossy(bad)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_keeps_a_connection_from_being_made_is_told_with_the_step_that_fits() {
    let sim = vsphere_sim::Sim::start(vsphere_sim::Model::demo()).await.unwrap();
    let plain = sim.url().replace("https://", "http://");
    let other = "AA:".repeat(31) + "AA";
    let closed = "check the port in VCENTER_HOST, and that vCenter runs there";
    for (host, more, said, step) in [
        ("https://127.0.0.1:1".to_owned(), vec![], "the connection was refused", closed),
        ("no-such-host.invalid".to_owned(), vec![], "the name of the host", "check the "),
        (sim.url(), vec![], "signed by itself or by an unknown CA", "compare the thumbprint"),
        (
            sim.url(),
            vec![("VCENTER_THUMBPRINT", other.as_str())],
            "not the pinned one",
            "if the server's certificate was replaced",
        ),
        (plain, vec![], "", ""),
    ] {
        let error = error_at(&host, &more).await;
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(said) && message.contains(step), "{message}");
        assert!(said.is_empty() || message.matches(said).count() == 1, "told once: {message}");
        assert!(["connection", "protocol"].contains(&error["code"].as_str().unwrap()), "{error}");
    }
    // TLS is asked of a port that has none.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let error = error_at(&host, &[]).await;
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("the port does not speak TLS") && message.contains("HTTPS is expected"), "{message}");
}

#[tokio::test]
async fn a_fault_tells_what_it_has_in_text_and_json() {
    let of = async |name: &str, fields: &str| error_of(Read, fault(name, fields)).await;
    let refused = of(
        "NoPermission",
        "<object type=\"VirtualMachine\">vm-1</object><privilegeId>VirtualMachine.Interact.PowerOn</privilegeId>",
    )
    .await;
    assert_eq!((&refused["code"], &refused["fault"]), (&"permission".into(), &"NoPermission".into()));
    assert_eq!(refused["privilege"], "VirtualMachine.Interact.PowerOn");
    assert_eq!(refused["object"], "VirtualMachine:vm-1");
    let message = refused["message"].as_str().unwrap();
    let told =
        "It was refused. Sorry (NoPermission: object VirtualMachine:vm-1, privilegeId VirtualMachine.Interact.PowerOn)";
    assert!(message.contains(told), "{message}");

    let newer = of(
        "NoPermission",
        "<missingPrivileges><entity type=\"Folder\">group-v3</entity><privilegeIds>System.Read</privilegeIds>\
         <privilegeIds>System.View</privilegeIds></missingPrivileges>",
    )
    .await;
    assert_eq!(
        (&newer["privilege"], &newer["object"]),
        (&"System.Read, System.View".into(), &"Folder:group-v3".into())
    );

    for (name, fields, facts) in [
        (
            "InvalidPowerState",
            "<requestedState>poweredOn</requestedState><existingState>suspended</existingState>",
            vec![("requestedState", "poweredOn"), ("existingState", "suspended")],
        ),
        (
            "DuplicateName",
            "<name>web</name><object type=\"VirtualMachine\">vm-7</object>",
            vec![("name", "web"), ("object", "VirtualMachine:vm-7")],
        ),
        (
            "InvalidArgument",
            "<invalidProperty>spec.numCPUs</invalidProperty>",
            vec![("invalidProperty", "spec.numCPUs")],
        ),
        (
            "InsufficientCpuResourcesFault",
            "<unreserved>100</unreserved><requested>2400</requested>",
            vec![("unreserved", "100"), ("requested", "2400")],
        ),
        ("NewFaultOfTomorrow", "<why>because</why>", vec![("why", "because")]),
    ] {
        let error = of(name, fields).await;
        assert_eq!(error["fault"], name);
        for (field, value) in facts {
            assert_eq!(error["details"][field], value, "{error}");
            assert!(error["message"].as_str().unwrap().contains(&format!("{field} {value}")), "{error}");
        }
    }

    let chain = of(
        "RuntimeFault",
        "<faultCause><fault xsi:type=\"FileNotFound\"><file>[ds] a.vmdk</file></fault>\
         <localizedMessage>The file is gone.\nReally.</localizedMessage></faultCause>\
         <faultMessage><key>k</key><message>It happened on esx-1.</message></faultMessage>",
    )
    .await;
    let message = chain["message"].as_str().unwrap();
    let told = "It was refused. Sorry; It happened on esx-1 (RuntimeFault); caused by: The file is gone. Really \
                (FileNotFound: file [ds] a.vmdk)";
    assert!(message.contains(told), "{message}");
}
