//! Sockets from systemd or a similar supervisor, and notifications to it.
//!
//! Without a supervisor, the functions have no effect.

use std::net::{SocketAddr, TcpListener};

use roomer_tokio::Server;

use crate::serve::config::Config;

/// A state of the server that is reported to the supervisor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// The server is listening, or has completed a reload.
    Ready,
    Reloading,
    Stopping,
}

/// The listeners that the supervisor has passed: the first is for clients, the second for
/// operators.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) clients: Option<TcpListener>,
    pub(crate) operators: Option<TcpListener>,
}

/// The addresses of the listeners that the supervisor has passed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Addresses {
    clients: Option<SocketAddr>,
    operators: Option<SocketAddr>,
}

impl Sockets {
    /// Takes the listeners that the supervisor has passed.
    pub(crate) fn take() -> Result<Sockets, String> {
        inherited()
    }

    pub(crate) fn addresses(&self) -> Addresses {
        let address = |listener: &Option<TcpListener>| listener.as_ref()?.local_addr().ok();
        Addresses { clients: address(&self.clients), operators: address(&self.operators) }
    }
}

impl Addresses {
    /// Replaces the configured addresses with the real ones, to which the checks then apply.
    pub(crate) fn replace(self, config: &mut Config) {
        if let Some(address) = self.clients {
            config.options.listen = address;
        }
        if let Some(address) = self.operators {
            config.options.operator_listen = Some(address);
        }
    }
}

#[cfg(target_os = "linux")]
fn inherited() -> Result<Sockets, String> {
    let mut passed = listenfd::ListenFd::from_env();
    if passed.len() > 2 {
        return Err(format!(
            "the supervisor has passed {} sockets: write one for clients and at most one for operators",
            passed.len()
        ));
    }
    let mut take = |index| {
        let listener = passed.take_tcp_listener(index);
        listener.map_err(|error| format!("a socket of the supervisor is not for TCP: {error}"))
    };
    Ok(Sockets { clients: take(0)?, operators: take(1)? })
}

#[cfg(not(target_os = "linux"))]
fn inherited() -> Result<Sockets, String> {
    Ok(Sockets::default())
}

/// Reports a state to the supervisor.
#[cfg(target_os = "linux")]
pub(crate) fn notify(state: State) {
    use sd_notify::NotifyState;
    let notified = match state {
        State::Ready => sd_notify::notify(&[NotifyState::Ready]),
        State::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        // Include the time, which systemd needs to recognize the end of this reload.
        State::Reloading => NotifyState::monotonic_usec_now()
            .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now])),
    };
    if let Err(error) = notified {
        tracing::warn!(%error, ?state, "cannot notify the supervisor at NOTIFY_SOCKET");
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn notify(_: State) {}

/// If the supervisor expects watchdog notifications, sends them as long as the server is live.
#[cfg(target_os = "linux")]
pub(crate) async fn watchdog(server: Server) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return;
    };
    // Send two notifications per time limit, as systemd recommends.
    let mut interval = tokio::time::interval(limit / 2);
    loop {
        interval.tick().await;
        if server.is_live() {
            // `notify` has already reported an error when the server started, so ignore it here.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) async fn watchdog(_: Server) {}
