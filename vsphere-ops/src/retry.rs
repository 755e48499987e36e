//! When a request is sent again, and when it is not.

use std::time::Duration;

use tokio::time::Instant;
use vsphere_soap::error::WaitingFor;
use vsphere_soap::{Error as WireError, ErrorKind as WireKind, Sent};

/// The wait before the first repetition; doubled for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest wait that a server's `Retry-After` is followed for; who asks for more is reported instead.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The repetitions of one request.
#[derive(Debug)]
pub(crate) struct Retry {
    left: u32,
    wait: Duration,
    ends: Option<Instant>,
}

impl Retry {
    /// At most `attempts` in all, none of which begins after `ends`.
    pub(crate) fn new(attempts: u32, ends: Option<Instant>) -> Self {
        Self { left: attempts.saturating_sub(1), wait: FIRST_WAIT, ends }
    }

    /// How long to wait before the request is sent again; nothing where it is not, and the error is the answer.
    ///
    /// A request that does no harm when it is carried out twice is always safe to repeat; another one only where it surely
    /// was not carried out.
    pub(crate) fn pause(&mut self, error: &WireError, harmless: bool) -> Option<Duration> {
        let safe = harmless || error.sent() == Sent::No;
        if self.left == 0 || !safe || !may_pass(error) {
            return None;
        }
        // Spread out, so that many clients of a server that comes back do not come at once.
        let spread = fastrand::f64();
        let pause = match error.retry_after() {
            Some(asked) if asked > LONGEST_WAIT => return None,
            Some(asked) => asked + FIRST_WAIT.mul_f64(spread),
            None => self.wait.mul_f64(0.75 + spread / 2.0),
        };
        if self.ends.is_some_and(|ends| Instant::now() + pause >= ends) {
            return None;
        }
        self.left -= 1;
        self.wait *= 2;
        Some(pause)
    }
}

/// Whether the failure may pass in a moment. A server that was silent for the whole time limit is not asked again.
fn may_pass(error: &WireError) -> bool {
    match error.kind() {
        WireKind::Timeout { waiting_for, .. } => *waiting_for == WaitingFor::Connection,
        WireKind::NoSession(_) => false,
        _ => error.is_retryable(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use vsphere_model::managed::{
        event_history_collector, event_manager, folder, ovf_manager, performance_manager, property_collector,
        search_index, service_instance, session_manager, view_manager, virtual_machine,
    };

    use super::*;

    fn http(status: u16, retry_after: Option<u64>) -> WireError {
        let retry_after = retry_after.map(Duration::from_secs);
        WireError::new("x", WireKind::Http { status, snippet: String::new(), retry_after })
    }

    fn cut() -> WireError {
        let source = io::Error::from(io::ErrorKind::ConnectionReset);
        WireError::new("x", WireKind::Interrupted { received: 0, source })
    }

    #[test]
    fn only_what_is_safe_is_repeated() {
        for (error, reads, expected) in [
            (http(503, None), false, true),
            (http(429, None), false, true),
            (http(502, None), false, false),
            (http(502, None), true, true),
            (cut(), false, false),
            (cut(), true, true),
            (cut().with_sent(Sent::Yes), true, true),
            (http(404, None), true, false),
            (http(500, None), true, false),
        ] {
            assert_eq!(Retry::new(2, None).pause(&error, reads).is_some(), expected, "{error} {reads}");
        }
    }

    #[test]
    fn waits_grow_and_end() {
        let mut retry = Retry::new(3, None);
        let waits: Vec<_> = std::iter::from_fn(|| retry.pause(&http(503, None), false)).collect();
        assert_eq!(waits.len(), 2);
        assert!(waits[0] < Duration::from_millis(320) && waits[1] > Duration::from_millis(370), "{waits:?}");
        assert!(Retry::new(1, None).pause(&http(503, None), true).is_none());
    }

    #[test]
    fn the_server_says_how_long_but_not_for_ever() {
        let wait = Retry::new(2, None).pause(&http(503, Some(2)), false).unwrap();
        assert!(wait >= Duration::from_secs(2) && wait < Duration::from_secs(3), "{wait:?}");
        assert!(Retry::new(2, None).pause(&http(503, Some(31)), false).is_none());
        let soon = Some(Instant::now() + Duration::from_secs(1));
        assert!(Retry::new(2, soon).pause(&http(503, Some(2)), false).is_none(), "the deadline is before that");
    }

    #[test]
    fn the_api_says_which_methods_may_be_carried_out_twice() {
        for method in [
            &property_collector::method::RETRIEVE_PROPERTIES_EX,
            &property_collector::method::WAIT_FOR_UPDATES_EX,
            &performance_manager::method::QUERY_PERF,
            &search_index::method::FIND_BY_UUID,
            &service_instance::method::CURRENT_TIME,
            // What ends with the session is seen by nobody else.
            &property_collector::method::CREATE_PROPERTY_COLLECTOR,
            &property_collector::method::CREATE_FILTER,
            &view_manager::method::CREATE_CONTAINER_VIEW,
            // No name tells these.
            &ovf_manager::method::CREATE_IMPORT_SPEC,
            &session_manager::method::SESSION_IS_ACTIVE,
        ] {
            assert!(method.effect.is_repeatable(), "{}", method.name);
        }
        for method in [
            // These take something away each time.
            &property_collector::method::CONTINUE_RETRIEVE_PROPERTIES_EX,
            &event_history_collector::method::READ_NEXT_EVENTS,
            &event_manager::method::CREATE_COLLECTOR_FOR_EVENTS,
            &virtual_machine::method::POWER_ON_VM_TASK,
            &folder::method::CREATE_FOLDER,
            &session_manager::method::LOGIN,
        ] {
            assert!(!method.effect.is_repeatable(), "{}", method.name);
        }
    }
}
