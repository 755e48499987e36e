//! A property filter: a selection, and what the client was last told of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use vsphere_model::managed;
use vsphere_model::types::{MissingObject, PropertyFilterSpec};
use vsphere_soap::codec::Encoder;
use vsphere_soap::object::{DataType, FieldInfo, Item as _, ManagedInfo, ManagedType as _, Type, Value};

use super::read;
use super::select::{self, Spec};
use crate::fault::Fault;
use crate::world::{Look, Managed, Moref, Prop, World};

/// A property filter.
pub(crate) struct Filter {
    given: PropertyFilterSpec,
    spec: Spec,
    /// The collector that it belongs to.
    pub(super) collector: Moref,
    pub(super) told: Told,
}

/// What the client knows.
#[derive(Default)]
pub(super) struct Told {
    /// The world's version when it was told.
    version: u64,
    /// Each object that it knows of, with a hash of each value: enough to see what changed, at eight bytes a value.
    objects: HashMap<String, Known>,
}

struct Known {
    reference: Moref,
    values: HashMap<String, u64>,
}

/// An `ObjectUpdate`, or a `MissingObject`, as XML.
pub(super) struct Update {
    pub(super) xml: Encoder,
    /// It tells that an object is not there.
    pub(super) is_missing: bool,
}

impl Update {
    fn of(xml: Encoder) -> Self {
        Self { xml, is_missing: false }
    }

    fn missing(object: &Moref) -> Self {
        let mut xml = Encoder::new();
        let fault = Fault::not_found(object).localized();
        xml.field(&MISSING, MissingObject { obj: object.clone(), fault }.value());
        Self { xml, is_missing: true }
    }
}

impl Filter {
    pub(super) fn new(given: PropertyFilterSpec, spec: Spec, collector: &Moref) -> Self {
        Self { given, spec, collector: collector.clone(), told: Told::default() }
    }

    /// What changed since the client was last told, an update per object. It counts as told from now on.
    pub(super) fn updates(&self, world: &World, session: &str, told: &mut Told) -> Vec<Update> {
        let before = std::mem::replace(&mut told.version, world.version());
        if before == told.version {
            return Vec::new();
        }
        // A selection that fails now (its root was deleted) selects nothing.
        let selected = select::select(world, &self.spec, Some(session)).unwrap_or_default();
        let mut updates = Vec::new();
        let mut gone: HashMap<String, Known> = std::mem::take(&mut told.objects);
        for object in selected {
            let known = gone.remove(&object.value);
            let entered = known.is_none();
            let mut known = known.unwrap_or_else(|| Known { reference: object.clone(), values: HashMap::new() });
            if entered || world.changed_since(&object, before) {
                let kind = if entered { "enter" } else { "modify" };
                let mut xml = open(kind, &object);
                if self.changes(world, &object, session, &mut known, &mut xml) || entered {
                    xml.raw("</objectSet>");
                    updates.push(Update::of(xml));
                }
            }
            told.objects.insert(object.value, known);
        }
        let mut gone: Vec<Moref> = gone.into_values().map(|known| known.reference).collect();
        gone.sort();
        for object in gone {
            let mut xml = open("leave", &object);
            xml.raw("</objectSet>");
            updates.push(Update::of(xml));
        }
        if before == 0 {
            updates.extend(self.spec.missing(world, session).map(Update::missing));
        }
        updates
    }

    /// Writes the properties of an object whose values are not what the client knows; says whether there are any.
    fn changes(&self, world: &World, object: &Moref, session: &str, known: &mut Known, out: &mut Encoder) -> bool {
        let Some(found) = world.find(object) else { return false };
        let mut any = false;
        let mut missing: Vec<(&str, Fault)> = Vec::new();
        for path in self.spec.paths(found.info()).unwrap_or_default() {
            let start = out.mark();
            out.raw("<changeSet>");
            out.field(&NAME, Value::String(path));
            out.raw("<op>assign</op>");
            let value = out.mark();
            let outcome = read::property(world, object, path, Some(session), "val", out);
            let hash = hash(out.since(value));
            let empty = out.mark() == value;
            match (outcome, known.values.entry(path.to_owned())) {
                (Err(fault), _) => {
                    out.rewind(start);
                    missing.push((path, fault));
                }
                (Ok(()), Entry::Occupied(entry)) if *entry.get() == hash => out.rewind(start),
                (Ok(()), Entry::Vacant(_)) if empty => out.rewind(start),
                (Ok(()), entry) => {
                    // A value that was there and is not set any more is told as a change without a value.
                    entry.insert_entry(hash);
                    out.raw("</changeSet>");
                    any = true;
                }
            }
        }
        if known.values.is_empty() {
            for (path, fault) in missing {
                read::missing(path, &fault, out);
            }
        }
        any
    }
}

fn open(kind: &str, object: &Moref) -> Encoder {
    let mut xml = Encoder::new();
    xml.raw("<objectSet><kind>");
    xml.raw(kind);
    xml.raw("</kind>");
    xml.field(&OBJ, object.value());
    xml
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Managed for Filter {
    fn info(&self) -> &'static ManagedInfo {
        managed::PropertyFilter::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "spec" => Prop::kept(&self.given),
            "partialUpdates" => Prop::made(false),
            _ => Prop::UNSET,
        }
    }
}

const MISSING: FieldInfo = FieldInfo::req("missingSet", Type::Data(<MissingObject as DataType>::INFO));
const OBJ: FieldInfo = FieldInfo::req("obj", Type::Ref);
const NAME: FieldInfo = FieldInfo::req("name", Type::String);
