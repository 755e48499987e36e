//! A datastore as its files are worked on: what it is called in paths, in which datacenter it is, and which managers change it.

use vsphere_model::managed::{Datastore, DatastoreNamespaceManager, FileManager, VirtualDiskManager, datastore as ds};
use vsphere_model::types::ManagedObjectReference;

use super::delete::has_changed;
use super::users::Users;
use super::walk::{self, Tree};
use super::{DatastoreFile, FileType};
use crate::client::Client;
use crate::datastore_path::DatastorePath;
use crate::error::{Circumstance, Error, ErrorKind, Result, invalid};
use crate::mo::Mo;
use crate::transfer::in_datastore;

/// A datastore whose files are worked on.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) mo: Mo<Datastore>,
    /// The name as the server writes it in paths of files.
    name: String,
    /// `ds:///vmfs/volumes/…/`.
    url: String,
    browser: ManagedObjectReference,
    pub(super) datacenter: Option<ManagedObjectReference>,
    /// A folder at the top is an object of its own, which the namespace manager makes and deletes.
    has_namespaces: bool,
}

impl Store {
    /// # Errors
    /// `invalid_state` if no host reaches the datastore, and server errors.
    pub(super) async fn open(mo: &Mo<Datastore>) -> Result<Self> {
        let select = (ds::NAME, ds::SUMMARY, ds::BROWSER, ds::CAPABILITY);
        let ((name, summary, browser, capability), ancestors) = futures::try_join!(mo.read(select), mo.ancestors())?;
        if !summary.accessible {
            let text = "no host can access the datastore at present".to_owned();
            let error = Error::new("open the datastore", ErrorKind::InvalidState(text));
            return Err(error.with_circumstance(Circumstance::DatastoreInaccessible));
        }
        let mut datacenter = ancestors.into_iter().map(|ancestor| ancestor.reference);
        Ok(Self {
            mo: mo.clone(),
            name,
            url: summary.url,
            browser,
            datacenter: datacenter.rfind(|ancestor| ancestor.type_ == "Datacenter"),
            has_namespaces: capability.top_level_directory_create_supported == Some(false),
        })
    }

    /// Makes sure that the paths of a plan still lead here: a datastore that was renamed leaves its name to another one.
    ///
    /// # Errors
    /// `changed` if the datastore has another name by now, and server errors.
    pub(super) async fn must_have_its_name(&self) -> Result<()> {
        if self.mo.read(ds::NAME).await? == self.name { Ok(()) } else { Err(has_changed()) }
    }

    pub(super) fn client(&self) -> &Client {
        self.mo.client()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The path that is given with the datastore's name or without.
    ///
    /// # Errors
    /// `invalid_argument` if it is none, leads upwards, or names another datastore.
    pub(super) fn path(&self, text: &str) -> Result<DatastorePath> {
        in_datastore(&self.name, text)
    }

    /// The same, of a file or a folder in the datastore.
    ///
    /// # Errors
    /// As [`path`](Self::path), and for the datastore itself.
    pub(super) fn path_below(&self, text: &str) -> Result<DatastorePath> {
        let path = self.path(text)?;
        match path.file_name() {
            Some(_) => Ok(path),
            None => Err(invalid("read the path", "it names the datastore itself, not a file or a folder in it")),
        }
    }

    /// What is in a folder.
    pub(super) async fn folder(&self, folder: &DatastorePath) -> Result<Tree> {
        let files = walk::search(self.client(), &self.browser, folder, None).await?;
        Ok(Tree { files, ..Tree::default() })
    }

    /// All that is below a folder.
    pub(super) async fn walk(&self, folder: &DatastorePath) -> Result<Tree> {
        self.walk_past(folder, |_| None).await
    }

    /// The same, but for folders that `passes` gives a reason to pass over.
    pub(super) async fn walk_past(
        &self,
        folder: &DatastorePath,
        passes: fn(&DatastorePath) -> Option<&'static str>,
    ) -> Result<Tree> {
        walk::below(self.client(), &self.browser, folder, passes).await
    }

    /// The file or folder at a path, if there is one.
    pub(super) async fn look(&self, path: &DatastorePath) -> Result<Option<DatastoreFile>> {
        let (Some(name), Some(folder)) = (path.file_name(), path.parent()) else { return Ok(None) };
        match walk::search(self.client(), &self.browser, &folder, Some(name)).await {
            Ok(found) => Ok(found.into_iter().find(|(found, _)| found == path).map(|(_, file)| file)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file or folder at a path.
    ///
    /// # Errors
    /// `not_found` where there is none, and server errors.
    pub(super) async fn find(&self, path: &DatastorePath) -> Result<DatastoreFile> {
        let missing = || Error::new("find", ErrorKind::NotFound(format!("there is no file or folder {path}")));
        self.look(path).await?.ok_or_else(missing)
    }

    /// The files that VMs use.
    pub(super) async fn users(&self) -> Result<Users> {
        Users::of(self).await
    }

    /// The folder at the top that is an object of its own, where the path is that of one.
    pub(super) fn namespace(&self, path: &DatastorePath) -> Option<String> {
        (self.has_namespaces && !path.path().contains('/')).then(|| path.path().to_owned())
    }

    /// The top folder of a path, where that is an object of its own.
    pub(super) fn top_namespace(&self, path: &DatastorePath) -> Option<DatastorePath> {
        let top = path.path().split('/').next().filter(|top| self.has_namespaces && !top.is_empty())?;
        DatastorePath::new(self.name.clone(), top).ok()
    }

    /// Where hosts find a folder at the top: `/vmfs/volumes/…/folder`.
    pub(super) fn mount_path(&self, folder: &str) -> String {
        format!("{}/{folder}", self.url.trim_start_matches("ds://").trim_end_matches('/'))
    }

    pub(super) fn files(&self) -> Result<FileManager> {
        let manager = self.client().content().file_manager.as_ref();
        Ok(self.client().raw(self.client().manager("files", manager)?))
    }

    pub(super) fn disks(&self) -> Result<VirtualDiskManager> {
        let manager = self.client().content().virtual_disk_manager.as_ref();
        Ok(self.client().raw(self.client().manager("virtual disks", manager)?))
    }

    pub(super) fn namespaces(&self) -> Result<DatastoreNamespaceManager> {
        let manager = self.client().content().datastore_namespace_manager.as_ref();
        Ok(self.client().raw(self.client().manager("namespaces", manager)?))
    }
}

/// Whether a file is the descriptor of a virtual disk, so that its extents go with it.
pub(super) fn is_disk(file: &DatastoreFile) -> bool {
    file.type_ == FileType::Disk && file.path.ends_with(".vmdk")
}
