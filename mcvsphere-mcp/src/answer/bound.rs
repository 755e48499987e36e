//! What of an answer goes out: each character visible, and no more than a model can take in.

use serde_json::{Map, Value};

use crate::text;

/// The most bytes of an answer as JSON: about 25,000 tokens.
pub(crate) const MOST_BYTES: usize = 100_000;

/// The key of the note that says what was left out.
pub(crate) const NOTE: &str = "cut";

/// The lengths to which texts are cut when an answer is too long: the second where the first is not enough.
const TEXTS: [usize; 2] = [2000, 400];

/// The data with each character visible: what would hide or turn text is escaped. A name in this form is an argument all the
/// same, see [`text::unescaped`].
pub(crate) fn visible(data: &mut Value) {
    match data {
        Value::String(text) => {
            if let std::borrow::Cow::Owned(shown) = text::visible(text) {
                *text = shown;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(visible),
        Value::Object(object) => object.values_mut().for_each(visible),
        _ => {}
    }
}

/// The most bytes that the data has as JSON, counted without writing it.
fn at_most(data: &Value) -> usize {
    /// Those of a number, and of what stands between two values.
    const OTHERS: usize = 32;
    let text = |text: &str| match text::is_plain(text) {
        true => text.len() + 2,
        // Each byte may be written as `\u0000`.
        false => 6 * text.len() + 2,
    };
    match data {
        Value::String(it) => text(it) + 1,
        Value::Array(items) => items.iter().map(at_most).sum::<usize>() + 3,
        Value::Object(object) => object.iter().map(|(key, value)| text(key) + 1 + at_most(value)).sum::<usize>() + 3,
        _ => OTHERS,
    }
}

/// Makes an answer short enough: long texts are cut first, then the longest lists. Its note `cut` says so, and how to ask for
/// less.
pub(crate) fn bound(data: &mut Value) {
    if at_most(data) <= MOST_BYTES {
        return;
    }
    let before = length(data);
    if before <= MOST_BYTES {
        return;
    }
    let size = format!("the whole answer has {} KB, and {} are the most", before / 1000, MOST_BYTES / 1000);
    let mut texts = "";
    for most in TEXTS {
        let mut shorter = data.clone();
        if cut_texts(&mut shorter, most) == 0 {
            continue;
        }
        let is_enough = length(&shorter) <= ENOUGH;
        if is_enough || most == TEXTS[1] {
            *data = shorter;
            texts = "; long texts are cut too";
        }
        if is_enough {
            return note(data, format!("texts longer than {most} characters are cut, as {size}: ask for less at once"));
        }
    }
    let mut cut: Vec<(String, usize, usize)> = Vec::new();
    // Each round cuts the list that is longest then.
    for _ in 0..16 {
        let length = length(data);
        if length <= ENOUGH {
            break;
        }
        let Some((path, list)) = longest(data) else { break };
        let all = list.len();
        shorten(list, length - ENOUGH);
        match cut.iter_mut().find(|(name, ..)| *name == path) {
            Some((_, kept, _)) => *kept = list.len(),
            None => cut.push((path, list.len(), all)),
        }
    }
    if length(data) > ENOUGH {
        // There is no list whose items could go.
        *data = Value::Object(Map::new());
        return note(data, format!("nothing is shown, as {size}: ask for less at once"));
    }
    let shown: Vec<String> = cut.iter().map(|(name, kept, all)| format!("{kept} of {all} {name}")).collect();
    let mut how = "ask for less at once".to_owned();
    if let Some((_, kept, _)) = cut.iter().find(|(name, ..)| name == "items") {
        how = format!("ask again with `limit` {}, fewer `fields` or a `filter`", (*kept).max(1));
        if let Some(page) = data.as_object_mut() {
            page.insert("returned".to_owned(), (*kept).into());
            page.insert("truncated".to_owned(), true.into());
            // It would go on after items that are not shown.
            page.shift_remove("next_cursor");
        }
    }
    note(data, format!("only {} are shown, as {size}: {how}{texts}", shown.join(", ")));
}

/// What is left of an answer that is cut, with room for the note.
const ENOUGH: usize = MOST_BYTES - 1000;

fn note(data: &mut Value, note: String) {
    if let Some(object) = data.as_object_mut() {
        object.insert(NOTE.to_owned(), note.into());
    }
}

fn length(data: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Neither counting nor writing of data that is JSON already fails.
    drop(serde_json::to_writer(&mut count, data));
    count.0
}

/// Cuts the longer texts, and says how many these were.
fn cut_texts(data: &mut Value, most: usize) -> usize {
    match data {
        Value::String(text) => match text.char_indices().nth(most) {
            Some((end, _)) => {
                let length = text.chars().count();
                text.truncate(end);
                text.push_str(&format!("… [cut: {length} characters]"));
                1
            }
            None => 0,
        },
        Value::Array(items) => items.iter_mut().map(|item| cut_texts(item, most)).sum(),
        Value::Object(object) => object.values_mut().map(|value| cut_texts(value, most)).sum(),
        _ => 0,
    }
}

/// The list with most bytes that has items to lose, and where it stands. One inside of another list is not looked for: the
/// outer one is longer.
fn longest(data: &mut Value) -> Option<(String, &mut Vec<Value>)> {
    fn lists<'a>(data: &'a mut Value, path: &str, found: &mut Vec<(usize, String, &'a mut Vec<Value>)>) {
        match data {
            Value::Array(items) if !items.is_empty() => {
                let bytes = items.iter().map(length).sum();
                found.push((bytes, path.to_owned(), items));
            }
            Value::Object(object) => {
                for (key, value) in object {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    lists(value, &path, found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    lists(data, "", &mut found);
    found.into_iter().max_by_key(|(bytes, ..)| *bytes).map(|(_, path, list)| (path, list))
}

/// Takes items from the end until so many bytes are gone. In a report on several machines those that failed are kept longest:
/// what is done needs no answer.
fn shorten(list: &mut Vec<Value>, bytes: usize) {
    let mut gone = 0;
    let has_failed = |item: &Value| item.get("error").is_some_and(|error| !error.is_null());
    let good: Vec<usize> = (0..list.len()).rev().filter(|at| !has_failed(&list[*at])).collect();
    let bad: Vec<usize> = (0..list.len()).rev().filter(|at| has_failed(&list[*at])).collect();
    let mut going = vec![false; list.len()];
    for at in good.into_iter().chain(bad) {
        if gone >= bytes {
            break;
        }
        gone += length(&list[at]) + 1;
        going[at] = true;
    }
    let mut going = going.into_iter();
    list.retain(|_| !going.next().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bounded(mut data: Value) -> Value {
        bound(&mut data);
        assert!(length(&data) <= MOST_BYTES, "{}", length(&data));
        data
    }

    fn note_of(data: &Value) -> &str {
        data[NOTE].as_str().unwrap()
    }

    #[test]
    fn a_short_answer_stays_as_it_is() {
        let data = json!({ "items": [{ "name": "a" }], "note": "x".repeat(50_000) });
        assert_eq!(bounded(data.clone()), data);
    }

    #[test]
    fn what_is_counted_is_never_less_than_what_is_written() {
        for data in [
            json!({}),
            json!([]),
            json!([[], {}, null, true, -1, 1.5e-300, u64::MAX, i64::MIN, "", "a"]),
            json!({ "\u{1}\"\\ä\u{202e}": ["\u{1}".repeat(50), "ä\n\"\\"], "plain key": "plain text" }),
        ] {
            assert!(at_most(&data) >= length(&data), "{data}");
        }
    }

    #[test]
    fn long_texts_are_cut_before_items_are() {
        let items: Vec<Value> = (0..30).map(|at| json!({ "name": at, "note": "ä".repeat(65_536) })).collect();
        let data = bounded(json!({ "items": items, "returned": 30, "truncated": false }));
        assert_eq!(data["items"].as_array().unwrap().len(), 30);
        assert!(data["items"][29]["note"].as_str().unwrap().ends_with("… [cut: 65536 characters]"));
        assert!(
            note_of(&data).starts_with("texts longer than 400 characters are cut, as the whole answer has 39"),
            "{data}"
        );
        assert_eq!(data["truncated"], false);
    }

    #[test]
    fn a_page_that_is_too_long_says_which_limit_fits() {
        let items: Vec<Value> =
            (0..1000).map(|at| json!({ "name": format!("vm-{at:04}"), "x": "y".repeat(180) })).collect();
        let data =
            bounded(json!({ "items": items, "returned": 1000, "total": 5000, "truncated": true, "next_cursor": "c" }));
        let kept = data["items"].as_array().unwrap().len();
        assert!((400..500).contains(&kept), "{kept}");
        assert_eq!(data["items"][0]["name"], "vm-0000");
        assert_eq!((&data["returned"], &data["total"], &data["truncated"]), (&json!(kept), &json!(5000), &json!(true)));
        assert_eq!(data.get("next_cursor"), None, "it would skip what is not shown");
        let note = note_of(&data);
        assert!(note.starts_with(&format!("only {kept} of 1000 items are shown")), "{note}");
        assert!(note.contains(&format!("`limit` {kept}")), "{note}");
    }

    #[test]
    fn of_many_reports_those_that_failed_are_kept() {
        let report = |at: usize| match at {
            990.. => json!({ "vm": at, "error": { "code": "busy", "message": "x".repeat(100) } }),
            _ => json!({ "vm": at, "path": "y".repeat(200) }),
        };
        let data = bounded(json!({ "results": (0..1000).map(report).collect::<Vec<_>>(), "failed": 10 }));
        let failed = data["results"].as_array().unwrap().iter().filter(|it| it.get("error").is_some()).count();
        assert_eq!((failed, &data["failed"]), (10, &json!(10)));
        assert!(note_of(&data).contains(" of 1000 results are shown"), "{}", note_of(&data));
    }

    #[test]
    fn several_long_lists_of_an_object_are_cut() {
        let list = |size: usize| (0..size).map(|at| json!({ "label": format!("{at:050}") })).collect::<Vec<_>>();
        let data = bounded(json!({ "vm": "a", "disks": list(3000), "guest": { "nics": list(2500) } }));
        let note = note_of(&data);
        assert!(note.contains(" of 3000 disks") && note.contains(" of 2500 guest.nics"), "{note}");
        assert_eq!(data["vm"], "a");
    }

    #[test]
    fn what_cannot_be_cut_is_not_shown() {
        let object: Map<String, Value> = (0..9000).map(|at| (format!("{at:020}"), json!(1))).collect();
        let data = bounded(Value::Object(object));
        assert!(note_of(&data).starts_with("nothing is shown"), "{data}");
    }

    #[test]
    fn hidden_characters_are_shown_wherever_they_stand() {
        let mut data = json!({ "a": ["b\u{202e}", { "c": "d\u{9b}\u{e0041}\n" }], "untrusted": "\u{200b}" });
        visible(&mut data);
        assert_eq!(data, json!({ "a": ["b\\u{202e}", { "c": "d\\u{9b}\\u{e0041}\n" }], "untrusted": "\\u{200b}" }));
    }
}
