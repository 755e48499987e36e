//! Powers machines off and on again, and shows how the tasks get on:
//! `cargo run -p examples --bin task_progress -- 'web-*'`.
//!
//! The server is named by `VCENTER_HOST`, `VCENTER_USER` and `VCENTER_PASSWORD`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use futures::TryStreamExt;
use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_ops::types::VirtualMachinePowerState;
use vsphere_ops::{Client, Config, ErrorKind, TaskEvent, wait_all};

#[tokio::main(flavor = "current_thread")]
async fn main() -> vsphere_ops::Result<()> {
    let Some(pattern) = std::env::args().nth(1) else {
        println!("which machines? A pattern such as 'test-*' says");
        return Ok(());
    };
    let client = Client::connect(Config::from_env()?).await?;
    let rows = client.find::<VirtualMachine>(&pattern).select(vm::POWER_STATE).await?;
    let running = rows.into_iter().filter(|(_, power)| *power == VirtualMachinePowerState::PoweredOn);
    let machines: Vec<_> = running.map(|(machine, _)| machine).collect();

    // Many tasks, one filter on the server, and an outcome for each.
    let mut tasks = Vec::new();
    for machine in &machines {
        tasks.push(machine.power_off().await?.with_deadline(Duration::from_secs(60)));
    }
    for (machine, ended) in machines.iter().zip(wait_all(tasks).await) {
        match ended {
            Ok(()) => println!("{} is off", machine.label()),
            Err(error) => match error.kind() {
                ErrorKind::Unfinished { task, .. } => println!("{}: look after {task} later", machine.label()),
                _ => println!("{error}"),
            },
        }
    }

    // One task, as a stream.
    for machine in &machines {
        let mut events = machine.power_on().await?.events();
        while let Some(event) = events.try_next().await? {
            match event {
                TaskEvent::Progress(progress) => println!("{}: {} %", machine.label(), progress.percent),
                TaskEvent::Done(()) => println!("{} runs", machine.label()),
            }
        }
    }
    client.logout().await
}
