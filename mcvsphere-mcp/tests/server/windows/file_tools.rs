//! Tools for files of datastores, which have no ids: what is at a path is looked at right before the act.

use serde_json::{Value, json};

use super::{
    AFTER_THE_LOOK, Case, Outcome, in_each_window,
    scene::{
        Change::{self, DeleteFile, MakeFile, ReplaceFile, SwapStores},
        Facts, NOTHING, Scene, Setting,
    },
    was_refused_as_changed,
};

const SETTING: Setting = Setting { files: true, ..NOTHING };

/// What is at first at a path in the datastore that was meant.
fn ours<'a>(scene: &'a Scene, file: &str) -> &'a str {
    let is = |key: &&String| key.ends_with(&format!("/data/{file}.txt: {file} of DC0_DS0, at first"));
    scene.first.keys().find(is).unwrap()
}

/// The key of a file in the datastore that was meant, with this content.
fn with(scene: &Scene, file: &str, content: &str) -> String {
    let store = ours(scene, "a").split('/').next().unwrap();
    format!("{store}/data/{file}: {content}")
}

/// What the server takes by path alone: what comes there after the last look is hit.
type Unguarded = Option<(&'static str, &'static [Change])>;

async fn of_files(
    tool: &'static str,
    arguments: Value,
    changes: &'static [Change],
    may: fn(&Scene, &str, Option<&str>) -> bool,
    done: fn(&Scene, &Facts) -> bool,
    unguarded: Unguarded,
) -> Vec<(Change, Vec<Outcome>)> {
    in_each_window(Case { tool, arguments, setting: SETTING, changes, may, done, unguarded }).await
}

#[tokio::test]
async fn delete_datastore_file_deletes_no_other_file() {
    let outcomes = of_files(
        "delete_datastore_file",
        json!({ "datastore": "DC0_DS0", "path": "data/a.txt" }),
        &[ReplaceFile, DeleteFile, SwapStores],
        |scene, fact, is| fact == ours(scene, "a") && is.is_none(),
        |scene, facts| !facts.contains_key(ours(scene, "a")),
        Some((AFTER_THE_LOOK, &[ReplaceFile, SwapStores])),
    )
    .await;
    assert!(was_refused_as_changed(&outcomes, ReplaceFile), "{outcomes:?}");
}

#[tokio::test]
async fn upload_to_datastore_overwrites_no_other_file() {
    let outcomes = of_files(
        "upload_to_datastore",
        json!({ "datastore": "DC0_DS0", "path": "data/a.txt", "content_base64": "bWluZQ==" }),
        &[ReplaceFile, DeleteFile, SwapStores],
        |scene, fact, is| {
            (fact == ours(scene, "a") && is.is_none()) || (fact == with(scene, "a.txt", "mine") && is.is_some())
        },
        |scene, facts| facts.contains_key(&with(scene, "a.txt", "mine")),
        Some((AFTER_THE_LOOK, &[ReplaceFile, SwapStores])),
    )
    .await;
    assert!(was_refused_as_changed(&outcomes, ReplaceFile), "{outcomes:?}");
    assert!(was_refused_as_changed(&outcomes, DeleteFile), "{outcomes:?}");
}

#[tokio::test]
async fn upload_to_datastore_overwrites_nothing_unasked() {
    let outcomes = of_files(
        "upload_to_datastore",
        json!({ "datastore": "DC0_DS0", "path": "data/new.txt", "content_base64": "bWluZQ==" }),
        &[MakeFile],
        |scene, fact, is| fact == with(scene, "new.txt", "mine") && is.is_some(),
        |scene, facts| facts.contains_key(&with(scene, "new.txt", "mine")),
        Some((AFTER_THE_LOOK, &[MakeFile])),
    )
    .await;
    assert!(was_refused_as_changed(&outcomes, MakeFile), "{outcomes:?}");
}
