//! Methods on the handles that send values serialized as JSON.

use serde::Serialize;

use crate::{Conn, JsonError, Message, Server, User, json};

impl Server {
    /// Like [`broadcast`](Self::broadcast), with a value serialized as JSON.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be serialized as JSON. Nothing is sent in that case.
    pub fn broadcast_json<T: Serialize + ?Sized>(
        &self,
        room: impl AsRef<str>,
        event: impl AsRef<str>,
        value: &T,
    ) -> Result<(), JsonError> {
        self.broadcast(room, event, json(value)?);
        Ok(())
    }

    /// Like [`broadcast_except`](Self::broadcast_except), with a value serialized as JSON.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`broadcast_json`](Self::broadcast_json).
    pub fn broadcast_except_json<T: Serialize + ?Sized>(
        &self,
        except: impl AsRef<str>,
        room: impl AsRef<str>,
        event: impl AsRef<str>,
        value: &T,
    ) -> Result<(), JsonError> {
        self.broadcast_except(except, room, event, json(value)?);
        Ok(())
    }

    /// Like [`send`](Self::send), with a value serialized as JSON.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`broadcast_json`](Self::broadcast_json).
    pub fn send_json<T: Serialize + ?Sized>(
        &self,
        to: impl AsRef<str>,
        event: impl AsRef<str>,
        value: &T,
    ) -> Result<bool, JsonError> {
        Ok(self.send(to, event, json(value)?))
    }
}

impl Conn {
    /// Like [`send`](Self::send), with a value serialized as JSON.
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
    /// Returns an error if the value cannot be serialized as JSON. Nothing is sent in that case.
    pub fn send_json<T: Serialize + ?Sized>(
        &self,
        event: impl AsRef<str>,
        value: &T,
    ) -> Result<(), JsonError> {
        self.send(event, json(value)?);
        Ok(())
    }

    /// Like [`reply`](Self::reply), with a value serialized as JSON.
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

    /// Like [`send_to_room`](Self::send_to_room), with a value serialized as JSON.
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

    /// Like [`send_to_client`](Self::send_to_client), with a value serialized as JSON.
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
    /// Like [`send`](Self::send), with a value serialized as JSON.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be serialized as JSON. Nothing is sent in that case.
    pub fn send_json<T: Serialize + ?Sized>(
        &self,
        event: impl AsRef<str>,
        value: &T,
    ) -> Result<usize, JsonError> {
        Ok(self.send(event, json(value)?))
    }
}
