//! Packages that are deployed, and what the VM is then.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use vsphere_ops::managed::{Folder, VirtualMachine, datastore, virtual_machine};
use vsphere_ops::ovf::{Deployed, Directory, DiskProvisioning};
use vsphere_ops::placement::Placement;
use vsphere_ops::types::{
    ManagedObjectReference, VirtualCdrom, VirtualCdromIsoBackingInfo, VirtualDisk, VirtualDiskFlatVer2BackingInfo,
    VirtualMachinePowerState,
};
use vsphere_ops::{Client, Mo};

use crate::package::{
    File, Lab, Package, Parts, cpu_and_memory, declared, disk, disk_item, item, item_in, network, nic_item, noise,
    scsi, sha256, simple, with_disks,
};

/// The content of the VM's disks, by an export: what was sent must come back.
pub(crate) async fn contents(lab: &Lab, vm: &str) -> Vec<vsphere_ops::transfer::Checksum> {
    let vm = lab.client.get::<VirtualMachine>(vm).await.unwrap();
    let folder = lab.scratch.path(&format!("export-of-{}", vm.id()));
    std::fs::create_dir_all(&folder).unwrap();
    let exported = vm.ovf_export().images().to_folder(Arc::new(Directory::new(&folder))).await.unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    exported.files.into_iter().filter(|file| !file.name.ends_with(".nvram")).map(|file| file.checksum).collect()
}

async fn vm(client: &Client, deployed: &Deployed) -> Mo<VirtualMachine> {
    client.get(&deployed.vm.id).await.unwrap()
}

#[tokio::test]
async fn an_archive_and_a_folder_are_deployed_and_their_disks_come_back() {
    for manifest in [None, Some("SHA1"), Some("SHA256"), Some("SHA512")] {
        for as_ova in [true, false] {
            let lab = Lab::new().await;
            let disks = [disk(1, 700_000), disk(2, 1_000), disk(3, 512 << 10)];
            let package = Package { manifest, as_ova, ..with_disks(&disks) };
            let ovf = lab.open(&package).await.unwrap();
            assert_eq!((ovf.contents().name.as_str(), ovf.contents().manifest), ("appliance", manifest.is_some()));
            let told = Arc::new(Mutex::new(Vec::new()));
            let listener = Arc::clone(&told);
            let deployed = ovf
                .deployment("web-7")
                .network("Front", "VM Network")
                .on_progress(move |progress| listener.lock().unwrap().push(progress))
                .start()
                .await
                .unwrap();
            assert_eq!((deployed.files, deployed.bytes, deployed.verified), (3, 1_225_288, manifest.is_some()));
            assert_eq!((deployed.vm.path.as_str(), deployed.vm.cpu), ("/DC0/vm/web-7", Some(2)));
            assert_eq!(deployed.vm.networks, ["VM Network"]);
            assert_eq!(deployed.vm.power_state, VirtualMachinePowerState::PoweredOff);
            assert!(deployed.warnings.is_empty(), "{:?}", deployed.warnings);
            let last = *told.lock().unwrap().last().unwrap();
            assert_eq!((last.bytes, last.total), (1_225_288, Some(1_225_288)));
            let expected: Vec<_> = disks.iter().map(|disk| sha256(disk)).collect();
            assert_eq!(contents(&lab, "web-7").await, expected);
        }
    }
}

#[tokio::test]
async fn packed_and_chunked_files_and_images_arrive_as_they_were() {
    let lab = Lab::new().await;
    let (first, second, image) = (disk(4, 400_000), disk(5, 250_000), noise(6, 90_000));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&first).unwrap();
    let packed = encoder.finish().unwrap();
    let references = format!(
        "<File ovf:href=\"one.vmdk.gz\" ovf:id=\"file1\" ovf:compression=\"gzip\" ovf:size=\"{}\"/>\
         <File ovf:href=\"two.vmdk\" ovf:id=\"file2\" ovf:chunkSize=\"100000\" ovf:size=\"250000\"/>\
         <File ovf:href=\"sub/tools.iso\" ovf:id=\"file3\" ovf:size=\"90000\"/>",
        packed.len()
    );
    let ide = item(&[("Address", "1"), ("InstanceID", "4"), ("ResourceType", "5")]);
    let drive = item(&[
        ("AddressOnParent", "0"),
        ("HostResource", "ovf:/file/file3"),
        ("InstanceID", "30"),
        ("Parent", "4"),
        ("ResourceType", "15"),
    ]);
    let parts = Parts {
        references,
        disks: declared(1, "file1") + &declared(2, "file2"),
        hardware: cpu_and_memory() + &scsi() + &ide + &disk_item(1) + &disk_item(2) + &drive,
        ..Parts::default()
    };
    let file = |name: &str, content: &[u8]| File { name: name.to_owned(), content: content.to_vec() };
    let package = Package {
        name: "odd",
        descriptor: parts.text(),
        files: vec![
            file("one.vmdk.gz", &packed),
            file("two.vmdk.000000000", &second[..100_000]),
            file("two.vmdk.000000001", &second[100_000..200_000]),
            file("two.vmdk.000000002", &second[200_000..]),
            file("sub/tools.iso", &image),
        ],
        manifest: Some("SHA256"),
        as_ova: true,
    };
    let ovf = lab.open(&package).await.unwrap();
    let files = &ovf.contents().files;
    assert_eq!((files[0].compression.as_deref(), files[1].chunk_bytes), (Some("gzip"), Some(100_000)));
    let deployed = ovf.deployment("odd").start().await.unwrap();
    assert_eq!(deployed.files, 3);
    assert_eq!(contents(&lab, "odd").await, [sha256(&first), sha256(&second), sha256(&image)]);
    let devices = vm(&lab.client, &deployed).await.read(virtual_machine::DEVICES).await.unwrap();
    let drive = devices.iter().find(|device| device.is::<VirtualCdrom>()).unwrap();
    assert!(drive.backing.as_ref().unwrap().is::<VirtualCdromIsoBackingInfo>());
}

#[tokio::test]
async fn space_is_taken_as_asked() {
    let lab = Lab::new().await;
    for (provisioning, thin, eager) in [
        (DiskProvisioning::Thin, true, false),
        (DiskProvisioning::Thick, false, false),
        (DiskProvisioning::EagerZeroedThick, false, true),
    ] {
        let ovf = lab.open(&simple()).await.unwrap();
        let name = format!("{provisioning:?}");
        let deployed =
            ovf.deployment(&name).all_networks("VM Network").provisioning(provisioning).start().await.unwrap();
        let devices = vm(&lab.client, &deployed).await.read(virtual_machine::DEVICES).await.unwrap();
        let disk = devices.iter().find_map(|device| device.downcast_ref::<VirtualDisk>()).unwrap();
        let flat = disk.backing.as_ref().unwrap().downcast_ref::<VirtualDiskFlatVer2BackingInfo>().unwrap();
        assert_eq!((flat.thin_provisioned, flat.eagerly_scrub), (Some(thin), Some(eager)), "{name}");
        assert_eq!(disk.capacity_in_kb, 64 << 10);
    }
}

/// A package with a property of every type, two deployment options, and a licence.
pub(crate) fn appliance() -> Package {
    let property = |key: &str, kind: &str, more: &str| {
        format!("<Property ovf:key=\"{key}\" ovf:type=\"{kind}\" {more}><Label>{key}</Label></Property>")
    };
    let user = "ovf:userConfigurable=\"true\"";
    let properties = [
        property("hostname", "string", &format!("{user} ovf:qualifiers=\"MinLen(1) MaxLen(15)\"")),
        property("size", "string", &format!("{user} ovf:value=\"small\" ovf:qualifiers='ValueMap{{small, large}}'")),
        property("secret", "string", &format!("{user} ovf:password=\"true\" ovf:qualifiers=\"MinLen(8)\"")),
        property("workers", "uint8", &format!("{user} ovf:value=\"4\" ovf:qualifiers=\"MinValue(1) MaxValue(64)\"")),
        property("ratio", "real32", &format!("{user} ovf:value=\"0.5\"")),
        property("ssh", "boolean", &format!("{user} ovf:value=\"False\"")),
        property("debug", "string", "ovf:userConfigurable=\"false\" ovf:value=\"off\""),
    ]
    .concat();
    let system = format!(
        "<EulaSection><Info>Licence</Info><License>Be nice.</License></EulaSection>\
         <AnnotationSection><Info>Note</Info><Annotation>An appliance.</Annotation></AnnotationSection>\
         <ProductSection ovf:class=\"net\"><Info>Product</Info><Product>Gateway</Product><Vendor>Corp</Vendor>\
         <Version>1.2</Version><Category>General</Category>{properties}</ProductSection>"
    );
    let options = "<DeploymentOptionSection><Info>Sizes</Info>\
                   <Configuration ovf:id=\"small\" ovf:default=\"true\"><Label>Small</Label><Description>1 CPU</Description></Configuration>\
                   <Configuration ovf:id=\"large\"><Label>Large</Label><Description>8 CPUs</Description></Configuration>\
                   </DeploymentOptionSection>";
    let cpus = |option: &str, count: &str| {
        item_in(option, &[("InstanceID", "1"), ("ResourceType", "3"), ("VirtualQuantity", count)])
    };
    let memory = item(&[
        ("AllocationUnits", "MegaBytes"),
        ("InstanceID", "2"),
        ("ResourceType", "4"),
        ("VirtualQuantity", "2048"),
    ]);
    let content = disk(7, 100_000);
    let parts = Parts {
        references: "<File ovf:href=\"gateway.vmdk\" ovf:id=\"file1\" ovf:size=\"100000\"/>".to_owned(),
        disks: declared(1, "file1"),
        networks: network("Inside") + &network("Outside"),
        sections: options.to_owned(),
        system,
        hardware: cpus("small", "1")
            + &cpus("large", "8")
            + &memory
            + &scsi()
            + &disk_item(1)
            + &nic_item(1, "Inside")
            + &nic_item(2, "Outside"),
    };
    let files = vec![File { name: "gateway.vmdk".to_owned(), content }];
    Package { name: "gateway", descriptor: parts.text(), files, manifest: Some("SHA1"), as_ova: true }
}

#[tokio::test]
async fn what_is_in_a_package_is_told_and_what_is_answered_arrives() {
    let lab = Lab::new().await;
    let ovf = lab.open(&appliance()).await.unwrap();
    let contents = ovf.contents();
    let product = contents.product.as_ref().unwrap();
    assert_eq!((product.name.as_str(), product.version.as_str(), product.vendor.as_str()), ("Gateway", "1.2", "Corp"));
    assert_eq!((contents.eulas[0].as_str(), contents.annotation.as_str()), ("Be nice.", "An appliance."));
    let networks: Vec<&str> = contents.networks.iter().map(|network| network.name.as_str()).collect();
    assert_eq!(networks, ["Inside", "Outside"]);
    let options: Vec<&str> = contents.deployment_options.iter().map(|option| option.key.as_str()).collect();
    assert_eq!((options, contents.deployment_option.as_str()), (vec!["small", "large"], "small"));
    let types: Vec<(&str, &str, bool)> =
        contents.properties.iter().map(|it| (it.key.as_str(), it.type_.as_str(), it.required)).collect();
    assert_eq!(
        types,
        [
            ("net.hostname", "string(1..15)", true),
            ("net.size", "string[small, large]", false),
            ("net.secret", "password(8..)", true),
            ("net.workers", "int(1..64)", false),
            ("net.ratio", "real", false),
            ("net.ssh", "boolean", false),
            ("net.debug", "string", false),
        ]
    );
    let deployed = ovf
        .deployment("gw-1")
        .option("large")
        .accept_eulas()
        .network("Inside", "VM Network")
        .network("Outside", "/DC0/network/VM Network")
        .property("net.hostname", "gw-1")
        .property("net.secret", "correct horse")
        .property("net.ssh", "true")
        .hidden_properties()
        .property("net.debug", "on")
        .power_on()
        .start()
        .await
        .unwrap();
    assert_eq!((deployed.vm.cpu, deployed.vm.memory_mb), (Some(8), Some(2048)));
    assert_eq!(deployed.vm.power_state, VirtualMachinePowerState::PoweredOn);
    let config = vm(&lab.client, &deployed).await.read(virtual_machine::CONFIG).await.unwrap();
    let application = config.unwrap().v_app_config.unwrap();
    let values: Vec<(&str, &str)> = application
        .property
        .iter()
        .filter_map(|it| Some((it.id.as_deref()?, it.value.as_deref().filter(|value| !value.is_empty())?)))
        .collect();
    assert_eq!(values, [("hostname", "gw-1"), ("secret", "correct horse"), ("ssh", "True"), ("debug", "on")]);
}

#[tokio::test]
async fn a_datastore_cluster_gives_its_member_with_most_space() {
    let lab = Lab::of(crate::package::model()).await;
    let client = &lab.client;
    let stores: Mo<Folder> = client.get("/DC0/datastore").await.unwrap();
    let pod: ManagedObjectReference = stores.create_storage_pod("pod").await.unwrap();
    let members = client.all::<vsphere_ops::managed::Datastore>().select(datastore::NAME).await.unwrap().into_vec();
    let members: Vec<ManagedObjectReference> = members.iter().map(|(store, _)| store.reference().clone()).collect();
    client.raw::<Folder>(&pod).move_into_folder_task(&members).await.unwrap();
    lab.sim.fill_datastore("DC0_DS0", 100 << 20).unwrap();
    let ovf = lab.open(&simple()).await.unwrap();
    let place = Placement { datastore: Some("pod".into()), ..Default::default() };
    let deployed = ovf.deployment("a").all_networks("VM Network").placed(place).start().await.unwrap();
    assert_eq!(deployed.vm.datastores, ["DC0_DS1"]);
}

#[tokio::test]
async fn a_host_without_vcenter_deploys_by_its_star() {
    let lab = Lab::of(vsphere_sim::Model::esxi()).await;
    let ovf = lab.open(&simple()).await.unwrap();
    let deployed = ovf.deployment("on-esxi").all_networks("VM Network").start().await.unwrap();
    assert_eq!(deployed.files, 1);
    assert_eq!(contents(&lab, "on-esxi").await, [sha256(&disk(1, 300_000))]);
}
