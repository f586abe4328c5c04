//! The application's handle to a client.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use roomer_proto::client::{
    Client as Machine, Closing, InvalidAddress, JoinError, SendError, State,
};
use roomer_proto::extended::Info;
use roomer_proto::{ConnId, ROOT};

use super::builder::Builder;
use super::room::{BUFFER, Room};
use super::runtime::Runtime;
use super::shared::Shared;
use super::streams::Events;

/// A client that stays connected to a room server. Cheap to clone.
///
/// When the last handle to the client or to one of its rooms is dropped, the client's task writes
/// the queued messages and closes the connection. A program that ends immediately afterwards also
/// ends this task, and the messages may be lost: await [`close`](Self::close) before the end of
/// `main`. The same applies to a runtime that is shut down: its clients are closed
/// ([`Closing::Aborted`]).
pub struct Client<R> {
    pub(super) open: Arc<Open>,
    pub(super) runtime: PhantomData<fn() -> R>,
}

/// A guard that closes the client when the guard is dropped.
pub(super) struct Open {
    pub(super) shared: Arc<Shared>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.call(|inner, now| inner.machine.close(now));
    }
}

impl<R: Runtime> Client<R> {
    /// Starts a client that connects to a URL such as `wss://example.org/ws`, with the default
    /// options. Returns immediately: the client connects in a task on the runtime, and joins and
    /// messages are queued until it is connected.
    ///
    /// # Errors
    ///
    /// Returns an [`InvalidAddress`] if `url` is not a WebSocket URL.
    pub fn connect(url: &str) -> Result<Self, InvalidAddress> {
        Client::builder(url)?.connect()
    }

    /// Returns a builder, which sets further options before the client starts.
    ///
    /// # Errors
    ///
    /// Returns an [`InvalidAddress`] if `url` is not a WebSocket URL.
    pub fn builder(url: &str) -> Result<Builder<R>, InvalidAddress> {
        Ok(Builder::new(url.parse()?))
    }
}

impl<R> Client<R> {
    /// Joins a room, immediately and after each reconnect. Calls with the same name return handles to
    /// the same room. [`Room::joined`] waits for the result.
    ///
    /// In a room with [`history`](crate::Builder::history), the client receives the messages that
    /// it missed while it had no session.
    pub fn join(&self, room: &str) -> Room {
        self.join_by(room, |machine, now| machine.join(now, room))
    }

    /// Joins a room with history, and requests its last messages. They arrive before any other
    /// message. After a reconnect, they are sent again only if the server no longer has everything
    /// that the client has missed ([`Event::Missed`](super::Event::Missed)). For each room, the
    /// first call to [`join`](Self::join) or to this method determines whether the last messages
    /// are requested. If the client joins more such rooms than the server's rate permits (by
    /// default, 16 in one burst), the other joins wait.
    ///
    /// A stream of [`Client::events`] created before this call receives all of these messages. A
    /// stream of [`Room::messages`] may be created too late, since the client runs in a separate
    /// task.
    pub fn join_with_history(&self, room: &str, last: u32) -> Room {
        self.join_by(room, |machine, now| machine.join_with_history(now, room, last))
    }

    fn join_by(
        &self,
        room: &str,
        join: impl FnOnce(&mut Machine, Duration) -> Result<(), JoinError>,
    ) -> Room {
        self.open.shared.call(|inner, now| {
            // If the client is closed, `Room::joined` reports this.
            if let Ok(()) | Err(JoinError::Closed) = join(&mut inner.machine, now) {
                inner.refused.remove(room);
            }
        });
        Room::new(self.open.clone(), room)
    }

    /// Returns the `root` room, which every client joins automatically.
    #[must_use]
    pub fn root(&self) -> Room {
        Room::new(self.open.clone(), ROOT)
    }

    /// Returns the names of all rooms that the client has joined, sorted.
    #[must_use]
    pub fn rooms(&self) -> Vec<String> {
        self.open.shared.lock().machine.rooms().map(Into::into).collect()
    }

    /// Waits until the client is connected, and returns its id.
    ///
    /// # Errors
    ///
    /// Returns the reason, a [`Closing`], if the client is closed.
    pub async fn opened(&self) -> Result<ConnId, Closing> {
        poll_fn(|cx| {
            let mut inner = self.open.shared.lock();
            if let Some(reason) = &inner.closed {
                return Poll::Ready(Err(Closing::clone(reason)));
            }
            if let (State::Open, Some(id)) = (inner.machine.state(), inner.machine.id()) {
                return Poll::Ready(Ok(id));
            }
            // Register under the same lock as the check so that no change in between is missed.
            inner.wait(cx.waker());
            Poll::Pending
        })
        .await
    }

    /// Returns the connection's state.
    #[must_use]
    pub fn state(&self) -> State {
        self.open.shared.lock().machine.state()
    }

    /// Returns the client's id. While the client is disconnected, this is its last id; before the
    /// first connection, it is `None`.
    #[must_use]
    pub fn id(&self) -> Option<ConnId> {
        self.open.shared.lock().machine.id()
    }

    /// Returns true if the server supports the extended protocol, in which case the client's
    /// session survives the loss of a connection.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.open.shared.lock().machine.is_extended()
    }

    /// Subscribes to all events after this call, with a buffer of 256 events. If the client is open or
    /// closed at the time of the call, the stream begins with [`Event::Opened`](super::Event::Opened) or
    /// [`Event::Closed`](super::Event::Closed), because the client may have connected before the call.
    /// Each call returns a new stream, so call this once, before the loop that reads the events.
    pub fn events(&self) -> Events {
        self.events_with(BUFFER)
    }

    /// Like [`events`](Self::events), with a buffer of `buffer` events.
    pub fn events_with(&self, buffer: usize) -> Events {
        Events::new(&self.open.shared, buffer)
    }

    /// Answers [`Event::Expiring`](super::Event::Expiring) with a new token.
    ///
    /// # Errors
    ///
    /// Returns [`SendError::Closed`] if there is no connection to an extended server.
    pub fn renew(&self, token: &str) -> Result<(), SendError> {
        self.open.shared.call(|inner, now| inner.machine.renew(now, token))
    }

    /// Changes the client's info, which members of its rooms receive; `None` removes it. This may
    /// be called as often as needed: above the server's rate, the client sends only the newest
    /// info, as soon as the server accepts it. The info is sent again in each new session. Plain
    /// servers ignore it. If the server does not permit the change
    /// ([`may_set_info`](crate::Builder::may_set_info)), the client receives
    /// [`Event::Error`](super::Event::Error).
    pub fn set_info(&self, info: Option<Info>) {
        self.open.shared.call(|inner, now| inner.machine.set_info(now, info));
    }

    /// Probes a connection that seems open, and shortens a long delay before the next attempt. Call
    /// this if the connection may have failed unnoticed, or if an attempt may now succeed, for
    /// example after the machine was suspended or its network has changed.
    pub fn wake(&self) {
        self.open.shared.call(|inner, now| inner.machine.wake(now));
    }

    /// Closes the client and waits until it is closed. Queued messages are written first; then the
    /// client waits for the server's answer, which confirms that all of them were handled. The
    /// client gives up once the server has confirmed nothing for 5 s, or for 10 s while a session
    /// has unconfirmed messages. Returns the reason, which may be an earlier one.
    pub async fn close(&self) -> Closing {
        self.open.shared.call(|inner, now| inner.machine.close(now));
        self.closed().await
    }

    /// Waits until the client is closed, and returns the reason.
    pub async fn closed(&self) -> Closing {
        poll_fn(|cx| {
            let mut inner = self.open.shared.lock();
            if let Some(reason) = &inner.closed {
                return Poll::Ready(Closing::clone(reason));
            }
            inner.wait(cx.waker());
            Poll::Pending
        })
        .await
    }
}

impl<R> Clone for Client<R> {
    fn clone(&self) -> Self {
        Client { open: self.open.clone(), runtime: PhantomData }
    }
}

impl<R> fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.open.shared.fmt(f)
    }
}
