//! The interface between a carrier and a runtime.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

/// Opens streams and sleeps, on one runtime.
pub trait Dial: Send + 'static {
    /// A TCP stream.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Looks up a host, which is a name or an IP address, and connects to it. The carrier drops the
    /// future if that takes too long.
    fn connect(
        &self,
        host: String,
        port: u16,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static;

    /// Completes after a time.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static;
}
