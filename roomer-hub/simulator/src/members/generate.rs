//! Generates plans with info by swarm testing: each has its own weights, and few rooms and clients.

use roomer_hub::Presence;

use super::plan::{INFOS, INVALID, Plan, ROOMS, Step, USERS};
use crate::random::Source;

/// All kinds of steps, with their default weights.
const KINDS: [(Kind, usize); 20] = [
    (Kind::Open, 10),
    (Kind::Join, 14),
    (Kind::Leave, 8),
    (Kind::SetInfo, 10),
    (Kind::SendInfo, 10),
    (Kind::Answer, 7),
    (Kind::Message, 4),
    (Kind::Direct, 1),
    (Kind::Add, 3),
    (Kind::Away, 8),
    (Kind::Gone, 3),
    (Kind::Close, 2),
    (Kind::PeerUp, 1),
    (Kind::PeerGone, 1),
    (Kind::GuestJoined, 5),
    (Kind::GuestProfile, 5),
    (Kind::GuestAway, 4),
    (Kind::GuestLeft, 3),
    (Kind::GuestCount, 2),
    (Kind::Wait, 3),
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Open,
    Join,
    Leave,
    SetInfo,
    SendInfo,
    Answer,
    Message,
    Direct,
    Add,
    Away,
    Gone,
    Close,
    PeerUp,
    PeerGone,
    GuestJoined,
    GuestProfile,
    GuestAway,
    GuestLeft,
    GuestCount,
    Wait,
}

/// The random choices that apply to a whole plan.
struct Swarm {
    kinds: Vec<Kind>,
    /// One client in this many uses the plain protocol.
    plain: u32,
    clients: u32,
    rooms: u32,
}

/// Generates a plan from a source of choices: a seed or a fuzzer's bytes.
pub fn plan(source: &mut impl Source) -> Plan {
    let mut presence_rules = vec![("count", Presence::Count), ("off", Presence::Off)];
    if source.one_in(6) {
        let mode = source.pick(&[Presence::Count, Presence::Off, Presence::Full]);
        presence_rules.insert(0, (source.pick(&["root", "r*", "*"]), mode));
    }
    let rate = source.pick(&[None, Some((1, 2)), Some((1000, 1)), Some((2, 3)), Some((1, 16))]);
    let mut plan = Plan {
        authorize: !source.one_in(4),
        max_info: source.pick(&[1024, 10, 14, 9, 4]),
        rate,
        presence_rules,
        away_rooms: source.pick(&[Some("r*"), Some("ro"), Some("*"), None]),
        steps: Vec::new(),
    };
    let mut kinds = Vec::new();
    for (at, (kind, weight)) in KINDS.into_iter().enumerate() {
        let weight = match source.below(4) {
            // Never omit the first three kinds: without opens, joins and leaves, a plan would test
            // little.
            0 if at > 2 => 0,
            1 => weight * 3,
            _ => weight,
        };
        kinds.extend(std::iter::repeat_n(kind, weight));
    }
    let plain = source.pick(&[2, 2, 4, 16, 3]);
    let swarm = Swarm { kinds, plain, clients: 2 + source.below(7), rooms: 1 + source.below(5) };
    let length = source.pick(&[60, 120, 200, 30]);
    if source.one_in(24) {
        crowd(source, &swarm, &mut plan.steps);
    }
    while plan.steps.len() < length && !source.is_exhausted() {
        let step = swarm.step(source);
        plan.steps.push(step);
    }
    plan
}

/// Fills a room until its member list has about one or two chunks, and changes members at the edges
/// of a chunk.
fn crowd(source: &mut impl Source, swarm: &Swarm, steps: &mut Vec<Step>) {
    let around = source.pick(&[96, 96, 96, 196]) + source.below(9) as u8;
    let size = if source.one_in(3) { 100 } else { around };
    for number in 0..size {
        let extended = number == 0 || source.one_in(8);
        steps.push(Step::Open { extended, info: number % 8, user: number % 3 });
    }
    // Repeat the join: its `join_ack` contains the member list.
    steps.push(Step::Join { client: 0, room: 0 });
    for _ in 0..60 {
        let any = source.below(size.into()) as u8;
        let client = source.pick(&[size - 1, 50, 99, 98, any]);
        let (info, room) = (source.below(8) as u8, 0);
        steps.push(match source.below(7) {
            0 | 1 => Step::SetInfo { client, info },
            2 => Step::Leave { client, room },
            3 => Step::Join { client, room },
            4 => Step::Join { client: 0, room },
            5 => Step::Away { client, is_away: !source.one_in(3) },
            _ => swarm.step(source),
        });
    }
}

impl Swarm {
    fn step(&self, source: &mut impl Source) -> Step {
        let client = source.below(self.clients) as u8;
        let room = source.below(self.rooms) as u8;
        let info = source.below(INFOS.len() as u32) as u8;
        let guest = source.below(3) as u8;
        match source.pick(&self.kinds) {
            Kind::Open => {
                let extended = !source.one_in(self.plain);
                Step::Open { extended, info, user: source.below(USERS.len() as u32) as u8 }
            }
            Kind::Join => Step::Join { client, room },
            Kind::Leave => Step::Leave { client, room },
            Kind::Add => Step::Add { client, room },
            Kind::Message => Step::Message { client, room },
            Kind::Direct => Step::Direct { from: client, to: source.below(self.clients) as u8 },
            Kind::SetInfo => Step::SetInfo { client, info },
            Kind::SendInfo => {
                let all = INFOS.len() + INVALID.len();
                let any = source.below(all as u32) as u8;
                Step::SendInfo { client, info: if source.one_in(3) { any } else { info } }
            }
            Kind::Answer => Step::Answer { is_allowed: !source.one_in(4) },
            Kind::Away => Step::Away { client, is_away: !source.one_in(3) },
            Kind::Gone => Step::Gone { client },
            Kind::Close => Step::Close { client },
            Kind::PeerUp => Step::PeerUp,
            Kind::PeerGone => Step::PeerGone,
            Kind::GuestJoined => {
                let user = source.below(USERS.len() as u32) as u8;
                Step::GuestJoined { guest, room, info, user }
            }
            Kind::GuestProfile => {
                let user = source.below(USERS.len() as u32) as u8;
                Step::GuestProfile { guest, info, user }
            }
            Kind::GuestAway => Step::GuestAway { guest, is_away: !source.one_in(3) },
            Kind::GuestLeft => Step::GuestLeft { guest, room },
            Kind::GuestCount => {
                Step::GuestCount { room, members: source.pick(&[0, 1, 7, u32::MAX]) }
            }
            Kind::Wait => Step::Wait { millis: source.pick(&[1, 499, 500, 1000, 5000]) },
        }
    }
}

const _: () = assert!(ROOMS.len() == 5, "rooms are chosen by number");
