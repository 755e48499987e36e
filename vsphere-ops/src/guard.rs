//! What is made on the server is destroyed there, even when whoever asked for it is gone before the answer comes.

use std::future::Future;

use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// Runs `making` to its end, whatever becomes of the caller. What it makes is given to the caller; where that is gone,
/// it is dropped, and its `Drop` destroys what it stands for.
pub(crate) async fn made<G: Send + 'static>(making: impl Future<Output = Result<G>> + Send + 'static) -> Result<G> {
    let (give, take) = oneshot::channel();
    tokio::spawn(async move {
        // A value that nobody takes comes back, and is dropped here.
        drop(give.send(making.await));
    });
    take.await.unwrap_or_else(|_| Err(stopped()))
}

/// Cleans up in the background, where there is still a runtime to do so.
pub(crate) fn clean_up(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work);
    }
}

/// The error of a request whose runtime ended.
fn stopped() -> Error {
    let source = std::io::Error::other("the runtime has ended");
    vsphere_soap::Error::new("run", vsphere_soap::ErrorKind::Interrupted { received: 0, source }).into()
}
