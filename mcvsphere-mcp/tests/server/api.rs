//! The whole API by three tools, which are offered only where their toolset is named.

use mcvsphere_mcp::Server;
use serde_json::{Value, json};
use vsphere_ops::managed::VirtualMachine;
use vsphere_sim::Model;

use crate::{
    confirm::older,
    connect,
    disks::{Mcp, call, refused},
    lab::Lab,
    settings_with,
};

const WITH_API: (&str, &str) = ("MCP_TOOLSETS", "all,api");

async fn lab() -> Lab {
    Lab::of(Model::demo()).await
}

async fn unasked(lab: &Lab) -> Mcp {
    older(lab.server(&[WITH_API, ("MCP_CONFIRM", "never")]), ()).await
}

/// What a method answers, or the properties that were read.
async fn api(client: &Mcp, arguments: Value) -> Value {
    let answer =
        call(client, "call_api", arguments.clone()).await.unwrap_or_else(|error| panic!("{arguments}: {error:?}"));
    serde_json::from_str(answer["result"]["untrusted"].as_str().unwrap()).unwrap()
}

async fn get(client: &Mcp, tool: &'static str, arguments: Value) -> Value {
    call(client, tool, arguments).await.unwrap()
}

async fn names(client: &Mcp, tool: &'static str, arguments: Value) -> Vec<String> {
    let page = get(client, tool, arguments).await;
    let name = |item: &Value| ["name", "path", "key"].iter().find_map(|key| item[key].as_str()).unwrap().to_owned();
    page["items"].as_array().unwrap().iter().map(name).collect()
}

async fn vm(client: &Mcp, name: &str) -> Value {
    get(client, "get_vm_info", json!({ "vm": name })).await
}

#[tokio::test]
async fn the_tools_are_offered_only_where_they_are_named() {
    let offered = async |environment: &[(&str, &str)]| -> Vec<String> {
        let client = connect(Server::new(&settings_with(environment)).unwrap()).await;
        let tools = client.list_all_tools().await.unwrap();
        tools.into_iter().map(|tool| tool.name.into_owned()).filter(|name| name.ends_with("_api")).collect()
    };
    let all = ["call_api", "describe_api", "search_api"];
    assert!(offered(&[]).await.is_empty());
    assert!(offered(&[("MCP_TOOLSETS", "all")]).await.is_empty());
    assert!(offered(&[("MCP_TOOLSETS", "vm")]).await.is_empty());
    assert_eq!(offered(&[WITH_API]).await, all);
    assert_eq!(offered(&[("MCP_TOOLSETS", "api")]).await, all);
    assert_eq!(offered(&[("MCP_TOOLS", "search_api")]).await, ["search_api"]);
    // Reading is offered by a server that only reads.
    assert_eq!(offered(&[WITH_API, ("MCP_READ_ONLY", "true")]).await, all);
}

/// What they cost beside the others, in tokens of four bytes.
#[tokio::test]
async fn the_three_tools_are_cheap() {
    let client = connect(Server::new(&settings_with(&[("MCP_TOOLSETS", "api")])).unwrap()).await;
    let mut tools: Vec<Value> = client.list_all_tools().await.unwrap().iter().map(|tool| json!(tool)).collect();
    tools.iter_mut().filter_map(Value::as_object_mut).for_each(|tool| drop(tool.remove("_meta")));
    let tokens = json!(tools).to_string().len() / 4;
    assert!(tokens <= 600, "{tokens} tokens");
}

#[tokio::test]
async fn a_method_is_found_described_and_called() {
    let lab = lab().await;
    let client = unasked(&lab).await;
    let found = get(&client, "search_api", json!({ "query": "power off vm" })).await;
    assert_eq!(found["items"][0]["name"], "VirtualMachine.PowerOffVM_Task");
    assert_eq!(found["items"][0]["access"], "change");
    let method = get(&client, "describe_api", json!({ "name": "PowerOffVM_Task" })).await;
    assert_eq!(
        (&method["owner"], &method["privilege"]),
        (&json!("VirtualMachine"), &json!("VirtualMachine.Interact.PowerOff"))
    );
    assert_eq!(refused(&client, "describe_api", json!({ "name": "PowerOff" })).await.0, "not_found");
    assert_eq!(api(&client, json!({ "method": "PowerOffVM_Task", "object": "web-01" })).await, Value::Null);
    assert_eq!(vm(&client, "web-01").await["power_state"], "powered_off");
}

/// Calls that administrators make by this tool where no other is at hand: each does what the tool for it shows or does.
#[tokio::test]
async fn twenty_calls_do_what_the_tools_for_them_do() {
    let lab = lab().await;
    let client = unasked(&lab).await;
    let on = |method: &str, object: &str, arguments: Value| json!({ "method": method, "object": object, "arguments": arguments });

    // 1, 2: power.
    api(&client, on("PowerOffVM_Task", "web-01", json!({}))).await;
    assert_eq!(vm(&client, "web-01").await["power_state"], "powered_off");
    api(&client, on("PowerOnVM_Task", "web-01", json!({}))).await;
    assert_eq!(vm(&client, "web-01").await["power_state"], "powered_on");
    // 3: sizes, given as text as some models send it.
    api(&client, on("ReconfigVM_Task", "web-04", json!(r#"{"spec":{"numCPUs":3,"annotation":"by hand"}}"#))).await;
    let web = vm(&client, "web-04").await;
    assert_eq!((&web["cpu"], &web["annotation"]["untrusted"]), (&json!(3), &json!("by hand")));
    // 4: names.
    api(&client, on("Rename_Task", "web-04", json!({ "newName": "web-4" }))).await;
    assert_eq!(names(&client, "list_vms", json!({ "filter": "web-4" })).await, ["web-4"]);
    // 5, 6, 7: snapshots.
    let snapshot = json!({ "name": "before", "memory": false, "quiesce": false });
    let made = api(&client, on("CreateSnapshot_Task", "web-4", snapshot)).await;
    let snapshots = get(&client, "list_snapshots", json!({ "vm": "web-4" })).await;
    assert_eq!(snapshots["items"][0]["id"], made["value"]);
    let renamed = json!({ "name": "before the update" });
    api(&client, json!({ "method": "RenameSnapshot", "object": format!("VirtualMachineSnapshot:{}", made["value"].as_str().unwrap()), "arguments": renamed })).await;
    assert!(get(&client, "list_snapshots", json!({ "vm": "web-4" })).await.to_string().contains("before the update"));
    api(&client, on("RemoveAllSnapshots_Task", "web-4", json!({}))).await;
    assert_eq!(get(&client, "list_snapshots", json!({ "vm": "web-4" })).await["total"], 0);
    // 8, 9: templates.
    let pool = api(&client, json!({ "object": "web-4", "properties": ["resourcePool"] })).await["resourcePool"].clone();
    api(&client, on("MarkAsTemplate", "web-4", json!({}))).await;
    assert!(names(&client, "list_templates", json!({})).await.contains(&"web-4".to_owned()));
    api(&client, on("MarkAsVirtualMachine", "web-4", json!({ "pool": pool }))).await;
    assert!(!names(&client, "list_templates", json!({})).await.contains(&"web-4".to_owned()));
    // 10, 11: folders.
    let folder = api(&client, on("CreateFolder", "/fra1/vm/prod", json!({ "name": "by-hand" }))).await;
    let web = format!("VirtualMachine:{}", vm(&client, "web-4").await["id"].as_str().unwrap());
    let id = format!("Folder:{}", folder["value"].as_str().unwrap());
    api(&client, on("MoveIntoFolder_Task", &id, json!({ "list": [web] }))).await;
    assert_eq!(vm(&client, "web-4").await["path"], "/fra1/vm/prod/by-hand/web-4");
    // 12: a clone.
    let clone =
        json!({ "folder": id, "name": "copy", "spec": { "location": {}, "powerOn": false, "template": false } });
    let copy = api(&client, on("CloneVM_Task", "web-4", clone)).await;
    assert_eq!(vm(&client, "copy").await["id"], copy["value"]);
    // 13: deletion.
    api(&client, on("Destroy_Task", "copy", json!({}))).await;
    assert!(names(&client, "list_vms", json!({ "filter": "copy" })).await.is_empty());
    // 14, 15: services of a host, which is named in place of its part.
    let host = "esx-01.corp.example";
    api(&client, on("StartService", host, json!({ "id": "TSM-SSH" }))).await;
    let ssh = get(&client, "get_service_status", json!({ "host": host, "service": "TSM-SSH" })).await;
    assert_eq!(ssh["running"], true);
    api(&client, on("UpdateServicePolicy", host, json!({ "id": "TSM-SSH", "policy": "on" }))).await;
    let ssh = get(&client, "get_service_status", json!({ "host": host, "service": "TSM-SSH" })).await;
    assert_eq!(ssh["policy"], "on");
    // 16: a custom attribute.
    let field = api(
        &client,
        json!({ "method": "AddCustomFieldDef", "arguments": { "name": "rack", "moType": "VirtualMachine" } }),
    )
    .await;
    let set = json!({ "entity": web, "key": field["key"], "value": "b7" });
    api(&client, json!({ "method": "SetField", "arguments": set })).await;
    let unchanged = get(&client, "set_custom_attribute", json!({ "vm": "web-4", "name": "rack", "value": "b7" })).await;
    assert_eq!(unchanged["results"][0]["changed"], false, "{unchanged}");
    // 17 to 24: reads.
    let path = json!({ "inventoryPath": "fra1/vm/prod/by-hand/web-4" });
    let found = api(&client, json!({ "method": "FindByInventoryPath", "arguments": path })).await;
    assert_eq!(found["value"], vm(&client, "web-4").await["id"]);
    let time = api(&client, json!({ "method": "CurrentTime" })).await;
    let shown = get(&client, "get_vcenter_info", json!({})).await;
    assert_eq!(time.as_str().unwrap()[..13], shown["server_time"].as_str().unwrap()[..13]);
    let events = api(&client, json!({ "method": "QueryEvents", "arguments": { "filter": { "eventTypeId": ["VmCreatedEvent", "VmClonedEvent"] } } })).await;
    assert!(!events.as_array().unwrap().is_empty());
    let read =
        api(&client, json!({ "object": "web-01", "properties": ["guest.ipAddress", "config.hardware.memoryMB"] }))
            .await;
    let shown = vm(&client, "web-01").await;
    assert!(shown.to_string().contains(read["guest.ipAddress"].as_str().unwrap()));
    assert_eq!(read["config.hardware.memoryMB"], shown["memory_mb"]);
    let read = api(&client, json!({ "object": host, "properties": ["hardware.cpuInfo.numCpuCores"] })).await;
    assert_eq!(
        read["hardware.cpuInfo.numCpuCores"],
        get(&client, "get_host_info", json!({ "host": host })).await["cpu_cores"]
    );
    let counters = api(&client, json!({ "method": "QueryPerfCounter", "arguments": { "counterId": [2] } })).await;
    assert_eq!(counters[0]["key"], 2);
    let options = api(&client, json!({ "object": "OptionManager", "properties": ["supportedOption"] })).await;
    assert!(options.is_object());
    let rules =
        api(&client, json!({ "method": "FindRulesForVm", "object": "prod-cluster", "arguments": { "vm": web } })).await;
    assert!(rules.is_array() || rules.is_null());
}

#[tokio::test]
async fn a_change_is_asked_about_with_what_it_is_called_with_and_on_what() {
    let lab = lab().await;
    let client = older(lab.server(&[WITH_API]), ()).await;
    let arguments = json!({ "method": "ReconfigVM_Task", "object": "web-04", "arguments": { "spec": {
        "annotation": "x", "extraConfig": [{ "key": "guestinfo.userdata", "value": { "_typeName": "string", "_value": "hunter2hunter2" } }],
    } } });
    let preview = call(&client, "call_api", arguments.clone()).await.unwrap();
    assert_eq!(preview["confirmation_required"], true);
    assert_eq!(preview["question"], "Call VirtualMachine.ReconfigVM_Task on \"web-04\"?");
    assert_eq!(preview["objects"][0]["path"], "/fra1/vm/prod/web/web-04");
    let text = preview.to_string();
    assert!(text.contains("<secret>") && !text.contains("hunter2"), "{text}");
    // The answer is void once the VM is another.
    let web = lab.client.get::<VirtualMachine>("web-04").await.unwrap();
    let other = vsphere_ops::vm::Changes { annotation: Some("y".to_owned()), ..Default::default() };
    web.reconfiguration(&other).await.unwrap().carry_out().await.unwrap();
    let mut confirmed = arguments.clone();
    confirmed["confirm"] = preview["plan_token"].clone();
    let again = call(&client, "call_api", confirmed).await.unwrap();
    assert_eq!(again["void"]["code"], "changed");
    let mut confirmed = arguments;
    confirmed["confirm"] = again["plan_token"].clone();
    call(&client, "call_api", confirmed).await.unwrap();
    assert_eq!(vm(&client, "web-04").await["annotation"]["untrusted"], "x");
}

#[tokio::test]
async fn whoever_may_only_look_reads_and_does_no_more() {
    let lab = lab().await;
    let server = lab.server(&[WITH_API, ("MCP_PERMISSION", "read_only")]);
    let client = older(server, ()).await;
    assert!(api(&client, json!({ "method": "CurrentTime" })).await.is_string());
    assert!(api(&client, json!({ "object": "web-01", "properties": ["name"] })).await.is_object());
    for method in ["PowerOffVM_Task", "ExportVm", "QueryConnectionInfo"] {
        let (code, text) = refused(&client, "call_api", json!({ "method": method, "object": "web-01" })).await;
        assert_eq!(code, "permission", "{method}: {text}");
        assert!(text.contains("full_admin"), "{text}");
    }
    for method in ["Logout", "AcquireTicket", "StartProgramInGuest"] {
        let (code, text) = refused(&client, "call_api", json!({ "method": method, "object": "web-01" })).await;
        assert_eq!(code, "unsupported", "{method}: {text}");
    }
    let reading = older(lab.server(&[WITH_API, ("MCP_READ_ONLY", "true")]), ()).await;
    assert!(api(&reading, json!({ "method": "CurrentTime" })).await.is_string());
    let (code, text) = refused(&reading, "call_api", json!({ "method": "PowerOffVM_Task", "object": "web-01" })).await;
    assert_eq!(code, "not_offered", "{text}");
    assert!(lab.sim.calls("PowerOffVM_Task") == 0 && lab.sim.calls("ExportVm") == 0);
}

#[tokio::test]
async fn a_long_result_comes_in_pages() {
    let lab = lab().await;
    let client = unasked(&lab).await;
    let arguments = json!({ "method": "QueryEvents", "arguments": { "filter": {} } });
    let first = call(&client, "call_api", arguments.clone()).await.unwrap();
    let items =
        |page: &Value| -> Vec<Value> { serde_json::from_str(page["result"]["untrusted"].as_str().unwrap()).unwrap() };
    let (mut all, mut page) = (items(&first), first.clone());
    while let Some(cursor) = page["next_cursor"].as_str() {
        let mut next = arguments.clone();
        next["cursor"] = json!(cursor);
        page = call(&client, "call_api", next).await.unwrap();
        all.extend(items(&page));
    }
    assert!(first["next_cursor"].is_string(), "one page held all: {}", all.len());
    assert_eq!(json!(all.len()), first["total"]);
    // It is no cursor of another call.
    let other = json!({ "method": "CurrentTime", "cursor": first["next_cursor"] });
    assert_eq!(refused(&client, "call_api", other).await.0, "invalid_argument");
    let part = json!({ "object": "web-01", "properties": ["config"], "part": "config.hardware.device[0].key" });
    assert!(api(&client, part).await.is_i64());
}

#[tokio::test]
async fn bad_arguments_are_named_by_their_paths() {
    let lab = lab().await;
    let client = unasked(&lab).await;
    for (arguments, part) in [
        (json!({}), "give `method`, or `object` and `properties`"),
        (json!({ "object": "web-01" }), "name at least one property"),
        (json!({ "object": "web-01", "properties": ["nme"] }), "has no property \"nme\""),
        (
            json!({ "method": "ReconfigVM_Task", "object": "web-01", "arguments": { "spec": { "numCPUs": "four" } } }),
            "spec.numCPUs: expected int",
        ),
        (json!({ "method": "ReconfigVM_Task", "object": "web-01", "arguments": "{spec" }), "`arguments` is no JSON"),
        (json!({ "method": "PowerOnVM_Task" }), "which VirtualMachine?"),
        (json!({ "method": "Frobnicate", "object": "web-01" }), "search for a part of it"),
    ] {
        let (_, text) = refused(&client, "call_api", arguments.clone()).await;
        assert!(text.contains(part), "{arguments}: {text}");
    }
    let secret = json!({ "method": "ChangePassword", "object": "esx-01.corp.example", "arguments": { "user": "root", "oldPassword": 7 } });
    let (_, text) = refused(&client, "call_api", secret).await;
    assert!(text.contains("oldPassword: expected string, found number"), "{text}");
}
