//! A file tree: directories, files and symbolic links, with owners and permissions, on several file systems.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use vsphere_model::types::DateTime;
use vsphere_soap::codec::is_writable;

/// A user of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) home: String,
    /// May do everything.
    pub(crate) privileged: bool,
}

/// The content of a file. It lives as long as somebody has it open, also after the file was deleted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content(Arc<Mutex<Vec<u8>>>);

impl Content {
    pub(crate) fn of(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Mutex::new(bytes.into())))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.lock().clone()
    }

    pub(crate) fn size(&self) -> u64 {
        self.lock().len().try_into().unwrap_or(u64::MAX)
    }

    pub(crate) fn append(&self, bytes: &[u8]) {
        self.lock().extend_from_slice(bytes);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_open(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// What stands at a path.
#[derive(Debug)]
pub(crate) enum Kind {
    Directory,
    File(Content),
    Link(String),
    /// A file of the kernel, whose content is made when a program reads it; its size is 0.
    Kernel(String),
}

impl Clone for Kind {
    /// A copy of a tree has its own contents.
    fn clone(&self) -> Self {
        match self {
            Self::Directory => Self::Directory,
            Self::File(content) => Self::File(Content::of(content.bytes())),
            Self::Link(target) => Self::Link(target.clone()),
            Self::Kernel(text) => Self::Kernel(text.clone()),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// As it was written.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) owner: i32,
    pub(crate) group: i32,
    /// The permissions: `0o644`.
    pub(crate) mode: u32,
    pub(crate) modified: DateTime,
    pub(crate) accessed: DateTime,
    pub(crate) hidden: bool,
}

impl Node {
    fn new(path: &str, kind: Kind, owner: i32, mode: u32, now: DateTime) -> Self {
        let name = last_part(path).to_owned();
        Self { name, kind, owner, group: owner, mode, modified: now, accessed: now, hidden: false }
    }

    pub(crate) fn size(&self) -> u64 {
        match &self.kind {
            Kind::File(content) => content.size(),
            Kind::Directory => 4096,
            Kind::Link(target) => target.len() as u64,
            Kind::Kernel(_) => 0,
        }
    }

    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }
}

/// Why a file operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errno {
    Missing,
    Exists,
    NotADirectory,
    IsADirectory,
    NotEmpty,
    Denied,
    ReadOnly,
    Full,
    /// Open by a program, as Windows does not allow a file to be deleted then.
    InUse,
    Invalid,
}

impl Errno {
    /// As a program says it.
    pub(crate) fn text(self, windows: bool) -> &'static str {
        match (self, windows) {
            (Self::Missing, false) => "No such file or directory",
            (Self::Missing, true) => "The system cannot find the file specified.",
            (Self::Exists, false) => "File exists",
            (Self::Exists, true) => "A subdirectory or file already exists.",
            (Self::NotADirectory, false) => "Not a directory",
            (Self::IsADirectory, false) => "Is a directory",
            (Self::NotADirectory | Self::IsADirectory, true) => "The directory name is invalid.",
            (Self::NotEmpty, false) => "Directory not empty",
            (Self::NotEmpty, true) => "The directory is not empty.",
            (Self::Denied, false) => "Permission denied",
            (Self::Denied, true) => "Access is denied.",
            (Self::ReadOnly, false) => "Read-only file system",
            (Self::ReadOnly, true) => "The media is write protected.",
            (Self::Full, false) => "No space left on device",
            (Self::Full, true) => "There is not enough space on the disk.",
            (Self::InUse, false) => "Text file busy",
            (Self::InUse, true) => "The process cannot access the file because it is being used by another process.",
            (Self::Invalid, false) => "Invalid argument",
            (Self::Invalid, true) => "The filename, directory name, or volume label syntax is incorrect.",
        }
    }
}

pub(crate) type Done<T> = Result<T, Errno>;

/// A file system.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    /// The key of its root.
    pub(crate) at: String,
    pub(crate) device: &'static str,
    pub(crate) read_only: bool,
    /// How many bytes its files may have together.
    pub(crate) capacity: u64,
}

/// A file tree. Its keys are absolute paths with `/`, on Windows in lower case: `c:/windows`.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    windows: bool,
    nodes: BTreeMap<String, Node>,
    pub(crate) mounts: Vec<Mount>,
}

/// How many links are followed at most.
const LINKS: usize = 16;

/// The most files that there may be.
const MOST: usize = 20_000;

impl Tree {
    pub(crate) fn new(windows: bool, mounts: Vec<Mount>) -> Self {
        Self { windows, nodes: BTreeMap::new(), mounts }
    }

    /// Puts something there, whatever stands in the way: while a system is made.
    pub(crate) fn put(&mut self, path: &str, kind: Kind, owner: i32, mode: u32, now: DateTime) {
        let Some(key) = self.key(path, "/") else { return };
        self.nodes.insert(key, Node::new(path, kind, owner, mode, now));
    }

    /// The key of a path, below `directory` where it is relative. `None` for one that is no path, or that VMware Tools could
    /// not tell of.
    pub(crate) fn key(&self, path: &str, directory: &str) -> Option<String> {
        if path.is_empty() || !path.chars().all(is_writable) {
            return None;
        }
        let path = if self.windows { path.replace('\\', "/").to_lowercase() } else { path.to_owned() };
        let directory = if self.windows { directory.replace('\\', "/").to_lowercase() } else { directory.to_owned() };
        let has_drive = path.as_bytes().get(1) == Some(&b':');
        let (mut parts, rest): (Vec<&str>, &str) = match self.windows {
            true if has_drive => (vec![path.get(..2)?], path.get(2..)?),
            true if path.starts_with('/') => (vec![directory.get(..2)?], &path),
            false if path.starts_with('/') => (Vec::new(), &path),
            _ => (directory.split('/').filter(|part| !part.is_empty()).collect(), &path),
        };
        for part in rest.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.len() > usize::from(self.windows) {
                        parts.pop();
                    }
                }
                part => parts.push(part),
            }
        }
        Some(if self.windows { parts.join("/") } else { format!("/{}", parts.join("/")) })
    }

    /// The path of a key as users write it.
    pub(crate) fn shown(&self, key: &str) -> String {
        if !self.windows {
            return key.to_owned();
        }
        let mut at = String::new();
        let mut shown = String::new();
        for part in key.split('/') {
            at = if at.is_empty() { part.to_owned() } else { format!("{at}/{part}") };
            let name = self.nodes.get(&at).map_or(part, |node| &node.name);
            if !shown.is_empty() {
                shown.push('\\');
            }
            shown.push_str(name);
        }
        if shown.len() == 2 { format!("{}\\", shown.to_uppercase()) } else { shown }
    }

    fn parent(&self, key: &str) -> Option<String> {
        match key.rsplit_once('/')? {
            ("", "") => None,
            ("", _) if !self.windows => Some("/".to_owned()),
            (parent, _) => Some(parent.to_owned()),
        }
    }

    /// Where a path leads: the links in its directories are followed, and that at its end where `last` says so.
    pub(crate) fn resolve(&self, key: &str, last: bool) -> Done<String> {
        let mut key = key.to_owned();
        for _ in 0..LINKS {
            let Some(next) = self.next_link(&key, last)? else { return Ok(key) };
            key = next;
        }
        Err(Errno::Invalid)
    }

    /// The path with its first link replaced; `None` where it has none.
    fn next_link(&self, key: &str, last: bool) -> Done<Option<String>> {
        let mut ends: Vec<usize> = key.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).collect();
        if last {
            ends.push(key.len());
        }
        for end in ends {
            let (at, rest) = key.split_at_checked(end).ok_or(Errno::Invalid)?;
            if let Some(Node { kind: Kind::Link(target), .. }) = self.nodes.get(at) {
                let parent = self.parent(at).unwrap_or_default();
                return Ok(self.key(&format!("{}{rest}", self.key(target, &parent).ok_or(Errno::Invalid)?), "/"));
            }
        }
        Ok(None)
    }

    /// What is at a path.
    ///
    /// # Errors
    /// `Missing`, or `NotADirectory` where the path leads through a file.
    pub(crate) fn get(&self, key: &str, follow: bool) -> Done<(String, &Node)> {
        let key = self.resolve(key, follow)?;
        let node = self.nodes.get(&key).ok_or_else(|| self.missing(&key))?;
        Ok((key, node))
    }

    fn missing(&self, key: &str) -> Errno {
        let parent = self.parent(key).and_then(|parent| self.nodes.get(&parent));
        if parent.is_some_and(|parent| !parent.is_directory()) { Errno::NotADirectory } else { Errno::Missing }
    }

    /// What is in a directory, by name.
    pub(crate) fn children(&self, key: &str) -> Vec<(&str, &Node)> {
        let prefix = if key.ends_with('/') { key.to_owned() } else { format!("{key}/") };
        let below = self.nodes.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        below
            .filter(|(path, _)| path.get(prefix.len()..).is_some_and(|rest| !rest.is_empty() && !rest.contains('/')))
            .map(|(path, node)| (path.as_str(), node))
            .collect()
    }

    fn allows(&self, node: &Node, user: &User, bit: u32) -> bool {
        if user.privileged {
            return true;
        }
        let shift = if node.owner == user.id { 6 } else { 0 };
        (node.mode >> shift) & bit != 0
    }

    /// The content of a file.
    pub(crate) fn read(&self, key: &str, user: &User) -> Done<Vec<u8>> {
        let (_, node) = self.get(key, true)?;
        if !self.allows(node, user, 4) {
            return Err(Errno::Denied);
        }
        match &node.kind {
            Kind::File(content) => Ok(content.bytes()),
            Kind::Kernel(text) => Ok(text.clone().into_bytes()),
            Kind::Directory => Err(Errno::IsADirectory),
            Kind::Link(_) => Err(Errno::Missing),
        }
    }

    /// Whether a user may list a directory.
    pub(crate) fn may_list(&self, key: &str, user: &User) -> Done<()> {
        let (_, node) = self.get(key, true)?;
        if node.is_directory() && !self.allows(node, user, 4) { Err(Errno::Denied) } else { Ok(()) }
    }

    /// The file system that a path is on.
    pub(crate) fn mount_of(&self, key: &str) -> Option<&Mount> {
        let on = |mount: &&Mount| {
            let root = mount.at.trim_end_matches('/');
            key == root || key.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
        };
        self.mounts.iter().filter(on).max_by_key(|mount| mount.at.len())
    }

    /// How many bytes the files on a file system have.
    pub(crate) fn used(&self, mount: &Mount) -> u64 {
        let files = self.nodes.iter().filter(|(key, _)| self.mount_of(key).is_some_and(|other| other.at == mount.at));
        files.map(|(_, node)| if let Kind::File(content) = &node.kind { content.size() } else { 0 }).sum()
    }

    /// Whether a user may make or delete something at this path, for which so many bytes are needed.
    fn may_change(&self, key: &str, user: &User, bytes: u64) -> Done<()> {
        let parent = self.parent(key).ok_or(Errno::Denied)?;
        let (parent, node) = self.get(&parent, true)?;
        if !node.is_directory() {
            return Err(Errno::NotADirectory);
        }
        self.room(&parent, bytes)?;
        if self.allows(node, user, 2) { Ok(()) } else { Err(Errno::Denied) }
    }

    /// Whether the file system takes this many bytes more.
    pub(crate) fn room(&self, key: &str, bytes: u64) -> Done<()> {
        let mount = self.mount_of(key).ok_or(Errno::Missing)?;
        if mount.read_only {
            return Err(Errno::ReadOnly);
        }
        let full = self.used(mount).saturating_add(bytes) > mount.capacity || self.nodes.len() >= MOST;
        if full && bytes > 0 { Err(Errno::Full) } else { Ok(()) }
    }

    /// Opens a file to write it: it is made where it is missing, and emptied unless `append` is set.
    pub(crate) fn open(&mut self, path: &str, key: &str, user: &User, append: bool, now: DateTime) -> Done<Content> {
        let key = self.resolve(key, true)?;
        self.room(&key, 0)?;
        let Some(node) = self.nodes.get(&key) else {
            self.may_change(&key, user, 1)?;
            let content = Content::default();
            let node = Node::new(path, Kind::File(content.clone()), user.id, 0o644, now);
            self.nodes.insert(key, node);
            return Ok(content);
        };
        if !self.allows(node, user, 2) {
            return Err(Errno::Denied);
        }
        match &node.kind {
            Kind::Directory => Err(Errno::IsADirectory),
            Kind::Kernel(_) | Kind::Link(_) => Err(Errno::Denied),
            Kind::File(content) => {
                let content = content.clone();
                if !append {
                    content.lock().clear();
                }
                if let Some(node) = self.nodes.get_mut(&key) {
                    node.modified = now;
                }
                Ok(content)
            }
        }
    }

    /// Writes a whole file, with these permissions where it is new or they are given.
    pub(crate) fn write(&mut self, path: &str, bytes: Vec<u8>, user: &User, now: DateTime) -> Done<()> {
        let key = self.key(path, "/").ok_or(Errno::Invalid)?;
        let to = self.resolve(&key, true)?;
        if self.nodes.get(&to).is_some_and(Node::is_directory) {
            return Err(Errno::IsADirectory);
        }
        self.room(&to, bytes.len() as u64)?;
        let content = self.open(path, &key, user, false, now)?;
        content.append(&bytes);
        Ok(())
    }

    /// Makes a directory, and those above it where that is wanted.
    pub(crate) fn make_directory(&mut self, path: &str, parents: bool, user: &User, now: DateTime) -> Done<()> {
        let key = self.key(path, "/").ok_or(Errno::Invalid)?;
        if self.get(&key, true).is_ok() {
            return Err(Errno::Exists);
        }
        let shown = if self.windows { path.replace('\\', "/") } else { path.to_owned() };
        if parents
            && let Some((above, _)) = shown.trim_end_matches('/').rsplit_once('/')
            && !above.is_empty()
            && self.key(above, "/").is_some_and(|above| self.get(&above, true).is_err())
        {
            self.make_directory(above, true, user, now)?;
        }
        let key = self.resolve(&key, false)?;
        self.may_change(&key, user, 1)?;
        let node = Node::new(path, Kind::Directory, user.id, 0o700, now);
        self.nodes.insert(key, node);
        Ok(())
    }

    /// Deletes what is there; a directory that is not empty only where `recursive` is set.
    pub(crate) fn remove(&mut self, key: &str, recursive: bool, user: &User) -> Done<()> {
        let (key, node) = self.get(key, false)?;
        let is_directory = node.is_directory();
        if self.mounts.iter().any(|mount| mount.at.trim_end_matches('/') == key) || key == "/" {
            return Err(Errno::Denied);
        }
        self.may_change(&key, user, 0)?;
        if is_directory && !recursive && !self.children(&key).is_empty() {
            return Err(Errno::NotEmpty);
        }
        let below = format!("{key}/");
        let gone: Vec<String> =
            self.nodes.keys().filter(|path| **path == key || path.starts_with(&below)).cloned().collect();
        let open =
            |path: &String| matches!(self.nodes.get(path), Some(Node { kind: Kind::File(it), .. }) if it.is_open());
        if self.windows && gone.iter().any(open) {
            return Err(Errno::InUse);
        }
        gone.iter().for_each(|path| drop(self.nodes.remove(path)));
        Ok(())
    }

    /// Gives something another path.
    pub(crate) fn rename(&mut self, from: &str, to: &str, overwrite: bool, user: &User, now: DateTime) -> Done<()> {
        let from = self.key(from, "/").ok_or(Errno::Invalid)?;
        let target = self.key(to, "/").ok_or(Errno::Invalid)?;
        let (from, _) = self.get(&from, false)?;
        let target = self.resolve(&target, false)?;
        if from == target {
            return Ok(());
        }
        self.may_change(&from, user, 0)?;
        self.may_change(&target, user, 0)?;
        if let Some(there) = self.nodes.get(&target) {
            if !overwrite {
                return Err(Errno::Exists);
            }
            if there.is_directory() {
                return Err(Errno::IsADirectory);
            }
        }
        let below = format!("{from}/");
        if target.starts_with(&below) {
            return Err(Errno::Invalid);
        }
        let moved: Vec<String> =
            self.nodes.keys().filter(|path| **path == from || path.starts_with(&below)).cloned().collect();
        for path in moved {
            let Some(mut node) = self.nodes.remove(&path) else { continue };
            if path == from {
                node.name = last_part(to).to_owned();
                node.modified = now;
            }
            let rest = path.get(from.len()..).unwrap_or_default();
            self.nodes.insert(format!("{target}{rest}"), node);
        }
        Ok(())
    }

    /// Changes what is known of a file, as its owner may.
    pub(crate) fn change(&mut self, key: &str, user: &User, change: impl FnOnce(&mut Node) -> Done<()>) -> Done<()> {
        let (key, node) = self.get(key, true)?;
        let own = user.privileged || node.owner == user.id;
        self.room(&key, 0)?;
        if !own {
            return Err(Errno::Denied);
        }
        self.nodes.get_mut(&key).map_or(Err(Errno::Missing), change)
    }
}

/// The name at the end of a path.
pub(crate) fn last_part(path: &str) -> &str {
    path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default()
}
