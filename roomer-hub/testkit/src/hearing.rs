//! What a client makes of the bytes that come.

use bytes::Bytes;
use roomer_proto::Packet;

use super::client::{Closed, State};
use super::frames::{self, Frame};

/// What a client has just heard.
pub(super) enum Heard {
    Ping(Vec<u8>),
    Close(Vec<u8>),
    Packet(Packet),
    Other,
}

impl State {
    pub(super) fn hear_one(&mut self) -> Result<Option<Heard>, String> {
        let incoming = std::mem::take(&mut self.incoming);
        let result = self.read(&incoming);
        let size = result.as_ref().map_or(0, |read| read.as_ref().map_or(0, |(_, size)| *size));
        self.incoming = incoming;
        self.incoming.drain(..size);
        Ok(result?.map(|(heard, _)| heard))
    }

    /// Reads what `bytes` start with, and says how many bytes that was.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<(Heard, usize)>, String> {
        if bytes.is_empty() {
            return Ok(None);
        }
        if self.status.is_none() {
            let Some((status, size)) = frames::answer(bytes)? else {
                return Ok(None);
            };
            if status == 101 {
                self.subprotocol = frames::agreed(&bytes[..size])?;
            }
            self.status = Some(status);
            return Ok(Some((Heard::Other, size)));
        }
        if self.closed.is_some() || self.status != Some(101) {
            return Err(format!("{} bytes behind the end", bytes.len()));
        }
        let Some((frame, size)) = frames::read(bytes)? else {
            return Ok(None);
        };
        let heard = match frame {
            Frame::Binary(data) => self.message(data)?,
            // An echo server's, or a handler's: none of the room protocol's business.
            Frame::Text(data) => {
                self.raw.push(Bytes::copy_from_slice(data));
                Heard::Other
            }
            Frame::Ping(payload) => Heard::Ping(payload.into()),
            Frame::Pong(payload) => {
                self.pongs.push(Bytes::copy_from_slice(payload));
                Heard::Other
            }
            Frame::Close(code, reason) => {
                let text = String::from_utf8_lossy(reason).into_owned();
                self.closed = Some(Closed { code, reason: text });
                Heard::Close(code.map_or_else(Vec::new, |code| code.to_be_bytes().into()))
            }
        };
        Ok(Some((heard, size)))
    }

    fn message(&mut self, data: &[u8]) -> Result<Heard, String> {
        let Ok(packet) = Packet::decode(Bytes::copy_from_slice(data)) else {
            self.raw.push(Bytes::copy_from_slice(data));
            return Ok(Heard::Other);
        };
        if self.view.hear(&packet.as_ref())? {
            self.heard.push(packet.clone());
        }
        Ok(Heard::Packet(packet))
    }
}
