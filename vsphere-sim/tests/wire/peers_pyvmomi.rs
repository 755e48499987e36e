//! pyVmomi, the way that scripts use it, against the simulated vCenter.

use serde_json::json;
use vsphere_sim::{Model, Sim};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pyVmomi: cargo xtask peers"]
async fn peers_pyvmomi_reads_clones_reconfigures_and_waits() {
    // Tasks take a moment, so that waits are waits.
    let sim = Sim::start(Model::demo().pace(0.05)).await.unwrap();
    let address = sim.address().to_string();
    let mut story = peers::pyvmomi("story.py", &address, Model::USER, Model::PASSWORD).await.unwrap();

    assert!(story["clock_skew_seconds"].as_i64().unwrap() <= 1);
    assert_eq!(story["about"], json!({ "api": "VirtualCenter", "version": "9.0.0.0" }));
    assert_eq!(story["listing"], json!({ "machines": 43, "pages": 5, "web-01": 4 }));
    let reads = story["reads"].as_object_mut().unwrap();
    assert!(reads.remove("address").unwrap().as_str().unwrap().starts_with("10."));
    assert!(reads.remove("host").unwrap().as_str().unwrap().starts_with("esx-0"));
    assert_eq!(
        story["reads"],
        json!({
            "power": "poweredOn",
            "tools": "guestToolsRunning",
            "cluster": "prod-cluster",
            "disk": "Hard disk 1",
            "card": "vim.vm.device.VirtualVmxnet3",
            "summary": [4, 8192],
            "datastore": "VMFS",
        })
    );
    assert_eq!(story["clone"], json!({ "name": "py-clone", "power": "poweredOn", "template": false }));
    assert_eq!(
        story["reconfigure"],
        json!({
            "annotation": "by pyVmomi",
            "label": "Hard disk 2",
            "kb": 4_194_304,
            "file": true,
            "taken_unit": "vim.fault.InvalidDeviceSpec",
        })
    );
    assert_eq!(story["snapshots"], json!({ "names": ["first", "second"], "left": true }));
    assert_eq!(story["updates"]["first"], 2);
    assert_eq!(story["updates"]["changes"], json!([["runtime.powerState", "poweredOff"]]));
    assert_eq!(story["faults"], json!(["vim.fault.InvalidPowerState", "poweredOff"]));
    let events = story["events"].as_array().unwrap();
    for event in ["VmDeployedEvent", "VmReconfiguredEvent", "VmPoweredOffEvent"] {
        assert!(events.contains(&json!(event)), "{event} is not among {events:?}");
    }
    assert_eq!(story["performance"], json!({ "samples": 5, "plausible": true }));
    assert_eq!(story["files"], json!([["web-01.vmdk", "VmDiskInfo"]]));
    assert_eq!(story["destroy"], "gone");
    assert_eq!(sim.sessions(), 0, "the script has logged out");
}
