//! Generates plans by swarm testing: each plan has its own weights for the kinds of steps.
//!
//! Some kinds are therefore frequent, some rare and some absent, and each plan uses only a few
//! names and slots. Plans differ from each other, and each explores one corner of the state space
//! in depth.

use roomer_hub::Presence;

use super::plan::{
    Address, ClientRef, DEFAULT_LIMITS, DEFAULT_RATES, Ending, Handler, Mode, Payload, Plan, Step,
};
use super::token_bucket::RateSpec;
use crate::alphabet::{EVENTS, REASONS, RESERVED, ROOMS};
use crate::random::Source;

/// The kinds of steps. They are named after the step that is generated, not after its effects.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Open,
    OpenAs,
    Replace,
    Join,
    Leave,
    Message,
    Direct,
    Reserved,
    Unusual,
    Gone,
    Clock,
    Broadcast,
    Send,
    CommandJoin,
    CommandLeave,
    Close,
    /// Two clients join a room; one of them sends to the other, and leaves.
    MeetAndLeave,
}

use Kind::*;

/// All kinds, with their default weights.
const KINDS: [(Kind, usize); 16] = [
    (Open, 8),
    (Join, 12),
    (Leave, 6),
    (Message, 12),
    (Direct, 4),
    (Reserved, 2),
    (Unusual, 3),
    (OpenAs, 2),
    (Replace, 2),
    (Gone, 3),
    (Clock, 4),
    (Broadcast, 3),
    (Send, 3),
    (CommandJoin, 4),
    (CommandLeave, 3),
    (Close, 2),
];

/// The weights in a plan with a crowd, where steps of other kinds would take too long.
const CROWD: [(Kind, usize); 6] =
    [(Open, 6), (Join, 12), (Leave, 12), (Message, 1), (Gone, 4), (Close, 1)];

/// The number of slots at the end that are preferred in a crowd.
const LAST_SLOTS: u32 = 10;

/// The random choices that apply to a whole plan.
struct Swarm {
    kinds: Vec<Kind>,
    rooms: Vec<&'static str>,
    events: Vec<&'static str>,
    slots: u32,
    /// One in this many clients is chosen by number instead of by slot.
    numbered: u32,
}

/// Generates a plan from a source of choices: a seed or a fuzzer's bytes.
pub fn plan(source: &mut impl Source) -> Plan {
    let mode = source.pick(&[Mode::Default, Mode::Compat]);
    let max_name =
        source.pick(&[DEFAULT_LIMITS.0, DEFAULT_LIMITS.0, DEFAULT_LIMITS.0, 6, 5, 4, 4, 3, 7, 0]);
    let max_rooms = source.pick(&[DEFAULT_LIMITS.1, DEFAULT_LIMITS.1, 3, 2, 4, 3, 2, 1, 5, 0]);
    let (rates, shared_room_only) = (rates(source), source.one_in(4));
    let ending = source.pick(&[Ending::Gone, Ending::Closed, Ending::Left]);
    let (key, mut swarm) = (source.below(1 << 16) as u16, swarm(source));
    let mut authorize = [(); 3].map(|()| source.one_in(4));
    if shared_room_only {
        // The rule concerns direct messages, so make these more frequent.
        swarm.kinds.extend([[Direct; 4], [MeetAndLeave; 4]].concat());
        authorize[2] |= source.one_in(2);
    }
    let (answers, answer_delay) = (source.below(256) as u8, source.pick(&[0, 8, 3, 1, 20]));
    let presence_rules = presence_rules(source);
    let (handlers, steps) = (Vec::new(), Vec::new());
    let mut plan = Plan {
        mode,
        max_name,
        max_rooms,
        rates,
        shared_room_only,
        authorize,
        answers,
        answer_delay,
        presence_rules,
        handlers,
        steps,
        ending,
        key,
    };
    for _ in 0..source.below(4) {
        let event = source.pick(&swarm.events);
        let is_new = plan.handlers.iter().all(|handler| handler.event != event);
        // Skip registrations that the hub would reject, since the plan would then test nothing.
        if is_new && !event.is_empty() {
            let commands = (0..source.below(4)).map(|_| swarm.command(source, true)).collect();
            plan.handlers.push(Handler { event, commands });
        }
    }
    // Generate crowds rarely, since a plan with a crowd takes much longer than any other.
    if source.one_in(96) {
        crowd(source, &mut plan);
        return plan;
    }
    let length = source.pick(&[120, 250, 400, 60, 20]);
    // When a fuzzer's bytes are exhausted, all further choices would be the same.
    while plan.steps.len() < length && !source.is_exhausted() {
        swarm.step(source, &mut plan.steps);
    }
    plan
}

/// Generates rate limits that are small enough to be reached. Most plans have none, and therefore
/// reach other situations.
fn rates(source: &mut impl Source) -> [Option<RateSpec>; 4] {
    let mut rates = DEFAULT_RATES;
    let speeds = [1, 2, 3, 7, 1000];
    if source.one_in(3) {
        let bursts: [&[u32]; 3] =
            [&[1, 2, 3, 5, 8, 20], &[40, 56, 60, 90, 100, 150, 400, 70_000], &[1, 2, 3, 5]];
        for (spec, bursts) in rates.iter_mut().zip(bursts) {
            let drawn = (source.pick(&speeds), source.pick(bursts));
            *spec = source.one_in(2).then_some(drawn);
        }
    }
    if source.one_in(2) {
        rates[3] = (!source.one_in(4)).then(|| (source.pick(&speeds), source.pick(&[1, 2, 3, 4])));
    }
    rates
}

fn presence_rules(source: &mut impl Source) -> Vec<(&'static str, Presence)> {
    let most = if source.one_in(5) { 3 } else { 1 };
    let modes = [Presence::Off, Presence::Count, Presence::Full];
    let patterns = ["root", "r", "ro*", "*", "root2", "Root", "roo*"];
    (0..source.below(most)).map(|_| (source.pick(&patterns), source.pick(&modes))).collect()
}

fn swarm(source: &mut impl Source) -> Swarm {
    let mut kinds = Vec::new();
    for (at, (kind, weight)) in KINDS.into_iter().enumerate() {
        // Without connections, joins and messages, a plan would test little.
        let weight = match source.below(4) {
            0 if at > 3 => 0,
            1 => weight * 3,
            _ => weight,
        };
        kinds.extend(std::iter::repeat_n(kind, weight));
    }
    let mut rooms = vec!["root"];
    rooms.extend((0..source.below(5)).map(|_| source.pick(&ROOMS)));
    let events = (0..=source.below(4)).map(|_| source.pick(&EVENTS)).collect();
    let (slots, numbered) = (2 + source.below(6), source.pick(&[8, 3, 24]));
    Swarm { kinds, rooms, events, slots, numbered }
}

/// Generates the steps that fill a room until its snapshot has about one or two chunks.
fn crowd(source: &mut impl Source, plan: &mut Plan) {
    // With smaller limits, no client could join.
    plan.max_name = plan.max_name.max(4);
    plan.max_rooms = plan.max_rooms.max(1);
    plan.rates = DEFAULT_RATES;
    let slots = source.pick(&[100, 100, 100, 200]) + source.below(10) - 3;
    let kinds =
        CROWD.iter().flat_map(|&(kind, weight)| std::iter::repeat_n(kind, weight)).collect();
    let swarm = Swarm {
        kinds,
        rooms: vec!["root", "r"],
        events: vec!["chat"],
        slots: slots + 4,
        numbered: 50,
    };
    for slot in 0..slots as u8 {
        plan.steps.push(Step::Open { slot });
    }
    for _ in 0..150 {
        swarm.step(source, &mut plan.steps);
    }
}

impl Swarm {
    fn step(&self, source: &mut impl Source, steps: &mut Vec<Step>) {
        let step = match source.pick(&self.kinds) {
            Open => Step::Open { slot: self.slot(source) },
            OpenAs => Step::OpenAs { slot: self.slot(source), like: self.client(source, false) },
            Replace => {
                let slot = self.slot(source);
                steps.push(Step::Gone { client: ClientRef::Slot(slot) });
                Step::Open { slot }
            }
            Join => self.packet(source, "join"),
            Leave => self.packet(source, "leave"),
            Message => {
                let event = source.pick(&self.events);
                self.packet(source, event)
            }
            Direct => {
                let (client, room) = (self.client(source, false), source.pick(&self.rooms));
                let (event, dst) = (source.pick(&self.events), self.address(source, false));
                let (src, payload) = (Address::Nothing, self.payload(source));
                Step::Packet { client, room, event, dst, src, payload }
            }
            Reserved => {
                let event = source.pick(&RESERVED);
                self.packet(source, event)
            }
            Unusual => {
                let (client, room) = (self.client(source, false), source.pick(&ROOMS));
                let event = match source.below(4) {
                    0 => "join",
                    1 => "leave",
                    _ => source.pick(&EVENTS),
                };
                let dst = match source.below(3) {
                    0 => self.address(source, false),
                    _ => Address::Nothing,
                };
                let (src, payload) = (self.address(source, false), self.payload(source));
                Step::Packet { client, room, event, dst, src, payload }
            }
            MeetAndLeave => {
                let (slot, room) = (self.slot(source), source.pick(&self.rooms));
                let (client, other) = (ClientRef::Slot(slot), self.client(source, false));
                let (src, payload) = (Address::Nothing, self.payload(source));
                let event = source.pick(&self.events);
                let packet =
                    |client, event, dst| Step::Packet { client, room, event, dst, src, payload };
                steps.push(packet(client, "join", Address::Nothing));
                steps.push(packet(other, "join", Address::Nothing));
                steps.push(packet(client, event, Address::Id(other)));
                packet(client, "leave", Address::Nothing)
            }
            Gone => Step::Gone { client: self.client(source, false) },
            Clock => {
                // The shifts include steps shorter and longer than a second, thirds of a second,
                // backward steps, and a time that exceeds 64 bits of nanoseconds.
                let shifts = [1, 0, 54_000, -1, -90_000_000, 1 << 45, 333, 334, 500, 1000, 1, -400];
                Step::Clock { millis: source.pick(&shifts) }
            }
            kind => self.command_of_kind(source, kind, false),
        };
        steps.push(step);
    }

    fn packet(&self, source: &mut impl Source, event: &'static str) -> Step {
        let (client, room) = (self.client(source, false), source.pick(&self.rooms));
        let payload = self.payload(source);
        Step::Packet { client, room, event, dst: Address::Nothing, src: Address::Nothing, payload }
    }

    /// Generates a command by the application or by a handler.
    fn command(&self, source: &mut impl Source, in_handler: bool) -> Step {
        let kind = source.pick(&[Broadcast, Send, CommandJoin, CommandLeave, Close]);
        self.command_of_kind(source, kind, in_handler)
    }

    fn command_of_kind(&self, source: &mut impl Source, kind: Kind, in_handler: bool) -> Step {
        match kind {
            Broadcast => {
                let (from, room) = (self.from(source, in_handler), source.pick(&self.rooms));
                let (event, payload) = (self.command_event(source), self.payload(source));
                // Usually exclude the sender, as the Go original does, but sometimes exclude
                // another member.
                let except = if source.one_in(3) { self.from(source, in_handler) } else { from };
                Step::Broadcast { from, except, room, event, payload }
            }
            Send => {
                let (from, dst) = (self.from(source, in_handler), self.address(source, in_handler));
                let (event, payload) = (self.command_event(source), self.payload(source));
                Step::Send { from, dst, event, payload }
            }
            CommandJoin => Step::Join {
                client: self.client(source, in_handler),
                room: source.pick(&self.rooms),
            },
            CommandLeave => Step::Leave {
                client: self.client(source, in_handler),
                room: source.pick(&self.rooms),
            },
            _ => {
                let (code, reason) = (source.pick(&[1000, 1008, 4999]), source.pick(&REASONS));
                Step::Close { client: self.client(source, in_handler), code, reason }
            }
        }
    }

    /// Returns any event, reserved ones included, since the application may send all of them.
    fn command_event(&self, source: &mut impl Source) -> &'static str {
        if source.one_in(16) { source.pick(&RESERVED) } else { source.pick(&self.events) }
    }

    fn from(&self, source: &mut impl Source, in_handler: bool) -> Option<ClientRef> {
        (!source.one_in(4)).then(|| self.client(source, in_handler))
    }

    fn slot(&self, source: &mut impl Source) -> u8 {
        if self.slots > 2 * LAST_SLOTS && source.one_in(3) {
            // In a crowd, prefer the members in the last chunk of the snapshot.
            return (self.slots - 1 - source.below(LAST_SLOTS)) as u8;
        }
        source.below(self.slots) as u8
    }

    fn client(&self, source: &mut impl Source, in_handler: bool) -> ClientRef {
        if in_handler && !source.one_in(3) {
            return ClientRef::Caller;
        }
        if source.one_in(self.numbered) {
            return ClientRef::Numbered(source.below(250) as u16);
        }
        ClientRef::Slot(self.slot(source))
    }

    fn address(&self, source: &mut impl Source, in_handler: bool) -> Address {
        match source.below(10) {
            0..=4 => Address::Id(self.client(source, in_handler)),
            5 => Address::Upper(self.client(source, in_handler)),
            6 => Address::Padded(self.client(source, in_handler)),
            7 => Address::Cut(self.client(source, in_handler)),
            8 => Address::Word(source.pick(&["nobody", "root", " "])),
            _ => Address::Nothing,
        }
    }

    fn payload(&self, source: &mut impl Source) -> Payload {
        let len = match source.below(256) {
            0 if source.one_in(3) => source.pick(&[0x1_0001, 0xffff, 0x1_0000, 0x1_0001]),
            0..16 => source.pick(&[0, 1, 125, 126, 127]),
            other => other % 5,
        };
        Payload(source.below(256) as u8, len)
    }
}
