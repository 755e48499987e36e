//! Reading into your own structs.

use std::marker::PhantomData;

use super::{Missing, Select, Values};

/// A struct that is read of objects of type `M`. [`properties!`](crate::properties) writes it.
///
/// ```
/// use vsphere_ops::managed::VirtualMachine;
/// use vsphere_ops::{Missing, PropertyState, Record, Values};
///
/// /// Written by hand, as it is not one field for each property.
/// struct Labelled(String);
///
/// impl Record<VirtualMachine> for Labelled {
///     fn paths(paths: &mut Vec<&'static str>) {
///         paths.extend(["name", "config.annotation"]);
///     }
///
///     fn from_values(values: &mut Values) -> Result<Self, Missing> {
///         let name: String = values.take("name")?;
///         Ok(match values.take_state::<String>("config.annotation")? {
///             PropertyState::Set(note) => Self(format!("{name} ({note})")),
///             _ => Self(name),
///         })
///     }
/// }
/// ```
pub trait Record<M>: Sized {
    /// Appends the paths of the properties.
    fn paths(paths: &mut Vec<&'static str>);

    /// Takes the struct out of the values.
    ///
    /// # Errors
    /// A required property has no value.
    fn from_values(values: &mut Values) -> Result<Self, Missing>;
}

/// Chooses the properties of a [`Record`]: `select(As::<Line>::default())` is `select_as::<Line>()`.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::As;
/// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
///
/// vsphere_ops::properties! {
///     #[derive(Debug)]
///     struct Name for VirtualMachine {
///         name: String = vm::NAME,
///     }
/// }
///
/// // Where a `select` is wanted: in a watch, or beside other properties.
/// let both = client.all::<VirtualMachine>().select((As::<Name>::default(), vm::POWER_STATE));
/// for (vm, (name, power)) in both.await? {
///     println!("{vm} {name:?} {power}");
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug)]
pub struct As<R>(PhantomData<fn() -> R>);

impl<R> Default for As<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<M, R: Record<M>> Select<M> for As<R> {
    type Row = R;

    fn paths(&self, paths: &mut Vec<&'static str>) {
        R::paths(paths);
    }

    fn row(&self, values: &mut Values) -> Result<R, Missing> {
        R::from_values(values)
    }
}

/// A struct whose fields are properties of a managed object: `field: Type = PROPERTY`.
///
/// A field can also be anything else that [`Select`] is written for: a property with its
/// [`state`](crate::state), or a tuple. A wrong type is a compile error. It is read by
/// [`Query::select_as`](crate::Query::select_as) and [`Mo::read_as`](crate::Mo::read_as).
///
/// ```
/// use vsphere_ops::managed::{HostSystem, host_system as host};
///
/// vsphere_ops::properties! {
///     /// A host and its machines.
///     #[derive(Debug, Clone)]
///     pub struct Load for HostSystem {
///         /// Its name.
///         pub name: String = host::NAME,
///         /// Whether it is in maintenance.
///         pub maintenance: bool = host::IN_MAINTENANCE_MODE,
///     }
/// }
///
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// for (_, load) in client.all::<HostSystem>().select_as::<Load>().await? {
///     println!("{} {}", load.name, load.maintenance);
/// }
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! properties {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident for $object:ty {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty = $property:expr),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type),+
        }

        impl $crate::Record<$object> for $name {
            fn paths(paths: &mut ::std::vec::Vec<&'static str>) {
                $($crate::Select::<$object>::paths(&$property, paths);)+
            }

            fn from_values(values: &mut $crate::Values) -> ::std::result::Result<Self, $crate::Missing> {
                ::std::result::Result::Ok(Self { $($field: $crate::Select::<$object>::row(&$property, values)?),+ })
            }
        }
    };
}
