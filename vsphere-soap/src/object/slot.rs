//! The typed places that a value can be put into.

use super::{Any, BadText, DataObject, DataType, Leaf, Object, Poly, Text, TypeInfo, Value};

/// The place of a field.
pub enum Slot<'a> {
    /// There is no such field.
    None,
    /// Text: numbers, strings, dates, references, enumerations; one, an optional one or a list.
    Scalar(&'a mut dyn Scalar),
    /// An object of exactly the declared type, to be filled in place.
    Data(&'a mut dyn DataObject),
    /// A list of such objects.
    List(&'a mut dyn DataList),
    /// Objects of the declared type or one that extends it.
    Poly(&'a mut dyn PolySlot),
    /// Values of any type.
    Any(&'a mut dyn AnySlot),
}

/// A place for values that are text on the wire.
pub trait Scalar {
    /// Reads the value from its text; a list grows by one.
    fn put(&mut self, text: Text<'_>) -> Result<(), BadText>;
    /// Takes a value of the same kind; says whether it fitted.
    fn put_value(&mut self, value: Value<'_>) -> bool;
}

impl<T: Leaf> Scalar for T {
    fn put(&mut self, text: Text<'_>) -> Result<(), BadText> {
        if let Some(value) = T::parse(text)? {
            *self = value;
        }
        Ok(())
    }

    fn put_value(&mut self, value: Value<'_>) -> bool {
        T::from_value(value).map(|value| *self = value).is_some()
    }
}

impl<T: Leaf> Scalar for Option<T> {
    fn put(&mut self, text: Text<'_>) -> Result<(), BadText> {
        *self = T::parse(text)?;
        Ok(())
    }

    fn put_value(&mut self, value: Value<'_>) -> bool {
        *self = T::from_value(value);
        self.is_some()
    }
}

impl<T: Leaf> Scalar for Vec<T> {
    fn put(&mut self, text: Text<'_>) -> Result<(), BadText> {
        self.extend(T::parse(text)?);
        Ok(())
    }

    fn put_value(&mut self, value: Value<'_>) -> bool {
        T::from_value(value).map(|value| self.push(value)).is_some()
    }
}

/// A list of objects of one type.
pub trait DataList {
    /// Appends an object with nothing set, and gives it to be filled.
    fn push_new(&mut self) -> &mut dyn DataObject;
}

impl<T: DataType> DataList for Vec<T> {
    fn push_new(&mut self) -> &mut dyn DataObject {
        self.push_mut(T::default())
    }
}

/// A place for objects of a base type or one that extends it.
pub trait PolySlot {
    /// The base type.
    fn base(&self) -> &'static TypeInfo;
    /// Takes an object; gives it back where it is not of the base type. A list grows by one.
    fn put(&mut self, object: Object) -> Result<(), Object>;
}

impl<B: DataType> PolySlot for Poly<B> {
    fn base(&self) -> &'static TypeInfo {
        B::INFO
    }

    fn put(&mut self, object: Object) -> Result<(), Object> {
        let object = object.checked(B::INFO)?;
        *self = Self::wrap(object);
        Ok(())
    }
}

impl<B: DataType> PolySlot for Option<Poly<B>> {
    fn base(&self) -> &'static TypeInfo {
        B::INFO
    }

    fn put(&mut self, object: Object) -> Result<(), Object> {
        let object = object.checked(B::INFO)?;
        *self = Some(Poly::wrap(object));
        Ok(())
    }
}

impl<B: DataType> PolySlot for Vec<Poly<B>> {
    fn base(&self) -> &'static TypeInfo {
        B::INFO
    }

    fn put(&mut self, object: Object) -> Result<(), Object> {
        let object = object.checked(B::INFO)?;
        self.push(Poly::wrap(object));
        Ok(())
    }
}

/// A place for values of any type.
pub trait AnySlot {
    /// Takes a value; a list grows by one, but not for [`Any::Unset`].
    fn put(&mut self, value: Any);
}

impl AnySlot for Any {
    fn put(&mut self, value: Any) {
        *self = value;
    }
}

impl AnySlot for Option<Any> {
    fn put(&mut self, value: Any) {
        *self = if matches!(value, Any::Unset) { None } else { Some(value) };
    }
}

impl AnySlot for Vec<Any> {
    fn put(&mut self, value: Any) {
        if !matches!(value, Any::Unset) {
            self.push(value);
        }
    }
}
