//! Typed reads: which properties, and how their values become a row.

use std::fmt;

use vsphere_model::managed::PropertyCollector;
use vsphere_model::types::{
    Any, DynamicProperty, ManagedObjectReference, MissingProperty, ObjectContent, PropertyFilterSpec, RetrieveOptions,
};
use vsphere_soap::object::{FromAny, Property};

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};

/// What to read of objects of type `M`: a property, or a tuple of them.
pub trait Select<M> {
    /// What a read gives for each object.
    type Row;

    /// Appends the paths of the properties.
    fn paths(&self, paths: &mut Vec<&'static str>);

    /// Takes the row out of the values.
    ///
    /// # Errors
    /// A required property has no value.
    fn row(&self, values: &mut Values) -> Result<Self::Row, Missing>;
}

impl<M, T: FromAny> Select<M> for Property<M, T> {
    type Row = T;

    fn paths(&self, paths: &mut Vec<&'static str>) {
        paths.push(self.path());
    }

    fn row(&self, values: &mut Values) -> Result<T, Missing> {
        values.take(self.path())
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)*) => {$(
        impl<M, $($name: Select<M>),+> Select<M> for ($($name,)+) {
            type Row = ($($name::Row,)+);

            fn paths(&self, paths: &mut Vec<&'static str>) {
                #[allow(non_snake_case, reason = "one variable per type parameter")]
                let ($($name,)+) = self;
                $($name.paths(paths);)+
            }

            fn row(&self, values: &mut Values) -> Result<Self::Row, Missing> {
                #[allow(non_snake_case, reason = "one variable per type parameter")]
                let ($($name,)+) = self;
                Ok(($($name.row(values)?,)+))
            }
        }
    )*};
}

tuples! {
    A; A B; A B C; A B C D; A B C D E; A B C D E F; A B C D E F G; A B C D E F G H; A B C D E F G H I;
    A B C D E F G H I J; A B C D E F G H I J K; A B C D E F G H I J K L;
}

/// The values that the server gave for one object.
#[derive(Debug, Default)]
pub struct Values {
    set: Vec<DynamicProperty>,
    missing: Vec<MissingProperty>,
}

impl Values {
    pub(crate) fn new(set: Vec<DynamicProperty>, missing: Vec<MissingProperty>) -> Self {
        Self { set, missing }
    }

    /// Takes the value of a property; one that is not set is taken as [`Any::Unset`].
    ///
    /// # Errors
    /// The property has no value and `T` needs one, or it is of another type.
    pub fn take<T: FromAny>(&mut self, path: &'static str) -> Result<T, Missing> {
        let value = self.set.iter_mut().find(|property| property.name == path);
        let value = value.map_or(Any::Unset, |property| std::mem::take(&mut property.val));
        T::from_any(value).map_err(|mismatch| {
            let fault = self.missing.iter().find(|missing| missing.path == path);
            let reason = match fault {
                Some(missing) => missing.fault.fault.type_name().to_owned(),
                None => mismatch.to_string(),
            };
            Missing { path: path.to_owned(), reason }
        })
    }
}

/// A property that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The path of the property.
    pub path: String,
    /// Why: the name of the fault (`NoPermission`), or what was found in its place.
    pub reason: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not be read: {}", self.path, self.reason)
    }
}

/// Reads all that `spec` asks for, page after page.
pub(crate) async fn retrieve(client: &Client, spec: PropertyFilterSpec) -> Result<Vec<ObjectContent>> {
    let collector = client.collector();
    let first = collector.retrieve_properties_ex(&[spec], &RetrieveOptions::default()).await?;
    let Some(first) = first else { return Ok(Vec::new()) };
    let mut objects = first.objects;
    let mut token = first.token;
    while let Some(next) = token {
        // A read that is given up in the middle leaves its rest on the server.
        let rest = Rest { collector: Some((collector.clone(), next)) };
        let page = rest.next().await?;
        objects.extend(page.objects);
        token = page.token;
    }
    Ok(objects)
}

/// The pages of a read that were not fetched yet; dropped, they are cancelled on the server.
struct Rest {
    collector: Option<(PropertyCollector, String)>,
}

impl Rest {
    async fn next(mut self) -> Result<vsphere_model::types::RetrieveResult> {
        let Some((collector, token)) = self.collector.clone() else { return Ok(Default::default()) };
        let page = collector.continue_retrieve_properties_ex(&token).await;
        self.collector = None;
        page.map_err(|error| {
            let error = Error::from(error);
            if error.is_fault("NoPermission") {
                // Some versions of 7.0 and 8.0 refuse the second page to users without rights on the root folder.
                let text = "the server refuses further pages to this user; a right to view the root folder mends it";
                return Error::new("read properties", ErrorKind::Unreadable(text.to_owned()));
            }
            error
        })
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let (Some((collector, token)), Ok(runtime)) = (self.collector.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(async move {
                if let Err(error) = collector.cancel_retrieve_properties_ex(&token).await {
                    tracing::debug!(%error, "pages were left to end with the session");
                }
            });
        }
    }
}

/// The rows of a read, and what could not be read.
#[derive(Debug)]
pub struct Rows<R> {
    rows: Vec<R>,
    /// Objects that were left out because a required property could not be read.
    pub unreadable: Vec<(ManagedObjectReference, Missing)>,
}

impl<R> Rows<R> {
    pub(crate) fn new(rows: Vec<R>, unreadable: Vec<(ManagedObjectReference, Missing)>) -> Self {
        Self { rows, unreadable }
    }

    /// The rows.
    pub fn into_vec(self) -> Vec<R> {
        self.rows
    }
}

impl<R> std::ops::Deref for Rows<R> {
    type Target = [R];

    fn deref(&self) -> &[R] {
        &self.rows
    }
}

impl<R> IntoIterator for Rows<R> {
    type Item = R;
    type IntoIter = std::vec::IntoIter<R>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}
