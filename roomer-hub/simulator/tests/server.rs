//! The simulator of the whole server with few seeds. `examples/sim.rs --full` runs many.
//!
//! `SIM_SEEDS=100000 cargo test --release -p roomer-hub --test sim_full` runs more;
//! `UPDATE_HASHES=1` accepts new hashes: only when what the server sends was meant to change.
#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not see as such

use std::fmt::Write;
use std::fs;
use std::path::Path;

use roomer_hub::Presence;
use roomer_simulator::full::Full;
use roomer_simulator::full::plan::{
    Answers, Ask, Cap, Deed, Ending, Flush, Form, Hooks, Plan, Script, Setup, Size, Step, Talk,
};
use roomer_simulator::plan::{Address, PACES, Payload, Rules, Who};
use roomer_simulator::runner;
use roomer_simulator::simulation::Simulation;

const ALL: u32 = u32::MAX;

/// Also: twice the same, and the same on two threads.
#[test]
fn every_seed_holds_and_is_the_same_again() {
    let seeds = std::env::var("SIM_SEEDS").ok();
    let count = seeds.map_or(400, |seeds| seeds.parse().unwrap());
    let once = runner::seeds::<Full>(0, count, 1, &|_, _| {});
    if let Some((seed, fault)) = once.kept.first() {
        panic!("seed {seed}: {fault}\n{}", Full::explain(*seed));
    }
    let again = runner::seeds::<Full>(0, count, 2, &|_, _| {});
    assert_eq!(again, once, "the same seeds once more, on two threads");
}

#[test]
fn the_hashes_are_those_that_are_committed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("full_hashes.txt");
    let mut hashes = String::from("# Seed, steps, and a hash of every byte that was sent.\n");
    for seed in (0..40).chain((0..8).map(|power| 10_u64.pow(power * 2) + 77)) {
        let outcome = Full::run(seed);
        let _ = writeln!(hashes, "{seed} {} {:016x}", outcome.steps, outcome.hash);
    }
    if std::env::var_os("UPDATE_HASHES").is_some() {
        return fs::write(&file, hashes).unwrap();
    }
    let told = fs::read_to_string(&file).unwrap();
    for (told, now) in told.lines().zip(hashes.lines()) {
        assert_eq!(now, told, "now, and as committed; UPDATE_HASHES=1 if this was meant");
    }
    assert_eq!(hashes.len(), told.len());
}

/// What the plans below are built with.
const SETUP: Setup = Setup {
    rules: Rules::Default,
    max_name: 4096,
    max_rooms: 1100,
    paces: PACES,
    shared_room_only: false,
    max_message: 1 << 20,
    max_backlog: 1 << 20,
    asks: [None; 3],
    hooks: None,
    memberships: [None; 2],
    spare: None,
    ping: 54_000,
    pong: 60_000,
    write: 10_000,
    handshake: 10_000,
    close: 5000,
    coalesce: 0,
    caps: [Cap::NONE; 2],
    door: None,
    drain: None,
    flush: None,
    mute: 0,
    ending: Ending::HangUp,
};

fn say(slot: u8, event: &'static str) -> Step {
    let (dst, src) = (Address::Nothing, Address::Nothing);
    let (room, payload, form) = ("root", Size::Bytes(Payload(0, 0)), Form::Whole);
    Step::Say { slot, talk: Talk::Packet { room, event, dst, src, payload, form } }
}

fn come(slots: std::ops::Range<u8>) -> impl Iterator<Item = Step> {
    slots.flat_map(|slot| {
        [Step::Connect { slot, ask: Ask::Upgrade }, Step::Deliver { slot, bytes: ALL }]
    })
}

/// Seed 20582: a room of eight that grew to nine within one turn was flushed by nobody.
#[test]
fn a_room_that_grows_large_within_a_turn_is_flushed() {
    let mut steps: Vec<Step> = come(0..9).collect();
    steps.extend([Step::Rest, say(4, "leave"), say(4, "join")]);
    steps.extend([Step::Deliver { slot: 4, bytes: ALL }, Step::Rest]);
    roomer_simulator::full::must_hold(&Plan { setup: SETUP, scripts: vec![], steps });
}

/// Seed 56: a repeated join was answered with a snapshot that was ahead of the notices before it.
#[test]
fn a_repeated_join_waits_for_the_notices_before_it() {
    let mut steps: Vec<Step> = come(0..10).collect();
    steps.extend([Step::Rest, say(0, "leave"), say(1, "join")]);
    steps.extend([0, 1].map(|slot| Step::Deliver { slot, bytes: ALL }));
    steps.extend([Step::Turn { place: 0 }, Step::Turn { place: 0 }, Step::Rest]);
    roomer_simulator::full::must_hold(&Plan { setup: SETUP, scripts: vec![], steps });
}

/// Seed 10152477: the same where nobody is told of the ninth, who had spoken from outside.
#[test]
fn a_room_that_grows_large_unheard_is_flushed() {
    let memberships = [Some(("root", Presence::Count)), None];
    let setup = Setup { rules: Rules::Compat, memberships, ..SETUP };
    let mut steps: Vec<Step> = come(0..9).collect();
    steps.extend([Step::Rest, say(4, "leave"), say(4, "cha"), say(4, "join")]);
    steps.extend([Step::Deliver { slot: 4, bytes: ALL }, Step::Rest]);
    roomer_simulator::full::must_hold(&Plan { setup, scripts: vec![], steps });
}

/// Seed 1073926: what somebody was writing at that moment did not count against the memory budget.
#[test]
fn bytes_that_are_being_written_count_against_the_memory_budget() {
    let setup = Setup { max_message: 1000, max_backlog: 300, spare: Some(0), ..SETUP };
    let come = |slot| Step::Connect { slot, ask: Ask::Upgrade };
    let arrive = |slot| Step::Deliver { slot, bytes: ALL };
    let (dst, src) = (Address::Nothing, Address::Nothing);
    let (room, event, payload, form) = ("root", "Close", Size::Limit(0), Form::Whole);
    let largest = Talk::Packet { room, event, dst, src, payload, form };
    let steps = vec![
        come(0),
        come(1),
        arrive(1),
        come(2),
        arrive(2),
        come(3),
        Step::Rest,
        say(3, "chat"),
        arrive(3),
        Step::Room { slot: 2, bytes: 0 },
        arrive(0),
        Step::Rest,
        Step::Room { slot: 1, bytes: 5 },
        Step::Meanwhile { slot: 1, of: 3, room: "root", payload: Payload(104, 0) },
        Step::Say { slot: 0, talk: largest },
        arrive(0),
        Step::Rest,
    ];
    let scripts = vec![Script { event: "chat", does: vec![] }];
    roomer_simulator::full::must_hold(&Plan { setup, scripts, steps });
}

/// One whose handler for `chat` takes its time.
fn slow(millis: u32) -> Vec<Script> {
    vec![Script { event: "chat", does: vec![Deed::Pause { millis }] }]
}

/// Seed 1231: a close frame behind a message whose handler took its time was not seen when the
/// connection was closed meanwhile, which then waited for it until it was too late.
#[test]
fn a_close_frame_behind_a_slow_handler_is_seen() {
    let mut steps: Vec<Step> = come(0..1).collect();
    steps.extend([say(0, "chat"), Step::Say { slot: 0, talk: Talk::Close(1000) }]);
    steps.extend([Step::Deliver { slot: 0, bytes: ALL }, Step::Rest]);
    steps.push(Step::App { slot: 0, deed: Deed::Close { code: 4000, reason: "bye" } });
    steps.push(Step::Rest);
    roomer_simulator::full::must_hold(&Plan { setup: SETUP, scripts: slow(300), steps });
}

/// One is held back for the sake of another, who does not read, and calls a handler that takes its
/// time; then this happens.
fn held_back_and_waiting(then: Step) -> Plan {
    let mut steps: Vec<Step> = come(0..2).collect();
    steps.extend([Step::Rest, Step::Room { slot: 1, bytes: 0 }]);
    let arrive = Step::Deliver { slot: 0, bytes: ALL };
    for _ in 0..2 {
        steps.extend([say(0, "cha"), arrive, Step::Rest]);
    }
    steps.extend([say(0, "cha"), say(0, "chat"), arrive, Step::Turn { place: 0 }, then]);
    steps.push(Step::Rest);
    Plan { setup: Setup { max_backlog: 1, ..SETUP }, scripts: slow(1000), steps }
}

/// Seed 5396: whoever was held back while a handler took its time was woken over and over.
#[test]
fn one_that_is_held_back_while_a_handler_waits_sleeps() {
    roomer_simulator::full::must_hold(&held_back_and_waiting(Step::Pass { millis: 60 }));
}

/// Seed 29108: whoever was held back while a handler took its time kept the socket of one that
/// was gone.
#[test]
fn one_that_waits_keeps_no_socket_of_one_that_is_gone() {
    roomer_simulator::full::must_hold(&held_back_and_waiting(Step::Reset { slot: 1 }));
}

/// Seed 2229393: what a rule had been asked about counted against the memory budget once more when
/// it was in a queue already.
#[test]
fn a_message_that_a_rule_has_allowed_counts_once() {
    let answers = Answers { allows: 0xff, acts: 0, deed: Deed::Fail, wait: Some(0), waits: 0xff };
    let setup = Setup {
        max_message: 70_000,
        max_backlog: 5000,
        asks: [None, None, Some(answers)],
        spare: Some(100),
        ..SETUP
    };
    let dst = Address::Id(Who::Slot(0));
    let payload = Size::Queue { slot: 0, hard: true, more: -1 };
    let (room, event, src, form) = ("root", "cha", Address::Nothing, Form::Whole);
    let mut steps: Vec<Step> = come(0..1).collect();
    steps.extend([Step::Rest, Step::Room { slot: 0, bytes: 0 }]);
    let talk = Talk::Packet { room, event, dst, src, payload, form };
    steps.extend([Step::Say { slot: 0, talk }, Step::Deliver { slot: 0, bytes: ALL }, Step::Rest]);
    roomer_simulator::full::must_hold(&Plan { setup, scripts: vec![], steps });
}

/// Seed 9583: without a helper, nobody came back for what was left of a large flush when hooks had
/// to be told of what had caused it.
#[test]
fn a_large_flush_that_hooks_hear_of_is_written_without_helpers() {
    let hooks = Hooks { hears: 15, acts: 0, deed: Deed::Panic };
    let flush = Flush { turn: 1, handful: 1, helpers: 0 };
    let setup = Setup { hooks: Some(hooks), flush: Some(flush), ..SETUP };
    let mut steps: Vec<Step> = come(0..3).collect();
    steps.extend([say(1, "chat"), Step::Deliver { slot: 1, bytes: ALL }, Step::Rest]);
    steps.push(Step::App { slot: 1, deed: Deed::Leave { room: "root" } });
    steps.push(Step::Rest);
    let scripts = vec![Script { event: "chat", does: vec![] }];
    roomer_simulator::full::must_hold(&Plan { setup, scripts, steps });
}
