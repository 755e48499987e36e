//! Tools for whole machines: power, deletion, size, name, templates.

use serde_json::json;

use super::{
    Case, in_each_window, on,
    scene::{
        Change::{self, Annotate, ReplaceDisk, SwapNames, TakeSnapshot},
        Facts, NOTHING, Scene, Setting,
    },
    was_refused_as_changed,
};

const OFF: Setting = NOTHING;
const ON: Setting = Setting { running: true, ..OFF };

/// Whether a fact is about `web-1`'s power.
fn is_its_power(scene: &Scene, fact: &str, _is: Option<&str>) -> bool {
    let events = ["VmResettingEvent", "VmGuestRebootEvent", "VmGuestStandbyEvent", "VmGuestShutdownEvent"];
    ["power", "booted"].iter().any(|kind| scene.is_webs(fact, kind))
        || events.iter().any(|event| scene.is_webs(fact, &format!("event/{event}")))
        || is_a_plug(scene, fact)
}

/// Whether this was done to `web-1`, once.
fn happened(scene: &Scene, facts: &Facts, event: &str) -> bool {
    facts[&format!("{}/event/{event}", scene.web.id())] == "1"
}

/// What is connected goes with the power.
fn is_a_plug(scene: &Scene, fact: &str) -> bool {
    ["nic", "serial", "cd"].iter().any(|kind| fact.starts_with(&format!("{}/{kind}/", scene.web.id())))
}

fn power<'a>(scene: &Scene, facts: &'a Facts) -> &'a str {
    &facts[&format!("{}/power", scene.web.id())]
}

async fn of_power(tool: &'static str, done: fn(&Scene, &Facts) -> bool) {
    in_each_window(Case {
        tool,
        arguments: on("web-1"),
        setting: ON,
        changes: &[SwapNames],
        may: is_its_power,
        done,
        unguarded: None,
    })
    .await;
}

#[tokio::test]
async fn power_off_vm_powers_no_other_machine_off() {
    of_power("power_off_vm", |scene, facts| power(scene, facts) == "poweredOff").await;
}

#[tokio::test]
async fn suspend_vm_suspends_no_other_machine() {
    of_power("suspend_vm", |scene, facts| power(scene, facts) == "suspended").await;
}

#[tokio::test]
async fn reset_vm_resets_no_other_machine() {
    of_power("reset_vm", |scene, facts| happened(scene, facts, "VmResettingEvent")).await;
}

#[tokio::test]
async fn shutdown_guest_shuts_no_other_guest_down() {
    of_power("shutdown_guest", |scene, facts| power(scene, facts) == "poweredOff").await;
}

#[tokio::test]
async fn reboot_guest_restarts_no_other_guest() {
    of_power("reboot_guest", |scene, facts| happened(scene, facts, "VmGuestRebootEvent")).await;
}

#[tokio::test]
async fn standby_guest_puts_no_other_guest_to_sleep() {
    of_power("standby_guest", |scene, facts| happened(scene, facts, "VmGuestStandbyEvent")).await;
}

/// `Destroy_Task` takes no change version: what comes to the machine before that very request goes with it.
const UNGUARDED: (&str, &[Change]) = ("Destroy_Task", &[ReplaceDisk, TakeSnapshot, Annotate]);

fn is_gone(scene: &Scene, facts: &Facts) -> bool {
    !facts.contains_key(&format!("{}/name", scene.web.id()))
}

/// Whether a fact is about what `web-1` had when the user agreed.
fn is_its_own(scene: &Scene, fact: &str, is: Option<&str>) -> bool {
    let new = ["disk", "snapshot"]
        .iter()
        .any(|kind| fact.starts_with(&format!("{}/{kind}/", scene.web.id())) && !scene.first.contains_key(fact));
    let file = fact.strip_prefix("file/").is_some_and(|_| scene.first.contains_key(fact) && fact.contains("web-1"));
    is.is_none() && !new && (fact.starts_with(&format!("{}/", scene.web.id())) || file)
}

#[tokio::test]
async fn delete_vm_deletes_no_other_machine_and_no_disk_or_snapshot_that_came_later() {
    let outcomes = in_each_window(Case {
        tool: "delete_vm",
        arguments: on("web-1"),
        setting: OFF,
        changes: &[SwapNames, ReplaceDisk, TakeSnapshot, Annotate],
        may: is_its_own,
        done: is_gone,
        unguarded: Some(UNGUARDED),
    })
    .await;
    for change in [ReplaceDisk, TakeSnapshot, Annotate] {
        assert!(was_refused_as_changed(&outcomes, change), "{change:?}: {outcomes:?}");
    }
}

#[tokio::test]
async fn reconfigure_vm_changes_no_other_machine() {
    let outcomes = in_each_window(Case {
        tool: "reconfigure_vm",
        arguments: json!({ "vm": "web-1", "cpu": 4, "annotation": "ours" }),
        setting: OFF,
        changes: &[SwapNames, Annotate],
        may: |scene, fact, _| scene.is_webs(fact, "size") || scene.is_webs(fact, "note"),
        done: |scene, facts| facts[&format!("{}/size", scene.web.id())].starts_with('4'),
        unguarded: None,
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, Annotate), "{outcomes:?}");
}

#[tokio::test]
async fn rename_vm_renames_no_other_machine() {
    in_each_window(Case {
        tool: "rename_vm",
        arguments: json!({ "vm": "web-1", "new_name": "web-2" }),
        setting: OFF,
        changes: &[SwapNames],
        may: |scene, fact, is| scene.is_webs(fact, "name") && is == Some("web-2"),
        done: |_, _| true,
        unguarded: None,
    })
    .await;
}

#[tokio::test]
async fn convert_to_template_converts_no_other_machine() {
    in_each_window(Case {
        tool: "convert_to_template",
        arguments: on("web-1"),
        setting: OFF,
        changes: &[SwapNames],
        may: |scene, fact, _| scene.is_webs(fact, "template"),
        done: |scene, facts| facts[&format!("{}/template", scene.web.id())] == "true",
        unguarded: None,
    })
    .await;
}

#[tokio::test]
async fn convert_to_vm_converts_no_other_template() {
    in_each_window(Case {
        tool: "convert_to_vm",
        arguments: json!({ "template": "web-1" }),
        setting: Setting { template: true, ..OFF },
        changes: &[SwapNames],
        may: |scene, fact, _| scene.is_webs(fact, "template"),
        done: |scene, facts| facts[&format!("{}/template", scene.web.id())] == "false",
        unguarded: None,
    })
    .await;
}
