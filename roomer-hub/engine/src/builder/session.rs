//! The extended protocol: sessions that outlive their sockets.

use std::future::Future;
use std::time::Duration;

use crate::app::message::{Message, OwnedMessage};
use crate::builder::Builder;
use crate::callbacks::handler::Callback;
use crate::handshake::request::{AuthResult, Rejection};
use crate::server::conn::Conn;

impl<E> Builder<E> {
    /// Sets whether clients that ask for the extended protocol (`roomer=2` in the query of their
    /// address) get it. Default true, and false after [`compat`](Self::compat). Without it their
    /// query means nothing, and events that begin with `roomer:` are ordinary ones. Plain clients
    /// notice no difference, except that they may not send such events.
    pub fn extended(mut self, enabled: bool) -> Self {
        self.options.extended = enabled;
        self.config.extended = enabled;
        self
    }

    /// Sets how long the session of an extended client is kept after its socket was lost: its
    /// memberships stay, and what is sent to it meanwhile is kept for it. Default 30 s. With
    /// [`Duration::ZERO`] a lost socket ends the session, as it does with plain clients.
    ///
    /// A close by the server or the application, a close frame of the client, a drain and a
    /// shutdown always end it.
    pub fn resume_window(mut self, window: Duration) -> Self {
        self.options.resume_window = window;
        self
    }

    /// Limits the number of sessions without a socket. Above it, a lost socket ends the session at
    /// once. Default 20,000: each keeps a task and its memberships for the whole
    /// [`resume_window`](Self::resume_window), whether or not its client returns.
    pub fn max_detached(mut self, sessions: usize) -> Self {
        self.options.max_detached = sessions;
        self
    }

    /// Sets the time over which a drain and a shutdown spread the return of extended clients. Each is
    /// closed with 1012 and the reason `retry=MS`, and reconnects after that many milliseconds, so that
    /// the next process meets a steady rate of clients and not all of them at once. Default 10 s.
    pub fn retry_window(mut self, window: Duration) -> Self {
        self.options.retry_window = window;
        self
    }

    /// Renews logins that expire ([`Claims::good_for`](crate::Claims::good_for)) without a new
    /// connection: before the time is over, an extended client is asked for a new token, with which
    /// this hook is called. The claims that it returns replace the earlier ones, the validity of
    /// the login included. If it returns a rejection, or claims of another user, the login expires
    /// as planned. A panic closes that connection with 1011.
    ///
    /// Existing handles to the connection keep the earlier claims; handlers get a new one. Plain
    /// clients are not asked: their login expires, and they connect again.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::{Claims, Rejection, Server}; // or roomer_smol
    /// use std::time::Duration;
    ///
    /// fn check(token: &str) -> Result<Claims, Rejection> {
    ///     match token.strip_prefix("ticket of ") {
    ///         Some(name) => Ok(Claims::new().user(name).good_for(Duration::from_secs(600))),
    ///         None => Err(Rejection::unauthorized("a ticket, please")),
    ///     }
    /// }
    ///
    /// let server = Server::builder()
    ///     .authorize(|request| check(&request.token().unwrap_or_default()))
    ///     .renew_login(|_, token| check(token))
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn renew_login<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Conn, &str) -> AuthResult + Send + Sync + 'static,
    {
        let hook = move |conn: &Conn, message: &Message<'_>| match message.text() {
            Ok(token) => hook(conn, token),
            Err(_) => Err(Rejection::unauthorized("the token is not text")),
        };
        self.options.renew_login = Some(Callback::Sync(Box::new(hook)));
        self
    }

    /// Like [`renew_login`](Self::renew_login), for a hook that waits for a database or another
    /// service. While its future is pending, only its connection's later messages wait. The hook is
    /// cloned for each token, as a handler of [`on_async`](Self::on_async) is for each message.
    pub fn renew_login_async<F, R>(mut self, hook: F) -> Self
    where
        F: FnOnce(Conn, String) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = AuthResult> + Send + 'static,
    {
        let hook = move |conn, message: OwnedMessage| {
            let hook = hook.clone();
            Box::pin(async move {
                match message.text() {
                    Ok(token) => hook(conn, token.to_owned()).await,
                    Err(_) => Err(Rejection::unauthorized("the token is not text")),
                }
            }) as _
        };
        self.options.renew_login = Some(Callback::Async(Box::new(hook)));
        self
    }

    /// Sets how long before a login expires the client is asked for a new token. Default 60 s; a
    /// login that is valid for less is renewed at once.
    pub fn renew_login_before(mut self, time: Duration) -> Self {
        self.options.renew_login_before = time;
        self
    }

    /// Sets how many bytes of messages that an extended client has not acknowledged are kept for
    /// its next socket. Default 256 KiB. A client without a socket that misses more loses its
    /// session. They count against [`memory_budget`](Self::memory_budget).
    pub fn resume_buffer(mut self, bytes: usize) -> Self {
        self.options.resume_buffer = bytes;
        self
    }
}
