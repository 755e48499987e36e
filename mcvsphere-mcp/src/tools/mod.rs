//! The tools, a family a file. Each is one literal, and its function calls one operation of vsphere-ops.

mod api;
mod cluster;
mod console;
mod datastore;
mod diagnosis;
mod disk;
mod export;
mod files;
mod folder;
mod guest;
mod host;
mod lifecycle;
mod migration;
mod monitoring;
mod network;
mod nic;
mod ovf;
mod pool;
mod power;
mod serial;
mod service;
mod snapshot;
mod tags;
mod targets;
mod task;
mod vcenter;
mod vm;

use crate::Tool;

/// All tools.
pub(crate) fn all() -> Vec<Tool> {
    [
        vm::tools(),
        lifecycle::tools(),
        migration::tools(),
        power::tools(),
        snapshot::tools(),
        guest::tools(),
        disk::tools(),
        nic::tools(),
        serial::tools(),
        ovf::tools(),
        host::tools(),
        service::tools(),
        monitoring::tools(),
        diagnosis::tools(),
        console::tools(),
        datastore::tools(),
        files::tools(),
        network::tools(),
        folder::tools(),
        cluster::tools(),
        pool::tools(),
        tags::tools(),
        vcenter::tools(),
        export::tools(),
        task::tools(),
        api::tools(),
    ]
    .concat()
}

/// What the files of tools have in common.
mod prelude {
    pub(super) use schemars::JsonSchema;
    pub(super) use serde::Deserialize;

    pub(super) use vsphere_ops::{Mo, columns::Groups, managed::VirtualMachine};

    pub(super) use super::targets::{Change, OneHost, OneVm};
    pub(super) use crate::{
        Batch, Cx, Object,
        Permission::*,
        Tool, ToolError,
        Toolset::*,
        answer::{Either, Listed, Summed},
        arguments::{
            NoArguments,
            asking::{Asked, Asking},
            in_range,
            kinds::*,
            number,
            paging::Paging,
        },
        confirm::Preview,
        error::Result,
        text::{one_line, quoted},
    };
}
