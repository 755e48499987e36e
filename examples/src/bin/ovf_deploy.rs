//! Makes a VM of a local OVF or OVA package, with progress.
//!
//! ```text
//! ovf_deploy PACKAGE NAME [NETWORK [POOL]] [KEY=VALUE]…
//! VCENTER_HOST=vc.example.com VCENTER_USER=… VCENTER_PASSWORD=… ovf_deploy web.ova web-7 dmz hostname=web-7
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program on the command line speaks by printing")]

use vsphere_ops::ovf::OvfSource;
use vsphere_ops::placement::Placement;
use vsphere_ops::transfer::TransferProgress;
use vsphere_ops::{Client, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [package, name, more @ ..] = &arguments[..] else {
        return Err("usage: ovf_deploy PACKAGE NAME [NETWORK [POOL]] [KEY=VALUE]…".into());
    };
    let client = Client::connect(Config::from_env()?).await?;
    let ovf = client.open_ovf(&OvfSource::file(package)).await?;
    for eula in &ovf.contents().eulas {
        // The user has to read it; a program of your own asks whether they agree.
        println!("{}", eula.as_str());
    }

    let (properties, places): (Vec<&String>, Vec<&String>) = more.iter().partition(|argument| argument.contains('='));
    let pool = places.get(1).map(|pool| (*pool).clone());
    let placement = Placement { pool, ..Placement::default() };
    let mut deployment = ovf.deployment(name.as_str()).placed(placement).accept_eulas().on_progress(show);
    if let Some(network) = places.first() {
        deployment = deployment.all_networks(network.as_str());
    }
    for (key, value) in properties.iter().filter_map(|property| property.split_once('=')) {
        deployment = deployment.property(key, value);
    }
    let deployed = deployment.start().await?;

    println!("\n{} ({}), {} bytes in {} files", deployed.vm.path, deployed.vm.id, deployed.bytes, deployed.files);
    for warning in &deployed.warnings {
        println!("warning: {warning}");
    }
    client.logout().await?;
    Ok(())
}

fn show(progress: TransferProgress) {
    let percent = progress.percent().map_or(String::new(), |percent| format!("{percent:3} %  "));
    eprint!("\r{percent}{} MB  {:.0} MB/s ", progress.bytes / 1_000_000, progress.rate / 1e6);
}
