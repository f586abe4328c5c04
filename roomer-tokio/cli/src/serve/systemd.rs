//! Sockets from systemd or a supervisor like it, and notifications to it. Without such a supervisor
//! nothing of this has an effect.

use std::net::{SocketAddr, TcpListener};

use roomer_tokio::Server;

use crate::serve::config::Config;

/// A state of which a supervisor is notified.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// The server listens, or has finished to read its files again.
    Ready,
    Reloading,
    Stopping,
}

/// The listeners that the supervisor has opened: the first is for clients, the second for operators.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) clients: Option<TcpListener>,
    pub(crate) operators: Option<TcpListener>,
}

/// The addresses of the listeners that the supervisor has opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Addresses {
    clients: Option<SocketAddr>,
    operators: Option<SocketAddr>,
}

impl Sockets {
    /// Takes the listeners.
    pub(crate) fn take() -> Result<Sockets, String> {
        inherited()
    }

    pub(crate) fn addresses(&self) -> Addresses {
        let address = |listener: &Option<TcpListener>| listener.as_ref()?.local_addr().ok();
        Addresses { clients: address(&self.clients), operators: address(&self.operators) }
    }
}

impl Addresses {
    /// Replaces the addresses of the configuration, so that what depends on these is checked for the
    /// real ones.
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

/// Notifies the supervisor.
#[cfg(target_os = "linux")]
pub(crate) fn notify(state: State) {
    use sd_notify::NotifyState;
    let notified = match state {
        State::Ready => sd_notify::notify(&[NotifyState::Ready]),
        State::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        // With the time, by which systemd recognises the end of this reload.
        State::Reloading => NotifyState::monotonic_usec_now()
            .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now])),
    };
    if let Err(error) = notified {
        tracing::warn!(%error, ?state, "cannot notify the supervisor at NOTIFY_SOCKET");
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn notify(_: State) {}

/// Reports the server as alive for as long as it is, if the supervisor restarts it otherwise.
#[cfg(target_os = "linux")]
pub(crate) async fn watchdog(server: Server) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return;
    };
    // Twice within the limit, as systemd advises.
    let mut interval = tokio::time::interval(limit / 2);
    loop {
        interval.tick().await;
        if server.is_live() {
            // Not logged each time: `notify` has reported an error at the start.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) async fn watchdog(_: Server) {}
