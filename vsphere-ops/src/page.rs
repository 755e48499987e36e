//! Pages of lists.

use std::cmp::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use crate::error::{Result, invalid};
use crate::gaps::Gaps;
use crate::name::Glob;

/// Which part of a list to read.
///
/// ```
/// use vsphere_ops::ListQuery;
///
/// let query = ListQuery::first(20).matching("prod-*");
/// assert_eq!((query.limit, query.filter.as_deref()), (20, Some("prod-*")));
/// assert_eq!(ListQuery::default().limit, 100);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// A glob on the name, or on the label of a device.
    pub filter: Option<String>,
    /// The most to answer with.
    pub limit: usize,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl ListQuery {
    /// The first page, of at most this many items.
    pub fn first(limit: usize) -> Self {
        Self { filter: None, limit, cursor: None }
    }

    /// Only what a glob fits.
    #[must_use]
    pub fn matching(self, glob: &str) -> Self {
        Self { filter: Some(glob.to_owned()), ..self }
    }

    /// The glob, ready for use.
    pub(crate) fn glob(&self) -> Option<Glob> {
        self.filter.as_deref().map(Glob::new)
    }
}

impl Default for ListQuery {
    fn default() -> Self {
        Self::first(100)
    }
}

/// A page of a list, and how to get the next.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::vm::{self, VmQuery};
///
/// let mut query = VmQuery::default();
/// loop {
///     let page = vm::list(&client, &query).await?;
///     for vm in &page.items {
///         println!("{}", vm.name);
///     }
///     query.page.cursor = page.next_cursor;
///     if query.page.cursor.is_none() {
///         break;
///     }
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Serialize)]
pub struct Page<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// The number of items on the page.
    pub returned: usize,
    /// The number of all items that match the query.
    pub total: usize,
    /// Whether more items follow this page.
    pub truncated: bool,
    /// The cursor of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// The age of the page if it comes from a cache; absent if it was read from the server.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Freshness>,
    /// The gaps in the items of the page, and their reasons.
    #[serde(flatten)]
    pub gaps: Gaps,
}

impl<T> Page<T> {
    /// The same page with what `make` makes of each item.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::ListQuery;
    /// use vsphere_ops::vm::{self, VmQuery};
    ///
    /// let page = vm::list(&client, &VmQuery { page: ListQuery::first(10), ..Default::default() }).await?;
    /// let names = page.map(|vm| vm.name);
    /// println!("{:?} of {}", names.items, names.total);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn map<U>(self, make: impl FnMut(T) -> U) -> Page<U> {
        let Self { items, returned, total, truncated, next_cursor, freshness, gaps } = self;
        let items = items.into_iter().map(make).collect();
        Page { items, returned, total, truncated, next_cursor, freshness, gaps }
    }
}

/// The age of an answer from a cache.
///
/// ```
/// use vsphere_ops::Freshness;
///
/// fn line(freshness: Freshness) -> String {
///     match freshness.live {
///         true => format!("as of {:?} ago", freshness.age),
///         false => format!("as of {:?} ago, and the server is silent", freshness.age),
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Freshness {
    /// Whether what the server changes is told as it happens. False after 15 s without a sign of life of the server.
    pub live: bool,
    /// How long ago the server last said that there is nothing more to tell.
    #[serde(rename = "age_seconds", serialize_with = "seconds")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub age: Duration,
}

/// Seconds, to one digit.
fn seconds<S: Serializer>(age: &Duration, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_f64((age.as_secs_f64() * 10.0).round() / 10.0)
}

/// What a list is sorted by: typed, and different for each of its items, so that a page can go on behind it. It ends with an
/// id where what comes before may be the same for several.
pub(crate) trait Key: Ord + Serialize + DeserializeOwned {}

impl<K: Ord + Serialize + DeserializeOwned> Key for K {}

/// The key of objects that are listed by name. It is the same for a list that the server gives and for one from memory, so that
/// a cursor of one is good for the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ByName {
    pub(crate) name: String,
    pub(crate) id: String,
}

impl ByName {
    pub(crate) fn new(name: &str, id: &str) -> Self {
        Self { name: name.to_owned(), id: id.to_owned() }
    }
}

/// A window on a sorted list: the items of one page, how many items there are in all, and where the next page begins.
pub(crate) struct Window<T> {
    pub(crate) items: Vec<T>,
    total: usize,
    next_cursor: Option<String>,
}

impl<T> Window<T> {
    /// Cuts a page out of items in any order. The cursor names the last item that was given, so that items that come and go
    /// between two pages neither repeat nor hide others.
    ///
    /// # Errors
    /// `invalid_argument` for a cursor that no list gave.
    pub(crate) fn of<K: Key>(
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> K,
        query: &ListQuery,
    ) -> Result<Self> {
        let limit = query.limit;
        let after: Option<K> = query.cursor.as_deref().map(key_of).transpose()?;
        let mut total = 0;
        let mut left: Vec<(K, T)> = items
            .into_iter()
            .inspect(|_| total += 1)
            .map(|item| (key(&item), item))
            .filter(|(key, _)| after.as_ref().is_none_or(|after| key > after))
            .collect();
        let more = left.len() > limit;
        if more && limit > 0 {
            // Only the page is sorted.
            left.select_nth_unstable_by(limit - 1, |(a, _), (b, _)| a.cmp(b));
        }
        left.truncate(limit);
        left.sort_by(|(a, _), (b, _)| a.cmp(b));
        let next_cursor = left.last().filter(|_| more).and_then(|(key, _)| cursor_of(key));
        Ok(Self { items: left.into_iter().map(|(_, item)| item).collect(), total, next_cursor })
    }

    /// Cuts a page out of items that are in order. `compare` compares the key of an item.
    ///
    /// # Errors
    /// `invalid_argument` for a cursor that no list gave.
    pub(crate) fn of_sorted<K: Key>(
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> K,
        compare: impl Fn(&T, &K) -> Ordering,
        query: &ListQuery,
    ) -> Result<Self> {
        let after: Option<K> = query.cursor.as_deref().map(key_of).transpose()?;
        let mut window = Self { items: Vec::new(), total: 0, next_cursor: None };
        let mut more = false;
        for item in items {
            window.total += 1;
            if after.as_ref().is_some_and(|after| compare(&item, after).is_le()) {
                continue;
            }
            if window.items.len() < query.limit {
                window.items.push(item);
            } else {
                more = true;
            }
        }
        window.next_cursor = window.items.last().filter(|_| more).and_then(|item| cursor_of(&key(item)));
        Ok(window)
    }

    pub(crate) fn map<U>(self, make: impl FnMut(T) -> U) -> Window<U> {
        let Self { items, total, next_cursor } = self;
        Window { items: items.into_iter().map(make).collect(), total, next_cursor }
    }

    /// The page that shows these items, which were made of those of the window.
    pub(crate) fn page<U>(self, items: Vec<U>) -> Page<U> {
        Page {
            returned: items.len(),
            items,
            total: self.total,
            truncated: self.next_cursor.is_some(),
            next_cursor: self.next_cursor,
            freshness: None,
            gaps: Gaps::default(),
        }
    }
}

impl<T> From<Window<T>> for Page<T> {
    /// The page that shows the items as they are.
    fn from(mut window: Window<T>) -> Self {
        let items = std::mem::take(&mut window.items);
        window.page(items)
    }
}

/// The cursor that goes on behind a key. What it holds is nobody's business, so it does not look like anything.
fn cursor_of<K: Key>(key: &K) -> Option<String> {
    Some(URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).ok()?))
}

fn key_of<K: Key>(cursor: &str) -> Result<K> {
    let key = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|json| serde_json::from_slice(&json).ok());
    key.ok_or_else(|| invalid("list", format!("the cursor {cursor:?} is not one that this list gave")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    fn pages(limit: usize, sorted: bool) -> Vec<Vec<i32>> {
        let mut items = vec![7, -3, 100, 20, 4, 0, -11];
        if sorted {
            items.sort_unstable();
        }
        let (mut pages, mut query) = (Vec::new(), ListQuery::first(limit));
        loop {
            let cut = match sorted {
                true => Window::of_sorted(items.clone(), |item| *item, Ord::cmp, &query),
                false => Window::of(items.clone(), |item| *item, &query),
            };
            let page = Page::from(cut.unwrap());
            assert_eq!((page.total, page.truncated), (7, page.next_cursor.is_some()));
            pages.push(page.items);
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn keys_are_in_the_order_of_their_type_and_pages_hold_each_item_once() {
        for sorted in [false, true] {
            assert_eq!(pages(3, sorted), [vec![-11, -3, 0], vec![4, 7, 20], vec![100]]);
            assert_eq!(pages(7, sorted), [vec![-11, -3, 0, 4, 7, 20, 100]]);
        }
    }

    #[test]
    fn an_item_that_went_does_not_hide_the_next() {
        let first = Window::of(["a", "b", "c"], |item| (*item).to_owned(), &ListQuery::first(2)).unwrap();
        let query = ListQuery { cursor: first.next_cursor, ..ListQuery::first(2) };
        let next = Window::of(["a", "c"], |item| (*item).to_owned(), &query).unwrap();
        assert_eq!(next.items, ["c"]);
    }

    #[test]
    fn a_cursor_of_another_kind_of_list_is_refused() {
        let cursor = Window::of([1, 2], |item| *item, &ListQuery::first(1)).unwrap().next_cursor.unwrap();
        let key = |item: &&str| ByName { name: (*item).to_owned(), id: String::new() };
        for cursor in [cursor.as_str(), "", "web-1", "vm-1:web-1"] {
            let query = ListQuery { cursor: Some(cursor.to_owned()), ..ListQuery::first(1) };
            let refused = Window::of(["a"], key, &query).err().unwrap();
            assert_eq!(refused.code(), "invalid_argument", "{cursor:?}");
        }
    }
}
