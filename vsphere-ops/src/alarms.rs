//! Triggered alarms: of an object and all below it, or of the whole inventory.
//!
//! ```
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let dc = client.datacenter("fra1").await?;
//! for alarm in dc.triggered_alarms().await? {
//!     println!("{} {} on {}", alarm.status, alarm.alarm, alarm.entity);
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! An object's list holds what was triggered on it and on all below it, so one request to the root folder is enough for
//! the whole inventory. Names of alarms and objects are looked up in a second request; a user who may not read them gets
//! ids in their place. ESXi alone has no alarms.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::Serialize;
use vsphere_model::managed::{Folder, ManagedEntity};
use vsphere_model::types::{
    AlarmState, ManagedEntityStatus, ManagedObjectReference, ObjectSpec, PropertyFilterSpec, PropertySpec,
};
use vsphere_soap::object::{Property, format_date_time};
use vsphere_soap::request::ManagedObject;

use crate::client::Client;
use crate::error::Result;
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::name;
use crate::page::{ListQuery, Page, Window};
use crate::read;

/// An alarm that was triggered and has not been cleared.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::alarms::TriggeredAlarm;
///
/// let alarms = client.triggered_alarms().await?;
/// let is_new = |alarm: &&TriggeredAlarm| alarm.status == "red" && !alarm.acknowledged;
/// println!("{} new ones", alarms.iter().filter(is_new).count());
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TriggeredAlarm {
    /// The name of the alarm; its id where the user may not read it.
    pub alarm: String,
    /// The managed object id of the alarm.
    pub alarm_id: String,
    /// The name of the object that it was triggered on; its id where the user may not read it.
    pub entity: String,
    /// The managed object id of that object.
    pub entity_id: String,
    /// The managed object type of that object (`HostSystem`).
    pub entity_type: String,
    /// `red`, `yellow`, `green` or `gray`.
    pub status: String,
    /// When it got this status by the server's clock, RFC 3339.
    pub time: String,
    /// Whether somebody has acknowledged it.
    pub acknowledged: bool,
    /// Who acknowledged it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// When, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_time: Option<String>,
}

impl Client {
    /// The triggered alarms of the whole inventory, the worst and newest first. ESXi has no alarms of its own.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// for alarm in client.triggered_alarms().await? {
    ///     println!("{} {} on {} since {}", alarm.status, alarm.alarm, alarm.entity, alarm.time);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors.
    pub async fn triggered_alarms(&self) -> Result<Vec<TriggeredAlarm>> {
        let root: Mo<Folder> = Mo::new(self, &self.content().root_folder, None);
        root.triggered_alarms().await
    }
}

impl<M: ManagedObject> Mo<M> {
    /// The triggered alarms of this inventory object and all below it, the worst and newest first.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::HostSystem;
    ///
    /// let host = client.get::<HostSystem>("esx-01.corp.example").await?;
    /// println!("{} alarms on the host and its machines", host.triggered_alarms().await?.len());
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if the object no longer exists, and server errors.
    pub async fn triggered_alarms(&self) -> Result<Vec<TriggeredAlarm>> {
        Ok(self.known_alarms().await?.0)
    }

    /// The same, with what is not known: without the names of alarms and objects there are ids in their place.
    pub(crate) async fn known_alarms(&self) -> Result<(Vec<TriggeredAlarm>, Gaps)> {
        let (states, mut gaps) = self.read_known(Property::<M, Vec<AlarmState>>::new("triggeredAlarmState")).await?;
        let names = gaps.part("the names of alarms and objects", names(self.client(), &states).await);
        let mut alarms: Vec<(AlarmState, TriggeredAlarm)> = states
            .into_iter()
            .map(|state| {
                let alarm = triggered(&state, &names);
                (state, alarm)
            })
            .collect();
        alarms.sort_by_key(|(state, _)| (severity(&state.overall_status), Reverse(state.time)));
        Ok((alarms.into_iter().map(|(_, alarm)| alarm).collect(), gaps))
    }
}

/// Which triggered alarms to list.
///
/// ```
/// use vsphere_ops::alarms::AlarmQuery;
///
/// let query = AlarmQuery { entity: Some("/fra1/host/prod-cluster".into()), ..Default::default() };
/// ```
#[derive(Debug, Clone, Default)]
pub struct AlarmQuery {
    /// Only those of this object of any kind, and of all below it: name, path or id.
    pub entity: Option<String>,
    /// The page that is wanted, and a glob on the alarm's name.
    pub page: ListQuery,
}

/// Lists triggered alarms, the worst and newest first; those that somebody has acknowledged are among them.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::alarms::{self, AlarmQuery};
///
/// let page = alarms::list(&client, &AlarmQuery::default()).await?;
/// println!("{} of {}", page.returned, page.total);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
///
/// # Errors
/// `not_found` or `ambiguous` if not exactly one object matches, and server errors.
pub async fn list(client: &Client, query: &AlarmQuery) -> Result<Page<TriggeredAlarm>> {
    let (mut alarms, gaps) = match &query.entity {
        Some(entity) => client.get::<ManagedEntity>(entity).await?.known_alarms().await?,
        None => Mo::<Folder>::new(client, &client.content().root_folder, None).known_alarms().await?,
    };
    if let Some(glob) = query.page.glob() {
        alarms.retain(|alarm| glob.fits(&alarm.alarm));
    }
    let window = Window::of(alarms, TriggeredAlarm::key, &query.page)?;
    Ok(Page { gaps, ..window.into() })
}

impl TriggeredAlarm {
    /// Where it stands in a list, and what it is: the worst first, then the newest.
    fn key(&self) -> (u8, Reverse<String>, String, String) {
        let severity = severity(&ManagedEntityStatus::from(self.status.as_str()));
        (severity, Reverse(self.time.clone()), self.entity_id.clone(), self.alarm_id.clone())
    }
}

fn triggered(state: &AlarmState, names: &HashMap<ManagedObjectReference, String>) -> TriggeredAlarm {
    let name = |object: &ManagedObjectReference| names.get(object).unwrap_or(&object.value).clone();
    TriggeredAlarm {
        alarm: name(&state.alarm),
        alarm_id: state.alarm.value.clone(),
        entity: name(&state.entity),
        entity_id: state.entity.value.clone(),
        entity_type: state.entity.type_.clone(),
        status: state.overall_status.as_str().to_owned(),
        time: format_date_time(&state.time),
        acknowledged: state.acknowledged.unwrap_or(false),
        acknowledged_by: state.acknowledged_by_user.clone(),
        acknowledged_time: state.acknowledged_time.as_ref().map(format_date_time),
    }
}

fn severity(status: &ManagedEntityStatus) -> u8 {
    match status {
        ManagedEntityStatus::Red => 0,
        ManagedEntityStatus::Yellow => 1,
        ManagedEntityStatus::Gray => 2,
        ManagedEntityStatus::Green => 4,
        _ => 3,
    }
}

/// The names of alarms and of the objects that they are on, in one request.
async fn names(client: &Client, states: &[AlarmState]) -> Result<HashMap<ManagedObjectReference, String>> {
    const ALARM_NAME: &str = "info.name";
    let mut objects: Vec<&ManagedObjectReference> =
        states.iter().flat_map(|state| [&state.alarm, &state.entity]).collect();
    objects.sort_unstable();
    objects.dedup();
    if objects.is_empty() {
        return Ok(HashMap::new());
    }
    let properties = |type_: &str, path: &str| PropertySpec {
        type_: type_.to_owned(),
        path_set: vec![path.to_owned()],
        ..Default::default()
    };
    let spec = PropertyFilterSpec {
        prop_set: vec![properties("Alarm", ALARM_NAME), properties("ManagedEntity", "name")],
        object_set: objects.into_iter().map(|obj| ObjectSpec { obj: obj.clone(), ..Default::default() }).collect(),
        report_missing_objects_in_results: Some(true),
    };
    let mut names = HashMap::new();
    for content in read::retrieve(client, spec).await? {
        let text = content.prop_set.iter().find_map(|property| property.val.as_str());
        if let Some(text) = text {
            names.insert(content.obj, name::decode(text));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    #[test]
    fn an_alarm_whose_names_can_not_be_read_keeps_its_ids() {
        let state = AlarmState {
            alarm: ManagedObjectReference::new("Alarm", "alarm-1"),
            entity: ManagedObjectReference::new("HostSystem", "host-9"),
            overall_status: ManagedEntityStatus::Red,
            ..Default::default()
        };
        let known = HashMap::from([(state.alarm.clone(), "Host memory usage".to_owned())]);
        let alarm = triggered(&state, &known);
        assert_eq!((&*alarm.alarm, &*alarm.entity, &*alarm.status), ("Host memory usage", "host-9", "red"));
        assert!(!alarm.acknowledged);
    }
}
