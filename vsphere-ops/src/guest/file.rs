//! The directories of a guest.

use serde::{Deserialize, Serialize};
use vsphere_model::types::{GuestFileInfo, GuestPosixFileAttributes, GuestWindowsFileAttributes};
use vsphere_soap::object::format_date_time;

use super::{Family, Guest, GuestTrouble};
use crate::error::{ErrorKind, Result};
use crate::page::{ListQuery, Page, Window};
use crate::untrusted::Untrusted;

/// What is at a path.
///
/// ```
/// use vsphere_ops::guest::{FileKind, GuestFile};
///
/// fn directories(files: &[GuestFile]) -> usize {
///     files.iter().filter(|file| file.kind == FileKind::Directory).count()
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Something else.
    Other,
}

/// A file or a directory of a guest.
///
/// ```
/// use vsphere_ops::guest::GuestFile;
///
/// fn total(files: &[GuestFile]) -> i64 {
///     files.iter().map(|file| file.size).sum()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GuestFile {
    /// Its name.
    pub name: Untrusted,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: FileKind,
    /// Its size in bytes.
    pub size: i64,
    /// When it was changed last, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// The number of its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<i32>,
    /// The number of its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<i32>,
    /// Its permissions in octal: `0644`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<String>,
    /// Where the link leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Untrusted>,
    /// Hidden, on Windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
}

impl From<GuestFileInfo> for GuestFile {
    fn from(info: GuestFileInfo) -> Self {
        let kind = match info.type_.as_str() {
            "file" => FileKind::File,
            "directory" => FileKind::Directory,
            "symlink" => FileKind::Symlink,
            _ => FileKind::Other,
        };
        let posix = info.attributes.downcast_ref::<GuestPosixFileAttributes>();
        let windows = info.attributes.downcast_ref::<GuestWindowsFileAttributes>();
        Self {
            kind,
            size: info.size,
            modified: info.attributes.modification_time.as_ref().map(format_date_time),
            owner: posix.and_then(|posix| posix.owner_id),
            group: posix.and_then(|posix| posix.group_id),
            permissions: posix.and_then(|posix| posix.permissions).map(|mode| format!("{:04o}", mode & 0o7777)),
            target: info.attributes.symlink_target.clone().filter(|target| !target.is_empty()).map(Untrusted::from),
            hidden: windows.and_then(|windows| windows.hidden),
            name: info.path.into(),
        }
    }
}

/// A directory that is there now.
///
/// ```
/// use vsphere_ops::guest::MadeDirectory;
///
/// fn is_new(made: &MadeDirectory) -> bool {
///     made.changed
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MadeDirectory {
    /// The VM's name.
    pub vm: String,
    /// Its path.
    pub path: String,
    /// Whether it was made now.
    pub changed: bool,
}

/// A file or a directory that is gone now.
///
/// ```
/// use vsphere_ops::guest::DeletedGuestFile;
///
/// fn line(deleted: &DeletedGuestFile) -> String {
///     match deleted.kind {
///         Some(kind) => format!("{} ({kind:?}) is gone", deleted.path),
///         None => format!("{} was not there", deleted.path),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeletedGuestFile {
    /// The VM's name.
    pub vm: String,
    /// Its path.
    pub path: String,
    /// Whether it was deleted now; else it was not there.
    pub changed: bool,
    /// What it was.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<FileKind>,
}

/// How many entries are asked for at a time, and how many are read of one directory at most.
const ASKED: i32 = 500;
const MOST: usize = 100_000;

const LIST: &str = "list a directory in the guest of";
const MAKE: &str = "make a directory in the guest of";
const DELETE: &str = "delete in the guest of";

impl Guest {
    /// Lists a directory by the names of its entries; `filter` is a glob on the name. A file is listed as itself, and so is
    /// a symbolic link.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::ListQuery;
    /// use vsphere_ops::guest::Credentials;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let vm = client.get::<VirtualMachine>("web-01").await?;
    /// let guest = vm.guest(&Credentials::new("root", "Guest1!")).await?;
    /// let logs = ListQuery::default().matching("*.conf");
    /// for file in guest.list_directory("/etc", &logs).await?.items {
    ///     println!("{} {} {:?}", file.name, file.size, file.permissions);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` where there is nothing at this path, `permission` where the user may not list it, `unsupported` for more than
    /// 100,000 entries, and the errors of [`check`](Self::check).
    pub async fn list_directory(&self, path: &str, query: &ListQuery) -> Result<Page<GuestFile>> {
        let pattern = query.filter.as_deref().map(pattern);
        let mut files: Vec<GuestFile> = Vec::new();
        let mut index = 0_i32;
        loop {
            let page = self
                .ask(LIST, || {
                    let (vm, pattern) = (self.vm.reference(), pattern.as_deref());
                    self.files.list_files_in_guest(vm, &self.auth, path, Some(index), Some(ASKED), pattern)
                })
                .await?;
            // Files that vanish meanwhile are counted all the same: a page without any is the last one.
            if page.files.is_empty() {
                break;
            }
            index = index.saturating_add(i32::try_from(page.files.len()).unwrap_or(i32::MAX));
            let entries = page.files.into_iter().filter(|file| file.path != "." && file.path != "..");
            files.extend(entries.map(GuestFile::from));
            if files.len() > MOST {
                let text = format!("{path:?} has more than {MOST} entries: name a narrower pattern");
                return Err(self.refused(LIST, ErrorKind::Unsupported(text)));
            }
            if page.remaining <= 0 {
                break;
            }
        }
        Ok(Window::of(files, |file| file.name.as_str().to_owned(), query)?.into())
    }

    /// What is at a path, without following a link at its end; nothing where there is nothing.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::guest::{Credentials, FileKind};
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let vm = client.get::<VirtualMachine>("web-01").await?;
    /// let guest = vm.guest(&Credentials::new("root", "Guest1!")).await?;
    /// assert_eq!(guest.file("/bin").await?.map(|file| file.kind), Some(FileKind::Symlink));
    /// assert!(guest.file("/nothing").await?.is_none());
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`list_directory`](Self::list_directory).
    pub async fn file(&self, path: &str) -> Result<Option<GuestFile>> {
        let asked = self.ask("look at a file in the guest of", || {
            self.files.list_files_in_guest(self.vm.reference(), &self.auth, path, None, Some(1), None)
        });
        match asked.await {
            // Of a directory the first entry is itself.
            Ok(page) => Ok(page.files.into_iter().next().map(GuestFile::from)),
            Err(error) if error.guest_trouble() == Some(GuestTrouble::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a directory, and those above it where `parents` is set. One that is there already is left alone.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::guest::Credentials;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let vm = client.get::<VirtualMachine>("web-01").await?;
    /// let guest = vm.guest(&Credentials::new("root", "Guest1!")).await?;
    /// assert!(guest.make_directory("/srv/app/data", true).await?.changed);
    /// assert!(!guest.make_directory("/srv/app/data", true).await?.changed);
    /// assert!(guest.delete("/srv/app", true).await?.changed);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_state` where there is something else at this path, `not_found` where the directory above is missing,
    /// `permission`, and the errors of [`check`](Self::check).
    pub async fn make_directory(&self, path: &str, parents: bool) -> Result<MadeDirectory> {
        let made = |changed| MadeDirectory { vm: self.vm.label().to_owned(), path: path.to_owned(), changed };
        let asked =
            self.ask(MAKE, || self.files.make_directory_in_guest(self.vm.reference(), &self.auth, path, parents));
        match asked.await {
            Ok(()) => Ok(made(true)),
            Err(error) if error.guest_trouble() == Some(GuestTrouble::Exists) => {
                let there = self.file(path).await.ok().flatten();
                if there.is_some_and(|there| there.kind == FileKind::Directory) { Ok(made(false)) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes a file, a link, or a directory; one with content only where `recursive` is set. What is not there is left so.
    ///
    /// # Errors
    /// `invalid_state` for a directory with content, `invalid_argument` for a root directory, `permission`, and the errors of
    /// [`check`](Self::check).
    pub async fn delete(&self, path: &str, recursive: bool) -> Result<DeletedGuestFile> {
        if is_root(path, self.family) {
            let text = format!("{path:?} is the root of a file system, which is not deleted");
            return Err(self.refused(DELETE, ErrorKind::InvalidArgument(text)));
        }
        let gone = |kind: Option<FileKind>| DeletedGuestFile {
            vm: self.vm.label().to_owned(),
            path: path.to_owned(),
            changed: kind.is_some(),
            kind,
        };
        let error = match self.delete_file(path).await {
            Ok(()) => return Ok(gone(Some(FileKind::File))),
            Err(error) => error,
        };
        match error.guest_trouble() {
            Some(GuestTrouble::Missing) => return Ok(gone(None)),
            Some(GuestTrouble::NotAFile) => {}
            _ => return Err(error),
        }
        let asked =
            self.ask(DELETE, || self.files.delete_directory_in_guest(self.vm.reference(), &self.auth, path, recursive));
        match asked.await {
            Ok(()) => Ok(gone(Some(FileKind::Directory))),
            Err(error) if error.guest_trouble() == Some(GuestTrouble::Missing) => Ok(gone(None)),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn delete_file(&self, path: &str) -> Result<()> {
        self.ask(DELETE, || self.files.delete_file_in_guest(self.vm.reference(), &self.auth, path)).await
    }
}

/// Whether a path names the root of a file system, by whatever steps.
fn is_root(path: &str, family: Family) -> bool {
    let plain = match family {
        Family::Posix => path.to_owned(),
        Family::Windows => path.replace('\\', "/"),
    };
    let plain = match (family, plain.split_once(':')) {
        (Family::Windows, Some((drive, rest))) if drive.len() == 1 => rest.to_owned(),
        _ => plain,
    };
    let mut depth = 0_usize;
    for step in plain.split('/') {
        match step {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    depth == 0
}

/// A glob as the regular expression that VMware Tools take. Theirs fits anywhere in a name, so that it is anchored.
fn pattern(glob: &str) -> String {
    let mut pattern = String::from("^");
    let mut letters = glob.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '*' => pattern.push_str(".*"),
            '?' => pattern.push('.'),
            '[' => match class(&mut letters) {
                Some(class) => pattern.push_str(&class),
                None => pattern.push_str("\\["),
            },
            letter => push_plain(&mut pattern, letter),
        }
    }
    pattern.push('$');
    pattern
}

fn push_plain(pattern: &mut String, letter: char) {
    if letter.is_ascii_punctuation() {
        pattern.push('\\');
    }
    pattern.push(letter);
}

/// The rest of `[…]`, where it has an end.
fn class(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut ahead = letters.clone();
    let mut class = String::from("[");
    if ahead.next_if(|letter| "!^".contains(*letter)).is_some() {
        class.push('^');
    }
    let mut first = true;
    loop {
        match ahead.next()? {
            ']' if !first => break,
            '-' => class.push('-'),
            letter => push_plain(&mut class, letter),
        }
        first = false;
    }
    class.push(']');
    *letters = ahead;
    Some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_becomes_an_anchored_expression() {
        for (glob, expected) in [
            ("*.log", "^.*\\.log$"),
            ("a?b", "^a.b$"),
            ("[!a-c]x", "^[^a-c]x$"),
            ("a+b(c)", "^a\\+b\\(c\\)$"),
            ("a[b", "^a\\[b$"),
            ("[]x]", "^[\\]x]$"),
            ("ü^$|", "^ü\\^\\$\\|$"),
        ] {
            assert_eq!(pattern(glob), expected, "{glob}");
        }
    }

    #[test]
    fn roots_are_known_by_whatever_path() {
        for root in ["/", "//", "/.", "/..", "/etc/..", ""] {
            assert!(is_root(root, Family::Posix), "{root}");
        }
        for root in ["C:", "C:\\", "c:/", "C:\\Windows\\..", "\\"] {
            assert!(is_root(root, Family::Windows), "{root}");
        }
        assert!(!is_root("/etc", Family::Posix) && !is_root("C:\\x", Family::Windows));
    }
}
