//! What the inventory is made of: which objects hold which, what they are called, and what their ids look like.

use vsphere_model::types::{
    ManagedObjectReference, ObjectSpec, Poly, PropertyFilterSpec, SelectionSpec, TraversalSpec,
};

use crate::error::{Error, Result, invalid};
use crate::read::{Source, property_spec};

/// What administrators call a type.
pub(crate) fn kind_of(type_: &str) -> &str {
    match type_ {
        "ManagedEntity" => "object",
        "VirtualMachine" => "virtual machine",
        "VirtualMachineSnapshot" => "snapshot",
        "HostSystem" => "host",
        "ClusterComputeResource" => "cluster",
        "ComputeResource" => "compute resource",
        "ResourcePool" => "resource pool",
        "VirtualApp" => "vApp",
        "Datacenter" => "datacenter",
        "Datastore" => "datastore",
        "StoragePod" => "datastore cluster",
        "Network" => "network",
        "DistributedVirtualPortgroup" => "distributed port group",
        "DistributedVirtualSwitch" | "VmwareDistributedVirtualSwitch" => "distributed switch",
        "Folder" => "folder",
        other => other,
    }
}

/// Whether a managed object type is another or extends it, of those that stand in the inventory.
pub(super) fn is_a(type_: &str, base: &str) -> bool {
    type_ == base
        || matches!(
            (type_, base),
            (_, "ManagedEntity")
                | ("ClusterComputeResource", "ComputeResource")
                | ("VirtualApp", "ResourcePool")
                | ("DistributedVirtualPortgroup" | "OpaqueNetwork", "Network")
                | ("VmwareDistributedVirtualSwitch", "DistributedVirtualSwitch")
                | ("StoragePod", "Folder")
        )
}

/// The type of the object with this id, where the id has the form that vCenter gives to a type: `vm-42`.
pub(crate) fn type_of_id(id: &str) -> Option<&'static str> {
    const FORMS: [(&str, &str); 15] = [
        ("vm-", "VirtualMachine"),
        ("host-", "HostSystem"),
        ("domain-c", "ClusterComputeResource"),
        ("domain-s", "ComputeResource"),
        ("resgroup-v", "VirtualApp"),
        ("resgroup-", "ResourcePool"),
        ("datacenter-", "Datacenter"),
        ("datastore-", "Datastore"),
        ("group-p", "StoragePod"),
        ("group-d", "Folder"),
        ("group-v", "Folder"),
        ("dvportgroup-", "DistributedVirtualPortgroup"),
        ("network-o", "OpaqueNetwork"),
        ("network-", "Network"),
        ("dvs-", "VmwareDistributedVirtualSwitch"),
    ];
    FORMS.iter().find_map(|(prefix, type_)| {
        let number = id.strip_prefix(prefix)?;
        (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(*type_)
    })
}

/// The folder of a datacenter that holds objects of a type.
pub(super) fn folder_of(type_: &str) -> Option<&'static str> {
    Some(match type_ {
        "VirtualMachine" => "vm",
        "HostSystem" | "ComputeResource" | "ClusterComputeResource" | "ResourcePool" | "VirtualApp" => "host",
        "Datastore" | "StoragePod" => "datastore",
        "Network"
        | "DistributedVirtualPortgroup"
        | "OpaqueNetwork"
        | "DistributedVirtualSwitch"
        | "VmwareDistributedVirtualSwitch" => "network",
        _ => return None,
    })
}

/// The types that a path leads through.
pub(super) const CONTAINERS: [&str; 4] = ["Folder", "Datacenter", "ComputeResource", "ResourcePool"];

/// How to read all objects of type `wanted` below `container`: through a view where those that the API has hold them,
/// else through the property that lists them.
pub(super) fn below(
    container: Option<&ManagedObjectReference>,
    wanted: &'static str,
    paths: Vec<String>,
) -> Result<Source> {
    let view = |container: Option<&ManagedObjectReference>| {
        Ok(Source::View { container: container.cloned(), types: vec![(wanted, paths.clone())] })
    };
    let Some(holder) = container else { return view(None) };
    let in_view = match holder.type_.as_str() {
        "Folder" | "StoragePod" | "Datacenter" => true,
        "ComputeResource" | "ClusterComputeResource" => {
            matches!(wanted, "HostSystem" | "ResourcePool" | "VirtualApp" | "VirtualMachine")
        }
        "ResourcePool" | "VirtualApp" => matches!(wanted, "ResourcePool" | "VirtualApp" | "VirtualMachine"),
        "HostSystem" => wanted == "VirtualMachine",
        _ => false,
    };
    if in_view {
        return view(Some(holder));
    }
    let property = related(&holder.type_, wanted).ok_or_else(|| nothing_inside(&holder.type_, wanted))?;
    let traversal = TraversalSpec { type_: holder.type_.clone(), path: property.into(), ..Default::default() };
    Ok(Source::Filter(PropertyFilterSpec {
        prop_set: vec![property_spec(wanted, &paths)],
        object_set: vec![ObjectSpec { obj: holder.clone(), skip: Some(true), select_set: vec![Poly::new(traversal)] }],
        ..Default::default()
    }))
}

/// The property of one object that lists others which are not inside of it in the inventory.
fn related(holder: &str, wanted: &str) -> Option<&'static str> {
    let network = is_a(holder, "Network");
    Some(match (holder, wanted) {
        ("HostSystem" | "ComputeResource" | "ClusterComputeResource" | "VirtualMachine", "Datastore") => "datastore",
        (
            "HostSystem" | "ComputeResource" | "ClusterComputeResource" | "VirtualMachine",
            "Network" | "DistributedVirtualPortgroup" | "OpaqueNetwork",
        ) => "network",
        ("Datastore", "VirtualMachine") => "vm",
        (_, "VirtualMachine") if network => "vm",
        (_, "HostSystem") if network => "host",
        ("DistributedVirtualSwitch" | "VmwareDistributedVirtualSwitch", "DistributedVirtualPortgroup") => "portgroup",
        _ => return None,
    })
}

fn nothing_inside(holder: &str, wanted: &str) -> Error {
    invalid("find", format!("a {} does not hold a {}", kind_of(holder), kind_of(wanted)))
}

/// A way down: its name, the type it starts from, the property that leads on, and the ways from there.
type Way = (&'static str, &'static str, &'static str, &'static [&'static str]);

/// The ways down. The trees of a datacenter are kept apart, so that each object is come by on one way: not every server
/// minds the type that a way is for.
const WAYS: [Way; 10] = [
    ("folder", "Folder", "childEntity", &["folder", "vm", "host", "datastore", "network"]),
    ("vm", "Datacenter", "vmFolder", &["in-folder"]),
    ("host", "Datacenter", "hostFolder", &["in-host"]),
    ("datastore", "Datacenter", "datastoreFolder", &["in-folder"]),
    ("network", "Datacenter", "networkFolder", &["in-folder"]),
    ("in-folder", "Folder", "childEntity", &["in-folder"]),
    ("in-host", "Folder", "childEntity", &["in-host", "hosts", "root-pool"]),
    ("hosts", "ComputeResource", "host", &[]),
    ("root-pool", "ComputeResource", "resourcePool", &["pools", "members"]),
    ("pools", "ResourcePool", "resourcePool", &["pools", "members"]),
];

/// A VM in a vApp stands below the vApp's pool, not in a folder.
const MEMBERS: Way = ("members", "VirtualApp", "vm", &[]);

/// The ways down from an object of type `start` to objects of type `wanted`: all the way, or only to its children.
/// `in_host` says that the start is below the folder of hosts.
pub(super) fn ways_down(start: &str, wanted: &str, all_the_way: bool, in_host: bool) -> Vec<Poly<SelectionSpec>> {
    let host_tree = matches!(folder_of(wanted), Some("host")) || in_host;
    let first: &[&str] = match start {
        "Folder" | "StoragePod" if all_the_way && host_tree => &["folder", "in-host"],
        "Folder" | "StoragePod" => &["folder"],
        "Datacenter" => &["vm", "host", "datastore", "network"],
        "ComputeResource" | "ClusterComputeResource" => &["hosts", "root-pool"],
        "ResourcePool" | "VirtualApp" => &["pools", "members"],
        _ => &[],
    };
    ways(first, wanted, all_the_way, &mut Vec::new())
}

/// Ways by name. Each is written out once and then named, beginning with those of one level: a server may look names up
/// as it goes.
fn ways(
    names: &[&'static str],
    wanted: &str,
    onwards: bool,
    written: &mut Vec<&'static str>,
) -> Vec<Poly<SelectionSpec>> {
    let names: Vec<&'static str> = names.iter().copied().filter(|name| leads_to(name, wanted)).collect();
    let new: Vec<&'static str> = names.iter().copied().filter(|name| !written.contains(name)).collect();
    written.extend(&new);
    let mut ways_on = Vec::with_capacity(names.len());
    for name in names {
        let base = SelectionSpec { name: Some(name.to_owned()) };
        let way = WAYS.iter().chain([&MEMBERS]).find(|(other, ..)| *other == name).filter(|_| new.contains(&name));
        ways_on.push(match way {
            None => Poly::new(base),
            Some((_, type_, path, next)) => Poly::new(TraversalSpec {
                base,
                type_: (*type_).to_owned(),
                path: (*path).to_owned(),
                skip: Some(false),
                select_set: if onwards { ways(next, wanted, onwards, written) } else { Vec::new() },
            }),
        });
    }
    ways_on
}

/// Whether a way can lead to objects of a type.
fn leads_to(way: &str, wanted: &str) -> bool {
    let ways: &[&str] = match wanted {
        "Datacenter" => &["folder"],
        "Folder" | "StoragePod" => &["folder", "vm", "host", "datastore", "network", "in-folder", "in-host"],
        "VirtualMachine" => &["folder", "vm", "in-folder", "host", "in-host", "root-pool", "pools", "members"],
        "HostSystem" => &["folder", "host", "in-host", "hosts"],
        "ComputeResource" | "ClusterComputeResource" => &["folder", "host", "in-host"],
        "ResourcePool" | "VirtualApp" => &["folder", "host", "in-host", "root-pool", "pools"],
        "Datastore" => &["folder", "datastore", "in-folder"],
        _ if folder_of(wanted) == Some("network") => &["folder", "network", "in-folder"],
        _ => return true,
    };
    ways.contains(&way)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    #[test]
    fn ids_tell_their_types() {
        for (id, type_) in [
            ("vm-42", Some("VirtualMachine")),
            ("domain-c8", Some("ClusterComputeResource")),
            ("resgroup-v12", Some("VirtualApp")),
            ("resgroup-12", Some("ResourcePool")),
            ("network-o7", Some("OpaqueNetwork")),
            ("vm-", None),
            ("vm-1a", None),
            ("web-1", None),
        ] {
            assert_eq!(type_of_id(id), type_, "{id}");
        }
    }

    #[test]
    fn what_a_container_does_not_hold_is_read_by_a_property_or_refused() {
        let host = ManagedObjectReference::new("HostSystem", "host-1");
        assert!(matches!(below(Some(&host), "VirtualMachine", Vec::new()).unwrap(), Source::View { .. }));
        let Source::Filter(spec) = below(Some(&host), "Datastore", Vec::new()).unwrap() else { panic!("a view") };
        let way = spec.object_set[0].select_set[0].downcast_ref::<TraversalSpec>().unwrap();
        assert_eq!((way.type_.as_str(), way.path.as_str()), ("HostSystem", "datastore"));
        let pool = ManagedObjectReference::new("ResourcePool", "resgroup-1");
        let error = below(Some(&pool), "Datastore", Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "find: a resource pool does not hold a datastore");
    }
}
