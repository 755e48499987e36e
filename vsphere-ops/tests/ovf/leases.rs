//! Leases on the simulated vCenter: they outlive a slow upload, and end without a client.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use vsphere_ops::managed::{Datacenter, Datastore, HttpNfcLease, OvfManager, ResourcePool, datacenter};
use vsphere_ops::transfer::Lease;
use vsphere_ops::types::{ManagedObjectReference, OvfCreateImportSpecParams, OvfNetworkMapping, Poly};

use crate::package::{Lab, disk, model, property, simple, until_nothing_is_left};

/// Has the simulator open a lease, as any client does.
async fn import(lab: &Lab, name: &str) -> ManagedObjectReference {
    let client = &lab.client;
    let manager: OvfManager = client.raw(client.content().ovf_manager.as_ref().unwrap());
    let pool = client.get::<ResourcePool>("/DC0/host/DC0_C0/Resources").await.unwrap();
    let store = client.get::<Datastore>("DC0_DS0").await.unwrap();
    let network = client.get::<vsphere_ops::managed::Network>("VM Network").await.unwrap();
    let params = OvfCreateImportSpecParams {
        entity_name: name.to_owned(),
        network_mapping: vec![OvfNetworkMapping { name: "Front".into(), network: network.reference().clone() }],
        ..Default::default()
    };
    let descriptor = simple().descriptor;
    let made = manager.create_import_spec(&descriptor, pool.reference(), store.reference(), &Poly::new(params));
    let spec = made.await.unwrap().import_spec.unwrap();
    let folder = client.get::<Datacenter>("DC0").await.unwrap().read(datacenter::VM_FOLDER).await.unwrap();
    pool.import_v_app(&spec, Some(&folder), None).await.unwrap()
}

#[tokio::test]
async fn pitfall_19_a_lease_outlives_an_upload_that_takes_longer_than_its_time_out() {
    let lab = Lab::of(model().lease_timeout(Duration::from_secs(1))).await;
    let reference = import(&lab, "slow").await;
    let lease = Lease::ready(&lab.client, &reference, &|_| ()).await.unwrap();
    assert_eq!(lease.info().lease_timeout, 1);
    let content = disk(1, 30_000);
    let pieces: Vec<Bytes> = content.chunks(10_000).map(Bytes::copy_from_slice).collect();
    let slowly = stream::iter(pieces).then(|piece| async {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        Ok(piece)
    });
    let device = lease.devices().iter().find(|device| device.disk == Some(true)).unwrap();
    lease.upload(device).from_stream(slowly.boxed(), 30_000).await.unwrap();
    lease.complete().await.unwrap();
    assert!(lab.client.get::<vsphere_ops::managed::VirtualMachine>("slow").await.is_ok());
}

#[tokio::test]
async fn pitfall_20_a_lease_whose_client_is_gone_ends_at_its_time_out_with_its_vm() {
    let lab = Lab::of(model().lease_timeout(Duration::from_secs(1))).await;
    let before = lab.left().await;
    // As after a client that was killed: nobody tells of progress, completes or aborts.
    let reference = import(&lab, "orphan").await;
    assert_ne!(lab.left().await, before);
    until_nothing_is_left(&lab.client, &before).await;
    let state = property(&lab.client, &reference, "state").await;
    assert_eq!(state.as_str(), Some("error"));
    let lease: HttpNfcLease = lab.client.raw(&reference);
    let error = vsphere_ops::Error::from(lease.http_nfc_lease_complete().await.unwrap_err());
    assert!(error.is_fault("InvalidState"), "{error}");
}

#[tokio::test]
async fn pitfall_20_a_lease_ends_with_its_session() {
    let lab = Lab::new().await;
    let before = lab.left().await;
    import(&lab, "orphan").await;
    lab.sim.end_sessions();
    until_nothing_is_left(&lab.client, &before).await;
}
