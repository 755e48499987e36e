//! The inventory of a shop as there are many: two clusters, some forty machines in folders, templates, old snapshots, a
//! datastore that runs full, and a past.
//!
//! The names and addresses are made up; `corp.example` is reserved for that (RFC 2606).

use std::collections::HashMap;

use vsphere_model::types::VmCreatedEvent;

use super::machine::{self, Machine, SYSTEM};
use super::sized::cluster_configuration;
use crate::fault::{Fault, Outcome};
use crate::objects::compute::Compute;
use crate::objects::datacenter::Datacenter;
use crate::objects::datastore::Datastore;
use crate::objects::datastore::files::File;
use crate::objects::host::Profile;
use crate::objects::vm::guest::Tools;
use crate::objects::vm::snapshot::{self, Wanted};
use crate::objects::vm::{Placement, power, template};
use crate::objects::{compute, datacenter, datastore, dvs, folder, host, network};
use crate::world::{Moref, World};

/// A machine as the catalogue has it.
struct Row {
    name: &'static str,
    folder: &'static str,
    cluster: &'static str,
    datastore: &'static str,
    network: &'static str,
    guest_id: &'static str,
    cpus: i32,
    memory_gb: i64,
    disks_gb: &'static [i64],
    state: State,
    note: &'static str,
}

/// What a machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    On,
    /// On, with Tools that should be updated.
    OldTools,
    Off,
    Suspended,
    Template,
}

/// The datacenter.
const DATACENTER: &str = "fra1";

/// The distributed switch.
const SWITCH: &str = "dvs-fra1";

/// How many days ago the first thing was bought.
const FOUNDED: i64 = 1_500;

/// The domain of all guests.
const DOMAIN: &str = "corp.example";

/// Clusters: the name, how many hosts of which kind, whether its DRS moves machines by itself.
const CLUSTERS: &[(&str, usize, Profile, bool)] =
    &[("prod-cluster", 4, Profile::R760, true), ("lab-cluster", 2, Profile::R650, false)];

/// Datastores: the name, the kind, TB, and the cluster that sees it; empty for all.
const DATASTORES: &[(&str, &str, i64, &str)] = &[
    ("nvme-01", "VMFS", 16, "prod-cluster"),
    ("nvme-02", "VMFS", 16, "prod-cluster"),
    ("lab-ssd", "VMFS", 8, "lab-cluster"),
    ("backup-nfs", "NFS", 40, ""),
    ("iso-library", "NFS", 1, ""),
];

/// Distributed port groups: the name and its VLAN.
const PORTGROUPS: &[(&str, i32)] = &[("prod-web", 110), ("prod-db", 120), ("infra", 130), ("dmz", 190), ("lab", 210)];

/// Categories of tags, of which a machine has one alone where `true`, and their tags.
const TAGS: &[(&str, bool, &[&str])] = &[
    ("Environment", true, &["prod", "test"]),
    ("Backup", true, &["daily", "none", "weekly"]),
    ("Compliance", false, &["gdpr", "pci-dss"]),
];

/// Snapshots: the machine, the name, what it says, how many days it is old.
const SNAPSHOTS: &[(&str, &str, &str, i64)] = &[
    ("erp-app-01", "before 2026.2 upgrade", "Change CHG-4711; remove after the acceptance test", 97),
    ("erp-app-01", "before hotfix 3", "Change CHG-4802", 61),
    ("git-01", "before migration", "", 34),
    ("legacy-crm", "do not delete", "Nobody knows whether this is still needed", 412),
    ("test-alice", "clean install", "", 12),
    ("test-alice", "with agent", "", 8),
];

/// Files that are no machine's: the datastore, the path, MB. The exports let their datastore run full.
const FILES: &[(&str, &str, i64)] = &[
    ("lab-ssd", "exports/k8s-2025-11.ova", 2_900_000),
    ("lab-ssd", "exports/k8s-2026-02.ova", 4_350_000),
    ("iso-library", "linux/ubuntu-24.04.3-live-server-amd64.iso", 3_250),
    ("iso-library", "linux/rhel-9.6-x86_64-dvd.iso", 11_900),
    ("iso-library", "linux/debian-13.1.0-amd64-netinst.iso", 780),
    ("iso-library", "windows/windows-server-2022.iso", 5_420),
    ("iso-library", "tools/memtest86plus-7.20.iso", 18),
];

const UBUNTU: &str = "ubuntu64Guest";
const DEBIAN: &str = "debian12_64Guest";
const RHEL: &str = "rhel9_64Guest";
const WINDOWS: &str = "windows2019srvNext_64Guest";
const OLD_WINDOWS: &str = "windows7Server64Guest";

/// A row of the production cluster.
const fn prod(
    name: &'static str,
    folder: &'static str,
    network: &'static str,
    guest_id: &'static str,
    cpus: i32,
    memory_gb: i64,
    disks_gb: &'static [i64],
) -> Row {
    Row {
        name,
        folder,
        cluster: "prod-cluster",
        datastore: "nvme-01",
        network,
        guest_id,
        cpus,
        memory_gb,
        disks_gb,
        state: State::On,
        note: "",
    }
}

/// A row of the lab.
const fn lab(
    name: &'static str,
    guest_id: &'static str,
    cpus: i32,
    memory_gb: i64,
    disks_gb: &'static [i64],
    state: State,
) -> Row {
    let row = prod(name, "lab", "lab", guest_id, cpus, memory_gb, disks_gb);
    Row { cluster: "lab-cluster", datastore: "lab-ssd", state, ..row }
}

impl Row {
    const fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    const fn on_second(self) -> Self {
        Self { datastore: "nvme-02", ..self }
    }

    const fn state(self, state: State) -> Self {
        Self { state, ..self }
    }
}

/// All machines.
const MACHINES: &[Row] = &[
    prod("web-01", "prod/web", "prod-web", UBUNTU, 4, 8, &[40]).note("Shop frontend. Owner: team web"),
    prod("web-02", "prod/web", "prod-web", UBUNTU, 4, 8, &[40]).note("Shop frontend. Owner: team web"),
    prod("web-03", "prod/web", "prod-web", UBUNTU, 4, 8, &[40]).on_second().note("Shop frontend. Owner: team web"),
    prod("web-04", "prod/web", "prod-web", UBUNTU, 4, 8, &[40])
        .on_second()
        .state(State::Off)
        .note("Spare for sales days"),
    prod("lb-01", "prod/web", "dmz", DEBIAN, 2, 4, &[20]),
    prod("lb-02", "prod/web", "dmz", DEBIAN, 2, 4, &[20]).on_second(),
    prod("app-01", "prod/app", "prod-web", RHEL, 8, 16, &[60]),
    prod("app-02", "prod/app", "prod-web", RHEL, 8, 16, &[60]).on_second(),
    prod("app-03", "prod/app", "prod-web", RHEL, 8, 16, &[60]),
    prod("queue-01", "prod/app", "prod-web", DEBIAN, 4, 8, &[30, 100]),
    prod("cache-01", "prod/app", "prod-web", DEBIAN, 2, 32, &[20]),
    prod("cache-02", "prod/app", "prod-web", DEBIAN, 2, 32, &[20]).on_second(),
    prod("pg-01", "prod/db", "prod-db", RHEL, 16, 128, &[60, 800, 200])
        .note("PostgreSQL primary. Never power off without the DBA"),
    prod("pg-02", "prod/db", "prod-db", RHEL, 16, 128, &[60, 800, 200]).on_second().note("PostgreSQL standby"),
    prod("mssql-01", "prod/db", "prod-db", WINDOWS, 8, 64, &[100, 500, 100]),
    prod("search-01", "prod/db", "prod-db", UBUNTU, 8, 64, &[40, 600]),
    prod("search-02", "prod/db", "prod-db", UBUNTU, 8, 64, &[40, 600]).on_second(),
    prod("erp-app-01", "prod/erp", "prod-web", WINDOWS, 8, 32, &[120]).note("ERP application server"),
    prod("erp-db-01", "prod/erp", "prod-db", WINDOWS, 8, 96, &[120, 1_000]).on_second(),
    prod("dc-01", "infra", "infra", WINDOWS, 2, 8, &[80]).note("Domain controller"),
    prod("dc-02", "infra", "infra", WINDOWS, 2, 8, &[80]).on_second().note("Domain controller"),
    prod("dns-01", "infra", "infra", DEBIAN, 1, 2, &[16]),
    prod("dns-02", "infra", "infra", DEBIAN, 1, 2, &[16]).on_second(),
    prod("mon-01", "infra", "infra", UBUNTU, 4, 16, &[40, 400]).note("Monitoring"),
    prod("log-01", "infra", "infra", UBUNTU, 8, 32, &[40, 2_000]).on_second().note("Log archive, 400 days"),
    prod("git-01", "infra", "infra", UBUNTU, 4, 16, &[60, 500]),
    prod("ci-runner-01", "infra/ci", "infra", UBUNTU, 16, 32, &[200]),
    prod("ci-runner-02", "infra/ci", "infra", UBUNTU, 16, 32, &[200]).on_second(),
    prod("vault-01", "infra", "infra", DEBIAN, 2, 4, &[20]),
    prod("backup-01", "infra", "infra", RHEL, 8, 32, &[60, 300]).note("Backup proxy; writes to backup-nfs"),
    prod("jump-01", "infra", "dmz", DEBIAN, 2, 4, &[20]),
    prod("print-01", "infra", "infra", OLD_WINDOWS, 2, 4, &[60]).state(State::OldTools),
    prod("legacy-crm", "prod/legacy", "prod-web", OLD_WINDOWS, 4, 8, &[80, 200])
        .state(State::OldTools)
        .note("Read-only since 2024"),
    prod("tpl-ubuntu-24.04", "templates", "infra", UBUNTU, 2, 4, &[20]).state(State::Template),
    prod("tpl-rhel-9", "templates", "infra", RHEL, 2, 4, &[30]).state(State::Template),
    prod("tpl-windows-2022", "templates", "infra", WINDOWS, 2, 8, &[80]).state(State::Template),
    lab("k8s-cp-01", UBUNTU, 4, 8, &[60], State::On),
    lab("k8s-node-01", UBUNTU, 8, 32, &[120], State::On),
    lab("k8s-node-02", UBUNTU, 8, 32, &[120], State::On),
    lab("test-alice", DEBIAN, 2, 4, &[30], State::On),
    lab("test-bob", WINDOWS, 4, 8, &[80], State::Off),
    lab("win-sandbox", WINDOWS, 4, 16, &[100], State::Suspended),
    lab("loadgen-01", UBUNTU, 16, 16, &[40], State::Off),
];

/// Fills a world with the shop, and lets it have a past.
pub(super) fn build(world: &mut World) -> Outcome<()> {
    world.travel(FOUNDED);
    let mut shop = Shop::found(world)?;
    let mut past: Vec<(i64, Deed)> = Vec::new();
    for (row, number) in MACHINES.iter().zip(0_i64..) {
        // The oldest first, the lab last.
        let made = if row.folder == "prod/legacy" { 1_400 } else { 700 - number * 14 };
        past.push((made, Deed::Make(row)));
        past.push((if row.state == State::Template { made } else { made.min(3 + number * 5 % 160) }, Deed::Start(row)));
    }
    past.extend(SNAPSHOTS.iter().map(|snapshot| (snapshot.3, Deed::Snapshot(snapshot))));
    // Of two deeds on one day, the machine is made before it is started.
    past.sort_by_key(|(days, _)| -days);
    for (days, deed) in past {
        world.travel(days);
        shop.carry_out(world, deed)?;
    }
    world.travel(0);
    shop.tag(world)
}

/// Something that was done to a machine.
enum Deed {
    Make(&'static Row),
    Start(&'static Row),
    Snapshot(&'static (&'static str, &'static str, &'static str, i64)),
}

/// The inventory while it is made.
struct Shop {
    datacenter: Moref,
    folders: HashMap<String, Moref>,
    pools: HashMap<&'static str, Moref>,
    hosts: HashMap<&'static str, Vec<Moref>>,
    datastores: HashMap<&'static str, Moref>,
    networks: HashMap<&'static str, Moref>,
    machines: HashMap<&'static str, Moref>,
}

impl Shop {
    /// The hardware: clusters, hosts, datastores, networks.
    fn found(world: &mut World) -> Outcome<Self> {
        let root = world.content.root_folder.clone();
        let datacenter = datacenter::add(world, DATACENTER, &root)?;
        let at = world.get::<Datacenter>(&datacenter)?;
        let (host_folder, vm_folder) = (at.host_folder.clone(), at.vm_folder.clone());
        let mut shop = Self {
            datacenter,
            folders: HashMap::from([(String::new(), vm_folder)]),
            pools: HashMap::new(),
            hosts: HashMap::new(),
            datastores: HashMap::new(),
            networks: HashMap::new(),
            machines: HashMap::new(),
        };
        let mut clusters = Vec::new();
        let mut number = 0;
        for (name, hosts, profile, automatic) in CLUSTERS {
            let cluster = compute::add(world, name, &host_folder, Some(cluster_configuration(*automatic)))?;
            for _ in 0..*hosts {
                number += 1;
                let host = host::add_with(world, &format!("esx-{number:02}.{DOMAIN}"), &cluster, profile)?;
                shop.hosts.entry(name).or_default().push(host);
            }
            shop.pools.insert(name, world.get::<Compute>(&cluster)?.pool.clone());
            clusters.push((*name, cluster));
        }
        for (name, kind, terabytes, of) in DATASTORES {
            let seen_by: Vec<Moref> = clusters
                .iter()
                .filter(|(cluster, _)| of.is_empty() || cluster == of)
                .map(|(_, cluster)| cluster.clone())
                .collect();
            let datastore = datastore::add(world, name, kind, terabytes << 40, &shop.datacenter, &seen_by)?;
            shop.datastores.insert(name, datastore);
        }
        let all: Vec<Moref> = clusters.into_iter().map(|(_, cluster)| cluster).collect();
        network::add(world, "VM Network", &shop.datacenter, &all)?;
        network::add_opaque(world, "nsx-partners", ("7d0e3a51-partners", "nsx.LogicalSwitch"), &shop.datacenter, &all)?;
        let folder = world.get::<Datacenter>(&shop.datacenter)?.network_folder.clone();
        let switch = dvs::add(world, SWITCH, &folder)?;
        for host in shop.hosts.values().flatten() {
            // The first two are the standard switch's.
            dvs::add_host(world, &switch, host, &["vmnic2", "vmnic3"].map(str::to_owned))?;
        }
        for (name, vlan) in PORTGROUPS {
            let network = dvs::portgroup::add(world, &switch, name, *vlan)?;
            shop.networks.insert(name, network);
        }
        for (datastore, path, megabytes) in FILES {
            let datastore = world.edit::<Datastore>(&found(&shop.datastores, datastore)?)?;
            if let Some((folder, _)) = path.rsplit_once('/') {
                // It may be there from the file before.
                let _ = datastore.make_folder(folder, true);
            }
            datastore.put_file(path, File::made(megabytes << 20))?;
        }
        Ok(shop)
    }

    fn carry_out(&mut self, world: &mut World, deed: Deed) -> Outcome<()> {
        match deed {
            Deed::Make(row) => self.make(world, row),
            Deed::Start(row) => self.start(world, row),
            Deed::Snapshot((vm, name, description, _)) => {
                let vm = found(&self.machines, vm)?;
                let wanted =
                    Wanted { name: (*name).to_owned(), description: (*description).to_owned(), ..Wanted::default() };
                let now = world.now();
                snapshot::freeze(world, &vm, &wanted, now).map(drop)
            }
        }
    }

    fn make(&mut self, world: &mut World, row: &'static Row) -> Outcome<()> {
        let folder = self.folder(world, row.folder)?;
        let hosts = self.hosts.get(row.cluster).map(Vec::as_slice).unwrap_or_default();
        let place = Placement {
            folder,
            pool: found(&self.pools, row.cluster)?,
            // In turn, as DRS would have it.
            host: hosts.get(self.machines.len() % hosts.len().max(1)).cloned(),
            datastore: Some(found(&self.datastores, row.datastore)?),
        };
        let host_name = format!("{}.{DOMAIN}", row.name);
        let machine = Machine {
            name: row.name,
            guest_id: row.guest_id,
            cpus: row.cpus,
            memory_mb: row.memory_gb << 10,
            disks_gb: row.disks_gb,
            note: row.note,
            host_name: &host_name,
            tools: match row.state {
                State::OldTools => Tools::Old,
                _ if row.guest_id.starts_with("windows") => Tools::Current,
                _ => Tools::Open,
            },
            cd_drive: false,
        };
        let network = found(&self.networks, row.network)?;
        let vm = machine.make(world, &place, &network)?;
        world.post(&vm, SYSTEM, VmCreatedEvent::default(), format!("Created virtual machine {}", row.name));
        self.machines.insert(row.name, vm);
        Ok(())
    }

    fn start(&self, world: &mut World, row: &Row) -> Outcome<()> {
        let vm = found(&self.machines, row.name)?;
        match row.state {
            State::On | State::OldTools => machine::switch_on(world, &vm),
            State::Suspended => {
                machine::switch_on(world, &vm)?;
                power::turn_to_sleep(world, &vm, SYSTEM)
            }
            State::Template => template::to_template(world, &vm),
            State::Off => Ok(()),
        }
    }

    /// Tags the machines: by their cluster, by how they are backed up, and by what they hold.
    fn tag(&self, world: &mut World) -> Outcome<()> {
        let mut ids = HashMap::new();
        for (category, single, tags) in TAGS {
            let id = world.tagging.add_category(category, *single, &["VirtualMachine"], "");
            for tag in *tags {
                ids.insert((*category, *tag), world.tagging.add_tag(&id, tag, ""));
            }
        }
        for row in MACHINES.iter().filter(|row| row.state != State::Template) {
            let lab = row.cluster == "lab-cluster";
            let holds_data = row.folder == "prod/db" || row.folder == "prod/erp";
            let mut wanted = vec![("Environment", if lab { "test" } else { "prod" })];
            match (lab, row.folder) {
                (true, _) => {}
                (false, "prod/db" | "prod/erp" | "infra") => wanted.push(("Backup", "daily")),
                (false, _) => wanted.push(("Backup", "weekly")),
            }
            wanted.extend(holds_data.then_some(("Compliance", "gdpr")));
            wanted.extend((row.name.starts_with("pg-")).then_some(("Compliance", "pci-dss")));
            let vm = found(&self.machines, row.name)?;
            for tag in wanted {
                let id = ids.get(&tag).ok_or_else(|| Fault::invalid_argument(tag.1))?;
                world.tagging.attach(id, &vm).map_err(|_| Fault::invalid_argument(tag.1))?;
            }
        }
        Ok(())
    }

    /// The folder at this path below the datacenter's own, made where it is not there.
    fn folder(&mut self, world: &mut World, path: &str) -> Outcome<Moref> {
        if let Some(folder) = self.folders.get(path) {
            return Ok(folder.clone());
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.folder(world, above)?;
        let folder = folder::add(world, name, &parent, 'v', &["Folder", "VirtualMachine", "VirtualApp"]);
        world.hang(&folder, &parent)?;
        self.folders.insert(path.to_owned(), folder.clone());
        Ok(folder)
    }
}

fn found(map: &HashMap<&'static str, Moref>, name: &str) -> Outcome<Moref> {
    map.get(name).cloned().ok_or_else(|| Fault::invalid_argument(name))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_machine_stands_where_there_is_something() {
        let mut names = HashSet::new();
        for row in MACHINES {
            assert!(names.insert(row.name), "{} stands twice", row.name);
            assert!(CLUSTERS.iter().any(|(name, ..)| *name == row.cluster), "{}: {}", row.name, row.cluster);
            let datastore = DATASTORES.iter().find(|(name, ..)| *name == row.datastore);
            assert!(datastore.is_some_and(|(.., cluster)| *cluster == row.cluster), "{}: {}", row.name, row.datastore);
            assert!(PORTGROUPS.iter().any(|(name, _)| *name == row.network), "{}: {}", row.name, row.network);
        }
        assert!(SNAPSHOTS.iter().all(|(vm, ..)| names.contains(vm)));
    }
}
