//! Claims as files of a directory that all processes share, such as a volume over NFS.
//!
//! To create a file that must not exist is atomic there too, unlike a lock. The clock that counts is the volume's: the age of a
//! claim is told by the one that was made last.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::task::spawn_blocking;

use super::{KEPT, NoClaims};

/// How the name of a claim ends; nothing else in the directory is touched.
const EXTENSION: &str = "claim";

/// A directory of claims.
#[derive(Debug, Clone)]
pub(crate) struct Files(PathBuf);

impl Files {
    /// # Errors
    /// No file can be made in the directory.
    pub(super) fn open(directory: PathBuf) -> Result<Self, NoClaims> {
        let files = Self(directory);
        let probe = files.path(&format!("probe-{:016x}", fastrand::u64(..)));
        let tried = create(&probe, "").and_then(|_| fs::remove_file(&probe));
        tried.map_err(|error| files.failed(&error))?;
        Ok(files)
    }

    pub(super) async fn claim(&self, number: &str, who: &str) -> Result<bool, NoClaims> {
        let (path, directory) = (self.path(number), self.0.clone());
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let content = format!("at {seconds} by {who} process {}\n", std::process::id());
        self.blocking(move || match create(&path, &content) {
            Ok(now) => {
                forget(&directory, now);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        })
        .await
    }

    pub(super) async fn is_claimed(&self, number: &str) -> Result<bool, NoClaims> {
        let path = self.path(number);
        self.blocking(move || path.try_exists()).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, NoClaims> {
        let done = spawn_blocking(work).await.map_err(|error| io::Error::other(error.to_string()));
        done.flatten().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> NoClaims {
        NoClaims(format!("{}: {error}", self.0.display()))
    }

    fn path(&self, number: &str) -> PathBuf {
        self.0.join(format!("{number}.{EXTENSION}"))
    }
}

/// Creates a file that must not exist, and answers when that was by the clock of the volume.
fn create(path: &Path, content: &str) -> io::Result<SystemTime> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    file.metadata()?.modified()
}

/// Removes the claims that no token needs any more. What can't be removed is tried again with the next claim, or is removed by
/// another process.
fn forget(directory: &Path, now: SystemTime) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_some_and(|extension| extension == EXTENSION) && age(&path, now) > KEPT {
            let _ = fs::remove_file(path);
        }
    }
}

fn age(path: &Path, now: SystemTime) -> Duration {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.ok().and_then(|modified| now.duration_since(modified).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    /// A directory that is removed with this value.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("mcvsphere-claims-{:016x}", fastrand::u64(..)));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn age(&self, name: &str, age: Duration) {
            let file = OpenOptions::new().write(true).open(self.0.join(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }

        fn names(&self) -> Vec<String> {
            let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<_> = names.collect();
            names.sort();
            names
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn a_number_is_claimed_once_whoever_asks() {
        let directory = Directory::new();
        let (one, other) = (Files::open(directory.0.clone()).unwrap(), Files::open(directory.0.clone()).unwrap());
        assert!(!other.is_claimed("a").await.unwrap());
        assert!(one.claim("a", "jane").await.unwrap());
        assert!(other.is_claimed("a").await.unwrap());
        assert!(!other.claim("a", "jane").await.unwrap());
        assert!(other.claim("b", "jane").await.unwrap());
        assert!(fs::read_to_string(directory.0.join("a.claim")).unwrap().contains("by jane"));
    }

    #[tokio::test]
    async fn claims_are_removed_after_the_life_of_their_tokens_and_nothing_else_is() {
        let directory = Directory::new();
        let files = Files::open(directory.0.clone()).unwrap();
        for name in ["old", "young"] {
            assert!(files.claim(name, "jane").await.unwrap());
        }
        fs::write(directory.0.join("notes.txt"), "ours").unwrap();
        for name in ["old.claim", "notes.txt"] {
            directory.age(name, KEPT + Duration::from_secs(60));
        }
        directory.age("young.claim", KEPT - Duration::from_secs(60));
        assert!(files.claim("new", "jane").await.unwrap());
        assert_eq!(directory.names(), ["new.claim", "notes.txt", "young.claim"]);
    }

    #[tokio::test]
    async fn a_directory_that_is_gone_grants_nothing() {
        let directory = Directory::new();
        let files = Files::open(directory.0.clone()).unwrap();
        fs::remove_dir(&directory.0).unwrap();
        let error = files.claim("a", "jane").await.unwrap_err().to_string();
        assert!(error.contains("mcvsphere-claims-"), "{error}");
        assert!(Files::open(directory.0.clone()).is_err());
    }
}
