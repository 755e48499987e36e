//! Idiomatic async operations on VMware vSphere.
//!
//! ```no_run
//! use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
//! use vsphere_ops::{Client, Config};
//!
//! # async fn run() -> vsphere_ops::Result<()> {
//! let client = Client::connect(Config::from_env()?).await?;
//! for (vm, (name, power)) in client.find::<VirtualMachine>("web-*").select((vm::NAME, vm::POWER_STATE)).await? {
//!     println!("{vm} {name}: {power}"); // one round trip, only two properties leave the server
//! }
//! let web = client.get::<VirtualMachine>("/DC0/vm/prod/web-1").await?;
//! web.power_on().await?.await?;
//! client.logout().await
//! # }
//! ```
//!
//! Objects are found by name, inventory path or id; see [`Client::get`] and [`Client::find`]. A [`Mo`] is an object that
//! was found: it derefs to the API's own handle, so that each of the API's methods is there, and adds the operations of
//! this crate. What takes time on the server is a [`Task`].

pub mod alarms;
mod capability;
mod client;
mod clients;
mod config;
mod connection;
mod datastore_path;
mod error;
pub mod events;
pub mod find;
mod guard;
mod inventory;
mod mo;
pub mod name;
mod page;
pub mod performance;
pub mod power;
pub mod read;
mod rest;
mod retry;
pub mod task;
mod view;
mod waiter;
pub mod watch;

pub mod host;
pub mod transfer;
pub mod vcenter;
pub mod vm;

pub use capability::Capabilities;
pub use client::Client;
pub use clients::{Clients, Reply};
pub use config::Config;
pub use datastore_path::DatastorePath;
pub use error::{Candidate, Error, ErrorKind, Result};
pub use find::{Ancestor, Query, Selection};
pub use inventory::{Entry, Inventory, Snapshot};
pub use mo::Mo;
pub use page::Page;
pub use read::{As, Missing, PropertyState, Record, Rows, Select, State, Values, state};
pub use rest::{Rest, RestFault};
pub use task::{Progress, Task, TaskEvent, TaskResult, wait_all};
pub use vsphere_model::{managed, types};
pub use vsphere_soap::object::Property;
pub use vsphere_soap::object::path::PathError;
pub use watch::{Change, Watch};

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
