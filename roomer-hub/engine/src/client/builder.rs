//! The builder of a client.

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

pub(super) type BoxStream = Box<dyn ByteStream>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type TokenSource = Arc<dyn Fn() -> BoxFuture<Result<String, String>> + Send + Sync>;
type Dial = Arc<dyn Fn() -> BoxFuture<io::Result<BoxStream>> + Send + Sync>;

/// The options of a client; [`connect`](Self::connect) starts it.
#[must_use]
pub struct Builder<R> {
    pub(super) target: Target,
    pub(super) handlers: Handlers,
    options: Options,
    /// True if each attempt may have another token.
    has_fresh_tokens: bool,
    runtime: PhantomData<fn() -> R>,
}

/// The way to open a connection: by TCP and TLS, or by the application's function.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: Address,
    pub(super) token: Option<TokenSource>,
    /// True if the token is sent as a subprotocol, and not in the address.
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
            runtime: PhantomData,
        }
    }

    /// Starts the client in a task of the runtime.
    ///
    /// # Errors
    ///
    /// [`InvalidAddress`] if the address is `wss://…`, and the feature `tls` is not enabled.
    ///
    /// # Panics
    ///
    /// If it is called outside the runtime, and the runtime needs to be entered.
    pub fn connect(self) -> Result<Client<R>, InvalidAddress> {
        let Builder { target, handlers, mut options, has_fresh_tokens, runtime } = self;
        // Here, since `options` may be called after `token`.
        options.renews_login |= has_fresh_tokens;
        let has_tls = cfg!(feature = "tls") || R::HAS_WEBSOCKETS;
        if target.address.is_tls() && target.dial.is_none() && !has_tls {
            return Err(InvalidAddress::without_tls());
        }
        let shared = Arc::new(Shared::new(options));
        let driver = Driver::<R>::new(shared.clone(), target, handlers);
        R::spawn(driver);
        Ok(Client { open: Arc::new(Open { shared }), runtime })
    }

    /// Sets all options of the protocol at once.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Adds a parameter to the query of the address.
    pub fn query(mut self, key: &str, value: &str) -> Self {
        self.target.address = self.target.address.query(key, value);
        self
    }

    /// Adds a header to the request, such as `Authorization` or `Origin`.
    ///
    /// # Errors
    ///
    /// [`InvalidAddress`] if the header belongs to the handshake, or if a line cannot contain it.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidAddress> {
        self.target.address = self.target.address.header(name, value)?;
        Ok(self)
    }

    /// Sets a function that returns a token, which is sent as `?token=…`. It is called for each attempt,
    /// so a token may expire. An error costs one attempt. It is also called when the server reports that
    /// the login expires ([`Event::Expiring`](super::Event::Expiring)): the client sends the new token.
    /// An error then costs the connection, and the next attempt asks again. For the same reason, 1008
    /// `login expired` and a response of 401 or 403 are not final for a client with such a function.
    pub fn token<F, E>(mut self, token: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, E>> + Send + 'static,
        E: fmt::Display,
    {
        self.has_fresh_tokens = true;
        self.target.token = Some(Arc::new(move || {
            let token = token();
            Box::pin(async move { token.await.map_err(|error| format!("no token: {error}")) })
        }));
        self
    }

    /// Sets a token, which is sent as `?token=…` with each attempt, and again when the server reports that
    /// the login expires: some servers accept it for longer by then. There will be no other one, so 1008
    /// `login expired` and a response of 401 or 403 are final.
    pub fn fixed_token(mut self, token: impl Into<String>) -> Self {
        let token = token.into();
        self.has_fresh_tokens = false;
        self.target.token = Some(Arc::new(move || {
            let token = token.clone();
            Box::pin(async move { Ok(token) })
        }));
        self
    }

    /// Sends the token of [`token`](Self::token) or [`fixed_token`](Self::fixed_token) as a subprotocol
    /// (`Sec-WebSocket-Protocol: roomer, token.…`) and not as `?token=…`, since proxies log addresses. The
    /// server selects `roomer`; its `Request::token` reads both. The Go original knows neither.
    pub fn token_in_protocol(mut self) -> Self {
        self.target.has_token_protocol = true;
        self
    }

    /// Sets a function that opens the stream to the server, in place of TCP and TLS: a pipe, a Unix
    /// socket, a tunnel. It is called for each attempt.
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

    /// Sets the configuration of TLS (feature `tls`), for authorities or certificates of your own. By
    /// default the client trusts the authorities that the system trusts.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: impl Into<Arc<futures_rustls::rustls::ClientConfig>>) -> Self {
        self.target.tls = Some(config.into());
        self
    }

    /// Sets whether the client asks for the extended protocol. Default true.
    pub fn extended(mut self, enabled: bool) -> Self {
        self.options.extended = enabled;
        self
    }

    /// Offers permessage-deflate to the server (RFC 7692): the client takes compressed messages, and
    /// compresses its own packets of at least `threshold` bytes. A connection that has done both owns about
    /// 350 KiB for it. Do not send a secret in one message with text of others: the length of the compressed
    /// message reveals something about it. Default: no offer.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, threshold: usize) -> Self {
        self.options.deflate = Some(threshold);
        self
    }

    /// Sets the maximum delay before the first reconnect, and before any later one. Default 500 ms and
    /// 30 s.
    pub fn delays(mut self, min: Duration, max: Duration) -> Self {
        // If both contradict each other, the minimum counts.
        (self.options.min_delay, self.options.max_delay) = (min, max.max(min));
        self
    }

    /// Sets the number of failed attempts in a row after which the client gives up. Default: it
    /// never does.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.retries = Some(retries);
        self
    }

    /// Sets the maximum number of messages that wait to be sent, and of their bytes. Default 1,000
    /// and 1 MiB.
    pub fn queue(mut self, messages: usize, bytes: usize) -> Self {
        (self.options.queue_messages, self.options.queue_bytes) = (messages, bytes);
        self
    }
}

impl<R> fmt::Debug for Builder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("address", &self.target.address)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
