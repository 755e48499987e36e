//! The tools, a family a file. Each says what it is once, and its body calls one operation of vsphere-ops.

mod datastore;
mod disk;
mod host;
mod monitoring;
mod network;
mod nic;
mod pool;
mod power;
mod serial;
mod snapshot;
mod targets;
mod vcenter;
mod vm;

use rmcp::handler::server::tool::ToolRouter;

use crate::Server;

/// All tools.
pub(crate) fn all() -> ToolRouter<Server> {
    [
        Server::vm_tools(),
        Server::power_tools(),
        Server::snapshot_tools(),
        Server::disk_tools(),
        Server::nic_tools(),
        Server::serial_tools(),
        Server::host_tools(),
        Server::monitoring_tools(),
        Server::datastore_tools(),
        Server::network_tools(),
        Server::pool_tools(),
        Server::vcenter_tools(),
    ]
    .into_iter()
    .fold(ToolRouter::new(), |all, family| all + family)
}
