//! Sessions that are lost, refused, dropped and ended.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{sleep, timeout};
use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_ops::{Client, Error};
use vsphere_soap::Sent;

use crate::support::{Answer, Vcenter};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn code(result: Result<impl Sized, Error>) -> &'static str {
    result.err().unwrap().code()
}

#[tokio::test]
async fn pitfall_01_a_session_lost_before_a_call_is_renewed_once() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.state().restart();
    client.server_time().await.unwrap();
    assert_eq!((vcenter.count("Login"), vcenter.count("CurrentTime")), (2, 2));
    client.server_time().await.unwrap();
    assert_eq!(vcenter.count("Login"), 2);
}

#[tokio::test]
async fn pitfall_01_a_session_lost_during_a_call_is_renewed_and_the_read_sent_again() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.script("CurrentTime", [Answer::Die]);
    client.server_time().await.unwrap();
    assert_eq!((vcenter.count("Login"), vcenter.count("CurrentTime")), (2, 3));
}

#[tokio::test]
async fn pitfall_01_a_session_lost_after_a_call_does_not_disturb_the_next() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    for _ in 0..3 {
        client.server_time().await.unwrap();
        vcenter.state().restart();
    }
    client.server_time().await.unwrap();
    assert_eq!(vcenter.count("Login"), 4);
}

#[tokio::test]
async fn pitfall_01_the_server_is_asked_only_while_the_session_is_idle() {
    let vcenter = Vcenter::start().await;
    let client = Client::connect(vcenter.config().keepalive(ms(400))).await.unwrap();
    let asked = || vcenter.count("RetrievePropertiesEx");
    for _ in 0..20 {
        client.server_time().await.unwrap();
        sleep(ms(50)).await;
    }
    assert_eq!(asked(), 0, "requests kept it alive");
    vcenter.until("the idle session is kept alive", |state| state.count("RetrievePropertiesEx") >= 2).await;
    client.logout().await.unwrap();
    let until_now = asked();
    sleep(ms(900)).await;
    assert_eq!(asked(), until_now, "nothing is asked after the logout");
}

#[tokio::test]
async fn pitfall_01_keeping_alive_does_not_log_in() {
    let vcenter = Vcenter::start().await;
    let client = Client::connect(vcenter.config().keepalive(ms(50))).await.unwrap();
    vcenter.state().restart();
    vcenter.until("three questions", |state| state.count("RetrievePropertiesEx") >= 3).await;
    assert_eq!(vcenter.count("Login"), 1);
    client.server_time().await.unwrap();
    assert_eq!(vcenter.count("Login"), 2, "it is renewed when it is needed");
}

#[tokio::test]
async fn pitfall_02_not_authenticated_in_a_new_session_is_reported_and_never_looped() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.always("CurrentTime", Answer::Fault("NotAuthenticated"));
    let error = client.server_time().await.unwrap_err();
    assert_eq!((error.code(), error.sent()), ("permission", Sent::No));
    assert!(error.to_string().contains("the user may lack the right"), "{error}");
    assert_eq!((vcenter.count("Login"), vcenter.count("CurrentTime")), (2, 2));
    for _ in 0..10 {
        assert_eq!(code(client.server_time().await), "permission");
    }
    assert_eq!(vcenter.count("Login"), 2, "a session that lives is not renewed for it again");
    assert_eq!(vcenter.state().sessions.len(), 1, "and the first one is not left over");
}

/// A server that refuses all reads, also in a session that it has just opened.
async fn refuses_reads() -> (Vcenter, Client) {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.always("RetrievePropertiesEx", Answer::Fault("NotAuthenticated"));
    (vcenter, client)
}

async fn list(client: &Client) -> Result<(), Error> {
    client.all::<VirtualMachine>().select(vm::NAME).await.map(drop)
}

#[tokio::test]
async fn a_refusal_that_stays_costs_one_login_and_each_session_is_ended() {
    let (vcenter, client) = refuses_reads().await;
    for _ in 0..5 {
        let error = list(&client).await.unwrap_err();
        assert_eq!((error.code(), error.sent()), ("session", Sent::No), "{error}");
        assert!(error.to_string().contains("does not take the new one either"), "{error}");
    }
    // One for the reads; one more since the view has to be made in a session that lives.
    assert!(vcenter.count("Login") <= 3, "{} logins", vcenter.count("Login"));
    client.logout().await.unwrap();
    assert!(vcenter.state().sessions.is_empty(), "{} sessions are left", vcenter.state().sessions.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_callers_of_a_refusal_that_stays_share_one_login() {
    let (vcenter, client) = refuses_reads().await;
    let reads = (0..32).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.get::<VirtualMachine>("vm-1").await.map(drop) })
    });
    for done in join_all(reads).await {
        assert_eq!(code(done.unwrap()), "session");
    }
    // Two, and one more if a view was made in the second session before that was ended: see above.
    assert!((2..=3).contains(&vcenter.count("Login")), "{} logins", vcenter.count("Login"));
    client.logout().await.unwrap();
    assert!(vcenter.state().sessions.is_empty());
}

#[tokio::test]
async fn a_session_that_is_lost_twice_in_a_row_is_renewed_by_the_next_call() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.script("CurrentTime", [Answer::Fault("NotAuthenticated"), Answer::Die, Answer::Usual]);
    // The connection is cut and the session gone at once.
    vcenter.state().restart();
    let first = client.server_time().await;
    let second = client.server_time().await;
    assert!(first.is_ok() || code(first) == "session");
    second.unwrap();
    assert_eq!(vcenter.state().sessions.len(), 1);
}

#[tokio::test]
async fn a_rest_session_that_is_refused_again_and_again_is_not_left_behind() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    let refused = Answer::Http(401, None, "{\"error_type\":\"UNAUTHENTICATED\",\"messages\":[]}".into());
    vcenter.always("GET /api/cis/tagging/category", refused);
    for _ in 0..5 {
        assert!(client.rest().unwrap().get::<Vec<String>>("/api/cis/tagging/category").await.is_err());
    }
    assert!(vcenter.count("POST /api/session") <= 2, "{} logins", vcenter.count("POST /api/session"));
    client.logout().await.unwrap();
    assert!(vcenter.state().rest_sessions.is_empty(), "{:?}", vcenter.state().rest_sessions);
}

#[tokio::test]
async fn pitfall_02_a_session_that_is_only_good_for_reads_is_replaced() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.script("CurrentTime", [Answer::Fault("NotAuthenticated")]);
    client.server_time().await.unwrap();
    assert_eq!((vcenter.count("Login"), vcenter.count("Logout")), (2, 1));
    assert_eq!(vcenter.state().sessions.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_03_64_tasks_that_find_the_session_lost_log_in_once() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.state().restart();
    let tasks = (0..64).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.server_time().await })
    });
    for done in join_all(tasks).await {
        done.unwrap().unwrap();
    }
    assert_eq!(vcenter.count("Login"), 2);
    assert_eq!(vcenter.state().sessions.len(), 1);
}

#[tokio::test]
async fn pitfall_03_a_connect_that_is_given_up_leaves_no_session() {
    let vcenter = Vcenter::start().await;
    vcenter.script("Login", [Answer::Late(ms(200), Box::new(Answer::Usual))]);
    assert!(timeout(ms(100), Client::connect(vcenter.config())).await.is_err());
    vcenter.until("a logout", |state| state.count("Logout") == 1).await;
    assert!(vcenter.state().sessions.is_empty());
}

#[tokio::test]
async fn pitfall_03_a_login_whose_answer_is_cut_leaves_no_session() {
    let vcenter = Vcenter::start().await;
    vcenter.script("Login", [Answer::Cut(20)]);
    assert_eq!(code(Client::connect(vcenter.config()).await), "connection");
    assert_eq!((vcenter.count("Login"), vcenter.state().sessions.len()), (1, 0));
}

#[tokio::test]
async fn pitfall_03_a_renewal_that_is_given_up_does_not_hold_up_the_others() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.state().restart();
    vcenter.script("Login", [Answer::Late(ms(300), Box::new(Answer::Usual))]);
    assert!(timeout(ms(100), client.server_time()).await.is_err());
    timeout(ms(2000), client.server_time()).await.unwrap().unwrap();
    assert_eq!((vcenter.count("Login"), vcenter.state().sessions.len()), (2, 1));
}

#[tokio::test]
async fn pitfall_03_the_last_clone_logs_out_when_it_is_dropped() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    let clone = client.clone().with_deadline(ms(1000));
    client.rest().unwrap().get::<Vec<String>>("/api/cis/tagging/category").await.unwrap();
    drop(client);
    clone.server_time().await.unwrap();
    drop(clone);
    vcenter.until("no session", |state| state.sessions.is_empty() && state.rest_sessions.is_empty()).await;
}

#[tokio::test]
async fn pitfall_03_after_the_logout_nobody_logs_in_again() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    let clone = client.clone();
    client.logout().await.unwrap();
    client.logout().await.unwrap();
    let error = clone.server_time().await.unwrap_err();
    assert_eq!((error.code(), error.sent()), ("auth", Sent::No));
    assert!(error.to_string().contains("was logged out; connect anew"), "{error}");
    assert_eq!(code(clone.rest().unwrap().get::<()>("/api/x").await), "auth");
    assert_eq!((vcenter.count("Login"), vcenter.count("Logout"), vcenter.count("CurrentTime")), (1, 1, 0));
    assert!(vcenter.state().sessions.is_empty());
}

#[tokio::test]
async fn pitfall_03_a_logout_during_a_call_does_not_renew_the_session() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.script("CurrentTime", [Answer::Late(ms(200), Box::new(Answer::Usual))]);
    let (time, logout) = tokio::join!(client.server_time(), async {
        sleep(ms(50)).await;
        client.logout().await
    });
    logout.unwrap();
    assert_eq!(code(time), "auth");
    assert_eq!(vcenter.count("Login"), 1);
}

#[tokio::test]
async fn pitfall_03_a_refused_login_is_reported_and_not_hammered() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.state().restart();
    vcenter.state().password = "changed".into();
    let all = join_all((0..16).map(|_| client.server_time())).await;
    for error in all.into_iter().map(Result::unwrap_err) {
        assert_eq!((error.code(), error.is_fault("InvalidLogin"), error.is_retryable()), ("auth", true, false));
        assert!(error.to_string().contains("logging in again failed: refused (InvalidLogin)"), "{error}");
    }
    assert_eq!(code(client.server_time().await), "auth");
    assert_eq!(vcenter.count("Login"), 2, "one refusal is enough to lock nobody out");
}

#[tokio::test]
async fn pitfall_03_a_wrong_password_is_said_at_once() {
    let vcenter = Vcenter::start().await;
    let error = Client::connect(vcenter.config().password("wrong")).await.unwrap_err();
    assert_eq!(error.code(), "auth");
    assert_eq!(error.to_string(), "log in \"reader\": refused (InvalidLogin)");
    assert_eq!(vcenter.count("Login"), 1);
}

#[tokio::test]
async fn pitfall_33_the_locale_is_fixed_and_given_up_where_it_is_unknown() {
    let vcenter = Vcenter::start().await;
    vcenter.script("Login", [Answer::Fault("InvalidLocale")]);
    vcenter.connect().await;
    let logins: Vec<String> =
        vcenter.state().log.iter().filter(|request| request.name == "Login").map(|login| login.body.clone()).collect();
    assert_eq!(logins.len(), 2);
    assert!(logins[0].contains("<locale>en_US</locale>") && !logins[1].contains("locale"), "{logins:#?}");
}

#[tokio::test]
async fn pitfall_34_the_clocks_are_compared() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    let ahead = chrono::Utc::now() + chrono::TimeDelta::hours(3);
    vcenter.script("CurrentTime", [Answer::Result(format!("<returnval>{}</returnval>", ahead.to_rfc3339()))]);
    let offset = client.clock_offset().await.unwrap();
    assert!((offset - chrono::TimeDelta::hours(3)).abs() < chrono::TimeDelta::seconds(5), "{offset}");
}
