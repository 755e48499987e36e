//! Files up and down, with servers that cut, lie, stall or answer with pages.

#![allow(clippy::unwrap_used, reason = "a panic is how a test and its helpers fail")]

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use vsphere_soap::error::WaitingFor;
use vsphere_soap::http::{Download, FileCall, SendMethod, SessionCookie, Transport, TransportOptions};
use vsphere_soap::{Error, ErrorKind, Sent};
use wiremock::matchers::{body_string, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn transport(address: &str) -> Transport {
    let options = TransportOptions::new().read_timeout(Duration::from_millis(600));
    let options = options.connect_timeout(Duration::from_millis(600)).request_timeout(Duration::from_secs(5));
    Transport::new(address.parse().unwrap(), options).unwrap()
}

fn call() -> FileCall<'static> {
    FileCall::new("download", "/folder/a%20b.vmdk?dsName=x&token=hunter2").target("[x] a b.vmdk")
}

/// A server for one connection: reads the head of the request, then does `then` with the connection.
async fn raw_server<F>(then: impl FnOnce(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        // The body may come right behind.
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
        }
        then(stream).await;
    });
    address
}

async fn answers(bytes: &'static [u8], then: Duration) -> String {
    raw_server(move |mut stream| async move {
        stream.write_all(bytes).await.unwrap();
        tokio::time::sleep(then).await;
    })
    .await
}

async fn all(download: Download) -> Result<Vec<u8>, Error> {
    download
        .try_fold(Vec::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await
}

fn pieces(pieces: &[&'static str]) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::iter(pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_file_comes_with_its_length_and_mark_and_the_session_allows_it() {
    let server = MockServer::start().await;
    let body = vec![7; 300_000];
    Mock::given(method("GET"))
        .and(path("/folder/a%20b.vmdk"))
        .and(header("cookie", "vmware_soap_session=5a1b"))
        .respond_with(ResponseTemplate::new(200).set_body_bytes(body.clone()).insert_header("ETag", "\"v1\""))
        .mount(&server)
        .await;
    let transport = transport(&server.uri());
    transport.set_session_cookie(SessionCookie::new("5a1b").unwrap());
    let download = transport.download(call()).await.unwrap();
    assert_eq!((download.length(), download.etag(), download.received()), (Some(300_000), Some("\"v1\""), 0));
    assert_eq!(all(download).await.unwrap(), body);
}

#[tokio::test]
async fn a_ticket_goes_in_place_of_the_session_and_its_answer_does_not_touch_it() {
    let server = MockServer::start().await;
    Mock::given(header("cookie", "vmware_cgi_ticket=52a3"))
        .respond_with(ResponseTemplate::new(200).insert_header("Set-Cookie", "vmware_soap_session=other"))
        .mount(&server)
        .await;
    let transport = transport(&server.uri());
    transport.set_session_cookie(SessionCookie::new("5a1b").unwrap());
    all(transport.download(call().ticket(Some("52a3"))).await.unwrap()).await.unwrap();
    transport.upload(call().ticket(Some("52a3")), pieces(&["x"]), Some(1)).await.unwrap();
    assert_eq!(transport.session_cookie().unwrap().as_str(), "5a1b");
}

#[tokio::test]
async fn what_is_no_file_is_an_error_before_the_first_byte() {
    for (answer, text) in [
        (
            ResponseTemplate::new(404).set_body_raw("<h1>no such file</h1>", "text/html"),
            "HTTP 404 Not Found: \"no such file\"",
        ),
        (
            ResponseTemplate::new(302).insert_header("Location", "/ui/login?x=hunter2"),
            "it redirects to http://127.0.0.1",
        ),
        (ResponseTemplate::new(206).set_body_string("part"), "HTTP 206"),
        (
            ResponseTemplate::new(200).set_body_raw("<title>Index of x</title>", "text/html;charset=utf-8"),
            "with a page, not with a file: \"Index of x\"",
        ),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("GET")).respond_with(answer).mount(&server).await;
        let error = transport(&server.uri()).download(call()).await.unwrap_err();
        assert!(
            error.to_string().starts_with("download \"[x] a b.vmdk\": ") && error.to_string().contains(text),
            "{error}"
        );
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_page_that_was_asked_for_is_a_file() {
    let server = MockServer::start().await;
    let page = ResponseTemplate::new(200).set_body_raw("<p>x", "text/html");
    Mock::given(method("GET")).respond_with(page).mount(&server).await;
    let download = transport(&server.uri()).download(FileCall::new("download", "/folder/a.HTML?x")).await.unwrap();
    assert_eq!(all(download).await.unwrap(), b"<p>x");
}

#[tokio::test]
async fn a_cut_says_how_much_had_come() {
    // Closed in time or not: fewer bytes than announced are never a file.
    let address = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabcde", Duration::ZERO).await;
    let download = transport(&address).download(call()).await.unwrap();
    let error = all(download).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Interrupted { received: 5, .. }), "{error:?}");
    assert_eq!((error.sent(), error.target()), (Sent::Yes, Some("[x] a b.vmdk")));

    let chunked = answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", Duration::ZERO).await;
    let error = all(transport(&chunked).download(call()).await.unwrap()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Interrupted { received: 3, .. }), "{error:?}");
}

#[tokio::test]
async fn a_stalled_download_ends_and_a_slow_reader_does_not() {
    let address = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc", Duration::from_secs(20)).await;
    let mut download = transport(&address).download(call()).await.unwrap();
    assert_eq!(&download.next().await.unwrap().unwrap()[..], b"abc");
    // The time that the reader takes is its own.
    tokio::time::sleep(Duration::from_millis(800)).await;
    let start = Instant::now();
    let error = download.next().await.unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { waiting_for: WaitingFor::NextBytes, .. }), "{error:?}");
    assert!((Duration::from_millis(500)..Duration::from_secs(5)).contains(&start.elapsed()));
    assert!(download.next().await.is_none());
}

#[tokio::test]
async fn an_upload_carries_its_length_or_goes_in_chunks() {
    let server = MockServer::start().await;
    Mock::given(method("PUT"))
        .and(header("content-length", "6"))
        .and(body_string("abcdef"))
        .respond_with(ResponseTemplate::new(201))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(header("transfer-encoding", "chunked"))
        .and(body_string("abcdef"))
        .and(header("content-type", "application/x-vnd.vmware-streamVmdk"))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("PUT"))
        .and(header("overwrite", "t"))
        .and(body_string("image"))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("PUT"))
        .and(header("content-length", "0"))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;
    let transport = transport(&server.uri());
    transport.upload(call(), pieces(&["abc", "", "def"]), Some(6)).await.unwrap();
    let disk = call().method(SendMethod::Post).content_type("application/x-vnd.vmware-streamVmdk");
    transport.upload(disk, pieces(&["abc", "def"]), None).await.unwrap();
    transport.upload(call().method(SendMethod::Replace), pieces(&["image"]), Some(5)).await.unwrap();
    transport.upload(call(), pieces(&[]), Some(0)).await.unwrap();
}

#[tokio::test]
async fn a_source_that_fails_is_named_and_not_taken_for_the_server() {
    let server = MockServer::start().await;
    Mock::given(method("PUT")).respond_with(ResponseTemplate::new(201)).mount(&server).await;
    let transport = transport(&server.uri());
    let broken = pieces(&["abc"]).chain(stream::once(async { Err(io::Error::other("disk on fire")) }));
    let cases: [(_, Option<u64>, &str); 3] = [
        (broken.boxed(), Some(6), "disk on fire"),
        (pieces(&["abc"]).boxed(), Some(6), "3 bytes shorter"),
        (pieces(&["abc", "def"]).boxed(), Some(3), "longer than announced"),
    ];
    for (source, length, text) in cases {
        let error = transport.upload(call(), source, length).await.unwrap_err();
        let ErrorKind::Source(cause) = error.kind() else { panic!("{error:?}") };
        assert!(cause.to_string().contains(text), "{cause}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn an_upload_that_is_refused_early_says_why() {
    let address = raw_server(|mut stream| async move {
        let refusal = b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 9\r\n\r\ndisk full";
        stream.write_all(refusal).await.unwrap();
        // Goes on reading for a while, as servers do that want to be heard.
        let mut sink = vec![0; 64 << 10];
        while stream.read(&mut sink).await.unwrap_or(0) > 0 {}
    })
    .await;
    let endless = stream::repeat_with(|| Ok(Bytes::from(vec![0; 32 << 10])));
    let error = transport(&address).upload(call(), endless, None).await.unwrap_err();
    assert_eq!(error.status(), Some(507), "{error:?}");
    assert!(error.to_string().contains("disk full"), "{error}");
}

#[tokio::test]
async fn an_upload_ends_when_the_server_takes_nothing_and_not_while_the_source_is_slow() {
    let address = raw_server(|stream| async move {
        tokio::time::sleep(Duration::from_secs(20)).await;
        drop(stream);
    })
    .await;
    let endless = stream::repeat_with(|| Ok(Bytes::from(vec![0; 1 << 20])));
    let error = transport(&address).upload(call(), endless, None).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { waiting_for: WaitingFor::Taken, .. }), "{error:?}");

    let server = MockServer::start().await;
    Mock::given(body_string("ab")).respond_with(ResponseTemplate::new(201)).mount(&server).await;
    let slow = stream::unfold("ab".chars(), |mut left| async move {
        tokio::time::sleep(Duration::from_millis(900)).await;
        left.next().map(|c| (Ok(Bytes::from(c.to_string())), left))
    });
    transport(&server.uri()).upload(call(), slow, Some(2)).await.unwrap();
}

#[tokio::test]
async fn memory_stays_constant_as_the_server_sets_the_pace() {
    let taken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let given = Arc::clone(&taken);
    let address = raw_server(|stream| async move {
        tokio::time::sleep(Duration::from_secs(20)).await;
        drop(stream);
    })
    .await;
    let endless = stream::repeat_with(move || {
        given.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Bytes::from(vec![0; 64 << 10]))
    });
    transport(&address).upload(call(), endless, None).await.unwrap_err();
    // What the sockets of this machine hold, and no more: far from all that there is.
    let mib = taken.load(std::sync::atomic::Ordering::Relaxed) >> 4;
    assert!(mib < 32, "{mib} MiB were taken from the source");
}
