//! Options for request handlers.

use std::future::Future;

use crate::app::message::{Message, OwnedMessage};
use crate::app::reply::IntoReply;
use crate::builder::Builder;
use crate::callbacks::handler::Callback;
use crate::server::conn::Conn;

impl<E> Builder<E> {
    /// Registers a handler for requests whose event is `event`. Its return value is sent as the
    /// reply. Only clients that use the extended protocol send requests. The rules for messages to
    /// rooms apply to requests too ([`may_publish`](Self::may_publish), and by default membership).
    /// A message with the same event that is not a request is passed to the handler registered with
    /// [`on`](Self::on).
    ///
    /// The handler returns a payload or a result; see [`IntoReply`]. An error is reported to
    /// [`on_error`](Self::on_error), and the client receives the code `failed` without the error's
    /// text, or `invalid` if reading the payload as text or JSON fails. A
    /// [`ReplyError`](crate::ReplyError) is not reported: the client receives its code and text. An
    /// error that was converted to `anyhow::Error` is always `failed`, because its type is no longer
    /// known. A panic closes the connection with 1011.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    /// let server = Server::builder()
    ///     .on_request("double", |_, message| {
    ///         let number: i32 = message.text()?.parse()?;
    ///         Ok((2 * number).to_string())
    ///     })
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn on_request<F, R>(mut self, event: impl Into<String>, handler: F) -> Self
    where
        F: Fn(&Conn, &Message<'_>) -> R + Send + Sync + 'static,
        R: IntoReply<E>,
    {
        let handler = move |conn: &Conn, message: &Message<'_>| handler(conn, message).into_reply();
        self.request_handlers.push((event.into(), Callback::Sync(Box::new(handler))));
        self
    }

    /// Like [`on_request`](Self::on_request), for a handler that waits for a database or another
    /// service. It returns the same payloads and errors; a [`ReplyError`](crate::ReplyError) is sent to
    /// the client with its code and text. The handler is cloned for each request, as an
    /// [`on_async`](Self::on_async) handler is for each message.
    ///
    /// Unlike message handlers, a pending request handler does not delay later messages from its
    /// connection. Handlers start in request order and reply in completion order. At most
    /// [`max_requests`](Self::max_requests) per connection are pending. They are dropped when the
    /// connection or, for an extended client, the session ends.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::{ReplyError, Server}; // or roomer_smol
    /// # #[derive(Clone)]
    /// # struct Pool;
    /// # impl Pool { async fn load(&self, _: &str) -> std::io::Result<Option<String>> { Ok(None) } }
    /// # let pool = Pool;
    /// let server = Server::builder()
    ///     .on_request_async("profile", async move |conn, message| {
    ///         if conn.user().is_none() {
    ///             return Err(ReplyError::refused("log in to see profiles").into());
    ///         }
    ///         // The text of this error is not for clients.
    ///         let profile = pool.load(message.text()?).await?;
    ///         Ok(profile.ok_or_else(|| ReplyError::failed("there is no such user"))?)
    ///     })
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn on_request_async<F, R>(mut self, event: impl Into<String>, handler: F) -> Self
    where
        F: FnOnce(Conn, OwnedMessage) -> R + Clone + Send + Sync + 'static,
        R: Future + Send + 'static,
        R::Output: IntoReply<E>,
    {
        let handler = move |conn, message| {
            let result = handler.clone()(conn, message);
            Box::pin(async { result.await.into_reply() }) as _
        };
        self.request_handlers.push((event.into(), Callback::Async(Box::new(handler))));
        self
    }

    /// Limits a connection's unanswered requests, separately for each kind: from its client to
    /// handlers, from its client to other clients, and from the server to its client. A request
    /// above the limit fails with the code `busy`. Default 64, since each may keep a future or a
    /// few hundred bytes. All other clients together may have 16 times as many unanswered requests
    /// to one client.
    pub fn max_requests(mut self, requests: usize) -> Self {
        self.config.max_requests = requests;
        self
    }
}
