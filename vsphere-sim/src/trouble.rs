//! Hard times on demand: what a client must survive, when a test wants it to.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vsphere_model::registry;
use vsphere_model::types::{MethodFault, Object, Poly};

use crate::fault::{Fault, Outcome};

/// What a simulated server does to its clients.
///
/// It is a part of the model from the start ([`Model::trouble`](crate::Model::trouble)), or comes later
/// ([`Sim::trouble`](crate::Sim::trouble)).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use std::time::Duration;
/// use vsphere_sim::{Model, Sim, Trouble};
///
/// let sim = Sim::start(Model::demo()).await?;
/// // Each answer takes 50 ms, and the first two power-ons fail.
/// sim.trouble(Trouble::none().latency(Duration::from_millis(50)).fail("PowerOnVM_Task", "InsufficientResourcesFault", 2));
/// // What follows is well again.
/// sim.trouble(Trouble::none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    latency: Duration,
    faults: Vec<Failure>,
    drop_every: Option<u32>,
    busy_every: Option<u32>,
    lose_session_every: Option<u32>,
}

#[derive(Debug, Clone)]
struct Failure {
    method: String,
    fault: String,
    left: u32,
}

impl Trouble {
    /// A server that is well.
    pub fn none() -> Self {
        Self::default()
    }

    /// Each answer takes this much longer.
    #[must_use]
    pub fn latency(mut self, time: Duration) -> Self {
        self.latency = time;
        self
    }

    /// The next calls of a method (`PowerOnVM_Task`, or `*` for any but those of the session) end in this fault
    /// (`InsufficientResourcesFault`), so many `times`. A fault that the API does not know becomes a `MethodFault`. So do
    /// those of an operation of the Automation API (`com.vmware.cis.tagging.tag.get`) in an error (`SERVICE_UNAVAILABLE`).
    #[must_use]
    pub fn fail(mut self, method: &str, fault: &str, times: u32) -> Self {
        self.faults.push(Failure { method: method.to_owned(), fault: fault.to_owned(), left: times });
        self
    }

    /// Every `nth` request is not answered: its connection is closed. Whether it was carried out, the client can't tell:
    /// it was.
    #[must_use]
    pub fn drop_every(mut self, nth: u32) -> Self {
        self.drop_every = Some(nth).filter(|nth| *nth > 0);
        self
    }

    /// Every `nth` request is answered with HTTP's 503, and not carried out.
    #[must_use]
    pub fn busy_every(mut self, nth: u32) -> Self {
        self.busy_every = Some(nth).filter(|nth| *nth > 0);
        self
    }

    /// Every `nth` request finds that its session has ended: it is answered with `NotAuthenticated`, as is each that comes
    /// with the same cookie later.
    #[must_use]
    pub fn lose_session_every(mut self, nth: u32) -> Self {
        self.lose_session_every = Some(nth).filter(|nth| *nth > 0);
        self
    }
}

/// The trouble that a server makes at present, and how often each method was called.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    trouble: Trouble,
    requests: u32,
    calls: HashMap<&'static str, u64>,
}

/// What happens to a request.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) latency: Duration,
    /// The connection is closed in the place of an answer.
    pub(crate) dropped: bool,
    pub(crate) busy: bool,
    /// The session of the request ends before it is read.
    pub(crate) session_lost: bool,
}

impl Troubles {
    /// Makes this trouble from now on, and no other.
    pub(crate) fn set(&self, trouble: Trouble) {
        self.lock().trouble = trouble;
    }

    /// What happens to the next request.
    pub(crate) fn fate(&self) -> Fate {
        let mut state = self.lock();
        state.requests = state.requests.wrapping_add(1);
        let hit = |every: Option<u32>| every.is_some_and(|nth| state.requests.is_multiple_of(nth));
        Fate {
            latency: state.trouble.latency,
            dropped: hit(state.trouble.drop_every),
            busy: hit(state.trouble.busy_every),
            session_lost: hit(state.trouble.lose_session_every),
        }
    }

    /// Counts a call.
    ///
    /// # Errors
    /// The fault that is due for this method.
    pub(crate) fn call(&self, method: &'static str) -> Outcome<()> {
        let mut state = self.lock();
        *state.calls.entry(method).or_default() += 1;
        let of_session = ["Login", "Logout", "RetrieveServiceContent"].contains(&method);
        let due = |failure: &&mut Failure| {
            failure.left > 0 && (failure.method == method || failure.method == "*" && !of_session)
        };
        let Some(failure) = state.trouble.faults.iter_mut().find(due) else { return Ok(()) };
        failure.left -= 1;
        Err(Fault::of(fault_named(&failure.fault), "This fault was asked for."))
    }

    /// Counts a call of an operation of the Automation API; the error (`SERVICE_UNAVAILABLE`) that is due for it.
    pub(crate) fn api_call(&self, operation: &'static str) -> Option<String> {
        let mut state = self.lock();
        *state.calls.entry(operation).or_default() += 1;
        let due = |failure: &&mut Failure| failure.left > 0 && failure.method == operation;
        let failure = state.trouble.faults.iter_mut().find(due)?;
        failure.left -= 1;
        Some(failure.fault.clone())
    }

    /// How often a method was called.
    pub(crate) fn calls(&self, method: &str) -> u64 {
        self.lock().calls.get(method).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn fault_named(name: &str) -> Poly<MethodFault> {
    let object = registry().data(name).map(|info| Object::with_unknown(info.instance(), None));
    object.and_then(|object| object.try_into().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_comes_as_often_as_it_was_asked_for() {
        let troubles = Troubles::default();
        troubles.set(Trouble::none().fail("PowerOnVM_Task", "InvalidState", 2));
        assert!(troubles.call("PowerOffVM_Task").is_ok());
        for _ in 0..2 {
            let fault = troubles.call("PowerOnVM_Task").unwrap_err().into_soap();
            assert!(fault.is_named("InvalidState"));
        }
        assert!(troubles.call("PowerOnVM_Task").is_ok());
        assert_eq!((troubles.calls("PowerOnVM_Task"), troubles.calls("Login")), (3, 0));
    }

    #[test]
    fn a_session_opens_where_every_call_fails() {
        let troubles = Troubles::default();
        troubles.set(Trouble::none().fail("*", "NotAFault", 1));
        assert!(troubles.call("Login").is_ok());
        assert!(troubles.call("FindByUuid").unwrap_err().into_soap().is_named("MethodFault"));
    }

    #[test]
    fn every_third_request_is_dropped() {
        let troubles = Troubles::default();
        troubles.set(Trouble::none().drop_every(3));
        let dropped: Vec<bool> = (0..6).map(|_| troubles.fate().dropped).collect();
        assert_eq!(dropped, [false, false, true, false, false, true]);
    }
}
