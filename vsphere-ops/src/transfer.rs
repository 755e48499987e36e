//! Files up and down: datastores, NFC leases, guests, web servers.
//!
//! A transfer is a builder: name the file, set options, and last name its source or target. Memory does not grow with the
//! file, a checksum is computed during the transfer, and a time limit applies only while no data moves.
//!
//! ```no_run
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! use vsphere_ops::managed::Datastore;
//!
//! let store = client.get::<Datastore>("nvme-01").await?;
//! let sent = store
//!     .upload("iso/debian.iso")
//!     .on_progress(|p| println!("{} bytes, {:.0} MB/s", p.bytes, p.rate / 1e6))
//!     .from_file("debian.iso")
//!     .await?;
//! let back = store.download("iso/debian.iso").to_file("copy.iso").await?;
//! assert_eq!(sent.checksum, back.checksum);
//! # Ok(())
//! # }
//! ```
//!
//! The session is sent only to the server that issued it. Other hosts, where the files of a lease or a guest are, get only
//! their URL, and must present the certificate that the server announced.

mod checksum;
mod datastore;
mod download;
mod guest;
mod lease;
mod meter;
mod route;
mod upload;
pub(crate) mod vmdk;
mod web;

pub use checksum::{Algorithm, Checksum};
pub(crate) use checksum::{Check, Hasher, local};
pub use download::{Download, FileStream};
pub use lease::Lease;
pub use meter::{TransferProgress, Transferred};
pub(crate) use upload::Pieces;
pub(crate) use route::in_datastore;
pub use upload::Upload;
pub use web::{WebFile, WebHosts};

use crate::error::{Error, ErrorKind};

/// What the answer to a request for the file at this path means.
fn file_error(error: vsphere_soap::Error, path: &str) -> Error {
    let (operation, target) = (error.operation().to_owned(), error.target().map(str::to_owned));
    let kind = match error.status() {
        Some(401 | 404) if is_of_a_ticket(path) => ErrorKind::InvalidState(
            "the URL of the file is not good any more: it was used, has expired, or the VM was moved or powered off"
                .into(),
        ),
        Some(404) => ErrorKind::NotFound("there is no such file or folder".into()),
        Some(401 | 403) => ErrorKind::Unreadable("the user may not access this file".into()),
        _ => return error.into(),
    };
    let meant = Error::new(operation, kind);
    match target {
        Some(target) => meant.on(target),
        None => meant,
    }
}

/// Whether a URL with this path is itself the leave to use it, for a time: that of a file in a guest or of a lease.
fn is_of_a_ticket(path: &str) -> bool {
    ["/guestFile", "/nfc/", "/ha-nfc/"].iter().any(|start| path.starts_with(start))
}
