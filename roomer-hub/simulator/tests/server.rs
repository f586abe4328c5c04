//! Runs the server plans for a few seeds. `sim --full` runs many.
//!
//! `SIM_SEEDS=100000 cargo test --release -p roomer-simulator --test server` runs more seeds.
//! `UPDATE_HASHES=1` accepts new hashes: use it only if the change to the server's output was
//! intended.
#![allow(clippy::unwrap_used)] // clippy does not recognize test helpers

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

/// Also checks that the result is the same on two threads.
#[test]
fn seeds_pass_and_are_reproducible() {
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
fn hashes_match_committed_hashes() {
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
        assert_eq!(
            now, committed,
            "left is new, right is committed; UPDATE_HASHES=1 accepts the new one"
        );
    }
    assert_eq!(hashes.len(), committed.len());
}

/// The configuration for the plans below.
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

fn connect_all(slots: std::ops::Range<u8>) -> impl Iterator<Item = Step> {
    slots.flat_map(|slot| {
        [Step::Connect { slot, request: RequestKind::Upgrade }, Step::Deliver { slot, bytes: ALL }]
    })
}

/// Seed 20582: a room grew from eight members to nine within one poll, and was not flushed.
#[test]
fn room_growing_large_within_poll_is_flushed() {
    let mut steps: Vec<Step> = connect_all(0..9).collect();
    steps.extend([Step::RunUntilIdle, send(4, "leave"), send(4, "join")]);
    steps.extend([Step::Deliver { slot: 4, bytes: ALL }, Step::RunUntilIdle]);
    roomer_simulator::server::must_hold(&Plan { setup: SETUP, scripts: vec![], steps });
}

/// Seed 56: the snapshot in the `join_ack` of a repeated join was ahead of notices that were still
/// pending.
#[test]
fn repeated_join_waits_for_earlier_notices() {
    let mut steps: Vec<Step> = connect_all(0..10).collect();
    steps.extend([Step::RunUntilIdle, send(0, "leave"), send(1, "join")]);
    steps.extend([0, 1].map(|slot| Step::Deliver { slot, bytes: ALL }));
    steps.extend([Step::PollWoken { nth: 0 }, Step::PollWoken { nth: 0 }, Step::RunUntilIdle]);
    roomer_simulator::server::must_hold(&Plan { setup: SETUP, scripts: vec![], steps });
}

/// Seed 10152477: the ninth member joined without a notice, after a message from outside the room,
/// and the room was not flushed.
#[test]
fn room_growing_large_without_notice_is_flushed() {
    let presence_rules = [Some(("root", Presence::Count)), None];
    let setup = Setup { mode: Mode::Compat, presence_rules, ..SETUP };
    let mut steps: Vec<Step> = connect_all(0..9).collect();
    steps.extend([Step::RunUntilIdle, send(4, "leave"), send(4, "cha"), send(4, "join")]);
    steps.extend([Step::Deliver { slot: 4, bytes: ALL }, Step::RunUntilIdle]);
    roomer_simulator::server::must_hold(&Plan { setup, scripts: vec![], steps });
}

/// Seed 1073926: bytes did not count towards the memory budget while they were being written.
#[test]
fn bytes_being_written_count_towards_memory_budget() {
    let setup = Setup { max_message: 1000, max_backlog: 300, memory_slack: Some(0), ..SETUP };
    let connect = |slot| Step::Connect { slot, request: RequestKind::Upgrade };
    let arrive = |slot| Step::Deliver { slot, bytes: ALL };
    let (dst, src) = (Address::Nothing, Address::Nothing);
    let (room, event, payload, form) = ("root", "Close", Size::Limit(0), Form::Whole);
    let largest = ClientFrame::Packet { room, event, dst, src, payload, form };
    let steps = vec![
        connect(0),
        connect(1),
        arrive(1),
        connect(2),
        arrive(2),
        connect(3),
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

/// Returns scripts with a slow handler for `chat`.
fn slow(millis: u32) -> Vec<Script> {
    vec![Script { event: "chat", actions: vec![AppAction::Pause { millis }] }]
}

/// Seed 1231: a close frame after a message with a pending handler was overlooked if the connection
/// was closed in the meantime. The connection then stayed open until its timeout.
#[test]
fn close_frame_behind_slow_handler_is_seen() {
    let mut steps: Vec<Step> = connect_all(0..1).collect();
    steps.extend([send(0, "chat"), Step::Send { slot: 0, frame: ClientFrame::Close(1000) }]);
    steps.extend([Step::Deliver { slot: 0, bytes: ALL }, Step::RunUntilIdle]);
    steps.push(Step::App { slot: 0, action: AppAction::Close { code: 4000, reason: "bye" } });
    steps.push(Step::RunUntilIdle);
    roomer_simulator::server::must_hold(&Plan { setup: SETUP, scripts: slow(300), steps });
}

/// Returns a plan in which the server pauses a connection with a pending handler, because another
/// client does not read. The step `then` follows.
fn paused_with_pending_handler(then: Step) -> Plan {
    let mut steps: Vec<Step> = connect_all(0..2).collect();
    steps.extend([Step::RunUntilIdle, Step::SocketSpace { slot: 1, bytes: 0 }]);
    let arrive = Step::Deliver { slot: 0, bytes: ALL };
    for _ in 0..2 {
        steps.extend([send(0, "cha"), arrive, Step::RunUntilIdle]);
    }
    steps.extend([send(0, "cha"), send(0, "chat"), arrive, Step::PollWoken { nth: 0 }, then]);
    steps.push(Step::RunUntilIdle);
    Plan { setup: Setup { max_backlog: 1, ..SETUP }, scripts: slow(1000), steps }
}

/// Seed 5396: a connection that was paused while its handler was pending was woken in a loop.
#[test]
fn paused_connection_with_pending_handler_is_not_woken() {
    roomer_simulator::server::must_hold(&paused_with_pending_handler(Step::RunFor { millis: 60 }));
}

/// Seed 29108: a connection that was paused while its handler was pending kept the socket of a
/// closed connection.
#[test]
fn paused_connection_releases_closed_socket() {
    roomer_simulator::server::must_hold(&paused_with_pending_handler(Step::Reset { slot: 1 }));
}

/// Seed 2229393: once a message that a rule had allowed was queued, it counted twice towards the
/// memory budget.
#[test]
fn message_allowed_by_rule_counts_once() {
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
    let mut steps: Vec<Step> = connect_all(0..1).collect();
    steps.extend([Step::RunUntilIdle, Step::SocketSpace { slot: 0, bytes: 0 }]);
    let frame = ClientFrame::Packet { room, event, dst, src, payload, form };
    steps.extend([
        Step::Send { slot: 0, frame },
        Step::Deliver { slot: 0, bytes: ALL },
        Step::RunUntilIdle,
    ]);
    roomer_simulator::server::must_hold(&Plan { setup, scripts: vec![], steps });
}

/// A kick during the rule's call, and one while the rule is pending. None of the first
/// 20,000 seeds contains either.
#[test]
fn kick_cancels_join_that_rule_allows_later() {
    let (leave, none) = (AppAction::Leave { room: "root" }, AppAction::Fail);
    for (acting, action, wait) in [(0xff, leave, None), (0, none, Some(1000))] {
        let answers = RuleAnswers { allows: 0xff, acting, action, wait, waits: 0xff };
        let setup = Setup { authorize: [Some(answers), None, None], ..SETUP };
        let mut steps: Vec<Step> = connect_all(0..2).collect();
        steps.extend([Step::RunUntilIdle, send(0, "leave"), send(0, "join")]);
        steps.extend([Step::Deliver { slot: 0, bytes: ALL }, Step::RunUntilIdle]);
        if acting == 0 {
            steps.push(Step::App { slot: 0, action: leave });
        }
        steps.push(Step::RunUntilIdle);
        roomer_simulator::server::must_hold(&Plan { setup, scripts: vec![], steps });
    }
}

/// Seed 9583: without flush workers, the rest of a large flush was not written if the task that
/// caused it had to run hooks.
#[test]
fn large_flush_calling_hooks_is_written_without_workers() {
    let hooks = Hooks { enabled: 15, acting: 0, action: AppAction::Panic };
    let flush = Flush { max_inline: 1, chunk: 1, workers: 0 };
    let setup = Setup { hooks: Some(hooks), flush: Some(flush), ..SETUP };
    let mut steps: Vec<Step> = connect_all(0..3).collect();
    steps.extend([send(1, "chat"), Step::Deliver { slot: 1, bytes: ALL }, Step::RunUntilIdle]);
    steps.push(Step::App { slot: 1, action: AppAction::Leave { room: "root" } });
    steps.push(Step::RunUntilIdle);
    let scripts = vec![Script { event: "chat", actions: vec![] }];
    roomer_simulator::server::must_hold(&Plan { setup, scripts, steps });
}
