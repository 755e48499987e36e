//! Files of web servers: only from those that were allowed, and only where they may be.

use vsphere_ops::Cause;
use vsphere_ops::transfer::{Algorithm, WebHosts};

use crate::server::{Answer, Server, connect, file};
use crate::{ABC_SHA1, vcenter_with};

fn hosts(text: &str) -> WebHosts {
    text.parse().unwrap()
}

/// The same server by a name that resolves to this computer.
fn by_name(server: &Server) -> String {
    server.address.replace("127.0.0.1", "localhost")
}

#[tokio::test]
async fn a_file_of_an_allowed_server_is_fetched_without_the_session() {
    let vcenter = vcenter_with(|_| file(b"")).await;
    let client = connect(&vcenter).await;
    let web = Server::plain(|_| file(b"abc")).await;
    for (url, list) in [(web.address.clone(), "http://127.0.0.1"), (by_name(&web), "http://localhost, 127.0.0.0/8")] {
        let url = format!("{url}/a b.ova?token=t0k3n");
        let found = client.web_file(&url, &hosts(list)).unwrap();
        let mut out = Vec::new();
        let done = found.download().algorithm(Algorithm::Sha1).to_writer(&mut out).await.unwrap();
        assert_eq!((&out[..], done.checksum.unwrap().to_string().as_str()), (&b"abc"[..], ABC_SHA1));
        assert!(!format!("{found:?}").contains("t0k3n"), "{found:?}");
    }
    for request in web.requests() {
        assert_eq!((request.path.as_str(), request.header("cookie")), ("/a%20b.ova?token=t0k3n", ""));
    }
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_not_connected_to() {
    let vcenter = vcenter_with(|_| file(b"")).await;
    let client = connect(&vcenter).await;
    let web = Server::plain(|_| file(b"secret")).await;
    let url = format!("{}/latest/meta-data?token=t0k3n", by_name(&web));
    let refused = client.web_file(&url, &hosts("http://localhost")).unwrap().download().stream().await.unwrap_err();
    assert_eq!(refused.cause(), Some(Cause::NotPermitted), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("localhost is at ") && text.contains("must not be connected to"), "{text}");
    assert!(!text.contains("t0k3n"), "{text}");
    assert!(web.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_is_told_of_and_not_followed() {
    let vcenter = vcenter_with(|_| file(b"")).await;
    let client = connect(&vcenter).await;
    let inner = Server::plain(|_| file(b"secret")).await;
    let to = format!("HTTP/1.1 302 Found\r\nLocation: {}/\r\nContent-Length: 0\r\n\r\n", inner.address);
    let web = Server::plain(move |_| Answer::Raw(to.clone().into_bytes())).await;
    let found = client.web_file(&web.address, &hosts("http://127.0.0.1")).unwrap();
    let refused = found.download().stream().await.unwrap_err();
    assert_eq!(refused.cause(), Some(Cause::Redirected), "{refused}");
    assert!(inner.requests().is_empty());
}
