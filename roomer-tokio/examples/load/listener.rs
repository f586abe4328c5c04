//! The interface through which scenarios receive and answer packets.

use std::io::Write as _;

use mio::net::TcpStream;
use roomer_proto::PacketRef;

use crate::wire;

/// A scenario's receiving side.
pub trait Listener {
    /// Handles a packet received after the connection has joined `root`.
    fn packet(&mut self, out: &mut Out<'_>, conn: usize, packet: &PacketRef<'_>);

    /// Handles the `join_ack` of `root`, after which the connection is open.
    fn opened(&mut self, _conn: usize, _packet: &PacketRef<'_>) {}

    /// Handles a resumed session. The server has handled `received` of the connection's packets.
    fn resumed(&mut self, _out: &mut Out<'_>, _conn: usize, _received: u64) {}
}

/// A listener that ignores all packets.
pub struct IgnoreAll;

impl Listener for IgnoreAll {
    fn packet(&mut self, _: &mut Out<'_>, _: usize, _: &PacketRef<'_>) {}
}

/// Sends packets on behalf of a listener, at any time.
pub struct Out<'n> {
    pub(crate) sockets: &'n [TcpStream],
    pub(crate) pending: &'n mut [Vec<u8>],
    pub(crate) scratch: &'n mut Vec<u8>,
    /// The id of each connection, as assigned by the server.
    pub ids: &'n [String],
    /// Nanoseconds since the generator started, updated at each read.
    pub now: u64,
}

impl Out<'_> {
    /// Sends one packet, immediately if the socket accepts it.
    pub fn send(&mut self, conn: usize, packet: &PacketRef<'_>) {
        let pending = &mut self.pending[conn];
        if !pending.is_empty() {
            return wire::packet(packet, pending);
        }
        self.scratch.clear();
        wire::packet(packet, self.scratch);
        // The next read detects a socket error.
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
