//! What a model should do about a failure: one table from the tool that was called and the fact that made it fail.
//!
//! vsphere-ops says what failed and why; what to call next is said here alone. Advice names only tools that this server
//! offers to this caller.

mod table;

use std::{borrow::Cow, sync::Arc};

use vsphere_ops::{
    Cause, Error,
    types::{InvalidArgument, InvalidPowerState, VirtualMachinePowerState as State},
};

use self::table::TABLE;

use crate::{Server, Toolset, cx::Call};

tokio::task_local! {
    /// The call in whose course an error becomes an answer. A tool's body turns errors into answers by `?`, which can't be
    /// given the caller.
    static CALL: (Server, Arc<Call>);
}

/// Runs the work of a call, whose errors are answered with advice for this call.
pub(crate) async fn for_call<T>(server: &Server, call: &Arc<Call>, work: impl Future<Output = T>) -> T {
    CALL.scope((server.clone(), Arc::clone(call)), work).await
}

/// What to do about an error.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Advice {
    /// Nothing where nothing helps: no advice is better than one that does not fit.
    pub(super) text: Option<String>,
    /// Whether an argument of the tool is at fault.
    pub(super) is_about_an_argument: bool,
}

/// What to do about an error in the course of the present call.
pub(super) fn about(error: &Error) -> Advice {
    CALL.try_with(|(server, call)| {
        let toolset = server.catalog().get(call.tool).map(|entry| entry.tool.spec.toolset);
        advice(error, call.tool, toolset, |tool| server.may_call(tool, &call.visit))
    })
    .unwrap_or_else(|_| advice(error, "", None, |_| false))
}

fn advice(error: &Error, tool: &str, toolset: Option<Toolset>, offered: impl Fn(&str) -> bool) -> Advice {
    let Some(row) = TABLE.iter().find(|row| row.of.includes(tool, toolset) && row.when.fits(error)) else {
        return Advice::default();
    };
    let clauses: Vec<Cow<'_, str>> = row.says.iter().filter_map(|clause| spoken(clause, &offered)).collect();
    Advice {
        text: (!clauses.is_empty()).then(|| clauses.join("; ")),
        is_about_an_argument: matches!(row.when, When::Property(_)),
    }
}

/// The clause without the braces around the names of tools; `None` where one of these is not offered.
fn spoken<'a>(clause: &'a str, offered: impl Fn(&str) -> bool) -> Option<Cow<'a, str>> {
    tools(clause).all(offered).then(|| match clause.contains('{') {
        true => clause.replace(['{', '}'], "").into(),
        false => clause.into(),
    })
}

/// The names in braces.
fn tools(clause: &str) -> impl Iterator<Item = &str> {
    clause.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

/// Advice for one fact. The first row that fits is followed.
struct Row {
    of: Of,
    when: When,
    /// Clauses with the names of tools in braces; a clause is left out where one of its tools is not offered.
    says: &'static [&'static str],
}

/// Whose failures a row is about.
enum Of {
    Any,
    Tools(&'static [&'static str]),
    Toolset(Toolset),
}

impl Of {
    fn includes(&self, tool: &str, toolset: Option<Toolset>) -> bool {
        match self {
            Self::Any => true,
            Self::Tools(tools) => tools.contains(&tool),
            Self::Toolset(its) => Some(*its) == toolset,
        }
    }
}

/// What has made it fail.
enum When {
    /// This fault of the API, or one that extends it.
    Fault(&'static str),
    /// The VM is in this power state, in which the API refuses the operation.
    PowerState(State),
    /// The API refuses the value of the property whose path ends so.
    Property(&'static str),
    Cause(Cause),
    Is(fn(&Error) -> bool),
}

impl When {
    fn fits(&self, error: &Error) -> bool {
        match self {
            Self::Fault(name) => error.is_fault(name),
            Self::PowerState(state) => {
                error.fault::<InvalidPowerState>().is_some_and(|fault| fault.existing_state == *state)
            }
            Self::Property(last) => error
                .fault::<InvalidArgument>()
                .and_then(|fault| fault.invalid_property.as_deref())
                .is_some_and(|path| path.rsplit('.').next() == Some(last)),
            Self::Cause(cause) => error.cause() == Some(*cause),
            Self::Is(fits) => fits(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vsphere_ops::ErrorKind;
    use vsphere_ops::types::{LocalizedMethodFault, MethodFault, NoDiskSpace, Poly};

    use super::*;

    fn failed(fault: Poly<MethodFault>) -> Error {
        let fault = LocalizedMethodFault { fault, localized_message: None };
        Error::new("change", ErrorKind::Task(fault)).on("web-1")
    }

    fn refused_while(state: State) -> Error {
        failed(Poly::new(InvalidPowerState { existing_state: state, ..Default::default() }))
    }

    #[test]
    fn every_tool_that_advice_names_exists() {
        let all: BTreeSet<&str> = crate::tools::all().iter().map(|tool| tool.name).collect();
        for row in TABLE {
            if let Of::Tools(tools) = row.of {
                tools.iter().for_each(|tool| assert!(all.contains(*tool), "{tool}"));
            }
            for clause in row.says {
                tools(clause).for_each(|tool| assert!(all.contains(tool), "{clause:?}"));
                // A name out of braces would be told to everyone.
                let words = clause.split(|c: char| !c.is_alphanumeric() && !"_{}".contains(c));
                words.for_each(|word| assert!(!all.contains(word), "{clause:?}"));
            }
        }
    }

    #[test]
    fn every_fault_that_advice_is_about_exists() {
        for row in TABLE {
            if let When::Fault(name) = row.when {
                assert!(vsphere_model::registry().find(name).is_some(), "{name}");
            }
        }
    }

    fn text(advice: Advice) -> String {
        advice.text.unwrap()
    }

    #[test]
    fn advice_names_no_tool_that_is_not_offered() {
        let error = failed(Poly::new(NoDiskSpace::default()));
        let all = text(advice(&error, "add_disk", Some(Toolset::Disks), |_| true));
        assert_eq!(all, "free space there or choose another datastore; get_datastore_info tells how much is free");
        let none = text(advice(&error, "add_disk", Some(Toolset::Disks), |_| false));
        assert_eq!(none, "free space there or choose another datastore");
        let off = refused_while(State::PoweredOff);
        assert_eq!(advice(&off, "reboot_guest", Some(Toolset::Power), |_| false).text, None);
        assert_eq!(text(about(&error)), none, "outside of a call nothing is known to be offered");
    }

    #[test]
    fn advice_about_a_power_state_depends_on_the_tool() {
        let told = |state, toolset| text(advice(&refused_while(state), "", Some(toolset), |_| true));
        assert_eq!(told(State::PoweredOff, Toolset::Power), "power_on_vm starts it");
        assert_eq!(told(State::Suspended, Toolset::Power), "power_on_vm resumes it");
        assert!(told(State::PoweredOn, Toolset::Disks).contains("shutdown_guest or power_off_vm first"));
        assert!(told(State::Suspended, Toolset::Disks).starts_with("the VM must be off"));
    }

    #[test]
    fn advice_about_a_refused_property_names_the_argument() {
        let refused = InvalidArgument { invalid_property: Some("configSpec.guestId".into()), ..Default::default() };
        let error = failed(Poly::new(refused));
        let told = advice(&error, "create_vm", Some(Toolset::Vm), |_| true);
        assert!(told.is_about_an_argument && text(told).starts_with("guest_id must be"));
        assert_eq!(
            advice(&error, "add_disk", Some(Toolset::Disks), |_| true),
            Advice::default(),
            "it has no such argument"
        );
    }

    #[test]
    fn a_fault_without_advice_has_none() {
        assert_eq!(advice(&failed(Poly::new(MethodFault::default())), "add_disk", None, |_| true), Advice::default());
    }
}
