//! What happens to the inventory when a test wants it to: a host that fails, a datastore that fills up, a question.

use std::io;
use std::time::Duration;

use chrono::TimeDelta;
use vsphere_model::types::{Poly, TaskInfo, TaskInfoState, TaskReasonUser};

use crate::fault::{Fault, Outcome};
use crate::objects::compute::Compute;
use crate::objects::datacenter::Datacenter;
use crate::objects::datastore::{self, Datastore, files::File};
use crate::objects::host::{Host, failure, health, storage};
use crate::objects::license_manager;
use crate::objects::vm::{Spell, Strain, Vm, question, snapshot};
use crate::trouble::fault_named;
use crate::world::{Managed, Moref, World};
use crate::{Model, Sim};

/// The file that fills a datastore up.
const BALLAST: &str = "ballast.bin";

impl Sim {
    /// A host fails, as by a loss of power: it responds no more, and its machines are disconnected. Where its cluster has HA,
    /// they are restarted on other hosts 30 s later, times the model's [pace](crate::Model::pace).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use vsphere_sim::{Model, Sim, Size};
    ///
    /// let sim = Sim::start(Model::sized(Size::default())).await?;
    /// sim.fail_host("DC0_C0_H0")?;
    /// // What a client does then is the test's matter.
    /// sim.recover_host("DC0_C0_H0")
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) where no host has this name or id; the text lists those that there are.
    pub fn fail_host(&self, host: &str) -> io::Result<()> {
        self.happens::<Host>("host", host, failure::fail)
    }

    /// A host that has failed starts again. Machines that were not restarted elsewhere are off then.
    ///
    /// # Errors
    /// As [`Sim::fail_host`].
    pub fn recover_host(&self, host: &str) -> io::Result<()> {
        self.happens::<Host>("host", host, failure::recover)
    }

    /// Leaves this many bytes free on a datastore, by a file that takes the rest: `ballast.bin`. With more than there ever
    /// was, the file is gone again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use vsphere_sim::{Model, Sim};
    ///
    /// let sim = Sim::start(Model::demo()).await?;
    /// sim.fill_datastore("nvme-01", 0)?;
    /// // A clone ends in `NoDiskSpace` now.
    /// sim.fill_datastore("nvme-01", u64::MAX)
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) where no datastore has this name or id; the text lists those that there are.
    pub fn fill_datastore(&self, datastore: &str, free: u64) -> io::Result<()> {
        self.happens::<Datastore>("datastore", datastore, |world, datastore| fill(world, datastore, free))
    }

    /// A datastore can be accessed by no host any more, or by all again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use vsphere_sim::{Model, Sim};
    ///
    /// let sim = Sim::start(Model::demo()).await?;
    /// sim.set_datastore_accessible("iso-library", false)?;
    /// // Its files can't be listed now.
    /// sim.set_datastore_accessible("iso-library", true)
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Sim::fill_datastore`].
    pub fn set_datastore_accessible(&self, datastore: &str, accessible: bool) -> io::Result<()> {
        self.happens::<Datastore>("datastore", datastore, |world, datastore| {
            world.edit::<Datastore>(datastore)?.set_accessible(accessible);
            Ok(())
        })
    }

    /// The hosts of a datacenter get a datastore of this kind, as a summary has it (`vsan`, `NFS`), of so many bytes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use vsphere_sim::{Model, Sim};
    ///
    /// let sim = Sim::start(Model::demo()).await?;
    /// sim.add_datastore("fra1", "vsan-01", "vsan", 1 << 40)
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) where no datacenter has this name or id; the text lists those that there are.
    pub fn add_datastore(&self, datacenter: &str, name: &str, kind: &str, bytes: u64) -> io::Result<()> {
        self.happens::<Datacenter>("datacenter", datacenter, |world, datacenter| {
            let computes = world.all::<Compute>().into_iter().map(|(reference, _)| reference.clone());
            let here = |compute: &Moref| world.nearest::<Datacenter>(compute).is_some_and(|(at, _)| at == *datacenter);
            let computes: Vec<Moref> = computes.filter(here).collect();
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            datastore::add(world, name, kind, bytes, datacenter, &computes).map(drop)
        })
    }

    /// A virtual machine asks this, and waits for one of the answers: each is the key that a client sends, and its label. Nothing
    /// comes of the answer.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use vsphere_sim::{Model, Sim};
    ///
    /// let sim = Sim::start(Model::demo()).await?;
    /// sim.ask("web-01", "The disk is full. Retry?", &[("0", "Retry"), ("1", "Cancel")])
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) where no virtual machine has this name or id; the text lists those that there are.
    pub fn ask(&self, vm: &str, text: &str, answers: &[(&str, &str)]) -> io::Result<()> {
        self.happens::<Vm>("virtual machine", vm, |world, vm| {
            let asked = question::question("msg.sim.question", text.to_owned(), answers, 0);
            world.edit::<Vm>(vm)?.runtime.question = Some(Box::new(asked));
            Ok(())
        })
    }

    /// Lets the server's clock go ahead, so that what ends by time ends now: sessions, tickets, what is remembered of
    /// programs in guests.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    /// use vsphere_sim::{Model, Sim};
    ///
    /// let sim = Sim::start(Model::demo()).await?;
    /// sim.pass_time(Duration::from_secs(10 * 60));
    /// # Ok(())
    /// # }
    /// ```
    pub fn pass_time(&self, time: Duration) {
        let time = TimeDelta::from_std(time).unwrap_or(TimeDelta::zero());
        self.core.write().pass(time);
    }

    /// Lets this happen.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use vsphere_sim::{Incident, Model, Sim};
    ///
    /// let sim = Sim::start(Model::demo()).await?;
    /// sim.incident(&Incident::ServiceStops { host: "esx-01.corp.example".into(), service: "ntpd".into() })
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) where there is no such object; the text lists those that there are.
    pub fn incident(&self, incident: &Incident) -> io::Result<()> {
        incident.happen(&mut self.core.write())
    }

    fn happens<T: Managed>(
        &self,
        kind: &str,
        name: &str,
        what: impl FnOnce(&mut World, &Moref) -> Outcome<()>,
    ) -> io::Result<()> {
        happens::<T>(&mut self.core.write(), kind, name, what)
    }
}

fn happens<T: Managed>(
    world: &mut World,
    kind: &str,
    name: &str,
    what: impl FnOnce(&mut World, &Moref) -> Outcome<()>,
) -> io::Result<()> {
    let all: Vec<&Moref> = world.all::<T>().into_iter().map(|(reference, _)| reference).collect();
    let named = |reference: &&Moref| reference.value == name || world.name_of(reference) == name;
    let Some(found) = all.iter().copied().find(named).cloned() else {
        let known: Vec<String> = all.into_iter().map(|reference| world.name_of(reference)).collect();
        let message = format!("there is no {kind} {name:?}, only {}", known.join(", "));
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    };
    what(world, &found).map_err(|fault| io::Error::other(format!("{kind} {name:?}: {}", fault.message())))
}

/// Something that goes wrong in the inventory: from the start with [`Model::incident`](crate::Model::incident), or later
/// with [`Sim::incident`]. What the server says of it follows: alarms, summaries, figures.
///
/// ```
/// use std::time::Duration;
/// use vsphere_sim::{Incident, Model};
///
/// let age = Duration::from_secs(4 * 24 * 3600);
/// let old = Incident::Snapshot { vm: "DC0_C0_VM0".into(), name: "before patch".into(), age, bytes: 1 << 30 };
/// let model = Model::sized(Default::default()).incident(old);
/// # let _ = model;
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Incident {
    /// A datastore has so many bytes left, as by [`Sim::fill_datastore`].
    DatastoreFills {
        /// Its name or id.
        datastore: String,
        /// What is left.
        free: u64,
    },
    /// A host can't access a datastore any more, or none can.
    DatastoreLost {
        /// Its name or id.
        datastore: String,
        /// The only host that can't.
        host: Option<String>,
    },
    /// A host fails, as by [`Sim::fail_host`].
    HostFails {
        /// Its name or id.
        host: String,
    },
    /// Somebody has disconnected a host.
    HostDisconnected {
        /// Its name or id.
        host: String,
    },
    /// A host is in maintenance mode, whatever runs on it.
    Maintenance {
        /// Its name or id.
        host: String,
    },
    /// A health provider has quarantined a host.
    Quarantine {
        /// Its name or id.
        host: String,
    },
    /// A sensor of a host, or one of its parts, turns yellow or red.
    Sensor {
        /// The host's name or id.
        host: String,
        /// What the hardware calls it (`System Board 1 Fan1A`, `CPU Package 1`).
        sensor: String,
        /// Red, and not only yellow.
        red: bool,
    },
    /// A physical NIC of a host has lost its link.
    LinkDown {
        /// The host's name or id.
        host: String,
        /// The NIC (`vmnic0`).
        nic: String,
    },
    /// All paths over a storage adapter of a host are dead: `vmhba1` or `vmhba2`.
    PathsDead {
        /// The host's name or id.
        host: String,
        /// The adapter.
        adapter: String,
    },
    /// The certificate of a host ends.
    CertificateEnds {
        /// The host's name or id.
        host: String,
        /// In what time.
        after: Duration,
    },
    /// The evaluation of the server and its hosts ends.
    EvaluationEnds {
        /// In what time.
        after: Duration,
    },
    /// A service of a host stops.
    ServiceStops {
        /// The host's name or id.
        host: String,
        /// Its key (`ntpd`).
        service: String,
    },
    /// The server has lost a VM: `disconnected`, `orphaned`, `inaccessible` or `invalid`.
    VmLost {
        /// Its name or id.
        vm: String,
        /// How.
        state: String,
    },
    /// A VM asks something, as by [`Sim::ask`].
    Question {
        /// Its name or id.
        vm: String,
        /// What it asks.
        text: String,
    },
    /// Disks of a VM need consolidation.
    Consolidation {
        /// Its name or id.
        vm: String,
    },
    /// A task of a VM has failed.
    TaskFails {
        /// The VM's name or id.
        vm: String,
        /// What it did (`VirtualMachine.powerOn`).
        operation: String,
        /// The fault that it ended with (`NoDiskSpace`).
        fault: String,
    },
    /// The programs in a VM want so much of its CPUs, until they want something else.
    CpuLoad {
        /// The VM's name or id.
        vm: String,
        /// Of all its CPUs.
        percent: f64,
        /// How long they have done so.
        since: Duration,
    },
    /// The programs in a VM touch so much of its memory.
    MemoryLoad {
        /// The VM's name or id.
        vm: String,
        /// Of all its memory.
        percent: f64,
        /// How long they have done so.
        since: Duration,
    },
    /// The programs in a VM read and write on its first disk.
    DiskLoad {
        /// The VM's name or id.
        vm: String,
        /// Requests a second. A datastore carries out 10,000 without delay.
        iops: u32,
        /// How long they have done so.
        since: Duration,
    },
    /// A VM does not take in all packets that are sent to it.
    PacketsDropped {
        /// The VM's name or id.
        vm: String,
        /// Of the packets that are sent to it.
        percent: f64,
        /// How long it has been so.
        since: Duration,
    },
    /// The storage of a datastore answers later than it should.
    DatastoreSlow {
        /// Its name or id.
        datastore: String,
        /// By so much with each request.
        delay: Duration,
        /// How long it has done so.
        since: Duration,
    },
    /// A VM is of this size.
    Sized {
        /// The VM's name or id.
        vm: String,
        /// Its virtual CPUs.
        cpus: i32,
        /// Its memory in MB.
        memory_mb: i32,
    },
    /// A VM has limits.
    Limited {
        /// The VM's name or id.
        vm: String,
        /// What all its CPUs get at most, in MHz.
        cpu_mhz: Option<i64>,
        /// What it gets of its host's memory at most, in MB.
        memory_mb: Option<i64>,
    },
    /// VMware Tools of a VM have ended, and its guest goes on.
    ToolsEnd {
        /// The VM's name or id.
        vm: String,
    },
    /// A VM has a snapshot.
    Snapshot {
        /// The VM's name or id.
        vm: String,
        /// The snapshot's name.
        name: String,
        /// Its age.
        age: Duration,
        /// What has been written to the VM's first disk since, in bytes.
        bytes: u64,
    },
}

impl Incident {
    /// Changes the world.
    ///
    /// # Errors
    /// As [`Sim::incident`].
    pub(crate) fn happen(&self, world: &mut World) -> io::Result<()> {
        let of_host = |world: &mut World, host: &str, what: &dyn Fn(&mut World, &Moref) -> Outcome<()>| {
            happens::<Host>(world, "host", host, what)
        };
        let of_vm = |world: &mut World, vm: &str, what: &dyn Fn(&mut World, &Moref) -> Outcome<()>| {
            happens::<Vm>(world, "virtual machine", vm, what)
        };
        match self {
            Self::DatastoreFills { datastore, free } => {
                happens::<Datastore>(world, "datastore", datastore, |world, datastore| fill(world, datastore, *free))
            }
            Self::DatastoreLost { datastore, host: None } => {
                happens::<Datastore>(world, "datastore", datastore, |world, datastore| {
                    world.edit::<Datastore>(datastore)?.set_accessible(false);
                    Ok(())
                })
            }
            Self::DatastoreLost { datastore, host: Some(host) } => of_host(world, host, &|world, host| {
                let of_host = world.get::<Host>(host)?.datastores.clone();
                let named = |at: &Moref| at.value == *datastore || world.name_of(at) == *datastore;
                let found = of_host.into_iter().find(named).ok_or_else(|| Fault::invalid_argument("datastore"))?;
                world.edit::<Datastore>(&found)?.set_accessible_on(host, false);
                Ok(())
            }),
            Self::HostFails { host } => of_host(world, host, &failure::fail),
            Self::HostDisconnected { host } => of_host(world, host, &failure::disconnect),
            Self::Maintenance { host } => of_host(world, host, &|world, host| {
                world.edit::<Host>(host)?.runtime.in_maintenance_mode = true;
                failure::noticed(world, host);
                Ok(())
            }),
            Self::Quarantine { host } => of_host(world, host, &|world, host| {
                world.edit::<Host>(host)?.runtime.in_quarantine_mode = Some(true);
                Ok(())
            }),
            Self::Sensor { host, sensor, red } => of_host(world, host, &|world, host| {
                let found = world.edit::<Host>(host)?;
                if !health::has(found, sensor) {
                    return Err(Fault::invalid_argument("sensor"));
                }
                found.ailments.sensors.insert(sensor.clone(), if *red { "red" } else { "yellow" });
                Ok(())
            }),
            Self::LinkDown { host, nic } => of_host(world, host, &|world, host| {
                let found = world.edit::<Host>(host)?;
                if !found.nic_names().contains(nic) {
                    return Err(Fault::invalid_argument("nic"));
                }
                found.ailments.unplugged.insert(nic.clone());
                Ok(())
            }),
            Self::PathsDead { host, adapter } => {
                of_host(world, host, &|world, host| storage::kill_paths(world, host, adapter))
            }
            Self::CertificateEnds { host, after } => of_host(world, host, &|world, host| {
                let end = world.now() + delta(*after);
                world.edit::<Host>(host)?.ailments.certificate_ends = Some(end);
                Ok(())
            }),
            Self::EvaluationEnds { after } => license_manager::end_evaluation(world, delta(*after))
                .map_err(|fault| io::Error::other(fault.message().to_owned())),
            Self::ServiceStops { host, service } => {
                of_host(world, host, &|world, host| world.edit::<Host>(host)?.stop_service(service))
            }
            Self::VmLost { vm, state } => of_vm(world, vm, &|world, vm| {
                let known = ["disconnected", "orphaned", "inaccessible", "invalid"].contains(&state.as_str());
                let state = Some(state.as_str()).filter(|_| known).ok_or_else(|| Fault::invalid_argument("state"))?;
                world.edit::<Vm>(vm)?.runtime.connection_state = state.into();
                Ok(())
            }),
            Self::Question { vm, text } => of_vm(world, vm, &|world, vm| {
                let asked = question::question("msg.sim.question", text.clone(), &[("0", "Retry"), ("1", "Cancel")], 0);
                world.edit::<Vm>(vm)?.runtime.question = Some(Box::new(asked));
                Ok(())
            }),
            Self::Consolidation { vm } => of_vm(world, vm, &|world, vm| {
                world.edit::<Vm>(vm)?.runtime.consolidation_needed = Some(true);
                Ok(())
            }),
            Self::TaskFails { vm, operation, fault } => of_vm(world, vm, &|world, vm| {
                let info = TaskInfo {
                    description_id: operation.clone(),
                    entity: Some(vm.clone()),
                    entity_name: Some(world.name_of(vm)),
                    state: TaskInfoState::Running,
                    start_time: Some(world.now()),
                    reason: Poly::new(TaskReasonUser { user_name: Model::USER.to_owned(), ..Default::default() }),
                    ..Default::default()
                };
                let task = world.add_task(info, false);
                let fault = Fault::of(fault_named(fault), format!("{operation} failed: {fault}."));
                world.finish(&task, Box::new(move |_| Err(fault)));
                Ok(())
            }),
            Self::CpuLoad { vm, percent, since } => {
                of_vm(world, vm, &|world, vm| strain(world, vm, *since, *percent / 100.0, |strain| &mut strain.cpu))
            }
            Self::MemoryLoad { vm, percent, since } => {
                of_vm(world, vm, &|world, vm| strain(world, vm, *since, *percent / 100.0, |strain| &mut strain.memory))
            }
            Self::DiskLoad { vm, iops, since } => {
                of_vm(world, vm, &|world, vm| strain(world, vm, *since, f64::from(*iops), |strain| &mut strain.iops))
            }
            Self::PacketsDropped { vm, percent, since } => {
                of_vm(world, vm, &|world, vm| strain(world, vm, *since, *percent / 100.0, |strain| &mut strain.dropped))
            }
            Self::DatastoreSlow { datastore, delay, since } => {
                happens::<Datastore>(world, "datastore", datastore, |world, datastore| {
                    let from = world.now() - delta(*since);
                    let value = delay.as_secs_f64() * 1000.0;
                    world.edit::<Datastore>(datastore)?.slow.push(Spell { from, value });
                    Ok(())
                })
            }
            Self::Sized { vm, cpus, memory_mb } => of_vm(world, vm, &|world, vm| {
                world.edit::<Vm>(vm)?.resize(*cpus, *memory_mb);
                Ok(())
            }),
            Self::Limited { vm, cpu_mhz, memory_mb } => of_vm(world, vm, &|world, vm| {
                let config = &mut world.edit::<Vm>(vm)?.config;
                config.cpu_allocation.get_or_insert_default().limit = Some(cpu_mhz.unwrap_or(-1));
                config.memory_allocation.get_or_insert_default().limit = Some(memory_mb.unwrap_or(-1));
                Ok(())
            }),
            Self::ToolsEnd { vm } => of_vm(world, vm, &|world, vm| {
                world.edit::<Vm>(vm)?.tools_end();
                Ok(())
            }),
            Self::Snapshot { vm, name, age, bytes } => of_vm(world, vm, &|world, vm| {
                let wanted = snapshot::Wanted { name: name.clone(), ..Default::default() };
                let taken = world.now() - delta(*age);
                snapshot::freeze(world, vm, &wanted, taken)?;
                snapshot::write(world, vm, i64::try_from(*bytes).unwrap_or(i64::MAX))
            }),
        }
    }
}

/// Lets a VM ask for this from then on. The alarms of it and its host are looked at.
fn strain(
    world: &mut World,
    vm: &Moref,
    since: Duration,
    value: f64,
    kind: impl FnOnce(&mut Strain) -> &mut Vec<Spell>,
) -> Outcome<()> {
    let from = world.now() - delta(since);
    world.is_strained = true;
    let found = world.edit::<Vm>(vm)?;
    kind(&mut found.strain).push(Spell { from, value });
    let host = found.runtime.host.clone();
    for entity in [Some(vm.clone()), host].into_iter().flatten() {
        world.review_alarms_of(&entity);
    }
    Ok(())
}

/// Leaves so many bytes free on a datastore, by a file that takes the rest.
fn fill(world: &mut World, datastore: &Moref, free: u64) -> Outcome<()> {
    let datastore = world.edit::<Datastore>(datastore)?;
    if datastore.find(BALLAST).is_some() {
        datastore.remove_tree(BALLAST)?;
    }
    let excess = datastore.free().saturating_sub(i64::try_from(free).unwrap_or(i64::MAX));
    if excess > 0 { datastore.put_file(BALLAST, File::made(excess)) } else { Ok(()) }
}

fn delta(time: Duration) -> TimeDelta {
    TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX)
}
