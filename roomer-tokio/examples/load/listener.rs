//! The receiving side of the load generator, and what it sends in turn.

use std::io::Write as _;

use mio::net::TcpStream;
use roomer_proto::PacketRef;

use crate::wire;

/// The receiving side of the load generator.
pub trait Listener {
    /// A packet that came after the connection's membership in `root`.
    fn packet(&mut self, out: &mut Out<'_>, conn: usize, packet: &PacketRef<'_>);

    /// The acknowledgement of the membership in `root`: the connection is there.
    fn opened(&mut self, _conn: usize, _packet: &PacketRef<'_>) {}

    /// The session of a connection that has returned continues. `received` is the number of its packets
    /// that the server has handled.
    fn resumed(&mut self, _out: &mut Out<'_>, _conn: usize, _received: u64) {}
}

/// A receiving side that ignores all packets.
pub struct Nobody;

impl Listener for Nobody {
    fn packet(&mut self, _: &mut Out<'_>, _: usize, _: &PacketRef<'_>) {}
}

/// Where a listener sends from, at any time.
pub struct Out<'n> {
    pub(crate) sockets: &'n [TcpStream],
    pub(crate) pending: &'n mut [Vec<u8>],
    pub(crate) scratch: &'n mut Vec<u8>,
    /// Each connection's id, by the server's word.
    pub ids: &'n [String],
    /// Nanoseconds since the generator started, as of the last read.
    pub now: u64,
}

impl Out<'_> {
    /// Sends one packet, at once if the socket takes it.
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
