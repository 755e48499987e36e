//! Paths of files in datastores: `[datastore1] web-1/web-1.vmdk`.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use crate::error::{Error, Result, invalid};

/// The path of a file or folder in a datastore: `[datastore1] web-1/web-1.vmdk`.
///
/// Names are kept as the server writes them, escapes such as `%2f` included.
///
/// ```
/// use vsphere_ops::DatastorePath;
///
/// let disk: DatastorePath = "[datastore1] web 1/web 1.vmdk".parse()?;
/// assert_eq!((disk.datastore(), disk.path(), disk.file_name()), ("datastore1", "web 1/web 1.vmdk", Some("web 1.vmdk")));
/// assert_eq!(disk.parent().map(|folder| folder.to_string()).as_deref(), Some("[datastore1] web 1"));
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatastorePath {
    datastore: String,
    /// Without slashes at its ends; empty for the datastore's root.
    path: String,
}

impl DatastorePath {
    /// The file or folder `path` in a datastore. Slashes at the ends of the path do not count.
    ///
    /// # Errors
    /// `invalid_argument` if the datastore has no name, or the path has a step `.` or `..` or a control character.
    pub fn new(datastore: impl Into<String>, path: &str) -> Result<Self> {
        let datastore = datastore.into();
        if datastore.is_empty() {
            return Err(refused(path, "the name of the datastore is empty"));
        }
        if datastore.chars().chain(path.chars()).any(char::is_control) {
            return Err(refused(path, "it has a control character"));
        }
        let mut steps = Vec::new();
        for step in path.split('/').filter(|step| !step.is_empty()) {
            // They would be resolved on the way to the server, and could lead out of the datastore.
            if matches!(step, "." | "..") {
                return Err(refused(path, "a path in a datastore has no . and .. in it"));
            }
            steps.push(step);
        }
        Ok(Self { datastore, path: steps.join("/") })
    }

    /// The name of the datastore.
    pub fn datastore(&self) -> &str {
        &self.datastore
    }

    /// The path in the datastore; empty for its root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The last step of the path; the root has none.
    pub fn file_name(&self) -> Option<&str> {
        self.path.rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// The folder that holds it; the root is in none.
    pub fn parent(&self) -> Option<Self> {
        self.file_name()?;
        let path = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        Some(Self { datastore: self.datastore.clone(), path: path.to_owned() })
    }

    /// The file or folder `path` in this folder.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn join(&self, path: &str) -> Result<Self> {
        Self::new(self.datastore.clone(), &format!("{}/{path}", self.path))
    }

    /// What a server lists in this folder: its names are taken as they are.
    pub(crate) fn child(&self, name: &str) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) };
        Self { datastore: self.datastore.clone(), path }
    }

    /// The path and query at which a server offers the file by HTTP, where `datacenter` is the inventory path of the
    /// datacenter that has the datastore (`ha-datacenter` on ESXi).
    ///
    /// ```
    /// use vsphere_ops::DatastorePath;
    ///
    /// let iso = DatastorePath::new("nvme 1", "iso/a&b.iso")?;
    /// assert_eq!(iso.folder_url("/Lab/DC0"), "/folder/iso/a%26b.iso?dcPath=Lab%2FDC0&dsName=nvme%201");
    /// # Ok::<(), vsphere_ops::Error>(())
    /// ```
    pub fn folder_url(&self, datacenter: &str) -> String {
        let path: Vec<String> = self.path.split('/').map(|step| percent_encode(step).to_string()).collect();
        let datacenter = percent_encode(datacenter.trim_matches('/'));
        format!("/folder/{}?dcPath={datacenter}&dsName={}", path.join("/"), percent_encode(&self.datastore))
    }
}

impl FromStr for DatastorePath {
    type Err = Error;

    /// # Errors
    /// `invalid_argument` if the text does not start with `[datastore]`, or as [`DatastorePath::new`].
    fn from_str(text: &str) -> Result<Self> {
        let form = "a path in a datastore reads [datastore] folder/file";
        let rest = text.trim().strip_prefix('[').ok_or_else(|| refused(text, form))?;
        // A bracket may be part of the name: the one that ends it stands before a space or at the end.
        let (name, path) = match rest.split_once("] ") {
            Some(parts) => parts,
            None => (rest.strip_suffix(']').ok_or_else(|| refused(text, form))?, ""),
        };
        // The server writes a name that has a slash in it with `%2f`: as it is shown to people it stands for the same.
        let shown = name.contains(['/', '\\']);
        Self::new(if shown { crate::name::escape(name) } else { name.to_owned() }, path.trim_start())
    }
}

impl fmt::Display for DatastorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.datastore)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, " {}", self.path) }
    }
}

impl fmt::Debug for DatastorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatastorePath({self})")
    }
}

fn refused(path: &str, why: &str) -> Error {
    invalid("read the path", why).on(path)
}

/// Everything but the characters that mean themselves in every part of a URL.
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn percent_encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, &RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_written() {
        for (text, datastore, path, shown) in [
            ("[datastore1] web/web.vmdk", "datastore1", "web/web.vmdk", "[datastore1] web/web.vmdk"),
            ("  [ds] a  ", "ds", "a", "[ds] a"),
            ("[ds]", "ds", "", "[ds]"),
            ("[ds] ", "ds", "", "[ds]"),
            ("[ds] /", "ds", "", "[ds]"),
            ("[ds] /a//b/", "ds", "a/b", "[ds] a/b"),
            ("[my ds] a b/c d.iso", "my ds", "a b/c d.iso", "[my ds] a b/c d.iso"),
            ("[ds]2] a", "ds]2", "a", "[ds]2] a"),
            ("[[ds]] [a] b]", "[ds]", "[a] b]", "[[ds]] [a] b]"),
            ("[a%2fb] c%2fd/e", "a%2fb", "c%2fd/e", "[a%2fb] c%2fd/e"),
            ("[a/b] c", "a%2fb", "c", "[a%2fb] c"),
            ("[ds] ..a/b..", "ds", "..a/b..", "[ds] ..a/b.."),
        ] {
            let read: DatastorePath = text.parse().unwrap();
            assert_eq!((read.datastore(), read.path()), (datastore, path), "{text}");
            assert_eq!(read.to_string(), shown, "{text}");
            assert_eq!(shown.parse::<DatastorePath>().unwrap(), read, "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "a/b", "[ds", "ds] a", "[] a", "[ds]a", "[ds] ../sdk", "[ds] a/./b", "[ds] a\r\nX: y"] {
            let error = text.parse::<DatastorePath>().unwrap_err();
            assert_eq!(error.code(), "invalid_argument", "{text}");
        }
    }

    #[test]
    fn steps_up_and_down() {
        let file: DatastorePath = "[ds] a/b/c.vmdk".parse().unwrap();
        let folder = file.parent().unwrap();
        assert_eq!(folder.to_string(), "[ds] a/b");
        assert_eq!(folder.join("c.vmdk").unwrap(), file);
        let root = folder.parent().unwrap().parent().unwrap();
        assert_eq!((root.to_string().as_str(), root.file_name(), root.parent()), ("[ds]", None, None));
        assert_eq!(root.join("a").unwrap().to_string(), "[ds] a");
        assert!(root.join("../x").is_err());
    }

    #[test]
    fn pitfall_12_names_keep_their_meaning_in_urls() {
        for (path, url) in [
            ("[ds] a/b.vmdk", "/folder/a/b.vmdk?dcPath=DC0&dsName=ds"),
            ("[ds]", "/folder/?dcPath=DC0&dsName=ds"),
            ("[a%2fb] c%2fd.iso", "/folder/c%252fd.iso?dcPath=DC0&dsName=a%252fb"),
            ("[d s] 100%/a+b?c#d.iso", "/folder/100%25/a%2Bb%3Fc%23d.iso?dcPath=DC0&dsName=d%20s"),
            ("[é] ü\\x", "/folder/%C3%BC%5Cx?dcPath=DC0&dsName=%C3%A9"),
        ] {
            assert_eq!(path.parse::<DatastorePath>().unwrap().folder_url("DC0"), url, "{path}");
        }
    }
}
