//! Virtual machines for the tests, made as any client makes them.

use vsphere_model::managed::{
    ClusterComputeResource, Datacenter, Folder, VirtualMachine, cluster_compute_resource, datacenter, folder,
};
use vsphere_model::types::{
    Any, ManagedObjectReference, OptionValue, ParaVirtualSCSIController, Poly, VirtualCdrom,
    VirtualCdromRemotePassthroughBackingInfo, VirtualDevice, VirtualDeviceConfigSpec,
    VirtualDeviceConfigSpecFileOperation, VirtualDeviceConfigSpecOperation, VirtualDeviceConnectInfo, VirtualDisk,
    VirtualDiskFlatVer2BackingInfo, VirtualEthernetCardNetworkBackingInfo, VirtualMachineConfigSpec,
    VirtualMachineFileInfo, VirtualSCSISharing, VirtualVmxnet3,
};
use vsphere_soap::object::{Extends, ManagedObjectReference as Moref};

use super::Lab;

/// Where machines are put in a sized model: its first datacenter, cluster, datastore and network.
pub struct Site {
    pub datacenter: Datacenter,
    pub folder: Folder,
    pub cluster: ClusterComputeResource,
    pub pool: Moref,
    pub datastore: String,
    pub network: Moref,
}

impl Lab {
    pub async fn site(&self) -> Site {
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
    pub async fn machine(&self, name: &str, extra: &[(&str, &str)]) -> VirtualMachine {
        let site = self.site().await;
        self.machine_of(&site, name, extra, |_| {}).await
    }

    /// A machine with a system that has Tools.
    pub async fn machine_with_tools(&self, name: &str) -> VirtualMachine {
        self.machine(name, &[("guestinfo.sim.hostname", name)]).await
    }

    /// The same, with a specification that is changed before.
    pub async fn machine_of(
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
        device_change: vec![
            add(controller(), false),
            add(disk(&site.datastore), true),
            add(card(site), false),
            add(drive(), false),
        ],
        ..Default::default()
    }
}

pub fn add<D: Extends<VirtualDevice>>(device: D, file: bool) -> Poly<VirtualDeviceConfigSpec> {
    Poly::new(VirtualDeviceConfigSpec {
        operation: Some(VirtualDeviceConfigSpecOperation::Add),
        file_operation: file.then_some(VirtualDeviceConfigSpecFileOperation::Create),
        device: Poly::new(device),
        ..Default::default()
    })
}

fn controller() -> ParaVirtualSCSIController {
    let mut controller = ParaVirtualSCSIController::default();
    controller.key = 1000;
    controller.bus_number = 0;
    controller.shared_bus = VirtualSCSISharing::NoSharing;
    controller
}

fn disk(datastore: &str) -> VirtualDisk {
    let mut backing = VirtualDiskFlatVer2BackingInfo::default();
    backing.file_name = format!("[{datastore}]");
    backing.disk_mode = "persistent".to_owned();
    backing.thin_provisioned = Some(true);
    let mut disk = VirtualDisk { capacity_in_kb: 16 << 20, ..Default::default() };
    disk.key = -1;
    disk.controller_key = Some(1000);
    disk.unit_number = Some(0);
    disk.backing = Some(Poly::new(backing));
    disk
}

fn card(site: &Site) -> VirtualVmxnet3 {
    let mut backing = VirtualEthernetCardNetworkBackingInfo::default();
    backing.network = Some(site.network.clone());
    backing.device_name = "VM Network".to_owned();
    let mut card = VirtualVmxnet3::default();
    card.key = -2;
    card.backing = Some(Poly::new(backing));
    card.connectable =
        Some(Box::new(VirtualDeviceConnectInfo { start_connected: true, connected: true, ..Default::default() }));
    card
}

fn drive() -> VirtualCdrom {
    let mut drive = VirtualCdrom::default();
    drive.key = -3;
    drive.controller_key = Some(200);
    drive.unit_number = Some(0);
    drive.backing = Some(Poly::new(VirtualCdromRemotePassthroughBackingInfo::default()));
    drive
}
