//! Objects whose exact type is known only at run time.

use std::any::Any as StdAny;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::{DataObject, DataType, Item, TypeInfo, Value, copy, equal, view, view_mut};

/// A data object of any type.
///
/// An object whose type the model does not know (a newer server sent it) is held as the nearest base that it does know,
/// with the name of its own type and the elements that were not understood beside it; see [`Object::unknown`].
pub struct Object {
    data: Box<dyn DataObject>,
    unknown: Option<Box<Unknown>>,
}

/// What is kept of an object whose type the model does not know.
#[derive(Debug, Clone, PartialEq)]
pub struct Unknown {
    /// The name of the type on the wire.
    pub type_name: String,
    /// The elements that the known base does not have.
    pub elements: Vec<Element>,
}

/// An XML element that no type describes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Element {
    /// The local name.
    pub name: String,
    /// The local name in `xsi:type`.
    pub type_name: Option<String>,
    /// The attribute `type` that references carry.
    pub reference_type: Option<String>,
    /// The text, where it has no child elements.
    pub text: String,
    /// The child elements.
    pub children: Vec<Element>,
}

impl Element {
    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }
}

impl Object {
    /// Wraps a data object.
    pub fn new<T: DataType>(data: T) -> Self {
        Self { data: Box::new(data), unknown: None }
    }

    /// Wraps a data object whose own type the model does not know.
    pub fn with_unknown(data: Box<dyn DataObject>, unknown: Option<Unknown>) -> Self {
        Self { data, unknown: unknown.map(Box::new) }
    }

    /// The name of its type on the wire, also of one that the model does not know.
    pub fn type_name(&self) -> &str {
        match &self.unknown {
            Some(unknown) => &unknown.type_name,
            None => self.data.info().name(),
        }
    }

    /// Whether it is a `T`, or a type that extends it.
    pub fn is<T: DataType>(&self) -> bool {
        self.data.info().is_a(T::INFO)
    }

    /// It as a `T`, where it is one or extends it.
    pub fn downcast_ref<T: DataType>(&self) -> Option<&T> {
        view(&*self.data)
    }

    /// It as a `T`, to change it.
    pub fn downcast_mut<T: DataType>(&mut self) -> Option<&mut T> {
        view_mut(&mut *self.data)
    }

    /// Takes it as a `T`.
    ///
    /// # Errors
    /// Gives the object back where it is not exactly a `T`.
    pub fn downcast<T: DataType>(self) -> Result<T, Object> {
        let any: &dyn StdAny = &*self.data;
        if self.unknown.is_some() || !any.is::<T>() {
            return Err(self);
        }
        let Self { data, unknown } = self;
        let data: Box<dyn StdAny> = data;
        match data.downcast::<T>() {
            Ok(data) => Ok(*data),
            // Cannot happen, the type was just asked for; an empty object of the same type is better than a panic.
            Err(_) => Err(Self { data: T::INFO.instance(), unknown }),
        }
    }

    /// Gives the object back as an error where it is not of this type and does not extend it.
    pub(super) fn checked(self, base: &TypeInfo) -> Result<Self, Self> {
        if self.data.info().is_a(base) { Ok(self) } else { Err(self) }
    }

    /// What was kept of a type that the model does not know.
    pub fn unknown(&self) -> Option<&Unknown> {
        self.unknown.as_deref()
    }

    /// The object, without its type.
    pub fn data(&self) -> &dyn DataObject {
        &*self.data
    }

    /// The object, without its type, to change it.
    pub fn data_mut(&mut self) -> &mut dyn DataObject {
        &mut *self.data
    }
}

impl<T: DataType> From<T> for Object {
    fn from(data: T) -> Self {
        Self::new(data)
    }
}

impl Clone for Object {
    fn clone(&self) -> Self {
        let mut data = self.data.info().instance();
        copy(&*self.data, &mut *data);
        Self { data, unknown: self.unknown.clone() }
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.unknown == other.unknown && equal(&*self.data, &*other.data)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.unknown {
            None => super::debug(&*self.data, f),
            Some(unknown) => f
                .debug_struct("Object")
                .field("type_name", &unknown.type_name)
                .field("known", &&*self.data)
                .field("unknown_elements", &unknown.elements.len())
                .finish(),
        }
    }
}

/// An object of type `B` or one that extends it.
///
/// It derefs to the fields of `B`; [`downcast_ref`](Object::downcast_ref) looks at those of its own type.
pub struct Poly<B> {
    object: Object,
    base: PhantomData<fn() -> B>,
}

/// The relation between a type and one that it extends, so that only fitting objects become a [`Poly`].
pub trait Extends<B>: DataType {}

impl<B: DataType> Extends<B> for B {}

impl<B: DataType> Poly<B> {
    /// Wraps an object of type `B` or one that extends it.
    pub fn new<T: Extends<B>>(data: T) -> Self {
        Self { object: Object::new(data), base: PhantomData }
    }

    /// The name of its type on the wire, also of one that the model does not know.
    pub fn type_name(&self) -> &str {
        self.object.type_name()
    }

    /// Whether it is a `T`, or a type that extends it.
    pub fn is<T: DataType>(&self) -> bool {
        self.object.is::<T>()
    }

    /// It as a `T`, where it is one or extends it.
    pub fn downcast_ref<T: DataType>(&self) -> Option<&T> {
        self.object.downcast_ref()
    }

    /// It as a `T`, to change it.
    pub fn downcast_mut<T: DataType>(&mut self) -> Option<&mut T> {
        self.object.downcast_mut()
    }

    /// Takes it as a `T`.
    ///
    /// # Errors
    /// Gives it back where it is not exactly a `T`.
    pub fn downcast<T: DataType>(self) -> Result<T, Self> {
        self.object.downcast().map_err(|object| Self { object, base: PhantomData })
    }

    /// It without its base type.
    pub fn as_object(&self) -> &Object {
        &self.object
    }

    /// It without its base type.
    pub fn into_object(self) -> Object {
        self.object
    }
}

impl<B> Poly<B> {
    /// Takes an object that is known to be of type `B` or to extend it.
    pub(super) fn wrap(object: Object) -> Self {
        Self { object, base: PhantomData }
    }
}

impl<B: DataType> TryFrom<Object> for Poly<B> {
    type Error = Object;

    fn try_from(object: Object) -> Result<Self, Object> {
        object.checked(B::INFO).map(Self::wrap)
    }
}

impl<B: DataType> Deref for Poly<B> {
    type Target = B;

    fn deref(&self) -> &B {
        match view(&*self.object.data) {
            Some(base) => base,
            None => unreachable!("every constructor checks that the object is a {}", B::INFO.name()),
        }
    }
}

impl<B: DataType> DerefMut for Poly<B> {
    fn deref_mut(&mut self) -> &mut B {
        match view_mut(&mut *self.object.data) {
            Some(base) => base,
            None => unreachable!("every constructor checks that the object is a {}", B::INFO.name()),
        }
    }
}

impl<B: DataType> Default for Poly<B> {
    fn default() -> Self {
        Self { object: Object { data: B::INFO.instance(), unknown: None }, base: PhantomData }
    }
}

impl<B> Clone for Poly<B> {
    fn clone(&self) -> Self {
        Self { object: self.object.clone(), base: PhantomData }
    }
}

impl<B> PartialEq for Poly<B> {
    fn eq(&self, other: &Self) -> bool {
        self.object == other.object
    }
}

impl<B> fmt::Debug for Poly<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)
    }
}

impl<B> Item for Poly<B> {
    fn value(&self) -> Value<'_> {
        Value::Poly(&self.object)
    }
}

/// The base type of a slot, for messages.
impl fmt::Display for TypeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
