//! Generates plans with requests and answers.

use super::plan::{Dst, Party, Plan, Step};
use crate::random::Source;

const ROOMS: [&str; 6] = ["root", "root", "root", "hall", "attic", "a long name"];
const EVENTS: [&str; 8] =
    ["add", "add", "sub", "chat", "unknown", "member_left", "roomer:news", "a long event"];
/// Tags: some that clients use, numbers of server requests, and invalid ones.
const TAGS: [&str; 12] =
    ["0", "1", "2", "3", "4", "a", "B", "0123456789abcdef", "01", "", "a-b", "0123456789abcdefg"];
const SLOTS: u32 = 4;

/// Generates a plan from a source of choices: a seed or a fuzzer's bytes.
pub fn plan(source: &mut impl Source) -> Plan {
    let mut plan = Plan {
        max_requests: source.pick(&[1, 2, 2, 3, 64]),
        shared_room_only: source.one_in(6),
        authorize: [source.one_in(5), source.one_in(5)],
        answers: source.below(256) as u8,
        message_rate: source.one_in(8).then_some((2, 12)),
        violation_rate: source.pick(&[None, Some((1, 4)), Some((1, 256))]),
        steps: Vec::new(),
    };
    // Use only a few tags, so that some are used twice.
    let first = source.below(6) as usize;
    let tags = &TAGS[..first + 2];
    for slot in 0..SLOTS as u8 {
        plan.steps.push(Step::Open { slot, extended: !source.one_in(4) });
    }
    if source.one_in(24) {
        // Open more clients than may have pending requests to the same receiver. With a small
        // limit, few clients are enough.
        plan.max_requests = 1;
        for slot in 4..24 {
            plan.steps.push(Step::Open { slot, extended: true });
            let dst = Dst::Tagged(Party::Slot(0), "1");
            plan.steps.push(Step::Packet { slot, room: "root", event: "where", dst });
        }
    }
    if source.one_in(24) {
        let dst = Dst::Nothing;
        let rejected = Step::Packet { slot: 1, room: "cellar", event: "chat", dst };
        plan.steps.extend([rejected; 20]);
        plan.steps.extend(source.one_in(2).then_some(Step::Acknowledge { slot: 1 }));
    }
    for _ in 0..20 + source.below(100) {
        let step = step(source, tags);
        plan.steps.push(step);
        if source.one_in(3) {
            answer(source, step, &mut plan.steps);
        }
    }
    plan
}

fn slot(source: &mut impl Source) -> u8 {
    source.below(SLOTS) as u8
}

fn who(source: &mut impl Source) -> Party {
    match source.below(12) {
        0 => Party::Unknown,
        1 | 2 => Party::Guest(source.below(2) as u8),
        _ => Party::Slot(slot(source)),
    }
}

fn tag(source: &mut impl Source, tags: &[&'static str]) -> &'static str {
    if source.one_in(12) { source.pick(&TAGS) } else { source.pick(tags) }
}

fn step(source: &mut impl Source, tags: &[&'static str]) -> Step {
    let own = slot(source);
    let packet = |event, dst| Step::Packet { slot: own, room: "root", event, dst };
    match source.below(33) {
        0 | 1 => Step::Open { slot: own, extended: !source.one_in(3) },
        2 => Step::Gone { slot: own },
        3 => Step::Close { slot: own },
        4..=6 => {
            let (room, event) = (source.pick(&ROOMS), source.pick(&["join", "join", "leave"]));
            Step::Packet { slot: own, room, event, dst: Dst::Nothing }
        }
        7..=9 => {
            let (room, event) = (source.pick(&ROOMS), source.pick(&EVENTS));
            let dst = if source.one_in(3) { Dst::Id(who(source)) } else { Dst::Nothing };
            Step::Packet { slot: own, room, event, dst }
        }
        10..=14 => {
            let (room, event) = (source.pick(&ROOMS), source.pick(&EVENTS));
            let room = if source.one_in(3) { room } else { "root" };
            let dst = Dst::Tagged(Party::Server, tag(source, tags));
            Step::Packet { slot: own, room, event, dst }
        }
        15..=19 => {
            let event = if source.one_in(6) { source.pick(&EVENTS) } else { "where" };
            packet(event, Dst::Tagged(who(source), tag(source, tags)))
        }
        20..=22 => {
            let to = if source.one_in(3) { Party::Server } else { who(source) };
            let event = source.pick(&["roomer:reply", "roomer:error"]);
            packet(event, Dst::Tagged(to, tag(source, tags)))
        }
        23 | 24 => {
            let is_error = source.one_in(3);
            Step::Answer { slot: own, tag: tag(source, tags), is_error }
        }
        25 | 26 => Step::Request { slot: own },
        27 => Step::Withdraw { slot: own, ago: source.below(3) as u8 },
        28 | 29 => {
            let src =
                if source.one_in(4) { Party::Server } else { Party::Guest(source.below(2) as u8) };
            let event = source.pick(&["where", "where", "roomer:reply", "roomer:error"]);
            let dst = match source.below(6) {
                0 => Dst::Id(who(source)),
                _ => Dst::Tagged(who(source), tag(source, tags)),
            };
            Step::Peer { event, src, dst }
        }
        30 => Step::Acknowledge { slot: own },
        _ => Step::Clock { millis: source.pick(&[1, 40, 62, 63, 500, 1000, 30_000, 60_000]) },
    }
}

/// After a request, usually adds the matching answer, since random answers seldom match.
fn answer(source: &mut impl Source, step: Step, steps: &mut Vec<Step>) {
    let event = source.pick(&["roomer:reply", "roomer:reply", "roomer:error"]);
    match step {
        Step::Packet { slot, dst: Dst::Tagged(Party::Server, tag), .. } => {
            steps.push(Step::Answer { slot, tag, is_error: source.one_in(3) });
        }
        Step::Packet { slot, dst: Dst::Tagged(Party::Slot(to), tag), .. } => {
            let dst = Dst::Tagged(Party::Slot(slot), tag);
            steps.push(Step::Packet { slot: to, room: "root", event, dst });
        }
        Step::Packet { slot, dst: Dst::Tagged(Party::Guest(from), tag), .. } => {
            let src = if source.one_in(4) { Party::Server } else { Party::Guest(from) };
            steps.push(Step::Peer { event, src, dst: Dst::Tagged(Party::Slot(slot), tag) });
        }
        Step::Peer { src: Party::Guest(to), dst: Dst::Tagged(Party::Slot(slot), tag), .. } => {
            let dst = Dst::Tagged(Party::Guest(to), tag);
            steps.push(Step::Packet { slot, room: "root", event, dst });
        }
        Step::Request { slot } => {
            for tag in ["0", "1", "2", "3", "4"] {
                let dst = Dst::Tagged(Party::Server, tag);
                steps.push(Step::Packet { slot, room: "root", event, dst });
            }
        }
        _ => {}
    }
}
