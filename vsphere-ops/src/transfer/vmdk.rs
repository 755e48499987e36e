//! What kind of VMDK a file is, by its first bytes.
//!
//! A lease takes disks as one compressed stream ("streamOptimized"). Another kind fails late and on the server, as
//! `invalid sparse VMDK header` or a disk of an unknown type.

use std::fmt;

/// How many bytes tell.
pub(crate) const HEAD: usize = 79;

/// A file that a lease does not take as a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unfit(&'static str);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what) = self;
        write!(
            f,
            "{what}; a lease takes a streamOptimized VMDK (qemu-img convert -O vmdk -o subformat=streamOptimized)"
        )
    }
}

impl std::error::Error for Unfit {}

/// Checks the first [`HEAD`] bytes of a disk, or all that it has.
pub(crate) fn check(head: &[u8]) -> Result<(), Unfit> {
    const COMPRESSED_WITH_MARKERS: u32 = 0x3_0000;
    const DEFLATE: u16 = 1;
    if head.starts_with(b"# Disk DescriptorFile") {
        return Err(Unfit("the file is the descriptor of a VMDK, and its data are in other files"));
    }
    if head.starts_with(b"COWD") {
        return Err(Unfit("the file is a VMDK of ESX's own sparse kind"));
    }
    if !head.starts_with(b"KDMV") {
        return Err(Unfit("the file is no VMDK, or a flat one"));
    }
    let (Some(flags), Some(compression)) = (array(head, 8).map(u32::from_le_bytes), array(head, 77)) else {
        return Err(Unfit("the file is a VMDK that ends in its header"));
    };
    if flags & COMPRESSED_WITH_MARKERS != COMPRESSED_WITH_MARKERS || u16::from_le_bytes(compression) != DEFLATE {
        return Err(Unfit("the file is a VMDK of the sparse kind, not compressed for streaming"));
    }
    Ok(())
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: u32, compression: u16) -> Vec<u8> {
        let mut head = vec![0; 512];
        head[..4].copy_from_slice(b"KDMV");
        head[4] = 3;
        head[8..12].copy_from_slice(&flags.to_le_bytes());
        head[77..79].copy_from_slice(&compression.to_le_bytes());
        head
    }

    #[test]
    fn pitfall_22_only_stream_optimized_disks_pass() {
        assert_eq!(check(&header(0x3_0001, 1)), Ok(()));
        assert_eq!(check(&header(0x3_0001, 1)[..HEAD]), Ok(()));
        for (head, word) in [
            (header(0x3, 0), "sparse kind"),
            (header(0x3_0001, 0), "sparse kind"),
            (header(0x1_0001, 1), "sparse kind"),
            (header(0x3_0001, 1)[..HEAD - 1].to_vec(), "ends in its header"),
            (b"# Disk DescriptorFile\nversion=1\n".to_vec(), "descriptor"),
            (b"COWD\x01".to_vec(), "ESX's own"),
            (vec![0; 512], "no VMDK"),
            (Vec::new(), "no VMDK"),
        ] {
            let text = check(&head).unwrap_err().to_string();
            assert!(text.contains(word) && text.contains("streamOptimized"), "{text}");
        }
    }
}
