//! What the provisioning checker finds, in words that help whoever has to clear it.

use serde::Serialize;
use vsphere_model::types::{
    CheckResult, DisallowedMigrationDeviceAttached, LocalizedMethodFault, ManagedObjectReference,
};
use vsphere_soap::fault;
use vsphere_soap::object::Object;

use crate::untrusted::Untrusted;

/// Something that stands in the way of a migration, or that one should know of before.
///
/// ```
/// use vsphere_ops::migration::Finding;
///
/// fn line(finding: &Finding) -> String {
///     format!("{} ({}): {}", finding.message, finding.fault, finding.explanation)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// Whether it stands in the way.
    pub severity: Severity,
    /// What it is about.
    pub about: Obstacle,
    /// The host that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The label of the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What the server says.
    pub message: Untrusted,
    /// What that means, and what clears it.
    pub explanation: String,
    /// The wire name of the fault: `FeatureRequirementsNotMet`.
    pub fault: String,
}

/// Whether a finding stands in the way.
///
/// ```
/// use vsphere_ops::migration::Severity;
///
/// assert_eq!(serde_json::to_value(Severity::Warning).unwrap(), "warning");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It does.
    Error,
    /// It does not.
    Warning,
}

macro_rules! obstacles {
    ($($(#[$doc:meta])* $name:ident: [$($fault:literal),*], $explanation:literal;)+) => {
        /// What a finding is about.
        ///
        /// ```
        /// use vsphere_ops::migration::Obstacle;
        ///
        /// assert!(Obstacle::Cpu.explanation().contains("EVC"));
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Obstacle {
            $($(#[$doc])* $name,)+
        }

        /// The faults of each kind, nearest first: one that extends another stands before it.
        const FAULTS: &[(&str, Obstacle)] = &[$($(($fault, Obstacle::$name),)*)+];

        impl Obstacle {
            /// What it means, and what clears it.
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Self::$name => $explanation,)+
                }
            }
        }
    };
}

obstacles! {
    /// The processor of the host.
    Cpu: ["CpuIncompatible", "FeatureRequirementsNotMet", "CpuCompatibilityUnknown"],
        "the host's CPU lacks features that the running VM has seen: choose a host of the same CPU generation, enable EVC in \
         the cluster (it counts from the next power-on), or move the VM while it is off";
    /// The version of the virtual hardware.
    HardwareVersion: ["VirtualHardwareVersionNotSupported"],
        "the host is too old for the VM's virtual hardware: choose a host with a newer ESXi";
    /// A network that is not there.
    Network: ["CannotAccessNetwork", "CannotUseNetwork", "VMOnVirtualIntranet", "VMOnConflictDVPort", "NetworksMayNotBeTheSame"],
        "the host does not have the network of an adapter: map it to a network that is there, or add the port group to the host";
    /// Where disks or the configuration are.
    Datastore: ["CannotAccessVmDisk", "CannotAccessVmConfig", "DatastoreNotWritableOnHost", "InvalidDatastore", "CannotAccessFile"],
        "the host does not see the datastore: move the files along to one that it sees, or mount the datastore there";
    /// A device that is tied to the host, or whose image the new host does not see.
    Device: ["DisallowedMigrationDeviceAttached", "CannotAccessLocalSource", "CannotAccessVmDevice", "DeviceNotSupported",
            "RawDiskNotSupported", "RDMNotSupportedOnDatastore", "MigrationFeatureNotSupported"],
        "a device is connected to something that the new host does not have: disconnect it (for a CD drive, detach the image or \
         the host's drive), or remove it";
    /// Space in the datastore.
    Space: ["NoDiskSpace", "InsufficientStorageSpace", "InsufficientDisks"],
        "the datastore has too little free space: free some, choose another datastore, or take thin disks";
    /// The network that vMotion uses.
    Vmotion: ["VMotionInterfaceIssue", "VMotionProtocolIncompatible", "VMotionNotSupported"],
        "a host has no working vMotion network: enable vMotion on one of its VMkernel adapters, or move the VM while it is off";
    /// CPU and memory of the host or pool.
    Resources: ["InsufficientResourcesFault"],
        "the host or pool can't keep what the VM has reserved: choose another one, or lower the reservation";
    /// A host that vCenter does not reach.
    HostUnreachable: ["HostNotConnected", "HostNotReachable", "HostCommunication"],
        "vCenter does not reach the host: choose another one, or reconnect it";
    /// A host that runs no VMs now.
    HostState: ["InvalidHostState", "NoActiveHostInCluster", "NoCompatibleHost"],
        "the host takes no VMs now, as in maintenance mode: choose another one, or end its maintenance mode";
    /// A rule of the cluster.
    Rule: ["VmHostAffinityRuleViolation", "AffinityConfigured"],
        "a rule of the cluster, or the VM's CPU affinity, keeps it off that host: choose another host, or change the rule";
    /// Snapshots.
    Snapshots: ["HotSnapshotMoveNotSupported", "SnapshotMoveNotSupported", "SnapshotMoveFromNonHomeNotSupported",
            "SnapshotMoveToNonHomeNotSupported"],
        "its snapshots can't move like this: delete them, move all files to one datastore, or move the VM while it is off";
    /// VMware Tools.
    Tools: ["ToolsInstallationInProgress", "MaintenanceModeFileMove"],
        "VMware Tools are being installed in it: end that first";
    /// A right that the user lacks.
    Permission: ["NoPermission"],
        "the user lacks a privilege there";
    /// Something else.
    Other: [],
        "the server's own words say more";
}

impl Obstacle {
    /// What a fault is about.
    pub(crate) fn of(fault: &Object) -> Self {
        let is =
            |name: &str| fault.type_name() == name || fault.data().info().lineage().any(|info| info.name() == name);
        FAULTS.iter().find(|(name, _)| is(name)).map_or(Self::Other, |(_, obstacle)| *obstacle)
    }
}

impl Finding {
    pub(crate) fn of(fault: &LocalizedMethodFault, severity: Severity, host: Option<String>) -> Self {
        let object = fault.fault.as_object();
        // That of a device which holds the VM is named by the cause.
        let held = fault.fault.downcast_ref::<DisallowedMigrationDeviceAttached>();
        let facts = fault::facts(held.map_or(object, |held| held.fault.fault.as_object()));
        let device = facts.iter().find(|fact| fact.field.rsplit('.').next() == Some("device"));
        let about = Obstacle::of(object);
        Self {
            severity,
            about,
            host,
            device: device.map(|fact| fact.value.clone()).filter(|label| !label.is_empty()),
            message: fault::in_words(fault.localized_message.as_deref().unwrap_or_default(), object).into(),
            explanation: about.explanation().to_owned(),
            fault: object.type_name().to_owned(),
        }
    }
}

/// What a check has come to: the findings that count, and the host that it would do with.
///
/// Several hosts are tried where none is named. One of them that will do is enough: then its warnings count alone.
pub(super) fn findings(
    results: &[CheckResult],
    name: impl Fn(&ManagedObjectReference) -> Option<String>,
) -> Vec<Finding> {
    let of = |result: &CheckResult| {
        let host = result.host.as_ref().and_then(&name);
        let errors = result.error.iter().map(|fault| Finding::of(fault, Severity::Error, host.clone()));
        let warnings = result.warning.iter().map(|fault| Finding::of(fault, Severity::Warning, host.clone()));
        errors.chain(warnings).collect::<Vec<_>>()
    };
    match results.iter().find(|result| result.error.is_empty()) {
        Some(good) => of(good),
        None => results.iter().flat_map(of).collect(),
    }
}

/// The explanations of those that stand in the way, each once.
pub(crate) fn explained(findings: &[Finding]) -> String {
    let mut said: Vec<&str> = Vec::new();
    for finding in findings.iter().filter(|finding| finding.severity == Severity::Error) {
        if finding.about != Obstacle::Other && !said.contains(&finding.explanation.as_str()) {
            said.push(&finding.explanation);
        }
    }
    said.join("; ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use vsphere_model::types::{
        CannotAccessNetwork, CpuIncompatible1ECX, DeviceNotSupported, MethodFault, NotSupported, Poly,
        VMotionNotConfigured,
    };
    use vsphere_soap::object::Extends;

    use super::*;

    fn localized<F: Extends<MethodFault>>(fault: F, message: &str) -> LocalizedMethodFault {
        LocalizedMethodFault { fault: Poly::new(fault), localized_message: Some(message.to_owned()) }
    }

    #[test]
    fn a_fault_is_what_it_extends() {
        let about = |fault: LocalizedMethodFault| Obstacle::of(fault.fault.as_object());
        assert_eq!(about(localized(CpuIncompatible1ECX::default(), "")), Obstacle::Cpu);
        assert_eq!(about(localized(CannotAccessNetwork::default(), "")), Obstacle::Network);
        assert_eq!(about(localized(VMotionNotConfigured::default(), "")), Obstacle::Vmotion);
        assert_eq!(about(localized(NotSupported::default(), "")), Obstacle::Other);
    }

    #[test]
    fn the_device_is_named_also_where_it_is_in_the_cause() {
        let inner = DeviceNotSupported { device: "CD/DVD drive 1".to_owned(), ..Default::default() };
        let fault = localized(inner, "The device is local.");
        let outer = localized(DisallowedMigrationDeviceAttached { fault, ..Default::default() }, "Not allowed.");
        let finding = Finding::of(&outer, Severity::Error, None);
        assert_eq!((finding.about, finding.device.as_deref()), (Obstacle::Device, Some("CD/DVD drive 1")));
        assert_eq!(finding.fault, "DisallowedMigrationDeviceAttached");
    }

    #[test]
    fn one_host_that_will_do_is_enough() {
        let host = |id: &str| Some(ManagedObjectReference::new("HostSystem", id));
        let bad = CheckResult {
            host: host("host-1"),
            error: vec![localized(CpuIncompatible1ECX::default(), "No.")],
            ..Default::default()
        };
        let good = CheckResult {
            host: host("host-2"),
            warning: vec![localized(NotSupported::default(), "Mind this.")],
            ..Default::default()
        };
        let name = |host: &ManagedObjectReference| Some(host.value.clone());
        let found = findings(&[bad.clone(), good], name);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].severity, found[0].host.as_deref()), (Severity::Warning, Some("host-2")));
        let found = findings(&[bad.clone(), bad], name);
        assert_eq!(found.len(), 2);
        assert_eq!(explained(&found), Obstacle::Cpu.explanation());
    }
}
