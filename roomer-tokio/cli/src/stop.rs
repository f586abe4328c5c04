//! The signal that ends a command that would otherwise keep running.

use std::pin::Pin;
use std::time::Duration;

use roomer_tokio::client::Client;
use roomer_tokio::shutdown_signal;

/// The time for which a command waits for a server that does not respond, after a signal or at the
/// end.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// Waits for Ctrl-C or SIGTERM. A second signal ends the process immediately.
pub(crate) struct Stop {
    signal: Pin<Box<dyn Future<Output = ()>>>,
    is_received: bool,
}

impl Stop {
    /// Installs the handler. Before this call, a signal ends the process immediately. Commands
    /// therefore call it only when they no longer wait for the server.
    pub(crate) fn new() -> Stop {
        Stop { signal: Box::pin(shutdown_signal()), is_received: false }
    }

    /// Waits for the signal. Completes immediately if the signal has already arrived.
    pub(crate) async fn wait(&mut self) {
        if !self.is_received {
            self.signal.as_mut().await;
            self.is_received = true;
        }
    }

    /// Acts as if the signal had arrived. In a terminal, the line editor receives Ctrl-C as a key,
    /// not as a signal.
    pub(crate) fn set(&mut self) {
        self.is_received = true;
    }

    /// Closes the client. Returns false if a signal arrived and the server did not confirm the close
    /// within [`GRACE`] of it.
    pub(crate) async fn close(mut self, client: &Client) -> bool {
        let stopped = async {
            self.wait().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            _ = client.close() => true,
            () = stopped => false,
        }
    }
}
