//! A small tree of XML elements, with names resolved by the declarations in scope.
//!
//! A WSDL names types in attribute values (`type="vim25:Event"`), so each element keeps the prefixes that it sees.

use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, bail};
use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

/// No published schema nests deeper than a dozen elements; a bound keeps bad input from exhausting the stack.
const MAX_DEPTH: usize = 100;

/// A name in a namespace; the namespace is empty where none is declared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct QName {
    pub(super) namespace: Rc<str>,
    pub(super) local: String,
}

/// An element with its attributes and child elements; text is of no use in a schema and is dropped.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) name: QName,
    pub(super) children: Vec<Element>,
    attributes: Vec<(String, String)>,
    scope: Scope,
}

/// The prefix declarations that an element sees, the nearest last; the default namespace has the prefix "".
type Scope = Rc<Vec<(String, Rc<str>)>>;

impl Element {
    /// Parses one document and returns its root element.
    pub(super) fn parse(text: &str) -> anyhow::Result<Element> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut open: Vec<Element> = Vec::new();
        let mut root = None;
        loop {
            let event = reader.read_event();
            let line = || line_at(text, reader.buffer_position());
            match event.with_context(|| format!("line {}: malformed XML", line()))? {
                Event::Start(_) if root.is_some() => {
                    bail!("line {}: a second root element", line())
                }
                Event::Start(_) if open.len() == MAX_DEPTH => {
                    bail!("line {}: elements nest deeper than {MAX_DEPTH}", line())
                }
                Event::Start(start) => {
                    let scope = open.last().map(|e| Rc::clone(&e.scope)).unwrap_or_default();
                    let element = Element::open(&start, scope).with_context(|| format!("line {}", line()))?;
                    open.push(element);
                }
                Event::End(_) => {
                    let Some(done) = open.pop() else {
                        bail!("line {}: an end tag without a start tag", line());
                    };
                    match open.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None => root = Some(done),
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        match (open.last(), root) {
            (Some(unfinished), _) => bail!("the file ends inside <{}>", unfinished.name.local),
            (None, Some(root)) => Ok(root),
            (None, None) => bail!("the file holds no element"),
        }
    }

    fn open(start: &BytesStart<'_>, mut scope: Scope) -> anyhow::Result<Element> {
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.context("malformed attribute")?;
            let key: &str = attribute.key.as_ref();
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).context("malformed attribute value")?;
            let prefix = if key == "xmlns" { Some("") } else { key.strip_prefix("xmlns:") };
            match prefix {
                Some(prefix) => Rc::make_mut(&mut scope).push((prefix.to_owned(), Rc::from(value.as_ref()))),
                None => attributes.push((key.to_owned(), value.into_owned())),
            }
        }
        let name = resolve(start.name().as_ref(), &scope)?;
        Ok(Element { name, children: Vec::new(), attributes, scope })
    }

    /// The value of an attribute without prefix.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of an attribute that must be there.
    pub(super) fn required(&self, name: &str) -> anyhow::Result<&str> {
        self.attribute(name).with_context(|| format!("{} has no attribute `{name}`", self.label()))
    }

    /// The value of an attribute as a name, its prefix resolved.
    pub(super) fn qname(&self, attribute: &str) -> anyhow::Result<Option<QName>> {
        self.attribute(attribute)
            .map(|value| resolve(value.trim(), &self.scope).with_context(|| format!("{attribute} of {}", self.label())))
            .transpose()
    }

    /// The value of an attribute that must be there, as a name.
    pub(super) fn required_qname(&self, attribute: &str) -> anyhow::Result<QName> {
        self.required(attribute)?;
        self.qname(attribute)?.with_context(|| format!("{} has no attribute `{attribute}`", self.label()))
    }

    /// Whether the element has this name in this namespace.
    pub(super) fn is(&self, namespace: &str, local: &str) -> bool {
        &*self.name.namespace == namespace && self.name.local == local
    }

    /// The child elements of this name, in this element's own namespace.
    pub(super) fn all<'a>(&'a self, local: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.is(&self.name.namespace, local))
    }

    /// The first child element of this name.
    pub(super) fn first<'a>(&'a self, local: &'a str) -> Option<&'a Element> {
        self.all(local).next()
    }

    /// How messages name the element: `<element name="key">`.
    pub(super) fn label(&self) -> String {
        match self.attribute("name") {
            Some(name) => format!("<{} name=\"{name}\">", self.name.local),
            None => format!("<{}>", self.name.local),
        }
    }
}

/// Reads a file and parses it; errors name it.
pub(super) fn parse_file(path: &Path) -> anyhow::Result<Element> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Element::parse(&text).with_context(|| format!("in {}", path.display()))
}

fn resolve(name: &str, scope: &Scope) -> anyhow::Result<QName> {
    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
    let declared = scope.iter().rev().find(|(known, _)| known == prefix);
    let namespace = match declared {
        Some((_, uri)) => Rc::clone(uri),
        None if prefix.is_empty() => Rc::from(""),
        None if prefix == "xml" => Rc::from("http://www.w3.org/XML/1998/namespace"),
        None => bail!("the prefix of `{name}` is not declared"),
    };
    Ok(QName { namespace, local: local.to_owned() })
}

fn line_at(text: &str, position: u64) -> usize {
    let end = usize::try_from(position).unwrap_or(text.len()).min(text.len());
    1 + text.as_bytes()[..end].iter().filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(text: &str) -> String {
        format!("{:#}", Element::parse(text).unwrap_err())
    }

    #[test]
    fn a_name_belongs_to_the_nearest_declaration() {
        let root = Element::parse(
            r#"<a xmlns="urn:1" xmlns:p="urn:2"><p:b type="p:T"/><c xmlns="urn:3" xmlns:p="urn:4" type="p:T"/></a>"#,
        )
        .unwrap();
        assert!(root.is("urn:1", "a"));
        assert!(root.children[0].is("urn:2", "b"));
        assert_eq!(&*root.children[0].required_qname("type").unwrap().namespace, "urn:2");
        assert!(root.children[1].is("urn:3", "c"));
        assert_eq!(&*root.children[1].required_qname("type").unwrap().namespace, "urn:4");
    }

    #[test]
    fn malformed_documents_are_refused_with_their_line() {
        assert!(failure("<a>\n<b></a>").starts_with("line 2: malformed XML"), "{}", failure("<a>\n<b></a>"));
        assert_eq!(failure("<a><b>"), "the file ends inside <b>");
        assert_eq!(failure("<a/><b/>"), "line 1: a second root element");
        assert_eq!(failure(""), "the file holds no element");
        assert!(failure("<p:a/>").contains("the prefix of `p:a` is not declared"));
        assert!(failure("<a b='&nope;'/>").contains("malformed attribute value"));
        assert!(failure(&"<a>".repeat(200)).contains("nest deeper than 100"));
    }
}
