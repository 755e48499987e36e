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
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{GuestFileManager, VirtualMachine};
    /// use vsphere_ops::types::{ManagedObjectReference, NamePasswordAuthentication, Poly};
    ///
    /// let files = ManagedObjectReference::new("GuestFileManager", "guestOperationsFileManager");
    /// let files: GuestFileManager = client.raw(&files);
    /// let login = NamePasswordAuthentication { username: "root".into(), password: "…".into(), ..Default::default() };
    /// let vm = client.get::<VirtualMachine>("web-01").await?;
    /// let file = files.initiate_file_transfer_from_guest(vm.reference(), &Poly::new(login), "/etc/hostname").await?;
    /// vm.download_guest_file(file.url).to_file("hostname").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn download_guest_file(&self, url: impl Into<String>) -> Download {
        Download::new(self.guest_file(url.into()), None)
    }

    /// Sends a file to the guest by the URL that `InitiateFileTransferToGuest` gave, with the length that was said there.
    ///
    /// A host that is named in the URL must be reachable, and must present the certificate that vCenter knows of it.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let vm = client.get::<VirtualMachine>("web-01").await?;
    /// let url = "https://*/guestFile?id=1&token=…"; // `*` is the server that the client is connected to
    /// vm.upload_guest_file(url).from_file("hostname").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn upload_guest_file(&self, url: impl Into<String>) -> Upload {
        Upload::new(self.guest_file(url.into()), None)
    }

    fn guest_file(&self, url: String) -> Place {
        Place::Guest { vm: self.clone(), url: Url(url) }
    }
}
