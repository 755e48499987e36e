//! What is unusual about a VM among its details.

use serde_json::json;
use vsphere_ops::types::{ManagedByInfo, ResourceAllocationInfo, SharesInfo, SharesLevel, VirtualMachineConfigSpec};

use crate::{confirm::older, isos::image, lab::Lab, power::good};

#[tokio::test]
async fn reservations_drives_and_who_manages_a_vm_are_among_its_details_where_they_are_unusual() {
    let lab = Lab::new().await;
    let machine = lab.machine("web-1").await;
    image(&lab, "DC0_DS0", "iso/a.iso").await;
    let client = older(lab.server(&[("MCP_CONFIRM", "never")]), ()).await;
    let usual = good(&client, "get_vm_info", json!({ "vm": "web-1" })).await;
    assert_eq!(usual["pool"], "/DC0/host/DC0_C0/Resources", "{usual:#}");
    for absent in ["memory_hot_add", "cpu_reservation_mhz", "memory_shares", "managed_by", "question", "encrypted"] {
        assert!(usual.get(absent).is_none(), "{absent}: {usual:#}");
    }

    let shares = SharesInfo { shares: 8000, level: SharesLevel::Custom };
    let cpu = ResourceAllocationInfo {
        reservation: Some(100),
        limit: Some(1500),
        shares: Some(Box::new(shares)),
        ..Default::default()
    };
    let owner = ManagedByInfo { extension_key: "com.example.backup".to_owned(), type_: "vm".to_owned() };
    let spec = VirtualMachineConfigSpec {
        cpu_allocation: Some(Box::new(cpu)),
        managed_by: Some(Box::new(owner)),
        memory_hot_add_enabled: Some(true),
        ..Default::default()
    };
    let task = machine.reconfig_vm_task(&spec).await.unwrap();
    vsphere_ops::Task::<()>::new(machine.client(), task, "reconfigure", machine.label()).await.unwrap();
    good(&client, "attach_iso", json!({ "vm": "web-1", "iso_path": "[DC0_DS0] iso/a.iso" })).await;

    let info = good(&client, "get_vm_info", json!({ "vm": "web-1" })).await;
    assert_eq!((&info["memory_hot_add"], info.get("cpu_hot_add")), (&json!(true), None), "{info:#}");
    assert_eq!((&info["cpu_reservation_mhz"], &info["cpu_limit_mhz"]), (&json!(100), &json!(1500)));
    assert_eq!((&info["cpu_shares"], &info["cpu_shares_level"]), (&json!(8000), &json!("custom")));
    assert_eq!(info["managed_by"], "com.example.backup");
    let drive = &info["cd_drives"][0];
    assert_eq!((&drive["iso"], &drive["start_connected"]), (&json!("[DC0_DS0] iso/a.iso"), &json!(true)), "{info:#}");
    assert_eq!((&drive["connected"], drive.get("device")), (&json!(false), None));
}
