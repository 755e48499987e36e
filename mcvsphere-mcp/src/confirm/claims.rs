//! Where the processes of one server note which confirmation tokens are used, so that each is good once for all of them.
//!
//! A claim is one atomic step of the store: a file that must not exist yet (`files`), or `SET … NX` (`redis`). Where the store fails
//! nothing is granted, since another process may have granted it.

mod files;
mod redis;

use std::{fmt, time::Duration};

use futures::future::BoxFuture;
use tokio::time::timeout;

use super::PATIENCE;
use crate::settings::ClaimsPlace;
use files::Files;
use redis::Redis;

/// How long a claim is kept: as long as a token is good, and as long again, for clocks that differ.
const KEPT: Duration = Duration::from_secs(2 * PATIENCE.as_secs());

/// How long the store may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// A store of claims.
pub(crate) enum Claims {
    Files(Files),
    Redis(Box<Redis>),
}

/// Why nothing is known of a claim, as the store says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoClaims(String);

impl fmt::Display for NoClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Claims {
    /// The store at this place. A directory must be one that this process can write to; Redis is asked when it is needed.
    ///
    /// # Errors
    /// The place can't be used.
    pub(crate) fn open(place: ClaimsPlace) -> Result<Self, NoClaims> {
        Ok(match place {
            ClaimsPlace::Directory(directory) => Self::Files(Files::open(directory)?),
            ClaimsPlace::Redis(url) => Self::Redis(Box::new(Redis::open(url.as_str())?)),
        })
    }

    /// Claims a token by its number. The answer is whether nobody has before; `who` is kept with the claim, and shown to nobody.
    ///
    /// # Errors
    /// The store does not say.
    pub(super) fn claim<'a>(&'a self, number: &'a str, who: &'a str) -> BoxFuture<'a, Result<bool, NoClaims>> {
        within(async move {
            match self {
                Self::Files(files) => files.claim(number, who).await,
                Self::Redis(redis) => redis.claim(number, who).await,
            }
        })
    }

    /// Whether a token has been claimed.
    ///
    /// # Errors
    /// The store does not say.
    pub(super) fn is_claimed<'a>(&'a self, number: &'a str) -> BoxFuture<'a, Result<bool, NoClaims>> {
        within(async move {
            match self {
                Self::Files(files) => files.is_claimed(number).await,
                Self::Redis(redis) => redis.is_claimed(number).await,
            }
        })
    }
}

/// Boxed: what a call holds while it waits would be large, and is made for each tool.
fn within<'a, T>(work: impl Future<Output = Result<T, NoClaims>> + Send + 'a) -> BoxFuture<'a, Result<T, NoClaims>> {
    Box::pin(async {
        let late = |_| NoClaims(format!("the store does not answer within {} s", LIMIT.as_secs()));
        timeout(LIMIT, work).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    })
}
