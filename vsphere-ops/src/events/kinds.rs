//! Types of events by what people write.

use vsphere_model::registry;
use vsphere_model::types::Event;
use vsphere_soap::object::DataType as _;

use crate::error::{Result, invalid};

/// How many types an error lists.
const MOST_LISTED: usize = 8;

/// The API's name of a type of events: with or without `Event` at its end, in whatever case. The id of an extended event has
/// a dot in it, and is taken as it is.
///
/// ```
/// use vsphere_ops::events::type_named;
///
/// assert_eq!(type_named("vmPoweredOn")?, "VmPoweredOnEvent");
/// assert_eq!(type_named("vim.event.VmPoweredOnEvent")?, "VmPoweredOnEvent");
/// assert_eq!(type_named("esx.problem.net.connectivity.lost")?, "esx.problem.net.connectivity.lost");
/// assert!(type_named("Reconfigured").unwrap_err().to_string().contains("VmReconfiguredEvent"));
/// # vsphere_ops::Result::Ok(())
/// ```
///
/// # Errors
/// `invalid_argument` if there is none, with those whose names contain it.
pub fn type_named(name: &str) -> Result<String> {
    let plain = name.trim();
    let plain = plain.strip_prefix("vim.event.").unwrap_or(plain);
    let known = || registry().types().iter().filter(|info| info.is_a(Event::INFO)).map(|info| info.name());
    let called = |wanted: &str| known().find(|known| known.eq_ignore_ascii_case(wanted));
    if let Some(found) = called(plain).or_else(|| called(&format!("{plain}Event"))) {
        return Ok(found.to_owned());
    }
    // An id, or a type of a server that is newer than the model.
    if plain.contains('.') || (plain.len() > "Event".len() && plain.ends_with("Event")) {
        return Ok(plain.to_owned());
    }
    let part = plain.to_lowercase();
    let mut near: Vec<&str> =
        known().filter(|known| !part.is_empty() && known.to_lowercase().contains(&part)).collect();
    near.sort_unstable();
    near.truncate(MOST_LISTED);
    let near = if near.is_empty() { String::new() } else { format!(": there are {}", near.join(", ")) };
    Err(invalid("read events", format!("no type of events is called {name:?}{near}")))
}
