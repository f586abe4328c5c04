//! Admission options: authorization, origins, proxies, connection limits, and draining.

use std::future::Future;
use std::time::Duration;

use crate::builder::{BuildError, Builder};
use crate::handshake::options::{Authorize, Health};
use crate::handshake::origin::{Origin, Origins};
use crate::handshake::pages::encoded;
use crate::handshake::request::{AuthResult, HandshakeRequest};
use crate::lifecycle::drain::DrainPolicy;
use crate::metrics::warning::Warning;

impl<E> Builder<E> {
    /// Sets the hook that decides from the HTTP request, before the upgrade, whether a client may
    /// connect. It returns the connection's [`Claims`](crate::Claims), or a rejection. The hook is
    /// called for each `GET` request to the WebSocket's path, even one that does not request an
    /// upgrade, unless the server is full. It runs in the connection's task and should return
    /// quickly. A panic is answered with 500.
    pub fn authorize<F>(self, hook: F) -> Self
    where
        F: Fn(&HandshakeRequest) -> AuthResult + Send + Sync + 'static,
    {
        self.set_authorize(Authorize::Sync(Box::new(hook)))
    }

    /// Like [`authorize`](Self::authorize), for a hook that waits for a database or another
    /// service. A pending hook delays only its own client. If the hook is still pending when the
    /// handshake times out ([`handshake_timeout`](Self::handshake_timeout)), the request is
    /// answered with 503. The future is dropped when the client disconnects. A server can have only
    /// one of the two hooks; to run both checks, call the synchronous one from this hook.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// # async fn find_user(_: &str) -> Option<String> { None }
    /// use roomer_tokio::{Claims, Rejection, Server}; // or roomer_smol
    ///
    /// let server = Server::builder()
    ///     .authorize_async(|request| async move {
    ///         let token = request.token().unwrap_or_default();
    ///         match find_user(&token).await {
    ///             Some(user) => Ok(Claims::new().user(user)),
    ///             None => Err(Rejection::unauthorized("a token, please")),
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn authorize_async<F, R>(self, hook: F) -> Self
    where
        F: Fn(HandshakeRequest) -> R + Send + Sync + 'static,
        R: Future<Output = AuthResult> + Send + 'static,
    {
        self.set_authorize(Authorize::Async(Box::new(move |request| Box::pin(hook(request)))))
    }

    fn set_authorize(mut self, hook: Authorize) -> Self {
        match (&self.options.handshake.authorize, &hook) {
            (Some(Authorize::Sync(_)), Authorize::Async(_))
            | (Some(Authorize::Async(_)), Authorize::Sync(_)) => {
                self.fail(BuildError::Exclusive("authorize", "authorize_async"));
            }
            _ => {}
        }
        self.options.handshake.authorize = Some(hook);
        self
    }

    /// Adds a subprotocol that the server selects if a client offers it in
    /// `Sec-WebSocket-Protocol`. Call this once for each subprotocol. If a client offers several of
    /// them, the server selects the first in the client's list. A browser that offers subprotocols
    /// closes the connection if the server selects none.
    ///
    /// Default: only `roomer`, which the Go original does not select. A client offers it together
    /// with its token, written as `token.` followed by the token's UTF-8 in URL-safe Base64 without
    /// padding, so that the token does not appear in URLs or in the logs of proxies.
    /// [`HandshakeRequest::token`] returns the token. Names that begin with `token.` are never
    /// selected.
    pub fn subprotocol(mut self, name: &str) -> Self {
        if !self.options.handshake.subprotocols.add(name) {
            self.fail(BuildError::Subprotocol(name.into()));
        }
        self
    }

    /// Calls `hook` for conditions that the operator should know about: rejected handshakes with
    /// the reason and the remedy, options that do not apply, a low limit on open files. At most one
    /// warning of each kind is reported every ten seconds. The hook runs in a connection's task and
    /// should return quickly. Default: none. With the `tracing` feature, the same warnings are
    /// emitted as events at `WARN`.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    /// let server = Server::builder()
    ///     .on_warning(|warning| eprintln!("warning: {warning}"))
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn on_warning<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Warning) + Send + Sync + 'static,
    {
        self.options.on_warning = Some(Box::new(hook));
        self
    }

    /// Allows pages from another origin, written as `https://example.com`, to connect; `any` allows
    /// all origins. Call this once for each origin. A `*` in the host is an error. Default: only
    /// pages from the host that the request names, since a browser sends the user's cookies with
    /// the requests of any page. Clients that do not send `Origin` are not browsers and may
    /// connect.
    pub fn allow_origin(mut self, origin: &str) -> Self {
        match Origin::parse(origin) {
            _ if origin == "any" => self.options.handshake.origins = Origins::Any,
            Some(origin) => self.options.handshake.origins.allow(origin),
            None => self.fail(BuildError::Origin(origin.into())),
        }
        self
    }

    /// Trusts a proxy to report its clients' addresses so that
    /// [`HandshakeRequest::peer`](crate::HandshakeRequest::peer) is the client's address and not
    /// the proxy's. `proxy` is an address (`10.0.0.1`), a network (`10.0.0.0/8`, `fd00::/8`), or
    /// `unix` for connections without an address. Call this once for each proxy or network.
    /// Default: no proxy is trusted, since any client can send `X-Forwarded-For`.
    ///
    /// If an address or a network is trusted, a request without an address is answered with 500 and
    /// a [warning](Self::on_warning), unless `unix` is also trusted.
    ///
    /// The client's address is taken from `X-Forwarded-For`, which is read from its end, where each
    /// proxy appends its peer's address. Trusted addresses are skipped; the first untrusted one is
    /// the client's. An entry that is not an address ends the search.
    pub fn trust_proxy(mut self, proxy: &str) -> Self {
        if !self.options.handshake.proxies.trust(proxy) {
            self.fail(BuildError::Proxy(proxy.into()));
        }
        self
    }

    /// Expects each connection from a [trusted proxy](Self::trust_proxy) to begin with a PROXY
    /// protocol header, version 1 or 2, which contains the client's address. HAProxy sends it with
    /// `send-proxy` or `send-proxy-v2`; so do load balancers that do not parse HTTP. The address is
    /// used for limits and for [`HandshakeRequest::peer`]; if that address also belongs to a
    /// trusted proxy, that proxy's `X-Forwarded-For` is used. A header from any other peer is
    /// answered with 400, and so is a trusted proxy's connection without one. Default: no
    /// connection begins with a header.
    ///
    /// The header comes before the TLS handshake, so a listener with roomer's own TLS cannot read it
    /// and returns an error if this option is set: terminate TLS at the proxy.
    pub fn proxy_protocol(mut self) -> Self {
        self.options.handshake.proxy_protocol = true;
        self
    }

    /// Limits the number of open connections, including closing ones. Default 100,000, which take a
    /// few hundred megabytes. Above the limit, an upgrade is answered with 503, and the server is
    /// not [ready](crate::Server::is_ready).
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.options.handshake.admission.connections.total = connections;
        self
    }

    /// Limits the connections per client address or, for IPv6, per /64 network. Default 20,000, or
    /// [`max_connections`](Self::max_connections) if that is lower: enough for an office behind one
    /// address, but not the whole server. Above the limit, an upgrade is answered with 429.
    ///
    /// Behind a [trusted](Self::trust_proxy) proxy, the address of the proxy's client is used.
    pub fn max_connections_per_address(mut self, connections: usize) -> Self {
        self.max_connections_per_address = Some(connections);
        self
    }

    /// Limits the connections per user ([`Claims::user`](crate::Claims::user)) on this node;
    /// cluster nodes count separately. Default: no limit. A new connection above the limit is
    /// accepted, and the user's oldest one is closed with 1008 `replaced by a newer connection`,
    /// after which its client does not reconnect. A client that reconnects after a network failure
    /// is therefore not locked out by its own old connection.
    ///
    /// The limit does not apply to a client without a user; the first such client causes a
    /// [warning](crate::WarningReason::NoUser).
    pub fn max_connections_per_user(mut self, connections: usize) -> Self {
        self.options.max_connections_per_user = connections;
        self
    }

    /// Limits the number of sockets that have not completed the handshake, or that are still
    /// receiving the response to a rejected one. Default 16,384: each costs a file descriptor and a
    /// few kilobytes, for up to [`handshake_timeout`](Self::handshake_timeout). A socket above the
    /// limit is answered with 503 immediately, whatever its request, and closed after a second;
    /// with TLS it is closed without a response.
    pub fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.options.handshake.admission.handshakes.total = handshakes;
        self.options.handshake.chosen.max_handshakes = true;
        self
    }

    /// Limits the handshakes per address, as
    /// [`max_connections_per_address`](Self::max_connections_per_address) limits connections. A
    /// trusted proxy, which connects for many clients, is exempt. Default 8,192, or
    /// [`max_handshakes`](Self::max_handshakes) if that is lower, so that thousands of clients can
    /// reconnect simultaneously after an outage. A handshake above the limit is answered with 429.
    pub fn max_handshakes_per_address(mut self, handshakes: usize) -> Self {
        self.max_handshakes_per_address = Some(handshakes);
        self
    }

    /// Sets how [`drain`](crate::Server::drain), and therefore `serve_until`, ends the server. Up
    /// to `connections_per_second` are closed per second so that clients do not all reconnect at
    /// the same time; connections still open at the deadline are aborted. Default: all connections
    /// are closed immediately, and have [`close_timeout`](Self::close_timeout) plus one second to
    /// complete.
    pub fn drain(mut self, deadline: Duration, connections_per_second: usize) -> Self {
        self.options.drain_policy =
            Some(DrainPolicy { deadline, per_second: connections_per_second });
        self
    }

    /// Answers health checks at two paths on the server's own port: with 200, or with 503 while the
    /// server is not [live](crate::Server::is_live) or not [ready](crate::Server::is_ready). Default:
    /// none. A check counts as a handshake for [`max_handshakes`](Self::max_handshakes). A server
    /// mounted into a framework uses the framework's routes instead.
    pub fn health(mut self, live: impl Into<String>, ready: impl Into<String>) -> Self {
        let [live, ready] = [live.into(), ready.into()].map(|path| encoded(&path));
        self.options.handshake.health = Some(Health { live, ready });
        self
    }
}
