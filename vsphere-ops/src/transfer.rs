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

mod beside;
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

pub(crate) use beside::Beside;
pub use checksum::{Algorithm, Checksum};
pub(crate) use checksum::{Check, local, mismatch_of};
pub use download::{Download, FileStream};
pub use lease::Lease;
pub use meter::{TransferProgress, Transferred};
pub(crate) use route::{Pin, Source, in_datastore};
pub(crate) use upload::Pieces;
pub use upload::Upload;
pub use web::{WebFile, WebHosts};

use crate::error::{Category, Circumstance, Error, ErrorKind};
use crate::guest::GuestTrouble;

/// What the answer to a request for a file of a lease or a guest means, whose URL is a ticket.
fn ticket_error(error: vsphere_soap::Error, in_guest: bool) -> Error {
    if !matches!(error.status(), Some(401 | 404)) {
        let error = Error::from(error);
        return match in_guest && error.category() == Category::Connection {
            true => error.with_circumstance(Circumstance::Guest(GuestTrouble::HostUnreachable)),
            false => error,
        };
    }
    let (operation, target) = (error.operation().to_owned(), error.target().map(str::to_owned));
    let text = "the URL of the file was used already, has expired, or its VM was stopped or moved: ask for a new one";
    let meant = Error::new(operation, ErrorKind::InvalidState(text.to_owned()));
    let meant = match in_guest {
        true => meant.with_circumstance(Circumstance::Guest(GuestTrouble::UrlEnded)),
        false => meant,
    };
    match target {
        Some(target) => meant.on(target),
        None => meant,
    }
}

/// What the answer to a request for a file means.
fn file_error(error: vsphere_soap::Error) -> Error {
    let (operation, target) = (error.operation().to_owned(), error.target().map(str::to_owned));
    let kind = match error.status() {
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
