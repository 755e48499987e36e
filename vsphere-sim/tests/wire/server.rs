//! The server itself: login, reads, news.

use crate::support::{Lab, login};
use vsphere_model::managed::{
    Datacenter, Folder, HostSystem, PropertyCollector, SearchIndex, ViewManager, VirtualMachine, datacenter, folder,
    host_system, virtual_machine,
};
use vsphere_model::types::{
    ObjectSpec, ObjectUpdateKind, Poly, PropertyFilterSpec, PropertySpec, RetrieveOptions, SelectionSpec,
    TraversalSpec, WaitOptions,
};
use vsphere_sim::{Model, Sim, Size};
use vsphere_soap::object::ManagedObjectReference;

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let lab = Lab::new(Model::empty()).await;
    let error = login(&lab.sim, Model::USER, "guess").await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidLogin")), "{error}");
}

#[tokio::test]
async fn a_datacenter_has_its_four_folders_and_a_name_is_taken_once() {
    let lab = Lab::new(Model::empty()).await;
    let root: Folder = lab.object(&lab.content.root_folder);
    let made = root.create_datacenter("DC0").await.unwrap();
    let dc: Datacenter = lab.object(&made);
    assert_eq!(lab.get(&dc, datacenter::NAME).await, "DC0");
    let vms: Folder = lab.object(&lab.get(&dc, datacenter::VM_FOLDER).await);
    assert_eq!(lab.get(&vms, folder::CHILD_TYPE).await, ["Folder", "VirtualMachine", "VirtualApp"]);
    let error = root.create_datacenter("DC0").await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("DuplicateName")), "{error}");
    let error = vms.create_datacenter("DC1").await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("NotSupported")), "{error}");
}

#[tokio::test]
async fn a_model_that_asks_for_what_can_not_be_does_not_start() {
    let model = Model::sized(Size { vms: 5, datastores: 0, ..Size::default() });
    let error = Sim::start(model).await.unwrap_err();
    assert_eq!(error.to_string(), "5 virtual machines need at least one datastore");
}

#[tokio::test]
async fn machines_stand_on_hosts_of_their_own_cluster_however_they_are_dealt_out() {
    let lab = Lab::new(Model::sized(Size { vms: 11, hosts: 3, clusters: 2, ..Size::default() })).await;
    for number in 0..11 {
        let path = format!("/DC0/vm/DC0_C{}_VM{}", number % 2, number / 2);
        let index: SearchIndex = lab.object(lab.content.search_index.as_ref().unwrap());
        let machine: VirtualMachine = lab.object(&index.find_by_inventory_path(&path).await.unwrap().unwrap());
        let host: HostSystem = lab.object(&lab.get(&machine, virtual_machine::HOST).await.unwrap());
        let name = lab.get(&host, host_system::NAME).await;
        assert!(name.starts_with(&format!("DC0_C{}_", number % 2)), "{path} is on {name}");
    }
}

#[tokio::test]
async fn a_container_view_is_read_in_pages() {
    let lab = Lab::new(Model::empty()).await;
    let root: Folder = lab.object(&lab.content.root_folder);
    for number in 0..5 {
        root.create_folder(&format!("f{number}")).await.unwrap();
    }
    let views: ViewManager = lab.object(lab.content.view_manager.as_ref().unwrap());
    let view = views.create_container_view(&lab.content.root_folder, &["Folder".to_owned()], true).await.unwrap();
    let collector: PropertyCollector = lab.object(&lab.content.property_collector);
    let options = RetrieveOptions { max_objects: Some(2) };
    let mut page = collector.retrieve_properties_ex(&[names_in(&view)], &options).await.unwrap().unwrap();
    let mut names = Vec::new();
    loop {
        assert!(page.objects.len() <= 2);
        names.extend(page.objects.iter().map(|object| object.prop_set[0].val.as_str().unwrap().to_owned()));
        let Some(token) = page.token else { break };
        page = collector.continue_retrieve_properties_ex(&token).await.unwrap();
    }
    assert_eq!(names, ["f0", "f1", "f2", "f3", "f4"]);
}

#[tokio::test]
async fn a_filter_tells_what_enters_changes_and_leaves() {
    let lab = Lab::new(Model::empty()).await;
    let root: Folder = lab.object(&lab.content.root_folder);
    let views: ViewManager = lab.object(lab.content.view_manager.as_ref().unwrap());
    let view = views.create_container_view(&lab.content.root_folder, &["Folder".to_owned()], true).await.unwrap();
    let collector: PropertyCollector = lab.object(&lab.content.property_collector);
    collector.create_filter(&names_in(&view), false).await.unwrap();
    let now = WaitOptions { max_wait_seconds: Some(0), ..Default::default() };
    assert!(collector.wait_for_updates_ex(None, Some(&now)).await.unwrap().is_none());
    let made = root.create_folder("new").await.unwrap();
    let update = collector.wait_for_updates_ex(None, Some(&now)).await.unwrap().unwrap();
    let change = &update.filter_set[0].object_set[0];
    assert_eq!((&change.kind, &change.obj), (&ObjectUpdateKind::Enter, &made));
    // The same question gives the same answer: the first may have been lost.
    let waiting = collector.wait_for_updates_ex(Some(&update.version), None);
    let rename = async { root.create_folder("other").await.unwrap() };
    let (update, other) = tokio::join!(waiting, rename);
    let update = update.unwrap().unwrap();
    assert_eq!(update.filter_set[0].object_set[0].obj, other);
    let error = collector.wait_for_updates_ex(Some("77"), Some(&now)).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidCollectorVersion")), "{error}");
}

fn names_in(view: &ManagedObjectReference) -> PropertyFilterSpec {
    let traversal = TraversalSpec { type_: "ContainerView".to_owned(), path: "view".to_owned(), ..Default::default() };
    PropertyFilterSpec {
        prop_set: vec![PropertySpec { type_: "Folder".to_owned(), all: None, path_set: vec!["name".to_owned()] }],
        object_set: vec![ObjectSpec {
            obj: view.clone(),
            skip: Some(true),
            select_set: vec![Poly::<SelectionSpec>::new(traversal)],
        }],
        ..Default::default()
    }
}
