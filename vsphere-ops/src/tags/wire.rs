//! Tags as the Automation API has them: paths and shapes of both generations.

use std::collections::HashMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use vsphere_model::types::ManagedObjectReference;

use super::Cardinality;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::rest::Rest;
use crate::sight::Guard;

/// How many objects one request asks about, and how many one changes.
const ASKED: usize = 2_000;
pub(super) const CHANGED: usize = 500;

/// How many requests there are at a time. The service refuses what comes faster than some 360 a second.
pub(super) const AT_ONCE: usize = 8;

/// How many items a page is to have, and how many where the server finds that too many.
const PAGES: [usize; 2] = [1_000, 100];

/// How often a list that changed while it was read is read from its beginning.
const RESTARTS: usize = 3;

/// What may stand in a path as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b':').remove(b'-').remove(b'.').remove(b'_');

/// The tags of a server.
#[derive(Clone)]
pub(super) struct Wire {
    rest: Rest,
    /// Which objects there are for the client, where that is not all.
    guard: Option<Arc<Guard>>,
    /// The server has the older paths alone.
    older: bool,
    version: (u32, u32),
}

/// A category as it is read.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct CategoryModel {
    #[serde(default)]
    pub(super) id: String,
    pub(super) name: String,
    pub(super) cardinality: Cardinality,
    #[serde(default, deserialize_with = "or_none")]
    pub(super) associable_types: Vec<String>,
}

/// A tag as it is read.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct TagModel {
    #[serde(default)]
    pub(super) id: String,
    #[serde(alias = "category")]
    pub(super) category_id: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
}

/// An object as tags refer to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ObjectId {
    #[serde(rename = "type")]
    pub(super) type_: String,
    pub(super) id: String,
}

impl From<&ManagedObjectReference> for ObjectId {
    fn from(object: &ManagedObjectReference) -> Self {
        Self { type_: object.type_.clone(), id: object.value.clone() }
    }
}

/// A list, where none is written as an empty one.
#[derive(Deserialize)]
#[serde(transparent)]
struct List<T>(Option<Vec<T>>);

impl<T> List<T> {
    fn into_items(self) -> Vec<T> {
        self.0.unwrap_or_default()
    }
}

fn or_none<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(List::deserialize(from)?.into_items())
}

/// What is answered to a change of many, which HTTP calls a success in any case.
#[derive(Deserialize)]
struct Batch {
    success: bool,
}

impl Wire {
    pub(super) async fn open(client: &Client) -> Result<Self> {
        let rest = client.rest_for_tags()?;
        let older = rest.is_older().await?;
        let mut numbers = client.content().about.api_version.split('.').map(|number| number.parse().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Ok(Self { rest, guard: client.guard().cloned(), older, version })
    }

    /// The path of what is below `tagging`: a kind, one of them, what is done with it.
    fn path(&self, kind: &str, id: Option<&str>, action: &str) -> String {
        let (root, mark, key) = match self.older {
            true => ("/rest/com/vmware/cis/tagging/", "id:", "~action"),
            false => ("/api/cis/tagging/", "", "action"),
        };
        let mut path = format!("{root}{kind}");
        if let Some(id) = id {
            path.push_str(&format!("/{mark}{}", utf8_percent_encode(id, KEPT)));
        }
        if !action.is_empty() {
            path.push_str(&format!("?{key}={action}"));
        }
        path
    }

    pub(super) async fn category_ids(&self) -> Result<Vec<String>> {
        self.rest.get(&self.path("category", None, "")).await.map(List::into_items)
    }

    pub(super) async fn tag_ids(&self) -> Result<Vec<String>> {
        self.rest.get(&self.path("tag", None, "")).await.map(List::into_items)
    }

    /// The tags of a category.
    pub(super) async fn tag_ids_of(&self, category: &str) -> Result<Vec<String>> {
        // Older servers want the category in the path too.
        let at = self.older.then_some(category);
        let path = self.path("tag", at, "list-tags-for-category");
        self.rest.post(&path, &json!({ "category_id": category })).await.map(List::into_items)
    }

    /// These categories, without those that are gone or may not be read.
    pub(super) async fn categories(&self, ids: Vec<String>) -> Result<Vec<CategoryModel>> {
        self.each("category", ids).await
    }

    /// These tags, without those that are gone or may not be read.
    pub(super) async fn tags(&self, ids: Vec<String>) -> Result<Vec<TagModel>> {
        self.each("tag", ids).await
    }

    async fn each<T: DeserializeOwned>(&self, kind: &str, ids: Vec<String>) -> Result<Vec<T>> {
        let paths: Vec<String> = ids.iter().map(|id| self.path(kind, Some(id), "")).collect();
        let reads = paths.into_iter().map(|path| async move {
            match self.rest.get::<T>(&path).await {
                Err(error) if error.is_not_found() || is_forbidden(&error) => Ok(None),
                read => read.map(Some),
            }
        });
        let read: Vec<Option<T>> = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
        Ok(read.into_iter().flatten().collect())
    }

    /// Whether a server of this version lists all tags with what they are.
    pub(super) fn lists_all(&self) -> bool {
        !self.older && self.version >= (9, 0)
    }

    /// Whether a server of this version changes several tags of an object at once.
    pub(super) fn swaps(&self) -> bool {
        !self.older && self.version >= (9, 1)
    }

    /// All categories; `None` where the server does not list them.
    pub(super) async fn all_categories(&self) -> Result<Option<Vec<CategoryModel>>> {
        #[derive(Deserialize)]
        struct Item {
            category_id: String,
            info: CategoryModel,
        }

        let items = self.pages::<Item>("/api/vcenter/tagging/categories").await?;
        let whole = |item: Item| CategoryModel { id: item.category_id, ..item.info };
        Ok(items.map(|items| items.into_iter().map(whole).collect()))
    }

    /// All tags; `None` where the server does not list them.
    pub(super) async fn all_tags(&self) -> Result<Option<Vec<TagModel>>> {
        #[derive(Deserialize)]
        struct Item {
            tag: String,
            info: TagModel,
        }

        let items = self.pages::<Item>("/api/vcenter/tagging/tags").await?;
        Ok(items.map(|items| items.into_iter().map(|item| TagModel { id: item.tag, ..item.info }).collect()))
    }

    async fn pages<T: DeserializeOwned>(&self, path: &str) -> Result<Option<Vec<T>>> {
        #[derive(Deserialize)]
        struct Page<T> {
            items: Vec<T>,
            marker: Option<String>,
        }

        let (mut items, mut marker) = (Vec::new(), None::<String>);
        let mut sizes = PAGES.into_iter().peekable();
        let mut restarts = 0;
        loop {
            let size = sizes.peek().copied().unwrap_or_default();
            let mut query = format!("{path}?page_size={size}");
            if let Some(marker) = &marker {
                query.push_str(&format!("&marker={}", utf8_percent_encode(marker, NON_ALPHANUMERIC)));
            }
            let page: Page<T> = match (self.rest.get(&query).await, &marker) {
                (Ok(page), _) => page,
                (Err(error), None) if matches!(status(&error), Some(404 | 405)) => return Ok(None),
                (Err(error), None) if status(&error) == Some(400) => {
                    sizes.next();
                    if sizes.peek().is_none() {
                        return Err(error);
                    }
                    continue;
                }
                // The item that the next page begins behind is gone.
                (Err(error), Some(_)) if error.is_not_found() && restarts < RESTARTS => {
                    restarts += 1;
                    (items, marker) = (Vec::new(), None);
                    continue;
                }
                (Err(error), _) => return Err(error),
            };
            items.extend(page.items);
            match page.marker.filter(|marker| !marker.is_empty()) {
                None => return Ok(Some(items)),
                same if same == marker => {
                    let text = "a list goes on behind the same item again and again";
                    return Err(Error::new("list tags", ErrorKind::Protocol(text.to_owned())).on(path));
                }
                next => marker = next,
            }
        }
    }

    /// The ids of the tags of each object that has some, by the object's id.
    pub(super) async fn attached(&self, objects: &[ObjectId]) -> Result<HashMap<String, Vec<String>>> {
        #[derive(Deserialize)]
        struct Row {
            object_id: ObjectId,
            #[serde(deserialize_with = "or_none")]
            tag_ids: Vec<String>,
        }

        let path = self.path("tag-association", None, "list-attached-tags-on-objects");
        let bodies: Vec<Value> = objects.chunks(ASKED).map(|some| json!({ "object_ids": some })).collect();
        let path = &path;
        let reads = bodies.into_iter().map(|body| async move { self.rest.post::<List<Row>>(path, &body).await });
        let rows: Vec<List<Row>> = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
        let rows: Vec<Row> = rows.into_iter().flat_map(List::into_items).collect();
        let permitted = self.permitted(rows.iter().map(|row| row.object_id.id.as_str())).await?;
        let rows = rows.into_iter().zip(permitted).filter(|(_, permitted)| *permitted);
        Ok(rows.map(|(row, _)| (row.object_id.id, row.tag_ids)).collect())
    }

    /// Which of these objects, by their ids, there are for the client.
    async fn permitted<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Result<Vec<bool>> {
        match &self.guard {
            Some(guard) => guard.permitted(ids).await,
            None => Ok(ids.map(|_| true).collect()),
        }
    }

    /// Fails unless the client may change the tags of these objects.
    async fn check(&self, objects: &[ObjectId]) -> Result<()> {
        let permitted = self.permitted(objects.iter().map(|object| object.id.as_str())).await?;
        match objects.iter().zip(permitted).find(|(_, permitted)| !permitted) {
            None => Ok(()),
            Some((object, _)) => {
                let text = format!("there is no {} {}, or not any longer", object.type_, object.id);
                Err(Error::new("change tags", ErrorKind::NotFound(text)))
            }
        }
    }

    /// The objects that have a tag.
    pub(super) async fn objects_with(&self, tag: &str) -> Result<Vec<ObjectId>> {
        let path = self.path("tag-association", Some(tag), "list-attached-objects");
        let objects: List<ObjectId> = self.rest.post(&path, &Value::Null).await?;
        let objects = objects.into_items();
        let permitted = self.permitted(objects.iter().map(|object| object.id.as_str())).await?;
        Ok(objects.into_iter().zip(permitted).filter(|(_, permitted)| *permitted).map(|(object, _)| object).collect())
    }

    /// Attaches a tag to an object, or detaches it.
    pub(super) async fn change(&self, tag: &str, object: &ObjectId, attach: bool) -> Result<()> {
        self.check(std::slice::from_ref(object)).await?;
        let action = if attach { "attach" } else { "detach" };
        let path = self.path("tag-association", Some(tag), action);
        self.rest.post::<IgnoredAny>(&path, &json!({ "object_id": object })).await.map(drop)
    }

    /// The same with several objects. Whether all are so now; else some may be.
    pub(super) async fn change_all(&self, tag: &str, objects: &[ObjectId], attach: bool) -> Result<bool> {
        self.check(objects).await?;
        let action = if attach { "attach-tag-to-multiple-objects" } else { "detach-tag-from-multiple-objects" };
        let path = self.path("tag-association", Some(tag), action);
        // Without a word, nothing is known.
        let batch: Option<Batch> = self.rest.post(&path, &json!({ "object_ids": objects })).await?;
        Ok(batch.is_some_and(|batch| batch.success))
    }

    /// Takes tags off an object and gives it another one, or does nothing. `None` where the server can't do that at once.
    pub(super) async fn swap(&self, object: &ObjectId, off: &[&str], on: &str) -> Result<Option<bool>> {
        self.check(std::slice::from_ref(object)).await?;
        let change = |operation: &str, tag: &str| json!({ "operation": operation, "tag_id": tag });
        let mut changes: Vec<Value> = off.iter().map(|tag| change("DETACH", tag)).collect();
        changes.push(change("ATTACH", on));
        let spec = json!({ "object": object, "tag_spec_list": changes });
        match self.rest.patch::<Batch>("/api/vcenter/tagging/associations", &spec).await {
            Err(error) if status(&error) == Some(405) => Ok(None),
            // It is the path that is not there, unless an error of the API says otherwise.
            Err(error) if status(&error) == Some(404) && !is_named(&error) => Ok(None),
            done => done.map(|batch| Some(batch.success)),
        }
    }
}

/// The HTTP status of an error of the Automation API.
fn status(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::Rest(fault) => Some(fault.status),
        _ => None,
    }
}

fn is_named(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Rest(fault) if !fault.name.is_empty() && fault.name != "OPERATION_NOT_FOUND")
}

fn is_forbidden(error: &Error) -> bool {
    status(error) == Some(403)
}
