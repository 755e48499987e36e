//! NFC leases: they allow the transfer of a VM's disks for as long as they are kept alive.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use vsphere_model::managed::{HttpNfcLease, VirtualMachine, http_nfc_lease};
use vsphere_model::types::{
    HttpNfcLeaseDeviceUrl, HttpNfcLeaseInfo, HttpNfcLeaseManifestEntry, HttpNfcLeaseSourceFile, HttpNfcLeaseState,
    KeyValue, LocalizedMethodFault, ManagedObjectReference, ObjectSpec, OvfFileItem, PropertyFilterSpec,
};

use vsphere_soap::request::ManagedObject as _;

use super::download::Download;
use super::route::{Place, Url};
use super::upload::Upload;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::guard;
use crate::mo::Mo;
use crate::read::property_spec;
use crate::task::Task;
use crate::waiter::Waiter;

/// An NFC lease, by which the disks of a VM are exported or imported.
///
/// It is kept alive while it exists, and ends with [`complete`](Self::complete). In any other case (a transfer fails or is
/// cancelled, the lease is dropped) it is aborted, so that the server does not keep half a VM.
///
/// ```no_run
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::VirtualMachine;
///
/// let lease = client.get::<VirtualMachine>("web-01").await?.export_lease().await?;
/// for (number, device) in lease.devices().iter().enumerate() {
///     lease.download(device).to_file(format!("disk-{number}.vmdk")).await?;
/// }
/// lease.complete().await
/// # }
/// ```
pub struct Lease {
    share: LeaseShare,
    info: HttpNfcLeaseInfo,
    keeper: Option<tokio::task::JoinHandle<()>>,
}

impl Mo<VirtualMachine> {
    /// Opens a lease to export the disks of the VM, which must be off, and waits until it is ready.
    ///
    /// # Errors
    /// The fault `InvalidPowerState` if the VM is on, and server errors.
    pub async fn export_lease(&self) -> Result<Lease> {
        let operation = |error: Error| error.in_operation("export").on(self.label());
        let reference = self.export_vm().await.map_err(|error| operation(error.into()))?;
        Lease::ready(self.client(), &reference, &|_| ()).await.map_err(operation)
    }
}

impl Lease {
    /// Takes over a lease that an API method has returned, and waits until it is ready.
    ///
    /// `progress` is called with the per cent of what the server does before that.
    ///
    /// ```no_run
    /// use vsphere_ops::managed::ResourcePool;
    /// use vsphere_ops::transfer::Lease;
    /// use vsphere_ops::types::{ImportSpec, Poly};
    ///
    /// # use vsphere_ops::{Client, Mo, Result};
    /// # async fn import(client: Client, pool: Mo<ResourcePool>, spec: Poly<ImportSpec>) -> Result<()> {
    /// let lease = pool.import_v_app(&spec, None, None).await?;
    /// let lease = Lease::ready(&client, &lease, &|percent| println!("{percent} %")).await?;
    /// println!("{} must be fed every {} s, which is seen to", lease.entity(), lease.info().lease_timeout);
    /// lease.expect_bytes(1_000_000_000);
    /// for device in lease.devices() {
    ///     if let Err(error) = lease.upload(device).from_file("disk.vmdk").await {
    ///         lease.abort().await; // at once; dropping it does the same in the background
    ///         return Err(error);
    ///     }
    /// }
    /// lease.complete().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// The fault that the lease ended with, and connection errors.
    pub async fn ready(
        client: &Client,
        reference: &ManagedObjectReference,
        progress: &(dyn Fn(u8) + Send + Sync),
    ) -> Result<Self> {
        let share = LeaseShare(Arc::new(Share {
            lease: client.raw(reference),
            client: client.clone(),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }));
        // From here on it is aborted, unless it is completed.
        let mut lease = Self { share, info: HttpNfcLeaseInfo::default(), keeper: None };
        lease.info = lease.wait(reference, progress).await.map_err(|error| error.in_operation("wait for the lease"))?;
        let capacity = u64::try_from(lease.info.total_disk_capacity_in_kb).unwrap_or(0).saturating_mul(1024);
        lease.share.0.total.store(capacity, Ordering::Relaxed);
        lease.keeper = Some(tokio::spawn(keep(Arc::downgrade(&lease.share.0), period(lease.info.lease_timeout))));
        Ok(lease)
    }

    async fn wait(
        &self,
        reference: &ManagedObjectReference,
        progress: &(dyn Fn(u8) + Send + Sync),
    ) -> Result<HttpNfcLeaseInfo> {
        let paths = ["state", "initializeProgress", "error", "info"];
        let client = &self.share.0.client;
        let mut waiter = Waiter::open(client).await?;
        waiter
            .watch(&PropertyFilterSpec {
                prop_set: vec![property_spec(&reference.type_, paths)],
                object_set: vec![ObjectSpec { obj: reference.clone(), ..Default::default() }],
                ..Default::default()
            })
            .await?;
        let mut state = State::default();
        let ended = loop {
            let update = match waiter.next().await {
                Ok(update) => update.unwrap_or_default(),
                Err(error) => break Err(error),
            };
            let objects = update.filter_set.into_iter().flat_map(|filter| filter.object_set);
            for change in objects.flat_map(|object| object.change_set) {
                let value = change.val.unwrap_or_default();
                match change.name.as_str() {
                    "state" => state.state = value.take().ok(),
                    "initializeProgress" => {
                        let percent: i32 = value.take().unwrap_or(0);
                        progress(u8::try_from(percent.clamp(0, 100)).unwrap_or(100));
                    }
                    "error" => state.error = value.take().ok(),
                    "info" => state.info = value.take().ok(),
                    _ => {}
                }
            }
            match state.state {
                Some(HttpNfcLeaseState::Ready) if state.info.is_some() => break Ok(state.info.unwrap_or_default()),
                Some(HttpNfcLeaseState::Error) => {
                    self.share.0.ended.store(true, Ordering::Release);
                    break Err(Error::new("wait", ErrorKind::Task(state.error.unwrap_or_default())));
                }
                Some(HttpNfcLeaseState::Done) => {
                    self.share.0.ended.store(true, Ordering::Release);
                    break Err(Error::new("wait", ErrorKind::Unsupported("the lease has ended already".into())));
                }
                _ => {}
            }
        };
        waiter.close().await;
        ended
    }

    /// The VM that the lease is for.
    pub fn entity(&self) -> &ManagedObjectReference {
        &self.info.entity
    }

    /// The files of the lease.
    pub fn devices(&self) -> &[HttpNfcLeaseDeviceUrl] {
        &self.info.device_url
    }

    /// The server's information about the lease.
    pub fn info(&self) -> &HttpNfcLeaseInfo {
        &self.info
    }

    /// Says how many bytes all transfers will have together, for the progress that the server shows. Without it the
    /// capacity of the disks is taken.
    pub fn expect_bytes(&self, total: u64) {
        self.share.0.total.store(total, Ordering::Relaxed);
    }

    /// Fetches a file of the lease.
    pub fn download(&self, device: &HttpNfcLeaseDeviceUrl) -> Download {
        Download::new(self.place(device), Some(self.share.clone()))
    }

    /// Sends a file of the lease. What goes to a disk must be a streamOptimized VMDK, and is looked at first.
    pub fn upload(&self, device: &HttpNfcLeaseDeviceUrl) -> Upload {
        Upload::new(self.place(device), Some(self.share.clone()))
    }

    /// Sends the file that a descriptor has for a device. A file that the server creates goes as it is; one that it does
    /// not create is the content of a disk, which must be a streamOptimized VMDK, and is looked at first.
    ///
    /// ```no_run
    /// use vsphere_ops::transfer::Lease;
    /// use vsphere_ops::types::OvfFileItem;
    ///
    /// # async fn send(lease: &Lease, items: &[OvfFileItem]) -> vsphere_ops::Result<()> {
    /// for item in items {
    ///     // By the key: names and order need not be those of the descriptor.
    ///     let device = lease.devices().iter().find(|device| device.import_key == item.device_id);
    ///     lease.upload_item(device.unwrap(), item).from_file(&item.path).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn upload_item(&self, device: &HttpNfcLeaseDeviceUrl, item: &OvfFileItem) -> Upload {
        let mut place = self.place(device);
        if let Place::Lease { disk, .. } = &mut place {
            *disk = !item.create;
        }
        Upload::new(place, Some(self.share.clone()))
    }

    fn place(&self, device: &HttpNfcLeaseDeviceUrl) -> Place {
        let hosts = || self.info.host_map.iter().flat_map(|map| &map.hosts);
        let thumbprint = match device.ssl_thumbprint.is_empty() {
            false => Some(device.ssl_thumbprint.clone()),
            true => {
                hosts().find(|host| origin(&host.url) == origin(&device.url)).map(|host| host.ssl_thumbprint.clone())
            }
        };
        let (client, url) = (self.share.0.client.clone(), Url(device.url.clone()));
        Place::Lease { client, url, thumbprint, disk: device.disk == Some(true) }
    }

    /// Whether rules bind its client.
    pub(crate) fn is_guarded(&self) -> bool {
        self.share.0.client.guard().is_some()
    }

    /// Whether the server can fetch the files of the lease by itself.
    pub(crate) async fn can_be_pulled(&self) -> bool {
        let share = &self.share.0;
        let lease: Mo<HttpNfcLease> = Mo::new(&share.client, share.lease.handle().reference(), None);
        // Servers before 6.7 do not know the property.
        matches!(lease.read(http_nfc_lease::CAPABILITIES).await, Ok(Some(found)) if found.pull_mode_supported)
    }

    /// Whether the server wants certificates where older ones want thumbprints.
    pub(crate) fn takes_certificates(&self) -> bool {
        let version = self.share.0.client.api_version();
        version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= 9)
    }

    /// Has the server sum up files, by their keys, in another way than by SHA-1. That is to be said before they are sent.
    pub(crate) async fn sum_up_by(&self, kinds: &[KeyValue]) -> Result<()> {
        let said = self.share.0.lease.http_nfc_lease_set_manifest_checksum_type(kinds).await;
        said.map_err(|error| Error::from(error).in_operation("choose the checksums"))
    }

    /// What the server has seen of the files.
    pub(crate) async fn manifest(&self) -> Result<Vec<HttpNfcLeaseManifestEntry>> {
        let seen = self.share.0.lease.http_nfc_lease_get_manifest().await;
        seen.map_err(|error| Error::from(error).in_operation("read the checksums"))
    }

    /// Has the server fetch files by itself, and waits until it has them. `told` is called with the per cent.
    pub(crate) async fn pull(&self, files: &[HttpNfcLeaseSourceFile], told: &(dyn Fn(u8) + Send + Sync)) -> Result<()> {
        const OPERATION: &str = "have the host fetch the files";
        let share = &self.share.0;
        let task = share.lease.http_nfc_lease_pull_from_urls_task(files).await;
        let task = task.map_err(|error| Error::from(error).in_operation(OPERATION))?;
        let task: Task<()> = Task::new(&share.client, task, OPERATION, self.info.entity.value.as_str());
        task.watch(&|progress| {
            let total = share.total.load(Ordering::Relaxed);
            share.done.store(total / 100 * u64::from(progress.percent), Ordering::Relaxed);
            told(progress.percent);
        })
        .await
    }

    /// As [`abort`](Self::abort), where another lease is to follow: it must not find what this one has made.
    ///
    /// # Errors
    /// The server has not ended the lease.
    pub(crate) async fn discard(mut self) -> Result<()> {
        self.stop_keeper();
        if self.share.0.ended.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let lease = self.share.0.lease.clone();
        let ended = guard::to_its_end(async move { Ok(lease.http_nfc_lease_abort(None).await?) });
        match ended.await {
            // It has ended by itself.
            Err(error) if error.is_fault("InvalidState") => Ok(()),
            ended => ended.map_err(|error| error.in_operation("end the lease")),
        }
    }

    /// Ends the lease after all transfers have succeeded.
    ///
    /// # Errors
    /// Server errors; the lease is then aborted.
    pub async fn complete(mut self) -> Result<()> {
        self.stop_keeper();
        let lease = &self.share.0.lease;
        let completed = async {
            lease.http_nfc_lease_progress(100).await?;
            lease.http_nfc_lease_complete().await
        };
        match completed.await {
            Ok(()) => {
                self.share.0.ended.store(true, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                self.share.abort().await;
                Err(Error::from(error).in_operation("complete the lease"))
            }
        }
    }

    /// Aborts the lease: the server discards the data.
    pub async fn abort(mut self) {
        self.stop_keeper();
        self.share.abort().await;
    }

    /// As [`abort`](Self::abort), of a lease that is dropped later.
    pub(crate) async fn give_up(&self) {
        self.share.abort().await;
    }

    fn stop_keeper(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop_keeper();
        self.share.abort_in_background();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({})", self.info.lease.value)
    }
}

#[derive(Default)]
struct State {
    state: Option<HttpNfcLeaseState>,
    error: Option<LocalizedMethodFault>,
    info: Option<HttpNfcLeaseInfo>,
}

/// Scheme, host and port of a URL.
fn origin(url: &str) -> Option<&str> {
    url.match_indices('/').nth(2).map(|(end, _)| &url[..end])
}

/// How often a lease is kept alive. Servers have been seen to give the timeout in seconds and in milliseconds.
fn period(timeout: i32) -> Duration {
    let seconds = f64::from(timeout.max(1)) / 3.0;
    Duration::from_secs_f64(seconds.min(10.0))
}

/// Tells the server now and then how far the transfers are; without that it ends the lease.
async fn keep(share: Weak<Share>, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        let Some(share) = share.upgrade() else { return };
        if share.ended.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = share.lease.http_nfc_lease_progress(share.percent()).await {
            // What that means shows in the transfers.
            tracing::debug!(%error, "the lease could not be kept alive");
        }
    }
}

/// What a lease and its transfers share.
#[derive(Clone)]
pub(super) struct LeaseShare(Arc<Share>);

struct Share {
    client: Client,
    lease: HttpNfcLease,
    done: AtomicU64,
    total: AtomicU64,
    ended: AtomicBool,
}

impl Share {
    fn percent(&self) -> i32 {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(0);
        // The hundredth is for the end.
        i32::try_from(percent.min(99)).unwrap_or(99)
    }
}

impl LeaseShare {
    pub(super) fn add(&self, bytes: usize) {
        self.0.done.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    async fn abort(&self) {
        if let Some(aborted) = self.aborting() {
            guard::cleaned_up(aborted).await;
        }
    }

    fn abort_in_background(&self) {
        if let Some(aborted) = self.aborting() {
            guard::clean_up(aborted);
        }
    }

    /// What ends the lease, unless it has ended, or somebody is ending it.
    fn aborting(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        if self.0.ended.swap(true, Ordering::AcqRel) {
            return None;
        }
        let lease = self.0.lease.clone();
        Some(async move {
            if let Err(error) = lease.http_nfc_lease_abort(None).await {
                tracing::warn!(%error, "a lease was left to time out");
            }
        })
    }
}

impl fmt::Debug for LeaseShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseShare")
    }
}

/// Aborts the lease of a transfer, if it has one, unless the transfer is done.
pub(super) struct EndsLease(Option<LeaseShare>);

impl EndsLease {
    pub(super) fn new(lease: Option<LeaseShare>) -> Self {
        Self(lease)
    }

    pub(super) fn add(&self, bytes: usize) {
        if let Some(lease) = &self.0 {
            lease.add(bytes);
        }
    }

    pub(super) fn done(&mut self) {
        self.0 = None;
    }

    pub(super) async fn fail(&mut self) {
        if let Some(lease) = self.0.take() {
            lease.abort().await;
        }
    }

    pub(super) fn fail_in_background(&mut self) {
        if let Some(lease) = self.0.take() {
            lease.abort_in_background();
        }
    }
}

impl Drop for EndsLease {
    fn drop(&mut self) {
        self.fail_in_background();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_kept_well_before_it_times_out() {
        assert_eq!(period(300), Duration::from_secs(10));
        assert_eq!(period(300_000), Duration::from_secs(10));
        assert!(period(3) <= Duration::from_secs(1));
        assert!(period(0) > Duration::ZERO && period(-1) > Duration::ZERO);
    }

    #[test]
    fn origins_of_urls() {
        assert_eq!(origin("https://esx1:443/nfc/a"), Some("https://esx1:443"));
        assert_eq!(origin("nonsense"), None);
    }
}
