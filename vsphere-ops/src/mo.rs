//! A managed object that is known by reference: to read it, to call it, to print it.

use std::fmt;
use std::ops::Deref;

use vsphere_model::types::{ManagedObjectReference, ObjectSpec, PropertyFilterSpec, PropertySpec};
use vsphere_soap::request::ManagedObject;

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::find::Query;
use crate::read::{self, Select, Values};

/// A managed object of type `M` on the server of a client.
///
/// It derefs to the API's own handle, so that every method of the API is there; the methods of this crate wait for
/// tasks, read typed properties, and name the object in their errors.
#[derive(Clone)]
pub struct Mo<M> {
    client: Client,
    raw: M,
    name: Option<String>,
}

impl<M: ManagedObject> Mo<M> {
    pub(crate) fn new(client: &Client, reference: &ManagedObjectReference, name: Option<String>) -> Self {
        Self { client: client.clone(), raw: client.raw(reference), name }
    }

    /// The reference (moref).
    pub fn reference(&self) -> &ManagedObjectReference {
        self.raw.handle().reference()
    }

    /// The managed object id (`vm-42`).
    pub fn id(&self) -> &str {
        &self.reference().value
    }

    /// The client that it belongs to.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What it is called in messages: its name where that is known, else its id.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(self.id())
    }

    /// Reads properties of this object.
    ///
    /// # Errors
    /// `not_found` where the object is gone, `permission` where a required property can't be read.
    pub async fn read<S: Select<M>>(&self, select: S) -> Result<S::Row> {
        let mut paths = Vec::new();
        select.paths(&mut paths);
        let spec = PropertyFilterSpec {
            prop_set: vec![PropertySpec {
                type_: M::NAME.to_owned(),
                path_set: paths.iter().map(|path| (*path).to_owned()).collect(),
                ..Default::default()
            }],
            object_set: vec![ObjectSpec { obj: self.reference().clone(), ..Default::default() }],
            ..Default::default()
        };
        let operation = |error: Error| error.in_operation("read").on(self.label());
        let objects = read::retrieve(&self.client, spec).await.map_err(operation)?;
        let content = objects.into_iter().next().ok_or_else(|| {
            operation(Error::new("read", ErrorKind::NotFound(format!("there is no {} with this id", M::NAME))))
        })?;
        let mut values = Values::new(content.prop_set, content.missing_set);
        select
            .row(&mut values)
            .map_err(|missing| operation(Error::new("read", ErrorKind::Unreadable(missing.to_string()))))
    }

    /// All objects of type `N` below this one.
    pub fn all<N: ManagedObject>(&self) -> Query<N> {
        Query::new(&self.client, Some(self.reference().clone()), None)
    }

    /// The objects of type `N` below this one whose name fits the glob `name`.
    pub fn find<N: ManagedObject>(&self, name: &str) -> Query<N> {
        Query::new(&self.client, Some(self.reference().clone()), Some(name.to_owned()))
    }
}

impl<M> Deref for Mo<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.raw
    }
}

impl<M: ManagedObject> fmt::Display for Mo<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl<M: ManagedObject> fmt::Debug for Mo<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reference())
    }
}
