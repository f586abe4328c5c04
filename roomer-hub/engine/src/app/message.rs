//! The message type passed to handlers and rules.

use std::fmt;
use std::marker::PhantomData;
use std::str::Utf8Error;

use bytes::Bytes;
use bytestring::ByteString;
use roomer_proto::PacketRef;

use roomer_hub::ConnId;

/// A message received from a client, as passed to handlers and rules. Synchronous handlers
/// ([`on`](crate::Builder::on)) borrow it from the connection's read buffer: names are `&str`, the
/// payload is `&[u8]`, and no byte is copied. Asynchronous handlers
/// ([`on_async`](crate::Builder::on_async)) own it, as an [`OwnedMessage`]: names are
/// [`ByteString`](https://docs.rs/bytestring) and the payload is [`Bytes`], both of which are cheap
/// to clone and dereference to the borrowed types. Both kinds of messages have the same fields and
/// methods, so the same handler body compiles for either kind:
///
/// ```
/// # use roomer_engine as roomer_tokio;
/// use roomer_tokio::Server; // or roomer_smol
/// let server = Server::builder()
///     .on("add", |conn, message| {
///         let sum: i64 = message.text()?.split('+').map(str::parse::<i64>).sum::<Result<_, _>>()?;
///         conn.reply(&message, "sum", sum.to_string());
///         conn.send_to_room(&message.room, "asked", &message.payload);
///         Ok(())
///     })
///     .on_async("add later", async |conn, message| {
///         let sum: i64 = message.text()?.split('+').map(str::parse::<i64>).sum::<Result<_, _>>()?;
///         conn.reply(&message, "sum", sum.to_string());
///         conn.send_to_room(&message.room, "asked", &message.payload);
///         Ok(())
///     })
///     .build()?;
/// # Ok::<(), roomer_engine::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a, S = &'a str, B = &'a [u8]> {
    /// The name of the room to which the message was sent.
    pub room: S,
    /// The event's name.
    pub event: S,
    /// The receiver's id in a direct message, as written by the sender. Empty in a message to a room.
    pub dst: S,
    /// The sender's id. The server sets it, so a client cannot forge it.
    pub src: ConnId,
    /// The payload; see also [`text`](Self::text) and `json`.
    pub payload: B,
    lifetime: PhantomData<&'a ()>,
}

/// A [`Message`] that owns its fields, for asynchronous handlers and rules.
pub type OwnedMessage = Message<'static, ByteString, Bytes>;

impl<'a> Message<'a> {
    pub(crate) fn new(packet: &PacketRef<'a>, src: ConnId) -> Self {
        let PacketRef { room, event, dst, payload, .. } = *packet;
        Message { room, event, dst, src, payload, lifetime: PhantomData }
    }
}

impl<S: AsRef<str>, B: AsRef<[u8]>> Message<'_, S, B> {
    /// Returns the sender's id. Same as [`src`](Self::src).
    #[must_use]
    pub fn sender(&self) -> ConnId {
        self.src
    }

    /// Reads the payload as text.
    ///
    /// # Errors
    ///
    /// Returns an error if the payload is not UTF-8.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(self.payload.as_ref())
    }

    /// Deserializes a JSON payload into a value that may borrow from it (feature `json`).
    ///
    /// # Errors
    ///
    /// Returns an error if the payload is not JSON, does not match the type, or is nested more than
    /// 128 levels deep. In each case, the sender is at fault.
    #[cfg(feature = "json")]
    pub fn json<'s, T: serde::Deserialize<'s>>(&'s self) -> Result<T, roomer_proto::JsonError> {
        PacketRef { payload: self.payload.as_ref(), ..PacketRef::default() }.json()
    }

    /// Borrows the message, to call functions written for synchronous handlers.
    #[must_use]
    pub fn borrowed(&self) -> Message<'_> {
        Message {
            room: self.room.as_ref(),
            event: self.event.as_ref(),
            dst: self.dst.as_ref(),
            src: self.src,
            payload: self.payload.as_ref(),
            lifetime: PhantomData,
        }
    }

    /// Copies the message so that it can be kept after the handler has returned.
    #[must_use]
    pub fn to_owned(&self) -> OwnedMessage {
        Message {
            room: self.room.as_ref().into(),
            event: self.event.as_ref().into(),
            dst: self.dst.as_ref().into(),
            src: self.src,
            // Copy the payload, since the next read overwrites the thread's read buffer.
            payload: Bytes::copy_from_slice(self.payload.as_ref()),
            lifetime: PhantomData,
        }
    }

    /// Borrows the message as a packet, including `src`.
    #[must_use]
    pub fn packet(&self) -> PacketRef<'_> {
        PacketRef {
            room: self.room.as_ref(),
            event: self.event.as_ref(),
            dst: self.dst.as_ref(),
            src: self.src.as_str(),
            payload: self.payload.as_ref(),
        }
    }
}

impl<S: AsRef<str>, B: AsRef<[u8]>> fmt::Debug for Message<'_, S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("room", &self.room.as_ref())
            .field("event", &self.event.as_ref())
            .field("dst", &self.dst.as_ref())
            .field("src", &self.src)
            .field("payload", &self.payload.as_ref())
            .finish()
    }
}
