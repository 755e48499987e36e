//! A cursor over XML: start tags with the attributes that the API uses, text, end tags; bounded and namespace-aware.

use std::borrow::Cow;
use std::fmt;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{MAX_DEPTH, XSI};
use crate::object::{Element, Text};

/// XML that can't be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    message: String,
    offset: u64,
}

impl DecodeError {
    /// An error at this byte of the document.
    pub(crate) fn new(message: impl Into<String>, offset: u64) -> Self {
        Self { message: message.into(), offset }
    }

    /// Where in the document, in bytes from its start.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What is wrong, and where in the document, in bytes from its start.
    pub fn into_parts(self) -> (String, u64) {
        (self.message, self.offset)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.message, self.offset)
    }
}

impl std::error::Error for DecodeError {}

/// A start tag.
pub(super) struct Tag<'a> {
    start: BytesStart<'a>,
    /// The attributes; not read from tags that have none.
    pub(super) attributes: Attributes<'a>,
}

impl Tag<'_> {
    /// The local name.
    pub(super) fn name(&self) -> &str {
        local(self.start.name().0)
    }
}

/// The attributes that the API uses.
#[derive(Default)]
pub(super) struct Attributes<'a> {
    /// The local name in `xsi:type`.
    pub(super) type_name: Option<Cow<'a, str>>,
    /// The attribute `type` without namespace, which references carry.
    pub(super) reference_type: Option<Cow<'a, str>>,
    /// `xsi:nil`.
    pub(super) nil: bool,
}

/// What comes next inside an element.
pub(super) enum Next<'a> {
    /// A child element.
    Child(Tag<'a>),
    /// The end of the element.
    End,
}

/// Reads a document from front to back.
pub(super) struct Cursor<'a> {
    reader: Reader<&'a [u8]>,
    document: &'a str,
    depth: usize,
    /// The prefixes that are bound, and whether to the schema-instance namespace, with the depth of the binding.
    prefixes: Vec<(usize, &'a str, bool)>,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `document`.
    pub(super) fn new(document: &'a [u8]) -> Result<Self, DecodeError> {
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        let document = std::str::from_utf8(document)
            .map_err(|e| DecodeError::new("the document is not UTF-8", e.valid_up_to() as u64))?;
        let mut reader = Reader::from_str(document);
        reader.config_mut().expand_empty_elements = true;
        Ok(Self { reader, document, depth: 0, prefixes: Vec::new() })
    }

    /// An error at the current position.
    pub(super) fn error(&self, message: impl Into<String>) -> DecodeError {
        DecodeError::new(message, self.reader.buffer_position())
    }

    fn event(&mut self) -> Result<Event<'a>, DecodeError> {
        self.reader.read_event().map_err(|e| DecodeError::new(e.to_string(), self.reader.error_position()))
    }

    /// The next child element or the end of the current one; text in between is passed over.
    pub(super) fn next(&mut self) -> Result<Next<'a>, DecodeError> {
        loop {
            match self.event()? {
                Event::Start(start) => return self.enter(start).map(Next::Child),
                Event::End(_) => {
                    self.leave();
                    return Ok(Next::End);
                }
                Event::Eof if self.depth == 0 => return Ok(Next::End),
                Event::Eof => return Err(self.error("the document ends in the middle")),
                Event::DocType(_) => return Err(self.error("a document type declaration is not allowed")),
                _ => {}
            }
        }
    }

    /// The text of the current element, up to its end; child elements are passed over.
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        let mut text = Cow::Borrowed("");
        loop {
            match self.event()? {
                Event::Text(part) => append(&mut text, part.into_inner()),
                Event::CData(part) => append(&mut text, part.into_inner()),
                Event::GeneralRef(reference) => text.to_mut().push(self.character(&reference.into_inner())?),
                Event::Start(start) => {
                    self.enter(start)?;
                    self.skip()?;
                }
                Event::End(_) => {
                    self.leave();
                    return Ok(text);
                }
                Event::Eof => return Err(self.error("the document ends in the middle")),
                _ => {}
            }
        }
    }

    /// Passes over the rest of the current element.
    pub(super) fn skip(&mut self) -> Result<(), DecodeError> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            match self.event()? {
                // Not `enter`: what is skipped may nest as deep as it likes, it takes no memory.
                Event::Start(_) => self.depth += 1,
                Event::End(_) => self.leave(),
                Event::Eof => return Err(self.error("the document ends in the middle")),
                _ => {}
            }
        }
        Ok(())
    }

    /// The current element with all that it holds.
    pub(super) fn element(&mut self, tag: Tag<'a>) -> Result<Element, DecodeError> {
        let mut element = Element {
            name: tag.name().to_owned(),
            type_name: tag.attributes.type_name.map(Cow::into_owned),
            reference_type: tag.attributes.reference_type.map(Cow::into_owned),
            ..Element::default()
        };
        let mut text = Cow::Borrowed("");
        loop {
            match self.event()? {
                Event::Text(part) => append(&mut text, part.into_inner()),
                Event::CData(part) => append(&mut text, part.into_inner()),
                Event::GeneralRef(reference) => text.to_mut().push(self.character(&reference.into_inner())?),
                Event::Start(start) => {
                    let tag = self.enter(start)?;
                    element.children.push(self.element(tag)?);
                }
                Event::End(_) => {
                    self.leave();
                    if element.children.is_empty() {
                        element.text = text.into_owned();
                    }
                    return Ok(element);
                }
                Event::Eof => return Err(self.error("the document ends in the middle")),
                _ => {}
            }
        }
    }

    fn character(&self, name: &str) -> Result<char, DecodeError> {
        resolve(name)
            .ok_or_else(|| self.error(format!("the entity \"&{name};\" is not known, and none may be declared")))
    }

    /// The text of the current element as a scalar's.
    pub(super) fn scalar(&mut self, attributes: Attributes<'a>) -> Result<Text<'a>, DecodeError> {
        Ok(Text { content: self.text()?, reference_type: attributes.reference_type })
    }

    fn enter(&mut self, start: BytesStart<'a>) -> Result<Tag<'a>, DecodeError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("elements nest more than {MAX_DEPTH} deep")));
        }
        let attributes =
            if start.attributes_raw().is_empty() { Attributes::default() } else { self.attributes(&start)? };
        Ok(Tag { start, attributes })
    }

    fn leave(&mut self) {
        while self.prefixes.last().is_some_and(|(depth, ..)| *depth >= self.depth) {
            self.prefixes.pop();
        }
        self.depth = self.depth.saturating_sub(1);
    }

    fn attributes(&mut self, start: &BytesStart<'a>) -> Result<Attributes<'a>, DecodeError> {
        let Some(raw) = self.raw_attributes(start) else { return Err(self.error("a start tag is malformed")) };
        let mut found = Attributes::default();
        let pairs = Pairs { rest: raw };
        for pair in pairs.clone() {
            let Some((key, value)) = pair else { return Err(self.error("an attribute is malformed")) };
            if let Some(prefix) = key.strip_prefix("xmlns:") {
                self.prefixes.push((self.depth, prefix, value == XSI));
            }
        }
        for (key, value) in pairs.flatten() {
            match key.split_once(':') {
                None if key == "type" => found.reference_type = Some(self.unescape(value)?),
                Some((prefix, "type")) if self.is_xsi(prefix) => {
                    found.type_name = Some(match self.unescape(value)? {
                        Cow::Borrowed(name) => Cow::Borrowed(local(name)),
                        Cow::Owned(name) => Cow::Owned(local(&name).to_owned()),
                    });
                }
                Some((prefix, "nil")) if self.is_xsi(prefix) => found.nil = matches!(value.trim(), "true" | "1"),
                _ => {}
            }
        }
        Ok(found)
    }

    /// The attributes of the tag that was just read, as they stand in the document. (What the reader gives borrows from
    /// the tag; these bytes outlive it, so that nothing is copied.)
    fn raw_attributes(&self, start: &BytesStart<'a>) -> Option<&'a str> {
        let end = usize::try_from(self.reader.buffer_position()).ok()?;
        let raw = start.attributes_raw();
        // The tag ends with `>`, or with `/>` that the reader has expanded.
        [1, 2].into_iter().find_map(|closing| {
            let to = end.checked_sub(closing)?;
            self.document.get(to.checked_sub(raw.len())?..to).filter(|same| *same == raw)
        })
    }

    fn is_xsi(&self, prefix: &str) -> bool {
        self.prefixes.iter().rev().find(|(_, bound, _)| *bound == prefix).is_some_and(|(.., xsi)| *xsi)
    }

    fn unescape(&self, value: &'a str) -> Result<Cow<'a, str>, DecodeError> {
        quick_xml::escape::unescape(value).map_err(|e| self.error(e.to_string()))
    }
}

/// The `key="value"` pairs of a start tag; `None` for one that is malformed.
#[derive(Clone)]
struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Option<(&'a str, &'a str)>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.trim_ascii_start();
        self.rest = "";
        if rest.is_empty() {
            return None;
        }
        let pair = || {
            let (key, after) = rest.split_once('=')?;
            let after = after.trim_ascii_start();
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let (value, after) = after.get(1..)?.split_once(quote)?;
            Some((key.trim_ascii_end(), value, after))
        };
        match pair() {
            Some((key, value, after)) => {
                self.rest = after;
                Some(Some((key, value)))
            }
            None => Some(None),
        }
    }
}

fn append<'a>(text: &mut Cow<'a, str>, part: Cow<'a, str>) {
    if text.is_empty() {
        *text = part;
    } else {
        text.to_mut().push_str(&part);
    }
}

/// The character of a predefined entity or a character reference.
fn resolve(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

/// The part of a name after its prefix.
pub(super) fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}
