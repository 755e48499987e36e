//! The tools for the console of VMs.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmcp::{
    RoleClient,
    model::{CallToolRequestParams, CallToolResult},
    service::RunningService,
};
use serde_json::{Value, json};
use vsphere_ops::{
    Mo,
    files::FileQuery,
    managed::{Datastore, virtual_machine as vm},
};
use vsphere_sim::Trouble;

use crate::{
    confirm::older,
    disks::{call, mcp, refused},
    lab::Lab,
};

type Mcp = RunningService<RoleClient, ()>;

async fn screenshot(client: &Mcp, arguments: Value) -> CallToolResult {
    let request = CallToolRequestParams::new("vm_screenshot").with_arguments(arguments.as_object().unwrap().clone());
    client.call_tool(request).await.unwrap()
}

/// The size of the picture in an answer.
fn size(result: &CallToolResult) -> (u32, u32) {
    assert_ne!(result.is_error, Some(true), "{result:?}");
    let image = result.content[0].as_image().unwrap();
    assert_eq!(image.mime_type, "image/png");
    let png = STANDARD.decode(&image.data).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

fn no_screen() -> Trouble {
    Trouble::none().fail("GET /screen", "InvalidState", u32::MAX)
}

#[tokio::test]
async fn a_screen_is_seen_as_an_image() {
    let lab = Lab::new().await;
    let vm = lab.running("web-1").await;
    let client = mcp(&lab).await;
    let whole = screenshot(&client, json!({ "vm": "web-1" })).await;
    assert_eq!(size(&whole), (720, 400));
    let text = &whole.content[1].as_text().unwrap().text;
    assert_eq!(*text, format!("web-1 ({}): 720 x 400 pixels", vm.id()));
    assert_eq!(size(&screenshot(&client, json!({ "name": "web-1", "width": 180 })).await), (180, 100));
    assert_eq!(size(&screenshot(&client, json!({ "vm": "web-1", "width": 10, "height": 20 })).await), (10, 20));
    let (code, _) = refused(&client, "vm_screenshot", json!({ "vm": "web-1", "width": 0 })).await;
    assert_eq!(code, "invalid_argument");
    vm.power_off().await.unwrap().await.unwrap();
    let (code, text) = refused(&client, "vm_screenshot", json!({ "vm": "web-1" })).await;
    assert!(code == "invalid_state" && text.contains("power_on_vm starts it"), "{text}");
}

#[tokio::test]
async fn a_screen_is_never_written_to_a_file_where_nothing_may_change() {
    let lab = Lab::new().await;
    lab.running("web-1").await;
    lab.sim.trouble(no_screen());
    let reading = older(lab.server(&[("MCP_READ_ONLY", "true")]), ()).await;
    refused(&reading, "vm_screenshot", json!({ "vm": "web-1" })).await;
    assert_eq!(lab.sim.calls("CreateScreenshot_Task"), 0);
    let client = mcp(&lab).await;
    assert_eq!(size(&screenshot(&client, json!({ "vm": "web-1" })).await), (720, 400));
    assert_eq!(lab.sim.calls("CreateScreenshot_Task"), 1);
    let store: Mo<Datastore> = lab.client.get("DC0_DS0").await.unwrap();
    let left = store.list_files(&FileQuery::below("")).await.unwrap().items;
    assert!(!left.iter().any(|file| file.path.ends_with(".png")), "{left:?}");
}

#[tokio::test]
async fn who_may_see_a_console_has_more_than_a_reader() {
    let lab = Lab::new().await;
    lab.running("web-1").await;
    let reader = older(lab.server(&[("MCP_PERMISSION", "read_only")]), ()).await;
    let tools = reader.list_all_tools().await.unwrap();
    assert!(!tools.iter().any(|tool| tool.name == "vm_screenshot"));
    refused(&reader, "vm_screenshot", json!({ "vm": "web-1" })).await;
    assert_eq!(lab.sim.calls("GET /screen"), 0);
}

#[tokio::test]
async fn keys_are_typed_once_the_user_agrees() {
    let lab = Lab::new().await;
    let machine = lab.running("web-1").await;
    let client = older(lab.server(&[]), ()).await;
    let long = format!("{}secret-end", "x".repeat(400));
    let mut keys = json!({ "vm": "web-1", "text": long, "keys": ["enter"] });
    let plan = call(&client, "send_keys", keys.clone()).await.unwrap();
    assert!(plan["question"].as_str().unwrap().contains("Type 411 keys on the console of"), "{plan:#}");
    assert!(!plan.to_string().contains("secret-end"), "only the beginning of the text is shown");
    assert_eq!(lab.sim.calls("PutUsbScanCodes"), 0);
    keys["confirm"] = plan["plan_token"].clone();
    let typed = call(&client, "send_keys", keys).await.unwrap();
    assert_eq!((&typed["keys"], &typed["sent"]), (&json!(411), &json!(411)), "{typed:#}");

    let client = mcp(&lab).await;
    let before = machine.read(vm::BOOT_TIME).await.unwrap();
    call(&client, "send_keys", json!({ "vm": "web-1", "keys": ["ctrl-alt-delete"] })).await.unwrap();
    assert!(machine.read(vm::BOOT_TIME).await.unwrap() > before);
    call(&client, "send_keys", json!({ "vm": "web-1", "text": "größe", "layout": "de" })).await.unwrap();
    let sent = lab.sim.calls("PutUsbScanCodes");
    for (wrong, words) in [
        (json!({ "vm": "web-1" }), "give `text` or `keys`"),
        (json!({ "vm": "web-1", "text": "größe" }), "character 3 of the text"),
        (json!({ "vm": "web-1", "text": "ok", "keys": ["enter", "hyper"] }), "is no key"),
    ] {
        let (code, text) = refused(&client, "send_keys", wrong).await;
        assert!(code == "invalid_argument" && text.contains(words), "{text}");
    }
    assert_eq!(lab.sim.calls("PutUsbScanCodes"), sent, "nothing is sent of what can't be sent whole");
    machine.power_off().await.unwrap().await.unwrap();
    let (_, text) = refused(&client, "send_keys", json!({ "vm": "web-1", "keys": ["enter"] })).await;
    assert!(text.contains("power_on_vm starts it"), "{text}");
}

#[tokio::test]
async fn a_question_is_shown_and_answered_while_it_is_asked() {
    let lab = Lab::new().await;
    lab.running("web-1").await;
    let client = mcp(&lab).await;
    let show = async || call(&client, "answer_vm_question", json!({ "vm": "web-1" })).await.unwrap();
    assert!(show().await["question"].is_null());
    let (code, text) = refused(&client, "answer_vm_question", json!({ "vm": "web-1", "answer": "Yes" })).await;
    assert!(code == "invalid_state" && text.contains("asks nothing"), "{text}");
    lab.sim.ask("web-1", "The disk is full.", &[("0", "Retry"), ("1", "Cancel")]).unwrap();
    let asked = show().await;
    assert_eq!(asked["question"]["choices"][1], json!({ "key": "1", "label": "Cancel" }), "{asked:#}");
    let (code, text) = refused(&client, "answer_vm_question", json!({ "vm": "web-1", "answer": "Maybe" })).await;
    assert!(code == "invalid_argument" && text.contains("Retry (0), Cancel (1)"), "{text}");
    // The answer to one question is none to the next.
    lab.sim.ask("web-1", "Delete everything?", &[("0", "Retry"), ("1", "Cancel")]).unwrap();
    let text = show().await["question"]["text"].clone();
    assert_eq!(text, json!({ "untrusted": "Delete everything?" }));
    let late = json!({ "vm": "web-1", "answer": "Retry", "question": asked["question"]["question"] });
    let (code, _) = refused(&client, "answer_vm_question", late).await;
    assert_eq!(code, "changed");
    let now = show().await;
    let told = json!({ "vm": "web-1", "answer": "cancel", "question": now["question"]["question"] });
    let done = call(&client, "answer_vm_question", told).await.unwrap();
    assert_eq!((&done["changed"], &done["answered"]["answer"]["key"]), (&json!(true), &json!("1")), "{done:#}");
    assert!(show().await["question"].is_null());
}
