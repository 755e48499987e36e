//! Archives with the program, what a shell and `man` know of it, and the licences of all that is in it.

use std::{fs, io::Write, path::Path};

use flate2::{Compression, GzBuilder};

use super::{Binary, NAME, Release, papers::Papers};

/// Writes the archive of a platform.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn write(release: &Release, binary: &Binary, papers: &Papers) -> anyhow::Result<()> {
    let target = binary.platform.target;
    let folder = format!("{NAME}-{}-{target}", release.version);
    let mut tar = Tar::new(release.epoch);
    tar.file(&format!("{folder}/{NAME}"), 0o755, &fs::read(&binary.path)?)?;
    for name in ["README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md"] {
        tar.file(&format!("{folder}/{name}"), 0o644, &fs::read(release.root.join(name))?)?;
    }
    tar.file(&format!("{folder}/THIRD-PARTY-LICENSES.txt"), 0o644, papers.licences.as_bytes())?;
    for (name, text) in &papers.files {
        tar.file(&format!("{folder}/{name}"), 0o644, text)?;
    }
    write_gzip(&release.file(NAME, target, ".tar.gz"), &tar.end()?)
}

/// Writes a compressed file that has no time and no name in it.
///
/// # Errors
/// It cannot be written.
pub(super) fn write_gzip(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, gzip(bytes)?)?;
    Ok(())
}

/// Compresses bytes.
///
/// # Errors
/// None is known.
pub(super) fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// A tape archive whose bytes follow from what is put into it alone.
pub(super) struct Tar {
    builder: tar::Builder<Vec<u8>>,
    epoch: u64,
}

impl Tar {
    pub(super) fn new(epoch: u64) -> Self {
        Self { builder: tar::Builder::new(Vec::new()), epoch }
    }

    /// Puts a file in.
    ///
    /// # Errors
    /// Its path is too long.
    pub(super) fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> anyhow::Result<()> {
        self.entry(path, tar::EntryType::Regular, mode, bytes)
    }

    /// Puts a folder in.
    ///
    /// # Errors
    /// Its path is too long.
    pub(super) fn folder(&mut self, path: &str, mode: u32) -> anyhow::Result<()> {
        self.entry(&format!("{path}/"), tar::EntryType::Directory, mode, &[])
    }

    fn entry(&mut self, path: &str, kind: tar::EntryType, mode: u32, bytes: &[u8]) -> anyhow::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(self.epoch);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(bytes.len() as u64);
        self.builder.append_data(&mut header, path, bytes)?;
        Ok(())
    }

    /// The whole archive.
    ///
    /// # Errors
    /// None is known.
    pub(super) fn end(self) -> anyhow::Result<Vec<u8>> {
        Ok(self.builder.into_inner()?)
    }
}
