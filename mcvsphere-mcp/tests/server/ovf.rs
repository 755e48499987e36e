//! The tools for OVF packages: what they make is read from the VM, and what they write from the files.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use rmcp::{
    ClientHandler, RoleClient,
    model::{CallToolRequest, CallToolRequestParams, ClientRequest, ProgressNotificationParam},
    service::{NotificationContext, RunningService},
};
use serde_json::{Value, json};
use vsphere_ops::managed::{Datastore, VirtualMachine, datastore, virtual_machine as vm};

use crate::{
    confirm::older,
    disks::{Mcp, call, refused},
    lab::Lab,
};

/// The directory of `MCP_FILES`, with a package in it.
struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ovf-{:016x}", fastrand::u64(..)));
        fs::create_dir_all(path.join("in")).unwrap();
        fs::write(path.join("in/web.ovf"), DESCRIPTOR).unwrap();
        fs::write(path.join("in/web.vmdk"), disk()).unwrap();
        Self(path)
    }

    /// A package whose disk takes longer to send than any test does: what is in it takes no space here.
    fn add_endless(&self) {
        const SIZE: u64 = 64 << 30;
        let descriptor = DESCRIPTOR.replace("web.vmdk", "endless.vmdk").replace("800000", &SIZE.to_string());
        fs::write(self.0.join("in/endless.ovf"), descriptor).unwrap();
        let disk_file = self.0.join("in/endless.vmdk");
        fs::write(&disk_file, &disk()[..512]).unwrap();
        fs::OpenOptions::new().write(true).open(disk_file).unwrap().set_len(SIZE).unwrap();
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(folder)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    async fn client(&self, lab: &Lab) -> Mcp {
        older(lab.server(&[("MCP_CONFIRM", "never"), ("MCP_FILES", self.0.to_str().unwrap())]), ()).await
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The start of a disk as a lease takes it, and some bytes.
fn disk() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    bytes[..80].fill(0);
    bytes[..9].copy_from_slice(b"KDMV\x03\0\0\0\x01");
    (bytes[10], bytes[14], bytes[77]) = (3, 2, 1);
    bytes
}

const DESCRIPTOR: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
  <References><File ovf:href="web.vmdk" ovf:id="file1" ovf:size="800000"/></References>
  <DiskSection><Info>Disks</Info>
    <Disk ovf:capacity="64" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection><Info>Networks</Info>
    <Network ovf:name="Front"><Description>To users</Description></Network>
    <Network ovf:name="Back"><Description>To databases</Description></Network>
  </NetworkSection>
  <VirtualSystem ovf:id="web"><Info>A VM</Info><Name>web</Name>
    <EulaSection><Info>Licence</Info><License>Be nice.</License></EulaSection>
    <ProductSection><Info>Product</Info><Product>Web</Product><Vendor>Corp</Vendor><Version>1</Version>
      <Property ovf:key="hostname" ovf:type="string" ovf:qualifiers="MinLen(1)" ovf:userConfigurable="true"/>
      <Property ovf:key="password" ovf:type="string" ovf:password="true" ovf:userConfigurable="true"/>
      <Property ovf:key="workers" ovf:type="int32" ovf:userConfigurable="true" ovf:value="2"/>
    </ProductSection>
    <VirtualHardwareSection><Info>Hardware</Info>
      <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>1024</rasd:VirtualQuantity></Item>
      <Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:Connection>Front</rasd:Connection><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>
      <Item><rasd:Connection>Back</rasd:Connection><rasd:InstanceID>6</rasd:InstanceID><rasd:ResourceSubType>E1000</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#;

fn full(name: &str) -> Value {
    json!({
        "source": "in/web.ovf", "vm_name": name, "network": "VM Network", "accept_eula": true,
        "properties": [format!("hostname={name}"), "password=hunter2", "workers=4"],
    })
}

#[tokio::test]
async fn a_package_is_shown_deployed_exported_and_deployed_again() {
    let (lab, files) = (Lab::new().await, Files::new());
    let client = files.client(&lab).await;
    let shown = call(&client, "list_ovf_networks", json!({ "source": "in/web.ovf" })).await.unwrap();
    assert_eq!(
        shown["networks"],
        json!([
            { "name": "Front", "description": { "untrusted": "To users" } },
            { "name": "Back", "description": { "untrusted": "To databases" } },
        ])
    );
    assert_eq!((&shown["eulas"][0]["untrusted"], &shown["name"]), (&json!("Be nice."), &json!("web")));
    let keys: Vec<&str> =
        shown["properties"].as_array().unwrap().iter().map(|property| property["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["hostname", "password", "workers"]);

    let done = call(&client, "deploy_ovf", full("web-1")).await.unwrap();
    assert_eq!((&done["name"], &done["files"], &done["bytes"]), (&json!("web-1"), &json!(1), &json!(800_000)));
    assert_eq!((&done["power_state"], &done["verified"]), (&json!("powered_off"), &json!(false)));
    let machine = lab.client.get::<VirtualMachine>("web-1").await.unwrap();
    let config = machine.read(vm::CONFIG).await.unwrap().unwrap();
    let values: Vec<_> = config.v_app_config.as_ref().unwrap().property.iter().map(|it| it.value.clone()).collect();
    assert_eq!(values, [Some("web-1".into()), Some("hunter2".into()), Some("4".into())]);

    // As a folder, and as an archive of which another VM is made.
    let done =
        call(&client, "export_ovf", json!({ "vm": "web-1", "target": "out", "manifest": "sha1" })).await.unwrap();
    assert_eq!(done["descriptor"], "web-1.ovf");
    assert_eq!(files.names("out"), ["web-1-disk-1.vmdk", "web-1-nvram-1.nvram", "web-1.mf", "web-1.ovf"]);
    assert!(fs::read(files.0.join("out/web-1-disk-1.vmdk")).unwrap() == disk());
    assert!(fs::read_to_string(files.0.join("out/web-1.mf")).unwrap().starts_with("SHA1(web-1.ovf)= "));
    let to_archive = json!({ "vm": "web-1", "target": "web.ova", "as_ova": true });
    call(&client, "export_ovf", to_archive.clone()).await.unwrap();
    let again = json!({
        "source": "web.ova", "vm_name": "web-2", "accept_eula": true, "power_on": true,
        "networks": ["VM Network=/DC0/network/VM Network"], "properties": ["hostname=two"],
    });
    let done = call(&client, "deploy_ovf", again).await.unwrap();
    assert_eq!((&done["power_state"], &done["verified"]), (&json!("powered_on"), &json!(true)));

    // Nothing is overwritten.
    let (code, text) = refused(&client, "export_ovf", to_archive).await;
    assert!(code == "file" && text.contains("web.ova"), "{code} {text}");
    // To a datastore and from there, by the tool's older name.
    let target = json!({ "vm_name": "web-1", "target_path": "[DC0_DS0] exported" });
    call(&client, "export_vm_ovf", target).await.unwrap();
    let shown =
        call(&client, "list_ovf_networks", json!({ "ovf_path": "[DC0_DS0] exported/web-1.ovf" })).await.unwrap();
    assert_eq!(shown["manifest"], true);
    // As an archive as well.
    let target = json!({ "vm": "web-1", "target": "[DC0_DS0] archives/web.ova", "as_ova": true });
    call(&client, "export_ovf", target.clone()).await.unwrap();
    let source = json!({ "source": "[DC0_DS0] archives/web.ova" });
    let shown = call(&client, "list_ovf_networks", source.clone()).await.unwrap();
    assert_eq!((&shown["name"], &shown["manifest"]), (&json!("web-1"), &json!(true)));
    let again = json!({
        "source": source["source"], "vm_name": "web-3", "network": "VM Network", "accept_eula": true,
        "properties": ["hostname=three"],
    });
    assert_eq!(call(&client, "deploy_ovf", again).await.unwrap()["verified"], true);
    let there = call(&client, "browse_datastore", json!({ "datastore": "DC0_DS0", "path": "archives" })).await.unwrap();
    assert_eq!(there["items"].as_array().unwrap().len(), 1, "{there}");
    let (code, text) = refused(&client, "export_ovf", target).await;
    assert!(code == "invalid_state" && text.contains("is there already"), "{code} {text}");
}

#[tokio::test]
async fn what_a_call_lacks_is_told_with_what_to_do() {
    let (lab, files) = (Lab::new().await, Files::new());
    let client = files.client(&lab).await;
    let without = |key: &str| {
        let mut arguments = full("web-1");
        arguments.as_object_mut().unwrap().remove(key);
        arguments
    };
    for (arguments, code, says) in [
        (without("accept_eula"), "invalid_argument", "set accept_eula once they agree"),
        (without("network"), "invalid_argument", "Front, Back"),
        (without("properties"), "invalid_argument", "\"hostname\" needs a value"),
        (
            json!({ "source": "in/web.ovf", "vm_name": "a", "properties": ["hunter2"] }),
            "invalid_argument",
            "has no `=`",
        ),
        (json!({ "source": "none.ova", "vm_name": "a" }), "not_found", "no such file"),
        (json!({ "source": "../x.ova", "vm_name": "a" }), "file", "MCP_FILES"),
        (json!({ "source": "/etc/passwd", "vm_name": "a" }), "file", "MCP_FILES"),
        (json!({ "source": "https://example.org/x.ova", "vm_name": "a" }), "config", "MCP_URLS"),
        (json!({ "source": "[DC0_DS0] none.ova", "vm_name": "a" }), "not_found", "none.ova"),
    ] {
        let (found, text) = refused(&client, "deploy_ovf", arguments).await;
        assert_eq!(found, code, "{text}");
        assert!(text.contains(says) && !text.contains("hunter2"), "{says}: {text}");
    }
    lab.running("on-1").await;
    let (code, text) = refused(&client, "export_ovf", json!({ "vm": "on-1", "target": "out" })).await;
    assert!(code == "fault" && text.contains("`snapshot`") && text.contains("create_snapshot"), "{code} {text}");
    let target = json!({ "vm": "on-1", "target": "[DC0_DS0] x.ova", "as_ova": true });
    let (code, text) = refused(&client, "export_ovf", target).await;
    assert!(code == "fault" && text.contains("`snapshot`"), "{code} {text}");

    let client = older(lab.server(&[("MCP_CONFIRM", "never")]), ()).await;
    let (code, text) = refused(&client, "deploy_ovf", full("web-1")).await;
    assert!(code == "config" && text.contains("MCP_FILES"), "{text}");
}

/// A client that keeps the progress it is told of.
#[derive(Clone, Default)]
struct Listens(Arc<Mutex<Vec<ProgressNotificationParam>>>);

impl ClientHandler for Listens {
    async fn on_progress(&self, progress: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.0.lock().unwrap().push(progress);
    }
}

#[tokio::test]
async fn progress_is_told_by_bytes() {
    let (lab, files) = (Lab::new().await, Files::new());
    let listens = Listens::default();
    let set = [("MCP_CONFIRM", "never"), ("MCP_FILES", files.0.to_str().unwrap())];
    let client: RunningService<RoleClient, Listens> = older(lab.server(&set), listens.clone()).await;
    let calls = [
        ("deploy_ovf", full("web-1"), "deploy web-1: 100 %"),
        ("export_ovf", json!({ "vm": "web-1", "target": "out" }), "export web-1: 0 MB"),
    ];
    for (tool, arguments, says) in calls {
        let request = CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
        // rmcp gives every request a progress token.
        let result = client.call_tool(request).await.unwrap();
        assert_ne!(result.is_error, Some(true), "{result:?}");
        let told = std::mem::take(&mut *listens.0.lock().unwrap());
        let texts: Vec<&str> = told.iter().filter_map(|progress| progress.message.as_deref()).collect();
        assert!(texts.contains(&says), "{says}: {texts:?}");
        assert!(told.windows(2).all(|two| two[0].progress < two[1].progress), "{told:?}");
    }
}

/// How soon nothing may be left of a call that was given up.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_deployment_that_is_given_up_in_the_middle_of_an_upload_leaves_nothing() {
    for says_so in [true, false] {
        let (lab, files) = (Lab::new().await, Files::new());
        files.add_endless();
        let store = lab.client.get::<Datastore>("DC0_DS0").await.unwrap();
        let free = store.read(datastore::SUMMARY).await.unwrap().free_space;
        let listens = Listens::default();
        let set = [("MCP_CONFIRM", "never"), ("MCP_FILES", files.0.to_str().unwrap())];
        let client: RunningService<RoleClient, Listens> = older(lab.server(&set), listens.clone()).await;
        let mut arguments = full("endless");
        arguments["source"] = json!("in/endless.ovf");
        let request = CallToolRequestParams::new("deploy_ovf").with_arguments(arguments.as_object().unwrap().clone());
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(request));
        let call = client.send_cancellable_request(request, Default::default()).await.unwrap();
        // It is in the middle once it has told of the first bytes.
        while listens.0.lock().unwrap().iter().all(|told| told.progress <= 0.0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        lab.client.get::<VirtualMachine>("endless").await.unwrap();
        assert_eq!((lab.sim.calls("HttpNfcLeaseAbort"), lab.sim.calls("HttpNfcLeaseComplete")), (0, 0));
        match says_so {
            true => call.cancel(Some("enough".to_owned())).await.unwrap(),
            // The connection ends, and nobody waits for the answer.
            false => drop((call, client.cancel().await)),
        }
        let nothing_is_left = async {
            while lab.client.get::<VirtualMachine>("endless").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // When a connection ends, rmcp lets the calls on it go on for 5 s.
        let soon = if says_so { SOON } else { 2 * SOON };
        assert!(tokio::time::timeout(soon, nothing_is_left).await.is_ok(), "the client says so: {says_so}");
        // The VM went with its lease, which was ended, and has not timed out.
        assert_eq!(lab.sim.calls("HttpNfcLeaseAbort"), 1, "the client says so: {says_so}");
        assert_eq!(store.read(datastore::SUMMARY).await.unwrap().free_space, free);
    }
}
