//! What is made on the server is destroyed there, even when whoever asked for it is gone before the answer comes.
//!
//! Work is boxed before it is spawned: what a runtime does with it is then compiled once, and not for each kind of work.

use std::future::Future;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::timeout;
use vsphere_soap::error::WaitingFor;
use vsphere_soap::{Error as WireError, ErrorKind as WireKind, Sent};

use crate::client::Client;
use crate::error::Result;

/// Runs `making` to its end, whatever becomes of the caller. What it makes is given to the caller; where that is gone,
/// it is dropped, and its `Drop` destroys what it stands for.
///
/// The deadline of `client` ends the caller's waiting alone: `making` gets a client without one, since of a request
/// that is cut off nobody would know what it made.
pub(crate) async fn made<G, F>(client: &Client, making: impl FnOnce(Client) -> F) -> Result<G>
where
    G: Send + 'static,
    F: Future<Output = Result<G>> + Send + 'static,
{
    let (give, take) = oneshot::channel();
    let making = making(client.without_deadline());
    let making = async move {
        // A value that nobody takes comes back, and is dropped here.
        drop(give.send(making.await));
    };
    tokio::spawn(making.boxed());
    match client.deadline() {
        None => take.await.unwrap_or_else(|_| stopped()),
        Some(limit) => match timeout(limit, take).await {
            Ok(taken) => taken.unwrap_or_else(|_| stopped()),
            Err(_) => too_late(limit),
        },
    }
}

/// Runs work to its end, whatever becomes of the caller.
pub(crate) async fn to_its_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work.boxed()).await.unwrap_or_else(|_| stopped())
}

/// Cleans up in the background, where there is still a runtime to do so.
pub(crate) fn clean_up(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work.boxed());
    }
}

/// Cleans up, and waits for it. A caller that is given up meanwhile does not end it.
pub(crate) async fn cleaned_up(work: impl Future<Output = ()> + Send + 'static) {
    // The work reports what it could not do.
    drop(tokio::spawn(work.boxed()).await);
}

/// The runtime ended.
fn stopped<G>() -> Result<G> {
    let source = std::io::Error::other("the runtime has ended");
    Err(WireError::new("prepare", WireKind::Interrupted { received: 0, source }).into())
}

fn too_late<G>(after: Duration) -> Result<G> {
    let kind = WireKind::Timeout { after, waiting_for: WaitingFor::Answer };
    // What is made all the same is destroyed.
    Err(WireError::new("prepare", kind).with_sent(Sent::No).into())
}
