//! Which machines start and stop with the host.

use vsphere_model::types::{
    AutoStartDefaults, AutoStartPowerInfo, AutoStartWaitHeartbeatSetting, HostAutoStartManagerConfig,
};

use super::part;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::World;

pub(crate) const METHODS: Methods = &[("HostAutoStartManager", "ReconfigureAutostart", Handler::Write(reconfigure))];

const STOP_ACTIONS: [&str; 5] = ["none", "systemDefault", "powerOff", "suspend", "guestShutdown"];

/// The configuration of a fresh host.
pub(super) fn default() -> HostAutoStartManagerConfig {
    HostAutoStartManagerConfig {
        defaults: Some(Box::new(AutoStartDefaults {
            enabled: Some(false),
            start_delay: Some(120),
            stop_delay: Some(120),
            wait_for_heartbeat: Some(false),
            stop_action: Some("PowerOff".to_owned()),
        })),
        power_info: Vec::new(),
    }
}

/// What the call leaves out stays as it is, also in the defaults.
fn reconfigure(world: &mut World, call: &Call) -> Outcome<Reply> {
    let spec: HostAutoStartManagerConfig = call.arg("spec")?;
    let host = part::host(world, call)?;
    for info in &spec.power_info {
        let registered = host.vms.contains(&info.key);
        let stop = info.stop_action.to_ascii_lowercase();
        let known = stop.is_empty() || STOP_ACTIONS.iter().any(|action| action.eq_ignore_ascii_case(&stop));
        if !registered || !known {
            return Err(Fault::invalid_argument("spec.powerInfo"));
        }
    }
    let config = &mut part::edit_host(world, call)?.auto_start;
    if let (Some(new), Some(kept)) = (&spec.defaults, &mut config.defaults) {
        kept.enabled = new.enabled.or(kept.enabled);
        kept.start_delay = new.start_delay.or(kept.start_delay);
        kept.stop_delay = new.stop_delay.or(kept.stop_delay);
        kept.wait_for_heartbeat = new.wait_for_heartbeat.or(kept.wait_for_heartbeat);
        kept.stop_action = new.stop_action.clone().or(kept.stop_action.take());
    }
    for info in spec.power_info {
        config.power_info.retain(|other| other.key != info.key);
        // To start with the host or not is what the entry says, and one that says no is gone.
        if info.start_action.eq_ignore_ascii_case("none") {
            continue;
        }
        config.power_info.push(with_defaults(info));
    }
    config.power_info.sort_by_key(|info| if info.start_order < 0 { i32::MAX } else { info.start_order });
    Ok(Reply::NONE)
}

fn with_defaults(mut info: AutoStartPowerInfo) -> AutoStartPowerInfo {
    if info.stop_action.is_empty() {
        info.stop_action = "systemDefault".to_owned();
    }
    if String::from(info.wait_for_heartbeat.clone()).is_empty() {
        info.wait_for_heartbeat = AutoStartWaitHeartbeatSetting::SystemDefault;
    }
    info
}
