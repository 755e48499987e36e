//! What real servers always set is set here, too, and says the same wherever it stands.

use vsphere_model::types::{Any, ManagedObjectReference};
use vsphere_sim::{Model, Vcsim};

use crate::support::Lab;

async fn assert_set(lab: &Lab, object: &ManagedObjectReference, paths: &[&str]) {
    for path in paths {
        assert_ne!(lab.read(object, path).await.unwrap(), Any::Unset, "{} has no {path}", object.type_);
    }
}

#[tokio::test]
async fn what_is_always_set_on_real_servers_is_set() {
    let lab = Lab::new(Model::vcsim(Vcsim::default())).await;
    let vm = lab.at("/DC0/vm/DC0_H0_VM0").await;
    let host = lab.at("/DC0/host/DC0_H0/DC0_H0").await;
    let cluster = lab.at("/DC0/host/DC0_C0").await;
    assert_set(
        &lab,
        &vm,
        &["config.fixedPassthruHotPlugEnabled", "config.metroFtEnabled", "config.numaInfo", "config.deviceSwap"],
    )
    .await;
    assert_set(&lab, &host, &["config.datastorePrincipal", "config.deploymentInfo", "config.graphicsConfig"]).await;
    // Nobody has vSAN, say the host and the cluster.
    let on = |object, path: &'static str| {
        let lab = &lab;
        async move { lab.read(object, path).await.unwrap().take::<bool>().unwrap() }
    };
    assert!(!on(&host, "config.vsanHostConfig.enabled").await);
    assert!(!on(&cluster, "configurationEx.vsanConfigInfo.enabled").await);
    let types = |any: Any| format!("{any:?}");
    let devices = types(lab.read(&host, "config.storageDevice.multipathInfo").await.unwrap());
    assert!(devices.contains("VMW_PSP_FIXED") && devices.contains("VMW_SATP_LOCAL"), "{devices}");
    let alarms = types(lab.read(&vm, "declaredAlarmState").await.unwrap());
    assert!(alarms.contains("event_key: 0") || alarms.contains("eventKey: 0"), "{alarms}");
}
