//! The inventory that govmomi's simulator has at its start, under its names, for tests that were written against it.

use vsphere_model::types::{
    CustomizationAdapterMapping, CustomizationDhcpIpGenerator, CustomizationIPSettings, CustomizationIdentitySettings,
    CustomizationIpGenerator, CustomizationLinuxPrep, CustomizationPrefixName, CustomizationSpec, CustomizationSysprep,
    CustomizationUnknownIpGenerator, CustomizationVirtualMachineName, Poly,
};

use super::machine::{self, Machine};
use crate::fault::{Fault, Outcome};
use crate::objects::compute::Compute;
use crate::objects::datacenter::Datacenter;
use crate::objects::host::Profile;
use crate::objects::network::Network;
use crate::objects::vm::Placement;
use crate::objects::vm::guest::Tools;
use crate::objects::{
    compute, customization_spec_manager, datacenter, datastore, dvs, folder, host, network, resource_pool,
};
use crate::world::{Moref, World};

/// How much there is in the inventory of [`Model::vcsim`](super::Model::vcsim). The defaults are those of vcsim, whose flag is
/// named with each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vcsim {
    /// `-dc`: datacenters, `DC0`, `DC1`…
    pub datacenters: usize,
    /// `-cluster`: clusters in each datacenter, `DC0_C0`…
    pub clusters: usize,
    /// `-host`: hosts in each cluster, `DC0_C0_H0`…
    pub hosts: usize,
    /// `-standalone-host`: hosts in each datacenter that are in no cluster, `DC0_H0`…
    pub standalone_hosts: usize,
    /// `-pool`: resource pools in each cluster beside the root, `DC0_C0_RP1`…
    pub pools: usize,
    /// `-app`: vApps in each cluster, `DC0_C0_APP0`…
    pub apps: usize,
    /// `-pod`: datastore clusters in each datacenter, which are empty, `DC0_POD0`…
    pub pods: usize,
    /// `-ds`: datastores of each datacenter, `LocalDS_0`…
    pub datastores: usize,
    /// `-vm`: VMs in each standalone host, pool and vApp, and in each cluster that has no further pool: `DC0_H0_VM0`,
    /// `DC0_C0_RP0_VM0`…
    pub vms: usize,
    /// `-pg`: distributed port groups in each datacenter, `DC0_DVPG0`…
    pub port_groups: usize,
    /// `-pg-nsx`: the same with NSX behind them, `DC0_NSXPG0`…
    pub nsx_port_groups: usize,
    /// `-nsx`: opaque networks in each datacenter, `DC0_NSX0`…
    pub opaque_networks: usize,
    /// `-folder`: how many datacenters, from the last on, are in a folder of their own, and have one in each of their four:
    /// `F0`…
    pub folders: usize,
    /// `-autostart`: whether the VMs run.
    pub autostart: bool,
    /// `-esx`: a lone ESXi host; of the numbers only those of datastores and VMs count then.
    pub esx: bool,
}

impl Default for Vcsim {
    fn default() -> Self {
        Self {
            datacenters: 1,
            clusters: 1,
            hosts: 3,
            standalone_hosts: 1,
            pools: 0,
            apps: 0,
            pods: 0,
            datastores: 1,
            vms: 2,
            port_groups: 1,
            nsx_port_groups: 0,
            opaque_networks: 0,
            folders: 0,
            autostart: true,
            esx: false,
        }
    }
}

/// The capacity of each datastore in bytes.
const CAPACITY: i64 = 10 << 40;

/// From what the UUIDs and addresses are made, so that each start gives the same.
const SEED: u64 = 0x7663_7369_6d00_0001;

/// What all machines have.
const USUAL: Machine<'_> = Machine {
    name: "",
    guest_id: "otherGuest",
    cpus: 1,
    memory_mb: 32,
    disks_gb: &[10],
    note: "",
    host_name: "",
    tools: Tools::Open,
    cd_drive: true,
};

/// Says why there can't be as much as was asked for.
pub(super) fn check(size: &Vcsim) -> Result<(), String> {
    let standalone = !size.esx && size.datacenters * size.standalone_hosts > 0;
    let clustered = !size.esx && size.datacenters * size.clusters > 0;
    let any = size.vms > 0 && (size.esx || standalone || clustered);
    if any && size.datastores == 0 {
        return Err("VMs need a datastore: let there be one (-ds), or no VM (-vm 0)".to_owned());
    }
    if size.vms > 0 && clustered && size.hosts == 0 {
        return Err("VMs of a cluster need a host: let there be one (-host), or no VM (-vm 0)".to_owned());
    }
    Ok(())
}

pub(super) fn build(world: &mut World, size: &Vcsim) -> Outcome<()> {
    let after = fastrand::u64(..);
    fastrand::seed(SEED);
    let built = if size.esx { lone_host(world, size) } else { datacenters(world, size) };
    fastrand::seed(after);
    built
}

fn datacenters(world: &mut World, size: &Vcsim) -> Outcome<()> {
    let plain = size.datacenters.saturating_sub(size.folders);
    for number in 0..size.datacenters {
        // Folders count by themselves, from the first datacenter that has one.
        let folder = number.checked_sub(plain).map(|folder| format!("F{folder}"));
        datacenter(world, size, &format!("DC{number}"), folder.as_deref())?;
    }
    customizations(world)
}

/// The customization specifications that vcsim's users know.
fn customizations(world: &mut World) -> Outcome<()> {
    let linux = || {
        let mut identity = CustomizationLinuxPrep { domain: "eng.vmware.com".to_owned(), ..Default::default() };
        identity.time_zone = Some("Pacific/Apia".to_owned());
        identity.hw_clock_utc = Some(true);
        identity
    };
    let windows = || {
        let mut identity = CustomizationSysprep::default();
        identity.user_data.full_name = "vcsim".to_owned();
        identity.user_data.org_name = "VMware".to_owned();
        identity
    };
    let base = || CustomizationPrefixName { base_: "vcsim".to_owned(), ..Default::default() };
    let spec = |identity: Poly<CustomizationIdentitySettings>, ip: Poly<CustomizationIpGenerator>| {
        let adapter = CustomizationIPSettings { ip, ..Default::default() };
        let nic_setting_map = vec![CustomizationAdapterMapping { adapter, ..Default::default() }];
        CustomizationSpec { identity, nic_setting_map, ..Default::default() }
    };
    let (dhcp, asked) = (
        || Poly::new(CustomizationDhcpIpGenerator::default()),
        || Poly::new(CustomizationUnknownIpGenerator::default()),
    );
    let mut by_machine = linux();
    by_machine.host_name = Poly::new(CustomizationVirtualMachineName::default());
    let mut numbered = linux();
    numbered.host_name = Poly::new(base());
    let (mut alone, mut joined) = (windows(), windows());
    alone.user_data.computer_name = Poly::new(base());
    joined.user_data.computer_name = Poly::new(base());
    joined.identification.join_domain = Some("DOMAIN".to_owned());
    for (name, spec) in [
        ("vcsim-linux", spec(Poly::new(by_machine), dhcp())),
        ("vcsim-linux-static", spec(Poly::new(numbered), asked())),
        ("vcsim-windows-static", spec(Poly::new(alone), asked())),
        ("vcsim-windows-domain", spec(Poly::new(joined), dhcp())),
    ] {
        customization_spec_manager::provide(world, name, "", spec)?;
    }
    Ok(())
}

/// A datacenter while it is made.
struct Site<'a> {
    size: &'a Vcsim,
    datacenter: Moref,
    hosts: Moref,
    machines: Moref,
    datastores: Moref,
    networks: Moref,
    switch: Option<Moref>,
    computes: Vec<Moref>,
    /// What is to run where when there are datastores: what names begin with, the hosts, the pool.
    places: Vec<(String, Vec<Moref>, Moref)>,
}

fn datacenter(world: &mut World, size: &Vcsim, name: &str, folder: Option<&str>) -> Outcome<()> {
    let mut parent = world.content.root_folder.clone();
    if let Some(folder) = folder {
        parent = folder::add_below(world, folder, &parent)?;
    }
    let datacenter = datacenter::add(world, name, &parent)?;
    let of_all = |world: &World| {
        let made: &Datacenter = world.get(&datacenter)?;
        let folders = [&made.host_folder, &made.vm_folder, &made.datastore_folder, &made.network_folder];
        Outcome::Ok(folders.map(Moref::clone))
    };
    let [mut hosts, mut machines, mut datastores, mut networks] = of_all(world)?;
    for pod in 0..size.pods {
        folder::add_pod(world, &format!("{name}_POD{pod}"), &datastores)?;
    }
    network::add(world, STANDARD, &datacenter, &[])?;
    if let Some(folder) = folder {
        for place in [&mut datastores, &mut hosts, &mut networks, &mut machines] {
            *place = folder::add_below(world, folder, place)?;
        }
    }
    let mut site = Site {
        size,
        datacenter,
        hosts,
        machines,
        datastores,
        networks,
        switch: None,
        computes: Vec::new(),
        places: Vec::new(),
    };
    site.networks(world, name)?;
    for number in 0..size.standalone_hosts {
        site.standalone(world, &format!("{name}_H{number}"))?;
    }
    for number in 0..size.clusters {
        site.cluster(world, &format!("{name}_C{number}"))?;
    }
    site.opaque_networks(world, name)?;
    site.run(world)
}

/// The network that every host has.
const STANDARD: &str = "VM Network";

impl Site<'_> {
    fn networks(&mut self, world: &mut World, name: &str) -> Outcome<()> {
        if self.size.port_groups + self.size.nsx_port_groups == 0 {
            return Ok(());
        }
        let switch = dvs::add(world, "DVS0", &self.networks)?;
        for number in 0..self.size.port_groups {
            dvs::portgroup::add(world, &switch, &format!("{name}_DVPG{number}"), 0)?;
        }
        for number in 0..self.size.nsx_port_groups {
            let group = dvs::portgroup::add(world, &switch, &format!("{name}_NSXPG{number}"), 0)?;
            if let Some(config) = &mut world.edit::<Network>(&group)?.portgroup {
                config.backing_type = Some("nsx".to_owned());
            }
        }
        self.switch = Some(switch);
        Ok(())
    }

    /// Each host of the datacenter has them, so that they come after the hosts.
    fn opaque_networks(&self, world: &mut World, name: &str) -> Outcome<()> {
        for number in 0..self.size.opaque_networks {
            let name = format!("{name}_NSX{number}");
            let id = crate::world::uuid(fastrand::u128(..));
            let kind = (id.as_str(), "nsx.LogicalSwitch");
            let made = network::add_opaque(world, &name, kind, &self.datacenter, &self.computes)?;
            move_to(world, &made, &self.networks)?;
        }
        Ok(())
    }

    fn host(&self, world: &mut World, name: &str, compute: &Moref) -> Outcome<Moref> {
        let host = host::add(world, name, compute)?;
        network::join(world, &host, STANDARD)?;
        if let Some(switch) = &self.switch {
            // The first two are the standard switch's.
            dvs::add_host(world, switch, &host, &["vmnic2", "vmnic3"].map(str::to_owned))?;
        }
        Ok(host)
    }

    fn standalone(&mut self, world: &mut World, name: &str) -> Outcome<()> {
        let compute = compute::add(world, name, &self.hosts, None)?;
        let host = self.host(world, name, &compute)?;
        let pool = world.get::<Compute>(&compute)?.pool.clone();
        self.places.push((name.to_owned(), vec![host], pool));
        self.computes.push(compute);
        Ok(())
    }

    fn cluster(&mut self, world: &mut World, name: &str) -> Outcome<()> {
        let cluster = compute::add(world, name, &self.hosts, Some(Default::default()))?;
        let mut hosts = Vec::new();
        for number in 0..self.size.hosts {
            hosts.push(self.host(world, &format!("{name}_H{number}"), &cluster)?);
        }
        let root = world.get::<Compute>(&cluster)?.pool.clone();
        // The root counts as the pool with the number 0, which has machines only where it is the only one.
        if self.size.pools == 0 {
            self.places.push((format!("{name}_RP0"), hosts.clone(), root.clone()));
        }
        for number in 1..=self.size.pools {
            let name = format!("{name}_RP{number}");
            let pool = resource_pool::add_child(world, &name, &root, &Default::default())?;
            self.places.push((name, hosts.clone(), pool));
        }
        for number in 0..self.size.apps {
            let name = format!("{name}_APP{number}");
            let app = resource_pool::add_app(world, &name, &root)?;
            self.places.push((name, hosts.clone(), app));
        }
        self.computes.push(cluster);
        Ok(())
    }

    /// The datastores, and the machines on the first of them.
    fn run(&self, world: &mut World) -> Outcome<()> {
        let mut first = None;
        for number in 0..self.size.datastores {
            let name = format!("LocalDS_{number}");
            let made = datastore::add(world, &name, "VMFS", CAPACITY, &self.datacenter, &self.computes)?;
            move_to(world, &made, &self.datastores)?;
            first.get_or_insert(made);
        }
        let network = self.network(world)?;
        for (prefix, hosts, pool) in &self.places {
            for number in 0..self.size.vms {
                let place = Placement {
                    folder: self.machines.clone(),
                    pool: pool.clone(),
                    host: hosts.iter().cycle().nth(number % hosts.len().max(1)).cloned(),
                    datastore: first.clone(),
                };
                machine(world, &format!("{prefix}_VM{number}"), &place, &network, self.size.autostart)?;
            }
        }
        Ok(())
    }

    /// The network of all machines: the first distributed port group, where there is one.
    fn network(&self, world: &World) -> Outcome<Moref> {
        let networks = &world.get::<Datacenter>(&self.datacenter)?.networks;
        let ends = |network: &&Moref, end: &str| world.name_of(network).ends_with(end);
        let group = networks.iter().find(|network| self.size.port_groups > 0 && ends(network, "_DVPG0"));
        let network = group.or_else(|| networks.iter().find(|network| ends(network, STANDARD)));
        network.cloned().ok_or_else(|| Fault::not_found(&self.networks))
    }
}

fn machine(world: &mut World, name: &str, place: &Placement, network: &Moref, runs: bool) -> Outcome<()> {
    let vm = Machine { name, ..USUAL }.make(world, place, network)?;
    if runs { machine::switch_on(world, &vm) } else { Ok(()) }
}

/// Moves an entity that was made in the folder of its datacenter into one below.
fn move_to(world: &mut World, entity: &Moref, folder: &Moref) -> Outcome<()> {
    if world.entity(entity)?.parent.as_ref() != Some(folder) {
        world.unhang(entity)?;
        world.hang(entity, folder)?;
    }
    Ok(())
}

/// An ESXi host that no vCenter manages.
fn lone_host(world: &mut World, size: &Vcsim) -> Outcome<()> {
    let root = world.content.root_folder.clone();
    let datacenter = datacenter::add(world, "ha-datacenter", &root)?;
    let made: &Datacenter = world.get(&datacenter)?;
    let (hosts, machines) = (made.host_folder.clone(), made.vm_folder.clone());
    let compute = compute::add(world, LONE, &hosts, None)?;
    let host = host::add_with(world, LONE, &compute, &Profile::SR250)?;
    let seen_by = [compute.clone()];
    let network = network::add(world, STANDARD, &datacenter, &seen_by)?;
    let mut first = None;
    for number in 0..size.datastores {
        let made = datastore::add(world, &format!("LocalDS_{number}"), "VMFS", CAPACITY, &datacenter, &seen_by)?;
        first.get_or_insert(made);
    }
    let pool = world.get::<Compute>(&compute)?.pool.clone();
    let place = Placement { folder: machines, pool, host: Some(host), datastore: first };
    for number in 0..size.vms {
        machine(world, &format!("ha-host_VM{number}"), &place, &network, size.autostart)?;
    }
    Ok(())
}

/// The name of the host.
const LONE: &str = "localhost.localdomain";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_need_a_datastore_and_a_host() {
        let refusal = |size: Vcsim| check(&size).err().unwrap_or_default();
        assert_eq!(refusal(Vcsim::default()), "");
        assert!(refusal(Vcsim { datastores: 0, ..Vcsim::default() }).contains("(-ds)"));
        assert!(refusal(Vcsim { datastores: 0, esx: true, ..Vcsim::default() }).contains("(-ds)"));
        assert!(refusal(Vcsim { hosts: 0, ..Vcsim::default() }).contains("(-host)"));
        assert_eq!(refusal(Vcsim { hosts: 0, vms: 0, datastores: 0, ..Vcsim::default() }), "");
        assert_eq!(refusal(Vcsim { datacenters: 0, datastores: 0, ..Vcsim::default() }), "");
    }
}
