//! The details of a VM as a server writes them, with all that is unusual, and with nothing of it.

use vsphere_ops::managed::VirtualMachine;
use vsphere_ops::vm::{VmCdDrive, VmInfo, VmResources};

use crate::server::{Reply, Server, object};

const DRIVES: &str = r#"
    <device xsi:type="VirtualCdrom"><key>3000</key>
        <deviceInfo><label>CD/DVD drive 1</label><summary>ISO</summary></deviceInfo>
        <backing xsi:type="VirtualCdromIsoBackingInfo"><fileName>[iso] linux/a.iso</fileName></backing>
        <connectable><startConnected>true</startConnected><allowGuestControl>true</allowGuestControl>
            <connected>false</connected></connectable></device>
    <device xsi:type="VirtualCdrom"><key>3001</key>
        <deviceInfo><label>CD/DVD drive 2</label><summary>ATAPI</summary></deviceInfo>
        <backing xsi:type="VirtualCdromAtapiBackingInfo"><deviceName>/vmfs/devices/cdrom/mpx0</deviceName></backing>
        <connectable><startConnected>false</startConnected><allowGuestControl>true</allowGuestControl>
            <connected>true</connected></connectable></device>
    <device xsi:type="VirtualCdrom"><key>16000</key>
        <deviceInfo><label>CD/DVD drive 3</label><summary>Remote</summary></deviceInfo>
        <backing xsi:type="VirtualCdromRemotePassthroughBackingInfo"><deviceName></deviceName>
            <exclusive>false</exclusive></backing></device>"#;

/// An allocation of CPU or memory.
fn given(name: &str, reservation: i64, limit: i64, shares: i32, level: &str) -> String {
    format!(
        "<{name}><reservation>{reservation}</reservation><expandableReservation>false</expandableReservation>\
         <limit>{limit}</limit><shares><shares>{shares}</shares><level>{level}</level></shares></{name}>"
    )
}

async fn info(devices: &str, config: String, runtime: &'static str) -> VmInfo {
    let config = format!(
        "<name>web</name><template>false</template><hardware><numCPU>2</numCPU><memoryMB>4096</memoryMB>{devices}\
         </hardware>{config}"
    );
    let server = Server::start(move |call| match call.operation.as_str() {
        "RetrievePropertiesEx" => Reply::value(&object(
            "VirtualMachine",
            "vm-1",
            &[
                ("name", "xsd:string", "web"),
                ("config", "VirtualMachineConfigInfo", &config),
                (
                    "runtime",
                    "VirtualMachineRuntimeInfo",
                    &format!("<connectionState>connected</connectionState><powerState>poweredOn</powerState>{runtime}"),
                ),
                ("resourcePool", "ManagedObjectReference\" type=\"ResourcePool", "resgroup-8"),
            ],
        )),
        _ => Reply::Usual,
    })
    .await;
    server.client().await.get::<VirtualMachine>("VirtualMachine:vm-1").await.unwrap().info().await.unwrap()
}

#[tokio::test]
async fn what_is_unusual_about_a_vm_is_told() {
    let config = given("cpuAllocation", 500, 2000, 4000, "high")
        + &given("memoryAllocation", 4096, -1, 1234, "custom")
        + "<memoryHotAddEnabled>true</memoryHotAddEnabled><cpuHotAddEnabled>false</cpuHotAddEnabled>\
           <vAppConfig><product><key>0</key><name>GitLab</name><vendor>Example Inc</vendor><version>15</version>\
           </product></vAppConfig><managedBy><extensionKey>com.vmware.vcDr</extensionKey><type>placeholderVm</type>\
           </managedBy><memoryReservationLockedToMax>true</memoryReservationLockedToMax>\
           <keyId><keyId>0815</keyId></keyId>";
    let runtime = "<faultToleranceState>needSecondary</faultToleranceState>\
                   <toolsInstallerMounted>false</toolsInstallerMounted>\
                   <question><id>7</id><text>Did you move or copy it?</text><choice/></question>\
                   <consolidationNeeded>true</consolidationNeeded>";
    let info = info(DRIVES, config, runtime).await;
    assert_eq!((info.cpu_hot_add, info.memory_hot_add), (false, true));
    assert_eq!(
        info.resources,
        VmResources {
            cpu_reservation_mhz: Some(500),
            cpu_limit_mhz: Some(2000),
            cpu_shares: Some(4000),
            cpu_shares_level: Some("high".to_owned()),
            memory_reservation_mb: Some(4096),
            memory_limit_mb: None,
            memory_shares: Some(1234),
            memory_shares_level: Some("custom".to_owned()),
            memory_reservation_locked: true,
        }
    );
    let drive = |label: &str, key, iso: Option<&str>, device: Option<&str>, connected, start_connected| VmCdDrive {
        label: label.to_owned(),
        key,
        iso: iso.map(str::to_owned),
        device: device.map(str::to_owned),
        connected,
        start_connected,
    };
    assert_eq!(
        info.cd_drives,
        [
            drive("CD/DVD drive 1", 3000, Some("[iso] linux/a.iso"), None, false, true),
            drive("CD/DVD drive 2", 3001, None, Some("/vmfs/devices/cdrom/mpx0"), true, false),
            drive("CD/DVD drive 3", 16000, None, None, false, false),
        ]
    );
    assert_eq!(info.question.as_deref(), Some("Did you move or copy it?"));
    assert_eq!((info.encrypted, info.consolidation_needed), (true, true));
    assert_eq!(info.fault_tolerance.as_deref(), Some("need_secondary"));
    assert_eq!(info.managed_by.as_deref(), Some("com.vmware.vcDr"));
    assert_eq!(info.product.as_deref(), Some("GitLab 15 (Example Inc)"));
    // The server does not tell its name.
    assert_eq!(info.pool.as_deref(), Some("resgroup-8"));
}

#[tokio::test]
async fn what_is_usual_about_a_vm_is_absent() {
    let config = given("cpuAllocation", 0, -1, 2000, "normal")
        + &given("memoryAllocation", 0, -1, 40960, "normal")
        + "<memoryHotAddEnabled>false</memoryHotAddEnabled>";
    let shown = info("", config, "<faultToleranceState>notConfigured</faultToleranceState>").await;
    let shown = serde_json::to_value(shown).unwrap();
    for absent in [
        "cpu_hot_add",
        "memory_hot_add",
        "cpu_reservation_mhz",
        "cpu_limit_mhz",
        "cpu_shares",
        "cpu_shares_level",
        "memory_reservation_mb",
        "memory_limit_mb",
        "memory_shares",
        "memory_shares_level",
        "memory_reservation_locked",
        "cd_drives",
        "consolidation_needed",
        "question",
        "encrypted",
        "fault_tolerance",
        "managed_by",
        "product",
    ] {
        assert_eq!(shown.get(absent), None, "{absent}: {shown:#}");
    }
}
