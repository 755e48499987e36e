//! Tells of virtual machines as they come, change and go, until it is interrupted.
//!
//! The server is named by `VCENTER_HOST`, `VCENTER_USER` and `VCENTER_PASSWORD`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use futures::TryStreamExt;
use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_ops::{Change, Client, Config, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::connect(Config::from_env()?).await?;
    tokio::select! {
        ended = tell(&client) => ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    client.logout().await
}

async fn tell(client: &Client) -> Result<()> {
    let mut changes = client.watch::<VirtualMachine>().select((vm::POWER_STATE, vm::GUEST_IP_ADDRESS));
    while let Some(change) = changes.try_next().await? {
        match change {
            Change::Entered { object, row: (power, ip) } => {
                println!("+ {} {power} {}", object.label(), ip.unwrap_or_default());
            }
            Change::Changed { object, row: (power, ip), paths } => {
                println!("~ {} {power} {} ({})", object.label(), ip.unwrap_or_default(), paths.join(", "));
            }
            Change::Left { object } => println!("- {object}"),
            Change::Unreadable { object, missing } => println!("? {}: {missing}", object.label()),
            Change::Resync => println!("the thread was lost: all machines come anew"),
            Change::Live => println!("that was all; from here on it is what happens"),
            _ => {}
        }
    }
    Ok(())
}
