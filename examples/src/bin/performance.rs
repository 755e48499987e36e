//! Prints performance counters of all hosts as a table: the last five minutes of what is measured every 20 seconds.
//!
//! The server is named by `VCENTER_HOST`, `VCENTER_USER` and `VCENTER_PASSWORD`. Arguments, if any, are the names of counters:
//!
//! ```sh
//! cargo run -p examples --bin performance -- cpu.usage.average mem.usage.average
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use vsphere_ops::managed::{HostSystem, host_system};
use vsphere_ops::performance::Interval;
use vsphere_ops::{Client, Config, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::connect(Config::from_env()?).await?;
    let mut counters: Vec<String> = std::env::args().skip(1).collect();
    if counters.is_empty() {
        counters = vec!["cpu.usage.average".into(), "mem.usage.average".into()];
    }
    let hosts = client.all::<HostSystem>().select(host_system::NAME).await?;
    for (host, name) in hosts.iter() {
        println!("{host} is {name}");
    }
    let report = client
        .performance()
        .query(counters)
        .entities(hosts.iter().map(|(host, _)| host.reference()))
        .interval(Interval::REALTIME)
        .samples(15)
        .await?;
    print!("{}", report.table());
    client.logout().await
}
