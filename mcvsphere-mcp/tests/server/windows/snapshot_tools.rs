//! Tools for snapshots.

use serde_json::json;

use super::{
    Case, in_each_window, on,
    scene::{
        Change::{self, Annotate, ReplaceDisk, ReplaceSnapshot, SwapNames, SwapSnapshotNames, TakeSnapshot},
        Facts, NOTHING, Scene, Setting,
    },
    was_refused_as_changed,
};

const WITH_SNAPSHOTS: Setting = Setting { snapshots: true, ..NOTHING };

/// Whether a fact is about `web-1` and follows from its snapshots: where the disks are, which is current.
fn follows(scene: &Scene, fact: &str) -> bool {
    scene.is_webs(fact, "current")
        || fact.starts_with(&format!("{}/disk/", scene.web.id()))
        || fact.starts_with("file/") && fact.contains("web-1")
}

#[tokio::test]
async fn delete_snapshot_deletes_no_other_snapshot() {
    let outcomes = in_each_window(Case {
        tool: "delete_snapshot",
        arguments: json!({ "vm": "web-1", "snapshot": "b" }),
        setting: WITH_SNAPSHOTS,
        changes: &[SwapNames, ReplaceSnapshot, SwapSnapshotNames],
        may: |scene, fact, _| fact == scene.snapshot("b") || follows(scene, fact),
        done: |scene, facts| !facts.contains_key(&scene.snapshot("b")),
        unguarded: None,
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, ReplaceSnapshot), "{outcomes:?}");
}

/// `RemoveSnapshot_Task` takes no version: a snapshot that is taken before that very request goes with those below it.
const CHILDREN: (&str, &[Change]) = ("RemoveSnapshot_Task", &[TakeSnapshot]);

#[tokio::test]
async fn delete_snapshot_with_children_deletes_none_that_was_taken_later() {
    let outcomes = in_each_window(Case {
        tool: "delete_snapshot",
        arguments: json!({ "vm": "web-1", "snapshot": "b", "remove_children": true }),
        setting: WITH_SNAPSHOTS,
        changes: &[SwapNames, ReplaceSnapshot, SwapSnapshotNames, TakeSnapshot],
        may: |scene, fact, _| fact == scene.snapshot("b") || fact == scene.snapshot("c") || follows(scene, fact),
        done: |scene, facts| !facts.contains_key(&scene.snapshot("b")) && !facts.contains_key(&scene.snapshot("c")),
        unguarded: Some(CHILDREN),
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, TakeSnapshot), "{outcomes:?}");
}

#[tokio::test]
async fn delete_all_snapshots_deletes_none_that_was_taken_later() {
    let outcomes = in_each_window(Case {
        tool: "delete_all_snapshots",
        arguments: on("web-1"),
        setting: WITH_SNAPSHOTS,
        changes: &[SwapNames, TakeSnapshot],
        may: |scene, fact, _| scene.had("snapshot").iter().any(|had| had == fact) || follows(scene, fact),
        done: |scene, facts| scene.had("snapshot").iter().all(|had| !facts.contains_key(had)),
        unguarded: Some(("RemoveAllSnapshots_Task", &[TakeSnapshot])),
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, TakeSnapshot), "{outcomes:?}");
}

/// Whether a fact is about `web-1`, which goes back to this snapshot.
fn goes_back(scene: &Scene, fact: &str, is: Option<&str>, to: &str) -> bool {
    let snapshot = scene.snapshot(to);
    match scene.is_webs(fact, "current") {
        true => is == snapshot.rsplit('/').next(),
        false => {
            !fact.contains("/snapshot/") && fact.starts_with(&format!("{}/", scene.web.id()))
                || fact.starts_with("file/") && fact.contains("web-1")
        }
    }
}

fn is_at(scene: &Scene, facts: &Facts, name: &str) -> bool {
    let current = &facts[&format!("{}/current", scene.web.id())];
    scene.snapshot(name).ends_with(&format!("/{current}"))
}

#[tokio::test]
async fn revert_to_snapshot_goes_back_to_no_other_snapshot() {
    let outcomes = in_each_window(Case {
        tool: "revert_to_snapshot",
        arguments: json!({ "vm": "web-1", "snapshot": "b" }),
        setting: WITH_SNAPSHOTS,
        changes: &[SwapNames, SwapSnapshotNames, Annotate],
        may: |scene, fact, is| goes_back(scene, fact, is, "b"),
        done: |scene, facts| is_at(scene, facts, "b"),
        unguarded: None,
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, Annotate), "{outcomes:?}");
}

#[tokio::test]
async fn revert_to_snapshot_takes_none_that_was_replaced() {
    let outcomes = in_each_window(Case {
        tool: "revert_to_snapshot",
        arguments: json!({ "vm": "web-1", "snapshot": "b" }),
        setting: WITH_SNAPSHOTS,
        changes: &[ReplaceSnapshot],
        may: |scene, fact, is| goes_back(scene, fact, is, "b"),
        done: |_, _| true,
        unguarded: None,
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, ReplaceSnapshot), "{outcomes:?}");
}

/// What is planted before `RevertToSnapshot_Task` itself belongs to the present state, which is given up.
#[tokio::test]
async fn revert_to_current_snapshot_goes_back_to_no_snapshot_that_was_taken_later() {
    let outcomes = in_each_window(Case {
        tool: "revert_to_current_snapshot",
        arguments: on("web-1"),
        setting: WITH_SNAPSHOTS,
        changes: &[SwapNames, TakeSnapshot, ReplaceDisk],
        may: |scene, fact, is| goes_back(scene, fact, is, "c"),
        done: |scene, facts| is_at(scene, facts, "c") || facts.values().any(|name| name == "late"),
        unguarded: None,
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, TakeSnapshot), "{outcomes:?}");
}

#[tokio::test]
async fn rename_snapshot_renames_no_other_snapshot() {
    in_each_window(Case {
        tool: "rename_snapshot",
        arguments: json!({ "vm": "web-1", "snapshot": "b", "new_name": "release" }),
        setting: WITH_SNAPSHOTS,
        changes: &[SwapNames, SwapSnapshotNames, ReplaceSnapshot],
        may: |scene, fact, is| fact == scene.snapshot("b") && is == Some("release"),
        done: |_, _| true,
        unguarded: None,
    })
    .await;
}
