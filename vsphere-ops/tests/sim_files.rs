//! The files of datastores with the simulated vCenter.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use vsphere_ops::disk::{Files, NewDisk};
use vsphere_ops::files::{DatastoreFile, Existing, FileQuery, FileType};
use vsphere_ops::managed::{Datastore, VirtualMachine};
use vsphere_ops::snapshot::NewSnapshot;
use vsphere_ops::{Client, Config, Error, Mo};
use vsphere_sim::{Model, Role, Sim, Trouble};

struct Lab {
    sim: Sim,
    client: Client,
    isos: Mo<Datastore>,
    nvme: Mo<Datastore>,
}

impl Lab {
    async fn new() -> Self {
        Self::of(Model::demo()).await
    }

    async fn of(model: Model) -> Self {
        let sim = Sim::start(model).await.unwrap();
        let client = login(&sim, Model::USER, Model::PASSWORD).await;
        let isos = client.get("iso-library").await.unwrap();
        let nvme = client.get("nvme-01").await.unwrap();
        Self { sim, client, isos, nvme }
    }

    async fn vm(&self, name: &str) -> Mo<VirtualMachine> {
        self.client.get(name).await.unwrap()
    }
}

async fn login(sim: &Sim, user: &str, password: &str) -> Client {
    let config = Config::new(sim.url()).user(user).password(password);
    Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap()
}

async fn put(store: &Mo<Datastore>, path: &str, content: &'static [u8]) {
    let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(content))]);
    store.upload(path).from_stream(pieces, content.len() as u64).await.unwrap();
}

/// The paths below a folder, without the datastore's name.
async fn below(store: &Mo<Datastore>, folder: &str) -> Vec<String> {
    let mut query = FileQuery::below(folder);
    query.page.limit = 1000;
    let found = store.list_files(&query).await.unwrap().items;
    found.iter().map(|file| file.path.split_once("] ").unwrap().1.to_owned()).collect()
}

async fn orphans(store: &Mo<Datastore>) -> Vec<DatastoreFile> {
    let mut query = FileQuery::below("");
    query.page.limit = 1000;
    store.list_orphans(&query).await.unwrap().items
}

fn refused(error: &Error, code: &str, words: &str) {
    assert!(error.code() == code && error.to_string().contains(words), "{}: {error}", error.code());
}

fn faulted(error: &Error, fault: &str) {
    assert!(error.is_fault(fault), "{error}");
}

#[tokio::test]
async fn a_folder_or_a_tree_is_listed_page_by_page() {
    let lab = Lab::new().await;
    let top = lab.isos.list_files(&FileQuery::of("")).await.unwrap().items;
    assert!(top.iter().all(|file| file.type_ == FileType::Folder), "{top:?}");
    put(&lab.isos, "a.txt", b"text").await;
    let top = lab.isos.list_files(&FileQuery::of("[iso-library]")).await.unwrap().items;
    let last = top.last().unwrap();
    assert_eq!((last.path.as_str(), last.type_, last.size_bytes), ("[iso-library] a.txt", FileType::Other, Some(4)));
    assert_eq!(last.owner.as_deref(), Some("root"));
    assert!(last.modified.is_some() && last.age_seconds.is_none());
    let mut query = FileQuery::below("");
    query.page.filter = Some("*.ISO".to_owned());
    query.page.limit = 2;
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let page = lab.isos.list_files(&query).await.unwrap();
        assert_eq!(page.total, 5);
        seen.extend(page.items.into_iter().inspect(|file| assert_eq!(file.type_, FileType::Iso)));
        pages += 1;
        query.page.cursor = page.next_cursor;
        if query.page.cursor.is_none() {
            break;
        }
    }
    assert_eq!((seen.len(), pages), (5, 3));
    assert!(seen.is_sorted_by(|a, b| a.path < b.path), "{seen:?}");
    let vm = lab.nvme.list_files(&FileQuery::of("web-01")).await.unwrap().items;
    for (name, type_) in [("web-01.vmx", FileType::Config), ("web-01.vmdk", FileType::Disk)] {
        assert!(vm.iter().any(|file| file.path.ends_with(name) && file.type_ == type_), "{name}: {vm:?}");
    }
}

#[tokio::test]
async fn what_can_not_be_listed_is_refused_with_the_reason() {
    let lab = Lab::of(Model::demo().user("guest", "guest", Role::ReadOnly)).await;
    let list = async |path: &str| lab.isos.list_files(&FileQuery::below(path)).await.unwrap_err();
    refused(&list("none").await, "not_found", "there is no folder [iso-library] none");
    refused(&list("../x").await, "invalid_argument", "no . and ..");
    refused(&list("[nvme-01] x").await, "invalid_argument", "another datastore");
    let guest = login(&lab.sim, "guest", "guest").await;
    let store: Mo<Datastore> = guest.get("iso-library").await.unwrap();
    let error = store.list_files(&FileQuery::of("")).await.unwrap_err();
    assert_eq!(error.code(), "permission", "{error}");
    lab.sim.set_datastore_accessible("iso-library", false).unwrap();
    refused(&list("").await, "invalid_state", "no host can access the datastore");
}

#[tokio::test]
async fn a_listing_that_is_given_up_ends_its_searches() {
    // A search takes 20 s, so that it is surely given up in its course.
    let lab = Lab::of(Model::demo().pace(100.0)).await;
    let query = FileQuery::below("");
    tokio::select! {
        listed = lab.isos.list_files(&query) => panic!("{listed:?}"),
        () = async {
            while lab.sim.calls("SearchDatastore_Task") == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        } => {}
    }
    while lab.sim.calls("CancelTask") < lab.sim.calls("SearchDatastore_Task") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_orphan_is_what_no_vm_template_or_snapshot_uses() {
    let lab = Lab::new().await;
    assert_eq!(orphans(&lab.nvme).await, []);
    let images = orphans(&lab.isos).await;
    assert_eq!(images.len(), 5, "{images:?}");
    assert!(images.iter().all(|file| file.age_seconds.is_some()));

    // A disk whose file stays when it is removed.
    let web = lab.vm("web-04").await;
    let disk = web.add_disk(&NewDisk::of_bytes(1 << 30)).await.unwrap().disk;
    let home = web.datastore(disk.datastore.as_deref().unwrap()).await.unwrap();
    assert_eq!(orphans(&home).await, []);
    web.disk(&disk.label).await.unwrap().removal(Files::Kept).await.unwrap().carry_out().await.unwrap();
    let left = orphans(&home).await;
    assert_eq!(left.iter().map(|file| Some(file.path.as_str())).collect::<Vec<_>>(), [disk.file.as_deref()]);

    // An image in a drive, and one that comes back with a snapshot.
    let image = "[iso-library] tools/memtest86plus-7.20.iso".parse().unwrap();
    web.iso_insertion(&image, None).await.unwrap().carry_out().await.unwrap();
    assert_eq!(orphans(&lab.isos).await.len(), 4);
    web.create_snapshot(&NewSnapshot::new("with image")).await.unwrap().await.unwrap();
    web.iso_ejection(None).await.unwrap().carry_out().await.unwrap();
    assert_eq!(orphans(&lab.isos).await.len(), 4);

    // What vSphere keeps for itself is not looked at, and named.
    lab.isos.make_folder("contentlib-1/item").await.unwrap();
    put(&lab.isos, "contentlib-1/item/a.iso", b"x").await;
    let page = lab.isos.list_orphans(&FileQuery::below("")).await.unwrap();
    assert_eq!(page.items.len(), 4);
    assert_eq!(page.gaps.missing[0].what, "[iso-library] contentlib-1");
}

#[tokio::test]
async fn nothing_is_called_an_orphan_where_a_vm_cannot_be_read() {
    let model = Model::demo().user("half", "half", Role::VirtualMachinePowerUser);
    let lab = Lab::of(model.permission("half", "/fra1/vm/prod/web/web-01", Role::NoAccess)).await;
    let half = login(&lab.sim, "half", "half").await;
    let store: Mo<Datastore> = half.get("nvme-01").await.unwrap();
    let error = store.list_orphans(&FileQuery::below("")).await.unwrap_err();
    refused(&error, "permission", "VMs use cannot be read");
}

#[tokio::test]
async fn folders_are_made_once_with_those_above() {
    let lab = Lab::new().await;
    let made = lab.isos.make_folder("a/b/c").await.unwrap();
    assert_eq!((made.path.as_str(), made.changed), ("[iso-library] a/b/c", true));
    assert!(!lab.isos.make_folder("[iso-library] a/b").await.unwrap().changed);
    put(&lab.isos, "a/file", b"x").await;
    refused(&lab.isos.make_folder("a/file").await.unwrap_err(), "invalid_state", "a file has this path");
    faulted(&lab.isos.make_folder("a/file/b").await.unwrap_err(), "FileNotFound");
    refused(&lab.isos.make_folder("").await.unwrap_err(), "invalid_argument", "the datastore itself");
}

#[tokio::test]
async fn the_top_of_an_object_store_is_for_namespaces() {
    let lab = Lab::new().await;
    lab.sim.add_datastore("fra1", "vsan-01", "vsan", 1 << 40).unwrap();
    let vsan: Mo<Datastore> = lab.client.get("vsan-01").await.unwrap();
    assert!(vsan.make_folder("images/linux").await.unwrap().changed);
    assert!(!vsan.make_folder("images/linux").await.unwrap().changed);
    assert!(vsan.make_folder("images/other").await.unwrap().changed);
    assert!(!vsan.make_folder("images").await.unwrap().changed);
    assert_eq!(lab.sim.calls("CreateDirectory"), 1);
    put(&vsan, "images/linux/a.iso", b"x").await;
    let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"x"))]);
    vsan.upload("a.iso").from_stream(pieces, 1).await.unwrap_err();
    let plan = lab.isos.file_copy("tools/memtest86plus-7.20.iso", &vsan, "m.iso", Existing::Kept).await.unwrap();
    faulted(&plan.carry_out().await.unwrap_err(), "CannotCreateFile");
    let deleted = vsan.file_deletion("images", true).await.unwrap().carry_out().await.unwrap();
    assert_eq!((deleted.files, lab.sim.calls("DeleteDirectory")), (1, 1));
    assert!(below(&vsan, "").await.is_empty());
}

#[tokio::test]
async fn a_deletion_is_measured_and_takes_a_folder_only_when_told() {
    let lab = Lab::new().await;
    put(&lab.isos, "a/b/one", b"12345").await;
    put(&lab.isos, "a/two", b"123").await;
    refused(&lab.isos.file_deletion("a", false).await.unwrap_err(), "invalid_state", "3 files and folders in it");
    let plan = lab.isos.file_deletion("a", true).await.unwrap();
    assert_eq!((plan.files, plan.folders, plan.size_bytes, plan.contents().len()), (2, 1, 8, 3));
    assert_eq!(plan.largest[0].path, "[iso-library] a/b/one");
    // What came since is not deleted unseen.
    put(&lab.isos, "a/three", b"1").await;
    let error = plan.carry_out().await.unwrap_err();
    refused(&error, "changed", "so nothing was done");
    let done = lab.isos.file_deletion("a", true).await.unwrap().carry_out().await.unwrap();
    assert_eq!((done.files, done.size_bytes, done.changed), (3, 9, true));
    refused(&lab.isos.file_deletion("a", true).await.unwrap_err(), "not_found", "no file or folder [iso-library] a");
    refused(&lab.isos.file_deletion("", true).await.unwrap_err(), "invalid_argument", "the datastore itself");

    lab.isos.make_folder("empty").await.unwrap();
    lab.isos.file_deletion("empty", false).await.unwrap().carry_out().await.unwrap();
    put(&lab.isos, "same", b"old").await;
    let plan = lab.isos.file_deletion("same", false).await.unwrap();
    put(&lab.isos, "same", b"newer").await;
    assert_eq!(plan.carry_out().await.unwrap_err().code(), "changed");
    assert!(below(&lab.isos, "").await.contains(&"same".to_owned()));
}

#[tokio::test]
async fn a_disk_goes_with_its_extents_and_never_without() {
    let lab = Lab::new().await;
    let web = lab.vm("web-04").await;
    let disk = web.add_disk(&NewDisk::of_bytes(1 << 30)).await.unwrap().disk;
    let file = disk.file.clone().unwrap();
    let home: Mo<Datastore> = lab.client.get(disk.datastore.as_deref().unwrap()).await.unwrap();
    let plan = home.file_deletion(&file, false).await.unwrap();
    assert_eq!((plan.type_, plan.used_by[0].vm.as_str(), plan.used_by.len()), (FileType::Disk, "web-04", 1));
    web.disk(&disk.label).await.unwrap().removal(Files::Kept).await.unwrap().carry_out().await.unwrap();

    let moved = home.file_move(&file, &lab.nvme, "moved.vmdk", Existing::Kept).await.unwrap();
    assert!(moved.used_by.is_empty(), "{:?}", moved.used_by);
    moved.carry_out().await.unwrap();
    assert_eq!(lab.sim.calls("MoveVirtualDisk_Task"), 1);
    let plan = lab.nvme.file_copy("moved.vmdk", &lab.nvme, "copy.vmdk", Existing::Kept).await.unwrap();
    plan.carry_out().await.unwrap();
    assert_eq!(lab.sim.calls("CopyVirtualDisk_Task"), 1);
    let error = lab.nvme.file_copy("moved.vmdk", &lab.nvme, "copy.img", Existing::Kept).await.unwrap_err();
    refused(&error, "invalid_argument", "it ends in .vmdk");
    let before = below(&lab.nvme, "").await;
    lab.nvme.file_deletion("moved.vmdk", false).await.unwrap().carry_out().await.unwrap();
    lab.nvme.file_deletion("copy.vmdk", false).await.unwrap().carry_out().await.unwrap();
    assert_eq!(lab.sim.calls("DeleteVirtualDisk_Task"), 2);
    let after = below(&lab.nvme, "").await;
    assert_eq!(before.len() - after.len(), 2);

    // An upload that only has the name of a disk goes as a file, and an extent that lost its disk stays.
    put(&lab.nvme, "lost-flat.vmdk", b"data").await;
    let error = lab.nvme.file_deletion("lost-flat.vmdk", false).await.unwrap_err();
    refused(&error, "unsupported", "a part of the virtual disk lost.vmdk");
    let error = lab.nvme.file_move("lost-flat.vmdk", &lab.nvme, "x", Existing::Kept).await.unwrap_err();
    refused(&error, "unsupported", "a part of the virtual disk lost.vmdk");
    put(&lab.nvme, "no-disk.vmdk", b"data").await;
    lab.nvme.file_deletion("no-disk.vmdk", false).await.unwrap().carry_out().await.unwrap();
    assert!(!below(&lab.nvme, "").await.contains(&"no-disk.vmdk".to_owned()));
}

#[tokio::test]
async fn a_file_that_a_running_vm_has_open_stays() {
    let lab = Lab::new().await;
    let plan = lab.nvme.file_deletion("web-01/web-01.vmdk", false).await.unwrap();
    assert_eq!(plan.used_by[0].vm, "web-01");
    faulted(&plan.carry_out().await.unwrap_err(), "FileLocked");
    let plan = lab.nvme.file_move("web-01/web-01.vmdk", &lab.nvme, "x.vmdk", Existing::Kept).await.unwrap();
    assert_eq!(plan.used_by[0].vm, "web-01");
    faulted(&plan.carry_out().await.unwrap_err(), "FileLocked");
    let plan = lab.nvme.file_deletion("web-01", true).await.unwrap();
    assert!(plan.used_by[0].files > 1 && plan.files > 1, "{plan:?}");
    faulted(&plan.carry_out().await.unwrap_err(), "CannotDeleteFile");
    assert!(below(&lab.nvme, "web-01").await.contains(&"web-01/web-01.vmdk".to_owned()));
}

#[tokio::test]
async fn files_are_overwritten_only_when_told_and_shown() {
    let lab = Lab::new().await;
    for (path, content) in [("a/x", b"from a" as &[u8]), ("a/y", b"from a"), ("b/x", b"from b, which is longer")] {
        put(&lab.isos, path, content).await;
    }
    let copy = async |from: &str, to: &str, existing| lab.isos.file_copy(from, &lab.isos, to, existing).await;
    let moved = async |from: &str, to: &str, existing| lab.isos.file_move(from, &lab.isos, to, existing).await;
    refused(&copy("a/x", "b/x", Existing::Kept).await.unwrap_err(), "invalid_state", "b/x is there already");
    refused(&copy("a", "b", Existing::Kept).await.unwrap_err(), "invalid_state", "b/x is there already");
    refused(&moved("a", "b", Existing::Overwritten).await.unwrap_err(), "unsupported", "takes the place of nothing");
    refused(&copy("a/x", "b", Existing::Overwritten).await.unwrap_err(), "invalid_argument", "is a folder");
    refused(&copy("a", "a/c", Existing::Kept).await.unwrap_err(), "invalid_argument", "in the folder itself");
    refused(&moved("none", "b", Existing::Kept).await.unwrap_err(), "not_found", "no file or folder");

    // The same path is no change.
    let same = moved("a/x", "[iso-library] a//x", Existing::Kept).await.unwrap();
    assert!(!same.moves() && !same.carry_out().await.unwrap().changed);
    assert_eq!(lab.sim.calls("MoveDatastoreFile_Task"), 0);

    let merge = copy("a", "b", Existing::Overwritten).await.unwrap();
    assert_eq!((merge.files, merge.overwritten_files, merge.overwrites[0].size_bytes), (2, 1, Some(23)));
    assert_eq!(merge.carry_out().await.unwrap().overwritten_files, 1);
    assert_eq!(below(&lab.isos, "b").await, ["b/x", "b/y"]);
    let plan = moved("a/x", "b/x", Existing::Overwritten).await.unwrap();
    // Another file at the destination is not what was shown.
    put(&lab.isos, "b/x", b"meanwhile").await;
    assert_eq!(plan.carry_out().await.unwrap_err().code(), "changed");
    moved("a/x", "b/x", Existing::Overwritten).await.unwrap().carry_out().await.unwrap();
    assert_eq!(below(&lab.isos, "a").await, ["a/y"]);
    let mut content = Vec::new();
    lab.isos.download("b/x").to_writer(&mut content).await.unwrap();
    assert_eq!(content, b"from a");
}

#[tokio::test]
async fn a_full_datastore_takes_no_copy_and_keeps_what_it_has() {
    let lab = Lab::new().await;
    lab.sim.fill_datastore("nvme-01", 1000).unwrap();
    let before = below(&lab.nvme, "").await;
    let image = "tools/memtest86plus-7.20.iso";
    let plan = lab.isos.file_copy(image, &lab.nvme, "m.iso", Existing::Kept).await.unwrap();
    faulted(&plan.carry_out().await.unwrap_err(), "NoDiskSpace");
    let plan = lab.isos.file_move(image, &lab.nvme, "m.iso", Existing::Kept).await.unwrap();
    faulted(&plan.carry_out().await.unwrap_err(), "NoDiskSpace");
    assert_eq!(below(&lab.nvme, "").await, before);
    assert!(below(&lab.isos, "").await.contains(&image.to_owned()));
    let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(&[0; 2000]))]);
    lab.nvme.upload("big.bin").from_stream(pieces, 2000).await.unwrap_err();
    assert_eq!(below(&lab.nvme, "").await, before);
}

#[tokio::test]
async fn a_user_without_the_privilege_changes_nothing() {
    let lab = Lab::of(Model::demo().user("half", "half", Role::VirtualMachinePowerUser)).await;
    let half = login(&lab.sim, "half", "half").await;
    let store: Mo<Datastore> = half.get("iso-library").await.unwrap();
    let before = below(&lab.isos, "").await;
    let image = "tools/memtest86plus-7.20.iso";
    let refused = [
        store.make_folder("x").await.map(drop),
        store.file_deletion(image, false).await.unwrap().carry_out().await.map(drop),
        store.file_move(image, &store, "m.iso", Existing::Kept).await.unwrap().carry_out().await.map(drop),
        store.file_copy(image, &store, "m.iso", Existing::Kept).await.unwrap().carry_out().await.map(drop),
    ];
    for error in refused {
        let error = error.unwrap_err();
        assert!(error.code() == "permission" && error.to_string().contains("Datastore.FileManagement"), "{error}");
    }
    assert_eq!(below(&lab.isos, "").await, before);
}

#[tokio::test]
async fn a_fault_of_the_server_names_the_file() {
    let lab = Lab::new().await;
    let image = "tools/memtest86plus-7.20.iso";
    let plan = lab.isos.file_deletion(image, false).await.unwrap();
    lab.sim.trouble(Trouble::none().fail("DeleteDatastoreFile_Task", "CannotDeleteFile", 1));
    let error = plan.carry_out().await.unwrap_err();
    faulted(&error, "CannotDeleteFile");
    assert!(error.target().is_some_and(|target| target.ends_with(image)), "{error}");
}
