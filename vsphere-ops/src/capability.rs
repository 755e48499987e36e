//! What a server can do, as far as it is known before a request.

use crate::connection::Connection;
use crate::error::{Circumstance, Error, ErrorKind, Result};

/// What a server can do, as far as it is known without a request.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let can = client.capabilities();
/// if can.vcenter && !can.read_only {
///     println!("VMs can be cloned here");
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether it is a vCenter, which clones, templates, clusters, tags and moves between hosts need.
    pub vcenter: bool,
    /// Whether it has refused a change because of its licence, as an ESXi host with the free licence does.
    pub read_only: bool,
}

pub(crate) fn of(connection: &Connection) -> Capabilities {
    let vcenter = connection.content.about.api_type == "VirtualCenter";
    Capabilities { vcenter, read_only: connection.is_restricted() }
}

pub(crate) fn require_vcenter(connection: &Connection, operation: &str) -> Result<()> {
    if of(connection).vcenter {
        return Ok(());
    }
    let text = format!(
        "{} is a single ESXi host, and this needs a vCenter; connect to the vCenter that manages it",
        connection.content.about.full_name
    );
    Err(Error::new(operation, ErrorKind::Unsupported(text)).on(connection.authority()))
}

pub(crate) fn require_writable(connection: &Connection, operation: &str) -> Result<()> {
    if !connection.is_restricted() {
        return Ok(());
    }
    let text = format!("the licence of {} allows reading only", connection.content.about.full_name);
    let error = Error::new(operation, ErrorKind::Unsupported(text)).on(connection.authority());
    Err(error.with_circumstance(Circumstance::ReadOnlyLicence))
}
