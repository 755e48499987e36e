//! The arguments of lists that are asked by columns: which objects, in which order, or in which groups.

use schemars::JsonSchema;
use serde::Deserialize;
use vsphere_ops::columns::{Column, Condition, Order};

use super::paging::Wanted;
use crate::error::Result;

/// What is asked of a list.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Asking {
    /// Text in names, models, addresses, UUIDs or annotations.
    find: Option<String>,
    /// Conditions on fields, all of which hold: name=*web*, tags= (none), memory_mb>4096.
    #[serde(rename = "where")]
    conditions: Option<Vec<String>>,
    /// A field; - before it for the largest first.
    sort: Option<String>,
    /// Count and sum by a field instead.
    group_by: Option<String>,
}

/// The same, by columns.
pub(crate) struct Asked<C> {
    pub(crate) find: Option<String>,
    pub(crate) conditions: Vec<Condition<C>>,
    pub(crate) order: Option<Order<C>>,
    pub(crate) columns: Vec<C>,
    pub(crate) group_by: Option<C>,
}

impl Asking {
    /// What is asked, and which fields are to be read for it.
    ///
    /// # Errors
    /// `invalid_argument` for an unknown column or a malformed condition.
    pub(crate) fn of<C: Column>(self, fields: &Wanted) -> Result<Asked<C>> {
        let conditions = self.conditions.into_iter().flatten().map(|text| text.parse());
        Ok(Asked {
            find: self.find,
            conditions: conditions.collect::<vsphere_ops::Result<_>>()?,
            order: self.sort.map(|sort| sort.parse()).transpose()?,
            // They are read only where somebody wants them.
            columns: fields.iter().flatten().filter_map(|field| C::named(field).ok()).collect(),
            group_by: self.group_by.map(|column| C::named(&column)).transpose()?,
        })
    }
}
