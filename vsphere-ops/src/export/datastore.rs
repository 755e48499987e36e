//! The sheet of datastores.

use std::sync::Arc;

use vsphere_model::managed::datastore;
use vsphere_model::types::{
    DatastoreHostMount, DatastoreInfo, DatastoreSummary, ManagedEntityStatus, ManagedObjectReference, NasDatastoreInfo,
    ObjectContent, Poly, StorageIORMInfo, VmfsDatastoreInfo,
};

use super::place::{Count, Places, Tally};
use super::{Column, Row, Sheet, cells_of, joined, mib, mib_in_use, number, word};
use crate::columns::Cell;
use crate::find::label;
use crate::read::Values;
use crate::vm::optional;

const STATUS: &str = "configStatus";
const INFO: &str = "info";
const IO_CONTROL: &str = "iormConfiguration";
const PARENT: &str = "parent";

pub(super) const PATHS: &[&str] =
    &["name", datastore::SUMMARY.path(), datastore::HOST.path(), STATUS, INFO, IO_CONTROL, PARENT];

/// A datastore as it was read.
pub(super) struct Store {
    reference: ManagedObjectReference,
    name: String,
    places: Arc<Places>,
    count: Option<Count>,
    summary: Option<DatastoreSummary>,
    mounts: Option<Vec<DatastoreHostMount>>,
    status: Option<ManagedEntityStatus>,
    info: Option<Poly<DatastoreInfo>>,
    io_control: Option<StorageIORMInfo>,
    parent: Option<ManagedObjectReference>,
}

/// The row of a datastore.
pub(super) fn row(content: ObjectContent, places: &Arc<Places>, tally: &Tally) -> Row {
    let name = label(&content);
    let values = &mut Values::new(content.prop_set, content.missing_set);
    let store = Store {
        count: tally.of(&tally.datastores, &content.obj.value),
        reference: content.obj,
        name,
        places: Arc::clone(places),
        summary: optional(values, datastore::SUMMARY.path()),
        mounts: optional(values, datastore::HOST.path()),
        status: optional(values, STATUS),
        info: optional(values, INFO),
        io_control: optional(values, IO_CONTROL),
        parent: optional(values, PARENT),
    };
    Row { sheet: Sheet::VDatastore, cells: cells_of(COLUMNS, &store).collect() }
}

impl Store {
    fn summary<T>(&self, get: impl FnOnce(&DatastoreSummary) -> Option<T>) -> Option<T> {
        self.summary.as_ref().and_then(get)
    }

    /// A size. Of what no host reaches, the server tells the last sizes, or none.
    fn size(&self, show: fn(i64) -> Cell, get: impl FnOnce(&DatastoreSummary) -> Option<i64>) -> Cell {
        let reached = self.summary.as_ref().filter(|summary| summary.accessible);
        reached.and_then(get).map_or(Cell::Nothing, show)
    }

    fn vmfs(&self) -> Option<&vsphere_model::types::HostVmfsVolume> {
        self.info.as_ref()?.downcast_ref::<VmfsDatastoreInfo>()?.vmfs.as_deref()
    }

    /// Where it is: the devices of a VMFS volume, or the export of a NAS.
    fn address(&self) -> Cell {
        if let Some(vmfs) = self.vmfs() {
            return joined(vmfs.extent.iter().map(|extent| extent.disk_name.clone()));
        }
        let nas = self.info.as_ref().and_then(|info| info.downcast_ref::<NasDatastoreInfo>()?.nas.as_deref());
        Cell::text(nas.map(|nas| format!("{} {}", nas.remote_host, nas.remote_path)))
    }

    fn hosts(&self) -> Cell {
        let mut names: Vec<String> = self.mounts.iter().flatten().map(|mount| self.places.label(&mount.key)).collect();
        names.sort();
        joined(names)
    }
}

pub(super) const COLUMNS: &[Column<Store>] = &[
    ("Name", |store| Cell::text(Some(store.name.as_str()))),
    ("Config status", |store| word(store.status.as_ref())),
    ("Address", Store::address),
    ("Accessible", |store| Cell::flag(store.summary(|summary| Some(summary.accessible)))),
    ("Type", |store| Cell::text(store.summary(|summary| Some(summary.type_.clone())))),
    ("# VMs total", |store| number(store.count.as_ref().map(|count| count.total))),
    ("# VMs", |store| number(store.count.as_ref().map(|count| count.running))),
    ("Capacity MiB", |store| store.size(mib, |summary| Some(summary.capacity))),
    ("Provisioned MiB", |store| {
        store.size(mib_in_use, |it| Some(it.capacity.saturating_sub(it.free_space).saturating_add(it.uncommitted?)))
    }),
    ("In Use MiB", |store| store.size(mib_in_use, |it| Some(it.capacity.saturating_sub(it.free_space)))),
    ("Free MiB", |store| store.size(mib, |summary| Some(summary.free_space))),
    ("Free %", |store| {
        let share = |it: &DatastoreSummary| it.free_space.saturating_mul(100).checked_div(it.capacity);
        store.size(Cell::Number, share)
    }),
    ("SIOC enabled", |store| Cell::flag(store.io_control.as_ref().map(|it| it.enabled))),
    ("SIOC Threshold", |store| number(store.io_control.as_ref().map(|it| it.congestion_threshold))),
    ("# Hosts", |store| number(store.mounts.as_ref().map(Vec::len))),
    ("Hosts", Store::hosts),
    ("Cluster name", |store| {
        Cell::text(store.parent.as_ref().filter(|it| it.type_ == "StoragePod").map(|it| store.places.label(it)))
    }),
    ("Block size", |store| number(store.vmfs().map(|vmfs| vmfs.block_size_mb))),
    ("Max Blocks", |store| number(store.vmfs().map(|vmfs| vmfs.max_blocks))),
    ("# Extents", |store| number(store.vmfs().map(|vmfs| vmfs.extent.len()))),
    ("Major Version", |store| number(store.vmfs().map(|vmfs| vmfs.major_version))),
    ("Version", |store| Cell::text(store.vmfs().map(|vmfs| vmfs.version.clone()))),
    ("VMFS Upgradeable", |store| Cell::flag(store.vmfs().map(|vmfs| vmfs.vmfs_upgradable))),
    ("MHA", |store| Cell::flag(store.summary(|summary| summary.multiple_host_access))),
    ("URL", |store| Cell::text(store.summary(|summary| Some(summary.url.clone())))),
    ("Object ID", |store| Cell::text(Some(store.reference.value.as_str()))),
    ("VI SDK Server", |store| Cell::text(Some(store.places.server.name.as_str()))),
    ("VI SDK UUID", |store| Cell::text(store.places.server.about.instance_uuid.as_deref())),
];
