//! The managers that every vCenter names and that do nothing here: clients find them, and their methods answer `NotSupported` by
//! name.

use vsphere_model::managed::{
    CertificateManager, ClusterProfileManager, CryptoManagerKmip, DirectPathProfileManager,
    FailoverClusterConfigurator, FailoverClusterManager, HealthUpdateManager, HostProfileManager, HostSnmpSystem,
    HostSpecificationManager, IoFilterManager, IpPoolManager, LocalizationManager, OverheadMemoryManager,
    ProfileComplianceManager, SiteInfoManager, StorageQueryManager, TenantTenantManager,
    VirtualMachineGuestCustomizationManager,
};
use vsphere_model::types::ServiceContent;
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use crate::vapi::version;
use crate::world::{Look, Managed, Moref, Prop, World};

/// A manager without state and methods.
struct Unsimulated(&'static ManagedInfo);

impl Managed for Unsimulated {
    fn info(&self) -> &'static ManagedInfo {
        self.0
    }

    fn read<'a>(&'a self, _: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            // Of the cryptographic manager: no key server is known, but there could be.
            "enabled" => Prop::made(true),
            _ => Prop::UNSET,
        }
    }
}

/// A row of the table: the id, the type, the version that brought it, and its name in the content.
type Row = (&'static str, &'static ManagedInfo, (u32, u32, u32), fn(&mut ServiceContent) -> &mut Option<Moref>);

const MANAGERS: &[Row] = &[
    ("IpPoolManager", IpPoolManager::INFO, (4, 0, 0), |it| &mut it.ip_pool_manager),
    ("SnmpSystem", HostSnmpSystem::INFO, (4, 0, 0), |it| &mut it.snmp_system),
    ("HostProfileManager", HostProfileManager::INFO, (4, 0, 0), |it| &mut it.host_profile_manager),
    ("ClusterProfileManager", ClusterProfileManager::INFO, (4, 0, 0), |it| &mut it.cluster_profile_manager),
    ("MoComplianceManager", ProfileComplianceManager::INFO, (4, 0, 0), |it| &mut it.compliance_manager),
    ("LocalizationManager", LocalizationManager::INFO, (4, 0, 0), |it| &mut it.localization_manager),
    ("OverheadMemoryManager", OverheadMemoryManager::INFO, (6, 0, 0), |it| &mut it.overhead_memory_manager),
    ("certificateManager", CertificateManager::INFO, (6, 0, 0), |it| &mut it.certificate_manager),
    ("IoFilterManager", IoFilterManager::INFO, (6, 0, 0), |it| &mut it.io_filter_manager),
    ("HostSpecificationManager", HostSpecificationManager::INFO, (6, 5, 0), |it| &mut it.host_spec_manager),
    ("CryptoManager", CryptoManagerKmip::INFO, (6, 5, 0), |it| &mut it.crypto_manager),
    ("HealthUpdateManager", HealthUpdateManager::INFO, (6, 5, 0), |it| &mut it.health_update_manager),
    ("FailoverClusterConfigurator", FailoverClusterConfigurator::INFO, (6, 5, 0), |it| {
        &mut it.failover_cluster_configurator
    }),
    ("FailoverClusterManager", FailoverClusterManager::INFO, (6, 5, 0), |it| &mut it.failover_cluster_manager),
    ("StorageQueryManager", StorageQueryManager::INFO, (6, 7, 2), |it| &mut it.storage_query_manager),
    ("GuestCustomizationManager", VirtualMachineGuestCustomizationManager::INFO, (6, 8, 7), |it| {
        &mut it.guest_customization_manager
    }),
    ("TenantManager", TenantTenantManager::INFO, (6, 9, 1), |it| &mut it.tenant_manager),
    ("SiteInfoManager", SiteInfoManager::INFO, (7, 0, 0), |it| &mut it.site_info_manager),
    ("DirectPathProfileManager", DirectPathProfileManager::INFO, (9, 0, 0), |it| &mut it.direct_path_profile_manager),
];

pub(super) fn install(world: &mut World) {
    let version = version(world);
    for (id, info, since, place) in MANAGERS {
        if version >= *since {
            let manager = world.add_as(id, Unsimulated(info));
            *place(&mut world.content) = Some(manager);
        }
    }
}
