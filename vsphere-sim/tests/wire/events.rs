//! Events: what filters let through, and how collectors are read.

use crate::support::{Lab, fault};
use chrono::Duration;
use vsphere_model::managed::{EventHistoryCollector, EventManager, SessionManager, event_manager};
use vsphere_model::types::{
    DateTime, Event, EventEx, EventFilterSpec, EventFilterSpecByEntity, EventFilterSpecByTime,
    EventFilterSpecByUsername, EventFilterSpecRecursionOption, ManagedObjectReference, ObjectSpec, Poly,
    PropertyFilterSpec, PropertySpec, WaitOptions,
};
use vsphere_sim::{Model, Size};

struct Events {
    lab: Lab,
    manager: EventManager,
}

impl Events {
    async fn of(model: Model) -> Self {
        let lab = Lab::new(model).await;
        let manager = lab.object(lab.content.event_manager.as_ref().unwrap());
        Self { lab, manager }
    }

    async fn log(&self, entity: &ManagedObjectReference, text: &str) {
        self.manager.log_user_event(entity, text).await.unwrap();
    }

    /// The texts of the events that the filter lets through.
    async fn texts(&self, filter: &EventFilterSpec) -> Vec<String> {
        texts(&self.manager.query_events(filter, None).await.unwrap())
    }

    async fn collector(&self, filter: &EventFilterSpec) -> EventHistoryCollector {
        self.lab.object(&self.manager.create_collector_for_events(filter).await.unwrap())
    }

    async fn latest_page(&self, collector: &ManagedObjectReference) -> Vec<String> {
        texts(&self.lab.read(collector, "latestPage").await.unwrap().take::<Vec<Poly<Event>>>().unwrap())
    }
}

fn texts(events: &[Poly<Event>]) -> Vec<String> {
    let text = |event: &Poly<Event>| event.full_formatted_message.clone().unwrap_or_default();
    events.iter().map(|event| text(event).replace("User logged event: ", "")).collect()
}

/// What users have logged: other events come by themselves.
fn logged() -> EventFilterSpec {
    EventFilterSpec { event_type_id: vec!["vim.event.GeneralUserEvent".to_owned()], ..Default::default() }
}

fn about(entity: &ManagedObjectReference, recursion: EventFilterSpecRecursionOption) -> EventFilterSpec {
    let entity = EventFilterSpecByEntity { entity: entity.clone(), recursion };
    EventFilterSpec { entity: Some(Box::new(entity)), ..logged() }
}

#[tokio::test]
async fn an_entity_filter_takes_the_object_its_children_or_all_below() {
    let events = Events::of(Model::sized(Size { vms: 2, ..Size::default() })).await;
    let [dc, host, vm] = events.lab.some(["Datacenter", "HostSystem", "VirtualMachine"]).await;
    let host_of_vm: ManagedObjectReference = events.lab.read(&vm, "runtime.host").await.unwrap().take().unwrap();
    for (entity, text) in [(&dc, "dc"), (&host, "host"), (&vm, "vm")] {
        events.log(entity, text).await;
    }
    use EventFilterSpecRecursionOption::{All, Children, Self_};
    assert_eq!(events.texts(&about(&dc, Self_)).await, ["dc"]);
    assert_eq!(events.texts(&about(&dc, All)).await, ["dc", "host", "vm"]);
    assert_eq!(events.texts(&about(&events.lab.content.root_folder, All)).await, ["dc", "host", "vm"]);
    assert_eq!(events.texts(&about(&events.lab.content.root_folder, Children)).await, ["dc"]);
    assert_eq!(events.texts(&about(&vm, Self_)).await, ["vm"]);
    // A machine is not below its host in the inventory, and yet what happens to it happens there.
    assert_eq!(events.texts(&about(&host_of_vm, Children)).await, ["vm"]);
    let gone = ManagedObjectReference::new("VirtualMachine", "vm-0");
    assert_eq!(fault(events.manager.query_events(&about(&gone, All), None)).await, "ManagedObjectNotFound");
}

#[tokio::test]
async fn filters_are_by_user_time_type_category_and_number() {
    let events = Events::of(Model::empty()).await;
    let root = events.lab.content.root_folder.clone();
    for number in 0..5 {
        events.log(&root, &number.to_string()).await;
    }
    let by_user = |user: &str| {
        let by = EventFilterSpecByUsername { system_user: false, user_list: vec![user.to_owned()] };
        EventFilterSpec { user_name: Some(Box::new(by)), ..logged() }
    };
    assert_eq!(events.texts(&by_user("VSPHERE.LOCAL\\Administrator")).await.len(), 5);
    assert!(events.texts(&by_user("VSPHERE.LOCAL\\nobody")).await.is_empty());
    let now: DateTime = events.lab.read(&service_instance(), "serverClock").await.unwrap().take().unwrap();
    let by_time = |begin: Option<DateTime>, end: Option<DateTime>| EventFilterSpec {
        time: Some(Box::new(EventFilterSpecByTime { begin_time: begin, end_time: end })),
        ..logged()
    };
    assert_eq!(events.texts(&by_time(Some(now - Duration::minutes(1)), None)).await.len(), 5);
    assert!(events.texts(&by_time(Some(now + Duration::minutes(1)), None)).await.is_empty());
    assert!(events.texts(&by_time(None, Some(now - Duration::minutes(1)))).await.is_empty());
    assert_eq!(events.texts(&EventFilterSpec { max_count: Some(2), ..logged() }).await, ["3", "4"]);
    let of = |category: &str| EventFilterSpec { category: vec![category.to_owned()], ..Default::default() };
    assert_eq!(events.texts(&of("user")).await.len(), 5);
    let logins = EventFilterSpec { event_type_id: vec!["SessionEvent".to_owned()], ..Default::default() };
    let logins = events.manager.query_events(&logins, None).await.unwrap();
    assert!(logins.iter().all(|event| event.type_name() == "UserLoginSessionEvent"), "a base type takes its own");
    assert_eq!(logins.len(), 1);
}

#[tokio::test]
async fn an_extended_event_is_found_by_its_own_id_and_severity() {
    let events = Events::of(Model::empty()).await;
    let event = EventEx {
        event_type_id: "com.example.backup.done".to_owned(),
        severity: Some("warning".to_owned()),
        message: Some("The backup is done.".to_owned()),
        ..Default::default()
    };
    events.manager.post_event(&Poly::new(event), None).await.unwrap();
    let by_id = |id: &str| EventFilterSpec { event_type_id: vec![id.to_owned()], ..Default::default() };
    assert_eq!(events.texts(&by_id("com.example.backup.done")).await, ["The backup is done."]);
    assert!(events.texts(&by_id("com.example.backup")).await.is_empty());
    let warnings = EventFilterSpec { category: vec!["warning".to_owned()], ..Default::default() };
    assert_eq!(events.texts(&warnings).await, ["The backup is done."]);
    let arguments = events.manager.retrieve_argument_description("EventEx").await.unwrap();
    assert!(arguments.iter().any(|argument| argument.name == "eventTypeId" && argument.type_ == "string"));
    assert_eq!(fault(events.manager.retrieve_argument_description("NoEvent")).await, "InvalidArgument");
    let nothing: Poly<Event> = Poly::default();
    assert_eq!(fault(events.manager.post_event(&nothing, None)).await, "InvalidEvent");
}

#[tokio::test]
async fn a_collector_gives_each_event_once_whatever_the_page() {
    let events = Events::of(Model::empty()).await;
    let root = events.lab.content.root_folder.clone();
    let all: Vec<String> = (0..25).map(|number| number.to_string()).collect();
    for text in &all {
        events.log(&root, text).await;
    }
    for page in [1, 7, 1000] {
        let collector = events.collector(&logged()).await;
        let (mut up, mut down) = (Vec::new(), Vec::new());
        loop {
            let read = collector.read_next_events(page).await.unwrap();
            if read.is_empty() {
                break;
            }
            up.extend(texts(&read));
        }
        assert_eq!(up, all, "pages of {page}");
        loop {
            let read = collector.read_previous_events(page).await.unwrap();
            if read.is_empty() {
                break;
            }
            down.extend(texts(&read));
        }
        down.reverse();
        assert_eq!(down, all, "pages of {page}, backwards");
        collector.destroy_collector().await.unwrap();
    }
}

#[tokio::test]
async fn the_latest_page_has_the_newest_events_and_tells_of_more() {
    let events = Events::of(Model::empty()).await;
    let root = events.lab.content.root_folder.clone();
    for number in 0..12 {
        events.log(&root, &number.to_string()).await;
    }
    let reference = events.manager.create_collector_for_events(&logged()).await.unwrap();
    let collector: EventHistoryCollector = events.lab.object(&reference);
    collector.set_collector_page_size(3).await.unwrap();
    assert_eq!(events.latest_page(&reference).await, ["11", "10", "9"]);
    collector.reset_collector().await.unwrap();
    assert_eq!(texts(&collector.read_previous_events(2).await.unwrap()), ["8", "7"]);
    collector.rewind_collector().await.unwrap();
    assert_eq!(texts(&collector.read_next_events(2).await.unwrap()), ["0", "1"]);
    assert_eq!(fault(collector.set_collector_page_size(1001)).await, "InvalidArgument");
    assert_eq!(fault(collector.read_next_events(0)).await, "InvalidArgument");

    let properties =
        events.lab.object::<vsphere_model::managed::PropertyCollector>(&events.lab.content.property_collector);
    let spec = PropertyFilterSpec {
        prop_set: vec![PropertySpec {
            type_: reference.type_.clone(),
            all: None,
            path_set: vec!["latestPage".to_owned()],
        }],
        object_set: vec![ObjectSpec { obj: reference.clone(), ..Default::default() }],
        ..Default::default()
    };
    properties.create_filter(&spec, false).await.unwrap();
    let now = WaitOptions { max_wait_seconds: Some(5), ..Default::default() };
    let first = properties.wait_for_updates_ex(None, Some(&now)).await.unwrap().unwrap();
    events.log(&root, "new").await;
    let second = properties.wait_for_updates_ex(Some(&first.version), Some(&now)).await.unwrap().unwrap();
    let value = second.filter_set[0].object_set[0].change_set[0].val.clone().unwrap_or_default();
    let page: Vec<Poly<Event>> = value.take().unwrap();
    assert_eq!(texts(&page), ["new", "11", "10"]);
}

#[tokio::test]
async fn a_session_has_32_collectors_and_they_go_with_it() {
    let events = Events::of(Model::empty()).await;
    assert_eq!(events.lab.get(&events.manager, event_manager::MAX_COLLECTOR).await, 32);
    let first = events.collector(&logged()).await;
    for _ in 1..32 {
        events.collector(&logged()).await;
    }
    assert_eq!(fault(events.manager.create_collector_for_events(&logged())).await, "InvalidState");
    first.destroy_collector().await.unwrap();
    events.collector(&logged()).await;
    let other = events.lab.another(Model::USER, Model::PASSWORD).await.unwrap();
    let manager: EventManager = other.object(other.content.event_manager.as_ref().unwrap());
    manager.create_collector_for_events(&logged()).await.unwrap();
    let sessions: SessionManager = events.lab.object(events.lab.content.session_manager.as_ref().unwrap());
    sessions.logout().await.unwrap();
}

#[tokio::test]
async fn every_type_of_event_is_described() {
    let events = Events::of(Model::empty()).await;
    let description = events.lab.get(&events.manager, event_manager::DESCRIPTION).await;
    let keys: Vec<&str> = description.category.iter().map(|category| category.key.as_str()).collect();
    assert_eq!(keys, ["info", "warning", "error", "user"]);
    let category = |key: &str| {
        description.event_info.iter().find(|info| info.key == key).map(|info| info.category.clone()).unwrap_or_default()
    };
    assert_eq!(category("VmPoweredOnEvent"), "info");
    assert_eq!(category("VmFailedToPowerOnEvent"), "error");
    assert_eq!(category("HostConnectionLostEvent"), "warning");
    assert_eq!(category("GeneralUserEvent"), "user");
}

fn service_instance() -> ManagedObjectReference {
    ManagedObjectReference::new("ServiceInstance", "ServiceInstance")
}
