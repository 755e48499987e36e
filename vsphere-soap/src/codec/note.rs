//! What a lenient reader passes over: the odd leaf, and where it stands.

use std::fmt;

use super::tokens::{Token, Tokens};

/// How many notes of one document are kept. Each is located by reading the document up to it once more.
const MOST: usize = 8;

/// How much of the text of an odd leaf is shown, in characters.
const SHOWN: usize = 40;

/// A leaf of an answer that was left unset, or has characters in the place of bytes that are not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// The managed object that the leaf belongs to (`VirtualMachine:vm-42`), where the answer says it.
    pub object: Option<String>,
    /// The path of the leaf in the object, or in the answer where there is none: `config.hardware.numCPU`.
    pub path: String,
    /// The type that the leaf should be of, or `UTF-8`.
    pub expected: &'static str,
    /// The start of its text. It is not shown where it is a secret.
    pub text: Option<String>,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            Some(object) => write!(f, "{} of {object} is not {}", self.path, self.expected),
            None => write!(f, "{} is not {}", self.path, self.expected),
        }
    }
}

/// The notes of one document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// The first ones.
    pub first: Vec<Note>,
    /// How many follow.
    pub more: usize,
}

impl Notes {
    /// Notes the leaf `name`, which ends at the end of `before`, the document so far. Its text begins at `start`.
    #[cold]
    pub(super) fn add(&mut self, before: &str, start: usize, name: &str, expected: &'static str, is_secret: bool) {
        if self.first.len() == MOST {
            self.more += 1;
            return;
        }
        let (object, path) = locate(before, name);
        let text = before.get(start..).and_then(|text| text.split('<').next()).unwrap_or_default();
        let text = (!is_secret).then(|| text.chars().take(SHOWN).collect());
        self.first.push(Note { object, path: path.join("."), expected, text });
    }
}

/// An element that is open where the document so far ends.
struct Level<'a> {
    name: &'a str,
    tag: &'a str,
    text: &'a str,
    object: Option<String>,
    property: Option<&'a str>,
}

/// The managed object that the leaf after `before` belongs to, and the path to the leaf from the object.
///
/// Property values are told as `<objects><obj/><propSet><name/><val>`, changes of them as `<objectSet><obj/><changeSet>`.
fn locate<'a>(before: &'a str, leaf: &'a str) -> (Option<String>, Vec<&'a str>) {
    let mut open: Vec<Level<'a>> = Vec::new();
    let mut tokens = Tokens::new(before.as_bytes());
    loop {
        match tokens.next() {
            Ok(Token::Start { tag, name }) => {
                let (name, tag) = tag.split_at(name);
                let name = name.rsplit(':').next().unwrap_or(name);
                open.push(Level { name, tag, text: "", object: None, property: None });
            }
            Ok(Token::Text(text)) => {
                if let Some(level) = open.last_mut() {
                    level.text = text.trim_ascii();
                }
            }
            Ok(Token::End) => {
                let (Some(level), Some(parent)) = (open.pop(), open.last_mut()) else { continue };
                if level.name == "obj" {
                    let type_ = level.tag.split_once(" type=\"").and_then(|(_, rest)| rest.split('"').next());
                    parent.object = Some(format!("{}:{}", type_.unwrap_or_default(), level.text));
                } else if level.name == "name" && matches!(parent.name, "propSet" | "changeSet") {
                    parent.property = Some(level.text);
                }
            }
            Ok(Token::Eof) | Err(_) => break,
            Ok(_) => {}
        }
    }
    let at = open.iter().rposition(|level| level.object.is_some());
    // Envelope, body, response.
    let inside = at.map_or(3, |at| at + 1).min(open.len());
    let mut path = Vec::new();
    let names = open[inside..].iter().map(|level| (level.property, level.name));
    for name in names.chain([(None, leaf)]) {
        match name {
            (Some(property), _) => path = vec![property],
            (None, "val") if path.len() == 1 => {}
            (None, "returnval") => {}
            (None, name) => path.push(name),
        }
    }
    (at.and_then(|at| open[at].object.clone()), path)
}
