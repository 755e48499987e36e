//! Powers virtual machines on: `cargo run -p examples --bin power_on -- web-1 /DC0/vm/prod/web-2 vm-42`.
//!
//! The server is named by `VCENTER_HOST`, `VCENTER_USER` and `VCENTER_PASSWORD`. A machine that runs already is left
//! alone; a name that fits several machines is refused with their paths and ids.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use vsphere_ops::{Client, Config, power::PowerOperation};

#[tokio::main(flavor = "current_thread")]
async fn main() -> vsphere_ops::Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let client = Client::connect(Config::from_env()?).await?;

    let vms = client.vms(&names).await;
    for report in vms.each(|vm| async move { vm.power(PowerOperation::On).await }).await {
        match report.outcome {
            Err(error) => println!("{}: {error}", report.vm),
            Ok(done) if done.changed => println!("{} runs", report.vm),
            Ok(_) => println!("{} ran already", report.vm),
        }
    }
    client.logout().await
}
