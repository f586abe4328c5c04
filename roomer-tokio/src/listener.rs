//! Where connections come from.

use std::future::Future;
use std::io;

#[cfg(feature = "tls")]
use roomer_engine::{socket, tls::TlsListener};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

use crate::Server;
use crate::transport::{self, Futures};

/// What [`serve`](crate::serve) takes: a [`TcpListener`], a `UnixListener`, or TLS over TCP, which
/// the function `tls` of the feature `tls` makes.
pub trait Listener: Accept {}

impl<L: Accept> Listener for L {}

/// How a listener gives connections. In a private place, so that it can grow.
#[allow(unreachable_pub)]
pub trait Accept: Send + Sync {
    /// Whether it knows the addresses of those who connect.
    fn has_addresses(&self) -> bool {
        true
    }

    /// Whether connections begin with TLS.
    fn is_tls(&self) -> bool {
        false
    }

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
    fn has_addresses(&self) -> bool {
        false
    }

    async fn accept(
        &self,
        server: &Server,
    ) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let (stream, _) = UnixListener::accept(self).await?;
        let (reader, writer) = transport::share(Futures(stream));
        Ok(server.connect(reader, writer, None))
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
        socket::prepare(&stream);
        let stream = self.wrap(Futures(stream));
        let (reader, writer) = transport::share(stream);
        Ok(server.connect(reader, writer, Some(peer)))
    }
}
