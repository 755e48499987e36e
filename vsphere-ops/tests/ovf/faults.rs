//! What can go wrong: the error names object and cause, and nothing is left behind.

use std::sync::Arc;

use tokio::sync::Notify;
use vsphere_ops::ovf::{Deployment, Ovf, OvfSource};
use vsphere_ops::placement::Placement;
use vsphere_sim::{Model, Role, Trouble};

use crate::deploy::appliance;
use crate::package::{
    File, Lab, Package, Parts, archive, connect, declared, disk, left, model, network, simple, until_nothing_is_left,
    with_disks,
};

/// Deploys a package that can't be, and holds that nothing is left behind.
async fn refused(package: &Package, code: &str, says: &[&str], ask: impl FnOnce(Deployment) -> Deployment) {
    let lab = Lab::new().await;
    refused_on(&lab, package, code, says, ask).await;
}

async fn refused_on(
    lab: &Lab,
    package: &Package,
    code: &str,
    says: &[&str],
    ask: impl FnOnce(Deployment) -> Deployment,
) {
    let before = lab.left().await;
    let deployed = async {
        let ovf: Ovf = lab.open(package).await?;
        ask(ovf.deployment("web-7")).start().await
    };
    let error = deployed.await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    for word in says {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert_eq!(lab.left().await, before, "{text}");
}

fn to_network(deployment: Deployment) -> Deployment {
    deployment.all_networks("VM Network")
}

#[tokio::test]
async fn questions_of_a_package_are_answered_before_anything_is_sent() {
    let package = appliance();
    let full = |deployment: Deployment| {
        deployment
            .accept_eulas()
            .all_networks("VM Network")
            .property("net.hostname", "gw")
            .property("net.secret", "correct horse")
    };
    refused(&package, "invalid_argument", &["gateway.ova", "licence was not accepted"], |it| it).await;
    refused(&package, "invalid_argument", &["Inside, Outside", "networks"], |it| {
        it.accept_eulas().property("net.hostname", "gw").property("net.secret", "correct horse")
    })
    .await;
    refused(&package, "invalid_argument", &["no network \"Front\", only Inside, Outside"], |it| {
        full(it).network("Front", "VM Network")
    })
    .await;
    refused(&package, "not_found", &["nowhere"], |it| full(it).network("Inside", "nowhere")).await;
    refused(&package, "invalid_argument", &["\"net.hostname\" needs a value (string(1..15))", "net.secret"], |it| {
        it.accept_eulas().all_networks("VM Network")
    })
    .await;
    refused(&package, "invalid_argument", &["no property \"net.host\"", "the package has net.hostname"], |it| {
        full(it).property("net.host", "x")
    })
    .await;
    refused(&package, "invalid_argument", &["\"net.workers\" does not fit: it must be between 1 and 64"], |it| {
        full(it).property("net.workers", "65")
    })
    .await;
    refused(&package, "invalid_argument", &["\"net.debug\" is hidden"], |it| full(it).property("net.debug", "on"))
        .await;
    refused(&package, "not_found", &["\"huge\"", "only the deployment options small, large"], |it| {
        full(it).option("huge")
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_does_not_fit_is_not_shown() {
    let lab = Lab::new().await;
    let ovf = lab.open(&appliance()).await.unwrap();
    let deployment = ovf.deployment("gw").accept_eulas().all_networks("VM Network");
    let deployment = deployment.property("net.hostname", "gw").property("net.secret", "hunter2");
    let shown = format!("{deployment:?}");
    let error = deployment.start().await.unwrap_err();
    assert!(error.to_string().contains("at least 8 characters"), "{error}");
    assert!(!format!("{error} {error:?} {shown}").contains("hunter2"), "{error:?}");
}

/// The package with one file changed.
fn with(package: Package, change: impl FnOnce(&mut Vec<u8>)) -> Package {
    let mut package = package;
    change(&mut package.files[0].content);
    package
}

#[tokio::test]
async fn files_that_are_wrong_are_refused_before_a_vm_is_made() {
    let says_streams = &["appliance-disk1.vmdk", "streamOptimized"];
    let flat = with_disks(&[vec![0; 4096]]);
    refused(&flat, "invalid_argument", says_streams, to_network).await;
    let descriptor = with_disks(&[b"# Disk DescriptorFile\nversion=1\n".to_vec()]);
    refused(&descriptor, "invalid_argument", says_streams, to_network).await;
    refused(&with_disks(&[Vec::new()]), "invalid_argument", says_streams, to_network).await;
    // Shorter than the descriptor says.
    let cut = with(simple(), |content| content.truncate(200_000));
    refused(&cut, "corrupt", &["appliance-disk1.vmdk", "200000 bytes, and 300000"], to_network).await;
    let missing = Package { files: Vec::new(), ..simple() };
    refused(&missing, "not_found", &["appliance-disk1.vmdk", "not in the archive"], to_network).await;
    let missing = Package { files: Vec::new(), ..simple() }.beside_its_files();
    refused(&missing, "not_found", &["appliance-disk1.vmdk", "no such file"], to_network).await;
    let packed = Package {
        descriptor: simple().descriptor.replace("ovf:id=\"file1\"", "ovf:id=\"file1\" ovf:compression=\"bzip2\""),
        manifest: None,
        ..simple()
    };
    refused(&packed, "unsupported", &["appliance-disk1.vmdk", "bzip2"], to_network).await;
    let packed = Package {
        descriptor: simple().descriptor.replace("ovf:id=\"file1\"", "ovf:id=\"file1\" ovf:compression=\"gzip\""),
        manifest: None,
        ..simple()
    };
    refused(&packed, "file", &["appliance-disk1.vmdk", "can't be unpacked"], to_network).await;
    let vapp = Package {
        descriptor: simple()
            .descriptor
            .replace("<VirtualSystem ", "<VirtualSystemCollection ovf:id=\"all\"><Info/><VirtualSystem ")
            .replace("</VirtualSystem>", "</VirtualSystem></VirtualSystemCollection>"),
        ..simple()
    };
    refused(&vapp, "unsupported", &["vApp of several VMs (appliance)"], to_network).await;
    let hardware = Package {
        descriptor: simple().descriptor.replace(
            "</VirtualHardwareSection>",
            "<Item><rasd:InstanceID>99</rasd:InstanceID><rasd:ResourceType>99</rasd:ResourceType></Item></VirtualHardwareSection>",
        ),
        ..simple()
    };
    refused(&hardware, "invalid_argument", &["appliance.ova", "Unsupported hardware type '99'"], to_network).await;
}

/// A package whose manifest is that of other files.
fn with_manifest(package: Package, change: impl FnOnce(String) -> String) -> Vec<u8> {
    let manifest = change(package.manifest_text().unwrap());
    let mut all = package.all();
    all[1].1 = manifest.into_bytes();
    archive(&all)
}

#[tokio::test]
async fn a_manifest_that_does_not_fit_ends_the_deployment() {
    let lab = Lab::new().await;
    let before = lab.left().await;
    let digest = |text: &str, of: &str| text.lines().find(|line| line.contains(of)).unwrap()[..].to_owned();
    let other = |text: String| {
        // The last line is that of the disk; its last digit changes.
        let line = digest(&text, "disk1");
        let last = if line.ends_with('0') { "1" } else { "0" };
        text.replace(&line, &format!("{}{last}", &line[..line.len() - 1]))
    };
    let ova = lab.scratch.put("a.ova", &with_manifest(simple(), other));
    let ovf = lab.client.open_ovf(&OvfSource::file(&ova)).await.unwrap();
    let error = ovf.deployment("a").all_networks("VM Network").start().await.unwrap_err();
    assert_eq!(error.code(), "corrupt", "{error}");
    assert!(error.to_string().contains("appliance-disk1.vmdk") && error.to_string().contains("checksum"), "{error}");
    assert_eq!(lab.left().await, before);

    for (change, says) in [
        (
            Box::new(|text: String| text.replace("appliance.ovf", "other.ovf")) as Box<dyn Fn(String) -> String>,
            "no checksum of \"appliance.ovf\"",
        ),
        (Box::new(|text: String| text.replacen("= ", "= 00", 1)), "no whole checksum"),
        (Box::new(|_| "MD5(x)= 12".to_owned()), "neither SHA1"),
        (
            Box::new(|text: String| {
                let line = text.lines().next().unwrap().to_owned();
                text.replace(&line, &format!("SHA256(appliance.ovf)= {}", "0".repeat(64)))
            }),
            "and not 0000",
        ),
    ] {
        let ova = lab.scratch.put("b.ova", &with_manifest(simple(), change));
        let error = lab.client.open_ovf(&OvfSource::file(&ova)).await.unwrap_err();
        assert_eq!(error.code(), "corrupt", "{error}");
        assert!(error.to_string().contains(says), "{says}: {error}");
    }
    // A disk that the manifest has not.
    let without = |text: String| text.lines().filter(|line| !line.contains("disk1")).collect::<Vec<_>>().join("\n");
    let ova = lab.scratch.put("c.ova", &with_manifest(simple(), without));
    let ovf = lab.client.open_ovf(&OvfSource::file(&ova)).await.unwrap();
    let error = ovf.deployment("a").all_networks("VM Network").start().await.unwrap_err();
    assert!(error.to_string().contains("no checksum of \"appliance-disk1.vmdk\""), "{error}");
    assert_eq!(lab.left().await, before);
}

#[tokio::test]
async fn traps_in_archives_and_descriptors_are_refused_unopened() {
    let lab = Lab::new().await;
    let file = |name: &str, content: &[u8]| (name.to_owned(), content.to_vec());
    let good = simple();
    let with_descriptor = |text: &str| archive(&[file("a.ovf", text.as_bytes())]);
    let whole = archive(&good.all());
    let xxe = good.descriptor.replace("<Envelope", "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><Envelope");
    let href = |href: &str| good.descriptor.replace("appliance-disk1.vmdk", href);
    let two = [good.all(), vec![file("b.ovf", good.descriptor.as_bytes())]].concat();
    let mut link = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    link.append_link(&mut header, "a.ovf", "/etc/passwd").unwrap();
    for (bytes, says) in [
        (with_descriptor(&xxe), "document type"),
        (with_descriptor(&href("../../etc/passwd")), "leads out"),
        (with_descriptor(&href("/etc/passwd")), "absolute"),
        (with_descriptor(&href("https://evil.example/x.vmdk")), "URL"),
        (with_descriptor("<html>not found</html>"), "<html>"),
        (archive(&two), "two descriptors, appliance.ovf and b.ovf"),
        (archive(&[file("a.vmdk", b"x")]), "no descriptor"),
        (link.into_inner().unwrap(), "link"),
        (whole[..whole.len() / 2].to_vec(), "cut"),
        (vec![0xff; 2048], "no head of a file"),
    ] {
        let ova = lab.scratch.put("trap.ova", &bytes);
        let error = lab.client.open_ovf(&OvfSource::file(&ova)).await.unwrap_err();
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert!(["invalid_argument", "corrupt"].contains(&error.code()), "{error}");
    }
    let error = lab.client.open_ovf(&OvfSource::file(lab.scratch.path("none.ova"))).await.unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("none.ova"), "{error}");
    let error = lab.client.open_ovf(&OvfSource::file(lab.scratch.path(""))).await.unwrap_err();
    assert_eq!(error.code(), "file", "{error}");
}

#[tokio::test]
async fn what_the_server_refuses_leaves_nothing() {
    // Full before the machine is made, and full while the disk comes.
    let lab = Lab::new().await;
    lab.sim.fill_datastore("DC0_DS0", 1).unwrap();
    let on = |store: &'static str| {
        move |it: Deployment| to_network(it).placed(Placement { datastore: Some(store.into()), ..Default::default() })
    };
    refused_on(&lab, &simple(), "fault", &["DC0_DS0"], on("DC0_DS0")).await;
    lab.sim.fill_datastore("DC0_DS1", 600 << 10).unwrap();
    let large = with_disks(&[disk(1, 2 << 20)]);
    refused_on(&lab, &large, "connection", &["appliance-disk1.vmdk", "not enough space"], on("DC0_DS1")).await;

    let lab = Lab::new().await;
    let named = |it: Deployment| to_network(it);
    lab.open(&simple()).await.unwrap().deployment("web-7").all_networks("VM Network").start().await.unwrap();
    refused_on(&lab, &simple(), "fault", &["web-7"], named).await;
    let error = lab.open(&simple()).await.unwrap().deployment(" \t").start().await.unwrap_err();
    assert!(error.to_string().contains("name"), "{error}");

    let lab = Lab::new().await;
    for (method, fault) in [("CreateImportSpec", "InvalidState"), ("ImportVApp", "InsufficientResourcesFault")] {
        lab.sim.trouble(Trouble::none().fail(method, fault, 1));
        refused_on(&lab, &simple(), "fault", &[], to_network).await;
    }
    lab.sim.trouble(Trouble::none().fail("HttpNfcLeaseComplete", "InvalidState", 1));
    refused_on(&lab, &simple(), "fault", &["complete the lease"], to_network).await;
}

#[tokio::test]
async fn rights_on_the_pool_alone_are_not_enough() {
    // Everything at the place, and nothing in the folder.
    let model: Model = model()
        .user("importer@vsphere.local", "secret", Role::ReadOnly)
        .permission("importer@vsphere.local", "/DC0/host", Role::Administrator)
        .permission("importer@vsphere.local", "/DC0/datastore", Role::Administrator)
        .permission("importer@vsphere.local", "/DC0/network", Role::Administrator);
    let lab = Lab::of(model).await;
    let before = lab.left().await;
    let client = connect(&lab.sim, "importer@vsphere.local", "secret").await;
    let path = simple().write(&lab.scratch);
    let ovf = client.open_ovf(&OvfSource::file(path)).await.unwrap();
    let error = ovf.deployment("a").all_networks("VM Network").start().await.unwrap_err();
    assert_eq!(error.code(), "permission", "{error}");
    assert_eq!(left(&lab.client).await, before);
}

#[tokio::test]
async fn a_deployment_that_is_given_up_leaves_nothing() {
    let lab = Lab::new().await;
    let before = lab.left().await;
    let package = with_disks(&[disk(1, 1 << 20)]);
    let ovf = lab.open(&package).await.unwrap();
    let begun = Arc::new(Notify::new());
    let notify = Arc::clone(&begun);
    let deployment = ovf.deployment("a").all_networks("VM Network").on_progress(move |_| notify.notify_one());
    tokio::select! {
        ended = deployment.start() => panic!("it has ended already: {ended:?}"),
        () = begun.notified() => {}
    }
    until_nothing_is_left(&lab.client, &before).await;
    // Given up while the server still makes the VM.
    let slow = Lab::of(model().pace(0.2)).await;
    let before = slow.left().await;
    let ovf = slow.open(&simple()).await.unwrap();
    let deployment = ovf.deployment("a").all_networks("VM Network").start();
    assert!(tokio::time::timeout(std::time::Duration::from_millis(200), deployment).await.is_err());
    until_nothing_is_left(&slow.client, &before).await;
}

#[tokio::test]
async fn a_deployment_whose_session_ends_leaves_nothing() {
    let lab = Lab::new().await;
    let before = lab.left().await;
    let ovf = lab.open(&simple()).await.unwrap();
    let sim = Arc::clone(&lab.sim);
    let deployment = ovf.deployment("a").all_networks("VM Network").on_progress(move |_| sim.end_sessions());
    let error = deployment.start().await.unwrap_err();
    assert!(error.to_string().contains("lease"), "{error}");
    until_nothing_is_left(&lab.client, &before).await;
}

#[tokio::test]
async fn what_the_lease_has_no_place_for_is_named() {
    // Two files for one place: the second's device is another one by its key.
    let mut parts = Parts { networks: network("Front"), ..Parts::default() };
    parts.references = "<File ovf:href=\"a.vmdk\" ovf:id=\"file1\"/>".to_owned();
    parts.disks = declared(1, "file2");
    parts.hardware = crate::package::cpu_and_memory() + &crate::package::scsi() + &crate::package::disk_item(1);
    let file = File { name: "a.vmdk".to_owned(), content: disk(1, 1000) };
    let package = Package { name: "a", descriptor: parts.text(), files: vec![file], manifest: None, as_ova: true };
    refused(&package, "invalid_argument", &["file2"], |it| it).await;
}
