//! The end of a program by a signal.

use std::future::{Future, pending};
use std::io;
use std::process;
use std::thread;

use async_signal::Signal;
use smol::stream::StreamExt;

/// Waits for the signals that ask a program to end: Ctrl-C (`SIGINT`) or, on Unix, `SIGTERM`,
/// which service managers and containers send. To be given to
/// [`serve_until`](crate::serve_until). The signals are caught from this call on, also by a
/// process with the number 1, which they could not end otherwise.
///
/// A second signal ends the process at once, with exit code 130 or 143, as the signal alone would
/// have done.
///
/// When the system refuses to have the signals caught, the future is never ready, and the signals
/// end the process as they do by default.
pub fn shutdown_signal() -> impl Future<Output = ()> + Send + 'static {
    let signals = Signals::catch();
    async move {
        let Ok(mut signals) = signals else { return pending().await };
        signals.next().await;
        // On a thread of its own: a handler that does not return may be the reason for the second
        // signal.
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

    /// Waits for the next one; returns its number.
    async fn next(&mut self) -> i32 {
        loop {
            match self.0.next().await {
                #[cfg(unix)]
                Some(Ok(Signal::Term)) => return 15,
                Some(Ok(_)) => return 2,
                Some(Err(_)) => {}
                None => pending().await,
            }
        }
    }
}
