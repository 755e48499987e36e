//! The files of datastores: listed, looked for, made, moved, copied and deleted.
//!
//! ```
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! use vsphere_ops::files::{Existing, FileQuery};
//! use vsphere_ops::managed::Datastore;
//!
//! let isos = client.get::<Datastore>("iso-library").await?;
//! for file in isos.list_files(&FileQuery::below("")).await?.items {
//!     println!("{} {:?} bytes, {:?}", file.path, file.size_bytes, file.modified);
//! }
//! isos.make_folder("old/2026").await?;
//! let copy = isos.file_copy("tools/memtest86plus-7.20.iso", &isos, "old/memtest.iso", Existing::Kept).await?;
//! println!("{} bytes go to {}", copy.size_bytes, copy.to);
//! copy.carry_out().await?;
//! let deletion = isos.file_deletion("old", true).await?;
//! println!("{} files go, {} VMs use them", deletion.files, deletion.used_by.len());
//! deletion.carry_out().await?;
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! The descriptor of a virtual disk stands for its extents too: it is moved, copied and deleted together with them. What is
//! in files is moved by [`transfer`](crate::transfer).

mod delete;
mod folder;
mod relocate;
mod store;
mod users;
mod walk;

use std::fmt;

use serde::Serialize;
use vsphere_model::managed::Datastore;
use vsphere_model::types::{
    FileInfo, FloppyImageFileInfo, FolderFileInfo, IsoImageFileInfo, Poly, TemplateConfigFileInfo, VmConfigFileInfo,
    VmDiskFileInfo, VmLogFileInfo, VmNvramFileInfo, VmSnapshotFileInfo,
};
use vsphere_soap::object::format_date_time;

use crate::datastore_path::DatastorePath;
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::page::{ListQuery, Page, Window};
pub(crate) use delete::has_changed;
pub use delete::{DeletedFile, FileDeletion};
pub use folder::MadeFolder;
pub use relocate::{Existing, FileRelocation, RelocatedFile, Relocating};
use store::Store;
pub use users::FileUser;

/// A file or a folder of a datastore.
///
/// ```
/// use vsphere_ops::files::{DatastoreFile, FileType};
///
/// fn size_of_disks(files: &[DatastoreFile]) -> i64 {
///     files.iter().filter(|file| file.type_ == FileType::Disk).filter_map(|file| file.size_bytes).sum()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DatastoreFile {
    /// The path, `[nvme-01] web-01/web-01.vmdk`.
    pub path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub type_: FileType,
    /// The size in bytes; of a disk that of its extents, as far as they are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<i64>,
    /// When it was last written, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// Who owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The name that people know, where the path has an id in its place, as on vSAN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub friendly_name: Option<String>,
    /// Seconds since it was last written, by the server's clock; told of files that no VM uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<i64>,
}

/// What a file is.
///
/// ```
/// use vsphere_ops::files::{DatastoreFile, FileType};
///
/// fn images(files: &[DatastoreFile]) -> usize {
///     files.iter().filter(|file| file.type_ == FileType::Iso).count()
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum FileType {
    /// A folder.
    Folder,
    /// A virtual disk.
    Disk,
    /// An image of a CD.
    Iso,
    /// The configuration of a VM.
    Config,
    /// The configuration of a template.
    Template,
    /// A log.
    Log,
    /// What the firmware of a VM remembers.
    Nvram,
    /// The memory of a snapshot.
    Snapshot,
    /// An image of a floppy disk.
    Floppy,
    /// Any other file.
    Other,
}

/// Which files to list, and which part of the list.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::files::FileQuery;
/// use vsphere_ops::managed::Datastore;
///
/// let mut query = FileQuery::below("tools");
/// query.page.filter = Some("*.iso".to_owned());
/// println!("{} images", client.get::<Datastore>("iso-library").await?.list_files(&query).await?.total);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileQuery {
    /// The folder, with the datastore's name (`[nvme-01] web-01`) or without; empty for all of the datastore.
    pub folder: String,
    /// Whether the folders in it are gone through as well.
    pub recursive: bool,
    /// A glob on the name of the file, and which part of the list.
    pub page: ListQuery,
}

impl FileQuery {
    /// What is in a folder, and not what is in the folders there.
    pub fn of(folder: impl Into<String>) -> Self {
        Self { folder: folder.into(), recursive: false, page: ListQuery::default() }
    }

    /// All that is below a folder.
    pub fn below(folder: impl Into<String>) -> Self {
        Self { recursive: true, ..Self::of(folder) }
    }
}

impl Mo<Datastore> {
    /// Lists files and folders, a folder before what is in it. Where only one folder is asked for, its folders come first.
    ///
    /// A large tree is gone through folder by folder; where this future is dropped, the searches on the server end too.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::files::FileQuery;
    /// use vsphere_ops::managed::Datastore;
    ///
    /// let page = client.get::<Datastore>("nvme-01").await?.list_files(&FileQuery::of("web-01")).await?;
    /// assert!(page.items.iter().any(|file| file.path == "[nvme-01] web-01/web-01.vmx"));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if there is no such folder, `invalid_state` if no host reaches the datastore, and server errors.
    pub async fn list_files(&self, query: &FileQuery) -> Result<Page<DatastoreFile>> {
        let named = |error: Error| error.in_operation("list the files of").on(self.label());
        let listed = async {
            let store = Store::open(self).await?;
            let folder = store.path(&query.folder)?;
            let tree = match query.recursive {
                true => store.walk(&folder).await?,
                false => store.folder(&folder).await?,
            };
            page(tree, query)
        };
        listed.await.map_err(named)
    }

    /// What is at a path, if anything.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::Datastore;
    ///
    /// let found = client.get::<Datastore>("nvme-01").await?.find_file("web-01/web-01.vmx").await?;
    /// println!("written {:?}", found.and_then(|file| file.modified));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_state` if no host reaches the datastore, and server errors.
    pub async fn find_file(&self, path: &str) -> Result<Option<DatastoreFile>> {
        let found = async {
            let store = Store::open(self).await?;
            store.look(&store.path_below(path)?).await
        };
        found.await.map_err(|error: Error| error.in_operation("look at the file").on(path))
    }

    /// What an upload to a path would overwrite, if anything. [`Upload::in_place_of`](crate::transfer::Upload::in_place_of)
    /// refuses to overwrite anything else.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::Datastore;
    ///
    /// let isos = client.get::<Datastore>("iso-library").await?;
    /// assert!(isos.overwritten_by_upload("tools/memtest86plus-7.20.iso").await?.is_some());
    /// assert!(isos.overwritten_by_upload("no-such-folder/a.iso").await.is_err());
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if the folder is missing, `invalid_argument` if the path is that of a folder, `invalid_state` if no host
    /// reaches the datastore, and server errors.
    pub async fn overwritten_by_upload(&self, path: &str) -> Result<Option<DatastoreFile>> {
        let found = async {
            let store = Store::open(self).await?;
            let path = store.path_below(path)?;
            let there = store.look(&path).await?;
            if there.as_ref().is_some_and(DatastoreFile::is_folder) {
                return Err(invalid("upload", "it is a folder: the path is that of the file itself"));
            }
            if there.is_none()
                && let Some(folder) = path.parent().filter(|folder| folder.file_name().is_some())
                && store.look(&folder).await?.is_none_or(|folder| !folder.is_folder())
            {
                return Err(Error::new("upload", ErrorKind::NotFound(format!("there is no folder {folder}"))));
            }
            Ok(there)
        };
        found.await.map_err(|error: Error| error.in_operation("upload").on(path))
    }

    /// Lists the files that no VM and no template of this server uses, with their age.
    ///
    /// What a VM uses is what it says itself: its configuration, the files of its snapshots, and the images in its drives. Files
    /// beside its configuration count as its own, but for disks. Where one of the VMs cannot be read, nothing is listed, since
    /// what it uses could be among it. Folders that vSphere keeps for itself, for first class disks or for content libraries are passed
    /// over, and named in the page's gaps. VMs of another vCenter that shares the datastore are not known.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::files::FileQuery;
    /// use vsphere_ops::managed::Datastore;
    ///
    /// for file in client.get::<Datastore>("iso-library").await?.list_orphans(&FileQuery::below("")).await?.items {
    ///     println!("{} is used by no VM, and {:?} s old", file.path, file.age_seconds);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files); `permission` if a VM on the datastore cannot be read.
    pub async fn list_orphans(&self, query: &FileQuery) -> Result<Page<DatastoreFile>> {
        let named = |error: Error| error.in_operation("look for unused files in").on(self.label());
        let listed = async {
            let store = Store::open(self).await?;
            let folder = store.path(&query.folder)?;
            let (tree, users, now) = futures::try_join!(
                async {
                    match query.recursive {
                        true => store.walk_past(&folder, users::is_kept_by_vsphere).await,
                        false => store.folder(&folder).await,
                    }
                },
                store.users(),
                self.client().server_time()
            )?;
            let users = users.all_known()?;
            let mut tree = tree;
            tree.files.retain(|(path, file)| file.type_ != FileType::Folder && !users.need(path.path()));
            for (_, file) in &mut tree.files {
                let modified = file.modified.as_deref().and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
                file.age_seconds = modified.map(|modified| (now - modified).num_seconds().max(0));
            }
            page(tree, query)
        };
        listed.await.map_err(named)
    }
}

/// The page of a list that is asked for.
fn page(tree: walk::Tree, query: &FileQuery) -> Result<Page<DatastoreFile>> {
    let glob = query.page.glob();
    let fits = |path: &DatastorePath, file: &DatastoreFile| {
        let names = [path.file_name(), file.friendly_name.as_deref()];
        glob.as_ref().is_none_or(|glob| names.into_iter().flatten().any(|name| glob.fits(name)))
    };
    let fitting = tree.files.into_iter().filter(|(path, file)| fits(path, file));
    let folders_first = !query.recursive;
    let key = |(path, file): &(DatastorePath, DatastoreFile)| {
        (folders_first && file.type_ != FileType::Folder, path.path().to_owned())
    };
    let window = Window::of(fitting, key, &query.page)?;
    let page = Page::from(window.map(|(_, file)| file));
    Ok(Page { gaps: tree.gaps, ..page })
}

/// Whether what is at a path now is what was seen there. Files have no ids: another one of the same size and time is taken
/// for the same.
pub(crate) fn is_same_file(now: Option<&DatastoreFile>, seen: Option<&DatastoreFile>) -> bool {
    now.map(DatastoreFile::mark) == seen.map(DatastoreFile::mark)
}

impl DatastoreFile {
    /// What tells it from another one at its path: what it is and, as what is written in a folder changes that, of others the
    /// size and the time.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::Datastore;
    ///
    /// let isos = client.get::<Datastore>("iso-library").await?;
    /// let seen = isos.find_file("tools/memtest86plus-7.20.iso").await?;
    /// // Later, when a user has agreed:
    /// let now = isos.find_file("tools/memtest86plus-7.20.iso").await?;
    /// assert_eq!(now.map(|file| file.mark()), seen.map(|file| file.mark()));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn mark(&self) -> impl Serialize + PartialEq + fmt::Debug + use<> {
        (self.type_, (!self.is_folder()).then(|| (self.size_bytes, self.modified.clone())))
    }

    fn new(path: &DatastorePath, info: &Poly<FileInfo>) -> Self {
        Self {
            path: path.to_string(),
            type_: FileType::of(info),
            size_bytes: info.file_size,
            modified: info.modification.as_ref().map(format_date_time),
            owner: info.owner.clone(),
            friendly_name: info.friendly_name.clone().filter(|name| Some(name.as_str()) != path.file_name()),
            age_seconds: None,
        }
    }

    fn is_folder(&self) -> bool {
        self.type_ == FileType::Folder
    }
}

impl FileType {
    fn of(info: &Poly<FileInfo>) -> Self {
        if info.is::<FolderFileInfo>() {
            Self::Folder
        } else if info.is::<VmDiskFileInfo>() {
            Self::Disk
        } else if info.is::<IsoImageFileInfo>() {
            Self::Iso
        } else if info.is::<TemplateConfigFileInfo>() {
            Self::Template
        } else if info.is::<VmConfigFileInfo>() {
            Self::Config
        } else if info.is::<VmLogFileInfo>() {
            Self::Log
        } else if info.is::<VmNvramFileInfo>() {
            Self::Nvram
        } else if info.is::<VmSnapshotFileInfo>() {
            Self::Snapshot
        } else if info.is::<FloppyImageFileInfo>() {
            Self::Floppy
        } else {
            Self::Other
        }
    }
}

/// What a part of a tree holds.
#[derive(Debug, Default)]
struct Measure {
    files: usize,
    folders: usize,
    bytes: i64,
    gaps: Gaps,
}

impl Measure {
    fn of(tree: &walk::Tree) -> Self {
        let folders = tree.files.iter().filter(|(_, file)| file.is_folder()).count();
        let files = tree.files.iter().filter(|(_, file)| !file.is_folder());
        Self {
            files: tree.files.len() - folders,
            folders,
            // Some servers tell a size of folders too: that of their own entries.
            bytes: files.filter_map(|(_, file)| file.size_bytes).fold(0, i64::saturating_add),
            gaps: tree.gaps.clone(),
        }
    }
}

/// The descriptor that a file is an extent, or the map of changed blocks, of: it is of no use without that.
fn descriptor_of(name: &str) -> Option<String> {
    /// What stands between the name of a disk and `.vmdk`.
    const PARTS: [&str; 8] = ["flat", "delta", "sesparse", "ctk", "rdm", "rdmp", "digest", "digest-flat"];
    let (stem, part) = name.strip_suffix(".vmdk")?.rsplit_once('-')?;
    // The pieces of a disk that is split are numbered: s001.
    let is_piece = |letter| {
        let number = part.strip_prefix(letter);
        number.is_some_and(|number| number.len() == 3 && number.bytes().all(|digit| digit.is_ascii_digit()))
    };
    let stem = stem.strip_suffix("-digest").filter(|_| part == "flat").unwrap_or(stem);
    (!stem.is_empty() && (PARTS.contains(&part) || is_piece('s') || is_piece('f'))).then(|| format!("{stem}.vmdk"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_belong_to_their_descriptor() {
        for (name, descriptor) in [
            ("web-flat.vmdk", Some("web.vmdk")),
            ("web-000001-delta.vmdk", Some("web-000001.vmdk")),
            ("web-000001-sesparse.vmdk", Some("web-000001.vmdk")),
            ("web-ctk.vmdk", Some("web.vmdk")),
            ("web-s001.vmdk", Some("web.vmdk")),
            ("web-f012.vmdk", Some("web.vmdk")),
            ("web-rdmp.vmdk", Some("web.vmdk")),
            ("web-1.vmdk", None),
            ("web-000001.vmdk", None),
            ("web-s1.vmdk", None),
            ("flat.vmdk", None),
            ("-flat.vmdk", None),
            ("web-flat.iso", None),
        ] {
            assert_eq!(descriptor_of(name).as_deref(), descriptor, "{name}");
        }
    }
}
