//! The signal that ends a command which would run on.

use std::pin::Pin;
use std::time::Duration;

use roomer_tokio::client::Client;
use roomer_tokio::shutdown_signal;

/// How long a stopped command waits for a server that does not respond.
const GRACE: Duration = Duration::from_secs(1);

/// Ctrl-C or SIGTERM. A second signal ends the process at once.
pub(crate) struct Stop {
    signal: Pin<Box<dyn Future<Output = ()>>>,
    has_come: bool,
}

impl Stop {
    /// Installs the handler. Until then, a signal ends the process at once, so commands call this
    /// only after they have waited for the server.
    pub(crate) fn new() -> Stop {
        Stop { signal: Box::pin(shutdown_signal()), has_come: false }
    }

    /// Waits for the signal; completes immediately if it has come.
    pub(crate) async fn wait(&mut self) {
        if !self.has_come {
            self.signal.as_mut().await;
            self.has_come = true;
        }
    }

    /// Acts as if the signal had arrived: the terminal's line editor receives Ctrl-C as a key press.
    pub(crate) fn set(&mut self) {
        self.has_come = true;
    }

    /// Closes the client. Returns false if the server has not confirmed this soon after a signal.
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
