//! The server itself.
//!
//! ```
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let server = vsphere_ops::vcenter::info(&client).await?;
//! println!("{} {}, for {:?}", server.full_name, server.server_time, server.user);
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! What is known without asking is at the client: [`content`](Client::content), [`api_version`](Client::api_version),
//! [`is_vcenter`](Client::is_vcenter).

use serde::Serialize;
use vsphere_model::managed::{SessionManager, session_manager};
use vsphere_soap::object::format_date_time;

use crate::client::Client;
use crate::error::Result;
use crate::mo::Mo;

/// What a vCenter or an ESXi host says of itself.
///
/// ```
/// use vsphere_ops::vcenter::VcenterInfo;
///
/// fn is_esxi(server: &VcenterInfo) -> bool {
///     server.api_type == "HostAgent"
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VcenterInfo {
    /// The product, with version and build.
    pub full_name: String,
    /// The product.
    pub product: String,
    /// The version.
    pub version: String,
    /// The build number.
    pub build: String,
    /// `VirtualCenter` or `HostAgent`.
    pub api_type: String,
    /// The newest version of the API that it speaks.
    pub api_version: String,
    /// The version of the API that is spoken with it.
    pub api_version_in_use: String,
    /// The operating system that it runs on.
    pub os_type: String,
    /// The UUID of the instance; ESXi has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_uuid: Option<String>,
    /// The user that is logged in.
    pub user: Option<String>,
    /// The server's time, RFC 3339.
    pub server_time: String,
}

/// Reads what the server says of itself.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let server = vsphere_ops::vcenter::info(&client).await?;
/// println!("{} {} build {}", server.product, server.version, server.build);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// Server errors.
pub async fn info(client: &Client) -> Result<VcenterInfo> {
    let about = &client.content().about;
    let time = client.server_time().await?;
    let user = match &client.content().session_manager {
        Some(manager) => {
            let manager: Mo<SessionManager> = Mo::new(client, manager, None);
            manager.read(session_manager::CURRENT_SESSION).await?.map(|session| session.user_name)
        }
        None => None,
    };
    Ok(VcenterInfo {
        full_name: about.full_name.clone(),
        product: about.name.clone(),
        version: about.version.clone(),
        build: about.build.clone(),
        api_type: about.api_type.clone(),
        api_version: about.api_version.clone(),
        api_version_in_use: client.api_version().to_owned(),
        os_type: about.os_type.clone(),
        instance_uuid: about.instance_uuid.clone(),
        user,
        server_time: format_date_time(&time),
    })
}
