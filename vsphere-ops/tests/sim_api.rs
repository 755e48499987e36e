//! The API by names that are known at run time, on the simulator.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use vsphere_ops::api::{self, Access, Call, Object, describe};
use vsphere_ops::managed::{
    ClusterComputeResource, ComputeResource, DistributedVirtualPortgroup, DistributedVirtualSwitch, VirtualMachine,
    virtual_machine as vm,
};
use vsphere_ops::types::VirtualMachinePowerState;
use vsphere_ops::{Client, Config, Mo};
use vsphere_sim::{Model, Sim};
use vsphere_soap::request::ManagedObject;

async fn demo() -> (Sim, Client) {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
    let client = Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap();
    (sim, client)
}

async fn call(client: &Client, method: &str, on: Option<&str>, arguments: Value) -> vsphere_ops::Result<Value> {
    let call = Call::new(method, &arguments)?;
    let object = Object::find(client, call.owner(), on).await?;
    call.on(client, &object).await?.outcome().await
}

/// An object of each type that the inventory has.
async fn objects(client: &Client) -> BTreeMap<&'static str, String> {
    let named = [
        ("VirtualMachine", "web-04"),
        ("HostSystem", "esx-01.corp.example"),
        ("Datacenter", "/fra1"),
        ("Folder", "/fra1/vm/prod"),
    ];
    let mut objects = BTreeMap::new();
    objects.insert("ClusterComputeResource", first::<ClusterComputeResource>(client).await);
    objects.insert("ComputeResource", first::<ComputeResource>(client).await);
    objects.insert("DistributedVirtualSwitch", first::<DistributedVirtualSwitch>(client).await);
    objects.insert("VmwareDistributedVirtualSwitch", first::<DistributedVirtualSwitch>(client).await);
    objects.insert("DistributedVirtualPortgroup", first::<DistributedVirtualPortgroup>(client).await);
    for (type_, name) in named {
        objects.insert(type_, Object::find(client, type_, Some(name)).await.unwrap().reference().to_string());
    }
    for (type_, property) in [("ResourcePool", "resourcePool"), ("Datastore", "datastore"), ("Network", "network")] {
        let web = Object::find(client, "VirtualMachine", Some("web-04")).await.unwrap();
        let read = api::read(client, &web, &[property.to_owned()]).await.unwrap();
        let value = &read.values[property];
        let reference = value.get(0).unwrap_or(value);
        let text = format!("{}:{}", reference["type"].as_str().unwrap(), reference["value"].as_str().unwrap());
        objects.insert(type_, text);
    }
    objects
}

async fn first<M: ManagedObject>(client: &Client) -> String {
    client.all::<M>().select(()).await.unwrap().into_iter().next().unwrap().0.reference().to_string()
}

/// The example of a method with references that lead somewhere, where their names tell to what.
fn led(example: Value, name: &str, objects: &BTreeMap<&str, String>) -> Value {
    match example {
        Value::Object(map) if map.contains_key("type") && map.contains_key("value") => {
            let lower = name.to_lowercase();
            let type_ = match &lower {
                name if name.contains("host") => "HostSystem",
                name if name.contains("pool") => "ResourcePool",
                name if name.contains("datastore") => "Datastore",
                name if name.contains("folder") => "Folder",
                name if name.contains("network") => "Network",
                name if name.contains("datacenter") || name == "dc" => "Datacenter",
                _ => "VirtualMachine",
            };
            json!(objects[type_])
        }
        Value::Object(map) => map.into_iter().map(|(key, value)| (key.clone(), led(value, &key, objects))).collect(),
        Value::Array(items) => items.into_iter().map(|item| led(item, name, objects)).collect(),
        other => other,
    }
}

/// Calls each method of the model with arguments that are made from what it takes. The server answers each, by a value or a fault, and
/// goes on.
#[tokio::test]
async fn every_method_is_reached_and_the_server_outlives_it() {
    let (_sim, client) = demo().await;
    let objects = objects(&client).await;
    let (mut answered, mut faults, mut withheld) = (0, 0, 0);
    let mut without = BTreeSet::new();
    for method in vsphere_model::registry().methods() {
        let example: Value = serde_json::from_str(&describe(method.name).unwrap().example.unwrap()).unwrap();
        if Access::of(method) == Access::Withheld {
            let refused = Call::new(method.name, &example).unwrap_err();
            assert_eq!(refused.code(), "unsupported", "{refused}");
            withheld += 1;
            continue;
        }
        for arguments in [led(example.clone(), "", &objects), example] {
            let call = Call::new(method.name, &arguments).unwrap_or_else(|error| panic!("{error}"));
            let named = objects.get(call.owner()).map(String::as_str);
            let made_up = format!("{}:none", call.owner());
            let object = match Object::find(&client, call.owner(), named).await {
                Ok(object) => object,
                // Nothing leads to such an object: one that is not there is called.
                Err(_) => match Object::find(&client, call.owner(), Some(&made_up)).await {
                    Ok(object) => object,
                    Err(error) => {
                        assert!(error.is_not_found(), "{error}");
                        without.insert(call.owner());
                        continue;
                    }
                },
            };
            let answer = tokio::time::timeout(Duration::from_secs(20), call.on(&client, &object)).await;
            match answer.unwrap_or_else(|_| panic!("{} does not answer", method.name)) {
                Ok(_) => answered += 1,
                Err(error) => {
                    assert!(!matches!(error.code(), "connection" | "protocol" | "timeout"), "{}: {error}", method.name);
                    faults += 1;
                }
            }
        }
    }
    assert_eq!(without, BTreeSet::from(["VirtualApp"]), "the inventory has none");
    println!("{answered} answered, {faults} refused by a fault, {withheld} not offered");
    assert!(answered > 150, "{answered}");
    assert!(call(&client, "CurrentTime", None, json!({})).await.unwrap().is_string());
}

#[tokio::test]
async fn objects_are_found_by_what_leads_to_them() {
    let (_sim, client) = demo().await;
    let of = async |owner: &str, what: Option<&str>| {
        Object::find(&client, owner, what).await.map(|object| object.reference().type_.clone())
    };
    assert_eq!(of("VirtualMachine", Some("/fra1/vm/prod/web/web-01")).await.unwrap(), "VirtualMachine");
    assert_eq!(of("ManagedEntity", Some("web-01")).await.unwrap(), "VirtualMachine");
    assert_eq!(of("EventManager", None).await.unwrap(), "EventManager");
    assert_eq!(of("ServiceInstance", None).await.unwrap(), "ServiceInstance");
    assert_eq!(of("OptionManager", Some("OptionManager")).await.unwrap(), "OptionManager");
    assert_eq!(of("HostStorageSystem", Some("esx-01.corp.example")).await.unwrap(), "HostStorageSystem");
    for (owner, what, part) in [
        ("VirtualMachine", None, "which VirtualMachine?"),
        ("VirtualMachine", Some("EventManager:EventManager"), "is no VirtualMachine"),
        ("HostStorageSystem", Some("no-such-host"), "named by its host"),
        ("VirtualMachine", Some("no-such-vm"), "no virtual machine"),
    ] {
        let error = of(owner, what).await.unwrap_err().to_string();
        assert!(error.contains(part), "{owner} {what:?}: {error}");
    }
    let other = Object::find(&client, "HostSystem", Some("esx-01.corp.example")).await.unwrap();
    let error = Call::new("PowerOnVM_Task", &json!({})).unwrap().on(&client, &other).await.unwrap_err();
    assert!(error.to_string().contains("only a VirtualMachine has this method"), "{error}");
}

#[tokio::test]
async fn a_task_is_waited_for_and_its_fault_is_the_calls() {
    let (_sim, client) = demo().await;
    let web: Mo<VirtualMachine> = client.get("web-01").await.unwrap();
    assert_eq!(call(&client, "PowerOffVM_Task", Some("web-01"), json!({})).await.unwrap(), Value::Null);
    assert_eq!(web.read(vm::POWER_STATE).await.unwrap(), VirtualMachinePowerState::PoweredOff);
    let error = call(&client, "PowerOffVM_Task", Some("web-01"), json!({})).await.unwrap_err();
    assert!(error.is_fault("InvalidPowerState"), "{error}");
    assert_eq!((error.operation(), error.target()), ("call PowerOffVM_Task", Some("web-01")));
    let snapshot = json!({ "name": "before", "memory": false, "quiesce": false });
    let made = call(&client, "CreateSnapshot_Task", Some("web-01"), snapshot).await.unwrap();
    assert_eq!(made["type"], "VirtualMachineSnapshot");
}

#[tokio::test]
async fn properties_are_read_by_their_paths() {
    let (_sim, client) = demo().await;
    let web = Object::find(&client, "VirtualMachine", Some("web-01")).await.unwrap();
    let read = async |paths: &[&str]| {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        api::read(&client, &web, &paths).await
    };
    let values = read(&["name", "config.hardware.numCPU", "config.hardware.device[2000].capacityInKB"]).await.unwrap();
    assert_eq!(values.values["name"], "web-01");
    assert!(values.values["config.hardware.numCPU"].is_i64());
    assert!(values.values["config.hardware.device[2000].capacityInKB"].is_i64(), "{values:?}");
    let error = read(&["nme"]).await.unwrap_err();
    assert!(error.to_string().contains("a VirtualMachine has no property \"nme\""), "{error}");
    let error = read(&["config.hardwre.numCPU"]).await.unwrap_err();
    assert!(error.to_string().contains("VirtualMachineConfigInfo has no field \"hardwre\""), "{error}");
    assert!(read(&["name.length"]).await.unwrap_err().to_string().contains("cannot be within a string"));
    assert_eq!(read(&[]).await.unwrap_err().code(), "invalid_argument");
}

#[tokio::test]
async fn what_a_call_makes_on_the_server_is_destroyed() {
    let (sim, client) = demo().await;
    let root = client.content().root_folder.to_string();
    let arguments = json!({ "recursive": true, "type": ["VirtualMachine"], "container": root });
    for made in 0..68 {
        let view = call(&client, "CreateContainerView", None, arguments.clone()).await.unwrap();
        assert_eq!(view["type"], "ContainerView", "{made}");
    }
    // 64 are kept; the four before them go in the background.
    let gone = async {
        while sim.calls("DestroyView") < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
    assert_eq!(sim.calls("DestroyView"), 4);
}
