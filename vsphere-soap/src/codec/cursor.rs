//! A cursor over XML: start tags with the attributes that the API uses, text, end tags; bounded and namespace-aware.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::encode::is_writable;
use super::tokens::{Token, Tokens};
use super::{MAX_DEPTH, XSI};
use crate::object::Element;
use crate::secrets::{Secrets, resolve};

/// How many prefixes of the schema-instance namespace may be in scope. Servers declare one; a bound keeps a hostile
/// document from making each look-up slow.
const MAX_BINDINGS: usize = 64;

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

    /// What is wrong, and where.
    pub(crate) fn into_parts(self) -> (String, u64) {
        (self.message, self.offset)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.message, self.offset)
    }
}

impl std::error::Error for DecodeError {}

/// A start tag whose element was entered and not yet read.
pub struct Tag<'a> {
    /// What stands between its brackets.
    text: &'a str,
    /// The length of the name.
    name: usize,
    attributes: Attributes,
}

impl<'a> Tag<'a> {
    /// The local name.
    pub fn name(&self) -> &'a str {
        local(self.qualified_name())
    }

    /// The name with its prefix.
    #[inline]
    pub(super) fn qualified_name(&self) -> &'a str {
        &self.text[..self.name]
    }

    /// The local name in `xsi:type`.
    pub fn type_name(&self) -> Option<Cow<'a, str>> {
        self.attribute(self.attributes.type_name).map(|name| match name {
            Cow::Borrowed(name) => Cow::Borrowed(local(name).trim_ascii()),
            Cow::Owned(name) => Cow::Owned(local(&name).trim_ascii().to_owned()),
        })
    }

    /// The attribute `type` without namespace, which references carry.
    pub(super) fn reference_type(&self) -> Option<Cow<'a, str>> {
        self.attribute(self.attributes.reference_type)
    }

    /// Whether `xsi:nil` is true.
    pub(super) fn is_nil(&self) -> bool {
        self.attributes.nil
    }

    #[inline]
    fn attribute(&self, span: Option<Span>) -> Option<Cow<'a, str>> {
        let span = span?;
        let raw = self.text.get(span.range())?;
        // The cursor has seen to it that the entities are good.
        Some(if span.escaped { unescape(raw).unwrap_or(Cow::Borrowed(raw)) } else { Cow::Borrowed(raw) })
    }
}

/// The attributes that the API uses: where their values stand in the tag.
#[derive(Default)]
struct Attributes {
    type_name: Option<Span>,
    reference_type: Option<Span>,
    nil: bool,
}

/// Where the value of an attribute stands in its tag, and whether it has entities. (Small, because every tag is moved.)
#[derive(Clone, Copy)]
struct Span {
    from: u32,
    to: u32,
    escaped: bool,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.from as usize..self.to as usize
    }
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
    tokens: Tokens<'a>,
    depth: usize,
    bindings: Vec<Binding>,
    /// Whether the document has carriage returns anywhere: most have none, so that no text is searched for them.
    carriage_returns: bool,
    /// What is struck out of all texts.
    secrets: Option<&'a Secrets>,
    /// Whether references to characters that XML does not have are errors.
    writable_only: bool,
}

/// A prefix that is, or here no longer is, bound to the schema-instance namespace. Other bindings don't matter.
struct Binding {
    prefix: Box<str>,
    is_xsi: bool,
    depth: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `document`.
    pub(super) fn new(document: &'a [u8]) -> Self {
        Self {
            tokens: Tokens::new(document),
            depth: 0,
            bindings: Vec::new(),
            carriage_returns: document.contains(&b'\r'),
            secrets: None,
            writable_only: false,
        }
    }

    /// Lets characters that XML does not have be errors from here on.
    pub(super) fn only_writable(&mut self) -> Result<(), DecodeError> {
        self.writable_only = true;
        let foreign = self.tokens.after().char_indices().find(|(_, character)| !is_writable(*character));
        let Some((at, character)) = foreign else { return Ok(()) };
        let offset = self.tokens.position() + u64::try_from(at).unwrap_or_default();
        Err(DecodeError::new(foreign_character(character), offset))
    }

    /// Strikes these out of all texts.
    pub(super) fn strike(&mut self, secrets: &'a Secrets) {
        self.secrets = Some(secrets);
    }

    /// The document up to the current position.
    pub(super) fn before(&self) -> &'a str {
        self.tokens.before()
    }

    /// An error at the current position.
    #[cold]
    pub(super) fn error(&self, message: impl Into<String>) -> DecodeError {
        DecodeError::new(message, self.tokens.position())
    }

    /// The next child element or the end of the current one; text in between is passed over.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Next<'a>, DecodeError> {
        loop {
            match self.token()? {
                Token::Start { tag, name } => return self.enter(tag, name).map(Next::Child),
                Token::End => {
                    self.leave();
                    return Ok(Next::End);
                }
                Token::Eof => return Ok(Next::End),
                _ => {}
            }
        }
    }

    /// The text of the current element, up to its end; child elements are passed over.
    #[inline]
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        if !self.carriage_returns
            && self.secrets.is_none()
            && let Some(text) = self.tokens.plain_text()
        {
            self.leave();
            return Ok(Cow::Borrowed(text));
        }
        self.mixed_text()
    }

    /// The same, where more than text may be in it.
    fn mixed_text(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        let mut text = Cow::Borrowed("");
        loop {
            match self.token()? {
                Token::Text(part) => self.append(&mut text, part),
                Token::Reference(name) => text.to_mut().push(self.character(name)?),
                Token::End => {
                    self.leave();
                    return Ok(self.struck(text));
                }
                Token::Start { .. } => {
                    self.depth += 1;
                    self.skip()?;
                }
                _ => {}
            }
        }
    }

    /// Passes over the rest of the current element.
    pub(super) fn skip(&mut self) -> Result<(), DecodeError> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            match self.token()? {
                // Not `enter`: what is skipped may nest as deep as it likes, nothing here recurses.
                Token::Start { .. } => self.depth += 1,
                Token::End => self.leave(),
                _ => {}
            }
        }
        Ok(())
    }

    /// The current element with all that it holds.
    pub(super) fn element(&mut self, tag: &Tag<'a>) -> Result<Element, DecodeError> {
        if !is_name(tag.name()) {
            return Err(self.error("the name of an element is malformed"));
        }
        let mut element = Element {
            name: tag.name().to_owned(),
            type_name: tag.type_name().map(Cow::into_owned),
            reference_type: tag.reference_type().map(Cow::into_owned),
            ..Element::default()
        };
        let mut text = Cow::Borrowed("");
        loop {
            match self.token()? {
                Token::Text(part) => self.append(&mut text, part),
                Token::Reference(name) => text.to_mut().push(self.character(name)?),
                Token::Start { tag, name } => {
                    let tag = self.enter(tag, name)?;
                    element.children.push(self.element(&tag)?);
                }
                Token::End => {
                    self.leave();
                    if element.children.is_empty() {
                        element.text = self.struck(text).into_owned();
                    }
                    return Ok(element);
                }
                _ => {}
            }
        }
    }

    /// The next token. The end of the document comes only outside of its root.
    #[inline(always)]
    fn token(&mut self) -> Result<Token<'a>, DecodeError> {
        match self.tokens.next() {
            Ok(Token::Eof) if self.depth > 0 => Err(self.error("the document ends in the middle")),
            token => token,
        }
    }

    #[inline]
    fn enter(&mut self, text: &'a str, name: usize) -> Result<Tag<'a>, DecodeError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("elements nest more than {MAX_DEPTH} deep")));
        }
        let attributes = if text.len() == name { Attributes::default() } else { self.attributes(text, name)? };
        Ok(Tag { text, name, attributes })
    }

    #[inline]
    fn leave(&mut self) {
        while self.bindings.last().is_some_and(|binding| binding.depth >= self.depth) {
            self.bindings.pop();
        }
        self.depth = self.depth.saturating_sub(1);
    }

    fn attributes(&mut self, start: &str, first: usize) -> Result<Attributes, DecodeError> {
        let mut found = Attributes::default();
        let mut declares = false;
        let mut pairs = Pairs { tag: start, at: first };
        while let Some((key, span)) = pairs.next().map_err(|()| self.error("an attribute is malformed"))? {
            match key.strip_prefix("xmlns:") {
                Some(prefix) => {
                    self.bind(prefix, &start[span.range()])?;
                    declares = true;
                }
                None => self.note(&mut found, key, span, start)?,
            }
        }
        if declares {
            // A declaration holds for the whole tag, also for what stands before it.
            found = Attributes::default();
            let mut pairs = Pairs { tag: start, at: first };
            while let Ok(Some((key, span))) = pairs.next() {
                self.note(&mut found, key, span, start)?;
            }
        }
        Ok(found)
    }

    /// Remembers the attribute where it is one that the API uses.
    fn note(&self, found: &mut Attributes, key: &str, span: Span, tag: &str) -> Result<(), DecodeError> {
        let value = &tag[span.range()];
        let place = if key == "type" {
            &mut found.reference_type
        } else if key.strip_suffix(":type").is_some_and(|prefix| self.is_xsi(prefix)) {
            &mut found.type_name
        } else {
            if key.strip_suffix(":nil").is_some_and(|prefix| self.is_xsi(prefix)) {
                found.nil = matches!(value.trim_ascii(), "true" | "1");
            }
            return Ok(());
        };
        if span.escaped {
            let value = unescape(value).map_err(|e| self.error(e.to_string()))?;
            value.chars().try_for_each(|character| self.check(character))?;
        }
        *place = Some(span);
        Ok(())
    }

    fn bind(&mut self, prefix: &str, namespace: &str) -> Result<(), DecodeError> {
        let is_xsi = namespace == XSI;
        if is_xsi || self.is_xsi(prefix) {
            if self.bindings.len() == MAX_BINDINGS {
                return Err(self.error(format!("more than {MAX_BINDINGS} prefixes are bound to {XSI}")));
            }
            self.bindings.push(Binding { prefix: prefix.into(), is_xsi, depth: self.depth });
        }
        Ok(())
    }

    fn is_xsi(&self, prefix: &str) -> bool {
        self.bindings.iter().rev().find(|binding| *binding.prefix == *prefix).is_some_and(|binding| binding.is_xsi)
    }

    #[inline]
    fn append(&self, text: &mut Cow<'a, str>, part: &'a str) {
        // XML has any line end read as a line feed.
        let part = if self.carriage_returns && part.contains('\r') {
            Cow::Owned(part.replace("\r\n", "\n").replace('\r', "\n"))
        } else {
            Cow::Borrowed(part)
        };
        if text.is_empty() {
            *text = part;
        } else {
            text.to_mut().push_str(&part);
        }
    }

    fn struck(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        match self.secrets.map(|secrets| secrets.strike(&text)) {
            Some(Cow::Owned(struck)) => Cow::Owned(struck),
            _ => text,
        }
    }

    fn character(&self, name: &str) -> Result<char, DecodeError> {
        let character = resolve(name)
            .ok_or_else(|| self.error(format!("the entity \"&{name};\" is not known, and none may be declared")))?;
        self.check(character)?;
        Ok(character)
    }

    /// Whether a character that stands behind a reference may be read.
    fn check(&self, character: char) -> Result<(), DecodeError> {
        if self.writable_only && !is_writable(character) {
            return Err(self.error(foreign_character(character)));
        }
        Ok(())
    }
}

/// The `key="value"` pairs of a start tag, one at a time: the key, and where the value stands. (The tokenizer's own
/// iterator costs more than all the rest of a tag.)
struct Pairs<'t> {
    tag: &'t str,
    at: usize,
}

impl<'t> Pairs<'t> {
    fn next(&mut self) -> Result<Option<(&'t str, Span)>, ()> {
        let bytes = self.tag.as_bytes();
        let skip_space = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
                at += 1;
            }
            at
        };
        let start = skip_space(self.at);
        if start == bytes.len() {
            return Ok(None);
        }
        let equals = start + bytes[start..].iter().position(|b| *b == b'=').ok_or(())?;
        let open = skip_space(equals + 1);
        let quote = *bytes.get(open).filter(|b| matches!(b, b'"' | b'\'')).ok_or(())?;
        let (from, mut to, mut escaped) = (open + 1, open + 1, false);
        loop {
            match bytes.get(to) {
                Some(byte) if *byte == quote => break,
                Some(byte) => escaped |= *byte == b'&',
                None => return Err(()),
            }
            to += 1;
        }
        self.at = to + 1;
        let place = |at: usize| u32::try_from(at).map_err(|_| ());
        Ok(Some((self.tag[start..equals].trim_ascii_end(), Span { from: place(from)?, to: place(to)?, escaped })))
    }
}

/// An attribute's value with its entities resolved.
fn unescape(value: &str) -> Result<Cow<'_, str>, quick_xml::escape::EscapeError> {
    quick_xml::escape::unescape(value)
}

fn foreign_character(character: char) -> String {
    format!("XML does not have the character U+{:04X}", u32::from(character))
}

/// The part of a name after its prefix.
fn local(name: &str) -> &str {
    match name.bytes().rposition(|b| b == b':') {
        Some(colon) => &name[colon + 1..],
        None => name,
    }
}

/// Whether an element may be written under this name. (The tokenizer lets any text pass that has no space in it.)
pub(super) fn is_name(name: &str) -> bool {
    name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}
