//! Thirty and two questions of an administrator's day, with the calls and the bytes that each may cost at most: in a small shop and in a large
//! one. None takes a call for each VM.

use std::time::Duration;

use rmcp::{RoleClient, model::CallToolRequestParams, service::RunningService};
use serde_json::{Value, json};
use vsphere_ops::{
    Mo,
    managed::{VirtualMachine, virtual_machine as vm},
    snapshot::NewSnapshot,
    types::VirtualMachinePowerState as State,
    vm::Changes,
};
use vsphere_sim::{Cardinality, Incident, Model, Size};

use crate::{connect, lab::Lab};

/// What an assistant asks of the server for one question, and what it reads.
struct Day {
    client: RunningService<RoleClient, ()>,
    calls: usize,
    bytes: usize,
}

impl Day {
    /// An answer; what it costs is the longer of its two forms.
    async fn ask(&mut self, tool: &'static str, arguments: Value) -> Value {
        let request = CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
        let result = self.client.call_tool(request).await.unwrap();
        assert_ne!(result.is_error, Some(true), "{tool} {arguments}: {result:?}");
        let text: usize = result.content.iter().filter_map(|block| block.as_text()).map(|text| text.text.len()).sum();
        let data = result.structured_content.unwrap();
        self.calls += 1;
        self.bytes += text.max(data.to_string().len());
        data
    }

    /// A change, once the user has agreed to it.
    async fn change(&mut self, tool: &'static str, mut arguments: Value) -> Value {
        let answer = self.ask(tool, arguments.clone()).await;
        match answer.get("plan_token") {
            Some(token) => {
                arguments["confirm"] = token.clone();
                self.ask(tool, arguments).await
            }
            None => answer,
        }
    }

    /// What the question has cost since the last one.
    fn cost(&mut self) -> (usize, usize) {
        (std::mem::take(&mut self.calls), std::mem::take(&mut self.bytes))
    }
}

/// A list of what a key is in the items of a page.
fn column(page: &Value, key: &str) -> Vec<String> {
    let items = page["items"].as_array().unwrap_or_else(|| panic!("{page:#}"));
    items.iter().map(|item| item[key].as_str().unwrap_or_else(|| panic!("{key} of {item}")).to_owned()).collect()
}

/// How many objects are in the group of this value.
fn counted(groups: &Value, value: &str) -> u64 {
    let all = groups["groups"].as_array().unwrap_or_else(|| panic!("{groups:#}"));
    all.iter().filter(|group| group["value"] == value).map(|group| group["count"].as_u64().unwrap()).sum()
}

/// Something that is so for some VMs, among so many.
async fn shop(vms: usize) -> (Lab, Day) {
    let model = Model::sized(Size { datacenters: 1, clusters: 2, hosts: 8, datastores: 4, vms })
        .incident(Incident::DatastoreFills { datastore: "DC0_DS1".into(), free: 3 << 30 })
        .incident(Incident::Maintenance { host: "DC0_C1_H3".into() })
        .category("Tier", Cardinality::Single, &["VirtualMachine"])
        .tag("Tier", "gold", &["/DC0/vm/DC0_C0_VM0", "/DC0/vm/DC0_C1_VM2"])
        .incident(Incident::Question { vm: "DC0_C0_VM2".into(), text: "The disk is full. Retry?".into() });
    let lab = Lab::of(model).await;
    for (at, name) in ["DC0_C0_VM0", "DC0_C1_VM1", "DC0_C0_VM1"].iter().enumerate() {
        let vm: Mo<VirtualMachine> = lab.client.get(name).await.unwrap();
        let snapshot = NewSnapshot::new(format!("before {at}"));
        vm.take_snapshot(&snapshot).await.unwrap();
        lab.sim.pass_time(Duration::from_secs(20 * 86_400));
    }
    let noted: Mo<VirtualMachine> = lab.client.get("DC0_C1_VM4").await.unwrap();
    let changes = Changes { annotation: Some("Oracle licence 4711, ask Kim".into()), ..Changes::default() };
    noted.reconfiguration(&changes).await.unwrap().carry_out().await.unwrap();
    for name in ["DC0_C0_VM3", "DC0_C1_VM3"] {
        let vm: Mo<VirtualMachine> = lab.client.get(name).await.unwrap();
        vm.power_off().await.unwrap().await.unwrap();
    }
    let day = Day { client: connect(lab.server(&[])).await, calls: 0, bytes: 0 };
    (lab, day)
}

/// A question as it is put, and what its answer may cost.
struct Question {
    text: &'static str,
    calls: usize,
    bytes: usize,
}

const fn question(text: &'static str, calls: usize, bytes: usize) -> Question {
    Question { text, calls, bytes }
}

/// What the questions may cost, in their order.
const QUESTIONS: [Question; 32] = [
    question("How many VMs are there, and how many of them run?", 1, 350),
    question("Which VMs run on DC0_C0_H0?", 1, 500),
    question("Whose address is this?", 1, 700),
    question("Whose MAC address is this?", 1, 150),
    question("Which VM has this UUID?", 1, 120),
    question("Whom does the Oracle licence belong to?", 1, 200),
    question("Which VMs are off?", 1, 200),
    question("Which ten VMs have most memory?", 1, 850),
    question("Which five take most storage?", 1, 800),
    question("How are the VMs spread over the hosts?", 1, 1400),
    question("Which guest systems do we run?", 1, 300),
    question("How much CPU and memory has each cluster given away?", 1, 450),
    question("Which snapshots are older than a month, and how large are they?", 1, 800),
    question("How many VMs have snapshots at all?", 1, 250),
    question("Which VMs are gold?", 1, 150),
    question("Which VMs are on the datastore that fills up?", 1, 950),
    question("In which network are how many VMs?", 1, 250),
    question("Where does VMware Tools not run, although the VM does?", 1, 150),
    question("Which VMs have run for longest without a restart?", 1, 750),
    question("Which datastore fills up?", 1, 600),
    question("Which hosts are in maintenance?", 1, 500),
    question("What needs attention?", 1, 2600),
    question("What could be tidied up?", 1, 2150),
    question("Do six more VMs with 4 CPUs and 16 GB fit, with a host lost?", 1, 2000),
    question("What has happened to DC0_C0_VM3 today?", 1, 700),
    question("Who has changed the note, and what was it before?", 1, 500),
    question("Take a snapshot of these twelve.", 1, 4200),
    question("Note on these twelve that they move on Friday.", 1, 3150),
    question("Shut these six down.", 2, 3450),
    question("Tell me all about DC0_C1_VM4.", 1, 1600),
    question("What is wrong with DC0_C0_VM2?", 1, 3000),
    question("Who has done what to DC0_C0_VM3?", 1, 2000),
];

async fn ask_all(vms: usize) {
    let (lab, mut day) = shop(vms).await;
    let mut costs = Vec::new();
    let read = lab.client.all::<VirtualMachine>().select((vm::NAME, vm::POWER_STATE, vm::GUEST_IP_ADDRESS));
    let truth: Vec<(String, State, Option<String>)> = read.await.unwrap().into_iter().map(|(_, row)| row).collect();
    let running = truth.iter().filter(|(_, state, _)| *state == State::PoweredOn).count() as u64;
    let some: Mo<VirtualMachine> = lab.client.get("DC0_C1_VM2").await.unwrap();
    let info = some.info().await.unwrap();
    let mac = some.nic("Network adapter 1").await.unwrap().info().nic.mac.clone().unwrap();
    let list = "list_vms";

    let states = day.ask(list, json!({ "group_by": "power_state" })).await;
    assert_eq!((counted(&states, "powered_on"), &states["total"]), (running, &json!(vms)));
    costs.push(day.cost());
    let here = day.ask(list, json!({ "host": "DC0_C0_H0", "fields": ["name"], "limit": 10 })).await;
    assert_eq!(column(&here, "name").len(), (vms / 8).min(10));
    costs.push(day.cost());
    let address = info.ip.clone().unwrap();
    let found = day.ask(list, json!({ "find": address, "fields": ["name", "ip"] })).await;
    assert!(column(&found, "name").contains(&"DC0_C1_VM2".to_owned()), "{found:#}");
    costs.push(day.cost());
    let found = day.ask(list, json!({ "find": mac, "fields": ["name", "mac_addresses"] })).await;
    assert_eq!(column(&found, "name"), ["DC0_C1_VM2"]);
    costs.push(day.cost());
    let found = day.ask(list, json!({ "find": info.uuid, "fields": ["name"] })).await;
    assert_eq!(column(&found, "name"), ["DC0_C1_VM2"]);
    costs.push(day.cost());
    let found = day.ask(list, json!({ "find": "oracle licence", "fields": ["name", "annotation"] })).await;
    assert_eq!(column(&found, "name"), ["DC0_C1_VM4"]);
    costs.push(day.cost());
    let off = day.ask(list, json!({ "power_state": "powered_off", "fields": ["name"] })).await;
    assert_eq!(column(&off, "name"), ["DC0_C0_VM3", "DC0_C1_VM3"]);
    costs.push(day.cost());
    let large = day.ask(list, json!({ "sort": "-memory_mb", "limit": 10, "fields": ["name", "memory_mb"] })).await;
    assert_eq!(column(&large, "name").len(), 10);
    costs.push(day.cost());
    let fields = json!(["name", "used_bytes", "provisioned_bytes"]);
    let heavy = day.ask(list, json!({ "sort": "-used_bytes", "limit": 5, "fields": fields })).await;
    assert_eq!(column(&heavy, "name").len(), 5);
    costs.push(day.cost());
    let hosts = day.ask(list, json!({ "group_by": "host" })).await;
    assert_eq!(hosts["groups"].as_array().unwrap().len(), 8);
    costs.push(day.cost());
    let systems = day.ask(list, json!({ "group_by": "guest_os" })).await;
    assert_eq!(systems["total"], vms);
    costs.push(day.cost());
    let clusters = day.ask(list, json!({ "group_by": "cluster" })).await;
    assert_eq!(counted(&clusters, "DC0_C0") + counted(&clusters, "DC0_C1"), vms as u64);
    costs.push(day.cost());
    let old = day.ask("list_snapshots", json!({ "older_than_days": 30 })).await;
    assert_eq!(column(&old, "vm"), ["DC0_C0_VM0", "DC0_C1_VM1"]);
    costs.push(day.cost());
    let some = day.ask(list, json!({ "where": ["snapshots>0"], "fields": ["name", "snapshots"] })).await;
    assert_eq!(column(&some, "name"), ["DC0_C0_VM0", "DC0_C0_VM1", "DC0_C1_VM1"]);
    costs.push(day.cost());
    let gold = day.ask(list, json!({ "tag": "Tier:gold", "fields": ["name"] })).await;
    assert_eq!(column(&gold, "name"), ["DC0_C0_VM0", "DC0_C1_VM2"]);
    costs.push(day.cost());
    let arguments = json!({ "where": ["datastores=DC0_DS1"], "sort": "-used_bytes", "limit": 10, "fields": ["name", "used_bytes"] });
    let there = day.ask(list, arguments).await;
    assert_eq!(
        (there["total"].as_u64().unwrap() > vms as u64 / 5, there["returned"].as_u64()),
        (true, Some(10)),
        "{there:#}"
    );
    costs.push(day.cost());
    let networks = day.ask(list, json!({ "group_by": "networks" })).await;
    assert_eq!(networks["total"], vms);
    costs.push(day.cost());
    let deaf = json!({ "power_state": "powered_on", "where": ["tools_status!=guestToolsRunning"], "fields": ["name"], "limit": 10 });
    let deaf = day.ask(list, deaf).await;
    assert!(deaf["total"].is_number());
    costs.push(day.cost());
    let long = json!({ "power_state": "powered_on", "sort": "boot_time", "limit": 5, "fields": ["name", "boot_time"] });
    let long = day.ask(list, long).await;
    assert_eq!(column(&long, "boot_time").len(), 5);
    costs.push(day.cost());
    let fields = json!(["name", "free_percent", "free_bytes"]);
    let datastores = day.ask("list_datastores", json!({ "sort": "free_percent", "fields": fields })).await;
    assert_eq!((column(&datastores, "name").len(), &datastores["items"][0]["name"]), (4, &json!("DC0_DS1")));
    costs.push(day.cost());
    let resting = day.ask("list_hosts", json!({ "state": "maintenance" })).await;
    assert_eq!(column(&resting, "name"), ["DC0_C1_H3"]);
    costs.push(day.cost());
    let attention = day.ask("get_attention", json!({})).await;
    let about: Vec<&str> =
        attention["findings"].as_array().unwrap().iter().map(|finding| finding["problem"].as_str().unwrap()).collect();
    assert!(about.contains(&"question") && about.iter().any(|about| about.contains("datastore")), "{about:?}");
    costs.push(day.cost());
    let hygiene = day.ask("get_hygiene", json!({})).await;
    assert!(hygiene.to_string().contains("DC0_C0_VM0"), "{hygiene:#}");
    costs.push(day.cost());
    let room = json!({ "cluster": "DC0_C0", "vms": 6, "cpu": 4, "memory_gb": 16, "host_failures": 1 });
    let room = day.ask("get_cluster_capacity", room).await;
    assert!(room.is_object());
    costs.push(day.cost());
    let events = day.ask("list_recent_events", json!({ "entity": "DC0_C0_VM3", "max_count": 10 })).await;
    assert!(events.to_string().contains("VmPoweredOff"), "{events:#}");
    costs.push(day.cost());
    let changes = json!({ "entity": "DC0_C1_VM4", "event_types": ["VmReconfiguredEvent"], "hours_back": 2400 });
    let changes = day.ask("list_recent_events", changes).await;
    assert!(changes.to_string().contains("Oracle licence 4711"), "{changes:#}");
    costs.push(day.cost());

    let twelve: Vec<String> = (6..12).flat_map(|vm| [format!("DC0_C0_VM{vm}"), format!("DC0_C1_VM{vm}")]).collect();
    let taken = day
        .change("create_snapshot", json!({ "vms": twelve, "snapshot_name": "before the move", "memory": false }))
        .await;
    assert_eq!((taken["results"].as_array().unwrap().len(), &taken["failed"]), (12, &json!(0)), "{taken:#}");
    costs.push(day.cost());
    let noted = day.change("reconfigure_vm", json!({ "vms": twelve, "annotation": "Moves on Friday" })).await;
    assert_eq!((noted["results"].as_array().unwrap().len(), &noted["failed"]), (12, &json!(0)), "{noted:#}");
    costs.push(day.cost());
    let down = day.change("shutdown_guest", json!({ "vms": &twelve[..6] })).await;
    assert_eq!((down["results"].as_array().unwrap().len(), &down["failed"]), (6, &json!(0)), "{down:#}");
    costs.push(day.cost());
    let one = day.ask("get_vm_info", json!({ "vm": "DC0_C1_VM4" })).await;
    assert_eq!(one["name"], "DC0_C1_VM4");
    costs.push(day.cost());
    let asking = day.ask("investigate", json!({ "object": "DC0_C0_VM2" })).await;
    assert!(asking["findings"].to_string().contains("question"), "{asking:#}");
    costs.push(day.cost());
    let story = day.ask("who_changed", json!({ "object": "DC0_C0_VM3" })).await;
    assert!(story.to_string().contains("powerOff"), "{story:#}");
    costs.push(day.cost());

    let costs_of: Vec<String> = QUESTIONS
        .iter()
        .zip(&costs)
        .map(|(question, (calls, bytes))| format!("{calls} calls, {bytes:5} bytes: {}", question.text))
        .collect();
    assert_eq!(costs.len(), QUESTIONS.len());
    let dear =
        QUESTIONS.iter().zip(&costs).filter(|(may, (calls, bytes))| *calls > may.calls || *bytes > may.bytes).count();
    assert_eq!(dear, 0, "of {vms} VMs:\n{}", costs_of.join("\n"));
}

#[tokio::test]
async fn questions_cost_little_in_a_shop_of_72_vms() {
    ask_all(72).await;
}

#[tokio::test]
async fn questions_cost_as_little_among_5000_vms() {
    ask_all(5000).await;
}
