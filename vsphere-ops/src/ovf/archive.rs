//! The members of an OVA: a tar archive of which only the heads are read, wherever the archive is.
//!
//! The crate `tar` reads heads and extended heads. Its own archives are read from front to back by a thread; here the heads
//! are read one by one, so that disks are neither fetched for nothing nor held.

use std::collections::HashSet;

use tar::{EntryType, Header, PaxExtensions};

use super::OPEN;
use super::source::Opened;
use crate::error::{Error, ErrorKind, Result};

const BLOCK: u64 = 512;

/// How many members an archive may have.
const MOST_MEMBERS: usize = 10_000;

/// How long the head of one member may be, in bytes.
const LONGEST_HEAD: u64 = 1 << 20;

/// A file in an archive.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    /// The name letter by letter, with the `./` that some archives have before it.
    pub(super) raw: String,
    pub(super) from: u64,
    pub(super) length: u64,
}

/// The members of an archive, in their order.
///
/// # Errors
/// `corrupt` for an archive that ends too early or is broken, and `invalid_argument` for a member that is no plain file or
/// that has the path of none.
pub(super) async fn members(archive: &Opened) -> Result<Vec<Member>> {
    let mut walk = Walk::default();
    while let Some((from, length)) = walk.wants(archive.length).map_err(|why| why.of(archive))? {
        let bytes = archive.read(from, length).await?;
        walk.take(&bytes, archive.length).map_err(|why| why.of(archive))?;
    }
    Ok(walk.members)
}

/// Why an archive is not taken.
#[derive(Debug, PartialEq, Eq)]
enum Unfit {
    Corrupt(String),
    Refused(String),
}

impl Unfit {
    fn of(self, archive: &Opened) -> Error {
        let kind = match self {
            Self::Corrupt(why) => ErrorKind::Corrupt(why),
            Self::Refused(why) => ErrorKind::InvalidArgument(why),
        };
        Error::new(OPEN, kind).on(archive.name.as_str())
    }
}

fn truncated() -> Unfit {
    Unfit::Corrupt("the archive ends too early: it was cut".into())
}

/// A walk from head to head.
#[derive(Default)]
struct Walk {
    members: Vec<Member>,
    names: HashSet<String>,
    /// Where the next head is, and the extended one that was read before it.
    at: u64,
    /// An extended head whose content is wanted: what it is, and how long.
    pending: Option<(EntryType, u64)>,
    long_name: Option<String>,
    long_size: Option<u64>,
    is_over: bool,
}

impl Walk {
    /// What is to be read next; `None` at the end.
    fn wants(&self, length: u64) -> std::result::Result<Option<(u64, u64)>, Unfit> {
        if self.is_over {
            return Ok(None);
        }
        let wanted = self.pending.as_ref().map_or(BLOCK, |(_, length)| *length);
        if self.at.checked_add(wanted).is_none_or(|end| end > length) {
            // Two empty blocks end an archive; some writers leave them out.
            let ended = self.pending.is_none() && self.at == length && !self.members.is_empty();
            return if ended { Ok(None) } else { Err(truncated()) };
        }
        Ok(Some((self.at, wanted)))
    }

    fn take(&mut self, bytes: &[u8], length: u64) -> std::result::Result<(), Unfit> {
        if let Some((kind, _)) = self.pending.take() {
            self.extend(kind, bytes)?;
            self.at = next_head(self.at, bytes.len() as u64).ok_or_else(truncated)?;
            return Ok(());
        }
        if bytes.iter().all(|byte| *byte == 0) {
            self.is_over = true;
            return Ok(());
        }
        let broken =
            || Unfit::Corrupt(format!("the archive is broken at byte {}: there is no head of a file", self.at));
        let header = <&[u8; 512]>::try_from(bytes).map(|bytes| Header::from_byte_slice(bytes)).map_err(|_| broken())?;
        let sum: u32 = bytes
            .iter()
            .enumerate()
            .map(|(at, byte)| match at {
                148..156 => u32::from(b' '),
                _ => u32::from(*byte),
            })
            .sum();
        if header.cksum().ok() != Some(sum) {
            return Err(broken());
        }
        let size = header.entry_size().map_err(|_| broken())?;
        let kind = header.entry_type();
        let content = self.at.checked_add(BLOCK).ok_or_else(truncated)?;
        if matches!(kind, EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName) {
            if size > LONGEST_HEAD {
                return Err(broken());
            }
            self.at = content;
            self.pending = Some((kind, size));
            return Ok(());
        }
        let size = self.long_size.take().unwrap_or(size);
        let name = match self.long_name.take() {
            Some(name) => name,
            None => text(&header.path_bytes())?,
        };
        let end = content.checked_add(size).filter(|end| *end <= length).ok_or_else(truncated)?;
        self.at = next_head(content, end - content).ok_or_else(truncated)?;
        match kind {
            EntryType::Regular | EntryType::Continuous => self.add(&name, content, size),
            EntryType::Directory => Ok(()),
            EntryType::Symlink | EntryType::Link => {
                Err(Unfit::Refused(format!("{name:?} in the archive is a link, which could lead anywhere")))
            }
            _ => Err(Unfit::Refused(format!("{name:?} in the archive is no plain file"))),
        }
    }

    fn add(&mut self, name: &str, from: u64, length: u64) -> std::result::Result<(), Unfit> {
        let raw = name.to_owned();
        let name = name.trim_start_matches("./").to_owned();
        if let Some(why) = super::package::unfit_path(&name) {
            return Err(Unfit::Refused(format!("{name:?} in the archive {why}")));
        }
        if !self.names.insert(name.clone()) {
            return Err(Unfit::Refused(format!("the archive has {name:?} twice")));
        }
        if self.members.len() >= MOST_MEMBERS {
            return Err(Unfit::Refused(format!("the archive has more than {MOST_MEMBERS} files")));
        }
        self.members.push(Member { name, raw, from, length });
        Ok(())
    }

    /// Reads what an extended head says of the member after it.
    fn extend(&mut self, kind: EntryType, bytes: &[u8]) -> std::result::Result<(), Unfit> {
        if kind == EntryType::GNULongName {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            self.long_name = Some(text(bytes.get(..end).unwrap_or_default())?);
            return Ok(());
        }
        for extension in PaxExtensions::new(bytes) {
            let broken = || Unfit::Corrupt("the archive has a broken extended head".into());
            let extension = extension.map_err(|_| broken())?;
            let value = extension.value().map_err(|_| broken())?;
            match extension.key() {
                Ok("path") => self.long_name = Some(value.to_owned()),
                Ok("size") => self.long_size = Some(value.parse().map_err(|_| broken())?),
                _ => {}
            }
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> std::result::Result<String, Unfit> {
    let refused = || Unfit::Refused("a name in the archive is not UTF-8".into());
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| refused())
}

/// Where the head after a content is.
fn next_head(content: u64, length: u64) -> Option<u64> {
    content.checked_add(length)?.checked_next_multiple_of(BLOCK)
}

/// Reads any bytes as an archive. For fuzzing.
pub(super) fn fuzz(data: &[u8]) {
    let mut walk = Walk::default();
    while let Ok(Some((from, length))) = walk.wants(data.len() as u64) {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let end = from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        let Some(bytes) = data.get(from..end) else { return };
        if walk.take(bytes, data.len() as u64).is_err() {
            return;
        }
    }
    for member in &walk.members {
        assert!(member.from + member.length <= data.len() as u64);
        assert!(!member.name.split('/').any(|step| step == ".."));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(data: &[u8]) -> std::result::Result<Vec<Member>, Unfit> {
        let mut walk = Walk::default();
        while let Some((from, length)) = walk.wants(data.len() as u64)? {
            walk.take(&data[from as usize..(from + length) as usize], data.len() as u64)?;
        }
        Ok(walk.members)
    }

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn members_are_found_by_their_heads() {
        let long = format!("{}.vmdk", "long".repeat(60));
        let data = archive(&[("./web.ovf", b"<Envelope/>"), (&long, &[7; 1500]), ("empty", b"")]);
        let members = walk(&data).unwrap();
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["web.ovf", &long, "empty"]);
        let disk = &members[1];
        assert_eq!(&data[disk.from as usize..][..disk.length as usize], &[7; 1500]);
        // Some writers leave out the empty blocks at the end.
        assert_eq!(walk(&data[..data.len() - 1024]).unwrap().len(), 3);
    }

    #[test]
    fn sizes_beyond_eight_gigabytes_are_read() {
        let mut header = Header::new_gnu();
        header.set_path("disk.vmdk").unwrap();
        header.set_size(9 << 30);
        header.set_cksum();
        let mut walk = Walk::default();
        walk.take(header.as_bytes(), 20 << 30).unwrap();
        assert_eq!((walk.members[0].length, walk.at), (9 << 30, (9 << 30) + 512));
        // The same as an extended head, by pax.
        let mut walk = Walk::default();
        walk.extend(EntryType::XHeader, b"19 size=9663676416\n").unwrap();
        header.set_size(0);
        header.set_cksum();
        walk.take(header.as_bytes(), 20 << 30).unwrap();
        assert_eq!(walk.members[0].length, 9 << 30);
    }

    #[test]
    fn traps_are_refused() {
        let mut link = tar::Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        link.append_link(&mut header, "disk.vmdk", "/etc/passwd").unwrap();
        let whole = archive(&[("a.ovf", b"x"), ("disk.vmdk", &[1; 600])]);
        let renamed = |name: &[u8]| {
            let mut data = archive(&[("a.ovf", b"x")]);
            data[..100].fill(0);
            data[..name.len()].copy_from_slice(name);
            let mut header = Header::from_byte_slice(data[..512].try_into().unwrap()).clone();
            header.set_cksum();
            data[..512].copy_from_slice(header.as_bytes());
            data
        };
        for (data, says) in [
            (link.into_inner().unwrap(), "is a link"),
            (renamed(b"../../etc/cron.d/x"), "leads out"),
            (renamed(b"/etc/passwd"), "absolute"),
            (renamed(b"a\\..\\b"), "leads out"),
            (whole[..whole.len() - 1536].to_vec(), "cut"),
            (whole[..700].to_vec(), "cut"),
            (Vec::new(), "cut"),
            (vec![b'x'; 1024], "no head of a file"),
            (archive(&[("a.ovf", b"x"), ("./a.ovf", b"y")]), "twice"),
        ] {
            let error = format!("{:?}", walk(&data).unwrap_err());
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
