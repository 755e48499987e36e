//! The advanced options of a host.

use std::collections::BTreeMap;

use vsphere_model::types::{Any, OptionDef, OptionValue, Poly};

use super::{Host, part};
use crate::call::Call;
use crate::fault::Outcome;
use crate::objects::option_manager::{self, Definition, Kind, Options};
use crate::world::World;

const fn number(key: &'static str, label: &'static str, least: i64, most: i64, default: i64) -> Definition {
    Definition { key, label, kind: Kind::Number(least, most, default) }
}

const fn text(key: &'static str, label: &'static str, default: &'static str) -> Definition {
    Definition { key, label, kind: Kind::Text(default) }
}

/// Options that administrators of hosts change.
const DEFINED: &[Definition] = &[
    text("Annotations.WelcomeMessage", "Message on the console before login", ""),
    number("BufferCache.FlushInterval", "Milliseconds between flushes", 100, 3_600_000, 30_000),
    text("Config.Etc.issue", "Contents of /etc/issue", ""),
    text("Config.Etc.motd", "Contents of /etc/motd", "The time and date of this login have been sent to the logs."),
    Definition {
        key: "Config.HostAgent.log.level",
        label: "Level of the host agent's log",
        kind: Kind::Choice(&["info", "none", "error", "warning", "verbose", "trivia"]),
    },
    Definition {
        key: "Config.HostAgent.plugins.solo.enableMob",
        label: "Whether the managed object browser is on",
        kind: Kind::Switch(false),
    },
    number("Cpu.CreditAgePeriod", "Milliseconds until credits age", 500, 10_000, 3000),
    number("DCUI.Access", "Placeholder of the console's access list", 0, 1, 0),
    number("Disk.DiskMaxIOSize", "KB of the largest request", 32, 32_767, 32_767),
    number("Disk.SchedNumReqOutstanding", "Requests of one world", 1, 256, 32),
    number("Disk.UseDeviceReset", "Whether devices are reset", 0, 1, 1),
    number("HBR.ChecksumUseAllocInfo", "Whether checksums skip what is not allocated", 0, 1, 1),
    number("ISCSI.MaxIoSizeKB", "KB of the largest iSCSI request", 128, 512, 128),
    number("Irq.BestVcpuRouting", "Whether interrupts go to the best processor", 0, 1, 0),
    number("Mem.AllocGuestLargePage", "Whether guests get large pages", 0, 1, 1),
    number("Mem.ShareForceSalting", "Who shares pages", 0, 2, 2),
    number("Misc.LogToFile", "Whether the kernel logs to a file", 0, 1, 1),
    number("Misc.TimerMaxHardPeriod", "Microseconds of the longest timer", 1000, 1_000_000, 500_000),
    number("NFS.HeartbeatFrequency", "Seconds between heartbeats", 1, 2_147_483_647, 12),
    number("NFS.MaxQueueDepth", "Requests to an NFS server", 1, 4_294_967_295, 4_294_967_295),
    number("NFS.MaxVolumes", "Volumes of NFS 3", 8, 256, 32),
    number("Net.BlockGuestBPDU", "Whether guests' BPDUs are dropped", 0, 1, 0),
    number("Net.FollowHardwareMac", "Whether vmk0 takes the adapter's address", 0, 1, 1),
    number("Net.TcpipHeapMax", "MB of the TCP/IP heap", 32, 1536, 1024),
    number("Net.TcpipHeapSize", "MB of the TCP/IP heap at first", 0, 32, 0),
    text("ScratchConfig.ConfiguredScratchLocation", "Where scratch files go after a reboot", "/vmfs/volumes/OSDATA"),
    text("ScratchConfig.CurrentScratchLocation", "Where scratch files go", "/vmfs/volumes/OSDATA"),
    number("Security.AccountLockFailures", "Failed logins until an account is locked", 0, 100, 5),
    number("Security.AccountUnlockTime", "Seconds until it is unlocked", 0, 3600, 900),
    number("Security.PasswordMaxDays", "Days that a password is valid", 0, 99_999, 99_999),
    text("Security.PasswordQualityControl", "What passwords are like", "retry=3 min=disabled,disabled,disabled,7,7"),
    text("Syslog.global.defaultRotate", "Logs that are kept", "8"),
    text("Syslog.global.logDir", "Where logs go", "[] /scratch/log"),
    text("Syslog.global.logHost", "Where logs are sent", ""),
    number("User.PTEDisableNX", "Whether pages of user worlds may run", 0, 1, 0),
    number("UserVars.DcuiTimeOut", "Seconds until the console logs out", 0, 4_294_967_295, 600),
    number("UserVars.ESXiShellInteractiveTimeOut", "Seconds until an idle shell ends", 0, 86_400, 0),
    number("UserVars.ESXiShellTimeOut", "Seconds that the shell may be on", 0, 86_400, 0),
    number("UserVars.HostClientSessionTimeout", "Seconds of an idle session", 0, 7200, 900),
    number("UserVars.SuppressHyperthreadWarning", "Whether its warning is hidden", 0, 1, 0),
    number("UserVars.SuppressShellWarning", "Whether the warning of an open shell is hidden", 0, 1, 0),
    number("VMFS3.HardwareAcceleratedLocking", "Whether the array locks", 0, 1, 1),
    number("VMkernel.Boot.hyperthreading", "Whether threads of a core are used", 0, 1, 1),
];

/// All options with their values.
pub(super) fn settings(host: &Host) -> Vec<Poly<OptionValue>> {
    options(host).values()
}

pub(super) fn definitions() -> Vec<OptionDef> {
    option_manager::describe(DEFINED)
}

fn options(host: &Host) -> Options<'_> {
    Options { defined: DEFINED, changed: &host.options }
}

/// The options of the host that the call is about.
///
/// # Errors
/// As [`part::host_of`].
pub(in crate::objects) fn options_of<'w>(world: &'w World, call: &Call) -> Outcome<Options<'w>> {
    part::host(world, call).map(options)
}

/// The same, to change them.
///
/// # Errors
/// As [`part::host_of`].
pub(in crate::objects) fn edit_options_of<'w>(
    world: &'w mut World,
    call: &Call,
) -> Outcome<&'w mut BTreeMap<String, Any>> {
    Ok(&mut part::edit_host(world, call)?.options)
}
