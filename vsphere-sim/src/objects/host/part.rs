//! The managers of a host: one managed object for each side of it. What they show is the host's own state.

use vsphere_model::managed;
use vsphere_model::types::HostConfigManager;
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::{Host, config, option};
use crate::call::Call;
use crate::fault::Outcome;
use crate::world::{Look, Managed, Moref, Prop, World};

/// Which side of the host a manager has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Account,
    Access,
    AdvancedOption,
    AutoStart,
    Certificate,
    DatastoreSystem,
    DateTime,
    Firewall,
    Network,
    Service,
    Storage,
    VirtualNic,
}

impl Side {
    const ALL: [Self; 12] = [
        Self::Account,
        Self::Access,
        Self::AdvancedOption,
        Self::AutoStart,
        Self::Certificate,
        Self::DatastoreSystem,
        Self::DateTime,
        Self::Firewall,
        Self::Network,
        Self::Service,
        Self::Storage,
        Self::VirtualNic,
    ];

    fn info(self) -> &'static ManagedInfo {
        match self {
            Self::Account => managed::HostLocalAccountManager::INFO,
            Self::Access => managed::HostAccessManager::INFO,
            Self::AdvancedOption => managed::OptionManager::INFO,
            Self::AutoStart => managed::HostAutoStartManager::INFO,
            Self::Certificate => managed::HostCertificateManager::INFO,
            Self::DatastoreSystem => managed::HostDatastoreSystem::INFO,
            Self::DateTime => managed::HostDateTimeSystem::INFO,
            Self::Firewall => managed::HostFirewallSystem::INFO,
            Self::Network => managed::HostNetworkSystem::INFO,
            Self::Service => managed::HostServiceSystem::INFO,
            Self::Storage => managed::HostStorageSystem::INFO,
            Self::VirtualNic => managed::HostVirtualNicManager::INFO,
        }
    }

    /// Its id, as a vCenter forms it from the host's number.
    fn id(self, number: u64) -> String {
        let kind = match self {
            Self::Account => "accountManager",
            Self::Access => "hostAccessManager",
            Self::AdvancedOption => "EsxHostAdvSettings",
            Self::AutoStart => "autoStartManager",
            Self::Certificate => "certificateManager",
            Self::DatastoreSystem => "datastoreSystem",
            Self::DateTime => "dateTimeSystem",
            Self::Firewall => "firewallSystem",
            Self::Network => "networkSystem",
            Self::Service => "serviceSystem",
            Self::Storage => "storageSystem",
            Self::VirtualNic => "virtualNicManager",
        };
        format!("{kind}-{number}")
    }

    fn of(self, number: u64) -> Moref {
        Moref::new(self.info().name, self.id(number))
    }
}

/// A manager of a host.
pub(super) struct Part {
    side: Side,
    host: Moref,
}

impl Managed for Part {
    fn info(&self) -> &'static ManagedInfo {
        self.side.info()
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        let Ok(host) = look.world.get::<Host>(&self.host) else { return Prop::UNSET };
        let world = look.world;
        match (self.side, property) {
            (Side::Access, "lockdownMode") => Prop::kept(&host.lockdown),
            (Side::AdvancedOption, "setting") => Prop::made_list(option::settings(host)),
            (Side::AdvancedOption, "supportedOption") => Prop::made_list(option::definitions()),
            (Side::AutoStart, "config") => Prop::kept(&host.auto_start),
            (Side::Certificate, "certificateInfo") => Prop::made(super::certificate::info(host, world.now())),
            (Side::DatastoreSystem, "datastore") => Prop::list(&host.datastores),
            (Side::DatastoreSystem, "capabilities") => Prop::made(config::datastore_capabilities()),
            (Side::DateTime, "dateTimeInfo") => Prop::made(host.clock.info(world, host.services.runs("ntpd"))),
            (Side::Firewall, "firewallInfo") => Prop::made(host.firewall.info()),
            (Side::Network, "networkInfo") => Prop::made(host.network_info(world)),
            (Side::Network, "networkConfig") => Prop::made(host.network_config()),
            (Side::Network, "capabilities") => Prop::made(config::net_capabilities()),
            (Side::Network, "offloadCapabilities") => Prop::made(super::network::offload()),
            (Side::Network, "dnsConfig") => Prop::kept(&host.net.dns),
            (Side::Network, "ipRouteConfig") => Prop::kept(&host.net.route),
            (Side::Service, "serviceInfo") => Prop::made(host.services.info()),
            (Side::Storage, "storageDeviceInfo") => Prop::made(host.storage_device(world)),
            (Side::Storage, "fileSystemVolumeInfo") => Prop::made(host.file_system_volume(world)),
            (Side::Storage, "multipathStateInfo") => Prop::made(host.multipath_state(world)),
            (Side::VirtualNic, "info") => Prop::made(host.virtual_nic_info()),
            _ => Prop::UNSET,
        }
    }
}

/// Adds the managers of a host.
pub(super) fn add_all(world: &mut World, host: &Moref, number: u64) {
    for side in Side::ALL {
        world.add_as(&side.id(number), Part { side, host: host.clone() });
    }
}

/// Removes the managers of a host.
pub(super) fn remove_all(world: &mut World, number: u64) {
    for side in Side::ALL {
        world.remove(&side.of(number));
    }
}

/// Where clients find the managers of a host.
pub(super) fn config_manager(host: &Host) -> HostConfigManager {
    let of = |side: Side| Some(side.of(host.number));
    HostConfigManager {
        account_manager: of(Side::Account),
        host_access_manager: of(Side::Access),
        advanced_option: of(Side::AdvancedOption),
        auto_start_manager: of(Side::AutoStart),
        certificate_manager: of(Side::Certificate),
        datastore_system: of(Side::DatastoreSystem),
        date_time_system: of(Side::DateTime),
        firewall_system: of(Side::Firewall),
        network_system: of(Side::Network),
        service_system: of(Side::Service),
        storage_system: of(Side::Storage),
        virtual_nic_manager: of(Side::VirtualNic),
        ..Default::default()
    }
}

/// The host whose manager the call is about.
///
/// # Errors
/// `ManagedObjectNotFound`; `HostNotConnected` or `HostNotReachable` where vCenter can't ask the host.
pub(super) fn host_of(world: &World, call: &Call) -> Outcome<Moref> {
    let host = world.get::<Part>(&call.target)?.host.clone();
    super::connection::check_reachable(world, &host)?;
    Ok(host)
}

/// The host whose manager the call is about, to look at.
///
/// # Errors
/// As [`host_of`].
pub(super) fn host<'w>(world: &'w World, call: &Call) -> Outcome<&'w Host> {
    let host = host_of(world, call)?;
    world.get(&host)
}

/// The host whose manager the call is about, to change it. Both count as changed.
///
/// # Errors
/// As [`host_of`].
pub(super) fn edit_host<'w>(world: &'w mut World, call: &Call) -> Outcome<&'w mut Host> {
    let host = host_of(world, call)?;
    world.touch(&call.target);
    world.edit(&host)
}

impl World {
    /// Marks a host as changed, and what shows its network.
    pub(crate) fn touch_host_network(&mut self, host: &Moref) {
        self.touch(host);
        touch_network(self, host);
    }
}

/// Marks the host's network manager and its virtual NIC manager as changed.
pub(super) fn touch_network(world: &mut World, host: &Moref) {
    if let Ok(number) = world.get::<Host>(host).map(|host| host.number) {
        for side in [Side::Network, Side::VirtualNic] {
            world.touch(&side.of(number));
        }
    }
}

/// Marks the managers of the host's storage as changed.
pub(super) fn touch_storage(world: &mut World, host: &Moref) {
    if let Ok(number) = world.get::<Host>(host).map(|host| host.number) {
        for side in [Side::Storage, Side::DatastoreSystem] {
            world.touch(&side.of(number));
        }
    }
}
