//! Data as text: a table for a list, `key: value` lines for an object.

use std::fmt::Write;

use serde_json::{Map, Value};

/// All of the data, readable.
pub(crate) fn text(data: &Value) -> String {
    let mut out = String::new();
    match data {
        Value::Object(object) => lines(object, 0, &mut out),
        Value::Array(items) => list(items, 0, &mut out),
        scalar => out.push_str(&cell(scalar)),
    }
    out.truncate(out.trim_end().len());
    out
}

fn lines(object: &Map<String, Value>, indent: usize, out: &mut String) {
    // The rows of a page, which have no need of a heading, come before the facts about them.
    if let Some(Value::Array(items)) = object.get("items") {
        list(items, indent, out);
    }
    for (key, value) in object {
        if indent == 0 && key == "items" {
            continue;
        }
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                let _ = writeln!(out, "{:indent$}{}:", "", escaped(key));
                lines(inner, indent + 2, out);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                let _ = writeln!(out, "{:indent$}{}:", "", escaped(key));
                list(items, indent + 2, out);
            }
            plain => {
                let _ = writeln!(out, "{:indent$}{}: {}", "", escaped(key), cell(plain));
            }
        }
    }
}

/// A table where the items are flat objects, else each item for itself.
fn list(items: &[Value], indent: usize, out: &mut String) {
    let flat: Option<Vec<&Map<String, Value>>> =
        items.iter().map(|item| item.as_object().filter(|object| object.values().all(is_plain))).collect();
    match flat {
        Some(rows) if !rows.is_empty() => table(&rows, indent, out),
        _ => {
            for item in items {
                match item {
                    Value::Object(object) => {
                        let _ = writeln!(out, "{:indent$}-", "");
                        lines(object, indent + 2, out);
                    }
                    other => {
                        let _ = writeln!(out, "{:indent$}- {}", "", cell(other));
                    }
                }
            }
        }
    }
}

/// Whether a value fits on one line.
fn is_plain(value: &Value) -> bool {
    let is_scalar = |value: &Value| !value.is_object() && !value.is_array();
    match value {
        Value::Object(object) => object.values().all(is_scalar),
        Value::Array(items) => items.iter().all(is_scalar),
        _ => true,
    }
}

fn table(rows: &[&Map<String, Value>], indent: usize, out: &mut String) {
    let mut columns: Vec<&str> = Vec::new();
    for key in rows.iter().flat_map(|row| row.keys()) {
        if !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    let mut cells: Vec<Vec<String>> = vec![columns.iter().map(|name| escaped(name)).collect()];
    for row in rows {
        cells.push(columns.iter().map(|name| row.get(*name).map_or("-".to_owned(), cell)).collect());
    }
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for row in &cells {
        let mut line = " ".repeat(indent);
        for (text, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{text:<width$}  ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// A value on one line.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => escaped(text),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) if is_plain(value) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(object) if object.is_empty() => "-".to_owned(),
        Value::Object(object) if is_plain(value) => {
            let facts = object.iter().map(|(key, value)| format!("{}: {}", escaped(key), cell(value)));
            facts.collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}

/// Names and annotations come from people and guests: a line break in one must not look like a row of ours, nor an escape
/// sequence reach a terminal.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn a_page_is_a_table_and_its_facts() {
        let page = json!({
            "items": [
                { "name": "web-1", "cpu": 2, "ip": null },
                { "name": "a longer one", "cpu": 16, "ip": "10.0.0.1" }
            ],
            "total": 2
        });
        assert_eq!(text(&page), "name          cpu  ip\nweb-1         2    -\na longer one  16   10.0.0.1\ntotal: 2");
    }

    #[test]
    fn an_object_is_lines() {
        let vm = json!({
            "name": "web-1", "on": true, "tags": ["a", "b"], "none": [],
            "guest": { "ip": "10.0.0.1" },
            "disks": [{ "label": "Hard disk 1", "gb": 20 }]
        });
        assert_eq!(
            text(&vm),
            "name: web-1\non: true\ntags: a, b\nnone: -\nguest:\n  ip: 10.0.0.1\n\
             disks:\n  label        gb\n  Hard disk 1  20"
        );
    }

    #[test]
    fn a_small_object_fits_into_a_cell() {
        let reports = json!([
            { "vm": "a", "error": null },
            { "vm": "b", "error": { "code": "not_found", "message": "no b" } }
        ]);
        assert_eq!(text(&reports), "vm  error\na   -\nb   code: not_found; message: no b");
    }

    #[test]
    fn a_name_cannot_forge_a_row() {
        let page = json!({ "items": [{ "name": "a\nb\u{1b}[31m" }] });
        assert_eq!(text(&page), "name\na\\nb\\u{1b}[31m");
    }
}
