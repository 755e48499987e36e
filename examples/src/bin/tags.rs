//! Lists the tags of a vCenter with the VMs that have each, or gives VMs a tag.
//!
//! ```text
//! tags                           # each tag, and which VMs have it
//! tags Environment:prod web-1 web-2
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program on the command line speaks by printing")]

use std::collections::BTreeMap;
use std::process::ExitCode;

use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_ops::several::Vms;
use vsphere_ops::tags::{InTheWay, TagQuery, Tags};
use vsphere_ops::{Client, Config, ListQuery};

#[tokio::main(flavor = "current_thread")]
async fn main() -> vsphere_ops::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let client = Client::connect(Config::from_env()?).await?;
    let tags = client.tags().await?;
    let code = match arguments.split_first() {
        None => list(&client, &tags).await?,
        Some((tag, vms)) => apply(&tags, tag, &client.vms(vms).await).await?,
    };
    client.logout().await?;
    Ok(code)
}

/// Reads the tags of all VMs, thousands in a request.
async fn list(client: &Client, tags: &Tags) -> vsphere_ops::Result<ExitCode> {
    let found = client.all::<VirtualMachine>().select(vm::NAME).await?;
    let all: Vec<_> = found.into_iter().map(|(vm, _)| vm).collect();
    let mut vms: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for report in tags.of_vms(&Vms::from(all)).await? {
        for tag in report.outcome? {
            vms.entry(tag.to_string()).or_default().push(report.vm.clone());
        }
    }
    for tag in tags.list(&TagQuery { page: ListQuery::first(1_000), ..TagQuery::default() }).await?.items {
        let with = vms.remove(&tag.to_string()).unwrap_or_default();
        println!("{tag}\t{}", with.join(" "));
    }
    Ok(ExitCode::SUCCESS)
}

/// Gives VMs a tag, and keeps what is in the way.
async fn apply(tags: &Tags, tag: &str, vms: &Vms) -> vsphere_ops::Result<ExitCode> {
    let tag = tags.find(tag).await?;
    let mut code = ExitCode::SUCCESS;
    for report in tags.apply(&tag, vms, InTheWay::Kept).await? {
        match report.outcome {
            Ok(change) => println!("{}\t{}", report.vm, if change.changed { "tagged" } else { "has it already" }),
            Err(error) => {
                eprintln!("{error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
