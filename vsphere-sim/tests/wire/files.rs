//! The files of datastores: the browser, the file manager, and HTTP.

use crate::support::Lab;
use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vsphere_model::managed::{
    Datastore, DatastoreNamespaceManager, FileManager, HostDatastoreBrowser, SessionManager, VirtualDiskManager,
    datastore, host_datastore_browser,
};
use vsphere_model::types::{
    FileBackedVirtualDiskSpec, FileQuery, FileQueryFlags, FolderFileInfo, FolderFileQuery,
    HostDatastoreBrowserSearchResults, HostDatastoreBrowserSearchSpec, IsoImageFileQuery, ManagedObjectReference, Poly,
    SessionManagerHttpServiceRequestSpec, VmDiskFileInfo, VmDiskFileQuery, VmDiskFileQueryFilter, VmDiskFileQueryFlags,
};
use vsphere_sim::{Model, Sim, Size};
use vsphere_soap::http::{FileCall, Transport, TransportOptions, Trust};
use vsphere_soap::session::Session;

fn model() -> Model {
    Model::sized(Size { vms: 0, datacenters: 2, ..Size::default() })
}

/// A lab whose datacenter DC0 has a tree of files in DC0_DS0.
struct Files {
    lab: Lab,
    dc: ManagedObjectReference,
    files: FileManager,
    browser: HostDatastoreBrowser,
    store: Datastore,
}

impl Files {
    async fn new() -> Self {
        let lab = Lab::new(model()).await;
        let dc = lab.at("/DC0").await;
        let files: FileManager = lab.object(lab.content.file_manager.as_ref().unwrap());
        let store: Datastore = lab.object(&lab.at("/DC0/datastore/DC0_DS0").await);
        let browser = lab.object(&lab.get(&store, datastore::BROWSER).await);
        Self { lab, dc, files, browser, store }
    }

    async fn folder(&self, path: &str) {
        self.files.make_directory(path, Some(&self.dc), Some(true)).await.unwrap();
    }

    async fn disk(&self, path: &str, kb: i64, kind: &str) {
        let disks: VirtualDiskManager = self.lab.object(self.lab.content.virtual_disk_manager.as_ref().unwrap());
        let mut spec = FileBackedVirtualDiskSpec { capacity_kb: kb, ..Default::default() };
        spec.disk_type = kind.to_owned();
        spec.adapter_type = "lsiLogic".to_owned();
        self.lab.run(disks.create_virtual_disk_task(path, Some(&self.dc), &Poly::new(spec))).await;
    }

    async fn search(&self, path: &str, spec: HostDatastoreBrowserSearchSpec) -> HostDatastoreBrowserSearchResults {
        self.lab.run(self.browser.search_datastore_task(path, Some(&spec))).await.take().unwrap()
    }

    async fn names(&self, path: &str) -> Vec<String> {
        let found = self.search(path, HostDatastoreBrowserSearchSpec::default()).await;
        found.file.iter().map(|file| file.path.clone()).collect()
    }
}

#[tokio::test]
async fn folders_are_made_one_by_one_or_with_those_above() {
    let lab = Files::new().await;
    let made = |path: &'static str, parents| lab.files.make_directory(path, Some(&lab.dc), parents);
    let error = made("[DC0_DS0] a/b", None).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("FileNotFound")), "{error}");
    made("[DC0_DS0] a/b", Some(true)).await.unwrap();
    let error = made("[DC0_DS0] a/b", Some(true)).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("FileAlreadyExists")), "{error}");
    for path in ["DC0_DS0/a", "[DC0_DS0] ../a", "[DC0_DS0"] {
        let error = made(path, None).await.unwrap_err();
        assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidDatastorePath")), "{path}: {error}");
    }
    let error = made("[ghost] a", None).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidDatastore")), "{error}");
    let error = lab.files.make_directory("[DC0_DS0] c", None, None).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidArgument")), "{error}");
    // A URL says which datastore is meant, without a datacenter.
    let url = lab.lab.get(&lab.store, datastore::SUMMARY).await.url;
    lab.files.make_directory(&format!("{url}c"), None, None).await.unwrap();
    assert_eq!(lab.names("[DC0_DS0]").await, ["a", "c"]);
}

#[tokio::test]
async fn a_browser_finds_by_pattern_and_by_kind() {
    let lab = Files::new().await;
    lab.folder("[DC0_DS0] vm/nested").await;
    lab.disk("[DC0_DS0] vm/b.vmdk", 4096, "thin").await;
    lab.disk("[DC0_DS0] vm/A.vmdk", 2048, "eagerZeroedThick").await;
    // The extents do not show.
    assert_eq!(lab.names("[DC0_DS0] vm").await, ["A.vmdk", "b.vmdk", "nested"]);
    let details = FileQueryFlags { file_type: true, file_size: true, modification: true, file_owner: Some(true) };
    let spec = HostDatastoreBrowserSearchSpec {
        details: Some(Box::new(details)),
        match_pattern: vec!["a*".to_owned(), "nest?d".to_owned()],
        search_case_insensitive: Some(true),
        sort_folders_first: Some(true),
        ..Default::default()
    };
    let found = lab.search("[DC0_DS0] vm", spec).await;
    assert_eq!(found.folder_path.as_deref(), Some("[DC0_DS0] vm/"));
    assert!(found.file[0].is::<FolderFileInfo>() && found.file[1].is::<VmDiskFileInfo>());
    let disk = &found.file[1];
    assert_eq!((disk.path.as_str(), disk.file_size, disk.owner.as_deref()), ("A.vmdk", Some(2 << 20), Some("root")));
    assert!(disk.modification.is_some());

    let flags = VmDiskFileQueryFlags {
        disk_type: true,
        capacity_kb: true,
        hardware_version: true,
        controller_type: Some(true),
        disk_extents: Some(true),
        thin: Some(true),
        ..Default::default()
    };
    let filter = VmDiskFileQueryFilter { thin: Some(true), ..Default::default() };
    let query =
        VmDiskFileQuery { filter: Some(Box::new(filter)), details: Some(Box::new(flags)), ..Default::default() };
    let of_kind = |query: Poly<FileQuery>| HostDatastoreBrowserSearchSpec { query: vec![query], ..Default::default() };
    let found = lab.search("[DC0_DS0] vm", of_kind(Poly::new(query))).await;
    assert_eq!(found.file.len(), 1);
    let disk = found.file[0].downcast_ref::<VmDiskFileInfo>().unwrap();
    assert_eq!((disk.path.as_str(), disk.capacity_kb, disk.thin), ("b.vmdk", Some(4096), Some(true)));
    assert_eq!(disk.controller_type.as_deref(), Some("VirtualLsiLogicController"));
    assert_eq!(disk.disk_extents, ["vm/b-flat.vmdk"]);
    let found = lab.search("[DC0_DS0] vm", of_kind(Poly::new(FolderFileQuery::default()))).await;
    assert_eq!(found.file.len(), 1);
    assert_eq!(found.file[0].path, "nested");
    let found = lab.search("[DC0_DS0] vm", of_kind(Poly::new(IsoImageFileQuery::default()))).await;
    assert!(found.file.is_empty());
    assert_eq!(lab.lab.get(&lab.browser, host_datastore_browser::SUPPORTED_TYPE).await.len(), 9);
}

#[tokio::test]
async fn a_search_below_goes_through_all_folders() {
    let lab = Files::new().await;
    lab.folder("[DC0_DS0] a/b").await;
    lab.folder("[DC0_DS0] a-1").await;
    let all: Vec<HostDatastoreBrowserSearchResults> =
        lab.lab.run(lab.browser.search_datastore_sub_folders_task("[DC0_DS0]", None)).await.take().unwrap();
    let paths: Vec<_> = all.iter().filter_map(|found| found.folder_path.as_deref()).collect();
    assert_eq!(paths, ["[DC0_DS0] ", "[DC0_DS0] a/", "[DC0_DS0] a-1/", "[DC0_DS0] a/b/"]);
    lab.lab.task_fault(lab.browser.search_datastore_task("[DC0_DS0] ghost", None), "FileNotFound").await;
    let error = lab.browser.search_datastore_task("[DC0_DS1] a", None).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidDatastorePath")), "{error}");
}

#[tokio::test]
async fn files_and_folders_are_copied_moved_and_deleted() {
    let lab = Files::new().await;
    lab.folder("[DC0_DS0] a/b").await;
    lab.disk("[DC0_DS0] a/x.vmdk", 1 << 20, "preallocated").await;
    let dc1 = lab.lab.at("/DC1").await;
    let copy = |from: &'static str, to: &'static str, dc: &ManagedObjectReference, force: bool| {
        lab.files.copy_datastore_file_task(from, Some(&lab.dc), to, Some(dc), Some(force))
    };
    // A whole folder, to another datastore and to another datacenter.
    lab.lab.run(copy("[DC0_DS0] a", "[DC0_DS1] copy", &lab.dc, false)).await;
    lab.lab.run(copy("[DC0_DS0] a", "[DC1_DS0] copy", &dc1, false)).await;
    for path in ["/DC0/datastore/DC0_DS0", "/DC0/datastore/DC0_DS1", "/DC1/datastore/DC1_DS0"] {
        let store: Datastore = lab.lab.object(&lab.lab.at(path).await);
        let summary = lab.lab.get(&store, datastore::SUMMARY).await;
        assert_eq!(summary.capacity - summary.free_space, 1 << 30, "{path}");
    }
    lab.lab.task_fault(copy("[DC0_DS0] a", "[DC0_DS1] copy", &lab.dc, false), "FileAlreadyExists").await;
    lab.lab.run(copy("[DC0_DS0] a", "[DC0_DS1] copy", &lab.dc, true)).await;
    lab.lab.run(copy("[DC0_DS0] a", "[DC0_DS0] a", &lab.dc, false)).await;
    // A folder that is there takes in what it has not.
    lab.folder("[DC0_DS0] more/c").await;
    lab.lab.run(copy("[DC0_DS0] more", "[DC0_DS1] copy", &lab.dc, false)).await;
    lab.lab.run(copy("[DC0_DS1] copy", "[DC0_DS0] seen", &lab.dc, false)).await;
    assert_eq!(lab.names("[DC0_DS0] seen").await, ["b", "c", "x.vmdk"]);
    lab.lab.task_fault(copy("[DC0_DS0] a/x.vmdk", "[DC0_DS1] copy", &lab.dc, true), "FileAlreadyExists").await;
    lab.lab.task_fault(copy("[DC0_DS0] a/ghost", "[DC0_DS1] x", &lab.dc, false), "FileNotFound").await;
    lab.lab.task_fault(copy("[DC0_DS0] a", "[DC0_DS1] no/x", &lab.dc, false), "FileNotFound").await;
    let delete = |path: &'static str| lab.files.delete_datastore_file_task(path, Some(&lab.dc));
    // Without a datacenter of its own, the destination is in that of the source.
    let moved =
        |from: &'static str, to: &'static str| lab.files.move_datastore_file_task(from, Some(&lab.dc), to, None, None);
    let forced = |from: &'static str, to: &'static str| {
        lab.files.move_datastore_file_task(from, Some(&lab.dc), to, None, Some(true))
    };
    lab.lab.task_fault(forced("[DC0_DS0] more", "[DC0_DS1] copy"), "FileAlreadyExists").await;
    lab.lab.run(forced("[DC0_DS0] more", "[DC0_DS0] more")).await;
    lab.lab.run(delete("[DC0_DS0] more")).await;
    lab.lab.run(delete("[DC0_DS0] seen")).await;
    lab.lab.task_fault(moved("[DC0_DS0] a", "[DC0_DS0] a/b/c"), "FileNotFound").await;
    assert_eq!(lab.names("[DC0_DS0] a").await, ["b", "x.vmdk"]);
    lab.lab.run(moved("[DC0_DS0] a", "[DC0_DS0] z")).await;
    assert_eq!(lab.names("[DC0_DS0]").await, ["z"]);
    assert_eq!(lab.names("[DC0_DS0] z").await, ["b", "x.vmdk"]);
    lab.lab.task_fault(delete("[DC0_DS0] a"), "FileNotFound").await;
    // The file manager deletes one file: the extent of the disk stays, and now it shows.
    lab.lab.run(delete("[DC0_DS0] z/x.vmdk")).await;
    assert_eq!(lab.names("[DC0_DS0] z").await, ["b", "x-flat.vmdk"]);
    lab.lab.run(delete("[DC0_DS0] z")).await;
    let summary = lab.lab.get(&lab.store, datastore::SUMMARY).await;
    assert_eq!(summary.capacity, summary.free_space);
    lab.lab.task_fault(delete("[DC0_DS0] "), "CannotDeleteFile").await;
}

#[tokio::test]
async fn a_file_has_an_owner_and_a_browser_deletes() {
    let lab = Files::new().await;
    lab.folder("[DC0_DS0] a").await;
    lab.files.change_owner("[DC0_DS0] a", Some(&lab.dc), "ops").await.unwrap();
    let details = FileQueryFlags { file_owner: Some(true), ..Default::default() };
    let spec = HostDatastoreBrowserSearchSpec { details: Some(Box::new(details)), ..Default::default() };
    let found = lab.search("[DC0_DS0]", spec).await;
    assert_eq!(found.file[0].owner.as_deref(), Some("ops"));
    assert_eq!(found.file[0].file_size, None);
    lab.browser.delete_file("[DC0_DS0] a").await.unwrap();
    let error = lab.browser.delete_file("[DC0_DS0] a").await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("FileNotFound")), "{error}");
}

#[tokio::test]
async fn the_namespace_manager_serves_object_stores_only() {
    let lab = Files::new().await;
    let spaces: DatastoreNamespaceManager =
        lab.lab.object(lab.lab.content.datastore_namespace_manager.as_ref().unwrap());
    let store = lab.lab.at("/DC0/datastore/DC0_DS0").await;
    let error = spaces.create_directory(&store, Some("x"), None, None).await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("NotSupported")), "{error}");
    let url = lab.lab.get(&lab.store, datastore::SUMMARY).await.url;
    let same = spaces.convert_namespace_path_to_uuid_path(None, &format!("{url}a/b")).await.unwrap();
    assert_eq!(same, format!("{url}a/b"));
}

/// An answer of the server to a request that is written by hand.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn has(&self, line: &str) -> bool {
        self.head.lines().any(|other| other.eq_ignore_ascii_case(line))
    }
}

/// Asks by name and password.
async fn ask(sim: &Sim, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    // "administrator@vsphere.local:VMware1!"
    let login = "Authorization: Basic YWRtaW5pc3RyYXRvckB2c3BoZXJlLmxvY2FsOlZNd2FyZTEh\r\n";
    ask_as(sim, method, path, &format!("{login}{headers}"), body).await
}

async fn ask_as(sim: &Sim, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(sim.address()).await.unwrap();
    let length =
        if method == "GET" || method == "HEAD" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n{headers}{length}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}

const PLACE: &str = "?dcPath=DC0&dsName=DC0_DS0";

#[tokio::test]
async fn a_file_comes_back_as_it_was_sent_whole_and_in_parts() {
    let sim = Sim::listen_plain(model(), ([127, 0, 0, 1], 0).into()).await.unwrap();
    let path = format!("/folder/a%20b.bin{PLACE}");
    let content: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(ask(&sim, "PUT", &path, "", &content).await.status, 201);
    assert_eq!(ask(&sim, "PUT", &path, "", &content).await.status, 200);
    let whole = ask(&sim, "GET", &path, "", b"").await;
    assert_eq!(whole.status, 200);
    assert!(whole.has("content-length: 700000") && whole.body == content, "{}", whole.head);
    let part = ask(&sim, "GET", &path, "Range: bytes=1000-1999\r\n", b"").await;
    assert_eq!(part.status, 206);
    assert!(part.has("content-range: bytes 1000-1999/700000") && part.body == content[1000..2000], "{}", part.head);
    let beyond = ask(&sim, "GET", &path, "Range: bytes=700000-\r\n", b"").await;
    assert!(beyond.status == 416 && beyond.has("content-range: bytes */700000"), "{}", beyond.head);
    let head = ask(&sim, "HEAD", &path, "", b"").await;
    assert!(head.status == 200 && head.has("content-length: 700000") && head.body.is_empty(), "{}", head.head);
    let list = ask(&sim, "GET", &format!("/folder{PLACE}"), "", b"").await.text();
    assert!(list.contains("<a href=\"/folder/a%20b.bin?dcPath=DC0&amp;dsName=DC0_DS0\">a b.bin</a>"), "{list}");
    assert!(list.contains("<td>700000</td>"), "{list}");
    assert_eq!(ask(&sim, "DELETE", &path, "", b"").await.status, 204);
    assert_eq!(ask(&sim, "GET", &path, "", b"").await.status, 404);
    assert_eq!(ask(&sim, "DELETE", &path, "", b"").await.status, 404);
}

#[tokio::test]
async fn pages_lead_from_datacenters_to_files() {
    let sim = Sim::listen_plain(model(), ([127, 0, 0, 1], 0).into()).await.unwrap();
    let top = ask(&sim, "GET", "/folder", "", b"").await.text();
    assert!(top.contains("/folder?dcPath=DC0\"") && top.contains("/folder?dcPath=DC1\""), "{top}");
    let stores = ask(&sim, "GET", "/folder?dcPath=DC0", "", b"").await.text();
    assert!(stores.contains("/folder?dcPath=DC0&amp;dsName=DC0_DS1"), "{stores}");
    // With a slash before it, as govc writes it; and by the name that a host knows.
    for place in ["?dcPath=%2FDC0&dsName=DC0_DS0", "?dcPath=ha-datacenter&dsName=DC0_DS0", "?dsName=DC0_DS0"] {
        assert_eq!(ask(&sim, "GET", &format!("/folder{place}"), "", b"").await.status, 200, "{place}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words() {
    let sim = Sim::listen_plain(model(), ([127, 0, 0, 1], 0).into()).await.unwrap();
    assert_eq!(ask(&sim, "PUT", &format!("/folder/file{PLACE}"), "", b"x").await.status, 201);
    for (method, path, status) in [
        ("GET", "/folder/x?dcPath=ghost&dsName=DC0_DS0", 404),
        ("GET", "/folder/x?dcPath=DC0&dsName=ghost", 404),
        ("GET", "/folder/x?dcPath=DC0&dsName=DC1_DS0", 404),
        ("GET", "/folder?dcPath=ghost", 404),
        ("PUT", "/folder/file/x?dcPath=DC0&dsName=DC0_DS0", 404),
        ("PUT", "/folder/?dcPath=DC0&dsName=DC0_DS0", 409),
        ("DELETE", "/folder/?dcPath=DC0&dsName=DC0_DS0", 409),
        ("GET", "/folder/..%2fx?dcPath=DC0&dsName=DC0_DS0", 400),
        ("GET", "/folder/%zz?dcPath=DC0&dsName=DC0_DS0", 400),
        ("POST", "/folder/x?dcPath=DC0&dsName=DC0_DS0", 405),
    ] {
        let answer = ask(&sim, method, path, "", b"").await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.text().ends_with(".\n"), "{method} {path}: {}", answer.text());
    }
    let answer = ask_as(&sim, "GET", &format!("/folder{PLACE}"), "", b"").await;
    assert!(answer.status == 401 && answer.head.to_lowercase().contains("www-authenticate: basic"), "{}", answer.head);
    let guess = "Authorization: Basic YWRtaW46Z3Vlc3M=\r\n";
    assert_eq!(ask_as(&sim, "GET", &format!("/folder{PLACE}"), guess, b"").await.status, 401);
}

#[tokio::test]
async fn folders_that_are_missing_are_made_and_slashes_may_be_encoded() {
    let sim = Sim::listen_plain(model(), ([127, 0, 0, 1], 0).into()).await.unwrap();
    assert_eq!(ask(&sim, "PUT", &format!("/folder/a/b/c.iso{PLACE}"), "", b"iso").await.status, 201);
    assert_eq!(ask(&sim, "GET", &format!("/folder/a%2Fb%2fc.iso{PLACE}"), "", b"").await.body, b"iso");
    let list = ask(&sim, "GET", &format!("/folder/a{PLACE}"), "", b"").await.text();
    assert!(list.contains("b/</a>"), "{list}");
}

/// A transport with a session that is logged in, or without.
async fn transport(lab: &Lab, logged_in: bool) -> Transport {
    let trust = Trust::Thumbprint(lab.sim.thumbprint().unwrap());
    let transport = Transport::new(lab.sim.url().parse().unwrap(), TransportOptions::new().trust(trust)).unwrap();
    if logged_in {
        let session =
            Session::open(transport.clone(), vsphere_model::registry(), vsphere_model::VERSIONS).await.unwrap();
        let manager = lab.content.session_manager.as_ref().unwrap();
        session.login(manager, Model::USER, Model::PASSWORD, None).await.unwrap();
    }
    transport
}

async fn put(transport: &Transport, call: FileCall<'_>, content: &'static [u8]) -> Result<(), Option<u16>> {
    let pieces = futures::stream::iter([Ok(bytes::Bytes::from_static(content))]);
    transport.upload(call, pieces, Some(content.len() as u64)).await.map_err(|error| error.status())
}

async fn get(transport: &Transport, call: FileCall<'_>) -> Result<Vec<u8>, Option<u16>> {
    let mut download = transport.download(call).await.map_err(|error| error.status())?;
    let mut content = Vec::new();
    while let Some(piece) = download.next().await {
        content.extend(piece.unwrap());
    }
    Ok(content)
}

#[tokio::test]
async fn a_session_opens_files_and_a_ticket_opens_one_file_once() {
    let lab = Lab::new(model()).await;
    let (known, stranger) = (transport(&lab, true).await, transport(&lab, false).await);
    let call = FileCall::new("test", "/folder/a?dcPath=DC0&dsName=DC0_DS0");
    assert_eq!(put(&stranger, call.clone(), b"x").await, Err(Some(401)));
    put(&known, call.clone(), b"by session").await.unwrap();
    let manager: SessionManager = lab.object(lab.content.session_manager.as_ref().unwrap());
    let ticket = async |method: &str, url: &str| {
        let spec = SessionManagerHttpServiceRequestSpec {
            method: Some(method.to_owned()),
            url: url.to_owned(),
            ..Default::default()
        };
        manager.acquire_generic_service_ticket(&Poly::new(spec)).await
    };
    let url = "https://esx-1/folder/a?dcPath=ha-datacenter&dsName=DC0_DS0";
    let given = ticket("httpGet", url).await.unwrap();
    let host = lab.sim.address().to_string();
    assert_eq!(given.host_name, Some(host));
    let path = "/folder/a?dcPath=ha-datacenter&dsName=DC0_DS0";
    let with = |id| FileCall::new("test", path).ticket(Some(id));
    assert_eq!(get(&stranger, with(&given.id)).await.as_deref(), Ok(&b"by session"[..]));
    // It is used now; and one for reading is not one for writing, nor for another file.
    assert_eq!(get(&stranger, with(&given.id)).await, Err(Some(401)));
    let given = ticket("httpGet", url).await.unwrap();
    assert_eq!(put(&stranger, with(&given.id), b"x").await, Err(Some(401)));
    let given = ticket("httpPut", url).await.unwrap();
    let other = FileCall::new("test", "/folder/b?dsName=DC0_DS0").ticket(Some(&given.id));
    assert_eq!(put(&stranger, other, b"x").await, Err(Some(401)));
    let given = ticket("httpPut", url).await.unwrap();
    put(&stranger, with(&given.id), b"by ticket").await.unwrap();
    assert_eq!(get(&known, call).await.as_deref(), Ok(&b"by ticket"[..]));
    let error = ticket("httpGet", "https://esx-1/elsewhere").await.unwrap_err();
    assert!(error.fault().is_some_and(|fault| fault.is_named("InvalidArgument")), "{error}");
}

#[tokio::test]
async fn a_full_datastore_takes_no_more() {
    let lab = Files::new().await;
    // 62 TB is the largest disk, and the datastore has 64.
    lab.disk("[DC0_DS0] a.vmdk", 62 << 30, "preallocated").await;
    lab.disk("[DC0_DS0] thin.vmdk", 62 << 30, "thin").await;
    let summary = lab.lab.get(&lab.store, datastore::SUMMARY).await;
    assert_eq!((summary.free_space, summary.uncommitted), (2 << 40, Some(62 << 40)));
    let disks: VirtualDiskManager = lab.lab.object(lab.lab.content.virtual_disk_manager.as_ref().unwrap());
    let mut spec = FileBackedVirtualDiskSpec { capacity_kb: (2 << 30) + 1, ..Default::default() };
    spec.disk_type = "eagerZeroedThick".to_owned();
    spec.adapter_type = "lsiLogic".to_owned();
    let create = disks.create_virtual_disk_task("[DC0_DS0] b.vmdk", Some(&lab.dc), &Poly::new(spec));
    lab.lab.task_fault(create, "NoDiskSpace").await;
    assert_eq!(lab.names("[DC0_DS0]").await, ["a.vmdk", "thin.vmdk"]);
    let copy =
        lab.files.copy_datastore_file_task("[DC0_DS0] a-flat.vmdk", Some(&lab.dc), "[DC0_DS0] b-flat.vmdk", None, None);
    lab.lab.task_fault(copy, "NoDiskSpace").await;
    // All but a megabyte.
    lab.disk("[DC0_DS0] last.vmdk", (2 << 30) - 1024, "preallocated").await;
    let known = transport(&lab.lab, true).await;
    let call = FileCall::new("test", "/folder/f?dcPath=DC0&dsName=DC0_DS0");
    static CONTENT: [u8; 2 << 20] = [1; 2 << 20];
    assert_eq!(put(&known, call.clone(), &CONTENT).await, Err(Some(507)));
    put(&known, call.clone(), &CONTENT[..1 << 20]).await.unwrap();
    assert_eq!(lab.lab.get(&lab.store, datastore::SUMMARY).await.free_space, 0);
    put(&known, call, &CONTENT[..1 << 19]).await.unwrap();
}

#[tokio::test]
async fn disks_read_as_descriptors_and_zeros() {
    let lab = Files::new().await;
    lab.disk("[DC0_DS0] a.vmdk", 4096, "thin").await;
    let known = transport(&lab.lab, true).await;
    let text = get(&known, FileCall::new("test", "/folder/a.vmdk?dcPath=DC0&dsName=DC0_DS0")).await.unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("# Disk DescriptorFile\n") && text.contains("RW 8192 VMFS \"a-flat.vmdk\""), "{text}");
    let data = get(&known, FileCall::new("test", "/folder/a-flat.vmdk?dcPath=DC0&dsName=DC0_DS0")).await.unwrap();
    assert_eq!(data, vec![0; 4 << 20]);
}
