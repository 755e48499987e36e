//! Reading: one loop for all types.

use std::borrow::Cow;

use super::DecodeError;
use super::cursor::{Attributes, Cursor, Next, Tag};
use crate::object::{
    Any, Array, Binary, DataObject, DateTime, Element, EnumValue, FieldInfo, Leaf, ManagedObjectReference, Object,
    Registry, Slot, Text, Type, TypeInfo, Unknown,
};

/// Reads data objects from an XML document.
pub struct Decoder<'a> {
    cursor: Cursor<'a>,
    registry: &'static Registry,
}

impl<'a> Decoder<'a> {
    /// A decoder at the start of `document`, which knows the types of `registry`.
    ///
    /// # Errors
    /// The document is not UTF-8.
    pub fn new(document: &'a [u8], registry: &'static Registry) -> Result<Self, DecodeError> {
        Ok(Self { cursor: Cursor::new(document)?, registry })
    }

    /// Enters the next element on this level and gives its local name; `None` at the end of the level.
    ///
    /// # Errors
    /// The document is not well-formed.
    pub fn enter(&mut self) -> Result<Option<Entered<'a>>, DecodeError> {
        Ok(match self.cursor.next()? {
            Next::Child(tag) => Some(Entered { tag }),
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

    /// The entered element as it is.
    ///
    /// # Errors
    /// The document is not well-formed or nests too deep.
    pub fn element(&mut self, entered: Entered<'a>) -> Result<Element, DecodeError> {
        self.cursor.element(entered.tag)
    }

    /// The value of the entered element, which is declared as `ty`.
    ///
    /// # Errors
    /// The document is not well-formed, or a text is not a value of its type.
    pub fn value(&mut self, entered: Entered<'a>, ty: Type) -> Result<Any, DecodeError> {
        self.typed(entered.tag, ty)
    }

    /// Fills `object` from the entered element.
    ///
    /// # Errors
    /// The document is not well-formed, or a text is not a value of its type.
    pub fn fill(&mut self, _entered: Entered<'a>, object: &mut dyn DataObject) -> Result<(), DecodeError> {
        self.data(object, None)
    }

    /// Reads the fields of `object` up to the end of the current element. What no field is for goes to `unknown`.
    fn data(&mut self, object: &mut dyn DataObject, mut unknown: Option<&mut Vec<Element>>) -> Result<(), DecodeError> {
        let info = object.info();
        let fields = info.fields();
        // Elements come in the order of the schema almost always: look from the last hit onwards first.
        let mut at = 0;
        while let Next::Child(tag) = self.cursor.next()? {
            let name = tag.name();
            let (before, after) = fields.split_at(at);
            let found = after.iter().position(|field| field.name == name).map(|offset| at + offset);
            let found = found.or_else(|| before.iter().position(|field| field.name == name));
            match (found, &mut unknown) {
                (Some(index), _) => {
                    at = index;
                    if tag.attributes.nil {
                        self.cursor.skip()?;
                    } else {
                        self.field(object, index, tag, &fields[index], info)?;
                    }
                }
                (None, Some(unknown)) => unknown.push(self.cursor.element(tag)?),
                (None, None) => self.cursor.skip()?,
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        object: &mut dyn DataObject,
        index: usize,
        tag: Tag<'a>,
        field: &FieldInfo,
        owner: &TypeInfo,
    ) -> Result<(), DecodeError> {
        match object.slot(index) {
            Slot::Scalar(scalar) => {
                let text = self.cursor.scalar(tag.attributes)?;
                scalar.put(text).map_err(|bad| {
                    let (owner, name, expected) = (owner.name(), field.name, bad.expected);
                    self.cursor.error(format!("the text of {owner}.{name} is not of type {expected}"))
                })
            }
            Slot::Data(data) => self.data(data, None),
            Slot::List(list) => self.data(list.push_new(), None),
            Slot::Poly(poly) => {
                let base = poly.base();
                let object = self.object(tag.attributes.type_name, base)?;
                // `object` is of type `base` or extends it, so that the slot takes it.
                drop(poly.put(object));
                Ok(())
            }
            Slot::Any(any) => {
                let value = self.typed(tag, field.ty)?;
                any.put(value);
                Ok(())
            }
            Slot::None => self.cursor.skip(),
        }
    }

    /// Reads an object that is declared as `base` and may be of a type that extends it.
    fn object(&mut self, type_name: Option<Cow<'a, str>>, base: &'static TypeInfo) -> Result<Object, DecodeError> {
        let Some(name) = type_name.filter(|name| *name != base.name()) else {
            let mut data = base.instance();
            self.data(&mut *data, None)?;
            return Ok(Object::with_unknown(data, None));
        };
        match self.registry.data(&name) {
            Some(info) if info.is_a(base) => {
                let mut data = info.instance();
                self.data(&mut *data, None)?;
                Ok(Object::with_unknown(data, None))
            }
            Some(_) => {
                // A type of another family can't stand here; what the declared type has is still read.
                let mut data = base.instance();
                self.data(&mut *data, None)?;
                Ok(Object::with_unknown(data, None))
            }
            None => {
                let mut data = base.instance();
                let mut elements = Vec::new();
                self.data(&mut *data, Some(&mut elements))?;
                Ok(Object::with_unknown(data, Some(Unknown { type_name: name.into_owned(), elements })))
            }
        }
    }

    /// Reads a value that is declared as `declared`, or as the type that its `xsi:type` names.
    fn typed(&mut self, tag: Tag<'a>, declared: Type) -> Result<Any, DecodeError> {
        if tag.attributes.nil {
            self.cursor.skip()?;
            return Ok(Any::Unset);
        }
        let ty = match (&tag.attributes.type_name, declared) {
            (Some(name), Type::Any) => match self.registry.find(name) {
                Some(ty) => ty,
                None => return self.unregistered(tag),
            },
            _ => declared,
        };
        match ty {
            Type::Boolean => self.leaf::<bool>(tag.attributes),
            Type::Byte => self.leaf::<i8>(tag.attributes),
            Type::Short => self.leaf::<i16>(tag.attributes),
            Type::Int => self.leaf::<i32>(tag.attributes),
            Type::Long => self.leaf::<i64>(tag.attributes),
            Type::Float => self.leaf::<f32>(tag.attributes),
            Type::Double => self.leaf::<f64>(tag.attributes),
            Type::String => self.leaf::<String>(tag.attributes),
            Type::Uri => self.cursor.text().map(|text| Any::Uri(text.into_owned())),
            Type::DateTime => self.leaf::<DateTime>(tag.attributes),
            Type::Binary => self.leaf::<Binary>(tag.attributes),
            Type::Ref => self.leaf::<ManagedObjectReference>(tag.attributes),
            Type::Enum(info) => {
                let value = self.cursor.text()?.into_owned();
                Ok(if value.is_empty() { Any::Unset } else { Any::Enum(EnumValue { info, value }) })
            }
            Type::Data(info) => self.object(tag.attributes.type_name, info).map(Any::Object),
            Type::Any => self.untyped(tag),
        }
    }

    /// A value whose `xsi:type` the registry does not have: an array, or a type that the model does not know.
    fn unregistered(&mut self, tag: Tag<'a>) -> Result<Any, DecodeError> {
        match tag.attributes.type_name.as_deref().and_then(|name| name.strip_prefix("ArrayOf")) {
            Some(item) => {
                let item = item.to_owned();
                self.array(item)
            }
            None => self.cursor.element(tag).map(Any::Unknown),
        }
    }

    fn leaf<T: Leaf + Into<Any>>(&mut self, attributes: Attributes<'a>) -> Result<Any, DecodeError> {
        let text: Text<'_> = self.cursor.scalar(attributes)?;
        let value = T::parse(text)
            .map_err(|bad| self.cursor.error(format!("the text of a value is not of type {}", bad.expected)))?;
        Ok(value.map_or(Any::Unset, Into::into))
    }

    /// A value without `xsi:type` where any type may stand: text where it is text, else the element as it is.
    fn untyped(&mut self, tag: Tag<'a>) -> Result<Any, DecodeError> {
        let element = self.cursor.element(tag)?;
        Ok(if element.children.is_empty() { Any::String(element.text) } else { Any::Unknown(element) })
    }

    /// Reads the items of an `ArrayOf…`. Each says its type, or has the one that the array or its own name says.
    fn array(&mut self, item: String) -> Result<Any, DecodeError> {
        let declared = item_type(self.registry, &item);
        let mut items = Vec::new();
        while let Next::Child(tag) = self.cursor.next()? {
            // An array of faults holds bare or localized ones: there the element's name tells.
            let named = match (declared, self.registry.data(tag.name())) {
                (Some(Type::Data(declared)), Some(named)) if !named.is_a(declared) => Some(Type::Data(named)),
                (declared, _) => declared,
            };
            items.push(self.typed(tag, named.unwrap_or(Type::Any))?);
        }
        Ok(Any::Array(Array { item, items }))
    }
}

/// The type of the items of `ArrayOf{item}`: `String` is `xsd:string`, `VirtualDevice` a type of the API.
pub(crate) fn item_type(registry: &Registry, item: &str) -> Option<Type> {
    registry.find(item).or_else(|| match item {
        "AnyURI" | "Uri" => Some(Type::Uri),
        _ => {
            let mut name = item.to_owned();
            name.get_mut(..1)?.make_ascii_lowercase();
            Type::built_in(&name)
        }
    })
}

/// An element that was entered and not yet read.
pub struct Entered<'a> {
    tag: Tag<'a>,
}

impl Entered<'_> {
    /// The local name.
    pub fn name(&self) -> &str {
        self.tag.name()
    }

    /// The local name in `xsi:type`.
    pub fn type_name(&self) -> Option<&str> {
        self.tag.attributes.type_name.as_deref()
    }
}
