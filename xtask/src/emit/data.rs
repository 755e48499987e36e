//! Data objects: struct, field table, accessors.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;

use super::{House, Place, Shape, names, since};
use crate::ir::{Api, DataType, Field};

/// Leading words with fewer types than this share a file by letter.
const OWN_FILE: usize = 12;

/// Emits all data objects.
pub(super) fn emit(shape: &Shape<'_>, house: &mut House) -> Result<()> {
    let mut families: BTreeMap<String, usize> = BTreeMap::new();
    for ty in &shape.api.types {
        *families.entry(leading_word(&ty.name)).or_default() += 1;
    }
    for ty in &shape.api.types {
        let letter = ty.name.to_ascii_lowercase().chars().next().unwrap_or('x');
        let folder = folder(shape.api, &ty.name);
        let word = leading_word(&ty.name);
        let module = if folder == "data" && families.get(&word).is_some_and(|count| *count >= OWN_FILE) {
            names::snake(&word)
        } else {
            letter.to_string()
        };
        house.add(folder, &module, &data_type(shape, ty)?);
    }
    Ok(())
}

fn folder(api: &Api, name: &str) -> &'static str {
    if api.is_a(name, "MethodFault") {
        "faults"
    } else if api.is_a(name, "Event") {
        "events"
    } else {
        "data"
    }
}

/// The first word of a type's name: `Host` of `HostConfigInfo`, `VirtualMachine` of its many types.
fn leading_word(name: &str) -> String {
    for family in ["VirtualMachine", "VirtualDisk", "VirtualDevice", "ClusterDas", "HostNumeric"] {
        if name.starts_with(family) {
            return family.to_owned();
        }
    }
    let name = names::type_name(name);
    let end = name.char_indices().skip(1).find(|(_, c)| c.is_ascii_uppercase()).map_or(name.len(), |(at, _)| at);
    name[..end].to_owned()
}

/// One data object type.
fn data_type(shape: &Shape<'_>, ty: &DataType) -> Result<String> {
    let name = names::type_name(&ty.name);
    // A base without fields has nothing to give: it is named in the table only.
    let base = ty.base.as_deref().filter(|base| !shape.api.flattened(base).is_empty() || *base != "DynamicData");
    let mut out = String::new();
    writeln!(out, "/// `{}`{}.", ty.name, since(ty.since.as_deref()))?;
    writeln!(out, "#[derive(Clone, Default, PartialEq)]\npub struct {name} {{")?;
    if let Some(base) = base {
        let base = names::type_name(base);
        writeln!(out, "    /// What it inherits from [`{base}`].\n    pub base: {base},")?;
    }
    for field in &ty.fields {
        writeln!(
            out,
            "    /// {}\n    pub {}: {},",
            field_doc(field),
            names::snake(&field.name),
            field_type(shape, ty, field)
        )?;
    }
    writeln!(out, "}}\n")?;

    let parent = ty.base.as_deref().map_or("None".to_owned(), |base| format!("Some({}::INFO)", names::type_name(base)));
    writeln!(out, "impl DataType for {name} {{\n    const INFO: &'static TypeInfo = {{")?;
    writeln!(out, "        static INFO: TypeInfo = TypeInfo::new({:?}, {parent}, &[", ty.name)?;
    for field in &ty.fields {
        writeln!(out, "            {},", shape.field_info(field))?;
    }
    writeln!(out, "        ], || Box::new({name}::default()));\n        &INFO\n    }};\n}}\n")?;

    writeln!(
        out,
        "impl DataObject for {name} {{\n    fn info(&self) -> &'static TypeInfo {{\n        Self::INFO\n    }}\n"
    )?;
    let first = ty.base.as_deref().map_or(0, |base| shape.api.flattened(base).len());
    accessors(&mut out, shape, ty, base.is_some(), first)?;
    if base.is_some() {
        writeln!(out, "\n    fn base(&self) -> Option<&dyn DataObject> {{\n        Some(&self.base)\n    }}\n")?;
        writeln!(
            out,
            "    fn base_mut(&mut self) -> Option<&mut dyn DataObject> {{\n        Some(&mut self.base)\n    }}"
        )?;
    }
    writeln!(out, "}}\n")?;
    match base {
        Some(base) => writeln!(out, "inherit!({name}, {});", names::type_name(base))?,
        None => writeln!(out, "root!({name});")?,
    }
    for ancestor in shape.api.ancestors(&ty.name) {
        if ancestor != "DynamicData" {
            writeln!(out, "impl Extends<{}> for {name} {{}}", names::type_name(ancestor))?;
        }
    }
    Ok(out)
}

fn accessors(out: &mut String, shape: &Shape<'_>, ty: &DataType, has_base: bool, first: usize) -> Result<()> {
    let (unset, none, index) = match (has_base, ty.fields.is_empty()) {
        (true, _) => ("self.base.get(index)", "self.base.slot(index)", "index"),
        (false, false) => ("Value::Unset", "Slot::None", "index"),
        (false, true) => ("Value::Unset", "Slot::None", "_"),
    };
    writeln!(out, "    fn get(&self, {index}: usize) -> Value<'_> {{")?;
    if ty.fields.is_empty() {
        writeln!(out, "        {unset}\n    }}\n")?;
        writeln!(out, "    fn slot(&mut self, {index}: usize) -> Slot<'_> {{\n        {none}\n    }}")?;
        return Ok(());
    }
    writeln!(out, "        match index {{")?;
    for (index, field) in ty.fields.iter().enumerate() {
        writeln!(out, "            {} => {},", first + index, look(shape, ty, field))?;
    }
    writeln!(out, "            _ => {unset},\n        }}\n    }}\n")?;
    writeln!(out, "    fn slot(&mut self, index: usize) -> Slot<'_> {{\n        match index {{")?;
    for (index, field) in ty.fields.iter().enumerate() {
        writeln!(out, "            {} => {},", first + index, slot(shape, ty, field))?;
    }
    writeln!(out, "            _ => {none},\n        }}\n    }}")?;
    Ok(())
}

/// The Rust type of a field. An optional object is boxed, so that one that is not set costs a pointer.
fn field_type(shape: &Shape<'_>, ty: &DataType, field: &Field) -> String {
    match shape.place(&field.ty) {
        Place::Data(name) if !field.array && field.optional => format!("Option<Box<{name}>>"),
        Place::Data(name) if boxed(shape, ty, field) => format!("Box<{name}>"),
        _ => shape.value_type(field),
    }
}

fn boxed(shape: &Shape<'_>, ty: &DataType, field: &Field) -> bool {
    shape.recursive.contains(&(ty.name.as_str(), field.name.as_str()))
}

/// The arm of `get`.
fn look(shape: &Shape<'_>, ty: &DataType, field: &Field) -> String {
    let name = names::snake(&field.name);
    if field.array {
        return format!("Value::List(&self.{name})");
    }
    match (shape.place(&field.ty), field.optional) {
        (Place::Data(_), true) => {
            format!("match &self.{name} {{ Some(data) => Value::Data(&**data), None => Value::Unset }}")
        }
        (Place::Data(_), false) if boxed(shape, ty, field) => format!("Value::Data(&*self.{name})"),
        (Place::Data(_), false) => format!("Value::Data(&self.{name})"),
        (_, true) => format!("optional(&self.{name})"),
        (_, false) => format!("leaf(&self.{name})"),
    }
}

/// The arm of `slot`.
fn slot(shape: &Shape<'_>, ty: &DataType, field: &Field) -> String {
    let name = names::snake(&field.name);
    match shape.place(&field.ty) {
        Place::Leaf(_) => format!("Slot::Scalar(&mut self.{name})"),
        Place::Poly(_) => format!("Slot::Poly(&mut self.{name})"),
        Place::Any => format!("Slot::Any(&mut self.{name})"),
        Place::Data(_) if field.array => format!("Slot::List(&mut self.{name})"),
        Place::Data(_) if boxed(shape, ty, field) => format!("Slot::Data(&mut *self.{name})"),
        Place::Data(_) if !field.optional => format!("Slot::Data(&mut self.{name})"),
        Place::Data(of) => format!("fill!(self.{name}, {of})"),
    }
}

/// One line of facts: wire name, version, what a reference points at.
fn field_doc(field: &Field) -> String {
    let mut doc = format!("`{}`{}", field.name, since(field.since.as_deref()));
    if let Some(target) = &field.target {
        let _ = write!(doc, "; names a `{target}`");
    }
    if let Some(fault) = &field.fault {
        let _ = write!(doc, "; a `{fault}`");
    }
    if field.secret {
        doc.push_str("; a secret");
    }
    doc.push('.');
    doc
}
