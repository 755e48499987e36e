//! Data objects: struct, field table, accessors.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;

use super::{House, Place, Shape, names, since};
use crate::ir::{Api, DataType, Field, Ty};

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
    writeln!(out, "pub struct {name} {{")?;
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

    writeln!(out, "impl Default for {name} {{\n    fn default() -> Self {{\n        Self {{")?;
    if let Some(base) = base {
        writeln!(out, "            base: <{} as Default>::default(),", names::type_name(base))?;
    }
    for field in &ty.fields {
        writeln!(out, "            {}: {},", names::snake(&field.name), unset(shape, ty, field))?;
    }
    writeln!(out, "        }}\n    }}\n}}\n")?;

    let parent = ty
        .base
        .as_deref()
        .map_or("None".to_owned(), |base| format!("Some(<{} as DataType>::INFO)", names::type_name(base)));
    writeln!(out, "impl DataType for {name} {{\n    const INFO: &'static TypeInfo = {{")?;
    writeln!(out, "        static INFO: TypeInfo = TypeInfo::new({:?}, {parent}, &[", ty.name)?;
    for field in &ty.fields {
        writeln!(out, "            {},", shape.own_field(field))?;
    }
    writeln!(out, "        ], instance::<{name}>);\n        &INFO\n    }};\n}}\n")?;

    writeln!(
        out,
        "impl DataObject for {name} {{\n    fn info(&self) -> &'static TypeInfo {{\n        <Self as DataType>::INFO\n    }}\n"
    )?;
    let first = ty.base.as_deref().map_or(0, |base| shape.api.flattened(base).len());
    accessors(&mut out, shape, ty, base.is_some(), first)?;
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
    let (get, slot) = if has_base {
        (
            "            BASE => Value::Data(&self.base),\n            _ => DataObject::get(&self.base, index),",
            "            BASE => Slot::Data(&mut self.base),\n            _ => DataObject::slot(&mut self.base, index),",
        )
    } else {
        ("            _ => Value::Unset,", "            _ => Slot::None,")
    };
    if ty.fields.is_empty() && !has_base {
        writeln!(out, "    fn get(&self, _: usize) -> Value<'_> {{\n        Value::Unset\n    }}\n")?;
        writeln!(out, "    fn slot(&mut self, _: usize) -> Slot<'_> {{\n        Slot::None\n    }}")?;
        return Ok(());
    }
    writeln!(out, "    fn get(&self, index: usize) -> Value<'_> {{\n        match index {{")?;
    for (index, field) in ty.fields.iter().enumerate() {
        writeln!(out, "            {} => {},", first + index, look(shape, ty, field))?;
    }
    writeln!(out, "{get}\n        }}\n    }}\n")?;
    writeln!(out, "    fn slot(&mut self, index: usize) -> Slot<'_> {{\n        match index {{")?;
    for (index, field) in ty.fields.iter().enumerate() {
        writeln!(out, "            {} => {},", first + index, self::slot(shape, ty, field))?;
    }
    writeln!(out, "{slot}\n        }}\n    }}")?;
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

/// A field with nothing in it. (What is a constant costs less to compile than a call.)
fn unset(shape: &Shape<'_>, ty: &DataType, field: &Field) -> String {
    if field.array {
        return "Unset::UNSET".to_owned();
    }
    if field.optional {
        return "None".to_owned();
    }
    match (shape.place(&field.ty), &field.ty) {
        (Place::Data(name), _) if boxed(shape, ty, field) => format!("Box::new(<{name} as Default>::default())"),
        (Place::Any, _) => "Any::Unset".to_owned(),
        (_, Ty::Boolean) => "false".to_owned(),
        (_, Ty::Byte | Ty::Short | Ty::Int | Ty::Long) => "0".to_owned(),
        (_, Ty::Float | Ty::Double) => "0.0".to_owned(),
        (_, Ty::String | Ty::Uri | Ty::Binary | Ty::Ref) => "Unset::UNSET".to_owned(),
        (Place::Leaf(name), Ty::Enum(_)) => format!("{name}::Unrecognized(Unset::UNSET)"),
        (Place::Poly(name), _) => format!("<Poly<{name}> as Default>::default()"),
        (Place::Data(name) | Place::Leaf(name), _) => format!("<{name} as Default>::default()"),
    }
}

/// The arm of `get`.
fn look(shape: &Shape<'_>, ty: &DataType, field: &Field) -> String {
    let name = names::snake(&field.name);
    match (shape.place(&field.ty), frequent(field)) {
        (_, Some(function)) => match function {
            "boolean" => format!("Value::Boolean(self.{name})"),
            "int" => format!("Value::Int(self.{name})"),
            "long" => format!("Value::Long(self.{name})"),
            function => format!("look::{function}(&self.{name})"),
        },
        _ if field.array => format!("Value::List(&self.{name})"),
        (Place::Data(_), _) if field.optional => format!("look::boxed(&self.{name})"),
        (Place::Data(_), _) if boxed(shape, ty, field) => format!("Value::Data(&*self.{name})"),
        (Place::Data(_), _) => format!("Value::Data(&self.{name})"),
        _ if field.optional => format!("look::optional(&self.{name})"),
        _ => format!("look::leaf(&self.{name})"),
    }
}

/// The arm of `slot`.
fn slot(shape: &Shape<'_>, ty: &DataType, field: &Field) -> String {
    let name = names::snake(&field.name);
    if let Some(function) = frequent(field) {
        return format!("place::{function}(&mut self.{name})");
    }
    match shape.place(&field.ty) {
        Place::Leaf(_) => format!("Slot::Scalar(&mut self.{name})"),
        Place::Poly(_) => format!("Slot::Poly(&mut self.{name})"),
        Place::Any => format!("Slot::Any(&mut self.{name})"),
        Place::Data(_) if field.array => format!("Slot::List(&mut self.{name})"),
        Place::Data(_) if field.optional => format!("place::boxed(&mut self.{name})"),
        Place::Data(_) if boxed(shape, ty, field) => format!("Slot::Data(&mut *self.{name})"),
        Place::Data(_) => format!("Slot::Data(&mut self.{name})"),
    }
}

/// The function of `look` and `place` for a type of field that is frequent enough to have one.
fn frequent(field: &Field) -> Option<&'static str> {
    Some(match (&field.ty, field.array, field.optional) {
        (Ty::String | Ty::Uri, true, _) => "texts",
        (_, true, _) => return None,
        (Ty::String | Ty::Uri, _, false) => "text",
        (Ty::String | Ty::Uri, _, true) => "optional_text",
        (Ty::Ref, _, false) => "reference",
        (Ty::Ref, _, true) => "optional_reference",
        (Ty::Boolean, _, false) => "boolean",
        (Ty::Boolean, _, true) => "optional_boolean",
        (Ty::Int, _, false) => "int",
        (Ty::Int, _, true) => "optional_int",
        (Ty::Long, _, false) => "long",
        (Ty::Long, _, true) => "optional_long",
        _ => return None,
    })
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
