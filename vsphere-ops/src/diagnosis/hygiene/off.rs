//! VMs that are off, and since when.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt as _, stream};
use vsphere_model::types::{DateTime, ManagedObjectReference};
use vsphere_soap::object::format_date_time;

use super::super::{Subject, limits};
use super::{AT_ONCE, ChoreKind, Detail, Found};
use crate::client::Client;
use crate::error::Result;
use crate::events::Recursion;
use crate::gaps::Gaps;

/// What says since when a VM is off, or that it was made of late.
const EVENTS: [&str; 5] =
    ["VmPoweredOffEvent", "VmCreatedEvent", "VmClonedEvent", "VmDeployedEvent", "VmRegisteredEvent"];

/// How many such events of all VMs are looked through.
const MOST_EVENTS: usize = 2000;

/// How many VMs are asked one by one for their last such event.
const MOST_ASKED: usize = 200;

const WHAT: &str = "VMs that are off for long";

/// A VM that is off, with what it takes on datastores.
pub(super) struct Off {
    pub(super) reference: ManagedObjectReference,
    pub(super) subject: Subject,
    pub(super) bytes: Option<i64>,
}

/// The VMs that were switched off or made of late, as far as events tell.
pub(super) struct OfLate {
    known: HashSet<String>,
    /// Whether these are all.
    is_whole: bool,
}

impl OfLate {
    pub(super) async fn read(client: &Client, now: DateTime) -> Result<Self> {
        let events = client.events().types(EVENTS).since(now - limits::OFF).report(MOST_EVENTS).await?;
        let is_whole = !events.truncated && events.gaps.is_empty();
        Ok(Self { known: events.items.into_iter().filter_map(|event| event.entity_id).collect(), is_whole })
    }
}

/// Adds those of these VMs that are off for long. The largest are asked for the event since which they are.
pub(super) async fn add(
    client: &Client,
    mut off: Vec<Off>,
    of_late: &OfLate,
    now: DateTime,
    found: &mut Found,
    gaps: &mut Gaps,
) {
    off.retain(|vm| !of_late.known.contains(&vm.reference.value));
    off.sort_by(|one, other| (other.bytes, &one.subject).cmp(&(one.bytes, &other.subject)));
    let asked = off.iter().take(MOST_ASKED).map(|vm| {
        let (client, reference) = (client.clone(), vm.reference.clone());
        async move {
            let last = client.events().types(EVENTS).entity(&reference, Recursion::Self_).latest(1).await;
            (reference.value, last.map(|events| events.first().map(|event| event.created_time)))
        }
    });
    let mut last: HashMap<String, Option<DateTime>> = HashMap::new();
    let mut answers = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
    while let Some((id, answer)) = answers.next().await {
        match answer {
            Ok(time) => drop(last.insert(id, time)),
            Err(error) if !of_late.is_whole => gaps.lacks(WHAT, error.to_string()),
            // That it is off for long is known all the same.
            Err(error) => tracing::debug!(%error, "the last event of a VM that is off can't be read"),
        }
    }
    let mut unknown = 0;
    for vm in off {
        let since = match last.get(&vm.reference.value) {
            Some(since) => *since,
            None if of_late.is_whole => None,
            None => {
                unknown += 1;
                continue;
            }
        };
        if since.is_some_and(|since| now - since < limits::OFF) {
            continue;
        }
        let days = since.map_or(limits::OFF, |since| now - since).num_days();
        let since = since.map(|since| format_date_time(&since));
        found.add(
            ChoreKind::PoweredOff,
            &vm.subject,
            vm.bytes,
            Detail { days: Some(days), since, ..Detail::default() },
        );
    }
    if unknown > 0 {
        let why = format!("there are too many events to tell of {unknown} VMs since when they are off");
        gaps.lacks(WHAT, why);
    }
}

/// The events can't be read.
pub(super) fn unknown(gaps: &mut Gaps, why: impl std::fmt::Display) {
    gaps.lacks(WHAT, why.to_string());
}
