//! The client builder: address, token, TLS and limits.

use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use roomer_proto::client::{Address, InvalidAddress, Options};

use super::driver::Driver;
use super::handle::{Client, Open};
use super::requests::Handlers;
use super::runtime::{ByteStream, Runtime};
use super::shared::Shared;
use crate::app::call::HandlerError;

pub(super) type BoxStream = Box<dyn ByteStream>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
pub(super) type TokenSource = Arc<dyn Fn() -> BoxFuture<Result<String, String>> + Send + Sync>;
type Dial = Arc<dyn Fn() -> BoxFuture<io::Result<BoxStream>> + Send + Sync>;

/// A client's options. [`connect`](Self::connect) starts the client.
#[must_use]
pub struct Builder<R, E = HandlerError> {
    pub(super) target: Target,
    pub(super) handlers: Handlers,
    options: Options,
    /// True if each attempt may use a different token.
    has_fresh_tokens: bool,
    /// The runtime, and the error type of handlers that are added next.
    types: PhantomData<fn() -> (R, E)>,
}

/// How to open a connection: over TCP and TLS, or with an application function.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: Address,
    pub(super) token: Option<TokenSource>,
    /// True if the token is sent as a subprotocol instead of in the URL's query.
    pub(super) has_token_protocol: bool,
    pub(super) dial: Option<Dial>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<futures_rustls::rustls::ClientConfig>>,
}

impl<R: Runtime> Builder<R> {
    pub(super) fn new(address: Address) -> Self {
        let target = Target {
            address,
            token: None,
            has_token_protocol: false,
            dial: None,
            #[cfg(feature = "tls")]
            tls: None,
        };
        Builder {
            target,
            handlers: Handlers::new(),
            options: Options::default(),
            has_fresh_tokens: false,
            types: PhantomData,
        }
    }
}

impl<R: Runtime, E> Builder<R, E> {
    /// Starts the client in a task on the runtime.
    ///
    /// # Errors
    ///
    /// Returns an [`InvalidAddress`] if the address is `wss://…`, and the `tls` feature is not
    /// enabled.
    ///
    /// # Panics
    ///
    /// Panics if the runtime requires its context to be entered, as Tokio does, and this is called
    /// outside it.
    pub fn connect(self) -> Result<Client<R>, InvalidAddress> {
        let Builder { target, handlers, mut options, has_fresh_tokens, .. } = self;
        // Combine the flags here, since `options` may be called after `token`.
        options.renews_login |= has_fresh_tokens;
        let has_tls = cfg!(feature = "tls") || R::HAS_WEBSOCKETS;
        if target.address.is_tls() && target.dial.is_none() && !has_tls {
            return Err(InvalidAddress::without_tls());
        }
        let shared = Arc::new(Shared::new(options));
        let driver = Driver::<R>::new(shared.clone(), target, handlers);
        R::spawn(driver);
        Ok(Client { open: Arc::new(Open { shared }), runtime: PhantomData })
    }

    /// Sets the error type of request handlers added after this call, as
    /// [`error_type`](crate::Builder::error_type) does for a server. Default: [`HandlerError`], to
    /// which `?` converts any error. With another type, functions that return that type can be
    /// handlers, and macros such as anyhow's `bail!` work in them.
    pub fn error_type<N: Into<HandlerError>>(self) -> Builder<R, N> {
        let Builder { target, handlers, options, has_fresh_tokens, .. } = self;
        Builder { target, handlers, options, has_fresh_tokens, types: PhantomData }
    }

    /// Sets all protocol options in one call.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Adds a parameter to the URL query.
    pub fn query(mut self, key: &str, value: &str) -> Self {
        self.target.address = self.target.address.query(key, value);
        self
    }

    /// Adds a header to the request, such as `Authorization` or `Origin`.
    ///
    /// # Errors
    ///
    /// Returns an [`InvalidAddress`] if the header is reserved for the handshake, or is not valid
    /// in HTTP.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidAddress> {
        self.target.address = self.target.address.header(name, value)?;
        Ok(self)
    }

    /// Sets a function that returns a token, which is sent as `?token=…`. The function is called
    /// for each attempt, so tokens may expire. If it returns an error or panics, that attempt
    /// fails. The function is also called when the server reports that the login is about to expire
    /// ([`Event::Expiring`](super::Event::Expiring)), and the client sends the new token. If the
    /// function returns an error in this case, the server closes the connection, and the next
    /// attempt calls the function again. Therefore, if this function is set, 1008 `login expired`
    /// and a response of 401 or 403 are not final.
    pub fn token<F, T>(mut self, token: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, T>> + Send + 'static,
        T: fmt::Display,
    {
        self.has_fresh_tokens = true;
        self.target.token = Some(Arc::new(move || {
            let token = token();
            Box::pin(async move { token.await.map_err(|error| format!("no token: {error}")) })
        }));
        self
    }

    /// Sets a token, which is sent as `?token=…` with each attempt. The client sends it again when
    /// the server reports that the login is about to expire, since the server may extend the login.
    /// The token never changes, so 1008 `login expired` and a response of 401 or 403 are final. After
    /// the first connection, this does not apply to a response without the header `Roomer-Status`:
    /// a proxy has sent it, maybe during an outage.
    pub fn fixed_token(mut self, token: impl Into<String>) -> Self {
        let token = token.into();
        self.has_fresh_tokens = false;
        self.target.token = Some(Arc::new(move || {
            let token = token.clone();
            Box::pin(async move { Ok(token) })
        }));
        self
    }

    /// Sends the token from [`token`](Self::token) or [`fixed_token`](Self::fixed_token) as a
    /// subprotocol (`Sec-WebSocket-Protocol: roomer, token.…`) instead of as `?token=…`, since
    /// proxies log URLs. A roomer server selects `roomer`, and its `HandshakeRequest::token` reads
    /// both forms. The Go original supports neither.
    pub fn token_in_protocol(mut self) -> Self {
        self.target.has_token_protocol = true;
        self
    }

    /// Sets a function that opens the stream to the server in place of TCP and TLS, for example
    /// over a pipe, a Unix socket or a tunnel. The function is called for each attempt. If it
    /// returns an error or panics, that attempt fails.
    pub fn stream<F, S>(mut self, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: ByteStream,
    {
        self.target.dial = Some(Arc::new(move || {
            let stream = open();
            Box::pin(async move { Ok(Box::new(stream.await?) as BoxStream) })
        }));
        self
    }

    /// Sets the TLS configuration (feature `tls`), for your own certificate authorities or client
    /// certificates. By default, the client trusts the system's certificate authorities.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: impl Into<Arc<futures_rustls::rustls::ClientConfig>>) -> Self {
        self.target.tls = Some(config.into());
        self
    }

    /// Sets whether the client requests the extended protocol. Default true.
    pub fn extended(mut self, enabled: bool) -> Self {
        self.options.extended = enabled;
        self
    }

    /// Offers permessage-deflate to the server (RFC 7692). If it is negotiated, the client accepts
    /// compressed messages, and compresses its own packets of at least `threshold` bytes. A
    /// connection that does both allocates about 350 KiB. Do not combine a secret with text from
    /// others in one message, since the compressed message's length reveals something about the
    /// content. Default: no offer.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, threshold: usize) -> Self {
        self.options.deflate = Some(threshold);
        self
    }

    /// Sets the maximum delay before the first reconnect, and before any later one. Default 500 ms and
    /// 30 s.
    pub fn delays(mut self, min: Duration, max: Duration) -> Self {
        // If `max` is below `min`, `min` applies to both.
        (self.options.min_delay, self.options.max_delay) = (min, max.max(min));
        self
    }

    /// Sets the number of consecutive failed attempts after which the client stops reconnecting.
    /// Default: no limit.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.retries = Some(retries);
        self
    }

    /// Limits the queue of unsent messages, by number and by total bytes. An empty queue accepts a
    /// message of any size. Default 1,000 and 1 MiB.
    pub fn queue(mut self, messages: usize, bytes: usize) -> Self {
        (self.options.queue_messages, self.options.queue_bytes) = (messages, bytes);
        self
    }
}

impl<R, E> fmt::Debug for Builder<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("address", &self.target.address)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
