//! The MCP server of mcvsphere: settings, the server with its one choke point, and a short function per tool.
//!
//! A library, so that tests and other binaries run the very stack that the program runs.

mod answer;
mod arguments;
mod audit;
mod backends;
mod caller;
mod catalog;
pub mod cli;
mod confirm;
mod credentials;
mod cx;
#[cfg(feature = "sim")]
mod demo;
mod doctor;
mod error;
mod files;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
mod gate;
pub mod http;
mod jobs;
mod keys;
mod log;
mod login;
mod metrics;
mod mirror;
mod oauth;
mod offer;
mod output;
mod permission;
mod policy;
mod progress;
mod prompts;
mod render;
mod resources;
mod schema;
mod server;
mod session;
mod settings;
mod setup;
mod signals;
#[cfg(feature = "sim")]
mod sim;
mod stdio;
mod tasks;
mod text;
mod tool;
mod tools;

pub use answer::{Answers, Batch, Content, Object};
pub use arguments::kinds::{Cut, Secret};
pub use caller::Caller;
pub use catalog::{CatalogError, StartError};
pub use cx::Cx;
pub use error::ToolError;
pub use permission::{Effect, Permission, Toolset};
pub use server::Server;
pub use session::Session;
pub use settings::{SettingArgs, Settings, SettingsError};
pub use tool::Tool;
pub use vsphere_ops::placement::Defaults;
