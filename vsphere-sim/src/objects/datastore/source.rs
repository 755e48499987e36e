//! What a reader gets of a file: what somebody sent, or what a host would have written.

use std::fs;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use vsphere_model::types::{VirtualDeviceFileBackingInfo, VirtualDisk, VirtualEthernetCard, VirtualMachineConfigInfo};

use super::Datastore;
use super::checksum::Algorithm;
use super::files::Content;
use super::upload::Upload;
use crate::objects::vm::Vm;
use crate::world::{Moref, World};

/// What a reader gets of a file.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// So many zeros.
    Zeros(u64),
    Text(Bytes),
    /// What somebody sent, with its length.
    Sent(Arc<Upload>, u64),
}

/// The longest text that is made for a reader, in bytes.
const LONGEST: usize = 1 << 20;

impl Source {
    /// The content of the file at a path; `None` where there is none, or a folder.
    pub(crate) fn open(world: &World, datastore: &Moref, path: &str) -> Option<Self> {
        let found = world.get::<Datastore>(datastore).ok()?;
        let file = found.find(path)?;
        let size = u64::try_from(file.size).unwrap_or_default();
        match &file.content {
            Content::Folder => None,
            Content::Disk(disk) => Some(Self::Text(disk.descriptor(path).into())),
            Content::Sent(sent) => Some(Self::Sent(Arc::clone(&sent.upload), size)),
            Content::Made => Some(match path.rsplit_once('.').unwrap_or_default().1 {
                "vmx" | "vmtx" => match machine(world, found, path) {
                    Some(vm) => Self::Text(configuration(&vm.config).into()),
                    None => Self::Zeros(size),
                },
                "log" => Self::Text(log(usize::try_from(size).unwrap_or(LONGEST).min(LONGEST)).into()),
                _ => Self::Zeros(size),
            }),
        }
    }

    /// In bytes.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Zeros(length) | Self::Sent(_, length) => *length,
            Self::Text(text) => u64::try_from(text.len()).unwrap_or(u64::MAX),
        }
    }

    /// Reads it from its beginning.
    ///
    /// # Errors
    /// What was sent can't be opened.
    pub(crate) fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Zeros(length) => Box::new(io::repeat(0).take(*length)),
            Self::Text(text) => Box::new(io::Cursor::new(text.clone())),
            Self::Sent(upload, length) => Box::new(fs::File::open(upload.path())?.take(*length)),
        })
    }

    /// Its checksum. All of it is read for that.
    ///
    /// # Errors
    /// What was sent can't be read.
    pub(crate) fn checksum(&self, algorithm: Algorithm) -> io::Result<String> {
        match self {
            Self::Sent(upload, _) => upload.checksum(algorithm),
            other => algorithm.of(other.reader()?),
        }
    }
}

/// The machine whose configuration file has this path.
fn machine<'w>(world: &'w World, datastore: &Datastore, path: &str) -> Option<&'w Vm> {
    let full = datastore.path(path);
    let mut vms = datastore.vms.iter().filter_map(|vm| world.get::<Vm>(vm).ok());
    vms.find(|vm| vm.config.files.vm_path_name.as_deref() == Some(&full))
}

/// A configuration file, as a host writes it.
fn configuration(config: &VirtualMachineConfigInfo) -> String {
    let mut text = String::from(".encoding = \"UTF-8\"\nconfig.version = \"8\"\n");
    let mut line = |key: &str, value: &str| {
        // A quotation mark and what is not printable are written by their codes, as `|22`.
        let coded = |character: char| match character {
            '"' | '|' => format!("|{:02X}", u32::from(character)),
            other if other.is_control() => format!("|{:02X}", u32::from(other)),
            other => other.to_string(),
        };
        let value: String = value.chars().map(coded).collect();
        text.push_str(&format!("{key} = \"{value}\"\n"));
    };
    line("virtualHW.version", config.version.trim_start_matches("vmx-"));
    line("displayName", &config.name);
    line("guestOS", config.guest_id.trim_end_matches("Guest"));
    line("uuid.bios", &config.uuid);
    line("vc.uuid", config.instance_uuid.as_deref().unwrap_or_default());
    line("numvcpus", &config.hardware.num_cpu.to_string());
    line("memSize", &config.hardware.memory_mb.to_string());
    line("firmware", config.firmware.as_deref().unwrap_or("bios"));
    let mut cards = 0;
    for device in &config.hardware.device {
        let unit = device.unit_number.unwrap_or_default();
        if device.is::<VirtualEthernetCard>() {
            let kind = device.type_name().trim_start_matches("Virtual").to_lowercase();
            let address = device.downcast_ref::<VirtualEthernetCard>().and_then(|card| card.mac_address.as_deref());
            line(&format!("ethernet{cards}.present"), "TRUE");
            line(&format!("ethernet{cards}.virtualDev"), &kind);
            line(&format!("ethernet{cards}.address"), address.unwrap_or_default());
            cards += 1;
        } else if device.is::<VirtualDisk>() {
            let backing = device.backing.as_ref();
            let backing = backing.and_then(|backing| backing.downcast_ref::<VirtualDeviceFileBackingInfo>());
            let file = backing.map(|backing| backing.file_name.as_str()).unwrap_or_default();
            let bus = device.controller_key.unwrap_or_default() % 100;
            line(&format!("scsi{bus}:{unit}.present"), "TRUE");
            line(&format!("scsi{bus}:{unit}.fileName"), super::path::split(file).1);
        }
    }
    for option in &config.extra_config {
        if let Some(value) = option.value.as_ref().and_then(|value| value.as_str()) {
            line(&option.key, value);
        }
    }
    text
}

/// So many bytes of a log: nobody wrote one.
fn log(size: usize) -> String {
    let mut text = String::with_capacity(size + 80);
    let mut second = 0;
    while text.len() < size {
        text.push_str(&format!("{second:>8}s In(05) vmx - The simulated machine is as it was.\n"));
        second += 30;
    }
    text.truncate(size);
    text
}
