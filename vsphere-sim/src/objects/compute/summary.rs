//! What a compute resource sums up from its hosts and machines.

use vsphere_model::types::{
    ClusterComputeResourceSummary, ClusterFailoverLevelAdmissionControlInfo,
    ClusterFailoverResourcesAdmissionControlInfo, ClusterFailoverResourcesAdmissionControlPolicy,
    ClusterResourceUsageSummary, ClusterUsageSummary, ComputeResourceSummary, ManagedEntityStatus, Poly,
    VirtualMachinePowerState,
};

use super::{Compute, drs};
use crate::objects::datastore::Datastore;
use crate::objects::host::Host;
use crate::objects::host::load::{self, Load};
use crate::objects::vm::Vm;
use crate::world::{Moref, World};

impl Compute {
    pub(super) fn summary(&self, world: &World) -> ComputeResourceSummary {
        let mut summary = ComputeResourceSummary {
            num_hosts: count(self.hosts.len()),
            overall_status: ManagedEntityStatus::from(self.entity.status),
            ..Default::default()
        };
        for host in self.hosts.iter().filter_map(|host| world.get::<Host>(host).ok()) {
            summary.total_cpu += host.cpu_mhz_total();
            summary.total_memory += host.hardware.memory_size;
            summary.num_cpu_cores += host.hardware.num_cpu_cores;
            summary.num_cpu_threads += host.hardware.num_cpu_threads;
            if host.is_usable() {
                summary.num_effective_hosts += 1;
                summary.effective_cpu += host.cpu_mhz_total();
                summary.effective_memory += host.hardware.memory_size >> 20;
            }
        }
        summary
    }

    pub(super) fn cluster_summary(&self, world: &World) -> ClusterComputeResourceSummary {
        let base = self.summary(world);
        let das = self.cluster.as_ref().map(|cluster| &cluster.das_config);
        let admission = das.filter(|das| das.enabled == Some(true) && das.admission_control_enabled != Some(false));
        let spare = base.num_effective_hosts.saturating_sub(1).clamp(0, 1);
        let admission = admission.map(|das| {
            let policy = das.admission_control_policy.as_ref();
            if policy.is_some_and(|policy| policy.is::<ClusterFailoverResourcesAdmissionControlPolicy>()) {
                let used = load::of_all(world, &self.vms(world));
                Poly::new(ClusterFailoverResourcesAdmissionControlInfo {
                    current_cpu_failover_resources_percent: free_percent(used.cpu, base.effective_cpu.into()),
                    current_memory_failover_resources_percent: free_percent(used.host_memory, base.effective_memory),
                    ..Default::default()
                })
            } else {
                Poly::new(ClusterFailoverLevelAdmissionControlInfo {
                    current_failover_level: spare,
                    ..Default::default()
                })
            }
        });
        let scores = drs::scores(world, self);
        let average = scores.iter().sum::<i32>() / count(scores.len().max(1));
        let bucket = |number: i32| count(scores.iter().filter(|score| (**score - 1) / 20 == number).count());
        ClusterComputeResourceSummary {
            current_failover_level: if self.has_ha() { spare } else { 0 },
            admission_control_info: admission,
            num_vmotions: self.migrations,
            target_balance: Some(200),
            current_balance: Some(drs::imbalance(world, self)),
            drs_score: self.drs().map(|_| if scores.is_empty() { 100 } else { average }),
            num_vms_per_drs_score_bucket: (0..5).map(bucket).collect(),
            usage_summary: Some(Box::new(self.usage(world, &base))),
            cluster_maintenance_mode_status: Some("notInMaintenanceMode".to_owned()),
            vcs_health_status: Some("healthy".to_owned()),
            base,
            ..Default::default()
        }
    }

    /// The machines on its hosts.
    pub(super) fn vms(&self, world: &World) -> Vec<Moref> {
        let hosts = self.hosts.iter().filter_map(|host| world.get::<Host>(host).ok());
        hosts.flat_map(|host| host.vms.iter().cloned()).collect()
    }

    fn usage(&self, world: &World, base: &ComputeResourceSummary) -> ClusterUsageSummary {
        let vms = self.vms(world);
        let Load { cpu, active_memory, host_memory } = load::of_all(world, &vms);
        let found = || vms.iter().filter_map(|vm| world.get::<Vm>(vm).ok());
        let is_on = |vm: &&Vm| vm.runtime.power_state == VirtualMachinePowerState::PoweredOn;
        let reserved = |vms: &mut dyn Iterator<Item = &Vm>| {
            vms.fold((0, 0), |(cpu, memory), vm| {
                let config = &vm.resource_config;
                (
                    cpu + config.cpu_allocation.reservation.unwrap_or(0),
                    memory + config.memory_allocation.reservation.unwrap_or(0),
                )
            })
        };
        let (cpu_on, memory_on) = reserved(&mut found().filter(is_on));
        let (cpu_all, memory_all) = reserved(&mut found());
        ClusterUsageSummary {
            total_cpu_capacity_mhz: base.effective_cpu,
            total_mem_capacity_mb: int(base.effective_memory),
            cpu_reservation_mhz: int(cpu_on),
            mem_reservation_mb: int(memory_on),
            powered_off_cpu_reservation_mhz: Some(int(cpu_all - cpu_on)),
            powered_off_mem_reservation_mb: Some(int(memory_all - memory_on)),
            cpu_demand_mhz: int(cpu),
            mem_demand_mb: int(active_memory),
            stats_gen_number: world.now().timestamp() / 20,
            cpu_entitled_mhz: int(cpu),
            mem_entitled_mb: int(host_memory),
            powered_off_vm_count: count(found().filter(|vm| !is_on(vm)).count()),
            total_vm_count: count(vms.len()),
            ..Default::default()
        }
    }

    /// What it uses and has, its datastores included.
    pub(super) fn resource_usage(&self, world: &World) -> ClusterResourceUsageSummary {
        let base = self.summary(world);
        let used = load::of_all(world, &self.vms(world));
        let stores = || self.datastores.iter().filter_map(|datastore| world.get::<Datastore>(datastore).ok());
        let capacity: i64 = stores().map(|datastore| datastore.capacity).sum();
        let free: i64 = stores().map(Datastore::free).sum();
        ClusterResourceUsageSummary {
            cpu_used_m_hz: int(used.cpu),
            cpu_capacity_m_hz: base.effective_cpu,
            mem_used_mb: int(used.host_memory),
            mem_capacity_mb: int(base.effective_memory),
            storage_used_mb: (capacity - free) >> 20,
            storage_capacity_mb: capacity >> 20,
            ..Default::default()
        }
    }
}

fn free_percent(used: i64, capacity: i64) -> i32 {
    int((capacity - used).max(0) * 100 / capacity.max(1))
}

pub(super) fn count(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

fn int(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
