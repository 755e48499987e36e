//! Virtual machines: lists and details, as they are shown to people.
//!
//! ```
//! use vsphere_ops::managed::VirtualMachine;
//! use vsphere_ops::ListQuery;
//! use vsphere_ops::vm::{self, VmQuery};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let query = VmQuery { page: ListQuery::first(50).matching("web-*"), ..Default::default() };
//! for vm in vm::list(&client, &query).await?.items {
//!     println!("{} {:?} on {:?}", vm.name, vm.ip, vm.host);
//! }
//! println!("{:?}", client.get::<VirtualMachine>("web-01").await?.info().await?.disks);
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! These are reports with plain fields, in names instead of references. To read other properties, or into a type of one's
//! own, use [`Client::find`](crate::Client::find) with [`select`](crate::Query::select). What the guest or people say of a
//! machine (host name, addresses, notes) is marked as such: whoever shows it to a program or a language model should not
//! trust it.

mod clone;
mod column;
mod create;
mod delete;
mod facts;
mod info;
mod list;
mod mirror;
mod names;
mod reconfigure;
mod rename;
mod report;
mod resources;
mod template;
mod tools;

pub(crate) use clone::home;
pub use clone::{CloneKind, CloneVm, Customization, NewClone, Start, clone, deploy};
pub use column::VmColumn;
pub use create::{CreateVm, Firmware, NewVm, Provisioning, create};
pub(crate) use delete::{CLONES, clones_of};
pub use delete::{Deleted, Deletion, LostNic, LostSnapshot};
pub(crate) use info::disk;
pub use info::{ToolsInfo, VmCdDrive, VmDisk, VmInfo, VmNic};
pub use list::{VmQuery, VmSummary, groups, list};
pub use mirror::{MirroredVm, VmCache, VmMirror};
pub(crate) use names::checked_name;
pub use reconfigure::{Changes, Reconfiguration, Reconfigured, SettingChange};
pub use rename::Renamed;
pub use report::VmReport;
pub(crate) use report::report;
pub use resources::VmResources;
pub use template::{TemplateSummary, templates};
pub use tools::{ToolsReady, ToolsStatus};

use crate::read::Values;

/// The value of a property, where it has one that the user may read.
pub(crate) fn optional<T: vsphere_soap::object::FromAny>(values: &mut Values, path: &'static str) -> Option<T> {
    values.take::<Option<T>>(path).ok().flatten()
}
