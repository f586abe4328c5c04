//! The handle of a client.

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
/// When the last handle to it or to one of its rooms is dropped, the client is closed: what was sent
/// is written first.
pub struct Client<R> {
    pub(super) open: Arc<Open>,
    pub(super) runtime: PhantomData<fn() -> R>,
}

/// Closes the client when it is dropped.
pub(super) struct Open {
    pub(super) shared: Arc<Shared>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.call(|inner, now| inner.machine.close(now));
    }
}

impl<R: Runtime> Client<R> {
    /// Starts a client of the server at an address such as `wss://example.org/ws`, with the default
    /// options. Returns at once: the client connects in a task of the runtime, and joins and messages
    /// wait until it has.
    ///
    /// # Errors
    ///
    /// [`InvalidAddress`] if the address is not one of a WebSocket server.
    pub fn connect(url: &str) -> Result<Self, InvalidAddress> {
        Client::builder(url)?.connect()
    }

    /// Returns a builder, for other options.
    ///
    /// # Errors
    ///
    /// [`InvalidAddress`] if the address is not one of a WebSocket server.
    pub fn builder(url: &str) -> Result<Builder<R>, InvalidAddress> {
        Ok(Builder::new(url.parse()?))
    }
}

impl<R> Client<R> {
    /// Joins a room, now and after each reconnect. The same name gives a handle to the same room.
    /// [`Room::joined`] waits for the result.
    ///
    /// In a room that remembers its messages ([`history`](crate::Builder::history)), the client gets
    /// what it has missed while it had no session.
    pub fn join(&self, room: &str) -> Room {
        self.join_by(room, |machine, now| machine.join(now, room))
    }

    /// Joins a room that remembers its messages, and asks for the last ones. They arrive before all
    /// others, and again only if the server does not have all that the client has missed
    /// ([`Event::Missed`](super::Event::Missed)). The first call for a room decides.
    ///
    /// A stream of [`Client::events`] that exists before this call has all of them. A stream of
    /// [`Room::messages`] can begin too late, since the client runs in a task of its own.
    pub fn join_with_history(&self, room: &str, last: u32) -> Room {
        self.join_by(room, |machine, now| machine.join_with_history(now, room, last))
    }

    fn join_by(
        &self,
        room: &str,
        join: impl FnOnce(&mut Machine, Duration) -> Result<(), JoinError>,
    ) -> Room {
        self.open.shared.call(|inner, now| {
            // `Room::joined` reports that the client is closed.
            if let Ok(()) | Err(JoinError::Closed) = join(&mut inner.machine, now) {
                inner.refused.remove(room);
            }
        });
        Room::new(self.open.clone(), room)
    }

    /// Returns the room `root`, into which a server puts every client.
    #[must_use]
    pub fn root(&self) -> Room {
        Room::new(self.open.clone(), ROOT)
    }

    /// Returns the names of all rooms that the client has joined, sorted.
    #[must_use]
    pub fn rooms(&self) -> Vec<String> {
        self.open.shared.lock().machine.rooms().map(Into::into).collect()
    }

    /// Waits until there is a connection, and returns the client's id.
    ///
    /// # Errors
    ///
    /// [`Closing`] if the client is closed.
    pub async fn opened(&self) -> Result<ConnId, Closing> {
        poll_fn(|cx| {
            let mut inner = self.open.shared.lock();
            if let Some(why) = &inner.closed {
                return Poll::Ready(Err(why.clone()));
            }
            if let (State::Open, Some(id)) = (inner.machine.state(), inner.machine.id()) {
                return Poll::Ready(Ok(id));
            }
            // Under the lock of the check, so that a change in between is not missed.
            inner.wait(cx.waker());
            Poll::Pending
        })
        .await
    }

    /// Returns the state of the connection.
    #[must_use]
    pub fn state(&self) -> State {
        self.open.shared.lock().machine.state()
    }

    /// Returns the client's id: the last one, if there is no connection; `None` before the first.
    #[must_use]
    pub fn id(&self) -> Option<ConnId> {
        self.open.shared.lock().machine.id()
    }

    /// Returns true if the server speaks the extended protocol: the client's session survives the
    /// loss of a connection.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.open.shared.lock().machine.is_extended()
    }

    /// Returns all events from now on, of which at most 256 wait to be read.
    pub fn events(&self) -> Events {
        self.events_with(BUFFER)
    }

    /// Returns all events from now on, of which at most `buffer` wait to be read.
    pub fn events_with(&self, buffer: usize) -> Events {
        Events::new(&self.open.shared, buffer)
    }

    /// Answers [`Event::Expiring`](super::Event::Expiring) with a new token.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] if there is no connection to an extended server.
    pub fn renew(&self, token: &str) -> Result<(), SendError> {
        self.open.shared.call(|inner, now| inner.machine.renew(now, token))
    }

    /// Changes the client's info, which members of its rooms get; `None` removes it. It is sent again in
    /// each new session, and ignored by plain servers. If the server does not permit it
    /// ([`may_set_info`](crate::Builder::may_set_info)), the result is
    /// [`Event::Error`](super::Event::Error).
    pub fn set_info(&self, info: Option<Info>) {
        self.open.shared.call(|inner, now| inner.machine.set_info(now, info));
    }

    /// Probes a connection that seems open, and shortens a long delay before the next one. Call it if
    /// there is a reason to doubt the connection or to stop waiting: the machine was suspended, or
    /// its network has changed.
    pub fn wake(&self) {
        self.open.shared.call(|inner, now| inner.machine.wake(now));
    }

    /// Closes the client and waits until it is closed: what was sent is written first, and the server
    /// has handled it once it answers, for which the client waits at most 5 s. Returns the cause, which
    /// may be an earlier one.
    pub async fn close(&self) -> Closing {
        self.open.shared.call(|inner, now| inner.machine.close(now));
        self.closed().await
    }

    /// Waits until the client is closed, and returns the cause.
    pub async fn closed(&self) -> Closing {
        poll_fn(|cx| {
            let mut inner = self.open.shared.lock();
            if let Some(why) = &inner.closed {
                return Poll::Ready(why.clone());
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
