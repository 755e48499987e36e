//! Pull mode: the server fetches the files of an import by itself.

use std::fs;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use tokio::time::timeout;
use vsphere_model::types::{
    Any, FileNotFound, HttpFault, HttpNfcLeaseProbeResult, HttpNfcLeaseSourceFile, HttpNfcLeaseState, NoDiskSpace,
    RequestCanceled, SSLVerifyFault,
};
use vsphere_soap::ErrorKind;
use vsphere_soap::http::{Download, Endpoint, FileCall, FileLocation, Thumbprint, Transport, TransportOptions, Trust};

use super::{Lease, Part, arrived};
use crate::call::{Call, Reply, Waiting};
use crate::core::Core;
use crate::fault::{Fault, Outcome};
use crate::objects::datastore::Datastore;
use crate::objects::datastore::upload::{Arrival, Upload};
use crate::world::{Moref, Task, World};

/// How often it is looked at whether the lease goes on while nothing comes.
const LOOK: Duration = Duration::from_millis(100);

/// A file that is to be fetched.
struct Wanted {
    part: Part,
    source: HttpNfcLeaseSourceFile,
    location: FileLocation,
    trust: Trust,
}

/// `HttpNfcLease.HttpNfcLeasePullFromUrls_Task`.
pub(super) fn pull(world: &mut World, call: &Call) -> Outcome<Reply> {
    let sources: Vec<HttpNfcLeaseSourceFile> = call.arg("files")?;
    let lease = world.get::<Lease>(&call.target)?;
    lease.must_be_ready()?;
    if !lease.capabilities.pull_mode_supported || !lease.imports {
        return Err(Fault::not_supported("a pull of the files of this lease"));
    }
    let wanted: Vec<Wanted> = sources.into_iter().map(|source| lease.wanted(source)).collect::<Outcome<_>>()?;
    let vm = lease.vm.clone().unwrap_or_default();
    // The VM is busy with the import already.
    let task = call.task().about(&vm).cancelable().hold(world)?;
    let puller = Puller { core: world.core(), lease: call.target.clone(), task: task.clone() };
    tokio::spawn(async move {
        let ended = puller.fetch_all(wanted).await;
        if let Some(core) = puller.core.upgrade() {
            core.write().finish(&puller.task, Box::new(move |_| ended.map(|()| Any::Unset)));
        }
    });
    Ok(Reply::of(task))
}

/// How long the servers of all files are tried where nothing is said.
const USUAL_PATIENCE: Duration = Duration::from_secs(60);

/// `HttpNfcLease.HttpNfcLeaseProbeUrls`: whether the server of each file answers, whatever it says.
pub(super) fn probe(call: Arc<Call>) -> Waiting {
    Box::pin(async move {
        let sources: Vec<HttpNfcLeaseSourceFile> = call.arg("files")?;
        let seconds: Option<i32> = call.opt("timeout")?;
        let wanted: Vec<Wanted> = {
            let world = call.core.read();
            let lease = world.get::<Lease>(&call.target)?;
            lease.must_be_ready()?;
            sources.into_iter().map(|source| lease.wanted(source)).collect::<Outcome<_>>()?
        };
        let patience = seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
        let patience = patience.map_or(USUAL_PATIENCE, Duration::from_secs);
        let probes = wanted.iter().map(|wanted| async move {
            let first_byte = wanted.get(Some((0, 1)));
            let server_accessible = match timeout(patience, first_byte).await {
                Ok(Ok(_)) => true,
                Ok(Err(error)) => error.status().is_some(),
                Err(_) => false,
            };
            HttpNfcLeaseProbeResult { server_accessible }
        });
        Ok(Reply::list(join_all(probes).await))
    })
}

impl Wanted {
    /// Asks for the file, or for a part of it.
    async fn get(&self, part: Option<(u64, u64)>) -> vsphere_soap::Result<Download> {
        let options = TransportOptions::new().trust(self.trust.clone());
        let headers: Vec<(&str, &str)> =
            self.source.http_headers.iter().map(|header| (header.key.as_str(), header.value.as_str())).collect();
        let transport = Transport::new(self.location.endpoint.clone(), options)?;
        transport.download(FileCall::new("pull", &self.location.path).headers(&headers).part(part)).await
    }
}

impl Lease {
    fn wanted(&self, source: HttpNfcLeaseSourceFile) -> Outcome<Wanted> {
        let wrong = |what: &str| Fault::invalid_argument(&format!("files.{what}"));
        let devices = self.info.iter().flat_map(|info| &info.device_url);
        let device = devices.into_iter().find(|device| device.import_key == source.target_device_id);
        let key = &device.ok_or_else(|| wrong("targetDeviceId"))?.key;
        let file = self.files.iter().find(|file| file.part.key == *key).ok_or_else(|| wrong("targetDeviceId"))?;
        if file.part.is_disk == source.create {
            return Err(wrong("create"));
        }
        // No server is meant by `*` here.
        let nowhere: Endpoint = "https://invalid.invalid".parse().map_err(|_| wrong("url"))?;
        let location = FileLocation::parse(&source.url, &nowhere).map_err(|_| wrong("url"))?;
        let trust = match (&source.ssl_thumbprint, &source.ssl_certificate) {
            (Some(_), Some(_)) => return Err(wrong("sslCertificate")),
            (Some(thumbprint), None) => Trust::Thumbprint(thumbprint.parse().map_err(|_| wrong("sslThumbprint"))?),
            (None, Some(pem)) => Trust::Thumbprint(pinned(pem).ok_or_else(|| wrong("sslCertificate"))?),
            (None, None) => Trust::System,
        };
        Ok(Wanted { part: file.part.clone(), source, location, trust })
    }
}

/// The thumbprint of a certificate in PEM.
fn pinned(pem: &str) -> Option<Thumbprint> {
    use base64::Engine as _;
    let body = pem.split_once("-----BEGIN CERTIFICATE-----")?.1.split_once("-----END CERTIFICATE-----")?.0;
    let body: String = body.split_whitespace().collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
    Some(Thumbprint::sha256_of(&der))
}

/// Fetches the files of a lease, for a task.
struct Puller {
    core: Weak<Core>,
    lease: Moref,
    task: Moref,
}

impl Puller {
    async fn fetch_all(&self, wanted: Vec<Wanted>) -> Outcome<()> {
        let count = wanted.len();
        // Of an archive several files may be wanted: it is fetched once.
        let mut archive: Option<(String, Arc<Upload>)> = None;
        for (done, wanted) in wanted.into_iter().enumerate() {
            let shown = |share: u64| {
                let percent = (done as u64 * 100 + share) / count.max(1) as u64;
                i32::try_from(percent.min(100)).unwrap_or(100)
            };
            let (upload, size, head) = match wanted.source.member_name.clone() {
                None => self.fetch(&wanted, shown).await?,
                Some(member) => {
                    let kept = archive.take().filter(|(url, _)| *url == wanted.source.url);
                    let (url, whole) = match kept {
                        Some(kept) => kept,
                        None => (wanted.source.url.clone(), Arc::new(self.fetch(&wanted, shown).await?.0)),
                    };
                    let extracted = self.extract(Arc::clone(&whole), member).await?;
                    archive = Some((url, whole));
                    extracted
                }
            };
            let core = self.still()?;
            arrived(&mut core.write(), &self.lease, &wanted.part, upload, size, &head)?;
        }
        Ok(())
    }

    /// The world, as long as anybody wants the files.
    fn still(&self) -> Outcome<Arc<Core>> {
        let ended = || Fault::new(RequestCanceled::default(), "The lease has ended.");
        let core = self.core.upgrade().ok_or_else(ended)?;
        {
            let world = core.read();
            let is_ready = world.get::<Lease>(&self.lease).is_ok_and(|lease| lease.state == HttpNfcLeaseState::Ready);
            if !is_ready || world.get::<Task>(&self.task).is_ok_and(|task| task.info.cancelled) {
                return Err(ended());
            }
        }
        Ok(core)
    }

    async fn fetch(&self, wanted: &Wanted, shown: impl Fn(u64) -> i32) -> Outcome<(Upload, u64, Vec<u8>)> {
        let core = self.still()?;
        let (free, uploads) = {
            let world = core.read();
            let datastore = world.get::<Datastore>(&wanted.part.place.datastore)?;
            (u64::try_from(datastore.free()).unwrap_or_default(), Arc::clone(&world.uploads))
        };
        drop(core);
        let mut pieces = wanted.get(None).await.map_err(|error| unreachable_source(&error))?;
        let length = pieces.length();
        let (upload, file) = uploads.create().map_err(|error| not_kept(&error))?;
        let mut arrival = Arrival::new(file);
        let mut told = 0;
        loop {
            // A source that hangs does not keep the lease from its end.
            let Ok(piece) = timeout(LOOK, pieces.next()).await else {
                self.still()?;
                continue;
            };
            let core = self.still()?;
            let Some(piece) = piece else { break };
            let piece = piece.map_err(|error| unreachable_source(&error))?;
            if arrival.size() + piece.len() as u64 > free {
                return Err(Fault::new(NoDiskSpace::default(), "There is not enough space on the file system."));
            }
            if !arrival.add(piece).await {
                break;
            }
            let percent = length.and_then(|length| (arrival.size() * 100).checked_div(length)).unwrap_or_default();
            if percent > told {
                told = percent;
                self.tell(&mut core.write(), shown(percent));
            }
        }
        let (size, head) = arrival.end().await.map_err(|error| not_kept(&error))?;
        Ok((upload, size, head))
    }

    fn tell(&self, world: &mut World, percent: i32) {
        if let Ok(task) = world.edit::<Task>(&self.task) {
            task.info.progress = Some(percent);
        }
        if let Ok(lease) = world.edit::<Lease>(&self.lease) {
            lease.transfer_progress = percent;
        }
    }

    /// A member of an archive, as a file of its own.
    async fn extract(&self, archive: Arc<Upload>, member: String) -> Outcome<(Upload, u64, Vec<u8>)> {
        let uploads = Arc::clone(&self.still()?.read().uploads);
        let mut absent = FileNotFound::default();
        absent.file = member.clone();
        let missing = Fault::new(absent, format!("The archive has no {member}."));
        let extracted = tokio::task::spawn_blocking(move || {
            let mut tar = tar::Archive::new(fs::File::open(archive.path())?);
            for entry in tar.entries()? {
                let mut entry = entry?;
                if entry.path_bytes().as_ref() != member.as_bytes() {
                    continue;
                }
                let (upload, mut file) = uploads.create()?;
                let size = std::io::copy(&mut entry, &mut file)?;
                return Ok(Some((upload, size)));
            }
            Ok(None)
        });
        let extracted = extracted.await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
        let (upload, size) = extracted.map_err(|error| not_kept(&error))?.ok_or(missing)?;
        let head = upload.head().map_err(|error| not_kept(&error))?;
        Ok((upload, size, head))
    }
}

fn not_kept(error: &std::io::Error) -> Fault {
    Fault::new(NoDiskSpace::default(), format!("The file is not kept: {error}."))
}

/// What a server says whose source does not give the file.
fn unreachable_source(error: &vsphere_soap::Error) -> Fault {
    let message = format!("The file could not be fetched: {error}.");
    match error.kind() {
        ErrorKind::Tls(_) => Fault::new(SSLVerifyFault::default(), message),
        kind => {
            let status = if let ErrorKind::Http { status, .. } = kind { i32::from(*status) } else { 0 };
            Fault::new(
                HttpFault { status_code: status, status_message: error.to_string(), ..Default::default() },
                message,
            )
        }
    }
}
