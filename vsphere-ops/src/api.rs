//! The whole API by names that are known only at run time: look for a method, read what it takes, call it with arguments and
//! answers as JSON.
//!
//! This is for consoles, scripts and assistants. A program that knows what it calls uses [`managed`](crate::managed), where the
//! compiler checks it.
//!
//! Values are written as in VMware's Virtual Infrastructure JSON API: [`vsphere_soap::json`] has the form. A reference may also be
//! written as `VirtualMachine:vm-42`.
//!
//! ```
//! use serde_json::json;
//! use vsphere_ops::ListQuery;
//! use vsphere_ops::api::{self, Call, Object};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let found = api::search("rename", &ListQuery::first(5))?;
//! println!("{}", found.items[0].signature); // Rename_Task(newName: string) -> ManagedObjectReference
//!
//! let call = Call::new("Rename_Task", &json!({ "newName": "web-001" }))?;
//! let web = Object::find(&client, call.owner(), Some("web-01")).await?;
//! let answer = call.on(&client, &web).await?.outcome().await?;
//! assert!(answer.is_null());
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! # What is not offered
//!
//! [`Access`] says what a caller needs to be allowed for a method. Those that log in and out, hand out tickets, or carry the
//! credentials of a guest are [`Withheld`](Access::Withheld): a secret that goes through them would be in the hands of whoever reads
//! the answer, and the session is not the caller's. So are those whose answers belong to the reads and watches of this crate.
//!
//! # Secrets
//!
//! Fields that the model knows as secrets, and values whose keys name one (`guestinfo.userdata`, `mail.smtp.password`), read
//! `<secret>` in [`Call::shown`] and in answers.

mod access;
mod arguments;
mod call;
mod describe;
mod made;
mod search;
mod target;

pub use access::Access;
pub use call::{Call, Properties, Started, read};
pub use describe::{Description, describe};
pub use search::{Found, Kind, search};
pub use target::Object;
use vsphere_soap::request::Method;

/// The method of this name, also where its owner stands before it.
fn method(name: &str) -> Option<&'static Method> {
    let name = name.trim();
    vsphere_model::registry().method(name.rsplit_once('.').map_or(name, |(_, last)| last))
}
