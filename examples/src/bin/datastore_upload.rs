//! Sends a local file to a datastore, with progress.
//!
//! ```text
//! datastore_upload DATASTORE PATH FILE
//! VCENTER_HOST=vc.example.com VCENTER_USER=… VCENTER_PASSWORD=… datastore_upload nvme-1 iso/debian.iso debian.iso
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program on the command line speaks by printing")]

use vsphere_ops::managed::Datastore;
use vsphere_ops::transfer::TransferProgress;
use vsphere_ops::{Client, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [datastore, path, file] = &arguments[..] else {
        return Err("usage: datastore_upload DATASTORE PATH FILE".into());
    };
    let client = Client::connect(Config::from_env()?).await?;
    let datastore = client.get::<Datastore>(datastore).await?;

    // The checksum is computed on the way; `.expect(checksum)` would compare it with a known one.
    let sent = datastore.upload(path.as_str()).on_progress(show).from_file(file).await?;

    println!("\n{} bytes in {:.1} s", sent.bytes, sent.elapsed.as_secs_f64());
    if let Some(checksum) = sent.checksum {
        println!("sha256 {checksum}");
    }
    client.logout().await?;
    Ok(())
}

fn show(progress: TransferProgress) {
    let percent = progress.percent().map_or(String::new(), |percent| format!("{percent:3} %  "));
    eprint!("\r{percent}{} MB  {:.0} MB/s ", progress.bytes / 1_000_000, progress.rate / 1e6);
}
