//! Puts a host into maintenance mode, or ends it: `cargo run -p examples --bin maintenance -- enter esx-01.corp.example 600`.
//!
//! The first argument is `show`, `enter` or `exit`. What is in the way is printed with the reason. DRS moves running VMs where
//! it is fully automated; else the host waits for them, here for as many seconds as the last argument says.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use vsphere_ops::host::{Maintenance, MaintenancePlan};
use vsphere_ops::managed::HostSystem;
use vsphere_ops::{Circumstance, Client, Config, Result, Scope};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let action = args.next().unwrap_or_else(|| "show".to_owned());
    let name = args.next();
    let seconds = args.next().and_then(|seconds| seconds.parse().ok()).unwrap_or(3600);
    let scope = Scope::new().on_progress(|step| println!("{}: {} %", step.target, step.progress.percent));
    let client = Client::connect(Config::from_env()?).await?;

    // Without a name, the only host.
    let host = client.in_scope(&scope).get_or_only::<HostSystem>(name.as_deref()).await?;
    let timeout = Duration::from_secs(seconds);
    match action.as_str() {
        "enter" => {
            let plan = host.maintenance(&Maintenance::default()).await?;
            show(&plan);
            match plan.carry_out(timeout).await {
                Ok(done) => println!("{} is in maintenance mode; {} VMs have left it", done.host, done.left.len()),
                Err(error) => match error.circumstance() {
                    Some(Circumstance::KeptFromMaintenance(vms)) => {
                        println!("{} is not in maintenance mode: {} VMs are still in the way", host.label(), vms.len());
                    }
                    _ => return Err(error),
                },
            }
        }
        "exit" => {
            let done = host.exit_maintenance(timeout).await?;
            println!("{} takes VMs again{}", done.host, if done.changed { "" } else { ", as before" });
        }
        _ => show(&host.maintenance(&Maintenance::default()).await?),
    }
    client.logout().await
}

fn show(plan: &MaintenancePlan) {
    println!("{}: DRS {:?}, {} VMs move by themselves", plan.host, plan.drs, plan.moved_by_drs.len());
    for vm in &plan.blockers {
        println!("in the way: {vm}");
    }
}
