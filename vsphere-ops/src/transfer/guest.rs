//! The files of a guest, by the URLs that the server gives for them.

use vsphere_model::managed::VirtualMachine;

use super::download::Download;
use super::route::{Place, Url};
use super::upload::Upload;
use crate::mo::Mo;

impl Mo<VirtualMachine> {
    /// Fetches a file from the guest by the URL that `InitiateFileTransferFromGuest` gave.
    ///
    /// A host that is named in the URL must be reachable, and must present the certificate that vCenter knows of it.
    pub fn download_guest_file(&self, url: impl Into<String>) -> Download {
        Download::new(self.guest_file(url.into()), None)
    }

    /// Sends a file to the guest by the URL that `InitiateFileTransferToGuest` gave, with the length that was said there.
    ///
    /// A host that is named in the URL must be reachable, and must present the certificate that vCenter knows of it.
    pub fn upload_guest_file(&self, url: impl Into<String>) -> Upload {
        Upload::new(self.guest_file(url.into()), None)
    }

    fn guest_file(&self, url: String) -> Place {
        Place::Guest { vm: self.clone(), url: Url(url) }
    }
}
