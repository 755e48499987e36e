//! The files of clients as texts: one entry is put in, and all else stays as it was written, comments included.

use jsonc_parser::{
    ParseOptions,
    cst::{CstInputValue, CstObject, CstRootNode},
};
use serde_json::Value;
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, value};

use super::client::Client;

/// What is put into a file.
pub(super) struct Change {
    pub(super) client: Client,
    /// What the client calls the server.
    pub(super) name: String,
    pub(super) entry: Value,
    /// What the client is to ask the user for.
    pub(super) input: Option<Value>,
}

impl Change {
    /// The file with the entry in it, replacing one of the same name. If it has that entry already, the text is unchanged.
    ///
    /// # Errors
    /// The file is not what the client reads: it is left alone then.
    pub(super) fn applied(&self, before: &str) -> Result<String, String> {
        let (mark, text) = match before.strip_prefix('\u{feff}') {
            Some(text) => ("\u{feff}", text),
            None => ("", before),
        };
        let after = if self.client == Client::Codex { self.in_toml(text)? } else { self.in_json(text)? };
        Ok(format!("{mark}{after}"))
    }

    fn in_json(&self, before: &str) -> Result<String, String> {
        let empty = before.trim().is_empty();
        let text = if empty { "{\n}\n" } else { before };
        let root = CstRootNode::parse(text, &OPTIONS).map_err(|error| format!("is no JSON: {error}"))?;
        let root_object = root.object_value().ok_or("is no JSON object")?;
        let servers = self.client.servers();
        self.check(&root_object, servers)?;
        if root_object.get("$schema").is_none() && empty && self.client == Client::OpenCode {
            root_object.append("$schema", "https://opencode.ai/config.json".into());
        }
        if let Some(input) = &self.input {
            let inputs = root_object.array_value_or_create("inputs").ok_or("has a key \"inputs\" that is no list")?;
            let known = inputs
                .elements()
                .into_iter()
                .find(|element| element.to_serde_value().is_some_and(|element| element.get("id") == input.get("id")));
            match known {
                Some(_) => {}
                None => drop(inputs.append(json_value(input))),
            }
        }
        let object = root_object
            .object_value_or_create(servers)
            .ok_or_else(|| format!("has a key {servers:?} that is no JSON object"))?;
        match object.get(&self.name) {
            Some(property) if property.to_serde_value().as_ref() == Some(&self.entry) => {}
            Some(property) => property.set_value(json_value(&self.entry)),
            None => drop(object.append(&self.name, json_value(&self.entry))),
        }
        Ok(root.to_string())
    }

    /// A reader takes the last of several keys of one name, and this would change the first.
    fn check(&self, root: &CstObject, servers: &str) -> Result<(), String> {
        let named = |object: &CstObject, name: &str| {
            object.properties().iter().filter(|it| it.decoded_name().as_deref() == Some(name)).count()
        };
        let twice = named(root, servers) > 1
            || root.object_value(servers).is_some_and(|servers| named(&servers, &self.name) > 1);
        if twice { Err(format!("has {servers:?} or {:?} in it twice", self.name)) } else { Ok(()) }
    }

    fn in_toml(&self, before: &str) -> Result<String, String> {
        let before = if before.trim().is_empty() { "" } else { before };
        let mut document: DocumentMut = before.parse().map_err(|error| format!("is no TOML: {error}"))?;
        let servers = self.client.servers();
        let table = document.entry(servers).or_insert_with(|| {
            let mut table = Table::new();
            // Its header would say nothing.
            table.set_implicit(true);
            Item::Table(table)
        });
        let table = table.as_table_like_mut().ok_or_else(|| format!("has a key `{servers}` that is no table"))?;
        let entry = toml_table(&self.entry);
        if !table.get(&self.name).is_some_and(|there| says_the_same(there, &entry)) {
            match table.get_mut(&self.name) {
                // Comments above it stay.
                Some(Item::Table(there)) => {
                    let mut entry = entry;
                    *entry.decor_mut() = there.decor().clone();
                    entry.set_position(there.position());
                    *there = entry;
                }
                Some(Item::Value(there)) => *there = toml_edit::Value::InlineTable(entry.into_inline_table()),
                _ => drop(table.insert(&self.name, Item::Table(entry))),
            }
        }
        let after = document.to_string();
        // A file with the line ends of Windows keeps them.
        Ok(if before.contains("\r\n") { after.replace("\r\n", "\n").replace('\n', "\r\n") } else { after })
    }
}

/// JSON, with the comments and commas at the end that editors and some clients permit.
const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

fn json_value(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(it) => CstInputValue::Bool(*it),
        Value::Number(it) => CstInputValue::Number(it.to_string()),
        Value::String(it) => CstInputValue::String(it.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(json_value).collect()),
        Value::Object(fields) => {
            CstInputValue::Object(fields.iter().map(|(name, value)| (name.clone(), json_value(value))).collect())
        }
    }
}

/// Entries have texts, flags, lists of texts and objects of texts.
fn toml_table(entry: &Value) -> Table {
    let mut table = Table::new();
    for (key, field) in entry.as_object().into_iter().flatten() {
        let item = match field {
            Value::String(text) => value(text.as_str()),
            Value::Bool(flag) => value(*flag),
            Value::Array(items) => value(items.iter().filter_map(Value::as_str).collect::<Array>()),
            Value::Object(_) => Item::Table(toml_table(field)),
            Value::Null | Value::Number(_) => continue,
        };
        table.insert(key, item);
    }
    table
}

/// Whether a table has these keys and values and no others, however they are written.
fn says_the_same(there: &Item, entry: &dyn TableLike) -> bool {
    let Some(there) = there.as_table_like() else {
        return false;
    };
    there.len() == entry.len()
        && entry.iter().all(|(key, wanted)| {
            there.get(key).is_some_and(|value| match wanted.as_table_like() {
                Some(table) => says_the_same(value, table),
                None => plain(value).is_some_and(|value| Some(value) == plain(wanted)),
            })
        })
}

/// A value without what is around it.
fn plain(item: &Item) -> Option<Value> {
    let value = item.as_value()?;
    if let Some(text) = value.as_str() {
        return Some(text.into());
    }
    if let Some(flag) = value.as_bool() {
        return Some(flag.into());
    }
    value.as_array()?.iter().map(|item| item.as_str().map(Value::from)).collect::<Option<Vec<_>>>().map(Value::Array)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;
    use serde_json::json;

    use super::*;

    fn change(client: Client) -> Change {
        let entry = json!({ "command": "/bin/mcvsphere", "args": ["stdio"], "env": { "VCENTER_HOST": "vc" } });
        Change { client, name: "vsphere".to_owned(), entry, input: None }
    }

    #[test]
    fn a_file_of_each_client_begins_and_is_complete_then() {
        for client in Client::value_variants() {
            for before in ["", " \n", "\u{feff}"] {
                let change = change(*client);
                let after = change.applied(before).unwrap();
                assert_eq!(change.applied(&after).unwrap(), after, "{client:?} is idempotent");
                let text = after.trim_start_matches('\u{feff}');
                if *client == Client::Codex {
                    let expected = "[mcp_servers.vsphere]\ncommand = \"/bin/mcvsphere\"\nargs = [\"stdio\"]\n\n\
                                    [mcp_servers.vsphere.env]\nVCENTER_HOST = \"vc\"\n";
                    assert_eq!(text.trim_start(), expected);
                } else {
                    let read: Value = serde_json::from_str(text).unwrap();
                    assert_eq!(read[client.servers()]["vsphere"], change.entry, "{client:?}");
                }
            }
        }
    }

    #[test]
    fn what_else_a_json_file_says_stays_as_it_is_written() {
        let before = "{\n  // My servers\n  \"servers\": {\n    \"git\": { \"command\": \"git-mcp\" }, // the first\n  },\n  \"other\": [1, 2.50]\n}\n";
        let after = change(Client::VsCode).applied(before).unwrap();
        let expected = "{\n  // My servers\n  \"servers\": {\n    \"git\": { \"command\": \"git-mcp\" }, // the first\n    \"vsphere\": {\n      \"command\": \"/bin/mcvsphere\",\n      \"args\": [\"stdio\"],\n      \"env\": {\n        \"VCENTER_HOST\": \"vc\",\n      },\n    },\n  },\n  \"other\": [1, 2.50]\n}\n";
        assert_eq!(after, expected);
        assert_eq!(change(Client::VsCode).applied(&after).unwrap(), after);
        // Without commas at the ends there are none, and the line ends are those of the file.
        let before = "{\r\n\t\"theme\": \"dark\"\r\n}\r\n";
        let after = change(Client::Gemini).applied(before).unwrap();
        assert!(
            after.starts_with("{\r\n\t\"theme\": \"dark\",\r\n\t\"mcpServers\": {\r\n\t\t\"vsphere\": {\r\n"),
            "{after:?}"
        );
        assert_eq!(after.matches('\n').count(), after.matches("\r\n").count());
        serde_json::from_str::<Value>(&after).unwrap();
    }

    #[test]
    fn an_entry_of_the_same_name_is_replaced() {
        let before = r#"{"mcpServers": {"vsphere": {"command": "old", "env": {"A": "b"}}, "z": {}}, "k": 1}"#;
        let after: Value = serde_json::from_str(&change(Client::Cursor).applied(before).unwrap()).unwrap();
        assert_eq!(after, json!({ "mcpServers": { "vsphere": change(Client::Cursor).entry, "z": {} }, "k": 1 }));
    }

    #[test]
    fn a_secret_is_asked_for_once() {
        let input = Client::input("VCENTER_PASSWORD", "The password");
        let change = Change { input: Some(input.clone()), ..change(Client::VsCode) };
        let before = r#"{"inputs": [{"id": "other"}], "servers": {}}"#;
        let after = change.applied(before).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&after).unwrap()["inputs"], json!([{ "id": "other" }, input]));
        assert_eq!(change.applied(&after).unwrap(), after);
    }

    #[test]
    fn a_toml_file_keeps_its_comments_and_its_order() {
        let before = "# mine\nmodel = \"x\" # the model\n\n[mcp_servers.git]\ncommand = 'git-mcp'\n\n# this one\n\
                      [mcp_servers.vsphere]\ncommand = \"old\"\n\n[tui]\ntheme = \"dark\"\n";
        let after = change(Client::Codex).applied(before).unwrap();
        let expected = "# mine\nmodel = \"x\" # the model\n\n[mcp_servers.git]\ncommand = 'git-mcp'\n\n# this one\n\
                        [mcp_servers.vsphere]\ncommand = \"/bin/mcvsphere\"\nargs = [\"stdio\"]\n\n\
                        [mcp_servers.vsphere.env]\nVCENTER_HOST = \"vc\"\n\n[tui]\ntheme = \"dark\"\n";
        assert_eq!(after, expected);
        assert_eq!(change(Client::Codex).applied(&after).unwrap(), after);
        // The same in other words is left as it is.
        let inline = "mcp_servers = { vsphere = { args = ['stdio'], command = '/bin/mcvsphere', env = { VCENTER_HOST = 'vc' } } }\n";
        assert_eq!(change(Client::Codex).applied(inline).unwrap(), inline);
        let inline = "mcp_servers = { vsphere = { command = 'old' }, git = { command = 'g' } }\r\n";
        let after = change(Client::Codex).applied(inline).unwrap();
        assert!(after.contains("git = { command = 'g' }") && after.ends_with("\r\n"), "{after}");
        assert_eq!(change(Client::Codex).applied(&after).unwrap(), after);
    }

    #[test]
    fn a_file_that_the_client_cannot_read_is_left_alone() {
        for (client, before, why) in [
            (Client::Cursor, "{ \"mcpServers\": { ", "is no JSON: "),
            (Client::Cursor, "{ mcpServers: {} }", "is no JSON: "),
            (Client::Cursor, "{\"a\": 1 \"b\": 2}", "is no JSON: "),
            (Client::Cursor, "[]", "is no JSON object"),
            (Client::Cursor, "{\"mcpServers\": []}", "has a key \"mcpServers\" that is no JSON object"),
            (Client::Cursor, "{\"mcpServers\": {}, \"mcpServers\": {}}", "in it twice"),
            (Client::Cursor, "{\"mcpServers\": {\"vsphere\": {}, \"vsphere\": {}}}", "in it twice"),
            (Client::Codex, "a = ", "is no TOML: "),
            (Client::Codex, "mcp_servers = 1\n", "has a key `mcp_servers` that is no table"),
        ] {
            let problem = change(client).applied(before).unwrap_err();
            assert!(problem.contains(why), "{before}: {problem}");
        }
    }
}
