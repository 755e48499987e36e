//! Moves a virtual machine, or tells what stands in the way:
//! `cargo run -p examples --bin migrate -- web-04 --host esx-05.corp.example [--datastore lab-ssd] [--check]`.
//!
//! The server is named by `VCENTER_HOST`, `VCENTER_USER` and `VCENTER_PASSWORD`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use vsphere_ops::managed::VirtualMachine;
use vsphere_ops::migration::Destination;
use vsphere_ops::{Client, Config, Scope};

#[tokio::main(flavor = "current_thread")]
async fn main() -> vsphere_ops::Result<()> {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let (mut there, mut check) = (Destination::default(), false);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--host" => there.host = args.next(),
            "--cluster" => there.cluster = args.next(),
            "--datastore" => there.datastore = args.next(),
            _ => check = true,
        }
    }
    let scope = Scope::new().on_progress(|step| println!("{}: {} %", step.operation, step.progress.percent));
    let client = Client::connect(Config::from_env()?).await?;

    let migration = client.in_scope(&scope).get::<VirtualMachine>(&name).await?.migration(&there).await?;
    for file in &migration.files {
        println!("{} goes from {} to {}", file.label, file.from.as_deref().unwrap_or("?"), file.to);
    }
    for finding in &migration.findings {
        println!("{:?}: {}\n  {}", finding.severity, finding.message, finding.explanation);
    }
    match (check || !migration.possible, migration.moves) {
        (true, _) => println!("possible: {}", migration.possible),
        (_, false) => println!("it is there already"),
        (_, true) => println!("it is on {} now", migration.carry_out().await?.to.host.unwrap_or_default()),
    }
    client.logout().await
}
