//! Tools for disks, adapters, serial ports and CD drives.

use serde_json::json;

use super::{
    Case, in_each_window, on,
    scene::{
        Change::{Annotate, ReplaceDisk, ReplaceImage, ReplaceNic, ReplaceSerial, SwapDisks, SwapNames, SwapNics},
        IMAGE, NOTHING, Scene, Setting,
    },
    was_refused_as_changed,
};

const OFF: Setting = NOTHING;
const ON: Setting = Setting { running: true, ..OFF };

/// Whether a fact is about the first disk that the user agreed to, or about its file.
fn is_the_disk(scene: &Scene, fact: &str, _is: Option<&str>) -> bool {
    fact == scene.first_of("disk")
}

/// The file of the first disk, as a fact.
fn its_file(scene: &Scene) -> String {
    let (_, path) = scene.first[&scene.first_of("disk")].split_once('[').unwrap();
    let (folder, name) = path.rsplit_once('/').unwrap();
    format!("file/[{folder}/ {name}")
}

#[tokio::test]
async fn remove_disk_hits_no_other_disk() {
    let outcomes = in_each_window(Case {
        tool: "remove_disk",
        arguments: json!({ "vm": "web-1", "disk": "Hard disk 1" }),
        setting: OFF,
        changes: &[SwapNames, SwapDisks, ReplaceDisk, Annotate],
        may: is_the_disk,
        done: |scene, facts| !facts.contains_key(&scene.first_of("disk")) && facts.contains_key(&its_file(scene)),
        unguarded: None,
    })
    .await;
    assert!(
        was_refused_as_changed(&outcomes, ReplaceDisk) && was_refused_as_changed(&outcomes, SwapDisks),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn remove_disk_with_its_file_deletes_no_other_file() {
    let outcomes = in_each_window(Case {
        tool: "remove_disk",
        arguments: json!({ "vm": "web-1", "disk": "Hard disk 1", "delete_file": true }),
        setting: OFF,
        changes: &[SwapNames, SwapDisks, ReplaceDisk],
        may: |scene, fact, is| is_the_disk(scene, fact, is) || fact == its_file(scene),
        // A disk that came later may have taken the name of the file.
        done: |scene, facts| {
            let others = facts.keys().filter(|key| key.contains("/disk/") && !scene.first.contains_key(*key)).count();
            !facts.contains_key(&scene.first_of("disk")) && (others > 0 || !facts.contains_key(&its_file(scene)))
        },
        unguarded: None,
    })
    .await;
    assert!(
        was_refused_as_changed(&outcomes, ReplaceDisk) && was_refused_as_changed(&outcomes, SwapDisks),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn resize_disk_grows_no_other_disk() {
    let outcomes = in_each_window(Case {
        tool: "resize_disk",
        arguments: json!({ "vm": "web-1", "disk": "Hard disk 1", "new_size_gb": 2 }),
        setting: OFF,
        changes: &[SwapNames, SwapDisks, ReplaceDisk],
        may: is_the_disk,
        done: |scene, facts| {
            facts.iter().any(|(key, is)| *key == scene.first_of("disk") && is.contains("2147483648"))
                || !facts.contains_key(&scene.first_of("disk"))
        },
        unguarded: None,
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, ReplaceDisk), "{outcomes:?}");
}

/// `RelocateVM_Task` takes no change version and goes by the key of the disk: what is planted before that very request
/// moves along, and the answer says so.
#[tokio::test]
async fn move_vm_disk_moves_no_other_disk() {
    let outcomes = in_each_window(Case {
        tool: "move_vm_disk",
        arguments: json!({ "vm": "web-1", "disk": "Hard disk 1", "target_datastore": "DC0_DS1" }),
        setting: OFF,
        changes: &[SwapNames, SwapDisks, ReplaceDisk],
        may: |scene, fact, is| is_the_disk(scene, fact, is) || fact.starts_with("file/"),
        done: |scene, facts| facts.get(&scene.first_of("disk")).is_none_or(|is| is.contains("DC0_DS1")),
        unguarded: Some(("RelocateVM_Task", &[SwapDisks, ReplaceDisk])),
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, ReplaceDisk), "{outcomes:?}");
}

/// Whether a fact is about the first adapter that the user agreed to.
fn is_the_nic(scene: &Scene, fact: &str, _is: Option<&str>) -> bool {
    fact == scene.first_of("nic")
}

#[tokio::test]
async fn remove_nic_hits_no_other_adapter() {
    let outcomes = in_each_window(Case {
        tool: "remove_nic",
        arguments: json!({ "vm": "web-1", "nic": "Network adapter 1" }),
        setting: OFF,
        changes: &[SwapNames, SwapNics, ReplaceNic],
        may: is_the_nic,
        done: |scene, facts| !facts.contains_key(&scene.first_of("nic")),
        unguarded: None,
    })
    .await;
    assert!(
        was_refused_as_changed(&outcomes, ReplaceNic) && was_refused_as_changed(&outcomes, SwapNics),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn connect_nic_cuts_off_no_other_adapter() {
    let outcomes = in_each_window(Case {
        tool: "connect_nic",
        arguments: json!({ "vm": "web-1", "nic": "Network adapter 1", "connected": false }),
        setting: ON,
        changes: &[SwapNames, SwapNics, ReplaceNic],
        may: is_the_nic,
        done: |scene, facts| facts.get(&scene.first_of("nic")).is_none_or(|is| is.contains("(false")),
        unguarded: None,
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, ReplaceNic), "{outcomes:?}");
}

#[tokio::test]
async fn change_nic_network_plugs_in_no_other_adapter() {
    let outcomes = in_each_window(Case {
        tool: "change_nic_network",
        arguments: json!({ "vm": "web-1", "nic": "Network adapter 1", "network": "Other" }),
        setting: ON,
        changes: &[SwapNames, SwapNics, ReplaceNic],
        may: is_the_nic,
        done: |scene, facts| facts.get(&scene.first_of("nic")).is_none_or(|is| is.contains("Other")),
        unguarded: None,
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, ReplaceNic), "{outcomes:?}");
}

#[tokio::test]
async fn set_nic_mac_gives_no_other_adapter_the_address() {
    let outcomes = in_each_window(Case {
        tool: "set_nic_mac",
        arguments: json!({ "vm": "web-1", "nic": "Network adapter 1", "mac_address": "00:50:56:01:02:03" }),
        setting: OFF,
        changes: &[SwapNames, SwapNics, ReplaceNic],
        may: |scene, fact, is| is_the_nic(scene, fact, is) || scene.is_webs(fact, "nic/00:50:56:01:02:03"),
        done: |scene, facts| !facts.contains_key(&scene.first_of("nic")),
        unguarded: None,
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, ReplaceNic), "{outcomes:?}");
}

/// Whether a fact is about the serial port that the user agreed to.
fn is_the_port(scene: &Scene, fact: &str, _is: Option<&str>) -> bool {
    fact == scene.first_of("serial")
}

#[tokio::test]
async fn setup_serial_port_changes_no_other_port() {
    let outcomes = in_each_window(Case {
        tool: "setup_serial_port",
        arguments: json!({ "vm": "web-1", "port": 3001 }),
        setting: OFF,
        changes: &[SwapNames, ReplaceSerial],
        may: |scene, fact, is| is_the_port(scene, fact, is) || scene.is_webs(fact, "serial/telnet://:3001"),
        done: |scene, facts| !facts.contains_key(&scene.first_of("serial")),
        unguarded: None,
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, ReplaceSerial), "{outcomes:?}");
}

#[tokio::test]
async fn remove_serial_port_removes_no_other_port() {
    let outcomes = in_each_window(Case {
        tool: "remove_serial_port",
        arguments: on("web-1"),
        setting: OFF,
        changes: &[SwapNames, ReplaceSerial],
        may: is_the_port,
        done: |scene, facts| !facts.contains_key(&scene.first_of("serial")),
        unguarded: None,
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, ReplaceSerial), "{outcomes:?}");
}

#[tokio::test]
async fn connect_serial_port_cuts_off_no_other_port() {
    let outcomes = in_each_window(Case {
        tool: "connect_serial_port",
        arguments: json!({ "vm": "web-1", "connected": false }),
        setting: OFF,
        changes: &[SwapNames, ReplaceSerial],
        may: is_the_port,
        done: |scene, facts| facts.get(&scene.first_of("serial")).is_none_or(|is| is.contains("false)")),
        unguarded: None,
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, ReplaceSerial), "{outcomes:?}");
}

#[tokio::test]
async fn clear_serial_port_throws_nobody_out_of_another_port() {
    in_each_window(Case {
        tool: "clear_serial_port",
        arguments: on("web-1"),
        setting: ON,
        changes: &[SwapNames],
        may: is_the_port,
        done: |_, _| true,
        unguarded: None,
    })
    .await;
}

#[tokio::test]
async fn detach_iso_takes_no_other_image_out() {
    let outcomes = in_each_window(Case {
        tool: "detach_iso",
        arguments: on("web-1"),
        setting: OFF,
        changes: &[SwapNames, ReplaceImage],
        may: |scene, fact, _| fact == scene.first_of("cd") || scene.is_webs(fact, "cd/"),
        done: |scene, facts| !facts.contains_key(&scene.first_of("cd")),
        unguarded: None,
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, ReplaceImage), "{outcomes:?}");
}

#[tokio::test]
async fn attach_iso_replaces_no_other_image() {
    let outcomes = in_each_window(Case {
        tool: "attach_iso",
        arguments: json!({ "vm": "web-1", "iso_path": IMAGE }),
        setting: Setting { image: true, ..OFF },
        changes: &[SwapNames, ReplaceImage],
        may: |scene, fact, _| fact == scene.first_of("cd") || fact == attached(scene),
        done: |scene, facts| facts.contains_key(&attached(scene)),
        unguarded: None,
    })
    .await;
    assert!(was_refused_as_changed(&outcomes, ReplaceImage), "{outcomes:?}");
}

fn attached(scene: &Scene) -> String {
    format!("{}/cd/{IMAGE}", scene.web.id())
}
