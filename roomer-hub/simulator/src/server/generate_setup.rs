//! Generates the configuration of a plan, and the behaviour of its application.

use roomer_hub::Presence;

use super::generate::{PAUSES, Swarm, any_address, payload, room, slot};
use super::plan::{AppAction, AuthHook, Cap, Drain, Ending, Hooks, RuleAnswers, Script, Setup};
use crate::alphabet::{EVENTS, REASONS};
use crate::hub::plan::{DEFAULT_RATES, Mode};
use crate::hub::token_bucket::RateSpec;
use crate::random::Source;

/// Generates the configuration, except for the options that depend on the plan's `Swarm`.
pub(super) fn setup(source: &mut impl Source) -> Setup {
    let pong = source.pick(&[60_000, 60_000, 2000, 300]);
    // The builder requires a ping interval that is shorter than the pong timeout.
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
    // A limit per address that exceeds the total limit would have no effect.
    Cap { total, per_address: per_address.map(|max| max.min(total.unwrap_or(max))) }
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

/// Generates rate limits that are small enough to be reached. Most plans have none, and therefore
/// reach other situations.
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

pub(super) fn script(source: &mut impl Source, swarm: &Swarm, number: u32) -> Script {
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

pub(super) fn hooks(source: &mut impl Source, swarm: &Swarm) -> Hooks {
    let action = app_action(source, swarm);
    Hooks {
        enabled: source.pick(&[15, 15, 15, 1, 2, 4, 8]),
        acting: source.pick(&[0, 1, 2, 4, 8, 3, 0x10, 0x22, 0x88, 0xff]),
        action: if action == AppAction::Fail { AppAction::Panic } else { action },
    }
}

pub(super) fn answers(source: &mut impl Source, swarm: &Swarm) -> RuleAnswers {
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

pub(super) fn app_action(source: &mut impl Source, swarm: &Swarm) -> AppAction {
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
