//! Lists the newest tasks of all users of a server, waits for a task, or cancels one.
//!
//! ```text
//! tasks [wait TASK | cancel TASK]
//! VCENTER_HOST=vc.example.com VCENTER_USER=… VCENTER_PASSWORD=… tasks wait task-4711
//! ```
#![allow(clippy::print_stdout, reason = "a program on the command line speaks by printing")]

use std::time::Duration;

use vsphere_ops::{Client, Config};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let client = Client::connect(Config::from_env()?).await?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            for task in client.tasks().last(24 * HOUR).report(20).await?.items {
                let entity = task.entity.as_deref().unwrap_or("-");
                println!("{}  {}  {:9}  {} {entity}", task.id, task.queued, task.state, task.operation);
            }
        }
        ["wait", id] => {
            let task = client.wait_for_task(id, HOUR, |progress| println!("{} %", progress.percent)).await?;
            let why = task.error.as_ref().map(|error| format!(": {} ({})", &*error.message, error.fault));
            println!("{} is {}{}", task.operation, task.state, why.unwrap_or_default());
        }
        ["cancel", id] => {
            let cancelled = client.task_cancellation(id).await?.carry_out().await?;
            println!("{}: {:?}", cancelled.task.operation, cancelled.outcome);
        }
        _ => return Err("usage: tasks [wait TASK | cancel TASK]".into()),
    }
    client.logout().await?;
    Ok(())
}
