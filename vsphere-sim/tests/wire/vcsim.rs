//! The inventory of govmomi's vcsim, and the rules that let tests for it pass.

use std::collections::BTreeMap;

use crate::support::Lab;
use vsphere_model::managed::{Folder, HostSystem, VirtualApp, VirtualMachine, virtual_app, virtual_machine as vm};
use vsphere_model::types::{
    HostConnectSpec, ManagedObjectReference, VirtualAppSummary, VirtualAppVAppState, VirtualMachineConfigSpec,
    VirtualMachineFileInfo, VirtualMachinePowerState,
};
use vsphere_sim::{Logins, Model, Role, Rules, Vcsim};

/// The names of all objects of a type, sorted.
async fn names(lab: &Lab, type_: &str) -> Vec<String> {
    let mut names = Vec::new();
    for object in lab.all_of(type_).await {
        names.push(lab.read(&object, "name").await.unwrap().take::<String>().unwrap());
    }
    names.sort();
    names
}

#[tokio::test]
async fn what_there_is_has_vcsims_names() {
    let lab = Lab::new(Model::vcsim(Vcsim::default())).await;
    assert_eq!(names(&lab, "VirtualMachine").await, ["DC0_C0_RP0_VM0", "DC0_C0_RP0_VM1", "DC0_H0_VM0", "DC0_H0_VM1"]);
    assert_eq!(names(&lab, "HostSystem").await, ["DC0_C0_H0", "DC0_C0_H1", "DC0_C0_H2", "DC0_H0"]);
    assert_eq!(names(&lab, "ComputeResource").await, ["DC0_C0", "DC0_H0"]);
    assert_eq!(names(&lab, "Datastore").await, ["LocalDS_0"]);
    let machine: VirtualMachine = lab.object(&lab.at("/DC0/vm/DC0_H0_VM0").await);
    assert_eq!(lab.get(&machine, vm::RUNTIME).await.power_state, VirtualMachinePowerState::PoweredOn);
    let config = lab.get(&machine, vm::CONFIG).await.unwrap();
    assert_eq!((config.hardware.num_cpu, config.hardware.memory_mb, config.guest_id.as_str()), (1, 32, "otherGuest"));
    assert_eq!(config.files.vm_path_name.as_deref(), Some("[LocalDS_0] DC0_H0_VM0/DC0_H0_VM0.vmx"));
    let networks = lab.get(&machine, vm::NETWORK).await;
    assert_eq!(lab.read(&networks[0], "name").await.unwrap().as_str(), Some("DC0_DVPG0"));
    let off = Lab::new(Model::vcsim(Vcsim { port_groups: 0, autostart: false, ..Vcsim::default() })).await;
    let machine: VirtualMachine = off.object(&off.at("/DC0/vm/DC0_H0_VM0").await);
    assert_eq!(off.get(&machine, vm::RUNTIME).await.power_state, VirtualMachinePowerState::PoweredOff);
    let networks = off.get(&machine, vm::NETWORK).await;
    assert_eq!(off.read(&networks[0], "name").await.unwrap().as_str(), Some("VM Network"));
}

#[tokio::test]
async fn each_start_gives_the_same_ids() {
    let size = Vcsim { datacenters: 2, pools: 1, apps: 1, folders: 1, opaque_networks: 1, ..Vcsim::default() };
    let mut starts = Vec::new();
    for _ in 0..2 {
        let lab = Lab::new(Model::vcsim(size.clone())).await;
        let mut seen = BTreeMap::new();
        for type_ in ["VirtualMachine", "HostSystem", "Datastore", "Network", "ResourcePool", "Folder"] {
            for object in lab.all_of(type_).await {
                let name: String = lab.read(&object, "name").await.unwrap().take().unwrap();
                let path = match type_ {
                    "VirtualMachine" => "config",
                    "HostSystem" => "hardware.systemInfo.uuid",
                    "Datastore" => "summary.url",
                    _ => "name",
                };
                let told = match lab.read(&object, path).await.unwrap() {
                    vsphere_model::types::Any::Object(config) => {
                        let config: vsphere_model::types::VirtualMachineConfigInfo = config.downcast().unwrap();
                        format!("{} {} {:?}", config.uuid, config.instance_uuid.unwrap(), config.hardware.device)
                    }
                    other => format!("{other:?}"),
                };
                seen.insert((object, name), told);
            }
        }
        starts.push(seen);
    }
    assert_eq!(starts[0], starts[1]);
    assert!(starts[0].len() > 40, "{}", starts[0].len());
}

#[tokio::test]
async fn a_vapp_has_its_machines_and_takes_them_with_it() {
    let lab = Lab::new(Model::vcsim(Vcsim { apps: 1, vms: 1, ..Vcsim::default() })).await;
    let [app] = lab.all_of("VirtualApp").await.try_into().unwrap();
    assert!(app.value.starts_with("resgroup-v"), "{app:?}");
    let app: VirtualApp = lab.object(&app);
    let machines = lab.get(&app, virtual_app::VM).await;
    assert_eq!(machines, [lab.at("/DC0/vm/DC0_C0_APP0_VM0").await]);
    assert_eq!(lab.get(&app, virtual_app::DATASTORE).await, [lab.at("/DC0/datastore/LocalDS_0").await]);
    let state = async || {
        let summary = lab.get(&app, virtual_app::SUMMARY).await;
        summary.downcast_ref::<VirtualAppSummary>().unwrap().v_app_state.clone()
    };
    assert_eq!(state().await, Some(VirtualAppVAppState::Started));
    lab.refused(app.destroy_task()).await;
    lab.run(lab.object::<VirtualMachine>(&machines[0]).power_off_vm_task()).await;
    assert_eq!(state().await, Some(VirtualAppVAppState::Stopped));
    lab.run(app.destroy_task()).await;
    assert_eq!(names(&lab, "VirtualMachine").await, ["DC0_C0_RP0_VM0", "DC0_H0_VM0"]);
    assert!(lab.all_of("VirtualApp").await.is_empty());
}

/// What tests for vcsim do, of which a real server refuses each.
async fn take_it_easy(lab: &Lab) -> [Option<String>; 4] {
    let running: VirtualMachine = lab.object(&lab.at("/DC0/vm/DC0_C0_RP0_VM0").await);
    let folder: Folder = lab.object(&lab.at("/DC0/vm").await);
    let hosts: Folder = lab.object(&lab.at("/DC0/host").await);
    let pool = lab.get(&running, vm::RESOURCE_POOL).await.unwrap();
    let host = lab.get(&running, vm::RUNTIME).await.host.unwrap();
    let spec = VirtualMachineConfigSpec {
        name: Some("new".to_owned()),
        files: Some(Box::new(VirtualMachineFileInfo {
            vm_path_name: Some("[LocalDS_0]".to_owned()),
            ..Default::default()
        })),
        ..Default::default()
    };
    let connect = HostConnectSpec { host_name: Some("esx-new".to_owned()), ..Default::default() };
    let task = async |request| match lab.task(request).await {
        Ok(info) => info.error.map(|error| error.fault.type_name().to_owned()),
        Err(error) => Some(error.fault().unwrap().name().unwrap().to_owned()),
    };
    let without_tools = running.shutdown_guest().await.err();
    [
        task(folder.create_vm_task(&spec, &pool, None)).await,
        task(hosts.add_standalone_host_task(&connect, None, true, None)).await,
        // As long as it takes: a machine runs there.
        task(lab.object::<HostSystem>(&host).enter_maintenance_mode_task(1, None, None)).await,
        without_tools.map(|error| error.fault().unwrap().name().unwrap().to_owned()),
    ]
}

#[tokio::test]
async fn rules_decide_what_is_insisted_on() {
    let size = Vcsim { standalone_hosts: 0, vms: 3, ..Vcsim::default() };
    let real = Lab::new(Model::vcsim(size.clone())).await;
    let refused = take_it_easy(&real).await;
    let wanted = ["InvalidArgument", "InvalidLogin", "Timedout", "ToolsUnavailable"];
    assert_eq!(refused.each_ref().map(|fault| fault.as_deref().unwrap_or_default()), wanted);
    assert!(real.another("user", "pass").await.is_err());

    let lenient = Lab::new(Model::vcsim(size.clone()).rules(Rules::LENIENT)).await;
    assert_eq!(take_it_easy(&lenient).await, [None, None, None, None]);
    let guest = lenient.another("user", "pass").await.unwrap();
    let root: Folder = guest.object(&guest.content.root_folder);
    root.create_folder("made").await.unwrap();
    assert!(lenient.another("user", "").await.is_err());
    assert!(lenient.another(Model::USER, "wrong").await.is_ok(), "anyone means anyone");

    let mut rules = Rules::LENIENT;
    rules.logins = Logins::Known;
    let known = Model::vcsim(size).rules(rules).user("user", "pass", Role::Administrator);
    let known = Lab::new(known).await;
    assert!(known.another("user", "pass").await.is_ok());
    assert!(known.another("user", "other").await.is_err());
    let created = ManagedObjectReference::new("Folder", "group-d1");
    assert_eq!(known.content.root_folder, created);
}
