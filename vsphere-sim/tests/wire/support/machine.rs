//! Virtual machines for the tests, made as any client makes them.

use vsphere_model::managed::{
    ClusterComputeResource, Datacenter, EventManager, Folder, VirtualMachine, cluster_compute_resource, datacenter,
    folder,
};
use vsphere_model::types::{
    Any, EventFilterSpec, EventFilterSpecByEntity, EventFilterSpecRecursionOption, ManagedObjectReference, Object,
    OptionValue, ParaVirtualSCSIController, Poly, TaskInfo, VirtualCdrom, VirtualCdromRemotePassthroughBackingInfo,
    VirtualController, VirtualDevice, VirtualDeviceConfigSpec, VirtualDeviceConfigSpecFileOperation,
    VirtualDeviceConfigSpecOperation, VirtualDeviceConnectInfo, VirtualDeviceDeviceBackingInfo,
    VirtualDeviceFileBackingInfo, VirtualDisk, VirtualDiskFlatVer2BackingInfo, VirtualEthernetCard,
    VirtualEthernetCardNetworkBackingInfo, VirtualMachineConfigSpec, VirtualMachineFileInfo, VirtualSCSIController,
    VirtualSCSISharing, VirtualVmxnet, VirtualVmxnet3,
};
use vsphere_soap::object::{Extends, ManagedObjectReference as Moref};
use vsphere_soap::request::{ManagedObject as _, Request};

use super::Lab;

/// Where machines are put in a sized model: its first datacenter, cluster, datastore and network.
pub(crate) struct Site {
    pub(crate) datacenter: Datacenter,
    pub(crate) folder: Folder,
    pub(crate) cluster: ClusterComputeResource,
    pub(crate) pool: Moref,
    pub(crate) datastore: String,
    pub(crate) network: Moref,
}

impl Lab {
    pub(crate) async fn site(&self) -> Site {
        let root: Folder = self.object(&self.content.root_folder);
        let datacenter: Datacenter = self.object(&self.get(&root, folder::CHILD_ENTITY).await[0]);
        let hosts: Folder = self.object(&self.get(&datacenter, datacenter::HOST_FOLDER).await);
        let cluster: ClusterComputeResource = self.object(&self.get(&hosts, folder::CHILD_ENTITY).await[0]);
        let datastore = &self.get(&datacenter, datacenter::DATASTORE).await[0];
        Site {
            folder: self.object(&self.get(&datacenter, datacenter::VM_FOLDER).await),
            pool: self.get(&cluster, cluster_compute_resource::RESOURCE_POOL).await.unwrap(),
            datastore: self.read(datastore, "name").await.unwrap().take().unwrap(),
            network: self.get(&datacenter, datacenter::NETWORK).await[0].clone(),
            datacenter,
            cluster,
        }
    }

    /// A machine with a disk, a network card and a CD-ROM drive, with these values in its `extraConfig`.
    pub(crate) async fn machine(&self, name: &str, extra: &[(&str, &str)]) -> VirtualMachine {
        let site = self.site().await;
        self.machine_of(&site, name, extra, |_| {}).await
    }

    /// Runs a task that succeeds.
    pub(crate) async fn done(&self, request: Request<ManagedObjectReference>) -> TaskInfo {
        let task = self.task(request).await.unwrap();
        assert_eq!(task.error, None);
        task
    }

    /// Runs a task that fails, or is refused, and gives the fault.
    pub(crate) async fn refused(&self, request: Request<ManagedObjectReference>) -> Object {
        match self.task(request).await {
            Ok(task) => task.error.unwrap().fault.into_object(),
            Err(error) => error.fault().and_then(|fault| fault.detail.clone()).unwrap(),
        }
    }

    /// A machine with a system that has Tools.
    pub(crate) async fn machine_with_tools(&self, name: &str) -> VirtualMachine {
        self.machine(name, &[("guestinfo.sim.hostname", name)]).await
    }

    /// The same, with a specification that is changed before.
    pub(crate) async fn machine_of(
        &self,
        site: &Site,
        name: &str,
        extra: &[(&str, &str)],
        change: impl FnOnce(&mut VirtualMachineConfigSpec),
    ) -> VirtualMachine {
        let mut spec = spec(site, name, extra);
        change(&mut spec);
        let task = self.task(site.folder.create_vm_task(&spec, &site.pool, None)).await.unwrap();
        assert_eq!(task.error, None);
        self.object(&task.result.unwrap().take::<ManagedObjectReference>().unwrap())
    }
}

impl Lab {
    /// The types of the events about a machine, oldest first.
    pub(crate) async fn events(&self, about: &VirtualMachine) -> Vec<String> {
        let manager: EventManager = self.object(self.content.event_manager.as_ref().unwrap());
        let entity = EventFilterSpecByEntity {
            entity: about.handle().reference().clone(),
            recursion: EventFilterSpecRecursionOption::Self_,
        };
        let filter = EventFilterSpec { entity: Some(Box::new(entity)), ..Default::default() };
        let mut events = manager.query_events(&filter, None).await.unwrap();
        events.sort_by_key(|event| event.key);
        events.iter().map(|event| event.type_name().to_owned()).collect()
    }
}

fn spec(site: &Site, name: &str, extra: &[(&str, &str)]) -> VirtualMachineConfigSpec {
    let option = |(key, value): &(&str, &str)| {
        Poly::new(OptionValue { key: (*key).to_owned(), value: Some(Any::from((*value).to_owned())) })
    };
    VirtualMachineConfigSpec {
        name: Some(name.to_owned()),
        guest_id: Some("ubuntu64Guest".to_owned()),
        num_cpus: Some(2),
        memory_mb: Some(4096),
        files: Some(Box::new(VirtualMachineFileInfo {
            vm_path_name: Some(format!("[{}]", site.datastore)),
            ..Default::default()
        })),
        extra_config: extra.iter().map(option).collect(),
        device_change: hardware(site),
        ..Default::default()
    }
}

/// The devices of a machine: a controller with a disk, a network card, a CD-ROM drive.
pub(crate) fn hardware(site: &Site) -> Vec<Poly<VirtualDeviceConfigSpec>> {
    vec![add(controller(), false), add(disk(&site.datastore, 0), true), add(card(site), false), add(drive(), false)]
}

pub(crate) fn add<D: Extends<VirtualDevice>>(device: D, file: bool) -> Poly<VirtualDeviceConfigSpec> {
    Poly::new(VirtualDeviceConfigSpec {
        operation: Some(VirtualDeviceConfigSpecOperation::Add),
        file_operation: file.then_some(VirtualDeviceConfigSpecFileOperation::Create),
        device: Poly::new(device),
        ..Default::default()
    })
}

fn controller() -> ParaVirtualSCSIController {
    let device = VirtualDevice { key: 1000, ..Default::default() };
    let controller = VirtualController { base: device, bus_number: 0, ..Default::default() };
    let shared_bus = VirtualSCSISharing::NoSharing;
    ParaVirtualSCSIController { base: VirtualSCSIController { base: controller, shared_bus, ..Default::default() } }
}

/// A disk of 16 GB at this unit of the controller.
pub(crate) fn disk(datastore: &str, unit: i32) -> VirtualDisk {
    let file = VirtualDeviceFileBackingInfo { file_name: format!("[{datastore}]"), ..Default::default() };
    let backing = VirtualDiskFlatVer2BackingInfo {
        base: file,
        disk_mode: "persistent".to_owned(),
        thin_provisioned: Some(true),
        ..Default::default()
    };
    let device = VirtualDevice {
        key: -1,
        controller_key: Some(1000),
        unit_number: Some(unit),
        backing: Some(Poly::new(backing)),
        ..Default::default()
    };
    VirtualDisk { base: device, capacity_in_kb: 16 << 20, ..Default::default() }
}

fn card(site: &Site) -> VirtualVmxnet3 {
    let named = VirtualDeviceDeviceBackingInfo { device_name: "VM Network".to_owned(), ..Default::default() };
    let backing = VirtualEthernetCardNetworkBackingInfo {
        base: named,
        network: Some(site.network.clone()),
        ..Default::default()
    };
    let connectable = VirtualDeviceConnectInfo { start_connected: true, connected: true, ..Default::default() };
    let device = VirtualDevice {
        key: -2,
        backing: Some(Poly::new(backing)),
        connectable: Some(Box::new(connectable)),
        ..Default::default()
    };
    let card = VirtualEthernetCard { base: device, ..Default::default() };
    VirtualVmxnet3 { base: VirtualVmxnet { base: card }, ..Default::default() }
}

fn drive() -> VirtualCdrom {
    let device = VirtualDevice {
        key: -3,
        controller_key: Some(200),
        unit_number: Some(0),
        backing: Some(Poly::new(VirtualCdromRemotePassthroughBackingInfo::default())),
        ..Default::default()
    };
    VirtualCdrom { base: device }
}
