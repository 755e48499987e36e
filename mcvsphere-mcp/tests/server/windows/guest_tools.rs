//! Tools that work inside guests: the guest is that of the machine which was meant, whatever becomes of names and power.

use serde_json::{Value, json};
use vsphere_sim::Model;

use super::{
    Case, Outcome, in_each_window,
    scene::{
        Change::{self, PowerCycle, PowerOff, Restart, SwapNames},
        Facts, IN_GUEST, NOTHING, Scene, Setting,
    },
};

const SETTING: Setting = Setting { running: true, guests: true, ..NOTHING };

fn as_root(more: Value) -> Value {
    let mut arguments = json!({ "vm": "web-1", "username": Model::LINUX_USER, "password": Model::GUEST_PASSWORD });
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    arguments
}

/// The key of a file in the guest of `web-1`.
fn key(scene: &Scene, path: &str) -> String {
    format!("{}/guest/{path}", scene.web.id())
}

async fn of_guest(
    tool: &'static str,
    arguments: Value,
    may: fn(&Scene, &str, Option<&str>) -> bool,
    done: fn(&Scene, &Facts) -> bool,
) -> Vec<(Change, Vec<Outcome>)> {
    let arguments = as_root(arguments);
    let changes = &[SwapNames, PowerOff, PowerCycle, Restart];
    in_each_window(Case { tool, arguments, setting: SETTING, changes, may, done, unguarded: None }).await
}

/// The guest that does not run cannot have been changed, and that is told.
fn was_refused(outcomes: &[(Change, Vec<Outcome>)]) {
    let off = outcomes.iter().find(|(change, _)| *change == PowerOff).unwrap();
    assert!(off.1.contains(&Outcome::Refused("invalid_state".to_owned())), "{outcomes:?}");
}

#[tokio::test]
async fn delete_guest_file_deletes_in_no_other_guest() {
    let outcomes = of_guest(
        "delete_guest_file",
        json!({ "guest_path": IN_GUEST }),
        |scene, fact, is| fact == key(scene, IN_GUEST) && is.is_none(),
        |scene, facts| !facts.contains_key(&key(scene, IN_GUEST)),
    )
    .await;
    was_refused(&outcomes);
}

#[tokio::test]
async fn write_guest_file_writes_in_no_other_guest() {
    let outcomes = of_guest(
        "write_guest_file",
        json!({ "guest_path": IN_GUEST, "content": "ours" }),
        |scene, fact, is| fact == key(scene, IN_GUEST) && is == Some("ours"),
        |scene, facts| facts[&key(scene, IN_GUEST)] == "ours",
    )
    .await;
    was_refused(&outcomes);
}

#[tokio::test]
async fn create_guest_directory_makes_it_in_no_other_guest() {
    of_guest(
        "create_guest_directory",
        json!({ "guest_path": "/srv/new" }),
        |scene, fact, is| fact == key(scene, "/srv/new") && is.is_some(),
        |scene, facts| facts.contains_key(&key(scene, "/srv/new")),
    )
    .await;
}

#[tokio::test]
async fn run_command_in_guest_runs_in_no_other_guest() {
    of_guest(
        "run_command_in_guest",
        json!({ "command": format!("rm {IN_GUEST}") }),
        |scene, fact, is| fact == key(scene, IN_GUEST) && is.is_none(),
        |scene, facts| !facts.contains_key(&key(scene, IN_GUEST)),
    )
    .await;
}
