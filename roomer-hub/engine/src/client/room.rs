//! The handle to one room.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytestring::ByteString;
use roomer_proto::ConnId;
use roomer_proto::client::{JoinError, Members, SendError, SendStatus};

use super::handle::Open;
use super::shared::Shared;
use super::streams::Messages;

/// A stream's default capacity, in messages.
pub(super) const BUFFER: usize = 256;

/// A room that a client has joined. Cheap to clone.
///
/// The client stays in the room until [`leave`](Self::leave) is called; dropping the handle does not
/// leave it.
#[derive(Clone)]
pub struct Room {
    open: Arc<Open>,
    name: ByteString,
}

impl Room {
    pub(super) fn new(open: Arc<Open>, name: &str) -> Self {
        Room { open, name: name.into() }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.open.shared
    }

    /// Returns the room's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until the client has joined the room for the first time.
    ///
    /// # Errors
    ///
    /// Returns a [`JoinError`] if the server rejects the join, if the room is left first, or if the
    /// client is closed.
    pub async fn joined(&self) -> Result<(), JoinError> {
        poll_fn(|cx| {
            let mut inner = self.open.shared.lock();
            // Check the members first: if the room was ever joined, later changes do not matter.
            if inner.machine.members(&self.name).is_some() {
                return Poll::Ready(Ok(()));
            }
            if inner.closed.is_some() {
                return Poll::Ready(Err(JoinError::Closed));
            }
            if let Some(error) = inner.refused.get(&self.name) {
                return Poll::Ready(Err(*error));
            }
            if !inner.machine.rooms().any(|room| room == &*self.name) {
                return Poll::Ready(Err(JoinError::Left));
            }
            inner.wait(cx.waker());
            Poll::Pending
        })
        .await
    }

    /// Sends a message to all other members. Never blocks: without a connection, or before the room
    /// is joined, the message is queued.
    ///
    /// # Errors
    ///
    /// Returns a [`SendError`] if the message is not accepted. An accepted message is either
    /// delivered, or reported in [`Event::Lost`](super::Event::Lost).
    pub fn send(&self, event: &str, payload: impl AsRef<[u8]>) -> Result<SendStatus, SendError> {
        self.send_packet(event, None, payload.as_ref())
    }

    /// Sends a message only to the client with this id.
    ///
    /// # Errors
    ///
    /// The same as for [`send`](Self::send).
    pub fn send_to(
        &self,
        id: impl AsRef<str>,
        event: &str,
        payload: impl AsRef<[u8]>,
    ) -> Result<SendStatus, SendError> {
        self.send_packet(event, Some(id.as_ref()), payload.as_ref())
    }

    fn send_packet(
        &self,
        event: &str,
        to: Option<&str>,
        payload: &[u8],
    ) -> Result<SendStatus, SendError> {
        let name = &self.name;
        self.open.shared.call(|inner, now| inner.machine.send(now, name, event, to, payload))
    }

    /// Subscribes to the room's messages after this call, with a buffer of 256 messages. The stream
    /// ends immediately if the client has left the room, or if the server has rejected the join.
    ///
    /// Each call returns a new stream, which contains only messages that arrive after the call.
    /// Therefore call this once, before the loop:
    ///
    /// ```
    /// # use roomer_engine::client::Room;
    /// # async fn print(room: &Room) {
    /// let mut messages = room.messages();
    /// while let Some(message) = messages.next().await {
    ///     println!("{}: {:?}", message.from, message.text());
    /// }
    /// # }
    /// ```
    pub fn messages(&self) -> Messages {
        self.messages_with(BUFFER)
    }

    /// Like [`messages`](Self::messages), with a buffer of `buffer` messages.
    pub fn messages_with(&self, buffer: usize) -> Messages {
        Messages::new(&self.open.shared, &self.name, buffer)
    }

    /// Returns the members, including the client. Without a connection, these are the last known
    /// members; before the room is joined, there are none.
    #[must_use]
    pub fn members(&self) -> Vec<ConnId> {
        self.with_members(|members| members.ids().copied().collect())
    }

    /// Returns the number of members, including the client.
    #[must_use]
    pub fn count(&self) -> usize {
        self.with_members(Members::count)
    }

    /// Calls `look` with the members, without copying them. `look` must not call the client: the
    /// client's lock is held, so the call would deadlock.
    pub fn with_members<T: Default>(&self, look: impl FnOnce(&Members) -> T) -> T {
        self.open.shared.lock().machine.members(&self.name).map(look).unwrap_or_default()
    }

    /// Returns true if the client is in the room on its current connection.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.shared.lock().machine.is_joined(&self.name)
    }

    /// Leaves the room; this affects all its handles. Messages still queued for it are reported as
    /// lost.
    pub fn leave(&self) {
        self.open.shared.call(|inner, now| inner.machine.leave(now, &self.name));
    }
}

#[cfg(feature = "json")]
impl Room {
    /// Sends a value serialized as JSON to all other members (feature `json`).
    ///
    /// # Errors
    ///
    /// Returns [`SendError::NotJson`] if the value cannot be serialized as JSON, and otherwise the
    /// same errors as [`send`](Self::send).
    pub fn send_json<T>(&self, event: &str, value: &T) -> Result<SendStatus, SendError>
    where
        T: serde::Serialize + ?Sized,
    {
        self.send(event, roomer_proto::json(value).map_err(|_| SendError::NotJson)?)
    }

    /// Sends a value serialized as JSON only to the client with this id (feature `json`).
    ///
    /// # Errors
    ///
    /// The same as for [`send_json`](Self::send_json).
    pub fn send_json_to<T>(
        &self,
        id: impl AsRef<str>,
        event: &str,
        value: &T,
    ) -> Result<SendStatus, SendError>
    where
        T: serde::Serialize + ?Sized,
    {
        self.send_to(id, event, roomer_proto::json(value).map_err(|_| SendError::NotJson)?)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("name", &self.name).finish_non_exhaustive()
    }
}
