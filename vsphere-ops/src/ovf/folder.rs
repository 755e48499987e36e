//! Local folders that packages are read from and written to.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;

/// A local folder with the files of a package. A program that restricts which files may be touched implements it.
///
/// Names are those of files in the folder itself, or relative paths below it with `/` between the steps, without `.` and
/// `..`: what a package names otherwise is refused before a folder is asked.
///
/// ```
/// use std::sync::Arc;
/// use vsphere_ops::ovf::{Directory, LocalFolder, OvfSource};
///
/// let folder: Arc<dyn LocalFolder> = Arc::new(Directory::new("/srv/appliances"));
/// let source = OvfSource::in_folder(folder, "web.ova");
/// ```
pub trait LocalFolder: Send + Sync + 'static {
    /// Opens a file to read it.
    ///
    /// # Errors
    /// There is no such file, or it may not be read.
    fn open(&self, name: &str) -> io::Result<File>;

    /// Makes a new file to write it.
    ///
    /// # Errors
    /// There is such a file, or it may not be written.
    fn create(&self, name: &str) -> io::Result<File>;

    /// Removes a file that [`create`](Self::create) has made.
    ///
    /// # Errors
    /// It can't be removed.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A directory, without restrictions.
///
/// ```no_run
/// use vsphere_ops::ovf::{Directory, LocalFolder};
///
/// let folder = Directory::new("appliances");
/// let descriptor = folder.open("web.ovf")?;
/// drop(folder.create("web.mf")?);
/// folder.remove("web.mf")?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Directory(PathBuf);

impl Directory {
    /// The directory at a path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl LocalFolder for Directory {
    fn open(&self, name: &str) -> io::Result<File> {
        File::open(self.0.join(name))
    }

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(self.0.join(name))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.0.join(name))
    }
}
