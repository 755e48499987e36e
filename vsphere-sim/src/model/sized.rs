//! An inventory of any size, under names that count.

use vsphere_model::types::{ClusterConfigInfoEx, ClusterDasConfigInfo, ClusterDrsConfigInfo, DrsBehavior};

use super::Size;
use super::machine::{self, Machine};
use crate::fault::Outcome;
use crate::objects::compute::Compute;
use crate::objects::datacenter::Datacenter;
use crate::objects::vm::Placement;
use crate::objects::vm::guest::Tools;
use crate::objects::{compute, datacenter, datastore, host, network};
use crate::world::{Moref, World};

/// The capacity of each datastore in bytes.
const CAPACITY: i64 = 64 << 40;

pub(super) fn build(world: &mut World, size: &Size) -> Outcome<()> {
    let root = world.content.root_folder.clone();
    for dc in 0..size.datacenters {
        let name = format!("DC{dc}");
        let datacenter = datacenter::add(world, &name, &root)?;
        let folder = world.get::<Datacenter>(&datacenter)?.host_folder.clone();
        let mut clusters = Vec::new();
        for c in 0..size.clusters {
            let cluster = compute::add(world, &format!("{name}_C{c}"), &folder, Some(cluster_configuration(true)))?;
            clusters.push(cluster);
        }
        let datastores = (0..size.datastores)
            .map(|d| datastore::add(world, &format!("{name}_DS{d}"), "VMFS", CAPACITY, &datacenter, &clusters))
            .collect::<Outcome<Vec<Moref>>>()?;
        let network = network::add(world, "VM Network", &datacenter, &clusters)?;
        let mut hosts = Vec::new();
        for h in share(size.hosts, size.datacenters, dc) {
            if let Some((c, cluster)) = nth(&clusters, h) {
                hosts.push(host::add(world, &format!("{name}_C{c}_H{}", h / clusters.len()), cluster)?);
            }
        }
        let folder = world.get::<Datacenter>(&datacenter)?.vm_folder.clone();
        for v in share(size.vms, size.datacenters, dc) {
            let Some((c, cluster)) = nth(&clusters, v) else { break };
            let place = Placement {
                folder: folder.clone(),
                pool: world.get::<Compute>(cluster)?.pool.clone(),
                // Dealt out like the hosts, so that a machine's host is in its cluster.
                host: nth(&hosts, v).map(|(_, host)| host.clone()),
                datastore: nth(&datastores, v).map(|(_, datastore)| datastore.clone()),
            };
            let machine = format!("{name}_C{c}_VM{}", v / clusters.len());
            let host_name = machine.to_lowercase().replace('_', "-");
            let vm = Machine { name: &machine, host_name: &host_name, ..USUAL }.make(world, &place, &network)?;
            machine::switch_on(world, &vm)?;
        }
    }
    Ok(())
}

/// What all machines have.
const USUAL: Machine<'_> = Machine {
    name: "",
    guest_id: "ubuntu64Guest",
    cpus: 2,
    memory_mb: 4096,
    disks_gb: &[20],
    note: "",
    host_name: "",
    tools: Tools::Open,
};

/// A cluster with DRS and HA, as most are.
///
/// Where it is not `automatic`, DRS only recommends.
pub(super) fn cluster_configuration(automatic: bool) -> ClusterConfigInfoEx {
    let behavior = if automatic { DrsBehavior::FullyAutomated } else { DrsBehavior::Manual };
    ClusterConfigInfoEx {
        das_config: ClusterDasConfigInfo { enabled: Some(true), ..Default::default() },
        drs_config: ClusterDrsConfigInfo {
            enabled: Some(true),
            default_vm_behavior: Some(behavior),
            vmotion_rate: Some(3),
            ..Default::default()
        },
        ..Default::default()
    }
}

/// The part of so many things that falls to one of several, as numbers from 0.
fn share(things: usize, among: usize, one: usize) -> std::ops::Range<usize> {
    0..things / among + usize::from(one < things % among)
}

/// The item that thing `n` belongs to when things are dealt out in turn.
fn nth<T>(items: &[T], n: usize) -> Option<(usize, &T)> {
    let at = n.checked_rem(items.len())?;
    items.get(at).map(|item| (at, item))
}
