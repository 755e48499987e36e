//! The inventory as sheets, with the values that a person would write into them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic in a test is its failure report")]

use vsphere_ops::columns::Cell;
use vsphere_ops::disk::NewDisk;
use vsphere_ops::export::{Format, Row, Sheet, SheetWriter};
use vsphere_ops::managed::VirtualMachine;
use vsphere_ops::snapshot::NewSnapshot;
use vsphere_ops::{Client, Config, Gaps};
use vsphere_sim::{Incident, Model, Role, Sim, Size};

/// A name that a spreadsheet would take for a formula.
const FORMULA: &str = "=cmd|'-C calc'!A0";

fn small() -> Model {
    Model::sized(Size { vms: 3, hosts: 2, datastores: 1, ..Size::default() })
}

async fn client_of(sim: &Sim, user: &str, password: &str) -> Client {
    let config = Config::new(sim.url()).user(user).password(password);
    Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap()
}

async fn client(sim: &Sim) -> Client {
    client_of(sim, Model::USER, Model::PASSWORD).await
}

async fn vm(client: &Client, name: &str) -> vsphere_ops::Mo<VirtualMachine> {
    client.get::<VirtualMachine>(name).await.unwrap()
}

/// Three VMs: one with two disks, one with a snapshot, and one that is off and has the name.
async fn lab() -> (Sim, Client) {
    let sim = Sim::start(small()).await.unwrap();
    let client = client(&sim).await;
    vm(&client, "DC0_C0_VM0").await.add_disk(&NewDisk::of_bytes(5 << 30)).await.unwrap();
    let snapshot = NewSnapshot::new("nightly").description("-1 day").with_memory();
    vm(&client, "DC0_C0_VM1").await.create_snapshot(&snapshot).await.unwrap().await.unwrap();
    let third = vm(&client, "DC0_C0_VM2").await;
    third.power_off().await.unwrap().await.unwrap();
    third.rename(FORMULA).await.unwrap().await.unwrap();
    (sim, client)
}

async fn exported(client: &Client, sheets: &[Sheet]) -> (Vec<Row>, Gaps) {
    let mut export = client.export(sheets);
    let mut all = Vec::new();
    while let Some(rows) = export.next().await.unwrap() {
        all.extend(rows);
    }
    (all, export.gaps().clone())
}

fn of(rows: &[Row], sheet: Sheet) -> Vec<&Row> {
    rows.iter().filter(|row| row.sheet == sheet).collect()
}

/// The cells of these columns, as a line of text.
fn line(row: &Row, columns: &[&str]) -> String {
    let cells = columns.iter().map(|column| match row.get(column).unwrap_or_else(|| panic!("{column}")) {
        Cell::Nothing => "-".to_owned(),
        Cell::Untrusted(text) => text.as_str().to_owned(),
        Cell::Text(text) => text.clone(),
        Cell::Number(number) => number.to_string(),
        Cell::Flag(flag) => flag.to_string(),
        other => panic!("{other:?}"),
    });
    cells.collect::<Vec<_>>().join(" | ")
}

fn lines(rows: &[Row], sheet: Sheet, columns: &[&str]) -> Vec<String> {
    of(rows, sheet).into_iter().map(|row| line(row, columns)).collect()
}

#[tokio::test]
async fn each_sheet_has_what_a_person_would_write_into_it() {
    let (_sim, client) = lab().await;
    let (rows, gaps) = exported(&client, &Sheet::ALL).await;
    assert!(gaps.is_empty(), "{gaps:?}");

    let columns = ["VM", "Powerstate", "Template", "CPUs", "Memory", "Disks", "NICs", "Total disk capacity MiB"];
    assert_eq!(
        lines(&rows, Sheet::VInfo, &columns),
        [
            // 20 and 5 GiB.
            "DC0_C0_VM0 | poweredOn | false | 2 | 4096 | 2 | 1 | 25600",
            "DC0_C0_VM1 | poweredOn | false | 2 | 4096 | 1 | 1 | 20480",
            "=cmd|'-C calc'!A0 | poweredOff | false | 2 | 4096 | 1 | 1 | 20480",
        ]
    );
    // The disk, a swap file as large as the memory, and some KiB of others, which are the MiB that has begun.
    let columns = ["Provisioned MiB", "Host", "Cluster", "Datacenter", "Folder", "Resource pool", "Network #1"];
    let first = &of(&rows, Sheet::VInfo)[0];
    let pool = "/DC0/host/DC0_C0/Resources | VM Network | -";
    assert_eq!(
        line(first, &[&columns[..], &["Network #2"]].concat()),
        format!("{} | DC0_C0_H0 | DC0_C0 | DC0 | /DC0/vm | {pool}", 25600 + 4096 + 1)
    );
    let columns = ["Primary IP Address", "DNS Name", "Firmware", "Consolidation Needed", "Annotation"];
    assert_eq!(line(first, &columns), "10.0.0.10 | dc0-c0-vm0 | bios | false | -");
    let system = "Ubuntu Linux (64-bit)";
    let columns = ["OS according to the configuration file", "OS according to the VMware Tools"];
    assert_eq!(line(first, &columns), format!("{system} | {system}"));
    let info = vm(&client, "DC0_C0_VM0").await.info().await.unwrap();
    let ids = [info.id, info.uuid.unwrap(), info.instance_uuid.unwrap()].join(" | ");
    assert_eq!(line(first, &["VM ID", "SMBIOS UUID", "VM UUID"]), ids);
    let about = &client.content().about;
    let of_server = format!("127.0.0.1 | {}", about.instance_uuid.as_deref().unwrap());
    for row in &rows {
        assert_eq!(row.cells.len(), row.sheet.columns().len());
        let columns: &[&str] = &["VI SDK Server", "VI SDK UUID"];
        assert_eq!(line(row, columns), of_server, "{}", row.sheet);
    }

    let columns = ["VM", "Disk", "Disk Key", "Capacity MiB", "Raw", "Disk Mode", "Thin", "Unit #", "Path"];
    assert_eq!(
        lines(&rows, Sheet::VDisk, &columns)[..2],
        [
            "DC0_C0_VM0 | Hard disk 1 | 2000 | 20480 | false | persistent | true | 0 | [DC0_DS0] DC0_C0_VM0/DC0_C0_VM0.vmdk",
            "DC0_C0_VM0 | Hard disk 2 | 2001 | 5120 | false | persistent | true | 1 | [DC0_DS0] DC0_C0_VM0/DC0_C0_VM0_1.vmdk",
        ]
    );
    assert_eq!(of(&rows, Sheet::VDisk).len(), 4);
    let columns = ["VM", "NIC label", "Adapter", "Network", "Switch", "Connected", "Type", "IPv4 Address"];
    assert_eq!(
        lines(&rows, Sheet::VNetwork, &columns),
        [
            "DC0_C0_VM0 | Network adapter 1 | vmxnet3 | VM Network | vSwitch0 | true | assigned | 10.0.0.10",
            "DC0_C0_VM1 | Network adapter 1 | vmxnet3 | VM Network | vSwitch0 | true | assigned | 10.0.0.11",
            // What is off has no link, and its guest no address.
            "=cmd|'-C calc'!A0 | Network adapter 1 | vmxnet3 | VM Network | vSwitch0 | false | assigned | -",
        ]
    );
    let columns = ["VM", "Name", "Description", "Quiesced", "State"];
    assert_eq!(lines(&rows, Sheet::VSnapshot, &columns), ["DC0_C0_VM1 | nightly | -1 day | false | poweredOn"]);
    // The memory that it keeps is 4 GiB; its state file and the delta of the disk are small.
    let snapshot = of(&rows, Sheet::VSnapshot)[0];
    assert!(matches!(snapshot.get("Size MiB (total)"), Some(Cell::Number(4097..=4200))), "{snapshot:?}");
    assert!(line(snapshot, &["Filename"]).ends_with(".vmsn"));

    let columns = ["Host", "Cluster", "# CPU", "Cores per CPU", "# Cores", "# VMs total", "# VMs", "# vCPUs", "vRAM"];
    assert_eq!(
        lines(&rows, Sheet::VHost, &columns),
        [
            // Of its two VMs one is off.
            "DC0_C0_H0 | DC0_C0 | 2 | 32 | 64 | 2 | 1 | 2 | 4096",
            "DC0_C0_H1 | DC0_C0 | 2 | 32 | 64 | 1 | 1 | 2 | 4096",
        ]
    );
    let columns = ["Name", "Type", "# VMs total", "# VMs", "Capacity MiB", "# Hosts", "Hosts", "Accessible"];
    assert_eq!(
        lines(&rows, Sheet::VDatastore, &columns),
        [format!("DC0_DS0 | VMFS | 3 | 2 | {} | 2 | DC0_C0_H0, DC0_C0_H1 | true", 64 << 20)]
    );
}

#[tokio::test]
async fn a_file_is_what_rvtools_would_write_and_no_formula() {
    let (_sim, client) = lab().await;
    let (rows, _) = exported(&client, &Sheet::ALL).await;
    let file = |sheet, format| {
        let mut writer = SheetWriter::new(sheet, format);
        rows.iter().for_each(|row| writer.write(row).unwrap());
        (writer.rows(), String::from_utf8(writer.finish().unwrap()).unwrap())
    };
    let (count, csv) = file(Sheet::VSnapshot, Format::Csv);
    assert_eq!(count, 1);
    let mut lines = csv.split("\r\n");
    let head = lines.next().unwrap();
    assert!(head.starts_with(r#""VM","Powerstate","Name","Description","Date / time","Filename","#), "{head}");
    let row = lines.next().unwrap();
    assert!(row.starts_with(r#""DC0_C0_VM1","poweredOn","nightly","'-1 day","20"#), "{row}");
    assert!(row.contains(r#","False","poweredOn","","DC0","#), "{row}");
    assert_eq!((lines.next(), lines.next()), (Some(""), None));
    for sheet in Sheet::ALL {
        let (_, csv) = file(sheet, Format::Csv);
        // Each field is quoted, so that a formula would stand behind a quote.
        for start in ["\"=", "\"+", "\"-1 ", "\"@"] {
            assert!(!csv.contains(start), "{sheet}: {csv}");
        }
    }
    let (count, csv) = file(Sheet::VInfo, Format::Csv);
    assert!(count == 3 && csv.contains("\r\n\"'=cmd|'-C calc'!A0\",\"poweredOff\",\"False\","), "{csv}");
    // A program is told the name as it is, and numbers and flags as such.
    let (_, json) = file(Sheet::VInfo, Format::Json);
    let all: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(all[2]["VM"], FORMULA);
    assert_eq!((&all[0]["CPUs"], &all[0]["Template"]), (&2.into(), &false.into()));
    assert!(all[0].get("Suspend time").is_none() && all.as_array().unwrap().len() == 3, "{json}");
}

#[tokio::test]
async fn what_the_user_may_not_read_is_an_empty_cell_and_a_gap() {
    let model = small()
        .user("viewer@vsphere.local", "secret", Role::ReadOnly)
        .user("web@vsphere.local", "secret", Role::NoAccess)
        .permission("web@vsphere.local", "/DC0/vm", Role::ReadOnly);
    let sim = Sim::start(model).await.unwrap();
    let viewer = client_of(&sim, "viewer@vsphere.local", "secret").await;
    let (rows, gaps) = exported(&viewer, &Sheet::ALL).await;
    assert!(gaps.is_empty() && of(&rows, Sheet::VHost).len() == 2, "{gaps:?}");
    // Without rights on hosts and datastores a user gets no rows of them, and no placement of VMs.
    let web = client_of(&sim, "web@vsphere.local", "secret").await;
    let (rows, gaps) = exported(&web, &Sheet::ALL).await;
    assert_eq!((of(&rows, Sheet::VInfo).len(), of(&rows, Sheet::VHost).len()), (3, 0));
    let columns = ["VM", "CPUs", "Folder", "Cluster", "Resource pool"];
    assert_eq!(lines(&rows, Sheet::VInfo, &columns)[0], "DC0_C0_VM0 | 2 | /DC0/vm | - | -");
    let [hidden] = gaps.missing.as_slice() else { panic!("{gaps:?}") };
    assert_eq!(hidden.what, "the host, cluster or pool of VMs (3)");
}

#[tokio::test]
async fn what_a_server_does_not_know_is_no_zero() {
    let sim = Sim::start(small()).await.unwrap();
    sim.incident(&Incident::HostDisconnected { host: "DC0_C0_H1".into() }).unwrap();
    sim.incident(&Incident::DatastoreLost { datastore: "DC0_DS0".into(), host: None }).unwrap();
    let client = client(&sim).await;
    let (rows, _) = exported(&client, &[Sheet::VHost, Sheet::VDatastore]).await;
    // vCenter has no figures of a host that it does not reach, and knows what it is made of.
    let columns = ["Host", "CPU usage %", "Memory usage %", "# Cores", "# VMs"];
    let hosts = lines(&rows, Sheet::VHost, &columns);
    assert_eq!(hosts[1], "DC0_C0_H1 | - | - | 64 | 1");
    assert!(!hosts[0].contains('-'), "{hosts:?}");
    let columns = ["Accessible", "Capacity MiB", "In Use MiB", "Free MiB", "Free %"];
    assert_eq!(lines(&rows, Sheet::VDatastore, &columns), ["false | - | - | - | -"]);
}

#[tokio::test]
async fn sizes_of_cpus_memory_and_file_systems_are_those_of_the_vm() {
    let (_sim, client) = lab().await;
    let (rows, _) = exported(&client, &[Sheet::VCpu, Sheet::VMemory, Sheet::VPartition]).await;
    let columns = ["VM", "CPUs", "Sockets", "Cores p/s", "Level", "Shares", "Reservation", "Limit", "Hot Add"];
    // A thousand shares for each CPU at the normal level.
    assert_eq!(lines(&rows, Sheet::VCpu, &columns)[0], "DC0_C0_VM0 | 2 | 2 | 1 | normal | 2000 | 0 | -1 | false");
    // Ten for each MiB.
    let columns = ["VM", "Size MiB", "Level", "Shares", "Reservation", "Limit", "Swapped", "Ballooned"];
    assert_eq!(lines(&rows, Sheet::VMemory, &columns)[0], "DC0_C0_VM0 | 4096 | normal | 40960 | 0 | -1 | 0 | 0");
    let partitions = of(&rows, Sheet::VPartition);
    for partition in &partitions {
        let mib = |column: &str| match partition.get(column) {
            Some(Cell::Number(mib)) => *mib,
            other => panic!("{column}: {other:?}"),
        };
        let rounded = mib("Capacity MiB") - mib("Consumed MiB") - mib("Free MiB");
        assert!(rounded.abs() <= 1 && mib("Free %") <= 100, "{partition:?}");
    }
    assert_eq!(lines(&rows, Sheet::VPartition, &["VM", "Disk"])[0], "DC0_C0_VM0 | /");
}

#[tokio::test]
async fn pages_are_asked_for_once_whatever_sheets_are_wanted() {
    let sim = Sim::start(Model::sized(Size { vms: 230, hosts: 4, ..Size::default() })).await.unwrap();
    let client = client(&sim).await;
    let (rows, gaps) = exported(&client, &Sheet::ALL).await;
    assert!(gaps.is_empty());
    assert_eq!((of(&rows, Sheet::VInfo).len(), of(&rows, Sheet::VDisk).len()), (230, 230));
    // Pages of a hundred VMs, hosts and datastores; the names of all else at once.
    let reads = ["RetrievePropertiesEx", "ContinueRetrievePropertiesEx", "RetrieveProperties"];
    assert_eq!(reads.map(|method| sim.calls(method)), [3, 2, 1]);
}
