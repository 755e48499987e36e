//! The door of a CD drive: a guest that has mounted an image locks it, and vSphere asks whether to open it all the same.
//! Until somebody answers, the task that takes the image out stands still.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::TryStreamExt;
use vsphere_model::managed::{VirtualMachine, virtual_machine as vm};
use vsphere_model::types::{VirtualMachinePowerState, VirtualMachineQuestionInfo};

use crate::error::Result;
use crate::mo::Mo;
use crate::watch::Change;

/// The id of the question's message, which no language changes, and the answer that opens the door.
const LOCKED: &str = "msg.cdromdisconnect.locked";
const YES: &str = "0";

/// Carries out a change of what is in a drive, and opens the door where the guest has locked it. Says whether it had to.
///
/// # Errors
/// The errors of the change.
pub(super) async fn open_for<T, F>(machine: &Mo<VirtualMachine>, change: impl FnOnce() -> F) -> Result<(T, bool)>
where
    F: Future<Output = Result<T>>,
{
    // The guest of a VM that does not run holds no door.
    if machine.read(vm::POWER_STATE).await? != VirtualMachinePowerState::PoweredOn {
        return Ok((change().await?, false));
    }
    let opened = AtomicBool::new(false);
    let mut change = pin!(change());
    let mut answers = pin!(answer(machine, &opened));
    let done = tokio::select! {
        done = &mut change => done?,
        // Nobody answers any more: the change ends by itself, or as it would without us.
        () = &mut answers => change.await?,
    };
    Ok((done, opened.load(Ordering::Relaxed)))
}

/// Answers the question as often as it is asked, until the VM is gone or can't be watched.
async fn answer(machine: &Mo<VirtualMachine>, opened: &AtomicBool) {
    let mut questions = machine.watch(vm::QUESTION);
    loop {
        let question = match questions.try_next().await {
            Ok(Some(Change::Entered { row, .. } | Change::Changed { row, .. })) => row,
            Ok(Some(_)) => continue,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "the questions of a VM can't be watched");
                return;
            }
        };
        let Some(question) = question.filter(asks_for_the_door) else { continue };
        match machine.answer_vm(&question.id, YES).await {
            Ok(()) => opened.store(true, Ordering::Relaxed),
            // Somebody else may have been faster.
            Err(error) => tracing::debug!(%error, "the question of a locked door was not answered"),
        }
    }
}

fn asks_for_the_door(question: &VirtualMachineQuestionInfo) -> bool {
    // Older servers put the message's id before the text.
    question.message.iter().any(|message| message.id == LOCKED) || question.text.starts_with(LOCKED)
}
