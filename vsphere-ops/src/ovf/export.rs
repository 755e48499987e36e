//! A package that is made of a VM.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures::TryStreamExt as _;
use serde::Serialize;
use vsphere_model::managed::{VirtualMachine, VirtualMachineSnapshot, virtual_machine};
use vsphere_model::types::{
    HttpNfcLeaseDeviceUrl, ManagedObjectReference, OvfCreateDescriptorParams, OvfFile as FileOfOvf,
};

use super::contents::{message, refuse};
use super::folder::{Directory, LocalFolder};
use super::manager;
use super::manifest::Manifest;
use super::ova::{Ova, Writer};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::guard;
use crate::mo::Mo;
use crate::transfer::{Algorithm, Checksum, FileStream, Lease, TransferProgress};

pub(super) const OPERATION: &str = "export";

/// A size that has as many digits as any.
const LARGEST: i64 = i64::MAX;

/// By how many bytes a descriptor may be longer than the one that was made beforehand.
const SLACK: u64 = 4096;

impl Mo<VirtualMachine> {
    /// A package that is to be made of the VM, which must be off unless one of its snapshots is exported. Nothing is sent
    /// before one of [`to_directory`](Export::to_directory), [`to_folder`](Export::to_folder), [`to_ova`](Export::to_ova),
    /// [`to_datastore`](Export::to_datastore) and [`to_ova_on_datastore`](Export::to_ova_on_datastore).
    pub fn ovf_export(&self) -> Export {
        Export {
            vm: self.clone(),
            snapshot: None,
            images: false,
            name: None,
            manifest: Algorithm::Sha256,
            listener: None,
        }
    }
}

/// A package that is to be made of a VM: a descriptor, its disks, the variables of its firmware, and a manifest.
///
/// The same VM makes the same package, byte by byte, as long as the server gives the same content.
///
/// ```no_run
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use std::sync::Arc;
/// use vsphere_ops::managed::{Datastore, VirtualMachine};
/// use vsphere_ops::ovf::Directory;
/// use vsphere_ops::transfer::Algorithm;
///
/// let vm = client.get::<VirtualMachine>("web-01").await?;
/// let exported = vm.ovf_export().to_directory("exported").await?;
/// println!("{} and {} files more", exported.descriptor, exported.files.len());
///
/// // A VM that runs, by a snapshot of it, into one file.
/// let snapshot = vm.snapshot("before-upgrade").await?;
/// let export = vm.ovf_export().snapshot(&snapshot).images().named("web").manifest(Algorithm::Sha1);
/// let export = export.on_progress(|progress| println!("{} bytes", progress.bytes));
/// export.to_ova(Arc::new(Directory::new("exported")), "web.ova").await?;
///
/// // Into a folder that decides itself what may be written.
/// vm.ovf_export().to_folder(Arc::new(Directory::new("exported"))).await?;
///
/// // To where the server can read it again.
/// let store = client.get::<Datastore>("nvme-01").await?;
/// vm.ovf_export().to_datastore(&store, "exported/web-01").await?;
/// vm.ovf_export().to_ova_on_datastore(&store, "exported/web-01.ova").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "an export starts when it is told where to go"]
pub struct Export {
    vm: Mo<VirtualMachine>,
    snapshot: Option<Mo<VirtualMachineSnapshot>>,
    images: bool,
    name: Option<String>,
    manifest: Algorithm,
    listener: Told,
}

/// A package that was made of a VM.
///
/// ```
/// use vsphere_ops::ovf::Exported;
///
/// fn total(exported: &Exported) -> u64 {
///     exported.files.iter().map(|file| file.bytes).sum()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Exported {
    /// The name of the descriptor, beside the other files or within the archive.
    pub descriptor: String,
    /// The name of the manifest.
    pub manifest: String,
    /// The files of the VM.
    pub files: Vec<ExportedFile>,
    /// What the server warns of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A file of a package that was made.
///
/// ```
/// use vsphere_ops::ovf::ExportedFile;
///
/// fn line(file: &ExportedFile) -> String {
///     format!("{}  {}", file.checksum, file.name)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExportedFile {
    /// The name.
    pub name: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// Its checksum, as the manifest has it.
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub checksum: Checksum,
}

fn as_text<S: serde::Serializer>(checksum: &Checksum, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(checksum)
}

impl Export {
    /// Exports the VM as it was in this snapshot. It may run meanwhile.
    pub fn snapshot(mut self, snapshot: &Mo<VirtualMachineSnapshot>) -> Self {
        self.snapshot = Some(snapshot.clone());
        self
    }

    /// Takes the images in its CD drives along.
    pub fn images(mut self) -> Self {
        self.images = true;
        self
    }

    /// Says what the files are called by; the VM's name by default.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Says which checksums the manifest has; SHA-256 by default.
    pub fn manifest(mut self, algorithm: Algorithm) -> Self {
        self.manifest = algorithm;
        self
    }

    /// Calls `listener` with the progress over all files, ten times a second at most. How many bytes there will be is not
    /// known before the end.
    pub fn on_progress(mut self, listener: impl Fn(TransferProgress) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Writes the package into a local directory that is there. No file in it is replaced, and where the export fails or is
    /// given up, none of its files stays.
    ///
    /// # Errors
    /// The fault `InvalidPowerState` if the VM is not off, `file` if a file is there already or can't be written, and
    /// server errors.
    pub async fn to_directory(self, path: impl Into<PathBuf>) -> Result<Exported> {
        self.to_folder(Arc::new(Directory::new(path))).await
    }

    /// As [`to_directory`](Self::to_directory), into a folder that decides itself what may be written.
    ///
    /// # Errors
    /// As [`to_directory`](Self::to_directory).
    pub async fn to_folder(self, folder: Arc<dyn LocalFolder>) -> Result<Exported> {
        let plan = self.open().await?;
        let mut made = Made { folder, names: Vec::new() };
        let done = async {
            let mut files = Vec::new();
            for (device, name) in &plan.devices {
                let mut stream = plan.fetch(device, sum(&files)).await?;
                let mut writer = Writer::new(made.create(name)?);
                while let Some(piece) = stream.try_next().await? {
                    writer.write(piece).await.map_err(|error| local(name, error))?;
                }
                writer.flush().await.map_err(|error| local(name, error))?;
                files.push(file_of(name, &stream)?);
            }
            let (descriptor, warnings) = plan.descriptor(&files).await?;
            let manifest = plan.manifest(&descriptor, &files);
            for (name, text) in [(plan.file("ovf"), descriptor), (plan.file("mf"), manifest)] {
                let mut writer = Writer::new(made.create(&name)?);
                writer.write(text.into()).await.map_err(|error| local(&name, error))?;
                writer.flush().await.map_err(|error| local(&name, error))?;
            }
            Ok((files, warnings))
        };
        let (files, warnings) = plan.or_abort(done.await).await?;
        let exported = plan.complete(files, warnings).await?;
        made.names.clear();
        Ok(exported)
    }

    /// Writes the package as one file, an OVA, into a local folder.
    ///
    /// # Errors
    /// As [`to_directory`](Self::to_directory).
    pub async fn to_ova(self, folder: Arc<dyn LocalFolder>, archive: &str) -> Result<Exported> {
        let plan = self.open().await?;
        let mut made = Made { folder, names: Vec::new() };
        let done = async {
            // The descriptor is at the front: how long it gets is known with sizes that are as long as any.
            let any = Checksum::of_nothing(plan.algorithm);
            let unknown =
                |(_, name): &(_, String)| ExportedFile { name: name.clone(), bytes: LARGEST as u64, checksum: any };
            let unknown: Vec<ExportedFile> = plan.devices.iter().map(unknown).collect();
            let length = plan.descriptor(&unknown).await?.0.len() as u64 + SLACK;
            let manifest_length = plan.manifest("", &unknown).len() as u64;
            let failed = |error: io::Error| local(archive, error);
            let file = made.create(archive)?;
            let mut ova = Ova::new(file, (plan.file("ovf"), length), (plan.file("mf"), manifest_length));
            let mut files = Vec::new();
            for (device, name) in &plan.devices {
                let mut stream = plan.fetch(device, sum(&files)).await?;
                ova.begin().await.map_err(failed)?;
                while let Some(piece) = stream.try_next().await? {
                    ova.write(piece).await.map_err(failed)?;
                }
                ova.end(name).await.map_err(failed)?;
                files.push(file_of(name, &stream)?);
            }
            let (mut descriptor, warnings) = plan.descriptor(&files).await?;
            // White space may follow the last element.
            let missing = usize::try_from(length).unwrap_or_default().saturating_sub(descriptor.len());
            descriptor.extend(std::iter::repeat_n('\n', missing));
            let manifest = plan.manifest(&descriptor, &files);
            ova.finish(&descriptor, &manifest).await.map_err(failed)?;
            Ok((files, warnings))
        };
        let (files, warnings) = plan.or_abort(done.await).await?;
        let exported = plan.complete(files, warnings).await?;
        made.names.clear();
        Ok(exported)
    }

    pub(super) async fn open(self) -> Result<Plan> {
        let client = self.vm.client().clone();
        let named = self.vm.read(virtual_machine::NAME).await?;
        let name = self.name.unwrap_or_else(|| crate::name::decode(&named));
        let base = file_name(&name);
        let vm = self.vm.reference().clone();
        let snapshot = self.snapshot.as_ref().map(|snapshot| snapshot.reference().clone());
        let (of_vm, of_snapshot) = (vm.clone(), snapshot.clone());
        let lease = guard::made(&client, |client| async move {
            let lease = match of_snapshot {
                Some(snapshot) => client.raw::<VirtualMachineSnapshot>(&snapshot).export_snapshot().await?,
                None => client.raw::<VirtualMachine>(&of_vm).export_vm().await?,
            };
            Lease::ready(&client, &lease, &|_| ()).await
        });
        let lease = lease.await.map_err(|error| error.in_operation(OPERATION).on(&named))?;
        let mut devices = Vec::new();
        for device in lease.devices() {
            let is_disk = device.disk == Some(true);
            let is_nvram = device.key.ends_with("/nvram");
            if !is_disk && !is_nvram && !self.images {
                continue;
            }
            let (kind, ending) = match (is_disk, is_nvram) {
                (true, _) => ("disk", "vmdk"),
                (_, true) => ("nvram", "nvram"),
                _ => ("image", "iso"),
            };
            let kind = format!("{base}-{kind}-");
            let number = devices.iter().filter(|(_, name): &&(_, String)| name.starts_with(&kind)).count() + 1;
            devices.push((device.clone(), format!("{kind}{number}.{ending}")));
        }
        let plan = Plan {
            client,
            lease,
            vm,
            snapshot,
            name,
            base,
            devices,
            images: self.images,
            algorithm: self.manifest,
            listener: self.listener,
        };
        // What has no place in a descriptor makes the work vain: that is told before it is done.
        let empty = |(_, name): &(_, String)| ExportedFile {
            name: name.clone(),
            bytes: 0,
            checksum: Checksum::of_nothing(plan.algorithm),
        };
        let dry: Vec<ExportedFile> = plan.devices.iter().map(empty).collect();
        let checked = plan.descriptor(&dry).await;
        plan.or_abort(checked).await.map(|_| ())?;
        Ok(plan)
    }
}

/// What is called with the progress over all files.
pub(super) type Told = Option<Arc<dyn Fn(TransferProgress) + Send + Sync>>;

/// An export whose lease is open.
pub(super) struct Plan {
    client: Client,
    lease: Lease,
    vm: ManagedObjectReference,
    snapshot: Option<ManagedObjectReference>,
    name: String,
    /// What the names of the files begin with.
    base: String,
    /// With the names that their files get.
    pub(super) devices: Vec<(HttpNfcLeaseDeviceUrl, String)>,
    images: bool,
    pub(super) algorithm: Algorithm,
    pub(super) listener: Told,
}

impl Plan {
    pub(super) fn file(&self, ending: &str) -> String {
        format!("{}.{ending}", self.base)
    }

    pub(super) async fn fetch(&self, device: &HttpNfcLeaseDeviceUrl, before: u64) -> Result<FileStream> {
        let mut download = self.lease.download(device).algorithm(self.algorithm);
        if let Some(listener) = self.listener.clone() {
            download = download.on_progress(move |progress| {
                listener(TransferProgress::new(before + progress.bytes, None, progress.rate));
            });
        }
        download.stream().await
    }

    /// The descriptor with these files, and what the server warns of.
    pub(super) async fn descriptor(&self, files: &[ExportedFile]) -> Result<(String, Vec<String>)> {
        let file = |((device, _), file): (&(HttpNfcLeaseDeviceUrl, String), &ExportedFile)| FileOfOvf {
            device_id: device.key.clone(),
            path: file.name.clone(),
            size: i64::try_from(file.bytes).unwrap_or(LARGEST),
            ..Default::default()
        };
        let params = OvfCreateDescriptorParams {
            ovf_files: self.devices.iter().zip(files).map(file).collect(),
            name: Some(self.name.clone()),
            include_image_files: Some(self.images),
            snapshot: self.snapshot.clone(),
            ..Default::default()
        };
        let made = manager(&self.client)?.create_descriptor(&self.vm, &params).await;
        let made = made.map_err(|error| Error::from(error).in_operation("describe the VM"))?;
        refuse("describe the VM", &made.error)?;
        Ok((made.ovf_descriptor, made.warning.iter().map(message).collect()))
    }

    pub(super) fn manifest(&self, descriptor: &str, files: &[ExportedFile]) -> String {
        let name = self.file("ovf");
        let sum = Checksum::of_bytes(self.algorithm, descriptor.as_bytes());
        let files = files.iter().map(|file| (file.name.as_str(), file.checksum));
        Manifest::write(std::iter::once((name.as_str(), sum)).chain(files))
    }

    /// The result; where it is an error, the lease is ended before that is told.
    pub(super) async fn or_abort<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.lease.give_up().await;
        }
        result.map_err(|error| error.in_operation(OPERATION))
    }

    pub(super) async fn complete(self, files: Vec<ExportedFile>, warnings: Vec<String>) -> Result<Exported> {
        let (descriptor, manifest) = (self.file("ovf"), self.file("mf"));
        self.lease.complete().await?;
        Ok(Exported { descriptor, manifest, files, warnings })
    }
}

pub(super) fn sum(files: &[ExportedFile]) -> u64 {
    files.iter().map(|file| file.bytes).sum()
}

fn file_of(name: &str, stream: &FileStream) -> Result<ExportedFile> {
    let none = || Error::new(OPERATION, ErrorKind::Corrupt("the file has no checksum".into())).on(name);
    Ok(ExportedFile { name: name.to_owned(), bytes: stream.received(), checksum: *stream.checksum().ok_or_else(none)? })
}

fn local(name: &str, error: io::Error) -> Error {
    Error::new(OPERATION, ErrorKind::File(error)).on(name)
}

/// A name of a VM as one of a file: without what leads into other folders, or means something to a shell or a file system.
fn file_name(name: &str) -> String {
    let fits = |character: char| match character {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        character if character.is_control() => '_',
        character => character,
    };
    let mut name: String = name.trim().chars().map(fits).take(64).collect();
    // The head of a member in an archive has room for 100 bytes, of which the ending takes some.
    name.truncate(name.floor_char_boundary(80));
    let name = name.trim_start_matches('.').trim_end();
    if name.is_empty() { "vm".to_owned() } else { name.to_owned() }
}

/// The local files that were made, which are removed unless all is well.
struct Made {
    folder: Arc<dyn LocalFolder>,
    names: Vec<String>,
}

impl Made {
    /// Makes a file and notes it, in one step that nobody can give up halfway.
    fn create(&mut self, name: &str) -> Result<std::fs::File> {
        let file = self.folder.create(name).map_err(|error| local(name, error))?;
        self.names.push(name.to_owned());
        Ok(file)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for name in &self.names {
            if let Err(error) = self.folder.remove(name) {
                tracing::warn!(file = name, %error, "a part of an export was left behind");
            }
        }
    }
}
