//! What is known of a VM, and what its columns say by that.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use vsphere_model::managed::virtual_machine as vm;
use vsphere_model::types::{
    Any, CustomFieldValue, GuestNicInfo, ManagedObjectReference, Poly, VirtualMachinePowerState,
    VirtualMachineSnapshotInfo, VirtualMachineSnapshotTree,
};
use vsphere_soap::object::FromAny;

use super::column::{self, Beside, VmColumn};
use crate::client::Client;
use crate::columns::{Cell, Needle, Others as Names};
use crate::error::Result;
use crate::page::ByName;
use crate::read::Values;
use crate::untrusted;
use crate::words::word;

/// What is known of a VM: of the properties that were asked for, those that are set. A mirror keeps one for each VM, so that it is
/// kept small.
#[derive(Debug, Clone, Default)]
pub(super) struct VmFacts {
    pub(super) power_state: Option<VirtualMachinePowerState>,
    pub(super) cpu: Option<i32>,
    pub(super) memory_mb: Option<i32>,
    pub(super) guest_os: Option<Box<str>>,
    pub(super) host: Option<Reference>,
    pub(super) ip: Option<Box<str>>,
    pub(super) template: bool,
    pub(super) uuid: Option<u128>,
    pub(super) instance_uuid: Option<u128>,
    pub(super) note: Option<Box<str>>,
    guest_host_name: Option<Box<str>>,
    ip_addresses: Box<[Box<str>]>,
    mac_addresses: Box<[Box<str>]>,
    tools_running: Option<Box<str>>,
    tools_version: Option<Box<str>>,
    parent: Option<Reference>,
    vapp: Option<Reference>,
    pool: Option<Reference>,
    networks: Box<[Reference]>,
    datastores: Box<[Reference]>,
    committed: Option<i64>,
    uncommitted: Option<i64>,
    disks: Option<i32>,
    snapshots: u32,
    oldest_snapshot: Option<DateTime<Utc>>,
    boot_time: Option<DateTime<Utc>>,
    bounds: Option<Box<Bounds>>,
    custom_values: Vec<Poly<CustomFieldValue>>,
}

/// An object that a VM refers to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    type_: &'static str,
    pub(super) id: Box<str>,
}

impl Reference {
    fn of(reference: ManagedObjectReference) -> Self {
        const TYPES: [&str; 8] = [
            "HostSystem",
            "Folder",
            "ResourcePool",
            "VirtualApp",
            "Datastore",
            "Network",
            "DistributedVirtualPortgroup",
            "OpaqueNetwork",
        ];
        let type_ = TYPES.into_iter().find(|type_| *type_ == reference.type_).unwrap_or("ManagedEntity");
        Self { type_, id: reference.value.into() }
    }
}

impl From<&Reference> for ManagedObjectReference {
    fn from(reference: &Reference) -> Self {
        Self::new(reference.type_, &*reference.id)
    }
}

/// The limits and reservations of a VM. Few have any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Bounds {
    cpu_limit: Option<i64>,
    cpu_reservation: Option<i64>,
    memory_limit: Option<i64>,
    memory_reservation: Option<i64>,
}

impl VmFacts {
    pub(super) fn of(values: &mut Values) -> Self {
        let mut facts = Self::default();
        for (path, value) in values.drain() {
            facts.take(&path, value);
        }
        facts
    }

    /// Takes what these properties are now; those without a value are not set any more.
    pub(super) fn patch(&mut self, paths: &[&'static str], values: &mut Values) {
        paths.iter().for_each(|path| self.take(path, Any::Unset));
        for (path, value) in values.drain() {
            self.take(&path, value);
        }
    }

    /// Takes what a property is, in place of what it was.
    fn take(&mut self, path: &str, value: Any) {
        let text = |value: Any| get::<String>(value).filter(|text| !text.is_empty()).map(Into::into);
        let reference = |value: Any| get(value).map(Reference::of);
        let references = |value: Any| {
            let all: Vec<ManagedObjectReference> = get(value).unwrap_or_default();
            all.into_iter().map(Reference::of).collect()
        };
        match path {
            path if path == vm::POWER_STATE.path() => self.power_state = get(value),
            path if path == vm::NUM_CPU.path() => self.cpu = get(value),
            path if path == vm::MEMORY_SIZE_MB.path() => self.memory_mb = get(value),
            path if path == vm::GUEST_FULL_NAME.path() => self.guest_os = get::<String>(value).map(Into::into),
            path if path == vm::HOST.path() => self.host = reference(value),
            path if path == vm::GUEST_IP_ADDRESS.path() => self.ip = text(value),
            path if path == vm::IS_TEMPLATE.path() => self.template = get(value).unwrap_or(false),
            path if path == vm::RESOURCE_POOL.path() => self.pool = reference(value),
            path if path == vm::NETWORK.path() => self.networks = references(value),
            path if path == vm::DATASTORE.path() => self.datastores = references(value),
            path if path == vm::CUSTOM_VALUE.path() => self.custom_values = get(value).unwrap_or_default(),
            column::UUID => self.uuid = get::<String>(value).as_deref().and_then(number),
            column::INSTANCE_UUID => self.instance_uuid = get::<String>(value).as_deref().and_then(number),
            column::ANNOTATION => self.note = text(value),
            column::GUEST_HOST_NAME => self.guest_host_name = text(value),
            column::GUEST_NET => self.take_adapters(get(value).unwrap_or_default()),
            column::TOOLS_RUNNING => self.tools_running = text(value),
            column::TOOLS_VERSION_STATUS => self.tools_version = text(value),
            column::PARENT => self.parent = reference(value),
            column::PARENT_VAPP => self.vapp = reference(value),
            column::COMMITTED => self.committed = get(value),
            column::UNCOMMITTED => self.uncommitted = get(value),
            column::DISKS => self.disks = get(value),
            column::BOOT_TIME => {
                self.boot_time = get::<vsphere_model::types::DateTime>(value).map(|time| time.to_utc());
            }
            column::SNAPSHOT => {
                let info: Option<VirtualMachineSnapshotInfo> = get(value);
                (self.snapshots, self.oldest_snapshot) = (0, None);
                self.take_snapshots(&info.map(|info| info.root_snapshot_list).unwrap_or_default());
            }
            column::CPU_LIMIT => self.bound(value, |bounds| &mut bounds.cpu_limit),
            column::CPU_RESERVATION => self.bound(value, |bounds| &mut bounds.cpu_reservation),
            column::MEMORY_LIMIT => self.bound(value, |bounds| &mut bounds.memory_limit),
            column::MEMORY_RESERVATION => self.bound(value, |bounds| &mut bounds.memory_reservation),
            _ => {}
        }
    }

    /// Of what the guest says only what is an address counts.
    fn take_adapters(&mut self, adapters: Vec<GuestNicInfo>) {
        let mut ips: Vec<Box<str>> = Vec::new();
        let mut macs = Vec::new();
        for adapter in adapters {
            ips.extend(adapter.ip_address.iter().filter_map(untrusted::address).map(Into::into));
            macs.extend(adapter.mac_address.filter(|mac| is_mac(mac)).map(|mac| mac.to_lowercase().into()));
        }
        self.ip_addresses = ips.into();
        self.mac_addresses = macs.into();
    }

    fn take_snapshots(&mut self, trees: &[VirtualMachineSnapshotTree]) {
        for tree in trees {
            self.snapshots += 1;
            let created = tree.create_time.to_utc();
            self.oldest_snapshot = Some(self.oldest_snapshot.map_or(created, |oldest| oldest.min(created)));
            self.take_snapshots(&tree.child_snapshot_list);
        }
    }

    /// -1 stands for no limit, and nothing is reserved by default.
    fn bound(&mut self, value: Any, of: impl FnOnce(&mut Bounds) -> &mut Option<i64>) {
        let bound = get::<i64>(value).filter(|bound| *bound > 0);
        let mut bounds = self.bounds.take().unwrap_or_default();
        *of(&mut bounds) = bound;
        self.bounds = (*bounds != Bounds::default()).then_some(bounds);
    }

    /// The parent in the inventory: a folder, or a vApp.
    fn parent(&self) -> Option<&Reference> {
        self.parent.as_ref().or(self.vapp.as_ref())
    }

    /// The objects whose names these columns need.
    fn others(&self, beside: Beside) -> Vec<&Reference> {
        match beside {
            Beside::Hosts | Beside::Clusters => self.host.iter().collect(),
            Beside::Pools => self.pool.iter().collect(),
            Beside::Folders => self.parent().into_iter().collect(),
            Beside::Networks => self.networks.iter().collect(),
            Beside::Datastores => self.datastores.iter().collect(),
            Beside::Itself | Beside::Attributes | Beside::Tags => Vec::new(),
        }
    }

    /// Whether a text is in what a VM is searched by.
    pub(super) fn hold(&self, seen: Seen<'_>, needle: &Needle) -> bool {
        let has_id = |number: Option<u128>| number.is_some_and(|number| needle.is_in_small(&uuid_text(number)));
        let in_texts = || match seen.searched {
            Some(texts) => needle.is_in_small(texts.as_bytes()),
            None => self.searched().any(|text| needle.is_in(text)),
        };
        needle.is_in(seen.name)
            || in_texts()
            || (needle.may_be_of_uuid() && (has_id(self.uuid) || has_id(self.instance_uuid)))
    }

    /// The texts that a VM is searched by, its name apart.
    fn searched(&self) -> impl Iterator<Item = &str> {
        let addresses = self.ip.iter().chain(&self.ip_addresses).chain(&self.mac_addresses);
        addresses.chain(&self.guest_host_name).chain(&self.note).map(|text| &**text)
    }

    /// These in small letters as one text, which is searched in a fraction of the time: they lie in one place.
    pub(super) fn searched_as_one(&self) -> Box<str> {
        // No text goes on in the next one.
        self.searched().collect::<Vec<_>>().join("\0").to_lowercase().into()
    }

    /// The first IP address, where it is one.
    pub(super) fn address(&self) -> Option<String> {
        self.ip.as_deref().and_then(untrusted::address)
    }
}

fn get<T: FromAny>(value: Any) -> Option<T> {
    value.take().ok()
}

/// Whether a text is a MAC address.
fn is_mac(text: &str) -> bool {
    let mut parts = text.split([':', '-']);
    text.len() == 17 && parts.all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A UUID as a number, so that its case does not matter.
pub(super) fn number(uuid: &str) -> Option<u128> {
    let digits: String = uuid.chars().filter(|c| *c != '-').collect();
    u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)
}

/// A UUID as vSphere writes it.
fn uuid(number: u128) -> String {
    String::from_utf8_lossy(&uuid_text(number)).into_owned()
}

/// The same where it is only looked at: nothing is allocated, as those of all VMs may be.
fn uuid_text(number: u128) -> [u8; 36] {
    let mut text = [b'-'; 36];
    let digits = number.to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let places = text.iter_mut().enumerate().filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
    for ((_, place), digit) in places.zip(digits) {
        *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    }
    text
}

/// A VM of a list: its name and id beside what is known of it.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) name: &'a str,
    pub(super) id: &'a str,
    pub(super) facts: &'a VmFacts,
    /// What [`VmFacts::searched_as_one`] gives, where it was made before.
    pub(super) searched: Option<&'a str>,
}

impl Seen<'_> {
    /// Where it stands in a list by name.
    pub(super) fn key(self) -> ByName {
        ByName::new(self.name, self.id)
    }
}

impl Names {
    /// The types of objects that are read with all VMs, where these columns tell which are wanted. They are all or few, so that
    /// the session needs few views.
    pub(super) fn types(columns: &[VmColumn]) -> &'static [(&'static str, &'static [&'static str])] {
        const HOSTS: &[(&str, &[&str])] = &[("HostSystem", &["name"])];
        const ALL: &[(&str, &[&str])] = &[
            ("HostSystem", &["name", "parent"]),
            ("ComputeResource", &["name", "parent"]),
            ("ResourcePool", &["name", "parent"]),
            ("Folder", &["name", "parent"]),
            ("Datacenter", &["name", "parent"]),
            ("Network", &["name"]),
            ("Datastore", &["name"]),
        ];
        let is_there = |column: &VmColumn| {
            matches!(column.beside(), Beside::Itself | Beside::Hosts | Beside::Attributes | Beside::Tags)
        };
        if columns.iter().all(is_there) { HOSTS } else { ALL }
    }

    /// Reads what these columns need for these VMs and is not known, in one request; tags and custom attributes take one more each.
    pub(super) async fn complete(&mut self, client: &Client, seen: &[Seen<'_>], columns: &[VmColumn]) -> Result<()> {
        let (mut climbed, mut named) = (HashSet::new(), HashSet::new());
        for column in columns {
            let beside = column.beside();
            let climbs = matches!(beside, Beside::Clusters | Beside::Folders);
            for other in seen.iter().flat_map(|seen| seen.facts.others(beside)) {
                if climbs && !self.has_chain(&other.id) {
                    climbed.insert(other);
                } else if !climbs && self.name(&other.id).is_none() {
                    named.insert(other);
                }
            }
        }
        let references = |found: HashSet<&Reference>| found.into_iter().map(Into::into).collect();
        self.read(client, references(climbed), references(named)).await?;
        if columns.contains(&VmColumn::CustomAttributes) {
            self.read_attributes(client).await?;
        }
        if columns.contains(&VmColumn::Tags) {
            let vms = seen.iter().map(|seen| ManagedObjectReference::new("VirtualMachine", seen.id));
            self.read_tags(client, vms).await?;
        }
        Ok(())
    }

    /// The name of a VM's host.
    pub(super) fn host(&self, facts: &VmFacts) -> Option<String> {
        facts.host.as_ref().map(|host| self.label(&host.id))
    }

    fn labels_of(&self, others: &[Reference]) -> Cell {
        self.labels(others.iter().map(|other| &*other.id))
    }

    fn cluster(&self, host: &str) -> Cell {
        let parent = self.parent_of(host);
        // A host alone is in a compute resource that is no cluster.
        let is_cluster = |id: &&str| self.type_of(id) == Some("ClusterComputeResource");
        Cell::text(parent.filter(is_cluster).map(|parent| self.label(parent)))
    }

    /// What a column says of a VM.
    pub(super) fn cell(&self, column: VmColumn, seen: Seen<'_>, now: DateTime<Utc>) -> Cell {
        let Seen { name, id, facts, .. } = seen;
        let strings = |texts: &[Box<str>]| Cell::texts(texts.iter().map(|text| text.to_string()).collect());
        let bounds = facts.bounds.as_deref();
        match column {
            VmColumn::Name => Cell::Text(name.to_owned()),
            VmColumn::Id => Cell::Text(id.to_owned()),
            VmColumn::PowerState => Cell::text(facts.power_state.as_ref().map(word)),
            VmColumn::Cpu => Cell::number(facts.cpu),
            VmColumn::MemoryMb => Cell::number(facts.memory_mb),
            VmColumn::GuestOs => Cell::untrusted(facts.guest_os.as_deref()),
            VmColumn::Host => Cell::text(self.host(facts)),
            VmColumn::Ip => Cell::text(facts.address()),
            VmColumn::Cluster => facts.host.as_ref().map_or(Cell::Nothing, |host| self.cluster(&host.id)),
            VmColumn::Path => self.path_in(facts.parent().map(|parent| &*parent.id), name),
            VmColumn::Folder => Cell::text(facts.parent().map(|parent| self.label(&parent.id))),
            VmColumn::ResourcePool => Cell::text(facts.pool.as_ref().map(|pool| self.label(&pool.id))),
            VmColumn::IpAddresses if facts.ip_addresses.is_empty() => {
                Cell::texts(facts.address().into_iter().collect())
            }
            VmColumn::IpAddresses => strings(&facts.ip_addresses),
            VmColumn::MacAddresses => strings(&facts.mac_addresses),
            VmColumn::GuestHostName => Cell::untrusted(facts.guest_host_name.as_deref()),
            VmColumn::ToolsStatus => Cell::text(facts.tools_running.as_deref()),
            VmColumn::ToolsVersionStatus => Cell::text(facts.tools_version.as_deref()),
            VmColumn::Networks => self.labels_of(&facts.networks),
            VmColumn::Datastores => self.labels_of(&facts.datastores),
            VmColumn::UsedBytes => Cell::number(facts.committed),
            VmColumn::ProvisionedBytes => {
                let uncommitted = facts.uncommitted.unwrap_or(0);
                Cell::number(facts.committed.map(|committed| committed.saturating_add(uncommitted)))
            }
            VmColumn::Disks => Cell::number(facts.disks),
            VmColumn::Snapshots => Cell::Number(facts.snapshots.into()),
            VmColumn::OldestSnapshotDays => {
                Cell::number(facts.oldest_snapshot.map(|time| (now - time).num_days().max(0)))
            }
            VmColumn::BootTime => facts.boot_time.map_or(Cell::Nothing, Cell::Time),
            VmColumn::CpuLimitMhz => Cell::number(bounds.and_then(|bounds| bounds.cpu_limit)),
            VmColumn::CpuReservationMhz => Cell::number(bounds.and_then(|bounds| bounds.cpu_reservation)),
            VmColumn::MemoryLimitMb => Cell::number(bounds.and_then(|bounds| bounds.memory_limit)),
            VmColumn::MemoryReservationMb => Cell::number(bounds.and_then(|bounds| bounds.memory_reservation)),
            VmColumn::Uuid => Cell::text(facts.uuid.map(uuid)),
            VmColumn::InstanceUuid => Cell::text(facts.instance_uuid.map(uuid)),
            VmColumn::Annotation => Cell::untrusted(facts.note.as_deref()),
            VmColumn::CustomAttributes => self.attributes(&facts.custom_values),
            VmColumn::Tags => self.tags(id),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use vsphere_model::types::{DateTime as Time, DynamicProperty};
    use vsphere_soap::object::Array;

    use super::*;
    use crate::columns::Column as _;

    fn reference(type_: &str, id: &str) -> ManagedObjectReference {
        ManagedObjectReference::new(type_, id)
    }

    fn one(item: impl Into<Any>) -> Any {
        Any::Array(Array { item: String::new(), items: vec![item.into()] })
    }

    /// Something for each property.
    fn value(path: &str) -> Any {
        let time: Time = "2026-03-01T08:00:00Z".parse().unwrap();
        match path {
            path if path == vm::POWER_STATE.path() => VirtualMachinePowerState::PoweredOn.into(),
            path if path == vm::NUM_CPU.path() || path == vm::MEMORY_SIZE_MB.path() || path == column::DISKS => {
                4.into()
            }
            path if path == vm::HOST.path() => reference("HostSystem", "host-1").into(),
            path if path == vm::IS_TEMPLATE.path() => true.into(),
            path if path == vm::RESOURCE_POOL.path() => reference("ResourcePool", "resgroup-1").into(),
            path if path == vm::NETWORK.path() => one(reference("Network", "network-1")),
            path if path == vm::DATASTORE.path() => one(reference("Datastore", "datastore-1")),
            path if path == vm::CUSTOM_VALUE.path() => one(CustomFieldValue { key: 1 }),
            column::UUID | column::INSTANCE_UUID => "42304b0b-98b2-40ce-9ed0-3f51c4a5b2b5".into(),
            column::GUEST_NET => one(GuestNicInfo {
                ip_address: vec!["10.0.0.4".into()],
                mac_address: Some("00:50:56:00:00:04".into()),
                ..Default::default()
            }),
            column::PARENT => reference("Folder", "group-v1").into(),
            column::PARENT_VAPP => reference("VirtualApp", "resgroup-v1").into(),
            column::BOOT_TIME => time.into(),
            column::SNAPSHOT => {
                let tree = VirtualMachineSnapshotTree { create_time: time, ..Default::default() };
                let root_snapshot_list =
                    vec![VirtualMachineSnapshotTree { child_snapshot_list: vec![tree.clone()], ..tree }];
                VirtualMachineSnapshotInfo { root_snapshot_list, ..Default::default() }.into()
            }
            column::COMMITTED
            | column::UNCOMMITTED
            | column::CPU_LIMIT
            | column::CPU_RESERVATION
            | column::MEMORY_LIMIT
            | column::MEMORY_RESERVATION => 4_i64.into(),
            path if path == vm::GUEST_IP_ADDRESS.path() => "10.0.0.4".into(),
            _ => "text".into(),
        }
    }

    #[test]
    fn a_uuid_is_written_as_it_was_read() {
        for text in ["42304b0b-98b2-40ce-9ed0-3f51c4a5b2b5", "00000000-0000-0000-0000-00000000000f"] {
            assert_eq!(number(text).map(uuid).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_changes_takes_the_place_of_what_was() {
        let mut paths = VmColumn::all_paths(VmColumn::ALL.iter().copied());
        paths.push(vm::IS_TEMPLATE.path());
        let with = |paths: &[&'static str]| {
            let set = paths.iter().map(|path| DynamicProperty { name: (*path).to_owned(), val: value(path) });
            Values::new(set.collect(), Vec::new())
        };
        let all = format!("{:?}", VmFacts::of(&mut with(&paths)));
        let none = format!("{:?}", VmFacts::default());
        for path in &paths {
            let others: Vec<&'static str> = paths.iter().copied().filter(|other| other != path).collect();
            let without = format!("{:?}", VmFacts::of(&mut with(&others)));
            assert!(without != all || *path == "name", "{path} is kept");
            let mut facts = VmFacts::of(&mut with(&paths));
            facts.patch(&[path], &mut with(&[]));
            assert_eq!(format!("{facts:?}"), without, "{path} is not set any more");
            facts.patch(&[path], &mut with(&[path]));
            assert_eq!(format!("{facts:?}"), all, "{path} is set again");
            facts.patch(&[path], &mut with(&[path]));
            assert_eq!(format!("{facts:?}"), all, "{path} is set as it was");
        }
        let mut facts = VmFacts::of(&mut with(&paths));
        facts.patch(&paths, &mut with(&[]));
        assert_eq!(format!("{facts:?}"), none);
    }
}
