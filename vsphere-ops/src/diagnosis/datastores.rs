//! What is wrong with datastores.

use std::collections::HashSet;

use vsphere_model::types::{DatastoreHostMount, DatastoreSummary};

use super::seen::{Seen, Unseen};
use super::{Finding, Problem, Severity, limits};

pub(super) const PATHS: &[&str] = &["summary", "host"];

/// What is wrong with a datastore. `connected` are the ids of the hosts that vCenter reaches: of the others it knows no mounts.
pub(super) fn findings(seen: &mut Seen, connected: &HashSet<String>, unseen: &mut Unseen) -> Vec<Finding> {
    let (summary, mounts) = (seen.take::<DatastoreSummary>("summary"), seen.take::<Vec<DatastoreHostMount>>("host"));
    let Some(summary) = summary else {
        if !seen.is_refused("summary") {
            unseen.note("datastores", "the server does not tell their state");
        }
        return Vec::new();
    };
    let mut findings = Vec::new();
    let mut add = |severity, problem| findings.push(Finding::new(severity, seen.subject.clone(), problem));
    let mounts: Vec<DatastoreHostMount> =
        mounts.unwrap_or_default().into_iter().filter(|mount| connected.contains(&mount.key.value)).collect();
    let without = mounts.iter().filter(|mount| mount.mount_info.accessible == Some(false)).count();
    if !summary.accessible {
        // What is free in it is what was known last.
        let problem = Problem::DatastoreInaccessible { hosts_without: mounts.len(), hosts: mounts.len() };
        add(Severity::Critical, problem);
        return findings;
    }
    if without > 0 {
        add(Severity::Warning, Problem::DatastoreInaccessible { hosts_without: without, hosts: mounts.len() });
    }
    // One that has never been accessible has no size.
    if summary.capacity <= 0 {
        unseen.note("datastores", "the server does not tell their capacity");
        return findings;
    }
    let (free, capacity) = (summary.free_space.max(0), summary.capacity);
    let below = |percent: i64| i128::from(free) * 100 < i128::from(capacity) * i128::from(percent);
    let full = Problem::DatastoreFull { free_bytes: free, capacity_bytes: capacity };
    if below(limits::DATASTORE_FREE_CRITICAL) {
        add(Severity::Critical, full);
    } else if below(limits::DATASTORE_FREE_WARNING) {
        add(Severity::Warning, full);
    }
    let provisioned = capacity.saturating_sub(free).saturating_add(summary.uncommitted.unwrap_or(0));
    if provisioned > capacity {
        let problem = Problem::DatastoreOvercommitted { capacity_bytes: capacity, provisioned_bytes: provisioned };
        add(Severity::Notice, problem);
    }
    findings
}
