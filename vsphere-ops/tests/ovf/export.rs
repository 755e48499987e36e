//! Packages that are made of VMs.

use std::io::Read as _;
use std::sync::Arc;

use futures::TryStreamExt as _;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use vsphere_ops::Mo;
use vsphere_ops::files::FileQuery;
use vsphere_ops::managed::{Datastore, VirtualMachine};
use vsphere_ops::ovf::{Directory, OvfSource};
use vsphere_ops::snapshot::NewSnapshot;
use vsphere_ops::transfer::Algorithm;
use vsphere_sim::{Model, Trouble};

use crate::package::{Lab, disk, sha256, simple, sum, until_nothing_is_left, with_disks};

/// A VM with two disks, and the contents of these.
pub(crate) async fn machine(lab: &Lab) -> (Mo<VirtualMachine>, [Vec<u8>; 2]) {
    let disks = [disk(11, 400_000), disk(12, 70_000)];
    let ovf = lab.open(&with_disks(&disks)).await.unwrap();
    let deployed = ovf.deployment("web 7").all_networks("VM Network").start().await.unwrap();
    std::fs::remove_file(lab.scratch.path("appliance.ova")).unwrap();
    (lab.client.get(&deployed.vm.id).await.unwrap(), disks)
}

fn local(lab: &Lab) -> Arc<Directory> {
    Arc::new(Directory::new(lab.scratch.path("")))
}

#[tokio::test]
async fn a_folder_has_descriptor_disks_nvram_and_a_manifest_that_is_true() {
    for (algorithm, name) in [(Algorithm::Sha1, "SHA1"), (Algorithm::Sha256, "SHA256"), (Algorithm::Sha512, "SHA512")] {
        let lab = Lab::new().await;
        let (vm, disks) = machine(&lab).await;
        let before = lab.left().await;
        let exported = vm.ovf_export().manifest(algorithm).to_directory(lab.scratch.path("")).await.unwrap();
        let names = ["web 7-disk-1.vmdk", "web 7-disk-2.vmdk", "web 7-nvram-1.nvram"];
        assert_eq!(exported.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), names);
        let read = |name: &str| std::fs::read(lab.scratch.path(name)).unwrap();
        assert!(read(names[0]) == disks[0] && read(names[1]) == disks[1]);
        let manifest = String::from_utf8(read("web 7.mf")).unwrap();
        assert_eq!(manifest.lines().count(), 4);
        for line in manifest.lines() {
            let (file, digest) = line.strip_prefix(name).unwrap().split_once(")= ").unwrap();
            assert_eq!(sum(name, &read(&file[1..])), digest, "{line}");
        }
        assert_eq!(lab.scratch.names().len(), 5);
        assert_eq!(lab.left().await, before);
        // It can be read again.
        let ovf = lab.client.open_ovf(&OvfSource::file(lab.scratch.path("web 7.ovf"))).await.unwrap();
        let again = ovf.deployment("again").all_networks("VM Network").start().await.unwrap();
        assert_eq!((again.files, again.verified, again.vm.cpu), (3, true, Some(2)));
        assert_eq!(crate::deploy::contents(&lab, "again").await, [sha256(&disks[0]), sha256(&disks[1])]);
    }
}

#[tokio::test]
async fn an_archive_is_the_same_each_time_and_can_be_read_again() {
    let lab = Lab::new().await;
    let (vm, disks) = machine(&lab).await;
    for name in ["one.ova", "two.ova"] {
        vm.ovf_export().named("web").to_ova(local(&lab), name).await.unwrap();
    }
    let read = |name: &str| std::fs::read(lab.scratch.path(name)).unwrap();
    assert!(read("one.ova") == read("two.ova"));
    let members = members(&read("one.ova"));
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["web.ovf", "web.mf", "web-disk-1.vmdk", "web-disk-2.vmdk", "web-nvram-1.nvram"]);
    assert!(members[2].1 == disks[0] && members[3].1 == disks[1]);
    let ovf = lab.client.open_ovf(&OvfSource::file(lab.scratch.path("one.ova"))).await.unwrap();
    let again = ovf.deployment("again").all_networks("VM Network").start().await.unwrap();
    assert!(again.verified);
    assert_eq!(crate::deploy::contents(&lab, "again").await, [sha256(&disks[0]), sha256(&disks[1])]);
}

#[tokio::test]
async fn a_vm_that_runs_is_exported_by_its_snapshot() {
    let lab = Lab::new().await;
    let (vm, disks) = machine(&lab).await;
    vm.power_on().await.unwrap().await.unwrap();
    let error = vm.ovf_export().to_directory(lab.scratch.path("")).await.unwrap_err();
    assert!(error.is_fault("InvalidPowerState") && error.to_string().contains("web 7"), "{error}");
    assert!(lab.scratch.names().is_empty());
    let snapshot = vm.create_snapshot(&NewSnapshot::new("s")).await.unwrap().await.unwrap();
    let exported = vm.ovf_export().snapshot(&snapshot).to_directory(lab.scratch.path("")).await.unwrap();
    assert_eq!(exported.files[0].checksum, sha256(&disks[0]));
}

#[tokio::test]
async fn a_folder_of_a_datastore_is_filled_and_read_again() {
    let lab = Lab::new().await;
    let (vm, disks) = machine(&lab).await;
    let store: Mo<Datastore> = lab.client.get("DC0_DS1").await.unwrap();
    vm.ovf_export().named("web").to_datastore(&store, "exported/web").await.unwrap();
    let before = lab.left().await;
    let error = vm.ovf_export().to_datastore(&store, "exported/web").await.unwrap_err();
    assert!(error.is_fault("FileAlreadyExists"), "{error}");
    until_nothing_is_left(&lab.client, &before).await;
    let source = OvfSource::on_datastore(&store, "[DC0_DS1] exported/web/web.ovf");
    let ovf = lab.client.open_ovf(&source).await.unwrap();
    let again = ovf.deployment("again").all_networks("VM Network").start().await.unwrap();
    assert!(again.verified);
    assert_eq!(crate::deploy::contents(&lab, "again").await, [sha256(&disks[0]), sha256(&disks[1])]);
}

/// The members of an archive, in their order.
fn members(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    };
    archive.entries().unwrap().map(read).collect()
}

/// What is at the top of a datastore and below.
async fn names(store: &Mo<Datastore>) -> Vec<String> {
    let all = store.list_files(&FileQuery::below("")).await.unwrap();
    all.items.into_iter().map(|file| file.path).filter(|path| path.contains("exported")).collect()
}

#[tokio::test]
async fn an_archive_on_a_datastore_is_whole_and_nothing_else_is_left_there() {
    let lab = Lab::new().await;
    let (vm, disks) = machine(&lab).await;
    let store: Mo<Datastore> = lab.client.get("DC0_DS1").await.unwrap();
    store.make_folder("exported").await.unwrap();
    let before = lab.left().await;
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let export = vm.ovf_export().named("web").on_progress(move |progress| listener.lock().unwrap().push(progress));
    let exported = export.to_ova_on_datastore(&store, "exported/web.ova").await.unwrap();
    let after = lab.left().await;
    assert_eq!((after.vms, after.running), (before.vms, before.running));
    assert_eq!(names(&store).await, ["[DC0_DS1] exported", "[DC0_DS1] exported/web.ova"]);

    let mut bytes = Vec::new();
    store.download("exported/web.ova").to_writer(&mut bytes).await.unwrap();
    let found = members(&bytes);
    let members: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(members, ["web.ovf", "web.mf", "web-disk-1.vmdk", "web-disk-2.vmdk", "web-nvram-1.nvram"]);
    assert!(found[2].1 == disks[0] && found[3].1 == disks[1]);
    assert_eq!(exported.files[0].checksum, sha256(&disks[0]));
    for (file, (name, content)) in exported.files.iter().zip(&found[2..]) {
        assert_eq!((&file.name, file.bytes, file.checksum), (name, content.len() as u64, sha256(content)));
    }
    // The manifest holds for the descriptor and all files.
    let manifest = String::from_utf8(found[1].1.clone()).unwrap();
    assert_eq!(manifest.lines().count(), 4);
    for line in manifest.lines() {
        let (file, digest) = line.strip_prefix("SHA256(").unwrap().split_once(")= ").unwrap();
        let (_, content) = found.iter().find(|(name, _)| name == file).unwrap();
        assert_eq!(sum("SHA256", content), digest, "{line}");
    }
    // The progress grows, and its end is known once all has been fetched.
    let last = *told.lock().unwrap().last().unwrap();
    assert_eq!(last.total, Some(last.bytes));
    assert!(told.lock().unwrap().is_sorted_by_key(|progress| progress.bytes));

    let ovf = lab.client.open_ovf(&OvfSource::on_datastore(&store, "exported/web.ova")).await.unwrap();
    let again = ovf.deployment("again").all_networks("VM Network").start().await.unwrap();
    assert!(again.verified);
    assert_eq!(crate::deploy::contents(&lab, "again").await, [sha256(&disks[0]), sha256(&disks[1])]);

    // No file is replaced; the name of another datastore is none of this one.
    let error = vm.ovf_export().to_ova_on_datastore(&store, "exported/web.ova").await.unwrap_err();
    assert!(error.code() == "invalid_state" && error.to_string().contains("is there already"), "{error}");
    let error = vm.ovf_export().to_ova_on_datastore(&store, "[DC0_DS0] web.ova").await.unwrap_err();
    assert_eq!(error.code(), "invalid_argument", "{error}");
    assert_eq!(vm.ovf_export().to_datastore(&store, "[DC0_DS0] web").await.unwrap_err().code(), "invalid_argument");
    assert_eq!(vm.ovf_export().to_ova_on_datastore(&store, "").await.unwrap_err().code(), "invalid_argument");
}

#[tokio::test]
async fn an_archive_on_a_datastore_that_fails_or_is_given_up_leaves_nothing() {
    let lab = Lab::new().await;
    let (vm, _) = machine(&lab).await;
    let store: Mo<Datastore> = lab.client.get("DC0_DS1").await.unwrap();
    let before = lab.left().await;
    let until_gone = async || {
        while names(&store).await != ["[DC0_DS1] exported"] {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        until_nothing_is_left(&lab.client, &before).await;
    };
    for method in ["CreateDescriptor", "HttpNfcLeaseComplete", "MoveDatastoreFile_Task"] {
        lab.sim.trouble(Trouble::none().fail(method, "InvalidState", 1));
        let error = vm.ovf_export().to_ova_on_datastore(&store, "exported/web.ova").await.unwrap_err();
        assert!(error.is_fault("InvalidState"), "{method}: {error}");
        until_gone().await;
    }
    // The server does not let the folder go at first.
    lab.sim.trouble(Trouble::none().fail("CreateDescriptor", "InvalidState", 1).fail(
        "DeleteDatastoreFile_Task",
        "FileLocked",
        1,
    ));
    vm.ovf_export().to_ova_on_datastore(&store, "exported/web.ova").await.unwrap_err();
    until_gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_others_make_in_its_place_meanwhile_stays() {
    let lab = Lab::new().await;
    let (vm, _) = machine(&lab).await;
    let store: Mo<Datastore> = lab.client.get("DC0_DS1").await.unwrap();
    let other = store.clone();
    let export = vm.ovf_export().on_progress(move |progress| {
        if progress.total == Some(progress.bytes) {
            let theirs = futures::stream::iter([Ok(bytes::Bytes::from_static(b"theirs"))]);
            let upload = other.upload("exported/web.ova").from_stream(theirs, 6);
            tokio::task::block_in_place(|| Handle::current().block_on(upload)).unwrap();
        }
    });
    let error = export.to_ova_on_datastore(&store, "exported/web.ova").await.unwrap_err();
    assert!(error.is_fault("FileAlreadyExists"), "{error}");
    let mut bytes = Vec::new();
    store.download("exported/web.ova").to_writer(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"theirs");
}

#[tokio::test]
async fn an_export_that_fails_or_is_given_up_leaves_no_file() {
    let lab = Lab::new().await;
    let (vm, _) = machine(&lab).await;
    let before = lab.left().await;
    // One of its files is there: it stays as it is, and the others go.
    lab.scratch.put("web 7-disk-2.vmdk", b"mine");
    let error = vm.ovf_export().to_directory(lab.scratch.path("")).await.unwrap_err();
    assert_eq!(error.code(), "file", "{error}");
    assert!(error.to_string().contains("web 7-disk-2.vmdk"), "{error}");
    assert_eq!(lab.scratch.names(), ["web 7-disk-2.vmdk"]);
    assert_eq!(std::fs::read(lab.scratch.path("web 7-disk-2.vmdk")).unwrap(), b"mine");
    assert_eq!(lab.left().await, before);
    std::fs::remove_file(lab.scratch.path("web 7-disk-2.vmdk")).unwrap();
    for method in ["CreateDescriptor", "HttpNfcLeaseComplete"] {
        lab.sim.trouble(Trouble::none().fail(method, "InvalidState", 1));
        vm.ovf_export().to_ova(local(&lab), "web.ova").await.unwrap_err();
        assert!(lab.scratch.names().is_empty(), "{method}: {:?}", lab.scratch.names());
        until_nothing_is_left(&lab.client, &before).await;
    }
    // Given up while a disk comes.
    let ovf = lab.open(&with_disks(&[disk(1, 1 << 20)])).await.unwrap();
    let large = ovf.deployment("large").all_networks("VM Network").start().await.unwrap();
    std::fs::remove_file(lab.scratch.path("appliance.ova")).unwrap();
    let large: Mo<VirtualMachine> = lab.client.get(&large.vm.id).await.unwrap();
    let store: Mo<Datastore> = lab.client.get("DC0_DS1").await.unwrap();
    let before = lab.left().await;
    for to in ["directory", "datastore", "archive"] {
        let begun = Arc::new(Notify::new());
        let notify = Arc::clone(&begun);
        let export = large.ovf_export().on_progress(move |_| notify.notify_one());
        let work = async {
            match to {
                "datastore" => export.to_datastore(&store, "given-up").await,
                "archive" => export.to_ova_on_datastore(&store, "given-up.ova").await,
                _ => export.to_directory(lab.scratch.path("")).await,
            }
        };
        tokio::select! {
            ended = work => panic!("it has ended already: {ended:?}"),
            () = begun.notified() => {}
        }
        assert!(lab.scratch.names().is_empty(), "{:?}", lab.scratch.names());
        until_nothing_is_left(&lab.client, &before).await;
    }
    let pieces: Vec<bytes::Bytes> = match store.download("given-up/large.ovf").stream().await {
        Ok(stream) => stream.try_collect().await.unwrap(),
        Err(_) => Vec::new(),
    };
    assert!(pieces.is_empty());
    assert_eq!(simple().files.len(), 1);
}

#[tokio::test]
#[ignore = "needs govc: cargo xtask peers"]
async fn peers_govc_imports_an_archive_that_was_made_on_a_datastore() {
    let lab = Lab::new().await;
    let (vm, disks) = machine(&lab).await;
    let store: Mo<Datastore> = lab.client.get("DC0_DS1").await.unwrap();
    // govc compares all files with the manifest, by the sums that a lease gives unasked.
    let export = vm.ovf_export().named("web").manifest(Algorithm::Sha1);
    export.to_ova_on_datastore(&store, "web.ova").await.unwrap();
    let (user, password) = (Model::USER.replace('@', "%40"), Model::PASSWORD.replace('!', "%21"));
    let url = lab.sim.url().replace("://", &format!("://{user}:{password}@"));
    let local = lab.scratch.path("web.ova");
    let local = local.to_str().unwrap();
    peers::govc_run(&url, &["datastore.download", "-ds", "DC0_DS1", "web.ova", local]).await.unwrap();
    let pool = "/DC0/host/DC0_C0/Resources";
    let import = ["import.ova", "-m", "-name", "by-govc", "-pool", pool, "-ds", "DC0_DS1", local];
    peers::govc_run(&url, &import).await.unwrap();
    assert_eq!(crate::deploy::contents(&lab, "by-govc").await, [sha256(&disks[0]), sha256(&disks[1])]);
}
