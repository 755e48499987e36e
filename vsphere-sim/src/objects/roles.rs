//! Roles: sets of privileges under a name. These are the ones that a new vCenter has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use vsphere_model::registry;

/// The role that may do everything.
pub(crate) const ADMIN: i32 = -1;
/// The role that may look at everything.
pub(crate) const READ_ONLY: i32 = -2;
/// The role of those who see an object because something below it is theirs.
pub(crate) const VIEW: i32 = -3;
/// The role of those who are not logged in.
pub(crate) const ANONYMOUS: i32 = -4;
/// The role that may do nothing.
pub(crate) const NO_ACCESS: i32 = -5;
/// The sample role of those who run machines and change them.
pub(crate) const POWER_USER: i32 = 1;
/// The sample role of those who run machines.
pub(crate) const USER: i32 = 2;
const NO_CRYPTO: i32 = -6;
const NO_TRUSTED: i32 = -7;

/// What every role has but the one without access.
pub(crate) const BASIC: [&str; 3] = ["System.Anonymous", "System.Read", "System.View"];

/// A role.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) summary: String,
    /// The server's own can't be changed.
    pub(crate) system: bool,
    pub(crate) holds: Holds,
}

/// The privileges of a role.
#[derive(Debug, Clone)]
pub(crate) enum Holds {
    /// All that there are, also those of extensions, but for those that begin so.
    AllBut(&'static [&'static str]),
    These(BTreeSet<String>),
}

impl Role {
    pub(crate) fn allows(&self, privilege: &str) -> bool {
        match &self.holds {
            Holds::AllBut(not) => !not.iter().any(|prefix| privilege.starts_with(prefix)),
            Holds::These(privileges) => privileges.contains(privilege),
        }
    }

    /// Its privileges, sorted.
    pub(crate) fn privileges(&self) -> Vec<String> {
        match &self.holds {
            Holds::AllBut(_) => all().iter().filter(|id| self.allows(id)).map(|id| (*id).to_owned()).collect(),
            Holds::These(privileges) => privileges.iter().cloned().collect(),
        }
    }

    /// A role that somebody made. The privileges to see things come by themselves.
    pub(crate) fn made(name: &str, privileges: Vec<String>) -> Self {
        let holds = BASIC.iter().map(|id| (*id).to_owned()).chain(privileges).collect();
        Self {
            name: name.to_owned(),
            label: name.to_owned(),
            summary: name.to_owned(),
            system: false,
            holds: Holds::These(holds),
        }
    }
}

/// The privileges that the server knows, sorted.
pub(crate) fn all() -> &'static [&'static str] {
    static ALL: OnceLock<Vec<&'static str>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of_methods = registry().methods().iter().filter_map(|method| method.privilege);
        let set: BTreeSet<&str> = of_methods.chain(OF_ARGUMENTS.iter().copied()).collect();
        set.into_iter().collect()
    })
}

/// The roles of a new server, by id.
pub(crate) fn standard() -> BTreeMap<i32, Role> {
    let role = |name: &str, label: &str, summary: &str, system, holds| Role {
        name: name.to_owned(),
        label: label.to_owned(),
        summary: summary.to_owned(),
        system,
        holds,
    };
    let these = |ids: &[&str]| Holds::These(ids.iter().map(|id| (*id).to_owned()).collect());
    let mut roles = BTreeMap::from([
        (ADMIN, role("Admin", "Administrator", "Full access rights", true, Holds::AllBut(&[]))),
        (READ_ONLY, role("ReadOnly", "Read-only", "See details of objects, but not make changes", true, these(&BASIC))),
        (
            VIEW,
            role(
                "View",
                "View",
                "Visibility access (cannot be granted)",
                true,
                these(&["System.Anonymous", "System.View"]),
            ),
        ),
        (
            ANONYMOUS,
            role(
                "Anonymous",
                "Anonymous",
                "Not logged-in user (cannot be granted)",
                true,
                these(&["System.Anonymous"]),
            ),
        ),
        (NO_ACCESS, role("NoAccess", "No access", "Used for restricting granted access", true, these(&[]))),
        (
            NO_CRYPTO,
            role(
                "NoCryptoAdmin",
                "No cryptography administrator",
                "Full access without Cryptographic operations privileges",
                true,
                Holds::AllBut(&["Cryptographer."]),
            ),
        ),
        (
            NO_TRUSTED,
            role(
                "NoTrustedAdmin",
                "No Trusted Infrastructure administrator",
                "Full access without Trusted Infrastructure privileges",
                true,
                Holds::AllBut(&["TrustedAdmin."]),
            ),
        ),
    ]);
    let mut id = 0;
    for (name, label, prefixes) in SAMPLES {
        id += 1;
        let fits = |id: &&&str| prefixes.iter().any(|prefix| id.starts_with(prefix));
        let privileges = all().iter().filter(fits).map(|id| (*id).to_owned()).collect();
        let mut made = Role::made(name, privileges);
        made.label = format!("{label} (sample)");
        made.summary.clone_from(&made.label);
        roles.insert(id, made);
    }
    roles
}

/// The sample roles: a name, a label, what their privileges begin with.
const SAMPLES: &[(&str, &str, &[&str])] = &[
    (
        "VirtualMachinePowerUser",
        "Virtual machine power user",
        &[
            "Datastore.Browse",
            "Global.CancelTask",
            "ScheduledTask.",
            "VirtualMachine.Config.",
            "VirtualMachine.Interact.",
            "VirtualMachine.State.",
        ],
    ),
    (
        "VirtualMachineUser",
        "Virtual machine user",
        &["Global.CancelTask", "ScheduledTask.", "VirtualMachine.Interact."],
    ),
    (
        "ResourcePoolAdministrator",
        "Resource pool administrator",
        &[
            "Alarm.",
            "Authorization.ModifyPermissions",
            "Datastore.Browse",
            "Folder.",
            "Resource.",
            "ScheduledTask.",
            "VirtualMachine.",
        ],
    ),
    (
        "VMwareConsolidatedBackupUser",
        "VMware Consolidated Backup user",
        &["VirtualMachine.Config.DiskLease", "VirtualMachine.Provisioning.", "VirtualMachine.State."],
    ),
    ("DatastoreConsumer", "Datastore consumer", &["Datastore.AllocateSpace"]),
    ("NetworkConsumer", "Network administrator", &["Network.Assign"]),
];

/// Privileges that no method needs by its description: they depend on what it is called with.
const OF_ARGUMENTS: &[&str] = &[
    "System.Anonymous",
    "System.Read",
    "System.View",
    "Alarm.Acknowledge",
    "Alarm.Create",
    "Alarm.Delete",
    "Alarm.DisableActions",
    "Alarm.Edit",
    "Alarm.SetStatus",
    "Alarm.ToggleEnableOnEntity",
    "Authorization.ModifyPermissions",
    "Authorization.ModifyRoles",
    "Authorization.ReassignRolePermissions",
    "Cryptographer.Access",
    "Cryptographer.AddDisk",
    "Cryptographer.Clone",
    "Cryptographer.Encrypt",
    "Cryptographer.EncryptNew",
    "Cryptographer.ManageKeys",
    "Cryptographer.Recrypt",
    "DVPortgroup.Create",
    "DVPortgroup.Delete",
    "DVPortgroup.Modify",
    "DVSwitch.Create",
    "DVSwitch.Delete",
    "DVSwitch.Modify",
    "Datacenter.Create",
    "Datacenter.Delete",
    "Datacenter.Move",
    "Datacenter.Rename",
    "Datastore.AllocateSpace",
    "Datastore.Browse",
    "Datastore.Config",
    "Datastore.Delete",
    "Datastore.DeleteFile",
    "Datastore.FileManagement",
    "Datastore.Move",
    "Datastore.Rename",
    "Extension.Register",
    "Extension.Unregister",
    "Extension.Update",
    "Folder.Create",
    "Folder.Delete",
    "Folder.Move",
    "Folder.Rename",
    "Global.CancelTask",
    "Global.CapacityPlanning",
    "Global.Diagnostics",
    "Global.DisableMethods",
    "Global.EnableMethods",
    "Global.GlobalTag",
    "Global.Health",
    "Global.Licenses",
    "Global.LogEvent",
    "Global.ManageCustomFields",
    "Global.Proxy",
    "Global.ScriptAction",
    "Global.ServiceManagers",
    "Global.SetCustomField",
    "Global.Settings",
    "Global.SystemTag",
    "Global.VCServer",
    "Host.Config.Maintenance",
    "Host.Config.NetService",
    "Host.Config.Network",
    "Host.Config.Power",
    "Host.Config.Settings",
    "Host.Config.Storage",
    "Host.Inventory.AddHostToCluster",
    "Host.Inventory.CreateCluster",
    "Host.Inventory.DeleteCluster",
    "Host.Inventory.EditCluster",
    "Host.Inventory.MoveCluster",
    "Host.Inventory.MoveHost",
    "Host.Inventory.RenameCluster",
    "InventoryService.Tagging.AttachTag",
    "InventoryService.Tagging.CreateCategory",
    "InventoryService.Tagging.CreateTag",
    "InventoryService.Tagging.DeleteCategory",
    "InventoryService.Tagging.DeleteTag",
    "InventoryService.Tagging.EditCategory",
    "InventoryService.Tagging.EditTag",
    "InventoryService.Tagging.ObjectAttachable",
    "Network.Assign",
    "Network.Config",
    "Network.Delete",
    "Network.Move",
    "Performance.ModifyIntervals",
    "Resource.ApplyRecommendation",
    "Resource.AssignVAppToPool",
    "Resource.AssignVMToPool",
    "Resource.ColdMigrate",
    "Resource.CreatePool",
    "Resource.DeletePool",
    "Resource.EditPool",
    "Resource.HotMigrate",
    "Resource.MovePool",
    "Resource.QueryVMotion",
    "Resource.RenamePool",
    "ScheduledTask.Create",
    "ScheduledTask.Delete",
    "ScheduledTask.Edit",
    "ScheduledTask.Run",
    "Sessions.GlobalMessage",
    "Sessions.ImpersonateUser",
    "Sessions.TerminateSession",
    "Sessions.ValidateSession",
    "Task.Create",
    "Task.Update",
    "VApp.ApplicationConfig",
    "VApp.AssignVM",
    "VApp.Create",
    "VApp.Delete",
    "VApp.Export",
    "VApp.Import",
    "VApp.PowerOff",
    "VApp.PowerOn",
    "VApp.Rename",
    "VirtualMachine.Config.AddExistingDisk",
    "VirtualMachine.Config.AddNewDisk",
    "VirtualMachine.Config.AddRemoveDevice",
    "VirtualMachine.Config.AdvancedConfig",
    "VirtualMachine.Config.Annotation",
    "VirtualMachine.Config.CPUCount",
    "VirtualMachine.Config.DiskExtend",
    "VirtualMachine.Config.DiskLease",
    "VirtualMachine.Config.EditDevice",
    "VirtualMachine.Config.Memory",
    "VirtualMachine.Config.RemoveDisk",
    "VirtualMachine.Config.Rename",
    "VirtualMachine.Config.Resource",
    "VirtualMachine.Config.Settings",
    "VirtualMachine.Config.UpgradeVirtualHardware",
    "VirtualMachine.GuestOperations.Execute",
    "VirtualMachine.GuestOperations.Modify",
    "VirtualMachine.GuestOperations.Query",
    "VirtualMachine.Interact.AnswerQuestion",
    "VirtualMachine.Interact.ConsoleInteract",
    "VirtualMachine.Interact.DeviceConnection",
    "VirtualMachine.Interact.PowerOff",
    "VirtualMachine.Interact.PowerOn",
    "VirtualMachine.Interact.Reset",
    "VirtualMachine.Interact.SetCDMedia",
    "VirtualMachine.Interact.Suspend",
    "VirtualMachine.Interact.ToolsInstall",
    "VirtualMachine.Inventory.Create",
    "VirtualMachine.Inventory.CreateFromExisting",
    "VirtualMachine.Inventory.Delete",
    "VirtualMachine.Inventory.Move",
    "VirtualMachine.Inventory.Register",
    "VirtualMachine.Inventory.Unregister",
    "VirtualMachine.Provisioning.Clone",
    "VirtualMachine.Provisioning.CloneTemplate",
    "VirtualMachine.Provisioning.CreateTemplateFromVM",
    "VirtualMachine.Provisioning.Customize",
    "VirtualMachine.Provisioning.DeployTemplate",
    "VirtualMachine.Provisioning.GetVmFiles",
    "VirtualMachine.Provisioning.MarkAsTemplate",
    "VirtualMachine.Provisioning.MarkAsVM",
    "VirtualMachine.Provisioning.ModifyCustSpecs",
    "VirtualMachine.Provisioning.PutVmFiles",
    "VirtualMachine.Provisioning.ReadCustSpecs",
    "VirtualMachine.State.CreateSnapshot",
    "VirtualMachine.State.RemoveSnapshot",
    "VirtualMachine.State.RenameSnapshot",
    "VirtualMachine.State.RevertToSnapshot",
];
