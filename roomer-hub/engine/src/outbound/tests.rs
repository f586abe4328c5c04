//! The order of what each connection gets, without sockets.

use std::io::{self, IoSlice};
use std::sync::Mutex;
use std::task::{Context, Poll};

use crate::core::Core;
use crate::outbound::budget::MemoryBudget;
use crate::outbound::outbox::WaterMarks;
use crate::outbound::*;
use crate::transport::Writer;
use roomer_hub::{Config, ConnId, HashKey, Hub, Input};
use std::time::Duration;

/// A socket that takes everything.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>);

impl Writer for Tape {
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

/// More members than a small room has, so that what is said waits for a flush.
struct Crowd {
    core: Core,
    keys: Vec<ConnKey>,
    tapes: Vec<Tape>,
}

impl Crowd {
    fn new() -> Self {
        let hub = Hub::new(Config::default(), HashKey([0; 16]));
        let mut crowd = Crowd { core: Core::new(hub, false), keys: vec![], tapes: vec![] };
        for number in 0..SMALL_ROOM as u8 + 4 {
            let tape = Tape::default();
            let writer = SocketWriter::new(
                tape.clone(),
                WaterMarks { high: 1 << 20, max: 1 << 24 },
                Arc::new(MemoryBudget::new(1 << 30)),
            );
            let id = ConnId::from_random_bytes([number; 16]);
            let applied = crowd.core.apply(Duration::ZERO, Input::Open { id }, Some(&writer));
            crowd.keys.push(applied.opened.unwrap());
            crowd.tapes.push(tape);
        }
        crowd.flush();
        crowd
    }

    fn say(&mut self, who: usize, event: &str, dst: &str) {
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

    /// The events that one has heard since it was last asked, in order.
    fn heard(&self, who: usize) -> Vec<String> {
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
        assert!(rest.is_empty(), "{rest:?} is no frame");
        events
    }
}

#[test]
fn a_direct_message_does_not_overtake_what_its_sender_said_before() {
    let mut crowd = Crowd::new();
    crowd.heard(1);
    let id = crowd.core.hub.tables().conn_id(crowd.keys[1]).unwrap();
    crowd.say(0, "first", "");
    crowd.say(0, "second", id.as_str());
    crowd.say(0, "third", "");
    crowd.flush();
    assert_eq!(crowd.heard(1), ["first", "second", "third"]);
}

#[test]
fn one_who_leaves_hears_all_that_was_said_before_and_nothing_after() {
    let mut crowd = Crowd::new();
    crowd.heard(1);
    crowd.say(0, "before", "");
    crowd.say(1, "leave", "");
    crowd.say(0, "after", "");
    crowd.flush();
    assert_eq!(crowd.heard(1), ["before", "leave_ack"]);
}

#[test]
fn one_who_comes_back_hears_nothing_of_the_time_between() {
    let mut crowd = Crowd::new();
    crowd.heard(1);
    crowd.say(1, "leave", "");
    crowd.say(0, "between", "");
    crowd.say(1, "join", "");
    crowd.say(0, "after", "");
    crowd.flush();
    assert_eq!(crowd.heard(1), ["leave_ack", "join_ack", "after"]);
}

#[test]
fn one_who_joins_again_hears_first_what_its_snapshot_knows() {
    let mut crowd = Crowd::new();
    crowd.heard(1);
    crowd.say(0, "leave", "");
    crowd.say(1, "join", "");
    crowd.say(0, "join", "");
    crowd.flush();
    assert_eq!(crowd.heard(1), ["member_left", "join_ack", "new_member"]);
}

#[test]
fn a_room_that_grows_large_in_one_turn_is_flushed() {
    let mut crowd = Crowd::new();
    for who in SMALL_ROOM + 1..SMALL_ROOM + 4 {
        crowd.say(who, "leave", "");
    }
    crowd.flush();
    crowd.say(1, "leave", "");
    crowd.say(1, "join", "");
    assert!(crowd.core.take(false).has_more);
}

#[test]
fn only_the_first_to_speak_in_a_busy_room_has_to_come_back() {
    let mut crowd = Crowd::new();
    let ends_turn = |crowd: &mut Crowd| crowd.core.take(false).has_more;
    ends_turn(&mut crowd);
    crowd.flush();
    crowd.say(0, "first", "");
    assert!(ends_turn(&mut crowd));
    crowd.say(1, "second", "");
    assert!(!ends_turn(&mut crowd));
    crowd.flush();
    crowd.say(1, "third", "");
    assert!(ends_turn(&mut crowd));
}
