//! Async operations on VMware vSphere: vCenter and ESXi.
//!
//! ```no_run
//! use futures::TryStreamExt;
//! use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
//! use vsphere_ops::{Change, Client, Config};
//!
//! # async fn run() -> vsphere_ops::Result<()> {
//! // Connect. The client is one session, cheap to clone, and safe to use from many tasks.
//! let client = Client::connect(Config::from_env()?).await?;
//!
//! // Find several objects by a glob, and select what to read: one round trip, only two properties leave the server.
//! for (vm, (name, power)) in client.find::<VirtualMachine>("web-*").select((vm::NAME, vm::POWER_STATE)).await? {
//!     println!("{vm} {name}: {power}");
//! }
//!
//! // Find one by name, inventory path or id; start a task, and wait for its end.
//! let web = client.get::<VirtualMachine>("/DC0/vm/prod/web-1").await?;
//! web.power_on().await?.await?;
//!
//! // Watch what happens, without polling.
//! let mut changes = client.watch::<VirtualMachine>().select(vm::POWER_STATE);
//! while let Some(change) = changes.try_next().await? {
//!     if let Change::Changed { object, row, .. } = change {
//!         println!("{} is {row} now", object.label());
//!     }
//! }
//! client.logout().await
//! # }
//! ```
//!
//! | to | see |
//! |---|---|
//! | connect, to one server or several | [`Config`], [`Client`], [`Clients`] |
//! | find objects | [`find`], [`name`] |
//! | read properties, also into your own structs | [`read`], [`properties!`] |
//! | follow changes, or keep objects in a cache that follows the server | [`watch`], [`Inventory`] |
//! | start tasks and wait for them | [`task`], [`power`], [`snapshot`], [`several`] |
//! | change the disks, CD drives, network adapters and serial ports of a VM | [`disk`], [`media`], [`nic`], [`serial`] |
//! | run programs and move files inside guests | [`guest`] |
//! | find what is wrong in the inventory | [`diagnosis`] |
//! | read events, alarms, statistics and counters | [`events`], [`alarms`], [`stats`], [`performance`] |
//! | create, clone, change and delete VMs | [`vm`], [`placement`] |
//! | move VMs to other hosts, clusters and datastores | [`migration`] |
//! | set custom attributes, list customization specifications | [`custom_attribute`], [`customization`] |
//! | see the screen of a VM, type, answer its questions | [`console`] |
//! | transfer files, and manage those of datastores | [`transfer`], [`files`], [`DatastorePath`] |
//! | change the services and time servers of hosts, put them into maintenance mode, restart them | [`host`] |
//! | show lists and details | [`vm`], [`host`], [`datastore`], [`network`], [`vcenter`] |
//! | export the inventory as sheets for other tools | [`export`] |
//! | arrange the inventory | [`folder`], [`pool`], [`cluster`] |
//! | list, apply and remove tags | [`tags`] |
//! | use content libraries and the appliance | [`Rest`] |
//! | call any method by a name that is known only at run time | [`api`] |
//! | identify the server, and the privileges of the user | [`Certificate`], [`rights`] |
//! | handle errors | [`Error`] |
//!
//! # Handles
//!
//! A [`Mo`] is a handle of an object that was found. It derefs to the handle of the API, which has every method of the API,
//! and adds the operations of this crate. [`managed`] has the handles and the properties of each managed object,
//! [`types`] the API's data, enumerations, events and faults. [`Client::raw`] makes a handle of any reference.
//!
//! # Rules
//!
//! - A program should end with [`Client::logout`]: sessions that are not ended count against the server's limit.
//! - Builders ([`Query`], [`Task`], [`Watch`], transfers) send nothing before they are awaited or polled.
//! - Dropping a future is safe at any time. It ends only the waiting: a task continues on the server.
//! - Names are not unique, and they change: store ids ([`Mo::id`]) for one vCenter, and instance UUIDs across several.
//! - An error says whether the request may have been carried out: see [`Error::sent`].

pub mod alarms;
pub mod api;
mod capability;
#[cfg(feature = "certificate")]
mod certificate;
mod client;
mod clients;
pub mod cluster;
pub mod columns;
mod config;
mod connection;
pub mod console;
pub mod custom_attribute;
pub mod customization;
pub mod datastore;
mod datastore_path;
mod device;
pub mod diagnosis;
pub mod disk;
mod end;
mod error;
pub mod events;
pub mod export;
pub mod files;
pub mod find;
pub mod folder;
mod gaps;
mod guard;
pub mod guest;
mod inventory;
mod link;
pub mod media;
pub mod migration;
mod mo;
mod mounted;
pub mod name;
mod named;
pub mod network;
pub mod nic;
pub mod ovf;
mod page;
pub mod performance;
pub mod placement;
pub mod pool;
pub mod power;
pub mod read;
mod rest;
mod retry;
pub mod rights;
pub mod serial;
pub mod sight;
pub mod stats;
pub mod tags;
pub mod task;
mod units;
mod untrusted;
mod view;
mod waiter;
pub mod watch;

pub mod host;
pub mod several;
pub mod snapshot;
pub mod transfer;
pub mod vcenter;
pub mod vm;
mod words;

pub use capability::Capabilities;
#[cfg(feature = "certificate")]
pub use certificate::Certificate;
pub use client::Client;
pub use clients::{Clients, Reply};
pub use config::Config;
pub use datastore_path::DatastorePath;
pub use device::Device;
pub use end::end_all_sessions;
pub use error::{Candidate, Category, Circumstance, Error, ErrorKind, Result};
pub use find::{Ancestor, Query, Selection};
pub use gaps::{Gaps, MissingPart, Unreadable};
pub use inventory::{Entry, Inventory, Snapshot};
pub use mo::Mo;
pub use named::Named;
pub use page::{Freshness, ListQuery, Page};
pub use read::{As, Missing, PropertyState, Record, Rows, Select, State, Values, state};
pub use rest::{Rest, RestFault};
pub use task::{CancelledTask, Progress, Scope, Step, Task, TaskEvent, TaskResult, wait_all};
pub use units::Size;
pub use untrusted::Untrusted;
pub use vsphere_model::{managed, types};
pub use vsphere_soap::fault::Fact;
pub use vsphere_soap::object::Property;
pub use vsphere_soap::object::path::PathError;
pub use vsphere_soap::operation_id::OperationId;
pub use vsphere_soap::{Cause, Sent};
pub use watch::{Change, Watch};
pub use words::{moment, word};

/// The programs of the READMEs compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../README.md")]
struct Readme;
