//! The inventory in memory: one live mirror for each kind of object, started when it is first asked for.

mod machines;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use vsphere_ops::{
    Client, Entry, Inventory, ListQuery, Page, Select, Size,
    managed::{
        ClusterComputeResource, Datastore, HostSystem, Network, ResourcePool, cluster_compute_resource as cluster,
        datastore, host_system as host, network, resource_pool as pool,
    },
    types::ManagedObjectReference,
    vm::VmMirror,
    word,
};
use vsphere_soap::request::ManagedObject;

use crate::{backends::Backend, error::Result};
pub(crate) use machines::Cached;
use machines::Machines;

/// A kind of object that is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Vms,
    Hosts,
    Datastores,
    Networks,
    Clusters,
    ResourcePools,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Vms, Self::Hosts, Self::Datastores, Self::Networks, Self::Clusters, Self::ResourcePools];
}

/// The mirrors of one connection.
#[derive(Default)]
pub(crate) struct Mirrors {
    /// By kind; the place of the machines stays empty.
    others: [Slot<Arc<dyn Mirror>>; Kind::ALL.len()],
    machines: Machines,
}

/// Objects of a kind, as they are known now.
pub(crate) struct View {
    /// An object each, sorted by name.
    pub(crate) items: Vec<Value>,
    /// How many there are in all.
    pub(crate) total: usize,
    /// Where what comes after these begins.
    pub(crate) next: Option<String>,
    /// Whether the mirror follows the server; else this is what was known before it was lost.
    pub(crate) live: bool,
    /// Seconds since the server last said that there is nothing more to tell.
    pub(crate) age_seconds: Option<f64>,
}

impl Mirrors {
    /// The objects of a kind: at most so many, those that come after a view's `next`.
    ///
    /// # Errors
    /// `invalid_argument` where no view had this `next`, and those of the connection when the mirror is not yet there.
    pub(crate) async fn view(&self, backend: &Backend, kind: Kind, limit: usize, after: Option<&str>) -> Result<View> {
        let mirror = self.mirror(backend, kind).await?;
        let query = ListQuery { cursor: after.map(str::to_owned), ..ListQuery::first(limit) };
        let Page { items, total, next_cursor: next, .. } = mirror.page(&query)?;
        Ok(View { items, total, next, live: mirror.is_live(), age_seconds: mirror.age_seconds() })
    }

    /// The names of the objects of a kind, and which of them are templates.
    ///
    /// # Errors
    /// Those of the connection, when the mirror is not yet there.
    pub(crate) async fn names(&self, backend: &Backend, kind: Kind) -> Result<Vec<(String, bool)>> {
        Ok(self.mirror(backend, kind).await?.names())
    }

    /// Calls `changed` after each change of this kind of objects. It ends when the mirror does.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) async fn follow<F>(&self, backend: &Backend, kind: Kind, changed: impl Fn() -> F + Send) -> Result<()>
    where
        F: Future<Output = bool> + Send,
    {
        let mut changes = self.mirror(backend, kind).await?.changes();
        while changes.next().await {
            if !changed().await {
                break;
            }
        }
        Ok(())
    }

    /// The virtual machines.
    pub(crate) fn machines(&self) -> &Machines {
        &self.machines
    }

    async fn mirror(&self, backend: &Backend, kind: Kind) -> Result<Arc<dyn Mirror>> {
        let start = async |kind| start(&backend.client().await?, kind).await;
        match kind {
            Kind::Vms => Ok(Arc::new(self.machines.started(backend).await?)),
            other => self.others[other as usize].get_or(start(other)).await,
        }
    }
}

/// A mirror that the first who needs it starts, and that is started anew after it has ended.
struct Slot<T> {
    started: RwLock<Option<T>>,
    /// Held while it is started, so that many who need it start one.
    starting: Mutex<()>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { started: RwLock::default(), starting: Mutex::default() }
    }
}

impl<T: Mirror + Clone> Slot<T> {
    /// The mirror that runs.
    fn running(&self) -> Option<T> {
        let started = self.started.read().unwrap_or_else(PoisonError::into_inner);
        started.as_ref().filter(|mirror| !mirror.has_ended()).cloned()
    }

    /// The mirror, started by this where none runs.
    async fn get_or(&self, start: impl Future<Output = Result<T>>) -> Result<T> {
        if let Some(mirror) = self.running() {
            return Ok(mirror);
        }
        let _one_at_a_time = self.starting.lock().await;
        if let Some(mirror) = self.running() {
            return Ok(mirror);
        }
        let mirror = start.await?;
        *self.started.write().unwrap_or_else(PoisonError::into_inner) = Some(mirror.clone());
        Ok(mirror)
    }
}

/// A mirror of objects of whatever type.
trait Mirror: Send + Sync {
    fn page(&self, query: &ListQuery) -> vsphere_ops::Result<Page<Value>>;
    /// All names, and whether each is that of a template.
    fn names(&self) -> Vec<(String, bool)>;
    fn is_live(&self) -> bool;
    fn has_ended(&self) -> bool;
    fn age_seconds(&self) -> Option<f64>;
    fn changes(&self) -> Box<dyn Changes>;
}

/// Waits for changes of a mirror.
trait Changes: Send {
    /// Waits for the next; false when there will be none.
    fn next(&mut self) -> BoxFuture<'_, bool>;
}

/// What is shown of an object besides its name and id.
type Show<M, R> = fn(&Entry<M, R>) -> Value;

struct Shown<M: ManagedObject, R> {
    inventory: Inventory<M, R>,
    show: Show<M, R>,
}

impl<M, R> Mirror for Shown<M, R>
where
    M: ManagedObject + Send + Sync + 'static,
    R: Send + Sync + 'static,
{
    fn page(&self, query: &ListQuery) -> vsphere_ops::Result<Page<Value>> {
        let item = |entry: Arc<Entry<M, R>>| {
            let mut item = json!({ "name": entry.object.label(), "id": entry.object.id() });
            if let (Some(item), Value::Object(facts)) = (item.as_object_mut(), (self.show)(&entry)) {
                item.extend(facts);
            }
            item
        };
        Ok(self.inventory.page(query)?.map(item))
    }

    fn names(&self) -> Vec<(String, bool)> {
        self.inventory.snapshot().values().map(|entry| (entry.object.label().to_owned(), false)).collect()
    }

    fn is_live(&self) -> bool {
        self.inventory.is_live()
    }

    fn has_ended(&self) -> bool {
        self.inventory.failure().is_some()
    }

    fn age_seconds(&self) -> Option<f64> {
        self.inventory.age().map(seconds)
    }

    fn changes(&self) -> Box<dyn Changes> {
        Box::new(Changing(self.inventory.clone()))
    }
}

impl Mirror for Arc<dyn Mirror> {
    fn page(&self, query: &ListQuery) -> vsphere_ops::Result<Page<Value>> {
        self.as_ref().page(query)
    }

    fn names(&self) -> Vec<(String, bool)> {
        self.as_ref().names()
    }

    fn is_live(&self) -> bool {
        self.as_ref().is_live()
    }

    fn has_ended(&self) -> bool {
        self.as_ref().has_ended()
    }

    fn age_seconds(&self) -> Option<f64> {
        self.as_ref().age_seconds()
    }

    fn changes(&self) -> Box<dyn Changes> {
        self.as_ref().changes()
    }
}

impl Mirror for VmMirror {
    fn page(&self, query: &ListQuery) -> vsphere_ops::Result<Page<Value>> {
        Ok(VmMirror::page(self, query)?.map(|machine| json!(machine)))
    }

    fn names(&self) -> Vec<(String, bool)> {
        VmMirror::names(self)
    }

    fn is_live(&self) -> bool {
        self.is_current()
    }

    fn has_ended(&self) -> bool {
        self.failure().is_some()
    }

    fn age_seconds(&self) -> Option<f64> {
        self.age().map(seconds)
    }

    fn changes(&self) -> Box<dyn Changes> {
        Box::new(self.clone())
    }
}

impl Changes for VmMirror {
    fn next(&mut self) -> BoxFuture<'_, bool> {
        Box::pin(async { self.changed().await.is_ok() })
    }
}

/// To one digit.
fn seconds(age: Duration) -> f64 {
    (age.as_secs_f64() * 10.0).round() / 10.0
}

struct Changing<M: ManagedObject, R>(Inventory<M, R>);

impl<M, R> Changes for Changing<M, R>
where
    M: ManagedObject + Send + Sync + 'static,
    R: Send + Sync + 'static,
{
    fn next(&mut self) -> BoxFuture<'_, bool> {
        Box::pin(async { self.0.changed().await.is_ok() })
    }
}

async fn mirror<M, S>(client: &Client, select: S, show: Show<M, S::Row>) -> Result<Arc<dyn Mirror>>
where
    M: ManagedObject + Send + Sync + 'static,
    S: Select<M> + Unpin + Send + 'static,
    S::Row: Send + Sync + 'static,
{
    let inventory = Inventory::start(client.watch::<M>().select(select)).await?;
    Ok(Arc::new(Shown { inventory, show }))
}

/// Starts a mirror. What changes all the time, such as how busy a host is, is left out: it would tell of no change.
async fn start(client: &Client, kind: Kind) -> Result<Arc<dyn Mirror>> {
    match kind {
        Kind::Vms => Ok(Arc::new(VmMirror::start(client).await?)),
        Kind::Hosts => {
            let select = (host::CONNECTION_STATE, host::IN_MAINTENANCE_MODE, host::OVERALL_STATUS);
            mirror::<HostSystem, _>(client, select, |entry| {
                let (connection, maintenance, status) = &entry.row;
                json!({
                    "connection_state": word(connection), "maintenance_mode": maintenance,
                    "status": status.as_str(),
                })
            })
            .await
        }
        Kind::Datastores => {
            let select = (
                datastore::DATASTORE_TYPE,
                datastore::CAPACITY,
                datastore::FREE_SPACE,
                datastore::ACCESSIBLE,
                datastore::MAINTENANCE_MODE,
            );
            mirror::<Datastore, _>(client, select, |entry| {
                let (kind, capacity, free, accessible, maintenance) = &entry.row;
                json!({
                    "type": kind, "capacity_gb": Size::of_bytes(*capacity), "free_gb": Size::of_bytes(*free),
                    "accessible": accessible, "maintenance_mode": maintenance,
                })
            })
            .await
        }
        Kind::Networks => {
            mirror::<Network, _>(
                client,
                network::OVERALL_STATUS,
                |entry| json!({ "kind": entry.object.reference().type_, "status": entry.row.as_str() }),
            )
            .await
        }
        Kind::Clusters => {
            mirror::<ClusterComputeResource, _>(client, cluster::SUMMARY, |entry| {
                let summary = &entry.row;
                json!({
                    "hosts": summary.num_hosts, "usable_hosts": summary.num_effective_hosts,
                    "cpu_mhz": summary.total_cpu, "memory_gb": Size::of_bytes(summary.total_memory),
                    "status": summary.overall_status.as_str(),
                })
            })
            .await
        }
        Kind::ResourcePools => {
            mirror::<ResourcePool, _>(client, (pool::OWNER, pool::PARENT, pool::OVERALL_STATUS), |entry| {
                let (owner, parent, status) = &entry.row;
                let id = |reference: &ManagedObjectReference| reference.value.clone();
                json!({ "owner": id(owner), "parent": parent.as_ref().map(id), "status": status.as_str() })
            })
            .await
        }
    }
}
