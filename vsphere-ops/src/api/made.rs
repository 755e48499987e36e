//! What calls by name leave on the server: views, collectors, filters and leases. Whoever makes one by a program holds a handle whose
//! drop destroys it; here nobody holds anything, so that the last few are kept, and not for long.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use vsphere_model::managed::{HistoryCollector, HttpNfcLease, PropertyCollector, PropertyFilter, View};
use vsphere_model::types::{Any, ManagedObjectReference};

use super::target::is_a;
use crate::client::Client;
use crate::connection::Part;
use crate::guard::clean_up;

/// How many are kept; the oldest goes first. Many callers may share the session.
const MOST: usize = 64;

/// How long one is kept.
const KEPT_FOR: Duration = Duration::from_secs(10 * 60);

/// What was made in a session and is to be destroyed.
#[derive(Default)]
pub(super) struct Made {
    objects: Mutex<VecDeque<(Instant, ManagedObjectReference)>>,
}

impl Part for Made {}

impl Made {
    /// Notes what an answer has made, and takes out what is to go for it.
    fn note(&self, made: Vec<ManagedObjectReference>, now: Instant) -> Vec<ManagedObjectReference> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.extend(made.into_iter().map(|reference| (now, reference)));
        let too_many = objects.len().saturating_sub(MOST);
        objects.drain(..too_many).map(|(_, reference)| reference).collect()
    }

    /// Takes out what is too old.
    fn expired(&self, now: Instant) -> Vec<ManagedObjectReference> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let old = objects.iter().take_while(|(since, _)| now.duration_since(*since) >= KEPT_FOR).count();
        objects.drain(..old).map(|(_, reference)| reference).collect()
    }
}

/// Keeps what an answer has made, and destroys it later.
pub(super) fn keep(client: &Client, answer: &Any) {
    let made = to_destroy(answer);
    if made.is_empty() {
        return;
    }
    let kept = client.connection.part::<Made>();
    let gone = kept.note(made, Instant::now());
    let session = Arc::downgrade(&client.connection);
    let this = client.without_deadline();
    clean_up(async move { destroy(&this, gone).await });
    clean_up(async move {
        tokio::time::sleep(KEPT_FOR).await;
        // With the session all but leases went, and these end by themselves.
        if let Some(connection) = session.upgrade() {
            destroy(&Client::of(connection), kept.expired(Instant::now())).await;
        }
    });
}

/// What of an answer has to be destroyed.
fn to_destroy(answer: &Any) -> Vec<ManagedObjectReference> {
    let is_made = |reference: &&ManagedObjectReference| {
        ["View", "HistoryCollector", "PropertyFilter", "PropertyCollector", "HttpNfcLease"]
            .iter()
            .any(|base| is_a(&reference.type_, base))
    };
    match answer {
        Any::Ref(reference) => Some(reference).filter(is_made).cloned().into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Destroys these. What is gone already, or with its session, is as it should be.
async fn destroy(client: &Client, objects: Vec<ManagedObjectReference>) {
    for object in objects {
        let of = |base| is_a(&object.type_, base);
        let done = if of("View") {
            client.raw::<View>(&object).destroy_view().await
        } else if of("HistoryCollector") {
            client.raw::<HistoryCollector>(&object).destroy_collector().await
        } else if of("PropertyFilter") {
            client.raw::<PropertyFilter>(&object).destroy_property_filter().await
        } else if of("PropertyCollector") {
            client.raw::<PropertyCollector>(&object).destroy_property_collector().await
        } else {
            client.raw::<HttpNfcLease>(&object).http_nfc_lease_abort(None).await
        };
        if let Err(error) = done {
            tracing::debug!(%error, %object, "it is gone already, or will be with its session");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    fn view(number: usize) -> ManagedObjectReference {
        ManagedObjectReference::new("ContainerView", format!("session[1]{number}"))
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many_and_when_it_is_too_old() {
        let made = Made::default();
        let start = Instant::now();
        for number in 0..MOST {
            assert!(made.note(vec![view(number)], start + Duration::from_secs(number as u64)).is_empty());
        }
        assert_eq!(made.note(vec![view(99)], start + Duration::from_secs(60)), [view(0)]);
        assert_eq!(made.expired(start + KEPT_FOR + Duration::from_secs(2)), [view(1), view(2)]);
        assert_eq!(made.expired(start + KEPT_FOR + Duration::from_secs(2)), []);
    }

    #[test]
    fn only_what_is_made_is_destroyed() {
        let reference = |type_: &str| Any::Ref(ManagedObjectReference::new(type_, "x"));
        for type_ in
            ["ContainerView", "EventHistoryCollector", "TaskHistoryCollector", "PropertyFilter", "HttpNfcLease"]
        {
            assert_eq!(to_destroy(&reference(type_)).len(), 1, "{type_}");
        }
        for type_ in ["Task", "VirtualMachine", "LicenseManager"] {
            assert_eq!(to_destroy(&reference(type_)), [], "{type_}");
        }
    }
}
