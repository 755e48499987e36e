//! The transport against servers that answer well, badly, slowly or not at all.

#![allow(clippy::unwrap_used, reason = "a panic is how a test and its helpers fail")]

use std::error::Error as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vsphere_soap::error::WaitingFor;
use vsphere_soap::http::{
    Call, Endpoint, Exchange, SessionCookie, Thumbprint, Transport, TransportOptions, Trust, Verb,
};
use vsphere_soap::operation_id::OperationId;
use vsphere_soap::{Cause, Error, ErrorKind, Sent};
use wiremock::matchers::{body_string, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const ENVELOPE: &str = "<?xml version=\"1.0\"?><Envelope><Body/></Envelope>";
const ACTION: &str = "urn:vim25/8.0.3.0";

fn transport(address: &str, options: TransportOptions) -> Transport {
    Transport::new(address.parse().unwrap(), options).unwrap()
}

fn call() -> Call<'static> {
    Call::new("list VMs", ACTION, "<question/>").target("/DC0/vm")
}

/// What comes of a call to a server that answers everything with `answer`.
async fn answered(answer: ResponseTemplate) -> Result<vsphere_soap::http::Answer, Error> {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    transport(&server.uri(), TransportOptions::new()).post(call()).await
}

async fn refused(answer: ResponseTemplate) -> Error {
    answered(answer).await.unwrap_err()
}

fn xml(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body, "text/xml; charset=utf-8")
}

fn html(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body, "text/html")
}

/// A server for one connection: reads the request, then does `then` with the connection.
async fn raw_server<F>(then: impl FnOnce(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"<question/>") {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
        }
        then(stream).await;
    });
    address
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 1000\r\n\r\n";

#[tokio::test]
async fn an_envelope_and_a_fault_are_answers() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/sdk"))
        .and(header("soapaction", ACTION))
        .and(header("content-type", "text/xml; charset=utf-8"))
        .and(header("user-agent", "inventory/7"))
        .and(body_string("<question/>"))
        .respond_with(xml(ENVELOPE))
        .expect(1)
        .mount(&server)
        .await;
    let transport = transport(&server.uri(), TransportOptions::new().user_agent("inventory/7"));
    let answer = transport.post(call()).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, ENVELOPE.as_bytes()));
    assert_eq!(answer.content_type.as_deref(), Some("text/xml; charset=utf-8"));
    assert!(!format!("{answer:?}").contains("Envelope"));

    let fault = answered(ResponseTemplate::new(500).set_body_raw(ENVELOPE, "application/soap+xml")).await.unwrap();
    assert_eq!(fault.status, 500);
    // Without a content type, the look of the body decides.
    let untyped = ResponseTemplate::new(200).set_body_bytes("<soapenv:Envelope xmlns:soapenv='x'/>");
    assert_eq!(answered(untyped).await.unwrap().content_type, None);
}

#[tokio::test]
async fn a_503_page_is_an_error_with_its_text() {
    let error = refused(html(503, "<html><title>503 Service Unavailable</title><p>The vpxd is\nstarting</p>")).await;
    assert_eq!(
        error.to_string(),
        "list VMs \"/DC0/vm\": the server answered HTTP 503 Service Unavailable: \
         \"503 Service Unavailable The vpxd is starting\""
    );
    assert_eq!((error.status(), error.sent(), error.is_retryable()), (Some(503), Sent::No, true));
    assert!(error.source().is_none());

    let error = refused(ResponseTemplate::new(503).set_body_string("no healthy upstream")).await;
    assert!(error.to_string().ends_with(": \"no healthy upstream\""), "{error}");

    let midway = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
    let error = refused(ResponseTemplate::new(503).set_body_string(midway)).await;
    assert_eq!(error.sent(), Sent::Maybe);
}

#[tokio::test]
async fn a_429_says_when_to_come_back() {
    let error = refused(ResponseTemplate::new(429).insert_header("Retry-After", "17")).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(17)));
    assert_eq!((error.sent(), error.is_retryable()), (Sent::No, true));
    assert!(error.to_string().ends_with("HTTP 429 Too Many Requests (try again in 17 s)"), "{error}");
}

#[tokio::test]
async fn an_empty_body_is_no_answer() {
    for empty in [xml(""), xml(" \n"), ResponseTemplate::new(200), ResponseTemplate::new(204)] {
        let error = refused(empty).await;
        let ErrorKind::NotSoap { host, .. } = error.kind() else { panic!("{error:?}") };
        assert_eq!(host, "127.0.0.1");
        assert!(error.to_string().contains("the answer is empty, not SOAP; is 127.0.0.1 a vCenter"), "{error}");
    }
    let error = refused(ResponseTemplate::new(500)).await;
    assert_eq!(error.status(), Some(500));
}

#[tokio::test]
async fn a_login_page_and_other_content_are_not_soap() {
    let error = refused(html(200, "<html><head><title>Sign in</title></head><form>…</form></html>")).await;
    assert_eq!(
        error.to_string(),
        "list VMs \"/DC0/vm\": the answer is \"text/html\", not SOAP: \"Sign in …\"; is 127.0.0.1 a vCenter or ESXi?"
    );
    assert_eq!((error.sent(), error.is_retryable()), (Sent::Maybe, false));

    for other in [
        ResponseTemplate::new(200).set_body_raw("{\"a\":1}", "application/json"),
        ResponseTemplate::new(200).set_body_raw(ENVELOPE, "application/octet-stream"),
        ResponseTemplate::new(200).set_body_bytes("<html>no content type</html>"),
    ] {
        let error = refused(other).await;
        assert!(matches!(error.kind(), ErrorKind::NotSoap { .. }), "{error:?}");
    }
    let error = refused(html(500, "<h1>boom</h1>")).await;
    assert_eq!((error.status(), error.sent()), (Some(500), Sent::Maybe));
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let server = MockServer::start().await;
    let location = "https://user:hunter2@vc.example.com/sdk?token=hunter2";
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(302).insert_header("Location", location))
        .expect(1)
        .mount(&server)
        .await;
    let error = transport(&server.uri(), TransportOptions::new()).post(call()).await.unwrap_err();
    assert!(error.to_string().contains("302 Found: \"it redirects to https://vc.example.com/sdk\""), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert_eq!(error.sent(), Sent::No);
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read() {
    let limited = |address: &str| transport(address, TransportOptions::new().max_body(100));
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(xml(&"x".repeat(101))).mount(&server).await;
    let error = limited(&server.uri()).post(call()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooLarge { limit: 100 }), "{error:?}");
    assert_eq!(error.sent(), Sent::Yes);

    // The same when the length is not announced.
    let unannounced = raw_server(async |mut stream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        for _ in 0..10_000 {
            if stream.write_all(b"10\r\n0123456789abcdef\r\n").await.is_err() {
                break;
            }
        }
    });
    let error = limited(&unannounced.await).post(call()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooLarge { limit: 100 }), "{error:?}");

    assert!(error.to_string().contains("larger than the limit of 100 bytes: ask for fewer objects"), "{error}");

    // The same when nobody says so, but the connection ends the answer.
    let until_the_end = raw_server(async |mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n").await.unwrap();
        for _ in 0..10_000 {
            if stream.write_all(b"0123456789abcdef").await.is_err() {
                break;
            }
        }
    });
    let error = limited(&until_the_end.await).post(call()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooLarge { limit: 100 }), "{error:?}");

    Mock::given(method("GET")).respond_with(xml(&"x".repeat(100))).mount(&server).await;
    assert_eq!(limited(&server.uri()).get("read", "/sdk/x", "*/*").await.unwrap().body.len(), 100);
}

fn packed(body: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// An answer that is compressed, whether that was asked for or not.
fn gzip(status: u16, content_type: &str, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("content-encoding", "gzip").set_body_raw(packed(body), content_type)
}

#[tokio::test]
async fn compressed_answers_are_asked_for_and_unpacked_up_to_the_limit() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(gzip(200, "text/xml", ENVELOPE)).mount(&server).await;
    let exactly = TransportOptions::new().max_body(ENVELOPE.len() as u64);
    let answer = transport(&server.uri(), exactly.clone()).post(call()).await.unwrap();
    assert_eq!(answer.body, ENVELOPE.as_bytes());
    let error = transport(&server.uri(), exactly.max_body(ENVELOPE.len() as u64 - 1)).post(call()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }), "{error:?}");
    let requests = server.received_requests().await.unwrap();
    assert!(requests.iter().all(|request| request.headers["accept-encoding"] == "gzip"));
}

#[tokio::test]
async fn the_page_of_a_gateway_is_quoted_unpacked() {
    let server = MockServer::start().await;
    let page = gzip(502, "text/html", "<html><body>no upstream</body></html>");
    Mock::given(method("POST")).respond_with(page).mount(&server).await;
    let error = transport(&server.uri(), TransportOptions::new()).post(call()).await.unwrap_err();
    assert!(error.to_string().contains("no upstream"), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_compressed_unasked_is_not_blown_up() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(gzip(200, "text/xml", ENVELOPE)).mount(&server).await;
    Mock::given(method("GET")).respond_with(gzip(200, "text/xml", ENVELOPE)).mount(&server).await;
    let plain = transport(&server.uri(), TransportOptions::new().compression(false));
    let error = plain.post(call()).await.unwrap_err();
    assert!(error.to_string().contains("compressed by gzip"), "{error}");
    let requests = server.received_requests().await.unwrap();
    assert!(requests.iter().all(|request| !request.headers.contains_key("accept-encoding")));
    let files = transport(&server.uri(), TransportOptions::new());
    let error = files.get("read", "/sdk/vimServiceVersions.xml", "*/*").await.unwrap_err();
    assert!(error.to_string().contains("compressed by gzip"), "{error}");
}

#[tokio::test]
async fn plain_http_has_no_certificate_to_pin() {
    let pin = Thumbprint::sha256_of(b"certificate");
    for trust in [Trust::Thumbprint(pin), Trust::CaPem(Vec::new()), Trust::CaFile("ca.pem".into())] {
        let options = TransportOptions::new().trust(trust);
        let error = Transport::new("http://127.0.0.1:1".parse().unwrap(), options.clone()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Config(_)), "{error:?}");
        assert!(error.to_string().contains("use https://"), "{error}");
        assert!(options.check(&"http://127.0.0.1:1".parse().unwrap()).is_err());
        assert!(options.check(&"https://127.0.0.1:1".parse().unwrap()).is_ok());
    }
}

#[tokio::test]
async fn a_cut_says_how_far_the_answer_came() {
    let in_body = raw_server(async |mut stream| {
        stream.write_all(HEAD).await.unwrap();
        stream.write_all(b"<Envelope>").await.unwrap();
    });
    let error = transport(&in_body.await, TransportOptions::new()).post(call()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Interrupted { received: 10, .. }), "{error:?}");
    let text = error.to_string();
    let expected = "list VMs \"/DC0/vm\": the connection was cut after 10 bytes of the answer: ";
    assert!(text.starts_with(expected) && text.len() > expected.len(), "{text}");
    assert_eq!((error.sent(), error.is_retryable()), (Sent::Yes, true));
    assert_eq!((error.cause(), error.source().is_none()), (Some(Cause::Cut), true));

    let before = raw_server(async |stream| drop(stream));
    let error = transport(&before.await, TransportOptions::new()).post(call()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Interrupted { received: 0, .. }), "{error:?}");
    assert_eq!((error.sent(), error.is_retryable()), (Sent::Maybe, true));
}

#[tokio::test]
async fn a_refused_connection_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = transport(&format!("http://{address}"), TransportOptions::new()).post(call()).await.unwrap_err();
    let why = "the connection was refused: nothing listens on that port";
    assert_eq!(error.to_string(), format!("list VMs \"/DC0/vm\": cannot connect to {address}: {why}"));
    assert_eq!((error.cause(), error.source().is_none()), (Some(Cause::Refused), true));
    assert_eq!((error.sent(), error.is_retryable()), (Sent::No, true));

    let options = TransportOptions::new().proxy(format!("http://{address}"));
    let error = transport("http://vc.example.com", options).post(call()).await.unwrap_err();
    let to = format!("cannot connect to vc.example.com:80 through the proxy http://{address}: ");
    assert!(error.to_string().contains(&to), "{error}");
    assert_eq!(error.cause(), Some(Cause::Proxy));
}

fn timeout_of(error: &Error) -> (Duration, WaitingFor) {
    let ErrorKind::Timeout { after, waiting_for } = error.kind() else { panic!("{error:?}") };
    assert!(error.is_timeout() && error.is_retryable());
    (*after, *waiting_for)
}

#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(xml(ENVELOPE).set_delay(Duration::from_secs(20))).mount(&server).await;
    let (own, default) = (Duration::from_millis(50), Duration::from_millis(100));
    let transport = transport(&server.uri(), TransportOptions::new().request_timeout(default));

    let start = Instant::now();
    let error = transport.post(call().deadline(own)).await.unwrap_err();
    assert_eq!((timeout_of(&error), error.sent()), ((own, WaitingFor::Answer), Sent::Maybe));
    let error = transport.post(call()).await.unwrap_err();
    assert_eq!(timeout_of(&error), (default, WaitingFor::Answer));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_stalled_answer_ends() {
    let stalled = raw_server(async |mut stream| {
        stream.write_all(HEAD).await.unwrap();
        stream.write_all(b"<").await.unwrap();
        // Holds the connection until the client leaves.
        let _ = stream.read_u8().await;
    });
    let idle = Duration::from_millis(50);
    let transport = transport(&stalled.await, TransportOptions::new().read_timeout(idle));
    let error = transport.post(call()).await.unwrap_err();
    assert_eq!((timeout_of(&error), error.sent()), ((idle, WaitingFor::NextBytes), Sent::Yes));
}

#[tokio::test]
async fn an_answer_that_drips_ends_at_the_deadline() {
    let dripping = raw_server(async |mut stream| {
        stream.write_all(HEAD).await.unwrap();
        while stream.write_all(b"<").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let transport = transport(&dripping.await, TransportOptions::new().read_timeout(Duration::from_secs(10)));
    let limit = Duration::from_millis(200);
    let error = transport.post(call().deadline(limit)).await.unwrap_err();
    assert_eq!(timeout_of(&error), (limit, WaitingFor::Answer));
}

#[tokio::test]
async fn an_error_page_that_stalls_does_not_hide_the_status() {
    let stalled = raw_server(async |mut stream| {
        let head = b"HTTP/1.1 503 Busy\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n<b>busy";
        stream.write_all(head).await.unwrap();
        let _ = stream.read_u8().await;
    });
    let transport = transport(&stalled.await, TransportOptions::new());
    let error = transport.post(call().deadline(Duration::from_millis(1500))).await.unwrap_err();
    assert_eq!(error.status(), Some(503));
    assert!(error.to_string().ends_with("\"busy\""), "{error}");
}

#[tokio::test]
async fn the_session_cookie_is_kept_and_sent() {
    let server = MockServer::start().await;
    let given = r#"vmware_soap_session="5a1b"; Path=/; HttpOnly; Secure"#;
    Mock::given(header("cookie", r#"vmware_soap_session="5a1b""#))
        .respond_with(xml(ENVELOPE))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(xml(ENVELOPE).append_header("Set-Cookie", "other=1").append_header("Set-Cookie", given))
        .up_to_n_times(1)
        .with_priority(9)
        .mount(&server)
        .await;
    let first = transport(&server.uri(), TransportOptions::new());
    let clone = first.clone();
    assert_eq!(first.session_cookie(), None);
    first.post(call()).await.unwrap();
    assert_eq!(clone.session_cookie().unwrap().as_str(), r#""5a1b""#);
    clone.post(call()).await.unwrap();

    clone.clear_session_cookie();
    assert_eq!(first.session_cookie(), None);
    first.set_session_cookie(SessionCookie::new("other").unwrap());
    assert_eq!(clone.session_cookie().unwrap().as_str(), "other");
    assert!(!format!("{first:?}").contains("other"));
}

#[tokio::test]
async fn a_login_wins_over_a_session_that_came_meanwhile() {
    for (login, expected) in [(call(), "meanwhile"), (call().opens_session(), "login")] {
        let (answer_now, wait) = tokio::sync::oneshot::channel::<()>();
        let server = raw_server(async move |mut stream| {
            wait.await.unwrap();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 11";
            let answer = format!("{head}\r\nSet-Cookie: vmware_soap_session=login\r\n\r\n<Envelope/>");
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let transport = transport(&server.await, TransportOptions::new());
        let meanwhile = async {
            transport.set_session_cookie(SessionCookie::new("meanwhile").unwrap());
            answer_now.send(()).unwrap();
        };
        let (answer, ()) = tokio::join!(transport.post(login), meanwhile);
        answer.unwrap();
        assert_eq!(transport.session_cookie().unwrap().as_str(), expected);
    }
}

#[tokio::test]
async fn a_port_without_http_is_said_to_be_one() {
    let ssh = raw_server(async |mut stream| {
        stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await.unwrap();
        let _ = stream.read_u8().await;
    });
    let transport = transport(&ssh.await, TransportOptions::new());
    let error = transport.post(call()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotSoap { .. }), "{error:?}");
    assert!(error.to_string().contains("not SOAP: \"not even HTTP: "), "{error}");
}

#[tokio::test]
async fn a_file_is_got_whatever_its_type() {
    let server = MockServer::start().await;
    let file = ResponseTemplate::new(200).set_body_raw("hello", "text/plain");
    Mock::given(method("GET"))
        .and(path("/folder/a%20b"))
        .and(header("accept", "text/*"))
        .respond_with(file)
        .mount(&server)
        .await;
    let transport = transport(&server.uri(), TransportOptions::new());
    assert_eq!(&transport.get("read", "/folder/a b", "text/*").await.unwrap().body[..], b"hello");
    let error = transport.get("read", "/none", "text/*").await.unwrap_err();
    assert_eq!((error.status(), error.operation(), error.sent()), (Some(404), "read", Sent::No));
}

#[tokio::test]
async fn the_version_is_negotiated_or_falls_back() {
    let known = ["7.0", "8.0.3.0"];
    let document = "<namespaces><namespace><name>urn:vim25</name><version>9.9</version>\
        <priorVersions><version>8.0.3.0</version></priorVersions></namespace></namespaces>";
    for (answer, expected) in [
        (xml(document), "8.0.3.0"),
        (xml(&document.replace("8.0.3.0", "8.8")), "6.0"),
        (ResponseTemplate::new(404), "6.0"),
        (html(200, "<html>Log in"), "6.0"),
        (ResponseTemplate::new(301).insert_header("Location", "/ui"), "6.0"),
        (xml(&"<!-- -->".repeat(200_000)), "6.0"),
    ] {
        let server = MockServer::start().await;
        Mock::given(path("/sdk/vimServiceVersions.xml")).respond_with(answer).expect(1).mount(&server).await;
        let transport = transport(&server.uri(), TransportOptions::new());
        assert_eq!(transport.negotiate_version(&known, "6.0").await.unwrap(), expected);
    }

    // A server that is starting must not be taken for an old one.
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(503)).mount(&server).await;
    let error = transport(&server.uri(), TransportOptions::new()).negotiate_version(&known, "6.0").await.unwrap_err();
    assert_eq!((error.status(), error.operation()), (Some(503), "negotiate the API version"));
    let closed: Endpoint = "http://127.0.0.1:1".parse().unwrap();
    let error = Transport::new(closed, TransportOptions::new()).unwrap().service_versions().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_named_without_their_secrets() {
    let endpoint: Endpoint = "http://127.0.0.1:1".parse().unwrap();
    for (options, word) in [
        (TransportOptions::new().proxy("ftp://root:hunter2@proxy"), "proxy address"),
        (TransportOptions::new().proxy("http://root:hunter2@"), "proxy address"),
        (TransportOptions::new().user_agent("a\nb"), "user agent"),
    ] {
        assert!(!format!("{options:?}").contains("hunter2"));
        let error = Transport::new(endpoint.clone(), options).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Config(_)), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    let transport = Transport::new(endpoint, TransportOptions::new()).unwrap();
    let error = transport.post(Call::new("login", "urn:\r\nX: y", "")).await.unwrap_err();
    assert!(error.to_string().contains("SOAP action"), "{error}");
}

#[tokio::test]
async fn bodies_stay_out_of_errors_and_debug() {
    let secret = "hunter2";
    let login = Call::new("login", ACTION, format!("<password>{secret}</password>"));
    let transport = transport("http://127.0.0.1:1", TransportOptions::new());
    transport.set_session_cookie(SessionCookie::new(secret).unwrap());
    assert!(!format!("{login:?}").contains(secret));
    let error = transport.post(login).await.unwrap_err();
    assert!(!format!("{error} {error:?} {transport:?}").contains(secret));
}

#[tokio::test]
async fn a_name_that_no_server_knows_is_told_from_other_failures() {
    let error = transport("http://no-such-host.invalid", TransportOptions::new()).post(call()).await.unwrap_err();
    assert!(matches!(error.cause(), Some(Cause::UnknownHost | Cause::NameServer)), "{error:?}");
    assert!(error.to_string().contains("no-such-host.invalid:80: the name of the host "), "{error}");
}

#[tokio::test]
async fn a_proxy_that_does_not_open_the_way_is_told_from_the_server() {
    for (answer, said) in [
        ("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", "the proxy wants a user name and password"),
        ("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", "the proxy did not open the way to the server"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let options = TransportOptions::new().proxy(proxy);
        let error = transport("https://vc.example.com", options).post(call()).await.unwrap_err();
        assert_eq!(error.cause(), Some(Cause::Proxy), "{error:?}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_traced_exchange_carries_the_operation_id() {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let transport = transport(&server.uri(), TransportOptions::new());
    let send = async |traced: bool| {
        let exchange = Exchange::new("look", Verb::Get, "/api/x");
        transport.exchange(if traced { exchange.traced() } else { exchange }).await.unwrap();
    };
    OperationId::new("mcv-1f00-jane").scope(async { tokio::join!(send(true), send(false)) }).await;
    send(true).await;
    let requests = server.received_requests().await.unwrap();
    let mut ids: Vec<_> = requests.iter().filter_map(|request| request.headers.get("x-request-id")).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(ids.pop().unwrap(), "mcv-1f00-jane");
}
