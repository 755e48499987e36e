//! Tags of vcsim, which govc has made.

#![allow(clippy::unwrap_used, reason = "a panic is how a test and its helpers fail")]

use peers::{Vcsim, govc_run, govc_text};
use vsphere_ops::tags::{InTheWay, TagQuery};
use vsphere_ops::vm::{self, VmQuery};
use vsphere_ops::{Client, Config};

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_tags_of_vcsim() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let url = &vcsim.govc_url();
    govc_run(url, &["tags.category.create", "-m", "-t", "VirtualMachine", "Tier"]).await.unwrap();
    govc_run(url, &["tags.create", "-c", "Tier", "gold"]).await.unwrap();
    govc_run(url, &["tags.create", "-c", "Tier", "silver"]).await.unwrap();
    govc_run(url, &["tags.attach", "-c", "Tier", "gold", "/DC0/vm/DC0_H0_VM0"]).await.unwrap();

    let config = Config::new(vcsim.url()).user("user").password("pass");
    let client = Client::connect(config).await.unwrap();
    let tags = client.tags().await.unwrap();
    let listed = tags.list(&TagQuery::default()).await.unwrap().items;
    assert_eq!(listed.iter().map(ToString::to_string).collect::<Vec<_>>(), ["Tier:gold", "Tier:silver"]);
    let names = ["DC0_H0_VM0", "DC0_H0_VM1"].map(str::to_owned);
    let vms = client.vms(&names).await;
    let of = tags.of_vms(&vms).await.unwrap();
    assert_eq!(of[0].outcome.as_ref().unwrap()[0].to_string(), "Tier:gold");
    assert!(of[1].outcome.as_ref().unwrap().is_empty());

    let silver = tags.find("Tier:silver").await.unwrap();
    let done = tags.apply(&silver, &vms, InTheWay::Kept).await.unwrap();
    assert!(done.iter().all(|report| report.outcome.as_ref().unwrap().changed));
    assert_eq!(govc_text(url, &["tags.attached.ls", "silver"]).await.unwrap().lines().count(), 2);
    let query = VmQuery { tag: Some("silver".to_owned()), ..VmQuery::default() };
    assert_eq!(vm::list(&client, &query).await.unwrap().total, 2);
    let done = tags.remove(&silver, &vms).await.unwrap();
    assert!(done.iter().all(|report| report.outcome.as_ref().unwrap().changed));
    assert_eq!(govc_text(url, &["tags.attached.ls", "silver"]).await.unwrap().lines().count(), 0);
    client.logout().await.unwrap();
}
