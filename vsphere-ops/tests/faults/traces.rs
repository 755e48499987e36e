//! What is left on the server when calls are given up, and tasks that end while nobody looks.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;
use vsphere_ops::managed::{Folder, VirtualMachine, virtual_machine as vm};
use vsphere_ops::types::ManagedObjectReference;
use vsphere_ops::{Client, Task};

use crate::support::{Answer, Vcenter, task_update};

fn late(ms: u64) -> Answer {
    Answer::Late(Duration::from_millis(ms), Box::new(Answer::Usual))
}

fn task(client: &Client) -> Task<()> {
    Task::new(client, ManagedObjectReference::new("Task", "task-1"), "power on", "web-1")
}

/// Lists what is below one folder, which takes a view of its own.
async fn list_below(vcenter: &Vcenter, client: &Client) -> usize {
    let folder = "<returnval><objects><obj type=\"Folder\">group-v3</obj><propSet><name>name</name>\
                  <val xsi:type=\"xsd:string\">prod</val></propSet></objects></returnval>";
    vcenter.script("RetrievePropertiesEx", [Answer::Result(folder.into())]);
    let folder = client.get::<Folder>("Folder:group-v3").await.unwrap();
    folder.all::<VirtualMachine>().select(vm::NAME).await.unwrap().len()
}

#[tokio::test]
async fn pitfall_03_a_view_is_destroyed_after_its_use() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    assert_eq!(list_below(&vcenter, &client).await, 2);
    vcenter.until("no view", |state| state.count("DestroyView") == 1 && state.views.is_empty()).await;
    assert_eq!(vcenter.count("CreateContainerView"), 1);
}

#[tokio::test]
async fn pitfall_03_a_listing_given_up_while_its_view_is_made_leaves_no_view() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.script("CreateContainerView", [late(200)]);
    assert!(timeout(Duration::from_millis(100), list_below(&vcenter, &client)).await.is_err());
    vcenter.until("it was made and destroyed", |state| state.count("DestroyView") == 1).await;
    vcenter.until("no view", |state| state.count("CreateContainerView") == 1 && state.views.is_empty()).await;
}

#[tokio::test]
async fn pitfall_03_a_deadline_that_passes_while_a_view_is_made_leaves_no_view() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.script("CreateContainerView", [late(400)]);
    let hasty = client.with_deadline(Duration::from_millis(100));
    let error = hasty.all::<VirtualMachine>().select(vm::NAME).await.unwrap_err();
    assert_eq!(error.code(), "timeout");
    client.all::<VirtualMachine>().select(vm::NAME).await.unwrap();
    assert_eq!((vcenter.count("CreateContainerView"), vcenter.state().views.len()), (1, 1), "it serves the next");
}

#[tokio::test]
async fn pitfall_03_a_listing_given_up_while_it_is_read_leaves_no_view() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.always("RetrievePropertiesEx", late(300));
    assert!(timeout(Duration::from_millis(150), list_below(&vcenter, &client)).await.is_err());
    vcenter.until("it was made and destroyed", |state| state.count("DestroyView") == 1).await;
    assert_eq!((vcenter.count("CreateContainerView"), vcenter.state().views.len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_03_many_readers_share_one_view() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    let readers = (0..64).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.all::<VirtualMachine>().select(vm::NAME).await.map(|rows| rows.len()) })
    });
    for read in join_all(readers).await {
        assert_eq!(read.unwrap().unwrap(), 2);
    }
    assert_eq!((vcenter.count("CreateContainerView"), vcenter.state().views.len()), (1, 1));
}

#[tokio::test]
async fn pitfall_03_a_new_session_gets_a_new_view() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    for _ in 0..2 {
        client.all::<VirtualMachine>().select(vm::NAME).await.unwrap();
        vcenter.state().restart();
        client.server_time().await.unwrap();
    }
    client.all::<VirtualMachine>().select(vm::NAME).await.unwrap();
    assert_eq!(vcenter.state().views.len(), 1);
}

#[tokio::test]
async fn pitfall_09_a_task_that_is_done_before_it_is_watched_ends() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    task(&client).await.unwrap();
    let wait = vcenter.last("WaitForUpdatesEx").body;
    assert!(wait.contains("<version></version>") || wait.contains("<version/>"), "from the beginning: {wait}");
    vcenter.until("no collector", |state| state.collectors.is_empty()).await;
    assert_eq!(vcenter.count("CreatePropertyCollector"), 1, "one of its own");
}

#[tokio::test]
async fn pitfall_09_a_wait_given_up_leaves_no_collector() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    for (operation, given_up) in [("CreatePropertyCollector", 1), ("CreateFilter", 2), ("WaitForUpdatesEx", 3)] {
        vcenter.script(operation, [late(300)]);
        assert!(timeout(Duration::from_millis(100), task(&client)).await.is_err(), "{operation}");
        vcenter
            .until(operation, |state| {
                let destroyed = state.count("DestroyPropertyCollector");
                destroyed == given_up && state.collectors.is_empty()
            })
            .await;
    }
}

#[tokio::test]
async fn pitfall_09_a_deadline_ends_the_wait_and_not_the_task() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.always("WaitForUpdatesEx", late(5000));
    let error = task(&client.with_deadline(Duration::from_millis(300))).await.unwrap_err();
    assert_eq!(error.code(), "timeout");
    vcenter.until("no collector", |state| state.collectors.is_empty()).await;
    assert_eq!(vcenter.count("CancelTask"), 0);
}

#[tokio::test]
async fn a_server_restarted_while_a_task_is_waited_for_does_not_end_the_wait() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    vcenter.script("WaitForUpdatesEx", [Answer::Result(task_update("running", 40)), Answer::Die]);
    task(&client).await.unwrap();
    assert_eq!((vcenter.count("Login"), vcenter.count("CreatePropertyCollector")), (2, 2));
    vcenter.until("no collector", |state| state.collectors.is_empty()).await;
}
