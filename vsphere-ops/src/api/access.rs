//! What a caller has to be allowed for a method.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Serialize;
use vsphere_soap::object::Type;
use vsphere_soap::request::Method;

/// What calling a method means. Its name does not tell: `AcquireTicket` opens a console, `ExportVm` locks a VM.
///
/// ```
/// use vsphere_ops::api::Access;
///
/// let of = |method| vsphere_model::registry().method(method).map(Access::of);
/// assert_eq!(of("QueryPerf"), Some(Access::Read));
/// assert_eq!(of("PowerOnVM_Task"), Some(Access::Change));
/// assert_eq!(of("Login"), Some(Access::Withheld));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// It only looks, and what it shows is for everyone who may look: it stands in a list that says why.
    Read,
    /// It changes something, or what it shows is not for everyone.
    Change,
    /// It is not offered.
    Withheld,
}

impl Access {
    /// That of a method.
    pub fn of(method: &Method) -> Self {
        match (why_withheld(method), why_read(method.name)) {
            (Some(_), _) => Self::Withheld,
            (None, Some(_)) => Self::Read,
            (None, None) => Self::Change,
        }
    }

    /// That of the method of this name (`PowerOnVM_Task`, also `VirtualMachine.PowerOnVM_Task`); `None` where there is none.
    ///
    /// ```
    /// use vsphere_ops::api::Access;
    ///
    /// assert_eq!(Access::named("VirtualMachine.PowerOnVM_Task"), Some(Access::Change));
    /// ```
    pub fn named(method: &str) -> Option<Self> {
        super::method(method).map(Self::of)
    }

    /// Why a method has another access than one would think: why it is a read, or why it is withheld.
    pub(super) fn reason(method: &Method) -> Option<&'static str> {
        why_withheld(method).or_else(|| why_read(method.name))
    }
}

/// The methods that only look, each with what makes it one. A method that is not here changes something as far as anybody knows.
const READS: &str = include_str!("reads.txt");

/// The methods that are not offered, besides those that take the credentials of a guest.
const WITHHELD: [(&str, &str); 25] = [
    ("AcquireCimServicesTicket", TICKET),
    ("AcquireCloneTicket", TICKET),
    ("AcquireGenericServiceTicket", TICKET),
    ("AcquireLocalTicket", TICKET),
    ("AcquireMksTicket", TICKET),
    ("AcquireTicket", TICKET),
    ("CancelRetrievePropertiesEx", PAGES),
    ("CancelWaitForUpdates", UPDATES),
    ("CheckForUpdates", UPDATES),
    ("CloneSession", SESSION),
    ("ContinueRetrievePropertiesEx", PAGES),
    ("DestroyPropertyCollector", UPDATES),
    ("ImpersonateUser", SESSION),
    ("Login", SESSION),
    ("LoginBySSPI", SESSION),
    ("LoginByToken", SESSION),
    ("LoginExtensionByCertificate", SESSION),
    ("LoginExtensionBySubjectName", SESSION),
    ("Logout", SESSION),
    ("RetrievePropertiesEx", PAGES),
    ("SessionIsActive", SESSION),
    ("SetLocale", SESSION),
    ("TerminateSession", SESSION),
    ("WaitForUpdates", UPDATES),
    ("WaitForUpdatesEx", UPDATES),
];

const SESSION: &str = "it is about sessions, and this one is shared";
const TICKET: &str = "its answer is a ticket, which lets whoever reads it in";
const GUEST: &str = "it takes credentials of a guest, which have to go through operations that know them as secrets";
const UPDATES: &str = "it would take the updates, or the collector, of those who watch in this session";
const PAGES: &str = "it leaves a token on the server: read properties, or call RetrieveProperties";

/// Why a method is not offered, where it is not.
fn why_withheld(method: &Method) -> Option<&'static str> {
    let by_name = WITHHELD.binary_search_by_key(&method.name, |(name, _)| name).ok();
    let by_name = by_name.and_then(|index| WITHHELD.get(index)).map(|(_, why)| *why);
    by_name.or_else(|| {
        let is_guest =
            |ty| matches!(ty, Type::Data(info) if info.lineage().any(|info| info.name() == "GuestAuthentication"));
        method.params.iter().any(|param| is_guest(param.ty)).then_some(GUEST)
    })
}

/// Why a method is a read, where it is one.
fn why_read(name: &str) -> Option<&'static str> {
    static BY_NAME: LazyLock<HashMap<&str, &str>> =
        LazyLock::new(|| READS.lines().filter_map(|line| line.split_once(": ")).collect());
    BY_NAME.get(name).copied()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use vsphere_soap::request::Effect;

    use super::*;

    fn of(name: &str) -> Access {
        Access::of(vsphere_model::registry().method(name).unwrap())
    }

    #[test]
    fn reads_are_methods_that_change_nothing_each_with_its_reason() {
        let names: Vec<&str> = READS.lines().map(|line| line.split_once(": ").unwrap().0).collect();
        assert!(names.is_sorted() && names.len() > 200, "{}", names.len());
        for line in READS.lines() {
            let (name, why) = line.split_once(": ").unwrap();
            let method = vsphere_model::registry().method(name).unwrap_or_else(|| panic!("{name} is no method"));
            assert_eq!(method.effect, Effect::Reads, "{name}");
            assert!(why.len() > 5, "{name} has no reason");
            assert_eq!(why_withheld(method), None, "{name}");
        }
    }

    #[test]
    fn names_do_not_tell() {
        for name in ["ExportVm", "QueryConnectionInfo", "QueryFirmwareConfigUploadURL", "BrowseDiagnosticLog"] {
            assert_eq!(of(name), Access::Change, "{name}");
        }
        for name in ["RetrieveAnswerFile", "CustomizationSpecItemToXml", "ReadNextEvents", "CreateContainerView"] {
            assert_eq!(of(name), Access::Change, "{name}");
        }
    }

    #[test]
    fn sessions_tickets_and_guests_are_withheld() {
        assert!(WITHHELD.is_sorted());
        let all = vsphere_model::registry().methods();
        for (name, _) in WITHHELD {
            assert!(all.iter().any(|method| method.name == name), "{name} is no method");
        }
        let withheld: Vec<&str> =
            all.iter().filter(|method| Access::of(method) == Access::Withheld).map(|method| method.name).collect();
        for method in all {
            let is_delicate = ["Login", "Logout", "Session", "Ticket", "Impersonate", "CredentialsInGuest"];
            if is_delicate.iter().any(|word| method.name.contains(word)) {
                assert!(withheld.contains(&method.name), "{}", method.name);
            }
            let is_secret = method.result.is_some_and(|result| result.secret);
            assert!(!is_secret || withheld.contains(&method.name), "{} answers a secret", method.name);
        }
        for name in ["StartProgramInGuest", "ListFilesInGuest", "InitiateFileTransferToGuest"] {
            assert!(withheld.contains(&name), "{name}");
        }
    }
}
