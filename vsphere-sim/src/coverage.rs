//! What is simulated, and what is not.

use vsphere_model::registry;

use crate::methods;

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
