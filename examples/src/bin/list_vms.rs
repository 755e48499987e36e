//! Lists virtual machines: `cargo run -p examples --bin list_vms -- ['web-*']`.
//!
//! The server is named by `VCENTER_HOST`, `VCENTER_USER` and `VCENTER_PASSWORD`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_ops::{Client, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> vsphere_ops::Result<()> {
    let pattern = std::env::args().nth(1).unwrap_or_else(|| "*".to_owned());
    let client = Client::connect(Config::from_env()?).await?;

    // One request; only what is selected leaves the server.
    let select = (vm::NAME, vm::POWER_STATE, vm::NUM_CPU, vm::MEMORY_SIZE_MB, vm::GUEST_IP_ADDRESS);
    let mut rows = client.find::<VirtualMachine>(&pattern).select(select).await?;

    for (machine, missing) in rows.unreadable.drain(..) {
        println!("{}: {missing}", machine.value);
    }
    let mut rows = rows.into_vec();
    rows.sort_by(|(_, a), (_, b)| a.0.cmp(&b.0));
    println!("{:<12} {:<30} {:<10} {:>4} {:>8}  address", "id", "name", "power", "cpus", "MiB");
    for (machine, (name, power, cpus, memory, ip)) in rows {
        let number = |value: Option<i32>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let (cpus, memory, ip) = (number(cpus), number(memory), ip.as_deref().unwrap_or("-"));
        println!("{:<12} {name:<30} {:<10} {cpus:>4} {memory:>8}  {ip}", machine.id(), power.as_str());
    }
    client.logout().await
}
