//! What is done with the files of a datastore, by everything that keeps files there. The faults name them in full.

use vsphere_model::types::{CannotCreateFile, FileAlreadyExists, FileFault, FileLocked, FileNotFound, NoDiskSpace};

use super::Datastore;
use super::disk::Disk;
use super::files::{File, Files, Trouble};
use super::path::DatastorePath;
use crate::fault::{Fault, Outcome};

impl Datastore {
    /// The files, to look at.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// In bytes.
    pub(crate) fn free(&self) -> i64 {
        (self.capacity - self.files.used()).max(0)
    }

    /// A path as the API writes it, with the datastore's name.
    pub(crate) fn path(&self, path: &str) -> String {
        DatastorePath { datastore: self.entity.name.clone(), path: path.to_owned() }.to_string()
    }

    /// The file or folder at a path; the datastore itself is none.
    pub(crate) fn find(&self, path: &str) -> Option<&File> {
        self.files.find(path)
    }

    /// The file or folder at a path.
    ///
    /// # Errors
    /// `FileNotFound`.
    pub(crate) fn file(&self, path: &str) -> Outcome<&File> {
        self.find(path).ok_or_else(|| self.not_found(path))
    }

    /// The virtual disk whose descriptor has this path.
    ///
    /// # Errors
    /// `FileNotFound`, also for a file that is no disk.
    pub(crate) fn disk(&self, path: &str) -> Outcome<&Disk> {
        self.file(path)?.disk().ok_or_else(|| self.not_found(path))
    }

    /// Puts a file into a folder that is there, in place of the file that has its path.
    ///
    /// # Errors
    /// `FileNotFound` for its folder, `FileAlreadyExists` where a folder has the path, `NoDiskSpace`.
    pub(crate) fn put_file(&mut self, path: &str, file: File) -> Outcome<()> {
        self.files.put(path, file, self.capacity).map_err(|trouble| self.fault(trouble))
    }

    /// Makes a folder; with `parents` also those above it that are missing.
    ///
    /// # Errors
    /// `FileAlreadyExists` where anything has the path, `FileNotFound` where the folder above it is missing.
    pub(crate) fn make_folder(&mut self, path: &str, parents: bool) -> Outcome<()> {
        self.files.make_folder(path, parents).map_err(|trouble| self.fault(trouble))
    }

    /// Whether something new may stand at a path: at the top of an object store only the namespace manager makes anything.
    ///
    /// # Errors
    /// `CannotCreateFile`.
    pub(crate) fn check_top(&self, path: &str) -> Outcome<()> {
        let top = path.split('/').next().unwrap_or_default();
        if self.kind != "vsan" || (path.contains('/') && self.find(top).is_some()) {
            return Ok(());
        }
        let message = format!("Cannot create file {}: Function not implemented.", self.path(path));
        Err(Fault::new(CannotCreateFile { base: self.about(path) }, message))
    }

    /// Changes a file. The space that all take follows, beyond the capacity if it must.
    ///
    /// # Errors
    /// `FileNotFound`.
    pub(crate) fn change_file(&mut self, path: &str, change: impl FnOnce(&mut File)) -> Outcome<()> {
        self.files.change(path, change).map_err(|trouble| self.fault(trouble))
    }

    /// Deletes a file, or a folder with everything below it.
    ///
    /// # Errors
    /// `FileNotFound`.
    pub(crate) fn remove_tree(&mut self, path: &str) -> Outcome<()> {
        self.take_tree(path).map(drop)
    }

    /// Gives a file, or a folder with everything below it, another path in this datastore.
    ///
    /// # Errors
    /// `FileNotFound` for it and for the folder of the new path, `FileAlreadyExists`.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Outcome<()> {
        let tree = self.take_tree(from)?;
        let back = tree.clone();
        self.graft_tree(to, tree).inspect_err(|_| {
            // There was room for it before.
            let _ = self.files.graft(from, back, i64::MAX);
        })
    }

    /// Takes a file, or a folder with everything below it, out of the datastore: see [`Files::take`].
    ///
    /// # Errors
    /// `FileNotFound`.
    pub(crate) fn take_tree(&mut self, path: &str) -> Outcome<Vec<(String, File)>> {
        self.files.take(path).map_err(|trouble| self.fault(trouble))
    }

    /// A copy of a file, or of a folder with everything below it: see [`Files::copy`].
    ///
    /// # Errors
    /// `FileNotFound`.
    pub(crate) fn copy_tree(&self, path: &str) -> Outcome<Vec<(String, File)>> {
        self.files.copy(path).map_err(|trouble| self.fault(trouble))
    }

    /// Puts in what was taken or copied, all or nothing.
    ///
    /// # Errors
    /// `FileAlreadyExists`, `FileNotFound` for the folder above it, `NoDiskSpace`.
    pub(crate) fn graft_tree(&mut self, path: &str, tree: Vec<(String, File)>) -> Outcome<()> {
        self.files.graft(path, tree, self.capacity).map_err(|trouble| self.fault(trouble))
    }

    /// Makes a virtual disk in a folder that is there: its descriptor at the path, and its extent beside it. So many bytes
    /// of it are written already; a thick one takes all that it can hold in any case.
    ///
    /// # Errors
    /// `FileAlreadyExists`, `FileNotFound` for its folder, `NoDiskSpace`.
    pub(crate) fn put_disk(&mut self, path: &str, disk: Disk, written: i64) -> Outcome<()> {
        if self.find(path).is_some() {
            return Err(self.already_exists(path));
        }
        let extent = disk.extent(path).unwrap_or_else(|| path.to_owned());
        let data = File::made(disk.capacity).taking(disk.takes(written));
        self.put_file(&extent, data)?;
        self.put_descriptor(path, disk).inspect_err(|_| {
            let _ = self.files.take(&extent);
        })
    }

    /// Writes the descriptor of a virtual disk, and leaves its extent as it is.
    ///
    /// # Errors
    /// As [`Datastore::put_file`].
    pub(crate) fn put_descriptor(&mut self, path: &str, disk: Disk) -> Outcome<()> {
        let size = i64::try_from(disk.descriptor(path).len()).unwrap_or(i64::MAX);
        let content = super::files::Content::Disk(Box::new(disk));
        // A descriptor is so small that it fits into what the file system has at hand.
        self.put_file(path, File { content, ..File::made(size) }.taking(0))
    }

    /// Deletes a virtual disk with its extent.
    ///
    /// # Errors
    /// `FileNotFound`, also for a file that is no disk.
    pub(crate) fn remove_disk(&mut self, path: &str) -> Outcome<()> {
        let extent = self.disk(path)?.extent(path);
        self.remove_tree(path)?;
        if let Some(extent) = extent.filter(|extent| self.find(extent).is_some()) {
            self.remove_tree(&extent)?;
        }
        Ok(())
    }

    /// How many bytes of a virtual disk are written.
    pub(crate) fn written(&self, path: &str) -> i64 {
        let extent = self.find(path).and_then(File::disk).and_then(|disk| disk.extent(path));
        self.find(extent.as_deref().unwrap_or(path)).map_or(0, |data| data.used)
    }

    /// A folder name for a new machine: the name itself, or with the first number that makes it free.
    pub(crate) fn free_folder_name(&self, name: &str) -> String {
        let taken = |name: &str| self.find(name).is_some();
        if !taken(name) {
            return name.to_owned();
        }
        (1_u32..).map(|number| format!("{name}_{number}")).find(|name| !taken(name)).unwrap_or_else(|| name.to_owned())
    }

    pub(crate) fn not_found(&self, path: &str) -> Fault {
        let message = format!("File {} was not found.", self.path(path));
        Fault::new(FileNotFound { base: self.about(path) }, message)
    }

    pub(crate) fn already_exists(&self, path: &str) -> Fault {
        let path_text = self.path(path);
        let message = format!("Cannot complete the operation because the file or folder {path_text} already exists.");
        Fault::new(FileAlreadyExists { base: self.about(path) }, message)
    }

    pub(crate) fn locked(&self, path: &str) -> Fault {
        let message = format!("Unable to access file {} since it is locked.", self.path(path));
        Fault::new(FileLocked { base: self.about(path) }, message)
    }

    pub(crate) fn no_space(&self, path: &str) -> Fault {
        let datastore = self.entity.name.clone();
        let message = format!("Insufficient disk space on datastore '{datastore}'.");
        Fault::new(NoDiskSpace { base: self.about(path), datastore }, message)
    }

    /// What all faults of a file tell of it.
    pub(super) fn about(&self, path: &str) -> FileFault {
        FileFault { file: self.path(path), ..Default::default() }
    }

    fn fault(&self, trouble: Trouble) -> Fault {
        match trouble {
            Trouble::NotFound(path) => self.not_found(&path),
            Trouble::Exists(path) => self.already_exists(&path),
            Trouble::Full(path) => self.no_space(&path),
        }
    }
}
