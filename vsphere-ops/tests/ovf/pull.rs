//! Files that the host fetches by itself, and what becomes of a deployment where it can't.

use std::sync::{Arc, Mutex};

use vsphere_ops::Mo;
use vsphere_ops::managed::{Datastore, HttpNfcLease};
use vsphere_ops::ovf::{Ovf, OvfSource};
use vsphere_ops::transfer::Lease;
use vsphere_ops::types::HttpNfcLeaseSourceFile;
use vsphere_sim::Trouble;

use crate::deploy::contents;
use crate::package::{Lab, Package, archive, disk, model, sha256, simple, until_nothing_is_left, with_disks};
use crate::sources::{Gives, web};

const PULL: &str = "HttpNfcLeasePullFromUrls_Task";

/// A package that is put onto a datastore.
async fn on_datastore(lab: &Lab, package: &Package) -> Ovf {
    let store: Mo<Datastore> = lab.client.get("DC0_DS1").await.unwrap();
    let all = match package.as_ova {
        true => vec![("a.ova".to_owned(), archive(&package.all()))],
        false => package.all(),
    };
    let first = all[0].0.clone();
    for (name, content) in all {
        let local = lab.scratch.put(&name, &content);
        store.upload(format!("my packages/{name}")).from_file(local).await.unwrap();
    }
    lab.client.open_ovf(&OvfSource::on_datastore(&store, format!("my packages/{first}"))).await.unwrap()
}

/// A package on a web server; what that was asked for.
async fn on_web(lab: &Lab, content: Vec<u8>, gives: Gives) -> (Ovf, Arc<Mutex<Vec<String>>>) {
    let (address, asked) = web(vec![("a.ova".to_owned(), content)], gives).await;
    let hosts = "http://127.0.0.0/8".parse().unwrap();
    let source = OvfSource::on_web(&lab.client, &format!("http://{address}/a.ova?key=5"), &hosts).unwrap();
    (lab.client.open_ovf(&source).await.unwrap(), asked)
}

#[tokio::test]
async fn a_host_fetches_what_is_on_a_datastore() {
    for manifest in [None, Some("SHA1"), Some("SHA256")] {
        for as_ova in [true, false] {
            let lab = Lab::new().await;
            let disks = [disk(1, 700_000), disk(2, 90_000)];
            let package = Package { manifest, as_ova, ..with_disks(&disks) };
            let ovf = on_datastore(&lab, &package).await;
            let read = lab.sim.calls(PULL);
            let told = Arc::new(Mutex::new(Vec::new()));
            let listener = Arc::clone(&told);
            let deployment = ovf.deployment("a").all_networks("VM Network");
            let deployed = deployment.on_progress(move |it| listener.lock().unwrap().push(it)).start().await.unwrap();
            assert_eq!((read, lab.sim.calls(PULL), lab.sim.calls("ImportVApp")), (0, 1, 1));
            assert!(deployed.verified == manifest.is_some() && deployed.warnings.is_empty(), "{deployed:?}");
            assert_eq!(contents(&lab, "a").await, [sha256(&disks[0]), sha256(&disks[1])]);
            assert_eq!(told.lock().unwrap().last().unwrap().bytes, 790_000);
            assert_eq!(lab.sim.calls("HttpNfcLeaseSetManifestChecksumType"), u64::from(manifest == Some("SHA256")));
        }
    }
}

#[tokio::test]
async fn a_lease_tells_which_servers_its_host_reaches() {
    let lab = Lab::new().await;
    let (vm, _) = crate::export::machine(&lab).await;
    let (address, _) = web(vec![("a.ova".to_owned(), b"content".to_vec())], Gives::All).await;
    // A server that was there: nobody listens at its address any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let held = Lease::ready(&lab.client, &vm.export_vm().await.unwrap(), &|_| ()).await.unwrap();
    let lease: HttpNfcLease = lab.client.raw(&held.info().lease);
    let disk = held.devices().iter().find(|device| device.disk == Some(true)).unwrap();
    let source = |url: String| HttpNfcLeaseSourceFile {
        target_device_id: disk.import_key.clone(),
        url,
        create: false,
        ..Default::default()
    };
    let files = [
        source(format!("http://{address}/a.ova")),
        // It answers, whatever it says.
        source(format!("http://{address}/none.ova")),
        source(format!("http://{gone}/a.ova")),
    ];
    let probed = lease.http_nfc_lease_probe_urls(&files, Some(10)).await.unwrap();
    assert_eq!(probed.iter().map(|one| one.server_accessible).collect::<Vec<_>>(), [true, true, false]);
    let wrong = HttpNfcLeaseSourceFile { target_device_id: "none".into(), ..source(format!("http://{address}/")) };
    let error = lease.http_nfc_lease_probe_urls(&[wrong], None).await.unwrap_err();
    assert!(error.to_string().contains("targetDeviceId"), "{error}");
    held.abort().await;
    assert!(lease.http_nfc_lease_probe_urls(&files, None).await.is_err(), "the lease has ended");
}

#[tokio::test]
async fn a_host_fetches_from_a_web_server_at_an_address_without_the_session() {
    let lab = Lab::new().await;
    let package = simple();
    let (ovf, asked) = on_web(&lab, archive(&package.all()), Gives::All).await;
    let deployed = ovf.deployment("a").all_networks("VM Network").start().await.unwrap();
    assert!(deployed.verified && deployed.warnings.is_empty(), "{deployed:?}");
    assert_eq!(lab.sim.calls(PULL), 1);
    assert_eq!(contents(&lab, "a").await, [sha256(&package.files[0].content)]);
    let asked = asked.lock().unwrap().clone();
    let whole: Vec<&String> = asked.iter().filter(|head| !head.to_ascii_lowercase().contains("range:")).collect();
    assert_eq!(whole.len(), 1, "{asked:?}");
    assert!(whole[0].contains("/a.ova?key=5") && !whole[0].to_ascii_lowercase().contains("cookie"), "{asked:?}");
}

#[tokio::test]
async fn what_a_host_cannot_fetch_is_sent_by_this_computer() {
    // The host is refused what this computer gets.
    let lab = Lab::new().await;
    let package = simple();
    let (ovf, _) = on_web(&lab, archive(&package.all()), Gives::PartsAlone).await;
    let deployed = ovf.deployment("a").all_networks("VM Network").start().await.unwrap();
    assert!(deployed.verified && deployed.warnings.len() == 1, "{deployed:?}");
    assert!(deployed.warnings[0].contains("503"), "{deployed:?}");
    // Of the first lease nothing is left: there is one VM with the name.
    let calls = ["ImportVApp", PULL, "HttpNfcLeaseAbort", "HttpNfcLeaseComplete"].map(|method| lab.sim.calls(method));
    assert_eq!(calls, [2, 1, 1, 1]);
    assert_eq!(contents(&lab, "a").await, [sha256(&package.files[0].content)]);

    // The server refuses the call itself, and the one before it.
    for method in [PULL, "HttpNfcLeaseSetManifestChecksumType", "HttpNfcLeaseGetManifest"] {
        let lab = Lab::new().await;
        let ovf = on_datastore(&lab, &package).await;
        lab.sim.trouble(Trouble::none().fail(method, "NotSupported", 1));
        let deployed = ovf.deployment("a").all_networks("VM Network").start().await.unwrap();
        assert!(deployed.verified && deployed.warnings.len() == 1, "{method}: {deployed:?}");
        assert_eq!(contents(&lab, "a").await, [sha256(&package.files[0].content)], "{method}");
    }
}

#[tokio::test]
async fn what_a_host_fetched_is_compared_with_the_manifest() {
    let lab = Lab::new().await;
    let before = lab.left().await;
    // A byte in the middle of the disk is another than when the manifest was written.
    let package = simple();
    let mut all = package.all();
    let content = &mut all.last_mut().unwrap().1;
    let middle = content.len() / 2;
    content[middle] ^= 1;
    let (ovf, _) = on_web(&lab, archive(&all), Gives::All).await;
    let error = ovf.deployment("a").all_networks("VM Network").start().await.unwrap_err();
    assert!(error.code() == "corrupt" && error.to_string().contains("appliance-disk1.vmdk"), "{error}");
    // The host had it, and was not believed.
    assert_eq!((lab.sim.calls(PULL), lab.sim.calls("HttpNfcLeaseComplete")), (1, 0));
    until_nothing_is_left(&lab.client, &before).await;
}

#[tokio::test]
async fn a_pull_that_is_given_up_leaves_nothing() {
    let lab = Lab::new().await;
    let before = lab.left().await;
    let (ovf, _) = on_web(&lab, archive(&with_disks(&[disk(1, 4 << 20)]).all()), Gives::Hangs).await;
    let deployment = ovf.deployment("a").all_networks("VM Network").start();
    let begun = async {
        while lab.sim.calls(PULL) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = deployment => panic!("it has ended already: {ended:?}"),
        () = begun => {}
    }
    until_nothing_is_left(&lab.client, &before).await;
    assert_eq!(lab.sim.calls("HttpNfcLeaseAbort"), 1);
}

#[tokio::test]
async fn a_pull_whose_session_ends_is_not_tried_in_another_way() {
    let lab = Lab::new().await;
    let before = lab.left().await;
    let (ovf, _) = on_web(&lab, archive(&with_disks(&[disk(1, 4 << 20)]).all()), Gives::Hangs).await;
    let sim = Arc::clone(&lab.sim);
    let ends = async move {
        while sim.calls(PULL) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        sim.end_sessions();
    };
    let (ended, ()) = tokio::join!(ovf.deployment("a").all_networks("VM Network").start(), ends);
    assert!(ended.is_err());
    assert_eq!(lab.sim.calls("ImportVApp"), 1);
    until_nothing_is_left(&lab.client, &before).await;
}

#[tokio::test]
async fn only_what_a_host_can_check_and_the_server_offers_is_pulled() {
    // A server that does not offer it.
    let lab = Lab::of(model().pull_mode(false)).await;
    let ovf = on_datastore(&lab, &simple()).await;
    let deployed = ovf.deployment("a").all_networks("VM Network").start().await.unwrap();
    assert!(deployed.warnings.is_empty() && lab.sim.calls(PULL) == 0);
    // Checksums that it does not compute, and a package of this computer.
    let lab = Lab::new().await;
    let ovf = on_datastore(&lab, &Package { manifest: Some("SHA512"), ..simple() }).await;
    ovf.deployment("a").all_networks("VM Network").start().await.unwrap();
    let ovf = lab.open(&simple()).await.unwrap();
    ovf.deployment("b").all_networks("VM Network").start().await.unwrap();
    assert_eq!(lab.sim.calls(PULL), 0);
}
