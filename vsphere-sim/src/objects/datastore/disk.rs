//! Virtual disks as files: a descriptor, and the extent beside it that has the data.

use std::sync::Arc;

use super::path;
use super::upload::Upload;

/// What the descriptor of a virtual disk says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// In bytes.
    pub(crate) capacity: i64,
    pub(crate) format: Format,
    pub(crate) adapter: Adapter,
    pub(crate) uuid: u128,
    /// The disk that it keeps the differences to, with its datastore: `[ds] vm/vm.vmdk`.
    pub(crate) parent: Option<Box<str>>,
    /// What a client sent as its content, as it was sent. Copies share it, and so does what keeps the differences to it:
    /// nothing that runs in the simulator writes.
    pub(crate) sent: Option<SentDisk>,
}

/// What a client sent as the content of a disk.
#[derive(Debug, Clone)]
pub(crate) struct SentDisk(pub(crate) Arc<Upload>);

impl From<Arc<Upload>> for SentDisk {
    fn from(upload: Arc<Upload>) -> Self {
        Self(upload)
    }
}

impl PartialEq for SentDisk {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SentDisk {}

/// How the blocks of a disk are had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// When they are first written.
    Thin,
    /// At once, and zeroed when they are first written.
    LazyZeroed,
    /// At once, and zeroed.
    EagerZeroed,
    /// The differences to another disk.
    Delta,
    /// As it is sent: compressed, in one file.
    Stream,
}

/// The controller that a disk was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adapter {
    LsiLogic,
    BusLogic,
    Ide,
}

impl Disk {
    /// A new disk of so many bytes.
    pub(crate) fn new(capacity: i64, format: Format) -> Self {
        Self { capacity, format, adapter: Adapter::LsiLogic, uuid: new_uuid(), parent: None, sent: None }
    }

    /// A new disk that keeps the differences to this one, whose path is in full.
    pub(crate) fn delta(&self, parent: &str) -> Self {
        Self { format: Format::Delta, uuid: new_uuid(), parent: Some(parent.into()), ..self.clone() }
    }

    /// The path of the extent of the disk whose descriptor has this path; `None` where all is in one file.
    pub(crate) fn extent(&self, descriptor: &str) -> Option<String> {
        let stem = descriptor.strip_suffix(".vmdk").unwrap_or(descriptor);
        match self.format {
            Format::Stream => None,
            Format::Delta => Some(format!("{stem}-sesparse.vmdk")),
            Format::Thin | Format::LazyZeroed | Format::EagerZeroed => Some(format!("{stem}-flat.vmdk")),
        }
    }

    /// The bytes that the extent takes when so many are written.
    pub(crate) fn takes(&self, written: i64) -> i64 {
        match self.format {
            Format::LazyZeroed | Format::EagerZeroed => self.capacity,
            Format::Thin | Format::Delta | Format::Stream => written.clamp(0, self.capacity),
        }
    }

    /// The UUID as a disk's backing has it: `6000C298-...`.
    pub(crate) fn uuid(&self) -> String {
        let hex = format!("{:032x}", self.uuid);
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
        let first = part(0, 8).replace('c', "C");
        [first, part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }

    /// The UUID as the disk manager and the descriptor write it: `60 00 C2 98 ... -...`.
    pub(crate) fn uuid_bytes(&self) -> String {
        let bytes: Vec<String> = self.uuid.to_be_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let (first, last) = bytes.split_at(8);
        format!("{}-{}", first.join(" "), last.join(" "))
    }

    /// The file, as a host writes it. `path` is the descriptor's own.
    pub(crate) fn descriptor(&self, path: &str) -> String {
        let sectors = self.capacity / SECTOR;
        let extent = self.extent(path).unwrap_or_else(|| path.to_owned());
        let (_, extent) = path::split(&extent);
        let (create_type, extent_type) = match self.format {
            Format::Delta => ("seSparse", "SESPARSE"),
            Format::Stream => ("streamOptimized", "SPARSE"),
            Format::Thin | Format::LazyZeroed | Format::EagerZeroed => ("vmfs", "VMFS"),
        };
        let parent_cid = if self.parent.is_some() { "fffffffe" } else { "ffffffff" };
        let mut text = format!(
            "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=fffffffe\nparentCID={parent_cid}\n\
             createType=\"{create_type}\"\n"
        );
        if let Some(parent) = &self.parent {
            text.push_str(&format!("parentFileNameHint=\"{}\"\n", path::split(parent).1));
        }
        text.push_str(&format!("\n# Extent description\nRW {sectors} {extent_type} \"{extent}\"\n\n"));
        text.push_str("# The Disk Data Base\n#DDB\n\n");
        let (cylinders, heads, per_track) = self.geometry();
        text.push_str(&format!("ddb.adapterType = \"{}\"\n", self.adapter.in_descriptor()));
        text.push_str(&format!("ddb.geometry.cylinders = \"{cylinders}\"\nddb.geometry.heads = \"{heads}\"\n"));
        text.push_str(&format!("ddb.geometry.sectors = \"{per_track}\"\n"));
        if self.format == Format::Thin {
            text.push_str("ddb.thinProvisioned = \"1\"\n");
        }
        text.push_str(&format!("ddb.uuid = \"{}\"\nddb.virtualHWVersion = \"21\"\n", self.uuid_bytes()));
        text
    }

    /// Cylinders, heads, sectors a track.
    pub(crate) fn geometry(&self) -> (i64, i32, i32) {
        let (heads, per_track) = match self.adapter {
            Adapter::Ide => (16, 63),
            Adapter::LsiLogic | Adapter::BusLogic if self.capacity < 1 << 30 => (64, 32),
            Adapter::LsiLogic | Adapter::BusLogic => (255, 63),
        };
        (self.capacity / SECTOR / i64::from(heads * per_track), heads, per_track)
    }

    /// The disk that a file is which starts with these bytes: a descriptor, or a disk in one sparse file.
    pub(crate) fn read(head: &[u8]) -> Option<Self> {
        if let Some(rest) = head.strip_prefix(b"KDMV") {
            let sectors = rest.get(8..16).and_then(|bytes| bytes.try_into().ok()).map(i64::from_le_bytes)?;
            return Some(Self::new(sectors.checked_mul(SECTOR).filter(|bytes| *bytes >= 0)?, Format::Stream));
        }
        let text = std::str::from_utf8(head).ok().filter(|text| text.starts_with("# Disk DescriptorFile"))?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('='))?;
            Some(line.trim().trim_matches('"').to_owned())
        };
        let mut extents =
            text.lines().filter_map(|line| line.strip_prefix("RW ")?.split(' ').next()?.parse::<i64>().ok());
        let sectors = extents.try_fold(0_i64, |sum, sectors| sum.checked_add(sectors.max(0)))?;
        let format =
            if value("ddb.thinProvisioned").as_deref() == Some("1") { Format::Thin } else { Format::LazyZeroed };
        let mut disk = Self::new(sectors.checked_mul(SECTOR)?, format);
        if let Some(adapter) = value("ddb.adapterType").as_deref().and_then(Adapter::parse) {
            disk.adapter = adapter;
        }
        if let Some(uuid) = value("ddb.uuid").as_deref().and_then(parse_uuid) {
            disk.uuid = uuid;
        }
        Some(disk)
    }
}

/// The bytes of a sector.
const SECTOR: i64 = 512;

impl Format {
    /// The name of a disk type in the API.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "thin" | "seSparse" | "sparse2Gb" | "delta" | "sparseMonolithic" => Some(Self::Thin),
            "preallocated" | "thick" | "thick2Gb" | "raw" | "flatMonolithic" => Some(Self::LazyZeroed),
            "eagerZeroedThick" => Some(Self::EagerZeroed),
            _ => None,
        }
    }

    /// Its name in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Thin => "thin",
            Self::LazyZeroed => "preallocated",
            Self::EagerZeroed => "eagerZeroedThick",
            Self::Delta => "seSparse",
            Self::Stream => "sparseMonolithic",
        }
    }
}

impl Adapter {
    /// The name of an adapter type in the API, or in a descriptor.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "lsilogic" => Some(Self::LsiLogic),
            "buslogic" => Some(Self::BusLogic),
            "ide" => Some(Self::Ide),
            _ => None,
        }
    }

    /// The type of the controller that the API tells.
    pub(crate) fn controller(self) -> &'static str {
        match self {
            Self::LsiLogic => "VirtualLsiLogicController",
            Self::BusLogic => "VirtualBusLogicController",
            Self::Ide => "VirtualIDEController",
        }
    }

    fn in_descriptor(self) -> &'static str {
        match self {
            Self::LsiLogic => "lsilogic",
            Self::BusLogic => "buslogic",
            Self::Ide => "ide",
        }
    }
}

/// A UUID as VMware gives it to disks: it starts with its own number.
fn new_uuid() -> u128 {
    0x6000_c290 << 96 | fastrand::u128(..) & ((1 << 100) - 1)
}

/// A UUID in any of the forms that clients write: hexadecimal digits with spaces and hyphens between.
pub(crate) fn parse_uuid(text: &str) -> Option<u128> {
    let digits: String = text.chars().filter(|digit| !matches!(digit, ' ' | '-')).collect();
    (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_read_as_it_was_written() {
        let mut disk = Disk::new(20 << 30, Format::Thin);
        disk.adapter = Adapter::BusLogic;
        let text = disk.descriptor("vm/a.vmdk");
        assert!(text.contains("RW 41943040 VMFS \"a-flat.vmdk\""), "{text}");
        assert_eq!(Disk::read(text.as_bytes()), Some(disk));
    }

    #[test]
    fn a_sparse_disk_tells_its_capacity_in_its_first_bytes() {
        let mut head = b"KDMV\x03\0\0\0\x01\0\x03\0".to_vec();
        head.extend(2048_u64.to_le_bytes());
        let disk = Disk::read(&head).unwrap();
        assert_eq!((disk.capacity, disk.format), (1 << 20, Format::Stream));
        assert_eq!(Disk::read(b"KDMV"), None);
        assert_eq!(Disk::read(b"\x7fELF"), None);
    }

    #[test]
    fn a_uuid_has_two_forms() {
        let mut disk = Disk::new(0, Format::Thin);
        disk.uuid = parse_uuid("60 00 C2 92 5b d2 75 56-4f 0f 2a 4b 16 0c 07 a5").unwrap();
        assert_eq!(disk.uuid(), "6000C292-5bd2-7556-4f0f-2a4b160c07a5");
        assert_eq!(disk.uuid_bytes(), "60 00 c2 92 5b d2 75 56-4f 0f 2a 4b 16 0c 07 a5");
        assert_eq!(parse_uuid("60 00"), None);
    }
}
