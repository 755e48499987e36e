//! The files of a datastore.

use vsphere_model::managed::{Datastore, HostSystem};

use super::download::Download;
use super::route::Place;
use super::upload::Upload;
use crate::mo::Mo;

impl Mo<Datastore> {
    /// Fetches the file at `path`: `iso/debian.iso`, or in full `[nvme-01] iso/debian.iso`.
    pub fn download(&self, path: impl Into<String>) -> Download {
        Download::new(self.file(path.into(), None), None)
    }

    /// Sends a file to `path`, in place of what is there. Its folder must exist.
    pub fn upload(&self, path: impl Into<String>) -> Upload {
        Upload::new(self.file(path.into(), None), None)
    }

    /// As [`download`](Self::download), straight from a host that has the datastore, by a ticket that vCenter gives for
    /// it. That spares vCenter the data; the host must be reachable by the name that it has in vCenter.
    ///
    /// ```no_run
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{Datastore, HostSystem};
    ///
    /// let store = client.get::<Datastore>("nvme-01").await?;
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
    /// store.download_via(&host, "iso/debian.iso").to_file("debian.iso").await?;
    /// store.upload_via(&host, "iso/copy.iso").from_file("debian.iso").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn download_via(&self, host: &Mo<HostSystem>, path: impl Into<String>) -> Download {
        Download::new(self.file(path.into(), Some(host.clone())), None)
    }

    /// As [`upload`](Self::upload), straight to a host that has the datastore: see [`download_via`](Self::download_via).
    pub fn upload_via(&self, host: &Mo<HostSystem>, path: impl Into<String>) -> Upload {
        Upload::new(self.file(path.into(), Some(host.clone())), None)
    }

    fn file(&self, path: String, host: Option<Mo<HostSystem>>) -> Place {
        Place::Datastore { store: self.clone(), path, host }
    }
}
