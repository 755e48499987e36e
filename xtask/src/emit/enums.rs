//! Enumerations.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::{House, names, since};
use crate::ir::{Api, EnumType};

/// The variant that keeps a value that the model does not know.
const UNKNOWN: &str = "Unrecognized";

/// Emits all enumerations.
pub(super) fn emit(api: &Api, house: &mut House) -> Result<()> {
    for ty in &api.enums {
        let letter = ty.name.to_ascii_lowercase().chars().next().unwrap_or('x');
        house.add("enums", &letter.to_string(), &enum_type(ty)?);
        house.enums.push(names::type_name(&ty.name));
    }
    house.enums.sort();
    Ok(())
}

fn enum_type(ty: &EnumType) -> Result<String> {
    let mut out = String::new();
    let name = names::type_name(&ty.name);
    writeln!(out, "enum_type! {{\n    /// `{}`{}.", ty.name, since(ty.since.as_deref()))?;
    writeln!(out, "    {name} = {:?} {{", ty.name)?;
    let mut used = BTreeSet::from([UNKNOWN.to_owned()]);
    for value in &ty.values {
        let mut variant = names::variant(value);
        // Two values of one spelling get numbers, in the order of the schema.
        let plain = variant.clone();
        let mut number = 2;
        while !used.insert(variant.clone()) {
            variant = format!("{plain}{number}");
            number += 1;
            if number > 99 {
                bail!("enumeration {}: no name is left for the value {value:?}", ty.name);
            }
        }
        writeln!(out, "        {variant} = {value:?},")?;
    }
    writeln!(out, "    }}\n}}")?;
    Ok(out)
}
