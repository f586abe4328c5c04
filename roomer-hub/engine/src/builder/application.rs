//! The application's part of a server: handlers, rules, hooks, state.

use std::any::Any;
use std::future::Future;

use crate::app::conn::Conn;
use crate::app::handler::{Callback, HandlerError, Rule};
use crate::app::handler_result::IntoHandlerResult;
use crate::app::hooks::DisconnectReason;
use crate::app::message::{Message, OwnedMessage};
use crate::builder::Builder;

impl<E> Builder<E> {
    /// Runs `handler` when a client sends `event` to a room, instead of broadcasting it. It runs
    /// in the connection's own task and holds up only that: its later messages wait. A panic
    /// closes that connection with 1011.
    ///
    /// It returns nothing, or a result: an error is reported to [`on_error`](Self::on_error) and
    /// the connection stays open. `?` converts any error.
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
    /// Direct messages never come to a handler, nor do, by default, messages into rooms that the
    /// sender is not in.
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

    /// As [`on`](Self::on), for a handler that waits for something: a database, another service.
    /// While it does, its connection's later messages wait, and only those; pings still go out.
    /// It is dropped, wherever it is, when the connection ends.
    ///
    /// The handler is cloned for each message, so an `async move` closure may use what it has
    /// captured, a pool or a sender, without cloning that by hand; what it captures has to be
    /// [`Clone`] (put anything else into an [`Arc`](std::sync::Arc)). Its future has to be [`Send`].
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

    /// Sets the error type of the results that handlers return which are added after this. Default:
    /// [`HandlerError`], which every error can be converted to. With another one, functions that
    /// return it can be handlers, and macros as anyhow's `bail!` can be used in them.
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

    /// Decides whether a client may join a room. If not, it hears `leave_ack`, as clients of the
    /// original expect, and is not told why. It is not asked about `root`, which
    /// [`authorize`](Self::authorize) is for, about a room that the client is in already, nor
    /// about what the server itself does. A panic closes that connection with 1011.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    /// let server = Server::builder()
    ///     .may_join(|conn, room| {
    ///         let team = conn.claims().and_then(|claims| claims.get("team"));
    ///         !room.starts_with("team:") || team.is_some_and(|team| room[5..] == **team)
    ///     })
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    pub fn may_join<F>(mut self, rule: F) -> Self
    where
        F: Fn(&Conn, &str) -> bool + Send + Sync + 'static,
    {
        let rule = move |conn: &Conn, message: &Message<'_>| rule(conn, message.room);
        self.options.rules.join = Some(Callback::Sync(Box::new(rule)));
        self
    }

    /// As [`may_join`](Self::may_join), for a rule that has to wait for a database or another
    /// service. The pending join holds up only that connection. The rule is cloned for each join,
    /// as a handler of [`on_async`](Self::on_async) is.
    pub fn may_join_async<F, R>(mut self, rule: F) -> Self
    where
        F: FnOnce(Conn, String) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        let rule = move |conn, message: OwnedMessage| {
            Box::pin(rule.clone()(conn, message.room.to_string())) as _
        };
        self.options.rules.join = Some(Callback::Async(Box::new(rule)));
        self
    }

    /// Decides whether a message may go into its room, be it to the members or to a handler. If
    /// not, it is dropped and counted. By default only members are asked about, since messages of
    /// others are dropped anyway. A panic closes that connection with 1011.
    pub fn may_publish<F>(mut self, rule: F) -> Self
    where
        F: Fn(&Conn, &Message<'_>) -> bool + Send + Sync + 'static,
    {
        self.options.rules.publish = Some(Callback::Sync(Box::new(rule)));
        self
    }

    /// As [`may_publish`](Self::may_publish), for a rule that has to ask somebody.
    pub fn may_publish_async<F, R>(mut self, rule: F) -> Self
    where
        F: FnOnce(Conn, OwnedMessage) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        self.options.rules.publish = Some(asynchronous(rule));
        self
    }

    /// Decides whether a direct message may go to the connection that it names
    /// ([`dst`](Message::dst)). If not, it is dropped and counted. A panic closes
    /// the sender's connection with 1011.
    pub fn may_send<F>(mut self, rule: F) -> Self
    where
        F: Fn(&Conn, &Message<'_>) -> bool + Send + Sync + 'static,
    {
        self.options.rules.direct = Some(Callback::Sync(Box::new(rule)));
        self
    }

    /// As [`may_send`](Self::may_send), for a rule that has to ask somebody.
    pub fn may_send_async<F, R>(mut self, rule: F) -> Self
    where
        F: FnOnce(Conn, OwnedMessage) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = bool> + Send + 'static,
    {
        self.options.rules.direct = Some(asynchronous(rule));
        self
    }

    /// Hears of each connection, right after it is in `root`.
    ///
    /// The hooks that hear of things run one at a time, in the order in which the things happened,
    /// so a slow one holds up the others; what is sent and received goes on meanwhile. One that
    /// panics closes the connection that it was told of with 1011.
    pub fn on_connect<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Conn) + Send + Sync + 'static,
    {
        self.options.hooks.connect = Some(Box::new(hook));
        self
    }

    /// Hears of each join, `root` included, after the room has. Order and panics as for
    /// [`on_connect`](Self::on_connect).
    pub fn on_join<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Conn, &str) + Send + Sync + 'static,
    {
        self.options.hooks.join = Some(Box::new(hook));
        self
    }

    /// Hears of each leave, `root` included, whatever the reason. Order and panics as for
    /// [`on_connect`](Self::on_connect).
    pub fn on_leave<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Conn, &str) + Send + Sync + 'static,
    {
        self.options.hooks.leave = Some(Box::new(hook));
        self
    }

    /// Hears of the end of each connection, once it has left all its rooms, and why. Order and
    /// panics as for [`on_connect`](Self::on_connect).
    pub fn on_disconnect<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Conn, DisconnectReason) + Send + Sync + 'static,
    {
        self.options.hooks.disconnect = Some(Box::new(hook));
        self
    }

    /// Gives handlers, rules and hooks something to share: [`Conn::state`] finds it by its type.
    /// The first of a type counts.
    pub fn state<T: Any + Send + Sync>(mut self, state: T) -> Self {
        self.options.state.push(Box::new(state));
        self
    }

    /// Hears of the errors that handlers return, and of the panics
    /// ([`HandlerPanic`](crate::HandlerPanic)) of handlers and rules. Without it they are only
    /// counted. An error leaves the connection open.
    pub fn on_error<F>(mut self, hook: F) -> Self
    where
        F: Fn(&Conn, &Message<'_>, HandlerError) + Send + Sync + 'static,
    {
        self.options.on_error = Some(Box::new(hook));
        self
    }
}

fn asynchronous<F, R>(rule: F) -> Rule
where
    F: FnOnce(Conn, OwnedMessage) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = bool> + Send + 'static,
{
    Callback::Async(Box::new(move |conn, message| Box::pin(rule.clone()(conn, message)) as _))
}
