//! The values of properties, as XML.

use vsphere_soap::codec::Encoder;
use vsphere_soap::object::{FieldInfo, Item as _, Type, Value, path};

use super::select::Spec;
use crate::fault::{Fault, Outcome};
use crate::rights;
use crate::world::{Look, Moref, Prop, World};

/// Writes an `ObjectContent`: the object, the properties that the filter asks for, and what could not be read of them.
pub(super) fn content(
    world: &World,
    object: &Moref,
    spec: &Spec,
    session: Option<&str>,
    element: &str,
    out: &mut Encoder,
) -> Outcome<()> {
    let Some(found) = world.find(object) else { return Ok(()) };
    out.raw("<");
    out.raw(element);
    out.raw(">");
    out.field(&OBJ, object.value());
    let mut missing = Vec::new();
    for path in spec.paths(found.info()).unwrap_or_default() {
        let start = out.mark();
        out.raw("<propSet>");
        out.field(&NAME, Value::String(path));
        let empty = out.mark();
        match property(world, object, path, session, "val", out) {
            Ok(()) if out.mark() > empty => out.raw("</propSet>"),
            outcome => {
                out.rewind(start);
                missing.extend(outcome.err().map(|fault| (path, fault)));
            }
        }
    }
    for (path, fault) in missing {
        self::missing(path, &fault, out);
    }
    out.raw("</");
    out.raw(element);
    out.raw(">");
    Ok(())
}

/// Writes a `MissingProperty`: what could not be read, and why.
pub(super) fn missing(path: &str, fault: &Fault, out: &mut Encoder) {
    out.raw("<missingSet>");
    out.field(&PATH, Value::String(path));
    out.field(&FAULT, fault.localized().value());
    out.raw("</missingSet>");
}

/// Writes the value of a property, or of a path into one, as an element of this name; nothing where it is not set.
///
/// # Errors
/// `ManagedObjectNotFound`, `InvalidProperty`, and `NoPermission` where the caller may see that the object is there and
/// nothing of it.
pub(super) fn property(
    world: &World,
    object: &Moref,
    path: &str,
    session: Option<&str>,
    element: &str,
    out: &mut Encoder,
) -> Outcome<()> {
    let found = world.find(object).ok_or_else(|| Fault::not_found(object))?;
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (first, rest) = path.split_at(end);
    let declared = found.info().property(first).ok_or_else(|| Fault::invalid_property(path))?;
    if !world.may_read(object, first, session) {
        let privilege = rights::to_read(object, first);
        return Err(match session {
            None => Fault::not_authenticated(object, privilege),
            Some(_) => Fault::no_permission(object, privilege),
        });
    }
    let look = Look { world, me: object, session };
    if rest.is_empty() {
        out.typed(element, declared, found.read(&look, first).value());
        return Ok(());
    }
    let inner = rest.strip_prefix('.').ok_or_else(|| Fault::invalid_property(path))?;
    inside(&found.read_for(&look, first, inner), inner, path, element, out)
}

/// Writes what a path leads to inside of a property: `hardware.device[4000]`.
fn inside(property: &Prop<'_>, inner: &str, path: &str, element: &str, out: &mut Encoder) -> Outcome<()> {
    let data = match property.value() {
        Value::Data(data) => data,
        Value::Poly(object) => object.data(),
        Value::Unset => return Ok(()),
        _ => return Err(Fault::invalid_property(path)),
    };
    match path::get_field(data, inner) {
        Ok(Some((field, value))) => out.typed(element, &field, value),
        Ok(None) => {}
        Err(_) => return Err(Fault::invalid_property(path)),
    }
    Ok(())
}

const OBJ: FieldInfo = FieldInfo::req("obj", Type::Ref);
const NAME: FieldInfo = FieldInfo::req("name", Type::String);
const PATH: FieldInfo = FieldInfo::req("path", Type::String);
const FAULT: FieldInfo = FieldInfo::req("fault", Type::Any);
