//! The files of this computer that tools may touch: those below the directory of `MCP_FILES`.
//!
//! A path is walked from there, one directory at a time and never through a symbolic link, so that no link, no `..` and no
//! change in between leads out. Names that begin with a dot are refused: they hold keys, settings and programs' own data.

mod folder;

use std::{
    fmt,
    io::{self, ErrorKind},
    path::{Component, Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _};
#[cfg(unix)]
use cap_std::fs::OpenOptionsExt as _;
use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};
use tokio::{
    fs::File,
    io::{AsyncWrite, AsyncWriteExt as _},
    task::spawn_blocking,
};

pub(crate) use folder::Folder;

use crate::{ToolError, error::Result};

/// The directory below which tools may touch files.
#[derive(Debug, Clone)]
pub(crate) struct LocalFiles {
    root: PathBuf,
    dir: Arc<Dir>,
}

/// A file that is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Present {
    pub(crate) bytes: u64,
    pub(crate) modified: Option<SystemTime>,
}

/// What happens to a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and the new file is refused.
    Kept,
    /// It is replaced by the new file once that is complete.
    Replaced,
}

/// A file in the making. It appears under its name once it is [kept](NewFile::keep); else nothing of it stays.
#[derive(Debug)]
pub(crate) struct NewFile {
    file: File,
    place: Place,
    partial: Partial,
    existing: Existing,
}

/// The directory that a file is in, and the file's name there.
#[derive(Debug, Clone)]
struct Place {
    dir: Arc<Dir>,
    name: PathBuf,
    /// As it was asked for.
    shown: PathBuf,
}

/// A file under a name of its own, which goes when it is dropped.
#[derive(Debug)]
struct Partial {
    dir: Arc<Dir>,
    name: PathBuf,
}

impl LocalFiles {
    /// Opens the directory.
    ///
    /// # Errors
    /// It is not there, is no directory, or may not be read.
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let dir = Arc::new(Dir::open_ambient_dir(&root, ambient_authority())?);
        Ok(Self { root, dir })
    }

    /// Opens a file to read it.
    ///
    /// # Errors
    /// `invalid_argument` where the path leads to no file below the directory, `file` where it cannot be read.
    pub(crate) async fn open(&self, path: &str) -> Result<(File, u64)> {
        let opened = self.at(path, |place| {
            place.present()?.ok_or(ErrorKind::NotFound)?;
            let file = place.dir.open_with(&place.name, OpenOptions::new().read(true).follow(FollowSymlinks::No))?;
            let bytes = file.metadata()?.len();
            Ok((File::from_std(file.into_std()), bytes))
        });
        opened.await
    }

    /// What is there, if anything.
    ///
    /// # Errors
    /// `invalid_argument` where the path leads out of the directory, or to what is no file.
    pub(crate) async fn present(&self, path: &str) -> Result<Option<Present>> {
        self.at(path, |place| place.present()).await
    }

    /// Begins a new file, which only its user may read.
    ///
    /// # Errors
    /// `invalid_argument` where the path leads out of the directory or its own directory is missing, `already_exists`
    /// where the file is there and is to be kept, `file` where it cannot be written.
    pub(crate) async fn create(&self, path: &str, existing: Existing) -> Result<NewFile> {
        let begun = self.at(path, move |place| {
            if place.present()?.is_some() && existing == Existing::Kept {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let partial = Partial { dir: Arc::clone(&place.dir), name: place.partial_name() };
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            options.mode(0o600);
            let file = place.dir.open_with(&partial.name, &options)?;
            Ok(NewFile { file: File::from_std(file.into_std()), place: place.clone(), partial, existing })
        });
        begun.await
    }

    /// Makes a directory; one that is there already is as good.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub(crate) async fn create_dir(&self, path: &str) -> Result<()> {
        let made = self.at(path, |place| match place.dir.create_dir(&place.name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                place.dir.open_dir_nofollow(&place.name).map(drop)
            }
            made => made,
        });
        made.await
    }

    /// Does something at a place, off the threads that serve calls: a file system may be slow.
    async fn at<T: Send + 'static>(
        &self,
        path: &str,
        work: impl FnOnce(&Place) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (files, wanted) = (self.clone(), path.to_owned());
        let done = spawn_blocking(move || {
            let steps = files.steps(&wanted).map_err(Refused::Path)?;
            let place = files.walk(steps, &wanted).map_err(Refused::Io)?;
            work(&place).map_err(Refused::Io)
        });
        done.await
            .unwrap_or_else(|panic| Err(Refused::Io(io::Error::other(panic))))
            .map_err(|it| self.explain(path, it))
    }

    /// The names on the way to a path.
    fn steps(&self, path: &str) -> std::result::Result<Vec<PathBuf>, &'static str> {
        let path = Path::new(path);
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        let mut steps = Vec::new();
        for component in below.components() {
            match component {
                Component::CurDir => {}
                Component::Normal(name) if name.to_string_lossy().starts_with('.') => {
                    return Err("names that begin with a dot are not touched");
                }
                Component::Normal(name) => steps.push(PathBuf::from(name)),
                Component::ParentDir => return Err("`..` is not allowed"),
                Component::RootDir | Component::Prefix(_) => return Err("it is outside of that directory"),
            }
        }
        if steps.is_empty() { Err("it names no file") } else { Ok(steps) }
    }

    fn walk(&self, mut steps: Vec<PathBuf>, wanted: &str) -> io::Result<Place> {
        let name = steps.pop().ok_or(ErrorKind::InvalidInput)?;
        let mut dir = Arc::clone(&self.dir);
        for step in steps {
            dir = Arc::new(dir.open_dir_nofollow(step)?);
        }
        let place = Place { dir, name, shown: wanted.into() };
        if place.dir.symlink_metadata(&place.name).is_ok_and(|found| found.is_symlink()) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is a symbolic link, which is not followed"));
        }
        Ok(place)
    }

    fn explain(&self, path: &str, refused: Refused) -> ToolError {
        let root = self.root.display();
        let (code, problem) = match refused {
            Refused::Path(problem) => ("invalid_argument", problem.to_owned()),
            Refused::Io(error) => match error.kind() {
                ErrorKind::NotFound => ("not_found", "there is no such file or directory".to_owned()),
                ErrorKind::AlreadyExists => ("already_exists", "the file is there already".to_owned()),
                ErrorKind::InvalidInput => ("invalid_argument", error.to_string()),
                ErrorKind::NotADirectory => {
                    ("invalid_argument", "a part of it is no directory, or a symbolic link".to_owned())
                }
                _ => ("file", error.to_string()),
            },
        };
        ToolError::new(code, format!("the local path {path:?} below {root} (MCP_FILES): {problem}"))
    }
}

/// Why nothing was done.
enum Refused {
    Path(&'static str),
    Io(io::Error),
}

impl Place {
    fn present(&self) -> io::Result<Option<Present>> {
        match self.dir.symlink_metadata(&self.name) {
            Ok(found) if found.is_file() => {
                let modified = found.modified().ok().map(cap_std::time::SystemTime::into_std);
                Ok(Some(Present { bytes: found.len(), modified }))
            }
            Ok(_) => Err(io::Error::new(ErrorKind::InvalidInput, "it is no plain file")),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn partial_name(&self) -> PathBuf {
        format!(".{}.{:016x}.part", self.name.display(), fastrand::u64(..)).into()
    }
}

impl NewFile {
    /// Gives the file its name.
    ///
    /// # Errors
    /// `already_exists` where somebody else has made a file of this name that is to be kept; `file` where the disk fails.
    pub(crate) async fn keep(mut self) -> Result<()> {
        let shown = self.place.shown.display().to_string();
        let flushed = async {
            self.file.flush().await?;
            self.file.sync_all().await
        };
        let kept = match flushed.await {
            Ok(()) => {
                spawn_blocking(move || self.give_name()).await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
            }
            Err(error) => Err(error),
        };
        kept.map_err(|error| {
            let code = if error.kind() == ErrorKind::AlreadyExists { "already_exists" } else { "file" };
            ToolError::new(code, format!("the local file {shown:?} cannot be kept: {error}"))
        })
    }

    fn give_name(&self) -> io::Result<()> {
        let Self { place, partial, .. } = self;
        match self.existing {
            Existing::Replaced => place.dir.rename(&partial.name, &place.dir, &place.name),
            // A link is refused where the name is taken, which a rename is not.
            Existing::Kept => place.dir.hard_link(&partial.name, &place.dir, &place.name),
        }
    }
}

impl AsyncWrite for NewFile {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.file).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_shutdown(cx)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Where it was renamed there is nothing left.
        let _ = self.dir.remove_file(&self.name);
    }
}

impl fmt::Display for LocalFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.display().fmt(f)
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// A directory with what an assistant must not reach beside and in it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let base = std::env::temp_dir().join(format!("mcvsphere-files-{:016x}", fastrand::u64(..)));
            fs::create_dir_all(base.join("root/sub")).unwrap();
            fs::create_dir_all(base.join("root/.ssh")).unwrap();
            fs::write(base.join("outside"), "secret").unwrap();
            fs::write(base.join("root/.ssh/key"), "secret").unwrap();
            fs::write(base.join("root/sub/a.txt"), "inside").unwrap();
            symlink(base.join("outside"), base.join("root/link")).unwrap();
            symlink(&base, base.join("root/up")).unwrap();
            symlink(base.join("root/.ssh"), base.join("root/keys")).unwrap();
            Self(base)
        }

        fn files(&self) -> LocalFiles {
            LocalFiles::new(&self.0.join("root")).unwrap()
        }

        /// What is in the directory, without what was there from the beginning.
        fn names(&self) -> Vec<String> {
            let known = ["sub", ".ssh", "link", "up", "keys"];
            let entries = fs::read_dir(self.0.join("root")).unwrap();
            let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
            names.retain(|name| !known.contains(&name.as_str()));
            names
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn a_file_is_read_by_its_relative_and_its_absolute_path() {
        let scratch = Scratch::new();
        let absolute = scratch.0.join("root/sub/a.txt").canonicalize().unwrap();
        for path in ["sub/a.txt", "./sub//a.txt", absolute.to_str().unwrap()] {
            let (mut file, bytes) = scratch.files().open(path).await.unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).await.unwrap();
            assert_eq!((text.as_str(), bytes), ("inside", 6), "{path}");
        }
    }

    #[tokio::test]
    async fn nothing_leads_out() {
        let scratch = Scratch::new();
        let files = scratch.files();
        let outside = scratch.0.join("outside");
        for (path, code) in [
            ("../outside", "invalid_argument"),
            ("sub/../../outside", "invalid_argument"),
            ("sub/../sub/a.txt", "invalid_argument"),
            (outside.to_str().unwrap(), "invalid_argument"),
            ("/etc/passwd", "invalid_argument"),
            ("link", "invalid_argument"),
            ("up/outside", "invalid_argument"),
            ("keys/key", "invalid_argument"),
            (".ssh/key", "invalid_argument"),
            (".bashrc", "invalid_argument"),
            ("sub/.env", "invalid_argument"),
            ("", "invalid_argument"),
            (".", "invalid_argument"),
            ("missing/a", "not_found"),
            ("sub/a.txt/b", "invalid_argument"),
            ("sub/a\0b", "invalid_argument"),
        ] {
            let refused = files.create(path, Existing::Replaced).await.unwrap_err().to_string();
            assert!(refused.contains(&format!("({code})")) && refused.contains("MCP_FILES"), "{path}: {refused}");
            assert!(files.open(path).await.is_err(), "{path}");
        }
        assert!(files.open("sub").await.is_err(), "a directory is no file");
        assert_eq!(fs::read_to_string(&outside).unwrap(), "secret");
        assert_eq!(scratch.names(), [""; 0]);
    }

    #[tokio::test]
    async fn a_new_file_appears_whole_and_for_its_user_alone() {
        let scratch = Scratch::new();
        let files = scratch.files();
        let mut new = files.create("b.bin", Existing::Kept).await.unwrap();
        new.write_all(b"half").await.unwrap();
        assert!(files.present("b.bin").await.unwrap().is_none());
        drop(new);
        assert_eq!(scratch.names(), [""; 0], "nothing stays of a file that was given up");

        let mut new = files.create("b.bin", Existing::Kept).await.unwrap();
        new.write_all(b"whole").await.unwrap();
        new.keep().await.unwrap();
        assert_eq!(scratch.names(), ["b.bin"]);
        let path = scratch.0.join("root/b.bin");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(files.present("b.bin").await.unwrap().unwrap().bytes, 5);
    }

    #[tokio::test]
    async fn a_file_that_is_there_is_replaced_only_when_that_was_said() {
        let scratch = Scratch::new();
        let files = scratch.files();
        let path = scratch.0.join("root/run.sh");
        let mut late = files.create("run.sh", Existing::Kept).await.unwrap();
        late.write_all(b"late").await.unwrap();
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(files.create("run.sh", Existing::Kept).await.unwrap_err().to_string().contains("already_exists"));
        // Also one that has come since.
        assert!(late.keep().await.unwrap_err().to_string().contains("already_exists"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");

        let mut new = files.create("run.sh", Existing::Replaced).await.unwrap();
        new.write_all(b"new").await.unwrap();
        new.keep().await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0, "no executable bit is kept");
        assert_eq!(scratch.names(), ["run.sh"]);
    }

    #[tokio::test]
    async fn directories_are_made_one_at_a_time() {
        let scratch = Scratch::new();
        let files = scratch.files();
        files.create_dir("export").await.unwrap();
        files.create_dir("export").await.unwrap();
        assert!(files.create_dir("a/b").await.is_err());
        assert!(files.create_dir("up").await.is_err());
        assert!(files.create_dir("sub/a.txt").await.is_err());
        files.create("export/vm.ovf", Existing::Kept).await.unwrap().keep().await.unwrap();
        assert!(scratch.0.join("root/export/vm.ovf").is_file());
    }
}
