//! A lone ESXi host, reached without a vCenter.

use super::machine::{self, Machine};
use crate::fault::Outcome;
use crate::objects::compute::Compute;
use crate::objects::datacenter::Datacenter;
use crate::objects::host::Profile;
use crate::objects::vm::Placement;
use crate::objects::vm::guest::Tools;
use crate::objects::{compute, datacenter, datastore, host, network};
use crate::world::World;

/// The names that every ESXi gives to what a vCenter's users would name themselves.
const DATACENTER: &str = "ha-datacenter";
const HOST: &str = "localhost.localdomain";
const DATASTORE: &str = "datastore1";
const NETWORK: &str = "VM Network";

/// The capacity of the datastore in bytes.
const CAPACITY: i64 = 2 << 40;

/// Name, guest, CPUs, memory in MB, disk in GB, and whether it runs.
const MACHINES: &[(&str, &str, i32, i64, i64, bool)] = &[
    ("pfsense", "freebsd14_64Guest", 2, 2_048, 16, true),
    ("nas", "debian12_64Guest", 4, 16_384, 500, true),
    ("homeassistant", "debian12_64Guest", 2, 4_096, 32, true),
    ("win-build", "windows11_64Guest", 4, 8_192, 120, false),
];

pub(super) fn build(world: &mut World) -> Outcome<()> {
    let root = world.content.root_folder.clone();
    let datacenter = datacenter::add(world, DATACENTER, &root)?;
    let at = world.get::<Datacenter>(&datacenter)?;
    let (hosts, machines) = (at.host_folder.clone(), at.vm_folder.clone());
    let compute = compute::add(world, HOST, &hosts, None)?;
    let host = host::add_with(world, HOST, &compute, &Profile::SR250)?;
    let seen_by = [compute.clone()];
    let datastore = datastore::add(world, DATASTORE, "VMFS", CAPACITY, &datacenter, &seen_by)?;
    let network = network::add(world, NETWORK, &datacenter, &seen_by)?;
    let place = Placement {
        folder: machines,
        pool: world.get::<Compute>(&compute)?.pool.clone(),
        host: Some(host),
        datastore: Some(datastore),
    };
    for &(name, guest_id, cpus, memory_mb, disk_gb, runs) in MACHINES {
        let machine = Machine {
            name,
            guest_id,
            cpus,
            memory_mb,
            disks_gb: &[disk_gb],
            note: "",
            host_name: name,
            tools: Tools::Open,
            cd_drive: false,
        };
        let vm = machine.make(world, &place, &network)?;
        if runs {
            machine::switch_on(world, &vm)?;
        }
    }
    Ok(())
}
