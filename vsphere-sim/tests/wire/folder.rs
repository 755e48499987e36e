//! The end of folders, and moves between them, over the wire.

use crate::support::{Lab, fault};
use vsphere_model::managed::{Folder, folder};
use vsphere_sim::{Model, Role, Size};
use vsphere_soap::object::ManagedObjectReference as Moref;
use vsphere_soap::request::ManagedObject as _;

const ALICE: &str = "alice";

async fn lab() -> Lab {
    let model = Model::sized(Size { vms: 0, ..Size::default() });
    Lab::new(model.user(ALICE, ALICE, Role::VirtualMachinePowerUser)).await
}

/// A folder with three machines, of which the second one runs.
async fn filled(lab: &Lab) -> (Folder, Vec<Moref>) {
    let all: Folder = lab.object(&lab.at("/DC0/vm").await);
    let inner: Folder = lab.object(&all.create_folder("inner").await.unwrap());
    let mut machines = Vec::new();
    for name in ["a", "b", "c"] {
        let machine = lab.machine(name, &[]).await;
        if name == "b" {
            lab.run(machine.power_on_vm_task(None)).await;
        }
        machines.push(machine.handle().reference().clone());
    }
    lab.run(inner.move_into_folder_task(&machines)).await;
    (inner, machines)
}

#[tokio::test]
async fn a_folder_is_destroyed_machine_by_machine_up_to_the_first_that_runs() {
    let lab = lab().await;
    let (inner, machines) = filled(&lab).await;
    lab.task_fault(inner.destroy_task(), "InvalidPowerState").await;
    assert_eq!(lab.get(&inner, folder::CHILD_ENTITY).await, machines[1..], "the first one is gone");
    let running: vsphere_model::managed::VirtualMachine = lab.object(&machines[1]);
    lab.run(running.power_off_vm_task()).await;
    lab.run(inner.destroy_task()).await;
    assert_eq!(lab.all_of("VirtualMachine").await, []);
}

#[tokio::test]
async fn machines_are_unregistered_with_their_folder_only_where_all_are_off() {
    let lab = lab().await;
    let (inner, machines) = filled(&lab).await;
    assert_eq!(fault(inner.unregister_and_destroy_task()).await, "InvalidPowerState");
    assert_eq!(lab.get(&inner, folder::CHILD_ENTITY).await, machines);
    let running: vsphere_model::managed::VirtualMachine = lab.object(&machines[1]);
    lab.run(running.power_off_vm_task()).await;
    lab.run(inner.unregister_and_destroy_task()).await;
    assert_eq!(lab.all_of("VirtualMachine").await, []);
    let hosts: Folder = lab.object(&lab.at("/DC0/host").await);
    let rack: Folder = lab.object(&hosts.create_folder("rack").await.unwrap());
    assert_eq!(fault(rack.unregister_and_destroy_task()).await, "NotSupported");
    assert_eq!(fault(hosts.destroy_task()).await, "NotSupported");
    lab.run(rack.destroy_task()).await;
}

#[tokio::test]
async fn to_move_takes_a_right_on_what_is_moved_and_where() {
    let lab = lab().await;
    let (inner, machines) = filled(&lab).await;
    let other = lab.another(ALICE, ALICE).await.unwrap();
    let all: Folder = other.object(&other.at("/DC0/vm").await);
    assert_eq!(fault(all.move_into_folder_task(&machines)).await, "NoPermission");
    assert_eq!(fault(all.move_into_folder_task(&[inner.handle().reference().clone()])).await, "NoPermission");
}
