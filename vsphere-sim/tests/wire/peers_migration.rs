//! pyVmomi against the simulated server: machines are checked and relocated.

use serde_json::json;
use vsphere_sim::{Model, Sim};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pyVmomi: cargo xtask peers"]
async fn peers_pyvmomi_checks_and_relocates() {
    let sim = Sim::start(Model::demo().pace(0.02)).await.unwrap();
    let address = sim.address().to_string();
    let story = peers::pyvmomi("relocate.py", &address, Model::USER, Model::PASSWORD).await.unwrap();
    assert_eq!(story["check"], json!([["vim.fault.FeatureRequirementsNotMet"]]));
    assert_eq!(story["compatible"], json!([["vim.fault.FeatureRequirementsNotMet"]]));
    assert_eq!(story["refused"], "vim.fault.FeatureRequirementsNotMet");
    assert_eq!(
        story["moved"],
        json!({
            "host": "esx-05.corp.example", "cluster": "lab-cluster", "datastores": ["lab-ssd"],
            "network": "lab", "thin": false, "eager": true, "gb": 40, "folder": "web",
        })
    );
    assert_eq!(story["hot"], json!({ "power": "poweredOn", "moved": true }));
}
