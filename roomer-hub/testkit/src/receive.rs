//! Parses the bytes that a scripted client receives.

use bytes::Bytes;
use roomer_proto::Packet;

use super::client::{Closed, State};
use super::frames::{self, Frame};

/// Received data that the client may have to answer.
pub(super) enum Received {
    Ping(Vec<u8>),
    Close(Vec<u8>),
    Packet(Packet),
    /// A packet about an extended client's session.
    Session(Packet),
    Other,
}

impl State {
    pub(super) fn receive_one(&mut self) -> Result<Option<Received>, String> {
        // Take the buffer out of `self`, because a frame borrows it while `self` is modified.
        let incoming = std::mem::take(&mut self.incoming);
        let result = self.read(&incoming);
        let size = result.as_ref().map_or(0, |read| read.as_ref().map_or(0, |(_, size)| *size));
        self.incoming = incoming;
        self.incoming.drain(..size);
        Ok(result?.map(|(received, _)| received))
    }

    /// Parses the frame or response at the start of `bytes`. Returns the received item with its
    /// size.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<(Received, usize)>, String> {
        if bytes.is_empty() {
            return Ok(None);
        }
        if self.status.is_none() {
            let Some((status, size)) = frames::read_response(bytes)? else {
                return Ok(None);
            };
            if status == 101 {
                self.subprotocol = frames::accepted_subprotocol(&bytes[..size])?;
            }
            self.status = Some(status);
            return Ok(Some((Received::Other, size)));
        }
        // No bytes may follow a close frame (RFC 6455 section 5.5.1) or a rejected handshake.
        if self.closed.is_some() || self.status != Some(101) {
            return Err(format!("{} bytes after the end", bytes.len()));
        }
        let Some((frame, size)) = frames::read(bytes)? else {
            return Ok(None);
        };
        let received = match frame {
            Frame::Binary(data) => self.receive_binary(data)?,
            // Text is not part of the room protocol. The server has echoed it, or a handler has
            // sent it.
            Frame::Text(data) => {
                self.raw.push(Bytes::copy_from_slice(data));
                Received::Other
            }
            Frame::Ping(payload) => Received::Ping(payload.into()),
            Frame::Pong(payload) => {
                self.pongs.push(Bytes::copy_from_slice(payload));
                Received::Other
            }
            Frame::Close(code, reason) => {
                let text = String::from_utf8_lossy(reason).into_owned();
                self.closed = Some(Closed { code, reason: text });
                Received::Close(code.map_or_else(Vec::new, |code| code.to_be_bytes().into()))
            }
        };
        Ok(Some((received, size)))
    }

    fn receive_binary(&mut self, data: &[u8]) -> Result<Received, String> {
        let Ok(packet) = Packet::decode(Bytes::copy_from_slice(data)) else {
            self.raw.push(Bytes::copy_from_slice(data));
            return Ok(Received::Other);
        };
        if self.receive_for_session(&packet.borrowed())? {
            return Ok(Received::Session(packet));
        }
        if self.view.receive(&packet.borrowed())? {
            self.messages.push(packet.clone());
        }
        Ok(Received::Packet(packet))
    }
}
