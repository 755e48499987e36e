//! Tasks: their history, and those that clients run.

use crate::support::Lab;
use vsphere_model::managed::{
    HostDatastoreBrowser, Task, TaskHistoryCollector, TaskManager, datastore, task, task_history_collector,
    task_manager,
};
use vsphere_model::types::{
    Any, LocalizableMessage, ManagedObjectReference, TaskFilterSpec, TaskFilterSpecByEntity, TaskFilterSpecByUsername,
    TaskFilterSpecRecursionOption, TaskInfo, TaskInfoState,
};
use vsphere_sim::{Model, Size};

struct Tasks {
    lab: Lab,
    manager: TaskManager,
    browser: HostDatastoreBrowser,
}

impl Tasks {
    async fn new(model: Model) -> Self {
        let lab = Lab::new(model).await;
        let manager = lab.object(lab.content.task_manager.as_ref().unwrap());
        let store: vsphere_model::managed::Datastore = lab.object(&lab.at("/DC0/datastore/DC0_DS0").await);
        let browser = lab.object(&lab.get(&store, datastore::BROWSER).await);
        Self { lab, manager, browser }
    }

    /// Starts so many tasks; their keys.
    async fn search(&self, times: usize) -> Vec<String> {
        let mut keys = Vec::new();
        for _ in 0..times {
            keys.push(self.browser.search_datastore_task("[DC0_DS0]", None).await.unwrap().value);
        }
        keys
    }

    async fn collector(&self, filter: &TaskFilterSpec) -> TaskHistoryCollector {
        self.lab.object(&self.manager.create_collector_for_tasks(filter).await.unwrap())
    }
}

fn model() -> Model {
    Model::sized(Size { vms: 0, ..Size::default() })
}

fn keys(tasks: &[TaskInfo]) -> Vec<&str> {
    tasks.iter().map(|task| task.key.as_str()).collect()
}

#[tokio::test]
async fn a_collector_walks_through_the_history_both_ways() {
    let lab = Tasks::new(model()).await;
    let made = lab.search(5).await;
    let made: Vec<&str> = made.iter().map(String::as_str).collect();
    let history = lab.collector(&TaskFilterSpec::default()).await;
    assert_eq!(keys(&history.read_next_tasks(2).await.unwrap()), made[..2]);
    assert_eq!(keys(&history.read_next_tasks(10).await.unwrap()), made[2..]);
    assert!(history.read_next_tasks(10).await.unwrap().is_empty());
    assert_eq!(keys(&history.read_previous_tasks(2).await.unwrap()), [made[4], made[3]]);
    assert_eq!(keys(&history.read_next_tasks(1).await.unwrap()), made[3..4]);
    history.rewind_collector().await.unwrap();
    assert_eq!(keys(&history.read_next_tasks(1).await.unwrap()), made[..1]);
    history.set_collector_page_size(2).await.unwrap();
    let latest = lab.lab.get(&history, task_history_collector::LATEST_PAGE).await;
    assert_eq!(keys(&latest), [made[4], made[3]]);
    // From before the latest page, back to the oldest.
    history.reset_collector().await.unwrap();
    assert_eq!(keys(&history.read_previous_tasks(10).await.unwrap()), [made[2], made[1], made[0]]);
    let error = history.read_next_tasks(0).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidArgument")), "{error}");
    history.destroy_collector().await.unwrap();
    let error = history.read_next_tasks(1).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("ManagedObjectNotFound")), "{error}");
}

#[tokio::test]
async fn a_filter_takes_what_it_says() {
    let lab = Tasks::new(model()).await;
    lab.search(2).await;
    lab.lab.task_fault(lab.browser.search_datastore_task("[DC0_DS0] ghost", None), "FileNotFound").await;
    let count = async |filter: TaskFilterSpec| lab.collector(&filter).await.read_next_tasks(100).await.unwrap().len();
    let by = async |path: &str, recursion| {
        let entity = lab.lab.at(path).await;
        let entity = Some(Box::new(TaskFilterSpecByEntity { entity, recursion }));
        count(TaskFilterSpec { entity, ..Default::default() }).await
    };
    assert_eq!(by("/DC0", TaskFilterSpecRecursionOption::Self_).await, 0);
    assert_eq!(by("/DC0", TaskFilterSpecRecursionOption::All).await, 3);
    assert_eq!(by("/DC0/datastore/DC0_DS0", TaskFilterSpecRecursionOption::Self_).await, 3);
    assert_eq!(by("/DC0/datastore/DC0_DS0", TaskFilterSpecRecursionOption::Children).await, 0);
    assert_eq!(by("/DC0/vm", TaskFilterSpecRecursionOption::All).await, 0);
    let state = |state| TaskFilterSpec { state: vec![state], ..Default::default() };
    assert_eq!(count(state(TaskInfoState::Error)).await, 1);
    assert_eq!(count(state(TaskInfoState::Success)).await, 2);
    let user = |name: &str| TaskFilterSpec {
        user_name: Some(Box::new(TaskFilterSpecByUsername { system_user: false, user_list: vec![name.to_owned()] })),
        ..Default::default()
    };
    assert_eq!(count(user("VSPHERE.LOCAL\\Administrator")).await, 3);
    assert_eq!(count(user("nobody")).await, 0);
}

#[tokio::test]
async fn recent_tasks_are_news() {
    let lab = Tasks::new(model()).await;
    let made = lab.search(12).await;
    let recent = lab.lab.get(&lab.manager, task_manager::RECENT_TASK).await;
    let recent: Vec<&str> = recent.iter().map(|task| task.value.as_str()).collect();
    assert_eq!(recent, made);
    let store = lab.lab.at("/DC0/datastore/DC0_DS0").await;
    let own: Vec<ManagedObjectReference> = lab.lab.read(&store, "recentTask").await.unwrap().take().unwrap();
    assert_eq!(own.last().map(|task| &task.value), made.last());
}

#[tokio::test]
async fn a_client_reports_the_task_that_it_runs() {
    let lab = Tasks::new(model()).await;
    let dc = lab.lab.at("/DC0").await;
    let made = lab.manager.create_task(&dc, "com.example.backup", Some("robot"), true, None, None).await.unwrap();
    assert_eq!((&made.state, made.description_id.as_str()), (&TaskInfoState::Queued, "com.example.backup"));
    let own: Task = lab.lab.object(&made.task);
    let error = own.update_progress(10).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidState")), "{error}");
    own.set_task_state(&TaskInfoState::Running, None, None).await.unwrap();
    own.update_progress(40).await.unwrap();
    let text = LocalizableMessage { key: "k".to_owned(), message: Some("copying".to_owned()), ..Default::default() };
    own.set_task_description(&text).await.unwrap();
    own.cancel_task().await.unwrap();
    let info = lab.lab.get(&own, task::INFO).await;
    assert_eq!((info.progress, info.cancelled, info.start_time.is_some()), (Some(40), true, true));
    assert_eq!(info.description.unwrap().message.as_deref(), Some("copying"));
    own.set_task_state(&TaskInfoState::Success, Some(&Any::from("done")), None).await.unwrap();
    let info = lab.lab.get(&own, task::INFO).await;
    assert_eq!(
        (info.state, info.result, info.complete_time.is_some()),
        (TaskInfoState::Success, Some("done".into()), true)
    );
    let error = own.update_progress(50).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidState")), "{error}");
}

#[tokio::test]
async fn a_running_task_is_cancelled_and_nobody_else_changes_it() {
    let lab = Tasks::new(model().pace(5.0)).await;
    let running = lab.browser.search_datastore_task("[DC0_DS0]", None).await.unwrap();
    let own: Task = lab.lab.object(&running);
    let error = own.set_task_state(&TaskInfoState::Success, None, None).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("NotSupported")), "{error}");
    own.cancel_task().await.unwrap();
    let info = loop {
        let info = lab.lab.get(&own, task::INFO).await;
        if info.complete_time.is_some() {
            break info;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    assert_eq!((info.state, info.result), (TaskInfoState::Error, None));
    assert!(info.error.unwrap().fault.type_name() == "RequestCanceled");
    let error = own.cancel_task().await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidState")), "{error}");
}
