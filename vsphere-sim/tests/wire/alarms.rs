//! Alarms: what triggers them, who shows them, how they are made.

use crate::support::{Lab, fault};
use vsphere_model::managed::{Alarm, AlarmManager, EventManager};
use vsphere_model::types::{
    AlarmFilterSpec, AlarmInfo, AlarmSpec, AlarmState, Event, EventAlarmExpression, EventEx, EventFilterSpec,
    ManagedEntityStatus, ManagedObjectReference, OrAlarmExpression, Poly, StateAlarmExpression, StateAlarmOperator,
};
use vsphere_sim::{Model, Size};

struct Alarms {
    lab: Lab,
    manager: AlarmManager,
}

impl Alarms {
    async fn new() -> Self {
        let lab = Lab::new(Model::sized(Size { vms: 3, ..Size::default() })).await;
        let manager = lab.object(lab.content.alarm_manager.as_ref().unwrap());
        Self { lab, manager }
    }

    async fn triggered(&self, entity: &ManagedObjectReference) -> Vec<AlarmState> {
        self.lab.read(entity, "triggeredAlarmState").await.unwrap().take().unwrap_or_default()
    }

    async fn status(&self, entity: &ManagedObjectReference) -> String {
        self.lab.read(entity, "overallStatus").await.unwrap().as_str().unwrap().to_owned()
    }

    /// Posts an event about a machine that no type stands for.
    async fn happens(&self, vm: &ManagedObjectReference, id: &str) {
        let event = EventEx {
            event_type_id: id.to_owned(),
            object_id: Some(vm.value.clone()),
            object_type: Some(vm.type_.clone()),
            ..Default::default()
        };
        let manager: EventManager = self.lab.object(self.lab.content.event_manager.as_ref().unwrap());
        manager.post_event(&Poly::new(event), None).await.unwrap();
    }

    async fn events(&self, kind: &str) -> Vec<Poly<Event>> {
        let manager: EventManager = self.lab.object(self.lab.content.event_manager.as_ref().unwrap());
        let filter = EventFilterSpec { event_type_id: vec![kind.to_owned()], ..Default::default() };
        manager.query_events(&filter, None).await.unwrap()
    }
}

const CONSOLIDATION: &str = "com.vmware.vc.VmDiskConsolidationNeeded";

/// An alarm on machines that are off.
fn off(name: &str) -> AlarmSpec {
    let expression = StateAlarmExpression {
        operator: StateAlarmOperator::IsEqual,
        type_: "VirtualMachine".to_owned(),
        state_path: "runtime.powerState".to_owned(),
        red: Some("poweredOff".to_owned()),
        ..Default::default()
    };
    AlarmSpec {
        name: name.to_owned(),
        description: "It must run.".to_owned(),
        enabled: true,
        expression: Poly::new(expression),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_new_vcenter_has_its_default_alarms() {
    let alarms = Alarms::new().await;
    let all = alarms.manager.get_alarm(None).await.unwrap();
    assert!(all.len() >= 20, "{}", all.len());
    let mut names = Vec::new();
    for alarm in &all {
        let info: AlarmInfo = alarms.lab.read(alarm, "info").await.unwrap().take().unwrap();
        assert_eq!(info.entity, alarms.lab.content.root_folder);
        names.push(info.name.clone());
    }
    for name in ["Host connection and power state", "Datastore usage on disk", "Virtual machine CPU usage"] {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
    let [vm] = alarms.lab.some(["VirtualMachine"]).await;
    assert!(alarms.manager.get_alarm(Some(&vm)).await.unwrap().is_empty(), "none is defined on the machine itself");
    let declared: Vec<AlarmState> = alarms.lab.read(&vm, "declaredAlarmState").await.unwrap().take().unwrap();
    assert!(declared.len() > 3 && declared.len() < all.len());
    assert!(declared.iter().all(|state| state.overall_status == ManagedEntityStatus::Green));
    assert_eq!(alarms.manager.get_alarm_state(&vm).await.unwrap().len(), declared.len());
}

#[tokio::test]
async fn a_triggered_alarm_shows_on_all_above_and_is_acknowledged_and_cleared() {
    let alarms = Alarms::new().await;
    let [dc, cluster, host, vm] =
        alarms.lab.some(["Datacenter", "ClusterComputeResource", "HostSystem", "VirtualMachine"]).await;
    let root = alarms.lab.content.root_folder.clone();
    assert_eq!(alarms.status(&vm).await, "green");
    alarms.happens(&vm, CONSOLIDATION).await;
    assert_eq!(alarms.status(&vm).await, "yellow");
    assert_eq!(alarms.status(&dc).await, "green", "the health is the machine's own");
    let vm_host: ManagedObjectReference = alarms.lab.read(&vm, "runtime.host").await.unwrap().take().unwrap();
    for above in [&vm, &vm_host, &cluster, &dc, &root] {
        let triggered = alarms.triggered(above).await;
        assert_eq!(triggered.len(), 1, "{above}");
        assert_eq!((&triggered[0].entity, triggered[0].acknowledged), (&vm, Some(false)));
    }
    for host in alarms.lab.all_of("HostSystem").await.iter().filter(|host| **host != vm_host) {
        assert!(alarms.triggered(host).await.is_empty());
    }
    let state = alarms.triggered(&vm).await.remove(0);
    let changed = alarms.events("AlarmStatusChangedEvent").await;
    assert_eq!(changed.len(), 1);
    assert_eq!(state.event_key, Some(changed[0].key));
    assert!(changed[0].full_formatted_message.as_ref().unwrap().ends_with("changed from Green to Yellow"));

    alarms.manager.acknowledge_alarm(&state.alarm, &vm).await.unwrap();
    let state = alarms.triggered(&root).await.remove(0);
    assert_eq!(state.acknowledged_by_user.as_deref(), Some("VSPHERE.LOCAL\\Administrator"));
    assert_eq!(state.acknowledged, Some(true));
    assert_eq!(fault(alarms.manager.acknowledge_alarm(&state.alarm, &host)).await, "InvalidArgument");

    let metrics = AlarmFilterSpec { type_trigger: Some("triggerTypeMetric".to_owned()), ..Default::default() };
    alarms.manager.clear_triggered_alarms(&metrics).await.unwrap();
    assert_eq!(alarms.triggered(&vm).await.len(), 1, "it is one of events");
    alarms.manager.clear_triggered_alarms(&AlarmFilterSpec::default()).await.unwrap();
    assert!(alarms.triggered(&root).await.is_empty());
    assert_eq!(alarms.status(&vm).await, "green");
    assert_eq!(alarms.events("AlarmClearedEvent").await.len(), 1);
}

#[tokio::test]
async fn an_alarm_on_a_state_follows_it() {
    let alarms = Alarms::new().await;
    let root = alarms.lab.content.root_folder.clone();
    let [vm] = alarms.lab.some(["VirtualMachine"]).await;
    let machine: vsphere_model::managed::VirtualMachine = alarms.lab.object(&vm);
    let alarm = alarms.manager.create_alarm(&root, &Poly::new(off("is off"))).await.unwrap();
    assert!(alarms.triggered(&vm).await.is_empty(), "the machines of the model run");
    alarms.lab.task(machine.power_off_vm_task()).await.unwrap();
    assert_eq!(alarms.status(&vm).await, "red");
    assert_eq!(alarms.triggered(&vm).await[0].alarm, alarm);
    // One that was cleared by hand stays so until its condition changes.
    alarms.manager.clear_triggered_alarms(&AlarmFilterSpec::default()).await.unwrap();
    assert!(alarms.triggered(&vm).await.is_empty());
    alarms.lab.task(machine.power_on_vm_task(None)).await.unwrap();
    alarms.lab.task(machine.power_off_vm_task()).await.unwrap();
    assert_eq!(alarms.triggered(&vm).await.len(), 1);
    alarms.lab.task(machine.power_on_vm_task(None)).await.unwrap();
    assert_eq!((alarms.status(&vm).await.as_str(), alarms.triggered(&vm).await.len()), ("green", 0));
}

#[tokio::test]
async fn an_alarm_is_reconfigured_disabled_and_removed() {
    let alarms = Alarms::new().await;
    let root = alarms.lab.content.root_folder.clone();
    let [vm] = alarms.lab.some(["VirtualMachine"]).await;
    let machine: vsphere_model::managed::VirtualMachine = alarms.lab.object(&vm);
    alarms.lab.task(machine.power_off_vm_task()).await.unwrap();
    let reference = alarms.manager.create_alarm(&root, &Poly::new(off("is off"))).await.unwrap();
    assert_eq!(alarms.triggered(&vm).await.len(), 1, "what is so already counts at once");
    let alarm: Alarm = alarms.lab.object(&reference);
    alarms.manager.disable_alarm(&reference, &vm).await.unwrap();
    assert!(alarms.triggered(&vm).await.is_empty());
    alarms.manager.enable_alarm(&reference, &vm).await.unwrap();
    assert_eq!(alarms.triggered(&vm).await.len(), 1);
    alarm.reconfigure_alarm(&Poly::new(AlarmSpec { enabled: false, ..off("is still off") })).await.unwrap();
    assert!(alarms.triggered(&vm).await.is_empty());
    let info: AlarmInfo = alarms.lab.read(&reference, "info").await.unwrap().take().unwrap();
    assert_eq!(
        (info.name.as_str(), info.last_modified_user.as_str()),
        ("is still off", "VSPHERE.LOCAL\\Administrator")
    );
    alarm.reconfigure_alarm(&Poly::new(off("is off"))).await.unwrap();
    alarm.remove_alarm().await.unwrap();
    assert_eq!((alarms.triggered(&vm).await.len(), alarms.status(&vm).await.as_str()), (0, "green"));
    assert_eq!(fault(alarm.remove_alarm()).await, "ManagedObjectNotFound");
}

#[tokio::test]
async fn what_makes_no_alarm_is_refused() {
    let alarms = Alarms::new().await;
    let root = alarms.lab.content.root_folder.clone();
    let create = |spec: AlarmSpec| {
        let (manager, root) = (alarms.manager.clone(), root.clone());
        async move { fault(manager.create_alarm(&root, &Poly::new(spec))).await }
    };
    assert_eq!(create(off("Host CPU usage")).await, "DuplicateName");
    assert_eq!(create(off("")).await, "InvalidName");
    let nothing = AlarmSpec { expression: Poly::new(OrAlarmExpression::default()), ..off("a") };
    assert_eq!(create(nothing).await, "InvalidArgument");
    let unknown = EventAlarmExpression { object_type: Some("Toaster".to_owned()), ..Default::default() };
    assert_eq!(create(AlarmSpec { expression: Poly::new(unknown), ..off("a") }).await, "InvalidArgument");
}

#[tokio::test]
async fn actions_are_switched_off_and_on() {
    let alarms = Alarms::new().await;
    let [vm] = alarms.lab.some(["VirtualMachine"]).await;
    assert!(alarms.manager.are_alarm_actions_enabled(&vm).await.unwrap());
    alarms.manager.enable_alarm_actions(&vm, false).await.unwrap();
    assert!(!alarms.manager.are_alarm_actions_enabled(&vm).await.unwrap());
    let enabled: bool = alarms.lab.read(&vm, "alarmActionsEnabled").await.unwrap().take().unwrap();
    assert!(!enabled);
}
