use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt;
use vsphere_ops::managed::VirtualMachine;
use vsphere_ops::power::PowerOperation;
use vsphere_ops::types::{
    InvalidArgument, InvalidPowerState, ManagedObjectReference, NoPermission, VirtualMachinePowerState as PowerState,
};
use vsphere_ops::{Client, ErrorKind, Mo, Scope, Sent, Task, TaskEvent, wait_all};

use crate::server::{Reply, Server, machine, object};

/// Changes of tasks in an update: task, property, type and value.
fn update(version: usize, changes: &[(&str, &str, &str, &str)]) -> Reply {
    let objects: String = changes
        .iter()
        .map(|(task, name, kind, value)| {
            let value = match *kind {
                "" => String::new(),
                "VirtualMachine" => {
                    format!("<val type=\"VirtualMachine\" xsi:type=\"ManagedObjectReference\">{value}</val>")
                }
                kind => format!("<val xsi:type=\"{kind}\">{value}</val>"),
            };
            format!(
                "<objectSet><kind>modify</kind><obj type=\"Task\">{task}</obj><changeSet><name>{name}</name>\
                 <op>assign</op>{value}</changeSet></objectSet>"
            )
        })
        .collect();
    Reply::value(&format!(
        "<version>{version}</version><filterSet><filter type=\"PropertyFilter\">filter-1</filter>{objects}</filterSet>"
    ))
}

/// The same, of an update that does not hold all changes yet.
fn truncated(version: usize, changes: &[(&str, &str, &str, &str)]) -> Reply {
    match update(version, changes) {
        Reply::Good(content) => Reply::Good(content.replace("</returnval>", "<truncated>true</truncated></returnval>")),
        reply => reply,
    }
}

fn state(task: &'static str, state: &'static str) -> (&'static str, &'static str, &'static str, &'static str) {
    (task, "info.state", "TaskInfoState", state)
}

fn task<T>(client: &Client, id: &str) -> Task<T> {
    Task::new(client, ManagedObjectReference::new("Task", id), "clone", "golden")
}

#[tokio::test]
async fn pitfall_09_a_task_that_is_done_before_the_filter_exists_is_seen() {
    let server = Server::start(|call| match call.operation.as_str() {
        "WaitForUpdatesEx" => {
            // The first wait has no version: it is for the state as it is.
            assert!(call.body.contains("<version></version>") || call.body.contains("<version/>"), "{}", call.body);
            update(1, &[state("task-1", "success"), ("task-1", "info.result", "VirtualMachine", "vm-7")])
        }
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let clone: Mo<VirtualMachine> = task(&client, "task-1").await.unwrap();
    assert_eq!(clone.id(), "vm-7");
    // A collector of its own, and not left behind.
    assert_eq!(
        server.operations(),
        ["CreatePropertyCollector", "CreateFilter", "WaitForUpdatesEx", "DestroyPropertyCollector"]
    );
}

#[tokio::test]
async fn pitfall_07_truncated_states_of_tasks_are_followed_with_the_new_version() {
    let server = Server::start(|call| match (call.operation.as_str(), call.before) {
        ("WaitForUpdatesEx", 0) => truncated(1, &[state("task-1", "success"), state("task-2", "running")]),
        ("WaitForUpdatesEx", before) => {
            assert!(call.body.contains(&format!("<version>{before}</version>")), "{}", call.body);
            match before {
                1 => truncated(2, &[state("task-3", "queued")]),
                2 => update(3, &[state("task-2", "success")]),
                _ => update(4, &[state("task-3", "error")]),
            }
        }
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let ended = wait_all(["task-1", "task-2", "task-3"].map(|id| task::<()>(&client, id))).await;
    assert!(matches!(&ended[..], [Ok(()), Ok(()), Err(error)] if error.code() == "fault"), "{ended:?}");
    // One collector, and no wait after the last end.
    assert_eq!((server.bodies("CreatePropertyCollector").len(), server.bodies("WaitForUpdatesEx").len()), (1, 4));
}

#[tokio::test]
async fn pitfall_10_cancelled_is_not_an_end() {
    let server = Server::start(|call| match (call.operation.as_str(), call.before) {
        ("WaitForUpdatesEx", 0) => {
            update(1, &[state("task-1", "running"), ("task-1", "info.cancelled", "xsd:boolean", "true")])
        }
        ("WaitForUpdatesEx", 1) => update(2, &[("task-1", "info.progress", "xsd:int", "60")]),
        ("WaitForUpdatesEx", _) => update(3, &[state("task-1", "success")]),
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let task: Task<()> =
        task(&client, "task-1").on_progress(move |progress| log.lock().unwrap().push(progress.percent));
    task.cancel().await.unwrap();
    task.await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [0, 60, 100]);
    assert_eq!(server.bodies("CancelTask").len(), 1);
}

#[tokio::test]
async fn the_tasks_of_a_scope_are_told_of_and_cancelled_and_no_more_begin() {
    let server = Server::start(|call| match (call.operation.as_str(), call.before) {
        ("RetrievePropertiesEx", _) => Reply::value(&machine(1)),
        ("WaitForUpdatesEx", 0) => {
            update(1, &[state("task-1", "running"), ("task-1", "info.progress", "xsd:int", "40")])
        }
        ("WaitForUpdatesEx", _) => update(2, &[state("task-1", "success")]),
        _ => Reply::Usual,
    })
    .await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let scope = Scope::new().on_progress(move |step| {
        log.lock().unwrap().push(format!("{} {} {}", step.operation, step.target, step.progress.percent));
    });
    let client = server.client().await.in_scope(&scope);
    let web: Mo<VirtualMachine> = client.get("vm-1").await.unwrap();
    task::<()>(&client, "task-1").await.unwrap();
    let second = task::<()>(&client, "task-2");
    let others = task::<()>(&server.client().await, "task-3");

    let cancelled = scope.cancel().await;
    let ids: Vec<&str> = cancelled.iter().map(|task| task.task.as_str()).collect();
    assert_eq!(ids, ["task-2"], "the first has ended, and the third is not in the scope");
    assert!(cancelled.iter().all(|task| task.asked.is_ok()), "{cancelled:?}");
    let bodies = server.bodies("CancelTask");
    assert!(matches!(&bodies[..], [body] if body.contains(">task-2<")), "{bodies:?}");
    assert_eq!(*seen.lock().unwrap(), ["clone golden 40", "clone golden 100"]);

    let error = web.power_on().await.unwrap_err();
    assert_eq!(error.code(), "cancelled");
    assert_eq!(server.bodies("PowerOnVM_Task").len(), 0);
    drop((second, others));
}

#[tokio::test]
async fn progress_and_result_come_as_a_stream() {
    let server = Server::start(|call| match (call.operation.as_str(), call.before) {
        ("WaitForUpdatesEx", 0) => update(1, &[state("task-1", "queued")]),
        // Nothing for a while: an answer without a value.
        ("WaitForUpdatesEx", 1) => Reply::Usual,
        ("WaitForUpdatesEx", 2) => {
            update(2, &[state("task-1", "running"), ("task-1", "info.progress", "xsd:int", "30")])
        }
        ("WaitForUpdatesEx", _) => {
            update(3, &[state("task-1", "success"), ("task-1", "info.result", "xsd:string", "x")])
        }
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let events: Vec<TaskEvent<String>> = task(&client, "task-1").events().try_collect().await.unwrap();
    let texts: Vec<String> = events
        .into_iter()
        .map(|event| match event {
            TaskEvent::Progress(progress) => {
                format!("{}{}", progress.percent, if progress.queued { " queued" } else { "" })
            }
            TaskEvent::Done(result) => result,
        })
        .collect();
    assert_eq!(texts, ["0 queued", "30", "x"]);
}

#[tokio::test]
async fn the_fault_of_a_task_is_kept_with_its_detail() {
    let server = Server::start(|call| match call.operation.as_str() {
        "WaitForUpdatesEx" => update(
            1,
            &[
                state("task-1", "error"),
                (
                    "task-1",
                    "info.error",
                    "LocalizedMethodFault",
                    "<fault xsi:type=\"NoPermission\"><privilegeId>VirtualMachine.Provisioning.Clone</privilegeId>\
                     </fault><localizedMessage>Permission to perform this operation was denied.</localizedMessage>",
                ),
            ],
        ),
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let error = task::<()>(&client, "task-1").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "clone \"golden\": Permission to perform this operation was denied \
         (NoPermission: privilegeId VirtualMachine.Provisioning.Clone)"
    );
    let fault = error.fault::<NoPermission>().unwrap();
    assert_eq!(fault.privilege_id.as_deref(), Some("VirtualMachine.Provisioning.Clone"));
}

#[tokio::test]
async fn many_tasks_are_waited_for_with_one_filter() {
    let server = Server::start(|call| match (call.operation.as_str(), call.before) {
        ("CreateFilter", 0) => Reply::Fault("ManagedObjectNotFound", "<obj type=\"Task\">task-3</obj>".to_owned()),
        ("WaitForUpdatesEx", 0) => update(1, &[state("task-2", "success"), state("task-1", "running")]),
        ("WaitForUpdatesEx", _) => update(2, &[state("task-1", "error")]),
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let tasks = ["task-1", "task-2", "task-3"].map(|id| task::<()>(&client, id));
    let ended: Vec<&str> =
        wait_all(tasks).await.iter().map(|ended| ended.as_ref().map_or_else(|error| error.code(), |()| "ok")).collect();
    assert_eq!(ended, ["fault", "ok", "not_found"]);
    assert_eq!(server.bodies("CreatePropertyCollector").len(), 1);
    let filter = server.bodies("CreateFilter").pop().unwrap();
    assert!(filter.contains(">task-1<") && filter.contains(">task-2<") && !filter.contains(">task-3<"), "{filter}");
}

#[tokio::test]
async fn after_its_deadline_a_task_goes_on_and_the_error_names_it() {
    let server = Server::start(|call| match (call.operation.as_str(), call.before) {
        ("WaitForUpdatesEx", 0) => update(1, &[state("task-1", "running")]),
        ("WaitForUpdatesEx", _) => {
            std::thread::sleep(Duration::from_millis(20));
            Reply::Usual
        }
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let error = task::<()>(&client, "task-1").with_deadline(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.code(), "timeout");
    assert_eq!(error.to_string(), "clone \"golden\": task-1 goes on, its time to be waited for is up");
    assert!(matches!(error.kind(), ErrorKind::Unfinished { task, cause: None } if task.value == "task-1"));
    assert!(server.bodies("CancelTask").is_empty());
    assert!(server.saw("DestroyPropertyCollector").await);
}

#[tokio::test]
async fn a_collector_that_is_lost_with_its_session_is_made_anew_and_not_for_ever() {
    let server = Server::start(|call| match (call.operation.as_str(), call.before) {
        ("WaitForUpdatesEx", 0) => {
            Reply::Fault("ManagedObjectNotFound", "<obj type=\"PropertyCollector\">session[1]pc-1</obj>".to_owned())
        }
        ("WaitForUpdatesEx", 1) => update(1, &[state("task-1", "success")]),
        ("WaitForUpdatesEx", _) => {
            Reply::Fault("ManagedObjectNotFound", "<obj type=\"PropertyCollector\">session[1]pc-1</obj>".to_owned())
        }
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    task::<()>(&client, "task-1").await.unwrap();
    let error = task::<()>(&client, "task-2").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unfinished { cause: Some(_), .. }), "{error}");
    // The task may well be carried out: whoever repeats it must know.
    assert_eq!(error.sent(), Sent::Yes);
}

#[tokio::test]
async fn pitfall_27_a_machine_that_runs_already_is_a_success() {
    let server = Server::start(|call| match call.operation.as_str() {
        "RetrievePropertiesEx" => Reply::value(&machine(1)),
        "PowerOnVM_Task" => Reply::Fault(
            "InvalidPowerState",
            "<requestedState>poweredOn</requestedState><existingState>poweredOn</existingState>".to_owned(),
        ),
        "PowerOffVM_Task" => Reply::Fault(
            "InvalidPowerState",
            "<requestedState>poweredOff</requestedState><existingState>suspended</existingState>".to_owned(),
        ),
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let web: Mo<VirtualMachine> = client.get("web-1").await.unwrap();
    let change = web.power(PowerOperation::On).await.unwrap();
    assert_eq!((change.power_state, change.changed), (PowerState::PoweredOn, false));
    // Another state is not the one that was asked for.
    let error = web.power(PowerOperation::Off).await.unwrap_err();
    assert_eq!(error.code(), "fault");
    assert!(error.fault::<InvalidPowerState>().is_some_and(|fault| fault.existing_state == PowerState::Suspended));
}

#[tokio::test]
async fn a_refused_argument_keeps_its_fault_and_that_it_was_sent() {
    let server = Server::start(|call| match call.operation.as_str() {
        "RetrievePropertiesEx" => Reply::value(&machine(1)),
        "Rename_Task" => Reply::Fault("InvalidArgument", "<invalidProperty>newName</invalidProperty>".to_owned()),
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let machine = client.get::<VirtualMachine>("web-1").await.unwrap();
    let error = machine.rename("web-2").await.err().unwrap();
    let fault = error.fault::<InvalidArgument>().unwrap();
    assert_eq!((fault.invalid_property.as_deref(), error.sent()), (Some("newName"), Sent::Yes));
}

#[tokio::test]
async fn pitfall_28_a_busy_machine_is_tried_again_after_the_task_in_its_way() {
    let server = Server::start(|call| match (call.operation.as_str(), call.before) {
        ("RetrievePropertiesEx", _) => Reply::value(&machine(1)),
        ("PowerOnVM_Task", 0) => Reply::Fault("TaskInProgress", "<task type=\"Task\">task-9</task>".to_owned()),
        ("PowerOnVM_Task", 1) => Reply::Fault("ConcurrentAccess", String::new()),
        ("PowerOnVM_Task", _) => Reply::Good("<returnval type=\"Task\">task-1</returnval>".to_owned()),
        ("WaitForUpdatesEx", 0) => update(1, &[state("task-9", "success")]),
        ("WaitForUpdatesEx", _) => update(1, &[state("task-1", "success")]),
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let web: Mo<VirtualMachine> = client.get("web-1").await.unwrap();
    assert!(web.power(PowerOperation::On).await.unwrap().changed);
    assert!(server.bodies("CreateFilter")[0].contains(">task-9<"));
}

#[tokio::test]
async fn what_an_operation_waits_for_is_told_by_its_scope() {
    let server = Server::start(|call| match (call.operation.as_str(), call.before) {
        ("RetrievePropertiesEx", _) if call.body.contains(">task-9<") => Reply::value(&object(
            "Task",
            "task-9",
            &[
                ("info.descriptionId", "xsd:string", "VirtualMachine.reconfigure"),
                ("info.entityName", "xsd:string", "web%2f1"),
            ],
        )),
        ("RetrievePropertiesEx", _) => Reply::value(&machine(1)),
        ("PowerOnVM_Task", 0) => Reply::Fault("TaskInProgress", "<task type=\"Task\">task-9</task>".to_owned()),
        ("PowerOnVM_Task", 1) => Reply::Fault("ConcurrentAccess", String::new()),
        ("PowerOnVM_Task", _) => Reply::Good("<returnval type=\"Task\">task-1</returnval>".to_owned()),
        ("WaitForUpdatesEx", 0) => {
            update(1, &[state("task-9", "running"), ("task-9", "info.progress", "xsd:int", "40")])
        }
        ("WaitForUpdatesEx", 1) => update(2, &[state("task-9", "success")]),
        ("WaitForUpdatesEx", _) => update(1, &[state("task-1", "success")]),
        _ => Reply::Usual,
    })
    .await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let scope = Scope::new().on_progress(move |step| {
        let waits = step.waits_for.as_ref().map(|other| format!(" waits for {other}"));
        log.lock().unwrap().push(format!("{} {}{}", step.operation, step.target, waits.unwrap_or_default()));
    });
    let client = server.client().await.in_scope(&scope);
    let web: Mo<VirtualMachine> = client.get("web-1").await.unwrap();
    web.power(PowerOperation::On).await.unwrap();
    let seen = seen.lock().unwrap();
    let other = "power on web-1 waits for VirtualMachine.reconfigure of web/1 (task-9)";
    assert_eq!(seen[0], other);
    assert_eq!(seen[1], format!("{other}, 40 %"));
    assert!(seen.contains(&"power on web-1 waits for another change of the same object".to_owned()), "{seen:?}");
    // The progress of the other task is not that of the operation.
    assert_eq!(seen.iter().filter(|step| *step == "power on web-1").count(), 1, "{seen:?}");
}

#[tokio::test]
async fn pitfall_28_a_machine_that_stays_busy_is_reported() {
    let server = Server::start(|_| Reply::Usual).await;
    let client = server.client().await;
    let tries = Arc::new(AtomicUsize::new(0));
    let error = client
        .retry_while_busy(Duration::from_millis(500), || async {
            tries.fetch_add(1, Ordering::Relaxed);
            let task = ManagedObjectReference::default();
            let busy = vsphere_ops::types::TaskInProgress { task, ..Default::default() };
            let fault = vsphere_ops::types::LocalizedMethodFault {
                fault: vsphere_ops::types::Object::new(busy).try_into().unwrap(),
                localized_message: None,
            };
            Err::<(), _>(vsphere_ops::Error::new("power on", ErrorKind::Task(fault)))
        })
        .await
        .unwrap_err();
    assert!(error.is_fault("TaskInProgress"), "{error}");
    assert!((2..5).contains(&tries.load(Ordering::Relaxed)));
}
