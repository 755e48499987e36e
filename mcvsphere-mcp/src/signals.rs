//! Signals that end the program: the first ends it in order, within a limit; the second ends it at once.

use std::{
    io,
    process::{self, ExitCode},
    sync::mpsc,
    thread,
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

/// How long the program may take to end after the first signal.
const LIMIT: Duration = Duration::from_millis(1800);

/// The signals that have come to this process.
#[derive(Clone)]
pub(crate) struct Signals(watch::Receiver<Option<u8>>);

impl Signals {
    /// Listens from now on, in a thread of its own: it works, and ends the process, also when all else is stuck. What runs may
    /// go on for `more` than others have.
    ///
    /// # Errors
    /// The system gives no thread, or does not let this process listen.
    pub(crate) fn listen(more: Duration) -> io::Result<Self> {
        let (first, seen) = watch::channel(None);
        let (ready, started) = mpsc::channel();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            runtime.block_on(async {
                let mut incoming = match Incoming::new() {
                    Ok(incoming) => incoming,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                let _ = ready.send(Ok(()));
                let number = incoming.next().await;
                first.send_replace(Some(number));
                tokio::select! {
                    () = sleep(LIMIT + more) => {}
                    _ = incoming.next() => {}
                }
                process::exit(i32::from(128 | number));
            });
        })?;
        started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread for signals has ended")))?;
        Ok(Self(seen))
    }

    /// Waits for a signal, and gives its number.
    pub(crate) async fn first(&mut self) -> u8 {
        let seen = self.0.wait_for(Option::is_some).await.ok().map(|number| number.unwrap_or_default());
        match seen {
            Some(number) => number,
            // The thread ends with the process alone.
            None => std::future::pending().await,
        }
    }
}

/// The exit code of a program that this signal has ended, as shells tell it.
pub(crate) fn exit_code(number: u8) -> ExitCode {
    ExitCode::from(128 | number)
}

#[cfg(unix)]
struct Incoming(Vec<(u8, tokio::signal::unix::Signal)>);

#[cfg(unix)]
impl Incoming {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate()];
        let numbers = kinds.into_iter().filter_map(|kind| Some((u8::try_from(kind.as_raw_value()).ok()?, kind)));
        let heard = numbers.filter(|(number, _)| !is_ignored(*number));
        Ok(Self(heard.map(|(number, kind)| Ok((number, signal(kind)?))).collect::<io::Result<_>>()?))
    }

    async fn next(&mut self) -> u8 {
        std::future::poll_fn(|cx| {
            for (number, signal) in &mut self.0 {
                if signal.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// Whether the one who started this process wants it to live on at this signal, as `nohup` and shells do for jobs in the
/// background. Known on Linux alone.
#[cfg(unix)]
fn is_ignored(number: u8) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| number > 0 && mask >> (number - 1) & 1 == 1)
}

#[cfg(not(unix))]
struct Incoming;

#[cfg(not(unix))]
impl Incoming {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> u8 {
        const INTERRUPT: u8 = 2;
        match tokio::signal::ctrl_c().await {
            Ok(()) => INTERRUPT,
            Err(_) => std::future::pending().await,
        }
    }
}
