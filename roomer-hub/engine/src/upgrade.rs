//! Entry point for frameworks that read the request and send the response themselves.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;

use crate::Server;
use crate::connection::{Connection, Opening};
use crate::handshake::decision::{Accepted, Decision};
use crate::handshake::rejected::Rejected;
use crate::handshake::request::HandshakeRequest;
use crate::handshake::response::Response;
use crate::lifecycle::admission::SocketKind;
use crate::metrics::warning::WarningReason;
use crate::transport::Transport;

/// An accepted upgrade: the response to send, and the connection to start once it is sent.
///
/// ```
/// use http::Request;
/// # use roomer_engine as roomer_tokio;
/// use roomer_tokio::Server; // or roomer_smol
///
/// let server = Server::builder().build()?;
/// let request = Request::get("/anywhere")
///     .header("Connection", "Upgrade")
///     .header("Upgrade", "websocket")
///     .header("Sec-WebSocket-Version", "13")
///     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
/// let upgrade = server.upgrade(request.body(())?, None).expect("a valid request");
/// assert_eq!(upgrade.response().status(), 101);
/// // The framework sends the response; `upgrade.connect` takes over the stream.
///
/// let rejected = server.upgrade(Request::post("/anywhere").body(())?, None);
/// assert_eq!(rejected.unwrap_err().status(), 405);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Until it is connected or dropped, an `Upgrade` counts as an open connection, and a shutdown waits
/// for it.
#[must_use = "dropping an upgrade gives up the connection"]
pub struct Upgrade {
    server: Server,
    accepted: Accepted,
    /// True while the upgrade itself is counted as the connection.
    is_reserved: bool,
}

impl Server {
    /// Accepts or rejects a request that a framework has read, by the same rules as
    /// [`connect`](Self::connect), except for the path and the handshake limits, which are the
    /// framework's responsibility.
    ///
    /// `peer` is the remote address, if known. The request's extensions, which middleware fills,
    /// are kept with the connection ([`Conn::extension`](crate::Conn::extension)); a
    /// [`Claims`](crate::Claims) among them becomes the connection's claims. If the server also has
    /// an [`authorize`](crate::Builder::authorize) hook, both apply: the hook finds the
    /// middleware's claims in [`HandshakeRequest::head`](crate::HandshakeRequest::head), and its
    /// own claims take precedence where both have the same name.
    ///
    /// # Errors
    ///
    /// Returns the response to send instead: an error caused by this request, 503 or 429 if the
    /// server is full or shutting down, or 500 if it was built with
    /// [`authorize_async`](crate::Builder::authorize_async), which requires
    /// [`upgrade_async`](Self::upgrade_async).
    #[allow(
        clippy::result_large_err,
        reason = "either variant is a response; it is not large on 32-bit targets"
    )]
    pub fn upgrade(
        &self,
        request: http::Request<()>,
        peer: Option<SocketAddr>,
    ) -> Result<Upgrade, http::Response<String>> {
        let decided = match self.decide(request, peer) {
            Decision::Ready(decided) => decided,
            // Reject with 500, since the fault is the application's: this hook requires
            // `upgrade_async`.
            Decision::PendingAuth(_) => {
                Err(Rejected::with_status(StatusCode::INTERNAL_SERVER_ERROR))
            }
        };
        self.reserve(peer, decided)
    }

    /// Like [`upgrade`](Self::upgrade), for servers that may have an
    /// [`authorize_async`](crate::Builder::authorize_async) hook. Drop the future to cancel the hook
    /// when the client disconnects, or after [`handshake_timeout`](Self::handshake_timeout).
    ///
    /// # Errors
    ///
    /// Returns the response to send instead, as [`upgrade`](Self::upgrade) does.
    pub async fn upgrade_async(
        &self,
        request: http::Request<()>,
        peer: Option<SocketAddr>,
    ) -> Result<Upgrade, http::Response<String>> {
        let decided = match self.decide(request, peer) {
            Decision::Ready(decided) => decided,
            Decision::PendingAuth(mut pending) => {
                poll_fn(|cx| pending.poll(|| self.0.now(), cx)).await
            }
        };
        self.reserve(peer, decided)
    }

    fn decide(&self, request: http::Request<()>, peer: Option<SocketAddr>) -> Decision {
        let request = HandshakeRequest::new(request, peer, &self.0.options().handshake);
        self.0.handshake().decide(request, true)
    }

    /// Counts an accepted request as a connection, and records a rejected one.
    #[allow(
        clippy::result_large_err,
        reason = "either variant is a response; it is not large on 32-bit targets"
    )]
    fn reserve(
        &self,
        peer: Option<SocketAddr>,
        decided: Result<Accepted, Rejected>,
    ) -> Result<Upgrade, http::Response<String>> {
        let (handshake, options) = (self.0.handshake(), self.0.options());
        // The limits were checked with the decision, but other clients may have connected since.
        let reserved = decided.and_then(|accepted| {
            let replaced = handshake.replaced(&accepted);
            let address = options.handshake.address(accepted.peer);
            let reserved =
                self.0.lifecycle.reserve(address, &options.handshake.admission, replaced);
            reserved.map_err(|status| handshake.full(status, accepted.untrusted_proxy))?;
            Ok(accepted)
        });
        match reserved {
            Ok(accepted) => Ok(Upgrade { server: self.clone(), accepted, is_reserved: true }),
            Err(Rejected { rejection, reason }) => {
                handshake.record_rejected(peer, rejection.status(), reason);
                Err(Response::rejection(&rejection).into_response())
            }
        }
    }

    /// Records that [`upgrade_async`](Self::upgrade_async) exceeded
    /// [`handshake_timeout`](Self::handshake_timeout). Returns the 503 response to send.
    #[must_use = "the response must be sent to the client"]
    pub fn authorize_timed_out(&self, peer: Option<SocketAddr>) -> http::Response<String> {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        self.0.handshake().record_rejected(peer, status, Some(WarningReason::AuthorizeTimeout));
        Response::error(status).into_response()
    }
}

impl Upgrade {
    /// Returns the 101 response to send, with its headers.
    #[must_use]
    pub fn response(&self) -> http::Response<String> {
        self.accepted.response.clone().into_response()
    }

    /// Starts serving the connection after the response has been sent. `leftover` contains the
    /// bytes read after the request's head, usually none. As with [`Server::connect`], the caller
    /// spawns the returned future.
    pub fn connect(mut self, transport: impl Transport, leftover: &[u8]) -> Connection {
        // From now on, the connection is counted, not the upgrade.
        self.is_reserved = false;
        // Move field by field, since a type that implements `Drop` cannot be destructured.
        let (shared, credentials) = (self.server.0.clone(), self.accepted.credentials.take());
        let opening = Opening {
            // The response is empty, since the framework has sent it.
            response: Vec::new(),
            compression: self.accepted.compression,
            credentials,
            leftover: leftover.to_vec(),
            session: self.accepted.session,
            tunnel: None,
        };
        Connection::upgraded(shared, transport, self.accepted.peer, opening)
    }

    /// Returns the time limit for sending the response, which is the handshake timeout. Drop the
    /// upgrade when it has expired.
    #[must_use]
    pub fn handshake_timeout(&self) -> Duration {
        self.server.0.options().handshake_timeout
    }

    /// Returns the server that accepted the request.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        if self.is_reserved {
            let address = self.server.0.options().handshake.address(self.accepted.peer);
            self.server.0.lifecycle.leave(SocketKind::Connection, address);
        }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("peer", &self.accepted.peer).finish_non_exhaustive()
    }
}
