//! A well-behaved client that holds the server to its word on every message.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use super::delivery_log::{Heard, Ledger, Room, Visit, Who, number};
use super::peer::{End, Peer, Width};
use roomer_conformance::wire::{self, PacketView};

/// The room that everybody is in from the start.
pub(super) const ROOT: Room = 0;

pub(super) struct Guest {
    pub(super) peer: Peer,
    pub(super) mind: Mind,
    going: Going,
}

/// How far it is with taking its leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    Not,
    /// Hangs up as soon as everything is sent.
    HangsUp,
    HungUp,
    /// Has sent a close frame.
    Closing,
    /// Has its answer.
    Closed,
}

/// What a guest knows.
pub(super) struct Mind {
    /// Who it is, once it is welcome.
    pub(super) me: Option<Who>,
    is_witness: bool,
    pub(super) seats: BTreeMap<Room, Seat>,
    /// How often it has come to each room.
    visits: BTreeMap<Room, usize>,
    told: HashMap<Who, u32>,
    pub(super) probes: BTreeMap<Room, usize>,
    pub(super) fences: usize,
}

pub(super) enum Seat {
    /// Has asked to join.
    Asked,
    In(Stay),
    /// Has asked to leave.
    Leaving(Stay),
}

/// What it knows of a room that it is in.
pub(super) struct Stay {
    pub(super) members: BTreeSet<Who>,
    visit: Visit,
    /// The number of each good member's next message, where that is known.
    next: HashMap<Who, Next>,
    /// Repeated joins that are not answered yet.
    pub(super) repeats: usize,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    /// The first after its coming.
    Start,
    Is(u32),
}

/// What became of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    There,
    Gone,
}

impl Guest {
    pub(super) fn arrive(addr: SocketAddr, width: Width, is_witness: bool) -> Guest {
        let mind = Mind {
            me: None,
            is_witness,
            seats: BTreeMap::from([(ROOT, Seat::Asked)]),
            visits: BTreeMap::new(),
            told: HashMap::new(),
            probes: BTreeMap::new(),
            fences: 0,
        };
        Guest { peer: Peer::dial(addr, width), mind, going: Going::Not }
    }

    /// Whether it is welcome, has not too much unsent and is not about to go.
    pub(super) fn is_ready(&self) -> bool {
        self.mind.me.is_some() && self.going == Going::Not && self.peer.unsent() < 64 * 1024
    }

    pub(super) fn join(&mut self, ledger: &Ledger, room: Room) {
        match self.mind.seats.get_mut(&room) {
            None => drop(self.mind.seats.insert(room, Seat::Asked)),
            Some(Seat::In(stay)) => stay.repeats += 1,
            Some(_) => return,
        }
        self.peer.send(&wire::to_room(&ledger.rooms[room], "join", b""));
    }

    /// Speaks in a room that it is in, or is about to be in.
    pub(super) fn say(&mut self, ledger: &mut Ledger, room: Room, event: &str, filler: usize) {
        if let (Some(me), Some(Seat::Asked | Seat::In(_))) =
            (self.mind.me, self.mind.seats.get(&room))
        {
            let payload = ledger.say(me, room, filler);
            self.peer.send(&wire::to_room(&ledger.rooms[room], event, &payload));
        }
    }

    pub(super) fn tell(&mut self, ledger: &mut Ledger, to: Who, filler: usize) {
        if let Some(me) = self.mind.me {
            let payload = ledger.tell(me, to, filler);
            let room = &ledger.rooms[to as usize % ledger.rooms.len()];
            self.peer.send(&wire::to_client(ledger.id(to), room, "direct", &payload));
        }
    }

    pub(super) fn leave(&mut self, ledger: &mut Ledger, room: Room) {
        if let (Some(me), Some(Seat::In(_))) = (self.mind.me, self.mind.seats.get(&room))
            && let Some(Seat::In(stay)) = self.mind.seats.remove(&room)
        {
            ledger.leave(me, room);
            self.mind.seats.insert(room, Seat::Leaving(stay));
            self.peer.send(&wire::to_room(&ledger.rooms[room], "leave", b""));
        }
    }

    /// Sends itself something, before which everything else must come.
    pub(super) fn fence(&mut self, ledger: &Ledger) {
        let id = ledger.id(self.mind.me.expect("it is welcome"));
        self.peer.send(&wire::to_client(id, "root", "fence", b""));
    }

    /// Takes its leave by a close frame.
    pub(super) fn close(&mut self, ledger: &mut Ledger) {
        self.mind.pack(ledger);
        ledger.note(self.mind.me, "said goodbye");
        self.peer.send(&wire::close(1000, ""));
        self.going = Going::Closing;
    }

    /// Takes its leave by ending the writing direction.
    pub(super) fn hang_up(&mut self, ledger: &mut Ledger) {
        self.mind.pack(ledger);
        ledger.note(self.mind.me, "hung up");
        self.going = Going::HangsUp;
    }

    /// Is gone at once, by a reset or by an end with things unread.
    pub(super) fn vanish(self, ledger: &mut Ledger, by_reset: bool) {
        if let Some(me) = self.mind.me {
            ledger.cut(me);
        }
        self.mind.end(ledger);
        if by_reset {
            self.peer.reset();
        }
    }

    pub(super) fn flush(&mut self) {
        self.peer.flush();
        if self.going == Going::HangsUp && self.peer.unsent() == 0 {
            self.peer.hang_up();
            self.going = Going::HungUp;
        }
    }

    /// Looks at what was read.
    pub(super) fn think(&mut self, ledger: &mut Ledger) {
        let mut pongs = Vec::new();
        while let Some((opcode, payload)) = self.peer.next() {
            assert!(self.going != Going::Closed, "something after the close frame");
            match opcode {
                wire::BINARY => self.mind.packet(ledger, PacketView::decode(payload)),
                wire::PING => pongs.extend(wire::frame(wire::FIN | wire::PONG, payload)),
                wire::CLOSE if self.going == Going::Closing => {
                    assert_eq!(payload, 1000u16.to_be_bytes(), "another code comes back");
                    self.going = Going::Closed;
                }
                _ => panic!("{} gets {opcode}: {}", self.mind.name(ledger), payload.escape_ascii()),
            }
        }
        // Nothing follows a close frame: the answer to it would be lost to a reset.
        if !matches!(self.going, Going::Closing | Going::Closed) {
            self.peer.send(&pongs);
        }
    }

    /// Whether it is gone, which it must be only by its own will.
    pub(super) fn stage(&self, ledger: &Ledger) -> Stage {
        let Some(end) = self.peer.end() else { return Stage::There };
        let is_meant =
            self.going == Going::Closed || (self.going, end) == (Going::HungUp, End::Fin);
        assert!(is_meant, "{} is cut off: {:?}, {end:?}", self.mind.name(ledger), self.going);
        Stage::Gone
    }
}

impl Mind {
    fn name(&self, ledger: &Ledger) -> String {
        self.me.map_or("a newcomer".into(), |me| ledger.id(me).into())
    }

    /// Tells the ledger that it is about to leave all its rooms.
    fn pack(&mut self, ledger: &mut Ledger) {
        let Some(me) = self.me else { return };
        for (room, seat) in &self.seats {
            if !matches!(seat, Seat::Leaving(_)) {
                ledger.leave(me, *room);
            }
        }
    }

    /// What it has heard must turn up in the log, also when it is gone.
    pub(super) fn end(self, ledger: &mut Ledger) {
        let Some(me) = self.me else { return };
        for seat in self.seats.into_values() {
            if let Seat::In(stay) | Seat::Leaving(stay) = seat {
                ledger.end(me, stay.visit);
            }
        }
    }

    fn packet(&mut self, ledger: &mut Ledger, view: PacketView<'_>) {
        match view.event {
            b"join_ack" => self.acked(ledger, view),
            b"leave_ack" => self.left(ledger, view),
            b"new_member" | b"member_left" => self.notice(ledger, view),
            _ if !view.dst.is_empty() => self.direct(ledger, view),
            _ => self.broadcast(ledger, view),
        }
    }

    fn acked(&mut self, ledger: &mut Ledger, view: PacketView<'_>) {
        ledger.checked.acks += 1;
        let room = ledger.room(view.room);
        let me = ledger.who(view.src);
        assert_eq!(*self.me.get_or_insert(me), me, "src of a join_ack is who joins");
        assert!(view.dst.is_empty(), "a join_ack with a dst");
        let members = snapshot(ledger, view.payload);
        assert!(members.contains(&me), "a snapshot without the joiner");
        match self.seats.get_mut(&room) {
            Some(seat @ Seat::Asked) => {
                let visits = self.visits.entry(room).or_default();
                let visit = ledger.visit(room, *visits);
                *visits += 1;
                *seat = Seat::In(Stay { members, visit, next: HashMap::new(), repeats: 0 });
            }
            Some(Seat::In(stay) | Seat::Leaving(stay)) if stay.repeats > 0 => {
                stay.repeats -= 1;
                assert_eq!(members, stay.members, "snapshot + new_member - member_left is wrong");
            }
            _ => panic!("a join_ack of {} that was not asked for", ledger.rooms[room]),
        }
    }

    fn left(&mut self, ledger: &mut Ledger, view: PacketView<'_>) {
        ledger.checked.acks += 1;
        let room = ledger.room(view.room);
        let me = self.me.expect("welcome before anything else");
        let id = ledger.id(me).as_bytes();
        assert!((view.src, view.dst, view.payload) == (id, b"", id), "a strange leave_ack");
        let Some(Seat::Leaving(mut stay)) = self.seats.remove(&room) else {
            panic!("a leave_ack of {} that was not asked for", ledger.rooms[room]);
        };
        assert_eq!(stay.repeats, 0, "a join without an answer");
        ledger.hear(me, &mut stay.visit, Heard::Went(me));
        ledger.end(me, stay.visit);
    }

    /// The stay that something is about. Nothing comes before `join_ack` or after `leave_ack`.
    fn stay<'m>(&'m mut self, ledger: &Ledger, view: PacketView<'_>) -> (Who, Room, &'m mut Stay) {
        let me = self.me.expect("welcome before anything else");
        let room = ledger.room(view.room);
        match self.seats.get_mut(&room) {
            Some(Seat::In(stay) | Seat::Leaving(stay)) => (me, room, stay),
            _ => panic!(
                "{} of {}, in which it is not",
                view.event.escape_ascii(),
                ledger.rooms[room]
            ),
        }
    }

    fn notice(&mut self, ledger: &mut Ledger, view: PacketView<'_>) {
        ledger.checked.notices += 1;
        assert!(view.src.is_empty() && view.dst.is_empty(), "a forged notice");
        let is_witness = self.is_witness;
        let other = ledger.who(view.payload);
        let (me, room, stay) = self.stay(ledger, view);
        assert_ne!(me, other, "a notice about oneself");
        let heard = if view.event == b"new_member" {
            assert!(stay.members.insert(other), "{} comes twice", ledger.id(other));
            stay.next.insert(other, Next::Start);
            Heard::Came(other)
        } else {
            assert!(stay.members.remove(&other), "{} goes twice", ledger.id(other));
            if let Some(Next::Is(next)) = stay.next.remove(&other) {
                ledger.check_end(other, room, next);
            }
            Heard::Went(other)
        };
        match is_witness {
            true => ledger.monitor(room, heard),
            false => ledger.hear(me, &mut stay.visit, heard),
        }
    }

    fn broadcast(&mut self, ledger: &mut Ledger, view: PacketView<'_>) {
        ledger.checked.broadcasts += 1;
        let is_witness = self.is_witness;
        let by = ledger.who(view.src);
        let (me, room, stay) = self.stay(ledger, view);
        assert!(by != me && stay.members.contains(&by), "{} speaks, who is not in", ledger.id(by));
        if matches!(view.event, b"hello" | b"probe") {
            let number = number(view.payload).expect("a whole payload");
            let expected = stay.next.insert(by, Next::Is(number + 1));
            let is_next = match expected {
                None => true,
                Some(Next::Is(next)) => next == number,
                Some(Next::Start) => ledger.is_start(by, room, number),
            };
            assert!(is_next, "{}: {number}, but {expected:?} is next", ledger.id(by));
        }
        // Evil ones write a good one's id here, and as their src.
        assert!(view.event != b"forged" || view.payload != view.src, "a forged src");
        assert!(!matches!(view.event, b"open" | b"close"), "a reserved event");
        let heard = Heard::said(by, view.event, view.payload);
        match is_witness {
            true => ledger.monitor(room, heard),
            false => ledger.hear(me, &mut stay.visit, heard),
        }
        if view.event == b"probe" {
            *self.probes.entry(room).or_default() += 1;
        }
    }

    fn direct(&mut self, ledger: &mut Ledger, view: PacketView<'_>) {
        ledger.checked.directs += 1;
        let me = self.me.expect("welcome before anything else");
        assert_eq!(view.dst, ledger.id(me).as_bytes(), "somebody else's message");
        let by = ledger.who(view.src);
        match view.event {
            b"direct" => {
                let next = self.told.entry(by).or_default();
                let number = number(view.payload).expect("a whole payload");
                assert_eq!(number, *next, "what {} tells has a gap", ledger.id(by));
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

    /// Whether everything that was asked is answered and everything heard is in the log.
    pub(super) fn is_settled(&mut self, ledger: &mut Ledger) -> bool {
        let Some(me) = self.me else { return false };
        self.seats.values_mut().all(|seat| match seat {
            Seat::In(stay) => {
                ledger.follow(me, &mut stay.visit);
                stay.repeats == 0 && stay.visit.is_settled()
            }
            Seat::Asked | Seat::Leaving(_) => false,
        })
    }

    /// Whether everything that it was told has come.
    pub(super) fn is_told(&self, ledger: &Ledger) -> bool {
        let Some(me) = self.me else { return false };
        ledger.told(me).all(|(from, told)| self.told.get(&from).copied().unwrap_or(0) == told)
    }
}

/// The members that a `join_ack` tells.
fn snapshot(ledger: &mut Ledger, json: &[u8]) -> BTreeSet<Who> {
    let inner = json.strip_prefix(b"[").and_then(|json| json.strip_suffix(b"]"));
    let mut members = BTreeSet::new();
    for cell in inner.expect("an array").split(|byte| *byte == b',') {
        let id = cell.strip_prefix(b"\"").and_then(|cell| cell.strip_suffix(b"\""));
        assert!(members.insert(ledger.who(id.expect("a string"))), "somebody twice");
    }
    members
}
