//! Managed objects: a handle with its methods, typed property constants, and the tables of properties and methods.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Result;

use super::{House, Place, Shape, names, paths, since};
use crate::ir::{Api, Field, ManagedObject, Method, Ty};

/// Emits all managed objects, and the operations that belong to none.
pub(super) fn emit(shape: &Shape<'_>, house: &mut House) -> Result<()> {
    for object in &shape.api.managed {
        let module = names::module(&object.name);
        house.add("managed", &module, &managed_object(shape, object)?);
        house.objects.insert(module, names::type_name(&object.name));
    }
    if !shape.api.loose.is_empty() {
        // Operations whose managed object no companion names: each takes the handle of its object.
        let mut out = String::new();
        for method in &shape.api.loose {
            out.push_str(&function(shape, method, Receiver::Argument)?);
        }
        out.push_str(&tables(shape, &shape.api.loose, "")?);
        house.add("managed", "loose", &out);
    }
    Ok(())
}

fn managed_object(shape: &Shape<'_>, object: &ManagedObject) -> Result<String> {
    let mut out = String::new();
    let name = names::type_name(&object.name);
    let base = object.base.as_deref().map_or("Handle".to_owned(), names::type_name);
    writeln!(out, "/// The managed object `{}`{}.", object.name, since(object.since.as_deref()))?;
    writeln!(out, "#[derive(Debug, Clone)]\npub struct {name} {{\n    base: {base},\n}}\n")?;
    let own: Vec<String> = object.properties.iter().map(|property| shape.field_info(property)).collect();
    writeln!(out, "managed_object!({name}, {base}, {:?}, [{}]);\n", object.name, own.join(", "))?;
    if !object.methods.is_empty() {
        writeln!(out, "impl {name} {{")?;
        for method in &object.methods {
            out.push_str(&function(shape, method, Receiver::Handle)?);
        }
        writeln!(out, "}}\n")?;
    }
    properties(&mut out, shape, object)?;
    out.push_str(&tables(shape, &object.methods, &object.name)?);
    Ok(out)
}

/// The constants of all properties, inherited ones included, so that one module has all that a reader asks for.
fn properties(out: &mut String, shape: &Shape<'_>, object: &ManagedObject) -> Result<()> {
    let mut used = BTreeSet::new();
    let name = names::type_name(&object.name);
    for owner in lineage(shape.api, object) {
        for field in &owner.properties {
            let constant = names::constant(&field.name);
            used.insert(constant.clone());
            let of = if owner.name == object.name { String::new() } else { format!(" of `{}`", owner.name) };
            let privilege = field.privilege.as_ref().map(|p| format!("; needs `{p}`")).unwrap_or_default();
            writeln!(out, "/// The property `{}`{of}{}{privilege}.", field.name, since(field.since.as_deref()))?;
            writeln!(
                out,
                "pub const {constant}: Property<{name}, {}> = Property::new({:?});",
                shape.value_type(field),
                field.name
            )?;
        }
    }
    for path in paths::of(shape, object) {
        if used.insert(path.constant.clone()) {
            writeln!(out, "/// The property path `{}`.", path.path)?;
            writeln!(
                out,
                "pub const {}: Property<{name}, {}> = Property::new({:?});",
                path.constant, path.value_type, path.path
            )?;
        }
    }
    out.push('\n');
    Ok(())
}

/// The object and what it extends, nearest first.
pub(super) fn lineage<'a>(api: &'a Api, object: &'a ManagedObject) -> Vec<&'a ManagedObject> {
    let mut all = vec![object];
    let mut at = object;
    while let Some(base) = at.base.as_deref().and_then(|base| api.managed.iter().find(|o| o.name == base)) {
        all.push(base);
        at = base;
    }
    all
}

/// Where a method finds the object that it is called on.
#[derive(Clone, Copy, PartialEq)]
enum Receiver {
    Handle,
    Argument,
}

fn function(shape: &Shape<'_>, method: &Method, receiver: Receiver) -> Result<String> {
    let mut out = String::new();
    writeln!(out, "\n    /// {}", summary(method))?;
    if let Some(result) = &method.task_result {
        writeln!(out, "    ///\n    /// The task yields {}.", described(shape, result))?;
    }
    if !method.faults.is_empty() {
        writeln!(
            out,
            "    ///\n    /// Faults: {}.",
            method.faults.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", ")
        )?;
    }
    let this = if receiver == Receiver::Handle { "&self" } else { "object: &Handle" };
    let mut params = vec![this.to_owned()];
    let mut values = Vec::new();
    for param in &method.params {
        let name = names::snake(&param.name);
        let name = if name == "object" && receiver == Receiver::Argument { "object_".to_owned() } else { name };
        params.push(format!("{name}: {}", param_type(shape, param)));
        values.push(param_value(param, &name));
    }
    let result = method.result.as_ref().map_or("()".to_owned(), |result| shape.value_type(result));
    if method.params.len() > 6 {
        writeln!(out, "    #[allow(clippy::too_many_arguments, reason = \"the API's own signature\")]")?;
    }
    // Inlined, so that a method is compiled where it is called, and not 975 of them here.
    writeln!(out, "    #[inline]")?;
    writeln!(out, "    pub fn {}({}) -> Request<{result}> {{", names::snake(&method.name), params.join(", "))?;
    let object = if receiver == Receiver::Handle { "self" } else { "object" };
    writeln!(
        out,
        "        Request::new({object}, &method::{}, &[{}])\n    }}",
        names::constant(&method.name),
        values.join(", ")
    )?;
    Ok(out)
}

fn summary(method: &Method) -> String {
    let privilege = method.privilege.as_ref().map(|p| format!("; needs `{p}`")).unwrap_or_default();
    format!("`{}`{}{privilege}.", method.name, since(method.since.as_deref()))
}

fn described(shape: &Shape<'_>, result: &Field) -> String {
    match &result.target {
        Some(target) => format!("a reference to a `{target}`"),
        None => format!("a `{}`", shape.value_type(result)),
    }
}

fn param_type(shape: &Shape<'_>, param: &Field) -> String {
    let place = shape.place(&param.ty);
    if param.array {
        return match place {
            Place::Leaf(name) | Place::Data(name) => format!("&[{name}]"),
            Place::Poly(name) => format!("&[Poly<{name}>]"),
            Place::Any => "&[Any]".to_owned(),
        };
    }
    let one = match (&param.ty, place) {
        (Ty::String | Ty::Uri, _) => "&str".to_owned(),
        (Ty::Boolean | Ty::Byte | Ty::Short | Ty::Int | Ty::Long | Ty::Float | Ty::Double, Place::Leaf(name)) => name,
        (_, Place::Leaf(name) | Place::Data(name)) => format!("&{name}"),
        (_, Place::Poly(name)) => format!("&Poly<{name}>"),
        (_, Place::Any) => "&Any".to_owned(),
    };
    if param.optional { format!("Option<{one}>") } else { one }
}

fn param_value(param: &Field, name: &str) -> String {
    if param.array {
        return format!("Value::List(&{name})");
    }
    let by_value = matches!(param.ty, Ty::Boolean | Ty::Byte | Ty::Short | Ty::Int | Ty::Long | Ty::Float | Ty::Double);
    match (&param.ty, param.optional) {
        (Ty::String | Ty::Uri, false) => format!("Value::String({name})"),
        (Ty::String | Ty::Uri, true) => format!("{name}.map_or(Value::Unset, Value::String)"),
        (_, true) if by_value => format!("optional(&{name})"),
        (_, false) if by_value => format!("leaf(&{name})"),
        (_, true) => format!("{name}.map_or(Value::Unset, leaf)"),
        (_, false) => format!("leaf({name})"),
    }
}

/// The static descriptions of the methods, for whoever serves, checks or lists them.
fn tables(shape: &Shape<'_>, methods: &[Method], owner: &str) -> Result<String> {
    if methods.is_empty() {
        return Ok(String::new());
    }
    let mut out = String::from("/// The methods, described.\npub mod method {\n    use super::*;\n");
    for method in methods {
        writeln!(out, "\n    /// `{}`.", method.name)?;
        writeln!(out, "    pub static {}: Method = Method {{", names::constant(&method.name))?;
        writeln!(out, "        name: {:?},\n        owner: {owner:?},", method.name)?;
        let params: Vec<String> = method.params.iter().map(|param| shape.field_info(param)).collect();
        writeln!(out, "        params: &[{}],", params.join(", "))?;
        let result = method.result.as_ref().map_or("None".to_owned(), |r| format!("Some({})", shape.field_info(r)));
        writeln!(out, "        result: {result},")?;
        writeln!(
            out,
            "        privilege: {:?},\n        effect: Effect::{:?},\n    }};",
            method.privilege, method.effect
        )?;
    }
    writeln!(out, "}}")?;
    Ok(out)
}
