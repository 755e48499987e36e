//! OVF packages: what is in one, VMs that are made of one, and packages that are made of VMs.
//!
//! ```no_run
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! use vsphere_ops::managed::VirtualMachine;
//! use vsphere_ops::ovf::OvfSource;
//!
//! let ovf = client.open_ovf(&OvfSource::file("web.ova")).await?;
//! for network in &ovf.contents().networks {
//!     println!("needs a network for {}", network.name);
//! }
//! let deployed = ovf.deployment("web-07").network("Front", "dmz").property("hostname", "web-07").start().await?;
//! println!("{} has {} warnings", deployed.vm.path, deployed.warnings.len());
//!
//! let vm = client.get::<VirtualMachine>("web-07").await?;
//! vm.ovf_export().to_directory("exported").await?;
//! # Ok(())
//! # }
//! ```
//!
//! A package is read where it is: a disk goes from there to the host piece by piece, and memory does not grow with it. What a
//! package says is not believed. Its paths may lead nowhere else, its XML may have no document type, its files must be what
//! its manifest says, and its disks of the kind that servers take: what is wrong with it is told before anything is made on
//! the server, or as soon as it shows, and then nothing is left there.

mod archive;
mod contents;
mod deploy;
mod export;
mod feed;
mod folder;
mod manifest;
mod ova;
mod package;
mod property;
mod pull;
mod source;
mod stored;

use std::sync::Arc;

use vsphere_model::managed::OvfManager;

pub use contents::{OvfContents, OvfFile, OvfNetwork, OvfOption, OvfProduct};
pub use deploy::{Deployed, Deployment, DiskProvisioning};
pub use export::{Export, Exported, ExportedFile};
pub use folder::{Directory, LocalFolder};
pub use property::OvfProperty;
pub use source::OvfSource;

use self::package::Package;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};

const OPEN: &str = "open the OVF package";

/// The readers of packages as the fuzz targets call them, with any bytes.
///
/// ```
/// vsphere_ops::ovf::fuzz::manifest(b"SHA1(web.ovf)= a9993e364706816aba3e25717850c26c9cd0d89d");
/// ```
#[doc(hidden)]
pub mod fuzz {
    /// Reads an archive.
    pub fn archive(data: &[u8]) {
        super::archive::fuzz(data);
    }

    /// Reads a descriptor.
    pub fn descriptor(data: &[u8]) {
        super::package::fuzz(data);
    }

    /// Reads a manifest.
    pub fn manifest(data: &[u8]) {
        super::manifest::fuzz(data);
    }
}

/// An OVF package that was opened.
///
/// ```no_run
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::ovf::{Ovf, OvfSource};
///
/// let ovf: Ovf = client.open_ovf(&OvfSource::file("web.ova")).await?;
/// println!("{}", ovf.contents().name);
/// let large = ovf.contents_in("large").await?; // another deployment option
/// println!("{:?} bytes as thin disks", large.thin_bytes);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Ovf {
    client: Client,
    package: Arc<Package>,
    contents: OvfContents,
    name: String,
}

impl Client {
    /// Opens an OVF package, and has the server read its descriptor.
    ///
    /// # Errors
    /// `not_found` if there is no such file, `invalid_argument` for a file that is not a package, or one that means harm,
    /// `corrupt` for one that was cut or whose descriptor is not as its manifest says, and server errors.
    pub async fn open_ovf(&self, source: &OvfSource) -> Result<Ovf> {
        let package = Package::open(source).await?;
        let contents = contents::read(self, &package, "").await.map_err(|error| error.on(source.name()))?;
        Ok(Ovf { client: self.clone(), package: Arc::new(package), contents, name: source.name().to_owned() })
    }
}

impl Ovf {
    /// What is in the package, in its default deployment option.
    pub fn contents(&self) -> &OvfContents {
        &self.contents
    }

    /// What is in the package in a deployment option.
    ///
    /// # Errors
    /// `not_found` if it has no such option, with those that it has; and server errors.
    pub async fn contents_in(&self, option: &str) -> Result<OvfContents> {
        let options = &self.contents.deployment_options;
        if !options.iter().any(|other| other.key == option) {
            let keys: Vec<&str> = options.iter().map(|option| option.key.as_str()).collect();
            let text = match keys.is_empty() {
                true => "the package has no deployment options".to_owned(),
                false => format!("the package has only the deployment options {}", keys.join(", ")),
            };
            return Err(Error::new("choose the deployment option", ErrorKind::NotFound(text)).on(option));
        }
        contents::read(&self.client, &self.package, option).await
    }
}

/// The OVF manager of a server.
fn manager(client: &Client) -> Result<OvfManager> {
    let manager = client
        .content()
        .ovf_manager
        .as_ref()
        .ok_or_else(|| Error::new(OPEN, ErrorKind::Unsupported("the server has no OVF manager".into())))?;
    Ok(client.raw(manager))
}
