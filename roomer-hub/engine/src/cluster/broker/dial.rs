//! The interface that a carrier's runtime implements.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

/// Connects and sleeps on a runtime.
pub trait Dial: Send + 'static {
    /// The runtime's TCP stream.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Resolves a host, given as a name or an IP address, and connects to it over TCP. On a
    /// timeout, the carrier drops the future.
    fn connect(
        &self,
        host: String,
        port: u16,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static;

    /// Completes after `time`.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static;
}
