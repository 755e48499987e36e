//! What is on the screen of a VM, as a picture.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use vsphere_model::managed::{Datastore, VirtualMachine, datastore as ds, virtual_machine as vm};
use vsphere_model::types::VirtualMachinePowerState;
use vsphere_soap::ErrorKind as WireKind;
use vsphere_soap::http::FileCall;

use crate::datastore_path::DatastorePath;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::to_its_end;
use crate::mo::Mo;
use crate::task::start_for;

const OPERATION: &str = "take a screenshot of";

/// The largest picture that is read, in bytes.
const LARGEST: usize = 32 << 20;

/// How long the server may take for a file of the screen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A screenshot that is to be taken. Nothing is sent before it is awaited.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::console::Region;
/// use vsphere_ops::managed::VirtualMachine;
///
/// let web = client.get::<VirtualMachine>("web-01").await?;
/// let head = Region { left: 0, top: 0, right: 720, bottom: 80 };
/// let picture = web.screenshot().region(head).height(40).or_by_file().await?;
/// assert_eq!((picture.width(), picture.height()), (360, 40));
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a screenshot is taken when it is awaited"]
pub struct Screenshot {
    vm: Mo<VirtualMachine>,
    width: Option<u32>,
    height: Option<u32>,
    region: Option<Region>,
    by_file: bool,
}

/// A part of a screen, in its pixels: from its left and top, to before its right and bottom.
///
/// ```
/// use vsphere_ops::console::Region;
///
/// let last_line = Region { left: 0, top: 384, right: 720, bottom: 400 };
/// assert_eq!(last_line.bottom - last_line.top, 16);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// The first column.
    pub left: u32,
    /// The first line.
    pub top: u32,
    /// The column after the last.
    pub right: u32,
    /// The line after the last.
    pub bottom: u32,
}

/// A picture of a screen, in PNG.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
///
/// let picture = client.get::<VirtualMachine>("web-01").await?.screenshot().await?;
/// assert!(picture.png().starts_with(b"\x89PNG") && picture.width() > picture.height());
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    png: Bytes,
    width: u32,
    height: u32,
}

impl Mo<VirtualMachine> {
    /// Takes a picture of the VM's screen. The VM must run.
    pub fn screenshot(&self) -> Screenshot {
        Screenshot { vm: self.clone(), width: None, height: None, region: None, by_file: false }
    }
}

impl Screenshot {
    /// Scales the picture to so many pixels across; without a height, that keeps the ratio.
    pub fn width(self, pixels: u32) -> Self {
        Self { width: Some(pixels), ..self }
    }

    /// Scales the picture to so many pixels down; without a width, that keeps the ratio.
    pub fn height(self, pixels: u32) -> Self {
        Self { height: Some(pixels), ..self }
    }

    /// Takes this part of the screen only.
    pub fn region(self, region: Region) -> Self {
        Self { region: Some(region), ..self }
    }

    /// Where the server does not give the picture itself, has it written to a file beside the VM's configuration, which is
    /// fetched and deleted, also when the future is dropped. Such a picture is neither cut nor scaled.
    pub fn or_by_file(self) -> Self {
        Self { by_file: true, ..self }
    }

    async fn take(self) -> Result<Picture> {
        if self.vm.read(vm::POWER_STATE).await? != VirtualMachinePowerState::PoweredOn {
            let text = "only a VM that runs has a screen".to_owned();
            return Err(Error::new(OPERATION, ErrorKind::InvalidState(text)));
        }
        match self.fetch().await {
            Err(error) if self.by_file && was_answered(&error) => {
                tracing::debug!(%error, "the server gives no screen: a file of it is asked for");
                // Whatever becomes of the caller, and of the scope: a file that was made is deleted.
                let machine: Mo<VirtualMachine> =
                    Mo::new(&self.vm.client().outside_scopes().without_deadline(), self.vm.reference(), None);
                to_its_end(by_file(machine)).await
            }
            taken => taken,
        }
    }

    /// From the server itself.
    async fn fetch(&self) -> Result<Picture> {
        if let Some(guard) = self.vm.client().guard()
            && guard.permitted([self.vm.id()]).await? != [true]
        {
            let gone = crate::find::no_longer("VirtualMachine", self.vm.id());
            return Err(Error::new(OPERATION, ErrorKind::NotFound(gone)));
        }
        let mut path = format!("/screen?id={}", self.vm.id());
        if let Some(Region { left, top, right, bottom }) = self.region {
            path.push_str(&format!("&left={left}&top={top}&right={right}&bottom={bottom}"));
        }
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if let Some(side) = side {
                path.push_str(&format!("&{name}={side}"));
            }
        }
        let call = FileCall::new(OPERATION, &path).target(self.vm.label());
        let mut pieces = self.vm.client().transport().download(call).await.map_err(refused)?;
        let mut content = BytesMut::new();
        while let Some(piece) = pieces.try_next().await.map_err(Error::from)? {
            if content.len() + piece.len() > LARGEST {
                return Err(corrupt("the picture has more than 32 MiB"));
            }
            content.extend_from_slice(&piece);
        }
        Picture::read(content.freeze())
    }
}

impl IntoFuture for Screenshot {
    type Output = Result<Picture>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Picture>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let label = self.vm.label().to_owned();
        Box::pin(async move { self.take().await.map_err(|error| error.in_operation(OPERATION).on(label)) })
    }
}

/// Whether the server answered, and no picture: one that is not reached gives no file either.
fn was_answered(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Api(error) => error.status().is_some() || matches!(error.kind(), WireKind::NotAFile { .. }),
        _ => true,
    }
}

/// What an answer in place of a picture means.
fn refused(error: vsphere_soap::Error) -> Error {
    let kind = match error.status() {
        Some(401 | 403) => ErrorKind::Unreadable("the user may not see its screen".to_owned()),
        Some(404) => ErrorKind::NotFound("the server has no screen of it".to_owned()),
        _ => return error.into(),
    };
    Error::new(OPERATION, kind)
}

fn corrupt(text: &str) -> Error {
    Error::new(OPERATION, ErrorKind::Corrupt(text.to_owned()))
}

/// By a file that the server writes, and that is deleted whether it can be read or not.
async fn by_file(machine: Mo<VirtualMachine>) -> Result<Picture> {
    let client = machine.client();
    let task = start_for::<String>(client, OPERATION, machine.label(), machine.create_screenshot_task()).await?;
    let written = task.with_deadline(PATIENCE).await?;
    let (store, path) = place(&machine, &written).await?;
    let mut content = Vec::new();
    let fetched = store.download(path.to_string()).without_checksum().to_writer(&mut content).await;
    let deleted = store.delete_made(&path).await;
    if let Err(error) = &deleted {
        tracing::warn!(file = %path, %error, "the file of a screen was left behind");
    }
    fetched?;
    deleted?;
    Picture::read(content.into())
}

/// The datastore that has the file; older hosts write its path as they see it, `/vmfs/volumes/…`.
async fn place(machine: &Mo<VirtualMachine>, written: &str) -> Result<(Mo<Datastore>, DatastorePath)> {
    let unknown = || corrupt(&format!("the server wrote it to {written:?}, which is in none of the VM's datastores"));
    let on_host = written.strip_prefix("/vmfs/volumes/").and_then(|rest| rest.split_once('/'));
    let named: Option<DatastorePath> = if on_host.is_some() { None } else { Some(written.parse()?) };
    for reference in machine.read(vm::DATASTORE).await? {
        let store: Mo<Datastore> = Mo::new(machine.client(), &reference, None);
        let (name, summary) = store.read((ds::NAME, ds::SUMMARY)).await?;
        if let Some(path) = named.as_ref().filter(|path| path.datastore() == name) {
            return Ok((store, path.clone()));
        }
        let volume = summary.url.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        if let Some((_, rest)) = on_host.filter(|(at, _)| *at == name || *at == volume) {
            return Ok((store, DatastorePath::new(name, rest)?));
        }
    }
    Err(unknown())
}

/// What each PNG begins with, and the chunk that has its size.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const HEADER: &[u8] = b"IHDR";

impl Picture {
    /// # Errors
    /// `corrupt` where it is no PNG: what a server answers in place of a picture may be called one.
    fn read(png: Bytes) -> Result<Self> {
        let number = |at: usize| Some(u32::from_be_bytes(png.get(at..at.checked_add(4)?)?.try_into().ok()?));
        let is_png = png.starts_with(SIGNATURE) && png.get(12..16) == Some(HEADER);
        let size = number(16).zip(number(20)).filter(|(width, height)| is_png && *width > 0 && *height > 0);
        let (width, height) = size.ok_or_else(|| corrupt("what the server answered is no PNG"))?;
        Ok(Self { png, width, height })
    }

    /// The picture, as a PNG file has it.
    pub fn png(&self) -> &Bytes {
        &self.png
    }

    /// How many pixels it has across.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// How many pixels it has down.
    pub fn height(&self) -> u32 {
        self.height
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({} x {}, {} bytes)", self.width, self.height, self.png.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_png_is_a_picture() {
        let mut png = Vec::from(SIGNATURE);
        png.extend(b"\0\0\0\x0dIHDR\0\0\x02\xd0\0\0\x01\x90");
        let picture = Picture::read(png.clone().into()).unwrap();
        assert_eq!((picture.width(), picture.height()), (720, 400));
        for broken in [&b""[..], b"<html>", &png[..12], &png[..20], &[0; 30]] {
            assert_eq!(Picture::read(broken.to_vec().into()).unwrap_err().code(), "corrupt");
        }
    }
}
