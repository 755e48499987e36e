//! Power of machines: states, faults, what guests do by themselves.

use std::time::{Duration, Instant};

use crate::support::Lab;
use vsphere_model::managed::{HostSystem, VirtualMachine, host_system, virtual_machine as vm};
use vsphere_model::types::VirtualMachinePowerState::{PoweredOff, PoweredOn, Suspended};
use vsphere_model::types::{
    ClusterPowerOnVmResult, InvalidPowerState, ManagedObjectReference, MethodFault, Poly, ResourceAllocationInfo,
    TaskInfo, VirtualMachinePowerState, VirtualMachineRuntimeInfo, VirtualMachineToolsStatus,
};
use vsphere_sim::{Model, Size};
use vsphere_soap::request::{ManagedObject as _, Request};

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await
}

/// The error of a task that fails.
async fn failure(lab: &Lab, request: Request<ManagedObjectReference>) -> Poly<MethodFault> {
    lab.task(request).await.unwrap().error.unwrap().fault
}

async fn success(lab: &Lab, request: Request<ManagedObjectReference>) -> TaskInfo {
    let task = lab.task(request).await.unwrap();
    assert_eq!(task.error, None);
    task
}

async fn state(lab: &Lab, machine: &VirtualMachine) -> VirtualMachinePowerState {
    lab.get(machine, vm::RUNTIME).await.power_state
}

#[tokio::test]
async fn a_machine_goes_through_all_its_states() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    success(&lab, machine.power_on_vm_task(None)).await;
    let runtime = lab.get(&machine, vm::RUNTIME).await;
    assert_eq!((&runtime.power_state, runtime.clean_power_off), (&PoweredOn, None));
    let host: HostSystem = lab.object(&runtime.host.unwrap());
    let mhz = lab.get(&host, host_system::SUMMARY).await.hardware.unwrap().cpu_mhz;
    assert_eq!((runtime.max_cpu_usage, runtime.max_memory_usage), (Some(2 * mhz), Some(4096)));
    let booted = runtime.boot_time.unwrap();

    success(&lab, machine.reset_vm_task()).await;
    assert_eq!(lab.get(&machine, vm::RUNTIME).await.boot_time, Some(booted));

    success(&lab, machine.suspend_vm_task()).await;
    let runtime = lab.get(&machine, vm::RUNTIME).await;
    assert_eq!((runtime.power_state, runtime.boot_time), (Suspended, None));
    assert!(runtime.suspend_time.unwrap() >= booted);

    success(&lab, machine.power_on_vm_task(None)).await;
    assert_eq!(state(&lab, &machine).await, PoweredOn);
    success(&lab, machine.power_off_vm_task()).await;
    let runtime = lab.get(&machine, vm::RUNTIME).await;
    assert_eq!((runtime.power_state, runtime.clean_power_off), (PoweredOff, Some(true)));

    success(&lab, machine.power_on_vm_task(None)).await;
    machine.terminate_vm().await.unwrap();
    let runtime = lab.get(&machine, vm::RUNTIME).await;
    assert_eq!((runtime.power_state, runtime.clean_power_off), (PoweredOff, Some(false)));
}

#[tokio::test]
async fn pitfall_27_a_state_that_is_reached_is_refused_with_both_states_named() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    let states = |fault: &Poly<MethodFault>| {
        let fault = fault.downcast_ref::<InvalidPowerState>().unwrap();
        (fault.existing_state.clone(), fault.requested_state.clone())
    };
    let off = failure(&lab, machine.power_off_vm_task()).await;
    assert_eq!(states(&off), (PoweredOff, Some(PoweredOff)));
    assert_eq!(states(&failure(&lab, machine.reset_vm_task()).await), (PoweredOff, Some(PoweredOn)));
    assert_eq!(states(&failure(&lab, machine.suspend_vm_task()).await), (PoweredOff, Some(Suspended)));
    success(&lab, machine.power_on_vm_task(None)).await;
    assert_eq!(states(&failure(&lab, machine.power_on_vm_task(None)).await), (PoweredOn, Some(PoweredOn)));
    let error = machine.shutdown_guest().await.unwrap_err();
    assert!(error.fault().unwrap().is_named("ToolsUnavailable"), "{error}");
    success(&lab, machine.power_off_vm_task()).await;
    let error = machine.shutdown_guest().await.unwrap_err();
    assert!(error.fault().unwrap().is_named("InvalidPowerState"), "{error}");
    assert!(machine.terminate_vm().await.unwrap_err().fault().unwrap().is_named("InvalidPowerState"));
}

#[tokio::test]
async fn a_guest_can_be_asked_to_shut_down_to_reboot_and_to_sleep() {
    let lab = lab().await;
    let machine = lab.machine_with_tools("web-1").await;
    success(&lab, machine.power_on_vm_task(None)).await;
    machine.reboot_guest().await.unwrap();
    assert_eq!(state(&lab, &machine).await, PoweredOn);
    assert_eq!(lab.get(&machine, vm::GUEST).await.unwrap().tools_status, Some(VirtualMachineToolsStatus::ToolsOk));
    machine.standby_guest().await.unwrap();
    assert_eq!(state(&lab, &machine).await, Suspended);
    success(&lab, machine.power_on_vm_task(None)).await;
    machine.shutdown_guest().await.unwrap();
    assert_eq!(state(&lab, &machine).await, PoweredOff);
}

#[tokio::test]
async fn a_shutdown_takes_its_time_and_a_power_off_in_between_ends_it() {
    // A tenth of the time of a real server: the system starts in 600 ms, and stops in 300.
    let lab = Lab::new(Model::sized(Size { vms: 0, ..Size::default() }).pace(0.1)).await;
    let machine = lab.machine_with_tools("web-1").await;
    success(&lab, machine.power_on_vm_task(None)).await;
    let guest = lab.get(&machine, vm::GUEST).await.unwrap();
    assert_eq!(guest.tools_status, Some(VirtualMachineToolsStatus::ToolsNotRunning));
    assert_eq!(guest.ip_address, None);
    wait_for(&lab, &machine, |guest| guest.ip_address.is_some()).await;
    machine.shutdown_guest().await.unwrap();
    let runtime = lab.get(&machine, vm::RUNTIME).await;
    let guest = lab.get(&machine, vm::GUEST).await.unwrap();
    assert_eq!((runtime.power_state, guest.guest_state.as_str()), (PoweredOn, "shuttingDown"));
    machine.terminate_vm().await.unwrap();
    success(&lab, machine.power_on_vm_task(None)).await;
    // The guest of the former run doesn't switch off this one.
    wait_for(&lab, &machine, |guest| guest.ip_address.is_some()).await;
    assert_eq!(state(&lab, &machine).await, PoweredOn);
    machine.shutdown_guest().await.unwrap();
    wait_for(&lab, &machine, |guest| guest.guest_state == "notRunning").await;
    assert_eq!(state(&lab, &machine).await, PoweredOff);
}

async fn wait_for(lab: &Lab, machine: &VirtualMachine, until: impl Fn(&vsphere_model::types::GuestInfo) -> bool) {
    let start = Instant::now();
    while !until(&lab.get(machine, vm::GUEST).await.unwrap()) {
        assert!(start.elapsed() < Duration::from_secs(20), "it never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn pitfall_28_only_one_task_has_a_machine() {
    let lab = Lab::new(Model::sized(Size { vms: 0, ..Size::default() }).pace(0.1)).await;
    let machine = lab.machine("web-1", &[]).await;
    let first = machine.power_on_vm_task(None).await.unwrap();
    let error = machine.power_on_vm_task(None).await.unwrap_err();
    let fault = error.fault().unwrap();
    assert!(fault.is_named("TaskInProgress"), "{error}");
    loop {
        let info: TaskInfo = lab.read(&first, "info").await.unwrap().take().unwrap();
        if info.complete_time.is_some() {
            assert_eq!(info.error, None);
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(state(&lab, &machine).await, PoweredOn);
}

#[tokio::test]
async fn drs_spreads_machines_over_the_hosts_and_several_start_in_one_call() {
    let lab = lab().await;
    let site = lab.site().await;
    let mut machines = Vec::new();
    for number in 0..6 {
        let machine = lab.machine_of(&site, &format!("m{number}"), &[], |spec| spec.memory_mb = Some(64 << 10)).await;
        machines.push(machine);
    }
    success(&lab, machines[0].power_on_vm_task(None)).await;
    let all: Vec<_> = machines.iter().map(|machine| machine.handle().reference().clone()).collect();
    let task = success(&lab, site.datacenter.power_on_multi_vm_task(&all, &[])).await;
    let result: ClusterPowerOnVmResult = task.result.unwrap().take().unwrap();
    assert_eq!(result.attempted.len(), 5);
    let refused = &result.not_attempted[..];
    assert_eq!(refused.iter().map(|refused| &refused.vm).collect::<Vec<_>>(), [&all[0]]);
    assert!(refused[0].fault.fault.is::<InvalidPowerState>());
    let mut hosts = std::collections::HashMap::new();
    for machine in &machines {
        let runtime: VirtualMachineRuntimeInfo = lab.get(machine, vm::RUNTIME).await;
        assert_eq!(runtime.power_state, PoweredOn);
        assert!(runtime.das_vm_protection.unwrap().das_protected);
        *hosts.entry(runtime.host.unwrap().value).or_insert(0) += 1;
    }
    assert_eq!(hosts.into_values().collect::<Vec<_>>(), [2, 2, 2]);
    // The hosts know their machines.
    for machine in &machines {
        let host: HostSystem = lab.object(&lab.get(machine, vm::RUNTIME).await.host.unwrap());
        assert!(lab.get(&host, host_system::VM).await.contains(machine.handle().reference()));
    }
}

#[tokio::test]
async fn a_reservation_that_no_host_can_keep_is_refused() {
    let lab = lab().await;
    let site = lab.site().await;
    let reserve = |gigabytes: i64| {
        Some(Box::new(ResourceAllocationInfo { reservation: Some(gigabytes << 10), ..Default::default() }))
    };
    let mut machines = Vec::new();
    for number in 0..4 {
        let name = format!("big{number}");
        let machine = lab.machine_of(&site, &name, &[], |spec| {
            spec.memory_mb = Some(300 << 10);
            spec.memory_allocation = reserve(300);
        });
        machines.push(machine.await);
    }
    // A host has 512 GB, so there is room for one on each of the three.
    for machine in &machines[..3] {
        success(&lab, machine.power_on_vm_task(None)).await;
    }
    let fault = failure(&lab, machines[3].power_on_vm_task(None)).await;
    let fault: &vsphere_model::types::InsufficientMemoryResourcesFault = fault.downcast_ref().unwrap();
    assert_eq!((fault.unreserved, fault.requested), (212 << 30, 300 << 30));
    let small = lab.machine_of(&site, "small", &[], |spec| spec.memory_allocation = reserve(4)).await;
    success(&lab, small.power_on_vm_task(None)).await;
    let wide = lab.machine_of(&site, "wide", &[], |spec| spec.num_cpus = Some(256)).await;
    assert!(failure(&lab, wide.power_on_vm_task(None)).await.is::<vsphere_model::types::NotEnoughLogicalCpus>());
}

#[tokio::test]
async fn a_machine_starts_on_the_host_that_is_asked_for() {
    let lab = lab().await;
    let site = lab.site().await;
    let machine = lab.machine("web-1", &[]).await;
    let hosts = lab.get(&site.cluster, vsphere_model::managed::cluster_compute_resource::HOST).await;
    for host in &hosts {
        success(&lab, machine.power_on_vm_task(Some(host))).await;
        assert_eq!(lab.get(&machine, vm::RUNTIME).await.host.as_ref(), Some(host));
        success(&lab, machine.power_off_vm_task()).await;
    }
    let elsewhere = ManagedObjectReference::new("HostSystem", "host-99999");
    let fault = failure(&lab, machine.power_on_vm_task(Some(&elsewhere))).await;
    assert!(fault.is::<vsphere_model::types::InvalidArgument>());
}

#[tokio::test]
async fn every_change_is_an_event() {
    let lab = lab().await;
    let machine = lab.machine_with_tools("web-1").await;
    let before = lab.events(&machine).await.len();
    success(&lab, machine.power_on_vm_task(None)).await;
    success(&lab, machine.reset_vm_task()).await;
    machine.reboot_guest().await.unwrap();
    success(&lab, machine.suspend_vm_task()).await;
    success(&lab, machine.power_on_vm_task(None)).await;
    machine.shutdown_guest().await.unwrap();
    let events = lab.events(&machine).await;
    let expected = [
        "VmStartingEvent",
        "DrsVmPoweredOnEvent",
        "VmResettingEvent",
        "VmGuestRebootEvent",
        "VmSuspendingEvent",
        "VmSuspendedEvent",
        "VmResumingEvent",
        "DrsVmPoweredOnEvent",
        "VmGuestShutdownEvent",
        "VmPoweredOffEvent",
    ];
    assert_eq!(events[before..], expected);
    // What is refused is none.
    failure(&lab, machine.power_off_vm_task()).await;
    assert_eq!(lab.events(&machine).await.len(), events.len());
}

#[tokio::test]
async fn a_host_in_maintenance_runs_nothing() {
    let lab = Lab::new(Model::sized(Size { vms: 0, hosts: 2, ..Size::default() })).await;
    let site = lab.site().await;
    let machine = lab.machine("web-1", &[]).await;
    let hosts = lab.get(&site.cluster, vsphere_model::managed::cluster_compute_resource::HOST).await;
    let [first, second] = [0, 1].map(|at| lab.object::<HostSystem>(&hosts[at]));
    success(&lab, first.enter_maintenance_mode_task(0, None, None)).await;
    let fault = failure(&lab, machine.power_on_vm_task(Some(&hosts[0]))).await;
    assert!(fault.is::<vsphere_model::types::InvalidState>(), "{fault:?}");
    // DRS takes the other one.
    success(&lab, machine.power_on_vm_task(None)).await;
    assert_eq!(lab.get(&machine, vm::RUNTIME).await.host.as_ref(), Some(&hosts[1]));
    success(&lab, machine.power_off_vm_task()).await;
    success(&lab, second.enter_maintenance_mode_task(0, None, None)).await;
    let fault = failure(&lab, machine.power_on_vm_task(None)).await;
    assert!(fault.is::<vsphere_model::types::NoActiveHostInCluster>(), "{fault:?}");
}

#[tokio::test]
async fn a_machine_on_a_host_that_is_not_connected_can_not_be_changed() {
    let lab = Lab::new(Model::sized(Size { vms: 0, hosts: 1, ..Size::default() })).await;
    let site = lab.site().await;
    let machine = lab.machine("web-1", &[]).await;
    success(&lab, machine.power_on_vm_task(None)).await;
    let hosts = lab.get(&site.cluster, vsphere_model::managed::cluster_compute_resource::HOST).await;
    let host: HostSystem = lab.object(&hosts[0]);
    success(&lab, host.disconnect_host_task()).await;
    for request in [machine.power_off_vm_task(), machine.create_snapshot_task("a", None, false, false)] {
        let fault = failure(&lab, request).await;
        assert!(fault.is::<vsphere_model::types::HostNotConnected>(), "{fault:?}");
    }
}
