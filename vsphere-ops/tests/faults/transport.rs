//! Connections that are cut, answers that stall, servers that are busy.

use std::time::{Duration, Instant};

use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_ops::types::ManagedObjectReference;
use vsphere_ops::{Client, Error};
use vsphere_soap::Sent;

use crate::support::{Answer, Vcenter, vms};

const BUSY: Answer = Answer::Http(503, None, String::new());

fn busy(text: &str) -> Answer {
    Answer::Http(503, None, text.into())
}

/// Starts a task, which is a change.
async fn power_on(client: &Client) -> Result<(), Error> {
    let machine: VirtualMachine = client.raw(&ManagedObjectReference::new("VirtualMachine", "vm-1"));
    Ok(machine.power_on_vm_task(None).await.map(drop)?)
}

#[tokio::test]
async fn an_answer_that_is_cut_is_asked_for_again_where_it_is_a_read() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.script("CurrentTime", [Answer::Cut(30), Answer::Cut(0)]);
    client.server_time().await.unwrap();
    assert_eq!((vcenter.count("CurrentTime"), vcenter.count("Login")), (3, 1));
}

#[tokio::test]
async fn a_change_whose_answer_is_cut_is_not_sent_again_and_the_error_says_so() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.script("PowerOnVM_Task", [Answer::Cut(30), Answer::Die]);
    for sent in [Sent::Yes, Sent::Maybe] {
        let error = power_on(&client).await.unwrap_err();
        assert_eq!((error.code(), error.sent(), error.is_retryable()), ("connection", sent, true));
        assert!(error.to_string().ends_with("; the request may have been carried out"), "{error}");
    }
    assert_eq!(vcenter.count("PowerOnVM_Task"), 2);
}

#[tokio::test]
async fn a_connection_that_is_cut_while_the_waiter_is_made_does_not_lose_the_task() {
    for step in ["CreatePropertyCollector", "CreateFilter", "WaitForUpdatesEx"] {
        for cut in [Answer::Cut(30), Answer::Die] {
            let vcenter = Vcenter::start().await;
            let client = vcenter.connect().await;
            vcenter.script(step, [cut.clone(), cut]);
            let vm = client.get::<VirtualMachine>("VirtualMachine:vm-1").await.unwrap();
            vm.power_on().await.unwrap().await.unwrap();
            assert_eq!(vcenter.count("PowerOnVM_Task"), 1, "the change is made once: {step}");
        }
    }
}

#[tokio::test]
async fn a_task_that_can_not_be_watched_goes_on_and_the_error_says_so() {
    let vcenter = Vcenter::start().await;
    let client = Client::connect(vcenter.config().attempts(1)).await.unwrap();
    vcenter.always("CreateFilter", Answer::Fault("ManagedObjectNotFound"));
    let vm = client.get::<VirtualMachine>("VirtualMachine:vm-1").await.unwrap();
    let error = vm.power_on().await.unwrap().await.unwrap_err();
    assert_eq!((error.code(), error.is_not_found(), error.sent()), ("session", false, Sent::Yes), "{error}");
    assert!(error.to_string().contains("task-1 goes on, but could not be waited for"), "{error}");
}

#[tokio::test]
async fn a_view_whose_answer_is_cut_is_made_again() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.script("CreateContainerView", [Answer::Cut(30)]);
    assert_eq!(client.all::<VirtualMachine>().select(vm::NAME).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_answer_that_trickles_ends_with_the_time_limit() {
    let vcenter = Vcenter::start().await;
    let client = Client::connect(vcenter.config().request_timeout(Duration::from_millis(400))).await.unwrap();
    vcenter.always("CurrentTime", Answer::Drip(Duration::from_millis(20)));
    let start = Instant::now();
    let error = client.server_time().await.unwrap_err();
    assert_eq!(error.code(), "timeout");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(vcenter.count("CurrentTime"), 1, "a server that took all the time is not asked again");
}

#[tokio::test]
async fn pitfall_32_a_busy_server_is_asked_again_reads_and_changes() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.script("CurrentTime", [BUSY, BUSY]);
    client.server_time().await.unwrap();
    vcenter.script("PowerOnVM_Task", [Answer::Http(429, None, String::new()), BUSY]);
    power_on(&client).await.unwrap();
    assert_eq!((vcenter.count("CurrentTime"), vcenter.count("PowerOnVM_Task")), (3, 3));
}

#[tokio::test]
async fn pitfall_32_a_server_that_stays_busy_is_reported_with_its_words() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.always("CurrentTime", busy("<html><h1>503 Service Unavailable</h1>\r\n<p>vpxd is down</html>"));
    let error = client.server_time().await.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("connection", true));
    let text = error.to_string();
    assert!(text.contains("HTTP 503 Service Unavailable: \"503 Service Unavailable vpxd is down\""), "{text}");
    assert_eq!(vcenter.count("CurrentTime"), 4);
}

#[tokio::test]
async fn pitfall_32_a_busy_server_that_says_when_is_asked_then() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.script("CurrentTime", [Answer::Http(503, Some(("Retry-After", "1")), String::new())]);
    let start = Instant::now();
    client.server_time().await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    vcenter.script("CurrentTime", [Answer::Http(503, Some(("Retry-After", "3600")), String::new())]);
    let start = Instant::now();
    let error = client.server_time().await.unwrap_err();
    assert!(error.to_string().contains("try again in 3600 s"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(1), "an hour is not waited for");
}

#[tokio::test]
async fn pitfall_32_a_proxy_that_lost_the_server_midway_does_not_repeat_a_change() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.script("PowerOnVM_Task", [busy("upstream connect error. reset reason: connection termination")]);
    let error = power_on(&client).await.unwrap_err();
    assert_eq!((error.sent(), vcenter.count("PowerOnVM_Task")), (Sent::Maybe, 1));
    assert!(error.to_string().contains("may have been carried out"), "{error}");
}

#[tokio::test]
async fn pitfall_32_connecting_waits_for_a_server_that_is_not_ready() {
    let vcenter = Vcenter::start().await;
    vcenter.script("GET /sdk/vimServiceVersions.xml", [BUSY]);
    vcenter.script("RetrieveServiceContent", [BUSY]);
    vcenter.script("Login", [BUSY]);
    vcenter.connect().await;
    assert_eq!(vcenter.count("Login"), 2);
}

#[tokio::test]
async fn pitfall_32_one_attempt_is_one_attempt() {
    let vcenter = Vcenter::start().await;
    let client = Client::connect(vcenter.config().attempts(1)).await.unwrap();
    vcenter.script("CurrentTime", [BUSY]);
    client.server_time().await.unwrap_err();
    assert_eq!(vcenter.count("CurrentTime"), 1);
}

#[tokio::test]
async fn a_server_that_is_started_again_is_found_again() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.stop();
    let (time, ()) = tokio::join!(client.server_time(), async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        vcenter.resume().await;
    });
    time.unwrap();
    assert_eq!(vcenter.count("Login"), 2);
}

#[tokio::test]
async fn a_certificate_that_changes_under_its_pin_is_refused_at_once() {
    let (vcenter, thumbprint) = Vcenter::start_tls().await;
    let client = Client::connect(vcenter.config().thumbprint(&thumbprint)).await.unwrap();
    client.server_time().await.unwrap();
    vcenter.stop();
    vcenter.change_certificate();
    vcenter.resume().await;
    let requests = vcenter.state().log.len();
    let start = Instant::now();
    let error = client.server_time().await.unwrap_err();
    assert_eq!((error.code(), error.sent(), error.is_retryable()), ("connection", Sent::No, false));
    assert!(error.to_string().contains("its thumbprint is not the pinned one"), "{error}");
    assert!(start.elapsed() < Duration::from_millis(200), "it was not tried again: {:?}", start.elapsed());
    assert_eq!(vcenter.state().log.len(), requests, "nothing was sent to the stranger");
}

#[tokio::test]
async fn pitfall_05_pages_are_followed_and_a_cut_among_them_is_no_short_list() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    let list = || async { client.all::<VirtualMachine>().select(vm::NAME).await.map(|rows| rows.len()) };
    vcenter.script("RetrievePropertiesEx", [Answer::Result(vms(&["a", "b"], Some("t1")))]);
    vcenter.script(
        "ContinueRetrievePropertiesEx",
        [Answer::Result(vms(&["c"], Some("t2"))), Answer::Result(vms(&["d"], None))],
    );
    assert_eq!(list().await.unwrap(), 4);

    vcenter.script("RetrievePropertiesEx", [Answer::Result(vms(&["a", "b"], Some("t3")))]);
    vcenter.script("ContinueRetrievePropertiesEx", [Answer::Cut(30)]);
    // Either the whole list, read anew, or an error: never the first page alone.
    match list().await {
        Ok(count) => assert_eq!(count, 2, "the usual answer has two, on one page"),
        Err(error) => assert_eq!(error.code(), "connection"),
    }
    assert_eq!(
        vcenter.count("ContinueRetrievePropertiesEx"),
        3,
        "the page that was cut is gone and not asked for again"
    );
}

#[tokio::test]
async fn pitfall_06_a_user_whose_further_pages_are_refused_is_told_what_helps() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.script("RetrievePropertiesEx", [Answer::Result(vms(&["a"], Some("t1")))]);
    vcenter.script("ContinueRetrievePropertiesEx", [Answer::Fault("NoPermission")]);
    let error = client.all::<VirtualMachine>().select(vm::NAME).await.unwrap_err();
    assert_eq!(error.code(), "permission");
    assert!(error.to_string().contains("root folder"), "{error}");
}

#[tokio::test]
async fn pitfall_31_an_object_of_a_newer_type_does_not_spoil_the_answer() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    let newer = vms(&["a", "b"], None).replace("<objects>", "<objects><x9><y z=\"1\"/></x9>");
    vcenter.script("RetrievePropertiesEx", [Answer::Result(newer)]);
    assert_eq!(client.all::<VirtualMachine>().select(vm::NAME).await.unwrap().len(), 2);
}
