//! Several servers at once.

use std::time::Duration;

use futures::future::join_all;
use vsphere_ops::Clients;

use crate::support::{Answer, Vcenter};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_03_64_tasks_that_need_a_server_log_in_once() {
    let vcenter = Vcenter::start().await;
    let clients = Clients::new([("oslo", vcenter.config())]).unwrap();
    for client in join_all((0..64).map(|_| clients.get("oslo"))).await {
        client.unwrap();
    }
    assert_eq!(vcenter.count("Login"), 1);
    clients.logout().await;
    assert!(vcenter.state().sessions.is_empty());
    clients.get("oslo").await.unwrap().server_time().await.unwrap();
    assert_eq!(vcenter.count("Login"), 2, "it connects anew after the logout");
}

#[tokio::test]
async fn one_server_that_fails_does_not_hide_the_others() {
    let (berlin, oslo, rome) = (Vcenter::start().await, Vcenter::start().await, Vcenter::start().await);
    oslo.stop();
    rome.always("CurrentTime", Answer::Fault("NoPermission"));
    let configs = [("berlin", &berlin), ("oslo", &oslo), ("rome", &rome)];
    let clients = Clients::new(configs.map(|(name, server)| (name, server.config().attempts(1)))).unwrap();
    let replies = clients.each(|client| async move { client.server_time().await }).await;
    let codes: Vec<_> =
        replies.iter().map(|reply| (reply.name.as_str(), reply.result.as_ref().err().map(|e| e.code()))).collect();
    assert_eq!(codes, [("berlin", None), ("oslo", Some("connection")), ("rome", Some("permission"))]);
    oslo.resume().await;
    assert!(clients.all().await.iter().all(|reply| reply.result.is_ok()), "a server that is back is found again");
}

#[tokio::test]
async fn refused_credentials_are_not_hammered() {
    let vcenter = Vcenter::start().await;
    let clients = Clients::new([("oslo", vcenter.config().password("wrong"))]).unwrap();
    for _ in 0..10 {
        let error = clients.get("oslo").await.unwrap_err();
        assert_eq!(error.code(), "auth");
        assert!(error.to_string().contains("InvalidLogin"), "{error}");
    }
    assert_eq!(vcenter.count("Login"), 1);
}

#[tokio::test]
async fn a_connect_that_is_given_up_does_not_hold_up_the_others() {
    let vcenter = Vcenter::start().await;
    vcenter.script("Login", [Answer::Late(Duration::from_secs(1), Box::new(Answer::Usual))]);
    let clients = Clients::new([("oslo", vcenter.config())]).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), clients.get("oslo")).await.is_err());
    clients.get("oslo").await.unwrap();
    vcenter.until("one session", |state| state.sessions.len() == 1).await;
}

#[test]
fn names_are_there_once_and_unknown_ones_are_told_the_others() {
    let config = || vsphere_ops::Config::new("127.0.0.1:1");
    assert_eq!(Clients::new([("a", config()), ("a", config())]).unwrap_err().code(), "invalid_argument");
    let clients = Clients::new([("a", config()), ("b", config())]).unwrap();
    let error = futures::executor::block_on(clients.get("c")).unwrap_err();
    assert_eq!(error.to_string(), "connect \"c\": no server has this name; there are a, b");
}
