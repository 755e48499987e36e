//! The whole API of vSphere: any method, by its name. These tools are offered only where their toolset is named.

use ring::digest::{SHA256, digest};
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, JsonObject};
use serde::Serialize;
use serde_json::{Value, json};
use vsphere_ops::{
    Client, ListQuery, Unreadable, Untrusted,
    api::{self, Access, Call, Description, Found, Properties},
    managed::{ManagedEntity, managed_entity},
};

use super::prelude::*;
use crate::{Effect, Permission, answer::Answers, output, render};

/// The most bytes of a result that one answer shows.
const MOST_SHOWN: usize = 24_000;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("search_api", Api, "Search the vSphere API", search_api)
            .about("Find methods, objects, properties and types of the vSphere API (vim25) by words of their names."),
        Tool::reads("describe_api", Api, "Describe a part of the vSphere API", describe_api)
            .about("Show the parameters, result and access of a method, or the fields of an object or type."),
        Tool::changes("call_api", Api, ReadOnly, "Call the vSphere API", call_api)
            .about(
                "Read properties of any object, or call any API method. Use it only where no other tool does it, and \
                 describe_api first. Methods that are not reads need full_admin and ask first.",
            )
            .long()
            .by_call(needs)
            .shown_by(shown)
            .asks(),
    ]
}

async fn search_api(args: SearchApi, cx: Cx) -> Result<Listed<Found>> {
    let limit = in_range("limit", args.limit, 20, 200)?;
    let query = ListQuery { filter: None, limit, cursor: cx.cursor(args.cursor)? };
    Ok(cx.page(api::search(&args.query, &query)?, None))
}

async fn describe_api(args: DescribeApi, _cx: Cx) -> Result<Object<Description>> {
    Ok(Object(api::describe(&args.name)?))
}

async fn call_api(args: CallApi, cx: Cx) -> Result<Answered> {
    let client = cx.client().await?;
    let Some(method) = args.method.as_deref() else {
        let object = args.object.as_deref().ok_or_else(|| {
            ToolError::invalid_argument("give `method`, or `object` and `properties`: what is to be read of what?")
        })?;
        let object = api::Object::get(&client, object).await?;
        let Properties { values, gaps } =
            api::read(&client, &object, args.properties.as_deref().unwrap_or_default()).await?;
        let read =
            Read { object: object.reference().to_string(), value: Value::Object(values), unreadable: gaps.unreadable };
        return args.page(&cx, read, true);
    };
    let call = Call::new(method, &args.arguments()?)?;
    let is_read = call.access() == Access::Read;
    if args.cursor.is_some() && !is_read {
        let text = "a method that is not a read is not called again for the rest of its answer: leave `cursor` out";
        return Err(ToolError::invalid_argument(text));
    }
    let find = async || Ok::<_, ToolError>(api::Object::find(&client, call.owner(), args.object.as_deref()).await?);
    let object = if is_read {
        find().await?
    } else {
        cx.agreed(async || agreed_on(&client, &call, find().await?).await).await?
    };
    let started = call.on(&client, &object).await?;
    let value = started.outcome().await?;
    args.page(&cx, Read { object: object.reference().to_string(), value, unreadable: Vec::new() }, is_read)
}

/// What a caller is asked before a call that is not a read: the object as it is now, and what it is called with.
async fn agreed_on(client: &Client, call: &Call, object: api::Object) -> Result<(api::Object, Preview)> {
    let reference = object.reference();
    let question = format!("Call {}.{} on {}?", call.owner(), call.name(), quoted(&object.label()));
    let arguments = call.shown()?;
    let mut preview = Preview::new(question).note(format!("It is called with {arguments}"));
    if let Some(privilege) = call.privilege() {
        preview = preview.note(format!("It takes the privilege {privilege}."));
    }
    let mut facts = json!({ "id": reference.value, "type": reference.type_ });
    if let Ok(entity) = client.get::<ManagedEntity>(&reference.to_string()).await {
        facts["name"] = json!(entity.label());
        facts["path"] = json!(client.paths(std::slice::from_ref(reference)).await?.pop());
        facts["overall_status"] = json!(entity.read(managed_entity::OVERALL_STATUS).await?.as_str());
    }
    preview = preview.object(facts)?;
    if reference.type_ == "VirtualMachine" {
        let state = ["config.changeVersion".to_owned(), "runtime.powerState".to_owned()];
        preview = preview.bind(api::read(client, &object, &state).await?.values)?;
    }
    Ok((object, preview))
}

/// What a call needs and does: a read is for everyone who may look. What is wrong with a method that is none, or is not offered, is
/// for everyone, too.
fn needs(arguments: &JsonObject) -> (Permission, Effect) {
    match arguments.get("method").and_then(Value::as_str).and_then(Access::named) {
        Some(Access::Change) => (FullAdmin, Effect::Vsphere),
        _ => (ReadOnly, Effect::Reads),
    }
}

/// The arguments as they may be shown: those of the method without the secrets that the API's model knows. What can't be read is
/// left out, because nobody knows what of it is a secret.
fn shown(argument: &str, given: &JsonObject) -> Option<Value> {
    if argument != "arguments" {
        return None;
    }
    let call = serde_json::from_value::<CallApi>(Value::Object(given.clone())).ok();
    let call = call.and_then(|args| Call::new(args.method.as_deref()?, &args.arguments().ok()?).ok());
    Some(call.and_then(|call| call.shown().ok()).unwrap_or_else(|| Value::from("***")))
}

/// What was read, or what a method has answered.
struct Read {
    object: String,
    value: Value,
    unreadable: Vec<Unreadable>,
}

/// The answer of a call: the result as one text, because all of it is data of others.
#[derive(Debug, Serialize, JsonSchema)]
struct Answered {
    /// The reference of the object.
    object: String,
    /// The result, or a part of it, as VI JSON.
    result: Untrusted,
    /// How many items the result has, or fields, where not all are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
    /// Where the rest begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// What was left out, and how to get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<Unreadable>,
}

impl Answers for Answered {
    fn schema() -> Option<Value> {
        Some(output::object::<Self>())
    }

    fn into_response(self) -> Result<CallToolResponse> {
        let data = serde_json::to_value(&self).map_err(|error| ToolError::new("internal", error.to_string()))?;
        let mut facts = data.clone();
        // It is one line, however long: a text that is cut elsewhere than between two items is of no use.
        facts.as_object_mut().and_then(|facts| facts.shift_remove("result"));
        let text = format!("{}\nresult: {}", render::compact(&facts), render::marked(&self.result));
        let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
        result.is_error = Some(false);
        result.structured_content = Some(data);
        Ok(result.into())
    }
}

impl CallApi {
    /// The arguments of the method as JSON, however they were written.
    ///
    /// # Errors
    /// `invalid_argument` where they are no JSON.
    fn arguments(&self) -> Result<Value> {
        let Some(text) = self.arguments.as_deref() else { return Ok(Value::Null) };
        serde_json::from_str(text).map_err(|error| {
            let text = format!("`arguments` is no JSON: {error}. An example is in describe_api's answer");
            ToolError::invalid_argument(text)
        })
    }

    /// The page of a result that is asked for, whose items or fields go out whole.
    fn page(mut self, cx: &Cx, read: Read, is_read: bool) -> Result<Answered> {
        let asked = json!([self.method, self.object, self.properties, self.arguments()?, self.part]);
        let hash = digest(&SHA256, asked.to_string().as_bytes());
        let hash: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let start = match cx.cursor(self.cursor.take())? {
            None => 0,
            Some(cursor) => {
                let (whose, start) = cursor.split_once(':').unwrap_or_default();
                let other = "`cursor` is that of another call: repeat the call that gave it with the same arguments";
                start.parse().ok().filter(|_| whose == hash).ok_or_else(|| ToolError::invalid_argument(other))?
            }
        };
        let value = match self.part.as_deref() {
            Some(part) => part_of(read.value, part)?,
            None => read.value,
        };
        let cut = cut(value, start);
        let next_cursor = cut.next.filter(|_| is_read);
        let next_cursor = next_cursor.map(|next| cx.seal_cursor(&format!("{hash}:{next}")));
        let note = match (cut.too_long, cut.next) {
            (Some(key), _) => Some(format!("{key} is too long to be shown: name it as `part`, or a part of it")),
            (None, Some(_)) if !is_read => {
                Some("the rest is not shown, because the method is not called again: read properties for it".to_owned())
            }
            _ => None,
        };
        Ok(Answered {
            object: read.object,
            result: Untrusted::from(cut.shown.to_string()),
            total: (cut.next.is_some() || start > 0).then_some(cut.total),
            next_cursor,
            cut: note,
            unreadable: read.unreadable,
        })
    }
}

/// A part of a result, by a path such as `hardware.device[3]`.
fn part_of(mut value: Value, part: &str) -> Result<Value> {
    let pointer = part.replace('[', ".").replace(']', "");
    for step in pointer.split('.').filter(|step| !step.is_empty()) {
        let found = match &mut value {
            Value::Array(items) => step.parse().ok().and_then(|index: usize| items.get_mut(index)).map(Value::take),
            Value::Object(fields) => fields.shift_remove(step),
            _ => None,
        };
        value = found.ok_or_else(|| {
            ToolError::invalid_argument(format!(
                "`part`: the result has no {step:?} there; {part:?} is a path like spec.device[3]"
            ))
        })?;
    }
    Ok(value)
}

/// What of a result fits into one answer.
struct Cut {
    shown: Value,
    /// The items, or the fields, of all of it.
    total: usize,
    /// The first that is not shown.
    next: Option<usize>,
    /// What is too long by itself.
    too_long: Option<String>,
}

/// As many items of a list, or fields of an object, as fit.
fn cut(value: Value, start: usize) -> Cut {
    let pieces: Vec<(Option<String>, Value)> = match value {
        Value::Array(items) => items.into_iter().map(|item| (None, item)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (Some(key), value)).collect(),
        scalar => return Cut { shown: scalar, total: 1, next: None, too_long: None },
    };
    let is_list = pieces.first().is_none_or(|(key, _)| key.is_none());
    let (total, mut size, mut next, mut too_long) = (pieces.len(), 0, None, None);
    let mut shown = if is_list { json!([]) } else { json!({}) };
    for (index, (key, piece)) in pieces.into_iter().enumerate().skip(start) {
        let length = piece.to_string().len() + key.as_ref().map_or(0, String::len);
        if length > MOST_SHOWN {
            too_long = too_long.or_else(|| Some(key.clone().unwrap_or_else(|| format!("[{index}]"))));
        } else if size + length > MOST_SHOWN {
            next = Some(index);
            break;
        } else {
            size += length;
        }
        let piece = if length > MOST_SHOWN { json!(format!("({length} bytes)")) } else { piece };
        match (&mut shown, key) {
            (Value::Array(items), _) => items.push(piece),
            (Value::Object(fields), Some(key)) => drop(fields.insert(key, piece)),
            _ => {}
        }
    }
    Cut { shown, total, next, too_long }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct SearchApi {
    /// Words: create snapshot
    query: String,
    /// 20 by default.
    limit: Option<usize>,
    /// The page's next_cursor.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct DescribeApi {
    /// PowerOnVM_Task, HostSystem, VirtualDisk
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct CallApi {
    /// Without it, properties are read.
    method: Option<String>,
    /// Name, path, id or Type:id; for a part of a host the host; a manager needs none.
    object: Option<String>,
    /// Paths: config.hardware.numCPU
    properties: Option<Vec<String>>,
    /// VI JSON: {"spec": {"numCPUs": 2}}. References also as "HostSystem:host-9".
    arguments: Option<JsonText>,
    /// Only this part of the result: device[3].backing
    part: Option<String>,
    /// The answer's next_cursor.
    cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_result_hold_whole_items() {
        let list: Value = (0..100).map(|number| json!({ "number": number, "text": "x".repeat(1000) })).collect();
        let (mut start, mut seen) = (0, Vec::new());
        loop {
            let cut = cut(list.clone(), start);
            assert_eq!((cut.total, cut.too_long), (100, None));
            assert!(cut.shown.to_string().len() <= MOST_SHOWN + 200);
            seen.extend(cut.shown.as_array().unwrap().iter().map(|item| item["number"].as_u64().unwrap()));
            match cut.next {
                Some(next) => start = next,
                None => break,
            }
        }
        assert_eq!(seen, (0..100).collect::<Vec<u64>>());
    }

    #[test]
    fn what_is_too_long_by_itself_is_named() {
        let cut = cut(json!({ "a": 1, "long": "x".repeat(MOST_SHOWN + 1), "z": 2 }), 0);
        assert_eq!((cut.shown["a"].as_i64(), cut.shown["z"].as_i64()), (Some(1), Some(2)));
        assert_eq!(cut.too_long.as_deref(), Some("long"));
    }

    #[test]
    fn a_part_is_found_by_its_path() {
        let value = json!({ "spec": { "device": [{ "key": 1 }, { "key": 2 }] } });
        assert_eq!(part_of(value.clone(), "spec.device[1].key").unwrap(), 2);
        for wrong in ["spec.nothing", "spec.device[7]", "spec.device.key"] {
            assert!(part_of(value.clone(), wrong).is_err(), "{wrong}");
        }
    }
}
