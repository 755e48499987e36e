//! A directory below that of `MCP_FILES`, for packages of several files.

use std::{
    fs::File,
    io::{self, ErrorKind},
};

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::OpenOptions;
#[cfg(unix)]
use cap_std::fs::OpenOptionsExt as _;
use vsphere_ops::ovf::LocalFolder;

use super::{LocalFiles, Place};

/// A directory with the files of a package. What is true of [`LocalFiles`] is true of it.
#[derive(Debug)]
pub(crate) struct Folder {
    files: LocalFiles,
    path: String,
}

impl Folder {
    /// The directory at a path.
    pub(crate) fn new(files: &LocalFiles, path: &str) -> Self {
        Self { files: files.clone(), path: path.to_owned() }
    }

    fn place(&self, name: &str) -> io::Result<Place> {
        let path = match self.path.is_empty() {
            true => name.to_owned(),
            false => format!("{}/{name}", self.path),
        };
        let refused = |problem: &str| {
            let text = format!("{problem} (the files that may be touched are below {}, MCP_FILES)", self.files);
            io::Error::new(ErrorKind::InvalidInput, text)
        };
        let steps = self.files.steps(&path).map_err(refused)?;
        self.files.walk(steps, &path)
    }
}

impl LocalFolder for Folder {
    fn open(&self, name: &str) -> io::Result<File> {
        let place = self.place(name)?;
        place.present()?.ok_or(ErrorKind::NotFound)?;
        let file = place.dir.open_with(&place.name, OpenOptions::new().read(true).follow(FollowSymlinks::No))?;
        Ok(file.into_std())
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let place = self.place(name)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        Ok(place.dir.open_with(&place.name, &options)?.into_std())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let place = self.place(name)?;
        place.dir.remove_file(&place.name)
    }
}
