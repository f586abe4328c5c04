//! Application options: handlers, rules, hooks and shared state.

use std::any::Any;
use std::future::Future;

use crate::app::call::HandlerError;
use crate::app::disconnect::DisconnectReason;
use crate::app::handler_result::IntoHandlerResult;
use crate::app::message::{Message, OwnedMessage};
use crate::builder::Builder;
use crate::callbacks::handler::{Callback, Rule};
use crate::server::conn::Conn;

impl<E> Builder<E> {
    /// Registers a handler, called when a client sends `event` to a room, instead of broadcasting
    /// the message. The handler runs in the connection's own task and delays only that connection's
    /// later messages. A panic closes that connection with 1011.
    ///
    /// The handler returns `()` or a result: an error is reported to [`on_error`](Self::on_error)
    /// and the connection stays open. `?` converts any error.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    /// let server = Server::builder()
    ///     .on("ping", |conn, message| conn.reply(message, "pong", &message.payload))
    ///     .on("double", |conn, message| {
    ///         let number: i32 = message.text()?.parse()?;
    ///         conn.reply(message, "doubled", (2 * number).to_string());
    ///         Ok(())
    ///     })
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    ///
    /// Handlers do not receive direct messages, nor, by default, messages to rooms that the sender is
    /// not in.
    pub fn on<F, R>(mut self, event: impl Into<String>, handler: F) -> Self
    where
        F: Fn(&Conn, &Message<'_>) -> R + Send + Sync + 'static,
        R: IntoHandlerResult<E>,
    {
        let handler =
            move |conn: &Conn, message: &Message<'_>| handler(conn, message).into_handler_result();
        self.handlers.push((event.into(), Callback::Sync(Box::new(handler))));
        self
    }

    /// Like [`on`](Self::on), for a handler that waits for a database or another service. While its
    /// future is pending, only later messages from the same connection wait, 64 KiB of them in
    /// memory and the rest in the socket; pings are sent and answered. If the client closes the
    /// connection, its earlier messages are still handled, for at most
    /// [`close_timeout`](Self::close_timeout); then the connection ends. The future is dropped when
    /// the connection ends, so spawn a task for work that must be completed.
    ///
    /// The handler is cloned for each message so that an `async move` closure may use a captured
    /// pool or sender without cloning it explicitly. Captured values must be [`Clone`] (wrap others
    /// in an [`Arc`](std::sync::Arc)), and the future must be [`Send`].
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    /// # #[derive(Clone)]
    /// # struct Pool;
    /// # impl Pool { async fn store(&self, _: &str) -> std::io::Result<()> { Ok(()) } }
    /// # let pool = Pool;
    /// let server = Server::builder()
    ///     .on_async("save", async move |conn, message| {
    ///         pool.store(message.text()?).await?;
    ///         conn.send_to_room(&message.room, "saved", &message.payload);
    ///         Ok(())
    ///     })
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn on_async<F, R>(mut self, event: impl Into<String>, handler: F) -> Self
    where
        F: FnOnce(Conn, OwnedMessage) -> R + Clone + Send + Sync + 'static,
        R: Future + Send + 'static,
        R::Output: IntoHandlerResult<E>,
    {
        let handler = move |conn, message| {
            let result = handler.clone()(conn, message);
            Box::pin(async { result.await.into_handler_result() }) as _
        };
        self.handlers.push((event.into(), Callback::Async(Box::new(handler))));
        self
    }

    /// Sets the error type of handlers added after this call. Default: [`HandlerError`], to which any
    /// error converts. With another type, functions that return that type can be handlers, and macros
    /// such as anyhow's `bail!` work in them.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::{Conn, OwnedMessage, Server}; // or roomer_smol
    /// async fn save(_: Conn, message: OwnedMessage) -> std::io::Result<()> {
    ///     std::fs::write("saved", &message.payload)
    /// }
    ///
    /// let server = Server::builder()
    ///     .error_type::<std::io::Error>() // or anyhow::Error
    ///     .on_async("save", save)
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn error_type<N: Into<HandlerError>>(self) -> Builder<N> {
        self.with_error_type()
    }

    /// Sets the rule that decides whether a client may join a room. If the rule returns false, the
    /// client receives `leave_ack` without a reason, as clients of the Go implementation expect.
    /// The rule is not called for `root` (use [`authorize`](Self::authorize)), for a room that the
    /// client is already in, or for joins by the server. A panic closes that connection with 1011.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    /// let server = Server::builder()
    ///     .may_join(|conn, room| {
    ///         let team = conn.claims().and_then(|claims| claims.get("team"));
    ///         !room.starts_with("team:") || team.is_some_and(|team| &room[5..] == team)
    ///     })
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn may_join<F>(mut self, rule: F) -> Self
    where
        F: Fn(&Conn, &str) -> bool + Send + Sync + 'static,
    {
        let rule = move |conn: &Conn, message: &Message<'_>| rule(conn, message.room);
        self.set(
            |options| &mut options.rules.join,
            Callback::Sync(Box::new(rule)),
            ("may_join", "may_join_async"),
        );
        self
    }

    /// Like [`may_join`](Self::may_join), for a rule that waits for a database or another service.
    /// A pending join delays only its own connection. The rule is cloned for each join, as an
    /// [`on_async`](Self::on_async) handler is for each message.
    ///
    /// [`Server::kick`](crate::Server::kick) cancels a pending join, so an application can withdraw
    /// a permission and then kick the client, whether or not the client is already a member. This
    /// also means that a rule that kicks its own connection from the room rejects the join. To let
    /// only a user's newest connection into a room, let the rule kick the user's [other
    /// connections](crate::User::conns).
    pub fn may_join_async<F, R>(mut self, rule: F) -> Self
    where
        F: FnOnce(Conn, String) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        let rule = move |conn, message: OwnedMessage| {
            Box::pin(rule.clone()(conn, message.room.to_string())) as _
        };
        self.set(
            |options| &mut options.rules.join,
            Callback::Async(Box::new(rule)),
            ("may_join", "may_join_async"),
        );
        self
    }

    /// Sets the rule that decides whether a client may send a message to a room, whether for its
    /// members or for a handler. If the rule returns false, the message is dropped and counted. By
    /// default, the rule is called only for messages from members, since those from other clients
    /// are dropped anyway. A panic closes that connection with 1011.
    pub fn may_publish<F>(mut self, rule: F) -> Self
    where
        F: Fn(&Conn, &Message<'_>) -> bool + Send + Sync + 'static,
    {
        self.set(
            |options| &mut options.rules.publish,
            Callback::Sync(Box::new(rule)),
            ("may_publish", "may_publish_async"),
        );
        self
    }

    /// Like [`may_publish`](Self::may_publish), for a rule that waits for a database or another
    /// service.
    pub fn may_publish_async<F, R>(mut self, rule: F) -> Self
    where
        F: FnOnce(Conn, OwnedMessage) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        self.set(
            |options| &mut options.rules.publish,
            async_rule(rule),
            ("may_publish", "may_publish_async"),
        );
        self
    }

    /// Sets the rule that decides whether a client may send a direct message to the connection with
    /// the id [`dst`](Message::dst). If the rule returns false, the message is dropped and counted.
    /// A panic closes the sender's connection with 1011.
    pub fn may_send<F>(mut self, rule: F) -> Self
    where
        F: Fn(&Conn, &Message<'_>) -> bool + Send + Sync + 'static,
    {
        self.set(
            |options| &mut options.rules.direct,
            Callback::Sync(Box::new(rule)),
            ("may_send", "may_send_async"),
        );
        self
    }

    /// Like [`may_send`](Self::may_send), for a rule that waits for a database or another service.
    pub fn may_send_async<F, R>(mut self, rule: F) -> Self
    where
        F: FnOnce(Conn, OwnedMessage) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        self.set(
            |options| &mut options.rules.direct,
            async_rule(rule),
            ("may_send", "may_send_async"),
        );
        self
    }

    /// Calls `hook` for each new connection, after it has joined `root`.
    ///
    /// The hooks for connections, joins and leaves run one at a time, in event order, so a slow
    /// hook delays the others; sending and receiving are not affected. A panic closes the event's
    /// connection with 1011.
    pub fn on_connect<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Conn) + Send + Sync + 'static,
    {
        self.options.hooks.connect = Some(Box::new(hook));
        self
    }

    /// Calls `hook` for each join, including the one to `root`, after the room's members have been
    /// notified. For order and panics, see [`on_connect`](Self::on_connect).
    pub fn on_join<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Conn, &str) + Send + Sync + 'static,
    {
        self.options.hooks.join = Some(Box::new(hook));
        self
    }

    /// Calls `hook` for each leave, including the one from `root`: by the client, by the server,
    /// or because the connection has ended. For order and panics, see [`on_connect`](Self::on_connect).
    pub fn on_leave<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Conn, &str) + Send + Sync + 'static,
    {
        self.options.hooks.leave = Some(Box::new(hook));
        self
    }

    /// Calls `hook` with the reason when a connection has ended and left all its rooms, no matter
    /// whether the client, the server or the network ended it. For order and panics, see
    /// [`on_connect`](Self::on_connect).
    pub fn on_disconnect<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Conn, DisconnectReason) + Send + Sync + 'static,
    {
        self.options.hooks.disconnect = Some(Box::new(hook));
        self
    }

    /// Adds state shared by handlers, rules and hooks. [`Conn::state`] returns a value by its type.
    /// If two values of the same type are added, the first is used.
    pub fn state<T: Any + Send + Sync>(mut self, state: T) -> Self {
        self.options.state.push(Box::new(state));
        self
    }

    /// Calls `hook` for each error that a handler returns, and for each panic
    /// ([`HandlerPanic`](crate::HandlerPanic)) in a handler or rule. Without a hook, they are only
    /// counted. After an error, the connection stays open.
    pub fn on_error<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Conn, &Message<'_>, HandlerError) + Send + Sync + 'static,
    {
        self.options.on_error = Some(Box::new(hook));
        self
    }
}

fn async_rule<F, R>(rule: F) -> Rule
where
    F: FnOnce(Conn, OwnedMessage) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = bool> + Send + 'static,
{
    Callback::Async(Box::new(move |conn, message| Box::pin(rule.clone()(conn, message)) as _))
}
