//! Typed reads: which properties, and how their values become rows.
//!
//! A property is chosen by a constant of its managed object, several by a tuple, your own struct by
//! [`properties!`](crate::properties). Only what is chosen leaves the server.
//!
//! ```
//! use futures::TryStreamExt;
//! use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
//! use vsphere_ops::types::VirtualMachinePowerState;
//! use vsphere_ops::{PropertyState, properties, state};
//!
//! properties! {
//!     /// A line of a report.
//!     #[derive(Debug)]
//!     struct Line for VirtualMachine {
//!         name: String = vm::NAME,
//!         power: VirtualMachinePowerState = vm::POWER_STATE,
//!     }
//! }
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! // Rows as tuples, all at once; `cpus` is a property inside of another, checked when it is made.
//! let cpus = vm::CONFIG.nested::<i32>("config.hardware.numCPU").expect("a path of the API");
//! for (vm, (name, cpus)) in client.all::<VirtualMachine>().select((vm::NAME, cpus)).await? {
//!     println!("{vm} {name}: {cpus:?}");
//! }
//! // Rows as structs, page by page.
//! let mut pages = client.all::<VirtualMachine>().select_as::<Line>().stream(100);
//! while let Some(page) = pages.try_next().await? {
//!     for (vm, line) in page {
//!         println!("{vm} {line:?}");
//!     }
//! }
//! // Unset and unreadable told apart.
//! match client.get::<VirtualMachine>("web-01").await?.read(state(vm::GUEST_IP_ADDRESS)).await? {
//!     PropertyState::Set(ip) => println!("{ip}"),
//!     PropertyState::Unset => println!("the guest has no address"),
//!     PropertyState::Unreadable(fault) => println!("not for this user: {}", fault.fault.type_name()),
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```

mod pages;
mod record;

use std::fmt;

use vsphere_model::types::{
    Any, DynamicProperty, LocalizedMethodFault, ManagedObjectReference, MissingProperty, NoPermission, ObjectContent,
};
use vsphere_soap::object::{FromAny, Property};

pub(crate) use pages::{Pages, Source, at_once, property_spec, retrieve};
pub use record::{As, Record};

/// What to read of objects of type `M`: a property, or a tuple of them.
///
/// ```
/// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
/// use vsphere_ops::types::VirtualMachinePowerState as Power;
/// use vsphere_ops::{Missing, Select, Values};
///
/// /// Whether a machine runs: a property that becomes another type.
/// struct Runs;
///
/// impl Select<VirtualMachine> for Runs {
///     type Row = bool;
///
///     fn paths(&self, paths: &mut Vec<&'static str>) {
///         paths.push(vm::POWER_STATE.path());
///     }
///
///     fn row(&self, values: &mut Values) -> Result<bool, Missing> {
///         Ok(values.take::<Power>(vm::POWER_STATE.path())? == Power::PoweredOn)
///     }
/// }
///
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// for (vm, (name, runs)) in client.all::<VirtualMachine>().select((vm::NAME, Runs)).await? {
///     println!("{vm} {name}: {runs}");
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub trait Select<M> {
    /// The row that a read returns for each object.
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

/// Nothing but the objects themselves.
impl<M> Select<M> for () {
    type Row = ();

    fn paths(&self, _: &mut Vec<&'static str>) {}

    fn row(&self, _: &mut Values) -> Result<(), Missing> {
        Ok(())
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

/// A property, or the reason why it has no value.
///
/// ```
/// use vsphere_ops::PropertyState;
///
/// let address: PropertyState<String> = PropertyState::Set("192.0.2.7".into());
/// assert_eq!(address.ok().as_deref(), Some("192.0.2.7"));
/// assert_eq!(PropertyState::<String>::Unset.ok(), None);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum PropertyState<T> {
    /// Its value.
    Set(T),
    /// The object does not have it.
    Unset,
    /// The server did not return it, mostly with `NoPermission`.
    Unreadable(LocalizedMethodFault),
}

impl<T> PropertyState<T> {
    /// The value, where there is one.
    pub fn ok(self) -> Option<T> {
        match self {
            Self::Set(value) => Some(value),
            _ => None,
        }
    }
}

/// Chooses an optional property together with its state, so that unset and unreadable are told apart. One that every
/// object has is made optional first: `state(vm::NAME.optional())`.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
/// use vsphere_ops::{PropertyState, state};
///
/// for (vm, note) in client.all::<VirtualMachine>().select(state(vm::ANNOTATION)).await? {
///     if let PropertyState::Unreadable(fault) = note {
///         println!("{vm}: {}", fault.fault.type_name());
///     }
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub fn state<M, T>(property: Property<M, Option<T>>) -> State<M, T> {
    State(Property::new(property.path()))
}

/// A property that is read with its state; see [`state`].
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::{HostSystem, host_system as host};
/// use vsphere_ops::{State, state};
///
/// fn name() -> State<HostSystem, String> {
///     state(host::NAME.optional())
/// }
///
/// let names = client.all::<HostSystem>().select(name()).await?; // hosts whose name is hidden are there, too
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug)]
pub struct State<M, T>(Property<M, T>);

impl<M, T> Clone for State<M, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, T> Copy for State<M, T> {}

impl<M, T: FromAny> Select<M> for State<M, T> {
    type Row = PropertyState<T>;

    fn paths(&self, paths: &mut Vec<&'static str>) {
        paths.push(self.0.path());
    }

    fn row(&self, values: &mut Values) -> Result<PropertyState<T>, Missing> {
        values.take_state(self.0.path())
    }
}

/// The values that the server gave for one object.
///
/// ```
/// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
/// use vsphere_ops::{Missing, PropertyState, Select, Values};
///
/// /// The guest's address, or why there is none.
/// struct Address;
///
/// impl Select<VirtualMachine> for Address {
///     type Row = Result<String, String>;
///
///     fn paths(&self, paths: &mut Vec<&'static str>) {
///         paths.push(vm::GUEST_IP_ADDRESS.path());
///     }
///
///     fn row(&self, values: &mut Values) -> Result<Self::Row, Missing> {
///         Ok(match values.take_state(vm::GUEST_IP_ADDRESS.path())? {
///             PropertyState::Set(address) => Ok(address),
///             PropertyState::Unset => Err("the guest has none, or does not run".into()),
///             PropertyState::Unreadable(fault) => Err(fault.fault.type_name().to_owned()),
///         })
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct Values {
    set: Vec<DynamicProperty>,
    missing: Vec<MissingProperty>,
    /// What was taken, to tell a property that is taken twice from one that is not set.
    taken: Vec<&'static str>,
    gaps: Vec<Missing>,
}

/// Whether a property is another, or inside of it.
pub(crate) fn is_within(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Values {
    pub(crate) fn new(set: Vec<DynamicProperty>, missing: Vec<MissingProperty>) -> Self {
        Self { set, missing, ..Self::default() }
    }

    /// Takes the value of a property; one that is not set is taken as [`Any::Unset`].
    ///
    /// # Errors
    /// The property has no value and `T` needs one, it is of another type, or it was taken before.
    pub fn take<T: FromAny>(&mut self, path: &'static str) -> Result<T, Missing> {
        let value = self.value(path)?;
        let refused = if matches!(value, Any::Unset) { self.fault(path) } else { None };
        let refused = refused.map(|fault| Missing::refused(path, fault));
        match (T::from_any(value), refused) {
            (Ok(value), refused) => {
                self.gaps.extend(refused);
                Ok(value)
            }
            (Err(_), Some(refused)) => Err(refused),
            (Err(mismatch), None) => Err(Missing::new(path, mismatch)),
        }
    }

    /// Takes the value of a property with its state.
    ///
    /// # Errors
    /// The value is of another type, or it was taken before.
    pub fn take_state<T: FromAny>(&mut self, path: &'static str) -> Result<PropertyState<T>, Missing> {
        match self.value(path)? {
            Any::Unset => Ok(self.fault(path).cloned().map_or(PropertyState::Unset, PropertyState::Unreadable)),
            value => T::from_any(value).map(PropertyState::Set).map_err(|mismatch| Missing::new(path, mismatch)),
        }
    }

    /// All values that are set and were not taken, by their paths.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (String, Any)> {
        std::mem::take(&mut self.set).into_iter().map(|property| (property.name, property.val))
    }

    /// What the server refused to give, whether it was taken or not.
    pub(crate) fn refused(&self) -> Vec<Missing> {
        self.missing.iter().map(|missing| Missing::refused(&missing.path, &missing.fault)).collect()
    }

    /// What was taken as unset because it could not be read.
    pub(crate) fn into_gaps(self) -> Vec<Missing> {
        self.gaps
    }

    fn value(&mut self, path: &'static str) -> Result<Any, Missing> {
        if self.taken.contains(&path) {
            return Err(Missing::new(path, "it is selected twice"));
        }
        self.taken.push(path);
        let value = self.set.iter_mut().find(|property| property.name == path);
        Ok(value.map_or(Any::Unset, |property| std::mem::take(&mut property.val)))
    }

    /// Why the server did not give a property, or what it is inside of.
    fn fault(&self, path: &str) -> Option<&LocalizedMethodFault> {
        self.missing.iter().find(|missing| is_within(path, &missing.path)).map(|missing| &missing.fault)
    }
}

/// A property that could not be read.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
///
/// let rows = client.all::<VirtualMachine>().select(vm::RUNTIME).await?;
/// for (object, missing) in &rows.unreadable {
///     println!("{object}: {} ({})", missing.path, missing.reason); // runtime (NoPermission)
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The path of the property.
    pub path: String,
    /// Why: the name of the fault (`NoPermission`), or what was found in its place.
    pub reason: String,
    /// The missing privilege (`System.Read`), if the server names it.
    pub privilege: Option<String>,
}

impl Missing {
    fn new(path: &str, reason: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), reason: reason.to_string(), privilege: None }
    }

    /// What the server refused with this fault.
    pub(crate) fn refused(path: &str, fault: &LocalizedMethodFault) -> Self {
        let privilege = fault.fault.downcast_ref::<NoPermission>().and_then(|fault| fault.privilege_id.clone());
        Self { privilege: privilege.filter(|id| !id.is_empty()), ..Self::new(path, fault.fault.type_name()) }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not be read: {}", self.path, self.reason)?;
        match &self.privilege {
            Some(privilege) => write!(f, ", the right {privilege} is missing"),
            None => Ok(()),
        }
    }
}

/// The rows of a read, and what could not be read.
///
/// A user with limited privileges gets the readable part, with a list of what is missing:
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
///
/// let rows = client.all::<VirtualMachine>().select((vm::NAME, vm::GUEST_IP_ADDRESS)).await?;
/// if !(rows.unreadable.is_empty() && rows.gaps.is_empty()) {
///     println!("this user does not see all: {} machines are left out", rows.unreadable.len());
/// }
/// println!("{} machines", rows.len()); // a slice
/// let names: Vec<String> = rows.into_vec().into_iter().map(|(_, (name, _))| name).collect();
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug)]
pub struct Rows<R> {
    rows: Vec<R>,
    /// Objects that were left out because a required property could not be read.
    pub unreadable: Vec<(ManagedObjectReference, Missing)>,
    /// Optional properties that are unset in their rows because they could not be read.
    pub gaps: Vec<(ManagedObjectReference, Missing)>,
}

impl<R> Rows<R> {
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new(), unreadable: Vec::new(), gaps: Vec::new() }
    }

    /// Reads the row of one object.
    pub(crate) fn add<M, S: Select<M>>(
        &mut self,
        select: &S,
        content: ObjectContent,
        row: impl FnOnce(&ManagedObjectReference, S::Row) -> R,
    ) {
        let mut values = Values::new(content.prop_set, content.missing_set);
        match select.row(&mut values) {
            Ok(values) => self.rows.push(row(&content.obj, values)),
            Err(missing) => self.unreadable.push((content.obj.clone(), missing)),
        }
        self.gaps.extend(values.into_gaps().into_iter().map(|missing| (content.obj.clone(), missing)));
    }

    pub(crate) fn truncate(&mut self, limit: usize) {
        self.rows.truncate(limit);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use vsphere_model::managed::virtual_machine as vm;
    use vsphere_model::types::Poly;

    use super::*;

    fn values() -> Values {
        let fault = LocalizedMethodFault {
            fault: Poly::<NoPermission>::default().into_object().try_into().unwrap(),
            localized_message: None,
        };
        let set = vec![DynamicProperty { name: "name".into(), val: "web-1".into() }];
        Values::new(set, vec![MissingProperty { path: "guest".into(), fault }])
    }

    #[test]
    fn unset_and_unreadable_are_told_apart() {
        let mut values = values();
        let select = (state(vm::NAME.optional()), state(vm::GUEST_IP_ADDRESS), state(vm::CONFIG));
        let (name, ip, config) = Select::row(&select, &mut values).unwrap();
        assert_eq!(name, PropertyState::Set("web-1".to_owned()));
        assert!(matches!(ip, PropertyState::Unreadable(fault) if fault.fault.type_name() == "NoPermission"));
        assert_eq!(config, PropertyState::Unset);
        assert!(values.into_gaps().is_empty());
    }

    #[test]
    fn an_optional_property_that_is_unreadable_is_a_gap() {
        let mut values = values();
        assert_eq!(Select::row(&(vm::NAME, vm::GUEST_IP_ADDRESS), &mut values).unwrap(), ("web-1".to_owned(), None));
        assert_eq!(values.into_gaps(), [Missing::new(vm::GUEST_IP_ADDRESS.path(), "NoPermission")]);
    }

    #[test]
    fn a_property_that_is_selected_twice_is_not_taken_for_unset() {
        let missing = Select::row(&(vm::NAME, vm::NAME), &mut values()).unwrap_err();
        assert_eq!(missing.to_string(), "name could not be read: it is selected twice");
    }
}
