//! Tests individual attacks on a server process.
//!
//! The limits on memory, descriptors and CPU time are measured from outside the process.
//!
//! The limits on memory are valid for any allocator: each is far above what the server needs and an
//! allocator keeps, and far below what the attack would cost without the limit under test.

use std::time::Instant;

use super::peer::{Peer, ReceiveBuffer};
use super::process::{Process, pause};
use roomer_conformance::client::TIMEOUT;
use roomer_conformance::wire::{self, PacketView};

mod descriptors;
mod ending;
mod fairness;
mod frames;
mod handshakes;
mod memory;
mod rooms;
mod slow;
mod stopped;

/// The memory in KiB that the allocator of a debug build may keep after a small attack.
const ALLOCATOR_ALLOWANCE: usize = 12 * 1024;

/// Many clients that one thread drives. They read everything, and answer pings.
struct Crowd {
    peers: Vec<Peer>,
    /// The number of packets that all clients together have received.
    heard: usize,
}

impl Crowd {
    /// Connects this many clients, which join a room.
    fn gather(process: &Process, count: usize, room: &str) -> Crowd {
        Crowd::of(ReceiveBuffer::Default, process, count, room)
    }

    fn of(receive_buffer: ReceiveBuffer, process: &Process, count: usize, room: &str) -> Crowd {
        let mut crowd = Crowd { peers: Vec::new(), heard: 0 };
        let join = wire::to_room(room, "join", b"");
        // Connect the clients in groups, so that they do not exceed the backlog of the listener.
        while crowd.peers.len() < count {
            let more = (count - crowd.peers.len()).min(100);
            crowd.peers.extend((0..more).map(|_| Peer::dial(process.addr, receive_buffer)));
            crowd.peers.iter_mut().rev().take(more).for_each(|peer| peer.send(&join));
            let mut welcome = 0;
            crowd.until(|_, _, view| {
                welcome += usize::from(view.event == b"join_ack");
                welcome == 2 * more
            });
        }
        crowd
    }

    /// Reads and writes once for each client, and pauses if no bytes have arrived. Returns true if
    /// `look` has returned true for a packet.
    fn turn(&mut self, mut look: impl FnMut(usize, &mut Vec<u8>, PacketView<'_>) -> bool) -> bool {
        let (mut found, mut some) = (false, false);
        for (index, peer) in self.peers.iter_mut().enumerate() {
            some |= peer.read();
            let mut answers = Vec::new();
            while let Some((opcode, payload)) = peer.next() {
                match opcode {
                    wire::BINARY => {
                        self.heard += 1;
                        found |= look(index, &mut answers, PacketView::decode(payload));
                    }
                    wire::PING => answers.extend(wire::frame(wire::FIN | wire::PONG, payload)),
                    _ => panic!("{index} gets {opcode}: {}", payload.escape_ascii()),
                }
            }
            assert_eq!(peer.end(), None, "{index} is cut off");
            peer.send(&answers);
            peer.flush();
        }
        if !some {
            pause();
        }
        found
    }

    /// Reads and writes for all clients until `look` returns true for a packet. Fails if no packets
    /// arrive for [`TIMEOUT`].
    #[track_caller]
    fn until(&mut self, mut look: impl FnMut(usize, &mut Vec<u8>, PacketView<'_>) -> bool) {
        let (mut heard, mut deadline) = (self.heard, Instant::now() + TIMEOUT);
        while !self.turn(&mut look) {
            if self.heard > heard {
                (heard, deadline) = (self.heard, Instant::now() + TIMEOUT);
            }
            assert!(Instant::now() < deadline, "the expected packet does not arrive");
        }
    }
}
