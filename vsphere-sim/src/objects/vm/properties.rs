//! What is computed when somebody looks at a machine: its summary, its storage, the layout of its files.

use vsphere_model::types::{
    ManagedEntityStatus, Poly, VirtualDevice, VirtualDisk, VirtualDiskFlatVer2BackingInfo, VirtualEthernetCard,
    VirtualMachineCapability, VirtualMachineConfigInfo, VirtualMachineConfigSummary, VirtualMachineFileLayout,
    VirtualMachineFileLayoutDiskLayout, VirtualMachineFileLayoutEx, VirtualMachineFileLayoutExDiskLayout,
    VirtualMachineFileLayoutExDiskUnit, VirtualMachineFileLayoutExFileInfo, VirtualMachineFileLayoutExSnapshotLayout,
    VirtualMachineGuestSummary, VirtualMachineStorageInfo, VirtualMachineStorageSummary, VirtualMachineSummary,
    VirtualMachineUsageOnDatastore, VirtualTPM,
};

use super::Vm;
use super::files::Place;
use super::hardware;
use super::snapshot::Snapshot;
use crate::objects::datastore::Datastore;
use crate::objects::datastore::path::join;
use crate::world::{Look, Moref, World};

/// A disk of a machine, with its key and the places of its descriptors, its own first.
type Chain = (i32, Vec<Place>);

impl Vm {
    pub(super) fn root_snapshots(&self) -> Vec<Moref> {
        let trees = self.snapshot.iter().flat_map(|snapshot| &snapshot.root_snapshot_list);
        trees.map(|tree| tree.snapshot.clone()).collect()
    }

    /// The summary, with those of its parts that are wanted and take work.
    pub(super) fn summary(&self, look: &Look<'_>, wanted: impl Fn(&str) -> bool) -> VirtualMachineSummary {
        VirtualMachineSummary {
            vm: Some(look.me.clone()),
            runtime: if wanted("runtime") { self.runtime.clone() } else { Default::default() },
            guest: wanted("guest").then(|| Box::new(self.guest_summary())),
            config: if wanted("config") { self.config_summary() } else { Default::default() },
            storage: wanted("storage").then(|| Box::new(self.storage_summary(look.world))),
            quick_stats: if wanted("quickStats") { self.quick_stats(look.world, look.me) } else { Default::default() },
            overall_status: ManagedEntityStatus::from(self.entity.status),
            custom_value: self.entity.custom_values.clone(),
        }
    }

    fn storage_summary(&self, world: &World) -> VirtualMachineStorageSummary {
        let storage = self.storage(world);
        let sum = |part: fn(&VirtualMachineUsageOnDatastore) -> i64| storage.per_datastore_usage.iter().map(part).sum();
        VirtualMachineStorageSummary {
            committed: sum(|usage| usage.committed),
            uncommitted: sum(|usage| usage.uncommitted),
            unshared: sum(|usage| usage.unshared),
            timestamp: storage.timestamp,
        }
    }

    fn guest_summary(&self) -> VirtualMachineGuestSummary {
        VirtualMachineGuestSummary {
            guest_id: self.guest.guest_id.clone(),
            guest_full_name: self.guest.guest_full_name.clone(),
            tools_status: self.guest.tools_status.clone(),
            tools_version_status: self.guest.tools_version_status.clone(),
            tools_version_status2: self.guest.tools_version_status2.clone(),
            tools_running_status: self.guest.tools_running_status.clone(),
            host_name: self.guest.host_name.clone(),
            ip_address: self.guest.ip_address.clone(),
            hw_version: self.guest.hw_version.clone(),
        }
    }

    fn config_summary(&self) -> VirtualMachineConfigSummary {
        let config = &self.config;
        let count = |is: fn(&Poly<VirtualDevice>) -> bool| {
            i32::try_from(config.hardware.device.iter().filter(|device| is(device)).count()).ok()
        };
        let reserved = |allocation: &Option<Box<vsphere_model::types::ResourceAllocationInfo>>| {
            let reservation = allocation.as_ref().and_then(|allocation| allocation.reservation);
            reservation.and_then(|reserved| i32::try_from(reserved).ok())
        };
        VirtualMachineConfigSummary {
            name: self.entity.name.clone(),
            template: config.template,
            vm_path_name: config.files.vm_path_name.clone().unwrap_or_default(),
            memory_size_mb: Some(config.hardware.memory_mb),
            cpu_reservation: reserved(&config.cpu_allocation),
            memory_reservation: reserved(&config.memory_allocation),
            num_cpu: Some(config.hardware.num_cpu),
            num_ethernet_cards: count(|device| device.is::<VirtualEthernetCard>()),
            num_virtual_disks: count(|device| device.is::<VirtualDisk>()),
            uuid: Some(config.uuid.clone()),
            instance_uuid: config.instance_uuid.clone(),
            guest_id: Some(config.guest_id.clone()),
            guest_full_name: Some(config.guest_full_name.clone()),
            annotation: config.annotation.clone(),
            install_boot_required: Some(false),
            managed_by: config.managed_by.clone(),
            tpm_present: Some(config.hardware.device.iter().any(|device| device.is::<VirtualTPM>())),
            num_vmiop_backings: Some(0),
            hw_version: Some(config.version.clone()),
            ..Default::default()
        }
    }

    /// What its files take, by datastore.
    pub(super) fn storage(&self, world: &World) -> VirtualMachineStorageInfo {
        let mut usage: Vec<VirtualMachineUsageOnDatastore> = Vec::new();
        for place in self.places(world) {
            let Some(file) = world.get::<Datastore>(&place.datastore).ok().and_then(|held| held.find(&place.path))
            else {
                continue;
            };
            let at = usage.iter().position(|usage| usage.datastore == place.datastore).unwrap_or_else(|| {
                let datastore = place.datastore.clone();
                usage.push(VirtualMachineUsageOnDatastore { datastore, ..Default::default() });
                usage.len() - 1
            });
            if let Some(usage) = usage.get_mut(at) {
                usage.committed += file.used;
                usage.unshared += file.used;
                usage.uncommitted += (file.size - file.used).max(0);
            }
        }
        VirtualMachineStorageInfo { per_datastore_usage: usage, timestamp: world.now() }
    }

    /// The places of the descriptors of its disks, as they are in its configuration or in that of a snapshot.
    pub(super) fn chains(&self, world: &World, config: &VirtualMachineConfigInfo) -> Vec<Chain> {
        let disks = config.hardware.device.iter().filter_map(|device| device.downcast_ref::<VirtualDisk>());
        disks
            .filter_map(|disk| {
                let flat = disk.backing.as_ref()?.downcast_ref::<VirtualDiskFlatVer2BackingInfo>()?;
                let places = hardware::chain(flat).filter_map(|path| world.place_among(&self.datastores, path).ok());
                Some((disk.key, places.collect()))
            })
            .collect()
    }

    /// The places of the files in its folder that are no disks.
    pub(super) fn plain_files(&self, world: &World) -> Vec<Place> {
        let vmx = self.config.files.vm_path_name.as_deref().unwrap_or_default();
        let Ok(vmx) = world.place_among(&self.datastores, vmx) else { return Vec::new() };
        let Ok(held) = world.get::<Datastore>(&vmx.datastore) else { return Vec::new() };
        let in_folder = held.files().children(vmx.folder()).filter(|(_, file)| !file.is_folder());
        in_folder
            .filter(|(name, _)| kind_of(name).is_some_and(|kind| !kind.starts_with("disk")))
            .map(|(name, _)| Place { datastore: vmx.datastore.clone(), path: join(vmx.folder(), name) })
            .collect()
    }

    /// The places of all its files: what is in its folder, and the disks that are elsewhere.
    fn places(&self, world: &World) -> Vec<Place> {
        let mut places = self.plain_files(world);
        let snapshots = self.snapshots();
        let of_snapshots = snapshots.iter().filter_map(|snapshot| world.get::<Snapshot>(snapshot).ok());
        for config in std::iter::once(&self.config).chain(of_snapshots.map(|snapshot| &snapshot.config)) {
            for descriptor in self.chains(world, config).into_iter().flat_map(|(_, chain)| chain) {
                if !places.contains(&descriptor) {
                    places.extend(extent_of(world, &descriptor));
                    places.push(descriptor);
                }
            }
        }
        places
    }

    /// The older form of [`Vm::layout_ex`].
    pub(super) fn layout(&self, world: &World) -> VirtualMachineFileLayout {
        let mut layout = VirtualMachineFileLayout::default();
        for place in self.places(world) {
            let name = place.path.rsplit('/').next().unwrap_or_default().to_owned();
            match kind_of(&name) {
                Some("config" | "extendedConfig" | "nvram" | "snapshotList") => layout.config_file.push(name),
                Some("log") => layout.log_file.push(name),
                Some("swap") => layout.swap_file = Some(name),
                _ => {}
            }
        }
        for (key, chain) in self.chains(world, &self.config) {
            // Here the oldest comes first.
            let disk_file = chain.iter().rev().map(|place| world.place_text(place)).collect();
            layout.disk.push(VirtualMachineFileLayoutDiskLayout { key, disk_file });
        }
        layout
    }

    /// All its files with their sizes, and which of them make up each disk.
    pub(super) fn layout_ex(&self, world: &World) -> VirtualMachineFileLayoutEx {
        let places = self.places(world);
        let key_of =
            |place: &Place| places.iter().position(|other| other == place).and_then(|at| i32::try_from(at).ok());
        let mut layout = VirtualMachineFileLayoutEx { timestamp: world.now(), ..Default::default() };
        for place in &places {
            let file = world.get::<Datastore>(&place.datastore).ok().and_then(|held| held.find(&place.path));
            let used = file.map_or(0, |file| file.used);
            let descriptor = file.is_some_and(|file| file.disk().is_some());
            layout.file.push(VirtualMachineFileLayoutExFileInfo {
                key: key_of(place).unwrap_or_default(),
                name: world.place_text(place),
                type_: if descriptor { "diskDescriptor" } else { kind_of(&place.path).unwrap_or("diskExtent") }
                    .to_owned(),
                size: used,
                unique_size: Some(used),
                backing_object_id: Some(String::new()),
                accessible: Some(file.is_some()),
            });
        }
        let disks = |config| -> Vec<VirtualMachineFileLayoutExDiskLayout> {
            let unit = |descriptor: &Place| {
                let files = std::iter::once(descriptor.clone()).chain(extent_of(world, descriptor));
                VirtualMachineFileLayoutExDiskUnit { file_key: files.filter_map(|place| key_of(&place)).collect() }
            };
            let disk = |(key, chain): Chain| VirtualMachineFileLayoutExDiskLayout {
                key,
                chain: chain.iter().rev().map(unit).collect(),
                virtual_disk_format: None,
            };
            self.chains(world, config).into_iter().map(disk).collect()
        };
        layout.disk = disks(&self.config);
        for key in self.snapshots() {
            let Ok(snapshot) = world.get::<Snapshot>(&key) else { continue };
            layout.snapshot.push(VirtualMachineFileLayoutExSnapshotLayout {
                key,
                data_key: key_of(&snapshot.data).unwrap_or(-1),
                memory_key: Some(snapshot.memory.as_ref().and_then(key_of).unwrap_or(-1)),
                disk: disks(&snapshot.config),
            });
        }
        layout
    }
}

/// The file beside a descriptor that has the disk's data.
fn extent_of(world: &World, descriptor: &Place) -> Option<Place> {
    let path =
        world.get::<Datastore>(&descriptor.datastore).ok()?.disk(&descriptor.path).ok()?.extent(&descriptor.path)?;
    Some(Place { datastore: descriptor.datastore.clone(), path })
}

/// What a file in a machine's folder is, going by its name.
fn kind_of(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    Some(match ending {
        "vmx" | "vmtx" => "config",
        "vmxf" => "extendedConfig",
        "nvram" => "nvram",
        "vmsd" => "snapshotList",
        "vmsn" => "snapshotData",
        "vmem" if name.contains("-Snapshot") => "snapshotMemory",
        "vmem" => "suspendMemory",
        "vmss" => "suspend",
        "vswp" => "swap",
        "log" => "log",
        "vmdk" if name.ends_with("-flat.vmdk") || name.ends_with("-sesparse.vmdk") => "diskExtent",
        "vmdk" => "diskDescriptor",
        _ => return None,
    })
}

/// What can be done with a machine.
pub(super) fn capability() -> VirtualMachineCapability {
    VirtualMachineCapability {
        snapshot_operations_supported: true,
        multiple_snapshots_supported: true,
        snapshot_config_supported: true,
        powered_off_snapshots_supported: true,
        memory_snapshots_supported: true,
        revert_to_snapshot_supported: true,
        quiesced_snapshots_supported: true,
        disable_snapshots_supported: false,
        lock_snapshots_supported: false,
        console_preferences_supported: false,
        cpu_feature_mask_supported: true,
        s1_acpi_management_supported: true,
        setting_screen_resolution_supported: false,
        tools_auto_update_supported: false,
        vm_npiv_wwn_supported: true,
        npiv_wwn_on_non_rdm_vm_supported: true,
        swap_placement_supported: true,
        tools_sync_time_supported: true,
        virtual_mmu_usage_supported: true,
        disk_shares_supported: true,
        boot_options_supported: true,
        boot_retry_options_supported: Some(true),
        setting_video_ram_size_supported: true,
        change_tracking_supported: Some(true),
        multiple_cores_per_socket_supported: Some(true),
        guest_auto_lock_supported: Some(true),
        memory_reservation_lock_supported: Some(true),
        nested_hv_supported: Some(true),
        v_pmc_supported: Some(true),
        secure_boot_supported: Some(true),
        suspend_to_memory_supported: Some(true),
        vm_npiv_wwn_disable_supported: Some(true),
        vm_npiv_wwn_update_supported: Some(true),
        setting_display_topology_supported: Some(false),
        record_replay_supported: Some(false),
        host_based_replication_supported: Some(true),
        feature_requirement_supported: Some(true),
        powered_on_monitor_type_change_supported: Some(true),
        se_sparse_disk_supported: Some(true),
        per_vm_evc_supported: Some(true),
        virtual_mmu_usage_ignored: Some(true),
        virtual_exec_usage_ignored: Some(true),
        disk_only_snapshot_on_suspended_vm_supported: Some(true),
        ..Default::default()
    }
}
