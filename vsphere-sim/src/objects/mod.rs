//! The managed objects of the simulated server, each kind in a file of its own.

pub(crate) mod compute;
pub(crate) mod datacenter;
pub(crate) mod datastore;
pub(crate) mod folder;
pub(crate) mod host;
pub(crate) mod network;
pub(crate) mod resource_pool;
pub(crate) mod service_instance;
pub(crate) mod session_manager;
pub(crate) mod vm;

use crate::call::Methods;
use crate::world::World;

/// The methods of all kinds.
pub(crate) const METHODS: &[Methods] = &[
    compute::METHODS,
    datacenter::METHODS,
    datastore::METHODS,
    datastore::browser::METHODS,
    datastore::file_manager::METHODS,
    datastore::namespace_manager::METHODS,
    datastore::virtual_disk_manager::METHODS,
    folder::METHODS,
    host::METHODS,
    network::METHODS,
    resource_pool::METHODS,
    service_instance::METHODS,
    session_manager::METHODS,
    vm::METHODS,
    vm::console::METHODS,
    vm::power::METHODS,
    vm::question::METHODS,
    vm::snapshot::METHODS,
    vm::tools::METHODS,
];

/// Adds the objects that every server has: the service instance and the managers that its content names.
pub(crate) fn install(world: &mut World) {
    service_instance::install(world);
    session_manager::install(world);
    folder::install(world);
    datastore::install(world);
}
