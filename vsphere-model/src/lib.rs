//! Typed bindings of the whole vSphere API (vim25), generated from its WSDL.
//!
//! - [`types`] has all data objects, enumerations, events and faults.
//! - [`managed`] has a module per managed object: a handle with its methods, and a typed constant per property.
//! - [`registry`] finds types and methods by their wire names.
//!
//! Names are the API's own, in Rust case. What a type inherits is its field `base`, and shines through by `Deref`:
//!
//! ```
//! use vsphere_model::types::{Description, Poly, VirtualDevice, VirtualDisk};
//!
//! let mut disk = VirtualDisk { capacity_in_kb: 1024, ..Default::default() };
//! disk.key = 2000;
//! let device: Poly<VirtualDevice> = Poly::new(disk);
//! assert_eq!(device.key, 2000);
//! assert_eq!(device.downcast_ref::<VirtualDisk>().map(|disk| disk.capacity_in_kb), Some(1024));
//! ```
#![recursion_limit = "512"]

#[macro_use]
mod macros;

mod answer;
#[allow(
    unused_imports,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    reason = "generated: what stands here is for the compiler and for rustdoc"
)]
mod generated;

pub use answer::{Answer, read_answer};
pub use generated::managed;

use vsphere_soap::object::Registry;

/// The API version that the bindings were generated from.
pub const VERSION: &str = generated::registry::VERSION;

/// The API versions that the bindings know, oldest first.
pub const VERSIONS: &[&str] = generated::registry::VERSIONS;

/// All types and methods, by their wire names.
pub fn registry() -> &'static Registry {
    use generated::registry::{ENUMS, MANAGED, METHODS, TYPES};
    static REGISTRY: Registry = Registry::new(TYPES, ENUMS, METHODS, MANAGED);
    &REGISTRY
}

/// Data objects, enumerations, events and faults, and the values that they are made of.
pub mod types {
    pub use crate::generated::data::*;
    pub use crate::generated::enums::*;
    pub use crate::generated::events::*;
    pub use crate::generated::faults::*;
    pub use vsphere_soap::object::{Any, Array, Binary, DateTime, ManagedObjectReference, Object, Poly};
}

/// What the generated data objects and enumerations are written with.
mod prelude {
    pub(crate) use vsphere_soap::object::Occurs::*;
    pub(crate) use vsphere_soap::object::place::Unset;
    pub(crate) use vsphere_soap::object::{
        Any, BASE, Binary, DataObject, DataType, DateTime, EnumInfo, EnumType, Extends, FieldInfo, ManagedInfo,
        ManagedObjectReference, ManagedType, Own, Poly, Slot, Type, TypeInfo, Value, instance, leaf, look, optional,
        place,
    };
    pub(crate) use vsphere_soap::request::{Effect, Method};
}

/// What the generated managed objects are written with beside it.
mod managed_prelude {
    pub(crate) use vsphere_soap::object::Property;
    pub(crate) use vsphere_soap::request::{Handle, Request};
}
