//! Methods of [`Server`] that send values as JSON.

use serde::Serialize;

use crate::{JsonError, Server, json};

impl Server {
    /// Like [`broadcast`](Self::broadcast), with a value as JSON.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be represented as JSON. Nothing is sent then.
    pub fn broadcast_json<T: Serialize + ?Sized>(
        &self,
        room: impl AsRef<str>,
        event: impl AsRef<str>,
        value: &T,
    ) -> Result<(), JsonError> {
        self.broadcast(room, event, json(value)?);
        Ok(())
    }

    /// Like [`broadcast_except`](Self::broadcast_except), with a value as JSON.
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

    /// Like [`send`](Self::send), with a value as JSON.
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
