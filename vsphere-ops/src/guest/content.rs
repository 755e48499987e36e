//! The content of files in a guest: fetched and sent by the URLs of the host that runs the VM.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use vsphere_model::managed::{HostSystem, virtual_machine as vm};
use vsphere_model::types::{FileTransferInformation, GuestFileAttributes, GuestPosixFileAttributes, Poly};
use vsphere_soap::Cause;
use vsphere_soap::object::format_date_time;

use super::run::Output;
use super::temporary::Temporary;
use super::{Family, FileKind, Guest, GuestFile, GuestTrouble};
use crate::error::{Circumstance, Error, ErrorKind, Result};
use crate::host::{NIC_MANAGER, management_address};
use crate::mo::Mo;
use crate::transfer::{Download, FileStream};
use crate::untrusted::Untrusted;

const READ: &str = "read a file in the guest of";
const WRITE: &str = "write a file in the guest of";

/// A file of a guest, as far as it was fetched.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::guest::Credentials;
/// use vsphere_ops::managed::VirtualMachine;
///
/// let vm = client.get::<VirtualMachine>("web-01").await?;
/// let guest = vm.guest(&Credentials::new("root", "Guest1!")).await?;
/// let file = guest.read("/etc/hosts", 9).await?;
/// assert_eq!((&*file.bytes, file.is_cut()), (b"127.0.0.1".as_slice(), true));
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was changed last, RFC 3339.
    pub modified: Option<String>,
    /// Its beginning.
    pub bytes: Vec<u8>,
}

impl Content {
    /// Whether the file is longer than what was fetched.
    pub fn is_cut(&self) -> bool {
        self.size > self.bytes.len() as u64
    }

    /// The text that it is; `None` where it is no UTF-8.
    fn text(&self) -> Option<&str> {
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => Some(text),
            Err(error) if self.is_cut() && error.error_len().is_none() => {
                self.bytes.get(..error.valid_up_to()).and_then(|whole| std::str::from_utf8(whole).ok())
            }
            Err(_) => None,
        }
    }
}

/// As untrusted text where it is text, else as base64.
impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Content", 6)?;
        object.serialize_field("path", &self.path)?;
        object.serialize_field("size", &self.size)?;
        match &self.modified {
            Some(modified) => object.serialize_field("modified", modified)?,
            None => object.skip_field("modified")?,
        }
        match self.text() {
            Some(text) => {
                object.serialize_field("encoding", "utf-8")?;
                object.serialize_field("content", &Untrusted::from(text))?;
            }
            None => {
                object.serialize_field("encoding", "base64")?;
                object.serialize_field("content", &Untrusted::from(STANDARD.encode(&self.bytes)))?;
            }
        }
        match self.is_cut() {
            true => object.serialize_field("note", &format!("only the first {} bytes are shown", self.bytes.len()))?,
            false => object.skip_field("note")?,
        }
        object.end()
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Content {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Content".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "properties": {
                "path": { "type": "string" },
                "size": { "type": "integer", "minimum": 0 },
                "modified": { "type": "string" },
                "encoding": { "type": "string", "enum": ["utf-8", "base64"] },
                "content": generator.subschema_for::<Untrusted>(),
                "note": { "type": "string" },
            },
            "required": ["path", "size", "encoding", "content"],
        })
    }
}

/// A file that is to be written into a guest. Nothing is sent before [`send`](Self::send) is awaited.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::guest::Credentials;
/// use vsphere_ops::managed::VirtualMachine;
///
/// let vm = client.get::<VirtualMachine>("web-01").await?;
/// let guest = vm.guest(&Credentials::new("root", "Guest1!")).await?;
/// let written = guest.write("/root/deploy.sh", "#!/bin/sh\n").permissions(0o700).new_only().send().await?;
/// assert_eq!((written.size, written.replaced), (10, false));
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a file is written when that is awaited"]
pub struct Write {
    guest: Guest,
    path: String,
    content: Bytes,
    permissions: Option<u32>,
    overwrite: bool,
}

/// A file that was written.
///
/// ```
/// use vsphere_ops::guest::Written;
///
/// fn line(written: &Written) -> String {
///     format!("{} bytes in {}, mode {:?}", written.size, written.path, written.permissions)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Written {
    /// The VM's name.
    pub vm: String,
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it took the place of another one.
    pub replaced: bool,
    /// Its permissions in octal, where they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<String>,
    /// Whether it belongs to the owner of the file that it replaced; absent for a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_kept: Option<bool>,
}

impl Guest {
    /// Fetches a file, or its first `most` bytes.
    ///
    /// # Errors
    /// `not_found`; `invalid_argument` for a directory or a symbolic link; `unsupported` for a file of the kernel below `/proc`
    /// or `/sys`, which comes back empty; `permission`; `connection` where the host of the VM can't be reached; and the errors of
    /// [`check`](Self::check).
    pub async fn read(&self, path: &str, most: usize) -> Result<Content> {
        let (info, bytes) = self.fetch(path, most).await?;
        let size = u64::try_from(info.size).unwrap_or(0).max(bytes.len() as u64);
        if size == 0
            && self.family == Family::Posix
            && ["/proc/", "/sys/"].iter().any(|kernel| path.starts_with(kernel))
        {
            let text =
                format!("{path:?} is made by the kernel when a program reads it, and has no content to be fetched");
            return Err(self.refused(READ, ErrorKind::Unsupported(text)));
        }
        let modified = info.attributes.modification_time.as_ref().map(format_date_time);
        Ok(Content { path: path.to_owned(), size, modified, bytes })
    }

    /// Opens a file to fetch it whole, in constant memory.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::guest::Credentials;
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let vm = client.get::<VirtualMachine>("web-01").await?;
    /// let guest = vm.guest(&Credentials::new("root", "Guest1!")).await?;
    /// let mut hosts = Vec::new();
    /// guest.download("/etc/hosts").await?.to_writer(&mut hosts).await?;
    /// assert!(hosts.starts_with(b"127.0.0.1"));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`read`](Self::read).
    pub async fn download(&self, path: &str) -> Result<Download> {
        Ok(self.vm.download_guest_file(self.offered(path).await?.url))
    }

    /// A file with this content, to be written.
    pub fn write(&self, path: impl Into<String>, content: impl Into<Bytes>) -> Write {
        Write { guest: self.clone(), path: path.into(), content: content.into(), permissions: None, overwrite: true }
    }

    /// The beginning of a file that a command wrote.
    pub(super) async fn fetch_output(&self, path: &str, most: usize) -> Result<Output> {
        let (info, bytes) = self.fetch(path, most).await?;
        let size = u64::try_from(info.size).unwrap_or(0).max(bytes.len() as u64);
        Ok(Output { bytes, size })
    }

    async fn offered(&self, path: &str) -> Result<FileTransferInformation> {
        let asked =
            self.ask(READ, || self.files.initiate_file_transfer_from_guest(self.vm.reference(), &self.auth, path));
        match asked.await {
            Err(error) if error.is_fault("InvalidArgument") => Err(self.link_or(path, READ, error).await),
            other => other,
        }
    }

    /// The guest refuses links; it says so of them in the same way as of anything else that it does not take.
    async fn link_or(&self, path: &str, operation: &str, error: Error) -> Error {
        match self.file(path).await {
            Ok(Some(GuestFile { kind: FileKind::Symlink, target, .. })) => {
                let target = target.map(|target| format!(" to {:?}", target.as_str())).unwrap_or_default();
                let text = format!("{path:?} is a symbolic link{target}, which VMware Tools do not follow");
                let link = self.refused(operation, ErrorKind::InvalidArgument(text));
                link.with_circumstance(Circumstance::Guest(GuestTrouble::Link))
            }
            _ => error,
        }
    }

    async fn fetch(&self, path: &str, most: usize) -> Result<(FileTransferInformation, Vec<u8>)> {
        let mut again = true;
        loop {
            let info = self.offered(path).await?;
            let mut bytes = Vec::new();
            if info.size <= 0 || most == 0 {
                return Ok((info, bytes));
            }
            let fetched = async {
                let mut pieces = self.open(&info.url).await?;
                while bytes.len() < most
                    && let Some(piece) = pieces.next().await
                {
                    let piece = piece?;
                    let room = most - bytes.len();
                    bytes.extend_from_slice(piece.get(..room).unwrap_or(&piece));
                }
                Ok::<_, Error>(())
            };
            match fetched.await {
                Ok(()) => return Ok((info, bytes)),
                // The VM was moved to another host meanwhile: there is a new URL there.
                Err(error) if again && error.guest_trouble() == Some(GuestTrouble::UrlEnded) => again = false,
                Err(error) => return Err(error.in_operation(READ).on(self.vm.label())),
            }
        }
    }

    /// Opens a URL of the host; by the host's address where its name leads nowhere.
    async fn open(&self, url: &str) -> Result<FileStream> {
        let opened = self.vm.download_guest_file(url).without_checksum().stream().await;
        match opened {
            Err(error) if is_unknown(&error) => match self.by_address(url).await {
                Some(url) => self.vm.download_guest_file(url).without_checksum().stream().await,
                None => Err(error),
            },
            other => other,
        }
    }

    /// The URL with the host's management address in place of its name, where there is exactly one.
    async fn by_address(&self, url: &str) -> Option<String> {
        let host = self.vm.read(vm::HOST).await.ok().flatten()?;
        let host: Mo<HostSystem> = Mo::new(self.vm.client(), &host, None);
        let info = host.read(NIC_MANAGER).await.ok().flatten()?;
        with_host(url, &management_address(&info)?)
    }

    /// Writes a file that only this user reads.
    pub(super) async fn write_bytes(&self, path: &str, content: Bytes) -> Result<()> {
        self.send(path, content, Poly::new(GuestFileAttributes::default()), true).await
    }

    async fn send(
        &self,
        path: &str,
        content: Bytes,
        attributes: Poly<GuestFileAttributes>,
        overwrite: bool,
    ) -> Result<()> {
        let size = i64::try_from(content.len()).unwrap_or(i64::MAX);
        let mut again = true;
        loop {
            let asked = self.ask(WRITE, || {
                let vm = self.vm.reference();
                self.files.initiate_file_transfer_to_guest(vm, &self.auth, path, &attributes, size, overwrite)
            });
            let url = match asked.await {
                Err(error) if error.is_fault("InvalidArgument") => return Err(self.link_or(path, WRITE, error).await),
                other => other?,
            };
            let sent = match self.upload(&url, &content).await {
                Err(error) if is_unknown(&error) => match self.by_address(&url).await {
                    Some(url) => self.upload(&url, &content).await,
                    None => Err(error),
                },
                other => other,
            };
            match sent {
                Ok(()) => return Ok(()),
                Err(error) if again && error.guest_trouble() == Some(GuestTrouble::UrlEnded) => again = false,
                Err(error) => return Err(error.in_operation(WRITE).on(self.vm.label())),
            }
        }
    }

    async fn upload(&self, url: &str, content: &Bytes) -> Result<()> {
        let pieces = stream::iter([Ok::<_, io::Error>(content.clone())]);
        let upload = self.vm.upload_guest_file(url).without_checksum();
        upload.from_stream(pieces, content.len() as u64).await.map(drop)
    }
}

fn is_unknown(error: &Error) -> bool {
    matches!(error.cause(), Some(Cause::UnknownHost | Cause::NameServer))
}

/// The URL with another host, and its own port.
fn with_host(url: &str, host: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_once('/')?;
    let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| port.bytes().all(|c| c.is_ascii_digit()));
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}://{host}{port}/{path}"))
}

impl Write {
    /// Its permissions, such as `0o600`; those of the file that it replaces by default, or `0o644`. Windows has none.
    pub fn permissions(mut self, mode: u32) -> Self {
        self.permissions = Some(mode);
        self
    }

    /// Refuses to replace a file that is there.
    pub fn new_only(mut self) -> Self {
        self.overwrite = false;
        self
    }

    /// Writes the file. One that it replaces gives it its permissions, and its owner where the guest's user may do that.
    ///
    /// # Errors
    /// `invalid_state` where there is a file and it is not to be replaced, or the file system is full or read-only;
    /// `invalid_argument` for a directory, a symbolic link, or permissions on Windows; and the errors of [`Guest::read`].
    pub async fn send(self) -> Result<Written> {
        let Self { guest, path, content, permissions, overwrite } = self;
        if permissions.is_some() && guest.family == Family::Windows {
            let text = "a file on Windows has no permissions of this kind".to_owned();
            return Err(guest.refused(WRITE, ErrorKind::InvalidArgument(text)));
        }
        if permissions.is_some_and(|mode| mode > 0o7777) {
            let text = "permissions have four octal digits, such as 0644".to_owned();
            return Err(guest.refused(WRITE, ErrorKind::InvalidArgument(text)));
        }
        let before = guest.file(&path).await.map_err(|error| error.in_operation(WRITE))?;
        let before = before.filter(|file| file.kind == FileKind::File);
        let mode = permissions.map(i64::from).or_else(|| {
            let kept = before.as_ref().and_then(|file| file.permissions.as_deref())?;
            i64::from_str_radix(kept, 8).ok()
        });
        let posix = |owner: Option<i32>, group: Option<i32>| {
            let attributes =
                GuestPosixFileAttributes { owner_id: owner, group_id: group, permissions: mode, ..Default::default() };
            Poly::new(attributes)
        };
        let attributes = match mode {
            Some(_) => posix(None, None),
            None => Poly::new(GuestFileAttributes::default()),
        };
        match content.is_empty() {
            // A file without content can't be sent.
            true => guest.make_empty(&path, overwrite).await?,
            false => guest.send(&path, content.clone(), attributes.clone(), overwrite).await?,
        }
        let change = |attributes: Poly<GuestFileAttributes>| {
            let (guest, path) = (guest.clone(), path.clone());
            async move {
                let asked = guest.ask(WRITE, || {
                    guest.files.change_file_attributes_in_guest(guest.vm.reference(), &guest.auth, &path, &attributes)
                });
                asked.await
            }
        };
        if content.is_empty() && guest.family == Family::Posix {
            // The temporary file that it was is its user's alone.
            let mode = mode.unwrap_or(0o644);
            let attributes = GuestPosixFileAttributes { permissions: Some(mode), ..Default::default() };
            change(Poly::new(attributes)).await?;
        }
        let owner_kept = match &before {
            Some(GuestFile { owner: Some(owner), group, .. }) => {
                match change(posix(Some(*owner), *group)).await {
                    Ok(()) => Some(true),
                    // Only an administrator may give files away.
                    Err(error) if error.guest_trouble() == Some(GuestTrouble::Denied) => Some(false),
                    Err(error) => return Err(error),
                }
            }
            _ => None,
        };
        Ok(Written {
            vm: guest.vm.label().to_owned(),
            size: content.len() as u64,
            replaced: before.is_some(),
            permissions: mode.map(|mode| format!("{mode:04o}")),
            owner_kept,
            path,
        })
    }
}

impl Guest {
    /// Makes an empty file: one with a name of its own, which is moved.
    async fn make_empty(&self, path: &str, overwrite: bool) -> Result<()> {
        let separators: &[char] = if self.family == Family::Windows { &['\\', '/'] } else { &['/'] };
        let above = path.rsplit_once(separators).map(|(above, _)| if above.is_empty() { "/" } else { above });
        let made = self.ask(WRITE, || {
            let vm = self.vm.reference();
            self.files.create_temporary_file_in_guest(vm, &self.auth, ".mcv-", "", above)
        });
        let made = made.await?;
        let mut temporary = Temporary::new(self);
        temporary.files.push(made.clone());
        let moved =
            self.ask(WRITE, || self.files.move_file_in_guest(self.vm.reference(), &self.auth, &made, path, overwrite));
        match moved.await {
            Ok(()) => {
                temporary.files.clear();
                Ok(())
            }
            Err(error) => {
                temporary.give_up().await;
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_replaced_and_its_port_kept() {
        let url = |host: &str| with_host("https://esx-1.corp:8443/guestFile?id=1&token=a:b/c", host);
        assert_eq!(url("10.0.0.1").as_deref(), Some("https://10.0.0.1:8443/guestFile?id=1&token=a:b/c"));
        assert_eq!(url("fd00::1").as_deref(), Some("https://[fd00::1]:8443/guestFile?id=1&token=a:b/c"));
        assert_eq!(with_host("https://esx/guestFile?x", "h").as_deref(), Some("https://h/guestFile?x"));
        assert_eq!(with_host("nonsense", "h"), None);
    }

    #[test]
    fn content_is_text_or_base64() {
        let json = |bytes: &[u8], size| {
            let content = Content { path: "/a".to_owned(), size, modified: None, bytes: bytes.to_vec() };
            serde_json::to_value(content).unwrap()
        };
        assert_eq!(json("ü".as_bytes(), 2)["content"]["untrusted"], "ü");
        assert_eq!(json(b"\xff\x00", 2)["encoding"], "base64");
        let cut = json(b"a\xc3", 10);
        assert_eq!(
            (&cut["content"]["untrusted"], &cut["note"]),
            (&"a".into(), &"only the first 2 bytes are shown".into())
        );
    }
}
