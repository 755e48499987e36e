//! Packages that are elsewhere: on a datastore, and on a web server.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use vsphere_ops::Mo;
use vsphere_ops::managed::Datastore;
use vsphere_ops::ovf::OvfSource;
use vsphere_ops::transfer::WebHosts;

use crate::deploy::contents;
use crate::package::{Lab, archive, disk, sha256, simple, with_disks};

#[tokio::test]
async fn a_package_on_a_datastore_is_deployed_from_there() {
    let lab = Lab::new().await;
    let store: Mo<Datastore> = lab.client.get("DC0_DS1").await.unwrap();
    let disks = [disk(21, 500_000), disk(22, 90_000)];
    let ova = with_disks(&disks).write(&lab.scratch);
    for name in ["web.ova", "my web.ova"] {
        store.upload(name).from_file(&ova).await.unwrap();
    }
    for source in ["web.ova", "[DC0_DS1] web.ova", "my web.ova", "[DC0_DS1] my web.ova"] {
        let source = OvfSource::on_datastore(&store, source);
        assert!(["web.ova", "my web.ova"].contains(&source.name()));
        let ovf = lab.client.open_ovf(&source).await.unwrap();
        let name = format!("from {source:?} {}", fastrand::u32(..));
        let deployed = ovf.deployment(&name).all_networks("VM Network").start().await.unwrap();
        assert!(deployed.verified);
        assert_eq!(contents(&lab, &name).await, [sha256(&disks[0]), sha256(&disks[1])]);
    }
    let error = lab.client.open_ovf(&OvfSource::on_datastore(&store, "none.ova")).await.unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("none.ova"), "{error}");
}

/// What a web server gives of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    All,
    /// Whole files alone.
    NoParts,
    /// Parts alone: it refuses to give a whole file.
    PartsAlone,
    /// Parts, and of a whole file only the beginning, after which nothing comes.
    Hangs,
}

/// A web server with these files; what it was asked for.
pub(crate) async fn web(files: Vec<(String, Vec<u8>)>, gives: Gives) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let files = Arc::new(files);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (files, kept) = (Arc::clone(&files), Arc::clone(&kept));
            tokio::spawn(async move {
                loop {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    kept.lock().unwrap().push(head.clone());
                    let path = head.split(' ').nth(1).unwrap().split('?').next().unwrap();
                    let file = files.iter().find(|(name, _)| path.ends_with(name.as_str()));
                    let range = head.to_ascii_lowercase().split("range: bytes=").nth(1).map(|rest| {
                        let (from, to) = rest.lines().next().unwrap().split_once('-').unwrap();
                        (from.parse::<usize>().unwrap(), to.trim().parse::<usize>().unwrap())
                    });
                    let answer = match (file, range) {
                        (None, _) => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
                        (Some((_, content)), Some((from, to))) if gives != Gives::NoParts => {
                            let to = (to + 1).min(content.len());
                            let head = format!(
                                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\nContent-Length: {}\r\n\r\n",
                                to - 1,
                                content.len(),
                                to - from
                            );
                            [head.as_bytes(), &content[from..to]].concat()
                        }
                        (Some(_), _) if gives == Gives::PartsAlone => {
                            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec()
                        }
                        (Some((_, content)), _) if gives == Gives::Hangs => {
                            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
                            [head.as_bytes(), &content[..content.len() / 2]].concat()
                        }
                        (Some((_, content)), _) => {
                            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
                            [head.as_bytes(), content].concat()
                        }
                    };
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_package_on_a_web_server_is_deployed_without_the_session() {
    let lab = Lab::new().await;
    let package = simple();
    let mut files = package.all();
    files.push(("web.ova".to_owned(), archive(&package.all())));
    let (address, asked) = web(files, Gives::All).await;
    let hosts = "http://127.0.0.0/8".parse().unwrap();
    for (name, url) in [
        ("archive", format!("http://{address}/images/web.ova?key=5")),
        ("folder", format!("http://{address}/images/appliance.ovf")),
    ] {
        let source = OvfSource::on_web(&lab.client, &url, &hosts).unwrap();
        let ovf = lab.client.open_ovf(&source).await.unwrap();
        let deployed = ovf.deployment(name).all_networks("VM Network").start().await.unwrap();
        assert!(deployed.verified);
        assert_eq!(contents(&lab, name).await, [sha256(&package.files[0].content)]);
    }
    let asked = asked.lock().unwrap().clone();
    assert!(asked.iter().all(|head| !head.to_ascii_lowercase().contains("cookie")), "{asked:?}");
    assert!(asked.iter().filter(|head| head.contains("web.ova")).all(|head| head.contains("?key=5")), "{asked:?}");
}

#[tokio::test]
async fn a_web_server_that_gives_whole_files_alone_is_told() {
    let lab = Lab::new().await;
    let (address, _) = web(vec![("web.ova".to_owned(), archive(&simple().all()))], Gives::NoParts).await;
    let hosts: WebHosts = "http://127.0.0.0/8".parse().unwrap();
    let source = |url: String| OvfSource::on_web(&lab.client, &url, &hosts);
    let error = lab.client.open_ovf(&source(format!("http://{address}/web.ova")).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("200"), "{error}");
    for url in ["ftp://127.0.0.1/web.ova", "https://elsewhere.example/web.ova"] {
        assert_eq!(source(url.to_owned()).unwrap_err().code(), "invalid_argument", "{url}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = lab.client.open_ovf(&source(format!("http://{nobody}/web.ova")).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains(&nobody.to_string()), "{error}");
}
