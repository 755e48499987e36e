//! What methods do to the server, laid over an API: `wsdl/effects.json`, which is written by hand.
//!
//! Neither the WSDL nor the metadata of pyVmomi says it. Names do not: `CreateImportSpec` creates nothing on the server, and
//! `SessionIsActive` starts with no verb. Privileges do not either: `RefreshDatastore` needs no more than `System.Read`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::ir::{Api, Effect};

/// The file: names of methods. A method that it does not name changes something.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Effects {
    /// These change nothing, however often they are carried out.
    reads: BTreeSet<String>,
    /// These make what ends with the session and is visible to it alone.
    session: BTreeSet<String>,
}

/// Gives the methods of an API their effects.
///
/// # Errors
/// The file is missing, malformed, or contradicts itself.
pub(crate) fn lay_over(api: &mut Api, path: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let effects: Effects = serde_json::from_str(&text).with_context(|| format!("malformed {}", path.display()))?;
    for name in &effects.reads {
        ensure!(!effects.session.contains(name), "`{name}` has two effects in {}", path.display());
        ensure!(!name.ends_with("_Task"), "`{name}` starts a task, which {} calls a read", path.display());
    }
    for method in api.managed.iter_mut().flat_map(|object| &mut object.methods).chain(&mut api.loose) {
        method.effect = match method.name.as_str() {
            name if effects.reads.contains(name) => Effect::Reads,
            name if effects.session.contains(name) => Effect::Session,
            _ => Effect::Changes,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_file_is_that_of_a_method() {
        let api = crate::read_api(None).unwrap();
        let methods: BTreeSet<&str> =
            api.managed.iter().flat_map(|object| &object.methods).map(|method| method.name.as_str()).collect();
        let text = std::fs::read_to_string(crate::workspace("wsdl/effects.json")).unwrap();
        let effects: Effects = serde_json::from_str(&text).unwrap();
        let unknown: Vec<&String> =
            effects.reads.union(&effects.session).filter(|name| !methods.contains(name.as_str())).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn a_method_has_the_effect_that_the_file_gives_it() {
        let mut api = Api::default();
        api.loose = ["QueryPerf", "CreateFilter", "CreateFolder"].map(crate::ir::Method::new).to_vec();
        lay_over(&mut api, &crate::workspace("wsdl/effects.json")).unwrap();
        let effects: Vec<Effect> = api.loose.iter().map(|method| method.effect).collect();
        assert_eq!(effects, [Effect::Reads, Effect::Session, Effect::Changes]);
    }
}
