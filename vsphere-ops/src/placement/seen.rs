//! What a host, or the hosts of a cluster, reach: their datastores and networks.

use std::collections::HashSet;

use vsphere_model::managed::{
    ComputeResource, Datacenter, Datastore, Folder, HostSystem, StoragePod, compute_resource, datastore, folder,
    host_system,
};
use vsphere_model::types::{DatastoreSummary, HostSystemConnectionState, ManagedObjectReference};
use vsphere_soap::request::ManagedObject;

use super::choice::Reason;
use super::nothing;
use crate::error::{Result, invalid};
use crate::find::{self, label};
use crate::mo::Mo;
use crate::read::Values;
use crate::vm::optional;

/// How many objects an error lists.
const MOST_LISTED: usize = 12;

/// What a host, or the hosts of a cluster, reach.
pub(crate) struct Seen {
    /// Whose view it is.
    who: String,
    /// Those that some host sees.
    pub(crate) datastores: Vec<ManagedObjectReference>,
    pub(crate) networks: Vec<ManagedObjectReference>,
    /// The datastores that every host sees on which VMs can run now.
    shared: Vec<ManagedObjectReference>,
}

impl Seen {
    pub(crate) async fn by(host: Option<&Mo<HostSystem>>, compute: &Mo<ComputeResource>) -> Result<Self> {
        if let Some(host) = host {
            let (datastores, networks) = host.read((host_system::DATASTORE, host_system::NETWORK)).await?;
            return Ok(Self { who: host.label().to_owned(), shared: datastores.clone(), datastores, networks });
        }
        let properties = (compute_resource::HOST, compute_resource::DATASTORE, compute_resource::NETWORK);
        let (hosts, datastores, networks) = compute.read(properties).await?;
        let mut of_usable: Vec<HashSet<ManagedObjectReference>> = Vec::new();
        let paths = [
            host_system::CONNECTION_STATE.path(),
            host_system::IN_MAINTENANCE_MODE.path(),
            host_system::DATASTORE.path(),
        ];
        for content in find::details(compute.client(), hosts, &paths).await? {
            let mut values = Values::new(content.prop_set, content.missing_set);
            let state = optional(&mut values, host_system::CONNECTION_STATE.path());
            let in_maintenance: bool = optional(&mut values, host_system::IN_MAINTENANCE_MODE.path()).unwrap_or(false);
            if state == Some(HostSystemConnectionState::Connected) && !in_maintenance {
                let own: Option<Vec<ManagedObjectReference>> = optional(&mut values, host_system::DATASTORE.path());
                of_usable.push(own.unwrap_or_default().into_iter().collect());
            }
        }
        let everywhere = |datastore: &&ManagedObjectReference| of_usable.iter().all(|own| own.contains(datastore));
        let shared = datastores.iter().filter(everywhere).cloned().collect();
        Ok(Self { who: compute.label().to_owned(), datastores, networks, shared })
    }

    /// This object, which must be among those seen.
    pub(crate) async fn must_have<M: ManagedObject>(
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

    /// The datastore of a datacenter with this name, path or id, or the member of a datastore cluster with most free space.
    ///
    /// # Errors
    /// `not_found` or `ambiguous` if not exactly one matches, `invalid_argument` for one that is not seen.
    pub(crate) async fn datastore(
        &self,
        datacenter: &Mo<Datacenter>,
        what: &str,
        why: Reason,
    ) -> Result<(Mo<Datastore>, Reason)> {
        let error = match datacenter.get::<Datastore>(what).await {
            Ok(datastore) => {
                return Ok((self.must_have("use the datastore", &self.datastores, datastore).await?, why));
            }
            Err(error) => error,
        };
        // The API places no VM in a datastore cluster without being told the member.
        let pod = datacenter.get::<StoragePod>(what).await.map_err(|_| error)?;
        let as_folder: Mo<Folder> = Mo::new(pod.client(), pod.reference(), None);
        let members = as_folder.read(folder::CHILD_ENTITY).await?;
        let seen: Vec<_> = members.into_iter().filter(|member| self.datastores.contains(member)).collect();
        let best = roomiest(datacenter, &seen).await?;
        let none = || {
            let text =
                format!("{} sees no datastore of the cluster that is accessible and out of maintenance", self.who);
            nothing("choose a datastore", &text).on(pod.label())
        };
        best.map(|(datastore, _)| (datastore, Reason::MemberOfCluster)).ok_or_else(none)
    }

    /// The first of these datastores, if every host sees it, it can be used, and has this much space.
    pub(crate) async fn fitting(
        &self,
        datacenter: &Mo<Datacenter>,
        own: Option<&ManagedObjectReference>,
        bytes: i64,
    ) -> Result<Option<Mo<Datastore>>> {
        let Some(own) = own.filter(|own| self.shared.contains(own)) else { return Ok(None) };
        let found = roomiest(datacenter, std::slice::from_ref(own)).await?;
        Ok(found.filter(|(_, free)| *free >= bytes).map(|(datastore, _)| datastore))
    }

    /// The datastore with most free space of those that every host sees.
    ///
    /// # Errors
    /// `not_found` where there is none.
    pub(crate) async fn roomiest(&self, datacenter: &Mo<Datacenter>) -> Result<Mo<Datastore>> {
        let best = roomiest(datacenter, &self.shared).await?;
        let none = || {
            let text = "its hosts share no datastore that is accessible and out of maintenance";
            nothing("choose a datastore", text).on(&self.who)
        };
        best.map(|(datastore, _)| datastore).ok_or_else(none)
    }
}

/// The datastore with most free space, of those that can be used, and what is free there.
async fn roomiest(
    datacenter: &Mo<Datacenter>,
    among: &[ManagedObjectReference],
) -> Result<Option<(Mo<Datastore>, i64)>> {
    let client = datacenter.client();
    let mut best: Option<(Mo<Datastore>, i64)> = None;
    for content in find::details(client, among.iter().cloned(), &["name", datastore::SUMMARY.path()]).await? {
        let name = label(&content);
        let mut values = Values::new(content.prop_set, content.missing_set);
        let summary: DatastoreSummary = optional(&mut values, datastore::SUMMARY.path()).unwrap_or_default();
        let in_use = matches!(summary.maintenance_mode.as_deref(), None | Some("normal" | ""));
        if summary.accessible && in_use && best.as_ref().is_none_or(|(_, most)| summary.free_space > *most) {
            best = Some((Mo::new(client, &content.obj, Some(name)), summary.free_space));
        }
    }
    Ok(best)
}
