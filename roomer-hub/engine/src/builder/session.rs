//! Options for the extended protocol: resumable sessions and login renewal.

use std::future::Future;
use std::time::Duration;

use crate::app::message::{Message, OwnedMessage};
use crate::builder::Builder;
use crate::callbacks::handler::Callback;
use crate::handshake::request::{AuthResult, Rejection};
use crate::server::conn::Conn;

const RENEWALS: (&str, &str) = ("renew_login", "renew_login_async");

impl<E> Builder<E> {
    /// Sets whether clients that request the extended protocol (`roomer=2` in the URL's query) get
    /// it. Default true, or false with [`compat`](Self::compat). If disabled, that query parameter
    /// is ignored, and events that begin with `roomer:` are ordinary events. If enabled, plain
    /// clients are not affected, except that they may not send such events.
    pub fn extended(mut self, enabled: bool) -> Self {
        self.extended = Some(enabled);
        self
    }

    /// Sets how long an extended client's session is kept after its socket is lost. Meanwhile, the
    /// client remains a member of its rooms, and messages to it are buffered. Default 30 s. With
    /// [`Duration::ZERO`], a lost socket ends the session, as with plain clients.
    ///
    /// A close by the server or the application, a close frame from the client, a drain and a
    /// shutdown always end the session.
    pub fn resume_window(mut self, window: Duration) -> Self {
        self.options.resume_window = window;
        self
    }

    /// Notifies the extended members of matching rooms when other members' clients lose their
    /// sockets, and again when they return within the [`resume_window`](Self::resume_window).
    /// `pattern` is a room's name, or a name prefix followed by `*`. Default: no room announces
    /// this, and a client that returns in time is never reported as away.
    ///
    /// Each lost socket costs up to two notices per other extended room member. Rooms without full
    /// [`presence`](Self::presence) do not show other members, and do not announce this. Plain
    /// members are not notified.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    ///
    /// let server = Server::builder().announce_away("game/*").build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn announce_away(mut self, pattern: impl Into<String>) -> Self {
        self.away_rooms.push(pattern.into());
        self
    }

    /// Limits the number of sessions without a socket. Above the limit, a lost socket ends the session
    /// immediately. Default 20,000: each keeps a task and its memberships for the whole
    /// [`resume_window`](Self::resume_window), whether or not its client returns.
    pub fn max_detached_sessions(mut self, sessions: usize) -> Self {
        self.options.max_detached_sessions = sessions;
        self
    }

    /// Sets the time over which extended clients' reconnects are spread after a drain or a
    /// shutdown. Each client is closed with 1012 and the reason `retry=MS`, and reconnects after
    /// `MS` milliseconds so that the next process receives connections at a steady rate. The same
    /// applies to closes with 1013, such as
    /// [`Conn::close_with_retry`](crate::Conn::close_with_retry). Default 10 s.
    pub fn retry_window(mut self, window: Duration) -> Self {
        self.options.retry_window = window;
        self
    }

    /// Renews logins that expire ([`Claims::valid_for`](crate::Claims::valid_for)) without a new
    /// connection. Before its login expires, an extended client is asked for a new token, and this
    /// hook is called with that token. The returned claims, including their validity, replace the
    /// earlier ones. If the hook returns a rejection, or another user's claims, the login expires
    /// as before. A panic closes that connection with 1011.
    ///
    /// Existing handles to the connection keep the earlier claims; handlers that run later get a
    /// handle with the new ones. Plain clients are not asked: their login expires, and they
    /// reconnect.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::{Claims, Rejection, Server}; // or roomer_smol
    /// use std::time::Duration;
    ///
    /// fn check(token: &str) -> Result<Claims, Rejection> {
    ///     match token.strip_prefix("ticket of ") {
    ///         Some(name) => Ok(Claims::new().user(name).valid_for(Duration::from_secs(600))),
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
        self.set(|options| &mut options.renew_login, Callback::Sync(Box::new(hook)), RENEWALS);
        self
    }

    /// Like [`renew_login`](Self::renew_login), for a hook that waits for a database or another
    /// service. While its future is pending, only later messages from the same connection wait. The
    /// hook is cloned for each token, as an [`on_async`](Self::on_async) handler is for each
    /// message.
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
        self.set(|options| &mut options.renew_login, Callback::Async(Box::new(hook)), RENEWALS);
        self
    }

    /// Sets how long before its login expires a client is asked for a new token. Default 60 s, and at
    /// most half of the time for which the login is still valid. After a renewal, the client is not
    /// asked again for two seconds, even if the new token expires at the same time as the old one.
    pub fn renew_login_before_expiry(mut self, time: Duration) -> Self {
        self.options.renew_login_before_expiry = time;
        self
    }

    /// Sets how many bytes of unacknowledged messages to an extended client are kept for its next
    /// socket. Default 256 KiB. If more messages accumulate while the client has no socket, its
    /// session ends. The bytes count towards [`memory_budget`](Self::memory_budget).
    pub fn resume_buffer(mut self, bytes: usize) -> Self {
        self.options.resume_buffer = bytes;
        self
    }
}
