//! Lists of hosts, datastores, networks and clusters by their columns: conditions, orders, groups and what is shown.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is its failure report")]

use vsphere_ops::cluster::{self, ClusterColumn, ClusterQuery};
use vsphere_ops::columns::{Cell, Column as _, Group, Groups};
use vsphere_ops::datastore::{self, DatastoreColumn, DatastoreQuery};
use vsphere_ops::host::{self, HostColumn, HostQuery, HostState};
use vsphere_ops::managed::{Datastore, Network};
use vsphere_ops::network::{self, NetworkColumn, NetworkQuery};
use vsphere_ops::{Client, Config, ListQuery};
use vsphere_sim::{Cardinality, Incident, Model, Role, Sim, Size};

async fn of(model: Model) -> (Sim, Client) {
    let sim = Sim::start(model).await.unwrap();
    let client = client_of(&sim, Model::USER, Model::PASSWORD).await;
    (sim, client)
}

async fn client_of(sim: &Sim, user: &str, password: &str) -> Client {
    let config = Config::new(sim.url()).user(user).password(password);
    Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap()
}

/// The names of what a kind of list gives for these conditions.
macro_rules! named {
    ($module:ident, $query:ident, $client:expr, $conditions:expr) => {{
        let conditions: &[&str] = $conditions;
        let conditions = conditions.iter().map(|text| text.parse().unwrap()).collect();
        let query = $query { conditions, ..Default::default() };
        let items = $module::list($client, &query).await.unwrap().items;
        items.into_iter().map(|item| item.name.trim_end_matches(".corp.example").to_owned()).collect::<Vec<_>>()
    }};
}

fn group<'g>(groups: &'g Groups, value: &str) -> &'g Group {
    let found = groups.groups.iter().find(|group| group.value == Cell::Text(value.to_owned()));
    found.unwrap_or_else(|| panic!("{value}: {groups:?}"))
}

#[tokio::test]
async fn hosts_are_found_sorted_and_summed_by_any_column() {
    let (sim, client) = of(Model::demo()).await;
    for (conditions, expected) in [
        (&["model=*R650"][..], &["esx-05", "esx-06"][..]),
        (&["cpu_cores>60", "memory_mb>=524288"], &["esx-01", "esx-02", "esx-03", "esx-04"]),
        // Seven VMs of the lab on its two hosts, in turn.
        (&["vms<4"], &["esx-06"]),
        (&["cluster=lab-*", "vms=4"], &["esx-05"]),
        (&["datastores=lab-ssd"], &["esx-05", "esx-06"]),
        (&["path=/fra1/host/lab-cluster/*"], &["esx-05", "esx-06"]),
        (&["evc!="], &[]),
        (&["ntp_servers=0.pool.*", "cpu_model=*6330*", "cpu_threads=112"], &["esx-05", "esx-06"]),
        (&["cpu_usage_percent>100"], &[]),
        (&["boot_time<2020-01-01"], &[]),
    ] {
        assert_eq!(named!(host, HostQuery, &client, conditions), expected, "{conditions:?}");
    }
    let query = HostQuery { find: Some("r650".into()), ..Default::default() };
    assert_eq!(host::list(&client, &query).await.unwrap().total, 2);

    // The largest first, and of those that are as large by name; each once on pages of two.
    let columns = vec![HostColumn::Build, HostColumn::CpuSockets];
    let mut query = HostQuery { order: Some("-memory_mb".parse().unwrap()), columns, ..Default::default() };
    query.page = ListQuery::first(4).matching("*-0[1356].*");
    let first = host::list(&client, &query).await.unwrap();
    let names: Vec<&str> = first.items.iter().map(|host| host.name.split('.').next().unwrap()).collect();
    assert_eq!((names, first.next_cursor), (vec!["esx-01", "esx-03", "esx-05", "esx-06"], None));
    assert_eq!(first.items[0].columns.get(HostColumn::CpuSockets), Some(&Cell::Number(2)));
    assert_eq!(first.items[0].columns.get(HostColumn::Build), Some(&Cell::Text("99990001".into())));
    query.page.limit = 3;
    let first = host::list(&client, &query).await.unwrap();
    query.page.cursor = first.next_cursor;
    let rest = host::list(&client, &query).await.unwrap();
    assert_eq!((rest.items.len(), rest.items[0].name.as_str()), (1, "esx-06.corp.example"));

    let by_cluster = host::groups(&client, &HostQuery::default(), HostColumn::Cluster).await.unwrap();
    let (prod, lab) = (group(&by_cluster, "prod-cluster"), group(&by_cluster, "lab-cluster"));
    assert_eq!((prod.count, prod.sums["cpu_cores"], prod.sums["memory_mb"]), (4, 256, 4 * 524_288));
    assert_eq!((lab.count, lab.sums["cpu_cores"], by_cluster.total), (2, 112, 6));

    // The filters that there were hold with the others, also where something is counted.
    sim.incident(&Incident::Maintenance { host: "esx-06.corp.example".into() }).unwrap();
    let state = Some(HostState::Maintenance);
    let query = HostQuery { state, conditions: vec!["model=*R650".parse().unwrap()], ..Default::default() };
    assert_eq!(host::list(&client, &query).await.unwrap().items[0].name, "esx-06.corp.example");
    assert_eq!(host::groups(&client, &query, HostColumn::Vendor).await.unwrap().total, 1);
    let query = HostQuery { cluster: Some("prod-cluster".into()), state, ..Default::default() };
    assert_eq!(host::list(&client, &query).await.unwrap().total, 0);
}

#[tokio::test]
async fn datastores_are_found_sorted_and_summed_by_any_column() {
    let (sim, client) = of(Model::demo()).await;
    for (conditions, expected) in [
        (&["free_percent<20"][..], &["lab-ssd"][..]),
        (&["hosts=esx-05*"], &["backup-nfs", "iso-library", "lab-ssd"]),
        (&["vm_count=0"], &["backup-nfs", "iso-library"]),
        (&["capacity_bytes>=16TB"], &["backup-nfs", "nvme-01", "nvme-02"]),
        (&["type=VMFS", "ssd=true", "host_count=4"], &["nvme-01", "nvme-02"]),
        (&["ssd="], &["backup-nfs", "iso-library"]),
        (&["provisioned_percent>90"], &["lab-ssd"]),
        (&["maintenance_mode!=normal"], &[]),
        (&["path=/fra1/datastore/nvme-*", "used_bytes<500GB"], &["nvme-02"]),
    ] {
        assert_eq!(named!(datastore, DatastoreQuery, &client, conditions), expected, "{conditions:?}");
    }
    let info = client.get::<Datastore>("lab-ssd").await.unwrap().info().await.unwrap();
    let query = DatastoreQuery {
        order: Some("free_bytes".parse().unwrap()),
        page: ListQuery::first(1),
        columns: DatastoreColumn::ALL.to_vec(),
        ..Default::default()
    };
    let page = datastore::list(&client, &query).await.unwrap();
    assert!(page.total == 5 && page.truncated);
    let first = &page.items[0];
    // ISO images are in the smallest one, which has less free than the one that runs full.
    assert_eq!(
        (first.name.as_str(), first.type_.as_deref(), first.capacity_bytes),
        ("iso-library", Some("NFS"), Some(1 << 40))
    );
    let query = DatastoreQuery { page: ListQuery::first(1).matching("lab-*"), ..query };
    let lab = datastore::list(&client, &query).await.unwrap().items.remove(0);
    let cell = |column| lab.columns.get(column).unwrap().clone();
    assert_eq!(lab.free_bytes, Some(info.free.unwrap().bytes()));
    assert_eq!(cell(DatastoreColumn::ProvisionedBytes), Cell::Number(info.provisioned.unwrap().bytes()));
    assert_eq!(cell(DatastoreColumn::VmCount), Cell::Number(7));
    assert_eq!(cell(DatastoreColumn::Url), Cell::Text(info.url));
    let hosts = ["esx-05.corp.example", "esx-06.corp.example"].map(str::to_owned).to_vec();
    assert_eq!(cell(DatastoreColumn::Hosts), Cell::Texts(hosts));

    let by_type = datastore::groups(&client, &DatastoreQuery::default(), DatastoreColumn::Type).await.unwrap();
    assert_eq!(group(&by_type, "VMFS").sums["capacity_bytes"], (16 + 16 + 8) << 40);
    assert_eq!((group(&by_type, "NFS").count, group(&by_type, "NFS").sums["capacity_bytes"]), (2, 41 << 40));

    // Of one that no host reaches the sizes are not known, and so neither small nor large.
    sim.incident(&Incident::DatastoreLost { datastore: "lab-ssd".into(), host: None }).unwrap();
    assert_eq!(named!(datastore, DatastoreQuery, &client, &["accessible=false"]), ["lab-ssd"]);
    assert_eq!(named!(datastore, DatastoreQuery, &client, &["free_percent<20"]), [""; 0]);
    assert_eq!(named!(datastore, DatastoreQuery, &client, &["free_bytes="]), ["lab-ssd"]);
}

#[tokio::test]
async fn networks_of_all_kinds_are_found_by_vlan_and_switch() {
    let (_sim, client) = of(Model::demo()).await;
    for (conditions, expected) in [
        (&["vlan=110"][..], &["prod-web"][..]),
        (&["vlan=none"], &["VM Network"]),
        (&["vlan=trunk*"], &["dvs-fra1-DVUplinks-52"]),
        (&["uplink=true"], &["dvs-fra1-DVUplinks-52"]),
        (&["kind=opaque"], &["nsx-partners"]),
        (&["switch=vSwitch*"], &["VM Network"]),
        (&["switch=dvs-fra1", "vm_count>=12"], &["infra", "prod-web"]),
        (&["vms=pg-*"], &["prod-db"]),
        (&["vlan="], &["nsx-partners"]),
        (&["hosts=esx-01*", "vm_count=3"], &["dmz"]),
    ] {
        assert_eq!(named!(network, NetworkQuery, &client, conditions), expected, "{conditions:?}");
    }
    let columns = vec![NetworkColumn::Vlan, NetworkColumn::Switch, NetworkColumn::Path];
    let query = NetworkQuery { columns, order: Some("-vm_count".parse().unwrap()), ..Default::default() };
    let page = network::list(&client, &query).await.unwrap();
    assert!(page.gaps.is_empty(), "{:?}", page.gaps);
    let counts: Vec<_> = page.items.iter().map(|network| (network.name.as_str(), network.vm_count)).collect();
    assert_eq!(counts[..3], [("infra", Some(15)), ("prod-web", Some(12)), ("lab", Some(7))]);
    let infra = &page.items[0];
    assert_eq!(infra.columns.get(NetworkColumn::Switch), Some(&Cell::Texts(vec!["dvs-fra1".into()])));
    assert_eq!(infra.columns.get(NetworkColumn::Path), Some(&Cell::Text("/fra1/network/infra".into())));
    let info = client.get::<Network>("infra").await.unwrap().info().await.unwrap();
    assert_eq!((infra.host_count, infra.kind), (Some(info.host_count as i64), info.kind));
    let by_kind = network::groups(&client, &NetworkQuery::default(), NetworkColumn::Kind).await.unwrap();
    // Five port groups, and that of the uplinks.
    assert_eq!((group(&by_kind, "distributed").count, group(&by_kind, "standard").count, by_kind.total), (6, 1, 8));
    assert_eq!(group(&by_kind, "distributed").sums["vm_count"], 12 + 6 + 15 + 3 + 7);
}

#[tokio::test]
async fn clusters_are_found_sorted_and_summed_by_any_column() {
    let (_sim, client) = of(Model::demo()).await;
    for (conditions, expected) in [
        (&["drs_automation=manual"][..], &["lab-cluster"][..]),
        (&["datastores=nvme-*"], &["prod-cluster"]),
        (&["hosts>=2", "ha=true", "admission_control=true"], &["lab-cluster", "prod-cluster"]),
        (&["memory_bytes>1TB"], &["prod-cluster"]),
        (&["vsan=true"], &[]),
        (&["vms=7", "powered_off_vms=3"], &["lab-cluster"]),
    ] {
        assert_eq!(named!(cluster, ClusterQuery, &client, conditions), expected, "{conditions:?}");
    }
    let columns = vec![ClusterColumn::CpuThreads, ClusterColumn::Path, ClusterColumn::Evc];
    let query = ClusterQuery { columns, order: Some("-cpu_cores".parse().unwrap()), ..Default::default() };
    let page = cluster::list(&client, &query).await.unwrap();
    let prod = &page.items[0];
    assert_eq!((prod.name.as_str(), prod.hosts, prod.drs), ("prod-cluster", 4, Some(true)));
    assert_eq!(prod.columns.get(ClusterColumn::CpuThreads), Some(&Cell::Number(4 * 128)));
    assert_eq!(prod.columns.get(ClusterColumn::Path), Some(&Cell::Text("/fra1/host/prod-cluster".into())));
    let shown = serde_json::to_value(prod).unwrap();
    assert!(shown.get("evc").is_none() && shown["cpu_threads"] == 512, "{shown}");
    let by_drs = cluster::groups(&client, &ClusterQuery::default(), ClusterColumn::Drs).await.unwrap();
    assert_eq!((by_drs.groups.len(), by_drs.groups[0].count, by_drs.groups[0].sums["hosts"]), (1, 2, 6));
}

#[tokio::test]
async fn tags_of_hosts_and_datastores_are_columns_like_others() {
    let model = Model::sized(Size::default())
        .category("Rack", Cardinality::Single, &[])
        .tag("Rack", "a1", &["/DC0/host/DC0_C0/DC0_C0_H1"])
        .tag("Rack", "b2", &["/DC0/datastore/DC0_DS0"]);
    let (_sim, client) = of(model).await;
    assert_eq!(named!(host, HostQuery, &client, &["tags=Rack:*"]), ["DC0_C0_H1"]);
    assert_eq!(named!(datastore, DatastoreQuery, &client, &["tags="]), ["DC0_DS1"]);
    let by_tag = host::groups(&client, &HostQuery::default(), HostColumn::Tags).await.unwrap();
    assert_eq!((group(&by_tag, "Rack:a1").count, by_tag.total), (1, 3));
}

#[tokio::test]
async fn a_list_takes_few_requests_and_says_what_it_could_not_see() {
    let model = Model::sized(Size { vms: 0, hosts: 150, datastores: 3, ..Size::default() })
        .user("web@vsphere.local", "secret", Role::NoAccess)
        .permission("web@vsphere.local", "/DC0/datastore", Role::ReadOnly);
    let (sim, client) = of(model).await;
    let before = client.requests_sent();
    let columns = vec![HostColumn::Path, HostColumn::NtpServers];
    let order = Some("-cpu_usage_mhz".parse().unwrap());
    let query = HostQuery { columns, order, conditions: vec!["cluster=DC0_*".parse().unwrap()], ..Default::default() };
    let page = host::list(&client, &query).await.unwrap();
    assert_eq!(page.total, 150);
    let name = &page.items[0].name;
    let path = Cell::Text(format!("/DC0/host/DC0_C0/{name}"));
    assert_eq!(page.items[0].columns.get(HostColumn::Path), Some(&path));
    // The view, what decides of all, the names of clusters, the page, and its paths.
    assert_eq!(client.requests_sent() - before, 5);

    let web = client_of(&sim, "web@vsphere.local", "secret").await;
    let query = DatastoreQuery { columns: vec![DatastoreColumn::Hosts], ..Default::default() };
    let page = datastore::list(&web, &query).await.unwrap();
    assert_eq!(page.items.len(), 3);
    assert_eq!(named!(host, HostQuery, &web, &[]), [""; 0]);
    for wrong in ["size>5", "free_bytes>much", "hosts<3"] {
        let error = wrong.parse::<vsphere_ops::columns::Condition<DatastoreColumn>>().unwrap_err();
        assert_eq!(error.code(), "invalid_argument", "{wrong}");
    }
}
