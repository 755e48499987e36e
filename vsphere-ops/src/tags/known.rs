//! The names of categories and tags, remembered for a while: before 9.0, servers tell them one at a time.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Tag;
use super::wire::{CategoryModel, TagModel, Wire};
use crate::connection::{Connection, Part};
use crate::error::Result;
use crate::untrusted::Untrusted;

/// How long a name is good for. Others may rename what has it.
const AGE: Duration = Duration::from_secs(5 * 60);

/// How many categories and tags are remembered, of each.
const MOST: usize = 20_000;

/// What is remembered for a connection.
#[derive(Default)]
pub(super) struct Known {
    names: Mutex<Names>,
    /// Held while somebody reads names, so that others find them.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Names {
    categories: HashMap<String, (Instant, Arc<CategoryModel>)>,
    tags: HashMap<String, (Instant, Arc<TagModel>)>,
    /// Grows when something is forgotten: what was read before may be old.
    forgotten: u64,
    /// The server does not list them with their names, whatever its version.
    one_by_one: bool,
}

impl Part for Known {}

/// Forgets the names after a request of this client that may have changed some.
pub(crate) fn note_request(connection: &Connection, path: &str) {
    let Some((_, below)) = path.split_once("/cis/tagging/") else { return };
    let kind = below.split(['/', '?']).next().unwrap_or_default();
    if matches!(kind, "category" | "tag") && !below.contains("action=list-") {
        connection.part::<Known>().forget();
    }
}

impl Known {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all names.
    pub(super) fn forget(&self) {
        let mut names = self.names();
        let (forgotten, one_by_one) = (names.forgotten + 1, names.one_by_one);
        *names = Names { forgotten, one_by_one, ..Names::default() };
    }

    /// Whether the server lists all tags with what they are, as far as is known.
    pub(super) fn lists_all(&self, wire: &Wire) -> bool {
        wire.lists_all() && !self.names().one_by_one
    }

    /// All tags that the user may see.
    pub(super) async fn all(&self, wire: &Wire) -> Result<Vec<Tag>> {
        let _reading = self.reading.lock().await;
        if let Some(tags) = self.listed(wire).await? {
            return Ok(self.with_categories(wire, tags).await?.into_values().collect());
        }
        let ids = wire.tag_ids().await?;
        let tags = self.read_tags(wire, ids).await?;
        Ok(self.with_categories(wire, tags).await?.into_values().collect())
    }

    /// All tags in one list, where the server has it, and what categories there are.
    async fn listed(&self, wire: &Wire) -> Result<Option<Vec<Arc<TagModel>>>> {
        if !self.lists_all(wire) {
            return Ok(None);
        }
        let seen = self.names().forgotten;
        let (Some(categories), Some(tags)) = tokio::try_join!(wire.all_categories(), wire.all_tags())? else {
            self.names().one_by_one = true;
            return Ok(None);
        };
        self.keep(seen, categories, Vec::new());
        Ok(Some(self.keep(seen, Vec::new(), tags)))
    }

    /// The tags with these ids, by id, without those that are gone.
    pub(super) async fn tags(&self, wire: &Wire, ids: &HashSet<&str>) -> Result<HashMap<String, Tag>> {
        let _reading = self.reading.lock().await;
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let unknown = ids.iter().any(|id| self.fresh_tag(id).is_none());
        if unknown
            && ids.len() > 1
            && let Some(all) = self.listed(wire).await?
        {
            let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
            let tags = all.into_iter().filter(|tag| wanted.contains(tag.id.as_str())).collect();
            return self.with_categories(wire, tags).await;
        }
        let tags = self.read_tags(wire, ids).await?;
        self.with_categories(wire, tags).await
    }

    /// All categories that the user may see.
    pub(super) async fn categories(&self, wire: &Wire) -> Result<Vec<Arc<CategoryModel>>> {
        let _reading = self.reading.lock().await;
        if self.lists_all(wire) {
            let seen = self.names().forgotten;
            if let Some(all) = wire.all_categories().await? {
                let kept = all.iter().cloned().map(Arc::new).collect();
                self.keep(seen, all, Vec::new());
                return Ok(kept);
            }
        }
        let ids = wire.category_ids().await?;
        Ok(self.read_categories(wire, ids).await?.into_values().collect())
    }

    /// The tags of a category.
    pub(super) async fn tags_of(&self, wire: &Wire, category: &str) -> Result<Vec<Tag>> {
        if self.lists_all(wire) {
            return Ok(self.all(wire).await?.into_iter().filter(|tag| tag.category_id == category).collect());
        }
        let ids = wire.tag_ids_of(category).await?;
        let _reading = self.reading.lock().await;
        let tags = self.read_tags(wire, ids).await?;
        Ok(self.with_categories(wire, tags).await?.into_values().collect())
    }

    fn fresh_tag(&self, id: &str) -> Option<Arc<TagModel>> {
        self.names().tags.get(id).filter(|(at, _)| at.elapsed() < AGE).map(|(_, tag)| Arc::clone(tag))
    }

    async fn read_tags(&self, wire: &Wire, ids: Vec<String>) -> Result<Vec<Arc<TagModel>>> {
        let seen = self.names().forgotten;
        let (mut found, mut unknown) = (Vec::new(), Vec::new());
        for id in ids {
            match self.fresh_tag(&id) {
                Some(tag) => found.push(tag),
                None => unknown.push(id),
            }
        }
        if !unknown.is_empty() {
            let read = wire.tags(unknown).await?;
            found.extend(self.keep(seen, Vec::new(), read));
        }
        Ok(found)
    }

    async fn read_categories(&self, wire: &Wire, ids: Vec<String>) -> Result<HashMap<String, Arc<CategoryModel>>> {
        let seen = self.names().forgotten;
        let (mut found, mut unknown) = (HashMap::new(), Vec::new());
        for id in ids {
            let known = self.names().categories.get(&id).filter(|(at, _)| at.elapsed() < AGE).cloned();
            match known {
                Some((_, category)) => drop(found.insert(id, category)),
                None => unknown.push(id),
            }
        }
        if !unknown.is_empty() {
            let read = wire.categories(unknown).await?;
            found.extend(read.iter().map(|category| (category.id.clone(), Arc::new(category.clone()))));
            self.keep(seen, read, Vec::new());
        }
        Ok(found)
    }

    /// These tags with what their categories are, by id.
    async fn with_categories(&self, wire: &Wire, tags: Vec<Arc<TagModel>>) -> Result<HashMap<String, Tag>> {
        let ids: HashSet<&str> = tags.iter().map(|tag| tag.category_id.as_str()).collect();
        let ids = ids.into_iter().map(str::to_owned).collect();
        let categories = self.read_categories(wire, ids).await?;
        let whole = |tag: Arc<TagModel>| {
            let category = categories.get(&tag.category_id)?;
            Some((tag.id.clone(), of(&tag, category)))
        };
        Ok(tags.into_iter().filter_map(whole).collect())
    }

    /// Remembers what was read, unless names were forgotten meanwhile.
    fn keep(&self, seen: u64, categories: Vec<CategoryModel>, tags: Vec<TagModel>) -> Vec<Arc<TagModel>> {
        let now = Instant::now();
        let tags: Vec<Arc<TagModel>> = tags.into_iter().map(Arc::new).collect();
        let mut names = self.names();
        if names.forgotten == seen {
            room(&mut names.categories, categories.len());
            room(&mut names.tags, tags.len());
            let categories = categories.into_iter().take(MOST);
            names.categories.extend(categories.map(|category| (category.id.clone(), (now, Arc::new(category)))));
            names.tags.extend(tags.iter().take(MOST).map(|tag| (tag.id.clone(), (now, Arc::clone(tag)))));
        }
        tags
    }
}

/// Makes room for so many more.
fn room<T>(names: &mut HashMap<String, (Instant, T)>, more: usize) {
    if names.len() + more > MOST {
        names.retain(|_, (at, _)| at.elapsed() < AGE);
    }
    if names.len() + more > MOST {
        names.clear();
    }
}

fn of(tag: &TagModel, category: &CategoryModel) -> Tag {
    Tag {
        name: tag.name.clone(),
        category: category.name.clone(),
        id: tag.id.clone(),
        cardinality: category.cardinality,
        associable_types: category.associable_types.clone(),
        description: Some(&tag.description).filter(|text| !text.is_empty()).map(|text| Untrusted::from(text.as_str())),
        category_id: tag.category_id.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    fn tag(number: usize) -> TagModel {
        TagModel {
            id: number.to_string(),
            category_id: "c".to_owned(),
            name: format!("t{number}"),
            description: String::new(),
        }
    }

    #[test]
    fn names_are_remembered_for_a_while() {
        let known = Known::default();
        known.keep(0, Vec::new(), vec![tag(1)]);
        assert_eq!(known.fresh_tag("1").unwrap().name, "t1");
        let long_ago = Instant::now().checked_sub(AGE).unwrap();
        known.names().tags.get_mut("1").unwrap().0 = long_ago;
        assert!(known.fresh_tag("1").is_none());
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let known = Known::default();
        known.keep(0, Vec::new(), (0..MOST - 1).map(tag).collect());
        known.keep(0, Vec::new(), vec![tag(MOST), tag(MOST + 1)]);
        assert_eq!(known.names().tags.len(), 2);
        known.keep(0, Vec::new(), (0..2 * MOST).map(tag).collect());
        assert_eq!(known.names().tags.len(), MOST);
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let known = Known::default();
        let seen = known.names().forgotten;
        known.forget();
        assert_eq!(known.keep(seen, Vec::new(), vec![tag(1)]).len(), 1);
        assert!(known.fresh_tag("1").is_none());
    }
}
