//! The URLs by which files go into a guest and out of it: each is good once, and for ten minutes.

use vsphere_model::types::{DateTime, GuestFileAttributes, Poly};

use super::file;
use crate::call::Call;
use crate::fault::{Fault, Outcome};
use crate::guest::files::User;
use crate::model::ServerKind;
use crate::objects::vm::{Vm, guest};
use crate::world::{Moref, World};

/// How long a URL is good, in minutes.
const GOOD_FOR: i64 = 10;

/// How many URLs wait to be used at most.
const WAITING: usize = 1000;

/// A transfer that a client may make.
pub(crate) struct Transfer {
    id: u64,
    token: String,
    vm: Moref,
    /// The run of the machine that it was offered in.
    turn: u32,
    user: User,
    way: Way,
    ends: DateTime,
}

/// Which way the file goes.
pub(super) enum Way {
    Down { key: String },
    Up { path: String, size: u64, attributes: Poly<GuestFileAttributes>, overwrite: bool },
}

/// Offers a transfer: its URL.
pub(super) fn offer(world: &mut World, call: &Call, vm: &Moref, user: User, way: Way) -> Outcome<String> {
    let now = world.now();
    let machine = world.get::<Vm>(vm)?;
    let elsewhere = guest::extra_config(&machine.config, "guestinfo.sim.transfer_host").map(str::to_owned);
    let turn = machine.life.turn();
    let scheme = if call.peer.secure { "https" } else { "http" };
    // All hosts are reached where the server is. A host itself does not know how it is called.
    let host = match (elsewhere, world.settings.kind) {
        (Some(host), _) => host,
        (None, ServerKind::Esxi) => "*".to_owned(),
        (None, ServerKind::VCenter) if call.peer.host.is_empty() => "*".to_owned(),
        (None, ServerKind::VCenter) => call.peer.host.clone(),
    };
    let token = format!("{:032x}", fastrand::u128(..));
    let transfers = &mut world.transfers;
    transfers.last += 1;
    let id = transfers.last;
    transfers.waiting.retain(|transfer| transfer.ends > now);
    let excess = (transfers.waiting.len() + 1).saturating_sub(WAITING);
    transfers.waiting.drain(..excess);
    let ends = now + chrono::TimeDelta::minutes(GOOD_FOR);
    transfers.waiting.push(Transfer { id, token: token.clone(), vm: vm.clone(), turn, user, way, ends });
    Ok(format!("{scheme}://{host}/guestFile?id={id}&token={token}"))
}

/// The transfers that wait.
#[derive(Default)]
pub(crate) struct Transfers {
    last: u64,
    waiting: Vec<Transfer>,
}

/// Takes the transfer that a URL is for; it is not good for another one.
pub(crate) fn take(world: &mut World, id: &str, token: &str) -> Option<Transfer> {
    let now = world.now();
    let waiting = &mut world.transfers.waiting;
    let at = waiting.iter().position(|transfer| transfer.id.to_string() == id && transfer.token == token)?;
    let transfer = waiting.remove(at);
    let machine = world.get::<Vm>(&transfer.vm).ok()?;
    let holds = transfer.ends > now && machine.life.turn() == transfer.turn && machine.is_on() && machine.tools_run();
    holds.then_some(transfer)
}

impl Transfer {
    /// How long the file that is sent must be; `None` where one is fetched.
    pub(crate) fn expected(&self) -> Option<u64> {
        match self.way {
            Way::Down { .. } => None,
            Way::Up { size, .. } => Some(size),
        }
    }

    /// The file that is fetched.
    ///
    /// # Errors
    /// It is gone, or the URL is for a file that is sent.
    pub(crate) fn content(&self, world: &World) -> Outcome<Vec<u8>> {
        let Way::Down { key } = &self.way else { return Err(Fault::invalid_request("The URL is for PUT.")) };
        let system = world.get::<Vm>(&self.vm)?.guest_system.as_ref();
        let system = system.ok_or_else(|| Fault::not_found(&self.vm))?;
        // What the kernel makes has no size, and none of it is sent.
        match system.files.get(key, false).map(|(_, node)| node.size()) {
            Ok(0) => Ok(Vec::new()),
            _ => system.files.read(key, &self.user).map_err(|error| super::file_fault(error, key)),
        }
    }

    /// Keeps the file that was sent.
    ///
    /// # Errors
    /// Those of writing it.
    pub(crate) fn keep(self, world: &mut World, bytes: Vec<u8>) -> Outcome<()> {
        let Way::Up { path, attributes, overwrite, .. } = &self.way else {
            return Err(Fault::invalid_request("The URL is for GET."));
        };
        file::receive(world, &self.vm, &self.user, path, bytes, attributes, *overwrite)
    }
}
