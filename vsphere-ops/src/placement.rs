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
//! One rule is for all that is made, cloned or deployed. Each part is the one that was asked for; else the default of the
//! settings; else the source's own, where there is a source and it fits; else one that is chosen, and never among several that
//! fit alike. [`Place::choices`] tells which was taken, and why.
//!
//! | | chosen in the end |
//! |---|---|
//! | datacenter | the only one |
//! | folder | the datacenter's folder for VMs |
//! | resource pool | that of the only cluster or host of the datacenter |
//! | host | by vSphere |
//! | datastore | the one with most free space that every host there sees and that is not in maintenance mode |
//! | network | the only one that the host or cluster sees, the one called `VM Network` |
//!
//! A datastore cluster stands for its member with most free space. What a linked clone shares with its source comes before the
//! settings, and so does what a VM that [moves](crate::migration) has already: a setting moves nothing.

mod choice;
mod seen;

use vsphere_model::managed::{
    ComputeResource, Datacenter, Datastore, Folder, HostSystem, Network, ResourcePool, compute_resource, datacenter,
    distributed_virtual_portgroup as portgroup, folder, host_system, resource_pool,
};
use vsphere_model::types::{ClusterConfigInfoEx, DVPortgroupConfigInfo, InvalidArgument, ManagedObjectReference};
use vsphere_soap::request::ManagedObject;

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::find::{self, label};
use crate::mo::Mo;
use crate::read::Values;
use crate::vm::optional;

pub use choice::{Choice, Part, Reason};
pub(crate) use seen::Seen;

/// The network that ESXi itself makes for VMs.
const USUAL_NETWORK: &str = "VM Network";

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
    /// The datastore.
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
    /// The datastore, or a datastore cluster.
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
    /// What was taken for each part, and why.
    pub choices: Vec<Choice>,
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

    /// Finds the place for a VM that is made after another one.
    pub(crate) async fn find_near(&self, client: &Client, near: Option<Near>) -> Result<Place> {
        let mut given = self.given(client).await?;
        let datacenter = self.datacenter(client, &given, near.as_ref()).await?;
        let near = near.filter(|near| near.datacenter.reference() == datacenter.reference());
        let mut choices = Vec::new();
        let (folder, why) = match (given.folder.take(), near.as_ref().and_then(|near| near.folder.as_ref())) {
            (Some(folder), _) => (folder, Reason::Asked),
            (None, Some(own)) => (named(client, own).await?, Reason::SameAsSource),
            (None, None) => (folder_of(&datacenter).await?, Reason::Usual),
        };
        choices.push(Choice::of(Part::Folder, &folder, why));
        let Spot { pool, compute, host, stays, why } = self.spot(&datacenter, given, near.as_ref()).await?;
        choices.push(Choice::of(Part::Pool, &pool, why));
        if let Some(host) = &host {
            let why = if self.host.is_some() { Reason::Asked } else { Reason::SameAsSource };
            choices.push(Choice::of(Part::Host, host, why));
        }
        let seen = Seen::by(stays.as_ref().or(host.as_ref()), &compute).await?;
        let (datastore, why) = self.usual_datastore(&datacenter, &seen, near.as_ref()).await?;
        choices.push(Choice::of(Part::Datastore, &datastore, why));
        Ok(Place { datacenter, folder, pool, host, datastore, compute, choices })
    }

    /// The pool, and the host where one is asked for or nobody else chooses it.
    async fn spot(&self, datacenter: &Mo<Datacenter>, given: Given, near: Option<&Near>) -> Result<Spot> {
        let client = datacenter.client();
        if given.pool.is_some() || given.host.is_some() {
            let why = if given.pool.is_some() { Reason::Asked } else { Reason::FollowsFromAsked };
            let (pool, compute) = pool_of(client, given.pool, given.host.as_ref()).await?;
            return Ok(Spot { pool, compute, host: given.host, stays: None, why });
        }
        let default = self.default_cluster(datacenter).await?;
        let own = near.and_then(|near| near.pool.as_ref());
        if let Some(own) = own {
            let (pool, compute) = pool_of(client, Some(named(client, own).await?), None).await?;
            // A pool of the default cluster is what the default asks for, too.
            if default.as_ref().is_none_or(|default| default.reference() == compute.reference()) {
                let stays = near.and_then(|near| near.host.as_ref()).map(|host| Mo::new(client, host, None));
                return Ok(Spot { pool, compute, host: None, stays, why: Reason::SameAsSource });
            }
        }
        let (pool, compute, why) = match default {
            Some(default) => (root_pool(&default).await?, default, Reason::Setting),
            None => self.usual_pool(datacenter, near).await?,
        };
        let host = host_without_drs(&compute, near.and_then(|near| near.host.clone())).await?;
        Ok(Spot { pool, compute, host, stays: None, why })
    }

    /// The cluster of the settings, where it is in this datacenter.
    async fn default_cluster(&self, datacenter: &Mo<Datacenter>) -> Result<Option<Mo<ComputeResource>>> {
        let Some(what) = &self.defaults.cluster else { return Ok(None) };
        let cluster = datacenter.client().get::<ComputeResource>(what).await?;
        let at = datacenter_of(datacenter.client(), cluster.reference()).await?;
        Ok((at.reference() == datacenter.reference()).then_some(cluster))
    }

    async fn usual_datastore(
        &self,
        datacenter: &Mo<Datacenter>,
        seen: &Seen,
        near: Option<&Near>,
    ) -> Result<(Mo<Datastore>, Reason)> {
        if let Some(what) = &self.datastore {
            return seen.datastore(datacenter, what, Reason::Asked).await;
        }
        let (own, bytes, shares) = match near {
            Some(near) => (near.datastore.as_ref(), near.bytes, near.shares),
            None => (None, 0, false),
        };
        let own = seen.fitting(datacenter, own, bytes).await?;
        match (own, &self.defaults.datastore) {
            (Some(own), None) => Ok((own, Reason::SameAsSource)),
            (Some(own), Some(_)) if shares => Ok((own, Reason::SameAsSource)),
            (_, Some(what)) => seen.datastore(datacenter, what, Reason::Setting).await,
            (None, None) => Ok((seen.roomiest(datacenter).await?, Reason::MostSpace)),
        }
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

    async fn datacenter(&self, client: &Client, given: &Given, near: Option<&Near>) -> Result<Mo<Datacenter>> {
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
        if let Some(near) = near {
            return Ok(near.datacenter.clone());
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

    /// The pool where neither pool nor host is given, and no cluster is the default.
    async fn usual_pool(
        &self,
        datacenter: &Mo<Datacenter>,
        near: Option<&Near>,
    ) -> Result<(Mo<ResourcePool>, Mo<ComputeResource>, Reason)> {
        let client = datacenter.client();
        // A template is in no pool, but on a host.
        if let Some(host) = near.and_then(|near| near.host.as_ref()) {
            let (pool, compute) = pool_of(client, None, Some(&named(client, host).await?)).await?;
            return Ok((pool, compute, Reason::SameAsSource));
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
        let found = found.map(|(pool, compute)| (pool, compute, Reason::OnlyOne));
        found.ok_or_else(|| nothing("choose a resource pool", "none is there any longer"))
    }
}

/// Where a VM runs.
struct Spot {
    pool: Mo<ResourcePool>,
    compute: Mo<ComputeResource>,
    /// The host that has to be named.
    host: Option<Mo<HostSystem>>,
    /// The source's host, where a copy stays that is not put elsewhere.
    stays: Option<Mo<HostSystem>>,
    why: Reason,
}

/// What is given, found.
struct Given {
    folder: Option<Mo<Folder>>,
    pool: Option<Mo<ResourcePool>>,
    host: Option<Mo<HostSystem>>,
}

/// The VM that another one is made after.
pub(crate) struct Near {
    pub(crate) datacenter: Mo<Datacenter>,
    pub(crate) folder: Option<ManagedObjectReference>,
    pub(crate) pool: Option<ManagedObjectReference>,
    pub(crate) host: Option<ManagedObjectReference>,
    /// The datastore with its configuration, and how much space a copy takes.
    pub(crate) datastore: Option<ManagedObjectReference>,
    pub(crate) bytes: i64,
    /// Whether the other one shares files with it.
    pub(crate) shares: bool,
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
        Ok(self.chosen_network(what).await?.map(|(network, _)| network))
    }

    /// The network for an adapter, and why it is that: the one that is asked for, the default, or the usual one.
    pub(crate) async fn network_for(
        &self,
        asked: Option<&str>,
        default: Option<&str>,
    ) -> Result<Option<(Mo<Network>, Reason)>> {
        let found = self.chosen_network(asked.or(default)).await?;
        let given = if asked.is_some() { Reason::Asked } else { Reason::Setting };
        Ok(found.map(|(network, why)| (network, why.unwrap_or(given))))
    }

    /// The network, and why it is that where it was not named.
    async fn chosen_network(&self, what: Option<&str>) -> Result<Option<(Mo<Network>, Option<Reason>)>> {
        let client = self.datacenter.client();
        let seen = Seen::by(self.host.as_ref(), &self.compute).await?;
        if let Some(what) = what {
            let network = seen.must_have("use the network", &seen.networks, self.datacenter.get(what).await?).await?;
            return Ok(Some((network, None)));
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
        let why = if fitting.len() == 1 { Reason::OnlyOne } else { Reason::Usual };
        let usual = fitting.iter().filter(|network| network.label() == USUAL_NETWORK).count();
        if usual == 1 {
            fitting.retain(|network| network.label() == USUAL_NETWORK);
        }
        if fitting.is_empty() {
            return Ok(None);
        }
        Ok(Some((only(client, "choose a network", fitting).await?, Some(why))))
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

pub(crate) async fn machine_folder(client: &Client, what: &str) -> Result<Mo<Folder>> {
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
    named(datacenter.client(), &folder).await
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
pub(crate) async fn pool_of(
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
    match hosts_without_drs(compute).await? {
        Some(hosts) if hosts.contains(&near) => named(compute.client(), &near).await.map(Some),
        _ => Ok(None),
    }
}

/// The hosts of a cluster without DRS, of which nobody chooses one; `None` where there is nothing to choose, or DRS does.
pub(crate) async fn hosts_without_drs(compute: &Mo<ComputeResource>) -> Result<Option<Vec<ManagedObjectReference>>> {
    let (hosts, configuration) =
        compute.read((compute_resource::HOST, compute_resource::CONFIGURATION_EX.optional())).await?;
    let cluster = configuration.as_ref().and_then(|it| it.downcast_ref::<ClusterConfigInfoEx>());
    let chosen_by_drs = cluster.is_none_or(|cluster| cluster.drs_config.enabled == Some(true));
    Ok(if chosen_by_drs { None } else { Some(hosts) })
}

/// The pool that all of a cluster, or of a host outside of clusters, is in.
pub(crate) async fn root_pool(compute: &Mo<ComputeResource>) -> Result<Mo<ResourcePool>> {
    let pool = compute.read(compute_resource::RESOURCE_POOL).await?;
    let none = || nothing("find the resource pool of", "it has none that this user may see").on(compute.label());
    named(compute.client(), &pool.ok_or_else(none)?).await
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

pub(crate) fn nothing(operation: &str, text: &str) -> Error {
    Error::new(operation, ErrorKind::NotFound(text.to_owned()))
}
