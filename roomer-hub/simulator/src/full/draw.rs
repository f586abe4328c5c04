//! A seed becomes a plan.

use roomer_hub::Presence;

use super::plan::{
    Answers, Ask, BAD, Cap, Deed, Door, Drain, Ending, Flush, Form, Hooks, Plan, Script, Setup,
    Size, Step, Talk,
};
use super::scenes::{
    answered_too_late, asked_together, crowd, fill, flood, moved_while_waiting, spoken_at_the_end,
    wait,
};
use crate::bucket::Pace;
use crate::names::{EVENTS, REASONS, RESERVED, ROOMS};
use crate::plan::{Address, PACES, Payload, Rules, Who};
use crate::random::Dice;

/// What a plan draws from: not every plan has everything, so that nothing is always hidden by
/// something else.
pub(super) struct Swarm {
    pub(super) slots: u32,
    rooms: usize,
    /// Weights of the kinds of steps.
    weights: [u32; KINDS],
    bad: bool,
    sizes: bool,
    handlers: u32,
    /// Handlers may take their time.
    pub(super) slow: bool,
    /// Connections may be closed for what they say.
    limited: bool,
}

const KINDS: usize = 24;

/// How long what takes its time may take.
pub(super) const PAUSES: [u32; 10] = [0, 0, 1, 5, 20, 60, 300, 300, 1000, 4000];

pub fn plan(dice: &mut impl Dice) -> Plan {
    // A large flush takes more than a few.
    let flush = dice.once_in(4).then(|| Flush {
        turn: 1 + dice.below(8) as usize,
        handful: dice.pick(&[1, 2, 3, 8]),
        helpers: dice.pick(&[0, 1, 2, 2]),
    });
    let slots = match flush {
        None => dice.pick(&[2, 3, 4, 4, 6, 8, 12, 12]),
        Some(_) => dice.pick(&[3, 6, 10, 12, 12, 16, 24]),
    };
    let mut swarm = Swarm {
        slots,
        rooms: dice.pick(&[1, 1, 2, 3, 5, 16]),
        weights: weights(dice, flush.is_some()),
        bad: dice.once_in(2),
        sizes: dice.once_in(4),
        handlers: dice.below(4),
        slow: dice.once_in(2),
        limited: false,
    };
    let mut setup = setup(dice);
    setup.flush = flush;
    setup.hooks = dice.once_in(5).then(|| hooks(dice, &swarm));
    if let Some(hooks) = setup.hooks.as_mut().filter(|_| setup.spare.is_some()) {
        // Whom others have closed for want of memory is told of before or after a ping is answered.
        hooks.acts = 0;
    }
    setup.asks = [(); 3].map(|()| dice.once_in(8).then(|| answers(dice, &swarm)));
    swarm.limited = setup.paces != PACES;
    let scripts = (0..swarm.handlers).map(|number| script(dice, &swarm, number)).collect();
    let mut steps = Vec::new();
    // Somebody has to be there before anything can happen to anybody.
    for slot in 0..dice.below(slots + 1) {
        let slot = slot as u8;
        steps.push(Step::Connect { slot, ask: Ask::Upgrade });
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
        if dice.once_in(3) {
            steps.push(Step::Rest);
        }
    }
    let length = 20 + dice.below(100);
    while steps.len() < length as usize {
        step(dice, &swarm, &mut steps);
    }
    if dice.once_in(400) {
        crowd(dice, &mut steps);
    }
    if dice.once_in(200) {
        answered_too_late(dice, &mut setup, &mut steps);
    }
    if dice.once_in(400) {
        moved_while_waiting(dice, &mut setup, &mut steps);
    }
    if dice.once_in(100) {
        asked_together(dice, &mut setup, &mut steps);
    }
    let mut plan = Plan { setup, scripts, steps };
    if dice.once_in(200) {
        spoken_at_the_end(dice, &mut plan);
    }
    plan
}

fn weights(dice: &mut impl Dice, is_large: bool) -> [u32; KINDS] {
    let mut weights = [
        // connect, say, deliver, turn, poll, rest
        4, 30, 24, 20, 3, 12, //
        // room, narrow, interrupt, pretend, half-close, reset, vanish, refuse, abort
        8, 4, 2, 2, 1, 1, 1, 1, 1, //
        // jump, pass, application, shutdown, say and deliver
        2, 4, 4, 1, 30, //
        // fill a queue, meanwhile, a slow handler, a large flush
        2, 5, 6, 12,
    ];
    for (kind, weight) in weights.iter_mut().enumerate().skip(6) {
        if kind != 19 && !dice.once_in(2) {
            *weight = 0;
        }
    }
    if !is_large {
        weights[23] = 0;
    }
    // A stop ends most of what is interesting.
    if !dice.once_in(4) {
        weights[18] = 0;
    }
    weights
}

fn setup(dice: &mut impl Dice) -> Setup {
    let pong = dice.pick(&[60_000, 60_000, 2000, 300]);
    let ping = dice.pick(&[pong / 10 * 9, pong / 2, pong - 1]);
    let max_message = dice.pick(&[100, 200, 1000, 70_000, 1 << 20]);
    Setup {
        rules: if dice.once_in(4) { Rules::Compat } else { Rules::Default },
        max_name: dice.pick(&[3, 4, 5, 8, 4096, 4096, 4096, 4096]),
        max_rooms: dice.pick(&[1, 2, 3, 1100, 1100, 1100]),
        paces: paces(dice, max_message as u32),
        shared_room_only: dice.once_in(6),
        max_message,
        max_backlog: dice.pick(&[1, 60, 300, 1000, 5000, 1 << 20]),
        asks: [None; 3],
        hooks: None,
        memberships: [(); 2].map(|()| presence(dice)),
        spare: if dice.once_in(4) { Some(dice.pick(&[0, 1, 100, 1000])) } else { None },
        ping,
        pong,
        write: dice.pick(&[10_000, 10_000, 500, 100]),
        handshake: dice.pick(&[10_000, 400]),
        close: dice.pick(&[5000, 5000, 200]),
        coalesce: dice.pick(&[0, 0, 0, 2]),
        caps: [cap(dice), cap(dice)],
        door: dice.once_in(8).then(|| door(dice)),
        drain: dice.once_in(2).then(|| Drain {
            deadline: dice.pick(&[1, 100, 2000, 8000]),
            per_second: dice.pick(&[1, 4, 20, 1000, usize::MAX]),
        }),
        flush: None,
        mute: if dice.once_in(3) { dice.below(256) } else { 0 },
        ending: dice.pick(&[Ending::HangUp, Ending::Close, Ending::Shutdown, Ending::Drain]),
    }
}

fn cap(dice: &mut impl Dice) -> Cap {
    let total = dice.once_in(12).then(|| 1 + dice.below(6) as usize);
    let per_address = dice.once_in(12).then(|| 1 + dice.below(4) as usize);
    Cap { total, per_address: per_address.map(|most| most.min(total.unwrap_or(most))) }
}

fn door(dice: &mut impl Dice) -> Door {
    let some = dice.below(u32::MAX);
    Door {
        admits: some | dice.pick(&[0, 0x0f0f_0f0f, u32::MAX]),
        panics: dice.below(u32::MAX),
        wait: dice.once_in(2).then(|| dice.pick(&PAUSES)),
        waits: dice.pick(&[some.rotate_left(7), u32::MAX]),
    }
}

fn presence(dice: &mut impl Dice) -> Option<(&'static str, Presence)> {
    let modes = [Presence::Off, Presence::Count, Presence::Full];
    let patterns = ["root", "r", "ro*", "*", "root2", "Root", "roo*"];
    dice.once_in(8).then(|| (dice.pick(&patterns), dice.pick(&modes)))
}

/// Small, so that they are hit; most plans have none, so that something else can be.
fn paces(dice: &mut impl Dice, max_message: u32) -> [Option<Pace>; 4] {
    let mut paces = PACES;
    if dice.once_in(5) {
        let drawn = [
            (dice.pick(&[1, 3, 20]), dice.pick(&[1, 2, 4, 8, 16])),
            (dice.pick(&[1, 30, 100]), max_message + dice.pick(&[0, 1, 50, 100])),
            (dice.pick(&[1, 3]), dice.pick(&[1, 2, 4])),
        ];
        for (pace, drawn) in paces.iter_mut().zip(drawn) {
            *pace = dice.once_in(2).then_some(drawn);
        }
    }
    if dice.once_in(3) {
        paces[3] = (!dice.once_in(4)).then(|| (dice.pick(&[1, 3]), dice.pick(&[1, 2, 4])));
    }
    paces
}

fn script(dice: &mut impl Dice, swarm: &Swarm, number: u32) -> Script {
    let event = ["chat", "ping", "chatt"][number as usize % 3];
    let mut does: Vec<Deed> = (0..dice.below(4)).map(|_| deed(dice, swarm)).collect();
    if swarm.slow && !dice.once_in(3) {
        for _ in 0..1 + dice.below(2) {
            let millis = dice.pick(&PAUSES);
            does.insert(dice.below(does.len() as u32 + 1) as usize, Deed::Pause { millis });
        }
    }
    Script { event, does }
}

fn hooks(dice: &mut impl Dice, swarm: &Swarm) -> Hooks {
    let deed = deed(dice, swarm);
    Hooks {
        hears: dice.pick(&[15, 15, 15, 1, 2, 4, 8]),
        acts: dice.pick(&[0, 1, 2, 4, 8, 3, 0x10, 0x22, 0x88, 0xff]),
        deed: if deed == Deed::Fail { Deed::Panic } else { deed },
    }
}

fn answers(dice: &mut impl Dice, swarm: &Swarm) -> Answers {
    let wait = dice.pick(&PAUSES);
    let (some, deed) = (dice.below(256) as u8, deed(dice, swarm));
    Answers {
        allows: dice.pick(&[some, some, 0xff, 0]),
        acts: if dice.once_in(2) { dice.below(256) as u8 } else { 0 },
        deed: if deed == Deed::Fail { Deed::Panic } else { deed },
        wait: (swarm.slow && !dice.once_in(3)).then_some(wait),
        waits: dice.below(256) as u8,
    }
}

fn deed(dice: &mut impl Dice, swarm: &Swarm) -> Deed {
    let (code, reason) = (dice.pick(&[1000, 1008, 4000]), dice.pick(&REASONS));
    match dice.below(18) {
        16 => Deed::Join { room: room(dice, swarm) },
        17 => Deed::Leave { room: room(dice, swarm) },
        0..5 => Deed::ToRoom {
            room: room(dice, swarm),
            event: dice.pick(&EVENTS),
            payload: payload(dice),
        },
        5..9 => Deed::ToClient { dst: someone(dice, swarm), event: "chat", payload: payload(dice) },
        9..12 => Deed::Raw(payload(dice)),
        12 => Deed::Close { code, reason },
        13 => Deed::CloseOther { slot: slot(dice, swarm), code, reason },
        14 => Deed::Fail,
        _ => Deed::Panic,
    }
}

fn slot(dice: &mut impl Dice, swarm: &Swarm) -> u8 {
    dice.below(swarm.slots) as u8
}

pub(super) fn room(dice: &mut impl Dice, swarm: &Swarm) -> &'static str {
    dice.pick(&ROOMS[..swarm.rooms])
}

pub(super) fn payload(dice: &mut impl Dice) -> Payload {
    let length = dice.pick(&[0, 1, 2, 3, 8, 40, 200]);
    Payload(dice.below(200) as u8, length)
}

pub(super) fn someone(dice: &mut impl Dice, swarm: &Swarm) -> Address {
    let who = match dice.below(8) {
        0 => Who::Ever(dice.below(16) as u16),
        1 => Who::Caller,
        _ => Who::Slot(slot(dice, swarm)),
    };
    match dice.below(12) {
        0 => Address::Upper(who),
        1 => Address::Cut(who),
        2 => Address::Word("nobody"),
        _ => Address::Id(who),
    }
}

pub(super) fn talk(dice: &mut impl Dice, swarm: &Swarm) -> Talk {
    match dice.below(40) {
        0 | 1 => Talk::Ping(dice.pick(&[0, 1, 124, 125])),
        2 => Talk::Pong(dice.pick(&[0, 125])),
        3 if dice.once_in(3) => Talk::Close(dice.pick(&[0, 1000, 1001, 3000, 4999])),
        4..8 if swarm.bad => Talk::Bad(dice.pick(&BAD)),
        _ => {
            let event = match dice.below(20) {
                0..5 => "join",
                5..8 => "leave",
                8 => dice.pick(&RESERVED),
                9..12 => dice.pick(&EVENTS),
                12..15 => "chat",
                _ => "cha",
            };
            let dst = if dice.once_in(5) { someone(dice, swarm) } else { Address::Nothing };
            let src = if dice.once_in(12) { someone(dice, swarm) } else { Address::Nothing };
            let payload = match dice.below(if swarm.sizes { 6 } else { 40 }) {
                0 => Size::Limit(dice.pick(&[-1, 0, 1])),
                1 => Size::Frame(dice.pick(&[124, 125, 126, 127, 128, 65_534, 65_535, 65_536])),
                _ => Size::Bytes(payload(dice)),
            };
            let form = match dice.below(16) {
                0 => Form::Pieces(1 + dice.below(4) as u8),
                1 => Form::Pinged(1 + dice.below(3) as u8),
                2 if swarm.bad && dice.once_in(3) => Form::Text,
                _ => Form::Whole,
            };
            Talk::Packet { room: room(dice, swarm), event, dst, src, payload, form }
        }
    }
}

fn step(dice: &mut impl Dice, swarm: &Swarm, steps: &mut Vec<Step>) {
    let mut left = dice.below(swarm.weights.iter().sum());
    let kind = swarm.weights.iter().position(|weight| {
        let is_it = left < *weight;
        left = left.saturating_sub(*weight);
        is_it
    });
    let slot = slot(dice, swarm);
    let last = match kind.unwrap_or_default() {
        0 => {
            let asks = [
                Ask::WrongPath,
                Ask::Post,
                Ask::NoUpgrade,
                Ask::OldVersion,
                Ask::BadKey,
                Ask::BadOrigin,
                Ask::Http10,
            ];
            let ask = if dice.once_in(8) { dice.pick(&asks) } else { Ask::Upgrade };
            steps.push(Step::Connect { slot, ask });
            let all = dice.once_in(2);
            Step::Deliver { slot, bytes: if all { u32::MAX } else { dice.below(300) } }
        }
        1 => Step::Say { slot, talk: talk(dice, swarm) },
        2 => {
            let bytes = match dice.below(3) {
                0 => 1 + dice.below(8),
                1 => 1 + dice.below(80),
                _ => u32::MAX,
            };
            Step::Deliver { slot, bytes }
        }
        3 => Step::Turn { place: dice.below(8) as u8 },
        4 => Step::Poll { slot },
        5 => Step::Rest,
        6 => {
            let bytes = match dice.below(6) {
                0 | 1 => 0,
                2 => u32::MAX,
                3 => dice.below(2000),
                _ => dice.below(150),
            };
            Step::Room { slot, bytes }
        }
        7 => {
            let mut most = || if dice.once_in(2) { u32::MAX } else { 1 + dice.below(100) };
            Step::Narrow { slot, read: most(), write: most() }
        }
        8 => Step::Interrupt { slot },
        9 => Step::Pretend { slot },
        10 => Step::HalfClose { slot },
        11 => Step::Reset { slot },
        12 => Step::Vanish { slot },
        13 => Step::Refuse { slot },
        14 => Step::Abort { slot },
        15 => Step::Jump { millis: time(dice) },
        16 => Step::Pass { millis: time(dice) },
        17 => Step::App { slot, deed: deed(dice, swarm) },
        18 if dice.once_in(2) => Step::Drain,
        18 => Step::Shutdown,
        20 => fill(dice, swarm, slot, steps),
        21 => {
            let of = dice.below(swarm.slots) as u8;
            if dice.once_in(2) {
                steps.push(Step::Room { slot, bytes: dice.below(60) });
            }
            let room = if dice.once_in(2) { "root" } else { room(dice, swarm) };
            Step::Meanwhile { slot, of, room, payload: payload(dice) }
        }
        22 => wait(dice, swarm, slot, steps),
        23 => flood(dice, swarm, slot, steps),
        _ => {
            steps.push(Step::Say { slot, talk: talk(dice, swarm) });
            if swarm.limited && dice.once_in(8) {
                // One of them may be the end, with the others behind it.
                let more = (0..dice.below(4)).map(|_| talk(dice, swarm));
                let more = more.chain([Talk::Close(1000)]).map(|talk| Step::Say { slot, talk });
                steps.extend(more.collect::<Vec<_>>());
            }
            steps.push(Step::Deliver { slot, bytes: u32::MAX });
            if dice.once_in(2) { Step::Rest } else { Step::Turn { place: dice.below(4) as u8 } }
        }
    };
    steps.push(last);
}

pub(super) fn time(dice: &mut impl Dice) -> u32 {
    match dice.below(6) {
        0 => 1,
        1 => 20,
        2 => 50,
        3 => dice.below(400),
        4 => dice.below(3000),
        _ => dice.below(12_000),
    }
}
