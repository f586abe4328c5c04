//! The view that a client has of its rooms. Every packet updates it, and is checked against it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::delivery_log::{ClientIndex, DeliveryLog, LogCursor, Observed, Room, number};
use roomer_conformance::wire::{self, PacketView};

/// The room that each client joins when it connects.
pub(super) const ROOT: Room = 0;

/// A client's view of its rooms.
pub(super) struct View {
    /// The client's own index. `None` until the first `join_ack`.
    pub(super) me: Option<ClientIndex>,
    pub(super) is_reference: bool,
    pub(super) rooms: BTreeMap<Room, RoomState>,
    /// For each room, how many times the client has joined it.
    pub(super) joins: BTreeMap<Room, usize>,
    pub(super) direct_counts: HashMap<ClientIndex, u32>,
    pub(super) probes: BTreeMap<Room, usize>,
    pub(super) fences: usize,
}

pub(super) enum RoomState {
    /// The client has sent `join`.
    Joining,
    In(Membership),
    /// The client has sent `leave`.
    Leaving(Membership),
}

/// The view of a room that the client is in.
pub(super) struct Membership {
    pub(super) members: BTreeSet<ClientIndex>,
    cursor: LogCursor,
    /// For each honest member, the number of its next message, if that is known.
    next: HashMap<ClientIndex, Next>,
    /// The number of repeated joins that the server has not answered yet.
    pub(super) repeats: usize,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    /// The first message that follows the member's join.
    Start,
    Is(u32),
}

impl View {
    pub(super) fn new(is_reference: bool) -> View {
        View {
            me: None,
            is_reference,
            rooms: BTreeMap::from([(ROOT, RoomState::Joining)]),
            joins: BTreeMap::new(),
            direct_counts: HashMap::new(),
            probes: BTreeMap::new(),
            fences: 0,
        }
    }

    /// Returns the packet that joins a room, or joins it again.
    pub(super) fn join(&mut self, log: &DeliveryLog, room: Room) -> Option<Vec<u8>> {
        match self.rooms.get_mut(&room) {
            None => drop(self.rooms.insert(room, RoomState::Joining)),
            Some(RoomState::In(membership)) => membership.repeats += 1,
            Some(_) => return None,
        }
        Some(wire::to_room(&log.rooms[room], "join", b""))
    }

    /// Returns a packet with a message to a room, which the client must have joined or be joining.
    pub(super) fn say(
        &self,
        log: &mut DeliveryLog,
        room: Room,
        event: &str,
        filler: usize,
    ) -> Option<Vec<u8>> {
        let (RoomState::Joining | RoomState::In(_)) = self.rooms.get(&room)? else { return None };
        let payload = log.say(self.me?, room, filler);
        Some(wire::to_room(&log.rooms[room], event, &payload))
    }

    /// Returns a packet with a direct message to a client.
    pub(super) fn tell(
        &self,
        log: &mut DeliveryLog,
        to: ClientIndex,
        filler: usize,
    ) -> Option<Vec<u8>> {
        let payload = log.tell(self.me?, to, filler);
        let room = &log.rooms[to as usize % log.rooms.len()];
        Some(wire::to_client(log.id(to), room, "direct", &payload))
    }

    /// Returns the packet that leaves a room.
    pub(super) fn leave(&mut self, log: &mut DeliveryLog, room: Room) -> Option<Vec<u8>> {
        let me = self.me?;
        let RoomState::In(_) = self.rooms.get(&room)? else { return None };
        if let Some(RoomState::In(membership)) = self.rooms.remove(&room) {
            self.rooms.insert(room, RoomState::Leaving(membership));
        }
        log.leave(me, room);
        Some(wire::to_room(&log.rooms[room], "leave", b""))
    }

    /// Returns a packet with a message from the client to itself. It must arrive after all messages
    /// that were sent to the client before.
    pub(super) fn fence(&self, log: &DeliveryLog) -> Vec<u8> {
        let id = log.id(self.me.expect("the first join_ack has arrived"));
        wire::to_client(id, "root", "fence", b"")
    }

    pub(super) fn name(&self, log: &DeliveryLog) -> String {
        self.me.map_or("a new client".into(), |me| log.id(me).into())
    }

    /// Records that the client is about to leave all its rooms.
    pub(super) fn record_leaves(&mut self, log: &mut DeliveryLog) {
        let Some(me) = self.me else { return };
        for (room, state) in &self.rooms {
            if !matches!(state, RoomState::Leaving(_)) {
                log.leave(me, *room);
            }
        }
    }

    /// Ends the client's memberships. Packets that were received in them must still appear in the
    /// log.
    pub(super) fn end(self, log: &mut DeliveryLog) {
        let Some(me) = self.me else { return };
        for state in self.rooms.into_values() {
            if let RoomState::In(membership) | RoomState::Leaving(membership) = state {
                log.end(me, membership.cursor);
            }
        }
    }

    pub(super) fn packet(&mut self, log: &mut DeliveryLog, view: PacketView<'_>) {
        match view.event {
            b"join_ack" => self.acked(log, view),
            b"leave_ack" => self.left(log, view),
            b"new_member" | b"member_left" => self.notice(log, view),
            _ if !view.dst.is_empty() => self.direct(log, view),
            _ => self.broadcast(log, view),
        }
    }

    fn acked(&mut self, log: &mut DeliveryLog, view: PacketView<'_>) {
        log.checked.acks += 1;
        let room = log.room(view.room);
        let me = log.client(view.src);
        assert_eq!(*self.me.get_or_insert(me), me, "src of a join_ack is not the joining client");
        assert!(view.dst.is_empty(), "a join_ack with a dst");
        let members = snapshot(log, view.payload);
        assert!(members.contains(&me), "a snapshot without the joining client");
        match self.rooms.get_mut(&room) {
            Some(state @ RoomState::Joining) => {
                let joins = self.joins.entry(room).or_default();
                let cursor = log.cursor(room, *joins);
                *joins += 1;
                *state =
                    RoomState::In(Membership { members, cursor, next: HashMap::new(), repeats: 0 });
            }
            Some(RoomState::In(membership) | RoomState::Leaving(membership))
                if membership.repeats > 0 =>
            {
                membership.repeats -= 1;
                assert_eq!(
                    members, membership.members,
                    "snapshot + new_member - member_left is wrong"
                );
            }
            _ => panic!("an unexpected join_ack of {}", log.rooms[room]),
        }
    }

    fn left(&mut self, log: &mut DeliveryLog, view: PacketView<'_>) {
        log.checked.acks += 1;
        let room = log.room(view.room);
        let me = self.me.expect("the first join_ack has arrived");
        let id = log.id(me).as_bytes();
        assert!((view.src, view.dst, view.payload) == (id, b"", id), "an invalid leave_ack");
        let Some(RoomState::Leaving(mut membership)) = self.rooms.remove(&room) else {
            panic!("an unexpected leave_ack of {}", log.rooms[room]);
        };
        assert_eq!(membership.repeats, 0, "a join without an answer");
        log.observe(me, &mut membership.cursor, Observed::Left(me));
        log.end(me, membership.cursor);
    }

    /// Returns the membership to which a packet belongs. Such a packet must arrive after the
    /// `join_ack` and before the `leave_ack`.
    fn membership<'m>(
        &'m mut self,
        log: &DeliveryLog,
        view: PacketView<'_>,
    ) -> (ClientIndex, Room, &'m mut Membership) {
        let me = self.me.expect("the first join_ack has arrived");
        let room = log.room(view.room);
        match self.rooms.get_mut(&room) {
            Some(RoomState::In(membership) | RoomState::Leaving(membership)) => {
                (me, room, membership)
            }
            _ => panic!(
                "{} of {}, which it has not joined",
                view.event.escape_ascii(),
                log.rooms[room]
            ),
        }
    }

    fn notice(&mut self, log: &mut DeliveryLog, view: PacketView<'_>) {
        log.checked.notices += 1;
        assert!(view.src.is_empty() && view.dst.is_empty(), "a forged notice");
        let is_reference = self.is_reference;
        let other = log.client(view.payload);
        let (me, room, membership) = self.membership(log, view);
        assert_ne!(me, other, "a notice about the client itself");
        let observed = if view.event == b"new_member" {
            assert!(membership.members.insert(other), "{} joins twice", log.id(other));
            membership.next.insert(other, Next::Start);
            Observed::Joined(other)
        } else {
            assert!(membership.members.remove(&other), "{} leaves twice", log.id(other));
            if let Some(Next::Is(next)) = membership.next.remove(&other) {
                log.check_end(other, room, next);
            }
            Observed::Left(other)
        };
        match is_reference {
            true => log.monitor(room, observed),
            false => log.observe(me, &mut membership.cursor, observed),
        }
    }

    fn broadcast(&mut self, log: &mut DeliveryLog, view: PacketView<'_>) {
        log.checked.broadcasts += 1;
        let is_reference = self.is_reference;
        let by = log.client(view.src);
        let (me, room, membership) = self.membership(log, view);
        assert!(
            by != me && membership.members.contains(&by),
            "a message of {}, which is not a member",
            log.id(by)
        );
        if matches!(view.event, b"hello" | b"probe") {
            let number = number(view.payload).expect("an undamaged payload");
            let expected = membership.next.insert(by, Next::Is(number + 1));
            let is_next = match expected {
                None => true,
                Some(Next::Is(next)) => next == number,
                Some(Next::Start) => log.is_start(by, room, number),
            };
            assert!(is_next, "{}: {number}, but {expected:?} is next", log.id(by));
        }
        // The payload of a forged message is the honest client's id, which must not be in `src`.
        assert!(view.event != b"forged" || view.payload != view.src, "a forged src");
        assert!(!matches!(view.event, b"open" | b"close"), "a reserved event");
        let observed = Observed::sent(by, view.event, view.payload);
        match is_reference {
            true => log.monitor(room, observed),
            false => log.observe(me, &mut membership.cursor, observed),
        }
        if view.event == b"probe" {
            *self.probes.entry(room).or_default() += 1;
        }
    }

    fn direct(&mut self, log: &mut DeliveryLog, view: PacketView<'_>) {
        log.checked.directs += 1;
        let me = self.me.expect("the first join_ack has arrived");
        assert_eq!(view.dst, log.id(me).as_bytes(), "a message for another client");
        let by = log.client(view.src);
        match view.event {
            b"direct" => {
                let next = self.direct_counts.entry(by).or_default();
                let number = number(view.payload).expect("an undamaged payload");
                assert_eq!(number, *next, "a direct message of {} is missing", log.id(by));
                *next += 1;
            }
            b"fence" => {
                assert_eq!(by, me, "a fence of another client");
                self.fences += 1;
            }
            // This is an attacker's message, whose contents are not checked.
            _ => {}
        }
    }

    /// Returns true if all of the client's joins and leaves are answered, and all packets that it
    /// has received are in the log.
    pub(super) fn is_settled(&mut self, log: &mut DeliveryLog) -> bool {
        let Some(me) = self.me else { return false };
        self.rooms.values_mut().all(|state| match state {
            RoomState::In(membership) => {
                log.follow(me, &mut membership.cursor);
                membership.repeats == 0 && membership.cursor.is_settled()
            }
            RoomState::Joining | RoomState::Leaving(_) => false,
        })
    }

    /// Returns true if all direct messages to this client have arrived.
    pub(super) fn has_all_direct(&self, log: &DeliveryLog) -> bool {
        let Some(me) = self.me else { return false };
        log.direct_counts(me).all(|(from, direct_counts)| {
            self.direct_counts.get(&from).copied().unwrap_or(0) == direct_counts
        })
    }
}

/// Parses the members in a `join_ack`'s payload.
fn snapshot(log: &mut DeliveryLog, json: &[u8]) -> BTreeSet<ClientIndex> {
    let inner = json.strip_prefix(b"[").and_then(|json| json.strip_suffix(b"]"));
    let mut members = BTreeSet::new();
    for cell in inner.expect("an array").split(|byte| *byte == b',') {
        let id = cell.strip_prefix(b"\"").and_then(|cell| cell.strip_suffix(b"\""));
        assert!(members.insert(log.client(id.expect("a string"))), "a member is listed twice");
    }
    members
}
