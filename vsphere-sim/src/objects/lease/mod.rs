//! NFC leases: the leave to send or fetch the files of a machine, for as long as the client shows that it goes on.
//!
//! | file | has |
//! |---|---|
//! | `open` | how a lease comes to be: imports and exports |
//! | `parts` | the files of a machine that a lease gives |
//! | `pull` | files that the server fetches by itself |

mod open;
mod parts;
mod pull;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vsphere_model::managed;
use vsphere_model::types::{
    Any, HttpNfcLeaseCapabilities, HttpNfcLeaseInfo, HttpNfcLeaseManifestEntry, HttpNfcLeaseMode, HttpNfcLeaseState,
    InvalidState, KeyValue, LocalizedMethodFault, Timedout,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

pub(crate) use parts::{Part, parts};

use crate::call::{Call, Handler, Methods, Reply, Waiting};
use crate::fault::{Fault, Outcome};
use crate::model::ServerKind;
use crate::objects::datastore::Datastore;
use crate::objects::datastore::checksum::Algorithm;
use crate::objects::datastore::disk::Format;
use crate::objects::datastore::files::{File, Sent};
use crate::objects::datastore::source::Source;
use crate::objects::datastore::upload::Upload;
use crate::objects::vm;
use crate::world::{Look, Managed, Moref, Prop, Task, World};

pub(crate) const METHODS: Methods = &[
    ("ResourcePool", "ImportVApp", Handler::Write(open::import)),
    ("VirtualMachine", "ExportVm", Handler::Write(open::export)),
    ("VirtualMachineSnapshot", "ExportSnapshot", Handler::Write(open::export_snapshot)),
    ("HttpNfcLease", "HttpNfcLeasePullFromUrls_Task", Handler::Write(pull::pull)),
    ("HttpNfcLease", "HttpNfcLeaseProbeUrls", Handler::Wait(pull::probe)),
    ("HttpNfcLease", "HttpNfcLeaseProgress", Handler::Write(progress)),
    ("HttpNfcLease", "HttpNfcLeaseComplete", Handler::Write(complete)),
    ("HttpNfcLease", "HttpNfcLeaseAbort", Handler::Write(abort)),
    ("HttpNfcLease", "HttpNfcLeaseGetManifest", Handler::Wait(manifest)),
    ("HttpNfcLease", "HttpNfcLeaseSetManifestChecksumType", Handler::Write(set_checksum_type)),
];

/// The managed object `HttpNfcLease`.
pub(crate) struct Lease {
    /// What the URLs of its files have in their path: nothing else is asked for there.
    pub(crate) ticket: String,
    pub(crate) imports: bool,
    pub(crate) state: HttpNfcLeaseState,
    pub(crate) files: Vec<LeaseFile>,
    error: Option<LocalizedMethodFault>,
    info: Option<HttpNfcLeaseInfo>,
    mode: String,
    capabilities: HttpNfcLeaseCapabilities,
    initialize_progress: i32,
    transfer_progress: i32,
    session: String,
    user: String,
    task: Moref,
    vm: Option<Moref>,
    /// When it ends, unless the client tells of its progress.
    deadline: Instant,
    timeout: Duration,
}

/// A file of a lease.
#[derive(Debug)]
pub(crate) struct LeaseFile {
    pub(crate) part: Part,
    pub(crate) checksum: Algorithm,
    /// What went over the wire, once it did.
    pub(crate) passed: Option<Passed>,
}

/// What went over the wire. It is kept, so that it need not be summed up before somebody asks for that.
#[derive(Debug, Clone)]
pub(crate) struct Passed {
    pub(crate) size: i64,
    pub(crate) content: Source,
}

impl Managed for Lease {
    fn info(&self) -> &'static ManagedInfo {
        managed::HttpNfcLease::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "state" => Prop::kept(&self.state),
            "info" => Prop::kept_optional(&self.info),
            "error" => Prop::kept_optional(&self.error),
            "mode" => Prop::kept(&self.mode),
            "capabilities" => Prop::kept(&self.capabilities),
            "initializeProgress" => Prop::kept(&self.initialize_progress),
            "transferProgress" => Prop::kept(&self.transfer_progress),
            _ => Prop::UNSET,
        }
    }
}

impl Lease {
    fn new(call: &Call, world: &World, imports: bool, task: Moref) -> Outcome<Self> {
        let timeout = world.settings.lease_timeout;
        Ok(Self {
            ticket: crate::world::uuid(fastrand::u128(..)),
            imports,
            state: HttpNfcLeaseState::Initializing,
            files: Vec::new(),
            error: None,
            info: None,
            mode: HttpNfcLeaseMode::PushOrGet.as_str().to_owned(),
            capabilities: HttpNfcLeaseCapabilities {
                pull_mode_supported: imports && world.settings.pull_mode && world.settings.kind == ServerKind::VCenter,
                cors_supported: true,
            },
            initialize_progress: 0,
            transfer_progress: 0,
            session: call.session()?.to_owned(),
            user: call.user(world),
            task,
            vm: None,
            deadline: Instant::now() + timeout,
            timeout,
        })
    }

    fn must_be_ready(&self) -> Outcome<()> {
        if self.state == HttpNfcLeaseState::Ready {
            return Ok(());
        }
        let message =
            format!("The operation is not allowed in the current state of the lease ({}).", self.state.as_str());
        Err(Fault::new(InvalidState::default(), message))
    }
}

/// Tells the server that the client goes on, and how far it is.
fn progress(world: &mut World, call: &Call) -> Outcome<Reply> {
    let percent: i32 = call.arg("percent")?;
    if !(0..=100).contains(&percent) {
        return Err(Fault::invalid_argument("percent"));
    }
    let lease = world.edit::<Lease>(&call.target)?;
    lease.must_be_ready()?;
    lease.transfer_progress = percent;
    lease.deadline = Instant::now() + lease.timeout;
    let task = lease.task.clone();
    if let Ok(task) = world.edit::<Task>(&task) {
        task.info.progress = Some(percent);
    }
    Ok(Reply::NONE)
}

/// The first bytes of a disk that is sent compressed, in one stream.
const STREAM: &[u8] = b"KDMV";

/// The file of a lease has come: the content of the machine's file is what came.
///
/// # Errors
/// The lease has ended, the file is not what belongs there, or there is no room for it.
pub(crate) fn arrived(
    world: &mut World,
    lease: &Moref,
    part: &Part,
    upload: Upload,
    size: u64,
    head: &[u8],
) -> Outcome<()> {
    world.get::<Lease>(lease)?.must_be_ready()?;
    if part.is_disk && !head.starts_with(STREAM) {
        let fault = vsphere_model::types::InvalidFormat::default();
        return Err(Fault::new(fault, "The disk is not valid: invalid sparse VMDK header."));
    }
    let upload = Arc::new(upload);
    let content = Source::Sent(Arc::clone(&upload), size);
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    keep(world, part, upload, size)?;
    note(world, lease, part, Passed { size, content });
    Ok(())
}

fn keep(world: &mut World, part: &Part, upload: Arc<Upload>, size: i64) -> Outcome<()> {
    let path = &part.place.path;
    let datastore: &mut Datastore = world.datastore_of(&part.place)?;
    if !part.is_disk {
        return datastore.put_file(path, File::sent(size, Sent { upload, disk: None }));
    }
    let mut disk = datastore.disk(path)?.clone();
    disk.sent = Some(upload.into());
    if let Some(extent) = disk.extent(path).filter(|_| disk.format == Format::Thin) {
        let used = disk.takes(size);
        datastore.change_file(&extent, |data| data.used = used)?;
    }
    datastore.put_descriptor(path, disk)
}

/// Remembers what went over the wire.
pub(crate) fn note(world: &mut World, lease: &Moref, part: &Part, passed: Passed) {
    let Ok(lease) = world.edit::<Lease>(lease) else { return };
    if let Some(file) = lease.files.iter_mut().find(|file| file.part.name == part.name) {
        file.passed = Some(passed);
    }
}

fn complete(world: &mut World, call: &Call) -> Outcome<Reply> {
    let lease = world.get::<Lease>(&call.target)?;
    lease.must_be_ready()?;
    end(world, &call.target, None);
    Ok(Reply::NONE)
}

fn abort(world: &mut World, call: &Call) -> Outcome<Reply> {
    let given: Option<LocalizedMethodFault> = call.opt("fault")?;
    let lease = world.get::<Lease>(&call.target)?;
    if !matches!(lease.state, HttpNfcLeaseState::Ready | HttpNfcLeaseState::Initializing) {
        lease.must_be_ready()?;
    }
    let fault = match given {
        Some(given) => Fault::of(given.fault, given.localized_message.unwrap_or_default()),
        None => aborted(),
    };
    end(world, &call.target, Some(fault));
    Ok(Reply::NONE)
}

fn aborted() -> Fault {
    Fault::new(vsphere_model::types::RequestCanceled::default(), "The lease was aborted.")
}

/// What the server has seen of the files. They are summed up beside all else: that takes as long as reading them.
fn manifest(call: Arc<Call>) -> Waiting {
    Box::pin(async move {
        let seen: Vec<(Part, Algorithm, Passed)> = {
            let world = call.core.read();
            let lease = world.get::<Lease>(&call.target)?;
            lease.must_be_ready()?;
            let seen = |file: &LeaseFile| Some((file.part.clone(), file.checksum, file.passed.clone()?));
            lease.files.iter().filter_map(seen).collect()
        };
        let summed_up =
            tokio::task::spawn_blocking(move || seen.into_iter().map(entry).collect::<io::Result<Vec<_>>>());
        let entries = summed_up.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        entries.map(Reply::list).map_err(|error| Fault::not_supported(&format!("a manifest: {error}")))
    })
}

fn entry((part, checksum, passed): (Part, Algorithm, Passed)) -> io::Result<HttpNfcLeaseManifestEntry> {
    let sum = passed.content.checksum(checksum)?;
    Ok(HttpNfcLeaseManifestEntry {
        key: part.key,
        sha1: if checksum == Algorithm::Sha1 { sum.clone() } else { String::new() },
        checksum: Some(sum),
        checksum_type: Some(checksum.name().to_owned()),
        size: passed.size,
        disk: part.is_disk,
        capacity: part.is_disk.then_some(part.capacity),
        populated_size: part.is_disk.then_some(passed.size),
    })
}

fn set_checksum_type(world: &mut World, call: &Call) -> Outcome<Reply> {
    let wanted: Vec<KeyValue> = call.arg("deviceUrlsToChecksumTypes")?;
    let lease = world.edit::<Lease>(&call.target)?;
    lease.must_be_ready()?;
    for KeyValue { key, value } in wanted {
        let checksum = Algorithm::named(&value).ok_or_else(|| Fault::invalid_argument("deviceUrlsToChecksumTypes"))?;
        let file = lease.files.iter_mut().find(|file| file.part.key == key);
        let file = file.ok_or_else(|| Fault::invalid_argument("deviceUrlsToChecksumTypes"))?;
        if file.passed.is_some() {
            return Err(Fault::new(InvalidState::default(), "The file has been transferred already."));
        }
        file.checksum = checksum;
    }
    Ok(Reply::NONE)
}

/// Ends a lease: well, or with a fault. What a failed import has made is removed.
fn end(world: &mut World, reference: &Moref, fault: Option<Fault>) {
    let Ok(lease) = world.edit::<Lease>(reference) else { return };
    lease.state = if fault.is_some() { HttpNfcLeaseState::Error } else { HttpNfcLeaseState::Done };
    lease.error = fault.as_ref().map(Fault::localized);
    let (ticket, task, vm, user, imports) =
        (lease.ticket.clone(), lease.task.clone(), lease.vm.clone(), lease.user.clone(), lease.imports);
    world.leases.remove(&ticket);
    let result = vm.clone().filter(|_| imports).map(Any::from).unwrap_or_default();
    let outcome = fault.map_or(Ok(result), Err);
    let failed = outcome.is_err();
    world.finish(&task, Box::new(move |_| outcome));
    if let Some(vm) = vm.filter(|_| failed && imports)
        && let Err(fault) = vm::destroy(world, &vm, &user)
    {
        tracing::debug!(vm = vm.value, fault = fault.message(), "the VM of a lease stays behind");
    }
}

/// The leases of a session that ends end with it.
pub(crate) fn session_ended(world: &mut World, session: &str) {
    let of_session = |lease: &&Moref| world.get::<Lease>(lease).is_ok_and(|lease| lease.session == session);
    let leases: Vec<Moref> = world.leases.values().filter(of_session).cloned().collect();
    for lease in leases {
        end(world, &lease, Some(aborted()));
    }
}

/// Ends a lease whose client has told nothing for too long.
fn watch(world: &World, reference: &Moref) {
    let (core, reference) = (world.core(), reference.clone());
    tokio::spawn(async move {
        loop {
            let deadline = {
                let Some(core) = core.upgrade() else { return };
                let world = core.read();
                let Ok(lease) = world.get::<Lease>(&reference) else { return };
                if !matches!(lease.state, HttpNfcLeaseState::Ready | HttpNfcLeaseState::Initializing) {
                    return;
                }
                lease.deadline
            };
            if deadline > Instant::now() {
                tokio::time::sleep_until(deadline).await;
                continue;
            }
            let Some(core) = core.upgrade() else { return };
            let fault = Fault::new(Timedout::default(), "The lease has timed out.");
            end(&mut core.write(), &reference, Some(fault));
        }
    });
}
