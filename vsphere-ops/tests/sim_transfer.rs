//! Files of datastores with the simulated vCenter.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
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
    // A file is no folder.
    let error = send(store.upload("plain.bin/a.bin"), &content).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    client.logout().await.unwrap();
}

/// A proxy that leads every tunnel to `to`, and keeps which servers were asked for.
async fn proxy_to(to: std::net::SocketAddr) -> (String, Arc<Mutex<BTreeSet<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let kept = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if client.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                kept.lock().unwrap().insert(head.split(" HTTP").next().unwrap().to_owned());
                let mut server = TcpStream::connect(to).await.unwrap();
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn the_server_and_its_hosts_are_reached_by_the_proxy() {
    let sim = Sim::start(Model::sized(Size { vms: 0, ..Size::default() })).await.unwrap();
    let address = sim.url().trim_start_matches("https://").trim_end_matches("/sdk").parse().unwrap();
    let (proxy, asked) = proxy_to(address).await;
    // A name that only the proxy knows.
    let config = Config::new("vc.example.com")
        .user(Model::USER)
        .password(Model::PASSWORD)
        .thumbprint(&sim.thumbprint().unwrap().to_string())
        .proxies(|name| (name == "HTTPS_PROXY").then(|| proxy.clone()));
    assert_eq!(config.proxy_in_use().unwrap().as_deref(), Some(proxy.as_str()));
    let client = Client::connect(config).await.unwrap();
    let store = client.get::<Datastore>("DC0_DS0").await.unwrap();
    let host = client.get::<HostSystem>("DC0_C0_H0").await.unwrap();
    send(store.upload("a.bin"), b"content").await.unwrap();
    assert_eq!(fetch(store.download("a.bin")).await.unwrap(), b"content");
    assert_eq!(fetch(store.download_via(&host, "a.bin")).await.unwrap(), b"content");
    client.logout().await.unwrap();
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked, BTreeSet::from(["CONNECT vc.example.com:443".to_owned()]));
}
