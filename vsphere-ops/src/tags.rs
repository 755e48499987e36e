//! Tags of a vCenter: which there are, which VMs have, and which have one.
//!
//! ```
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! use vsphere_ops::tags::InTheWay;
//!
//! let tags = client.tags().await?;
//! let test = tags.find("Environment:test").await?;
//! let vms = client.vms(&["web-01".to_owned(), "web-02".to_owned()]).await;
//! // An object has one tag of Environment at most: prod goes.
//! for report in tags.apply(&test, &vms, InTheWay::Replaced).await? {
//!     println!("{}: {:?}", report.vm, report.outcome);
//! }
//! assert_eq!(tags.of_vms(&vms).await?[0].outcome.as_ref().unwrap()[1].to_string(), "Environment:test");
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! Tags belong to the Automation API, whose session is opened when it is first needed. What VMs have is read each time, many
//! in a request. The names of tags are remembered for five minutes, since servers before 9.0 tell them one at a time; what
//! this client changes by [`Rest`](crate::Rest) is seen at once.

mod attach;
mod known;
mod wire;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vsphere_model::managed::VirtualMachine;
use vsphere_model::types::ManagedObjectReference;

pub use attach::{InTheWay, TagChange};
pub(crate) use known::note_request;

use crate::client::Client;
use crate::error::{Candidate, Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::page::{ListQuery, Page, Window};
use crate::several::{Report, Vms};
use crate::untrusted::Untrusted;
use known::Known;
use wire::{CategoryModel, ObjectId, Wire};

/// A tag, with what its category says of it.
///
/// ```
/// use vsphere_ops::tags::{Cardinality, Tag};
///
/// fn replaces_another(tag: &Tag) -> bool {
///     tag.cardinality == Cardinality::Single
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tag {
    /// The name, which is unique in its category.
    pub name: String,
    /// The name of its category.
    pub category: String,
    /// The id (`urn:vmomi:InventoryServiceTag:…`).
    pub id: String,
    /// How many tags of the category an object may have.
    pub cardinality: Cardinality,
    /// The types of objects that it is for (`VirtualMachine`); empty for all.
    pub associable_types: Vec<String>,
    /// What people have written about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Untrusted>,
    #[serde(skip)]
    pub(crate) category_id: String,
}

/// As it is given to [`Tags::find`]: `Environment:prod`.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.category, self.name)
    }
}

/// How many tags of a category an object may have.
///
/// ```
/// use vsphere_ops::tags::Cardinality;
///
/// assert_eq!(serde_json::to_string(&Cardinality::Single).unwrap(), "\"SINGLE\"");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Cardinality {
    /// One.
    Single,
    /// Any number.
    Multiple,
}

/// Which tags to list.
///
/// ```
/// use vsphere_ops::tags::TagQuery;
///
/// let query = TagQuery { category: Some("Environment".into()), ..Default::default() };
/// ```
#[derive(Debug, Clone, Default)]
pub struct TagQuery {
    /// The page that is wanted, and a glob on the name.
    pub page: ListQuery,
    /// Only those of this category: name or id.
    pub category: Option<String>,
}

/// The tags of a vCenter; see [`Client::tags`].
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let tags: vsphere_ops::tags::Tags = client.tags().await?;
/// let prod = tags.find("Environment:prod").await?;
/// println!("{} VMs of production", tags.vms_with(&prod).await?.len());
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Clone)]
pub struct Tags {
    wire: Wire,
    known: Arc<Known>,
}

/// What the ids of tags begin with.
const TAG: &str = "urn:vmomi:InventoryServiceTag:";

/// How many names an error lists.
const LISTED: usize = 20;

impl Client {
    /// The tags of the vCenter.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let tags = client.tags().await?;
    /// println!("{}", tags.find("Environment:prod").await?.id);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `unsupported` if the server is an ESXi host, which has no tags, and those of the login to the Automation API.
    pub async fn tags(&self) -> Result<Tags> {
        self.require_vcenter("use tags")?;
        Ok(Tags { wire: Wire::open(self).await?, known: self.connection.part::<Known>() })
    }
}

impl Tags {
    /// Lists tags, sorted by category and name.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::tags::TagQuery;
    ///
    /// for tag in client.tags().await?.list(&TagQuery::default()).await?.items {
    ///     println!("{tag} {:?}", tag.cardinality);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` for an unknown category, `invalid_argument` for a cursor that no list gave, and those of the server.
    pub async fn list(&self, query: &TagQuery) -> Result<Page<Tag>> {
        const OPERATION: &str = "list tags";
        let tags = match &query.category {
            None => self.known.all(&self.wire).await,
            Some(what) => {
                let category = self.category(what).await.map_err(|error| error.in_operation(OPERATION))?;
                self.known.tags_of(&self.wire, &category.id).await
            }
        };
        let glob = query.page.glob();
        let fits = |tag: &Tag| glob.as_ref().is_none_or(|glob| glob.fits(&tag.name));
        let tags = tags.map_err(|error| error.in_operation(OPERATION))?.into_iter().filter(fits);
        let key = |tag: &Tag| (tag.category.clone(), tag.name.clone(), tag.id.clone());
        Ok(Window::of(tags, key, &query.page)?.into())
    }

    async fn category(&self, what: &str) -> Result<Arc<CategoryModel>> {
        let all = self.known.categories(&self.wire).await?;
        let what = what.trim();
        let by = |fits: &dyn Fn(&CategoryModel) -> bool| all.iter().find(|category| fits(category)).cloned();
        let found = by(&|category| category.name == what || category.id == what)
            .or_else(|| by(&|category| category.name.to_lowercase() == what.to_lowercase()));
        found.ok_or_else(|| {
            let there = named("the categories are", all.iter().map(|category| category.name.clone()));
            not_found(format!("there is no such category; {there}")).on(what)
        })
    }

    /// The tag that is meant by `category:tag`, by its name where no other category has it, or by its id.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let tags = client.tags().await?;
    /// let weekly = tags.find("weekly").await?;
    /// assert_eq!(tags.find(&weekly.id).await?.to_string(), "Backup:weekly");
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found`, `ambiguous`, and those of the server.
    pub async fn find(&self, what: &str) -> Result<Tag> {
        let what = what.trim();
        self.look_up(what).await.map_err(|error| error.in_operation("find tag").on(what))
    }

    async fn look_up(&self, what: &str) -> Result<Tag> {
        if what.starts_with(TAG) {
            let found = self.known.tags(&self.wire, &HashSet::from([what])).await?;
            let gone = || not_found("there is no tag of this id, or it may not be seen".to_owned());
            return found.into_values().next().ok_or_else(gone);
        }
        let lower = what.to_lowercase();
        let (candidates, with_category) = self.candidates(&lower).await?;
        let name = |tag: &Tag| if with_category { tag.to_string() } else { tag.name.clone() };
        let mut found: Vec<&Tag> = candidates.iter().filter(|tag| name(tag) == what).collect();
        if found.is_empty() {
            found = candidates.iter().filter(|tag| name(tag).to_lowercase() == lower).collect();
        }
        match found.as_slice() {
            [only] => Ok((*only).clone()),
            [] => {
                let there = named("the tags are", candidates.iter().map(Tag::to_string));
                Err(not_found(format!("there is no such tag; {there}")))
            }
            several => {
                let candidate = |tag: &&Tag| Candidate { path: tag.to_string(), id: tag.id.clone() };
                let mut candidates: Vec<Candidate> = several.iter().map(candidate).collect();
                candidates.sort_by(|a, b| a.path.cmp(&b.path));
                Err(Error::new("find tag", ErrorKind::Ambiguous(candidates)))
            }
        }
    }

    /// The tags that may be meant, and whether by the names of their categories too: those of the categories that `what`, in
    /// small letters, begins with, or else all. A colon may be part of either name.
    async fn candidates(&self, what: &str) -> Result<(Vec<Tag>, bool)> {
        let begins =
            |category: &str| what.strip_prefix(&category.to_lowercase()).is_some_and(|rest| rest.starts_with(':'));
        if self.known.lists_all(&self.wire) {
            let (of_category, others): (Vec<Tag>, Vec<Tag>) =
                self.known.all(&self.wire).await?.into_iter().partition(|tag| begins(&tag.category));
            return Ok(if of_category.is_empty() { (others, false) } else { (of_category, true) });
        }
        let mut of_category = Vec::new();
        for category in self.known.categories(&self.wire).await?.iter().filter(|category| begins(&category.name)) {
            of_category.extend(self.known.tags_of(&self.wire, &category.id).await?);
        }
        if of_category.is_empty() {
            return Ok((self.known.all(&self.wire).await?, false));
        }
        Ok((of_category, true))
    }

    /// The tags of each of several VMs, sorted by category and name.
    ///
    /// 2,000 VMs take one request, and each tag whose name is not known one more before 9.0.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let vms = client.vms(&["web-01".to_owned(), "pg-01".to_owned()]).await;
    /// for report in client.tags().await?.of_vms(&vms).await? {
    ///     println!("{}: {:?}", report.vm, report.outcome);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Those of the server; a VM that was not found is told in its report.
    pub async fn of_vms(&self, vms: &Vms) -> Result<Vec<Report<Vec<Tag>>>> {
        let (attached, tags) = self.attached(vms).await.map_err(|error| error.in_operation("read tags"))?;
        let of = |vm: &Mo<VirtualMachine>| {
            let ids = attached.get(vm.id()).into_iter().flatten();
            let mut own: Vec<Tag> = ids.filter_map(|id| tags.get(id).cloned()).collect();
            own.sort_by(|a, b| (&a.category, &a.name).cmp(&(&b.category, &b.name)));
            own
        };
        Ok(vms.each(|vm| std::future::ready(Ok(of(&vm)))).await)
    }

    /// The ids of the tags of those that were found, by the id of the VM; and these tags, by their ids.
    async fn attached(&self, vms: &Vms) -> Result<(HashMap<String, Vec<String>>, HashMap<String, Tag>)> {
        self.attached_to(vms.found().map(Mo::reference)).await
    }

    /// The same of any objects.
    async fn attached_to(
        &self,
        objects: impl Iterator<Item = &ManagedObjectReference>,
    ) -> Result<(HashMap<String, Vec<String>>, HashMap<String, Tag>)> {
        let objects: Vec<ObjectId> = objects.map(Into::into).collect();
        let attached = self.wire.attached(&objects).await?;
        let ids: HashSet<&str> = attached.values().flatten().map(String::as_str).collect();
        let tags = self.known.tags(&self.wire, &ids).await?;
        Ok((attached, tags))
    }

    /// The tags of objects as `category:tag`, sorted, by the id of the object.
    pub(crate) async fn names_of(&self, objects: &[ManagedObjectReference]) -> Result<HashMap<String, Vec<String>>> {
        let (attached, tags) =
            self.attached_to(objects.iter()).await.map_err(|error| error.in_operation("read tags"))?;
        let named = attached.into_iter().map(|(object, ids)| {
            let mut names: Vec<String> = ids.iter().filter_map(|id| tags.get(id)).map(Tag::to_string).collect();
            names.sort();
            (object, names)
        });
        Ok(named.collect())
    }

    /// The ids of the VMs that have a tag, templates included.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let tags = client.tags().await?;
    /// let vms = tags.vms_with(&tags.find("Compliance:pci-dss").await?).await?;
    /// assert_eq!(vms.len(), 2);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` where the tag is gone, and those of the server.
    pub async fn vms_with(&self, tag: &Tag) -> Result<HashSet<String>> {
        let objects = self.wire.objects_with(&tag.id).await;
        let objects = objects.map_err(|error| error.in_operation("find what has tag").on(tag.to_string()))?;
        Ok(objects.into_iter().filter(|object| object.type_ == "VirtualMachine").map(|object| object.id).collect())
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tags")
    }
}

fn not_found(text: String) -> Error {
    Error::new("find tag", ErrorKind::NotFound(text))
}

/// What there is, up to a limit.
fn named(what: &str, names: impl IntoIterator<Item = String>) -> String {
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort();
    match names.len() {
        0 => "there is none, or none that this user may see".to_owned(),
        count if count > LISTED => format!("{what} {} and {} more", names[..LISTED].join(", "), count - LISTED),
        _ => format!("{what} {}", names.join(", ")),
    }
}
