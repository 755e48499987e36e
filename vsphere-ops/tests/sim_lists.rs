//! Lists of VMs: columns, conditions, orders and groups, from the server and from memory.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use vsphere_ops::columns::{Cell, Column as _, Group};
use vsphere_ops::managed::VirtualMachine;
use vsphere_ops::vm::{self, VmColumn, VmMirror, VmQuery, VmSummary};
use vsphere_ops::{Client, Config, ListQuery, Page};
use vsphere_sim::{Model, Sim};

async fn of(model: Model) -> (Sim, Client) {
    let sim = Sim::start(model).await.unwrap();
    let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
    let client = Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap();
    (sim, client)
}

fn conditions(texts: &[&str]) -> VmQuery {
    let conditions = texts.iter().map(|text| text.parse().unwrap()).collect();
    VmQuery { conditions, page: ListQuery::first(1000), ..Default::default() }
}

fn names(page: &Page<VmSummary>) -> Vec<&str> {
    page.items.iter().map(|vm| vm.name.as_str()).collect()
}

/// What a list says of each VM, whether it comes from the server or from memory.
fn rows(page: &Page<VmSummary>) -> Vec<String> {
    page.items.iter().map(|vm| serde_json::to_string(vm).unwrap()).collect()
}

/// The columns that a mirror holds.
fn held() -> Vec<VmColumn> {
    let not_held = [VmColumn::Tags, VmColumn::CustomAttributes];
    VmColumn::ALL.iter().copied().filter(|column| !not_held.contains(column)).collect()
}

#[tokio::test]
async fn what_people_ask_for_is_found_with_one_list() {
    let (_sim, client) = of(Model::demo()).await;
    for (query, expected) in [
        (conditions(&["oldest_snapshot_days>90"]), &["erp-app-01", "legacy-crm"][..]),
        (conditions(&["snapshots>=2"]), &["erp-app-01", "test-alice"]),
        (conditions(&["provisioned_bytes>1.15TB"]), &["erp-db-01", "log-01", "pg-01", "pg-02"]),
        (conditions(&["power_state!=powered_on"]), &["loadgen-01", "test-bob", "web-04", "win-sandbox"]),
        (conditions(&["cluster=lab-*", "cpu<4"]), &["test-alice"]),
        (conditions(&["datastores=lab-ssd", "memory_mb=32768"]), &["k8s-node-01", "k8s-node-02"]),
        (
            conditions(&["guest_os=*windows*", "tools_version_status!=guestToolsCurrent"]),
            &["legacy-crm", "print-01", "test-bob"],
        ),
        (conditions(&["path=/fra1/vm/prod/legacy/*"]), &["legacy-crm"]),
        (conditions(&["annotation!=", "annotation!=*front*", "memory_mb>100000"]), &["pg-01", "pg-02"]),
        (
            conditions(&["tags=Compliance:gdpr", "cpu=8"]),
            &["erp-app-01", "erp-db-01", "mssql-01", "search-01", "search-02"],
        ),
        (conditions(&["ip=", "disks=1", "snapshots=0"]), &["loadgen-01", "test-bob", "web-04", "win-sandbox"]),
    ] {
        assert_eq!(names(&vm::list(&client, &query).await.unwrap()), expected, "{query:?}");
    }
    for (text, expected) in [
        ("00-50-56-80-00-4D", "app-01"),
        ("10.3.0.16", "app-01"),
        ("read-ONLY since", "legacy-crm"),
        ("fe80::250:56ff:fe80:77", "git-01"),
        ("GIT-01.corp", "git-01"),
    ] {
        let query = VmQuery { find: Some(text.to_owned()), ..Default::default() };
        assert_eq!(names(&vm::list(&client, &query).await.unwrap()), [expected], "{text}");
    }
    let uuid = client.get::<VirtualMachine>("pg-01").await.unwrap().info().await.unwrap().uuid.unwrap();
    let query = VmQuery { find: Some(uuid[..13].to_uppercase()), ..Default::default() };
    assert_eq!(names(&vm::list(&client, &query).await.unwrap()), ["pg-01"]);
}

#[tokio::test]
async fn the_cells_of_a_vm_are_those_of_its_details() {
    let (_sim, client) = of(Model::demo()).await;
    let query = VmQuery { columns: VmColumn::ALL.to_vec(), ..conditions(&["name=erp-app-01"]) };
    let page = vm::list(&client, &query).await.unwrap();
    let info = client.get::<VirtualMachine>("erp-app-01").await.unwrap().info().await.unwrap();
    let cell = |column| page.items[0].columns.get(column).unwrap_or_else(|| panic!("{column:?}"));
    assert_eq!(*cell(VmColumn::Path), Cell::Text("/fra1/vm/prod/erp/erp-app-01".to_owned()));
    assert_eq!(*cell(VmColumn::Folder), Cell::Text("erp".to_owned()));
    assert_eq!(*cell(VmColumn::Cluster), Cell::Text("prod-cluster".to_owned()));
    assert_eq!(*cell(VmColumn::Uuid), Cell::Text(info.uuid.unwrap()));
    assert_eq!(*cell(VmColumn::InstanceUuid), Cell::Text(info.instance_uuid.unwrap()));
    assert_eq!(*cell(VmColumn::Annotation), Cell::Untrusted(info.annotation.unwrap()));
    assert_eq!(*cell(VmColumn::GuestHostName), Cell::Untrusted(info.guest_host_name.unwrap()));
    assert_eq!(*cell(VmColumn::UsedBytes), Cell::Number(info.storage_used_bytes.unwrap()));
    assert_eq!(*cell(VmColumn::Snapshots), Cell::Number(info.snapshots as i64));
    assert_eq!(*cell(VmColumn::Datastores), Cell::Texts(info.datastores));
    assert_eq!(*cell(VmColumn::Networks), Cell::Texts(vec!["prod-web".to_owned()]));
    assert_eq!(*cell(VmColumn::MacAddresses), Cell::Texts(vec!["00:50:56:80:00:65".to_owned()]));
    assert_eq!(*cell(VmColumn::CpuLimitMhz), Cell::Nothing, "it has no limit");
    let tags = ["Backup:daily", "Compliance:gdpr", "Environment:prod"].map(str::to_owned);
    assert_eq!(*cell(VmColumn::Tags), Cell::Texts(tags.to_vec()));
    assert_eq!(page.items[0].columns.get(VmColumn::Name), None, "each list shows it already");
    // What is not set is left out.
    let json = serde_json::to_value(&page.items[0]).unwrap();
    assert!(json.get("cpu_limit_mhz").is_none() && json["snapshots"] == 2, "{json:#}");
}

#[tokio::test]
async fn what_a_condition_has_read_hides_nothing_of_what_is_shown() {
    let (_sim, client) = of(Model::demo()).await;
    // Within a folder the names of hosts are read for the condition, and what hosts are in for the columns.
    let query = VmQuery {
        folder: Some("/fra1/vm/prod/db".to_owned()),
        columns: vec![VmColumn::Cluster, VmColumn::Path],
        ..conditions(&["host=esx-*", "name=pg-01"])
    };
    let page = vm::list(&client, &query).await.unwrap();
    assert_eq!(page.items[0].columns.get(VmColumn::Cluster), Some(&Cell::Text("prod-cluster".to_owned())));
    assert_eq!(page.items[0].columns.get(VmColumn::Path), Some(&Cell::Text("/fra1/vm/prod/db/pg-01".to_owned())));
}

#[tokio::test]
async fn memory_says_what_the_server_says() {
    let (sim, client) = of(Model::demo()).await;
    let mirror = VmMirror::start(&client).await.unwrap();
    let all = VmQuery { columns: held(), page: ListQuery::first(1000), ..Default::default() };
    let (ours, theirs) = (mirror.list(&all).await.unwrap().unwrap(), vm::list(&client, &all).await.unwrap());
    assert_eq!(rows(&ours), rows(&theirs));
    for column in held() {
        let name = column.name();
        for order in [name.to_owned(), format!("-{name}")] {
            let mut query = VmQuery { order: Some(order.parse().unwrap()), ..Default::default() };
            query.page.limit = 7;
            let mut seen = Vec::new();
            loop {
                let page = vm::list(&client, &query).await.unwrap();
                let ours = mirror.list(&query).await.unwrap().unwrap();
                assert_eq!((names(&ours), &ours.next_cursor), (names(&page), &page.next_cursor), "{order}");
                seen.extend(page.items.into_iter().map(|vm| vm.name));
                query.page.cursor = page.next_cursor;
                if query.page.cursor.is_none() {
                    break;
                }
            }
            seen.sort();
            assert_eq!(seen, names(&theirs), "{order}: each VM is on one page");
        }
        let (ours, theirs) =
            (mirror.groups(&all, column).await.unwrap().unwrap(), vm::groups(&client, &all, column).await.unwrap());
        assert_eq!((ours.groups, ours.total), (theirs.groups, theirs.total), "{name}");
    }
    for texts in [
        ["cpu>=8", "host=esx-0[1-3]*"],
        ["networks=infra", "resource_pool=Res*"],
        ["folder=lab", "boot_time>2020-01-01"],
    ] {
        let query = conditions(&texts);
        let ours = mirror.list(&query).await.unwrap().unwrap();
        assert_eq!(names(&ours), names(&vm::list(&client, &query).await.unwrap()), "{texts:?}");
        assert!(!ours.items.is_empty(), "{texts:?}");
    }
    // What it holds itself takes no request.
    let before = sim.calls("RetrievePropertiesEx") + sim.calls("RetrieveProperties");
    let query = VmQuery {
        find: Some("10.3".to_owned()),
        order: Some("-used_bytes".parse().unwrap()),
        ..conditions(&["cpu>1"])
    };
    assert!(mirror.list(&query).await.unwrap().unwrap().total > 3);
    mirror.groups(&query, VmColumn::Host).await.unwrap().unwrap();
    assert_eq!(sim.calls("RetrievePropertiesEx") + sim.calls("RetrieveProperties"), before);
    assert!(mirror.list(&conditions(&["tags="])).await.unwrap().is_none(), "tags are not in it");
}

#[tokio::test]
async fn an_order_puts_what_has_no_value_last() {
    let (_sim, client) = of(Model::demo()).await;
    let by = async |order: &str| {
        let query = VmQuery { order: Some(order.parse().unwrap()), page: ListQuery::first(4), ..Default::default() };
        vm::list(&client, &query).await.unwrap()
    };
    assert_eq!(names(&by("-oldest_snapshot_days").await), ["legacy-crm", "erp-app-01", "git-01", "test-alice"]);
    assert_eq!(names(&by("oldest_snapshot_days").await), ["test-alice", "git-01", "erp-app-01", "legacy-crm"]);
    assert_eq!(names(&by("-memory_mb").await), ["pg-01", "pg-02", "erp-db-01", "mssql-01"]);
}

#[tokio::test]
async fn groups_count_and_sum() {
    let (_sim, client) = of(Model::demo()).await;
    let groups = async |query: &VmQuery, column| {
        let groups = vm::groups(&client, query, column).await.unwrap();
        groups
            .groups
            .iter()
            .map(|Group { value, count, sums }| (value.clone(), *count, sums["cpu"]))
            .collect::<Vec<_>>()
    };
    let text = |text: &str| Cell::Text(text.to_owned());
    let states = groups(&VmQuery::default(), VmColumn::PowerState).await;
    assert_eq!(states, [(text("powered_on"), 36, 214), (text("powered_off"), 3, 24), (text("suspended"), 1, 4)]);
    // A VM with two tags is in two groups, and in the total once.
    let erp = conditions(&["name=erp-*"]);
    let tags = groups(&erp, VmColumn::Tags).await;
    assert_eq!(tags, ["Backup:daily", "Compliance:gdpr", "Environment:prod"].map(|tag| (text(tag), 2, 16)));
    assert_eq!(vm::groups(&client, &erp, VmColumn::Tags).await.unwrap().total, 2);
    let limits = groups(&erp, VmColumn::CpuLimitMhz).await;
    assert_eq!(limits, [(Cell::Nothing, 2, 16)], "those without a value are a group");
}

#[tokio::test]
async fn limits_and_reservations_are_shown_where_there_are_some() {
    use vsphere_ops::types::{ResourceAllocationInfo, VirtualMachineConfigSpec};

    let (_sim, client) = of(Model::demo()).await;
    let vm = client.get::<VirtualMachine>("web-01").await.unwrap();
    let bound = |limit, reservation| {
        Some(Box::new(ResourceAllocationInfo {
            limit: Some(limit),
            reservation: Some(reservation),
            ..Default::default()
        }))
    };
    let spec = VirtualMachineConfigSpec {
        cpu_allocation: bound(2000, 500),
        memory_allocation: bound(4096, 1024),
        ..Default::default()
    };
    vm.reconfig_vm_task(&spec).await.unwrap();
    let mut query = conditions(&["cpu_limit_mhz>0"]);
    query.columns = vec![VmColumn::CpuReservationMhz, VmColumn::MemoryLimitMb, VmColumn::MemoryReservationMb];
    let page = loop {
        let page = vm::list(&client, &query).await.unwrap();
        if !page.items.is_empty() {
            break page;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    let numbers = query.columns.iter().map(|column| page.items[0].columns.get(*column).unwrap().clone());
    assert_eq!(numbers.collect::<Vec<_>>(), [500, 4096, 1024].map(Cell::Number));
}

#[test]
fn what_is_no_condition_says_how_to_write_one() {
    use vsphere_ops::columns::{Condition, Order};

    for (text, why) in [
        ("cpus>=8", "there is no column \"cpus\": there are name, id, power_state, cpu"),
        ("cpu", "has no operator: write it as cpu>=8, or annotation!= for what has one"),
        ("cpu>=many", "needs a whole number after >="),
        ("cpu>", "needs a whole number after >"),
        ("used_bytes>1 furlong", "needs a number of bytes such as"),
        ("name>web", "compares name"),
        ("boot_time<yesterday", "needs a date such as"),
    ] {
        let error = text.parse::<Condition<VmColumn>>().unwrap_err();
        assert_eq!(error.code(), "invalid_argument");
        assert!(error.to_string().contains(why), "{text}: {error}");
    }
    assert!("-size".parse::<Order<VmColumn>>().unwrap_err().to_string().contains("no column \"size\""));
}
