//! What VMware Tools tell of the guest, and when: some seconds after its machine was powered on.
//!
//! What runs in a machine is its [`GuestPlan`]. One that was made by a client is empty, as on a real server. To install a
//! system there, give it the name of its host in the machine's `extraConfig`, by `guestinfo.sim.hostname`; it has current
//! Tools, unless `guestinfo.sim.tools` says `old`, `open` (those of a Linux distribution) or `none`. The guest reads them
//! when it starts.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use vsphere_model::types::{
    GuestDiskInfo, GuestInfo, GuestInfoVirtualDiskMapping, GuestNicInfo, GuestStackInfo, ManagedEntityStatus,
    NetDnsConfigInfo, NetIpConfigInfo, NetIpConfigInfoIpAddress, NetIpRouteConfigInfo, NetIpRouteConfigInfoGateway,
    NetIpRouteConfigInfoIpRoute, VirtualDisk, VirtualEthernetCard, VirtualMachineConfigInfo,
    VirtualMachineGuestOsFamily, VirtualMachineGuestState, VirtualMachinePowerState, VirtualMachineToolsInstallType,
    VirtualMachineToolsRunningStatus, VirtualMachineToolsStatus, VirtualMachineToolsVersionStatus,
};

use super::{Vm, customize, guest_os, hardware};
use crate::world::{Moref, PREFIX_LENGTH, World, router_of};

/// How long a system takes to start, until its Tools answer.
const BOOT: Duration = Duration::from_secs(6);

/// How long one takes that only wakes: it was suspended, or comes from the memory of a snapshot.
const WAKE: Duration = Duration::from_secs(1);

/// How long the Tools take to tell of addresses and disks after they have answered.
const REPORT: Duration = Duration::from_secs(2);

/// The versions of Tools, as the product counts them: 1024 a major, 32 a minor version.
const CURRENT_TOOLS: i32 = 13 * 1024;
const OLD_TOOLS: i32 = 11 * 1024 + 32;
const OPEN_TOOLS: i32 = 12 * 1024 + 5 * 32;

/// The system that is installed in a machine.
#[derive(Debug, Clone)]
pub(crate) struct GuestPlan {
    /// Without its domain.
    pub(crate) host_name: String,
    /// May be empty.
    pub(crate) domain: String,
    pub(crate) tools: Tools,
    leases: Vec<Lease>,
}

/// Which VMware Tools are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tools {
    Missing,
    Old,
    Current,
    /// The open-vm-tools of a Linux distribution, which vCenter doesn't update.
    Open,
}

/// An address that a network card has been given.
#[derive(Debug, Clone)]
struct Lease {
    card: i32,
    network: String,
    address: Ipv4Addr,
}

impl GuestPlan {
    /// A system with this host name, which may bring its domain.
    pub(crate) fn new(host_name: &str, tools: Tools) -> Self {
        let (host_name, domain) = host_name.split_once('.').unwrap_or((host_name, ""));
        Self { host_name: host_name.to_owned(), domain: domain.to_owned(), tools, leases: Vec::new() }
    }

    /// The system of a clone with this name: it has a host name and addresses of its own.
    pub(crate) fn for_clone(&self, name: &str) -> Self {
        let allowed = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
        let host_name: String = name.chars().map(allowed).take(63).collect();
        Self { host_name, leases: Vec::new(), ..self.clone() }
    }

    /// Whether VMware Tools are installed.
    pub(super) fn has_tools(&self) -> bool {
        self.tools != Tools::Missing
    }

    /// The system has this host name from now on.
    pub(super) fn rename(&mut self, host_name: &str) {
        host_name.clone_into(&mut self.host_name);
    }

    /// A network card has this address from now on.
    pub(super) fn lease(&mut self, card: i32, network: &Moref, address: Ipv4Addr) {
        self.leases.retain(|lease| lease.card != card);
        self.leases.push(Lease { card, network: network.value.clone(), address });
    }

    /// The plan that the `extraConfig` of a machine gives.
    fn written_in(config: &VirtualMachineConfigInfo) -> Option<Self> {
        let host_name = extra_config(config, "guestinfo.sim.hostname").filter(|name| !name.is_empty())?;
        let tools = match extra_config(config, "guestinfo.sim.tools") {
            Some("old") => Tools::Old,
            Some("open") => Tools::Open,
            Some("none") => Tools::Missing,
            _ => Tools::Current,
        };
        Some(Self::new(host_name, tools))
    }

    fn full_name(&self) -> String {
        if self.domain.is_empty() { self.host_name.clone() } else { format!("{}.{}", self.host_name, self.domain) }
    }
}

impl Tools {
    fn version(self) -> Option<i32> {
        match self {
            Self::Missing => None,
            Self::Old => Some(OLD_TOOLS),
            Self::Current => Some(CURRENT_TOOLS),
            Self::Open => Some(OPEN_TOOLS),
        }
    }

    fn version_status(self) -> (VirtualMachineToolsVersionStatus, VirtualMachineToolsVersionStatus) {
        use VirtualMachineToolsVersionStatus as Status;
        match self {
            Self::Missing => (Status::GuestToolsNotInstalled, Status::GuestToolsNotInstalled),
            Self::Old => (Status::GuestToolsNeedUpgrade, Status::GuestToolsSupportedOld),
            Self::Current => (Status::GuestToolsCurrent, Status::GuestToolsCurrent),
            Self::Open => (Status::GuestToolsUnmanaged, Status::GuestToolsUnmanaged),
        }
    }

    fn install_type(self, windows: bool) -> Option<VirtualMachineToolsInstallType> {
        use VirtualMachineToolsInstallType as Type;
        match self {
            Self::Missing => None,
            Self::Open => Some(Type::GuestToolsTypeOpenVMTools),
            Self::Old | Self::Current if windows => Some(Type::GuestToolsTypeMSI),
            Self::Old | Self::Current => Some(Type::GuestToolsTypeTar),
        }
    }

    /// What the oldest of the three status properties says: it mixes version and state.
    fn status(self, running: bool) -> VirtualMachineToolsStatus {
        match self {
            Self::Missing => VirtualMachineToolsStatus::ToolsNotInstalled,
            _ if !running => VirtualMachineToolsStatus::ToolsNotRunning,
            Self::Old => VirtualMachineToolsStatus::ToolsOld,
            Self::Current | Self::Open => VirtualMachineToolsStatus::ToolsOk,
        }
    }
}

impl Vm {
    /// Whether the Tools answer.
    pub(crate) fn tools_run(&self) -> bool {
        let running = VirtualMachineToolsRunningStatus::GuestToolsRunning;
        self.guest.tools_running_status.as_deref() == Some(running.as_str())
    }

    /// What `guestHeartbeatStatus` says.
    pub(crate) fn heartbeat(&self) -> ManagedEntityStatus {
        if self.tools_run() { ManagedEntityStatus::Green } else { ManagedEntityStatus::Gray }
    }

    /// What is known of the guest while it does not run: the Tools' version, and from the last run its name and system.
    pub(super) fn guest_stops(&mut self) {
        let tools = self.guest_plan.as_ref().map_or(Tools::Missing, |plan| plan.tools);
        let before = std::mem::take(&mut self.guest);
        self.guest = GuestInfo {
            host_name: before.host_name,
            guest_id: before.guest_id,
            guest_full_name: before.guest_full_name,
            guest_family: before.guest_family,
            guest_state: VirtualMachineGuestState::NotRunning.into(),
            guest_operations_ready: Some(false),
            interactive_guest_operations_ready: Some(false),
            guest_state_change_supported: Some(false),
            hw_version: Some(self.config.version.clone()),
            ..Default::default()
        };
        self.tools_are(tools, false);
    }

    /// The Tools end while the guest goes on.
    pub(crate) fn tools_end(&mut self) {
        if let Some(tools) = self.guest_plan.as_ref().map(|plan| plan.tools) {
            self.tools_are(tools, false);
        }
    }

    /// Says in the guest's facts and in the configuration which Tools there are, and whether they answer.
    fn tools_are(&mut self, tools: Tools, running: bool) {
        let running_status = if running {
            VirtualMachineToolsRunningStatus::GuestToolsRunning
        } else {
            VirtualMachineToolsRunningStatus::GuestToolsNotRunning
        };
        let (status, status2) = tools.version_status();
        let install_type = tools.install_type(is_windows(&self.config.guest_id)).map(String::from);
        let guest = &mut self.guest;
        guest.tools_status = Some(tools.status(running));
        guest.tools_version_status = Some(status.into());
        guest.tools_version_status2 = Some(status2.into());
        guest.tools_running_status = Some(running_status.into());
        guest.tools_version = Some(tools.version().unwrap_or_default().to_string());
        guest.tools_install_type = install_type.clone();
        let config = self.config.tools.get_or_insert_default();
        config.tools_version = Some(tools.version().unwrap_or_default());
        config.tools_install_type = install_type;
    }

    /// The Tools answer: what they know at once.
    fn tools_answer(&mut self) {
        let Some(plan) = &self.guest_plan else { return };
        let (tools, host_name) = (plan.tools, plan.full_name());
        if tools == Tools::Missing {
            return;
        }
        self.tools_are(tools, true);
        let guest = &mut self.guest;
        guest.guest_state = VirtualMachineGuestState::Running.into();
        guest.guest_id = Some(self.config.guest_id.clone());
        guest.guest_full_name = Some(self.config.guest_full_name.clone());
        guest.guest_family = Some(family(&self.config.guest_id));
        guest.host_name = Some(host_name);
        guest.guest_operations_ready = Some(true);
        guest.interactive_guest_operations_ready = Some(false);
        guest.guest_state_change_supported = Some(true);
        guest.guest_kernel_crashed = Some(false);
        guest.app_heartbeat_status = Some("appStatusGray".to_owned());
    }

    /// Other Tools are installed in the running guest.
    pub(super) fn install_tools(&mut self, tools: Tools) {
        if let Some(plan) = &mut self.guest_plan {
            plan.tools = tools;
        }
        self.tools_are(tools, true);
    }

    /// The disks as the guest has them: a file system on each.
    fn guest_disks(&self) -> Vec<GuestDiskInfo> {
        let windows = is_windows(&self.config.guest_id);
        let disks = self.config.hardware.device.iter().filter_map(|device| device.downcast_ref::<VirtualDisk>());
        disks
            .zip(0_u8..)
            .map(|(disk, number)| {
                let path = match (windows, number) {
                    (true, _) => format!("{}:\\", char::from(b'C' + number.min(22))),
                    (false, 0) => "/".to_owned(),
                    (false, _) => format!("/data{number}"),
                };
                // Partition table, boot partition and the file system's own needs.
                let capacity = disk.capacity_in_kb.saturating_mul(1024) / 100 * 97;
                let used_percent =
                    25 + i64::try_from(super::stats::spread(self, u64::from(number)) % 50).unwrap_or_default();
                GuestDiskInfo {
                    disk_path: Some(path),
                    capacity: Some(capacity),
                    free_space: Some(capacity / 100 * (100 - used_percent)),
                    filesystem_type: Some(if windows { "NTFS" } else { "ext4" }.to_owned()),
                    mappings: vec![GuestInfoVirtualDiskMapping { key: disk.key }],
                }
            })
            .collect()
    }
}

/// How a system comes up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    /// From its disk.
    Boot,
    /// Out of kept memory.
    Wake,
    /// It has long been up.
    Up,
}

/// The guest of this machine, which has just been powered on or reset, begins to start. Its Tools answer some seconds
/// later, and tell of its addresses after that.
pub(super) fn start(world: &mut World, vm: &Moref, how: Start) {
    let Ok(machine) = world.edit::<Vm>(vm) else { return };
    if machine.guest_plan.is_none() {
        machine.guest_plan = GuestPlan::written_in(&machine.config).map(Box::new);
    }
    if matches!(how, Start::Boot)
        && let Err(fault) = customize::carry_out(world, vm)
    {
        tracing::warn!(vm = vm.value, fault = fault.message(), "no customization");
    }
    let Ok(machine) = world.edit::<Vm>(vm) else { return };
    machine.guest_stops();
    let turn = machine.life.turn;
    let Some(plan) = &machine.guest_plan else { return };
    if plan.tools == Tools::Missing {
        return;
    }
    let vm = vm.clone();
    let (after, report_after) = match how {
        Start::Boot => (BOOT, REPORT),
        Start::Wake => (WAKE, REPORT),
        Start::Up => (Duration::ZERO, Duration::ZERO),
    };
    world.later(after, move |world| {
        if !runs_still(world, &vm, turn) {
            return;
        }
        if let Ok(machine) = world.edit::<Vm>(&vm) {
            machine.tools_answer();
        }
        world.later(report_after, move |world| {
            if runs_still(world, &vm, turn) {
                report(world, &vm);
            }
        });
    });
}

/// Whether the machine still is in the run that this turn began.
pub(super) fn runs_still(world: &World, vm: &Moref, turn: u32) -> bool {
    world.get::<Vm>(vm).is_ok_and(|machine| {
        machine.life.turn == turn && machine.runtime.power_state == VirtualMachinePowerState::PoweredOn
    })
}

/// A network card as the guest sees it.
struct Card {
    key: i32,
    mac: String,
    connected: bool,
    network: Option<Moref>,
}

/// The Tools tell of addresses and disks: once they run, and again when cards or disks have changed.
pub(super) fn report(world: &mut World, vm: &Moref) {
    let Ok(machine) = world.get::<Vm>(vm) else { return };
    let Some(plan) = machine.guest_plan.as_deref() else { return };
    if !machine.tools_run() {
        return;
    }
    let mut plan = plan.clone();
    let disks = machine.guest_disks();
    let cards = cards(world, machine);
    let windows = is_windows(&machine.config.guest_id);
    let mut nics = Vec::new();
    let mut first = None;
    for card in cards {
        let address = card.network.as_ref().filter(|_| card.connected).map(|network| {
            let lease = plan.leases.iter().find(|lease| lease.card == card.key && lease.network == network.value);
            let known = lease.map(|lease| lease.address);
            known.unwrap_or_else(|| {
                let address = world.subnets.take(&network.value);
                plan.leases.retain(|lease| lease.card != card.key);
                plan.leases.push(Lease { card: card.key, network: network.value.clone(), address });
                address
            })
        });
        first = first.or(address);
        nics.push(nic(world, &card, address));
    }
    let stack = first.map(|address| stack(&plan, address, windows));
    let Ok(machine) = world.edit::<Vm>(vm) else { return };
    let guest = &mut machine.guest;
    guest.net = nics;
    guest.ip_address = first.map(|address| address.to_string());
    guest.ip_stack = stack.into_iter().collect();
    guest.disk = disks;
    machine.guest_plan = Some(Box::new(plan));
}

/// The network of each network card, in their order.
pub(super) fn networks(world: &World, machine: &Vm) -> Vec<Option<Moref>> {
    cards(world, machine).into_iter().map(|card| card.network).collect()
}

fn cards(world: &World, machine: &Vm) -> Vec<Card> {
    let host = machine.runtime.host.clone().unwrap_or_default();
    let devices = machine.config.hardware.device.iter();
    let cards = devices.filter_map(|device| device.downcast_ref::<VirtualEthernetCard>());
    cards
        .map(|card| Card {
            key: card.key,
            mac: card.mac_address.clone().unwrap_or_default(),
            connected: card.connectable.as_ref().is_none_or(|connectable| connectable.connected),
            network: hardware::network_of(world, &host, card),
        })
        .collect()
}

fn nic(world: &World, card: &Card, address: Option<Ipv4Addr>) -> GuestNicInfo {
    let name = card.network.as_ref().and_then(|network| world.entity(network).ok()).map(|entity| entity.name.clone());
    let v4 = address.map(|address| (address.to_string(), PREFIX_LENGTH));
    let v6 = address.and_then(|_| link_local(&card.mac)).map(|address| (address.to_string(), 64));
    let addresses: Vec<(String, i32)> = v4.into_iter().chain(v6).collect();
    let configured = |(address, length): &(String, i32)| NetIpConfigInfoIpAddress {
        ip_address: address.clone(),
        prefix_length: *length,
        state: Some("preferred".to_owned()),
        ..Default::default()
    };
    let ip_config = (!addresses.is_empty()).then(|| {
        Box::new(NetIpConfigInfo { ip_address: addresses.iter().map(configured).collect(), ..Default::default() })
    });
    GuestNicInfo {
        network: name,
        ip_address: addresses.into_iter().map(|(address, _)| address).collect(),
        mac_address: Some(card.mac.clone()),
        connected: card.connected,
        device_config_id: card.key,
        ip_config,
        ..Default::default()
    }
}

/// The link-local address that a card gives itself, made of its MAC address (RFC 4291, appendix A).
fn link_local(mac: &str) -> Option<Ipv6Addr> {
    let bytes: Vec<u8> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>().ok()?;
    let [a, b, c, d, e, f] = bytes.try_into().ok()?;
    let mut octets = [0; 16];
    octets[0..2].copy_from_slice(&[0xfe, 0x80]);
    octets[8..16].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Some(octets.into())
}

fn stack(plan: &GuestPlan, address: Ipv4Addr, windows: bool) -> GuestStackInfo {
    let router = router_of(address);
    let route = |network: &str, prefix_length, gateway: Option<Ipv4Addr>| NetIpRouteConfigInfoIpRoute {
        network: network.to_owned(),
        prefix_length,
        gateway: NetIpRouteConfigInfoGateway {
            ip_address: gateway.map(|gateway| gateway.to_string()),
            device: Some("0".to_owned()),
        },
    };
    let [a, b, _, _] = address.octets();
    let local = Ipv4Addr::new(a, b, 0, 0).to_string();
    GuestStackInfo {
        dns_config: Some(Box::new(NetDnsConfigInfo {
            dhcp: windows,
            host_name: plan.host_name.clone(),
            domain_name: plan.domain.clone(),
            ip_address: vec![router.to_string()],
            search_domain: Some(plan.domain.clone()).filter(|domain| !domain.is_empty()).into_iter().collect(),
        })),
        ip_route_config: Some(Box::new(NetIpRouteConfigInfo {
            ip_route: vec![route("0.0.0.0", 0, Some(router)), route(&local, PREFIX_LENGTH, None)],
        })),
        ..Default::default()
    }
}

/// A text value of the machine's `extraConfig`.
pub(crate) fn extra_config<'a>(config: &'a VirtualMachineConfigInfo, key: &str) -> Option<&'a str> {
    let option = config.extra_config.iter().find(|option| option.key == key)?;
    option.value.as_ref()?.as_str()
}

pub(crate) fn is_windows(guest_id: &str) -> bool {
    guest_id.starts_with("win")
}

fn family(guest_id: &str) -> String {
    let common = guest_os::find(guest_id).map(|guest| guest.family.to_owned());
    common.unwrap_or_else(|| {
        let family = if is_windows(guest_id) {
            VirtualMachineGuestOsFamily::WindowsGuest
        } else {
            VirtualMachineGuestOsFamily::LinuxGuest
        };
        family.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_has_a_host_name_of_its_own_in_the_letters_that_host_names_have() {
        let plan = GuestPlan::new("web-1.example.org", Tools::Current);
        assert_eq!((plan.host_name.as_str(), plan.domain.as_str()), ("web-1", "example.org"));
        assert_eq!(plan.for_clone("Web Server_2").full_name(), "web-server-2.example.org");
    }

    #[test]
    fn a_link_local_address_is_made_of_the_mac_address() {
        assert_eq!(link_local("00:50:56:82:0a:01").map(|a| a.to_string()).as_deref(), Some("fe80::250:56ff:fe82:a01"));
        assert_eq!(link_local("00:50:56"), None);
    }
}
