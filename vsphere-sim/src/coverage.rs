//! What is simulated, and what is not.

use std::collections::HashSet;
use std::io;

use vsphere_model::registry;

use crate::core::Core;
use crate::world::Look;
use crate::{Model, methods};

/// A method of the API, and whether the simulator carries it out. What it does not answers `NotSupported`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// The type that has the method (`VirtualMachine`).
    pub owner: &'static str,
    /// The method on the wire (`PowerOnVM_Task`).
    pub method: &'static str,
    /// Whether it is simulated.
    pub simulated: bool,
}

/// All methods of the API, by owner and name.
///
/// ```
/// let login = vsphere_sim::coverage().into_iter().find(|it| it.owner == "SessionManager" && it.method == "Login");
/// assert!(login.is_some_and(|login| login.simulated));
/// ```
pub fn coverage() -> Vec<Coverage> {
    let methods = registry().methods().iter();
    let mut all: Vec<Coverage> = methods
        .map(|method| Coverage {
            owner: method.owner,
            method: method.name,
            simulated: methods::is_simulated(method.owner, method.name),
        })
        .collect();
    all.sort_by_key(|it| (it.owner, it.method));
    all
}

/// How many properties of managed objects have a value in the inventory of [`Model::demo`], and how many the API has. Those that
/// types inherit are counted where they are declared.
///
/// ```
/// let (set, all) = vsphere_sim::properties_set()?;
/// assert!(set > 100 && set < all);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The inventory can't be made.
pub fn properties_set() -> io::Result<(usize, usize)> {
    let core = Core::new(&Model::demo())?;
    let world = core.read();
    let mut set = HashSet::new();
    for object in world.references() {
        let Some(found) = world.find(object) else { continue };
        let look = Look { world: &world, me: object, session: None };
        for declaring in found.info().lineage() {
            for property in declaring.own_properties {
                let key = (declaring.name, property.name);
                if !set.contains(&key) && !found.read(&look, property.name).value().is_unset() {
                    set.insert(key);
                }
            }
        }
    }
    let all = registry().managed_objects().iter().map(|info| info.own_properties.len()).sum();
    Ok((set.len(), all))
}
