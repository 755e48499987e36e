//! The simulated server over the wire, by our own client and by the clients of others.
//!
//! One program holds all of them: a program each would be linked thirty times, a hundred megabytes a time.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

mod alarms;
mod always_set;
mod cluster;
mod custom_fields;
mod datastore;
mod events;
mod files;
mod folder;
mod guest;
mod host;
mod incidents;
mod managers;
mod migration;
mod network;
mod ovf;
mod page;
mod peers_console;
mod peers_datastore;
mod peers_govc_table;
mod peers_guest;
mod peers_host;
mod peers_managers;
mod peers_migration;
mod peers_ovf;
mod peers_power;
mod peers_pyvmomi;
mod peers_shape;
mod peers_suites;
mod peers_tags;
mod peers_vcsim;
mod peers_vm;
mod performance;
mod pool;
mod rights;
mod robust;
mod screen;
mod search_index;
mod server;
mod sessions;
mod support;
mod tags;
mod tasks;
mod vcsim;
mod vcsim_users;
mod virtual_disk;
mod vm_clone;
mod vm_create;
mod vm_devices;
mod vm_power;
mod vm_snapshot;
mod vm_tools;
