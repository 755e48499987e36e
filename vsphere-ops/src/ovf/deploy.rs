//! A VM that is made of a package.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vsphere_model::managed::VirtualMachine;
use vsphere_model::types::{
    HttpNfcLeaseDeviceUrl, ImportSpec, KeyValue, ManagedObjectReference, OvfCreateImportSpecParams, OvfFileItem,
    OvfNetworkMapping, Poly, VirtualMachineImportSpec,
};

use super::contents::{common, message, refuse};
use super::feed;
use super::package::Part;
use super::property::key_of;
use super::pull::{Pulled, pull};
use super::{Ovf, OvfContents, manager};
use crate::client::Client;
use crate::error::{Circumstance, Error, ErrorKind, Result, invalid};
use crate::guard;
use crate::mo::Mo;
use crate::placement::{self, Choice, Place, Placement};
use crate::transfer::{Lease, TransferProgress};
use crate::vm::{VmReport, checked_name};

const OPERATION: &str = "deploy the OVF package";

/// How the space of the disks is taken.
///
/// ```
/// use vsphere_ops::ovf::DiskProvisioning;
///
/// assert_eq!(DiskProvisioning::default(), DiskProvisioning::Thin);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DiskProvisioning {
    /// As the guest writes.
    #[default]
    Thin,
    /// At once, and zeroed as the guest writes.
    Thick,
    /// At once, and zeroed at once.
    EagerZeroedThick,
}

impl DiskProvisioning {
    fn name(self) -> &'static str {
        match self {
            Self::Thin => "thin",
            Self::Thick => "thick",
            Self::EagerZeroedThick => "eagerZeroedThick",
        }
    }
}

impl Ovf {
    /// A VM of this name that is to be made of the package; nothing is sent before [`Deployment::start`]. The package's
    /// own name is taken where the name is empty.
    pub fn deployment(&self, name: impl Into<String>) -> Deployment {
        Deployment {
            ovf: self.clone(),
            name: name.into(),
            placement: Placement::default(),
            networks: BTreeMap::new(),
            network: None,
            properties: BTreeMap::new(),
            hidden: false,
            option: None,
            eulas_accepted: false,
            provisioning: DiskProvisioning::default(),
            power_on: false,
            listener: None,
        }
    }
}

/// A VM that is to be made of a package.
///
/// ```no_run
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::ovf::{DiskProvisioning, OvfSource};
/// use vsphere_ops::placement::Placement;
///
/// let ovf = client.open_ovf(&OvfSource::file("gateway.ova")).await?;
/// let deployed = ovf
///     .deployment("gateway-2")
///     .placed(Placement { datastore: Some("nvme-01".into()), ..Default::default() })
///     .option("small")
///     .network("Inside", "prod")
///     .network("Outside", "dmz")
///     .property("net.hostname", "gateway-2")
///     .accept_eulas()
///     .provisioning(DiskProvisioning::Thick)
///     .power_on()
///     .on_progress(|progress| println!("{} bytes", progress.bytes))
///     .start()
///     .await?;
/// println!("{}", deployed.vm.id);
///
/// // One network for all of the package's, and a property that its author has not meant to be set.
/// ovf.deployment("nested").all_networks("lab").hidden_properties().property("vmware.debug", "true").start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing is deployed before it is started"]
pub struct Deployment {
    ovf: Ovf,
    name: String,
    placement: Placement,
    /// By the names of the package's networks.
    networks: BTreeMap<String, String>,
    network: Option<String>,
    properties: BTreeMap<String, String>,
    hidden: bool,
    option: Option<String>,
    eulas_accepted: bool,
    provisioning: DiskProvisioning,
    power_on: bool,
    listener: Option<Arc<dyn Fn(TransferProgress) + Send + Sync>>,
}

/// A VM that was made of a package.
///
/// ```
/// use vsphere_ops::ovf::Deployed;
///
/// fn summary(deployed: &Deployed) -> String {
///     format!("{}: {} bytes in {} files", deployed.vm.path, deployed.bytes, deployed.files)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deployed {
    /// The VM.
    #[serde(flatten)]
    pub vm: VmReport,
    /// How many files were sent.
    pub files: usize,
    /// How many bytes they had in the package.
    pub bytes: u64,
    /// Whether all files were compared with a manifest.
    pub verified: bool,
    /// What the server warns of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Deployment {
    /// Says where the VM goes. In place of a datastore a datastore cluster may be named, of which the member with most free
    /// space is taken.
    pub fn placed(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Maps a network of the package to one of vSphere's: its name, inventory path or id.
    pub fn network(mut self, name: impl Into<String>, network: impl Into<String>) -> Self {
        self.networks.insert(name.into(), network.into());
        self
    }

    /// Maps all networks of the package to this one that nothing else is said of.
    pub fn all_networks(mut self, network: impl Into<String>) -> Self {
        self.network = Some(network.into());
        self
    }

    /// Sets a property.
    pub fn property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(key.into(), value.into());
        self
    }

    /// Lets properties be set that the author of the package has not meant to be set.
    pub fn hidden_properties(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Chooses a deployment option; the package's default one else.
    pub fn option(mut self, key: impl Into<String>) -> Self {
        self.option = Some(key.into());
        self
    }

    /// Accepts the licences of the package, which somebody has read.
    pub fn accept_eulas(mut self) -> Self {
        self.eulas_accepted = true;
        self
    }

    /// Says how the space of the disks is taken.
    pub fn provisioning(mut self, provisioning: DiskProvisioning) -> Self {
        self.provisioning = provisioning;
        self
    }

    /// Powers the VM on afterwards.
    pub fn power_on(mut self) -> Self {
        self.power_on = true;
        self
    }

    /// Calls `listener` with the progress over all files, ten times a second at most.
    pub fn on_progress(mut self, listener: impl Fn(TransferProgress) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Deploys it. Where that fails, or the future is dropped, no VM is left on the server.
    ///
    /// # Errors
    /// `invalid_argument` if an answer to what the package asks is missing or wrong (a network, a property, a licence), and
    /// for disks that no server takes; `unsupported` for a vApp; `corrupt` if a file was cut or is not as the manifest says;
    /// `not_found` if one is missing; and server errors. Nothing has been made when one of these is found before the
    /// first byte is sent. Where only power on has failed, the error says that the VM was
    /// [created](Circumstance::Created).
    pub async fn start(self) -> Result<Deployed> {
        let label = self.ovf.name.clone();
        self.carry_out().await.map_err(|error| match error.target() {
            Some(_) => error,
            None => error.on(label),
        })
    }

    async fn carry_out(self) -> Result<Deployed> {
        let client = &self.ovf.client;
        let package = &self.ovf.package;
        let contents = match &self.option {
            Some(option) => self.ovf.contents_in(option).await?,
            None => self.ovf.contents.clone(),
        };
        let name = if self.name.is_empty() { contents.name.clone() } else { self.name.clone() };
        let name = checked_name(OPERATION, &name)?;
        self.check_kind(&contents)?;
        let properties = self.property_mapping(&contents)?;
        let mut place = self.placement.find(client).await?;
        let networks = self.network_mapping(&contents, &mut place).await?;
        let params = OvfCreateImportSpecParams {
            base: common(self.option.as_deref().unwrap_or_default()),
            entity_name: name,
            host_system: place.host.as_ref().map(|host| host.reference().clone()),
            network_mapping: networks,
            property_mapping: properties,
            disk_provisioning: Some(self.provisioning.name().to_owned()),
            ..Default::default()
        };
        let (pool, datastore) = (place.pool.reference(), place.datastore.reference());
        let made = manager(client)?.create_import_spec(&package.descriptor, pool, datastore, &Poly::new(params)).await;
        let made = made.map_err(|error| Error::from(error).in_operation(OPERATION))?;
        refuse(OPERATION, &made.error)?;
        let mut warnings: Vec<String> =
            contents.warnings.iter().cloned().chain(made.warning.iter().map(message)).collect();
        if !client.is_vcenter() && !contents.properties.is_empty() {
            warnings.push("a host without vCenter hands no properties to the guest".to_owned());
        }
        let mut spec = made.import_spec.ok_or_else(|| {
            Error::new(OPERATION, ErrorKind::Protocol("the server answered no specification, and no error".into()))
        })?;
        if self.hidden {
            self.unlock(&mut spec);
        }
        let mut files = Vec::new();
        for item in made.file_item {
            let parts = package.check(&item).await?;
            files.push((item, parts));
        }
        let (lease, bytes) = self.transfer(&place, spec, &files, &mut warnings).await?;
        let entity = lease.entity().clone();
        lease.complete().await?;
        let vm: Mo<VirtualMachine> = Mo::new(client, &entity, None);
        if self.power_on {
            let powered = async { vm.power_on().await?.await };
            powered.await.map_err(|error| error.with_circumstance(Circumstance::Created(entity)))?;
        }
        let verified = package.manifest.is_some();
        let vm = VmReport { placement: place.choices, ..crate::vm::report(&vm, true).await? };
        Ok(Deployed { vm, files: files.len(), bytes, verified, warnings })
    }

    /// Whether the package is one that can be deployed, and its licences are accepted.
    fn check_kind(&self, contents: &OvfContents) -> Result<()> {
        if !contents.vapp.is_empty() {
            let text =
                format!("it is a vApp of several VMs ({}), and only single VMs are deployed", contents.vapp.join(", "));
            return Err(Error::new(OPERATION, ErrorKind::Unsupported(text)));
        }
        if !contents.eulas.is_empty() && !self.eulas_accepted {
            let text = match contents.eulas.len() {
                1 => "its licence was not accepted".to_owned(),
                several => format!("its {several} licences were not accepted"),
            };
            return Err(invalid(OPERATION, text).with_circumstance(Circumstance::LicenceNotAccepted));
        }
        Ok(())
    }

    /// The values of the properties, all of which the package must have, and none of which may be missing.
    fn property_mapping(&self, contents: &OvfContents) -> Result<Vec<KeyValue>> {
        let mut mapping = Vec::new();
        let mut wrong = Vec::new();
        for (key, value) in &self.properties {
            let Some(property) = contents.properties.iter().find(|property| property.key == *key) else {
                wrong.push(format!("there is no property {key:?}"));
                continue;
            };
            if !property.user_configurable && !self.hidden {
                wrong.push(format!("the property {key:?} is hidden, and hidden ones were not asked for"));
                continue;
            }
            match property.checked(value) {
                Ok(value) => mapping.push(KeyValue { key: key.clone(), value }),
                // The value may be a password.
                Err(why) => wrong.push(format!("the value of the property {key:?} does not fit: {why}")),
            }
        }
        for property in contents.properties.iter().filter(|property| property.required) {
            if !self.properties.contains_key(&property.key) {
                wrong.push(format!("the property {:?} needs a value ({})", property.key, property.type_));
            }
        }
        if wrong.is_empty() {
            return Ok(mapping);
        }
        if wrong.iter().any(|text| text.starts_with("there is no")) {
            let keys: Vec<&str> = contents.properties.iter().map(|property| property.key.as_str()).collect();
            wrong.push(match keys.is_empty() {
                true => "the package has none".to_owned(),
                false => format!("the package has {}", keys.join(", ")),
            });
        }
        Err(invalid(OPERATION, wrong.join("; ")))
    }

    /// Each network of the package with one that the VM's place has.
    async fn network_mapping(&self, contents: &OvfContents, place: &mut Place) -> Result<Vec<OvfNetworkMapping>> {
        let names: Vec<&str> = contents.networks.iter().map(|network| network.name.as_str()).collect();
        if let Some(unknown) = self.networks.keys().find(|name| !names.contains(&name.as_str())) {
            let text = format!("it has no network {unknown:?}, only {}", names.join(", "));
            return Err(invalid(OPERATION, text));
        }
        let given = |name: &str| self.networks.get(name).or(self.network.as_ref());
        let unmapped: Vec<&str> = names.iter().copied().filter(|name| given(name).is_none()).collect();
        if names.len() > 1 && !unmapped.is_empty() {
            let text = format!("nothing is said of which networks these are to be: {}", unmapped.join(", "));
            return Err(invalid(OPERATION, text));
        }
        let mut mapping = Vec::new();
        for name in names {
            let default = self.placement.defaults.network.as_deref();
            let network = place.network_for(given(name).map(String::as_str), default).await?;
            let (network, why) = network.ok_or_else(|| {
                Error::new(OPERATION, ErrorKind::NotFound(format!("there is no network for {name:?} at its place")))
            })?;
            place.choices.push(Choice::of(placement::Part::Network, &network, why));
            mapping.push(OvfNetworkMapping { name: name.to_owned(), network: network.reference().clone() });
        }
        Ok(mapping)
    }

    /// Lets the properties be set that the author has not meant to be.
    fn unlock(&self, spec: &mut Poly<ImportSpec>) {
        let Some(spec) = spec.downcast_mut::<VirtualMachineImportSpec>() else { return };
        let Some(application) = &mut spec.config_spec.v_app_config else { return };
        for property in application.property.iter_mut().filter_map(|change| change.info.as_mut()) {
            if self.properties.contains_key(&key_of(property)) {
                property.user_configurable = Some(true);
            }
        }
    }

    /// Opens a lease and gets the files to it: fetched by the host where that can be, else sent by this computer.
    async fn transfer(
        &self,
        place: &Place,
        spec: Poly<ImportSpec>,
        files: &[(OvfFileItem, Vec<Part>)],
        warnings: &mut Vec<String>,
    ) -> Result<(Lease, u64)> {
        let client = &self.ovf.client;
        let lease = open(client, place, spec.clone()).await?;
        let told = |progress| self.listener.iter().for_each(|listener| listener(progress));
        let lease = match pull(&lease, files, &told).await? {
            Pulled::All(bytes) => return Ok((lease, bytes)),
            Pulled::Not => lease,
            Pulled::Failed(error) => {
                // What the host has of the files is not known: all that was made goes, before anything is made again.
                tracing::debug!(%error, "the host could not fetch the files");
                lease.discard().await?;
                warnings.push(format!(
                    "the files went through this computer, since the host could not fetch them: {error}"
                ));
                open(client, place, spec).await?
            }
        };
        let bytes = self.send(&lease, files).await?;
        Ok((lease, bytes))
    }

    /// Sends the files, in the order of the specification: a disk may build on an earlier one.
    async fn send(&self, lease: &Lease, files: &[(OvfFileItem, Vec<Part>)]) -> Result<u64> {
        let total: u64 = files.iter().flat_map(|(_, parts)| parts).map(|part| part.length).sum();
        lease.expect_bytes(total);
        let mut sent = 0;
        let mut targets = Vec::new();
        for (item, _) in files {
            targets.push(target(lease, item)?);
        }
        for ((item, parts), device) in files.iter().zip(targets) {
            let packed = item.compression_method.as_deref() == Some("gzip");
            let length: u64 = parts.iter().map(|part| part.length).sum();
            let mut upload = lease.upload_item(device, item).without_checksum();
            if let Some(listener) = self.listener.clone() {
                upload = upload.on_progress(move |progress| {
                    let bytes = sent + if packed { 0 } else { progress.bytes };
                    listener(TransferProgress::new(bytes, Some(total), progress.rate));
                });
            }
            // How long a packed file gets is not known before its end.
            let content = feed::content(parts, packed, true);
            upload
                .from_stream(content, (!packed).then_some(length))
                .await
                .map_err(|error| error.on(item.path.as_str()))?;
            sent += length;
        }
        Ok(total)
    }
}

/// The place of a file in a lease, by the key of its device: names and order need not be those of the descriptor.
pub(super) fn target<'a>(lease: &'a Lease, item: &OvfFileItem) -> Result<&'a HttpNfcLeaseDeviceUrl> {
    let found = lease.devices().iter().find(|device| device.import_key == item.device_id);
    found.ok_or_else(|| {
        let text = format!("the lease has no place for it ({})", item.device_id);
        Error::new(OPERATION, ErrorKind::Protocol(text)).on(item.path.as_str())
    })
}

/// Opens the lease. Where the future is dropped meanwhile, the lease is aborted as soon as there is one.
async fn open(client: &Client, place: &Place, spec: Poly<ImportSpec>) -> Result<Lease> {
    let pool = place.pool.reference().clone();
    let folder = place.folder.reference().clone();
    let host: Option<ManagedObjectReference> = place.host.as_ref().map(|host| host.reference().clone());
    let made = guard::made(client, |client| async move {
        let pool: vsphere_model::managed::ResourcePool = client.raw(&pool);
        let lease = pool.import_v_app(&spec, Some(&folder), host.as_ref()).await?;
        Lease::ready(&client, &lease, &|_| ()).await
    });
    match made.await {
        Ok(lease) => Ok(lease),
        Err(error) => Err(place.or_hosts(error).await?.in_operation(OPERATION)),
    }
}

impl std::fmt::Debug for Deployment {
    // The values of properties may be passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deployment")
            .field("name", &self.name)
            .field("networks", &self.networks)
            .field("properties", &self.properties.keys())
            .finish_non_exhaustive()
    }
}
