//! VMs as they are investigated.

use std::collections::HashSet;

use vsphere_model::types::{
    DateTime, ManagedObjectReference, Poly, ResourceAllocationInfo, SharesLevel, VirtualController, VirtualDevice,
    VirtualDeviceFileBackingInfo, VirtualDisk, VirtualEthernetCard, VirtualIDEController, VirtualNVMEController,
    VirtualSATAController, VirtualSCSIController,
};

use super::super::seen::Seen;
use super::super::vms::{self, Vm};
use super::super::{Finding, Problem, Severity, Subject};
use crate::client::Client;
use crate::device::label;
use crate::gaps::Gaps;

/// What is read of each VM that is measured, and of the one that is looked at.
const MEASURED: &[&str] =
    &["name", "config.hardware.numCPU", "config.cpuAllocation", "summary.quickStats.overallCpuUsage"];
const INSIDE: &[&str] = &[
    "config.hardware.memoryMB",
    "config.hardware.device",
    "config.memoryAllocation",
    "guest.toolsRunningStatus",
    "datastore",
];

/// The properties that a [`Machine`] is made of: with all that is told of it at length, or only what measuring takes.
pub(super) fn paths(at_length: bool) -> Vec<&'static str> {
    let short = ["runtime.powerState", "runtime.host"];
    let long = vms::PATHS.iter().chain(INSIDE);
    let rest: Vec<&str> = if at_length { long.copied().collect() } else { short.to_vec() };
    MEASURED.iter().copied().chain(rest).collect()
}

/// A VM with what its counters are judged by.
pub(super) struct Machine {
    pub(super) vm: Vm,
    pub(super) cpus: i32,
    pub(super) usage_mhz: i32,
    cpu: Option<ResourceAllocationInfo>,
    memory: Option<ResourceAllocationInfo>,
    memory_mb: Option<i32>,
    tools: Option<String>,
    pub(super) datastores: Vec<ManagedObjectReference>,
    disks: Vec<DiskAt>,
    pub(super) has_nics: bool,
}

/// Where a disk is, by what counters call it.
struct DiskAt {
    instance: String,
    label: String,
    datastore: Option<ManagedObjectReference>,
}

impl Machine {
    pub(super) fn new(mut seen: Seen) -> Self {
        let devices: Vec<Poly<VirtualDevice>> = seen.take("config.hardware.device").unwrap_or_default();
        Self {
            cpus: seen.take("config.hardware.numCPU").unwrap_or(1),
            usage_mhz: seen.take("summary.quickStats.overallCpuUsage").unwrap_or(0),
            cpu: seen.take("config.cpuAllocation"),
            memory: seen.take("config.memoryAllocation"),
            memory_mb: seen.take("config.hardware.memoryMB"),
            tools: seen.take("guest.toolsRunningStatus"),
            datastores: seen.take("datastore").unwrap_or_default(),
            disks: disks(&devices),
            has_nics: devices.iter().any(|device| device.downcast_ref::<VirtualEthernetCard>().is_some()),
            vm: Vm::new(seen),
        }
    }

    pub(super) fn subject(&self) -> &Subject {
        &self.vm.subject
    }

    pub(super) fn host(&self) -> Option<&ManagedObjectReference> {
        self.vm.host.as_ref()
    }

    pub(super) fn has_disks(&self) -> bool {
        !self.disks.is_empty()
    }

    /// The limit on its CPUs, in MHz.
    pub(super) fn cpu_limit(&self) -> Option<i64> {
        limit(self.cpu.as_ref())
    }

    /// The label and the datastore of the disk that counters call so.
    pub(super) fn disk(&self, instance: &str) -> Option<(&str, Option<&ManagedObjectReference>)> {
        let disk = self.disks.iter().find(|disk| disk.instance == instance)?;
        Some((&disk.label, disk.datastore.as_ref()))
    }

    /// What is wrong with it without any measurement.
    pub(super) async fn findings(
        &self,
        now: DateTime,
        lost: &HashSet<String>,
        client: &Client,
        gaps: &mut Gaps,
    ) -> Vec<Finding> {
        let mut findings = self.vm.findings(now, lost);
        if self.vm.has_snapshots() {
            findings.extend(vms::large_snapshots(client, std::slice::from_ref(&self.vm), gaps).await);
        }
        let mut add = |problem| findings.push(Finding::new(Severity::Notice, self.subject().clone(), problem));
        let memory_limit_mb =
            limit(self.memory.as_ref()).filter(|limit| self.memory_mb.is_none_or(|memory| *limit < i64::from(memory)));
        let (cpu_shares, memory_shares) = (low_shares(self.cpu.as_ref()), low_shares(self.memory.as_ref()));
        let cpu_limit_mhz = self.cpu_limit();
        if cpu_limit_mhz.is_some() || memory_limit_mb.is_some() || cpu_shares.or(memory_shares).is_some() {
            add(Problem::Restricted { cpu_limit_mhz, memory_limit_mb, cpu_shares, memory_shares });
        }
        if let Some(state) = self.tools.as_ref().filter(|state| self.vm.runs && *state == "guestToolsNotRunning") {
            add(Problem::ToolsNotRunning { state: state.clone() });
        }
        findings
    }
}

/// Where these disks are.
fn disks(devices: &[Poly<VirtualDevice>]) -> Vec<DiskAt> {
    let bus = |key: i32| {
        let controller = devices.iter().find(|device| device.key == key)?;
        let name = if controller.downcast_ref::<VirtualSCSIController>().is_some() {
            "scsi"
        } else if controller.downcast_ref::<VirtualSATAController>().is_some() {
            "sata"
        } else if controller.downcast_ref::<VirtualNVMEController>().is_some() {
            "nvme"
        } else if controller.downcast_ref::<VirtualIDEController>().is_some() {
            "ide"
        } else {
            return None;
        };
        Some((name, controller.downcast_ref::<VirtualController>()?.bus_number))
    };
    let at = |disk: &VirtualDisk| {
        let (name, number) = bus(disk.controller_key?)?;
        let file = disk.backing.as_ref().and_then(|backing| backing.downcast_ref::<VirtualDeviceFileBackingInfo>());
        Some(DiskAt {
            instance: format!("{name}{number}:{}", disk.unit_number?),
            label: label(disk),
            datastore: file.and_then(|file| file.datastore.clone()),
        })
    };
    devices.iter().filter_map(|device| device.downcast_ref::<VirtualDisk>()).filter_map(at).collect()
}

/// What an allocation limits to; -1 is no limit.
fn limit(allocation: Option<&ResourceAllocationInfo>) -> Option<i64> {
    allocation?.limit.filter(|limit| *limit >= 0)
}

/// The level of shares where it gives less than the usual.
fn low_shares(allocation: Option<&ResourceAllocationInfo>) -> Option<&'static str> {
    let shares = allocation?.shares.as_ref()?;
    (shares.level == SharesLevel::Low).then_some("low")
}
