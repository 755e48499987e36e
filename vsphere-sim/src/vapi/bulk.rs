//! Tags, categories and what has them, many at a time (`com.vmware.vcenter.tagging`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::tagging::{Checker, MESSAGE, OBJECT, category_fields, dynamic_id};
use super::{Caller, Failure, Kind, Operation, Outcome, Route, Run, Shape, text, texts};
use crate::world::World;

/// How many items a page has when nothing is said.
const USUAL_PAGE: usize = 20;

/// How many pairs of objects and tags a page has.
const PAIRS: usize = 1_000;

/// A page of what is listed by id, where its names are wanted.
fn page<T>(
    all: &BTreeMap<String, T>,
    input: &Value,
    name: impl Fn(&T) -> &str,
    item: impl Fn(&str, &T) -> Value,
) -> Outcome<Value> {
    let (filter, iterate) = (&input["filter"], &input["iterate"]);
    let marker = iterate["marker"].as_str();
    let names = if filter["names"].is_null() { None } else { Some(texts(filter, "names")?) };
    if marker.is_some() && names.is_some() {
        return Err(Failure::invalid("A marker and a filter exclude each other."));
    }
    if marker.is_some_and(|marker| !all.contains_key(marker)) {
        return Err(Failure::not_found("that the marker is for"));
    }
    let size = iterate["page_size"].as_u64().map_or(USUAL_PAGE, |size| usize::try_from(size).unwrap_or(USUAL_PAGE));
    if size == 0 {
        return Err(Failure::invalid("A page holds one item at least."));
    }
    let mut left = all
        .iter()
        .filter(|(id, _)| marker.is_none_or(|marker| id.as_str() > marker))
        .filter(|(_, what)| names.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name(what))));
    let shown: Vec<_> = left.by_ref().take(size).collect();
    let more = left.next().is_some();
    let marker = shown.last().filter(|_| more).map(|(id, _)| id.as_str());
    let items: Vec<Value> = shown.iter().map(|(id, what)| item(id, what)).collect();
    let mut answer = json!({ "items": items });
    if let Some(marker) = marker {
        answer["marker"] = json!(marker);
    }
    Ok(answer)
}

fn list_tags(world: &World, _: &Caller, input: &Value) -> Outcome<Value> {
    page(
        &world.tagging.tags,
        input,
        |tag| &tag.name,
        |id, tag| {
            let info = json!({
                "name": tag.name,
                "category": tag.category,
                "description": tag.description,
                "used_by": tag.used_by,
            });
            json!({ "tag": id, "info": info })
        },
    )
}

fn list_categories(world: &World, _: &Caller, input: &Value) -> Outcome<Value> {
    page(
        &world.tagging.categories,
        input,
        |category| &category.name,
        |id, category| json!({ "category_id": id, "info": category_fields(category) }),
    )
}

fn list_associations(world: &World, caller: &Caller, input: &Value) -> Outcome<Value> {
    let checker = Checker::new(world, caller);
    let pairs = world.tagging.attached.iter().flat_map(|(object, tags)| tags.iter().map(move |tag| (tag, object)));
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort();
    let from = match input["iterate"]["marker"].as_str() {
        None => 0,
        Some(marker) => marker
            .parse()
            .ok()
            .filter(|at| *at < pairs.len())
            .ok_or_else(|| Failure::invalid("The marker is none that this iteration gave."))?,
    };
    let shown = pairs
        .iter()
        .skip(from)
        .take(PAIRS)
        .filter_map(|(tag, object)| Some(json!({ "tag": tag, "object": dynamic_id(checker.readable(object)?) })));
    let mut answer = json!({ "associations": shown.collect::<Vec<_>>(), "status": "END_OF_DATA" });
    if from + PAIRS < pairs.len() {
        answer["status"] = json!("READY");
        answer["marker"] = json!((from + PAIRS).to_string());
    }
    Ok(answer)
}

/// Attaches and detaches tags of one object: all that is asked for, or nothing.
fn update_associations(world: &mut World, caller: &Caller, input: &Value) -> Outcome<Value> {
    let spec = &input["spec"];
    let wanted = spec["tag_spec_list"].as_array().filter(|list| !list.is_empty());
    let wanted = wanted.ok_or_else(|| Failure::invalid("The field tag_spec_list is empty."))?;
    let checker = Checker::new(world, caller);
    let object = checker.object(&spec["object"]).map_err(|_| Failure::not_found("that tags are for"))?;
    checker.may_attach(&object)?;
    let mut tagging = world.tagging.clone();
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for change in wanted {
        let operation = text(change, "operation")?;
        let done = find_tag(world, change).and_then(|tag| {
            let changed = match operation {
                "ATTACH" => tagging.attach(&tag, &object)?,
                "DETACH" => tagging.detach(&tag, &object)?,
                other => return Err(Failure::invalid(format!("{other} is no operation on a tag."))),
            };
            Ok((tag, changed))
        });
        match done {
            Ok((tag, true)) => {
                let found = tagging.tag(&tag)?;
                let names = json!({
                    "tag_name": found.name,
                    "category_name": tagging.category(&found.category)?.name,
                });
                results.push(json!({ "operation": operation, "tag": tag, "tag_category_name_info": names }));
            }
            Ok((_, false)) => {}
            Err(failure) => errors.push(failure.as_message()),
        }
    }
    if errors.is_empty() {
        world.tagging = tagging;
        return Ok(json!({ "success": true, "results": results }));
    }
    Ok(json!({ "success": false, "errors": errors }))
}

/// The tag that is meant by its id, or by its name and that of its category.
fn find_tag(world: &World, change: &Value) -> Outcome<String> {
    if let Some(id) = change["tag_id"].as_str() {
        return Ok(id.to_owned());
    }
    let names = &change["tag_category_name_info"];
    let (name, category) = (text(names, "tag_name")?, text(names, "category_name")?);
    let found = world.tagging.tags.iter().find(|(_, tag)| {
        let of = world.tagging.categories.get(&tag.category);
        tag.name == name && of.is_some_and(|of| of.name == category)
    });
    let gone = || Failure::new(Kind::NotFound, "cis.tagging.objectNotFound.error", format!("{category}:{name}"));
    found.map(|(id, _)| id.clone()).ok_or_else(gone)
}

const TEXT: Shape = Shape::Optional(&Shape::Plain);
const TAG_INFO: Shape = Shape::Struct("com.vmware.vcenter.tagging.tags.info", &[]);
const TAG_ITEM: Shape = Shape::Struct("com.vmware.vcenter.tagging.tags.list_item", &[("info", TAG_INFO)]);
const TAGS: Shape = Shape::Struct(
    "com.vmware.vcenter.tagging.tags.list_result",
    &[("marker", TEXT), ("items", Shape::List(&TAG_ITEM))],
);
const CATEGORY_INFO: Shape = Shape::Struct("com.vmware.vcenter.tagging.categories.info", &[]);
const CATEGORY_ITEM: Shape =
    Shape::Struct("com.vmware.vcenter.tagging.categories.list_item", &[("info", CATEGORY_INFO)]);
const CATEGORIES: Shape = Shape::Struct(
    "com.vmware.vcenter.tagging.categories.list_result",
    &[("marker", TEXT), ("items", Shape::List(&CATEGORY_ITEM))],
);
const PAIR: Shape = Shape::Struct("com.vmware.vcenter.tagging.associations.summary", &[("object", OBJECT)]);
const ASSOCIATIONS: Shape = Shape::Struct(
    "com.vmware.vcenter.tagging.associations.list_result",
    &[("marker", TEXT), ("associations", Shape::List(&PAIR))],
);
const NAMES: Shape = Shape::Struct("com.vmware.vcenter.tagging.associations.tag_category_name_info", &[]);
const CHANGED: Shape =
    Shape::Struct("com.vmware.vcenter.tagging.associations.result_item", &[("tag_category_name_info", NAMES)]);
const UPDATED: Shape = Shape::Struct(
    "com.vmware.vcenter.tagging.associations.update_result",
    &[("results", Shape::Optional(&Shape::List(&CHANGED))), ("errors", Shape::Optional(&Shape::List(&MESSAGE)))],
);

/// The operations.
pub(super) static OPERATIONS: &[Operation] = &[
    Operation {
        id: "com.vmware.vcenter.tagging.associations.list",
        route: Route { verb: "GET", path: "vcenter/tagging/associations", action: "", body: "" },
        since: (7, 0),
        output: ASSOCIATIONS,
        run: Run::Read(list_associations),
    },
    Operation {
        id: "com.vmware.vcenter.tagging.associations.update",
        route: Route { verb: "PATCH", path: "vcenter/tagging/associations", action: "", body: "spec" },
        since: (9, 1),
        output: UPDATED,
        run: Run::Write(update_associations),
    },
    Operation {
        id: "com.vmware.vcenter.tagging.tags.list",
        route: Route { verb: "GET", path: "vcenter/tagging/tags", action: "", body: "" },
        since: (9, 0),
        output: TAGS,
        run: Run::Read(list_tags),
    },
    Operation {
        id: "com.vmware.vcenter.tagging.categories.list",
        route: Route { verb: "GET", path: "vcenter/tagging/categories", action: "", body: "" },
        since: (9, 0),
        output: CATEGORIES,
        run: Run::Read(list_categories),
    },
];
