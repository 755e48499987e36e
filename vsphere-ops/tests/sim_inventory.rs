//! Folders, resource pools, clusters and their rules with the simulated vCenter.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use vsphere_ops::cluster::{AdmissionPolicy, Automation, NewRule, RuleKind};
use vsphere_ops::folder::{self, FolderKind, VmsBelow};
use vsphere_ops::managed::{
    ClusterComputeResource, Datastore, Folder, HostSystem, ResourcePool, VirtualMachine, cluster_compute_resource,
    host_system, resource_pool, virtual_machine as vm,
};
use vsphere_ops::pool::{self, Allocation, Level, Limit, NewPool, ShareOf};
use vsphere_ops::types::{
    ArrayUpdateOperation, ArrayUpdateSpec, ClusterConfigInfoEx, ClusterConfigSpecEx, ClusterDrsConfigInfo,
    ClusterGroupSpec, ClusterRuleSpec, ClusterVmHostRuleInfo, DrsBehavior, Poly, ResourceAllocationInfo,
};
use vsphere_ops::vm::{Changes, NewVm};
use vsphere_ops::{Circumstance, Client, Config, ListQuery, Mo, Task};
use vsphere_sim::{Model, Role, Sim};

async fn demo() -> (Sim, Client) {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let client = login(&sim, Model::USER, Model::PASSWORD).await;
    (sim, client)
}

async fn login(sim: &Sim, user: &str, password: &str) -> Client {
    let config = Config::new(sim.url()).user(user).password(password);
    Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap()
}

async fn machine(client: &Client, name: &str) -> Mo<VirtualMachine> {
    client.get(name).await.unwrap()
}

/// So many VMs that are off, in a folder that is made for them.
async fn filled(client: &Client, path: &str, count: usize) -> Mo<Folder> {
    let made = client.make_folder(path).await.unwrap();
    for number in 0..count {
        let mut new = NewVm { name: format!("batch-{number:02}"), disk_gb: 1, ..Default::default() };
        new.placement.folder = Some(made.path.clone());
        new.placement.pool = Some("/fra1/host/lab-cluster/Resources".to_owned());
        new.placement.host = Some("esx-05.corp.example".to_owned());
        new.placement.datastore = Some("iso-library".to_owned());
        vsphere_ops::vm::create(client, &new).await.unwrap();
    }
    client.get(&made.id).await.unwrap()
}

/// The VMs that a folder and those below it hold.
async fn below(folder: &Mo<Folder>) -> Vec<String> {
    let mut names: Vec<String> =
        folder.all::<VirtualMachine>().select(vm::NAME).await.unwrap().into_iter().map(|(_, name)| name).collect();
    names.sort();
    names
}

async fn files(client: &Client, folder: &str) -> usize {
    let store: Mo<Datastore> = client.get("iso-library").await.unwrap();
    match store.list_files(&vsphere_ops::files::FileQuery::below(folder)).await {
        Ok(page) => page.total,
        Err(error) if error.is_not_found() => 0,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn folders_of_every_kind_are_listed_by_path_with_what_is_in_them() {
    let (_sim, client) = demo().await;
    let all = folder::list(&client, &ListQuery::default()).await.unwrap();
    assert!(all.gaps.is_empty());
    let found = |path: &str| all.items.iter().find(|folder| folder.path == path).unwrap();
    let facts = |path: &str| (found(path).type_, found(path).fixed, found(path).children, found(path).folders);
    assert_eq!(facts("/fra1/vm"), (FolderKind::Vm, true, 4, 4));
    assert_eq!(facts("/fra1/vm/infra"), (FolderKind::Vm, false, 12, 1));
    assert_eq!(facts("/fra1/vm/prod/web"), (FolderKind::Vm, false, 6, 0));
    assert_eq!(facts("/fra1/host"), (FolderKind::Host, true, 2, 0));
    assert_eq!(facts("/fra1/datastore").0, FolderKind::Datastore);
    assert_eq!(facts("/fra1/network").0, FolderKind::Network);
    assert!(all.items.is_sorted_by_key(|folder| &folder.path));
    // Page by page the same.
    let mut query = ListQuery::first(5);
    let mut paths = Vec::new();
    loop {
        let page = folder::list(&client, &query).await.unwrap();
        assert_eq!(page.total, all.total);
        paths.extend(page.items.into_iter().map(|folder| folder.path));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert!(paths.iter().eq(all.items.iter().map(|folder| &folder.path)));
    assert_eq!(folder::list(&client, &ListQuery::default().matching("W*")).await.unwrap().items[0].name, "web");
}

#[tokio::test]
async fn a_folder_is_made_with_those_above_it_and_only_once() {
    let (sim, client) = demo().await;
    let made = client.make_folder("prod/a/b").await.unwrap();
    assert_eq!((made.path.as_str(), made.created, made.type_), ("/fra1/vm/prod/a/b", 2, FolderKind::Vm));
    for path in ["/fra1/vm/prod/a/b", "vm/prod/a/b", "fra1/vm/prod/a/b", "prod/a/b/"] {
        let again = client.make_folder(path).await.unwrap();
        assert_eq!((&again.id, again.changed), (&made.id, false), "{path}");
    }
    let single = client.make_folder("single").await.unwrap();
    assert_eq!(single.path, "/fra1/vm/single");
    let network = client.make_folder("network/backbone").await.unwrap();
    assert_eq!((network.path.as_str(), network.type_), ("/fra1/network/backbone", FolderKind::Network));
    let of_datacenters = client.make_folder("/europe").await.unwrap();
    assert_eq!((of_datacenters.path.as_str(), of_datacenters.type_), ("/europe", FolderKind::Datacenter));
    // A name with a slash is one name.
    let parent = folder::find(&client, "prod/a").await.unwrap();
    assert_eq!(parent.make_folder("x/y").await.unwrap().path, "/fra1/vm/prod/a/x%2fy");

    let before = sim.calls("CreateFolder");
    assert_eq!(client.make_folder("/none/vm/x").await.unwrap_err().code(), "not_found");
    assert_eq!(client.make_folder(" / ").await.unwrap_err().code(), "invalid_argument");
    assert_eq!(client.make_folder(&format!("prod/{}", "x".repeat(81))).await.unwrap_err().code(), "invalid_argument");
    assert_eq!(sim.calls("CreateFolder"), before);
    let taken = folder::find(&client, "prod/web").await.unwrap().make_folder("web-01").await.unwrap_err();
    assert!(taken.is_fault("DuplicateName"), "{taken}");
}

#[tokio::test]
async fn a_folder_with_30_vms_is_refused_then_unregistered_or_destroyed_as_planned() {
    let (sim, client) = demo().await;
    let batch = filled(&client, "batch/inner", 30).await;
    let outer = folder::find(&client, "vm/batch").await.unwrap();
    let refused = outer.deletion(VmsBelow::Refused).await.unwrap_err();
    assert_eq!((refused.code(), refused.circumstance()), ("invalid_state", Some(&Circumstance::HoldsVms)));
    for part in ["30 VMs and templates are in it", "/fra1/vm/batch/inner/batch-00", "/fra1/vm/batch/inner/batch-29"] {
        assert!(refused.to_string().contains(part), "{refused}");
    }
    // One that runs stands in the way of both.
    machine(&client, "batch-07").await.power_on().await.unwrap().await.unwrap();
    for vms in [VmsBelow::Unregistered, VmsBelow::Destroyed] {
        let refused = outer.deletion(vms).await.unwrap_err();
        assert_eq!(refused.circumstance(), Some(&Circumstance::VmsRun));
        assert!(refused.to_string().contains("1 VMs in it run, and must be off first: /fra1/vm/batch/inner/batch-07"));
    }
    machine(&client, "batch-07").await.power_off().await.unwrap().await.unwrap();

    let plan = outer.deletion(VmsBelow::Destroyed).await.unwrap();
    assert_eq!((plan.vms.len(), plan.folders.len(), plan.gaps.is_empty()), (30, 1, true));
    assert!(plan.vms.iter().all(|vm| vm.disks.len() == 1 && vm.disks[0].capacity.bytes() == 1 << 30));
    assert!(files(&client, "batch-29").await > 0);
    // What comes or changes meanwhile voids it, and nothing is done.
    let before = (sim.calls("Destroy_Task"), sim.calls("UnregisterVM"));
    machine(&client, "web-04").await.move_to_folder(&batch).await.unwrap();
    let changed = plan.clone().carry_out().await.unwrap_err();
    assert!(changed.code() == "changed" && changed.to_string().contains("so nothing was done"), "{changed}");
    let web = folder::find(&client, "prod/web").await.unwrap();
    machine(&client, "web-04").await.move_to_folder(&web).await.unwrap();
    let note = Changes { annotation: Some("mine".to_owned()), ..Default::default() };
    machine(&client, "batch-03").await.reconfiguration(&note).await.unwrap().carry_out().await.unwrap();
    assert_eq!(plan.carry_out().await.unwrap_err().code(), "changed");
    assert_eq!((sim.calls("Destroy_Task"), sim.calls("UnregisterVM")), before);

    // Half of them are only unregistered.
    let other = client.make_folder("other").await.unwrap();
    let other: Mo<Folder> = client.get(&other.id).await.unwrap();
    for number in 0..3 {
        machine(&client, &format!("batch-{number:02}")).await.move_to_folder(&other).await.unwrap();
    }
    let gone = other.deletion(VmsBelow::Unregistered).await.unwrap().carry_out().await.unwrap();
    assert_eq!((gone.folder_deleted, gone.vms.len(), gone.failed), (true, 3, 0));
    assert!(files(&client, "batch-00").await > 0, "the files stay");
    let gone = outer.deletion(VmsBelow::Destroyed).await.unwrap().carry_out().await.unwrap();
    assert_eq!((gone.folder_deleted, gone.folders, gone.vms.len(), gone.failed), (true, 1, 27, 0), "{gone:?}");
    assert_eq!(files(&client, "batch-29").await, 0, "the files are gone");
    assert!(client.find::<VirtualMachine>("batch-*").select(vm::NAME).await.unwrap().is_empty());
    assert!(folder::find(&client, "vm/batch").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_vm_that_can_not_go_keeps_its_folder() {
    let model = Model::demo().user("half", "half", Role::Administrator);
    let sim = Sim::start(model.permission("half", "/fra1/vm/infra/ci/ci-runner-02", Role::ReadOnly)).await.unwrap();
    let (admin, half) = (login(&sim, Model::USER, Model::PASSWORD).await, login(&sim, "half", "half").await);
    for name in ["ci-runner-01", "ci-runner-02"] {
        machine(&admin, name).await.power_off().await.unwrap().await.unwrap();
    }
    let runners = folder::find(&half, "infra/ci").await.unwrap();
    for vms in [VmsBelow::Destroyed, VmsBelow::Unregistered] {
        let runner = machine(&admin, "jump-01").await;
        if below(&runners).await.len() < 2 {
            runner.power_off().await.unwrap().await.unwrap();
            runner.move_to_folder(&folder::find(&admin, "infra/ci").await.unwrap()).await.unwrap();
        }
        let gone = runners.deletion(vms).await.unwrap().carry_out().await.unwrap();
        assert_eq!((gone.folder_deleted, gone.failed, gone.vms.len(), gone.folders), (false, 1, 2, 0), "{gone:?}");
        let left = gone.vms.iter().find(|vm| vm.error.is_some()).unwrap();
        assert_eq!(left.path, "/fra1/vm/infra/ci/ci-runner-02");
        assert_eq!(left.error.as_ref().unwrap().code(), "permission");
        assert_eq!(below(&runners).await, ["ci-runner-02"]);
    }
    // Where none can go, that is the error.
    let refused = runners.deletion(VmsBelow::Destroyed).await.unwrap().carry_out().await.unwrap_err();
    assert_eq!((refused.code(), refused.target()), ("permission", Some("ci-runner-02")));
}

#[tokio::test]
async fn what_is_no_vm_and_what_vsphere_made_is_not_deleted_with_a_folder() {
    let (sim, client) = demo().await;
    for path in ["/fra1/vm", "/fra1/host", "/fra1/datastore", "/fra1/network"] {
        let fixed = folder::find(&client, path).await.unwrap();
        assert_eq!(fixed.deletion(VmsBelow::Destroyed).await.unwrap_err().code(), "unsupported", "{path}");
    }
    let made = client.make_folder("/fra1/host/rack").await.unwrap();
    let rack: Mo<Folder> = client.get(&made.id).await.unwrap();
    let lab: Mo<ClusterComputeResource> = client.get("lab-cluster").await.unwrap();
    let task = rack.move_into_folder_task(&[lab.reference().clone()]).await.unwrap();
    Task::<()>::new(&client, task, "move", "lab-cluster").await.unwrap();
    let refused = rack.deletion(VmsBelow::Destroyed).await.unwrap_err();
    assert!(refused.to_string().contains("something else than VMs is in it: /fra1/host/rack/lab-cluster"), "{refused}");
    assert_eq!(sim.calls("Destroy_Task"), 0);
    // An empty folder of any kind goes.
    let made = client.make_folder("/fra1/datastore/old/older").await.unwrap();
    assert_eq!(made.type_, FolderKind::Datastore);
    let old = folder::find(&client, "/fra1/datastore/old").await.unwrap();
    let gone = old.deletion(VmsBelow::default()).await.unwrap().carry_out().await.unwrap();
    assert_eq!((gone.folder_deleted, gone.folders, gone.vms.len()), (true, 1, 0));
}

#[tokio::test]
async fn a_linked_clone_elsewhere_is_told() {
    let (_sim, client) = demo().await;
    let new = vsphere_ops::vm::NewClone {
        name: "linked".into(),
        kind: vsphere_ops::vm::CloneKind::Linked,
        ..vsphere_ops::vm::NewClone::of("git-01")
    };
    machine(&client, "git-01").await.power_off().await.unwrap().await.unwrap();
    vsphere_ops::vm::clone(&client, &new).await.unwrap();
    let made = client.make_folder("doomed").await.unwrap();
    let doomed: Mo<Folder> = client.get(&made.id).await.unwrap();
    machine(&client, "git-01").await.move_to_folder(&doomed).await.unwrap();
    let plan = doomed.deletion(VmsBelow::Destroyed).await.unwrap();
    assert_eq!((plan.vms[0].snapshots, &plan.vms[0].linked_clones), (1, &vec!["linked".to_owned()]));
    machine(&client, "linked").await.move_to_folder(&doomed).await.unwrap();
    let plan = doomed.deletion(VmsBelow::Destroyed).await.unwrap();
    assert!(plan.vms.iter().all(|vm| vm.linked_clones.is_empty()), "it goes too: {plan:?}");
}

#[tokio::test]
async fn a_vm_moves_to_a_folder_once() {
    let (_sim, client) = demo().await;
    let (web, lab) = (machine(&client, "web-01").await, folder::find(&client, "lab").await.unwrap());
    let moved = web.move_to_folder(&lab).await.unwrap();
    assert_eq!(
        (moved.path.as_str(), moved.from.as_str(), moved.changed),
        ("/fra1/vm/lab/web-01", "/fra1/vm/prod/web/web-01", true)
    );
    assert!(!web.move_to_folder(&lab).await.unwrap().changed);
    assert!(below(&lab).await.contains(&"web-01".to_owned()));
    let network = folder::find(&client, "/fra1/network").await.unwrap();
    assert_eq!(web.move_to_folder(&network).await.unwrap_err().code(), "invalid_argument");
}

async fn root(client: &Client, cluster: &str) -> Mo<ResourcePool> {
    client.get(&format!("/fra1/host/{cluster}/Resources")).await.unwrap()
}

#[tokio::test]
async fn pools_are_made_listed_and_deleted_with_their_vms_moving_up() {
    let (sim, client) = demo().await;
    let top = root(&client, "prod-cluster").await;
    let new = NewPool {
        cpu: Allocation {
            reservation: 2_000,
            limit: Limit::At(8_000),
            expandable: false,
            shares: ShareOf::Level(Level::High),
        },
        memory: Allocation { shares: ShareOf::Number(1_234), ..Allocation::default() },
        ..NewPool::named("web")
    };
    let made = top.make_pool(&new).await.unwrap();
    assert_eq!((made.path.as_str(), made.parent.id.as_str()), ("/fra1/host/prod-cluster/Resources/web", top.id()));
    let web: Mo<ResourcePool> = client.get(&made.id).await.unwrap();
    let config = web.read(resource_pool::CONFIG).await.unwrap();
    let facts = |allocation: &ResourceAllocationInfo| {
        let shares = allocation.shares.as_ref().unwrap();
        (
            allocation.reservation,
            allocation.limit,
            allocation.expandable_reservation,
            shares.level.to_string(),
            shares.shares,
        )
    };
    assert_eq!(facts(&config.cpu_allocation), (Some(2_000), Some(8_000), Some(false), "high".into(), 8_000));
    assert_eq!(facts(&config.memory_allocation), (Some(0), Some(-1), Some(true), "custom".into(), 1_234));
    assert_eq!(web.info().await.unwrap().parent.unwrap().id, top.id());
    assert!(top.make_pool(&new).await.unwrap_err().is_fault("DuplicateName"));
    let mut wrong = NewPool::named("wrong");
    wrong.memory = Allocation { reservation: 10, limit: Limit::At(5), ..Allocation::default() };
    assert_eq!(top.make_pool(&wrong).await.unwrap_err().code(), "invalid_argument");
    let mut greedy = NewPool::named("greedy");
    greedy.cpu.reservation = 10_000_000;
    assert!(top.make_pool(&greedy).await.unwrap_err().is_fault("InsufficientResourcesFault"));

    let inner = web.make_pool(&NewPool::named("inner")).await.unwrap();
    let (one, other) = (machine(&client, "web-01").await, machine(&client, "web-02").await);
    let moved = one.move_to_pool(&web).await.unwrap();
    assert_eq!((moved.pool.name.as_str(), moved.from.name.as_str(), moved.changed), ("web", "Resources", true));
    assert!(!one.move_to_pool(&web).await.unwrap().changed);
    let elsewhere = root(&client, "lab-cluster").await;
    let refused = one.move_to_pool(&elsewhere).await.unwrap_err();
    assert!(refused.code() == "invalid_argument" && refused.to_string().contains("lab-cluster"), "{refused}");
    let template = machine(&client, "tpl-rhel-9").await.move_to_pool(&web).await.unwrap_err();
    assert_eq!(template.code(), "invalid_state", "{template}");

    let all = pool::list(&client, &ListQuery::default()).await.unwrap();
    let shown = all.items.iter().find(|pool| pool.id == made.id).unwrap();
    assert_eq!((shown.cluster.as_deref(), shown.root, shown.vms, shown.pools), (Some("prod-cluster"), false, 1, 1));
    assert_eq!((shown.cpu_reservation_mhz, shown.cpu_limit_mhz), (2_000, Limit::At(8_000)));
    assert_eq!(all.items.iter().filter(|pool| pool.root).count(), 2);

    assert_eq!(top.deletion().await.unwrap_err().code(), "unsupported");
    let plan = web.deletion().await.unwrap();
    assert_eq!((plan.vms[0].name.as_str(), plan.pools[0].id.as_str()), ("web-01", inner.id.as_str()));
    other.move_to_pool(&web).await.unwrap();
    let before = sim.calls("Destroy_Task");
    let changed = plan.carry_out().await.unwrap_err();
    assert!(changed.code() == "changed" && sim.calls("Destroy_Task") == before, "{changed}");
    let gone = web.deletion().await.unwrap().carry_out().await.unwrap();
    assert_eq!((gone.vms.len(), gone.pools.len(), gone.parent.name.as_str()), (2, 1, "Resources"));
    for vm in [one, other] {
        assert_eq!(vm.read(vm::RESOURCE_POOL).await.unwrap().as_ref(), Some(top.reference()));
    }
    assert!(web.read(resource_pool::NAME).await.unwrap_err().is_not_found());
}

async fn cluster(client: &Client, name: &str) -> Mo<ClusterComputeResource> {
    client.get(name).await.unwrap()
}

async fn reconfigure(cluster: &Mo<ClusterComputeResource>, spec: ClusterConfigSpecEx) {
    let task = cluster.reconfigure_compute_resource_task(&Poly::new(spec), true).await.unwrap();
    Task::<()>::new(cluster.client(), task, "reconfigure", cluster.label()).await.unwrap();
}

#[tokio::test]
async fn a_cluster_tells_what_it_has_and_what_drs_and_ha_do() {
    let (_sim, client) = demo().await;
    let prod = cluster(&client, "prod-cluster").await;
    let info = prod.info().await.unwrap();
    assert!(info.gaps.is_empty());
    let summary = prod.read(cluster_compute_resource::SUMMARY).await.unwrap();
    assert_eq!((info.hosts.len(), info.usable_hosts), (4, 4));
    assert_eq!((info.cpu.total_mhz, info.memory.total_bytes), (summary.total_cpu, summary.total_memory));
    assert!(info.cpu.demand_mhz.unwrap() > 0 && info.memory.demand_mb.unwrap() > 0 && info.vms.unwrap() > 30);
    assert_eq!((info.drs.enabled, info.drs.automation, info.drs.level), (true, Some(Automation::Full), Some(3)));
    let admission = info.ha.admission.unwrap();
    assert_eq!((info.ha.enabled, admission.policy), (true, AdmissionPolicy::Slots));
    assert_eq!((admission.failover_hosts, admission.failover_hosts_now), (Some(1), Some(1)));
    assert_eq!((info.ha.restart_priority.as_deref(), info.evc, info.vsan), (Some("medium"), None, false));
    let off = ClusterDrsConfigInfo { enabled: Some(false), ..Default::default() };
    reconfigure(&prod, ClusterConfigSpecEx { drs_config: Some(Box::new(off)), ..Default::default() }).await;
    let info = prod.info().await.unwrap();
    assert_eq!((info.drs.enabled, info.drs.automation, info.drs.level), (false, None, None));
}

async fn rule(client: &Client, name: &str, kind: RuleKind, vms: &[&str], hosts: &[&str]) -> NewRule {
    let vms = client.get_many::<VirtualMachine>(vms).await.unwrap().into_iter().map(Result::unwrap).collect();
    let hosts = client.get_many::<HostSystem>(hosts).await.unwrap().into_iter().map(Result::unwrap).collect();
    NewRule { name: name.to_owned(), kind, vms, hosts }
}

async fn config(cluster: &Mo<ClusterComputeResource>) -> ClusterConfigInfoEx {
    cluster.read(cluster_compute_resource::CONFIGURATION_EX).await.unwrap().downcast().unwrap()
}

const FIRST: &str = "esx-01.corp.example";
const SECOND: &str = "esx-02.corp.example";

#[tokio::test]
async fn a_rule_that_contradicts_another_is_refused_with_the_name_of_that() {
    let (sim, client) = demo().await;
    let prod = cluster(&client, "prod-cluster").await;
    let apart = rule(&client, "dc apart", RuleKind::AntiAffinity, &["dc-01", "dc-02"], &[]).await;
    assert!(prod.make_rule(&apart).await.unwrap().changed);
    let again = prod.make_rule(&apart).await.unwrap();
    assert!(!again.changed && again.rule.vms.len() == 2);
    let together = rule(&client, "dc together", RuleKind::Affinity, &["dc-01", "dc-02", "dns-01"], &[]).await;
    let before = sim.calls("ReconfigureComputeResource_Task");
    let refused = prod.make_rule(&together).await.unwrap_err();
    assert_eq!(refused.code(), "invalid_state");
    let text =
        "it contradicts the rule \"dc apart\": \"dc-01\", \"dc-02\" would have to be on one host and on different ones";
    assert!(refused.to_string().contains(text), "{refused}");
    let one_host = rule(&client, "dc here", RuleKind::MustRunOn, &["dc-01", "dc-02"], &[FIRST]).await;
    let refused = prod.make_rule(&one_host).await.unwrap_err();
    assert!(refused.to_string().contains("contradicts the rule \"dc apart\""), "{refused}");
    assert_eq!(sim.calls("ReconfigureComputeResource_Task"), before);
    // The same name for something else.
    let other = rule(&client, "DC apart", RuleKind::AntiAffinity, &["dc-01", "dns-01"], &[]).await;
    assert!(prod.make_rule(&other).await.unwrap_err().to_string().contains("another rule of this name"));
    // With the first one gone, the second one can be.
    prod.rule_deletion("dc apart").await.unwrap().carry_out().await.unwrap();
    assert!(prod.make_rule(&together).await.unwrap().changed);
    for (kind, vms, hosts) in [
        (RuleKind::Affinity, &["dc-01"][..], &[][..]),
        (RuleKind::Affinity, &["dc-01", "dc-02"], &[FIRST]),
        (RuleKind::MustRunOn, &["dc-01"], &[]),
        (RuleKind::AntiAffinity, &["dc-01", "dc-01"], &[]),
        (RuleKind::Affinity, &["dc-01", "k8s-cp-01"], &[]),
        (RuleKind::MustRunOn, &["dc-01"], &["esx-05.corp.example"]),
        (RuleKind::Dependency, &["dc-01", "dc-02"], &[]),
    ] {
        let wrong = rule(&client, "wrong", kind, vms, hosts).await;
        assert_eq!(prod.make_rule(&wrong).await.unwrap_err().code(), "invalid_argument", "{kind:?} {vms:?} {hosts:?}");
    }
}

#[tokio::test]
async fn a_rule_about_hosts_has_groups_of_its_own_which_go_with_it_unless_others_use_them() {
    let (_sim, client) = demo().await;
    let prod = cluster(&client, "prod-cluster").await;
    for (kind, mandatory, affine) in [
        (RuleKind::MustRunOn, true, true),
        (RuleKind::ShouldRunOn, false, true),
        (RuleKind::MustNotRunOn, true, false),
        (RuleKind::ShouldNotRunOn, false, false),
    ] {
        let made =
            prod.make_rule(&rule(&client, "pg", kind, &["pg-01", "pg-02"], &[FIRST, SECOND]).await).await.unwrap();
        assert_eq!(
            (made.new_groups.as_slice(), made.drs),
            (["pg VMs".to_owned(), "pg hosts".to_owned()].as_slice(), true)
        );
        let now = config(&prod).await;
        let kept = now.rule[0].downcast_ref::<ClusterVmHostRuleInfo>().unwrap();
        assert_eq!((kept.mandatory, kept.enabled), (Some(mandatory), Some(true)));
        assert_eq!(
            (kept.affine_host_group_name.is_some(), kept.anti_affine_host_group_name.is_some()),
            (affine, !affine)
        );
        let listed = prod.rules(&ListQuery::default()).await.unwrap().items;
        assert_eq!((listed[0].kind, listed[0].hosts.len(), listed[0].vms[0].name.as_str()), (kind, 2, "pg-01"));
        let plan = prod.rule_deletion("pg").await.unwrap();
        assert_eq!(plan.groups.iter().map(|group| group.members.len()).collect::<Vec<_>>(), [2, 2]);
        let gone = plan.carry_out().await.unwrap();
        assert_eq!(gone.groups, ["pg VMs", "pg hosts"]);
        let now = config(&prod).await;
        assert!(now.rule.is_empty() && now.group.is_empty(), "{now:?}");
    }
    // Another rule uses the group of hosts, which therefore stays.
    prod.make_rule(&rule(&client, "pg", RuleKind::ShouldRunOn, &["pg-01"], &[FIRST]).await).await.unwrap();
    let plan = prod.rule_deletion("pg").await.unwrap();
    let adding = || ArrayUpdateSpec { operation: ArrayUpdateOperation::Add, remove_key: None };
    let mut group = vsphere_ops::types::ClusterVmGroup {
        vm: vec![machine(&client, "pg-02").await.reference().clone()],
        ..Default::default()
    };
    group.name = "by hand".to_owned();
    let mut second = ClusterVmHostRuleInfo {
        vm_group_name: Some("by hand".to_owned()),
        affine_host_group_name: Some("pg hosts".to_owned()),
        ..Default::default()
    };
    (second.name, second.enabled) = (Some("second".to_owned()), Some(true));
    let spec = ClusterConfigSpecEx {
        group_spec: vec![ClusterGroupSpec { base: adding(), info: Some(Poly::new(group)) }],
        rules_spec: vec![ClusterRuleSpec { base: adding(), info: Some(Poly::new(second)) }],
        ..Default::default()
    };
    reconfigure(&prod, spec).await;
    assert_eq!(plan.carry_out().await.unwrap_err().code(), "changed");
    let gone = prod.rule_deletion("pg").await.unwrap().carry_out().await.unwrap();
    assert_eq!(gone.groups, ["pg VMs"]);
    let missing = prod.rule_deletion("pg").await.unwrap_err();
    assert!(missing.is_not_found() && missing.to_string().contains("those of the cluster: second"), "{missing}");
}

#[tokio::test]
async fn what_drs_recommends_is_read_without_a_refresh_and_moves_the_vm_when_applied() {
    let (sim, client) = demo().await;
    let prod = cluster(&client, "prod-cluster").await;
    let manual = ClusterDrsConfigInfo { default_vm_behavior: Some(DrsBehavior::Manual), ..Default::default() };
    reconfigure(&prod, ClusterConfigSpecEx { drs_config: Some(Box::new(manual)), ..Default::default() }).await;
    prod.refresh_recommendation().await.unwrap();
    let refreshed = sim.calls("RefreshRecommendation");
    let found = prod.recommendations().await.unwrap();
    assert_eq!((found.drs, found.automation), (true, Some(Automation::Manual)));
    assert_eq!(sim.calls("RefreshRecommendation"), refreshed);
    let first = found.recommendations.first().expect("the demo is out of balance").clone();
    let step = &first.moves[0];
    let plan = prod.application(&first.key).await.unwrap();
    let stale = plan.clone();
    let applied = plan.carry_out(None).await.unwrap();
    assert_eq!((applied.moved, applied.recommendation.key.as_str()), (first.moves.len(), first.key.as_str()));
    let moved = machine(&client, &step.vm.id).await;
    assert_eq!(moved.read(vm::HOST).await.unwrap().unwrap().value, step.to.id);
    let host: Mo<HostSystem> = client.get(&step.to.id).await.unwrap();
    assert!(host.read(host_system::VM).await.unwrap().contains(moved.reference()));
    let calls = sim.calls("ApplyRecommendation");
    assert_eq!(stale.carry_out(None).await.unwrap_err().code(), "changed");
    let gone = prod.application(&first.key).await.unwrap_err();
    assert!(gone.is_not_found() && gone.to_string().contains("or no longer"), "{gone}");
    assert_eq!(sim.calls("ApplyRecommendation"), calls);
}
