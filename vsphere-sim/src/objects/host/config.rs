//! The configuration of a host, put together from its sides.

use vsphere_model::types::{
    HostCapability, HostConfigInfo, HostDatastoreSystemCapabilities, HostDeploymentInfo, HostFeatureCapability,
    HostFlagInfo, HostGraphicsConfig, HostHyperThreadScheduleInfo, HostIpmiInfo, HostNetCapabilities, HostPowerPolicy,
    HostSslThumbprintInfo, HostSystemResourceInfo, PowerSystemCapability, PowerSystemInfo, ResourceAllocationInfo,
    ResourceConfigSpec, SharesInfo, SharesLevel, VsanHostConfigInfo,
};

use super::{Host, certificate, network, option};
use crate::world::{Look, Managed as _};

impl Host {
    pub(super) fn config(&self, look: &Look<'_>) -> HostConfigInfo {
        let world = look.world;
        let name = self.entity().map(|entity| entity.name.as_str()).unwrap_or_default();
        HostConfigInfo {
            host: look.me.clone(),
            product: Self::product(world),
            hyper_thread: Some(Box::new(HostHyperThreadScheduleInfo { available: true, active: true, config: true })),
            storage_device: Some(Box::new(self.storage_device(world))),
            multipath_state: Some(Box::new(self.multipath_state(world))),
            file_system_volume: Some(Box::new(self.file_system_volume(world))),
            network: Some(Box::new(self.network_info(world))),
            vmotion: Some(Box::new(self.vmotion_info())),
            virtual_nic_manager_info: Some(Box::new(self.virtual_nic_info())),
            capabilities: Some(Box::new(net_capabilities())),
            datastore_capabilities: Some(Box::new(datastore_capabilities())),
            offload_capabilities: Some(Box::new(network::offload())),
            service: Some(Box::new(self.services.info())),
            firewall: Some(Box::new(self.firewall.info())),
            auto_start: Some(Box::new(self.auto_start.clone())),
            option: option::settings(self),
            option_def: option::definitions(),
            system_resources: Some(Box::new(system_resources())),
            date_time_info: Some(Box::new(self.clock.info(world, self.services.runs("ntpd")))),
            flags: Some(Box::new(HostFlagInfo { background_snapshots_enabled: Some(false) })),
            admin_disabled: Some(self.lockdown != vsphere_model::types::HostLockdownMode::LockdownDisabled),
            lockdown_mode: Some(self.lockdown.clone()),
            ipmi: Some(Box::new(HostIpmiInfo::default())),
            ssl_thumbprint_info: Some(Box::new(HostSslThumbprintInfo {
                principal: "vpxuser".to_owned(),
                owner_tag: Some(String::new()),
                ssl_thumbprints: vec![certificate::thumbprint(name)],
            })),
            power_system_capability: Some(Box::new(PowerSystemCapability { available_policy: power_policies() })),
            power_system_info: Some(Box::new(PowerSystemInfo {
                current_policy: power_policies().into_iter().nth(1).unwrap_or_default(),
            })),
            wake_on_lan_capable: Some(true),
            datastore_principal: Some("root".to_owned()),
            deployment_info: Some(Box::new(HostDeploymentInfo { booted_from_stateless_cache: Some(false) })),
            graphics_config: Some(Box::new(HostGraphicsConfig {
                host_default_graphics_type: "shared".to_owned(),
                shared_passthru_assignment_policy: "performance".to_owned(),
                ..Default::default()
            })),
            vsan_host_config: Some(Box::new(VsanHostConfigInfo {
                enabled: Some(false),
                host_system: Some(look.me.clone()),
                ..Default::default()
            })),
            feature_capability: feature_capabilities(),
            masked_feature_capability: feature_capabilities(),
            ..Default::default()
        }
    }
}

fn power_policies() -> Vec<HostPowerPolicy> {
    let policy = |(key, name, description): (i32, &str, &str)| HostPowerPolicy {
        key,
        name: format!("PowerPolicy.{name}.name"),
        short_name: name.to_owned(),
        description: description.to_owned(),
    };
    let policies = [
        (1, "static", "No power management"),
        (2, "dynamic", "Saves power where it costs little speed"),
        (3, "low", "Saves power"),
        (4, "custom", "As the advanced options say"),
    ];
    policies.into_iter().map(policy).collect()
}

fn feature_capabilities() -> Vec<HostFeatureCapability> {
    const PRESENT: [&str; 10] = ["AES", "AVX", "AVX2", "AVX512F", "BMI1", "FMA", "RDRAND", "SSE42", "XSAVE", "IBRS"];
    let capability = |name: &&str| HostFeatureCapability {
        key: format!("cpuid.{name}"),
        feature_name: format!("cpuid.{name}"),
        value: "1".to_owned(),
    };
    PRESENT.iter().map(capability).collect()
}

pub(super) fn net_capabilities() -> HostNetCapabilities {
    let policies = ["loadbalance_ip", "loadbalance_srcmac", "loadbalance_srcid", "failover_explicit"];
    HostNetCapabilities {
        can_set_physical_nic_link_speed: true,
        supports_nic_teaming: true,
        nic_teaming_policy: policies.map(str::to_owned).to_vec(),
        supports_vlan: true,
        uses_service_console_nic: false,
        supports_network_hints: true,
        max_port_groups_per_vswitch: Some(512),
        vswitch_config_supported: true,
        vnic_config_supported: true,
        ip_route_config_supported: true,
        dns_config_supported: true,
        dhcp_on_vnic_supported: true,
        ip_v6_supported: Some(true),
        backup_nfc_nioc_supported: Some(true),
    }
}

pub(super) fn datastore_capabilities() -> HostDatastoreSystemCapabilities {
    HostDatastoreSystemCapabilities {
        nfs_mount_creation_required: true,
        nfs_mount_creation_supported: true,
        local_datastore_supported: false,
        vmfs_extent_expansion_supported: Some(true),
    }
}

/// The root of the tree of what the host divides: half is the kernel's, half is for machines.
pub(super) fn system_resources() -> HostSystemResourceInfo {
    let node = |key: &str, child| HostSystemResourceInfo {
        key: key.to_owned(),
        config: Some(Box::new(ResourceConfigSpec {
            cpu_allocation: allocation(),
            memory_allocation: allocation(),
            ..Default::default()
        })),
        child,
    };
    let children = ["host/system", "host/vim", "host/iofilters", "host/user"].map(|key| node(key, Vec::new()));
    node("host", children.to_vec())
}

fn allocation() -> ResourceAllocationInfo {
    ResourceAllocationInfo {
        reservation: Some(0),
        expandable_reservation: Some(false),
        limit: Some(-1),
        shares: Some(Box::new(SharesInfo { shares: 500, level: SharesLevel::Custom })),
        overhead_limit: Some(-1),
    }
}

/// What hosts of this version are able to.
pub(super) fn capability() -> HostCapability {
    let yes = Some(true);
    let no = Some(false);
    HostCapability {
        recursive_resource_pools_supported: true,
        cpu_memory_resource_configuration_supported: true,
        reboot_supported: true,
        shutdown_supported: true,
        vmotion_supported: true,
        standby_supported: true,
        ipmi_supported: yes,
        max_supported_vms: Some(1024),
        max_running_vms: Some(1024),
        max_supported_vcpus: Some(768),
        max_registered_vms: Some(4096),
        datastore_principal_supported: false,
        san_supported: true,
        nfs_supported: true,
        iscsi_supported: true,
        vlan_tagging_supported: true,
        nic_teaming_supported: true,
        high_guest_mem_supported: true,
        maintenance_mode_supported: true,
        suspended_relocate_supported: true,
        restricted_snapshot_relocate_supported: true,
        per_vm_swap_files: true,
        local_swap_datastore_supported: true,
        unshared_swap_v_motion_supported: true,
        background_snapshots_supported: false,
        pre_assigned_pci_unit_numbers_supported: true,
        screenshot_supported: true,
        scaled_screenshot_supported: true,
        storage_v_motion_supported: yes,
        vmotion_with_storage_v_motion_supported: yes,
        vmotion_across_network_supported: yes,
        max_num_disks_sv_motion: Some(248),
        ft_supported: no,
        smp_ft_supported: yes,
        max_vcpus_per_ft_vm: Some(8),
        login_by_ssl_thumbprint_supported: yes,
        clone_from_snapshot_supported: yes,
        delta_disk_backings_supported: yes,
        per_vm_network_traffic_shaping_supported: yes,
        tpm_supported: no,
        virtual_exec_usage_supported: yes,
        storage_iorm_supported: yes,
        supported_vmfs_major_version: vec![5, 6],
        v_storage_capable: yes,
        snapshot_relayout_supported: yes,
        firewall_ip_rules_supported: yes,
        service_package_info_supported: yes,
        max_host_running_vms: Some(1024),
        max_host_supported_vcpus: Some(4096),
        vmfs_datastore_mount_capable: yes,
        eight_plus_host_vmfs_shared_access_supported: yes,
        nested_hv_supported: yes,
        feature_capabilities_supported: yes,
        latency_sensitivity_supported: yes,
        storage_policy_supported: yes,
        multiple_network_stack_instance_supported: yes,
        host_access_manager_supported: yes,
        nfs41_supported: yes,
        mark_as_ssd_supported: yes,
        mark_as_local_supported: yes,
        crypto_supported: no,
        upit_supported: yes,
        max_supported_vm_memory: Some(most_memory()),
        vm_create_date_supported: yes,
        time_config_supported: yes,
        ptp_config_supported: yes,
        max_supported_simultaneous_threads: Some(2),
        hbr_nic_selection_supported: yes,
        vr_nfc_nic_selection_supported: yes,
        provisioning_nic_selection_supported: yes,
        record_replay_supported: no,
        replay_unsupported_reason: Some("incompatibleCpu".to_owned()),
        vm_direct_path_gen2_supported: no,
        vm_direct_path_gen2_unsupported_reason: vec!["hostNptIncompatibleHardware".to_owned()],
        v_pmc_supported: yes,
        inter_vm_communication_through_vmci_supported: no,
        scheduled_hardware_upgrade_supported: yes,
        accel3d_supported: no,
        reliable_memory_aware: yes,
        message_bus_proxy_supported: yes,
        vsan_supported: yes,
        // The read cache ended with 7.0.
        v_flash_supported: no,
        nfs41_krb5i_supported: yes,
        turn_disk_locator_led_supported: yes,
        virtual_volume_datastore_supported: yes,
        smart_card_authentication_supported: yes,
        p_mem_supported: yes,
        p_mem_snapshot_supported: no,
        one_k_volume_apis_supported: yes,
        gateway_on_nic_supported: yes,
        cpu_hw_mmu_supported: yes,
        encrypted_v_motion_supported: yes,
        encryption_change_on_add_remove_supported: no,
        encryption_hot_operation_supported: no,
        encryption_with_snapshots_supported: no,
        encryption_fault_tolerance_supported: no,
        encryption_memory_save_supported: yes,
        encryption_rdm_supported: no,
        encryption_v_flash_supported: no,
        encryption_cbrc_supported: no,
        encryption_hbr_supported: yes,
        ft_efi_supported: yes,
        ft_vmcp_supported: yes,
        max_mem_mb_per_ft_vm: Some(128 << 10),
        unmap_method_supported: Some("fixed".to_owned()),
        virtual_mmu_usage_ignored: yes,
        virtual_exec_usage_ignored: yes,
        vmfs3_eol_supported: yes,
        ..Default::default()
    }
}

/// The most memory that a machine may have on a host, in MB.
pub(crate) fn most_memory() -> i32 {
    24_576 << 10
}
