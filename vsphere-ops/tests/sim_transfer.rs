//! Files of datastores with the simulated vCenter.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use bytes::Bytes;
use futures::stream;
use vsphere_ops::managed::{Datastore, HostSystem};
use vsphere_ops::transfer::{Download, Upload};
use vsphere_ops::{Client, Config};
use vsphere_sim::{Model, Sim, Size};

async fn connect(sim: &Sim) -> Client {
    let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
    Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap()
}

async fn send(upload: Upload, content: &[u8]) -> vsphere_ops::Result<()> {
    let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::copy_from_slice(content))]);
    let sent = upload.from_stream(pieces, content.len() as u64).await?;
    assert_eq!(sent.bytes, content.len() as u64);
    Ok(())
}

async fn fetch(download: Download) -> vsphere_ops::Result<Vec<u8>> {
    let mut content = Vec::new();
    download.to_writer(&mut content).await?;
    Ok(content)
}

#[tokio::test]
async fn files_go_both_ways_through_the_server_and_through_a_host() {
    let sim = Sim::start(Model::sized(Size { vms: 0, ..Size::default() })).await.unwrap();
    let client = connect(&sim).await;
    let store = client.get::<Datastore>("DC0_DS0").await.unwrap();
    let host = client.get::<HostSystem>("DC0_C0_H0").await.unwrap();
    let content: Vec<u8> = (0..700_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for name in ["plain.bin", "a b+c&d.bin", "50%.bin"] {
        send(store.upload(name), &content).await.unwrap();
        assert!(fetch(store.download(format!("[DC0_DS0] {name}"))).await.unwrap() == content, "{name}");
        send(store.upload_via(&host, name), &content[1..]).await.unwrap();
        assert!(fetch(store.download_via(&host, name)).await.unwrap() == content[1..], "{name}");
    }
    let error = fetch(store.download("none.bin")).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    let error = send(store.upload("none/a.bin"), &content).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    client.logout().await.unwrap();
}
