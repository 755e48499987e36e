//! Adds up all virtual machines: `cargo run -p examples --bin vm_totals`.
//!
//! The server is named by `VCENTER_HOST`, `VCENTER_USER` and `VCENTER_PASSWORD`. It is also what
//! `cargo xtask bench inventory` measures beside programs on other libraries, which print the same first line: the
//! number of machines, and a checksum of all that was read.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_ops::types::VirtualMachinePowerState;
use vsphere_ops::{Client, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> vsphere_ops::Result<()> {
    let client = Client::connect(Config::from_env()?).await?;
    let select = (vm::NAME, vm::POWER_STATE, vm::NUM_CPU, vm::MEMORY_SIZE_MB, vm::GUEST_FULL_NAME);
    let rows = client.all::<VirtualMachine>().select(select).await?;

    let (mut running, mut cpus, mut memory, mut text) = (0, 0, 0, 0);
    for (_, (name, power, num_cpu, memory_mb, guest)) in rows.iter() {
        running += i64::from(*power == VirtualMachinePowerState::PoweredOn);
        cpus += i64::from(num_cpu.unwrap_or_default());
        memory += i64::from(memory_mb.unwrap_or_default());
        text += name.len() + power.as_str().len() + guest.as_deref().map_or(0, str::len);
    }
    println!("{} {}", rows.len(), text as i64 + cpus + memory);
    println!("{running} running, {cpus} CPUs, {memory} MiB of memory");
    client.logout().await
}
