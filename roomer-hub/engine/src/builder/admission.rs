//! Who may come in, how many, and how it ends.

use std::future::Future;
use std::time::Duration;

use crate::builder::Builder;
use crate::builder::options::{Authorize, Health};
use crate::handshake::origin::{Origin, Origins};
use crate::handshake::request::{AuthResult, Request};
use crate::lifecycle::drain::DrainPolicy;
use crate::metrics::warning::Warning;

impl<E> Builder<E> {
    /// Decides who may come in, by the HTTP request, before the upgrade: [`Claims`](crate::Claims)
    /// to come in with, or a refusal. It is asked for each `GET` of the WebSocket's path, even one that asks for
    /// no upgrade, unless the server is full. Keep it quick: it runs in the connection's task. A
    /// panic is answered 500.
    pub fn authorize<F>(self, hook: F) -> Self
    where
        F: Fn(&Request) -> AuthResult + Send + Sync + 'static,
    {
        self.ask(Authorize::Sync(Box::new(hook)))
    }

    /// As [`authorize`](Self::authorize), for a hook that has to ask somebody: a database, another
    /// service. Only that client waits, for as long as its handshake may take
    /// ([`handshake_timeout`](Self::handshake_timeout)); then it is answered 503. The hook is
    /// dropped, wherever it is, when the client goes. A server has one hook or the other: where
    /// both are wanted, this one calls the first.
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
    ///             Some(user) => Ok(Claims::from([("user".into(), user)])),
    ///             None => Err(Rejection::unauthorized("a token, please")),
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn authorize_async<F, R>(self, hook: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = AuthResult> + Send + 'static,
    {
        self.ask(Authorize::Async(Box::new(move |request| Box::pin(hook(request)))))
    }

    fn ask(mut self, hook: Authorize) -> Self {
        match (&self.options.authorize, &hook) {
            (Some(Authorize::Sync(_)), Authorize::Async(_))
            | (Some(Authorize::Async(_)), Authorize::Sync(_)) => {
                self.exclusive = Some(("authorize", "authorize_async"));
            }
            _ => {}
        }
        self.options.authorize = Some(hook);
        self
    }

    /// Adds a subprotocol to select when a client offers it in `Sec-WebSocket-Protocol`; call it
    /// once for each. Of several that a client offers and the server knows, the client's first is
    /// selected. A browser that offers some and gets none ends the connection.
    ///
    /// Default: `roomer` alone, which the Go original does not select. A client offers it beside
    /// its token, written `token.` and the token's UTF-8 in Base64 for URLs without padding, so
    /// that the token is in no address and no proxy's log; [`Request::token`] finds it. What
    /// begins with `token.` is never selected.
    pub fn subprotocol(mut self, name: &str) -> Self {
        if !self.options.subprotocols.add(name) {
            self.bad_subprotocol = Some(name.into());
        }
        self
    }

    /// Calls `hook` with what the operator should look at: refused handshakes with the reason and
    /// the remedy, options that cannot hold, a low limit of descriptors. At most one of each kind
    /// in ten seconds. The hook runs in a connection's task: keep it quick. Default: none; with
    /// the feature `tracing` the subscriber gets the same at `WARN`.
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

    /// Lets pages of another origin connect, written as `https://example.com`; `any` lets all.
    /// Default: only pages of the host that the request names, since a browser sends the user's
    /// cookies whoever wrote the page. Clients that send no `Origin` are no browsers and pass.
    pub fn allow_origin(mut self, origin: &str) -> Self {
        match Origin::parse(origin) {
            _ if origin == "any" => self.options.origins = Origins::Any,
            Some(origin) => self.options.origins.allow(origin),
            None => self.bad_origin = Some(origin.into()),
        }
        self
    }

    /// Believes what a proxy says about whom it speaks for, so that
    /// [`Request::peer`](crate::Request::peer) is the client's address and not the proxy's.
    /// Written as an address (`10.0.0.1`), a network (`10.0.0.0/8`, `fd00::/8`), or `unix` for
    /// connections that have no address; call it once for each. Default: nobody is believed,
    /// since anybody can send the header.
    ///
    /// If this is called with an address or a network, a request without an address is answered 500,
    /// with a [warning](Self::on_warning), unless `unix` is trusted too.
    ///
    /// What counts is `X-Forwarded-For`, read from its end, where the proxy has added the address
    /// that it was called from. Those named there who are trusted too are passed over; the first
    /// who is not is the client. What is no address ends the search.
    pub fn trust_proxy(mut self, proxy: &str) -> Self {
        if !self.options.proxies.trust(proxy) {
            self.bad_proxy = Some(proxy.into());
        }
        self
    }

    /// Expects each connection of a [trusted proxy](Self::trust_proxy) to begin with a header of the
    /// PROXY protocol, version 1 or 2, which says for whom it is: what HAProxy sends with
    /// `send-proxy` or `send-proxy-v2`, and load balancers that do not read HTTP. The address in it
    /// is the connection's, for limits and for [`Request::peer`]; if that is a trusted proxy too,
    /// its `X-Forwarded-For` counts. Connections of others do not begin so, and a header in them is
    /// answered 400, as is a trusted proxy without one. Default: no connection begins so.
    ///
    /// The header comes before all else, so a listener with TLS of roomer's own cannot read it, and
    /// is not served with this option: let the proxy end TLS.
    pub fn proxy_protocol(mut self) -> Self {
        self.options.proxy_protocol = true;
        self
    }

    /// The most connections at one time, those that are being closed included. Default 100,000,
    /// which take some hundred megabytes. Above it an upgrade is answered 503, and the server is
    /// not [ready](crate::Server::is_ready).
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.options.admission.connections.total = connections;
        self
    }

    /// The most connections of one client address; of IPv6, of one network of 64 bits. Default
    /// 20,000, or [`max_connections`](Self::max_connections) if that is lower: enough for an
    /// office behind one address, and not all. Above it an upgrade is answered 429.
    ///
    /// Behind a proxy that is [trusted](Self::trust_proxy) the address is that of the proxy's
    pub fn max_connections_per_address(mut self, connections: usize) -> Self {
        self.max_connections_per_address = Some(connections);
        self
    }

    /// Limits the connections of one user, whom [`Claims::user`](crate::Claims::user)
    /// names. Default: any number. A new connection above it is let in, and the user's oldest is
    /// closed with 1008 `replaced by a newer connection`, which its client takes as final: one
    /// that comes back after its network broke is not kept out by what it left behind.
    pub fn max_connections_per_user(mut self, connections: usize) -> Self {
        self.options.max_connections_per_user = connections;
        self
    }

    /// The most sockets at one time that are no connection yet, or were refused and still read
    /// the answer. Default 16,384: each costs a descriptor and a few kilobytes, for up to
    /// [`handshake_timeout`](Self::handshake_timeout). One above it is answered 503 at once,
    /// whatever it was going to ask, and is gone after a second; TLS is closed without an answer.
    pub fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.options.admission.handshakes.total = handshakes;
        self.options.chosen.max_handshakes = true;
        self
    }

    /// The same for one address, as for
    /// [`max_connections_per_address`](Self::max_connections_per_address); but a trusted proxy,
    /// through which everybody comes, has no such cap. Default 8,192, or
    /// [`max_handshakes`](Self::max_handshakes) if that is lower: thousands who come back at once
    /// after an outage pass. One above it is answered 429.
    pub fn max_handshakes_per_address(mut self, handshakes: usize) -> Self {
        self.max_handshakes_per_address = Some(handshakes);
        self
    }

    /// How [`drain`](crate::Server::drain), and with it `serve_until`, ends the server: at
    /// the deadline whatever is left is cut, and until then so many connections a second are
    /// closed, so that those who come back do not come all at once. Default: all are closed at
    /// once, and have [`close_timeout`](Self::close_timeout) and one second more for it.
    pub fn drain(mut self, deadline: Duration, connections_per_second: usize) -> Self {
        self.options.drain_policy =
            Some(DrainPolicy { deadline, per_second: connections_per_second });
        self
    }

    /// Answers health checks at two paths of the server's own port: 200, or 503 while it is not
    /// [live](crate::Server::is_live) or not
    /// [ready](crate::Server::is_ready). Default: none. A check is a handshake like any
    /// other for [`max_handshakes`](Self::max_handshakes). A server within a framework has its
    /// routes for it.
    pub fn health(mut self, live: impl Into<String>, ready: impl Into<String>) -> Self {
        self.options.health = Some(Health { live: live.into(), ready: ready.into() });
        self
    }
}
