//! Listeners that can be served: TCP, Unix, and TLS over TCP.

use std::future::Future;
use std::io;

use roomer_engine::stream;
#[cfg(feature = "tls")]
use roomer_engine::{socket, tls::TlsListener};
use smol::net::TcpListener;
#[cfg(unix)]
use smol::net::unix::UnixListener;

use crate::{Server, transport};

/// A source of connections for [`serve`](fn@crate::serve): a [`TcpListener`], a `UnixListener`, or TLS
/// over TCP, as returned by the function `tls` (feature `tls`).
pub trait Listener: Accept {}

impl<L: Accept> Listener for L {}

/// The private part of [`Listener`], to which methods can be added without a breaking change.
#[allow(unreachable_pub)]
pub trait Accept: Send + Sync + 'static {
    /// Returns true if the listener reports client addresses.
    fn has_addresses(&self) -> bool {
        true
    }

    /// Returns true if connections start with a TLS handshake.
    fn is_tls(&self) -> bool {
        false
    }

    /// Waits for the next connection, and returns the task that serves it.
    fn accept(
        &self,
        server: &Server,
    ) -> impl Future<Output = io::Result<impl Future<Output = ()> + Send + 'static>> + Send;
}

impl Accept for TcpListener {
    async fn accept(
        &self,
        server: &Server,
    ) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let (stream, peer) = TcpListener::accept(self).await?;
        Ok(server.connect(transport::Socket::new(stream), Some(peer)))
    }
}

#[cfg(unix)]
impl Accept for UnixListener {
    fn has_addresses(&self) -> bool {
        false
    }

    async fn accept(
        &self,
        server: &Server,
    ) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let (stream, _) = UnixListener::accept(self).await?;
        let transport = stream::share(stream);
        Ok(server.connect(transport, None))
    }
}

#[cfg(feature = "tls")]
impl Accept for TlsListener<TcpListener> {
    fn is_tls(&self) -> bool {
        true
    }

    async fn accept(
        &self,
        server: &Server,
    ) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let (stream, peer) = self.get_ref().accept().await?;
        // Set the options before wrapping the stream, which hides the socket from the engine.
        socket::prepare(&stream);
        let stream = self.wrap(stream);
        let transport = stream::share(stream);
        Ok(server.connect(transport, Some(peer)))
    }
}
