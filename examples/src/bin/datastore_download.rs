//! Fetches a file from a datastore into a local file.
//!
//! ```text
//! datastore_download DATASTORE PATH FILE
//! VCENTER_HOST=vc.example.com VCENTER_USER=… VCENTER_PASSWORD=… datastore_download nvme-1 iso/debian.iso debian.iso
//! ```
#![allow(clippy::print_stdout, reason = "a program on the command line speaks by printing")]

use vsphere_ops::managed::Datastore;
use vsphere_ops::{Client, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [datastore, path, file] = &arguments[..] else {
        return Err("usage: datastore_download DATASTORE PATH FILE".into());
    };
    let client = Client::connect(Config::from_env()?).await?;
    let datastore = client.get::<Datastore>(datastore).await?;

    // The local file gets its name when all has come. `.stream()` would give the pieces as they arrive.
    let fetched = datastore.download(path.as_str()).to_file(file).await?;

    println!("{} bytes in {:.1} s", fetched.bytes, fetched.elapsed.as_secs_f64());
    if let Some(checksum) = fetched.checksum {
        println!("sha256 {checksum}");
    }
    client.logout().await?;
    Ok(())
}
