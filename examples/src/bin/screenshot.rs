//! Takes a picture of a VM's screen, after typing on its console where there is something to type.
//!
//! ```text
//! screenshot VM FILE [TEXT]
//! VCENTER_HOST=vc.example.com VCENTER_USER=… VCENTER_PASSWORD=… screenshot web-1 web-1.png
//! ```
#![allow(clippy::print_stdout, reason = "a program on the command line speaks by printing")]

use vsphere_ops::console::{Keys, Layout};
use vsphere_ops::managed::VirtualMachine;
use vsphere_ops::{Client, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (vm, file, text) = match &arguments[..] {
        [vm, file] => (vm, file, None),
        [vm, file, text] => (vm, file, Some(text)),
        _ => return Err("usage: screenshot VM FILE [TEXT]".into()),
    };
    let client = Client::connect(Config::from_env()?).await?;
    let vm = client.get::<VirtualMachine>(vm).await?;
    if let Some(text) = text {
        vm.type_keys(&Keys::text(text, Layout::Us)?.then(Keys::named("enter")?)).await?;
    }

    // Where the server gives no picture itself, it writes a file, which is fetched and deleted.
    let picture = vm.screenshot().or_by_file().await?;

    std::fs::write(file, picture.png())?;
    println!("{}: {} x {} pixels, {} bytes", vm.label(), picture.width(), picture.height(), picture.png().len());
    client.logout().await?;
    Ok(())
}
