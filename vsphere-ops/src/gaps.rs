//! The gaps in a report or a page, and their reasons.

use serde::Serialize;
use vsphere_model::types::ObjectContent;

use crate::error::Result;
use crate::read::Missing;

/// The gaps in a report or a page, and their reasons: an absent value that is not listed here does not exist.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// # use vsphere_ops::managed::VirtualMachine;
/// let web = client.get::<VirtualMachine>("web-01").await?.info().await?;
/// for hidden in &web.gaps.unreadable {
///     println!("{} is not for this user: {} ({:?})", hidden.property, hidden.reason, hidden.privilege);
/// }
/// for part in &web.gaps.missing {
///     println!("without {}: {}", part.what, part.why);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gaps {
    /// Properties that the user may not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<Unreadable>,
    /// Parts that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingPart>,
}

/// A property that could not be read from some objects.
///
/// ```
/// use vsphere_ops::Unreadable;
///
/// fn advice(hidden: &Unreadable) -> Option<String> {
///     Some(format!("grant {} to see {}", hidden.privilege.as_ref()?, hidden.property))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unreadable {
    /// The path of the property (`guest.ipAddress`).
    pub property: String,
    /// The missing privilege (`System.Read`), if the server names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privilege: Option<String>,
    /// The name of the fault (`NoPermission`).
    pub reason: String,
    /// The number of objects.
    pub objects: usize,
}

/// A part of a report that could not be read.
///
/// ```
/// use vsphere_ops::MissingPart;
///
/// fn line(part: &MissingPart) -> String {
///     format!("without {}: {}", part.what, part.why)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MissingPart {
    /// What is missing.
    pub what: String,
    /// The reason, as one clause.
    pub why: String,
}

impl Gaps {
    /// What could not be read of these objects.
    pub(crate) fn of(contents: &[ObjectContent]) -> Self {
        let mut gaps = Self::default();
        for missing in contents.iter().flat_map(|content| &content.missing_set) {
            gaps.note(Missing::refused(&missing.path, &missing.fault));
        }
        gaps
    }

    /// Counts a property that could not be read of one object more.
    pub(crate) fn note(&mut self, missing: Missing) {
        let Missing { path, reason, privilege } = missing;
        self.count(Unreadable { property: path, privilege, reason, objects: 1 });
    }

    /// Adds the gaps of another part of the report.
    pub(crate) fn append(&mut self, other: Self) {
        other.unreadable.into_iter().for_each(|hidden| self.count(hidden));
        self.missing.extend(other.missing);
    }

    fn count(&mut self, hidden: Unreadable) {
        let same = |known: &&mut Unreadable| {
            (&known.property, &known.privilege, &known.reason) == (&hidden.property, &hidden.privilege, &hidden.reason)
        };
        match self.unreadable.iter_mut().find(same) {
            Some(known) => known.objects += hidden.objects,
            None => self.unreadable.push(hidden),
        }
    }

    /// Adds the gaps in properties that have none here, so that none is counted twice.
    pub(crate) fn append_others(&mut self, others: Self) {
        let is_known = |other: &Unreadable| self.unreadable.iter().any(|known| known.property == other.property);
        let new: Vec<Unreadable> = others.unreadable.into_iter().filter(|other| !is_known(other)).collect();
        self.unreadable.extend(new);
        self.missing.extend(others.missing);
    }

    /// The value of a part; where it failed, it is missing.
    pub(crate) fn part<T: Default>(&mut self, what: &str, part: Result<T>) -> T {
        part.unwrap_or_else(|error| {
            self.lacks(what, error.to_string());
            T::default()
        })
    }

    /// A part is missing.
    pub(crate) fn lacks(&mut self, what: &str, why: impl Into<String>) {
        self.missing.push(MissingPart { what: what.to_owned(), why: why.into() });
    }

    /// Whether everything is known.
    pub fn is_empty(&self) -> bool {
        self.unreadable.is_empty() && self.missing.is_empty()
    }
}

impl FromIterator<Missing> for Gaps {
    fn from_iter<I: IntoIterator<Item = Missing>>(missing: I) -> Self {
        let mut gaps = Self::default();
        missing.into_iter().for_each(|missing| gaps.note(missing));
        gaps
    }
}
