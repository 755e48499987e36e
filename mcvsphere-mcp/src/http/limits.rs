//! How often an address may send requests, and how often ones that are refused.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::RETRY_AFTER};

use super::{Remote, authenticate::Door};

/// The limits of each address.
pub(crate) struct Limits {
    requests: Buckets,
    /// What is asked before there is a token.
    logins: Buckets,
    refusals: Buckets,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: Buckets::new(2000, Duration::from_millis(2)),
            // Some twenty users of one address may log in at once.
            logins: Buckets::new(200, Duration::from_millis(200)),
            refusals: Buckets::new(20, Duration::from_secs(3)),
        }
    }
}

impl Limits {
    /// Counts a token that was refused. Answers how long to wait where there were too many.
    ///
    /// A good token is never asked about: those who share an address with an attacker are served.
    pub(super) fn refused(&self, address: IpAddr) -> Option<Duration> {
        self.refusals.take(address, Instant::now())
    }
}

/// Refuses what an address sends too much of.
pub(super) async fn bound(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let remote = request.extensions().get::<Remote>();
    match remote.and_then(|remote| door.limits.requests.take(remote.address, Instant::now())) {
        Some(wait) => too_many(wait),
        None => next.run(request).await,
    }
}

/// Refuses what an address asks too much of before it has a token.
pub(super) async fn bound_logins(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let remote = request.extensions().get::<Remote>();
    match remote.and_then(|remote| door.limits.logins.take(remote.address, Instant::now())) {
        Some(wait) => too_many(wait),
        None => next.run(request).await,
    }
}

/// The answer to one that is too many.
pub(super) fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_secs().max(1).to_string();
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds)], "Too Many Requests").into_response()
}

/// The most addresses that are remembered.
const MOST: usize = 8192;

/// A bucket for each address, which fills with time.
struct Buckets {
    most: u32,
    /// How long one more takes.
    each: Duration,
    /// When each bucket is full again.
    full_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl Buckets {
    fn new(most: u32, each: Duration) -> Self {
        Self { most, each, full_at: Mutex::default() }
    }

    /// Takes one, or says how long to wait for it.
    fn take(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= MOST {
            full_at.retain(|_, full| *full > now);
            // So many at once are an attack from many addresses, against which no memory helps.
            if full_at.len() >= MOST {
                full_at.clear();
            }
        }
        let full = full_at.entry(network(address)).or_insert(now);
        let then = (*full).max(now) + self.each;
        let whole = self.each * self.most;
        match then.duration_since(now).checked_sub(whole) {
            Some(wait) if !wait.is_zero() => Some(wait),
            _ => {
                *full = then;
                None
            }
        }
    }
}

/// The address, or of one of IPv6 the network, in which a client chooses its addresses at will.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_for_each_address() {
        let buckets = Buckets::new(3, Duration::from_secs(2));
        let now = Instant::now();
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        for _ in 0..3 {
            assert_eq!(buckets.take(one, now), None);
        }
        assert_eq!(buckets.take(one, now), Some(Duration::from_secs(2)));
        assert_eq!(buckets.take(other, now), None);
        assert_eq!(buckets.take(one, now + Duration::from_secs(2)), None);
        assert!(buckets.take(one, now + Duration::from_secs(2)).is_some());
    }

    #[test]
    fn memory_is_bounded_and_a_network_of_ipv6_is_one_address() {
        let buckets = Buckets::new(1, Duration::from_secs(60));
        let now = Instant::now();
        for number in 0..20_000u32 {
            buckets.take(IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(buckets.full_at.lock().unwrap().len() <= MOST);
        let [a, b] = ["2001:db8::1", "2001:db8::2"].map(|address| address.parse().unwrap());
        assert_eq!(buckets.take(a, now), None);
        assert!(buckets.take(b, now).is_some());
    }
}
