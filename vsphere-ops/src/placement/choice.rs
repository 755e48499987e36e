//! What was taken for a part of a place, and why.

use serde::Serialize;
use vsphere_soap::request::ManagedObject;

use crate::mo::Mo;

/// What was taken for a part of a place, and why.
///
/// ```
/// use vsphere_ops::placement::{Choice, Part, Reason};
///
/// fn was_guessed(choices: &[Choice]) -> bool {
///     choices.iter().any(|choice| choice.what == Part::Datastore && choice.why == Reason::MostSpace)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Choice {
    /// The part of the place.
    pub what: Part,
    /// The name of what was taken.
    pub name: String,
    /// Why it was taken.
    pub why: Reason,
}

/// A part of a place.
///
/// ```
/// use vsphere_ops::placement::Part;
///
/// assert_ne!(Part::Pool, Part::Host);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// The folder.
    Folder,
    /// The resource pool.
    Pool,
    /// The host.
    Host,
    /// The datastore.
    Datastore,
    /// The network.
    Network,
}

/// Why something was taken.
///
/// ```
/// use vsphere_ops::placement::Reason;
///
/// assert_eq!(serde_json::to_value(Reason::MostSpace).unwrap(), "most_space");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// It was asked for.
    Asked,
    /// It follows from the host, pool or cluster that was asked for.
    FollowsFromAsked,
    /// It is the default of the settings, or follows from it.
    Setting,
    /// It is that of the source.
    SameAsSource,
    /// It has most free space of those that every host there sees.
    MostSpace,
    /// It has most free space of the datastore cluster that was asked for.
    MemberOfCluster,
    /// It is the only one.
    OnlyOne,
    /// It is the one that there always is, such as a datacenter's own folder for VMs.
    Usual,
    /// It has the name of the one before.
    SameName,
}

impl Choice {
    pub(crate) fn of<M: ManagedObject>(what: Part, object: &Mo<M>, why: Reason) -> Self {
        Self { what, name: object.label().to_owned(), why }
    }
}
