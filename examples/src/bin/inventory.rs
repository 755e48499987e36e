//! Finds objects by inventory path, and reads them into a struct:
//! `cargo run -p examples --bin inventory -- '/*/vm/**'`.
//!
//! The server is named by `VCENTER_HOST`, `VCENTER_USER` and `VCENTER_PASSWORD`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use futures::TryStreamExt;
use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_ops::types::VirtualMachinePowerState;
use vsphere_ops::{Client, Config, PropertyState, properties, state};

properties! {
    /// What is shown of a machine.
    struct Line for VirtualMachine {
        name: String = vm::NAME,
        power: VirtualMachinePowerState = vm::POWER_STATE,
        note: PropertyState<String> = state(vm::ANNOTATION),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> vsphere_ops::Result<()> {
    let pattern = std::env::args().nth(1).unwrap_or_else(|| "/*/vm/**".to_owned());
    let client = Client::connect(Config::from_env()?).await?;

    // Page by page, so that a large inventory takes no more memory than a small one.
    let mut pages = client.find::<VirtualMachine>(&pattern).select_as::<Line>().stream(100);
    while let Some(page) = pages.try_next().await? {
        // The paths of a page in one request.
        let references: Vec<_> = page.iter().map(|(machine, _)| machine.reference().clone()).collect();
        for ((_, line), path) in page.iter().zip(client.paths(&references).await?) {
            let note = match &line.note {
                PropertyState::Set(note) => note.as_str(),
                PropertyState::Unset => "",
                PropertyState::Unreadable(_) => "(not for this user)",
            };
            println!("{path} ({}): {} {note}", line.name, line.power);
        }
    }

    // What a machine is in, without another look at the inventory.
    if let Some((machine, ())) = client.find::<VirtualMachine>(&pattern).select(()).limit(1).await?.into_iter().next() {
        for ancestor in machine.ancestors().await? {
            println!("{} {}", ancestor.reference, ancestor.name);
        }
    }
    client.logout().await
}
