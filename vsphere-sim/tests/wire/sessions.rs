//! Sessions: how they begin, who sees them, how they end.

use std::time::Duration;

use crate::support::{Lab, fault};
use vsphere_model::managed::{EventManager, SessionManager, session_manager};
use vsphere_model::types::{EventFilterSpec, UserSession};
use vsphere_sim::{Model, Role};

const ALICE: &str = "alice@vsphere.local";
const SECRET: &str = "secret";

fn manager(lab: &Lab) -> SessionManager {
    lab.object(lab.content.session_manager.as_ref().unwrap())
}

async fn current(lab: &Lab) -> UserSession {
    lab.get(&manager(lab), session_manager::CURRENT_SESSION).await.unwrap()
}

#[tokio::test]
async fn a_user_is_known_by_all_forms_of_the_name() {
    let lab = Lab::new(Model::empty().user(ALICE, SECRET, Role::ReadOnly)).await;
    for name in [ALICE, "ALICE@VSPHERE.LOCAL", "VSPHERE.LOCAL\\alice", "vsphere.local\\Alice"] {
        let session = current(&lab.another(name, SECRET).await.unwrap()).await;
        assert_eq!((session.user_name.as_str(), session.full_name.as_str()), ("VSPHERE.LOCAL\\alice", "alice"));
    }
    assert!(lab.another("alice", SECRET).await.is_err(), "the domain is a part of the name");
    assert!(lab.another(ALICE, "Secret").await.is_err());
    let events: EventManager = lab.object(lab.content.event_manager.as_ref().unwrap());
    let refused = EventFilterSpec { event_type_id: vec!["BadUsernameSessionEvent".to_owned()], ..Default::default() };
    assert_eq!(events.query_events(&refused, None).await.unwrap().len(), 2);
}

#[tokio::test]
async fn who_is_logged_in_can_not_log_in_again_before_the_log_out() {
    let lab = Lab::new(Model::empty()).await;
    let sessions = manager(&lab);
    assert_eq!(fault(sessions.login(Model::USER, Model::PASSWORD, None)).await, "InvalidLogin");
    sessions.logout().await.unwrap();
    sessions.login(Model::USER, Model::PASSWORD, None).await.unwrap();
}

#[tokio::test]
async fn an_administrator_sees_and_ends_the_sessions_of_others() {
    let lab = Lab::new(Model::empty().user(ALICE, SECRET, Role::ReadOnly)).await;
    let alice = lab.another(ALICE, SECRET).await.unwrap();
    let key = current(&alice).await.key;
    let sessions = manager(&lab);
    let list = lab.get(&sessions, session_manager::SESSION_LIST).await;
    assert_eq!(list.len(), 2);
    assert!(sessions.session_is_active(&key, ALICE).await.unwrap());
    assert!(!sessions.session_is_active(&key, Model::USER).await.unwrap());
    let own = current(&lab).await.key;
    assert_eq!(fault(sessions.terminate_session(&[own])).await, "InvalidArgument");
    assert_eq!(fault(manager(&alice).terminate_session(std::slice::from_ref(&key))).await, "NoPermission");
    sessions.terminate_session(std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(fault(sessions.terminate_session(&[key])).await, "NotFound");
    let error = alice.read(&alice.content.root_folder, "name").await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("NotAuthenticated")), "{error}");
}

#[tokio::test]
async fn pitfall_01_an_idle_session_ends_and_can_begin_again() {
    let lab = Lab::new(Model::empty().idle_limit(Duration::ZERO)).await;
    let root = lab.content.root_folder.clone();
    // The server counts whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let error = lab.read(&root, "name").await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("NotAuthenticated")), "{error}");
    manager(&lab).login(Model::USER, Model::PASSWORD, None).await.unwrap();
    assert_eq!(lab.read(&root, "name").await.unwrap().as_str(), Some("Datacenters"));
}

#[tokio::test]
async fn pitfall_03_a_full_server_answers_503() {
    let lab = Lab::new(Model::empty().max_sessions(2)).await;
    let second = lab.another(Model::USER, Model::PASSWORD).await.unwrap();
    let error = lab.another(Model::USER, Model::PASSWORD).await.err().unwrap();
    assert!(error.to_string().contains("503"), "{error}");
    manager(&second).logout().await.unwrap();
    lab.another(Model::USER, Model::PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_ticket_opens_one_session() {
    let lab = Lab::new(Model::empty()).await;
    let sessions = manager(&lab);
    let ticket = sessions.acquire_clone_ticket().await.unwrap();
    let other = lab.another(Model::USER, Model::PASSWORD).await.unwrap();
    manager(&other).logout().await.unwrap();
    let session = manager(&other).clone_session(&ticket).await.unwrap();
    assert_ne!(session.key, current(&lab).await.key);
    assert_eq!(current(&other).await.user_name, "VSPHERE.LOCAL\\Administrator");
    assert_eq!(fault(manager(&other).clone_session(&ticket)).await, "InvalidLogin");
}

#[tokio::test]
async fn other_ways_in_are_refused() {
    let lab = Lab::new(Model::empty()).await;
    let sessions = manager(&lab);
    assert_eq!(fault(sessions.login_by_token(None)).await, "InvalidLogin");
    assert_eq!(fault(sessions.acquire_local_ticket(Model::USER)).await, "NotSupported");
    assert_eq!(fault(sessions.login_extension_by_subject_name("com.example", None)).await, "NotFound");
    assert_eq!(fault(sessions.login_extension_by_certificate("com.example", None)).await, "NoClientCertificate");
}

#[tokio::test]
async fn pitfall_33_a_locale_is_known_or_refused() {
    let lab = Lab::new(Model::empty()).await;
    let sessions = manager(&lab);
    for locale in ["de", "ja_JP", "zh-CN"] {
        sessions.set_locale(locale).await.unwrap();
        assert_eq!(current(&lab).await.locale, locale);
    }
    assert_eq!(fault(sessions.set_locale("tlh")).await, "InvalidLocale");
}

#[tokio::test]
async fn an_administrator_can_act_as_another_who_is_in() {
    let lab = Lab::new(Model::empty().user(ALICE, SECRET, Role::ReadOnly)).await;
    let sessions = manager(&lab);
    assert_eq!(fault(sessions.impersonate_user(ALICE, None)).await, "InvalidLogin");
    let _alice = lab.another(ALICE, SECRET).await.unwrap();
    sessions.impersonate_user(ALICE, None).await.unwrap();
    assert_eq!(current(&lab).await.user_name, "VSPHERE.LOCAL\\alice");
    assert_eq!(fault(sessions.update_service_message("hello")).await, "NoPermission");
}

#[tokio::test]
async fn the_server_tells_everyone_a_message() {
    let lab = Lab::new(Model::empty()).await;
    manager(&lab).update_service_message("Maintenance at noon").await.unwrap();
    let other = lab.another(Model::USER, Model::PASSWORD).await.unwrap();
    assert_eq!(other.get(&manager(&other), session_manager::MESSAGE).await.as_deref(), Some("Maintenance at noon"));
}
