//! Packages that are written onto a datastore: as a folder, or as one file, an OVA.
//!
//! An archive says before each file how long it is, and has at its front a descriptor that says so of all. Of a disk that is
//! known when its last byte has come, and a datastore takes a file from its first byte to its last. So the files go into a
//! temporary folder beside the archive first, the archive is written there from them, and gets its place when it is whole.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use vsphere_model::managed::{Datastore, FileManager, datastore};
use vsphere_model::types::ManagedObjectReference;

use super::export::{Export, Exported, ExportedFile, OPERATION, Plan, Told, sum};
use super::ova;
use crate::client::Client;
use crate::datastore_path::DatastorePath;
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::guard;
use crate::mo::Mo;
use crate::placement::datacenter_of;
use crate::task::{BUSY, start_for};
use crate::transfer::{Checksum, Pieces, TransferProgress, in_datastore};

/// The pauses before a folder is removed again that the server would not let go: it may still hold a file whose transfer
/// was cut off.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20)];

impl Export {
    /// Writes the package into a new folder of a datastore. Where the export fails or is given up, the folder is removed.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{Datastore, VirtualMachine};
    ///
    /// let vm = client.get::<VirtualMachine>("web-04").await?;
    /// let store = client.get::<Datastore>("nvme-01").await?;
    /// let folder = vm.ovf_export().to_datastore(&store, "exported/web-04").await?;
    /// let archive = vm.ovf_export().to_ova_on_datastore(&store, "exported/web-04.ova").await?;
    /// println!("{} and {}", folder.descriptor, archive.manifest);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The fault `InvalidPowerState` if the VM is not off, `FileAlreadyExists` if the folder is there, and server errors.
    pub async fn to_datastore(self, store: &Mo<Datastore>, folder: &str) -> Result<Exported> {
        let path = in_datastore(&store.read(datastore::NAME).await?, folder)?;
        let made = NewFolder::make(store, path).await?;
        let plan = self.open().await?;
        let done = async {
            let mut files = Vec::new();
            for number in 0..plan.devices.len() {
                let name = plan.devices.get(number).map(|(_, name)| name.clone()).unwrap_or_default();
                files.push(plan.store(number, &files, store, &made.path.join(&name)?).await?);
            }
            let (descriptor, warnings) = plan.descriptor(&files).await?;
            let manifest = plan.manifest(&descriptor, &files);
            for (name, text) in [(plan.file("ovf"), descriptor), (plan.file("mf"), manifest)] {
                let length = text.len() as u64;
                let pieces = stream::iter([Ok(Bytes::from(text))]);
                let upload = store.upload(made.path.join(&name)?.to_string()).without_checksum();
                upload.from_stream(pieces, length).await?;
            }
            Ok((files, warnings))
        };
        let (files, warnings) = plan.or_abort(done.await).await?;
        let exported = plan.complete(files, warnings).await?;
        made.keep();
        Ok(exported)
    }

    /// Writes the package as one file, an OVA, onto a datastore.
    ///
    /// How long a disk is shows at its end, so its content is kept in a temporary folder beside the archive before it goes
    /// into that: the datastore needs room for the package twice, and the content goes through this program three times.
    /// The VM is released as soon as it was read. The folder is removed in the end, also where the export fails or is given
    /// up; no file is replaced, and the archive is whole when it appears.
    ///
    /// # Errors
    /// As [`to_datastore`](Self::to_datastore); `invalid_state` if there is a file already; `corrupt` if the datastore gives
    /// back another content than it got.
    pub async fn to_ova_on_datastore(self, store: &Mo<Datastore>, archive: &str) -> Result<Exported> {
        let target = in_datastore(&store.read(datastore::NAME).await?, archive)?;
        let (Some(name), Some(folder)) = (target.file_name(), target.parent()) else {
            return Err(invalid(OPERATION, "the path names the datastore itself, not a file in it").on(archive));
        };
        if store.find_file(&target.to_string()).await?.is_some() {
            let text = format!("{target} is there already");
            return Err(Error::new(OPERATION, ErrorKind::InvalidState(text)));
        }
        let aside = folder.join(&format!("{name}.{:08x}.part", fastrand::u32(..)))?;
        let made = NewFolder::make(store, aside).await?;
        let plan = self.open().await?;
        let done = async {
            let mut files = Vec::new();
            for number in 0..plan.devices.len() {
                files.push(plan.store(number, &files, store, &made.content(number)?).await?);
            }
            let (descriptor, warnings) = plan.descriptor(&files).await?;
            let manifest = plan.manifest(&descriptor, &files);
            Ok((files, warnings, descriptor, manifest))
        };
        let (files, warnings, descriptor, manifest) = plan.or_abort(done.await).await?;
        let listener = plan.listener.clone();
        let exported = plan.complete(files, warnings).await?;
        let texts = [(exported.descriptor.as_str(), descriptor), (exported.manifest.as_str(), manifest)];
        let packed = made.pack(store, &texts, &exported.files, listener).await;
        packed.map_err(|error| error.in_operation(OPERATION).on(target.to_string()))?;
        made.give(&target).await?;
        made.remove().await;
        Ok(exported)
    }
}

impl Plan {
    /// Fetches the file of a device, which these were fetched before, and stores it at the path.
    async fn store(
        &self,
        number: usize,
        before: &[ExportedFile],
        store: &Mo<Datastore>,
        path: &DatastorePath,
    ) -> Result<ExportedFile> {
        let none = || Error::new(OPERATION, ErrorKind::NotFound("the lease has no such device".into()));
        let (device, name) = self.devices.get(number).ok_or_else(none)?;
        let content = self.fetch(device, sum(before)).await?;
        let upload = store.upload(path.to_string()).algorithm(self.algorithm);
        let sent = upload.from_stream(content.map_err(io::Error::other).boxed(), None).await?;
        let checksum = sent.checksum.unwrap_or_else(|| Checksum::of_nothing(self.algorithm));
        Ok(ExportedFile { name: name.clone(), bytes: sent.bytes, checksum })
    }
}

/// A folder of a datastore that was made, and is removed unless all is well.
struct NewFolder {
    client: Client,
    path: DatastorePath,
    datacenter: ManagedObjectReference,
    keep: bool,
}

impl NewFolder {
    async fn make(store: &Mo<Datastore>, path: DatastorePath) -> Result<Self> {
        let client = store.client().clone();
        let datacenter = datacenter_of(&client, store.reference()).await?.reference().clone();
        guard::made(&client, |client| async move {
            let text = path.to_string();
            let made = file_manager(&client)?.make_directory(&text, Some(&datacenter), Some(true)).await;
            made.map_err(|error| Error::from(error).in_operation("make the folder").on(text))?;
            Ok(Self { client, path, datacenter, keep: false })
        })
        .await
    }

    /// Where the file of a device is. Its name says nothing of a disk, of which a server would give something else than it got.
    fn content(&self, number: usize) -> Result<DatastorePath> {
        self.path.join(&format!("{number}.part"))
    }

    /// Where the archive is until it is whole.
    fn archive(&self) -> Result<DatastorePath> {
        self.path.join("archive.part")
    }

    /// Makes the archive of these texts and of the files that are in the folder.
    async fn pack(
        &self,
        store: &Mo<Datastore>,
        texts: &[(&str, String)],
        files: &[ExportedFile],
        listener: Told,
    ) -> Result<()> {
        let mut pieces: Vec<Pieces> = Vec::new();
        let mut length = 0;
        let mut add = |piece: Bytes, pieces: &mut Vec<Pieces>| {
            length += piece.len() as u64;
            pieces.push(stream::iter([Ok(piece)]).boxed());
        };
        let unfit = |error: io::Error| Error::new(OPERATION, ErrorKind::File(error));
        for (name, text) in texts {
            ova::member(name, text).map_err(unfit)?.into_iter().for_each(|piece| add(piece, &mut pieces));
        }
        for (number, file) in files.iter().enumerate() {
            add(ova::head(&file.name, file.bytes).map_err(unfit)?, &mut pieces);
            let download = store.download(self.content(number)?.to_string()).expect(file.checksum);
            // It is asked for when its turn comes: no server would hold it that long.
            let content = stream::once(async move { download.stream().await.map_err(io::Error::other) });
            pieces.push(content.map_ok(|content| content.map_err(io::Error::other)).try_flatten().boxed());
            add(ova::padding(file.bytes), &mut pieces);
        }
        add(ova::end(), &mut pieces);
        let content = sum(files);
        let total = length + content;
        let mut upload = store.upload(self.archive()?.to_string()).without_checksum();
        if let Some(listener) = listener {
            upload = upload.on_progress(move |progress| {
                listener(TransferProgress::new(content + progress.bytes, Some(content + total), progress.rate));
            });
        }
        upload.from_stream(stream::iter(pieces).flatten(), total).await.map(drop)
    }

    /// Moves the archive to its place, where nothing may be.
    async fn give(&self, target: &DatastorePath) -> Result<()> {
        let (from, to) = (self.archive()?.to_string(), target.to_string());
        let datacenter = Some(&self.datacenter);
        let manager = file_manager(&self.client)?;
        let request = manager.move_datastore_file_task(&from, datacenter, &to, datacenter, Some(false));
        start_for::<()>(&self.client, OPERATION, &to, request).await?.await
    }

    fn keep(mut self) {
        self.keep = true;
    }

    /// Removes the folder now, rather than in the background.
    async fn remove(mut self) {
        self.keep = true;
        let (client, path, datacenter) = self.parts();
        // What is left in it is no loss, and the export is made.
        guard::cleaned_up(async move { remove(&client, &path, &datacenter).await }).await;
    }

    fn parts(&self) -> (Client, String, ManagedObjectReference) {
        (self.client.without_deadline(), self.path.to_string(), self.datacenter.clone())
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.keep {
            let (client, path, datacenter) = self.parts();
            guard::clean_up(async move { remove(&client, &path, &datacenter).await });
        }
    }
}

async fn remove(client: &Client, path: &str, datacenter: &ManagedObjectReference) {
    let mut pauses = PAUSES.iter();
    loop {
        let removed = client.retry_while_busy(BUSY, || async {
            let manager = file_manager(client)?;
            let request = manager.delete_datastore_file_task(path, Some(datacenter));
            start_for::<()>(client, "remove the folder", path, request).await?.await
        });
        let Err(error) = removed.await else { return };
        match pauses.next() {
            Some(pause) if !error.is_not_found() => tokio::time::sleep(*pause).await,
            _ => {
                tracing::warn!(%path, %error, "a part of an export was left behind");
                return;
            }
        }
    }
}

fn file_manager(client: &Client) -> Result<FileManager> {
    let manager = client.content().file_manager.as_ref();
    let none = || Error::new(OPERATION, ErrorKind::Unsupported("the server has no file manager".into()));
    Ok(client.raw(manager.ok_or_else(none)?))
}
