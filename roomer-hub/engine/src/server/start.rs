//! Checks at server startup: whether the options can be applied, and the limit on open descriptors.

use std::io::{self, ErrorKind};

use crate::Server;
use crate::lifecycle::admission::DescriptorLimit;
use crate::metrics::warning::WarningReason;

/// The number of descriptors reserved for uses other than connections, such as listeners, the
/// reactor, files and logs.
const RESERVE: u64 = 64;

impl Server {
    /// Prepares the server for a listener. Called by adapters. `has_addresses` is true if the
    /// listener knows its clients' addresses, and `is_tls` is true if each connection starts with
    /// TLS. Raises the process's limit on open descriptors to the number that the server may need,
    /// as far as the system permits, and warns if the resulting limit is too low.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if an option was set that needs clients' addresses, the listener has
    /// none, and no proxy at a Unix socket is [trusted](crate::Builder::trust_proxy) to report
    /// them; or if [`proxy_protocol`](crate::Builder::proxy_protocol) is combined with TLS.
    pub fn start_listening(&self, has_addresses: bool, is_tls: bool) -> io::Result<()> {
        let options = self.0.options();
        if is_tls && options.handshake.proxy_protocol {
            let text = "proxy_protocol cannot be read before TLS: terminate TLS at the proxy and use a \
                        plain listener, or remove proxy_protocol";
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        if let (false, false, Some(option)) = (
            has_addresses,
            options.handshake.proxies.trusts(None),
            options.handshake.needs_address(false),
        ) {
            let text = format!(
                "{option} needs clients' addresses, which this listener does not have: trust the \
                 proxy that connects to it with trust_proxy(\"unix\"), or remove {option}"
            );
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        if let Some(limit) = self.raise_descriptor_limit() {
            self.0.lifecycle.limit_descriptors(limit_sockets(limit));
        }
        Ok(())
    }

    /// Prepares the server for a framework. Called by adapters. Warns about options that were set
    /// but do not apply in a framework, and raises the limit on open descriptors like
    /// [`start_listening`](Self::start_listening).
    pub fn start_mounted(&self) {
        let options = self.0.options().handshake.not_for_frameworks();
        if !options.is_empty() {
            self.0.warnings.give(WarningReason::NotApplied { options });
        }
        // The framework accepts and rejects sockets, so the limit is only reported.
        self.raise_descriptor_limit();
    }

    /// Raises the descriptor limit. Each connection needs a descriptor, and so does each pending or
    /// rejected handshake.
    fn raise_descriptor_limit(&self) -> Option<u64> {
        let admission = self.0.options().handshake.admission;
        let count = |sockets: usize| u64::try_from(sockets).unwrap_or(u64::MAX);
        let needed = count(admission.connections.total).saturating_add(RESERVE);
        // Request more descriptors than are required: the server works with fewer concurrent
        // handshakes, but not with fewer connections than it may accept.
        let wanted = needed.saturating_add(count(admission.handshakes.total));
        let limit = raise(wanted);
        if let Some(limit) = limit.filter(|limit| *limit < needed) {
            self.0.warnings.give(WarningReason::Descriptors { limit, needed });
        }
        limit
    }
}

/// Returns how many sockets fit within a limit on open descriptors. The rest stays free for other
/// uses, such as a listener for operators, which clients must not be able to block.
fn limit_sockets(limit: u64) -> DescriptorLimit {
    let reserve = RESERVE.min(limit / 2);
    let count = |sockets: u64| usize::try_from(sockets).unwrap_or(usize::MAX);
    let served = limit - reserve;
    DescriptorLimit { served: count(served), lingering: count(served + reserve / 4) }
}

/// Raises the soft limit on open descriptors, and never lowers it. Returns the resulting limit, or
/// `None` if there is no limit.
#[cfg(unix)]
fn raise(wanted: u64) -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = current?;
    // Only a privileged process can exceed the hard limit.
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
