//! The interface between a client and a runtime.

use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
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

    /// True if the platform has WebSockets, which do the handshake, the frames and TLS: the client then
    /// connects by [`open`](Self::open), and not by [`connect`](Self::connect).
    const HAS_WEBSOCKETS: bool = false;

    /// Opens a WebSocket of the platform, if there are any, with an offer of these subprotocols. One of
    /// them may be a token, which no error must show.
    fn open(url: String, protocols: Vec<String>) -> Opening {
        let _ = (url, protocols);
        Box::pin(ready(Err(io::ErrorKind::Unsupported.into())))
    }

    /// Calls `wake` whenever the connection may have been lost unnoticed, or may be possible again: the
    /// machine was suspended, or its network has changed. Ends when the returned value is dropped. By
    /// default there are no such signs, and `wake` is never called.
    fn watch(wake: Arc<dyn Fn() + Send + Sync>) -> Option<Box<dyn Send>> {
        drop(wake);
        None
    }
}

/// The future of a WebSocket that is not open yet; see [`Runtime::open`].
pub type Opening = Pin<Box<dyn Future<Output = io::Result<Box<dyn MessageSocket>>> + Send>>;

/// A WebSocket of the platform, which moves whole messages. When it is dropped, it closes.
pub trait MessageSocket: Send + 'static {
    /// Takes the next thing that has arrived; after [`Incoming::Closed`] and [`Incoming::Lost`] it is
    /// not called again.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming>;

    /// Sends a binary message. One that cannot be sent is lost with the connection, which
    /// [`poll_next`](Self::poll_next) reports.
    fn send(&mut self, message: &[u8]);

    /// Begins the closing handshake.
    fn close(&mut self, code: u16);

    /// Returns the bytes that the network has not taken yet.
    fn unsent(&self) -> usize;
}

/// An event of a [`MessageSocket`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incoming {
    /// The content of a binary message.
    Message(Vec<u8>),
    /// A close frame: its code, unless it has none, and its reason.
    Closed {
        /// The code of the close frame, if it has one.
        code: Option<u16>,
        /// The reason of the close frame, which may be empty.
        reason: String,
    },
    /// The connection is lost.
    Lost,
}

/// A stream of bytes in both directions, such as TCP, TLS or a pipe.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for S {}
