//! The screens of machines: as pictures over HTTP and as files, and what is typed on them.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vsphere_model::managed::{Datastore, VirtualMachine, datastore, virtual_machine};
use vsphere_model::types::{
    HostDatastoreBrowserSearchResults, UsbScanCodeSpec, UsbScanCodeSpecKeyEvent, UsbScanCodeSpecModifierType,
};
use vsphere_sim::{Model, Role, Sim, Size, Trouble};

use crate::support::{Lab, fault};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

fn model() -> Model {
    Model::sized(Size { vms: 1, ..Size::default() })
}

/// The status and the body of an answer.
async fn get(sim: &Sim, user: &str, path: &str) -> (u16, Vec<u8>) {
    use base64::Engine as _;
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", Model::PASSWORD));
    let login = if user.is_empty() { String::new() } else { format!("Authorization: Basic {login}\r\n") };
    let mut stream = TcpStream::connect(sim.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n{login}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), bytes[end + 4..].to_vec())
}

/// The width and the height in the head of a PNG.
fn size(png: &[u8]) -> (u32, u32) {
    assert!(png.starts_with(SIGNATURE), "{:?}", &png[..8.min(png.len())]);
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[tokio::test]
async fn a_screen_is_a_picture_for_those_who_may_see_it() {
    let model = model().user("viewer", Model::PASSWORD, Role::ReadOnly);
    let sim = Sim::listen_plain(model, ([127, 0, 0, 1], 0).into()).await.unwrap();
    let lab = Lab::new(Model::sized(Size { vms: 1, ..Size::default() })).await;
    let [vm] = lab.some(["VirtualMachine"]).await;
    // Both worlds give their machine the same id.
    let path = format!("/screen?id={}", vm.value);
    let see = async |more: &str| get(&sim, Model::USER, &format!("{path}{more}")).await;
    assert_eq!(size(&see("").await.1), (720, 400));
    assert_eq!(size(&see("&width=360").await.1), (360, 200));
    assert_eq!(size(&see("&height=100&width=100&w=7").await.1), (100, 100));
    assert_eq!(size(&see("&left=0&top=0&right=80&bottom=20&width=160").await.1), (160, 40));
    assert_eq!(see("&width=no").await.0, 400);
    assert_eq!(see("&left=720").await.0, 400);
    assert_eq!(get(&sim, "", &path).await.0, 401);
    assert_eq!(get(&sim, "viewer", &path).await.0, 403);
    assert_eq!(get(&sim, Model::USER, "/screen?id=vm-none").await.0, 404);
    assert_eq!(get(&sim, Model::USER, "/screen").await.0, 400);
    sim.trouble(Trouble::none().fail("GET /screen", "InvalidState", 1));
    assert_eq!(see("").await.0, 500);
    assert_eq!(see("").await.0, 200);
    assert_eq!(sim.sessions(), 0);
}

#[tokio::test]
async fn a_screen_is_written_to_a_file_while_the_machine_runs() {
    let lab = Lab::new(model()).await;
    let [vm] = lab.some(["VirtualMachine"]).await;
    let vm: VirtualMachine = lab.object(&vm);
    let file = async || lab.run(vm.create_screenshot_task()).await.take::<String>().unwrap();
    let (first, second) = (file().await, file().await);
    assert!(first.ends_with("-1.png") && second.ends_with("-2.png"), "{first}, {second}");
    let folder = first.rsplit_once('/').unwrap().0;
    let store: Datastore = lab.object(&lab.get(&vm, virtual_machine::DATASTORE).await[0]);
    let browser: vsphere_model::managed::HostDatastoreBrowser = lab.object(&lab.get(&store, datastore::BROWSER).await);
    let found = lab.run(browser.search_datastore_task(folder, None)).await;
    let found: HostDatastoreBrowserSearchResults = found.take().unwrap();
    assert_eq!(found.file.iter().filter(|file| file.path.ends_with(".png")).count(), 2);
    lab.run(vm.power_off_vm_task()).await;
    assert_eq!(fault(vm.create_screenshot_task()).await, "InvalidPowerState");
}

fn key(code: i32) -> UsbScanCodeSpecKeyEvent {
    UsbScanCodeSpecKeyEvent { usb_hid_code: code << 16 | 7, ..Default::default() }
}

#[tokio::test]
async fn keys_reach_the_guest_as_many_as_its_keyboard_holds() {
    let lab = Lab::new(model()).await;
    let [reference] = lab.some(["VirtualMachine"]).await;
    let vm: VirtualMachine = lab.object(&reference);
    let send = |keys: Vec<UsbScanCodeSpecKeyEvent>| vm.put_usb_scan_codes(&UsbScanCodeSpec { key_events: keys });
    assert_eq!(send(vec![key(4), key(5)]).await.unwrap(), 2);
    assert_eq!(send(vec![key(4); 100]).await.unwrap(), 64);
    assert_eq!(
        fault(send(vec![UsbScanCodeSpecKeyEvent { usb_hid_code: 4, ..Default::default() }])).await,
        "InvalidArgument"
    );
    // Ctrl+Alt+Delete restarts a Linux.
    let before = lab.get(&vm, virtual_machine::BOOT_TIME).await;
    let held = UsbScanCodeSpecModifierType { left_control: Some(true), left_alt: Some(true), ..Default::default() };
    let attention = UsbScanCodeSpecKeyEvent { modifiers: Some(Box::new(held)), ..key(0x4c) };
    assert_eq!(send(vec![attention]).await.unwrap(), 1);
    assert!(lab.get(&vm, virtual_machine::BOOT_TIME).await > before);
    lab.run(vm.power_off_vm_task()).await;
    assert_eq!(fault(send(vec![key(4)])).await, "InvalidPowerState");
}
