//! Folders that are made.

use serde::Serialize;
use vsphere_model::managed::Datastore;

use super::DatastoreFile;
use super::store::Store;
use crate::datastore_path::DatastorePath;
use crate::error::{Error, ErrorKind, Result};
use crate::mo::Mo;

const OPERATION: &str = "make the folder";

/// A folder of a datastore that is there now.
///
/// ```
/// use vsphere_ops::files::MadeFolder;
///
/// fn line(folder: &MadeFolder) -> String {
///     format!("{} {}", folder.path, if folder.changed { "was made" } else { "was there" })
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MadeFolder {
    /// The path.
    pub path: String,
    /// Whether it had to be made.
    pub changed: bool,
}

impl Mo<Datastore> {
    /// Makes a folder, and those above it that are missing. One that is there already is left as it is.
    ///
    /// Where folders at the top are objects of their own, as on vSAN, that is done by the namespace manager.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::Datastore;
    ///
    /// let made = client.get::<Datastore>("nvme-01").await?.make_folder("images/linux").await?;
    /// assert_eq!((made.path.as_str(), made.changed), ("[nvme-01] images/linux", true));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_state` if a file has the path, or no host reaches the datastore, and server errors.
    pub async fn make_folder(&self, path: &str) -> Result<MadeFolder> {
        let named = |error: Error| error.in_operation(OPERATION).on(path);
        let making = async {
            let store = Store::open(self).await?;
            let path = store.path_below(path)?;
            // Some servers make no difference between a folder that was made and one that was there.
            if let Some(there) = store.look(&path).await? {
                return made(&path, &there, false);
            }
            if let Some(top) = store.top_namespace(&path)
                && store.look(&top).await?.is_none()
            {
                let new = store.namespaces()?.create_directory(self.reference(), Some(top.path()), None, None).await;
                unless_there(new.map(drop))?;
            }
            if store.namespace(&path).is_none() {
                let datacenter = store.datacenter.as_ref();
                unless_there(store.files()?.make_directory(&path.to_string(), datacenter, Some(true)).await)?;
            }
            match store.look(&path).await? {
                Some(there) => made(&path, &there, true),
                // Where the top is for namespaces, servers list these by ids of their own.
                None => Ok(MadeFolder { path: path.to_string(), changed: true }),
            }
        };
        making.await.map_err(named)
    }
}

/// The folder, where it is one.
fn made(path: &DatastorePath, there: &DatastoreFile, changed: bool) -> Result<MadeFolder> {
    match there.is_folder() {
        true => Ok(MadeFolder { path: path.to_string(), changed }),
        false => Err(Error::new(OPERATION, ErrorKind::InvalidState("a file has this path".to_owned()))),
    }
}

/// Somebody else may have made it since it was looked for.
fn unless_there(made: std::result::Result<(), vsphere_soap::Error>) -> Result<()> {
    match made.map_err(Error::from) {
        Err(error) if error.is_fault("FileAlreadyExists") => Ok(()),
        other => other,
    }
}
