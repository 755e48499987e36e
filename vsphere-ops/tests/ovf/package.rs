//! Packages for the tests, and a simulated vCenter that is looked at from all sides.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vsphere_ops::managed::{Datastore, Folder, PropertyCollector, VirtualMachine, datastore, folder, virtual_machine};
use vsphere_ops::ovf::{Ovf, OvfSource};
use vsphere_ops::transfer::Checksum;
use vsphere_ops::types::{
    Any, ManagedObjectReference, ObjectSpec, PropertyFilterSpec, PropertySpec, RetrieveOptions, TaskInfo, TaskInfoState,
};
use vsphere_ops::{Client, Config};
use vsphere_sim::{Model, Sim, Size};

/// A folder that goes away with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("ovf-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A simulated vCenter with one VM.
pub(crate) struct Lab {
    pub(crate) sim: Arc<Sim>,
    pub(crate) client: Client,
    pub(crate) scratch: Scratch,
}

pub(crate) fn model() -> Model {
    Model::sized(Size { vms: 1, ..Size::default() })
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::of(model()).await
    }

    pub(crate) async fn of(model: Model) -> Self {
        let sim = Arc::new(Sim::start(model).await.unwrap());
        let client = connect(&sim, Model::USER, Model::PASSWORD).await;
        Self { sim, client, scratch: Scratch::new() }
    }

    /// Writes a package, and opens it.
    pub(crate) async fn open(&self, package: &Package) -> vsphere_ops::Result<Ovf> {
        self.client.open_ovf(&OvfSource::file(package.write(&self.scratch))).await
    }

    /// All that an import or export could leave behind.
    pub(crate) async fn left(&self) -> Left {
        left(&self.client).await
    }
}

pub(crate) async fn connect(sim: &Sim, user: &str, password: &str) -> Client {
    let config = Config::new(sim.url()).user(user).password(password);
    Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap()
}

/// VMs, bytes in datastores, entries of the VM folder, and tasks that run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) vms: Vec<String>,
    pub(crate) free: Vec<i64>,
    pub(crate) entries: usize,
    pub(crate) running: usize,
}

pub(crate) async fn left(client: &Client) -> Left {
    let vms = client.all::<VirtualMachine>().select(virtual_machine::NAME).await.unwrap();
    let mut vms: Vec<String> = vms.into_iter().map(|(_, name)| name).collect();
    vms.sort();
    let stores = client.all::<Datastore>().select(datastore::SUMMARY).await.unwrap();
    let mut free: Vec<(String, i64)> =
        stores.into_iter().map(|(store, summary)| (store.id().to_owned(), summary.free_space)).collect();
    free.sort();
    let folders = client.all::<Folder>().select(folder::CHILD_ENTITY).await.unwrap();
    let entries = folders.into_iter().map(|(_, children)| children.len()).sum();
    let manager = client.content().task_manager.as_ref().unwrap();
    let tasks: Vec<ManagedObjectReference> = property(client, manager, "recentTask").await.take().unwrap();
    let mut running = 0;
    for task in tasks {
        let info: TaskInfo = property(client, &task, "info").await.take().unwrap();
        running += usize::from(info.state == TaskInfoState::Running);
    }
    Left { vms, free: free.into_iter().map(|(_, free)| free).collect(), entries, running }
}

/// The value of a property of any object.
pub(crate) async fn property(client: &Client, object: &ManagedObjectReference, path: &str) -> Any {
    let collector: PropertyCollector = client.raw(&client.content().property_collector);
    let spec = PropertyFilterSpec {
        prop_set: vec![PropertySpec { type_: object.type_.clone(), all: None, path_set: vec![path.to_owned()] }],
        object_set: vec![ObjectSpec { obj: object.clone(), ..Default::default() }],
        ..Default::default()
    };
    let result = collector.retrieve_properties_ex(&[spec], &RetrieveOptions::default()).await.unwrap();
    let objects = result.map(|result| result.objects).unwrap_or_default();
    objects.into_iter().flat_map(|object| object.prop_set).next().map(|property| property.val).unwrap_or_default()
}

/// Waits until nothing is left behind: what is cleaned up after a future was dropped takes a moment.
pub(crate) async fn until_nothing_is_left(client: &Client, before: &Left) {
    for _ in 0..500 {
        if left(client).await == *before {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(left(client).await, *before);
}

/// A file of a package.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
}

/// A package: a descriptor and its files.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) descriptor: String,
    pub(crate) files: Vec<File>,
    /// By which algorithm it has a manifest.
    pub(crate) manifest: Option<&'static str>,
    pub(crate) as_ova: bool,
}

/// What is in a descriptor.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) references: String,
    pub(crate) disks: String,
    pub(crate) networks: String,
    /// Between the disks and the virtual system.
    pub(crate) sections: String,
    /// In the virtual system.
    pub(crate) system: String,
    pub(crate) hardware: String,
}

impl Parts {
    pub(crate) fn text(&self) -> String {
        let Self { references, disks, networks, sections, system, hardware } = self;
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>{references}</References>
  <DiskSection><Info>Disks</Info>{disks}</DiskSection>
  <NetworkSection><Info>Networks</Info>{networks}</NetworkSection>
  {sections}
  <VirtualSystem ovf:id="appliance">
    <Info>A VM</Info>
    <Name>appliance</Name>
    <OperatingSystemSection ovf:id="96" vmw:osType="debian12_64Guest"><Info>Guest</Info></OperatingSystemSection>
    {system}
    <VirtualHardwareSection ovf:transport="com.vmware.guestInfo">
      <Info>Hardware</Info>
      <System><vssd:ElementName>Family</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemType>vmx-15</vssd:VirtualSystemType></System>
      {hardware}
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#
        )
    }
}

/// A piece of hardware of a descriptor.
pub(crate) fn item(lines: &[(&str, &str)]) -> String {
    item_in("", lines)
}

/// The same in one deployment option alone.
pub(crate) fn item_in(option: &str, lines: &[(&str, &str)]) -> String {
    let option = if option.is_empty() { String::new() } else { format!(" ovf:configuration=\"{option}\"") };
    let lines: String = lines.iter().map(|(name, text)| format!("<rasd:{name}>{text}</rasd:{name}>")).collect();
    format!("<Item{option}>{lines}</Item>\n")
}

pub(crate) fn cpu_and_memory() -> String {
    item(&[("InstanceID", "1"), ("ResourceType", "3"), ("VirtualQuantity", "2")])
        + &item(&[
            ("AllocationUnits", "byte * 2^20"),
            ("InstanceID", "2"),
            ("ResourceType", "4"),
            ("VirtualQuantity", "1024"),
        ])
}

pub(crate) fn scsi() -> String {
    item(&[("Address", "0"), ("InstanceID", "3"), ("ResourceSubType", "VirtualSCSI"), ("ResourceType", "6")])
}

pub(crate) fn disk_item(number: usize) -> String {
    item(&[
        ("AddressOnParent", &(number - 1).to_string()),
        ("HostResource", &format!("ovf:/disk/vmdisk{number}")),
        ("InstanceID", &(10 + number).to_string()),
        ("Parent", "3"),
        ("ResourceType", "17"),
    ])
}

pub(crate) fn nic_item(number: usize, network: &str) -> String {
    item(&[
        ("Connection", network),
        ("InstanceID", &(20 + number).to_string()),
        ("ResourceSubType", "VmxNet3"),
        ("ResourceType", "10"),
    ])
}

pub(crate) fn network(name: &str) -> String {
    format!("<Network ovf:name=\"{name}\"><Description>For {name}</Description></Network>")
}

/// A disk as a lease takes it, with a content that can't be packed.
pub(crate) fn disk(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = noise(seed, length);
    bytes[..80].fill(0);
    bytes[..9].copy_from_slice(b"KDMV\x03\0\0\0\x01");
    bytes[10] = 3;
    bytes[12..20].copy_from_slice(&((64_u64 << 20) / 512).to_le_bytes());
    bytes[77] = 1;
    bytes
}

/// Bytes that can't be packed, always the same of a seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(length.div_ceil(8)).flatten().collect();
    bytes.truncate(length);
    bytes
}

/// A package with one disk and one network.
pub(crate) fn simple() -> Package {
    with_disks(&[disk(1, 300_000)])
}

/// A package with these disks and one network.
pub(crate) fn with_disks(disks: &[Vec<u8>]) -> Package {
    let mut parts = Parts { networks: network("Front"), hardware: cpu_and_memory() + &scsi(), ..Parts::default() };
    let mut files = Vec::new();
    for (index, content) in disks.iter().enumerate() {
        let number = index + 1;
        let name = format!("appliance-disk{number}.vmdk");
        parts.references +=
            &format!("<File ovf:href=\"{name}\" ovf:id=\"file{number}\" ovf:size=\"{}\"/>", content.len());
        parts.disks += &declared(number, &format!("file{number}"));
        parts.hardware += &disk_item(number);
        files.push(File { name, content: content.clone() });
    }
    parts.hardware += &nic_item(1, "Front");
    Package { name: "appliance", descriptor: parts.text(), files, manifest: Some("SHA256"), as_ova: true }
}

/// A disk of 64 MiB whose content is in a file.
pub(crate) fn declared(number: usize, file: &str) -> String {
    format!(
        "<Disk ovf:capacity=\"64\" ovf:capacityAllocationUnits=\"byte * 2^20\" ovf:diskId=\"vmdisk{number}\" \
         ovf:fileRef=\"{file}\" ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized\"/>"
    )
}

pub(crate) fn sum(algorithm: &str, content: &[u8]) -> String {
    let algorithm = match algorithm {
        "SHA1" => &ring::digest::SHA1_FOR_LEGACY_USE_ONLY,
        "SHA256" => &ring::digest::SHA256,
        _ => &ring::digest::SHA512,
    };
    let digest = ring::digest::digest(algorithm, content);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of a content.
pub(crate) fn sha256(content: &[u8]) -> Checksum {
    sum("SHA256", content).parse().unwrap()
}

impl Package {
    /// As a folder in place of an archive.
    pub(crate) fn beside_its_files(mut self) -> Self {
        self.as_ova = false;
        self
    }

    pub(crate) fn manifest_text(&self) -> Option<String> {
        let algorithm = self.manifest?;
        let line = |name: &str, content: &[u8]| format!("{algorithm}({name})= {}\r\n", sum(algorithm, content));
        let mut text = line(&format!("{}.ovf", self.name), self.descriptor.as_bytes());
        text.extend(self.files.iter().map(|file| line(&file.name, &file.content)));
        Some(text)
    }

    /// All files in the order of an archive.
    pub(crate) fn all(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = vec![(format!("{}.ovf", self.name), self.descriptor.clone().into_bytes())];
        all.extend(self.manifest_text().map(|text| (format!("{}.mf", self.name), text.into_bytes())));
        all.extend(self.files.iter().map(|file| (file.name.clone(), file.content.clone())));
        all
    }

    /// Writes it; the path of what is opened.
    pub(crate) fn write(&self, scratch: &Scratch) -> PathBuf {
        if self.as_ova {
            return scratch.put(&format!("{}.ova", self.name), &archive(&self.all()));
        }
        for (name, content) in self.all() {
            scratch.put(&name, &content);
        }
        scratch.path(&format!("{}.ovf", self.name))
    }
}

pub(crate) fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &content[..]).unwrap();
    }
    builder.into_inner().unwrap()
}
