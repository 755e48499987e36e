//! The server before a simulated vCenter, whose state is read beside it.

use mcvsphere_mcp::Server;
use vsphere_ops::{
    Client, Config, Mo,
    managed::{ComputeResource, Datastore, Folder, VirtualMachine, compute_resource, virtual_machine as vm},
    types::{Any, OptionValue, Poly, VirtualMachineConfigSpec, VirtualMachineFileInfo, VirtualMachinePowerState},
};
use vsphere_sim::{Model, Sim, Size};

use crate::settings_with;

/// A simulated vCenter without machines at first, and a client of it that is not the one under test.
pub(crate) struct Lab {
    pub(crate) sim: Sim,
    pub(crate) client: Client,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::of(Model::sized(Size { vms: 0, hosts: 2, datacenters: 1, clusters: 1, datastores: 1 })).await
    }

    pub(crate) async fn of(model: Model) -> Self {
        let sim = Sim::start(model).await.unwrap();
        let thumbprint = sim.thumbprint().unwrap().to_string();
        let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD).thumbprint(&thumbprint);
        let client = Client::connect(config).await.unwrap();
        Self { sim, client }
    }

    /// A server for this vCenter, with these settings besides.
    pub(crate) fn server(&self, environment: &[(&str, &str)]) -> Server {
        Server::new(&settings_with(environment).simulated(&self.sim)).unwrap()
    }

    /// A machine that is off, in whose guest VMware Tools run once it is on.
    pub(crate) async fn machine(&self, name: &str) -> Mo<VirtualMachine> {
        let folder: Mo<Folder> = self.client.get("/DC0/vm").await.unwrap();
        let cluster: Mo<ComputeResource> = self.client.get("/DC0/host/DC0_C0").await.unwrap();
        let datastore: Mo<Datastore> = self.client.get("DC0_DS0").await.unwrap();
        let hostname = OptionValue { key: "guestinfo.sim.hostname".into(), value: Some(Any::from(name.to_owned())) };
        let path = format!("[{}]", datastore.label());
        let spec = VirtualMachineConfigSpec {
            name: Some(name.to_owned()),
            guest_id: Some("ubuntu64Guest".to_owned()),
            num_cpus: Some(1),
            memory_mb: Some(1024),
            files: Some(Box::new(VirtualMachineFileInfo { vm_path_name: Some(path), ..Default::default() })),
            extra_config: vec![Poly::new(hostname)],
            ..Default::default()
        };
        let pool = cluster.read(compute_resource::RESOURCE_POOL).await.unwrap().unwrap();
        let task = folder.create_vm_task(&spec, &pool, None).await.unwrap();
        vsphere_ops::Task::new(&self.client, task, "create", name).await.unwrap()
    }

    /// A machine that runs.
    pub(crate) async fn running(&self, name: &str) -> Mo<VirtualMachine> {
        let machine = self.machine(name).await;
        machine.power_on().await.unwrap().await.unwrap();
        machine
    }
}

/// Whether vSphere says that the machine runs.
pub(crate) async fn is_on(machine: &Mo<VirtualMachine>) -> bool {
    machine.read(vm::POWER_STATE).await.unwrap() == VirtualMachinePowerState::PoweredOn
}
