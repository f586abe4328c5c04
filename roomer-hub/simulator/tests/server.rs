//! The simulator of the whole server with few seeds. `examples/sim.rs --full` runs many.
//!
//! `SIM_SEEDS=100000 cargo test --release -p roomer-hub --test sim_full` runs more;
//! `UPDATE_HASHES=1` accepts new hashes: only when what the server sends was meant to change.
#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not see as such

use std::fmt::Write;
use std::fs;
use std::path::Path;

use roomer_hub::Presence;
use roomer_simulator::hub::plan::{Address, ClientRef, DEFAULT_RATES, Mode, Payload};
use roomer_simulator::runner;
use roomer_simulator::server::ServerPlans;
use roomer_simulator::server::plan::{
    AppAction, Cap, ClientFrame, Ending, Flush, Form, Hooks, Plan, RequestKind, RuleAnswers,
    Script, Setup, Size, Step,
};
use roomer_simulator::simulation::Simulation;

const ALL: u32 = u32::MAX;

/// Also: twice the same, and the same on two threads.
#[test]
fn every_seed_holds_and_is_the_same_again() {
    let seeds = std::env::var("SIM_SEEDS").ok();
    let count = seeds.map_or(400, |seeds| seeds.parse().unwrap());
    let once = runner::run_seeds::<ServerPlans>(0, count, 1, &|_, _| {});
    if let Some((seed, fault)) = once.examples.first() {
        panic!("seed {seed}: {fault}\n{}", ServerPlans::explain(*seed));
    }
    let again = runner::run_seeds::<ServerPlans>(0, count, 2, &|_, _| {});
    assert_eq!(again, once, "the same seeds once more, on two threads");
}

#[test]
fn the_hashes_are_those_that_are_committed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("server_hashes.txt");
    let mut hashes = String::from("# Seed, steps, and a hash of every byte that was sent.\n");
    for seed in (0..40).chain((0..8).map(|power| 10_u64.pow(power * 2) + 77)) {
        let outcome = ServerPlans::run(seed);
        let _ = writeln!(hashes, "{seed} {} {:016x}", outcome.steps, outcome.hash);
    }
    if std::env::var_os("UPDATE_HASHES").is_some() {
        return fs::write(&file, hashes).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap();
    for (committed, now) in committed.lines().zip(hashes.lines()) {
        assert_eq!(now, committed, "now, and as committed; UPDATE_HASHES=1 if this was meant");
    }
    assert_eq!(hashes.len(), committed.len());
}

/// What the plans below are built with.
const SETUP: Setup = Setup {
    mode: Mode::Default,
    max_name: 4096,
    max_rooms: 1100,
    rates: DEFAULT_RATES,
    shared_room_only: false,
    max_message: 1 << 20,
    max_backlog: 1 << 20,
    authorize: [None; 3],
    hooks: None,
    presence_rules: [None; 2],
    memory_slack: None,
    ping: 54_000,
    pong: 60_000,
    write: 10_000,
    handshake: 10_000,
    close: 5000,
    coalesce: 0,
    caps: [Cap::NONE; 2],
    auth_hook: None,
    drain: None,
    flush: None,
    mute: 0,
    ending: Ending::HangUp,
};

fn send(slot: u8, event: &'static str) -> Step {
    let (dst, src) = (Address::Nothing, Address::Nothing);
    let (room, payload, form) = ("root", Size::Bytes(Payload(0, 0)), Form::Whole);
    Step::Send { slot, frame: ClientFrame::Packet { room, event, dst, src, payload, form } }
}

fn come(slots: std::ops::Range<u8>) -> impl Iterator<Item = Step> {
    slots.flat_map(|slot| {
        [Step::Connect { slot, request: RequestKind::Upgrade }, Step::Deliver { slot, bytes: ALL }]
    })
}

/// Seed 20582: a room of eight that grew to nine within one turn was flushed by nobody.
#[test]
fn a_room_that_grows_large_within_a_turn_is_flushed() {
    let mut steps: Vec<Step> = come(0..9).collect();
    steps.extend([Step::RunUntilIdle, send(4, "leave"), send(4, "join")]);
    steps.extend([Step::Deliver { slot: 4, bytes: ALL }, Step::RunUntilIdle]);
    roomer_simulator::server::must_hold(&Plan { setup: SETUP, scripts: vec![], steps });
}

/// Seed 56: a repeated join was answered with a snapshot that was ahead of the notices before it.
#[test]
fn a_repeated_join_waits_for_the_notices_before_it() {
    let mut steps: Vec<Step> = come(0..10).collect();
    steps.extend([Step::RunUntilIdle, send(0, "leave"), send(1, "join")]);
    steps.extend([0, 1].map(|slot| Step::Deliver { slot, bytes: ALL }));
    steps.extend([Step::PollWoken { nth: 0 }, Step::PollWoken { nth: 0 }, Step::RunUntilIdle]);
    roomer_simulator::server::must_hold(&Plan { setup: SETUP, scripts: vec![], steps });
}

/// Seed 10152477: the same where nobody is told of the ninth, who had spoken from outside.
#[test]
fn a_room_that_grows_large_unheard_is_flushed() {
    let presence_rules = [Some(("root", Presence::Count)), None];
    let setup = Setup { mode: Mode::Compat, presence_rules, ..SETUP };
    let mut steps: Vec<Step> = come(0..9).collect();
    steps.extend([Step::RunUntilIdle, send(4, "leave"), send(4, "cha"), send(4, "join")]);
    steps.extend([Step::Deliver { slot: 4, bytes: ALL }, Step::RunUntilIdle]);
    roomer_simulator::server::must_hold(&Plan { setup, scripts: vec![], steps });
}

/// Seed 1073926: what somebody was writing at that moment did not count against the memory budget.
#[test]
fn bytes_that_are_being_written_count_against_the_memory_budget() {
    let setup = Setup { max_message: 1000, max_backlog: 300, memory_slack: Some(0), ..SETUP };
    let come = |slot| Step::Connect { slot, request: RequestKind::Upgrade };
    let arrive = |slot| Step::Deliver { slot, bytes: ALL };
    let (dst, src) = (Address::Nothing, Address::Nothing);
    let (room, event, payload, form) = ("root", "Close", Size::Limit(0), Form::Whole);
    let largest = ClientFrame::Packet { room, event, dst, src, payload, form };
    let steps = vec![
        come(0),
        come(1),
        arrive(1),
        come(2),
        arrive(2),
        come(3),
        Step::RunUntilIdle,
        send(3, "chat"),
        arrive(3),
        Step::SocketSpace { slot: 2, bytes: 0 },
        arrive(0),
        Step::RunUntilIdle,
        Step::SocketSpace { slot: 1, bytes: 5 },
        Step::SendDuringWrite { slot: 1, sender: 3, room: "root", payload: Payload(104, 0) },
        Step::Send { slot: 0, frame: largest },
        arrive(0),
        Step::RunUntilIdle,
    ];
    let scripts = vec![Script { event: "chat", actions: vec![] }];
    roomer_simulator::server::must_hold(&Plan { setup, scripts, steps });
}

/// One whose handler for `chat` takes its time.
fn slow(millis: u32) -> Vec<Script> {
    vec![Script { event: "chat", actions: vec![AppAction::Pause { millis }] }]
}

/// Seed 1231: a close frame behind a message whose handler took its time was not seen when the
/// connection was closed meanwhile, which then waited for it until it was too late.
#[test]
fn a_close_frame_behind_a_slow_handler_is_seen() {
    let mut steps: Vec<Step> = come(0..1).collect();
    steps.extend([send(0, "chat"), Step::Send { slot: 0, frame: ClientFrame::Close(1000) }]);
    steps.extend([Step::Deliver { slot: 0, bytes: ALL }, Step::RunUntilIdle]);
    steps.push(Step::App { slot: 0, action: AppAction::Close { code: 4000, reason: "bye" } });
    steps.push(Step::RunUntilIdle);
    roomer_simulator::server::must_hold(&Plan { setup: SETUP, scripts: slow(300), steps });
}

/// One is held back for the sake of another, who does not read, and calls a handler that takes its
/// time; then this happens.
fn held_back_and_waiting(then: Step) -> Plan {
    let mut steps: Vec<Step> = come(0..2).collect();
    steps.extend([Step::RunUntilIdle, Step::SocketSpace { slot: 1, bytes: 0 }]);
    let arrive = Step::Deliver { slot: 0, bytes: ALL };
    for _ in 0..2 {
        steps.extend([send(0, "cha"), arrive, Step::RunUntilIdle]);
    }
    steps.extend([send(0, "cha"), send(0, "chat"), arrive, Step::PollWoken { nth: 0 }, then]);
    steps.push(Step::RunUntilIdle);
    Plan { setup: Setup { max_backlog: 1, ..SETUP }, scripts: slow(1000), steps }
}

/// Seed 5396: whoever was held back while a handler took its time was woken over and over.
#[test]
fn one_that_is_held_back_while_a_handler_waits_sleeps() {
    roomer_simulator::server::must_hold(&held_back_and_waiting(Step::RunFor { millis: 60 }));
}

/// Seed 29108: whoever was held back while a handler took its time kept the socket of one that
/// was gone.
#[test]
fn one_that_waits_keeps_no_socket_of_one_that_is_gone() {
    roomer_simulator::server::must_hold(&held_back_and_waiting(Step::Reset { slot: 1 }));
}

/// Seed 2229393: what a rule had been asked about counted against the memory budget once more when
/// it was in a queue already.
#[test]
fn a_message_that_a_rule_has_allowed_counts_once() {
    let answers = RuleAnswers {
        allows: 0xff,
        acting: 0,
        action: AppAction::Fail,
        wait: Some(0),
        waits: 0xff,
    };
    let setup = Setup {
        max_message: 70_000,
        max_backlog: 5000,
        authorize: [None, None, Some(answers)],
        memory_slack: Some(100),
        ..SETUP
    };
    let dst = Address::Id(ClientRef::Slot(0));
    let payload = Size::Queue { slot: 0, hard: true, more: -1 };
    let (room, event, src, form) = ("root", "cha", Address::Nothing, Form::Whole);
    let mut steps: Vec<Step> = come(0..1).collect();
    steps.extend([Step::RunUntilIdle, Step::SocketSpace { slot: 0, bytes: 0 }]);
    let frame = ClientFrame::Packet { room, event, dst, src, payload, form };
    steps.extend([
        Step::Send { slot: 0, frame },
        Step::Deliver { slot: 0, bytes: ALL },
        Step::RunUntilIdle,
    ]);
    roomer_simulator::server::must_hold(&Plan { setup, scripts: vec![], steps });
}

/// Seed 9583: without a helper, nobody came back for what was left of a large flush when hooks had
/// to be told of what had caused it.
#[test]
fn a_large_flush_that_hooks_hear_of_is_written_without_helpers() {
    let hooks = Hooks { enabled: 15, acting: 0, action: AppAction::Panic };
    let flush = Flush { max_inline: 1, chunk: 1, workers: 0 };
    let setup = Setup { hooks: Some(hooks), flush: Some(flush), ..SETUP };
    let mut steps: Vec<Step> = come(0..3).collect();
    steps.extend([send(1, "chat"), Step::Deliver { slot: 1, bytes: ALL }, Step::RunUntilIdle]);
    steps.push(Step::App { slot: 1, action: AppAction::Leave { room: "root" } });
    steps.push(Step::RunUntilIdle);
    let scripts = vec![Script { event: "chat", actions: vec![] }];
    roomer_simulator::server::must_hold(&Plan { setup, scripts, steps });
}
