//! Generates plans with peers, by mixing steps about peers into a plan without peers.

use crate::alphabet::{EVENTS, IDS_PER_TAG, RESERVED, ROOMS, TAGS, identity, tagged};
use crate::hub::generate;
use crate::hub::guests::op::PEERS;
use crate::hub::plan::{Address, ClientRef, Payload, Plan, Step};
use crate::random::Source;

/// The kinds of steps about peers.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Up,
    Gone,
    Joined,
    Left,
    Count,
    FromPeer,
    DirectFromPeer,
    ToGuest,
    ServerToGuest,
    ExceptGuest,
    OpenTagged,
    /// A client and a guest join a room, the client sends a message to the guest, and one of the
    /// two leaves.
    Meet,
}

use Kind::*;

/// All kinds of steps about peers, with their default weights.
const KINDS: [(Kind, usize); 12] = [
    (Joined, 14),
    (Left, 8),
    (Up, 2),
    (Gone, 1),
    (Count, 4),
    (FromPeer, 6),
    (DirectFromPeer, 3),
    (ToGuest, 5),
    (ServerToGuest, 2),
    (ExceptGuest, 2),
    (OpenTagged, 1),
    (Meet, 2),
];

/// The random choices that apply to a whole plan.
struct Swarm {
    kinds: Vec<Kind>,
    rooms: Vec<&'static str>,
    events: Vec<&'static str>,
    guests: Vec<u16>,
}

/// Generates a plan from a source of choices: a seed or a fuzzer's bytes.
pub fn plan(source: &mut impl Source) -> Plan {
    let mut plan = generate::plan(source);
    if source.one_in(8) {
        // Without this setting, few messages to guests would be subject to the check for a shared
        // room.
        plan.shared_room_only = true;
    }
    let swarm = swarm(source, &plan);
    // The steps of the plan without peers keep their order.
    let own = std::mem::take(&mut plan.steps);
    let is_crowd = source.one_in(32);
    for peer in 0..PEERS as u8 {
        if !source.one_in(4) {
            plan.steps.push(up(source, peer));
        }
    }
    if is_crowd {
        crowd(source, &mut plan.steps);
    }
    let most = source.pick(&[1, 2, 3, 4]);
    for step in own {
        plan.steps.push(step);
        for _ in 0..source.below(most) {
            swarm.step(source, &mut plan.steps);
        }
    }
    plan
}

/// Connects a peer, usually with the tag that has the peer's number.
fn up(source: &mut impl Source, peer: u8) -> Step {
    let other = source.below(TAGS.into()) as u8;
    Step::PeerUp { peer, tag: if source.one_in(6) { other } else { peer } }
}

fn swarm(source: &mut impl Source, plan: &Plan) -> Swarm {
    let mut kinds = Vec::new();
    for (at, (kind, weight)) in KINDS.into_iter().enumerate() {
        let weight = match source.below(4) {
            0 if at > 1 => 0,
            1 => weight * 3,
            _ => weight,
        };
        kinds.extend(std::iter::repeat_n(kind, weight));
    }
    let mut rooms = vec!["root"];
    rooms.extend(plan.steps.iter().filter_map(|step| match step {
        Step::Packet { room, .. } | Step::Join { room, .. } => Some(*room),
        _ => None,
    }));
    rooms.dedup();
    rooms.truncate(12);
    rooms.push(source.pick(&ROOMS));
    let mut events: Vec<&'static str> = plan.handlers.iter().map(|handler| handler.event).collect();
    events.extend([source.pick(&EVENTS), source.pick(&EVENTS)]);
    let guests = (0..2 + source.below(6)).map(|_| any_guest(source)).collect();
    Swarm { kinds, rooms, events, guests }
}

/// Returns a guest's id number. Each tag has only a few ids, so collisions are likely.
fn any_guest(source: &mut impl Source) -> u16 {
    let tag = source.below(TAGS.into()) as u16;
    tag * IDS_PER_TAG + source.below(3) as u16
}

/// Returns the id of a guest.
fn id(guest: u16) -> Address {
    Address::Word(&identity(tagged(guest)).text)
}

/// Fills a room with guests of two peers, about one chunk of a snapshot. Some of them then leave
/// and rejoin.
fn crowd(source: &mut impl Source, steps: &mut Vec<Step>) {
    let count = 96 + source.below(10) as u16;
    let guest = |number: u16| Step::GuestJoined {
        peer: (number / IDS_PER_TAG) as u8,
        room: "root",
        guest: number,
    };
    let tags = [Step::PeerUp { peer: 0, tag: 0 }, Step::PeerUp { peer: 1, tag: 1 }];
    let fresh = [Step::PeerGone { peer: 0 }, Step::PeerGone { peer: 1 }];
    // Earlier steps may have connected the peers with other tags.
    steps.extend(fresh);
    steps.extend(tags);
    steps.push(Step::Open { slot: 0 });
    steps.extend((0..count).map(guest));
    for _ in 0..40 {
        let number = if source.one_in(2) { count - 1 } else { 0 };
        let number = source.pick(&[number, middle(number), 50, 99, 98]) % (count + 3);
        let join = Step::Join { client: ClientRef::Slot(0), room: "root" };
        let peer = (number / IDS_PER_TAG) as u8;
        let left = Step::GuestLeft { peer, room: "root", guest: number };
        steps.push(if source.one_in(2) { guest(number) } else { left });
        // Repeat the join after each change: its `join_ack` contains the list of members.
        steps.push(join);
    }
}

/// Returns the number of a guest that is neither near the start nor near the end of its chunk.
fn middle(number: u16) -> u16 {
    number / 2 + 7
}

impl Swarm {
    fn step(&self, source: &mut impl Source, steps: &mut Vec<Step>) {
        let room = source.pick(&self.rooms);
        let guest = self.guest(source);
        let peer = self.peer(source, guest);
        let (client, payload) = (ClientRef::Slot(source.below(6) as u8), self.payload(source));
        let nothing = Address::Nothing;
        let to_guest =
            |dst, event| Step::Packet { client, room, event, dst, src: nothing, payload };
        let event = self.event(source);
        let step = match source.pick(&self.kinds) {
            Up => up(source, peer),
            Gone => Step::PeerGone { peer },
            Joined => Step::GuestJoined { peer, room, guest },
            Left => Step::GuestLeft { peer, room, guest },
            Count => {
                let members = source.pick(&[0, 1, 7, 0, u32::MAX]);
                Step::GuestCount { peer, room, members }
            }
            FromPeer => {
                let (src, dst) = (self.src(source, guest), self.dst(source, client, guest));
                let except = match source.below(3) {
                    0 => self.dst(source, client, guest),
                    _ => nothing,
                };
                let dst = if source.one_in(4) { dst } else { nothing };
                Step::PeerBroadcast { peer, except, room, event, dst, src, payload }
            }
            DirectFromPeer => {
                let (src, dst) = (self.src(source, guest), self.dst(source, client, guest));
                Step::PeerDirect { peer, room, event, dst, src, payload }
            }
            ToGuest => to_guest(self.to(source, guest), event),
            ServerToGuest => {
                let (from, dst) = (source.one_in(2).then_some(client), self.to(source, guest));
                Step::Send { from, dst, event, payload }
            }
            ExceptGuest => {
                let from = source.one_in(2).then_some(client);
                Step::BroadcastExceptGuest { from, guest, room, event, payload }
            }
            OpenTagged => Step::OpenTagged { slot: source.below(6) as u8, id: guest },
            Meet => {
                steps.push(Step::GuestJoined { peer, room, guest });
                steps.push(to_guest(nothing, "join"));
                steps.push(to_guest(id(guest), event));
                match source.one_in(2) {
                    true => steps.push(Step::GuestLeft { peer, room, guest }),
                    false => steps.push(to_guest(nothing, "leave")),
                }
                to_guest(id(guest), event)
            }
        };
        steps.push(step);
    }

    fn guest(&self, source: &mut impl Source) -> u16 {
        if source.one_in(12) { any_guest(source) } else { source.pick(&self.guests) }
    }

    /// Returns a peer for a guest: usually the peer with the number of the guest's tag.
    fn peer(&self, source: &mut impl Source, guest: u16) -> u8 {
        let other = source.below(PEERS as u32) as u8;
        if source.one_in(8) { other } else { (guest / IDS_PER_TAG) as u8 }
    }

    /// Returns the id of a guest, or an invalid form of it.
    fn to(&self, source: &mut impl Source, guest: u16) -> Address {
        match source.below(8) {
            0 => Address::Word(&identity(tagged(guest)).upper),
            1 => Address::Word(&identity(tagged(guest)).cut),
            _ => id(guest),
        }
    }

    fn src(&self, source: &mut impl Source, guest: u16) -> Address {
        match source.below(12) {
            0 | 1 => Address::Nothing,
            2 => Address::Word(&identity(tagged(guest)).upper),
            3 => Address::Word(&identity(tagged(guest)).cut),
            4 => Address::Id(ClientRef::Slot(source.below(6) as u8)),
            5 => id(any_guest(source)),
            6 => Address::Word("nobody"),
            _ => id(guest),
        }
    }

    fn dst(&self, source: &mut impl Source, client: ClientRef, guest: u16) -> Address {
        match source.below(8) {
            0 => id(guest),
            1 => Address::Upper(client),
            2 => Address::Word("nobody"),
            _ => Address::Id(client),
        }
    }

    fn event(&self, source: &mut impl Source) -> &'static str {
        match source.below(24) {
            0 => source.pick(&RESERVED),
            1 => source.pick(&["join", "leave"]),
            _ => source.pick(&self.events),
        }
    }

    fn payload(&self, source: &mut impl Source) -> Payload {
        Payload(source.below(256) as u8, source.below(5))
    }
}
