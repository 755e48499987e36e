//! Migrations, and the checker that tells what would stand in their way.

use crate::support::Lab;
use crate::support::machine::Site;
use vsphere_model::managed::{
    HostSystem, VirtualMachine, VirtualMachineProvisioningChecker, cluster_compute_resource, virtual_machine as vm,
};
use vsphere_model::types::{
    CannotAccessNetwork, CheckResult, FeatureRequirementsNotMet, ManagedObjectReference, Poly, VirtualCdrom,
    VirtualCdromAtapiBackingInfo, VirtualDevice, VirtualDeviceConfigSpec, VirtualDeviceConfigSpecOperation,
    VirtualDeviceConnectInfo, VirtualDisk, VirtualDiskFlatVer2BackingInfo, VirtualEthernetCard,
    VirtualEthernetCardNetworkBackingInfo, VirtualMachineConfigSpec, VirtualMachineRelocateSpec,
    VirtualMachineRelocateSpecDiskLocator,
};
use vsphere_sim::{Model, Size};
use vsphere_soap::request::ManagedObject as _;

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { datacenters: 2, clusters: 1, hosts: 4, datastores: 2, vms: 0 })).await
}

impl Lab {
    fn checker(&self) -> VirtualMachineProvisioningChecker {
        self.object(self.content.vm_provisioning_checker.as_ref().unwrap())
    }

    /// What the checker finds: the names of the faults, errors and warnings.
    async fn found(
        &self,
        machine: &VirtualMachine,
        spec: &VirtualMachineRelocateSpec,
        tests: &[&str],
    ) -> (Vec<String>, Vec<String>) {
        let tests: Vec<String> = tests.iter().map(|test| (*test).to_owned()).collect();
        let results: Vec<CheckResult> = self
            .run(self.checker().check_relocate_task(machine.handle().reference(), spec, &tests))
            .await
            .take()
            .unwrap();
        let names = |faults: Vec<&vsphere_model::types::LocalizedMethodFault>| {
            faults.into_iter().map(|fault| fault.fault.type_name().to_owned()).collect::<Vec<_>>()
        };
        let errors = names(results.iter().flat_map(|result| &result.error).collect());
        (errors, names(results.iter().flat_map(|result| &result.warning).collect()))
    }
}

async fn hosts(lab: &Lab, site: &Site) -> Vec<ManagedObjectReference> {
    lab.get(&site.cluster, cluster_compute_resource::HOST).await
}

/// A host of the cluster that the machine is not on.
async fn other_host(lab: &Lab, site: &Site, machine: &VirtualMachine) -> ManagedObjectReference {
    let own = lab.get(machine, vm::RUNTIME).await.host.unwrap();
    hosts(lab, site).await.into_iter().find(|host| *host != own).unwrap()
}

fn to_host(host: &ManagedObjectReference) -> VirtualMachineRelocateSpec {
    VirtualMachineRelocateSpec { host: Some(host.clone()), ..Default::default() }
}

async fn devices(lab: &Lab, machine: &VirtualMachine) -> Vec<Poly<VirtualDevice>> {
    lab.get(machine, vm::CONFIG).await.unwrap().hardware.device
}

async fn disk(lab: &Lab, machine: &VirtualMachine) -> VirtualDisk {
    devices(lab, machine).await.iter().find_map(|device| device.downcast_ref().cloned()).unwrap()
}

fn edit(device: Poly<VirtualDevice>) -> Poly<VirtualDeviceConfigSpec> {
    Poly::new(VirtualDeviceConfigSpec {
        operation: Some(VirtualDeviceConfigSpecOperation::Edit),
        device,
        ..Default::default()
    })
}

#[tokio::test]
async fn the_checker_finds_nothing_where_nothing_stands_in_the_way() {
    let lab = lab().await;
    let site = lab.site().await;
    let machine = lab.machine("web-1", &[]).await;
    lab.done(machine.power_on_vm_task(None)).await;
    let to = other_host(&lab, &site, &machine).await;
    assert_eq!(lab.found(&machine, &to_host(&to), &[]).await, (vec![], vec![]));
    // Nothing has moved.
    assert_ne!(lab.get(&machine, vm::RUNTIME).await.host, Some(to.clone()));
    lab.done(machine.relocate_vm_task(&to_host(&to), None)).await;
    assert_eq!(lab.get(&machine, vm::RUNTIME).await.host, Some(to));
}

#[tokio::test]
async fn the_checker_tells_of_hosts_that_take_no_machines() {
    let lab = lab().await;
    let site = lab.site().await;
    let machine = lab.machine("web-1", &[]).await;
    lab.done(machine.power_on_vm_task(None)).await;
    let to = other_host(&lab, &site, &machine).await;
    let host: HostSystem = lab.object(&to);
    lab.done(host.enter_maintenance_mode_task(0, None, None)).await;
    assert_eq!(lab.found(&machine, &to_host(&to), &[]).await.0, ["InvalidHostState"]);
    let fault = lab.refused(machine.relocate_vm_task(&to_host(&to), None)).await;
    assert_eq!(fault.type_name(), "InvalidHostState");
    let name: String = lab.read(&to, "name").await.unwrap().take().unwrap();
    lab.done(host.exit_maintenance_mode_task(0)).await;
    lab.sim.fail_host(&name).unwrap();
    assert_eq!(lab.found(&machine, &to_host(&to), &[]).await.0, ["HostNotConnected"]);
    // Other tests do not ask the host.
    assert_eq!(lab.found(&machine, &to_host(&to), &["datastoreTests"]).await.0, Vec::<String>::new());
}

#[tokio::test]
async fn a_connected_drive_of_the_host_holds_a_running_machine() {
    let lab = lab().await;
    let site = lab.site().await;
    let machine = lab.machine("web-1", &[]).await;
    lab.done(machine.power_on_vm_task(None)).await;
    let mut drive = devices(&lab, &machine).await.into_iter().find(|device| device.is::<VirtualCdrom>()).unwrap();
    let mut backing = VirtualCdromAtapiBackingInfo::default();
    backing.device_name = "/vmfs/devices/cdrom/mpx.vmhba64:C0:T0:L0".to_owned();
    drive.backing = Some(Poly::new(backing));
    drive.connectable = Some(Box::new(VirtualDeviceConnectInfo { connected: true, ..Default::default() }));
    let spec = VirtualMachineConfigSpec { device_change: vec![edit(drive)], ..Default::default() };
    lab.done(machine.reconfig_vm_task(&spec)).await;
    let to = other_host(&lab, &site, &machine).await;
    assert_eq!(lab.found(&machine, &to_host(&to), &[]).await.0, ["DisallowedMigrationDeviceAttached"]);
    let fault = lab.refused(machine.relocate_vm_task(&to_host(&to), None)).await;
    assert_eq!(fault.type_name(), "DisallowedMigrationDeviceAttached");
    lab.done(machine.power_off_vm_task()).await;
    lab.done(machine.relocate_vm_task(&to_host(&to), None)).await;
}

#[tokio::test]
async fn a_machine_goes_to_another_datacenter_with_its_files_and_another_network() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    lab.done(machine.power_on_vm_task(None)).await;
    let host = lab.at("/DC1/host/DC1_C0/DC1_C0_H0").await;
    let pool = lab.at("/DC1/host/DC1_C0/Resources").await;
    let store = lab.at("/DC1/datastore/DC1_DS1").await;
    let network = lab.at("/DC1/network/VM Network").await;
    // The host alone says too little: neither files nor network are seen there.
    let (errors, _) = lab.found(&machine, &to_host(&host), &[]).await;
    for fault in ["CannotAccessNetwork", "CannotAccessVmConfig", "CannotAccessVmDisk"] {
        assert!(errors.iter().any(|error| error == fault), "{fault}: {errors:?}");
    }
    let mut spec = VirtualMachineRelocateSpec { pool: Some(pool), datastore: Some(store.clone()), ..to_host(&host) };
    assert_eq!(lab.found(&machine, &spec, &[]).await.0, ["CannotAccessNetwork"]);
    let fault = lab.refused(machine.relocate_vm_task(&spec, None)).await;
    let fault: &CannotAccessNetwork = fault.downcast_ref().unwrap();
    assert!(fault.network.is_some() && fault.base.backing == "VM Network", "{fault:?}");

    let mut card = devices(&lab, &machine).await.into_iter().find(|device| device.is::<VirtualEthernetCard>()).unwrap();
    let mut backing = VirtualEthernetCardNetworkBackingInfo { network: Some(network.clone()), ..Default::default() };
    backing.device_name = "VM Network".to_owned();
    card.backing = Some(Poly::new(backing));
    spec.device_change = vec![edit(card)];
    assert_eq!(lab.found(&machine, &spec, &[]).await, (vec![], vec![]));
    let capacity = disk(&lab, &machine).await.capacity_in_bytes;
    lab.done(machine.relocate_vm_task(&spec, None)).await;
    assert_eq!(lab.get(&machine, vm::RUNTIME).await.host, Some(host));
    assert_eq!(lab.get(&machine, vm::DATASTORE).await, [store]);
    assert_eq!(lab.get(&machine, vm::NETWORK).await, [network]);
    assert_eq!(lab.get(&machine, vm::PARENT).await, Some(lab.at("/DC1/vm").await));
    assert_eq!(lab.at("/DC1/vm/web-1").await, *machine.handle().reference());
    let disk = disk(&lab, &machine).await;
    assert_eq!(disk.capacity_in_bytes, capacity);
    let file =
        disk.backing.as_ref().unwrap().downcast_ref::<VirtualDiskFlatVer2BackingInfo>().unwrap().file_name.clone();
    assert!(file.starts_with("[DC1_DS1] web-1/"), "{file}");
    lab.done(machine.power_off_vm_task()).await;
    lab.done(machine.power_on_vm_task(None)).await;
}

#[tokio::test]
async fn a_running_machine_does_not_go_to_older_processors() {
    let lab = Lab::new(Model::demo()).await;
    let machine: VirtualMachine = lab.object(&lab.at("/fra1/vm/prod/web/web-01").await);
    let host = lab.at("/fra1/host/lab-cluster/esx-05.corp.example").await;
    let vms = [machine.handle().reference().clone()];
    let query = lab.checker().query_v_motion_compatibility_ex_task(&vms, std::slice::from_ref(&host));
    let results: Vec<CheckResult> = lab.run(query).await.take().unwrap();
    assert_eq!((results.len(), &results[0].host), (1, &Some(host)));
    let fault: &FeatureRequirementsNotMet = results[0].error[0].fault.downcast_ref().unwrap();
    assert_eq!(fault.feature_requirement[0].key, "cpuid.amx_tile");
    // One that is off has seen no processor.
    let off: VirtualMachine = lab.object(&lab.at("/fra1/vm/prod/web/web-04").await);
    let vms = [off.handle().reference().clone()];
    let hosts = [lab.at("/fra1/host/lab-cluster/esx-05.corp.example").await];
    let results: Vec<CheckResult> =
        lab.run(lab.checker().query_v_motion_compatibility_ex_task(&vms, &hosts)).await.take().unwrap();
    assert!(results[0].error.is_empty(), "{results:?}");
}

#[tokio::test]
async fn a_disk_that_moves_is_stored_as_the_locator_says() {
    let lab = lab().await;
    let machine = lab.machine("web-1", &[]).await;
    let store = lab.at("/DC0/datastore/DC0_DS1").await;
    let free = async || -> i64 { lab.read(&store, "summary.freeSpace").await.unwrap().take().unwrap() };
    let before = free().await;
    let key = disk(&lab, &machine).await.key;
    let backing = VirtualDiskFlatVer2BackingInfo {
        disk_mode: "persistent".to_owned(),
        thin_provisioned: Some(false),
        eagerly_scrub: Some(true),
        ..Default::default()
    };
    let locator = VirtualMachineRelocateSpecDiskLocator {
        disk_id: key,
        datastore: store.clone(),
        disk_backing_info: Some(Poly::new(backing)),
        ..Default::default()
    };
    let spec = VirtualMachineRelocateSpec { disk: vec![locator], ..Default::default() };
    lab.done(machine.relocate_vm_task(&spec, None)).await;
    let disk = disk(&lab, &machine).await;
    let flat: &VirtualDiskFlatVer2BackingInfo = disk.backing.as_ref().unwrap().downcast_ref().unwrap();
    assert_eq!((flat.thin_provisioned, flat.eagerly_scrub), (Some(false), Some(true)));
    assert!(before - free().await >= 16 << 30);
}
