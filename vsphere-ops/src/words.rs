//! States of the API as the words that reports have for them.

use serde::Serializer;
use vsphere_model::types::VirtualMachinePowerState;

/// Writes `powered_on`, `powered_off` or `suspended`.
pub(crate) fn power_state<S: Serializer>(state: &VirtualMachinePowerState, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(crate::vm::power_state_name(state))
}
