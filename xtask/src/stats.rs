//! `cargo xtask stats`: counts what a WSDL describes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::ir::{Api, DataType, Field, Method, Ty};
use crate::read_api;

/// Options of `stats`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory of the WSDL; the workspace's wsdl/ when not given.
    #[arg(long, value_name = "DIR")]
    wsdl: Option<PathBuf>,
}

/// Prints one `name: value` a line.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let api = read_api(args.wsdl.as_deref())?;
    if let Some(version) = &api.version {
        println!("version: {version}");
    }
    for (name, value) in count(&api) {
        println!("{name}: {value}");
    }
    for cost in &api.costs {
        eprintln!("note: {cost}");
    }
    Ok(())
}

/// The counts, by name. A position is an own field of a data type, a parameter or a result.
pub(crate) fn count(api: &Api) -> Vec<(&'static str, usize)> {
    let own: Vec<&Field> = api.types.iter().flat_map(|ty| &ty.fields).collect();
    let of_objects = api.managed.iter().flat_map(|object| &object.methods);
    let methods: Vec<&Method> = of_objects.chain(&api.loose).collect();
    let signatures = methods.iter().flat_map(|method| method.params.iter().chain(&method.result));
    let positions: Vec<&Field> = own.iter().copied().chain(signatures).collect();
    let bases: Vec<&str> = positions.iter().filter_map(|field| polymorphic(api, field)).collect();
    let is_fault = |ty: &&DataType| api.is_a(&ty.name, "MethodFault");
    let widths: Vec<usize> = api.types.iter().map(|ty| api.flattened(&ty.name).len()).collect();
    let depths = api.types.iter().map(|ty| api.ancestors(&ty.name).len() + 1);
    vec![
        ("types", api.types.len()),
        ("own fields", own.len()),
        ("flattened fields", widths.iter().sum()),
        ("fields of the biggest type", widths.iter().copied().max().unwrap_or(0)),
        ("types with subtypes", api.types.iter().filter(|ty| api.is_polymorphic(&ty.name)).count()),
        ("deepest inheritance", depths.max().unwrap_or(0)),
        ("types that contain themselves", api.self_containing().len()),
        ("enums", api.enums.len()),
        ("enum values", api.enums.iter().map(|ty| ty.values.len()).sum()),
        ("managed objects", api.managed.len()),
        ("properties", api.managed.iter().map(|object| object.properties.len()).sum()),
        ("methods", methods.len()),
        ("tasks", methods.iter().filter(|method| method.name.ends_with("_Task")).count()),
        ("faults", api.types.iter().filter(is_fault).count()),
        ("events", api.descendants("Event").len()),
        ("secrets", own.iter().filter(|field| field.secret).count()),
        ("polymorphic positions", bases.len()),
        ("polymorphic base types", bases.iter().collect::<BTreeSet<_>>().len()),
        ("any positions", positions.iter().filter(|field| field.ty == Ty::Any).count()),
    ]
}

/// The declared type of a field in whose place a value of another type may stand.
fn polymorphic<'a>(api: &Api, field: &'a Field) -> Option<&'a str> {
    match &field.ty {
        Ty::Data(name) if api.is_polymorphic(name) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known of 9.1.1.0 by other means than this reader.
    #[test]
    fn the_committed_wsdl_holds_all_of_9_1_1_0() {
        let api = read_api(None).unwrap();
        assert_eq!(api.version.as_deref(), Some("9.1.1.0"));
        assert_eq!(api.costs, [""; 0]);
        assert!(api.loose.is_empty());
        let expected = [
            ("types", 3030),
            ("own fields", 7818),
            ("flattened fields", 19_414),
            ("fields of the biggest type", 166),
            ("types with subtypes", 354),
            ("deepest inheritance", 7),
            ("types that contain themselves", 10),
            ("enums", 446),
            ("enum values", 2088),
            ("managed objects", 140),
            ("properties", 266),
            ("methods", 975),
            ("tasks", 249),
            ("faults", 699),
            ("events", 442),
            ("secrets", 25),
            ("polymorphic positions", 362),
            ("polymorphic base types", 139),
            ("any positions", 19),
        ];
        assert_eq!(count(&api), expected);
        for (base, descendants) in [("DynamicData", 2328), ("VirtualDevice", 46), ("VirtualDeviceBackingInfo", 47)] {
            assert_eq!(api.descendants(base).len(), descendants, "{base}");
        }
        assert!(api.is_a("VirtualE1000", "VirtualDevice"));
        assert!(!api.is_a("VirtualDevice", "VirtualE1000"));
    }
}
