//! Files of this user: written as a whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// The largest file of a client that is read, in bytes. Claude Code keeps much in its own.
const LARGEST: u64 = 64 << 20;

/// A file as it was read.
pub(super) struct Found {
    /// The file itself, where the name is a link to it.
    pub(super) path: PathBuf,
    /// What it holds, if it exists.
    pub(super) text: Option<String>,
}

/// Reads a file that need not be there.
///
/// # Errors
/// It is there and cannot be read as text.
pub(super) fn read(path: &Path) -> Result<Found, String> {
    let problem = |error: io::Error| format!("cannot be read: {error}");
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // To write through a link that leads nowhere would make a file that nobody expects.
            return match fs::symlink_metadata(path) {
                Ok(_) => Err("is a link to a file that is not there".to_owned()),
                Err(_) => Ok(Found { path: path.to_owned(), text: None }),
            };
        }
        Err(error) => return Err(problem(error)),
    };
    let size = fs::metadata(&path).map_err(problem)?.len();
    if size > LARGEST {
        return Err(format!("has {size} bytes, which is more than a file of settings has"));
    }
    let text = fs::read(&path).map_err(problem)?;
    let text = String::from_utf8(text).map_err(|_| "is no UTF-8 text".to_owned())?;
    Ok(Found { path, text: Some(text) })
}

impl Found {
    /// Replaces what was read by a text, and keeps it beside the file.
    ///
    /// # Errors
    /// The file has changed since, or it cannot be written; it is as it was then.
    pub(super) fn replace(&self, text: &str) -> Result<Option<PathBuf>, String> {
        let now = read(&self.path)?;
        if now.text != self.text {
            return Err("has changed meanwhile: try again".to_owned());
        }
        let mut kept = None;
        if let Some(before) = &self.text {
            let path = beside(&self.path, "before-mcvsphere");
            self.write(&path, before).map_err(|error| format!("cannot be kept as {}: {error}", path.display()))?;
            kept = Some(path);
        } else if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(|error| format!("cannot be made: {error}"))?;
        }
        self.write(&self.path, text).map_err(|error| format!("cannot be written: {error}"))?;
        Ok(kept)
    }

    /// Writes a file at once, with the rights of the one that was read.
    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let rights = match &self.text {
            Some(_) => Some(fs::metadata(&self.path)?.permissions()),
            None => None,
        };
        at_once(path, text, rights)
    }
}

/// Writes a file that only this user can read.
///
/// # Errors
/// It cannot be written.
pub(super) fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    at_once(path, text, None)
}

/// Writes a file whole or not at all, for this user alone where it has no other rights.
fn at_once(path: &Path, text: &str, rights: Option<fs::Permissions>) -> io::Result<()> {
    let partial = beside(path, &format!("{:016x}", fastrand::u64(..)));
    let written = fill(&partial, text, rights).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Makes a file, for this user alone until it has other rights.
fn fill(path: &Path, text: &str, rights: Option<fs::Permissions>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file: File = options.open(path)?;
    file.write_all(text.as_bytes())?;
    if let Some(rights) = rights {
        file.set_permissions(rights)?;
    }
    file.sync_all()
}

/// A name beside that of a file.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("mcvsphere-place-{:016x}", fastrand::u64(..)));
        fs::create_dir(&folder).unwrap();
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_is_for_its_user_alone() {
        let folder = folder();
        let path = folder.join("a/b/mcp.json");
        assert_eq!(read(&path).unwrap().replace("{}").unwrap(), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(path.parent().unwrap()), ["mcp.json"]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_keeps_its_rights_its_links_and_what_it_was() {
        let folder = folder();
        let (path, link) = (folder.join("mcp.json"), folder.join("link.json"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&path, &link).unwrap();
        let kept = read(&link).unwrap().replace("new").unwrap().unwrap();
        assert_eq!(
            (fs::read_to_string(&path).unwrap(), fs::read_to_string(kept).unwrap()),
            ("new".into(), "old".into())
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(names(&folder), ["link.json", "mcp.json", "mcp.json.before-mcvsphere"]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_somebody_else_has_changed_is_not_overwritten() {
        let folder = folder();
        let path = folder.join("mcp.json");
        let found = read(&path).unwrap();
        fs::write(&path, "other").unwrap();
        assert!(found.replace("new").unwrap_err().contains("changed meanwhile"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "other");
        fs::write(&path, b"\xff").unwrap();
        assert!(read(&path).err().unwrap().contains("UTF-8"));
        symlink(folder.join("nowhere"), folder.join("lost")).unwrap();
        assert!(read(&folder.join("lost")).err().unwrap().contains("link"));
        fs::remove_dir_all(folder).unwrap();
    }
}
