//! Transfers against servers that behave, and ones that do not.

#![allow(clippy::unwrap_used, reason = "a panic is how a test and its helpers fail")]

mod lease;
mod server;
mod web;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use server::{Answer, Server, connect, file, object, operation, reference, soap, text, vcenter};
use vsphere_ops::managed::{Datastore, HostSystem, VirtualMachine};
use vsphere_ops::transfer::{Algorithm, Checksum};
use vsphere_ops::{Client, Mo};

const STORE: &str = "/Lab/DC0/datastore/ds 1";
const ABC_SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const ABC_SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";

/// A folder that goes away with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A vCenter whose files are answered for by a test.
async fn vcenter_with(answer: impl Fn(&server::Request) -> Answer + Send + Sync + 'static) -> Server {
    Server::plain(move |request| vcenter(request).unwrap_or_else(|| answer(request))).await
}

async fn store(server: &Server) -> (Client, Mo<Datastore>) {
    let client = connect(server).await;
    let store = client.get::<Datastore>(STORE).await.unwrap();
    (client, store)
}

#[tokio::test]
async fn a_file_is_fetched_from_its_datacenter_with_the_session() {
    let body = vec![9; 700_000];
    let answer = body.clone();
    let vcenter = vcenter_with(move |_| file(&answer)).await;
    let (_client, store) = store(&vcenter).await;
    let scratch = Scratch::new("fetched");
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let download = store.download("iso/a b.iso").on_progress(move |p| listener.lock().unwrap().push(p));
    let done = download.to_file(scratch.file("a.iso")).await.unwrap();
    assert_eq!((done.bytes, std::fs::read(scratch.file("a.iso")).unwrap()), (700_000, body));
    assert_eq!(scratch.names(), ["a.iso"]);
    let last = *told.lock().unwrap().last().unwrap();
    assert_eq!((last.bytes, last.total, last.percent()), (700_000, Some(700_000), Some(100)));
    let request = vcenter.requests().into_iter().rfind(|request| request.method == "GET").unwrap();
    assert_eq!(request.path, "/folder/iso/a%20b.iso?dcPath=Lab%2FDC0&dsName=ds%201");
    assert_eq!(request.header("cookie"), "vmware_soap_session=5a1b");
}

#[tokio::test]
async fn every_way_out_gives_the_same_bytes_and_checksum() {
    let vcenter = vcenter_with(|_| file(b"abc")).await;
    let (_client, store) = store(&vcenter).await;
    let mut stream = store.download("[ds 1] a").stream().await.unwrap();
    assert_eq!((stream.length(), stream.checksum()), (Some(3), None));
    assert_eq!(&stream.next().await.unwrap().unwrap()[..], b"abc");
    assert!(stream.next().await.is_none());
    assert_eq!(stream.checksum().unwrap().to_string(), ABC_SHA256);

    let mut out = Vec::new();
    let done = store.download("a").algorithm(Algorithm::Sha1).to_writer(&mut out).await.unwrap();
    assert_eq!((&out[..], done.checksum.unwrap().to_string().as_str()), (&b"abc"[..], ABC_SHA1));
    let done = store.download("a").without_checksum().to_writer(&mut out).await.unwrap();
    assert_eq!((out.len(), done.checksum), (6, None));
}

#[tokio::test]
async fn what_fails_leaves_no_file_and_does_not_touch_an_older_one() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc";
    let wrong: Checksum = ABC_SHA256.replace('b', "c").parse().unwrap();
    for (answer, code, says) in [
        (
            Box::new(move || Answer::Raw(cut.to_vec())) as Box<dyn Fn() -> Answer + Send + Sync>,
            "connection",
            "cut after 3 bytes",
        ),
        (Box::new(|| Answer::Body(404, "text/html", b"<h1>gone</h1>".to_vec())), "not_found", "no such file"),
        (Box::new(|| Answer::Body(403, "text/plain", Vec::new())), "permission", "may not access"),
        (
            Box::new(|| Answer::Body(500, "text/html", b"<h1>datastore is down</h1>".to_vec())),
            "connection",
            "datastore is down",
        ),
        (
            Box::new(|| Answer::Body(200, "text/html", b"<h1>Index of a</h1>".to_vec())),
            "protocol",
            "a page, not with a file",
        ),
        (Box::new(|| file(b"abc")), "corrupt", ABC_SHA256),
    ] {
        let vcenter = vcenter_with(move |_| answer()).await;
        let (_client, store) = store(&vcenter).await;
        let scratch = Scratch::new(code);
        std::fs::write(scratch.file("a"), "older").unwrap();
        let error = store.download("a").expect(wrong).to_file(scratch.file("a")).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.to_string().starts_with("download \"[ds 1] a\": "), "{error}");
        assert_eq!((std::fs::read(scratch.file("a")).unwrap(), scratch.names().len()), (b"older".to_vec(), 1));
    }
}

#[tokio::test]
async fn a_download_that_is_given_up_leaves_no_part() {
    let vcenter = vcenter_with(|_| Answer::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc".to_vec())).await;
    let (_client, store) = store(&vcenter).await;
    let scratch = Scratch::new("given-up");
    let download = store.download("a").to_file(scratch.file("a"));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(500), download).await.is_err());
    for _ in 0..200 {
        if scratch.names().is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{:?}", scratch.names());
}

#[tokio::test]
async fn files_and_streams_are_sent_whole() {
    let vcenter = vcenter_with(|_| Answer::Body(201, "text/plain", Vec::new())).await;
    let (_client, store) = store(&vcenter).await;
    let scratch = Scratch::new("sent");
    let body: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    std::fs::write(scratch.file("a"), &body).unwrap();
    let sent = store.upload("iso/a").from_file(scratch.file("a")).await.unwrap();
    let request = vcenter.requests().pop().unwrap();
    assert_eq!((request.method.as_str(), request.header("content-length")), ("PUT", "1000000"));
    assert!(request.body == body && sent.bytes == 1_000_000);

    let expected = ABC_SHA256.parse().unwrap();
    let sent = store.upload("a").expect(expected).from_stream(letters(), 3).await.unwrap();
    assert_eq!((sent.checksum, vcenter.requests().pop().unwrap().body), (Some(expected), b"abc".to_vec()));
    let sent = store.upload("a").without_checksum().from_stream(stream::empty(), 0).await.unwrap();
    assert_eq!((sent.bytes, sent.checksum), (0, None));
}

fn letters() -> impl futures::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    stream::iter(["a", "b", "c"].map(|letter| Ok(Bytes::from_static(letter.as_bytes()))))
}

#[tokio::test]
async fn the_server_gets_no_complete_file_that_is_not_the_expected_one() {
    let vcenter = vcenter_with(|_| Answer::Body(201, "text/plain", Vec::new())).await;
    let (_client, store) = store(&vcenter).await;
    let wrong: Checksum = ABC_SHA1.replace('a', "b").parse().unwrap();
    let error = store.upload("a").expect(wrong).from_stream(letters(), 3).await.unwrap_err();
    assert_eq!(error.code(), "corrupt", "{error}");
    let scratch = Scratch::new("unexpected");
    std::fs::write(scratch.file("a"), "abc").unwrap();
    let error = store.upload("a").expect(wrong).from_file(scratch.file("a")).await.unwrap_err();
    assert_eq!(error.code(), "corrupt", "{error}");
    assert!(vcenter.requests().iter().all(|request| request.method != "PUT" || !request.complete));
    let error = store.upload("a").from_file(scratch.file("none")).await.unwrap_err();
    assert_eq!(error.code(), "file", "{error}");
}

#[tokio::test]
async fn many_transfers_at_once_do_not_mix() {
    let vcenter = vcenter_with(|request| file(request.path.as_bytes())).await;
    let (_client, store) = store(&vcenter).await;
    let transfers = (0..20).map(|n| {
        let store = store.clone();
        async move {
            let mut out = Vec::new();
            store.download(format!("dir/{n}")).to_writer(&mut out).await.unwrap();
            assert!(String::from_utf8(out).unwrap().starts_with(&format!("/folder/dir/{n}?")));
        }
    });
    futures::future::join_all(transfers).await;
}

#[tokio::test]
async fn paths_that_lead_elsewhere_are_refused_unsent() {
    let vcenter = vcenter_with(|_| file(b"")).await;
    let (_client, store) = store(&vcenter).await;
    for path in ["../sdk", "[other] a", "", "[ds 1]", "a/../../b"] {
        let error = store.download(path).stream().await.unwrap_err();
        assert_eq!(error.code(), "invalid_argument", "{path}: {error}");
    }
    assert!(vcenter.requests().iter().all(|request| !request.path.starts_with("/folder")));
}

#[tokio::test]
async fn pitfall_16_a_guest_file_is_on_the_connected_server_for_a_star_and_else_on_its_host() {
    let host = Server::tls(|_| file(b"from the host")).await;
    let thumbprint = host.thumbprint.clone();
    let vcenter = Server::plain(move |request| {
        let asked = String::from_utf8_lossy(&request.body).into_owned();
        let answer = |kind: &str, id: &str, property: (&str, &str)| {
            soap("RetrievePropertiesEx", &format!("<returnval>{}</returnval>", object(kind, id, &[property])))
        };
        match () {
            () if operation(&asked) == "RetrievePropertiesEx" && asked.contains("runtime.host") => {
                answer("VirtualMachine", "vm-1", ("runtime.host", &reference("HostSystem", "host-1")))
            }
            () if operation(&asked) == "RetrievePropertiesEx" => {
                answer("HostSystem", "host-1", ("summary.config.sslThumbprint", &text(&thumbprint)))
            }
            () => vcenter(request).unwrap_or_else(|| file(b"from vCenter")),
        }
    })
    .await;
    let client = connect(&vcenter).await;
    let vm = client.get::<VirtualMachine>("/DC0/vm/web").await.unwrap();
    for (url, expected) in [
        ("https://*:443/guestFile?id=1&token=hunter2".to_owned(), "from vCenter"),
        (format!("{}/guestFile?id=1&token=hunter2", host.address), "from the host"),
    ] {
        let mut out = Vec::new();
        vm.download_guest_file(url.clone()).to_writer(&mut out).await.unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert!(!format!("{:?}", vm.download_guest_file(url)).contains("hunter2"));
    }
    let request = host.requests().pop().unwrap();
    assert_eq!((request.path.as_str(), request.header("cookie")), ("/guestFile?id=1&token=hunter2", ""));
}

#[tokio::test]
async fn a_ticket_opens_the_way_to_a_host_and_the_session_stays_at_home() {
    let host = Server::tls(|request| file(request.path.as_bytes())).await;
    let authority = host.address.trim_start_matches("https://").to_owned();
    let thumbprint = host.thumbprint.clone();
    let vcenter = Server::plain(move |request| {
        let asked = String::from_utf8_lossy(&request.body).into_owned();
        match operation(&asked).as_str() {
            "AcquireGenericServiceTicket" => {
                assert!(asked.contains("<method>httpGet</method>") && asked.contains("ha-datacenter"), "{asked}");
                let ticket = format!(
                    "<returnval><id>52a3</id><hostName>{authority}</hostName><sslThumbprint>{thumbprint}</sslThumbprint></returnval>"
                );
                soap("AcquireGenericServiceTicket", &ticket)
            }
            "RetrievePropertiesEx" if asked.contains(">HostSystem<") => {
                let objects = object("HostSystem", "host-1", &[("name", &text("esx1.test"))]);
                soap("RetrievePropertiesEx", &format!("<returnval>{objects}</returnval>"))
            }
            _ => vcenter(request).unwrap_or_else(|| file(b"")),
        }
    })
    .await;
    let (client, store) = store(&vcenter).await;
    let esx = client.get::<HostSystem>("/Lab/DC0/host/esx1.test").await.unwrap();
    let mut out = Vec::new();
    store.download_via(&esx, "a b").to_writer(&mut out).await.unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "/folder/a%20b?dcPath=ha-datacenter&dsName=ds%201");
    assert_eq!(host.requests().pop().unwrap().header("cookie"), "vmware_cgi_ticket=52a3");
}
