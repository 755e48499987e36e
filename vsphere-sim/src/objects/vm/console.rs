//! The console of a machine: tickets for its screen, a file of it, keys, the button that interrupts it.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use vsphere_model::types::{
    Any, UsbScanCodeSpec, VirtualMachineMksTicket, VirtualMachineTicket, VirtualMachineTicketType,
};

use super::guest::{self, Start};
use super::keys::{self, Press};
use super::{Vm, screen};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::objects::datastore::Datastore;
use crate::objects::datastore::files::{File, Sent};
use crate::world::{Moref, World};
use vsphere_model::types::VirtualMachinePowerState::PoweredOn;

pub(crate) const METHODS: Methods = &[
    ("VirtualMachine", "AcquireTicket", Handler::Read(acquire_ticket)),
    ("VirtualMachine", "AcquireMksTicket", Handler::Read(acquire_mks_ticket)),
    ("VirtualMachine", "PutUsbScanCodes", Handler::Write(put_usb_scan_codes)),
    ("VirtualMachine", "CreateScreenshot_Task", Handler::Write(create_screenshot)),
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

/// How many keys a machine takes at once.
const BUFFER: usize = 64;

/// Answers how many of the keys the machine took: as many as fit into the buffer of its keyboard.
fn put_usb_scan_codes(world: &mut World, call: &Call) -> Outcome<Reply> {
    running(world, call)?;
    let spec: UsbScanCodeSpec = call.arg("spec")?;
    let presses: Option<Vec<Press>> = spec.key_events.iter().map(keys::of).collect();
    let mut presses = presses.ok_or_else(|| Fault::invalid_argument("spec.keyEvents.usbHidCode"))?;
    presses.truncate(BUFFER);
    let taken = i32::try_from(presses.len()).unwrap_or(i32::MAX);
    let now = world.now();
    let machine = world.edit::<Vm>(&call.target)?;
    let restarts = presses.contains(&Press::Attention) && !guest::is_windows(&machine.config.guest_id);
    screen::keep(&mut machine.life.typed, presses);
    if restarts && machine.guest_plan.is_some() {
        // A console of Linux takes it as the wish to restart.
        machine.life.typed.clear();
        machine.life.turn += 1;
        machine.runtime.boot_time = Some(now);
        guest::start(world, &call.target, Start::Boot);
    }
    Ok(Reply::of(taken))
}

/// Writes what is on the screen into a file beside the configuration.
fn create_screenshot(world: &mut World, call: &Call) -> Outcome<Reply> {
    running(world, call)?;
    let vm = call.target.clone();
    let plan = call.task().about(&vm).takes(Duration::from_millis(300)).cancelable();
    plan.start(world, move |world| {
        let picture = world.screen(&vm)?;
        let failed = |error: &dyn std::fmt::Display| Fault::not_supported(&format!("a file of the screen: {error}"));
        let content = picture.png().map_err(|error| failed(&error))?;
        let (upload, mut file) = world.uploads.create().map_err(|error| failed(&error))?;
        file.write_all(&content).map_err(|error| failed(&error))?;
        let vmx = world.vmx_of(&vm)?;
        let datastore = world.edit::<Datastore>(&vmx.datastore)?;
        let path = (1..).map(|number: u32| vmx.beside(&format!("{}-{number}.png", vmx.stem())).path);
        let path = path.into_iter().find(|path| datastore.find(path).is_none()).unwrap_or_default();
        let size = i64::try_from(content.len()).unwrap_or(i64::MAX);
        datastore.put_file(&path, File::sent(size, Sent { upload: Arc::new(upload), disk: None }))?;
        Ok(Any::from(datastore.path(&path)))
    })
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
