//! Prints the triggered alarms and the events of the last hour, and then those that happen, until it is interrupted.
//!
//! The server is named by `VCENTER_HOST`, `VCENTER_USER` and `VCENTER_PASSWORD`. Arguments, if any, are the types of events to show:
//!
//! ```sh
//! cargo run -p examples --bin events -- VmPoweredOnEvent VmPoweredOffEvent
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use futures::TryStreamExt;
use vsphere_ops::events::name_of;
use vsphere_ops::{Client, Config, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::connect(Config::from_env()?).await?;
    for alarm in client.triggered_alarms().await? {
        println!("{} {} on {} since {}", alarm.status, alarm.alarm, alarm.entity, alarm.time);
    }
    tokio::select! {
        ended = tell(&client) => ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    client.logout().await
}

async fn tell(client: &Client) -> Result<()> {
    let mut events = client.events().types(std::env::args().skip(1)).last(Duration::from_secs(3600)).follow();
    while let Some(event) = events.try_next().await? {
        let message = event.full_formatted_message.as_deref().unwrap_or_default();
        println!("{} {} {message}", event.created_time, name_of(&event));
    }
    Ok(())
}
