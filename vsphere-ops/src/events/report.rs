//! Events as they are shown to people.

use futures::stream::StreamExt as _;
use serde::Serialize;
use vsphere_model::types::{Event, EventEx, ManagedObjectReference, Poly};
use vsphere_soap::object::format_date_time;

use super::changes::{ConfigChange, changes_of, shown};
use super::{EventQuery, name_of};
use crate::error::Result;
use crate::gaps::Gaps;
use crate::name;
use crate::untrusted::Untrusted;

/// The newest events of a query.
///
/// ```
/// use vsphere_ops::events::RecentEvents;
///
/// fn last(events: &RecentEvents) -> Option<&str> {
///     events.items.first().map(|event| event.message.as_str())
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecentEvents {
    /// The events, newest first.
    pub items: Vec<EventReport>,
    /// How many these are.
    pub returned: usize,
    /// How many there are in all; not known where there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
    /// Whether there are older ones that fit the query.
    pub truncated: bool,
    /// How many routine logins and logouts were read and left out, where the query leaves them out.
    #[serde(skip_serializing_if = "is_zero")]
    pub logins_left_out: usize,
    /// What is not known: a read that broke off has given the events before it.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// An event.
///
/// ```
/// use vsphere_ops::events::EventReport;
///
/// fn line(event: &EventReport) -> String {
///     format!("{} {} by {:?}: {}", event.time, event.type_, event.user, event.message)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventReport {
    /// When it happened by the server's clock, RFC 3339.
    pub time: String,
    /// What has happened: see [`name_of`].
    #[serde(rename = "type")]
    pub type_: String,
    /// What it is about: the name of a VM, else of a host, a datastore, a network, a switch, a cluster or a datacenter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The managed object id of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<String>,
    /// Who has caused it; nobody in particular has what the server does by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The text for people, in the language of the session. Names and notes that people and guests wrote are in it: not
    /// to be trusted. Where `changes` tell what was changed, its first line.
    pub message: Untrusted,
    /// What was changed by a reconfiguration, shown as one text. People write some of it: not to be trusted.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "shown")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Untrusted>"))]
    pub changes: Vec<ConfigChange>,
    /// The server's number for it.
    pub key: i32,
}

impl EventQuery {
    /// The newest `count` events as reports, newest first, and whether there are more.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use std::time::Duration;
    ///
    /// let today = client.events().last(Duration::from_secs(24 * 3600)).report(50).await?;
    /// for event in &today.items {
    ///     println!("{} {}", event.time, event.message);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Server errors.
    pub async fn report(mut self, count: usize) -> Result<RecentEvents> {
        let mut gaps = Gaps::default();
        let (text, without_logins) = (self.text.take(), self.without_logins && self.filter.event_type_id.is_empty());
        let is_sifted = text.is_some() || without_logins;
        // One more than is shown tells whether there are more.
        let wanted = count.saturating_add(1);
        self = self.page_size(wanted);
        // Where few events fit, the pages soon are the largest.
        self.grows = is_sifted;
        let mut newest_first = self.newest_first();
        let (mut events, mut read, mut logins_left_out) = (Vec::new(), 0, 0);
        while events.len() < wanted {
            if is_sifted && read == MOST_SEARCHED {
                gaps.lacks("older events", format!("only the newest {MOST_SEARCHED} were searched for those that fit"));
                break;
            }
            match newest_first.next().await {
                None => break,
                Some(Err(error)) if read == 0 => return Err(error),
                Some(Err(error)) => {
                    gaps.lacks("older events", error.to_string());
                    break;
                }
                Some(Ok(event)) => {
                    read += 1;
                    if without_logins && is_routine(&event) {
                        logins_left_out += 1;
                    } else if text.as_deref().is_none_or(|text| contains(&event, text)) {
                        events.push(event);
                    }
                }
            }
        }
        let truncated = events.len() > count || !gaps.is_empty();
        events.truncate(count);
        let items: Vec<EventReport> = events.iter().map(EventReport::from).collect();
        let total = (!truncated).then_some(items.len());
        Ok(RecentEvents { returned: items.len(), total, truncated, logins_left_out, items, gaps })
    }
}

/// How many events are looked through at most.
const MOST_SEARCHED: usize = 10_000;

/// What servers record each time that somebody, or some program, comes and goes. Logins that failed are not among it.
const ROUTINE: [&str; 4] =
    ["UserLoginSessionEvent", "UserLogoutSessionEvent", "com.vmware.sso.LoginSuccess", "com.vmware.sso.Logout"];

pub(crate) fn is_routine(event: &Poly<Event>) -> bool {
    ROUTINE.contains(&name_of(event))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn contains(event: &Poly<Event>, text: &str) -> bool {
    event.full_formatted_message.as_deref().is_some_and(|message| message.to_lowercase().contains(text))
}

impl From<&Poly<Event>> for EventReport {
    fn from(event: &Poly<Event>) -> Self {
        let (entity, entity_id) = about(event).unzip();
        let changes = changes_of(event);
        let message = event.full_formatted_message.as_deref().unwrap_or_default();
        // The server repeats all changes in the lines below.
        let message = if changes.is_empty() { message } else { message.lines().next().unwrap_or_default().trim_end() };
        Self {
            time: format_date_time(&event.created_time),
            type_: name_of(event).to_owned(),
            entity: entity.map(|name| name::decode(&name)),
            entity_id,
            user: Some(event.user_name.clone()).filter(|user| !user.is_empty()),
            message: message.into(),
            changes,
            key: event.key,
        }
    }
}

/// Name and id of what an event is about, the innermost first: an event of a VM names its host, too.
fn about(event: &Poly<Event>) -> Option<(String, String)> {
    if let Some(extended) = event.downcast_ref::<EventEx>()
        && let Some(id) = &extended.object_id
    {
        return Some((extended.object_name.clone().unwrap_or_else(|| id.clone()), id.clone()));
    }
    let of = |name: &str, object: &ManagedObjectReference| Some((name.to_owned(), object.value.clone()));
    None.or_else(|| event.vm.as_ref().and_then(|it| of(&it.name, &it.vm)))
        .or_else(|| event.host.as_ref().and_then(|it| of(&it.name, &it.host)))
        .or_else(|| event.ds.as_ref().and_then(|it| of(&it.name, &it.datastore)))
        .or_else(|| event.net.as_ref().and_then(|it| of(&it.name, &it.network)))
        .or_else(|| event.dvs.as_ref().and_then(|it| of(&it.name, &it.dvs)))
        .or_else(|| event.compute_resource.as_ref().and_then(|it| of(&it.name, &it.compute_resource)))
        .or_else(|| event.datacenter.as_ref().and_then(|it| of(&it.name, &it.datacenter)))
}

#[cfg(test)]
mod tests {
    use vsphere_model::types::{HostEventArgument, VmEventArgument, VmPoweredOnEvent};

    use super::*;

    #[test]
    fn an_event_is_about_the_innermost_object() {
        let mut host =
            HostEventArgument { host: ManagedObjectReference::new("HostSystem", "host-1"), ..Default::default() };
        host.name = "esx-1".to_owned();
        let mut vm =
            VmEventArgument { vm: ManagedObjectReference::new("VirtualMachine", "vm-1"), ..Default::default() };
        vm.name = "web%2f1".to_owned();
        let mut event = VmPoweredOnEvent::default();
        event.host = Some(Box::new(host));
        event.vm = Some(Box::new(vm));
        let report = EventReport::from(&Poly::new(event));
        assert_eq!((report.entity.as_deref(), report.entity_id.as_deref()), (Some("web/1"), Some("vm-1")));
        assert_eq!((report.type_.as_str(), report.user), ("VmPoweredOnEvent", None));
    }

    #[test]
    fn an_extended_event_says_itself_what_it_is_about() {
        let event = EventEx {
            event_type_id: "esx.problem.net".to_owned(),
            object_id: Some("host-9".to_owned()),
            ..Default::default()
        };
        let report = EventReport::from(&Poly::new(event));
        assert_eq!((report.entity.as_deref(), report.entity_id.as_deref()), (Some("host-9"), Some("host-9")));
    }
}
