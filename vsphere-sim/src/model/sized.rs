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

/// The least capacity of each datastore in bytes, which is the most that VMFS has.
const CAPACITY: i64 = 64 << 40;

/// What a machine may take of its datastore in bytes: its disk, its swap file, and as much again for what tests add.
const ROOM: i64 = 2 * ((USUAL_DISK_GB << 30) + (USUAL.memory_mb << 20));

const USUAL_DISK_GB: i64 = 20;

/// The capacity of each datastore, so that the machines fit: an inventory may have more of them than a VMFS could hold.
fn capacity(size: &Size) -> i64 {
    let datastores = size.datacenters.saturating_mul(size.datastores).max(1);
    let each = i64::try_from(size.vms.div_ceil(datastores)).unwrap_or(i64::MAX);
    each.saturating_mul(ROOM).max(CAPACITY)
}

/// Says why there can't be as much as was asked for.
pub(super) fn check(size: &Size) -> Result<(), String> {
    let Size { datacenters, clusters, hosts, datastores, vms } = *size;
    let needs = |what: &str, there: usize, needed: &[(&str, usize)]| match needed.iter().find(|(_, count)| *count == 0)
    {
        Some((missing, _)) if there > 0 => Err(format!("{there} {what} need at least one {missing}")),
        _ => Ok(()),
    };
    needs("clusters", clusters, &[("datacenter", datacenters)])?;
    needs("datastores", datastores, &[("datacenter", datacenters)])?;
    needs("hosts", hosts, &[("datacenter", datacenters), ("cluster", clusters)])?;
    let places = [("datacenter", datacenters), ("cluster", clusters), ("datastore", datastores)];
    needs("virtual machines", vms, &places)?;
    // Hosts are dealt out to the datacenters first, and machines need one in each.
    if vms > 0 && hosts < datacenters.min(vms) {
        return Err(format!("virtual machines in {datacenters} datacenters need at least a host in each, not {hosts}"));
    }
    Ok(())
}

pub(super) fn build(world: &mut World, size: &Size) -> Outcome<()> {
    let capacity = capacity(size);
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
            .map(|d| datastore::add(world, &format!("{name}_DS{d}"), "VMFS", capacity, &datacenter, &clusters))
            .collect::<Outcome<Vec<Moref>>>()?;
        let network = network::add(world, "VM Network", &datacenter, &clusters)?;
        let mut hosts = vec![Vec::new(); clusters.len()];
        for h in share(size.hosts, size.datacenters, dc) {
            if let Some((c, cluster)) = nth(&clusters, h) {
                hosts[c].push(host::add(world, &format!("{name}_C{c}_H{}", h / clusters.len()), cluster)?);
            }
        }
        // Machines go to clusters that have a host.
        let places: Vec<(&Moref, &Vec<Moref>)> =
            clusters.iter().zip(&hosts).filter(|(_, own)| !own.is_empty()).collect();
        let folder = world.get::<Datacenter>(&datacenter)?.vm_folder.clone();
        for v in share(size.vms, size.datacenters, dc) {
            let Some((c, (cluster, hosts))) = nth(&places, v) else { break };
            let place = Placement {
                folder: folder.clone(),
                pool: world.get::<Compute>(cluster)?.pool.clone(),
                host: nth(hosts, v / places.len()).map(|(_, host)| host.clone()),
                datastore: nth(&datastores, v).map(|(_, datastore)| datastore.clone()),
            };
            let machine = format!("{name}_C{c}_VM{}", v / places.len());
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
    disks_gb: &[USUAL_DISK_GB],
    note: "",
    host_name: "",
    tools: Tools::Open,
    cd_drive: false,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_that_can_not_be_is_refused_with_what_it_needs() {
        let refusal = |size: Size| check(&size).err().unwrap_or_default();
        let size =
            |vms, hosts, clusters, datacenters, datastores| Size { datacenters, clusters, hosts, datastores, vms };
        assert_eq!(refusal(size(50_000, 3, 1, 1, 2)), "");
        assert_eq!(refusal(size(0, 0, 0, 0, 0)), "");
        assert_eq!(refusal(size(1, 1, 1, 1, 0)), "1 virtual machines need at least one datastore");
        assert_eq!(refusal(size(1, 0, 0, 1, 1)), "1 virtual machines need at least one cluster");
        assert_eq!(refusal(size(0, 2, 0, 1, 1)), "2 hosts need at least one cluster");
        assert_eq!(refusal(size(0, 0, 1, 0, 0)), "1 clusters need at least one datacenter");
        let lonely = refusal(size(10, 1, 1, 2, 1));
        assert_eq!(lonely, "virtual machines in 2 datacenters need at least a host in each, not 1");
    }

    #[test]
    fn a_datastore_has_room_for_its_machines_whatever_their_number() {
        let room = |vms| capacity(&Size { vms, ..Size::default() }) / i64::try_from(vms.div_ceil(2)).unwrap_or(1);
        assert_eq!(capacity(&Size::default()), CAPACITY);
        assert!(room(50_000) >= ROOM && room(1_000_000) >= ROOM);
    }
}
