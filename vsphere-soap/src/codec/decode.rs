//! Reading: one loop for all types.

use std::borrow::Cow;

use super::DecodeError;
use super::cursor::{Cursor, Next, Tag, is_name};
use super::note::Notes;
use crate::object::{
    Any, Array, Binary, DataObject, DateTime, Element, EnumValue, FieldInfo, Leaf, ManagedObjectReference, Object,
    Registry, Slot, Text, Type, TypeInfo, Unknown,
};
use crate::request::Items;
use crate::secrets::Secrets;

/// Reads values from an XML document, from front to back.
pub struct Decoder<'a> {
    cursor: Cursor<'a>,
    registry: &'static Registry,
    /// What was passed over; `None` where that is an error.
    notes: Option<Notes>,
    /// Whether the document has characters in the place of bytes that are not UTF-8.
    is_lossy: bool,
    /// Is shown the items of lists.
    items: Option<Items<'a>>,
}

const REPLACED: char = char::REPLACEMENT_CHARACTER;

impl<'a> Decoder<'a> {
    /// A decoder at the start of `document`, which knows the types of `registry`.
    pub fn new(document: &'a [u8], registry: &'static Registry) -> Self {
        Self { cursor: Cursor::new(document), registry, notes: None, is_lossy: false, items: None }
    }

    /// The same, where a leaf whose text is not of its type is no error: it is left unset, or with its default where it
    /// must be set, and [noted](Self::notes). `is_lossy` says that bytes that are not UTF-8 were replaced, so that texts
    /// with them are noted too.
    pub fn lenient(document: &'a str, is_lossy: bool, registry: &'static Registry) -> Self {
        let cursor = Cursor::new(document.as_bytes());
        Self { cursor, registry, notes: Some(Notes::default()), is_lossy, items: None }
    }

    /// Refuses characters that XML does not have, also behind references: what is read can be written again.
    ///
    /// # Errors
    /// The document has such a character as it is.
    pub fn only_writable(mut self) -> Result<Self, DecodeError> {
        self.cursor.only_writable()?;
        Ok(self)
    }

    /// Strikes secrets out of all texts that are read from here on.
    #[must_use]
    pub fn striking(mut self, secrets: &'a Secrets) -> Self {
        self.cursor.strike(secrets);
        self
    }

    /// Shows each item of a list that is an object to `items` as soon as it is read.
    #[must_use]
    pub fn with_items(self, items: Option<Items<'a>>) -> Self {
        Self { items, ..self }
    }

    /// What was passed over so far.
    pub fn notes(&self) -> Notes {
        self.notes.clone().unwrap_or_default()
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

    /// An error at the current position.
    pub(crate) fn error(&self, message: impl Into<String>) -> DecodeError {
        self.cursor.error(message)
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

    /// The entered element with all that it holds.
    ///
    /// # Errors
    /// The document is not well-formed or nests too deep.
    pub fn element(&mut self, tag: &Tag<'a>) -> Result<Element, DecodeError> {
        self.cursor.element(tag)
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
            Type::Uri => self.leaf::<String>(tag).map(|text| match text {
                Any::String(text) => Any::Uri(text),
                other => other,
            }),
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
            (None, Some(item)) if is_name(item) => self.array(item),
            (None, _) => self.cursor.element(tag).map(Box::new).map(Any::Unknown),
        }
    }

    /// A value without `xsi:type` where any type may stand: text where it is text, else the element as it is.
    fn untyped(&mut self, tag: &Tag<'a>) -> Result<Any, DecodeError> {
        let mut element = self.cursor.element(tag)?;
        element.type_name = None;
        Ok(if element.children.is_empty() { Any::String(element.text) } else { Any::Unknown(Box::new(element)) })
    }

    fn leaf<T: Leaf + Into<Any>>(&mut self, tag: &Tag<'a>) -> Result<Any, DecodeError> {
        let start = self.cursor.before().len();
        let content = self.cursor.text()?;
        if self.is_lossy && content.contains(REPLACED) {
            self.note(start, tag, "UTF-8", false);
        }
        match T::parse(Text { content, reference_type: tag.reference_type() }) {
            Ok(value) => Ok(value.map_or(Any::Unset, Into::into)),
            Err(bad) => {
                self.pass_over(start, tag, bad.expected, false, || format!("<{}>", tag.name()))?;
                Ok(Any::Unset)
            }
        }
    }

    /// Notes a leaf whose text begins at `start`.
    #[cold]
    fn note(&mut self, start: usize, tag: &Tag<'a>, expected: &'static str, is_secret: bool) {
        if let Some(notes) = &mut self.notes {
            notes.add(self.cursor.before(), start, tag.name(), expected, is_secret);
        }
    }

    /// Notes a leaf whose text, which begins at `start`, is not of its type; an error where that is not allowed.
    #[cold]
    fn pass_over(
        &mut self,
        start: usize,
        tag: &Tag<'a>,
        expected: &'static str,
        is_secret: bool,
        named: impl FnOnce() -> String,
    ) -> Result<(), DecodeError> {
        if self.notes.is_none() {
            return Err(self.cursor.error(format!("the text of {} is not of type {expected}", named())));
        }
        self.note(start, tag, expected, is_secret);
        Ok(())
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
                let start = self.cursor.before().len();
                let content = self.cursor.text()?;
                let replaced = self.is_lossy && content.contains(REPLACED);
                let put = scalar.put(Text { content, reference_type: tag.reference_type() });
                if replaced {
                    self.note(start, tag, "UTF-8", is_secret(object, index));
                }
                match put {
                    Ok(()) => Ok(()),
                    Err(bad) => {
                        let named = || format!("{}.{}", object.info().name(), tag.name());
                        self.pass_over(start, tag, bad.expected, is_secret(object, index), named)
                    }
                }
            }
            Slot::Data(data) => self.fields(data, None),
            Slot::List(list) => {
                let item = list.push_new();
                self.fields(item, None)?;
                if let Some(items) = self.items {
                    items(item);
                }
                Ok(())
            }
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

fn is_secret(object: &dyn DataObject, index: usize) -> bool {
    object.info().fields().get(index).is_some_and(|field| field.secret)
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
