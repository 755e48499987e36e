//! The tools for files of datastores: what they do is read from the datastores.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmcp::{RoleClient, model::CallToolRequestParams, service::RunningService};
use serde_json::{Value, json};
use vsphere_ops::{
    Mo,
    disk::NewDisk,
    files::FileQuery,
    managed::{Datastore, VirtualMachine},
};

use crate::{
    confirm::older,
    disks::{call, lab, mcp, refused},
    lab::Lab,
};

async fn put(lab: &Lab, datastore: &str, path: &str, content: &'static [u8]) {
    let store: Mo<Datastore> = lab.client.get(datastore).await.unwrap();
    if let Some((folder, _)) = path.rsplit_once('/') {
        store.make_folder(folder).await.unwrap();
    }
    let pieces = futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from_static(content))]);
    store.upload(path).from_stream(pieces, content.len() as u64).await.unwrap();
}

async fn read(lab: &Lab, datastore: &str, path: &str) -> Vec<u8> {
    let store: Mo<Datastore> = lab.client.get(datastore).await.unwrap();
    let mut content = Vec::new();
    store.download(path).to_writer(&mut content).await.unwrap();
    content
}

/// The paths of all files, without the datastore's name.
async fn paths(lab: &Lab, datastore: &str) -> Vec<String> {
    let store: Mo<Datastore> = lab.client.get(datastore).await.unwrap();
    let mut query = FileQuery::below("");
    query.page.limit = 1000;
    let files = store.list_files(&query).await.unwrap().items;
    files.iter().map(|file| file.path.split_once("] ").unwrap().1.to_owned()).collect()
}

/// A client that can't ask its user: previews come with a token.
async fn planning(lab: &Lab) -> RunningService<RoleClient, ()> {
    older(lab.server(&[]), ()).await
}

/// The preview of a call, and the outcome of the call with its token.
async fn confirmed(client: &RunningService<RoleClient, ()>, tool: &'static str, arguments: Value) -> (Value, Value) {
    let plan = call(client, tool, arguments.clone()).await.unwrap();
    assert_eq!(plan["confirmation_required"], true, "{plan:#}");
    let mut again = arguments;
    again["confirm"] = plan["plan_token"].clone();
    let done = call(client, tool, again).await.unwrap();
    (plan, done)
}

/// A directory for local files, which goes with this.
struct Local(PathBuf);

impl Local {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("mcvsphere-tools-{:016x}", fastrand::u64(..)));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    async fn client(&self, lab: &Lab, confirm: &str) -> RunningService<RoleClient, ()> {
        let set = [("MCP_CONFIRM", confirm), ("MCP_FILES", self.0.to_str().unwrap())];
        older(lab.server(&set), ()).await
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_datastore_is_browsed_page_by_page() {
    let lab = lab().await;
    put(&lab, "DC0_DS1", "iso/linux/a.iso", b"a").await;
    put(&lab, "DC0_DS1", "iso/b.iso", b"bb").await;
    put(&lab, "DC0_DS1", "notes.txt", b"text").await;
    let client = mcp(&lab).await;
    let top = call(&client, "browse_datastore", json!({ "datastore": "DC0_DS1" })).await.unwrap();
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["path"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&top), ["[DC0_DS1] iso", "[DC0_DS1] notes.txt"]);
    assert_eq!((&top["items"][0]["type"], &top["items"][1]["size_bytes"]), (&json!("folder"), &json!(4)));
    let all = json!({ "datastore": "DC0_DS1", "path": "iso", "recursive": true, "filter": "*.iso", "limit": 1 });
    let first = call(&client, "browse_datastore", all.clone()).await.unwrap();
    assert_eq!((&first["total"], &first["truncated"]), (&json!(2), &json!(true)));
    let mut next = all;
    next["cursor"] = first["next_cursor"].clone();
    let second = call(&client, "browse_datastore", next).await.unwrap();
    assert_eq!(
        (names(&first), names(&second)),
        (vec!["[DC0_DS1] iso/b.iso".into()], vec!["[DC0_DS1] iso/linux/a.iso".into()])
    );
    let (code, text) = refused(&client, "browse_datastore", json!({ "datastore": "DC0_DS1", "path": "none" })).await;
    assert!(code == "not_found" && text.contains("there is no folder [DC0_DS1] none"), "{text}");
    let (code, _) = refused(&client, "browse_datastore", json!({ "datastore": "DC0_DS1", "path": "../x" })).await;
    assert_eq!(code, "invalid_argument");
    lab.sim.set_datastore_accessible("DC0_DS1", false).unwrap();
    let (code, text) = refused(&client, "browse_datastore", json!({ "datastore": "DC0_DS1" })).await;
    assert!(code == "invalid_state" && text.contains("get_datastore_info tells which hosts"), "{text}");
}

#[tokio::test]
async fn files_in_no_use_are_told_from_those_of_vms() {
    let lab = lab().await;
    let vm: Mo<VirtualMachine> = lab.machine("web-1").await;
    vm.add_disk(&NewDisk::of_bytes(1 << 30)).await.unwrap();
    put(&lab, "DC0_DS0", "old/lost.vmdk", b"data").await;
    let client = mcp(&lab).await;
    let found = call(&client, "browse_datastore", json!({ "datastore": "DC0_DS0", "orphaned": true })).await.unwrap();
    assert_eq!(
        (&found["total"], &found["items"][0]["path"]),
        (&json!(1), &json!("[DC0_DS0] old/lost.vmdk")),
        "{found:#}"
    );
    assert!(found["items"][0]["age_seconds"].is_number());
}

#[tokio::test]
async fn a_file_goes_up_and_comes_back_also_through_local_files() {
    let (lab, local) = (lab().await, Local::new());
    let content: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(local.path().join("a.iso"), &content).unwrap();
    let client = local.client(&lab, "never").await;
    call(&client, "create_datastore_folder", json!({ "datastore": "DC0_DS1", "path": "iso" })).await.unwrap();
    let up = json!({ "datastore": "DC0_DS1", "remote_path": "iso/a.iso", "local_path": "a.iso" });
    let sent = call(&client, "upload_to_datastore", up).await.unwrap();
    assert_eq!((&sent["size_bytes"], &sent["changed"]), (&json!(700_000), &json!(true)), "{sent:#}");
    assert!(read(&lab, "DC0_DS1", "iso/a.iso").await == content);
    let down = json!({ "datastore": "DC0_DS1", "path": "iso/a.iso", "save_to": "back.iso" });
    let received = call(&client, "download_from_datastore", down).await.unwrap();
    assert_eq!((&received["saved_to"], &received["checksum"]), (&json!("back.iso"), &sent["checksum"]));
    assert!(std::fs::read(local.path().join("back.iso")).unwrap() == content);

    // Without a directory for them, no local file is touched.
    let client = mcp(&lab).await;
    let up = json!({ "datastore": "DC0_DS1", "path": "iso/b.iso", "local_path": "/etc/hostname" });
    let (code, text) = refused(&client, "upload_to_datastore", up).await;
    assert!(code == "config" && text.contains("MCP_FILES"), "{text}");
}

#[tokio::test]
async fn local_paths_lead_nowhere_else() {
    let (lab, local) = (lab().await, Local::new());
    put(&lab, "DC0_DS1", "a.txt", b"text").await;
    let client = local.client(&lab, "never").await;
    for (path, why) in [("../x", "invalid_argument"), (".hidden", "invalid_argument"), ("none/x", "not_found")] {
        let down = json!({ "datastore": "DC0_DS1", "path": "a.txt", "save_to": path });
        let (code, text) = refused(&client, "download_from_datastore", down).await;
        assert_eq!(code, why, "{path}: {text}");
        let up = json!({ "datastore": "DC0_DS1", "path": "b.txt", "local_path": path });
        let (code, text) = refused(&client, "upload_to_datastore", up).await;
        assert_eq!(code, why, "{path}: {text}");
    }
    assert_eq!(std::fs::read_dir(local.path()).unwrap().count(), 0);
    // A file that is not there leaves no local one.
    let down = json!({ "datastore": "DC0_DS1", "path": "none.txt", "save_to": "a.txt" });
    let (code, text) = refused(&client, "download_from_datastore", down).await;
    assert!(code == "not_found" && text.contains("browse_datastore"), "{text}");
    assert_eq!(std::fs::read_dir(local.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn content_is_in_the_call_or_the_answer() {
    let lab = lab().await;
    let client = mcp(&lab).await;
    let up = |path: &str, content: &[u8]| json!({ "datastore": "DC0_DS1", "path": path, "content_base64": STANDARD.encode(content) });
    call(&client, "upload_to_datastore", up("a.txt", "größe = 1\n".as_bytes())).await.unwrap();
    call(&client, "upload_to_datastore", up("b.bin", &[0xff; 100])).await.unwrap();
    let down = async |more: Value| call(&client, "download_from_datastore", more).await.unwrap();
    let text = down(json!({ "datastore": "DC0_DS1", "path": "a.txt" })).await;
    assert_eq!(
        (&text["encoding"], &text["content"]["untrusted"]),
        (&json!("utf-8"), &json!("größe = 1\n")),
        "{text:#}"
    );
    assert!(text["truncated"].is_null() && text["size_bytes"] == 12);
    let bytes = down(json!({ "datastore": "DC0_DS1", "path": "b.bin", "max_bytes": 3 })).await;
    assert_eq!((&bytes["content"]["untrusted"], &bytes["truncated"]), (&json!("////"), &json!(true)), "{bytes:#}");
    assert_eq!(bytes["size_bytes"], 100);
    // The most that fits goes out whole.
    put(&lab, "DC0_DS1", "c.bin", &[0xfe; 100_000]).await;
    let most = down(json!({ "datastore": "DC0_DS1", "path": "c.bin", "max_bytes": 65536 })).await;
    let content = STANDARD.decode(most["content"]["untrusted"].as_str().unwrap()).unwrap();
    assert!(content == [0xfe; 65536] && most["cut"].is_null());
    for (wrong, words) in [
        (json!({ "datastore": "DC0_DS1", "path": "x" }), "one of `local_path` and `content_base64`"),
        (json!({ "datastore": "DC0_DS1", "path": "x", "content_base64": "?" }), "no base64"),
        (json!({ "datastore": "DC0_DS1", "path": "/", "content_base64": "aGk=" }), "itself"),
    ] {
        let (code, text) = refused(&client, "upload_to_datastore", wrong).await;
        assert!(code == "invalid_argument" && text.contains(words), "{text}");
    }
    let (code, text) = refused(&client, "upload_to_datastore", up("no/x", b"x")).await;
    assert!(code == "not_found" && text.contains("create_datastore_folder makes it"), "{text}");
}

#[tokio::test]
async fn overwriting_is_asked_about_on_both_sides() {
    let (lab, local) = (lab().await, Local::new());
    put(&lab, "DC0_DS1", "a.txt", b"old").await;
    std::fs::write(local.path().join("a.txt"), "mine").unwrap();
    let client = local.client(&lab, "ask").await;
    let up = json!({ "datastore": "DC0_DS1", "path": "a.txt", "local_path": "a.txt" });
    let (plan, done) = confirmed(&client, "upload_to_datastore", up).await;
    assert!(plan["question"].as_str().unwrap().contains("OVERWRITE the file there"), "{plan:#}");
    assert_eq!(done["overwritten"]["size_bytes"], 3);
    assert_eq!(read(&lab, "DC0_DS1", "a.txt").await, b"mine");
    put(&lab, "DC0_DS1", "b.txt", b"theirs").await;
    let down = json!({ "datastore": "DC0_DS1", "path": "b.txt", "save_to": "a.txt" });
    let (plan, _) = confirmed(&client, "download_from_datastore", down).await;
    assert!(plan["question"].as_str().unwrap().contains("OVERWRITE the local file"), "{plan:#}");
    assert_eq!(std::fs::read(local.path().join("a.txt")).unwrap(), b"theirs");
    // Nothing is lost: nobody is asked.
    let new = json!({ "datastore": "DC0_DS1", "path": "b.txt", "save_to": "new.txt" });
    call(&client, "download_from_datastore", new).await.unwrap();
    assert_eq!(std::fs::read_dir(local.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn a_deletion_is_shown_with_what_it_takes_and_who_uses_it() {
    let lab = lab().await;
    let vm = lab.machine("web-1").await;
    let disk = vm.add_disk(&NewDisk::of_bytes(1 << 30)).await.unwrap().disk.file.unwrap();
    put(&lab, "DC0_DS1", "old/a/one", b"12345").await;
    let client = planning(&lab).await;
    let folder = json!({ "datastore": "DC0_DS1", "path": "old" });
    let (code, text) = refused(&client, "delete_datastore_file", folder).await;
    assert!(code == "invalid_state" && text.contains("set recursive"), "{text}");
    let folder = json!({ "datastore": "DC0_DS1", "path": "old", "recursive": true });
    let (plan, done) = confirmed(&client, "delete_datastore_file", folder.clone()).await;
    assert!(plan["question"].as_str().unwrap().contains("with 1 files of 5 bytes"), "{plan:#}");
    assert_eq!((&done["files"], &done["changed"]), (&json!(1), &json!(true)));
    assert!(paths(&lab, "DC0_DS1").await.is_empty());

    let plan = call(&client, "delete_datastore_file", json!({ "datastore": "DC0_DS0", "path": disk })).await.unwrap();
    assert!(plan["notes"][0].as_str().unwrap().contains("In use by \"web-1\""), "{plan:#}");
    assert_eq!(plan["objects"][0]["used_by"][0]["id"], vm.id());

    // What came after the question is not deleted unseen.
    put(&lab, "DC0_DS1", "old/one", b"1").await;
    let plan = call(&client, "delete_datastore_file", folder.clone()).await.unwrap();
    put(&lab, "DC0_DS1", "old/two", b"2").await;
    let mut again = folder;
    again["confirm"] = plan["plan_token"].clone();
    let void = call(&client, "delete_datastore_file", again).await.unwrap();
    assert_eq!(void["void"]["code"], "changed", "{void:#}");
    assert_eq!(paths(&lab, "DC0_DS1").await.len(), 3);
    let extent = disk.replace(".vmdk", "-flat.vmdk");
    let store: Mo<Datastore> = lab.client.get("DC0_DS0").await.unwrap();
    assert!(store.find_file(&extent).await.unwrap().is_none(), "a browser does not show extents");
    put(&lab, "DC0_DS1", "lost-flat.vmdk", b"data").await;
    let part = json!({ "datastore": "DC0_DS1", "path": "lost-flat.vmdk" });
    let (code, text) = refused(&client, "delete_datastore_file", part).await;
    assert!(code == "unsupported" && text.contains("virtual disk lost.vmdk"), "{text}");
}

#[tokio::test]
async fn files_are_moved_and_copied_and_overwrite_only_when_forced() {
    let lab = lab().await;
    put(&lab, "DC0_DS1", "a.txt", b"a").await;
    put(&lab, "DC0_DS2", "b.txt", b"bb").await;
    let client = planning(&lab).await;
    let place = |from: &str, to: &str, more: Value| {
        let mut arguments = json!({ "source_datastore": "DC0_DS1", "source_path": from, "dest_path": to });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    };
    let copied = call(&client, "copy_datastore_file", place("a.txt", "c.txt", json!({}))).await.unwrap();
    assert_eq!((&copied["action"], &copied["to"]), (&json!("copy"), &json!("[DC0_DS1] c.txt")));
    let there = place("a.txt", "b.txt", json!({ "dest_datastore": "DC0_DS2" }));
    let (code, text) = refused(&client, "move_datastore_file", there).await;
    assert!(code == "invalid_state" && text.contains("set force"), "{text}");
    let forced = place("a.txt", "b.txt", json!({ "dest_datastore": "DC0_DS2", "force": true }));
    let (plan, done) = confirmed(&client, "move_datastore_file", forced).await;
    assert!(plan["question"].as_str().unwrap().contains("OVERWRITE 1 files"), "{plan:#}");
    assert_eq!(done["overwritten_files"], 1);
    assert_eq!(read(&lab, "DC0_DS2", "b.txt").await, b"a");
    assert_eq!(paths(&lab, "DC0_DS1").await, ["c.txt"]);
    let same = call(&client, "move_datastore_file", place("c.txt", "c.txt", json!({}))).await.unwrap();
    assert_eq!(same["changed"], false);
    // A VM would no longer find its disk.
    let vm = lab.machine("web-1").await;
    let disk = vm.add_disk(&NewDisk::of_bytes(1 << 30)).await.unwrap().disk.file.unwrap();
    let away = json!({ "source_datastore": "DC0_DS0", "source_path": disk, "dest_path": "away.vmdk" });
    let plan = call(&client, "move_datastore_file", away).await.unwrap();
    assert!(plan["notes"][0].as_str().unwrap().contains("In use by \"web-1\""), "{plan:#}");
}

#[tokio::test]
async fn folders_are_made_once_and_asked_about_where_all_is() {
    let lab = lab().await;
    let client = mcp(&lab).await;
    let folder = json!({ "datastore": "DC0_DS1", "path": "a/b" });
    assert_eq!(call(&client, "create_datastore_folder", folder.clone()).await.unwrap()["changed"], true);
    assert_eq!(call(&client, "create_datastore_folder", folder).await.unwrap()["changed"], false);
    let always = older(lab.server(&[("MCP_CONFIRM", "always")]), ()).await;
    let (plan, _) = confirmed(&always, "create_datastore_folder", json!({ "datastore": "DC0_DS1", "path": "c" })).await;
    assert!(plan["question"].as_str().unwrap().contains("Make the folder \"c\""), "{plan:#}");
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_nothing_behind() {
    let lab = Lab::of(vsphere_sim::Model::demo().pace(20.0)).await;
    let before = paths(&lab, "iso-library").await;
    let client = mcp(&lab).await;
    let image = "linux/rhel-9.6-x86_64-dvd.iso";
    let arguments = json!({ "source_datastore": "iso-library", "source_path": image, "dest_path": "copy.iso" });
    let request =
        CallToolRequestParams::new("copy_datastore_file").with_arguments(arguments.as_object().unwrap().clone());
    let call = client.send_cancellable_request(
        rmcp::model::ClientRequest::CallToolRequest(rmcp::model::CallToolRequest::new(request)),
        Default::default(),
    );
    let call = call.await.unwrap();
    while lab.sim.calls("CopyDatastoreFile_Task") == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    call.cancel(Some("enough".to_owned())).await.unwrap();
    while lab.sim.calls("CancelTask") == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(paths(&lab, "iso-library").await, before);
}

#[tokio::test]
async fn a_server_that_only_reads_shows_a_file_and_saves_none() {
    let lab = lab().await;
    put(&lab, "DC0_DS0", "notes/a.txt", b"reboot on Sunday").await;
    let local = Local::new();
    let files = local.path().to_str().unwrap();
    let client = older(lab.server(&[("MCP_READ_ONLY", "true"), ("MCP_FILES", files)]), ()).await;
    let read = json!({ "datastore": "DC0_DS0", "path": "notes/a.txt" });
    let shown = call(&client, "download_from_datastore", read.clone()).await.unwrap();
    assert_eq!(shown["content"]["untrusted"], "reboot on Sunday");
    let mut save = read;
    save["save_to"] = json!("a.txt");
    let (code, text) = refused(&client, "download_from_datastore", save).await;
    assert_eq!(code, "not_offered", "{text}");
    assert_eq!(std::fs::read_dir(local.path()).unwrap().count(), 0);
}
