//! Which methods are simulated, and who carries out each.

use std::collections::HashMap;
use std::sync::OnceLock;

use vsphere_model::registry;
use vsphere_soap::object::ManagedInfo;
use vsphere_soap::request::Method;

use crate::call::{Handler, Methods};
use crate::collector::FETCH;
use crate::objects::datastore::virtual_disk_manager::QUERY_DISK_INFO;
use crate::{collector, objects, view};

/// Methods that servers have though no WSDL describes them.
static UNDESCRIBED: [&Method; 2] = [&FETCH, &QUERY_DISK_INFO];

/// A method of the API, or one that servers have beside it.
pub(crate) fn described(name: &str) -> Option<&'static Method> {
    UNDESCRIBED.into_iter().find(|method| method.name == name).or_else(|| registry().method(name))
}

/// The handler of a method on an object of this type: that of the type itself, or of the nearest that it extends.
pub(crate) fn find(of: &ManagedInfo, method: &str) -> Option<Handler> {
    let table = table();
    let of_type = |name| table.get(&(name, method)).copied();
    of.lineage().find_map(|info| of_type(info.name)).or_else(|| of_type("*"))
}

/// Whether a method of this type is simulated.
pub(crate) fn is_simulated(owner: &str, method: &str) -> bool {
    all().any(|(of, name, _)| name == method && (of == owner || overrides(of, owner)))
}

/// Whether `of` extends `owner`: what the base declares may be simulated for what extends it.
fn overrides(of: &str, owner: &str) -> bool {
    registry().managed(of).is_some_and(|info| info.is_named(owner))
}

fn all() -> impl Iterator<Item = (&'static str, &'static str, Handler)> {
    let tables: Vec<Methods> =
        [collector::METHODS, view::METHODS].into_iter().chain(objects::METHODS.iter().copied()).collect();
    tables.into_iter().flatten().copied()
}

fn table() -> &'static HashMap<(&'static str, &'static str), Handler> {
    static TABLE: OnceLock<HashMap<(&'static str, &'static str), Handler>> = OnceLock::new();
    TABLE.get_or_init(|| all().map(|(of, name, handler)| ((of, name), handler)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_tables_names_a_method_of_the_api_and_a_type_that_has_it() {
        for (of, name, _) in all() {
            if of == "*" {
                continue;
            }
            let method = described(name).unwrap_or_else(|| panic!("there is no method {name}"));
            let info = registry().managed(of).unwrap_or_else(|| panic!("there is no managed object {of}"));
            assert!(info.is_named(method.owner), "{name} is a method of {}, not of {of}", method.owner);
        }
    }

    #[test]
    fn no_method_has_two_handlers() {
        let mut seen = std::collections::HashSet::new();
        for (of, name, _) in all() {
            assert!(seen.insert((of, name)), "{of}.{name} stands twice");
        }
    }
}
