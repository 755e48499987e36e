//! Resources: the inventory as documents that a client can read and subscribe to, from the live mirror.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::join_all;
use rmcp::{
    ErrorData, Peer, RoleServer,
    model::{
        CompleteRequestParams, CompleteResult, CompletionInfo, ReadResourceResult, Resource, ResourceContents,
        ResourceTemplate, ResourceUpdatedNotificationParam, SubscriptionFilter,
    },
    service::SubscriptionContext,
};
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use crate::{
    Server,
    answer::visible,
    error::Result,
    mirror::{Kind, View},
};

const JSON: &str = "application/json";

/// The scheme of one datastore.
const DATASTORE: &str = "datastore://";

/// The most values that MCP lets a completion have.
const MOST_VALUES: usize = 100;

impl Kind {
    fn uri(self) -> &'static str {
        match self {
            Self::Vms => "esxi://vms",
            Self::Hosts => "esxi://hosts",
            Self::Datastores => "esxi://datastores",
            Self::Networks => "esxi://networks",
            Self::Clusters => "esxi://clusters",
            Self::ResourcePools => "esxi://resource-pools",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Vms => "Virtual machines",
            Self::Hosts => "Hosts",
            Self::Datastores => "Datastores",
            Self::Networks => "Networks",
            Self::Clusters => "Clusters",
            Self::ResourcePools => "Resource pools",
        }
    }

    /// The kind that a resource tells of.
    fn of(uri: &str) -> Option<Self> {
        let datastore = uri.strip_prefix(DATASTORE).filter(|name| !name.is_empty());
        datastore.map(|_| Self::Datastores).or_else(|| Self::ALL.into_iter().find(|kind| kind.uri() == uri))
    }
}

/// The resources that there are.
pub(crate) fn all() -> Vec<Resource> {
    let resource = |kind: Kind| {
        let name = kind.uri().trim_start_matches("esxi://");
        Resource::new(kind.uri(), name)
            .with_title(kind.title())
            .with_description(format!("All {} of the inventory, as they are now", kind.title().to_lowercase()))
            .with_mime_type(JSON)
    };
    Kind::ALL.map(resource).to_vec()
}

/// The resource of one datastore.
pub(crate) fn templates() -> Vec<ResourceTemplate> {
    let template = ResourceTemplate::new("datastore://{datastore}", "datastore")
        .with_title("Datastore")
        .with_description("One datastore, by name or id")
        .with_mime_type(JSON);
    vec![template]
}

impl Server {
    /// Reads a resource.
    ///
    /// # Errors
    /// `resource_not_found` for a URI that is none of ours, and those of the connection.
    pub(crate) async fn read(&self, uri: &str) -> std::result::Result<ReadResourceResult, ErrorData> {
        let no_such = |text: String| ErrorData::resource_not_found(text, Some(json!({ "uri": uri })));
        let kind = Kind::of(uri).ok_or_else(|| no_such(format!("there is no resource {uri}")))?;
        let View { mut items, live, age_seconds } = self.view(kind).await.map_err(|error| {
            let content = error.into_result().structured_content.unwrap_or_default();
            let message = content["message"].as_str().unwrap_or_default().to_owned();
            ErrorData::internal_error(message, Some(content))
        })?;
        let mut document = json!({ "live": live, "age_seconds": age_seconds });
        if let Some(name) = uri.strip_prefix(DATASTORE) {
            let name = decoded(name);
            items.retain(|item| item["name"] == name || item["id"] == name);
            match items.as_slice() {
                [only] => document["datastore"] = only.clone(),
                [] => return Err(no_such(format!("there is no datastore {name:?}: esxi://datastores lists all"))),
                several => {
                    let ids: Vec<&str> = several.iter().filter_map(|item| item["id"].as_str()).collect();
                    return Err(no_such(format!(
                        "several datastores are named {name:?}: use an id, {}",
                        ids.join(", ")
                    )));
                }
            }
        } else {
            document["total"] = json!(items.len());
            document["items"] = Value::Array(items);
        }
        Ok(ReadResourceResult::new(vec![
            ResourceContents::text(visible(document).to_string(), uri).with_mime_type(JSON),
        ]))
    }

    async fn view(&self, kind: Kind) -> Result<View> {
        self.mirrors().view(self.vsphere(), kind).await
    }

    /// Subscribes an older client to a resource.
    ///
    /// # Errors
    /// `resource_not_found` for a URI that is none of ours.
    pub(crate) fn subscribe_to(&self, uri: String, peer: Peer<RoleServer>) -> std::result::Result<(), ErrorData> {
        let kind =
            Kind::of(&uri).ok_or_else(|| ErrorData::resource_not_found(format!("there is no resource {uri}"), None))?;
        let server = self.clone();
        let told = uri.clone();
        let following = tokio::spawn(async move {
            let changed = || async {
                peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(told.clone())).await.is_ok()
            };
            warn_at(&told, server.mirrors().follow(server.vsphere(), kind, changed).await);
        });
        self.subscriptions().add(uri, following.abort_handle());
        Ok(())
    }

    /// Tells a client of the stateless lifecycle of changes, until it cancels.
    pub(crate) async fn tell(&self, context: SubscriptionContext) {
        let uris = context.accepted().resource_subscriptions.clone().unwrap_or_default();
        let sink = context.sink();
        let following = uris.into_iter().filter_map(|uri| Some((Kind::of(&uri)?, uri))).map(|(kind, uri)| async move {
            let changed = || async { sink.notify_resource_updated(uri.clone()).await.is_ok() };
            warn_at(&uri, self.mirrors().follow(self.vsphere(), kind, changed).await);
        });
        tokio::select! {
            () = context.cancelled() => {}
            _ = join_all(following) => context.cancelled().await,
        }
    }

    /// Completes the name of an object.
    pub(crate) async fn complete_name(&self, request: &CompleteRequestParams) -> CompleteResult {
        let names = match kind_of_argument(&request.argument.name) {
            // What cannot be looked up is not worth an error while somebody types.
            Some((kind, fits)) => self.view(kind).await.map(|view| named(&view, fits, &request.argument.value)),
            None => Ok(Vec::new()),
        };
        let mut names = names.unwrap_or_default();
        let total = names.len();
        names.truncate(MOST_VALUES);
        let completion =
            CompletionInfo::with_pagination(names, u32::try_from(total).ok(), total > MOST_VALUES).unwrap_or_default();
        CompleteResult::new(completion)
    }
}

/// Whether an object, as its kind is listed, can be the value of an argument.
type Fits = fn(&Value) -> bool;

/// Which objects an argument of this name may mean.
fn kind_of_argument(argument: &str) -> Option<(Kind, Fits)> {
    Some(match argument {
        "vm" | "vms" => (Kind::Vms, |item| item["template"] == false),
        "template" => (Kind::Vms, |item| item["template"] == true),
        "host" => (Kind::Hosts, |_| true),
        "datastore" => (Kind::Datastores, |_| true),
        "network" => (Kind::Networks, |_| true),
        "cluster" => (Kind::Clusters, |_| true),
        "pool" => (Kind::ResourcePools, |_| true),
        _ => return None,
    })
}

/// The names that hold what was typed, those that start with it first.
fn named(view: &View, fits: Fits, typed: &str) -> Vec<String> {
    let typed = typed.to_lowercase();
    let names = view.items.iter().filter(|item| fits(item)).filter_map(|item| item["name"].as_str());
    let mut found: Vec<(bool, String)> = names
        .filter(|name| name.to_lowercase().contains(&typed))
        .map(|name| (!name.to_lowercase().starts_with(&typed), name.to_owned()))
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().map(|(_, name)| name).collect()
}

/// What of a wanted subscription there is.
pub(crate) fn accepted(requested: &SubscriptionFilter) -> SubscriptionFilter {
    let uris = requested.resource_subscriptions.iter().flatten();
    let mut filter = SubscriptionFilter::new();
    filter.resource_subscriptions = Some(uris.filter(|uri| Kind::of(uri).is_some()).cloned().collect());
    filter
}

fn warn_at(uri: &str, ended: Result<()>) {
    match ended {
        Ok(()) => tracing::debug!(uri, "a subscription ended"),
        Err(error) => tracing::warn!(uri, ?error, "a subscription ended"),
    }
}

/// The subscriptions of an older client, by URI.
#[derive(Clone, Default)]
pub(crate) struct Subscriptions(Arc<Mutex<HashMap<String, AbortHandle>>>);

impl Subscriptions {
    fn add(&self, uri: String, following: AbortHandle) {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uri, following);
        before.iter().for_each(AbortHandle::abort);
    }

    /// Ends the subscription to this URI.
    pub(crate) fn end(&self, uri: &str) {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uri);
        ended.iter().for_each(AbortHandle::abort);
    }

    /// Ends all.
    pub(crate) fn end_all(&self) {
        let ended = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        ended.values().for_each(AbortHandle::abort);
    }
}

/// A name out of a URI: `%20` is a space.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.extend(u8::try_from(high * 16 + low));
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_uris_are_decoded() {
        assert_eq!(decoded("fast%20disks"), "fast disks");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%C3%A4%zz"), "ä%zz");
    }

    #[test]
    fn names_that_start_with_what_was_typed_come_first() {
        let items = ["old-web", "web-2", "Web-1", "db"].map(|name| json!({ "name": name, "template": false })).to_vec();
        let view = View { items, live: true, age_seconds: None };
        assert_eq!(named(&view, |_| true, "web"), ["Web-1", "web-2", "old-web"]);
    }
}
