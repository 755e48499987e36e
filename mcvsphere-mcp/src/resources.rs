//! Resources: the inventory as documents that a client can read and subscribe to, from the live mirror.

use std::sync::Arc;

use futures::future::join_all;
use percent_encoding::percent_decode_str;
use rmcp::{
    ErrorData, Peer, RoleServer,
    model::{
        CompleteRequestParams, CompleteResult, CompletionInfo, ReadResourceResult, Reference, Resource,
        ResourceContents, ResourceTemplate, ResourceUpdatedNotificationParam, SubscriptionFilter,
    },
    service::SubscriptionContext,
};
use serde_json::json;
use tokio::task::AbortHandle;

use crate::{
    Server, ToolError, Toolset,
    answer::visible,
    backends::Backend,
    caller::Visit,
    error::Result,
    mirror::{Kind, View},
    prompts,
    text::quoted,
};

const JSON: &str = "application/json";

/// The scheme of one datastore.
const DATASTORE: &str = "datastore://";

/// How many objects a resource shows at a time: what a client can show to a model. What it has besides is at `next`.
const SHOWN: usize = 200;

/// What stands before the beginning of a later part in a URI.
const AFTER: &str = "?after=";

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

    /// The family of tools that shows the same.
    fn toolset(self) -> Toolset {
        match self {
            Self::Vms => Toolset::Vm,
            Self::Hosts => Toolset::Hosts,
            Self::Datastores => Toolset::Storage,
            Self::Networks => Toolset::Network,
            Self::Clusters | Self::ResourcePools => Toolset::Vcenter,
        }
    }

    /// The tool that shows the same, whose policy counts.
    fn tool(self) -> &'static str {
        match self {
            Self::Vms => "list_vms",
            Self::Hosts => "list_hosts",
            Self::Datastores => "get_datastore_info",
            Self::Networks => "get_network_info",
            Self::Clusters => "list_clusters",
            Self::ResourcePools => "list_resource_pools",
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
        let uri = part_of(uri).0;
        datastore.map(|_| Self::Datastores).or_else(|| Self::ALL.into_iter().find(|kind| kind.uri() == uri))
    }
}

/// The resource of all objects of a kind.
fn resource(kind: Kind) -> Resource {
    let name = kind.uri().trim_start_matches("esxi://");
    Resource::new(kind.uri(), name)
        .with_title(kind.title())
        .with_description(format!(
            "All {} of the inventory by name, as they are now: the first {SHOWN}, and in `next` the URI of those that follow",
            kind.title().to_lowercase()
        ))
        .with_mime_type(JSON)
}

/// The resource and where its part begins: `esxi://vms?after=…` is a part of `esxi://vms`.
fn part_of(uri: &str) -> (&str, Option<&str>) {
    uri.split_once(AFTER).map_or((uri, None), |(whole, after)| (whole, Some(after)))
}

/// The resource of one datastore.
fn datastore_template() -> ResourceTemplate {
    ResourceTemplate::new("datastore://{datastore}", "datastore")
        .with_title("Datastore")
        .with_description("One datastore, by name or id")
        .with_mime_type(JSON)
}

impl Server {
    /// The resources that are offered to who makes this visit.
    pub(crate) fn resources(&self, visit: &Visit) -> Vec<Resource> {
        Kind::ALL.into_iter().filter(|kind| self.may_look(*kind, visit)).map(resource).collect()
    }

    /// The templates of resources that are offered to who makes this visit.
    pub(crate) fn resource_templates(&self, visit: &Visit) -> Vec<ResourceTemplate> {
        Some(datastore_template()).into_iter().filter(|_| self.may_look(Kind::Datastores, visit)).collect()
    }

    fn may_look(&self, kind: Kind, visit: &Visit) -> bool {
        self.catalog().refusal_to_look(kind.uri(), kind.toolset(), kind.tool(), &visit.caller).is_none()
    }

    /// The kind of objects that a resource tells of, which who makes this visit may look at.
    ///
    /// # Errors
    /// `resource_not_found` for a URI that names no resource of ours; the resource is not offered, or not to this caller.
    fn kind_of(&self, visit: &Visit, uri: &str) -> std::result::Result<Kind, ErrorData> {
        let Some(kind) = Kind::of(uri) else {
            let message = format!("there is no resource {}", quoted(uri));
            return Err(ErrorData::resource_not_found(message, Some(json!({ "uri": uri }))));
        };
        match self.catalog().refusal_to_look(kind.uri(), kind.toolset(), kind.tool(), &visit.caller) {
            Some(refusal) => {
                Err(ErrorData::invalid_request(refusal.message, Some(json!({ "code": refusal.code, "uri": uri }))))
            }
            None => Ok(kind),
        }
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// Those of [`Server::kind_of`], `resource_not_found` for a datastore that does not exist, and those of the connection.
    pub(crate) async fn read(&self, visit: &Visit, uri: &str) -> std::result::Result<ReadResourceResult, ErrorData> {
        let no_such = |text: String| ErrorData::resource_not_found(text, Some(json!({ "uri": uri })));
        let kind = self.kind_of(visit, uri)?;
        let after = part_of(uri).1;
        let failed = |error: ToolError| {
            let error = self.with_login(&visit.caller, error);
            let content = error.into_result().structured_content.unwrap_or_default();
            if after.is_some() && content["code"] == "invalid_argument" {
                return no_such(format!("{} is not the `next` of a resource: begin with {}", quoted(uri), kind.uri()));
            }
            let message = content["message"].as_str().unwrap_or_default().to_owned();
            ErrorData::internal_error(message, Some(content))
        };
        let backend = self.backends().of(&visit.caller, kind.tool());
        let mirrors = backend.current_mirrors().await.map_err(failed)?;
        let document = if let Some(name) = uri.strip_prefix(DATASTORE) {
            let View { mut items, live, age_seconds, .. } =
                mirrors.view(&backend, kind, usize::MAX, None).await.map_err(failed)?;
            let name = decoded(name);
            items.retain(|item| item["name"] == name || item["id"] == name);
            match items.as_slice() {
                [only] => json!({ "live": live, "age_seconds": age_seconds, "datastore": only }),
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
            let View { items, total, next, live, age_seconds } =
                mirrors.view(&backend, kind, SHOWN, after).await.map_err(failed)?;
            let mut document = json!({ "live": live, "age_seconds": age_seconds, "total": total, "items": items });
            if let Some(next) = next {
                document["next"] = json!(format!("{}{AFTER}{next}", kind.uri()));
            }
            document
        };
        Ok(ReadResourceResult::new(vec![
            ResourceContents::text(visible(document).to_string(), uri).with_mime_type(JSON),
        ]))
    }

    /// The backend of a subscriber.
    ///
    /// # Errors
    /// They have to log in first.
    fn followed(&self, visit: &Visit, kind: Kind) -> std::result::Result<Arc<Backend>, ErrorData> {
        let backend = self.backends().of(&visit.caller, kind.tool());
        backend.check_login().map(|()| backend).map_err(|error| {
            let content = self.with_login(&visit.caller, error).into_result().structured_content.unwrap_or_default();
            let message = content["message"].as_str().unwrap_or_default().to_owned();
            ErrorData::internal_error(message, Some(content))
        })
    }

    /// Tells a client of the older lifecycle of the changes of a resource, until that is ended.
    ///
    /// # Errors
    /// Those of [`Server::kind_of`].
    pub(crate) fn follow(
        &self,
        visit: &Visit,
        uri: &str,
        peer: Peer<RoleServer>,
    ) -> std::result::Result<AbortHandle, ErrorData> {
        let kind = self.kind_of(visit, uri)?;
        let backend = self.followed(visit, kind)?;
        let uri = uri.to_owned();
        let following = tokio::spawn(async move {
            let changed = || async {
                peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri.clone())).await.is_ok()
            };
            warn_at(&uri, backend.follow(kind, changed).await);
        });
        Ok(following.abort_handle())
    }

    /// Tells a client of the stateless lifecycle of changes, until it cancels.
    ///
    /// # Errors
    /// Those of [`Server::kind_of`], for any of the resources.
    pub(crate) async fn tell(&self, visit: &Visit, context: SubscriptionContext) -> std::result::Result<(), ErrorData> {
        let uris = context.accepted().resource_subscriptions.clone().unwrap_or_default();
        let kinds = uris.into_iter().map(|uri| {
            let kind = self.kind_of(visit, &uri)?;
            Ok((self.followed(visit, kind)?, kind, uri))
        });
        let kinds: Vec<(Arc<Backend>, Kind, String)> = kinds.collect::<std::result::Result<_, ErrorData>>()?;
        let sink = context.sink();
        let following = kinds.into_iter().map(|(backend, kind, uri)| async move {
            let changed = || async { sink.notify_resource_updated(uri.clone()).await.is_ok() };
            warn_at(&uri, backend.follow(kind, changed).await);
        });
        tokio::select! {
            () = context.cancelled() => {}
            _ = join_all(following) => context.cancelled().await,
        }
        Ok(())
    }

    /// Completes the name of an object, for a prompt or a resource that is offered to who makes this visit. For one that does
    /// not exist there is nothing to complete.
    ///
    /// # Errors
    /// The prompt or the resource is not offered.
    pub(crate) async fn complete_name(
        &self,
        visit: &Visit,
        request: &CompleteRequestParams,
    ) -> std::result::Result<CompleteResult, ErrorData> {
        match &request.r#ref {
            Reference::Prompt(prompt) if !prompts::exists(&prompt.name) => return Ok(CompleteResult::default()),
            Reference::Prompt(prompt) => prompts::check(&prompt.name, |tool| self.may_call(tool, visit))?,
            Reference::Resource(resource) if Kind::of(&resource.uri).is_none() => return Ok(CompleteResult::default()),
            Reference::Resource(resource) => drop(self.kind_of(visit, &resource.uri)?),
            _ => {}
        }
        let of_kind = kind_of_argument(&request.argument.name).filter(|(kind, _)| self.may_look(*kind, visit));
        let names = match of_kind {
            // What cannot be looked up is not worth an error while somebody types.
            Some((kind, fits)) => {
                let backend = self.backends().of(&visit.caller, kind.tool());
                let names = backend.names(kind).await;
                names.map(|names| named(names, fits, &request.argument.value))
            }
            None => Ok(Vec::new()),
        };
        let mut names = names.unwrap_or_default();
        let total = names.len();
        names.truncate(MOST_VALUES);
        let completion =
            CompletionInfo::with_pagination(names, u32::try_from(total).ok(), total > MOST_VALUES).unwrap_or_default();
        Ok(CompleteResult::new(completion))
    }
}

/// Whether an object can be the value of an argument, by whether it is a template.
type Fits = fn(bool) -> bool;

/// Which objects an argument of this name may mean.
fn kind_of_argument(argument: &str) -> Option<(Kind, Fits)> {
    Some(match argument {
        "vm" | "vms" => (Kind::Vms, |template| !template),
        "template" => (Kind::Vms, |template| template),
        "host" => (Kind::Hosts, |_| true),
        "datastore" => (Kind::Datastores, |_| true),
        "network" => (Kind::Networks, |_| true),
        "cluster" => (Kind::Clusters, |_| true),
        "pool" => (Kind::ResourcePools, |_| true),
        _ => return None,
    })
}

/// The names that hold what was typed, those that start with it first.
fn named(names: Vec<(String, bool)>, fits: Fits, typed: &str) -> Vec<String> {
    let typed = typed.to_lowercase();
    let mut found: Vec<(bool, String)> = names
        .into_iter()
        .filter(|(name, template)| fits(*template) && name.to_lowercase().contains(&typed))
        .map(|(name, _)| (!name.to_lowercase().starts_with(&typed), name))
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

/// A name out of a URI: `%20` is a space.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
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
        let names = ["old-web", "web-2", "Web-1", "db"].map(|name| (name.to_owned(), false)).to_vec();
        assert_eq!(named(names, |_| true, "web"), ["Web-1", "web-2", "old-web"]);
    }
}
