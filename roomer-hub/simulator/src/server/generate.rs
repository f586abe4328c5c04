//! Generates plans for the whole server.

use roomer_hub::Presence;

use super::plan::{
    AppAction, AuthHook, Cap, ClientFrame, Drain, Ending, Flush, Form, Hooks, Plan, RequestKind,
    RuleAnswers, Script, Setup, Size, Step, VIOLATIONS,
};
use super::scenarios::{
    answered_too_late, concurrent_auth, crowd, fill_queue, input_at_flush_end, large_flush,
    moved_while_waiting, slow_call,
};
use crate::alphabet::{EVENTS, REASONS, RESERVED, ROOMS};
use crate::hub::plan::{Address, ClientRef, DEFAULT_RATES, Mode, Payload};
use crate::hub::token_bucket::RateSpec;
use crate::random::Source;

/// The choices available to one plan. Not every plan has everything, since some situations hide
/// others.
pub(super) struct Swarm {
    pub(super) slots: u32,
    rooms: usize,
    /// The weights of the kinds of steps.
    weights: [u32; KINDS],
    violation: bool,
    sizes: bool,
    handlers: u32,
    /// True if handlers may wait.
    pub(super) slow: bool,
    /// True if connections may be closed for their rates.
    limited: bool,
}

const KINDS: usize = 24;

/// Delays of slow handlers and rules, in milliseconds.
pub(super) const PAUSES: [u32; 10] = [0, 0, 1, 5, 20, 60, 300, 300, 1000, 4000];

pub fn plan(source: &mut impl Source) -> Plan {
    // A large flush needs more connections.
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
        // With a memory budget, hooks of connections that others close have no fixed order with
        // pongs.
        hooks.acting = 0;
    }
    setup.authorize = [(); 3].map(|()| source.one_in(8).then(|| answers(source, &swarm)));
    swarm.limited = setup.rates != DEFAULT_RATES;
    let scripts = (0..swarm.handlers).map(|number| script(source, &swarm, number)).collect();
    let mut steps = Vec::new();
    // Connect some clients first, so that the next steps have an effect.
    for slot in 0..source.below(slots + 1) {
        let slot = slot as u8;
        steps.push(Step::Connect { slot, request: RequestKind::Upgrade });
        steps.push(Step::Deliver { slot, bytes: u32::MAX });
        if source.one_in(3) {
            steps.push(Step::RunUntilIdle);
        }
    }
    let length = 20 + source.below(100);
    while steps.len() < length as usize {
        step(source, &swarm, &mut steps);
    }
    if source.one_in(400) {
        crowd(source, &mut steps);
    }
    if source.one_in(200) {
        answered_too_late(source, &mut setup, &mut steps);
    }
    if source.one_in(400) {
        moved_while_waiting(source, &mut setup, &mut steps);
    }
    if source.one_in(100) {
        concurrent_auth(source, &mut setup, &mut steps);
    }
    let mut plan = Plan { setup, scripts, steps };
    if source.one_in(200) {
        input_at_flush_end(source, &mut plan);
    }
    plan
}

fn weights(source: &mut impl Source, is_large: bool) -> [u32; KINDS] {
    let mut weights = [
        // connect, send, deliver, poll woken, poll, run until idle
        4, 30, 24, 20, 3, 12, //
        // socket space, limit io, interrupt, spurious writable, half-close, reset, vanish, fail
        // writes, abort
        8, 4, 2, 2, 1, 1, 1, 1, 1, //
        // advance clock, run for, application, shutdown, send and deliver
        2, 4, 4, 1, 30, //
        // fill a queue, send during write, a slow handler, a large flush
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
    // Most situations end with a shutdown.
    if !source.one_in(4) {
        weights[18] = 0;
    }
    weights
}

fn setup(source: &mut impl Source) -> Setup {
    let pong = source.pick(&[60_000, 60_000, 2000, 300]);
    let ping = source.pick(&[pong / 10 * 9, pong / 2, pong - 1]);
    let max_message = source.pick(&[100, 200, 1000, 70_000, 1 << 20]);
    Setup {
        mode: if source.one_in(4) { Mode::Compat } else { Mode::Default },
        max_name: source.pick(&[3, 4, 5, 8, 4096, 4096, 4096, 4096]),
        max_rooms: source.pick(&[1, 2, 3, 1100, 1100, 1100]),
        rates: rates(source, max_message as u32),
        shared_room_only: source.one_in(6),
        max_message,
        max_backlog: source.pick(&[1, 60, 300, 1000, 5000, 1 << 20]),
        authorize: [None; 3],
        hooks: None,
        presence_rules: [(); 2].map(|()| presence(source)),
        memory_slack: if source.one_in(4) { Some(source.pick(&[0, 1, 100, 1000])) } else { None },
        ping,
        pong,
        write: source.pick(&[10_000, 10_000, 500, 100]),
        handshake: source.pick(&[10_000, 400]),
        close: source.pick(&[5000, 5000, 200]),
        coalesce: source.pick(&[0, 0, 0, 2]),
        caps: [cap(source), cap(source)],
        auth_hook: source.one_in(8).then(|| auth_hook(source)),
        drain: source.one_in(2).then(|| Drain {
            deadline: source.pick(&[1, 100, 2000, 8000]),
            per_second: source.pick(&[1, 4, 20, 1000, usize::MAX]),
        }),
        flush: None,
        mute: if source.one_in(3) { source.below(256) } else { 0 },
        ending: source.pick(&[Ending::HangUp, Ending::Close, Ending::Shutdown, Ending::Drain]),
    }
}

fn cap(source: &mut impl Source) -> Cap {
    let total = source.one_in(12).then(|| 1 + source.below(6) as usize);
    let per_address = source.one_in(12).then(|| 1 + source.below(4) as usize);
    Cap { total, per_address: per_address.map(|most| most.min(total.unwrap_or(most))) }
}

fn auth_hook(source: &mut impl Source) -> AuthHook {
    let some = source.below(u32::MAX);
    AuthHook {
        admits: some | source.pick(&[0, 0x0f0f_0f0f, u32::MAX]),
        panics: source.below(u32::MAX),
        wait: source.one_in(2).then(|| source.pick(&PAUSES)),
        waits: source.pick(&[some.rotate_left(7), u32::MAX]),
    }
}

fn presence(source: &mut impl Source) -> Option<(&'static str, Presence)> {
    let modes = [Presence::Off, Presence::Count, Presence::Full];
    let patterns = ["root", "r", "ro*", "*", "root2", "Root", "roo*"];
    source.one_in(8).then(|| (source.pick(&patterns), source.pick(&modes)))
}

/// Generates rates. Small ones, so that they are reached; most plans have none, so that other
/// situations are.
fn rates(source: &mut impl Source, max_message: u32) -> [Option<RateSpec>; 4] {
    let mut rates = DEFAULT_RATES;
    if source.one_in(5) {
        let drawn = [
            (source.pick(&[1, 3, 20]), source.pick(&[1, 2, 4, 8, 16])),
            (source.pick(&[1, 30, 100]), max_message + source.pick(&[0, 1, 50, 100])),
            (source.pick(&[1, 3]), source.pick(&[1, 2, 4])),
        ];
        for (spec, drawn) in rates.iter_mut().zip(drawn) {
            *spec = source.one_in(2).then_some(drawn);
        }
    }
    if source.one_in(3) {
        rates[3] = (!source.one_in(4)).then(|| (source.pick(&[1, 3]), source.pick(&[1, 2, 4])));
    }
    rates
}

fn script(source: &mut impl Source, swarm: &Swarm, number: u32) -> Script {
    let event = ["chat", "ping", "chatt"][number as usize % 3];
    let mut actions: Vec<AppAction> =
        (0..source.below(4)).map(|_| app_action(source, swarm)).collect();
    if swarm.slow && !source.one_in(3) {
        for _ in 0..1 + source.below(2) {
            let millis = source.pick(&PAUSES);
            actions.insert(
                source.below(actions.len() as u32 + 1) as usize,
                AppAction::Pause { millis },
            );
        }
    }
    Script { event, actions }
}

fn hooks(source: &mut impl Source, swarm: &Swarm) -> Hooks {
    let action = app_action(source, swarm);
    Hooks {
        enabled: source.pick(&[15, 15, 15, 1, 2, 4, 8]),
        acting: source.pick(&[0, 1, 2, 4, 8, 3, 0x10, 0x22, 0x88, 0xff]),
        action: if action == AppAction::Fail { AppAction::Panic } else { action },
    }
}

fn answers(source: &mut impl Source, swarm: &Swarm) -> RuleAnswers {
    let wait = source.pick(&PAUSES);
    let (some, action) = (source.below(256) as u8, app_action(source, swarm));
    RuleAnswers {
        allows: source.pick(&[some, some, 0xff, 0]),
        acting: if source.one_in(2) { source.below(256) as u8 } else { 0 },
        action: if action == AppAction::Fail { AppAction::Panic } else { action },
        wait: (swarm.slow && !source.one_in(3)).then_some(wait),
        waits: source.below(256) as u8,
    }
}

fn app_action(source: &mut impl Source, swarm: &Swarm) -> AppAction {
    let (code, reason) = (source.pick(&[1000, 1008, 4000]), source.pick(&REASONS));
    match source.below(18) {
        16 => AppAction::Join { room: room(source, swarm) },
        17 => AppAction::Leave { room: room(source, swarm) },
        0..5 => AppAction::ToRoom {
            room: room(source, swarm),
            event: source.pick(&EVENTS),
            payload: payload(source),
        },
        5..9 => AppAction::ToClient {
            dst: any_address(source, swarm),
            event: "chat",
            payload: payload(source),
        },
        9..12 => AppAction::Raw(payload(source)),
        12 => AppAction::Close { code, reason },
        13 => AppAction::CloseOther { slot: slot(source, swarm), code, reason },
        14 => AppAction::Fail,
        _ => AppAction::Panic,
    }
}

fn slot(source: &mut impl Source, swarm: &Swarm) -> u8 {
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
        let is_it = left < *weight;
        left = left.saturating_sub(*weight);
        is_it
    });
    let slot = slot(source, swarm);
    let last = match kind.unwrap_or_default() {
        0 => {
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
        1 => Step::Send { slot, frame: client_frame(source, swarm) },
        2 => {
            let bytes = match source.below(3) {
                0 => 1 + source.below(8),
                1 => 1 + source.below(80),
                _ => u32::MAX,
            };
            Step::Deliver { slot, bytes }
        }
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
            let mut most = || if source.one_in(2) { u32::MAX } else { 1 + source.below(100) };
            Step::LimitIo { slot, read: most(), write: most() }
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
        _ => {
            steps.push(Step::Send { slot, frame: client_frame(source, swarm) });
            if swarm.limited && source.one_in(8) {
                // One of the frames may close the connection, with others after it.
                let more = (0..source.below(4)).map(|_| client_frame(source, swarm));
                let more =
                    more.chain([ClientFrame::Close(1000)]).map(|frame| Step::Send { slot, frame });
                steps.extend(more.collect::<Vec<_>>());
            }
            steps.push(Step::Deliver { slot, bytes: u32::MAX });
            if source.one_in(2) {
                Step::RunUntilIdle
            } else {
                Step::PollWoken { nth: source.below(4) as u8 }
            }
        }
    };
    steps.push(last);
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
