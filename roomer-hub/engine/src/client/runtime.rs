//! The interface that a client's runtime implements.

use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

/// Connects, sleeps and spawns tasks on a runtime.
pub trait Runtime: Send + Sync + 'static {
    /// Resolves a host, given as a name or an IP address, and connects to it over TCP.
    fn connect(
        host: String,
        port: u16,
    ) -> impl Future<Output = io::Result<Box<dyn ByteStream>>> + Send + 'static;

    /// Completes after `time`.
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send + 'static;

    /// Spawns a task that runs until it completes.
    fn spawn(task: impl Future<Output = ()> + Send + 'static);

    /// True if the platform provides WebSockets, which perform the handshake, framing and TLS. The
    /// client then connects with [`open`](Self::open) instead of [`connect`](Self::connect).
    const HAS_WEBSOCKETS: bool = false;

    /// Opens a platform WebSocket that offers these subprotocols. Called only if
    /// [`HAS_WEBSOCKETS`](Self::HAS_WEBSOCKETS) is true. One of the subprotocols may contain a
    /// token, which must not appear in any error.
    fn open(url: String, protocols: Vec<String>) -> Opening {
        let _ = (url, protocols);
        Box::pin(ready(Err(io::ErrorKind::Unsupported.into())))
    }

    /// Calls `wake` whenever the connection may have been lost unnoticed, or a new one may have
    /// become possible, because the machine was suspended or its network has changed. Stops when
    /// the returned value is dropped. By default, the runtime has no such signal, and `wake` is
    /// never called.
    fn watch(wake: Arc<dyn Fn() + Send + Sync>) -> Option<Box<dyn Send>> {
        drop(wake);
        None
    }
}

/// The future returned by [`Runtime::open`], which resolves to an open WebSocket.
pub type Opening = Pin<Box<dyn Future<Output = io::Result<Box<dyn MessageSocket>>> + Send>>;

/// A WebSocket provided by the platform, which transfers whole messages. Dropping it closes the
/// connection.
pub trait MessageSocket: Send + 'static {
    /// Returns the next event. Not called again after [`Incoming::Closed`] or [`Incoming::Lost`].
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming>;

    /// Sends a binary message. If sending fails, the connection is lost, which
    /// [`poll_next`](Self::poll_next) reports.
    fn send(&mut self, message: &[u8]);

    /// Starts the closing handshake.
    fn close(&mut self, code: u16);

    /// Returns the number of bytes that the network has not accepted yet.
    fn unsent(&self) -> usize;
}

/// An event on a [`MessageSocket`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incoming {
    /// A binary message.
    Message(Vec<u8>),
    /// A close frame, with its optional code and its reason.
    Closed {
        /// The close frame's code, if it contained one.
        code: Option<u16>,
        /// The close frame's reason, which may be empty.
        reason: String,
    },
    /// The connection was lost without a close frame.
    Lost,
}

/// A bidirectional byte stream, such as TCP, TLS or a pipe.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for S {}
