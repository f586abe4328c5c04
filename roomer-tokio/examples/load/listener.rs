//! The receiving side of the load generator, and the messages that it sends in answer.

use std::io::Write as _;

use mio::net::TcpStream;
use roomer_proto::PacketRef;

use crate::wire;

/// The receiving side of the load generator.
pub trait Listener {
    /// Handles a packet that arrives after the connection has joined `root`.
    fn packet(&mut self, out: &mut Out<'_>, conn: usize, packet: &PacketRef<'_>);

    /// Handles the acknowledgement of the join of `root`: the connection is open.
    fn opened(&mut self, _conn: usize, _packet: &PacketRef<'_>) {}

    /// Handles the continuation of a session after a return. `received` is the number of the
    /// connection's packets that the server has handled.
    fn resumed(&mut self, _out: &mut Out<'_>, _conn: usize, _received: u64) {}
}

/// A receiving side that ignores all packets.
pub struct IgnoreAll;

impl Listener for IgnoreAll {
    fn packet(&mut self, _: &mut Out<'_>, _: usize, _: &PacketRef<'_>) {}
}

/// The address from which a listener sends, at any time.
pub struct Out<'n> {
    pub(crate) sockets: &'n [TcpStream],
    pub(crate) pending: &'n mut [Vec<u8>],
    pub(crate) scratch: &'n mut Vec<u8>,
    /// Each connection's id, as the server has assigned it.
    pub ids: &'n [String],
    /// Nanoseconds since the generator started, as of the last read.
    pub now: u64,
}

impl Out<'_> {
    /// Sends one packet, at once if the socket accepts it.
    pub fn send(&mut self, conn: usize, packet: &PacketRef<'_>) {
        let pending = &mut self.pending[conn];
        if !pending.is_empty() {
            return wire::packet(packet, pending);
        }
        self.scratch.clear();
        wire::packet(packet, self.scratch);
        // An error of the socket shows when it is read.
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
