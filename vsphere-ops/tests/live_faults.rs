//! Watches, events and performance against a server that fails on purpose.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::collections::HashMap;
use std::future::IntoFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use tokio::time::timeout;
use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_ops::performance::Interval;
use vsphere_ops::types::ManagedObjectReference;
use vsphere_ops::{Change, Client, Config, Inventory};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

const PATIENCE: Duration = Duration::from_secs(20);

/// What the server answers to an operation: by name, the number of the call (from 1), and the request's body.
type Script = dyn Fn(&str, usize, &str) -> Reply + Send + Sync;

enum Reply {
    /// The elements of the answer.
    Is(String),
    /// The same, after a while.
    Late(String, Duration),
    /// A fault of this type.
    Fault(&'static str),
    /// A status without SOAP.
    Status(u16),
}

struct Fake {
    server: MockServer,
    calls: Arc<Mutex<Vec<String>>>,
}

struct Scripted {
    calls: Arc<Mutex<Vec<String>>>,
    counts: Mutex<HashMap<String, usize>>,
    script: Box<Script>,
}

impl Respond for Scripted {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let name = operation(&body);
        self.calls.lock().unwrap().push(name.clone());
        let count = {
            let mut counts = self.counts.lock().unwrap();
            let count = counts.entry(name.clone()).or_default();
            *count += 1;
            *count
        };
        let xml = |status: u16, inner: String| {
            let document = format!(
                r#"<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{inner}</soapenv:Body></soapenv:Envelope>"#
            );
            ResponseTemplate::new(status)
                .insert_header("Set-Cookie", "vmware_soap_session=\"one\"; Path=/")
                .set_body_raw(document, "text/xml")
        };
        let answer = |inner: &str| xml(200, format!(r#"<{name}Response xmlns="urn:vim25">{inner}</{name}Response>"#));
        let scripted = || match name.as_str() {
            // The older methods, which give all in one answer, are not on offer here: what they fall back on is tested.
            "CheckForUpdates" | "RetrieveProperties" => Reply::Fault("MethodNotFound"),
            _ => (self.script)(&name, count, &body),
        };
        match usual(&name).map_or_else(scripted, Reply::Is) {
            Reply::Is(inner) => answer(&inner),
            Reply::Late(inner, delay) => answer(&inner).set_delay(delay),
            Reply::Fault(fault) => xml(
                500,
                format!(
                    r#"<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>no</faultstring><detail><{fault}Fault xmlns="urn:vim25" xsi:type="{fault}"/></detail></soapenv:Fault>"#
                ),
            ),
            Reply::Status(status) => ResponseTemplate::new(status).set_body_raw("busy", "text/plain"),
        }
    }
}

/// What each server answers alike.
fn usual(name: &str) -> Option<String> {
    Some(match name {
        "RetrieveServiceContent" => r#"<returnval><rootFolder type="Folder">group-d1</rootFolder><propertyCollector type="PropertyCollector">propertyCollector</propertyCollector><viewManager type="ViewManager">ViewManager</viewManager><about><name>Fake</name><fullName>Fake</fullName><vendor>none</vendor><version>8.0</version><build>1</build><osType>linux</osType><productLineId>vpx</productLineId><apiType>VirtualCenter</apiType><apiVersion>8.0</apiVersion></about><setting type="OptionManager">VpxSettings</setting><sessionManager type="SessionManager">SessionManager</sessionManager><perfManager type="PerformanceManager">PerfMgr</perfManager><eventManager type="EventManager">EventManager</eventManager></returnval>"#.into(),
        "Login" => "<returnval><key>1</key><userName>user</userName><fullName>u</fullName><loginTime>2026-01-01T00:00:00Z</loginTime><lastActiveTime>2026-01-01T00:00:00Z</lastActiveTime><locale>en</locale><messageLocale>en</messageLocale></returnval>".into(),
        "CurrentTime" => "<returnval>2026-01-01T12:00:00Z</returnval>".into(),
        "Logout" | "DestroyPropertyCollector" | "DestroyView" | "DestroyCollector" | "SetCollectorPageSize"
        | "ResetCollector" => String::new(),
        "CreateContainerView" => r#"<returnval type="ContainerView">view-1</returnval>"#.into(),
        "CreateFilter" => r#"<returnval type="PropertyFilter">filter-1</returnval>"#.into(),
        _ => return None,
    })
}

fn operation(body: &str) -> String {
    let after = body.split_once("Body>").map_or("", |(_, after)| after);
    let tag = after.trim_start().trim_start_matches('<');
    tag.split([' ', '>', '/']).next().unwrap_or_default().rsplit(':').next().unwrap_or_default().to_owned()
}

impl Fake {
    async fn start(script: impl Fn(&str, usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let server = MockServer::start().await;
        let calls = Arc::<Mutex<Vec<String>>>::default();
        Mock::given(method("GET")).respond_with(ResponseTemplate::new(404)).mount(&server).await;
        let scripted = Scripted { calls: Arc::clone(&calls), counts: Mutex::default(), script: Box::new(script) };
        Mock::given(method("POST")).respond_with(scripted).mount(&server).await;
        Self { server, calls }
    }

    async fn client(&self) -> Client {
        let config = Config::new(format!("{}/sdk", self.server.uri())).user("user").password("pass");
        timeout(PATIENCE, Client::connect(config)).await.unwrap().unwrap()
    }

    fn count(&self, name: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| *call == name).count()
    }
}

/// An answer of `WaitForUpdatesEx` with objects as `(kind, id, changes)`.
fn updates(version: &str, truncated: bool, objects: &[(&str, u32, &str)]) -> String {
    let mut set = String::new();
    for (kind, id, changes) in objects {
        set +=
            &format!(r#"<objectSet><kind>{kind}</kind><obj type="VirtualMachine">vm-{id}</obj>{changes}</objectSet>"#);
    }
    format!(
        r#"<returnval><version>{version}</version><filterSet><filter type="PropertyFilter">filter-1</filter>{set}</filterSet><truncated>{truncated}</truncated></returnval>"#
    )
}

fn assign(path: &str, value: &str) -> String {
    format!(r#"<changeSet><name>{path}</name><op>assign</op><val xsi:type="xsd:string">{value}</val></changeSet>"#)
}

fn collector(count: usize) -> Reply {
    Reply::Is(format!(r#"<returnval type="PropertyCollector">pc-{count}</returnval>"#))
}

/// Nothing changes for a while.
fn silence() -> Reply {
    Reply::Late(String::new(), Duration::from_secs(60))
}

/// The version that a client has got so far.
fn version(body: &str) -> &str {
    let after = body.split_once("version>").map_or("", |(_, after)| after);
    after.split_once('<').map_or("", |(version, _)| version)
}

/// Watches names, and says the first `count` changes in short words.
async fn told(client: &Client, count: usize) -> Vec<String> {
    let mut changes = client.watch::<VirtualMachine>().select(vm::NAME);
    let mut told = Vec::new();
    while told.len() < count {
        let change = timeout(PATIENCE, changes.try_next()).await.unwrap_or_else(|_| panic!("only {told:?}"));
        told.push(match change {
            Ok(Some(Change::Entered { row, .. })) => format!("+{row}"),
            Ok(Some(Change::Changed { row, paths, .. })) => format!("~{row} {paths:?}"),
            Ok(Some(Change::Left { object })) => format!("-{object}"),
            Ok(Some(Change::Unreadable { object, missing })) => format!("?{object} {}", missing.reason),
            Ok(Some(Change::Resync)) => "resync".to_owned(),
            Ok(Some(Change::Live)) => "live".to_owned(),
            Ok(Some(other)) => format!("{other:?}"),
            Ok(None) => "end".to_owned(),
            Err(error) => error.code().to_owned(),
        });
    }
    told
}

#[tokio::test]
async fn pitfall_07_truncated_updates_are_followed_with_the_new_version() {
    let fake = Fake::start(|name, count, body| match (name, version(body)) {
        ("CreatePropertyCollector", _) => collector(count),
        ("WaitForUpdatesEx", "") => Reply::Is(updates("1", true, &[("enter", 1, &assign("name", "a"))])),
        ("WaitForUpdatesEx", "1") => Reply::Is(updates("2", true, &[("enter", 2, &assign("name", "b"))])),
        ("WaitForUpdatesEx", "2") => Reply::Is(updates("3", false, &[("enter", 3, &assign("name", "c"))])),
        _ => silence(),
    })
    .await;
    assert_eq!(told(&fake.client().await, 4).await, ["+a", "+b", "+c", "live"]);
}

#[tokio::test]
async fn pitfall_08_a_check_asks_once_and_does_not_let_the_server_wait() {
    let fake = Fake::start(|name, count, body| match (name, count) {
        ("CreatePropertyCollector", count) => collector(count),
        ("WaitForUpdatesEx", _) if !body.contains("<maxWaitSeconds>0</maxWaitSeconds>") => silence(),
        ("WaitForUpdatesEx", 1) => Reply::Is(updates("1", false, &[("enter", 1, &assign("name", "web-1"))])),
        // Nothing has changed: an answer without a value.
        _ => Reply::Is(String::new()),
    })
    .await;
    let client = fake.client().await;
    let mut checker = client.watch::<VirtualMachine>().select(vm::NAME).checker();
    let first = timeout(PATIENCE, checker.check()).await.unwrap().unwrap();
    assert!(matches!(&first[..], [Change::Entered { row, .. }, Change::Live] if row == "web-1"), "{first:?}");
    assert!(timeout(PATIENCE, checker.check()).await.unwrap().unwrap().is_empty());
    assert_eq!(fake.count("WaitForUpdatesEx"), 2);
}

#[tokio::test]
async fn pitfall_01_a_watch_comes_anew_when_its_collector_went_with_the_session() {
    let fake = Fake::start(|name, count, body| match name {
        "CreatePropertyCollector" => collector(count),
        // The first session ends in the middle; its collector ends with it.
        "WaitForUpdatesEx" => match (body.contains("pc-1"), version(body)) {
            (true, "") => Reply::Is(updates("1", false, &[("enter", 1, &assign("name", "a"))])),
            (true, _) if count == 2 => Reply::Fault("NotAuthenticated"),
            (true, _) => Reply::Fault("ManagedObjectNotFound"),
            (false, "") => Reply::Is(updates("1", false, &[("enter", 2, &assign("name", "b"))])),
            (false, _) => silence(),
        },
        _ => Reply::Status(400),
    })
    .await;
    let client = fake.client().await;
    assert_eq!(told(&client, 5).await, ["+a", "live", "resync", "+b", "live"]);
    assert_eq!((fake.count("Login"), fake.count("CreatePropertyCollector")), (2, 2));
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_and_nothing_is_told_twice() {
    let fake = Fake::start(|name, count, body| match name {
        "CreatePropertyCollector" => collector(count),
        "WaitForUpdatesEx" => match (version(body), count) {
            ("", _) => Reply::Is(updates("1", false, &[("enter", 1, &assign("name", "a"))])),
            // More often than a request is repeated by itself.
            ("1", ..=5) => Reply::Status(503),
            ("1", _) => Reply::Is(updates("2", false, &[("modify", 1, &assign("name", "b"))])),
            _ => silence(),
        },
        _ => Reply::Status(400),
    })
    .await;
    assert_eq!(told(&fake.client().await, 3).await, ["+a", "live", r#"~b ["name"]"#]);
    assert_eq!(fake.count("CreatePropertyCollector"), 1);
}

#[tokio::test]
async fn a_long_poll_that_is_answered_at_once_is_asked_again_with_pauses() {
    let fake = Fake::start(|name, count, body| match name {
        "CreatePropertyCollector" => collector(count),
        "WaitForUpdatesEx" if version(body).is_empty() => {
            Reply::Is(updates("1", false, &[("enter", 1, &assign("name", "web-1"))]))
        }
        // Nothing to tell, though the server was asked to wait for something.
        _ => Reply::Is(String::new()),
    })
    .await;
    let client = fake.client().await;
    let vms = Inventory::start(client.watch::<VirtualMachine>().select(vm::NAME)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let asked = fake.count("WaitForUpdatesEx");
    assert!((3..12).contains(&asked), "asked {asked} times in three seconds");
    assert!(vms.is_live());
    // A question is not kept waiting by that.
    timeout(Duration::from_secs(1), vms.refresh()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_task_whose_long_poll_is_answered_at_once_is_asked_for_with_pauses() {
    let fake = Fake::start(|name, count, _| match name {
        "CreatePropertyCollector" => collector(count),
        _ => Reply::Is(String::new()),
    })
    .await;
    let client = fake.client().await;
    let task = vsphere_ops::Task::<()>::new(&client, ManagedObjectReference::new("Task", "task-1"), "clone", "golden");
    let error = task.with_deadline(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(error.code(), "timeout");
    assert!(fake.count("WaitForUpdatesEx") < 10, "asked {} times", fake.count("WaitForUpdatesEx"));
}

#[tokio::test]
async fn a_server_that_always_says_that_more_follows_ends_the_watch() {
    let fake = Fake::start(|name, count, body| match name {
        "CreatePropertyCollector" => collector(count),
        "WaitForUpdatesEx" if version(body).is_empty() => {
            Reply::Is(updates("1", true, &[("enter", 1, &assign("name", "web-1"))]))
        }
        _ => Reply::Is(updates("1", true, &[])),
    })
    .await;
    let client = fake.client().await;
    let started = Inventory::start(client.watch::<VirtualMachine>().select(vm::NAME));
    let error = timeout(Duration::from_secs(60), started).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "protocol", "{error}");
    assert!(fake.count("WaitForUpdatesEx") < 20);
}

#[tokio::test]
async fn a_mirror_asks_for_a_sign_of_life_every_ten_seconds() {
    let held = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&held);
    let fake = Fake::start(move |name, count, body| match name {
        "CreatePropertyCollector" => collector(count),
        "WaitForUpdatesEx" if version(body).is_empty() => {
            Reply::Is(updates("1", false, &[("enter", 1, &assign("name", "web-1"))]))
        }
        _ => {
            log.lock().unwrap().push(body.to_owned());
            silence()
        }
    })
    .await;
    let client = fake.client().await;
    let vms = Inventory::start(client.watch::<VirtualMachine>().select(vm::NAME)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = held.lock().unwrap().pop().unwrap();
    assert!(asked.contains("<maxWaitSeconds>10</maxWaitSeconds>"), "{asked}");
    assert!(vms.is_live());
}

#[tokio::test]
async fn events_whose_pages_repeat_end_in_an_error() {
    let page = r#"<returnval xsi:type="UserLoginSessionEvent"><key>1</key><chainId>1</chainId><createdTime>2026-01-01T00:00:00Z</createdTime><userName>u</userName></returnval>"#;
    let fake = Fake::start(move |name, _, _| match name {
        "CreateCollectorForEvents" => Reply::Is(r#"<returnval type="EventHistoryCollector">ev-1</returnval>"#.into()),
        _ => Reply::Is(page.to_owned()),
    })
    .await;
    let client = fake.client().await;
    let read: Result<Vec<_>, _> = timeout(PATIENCE, client.events().oldest_first().try_collect()).await.unwrap();
    assert_eq!(read.unwrap_err().code(), "protocol");
}

#[tokio::test]
async fn pitfall_02_a_missing_right_is_reported_and_ends_the_watch() {
    let fake = Fake::start(|name, count, _| match name {
        "CreatePropertyCollector" => collector(count),
        "WaitForUpdatesEx" => Reply::Fault("NoPermission"),
        _ => Reply::Status(400),
    })
    .await;
    assert_eq!(told(&fake.client().await, 2).await, ["permission", "end"]);
    assert_eq!(fake.count("WaitForUpdatesEx"), 1);
}

#[tokio::test]
async fn a_collector_that_never_worked_is_not_made_over_and_over() {
    let fake = Fake::start(|name, count, body| match (name, version(body)) {
        ("CreatePropertyCollector", _) => collector(count),
        ("WaitForUpdatesEx", _) => Reply::Fault("ManagedObjectNotFound"),
        _ => Reply::Status(400),
    })
    .await;
    assert_eq!(told(&fake.client().await, 2).await, ["not_found", "end"]);
    assert_eq!(fake.count("CreatePropertyCollector"), 1);
}

#[tokio::test]
async fn logging_out_ends_the_watches_and_they_do_not_log_in_again() {
    let fake = Fake::start(|name, count, body| match (name, version(body)) {
        ("CreatePropertyCollector", _) => collector(count),
        ("WaitForUpdatesEx", "") => Reply::Is(updates("1", false, &[])),
        _ => silence(),
    })
    .await;
    let client = fake.client().await;
    let mut changes = client.watch::<VirtualMachine>().select(vm::NAME);
    assert!(matches!(timeout(PATIENCE, changes.try_next()).await.unwrap().unwrap(), Some(Change::Live)));
    client.logout().await.unwrap();
    let error = timeout(PATIENCE, changes.try_next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "auth", "{error}");
    assert!(timeout(PATIENCE, changes.next()).await.unwrap().is_none());
    assert_eq!(told(&client, 2).await, ["auth", "end"]);
    assert_eq!((fake.count("Login"), fake.count("Logout")), (1, 1));
}

#[tokio::test]
async fn pitfall_26_an_unreadable_object_is_told_of_and_enters_when_it_can_be_read() {
    let fake = Fake::start(|name, count, body| match (name, version(body)) {
        ("CreatePropertyCollector", _) => collector(count),
        ("WaitForUpdatesEx", "") => {
            let missing = r#"<missingSet><path>name</path><fault><fault xsi:type="NoPermission"/><localizedMessage/></fault></missingSet>"#;
            Reply::Is(updates("1", false, &[("enter", 1, missing), ("enter", 2, &assign("name", "b"))]))
        }
        ("WaitForUpdatesEx", "1") => Reply::Is(updates("2", false, &[("modify", 1, &assign("name", "a"))])),
        _ => silence(),
    })
    .await;
    assert_eq!(told(&fake.client().await, 4).await, ["?vm-1 NoPermission", "+b", "live", "+a"]);
}

#[tokio::test]
async fn changes_inside_of_a_property_are_read_whole() {
    let fake = Fake::start(|name, count, body| match (name, version(body)) {
        ("CreatePropertyCollector", _) => collector(count),
        ("WaitForUpdatesEx", "") => Reply::Is(updates("1", false, &[("enter", 1, &assign("name", "a"))])),
        ("WaitForUpdatesEx", "1") => Reply::Is(updates("2", false, &[("modify", 1, &assign("name[2].part", "x"))])),
        ("RetrievePropertiesEx", _) => Reply::Is(
            r#"<returnval><objects><obj type="VirtualMachine">vm-1</obj><propSet><name>name</name><val xsi:type="xsd:string">whole</val></propSet></objects></returnval>"#.into(),
        ),
        _ => silence(),
    })
    .await;
    assert_eq!(told(&fake.client().await, 3).await, ["+a", "live", r#"~whole ["name"]"#]);
}

#[tokio::test]
async fn the_mirror_answers_from_memory_while_all_comes_anew() {
    let fake = Fake::start(|name, count, body| match (name, body.contains("pc-1"), version(body)) {
        ("CreatePropertyCollector", ..) => collector(count),
        ("WaitForUpdatesEx", true, "") => {
            let objects = [("enter", 1, &*assign("name", "a")), ("enter", 2, &*assign("name", "b"))];
            Reply::Is(updates("1", false, &objects))
        }
        ("WaitForUpdatesEx", true, _) => Reply::Fault("ManagedObjectNotFound"),
        ("WaitForUpdatesEx", false, "") => {
            Reply::Late(updates("1", false, &[("enter", 2, &assign("name", "b"))]), Duration::from_secs(1))
        }
        _ => silence(),
    })
    .await;
    let client = fake.client().await;
    let start = Inventory::start(client.watch::<VirtualMachine>().select(vm::NAME));
    let mut vms = timeout(PATIENCE, start).await.unwrap().unwrap();
    assert_eq!(vms.snapshot().len(), 2);
    while vms.is_live() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(vms.by_name("a").len(), 1, "what was known is answered until all is known anew");
    timeout(PATIENCE, vms.changed()).await.unwrap().unwrap();
    assert!(vms.is_live() && vms.by_name("a").is_empty() && vms.get("vm-2").is_some());
}

/// Events with these keys.
fn events(keys: &[i32]) -> String {
    let event = |key: &i32| {
        format!(
            r#"<returnval xsi:type="VmPoweredOnEvent"><key>{key}</key><chainId>{key}</chainId><createdTime>2026-01-01T00:00:{key:02}Z</createdTime><userName>u</userName></returnval>"#
        )
    };
    keys.iter().map(event).collect()
}

#[tokio::test]
async fn events_go_on_where_a_cut_took_a_page_along() {
    let fake = Fake::start(|name, count, body| match name {
        "CreateCollectorForEvents" => {
            // The second collector begins where the first one failed, by the server's own time.
            assert_eq!(body.contains("2026-01-01T00:00:02Z"), count == 2, "{body}");
            Reply::Is(format!(r#"<returnval type="EventHistoryCollector">ec-{count}</returnval>"#))
        }
        "ReadNextEvents" => match count {
            1 => Reply::Is(events(&[1, 2])),
            2 => Reply::Fault("ManagedObjectNotFound"),
            3 => Reply::Is(events(&[2, 3, 4])),
            _ => Reply::Is(String::new()),
        },
        _ => Reply::Status(400),
    })
    .await;
    let read = fake.client().await.events().oldest_first().try_collect::<Vec<_>>();
    let read = timeout(PATIENCE, read).await.unwrap().unwrap();
    assert_eq!(read.iter().map(|event| event.key).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn following_events_waits_for_a_server_that_is_away() {
    let fake = Fake::start(|name, count, _| match (name, count) {
        // More often than a request is repeated by itself.
        ("CreateCollectorForEvents", 2..=5) => Reply::Status(503),
        ("CreateCollectorForEvents", _) => {
            Reply::Is(r#"<returnval type="EventHistoryCollector">ec</returnval>"#.into())
        }
        ("ReadNextEvents", 1) => Reply::Is(events(&[1, 2])),
        ("ReadNextEvents", 2) => Reply::Fault("ManagedObjectNotFound"),
        ("ReadNextEvents", _) => Reply::Is(events(&[2, 3, 4])),
        _ => Reply::Status(400),
    })
    .await;
    let read = fake.client().await.events().follow().take(4).try_collect::<Vec<_>>();
    let read = timeout(PATIENCE, read).await.unwrap().unwrap();
    assert_eq!(read.iter().map(|event| event.key).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn pitfall_31_events_of_an_unknown_type_are_kept() {
    let fake = Fake::start(|name, count, _| match (name, count) {
        ("CreateCollectorForEvents", _) => {
            Reply::Is(r#"<returnval type="EventHistoryCollector">ec-1</returnval>"#.into())
        }
        ("ReadNextEvents", 1) => Reply::Is(events(&[7]).replace("VmPoweredOnEvent", "VmTeleportedEvent")),
        _ => Reply::Is(String::new()),
    })
    .await;
    let read = fake.client().await.events().oldest_first().try_collect::<Vec<_>>();
    let read = timeout(PATIENCE, read).await.unwrap().unwrap();
    assert_eq!((read[0].key, vsphere_ops::events::name_of(&read[0])), (7, "VmTeleportedEvent"));
}

#[tokio::test]
async fn pitfall_34_a_period_before_now_is_by_the_servers_clock() {
    let fake = Fake::start(|name, _, body| match name {
        "CreateCollectorForEvents" if body.contains("2026-01-01T11:00:00Z") => {
            Reply::Is(r#"<returnval type="EventHistoryCollector">ec-1</returnval>"#.into())
        }
        "ReadNextEvents" => Reply::Is(String::new()),
        _ => Reply::Fault("InvalidArgument"),
    })
    .await;
    let read = fake.client().await.events().last(Duration::from_secs(3600)).oldest_first().try_collect::<Vec<_>>();
    assert!(timeout(PATIENCE, read).await.unwrap().unwrap().is_empty());
}

/// The one counter of the server, cpu.usage.average, and what is asked of it.
fn performance(name: &str, body: &str, most: usize, limit: &str) -> Reply {
    match name {
        "RetrievePropertiesEx" => Reply::Is(
            r#"<returnval><objects><obj type="PerformanceManager">PerfMgr</obj><propSet><name>perfCounter</name><val xsi:type="ArrayOfPerfCounterInfo"><PerfCounterInfo xsi:type="PerfCounterInfo"><key>2</key><nameInfo><label>x</label><summary/><key>usage</key></nameInfo><groupInfo><label>x</label><summary/><key>cpu</key></groupInfo><unitInfo><label>x</label><summary/><key>percent</key></unitInfo><rollupType>average</rollupType><statsType>rate</statsType></PerfCounterInfo></val></propSet></objects></returnval>"#.into(),
        ),
        "QueryOptions" => Reply::Is(format!(
            r#"<returnval xsi:type="OptionValue"><key>config.vpxd.stats.maxQueryMetrics</key><value xsi:type="xsd:string">{limit}</value></returnval>"#
        )),
        "QueryPerf" => {
            let entities: Vec<&str> =
                body.split("vm-").skip(1).filter_map(|rest| rest.split_once('<')).map(|(id, _)| id).collect();
            if entities.contains(&"13") {
                return Reply::Fault("ManagedObjectNotFound");
            }
            if entities.len() > most {
                return Reply::Fault("InvalidArgument");
            }
            let series = entities.iter().map(|id| format!(
                r#"<returnval xsi:type="PerfEntityMetric"><entity type="VirtualMachine">vm-{id}</entity><sampleInfo><timestamp>2026-01-01T00:00:00Z</timestamp><interval>300</interval></sampleInfo><value xsi:type="PerfMetricIntSeries"><id><counterId>2</counterId><instance></instance></id><value>1250</value></value></returnval>"#
            ));
            Reply::Is(series.collect())
        }
        _ => Reply::Status(400),
    }
}

async fn usage_of(fake: &Fake, count: u32) -> vsphere_ops::performance::Report {
    let machines: Vec<_> =
        (1..=count).map(|id| ManagedObjectReference::new("VirtualMachine", format!("vm-{id}"))).collect();
    let client = fake.client().await;
    let query = client.performance().query(["cpu.usage.average"]).entities(&machines);
    timeout(PATIENCE, query.interval(Interval::FIVE_MINUTES).into_future()).await.unwrap().unwrap()
}

#[tokio::test]
async fn pitfall_29_a_query_is_cut_to_the_limit_that_the_server_names() {
    let fake = Fake::start(|name, _, body| performance(name, body, 4, "4")).await;
    let report = usage_of(&fake, 10).await;
    assert_eq!(report.series.len(), 10);
    assert_eq!(report.series[9].latest(), Some(12.5));
    assert_eq!(fake.count("QueryPerf"), 3);
}

#[tokio::test]
async fn pitfall_29_a_query_that_is_refused_is_halved() {
    let fake = Fake::start(|name, _, body| performance(name, body, 4, "-1")).await;
    let report = usage_of(&fake, 10).await;
    let ids: Vec<&str> = report.series.iter().map(|series| series.entity.value.as_str()).collect();
    assert_eq!(ids, (1..=10).map(|id| format!("vm-{id}")).collect::<Vec<_>>());
    // 10, 5, 2, 3, 5, 2, 3.
    assert_eq!(fake.count("QueryPerf"), 7);
}

#[tokio::test]
async fn pitfall_11_an_object_that_is_gone_costs_only_its_own_series() {
    let fake = Fake::start(|name, _, body| performance(name, body, 64, "64")).await;
    let report = usage_of(&fake, 20).await;
    assert_eq!((report.series.len(), report.gone.len()), (19, 1));
    assert_eq!(report.gone[0].value, "vm-13");
}
