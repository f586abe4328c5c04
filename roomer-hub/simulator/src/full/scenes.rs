//! Steps that belong together, since they would seldom come so by chance.

use super::draw::{PAUSES, Swarm, payload, room, someone, talk, time};
use super::plan::{
    Answers, Ask, Cap, Deed, Door, Flush, Form, Hooks, Plan, Script, Setup, Size, Step, Talk,
};
use crate::plan::{Address, PACES, Payload, Rules, Who};
use crate::random::Dice;

/// So many come that a snapshot has more than one page, and one of the last does not read it all.
pub(super) fn crowd(dice: &mut impl Dice, steps: &mut Vec<Step>) {
    let count = 101 + dice.below(8);
    for number in 0..count {
        let slot = (number % 30) as u8;
        steps.push(Step::Connect { slot, ask: Ask::Upgrade });
        if number + 2 > count {
            steps.push(Step::Room { slot, bytes: 100 + dice.below(4500) });
        }
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
        steps.push(Step::Turn { place: 0 });
    }
    steps.push(Step::Rest);
    for slot in [0, 1, 2] {
        let (dst, src) = (Address::Nothing, Address::Nothing);
        let (room, event, payload) = ("root", "cha", Size::Bytes(Payload(0, 200)));
        let talk = Talk::Packet { room, event, dst, src, payload, form: Form::Whole };
        steps.push(Step::Say { slot, talk });
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
        steps.push(Step::Pass { millis: 60 });
    }
    steps.push(Step::Pass { millis: dice.pick(&[100, 1500, 12_000]) });
}

/// Brings the queue of one that does not read to its limit, or near it, and then says more.
pub(super) fn fill(dice: &mut impl Dice, swarm: &Swarm, slot: u8, steps: &mut Vec<Step>) -> Step {
    let mut from = dice.below(swarm.slots) as u8;
    let hard = dice.once_in(2);
    let mut millis = dice.pick(&[20, 60, 60]);
    let waits = swarm.slow && dice.once_in(2);
    if waits {
        // Somebody else's handler, called before it has been forgotten that one does not read.
        (from, millis) = ((slot + 1) % swarm.slots as u8, 1);
    }
    // An application gets to know it, and goes on sending to it.
    let known = dice.once_in(3);
    if known {
        let (room, event, form, dst) = ("root", "chat", Form::Whole, Address::Nothing);
        let payload = Size::Bytes(payload(dice));
        let talk = Talk::Packet { room, event, dst, src: dst, payload, form };
        steps.extend([
            Step::Say { slot, talk },
            Step::Deliver { slot, bytes: u32::MAX },
            Step::Rest,
        ]);
    }
    steps.push(Step::Room { slot, bytes: dice.pick(&[0, 0, 1, 50]) });
    let mut say = |payload, calls| {
        let (dst, src) = (Address::Id(Who::Slot(slot)), Address::Nothing);
        let (room, event, form) = ("root", "cha", Form::Whole);
        let talk = Talk::Packet { room, event, dst, src, payload, form };
        steps.push(Step::Say { slot: from, talk });
        if calls {
            let (event, dst, payload) = ("chat", Address::Nothing, Size::Bytes(Payload(2, 2)));
            let talk = Talk::Packet { room, event, dst, src, payload, form };
            steps.push(Step::Say { slot: from, talk });
        }
        steps.push(Step::Deliver { slot: from, bytes: u32::MAX });
        // Those who send are held back for a while.
        steps.push(Step::Pass { millis });
    };
    if hard || waits {
        for _ in 0..1 + dice.below(4) {
            say(Size::Queue { slot, hard: false, more: 1 }, false);
        }
    }
    say(Size::Queue { slot, hard, more: dice.pick(&[-1, 0, 0, 1]) }, false);
    // Whoever is held back may wait for a handler too.
    say(Size::Bytes(payload(dice)), waits);
    if known {
        steps.push(Step::App { slot, deed: Deed::Raw(payload(dice)) });
    }
    Step::Pass { millis: dice.pick(&[1, 300, 1100]) }
}

/// A message is allowed when its sender is no member any more, which is one refusal too many.
pub(super) fn answered_too_late(dice: &mut impl Dice, setup: &mut Setup, steps: &mut Vec<Step>) {
    let (wait, deed) = (Some(dice.pick(&PAUSES)), Deed::Raw(Payload(1, 1)));
    setup.rules = Rules::Default;
    setup.paces = [None, None, None, Some((1, 1))];
    setup.asks[1] = Some(Answers { allows: 0xff, acts: 0, deed, wait, waits: 0xff });
    let slot = 30;
    steps.push(Step::Connect { slot, ask: Ask::Upgrade });
    for event in ["open", "cha", "cha", "leave"] {
        let (dst, src) = (Address::Nothing, Address::Nothing);
        let (room, payload, form) = ("root", Size::Bytes(payload(dice)), Form::Whole);
        let talk = Talk::Packet { room, event, dst, src, payload, form };
        steps.push(Step::Say { slot, talk });
    }
    if dice.once_in(2) {
        steps.push(Step::Say { slot, talk: Talk::Close(1000) });
    }
    steps.push(Step::Deliver { slot, bytes: u32::MAX });
    steps.push(if dice.once_in(2) { Step::Rest } else { Step::Poll { slot } });
    steps.push(Step::App { slot, deed: Deed::Leave { room: "root" } });
    steps.push(Step::Pass { millis: dice.pick(&[1, 60, 4000]) });
}

/// One that waits for a rule's answer about a room is put into it meanwhile, or leaves another, and
/// the hook that hears of that panics.
pub(super) fn moved_while_waiting(dice: &mut impl Dice, setup: &mut Setup, steps: &mut Vec<Step>) {
    let (wait, deed) = (Some(dice.pick(&[20, 300])), Deed::Raw(Payload(1, 1)));
    (setup.max_rooms, setup.paces, setup.spare) = (1100, PACES, None);
    setup.asks[0] = Some(Answers { allows: 0, acts: 0, deed, wait, waits: 0xff });
    setup.hooks = Some(Hooks { hears: 15, acts: 0x44, deed: Deed::Panic });
    let (slot, room) = (30, "r");
    let (event, dst, src) = ("join", Address::Nothing, Address::Nothing);
    let (payload, form) = (Size::Bytes(payload(dice)), Form::Whole);
    steps.push(Step::Connect { slot, ask: Ask::Upgrade });
    steps.push(Step::Say { slot, talk: Talk::Packet { room, event, dst, src, payload, form } });
    steps.push(Step::Deliver { slot, bytes: u32::MAX });
    steps.push(Step::Rest);
    let leaves = dice.once_in(2);
    let deed = if leaves { Deed::Leave { room: "root" } } else { Deed::Join { room } };
    steps.push(Step::App { slot, deed });
    steps.push(Step::Pass { millis: dice.pick(&[1, 60, 4000]) });
}

/// Calls a handler, or has a rule asked, that may take its time, says more, and has something happen meanwhile.
pub(super) fn wait(dice: &mut impl Dice, swarm: &Swarm, slot: u8, steps: &mut Vec<Step>) -> Step {
    let (place, payload) = (room(dice, swarm), Size::Bytes(payload(dice)));
    let (room, event, dst) = match dice.below(6) {
        0 => (place, "join", Address::Nothing),
        1 => ("root", "cha", someone(dice, swarm)),
        _ => ("root", dice.pick(&["chat", "ping"]), Address::Nothing),
    };
    let (src, form) = (Address::Nothing, Form::Whole);
    if dice.once_in(4) {
        steps.push(Step::Say { slot, talk: Talk::Ping(1) });
    }
    let slow = Talk::Packet { room, event, dst, src, payload, form };
    steps.push(Step::Say { slot, talk: slow });
    for _ in 0..dice.below(4) {
        steps.push(Step::Say { slot, talk: talk(dice, swarm) });
    }
    if dice.once_in(4) {
        steps.push(Step::Say { slot, talk: Talk::Close(1000) });
    }
    steps.push(Step::Deliver { slot, bytes: u32::MAX });
    if dice.once_in(2) {
        steps.push(Step::Rest);
    }
    match dice.below(19) {
        0 => steps.push(Step::App { slot, deed: Deed::Close { code: 4000, reason: "bye" } }),
        16 => steps.push(Step::App { slot, deed: Deed::Join { room: "r" } }),
        17 => steps.push(Step::App { slot, deed: Deed::Leave { room: "root" } }),
        18 => steps.push(Step::App { slot, deed: Deed::Join { room: place } }),
        1 => steps.push(Step::Abort { slot }),
        2 => steps.push(Step::Reset { slot }),
        3 => steps.push(Step::Refuse { slot }),
        4 => steps.push(Step::HalfClose { slot }),
        5 => steps.push(Step::Room { slot, bytes: dice.below(60) }),
        6 => steps.push(Step::Poll { slot }),
        7..11 => {
            steps.push(Step::Say { slot, talk: talk(dice, swarm) });
            steps.push(Step::Deliver { slot, bytes: u32::MAX });
        }
        _ => {}
    }
    match dice.below(4) {
        0 => Step::Rest,
        1 => Step::Jump { millis: time(dice) },
        _ => Step::Pass { millis: dice.pick(&[1, 20, 60, 300, 1000, 4000]) },
    }
}

/// Says something to many, so that one turn does not write it all, and has something happen in the
/// midst of that.
pub(super) fn flood(dice: &mut impl Dice, swarm: &Swarm, slot: u8, steps: &mut Vec<Step>) -> Step {
    if dice.once_in(3) {
        for slot in 0..swarm.slots as u8 {
            steps.push(Step::Connect { slot, ask: Ask::Upgrade });
            steps.push(Step::Deliver { slot, bytes: u32::MAX });
        }
        steps.push(Step::Rest);
    }
    let other = dice.below(swarm.slots) as u8;
    let say = |room, event, payload| {
        let (dst, src, form) = (Address::Nothing, Address::Nothing, Form::Whole);
        Talk::Packet { room, event, dst, src, payload: Size::Bytes(payload), form }
    };
    if dice.once_in(4) {
        // Whoever has called a handler can be made to speak.
        steps.push(Step::Say { slot, talk: say("root", "chat", payload(dice)) });
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
        steps.push(Step::Rest);
        let room = if dice.once_in(2) { "root" } else { room(dice, swarm) };
        steps.push(Step::Meanwhile { slot: other, of: slot, room, payload: payload(dice) });
    }
    steps.push(Step::Say { slot, talk: say("root", "cha", payload(dice)) });
    steps.push(Step::Deliver { slot, bytes: u32::MAX });
    // The turn in which it is heard, and the one in which the room is flushed, or its delay over.
    steps.push(if dice.once_in(4) { Step::Jump { millis: 2 } } else { Step::Turn { place: 0 } });
    turns(dice, 3, steps);
    for _ in 0..1 + dice.below(2) {
        let (slot, place) = (other, room(dice, swarm));
        match dice.below(14) {
            0 => steps.push(Step::Abort { slot }),
            1 => steps.push(Step::Reset { slot }),
            2 => steps.push(Step::App { slot, deed: Deed::Close { code: 4000, reason: "bye" } }),
            3 => steps.push(Step::App { slot, deed: Deed::Leave { room: "root" } }),
            4 => steps.push(Step::Room { slot, bytes: dice.below(60) }),
            5 => steps.push(Step::Connect { slot, ask: Ask::Upgrade }),
            6 => steps.push(Step::Say { slot, talk: Talk::Close(1000) }),
            7 => steps.push(Step::Say { slot, talk: say(place, "join", payload(dice)) }),
            8 => steps.push(Step::Say { slot, talk: say(place, "leave", payload(dice)) }),
            9 => steps.push(Step::Say { slot, talk: talk(dice, swarm) }),
            _ => steps.push(Step::Say { slot, talk: say("root", "cha", payload(dice)) }),
        }
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
        turns(dice, 4, steps);
    }
    if dice.once_in(2) { Step::Rest } else { Step::Turn { place: 0 } }
}

/// Two from one address, which may have one connection, are thought about at the same time; or the
/// server is drained or stopped meanwhile.
pub(super) fn asked_together(dice: &mut impl Dice, setup: &mut Setup, steps: &mut Vec<Step>) {
    let wait = Some(dice.pick(&[20, 300]));
    setup.door = Some(Door { admits: u32::MAX, panics: 0, wait, waits: u32::MAX });
    setup.caps[0] = Cap { total: None, per_address: Some(1) };
    setup.handshake = 10_000;
    for slot in [25, 26] {
        steps.push(Step::Connect { slot, ask: Ask::Upgrade });
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
    }
    steps.push(Step::Rest);
    match dice.below(4) {
        0 => steps.push(Step::Drain),
        1 => steps.push(Step::Shutdown),
        _ => {}
    }
    steps.push(Step::Pass { millis: 300 });
}

/// The turn that begins a large flush also ends it, since it takes many at a time, and in its midst
/// somebody speaks in the room that is being written.
pub(super) fn spoken_at_the_end(dice: &mut impl Dice, plan: &mut Plan) {
    let Plan { setup, scripts, steps } = plan;
    let helpers = dice.below(2) as usize;
    setup.flush = Some(Flush { turn: 1 + dice.below(2) as usize, handful: 32, helpers });
    (setup.paces, setup.max_message, setup.spare) = (PACES, 1000, None);
    (setup.max_name, setup.max_backlog, setup.caps) = (4096, 5000, [Cap::NONE; 2]);
    if scripts.is_empty() {
        scripts.push(Script { event: "chat", does: Vec::new() });
    }
    for slot in 25..30 {
        steps.push(Step::Connect { slot, ask: Ask::Upgrade });
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
    }
    steps.push(Step::Rest);
    let (slot, payload) = (25 + dice.below(5) as u8, payload(dice));
    for event in ["chat", "cha"] {
        let (dst, src, payload) = (Address::Nothing, Address::Nothing, Size::Bytes(payload));
        let talk = Talk::Packet { room: "root", event, dst, src, payload, form: Form::Whole };
        steps.push(Step::Say { slot, talk });
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
        steps.push(Step::Rest);
        let reader = 25 + dice.below(5) as u8;
        steps.push(Step::Meanwhile {
            slot: reader,
            of: slot,
            room: "root",
            payload: Payload(2, 3),
        });
    }
}

/// Somebody who has been woken has a turn, some times, or never.
fn turns(dice: &mut impl Dice, most: u32, steps: &mut Vec<Step>) {
    for _ in 0..dice.below(most) {
        steps.push(Step::Turn { place: dice.below(6) as u8 });
    }
}
