//! The descriptor of a machine that is exported.

use std::fmt::Write as _;

use vsphere_model::types::{
    Description, OvfCreateDescriptorParams, OvfCreateDescriptorResult, OvfFile, OvfUnknownDevice, Poly, VirtualDevice,
    VirtualDisk, VirtualMachineConfigInfo,
};

use crate::fault::{Fault, Outcome};
use crate::objects::lease::{Part, parts};
use crate::objects::vm::Vm;
use crate::objects::vm::hardware::Kind;
use crate::objects::vm::snapshot::Snapshot;
use crate::world::{Moref, World};

/// What `OvfManager.CreateDescriptor` answers.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(super) fn create(
    world: &World,
    vm: &Moref,
    params: &OvfCreateDescriptorParams,
) -> Outcome<OvfCreateDescriptorResult> {
    let machine = world.get::<Vm>(vm)?;
    let config = match &params.snapshot {
        Some(snapshot) => &world.get::<Snapshot>(snapshot)?.config,
        None => &machine.config,
    };
    let mut result =
        OvfCreateDescriptorResult { include_image_files: params.include_image_files, ..Default::default() };
    let parts = parts(world, vm, config);
    for file in &params.ovf_files {
        if !parts.iter().any(|part| part.key == file.device_id) {
            let fault = OvfUnknownDevice::default();
            let message = format!("There is no device '{}'.", file.device_id);
            result.error.push(Fault::new(fault, message).localized());
        }
    }
    let images = params.include_image_files == Some(true);
    let all: Vec<(&Part, OvfFile)> = parts
        .iter()
        .filter(|part| !part.is_image || images)
        .filter_map(|part| Some((part, file_of(part, &params.ovf_files)?)))
        .collect();
    let name = params.name.clone().unwrap_or_else(|| config.name.clone());
    result.ovf_descriptor = Writing { world, config, files: &all, name: &name }.text(params.description.as_deref());
    Ok(result)
}

/// The file of a part: an empty list names them all, another one is what is wanted.
fn file_of(part: &Part, asked: &[OvfFile]) -> Option<OvfFile> {
    if asked.is_empty() {
        return Some(OvfFile { device_id: part.key.clone(), path: part.name.clone(), ..Default::default() });
    }
    asked.iter().find(|file| file.device_id == part.key).cloned()
}

struct Writing<'a> {
    world: &'a World,
    config: &'a VirtualMachineConfigInfo,
    files: &'a [(&'a Part, OvfFile)],
    name: &'a str,
}

impl Writing<'_> {
    fn text(&self, description: Option<&str>) -> String {
        let mut out = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <Envelope vmw:buildId=\"build-1\" xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" \
             xmlns:cim=\"http://schemas.dmtf.org/wbem/wscim/1/common\" xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\" \
             xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData\" \
             xmlns:vmw=\"http://www.vmware.com/schema/ovf\" \
             xmlns:vssd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n  <References>\n",
        );
        for (number, (_, file)) in self.files.iter().enumerate() {
            let _ = writeln!(
                out,
                "    <File ovf:href=\"{}\" ovf:id=\"file{}\" ovf:size=\"{}\"/>",
                escaped(&file.path),
                number + 1,
                file.size
            );
        }
        out.push_str("  </References>\n  <DiskSection>\n    <Info>Virtual disk information</Info>\n");
        for (number, disk) in self.disks().enumerate() {
            let reference = self.reference(disk.key).map(|id| format!(" ovf:fileRef=\"{id}\"")).unwrap_or_default();
            let capacity = disk.downcast_ref::<VirtualDisk>().map_or(0, |disk| disk.capacity_in_kb * 1024);
            let _ = writeln!(
                out,
                "    <Disk ovf:capacity=\"{capacity}\" ovf:capacityAllocationUnits=\"byte\" ovf:diskId=\"vmdisk{}\"{reference} \
                 ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized\"/>",
                number + 1
            );
        }
        out.push_str("  </DiskSection>\n  <NetworkSection>\n    <Info>The list of logical networks</Info>\n");
        let mut networks: Vec<String> = self.devices(Kind::Nic).map(|card| self.network(card)).collect();
        networks.dedup();
        for network in &networks {
            let name = escaped(network);
            let _ = writeln!(
                out,
                "    <Network ovf:name=\"{name}\">\n      <Description>The {name} network</Description>\n    </Network>"
            );
        }
        let _ = write!(
            out,
            "  </NetworkSection>\n  <VirtualSystem ovf:id=\"{0}\">\n    <Info>A virtual machine</Info>\n    <Name>{0}</Name>\n",
            escaped(self.name)
        );
        if let Some(description) = description.filter(|text| !text.is_empty()) {
            let _ = writeln!(
                out,
                "    <AnnotationSection>\n      <Info>A human-readable annotation</Info>\n      <Annotation>{}</Annotation>\n    \
                 </AnnotationSection>",
                escaped(description)
            );
        }
        let _ = writeln!(
            out,
            "    <OperatingSystemSection ovf:id=\"1\" vmw:osType=\"{}\">\n      <Info>The kind of installed guest operating \
             system</Info>\n    </OperatingSystemSection>",
            escaped(&self.config.guest_id)
        );
        self.application(&mut out);
        self.hardware(&mut out);
        out.push_str("  </VirtualSystem>\n</Envelope>\n");
        out
    }

    fn application(&self, out: &mut String) {
        let Some(application) = &self.config.v_app_config else { return };
        for eula in &application.eula {
            let _ = writeln!(
                out,
                "    <EulaSection>\n      <Info>A license</Info>\n      <License>{}</License>\n    </EulaSection>",
                escaped(eula)
            );
        }
        for product in &application.product {
            let text = |text: &Option<String>| escaped(text.as_deref().unwrap_or_default());
            let _ = writeln!(
                out,
                "    <ProductSection ovf:class=\"{}\" ovf:instance=\"{}\">\n      <Info>Information about the installed \
                 software</Info>\n      <Product>{}</Product>\n      <Vendor>{}</Vendor>\n      <Version>{}</Version>",
                text(&product.class_id),
                text(&product.instance_id),
                text(&product.name),
                text(&product.vendor),
                text(&product.version)
            );
            let own = |it: &&vsphere_model::types::VAppPropertyInfo| {
                it.class_id == product.class_id && it.instance_id == product.instance_id
            };
            for property in application.property.iter().filter(own) {
                let type_ = property.type_.as_deref().unwrap_or_default();
                let (base, password) = match type_.split(['(', '[']).next() {
                    Some("password") => ("string", " ovf:password=\"true\""),
                    Some("int") => ("int32", ""),
                    Some("real") => ("real64", ""),
                    Some(base) => (base, ""),
                    None => ("string", ""),
                };
                let _ = writeln!(
                    out,
                    "      <Property ovf:key=\"{}\" ovf:type=\"{base}\"{password} ovf:userConfigurable=\"{}\" \
                     ovf:value=\"{}\">\n        <Label>{}</Label>\n        <Description>{}</Description>\n      </Property>",
                    text(&property.id),
                    property.user_configurable == Some(true),
                    if password.is_empty() { text(&property.default_value) } else { String::new() },
                    text(&property.label),
                    text(&property.description)
                );
            }
            out.push_str("    </ProductSection>\n");
        }
    }

    fn hardware(&self, out: &mut String) {
        let transports = self.config.v_app_config.as_ref().map(|it| it.ovf_environment_transport.join(" "));
        let transports = transports.filter(|names| !names.is_empty());
        let transports = transports.map(|names| format!(" ovf:transport=\"{}\"", escaped(&names))).unwrap_or_default();
        let _ = writeln!(
            out,
            "    <VirtualHardwareSection{transports}>\n      <Info>Virtual hardware requirements</Info>\n      <System>\n        \
             <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>\n        <vssd:InstanceID>0</vssd:InstanceID>\n        \
             <vssd:VirtualSystemType>{}</vssd:VirtualSystemType>\n      </System>",
            escaped(&self.config.version)
        );
        let hardware = &self.config.hardware;
        let mut item = |lines: &[(&str, String)]| {
            out.push_str("      <Item>\n");
            for (name, text) in lines {
                let _ = writeln!(out, "        <rasd:{name}>{}</rasd:{name}>", escaped(text));
            }
            out.push_str("      </Item>\n");
        };
        item(&[
            ("AllocationUnits", "hertz * 10^6".to_owned()),
            ("ElementName", format!("{} virtual CPU(s)", hardware.num_cpu)),
            ("InstanceID", "1".to_owned()),
            ("ResourceType", "3".to_owned()),
            ("VirtualQuantity", hardware.num_cpu.to_string()),
        ]);
        item(&[
            ("AllocationUnits", "byte * 2^20".to_owned()),
            ("ElementName", format!("{}MB of memory", hardware.memory_mb)),
            ("InstanceID", "2".to_owned()),
            ("ResourceType", "4".to_owned()),
            ("VirtualQuantity", hardware.memory_mb.to_string()),
        ]);
        for device in &hardware.device {
            let (number, sub_type) = match Kind::of(device) {
                Kind::Ide => ("5", ""),
                Kind::Scsi => ("6", scsi(device.type_name())),
                Kind::Sata => ("20", "vmware.sata.ahci"),
                Kind::Nvme => ("1", "vmware.nvme.controller"),
                _ => continue,
            };
            let bus = device.downcast_ref::<vsphere_model::types::VirtualController>().map_or(0, |it| it.bus_number);
            item(&[
                ("Address", bus.to_string()),
                ("ElementName", label(device)),
                ("InstanceID", device.key.to_string()),
                ("ResourceSubType", sub_type.to_owned()),
                ("ResourceType", number.to_owned()),
            ]);
        }
        for (number, disk) in self.disks().enumerate() {
            item(&[
                ("AddressOnParent", disk.unit_number.unwrap_or_default().to_string()),
                ("ElementName", label(disk)),
                ("HostResource", format!("ovf:/disk/vmdisk{}", number + 1)),
                ("InstanceID", disk.key.to_string()),
                ("Parent", disk.controller_key.unwrap_or_default().to_string()),
                ("ResourceType", "17".to_owned()),
            ]);
        }
        for drive in self.devices(Kind::Cdrom) {
            let mut lines = vec![
                ("AddressOnParent", drive.unit_number.unwrap_or_default().to_string()),
                ("ElementName", label(drive)),
            ];
            lines.extend(self.reference(drive.key).map(|id| ("HostResource", format!("ovf:/file/{id}"))));
            lines.extend([
                ("InstanceID", drive.key.to_string()),
                ("Parent", drive.controller_key.unwrap_or_default().to_string()),
                ("ResourceType", "15".to_owned()),
            ]);
            item(&lines);
        }
        for card in self.devices(Kind::Nic) {
            let kind = card.type_name().trim_start_matches("Virtual");
            item(&[
                ("AutomaticAllocation", "true".to_owned()),
                ("Connection", self.network(card)),
                ("ElementName", label(card)),
                ("InstanceID", card.key.to_string()),
                ("ResourceSubType", kind.replace("Vmxnet3", "VmxNet3")),
                ("ResourceType", "10".to_owned()),
            ]);
        }
        let firmware = escaped(self.config.firmware.as_deref().unwrap_or("bios"));
        let _ =
            writeln!(out, "      <vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" vmw:value=\"{firmware}\"/>");
        if let Some(place) = self.files.iter().position(|(part, _)| part.device.is_none()) {
            let _ = writeln!(
                out,
                "      <vmw:ExtraConfig ovf:required=\"false\" vmw:key=\"nvram\" vmw:value=\"ovf:/file/file{}\"/>",
                place + 1
            );
        }
        out.push_str("    </VirtualHardwareSection>\n");
    }

    fn devices(&self, kind: Kind) -> impl Iterator<Item = &Poly<VirtualDevice>> {
        self.config.hardware.device.iter().filter(move |device| Kind::of(device) == kind)
    }

    fn disks(&self) -> impl Iterator<Item = &Poly<VirtualDevice>> {
        self.devices(Kind::Disk)
    }

    /// The id of the file that a device's content is in.
    fn reference(&self, key: i32) -> Option<String> {
        let place = self.files.iter().position(|(part, _)| part.device == Some(key))?;
        Some(format!("file{}", place + 1))
    }

    fn network(&self, card: &VirtualDevice) -> String {
        let network = crate::objects::vm::hardware::network_anywhere(self.world, card);
        network.map(|network| self.world.name_of(&network)).unwrap_or_default()
    }
}

fn label(device: &VirtualDevice) -> String {
    let info = device.device_info.as_ref().and_then(|info| info.downcast_ref::<Description>());
    info.map(|info| info.label.clone()).unwrap_or_default()
}

fn scsi(type_: &str) -> &'static str {
    match type_ {
        "ParaVirtualSCSIController" => "VirtualSCSI",
        "VirtualBusLogicController" => "buslogic",
        "VirtualLsiLogicSASController" => "lsilogicsas",
        _ => "lsilogic",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
