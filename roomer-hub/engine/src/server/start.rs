//! The checks before a server is served: what was asked for must be able to hold.

use std::io::{self, ErrorKind};

use crate::Server;
use crate::metrics::warning::WarningCause;

/// Descriptors for other things than connections: listeners, the reactor's, files, logs.
const RESERVE: u64 = 64;

impl Server {
    /// Prepares to be served by a listener; for adapters. `has_addresses`: the listener knows the
    /// addresses of those who connect. Raises the process's limit of open descriptors to what the
    /// server may need, as far as the system allows, and warns if that is too few. `is_tls`: TLS
    /// comes before all else on a connection.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when an option was chosen that needs clients' addresses, the listener has
    /// none, and no proxy at a Unix socket is [trusted](crate::Builder::trust_proxy) to name them;
    /// or when [`proxy_protocol`](crate::Builder::proxy_protocol) meets TLS.
    pub fn start_listening(&self, has_addresses: bool, is_tls: bool) -> io::Result<()> {
        let options = self.options();
        if is_tls && options.proxy_protocol {
            let text = "proxy_protocol cannot be read before TLS: let the proxy end TLS and serve a \
                        plain listener, or leave proxy_protocol out";
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        if let (false, false, Some(option)) =
            (has_addresses, options.proxies.trusts(None), options.needs_address(false))
        {
            let text = format!(
                "{option} needs clients' addresses, which this listener does not have: trust the \
                 proxy behind it by trust_proxy(\"unix\"), or leave {option} out"
            );
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        self.raise_descriptor_limit();
        Ok(())
    }

    /// Prepares to be served by a framework; for adapters. Warns of options that were chosen and
    /// cannot apply there, and raises the limit of open descriptors as
    /// [`start_listening`](Self::start_listening) does.
    pub fn start_mounted(&self) {
        let options = self.options().not_for_frameworks();
        if !options.is_empty() {
            self.warn(WarningCause::NotApplied { options });
        }
        self.raise_descriptor_limit();
    }

    /// A connection needs a descriptor, and so does one that comes or has been refused.
    fn raise_descriptor_limit(&self) {
        let admission = self.options().admission;
        let count = |sockets: usize| u64::try_from(sockets).unwrap_or(u64::MAX);
        let needed = count(admission.connections.total).saturating_add(RESERVE);
        let wanted = needed.saturating_add(count(admission.handshakes.total));
        if let Some(limit) = raise(wanted).filter(|limit| *limit < needed) {
            self.warn(WarningCause::Descriptors { limit, needed });
        }
    }
}

/// Raises the soft limit of open descriptors, never lowers it; returns what it is then, `None`
/// without a limit.
#[cfg(unix)]
fn raise(wanted: u64) -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = current?;
    let goal = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    if goal <= current {
        return Some(current);
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(goal), maximum });
    Some(if raised.is_ok() { goal } else { current })
}

#[cfg(not(unix))]
fn raise(_: u64) -> Option<u64> {
    None
}
