//! Lists of datastores.

use serde::Serialize;
use vsphere_model::managed::datastore;
use vsphere_model::types::{
    CustomFieldValue, DatastoreHostMount, DatastoreInfo, DatastoreSummary, ManagedEntityStatus, ManagedObjectReference,
    Poly, VmfsDatastoreInfo,
};

use crate::client::Client;
use crate::columns::{
    self, Also, Asked, Beside, Cell, Cells, Column as _, Condition, Groups, Listed, Object, Order, Others, columns,
};
use crate::error::Result;
use crate::page::{ListQuery, Page};
use crate::words::word;

const SUMMARY: &str = datastore::SUMMARY.path();
const MOUNTS: &str = datastore::HOST.path();
const VMS: &str = datastore::VM.path();
const PARENT: &str = "parent";
const INFO: &str = "info";
const STATUS: &str = "overallStatus";
const CUSTOM_VALUES: &str = "customValue";

columns! {
    /// A column of a list of datastores.
    ///
    /// ```
    /// use vsphere_ops::columns::{Column, Kind};
    /// use vsphere_ops::datastore::DatastoreColumn;
    ///
    /// assert_eq!(DatastoreColumn::named("free_bytes")?.kind(), Kind::Bytes);
    /// # Ok::<(), vsphere_ops::Error>(())
    /// ```
    DatastoreColumn {
        /// The name.
        Name = "name", Text, ["name"], Itself;
        /// The managed object id.
        Id = "id", Text, [], Itself;
        /// The type of the file system: `VMFS`, `NFS`, `NFS41`, `vsan`, `VVOL`…
        Type = "type", Text, [SUMMARY], Itself;
        /// Whether any host can reach it.
        Accessible = "accessible", Flag, [SUMMARY], Itself;
        /// The size in bytes.
        CapacityBytes = "capacity_bytes", Bytes, [SUMMARY], Itself;
        /// What is free of it, in bytes.
        FreeBytes = "free_bytes", Bytes, [SUMMARY], Itself;
        /// How much of the size is free, in per cent.
        FreePercent = "free_percent", Number, [SUMMARY], Itself;
        /// The inventory path.
        Path = "path", Text, [PARENT], Above;
        /// The name of the datastore cluster or folder that it is in.
        Folder = "folder", Text, [PARENT], Names;
        /// How well it is: `green`, `yellow`, `red` or `gray`.
        Status = "status", Text, [STATUS], Itself;
        /// How far it is with maintenance: `normal`, `entering_maintenance`, `in_maintenance`.
        MaintenanceMode = "maintenance_mode", Text, [SUMMARY], Itself;
        /// What is in use, in bytes.
        UsedBytes = "used_bytes", Bytes, [SUMMARY], Itself;
        /// What would be in use when all thin disks had grown, in bytes.
        ProvisionedBytes = "provisioned_bytes", Bytes, [SUMMARY], Itself;
        /// How much of the size that is, in per cent.
        ProvisionedPercent = "provisioned_percent", Number, [SUMMARY], Itself;
        /// The hosts that mount it.
        Hosts = "hosts", Texts, [MOUNTS], Names;
        /// How many they are.
        HostCount = "host_count", Number, [MOUNTS], Itself;
        /// How many VMs and templates have files in it.
        VmCount = "vm_count", Number, [VMS], Itself;
        /// Whether all its devices are solid-state disks, of VMFS.
        Ssd = "ssd", Flag, [INFO], Itself;
        /// The version of VMFS.
        VmfsVersion = "vmfs_version", Text, [INFO], Itself;
        /// Where it is found, whatever its name.
        Url = "url", Text, [SUMMARY], Itself;
        /// The values of its custom attributes.
        CustomAttributes = "custom_attributes", Texts, [CUSTOM_VALUES], Attributes;
        /// Its tags, as `category:tag`.
        Tags = "tags", Texts, [], Tags;
    }
    shown [Name, Id, Type, Accessible, CapacityBytes, FreeBytes, FreePercent]
    searched [Name, Url]
    summed [CapacityBytes, FreeBytes, ProvisionedBytes]
    untrusted [CustomAttributes]
}

impl Listed for DatastoreColumn {
    const TYPES: &'static [&'static str] = &["Datastore"];

    fn paths(self) -> &'static [&'static str] {
        self.paths()
    }

    fn beside(self) -> Beside {
        self.beside()
    }

    fn refers_to(self, object: &Object) -> Vec<ManagedObjectReference> {
        match self {
            Self::Hosts => mounts(object).unwrap_or_default().into_iter().map(|mount| mount.key).collect(),
            _ => self.paths().iter().flat_map(|path| object.references(path)).collect(),
        }
    }

    fn cell(self, object: &Object, others: &Others) -> Cell {
        let summary = || object.get::<DatastoreSummary>(SUMMARY);
        // Of what no host reaches the server tells the last sizes, or none.
        let sizes = || summary().filter(|summary| summary.accessible);
        let used = |it: &DatastoreSummary| it.capacity.saturating_sub(it.free_space);
        let provisioned = |it: &DatastoreSummary| Some(used(it).saturating_add(it.uncommitted?));
        let vmfs = || object.get::<Poly<DatastoreInfo>>(INFO)?.downcast_ref::<VmfsDatastoreInfo>()?.vmfs.clone();
        match self {
            Self::Name => Cell::Text(object.name.clone()),
            Self::Id => Cell::Text(object.reference.value.clone()),
            Self::Type => Cell::text(summary().map(|it| it.type_)),
            Self::Accessible => Cell::flag(summary().map(|it| it.accessible)),
            Self::CapacityBytes => Cell::number(sizes().map(|it| it.capacity)),
            Self::FreeBytes => Cell::number(sizes().map(|it| it.free_space)),
            Self::FreePercent => Cell::percent(sizes().map(|it| it.free_space), sizes().map(|it| it.capacity)),
            Self::Path => others.path_in(object.reference(PARENT).as_deref(), &object.name),
            Self::Folder => Cell::text(object.reference(PARENT).map(|parent| others.label(&parent))),
            Self::Status => Cell::text(object.get::<ManagedEntityStatus>(STATUS).map(|it| it.to_string())),
            Self::MaintenanceMode => {
                Cell::text(summary().map(|it| it.maintenance_mode.map_or("normal".into(), |it| word(&it))))
            }
            Self::UsedBytes => Cell::number(sizes().as_ref().map(used)),
            Self::ProvisionedBytes => Cell::number(sizes().as_ref().and_then(provisioned)),
            Self::ProvisionedPercent => {
                Cell::percent(sizes().as_ref().and_then(provisioned), sizes().map(|it| it.capacity))
            }
            Self::Hosts => {
                let mounts = mounts(object).unwrap_or_default();
                others.labels(mounts.iter().map(|mount| mount.key.value.as_str()))
            }
            Self::HostCount => Cell::number(mounts(object).and_then(|mounts| i64::try_from(mounts.len()).ok())),
            Self::VmCount => Cell::number(object.count(VMS)),
            Self::Ssd => Cell::flag(vmfs().and_then(|vmfs| vmfs.ssd)),
            Self::VmfsVersion => Cell::text(vmfs().map(|vmfs| vmfs.version)),
            Self::Url => Cell::text(summary().map(|it| it.url)),
            Self::CustomAttributes => {
                others.attributes(&object.get::<Vec<Poly<CustomFieldValue>>>(CUSTOM_VALUES).unwrap_or_default())
            }
            Self::Tags => others.tags(&object.reference.value),
        }
    }
}

fn mounts(object: &Object) -> Option<Vec<DatastoreHostMount>> {
    object.get(MOUNTS)
}

/// Which datastores to list, and what of them.
///
/// ```
/// use vsphere_ops::datastore::DatastoreQuery;
///
/// let query = DatastoreQuery {
///     conditions: vec!["free_percent<10".parse()?, "type=VMFS".parse()?],
///     order: Some("free_percent".parse()?),
///     ..Default::default()
/// };
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct DatastoreQuery {
    /// The page that is wanted, and a glob on the name.
    pub page: ListQuery,
    /// Only those with this text in their name or URL. Case does not matter.
    pub find: Option<String>,
    /// Only those for which all of these hold.
    pub conditions: Vec<Condition<DatastoreColumn>>,
    /// The order, in place of that by name.
    pub order: Option<Order<DatastoreColumn>>,
    /// What is shown besides.
    pub columns: Vec<DatastoreColumn>,
}

impl DatastoreQuery {
    fn asked(&self) -> Asked<'_, DatastoreColumn> {
        Asked::new(&self.page, self.find.as_deref(), &self.conditions, self.order, &self.columns)
    }
}

/// A datastore in a list.
///
/// ```
/// use vsphere_ops::datastore::DatastoreItem;
///
/// fn is_full(datastore: &DatastoreItem) -> bool {
///     datastore.free_percent.is_some_and(|percent| percent < 5)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DatastoreItem {
    /// The name.
    pub name: String,
    /// The managed object id.
    pub id: String,
    /// The type of the file system: `VMFS`, `NFS`, `NFS41`, `vsan`, `VVOL`…
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// Whether any host can reach it. Sizes are known of such a datastore alone.
    pub accessible: Option<bool>,
    /// The size in bytes.
    pub capacity_bytes: Option<i64>,
    /// What is free of it, in bytes.
    pub free_bytes: Option<i64>,
    /// How much of the size is free, in per cent.
    pub free_percent: Option<i64>,
    /// What was asked for besides.
    #[serde(flatten)]
    pub columns: Cells<DatastoreColumn>,
}

/// Lists datastores, sorted by name unless another order is asked for.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::datastore::{self, DatastoreColumn, DatastoreQuery};
///
/// let columns = vec![DatastoreColumn::ProvisionedPercent, DatastoreColumn::Hosts];
/// let query = DatastoreQuery { order: Some("-free_bytes".parse()?), columns, ..Default::default() };
/// for store in datastore::list(&client, &query).await?.items {
///     println!("{}: {:?} bytes free, {:?}", store.name, store.free_bytes, store.columns);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `invalid_argument` for a cursor that no list gave, and those of the server.
pub async fn list(client: &Client, query: &DatastoreQuery) -> Result<Page<DatastoreItem>> {
    let asked = query.asked();
    let found = columns::list(client, None, &asked, &Also::ALL, DatastoreColumn::SHOWN).await?;
    let items = found.objects.iter().map(|object| {
        let cell = |column: DatastoreColumn| column.cell(object, &found.others);
        DatastoreItem {
            name: object.name.clone(),
            id: object.reference.value.clone(),
            type_: cell(DatastoreColumn::Type).into_text(),
            accessible: cell(DatastoreColumn::Accessible).as_flag(),
            capacity_bytes: cell(DatastoreColumn::CapacityBytes).as_number(),
            free_bytes: cell(DatastoreColumn::FreeBytes).as_number(),
            free_percent: cell(DatastoreColumn::FreePercent).as_number(),
            columns: asked.cells(cell),
        }
    });
    let items = items.collect();
    Ok(Page { gaps: found.gaps, ..found.window.page(items) })
}

/// How many datastores have which value in a column, with the sums of their sizes. The page of the query does not matter, nor do its
/// order and columns.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::datastore::{DatastoreColumn, groups};
///
/// for group in groups(&client, &Default::default(), DatastoreColumn::Type).await?.groups {
///     println!("{:?}: {} with {:?} bytes free", group.value, group.count, group.sums.get("free_bytes"));
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// As [`list`].
pub async fn groups(client: &Client, query: &DatastoreQuery, column: DatastoreColumn) -> Result<Groups> {
    columns::groups(client, None, &query.asked(), &Also::ALL, column).await
}
