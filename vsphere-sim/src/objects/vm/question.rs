//! Questions: a machine that waits until somebody decides.
//!
//! A machine remembers where its files lay, in `uuid.location` of its `extraConfig`. When it finds itself elsewhere, it
//! asks at the next power-on whether it was moved or copied, unless `uuid.action` answers that beforehand.
//!
//! A guest that runs locks the doors of its CD drives where `guestinfo.sim.cdrom.locked` is `TRUE` in `extraConfig`: who
//! takes an image out is asked whether to open them.

use vsphere_model::types::{
    Any, ChoiceOption, Description, ElementDescription, GenericVmConfigFault, InvalidArgument, OptionValue, Poly,
    VirtualCdrom, VirtualDevice, VirtualDeviceConfigSpec, VirtualDeviceConfigSpecOperation, VirtualEthernetCard,
    VirtualMachineConfigInfo, VirtualMachineMessage, VirtualMachineQuestionInfo,
};

use super::guest::extra_config;
use super::{Vm, hardware};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Moref, World, uuid};

pub(crate) const METHODS: Methods = &[("VirtualMachine", "AnswerVM", Handler::Write(answer))];

/// What a machine goes on with when it has its answer.
pub(super) struct Asked {
    task: Moref,
    then: Rest,
}

/// What remains of the task's work.
type Rest = Box<dyn FnOnce(&mut World, &Moref, &str) -> Outcome<Any> + Send + Sync>;

/// The choices, by the key with which a client gives its answer.
const CANCEL: &str = "0";
const MOVED: &str = "1";
const COPIED: &str = "2";
const OPEN: &str = "0";
const LEAVE: &str = "1";

/// The question that a machine asks before it starts.
pub(super) fn before_power_on(machine: &Vm) -> Option<VirtualMachineQuestionInfo> {
    let location = extra_config(&machine.config, LOCATION)?;
    if location == location_of(&machine.config) || extra_config(&machine.config, "uuid.action").is_some() {
        return None;
    }
    let text = format!(
        "This virtual machine might have been moved or copied. To configure certain management and networking \
         features, the server must know which. If you don't know, answer \"I copied it\". ({})",
        machine.entity.name
    );
    let choices = [(CANCEL, "Cancel"), (MOVED, "I Moved It"), (COPIED, "I Copied It")];
    Some(question("msg.uuid.altered", text, &choices, 2))
}

/// The question that a machine asks before an image is taken out of a drive whose door its guest has locked.
pub(super) fn before_reconfigure(
    machine: &Vm,
    changes: &[Poly<VirtualDeviceConfigSpec>],
) -> Option<VirtualMachineQuestionInfo> {
    let locked = extra_config(&machine.config, "guestinfo.sim.cdrom.locked") == Some("TRUE");
    if !locked || !machine.is_on() || !changes.iter().any(|change| takes_out(machine, change)) {
        return None;
    }
    let text = "The guest has locked the door of the CD drive, and may be using what is in it. Disconnect it anyway and \
                override the lock?";
    let choices = [(OPEN, "Yes"), (LEAVE, "No")];
    Some(question("msg.cdromdisconnect.locked", text.to_owned(), &choices, 1))
}

/// Whether a change unplugs an image that the guest sees, or puts another in its place.
fn takes_out(machine: &Vm, change: &VirtualDeviceConfigSpec) -> bool {
    let sees = |device: &&Poly<VirtualDevice>| {
        device.key == change.device.key
            && device.is::<VirtualCdrom>()
            && device.connectable.as_ref().is_some_and(|info| info.connected)
    };
    let Some(old) = machine.config.hardware.device.iter().find(sees) else { return false };
    let new = &change.device;
    let unplugs = new.connectable.as_ref().is_some_and(|info| !info.connected);
    let file = |device: &VirtualDevice| hardware::file_of(device).map(|file| file.file_name.clone());
    let removes = change.operation == Some(VirtualDeviceConfigSpecOperation::Remove);
    hardware::file_of(old).is_some() && (removes || unplugs || (new.backing.is_some() && file(old) != file(new)))
}

/// A question with its choices, each by the key with which it is chosen.
pub(crate) fn question(id: &str, text: String, choices: &[(&str, &str)], default: i32) -> VirtualMachineQuestionInfo {
    let choice = |(key, label): &(&str, &str)| {
        let base = Description { label: (*label).to_owned(), summary: (*label).to_owned() };
        Poly::new(ElementDescription { base, key: (*key).to_owned() })
    };
    VirtualMachineQuestionInfo {
        // The id has to differ from one question to the next, so that a late answer meets no other one.
        id: fastrand::u32(..).to_string(),
        text: text.clone(),
        choice: ChoiceOption {
            choice_info: choices.iter().map(choice).collect(),
            default_index: Some(default),
            ..Default::default()
        },
        message: vec![VirtualMachineMessage { id: id.to_owned(), text: Some(text), ..Default::default() }],
    }
}

/// The machine asks; its task goes on with the answer.
///
/// # Errors
/// `ManagedObjectNotFound`.
pub(super) fn ask(
    world: &mut World,
    vm: &Moref,
    question: VirtualMachineQuestionInfo,
    task: &Moref,
    then: impl FnOnce(&mut World, &Moref, &str) -> Outcome<Any> + Send + Sync + 'static,
) -> Outcome<()> {
    let machine = world.edit::<Vm>(vm)?;
    machine.runtime.question = Some(Box::new(question));
    machine.life.asked = Some(Asked { task: task.clone(), then: Box::new(then) });
    Ok(())
}

fn answer(world: &mut World, call: &Call) -> Outcome<Reply> {
    let vm = call.target.clone();
    let id: String = call.arg("questionId")?;
    let answer: String = call.arg("answerChoice")?;
    let machine = world.get::<Vm>(&vm)?;
    let Some(question) = machine.runtime.question.as_deref().filter(|question| question.id == id) else {
        return Err(no_such("questionId", "The virtual machine doesn't ask this question."));
    };
    if !question.choice.choice_info.iter().any(|choice| choice.key == answer) {
        return Err(no_such("answerChoice", "The question has no such answer."));
    }
    let machine = world.edit::<Vm>(&vm)?;
    machine.runtime.question = None;
    let Some(Asked { task, then }) = machine.life.asked.take() else { return Ok(Reply::NONE) };
    world.finish(&task, Box::new(move |world| then(world, &vm, &answer)));
    Ok(Reply::NONE)
}

/// Opens the doors, or leaves them as the answer says.
///
/// # Errors
/// `GenericVmConfigFault` where they stay locked.
pub(super) fn open(answer: &str) -> Outcome<()> {
    if answer == OPEN {
        return Ok(());
    }
    let reason = "The guest keeps the CD drive locked, so that it could not be disconnected.".to_owned();
    Err(Fault::new(GenericVmConfigFault { reason: reason.clone(), ..Default::default() }, reason))
}

/// Makes the machine the one that was moved, or another, as the answer says.
///
/// # Errors
/// `GenericVmConfigFault` where it says to leave off.
pub(super) fn settle(world: &mut World, vm: &Moref, answer: &str) -> Outcome<()> {
    if answer == CANCEL {
        let reason = "The power-on was canceled by the answer to a question.".to_owned();
        return Err(Fault::new(GenericVmConfigFault { reason: reason.clone(), ..Default::default() }, reason));
    }
    if answer == COPIED {
        become_another(world, vm)?;
    }
    let config = &mut world.edit::<Vm>(vm)?.config;
    let location = location_of(config);
    if let Some(option) = config.extra_config.iter_mut().find(|option| option.key == LOCATION) {
        *option = Poly::new(OptionValue { key: LOCATION.to_owned(), value: Some(Any::from(location)) });
    }
    Ok(())
}

/// A copy has an identity of its own, and addresses that it doesn't share.
fn become_another(world: &mut World, vm: &Moref) -> Outcome<()> {
    let cards = world.get::<Vm>(vm)?.config.hardware.device.iter();
    let count = cards.filter(|device| device.is::<VirtualEthernetCard>()).count();
    let mut addresses: Vec<String> = (0..count).map(|_| hardware::new_address(world).1).collect();
    let config = &mut world.edit::<Vm>(vm)?.config;
    config.uuid = uuid(fastrand::u128(..));
    let cards = config.hardware.device.iter_mut().filter_map(|device| device.downcast_mut::<VirtualEthernetCard>());
    for card in cards.filter(|card| card.address_type.as_deref() != Some("manual")) {
        card.mac_address = addresses.pop();
    }
    Ok(())
}

fn no_such(argument: &str, message: &str) -> Fault {
    let fault = InvalidArgument { invalid_property: Some(argument.to_owned()), ..Default::default() };
    Fault::new(fault, message)
}

const LOCATION: &str = "uuid.location";

/// The mark of the place where a machine's files lie, in the form of a `.vmx` file: sixteen bytes in hex.
fn location_of(config: &VirtualMachineConfigInfo) -> String {
    let path = config.files.vm_path_name.as_deref().unwrap_or_default();
    let step = |hash: u128, byte: u8| (hash ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
    let hash = path.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, step);
    let bytes: Vec<String> = hash.to_be_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let [first, second] = [bytes.get(..8), bytes.get(8..)].map(|half| half.unwrap_or_default().join(" "));
    format!("{first}-{second}")
}
