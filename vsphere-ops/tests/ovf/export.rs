//! Packages that are made of VMs.

use std::io::Read as _;
use std::sync::Arc;

use futures::TryStreamExt as _;
use tokio::sync::Notify;
use vsphere_ops::Mo;
use vsphere_ops::managed::{Datastore, VirtualMachine};
use vsphere_ops::ovf::{Directory, OvfSource};
use vsphere_ops::snapshot::NewSnapshot;
use vsphere_ops::transfer::Algorithm;
use vsphere_sim::Trouble;

use crate::package::{Lab, disk, sha256, simple, sum, until_nothing_is_left, with_disks};

/// A VM with two disks, and the contents of these.
async fn machine(lab: &Lab) -> (Mo<VirtualMachine>, [Vec<u8>; 2]) {
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
    let bytes = read("one.ova");
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut members = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        members.push((entry.path().unwrap().display().to_string(), content));
    }
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
    for to_datastore in [false, true] {
        let begun = Arc::new(Notify::new());
        let notify = Arc::clone(&begun);
        let export = large.ovf_export().on_progress(move |_| notify.notify_one());
        let work = async {
            match to_datastore {
                true => export.to_datastore(&store, "given-up").await,
                false => export.to_directory(lab.scratch.path("")).await,
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
