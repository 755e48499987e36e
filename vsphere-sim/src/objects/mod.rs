//! The managed objects of the simulated server, each kind in a file of its own.

pub(crate) mod alarm;
mod alarm_manager;
mod authorization;
pub(crate) mod compute;
mod custom_fields;
pub(crate) mod customization_spec_manager;
pub(crate) mod datacenter;
pub(crate) mod datastore;
mod default_alarms;
mod diagnostic_manager;
pub(crate) mod dvs;
pub(crate) mod entity;
mod event_manager;
mod extension_manager;
pub(crate) mod folder;
pub(crate) mod guest_operations;
pub(crate) mod host;
pub(crate) mod lease;
pub(crate) mod license_manager;
pub(crate) mod network;
pub(crate) mod option_manager;
mod ovf;
mod performance;
pub(crate) mod resource_pool;
pub(crate) mod roles;
mod scheduled_task_manager;
pub(crate) mod search_index;
pub(crate) mod service_instance;
pub(crate) mod session_manager;
pub(crate) mod task_manager;
mod unsimulated;
mod user_directory;
pub(crate) mod vm;

use crate::call::Methods;
use crate::model::ServerKind;
use crate::world::World;

/// The methods of all kinds.
pub(crate) const METHODS: &[Methods] = &[
    alarm_manager::METHODS,
    authorization::METHODS,
    compute::config::METHODS,
    compute::hosts::METHODS,
    compute::placement::METHODS,
    custom_fields::METHODS,
    customization_spec_manager::METHODS,
    datacenter::METHODS,
    datastore::METHODS,
    datastore::browser::METHODS,
    datastore::file_manager::METHODS,
    datastore::namespace_manager::METHODS,
    datastore::storage_resource_manager::METHODS,
    datastore::v_storage_object_extras::METHODS,
    datastore::v_storage_object_manager::METHODS,
    datastore::virtual_disk_manager::METHODS,
    diagnostic_manager::METHODS,
    dvs::config::METHODS,
    dvs::manager::METHODS,
    dvs::portgroup::METHODS,
    dvs::ports::METHODS,
    entity::METHODS,
    event_manager::METHODS,
    extension_manager::METHODS,
    folder::METHODS,
    guest_operations::METHODS,
    guest_operations::FILE_METHODS,
    guest_operations::PROCESS_METHODS,
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
    lease::METHODS,
    license_manager::METHODS,
    network::METHODS,
    option_manager::METHODS,
    ovf::METHODS,
    performance::METHODS,
    resource_pool::methods::METHODS,
    scheduled_task_manager::METHODS,
    search_index::METHODS,
    service_instance::METHODS,
    session_manager::METHODS,
    task_manager::METHODS,
    user_directory::METHODS,
    vm::METHODS,
    vm::checker::METHODS,
    vm::compatibility::METHODS,
    vm::console::METHODS,
    vm::environment::METHODS,
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
    option_manager::install(world);
    dvs::manager::install(world);
    authorization::install(world);
    user_directory::install(world);
    event_manager::install(world);
    performance::install(world);
    license_manager::install(world);
    diagnostic_manager::install(world);
    guest_operations::install(world);
    if world.settings.kind == ServerKind::VCenter {
        alarm_manager::install(world);
        custom_fields::install(world);
        extension_manager::install(world);
        scheduled_task_manager::install(world);
        customization_spec_manager::install(world);
        vm::checker::install(world);
        vm::compatibility::install(world);
        datastore::storage_resource_manager::install(world);
        unsimulated::install(world);
    }
    datastore::install(world);
    ovf::install(world);
    search_index::install(world);
    task_manager::install(world);
}
