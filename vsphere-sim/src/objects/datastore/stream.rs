//! A disk as one compressed stream, as leases give it.
//!
//! The layout is that of "Virtual Disk Format 5.0": a header, the descriptor, the grains (none here: the disk is empty), the
//! directory, a footer, and the mark of the end.

const SECTOR: u64 = 512;
/// In sectors: 64 KiB.
const GRAIN: u64 = 128;
const ENTRIES: u64 = 512;
/// Where the descriptor is, in sectors, and how much room it has.
const DESCRIPTOR: (u64, u64) = (1, 20);

/// The whole stream of an empty disk of so many bytes.
pub(crate) fn empty(capacity: i64) -> Vec<u8> {
    let sectors = u64::try_from(capacity).unwrap_or_default().div_ceil(SECTOR);
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n\
         # Extent description\nRW {sectors} SPARSE \"disk.vmdk\"\n\n# The Disk Data Base\n#DDB\n\n\
         ddb.adapterType = \"lsilogic\"\nddb.virtualHWVersion = \"21\"\n"
    );
    let mut out = header(sectors, u64::MAX);
    out.extend(text.as_bytes());
    pad(&mut out, (DESCRIPTOR.0 + DESCRIPTOR.1) * SECTOR);
    let grains = (DESCRIPTOR.0 + DESCRIPTOR.1).next_multiple_of(GRAIN);
    pad(&mut out, grains * SECTOR);
    // One entry for each table of grains, all without one.
    let tables = sectors.div_ceil(GRAIN * ENTRIES);
    let directory = (tables * 4).div_ceil(SECTOR);
    marker(&mut out, directory, 2);
    let place = grains + 1;
    pad(&mut out, (place + directory) * SECTOR);
    marker(&mut out, 1, 3);
    out.extend(header(sectors, place));
    marker(&mut out, 0, 0);
    out
}

fn header(sectors: u64, directory: u64) -> Vec<u8> {
    let mut out = b"KDMV".to_vec();
    out.extend(3_u32.to_le_bytes());
    // A valid line end test, compressed grains, markers.
    out.extend(0x3_0001_u32.to_le_bytes());
    for number in [sectors, GRAIN, DESCRIPTOR.0, DESCRIPTOR.1] {
        out.extend(number.to_le_bytes());
    }
    out.extend(u32::try_from(ENTRIES).unwrap_or_default().to_le_bytes());
    for number in [0, directory, GRAIN] {
        out.extend(number.to_le_bytes());
    }
    out.push(0);
    out.extend(b"\n \r\n");
    out.extend(1_u16.to_le_bytes());
    pad(&mut out, SECTOR);
    out
}

fn marker(out: &mut Vec<u8>, sectors: u64, type_: u32) {
    let end = u64::try_from(out.len()).unwrap_or_default() + SECTOR;
    out.extend(sectors.to_le_bytes());
    out.extend(0_u32.to_le_bytes());
    out.extend(type_.to_le_bytes());
    pad(out, end);
}

fn pad(out: &mut Vec<u8>, to: u64) {
    let to = usize::try_from(to).unwrap_or(out.len());
    if to > out.len() {
        out.resize(to, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::datastore::disk::{Disk, Format};

    #[test]
    fn an_empty_disk_is_small_and_tells_its_capacity() {
        let stream = empty(10 << 30);
        assert!(stream.len() < 100_000, "{}", stream.len());
        assert_eq!(stream.len() % 512, 0);
        let disk = Disk::read(&stream).unwrap();
        assert_eq!((disk.capacity, disk.format), (10 << 30, Format::Stream));
        // The footer says where the directory is.
        let footer = &stream[stream.len() - 1024..][..512];
        assert_eq!(&footer[..4], b"KDMV");
        let directory = u64::from_le_bytes(footer[56..64].try_into().unwrap());
        assert_eq!(directory, 129);
    }
}
