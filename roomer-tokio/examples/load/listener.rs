//! The interface through which scenarios receive packets and answer them.

use std::io::Write as _;

use mio::net::TcpStream;
use roomer_proto::PacketRef;

use crate::wire;

/// The part of a scenario that receives packets.
pub trait Listener {
    /// Handles a packet that is received after the connection has joined `root`.
    fn packet(&mut self, out: &mut Out<'_>, conn: usize, packet: &PacketRef<'_>);

    /// Handles the `join_ack` of `root`. After it, the connection is open.
    fn opened(&mut self, _conn: usize, _packet: &PacketRef<'_>) {}

    /// Called when a session has been resumed. The server has handled `received` packets of the
    /// connection.
    fn resumed(&mut self, _out: &mut Out<'_>, _conn: usize, _received: u64) {}
}

/// A listener that ignores all packets.
pub struct IgnoreAll;

impl Listener for IgnoreAll {
    fn packet(&mut self, _: &mut Out<'_>, _: usize, _: &PacketRef<'_>) {}
}

/// Sends packets for a listener. It can be used at any time.
pub struct Out<'n> {
    pub(crate) sockets: &'n [TcpStream],
    pub(crate) pending: &'n mut [Vec<u8>],
    pub(crate) scratch: &'n mut Vec<u8>,
    /// For each connection, the id that the server has given to it.
    pub ids: &'n [String],
    /// The time in nanoseconds since the generator started, as of the last read.
    pub now: u64,
}

impl Out<'_> {
    /// Sends a packet. Immediately writes as many of its bytes as the socket accepts.
    pub fn send(&mut self, conn: usize, packet: &PacketRef<'_>) {
        let pending = &mut self.pending[conn];
        if !pending.is_empty() {
            return wire::packet(packet, pending);
        }
        self.scratch.clear();
        wire::packet(packet, self.scratch);
        // If the socket has failed, the next read returns the error.
        let written = (&self.sockets[conn]).write(self.scratch).unwrap_or(0);
        pending.extend(&self.scratch[written..]);
    }

    pub fn join(&mut self, conn: usize, room: &str) {
        self.send(conn, &PacketRef { room, event: roomer_proto::JOIN, ..PacketRef::default() });
    }

    pub fn leave(&mut self, conn: usize, room: &str) {
        self.send(conn, &PacketRef { room, event: roomer_proto::LEAVE, ..PacketRef::default() });
    }
}
