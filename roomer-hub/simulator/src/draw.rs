//! Draws plans. Each plan has a mask of its own, a swarm: some kinds of steps often, some seldom,
//! some never, few names and few slots. So plans differ from each other, and each of them goes
//! deep somewhere.

use roomer_hub::Presence;

use super::bucket::Pace;
use super::names::{EVENTS, REASONS, RESERVED, ROOMS};
use super::plan::{Address, Ending, Handler, LIMITS, PACES, Payload, Plan, Rules, Step, Who};
use super::random::Dice;

/// What a step can be about. The name says what is drawn, not all that may come of it.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Open,
    OpenAs,
    Replace,
    Join,
    Leave,
    Say,
    Direct,
    Reserved,
    Odd,
    Gone,
    Clock,
    Broadcast,
    Send,
    CommandJoin,
    CommandLeave,
    Close,
    /// Two meet, one writes to the other and leaves.
    Part,
}

use Kind::*;

/// All kinds, with how often each is drawn when all are.
const KINDS: [(Kind, usize); 16] = [
    (Open, 8),
    (Join, 12),
    (Leave, 6),
    (Say, 12),
    (Direct, 4),
    (Reserved, 2),
    (Odd, 3),
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

/// In a crowd nothing else fits into the time.
const CROWD: [(Kind, usize); 6] =
    [(Open, 6), (Join, 12), (Leave, 12), (Say, 1), (Gone, 4), (Close, 1)];

/// How many slots of a crowd, the last ones, are drawn more often than others.
const LATE: u32 = 10;

/// What the steps of one plan are drawn from.
struct Swarm {
    kinds: Vec<Kind>,
    rooms: Vec<&'static str>,
    events: Vec<&'static str>,
    slots: u32,
    /// Somebody else than who is in a slot is drawn once in so many times.
    ever: u32,
}

/// A whole plan.
pub fn plan(dice: &mut impl Dice) -> Plan {
    let rules = dice.pick(&[Rules::Default, Rules::Compat]);
    let max_name = dice.pick(&[LIMITS.0, LIMITS.0, LIMITS.0, 6, 5, 4, 4, 3, 7, 0]);
    let max_rooms = dice.pick(&[LIMITS.1, LIMITS.1, 3, 2, 4, 3, 2, 1, 5, 0]);
    let (paces, shared_room_only) = (paces(dice), dice.once_in(4));
    let ending = dice.pick(&[Ending::Gone, Ending::Closed, Ending::Left]);
    let (key, mut swarm) = (dice.below(1 << 16) as u16, swarm(dice));
    let mut asks = [(); 3].map(|()| dice.once_in(4));
    if shared_room_only {
        swarm.kinds.extend([[Direct; 4], [Part; 4]].concat());
        asks[2] |= dice.once_in(2);
    }
    let (answers, late) = (dice.below(256) as u8, dice.pick(&[0, 8, 3, 1, 20]));
    let memberships = memberships(dice);
    let (handlers, steps) = (Vec::new(), Vec::new());
    let mut plan = Plan {
        rules,
        max_name,
        max_rooms,
        paces,
        shared_room_only,
        asks,
        answers,
        late,
        memberships,
        handlers,
        steps,
        ending,
        key,
    };
    for _ in 0..dice.below(4) {
        let event = dice.pick(&swarm.events);
        let is_new = plan.handlers.iter().all(|handler| handler.event != event);
        if is_new && !event.is_empty() {
            let does = (0..dice.below(4)).map(|_| swarm.command(dice, true)).collect();
            plan.handlers.push(Handler { event, does });
        }
    }
    if dice.once_in(96) {
        crowd(dice, &mut plan);
        return plan;
    }
    let length = dice.pick(&[120, 250, 400, 60, 20]);
    while plan.steps.len() < length && !dice.is_over() {
        swarm.step(dice, &mut plan.steps);
    }
    plan
}

/// Small, so that they are hit; most plans have none, so that something else can be.
fn paces(dice: &mut impl Dice) -> [Option<Pace>; 4] {
    let mut paces = PACES;
    let speeds = [1, 2, 3, 7, 1000];
    if dice.once_in(3) {
        let bursts: [&[u32]; 3] =
            [&[1, 2, 3, 5, 8, 20], &[40, 56, 60, 90, 100, 150, 400, 70_000], &[1, 2, 3, 5]];
        for (pace, bursts) in paces.iter_mut().zip(bursts) {
            let drawn = (dice.pick(&speeds), dice.pick(bursts));
            *pace = dice.once_in(2).then_some(drawn);
        }
    }
    if dice.once_in(2) {
        paces[3] = (!dice.once_in(4)).then(|| (dice.pick(&speeds), dice.pick(&[1, 2, 3, 4])));
    }
    paces
}

fn memberships(dice: &mut impl Dice) -> Vec<(&'static str, Presence)> {
    let most = if dice.once_in(5) { 3 } else { 1 };
    let modes = [Presence::Off, Presence::Count, Presence::Full];
    let patterns = ["root", "r", "ro*", "*", "root2", "Root", "roo*"];
    (0..dice.below(most)).map(|_| (dice.pick(&patterns), dice.pick(&modes))).collect()
}

fn swarm(dice: &mut impl Dice) -> Swarm {
    let mut kinds = Vec::new();
    for (at, (kind, weight)) in KINDS.into_iter().enumerate() {
        // Without connections, joins and words there is nothing to see.
        let weight = match dice.below(4) {
            0 if at > 3 => 0,
            1 => weight * 3,
            _ => weight,
        };
        kinds.extend(std::iter::repeat_n(kind, weight));
    }
    let mut rooms = vec!["root"];
    rooms.extend((0..dice.below(5)).map(|_| dice.pick(&ROOMS)));
    let events = (0..=dice.below(4)).map(|_| dice.pick(&EVENTS)).collect();
    let (slots, ever) = (2 + dice.below(6), dice.pick(&[8, 3, 24]));
    Swarm { kinds, rooms, events, slots, ever }
}

/// Rooms of about one page or two of a snapshot.
fn crowd(dice: &mut impl Dice, plan: &mut Plan) {
    plan.max_name = plan.max_name.max(4);
    plan.max_rooms = plan.max_rooms.max(1);
    plan.paces = PACES;
    let slots = dice.pick(&[100, 100, 100, 200]) + dice.below(10) - 3;
    let kinds =
        CROWD.iter().flat_map(|&(kind, weight)| std::iter::repeat_n(kind, weight)).collect();
    let swarm =
        Swarm { kinds, rooms: vec!["root", "r"], events: vec!["chat"], slots: slots + 4, ever: 50 };
    for slot in 0..slots as u8 {
        plan.steps.push(Step::Open { slot });
    }
    for _ in 0..150 {
        swarm.step(dice, &mut plan.steps);
    }
}

impl Swarm {
    fn step(&self, dice: &mut impl Dice, steps: &mut Vec<Step>) {
        let step = match dice.pick(&self.kinds) {
            Open => Step::Open { slot: self.slot(dice) },
            OpenAs => Step::OpenAs { slot: self.slot(dice), like: self.who(dice, false) },
            Replace => {
                let slot = self.slot(dice);
                steps.push(Step::Gone { who: Who::Slot(slot) });
                Step::Open { slot }
            }
            Join => self.packet(dice, "join"),
            Leave => self.packet(dice, "leave"),
            Say => {
                let event = dice.pick(&self.events);
                self.packet(dice, event)
            }
            Direct => {
                let (who, room) = (self.who(dice, false), dice.pick(&self.rooms));
                let (event, dst) = (dice.pick(&self.events), self.address(dice, false));
                let (src, payload) = (Address::Nothing, self.payload(dice));
                Step::Packet { who, room, event, dst, src, payload }
            }
            Reserved => {
                let event = dice.pick(&RESERVED);
                self.packet(dice, event)
            }
            Odd => {
                let (who, room) = (self.who(dice, false), dice.pick(&ROOMS));
                let event = match dice.below(4) {
                    0 => "join",
                    1 => "leave",
                    _ => dice.pick(&EVENTS),
                };
                let dst = match dice.below(3) {
                    0 => self.address(dice, false),
                    _ => Address::Nothing,
                };
                let (src, payload) = (self.address(dice, false), self.payload(dice));
                Step::Packet { who, room, event, dst, src, payload }
            }
            Part => {
                let (slot, room) = (self.slot(dice), dice.pick(&self.rooms));
                let (who, other) = (Who::Slot(slot), self.who(dice, false));
                let (src, payload) = (Address::Nothing, self.payload(dice));
                let event = dice.pick(&self.events);
                let packet = |who, event, dst| Step::Packet { who, room, event, dst, src, payload };
                steps.push(packet(who, "join", Address::Nothing));
                steps.push(packet(other, "join", Address::Nothing));
                steps.push(packet(who, event, Address::Id(other)));
                packet(who, "leave", Address::Nothing)
            }
            Gone => Step::Gone { who: self.who(dice, false) },
            Clock => {
                let shifts = [1, 0, 54_000, -1, -90_000_000, 1 << 45, 333, 334, 500, 1000, 1, -400];
                Step::Clock { millis: dice.pick(&shifts) }
            }
            kind => self.ask(dice, kind, false),
        };
        steps.push(step);
    }

    fn packet(&self, dice: &mut impl Dice, event: &'static str) -> Step {
        let (who, room) = (self.who(dice, false), dice.pick(&self.rooms));
        let payload = self.payload(dice);
        Step::Packet { who, room, event, dst: Address::Nothing, src: Address::Nothing, payload }
    }

    /// A command, as the application or a handler gives it.
    fn command(&self, dice: &mut impl Dice, in_handler: bool) -> Step {
        let kind = dice.pick(&[Broadcast, Send, CommandJoin, CommandLeave, Close]);
        self.ask(dice, kind, in_handler)
    }

    fn ask(&self, dice: &mut impl Dice, kind: Kind, in_handler: bool) -> Step {
        match kind {
            Broadcast => {
                let (from, room) = (self.from(dice, in_handler), dice.pick(&self.rooms));
                let (event, payload) = (self.command_event(dice), self.payload(dice));
                let except = if dice.once_in(3) { self.from(dice, in_handler) } else { from };
                Step::Broadcast { from, except, room, event, payload }
            }
            Send => {
                let (from, dst) = (self.from(dice, in_handler), self.address(dice, in_handler));
                let (event, payload) = (self.command_event(dice), self.payload(dice));
                Step::Send { from, dst, event, payload }
            }
            CommandJoin => {
                Step::Join { who: self.who(dice, in_handler), room: dice.pick(&self.rooms) }
            }
            CommandLeave => {
                Step::Leave { who: self.who(dice, in_handler), room: dice.pick(&self.rooms) }
            }
            _ => {
                let (code, reason) = (dice.pick(&[1000, 1008, 4999]), dice.pick(&REASONS));
                Step::Close { who: self.who(dice, in_handler), code, reason }
            }
        }
    }

    /// The application may send whatever it likes.
    fn command_event(&self, dice: &mut impl Dice) -> &'static str {
        if dice.once_in(16) { dice.pick(&RESERVED) } else { dice.pick(&self.events) }
    }

    fn from(&self, dice: &mut impl Dice, in_handler: bool) -> Option<Who> {
        (!dice.once_in(4)).then(|| self.who(dice, in_handler))
    }

    fn slot(&self, dice: &mut impl Dice) -> u8 {
        if self.slots > 2 * LATE && dice.once_in(3) {
            // In a crowd, those on the last page.
            return (self.slots - 1 - dice.below(LATE)) as u8;
        }
        dice.below(self.slots) as u8
    }

    fn who(&self, dice: &mut impl Dice, in_handler: bool) -> Who {
        if in_handler && !dice.once_in(3) {
            return Who::Caller;
        }
        if dice.once_in(self.ever) {
            return Who::Ever(dice.below(250) as u16);
        }
        Who::Slot(self.slot(dice))
    }

    fn address(&self, dice: &mut impl Dice, in_handler: bool) -> Address {
        match dice.below(10) {
            0..=4 => Address::Id(self.who(dice, in_handler)),
            5 => Address::Upper(self.who(dice, in_handler)),
            6 => Address::Padded(self.who(dice, in_handler)),
            7 => Address::Cut(self.who(dice, in_handler)),
            8 => Address::Word(dice.pick(&["nobody", "root", " "])),
            _ => Address::Nothing,
        }
    }

    fn payload(&self, dice: &mut impl Dice) -> Payload {
        let len = match dice.below(256) {
            0 if dice.once_in(3) => dice.pick(&[0x1_0001, 0xffff, 0x1_0000, 0x1_0001]),
            0..16 => dice.pick(&[0, 1, 125, 126, 127]),
            other => other % 5,
        };
        Payload(dice.below(256) as u8, len)
    }
}
