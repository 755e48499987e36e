//! A file of settings: a YAML mapping from names, in any case, to values or lists of them.
//!
//! A value is the text that stands in the file, whatever type YAML would give it: `007`, `1e3`, `yes` and `~` are passwords
//! like any other.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::{ALL, SettingsError, name::MCVSPHERE_CONFIG, table::Setting};
use crate::arguments::nearest;

/// The largest file of settings that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct File {
    /// By the name of the setting; lists as text with commas.
    pub(super) values: BTreeMap<&'static str, String>,
    /// The entries of `guest_credentials`, by their names.
    pub(super) guests: BTreeMap<String, Entry>,
    /// The entries of `tokens`, by their names.
    pub(super) tokens: BTreeMap<String, Entry>,
    /// The entries of `policy`, by their names.
    pub(super) policy: BTreeMap<String, Entry>,
}

/// The fields of an entry of `guest_credentials`, `tokens` or `policy`.
pub(super) type Entry = BTreeMap<String, Vec<String>>;

/// Reads a file of settings.
pub(super) fn read(path: &Path) -> Result<File, SettingsError> {
    let problem = |text: String| SettingsError::new(MCVSPHERE_CONFIG, format!("{}: {text}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?.len();
    if size > LARGEST {
        return Err(problem(format!("has {size} bytes, and {LARGEST} are the most for a file of settings")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
    parse(&text).map_err(problem)
}

/// What stands where a value is expected.
#[derive(Clone)]
enum Node {
    One(String),
    List(Vec<String>),
}

fn parse(text: &str) -> Result<File, String> {
    let mut file = File::default();
    let mut nodes = Nodes::of(text)?;
    if !nodes.enter_mapping()? {
        return Ok(file);
    }
    while let Some(key) = nodes.key()? {
        let entries = match key.to_uppercase().replace('-', "_").as_str() {
            GUESTS => Some(&mut file.guests),
            TOKENS => Some(&mut file.tokens),
            POLICY => Some(&mut file.policy),
            _ => None,
        };
        if let Some(entries) = entries {
            if !entries.is_empty() {
                return Err(format!("`{key}` is set twice"));
            }
            *entries = nodes.entries(&key)?;
            continue;
        }
        let setting = known(&key)?;
        let value = nodes.value(&key)?.text_for(&key, setting)?;
        if file.values.insert(setting.name, value).is_some() {
            return Err(format!("`{key}` is set twice"));
        }
    }
    nodes.end()?;
    Ok(file)
}

impl Node {
    fn text_for(self, key: &str, setting: &Setting) -> Result<String, String> {
        match self {
            Self::One(text) => Ok(text),
            Self::List(items) if setting.list => Ok(items.join(",")),
            Self::List(_) => {
                Err(format!("`{key}` takes one value, no list; a text that begins with [ must be in quotes"))
            }
        }
    }
}

/// The setting that a key names.
fn known(key: &str) -> Result<&'static Setting, String> {
    let name = key.to_uppercase().replace('-', "_");
    // A file cannot name another file.
    let mut all = ALL.iter().filter(|setting| setting.name != MCVSPHERE_CONFIG);
    if let Some(setting) = all.clone().find(|setting| setting.name == name) {
        return Ok(setting);
    }
    let names: Vec<&str> = all.by_ref().map(|setting| setting.name).collect();
    Err(match nearest(&name, names.iter().copied()) {
        Some(near) => format!("unknown setting `{key}`, did you mean `{near}`?"),
        None => format!("unknown setting `{key}`: there are {}", names.join(", ")),
    })
}

/// The settings that only a file can have: mappings of mappings.
const GUESTS: &str = super::GUEST_CREDENTIALS;
const TOKENS: &str = super::TOKENS;
const POLICY: &str = super::POLICY;

/// The nodes of a YAML document that is a flat mapping, but for three keys.
///
/// No error shows text of the file, one line of which may hold the password.
struct Nodes<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
}

impl<'a> Nodes<'a> {
    fn of(text: &'a str) -> Result<Self, String> {
        let parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        Ok(Self { parser, anchors: HashMap::new() })
    }

    fn next(&mut self) -> Result<(Event<'a>, usize), String> {
        match self.parser.next_event() {
            Some(Ok((Event::Scalar(_, ScalarStyle::Plain, anchor, tag), span))) if span.is_empty() => {
                // The parser gives nothing the text of a null, `~`, which a file may mean as text.
                Ok((Event::Scalar("".into(), ScalarStyle::Plain, anchor, tag), span.start.line()))
            }
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => Err(no_mapping(error.marker())),
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    /// Goes into the mapping that the document is; false where there is nothing.
    fn enter_mapping(&mut self) -> Result<bool, String> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (Event::MappingStart(..), _) => return Ok(true),
                (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(false),
                // A document that is there and empty.
                (Event::Scalar(text, ScalarStyle::Plain, 0, None), _) if text.is_empty() => return Ok(false),
                (_, line) => return Err(format!("is not a YAML mapping of settings (line {line})")),
            }
        }
    }

    fn key(&mut self) -> Result<Option<String>, String> {
        match self.next()? {
            (Event::MappingEnd, _) => Ok(None),
            (Event::Scalar(text, ..), _) => Ok(Some(text.into_owned())),
            (_, line) => Err(format!("has a key that is no name (line {line})")),
        }
    }

    fn value(&mut self, key: &str) -> Result<Node, String> {
        let (anchor, node) = match self.next()?.0 {
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, Node::One(scalar(key, &text, style, anchor, tag.as_deref())?))
            }
            Event::SequenceStart(_, anchor, _) => (anchor, Node::List(self.items(key)?)),
            Event::Alias(id) => (0, self.alias(key, id)?),
            _ => return Err(no_value(key)),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// A mapping of names to mappings of fields.
    fn entries(&mut self, key: &str) -> Result<BTreeMap<String, Entry>, String> {
        let no_mapping = |line: usize| format!("`{key}` is not a mapping of names to entries (line {line})");
        let mut entries = BTreeMap::new();
        match self.next()? {
            (Event::MappingStart(..), _) => {}
            (_, line) => return Err(no_mapping(line)),
        }
        while let Some(name) = self.key()? {
            match self.next()? {
                (Event::MappingStart(..), _) => {}
                (_, line) => return Err(no_mapping(line)),
            }
            let mut entry = Entry::new();
            while let Some(field) = self.key()? {
                let value = match self.value(&format!("{key}.{name}.{field}"))? {
                    Node::One(text) => vec![text],
                    Node::List(items) => items,
                };
                if entry.insert(field.clone(), value).is_some() {
                    return Err(format!("`{key}.{name}.{field}` is set twice"));
                }
            }
            if entries.insert(name.clone(), entry).is_some() {
                return Err(format!("`{key}.{name}` is set twice"));
            }
        }
        Ok(entries)
    }

    fn items(&mut self, key: &str) -> Result<Vec<String>, String> {
        let mut items = Vec::new();
        loop {
            match self.next()?.0 {
                Event::Scalar(text, style, anchor, tag) => {
                    items.push(scalar(key, &text, style, anchor, tag.as_deref())?)
                }
                Event::SequenceEnd => return Ok(items),
                _ => return Err(no_value(key)),
            }
        }
    }

    fn alias(&self, key: &str, id: usize) -> Result<Node, String> {
        self.anchors.get(&id).cloned().ok_or_else(|| no_value(key))
    }

    /// Makes sure that nothing stands after the mapping.
    fn end(&mut self) -> Result<(), String> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd, _) => {}
                (_, line) => return Err(format!("has more than one YAML document (line {line})")),
            }
        }
    }
}

/// The text of a scalar as it stands in the file.
fn scalar(key: &str, text: &str, style: ScalarStyle, anchor: usize, tag: Option<&Tag>) -> Result<String, String> {
    // Application tags such as `!vault` and `!env` stand for a value that something else would have to look up; and an
    // anchor or a tag before nothing was meant as text.
    let foreign = tag.is_some_and(|tag| tag.is_custom() && tag.original() != "!");
    let lost = text.is_empty() && style == ScalarStyle::Plain && (anchor != 0 || tag.is_some());
    if foreign || lost {
        return Err(no_value(key));
    }
    Ok(match style {
        // The line break that ends a block belongs to the block, and no value ends with one.
        ScalarStyle::Literal | ScalarStyle::Folded => text.trim_end_matches('\n').to_owned(),
        _ => text.to_owned(),
    })
}

fn no_value(key: &str) -> String {
    format!(
        "`{key}` must be a value or a list of values; a text that begins with one of [ {{ & * ! | > % @ # ` must be in quotes"
    )
}

fn no_mapping(at: &Marker) -> String {
    format!("is not a YAML mapping of settings (line {})", at.line())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<BTreeMap<&'static str, String>, String> {
        super::parse(text).map(|file| file.values)
    }

    #[test]
    fn a_file_holds_settings_in_any_case() {
        let values = parse("vcenter-host: vc.example\nMCP_TOOLSETS: [vm, power]\nmcp_read_only: true\n").unwrap();
        assert_eq!(values["VCENTER_HOST"], "vc.example");
        assert_eq!(values["MCP_TOOLSETS"], "vm,power");
        assert_eq!(values["MCP_READ_ONLY"], "true");
    }

    #[test]
    fn an_empty_file_holds_nothing() {
        for text in ["", "\n", "# nothing yet\n", "---\n", "---\n# nothing\n...\n", "{}", "\u{feff}"] {
            assert!(parse(text).unwrap().is_empty(), "{text:?}");
        }
    }

    #[test]
    fn a_text_is_what_stands_in_the_file_whatever_type_yaml_would_give_it() {
        for text in [
            "007",
            "7.0",
            "1e3",
            "1E+3",
            "0x1F",
            "0o17",
            "0b11",
            "017",
            "1_000",
            "1:30",
            "190:20:30",
            "+1",
            "-0",
            ".5",
            "5.",
            ".inf",
            "-.INF",
            ".NaN",
            "true",
            "True",
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "N",
            "~",
            "null",
            "Null",
            "NULL",
            "2024-01-01",
            "2024-01-01T10:00:00Z",
            "12e03",
            "123456789012345678901234567890",
            "1.10",
            "=",
            "<<",
            "a#b",
            "a:b",
            "größe",
            "a'b",
            "pa$$word",
            "-x",
            "?x",
        ] {
            let values = parse(&format!("vcenter_password: {text}\nmcp_tools: [{text}, a]\n")).unwrap();
            assert_eq!(values["VCENTER_PASSWORD"], text);
            assert_eq!(values["MCP_TOOLS"], format!("{text},a"));
            let block = parse(&format!("vcenter_password: {text} # why\nmcp_tools:\n- {text}\n- a\n")).unwrap();
            assert_eq!((&*block["VCENTER_PASSWORD"], &block["MCP_TOOLS"]), (text, &format!("{text},a")));
        }
    }

    #[test]
    fn quotes_blocks_and_known_tags_are_read_as_yaml_has_them() {
        for (written, text) in [
            ("'it''s 007'", "it's 007"),
            (r#""a\tb\u00e9""#, "a\tbé"),
            ("'~'", "~"),
            ("!!str 007", "007"),
            ("! 007", "007"),
            ("!!int 007", "007"),
            ("|\n  #a: b\n", "#a: b"),
            (">-\n  a\n  b\n", "a b"),
            ("", ""),
        ] {
            assert_eq!(
                parse(&format!("vcenter_password: {written}\n")).unwrap()["VCENTER_PASSWORD"],
                text,
                "{written}"
            );
        }
        let same = parse("vcenter_user: &me root\nvcenter_password: *me\n").unwrap();
        assert_eq!(same["VCENTER_PASSWORD"], "root");
        assert_eq!(parse("\u{feff}vcenter_user: root\r\nvcenter_host: vc\r\n").unwrap()["VCENTER_HOST"], "vc");
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_and_no_value_shown() {
        for (text, wrong) in [
            ("vcenter_hots: hunter2", "did you mean `VCENTER_HOST`?"),
            ("favourite_colour: blue", "unknown setting `favourite_colour`"),
            ("mcvsphere_config: other.yaml", "unknown setting `mcvsphere_config`"),
            ("vcenter_host: {hunter2: b}", "`vcenter_host` must be a value"),
            ("mcp_tools: [[hunter2]]", "`mcp_tools` must be a value"),
            ("vcenter_password: [hunter2]", "`vcenter_password` takes one value"),
            ("vcenter_password: !hunter2", "`vcenter_password` must be a value"),
            ("vcenter_password: !vault |\n  hunter2\n", "`vcenter_password` must be a value"),
            ("vcenter_password: &hunter2", "in quotes"),
            ("vcenter_password: *hunter2", "line 1"),
            ("vcenter_password: @hunter2", "line 1"),
            ("vcenter_user: a\nvcenter_password: %hunter2", "line 2"),
            ("vcenter_password: \"\\hunter2\"", "line 1"),
            ("vcenter_host: hunter2\nVCENTER-HOST: b", "twice"),
            ("- vcenter_host", "not a YAML mapping"),
            ("hunter2", "not a YAML mapping"),
            ("[a]: hunter2", "no name"),
            ("vcenter_host: hunter2\n  x: [", "not a YAML mapping"),
            ("vcenter_host: a\n---\nvcenter_password: hunter2", "more than one"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wrong), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn guest_credentials_are_a_mapping_of_entries() {
        let text =
            "vcenter_host: vc\nguest_credentials:\n  web:\n    user: root\n    password: 007\n    vms: [/a/*, /b/**]\n";
        let file = super::parse(text).unwrap();
        assert_eq!(file.values["VCENTER_HOST"], "vc");
        assert_eq!(file.guests["web"]["password"], ["007"]);
        assert_eq!(file.guests["web"]["vms"], ["/a/*", "/b/**"]);
        for broken in [
            "guest_credentials: hunter2",
            "guest_credentials: {web: hunter2}",
            "guest_credentials: {web: {password: {a: hunter2}}}",
            "guest_credentials: {web: {user: a, user: hunter2}}",
            "guest_credentials: {web: {user: a}, web: {user: hunter2}}",
        ] {
            let error = super::parse(broken).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
