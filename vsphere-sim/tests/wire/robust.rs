//! What no client should do: values that no answer could carry, requests without end, sessions that nobody ends.

use std::time::Duration;

use crate::support::Lab;
use crate::support::raw::Raw;
use vsphere_model::managed::{
    Datastore, HostDatastoreSystem, HostSystem, PropertyCollector, Task, VirtualMachine, datastore,
};
use vsphere_model::types::{
    ManagedObjectNotFound, ManagedObjectReference, ObjectSpec, PropertyFilterSpec, PropertySpec, TaskInfo,
    VirtualMachineCloneSpec, VirtualMachineRelocateSpec, VmfsDatastoreCreateSpec, WaitOptions,
};
use vsphere_sim::{Model, Size};
use vsphere_soap::request::ManagedObject as _;

/// Characters that XML does not have: as they are, and as references.
const FOREIGN: [&str; 7] = ["\u{1}", "\u{b}", "\u{1f}", "\u{fffe}", "\u{ffff}", "&#1;", "&#xFFFF;"];

fn small() -> Model {
    Model::sized(Size { vms: 1, hosts: 1, ..Size::default() })
}

#[tokio::test]
async fn a_text_that_no_answer_could_carry_is_refused() {
    let raw = Raw::new(small()).await;
    let folder = ("Folder", "group-d1");
    for foreign in FOREIGN {
        let name = format!("<name>a{foreign}b</name>");
        let answer = raw.call_of("CreateFolder", folder, &name).await;
        assert!(answer.contains("InvalidRequestFault") && answer.contains("U+"), "{foreign:?}: {answer}");
        let key = format!("<message>x{foreign}</message>");
        let answer = raw.call("UpdateServiceMessage", "SessionManager", &key).await;
        assert!(answer.contains("InvalidRequestFault"), "{foreign:?}: {answer}");
        let type_ = format!("<entity type=\"Folder{foreign}\">x</entity><name>n</name>");
        let answer = raw.call("FindChild", "SearchIndex", &type_).await;
        assert!(answer.contains("InvalidRequestFault"), "{foreign:?}: {answer}");
    }
    // What XML has is taken, and comes back.
    let answer = raw.call_of("CreateFolder", folder, "<name>tab&#9;umlaut ü \u{85} \u{fffd}</name>").await;
    assert!(answer.contains("200 OK"), "{answer}");
    assert_eq!(raw.call("Fetch", "SessionManager", "<prop>message</prop>").await.matches("U+").count(), 0);
    let names = raw.call_of("Fetch", folder, "<prop>childEntity</prop>").await;
    assert!(names.contains("group-"), "{names}");
}

#[tokio::test]
async fn no_file_and_no_tag_gets_a_name_that_no_answer_could_carry() {
    let raw = Raw::new(small()).await;
    // "administrator@vsphere.local:VMware1!"
    let login = "Authorization: Basic YWRtaW5pc3RyYXRvckB2c3BoZXJlLmxvY2FsOlZNd2FyZTEh\r\n";
    for code in ["%01", "%0B", "%1F", "%EF%BF%BF", "%00"] {
        let path = format!("/folder/a{code}b?dcPath=DC0&dsName=DC0_DS0");
        let answer = raw.ask("PUT", &path, login, b"x").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{code}: {answer}");
    }
    let answer = raw.ask("POST", "/api/session", login, b"").await;
    let key = answer.rsplit("\r\n\r\n").next().unwrap().trim_matches('"').to_owned();
    let session = format!("vmware-api-session-id: {key}\r\nContent-Type: application/json\r\n");
    let category = |name: &str| {
        format!("{{\"name\":\"{name}\",\"description\":\"\",\"cardinality\":\"SINGLE\",\"associable_types\":[]}}")
    };
    for escape in ["\\u0001", "\\u000b", "\\uffff"] {
        let body = category(&format!("a{escape}b"));
        let answer = raw.ask("POST", "/api/cis/tagging/category", &session, body.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("XML can't carry"), "{escape}: {answer}");
        let input = format!("{{\"STRUCTURE\":{{\"operation-input\":{{\"create_spec\":{}}}}}}}", category(escape));
        let call = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"method\":\"invoke\",\"params\":{{\"serviceId\":\
             \"com.vmware.cis.tagging.category\",\"operationId\":\"create\",\"input\":{input},\"ctx\":{{\
             \"securityCtx\":{{\"sessionId\":\"{key}\"}}}}}}}}"
        );
        let answer = raw.ask("POST", "/api", "Content-Type: application/json\r\n", call.as_bytes()).await;
        assert!(answer.contains("XML can't carry"), "{escape}: {answer}");
    }
    let answer = raw.ask("POST", "/api/cis/tagging/category", &session, category("ok\\t").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[tokio::test]
async fn idle_sessions_end_by_themselves_and_make_room_at_once() {
    let model = || Model::empty().idle_limit(Duration::from_secs(1)).max_sessions(2);
    let lab = Lab::new(model()).await;
    let _second = lab.another(Model::USER, Model::PASSWORD).await.unwrap();
    assert!(lab.another(Model::USER, Model::PASSWORD).await.is_err());
    let raw = Raw::stranger(model()).await;
    let login = "Authorization: Basic YWRtaW5pc3RyYXRvckB2c3BoZXJlLmxvY2FsOlZNd2FyZTEh\r\n";
    let mut keys = Vec::new();
    for status in ["201", "201", "503"] {
        let answer = raw.ask("POST", "/api/session", login, b"").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        keys.push(answer.rsplit("\r\n\r\n").next().unwrap().trim_matches('"').to_owned());
    }
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if lab.sim.sessions() == 0 && raw.sim.automation_sessions() == 0 {
            break;
        }
    }
    assert_eq!((lab.sim.sessions(), raw.sim.automation_sessions()), (0, 0));
    lab.another(Model::USER, Model::PASSWORD).await.unwrap();
    let old = format!("vmware-api-session-id: {}\r\n", keys[0]);
    assert!(raw.ask("GET", "/api/session", &old, b"").await.starts_with("HTTP/1.1 401"));
    assert!(raw.ask("POST", "/api/session", login, b"").await.starts_with("HTTP/1.1 201"));
}

#[tokio::test]
async fn a_session_that_waits_for_news_is_not_idle() {
    let lab = Lab::new(Model::empty().idle_limit(Duration::from_secs(1))).await;
    let collector: PropertyCollector = lab.object(&lab.content.property_collector);
    let root = &lab.content.root_folder;
    collector.create_filter(&names(&[root]), false).await.unwrap();
    let first = collector.wait_for_updates_ex(None, None).await.unwrap().unwrap();
    let options = WaitOptions { max_wait_seconds: Some(4), ..Default::default() };
    assert!(collector.wait_for_updates_ex(Some(&first.version), Some(&options)).await.unwrap().is_none());
    assert_eq!(lab.read(root, "name").await.unwrap().as_str(), Some("Datacenters"));
}

/// A filter for the names of these objects that tells of those that are missing.
fn names(objects: &[&ManagedObjectReference]) -> PropertyFilterSpec {
    let objects = objects.iter().map(|object| ObjectSpec { obj: (*object).clone(), ..Default::default() });
    PropertyFilterSpec {
        prop_set: vec![PropertySpec { type_: "Folder".to_owned(), all: None, path_set: vec!["name".to_owned()] }],
        object_set: objects.collect(),
        report_missing_objects_in_results: Some(true),
    }
}

#[tokio::test]
async fn a_filter_tells_which_of_its_objects_are_missing_and_a_read_leaves_them_out() {
    let lab = Lab::new(Model::empty()).await;
    let collector: PropertyCollector = lab.object(&lab.content.property_collector);
    let (root, ghost) = (&lab.content.root_folder, ManagedObjectReference::new("Folder", "group-v99"));
    let spec = names(&[root, &ghost]);
    let read = collector.retrieve_properties(std::slice::from_ref(&spec)).await.unwrap();
    assert_eq!(read.iter().map(|object| &object.obj).collect::<Vec<_>>(), [root]);
    collector.create_filter(&spec, false).await.unwrap();
    let options = WaitOptions { max_wait_seconds: Some(0), ..Default::default() };
    let update = collector.wait_for_updates_ex(None, Some(&options)).await.unwrap().unwrap();
    let [set] = update.filter_set.as_slice() else { panic!("{update:?}") };
    assert_eq!((set.object_set.len(), set.missing_set.len()), (1, 1));
    assert_eq!(set.missing_set[0].obj, ghost);
    assert!(set.missing_set[0].fault.fault.is::<ManagedObjectNotFound>());
    // It is told once.
    assert!(collector.wait_for_updates_ex(Some(&update.version), Some(&options)).await.unwrap().is_none());
    let strict = PropertyFilterSpec { report_missing_objects_in_results: None, ..spec };
    let error = collector.create_filter(&strict, false).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("ManagedObjectNotFound")), "{error}");
}

#[tokio::test]
async fn a_request_that_asks_for_more_than_anybody_needs_is_refused() {
    let raw = Raw::new(Model::empty()).await;
    let read = |paths: usize, traversals: usize| {
        let traversal = "<selectSet xsi:type=\"TraversalSpec\"><type>Folder</type><path>childEntity</path></selectSet>";
        format!(
            "<specSet><propSet><type>Folder</type>{}</propSet><objectSet><obj type=\"Folder\">group-d1</obj>{}\
             </objectSet></specSet><options/>",
            "<pathSet>name</pathSet>".repeat(paths),
            traversal.repeat(traversals)
        )
    };
    let ask = async |paths, traversals| {
        raw.call_of("RetrievePropertiesEx", ("PropertyCollector", "propertyCollector"), &read(paths, traversals)).await
    };
    // The same path counts, and is answered once.
    let answer = ask(10_000, 20_000).await;
    assert_eq!(answer.matches("<name>name</name>").count(), 1, "{answer}");
    for (paths, traversals, what) in [(10_001, 0, "propSet.pathSet"), (1, 100_001, "objectSet.selectSet")] {
        let answer = ask(paths, traversals).await;
        assert!(answer.contains("InvalidArgumentFault") && answer.contains(what), "{answer}");
    }
}

#[tokio::test]
async fn a_cancelled_task_ends_at_once() {
    let lab = Lab::new(small().pace(1000.0)).await;
    let vm = lab.at("/DC0/vm/DC0_C0_VM0").await;
    let folder = lab.site().await.folder;
    let machine: VirtualMachine = lab.object(&vm);
    let spec = VirtualMachineCloneSpec::default();
    let clone = machine.clone_vm_task(folder.handle().reference(), "copy", &spec).await.unwrap();
    lab.object::<Task>(&clone).cancel_task().await.unwrap();
    // A tenth of it would be longer than a test may take.
    for _ in 0..100 {
        let info: TaskInfo = lab.read(&clone, "info").await.unwrap().take().unwrap();
        if info.complete_time.is_some() {
            assert_eq!(info.error.unwrap().fault.type_name(), "RequestCanceled");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the task goes on");
}

#[tokio::test]
async fn a_clone_goes_to_a_host_that_sees_its_datastore() {
    let lab = Lab::new(Model::sized(Size { vms: 1, hosts: 3, ..Size::default() })).await;
    let host: HostSystem = lab.object(&lab.at("/DC0/host/DC0_C0/DC0_C0_H2").await);
    let system = lab.read(host.handle().reference(), "configManager.datastoreSystem").await.unwrap();
    let system: HostDatastoreSystem = lab.object(&system.take::<ManagedObjectReference>().unwrap());
    let disk = &system.query_available_disks_for_vmfs(None).await.unwrap()[0];
    let options = system.query_vmfs_datastore_create_options(&disk.device_path, None).await.unwrap();
    let mut local: VmfsDatastoreCreateSpec = options[0].spec.clone().downcast().unwrap();
    local.vmfs.volume_name = "local".to_owned();
    let store = system.create_vmfs_datastore(&local).await.unwrap();
    let (folder, machine) = (lab.site().await.folder, lab.at("/DC0/vm/DC0_C0_VM0").await);
    let machine: VirtualMachine = lab.object(&machine);
    let location = VirtualMachineRelocateSpec { datastore: Some(store.clone()), ..Default::default() };
    let spec = VirtualMachineCloneSpec { location, ..Default::default() };
    for name in ["a", "b", "c"] {
        let made = lab.run(machine.clone_vm_task(folder.handle().reference(), name, &spec)).await;
        let host: ManagedObjectReference =
            lab.read(&made.take().unwrap(), "runtime.host").await.unwrap().take().unwrap();
        assert_eq!(lab.read(&host, "name").await.unwrap().as_str(), Some("DC0_C0_H2"));
    }
    let template = VirtualMachineCloneSpec { template: true, ..spec };
    lab.run(machine.clone_vm_task(folder.handle().reference(), "golden", &template)).await;
    let held: Datastore = lab.object(&store);
    assert_eq!(lab.get(&held, datastore::VM).await.len(), 4);
}

#[tokio::test]
async fn what_a_client_needs_for_its_login_it_reads_without_one() {
    let raw = Raw::stranger(Model::empty()).await;
    let content = raw.call("Fetch", "ServiceInstance", "<prop>content</prop>").await;
    assert!(content.contains("<rootFolder type=\"Folder\">group-d1</rootFolder>"), "{content}");
    let session = raw.call("Fetch", "SessionManager", "<prop>currentSession</prop>").await;
    assert!(session.contains("200 OK") && !session.contains("returnval"), "{session}");
    for (object, property) in
        [("ServiceInstance", "serverClock"), ("SessionManager", "sessionList"), ("SessionManager", "message")]
    {
        let answer = raw.call("Fetch", object, &format!("<prop>{property}</prop>")).await;
        assert!(answer.contains("NotAuthenticatedFault"), "{object}.{property}: {answer}");
    }
    let read = |type_: &str, id: &str, path: &str| {
        format!(
            "<specSet><propSet><type>{type_}</type><pathSet>{path}</pathSet></propSet>\
             <objectSet><obj type=\"{type_}\">{id}</obj></objectSet></specSet><options/>"
        )
    };
    let collector = ("PropertyCollector", "propertyCollector");
    let ask = async |type_, id, path| raw.call_of("RetrievePropertiesEx", collector, &read(type_, id, path)).await;
    let content = ask("ServiceInstance", "ServiceInstance", "content.rootFolder").await;
    assert!(content.contains(">group-d1</val>"), "{content}");
    assert!(ask("Folder", "group-d1", "name").await.contains("NotAuthenticatedFault"));
    let folder = raw.call_of("Fetch", ("Folder", "group-d1"), "<prop>name</prop>").await;
    assert!(folder.contains("NotAuthenticatedFault"), "{folder}");
    let logged_in = Raw::new(Model::empty()).await;
    let session = logged_in.call("Fetch", "SessionManager", "<prop>currentSession</prop>").await;
    assert!(session.contains("VSPHERE.LOCAL\\Administrator"), "{session}");
}
