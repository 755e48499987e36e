//! The objects of an inventory as one read has them, and what it did not tell.

use std::collections::{BTreeMap, HashMap};

use vsphere_model::types::{InvalidProperty, ManagedObjectReference, ObjectContent};
use vsphere_soap::object::FromAny;

use super::Subject;
use crate::client::Client;
use crate::error::Result;
use crate::gaps::Gaps;
use crate::name;
use crate::read::{self, Missing, Source, Values, is_within};

/// An object with the properties that were asked for.
pub(super) struct Seen {
    pub(super) reference: ManagedObjectReference,
    pub(super) subject: Subject,
    values: Values,
}

impl Seen {
    pub(super) fn new(content: ObjectContent) -> Self {
        let mut values = Values::new(content.prop_set, content.missing_set);
        let name = values.take::<Option<String>>("name").ok().flatten();
        let subject = Subject::new(&content.obj, name.as_deref().map(name::decode));
        Self { reference: content.obj, subject, values }
    }

    /// The value of a property, where it has one.
    pub(super) fn take<T: FromAny>(&mut self, path: &'static str) -> Option<T> {
        self.values.take::<Option<T>>(path).ok().flatten()
    }

    /// What the server refused to tell of it.
    fn refused(&self) -> Vec<Missing> {
        self.values.refused()
    }

    /// Whether the server refused to tell this property, or what it is in.
    pub(super) fn is_refused(&self, path: &str) -> bool {
        self.refused().iter().any(|missing| is_within(path, &missing.path))
    }
}

/// Objects by their type, and what could not be read of them.
pub(super) struct World {
    pub(super) objects: HashMap<String, Vec<Seen>>,
}

impl World {
    /// Reads the names and these properties of all objects of these types at once.
    pub(super) async fn read(
        client: &Client,
        types: &[(&'static str, &[&'static str])],
        gaps: &mut Gaps,
    ) -> Result<Self> {
        let with_name = |paths: &[&'static str]| {
            std::iter::once("name").chain(paths.iter().copied()).map(str::to_owned).collect::<Vec<_>>()
        };
        let types = types.iter().map(|(type_, paths)| (*type_, with_name(paths))).collect();
        let mut source = Source::View { container: None, types };
        let contents = loop {
            match read::at_once(client, source.clone()).await {
                // An older server refuses all for the sake of a property that it does not know.
                Err(error) => match error.fault::<InvalidProperty>().filter(|fault| source.leave_out(&fault.name)) {
                    Some(fault) => gaps.lacks(&fault.name, "this server is too old to tell it"),
                    None => return Err(error),
                },
                Ok(contents) => break contents,
            }
        };
        let mut objects: HashMap<String, Vec<Seen>> = HashMap::new();
        for content in contents {
            let seen = Seen::new(content);
            seen.refused().into_iter().for_each(|missing| gaps.note(missing));
            objects.entry(seen.reference.type_.clone()).or_default().push(seen);
        }
        Ok(Self { objects })
    }

    pub(super) fn take(&mut self, type_: &str) -> Vec<Seen> {
        self.objects.remove(type_).unwrap_or_default()
    }
}

/// What was not looked at, with the number of objects and the reason.
#[derive(Default)]
pub(super) struct Unseen(BTreeMap<(&'static str, &'static str), usize>);

impl Unseen {
    /// Of one more object this was not looked at.
    pub(super) fn note(&mut self, what: &'static str, why: &'static str) {
        *self.0.entry((what, why)).or_default() += 1;
    }

    pub(super) fn tell(self, gaps: &mut Gaps) {
        for ((what, why), count) in self.0 {
            gaps.lacks(&format!("{what} ({count})"), why);
        }
    }
}
