//! Shutdown on a signal.

use std::future::{Future, pending};
use std::io;
use std::process;
use std::thread;

use tokio::runtime;

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
///
/// # Panics
///
/// Panics if this is called outside a tokio runtime.
pub fn shutdown_signal() -> impl Future<Output = ()> + Send + 'static {
    let signals = Signals::catch();
    async move {
        let Ok(mut signals) = signals else { return pending().await };
        signals.next().await;
        // Wait for the second signal in a separate thread with its own runtime, since a handler may
        // be blocking the threads of the main runtime.
        let _ = thread::Builder::new().name("second signal".into()).spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_io().build();
            if let Ok(runtime) = runtime {
                process::exit(128 + runtime.block_on(signals.next()));
            }
        });
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn catch() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Signals { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next signal. Returns its number.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Signals(tokio::signal::windows::ctrl_c()?))
    }

    /// Waits for the next signal. Returns its number.
    async fn next(&mut self) -> i32 {
        self.0.recv().await;
        2
    }
}
