//! Generates plans for the whole server.

use super::generate_setup::{answers, app_action, hooks, script, setup};
use super::plan::{ClientFrame, Flush, Form, Plan, RequestKind, Size, Step, VIOLATIONS};
use super::scenarios::{
    answered_too_late, concurrent_auth, crowd, fill_queue, input_at_flush_end, large_flush,
    moved_while_waiting, slow_call,
};
use crate::alphabet::{EVENTS, RESERVED, ROOMS};
use crate::hub::plan::{Address, ClientRef, DEFAULT_RATES, Payload};
use crate::random::Source;

/// The random choices that apply to a whole plan. Few plans allow everything, since some situations
/// hide others.
pub(super) struct Swarm {
    pub(super) slots: u32,
    rooms: usize,
    /// The weights for the kinds of steps, by index.
    weights: [u32; KINDS],
    violation: bool,
    sizes: bool,
    handlers: u32,
    /// True if handlers may wait.
    pub(super) slow: bool,
    /// True if the plan's rates may close connections.
    limited: bool,
}

const KINDS: usize = 24;

/// The time for which slow handlers and rules wait, in milliseconds.
pub(super) const PAUSES: [u32; 10] = [0, 0, 1, 5, 20, 60, 300, 300, 1000, 4000];

/// Generates a plan from a source of choices: a seed or a fuzzer's bytes.
pub fn plan(source: &mut impl Source) -> Plan {
    // A large flush needs more connections than the other situations do.
    let flush = source.one_in(4).then(|| Flush {
        max_inline: 1 + source.below(8) as usize,
        chunk: source.pick(&[1, 2, 3, 8]),
        workers: source.pick(&[0, 1, 2, 2]),
    });
    let slots = match flush {
        None => source.pick(&[2, 3, 4, 4, 6, 8, 12, 12]),
        Some(_) => source.pick(&[3, 6, 10, 12, 12, 16, 24]),
    };
    let mut swarm = Swarm {
        slots,
        rooms: source.pick(&[1, 1, 2, 3, 5, 16]),
        weights: weights(source, flush.is_some()),
        violation: source.one_in(2),
        sizes: source.one_in(4),
        handlers: source.below(4),
        slow: source.one_in(2),
        limited: false,
    };
    let mut setup = setup(source);
    setup.flush = flush;
    setup.hooks = source.one_in(5).then(|| hooks(source, &swarm));
    if let Some(hooks) = setup.hooks.as_mut().filter(|_| setup.memory_slack.is_some()) {
        // With a memory budget, an input from one connection may close others. The order of their
        // hooks and pongs is then not specified, so hooks in these plans must not change the hub's
        // state.
        hooks.acting = 0;
    }
    setup.authorize = [(); 3].map(|()| source.one_in(8).then(|| answers(source, &swarm)));
    swarm.limited = setup.rates != DEFAULT_RATES;
    let scripts = (0..swarm.handlers).map(|number| script(source, &swarm, number)).collect();
    let mut steps = first_steps(source, slots);
    let length = 20 + source.below(100);
    while steps.len() < length as usize {
        step(source, &swarm, &mut steps);
    }
    let mut plan = Plan { setup, scripts, steps };
    append_scenarios(source, &mut plan);
    plan
}

/// Generates steps that connect some clients.
fn first_steps(source: &mut impl Source, slots: u32) -> Vec<Step> {
    let mut steps = Vec::new();
    // Without connections, the steps that follow would have no effect.
    for slot in 0..source.below(slots + 1) {
        let slot = slot as u8;
        steps.push(Step::Connect { slot, request: RequestKind::Upgrade });
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
        if source.one_in(3) {
            steps.push(Step::RunUntilIdle);
        }
    }
    steps
}

/// Adds rare situations to a plan, and adapts the plan's configuration to them.
fn append_scenarios(source: &mut impl Source, plan: &mut Plan) {
    let Plan { setup, steps, .. } = plan;
    if source.one_in(400) {
        crowd(source, steps);
    }
    if source.one_in(200) {
        answered_too_late(source, setup, steps);
    }
    if source.one_in(400) {
        moved_while_waiting(source, setup, steps);
    }
    if source.one_in(100) {
        concurrent_auth(source, setup, steps);
    }
    if source.one_in(200) {
        input_at_flush_end(source, plan);
    }
}

fn weights(source: &mut impl Source, is_large: bool) -> [u32; KINDS] {
    let mut weights = [
        // kinds 0 to 5: connect, send, deliver, poll woken, poll, run until idle
        4, 30, 24, 20, 3, 12, //
        // kinds 6 to 14: socket space, limit io, interrupt, spurious writable, half-close, reset,
        // vanish, fail writes, abort
        8, 4, 2, 2, 1, 1, 1, 1, 1, //
        // kinds 15 to 19: advance clock, run for, application, shutdown, send and deliver
        2, 4, 4, 1, 30, //
        // kinds 20 to 23: fill a queue, send during write, a slow handler, a large flush
        2, 5, 6, 12,
    ];
    for (kind, weight) in weights.iter_mut().enumerate().skip(6) {
        if kind != 19 && !source.one_in(2) {
            *weight = 0;
        }
    }
    if !is_large {
        weights[23] = 0;
    }
    // Few plans contain a shutdown, since it ends nearly all other situations.
    if !source.one_in(4) {
        weights[18] = 0;
    }
    weights
}

pub(super) fn slot(source: &mut impl Source, swarm: &Swarm) -> u8 {
    source.below(swarm.slots) as u8
}

pub(super) fn room(source: &mut impl Source, swarm: &Swarm) -> &'static str {
    source.pick(&ROOMS[..swarm.rooms])
}

pub(super) fn payload(source: &mut impl Source) -> Payload {
    let length = source.pick(&[0, 1, 2, 3, 8, 40, 200]);
    Payload(source.below(200) as u8, length)
}

pub(super) fn any_address(source: &mut impl Source, swarm: &Swarm) -> Address {
    let client = match source.below(8) {
        0 => ClientRef::Numbered(source.below(16) as u16),
        1 => ClientRef::Caller,
        _ => ClientRef::Slot(slot(source, swarm)),
    };
    match source.below(12) {
        0 => Address::Upper(client),
        1 => Address::Cut(client),
        2 => Address::Word("nobody"),
        _ => Address::Id(client),
    }
}

pub(super) fn client_frame(source: &mut impl Source, swarm: &Swarm) -> ClientFrame {
    match source.below(40) {
        0 | 1 => ClientFrame::Ping(source.pick(&[0, 1, 124, 125])),
        2 => ClientFrame::Pong(source.pick(&[0, 125])),
        3 if source.one_in(3) => ClientFrame::Close(source.pick(&[0, 1000, 1001, 3000, 4999])),
        4..8 if swarm.violation => ClientFrame::Violation(source.pick(&VIOLATIONS)),
        _ => {
            let event = match source.below(20) {
                0..5 => "join",
                5..8 => "leave",
                8 => source.pick(&RESERVED),
                9..12 => source.pick(&EVENTS),
                12..15 => "chat",
                _ => "cha",
            };
            let dst = if source.one_in(5) { any_address(source, swarm) } else { Address::Nothing };
            let src = if source.one_in(12) { any_address(source, swarm) } else { Address::Nothing };
            let payload = match source.below(if swarm.sizes { 6 } else { 40 }) {
                0 => Size::Limit(source.pick(&[-1, 0, 1])),
                1 => Size::Frame(source.pick(&[124, 125, 126, 127, 128, 65_534, 65_535, 65_536])),
                _ => Size::Bytes(payload(source)),
            };
            let form = match source.below(16) {
                0 => Form::Fragmented(1 + source.below(4) as u8),
                1 => Form::FragmentedWithPing(1 + source.below(3) as u8),
                2 if swarm.violation && source.one_in(3) => Form::Text,
                _ => Form::Whole,
            };
            ClientFrame::Packet { room: room(source, swarm), event, dst, src, payload, form }
        }
    }
}

fn step(source: &mut impl Source, swarm: &Swarm, steps: &mut Vec<Step>) {
    let mut left = source.below(swarm.weights.iter().sum());
    let kind = swarm.weights.iter().position(|weight| {
        let is_chosen = left < *weight;
        left = left.saturating_sub(*weight);
        is_chosen
    });
    let slot = slot(source, swarm);
    let last = match kind.unwrap_or_default() {
        0 => connect(source, slot, steps),
        1 => Step::Send { slot, frame: client_frame(source, swarm) },
        2 => Step::Deliver { slot, bytes: delivered(source) },
        3 => Step::PollWoken { nth: source.below(8) as u8 },
        4 => Step::Poll { slot },
        5 => Step::RunUntilIdle,
        6 => {
            let bytes = match source.below(6) {
                0 | 1 => 0,
                2 => u32::MAX,
                3 => source.below(2000),
                _ => source.below(150),
            };
            Step::SocketSpace { slot, bytes }
        }
        7 => {
            let mut max = || if source.one_in(2) { u32::MAX } else { 1 + source.below(100) };
            Step::LimitIo { slot, read: max(), write: max() }
        }
        8 => Step::Interrupt { slot },
        9 => Step::SpuriousWritable { slot },
        10 => Step::HalfClose { slot },
        11 => Step::Reset { slot },
        12 => Step::Vanish { slot },
        13 => Step::FailWrites { slot },
        14 => Step::Abort { slot },
        15 => Step::AdvanceClock { millis: time(source) },
        16 => Step::RunFor { millis: time(source) },
        17 => Step::App { slot, action: app_action(source, swarm) },
        18 if source.one_in(2) => Step::Drain,
        18 => Step::Shutdown,
        20 => fill_queue(source, swarm, slot, steps),
        21 => {
            let of = source.below(swarm.slots) as u8;
            if source.one_in(2) {
                steps.push(Step::SocketSpace { slot, bytes: source.below(60) });
            }
            let room = if source.one_in(2) { "root" } else { room(source, swarm) };
            Step::SendDuringWrite { slot, sender: of, room, payload: payload(source) }
        }
        22 => slow_call(source, swarm, slot, steps),
        23 => large_flush(source, swarm, slot, steps),
        _ => send_and_deliver(source, swarm, slot, steps),
    };
    steps.push(last);
}

/// Returns the step that connects a client, usually with a valid request.
fn connect(source: &mut impl Source, slot: u8, steps: &mut Vec<Step>) -> Step {
    let kinds = [
        RequestKind::WrongPath,
        RequestKind::Post,
        RequestKind::NoUpgrade,
        RequestKind::OldVersion,
        RequestKind::BadKey,
        RequestKind::BadOrigin,
        RequestKind::Http10,
    ];
    let request = if source.one_in(8) { source.pick(&kinds) } else { RequestKind::Upgrade };
    steps.push(Step::Connect { slot, request });
    let all = source.one_in(2);
    Step::Deliver { slot, bytes: if all { u32::MAX } else { source.below(300) } }
}

/// Returns the number of bytes that one step delivers.
fn delivered(source: &mut impl Source) -> u32 {
    match source.below(3) {
        0 => 1 + source.below(8),
        1 => 1 + source.below(80),
        _ => u32::MAX,
    }
}

/// Sends one or more frames, which are delivered together.
fn send_and_deliver(
    source: &mut impl Source,
    swarm: &Swarm,
    slot: u8,
    steps: &mut Vec<Step>,
) -> Step {
    steps.push(Step::Send { slot, frame: client_frame(source, swarm) });
    if swarm.limited && source.one_in(8) {
        // Send more frames after one that may close the connection.
        let more = (0..source.below(4)).map(|_| client_frame(source, swarm));
        let more = more.chain([ClientFrame::Close(1000)]).map(|frame| Step::Send { slot, frame });
        steps.extend(more.collect::<Vec<_>>());
    }
    steps.push(Step::Deliver { slot, bytes: u32::MAX });
    if source.one_in(2) {
        Step::RunUntilIdle
    } else {
        Step::PollWoken { nth: source.below(4) as u8 }
    }
}

pub(super) fn time(source: &mut impl Source) -> u32 {
    match source.below(6) {
        0 => 1,
        1 => 20,
        2 => 50,
        3 => source.below(400),
        4 => source.below(3000),
        _ => source.below(12_000),
    }
}
