//! Pages of lists.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::error::{Result, invalid};
use crate::gaps::Gaps;

/// A page of a list, and how to get the next.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::vm::{self, VmQuery};
///
/// let mut query = VmQuery { limit: 100, ..Default::default() };
/// loop {
///     let page = vm::list(&client, &query).await?;
///     for vm in &page.items {
///         println!("{}", vm.name);
///     }
///     query.cursor = page.next_cursor;
///     if query.cursor.is_none() {
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
    /// What is on the page.
    pub items: Vec<T>,
    /// How many that is.
    pub returned: usize,
    /// How many there are in all that fit the query.
    pub total: usize,
    /// Whether there are more after this page.
    pub truncated: bool,
    /// What to ask the next page with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// How fresh the page is, where it comes from memory; one that the server was asked for is as it is now.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Freshness>,
    /// What the page does not know of its items, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// How fresh an answer from memory is.
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

/// A window on a sorted list: what comes after the cursor.
pub(crate) struct Window<K> {
    pub keys: Vec<K>,
    total: usize,
    next_cursor: Option<String>,
}

impl<K: Ord + Clone + AsRef<str>> Window<(K, K)> {
    /// Cuts the page out of the keys `(sort key, id)`. The cursor names the last one that was given, so that objects
    /// that come and go between two pages neither repeat nor hide others.
    pub(crate) fn cut(mut keys: Vec<(K, K)>, limit: usize, cursor: Option<&str>) -> Result<Self> {
        keys.sort();
        let total = keys.len();
        if let Some(cursor) = cursor {
            let Some((id, name)) = cursor.split_once(':') else {
                return Err(invalid("list", format!("the cursor {cursor:?} is not one that a list gave")));
            };
            keys.retain(|(key, own)| (key.as_ref(), own.as_ref()) > (name, id));
        }
        let more = keys.len() > limit;
        keys.truncate(limit);
        let next_cursor = keys.last().filter(|_| more).map(|(key, id)| format!("{}:{}", id.as_ref(), key.as_ref()));
        Ok(Self { keys, total, next_cursor })
    }

    /// The page with these items.
    pub(crate) fn page<T>(self, items: Vec<T>) -> Page<T> {
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
