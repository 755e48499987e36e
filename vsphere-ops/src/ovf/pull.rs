//! A deployment whose files the host fetches by itself, from a datastore or a web server: they need not go through this
//! computer.
//!
//! Who the host talks to is pinned by the certificate that was seen here, and what it got is compared by the checksums that
//! the server computes. Whatever the host can't do, this computer can: so each failure of a pull that the server tells of
//! ends the lease, and the files are sent in the other way.

use std::time::Instant;

use base64::Engine as _;
use vsphere_model::types::{HttpNfcLeaseManifestEntry, HttpNfcLeaseSourceFile, KeyValue, OvfFileItem};
use vsphere_soap::http::Thumbprint;

use super::OPEN;
use super::deploy::target;
use super::package::Part;
use crate::error::{Error, ErrorKind, Result};
use crate::transfer::{Algorithm, Checksum, Lease, Pin, Source, TransferProgress};

/// The files of a package that a host can fetch by itself.
pub(super) struct Pull<'a> {
    lease: &'a Lease,
    files: Vec<Wanted<'a>>,
}

struct Wanted<'a> {
    item: &'a OvfFileItem,
    part: &'a Part,
    source: Source,
    /// What the server calls it.
    key: &'a str,
}

/// How a pull ended that the server did not refuse.
pub(super) enum Pulled {
    /// So many bytes have come.
    All(u64),
    /// It is not offered, or not for these files.
    Not,
    /// The server, or what it fetched, says so: nothing of it may stay.
    Failed(Error),
}

/// Has the host fetch the files, where the lease offers that and all of them can be fetched.
///
/// # Errors
/// Those after which nobody knows what the server does, and cancellation.
pub(super) async fn pull(
    lease: &Lease,
    files: &[(OvfFileItem, Vec<Part>)],
    listener: &(dyn Fn(TransferProgress) + Send + Sync),
) -> Result<Pulled> {
    // What a host fetches by itself no rules can check.
    if lease.is_guarded() {
        return Ok(Pulled::Not);
    }
    if !files.iter().all(|(item, parts)| can_be_pulled(item, parts)) || files.is_empty() || !lease.can_be_pulled().await
    {
        return Ok(Pulled::Not);
    }
    let mut wanted = Vec::new();
    for (item, parts) in files {
        let (Some(part), device) = (parts.first(), target(lease, item)?) else { return Ok(Pulled::Not) };
        let source = part.source().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "a file can't be fetched by the host");
            None
        });
        let Some(source) = source else { return Ok(Pulled::Not) };
        wanted.push(Wanted { item, part, source, key: &device.key });
    }
    let pull = Pull { lease, files: wanted };
    match pull.carry_out(listener).await {
        Ok(bytes) => Ok(Pulled::All(bytes)),
        Err(error) if is_told(&error) => Ok(Pulled::Failed(error)),
        Err(error) => Err(error),
    }
}

/// Whether a host can fetch a file: it unpacks nothing, puts no chunks together, and knows two kinds of checksums.
fn can_be_pulled(item: &OvfFileItem, parts: &[Part]) -> bool {
    let [part] = parts else { return false };
    let packed = !matches!(item.compression_method.as_deref().unwrap_or_default(), "" | "identity");
    let checked = part.check().expected().is_none_or(|sum| type_of(sum.algorithm()).is_some());
    !packed && item.chunk_size.unwrap_or_default() <= 0 && part.is_remote() && checked
}

/// What the API calls a kind of checksum.
fn type_of(algorithm: Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::Sha1 => Some("sha1"),
        Algorithm::Sha256 => Some("sha256"),
        Algorithm::Sha512 => None,
    }
}

/// Whether it was the server who told of the failure, or a checksum, so that what the server does now is known.
fn is_told(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Task(_) => !error.is_fault("RequestCanceled"),
        ErrorKind::Api(api) => {
            matches!(api.kind(), vsphere_soap::ErrorKind::Fault(_)) && !error.is_fault("NotAuthenticated")
        }
        ErrorKind::Corrupt(_) => true,
        _ => false,
    }
}

impl Pull<'_> {
    async fn carry_out(&self, listener: &(dyn Fn(TransferProgress) + Send + Sync)) -> Result<u64> {
        let total: u64 = self.files.iter().map(|file| file.part.length).sum();
        // Before the transfer: the server sums up by SHA-1 unless it is told otherwise.
        let of = |file: &Wanted<'_>| {
            let kind = type_of(file.part.check().expected()?.algorithm())?;
            Some(KeyValue { key: file.key.to_owned(), value: kind.to_owned() })
        };
        let kinds: Vec<KeyValue> = self.files.iter().filter_map(of).collect();
        if kinds.iter().any(|kind| kind.value != "sha1") {
            self.lease.sum_up_by(&kinds).await?;
        }
        let began = Instant::now();
        let told = |percent: u8| {
            let bytes = total / 100 * u64::from(percent);
            let seconds = began.elapsed().as_secs_f64();
            let rate = if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 };
            listener(TransferProgress::new(bytes, Some(total), rate));
        };
        let modern = self.lease.takes_certificates();
        let sources: Vec<HttpNfcLeaseSourceFile> = self.files.iter().map(|file| file.source_file(modern)).collect();
        self.lease.pull(&sources, &told).await?;
        let seen = self.lease.manifest().await?;
        self.files.iter().try_for_each(|file| file.compare(&seen))?;
        told(100);
        Ok(total)
    }
}

impl Wanted<'_> {
    fn source_file(&self, modern: bool) -> HttpNfcLeaseSourceFile {
        // A host takes one of them, and newer ones the certificate itself.
        let (thumbprint, pem) = match &self.source.pin {
            None => (None, None),
            Some(Pin::Thumbprint(thumbprint)) => (Some(thumbprint.clone()), None),
            Some(Pin::Certificate(der)) if modern => (None, Some(pem(der))),
            Some(Pin::Certificate(der)) => (Some(Thumbprint::sha1_of(der).to_string()), None),
        };
        HttpNfcLeaseSourceFile {
            target_device_id: self.item.device_id.clone(),
            url: self.source.url.clone(),
            member_name: self.part.member().map(str::to_owned),
            create: self.item.create,
            ssl_thumbprint: thumbprint,
            ssl_certificate: pem,
            http_headers: self.source.headers.clone(),
            size: i64::try_from(self.part.length).ok(),
        }
    }

    /// Compares what the server has seen with what the package says.
    fn compare(&self, seen: &[HttpNfcLeaseManifestEntry]) -> Result<()> {
        let corrupt = |text: String| Error::new(OPEN, ErrorKind::Corrupt(text)).on(self.part.name());
        let entry = seen.iter().find(|entry| entry.key == self.key);
        let Some(expected) = self.part.check().expected() else {
            return match entry.and_then(|entry| u64::try_from(entry.size).ok()) {
                Some(size) if size != self.part.length => {
                    Err(corrupt(format!("the host has fetched {size} bytes in place of {}", self.part.length)))
                }
                _ => Ok(()),
            };
        };
        let entry = entry.ok_or_else(|| corrupt("the server has no checksum of what it has fetched".to_owned()))?;
        let text = entry.checksum.as_deref().filter(|text| !text.is_empty()).unwrap_or(&entry.sha1);
        match text.parse::<Checksum>() {
            Ok(sum) if sum == expected => Ok(()),
            _ => Err(corrupt(format!(
                "the host has fetched what has the checksum {text}, and not {expected} as expected"
            ))),
        }
    }
}

/// A certificate as text.
fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
