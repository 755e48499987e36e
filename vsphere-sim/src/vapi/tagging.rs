//! Categories and tags, and which objects have which tags.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::{Caller, Failure, Kind, Operation, Outcome, Route, Run, Shape, text, texts};
use crate::rights::Scope;
use crate::session::new_key;
use crate::world::{Moref, World};

/// The store.
#[derive(Default, Clone)]
pub(crate) struct Tagging {
    pub(crate) categories: BTreeMap<String, Category>,
    pub(crate) tags: BTreeMap<String, Tag>,
    /// The tags of each object, by its id.
    pub(crate) attached: HashMap<String, BTreeSet<String>>,
}

#[derive(Clone)]
pub(crate) struct Category {
    pub(crate) name: String,
    pub(crate) description: String,
    /// An object has one tag of it at most.
    pub(crate) single: bool,
    /// The types of objects that its tags are for; empty for all.
    pub(crate) types: Vec<String>,
    pub(crate) used_by: BTreeSet<String>,
}

#[derive(Clone)]
pub(crate) struct Tag {
    pub(crate) category: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) used_by: BTreeSet<String>,
}

impl Tagging {
    /// Adds a category; its id.
    pub(crate) fn add_category(&mut self, name: &str, single: bool, types: &[&str], description: &str) -> String {
        let id = format!("urn:vmomi:InventoryServiceCategory:{}:GLOBAL", new_key());
        let category = Category {
            name: name.to_owned(),
            description: description.to_owned(),
            single,
            types: types.iter().map(|name| (*name).to_owned()).collect(),
            used_by: BTreeSet::new(),
        };
        self.categories.insert(id.clone(), category);
        id
    }

    /// Adds a tag; its id.
    pub(crate) fn add_tag(&mut self, category: &str, name: &str, description: &str) -> String {
        let id = format!("urn:vmomi:InventoryServiceTag:{}:GLOBAL", new_key());
        let tag = Tag {
            category: category.to_owned(),
            name: name.to_owned(),
            description: description.to_owned(),
            used_by: BTreeSet::new(),
        };
        self.tags.insert(id.clone(), tag);
        id
    }

    pub(super) fn category(&self, id: &str) -> Outcome<&Category> {
        self.categories.get(id).ok_or_else(|| Failure::not_found(id))
    }

    pub(super) fn tag(&self, id: &str) -> Outcome<&Tag> {
        self.tags.get(id).ok_or_else(|| Failure::not_found(id))
    }

    fn remove_tag(&mut self, id: &str) {
        self.tags.remove(id);
        for tags in self.attached.values_mut() {
            tags.remove(id);
        }
    }

    /// Whether an object may have a tag that it has not.
    ///
    /// # Errors
    /// The tag is not there, is not for such objects, or is the second of its category.
    fn may_have(&self, tag: &str, object: &Moref) -> Outcome<bool> {
        let category_id = &self.tag(tag)?.category;
        let category = self.category(category_id)?;
        let has = self.attached.get(&object.value);
        if has.is_some_and(|tags| tags.contains(tag)) {
            return Ok(false);
        }
        if !category.types.is_empty() && !category.types.contains(&object.type_) {
            let message = format!("Tagging associability violation: {} of {} objects", category.name, object.type_);
            return Err(Failure::invalid(message));
        }
        let of_category = |id: &String| self.tags.get(id).is_some_and(|tag| tag.category == *category_id);
        if category.single && has.is_some_and(|tags| tags.iter().any(of_category)) {
            return Err(Failure::invalid("Tagging cardinality violation"));
        }
        Ok(true)
    }

    /// Attaches a tag to an object. Whether it had it not.
    ///
    /// # Errors
    /// As [`may_have`](Self::may_have).
    pub(crate) fn attach(&mut self, tag: &str, object: &Moref) -> Outcome<bool> {
        let new = self.may_have(tag, object)?;
        if new {
            self.attached.entry(object.value.clone()).or_default().insert(tag.to_owned());
        }
        Ok(new)
    }

    /// Detaches a tag. Whether the object had it.
    ///
    /// # Errors
    /// The tag is not there.
    pub(crate) fn detach(&mut self, tag: &str, object: &Moref) -> Outcome<bool> {
        self.tag(tag)?;
        Ok(self.attached.get_mut(&object.value).is_some_and(|tags| tags.remove(tag)))
    }

    /// The tags of an object.
    pub(super) fn of(&self, object: &str) -> Vec<&str> {
        self.attached.get(object).into_iter().flatten().map(String::as_str).collect()
    }
}

/// What a user may do, for checks on many objects.
pub(super) struct Checker<'a> {
    world: &'a World,
    scope: Scope,
}

impl<'a> Checker<'a> {
    pub(super) fn new(world: &'a World, caller: &Caller) -> Self {
        Self { world, scope: world.scope_of(&caller.principal) }
    }

    /// The object that a reference of the API means, which the caller may read. One that is not there can't be read either.
    pub(super) fn object(&self, reference: &Value) -> Outcome<Moref> {
        let (type_, id) = (text(reference, "type")?, text(reference, "id")?);
        let object = Moref::new(type_, id);
        match self.world.find(&object) {
            Some(_) if self.scope.allows(self.world, &object, "System.Read") => Ok(object),
            _ => Err(Failure::unauthorized("System.Read")),
        }
    }

    /// The object of this id, where it is still there and may be read.
    pub(super) fn readable(&self, id: &str) -> Option<&'a Moref> {
        let object = self.world.reference(&Moref::new("", id))?;
        self.scope.allows(self.world, object, "System.Read").then_some(object)
    }

    /// Whether the caller may attach tags, and to this object.
    pub(super) fn may_attach(&self, object: &Moref) -> Outcome<()> {
        self.demand("InventoryService.Tagging.AttachTag")?;
        let privilege = "InventoryService.Tagging.ObjectAttachable";
        if self.scope.allows(self.world, object, privilege) { Ok(()) } else { Err(Failure::unauthorized(privilege)) }
    }

    /// Whether the caller has a privilege on the whole.
    pub(super) fn demand(&self, privilege: &str) -> Outcome<()> {
        let root = &self.world.content.root_folder;
        if self.scope.allows(self.world, root, privilege) { Ok(()) } else { Err(Failure::unauthorized(privilege)) }
    }
}

pub(super) fn dynamic_id(object: &Moref) -> Value {
    json!({ "type": object.type_, "id": object.value })
}

pub(super) fn category_fields(category: &Category) -> Value {
    json!({
        "name": category.name,
        "description": category.description,
        "cardinality": if category.single { "SINGLE" } else { "MULTIPLE" },
        "associable_types": category.types,
        "used_by": category.used_by,
    })
}

fn demand(world: &World, caller: &Caller, privilege: &str) -> Outcome<()> {
    Checker::new(world, caller).demand(&format!("InventoryService.Tagging.{privilege}"))
}

fn create_category(world: &mut World, caller: &Caller, input: &Value) -> Outcome<Value> {
    demand(world, caller, "CreateCategory")?;
    let spec = &input["create_spec"];
    let (name, description, types) =
        (text(spec, "name")?, text(spec, "description")?, texts(spec, "associable_types")?);
    let single = cardinality(text(spec, "cardinality")?)?;
    free_category(world, name)?;
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    Ok(json!(world.tagging.add_category(name, single, &types, description)))
}

fn cardinality(word: &str) -> Outcome<bool> {
    match word {
        "SINGLE" => Ok(true),
        "MULTIPLE" => Ok(false),
        other => Err(Failure::invalid(format!("{other} is no cardinality."))),
    }
}

/// Whether no category has this name, which must not be empty.
fn free_category(world: &World, name: &str) -> Outcome<()> {
    if name.trim().is_empty() {
        return Err(Failure::invalid("A category must have a name."));
    }
    if world.tagging.categories.values().any(|category| category.name == name) {
        return Err(exists("category", name));
    }
    Ok(())
}

fn exists(what: &str, name: &str) -> Failure {
    let message = format!("A {what} of the name {name} exists.");
    Failure::new(Kind::AlreadyExists, "cis.tagging.objectAlreadyExists.error", message)
}

fn get_category(world: &World, _: &Caller, input: &Value) -> Outcome<Value> {
    let id = text(input, "category_id")?;
    let mut fields = category_fields(world.tagging.category(id)?);
    fields["id"] = json!(id);
    Ok(fields)
}

fn update_category(world: &mut World, caller: &Caller, input: &Value) -> Outcome<Value> {
    demand(world, caller, "EditCategory")?;
    let (id, spec) = (text(input, "category_id")?, &input["update_spec"]);
    let mut category = world.tagging.category(id)?.clone();
    if let Some(name) = spec["name"].as_str().filter(|name| *name != category.name) {
        free_category(world, name)?;
        name.clone_into(&mut category.name);
    }
    if let Some(description) = spec["description"].as_str() {
        description.clone_into(&mut category.description);
    }
    if let Some(word) = spec["cardinality"].as_str().filter(|word| !word.is_empty()) {
        let single = cardinality(word)?;
        if single && !category.single {
            return Err(Failure::invalid("The cardinality of a category can't be reduced to SINGLE."));
        }
        category.single = single;
    }
    if spec["associable_types"].is_array() {
        let types = texts(spec, "associable_types")?;
        let grows = category.types.iter().all(|kept| types.contains(kept));
        let from_all = category.types.is_empty() && !types.is_empty();
        if from_all || !(grows || types.is_empty()) {
            return Err(Failure::invalid("Types can be added to those of a category, and none taken away."));
        }
        category.types = types;
    }
    world.tagging.categories.insert(id.to_owned(), category);
    Ok(Value::Null)
}

fn delete_category(world: &mut World, caller: &Caller, input: &Value) -> Outcome<Value> {
    demand(world, caller, "DeleteCategory")?;
    let id = text(input, "category_id")?;
    world.tagging.category(id)?;
    let tags: Vec<String> =
        world.tagging.tags.iter().filter(|(_, tag)| tag.category == id).map(|(id, _)| id.clone()).collect();
    tags.iter().for_each(|tag| world.tagging.remove_tag(tag));
    world.tagging.categories.remove(id);
    Ok(Value::Null)
}

fn list_categories(world: &World, _: &Caller, _: &Value) -> Outcome<Value> {
    Ok(json!(world.tagging.categories.keys().collect::<Vec<_>>()))
}

fn list_used_categories(world: &World, _: &Caller, input: &Value) -> Outcome<Value> {
    let by = text(input, "used_by_entity")?;
    let used = world.tagging.categories.iter().filter(|(_, category)| category.used_by.contains(by));
    Ok(json!(used.map(|(id, _)| id).collect::<Vec<_>>()))
}

/// The categories or tags that something uses: `add` notes it, else it is forgotten.
fn use_category(world: &mut World, input: &Value, add: bool) -> Outcome<Value> {
    let (id, by) = (text(input, "category_id")?, text(input, "used_by_entity")?);
    let category = world.tagging.categories.get_mut(id).ok_or_else(|| Failure::not_found(id))?;
    note_use(&mut category.used_by, by, add);
    Ok(Value::Null)
}

fn use_tag(world: &mut World, input: &Value, add: bool) -> Outcome<Value> {
    let (id, by) = (text(input, "tag_id")?, text(input, "used_by_entity")?);
    let tag = world.tagging.tags.get_mut(id).ok_or_else(|| Failure::not_found(id))?;
    note_use(&mut tag.used_by, by, add);
    Ok(Value::Null)
}

fn note_use(used_by: &mut BTreeSet<String>, by: &str, add: bool) {
    if add {
        used_by.insert(by.to_owned());
    } else {
        used_by.remove(by);
    }
}

fn create_tag(world: &mut World, caller: &Caller, input: &Value) -> Outcome<Value> {
    demand(world, caller, "CreateTag")?;
    let spec = &input["create_spec"];
    let (name, description, category) = (text(spec, "name")?, text(spec, "description")?, text(spec, "category_id")?);
    world.tagging.category(category)?;
    free_tag(world, category, name)?;
    Ok(json!(world.tagging.add_tag(category, name, description)))
}

/// Whether no tag of the category has this name, which must not be empty.
fn free_tag(world: &World, category: &str, name: &str) -> Outcome<()> {
    if name.trim().is_empty() {
        return Err(Failure::invalid("A tag must have a name."));
    }
    if world.tagging.tags.values().any(|tag| tag.category == category && tag.name == name) {
        return Err(exists("tag", name));
    }
    Ok(())
}

fn get_tag(world: &World, _: &Caller, input: &Value) -> Outcome<Value> {
    let id = text(input, "tag_id")?;
    let tag = world.tagging.tag(id)?;
    Ok(json!({
        "id": id,
        "category_id": tag.category,
        "name": tag.name,
        "description": tag.description,
        "used_by": tag.used_by,
    }))
}

fn update_tag(world: &mut World, caller: &Caller, input: &Value) -> Outcome<Value> {
    demand(world, caller, "EditTag")?;
    let (id, spec) = (text(input, "tag_id")?, &input["update_spec"]);
    let mut tag = world.tagging.tag(id)?.clone();
    if let Some(name) = spec["name"].as_str().filter(|name| *name != tag.name) {
        free_tag(world, &tag.category, name)?;
        name.clone_into(&mut tag.name);
    }
    if let Some(description) = spec["description"].as_str() {
        description.clone_into(&mut tag.description);
    }
    world.tagging.tags.insert(id.to_owned(), tag);
    Ok(Value::Null)
}

fn delete_tag(world: &mut World, caller: &Caller, input: &Value) -> Outcome<Value> {
    demand(world, caller, "DeleteTag")?;
    let id = text(input, "tag_id")?;
    world.tagging.tag(id)?;
    world.tagging.remove_tag(id);
    Ok(Value::Null)
}

fn list_tags(world: &World, _: &Caller, _: &Value) -> Outcome<Value> {
    Ok(json!(world.tagging.tags.keys().collect::<Vec<_>>()))
}

fn list_used_tags(world: &World, _: &Caller, input: &Value) -> Outcome<Value> {
    let by = text(input, "used_by_entity")?;
    let used = world.tagging.tags.iter().filter(|(_, tag)| tag.used_by.contains(by));
    Ok(json!(used.map(|(id, _)| id).collect::<Vec<_>>()))
}

fn list_tags_for_category(world: &World, _: &Caller, input: &Value) -> Outcome<Value> {
    let category = text(input, "category_id")?;
    world.tagging.category(category)?;
    let tags = world.tagging.tags.iter().filter(|(_, tag)| tag.category == category);
    Ok(json!(tags.map(|(id, _)| id).collect::<Vec<_>>()))
}

/// What both kinds of changes do to one object.
fn change(world: &mut World, caller: &Caller, tag: &str, reference: &Value, attach: bool) -> Outcome<()> {
    world.tagging.tag(tag)?;
    let checker = Checker::new(world, caller);
    let object = checker.object(reference)?;
    checker.may_attach(&object)?;
    match attach {
        true => world.tagging.attach(tag, &object).map(drop),
        false => world.tagging.detach(tag, &object).map(drop),
    }
}

/// The same with each, and what failed.
fn change_each<'v>(
    world: &mut World,
    caller: &Caller,
    all: impl IntoIterator<Item = (&'v str, &'v Value)>,
    attach: bool,
) -> Value {
    let failed: Vec<Value> = all
        .into_iter()
        .filter_map(|(tag, reference)| change(world, caller, tag, reference, attach).err())
        .map(|failure| failure.as_message())
        .collect();
    json!({ "success": failed.is_empty(), "error_messages": failed })
}

fn change_one(world: &mut World, caller: &Caller, input: &Value, attach: bool) -> Outcome<Value> {
    change(world, caller, text(input, "tag_id")?, &input["object_id"], attach)?;
    Ok(Value::Null)
}

fn change_objects(world: &mut World, caller: &Caller, input: &Value, attach: bool) -> Outcome<Value> {
    let tag = text(input, "tag_id")?;
    world.tagging.tag(tag)?;
    let objects = references(input)?;
    Ok(change_each(world, caller, objects.iter().map(|object| (tag, object)), attach))
}

fn change_tags(world: &mut World, caller: &Caller, input: &Value, attach: bool) -> Outcome<Value> {
    let tags = texts(input, "tag_ids")?;
    let object = &input["object_id"];
    Checker::new(world, caller).object(object)?;
    Ok(change_each(world, caller, tags.iter().map(|tag| (tag.as_str(), object)), attach))
}

fn references(input: &Value) -> Outcome<&Vec<Value>> {
    input["object_ids"].as_array().ok_or_else(|| Failure::invalid("The field object_ids is missing."))
}

fn list_attached_tags(world: &World, caller: &Caller, input: &Value) -> Outcome<Value> {
    let object = Checker::new(world, caller).object(&input["object_id"])?;
    Ok(json!(world.tagging.of(&object.value)))
}

fn list_attachable_tags(world: &World, caller: &Caller, input: &Value) -> Outcome<Value> {
    let object = Checker::new(world, caller).object(&input["object_id"])?;
    let fits = |id: &&String| world.tagging.may_have(id, &object).is_ok_and(|new| new);
    Ok(json!(world.tagging.tags.keys().filter(fits).collect::<Vec<_>>()))
}

fn list_attached_objects(world: &World, caller: &Caller, input: &Value) -> Outcome<Value> {
    let tag = text(input, "tag_id")?;
    world.tagging.tag(tag)?;
    Ok(json!(objects_with(world, &Checker::new(world, caller), tag)))
}

fn objects_with(world: &World, checker: &Checker<'_>, tag: &str) -> Vec<Value> {
    let tagged = world.tagging.attached.iter().filter(|(_, tags)| tags.contains(tag));
    tagged.filter_map(|(object, _)| checker.readable(object)).map(dynamic_id).collect()
}

fn list_attached_tags_on_objects(world: &World, caller: &Caller, input: &Value) -> Outcome<Value> {
    let checker = Checker::new(world, caller);
    // What may not be read is left out without a word.
    let readable = references(input)?.iter().filter_map(|reference| checker.object(reference).ok());
    let rows = readable.filter_map(|object| {
        let tags = world.tagging.of(&object.value);
        (!tags.is_empty()).then(|| json!({ "object_id": dynamic_id(&object), "tag_ids": tags }))
    });
    Ok(Value::Array(rows.collect()))
}

fn list_attached_objects_on_tags(world: &World, caller: &Caller, input: &Value) -> Outcome<Value> {
    let checker = Checker::new(world, caller);
    let known = texts(input, "tag_ids")?.into_iter().filter(|tag| world.tagging.tags.contains_key(tag));
    let rows = known.map(|tag| json!({ "object_ids": objects_with(world, &checker, &tag), "tag_id": tag }));
    Ok(Value::Array(rows.collect()))
}

const fn row(
    id: &'static str,
    verb: &'static str,
    path: &'static str,
    action: &'static str,
    output: Shape,
    run: Run,
) -> Operation {
    Operation { id, route: Route { verb, path, action, body: "" }, since: (6, 5), output, run }
}

/// The same, where the body below `/api/` is one field of the input.
const fn with_body(operation: Operation, body: &'static str) -> Operation {
    let Operation { id, route: Route { verb, path, action, .. }, since, output, run } = operation;
    Operation { id, route: Route { verb, path, action, body }, since, output, run }
}

const CATEGORY: Shape = Shape::Struct("com.vmware.cis.tagging.category_model", &[]);
const TAG: Shape = Shape::Struct("com.vmware.cis.tagging.tag_model", &[]);
pub(super) const OBJECT: Shape = Shape::Struct("com.vmware.vapi.std.dynamic_ID", &[]);
pub(super) const MESSAGE: Shape = Shape::Struct("com.vmware.vapi.std.localizable_message", &[]);
const BATCH: Shape =
    Shape::Struct("com.vmware.cis.tagging.tag_association.batch_result", &[("error_messages", Shape::List(&MESSAGE))]);
const OBJECT_TO_TAGS: Shape =
    Shape::Struct("com.vmware.cis.tagging.tag_association.object_to_tags", &[("object_id", OBJECT)]);
const TAG_TO_OBJECTS: Shape =
    Shape::Struct("com.vmware.cis.tagging.tag_association.tag_to_objects", &[("object_ids", Shape::List(&OBJECT))]);

const CATEGORIES: &str = "cis/tagging/category";
const ONE_CATEGORY: &str = "cis/tagging/category/{category_id}";
const TAGS: &str = "cis/tagging/tag";
const ONE_TAG: &str = "cis/tagging/tag/{tag_id}";
const ASSOCIATIONS: &str = "cis/tagging/tag-association";
const OF_TAG: &str = "cis/tagging/tag-association/{tag_id}";

use Shape::Plain;

/// The operations on categories and tags.
pub(super) static OPERATIONS: &[Operation] = &[
    with_body(
        row("com.vmware.cis.tagging.category.create", "POST", CATEGORIES, "", Plain, Run::Write(create_category)),
        "create_spec",
    ),
    row("com.vmware.cis.tagging.category.list", "GET", CATEGORIES, "", Plain, Run::Read(list_categories)),
    row(
        "com.vmware.cis.tagging.category.list_used_categories",
        "POST",
        CATEGORIES,
        "list-used-categories",
        Plain,
        Run::Read(list_used_categories),
    ),
    row("com.vmware.cis.tagging.category.get", "GET", ONE_CATEGORY, "", CATEGORY, Run::Read(get_category)),
    with_body(
        row("com.vmware.cis.tagging.category.update", "PATCH", ONE_CATEGORY, "", Plain, Run::Write(update_category)),
        "update_spec",
    ),
    row("com.vmware.cis.tagging.category.delete", "DELETE", ONE_CATEGORY, "", Plain, Run::Write(delete_category)),
    row(
        "com.vmware.cis.tagging.category.add_to_used_by",
        "POST",
        ONE_CATEGORY,
        "add-to-used-by",
        Plain,
        Run::Write(|world, _, input| use_category(world, input, true)),
    ),
    row(
        "com.vmware.cis.tagging.category.remove_from_used_by",
        "POST",
        ONE_CATEGORY,
        "remove-from-used-by",
        Plain,
        Run::Write(|world, _, input| use_category(world, input, false)),
    ),
    with_body(row("com.vmware.cis.tagging.tag.create", "POST", TAGS, "", Plain, Run::Write(create_tag)), "create_spec"),
    row("com.vmware.cis.tagging.tag.list", "GET", TAGS, "", Plain, Run::Read(list_tags)),
    row("com.vmware.cis.tagging.tag.list_used_tags", "POST", TAGS, "list-used-tags", Plain, Run::Read(list_used_tags)),
    row(
        "com.vmware.cis.tagging.tag.list_tags_for_category",
        "POST",
        TAGS,
        "list-tags-for-category",
        Plain,
        Run::Read(list_tags_for_category),
    ),
    // As older clients ask for it, with the category in the place of a tag.
    row(
        "com.vmware.cis.tagging.tag.list_tags_for_category",
        "POST",
        "cis/tagging/tag/{category_id}",
        "list-tags-for-category",
        Plain,
        Run::Read(list_tags_for_category),
    ),
    row("com.vmware.cis.tagging.tag.get", "GET", ONE_TAG, "", TAG, Run::Read(get_tag)),
    with_body(
        row("com.vmware.cis.tagging.tag.update", "PATCH", ONE_TAG, "", Plain, Run::Write(update_tag)),
        "update_spec",
    ),
    row("com.vmware.cis.tagging.tag.delete", "DELETE", ONE_TAG, "", Plain, Run::Write(delete_tag)),
    row(
        "com.vmware.cis.tagging.tag.add_to_used_by",
        "POST",
        ONE_TAG,
        "add-to-used-by",
        Plain,
        Run::Write(|world, _, input| use_tag(world, input, true)),
    ),
    row(
        "com.vmware.cis.tagging.tag.remove_from_used_by",
        "POST",
        ONE_TAG,
        "remove-from-used-by",
        Plain,
        Run::Write(|world, _, input| use_tag(world, input, false)),
    ),
];

/// The operations on what has which tags.
pub(super) static ASSOCIATION_OPERATIONS: &[Operation] = &[
    row(
        "com.vmware.cis.tagging.tag_association.attach",
        "POST",
        OF_TAG,
        "attach",
        Plain,
        Run::Write(|world, caller, input| change_one(world, caller, input, true)),
    ),
    row(
        "com.vmware.cis.tagging.tag_association.detach",
        "POST",
        OF_TAG,
        "detach",
        Plain,
        Run::Write(|world, caller, input| change_one(world, caller, input, false)),
    ),
    row(
        "com.vmware.cis.tagging.tag_association.attach_tag_to_multiple_objects",
        "POST",
        OF_TAG,
        "attach-tag-to-multiple-objects",
        BATCH,
        Run::Write(|world, caller, input| change_objects(world, caller, input, true)),
    ),
    row(
        "com.vmware.cis.tagging.tag_association.detach_tag_from_multiple_objects",
        "POST",
        OF_TAG,
        "detach-tag-from-multiple-objects",
        BATCH,
        Run::Write(|world, caller, input| change_objects(world, caller, input, false)),
    ),
    row(
        "com.vmware.cis.tagging.tag_association.attach_multiple_tags_to_object",
        "POST",
        ASSOCIATIONS,
        "attach-multiple-tags-to-object",
        BATCH,
        Run::Write(|world, caller, input| change_tags(world, caller, input, true)),
    ),
    row(
        "com.vmware.cis.tagging.tag_association.detach_multiple_tags_from_object",
        "POST",
        ASSOCIATIONS,
        "detach-multiple-tags-from-object",
        BATCH,
        Run::Write(|world, caller, input| change_tags(world, caller, input, false)),
    ),
    row(
        "com.vmware.cis.tagging.tag_association.list_attached_objects",
        "POST",
        OF_TAG,
        "list-attached-objects",
        Shape::List(&OBJECT),
        Run::Read(list_attached_objects),
    ),
    row(
        "com.vmware.cis.tagging.tag_association.list_attached_tags",
        "POST",
        ASSOCIATIONS,
        "list-attached-tags",
        Plain,
        Run::Read(list_attached_tags),
    ),
    row(
        "com.vmware.cis.tagging.tag_association.list_attachable_tags",
        "POST",
        ASSOCIATIONS,
        "list-attachable-tags",
        Plain,
        Run::Read(list_attachable_tags),
    ),
    row(
        "com.vmware.cis.tagging.tag_association.list_attached_tags_on_objects",
        "POST",
        ASSOCIATIONS,
        "list-attached-tags-on-objects",
        Shape::List(&OBJECT_TO_TAGS),
        Run::Read(list_attached_tags_on_objects),
    ),
    row(
        "com.vmware.cis.tagging.tag_association.list_attached_objects_on_tags",
        "POST",
        ASSOCIATIONS,
        "list-attached-objects-on-tags",
        Shape::List(&TAG_TO_OBJECTS),
        Run::Read(list_attached_objects_on_tags),
    ),
];
