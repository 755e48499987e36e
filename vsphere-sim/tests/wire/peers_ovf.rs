//! OVF packages by other clients against the simulated server: govc, and pyVmomi as the community samples use it.

use std::path::PathBuf;

use peers::{govc, govc_run, govc_text};
use serde_json::{Value, json};
use vsphere_sim::{Model, Sim, Size};

use crate::ovf::{descriptor, disk};
use crate::support::Lab;

/// A folder that goes away with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("peers-ovf-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, content: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_govc_imports_and_exports_packages() {
    let lab = Lab::new(Model::sized(Size { datastores: 1, vms: 0, ..Size::default() })).await;
    let (url, folder) = (&lab.govc_url(), Folder::new("govc"));
    let content = disk(1, 700_000);
    let package = folder.put("web.ovf", descriptor(content.len()).as_bytes());
    folder.put("web.vmdk", &content);
    let spec: Value = serde_json::from_str(&govc_text(url, &["import.spec", &package]).await.unwrap()).unwrap();
    assert_eq!(spec["NetworkMapping"][0]["Name"], "Front");
    assert_eq!(spec["PropertyMapping"][0]["Key"], "hostname");
    let options = json!({
        "NetworkMapping": [{ "Name": "Front", "Network": "VM Network" }],
        "PropertyMapping": [{ "Key": "hostname", "Value": "web-1" }],
    });
    let options = folder.put("options.json", options.to_string().as_bytes());
    let archive = folder.0.join("web.ova");
    let made = std::process::Command::new("tar")
        .current_dir(&folder.0)
        .args(["--format=ustar", "-cf", "web.ova", "web.ovf", "web.vmdk"])
        .status();
    assert!(made.unwrap().success());
    let archive = archive.to_str().unwrap();
    for (verb, source, name) in [("import.ovf", package.as_str(), "from-ovf"), ("import.ova", archive, "from-ova")] {
        let arguments = [
            verb,
            "-options",
            &options,
            "-name",
            name,
            "-pool",
            "/DC0/host/DC0_C0/Resources",
            "-ds",
            "DC0_DS0",
            source,
        ];
        govc_run(url, &arguments).await.unwrap();
        let vm = govc(url, &["vm.info", name]).await.unwrap()["virtualMachines"][0].clone();
        assert_eq!(vm["config"]["hardware"]["numCPU"], 2, "{name}");
        assert_eq!(vm["config"]["vAppConfig"]["property"][0]["value"], "web-1", "{name}");
        let to = folder.0.join(name);
        govc_run(url, &["export.ovf", "-vm", name, "-sha", "256", to.to_str().unwrap()]).await.unwrap();
        let files: Vec<PathBuf> =
            std::fs::read_dir(to.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        let disks: Vec<&PathBuf> =
            files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "vmdk")).collect();
        assert_eq!(disks.len(), 1, "{files:?}");
        assert!(std::fs::read(disks[0]).unwrap() == content, "{name}");
        assert!(files.iter().any(|path| path.ends_with(format!("{name}.mf"))), "{files:?}");
    }
    // A disk of another kind fails there, and leaves no VM.
    folder.put("web.vmdk", &vec![0; content.len()]);
    let arguments = [
        "import.ovf",
        "-options",
        &options,
        "-name",
        "bad",
        "-pool",
        "/DC0/host/DC0_C0/Resources",
        "-ds",
        "DC0_DS0",
        &package,
    ];
    let error = format!("{:#}", govc_run(url, &arguments).await.unwrap_err());
    assert!(error.contains("500"), "{error}");
    let found = govc(url, &["find", "/", "-type", "m"]).await.unwrap();
    assert_eq!(found, json!(["/DC0/vm/from-ovf", "/DC0/vm/from-ova"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pyVmomi: cargo xtask peers"]
async fn peers_pyvmomi_deploys_and_exports_as_the_community_samples_do() {
    let model = Model::sized(Size { datastores: 1, vms: 0, ..Size::default() });
    let sim = Sim::start(model.pace(0.05)).await.unwrap();
    let address = sim.address().to_string();
    let story = peers::pyvmomi("ovf.py", &address, Model::USER, Model::PASSWORD).await.unwrap();
    let deployed = json!({ "cpus": 2, "network": "VM Network", "state": "done" });
    assert_eq!((&story["ovf"], &story["ova"]), (&deployed, &deployed));
    assert_eq!(story["export"], json!({ "same": true, "manifest": true, "networks": ["VM Network"] }));
    assert_eq!(story["refusals"], json!(["OvfXmlFormat", "locked", "ended"]));
    assert_eq!(sim.sessions(), 0, "the script has logged out");
}
