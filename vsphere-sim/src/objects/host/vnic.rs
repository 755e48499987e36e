//! What each of a host's own adapters is used for.

use vsphere_model::types::{
    HostVMotionInfo, HostVMotionNetConfig, HostVirtualNicManagerInfo, VirtualNicManagerNetConfig,
};

use super::{Host, part};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::World;

pub(crate) const METHODS: Methods = &[
    ("HostVirtualNicManager", "QueryNetConfig", Handler::Read(query)),
    ("HostVirtualNicManager", "SelectVnicForNicType", Handler::Write(select)),
    ("HostVirtualNicManager", "DeselectVnicForNicType", Handler::Write(deselect)),
];

/// What an adapter is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NicType {
    FaultTolerance,
    Management,
    NvmeRdma,
    NvmeTcp,
    Ptp,
    VMotion,
    VsphereBackupNfc,
    VsphereProvisioning,
    VsphereReplication,
    VsphereReplicationNfc,
    Vsan,
    VsanWitness,
}

impl NicType {
    const ALL: [Self; 12] = [
        Self::FaultTolerance,
        Self::Management,
        Self::NvmeRdma,
        Self::NvmeTcp,
        Self::Ptp,
        Self::VMotion,
        Self::VsphereBackupNfc,
        Self::VsphereProvisioning,
        Self::VsphereReplication,
        Self::VsphereReplicationNfc,
        Self::Vsan,
        Self::VsanWitness,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::FaultTolerance => "faultToleranceLogging",
            Self::Management => "management",
            Self::NvmeRdma => "nvmeRdma",
            Self::NvmeTcp => "nvmeTcp",
            Self::Ptp => "ptp",
            Self::VMotion => "vmotion",
            Self::VsphereBackupNfc => "vSphereBackupNFC",
            Self::VsphereProvisioning => "vSphereProvisioning",
            Self::VsphereReplication => "vSphereReplication",
            Self::VsphereReplicationNfc => "vSphereReplicationNFC",
            Self::Vsan => "vsan",
            Self::VsanWitness => "vsanWitness",
        }
    }
}

impl Host {
    pub(super) fn virtual_nic_info(&self) -> HostVirtualNicManagerInfo {
        HostVirtualNicManagerInfo { net_config: NicType::ALL.iter().map(|&kind| self.net_config_of(kind)).collect() }
    }

    /// Whether one of its adapters is for vMotion.
    pub(crate) fn has_vmotion(&self) -> bool {
        self.net.vnics.iter().any(|vnic| vnic.types.contains(&NicType::VMotion))
    }

    pub(super) fn vmotion_info(&self) -> HostVMotionInfo {
        let config = self.net_config_of(NicType::VMotion);
        let selected = self.net.vnics.iter().find(|vnic| vnic.types.contains(&NicType::VMotion));
        HostVMotionInfo {
            net_config: Some(Box::new(HostVMotionNetConfig {
                candidate_vnic: config.candidate_vnic,
                selected_vnic: config.selected_vnic.into_iter().next(),
            })),
            ip_config: selected.and_then(|vnic| vnic.spec.ip.clone()),
        }
    }

    fn net_config_of(&self, kind: NicType) -> VirtualNicManagerNetConfig {
        let key = |device: &str| format!("{}.key-vim.host.VirtualNic-{device}", kind.name());
        let candidate_vnic = self.net.vnics.iter().map(|vnic| {
            let mut described = vnic.describe();
            described.key = key(&vnic.device);
            described
        });
        let selected = self.net.vnics.iter().filter(|vnic| vnic.types.contains(&kind));
        VirtualNicManagerNetConfig {
            nic_type: kind.name().to_owned(),
            multi_select_allowed: kind != NicType::Ptp,
            candidate_vnic: candidate_vnic.collect(),
            selected_vnic: selected.map(|vnic| key(&vnic.device)).collect(),
        }
    }
}

fn nic_type(call: &Call) -> Outcome<NicType> {
    let name: String = call.arg("nicType")?;
    let found = NicType::ALL.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| Fault::invalid_argument("nicType"))
}

fn query(world: &World, call: &Call) -> Outcome<Reply> {
    let kind = nic_type(call)?;
    Ok(Reply::of(part::host(world, call)?.net_config_of(kind)))
}

fn select(world: &mut World, call: &Call) -> Outcome<Reply> {
    let kind = nic_type(call)?;
    let types = types_of(world, call)?;
    if !types.contains(&kind) {
        types.push(kind);
    }
    Ok(Reply::NONE)
}

fn deselect(world: &mut World, call: &Call) -> Outcome<Reply> {
    let kind = nic_type(call)?;
    types_of(world, call)?.retain(|other| *other != kind);
    Ok(Reply::NONE)
}

/// What the adapter that the call names is used for, to change it.
fn types_of<'w>(world: &'w mut World, call: &Call) -> Outcome<&'w mut Vec<NicType>> {
    let device: String = call.arg("device")?;
    let host = part::host_of(world, call)?;
    part::touch_network(world, &host);
    let vnics = &mut world.edit::<Host>(&host)?.net.vnics;
    let vnic = vnics.iter_mut().find(|vnic| vnic.device == device);
    vnic.map(|vnic| &mut vnic.types).ok_or_else(|| Fault::invalid_argument("device"))
}
