//! Reads frames from the connections, and handles the packets in them.

use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use roomer_proto::extended::{ACK, ACK_NOW, HELLO};
use roomer_proto::{JOIN_ACK, PacketRef, ROOT};

use super::{KEEP, Net, Phase};
use crate::listener::{Listener, Out};
use crate::opening;
use crate::wire::{self, Head};

impl Net {
    /// Reads until the socket is empty. A short read means that it is, unless the end of the stream
    /// may follow.
    pub(super) fn read(
        &mut self,
        conn: usize,
        to_the_end: bool,
        l: &mut impl Listener,
    ) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = loop {
            let state = &mut self.conns[conn];
            if state.deaf || matches!(state.phase, Phase::Closed | Phase::Connecting) {
                break Ok(());
            }
            let got = match (&self.sockets[conn]).read(&mut buffer) {
                Ok(0) => break self.ended(conn, "end of stream"),
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => break self.ended(conn, &error.kind().to_string()),
            };
            self.reads += 1;
            self.last_heard = Instant::now();
            // Whole frames are read directly from the shared buffer. Only an incomplete frame is
            // copied into `held`.
            let mut held = std::mem::take(&mut state.held);
            let taken = if held.is_empty() {
                self.take(conn, &buffer[..got], l).map(|used| held.extend(&buffer[used..got]))
            } else {
                held.extend(&buffer[..got]);
                self.take(conn, &held, l).map(|used| drop(held.drain(..used)))
            };
            if held.is_empty() && held.capacity() > KEEP {
                held = Vec::new();
            }
            self.conns[conn].held = held;
            if taken.is_err() || got < buffer.len() && !to_the_end {
                break taken;
            }
        };
        self.buffer = buffer;
        result
    }

    /// Handles the whole frames at the start of `data`. Returns their total size.
    fn take(&mut self, conn: usize, data: &[u8], l: &mut impl Listener) -> io::Result<usize> {
        let mut at = 0;
        if self.conns[conn].phase == Phase::Upgrading {
            let Some(head) = opening::response(data, self.target(conn))? else { return Ok(0) };
            at = head;
            self.conns[conn].phase = Phase::Joining;
        }
        let now = self.last_heard.duration_since(self.start).as_nanos() as u64;
        while let Some(head) = Head::read(&data[at..]) {
            let start = at + head.bytes;
            let Some(body) = data.get(start..start + head.length) else { break };
            at = start + head.length;
            match head.opcode {
                wire::PING => {
                    wire::control(wire::PONG, body, &mut self.pending[conn]);
                    self.write(conn)?;
                }
                wire::PONG => {}
                wire::CLOSE => {
                    let code = body.first_chunk().map(|code| u16::from_be_bytes(*code).to_string());
                    self.ended(conn, code.as_deref().unwrap_or("no code"))?;
                    return Ok(data.len());
                }
                opcode if head.last && opcode != wire::CONTINUATION => {
                    self.message(conn, body, now, l)?;
                }
                _ => {
                    let mut parts = std::mem::take(&mut self.conns[conn].parts);
                    parts.extend(body);
                    if head.last {
                        self.message(conn, &parts, now, l)?;
                        parts.clear();
                    }
                    self.conns[conn].parts = parts;
                }
            }
        }
        Ok(at)
    }

    fn message(
        &mut self,
        conn: usize,
        body: &[u8],
        now: u64,
        listener: &mut impl Listener,
    ) -> io::Result<()> {
        self.messages += 1;
        let phase = self.conns[conn].phase;
        let is_plain = self.conns[conn].session.is_none();
        if self.skim && phase == Phase::Open && is_plain {
            return Ok(());
        }
        let packet = PacketRef::decode(body).map_err(|error| {
            io::Error::other(format!(
                "connection {conn} received a message that is not a packet: {error}"
            ))
        })?;
        let is_own = !is_plain && matches!(packet.event, HELLO | ACK);
        if !is_plain && !is_own {
            self.count(conn, body.len(), Duration::from_nanos(now));
        }
        match phase {
            Phase::Joining if is_own && packet.event == HELLO => {
                self.greeted(conn, &packet, listener)?
            }
            Phase::Open if is_own => {
                // The server's acknowledgements would say which packets need not be sent again. The
                // generator does not resend any.
                if packet.dst == ACK_NOW {
                    self.acknowledge(conn);
                }
            }
            Phase::Open if self.skim => {}
            Phase::Open => {
                let Net { sockets, pending, scratch, ids, .. } = self;
                listener.packet(&mut Out { sockets, pending, scratch, ids, now }, conn, &packet);
            }
            _ if packet.event == JOIN_ACK && packet.room == ROOT => {
                self.is_up(conn);
                self.ids[conn] = packet.src.to_owned();
                if self.eager_acks {
                    self.acknowledge(conn);
                }
                listener.opened(conn, &packet);
            }
            _ => {
                return Err(io::Error::other(format!(
                    "connection {conn} got {:?} of {:?} before its join_ack of root",
                    packet.event, packet.room
                )));
            }
        }
        Ok(())
    }

    fn ended(&mut self, conn: usize, how: &str) -> io::Result<()> {
        if self.conns[conn].phase != Phase::Open {
            let words = format!("connection {conn} ended before it was ready: {how}");
            return Err(io::Error::other(words));
        }
        self.disconnect(conn);
        *self.closings.entry(how.to_owned()).or_default() += 1;
        Ok(())
    }
}
