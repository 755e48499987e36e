//! Where a new VM goes: folder, resource pool, host, datastore, network.
//!
//! ```
//! use vsphere_ops::placement::{Defaults, Placement};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let defaults = Defaults { cluster: Some("prod-cluster".into()), ..Default::default() };
//! let placement = Placement { folder: Some("/fra1/vm/prod/web".into()), defaults, ..Default::default() };
//! let place = placement.find(&client).await?;
//! println!("{} in {} on {}", place.folder.label(), place.pool, place.datastore.label());
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! What is not given is chosen, and never among several that fit alike:
//!
//! | | is the one given, else |
//! |---|---|
//! | datacenter | that of what is given, the default, the only one |
//! | folder | the datacenter's folder for VMs |
//! | resource pool | that of the host given, of the default cluster, of the only cluster or host of the datacenter |
//! | host | chosen by vSphere |
//! | datastore | the default, the one with most free space of those that the host or cluster sees |
//! | network | the default, the only one that the host or cluster sees, the one called `VM Network` |

use vsphere_model::managed::{
    ComputeResource, Datacenter, Datastore, Folder, HostSystem, Network, ResourcePool, compute_resource, datacenter,
    datastore, distributed_virtual_portgroup as portgroup, folder, host_system, resource_pool,
};
use vsphere_model::types::{
    ClusterConfigInfoEx, DVPortgroupConfigInfo, DatastoreSummary, InvalidArgument, ManagedObjectReference,
};
use vsphere_soap::request::ManagedObject;

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::find::{self, label};
use crate::mo::Mo;
use crate::read::Values;
use crate::vm::optional;

/// The network that ESXi itself makes for VMs.
const USUAL_NETWORK: &str = "VM Network";

/// How many objects an error lists.
const MOST_LISTED: usize = 12;

/// The objects to use by default; each a name, an inventory path or an id.
///
/// ```
/// use vsphere_ops::placement::Defaults;
///
/// let defaults = Defaults { datastore: Some("nvme".into()), ..Default::default() };
/// assert!(defaults.cluster.is_none());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The datacenter.
    pub datacenter: Option<String>,
    /// The cluster.
    pub cluster: Option<String>,
    /// The datastore; without one, that with most free space.
    pub datastore: Option<String>,
    /// The network.
    pub network: Option<String>,
}

/// Where a VM is wanted, as far as anything is said of it; each a name, an inventory path or an id.
///
/// ```
/// use vsphere_ops::placement::Placement;
///
/// let host = Some("esx-01.corp.example".into());
/// let placement = Placement { host, datastore: Some("nvme-01".into()), ..Default::default() };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// The folder.
    pub folder: Option<String>,
    /// The resource pool.
    pub pool: Option<String>,
    /// The host.
    pub host: Option<String>,
    /// The datastore.
    pub datastore: Option<String>,
    /// What to use by default.
    pub defaults: Defaults,
}

/// A place for a VM.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::placement::{Place, Placement};
///
/// let placement = Placement { host: Some("esx-01.corp.example".into()), ..Default::default() };
/// let Place { folder, pool, host, datastore, .. } = placement.find(&client).await?;
/// println!("{folder} {pool} {host:?} {datastore}");
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
pub struct Place {
    /// The datacenter.
    pub datacenter: Mo<Datacenter>,
    /// The folder.
    pub folder: Mo<Folder>,
    /// The resource pool.
    pub pool: Mo<ResourcePool>,
    /// The host, where one was asked for.
    pub host: Option<Mo<HostSystem>>,
    /// The datastore.
    pub datastore: Mo<Datastore>,
    /// The cluster, or the host outside of clusters, that the pool is a part of.
    pub compute: Mo<ComputeResource>,
}

impl Placement {
    /// Finds the place.
    ///
    /// # Errors
    /// `not_found` or `ambiguous` if an object is not exactly one, `ambiguous` with what to choose from where nothing
    /// is said and several fit, `invalid_argument` if what is given does not fit together.
    pub async fn find(&self, client: &Client) -> Result<Place> {
        self.find_near(client, None).await
    }

    /// Finds the place for a VM that is made after another one: by default, it is put near that.
    pub(crate) async fn find_near(&self, client: &Client, near: Option<Near>) -> Result<Place> {
        let mut given = self.given(client).await?;
        let datacenter = match (&near, given.is_nothing()) {
            (Some(near), true) => near.datacenter.clone(),
            _ => self.datacenter(client, &given).await?,
        };
        let near = near.filter(|near| near.datacenter.reference() == datacenter.reference());
        let folder = match given.folder {
            Some(folder) => folder,
            None => folder_of(&datacenter).await?,
        };
        // Where it is not put elsewhere, a VM's copy stays in its pool and on its host.
        let mut stays = None;
        let (pool, compute) = match (given.pool, &given.host, near) {
            (None, None, Some(Near { pool: Some(pool), host, .. })) => {
                stays = host;
                pool_of(client, Some(Mo::new(client, &pool, None)), None).await?
            }
            (None, None, near) => {
                let (pool, compute) = self.usual_pool(&datacenter, near.as_ref()).await?;
                given.host = host_without_drs(&compute, near.and_then(|near| near.host)).await?;
                (pool, compute)
            }
            (pool, host, _) => pool_of(client, pool, host.as_ref()).await?,
        };
        let at: Option<Mo<HostSystem>> = stays.map(|host| Mo::new(client, &host, None)).or_else(|| given.host.clone());
        let seen = Seen::by(at.as_ref(), &compute).await?;
        let datastore = match self.datastore.as_ref().or(self.defaults.datastore.as_ref()) {
            Some(what) => {
                let datastore = datacenter.get(what).await?;
                seen.must_have("use the datastore", &seen.datastores, datastore).await?
            }
            None => seen.roomiest(client).await?,
        };
        Ok(Place { datacenter, folder, pool, host: given.host, datastore, compute })
    }

    async fn given(&self, client: &Client) -> Result<Given> {
        let folder = match &self.folder {
            Some(what) => Some(machine_folder(client, what).await?),
            None => None,
        };
        let pool = match &self.pool {
            Some(what) => Some(client.get::<ResourcePool>(what).await?),
            None => None,
        };
        let host = match &self.host {
            Some(what) => Some(client.get::<HostSystem>(what).await?),
            None => None,
        };
        Ok(Given { folder, pool, host })
    }

    async fn datacenter(&self, client: &Client, given: &Given) -> Result<Mo<Datacenter>> {
        let mut known: Vec<ManagedObjectReference> = Vec::new();
        known.extend(given.host.as_ref().map(|host| host.reference().clone()));
        known.extend(given.pool.as_ref().map(|pool| pool.reference().clone()));
        known.extend(given.folder.as_ref().map(|folder| folder.reference().clone()));
        if let Some(first) = known.first() {
            let datacenter = datacenter_of(client, first).await?;
            for other in known.iter().skip(1) {
                let second = datacenter_of(client, other).await?;
                if second.reference() != datacenter.reference() {
                    let text = format!("they are in two datacenters, {} and {}", datacenter.label(), second.label());
                    return Err(invalid("put folder, pool and host together", text));
                }
            }
            return Ok(datacenter);
        }
        if let Some(what) = &self.defaults.datacenter {
            return client.datacenter(what).await;
        }
        if let Some(what) = &self.defaults.cluster {
            return datacenter_of(client, client.get::<ComputeResource>(what).await?.reference()).await;
        }
        if let Some(what) = &self.datastore
            && let Ok(datastore) = client.get::<Datastore>(what).await
        {
            return datacenter_of(client, datastore.reference()).await;
        }
        let all = client.all::<Datacenter>().select(datacenter::NAME).await?.into_vec();
        let all: Vec<_> = all.into_iter().map(|(datacenter, _)| datacenter).collect();
        only(client, "choose a datacenter by folder, pool or host", all).await
    }

    /// The pool where neither pool nor host is given.
    async fn usual_pool(
        &self,
        datacenter: &Mo<Datacenter>,
        near: Option<&Near>,
    ) -> Result<(Mo<ResourcePool>, Mo<ComputeResource>)> {
        let client = datacenter.client();
        if let Some(what) = &self.defaults.cluster {
            let cluster = client.get::<ComputeResource>(what).await?;
            if datacenter_of(client, cluster.reference()).await?.reference() == datacenter.reference() {
                return Ok((root_pool(&cluster).await?, cluster));
            }
        }
        // A template is in no pool, but on a host.
        if let Some(host) = near.and_then(|near| near.host.as_ref()) {
            return pool_of(client, None, Some(&named(client, host).await?)).await;
        }
        let properties = (compute_resource::RESOURCE_POOL, compute_resource::HOST);
        let all = datacenter.all::<ComputeResource>().select(properties).await?;
        let mut with_hosts = Vec::new();
        for (compute, (pool, hosts)) in all {
            if let Some(pool) = pool.filter(|_| !hosts.is_empty()) {
                with_hosts.push((Mo::new(client, &pool, None), compute));
            }
        }
        let pools = with_hosts.iter().map(|(pool, _)| Mo::clone(pool)).collect();
        let pool: Mo<ResourcePool> = only(client, "choose a resource pool by pool or host", pools).await?;
        let found = with_hosts.into_iter().find(|(other, _)| other.reference() == pool.reference());
        found.ok_or_else(|| nothing("choose a resource pool", "none is there any longer"))
    }
}

/// What is given, found.
struct Given {
    folder: Option<Mo<Folder>>,
    pool: Option<Mo<ResourcePool>>,
    host: Option<Mo<HostSystem>>,
}

impl Given {
    fn is_nothing(&self) -> bool {
        self.folder.is_none() && self.pool.is_none() && self.host.is_none()
    }
}

/// The VM that another one is made after.
pub(crate) struct Near {
    pub(crate) datacenter: Mo<Datacenter>,
    pub(crate) pool: Option<ManagedObjectReference>,
    pub(crate) host: Option<ManagedObjectReference>,
}

impl Place {
    /// The network for an adapter: the one with this name, path or id, or the one to use by default; none where
    /// the host or cluster has none. Uplinks of distributed switches do not count.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::placement::Placement;
    ///
    /// let placement = Placement { host: Some("esx-01.corp.example".into()), ..Default::default() };
    /// let place = placement.find(&client).await?;
    /// let network = place.network(Some("dmz")).await?;
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` or `ambiguous` if not exactly one matches, `ambiguous` with what to choose from by default
    /// and several fit.
    pub async fn network(&self, what: Option<&str>) -> Result<Option<Mo<Network>>> {
        let client = self.datacenter.client();
        let seen = Seen::by(self.host.as_ref(), &self.compute).await?;
        if let Some(what) = what {
            return seen.must_have("use the network", &seen.networks, self.datacenter.get(what).await?).await.map(Some);
        }
        let is_group = |network: &ManagedObjectReference| network.type_ == "DistributedVirtualPortgroup";
        let (groups, others): (Vec<_>, Vec<_>) = seen.networks.into_iter().partition(is_group);
        let mut contents = find::details(client, others, &["name"]).await?;
        contents.extend(find::details(client, groups, &["name", portgroup::CONFIG.path()]).await?);
        let mut fitting = Vec::new();
        for content in contents {
            let name = label(&content);
            let mut values = Values::new(content.prop_set, content.missing_set);
            let config: Option<DVPortgroupConfigInfo> = optional(&mut values, portgroup::CONFIG.path());
            if config.is_none_or(|config| config.uplink != Some(true)) {
                fitting.push(Mo::<Network>::new(client, &content.obj, Some(name)));
            }
        }
        let usual = fitting.iter().filter(|network| network.label() == USUAL_NETWORK).count();
        if usual == 1 {
            fitting.retain(|network| network.label() == USUAL_NETWORK);
        }
        if fitting.is_empty() {
            return Ok(None);
        }
        only(client, "choose a network", fitting).await.map(Some)
    }

    /// The error, or the one that lists the hosts where a host has to be named: without DRS vSphere chooses none.
    pub(crate) async fn or_hosts(&self, error: Error) -> Result<Error> {
        let refused = error.fault::<InvalidArgument>().and_then(|fault| fault.invalid_property.as_deref());
        let wants_host = refused.is_some_and(|property| property.rsplit('.').next() == Some("host"));
        if !wants_host || self.host.is_some() {
            return Ok(error);
        }
        let hosts = self.compute.read(compute_resource::HOST).await?;
        let ambiguous = find::ambiguous(self.compute.client(), &hosts).await?;
        Ok(ambiguous.in_operation("choose a host, since DRS is off in the cluster").on(self.compute.label()))
    }
}

/// What a host, or each host of a cluster together, reaches.
struct Seen {
    /// Who sees it.
    who: String,
    datastores: Vec<ManagedObjectReference>,
    networks: Vec<ManagedObjectReference>,
}

impl Seen {
    async fn by(host: Option<&Mo<HostSystem>>, compute: &Mo<ComputeResource>) -> Result<Self> {
        let (who, (datastores, networks)) = match host {
            Some(host) => (host.label(), host.read((host_system::DATASTORE, host_system::NETWORK)).await?),
            None => (compute.label(), compute.read((compute_resource::DATASTORE, compute_resource::NETWORK)).await?),
        };
        Ok(Self { who: who.to_owned(), datastores, networks })
    }

    /// This object, which must be among those seen.
    async fn must_have<M: ManagedObject>(
        &self,
        operation: &str,
        seen: &[ManagedObjectReference],
        object: Mo<M>,
    ) -> Result<Mo<M>> {
        if seen.contains(object.reference()) {
            return Ok(object);
        }
        let contents = find::details(object.client(), seen.iter().cloned(), &["name"]).await?;
        let mut names: Vec<String> = contents.iter().map(label).collect();
        names.sort_unstable();
        let more = names.len().saturating_sub(MOST_LISTED);
        names.truncate(MOST_LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let text = format!("{} does not see it, only {}{more}", self.who, names.join(", "));
        Err(invalid(operation, text).on(object.label()))
    }

    /// The datastore with most free space.
    async fn roomiest(&self, client: &Client) -> Result<Mo<Datastore>> {
        let mut best: Option<(i64, Mo<Datastore>)> = None;
        for content in
            find::details(client, self.datastores.iter().cloned(), &["name", datastore::SUMMARY.path()]).await?
        {
            let name = label(&content);
            let mut values = Values::new(content.prop_set, content.missing_set);
            let summary: DatastoreSummary = optional(&mut values, datastore::SUMMARY.path()).unwrap_or_default();
            let in_use = matches!(summary.maintenance_mode.as_deref(), None | Some("normal" | ""));
            if summary.accessible && in_use && best.as_ref().is_none_or(|(most, _)| summary.free_space > *most) {
                best = Some((summary.free_space, Mo::new(client, &content.obj, Some(name))));
            }
        }
        let none = || nothing("choose a datastore", "it sees none that is accessible").on(&self.who);
        best.map(|(_, datastore)| datastore).ok_or_else(none)
    }
}

async fn machine_folder(client: &Client, what: &str) -> Result<Mo<Folder>> {
    let folder = client.get::<Folder>(what).await?;
    let types = folder.read(folder::CHILD_TYPE).await?;
    if types.iter().any(|type_| type_ == "VirtualMachine") {
        return Ok(folder);
    }
    let text = format!("it is a folder for {}, not for machines", types.join(", "));
    Err(invalid("use the folder", text).on(what))
}

/// The folder of a datacenter for VMs.
pub(crate) async fn folder_of(datacenter: &Mo<Datacenter>) -> Result<Mo<Folder>> {
    let folder = datacenter.read(datacenter::VM_FOLDER).await?;
    Ok(Mo::new(datacenter.client(), &folder, None))
}

/// The datacenter that an object is in.
pub(crate) async fn datacenter_of(client: &Client, object: &ManagedObjectReference) -> Result<Mo<Datacenter>> {
    let ancestry = find::Ancestry::read(client, std::slice::from_ref(object)).await?;
    let ancestors = ancestry.ancestors(object).unwrap_or_default();
    let found = ancestors.into_iter().find(|ancestor| ancestor.reference.type_ == "Datacenter");
    let datacenter = found.map(|found| Mo::new(client, &found.reference, Some(found.name)));
    datacenter
        .ok_or_else(|| nothing("find the datacenter of", "it is in none that this user may see").on(&object.value))
}

/// The pool that is given, or the host's; and what it is a part of.
async fn pool_of(
    client: &Client,
    pool: Option<Mo<ResourcePool>>,
    host: Option<&Mo<HostSystem>>,
) -> Result<(Mo<ResourcePool>, Mo<ComputeResource>)> {
    let of_host = match host {
        Some(host) => host.read(host_system::PARENT).await?,
        None => None,
    };
    let Some(pool) = pool else {
        let compute = of_host.ok_or_else(|| nothing("find the cluster of the host", "it is in none"))?;
        let compute = named(client, &compute).await?;
        return Ok((root_pool(&compute).await?, compute));
    };
    let owner = named::<ComputeResource>(client, &pool.read(resource_pool::OWNER).await?).await?;
    if let (Some(host), Some(parent)) = (host, of_host)
        && parent != *owner.reference()
    {
        let text = format!("the pool is of {}, which the host {} is not in", owner.label(), host.label());
        return Err(invalid("use the resource pool", text).on(pool.label()));
    }
    Ok((pool, owner))
}

/// The host of the VM that another one is made after, where it is of a cluster without DRS: nobody else chooses one.
async fn host_without_drs(
    compute: &Mo<ComputeResource>,
    near: Option<ManagedObjectReference>,
) -> Result<Option<Mo<HostSystem>>> {
    let Some(near) = near else { return Ok(None) };
    let (hosts, configuration) =
        compute.read((compute_resource::HOST, compute_resource::CONFIGURATION_EX.optional())).await?;
    let cluster = configuration.as_ref().and_then(|it| it.downcast_ref::<ClusterConfigInfoEx>());
    let chosen_by_drs = cluster.is_none_or(|cluster| cluster.drs_config.enabled == Some(true));
    if chosen_by_drs || !hosts.contains(&near) {
        return Ok(None);
    }
    named(compute.client(), &near).await.map(Some)
}

/// The pool that all of a cluster, or of a host outside of clusters, is in.
pub(crate) async fn root_pool(compute: &Mo<ComputeResource>) -> Result<Mo<ResourcePool>> {
    let pool = compute.read(compute_resource::RESOURCE_POOL).await?;
    let none = || nothing("find the resource pool of", "it has none that this user may see").on(compute.label());
    Ok(Mo::new(compute.client(), &pool.ok_or_else(none)?, None))
}

/// An object with its name.
pub(crate) async fn named<M: ManagedObject>(client: &Client, object: &ManagedObjectReference) -> Result<Mo<M>> {
    let contents = find::details(client, [object.clone()], &["name"]).await?;
    Ok(Mo::new(client, object, contents.first().map(label)))
}

/// The only one of these.
async fn only<M: ManagedObject>(client: &Client, operation: &str, mut objects: Vec<Mo<M>>) -> Result<Mo<M>> {
    if objects.len() == 1
        && let Some(only) = objects.pop()
    {
        return Ok(only);
    }
    if objects.is_empty() {
        return Err(nothing(operation, "there is none"));
    }
    let references: Vec<_> = objects.iter().map(|object| object.reference().clone()).collect();
    Err(find::ambiguous(client, &references).await?.in_operation(operation))
}

fn nothing(operation: &str, text: &str) -> Error {
    Error::new(operation, ErrorKind::NotFound(text.to_owned()))
}
