//! Shutdown on a signal.

use std::future::{Future, pending};
use std::io;
use std::process;
use std::thread;

use async_signal::Signal;
use smol::stream::StreamExt;

/// Completes when the process receives Ctrl-C (`SIGINT`) or, on Unix, `SIGTERM`, which service
/// managers and container runtimes send. Pass it to [`serve_until`](crate::serve_until). The
/// signals are handled from this call on, including in a process with id 1, which has no default
/// action for them.
///
/// A second signal ends the process immediately with exit code 130 or 143, the codes that shells
/// use for these signals.
///
/// If the system does not permit the signals to be handled, the future never completes, and the signals
/// keep their default action.
pub fn shutdown_signal() -> impl Future<Output = ()> + Send + 'static {
    let signals = Signals::catch();
    async move {
        let Ok(mut signals) = signals else { return pending().await };
        signals.next().await;
        // Wait for the second signal in a separate thread, since a handler may be blocking the
        // executor.
        let _ = thread::Builder::new()
            .name("second signal".into())
            .spawn(move || process::exit(128 + smol::block_on(signals.next())));
    }
}

struct Signals(async_signal::Signals);

impl Signals {
    fn catch() -> io::Result<Self> {
        #[cfg(unix)]
        let signals = [Signal::Int, Signal::Term];
        #[cfg(not(unix))]
        let signals = [Signal::Int];
        Ok(Signals(async_signal::Signals::new(signals)?))
    }

    /// Waits for the next signal. Returns its number.
    async fn next(&mut self) -> i32 {
        loop {
            match self.0.next().await {
                #[cfg(unix)]
                Some(Ok(Signal::Term)) => return 15,
                Some(Ok(_)) => return 2,
                // Reading this signal failed, but the next one may still be readable.
                Some(Err(_)) => {}
                None => pending().await,
            }
        }
    }
}
