//! The files of datastores with vcsim, which was written by others.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use bytes::Bytes;
use futures::stream;
use peers::Vcsim;
use vsphere_ops::files::{Existing, FileQuery, FileType};
use vsphere_ops::managed::Datastore;
use vsphere_ops::{Client, Config, Mo};

async fn names(store: &Mo<Datastore>, folder: &str) -> Vec<String> {
    let found = store.list_files(&FileQuery::below(folder)).await.unwrap().items;
    found.iter().map(|file| file.path.split_once("] ").unwrap().1.to_owned()).collect()
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_files_of_a_datastore() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let client = Client::connect(Config::new(vcsim.url()).user("user").password("pass")).await.unwrap();
    let store: Mo<Datastore> = client.get("LocalDS_0").await.unwrap();

    assert!(store.make_folder("a/b").await.unwrap().changed);
    assert!(!store.make_folder("a/b").await.unwrap().changed);
    let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"content"))]);
    store.upload("a/b/c.txt").from_stream(pieces, 7).await.unwrap();
    assert_eq!(names(&store, "a").await, ["a/b", "a/b/c.txt"]);
    let file = store.find_file("a/b/c.txt").await.unwrap().unwrap();
    assert_eq!((file.type_, file.size_bytes), (FileType::Other, Some(7)));
    assert!(store.find_file("a/none").await.unwrap().is_none());
    let missing = store.list_files(&FileQuery::of("none")).await.unwrap_err();
    assert!(missing.is_not_found(), "{missing}");

    let copy = store.file_copy("a/b/c.txt", &store, "a/d.txt", Existing::Kept).await.unwrap();
    copy.carry_out().await.unwrap();
    let there = store.file_copy("a/b/c.txt", &store, "a/d.txt", Existing::Kept).await.unwrap_err();
    assert_eq!(there.code(), "invalid_state", "{there}");
    let moved = store.file_move("a/d.txt", &store, "a/e.txt", Existing::Kept).await.unwrap();
    moved.carry_out().await.unwrap();
    assert_eq!(names(&store, "a").await, ["a/b", "a/b/c.txt", "a/e.txt"]);
    let deletion = store.file_deletion("a", true).await.unwrap();
    assert_eq!((deletion.files, deletion.size_bytes, deletion.used_by.len()), (2, 14, 0));
    deletion.carry_out().await.unwrap();
    assert!(store.find_file("a").await.unwrap().is_none());

    // The disks of VMs are theirs.
    let orphans = store.list_orphans(&FileQuery::below("")).await.unwrap().items;
    assert!(!orphans.iter().any(|file| file.path.ends_with(".vmx")), "{orphans:?}");
}
