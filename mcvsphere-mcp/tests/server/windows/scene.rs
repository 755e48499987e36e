//! Two machines that are alike, a way to change them in the middle of a call, and all that is so of them.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use peers::CountingProxy;
use serde_json::Value;
use tokio::sync::oneshot;
use vsphere_ops::{
    Client, Config, ListQuery, Mo, Task,
    files::FileQuery,
    guest::{Credentials, FileKind, Guest},
    managed::{
        Datastore, EventManager, HostDatastoreBrowser, HostNetworkSystem, HostSystem, Network, VirtualMachine,
        VirtualMachineSnapshot, datastore, host_system, virtual_machine as vm,
    },
    types::{
        EventFilterSpec, EventFilterSpecByEntity, EventFilterSpecRecursionOption, HostDatastoreBrowserSearchResults,
        HostDatastoreBrowserSearchSpec, HostPortGroupSpec, ManagedObjectReference, ParaVirtualSCSIController, Poly,
        VirtualCdrom, VirtualCdromIsoBackingInfo, VirtualController, VirtualDevice, VirtualDeviceConfigSpec,
        VirtualDeviceConfigSpecFileOperation, VirtualDeviceConfigSpecOperation, VirtualDeviceConnectInfo,
        VirtualDeviceFileBackingInfo, VirtualDisk, VirtualDiskFlatVer2BackingInfo, VirtualEthernetCard,
        VirtualEthernetCardNetworkBackingInfo, VirtualMachineConfigSpec, VirtualMachineSnapshotTree,
        VirtualSCSIController, VirtualSCSISharing, VirtualSerialPort, VirtualSerialPortURIBackingInfo, VirtualVmxnet3,
    },
};
use vsphere_sim::{Model, Sim, Size};

use crate::{
    confirm::older,
    disks::{Mcp, call},
    isos::image,
    lab::Lab,
    settings_with,
};

/// What is so before the call.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Setting {
    pub(super) running: bool,
    /// The snapshots `a`, `b` upon it, and `c` upon that.
    pub(super) snapshots: bool,
    pub(super) template: bool,
    /// Whether there is an image [`IMAGE`], in no drive.
    pub(super) image: bool,
    /// The files `data/a.txt` and `data/b.txt` in both datastores.
    pub(super) files: bool,
    /// The file [`IN_GUEST`] in the guests of both machines.
    pub(super) guests: bool,
}

pub(super) const NOTHING: Setting =
    Setting { running: false, snapshots: false, template: false, image: false, files: false, guests: false };

pub(super) const IMAGE: &str = "[DC0_DS0] iso/new.iso";

pub(super) const IN_GUEST: &str = "/srv/data";

/// What somebody else writes.
pub(super) const THEIRS: &str = "what others wrote";

/// What somebody else does in the middle of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The two machines exchange their names.
    SwapNames,
    /// The two disks are taken out and put in again in the other order, so that their labels, keys and units are
    /// exchanged.
    SwapDisks,
    /// The first disk is taken out, and a new one comes in its place, with its label and key.
    ReplaceDisk,
    /// As with disks.
    SwapNics,
    ReplaceNic,
    /// The serial port is taken out, and another one comes in its place.
    ReplaceSerial,
    /// Another image is in the CD drive.
    ReplaceImage,
    /// The snapshot `b` goes, and another one of its name is taken.
    ReplaceSnapshot,
    /// The snapshots `a` and `b` exchange their names.
    SwapSnapshotNames,
    /// One more snapshot is taken.
    TakeSnapshot,
    /// Another note.
    Annotate,
    /// The machine is powered off; off and on again; restarted.
    PowerOff,
    PowerCycle,
    Restart,
    /// Another file is in the place of `data/a.txt`.
    ReplaceFile,
    /// It is gone.
    DeleteFile,
    /// Somebody else makes the file `data/new.txt`.
    MakeFile,
    /// The two datastores exchange their names.
    SwapStores,
}

pub(super) type Facts = BTreeMap<String, String>;

pub(super) struct Scene {
    lab: Lab,
    pub(super) proxy: CountingProxy,
    mcp: Mcp,
    pub(super) web: Mo<VirtualMachine>,
    pub(super) db: Mo<VirtualMachine>,
    setting: Setting,
    /// What is so of both machines before anything was planted.
    pub(super) first: Facts,
}

impl Scene {
    pub(super) async fn new(setting: Setting) -> Self {
        let model = Model::sized(Size { vms: 0, hosts: 1, datacenters: 1, clusters: 1, datastores: 2 });
        let sim = Sim::listen_plain(model, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
        let client = Client::connect(config).await.unwrap();
        let proxy = CountingProxy::start(sim.address()).await.unwrap();
        let lab = Lab { sim, client };
        add_network(&lab.client, "Other").await;
        let (web, db) = (lab.machine("web-1").await, lab.machine("db-1").await);
        for (machine, number) in [(&web, 1), (&db, 2)] {
            fit_out(machine, number).await;
            if setting.running {
                machine.power_on().await.unwrap().await.unwrap();
            }
            if setting.snapshots {
                for name in ["a", "b", "c"] {
                    take_snapshot(machine, name).await.unwrap();
                }
            }
            if setting.template {
                machine.mark_as_template().await.unwrap();
            }
        }
        if setting.files {
            for name in STORES {
                let store: Mo<Datastore> = lab.client.get(name).await.unwrap();
                store.make_folder("data").await.unwrap();
                for file in ["a", "b"] {
                    put(&store, &format!("data/{file}.txt"), &format!("{file} of {name}, at first")).await;
                }
            }
        }
        if setting.guests {
            for machine in [&web, &db] {
                let guest = inside(machine).await.unwrap();
                guest.make_directory("/srv", true).await.unwrap();
                guest.write(IN_GUEST, machine.label().to_owned()).send().await.unwrap();
            }
        }
        if setting.image {
            image(&lab, "DC0_DS0", "iso/new.iso").await;
        }
        let url = proxy.url();
        let settings = settings_with(&[
            ("VCENTER_HOST", url.as_str()),
            ("VCENTER_USER", Model::USER),
            ("VCENTER_PASSWORD", Model::PASSWORD),
            ("MCP_CONFIRM", "always"),
        ]);
        let mcp = older(mcvsphere_mcp::Server::new(&settings).unwrap(), ()).await;
        let first = facts(&lab.client, &[web.clone(), db.clone()], setting).await;
        Self { lab, proxy, mcp, web, db, setting, first }
    }

    pub(super) async fn call(&self, tool: &'static str, arguments: Value) -> Result<Value, Value> {
        call(&self.mcp, tool, arguments).await
    }

    /// Has somebody make this change before one of the next requests. What is so then is in the answer afterwards.
    pub(super) fn plant(&self, skip: usize, change: Change) -> oneshot::Receiver<Facts> {
        let (tell, seen) = oneshot::channel();
        let (client, machines) = (self.lab.client.clone(), [self.web.clone(), self.db.clone()]);
        let setting = self.setting;
        self.proxy.plant(skip, async move {
            make(&machines[0], &machines[1], change).await;
            tell.send(facts(&client, &machines, setting).await).ok();
        });
        seen
    }

    pub(super) async fn facts(&self) -> Facts {
        facts(&self.lab.client, &[self.web.clone(), self.db.clone()], self.setting).await
    }

    /// The keys of what `web-1` had of a kind at first, such as `disk`, in order.
    pub(super) fn had(&self, kind: &str) -> Vec<String> {
        let prefix = format!("{}/{kind}/", self.web.id());
        self.first.keys().filter(|key| key.starts_with(&prefix)).cloned().collect()
    }

    /// Whether a fact is about `web-1`, and of this kind.
    pub(super) fn is_webs(&self, fact: &str, kind: &str) -> bool {
        fact == format!("{}/{kind}", self.web.id())
    }

    /// The first disk, adapter or port that `web-1` had at first.
    pub(super) fn first_of(&self, kind: &str) -> String {
        let place = |key: &String| self.first[key].split(' ').next().unwrap().to_owned();
        self.had(kind).into_iter().min_by_key(place).unwrap()
    }

    /// The snapshot of `web-1` that had this name at first.
    pub(super) fn snapshot(&self, name: &str) -> String {
        self.had("snapshot").into_iter().find(|key| self.first[key] == name).unwrap()
    }
}

/// One more network of the standard switch.
async fn add_network(client: &Client, name: &str) {
    let host: Mo<HostSystem> = client.get_or_only(None).await.unwrap();
    let managers = host.read(host_system::CONFIG_MANAGER).await.unwrap();
    let system: HostNetworkSystem = client.raw(managers.network_system.as_ref().unwrap());
    let group = HostPortGroupSpec { name: name.to_owned(), vswitch_name: "vSwitch0".to_owned(), ..Default::default() };
    system.add_port_group(&group).await.unwrap();
}

/// Two disks, two adapters, a serial port and a CD drive with an image. What tells one machine's from the other's comes of
/// the number.
async fn fit_out(machine: &Mo<VirtualMachine>, number: usize) {
    let controller = VirtualController { bus_number: 0, ..Default::default() };
    let base =
        VirtualSCSIController { base: controller, shared_bus: VirtualSCSISharing::NoSharing, ..Default::default() };
    let mut controller = Poly::<VirtualDevice>::new(ParaVirtualSCSIController { base });
    controller.key = -101;
    reconfigure(machine, vec![add(controller)]).await.unwrap();
    let network = network(machine).await;
    let changes = vec![
        new_disk(0),
        new_disk(1),
        add(nic(&network, None)),
        add(nic(&network, None)),
        add(serial(2000 + number)),
        add(drive(&format!("[DC0_DS0] iso/{number}.iso"))),
    ];
    reconfigure(machine, changes).await.unwrap();
}

fn new_disk(unit: i32) -> VirtualDeviceConfigSpec {
    let file_operation = Some(VirtualDeviceConfigSpecFileOperation::Create);
    VirtualDeviceConfigSpec { file_operation, ..add(disk(unit, String::new())) }
}

fn disk(unit: i32, file_name: String) -> Poly<VirtualDevice> {
    let backing = VirtualDiskFlatVer2BackingInfo {
        base: VirtualDeviceFileBackingInfo { file_name, ..Default::default() },
        disk_mode: "persistent".to_owned(),
        thin_provisioned: Some(true),
        ..Default::default()
    };
    let mut disk = VirtualDisk { capacity_in_kb: 1 << 20, ..Default::default() };
    disk.key = -200 - unit;
    disk.controller_key = Some(1000);
    disk.unit_number = Some(unit);
    disk.backing = Some(Poly::new(backing));
    Poly::new(disk)
}

fn nic(network: &Mo<Network>, mac: Option<String>) -> Poly<VirtualDevice> {
    let mut backing = VirtualEthernetCardNetworkBackingInfo::default();
    backing.device_name = network.label().to_owned();
    let mut nic = VirtualVmxnet3::default();
    nic.key = -1;
    nic.address_type = mac.as_ref().map(|_| "manual".to_owned());
    nic.mac_address = mac;
    nic.backing = Some(Poly::new(backing));
    nic.connectable = Some(Box::new(VirtualDeviceConnectInfo {
        start_connected: true,
        connected: true,
        allow_guest_control: true,
        ..Default::default()
    }));
    Poly::new(nic)
}

fn serial(port: usize) -> Poly<VirtualDevice> {
    let mut backing = VirtualSerialPortURIBackingInfo::default();
    backing.service_uri = format!("telnet://:{port}");
    backing.direction = "server".to_owned();
    let mut serial = VirtualSerialPort { yield_on_poll: true, ..Default::default() };
    serial.key = -1;
    serial.backing = Some(Poly::new(backing));
    Poly::new(serial)
}

fn drive(image: &str) -> Poly<VirtualDevice> {
    let base = VirtualDeviceFileBackingInfo { file_name: image.to_owned(), ..Default::default() };
    let mut drive = VirtualCdrom::default();
    drive.key = -1;
    drive.controller_key = Some(200);
    drive.unit_number = Some(0);
    drive.backing = Some(Poly::new(VirtualCdromIsoBackingInfo { base }));
    drive.connectable = Some(Box::new(VirtualDeviceConnectInfo {
        start_connected: true,
        allow_guest_control: true,
        ..Default::default()
    }));
    Poly::new(drive)
}

async fn network(machine: &Mo<VirtualMachine>) -> Mo<Network> {
    machine.client().get("VM Network").await.unwrap()
}

fn change(operation: VirtualDeviceConfigSpecOperation, device: Poly<VirtualDevice>) -> VirtualDeviceConfigSpec {
    VirtualDeviceConfigSpec { operation: Some(operation), device, ..Default::default() }
}

fn add(device: Poly<VirtualDevice>) -> VirtualDeviceConfigSpec {
    change(VirtualDeviceConfigSpecOperation::Add, device)
}

fn remove(device: &Poly<VirtualDevice>) -> VirtualDeviceConfigSpec {
    change(VirtualDeviceConfigSpecOperation::Remove, device.clone())
}

async fn reconfigure(machine: &Mo<VirtualMachine>, changes: Vec<VirtualDeviceConfigSpec>) -> vsphere_ops::Result<()> {
    let device_change = changes.into_iter().map(Poly::new).collect();
    let spec = VirtualMachineConfigSpec { device_change, ..Default::default() };
    let task = machine.reconfig_vm_task(&spec).await?;
    Task::new(machine.client(), task, "reconfigure", machine.label()).await
}

async fn take_snapshot(machine: &Mo<VirtualMachine>, name: &str) -> vsphere_ops::Result<ManagedObjectReference> {
    let task = machine.create_snapshot_task(name, None, false, false).await?;
    Task::new(machine.client(), task, "snapshot", name).await
}

async fn rename(object: &Mo<VirtualMachine>, name: &str) {
    if let Ok(task) = object.rename_task(name).await {
        // The machine may be gone.
        let _ = Task::<()>::new(object.client(), task, "rename", name).await;
    }
}

/// Makes a change, as far as what it needs is still there: the call may have done its work before.
async fn make(web: &Mo<VirtualMachine>, db: &Mo<VirtualMachine>, change: Change) {
    let devices = web.read(vm::DEVICES).await.unwrap_or_default();
    let of = |is: fn(&Poly<VirtualDevice>) -> bool| devices.iter().filter(move |device| is(device));
    let disks: Vec<_> = of(|device| device.is::<VirtualDisk>()).collect();
    let nics: Vec<_> = of(|device| device.is::<VirtualEthernetCard>()).collect();
    match change {
        Change::SwapNames => {
            let (name, other) = (web.read(vm::NAME).await, db.read(vm::NAME).await);
            rename(web, "tmp").await;
            rename(db, &name.unwrap_or_else(|_| "web-1".to_owned())).await;
            rename(web, &other.unwrap_or_else(|_| "db-1".to_owned())).await;
        }
        Change::SwapDisks => {
            reconfigure(web, disks.iter().map(|disk| remove(disk)).collect()).await.ok();
            let files = disks.iter().rev().map(|disk| file_of(disk));
            reconfigure(web, files.zip(0..).map(|(file, unit)| add(disk(unit, file))).collect()).await.ok();
        }
        Change::ReplaceDisk => {
            reconfigure(web, disks.iter().take(1).map(|disk| remove(disk)).collect()).await.ok();
            reconfigure(web, vec![new_disk(0)]).await.ok();
        }
        Change::SwapNics => {
            reconfigure(web, nics.iter().map(|nic| remove(nic)).collect()).await.ok();
            let network = network(web).await;
            let macs = nics.iter().rev().map(|nic| mac_of(nic));
            for mac in macs {
                reconfigure(web, vec![add(nic(&network, Some(mac)))]).await.ok();
            }
        }
        Change::ReplaceNic => {
            reconfigure(web, nics.iter().take(1).map(|nic| remove(nic)).collect()).await.ok();
            reconfigure(web, vec![add(nic(&network(web).await, None))]).await.ok();
        }
        Change::ReplaceSerial => {
            reconfigure(web, of(|device| device.is::<VirtualSerialPort>()).map(remove).collect()).await.ok();
            reconfigure(web, vec![add(serial(2999))]).await.ok();
        }
        Change::ReplaceImage => {
            reconfigure(web, of(|device| device.is::<VirtualCdrom>()).map(remove).collect()).await.ok();
            reconfigure(web, vec![add(drive("[DC0_DS0] iso/other.iso"))]).await.ok();
        }
        Change::ReplaceSnapshot => {
            if let Some((b, _)) = find(web, "b").await {
                // The call may just be deleting it.
                if let Ok(task) = b.remove_snapshot_task(false, None).await {
                    Task::<()>::new(web.client(), task, "remove", "b").await.ok();
                }
            }
            take_snapshot(web, "b").await.ok();
        }
        Change::SwapSnapshotNames => {
            if let (Some((a, _)), Some((b, _))) = (find(web, "a").await, find(web, "b").await) {
                a.rename_snapshot(Some("b"), None).await.ok();
                b.rename_snapshot(Some("a"), None).await.ok();
            }
        }
        Change::TakeSnapshot => {
            take_snapshot(web, "late").await.ok();
        }
        Change::PowerOff => power_off(web).await,
        Change::PowerCycle => {
            power_off(web).await;
            if let Ok(task) = web.power_on().await {
                task.await.ok();
            }
        }
        Change::Restart => {
            if let Ok(task) = web.reset().await {
                task.await.ok();
            }
        }
        Change::ReplaceFile => {
            if there(web, "data/a.txt").await {
                put(&first_store(web).await, "data/a.txt", THEIRS).await;
            }
        }
        Change::DeleteFile => {
            let store = first_store(web).await;
            if let Ok(deletion) = store.file_deletion("data/a.txt", false).await {
                deletion.carry_out().await.ok();
            }
        }
        Change::MakeFile => put(&first_store(web).await, "data/new.txt", THEIRS).await,
        Change::SwapStores => {
            let stores = [first_store(web).await, web.client().get::<Datastore>(STORES[1]).await.unwrap()];
            for (store, name) in [(0, "tmp"), (1, STORES[0]), (0, STORES[1])] {
                stores[store].rename_datastore(name).await.unwrap();
            }
        }
        Change::Annotate => {
            let annotation = Some("DO NOT TOUCH".to_owned());
            let spec = VirtualMachineConfigSpec { annotation, ..Default::default() };
            if let Ok(task) = web.reconfig_vm_task(&spec).await {
                Task::<()>::new(web.client(), task, "annotate", web.label()).await.ok();
            }
        }
    }
}

const STORES: [&str; 2] = ["DC0_DS0", "DC0_DS1"];

async fn first_store(machine: &Mo<VirtualMachine>) -> Mo<Datastore> {
    machine.client().get(STORES[0]).await.unwrap()
}

async fn there(machine: &Mo<VirtualMachine>, path: &str) -> bool {
    first_store(machine).await.find_file(path).await.unwrap().is_some()
}

async fn put(store: &Mo<Datastore>, path: &str, content: &str) {
    let pieces = futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from(content.to_owned()))]);
    store.upload(path).from_stream(pieces, content.len() as u64).await.unwrap();
}

async fn power_off(machine: &Mo<VirtualMachine>) {
    if let Ok(task) = machine.power_off().await {
        task.await.ok();
    }
}

async fn inside(machine: &Mo<VirtualMachine>) -> vsphere_ops::Result<Guest> {
    let login = Credentials::new(Model::LINUX_USER, Model::GUEST_PASSWORD);
    machine.wait_for_guest(&login, std::time::Duration::from_secs(60)).await
}

/// What is in `/srv` of a guest; nothing where it does not run.
async fn in_guest(machine: &Mo<VirtualMachine>) -> Vec<(String, String)> {
    let Ok(guest) = inside(machine).await else { return Vec::new() };
    let mut found = Vec::new();
    for file in guest.list_directory("/srv", &ListQuery::default()).await.unwrap().items {
        let path = format!("/srv/{}", file.name.as_str());
        let content = match file.kind {
            FileKind::File => String::from_utf8(guest.read(&path, 1000).await.unwrap().bytes).unwrap(),
            _ => String::new(),
        };
        found.push((path, content));
    }
    found
}

/// How many events there are about a machine, of the types that tell what was done to its guest.
async fn events(client: &Client, machine: &Mo<VirtualMachine>) -> BTreeMap<&'static str, usize> {
    const KINDS: [&str; 4] = ["VmResettingEvent", "VmGuestRebootEvent", "VmGuestStandbyEvent", "VmGuestShutdownEvent"];
    let manager: EventManager = client.raw(client.content().event_manager.as_ref().unwrap());
    let entity = EventFilterSpecByEntity {
        entity: machine.reference().clone(),
        recursion: EventFilterSpecRecursionOption::Self_,
    };
    let filter = EventFilterSpec {
        entity: Some(Box::new(entity)),
        event_type_id: KINDS.map(str::to_owned).into(),
        ..Default::default()
    };
    let found = manager.query_events(&filter, None).await.unwrap();
    KINDS.map(|kind| (kind, found.iter().filter(|event| event.type_name() == kind).count())).into()
}

fn file_of(device: &Poly<VirtualDevice>) -> String {
    let file = device.backing.as_ref().and_then(|backing| backing.downcast_ref::<VirtualDeviceFileBackingInfo>());
    file.map(|file| file.file_name.clone()).unwrap_or_default()
}

fn mac_of(device: &Poly<VirtualDevice>) -> String {
    device.downcast_ref::<VirtualEthernetCard>().and_then(|card| card.mac_address.clone()).unwrap()
}

async fn find(machine: &Mo<VirtualMachine>, name: &str) -> Option<(VirtualMachineSnapshot, String)> {
    let info = machine.read(vm::SNAPSHOT).await.ok()??;
    let mut found = Vec::new();
    gather(&info.root_snapshot_list, &mut found);
    let (reference, name) = found.into_iter().find(|(_, other)| other == name)?;
    Some((machine.client().raw(&reference), name))
}

fn gather(trees: &[VirtualMachineSnapshotTree], into: &mut Vec<(ManagedObjectReference, String)>) {
    for tree in trees {
        into.push((tree.snapshot.clone(), tree.name.clone()));
        gather(&tree.child_snapshot_list, into);
    }
}

/// All that is so of the machines, and which files of disks there are. What a disk, an adapter or a port is, is in the
/// fact's key, so that another one in its place is another fact.
async fn facts(client: &Client, machines: &[Mo<VirtualMachine>], setting: Setting) -> Facts {
    let mut facts = Facts::new();
    for machine in machines {
        let Ok((name, config, runtime, snapshot)) =
            machine.read((vm::NAME, vm::CONFIG, vm::RUNTIME, vm::SNAPSHOT)).await
        else {
            continue;
        };
        let mut fact = |key: &str, is: String| facts.insert(format!("{}/{key}", machine.id()), is);
        let config = config.unwrap();
        fact("name", name);
        fact("power", runtime.power_state.to_string());
        fact("booted", format!("{:?}", runtime.boot_time));
        fact("template", config.template.to_string());
        fact("size", format!("{} {}", config.hardware.num_cpu, config.hardware.memory_mb));
        fact("note", config.annotation.unwrap_or_default());
        for device in &config.hardware.device {
            let plug = device.connectable.as_ref().map(|plug| (plug.connected, plug.start_connected));
            let backing = device.backing.as_ref();
            if let Some(disk) = device.downcast_ref::<VirtualDisk>() {
                let flat: &VirtualDiskFlatVer2BackingInfo = backing.unwrap().downcast_ref().unwrap();
                let is = format!("{} {:?} {}", device.key, disk.capacity_in_bytes, flat.file_name);
                fact(&format!("disk/{}", flat.uuid.clone().unwrap()), is);
            } else if device.is::<VirtualEthernetCard>() {
                let network: Option<&VirtualEthernetCardNetworkBackingInfo> = backing.unwrap().downcast_ref();
                let network = network.map(|network| network.device_name.clone());
                fact(&format!("nic/{}", mac_of(device)), format!("{} {network:?} {plug:?}", device.key));
            } else if device.is::<VirtualSerialPort>() {
                let uri: &VirtualSerialPortURIBackingInfo = backing.unwrap().downcast_ref().unwrap();
                fact(&format!("serial/{}", uri.service_uri), format!("{} {plug:?}", device.key));
            } else if device.is::<VirtualCdrom>() {
                fact(&format!("cd/{}", file_of(device)), format!("{} {plug:?}", device.key));
            }
        }
        let snapshot = snapshot.unwrap_or_default();
        let mut found = Vec::new();
        gather(&snapshot.root_snapshot_list, &mut found);
        for (snapshot, name) in found {
            fact(&format!("snapshot/{}", snapshot.value), name);
        }
        fact("current", snapshot.current_snapshot.map(|current| current.value).unwrap_or_default());
        // What leaves no other trace.
        for (kind, count) in events(client, machine).await {
            fact(&format!("event/{kind}"), count.to_string());
        }
    }
    if setting.guests {
        for machine in machines {
            for (path, content) in in_guest(machine).await {
                facts.insert(format!("{}/guest/{path}", machine.id()), content);
            }
        }
    }
    for name in STORES {
        let store: Mo<Datastore> = client.get(name).await.unwrap();
        if setting.files {
            for file in store.list_files(&FileQuery::of("data")).await.unwrap().items {
                // By the id: another store may have the name by now. A file with other content is another fact.
                let mut content = Vec::new();
                store.download(&file.path).to_writer(&mut content).await.unwrap();
                let (name, content) = (file.path.rsplit_once('/').unwrap().1, String::from_utf8(content).unwrap());
                facts.insert(format!("{}/data/{name}: {content}", store.id()), String::new());
            }
            continue;
        }
        let browser: HostDatastoreBrowser = client.raw(&store.read(datastore::BROWSER).await.unwrap());
        let spec = HostDatastoreBrowserSearchSpec { match_pattern: vec!["*.vmdk".to_owned()], ..Default::default() };
        let task = browser.search_datastore_sub_folders_task(&format!("[{name}]"), Some(&spec)).await.unwrap();
        let found: Vec<HostDatastoreBrowserSearchResults> = Task::new(client, task, "search", name).await.unwrap();
        for folder in found {
            for file in folder.file {
                facts.insert(
                    format!("file/{} {}", folder.folder_path.clone().unwrap_or_default(), file.path),
                    String::new(),
                );
            }
        }
    }
    facts
}
