//! The configuration of clusters: DRS, HA, rules, groups, and what is said of single machines.

use std::time::Duration;

use vsphere_model::types::{
    Any, ArrayUpdateOperation, ArrayUpdateSpec, ClusterAffinityRuleSpec, ClusterAntiAffinityRuleSpec,
    ClusterConfigInfo, ClusterConfigInfoEx, ClusterConfigSpec, ClusterConfigSpecEx, ClusterCreatedEvent,
    ClusterDasConfigInfo, ClusterDasVmSettings, ClusterDestroyedEvent, ClusterDpmConfigInfo, ClusterDrsConfigInfo,
    ClusterFailoverLevelAdmissionControlPolicy, ClusterGroupInfo, ClusterHostGroup, ClusterReconfiguredEvent,
    ClusterRuleInfo, ClusterVmGroup, ClusterVmHostRuleInfo, ComputeResourceConfigSpec, DpmBehavior, DrsBehavior,
    FolderEventArgument, ManagedEntityStatus, Poly, ResourceInUse, VsanClusterConfigInfo,
};
use vsphere_soap::object::FromAny;

use super::{Compute, add};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::host::{self, Host};
use crate::objects::resource_pool;
use crate::objects::vm::Vm;
use crate::world::{Moref, World, uuid};

pub(crate) const METHODS: Methods = &[
    ("Folder", "CreateCluster", Handler::Write(create_old)),
    ("Folder", "CreateClusterEx", Handler::Write(create)),
    ("ComputeResource", "ReconfigureComputeResource_Task", Handler::Write(reconfigure)),
    ("ClusterComputeResource", "ReconfigureCluster_Task", Handler::Write(reconfigure_old)),
    ("ClusterComputeResource", "FindRulesForVm", Handler::Read(rules_for_vm)),
    ("ComputeResource", "Destroy_Task", Handler::Write(destroy)),
];

/// The configuration, with what vCenter fills in where nothing is said.
pub(super) fn with_defaults(mut config: ClusterConfigInfoEx) -> ClusterConfigInfoEx {
    if config.vm_swap_placement.is_empty() {
        config.vm_swap_placement = "vmDirectory".to_owned();
    }
    let das = &mut config.das_config;
    das.enabled.get_or_insert(false);
    das.vm_monitoring.get_or_insert_with(|| "vmMonitoringDisabled".to_owned());
    das.host_monitoring.get_or_insert_with(|| "enabled".to_owned());
    das.vm_component_protecting.get_or_insert_with(|| "disabled".to_owned());
    das.failover_level.get_or_insert(1);
    das.admission_control_enabled.get_or_insert(true);
    das.admission_control_policy.get_or_insert_with(|| {
        Poly::new(ClusterFailoverLevelAdmissionControlPolicy { failover_level: 1, ..Default::default() })
    });
    das.default_vm_settings.get_or_insert_with(|| {
        Box::new(ClusterDasVmSettings {
            restart_priority: Some("medium".to_owned()),
            restart_priority_timeout: Some(-1),
            isolation_response: Some("none".to_owned()),
            ..Default::default()
        })
    });
    das.h_b_datastore_candidate_policy.get_or_insert_with(|| "allFeasibleDsWithUserPreference".to_owned());
    let drs = &mut config.drs_config;
    drs.enabled.get_or_insert(false);
    drs.enable_vm_behavior_overrides.get_or_insert(true);
    drs.default_vm_behavior.get_or_insert(DrsBehavior::FullyAutomated);
    drs.vmotion_rate.get_or_insert(3);
    drs.scale_descendants_shares.get_or_insert_with(|| "disabled".to_owned());
    let dpm = config.dpm_config_info.get_or_insert_with(Box::<ClusterDpmConfigInfo>::default);
    dpm.enabled.get_or_insert(false);
    dpm.default_dpm_behavior.get_or_insert(DpmBehavior::Automated);
    dpm.host_power_action_rate.get_or_insert(3);
    let vsan = config.vsan_config_info.get_or_insert_with(Box::<VsanClusterConfigInfo>::default);
    vsan.enabled.get_or_insert(false);
    vsan.vsan_esa_enabled.get_or_insert(false);
    vsan.default_config.get_or_insert_default().auto_claim_storage.get_or_insert(false);
    config
}

/// The form that `configuration` has, for clients that know no other.
pub(super) fn short(config: &ClusterConfigInfoEx) -> ClusterConfigInfo {
    ClusterConfigInfo {
        das_config: config.das_config.clone(),
        das_vm_config: config.das_vm_config.clone(),
        drs_config: config.drs_config.clone(),
        drs_vm_config: config.drs_vm_config.clone(),
        rule: config.rule.clone(),
    }
}

/// The old form of a specification says a part of what the new one does.
fn extended(spec: ClusterConfigSpec) -> ClusterConfigSpecEx {
    ClusterConfigSpecEx {
        das_config: spec.das_config,
        das_vm_config_spec: spec.das_vm_config_spec,
        drs_config: spec.drs_config,
        drs_vm_config_spec: spec.drs_vm_config_spec,
        rules_spec: spec.rules_spec,
        ..Default::default()
    }
}

/// Takes over the fields that the specification sets.
macro_rules! take {
    ($kept:expr, $new:expr, $($field:ident),+) => {
        $(if $new.$field.is_some() { $kept.$field = $new.$field; })+
    };
}

fn take_das(kept: &mut ClusterDasConfigInfo, new: ClusterDasConfigInfo) {
    take!(kept, new, enabled, vm_monitoring, host_monitoring, vm_component_protecting, failover_level);
    take!(kept, new, admission_control_policy, admission_control_enabled, default_vm_settings);
    take!(kept, new, h_b_datastore_candidate_policy);
    if !new.option.is_empty() {
        kept.option = new.option;
    }
    if !new.heartbeat_datastore.is_empty() {
        kept.heartbeat_datastore = new.heartbeat_datastore;
    }
}

fn take_drs(kept: &mut ClusterDrsConfigInfo, new: ClusterDrsConfigInfo) {
    take!(kept, new, enabled, enable_vm_behavior_overrides, default_vm_behavior, vmotion_rate);
    take!(kept, new, scale_descendants_shares);
    if !new.option.is_empty() {
        kept.option = new.option;
    }
}

/// A change of a list: adds, edits or removes the item with this key.
///
/// # Errors
/// `InvalidArgument`: an item to add is there, or one to edit or remove is not.
fn update<T, K: PartialEq + FromAny>(
    list: &mut Vec<T>,
    spec: &ArrayUpdateSpec,
    item: Option<T>,
    key_of: impl Fn(&T) -> K,
    argument: &str,
) -> Outcome<()> {
    let wrong = || Fault::invalid_argument(argument);
    let key: K = match (&spec.operation, &spec.remove_key, &item) {
        (ArrayUpdateOperation::Remove, Some(key), _) => key.clone().take().map_err(|_| wrong())?,
        (_, _, Some(item)) => key_of(item),
        _ => return Err(wrong()),
    };
    let at = list.iter().position(|other| key_of(other) == key);
    match (&spec.operation, at, item) {
        (ArrayUpdateOperation::Add, None, Some(item)) => list.push(item),
        (ArrayUpdateOperation::Edit, Some(at), Some(item)) => list[at] = item,
        (ArrayUpdateOperation::Remove, Some(at), _) => {
            list.remove(at);
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

/// Carries a specification out on a copy of the configuration, so that a fault leaves all as it was.
fn apply(world: &mut World, cluster: &Moref, spec: ClusterConfigSpecEx, modify: bool) -> Outcome<()> {
    let compute: &Compute = world.get(cluster)?;
    let Some(kept) = &compute.cluster else { return Err(Fault::not_supported("a cluster's configuration here")) };
    let mut config = if modify { kept.clone() } else { with_defaults(ClusterConfigInfoEx::default()) };
    let mut last_rule = compute.last_rule;
    take_common(&mut config.vm_swap_placement, &spec)?;
    config.spbm_enabled = spec.spbm_enabled.or(config.spbm_enabled);
    if let Some(key) = &spec.default_hardware_version_key {
        config.default_hardware_version_key = Some(key.clone()).filter(|key| !key.is_empty());
    }
    if let Some(das) = spec.das_config {
        take_das(&mut config.das_config, *das);
    }
    if let Some(drs) = spec.drs_config {
        if drs.vmotion_rate.is_some_and(|rate| !(1..=5).contains(&rate)) {
            return Err(Fault::invalid_argument("spec.drsConfig.vmotionRate"));
        }
        take_drs(&mut config.drs_config, *drs);
    }
    if let Some(dpm) = spec.dpm_config {
        let kept = config.dpm_config_info.get_or_insert_with(Box::<ClusterDpmConfigInfo>::default);
        take!(kept, dpm, enabled, default_dpm_behavior, host_power_action_rate);
    }
    if let Some(orchestration) = spec.orchestration {
        config.orchestration = Some(orchestration);
    }
    if let Some(infra) = spec.infra_update_ha_config {
        config.infra_update_ha_config = Some(infra);
    }
    if let Some(proactive) = spec.proactive_drs_config {
        config.proactive_drs_config = Some(proactive);
    }
    for change in spec.das_vm_config_spec {
        let item = change.info.map(|item| *item);
        update(&mut config.das_vm_config, &change.base, item, |one| one.key.clone(), "spec.dasVmConfigSpec")?;
    }
    for change in spec.drs_vm_config_spec {
        let item = change.info.map(|item| *item);
        update(&mut config.drs_vm_config, &change.base, item, |one| one.key.clone(), "spec.drsVmConfigSpec")?;
    }
    for change in spec.vm_orchestration_spec {
        let item = change.info.map(|item| *item);
        update(&mut config.vm_orchestration, &change.base, item, |one| one.vm.clone(), "spec.vmOrchestrationSpec")?;
    }
    for change in spec.dpm_host_config_spec {
        let item = change.info.map(|item| *item);
        update(&mut config.dpm_host_config, &change.base, item, |one| one.key.clone(), "spec.dpmHostConfigSpec")?;
    }
    for change in spec.group_spec {
        let group = change.info.map(|group| check_group(world, compute, group)).transpose()?;
        update(&mut config.group, &change.base, group, |group| group.name.clone(), "spec.groupSpec")?;
    }
    for change in spec.rules_spec {
        let mut rule = change.info;
        if let Some(rule) = &mut rule {
            check_members(world, compute, &named_vms(rule), "spec.rulesSpec.info.vm")?;
            prepare_rule(&config, rule, &change.base.operation, &mut last_rule)?;
        }
        update(&mut config.rule, &change.base, rule, |rule| rule.key.unwrap_or_default(), "spec.rulesSpec")?;
    }
    let groups =
        |name: &Option<String>| name.as_ref().is_none_or(|name| config.group.iter().any(|group| group.name == *name));
    let broken = config.rule.iter().filter_map(|rule| rule.downcast_ref::<ClusterVmHostRuleInfo>()).any(|rule| {
        !groups(&rule.vm_group_name)
            || !groups(&rule.affine_host_group_name)
            || !groups(&rule.anti_affine_host_group_name)
    });
    if broken {
        return Err(Fault::invalid_argument("spec.rulesSpec.info.vmGroupName"));
    }
    let hosts = compute.hosts.clone();
    let compute = world.edit::<Compute>(cluster)?;
    compute.last_rule = last_rule;
    compute.cluster = Some(config);
    // Whether HA is on shows in the hosts' own state.
    hosts.iter().for_each(|host| world.touch(host));
    Ok(())
}

fn take_common(swap_placement: &mut String, spec: &ComputeResourceConfigSpec) -> Outcome<()> {
    if let Some(placement) = &spec.vm_swap_placement {
        if !["vmDirectory", "hostLocal", "inherit"].contains(&placement.as_str()) {
            return Err(Fault::invalid_argument("spec.vmSwapPlacement"));
        }
        swap_placement.clone_from(placement);
    }
    Ok(())
}

fn check_group(world: &World, compute: &Compute, mut group: Poly<ClusterGroupInfo>) -> Outcome<Poly<ClusterGroupInfo>> {
    if group.name.is_empty() {
        return Err(Fault::invalid_argument("spec.groupSpec.info.name"));
    }
    let hosts = group.downcast_ref::<ClusterHostGroup>().map(|group| group.host.as_slice()).unwrap_or_default();
    if hosts.iter().any(|host| !compute.hosts.contains(host)) {
        return Err(Fault::invalid_argument("spec.groupSpec.info.host"));
    }
    let vms = group.downcast_ref::<ClusterVmGroup>().map(|group| group.vm.as_slice()).unwrap_or_default();
    check_members(world, compute, vms, "spec.groupSpec.info.vm")?;
    group.user_created.get_or_insert(true);
    group.unique_id.get_or_insert_with(|| uuid(fastrand::u128(..)));
    Ok(group)
}

/// Whether the machines are on the cluster's hosts.
fn check_members(world: &World, compute: &Compute, vms: &[Moref], argument: &str) -> Outcome<()> {
    let is_member = |vm: &Moref| world.host_of(vm).is_some_and(|host| compute.hosts.contains(&host));
    if vms.iter().all(is_member) { Ok(()) } else { Err(Fault::invalid_argument(argument)) }
}

fn prepare_rule(
    config: &ClusterConfigInfoEx,
    rule: &mut Poly<ClusterRuleInfo>,
    operation: &ArrayUpdateOperation,
    last: &mut i32,
) -> Outcome<()> {
    if *operation == ArrayUpdateOperation::Add {
        let named = |other: &Poly<ClusterRuleInfo>| other.name.is_some() && other.name == rule.name;
        if rule.name.as_deref().unwrap_or_default().is_empty() || config.rule.iter().any(named) {
            return Err(Fault::invalid_argument("spec.rulesSpec.info.name"));
        }
        *last += 1;
        rule.key = Some(*last);
        rule.rule_uuid = Some(uuid(fastrand::u128(..)));
    } else if let Some(kept) = config.rule.iter().find(|other| other.key == rule.key) {
        rule.name = rule.name.take().or_else(|| kept.name.clone());
        rule.enabled = rule.enabled.or(kept.enabled);
        rule.rule_uuid = rule.rule_uuid.take().or_else(|| kept.rule_uuid.clone());
    }
    rule.enabled.get_or_insert(false);
    rule.mandatory.get_or_insert(false);
    rule.user_created.get_or_insert(true);
    rule.in_compliance.get_or_insert(true);
    rule.status.get_or_insert(ManagedEntityStatus::Green);
    Ok(())
}

/// The machines that a rule names itself.
fn named_vms(rule: &Poly<ClusterRuleInfo>) -> Vec<Moref> {
    let affine = rule.downcast_ref::<ClusterAffinityRuleSpec>().map(|affinity| affinity.vm.clone());
    let anti = || rule.downcast_ref::<ClusterAntiAffinityRuleSpec>().map(|anti| anti.vm.clone());
    affine.or_else(anti).unwrap_or_default()
}

/// The machines that a rule names, also by a group.
pub(super) fn vms_of_rule(config: &ClusterConfigInfoEx, rule: &Poly<ClusterRuleInfo>) -> Vec<Moref> {
    let named = named_vms(rule);
    if !named.is_empty() {
        return named;
    }
    let group = rule.downcast_ref::<ClusterVmHostRuleInfo>().and_then(|rule| rule.vm_group_name.as_ref());
    let found = group.and_then(|name| config.group.iter().find(|group| group.name == *name));
    found.and_then(|group| group.downcast_ref::<ClusterVmGroup>()).map(|group| group.vm.clone()).unwrap_or_default()
}

fn rules_for_vm(world: &World, call: &Call) -> Outcome<Reply> {
    let vm: Moref = call.arg("vm")?;
    world.get::<Vm>(&vm)?;
    let compute: &Compute = world.get(&call.target)?;
    let Some(config) = &compute.cluster else { return Ok(Reply::list(Vec::<Poly<ClusterRuleInfo>>::new())) };
    let rules = config.rule.iter().filter(|rule| vms_of_rule(config, rule).contains(&vm));
    Ok(Reply::list(rules.cloned().collect()))
}

fn create_old(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: ClusterConfigSpec = call.arg("spec")?;
    make(world, call, extended(spec))
}

fn create(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: ClusterConfigSpecEx = call.arg("spec")?;
    make(world, call, spec)
}

fn make(world: &mut World, call: &Call, spec: ClusterConfigSpecEx) -> Outcome<Reply> {
    let name: String = call.arg("name")?;
    world.check_new_child(&call.target, &name, "ClusterComputeResource").or_else(|fault| {
        // Folders that are made for compute resources are for clusters, too.
        let general = world.check_new_child(&call.target, &name, "ComputeResource");
        if general.is_ok() { Ok(()) } else { Err(fault) }
    })?;
    let cluster = add(world, &name, &call.target, Some(ClusterConfigInfoEx::default()))?;
    if let Err(fault) = apply(world, &cluster, spec, true) {
        forget(world, &cluster)?;
        return Err(fault);
    }
    let mut parent = FolderEventArgument { folder: call.target.clone(), ..Default::default() };
    parent.name.clone_from(&world.entity(&call.target)?.name);
    let user = call.user(world);
    let event = ClusterCreatedEvent { parent, ..Default::default() };
    world.post(&cluster, &user, event, format!("Created cluster {name}"));
    Ok(Reply::of(cluster))
}

fn reconfigure_old(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: ClusterConfigSpec = call.arg("spec")?;
    change(world, call, extended(spec))
}

fn reconfigure(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: Poly<ComputeResourceConfigSpec> = call.arg("spec")?;
    if world.get::<Compute>(&call.target)?.cluster.is_some() {
        let common = (*spec).clone();
        let spec = spec
            .downcast::<ClusterConfigSpecEx>()
            .unwrap_or(ClusterConfigSpecEx { base: common, ..Default::default() });
        return change(world, call, spec);
    }
    let compute = call.target.clone();
    call.task().takes(Duration::from_secs(1)).start(world, move |world| {
        let mut placement = world.get::<Compute>(&compute)?.swap_placement.clone();
        take_common(&mut placement, &spec)?;
        world.edit::<Compute>(&compute)?.swap_placement = placement;
        Ok(Any::Unset)
    })
}

fn change(world: &mut World, call: &Call, spec: ClusterConfigSpecEx) -> Outcome<Reply> {
    let modify: bool = call.arg("modify")?;
    let (cluster, user) = (call.target.clone(), call.user(world));
    call.task().takes(Duration::from_secs(2)).start(world, move |world| {
        apply(world, &cluster, spec, modify)?;
        let name = world.entity(&cluster)?.name.clone();
        let message = format!("Reconfigured cluster {name}");
        world.post(&cluster, &user, ClusterReconfiguredEvent::default(), message);
        Ok(Any::Unset)
    })
}

/// With its hosts and their machines; as long as one runs, it stays.
fn destroy(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (compute, user) = (call.target.clone(), call.user(world));
    let check = |world: &World, compute: &Moref| {
        let hosts = &world.get::<Compute>(compute)?.hosts;
        let runs = hosts.iter().any(|host| !host::running(world, host).is_empty());
        if runs {
            let name = world.entity(compute)?.name.clone();
            let fault =
                ResourceInUse { type_: Some(compute.type_.clone()), name: Some(name.clone()), ..Default::default() };
            return Err(Fault::new(fault, format!("Machines run in '{name}': power them off, or move them, first.")));
        }
        Ok(())
    };
    check(world, &compute)?;
    call.task().alone_with(&compute).takes(Duration::from_secs(3)).start(world, move |world| {
        check(world, &compute)?;
        let hosts: Vec<Moref> = world.get::<Compute>(&compute)?.hosts.clone();
        if world.get::<Compute>(&compute)?.cluster.is_some() {
            let message = format!("Removed cluster {}", world.entity(&compute)?.name);
            world.post(&compute, &user, ClusterDestroyedEvent::default(), message);
        }
        for host in hosts.iter().filter(|host| world.get::<Host>(host).is_ok()).cloned().collect::<Vec<_>>() {
            host::connection::remove(world, &host, &user)?;
        }
        forget(world, &compute)?;
        Ok(Any::Unset)
    })
}

/// Takes a compute resource without hosts out of its folder, and its pools with it.
pub(super) fn forget(world: &mut World, compute: &Moref) -> Outcome<()> {
    let pool = world.get::<Compute>(compute)?.pool.clone();
    resource_pool::forget(world, &pool)?;
    world.unhang(compute)?;
    world.remove(compute);
    Ok(())
}
