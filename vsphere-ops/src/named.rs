//! Related objects that a report names, up to a limit.

use serde::Serialize;
use vsphere_model::types::ManagedObjectReference;

use crate::client::Client;
use crate::error::Result;
use crate::find;

/// How many objects of a kind a report names; lists have all of them.
pub(crate) const NAMED: usize = 50;

/// An object that belongs to another one.
///
/// ```
/// use vsphere_ops::Named;
///
/// fn line(vms: &[Named]) -> String {
///     vms.iter().map(|vm| vm.name.as_str()).collect::<Vec<_>>().join(", ")
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Named {
    /// Its name; its id if the user may not read the name.
    pub name: String,
    /// Its managed object id.
    pub id: String,
}

impl Named {
    /// The first [`NAMED`] of these objects, in one request.
    pub(crate) async fn some(client: &Client, objects: &[ManagedObjectReference]) -> Result<Vec<Self>> {
        let objects = objects.get(..NAMED).unwrap_or(objects);
        let mut names = find::names(client, objects.iter().cloned()).await?;
        let named = objects.iter().map(|object| {
            let name = names.remove(&object.value).unwrap_or_else(|| object.value.clone());
            Self { name, id: object.value.clone() }
        });
        let mut named: Vec<Self> = named.collect();
        named.sort();
        Ok(named)
    }
}
