//! Reading: one loop for all types.

use std::borrow::Cow;

use super::DecodeError;
use super::cursor::{Cursor, Next, Tag};
use crate::object::{
    Any, Array, Binary, DataObject, DateTime, Element, EnumValue, FieldInfo, Leaf, ManagedObjectReference, Object,
    Registry, Slot, Text, Type, TypeInfo, Unknown,
};

/// Reads values from an XML document, from front to back.
pub struct Decoder<'a> {
    cursor: Cursor<'a>,
    registry: &'static Registry,
}

impl<'a> Decoder<'a> {
    /// A decoder at the start of `document`, which knows the types of `registry`.
    pub fn new(document: &'a [u8], registry: &'static Registry) -> Self {
        Self { cursor: Cursor::new(document), registry }
    }

    /// Enters the next element on this level; `None` at the end of the level.
    ///
    /// # Errors
    /// The document is not well-formed or nests too deep.
    pub fn enter(&mut self) -> Result<Option<Tag<'a>>, DecodeError> {
        Ok(match self.cursor.next()? {
            Next::Child(tag) => Some(tag),
            Next::End => None,
        })
    }

    /// Passes over the rest of the entered element.
    ///
    /// # Errors
    /// The document is not well-formed.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        self.cursor.skip()
    }

    /// The text of the entered element.
    ///
    /// # Errors
    /// The document is not well-formed.
    pub fn text(&mut self) -> Result<String, DecodeError> {
        self.cursor.text().map(Cow::into_owned)
    }

    /// The value of the entered element, which is declared as `declared`. Where that is [`Type::Any`], it is of the type
    /// that its `xsi:type` names.
    ///
    /// # Errors
    /// The document is not well-formed or nests too deep, or a text is not a value of its type.
    pub fn value(&mut self, tag: &Tag<'a>, declared: Type) -> Result<Any, DecodeError> {
        if tag.is_nil() {
            self.cursor.skip()?;
            return Ok(Any::Unset);
        }
        match declared {
            Type::Boolean => self.leaf::<bool>(tag),
            Type::Byte => self.leaf::<i8>(tag),
            Type::Short => self.leaf::<i16>(tag),
            Type::Int => self.leaf::<i32>(tag),
            Type::Long => self.leaf::<i64>(tag),
            Type::Float => self.leaf::<f32>(tag),
            Type::Double => self.leaf::<f64>(tag),
            Type::String => self.leaf::<String>(tag),
            Type::Uri => self.cursor.text().map(|text| Any::Uri(text.into_owned())),
            Type::DateTime => self.leaf::<DateTime>(tag),
            Type::Binary => self.leaf::<Binary>(tag),
            Type::Ref => self.leaf::<ManagedObjectReference>(tag),
            Type::Enum(info) => {
                let value = self.cursor.text()?.into_owned();
                Ok(if value.is_empty() { Any::Unset } else { Any::Enum(EnumValue { info, value }) })
            }
            Type::Data(info) => self.object(tag, info).map(Any::Object),
            Type::Any => self.any(tag),
        }
    }

    /// Reads a value of the type that its `xsi:type` names.
    fn any(&mut self, tag: &Tag<'a>) -> Result<Any, DecodeError> {
        let Some(name) = tag.type_name() else { return self.untyped(tag) };
        match (self.registry.find(&name), name.strip_prefix("ArrayOf")) {
            // Said to be of any type: as good as nothing said.
            (Some(Type::Any), _) => self.untyped(tag),
            (Some(Type::Data(info)), _) => self.instance(info).map(Any::Object),
            (Some(ty), _) => self.value(tag, ty),
            (None, Some(item)) => self.array(item),
            (None, None) => self.cursor.element(tag).map(Box::new).map(Any::Unknown),
        }
    }

    /// A value without `xsi:type` where any type may stand: text where it is text, else the element as it is.
    fn untyped(&mut self, tag: &Tag<'a>) -> Result<Any, DecodeError> {
        let mut element = self.cursor.element(tag)?;
        element.type_name = None;
        Ok(if element.children.is_empty() { Any::String(element.text) } else { Any::Unknown(Box::new(element)) })
    }

    fn leaf<T: Leaf + Into<Any>>(&mut self, tag: &Tag<'a>) -> Result<Any, DecodeError> {
        let content = self.cursor.text()?;
        let value = T::parse(Text { content, reference_type: tag.reference_type() }).map_err(|bad| {
            self.cursor.error(format!("the text of <{}> is not of type {}", tag.name(), bad.expected))
        })?;
        Ok(value.map_or(Any::Unset, Into::into))
    }

    /// Reads the items of an `ArrayOf…`. Each has the type that the array says, or else its own `xsi:type`.
    fn array(&mut self, item: &str) -> Result<Any, DecodeError> {
        let declared = item_type(self.registry, item).unwrap_or(Type::Any);
        let mut items = Vec::new();
        while let Next::Child(tag) = self.cursor.next()? {
            let ty = match declared {
                Type::Data(declared) => Type::Data(self.named(&tag, declared)),
                other => other,
            };
            match self.value(&tag, ty)? {
                Any::Unset => {}
                value => items.push(value),
            }
        }
        Ok(Any::Array(Array { item: item.to_owned(), items }))
    }

    /// The type that an item's element is named by. It is the declared one, but for a localized fault in an array of faults,
    /// which holds bare or localized ones.
    fn named(&self, tag: &Tag<'a>, declared: &'static TypeInfo) -> &'static TypeInfo {
        match self.registry.data(tag.name()) {
            Some(named) if !named.is_a(declared) => named,
            _ => declared,
        }
    }

    /// Reads an object that is declared as `declared` and may be of a type that extends it. A type that is not known, or
    /// that does not extend it in this model, leaves its name and its other elements beside the declared type.
    fn object(&mut self, tag: &Tag<'a>, declared: &'static TypeInfo) -> Result<Object, DecodeError> {
        let Some(name) = tag.type_name().filter(|name| *name != declared.name()) else {
            return self.instance(declared);
        };
        match self.registry.data(&name) {
            Some(info) if info.is_a(declared) => self.instance(info),
            _ => {
                let mut data = declared.instance();
                let mut elements = Vec::new();
                self.fields(&mut *data, Some(&mut elements))?;
                Ok(Object::with_unknown(data, Some(Unknown { type_name: name.into_owned(), elements })))
            }
        }
    }

    fn instance(&mut self, info: &'static TypeInfo) -> Result<Object, DecodeError> {
        let mut data = info.instance();
        self.fields(&mut *data, None)?;
        Ok(Object::with_unknown(data, None))
    }

    /// Reads the fields of `object` up to the end of the current element. What no field is for goes to `unknown`.
    fn fields(
        &mut self,
        object: &mut dyn DataObject,
        mut unknown: Option<&mut Vec<Element>>,
    ) -> Result<(), DecodeError> {
        let fields = object.info().fields();
        // Where the last element was found: elements come in the order of the schema almost always.
        let mut last = 0;
        while let Next::Child(tag) = self.cursor.next()? {
            match (index_of(fields, last, &tag), &mut unknown) {
                (Some(_), _) if tag.is_nil() => self.cursor.skip()?,
                (Some(index), _) => {
                    last = index;
                    self.field(object, index, &tag)?;
                }
                (None, Some(unknown)) => unknown.push(self.cursor.element(&tag)?),
                (None, None) => self.cursor.skip()?,
            }
        }
        Ok(())
    }

    fn field(&mut self, object: &mut dyn DataObject, index: usize, tag: &Tag<'a>) -> Result<(), DecodeError> {
        match object.slot(index) {
            Slot::Scalar(scalar) => {
                let content = self.cursor.text()?;
                match scalar.put(Text { content, reference_type: tag.reference_type() }) {
                    Ok(()) => Ok(()),
                    Err(bad) => {
                        let (owner, name, expected) = (object.info().name(), tag.name(), bad.expected);
                        Err(self.cursor.error(format!("the text of {owner}.{name} is not of type {expected}")))
                    }
                }
            }
            Slot::Data(data) => self.fields(data, None),
            Slot::List(list) => self.fields(list.push_new(), None),
            Slot::Poly(poly) => {
                let object = self.object(tag, poly.base())?;
                // `object` is of the base type or extends it, so that the slot takes it.
                drop(poly.put(object));
                Ok(())
            }
            Slot::Any(any) => {
                any.put(self.any(tag)?);
                Ok(())
            }
            Slot::None => self.cursor.skip(),
        }
    }
}

/// The index of the field that the element is for, looked for from the one of the element before it onwards.
fn index_of(fields: &[FieldInfo], last: usize, tag: &Tag<'_>) -> Option<usize> {
    let find = |name: &str| {
        let (before, after) = fields.split_at(last);
        let ahead = after.iter().position(|field| field.name == name).map(|offset| last + offset);
        ahead.or_else(|| before.iter().position(|field| field.name == name))
    };
    // Servers write no prefix, so that it is looked for only where the whole name is not a field's.
    let name = tag.qualified_name();
    find(name).or_else(|| if name.contains(':') { find(tag.name()) } else { None })
}

/// The type of the items of `ArrayOf{item}`: `String` is `xsd:string`, `VirtualDevice` a type of the API.
fn item_type(registry: &Registry, item: &str) -> Option<Type> {
    registry.find(item).or_else(|| Type::built_in_item(item))
}
