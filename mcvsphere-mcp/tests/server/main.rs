//! The server as a client sees it, over a pipe in this process, with no vSphere behind it.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

mod advice;
mod answers;
mod api;
mod arguments;
mod attributes;
mod bad_answers;
mod batches;
mod choke_point;
mod clones;
mod confirm;
mod console;
mod datastore_files;
mod diagnosis;
mod disks;
mod doctor;
mod effects;
mod events;
mod export;
mod gate;
mod guests;
mod hosts;
mod http;
mod inventory;
mod investigation;
mod isos;
mod jobs;
mod lab;
mod lifecycle;
mod lists;
mod migrations;
mod mirror;
mod monitoring;
mod nics;
mod output;
mod ovf;
mod placement;
mod places;
mod policy;
mod power;
mod questions;
mod readme;
mod resources;
mod schema_rules;
mod serial_ports;
mod snapshot_inventory;
mod snapshots;
mod tags;
mod tasks;
mod tokens;
mod vm_details;
mod vm_snapshots;
mod windows;

use mcvsphere_mcp::{Server, SettingArgs, Settings};
use rmcp::{ClientHandler, RoleClient, ServiceExt, service::RunningService};

/// Settings for which no vCenter Server answers: nothing listens on port 1.
fn settings() -> Settings {
    settings_with(&[("VCENTER_HOST", "http://127.0.0.1:1"), ("VCENTER_USER", "user"), ("VCENTER_PASSWORD", "pass")])
}

fn settings_with(environment: &[(&str, &str)]) -> Settings {
    Settings::new(&SettingArgs::default(), |name| {
        environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
    .unwrap()
}

/// A client of this server.
async fn connect(server: Server) -> RunningService<RoleClient, ()> {
    connect_as(server, ()).await
}

/// A client of this server that is what it says of itself.
async fn connect_as<H: ClientHandler>(server: Server, client: H) -> RunningService<RoleClient, H> {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move { server.serve_local(theirs).await.unwrap().waiting().await });
    client.serve(ours).await.unwrap()
}
