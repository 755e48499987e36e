//! The configuration of a virtual machine: what a new one starts with, and how a specification changes it.

use vsphere_model::types::{
    Any, ConcurrentAccess, CpuHotPlugNotSupported, InvalidPowerState, LatencySensitivity,
    LatencySensitivitySensitivityLevel, MemoryHotPlugNotSupported, OptionValue, Poly, ResourceAllocationInfo,
    ScheduledHardwareUpgradeInfo, SharesInfo, SharesLevel, ToolsConfigInfo, ToolsConfigInfoToolsLastInstallInfo,
    VirtualHardware, VirtualMachineBootOptions, VirtualMachineConfigInfo, VirtualMachineConfigSpec,
    VirtualMachineDefaultPowerOpInfo, VirtualMachineFileInfo, VirtualMachineFlagInfo, VirtualMachineGuestIntegrityInfo,
    VirtualMachinePowerState, VirtualMachineSgxInfo, VirtualMachineVirtualDeviceSwap,
    VirtualMachineVirtualDeviceSwapDeviceSwapInfo, VirtualMachineVirtualNumaInfo,
};
use vsphere_soap::object::copy;

use super::draft::Draft;
use super::{Vm, application, guest_os, hardware};
use crate::fault::{Fault, Outcome};
use crate::world::{World, uuid};

/// The most processors and memory that a machine of the newest version may have.
const MAX_CPUS: i32 = 960;
const MAX_MEMORY_MB: i64 = 24 << 20;

/// The configuration of a machine that nothing was said of but its name and its place.
pub(super) fn blank(world: &World, name: &str, vmx: &str) -> VirtualMachineConfigInfo {
    let now = world.now();
    let text = |text: &str| Some(text.to_owned());
    let stem = vmx.rsplit('/').next().and_then(|file| file.strip_suffix(".vmx")).unwrap_or(name);
    VirtualMachineConfigInfo {
        change_version: super::draft::change_version(world),
        modified: now,
        create_date: Some(now),
        name: name.to_owned(),
        guest_full_name: guest_os::full_name(guest_os::DEFAULT).to_owned(),
        guest_id: guest_os::DEFAULT.to_owned(),
        version: "vmx-21".to_owned(),
        uuid: new_uuid(0x42),
        instance_uuid: Some(new_uuid(0x50)),
        npiv_temporary_disabled: Some(true),
        location_id: Some(new_location()),
        annotation: Some(String::new()),
        files: files_at(vmx),
        tools: Some(Box::new(ToolsConfigInfo {
            tools_version: Some(0),
            tools_install_type: text("guestToolsTypeUnknown"),
            after_power_on: Some(true),
            after_resume: Some(true),
            before_guest_standby: Some(true),
            before_guest_shutdown: Some(true),
            tools_upgrade_policy: text("manual"),
            sync_time_with_host_allowed: Some(true),
            sync_time_with_host: Some(false),
            last_install_info: Some(Box::new(ToolsConfigInfoToolsLastInstallInfo { counter: 0, fault: None })),
            ..Default::default()
        })),
        flags: flags(),
        default_power_ops: VirtualMachineDefaultPowerOpInfo {
            power_off_type: text("soft"),
            suspend_type: text("hard"),
            reset_type: text("soft"),
            default_power_off_type: text("soft"),
            default_suspend_type: text("hard"),
            default_reset_type: text("soft"),
            standby_action: text("checkpoint"),
        },
        hardware: VirtualHardware {
            num_cpu: 1,
            num_cores_per_socket: Some(1),
            auto_cores_per_socket: Some(true),
            memory_mb: 32,
            virtual_ich7_m_present: Some(false),
            virtual_smc_present: Some(false),
            device: hardware::default_devices(),
            motherboard_layout: text("i440bxHostBridge"),
            simultaneous_threads: Some(1),
        },
        cpu_allocation: Some(Box::new(allocation(1000))),
        memory_allocation: Some(Box::new(allocation(320))),
        latency_sensitivity: Some(Box::new(LatencySensitivity {
            level: LatencySensitivitySensitivityLevel::Normal,
            sensitivity: None,
        })),
        memory_hot_add_enabled: Some(false),
        cpu_hot_add_enabled: Some(false),
        cpu_hot_remove_enabled: Some(false),
        extra_config: vec![option("nvram", &format!("{stem}.nvram")), option("svga.present", "TRUE")],
        swap_placement: text("inherit"),
        boot_options: Some(Box::new(VirtualMachineBootOptions {
            boot_delay: Some(0),
            enter_bios_setup: Some(false),
            efi_secure_boot_enabled: Some(false),
            boot_retry_enabled: Some(false),
            boot_retry_delay: Some(10_000),
            network_boot_protocol: text("ipv4"),
            ..Default::default()
        })),
        reboot_power_off: Some(false),
        v_asserts_enabled: Some(false),
        change_tracking_enabled: Some(false),
        firmware: text("bios"),
        max_mks_connections: Some(-1),
        guest_auto_lock_enabled: Some(true),
        memory_reservation_locked_to_max: Some(false),
        nested_hv_enabled: Some(false),
        v_pmc_enabled: Some(false),
        message_bus_tunnel_enabled: Some(false),
        migrate_encryption: text("opportunistic"),
        ft_encryption_mode: text("ftEncryptionOpportunistic"),
        sev_enabled: Some(false),
        pmem_failover_enabled: Some(false),
        vmx_stats_collection_enabled: Some(true),
        vm_op_notification_to_app_enabled: Some(false),
        fixed_passthru_hot_plug_enabled: Some(false),
        metro_ft_enabled: Some(false),
        numa_info: Some(Box::new(VirtualMachineVirtualNumaInfo {
            auto_cores_per_numa_node: Some(true),
            vnuma_on_cpu_hotadd_exposed: Some(false),
            ..Default::default()
        })),
        device_swap: Some(Box::new(VirtualMachineVirtualDeviceSwap {
            lsi_to_pvscsi: Some(Box::new(VirtualMachineVirtualDeviceSwapDeviceSwapInfo {
                enabled: Some(true),
                applicable: Some(false),
                status: text("none"),
            })),
        })),
        guest_integrity_info: Some(Box::new(VirtualMachineGuestIntegrityInfo { enabled: Some(false) })),
        guest_monitoring_mode_info: Some(Box::default()),
        sgx_info: Some(Box::new(VirtualMachineSgxInfo { flc_mode: text("unlocked"), ..Default::default() })),
        scheduled_hardware_upgrade_info: Some(Box::new(ScheduledHardwareUpgradeInfo {
            upgrade_policy: text("never"),
            scheduled_hardware_upgrade_status: text("none"),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// The places of a machine's files, where its configuration file is here.
pub(super) fn files_at(vmx: &str) -> VirtualMachineFileInfo {
    let folder = vmx.rsplit_once('/').map_or(vmx, |(folder, _)| folder);
    let folder = Some(format!("{folder}/"));
    VirtualMachineFileInfo {
        vm_path_name: Some(vmx.to_owned()),
        snapshot_directory: folder.clone(),
        suspend_directory: folder.clone(),
        log_directory: folder,
        ft_metadata_directory: None,
    }
}

fn flags() -> VirtualMachineFlagInfo {
    let text = |text: &str| Some(text.to_owned());
    VirtualMachineFlagInfo {
        disable_acceleration: Some(false),
        enable_logging: Some(true),
        use_toe: Some(false),
        run_with_debug_info: Some(false),
        monitor_type: text("release"),
        ht_sharing: text("any"),
        snapshot_disabled: Some(false),
        snapshot_locked: Some(false),
        disk_uuid_enabled: Some(false),
        virtual_mmu_usage: text("automatic"),
        virtual_exec_usage: text("hvAuto"),
        snapshot_power_off_behavior: text("powerOff"),
        record_replay_enabled: Some(false),
        fault_tolerance_type: text("unset"),
        cbrc_cache_enabled: Some(false),
        vvtd_enabled: Some(false),
        vbs_enabled: Some(false),
    }
}

/// No reservation, no limit, and the shares that a machine of its size gets.
fn allocation(shares: i32) -> ResourceAllocationInfo {
    ResourceAllocationInfo {
        reservation: Some(0),
        expandable_reservation: Some(false),
        limit: Some(-1),
        shares: Some(Box::new(SharesInfo { shares, level: SharesLevel::Normal })),
        overhead_limit: None,
    }
}

/// A UUID that starts with this byte, as a server gives them to machines.
pub(super) fn new_uuid(first: u128) -> String {
    uuid(fastrand::u128(..) & (u128::MAX >> 8) | first << 120)
}

/// The id of the place of a machine's files; its first bytes are the letters `VM`.
pub(super) fn new_location() -> String {
    let id = new_uuid(0x56);
    format!("564d{}", id.get(4..).unwrap_or_default())
}

pub(super) fn option(key: &str, value: &str) -> Poly<OptionValue> {
    Poly::new(OptionValue { key: key.to_owned(), value: Some(Any::from(value.to_owned())) })
}

/// Changes the configuration as the specification says, devices included. `root` is the specification's own name in the
/// call, for faults that name a property.
///
/// # Errors
/// `ConcurrentAccess`, `InvalidArgument`, `InvalidPowerState`, the faults of hot plugging, and those of
/// [`hardware::change`].
pub(super) fn apply(world: &mut World, draft: &mut Draft, spec: &VirtualMachineConfigSpec, root: &str) -> Outcome<()> {
    let config = &mut draft.config;
    if spec.change_version.as_ref().is_some_and(|seen| !seen.is_empty() && *seen != config.change_version) {
        let message = "Cannot complete operation due to concurrent modification by another operation.";
        return Err(Fault::new(ConcurrentAccess::default(), message));
    }
    let running = draft.running && world.settings.rules.changes_need_power_off();
    set_identity(config, spec, root, running)?;
    set_size(config, spec, root, running)?;
    set_options(config, spec, root, running)?;
    set_shares(config, spec);
    if spec.v_app_config_removed == Some(true) {
        config.v_app_config = None;
    } else if let Some(application) = &spec.v_app_config {
        application::apply(config, application);
    }
    for change in &spec.extra_config {
        set_extra(&mut config.extra_config, change);
    }
    hardware::change(world, draft, &spec.device_change, root)?;
    set_boot(&mut draft.config, spec, root)?;
    draft.config.modified = world.now();
    draft.config.change_version = super::draft::change_version(world);
    Ok(())
}

/// Ends in `InvalidPowerState` where the machine runs.
pub(super) fn only_when_off(running: bool) -> Outcome<()> {
    if !running {
        return Ok(());
    }
    let fault = InvalidPowerState {
        existing_state: VirtualMachinePowerState::PoweredOn,
        requested_state: None,
        ..Default::default()
    };
    Err(Fault::new(fault, "The attempted operation cannot be performed in the current state (Powered on)."))
}

fn set_identity(
    config: &mut VirtualMachineConfigInfo,
    spec: &VirtualMachineConfigSpec,
    root: &str,
    running: bool,
) -> Outcome<()> {
    if let Some(name) = spec.name.as_ref().filter(|name| !name.is_empty()) {
        config.name = crate::world::escaped(name);
    }
    if let Some(guest) = spec.guest_id.as_ref().filter(|guest| !guest.is_empty() && **guest != config.guest_id) {
        if !guest_os::is_known(guest) {
            return Err(Fault::invalid_argument(&format!("{root}.guestId")));
        }
        only_when_off(running)?;
        guest_os::full_name(guest).clone_into(&mut config.guest_full_name);
        config.guest_id.clone_from(guest);
    }
    if let Some(name) = spec.alternate_guest_name.as_ref() {
        config.alternate_guest_name.clone_from(name);
        if !name.is_empty() {
            config.guest_full_name.clone_from(name);
        }
    }
    for (wanted, kept, name) in [
        (&spec.uuid, &mut config.uuid, "uuid"),
        (&spec.instance_uuid, config.instance_uuid.get_or_insert_default(), "instanceUuid"),
    ] {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| !wanted.is_empty() && *wanted != kept) {
            *kept = canonical_uuid(wanted).ok_or_else(|| Fault::invalid_argument(&format!("{root}.{name}")))?;
        }
    }
    if let Some(version) = spec.version.as_ref().filter(|version| !version.is_empty() && **version != config.version) {
        if !version
            .strip_prefix("vmx-")
            .is_some_and(|number| number.parse::<u32>().is_ok_and(|n| (4..=22).contains(&n)))
        {
            return Err(Fault::invalid_argument(&format!("{root}.version")));
        }
        only_when_off(running)?;
        config.version.clone_from(version);
    }
    Ok(())
}

/// The UUID in the form with hyphens, where it is one.
fn canonical_uuid(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|digit| !matches!(digit, '-' | ' ')).collect();
    let bits = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)?;
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    Some([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
}

fn set_size(
    config: &mut VirtualMachineConfigInfo,
    spec: &VirtualMachineConfigSpec,
    root: &str,
    running: bool,
) -> Outcome<()> {
    let cpus = spec.num_cpus.unwrap_or(config.hardware.num_cpu);
    let refused = |name: &str| Fault::invalid_argument(&format!("{root}.{name}"));
    if !(1..=MAX_CPUS).contains(&cpus) {
        return Err(refused("numCPUs"));
    }
    if cpus != config.hardware.num_cpu && running {
        let allowed =
            if cpus > config.hardware.num_cpu { config.cpu_hot_add_enabled } else { config.cpu_hot_remove_enabled };
        if allowed != Some(true) {
            let message = "CPU hot plug is not supported for this virtual machine.";
            return Err(Fault::new(CpuHotPlugNotSupported::default(), message));
        }
    }
    config.hardware.num_cpu = cpus;
    if let Some(cores) = spec.num_cores_per_socket.filter(|cores| Some(*cores) != config.hardware.num_cores_per_socket)
    {
        only_when_off(running)?;
        // No cores a socket means: as the server sees fit.
        config.hardware.auto_cores_per_socket = Some(cores == 0);
        config.hardware.num_cores_per_socket = Some(cores.max(1));
    }
    let cores = config.hardware.num_cores_per_socket.unwrap_or(1);
    if cores < 1 || cpus % cores != 0 {
        if spec.num_cores_per_socket.is_some() || config.hardware.auto_cores_per_socket != Some(true) {
            return Err(refused("numCoresPerSocket"));
        }
        config.hardware.num_cores_per_socket = Some(1);
    }
    let memory = spec.memory_mb.unwrap_or_else(|| i64::from(config.hardware.memory_mb));
    if memory % 4 != 0 || !(4..=MAX_MEMORY_MB).contains(&memory) {
        return Err(refused("memoryMB"));
    }
    let before = i64::from(config.hardware.memory_mb);
    if memory != before && running && (memory < before || config.memory_hot_add_enabled != Some(true)) {
        let message = "Memory hot plug is not supported for this virtual machine.";
        return Err(Fault::new(MemoryHotPlugNotSupported::default(), message));
    }
    config.hardware.memory_mb = i32::try_from(memory).map_err(|_| refused("memoryMB"))?;
    Ok(())
}

fn set_options(
    config: &mut VirtualMachineConfigInfo,
    spec: &VirtualMachineConfigSpec,
    root: &str,
    running: bool,
) -> Outcome<()> {
    for (wanted, kept) in [
        (spec.memory_hot_add_enabled, &mut config.memory_hot_add_enabled),
        (spec.cpu_hot_add_enabled, &mut config.cpu_hot_add_enabled),
        (spec.cpu_hot_remove_enabled, &mut config.cpu_hot_remove_enabled),
        (spec.nested_hv_enabled, &mut config.nested_hv_enabled),
        (spec.v_pmc_enabled, &mut config.v_pmc_enabled),
        (spec.virtual_ich7_m_present, &mut config.hardware.virtual_ich7_m_present),
        (spec.virtual_smc_present, &mut config.hardware.virtual_smc_present),
        (spec.sev_enabled, &mut config.sev_enabled),
    ] {
        if wanted.is_some() && wanted != *kept {
            only_when_off(running)?;
            *kept = wanted;
        }
    }
    if let Some(firmware) = spec.firmware.as_ref().filter(|firmware| Some(*firmware) != config.firmware.as_ref()) {
        if !["bios", "efi"].contains(&firmware.as_str()) {
            return Err(Fault::invalid_argument(&format!("{root}.firmware")));
        }
        only_when_off(running)?;
        config.firmware = Some(firmware.clone());
    }
    for (wanted, kept) in [
        (spec.change_tracking_enabled, &mut config.change_tracking_enabled),
        (spec.guest_auto_lock_enabled, &mut config.guest_auto_lock_enabled),
        (spec.memory_reservation_locked_to_max, &mut config.memory_reservation_locked_to_max),
        (spec.message_bus_tunnel_enabled, &mut config.message_bus_tunnel_enabled),
        (spec.v_asserts_enabled, &mut config.v_asserts_enabled),
        (spec.reboot_power_off, &mut config.reboot_power_off),
        (spec.pmem_failover_enabled, &mut config.pmem_failover_enabled),
        (spec.vmx_stats_collection_enabled, &mut config.vmx_stats_collection_enabled),
    ] {
        *kept = wanted.or(*kept);
    }
    for (wanted, kept) in [
        (&spec.annotation, &mut config.annotation),
        (&spec.location_id, &mut config.location_id),
        (&spec.swap_placement, &mut config.swap_placement),
        (&spec.migrate_encryption, &mut config.migrate_encryption),
        (&spec.ft_encryption_mode, &mut config.ft_encryption_mode),
    ] {
        if wanted.is_some() {
            kept.clone_from(wanted);
        }
    }
    if spec.managed_by.is_some() {
        config.managed_by = spec.managed_by.clone().filter(|owner| !owner.extension_key.is_empty());
    }
    if let Some(tools) = &spec.tools {
        copy(&**tools, &mut **config.tools.get_or_insert_default());
    }
    if let Some(flags) = &spec.flags {
        copy(&**flags, &mut config.flags);
    }
    if let Some(operations) = &spec.power_op_info {
        copy(&**operations, &mut config.default_power_ops);
    }
    if spec.latency_sensitivity.is_some() {
        config.latency_sensitivity.clone_from(&spec.latency_sensitivity);
    }
    if spec.max_mks_connections.is_some() {
        config.max_mks_connections = spec.max_mks_connections;
    }
    if spec.create_date.is_some() {
        config.create_date = spec.create_date;
    }
    Ok(())
}

impl Vm {
    /// Gives it so many CPUs and so much memory, as if it had been made so.
    pub(crate) fn resize(&mut self, cpus: i32, memory_mb: i32) {
        (self.config.hardware.num_cpu, self.config.hardware.memory_mb) = (cpus, memory_mb);
        set_shares(&mut self.config, &VirtualMachineConfigSpec::default());
    }
}

/// What is reserved, limited and shared; the shares of a level follow the machine's size.
fn set_shares(config: &mut VirtualMachineConfigInfo, spec: &VirtualMachineConfigSpec) {
    let (cpus, memory) = (config.hardware.num_cpu, config.hardware.memory_mb);
    for (wanted, kept, one, many) in [
        (&spec.cpu_allocation, &mut config.cpu_allocation, 1000, cpus),
        (&spec.memory_allocation, &mut config.memory_allocation, 10, memory),
    ] {
        let kept = kept.get_or_insert_default();
        if let Some(wanted) = wanted {
            copy(&**wanted, &mut **kept);
        }
        if let Some(shares) = kept.shares.as_mut() {
            shares.shares = match shares.level {
                SharesLevel::Low => one * many / 2,
                SharesLevel::Normal => one * many,
                SharesLevel::High => one * many * 2,
                _ => shares.shares,
            };
        }
    }
}

/// Sets an option. An empty value takes it out.
fn set_extra(kept: &mut Vec<Poly<OptionValue>>, change: &Poly<OptionValue>) {
    let unset = change.value.as_ref().is_none_or(|value| value.as_str() == Some("") || *value == Any::Unset);
    match (kept.iter().position(|option| option.key == change.key), unset) {
        (Some(at), true) => drop(kept.remove(at)),
        (Some(at), false) => {
            if let Some(option) = kept.get_mut(at) {
                option.value.clone_from(&change.value);
            }
        }
        (None, false) => kept.push(change.clone()),
        (None, true) => {}
    }
}

fn set_boot(config: &mut VirtualMachineConfigInfo, spec: &VirtualMachineConfigSpec, root: &str) -> Outcome<()> {
    if let Some(boot) = &spec.boot_options {
        let kept = config.boot_options.get_or_insert_default();
        let order = std::mem::take(&mut kept.boot_order);
        copy(&**boot, &mut **kept);
        if boot.boot_order.is_empty() {
            kept.boot_order = order;
        } else if !hardware::can_boot(&config.hardware.device, &boot.boot_order) {
            return Err(Fault::invalid_argument(&format!("{root}.bootOptions.bootOrder")));
        } else if kept.boot_order.iter().all(hardware::is_no_device) {
            // A device without a kind stands for the order that the firmware has of itself.
            kept.boot_order.clear();
        }
    }
    Ok(())
}
