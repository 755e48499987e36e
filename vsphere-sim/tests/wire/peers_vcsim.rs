//! vcsim itself beside the model that is named after it.

use peers::{Vcsim as Peer, govc_text};
use vsphere_sim::{Model, Sim, Vcsim};

/// The inventory as govc finds it. The uplink port group of a switch has a number in its name that each server counts by
/// itself.
async fn inventory(url: &str) -> Vec<String> {
    let found = govc_text(url, &["find", "/"]).await.unwrap();
    let lines = found.lines().map(|line| match line.split_once("-DVUplinks-") {
        Some((switch, _)) => format!("{switch}-DVUplinks"),
        None => line.to_owned(),
    });
    lines.collect()
}

#[tokio::test]
#[ignore = "needs vcsim and govc: cargo xtask peers"]
async fn peers_find_the_same_inventory_in_vcsim_and_here() {
    let usual = Vcsim::default;
    let sizes: [(&[&str], Vcsim); 9] = [
        (&[], usual()),
        (&["-dc", "2", "-folder", "1", "-pod", "1"], Vcsim { datacenters: 2, folders: 1, pods: 1, ..usual() }),
        (&["-dc", "2", "-folder", "2", "-vm", "1"], Vcsim { datacenters: 2, folders: 2, vms: 1, ..usual() }),
        (&["-pool", "2", "-app", "1", "-vm", "1"], Vcsim { pools: 2, apps: 1, vms: 1, ..usual() }),
        (
            &["-cluster", "2", "-host", "2", "-standalone-host", "2", "-ds", "2"],
            Vcsim { clusters: 2, hosts: 2, standalone_hosts: 2, datastores: 2, ..usual() },
        ),
        (
            &["-pg", "2", "-pg-nsx", "1", "-nsx", "2"],
            Vcsim { port_groups: 2, nsx_port_groups: 1, opaque_networks: 2, ..usual() },
        ),
        (&["-pg", "0", "-standalone-host", "0"], Vcsim { port_groups: 0, standalone_hosts: 0, ..usual() }),
        (&["-vm", "0", "-cluster", "0", "-ds", "0"], Vcsim { vms: 0, clusters: 0, datastores: 0, ..usual() }),
        (&["-esx", "-vm", "3", "-ds", "2"], Vcsim { esx: true, vms: 3, datastores: 2, ..usual() }),
    ];
    for (flags, size) in sizes {
        let theirs = Peer::start(flags).await.unwrap();
        let ours = Sim::listen_plain(Model::vcsim(size), ([127, 0, 0, 1], 0).into()).await.unwrap();
        let login = format!("http://{}:{}@", Model::USER.replace('@', "%40"), Model::PASSWORD.replace('!', "%21"));
        let url = ours.url().replace("http://", &login);
        assert_eq!(inventory(&url).await, inventory(&theirs.govc_url()).await, "{flags:?}");
    }
}
