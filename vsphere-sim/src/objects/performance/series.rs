//! The values of counters: functions of the entity, the counter and the time, so that who asks twice hears the same.
//!
//! Loads of machines and hosts are those of their quick statistics at that time, those of others go with the day (most in
//! the afternoon); all with some noise.

use vsphere_model::types::{DateTime, VirtualDevice, VirtualDeviceFileBackingInfo, VirtualDisk, VirtualEthernetCard};
use vsphere_soap::object::{Poly, Value};

use super::counters::{Counter, Instances, Kind, Rollup, Shape};
use crate::objects::alarm::text_at;
use crate::objects::compute::Compute;
use crate::objects::datastore::Datastore;
use crate::objects::host::Host;
use crate::objects::host::load::Load;
use crate::objects::host::supply::{self, Supply};
use crate::objects::vm::Vm;
use crate::world::{Moref, World};

/// How much of what an entity has was used in an interval.
#[derive(Debug, Clone)]
pub(super) struct Usage {
    cpu: f64,
    mem: f64,
    /// How busy the time of the day is.
    wave: f64,
    /// What it got and lacked.
    supply: Supply,
    /// Of each of its datastores.
    stores: Vec<Store>,
}

/// What a datastore does beyond the usual.
#[derive(Debug, Clone, Copy, Default)]
struct Store {
    /// By how many milliseconds it answers later.
    delay: f64,
    /// Requests a second.
    iops: f64,
}

/// What of an entity its values depend on.
pub(super) struct Profile {
    pub(super) kind: Kind,
    /// Whether it runs: what is off has no values of now, and zeros before.
    pub(super) on: bool,
    seed: u64,
    /// In MHz.
    cpu_capacity: f64,
    cpu_load: f64,
    /// In KB.
    mem_capacity: f64,
    mem_load: f64,
    /// In KB.
    space: f64,
    space_used: f64,
    /// Seconds of Unix time.
    started: i64,
    cpus: usize,
    nics: Vec<String>,
    disks: Vec<String>,
    /// Of each disk of a machine, which of its datastores it is on.
    disk_stores: Vec<Option<usize>>,
    datastores: Vec<String>,
    /// The same, as objects.
    stores: Vec<Moref>,
}

impl Profile {
    /// The profile of an entity; `None` where it has no counters.
    pub(super) fn of(world: &World, entity: &Moref) -> Option<Self> {
        let entity = world.reference(entity)?;
        let kind = Kind::of(&entity.type_)?;
        let number = |path: &str| text_at(world, entity, path).and_then(|text| text.parse::<f64>().ok());
        let seed = hash(entity.value.bytes().fold(0xcbf2_9ce4_8422_2325, |seed, byte| hash(seed ^ u64::from(byte))));
        let guess = |low: f64, high: f64, salt: u64| low + (high - low) * unit(hash(seed ^ salt));
        let mut profile = Self {
            kind,
            on: true,
            seed,
            cpu_capacity: 0.0,
            cpu_load: guess(0.06, 0.45, 1),
            mem_capacity: 0.0,
            mem_load: guess(0.3, 0.75, 2),
            space: 0.0,
            space_used: 0.0,
            // What does not say when it started did so some days ago.
            started: world.now().timestamp() - 86_400 * 12,
            cpus: 0,
            nics: Vec::new(),
            disks: Vec::new(),
            disk_stores: Vec::new(),
            datastores: Vec::new(),
            stores: Vec::new(),
        };
        if let Some(boot) = boot_time(world, entity) {
            profile.started = boot;
        }
        // Above hosts and machines the capacity is that of what stands below.
        match kind {
            Kind::Vm => profile.add_vm(world, entity),
            Kind::Host => profile.add_host(world, entity),
            Kind::Cluster => {
                profile.cpu_capacity = number("summary.totalCpu").unwrap_or_default();
                profile.mem_capacity = number("summary.totalMemory").unwrap_or_default() / 1024.0;
            }
            Kind::Pool => {
                profile.cpu_capacity = number("runtime.cpu.maxUsage").unwrap_or(20_000.0);
                profile.mem_capacity = number("runtime.memory.maxUsage").unwrap_or(f64::from(1 << 30)) / 1024.0;
            }
            Kind::Datastore => {
                profile.space = number("summary.capacity").unwrap_or_default() / 1024.0;
                profile.space_used = profile.space - number("summary.freeSpace").unwrap_or_default() / 1024.0;
                profile.datastores = vec![volume(world, entity)];
                profile.stores = vec![entity.clone()];
            }
            Kind::Datacenter => {}
        }
        Some(profile)
    }

    fn add_vm(&mut self, world: &World, entity: &Moref) {
        let Ok(vm) = world.get::<Vm>(entity) else { return };
        self.on = text_at(world, entity, "runtime.powerState").as_deref() == Some("poweredOn");
        let hardware = &vm.config.hardware;
        self.cpus = usize::try_from(hardware.num_cpu).unwrap_or(1).max(1);
        let host = vm.runtime.host.as_ref().and_then(|host| world.get::<Host>(host).ok());
        let mhz = host.map_or(2000, |host| host.hardware.cpu_mhz);
        self.cpu_capacity = f64::from(mhz) * f64::from(hardware.num_cpu.max(1));
        self.mem_capacity = f64::from(hardware.memory_mb) * 1024.0;
        let device = |device: &Poly<VirtualDevice>| device.key.to_string();
        self.nics = hardware.device.iter().filter(|one| one.is::<VirtualEthernetCard>()).map(device).collect();
        for disk in hardware.device.iter().filter_map(|one| one.downcast_ref::<VirtualDisk>()) {
            // As the counters call it: by its controller's bus and its unit.
            let bus = disk.controller_key.map_or(0, |key| key % 1000);
            self.disks.push(format!("scsi{bus}:{}", disk.unit_number.unwrap_or_default()));
            let file = disk.backing.as_ref().and_then(|backing| backing.downcast_ref::<VirtualDeviceFileBackingInfo>());
            let at = file.and_then(|file| file.datastore.as_ref());
            self.disk_stores.push(vm.datastores.iter().position(|own| Some(own) == at));
            self.space += disk.capacity_in_kb.max(0) as f64;
        }
        self.space_used = self.space * (0.25 + 0.5 * unit(hash(self.seed ^ 3)));
        self.stores.clone_from(&vm.datastores);
        self.datastores = vm.datastores.iter().map(|datastore| volume(world, datastore)).collect();
    }

    fn add_host(&mut self, world: &World, entity: &Moref) {
        let Ok(host) = world.get::<Host>(entity) else { return };
        let state = text_at(world, entity, "runtime.connectionState");
        let power = text_at(world, entity, "runtime.powerState");
        self.on = state.as_deref() == Some("connected") && power.as_deref() == Some("poweredOn");
        self.cpus = usize::try_from(host.hardware.num_cpu_threads).unwrap_or(1);
        self.cpu_capacity = f64::from(host.cpu_mhz_total());
        self.mem_capacity = host.hardware.memory_size as f64 / 1024.0;
        self.nics = (0..host.hardware.num_nics).map(|number| format!("vmnic{number}")).collect();
        self.disks = (0..host.hardware.num_hbas).map(|number| format!("vmhba{number}")).collect();
        self.stores.clone_from(&host.datastores);
        self.datastores = host.datastores.iter().map(|datastore| volume(world, datastore)).collect();
    }

    /// The instances that a counter has on the entity; the whole is the empty one.
    pub(super) fn instances(&self, of: Instances) -> Vec<String> {
        let whole = || std::iter::once(String::new());
        match of {
            Instances::Whole => whole().collect(),
            Instances::Cpus if self.kind == Kind::Vm || self.kind == Kind::Host => {
                whole().chain((0..self.cpus).map(|number| number.to_string())).collect()
            }
            Instances::Cpus => whole().collect(),
            Instances::Nics => whole().chain(self.nics.iter().cloned()).collect(),
            Instances::Luns if self.kind == Kind::Host => {
                whole().chain(self.datastores.iter().map(|volume| lun(volume))).collect()
            }
            Instances::Luns => whole().collect(),
            Instances::Disks | Instances::Adapters => self.disks.clone(),
            Instances::Datastores if self.kind == Kind::Datastore => whole().collect(),
            Instances::Datastores => self.datastores.clone(),
        }
    }

    /// What the entity used in the interval of so many seconds that ends at this time.
    pub(super) fn usage(&self, world: &World, entity: &Moref, end: i64, interval: i64) -> Usage {
        let wave = self.wave(end, interval);
        let middle = chrono::DateTime::from_timestamp(end - interval / 2, 0).unwrap_or_default().fixed_offset();
        let part = |used: i64, capacity: f64| used as f64 / capacity.max(1.0);
        let (cpu, mem, supply) = match self.kind {
            Kind::Vm => {
                let supply = world.get::<Vm>(entity).map(|vm| supply::of_vm(world, vm, entity, middle));
                let supply = supply.unwrap_or_default();
                let load = Load::from(supply);
                (part(load.cpu, self.cpu_capacity), part(load.active_memory << 10, self.mem_capacity), supply)
            }
            Kind::Host => {
                let host = world.get::<Host>(entity);
                let load = host.as_ref().map(|host| host.load(world, middle)).unwrap_or_default();
                let of_vms = host.map(|host| supply::of_host(world, host, middle)).unwrap_or_default();
                let supply = of_vms.into_iter().map(|(_, supply)| supply).fold(Supply::default(), Supply::and);
                (part(load.cpu, self.cpu_capacity), part(load.host_memory << 10, self.mem_capacity), supply)
            }
            // Where the usual course is left, what hosts are asked for shows in their cluster.
            Kind::Cluster if world.is_strained => {
                let hosts = world.get::<Compute>(entity).map(|compute| compute.hosts.as_slice()).unwrap_or_default();
                let load = hosts.iter().filter_map(|host| Some(world.get::<Host>(host).ok()?.load(world, middle)));
                let load = load.fold(Load::default(), Load::and);
                let (cpu, mem) = (part(load.cpu, self.cpu_capacity), part(load.host_memory << 10, self.mem_capacity));
                (cpu, mem, Supply::default())
            }
            _ => (self.cpu_load * wave, self.mem_load * (0.9 + 0.1 * wave), Supply::default()),
        };
        let stores = self.stores.iter().map(|store| self.store(world, entity, store, middle)).collect();
        Usage { cpu: cpu.clamp(0.005, 1.0), mem: mem.clamp(0.01, 1.0), wave, supply, stores }
    }

    /// What one of its datastores does for it at this time.
    fn store(&self, world: &World, entity: &Moref, store: &Moref, time: DateTime) -> Store {
        let Ok(datastore) = world.get::<Datastore>(store) else { return Store::default() };
        let iops = match self.kind {
            Kind::Vm => world.get::<Vm>(entity).map_or(0.0, |vm| supply::vm_iops(vm, store, time)),
            Kind::Host => {
                let vms = world.get::<Host>(entity).map(|host| host.vms.as_slice()).unwrap_or_default();
                let of = |vm: &Moref| world.get::<Vm>(vm).map_or(0.0, |vm| supply::vm_iops(vm, store, time));
                if world.is_strained { vms.iter().map(of).sum() } else { 0.0 }
            }
            _ => supply::iops(world, datastore, store, time),
        };
        Store { delay: supply::delay(world, datastore, store, time), iops }
    }

    /// The datastores that a part of the entity is about: all of them for the whole.
    fn is_about(&self, of: Instances, instance: &str, store: usize) -> bool {
        match of {
            _ if instance.is_empty() => true,
            Instances::Disks => {
                let disk = self.disks.iter().position(|disk| disk == instance);
                disk.and_then(|disk| *self.disk_stores.get(disk)?) == Some(store)
            }
            Instances::Datastores => self.datastores.get(store).is_some_and(|volume| volume == instance),
            Instances::Luns => self.datastores.get(store).is_some_and(|volume| lun(volume) == instance),
            _ => false,
        }
    }

    /// The value of a counter for the interval of so many seconds that ends at this time, in which so much was used.
    pub(super) fn value(&self, counter: &Counter, instance: &str, end: i64, interval: i64, usage: &Usage) -> i64 {
        // What runs now has always run, for all that its history tells: a server that has just been started has a past.
        if !self.on {
            return 0;
        }
        let seed = instance.bytes().fold(self.seed, |seed, byte| hash(seed ^ u64::from(byte)));
        let noise = |salt: u64| unit(hash(seed ^ hash(salt ^ end.unsigned_abs()))) - 0.5;
        let own = u64::from(counter.key.unsigned_abs());
        // The same part of the load makes all counters of a group go up and down together.
        let Usage { cpu, mem, wave, supply, ref stores } = *usage;
        let calm = if interval > 20 { 0.5 } else { 1.0 };
        let spread = match counter.rollup {
            Rollup::Minimum => 0.75,
            Rollup::Maximum => 1.3,
            _ => 1.0,
        };
        let io = (cpu * wave * spread * (1.0 + calm * (0.8 * noise(9) + 0.2 * noise(own)))).clamp(0.0, 1.0);
        // What is full has no room to go up and down.
        let room = (2.0 * (1.0 - cpu)).clamp(0.0, 0.25);
        let cpu = (cpu * spread * (1.0 + calm * (room * noise(7) + room.min(0.02) * noise(own)))).clamp(0.0, 1.0);
        let mem = (mem * (1.0 + 0.01 * noise(8)) * (0.95 + 0.05 * spread)).clamp(0.0, 1.0);
        let seconds = interval as f64;
        let parts = |of: usize| if instance.is_empty() { 1.0 } else { of.max(1) as f64 };
        let share = match counter.row.instances {
            Instances::Cpus => parts(self.cpus),
            Instances::Nics => parts(self.nics.len()),
            Instances::Luns | Instances::Datastores => parts(self.datastores.len()),
            _ => parts(self.disks.len()),
        };
        // A machine has a part of what a host does.
        let size = if self.kind == Kind::Vm { 0.15 } else { 1.0 };
        let cpus = self.cpus.max(1) as f64;
        let about = stores.iter().enumerate().filter(|(at, _)| self.is_about(counter.row.instances, instance, *at));
        let (delay, iops) =
            about.fold((0.0_f64, 0.0), |(delay, iops), (_, store)| (delay.max(store.delay), iops + store.iops));
        // Of what contention does, too, no two intervals are alike.
        let flicker = 1.0 + calm * 0.1 * noise(6);
        let waits = |waiting: f64| waiting * flicker * seconds * 1000.0 / share;
        let value = match counter.row.shape {
            Shape::CpuPercent => cpu * 10_000.0,
            Shape::CpuMhz(part) => cpu * part * self.cpu_capacity / share,
            Shape::CpuMs(part) => cpu * part * seconds * 1000.0 * cpus / share,
            Shape::IdleMs => (1.0 - cpu) * seconds * 1000.0 * cpus / share,
            Shape::CpuCapacity => self.cpu_capacity,
            Shape::MemPercent => mem * 10_000.0,
            Shape::MemKb(part) => (mem * part).min(1.0) * self.mem_capacity,
            Shape::MemCapacity(part) => self.mem_capacity * part,
            Shape::Io(most) => io * most * size / share,
            Shape::IoCount(most) => io * most * size * seconds / share,
            Shape::Latency(most) => {
                let unit = if counter.row.unit == "microsecond" { 1000.0 } else { 1.0 };
                most * (0.05 + 0.6 * io) + delay * flicker * unit
            }
            Shape::KernelLatency(most) => most * (0.05 + 0.6 * io),
            Shape::Iops(most, part) => io * most * size / share + iops * part * flicker,
            Shape::Ready(part) => cpu * part * seconds * 1000.0 * cpus / share + waits(supply.ready),
            Shape::ReadyPercent(most) => io * most * size / share + supply.ready * flicker / cpus * 10_000.0,
            Shape::CoStop(part) => cpu * part * seconds * 1000.0 * cpus / share + waits(supply.costop),
            Shape::Limited => waits(supply.limited),
            Shape::CpuLatency(most) => {
                io * most * size
                    + (supply.ready + supply.costop) * flicker / cpus * 10_000.0
                    + supply.memory_wait * 10_000.0
            }
            Shape::SwapWait => waits(supply.memory_wait * cpus),
            Shape::Demand => (cpu * 1.03 * self.cpu_capacity).max(supply.wanted_cpu),
            Shape::Balloon => supply.ballooned * 1024.0,
            Shape::Swapped => supply.swapped * 1024.0,
            Shape::SwapIn => supply.swap_in * flicker,
            Shape::SwapOut => supply.swap_out * flicker,
            Shape::MemLatency => supply.memory_wait * flicker * 10_000.0,
            Shape::Dropped(most, packets) => {
                (noise(own) * 4.0 - 1.0).max(0.0) * most * wave + io * packets * size * seconds / share * supply.dropped
            }
            Shape::Uptime => (end - self.started).max(0) as f64,
            Shape::Power(most) => (0.35 + 0.65 * cpu) * most * size,
            Shape::Energy(most) => (0.35 + 0.65 * cpu) * most * size * seconds,
            Shape::SpaceUsed => self.space_used,
            Shape::SpaceCapacity => self.space,
            Shape::SpacePercent => self.space_used / self.space.max(1.0) * 10_000.0,
            Shape::Fixed(value) => value as f64,
            Shape::Rare(most) => (noise(own) * 4.0 - 1.0).max(0.0) * most * wave,
        };
        value.round() as i64
    }

    /// The part of the usual load at a time of day, about 1 on the average.
    fn wave(&self, end: i64, interval: i64) -> f64 {
        const DAY: i64 = 86_400;
        // Each entity has its own rush hour, around three in the afternoon.
        let shift = (self.seed % 7200) as i64 - 3600;
        let middle = end - interval / 2 - 15 * 3600 + shift;
        let turn = middle.rem_euclid(DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
        let height = if interval >= DAY { 0.0 } else { 0.35 };
        1.0 + height * turn.cos()
    }
}

/// When the entity was started, in seconds of Unix time.
fn boot_time(world: &World, entity: &Moref) -> Option<i64> {
    let found = world.find(entity)?;
    let runtime = found.read(&crate::world::Look { world, me: entity, session: None }, "runtime");
    let Value::Data(runtime) = runtime.value() else { return None };
    match vsphere_soap::object::path::get_path(runtime, "bootTime") {
        Ok(Value::DateTime(time)) => Some(time.timestamp()),
        _ => None,
    }
}

/// The name of a datastore's volume, as counters have it.
fn volume(world: &World, datastore: &Moref) -> String {
    let url = world.get::<Datastore>(datastore).map(|datastore| datastore.url.clone()).unwrap_or_default();
    url.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}

/// The name of the logical unit that a volume is on.
fn lun(volume: &str) -> String {
    let digits: String = volume.chars().filter(char::is_ascii_hexdigit).collect();
    format!("naa.6{digits:.31}")
}

/// A well mixed number that always follows from `seed`.
fn hash(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number from 0 to 1 out of a mixed one.
fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}
