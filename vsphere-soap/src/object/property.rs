//! Properties of managed objects: a path with the types of its owner and its value.

use std::fmt;
use std::marker::PhantomData;

/// A property of the managed object `M` whose value is a `T`.
///
/// The generated constants (`virtual_machine::NAME`) make a wrong path or a wrong type a compile error.
pub struct Property<M, T> {
    path: &'static str,
    types: PhantomData<fn() -> (M, T)>,
}

impl<M, T> Property<M, T> {
    /// A property by its path. Prefer the generated constants: nothing checks this path or its type.
    pub const fn new(path: &'static str) -> Self {
        Self { path, types: PhantomData }
    }

    /// The path on the wire (`runtime.powerState`).
    pub const fn path(&self) -> &'static str {
        self.path
    }
}

impl<M, T> Clone for Property<M, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, T> Copy for Property<M, T> {}

impl<M, T> fmt::Debug for Property<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Property({})", self.path)
    }
}
