//! OVF packages and leases: what the server refuses, and what it keeps.

use base64::Engine as _;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use vsphere_model::managed::{HttpNfcLease, OvfManager, ResourcePool, VirtualMachine};
use vsphere_model::types::{
    HttpNfcLeaseInfo, HttpNfcLeaseSourceFile, KeyValue, ManagedObjectReference, OvfCreateImportSpecParams,
    OvfCreateImportSpecResult, OvfNetworkMapping, Poly, VirtualMachineImportSpec,
};
use vsphere_sim::{Model, Size};
use vsphere_soap::http::{FileCall, FileLocation, SendMethod, Transport, TransportOptions, Trust};

use crate::support::{Lab, fault};

/// A descriptor with one disk, one network and a required property.
pub(crate) fn descriptor(size: usize) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References><File ovf:href="web.vmdk" ovf:id="file1" ovf:size="{size}"/></References>
  <DiskSection><Info>Disks</Info><Disk ovf:capacity="64" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
  <NetworkSection><Info>Networks</Info><Network ovf:name="Front"><Description>Front</Description></Network></NetworkSection>
  <VirtualSystem ovf:id="web"><Info>A VM</Info><Name>web</Name>
    <OperatingSystemSection ovf:id="96" vmw:osType="debian12_64Guest"><Info>Guest</Info></OperatingSystemSection>
    <ProductSection><Info>Product</Info><Product>Web</Product>
      <Property ovf:key="hostname" ovf:type="string" ovf:qualifiers="MinLen(1)" ovf:userConfigurable="true"/>
      <Property ovf:key="debug" ovf:type="string" ovf:userConfigurable="false" ovf:value="off"/>
    </ProductSection>
    <VirtualHardwareSection><Info>Hardware</Info>
      <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>512</rasd:VirtualQuantity></Item>
      <Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:Connection>Front</rasd:Connection><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#
    )
}

/// A disk for streaming by its first bytes.
pub(crate) fn disk(seed: u32, length: u32) -> Vec<u8> {
    let words = (0..length.div_ceil(4)).flat_map(|n| (n ^ seed).wrapping_mul(2_654_435_761).to_le_bytes());
    let mut bytes: Vec<u8> = words.take(length as usize).collect();
    bytes[..80].fill(0);
    bytes[..9].copy_from_slice(b"KDMV\x03\0\0\0\x01");
    (bytes[10], bytes[14], bytes[77]) = (3, 2, 1);
    bytes
}

struct Packages {
    lab: Lab,
    pool: ResourcePool,
    folder: ManagedObjectReference,
}

impl Packages {
    async fn new() -> Self {
        let lab = Lab::new(Model::sized(Size { datastores: 1, vms: 0, ..Size::default() })).await;
        let site = lab.site().await;
        let pool = lab.object(&site.pool);
        let folder = lab.at("/DC0/vm").await;
        Self { lab, pool, folder }
    }

    async fn spec(&self, text: &str, change: impl FnOnce(&mut OvfCreateImportSpecParams)) -> OvfCreateImportSpecResult {
        let manager: OvfManager = self.lab.object(self.lab.content.ovf_manager.as_ref().unwrap());
        let network = self.lab.at("/DC0/network/VM Network").await;
        let mut params = OvfCreateImportSpecParams {
            entity_name: "web".to_owned(),
            network_mapping: vec![OvfNetworkMapping { name: "Front".to_owned(), network }],
            ..Default::default()
        };
        change(&mut params);
        let store = self.lab.at("/DC0/datastore/DC0_DS0").await;
        let pool = self.lab.site().await.pool;
        manager.create_import_spec(text, &pool, &store, &Poly::new(params)).await.unwrap()
    }

    async fn import(&self, spec: OvfCreateImportSpecResult) -> HttpNfcLease {
        assert!(spec.error.is_empty(), "{:?}", spec.error);
        let lease = self.pool.import_v_app(&spec.import_spec.unwrap(), Some(&self.folder), None).await.unwrap();
        self.lab.object(&lease)
    }

    async fn info(&self, lease: &HttpNfcLease) -> HttpNfcLeaseInfo {
        self.lab.get(lease, vsphere_model::managed::http_nfc_lease::INFO).await.unwrap()
    }

    async fn send(&self, url: &str, method: SendMethod, content: &[u8]) -> vsphere_soap::Result<()> {
        let location = FileLocation::parse(url, &self.lab.sim.url().parse().unwrap()).unwrap();
        let pieces = stream::iter([Ok(Bytes::copy_from_slice(content))]);
        let call = FileCall::new("send", &location.path).method(method);
        self.transport().upload(call, pieces, Some(content.len() as u64)).await
    }

    async fn fetch(&self, url: &str) -> vsphere_soap::Result<Vec<u8>> {
        let location = FileLocation::parse(url, &self.lab.sim.url().parse().unwrap()).unwrap();
        let file = self.transport().download(FileCall::new("fetch", &location.path)).await?;
        let pieces: Vec<Bytes> = file.boxed().try_collect().await?;
        Ok(pieces.concat())
    }

    fn transport(&self) -> Transport {
        let trust = TransportOptions::new().trust(Trust::Thumbprint(self.lab.sim.thumbprint().unwrap()));
        Transport::new(self.lab.sim.url().parse().unwrap(), trust).unwrap()
    }

    async fn state(&self, lease: &HttpNfcLease) -> String {
        self.lab.get(lease, vsphere_model::managed::http_nfc_lease::STATE).await.as_str().to_owned()
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_descriptor_is_told_with_the_specification() {
    let packages = Packages::new().await;
    let good = descriptor(1000);
    for (text, option, fault) in [
        ("not XML".to_owned(), "", "OvfXmlFormat"),
        ("<!DOCTYPE a><Envelope/>".to_owned(), "", "OvfXmlFormat"),
        (good.clone(), "huge", "OvfXmlFormat"),
        (good.replace(">17<", ">999<"), "", "OvfUnsupportedType"),
        (good.replace("ovf:/disk/vmdisk1", "ovf:/disk/none"), "", "OvfInvalidValue"),
        (good.replace("Parent>3<", "Parent>33<"), "", "OvfInvalidValueReference"),
        (good.replace("Connection>Front<", "Connection>Back<"), "", "OvfInvalidValue"),
    ] {
        let made = packages.spec(&text, |params| params.deployment_option = option.to_owned()).await;
        assert!(made.import_spec.is_none());
        assert_eq!(made.error[0].fault.type_name(), fault, "{:?}", made.error);
    }
    let made = packages.spec(&good, |params| params.disk_provisioning = Some("thinnest".to_owned())).await;
    assert_eq!(made.error[0].fault.type_name(), "OvfUnsupportedDiskProvisioning");
    // A network that is not mapped is some standard one, and of several kinds of adapters the known one is taken.
    let made =
        packages.spec(&good.replace(">VmxNet3<", ">virtio VMXNET3<"), |params| params.network_mapping.clear()).await;
    assert!(made.error.is_empty());
    assert_eq!(made.file_item[0].device_id, "/web/ParaVirtualSCSIController0:0");
    assert!(!made.file_item[0].create);
}

#[tokio::test]
async fn a_lease_takes_what_it_is_for_and_says_what_it_got() {
    let packages = Packages::new().await;
    let content = disk(1, 50_000);
    let lease = packages.import(packages.spec(&descriptor(content.len()), |_| ()).await).await;
    let info = packages.info(&lease).await;
    let url = &info.device_url.iter().find(|device| device.disk == Some(true)).unwrap().url;
    let vm: VirtualMachine = packages.lab.object(&info.entity);
    // It has the VM to itself.
    assert_eq!(fault(vm.power_on_vm_task(None)).await, "TaskInProgress");
    for (url, method, body, status) in [
        (url.replace("/nfc/", "/nfc/0"), SendMethod::Post, &content[..], 404),
        (url.replace(".vmdk", ".iso"), SendMethod::Replace, &content[..], 404),
        (url.clone(), SendMethod::Post, &[0; 600][..], 500),
        (url.clone(), SendMethod::Replace, &content[..], 405),
    ] {
        let error = packages.send(&url, method, body).await.unwrap_err();
        assert_eq!(error.status(), Some(status), "{error}");
    }
    let key = |device: &str| info.device_url.iter().find(|url| url.key.ends_with(device)).unwrap().key.clone();
    let types = [KeyValue { key: key("0:0"), value: "sha256".to_owned() }];
    lease.http_nfc_lease_set_manifest_checksum_type(&types).await.unwrap();
    packages.send(url, SendMethod::Post, &content).await.unwrap();
    assert_eq!(fault(lease.http_nfc_lease_set_manifest_checksum_type(&types)).await, "InvalidState");
    let manifest = lease.http_nfc_lease_get_manifest().await.unwrap();
    assert_eq!((manifest.len(), manifest[0].size, manifest[0].checksum_type.as_deref()), (1, 50_000, Some("sha256")));
    assert_eq!(manifest[0].checksum.as_ref().map(String::len), Some(64));
    assert_eq!(fault(lease.http_nfc_lease_progress(101)).await, "InvalidArgument");
    lease.http_nfc_lease_progress(100).await.unwrap();
    lease.http_nfc_lease_complete().await.unwrap();
    assert_eq!(packages.state(&lease).await, "done");
    assert_eq!(fault(lease.http_nfc_lease_complete()).await, "InvalidState");
    assert_eq!(packages.fetch(url).await.unwrap_err().status(), Some(404));

    // What was sent comes back, also from a copy; an empty disk is a small stream.
    let export: HttpNfcLease = packages.lab.object(&vm.export_vm().await.unwrap());
    let info = packages.info(&export).await;
    assert!(packages.fetch(&info.device_url[0].url).await.unwrap() == content);
    assert_eq!(packages.fetch(&info.device_url[1].url).await.unwrap().len(), 265 << 10, "nvram");
    export.http_nfc_lease_abort(None).await.unwrap();
    // A property that must have a value has none.
    let error = packages.lab.task(vm.power_on_vm_task(None)).await.unwrap().error.unwrap();
    assert_eq!(error.fault.type_name(), "VAppPropertyFault");
    assert!(error.localized_message.unwrap().contains("'hostname' must be configured"), "{:?}", error.fault);
}

#[tokio::test]
async fn a_lease_that_fails_takes_its_vm_with_it() {
    let packages = Packages::new().await;
    let lease = packages.import(packages.spec(&descriptor(1000), |_| ()).await).await;
    let url = packages.info(&lease).await.device_url[0].url.clone();
    lease.http_nfc_lease_abort(None).await.unwrap();
    assert_eq!(packages.state(&lease).await, "error");
    assert_eq!(packages.send(&url, SendMethod::Post, &disk(1, 1000)).await.unwrap_err().status(), Some(404));
    assert!(packages.lab.all_of("VirtualMachine").await.is_empty());

    let text = descriptor(1000);
    let hidden = packages.spec(&text, |params| {
        params.property_mapping = vec![KeyValue { key: "debug".to_owned(), value: "on".to_owned() }];
    });
    let mut hidden = hidden.await;
    let lease = packages.import(hidden.clone()).await;
    assert_eq!(packages.state(&lease).await, "error");
    let error = packages.lab.get(&lease, vsphere_model::managed::http_nfc_lease::ERROR).await.unwrap();
    assert_eq!(error.fault.type_name(), "NotUserConfigurableProperty");
    assert!(packages.lab.all_of("VirtualMachine").await.is_empty());
    // It may be set where the specification says so.
    let spec = hidden.import_spec.as_mut().unwrap().downcast_mut::<VirtualMachineImportSpec>().unwrap();
    for change in &mut spec.config_spec.v_app_config.as_mut().unwrap().property {
        change.info.as_mut().unwrap().user_configurable = Some(true);
    }
    let lease = packages.import(hidden).await;
    assert_eq!(packages.state(&lease).await, "ready");
}

#[tokio::test]
async fn a_lease_fetches_its_files_by_itself_from_whom_it_was_told_to_trust() {
    let packages = Packages::new().await;
    let content = disk(7, 300_000);
    // The simulator's own datastore is the web server: over TLS, and with a header.
    let sim = &packages.lab.sim;
    let thumbprint = sim.thumbprint().unwrap().to_string();
    let config =
        vsphere_ops::Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD).thumbprint(&thumbprint);
    let client = vsphere_ops::Client::connect(config).await.unwrap();
    let store = client.get::<vsphere_ops::managed::Datastore>("DC0_DS0").await.unwrap();
    let pieces = stream::iter([Ok(Bytes::from(content.clone()))]);
    store.upload("source/web.vmdk").from_stream(pieces, 300_000).await.unwrap();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", Model::USER, Model::PASSWORD));
    let certificate = sim.certificate().unwrap().to_owned();

    let spec = packages.spec(&descriptor(content.len()), |_| ()).await;
    let device = spec.file_item[0].device_id.clone();
    let lease = packages.import(spec).await;
    let capabilities = packages.lab.get(&lease, vsphere_model::managed::http_nfc_lease::CAPABILITIES).await.unwrap();
    assert!(capabilities.pull_mode_supported);
    let good = || HttpNfcLeaseSourceFile {
        target_device_id: device.clone(),
        url: format!("https://{}/folder/source/web.vmdk?dcPath=DC0&dsName=DC0_DS0", sim.address()),
        ssl_thumbprint: Some(thumbprint.clone()),
        http_headers: vec![KeyValue { key: "Authorization".into(), value: format!("Basic {basic}") }],
        ..Default::default()
    };
    for file in [
        HttpNfcLeaseSourceFile { target_device_id: "/web/none".into(), ..good() },
        HttpNfcLeaseSourceFile { ssl_certificate: Some(certificate.clone()), ..good() },
        HttpNfcLeaseSourceFile { url: "ftp://127.0.0.1/web.vmdk".into(), ..good() },
        HttpNfcLeaseSourceFile { create: true, ..good() },
    ] {
        assert_eq!(fault(lease.http_nfc_lease_pull_from_urls_task(&[file])).await, "InvalidArgument");
    }
    for (file, named) in [
        (HttpNfcLeaseSourceFile { ssl_thumbprint: Some("00".repeat(32)), ..good() }, "SSLVerifyFault"),
        (HttpNfcLeaseSourceFile { ssl_thumbprint: None, ..good() }, "SSLVerifyFault"),
        (HttpNfcLeaseSourceFile { http_headers: Vec::new(), ..good() }, "HttpFault"),
        (HttpNfcLeaseSourceFile { url: good().url.replace("web.vmdk", "none.vmdk"), ..good() }, "HttpFault"),
    ] {
        packages.lab.task_fault(lease.http_nfc_lease_pull_from_urls_task(&[file]), named).await;
        assert!(lease.http_nfc_lease_get_manifest().await.unwrap().is_empty(), "{named}");
    }
    let by_certificate = HttpNfcLeaseSourceFile { ssl_thumbprint: None, ssl_certificate: Some(certificate), ..good() };
    for file in [good(), by_certificate] {
        packages.lab.run(lease.http_nfc_lease_pull_from_urls_task(&[file])).await;
        let seen = lease.http_nfc_lease_get_manifest().await.unwrap();
        assert_eq!((seen.len(), seen[0].size, seen[0].sha1.len()), (1, 300_000, 40));
    }
    lease.http_nfc_lease_complete().await.unwrap();
    let ended = lease.http_nfc_lease_pull_from_urls_task(&[good()]);
    assert_eq!(fault(ended).await, "InvalidState");
}
