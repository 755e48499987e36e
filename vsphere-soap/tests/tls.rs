//! Which certificates are trusted, shown on a TLS server of its own on loopback.

#![allow(clippy::unwrap_used, reason = "a panic is how a test and its helpers fail")]

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use vsphere_soap::http::{Endpoint, Proxies, Thumbprint, Transport, TransportOptions, Trust, peer_thumbprint};
use vsphere_soap::{Cause, Error, ErrorKind, Sent};

/// A certificate and its key, made for one test.
struct Identity {
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

/// A CA that signs certificates.
struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { pem: certificate.pem(), certificate: certificate.into(), key }
    }
}

fn for_names(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

fn self_signed(names: &[&str]) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = for_names(names).self_signed(&key).unwrap();
    Identity { pem: certificate.pem(), certificate: certificate.into(), key }
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS12, &version::TLS13];

/// A server that presents `certificate`, signs with `key` and answers every request alike.
async fn serve(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    versions: &[&'static SupportedProtocolVersion],
) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    // Made by hand, as the usual way checks that the key belongs to the certificate.
    let certified = CertifiedKey::new(vec![certificate], key);
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

async fn serve_identity(identity: &Identity) -> String {
    serve(identity.certificate.clone(), &identity.key, BOTH).await
}

async fn get(address: &str, trust: Trust) -> Result<(), Error> {
    let transport = Transport::new(address.parse()?, TransportOptions::new().trust(trust))?;
    let answer = transport.get("connect", "/", "*/*").await?;
    assert_eq!(&answer.body[..], b"ok");
    Ok(())
}

fn text(trusted: Result<(), Error>) -> String {
    let error = trusted.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Tls(_)), "{error:?}");
    assert_eq!((error.sent(), error.is_retryable()), (Sent::No, false));
    error.to_string()
}

/// A proxy that leads every tunnel to `to`, and keeps the heads of the requests for one.
async fn proxy_to(to: &str) -> (String, Arc<Mutex<Vec<String>>>) {
    let to = to.trim_start_matches("https://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (to, kept) = (to.clone(), Arc::clone(&kept));
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if client.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                kept.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
                let mut server = TcpStream::connect(to).await.unwrap();
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, heads)
}

#[tokio::test]
async fn https_goes_through_the_tunnel_of_a_proxy_to_the_certificate_of_the_server() {
    let identity = self_signed(&["vc.example.com"]);
    let (proxy, heads) = proxy_to(&serve_identity(&identity).await).await;
    let pin = Thumbprint::sha256_of(&identity.certificate);
    let proxies =
        Proxies::from_variables(|name| (name == "HTTPS_PROXY").then(|| format!("http://ann:pass%21@{proxy}")));
    let options = TransportOptions::new().proxies(proxies).trust(Trust::Thumbprint(pin));

    // The name leads nowhere on this machine: only the proxy knows it.
    let server: Endpoint = "vc.example.com".parse().unwrap();
    let transport = Transport::new(server.clone(), options.clone()).unwrap();
    assert_eq!(&transport.get("connect", "/secret", "*/*").await.unwrap().body[..], b"ok");
    // What is pinned is what the server shows, and not what stands before it.
    assert_eq!(peer_thumbprint(&server, &options).await.unwrap(), pin);
    let wrong = options.clone().trust(Trust::Thumbprint(Thumbprint::sha256_of(b"another")));
    let refused = Transport::new(server, wrong).unwrap().get("connect", "/secret", "*/*").await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Tls(_)), "{refused:?}");
    assert!(refused.to_string().contains(&format!("through the proxy http://{proxy}")), "{refused}");
    assert!(!refused.to_string().contains("ann"), "{refused}");

    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 3);
    for head in heads.iter() {
        assert!(head.starts_with("CONNECT vc.example.com:443 HTTP/1.1\r\n"), "{head}");
        // ann:pass!
        assert!(head.to_lowercase().contains("proxy-authorization: basic yw5uonbhc3mh"), "{head}");
        assert!(!head.contains("secret"), "{head}");
    }
}

#[tokio::test]
async fn a_proxy_with_a_certificate_of_its_own_is_no_way_round_a_pin() {
    let options = TransportOptions::new().proxy("https://proxy.example.com:3129");
    let server: Endpoint = "vc.example.com".parse().unwrap();
    let pinned = options.clone().trust(Trust::Thumbprint(Thumbprint::sha256_of(b"certificate")));
    for refused in [
        Transport::new(server.clone(), pinned).map(drop),
        Transport::new(server.clone(), options.clone().trust(Trust::Insecure)).map(drop),
        peer_thumbprint(&server, &options).await.map(drop),
    ] {
        let error = refused.unwrap_err();
        assert!(error.to_string().contains("the proxy https://proxy.example.com:3129 has a certificate"), "{error}");
    }
    assert!(Transport::new(server, options).is_ok());
}

#[tokio::test]
async fn the_system_refuses_a_self_signed_certificate_and_names_its_thumbprint() {
    let identity = self_signed(&["127.0.0.1"]);
    let address = serve_identity(&identity).await;
    let expected = Thumbprint::sha256_of(&identity.certificate);
    let error = get(&address, Trust::System).await.unwrap_err();
    assert_eq!(error.presented_thumbprint(), Some(&expected));
    assert!(error.source().is_none());
    let text = text(Err(error));
    assert!(text.starts_with("connect: the certificate of 127.0.0.1:"), "{text}");
    assert!(text.contains("is not trusted: "), "{text}");
    assert!(text.ends_with(&format!("; if it is the right one, pin its SHA-256 thumbprint {expected}")), "{text}");
}

#[tokio::test]
async fn insecure_takes_any_certificate() {
    let identity = self_signed(&["elsewhere.example"]);
    get(&serve_identity(&identity).await, Trust::Insecure).await.unwrap();
}

#[tokio::test]
async fn a_pin_takes_its_certificate_only() {
    // Neither the name nor the date counts for a pin.
    let mut params = for_names(&["elsewhere.example"]);
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let identity = Ca::new("VMCA").sign(&params);
    let address = serve_identity(&identity).await;
    for right in [Thumbprint::sha256_of(&identity.certificate), Thumbprint::sha1_of(&identity.certificate)] {
        get(&address, Trust::Thumbprint(right)).await.unwrap();
    }
    for wrong in [Thumbprint::sha256_of(b"another"), Thumbprint::sha1_of(b"another")] {
        let text = text(get(&address, Trust::Thumbprint(wrong)).await);
        assert!(text.contains("its thumbprint is not the pinned one"), "{text}");
        assert!(text.contains(&Thumbprint::sha256_of(&identity.certificate).to_string()), "{text}");
    }
}

#[tokio::test]
async fn a_pin_wants_proof_of_the_key() {
    // Whoever stands between can show the right certificate, but has another key.
    let identity = self_signed(&["127.0.0.1"]);
    let other = KeyPair::generate().unwrap();
    let pin = Trust::Thumbprint(Thumbprint::sha256_of(&identity.certificate));
    for versions in [&[&version::TLS12][..], &[&version::TLS13][..]] {
        let address = serve(identity.certificate.clone(), &identity.key, versions).await;
        get(&address, pin.clone()).await.unwrap();
        let address = serve(identity.certificate.clone(), &other, versions).await;
        let error = get(&address, pin.clone()).await.unwrap_err();
        assert_eq!(error.presented_thumbprint(), None);
        assert_eq!((error.cause(), error.source().is_none()), (Some(Cause::Handshake), true));
        text(Err(error));
    }
}

#[tokio::test]
async fn a_ca_file_takes_what_its_ca_signed_for_the_name() {
    let (ca, other, renewed) = (Ca::new("VMCA"), Ca::new("other"), Ca::new("VMCA"));
    let address = serve_identity(&ca.sign(&for_names(&["127.0.0.1"]))).await;
    let both = format!("{}{}", other.pem, ca.pem);
    get(&address, Trust::CaPem(both.clone().into())).await.unwrap();
    let file = TempFile::new("ca.pem", &both);
    get(&address, Trust::CaFile(file.0.clone())).await.unwrap();
    let refused = text(get(&address, Trust::CaPem(other.pem.into())).await);
    assert!(refused.contains("it is signed by itself or by an unknown CA"), "{refused}");
    let refused = text(get(&address, Trust::CaPem(renewed.pem.into())).await);
    assert!(refused.contains("it is signed by another CA, of the same name"), "{refused}");

    let address = serve_identity(&ca.sign(&for_names(&["elsewhere.example"]))).await;
    let refused = text(get(&address, Trust::CaPem(ca.pem.clone().into())).await);
    assert!(refused.contains("it is not made for 127.0.0.1 but for"), "{refused}");
    assert!(refused.contains("elsewhere.example"), "{refused}");

    let mut params = for_names(&["127.0.0.1"]);
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let address = serve_identity(&ca.sign(&params)).await;
    let refused = text(get(&address, Trust::CaPem(ca.pem.into())).await);
    assert!(refused.contains("it has expired"), "{refused}");
}

#[tokio::test]
async fn a_ca_file_may_hold_the_server_certificate_itself() {
    // As on an ESXi whose certificate is signed by a CA that nobody has.
    let identity = Ca::new("VMCA").sign(&for_names(&["127.0.0.1"]));
    get(&serve_identity(&identity).await, Trust::CaPem(identity.pem.clone().into())).await.unwrap();
    // Or by itself, as a CA.
    let key = KeyPair::generate().unwrap();
    let mut params = for_names(&["127.0.0.1"]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let address = serve(certificate.der().clone(), &key, BOTH).await;
    get(&address, Trust::CaPem(certificate.pem().into())).await.unwrap();

    let elsewhere = Ca::new("VMCA").sign(&for_names(&["elsewhere.example"]));
    let refused = text(get(&serve_identity(&elsewhere).await, Trust::CaPem(elsewhere.pem.clone().into())).await);
    assert!(refused.contains("it is not made for 127.0.0.1"), "{refused}");
    let mut params = for_names(&["127.0.0.1"]);
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let expired = Ca::new("VMCA").sign(&params);
    let refused = text(get(&serve_identity(&expired).await, Trust::CaPem(expired.pem.clone().into())).await);
    assert!(refused.contains("it has expired"), "{refused}");
}

#[tokio::test]
async fn ca_files_that_cannot_be_used_are_named() {
    let empty = TempFile::new("empty.pem", "no certificate here\n");
    let broken = TempFile::new("broken.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    let missing = PathBuf::from("/nonexistent/ca.pem");
    for (path, word) in
        [(&empty.0, "holds no PEM certificate"), (&broken.0, "is not valid PEM"), (&missing, "cannot be read")]
    {
        let error = get("https://127.0.0.1:1", Trust::CaFile(path.clone())).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Config(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(word) && text.contains(path.to_str().unwrap()), "{text}");
    }
}

#[tokio::test]
async fn the_thumbprint_of_a_server_can_be_asked_for() {
    let identity = self_signed(&["127.0.0.1"]);
    let endpoint = serve_identity(&identity).await.parse().unwrap();
    let shown = peer_thumbprint(&endpoint, &TransportOptions::new()).await.unwrap();
    assert_eq!(shown, Thumbprint::sha256_of(&identity.certificate));

    let plain = "http://127.0.0.1:1".parse().unwrap();
    let error = peer_thumbprint(&plain, &TransportOptions::new()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Config(_)), "{error:?}");
    let closed = "https://127.0.0.1:1".parse().unwrap();
    let error = peer_thumbprint(&closed, &TransportOptions::new()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_port_without_tls_is_said_to_be_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read_u8().await;
    });
    let text = text(get(&address, Trust::Insecure).await);
    assert!(text.contains("the port does not speak TLS"), "{text}");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_a_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let limit = Duration::from_millis(100);
    let options = TransportOptions::new().trust(Trust::Insecure).connect_timeout(limit);
    let transport = Transport::new(address.parse().unwrap(), options).unwrap();
    let error = transport.get("connect", "/", "*/*").await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!((error.to_string().as_str(), error.sent()), ("connect: no connection within 100ms", Sent::No));
    drop(listener);
}

/// A file that is removed in the end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vsphere-soap-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn each_reason_to_refuse_a_certificate_has_its_cause() {
    let ca = Ca::new("VMCA");
    let trust = || Trust::CaPem(ca.pem.clone().into());
    let cause =
        async |identity: &Identity, trust| get(&serve_identity(identity).await, trust).await.unwrap_err().cause();
    let good = ca.sign(&for_names(&["127.0.0.1"]));
    assert_eq!(cause(&good, Trust::System).await, Some(Cause::Untrusted));
    assert_eq!(cause(&good, Trust::CaPem(Ca::new("other").pem.into())).await, Some(Cause::Untrusted));
    assert_eq!(cause(&good, Trust::Thumbprint(Thumbprint::sha256_of(b"other"))).await, Some(Cause::OtherPin));
    assert_eq!(cause(&ca.sign(&for_names(&["elsewhere.example"])), trust()).await, Some(Cause::OtherName));
    let mut params = for_names(&["127.0.0.1"]);
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    assert_eq!(cause(&ca.sign(&params), trust()).await, Some(Cause::Expired));
    let mut params = for_names(&["127.0.0.1"]);
    params.not_before = rcgen::date_time_ymd(2999, 1, 1);
    params.not_after = rcgen::date_time_ymd(3000, 1, 1);
    assert_eq!(cause(&ca.sign(&params), trust()).await, Some(Cause::NotYetValid));
}

#[tokio::test]
async fn a_certificate_without_names_is_said_to_have_none() {
    let ca = Ca::new("VMCA");
    let address = serve_identity(&ca.sign(&for_names(&[]))).await;
    let refused = text(get(&address, Trust::CaPem(ca.pem.into())).await);
    assert!(refused.contains("it is not made for 127.0.0.1 but for no name at all; if"), "{refused}");
}
