//! Where connections come from.

use std::future::Future;
use std::io;
#[cfg(feature = "tls")]
use std::sync::Arc;

#[cfg(feature = "tls")]
use roomer_hub::server::tls::{Tls, rustls::ServerConfig};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

use crate::transport;
use crate::{Server, transport::Futures};

/// What [`serve`](crate::serve) takes: a [`TcpListener`], a `UnixListener`, or TLS over TCP, which
/// the function `tls` of the feature `tls` makes.
pub trait Listener: Accept {}

impl<L: Accept> Listener for L {}

/// How a listener gives connections. In a private place, so that it can grow.
#[allow(unreachable_pub)]
pub trait Accept: Send + Sync {
    /// Waits for the next connection, takes it into the server's care and gives its task.
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
        let (reader, writer) = transport::split(stream);
        Ok(server.connect(reader, writer, Some(peer)))
    }
}

#[cfg(unix)]
impl Accept for UnixListener {
    async fn accept(
        &self,
        server: &Server,
    ) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let (stream, _) = UnixListener::accept(self).await?;
        let (reader, writer) = transport::share(Futures(stream));
        Ok(server.connect(reader, writer, None))
    }
}

/// TLS on every connection of a TCP listener, by [rustls](roomer_hub::server::tls::rustls). The
/// TLS handshake is a part of the connection's, under the same time limit, and holds up nobody
/// else.
///
/// `config` says which certificate to show and whom to admit. rustls needs a
/// [provider](roomer_hub::server::tls::rustls::crypto) of cryptography; the feature brings `ring`.
/// Offer no protocol by ALPN but `http/1.1`.
#[cfg(feature = "tls")]
pub fn tls(listener: TcpListener, config: impl Into<Arc<ServerConfig>>) -> TlsListener {
    TlsListener { listener, config: config.into() }
}

/// A TCP listener that speaks TLS; see [`tls`](crate::tls()).
#[cfg(feature = "tls")]
#[derive(Debug)]
pub struct TlsListener {
    listener: TcpListener,
    config: Arc<ServerConfig>,
}

#[cfg(feature = "tls")]
impl Accept for TlsListener {
    async fn accept(
        &self,
        server: &Server,
    ) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let (stream, peer) = self.listener.accept().await?;
        roomer_hub::server::socket::prepare(&stream);
        let stream = Tls::accept(Futures(stream), self.config.clone());
        let (reader, writer) = transport::share(stream);
        Ok(server.connect(reader, writer, Some(peer)))
    }
}
