//! Deadlines, and what a server, its licence or another task does not allow.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use vsphere_ops::managed::VirtualMachine;
use vsphere_ops::types::ManagedObjectReference;
use vsphere_ops::{Circumstance, Error};
use vsphere_soap::Sent;

use crate::support::{Answer, Vcenter};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test]
async fn pitfall_09_a_deadline_covers_repetitions() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.always("CurrentTime", Answer::Http(503, None, String::new()));
    let start = Instant::now();
    let error = client.with_deadline(ms(500)).server_time().await.unwrap_err();
    assert!(start.elapsed() < ms(700), "{:?}", start.elapsed());
    assert!(error.to_string().contains("503"), "the cause, not the deadline, is what helps: {error}");
    assert!((2..4).contains(&vcenter.count("CurrentTime")));
}

#[tokio::test]
async fn pitfall_09_a_deadline_covers_the_renewal_of_the_session() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.state().restart();
    vcenter.script("Login", [Answer::Late(ms(600), Box::new(Answer::Usual))]);
    let start = Instant::now();
    let error = client.with_deadline(ms(200)).server_time().await.unwrap_err();
    assert_eq!((error.code(), error.sent()), ("timeout", Sent::No));
    assert!(start.elapsed() < ms(400), "{:?}", start.elapsed());
    client.server_time().await.unwrap();
    assert_eq!(vcenter.count("Login"), 2, "the login went on, and served the next call");
}

#[tokio::test]
async fn pitfall_09_limits_beyond_all_clocks_are_none() {
    let vcenter = Vcenter::start().await;
    for period in [Duration::ZERO, Duration::MAX] {
        let client = vsphere_ops::Client::connect(vcenter.config().keepalive(period)).await.unwrap();
        client.with_deadline(Duration::MAX).server_time().await.unwrap();
        sleep(ms(50)).await;
    }
    assert_eq!(vcenter.count("RetrievePropertiesEx"), 0, "nothing is asked without a pause");
}

#[tokio::test]
async fn pitfall_24_a_licence_that_allows_reading_only_is_said_and_remembered() {
    let vcenter = Vcenter::start().await;
    vcenter.state().api_type = "HostAgent".into();
    let client = vcenter.connect().await;
    client.require_writable("power on").unwrap();
    vcenter.always("PowerOnVM_Task", Answer::Fault("RestrictedVersion"));
    let machine: VirtualMachine = client.raw(&ManagedObjectReference::new("VirtualMachine", "vm-1"));
    let error = Error::from(machine.power_on_vm_task(None).await.unwrap_err());
    assert_eq!(error.code(), "unsupported");
    assert!(error.is_fault("RestrictedVersion"), "{error}");
    assert!(client.capabilities().read_only);
    let error = client.require_writable("power on").unwrap_err();
    assert_eq!((error.code(), error.circumstance()), ("unsupported", Some(&Circumstance::ReadOnlyLicence)));
    assert!(error.to_string().contains("allows reading only"), "{error}");
    assert_eq!(vcenter.count("PowerOnVM_Task"), 1);
}

#[tokio::test]
async fn pitfall_25_what_only_a_vcenter_can_do_is_said_before_it_is_tried() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    assert!(client.is_vcenter());
    client.require_vcenter("clone").unwrap();

    let host = Vcenter::start().await;
    host.state().api_type = "HostAgent".into();
    let client = host.connect().await;
    let error = client.require_vcenter("clone").unwrap_err();
    assert_eq!(error.code(), "unsupported");
    let text = error.to_string();
    assert!(text.starts_with("clone ") && text.contains("single ESXi host") && text.contains("vCenter that manages"));
    assert_eq!(client.rest().unwrap_err().code(), "unsupported");
}

#[tokio::test]
async fn pitfall_28_an_object_that_is_busy_is_tried_again_for_a_while() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    let machine: VirtualMachine = client.raw(&ManagedObjectReference::new("VirtualMachine", "vm-1"));
    let power_on = || async { Ok(machine.power_on_vm_task(None).await.map(drop)?) };
    vcenter.script("PowerOnVM_Task", [Answer::Fault("TaskInProgress"), Answer::Fault("ConcurrentAccess")]);
    client.retry_while_busy(Duration::from_secs(5), power_on).await.unwrap();
    assert_eq!(vcenter.count("PowerOnVM_Task"), 3);

    vcenter.always("PowerOnVM_Task", Answer::Fault("TaskInProgress"));
    let start = Instant::now();
    let error = client.retry_while_busy(ms(600), power_on).await.unwrap_err();
    assert!(error.is_busy() && error.is_retryable(), "{error}");
    assert!(start.elapsed() < ms(900), "{:?}", start.elapsed());
}

#[tokio::test]
async fn pitfall_04_the_rest_session_is_opened_and_renewed_on_its_own() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    let rest = client.rest().unwrap();
    assert_eq!(vcenter.count("POST /api/session"), 0, "opened when it is needed");
    for _ in 0..2 {
        let found: Vec<String> = rest.get("/api/cis/tagging/category").await.unwrap();
        assert_eq!(found, ["c-1"]);
    }
    vcenter.state().rest_sessions.clear();
    let all = futures::future::join_all((0..16).map(|_| rest.get::<Vec<String>>("/api/cis/tagging/category"))).await;
    assert!(all.into_iter().all(|found| found.unwrap() == ["c-1"]));
    assert_eq!((vcenter.count("POST /api/session"), vcenter.count("Login")), (2, 1));
    client.logout().await.unwrap();
    assert!(vcenter.state().rest_sessions.is_empty());
}

#[tokio::test]
async fn pitfall_04_older_servers_have_their_rest_sessions_elsewhere() {
    let vcenter = Vcenter::start().await;
    vcenter.always("POST /api/session", Answer::Http(404, None, "<html>not here</html>".into()));
    let client = vcenter.connect().await;
    let error = client.rest().unwrap().get::<String>("/rest/com/vmware/x").await.unwrap_err();
    assert_eq!((error.code(), error.is_not_found()), ("not_found", true));
    assert_eq!(error.to_string(), "get \"/rest/com/vmware/x\": No such thing (NOT_FOUND, HTTP 404)");
    client.logout().await.unwrap();
    assert_eq!(vcenter.count("DELETE /rest/com/vmware/cis/session"), 1);
}

#[tokio::test]
async fn pitfall_04_refused_rest_credentials_are_not_hammered() {
    let vcenter = Vcenter::start().await;
    vcenter.always("POST /api/session", Answer::Http(401, None, String::new()));
    let client = vcenter.connect().await;
    for _ in 0..5 {
        let error = client.rest().unwrap().get::<()>("/api/x").await.unwrap_err();
        assert_eq!(error.code(), "auth", "{error}");
    }
    assert_eq!(vcenter.count("POST /api/session"), 1);
}

#[tokio::test]
async fn pitfall_04_rest_reads_are_repeated_and_changes_only_where_that_is_safe() {
    let vcenter = Vcenter::start().await;
    let rest = vcenter.connect().await.rest().unwrap();
    vcenter.script("GET /api/cis/tagging/category", [Answer::Http(503, None, String::new()), Answer::Die]);
    rest.get::<Vec<String>>("/api/cis/tagging/category").await.unwrap();
    vcenter.script("POST /api/x", [Answer::Die]);
    let error = rest.post::<()>("/api/x", &1).await.unwrap_err();
    assert_eq!((error.code(), vcenter.count("POST /api/x")), ("connection", 1));
    assert!(error.to_string().contains("may have been carried out"), "{error}");
}
