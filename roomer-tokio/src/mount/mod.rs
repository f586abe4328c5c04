//! The server as a tower service, for axum, hyper and other frameworks.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Extensions;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use crate::serve::with_timer;
use crate::transport;
use crate::{Server, Upgrade, connect_upgraded};

/// A server as a [`tower` service](Service), for axum's `route_service`, for hyper, and for other
/// frameworks.
///
/// The service answers a handshake with 101 and then owns the connection. It rejects all other
/// requests, like [`serve`](fn@crate::serve). The framework is responsible for routes, pages and
/// unfinished requests: [`path`](crate::Builder::path), [`page`](crate::Builder::page),
/// [`health`](crate::Builder::health), [`max_handshakes`](crate::Builder::max_handshakes) and
/// [`max_handshakes_per_address`](crate::Builder::max_handshakes_per_address) have no effect, and
/// [`mount`] [warns](crate::Builder::on_warning) if they are set.
///
/// Middleware passes values in the request's extensions:
///
/// - [`Claims`](crate::Claims): the connection's claims, see [`Server::upgrade`];
/// - any application type: [`Conn::extension`](crate::Conn::extension) returns it;
/// - [`SocketAddr`]: the client's address, for
///   [`HandshakeRequest::peer`](crate::HandshakeRequest::peer),
///   [`trust_proxy`](crate::Builder::trust_proxy) and
///   [`max_connections_per_address`](crate::Builder::max_connections_per_address). With the `axum`
///   feature, the service also uses axum's `ConnectInfo<SocketAddr>`, which is present if the
///   application is served with `into_make_service_with_connect_info::<SocketAddr>()`. To take the
///   address from elsewhere, use [`peer_from`](Mount::peer_from).
///
/// If an option needs the client's address and a request has none, the response is 500, and a
/// [warning](crate::Builder::on_warning) describes the remedy.
///
/// The runtime runs a task for the server's timers while there are connections, so you need not
/// start one. To shut down, stop the framework and await [`Server::drain`].
///
/// # Panics
///
/// Panics if the service is called outside a tokio runtime.
#[derive(Clone)]
pub struct Mount {
    server: Server,
    find_peer: FindPeer,
}

type FindPeer = Arc<dyn Fn(&Extensions) -> Option<SocketAddr> + Send + Sync>;

/// Turns a server into a [`tower` service](Service). Raises the process's soft limit on open
/// descriptors, like [`serve`](fn@crate::serve).
#[must_use]
pub fn mount(server: Server) -> Mount {
    server.start_mounted();
    Mount { server, find_peer: Arc::new(peer) }
}

impl Mount {
    /// Sets the function that returns the client's address from a request's extensions. Default: a
    /// [`SocketAddr`], or axum's `ConnectInfo`.
    ///
    /// With hyper alone, each connection has its own service, so the client's address is known:
    ///
    /// ```
    /// # use roomer_tokio::{Mount, Server, mount};
    /// # fn service(server: Server, peer: std::net::SocketAddr) -> Mount {
    /// mount(server).peer_from(move |_| Some(peer))
    /// # }
    /// ```
    #[must_use]
    pub fn peer_from<F>(mut self, find: F) -> Self
    where
        F: Fn(&Extensions) -> Option<SocketAddr> + Send + Sync + 'static,
    {
        self.find_peer = Arc::new(find);
        self
    }
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Returns the client's address from the extensions set by frameworks and middleware.
fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    let plain = extensions.get::<SocketAddr>().copied();
    #[cfg(feature = "axum")]
    let plain = plain.or_else(|| {
        use axum::extract::connect_info::{ConnectInfo, MockConnectInfo};

        let real = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
        // Tests of axum applications set this extension instead.
        real.or_else(|| extensions.get::<MockConnectInfo<SocketAddr>>().map(|mock| mock.0))
    });
    plain
}

impl<B> Service<http::Request<B>> for Mount {
    type Response = http::Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        // Take the upgrade first: hyper stores it in the request's extensions, which become the
        // connection's extensions.
        let stream = hyper::upgrade::on(&mut request);
        // Drop the body, since an upgrade request must not have one.
        let (head, _) = request.into_parts();
        let peer = (self.find_peer)(&head.extensions);
        let (server, request) = (self.server.clone(), http::Request::from_parts(head, ()));
        Box::pin(async move {
            // The framework drops this future if the client disconnects.
            let decided = timeout(server.handshake_timeout(), server.upgrade_async(request, peer));
            Ok(match decided.await {
                Ok(Ok(upgrade)) => {
                    let response = upgrade.response();
                    tokio::spawn(take_over(upgrade, stream));
                    response
                }
                Ok(Err(rejected)) => rejected,
                Err(_) => server.authorize_timed_out(peer),
            })
        })
    }
}

/// Waits until the framework has sent the response and released the stream.
async fn take_over(upgrade: Upgrade, stream: OnUpgrade) {
    // The upgrade counts as a connection until it is dropped, even if the framework never sends the
    // response.
    if let Ok(Ok(stream)) = timeout(upgrade.handshake_timeout(), stream).await {
        start(upgrade, stream);
    }
}

/// Serves an upgraded connection's stream.
fn start(upgrade: Upgrade, stream: Upgraded) {
    // Using the socket directly avoids hyper's wrappers around it, in particular a read buffer.
    let (socket, leftover) = match unwrap(stream) {
        Ok(parts) => parts,
        Err(stream) => {
            tokio::spawn(connect_upgraded(upgrade, TokioIo::new(stream), &[]));
            return;
        }
    };
    let socket = transport::Socket::new(socket);
    tokio::spawn(with_timer(upgrade.connect(socket, &leftover)));
}

/// Returns the socket and the bytes read after the request, or the stream if it is not a socket.
/// Supports the wrappers of hyper-util's `auto`, which `axum::serve` uses, and of hyper's `http1`.
fn unwrap(stream: Upgraded) -> Result<(TcpStream, Vec<u8>), Upgraded> {
    let stream = match downcast::<TokioIo<TcpStream>>(stream) {
        Ok(parts) => return Ok((parts.io.into_inner(), parts.read_buf.into())),
        Err(stream) => stream,
    };
    let parts = stream.downcast::<TokioIo<TcpStream>>()?;
    Ok((parts.io.into_inner(), parts.read_buf.into()))
}

#[cfg(test)]
mod tests;
