//! A server as a part of somebody else's: anything that speaks tower over hyper.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

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
/// as the server's own port would refuse it. Paths and pages are the framework's business:
/// [`Builder::path`](crate::Builder::path) and [`Builder::page`](crate::Builder::page) do not
/// apply.
///
/// What middleware has found out comes along in the request's extensions:
///
/// - [`Claims`](crate::Claims): what the connection comes in with, see
///   [`Server::upgrade`];
/// - [`SocketAddr`]: the address at the other end, for
///   [`Request::peer`](crate::Request::peer) and
///   [`trust_proxy`](crate::Builder::trust_proxy). Frameworks keep it in types of their own.
///
/// A runtime's task keeps the server's time for as long as there are connections, so nothing has
/// to be started. To end it, stop the framework and await [`Server::drain`].
///
/// # Panics
///
/// When it is called outside a tokio runtime.
#[derive(Clone, Debug)]
pub struct Mount(Server);

/// Makes a server a [`tower` service](Service).
#[must_use]
pub fn mount(server: Server) -> Mount {
    Mount(server)
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
        let peer = head.extensions.get::<SocketAddr>().copied();
        let (server, request) = (self.0.clone(), http::Request::from_parts(head, ()));
        Box::pin(async move {
            // Dropped with the client, by the framework.
            let decided = timeout(server.handshake_limit(), server.upgrade_async(request, peer));
            Ok(match decided.await {
                Ok(Ok(upgrade)) => {
                    let response = upgrade.response();
                    tokio::spawn(take_over(upgrade, stream));
                    response
                }
                Ok(Err(refused)) => refused,
                Err(_) => unavailable(),
            })
        })
    }
}

/// The answer to one for whom the application has taken too long to decide.
fn unavailable() -> http::Response<String> {
    let mut response = http::Response::new("Service Unavailable\n".to_owned());
    *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// Waits until the framework has sent the answer and hands the stream over.
async fn take_over(upgrade: Upgrade, stream: OnUpgrade) {
    if let Ok(Ok(stream)) = timeout(upgrade.time_limit(), stream).await {
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
