//! Transfers with vcsim, seen from the other side by govc.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::path::{Path, PathBuf};
use std::process::Command;

use peers::Vcsim;
use vsphere_ops::managed::VirtualMachine;
use vsphere_ops::managed::{
    Datacenter, Datastore, HostSystem, HttpNfcLease, ResourcePool, datacenter, virtual_machine as vm,
};
use vsphere_ops::transfer::{Algorithm, Lease};
use vsphere_ops::types::{
    ManagedObjectReference, ParaVirtualSCSIController, Poly, VirtualDeviceConfigSpec,
    VirtualDeviceConfigSpecFileOperation, VirtualDeviceConfigSpecOperation, VirtualDisk,
    VirtualDiskFlatVer2BackingInfo, VirtualMachineConfigSpec, VirtualMachineFileInfo, VirtualMachineImportSpec,
};
use vsphere_ops::{Client, Config};

async fn connect(vcsim: &Vcsim) -> Client {
    Client::connect(Config::new(vcsim.url()).user("user").password("pass")).await.unwrap()
}

/// Runs govc where it answers in words.
fn govc(vcsim: &Vcsim, arguments: &[&str]) {
    let mut command = Command::new(std::env::var_os("PEERS_GOVC").unwrap());
    command.args(arguments).env("GOVC_URL", vcsim.govc_url()).env("GOVC_PERSIST_SESSION", "false");
    let output = command.output().unwrap();
    assert!(output.status.success(), "govc {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A folder that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes that do not repeat within any buffer.
fn bytes(length: u32) -> Vec<u8> {
    (0..length).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_files_go_both_ways_between_us_and_govc() {
    both_ways(&["-folder", "1"], "/F0/DC0").await;
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_files_go_both_ways_with_an_esx() {
    both_ways(&["-esx"], "/ha-datacenter").await;
}

async fn both_ways(flags: &[&str], datacenter: &str) {
    let vcsim = Vcsim::start(flags).await.unwrap();
    let client = connect(&vcsim).await;
    let store = client.get::<Datastore>("LocalDS_0").await.unwrap();
    let scratch = Scratch::new(&datacenter.replace('/', "-"));
    let ours = bytes(700_000);
    std::fs::write(scratch.file("ours"), &ours).unwrap();
    for name in ["plain.bin", "a b+c&d.bin", "50%.bin"] {
        let sent = store.upload(name).from_file(scratch.file("ours")).await.unwrap();
        assert_eq!(sent.bytes, 2_800_000);
        let back = scratch.file("back");
        govc(&vcsim, &["datastore.download", "-dc", datacenter, "-ds", "LocalDS_0", name, &back]);
        assert!(std::fs::read(back).unwrap() == ours, "{name}");

        let theirs = format!("theirs {name}");
        govc(&vcsim, &["datastore.upload", "-dc", datacenter, "-ds", "LocalDS_0", &scratch.file("ours"), &theirs]);
        let fetched = store.download(format!("[LocalDS_0] {theirs}")).to_file(scratch.file("fetched")).await.unwrap();
        assert!(std::fs::read(scratch.file("fetched")).unwrap() == ours, "{theirs}");
        assert_eq!(fetched.checksum, sent.checksum);
    }
    let error = store.download("none.bin").to_file(scratch.file("none")).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    client.logout().await.unwrap();
}

#[tokio::test]
#[ignore = "needs vcsim: cargo xtask peers"]
async fn peers_a_machine_is_imported_through_a_lease() {
    let vcsim = Vcsim::start(&[]).await.unwrap();
    let client = connect(&vcsim).await;
    let lease = import(&client, "imported").await;
    let [device] = lease.devices() else { panic!("{:?}", lease.info()) };
    let scratch = Scratch::new("import");
    let upload = lease.upload(device).algorithm(Algorithm::Sha1);
    let disk = upload.from_file(streaming_disk(&scratch)).await.unwrap();
    // What vcsim received, by its own count.
    let raw: HttpNfcLease = client.raw(&lease.info().lease);
    let manifest = raw.http_nfc_lease_get_manifest().await.unwrap();
    assert_eq!((manifest[0].size, manifest[0].sha1.as_str()), (4096, disk.checksum.unwrap().to_string().as_str()));
    let machine = lease.entity().clone();
    lease.complete().await.unwrap();
    let imported = client.get::<VirtualMachine>("imported").await.unwrap();
    assert_eq!(imported.reference(), &machine);
    assert_eq!(imported.read(vm::NAME).await.unwrap(), "imported");
    client.logout().await.unwrap();
}

/// A file of 4 KiB whose first bytes are those of a disk for streaming.
fn streaming_disk(scratch: &Scratch) -> String {
    let mut bytes = vec![0; 4096];
    bytes[..4].copy_from_slice(b"KDMV");
    (bytes[4], bytes[10], bytes[77]) = (3, 3, 1);
    let path = scratch.file("disk.vmdk");
    std::fs::write(&path, bytes).unwrap();
    path
}

async fn import(client: &Client, name: &str) -> Lease {
    let pool = client.get::<ResourcePool>("/DC0/host/DC0_C0/Resources").await.unwrap();
    let host = client.get::<HostSystem>("DC0_C0_H0").await.unwrap();
    let datacenter = client.get::<Datacenter>("/DC0").await.unwrap();
    let folder: ManagedObjectReference = datacenter.read(datacenter::VM_FOLDER).await.unwrap();
    let mut controller = ParaVirtualSCSIController::default();
    controller.key = 1000;
    let mut disk = VirtualDisk { capacity_in_kb: 4, ..Default::default() };
    (disk.key, disk.controller_key, disk.unit_number) = (2000, Some(1000), Some(0));
    disk.backing = Some(Poly::new(VirtualDiskFlatVer2BackingInfo::default()));
    let add = |device| {
        Poly::new(VirtualDeviceConfigSpec {
            operation: Some(VirtualDeviceConfigSpecOperation::Add),
            file_operation: Some(VirtualDeviceConfigSpecFileOperation::Create),
            device,
            ..Default::default()
        })
    };
    let files = VirtualMachineFileInfo { vm_path_name: Some("[LocalDS_0]".to_owned()), ..Default::default() };
    let config_spec = VirtualMachineConfigSpec {
        name: Some(name.to_owned()),
        guest_id: Some("otherGuest".to_owned()),
        num_cpus: Some(1),
        memory_mb: Some(32),
        files: Some(Box::new(files)),
        device_change: vec![add(Poly::new(controller)), add(Poly::new(disk))],
        ..Default::default()
    };
    let spec = VirtualMachineImportSpec { config_spec, ..Default::default() };
    let lease = pool.import_v_app(&Poly::new(spec), Some(&folder), Some(host.reference())).await.unwrap();
    Lease::ready(client, &lease, &|_| ()).await.unwrap()
}
