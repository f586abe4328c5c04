//! Checks the names and payloads in requests against the rules that also apply to clients.

use axum::body::Bytes;
use data_encoding::BASE64;
use roomer_proto::{ConnId, PacketRef, is_built_in, is_local};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Api;
use super::error::Error;

/// The reserved events, as listed in an error.
const RESERVED: &str = "close, count_changed, history_lost, join, join_ack, leave, leave_ack, \
                        member_changed, member_left, new_member, open, reopen";

/// A JSON body that contains the payload in one of three forms.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    pub(super) rooms: Vec<String>,
    pub(super) event: String,
    pub(super) except: Option<String>,
    text: Option<String>,
    // `null` is a payload too.
    #[serde(default, deserialize_with = "some")]
    json: Option<Box<RawValue>>,
    base64: Option<String>,
}

fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

impl Body {
    pub(super) fn read(api: &Api, body: &[u8]) -> Result<(Body, Vec<u8>), Error> {
        let mut body: Body = serde_json::from_slice(body).map_err(|error| {
            Error::invalid(format!("the body is not the expected JSON: {error}"))
        })?;
        let payload = match (body.text.take(), body.json.take(), body.base64.take()) {
            (Some(text), None, None) => text.into_bytes(),
            // Use the JSON text exactly as it was received.
            (None, Some(json), None) => json.get().as_bytes().to_vec(),
            (None, None, Some(text)) => BASE64.decode(text.as_bytes()).map_err(|error| {
                Error::invalid(format!("base64 is not Base64 with padding: {error}"))
            })?,
            _ => return Err(Error::invalid("write one of text, json and base64")),
        };
        api.check_payload(&payload)?;
        Ok((body, payload))
    }
}

impl Api {
    pub(super) fn check_room(&self, room: &str) -> Result<(), Error> {
        match room.len() > self.max_name {
            true => Err(Error::invalid(format!(
                "the name of a room has at most {} bytes, not {}",
                self.max_name,
                room.len()
            ))),
            false => Ok(()),
        }
    }

    pub(super) fn check_event(&self, event: &str) -> Result<(), Error> {
        if event.is_empty() || event.len() > self.max_name {
            return Err(Error::invalid(format!(
                "the name of an event has 1 to {} bytes, not {}",
                self.max_name,
                event.len()
            )));
        }
        // Clients would mistake an event with a reserved name for one of the protocol's own, and the
        // JavaScript client drops messages with the names of its local events.
        match is_built_in(event) || is_local(event) || event.starts_with("roomer:") {
            true => Err(Error::invalid(format!(
                "the event {event:?} is reserved for the protocol and its clients: choose a name other \
                 than {RESERVED} or roomer:…"
            ))),
            false => Ok(()),
        }
    }

    pub(super) fn check_payload(&self, payload: &[u8]) -> Result<(), Error> {
        match payload.len() > self.max_message {
            true => Err(Error::too_large(format!(
                "the payload has {} bytes, and limits.max_message is {}",
                payload.len(),
                self.max_message
            ))),
            false => Ok(()),
        }
    }

    /// Checks the size of a message that may be sent to other nodes, which reject a packet that
    /// exceeds the limit. The names count too.
    pub(super) fn check_message(&self, packet: &PacketRef<'_>) -> Result<(), Error> {
        let bytes = packet.encoded_len();
        match self.has_peers && bytes > self.max_message {
            true => Err(Error::too_large(format!(
                "the message has {bytes} bytes, names included, and in a cluster limits.max_message, \
                 which is {}, applies to all of them",
                self.max_message
            ))),
            false => Ok(()),
        }
    }

    /// Checks a body that is itself the payload.
    pub(super) fn payload(&self, body: Bytes) -> Result<Bytes, Error> {
        self.check_payload(&body)?;
        Ok(body)
    }

    pub(super) fn check_id(&self, id: &str) -> Result<(), Error> {
        match ConnId::parse(id) {
            Some(_) => Ok(()),
            None => Err(Error::invalid("this is not a connection id: use the id in a `join_ack`")),
        }
    }
}
