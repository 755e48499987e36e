//! States of the API as the words that reports have for them, and times as people write them.

use std::fmt::Display;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Serialize as _, Serializer};

/// Writes a state as [`word`] has it.
pub(crate) fn state<S: Serializer>(state: &impl Display, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&word(state))
}

/// The same of a state that may be unknown.
pub(crate) fn state_if_known<S: Serializer>(state: &Option<impl Display>, to: S) -> Result<S::Ok, S::Error> {
    state.as_ref().map(word).serialize(to)
}

/// A state of the API as reports have it: `powered_on` for `poweredOn`; `unknown` for one that the server does not tell.
///
/// ```
/// use vsphere_ops::types::VirtualMachinePowerState;
///
/// assert_eq!(vsphere_ops::word(&VirtualMachinePowerState::PoweredOn), "powered_on");
/// ```
pub fn word(state: &impl Display) -> String {
    let state = state.to_string();
    let mut word = String::with_capacity(state.len() + 2);
    for c in state.chars() {
        if c.is_ascii_uppercase() {
            word.push('_');
        }
        word.push(c.to_ascii_lowercase());
    }
    if word.is_empty() { "unknown".to_owned() } else { word }
}

/// The time that is written as RFC 3339 has it, or as a date, which is midnight in UTC.
///
/// ```
/// let noon = vsphere_ops::moment("2027-03-01T13:00:00+01:00");
/// assert_eq!(noon.map(|time| time.to_rfc3339()).as_deref(), Some("2027-03-01T12:00:00+00:00"));
/// assert!(vsphere_ops::moment("2027-03-01") < noon);
/// assert_eq!(vsphere_ops::moment("yesterday"), None);
/// ```
pub fn moment(text: &str) -> Option<DateTime<Utc>> {
    let date = || Some(text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0)?.and_utc());
    DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.to_utc()).or_else(date)
}
