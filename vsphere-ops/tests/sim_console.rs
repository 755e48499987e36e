//! The console of VMs with the simulated vCenter: screens, keys, questions.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::time::Duration;

use vsphere_ops::console::{Keys, Layout, Picture, Region};
use vsphere_ops::files::FileQuery;
use vsphere_ops::managed::{Datastore, VirtualMachine, virtual_machine as vm};
use vsphere_ops::{Client, Config, Error, Mo, Scope};
use vsphere_sim::{Model, Role, Sim, Trouble};

async fn lab(model: Model) -> (Sim, Client, Mo<VirtualMachine>) {
    let sim = Sim::start(model).await.unwrap();
    let client = login(&sim, Model::USER, Model::PASSWORD).await;
    let web = client.get("web-01").await.unwrap();
    (sim, client, web)
}

async fn login(sim: &Sim, user: &str, password: &str) -> Client {
    let config = Config::new(sim.url()).user(user).password(password);
    Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap()
}

fn no_screen(times: u32) -> Trouble {
    Trouble::none().fail("GET /screen", "InvalidState", times)
}

/// The pictures in the folder of the VM.
async fn pictures(client: &Client) -> usize {
    let store: Mo<Datastore> = client.get("nvme-01").await.unwrap();
    let mut query = FileQuery::of("web-01");
    query.page.filter = Some("*.png".to_owned());
    store.list_files(&query).await.unwrap().total
}

fn refused(error: &Error, code: &str, words: &str) {
    assert!(error.code() == code && error.to_string().contains(words), "{}: {error}", error.code());
}

fn size(picture: &Picture) -> (u32, u32) {
    (picture.width(), picture.height())
}

#[tokio::test]
async fn a_screenshot_is_cut_and_scaled_and_shows_what_was_typed() {
    let (sim, _, web) = lab(Model::demo()).await;
    let whole = web.screenshot().await.unwrap();
    assert_eq!(size(&whole), (720, 400));
    assert_eq!(size(&web.screenshot().width(360).await.unwrap()), (360, 200));
    assert_eq!(size(&web.screenshot().width(50).height(60).await.unwrap()), (50, 60));
    let region = Region { left: 10, top: 20, right: 110, bottom: 70 };
    assert_eq!(size(&web.screenshot().region(region).height(100).await.unwrap()), (200, 100));
    web.type_keys(&Keys::text("root", Layout::Us).unwrap()).await.unwrap();
    assert_ne!(web.screenshot().await.unwrap(), whole);
    let beyond = Region { right: 5000, ..region };
    web.screenshot().region(beyond).await.unwrap_err();
    assert_eq!(sim.calls("CreateScreenshot_Task"), 0);
}

#[tokio::test]
async fn a_vm_that_is_off_has_no_screen_and_takes_no_keys() {
    let (sim, client, _) = lab(Model::demo()).await;
    let off: Mo<VirtualMachine> = client.get("web-04").await.unwrap();
    refused(&off.screenshot().or_by_file().await.unwrap_err(), "invalid_state", "only a VM that runs has a screen");
    assert_eq!(sim.calls("GET /screen") + sim.calls("CreateScreenshot_Task"), 0);
    let error = off.type_keys(&Keys::named("enter").unwrap()).await.unwrap_err();
    assert!(error.is_fault("InvalidPowerState"), "{error}");
}

#[tokio::test]
async fn who_may_not_see_the_console_is_told_so() {
    let (sim, ..) = lab(Model::demo().user("viewer", "viewer", Role::ReadOnly)).await;
    let viewer = login(&sim, "viewer", "viewer").await;
    let web: Mo<VirtualMachine> = viewer.get("web-01").await.unwrap();
    refused(&web.screenshot().await.unwrap_err(), "permission", "may not see its screen");
    let error = web.screenshot().or_by_file().await.unwrap_err();
    assert_eq!(error.code(), "permission", "{error}");
    let error = web.type_keys(&Keys::named("enter").unwrap()).await.unwrap_err();
    assert_eq!(error.code(), "permission", "{error}");
}

#[tokio::test]
async fn a_file_of_the_screen_is_made_only_when_told_and_never_stays() {
    let (sim, client, web) = lab(Model::demo()).await;
    sim.trouble(no_screen(2));
    web.screenshot().await.unwrap_err();
    assert_eq!(sim.calls("CreateScreenshot_Task"), 0);
    assert_eq!(size(&web.screenshot().or_by_file().await.unwrap()), (720, 400));
    assert_eq!((sim.calls("CreateScreenshot_Task"), sim.calls("DeleteDatastoreFile_Task")), (1, 1));
    assert_eq!(pictures(&client).await, 0);

    // A file that can't be deleted is an error.
    sim.trouble(no_screen(1).fail("DeleteDatastoreFile_Task", "CannotDeleteFile", 1));
    let error = web.screenshot().or_by_file().await.unwrap_err();
    assert!(error.is_fault("CannotDeleteFile"), "{error}");
    sim.trouble(no_screen(1).fail("CreateScreenshot_Task", "FileFault", 1));
    let error = web.screenshot().or_by_file().await.unwrap_err();
    assert!(error.is_fault("FileFault"), "{error}");
}

#[tokio::test]
async fn a_screenshot_that_is_given_up_leaves_no_file() {
    // The task takes 1.5 s, so that it is surely given up in its course.
    let (sim, client, web) = lab(Model::demo().pace(5.0)).await;
    sim.trouble(no_screen(1));
    let scope = Scope::new();
    let scoped: Mo<VirtualMachine> = client.in_scope(&scope).get("web-01").await.unwrap();
    tokio::select! {
        taken = async { scoped.screenshot().or_by_file().await } => panic!("{taken:?}"),
        () = called(&sim, "CreateScreenshot_Task", 1) => {}
    }
    scope.cancel().await;
    called(&sim, "DeleteDatastoreFile_Task", 1).await;
    // The deletion is a task too.
    while pictures(&client).await > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(web);
}

async fn called(sim: &Sim, method: &str, times: u64) {
    while sim.calls(method) < times {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn keys_go_in_batches_and_are_counted() {
    let (sim, _, web) = lab(Model::demo()).await;
    let typed = web.type_keys(&Keys::text(&"a".repeat(100), Layout::De).unwrap()).await.unwrap();
    assert_eq!((typed.keys, typed.sent, sim.calls("PutUsbScanCodes")), (100, 100, 4));
    sim.trouble(Trouble::none().fail("PutUsbScanCodes", "InvalidState", 1));
    let error = web.type_keys(&Keys::text("ls\n", Layout::Us).unwrap()).await.unwrap_err();
    assert!(error.is_fault("InvalidState"), "{error}");
    refused(&web.type_keys(&Keys::default()).await.unwrap_err(), "invalid_argument", "between 1 and 4096");
    let many = Keys::text(&"a".repeat(5000), Layout::Us).unwrap();
    refused(&web.type_keys(&many).await.unwrap_err(), "invalid_argument", "between 1 and 4096");
    assert_eq!(sim.calls("PutUsbScanCodes"), 5);
    let before = web.read(vm::BOOT_TIME).await.unwrap();
    web.type_keys(&Keys::named("ctrl-alt-delete").unwrap()).await.unwrap();
    assert!(web.read(vm::BOOT_TIME).await.unwrap() > before);
}

#[tokio::test]
async fn a_question_is_answered_by_key_or_label_and_only_while_it_is_asked() {
    let (sim, _, web) = lab(Model::demo()).await;
    assert!(web.question().await.unwrap().is_none());
    let choices = [("0", "Retry"), ("1", "Cancel")];
    sim.ask("web-01", "The disk is full.", &choices).unwrap();
    let question = web.question().await.unwrap().unwrap();
    assert_eq!((question.text.as_str(), question.choices.len()), ("The disk is full.", 2));
    assert!(question.choices[0].default && !question.choices[1].default);
    let error = question.clone().answer("Perhaps").await.unwrap_err();
    refused(&error, "invalid_argument", "Retry (0), Cancel (1)");
    let late = question.clone();
    assert_eq!(question.answer("cancel").await.unwrap().answer.key, "1");
    refused(&late.clone().answer("0").await.unwrap_err(), "changed", "it no longer asks this");
    // Another question with the same answers is another question.
    sim.ask("web-01", "Delete everything?", &choices).unwrap();
    refused(&late.answer("0").await.unwrap_err(), "changed", "it no longer asks this");
    assert_eq!(web.question().await.unwrap().unwrap().answer("0").await.unwrap().text.as_str(), "Delete everything?");
}
