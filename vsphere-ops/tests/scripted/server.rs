//! A server that answers SOAP requests as a test tells it to, and remembers them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use vsphere_ops::{Client, Config};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// A request that the server got.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The operation (`RetrievePropertiesEx`).
    pub(crate) operation: String,
    /// The SOAP document.
    pub(crate) body: String,
    /// How many of this operation came before.
    pub(crate) before: usize,
}

/// What it answers.
pub(crate) enum Reply {
    /// The content of the operation's response.
    Good(String),
    /// A fault by its type, with its fields.
    Fault(&'static str, String),
    /// What a server answers that has nothing special to say.
    Usual,
}

impl Reply {
    /// `returnval` with this content.
    pub(crate) fn value(content: &str) -> Self {
        Self::Good(format!("<returnval>{content}</returnval>"))
    }
}

pub(crate) struct Server {
    mock: MockServer,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Server {
    /// A server that answers by `script`.
    pub(crate) async fn start(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let mock = MockServer::start().await;
        let calls = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&calls);
        let answer = move |request: &Request| {
            let body = String::from_utf8(request.body.clone()).unwrap();
            let Some(operation) = operation(&body) else { return ResponseTemplate::new(404) };
            let call = {
                let mut log = log.lock().unwrap();
                let before = log.iter().filter(|call: &&Call| call.operation == operation).count();
                let call = Call { operation, body, before };
                log.push(call.clone());
                call
            };
            let reply = match script(&call) {
                Reply::Usual => usual(&call.operation),
                reply => reply,
            };
            match reply {
                Reply::Good(content) => {
                    let answer = envelope(
                        200,
                        &format!("<{0}Response xmlns=\"urn:vim25\">{content}</{0}Response>", call.operation),
                    );
                    match call.operation.as_str() {
                        "Login" => answer.insert_header("set-cookie", "vmware_soap_session=\"5a1b\"; Path=/"),
                        _ => answer,
                    }
                }
                Reply::Fault(name, fields) => envelope(
                    500,
                    &format!(
                        "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>no</faultstring><detail>\
                         <{name}Fault xmlns=\"urn:vim25\" xsi:type=\"{name}\">{fields}</{name}Fault></detail></soapenv:Fault>"
                    ),
                ),
                Reply::Usual => ResponseTemplate::new(501),
            }
        };
        Mock::given(any()).respond_with(answer).mount(&mock).await;
        Self { mock, calls }
    }

    /// A client that is logged in.
    pub(crate) async fn client(&self) -> Client {
        let config = Config::new(format!("{}/sdk", self.mock.uri())).user("user").password("pass");
        Client::connect(config).await.unwrap()
    }

    /// The operations since the login.
    pub(crate) fn operations(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        let start = calls.iter().rposition(|call| call.operation == "Login").map_or(0, |login| login + 1);
        calls[start..].iter().map(|call| call.operation.clone()).collect()
    }

    /// The documents of an operation.
    pub(crate) fn bodies(&self, operation: &str) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.operation == operation).map(|call| call.body.clone()).collect()
    }

    /// Waits until an operation has come that is sent in the background.
    pub(crate) async fn saw(&self, operation: &str) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(5) {
            if !self.bodies(operation).is_empty() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

/// An object of an answer: type, id, and its properties as `name=type:value`.
pub(crate) fn object(type_: &str, id: &str, properties: &[(&str, &str, &str)]) -> String {
    let set: String = properties
        .iter()
        .map(|(name, kind, value)| match kind.strip_prefix("ref:") {
            Some(target) => format!(
                "<propSet><name>{name}</name><val type=\"{target}\" xsi:type=\"ManagedObjectReference\">{value}</val></propSet>"
            ),
            None => format!("<propSet><name>{name}</name><val xsi:type=\"{kind}\">{value}</val></propSet>"),
        })
        .collect();
    format!("<objects><obj type=\"{type_}\">{id}</obj>{set}</objects>")
}

/// A machine of an answer, by its number.
pub(crate) fn machine(number: usize) -> String {
    object("VirtualMachine", &format!("vm-{number}"), &[("name", "xsd:string", &format!("web-{number}"))])
}

fn operation(body: &str) -> Option<String> {
    let (_, content) = body.split_once("Body>")?;
    Some(content.trim_start().strip_prefix('<')?.split([' ', '>']).next()?.to_owned())
}

fn envelope(status: u16, content: &str) -> ResponseTemplate {
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope \
         xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>{content}</soapenv:Body></soapenv:Envelope>"
    );
    ResponseTemplate::new(status).set_body_raw(document, "text/xml; charset=utf-8")
}

fn usual(operation: &str) -> Reply {
    let reference = |type_: &str, id: &str| Reply::Good(format!("<returnval type=\"{type_}\">{id}</returnval>"));
    match operation {
        "RetrieveServiceContent" => Reply::value(
            "<rootFolder type=\"Folder\">group-d1</rootFolder>\
             <propertyCollector type=\"PropertyCollector\">propertyCollector</propertyCollector>\
             <viewManager type=\"ViewManager\">ViewManager</viewManager>\
             <about><name>VMware vCenter Server</name><fullName>VMware vCenter Server 8.0.3</fullName>\
             <vendor>VMware, Inc.</vendor><version>8.0.3</version><build>1</build><osType>linux-x64</osType>\
             <productLineId>vpx</productLineId><apiType>VirtualCenter</apiType><apiVersion>8.0.3.0</apiVersion></about>\
             <sessionManager type=\"SessionManager\">SessionManager</sessionManager>\
             <taskManager type=\"TaskManager\">TaskManager</taskManager>\
             <searchIndex type=\"SearchIndex\">SearchIndex</searchIndex>",
        ),
        "Login" => Reply::value(
            "<key>session</key><userName>user</userName><fullName>user</fullName>\
             <loginTime>2026-01-02T03:04:05Z</loginTime><lastActiveTime>2026-01-02T03:04:05Z</lastActiveTime>\
             <locale>en</locale><messageLocale>en</messageLocale>",
        ),
        "CreateContainerView" => reference("ContainerView", "session[1]view-1"),
        "CreatePropertyCollector" => reference("PropertyCollector", "session[1]pc-1"),
        "CreateFilter" => reference("PropertyFilter", "session[1]filter-1"),
        // The older method, which gives all in one answer, is not on offer where a test does not say so.
        "RetrieveProperties" => Reply::Fault("MethodNotFound", String::new()),
        _ => Reply::Good(String::new()),
    }
}
