//! Which server has a file, and what leave it takes to get there.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use vsphere_model::managed::{
    Datastore, HostSystem, SessionManager, VirtualMachine, datastore, host_system, virtual_machine,
};
use vsphere_model::types::{
    Any, KeyValue, ManagedObjectReference, ObjectSpec, Poly, PropertyFilterSpec, PropertySpec, SelectionSpec,
    SessionManagerHttpServiceRequestSpec, TraversalSpec,
};
use vsphere_soap::http::{Endpoint, FileCall, FileLocation, SendMethod, Thumbprint, Transport, Trust};
use vsphere_soap::object::Property;

use super::web::WebFile;
use crate::client::Client;
use crate::connection::Part;
use crate::datastore_path::DatastorePath;
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::files::{DatastoreFile, is_same_file};
use crate::mo::Mo;
use crate::name;
use crate::read;

/// Where a file is, as its user says it.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// A file in a datastore; reached through `host` if that is given.
    Datastore { store: Mo<Datastore>, path: String, host: Option<Mo<HostSystem>> },
    /// A file in a guest, by the URL that the server gave.
    Guest { vm: Mo<VirtualMachine>, url: Url },
    /// A file of a lease.
    Lease { client: Client, url: Url, thumbprint: Option<String>, disk: bool },
    /// A file of a web server.
    Web(WebFile),
}

/// A file as a host can fetch it by itself. There may be tokens in the URL and the headers.
pub(crate) struct Source {
    pub(crate) url: String,
    pub(crate) headers: Vec<KeyValue>,
    /// What the server of the file is known by.
    pub(crate) pin: Option<Pin>,
}

/// What a server is known by.
pub(crate) enum Pin {
    /// A certificate in DER.
    Certificate(Arc<[u8]>),
    /// The thumbprint of one, as vCenter gave it.
    Thumbprint(String),
}

/// A URL that the server gave. There may be a token in it: `Debug` does not show it.
#[derive(Clone)]
pub(super) struct Url(pub(super) String);

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file_name())
    }
}

impl Url {
    /// The last step of the path: those before may be a ticket.
    fn file_name(&self) -> &str {
        self.0.split('?').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default()
    }
}

/// Which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Down,
    Up,
}

/// A file that can be asked for.
pub(super) struct Route {
    pub(super) transport: Transport,
    path: String,
    ticket: Option<String>,
    method: SendMethod,
    content_type: &'static str,
}

impl Route {
    pub(super) fn call<'a>(&'a self, operation: &'a str, target: &'a str) -> FileCall<'a> {
        FileCall::new(operation, &self.path)
            .target(target)
            .ticket(self.ticket.as_deref())
            .method(self.method)
            .content_type(self.content_type)
    }

    fn plain(transport: Transport, path: String) -> Self {
        Self { transport, path, ticket: None, method: SendMethod::Put, content_type: "application/octet-stream" }
    }
}

impl Place {
    /// What the file is called in messages.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Datastore { path, .. } if path.trim_start().starts_with('[') => path.trim().to_owned(),
            Self::Datastore { store, path, .. } => format!("[{}] {path}", store.label()),
            Self::Guest { vm, .. } => format!("a file in the guest of {}", vm.label()),
            Self::Lease { url, .. } => url.file_name().to_owned(),
            Self::Web(file) => file.label(),
        }
    }

    /// What a failed request for the file means.
    pub(super) fn explain(&self, error: vsphere_soap::Error) -> Error {
        match self {
            Self::Guest { .. } => super::ticket_error(error, true),
            Self::Lease { .. } => super::ticket_error(error, false),
            _ => super::file_error(error),
        }
    }

    /// The file as a host can fetch it by itself; `None` where it can't, or should not.
    pub(super) async fn source(&self, certificate: Option<&Arc<[u8]>>) -> Result<Option<Source>> {
        match self {
            // What a host fetches by itself no rules can check.
            Self::Datastore { store, .. } if store.client().guard().is_some() => Ok(None),
            Self::Web(file) => Ok(file.for_others(certificate.is_some()).map(|url| Source {
                url,
                headers: Vec::new(),
                pin: certificate.cloned().map(Pin::Certificate),
            })),
            Self::Datastore { store, path, host: None } if store.client().is_vcenter() => {
                let Some(host) = host_of(store).await? else { return Ok(None) };
                let above = Above::of(store.client(), store.reference()).await?;
                let leave = Leave::of(&host, &in_datastore(&above.name, path)?, Way::Down).await?;
                // It is in a request that has no other secrets.
                store.client().transport().keep_secret(&leave.ticket);
                let cookie = KeyValue { key: "Cookie".into(), value: format!("vmware_cgi_ticket={}", leave.ticket) };
                Ok(Some(Source {
                    url: leave.endpoint.url(&leave.path).to_string(),
                    headers: vec![cookie],
                    pin: leave.thumbprint.map(Pin::Thumbprint),
                }))
            }
            _ => Ok(None),
        }
    }

    /// Whether this, or nothing, is still at the path in the datastore.
    pub(super) async fn still_has(&self, seen: Option<&DatastoreFile>) -> Result<bool> {
        match self {
            Self::Datastore { store, path, .. } => Ok(is_same_file(store.find_file(path).await?.as_ref(), seen)),
            _ => Ok(true),
        }
    }

    /// Whether the file is a disk that goes to a lease.
    pub(super) fn is_lease_disk(&self) -> bool {
        matches!(self, Self::Lease { disk: true, .. })
    }

    /// Finds the server and the leave that it takes.
    pub(super) async fn route(&self, way: Way) -> Result<Route> {
        match self {
            Self::Datastore { store, path, host } => datastore_route(store, path, host.as_ref(), way).await,
            Self::Guest { vm, url } => {
                let client = vm.client();
                let location = FileLocation::parse(&url.0, client.transport().endpoint())?;
                let thumbprint = match location.endpoint == *client.transport().endpoint() {
                    true => None,
                    false => host_thumbprint(vm).await?,
                };
                let transport = client.file_transport(&location.endpoint, thumbprint.as_deref())?;
                Ok(Route::plain(transport, location.path))
            }
            Self::Lease { client, url, thumbprint, disk } => {
                let location = FileLocation::parse(&url.0, client.transport().endpoint())?;
                let transport = client.file_transport(&location.endpoint, thumbprint.as_deref())?;
                let route = Route::plain(transport, location.path);
                Ok(match disk {
                    true => {
                        Route { method: SendMethod::Post, content_type: "application/x-vnd.vmware-streamVmdk", ..route }
                    }
                    false => Route { method: SendMethod::Replace, ..route },
                })
            }
            Self::Web(file) => file.route().map(|(transport, path)| Route::plain(transport, path)),
        }
    }
}

/// The transports to the servers beside the one that a client is connected to: one per server and pinned certificate.
#[derive(Debug, Default)]
struct FileServers {
    kept: Mutex<HashMap<(Endpoint, Option<Thumbprint>), Transport>>,
}

impl Part for FileServers {}

impl Client {
    /// The way to the server of a file. The session goes to the server that gave it, and to no other.
    fn file_transport(&self, endpoint: &Endpoint, thumbprint: Option<&str>) -> Result<Transport> {
        let own = self.transport();
        if endpoint == own.endpoint() {
            return Ok(own.clone());
        }
        let pin: Option<Thumbprint> = thumbprint.filter(|text| !text.trim().is_empty()).map(str::parse).transpose()?;
        let key = (endpoint.clone(), pin);
        let servers = self.connection.part::<FileServers>();
        let lock = || servers.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(kept) = lock().get(&key) {
            return Ok(kept.clone());
        }
        // A host's certificate is mostly its own: what the server says of it counts, and not what is trusted here.
        let mut options = own.options().clone();
        if let Some(pin) = pin {
            options = options.trust(Trust::Thumbprint(pin));
        }
        let transport = Transport::new(endpoint.clone(), options)?;
        Ok(lock().entry(key).or_insert(transport).clone())
    }
}

async fn datastore_route(store: &Mo<Datastore>, path: &str, host: Option<&Mo<HostSystem>>, way: Way) -> Result<Route> {
    let client = store.client();
    let above = Above::of(client, store.reference()).await?;
    let path = in_datastore(&above.name, path)?;
    if let Some(guard) = client.guard() {
        guard.check_file("find the file", &path).await?;
    }
    if path.file_name().is_none() {
        return Err(invalid("find the file", "the path names the datastore itself, not a file in it"));
    }
    let own = client.transport();
    let Some(host) = host.filter(|_| client.is_vcenter()) else {
        return Ok(Route::plain(own.clone(), path.folder_url(&above.datacenter)));
    };
    let leave = Leave::of(host, &path, way).await?;
    let transport = client.file_transport(&leave.endpoint, leave.thumbprint.as_deref())?;
    Ok(Route { ticket: Some(leave.ticket), ..Route::plain(transport, leave.path) })
}

/// The leave to do one thing with one file of a datastore through a host.
struct Leave {
    endpoint: Endpoint,
    path: String,
    ticket: String,
    thumbprint: Option<String>,
}

impl Leave {
    async fn of(host: &Mo<HostSystem>, path: &DatastorePath, way: Way) -> Result<Self> {
        let client = host.client();
        let name = host.read(host_system::NAME).await?;
        let endpoint: Endpoint = name.parse()?;
        // The host itself knows one datacenter.
        let there = path.folder_url("ha-datacenter");
        let method = if way == Way::Up { "httpPut" } else { "httpGet" };
        let spec = SessionManagerHttpServiceRequestSpec {
            method: Some(method.to_owned()),
            url: endpoint.url(&there).to_string(),
            ..Default::default()
        };
        let manager = client.content().session_manager.as_ref().ok_or_else(|| {
            Error::new("find the file", ErrorKind::Unsupported("the server gives no tickets for its hosts".into()))
        })?;
        let manager: SessionManager = client.raw(manager);
        let ticket = manager.acquire_generic_service_ticket(&Poly::new(spec)).await?;
        let endpoint = match ticket.host_name.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => FileLocation::parse(&format!("https://{name}/"), client.transport().endpoint())?.endpoint,
            None => endpoint,
        };
        let thumbprint = ticket.ssl_thumbprint.filter(|text| !text.trim().is_empty());
        Ok(Self { endpoint, path: there, ticket: ticket.id, thumbprint })
    }
}

/// A host that can read a datastore.
async fn host_of(store: &Mo<Datastore>) -> Result<Option<Mo<HostSystem>>> {
    let mounts = store.read(datastore::HOST).await?;
    let usable = mounts.into_iter().find(|mount| mount.mount_info.accessible != Some(false));
    Ok(usable.map(|mount| Mo::new(store.client(), &mount.key, None)))
}

/// The path of a file that is given with its datastore or without.
pub(crate) fn in_datastore(store: &str, path: &str) -> Result<DatastorePath> {
    if !path.trim_start().starts_with('[') {
        return DatastorePath::new(store, path);
    }
    let path: DatastorePath = path.parse()?;
    if name::decode(path.datastore()) != name::decode(store) {
        return Err(
            invalid("find the file", format!("the path names another datastore than {store:?}")).on(path.to_string())
        );
    }
    DatastorePath::new(store, path.path())
}

/// What HTTP access to a datastore needs to know: its name, and the inventory path of its datacenter.
struct Above {
    name: String,
    datacenter: String,
}

impl Above {
    async fn of(client: &Client, store: &ManagedObjectReference) -> Result<Self> {
        let up = TraversalSpec {
            base: SelectionSpec { name: Some("up".into()) },
            type_: "ManagedEntity".into(),
            path: "parent".into(),
            skip: Some(false),
            select_set: vec![Poly::new(SelectionSpec { name: Some("up".into()) })],
        };
        let spec = PropertyFilterSpec {
            prop_set: vec![PropertySpec {
                type_: "ManagedEntity".into(),
                path_set: vec!["name".into(), "parent".into()],
                ..Default::default()
            }],
            object_set: vec![ObjectSpec { obj: store.clone(), skip: Some(false), select_set: vec![Poly::new(up)] }],
            ..Default::default()
        };
        let mut entities = HashMap::new();
        for content in read::retrieve(client, spec).await? {
            let name = content.prop_set.iter().find(|property| property.name == datastore::NAME.path());
            let name = name.and_then(|property| property.val.as_str()).unwrap_or_default().to_owned();
            let parent = content.prop_set.iter().find_map(|property| match &property.val {
                Any::Ref(parent) => Some(parent.value.clone()),
                _ => None,
            });
            entities.insert(content.obj.value, (content.obj.type_, name, parent));
        }
        let name = entities.get(&store.value).map(|(_, name, _)| name.clone()).ok_or_else(|| {
            Error::new("find the file", ErrorKind::NotFound("there is no such datastore, or no longer".into()))
        })?;
        let mut at = Some(store.value.clone());
        let mut path: Vec<String> = Vec::new();
        // The root folder, which has no parent, is not part of the path. What was seen is taken out: no circle.
        while let Some((type_, name, Some(parent))) = at.and_then(|id| entities.remove(&id)) {
            if type_ == "Datacenter" || !path.is_empty() {
                path.push(name);
            }
            at = Some(parent);
        }
        if path.is_empty() {
            return Err(Error::new("find the file", ErrorKind::Unreadable("the datacenter of the datastore".into())));
        }
        path.reverse();
        Ok(Self { name, datacenter: path.join("/") })
    }
}

const THUMBPRINT: Property<HostSystem, Option<String>> = Property::new("summary.config.sslThumbprint");

/// The thumbprint of the host that runs a VM, as vCenter knows it.
async fn host_thumbprint(vm: &Mo<VirtualMachine>) -> Result<Option<String>> {
    let Some(host) = vm.read(virtual_machine::HOST).await? else { return Ok(None) };
    let host: Mo<HostSystem> = Mo::new(vm.client(), &host, None);
    host.read(THUMBPRINT).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_name_its_datastore_and_no_other() {
        assert_eq!(in_datastore("ds", "a/b").unwrap().to_string(), "[ds] a/b");
        assert_eq!(in_datastore("d%2fs", " [d/s] a/b").unwrap().to_string(), "[d%2fs] a/b");
        assert!(in_datastore("ds", "[other] a/b").unwrap_err().to_string().contains("another datastore"));
        assert!(in_datastore("ds", "../sdk").is_err());
    }
}
