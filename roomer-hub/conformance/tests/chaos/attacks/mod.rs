//! One attack after the other on a server's process, and what it may cost: memory, descriptors
//! and CPU time are measured from outside.

use std::time::Instant;

use super::peer::{Peer, Width};
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

/// Memory that a debug build's allocator may keep after a storm in a glass, in KiB.
const GRANT: usize = 12 * 1024;

/// Many clients on one thread, that read everything and answer pings.
struct Crowd {
    peers: Vec<Peer>,
    /// Packets that have come for all of them.
    heard: usize,
}

impl Crowd {
    /// So many come in, and join a room.
    fn gather(process: &Process, count: usize, room: &str) -> Crowd {
        Crowd::of(Width::Usual, process, count, room)
    }

    fn of(width: Width, process: &Process, count: usize, room: &str) -> Crowd {
        let mut crowd = Crowd { peers: Vec::new(), heard: 0 };
        let join = wire::to_room(room, "join", b"");
        // Some at a time: a listener's queue is not the subject.
        while crowd.peers.len() < count {
            let more = (count - crowd.peers.len()).min(100);
            crowd.peers.extend((0..more).map(|_| Peer::dial(process.addr, width)));
            crowd.peers.iter_mut().rev().take(more).for_each(|peer| peer.send(&join));
            let mut welcome = 0;
            crowd.until(|_, _, view| {
                welcome += usize::from(view.event == b"join_ack");
                welcome == 2 * more
            });
        }
        crowd
    }

    /// Reads and writes once for everybody, and rests if there is nothing to read. True once
    /// `look` has found what it looks for.
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

    /// Turns until `look` has found what it looks for.
    #[track_caller]
    fn until(&mut self, mut look: impl FnMut(usize, &mut Vec<u8>, PacketView<'_>) -> bool) {
        let start = Instant::now();
        while !self.turn(&mut look) {
            assert!(start.elapsed() < TIMEOUT, "it does not come");
        }
    }
}
