//! Files that are deleted; and what would be lost by it.

use serde::Serialize;
use vsphere_model::managed::Datastore;

use super::store::{Store, is_disk};
use super::walk::Tree;
use super::{DatastoreFile, FileType, FileUser, Measure, descriptor_of};
use crate::datastore_path::DatastorePath;
use crate::error::{Error, ErrorKind, Result};
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::task::start_for;

const OPERATION: &str = "delete the file";

/// How many files a plan names.
const NAMED: usize = 20;

/// A plan to delete a file, or a folder with all that is in it.
///
/// ```
/// use vsphere_ops::files::FileDeletion;
///
/// fn warning(deletion: &FileDeletion) -> String {
///     let users: Vec<&str> = deletion.used_by.iter().map(|user| user.vm.as_str()).collect();
///     format!("{} files of {} bytes go with {}, used by {users:?}", deletion.files, deletion.size_bytes, deletion.path)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is deleted before it is carried out"]
pub struct FileDeletion {
    /// The path.
    pub path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub type_: FileType,
    /// How many files would be deleted.
    pub files: usize,
    /// How many folders would be deleted, but for the one at the path.
    pub folders: usize,
    /// What they have together, in bytes.
    pub size_bytes: i64,
    /// The largest of them, at most 20.
    pub largest: Vec<DatastoreFile>,
    /// The VMs and templates that use any of them.
    pub used_by: Vec<FileUser>,
    /// What could not be measured, and why: it may be lost all the same.
    #[serde(flatten)]
    pub gaps: Gaps,
    #[serde(skip)]
    store: Store,
    #[serde(skip)]
    place: DatastorePath,
    #[serde(skip)]
    all: Vec<DatastoreFile>,
}

/// A file or folder that was deleted.
///
/// ```
/// use vsphere_ops::files::DeletedFile;
///
/// fn line(deleted: &DeletedFile) -> String {
///     format!("{} is gone with {} files of {} bytes", deleted.path, deleted.files, deleted.size_bytes)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeletedFile {
    /// The path that it had.
    pub path: String,
    /// What it was.
    #[serde(rename = "type")]
    pub type_: FileType,
    /// How many files were deleted.
    pub files: usize,
    /// What they had together, in bytes.
    pub size_bytes: i64,
    /// Always, since it was there before.
    pub changed: bool,
}

impl Mo<Datastore> {
    /// Plans to delete a file, a virtual disk with its extents, or a folder, and measures what would be lost. A folder that is
    /// not empty is deleted only where `recursive` is said.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::Datastore;
    ///
    /// let store = client.get::<Datastore>("iso-library").await?;
    /// let deletion = store.file_deletion("tools/memtest86plus-7.20.iso", false).await?;
    /// println!("{} bytes, used by {:?}", deletion.size_bytes, deletion.used_by);
    /// println!("{} entries in all", deletion.contents().len());
    /// let seen = serde_json::to_string(&deletion.identity()); // what else than the path tells which file is meant
    /// # drop(seen);
    /// println!("{} is gone", deletion.carry_out().await?.path);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if there is nothing at the path, `invalid_state` for a folder with content without `recursive`,
    /// `unsupported` for a part of a virtual disk, and server errors.
    pub async fn file_deletion(&self, path: &str, recursive: bool) -> Result<FileDeletion> {
        let named = |error: Error| error.in_operation(OPERATION).on(path);
        let planned = async {
            let store = Store::open(self).await?;
            let place = store.path_below(path)?;
            let itself = store.find(&place).await?;
            must_be_whole(&place)?;
            let tree = contents(&store, &place, &itself).await?;
            if itself.is_folder() && !recursive && !tree.files.is_empty() {
                let text = format!("the folder has {} files and folders in it", tree.files.len());
                return Err(Error::new(OPERATION, ErrorKind::InvalidState(text)));
            }
            let Measure { files, folders, bytes, mut gaps } = Measure::of(&tree);
            let users = gaps.part("the VMs that use it", store.users().await);
            if let Some(why) = users.unknown() {
                gaps.lacks("the VMs that use it", why);
            }
            let mut largest: Vec<_> = tree.files.iter().filter(|(_, file)| !file.is_folder()).collect();
            largest.sort_by_key(|(path, file)| (std::cmp::Reverse(file.size_bytes), path));
            let mut all: Vec<DatastoreFile> = tree.files.iter().map(|(_, file)| file.clone()).collect();
            all.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(FileDeletion {
                path: place.to_string(),
                type_: itself.type_,
                files,
                folders,
                size_bytes: bytes,
                largest: largest.into_iter().take(NAMED).map(|(_, file)| file.clone()).collect(),
                used_by: users.of_tree(&place),
                gaps,
                all,
                store,
                place,
            })
        };
        planned.await.map_err(named)
    }
}

impl Mo<Datastore> {
    /// Deletes one file that this crate has had made, unasked.
    pub(crate) async fn delete_made(&self, path: &DatastorePath) -> Result<()> {
        let store = Store::open(self).await?;
        let request = store.files()?.delete_datastore_file_task(&path.to_string(), store.datacenter.as_ref());
        start_for::<()>(store.client(), OPERATION, &path.to_string(), request).await?.await
    }
}

impl FileDeletion {
    /// All that would be deleted, by path.
    pub fn contents(&self) -> &[DatastoreFile] {
        &self.all
    }

    /// What tells this from what has the same paths: the id of the datastore, and the mark of a single file.
    pub fn identity(&self) -> impl Serialize + use<> {
        let mark = match self.all.as_slice() {
            [file] => Some(file.mark()),
            _ => None,
        };
        (self.store.mo.id().to_owned(), mark)
    }

    /// Deletes what was measured. Files have no ids: so the place is looked at right before, and what is put there between that
    /// look and the request is deleted with it.
    ///
    /// # Errors
    /// `changed` if there is something else by now, and those of the server, such as the fault `FileLocked` of a file that is
    /// in use.
    pub async fn carry_out(self) -> Result<DeletedFile> {
        let named = |error: Error| error.in_operation(OPERATION).on(self.path.as_str());
        let Self { store, place, .. } = &self;
        let done = async {
            store.must_have_its_name().await?;
            let itself = store.look(place).await?.filter(|now| now.type_ == self.type_).ok_or_else(has_changed)?;
            match self.is_of(&contents(store, place, &itself).await?) {
                true => delete(store, place, &itself).await,
                false => Err(has_changed()),
            }
        };
        done.await.map_err(named)?;
        Ok(DeletedFile {
            path: self.path,
            type_: self.type_,
            files: self.files,
            size_bytes: self.size_bytes,
            changed: true,
        })
    }

    /// Whether this is what was measured: the same files, and where it is only one, the same content.
    fn is_of(&self, now: &Tree) -> bool {
        let mut paths: Vec<(&str, FileType)> =
            now.files.iter().map(|(_, file)| (file.path.as_str(), file.type_)).collect();
        paths.sort_unstable();
        let same_content = match (self.all.as_slice(), now.files.as_slice()) {
            ([then], [(_, now)]) => (then.size_bytes, &then.modified) == (now.size_bytes, &now.modified),
            _ => true,
        };
        same_content && paths.into_iter().eq(self.all.iter().map(|file| (file.path.as_str(), file.type_)))
    }
}

/// The file itself, or all that is in the folder.
async fn contents(store: &Store, place: &DatastorePath, itself: &DatastoreFile) -> Result<Tree> {
    match itself.is_folder() {
        true => store.walk(place).await,
        false => Ok(Tree { files: vec![(place.clone(), itself.clone())], ..Tree::default() }),
    }
}

/// Whether a file can go without others.
///
/// # Errors
/// `unsupported` for a part of a disk.
pub(super) fn must_be_whole(path: &DatastorePath) -> Result<()> {
    let Some(descriptor) = path.file_name().and_then(descriptor_of) else { return Ok(()) };
    let text = format!("it is a part of the virtual disk {descriptor}, which goes with all of its parts");
    Err(Error::new(OPERATION, ErrorKind::Unsupported(text)))
}

pub(crate) fn has_changed() -> Error {
    let text = "it has changed since this was planned, so nothing was done".to_owned();
    Error::new(OPERATION, ErrorKind::Changed(text))
}

async fn delete(store: &Store, place: &DatastorePath, itself: &DatastoreFile) -> Result<()> {
    let (client, path, datacenter) = (store.client(), place.to_string(), store.datacenter.as_ref());
    if itself.is_folder()
        && let Some(folder) = store.namespace(place)
    {
        store.namespaces()?.delete_directory(datacenter, &store.mount_path(&folder)).await?;
        return Ok(());
    }
    if is_disk(itself) {
        let request = store.disks()?.delete_virtual_disk_task(&path, datacenter);
        match start_for::<()>(client, OPERATION, &path, request).await?.await {
            // A file of that name that is no disk, which was uploaded for example.
            Err(error) if is_no_disk(&error) && store.look(place).await?.is_some() => {}
            ended => return ended,
        }
    }
    let request = store.files()?.delete_datastore_file_task(&path, datacenter);
    start_for::<()>(client, OPERATION, &path, request).await?.await
}

/// Whether the manager of disks says that a file is not a virtual disk.
pub(super) fn is_no_disk(error: &Error) -> bool {
    error.is_fault("FileNotFound") || error.is_fault("InvalidDiskFormat")
}
