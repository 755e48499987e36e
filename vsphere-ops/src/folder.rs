//! Folders of the inventory: listed, made and deleted; and VMs that are moved into them.
//!
//! ```
//! use vsphere_ops::folder::{self, VmsBelow};
//! use vsphere_ops::managed::VirtualMachine;
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let made = client.make_folder("prod/web/canary").await?;
//! let canary = folder::find(&client, &made.path).await?;
//! client.get::<VirtualMachine>("web-04").await?.move_to_folder(&canary).await?;
//! let deletion = canary.deletion(VmsBelow::Destroyed).await?;
//! println!("{} VMs would be lost with {}", deletion.vms.len(), deletion.path);
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```

mod delete;
mod moves;

use std::collections::HashMap;

use serde::Serialize;
use vsphere_model::managed::{Folder, folder};
use vsphere_model::types::{DuplicateName, ManagedObjectReference};

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::find::{self, Ancestry, label};
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::name;
use crate::page::{ByName, ListQuery, Page, Window};
use crate::read::Values;
use crate::vm::{checked_name, optional};

pub use delete::{BelowFolder, DeletedFolder, DoomedVm, FolderDeletion, GoneVm, VmsBelow};
pub use moves::MovedVm;

const CREATE: &str = "create the folder";

/// What a folder is for.
///
/// ```
/// use vsphere_ops::folder::FolderKind;
///
/// assert_eq!(serde_json::to_string(&FolderKind::Vm).unwrap(), r#""vm""#);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FolderKind {
    /// Datacenters.
    Datacenter,
    /// VMs and templates.
    Vm,
    /// Hosts and clusters.
    Host,
    /// Datastores.
    Datastore,
    /// Networks and distributed switches.
    Network,
    /// Something that this crate does not know.
    Other,
}

impl FolderKind {
    /// Goes by the types of what the folder may hold.
    fn of(child_types: &[String]) -> Self {
        let holds = |type_: &str| child_types.iter().any(|child| child == type_);
        match () {
            () if holds("Datacenter") => Self::Datacenter,
            () if holds("VirtualMachine") => Self::Vm,
            () if holds("ComputeResource") || holds("ClusterComputeResource") => Self::Host,
            () if holds("Datastore") => Self::Datastore,
            () if holds("Network") || holds("DistributedVirtualSwitch") => Self::Network,
            () => Self::Other,
        }
    }
}

/// A folder in a list.
///
/// ```
/// use vsphere_ops::folder::FolderSummary;
///
/// fn is_empty(folder: &FolderSummary) -> bool {
///     folder.children == 0 && !folder.fixed
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FolderSummary {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// What it is for.
    #[serde(rename = "type")]
    pub type_: FolderKind,
    /// Whether it is one of the folders that each datacenter has, which can't be deleted, renamed or moved.
    pub fixed: bool,
    /// How many objects are right in it, folders included.
    pub children: usize,
    /// How many folders are right in it.
    pub folders: usize,
}

/// Lists the folders of all kinds, sorted by path. Datastore clusters are not among them.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::{ListQuery, folder};
///
/// for folder in folder::list(&client, &ListQuery::first(20).matching("prod*")).await?.items {
///     println!("{}: {} objects", folder.path, folder.children);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `invalid_argument` for a cursor that no list gave, and those of the server.
pub async fn list(client: &Client, query: &ListQuery) -> Result<Page<FolderSummary>> {
    let (name, parent, child_type) = ("name", folder::PARENT.path(), folder::CHILD_TYPE.path());
    let types: [(&str, &[&str]); 2] = [("Folder", &[name, parent, child_type]), ("Datacenter", &[name, parent])];
    let objects = find::scan(client, None, &types).await?;
    let ancestry = Ancestry::of(client, &objects);
    let glob = query.glob();
    // Datastore clusters extend folders.
    let folders = objects.into_iter().filter(|content| content.obj.type_ == "Folder").filter_map(|content| {
        let (reference, name) = (content.obj.clone(), label(&content));
        let mut values = Values::new(content.prop_set, content.missing_set);
        let child_types: Vec<String> = optional(&mut values, child_type).unwrap_or_default();
        let parent: Option<ManagedObjectReference> = optional(&mut values, parent);
        let fits = glob.as_ref().is_none_or(|glob| glob.fits(&name));
        fits.then(|| FolderSummary {
            path: ancestry.path(&reference).unwrap_or_else(|| name.clone()),
            name,
            id: reference.value,
            type_: FolderKind::of(&child_types),
            fixed: parent.is_none_or(|parent| parent.type_ != "Folder"),
            children: 0,
            folders: 0,
        })
    });
    let by_path = |folder: &FolderSummary| ByName { name: folder.path.clone(), id: folder.id.clone() };
    let window = Window::of(folders, by_path, query)?;
    let shown = window.items.iter().map(|folder| ManagedObjectReference::new("Folder", &folder.id));
    let details = find::details(client, shown, &[folder::CHILD_ENTITY.path()]).await?;
    let gaps = Gaps::of(&details);
    let mut held: HashMap<String, Vec<ManagedObjectReference>> = HashMap::new();
    for content in details {
        let mut values = Values::new(content.prop_set, content.missing_set);
        held.insert(content.obj.value, optional(&mut values, folder::CHILD_ENTITY.path()).unwrap_or_default());
    }
    let page = Page::from(window).map(|folder| {
        let children = held.get(&folder.id).map(Vec::as_slice).unwrap_or_default();
        let folders = children.iter().filter(|child| child.type_ == "Folder").count();
        FolderSummary { children: children.len(), folders, ..folder }
    });
    Ok(Page { gaps, ..page })
}

/// The folder with this name, path or id, as [`Client::get`] finds it. A path to a folder of VMs may leave out the datacenter
/// and its folder `vm`: `prod/web`.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::folder;
///
/// let web = folder::find(&client, "prod/web").await?;
/// assert_eq!(web.id(), folder::find(&client, "/fra1/vm/prod/web").await?.id());
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found` if there is none, `ambiguous` if several fit.
pub async fn find(client: &Client, what: &str) -> Result<Mo<Folder>> {
    let relative = what.trim();
    match client.get::<Folder>(what).await {
        Err(error) if error.is_not_found() && relative.contains('/') && !relative.starts_with('/') => {
            match client.get::<Folder>(&format!("vm/{relative}")).await {
                Err(other) if other.is_not_found() => Err(error),
                found => found.map_err(|other| other.on(what)),
            }
        }
        found => found,
    }
}

/// A folder that was asked for.
///
/// ```
/// use vsphere_ops::folder::MadeFolder;
///
/// fn line(folder: &MadeFolder) -> String {
///     format!("{} ({}) {}", folder.path, folder.id, if folder.changed { "is new" } else { "was there" })
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MadeFolder {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The inventory path.
    pub path: String,
    /// What it is for, which it has from the folder that it is in.
    #[serde(rename = "type")]
    pub type_: FolderKind,
    /// How many folders were made: those above it that were missing, and itself.
    pub created: usize,
    /// Whether any was made.
    pub changed: bool,
}

impl Client {
    /// Makes the folder at a path, and those above it that are missing. One that is there is no error.
    ///
    /// A path that begins at no datacenter is one below the folder of VMs, where it does not begin with `vm`, `host`,
    /// `datastore` or `network`: `prod/web`.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let made = client.make_folder("/fra1/vm/prod/mail/relay").await?;
    /// assert_eq!((made.created, made.changed), (2, true));
    /// assert!(!client.make_folder("prod/mail/relay").await?.changed);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// Needs `Folder.Create`.
    ///
    /// # Errors
    /// `invalid_argument` for a path that can't be one, `not_found` if it begins nowhere, `ambiguous` where it can begin in
    /// several datacenters, and those of the server.
    pub async fn make_folder(&self, path: &str) -> Result<MadeFolder> {
        let named = |error: Error| error.in_operation(CREATE).on(path);
        let (mut at, lacking) = deepest(self, path).await.map_err(named)?;
        let names: Vec<String> =
            lacking.iter().map(|name| checked_name(CREATE, name)).collect::<Result<_>>().map_err(named)?;
        let mut created = 0;
        for name in names {
            let (folder, is_new) = make(&at, &name).await?;
            created += usize::from(is_new);
            at = folder;
        }
        report(&at, created).await
    }
}

impl Mo<Folder> {
    /// Makes a folder in this one, for what this one is for. One that is there is no error.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::Folder;
    ///
    /// let network = client.get::<Folder>("/fra1/network").await?;
    /// println!("{:?}", network.make_folder("a/b").await?.path); // "/fra1/network/a%2fb"
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// Needs `Folder.Create`.
    ///
    /// # Errors
    /// `invalid_argument` for a name that none can have, the fault `DuplicateName` where something else has it, and others
    /// of the server.
    pub async fn make_folder(&self, name: &str) -> Result<MadeFolder> {
        let (folder, is_new) = make(self, &checked_name(CREATE, name)?).await?;
        report(&folder, usize::from(is_new)).await
    }
}

/// The deepest folder on the way of a path that is there, and the names that lack.
async fn deepest(client: &Client, path: &str) -> Result<(Mo<Folder>, Vec<String>)> {
    let parts: Vec<&str> = path.trim().split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let Some(first) = parts.first() else { return Err(invalid(CREATE, "the path is empty")) };
    let lacking = |parts: &[&str]| parts.iter().map(|part| name::decode(part)).collect();
    if path.trim_start().starts_with('/') {
        for length in (1..=parts.len()).rev() {
            let (there, missing) = parts.split_at(length);
            if let Some(folder) = get(client, &format!("/{}", there.join("/"))).await? {
                return Ok((folder, lacking(missing)));
            }
        }
        return match parts.as_slice() {
            [_] => Ok((Mo::new(client, &client.content().root_folder, None), lacking(&parts))),
            _ => Err(Error::new(CREATE, ErrorKind::NotFound(format!("there is no folder or datacenter /{first}")))),
        };
    }
    // A single name could be that of a folder anywhere.
    let is_kind = ["vm", "host", "datastore", "network"].contains(first);
    for length in (if is_kind { 1..=parts.len() } else { 2..=parts.len() }).rev() {
        let (there, missing) = parts.split_at(length);
        if let Some(folder) = get(client, &there.join("/")).await? {
            return Ok((folder, lacking(missing)));
        }
    }
    for length in (0..=parts.len()).rev() {
        let (there, missing) = parts.split_at(length);
        let path: Vec<&str> = ["vm"].into_iter().chain(there.iter().copied()).collect();
        if let Some(folder) = get(client, &path.join("/")).await? {
            return Ok((folder, lacking(missing)));
        }
    }
    Err(Error::new(CREATE, ErrorKind::NotFound("there is no datacenter for it".to_owned())))
}

async fn get(client: &Client, path: &str) -> Result<Option<Mo<Folder>>> {
    match client.get::<Folder>(path).await {
        Err(error) if error.is_not_found() => Ok(None),
        found => found.map(Some),
    }
}

/// The folder of this name, encoded, in another one, and whether it is new.
async fn make(parent: &Mo<Folder>, name: &str) -> Result<(Mo<Folder>, bool)> {
    let (client, shown) = (parent.client(), name::decode(name));
    let folder = |reference: &ManagedObjectReference| Mo::new(client, reference, Some(shown.clone()));
    match parent.create_folder(name).await {
        Ok(made) => Ok((folder(&made), true)),
        Err(error) => {
            let error = Error::from(error).in_operation(CREATE).on(&shown);
            match error.fault::<DuplicateName>().map(|fault| fault.object.clone()) {
                Some(other) if other.type_ == "Folder" => Ok((folder(&other), false)),
                _ => Err(error),
            }
        }
    }
}

async fn report(folder: &Mo<Folder>, created: usize) -> Result<MadeFolder> {
    let child_types = folder.read(folder::CHILD_TYPE).await?;
    Ok(MadeFolder {
        name: folder.label().to_owned(),
        id: folder.id().to_owned(),
        path: folder.path().await?,
        type_: FolderKind::of(&child_types),
        created,
        changed: created > 0,
    })
}
