//! The managed objects of the simulated server, each kind in a file of its own.

pub(crate) mod compute;
pub(crate) mod datacenter;
pub(crate) mod datastore;
pub(crate) mod dvs;
pub(crate) mod folder;
pub(crate) mod host;
pub(crate) mod network;
pub(crate) mod option_manager;
pub(crate) mod resource_pool;
pub(crate) mod service_instance;
pub(crate) mod session_manager;
pub(crate) mod vm;

use crate::call::Methods;
use crate::world::World;

/// The methods of all kinds.
pub(crate) const METHODS: &[Methods] = &[
    compute::config::METHODS,
    compute::hosts::METHODS,
    compute::placement::METHODS,
    datacenter::METHODS,
    datastore::METHODS,
    datastore::browser::METHODS,
    datastore::file_manager::METHODS,
    datastore::namespace_manager::METHODS,
    datastore::virtual_disk_manager::METHODS,
    dvs::config::METHODS,
    dvs::manager::METHODS,
    dvs::portgroup::METHODS,
    dvs::ports::METHODS,
    folder::METHODS,
    host::account::METHODS,
    host::auto_start::METHODS,
    host::certificate::METHODS,
    host::connection::METHODS,
    host::datastore_system::METHODS,
    host::firewall::METHODS,
    host::maintenance::METHODS,
    host::network::METHODS,
    host::power::METHODS,
    host::service::METHODS,
    host::storage::METHODS,
    host::summary::METHODS,
    host::time::METHODS,
    host::vnic::METHODS,
    network::METHODS,
    option_manager::METHODS,
    resource_pool::methods::METHODS,
    service_instance::METHODS,
    session_manager::METHODS,
    vm::METHODS,
];

/// Adds the objects that every server has: the service instance and the managers that its content names.
pub(crate) fn install(world: &mut World) {
    service_instance::install(world);
    session_manager::install(world);
    folder::install(world);
    option_manager::install(world);
    dvs::manager::install(world);
    datastore::install(world);
}
