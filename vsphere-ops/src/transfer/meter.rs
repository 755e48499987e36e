//! How far a transfer is, and how fast.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checksum::Checksum;

/// How far a transfer is.
///
/// ```
/// use vsphere_ops::transfer::TransferProgress;
///
/// fn show(progress: TransferProgress) {
///     match progress.percent() {
///         Some(percent) => println!("{percent} % at {:.0} MB/s", progress.rate / 1e6),
///         None => println!("{} of {:?} bytes", progress.bytes, progress.total),
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct TransferProgress {
    /// How many bytes have gone.
    pub bytes: u64,
    /// How many there are, where that is known.
    pub total: Option<u64>,
    /// Bytes per second since the start.
    pub rate: f64,
}

impl TransferProgress {
    pub(crate) fn new(bytes: u64, total: Option<u64>, rate: f64) -> Self {
        Self { bytes, total, rate }
    }

    /// Per cent of the bytes, where their number is known.
    pub fn percent(&self) -> Option<u8> {
        let total = self.total?;
        let percent = self.bytes.saturating_mul(100).checked_div(total).unwrap_or(100);
        Some(u8::try_from(percent.min(100)).unwrap_or(100))
    }
}

/// A transfer that has ended well.
///
/// ```no_run
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::Datastore;
///
/// let store = client.get::<Datastore>("nvme-01").await?;
/// let sent = store.upload("iso/debian.iso").from_file("debian.iso").await?;
/// println!("{} bytes in {:?}, SHA-256 {:?}", sent.bytes, sent.elapsed, sent.checksum);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transferred {
    /// How many bytes the file has.
    pub bytes: u64,
    /// Its checksum, unless none was to be computed.
    pub checksum: Option<Checksum>,
    /// How long it took.
    pub elapsed: Duration,
}

/// What is called with the progress of a transfer.
#[derive(Clone)]
pub(super) struct Listener(Arc<dyn Fn(TransferProgress) + Send + Sync>);

impl Listener {
    pub(super) fn new(listener: impl Fn(TransferProgress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// The least time between two calls of a listener.
const PACE: Duration = Duration::from_millis(100);

/// Counts the bytes of a transfer and tells who wants to know.
pub(super) struct Meter {
    listener: Option<Listener>,
    bytes: u64,
    total: Option<u64>,
    started: Instant,
    told: Instant,
}

impl Meter {
    pub(super) fn start(listener: Option<Listener>, total: Option<u64>) -> Self {
        let now = Instant::now();
        Self { listener, bytes: 0, total, started: now, told: now }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.listener.is_some() && self.told.elapsed() >= PACE {
            self.told = Instant::now();
            self.tell();
        }
    }

    pub(super) fn tell(&self) {
        if let Some(Listener(listener)) = &self.listener {
            let seconds = self.started.elapsed().as_secs_f64();
            let rate = if seconds > 0.0 { self.bytes as f64 / seconds } else { 0.0 };
            listener(TransferProgress { bytes: self.bytes, total: self.total, rate });
        }
    }

    pub(super) fn end(&self, checksum: Option<Checksum>) -> Transferred {
        Transferred { bytes: self.bytes, checksum, elapsed: self.started.elapsed() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_of_nothing_and_of_too_much() {
        for (bytes, total, percent) in
            [(0, None, None), (0, Some(0), Some(100)), (1, Some(3), Some(33)), (u64::MAX, Some(u64::MAX), Some(1))]
        {
            assert_eq!(TransferProgress { bytes, total, rate: 0.0 }.percent(), percent);
        }
    }
}
