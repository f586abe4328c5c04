//! Tests of the order in which each connection receives frames, without real sockets.

use std::io::{self, IoSlice};
use std::sync::Mutex;
use std::task::{Context, Poll};

use crate::core::Core;
use crate::outbound::budget::{BufferSet, MemoryBudget};
use crate::outbound::deliver::{SPARE_BATCHES, keep_spare, spare_list};
use crate::outbound::outbox::WaterMarks;
use crate::outbound::*;
use crate::transport::Transport;
use roomer_hub::{Config, ConnId, HashKey, Hub, Input};
use std::time::Duration;

/// A socket that accepts all bytes and records them.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>);

impl Transport for Tape {
    fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn try_write_vectored(&self, chunks: &[IoSlice<'_>]) -> io::Result<usize> {
        chunks.iter().map(|piece| self.try_write(piece)).sum()
    }

    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn shutdown(&self) {}
}

/// A room with more than [`SMALL_ROOM`] members, whose messages therefore wait for a flush.
struct LargeRoom {
    core: Core,
    keys: Vec<ConnKey>,
    tapes: Vec<Tape>,
}

impl LargeRoom {
    fn new() -> Self {
        LargeRoom::of(false)
    }

    fn of(extended: bool) -> Self {
        let hub = Hub::new(Config::default(), HashKey([0; 16]));
        let mut room = LargeRoom { core: Core::new(hub, false, None), keys: vec![], tapes: vec![] };
        for number in 0..SMALL_ROOM as u8 + 4 {
            let tape = Tape::default();
            let marks = WaterMarks { kept: 1 << 20, high: 1 << 20, max: 1 << 24 };
            let budget = MemoryBudget::new(1 << 30, marks);
            let writer = SocketWriter::new(tape.clone(), Arc::new(budget));
            if extended {
                writer.begin_session();
            }
            let id = ConnId::from_random_bytes([number; 16]);
            let applied =
                room.core.apply(Duration::ZERO, Input::Open { id, extended }, Some(&writer));
            room.keys.push(applied.opened.unwrap());
            room.tapes.push(tape);
        }
        room.flush();
        room
    }

    fn send(&mut self, who: usize, event: &str, dst: &str) {
        let packet = PacketRef { room: "root", event, dst, ..PacketRef::default() };
        let conn = self.keys[who];
        self.core.apply(Duration::ZERO, Input::Packet { conn, packet }, None);
    }

    fn flush(&mut self) {
        let work = self.core.take(true);
        for (_, writer) in &work.writers {
            writer.flush();
        }
        self.core.outbound.finish(&work);
    }

    /// Returns the events that a member received since the last call, in order.
    fn received(&self, who: usize) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.tapes[who].0.lock().unwrap());
        let (mut events, mut rest) = (Vec::new(), &bytes[..]);
        while let [0x82, length, ..] = *rest {
            let (head, length) = match length {
                126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
                short => (2, usize::from(short)),
            };
            let (message, leftover) = rest[head..].split_at(length);
            events.push(PacketRef::decode(message).unwrap().event.to_string());
            rest = leftover;
        }
        assert!(rest.is_empty(), "{rest:?} is not a frame");
        events
    }
}

#[test]
fn direct_message_does_not_overtake_broadcasts_of_its_sender() {
    let mut room = LargeRoom::new();
    room.received(1);
    let id = room.core.hub.tables().conn_id(room.keys[1]).unwrap();
    room.send(0, "first", "");
    room.send(0, "second", id.as_str());
    room.send(0, "third", "");
    room.flush();
    assert_eq!(room.received(1), ["first", "second", "third"]);
}

#[test]
fn leaving_member_gets_earlier_messages_only() {
    let mut room = LargeRoom::new();
    room.received(1);
    room.send(0, "before", "");
    room.send(1, "leave", "");
    room.send(0, "after", "");
    room.flush();
    assert_eq!(room.received(1), ["before", "leave_ack"]);
}

#[test]
fn rejoining_member_misses_messages_between() {
    let mut room = LargeRoom::new();
    room.received(1);
    room.send(1, "leave", "");
    room.send(0, "between", "");
    room.send(1, "join", "");
    room.send(0, "after", "");
    room.flush();
    assert_eq!(room.received(1), ["leave_ack", "join_ack", "after"]);
}

#[test]
fn repeated_join_ack_follows_messages_in_snapshot() {
    let mut room = LargeRoom::new();
    room.received(1);
    room.send(0, "leave", "");
    room.send(1, "join", "");
    room.send(0, "join", "");
    room.flush();
    assert_eq!(room.received(1), ["member_left", "join_ack", "new_member"]);
}

#[test]
fn room_growing_large_within_poll_is_flushed() {
    let mut room = LargeRoom::new();
    for who in SMALL_ROOM + 1..SMALL_ROOM + 4 {
        room.send(who, "leave", "");
    }
    room.flush();
    room.send(1, "leave", "");
    room.send(1, "join", "");
    assert!(room.core.take(false).has_more);
}

#[test]
fn only_first_sender_flushes_busy_room() {
    let mut room = LargeRoom::new();
    let must_flush = |room: &mut LargeRoom| room.core.take(false).has_more;
    must_flush(&mut room);
    room.flush();
    room.send(0, "first", "");
    assert!(must_flush(&mut room));
    room.send(1, "second", "");
    assert!(!must_flush(&mut room));
    room.flush();
    room.send(1, "third", "");
    assert!(must_flush(&mut room));
}

#[test]
fn sessions_share_batch() {
    let mut room = LargeRoom::of(true);
    let held = |room: &LargeRoom| {
        let mut buffers = BufferSet::new();
        room.core.outbound.writers.values().for_each(|writer| buffers.add(&writer.usage()));
        buffers.sum()
    };
    let before = held(&room);
    let long = "x".repeat(250);
    for _ in 0..40 {
        room.send(0, &long, "");
    }
    room.flush();
    let (members, grown) = (room.keys.len(), held(&room) - before);
    assert!((40 * 250..40 * 350 + members * 64).contains(&grown), "{grown} for {members} members");
}

#[test]
fn flushed_batches_are_pooled() {
    let mut room = LargeRoom::new();
    let send = |room: &mut LargeRoom, who: usize, name: &str, event: &str| {
        let packet = PacketRef { room: name, event, ..PacketRef::default() };
        room.core.apply(Duration::ZERO, Input::Packet { conn: room.keys[who], packet }, None);
    };
    let names: Vec<String> =
        (0..SPARE_BATCHES + 4).map(|number| format!("room-{number}")).collect();
    for name in &names {
        send(&mut room, 0, name, "join");
        send(&mut room, 1, name, "join");
    }
    room.flush();
    assert_eq!(room.core.outbound.spare_batches.len(), SPARE_BATCHES, "the others are freed");
    room.received(1);
    room.received(2);
    send(&mut room, 0, &names[0], "again");
    assert_eq!(room.core.outbound.spare_batches.len(), SPARE_BATCHES - 1);
    room.flush();
    assert_eq!(room.core.outbound.spare_batches.len(), SPARE_BATCHES);
    assert_eq!((room.received(1), room.received(2)), (vec!["again".to_string()], Vec::new()));
}

#[test]
fn reused_flush_list_keeps_memory_but_not_connections() {
    let budget = MemoryBudget::new(1 << 30, WaterMarks { kept: 0, high: 0, max: 0 });
    let writer = SocketWriter::new(Tape::default(), Arc::new(budget));
    let list = |len| vec![(ConnKey::default(), writer.clone()); len];
    let short = list(5);
    let memory = short.as_ptr();
    keep_spare(short);
    assert_eq!(Arc::strong_count(&writer), 1);
    // Neither an empty list, which has no allocation, nor a very long list may replace the spare
    // one.
    keep_spare(Vec::new());
    keep_spare(list(1000));
    let spare = spare_list();
    assert_eq!((spare.as_ptr(), spare.len()), (memory, 0));
    assert_eq!(spare_list().capacity(), 0, "there is only one spare list");
}
