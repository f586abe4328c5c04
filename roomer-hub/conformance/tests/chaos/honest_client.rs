//! A well-behaved client that holds the server to its word on every message.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use super::delivery_log::{ClientIndex, DeliveryLog, LogCursor, Observed, Room, number};
use super::peer::{End, Peer, ReceiveBuffer};
use roomer_conformance::wire::{self, PacketView};

/// The room that everybody is in from the start.
pub(super) const ROOT: Room = 0;

pub(super) struct HonestClient {
    pub(super) peer: Peer,
    pub(super) view: View,
    close_state: CloseState,
}

/// How far it is with taking its leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CloseState {
    Not,
    /// Hangs up as soon as everything is sent.
    ShutdownPending,
    ShutdownSent,
    /// Has sent a close frame.
    Closing,
    /// Has its answer.
    Closed,
}

/// What a client knows.
pub(super) struct View {
    /// ClientIndex it is, once it is welcome.
    pub(super) me: Option<ClientIndex>,
    is_reference: bool,
    pub(super) rooms: BTreeMap<Room, RoomState>,
    /// How often it has come to each room.
    visits: BTreeMap<Room, usize>,
    told: HashMap<ClientIndex, u32>,
    pub(super) probes: BTreeMap<Room, usize>,
    pub(super) fences: usize,
}

pub(super) enum RoomState {
    /// Has asked to join.
    Joining,
    In(Membership),
    /// Has asked to leave.
    Leaving(Membership),
}

/// What it knows of a room that it is in.
pub(super) struct Membership {
    pub(super) members: BTreeSet<ClientIndex>,
    cursor: LogCursor,
    /// The number of each good member's next message, where that is known.
    next: HashMap<ClientIndex, Next>,
    /// Repeated joins that are not answered yet.
    pub(super) repeats: usize,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    /// The first after its coming.
    Start,
    Is(u32),
}

/// What became of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    There,
    Gone,
}

impl HonestClient {
    pub(super) fn connect(
        addr: SocketAddr,
        width: ReceiveBuffer,
        is_reference: bool,
    ) -> HonestClient {
        let view = View {
            me: None,
            is_reference,
            rooms: BTreeMap::from([(ROOT, RoomState::Joining)]),
            visits: BTreeMap::new(),
            told: HashMap::new(),
            probes: BTreeMap::new(),
            fences: 0,
        };
        HonestClient { peer: Peer::dial(addr, width), view, close_state: CloseState::Not }
    }

    /// Whether it is welcome, has not too much unsent and is not about to go.
    pub(super) fn is_ready(&self) -> bool {
        self.view.me.is_some()
            && self.close_state == CloseState::Not
            && self.peer.unsent() < 64 * 1024
    }

    pub(super) fn join(&mut self, log: &DeliveryLog, room: Room) {
        match self.view.rooms.get_mut(&room) {
            None => drop(self.view.rooms.insert(room, RoomState::Joining)),
            Some(RoomState::In(membership)) => membership.repeats += 1,
            Some(_) => return,
        }
        self.peer.send(&wire::to_room(&log.rooms[room], "join", b""));
    }

    /// Speaks in a room that it is in, or is about to be in.
    pub(super) fn say(&mut self, log: &mut DeliveryLog, room: Room, event: &str, filler: usize) {
        if let (Some(me), Some(RoomState::Joining | RoomState::In(_))) =
            (self.view.me, self.view.rooms.get(&room))
        {
            let payload = log.say(me, room, filler);
            self.peer.send(&wire::to_room(&log.rooms[room], event, &payload));
        }
    }

    pub(super) fn tell(&mut self, log: &mut DeliveryLog, to: ClientIndex, filler: usize) {
        if let Some(me) = self.view.me {
            let payload = log.tell(me, to, filler);
            let room = &log.rooms[to as usize % log.rooms.len()];
            self.peer.send(&wire::to_client(log.id(to), room, "direct", &payload));
        }
    }

    pub(super) fn leave(&mut self, log: &mut DeliveryLog, room: Room) {
        if let (Some(me), Some(RoomState::In(_))) = (self.view.me, self.view.rooms.get(&room))
            && let Some(RoomState::In(membership)) = self.view.rooms.remove(&room)
        {
            log.leave(me, room);
            self.view.rooms.insert(room, RoomState::Leaving(membership));
            self.peer.send(&wire::to_room(&log.rooms[room], "leave", b""));
        }
    }

    /// Sends itself something, before which everything else must come.
    pub(super) fn fence(&mut self, log: &DeliveryLog) {
        let id = log.id(self.view.me.expect("it is welcome"));
        self.peer.send(&wire::to_client(id, "root", "fence", b""));
    }

    /// Takes its leave by a close frame.
    pub(super) fn close(&mut self, log: &mut DeliveryLog) {
        self.view.pack(log);
        log.note(self.view.me, "said close");
        self.peer.send(&wire::close(1000, ""));
        self.close_state = CloseState::Closing;
    }

    /// Takes its leave by ending the writing direction.
    pub(super) fn shutdown_write(&mut self, log: &mut DeliveryLog) {
        self.view.pack(log);
        log.note(self.view.me, "hung up");
        self.close_state = CloseState::ShutdownPending;
    }

    /// Is gone at once, by a reset or by an end with things unread.
    pub(super) fn abort(self, log: &mut DeliveryLog, by_reset: bool) {
        if let Some(me) = self.view.me {
            log.cut(me);
        }
        self.view.end(log);
        if by_reset {
            self.peer.reset();
        }
    }

    pub(super) fn flush(&mut self) {
        self.peer.flush();
        if self.close_state == CloseState::ShutdownPending && self.peer.unsent() == 0 {
            self.peer.shutdown_write();
            self.close_state = CloseState::ShutdownSent;
        }
    }

    /// Looks at what was read.
    pub(super) fn process_input(&mut self, log: &mut DeliveryLog) {
        let mut pongs = Vec::new();
        while let Some((opcode, payload)) = self.peer.next() {
            assert!(self.close_state != CloseState::Closed, "something after the close frame");
            match opcode {
                wire::BINARY => self.view.packet(log, PacketView::decode(payload)),
                wire::PING => pongs.extend(wire::frame(wire::FIN | wire::PONG, payload)),
                wire::CLOSE if self.close_state == CloseState::Closing => {
                    assert_eq!(payload, 1000u16.to_be_bytes(), "another code comes back");
                    self.close_state = CloseState::Closed;
                }
                _ => panic!("{} gets {opcode}: {}", self.view.name(log), payload.escape_ascii()),
            }
        }
        // Nothing follows a close frame: the answer to it would be lost to a reset.
        if !matches!(self.close_state, CloseState::Closing | CloseState::Closed) {
            self.peer.send(&pongs);
        }
    }

    /// Whether it is gone, which it must be only by its own will.
    pub(super) fn stage(&self, log: &DeliveryLog) -> Stage {
        let Some(end) = self.peer.end() else { return Stage::There };
        let is_meant = self.close_state == CloseState::Closed
            || (self.close_state, end) == (CloseState::ShutdownSent, End::Fin);
        assert!(is_meant, "{} is cut off: {:?}, {end:?}", self.view.name(log), self.close_state);
        Stage::Gone
    }
}

impl View {
    fn name(&self, log: &DeliveryLog) -> String {
        self.me.map_or("a newcomer".into(), |me| log.id(me).into())
    }

    /// Tells the log that it is about to leave all its rooms.
    fn pack(&mut self, log: &mut DeliveryLog) {
        let Some(me) = self.me else { return };
        for (room, state) in &self.rooms {
            if !matches!(state, RoomState::Leaving(_)) {
                log.leave(me, *room);
            }
        }
    }

    /// What it has observed must turn up in the log, also when it is gone.
    pub(super) fn end(self, log: &mut DeliveryLog) {
        let Some(me) = self.me else { return };
        for state in self.rooms.into_values() {
            if let RoomState::In(membership) | RoomState::Leaving(membership) = state {
                log.end(me, membership.cursor);
            }
        }
    }

    fn packet(&mut self, log: &mut DeliveryLog, view: PacketView<'_>) {
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
        let me = log.who(view.src);
        assert_eq!(*self.me.get_or_insert(me), me, "src of a join_ack is who joins");
        assert!(view.dst.is_empty(), "a join_ack with a dst");
        let members = snapshot(log, view.payload);
        assert!(members.contains(&me), "a snapshot without the joiner");
        match self.rooms.get_mut(&room) {
            Some(state @ RoomState::Joining) => {
                let visits = self.visits.entry(room).or_default();
                let cursor = log.cursor(room, *visits);
                *visits += 1;
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
            _ => panic!("a join_ack of {} that was not asked for", log.rooms[room]),
        }
    }

    fn left(&mut self, log: &mut DeliveryLog, view: PacketView<'_>) {
        log.checked.acks += 1;
        let room = log.room(view.room);
        let me = self.me.expect("welcome before anything else");
        let id = log.id(me).as_bytes();
        assert!((view.src, view.dst, view.payload) == (id, b"", id), "a strange leave_ack");
        let Some(RoomState::Leaving(mut membership)) = self.rooms.remove(&room) else {
            panic!("a leave_ack of {} that was not asked for", log.rooms[room]);
        };
        assert_eq!(membership.repeats, 0, "a join without an answer");
        log.hear(me, &mut membership.cursor, Observed::Left(me));
        log.end(me, membership.cursor);
    }

    /// The membership that something is about. Nothing comes before `join_ack` or after `leave_ack`.
    fn membership<'m>(
        &'m mut self,
        log: &DeliveryLog,
        view: PacketView<'_>,
    ) -> (ClientIndex, Room, &'m mut Membership) {
        let me = self.me.expect("welcome before anything else");
        let room = log.room(view.room);
        match self.rooms.get_mut(&room) {
            Some(RoomState::In(membership) | RoomState::Leaving(membership)) => {
                (me, room, membership)
            }
            _ => panic!("{} of {}, in which it is not", view.event.escape_ascii(), log.rooms[room]),
        }
    }

    fn notice(&mut self, log: &mut DeliveryLog, view: PacketView<'_>) {
        log.checked.notices += 1;
        assert!(view.src.is_empty() && view.dst.is_empty(), "a forged notice");
        let is_reference = self.is_reference;
        let other = log.who(view.payload);
        let (me, room, membership) = self.membership(log, view);
        assert_ne!(me, other, "a notice about oneself");
        let observed = if view.event == b"new_member" {
            assert!(membership.members.insert(other), "{} comes twice", log.id(other));
            membership.next.insert(other, Next::Start);
            Observed::Joined(other)
        } else {
            assert!(membership.members.remove(&other), "{} goes twice", log.id(other));
            if let Some(Next::Is(next)) = membership.next.remove(&other) {
                log.check_end(other, room, next);
            }
            Observed::Left(other)
        };
        match is_reference {
            true => log.monitor(room, observed),
            false => log.hear(me, &mut membership.cursor, observed),
        }
    }

    fn broadcast(&mut self, log: &mut DeliveryLog, view: PacketView<'_>) {
        log.checked.broadcasts += 1;
        let is_reference = self.is_reference;
        let by = log.who(view.src);
        let (me, room, membership) = self.membership(log, view);
        assert!(
            by != me && membership.members.contains(&by),
            "{} speaks, who is not in",
            log.id(by)
        );
        if matches!(view.event, b"hello" | b"probe") {
            let number = number(view.payload).expect("a whole payload");
            let expected = membership.next.insert(by, Next::Is(number + 1));
            let is_next = match expected {
                None => true,
                Some(Next::Is(next)) => next == number,
                Some(Next::Start) => log.is_start(by, room, number),
            };
            assert!(is_next, "{}: {number}, but {expected:?} is next", log.id(by));
        }
        // Evil ones write a good one's id here, and as their src.
        assert!(view.event != b"forged" || view.payload != view.src, "a forged src");
        assert!(!matches!(view.event, b"open" | b"close"), "a reserved event");
        let observed = Observed::said(by, view.event, view.payload);
        match is_reference {
            true => log.monitor(room, observed),
            false => log.hear(me, &mut membership.cursor, observed),
        }
        if view.event == b"probe" {
            *self.probes.entry(room).or_default() += 1;
        }
    }

    fn direct(&mut self, log: &mut DeliveryLog, view: PacketView<'_>) {
        log.checked.directs += 1;
        let me = self.me.expect("welcome before anything else");
        assert_eq!(view.dst, log.id(me).as_bytes(), "somebody else's message");
        let by = log.who(view.src);
        match view.event {
            b"direct" => {
                let next = self.told.entry(by).or_default();
                let number = number(view.payload).expect("a whole payload");
                assert_eq!(number, *next, "what {} tells has a gap", log.id(by));
                *next += 1;
            }
            b"fence" => {
                assert_eq!(by, me, "somebody else's fence");
                self.fences += 1;
            }
            // Evil ones may say what they like.
            _ => {}
        }
    }

    /// Whether everything that was asked is answered and everything observed is in the log.
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

    /// Whether everything that it was told has come.
    pub(super) fn is_told(&self, log: &DeliveryLog) -> bool {
        let Some(me) = self.me else { return false };
        log.told(me).all(|(from, told)| self.told.get(&from).copied().unwrap_or(0) == told)
    }
}

/// The members that a `join_ack` tells.
fn snapshot(log: &mut DeliveryLog, json: &[u8]) -> BTreeSet<ClientIndex> {
    let inner = json.strip_prefix(b"[").and_then(|json| json.strip_suffix(b"]"));
    let mut members = BTreeSet::new();
    for cell in inner.expect("an array").split(|byte| *byte == b',') {
        let id = cell.strip_prefix(b"\"").and_then(|cell| cell.strip_suffix(b"\""));
        assert!(members.insert(log.who(id.expect("a string"))), "somebody twice");
    }
    members
}
