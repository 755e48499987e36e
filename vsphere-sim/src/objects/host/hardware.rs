//! What hosts are made of: a few models that shops really have.

use vsphere_model::types::{
    ElementDescription, HostBIOSInfo, HostCpuIdInfo, HostCpuInfo, HostCpuPackage, HostCpuPowerManagementInfo,
    HostHardwareInfo, HostHardwareSummary, HostLicensableResourceInfo, HostNumaInfo, HostNumaNode, HostPciDevice,
    HostSystemIdentificationInfo, HostSystemInfo, KeyAnyValue, Poly,
};

use super::Host;

/// A model of server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile {
    pub(crate) vendor: &'static str,
    pub(crate) model: &'static str,
    pub(crate) cpu: &'static str,
    pub(crate) mhz: i32,
    pub(crate) packages: i16,
    pub(crate) cores_per_package: i16,
    pub(crate) memory_gib: i64,
    pub(crate) nics: i32,
}

impl Profile {
    /// A current Dell with two sockets.
    pub(crate) const R760: Self = Self {
        vendor: "Dell Inc.",
        model: "PowerEdge R760",
        cpu: "Intel(R) Xeon(R) Gold 6438Y+",
        mhz: 2000,
        packages: 2,
        cores_per_package: 32,
        memory_gib: 512,
        nics: 4,
    };

    /// An older Dell with two sockets.
    pub(crate) const R650: Self = Self {
        vendor: "Dell Inc.",
        model: "PowerEdge R650",
        cpu: "Intel(R) Xeon(R) Gold 6330 CPU @ 2.00GHz",
        mhz: 1995,
        packages: 2,
        cores_per_package: 28,
        memory_gib: 256,
        nics: 4,
    };

    /// A small Lenovo for a branch office.
    pub(crate) const SR250: Self = Self {
        vendor: "Lenovo",
        model: "ThinkSystem SR250 V3",
        cpu: "Intel(R) Xeon(R) E-2478",
        mhz: 2800,
        packages: 1,
        cores_per_package: 8,
        memory_gib: 64,
        nics: 2,
    };

    const ALL: [Self; 3] = [Self::R760, Self::R650, Self::SR250];

    /// That of a host which comes in: as its neighbours are, or, without any, one that follows from its name.
    pub(super) fn for_new(name: &str, neighbour: Option<&HostHardwareSummary>) -> Self {
        let same = neighbour.and_then(|neighbour| Self::ALL.into_iter().find(|one| one.model == neighbour.model));
        same.unwrap_or_else(|| Self::ALL[name.bytes().map(usize::from).sum::<usize>() % Self::ALL.len()])
    }

    pub(super) fn summary(&self, uuid: &str) -> HostHardwareSummary {
        let cores = self.packages * self.cores_per_package;
        HostHardwareSummary {
            vendor: self.vendor.to_owned(),
            model: self.model.to_owned(),
            uuid: uuid.to_owned(),
            memory_size: self.memory_gib << 30,
            cpu_model: self.cpu.to_owned(),
            cpu_mhz: self.mhz,
            num_cpu_pkgs: self.packages,
            num_cpu_cores: cores,
            num_cpu_threads: cores * 2,
            num_nics: self.nics,
            num_hbas: 3,
            ..Default::default()
        }
    }
}

impl Host {
    pub(super) fn hardware_info(&self) -> HostHardwareInfo {
        let summary = &self.hardware;
        let nodes = summary.num_cpu_pkgs.max(1);
        let hz = i64::from(summary.cpu_mhz) * 1_000_000;
        let threads_per_node = summary.num_cpu_threads / nodes;
        let threads_of = |node: i16| (node * threads_per_node..(node + 1) * threads_per_node).collect::<Vec<_>>();
        let intel = summary.cpu_model.starts_with("Intel");
        let packages = (0..nodes).map(|index| HostCpuPackage {
            index,
            vendor: if intel { "intel" } else { "amd" }.to_owned(),
            hz,
            bus_hz: 100_000_000,
            description: summary.cpu_model.clone(),
            thread_id: threads_of(index),
            cpu_feature: cpu_features(),
            family: Some(if intel { 6 } else { 25 }),
            model: Some(if intel { 143 } else { 17 }),
            stepping: Some(if intel { 8 } else { 1 }),
        });
        let memory_of_node = summary.memory_size / i64::from(nodes);
        let numa_nodes = (0..nodes).map(|node| HostNumaNode {
            type_id: i8::try_from(node).unwrap_or_default(),
            cpu_id: threads_of(node),
            memory_size: Some(memory_of_node),
            memory_range_begin: memory_of_node * i64::from(node),
            memory_range_length: memory_of_node,
            ..Default::default()
        });
        HostHardwareInfo {
            system_info: HostSystemInfo {
                vendor: summary.vendor.clone(),
                model: summary.model.clone(),
                uuid: summary.uuid.clone(),
                other_identifying_info: self.identification(),
                serial_number: Some(self.serial_number()),
                ..Default::default()
            },
            cpu_power_management_info: Some(Box::new(HostCpuPowerManagementInfo {
                current_policy: Some("Balanced".to_owned()),
                hardware_support: Some("ACPI C-states, ACPI P-states".to_owned()),
            })),
            cpu_info: HostCpuInfo {
                num_cpu_packages: summary.num_cpu_pkgs,
                num_cpu_cores: summary.num_cpu_cores,
                num_cpu_threads: summary.num_cpu_threads,
                hz,
            },
            cpu_pkg: packages.collect(),
            memory_size: summary.memory_size,
            numa_info: Some(Box::new(HostNumaInfo {
                type_: "NUMA".to_owned(),
                num_nodes: i32::from(nodes),
                numa_node: numa_nodes.collect(),
            })),
            smc_present: Some(false),
            pci_device: self.pci_devices(),
            cpu_feature: cpu_features(),
            bios_info: Some(Box::new(HostBIOSInfo {
                bios_version: Some("2.3.5".to_owned()),
                release_date: chrono::DateTime::from_timestamp(1_727_740_800, 0).map(|time| time.fixed_offset()),
                vendor: Some(summary.vendor.clone()),
                major_release: Some(2),
                minor_release: Some(3),
                ..Default::default()
            })),
            memory_tiering_type: Some("noTiering".to_owned()),
            ..Default::default()
        }
    }

    pub(super) fn licensable_resource(&self) -> HostLicensableResourceInfo {
        let resource = |key: &str, value: i64| KeyAnyValue { key: key.to_owned(), value: value.into() };
        HostLicensableResourceInfo {
            resource: vec![
                resource("numCpuPackages", self.hardware.num_cpu_pkgs.into()),
                resource("numCpuCores", self.hardware.num_cpu_cores.into()),
                resource("memorySize", self.hardware.memory_size),
            ],
        }
    }

    /// Seven characters, as on the tag that is pulled out of the front.
    fn serial_number(&self) -> String {
        const DIGITS: &[u8; 32] = b"0123456789BCDFGHJKLMNPQRSTVWXYZ0";
        // A multiplier without a common factor with 2^35 gives each number another serial.
        let mut bits = self.number.wrapping_mul(0x2545_f491_4f6c_dd1d) & ((1 << 35) - 1);
        let mut serial = String::with_capacity(7);
        for _ in 0..7 {
            serial.push(char::from(DIGITS[(bits & 31) as usize]));
            bits >>= 5;
        }
        serial
    }

    pub(super) fn identification(&self) -> Vec<HostSystemIdentificationInfo> {
        let info = |key: &str, label: &str, value: String| HostSystemIdentificationInfo {
            identifier_value: value,
            identifier_type: Poly::new(element(key, label)),
        };
        vec![
            info("AssetTag", "Asset Tag", format!("IT-{:05}", self.number)),
            info("ServiceTag", "Service tag of the system", self.serial_number()),
            info("EnclosureSerialNumberTag", "Serial number of the enclosure", self.serial_number()),
        ]
    }

    fn pci_devices(&self) -> Vec<HostPciDevice> {
        let device = |bus: i8, function: i8, class: i16, vendor: (i16, &str), id: i16, name: &str| HostPciDevice {
            id: format!("0000:{bus:02x}:00.{function}"),
            class_id: class,
            bus,
            function,
            vendor_id: vendor.0,
            vendor_name: vendor.1.to_owned(),
            device_id: id,
            sub_vendor_id: vendor.0,
            sub_device_id: id,
            device_name: name.to_owned(),
            ..Default::default()
        };
        let nics = (0..self.hardware.num_nics.min(8)).filter_map(|nic| i8::try_from(nic).ok()).map(|nic| {
            device(0x19 + nic / 2, nic % 2, 0x0200, (0x14e4, "Broadcom Corporation"), 0x16d7, "BCM57414 NetXtreme-E")
        });
        let hbas = [
            device(0x02, 0, 0x0107, (0x1000, "Broadcom / LSI"), 0x00e5, "Dell HBA355i Front"),
            device(0x3b, 0, 0x0c04, (0x1077, "QLogic Corp."), 0x2281, "QLE2772 Dual Port 32Gb Fibre Channel"),
            device(0x3b, 1, 0x0c04, (0x1077, "QLogic Corp."), 0x2281, "QLE2772 Dual Port 32Gb Fibre Channel"),
        ];
        nics.chain(hbas).collect()
    }
}

/// The levels of `cpuid` that clients compare.
fn cpu_features() -> Vec<HostCpuIdInfo> {
    let level = |level: i32, eax: &str, ebx: &str, ecx: &str, edx: &str| HostCpuIdInfo {
        level,
        eax: Some(eax.to_owned()),
        ebx: Some(ebx.to_owned()),
        ecx: Some(ecx.to_owned()),
        edx: Some(edx.to_owned()),
        ..Default::default()
    };
    vec![
        level(
            0,
            "0000:0000:0000:0000:0000:0000:0001:1011",
            "0111:0101:0110:1110:0110:0101:0100:0111",
            "0110:1100:0110:0101:0111:0100:0110:1110",
            "0100:1001:0110:0101:0110:1110:0110:1001",
        ),
        level(
            1,
            "0000:0000:0000:0110:0000:0110:1010:0110",
            "0000:0000:0001:0000:0000:1000:0000:0000",
            "0111:0111:1111:1110:1111:1011:1111:1111",
            "1011:1111:1110:1011:1111:1011:1111:1111",
        ),
    ]
}

pub(super) fn element(key: &str, label: &str) -> ElementDescription {
    let mut element = ElementDescription { key: key.to_owned(), ..Default::default() };
    element.label = label.to_owned();
    element.summary = label.to_owned();
    element
}
