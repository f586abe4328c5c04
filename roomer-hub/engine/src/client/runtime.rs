//! The interface between a client and a runtime.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

/// Opens streams, sleeps and spawns, on one runtime.
pub trait Runtime: Send + Sync + 'static {
    /// Looks up a host, which is a name or an IP address, and connects to it by TCP.
    fn connect(
        host: String,
        port: u16,
    ) -> impl Future<Output = io::Result<Box<dyn ByteStream>>> + Send + 'static;

    /// Completes after a time.
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send + 'static;

    /// Runs a task until it completes.
    fn spawn(task: impl Future<Output = ()> + Send + 'static);
}

/// A stream of bytes in both directions, such as TCP, TLS or a pipe.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for S {}
