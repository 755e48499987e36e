//! Hosts that fail, datastores that fill up, sessions that are lost.

use std::io::ErrorKind;
use std::time::Duration;

use crate::support::{Lab, fault};
use vsphere_model::managed::{FileManager, Folder, HostSystem, VirtualMachine, folder, virtual_machine as vm};
use vsphere_model::types::{
    ClusterConfigSpecEx, ClusterDasConfigInfo, HostSystemConnectionState, ManagedObjectReference, NoDiskSpace, Poly,
    VirtualMachineCloneSpec, VirtualMachineConnectionState, VirtualMachinePowerState, VirtualMachineRelocateSpec,
};
use vsphere_sim::{Model, Size, Trouble};

const HOST: &str = "DC0_C0_H0";

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 6, hosts: 3, ..Size::default() })).await
}

/// The machines that run on the host.
async fn running_on(lab: &Lab, host: &ManagedObjectReference) -> Vec<ManagedObjectReference> {
    let mut running = Vec::new();
    for machine in lab.read(host, "vm").await.unwrap().take::<Vec<ManagedObjectReference>>().unwrap() {
        let state = lab.get(&lab.object::<VirtualMachine>(&machine), vm::POWER_STATE).await;
        running.extend((state == VirtualMachinePowerState::PoweredOn).then_some(machine));
    }
    running
}

#[tokio::test]
async fn ha_restarts_the_machines_of_a_host_that_fails() {
    let lab = lab().await;
    let host = lab.at(&format!("/DC0/host/DC0_C0/{HOST}")).await;
    let victims = running_on(&lab, &host).await;
    assert!(!victims.is_empty());
    lab.sim.fail_host(HOST).unwrap();
    let state = lab.read(&host, "runtime.connectionState").await.unwrap();
    assert_eq!(state.take::<HostSystemConnectionState>().unwrap(), HostSystemConnectionState::NotResponding);
    assert!(running_on(&lab, &host).await.is_empty());
    for victim in &victims {
        let runtime = lab.get(&lab.object::<VirtualMachine>(victim), vm::RUNTIME).await;
        assert_ne!(runtime.host, Some(host.clone()));
        assert_eq!(runtime.power_state, VirtualMachinePowerState::PoweredOn);
        assert_eq!(runtime.connection_state, VirtualMachineConnectionState::Connected);
    }
    let refused = lab.object::<HostSystem>(&host).enter_maintenance_mode_task(0, None, None);
    assert_eq!(fault(refused).await, "HostNotReachable");
    lab.sim.recover_host(HOST).unwrap();
    let state = lab.read(&host, "runtime.connectionState").await.unwrap();
    assert_eq!(state.take::<HostSystemConnectionState>().unwrap(), HostSystemConnectionState::Connected);
}

#[tokio::test]
async fn without_ha_machines_are_unknown_until_their_host_is_back_and_then_off() {
    let lab = lab().await;
    let host = lab.at(&format!("/DC0/host/DC0_C0/{HOST}")).await;
    let cluster = lab.at("/DC0/host/DC0_C0").await;
    let cluster: vsphere_model::managed::ComputeResource = lab.object(&cluster);
    let das = ClusterDasConfigInfo { enabled: Some(false), ..Default::default() };
    let spec = ClusterConfigSpecEx { das_config: Some(Box::new(das)), ..Default::default() };
    lab.run(cluster.reconfigure_compute_resource_task(&Poly::new(spec), true)).await;
    let victims = running_on(&lab, &host).await;
    lab.sim.fail_host(HOST).unwrap();
    let victim: VirtualMachine = lab.object(&victims[0]);
    let runtime = lab.get(&victim, vm::RUNTIME).await;
    assert_eq!(runtime.connection_state, VirtualMachineConnectionState::Disconnected);
    assert_eq!(runtime.power_state, VirtualMachinePowerState::PoweredOn, "what was known last");
    lab.task_fault(victim.power_off_vm_task(), "HostNotConnected").await;
    lab.sim.recover_host(HOST).unwrap();
    let runtime = lab.get(&victim, vm::RUNTIME).await;
    assert_eq!(runtime.connection_state, VirtualMachineConnectionState::Connected);
    assert_eq!(runtime.power_state, VirtualMachinePowerState::PoweredOff);
    lab.run(victim.power_on_vm_task(None)).await;
}

#[tokio::test]
async fn a_host_that_is_back_in_time_keeps_its_machines() {
    let lab = Lab::new(Model::sized(Size { vms: 6, hosts: 3, ..Size::default() }).pace(0.01)).await;
    let host = lab.at(&format!("/DC0/host/DC0_C0/{HOST}")).await;
    let victims = running_on(&lab, &host).await;
    lab.sim.fail_host(HOST).unwrap();
    lab.sim.recover_host(HOST).unwrap();
    // HA would have come after 300 ms.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for victim in &victims {
        assert_eq!(lab.get(&lab.object::<VirtualMachine>(victim), vm::RUNTIME).await.host, Some(host.clone()));
    }
}

#[tokio::test]
async fn a_full_datastore_takes_nothing_until_it_has_room_again() {
    let lab = lab().await;
    let datastore = lab.at("/DC0/datastore/DC0_DS0").await;
    let free = |value: vsphere_model::types::Any| value.take::<i64>().unwrap();
    let before = free(lab.read(&datastore, "summary.freeSpace").await.unwrap());
    lab.sim.fill_datastore("DC0_DS0", 4096).unwrap();
    assert_eq!(free(lab.read(&datastore, "summary.freeSpace").await.unwrap()), 4096);

    let machine = lab.at("/DC0/vm/DC0_C0_VM0").await;
    let machine: VirtualMachine = lab.object(&machine);
    let dc = lab.at("/DC0/vm").await;
    let location = VirtualMachineRelocateSpec { datastore: Some(datastore.clone()), ..Default::default() };
    let spec = VirtualMachineCloneSpec { location, ..Default::default() };
    let info = lab.task(machine.clone_vm_task(&dc, "copy", &spec)).await.unwrap();
    assert!(info.error.unwrap().fault.is::<NoDiskSpace>());

    lab.sim.fill_datastore("DC0_DS0", u64::MAX).unwrap();
    assert_eq!(free(lab.read(&datastore, "summary.freeSpace").await.unwrap()), before);
    lab.run(machine.clone_vm_task(&dc, "copy", &spec)).await;
    let folder: Folder = lab.object(&dc);
    assert_eq!(lab.get(&folder, folder::CHILD_ENTITY).await.len(), 7);
}

#[tokio::test]
async fn what_fills_a_datastore_is_a_file_that_a_client_can_delete() {
    let lab = lab().await;
    lab.sim.fill_datastore("DC0_DS0", 0).unwrap();
    let files: FileManager = lab.object(lab.content.file_manager.as_ref().unwrap());
    let dc = lab.at("/DC0").await;
    lab.run(files.delete_datastore_file_task("[DC0_DS0] ballast.bin", Some(&dc))).await;
    let datastore = lab.at("/DC0/datastore/DC0_DS0").await;
    assert!(lab.read(&datastore, "summary.freeSpace").await.unwrap().take::<i64>().unwrap() > 0);
}

#[tokio::test]
async fn what_is_not_there_is_an_error_that_lists_what_is() {
    let lab = lab().await;
    let error = lab.sim.fail_host("esx-99").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("DC0_C0_H0, DC0_C0_H1"), "{error}");
    assert!(lab.sim.fill_datastore("lost", 0).unwrap_err().to_string().contains("DC0_DS0"));
}

#[tokio::test]
async fn every_third_request_loses_its_session() {
    let lab = lab().await;
    lab.sim.trouble(Trouble::none().lose_session_every(3));
    let mut lost = 0;
    let mut client = lab.another(Model::USER, Model::PASSWORD).await;
    for _ in 0..12 {
        let root = lab.content.root_folder.clone();
        match &client {
            Ok(logged_in) if logged_in.read(&root, "name").await.is_ok() => {}
            _ => {
                lost += 1;
                client = lab.another(Model::USER, Model::PASSWORD).await;
            }
        }
    }
    assert!((2..12).contains(&lost), "{lost}");
    lab.sim.trouble(Trouble::none());
    let client = lab.another(Model::USER, Model::PASSWORD).await.unwrap();
    client.read(&lab.content.root_folder, "name").await.unwrap();
}
