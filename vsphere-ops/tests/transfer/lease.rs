//! Leases: kept alive, ended in every case, and only for the host that vCenter named.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use vsphere_ops::Client;
use vsphere_ops::transfer::Lease;
use vsphere_ops::types::{ManagedObjectReference, OvfFileItem};

use crate::server::{Answer, Server, connect, file, operation, soap, vcenter};

/// A vCenter with a lease that gets ready, for one file at `url`.
async fn with_lease(url: &str, thumbprint: &str, disk: bool, timeout: i32) -> (Server, Client) {
    let device = format!(
        "<deviceUrl><key>/vm-1/disk-0</key><importKey>i</importKey><url>{url}</url><sslThumbprint>{thumbprint}</sslThumbprint><disk>{disk}</disk></deviceUrl>"
    );
    let info = format!(
        r#"<lease type="HttpNfcLease">lease-1</lease><entity type="VirtualMachine">vm-1</entity>{device}<totalDiskCapacityInKB>1</totalDiskCapacityInKB><leaseTimeout>{timeout}</leaseTimeout>"#
    );
    let asked = AtomicUsize::new(0);
    let server = Server::plain(move |request| {
        if operation(&String::from_utf8_lossy(&request.body)) != "WaitForUpdatesEx" {
            return vcenter(request).unwrap_or_else(|| file(b"from vCenter"));
        }
        let change = |name: &str, value: &str| format!("<changeSet><name>{name}</name><op>assign</op>{value}</changeSet>");
        let state = |state: &str| change("state", &format!(r#"<val xsi:type="HttpNfcLeaseState">{state}</val>"#));
        let changes = match asked.fetch_add(1, Ordering::Relaxed) {
            0 => state("initializing") + &change("initializeProgress", r#"<val xsi:type="xsd:int">40</val>"#),
            _ => state("ready") + &change("info", &format!(r#"<val xsi:type="HttpNfcLeaseInfo">{info}</val>"#)),
        };
        soap(
            "WaitForUpdatesEx",
            &format!(
                r#"<returnval><version>1</version><filterSet><filter type="PropertyFilter">f-1</filter><objectSet><kind>modify</kind><obj type="HttpNfcLease">lease-1</obj>{changes}</objectSet></filterSet></returnval>"#
            ),
        )
    })
    .await;
    let client = connect(&server).await;
    (server, client)
}

async fn ready(client: &Client) -> vsphere_ops::Result<Lease> {
    Lease::ready(client, &ManagedObjectReference::new("HttpNfcLease", "lease-1"), &|_| ()).await
}

/// The start of a disk that a lease takes.
fn disk(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes[..9].copy_from_slice(b"KDMV\x03\0\0\0\x01");
    bytes[10] = 3;
    bytes[77] = 1;
    bytes
}

fn whole(bytes: Vec<u8>) -> impl futures::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    stream::iter([Ok(Bytes::from(bytes))])
}

#[tokio::test]
async fn a_lease_is_waited_for_used_and_completed() {
    let host = Server::tls(|_| Answer::Body(200, "text/plain", Vec::new())).await;
    let (vcenter, client) =
        with_lease(&format!("{}/nfc/52/disk-0.vmdk", host.address), &host.thumbprint, true, 300).await;
    let percents = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&percents);
    let reference = ManagedObjectReference::new("HttpNfcLease", "lease-1");
    let lease = Lease::ready(&client, &reference, &move |p| told.lock().unwrap().push(p)).await.unwrap();
    assert_eq!((lease.entity().value.as_str(), percents.lock().unwrap().as_slice()), ("vm-1", &[40][..]));
    lease.upload(&lease.devices()[0]).from_stream(whole(disk(5000)), 5000).await.unwrap();
    lease.complete().await.unwrap();

    let request = host.requests().pop().unwrap();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/nfc/52/disk-0.vmdk"));
    assert_eq!(request.header("content-type"), "application/x-vnd.vmware-streamVmdk");
    assert_eq!(request.header("overwrite"), "", "a disk is not there before");
    // The session is vCenter's, and none of the host's business.
    assert_eq!((request.header("cookie"), request.body.len()), ("", 5000));
    assert_eq!((vcenter.count("HttpNfcLeaseComplete"), vcenter.count("DestroyPropertyCollector")), (1, 1));
    drop(client);
    vcenter.wait_for("Logout").await;
    assert_eq!(vcenter.count("HttpNfcLeaseAbort"), 0);
}

#[tokio::test]
async fn pitfall_16_a_star_in_a_lease_is_the_connected_server() {
    let (vcenter, client) = with_lease("https://*/nfc/52/disk-0.vmdk", "", true, 300).await;
    let lease = ready(&client).await.unwrap();
    let mut out = Vec::new();
    lease.download(&lease.devices()[0]).to_writer(&mut out).await.unwrap();
    assert_eq!(out, b"from vCenter");
    assert_eq!(vcenter.requests().pop().unwrap().path, "/nfc/52/disk-0.vmdk");
    lease.abort().await;
}

#[tokio::test]
async fn pitfall_21_only_the_certificate_that_the_lease_names_is_accepted() {
    let host = Server::tls(|_| file(b"secret")).await;
    let other = host.thumbprint.replace(['0', '1', '2'], "3");
    let (vcenter, client) = with_lease(&format!("{}/nfc/52/disk-0.vmdk", host.address), &other, true, 300).await;
    let lease = ready(&client).await.unwrap();
    let error = lease.download(&lease.devices()[0]).stream().await.unwrap_err();
    assert!(error.to_string().contains("its thumbprint is not the pinned one"), "{error}");
    assert!(host.requests().is_empty());
    assert_eq!(vcenter.count("HttpNfcLeaseAbort"), 1);
}

#[tokio::test]
async fn pitfall_20_a_lease_whose_transfer_fails_is_aborted_before_the_error_is_told() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc";
    let host = Server::tls(|request| match request.method.as_str() {
        "GET" => Answer::Raw(cut.to_vec()),
        _ => Answer::Body(500, "text/plain", b"disk full".to_vec()),
    })
    .await;
    let url = format!("{}/nfc/52/disk-0.vmdk", host.address);
    let (vcenter, client) = with_lease(&url, &host.thumbprint, true, 300).await;
    let lease = ready(&client).await.unwrap();
    let error = lease.upload(&lease.devices()[0]).from_stream(whole(disk(500)), 500).await.unwrap_err();
    assert!(
        error.to_string().starts_with("upload \"disk-0.vmdk\": ") && error.to_string().contains("disk full"),
        "{error}"
    );
    assert_eq!(vcenter.count("HttpNfcLeaseAbort"), 1);
    drop(lease);

    let (vcenter, client) = with_lease(&url, &host.thumbprint, true, 300).await;
    let lease = ready(&client).await.unwrap();
    let mut stream = lease.download(&lease.devices()[0]).stream().await.unwrap();
    while let Some(Ok(_)) = stream.next().await {}
    vcenter.wait_for("HttpNfcLeaseAbort").await;
    drop((stream, lease, client));
    vcenter.wait_for("Logout").await;
    assert_eq!(vcenter.count("HttpNfcLeaseAbort"), 1, "aborted once");
}

#[tokio::test]
async fn pitfall_20_a_lease_that_is_dropped_or_cancelled_is_aborted() {
    let host = Server::tls(|_| Answer::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc".to_vec())).await;
    let url = format!("{}/nfc/52/disk-0.vmdk", host.address);
    let (vcenter, client) = with_lease(&url, &host.thumbprint, true, 300).await;
    drop(ready(&client).await.unwrap());
    vcenter.wait_for("HttpNfcLeaseAbort").await;

    // The abort is given up before it is sent: the runtime has one thread.
    let (vcenter, client) = with_lease(&url, &host.thumbprint, true, 300).await;
    let mut abort = Box::pin(ready(&client).await.unwrap().abort());
    assert!(futures::poll!(abort.as_mut()).is_pending());
    drop(abort);
    vcenter.wait_for("HttpNfcLeaseAbort").await;

    // The transfer is given up, the lease itself is still there.
    let (vcenter, client) = with_lease(&url, &host.thumbprint, true, 300).await;
    let lease = ready(&client).await.unwrap();
    let mut out = Vec::new();
    let download = lease.download(&lease.devices()[0]).to_writer(&mut out);
    assert!(tokio::time::timeout(Duration::from_millis(500), download).await.is_err());
    vcenter.wait_for("HttpNfcLeaseAbort").await;

    // Given up while the server gets it ready.
    let server = Server::plain(|request| match operation(&String::from_utf8_lossy(&request.body)).as_str() {
        "WaitForUpdatesEx" => Answer::Stall(Vec::new()),
        _ => vcenter_or_nothing(request),
    })
    .await;
    let client = connect(&server).await;
    assert!(tokio::time::timeout(Duration::from_millis(500), ready(&client)).await.is_err());
    server.wait_for("HttpNfcLeaseAbort").await;
    server.wait_for("DestroyPropertyCollector").await;
}

fn vcenter_or_nothing(request: &crate::server::Request) -> Answer {
    vcenter(request).unwrap_or_else(|| file(b""))
}

#[tokio::test]
async fn pitfall_19_a_lease_is_kept_alive_by_a_timer_while_a_disk_is_on_its_way() {
    let host = Server::tls(|_| Answer::Body(200, "text/plain", Vec::new())).await;
    let (vcenter, client) =
        with_lease(&format!("{}/nfc/52/disk-0.vmdk", host.address), &host.thumbprint, true, 1).await;
    let lease = ready(&client).await.unwrap();
    lease.expect_bytes(2000);
    let halves = stream::iter([disk(1000), vec![0; 1000]]).then(|half| async {
        tokio::time::sleep(Duration::from_millis(800)).await;
        Ok(Bytes::from(half))
    });
    lease.upload(&lease.devices()[0]).from_stream(halves.boxed(), 2000).await.unwrap();
    let told: Vec<String> = vcenter
        .operations()
        .into_iter()
        .filter(|(name, _)| name == "HttpNfcLeaseProgress")
        .map(|(_, body)| body)
        .collect();
    assert!(told.len() >= 2, "{}", told.len());
    assert!(
        told.iter().any(|body| body.contains("<percent>0<")) && told.iter().any(|body| body.contains("<percent>50<")),
        "{told:?}"
    );
    lease.complete().await.unwrap();
    let done = vcenter.count("HttpNfcLeaseProgress");
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(vcenter.count("HttpNfcLeaseProgress"), done, "nobody goes on after the end");
}

#[tokio::test]
async fn pitfall_22_another_kind_of_disk_is_refused_unsent() {
    let host = Server::tls(|_| Answer::Body(200, "text/plain", Vec::new())).await;
    let url = format!("{}/nfc/52/disk-0.vmdk", host.address);
    let (vcenter, client) = with_lease(&url, &host.thumbprint, true, 300).await;
    let lease = ready(&client).await.unwrap();
    let flat = lease.upload(&lease.devices()[0]).from_stream(whole(vec![0; 4096]), 4096).await.unwrap_err();
    assert_eq!(flat.code(), "invalid_argument", "{flat}");
    assert!(flat.to_string().contains("streamOptimized"), "{flat}");
    assert!(host.requests().is_empty());
    assert_eq!(vcenter.count("HttpNfcLeaseAbort"), 1);

    // What is no disk goes as it is.
    let (_vcenter, client) = with_lease(&url, &host.thumbprint, false, 300).await;
    let lease = ready(&client).await.unwrap();
    lease.upload(&lease.devices()[0]).from_stream(whole(vec![0; 10]), 10).await.unwrap();
    let request = host.requests().pop().unwrap();
    assert_eq!((request.method.as_str(), request.header("overwrite")), ("PUT", "t"));
}

#[tokio::test]
async fn what_the_descriptor_says_counts_more_than_what_the_lease_says() {
    let host = Server::tls(|_| Answer::Body(200, "text/plain", Vec::new())).await;
    let url = format!("{}/nfc/52/file-1.iso", host.address);
    let (_vcenter, client) = with_lease(&url, &host.thumbprint, true, 300).await;
    let lease = ready(&client).await.unwrap();
    let item = OvfFileItem { create: true, ..Default::default() };
    lease.upload_item(&lease.devices()[0], &item).from_stream(whole(vec![0; 10]), 10).await.unwrap();
    let request = host.requests().pop().unwrap();
    assert_eq!((request.method.as_str(), request.header("overwrite")), ("PUT", "t"));
    let item = OvfFileItem { create: false, ..Default::default() };
    let error = lease.upload_item(&lease.devices()[0], &item).from_stream(whole(vec![0; 10]), 10).await.unwrap_err();
    assert!(error.to_string().contains("streamOptimized"), "{error}");
}

#[tokio::test]
async fn a_ticket_that_is_not_good_any_more_is_told_and_not_shown() {
    for status in [401, 404] {
        let host = Server::tls(move |request| {
            Answer::Body(status, "text/plain", format!("no such URL: {}", request.path).into_bytes())
        })
        .await;
        let url = format!("{}/nfc/52f0c0ffee/disk-0.vmdk", host.address);
        let (_vcenter, client) = with_lease(&url, &host.thumbprint, true, 300).await;
        let lease = ready(&client).await.unwrap();
        let download = lease.download(&lease.devices()[0]);
        let shown = format!("{download:?}");
        let error = download.stream().await.unwrap_err();
        assert_eq!(error.code(), "invalid_state", "{error}");
        assert!(error.to_string().contains("was used already, has expired"), "{error}");
        assert!(!format!("{error} {error:?} {shown}").contains("c0ffee"), "{error:?} {shown}");
    }
}

#[tokio::test]
async fn a_host_that_is_not_reached_is_named_with_its_port() {
    // Nobody listens there any more.
    let host = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (vcenter, client) = with_lease(&format!("https://{host}/nfc/52/disk-0.vmdk"), "", true, 300).await;
    let lease = ready(&client).await.unwrap();
    let error = lease.upload(&lease.devices()[0]).from_stream(whole(disk(500)), 500).await.unwrap_err();
    assert!(error.to_string().contains(&host.to_string()), "{error}");
    assert_eq!(vcenter.count("HttpNfcLeaseAbort"), 1);
}
