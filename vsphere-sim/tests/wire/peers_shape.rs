//! Answers of vcsim, recorded here, beside ours: what others' clients read in the one they must find in the other, under
//! the same names, of the same types, in the same order.
//!
//! The XML is read by hand and sent by hand, because our own codec would hide its own faults.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use peers::Vcsim;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vsphere_sim::{Model, Sim};

/// What vcsim answers and we do not, or of another type, each with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("pciDevice/parentBridge", "our hosts have no bridges"),
    ("hardware]/val/reliableMemoryInfo", "our hosts have none"),
    ("runtime/networkRuntimeInfo", "our hosts have the default TCP/IP stack alone"),
    ("]/val/networkRuntimeInfo", "the same"),
    ("vsanRuntimeInfo", "there is no vSAN"),
    ("propSet[info]/val is", "theirs is a folder of the machine that vcsim runs on, ours a VMFS"),
    ("propSet[info]/val/path", "the same"),
    ("device/slotInfo", "our machines have no numbers of PCI slots"),
];

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_answers_have_the_shape_of_those_of_vcsim() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let sim = Sim::listen_plain(Model::demo().page(1000), loopback).await.unwrap();
    let mut theirs = Server::login(vcsim.address(), "user", "pass").await;
    let mut ours = Server::login(sim.address(), Model::USER, "VMware1!").await;
    let mut wrong = Vec::new();
    for (kind, properties) in [
        ("Folder", ["name", "parent", "childType", "childEntity", "overallStatus"].as_slice()),
        ("Datacenter", &["name", "vmFolder", "hostFolder", "datastoreFolder", "networkFolder", "datastore", "network"]),
        ("ClusterComputeResource", &["name", "host", "datastore", "network", "resourcePool", "summary"]),
        ("ResourcePool", &["name", "owner", "vm", "config", "runtime", "summary"]),
        ("HostSystem", &["name", "parent", "summary", "runtime", "hardware", "datastore", "network", "vm"]),
        ("Datastore", &["name", "summary", "info", "host", "capability"]),
        ("Network", &["name", "summary", "host", "vm"]),
        (
            "VirtualMachine",
            &[
                "name",
                "parent",
                "config",
                "runtime",
                "summary",
                "guest",
                "datastore",
                "network",
                "resourcePool",
                "storage",
            ],
        ),
    ] {
        let (theirs, ours) = (theirs.shape(kind, properties).await, ours.shape(kind, properties).await);
        assert!(!theirs.elements.is_empty(), "vcsim has no {kind}");
        wrong.extend(theirs.missing_in(&ours).into_iter().map(|line| format!("{kind}: {line}")));
    }
    wrong.retain(|line| !EXCEPTIONS.iter().any(|(known, _)| line.contains(known)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The elements of an answer: which there are, and which comes before which.
#[derive(Default)]
struct Shape {
    /// By path, the types that its elements are said to be of.
    elements: BTreeMap<String, BTreeSet<String>>,
    /// For each path, pairs of children of which one came before the other.
    order: BTreeSet<(String, String, String)>,
}

impl Shape {
    fn missing_in(&self, other: &Self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (path, types) in &self.elements {
            match other.elements.get(path) {
                None if self.parent_is_in(path, other) => wrong.push(format!("{path} is missing")),
                None => {}
                // A type that is the declared one need not be said; vcsim says some.
                Some(own) if types.is_disjoint(own) && !own.contains("") => {
                    wrong.push(format!("{path} is {own:?}, there {types:?}"))
                }
                Some(_) => {}
            }
        }
        for (path, first, second) in &self.order {
            if other.order.contains(&(path.clone(), second.clone(), first.clone())) {
                wrong.push(format!("{path}: {second} comes before {first}"));
            }
        }
        wrong
    }

    /// A missing parent is enough to be told of.
    fn parent_is_in(&self, path: &str, other: &Self) -> bool {
        path.rsplit_once('/').is_none_or(|(parent, _)| other.elements.contains_key(parent))
    }

    fn read(xml: &str) -> Self {
        let mut shape = Self::default();
        // The open elements, each with the children that it has had.
        let mut open: Vec<(String, Vec<String>)> = Vec::new();
        let mut rest = xml;
        while let Some((before, after)) = rest.split_once('<') {
            let (tag, after) = after.split_once('>').unwrap();
            // The name of a property tells its values apart.
            if open.last().is_some_and(|(path, _)| path.ends_with("/propSet/name")) && tag.starts_with('/') {
                let depth = open.len() - 2;
                open[depth].0 = format!("propSet[{before}]");
            }
            rest = after;
            if tag.starts_with(['?', '!']) {
                continue;
            }
            if tag.starts_with('/') {
                open.pop();
                continue;
            }
            let closed = tag.ends_with('/');
            let mut words = tag.trim_end_matches('/').split_whitespace();
            let name = words.next().unwrap().rsplit(':').next().unwrap().to_owned();
            // vcsim binds the namespace to a prefix of its own.
            let of_type = words
                .find_map(|word| word.split_once(":type=\""))
                .map(|(_, value)| value.trim_end_matches('"').rsplit(':').next().unwrap().to_owned());
            let path = match open.last() {
                Some((path, _)) => format!("{path}/{name}"),
                None => name.clone(),
            };
            if let Some((parent, siblings)) = open.last_mut() {
                for sibling in siblings.iter().filter(|sibling| **sibling != name) {
                    shape.order.insert((parent.clone(), sibling.clone(), name.clone()));
                }
                siblings.push(name);
            }
            shape.elements.entry(path.clone()).or_default().insert(of_type.unwrap_or_default());
            if !closed {
                open.push((path, Vec::new()));
            }
        }
        shape
    }
}

/// A server, spoken to by hand.
struct Server {
    address: SocketAddr,
    cookie: String,
}

impl Server {
    async fn login(address: SocketAddr, user: &str, password: &str) -> Self {
        let mut server = Self { address, cookie: String::new() };
        let login = format!(
            "<Login xmlns=\"urn:vim25\"><_this type=\"SessionManager\">SessionManager</_this>\
             <userName>{user}</userName><password>{password}</password></Login>"
        );
        let answer = server.post(&login).await;
        let cookie =
            answer.lines().find_map(|line| line.strip_prefix("Set-Cookie: ").or(line.strip_prefix("set-cookie: ")));
        server.cookie = cookie.unwrap().split(';').next().unwrap().to_owned();
        server
    }

    /// Sends the content of a SOAP body; the whole answer, with its headers.
    async fn post(&self, body: &str) -> String {
        let document = format!(
            "<?xml version=\"1.0\"?><e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><e:Body>{body}</e:Body></e:Envelope>"
        );
        let request = format!(
            "POST /sdk HTTP/1.1\r\nHost: {}\r\nSOAPAction: urn:vim25/8.0.3.0\r\nCookie: {}\r\nConnection: close\r\n\
             Content-Type: text/xml\r\nContent-Length: {}\r\n\r\n{document}",
            self.address,
            self.cookie,
            document.len()
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// The shape of these properties of all objects of a kind.
    async fn shape(&mut self, kind: &str, properties: &[&str]) -> Shape {
        let view = self
            .post(&format!(
                "<CreateContainerView xmlns=\"urn:vim25\"><_this type=\"ViewManager\">ViewManager</_this>\
                 <container type=\"Folder\">{}</container><type>{kind}</type><recursive>true</recursive>\
                 </CreateContainerView>",
                self.root().await
            ))
            .await;
        let view = between(&view, "<returnval type=\"ContainerView\">", "</").to_owned();
        let paths: String = properties.iter().map(|path| format!("<pathSet>{path}</pathSet>")).collect();
        let answer = self
            .post(&format!(
                "<RetrievePropertiesEx xmlns=\"urn:vim25\"><_this type=\"PropertyCollector\">{}</_this><specSet>\
                 <propSet><type>{kind}</type>{paths}</propSet><objectSet><obj type=\"ContainerView\">{view}</obj>\
                 <skip>true</skip><selectSet xsi:type=\"TraversalSpec\"><type>ContainerView</type><path>view</path>\
                 </selectSet></objectSet></specSet><options/></RetrievePropertiesEx>",
                self.content("propertyCollector").await
            ))
            .await;
        let start = answer.find("<?xml").or(answer.find("<soapenv")).unwrap();
        Shape::read(&answer[start..])
    }

    async fn root(&self) -> String {
        self.content("rootFolder").await
    }

    /// The id of an object that the service content names.
    async fn content(&self, name: &str) -> String {
        let answer = self
            .post(
                "<RetrieveServiceContent xmlns=\"urn:vim25\"><_this type=\"ServiceInstance\">ServiceInstance</_this>\
                 </RetrieveServiceContent>",
            )
            .await;
        let (_, after) = answer.split_once(&format!("<{name}")).unwrap();
        between(after, ">", "<").to_owned()
    }
}

/// The text between two others.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}")).1.split_once(end).unwrap().0
}
