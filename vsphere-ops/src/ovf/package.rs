//! A package that was opened: its descriptor, its manifest, and where each of its files is.
//!
//! What the descriptor means, the server says. Here is read which files it needs, with care: whoever made the package may
//! want other files read, or more memory taken, than a package has any business with.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use roxmltree::{Document, Node, ParsingOptions};
use vsphere_model::types::OvfFileItem;

use super::OPEN;
use super::archive::{self, Member};
use super::feed;
use super::manifest::Manifest;
use super::source::{Opened, OvfSource};
use crate::error::{Error, ErrorKind, Result};
use crate::transfer::{Check, vmdk};

/// The longest descriptor and manifest, in bytes.
const LONGEST: u64 = 16 << 20;

/// How many nodes a descriptor may have, and how deep they may be nested.
const MOST_NODES: u32 = 1_000_000;
const DEEPEST: usize = 256;

/// How many chunks a file may have.
const MOST_CHUNKS: u64 = 100_000;

/// A package that was opened.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) descriptor: String,
    pub(super) references: References,
    pub(super) manifest: Option<Manifest>,
    /// It has a signature, which nobody checks here.
    pub(super) is_signed: bool,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// The files are beside the descriptor.
    Beside(OvfSource),
    /// The files are in an archive.
    Within(Opened, HashMap<String, Member>),
}

/// A part of a file that stands by itself: all of it, or a chunk.
#[derive(Debug, Clone)]
pub(super) struct Part {
    file: Opened,
    from: u64,
    pub(super) length: u64,
    /// As the manifest names it.
    name: String,
    /// As the archive names it, where it is in one.
    member: Option<String>,
    check: Check,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened({}, {} bytes)", self.name, self.length)
    }
}

impl Package {
    /// Opens a package, and checks what can be known without the server.
    pub(super) async fn open(source: &OvfSource) -> Result<Self> {
        let named = source.open().await?;
        let head = named.read(0, named.length.min(512)).await?;
        let is_archive = head.get(257..262) == Some(b"ustar") || named.name.to_ascii_lowercase().ends_with(".ova");
        match is_archive {
            true => Self::within(named).await,
            false => Self::beside(source, named).await,
        }
    }

    async fn within(archive: Opened) -> Result<Self> {
        let members = archive::members(&archive).await?;
        let refused = |why: String| Error::new(OPEN, ErrorKind::InvalidArgument(why)).on(archive.name.as_str());
        let of_kind = |ending: &str| {
            let ending = ending.to_owned();
            members.iter().filter(move |member| member.name.to_ascii_lowercase().ends_with(&ending))
        };
        let mut descriptors = of_kind(".ovf");
        let descriptor = descriptors.next().cloned().ok_or_else(|| refused("there is no descriptor in it".into()))?;
        if let Some(second) = descriptors.next() {
            return Err(refused(format!("it has two descriptors, {} and {}", descriptor.name, second.name)));
        }
        let manifest = match of_kind(".mf").next() {
            Some(member) => Some(small(&archive, member.from, member.length, &member.name).await?),
            None => None,
        };
        let is_signed = of_kind(".cert").next().is_some();
        let text = small(&archive, descriptor.from, descriptor.length, &descriptor.name).await?;
        let members = members.iter().map(|member| (member.name.clone(), member.clone())).collect();
        Self::of(text, &descriptor.name, manifest, is_signed, Place::Within(archive, members))
    }

    async fn beside(source: &OvfSource, named: Opened) -> Result<Self> {
        let text = small(&named, 0, named.length, &named.name).await?;
        let stem = named.name.rsplit_once('.').map_or(named.name.as_str(), |(stem, _)| stem);
        let manifest = match optional(source.sibling(&format!("{stem}.mf")).await)? {
            Some(file) => Some(small(&file, 0, file.length, &file.name).await?),
            None => None,
        };
        let is_signed = optional(source.sibling(&format!("{stem}.cert")).await)?.is_some();
        Self::of(text, &named.name, manifest, is_signed, Place::Beside(source.clone()))
    }

    fn of(descriptor: Vec<u8>, name: &str, manifest: Option<Vec<u8>>, is_signed: bool, place: Place) -> Result<Self> {
        let corrupt = |why: String| Error::new(OPEN, ErrorKind::Corrupt(why)).on(name);
        let manifest = match manifest {
            Some(text) => Some(Manifest::read(&String::from_utf8_lossy(&text)).map_err(corrupt)?),
            None => None,
        };
        if let Some(manifest) = &manifest {
            let mut hasher = check(Some(manifest), name).map_err(corrupt)?.hasher();
            hasher.update(&descriptor);
            hasher.finish().map_err(|mismatch| corrupt(mismatch.to_string()))?;
        }
        let refused = |why: String| Error::new(OPEN, ErrorKind::InvalidArgument(why)).on(name);
        let text = String::from_utf8(descriptor).map_err(|_| refused("the descriptor is not UTF-8".into()))?;
        let text = text.trim_start_matches('\u{feff}').to_owned();
        let references = References::read(&text).map_err(refused)?;
        Ok(Self { descriptor: text, references, manifest, is_signed, place })
    }

    /// The parts of a file that a descriptor names: one, or its chunks.
    pub(super) async fn parts(&self, href: &str, chunk: Option<u64>, size: Option<u64>) -> Result<Vec<Part>> {
        if let Some(why) = unfit_path(href) {
            return Err(Error::new(OPEN, ErrorKind::InvalidArgument(format!("the path {why}"))).on(href));
        }
        let Some(chunk) = chunk.filter(|chunk| *chunk > 0) else { return Ok(vec![self.part(href).await?]) };
        let mut parts = Vec::new();
        let mut found = 0;
        while parts.len() as u64 <= MOST_CHUNKS {
            let part = match self.part(&format!("{href}.{:09}", parts.len())).await {
                Ok(part) => part,
                // Where nothing says how long the file is, it ends with its last chunk.
                Err(error) if error.is_not_found() && size.is_none() && !parts.is_empty() => return Ok(parts),
                Err(error) => return Err(error),
            };
            found += part.length;
            let is_last = part.length < chunk || size.is_some_and(|size| found >= size);
            parts.push(part);
            if is_last {
                return Ok(parts);
            }
        }
        Err(Error::new(OPEN, ErrorKind::InvalidArgument("the file has too many chunks".into())).on(href))
    }

    async fn part(&self, name: &str) -> Result<Part> {
        let (file, from, length, raw) = match &self.place {
            Place::Beside(source) => {
                let file = source.sibling(name).await?;
                let length = file.length;
                (file, 0, length, None)
            }
            Place::Within(archive, members) => {
                let missing = || Error::new(OPEN, ErrorKind::NotFound("it is not in the archive".into())).on(name);
                let member = members.get(name).ok_or_else(missing)?;
                (archive.clone(), member.from, member.length, Some(member.raw.clone()))
            }
        };
        let check =
            check(self.manifest.as_ref(), name).map_err(|why| Error::new(OPEN, ErrorKind::Corrupt(why)).on(name))?;
        Ok(Part { file, from, length, name: name.to_owned(), member: raw, check })
    }

    /// Checks that a file is there, is as long as the descriptor says, and is of a kind that a lease takes if it is a disk.
    pub(super) async fn check(&self, item: &OvfFileItem) -> Result<Vec<Part>> {
        let size = item.size.and_then(|size| u64::try_from(size).ok()).filter(|size| *size > 0);
        let chunk = item.chunk_size.and_then(|size| u64::try_from(size).ok());
        let method = item.compression_method.as_deref().unwrap_or_default();
        let failed = |kind: ErrorKind| Error::new(OPEN, kind).on(item.path.as_str());
        let is_packed = match method {
            "" | "identity" => false,
            "gzip" => true,
            other => {
                return Err(failed(ErrorKind::Unsupported(format!("its compression {other:?} is not known here"))));
            }
        };
        let parts = self.parts(&item.path, chunk, size).await?;
        let there: u64 = parts.iter().map(|part| part.length).sum();
        if let Some(size) = size.filter(|size| *size != there) {
            let text = format!("it has {there} bytes, and {size} by the descriptor: it may have been cut");
            return Err(failed(ErrorKind::Corrupt(text)));
        }
        if !item.create {
            let mut head = Vec::new();
            let mut pieces = feed::content(&parts, is_packed, false);
            while head.len() < vmdk::HEAD
                && let Some(piece) = pieces.try_next().await.map_err(|error| failed(crate::transfer::local(error)))?
            {
                head.extend_from_slice(&piece);
            }
            vmdk::check(&head).map_err(|unfit| failed(ErrorKind::InvalidArgument(unfit.to_string())))?;
        }
        Ok(parts)
    }
}

impl Part {
    pub(super) fn stream(&self) -> crate::transfer::Pieces {
        self.file.stream(self.from, self.length)
    }

    pub(super) fn check(&self) -> Check {
        self.check
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What it is called in its archive.
    pub(super) fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// Whether it is on another computer.
    pub(super) fn is_remote(&self) -> bool {
        self.file.is_remote()
    }

    /// The file that it is in, as a host can fetch that by itself.
    ///
    /// # Errors
    /// Server errors.
    pub(super) async fn source(&self) -> Result<Option<crate::transfer::Source>> {
        self.file.source().await
    }
}

/// What a file must be by the manifest, which must name every file.
fn check(manifest: Option<&Manifest>, name: &str) -> std::result::Result<Check, String> {
    let Some(manifest) = manifest else { return Ok(Check::NONE) };
    let sum = manifest.get(name).or_else(|| manifest.get(&format!("./{name}")));
    sum.map(Check::against).ok_or_else(|| format!("the manifest has no checksum of {name:?}"))
}

/// The whole of a file that fits into memory.
async fn small(file: &Opened, from: u64, length: u64, name: &str) -> Result<Vec<u8>> {
    if length > LONGEST {
        let text = format!("it has {length} bytes, which is more than a descriptor or a manifest ever has");
        return Err(Error::new(OPEN, ErrorKind::InvalidArgument(text)).on(name));
    }
    file.read(from, length).await
}

/// A file that need not be there.
fn optional(opened: Result<Opened>) -> Result<Option<Opened>> {
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why a path in a package is not taken; `None` where it is one of a file in the package.
pub(super) fn unfit_path(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("is empty");
    }
    if path.chars().any(char::is_control) {
        return Some("has a control character");
    }
    // `https:`, and the drives of Windows.
    if path.split('/').next().is_some_and(|first| first.contains(':')) {
        return Some("is a URL or has a drive: only files of the package itself are read");
    }
    if path.starts_with('/') || path.starts_with('\\') {
        return Some("is absolute: only files of the package itself are read");
    }
    if path.split(['/', '\\']).any(|step| step == "..") {
        return Some("leads out of the package");
    }
    None
}

/// What a descriptor says of its files.
#[derive(Debug, Default)]
pub(super) struct References {
    pub(super) files: Vec<Reference>,
    /// The virtual systems of a vApp; empty for a single VM.
    pub(super) collection: Vec<String>,
}

/// A file beside the descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) href: String,
    /// In bytes, as it is in the package.
    pub(super) size: Option<u64>,
    pub(super) compression: Option<String>,
    pub(super) chunk_size: Option<u64>,
}

impl References {
    /// Reads a descriptor as far as its files go.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(super) fn read(text: &str) -> std::result::Result<Self, String> {
        if depth(text) > DEEPEST {
            return Err(format!("the descriptor is nested more than {DEEPEST} deep"));
        }
        // Without a document type there are no entities, neither of other files nor ones that grow.
        let options = ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text, options).map_err(|error| match error {
            roxmltree::Error::DtdDetected => {
                "the descriptor has a document type, which could have other files read".to_owned()
            }
            error => format!("the descriptor is no XML: {error}"),
        })?;
        let root = document.root_element();
        if root.tag_name().name() != "Envelope" {
            return Err(format!("the descriptor has a <{}> where an <Envelope> belongs", root.tag_name().name()));
        }
        let mut references = Self::default();
        for section in elements(root, "References") {
            for node in elements(section, "File") {
                let href = attribute(node, "href").unwrap_or_default().to_owned();
                if let Some(why) = unfit_path(&href) {
                    return Err(format!("the path {href:?} of a file in the descriptor {why}"));
                }
                references.files.push(Reference {
                    href,
                    size: attribute(node, "size").and_then(|size| size.parse().ok()),
                    compression: attribute(node, "compression").map(str::to_owned),
                    chunk_size: attribute(node, "chunkSize").and_then(|size| size.parse().ok()),
                });
            }
        }
        for collection in elements(root, "VirtualSystemCollection") {
            let systems = collection.descendants().filter(|node| node.tag_name().name() == "VirtualSystem");
            references.collection.extend(systems.filter_map(|node| attribute(node, "id").map(str::to_owned)));
        }
        Ok(references)
    }
}

/// How deep the elements of a text are nested at most, counted before they are parsed: a parser may take stack for each.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut rest = text;
    while let Some((_, tag)) = rest.split_once('<') {
        rest = tag;
        if let Some(comment) = tag.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, rest)| rest);
        } else if let Some(data) = tag.strip_prefix("![CDATA[") {
            rest = data.split_once("]]>").map_or("", |(_, rest)| rest);
        } else if tag.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else if !tag.starts_with(['?', '!']) {
            let end = end_of_tag(tag);
            if !tag.get(..end).is_some_and(|inner| inner.ends_with('/')) {
                depth += 1;
                deepest = deepest.max(depth);
            }
            rest = tag.get(end..).unwrap_or_default();
        }
    }
    deepest
}

/// Where a tag ends: signs in the values of attributes do not count.
fn end_of_tag(tag: &str) -> usize {
    let mut quote = None;
    let ends = |byte: u8| match (quote, byte) {
        (None, b'>') => true,
        (None, b'"' | b'\'') => {
            quote = Some(byte);
            false
        }
        (Some(open), byte) if open == byte => {
            quote = None;
            false
        }
        _ => false,
    };
    tag.bytes().position(ends).unwrap_or(tag.len())
}

fn elements<'a, 'i: 'a>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> + use<'a, 'i> {
    node.children().filter(move |child| child.tag_name().name() == name)
}

/// An attribute, whatever its name space: descriptors write `ovf:href`, and some `href`.
fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes().find(|attribute| attribute.name() == name).map(|attribute| attribute.value())
}

/// Reads any bytes as a descriptor. For fuzzing.
pub(super) fn fuzz(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(references) = References::read(text)
    {
        assert!(references.files.iter().all(|file| unfit_path(&file.href).is_none()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(inner: &str) -> String {
        format!("<Envelope xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\">{inner}</Envelope>")
    }

    fn file(attributes: &str) -> String {
        envelope(&format!("<References><File {attributes}/></References>"))
    }

    #[test]
    fn files_are_read_with_and_without_prefix() {
        for text in [
            file(r#"ovf:href="a.vmdk" ovf:size="12" ovf:compression="gzip" ovf:chunkSize="5" ovf:id="f""#),
            file(r#"href="a.vmdk" size="12" compression="gzip" chunkSize="5" id="f""#),
        ] {
            let references = References::read(&text).unwrap();
            let file = Reference {
                href: "a.vmdk".into(),
                size: Some(12),
                compression: Some("gzip".into()),
                chunk_size: Some(5),
            };
            assert_eq!(references.files, [file]);
        }
        let vapp = r#"<VirtualSystemCollection ovf:id="all"><VirtualSystem ovf:id="a"/><VirtualSystemCollection
            ovf:id="inner"><VirtualSystem ovf:id="b"/></VirtualSystemCollection></VirtualSystemCollection>"#;
        assert_eq!(References::read(&envelope(vapp)).unwrap().collection, ["a", "b"]);
    }

    #[test]
    fn traps_are_refused_with_the_reason() {
        let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><Envelope>&b;</Envelope>";
        let xxe = "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><Envelope>&a;</Envelope>";
        for (text, says) in [
            (bomb.to_owned(), "document type"),
            (xxe.to_owned(), "document type"),
            (file(r#"ovf:href="../other.vmdk""#), "leads out"),
            (file(r#"ovf:href="a/../../other.vmdk""#), "leads out"),
            (file(r#"ovf:href="/etc/passwd""#), "absolute"),
            (file(r#"ovf:href="\\server\share\x""#), "absolute"),
            (file(r#"ovf:href="C:\x.vmdk""#), "URL or has a drive"),
            (file(r#"ovf:href="https://evil.example/x.vmdk""#), "URL"),
            (file(r#"ovf:href="file:///etc/passwd""#), "URL"),
            (file(r#"ovf:href="a&#10;b""#), "control character"),
            (file(""), "is empty"),
            ("<Package/>".to_owned(), "where an <Envelope> belongs"),
            ("not XML".to_owned(), "no XML"),
            ("<a>".repeat(100_000), "nested"),
            (format!("<Envelope>{}", "<a b='/>'>".repeat(100_000)), "nested"),
        ] {
            let error = References::read(&text).unwrap_err();
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
