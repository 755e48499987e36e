//! What is done to folders, resource pools and the rules of clusters, as govc and pyVmomi see it on the simulated vCenter; and
//! what govc does, as this crate sees it.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use peers::{govc, govc_run, govc_text};
use serde_json::{Value, json};
use vsphere_ops::cluster::{NewRule, RuleKind};
use vsphere_ops::folder::{self, VmsBelow};
use vsphere_ops::managed::{ClusterComputeResource, HostSystem, ResourcePool, VirtualMachine};
use vsphere_ops::pool::{self, Level, Limit, NewPool, ShareOf};
use vsphere_ops::{Client, Config, ListQuery, Mo};
use vsphere_sim::{Model, Sim};

struct Lab {
    sim: Sim,
    client: Client,
    url: String,
}

impl Lab {
    async fn new() -> Self {
        let sim = Sim::start(Model::demo()).await.unwrap();
        let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
        let client = Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap();
        let user = Model::USER.replace('@', "%40");
        let url = sim.url().replace("://", &format!("://{user}:{}@", Model::PASSWORD.replace('!', "%21")));
        Self { sim, client, url }
    }

    async fn run(&self, args: &[&str]) {
        govc_run(&self.url, args).await.unwrap();
    }

    async fn text(&self, args: &[&str]) -> String {
        govc_text(&self.url, args).await.unwrap()
    }

    /// The inventory as a script on pyVmomi sees it.
    async fn seen(&self) -> Value {
        let address = self.sim.address().to_string();
        peers::pyvmomi("places.py", &address, Model::USER, Model::PASSWORD).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs govc and pyVmomi: cargo xtask peers"]
async fn peers_folders() {
    let lab = Lab::new().await;
    let made = lab.client.make_folder("vm/new/a%2fb").await.unwrap();
    assert_eq!(lab.text(&["ls", "/fra1/vm/new"]).await.trim(), "/fra1/vm/new/a%2fb");
    lab.run(&["object.mv", "/fra1/vm/prod/web/web-04", "/fra1/vm/new"]).await;
    let web = lab.client.get::<VirtualMachine>("web-04").await.unwrap();
    assert_eq!(web.path().await.unwrap(), "/fra1/vm/new/web-04");
    let inner = lab.client.get(&made.id).await.unwrap();
    web.move_to_folder(&inner).await.unwrap();
    assert_eq!(lab.text(&["find", "/fra1/vm/new", "-type", "m"]).await.trim(), "/fra1/vm/new/a%2fb/web-04");
    assert_eq!(lab.seen().await["folders"]["new"], json!(["a%2fb"]));
    lab.run(&["folder.create", "/fra1/vm/by-govc"]).await;
    let found = folder::list(&lab.client, &ListQuery::default().matching("by-govc")).await.unwrap();
    assert_eq!(found.items[0].path, "/fra1/vm/by-govc");
    let new = folder::find(&lab.client, "vm/new").await.unwrap();
    let gone = new.deletion(VmsBelow::Destroyed).await.unwrap().carry_out().await.unwrap();
    assert!(gone.folder_deleted && gone.vms.len() == 1);
    assert_eq!(lab.text(&["find", "/fra1/vm", "-name", "web-04"]).await.trim(), "");
    let seen = lab.seen().await;
    assert!(seen["folders"].get("new").is_none() && seen["folders"].get("by-govc").is_some(), "{seen}");
    lab.run(&["object.destroy", "/fra1/vm/by-govc"]).await;
    assert!(folder::find(&lab.client, "vm/by-govc").await.unwrap_err().is_not_found());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs govc and pyVmomi: cargo xtask peers"]
async fn peers_resource_pools() {
    let lab = Lab::new().await;
    let top: Mo<ResourcePool> = lab.client.get("/fra1/host/prod-cluster/Resources").await.unwrap();
    let mut new = NewPool::named("web");
    (new.cpu.reservation, new.cpu.shares, new.memory.limit) = (1_000, ShareOf::Level(Level::High), Limit::At(65_536));
    let made = top.make_pool(&new).await.unwrap();
    let info = govc(&lab.url, &["pool.info", &made.path]).await.unwrap();
    let config = &info["resourcePools"][0]["config"];
    assert_eq!(config["cpuAllocation"]["reservation"], 1_000, "{info}");
    assert_eq!(
        (&config["cpuAllocation"]["shares"]["level"], &config["memoryAllocation"]["limit"]),
        (&json!("high"), &json!(65_536))
    );
    let web: Mo<ResourcePool> = lab.client.get(&made.id).await.unwrap();
    let vm: Mo<VirtualMachine> = lab.client.get("web-01").await.unwrap();
    vm.move_to_pool(&web).await.unwrap();
    assert_eq!(
        lab.seen().await["pools"]["web"],
        json!({ "parent": "Resources", "vms": ["web-01"], "cpu": [1000, -1, true, 8000] })
    );
    lab.run(&["pool.create", "-cpu.limit", "2000", &format!("{}/by-govc", made.path)]).await;
    let found = pool::list(&lab.client, &ListQuery::default().matching("by-govc")).await.unwrap();
    assert_eq!(
        (found.items[0].cpu_limit_mhz, found.items[0].cluster.as_deref()),
        (Limit::At(2_000), Some("prod-cluster"))
    );
    let gone = web.deletion().await.unwrap().carry_out().await.unwrap();
    assert_eq!((gone.vms[0].name.as_str(), gone.pools[0].name.as_str()), ("web-01", "by-govc"));
    let seen = lab.seen().await;
    assert!(seen["pools"].get("web").is_none(), "{seen}");
    assert_eq!(seen["pools"]["by-govc"]["parent"], "Resources");
    lab.run(&["pool.destroy", "/fra1/host/prod-cluster/Resources/by-govc"]).await;
    assert_eq!(pool::list(&lab.client, &ListQuery::default().matching("by-govc")).await.unwrap().total, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs govc and pyVmomi: cargo xtask peers"]
async fn peers_rules_of_clusters() {
    let lab = Lab::new().await;
    let prod: Mo<ClusterComputeResource> = lab.client.get("prod-cluster").await.unwrap();
    let vms = vec![lab.client.get::<VirtualMachine>("pg-01").await.unwrap()];
    let hosts = vec![lab.client.get::<HostSystem>("esx-01.corp.example").await.unwrap()];
    let rule = NewRule { name: "pg".into(), kind: RuleKind::MustRunOn, vms, hosts };
    prod.make_rule(&rule).await.unwrap();
    let cluster = ["-cluster", "prod-cluster"];
    assert_eq!(lab.text(&["cluster.rule.ls", cluster[0], cluster[1]]).await.trim(), "pg");
    let info = lab.text(&["cluster.rule.info", cluster[0], cluster[1], "-name", "pg"]).await;
    assert!(info.contains("ClusterVmHostRuleInfo") && info.contains("pg VMs") && info.contains("pg hosts"), "{info}");
    let groups = lab.text(&["cluster.group.ls", cluster[0], cluster[1]]).await;
    assert_eq!(groups.lines().collect::<Vec<_>>(), ["pg VMs", "pg hosts"]);
    let seen = lab.seen().await["clusters"]["prod-cluster"].clone();
    let expected = json!({ "rules": [["pg", "vim.cluster.VmHostRuleInfo", true, true]],
        "groups": { "pg VMs": ["pg-01"], "pg hosts": ["esx-01.corp.example"] } });
    assert_eq!(seen, expected);

    lab.run(&[
        "cluster.rule.create",
        cluster[0],
        cluster[1],
        "-name",
        "dc",
        "-enable",
        "-anti-affinity",
        "dc-01",
        "dc-02",
    ])
    .await;
    let rules = prod.rules(&ListQuery::default()).await.unwrap().items;
    let dc = rules.iter().find(|rule| rule.name == "dc").unwrap();
    assert_eq!((dc.kind, dc.vms.len(), dc.enabled), (RuleKind::AntiAffinity, 2, true));
    prod.rule_deletion("dc").await.unwrap().carry_out().await.unwrap();
    prod.rule_deletion("pg").await.unwrap().carry_out().await.unwrap();
    assert_eq!(lab.text(&["cluster.rule.ls", cluster[0], cluster[1]]).await.trim(), "");
    let seen = lab.seen().await["clusters"]["prod-cluster"].clone();
    assert_eq!(seen, json!({ "rules": [], "groups": {} }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs govc and pyVmomi: cargo xtask peers"]
async fn peers_facts_and_recommendations_of_clusters() {
    let lab = Lab::new().await;
    let prod: Mo<ClusterComputeResource> = lab.client.get("prod-cluster").await.unwrap();
    lab.run(&["cluster.change", "-drs-enabled", "-drs-mode", "manual", "/fra1/host/prod-cluster"]).await;
    prod.refresh_recommendation().await.unwrap();
    let (info, seen) = (prod.info().await.unwrap(), lab.seen().await["facts"]["prod-cluster"].clone());
    let hosts: Vec<&str> = info.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(json!(hosts), seen["hosts"]);
    assert_eq!(
        json!([info.usable_hosts, info.cpu.cores, info.cpu.total_mhz]),
        json!([seen["usable"], seen["cores"], seen["mhz"]])
    );
    assert_eq!(json!([info.memory.total_bytes, info.ha.enabled]), json!([seen["bytes"], seen["ha"]]));
    let automation = info.drs.automation.map(|level| serde_json::to_value(level).unwrap());
    assert_eq!(info.drs.enabled, seen["drs"][0]);
    assert_eq!((automation, &seen["drs"][1]), (Some(json!("manual")), &json!("manual")));

    let found = prod.recommendations().await.unwrap().recommendations;
    let first = found.first().unwrap();
    let moved: Vec<&str> = first.moves.iter().map(|step| step.vm.name.as_str()).collect();
    assert_eq!(seen["recommended"][&first.key], json!(moved), "{seen}");
    let before = &seen["where"];
    prod.application(&first.key).await.unwrap().carry_out(None).await.unwrap();
    let after = lab.seen().await["facts"]["prod-cluster"]["where"].clone();
    for step in &first.moves {
        assert_eq!(after[&step.vm.name], json!(step.to.name), "{after}");
        assert_ne!(after[&step.vm.name], before[&step.vm.name]);
    }
}
