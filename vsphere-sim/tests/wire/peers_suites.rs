//! Programs of others that watch and manage a vCenter, against the simulated one.

#![allow(clippy::print_stdout, reason = "the figures of a suite are its result")]

use serde_json::{Value, json};
use vsphere_sim::{Model, Rules, Sim, Vcsim};

/// As `mcvsphere sim --as-vcsim` is.
async fn as_vcsim() -> Sim {
    Sim::start(Model::vcsim(Vcsim::default()).rules(Rules::LENIENT)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pyVmomi: cargo xtask peers"]
async fn peers_pyvmomi_reads_every_property_of_every_object() {
    for (name, sim) in [("demo", Sim::start(Model::demo()).await.unwrap()), ("vcsim", as_vcsim().await)] {
        let address = sim.address().to_string();
        let read = peers::pyvmomi("everything.py", &address, Model::USER, Model::PASSWORD).await.unwrap();
        println!("pyVmomi reads {name}: {read}");
        assert_eq!(read["refused"], json!({}), "{name}");
        assert!(read["types"].as_u64().is_some_and(|types| types > 40), "{read}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs check_vsphere: cargo xtask peers --all"]
async fn peers_slow_check_vsphere_gives_a_verdict_with_each_command() {
    let sim = as_vcsim().await;
    let told = peers::monitoring("check_vsphere.py", &sim.address().to_string(), "user", "pass").await.unwrap();
    let checks = told.as_array().unwrap();
    let verdicts: Vec<&Value> = checks.iter().filter(|check| check[1].as_u64().is_some_and(|code| code <= 2)).collect();
    println!("check_vsphere: {} of {} give a verdict", verdicts.len(), checks.len());
    let without: Vec<&Value> = checks.iter().filter(|check| !verdicts.contains(check)).collect();
    // There is no vSAN: the check finds no cluster that has it, and has nothing to say of objects.
    assert_eq!(without, Vec::<&Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs vmware_exporter: cargo xtask peers"]
async fn peers_vmware_exporter_fills_its_families() {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let address = sim.address().to_string();
    let told = peers::monitoring("exporter.py", &address, Model::USER, Model::PASSWORD).await.unwrap();
    let families = told["families"].as_object().unwrap();
    let empty: Vec<&String> = families.iter().filter(|(_, count)| **count == 0).map(|(name, _)| name).collect();
    let samples: u64 = families.values().filter_map(Value::as_u64).sum();
    println!("vmware_exporter: {} families, {samples} samples, without any: {empty:?}", families.len());
    assert_eq!(told["complaints"], "");
    assert_eq!(families.len(), 95);
    // Our hosts have no sensors of redundancy.
    assert_eq!(empty, ["vmware_host_sensor_redundancy"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs rbvmomi: cargo xtask peers"]
async fn peers_rbvmomi_lists_and_powers_machines() {
    let sim = as_vcsim().await;
    let place = [("DATACENTER", "DC0"), ("VM", "DC0_H0_VM1")];
    let told = peers::rbvmomi("vms.rb", &sim.address().to_string(), "user", "pass", &place).await.unwrap();
    println!("rbvmomi: {told}");
    assert_eq!(
        told,
        json!({
            "api": "VirtualCenter",
            "names": ["DC0_C0_RP0_VM0", "DC0_C0_RP0_VM1", "DC0_H0_VM0", "DC0_H0_VM1"],
            "disks": 4,
            "power": ["poweredOn", "poweredOff", "poweredOn"],
            "fault": "InvalidPowerState",
            "annotation": "by rbvmomi",
            "snapshots": ["first"],
        })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Ansible: cargo xtask peers --all"]
async fn peers_slow_ansible_manages_a_vcenter() {
    let sim = as_vcsim().await;
    let address = sim.address();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let variables = [("host", &*host), ("port", &*port), ("user", "administrator"), ("password", "pass-word")];
    let playbook = peers::playbooks().unwrap().join("playbook.yml");
    let outcomes = peers::ansible(&playbook, &variables, &[]).await.unwrap();
    println!("Ansible: {} tasks", outcomes.len());
    let again = outcomes.iter().find(|(task, _)| task == "The same VM again changes nothing");
    assert_eq!(again.map(|(_, outcome)| outcome.as_str()), Some("ok"));
    assert!(outcomes.len() >= 40, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|(_, outcome)| outcome == "changed").count(), 27, "{outcomes:?}");
}
