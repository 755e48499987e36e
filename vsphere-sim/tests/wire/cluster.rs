//! Clusters: configuration, rules, placement, over the wire.

use crate::support::Lab;
use vsphere_model::managed::{
    ClusterComputeResource, Folder, VirtualMachine, cluster_compute_resource as cluster, datacenter, host_system,
    virtual_machine,
};
use vsphere_model::types::{
    ArrayUpdateOperation, ArrayUpdateSpec, ClusterAntiAffinityRuleSpec, ClusterComputeResourceSummary,
    ClusterConfigInfoEx, ClusterConfigSpecEx, ClusterDasConfigInfo, ClusterDasFailoverLevelAdvancedRuntimeInfo,
    ClusterDrsConfigInfo, ClusterGroupSpec, ClusterHostGroup, ClusterRuleSpec, ClusterVmGroup, ClusterVmHostRuleInfo,
    DrsBehavior, PlacementAction, PlacementSpec, Poly,
};
use vsphere_sim::{Model, Size};
use vsphere_soap::object::ManagedObjectReference as Moref;
use vsphere_soap::request::{ManagedObject as _, Request};

async fn lab() -> Lab {
    Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await
}

async fn failure(lab: &Lab, request: Request<Moref>) -> String {
    lab.task(request).await.unwrap().error.unwrap().fault.type_name().to_owned()
}

async fn success(lab: &Lab, request: Request<Moref>) {
    assert_eq!(lab.task(request).await.unwrap().error, None);
}

async fn config(lab: &Lab, of: &ClusterComputeResource) -> ClusterConfigInfoEx {
    lab.get(of, cluster::CONFIGURATION_EX).await.downcast().unwrap()
}

fn change(spec: ClusterConfigSpecEx) -> Poly<vsphere_model::types::ComputeResourceConfigSpec> {
    Poly::new(spec)
}

fn rule(operation: ArrayUpdateOperation, name: &str, vms: &[Moref]) -> ClusterRuleSpec {
    let mut rule = ClusterAntiAffinityRuleSpec { vm: vms.to_vec(), ..Default::default() };
    rule.name = Some(name.to_owned());
    rule.enabled = Some(true);
    ClusterRuleSpec { base: ArrayUpdateSpec { operation, remove_key: None }, info: Some(Poly::new(rule)) }
}

fn reference(machine: &VirtualMachine) -> Moref {
    machine.handle().reference().clone()
}

#[tokio::test]
async fn what_a_change_does_not_name_stays_and_what_is_not_to_be_modified_is_reset() {
    let lab = lab().await;
    let folder: Folder = lab.object(&lab.get(&lab.site().await.datacenter, datacenter::HOST_FOLDER).await);
    let drs = ClusterDrsConfigInfo { enabled: Some(true), vmotion_rate: Some(2), ..Default::default() };
    let spec = ClusterConfigSpecEx { drs_config: Some(Box::new(drs)), ..Default::default() };
    let made: ClusterComputeResource = lab.object(&folder.create_cluster_ex("new", &spec).await.unwrap());
    let das = ClusterDasConfigInfo { enabled: Some(true), ..Default::default() };
    let spec = ClusterConfigSpecEx { das_config: Some(Box::new(das)), ..Default::default() };
    success(&lab, made.reconfigure_compute_resource_task(&change(spec.clone()), true)).await;
    let now = config(&lab, &made).await;
    assert_eq!(
        (now.drs_config.enabled, now.drs_config.vmotion_rate, now.das_config.enabled),
        (Some(true), Some(2), Some(true))
    );
    assert_eq!(lab.get(&made, cluster::CONFIGURATION).await.das_config, now.das_config);
    success(&lab, made.reconfigure_compute_resource_task(&change(spec), false)).await;
    let now = config(&lab, &made).await;
    assert_eq!(
        (now.drs_config.enabled, now.drs_config.vmotion_rate, now.das_config.enabled),
        (Some(false), Some(3), Some(true))
    );
    let error = folder.create_cluster_ex("new", &ClusterConfigSpecEx::default()).await.unwrap_err();
    assert!(error.fault().unwrap().is_named("DuplicateName"), "{error}");
    success(&lab, made.destroy_task()).await;
    assert!(lab.read(made.handle().reference(), "name").await.is_err());
}

#[tokio::test]
async fn rules_are_added_edited_and_removed_by_their_keys() {
    let lab = lab().await;
    let made = lab.site().await.cluster;
    let vms = [reference(&lab.machine("a", &[]).await), reference(&lab.machine("b", &[]).await)];
    let with = |rule| change(ClusterConfigSpecEx { rules_spec: vec![rule], ..Default::default() });
    success(&lab, made.reconfigure_compute_resource_task(&with(rule(ArrayUpdateOperation::Add, "apart", &vms)), true))
        .await;
    let again = with(rule(ArrayUpdateOperation::Add, "apart", &vms));
    assert_eq!(failure(&lab, made.reconfigure_compute_resource_task(&again, true)).await, "InvalidArgument");
    let kept = config(&lab, &made).await.rule;
    let key = kept[0].key.unwrap();
    assert_eq!(made.find_rules_for_vm(&vms[0]).await.unwrap(), kept);
    let mut edit = rule(ArrayUpdateOperation::Edit, "apart", &vms);
    if let Some(info) = &mut edit.info {
        info.key = Some(key);
        info.enabled = Some(false);
    }
    success(&lab, made.reconfigure_compute_resource_task(&with(edit), true)).await;
    let edited = &config(&lab, &made).await.rule[0];
    assert_eq!((edited.key, edited.enabled, &edited.rule_uuid), (Some(key), Some(false), &kept[0].rule_uuid));
    let remove = |key: i32| ClusterRuleSpec {
        base: ArrayUpdateSpec { operation: ArrayUpdateOperation::Remove, remove_key: Some(key.into()) },
        info: None,
    };
    assert_eq!(
        failure(&lab, made.reconfigure_compute_resource_task(&with(remove(key + 1)), true)).await,
        "InvalidArgument"
    );
    success(&lab, made.reconfigure_compute_resource_task(&with(remove(key)), true)).await;
    assert_eq!(config(&lab, &made).await.rule, []);
}

#[tokio::test]
async fn rules_keep_machines_off_hosts() {
    let lab = lab().await;
    let made = lab.site().await.cluster;
    let hosts = lab.get(&made, cluster::HOST).await;
    let machine = lab.machine("a", &[]).await;
    let all = made.recommend_hosts_for_vm(&reference(&machine), None).await.unwrap();
    assert_eq!(all.len(), hosts.len());
    assert!(all[0].rating >= all[1].rating);
    let adding = || ArrayUpdateSpec { operation: ArrayUpdateOperation::Add, remove_key: None };
    let group = |group| ClusterGroupSpec { base: adding(), info: Some(group) };
    let mut allowed = ClusterHostGroup { host: vec![hosts[1].clone()], ..Default::default() };
    allowed.name = "allowed".to_owned();
    let mut bound = ClusterVmGroup { vm: vec![reference(&machine)], ..Default::default() };
    bound.name = "bound".to_owned();
    let mut rule = ClusterVmHostRuleInfo {
        vm_group_name: Some("bound".to_owned()),
        affine_host_group_name: Some("allowed".to_owned()),
        ..Default::default()
    };
    rule.name = Some("must".to_owned());
    rule.enabled = Some(true);
    rule.mandatory = Some(true);
    let rule = ClusterRuleSpec { base: adding(), info: Some(Poly::new(rule)) };
    let lacks = ClusterConfigSpecEx { rules_spec: vec![rule.clone()], ..Default::default() };
    assert_eq!(failure(&lab, made.reconfigure_compute_resource_task(&change(lacks), true)).await, "InvalidArgument");
    let spec = ClusterConfigSpecEx {
        group_spec: vec![group(Poly::new(allowed)), group(Poly::new(bound))],
        rules_spec: vec![rule],
        ..Default::default()
    };
    success(&lab, made.reconfigure_compute_resource_task(&change(spec), true)).await;
    let left = made.recommend_hosts_for_vm(&reference(&machine), None).await.unwrap();
    assert_eq!(left.iter().map(|one| &one.host).collect::<Vec<_>>(), [&hosts[1]]);
}

#[tokio::test]
async fn what_drs_recommends_can_be_applied() {
    let lab = lab().await;
    let site = lab.site().await;
    let made = &site.cluster;
    let drs = ClusterDrsConfigInfo { default_vm_behavior: Some(DrsBehavior::Manual), ..Default::default() };
    let spec = ClusterConfigSpecEx { drs_config: Some(Box::new(drs)), ..Default::default() };
    success(&lab, made.reconfigure_compute_resource_task(&change(spec), true)).await;
    let hosts = lab.get(made, cluster::HOST).await;
    let mut machines = Vec::new();
    for number in 0..3 {
        let machine =
            lab.machine_of(&site, &format!("big-{number}"), &[], |spec| spec.memory_mb = Some(150 << 10)).await;
        success(&lab, machine.power_on_vm_task(Some(&hosts[0]))).await;
        machines.push(machine);
    }
    assert_eq!(lab.get(made, cluster::RECOMMENDATION).await, []);
    made.refresh_recommendation().await.unwrap();
    let recommended = lab.get(made, cluster::RECOMMENDATION).await;
    let short = lab.get(made, cluster::DRS_RECOMMENDATION).await;
    let migration = &short[0].migration_list[0];
    assert_eq!((&migration.source, short.len()), (&hosts[0], recommended.len()));
    made.apply_recommendation(&recommended[0].key).await.unwrap();
    let moved: VirtualMachine = lab.object(&migration.vm);
    assert_eq!(lab.get(&moved, virtual_machine::RUNTIME).await.host.as_ref(), Some(&migration.destination));
    let error = made.apply_recommendation(&recommended[0].key).await.unwrap_err();
    assert!(error.fault().unwrap().is_named("InvalidArgument"), "{error}");
    let host: vsphere_model::managed::HostSystem = lab.object(&migration.destination);
    assert!(lab.get(&host, host_system::VM).await.contains(&migration.vm));
}

#[tokio::test]
async fn a_new_machine_gets_a_place_that_can_take_it() {
    let lab = lab().await;
    let made = lab.site().await.cluster;
    let hosts = lab.get(&made, cluster::HOST).await;
    let host: vsphere_model::managed::HostSystem = lab.object(&hosts[0]);
    success(&lab, host.enter_maintenance_mode_task(0, None, None)).await;
    let spec = PlacementSpec {
        placement_type: Some("create".to_owned()),
        config_spec: Some(Box::default()),
        ..Default::default()
    };
    let result = made.place_vm(&spec).await.unwrap();
    let action = result.recommendations[0].action[0].downcast_ref::<PlacementAction>().unwrap();
    assert!(hosts[1..].contains(action.target_host.as_ref().unwrap()));
    let only = PlacementSpec { hosts: vec![hosts[0].clone()], ..spec };
    assert_eq!(made.place_vm(&only).await.unwrap().recommendations, []);
    assert!(made.place_vm(&PlacementSpec::default()).await.is_err());
}

#[tokio::test]
async fn a_cluster_sums_up_its_hosts_and_counts_slots() {
    let lab = lab().await;
    let made = lab.site().await.cluster;
    let machine = lab.machine("a", &[]).await;
    success(&lab, machine.power_on_vm_task(None)).await;
    let summary: ClusterComputeResourceSummary = lab.get(&made, cluster::SUMMARY).await.downcast().unwrap();
    let usage = summary.usage_summary.clone().unwrap();
    assert_eq!((usage.total_vm_count, usage.powered_off_vm_count), (1, 0));
    assert!(usage.cpu_demand_mhz > 0);
    assert_eq!(usage.total_cpu_capacity_mhz, summary.effective_cpu);
    assert_eq!(summary.current_failover_level, 1);
    let info = made.retrieve_das_advanced_runtime_info().await.unwrap().unwrap();
    let slots = info.downcast_ref::<ClusterDasFailoverLevelAdvancedRuntimeInfo>().unwrap();
    assert_eq!((slots.used_slots, slots.total_hosts, slots.total_good_hosts), (1, 3, 3));
    assert_eq!(slots.total_slots, slots.host_slots.iter().map(|host| host.slots).sum::<i32>());
    let error = made.destroy_task().await.unwrap_err();
    assert!(error.fault().unwrap().is_named("ResourceInUse"), "{error}");
}
