//! What settings can hold, and how each kind is read from text.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use vsphere_ops::transfer::WebHosts;

use super::SettingsError;
use crate::{
    Permission, Toolset,
    answer::Structured,
    arguments::nearest,
    confirm::{Mode, MostObjects},
};

/// What a setting can hold.
pub(crate) trait Kind: Sized {
    /// What its accessor answers.
    type Seen<'a>
    where
        Self: 'a;

    /// Whether it is never shown.
    const SECRET: bool = false;

    /// Whether its option may stand without a value.
    const SWITCH: bool = false;

    /// Whether a file may list its parts.
    const LIST: bool = false;

    /// Reads it from text that is not empty. What is wrong is said as the rest of a sentence that begins with the
    /// setting's name.
    fn read(text: &str) -> Result<Self, String>;

    fn seen(&self) -> Self::Seen<'_>;
}

/// The value of the setting `name`.
pub(super) fn value<K: Kind>(name: &'static str, text: &str) -> Result<K, SettingsError> {
    K::read(text).map_err(|problem| SettingsError::new(name, problem))
}

/// A text that is never shown.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The digits of a certificate's fingerprint, as they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint(String);

impl Fingerprint {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// A file that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PresentFile(PathBuf);

/// A directory that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PresentDirectory(pub(super) PathBuf);

/// Where the audit goes besides the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuditPlace {
    Stderr,
    Syslog,
    File(PathBuf),
}

impl Kind for AuditPlace {
    type Seen<'a> = &'a Self;

    fn seen(&self) -> &Self {
        self
    }

    fn read(text: &str) -> Result<Self, String> {
        Ok(match text.trim() {
            "stderr" => Self::Stderr,
            "syslog" => Self::Syslog,
            path => Self::File(path.into()),
        })
    }
}

/// A size in MiB, of at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Megabytes(u32);

impl Megabytes {
    pub(crate) fn bytes(self) -> u64 {
        u64::from(self.0) << 20
    }
}

/// Names in a list with commas.
type Names = BTreeSet<String>;

/// A kind that its accessor answers by reference.
macro_rules! seen_as {
    (&$seen:ty) => {
        type Seen<'a> = &'a $seen;

        fn seen(&self) -> &$seen {
            self.as_ref()
        }
    };
}

/// A kind that its accessor answers by value.
macro_rules! seen_by_value {
    () => {
        type Seen<'a> = Self;

        fn seen(&self) -> Self {
            *self
        }
    };
}

pub(super) use {seen_as, seen_by_value};

impl Kind for String {
    seen_as!(&str);

    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl AsRef<str> for Secret {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Kind for Secret {
    const SECRET: bool = true;

    seen_as!(&str);

    fn read(text: &str) -> Result<Self, String> {
        Ok(Self::new(text))
    }
}

impl AsRef<str> for Fingerprint {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Kind for Fingerprint {
    seen_as!(&str);

    fn read(text: &str) -> Result<Self, String> {
        let digits: Vec<char> = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
        if !digits.iter().all(char::is_ascii_hexdigit) || !matches!(digits.len(), 40 | 64) {
            return Err("must be a SHA-256 (64 hex digits) or SHA-1 (40) fingerprint".to_owned());
        }
        Ok(Self::new(text))
    }
}

impl Kind for PathBuf {
    seen_as!(&Path);

    fn read(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }
}

impl AsRef<Path> for PresentFile {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Kind for PresentFile {
    seen_as!(&Path);

    fn read(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        if !path.is_file() {
            return Err(format!("names no file: {}", path.display()));
        }
        Ok(Self(path))
    }
}

impl AsRef<Path> for PresentDirectory {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Kind for PresentDirectory {
    seen_as!(&Path);

    fn read(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        if !path.is_dir() {
            return Err(format!("names no directory: {}", path.display()));
        }
        Ok(Self(path))
    }
}

impl Kind for bool {
    const SWITCH: bool = true;

    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        match text.trim().to_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(format!("must be true or false, not {text:?}")),
        }
    }
}

impl Kind for Duration {
    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        let seconds = text.trim().parse().ok().filter(|seconds| *seconds > 0);
        seconds.map(Self::from_secs).ok_or_else(|| format!("must be a number of seconds, not {text:?}"))
    }
}

impl Kind for MostObjects {
    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        let number = text.trim().parse().ok().filter(|number| *number > 0);
        number.map(Self).ok_or_else(|| format!("must be a number of objects, 1 or more, not {text:?}"))
    }
}

impl Kind for Megabytes {
    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        let size = text.trim().parse().ok().filter(|size| *size > 0);
        size.map(Self).ok_or_else(|| format!("must be a number of MiB, not {text:?}"))
    }
}

impl Kind for Names {
    const LIST: bool = true;

    type Seen<'a> = &'a Self;

    fn seen(&self) -> &Self {
        self
    }

    fn read(text: &str) -> Result<Self, String> {
        Ok(names(text).map(str::to_owned).collect())
    }
}

impl Kind for WebHosts {
    const LIST: bool = true;

    type Seen<'a> = &'a Self;

    fn seen(&self) -> &Self {
        self
    }

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: vsphere_ops::Error| format!("cannot be used: {error}"))
    }
}

impl Kind for BTreeSet<Toolset> {
    const LIST: bool = true;

    type Seen<'a> = &'a Self;

    fn seen(&self) -> &Self {
        self
    }

    fn read(text: &str) -> Result<Self, String> {
        let known = Toolset::ALL.map(Toolset::name);
        let mut chosen = Self::new();
        for name in names(text) {
            match Toolset::ALL.iter().find(|toolset| toolset.name() == name) {
                Some(toolset) => drop(chosen.insert(*toolset)),
                None if name == "all" => {
                    chosen.extend(Toolset::ALL.into_iter().filter(|toolset| !toolset.is_extra()));
                }
                None => {
                    return Err(match nearest(name, known) {
                        Some(near) => unknown("toolset", name, Some(near)),
                        None => format!("{}: there are {}", unknown("toolset", name, None), known.join(", ")),
                    });
                }
            }
        }
        Ok(chosen)
    }
}

impl Kind for Permission {
    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        let level = Self::ALL.into_iter().find(|level| level.name() == text.trim().to_lowercase());
        level.ok_or_else(|| format!("must be one of {}, not {text:?}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// The value that a word stands for, whatever its case.
///
/// # Errors
/// It is none of these words.
pub(super) fn chosen<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let word = text.trim().to_lowercase();
    let found = choices.iter().find(|(name, _)| *name == word);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let (last, others) = names.split_last().unwrap_or((&"", &[]));
        format!("must be {} or {last}, not {text:?}", others.join(", "))
    })
}

impl Kind for Structured {
    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        chosen(text, &[("auto", Self::Auto), ("always", Self::Always), ("never", Self::Never)])
    }
}

impl Kind for Mode {
    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        chosen(text, &[("always", Self::Always), ("ask", Self::Ask), ("never", Self::Never)])
    }
}

impl Kind for tracing::Level {
    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        match text.trim().to_lowercase().as_str() {
            "critical" | "error" => Ok(Self::ERROR),
            "warning" | "warn" => Ok(Self::WARN),
            "info" => Ok(Self::INFO),
            "debug" => Ok(Self::DEBUG),
            "trace" => Ok(Self::TRACE),
            _ => Err(format!("must be error, warning, info, debug or trace, not {text:?}")),
        }
    }
}

/// Says that a setting names something that does not exist.
pub(super) fn unknown(what: &str, name: &str, nearest: Option<&str>) -> String {
    let near = nearest.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
    format!("names the unknown {what} `{name}`{near}")
}

pub(super) fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}
