//! A server as a part of somebody else's: anything that speaks tower over hyper.

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

use crate::transport;
use crate::{Server, Upgrade, attended, connect_upgraded};

/// A server as a [`tower` service](Service): for axum's `route_service`, for hyper, for anything
/// that takes one.
///
/// It answers a handshake with 101 and takes the connection over; whatever else comes is refused
/// as the server's own port would refuse it. Routes, pages and unfinished requests are the
/// framework's: [`path`](crate::Builder::path), [`page`](crate::Builder::page),
/// [`health`](crate::Builder::health), [`max_handshakes`](crate::Builder::max_handshakes) and
/// [`max_handshakes_per_address`](crate::Builder::max_handshakes_per_address) have no effect, of
/// which [`mount`] [warns](crate::Builder::on_warning).
///
/// What middleware has found out comes along in the request's extensions:
///
/// - [`Claims`](crate::Claims): what the connection comes in with, see
///   [`Server::upgrade`];
/// - any type of the application's: [`Conn::extension`](crate::Conn::extension) finds it;
/// - [`SocketAddr`]: the address at the other end, for
///   [`Request::peer`](crate::Request::peer), [`trust_proxy`](crate::Builder::trust_proxy) and
///   [`max_connections_per_address`](crate::Builder::max_connections_per_address). With the feature
///   `axum`, axum's `ConnectInfo<SocketAddr>` too, which is there when the application is served
///   by `into_make_service_with_connect_info::<SocketAddr>()`. Elsewhere
///   [`peer_from`](Mount::peer_from) says where to find it.
///
/// When one of these options was chosen and a request has no address, the answer is 500, with a
/// [warning](crate::Builder::on_warning) that says what to do.
///
/// A runtime's task keeps the server's time for as long as there are connections, so nothing has
/// to be started. To end it, stop the framework and await [`Server::drain`].
///
/// # Panics
///
/// When it is called outside a tokio runtime.
#[derive(Clone)]
pub struct Mount {
    server: Server,
    find_peer: FindPeer,
}

type FindPeer = Arc<dyn Fn(&Extensions) -> Option<SocketAddr> + Send + Sync>;

/// Makes a server a [`tower` service](Service). Raises the process's soft limit of open
/// descriptors as [`serve`](crate::serve) does.
#[must_use]
pub fn mount(server: Server) -> Mount {
    server.start_mounted();
    Mount { server, find_peer: Arc::new(peer) }
}

impl Mount {
    /// Takes the address at the other end of a request's connection from what `find` returns, given
    /// the request's extensions. Default: a [`SocketAddr`] among them, or axum's `ConnectInfo`.
    ///
    /// Where each connection has a service of its own, as with hyper alone, it can be simply known:
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

/// The address at the other end, where frameworks and middleware put it.
fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    let plain = extensions.get::<SocketAddr>().copied();
    #[cfg(feature = "axum")]
    let plain = plain.or_else(|| {
        use axum::extract::connect_info::{ConnectInfo, MockConnectInfo};

        let real = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
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
        let stream = hyper::upgrade::on(&mut request);
        let (head, _) = request.into_parts();
        let peer = (self.find_peer)(&head.extensions);
        let (server, request) = (self.server.clone(), http::Request::from_parts(head, ()));
        Box::pin(async move {
            // Dropped with the client, by the framework.
            let decided = timeout(server.handshake_timeout(), server.upgrade_async(request, peer));
            Ok(match decided.await {
                Ok(Ok(upgrade)) => {
                    let response = upgrade.response();
                    tokio::spawn(take_over(upgrade, stream));
                    response
                }
                Ok(Err(refused)) => refused,
                Err(_) => server.authorize_timed_out(peer),
            })
        })
    }
}

/// Waits until the framework has sent the answer and hands the stream over.
async fn take_over(upgrade: Upgrade, stream: OnUpgrade) {
    if let Ok(Ok(stream)) = timeout(upgrade.handshake_timeout(), stream).await {
        start(upgrade, stream);
    }
}

/// Hands the stream to the engine.
fn start(upgrade: Upgrade, stream: Upgraded) {
    let server = upgrade.server().clone();
    // What hyper has put round the socket, its read buffer above all, is not needed any more.
    let (socket, behind) = match unwrap(stream) {
        Ok(parts) => parts,
        Err(stream) => {
            tokio::spawn(connect_upgraded(upgrade, TokioIo::new(stream), &[]));
            return;
        }
    };
    let (reader, writer) = transport::split(socket);
    tokio::spawn(attended(server, upgrade.connect(reader, writer, &behind)));
}

/// The socket, if it is one, and what was read behind the request; by way of `axum::serve` and
/// hyper-util's `auto`, or of hyper's own `http1`.
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
