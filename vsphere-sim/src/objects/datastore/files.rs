//! The files of a datastore: a tree of folders and files, each with its size, and the space that they take.
//!
//! There may be hundreds of thousands, so that an entry is small and what can be made for a question is not kept.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use vsphere_model::types::DateTime;

use super::disk::Disk;
use super::path;
use super::upload::Upload;

/// The files of a datastore. Paths are as [`path::clean`] gives them; the empty one is the datastore itself.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// By path: what is below a folder follows in one piece, from `folder/` to before `folder0`.
    entries: BTreeMap<Box<str>, File>,
    /// What all files take, in bytes.
    used: i64,
    /// How much thin files may still grow, in bytes.
    uncommitted: i64,
}

/// A file or a folder.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// The length that a reader sees, in bytes.
    pub(crate) size: i64,
    /// What it takes of the datastore, in bytes: less than its size where it is thin.
    pub(crate) used: i64,
    /// When it was last written, in seconds of Unix time.
    pub(crate) modified: i64,
    /// Who owns it; nobody but `root`, mostly.
    pub(crate) owner: Option<Box<str>>,
    pub(crate) content: Content,
}

/// What is in a file.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Folder,
    /// Nothing that anybody wrote: made for each reader, from what the file is; zeros in the end.
    Made,
    /// The descriptor of a virtual disk. Its content is in an extent beside it.
    Disk(Box<Disk>),
    /// What somebody sent.
    Sent(Box<Sent>),
}

/// What somebody sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) upload: Arc<Upload>,
    /// The virtual disk that it is, going by its first bytes.
    pub(crate) disk: Option<Disk>,
}

/// Why a file can't be written, moved or deleted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// There is no such file or folder.
    NotFound(String),
    /// Something has this path already.
    Exists(String),
    /// The datastore has not so many bytes left.
    Full(String),
}

impl File {
    pub(crate) fn folder() -> Self {
        Self { content: Content::Folder, ..Self::made(0) }
    }

    /// A file of so many bytes that nobody wrote.
    pub(crate) fn made(size: i64) -> Self {
        let modified = chrono::Utc::now().timestamp();
        Self { size, used: size, modified, owner: None, content: Content::Made }
    }

    /// A file that somebody sent.
    pub(crate) fn sent(size: i64, sent: Sent) -> Self {
        Self { content: Content::Sent(Box::new(sent)), ..Self::made(size) }
    }

    /// It takes so many bytes of the datastore, whatever its size is.
    pub(crate) fn taking(mut self, used: i64) -> Self {
        self.used = used;
        self
    }

    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.content, Content::Folder)
    }

    /// The virtual disk whose descriptor, or all of it, the file is.
    pub(crate) fn disk(&self) -> Option<&Disk> {
        match &self.content {
            Content::Disk(disk) => Some(disk),
            Content::Sent(sent) => sent.disk.as_ref(),
            Content::Folder | Content::Made => None,
        }
    }

    /// When it was last written.
    pub(crate) fn modification(&self) -> DateTime {
        chrono::DateTime::from_timestamp(self.modified, 0).unwrap_or_default().fixed_offset()
    }

    pub(crate) fn owner(&self) -> &str {
        self.owner.as_deref().unwrap_or("root")
    }

    /// What it may still come to take. A descriptor, which takes nothing, does not grow.
    fn growth(&self) -> i64 {
        if matches!(self.content, Content::Disk(_)) { 0 } else { (self.size - self.used).max(0) }
    }
}

impl Files {
    /// What all files take, in bytes.
    pub(crate) fn used(&self) -> i64 {
        self.used
    }

    /// How much thin files may still grow, in bytes.
    pub(crate) fn uncommitted(&self) -> i64 {
        self.uncommitted
    }

    /// The file or folder at a path; the datastore itself is none.
    pub(crate) fn find(&self, path: &str) -> Option<&File> {
        self.entries.get(path)
    }

    pub(crate) fn is_folder(&self, path: &str) -> bool {
        path.is_empty() || self.find(path).is_some_and(File::is_folder)
    }

    /// Puts a file into a folder that is there, in place of the file that has its path.
    ///
    /// # Errors
    /// [`Trouble::NotFound`] for its folder, [`Trouble::Exists`] where a folder has the path, [`Trouble::Full`].
    pub(crate) fn put(&mut self, path: &str, file: File, capacity: i64) -> Result<(), Trouble> {
        let (folder, _) = path::split(path);
        if path.is_empty() || self.find(path).is_some_and(File::is_folder) {
            return Err(Trouble::Exists(path.to_owned()));
        }
        if !self.is_folder(folder) {
            return Err(Trouble::NotFound(folder.to_owned()));
        }
        let before = self.find(path).map_or(0, |old| old.used);
        let used = self.used.checked_sub(before).and_then(|used| used.checked_add(file.used));
        // What takes no more than before is always let in: a full datastore must be possible to tidy.
        if file.used > before && used.is_none_or(|used| used > capacity) {
            return Err(Trouble::Full(path.to_owned()));
        }
        self.insert(path.into(), file);
        Ok(())
    }

    /// Makes a folder; with `parents` also those above it that are missing.
    ///
    /// # Errors
    /// [`Trouble::Exists`] where anything has the path, [`Trouble::NotFound`] where the folder above it is missing.
    pub(crate) fn make_folder(&mut self, path: &str, parents: bool) -> Result<(), Trouble> {
        if path.is_empty() || self.find(path).is_some() {
            return Err(Trouble::Exists(path.to_owned()));
        }
        let above: Vec<&str> = path.match_indices('/').map(|(at, _)| path.split_at(at).0).collect();
        for folder in above {
            match self.find(folder) {
                Some(found) if found.is_folder() => {}
                None if parents => self.insert(folder.into(), File::folder()),
                Some(_) | None => return Err(Trouble::NotFound(folder.to_owned())),
            }
        }
        self.insert(path.into(), File::folder());
        Ok(())
    }

    /// Changes a file. The space that all take follows.
    ///
    /// # Errors
    /// [`Trouble::NotFound`].
    pub(crate) fn change(&mut self, path: &str, change: impl FnOnce(&mut File)) -> Result<(), Trouble> {
        let mut file = self.find(path).cloned().ok_or_else(|| Trouble::NotFound(path.to_owned()))?;
        change(&mut file);
        self.insert(path.into(), file);
        Ok(())
    }

    /// Takes a file or a folder out, with everything below it: the paths of what is below start with `/`, its own is
    /// empty.
    ///
    /// # Errors
    /// [`Trouble::NotFound`].
    pub(crate) fn take(&mut self, path: &str) -> Result<Vec<(String, File)>, Trouble> {
        let tree = self.copy(path)?;
        for (below, _) in &tree {
            if let Some(file) = self.entries.remove(format!("{path}{below}").as_str()) {
                self.used -= file.used;
                self.uncommitted -= file.growth();
            }
        }
        Ok(tree)
    }

    /// A copy of a file or a folder with everything below it, as [`Files::take`] gives it.
    ///
    /// # Errors
    /// [`Trouble::NotFound`].
    pub(crate) fn copy(&self, path: &str) -> Result<Vec<(String, File)>, Trouble> {
        let itself = self.find(path).ok_or_else(|| Trouble::NotFound(path.to_owned()))?;
        let below = self.below(path).map(|(below, file)| (format!("/{below}"), file.clone()));
        Ok(std::iter::once((String::new(), itself.clone())).chain(below).collect())
    }

    /// Puts in what [`Files::take`] or [`Files::copy`] gave, all or nothing.
    ///
    /// # Errors
    /// [`Trouble::Exists`] where anything has the path, [`Trouble::NotFound`] for the folder above it, [`Trouble::Full`].
    pub(crate) fn graft(&mut self, path: &str, tree: Vec<(String, File)>, capacity: i64) -> Result<(), Trouble> {
        if path.is_empty() || self.find(path).is_some() {
            return Err(Trouble::Exists(path.to_owned()));
        }
        let (folder, _) = path::split(path);
        if !self.is_folder(folder) {
            return Err(Trouble::NotFound(folder.to_owned()));
        }
        let takes = tree.iter().fold(self.used, |used, (_, file)| used.saturating_add(file.used));
        if takes > capacity && takes > self.used {
            return Err(Trouble::Full(path.to_owned()));
        }
        for (below, file) in tree {
            self.insert(format!("{path}{below}").into(), file);
        }
        Ok(())
    }

    /// What is in a folder, by name.
    pub(crate) fn children<'a>(&'a self, folder: &str) -> Children<'a> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        Children { files: self, from: Bound::Included(prefix.clone()), prefix }
    }

    /// Everything below a folder, in the order of the paths, which start below the folder.
    pub(crate) fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a File)> + use<'a> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let from: (Bound<&str>, Bound<&str>) = (Bound::Included(&prefix), Bound::Unbounded);
        let range = self.entries.range::<str, _>(from);
        range.map_while(move |(path, file)| Some((path.strip_prefix(prefix.as_str())?, file)))
    }

    /// Writes the new name of a datastore into the disks that depend on one there: both names are as in paths, `[name] `.
    pub(super) fn rename_parents(&mut self, old: &str, new: &str) {
        let disks = self.entries.values_mut().filter_map(|file| match &mut file.content {
            Content::Disk(disk) => disk.parent.as_mut(),
            Content::Folder | Content::Made | Content::Sent(_) => None,
        });
        for parent in disks {
            if let Some(rest) = parent.strip_prefix(old) {
                *parent = format!("{new}{rest}").into();
            }
        }
    }

    fn insert(&mut self, path: Box<str>, file: File) {
        self.used += file.used;
        self.uncommitted += file.growth();
        if let Some(old) = self.entries.insert(path, file) {
            self.used -= old.used;
            self.uncommitted -= old.growth();
        }
    }
}

/// What is in a folder: see [`Files::children`].
pub(crate) struct Children<'a> {
    files: &'a Files,
    prefix: String,
    from: Bound<String>,
}

impl<'a> Iterator for Children<'a> {
    type Item = (&'a str, &'a File);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let from = self.from.as_ref().map(String::as_str);
            let (path, file) = self.files.entries.range::<str, _>((from, Bound::Unbounded)).next()?;
            let name = path.strip_prefix(self.prefix.as_str())?;
            match name.split_once('/') {
                None => {
                    self.from = Bound::Excluded(path.to_string());
                    return Some((name, file));
                }
                // Below a folder that came before: on to what comes after it, which no path below a folder does not.
                Some((folder, _)) => self.from = Bound::Included(format!("{}{folder}0", self.prefix)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: i64 = 1000;

    fn names(files: &Files, folder: &str) -> Vec<String> {
        files.children(folder).map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn a_folder_lists_what_is_in_it_and_not_what_is_below() {
        let mut files = Files::default();
        files.make_folder("a/b/c", true).unwrap();
        for path in ["a/x", "a/b/y", "a-1", "a.txt", "a0", "z"] {
            files.put(path, File::made(1), ROOM).unwrap();
        }
        assert_eq!(names(&files, ""), ["a", "a-1", "a.txt", "a0", "z"]);
        assert_eq!(names(&files, "a"), ["b", "x"]);
        assert_eq!(names(&files, "a/b"), ["c", "y"]);
        let below: Vec<&str> = files.below("a").map(|(path, _)| path).collect();
        assert_eq!(below, ["b", "b/c", "b/y", "x"]);
    }

    #[test]
    fn the_space_follows_what_is_written_moved_and_deleted() {
        let mut files = Files::default();
        files.make_folder("a", false).unwrap();
        files.put("a/thick", File::made(600), ROOM).unwrap();
        files.put("a/thin", File::made(5000).taking(100), ROOM).unwrap();
        assert_eq!((files.used(), files.uncommitted()), (700, 4900));
        assert_eq!(files.put("a/more", File::made(301), ROOM), Err(Trouble::Full("a/more".to_owned())));
        files.put("a/thick", File::made(500), ROOM).unwrap();
        files.change("a/thin", |file| file.used = 150).unwrap();
        assert_eq!((files.used(), files.uncommitted()), (650, 4850));
        let copy = files.copy("a").unwrap();
        assert_eq!(files.graft("b", copy, ROOM), Err(Trouble::Full("b".to_owned())));
        let tree = files.take("a").unwrap();
        assert_eq!((files.used(), files.uncommitted(), names(&files, "").len()), (0, 0, 0));
        files.graft("b", tree, ROOM).unwrap();
        assert_eq!((files.used(), names(&files, "b")), (650, vec!["thick".to_owned(), "thin".to_owned()]));
    }

    #[test]
    fn a_file_needs_its_folder_and_a_path_is_one_thing() {
        let mut files = Files::default();
        assert_eq!(files.put("a/x", File::made(1), ROOM), Err(Trouble::NotFound("a".to_owned())));
        assert_eq!(files.make_folder("a/b", false), Err(Trouble::NotFound("a".to_owned())));
        files.put("a", File::made(1), ROOM).unwrap();
        assert_eq!(files.make_folder("a", true), Err(Trouble::Exists("a".to_owned())));
        assert_eq!(files.make_folder("a/b", true), Err(Trouble::NotFound("a".to_owned())));
        assert_eq!(files.put("", File::made(1), ROOM), Err(Trouble::Exists(String::new())));
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<(Box<str>, File)>() <= 72, "{}", size_of::<(Box<str>, File)>());
    }
}
