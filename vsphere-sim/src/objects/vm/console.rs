//! The console of a machine: tickets for its screen, keys, the button that interrupts it.

use vsphere_model::types::{UsbScanCodeSpec, VirtualMachineMksTicket, VirtualMachineTicket, VirtualMachineTicketType};

use super::Vm;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::datastore::Datastore;
use crate::world::{Moref, World};
use vsphere_model::types::VirtualMachinePowerState::PoweredOn;

pub(crate) const METHODS: Methods = &[
    ("VirtualMachine", "AcquireTicket", Handler::Read(acquire_ticket)),
    ("VirtualMachine", "AcquireMksTicket", Handler::Read(acquire_mks_ticket)),
    ("VirtualMachine", "PutUsbScanCodes", Handler::Read(put_usb_scan_codes)),
    ("VirtualMachine", "SendNMI", Handler::Read(send_nmi)),
    ("VirtualMachine", "SetScreenResolution", Handler::Write(set_screen_resolution)),
];

/// The ports of a host: for the console in its own protocol, and for the one over WebSocket.
const MKS_PORT: i32 = 902;
const WEB_PORT: i32 = 443;

/// The machine, which must be running.
fn running<'a>(world: &'a World, call: &Call) -> Outcome<&'a Vm> {
    let machine = world.get::<Vm>(&call.target)?;
    machine.must_be(&[PoweredOn], Some(PoweredOn))?;
    Ok(machine)
}

fn acquire_ticket(world: &World, call: &Call) -> Outcome<Reply> {
    let machine = running(world, call)?;
    let kind: String = call.arg("ticketType")?;
    let host = host_name(world, machine);
    let (ticket, cfg_file) = (ticket(), path_on_host(world, &call.target)?);
    let (port, url) = match VirtualMachineTicketType::from(&*kind) {
        VirtualMachineTicketType::Webmks => {
            (WEB_PORT, host.as_ref().map(|host| format!("wss://{host}:{WEB_PORT}/ticket/{ticket}")))
        }
        VirtualMachineTicketType::Unrecognized(_) => return Err(Fault::invalid_argument("ticketType")),
        _ => (MKS_PORT, None),
    };
    Ok(Reply::of(VirtualMachineTicket { ticket, cfg_file, host, port: Some(port), url, ..Default::default() }))
}

fn acquire_mks_ticket(world: &World, call: &Call) -> Outcome<Reply> {
    let machine = running(world, call)?;
    Ok(Reply::of(VirtualMachineMksTicket {
        ticket: ticket(),
        cfg_file: path_on_host(world, &call.target)?,
        host: host_name(world, machine),
        port: Some(MKS_PORT),
        ssl_thumbprint: None,
    }))
}

fn ticket() -> String {
    format!("{:016x}", fastrand::u64(..))
}

fn host_name(world: &World, machine: &Vm) -> Option<String> {
    let host: &Moref = machine.runtime.host.as_ref()?;
    world.entity(host).ok().map(|entity| entity.name.clone())
}

/// The path of the machine's `.vmx` file as its host sees it.
fn path_on_host(world: &World, vm: &Moref) -> Outcome<String> {
    let vmx = world.vmx_of(vm)?;
    let datastore = world.get::<Datastore>(&vmx.datastore)?;
    Ok(format!("{}{}", datastore.url.trim_start_matches("ds://"), vmx.path))
}

/// Answers how many of the keys the machine took: all of them.
fn put_usb_scan_codes(world: &World, call: &Call) -> Outcome<Reply> {
    running(world, call)?;
    let spec: UsbScanCodeSpec = call.arg("spec")?;
    Ok(Reply::of(i32::try_from(spec.key_events.len()).unwrap_or(i32::MAX)))
}

fn send_nmi(world: &World, call: &Call) -> Outcome<Reply> {
    running(world, call)?;
    Ok(Reply::NONE)
}

fn set_screen_resolution(world: &mut World, call: &Call) -> Outcome<Reply> {
    running(world, call)?.must_have_tools()?;
    let (width, height): (i32, i32) = (call.arg("width")?, call.arg("height")?);
    if width <= 0 || height <= 0 {
        return Err(Fault::invalid_argument(if width <= 0 { "width" } else { "height" }));
    }
    let screen = world.edit::<Vm>(&call.target)?.guest.screen.get_or_insert_default();
    (screen.width, screen.height) = (width, height);
    Ok(Reply::NONE)
}
