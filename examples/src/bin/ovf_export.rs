//! Writes a VM, or a snapshot of it, into a local directory as an OVF package.
//!
//! ```text
//! ovf_export VM DIRECTORY [SNAPSHOT]
//! VCENTER_HOST=vc.example.com VCENTER_USER=… VCENTER_PASSWORD=… ovf_export web-04 exported
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program on the command line speaks by printing")]

use vsphere_ops::managed::VirtualMachine;
use vsphere_ops::{Client, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vm, directory, snapshot @ ..] = &arguments[..] else {
        return Err("usage: ovf_export VM DIRECTORY [SNAPSHOT]".into());
    };
    let client = Client::connect(Config::from_env()?).await?;
    let vm = client.get::<VirtualMachine>(vm).await?;

    let mut export = vm.ovf_export().on_progress(|progress| eprint!("\r{} MB ", progress.bytes / 1_000_000));
    // A VM that runs can be exported by a snapshot alone.
    if let [snapshot, ..] = snapshot {
        export = export.snapshot(&vm.snapshot(snapshot).await?);
    }
    std::fs::create_dir_all(directory)?;
    let exported = export.to_directory(directory).await?;

    println!("\n{}, {}", exported.descriptor, exported.manifest);
    for file in &exported.files {
        println!("{}  {} ({} bytes)", file.checksum, file.name, file.bytes);
    }
    client.logout().await?;
    Ok(())
}
