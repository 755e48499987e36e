//! Types of events by what people write.

use vsphere_model::registry;
use vsphere_model::types::Event;
use vsphere_soap::object::DataType as _;

use crate::error::{Result, invalid};

/// How many types an error lists.
const MOST_LISTED: usize = 8;

/// The API's names of a type of events, with or without `Event` at its end and in whatever case, and of all types that extend
/// it: a server may compare types letter by letter, and what DRS starts is a `DrsVmPoweredOnEvent`. The id of an
/// extended event has a dot in it, and is taken as it is.
///
/// ```
/// use vsphere_ops::events::types_named;
///
/// assert_eq!(
///     types_named("vmPoweredOn")?,
///     ["VmPoweredOnEvent", "DrsVmPoweredOnEvent", "VmRestartedOnAlternateHostEvent"]
/// );
/// assert_eq!(types_named("vim.event.VmReconfiguredEvent")?, ["VmReconfiguredEvent"]);
/// assert_eq!(types_named("esx.problem.net.connectivity.lost")?, ["esx.problem.net.connectivity.lost"]);
/// assert!(types_named("Reconfigured").unwrap_err().to_string().contains("VmReconfiguredEvent"));
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
///
/// # Errors
/// `invalid_argument` for an unknown name, with the known ones that contain it.
pub fn types_named(name: &str) -> Result<Vec<String>> {
    let plain = name.trim();
    let plain = plain.strip_prefix("vim.event.").unwrap_or(plain);
    let known = || registry().types().iter().filter(|info| info.is_a(Event::INFO));
    let called = |wanted: &str| known().find(|info| info.name().eq_ignore_ascii_case(wanted));
    if let Some(found) = called(plain).or_else(|| called(&format!("{plain}Event"))) {
        let extending = known().filter(|info| info.is_a(found) && info.name() != found.name());
        return Ok(std::iter::once(found).chain(extending).map(|info| info.name().to_owned()).collect());
    }
    // An id, or a type of a server that is newer than the model.
    if plain.contains('.') || (plain.len() > "Event".len() && plain.ends_with("Event")) {
        return Ok(vec![plain.to_owned()]);
    }
    let part = plain.to_lowercase();
    let is_near = |name: &&str| !part.is_empty() && name.to_lowercase().contains(&part);
    let mut near: Vec<&str> = known().map(|info| info.name()).filter(is_near).collect();
    // Most are asked for because of a VM.
    near.sort_unstable_by_key(|name| (!name.starts_with("Vm"), *name));
    near.truncate(MOST_LISTED);
    let near = if near.is_empty() { String::new() } else { format!(": there are {}", near.join(", ")) };
    Err(invalid("read events", format!("no type of events is called {name:?}{near}")))
}
