//! The search index.

use crate::support::Lab;
use vsphere_model::managed::{Folder, SearchIndex};
use vsphere_model::types::ManagedObjectReference;
use vsphere_sim::{Model, Size};

async fn lab() -> (Lab, SearchIndex) {
    let lab = Lab::new(Model::sized(Size { datacenters: 2, vms: 4, ..Size::default() })).await;
    let index = lab.object(lab.content.search_index.as_ref().unwrap());
    (lab, index)
}

async fn text(lab: &Lab, object: &ManagedObjectReference, path: &str) -> String {
    lab.read(object, path).await.unwrap().take().unwrap()
}

#[tokio::test]
async fn an_inventory_path_leads_to_every_kind_of_object() {
    let (_lab, index) = lab().await;
    for (path, type_) in [
        ("/", "Folder"),
        ("DC0", "Datacenter"),
        ("/DC0/vm", "Folder"),
        ("/DC0/vm/DC0_C0_VM0", "VirtualMachine"),
        ("/DC0/host/DC0_C0", "ClusterComputeResource"),
        ("/DC0/host/DC0_C0/DC0_C0_H0", "HostSystem"),
        ("/DC0/host/DC0_C0/Resources", "ResourcePool"),
        ("/DC0/datastore/DC0_DS1/", "Datastore"),
        ("/DC0/network/VM Network", "Network"),
    ] {
        let found = index.find_by_inventory_path(path).await.unwrap();
        assert_eq!(found.map(|found| found.type_).as_deref(), Some(type_), "{path}");
    }
    for path in ["/DC2", "/DC0/vm/ghost", "/DC0/host/DC0_C0/DC0_C0_H0/DC0_C0_VM0", "/DC0/DC0_DS0"] {
        assert_eq!(index.find_by_inventory_path(path).await.unwrap(), None, "{path}");
    }
}

#[tokio::test]
async fn pitfall_12_a_name_with_a_slash_is_one_step() {
    let (lab, index) = lab().await;
    let vms: Folder = lab.object(&lab.at("/DC0/vm").await);
    let made = vms.create_folder("a/b%").await.unwrap();
    assert_eq!(index.find_by_inventory_path("/DC0/vm/a%2fb%25").await.unwrap(), Some(made.clone()));
    assert_eq!(index.find_by_inventory_path("/DC0/vm/a/b%").await.unwrap(), None);
    let folder = lab.at("/DC0/vm").await;
    assert_eq!(index.find_child(&folder, "a/b%").await.unwrap(), Some(made));
    assert_eq!(index.find_child(&folder, "a").await.unwrap(), None);
}

#[tokio::test]
async fn machines_are_found_by_identity_and_by_file() {
    let (lab, index) = lab().await;
    let (dc0, dc1) = (lab.at("/DC0").await, lab.at("/DC1").await);
    let vm = lab.at("/DC0/vm/DC0_C0_VM0").await;
    let (bios, instance) = (text(&lab, &vm, "config.uuid").await, text(&lab, &vm, "config.instanceUuid").await);
    let by = |dc: Option<ManagedObjectReference>, uuid: String, of_instance| {
        let index = index.clone();
        async move { index.find_by_uuid(dc.as_ref(), &uuid, true, Some(of_instance)).await.unwrap() }
    };
    assert_eq!(by(None, bios.to_uppercase(), false).await, Some(vm.clone()));
    assert_eq!(by(Some(dc0.clone()), instance.clone(), true).await, Some(vm.clone()));
    assert_eq!(by(None, instance, false).await, None);
    assert_eq!(by(Some(dc1.clone()), bios.clone(), false).await, None);
    assert_eq!(index.find_all_by_uuid(None, &bios, true, None).await.unwrap(), std::slice::from_ref(&vm));
    let path = text(&lab, &vm, "config.files.vmPathName").await;
    assert_eq!(index.find_by_datastore_path(&dc0, &path).await.unwrap(), Some(vm));
    assert_eq!(index.find_by_datastore_path(&dc0, "[DC0_DS0] x/x.vmx").await.unwrap(), None);
    let error = index.find_by_datastore_path(&dc1, &path).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidDatastore")), "{error}");
}

#[tokio::test]
async fn hosts_and_machines_are_found_by_address() {
    let (lab, index) = lab().await;
    let host = lab.at("/DC0/host/DC0_C0/DC0_C0_H0").await;
    let uuid = text(&lab, &host, "summary.hardware.uuid").await;
    assert_eq!(index.find_by_uuid(None, &uuid, false, None).await.unwrap(), Some(host.clone()));
    assert_eq!(index.find_by_dns_name(None, "dc0_c0_h0", false).await.unwrap(), Some(host.clone()));
    assert_eq!(index.find_all_by_dns_name(None, "DC0_C0_H0", true).await.unwrap(), []);
    let vm = lab.machine_with_tools("web-9").await;
    lab.run(vm.power_on_vm_task(None)).await;
    let vm = lab.at("/DC0/vm/web-9").await;
    let name = text(&lab, &vm, "guest.hostName").await;
    assert_eq!(index.find_by_dns_name(None, &name, true).await.unwrap(), Some(vm.clone()));
    let address = text(&lab, &vm, "guest.ipAddress").await;
    assert_eq!(index.find_by_ip(None, &address, true).await.unwrap(), Some(vm.clone()));
    assert_eq!(index.find_all_by_ip(None, &address, true).await.unwrap(), [vm]);
    assert_eq!(index.find_by_ip(None, "203.0.113.7", true).await.unwrap(), None);
    let error = index.find_by_ip(None, "nowhere", true).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidArgument")), "{error}");
}
