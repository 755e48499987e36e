//! What clients send: kept on disk, so that a large file takes no memory, and gone with the simulator.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{fs, io};

use super::checksum::Algorithm;

/// The folder for what clients send. It is made when the first file comes.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    folder: Mutex<Option<Arc<Folder>>>,
}

/// A folder that is removed when nobody has it any more.
#[derive(Debug)]
struct Folder(PathBuf);

/// A file that a client sent. It does not change any more once it is in a datastore: copies share it.
#[derive(Debug)]
pub(crate) struct Upload {
    path: PathBuf,
    /// Its checksums, once somebody has asked for them.
    sha1: OnceLock<String>,
    sha256: OnceLock<String>,
    /// Kept until the last file in it is gone.
    _folder: Arc<Folder>,
}

impl Uploads {
    /// A new empty file.
    ///
    /// # Errors
    /// The folder or the file can't be made.
    pub(crate) fn create(&self) -> io::Result<(Upload, fs::File)> {
        let folder = {
            let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
            match &*folder {
                Some(made) => Arc::clone(made),
                None => Arc::clone(folder.insert(Arc::new(Folder::new()?))),
            }
        };
        let path = folder.0.join(format!("{:032x}", fastrand::u128(..)));
        let file = fs::File::create_new(&path)?;
        Ok((Upload { path, sha1: OnceLock::new(), sha256: OnceLock::new(), _folder: folder }, file))
    }
}

impl Upload {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its checksum. The file is read for it, once.
    ///
    /// # Errors
    /// The file can't be read.
    pub(crate) fn checksum(&self, algorithm: Algorithm) -> io::Result<String> {
        let known = match algorithm {
            Algorithm::Sha1 => &self.sha1,
            Algorithm::Sha256 => &self.sha256,
        };
        if let Some(known) = known.get() {
            return Ok(known.clone());
        }
        let found = algorithm.of(fs::File::open(&self.path)?)?;
        Ok(known.get_or_init(|| found).clone())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "an uploaded file stays behind");
        }
    }
}

impl Folder {
    fn new() -> io::Result<Self> {
        let name = format!("vsphere-sim-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "the folder of uploaded files stays behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_goes_with_the_last_file() {
        let uploads = Uploads::default();
        let (first, _) = uploads.create().unwrap();
        let (second, _) = uploads.create().unwrap();
        let folder = first.path().parent().unwrap().to_owned();
        assert_eq!(second.path().parent(), Some(&*folder));
        let gone = first.path().to_owned();
        drop(first);
        assert!(!gone.exists() && second.path().exists());
        drop(uploads);
        assert!(second.path().exists());
        drop(second);
        assert!(!folder.exists());
    }
}
