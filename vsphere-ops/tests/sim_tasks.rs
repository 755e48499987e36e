//! The history of tasks, and tasks of others: waited for and cancelled.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::task::Poll;
use std::time::Duration;

use vsphere_ops::events::Recursion;
use vsphere_ops::managed::VirtualMachine;
use vsphere_ops::task::CancelOutcome;
use vsphere_ops::types::TaskInfoState;
use vsphere_ops::{Circumstance, Client, Config, Mo};
use vsphere_sim::{Model, Role, Sim, Trouble};

async fn of(model: Model) -> (Sim, Client) {
    let sim = Sim::start(model).await.unwrap();
    let client = login(&sim, Model::USER, Model::PASSWORD).await;
    (sim, client)
}

async fn login(sim: &Sim, user: &str, password: &str) -> Client {
    let config = Config::new(sim.url()).user(user).password(password);
    Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap()
}

async fn machine(client: &Client, name: &str) -> Mo<VirtualMachine> {
    client.get(name).await.unwrap()
}

#[tokio::test]
async fn the_history_is_newest_first_and_filtered_by_the_server() {
    let (sim, client) = of(Model::demo().user("ops", "secret", Role::Administrator)).await;
    let other = login(&sim, "ops", "secret").await;
    let vm = machine(&client, "web-04").await;
    vm.power_on().await.unwrap().await.unwrap();
    machine(&other, "web-04").await.power_off().await.unwrap().await.unwrap();
    assert!(vm.power_off().await.unwrap().await.is_err(), "it is off");

    let all = client.tasks().report(100).await.unwrap();
    assert_eq!((all.returned, all.total, all.truncated), (all.items.len(), Some(all.items.len()), false));
    let of_vm = client.tasks().entity(vm.reference(), Recursion::Self_).report(10).await.unwrap();
    let operations: Vec<&str> = of_vm.items.iter().map(|task| task.operation.as_str()).collect();
    assert_eq!(operations, ["VirtualMachine.powerOff", "VirtualMachine.powerOff", "VirtualMachine.powerOn"]);
    assert!(of_vm.items.iter().all(|task| task.entity.as_deref() == Some("web-04") && task.completed.is_some()));

    let failed = client.tasks().states([TaskInfoState::Error]).report(10).await.unwrap().items;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].error.as_ref().unwrap().fault, "InvalidPowerState");
    let theirs = client.tasks().users(["ops"]).report(10).await.unwrap().items;
    assert_eq!(theirs.len(), 1);
    assert_eq!(theirs[0].user.as_deref(), Some("ops"));

    let newest = client.tasks().entity(vm.reference(), Recursion::Self_).report(2).await.unwrap();
    assert_eq!((newest.returned, newest.total, newest.truncated), (2, None, true));
    assert_eq!(newest.items, of_vm.items[..2]);
    // What is read is destroyed: a session may have few collectors.
    for _ in 0..40 {
        client.tasks().last(Duration::from_secs(3600)).report(1).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_without_a_history_tells_of_recent_tasks_and_says_so() {
    let (sim, client) = of(Model::demo()).await;
    let vm = machine(&client, "web-04").await;
    vm.power_on().await.unwrap().await.unwrap();
    sim.trouble(Trouble::none().fail("CreateCollectorForTasks", "NotSupported", 10));
    let tasks = client.tasks().entity(vm.reference(), Recursion::All).report(10).await.unwrap();
    assert_eq!(tasks.items.len(), 1);
    assert_eq!((tasks.total, tasks.gaps.missing[0].what.as_str()), (None, "older tasks"));
}

/// Gives a future up after so many polls, and tells whether it had ended by then.
async fn given_up_after(polls: usize, work: impl Future) -> bool {
    let mut work = std::pin::pin!(work);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if work.as_mut().poll(context).is_ready() {
            return Poll::Ready(true);
        }
        left = left.saturating_sub(1);
        if left == 0 { Poll::Ready(false) } else { Poll::Pending }
    })
    .await
}

/// The runtime has one thread: a request that was begun with the last poll is not sent by then.
#[tokio::test]
async fn a_wait_that_is_given_up_at_any_point_leaves_no_collector_behind() {
    let (sim, client) = of(Model::demo()).await;
    let vm = machine(&client, "web-04").await;
    let mut on = false;
    for polls in 1.. {
        on = !on;
        let task = if on { vm.power_on().await } else { vm.power_off().await }.unwrap();
        if given_up_after(polls, task.into_future()).await {
            assert!(polls > 4, "it is given up in the middle: {polls}");
            break;
        }
        while client.tasks().entity(vm.reference(), Recursion::Self_).report(1).await.unwrap().items[0]
            .completed
            .is_none()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let counts = || (sim.calls("CreatePropertyCollector"), sim.calls("DestroyPropertyCollector"));
    for _ in 0..200 {
        if counts().0 == counts().1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (made, destroyed) = counts();
    assert_eq!(made, destroyed);
}

#[tokio::test]
async fn a_task_of_another_session_is_waited_for_by_its_id() {
    let (sim, client) = of(Model::demo().pace(0.2)).await;
    let other = login(&sim, Model::USER, Model::PASSWORD).await;
    let started = machine(&other, "web-04").await.clone_to("copy").start().await.unwrap();
    let id = started.reference().value.clone();
    let early = client.wait_for_task(&id, Duration::from_millis(1), |_| ()).await.unwrap();
    assert!(!early.has_ended() && early.cancelable, "{early:?}");
    let ended = client.wait_for_task(&id, Duration::from_secs(60), |_| ()).await.unwrap();
    let copy = machine(&client, "copy").await;
    assert_eq!((ended.state.clone(), ended.result.as_deref()), (TaskInfoState::Success, Some(copy.id())));
    assert_eq!(client.wait_for_task(&id, Duration::ZERO, |_| ()).await.unwrap(), ended);

    let unknown = client.wait_for_task("task-987654", Duration::ZERO, |_| ()).await.unwrap_err();
    assert!(unknown.is_not_found() && unknown.target() == Some("task-987654"), "{unknown}");
}

#[tokio::test]
async fn a_task_is_cancelled_and_one_that_has_ended_is_left() {
    let (sim, client) = of(Model::demo().pace(1.0)).await;
    let other = login(&sim, Model::USER, Model::PASSWORD).await;
    let started = machine(&other, "web-04").await.clone_to("copy").start().await.unwrap();
    let plan = client.task_cancellation(&started.reference().value).await.unwrap();
    assert_eq!(plan.task.operation, "VirtualMachine.clone");
    let done = plan.carry_out().await.unwrap();
    assert_eq!((done.outcome, done.changed), (CancelOutcome::Cancelled, true));
    assert!(started.await.unwrap_err().is_fault("RequestCanceled"));
    assert!(client.get::<VirtualMachine>("copy").await.unwrap_err().is_not_found());
    // The plan is of a task that went on then.
    let again = plan.carry_out().await.unwrap();
    assert_eq!((again.outcome, again.changed), (CancelOutcome::Cancelled, false));
}

#[tokio::test]
async fn a_task_that_cannot_be_cancelled_goes_on_and_the_error_says_so() {
    let (_sim, client) = of(Model::demo().pace(1.0)).await;
    let vm = machine(&client, "web-04").await;
    let started = vm.power_on().await.unwrap();
    let plan = client.task_cancellation(&started.reference().value).await.unwrap();
    assert!(!plan.task.cancelable);
    let error = plan.carry_out().await.unwrap_err();
    assert_eq!(error.circumstance(), Some(&Circumstance::NotCancelable));
    assert!(error.to_string().contains("it goes on to its end"), "{error}");
    started.await.unwrap();
}

#[tokio::test]
async fn events_are_searched_by_their_text() {
    let (_sim, client) = of(Model::demo()).await;
    machine(&client, "web-04").await.power_on().await.unwrap().await.unwrap();
    let found = client.events().containing("POWERED ON").report(1000).await.unwrap();
    assert!(!found.items.is_empty());
    assert!(found.items.iter().all(|event| event.message.to_lowercase().contains("powered on")), "{found:?}");
    let all = client.events().report(1000).await.unwrap();
    let fit = all.items.iter().filter(|event| event.message.to_lowercase().contains("powered on"));
    assert_eq!(found.items.len(), fit.count());
    assert!(client.events().containing("nobody says this").report(10).await.unwrap().items.is_empty());
}
