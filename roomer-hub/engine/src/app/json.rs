//! JSON by serde: payloads of the application's types, and serialization of statistics.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::json;
use crate::{
    Backlog, ClusterStats, Conn, HistoryStats, JsonError, Message, RefusedSessions,
    ReleasedSessions, SessionStats, Stats, User,
};
use roomer_hub::RejectedPackets;

impl Conn {
    /// Like [`send`](Self::send), with a value as JSON.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    /// let server = Server::builder()
    ///     .on("add", |conn, message| {
    ///         let (a, b): (i64, i64) = message.json()?;
    ///         conn.reply_json(message, "sum", &(a + b))?;
    ///         Ok(())
    ///     })
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be represented as JSON. Nothing is sent then.
    pub fn send_json<T: Serialize + ?Sized>(
        &self,
        event: impl AsRef<str>,
        value: &T,
    ) -> Result<(), JsonError> {
        self.send(event, json(value)?);
        Ok(())
    }

    /// Like [`reply`](Self::reply), with a value as JSON.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send_json`](Self::send_json).
    pub fn reply_json<S: AsRef<str>, B: AsRef<[u8]>, T: Serialize + ?Sized>(
        &self,
        message: &Message<'_, S, B>,
        event: impl AsRef<str>,
        value: &T,
    ) -> Result<(), JsonError> {
        self.reply(message, event, json(value)?);
        Ok(())
    }

    /// Like [`send_to_room`](Self::send_to_room), with a value as JSON.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send_json`](Self::send_json).
    pub fn send_to_room_json<T: Serialize + ?Sized>(
        &self,
        room: impl AsRef<str>,
        event: impl AsRef<str>,
        value: &T,
    ) -> Result<(), JsonError> {
        self.send_to_room(room, event, json(value)?);
        Ok(())
    }

    /// Like [`send_to_client`](Self::send_to_client), with a value as JSON.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send_json`](Self::send_json).
    pub fn send_to_client_json<T: Serialize + ?Sized>(
        &self,
        id: impl AsRef<str>,
        event: impl AsRef<str>,
        value: &T,
    ) -> Result<(), JsonError> {
        self.send_to_client(id, event, json(value)?);
        Ok(())
    }
}

impl User {
    /// Like [`send`](Self::send), with a value as JSON.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be represented as JSON. Nothing is sent then.
    pub fn send_json<T: Serialize + ?Sized>(
        &self,
        event: impl AsRef<str>,
        value: &T,
    ) -> Result<usize, JsonError> {
        Ok(self.send(event, json(value)?))
    }
}

/// Implements `Serialize` for a struct of this crate. A missing field does not compile.
macro_rules! serialize {
    ($name:ident { $($field:ident $(as $wrapper:ident)?),* $(,)? }) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $name { $($field),* } = self;
                let count = [$(stringify!($field)),*].len();
                let mut fields = serializer.serialize_struct(stringify!($name), count)?;
                $(fields.serialize_field(stringify!($field), $(&$wrapper)?($field))?;)*
                fields.end()
            }
        }
    };
}

serialize!(Stats {
    connections,
    rooms,
    memberships,
    sockets,
    handshakes,
    queued_bytes,
    held_bytes,
    opened,
    messages_in,
    bytes_in,
    messages_out,
    bytes_out,
    rejected_packets as ByName,
    rejected_requests,
    closes,
    closed_by_peer,
    lost,
    handler_errors,
    panics,
    accept_errors,
    sessions,
    histories,
    cluster,
});

serialize!(SessionStats { detached, resumed, refused, released });
serialize!(HistoryStats { rooms, bytes });

serialize!(RefusedSessions { unknown, other_node, other_user, incomplete });
serialize!(ReleasedSessions { detached, attached, unknown });

serialize!(ClusterStats {
    link_up,
    peers,
    guests,
    held_bytes,
    unapplied_bytes,
    lag_ms,
    frames_in,
    frames_out,
    bytes_in,
    bytes_out,
    demands,
    repaired,
    resets,
    gaps,
    gone,
    refused,
    overflows,
});

serialize!(Backlog { id, bytes });

/// Serializes the hub's counts as a map from name to count.
struct ByName<'a>(&'a RejectedPackets);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}
