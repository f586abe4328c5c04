//! Runs the cluster plans for a few seeds. `sim --cluster` runs many.
//!
//! `SIM_SEEDS=100000 cargo test --release -p roomer-simulator cluster::` runs more seeds.
//! `UPDATE_HASHES=1` accepts new hashes: use it only if the change to the frames between nodes was
//! intended.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use roomer_hub::cluster::Loss;
use roomer_simulator::cluster::plan::{Op, Plan, Setup};
use roomer_simulator::cluster::{ClusterPlans, must_hold};
use roomer_simulator::runner;
use roomer_simulator::simulation::Simulation;

/// Also checks that the result is the same on two threads.
#[test]
fn seeds_pass_and_are_reproducible() {
    let seeds = std::env::var("SIM_SEEDS").ok();
    let count = seeds.map_or(50, |seeds| seeds.parse().unwrap());
    let once = runner::run_seeds::<ClusterPlans>(0, count, 1, &|_, _| {});
    if let Some((seed, fault)) = once.examples.first() {
        panic!("seed {seed}: {fault}\n{}", ClusterPlans::explain(*seed));
    }
    let again = runner::run_seeds::<ClusterPlans>(0, count, 2, &|_, _| {});
    assert_eq!(again, once, "the same seeds once more, on two threads");
}

#[test]
fn hashes_match_committed_hashes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster_hashes.txt");
    let mut hashes = String::from("# Seed, steps, and a hash of every frame that was delivered.\n");
    for seed in (0..40).chain((0..8).map(|power| 10_u64.pow(power * 2) + 77)) {
        let outcome = ClusterPlans::run(seed);
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

const SETUP: Setup = Setup {
    seed: 1,
    nodes: 3,
    max_delay: 50,
    repeated: 0,
    late_interest: 40,
    journal_bytes: 1 << 20,
    journal_ms: 10_000,
    backlog_bytes: 4 << 20,
    held_bytes: 1 << 20,
    max_payload: 1000,
    has_order: false,
    has_info: false,
    has_away: false,
    shares_tag: false,
    loss: Loss::Rejoin,
};

/// The request for the members of the new node arrived before the node's first heartbeat, and
/// therefore before its name was known.
#[test]
fn restarted_node_replaces_old_one_in_any_order() {
    must_hold(&Plan {
        setup: Setup { seed: 2_302_711_502_421_592_420, repeated: 10, journal_ms: 100, ..SETUP },
        ops: vec![
            Op::Open { node: 7 },
            Op::Wait(44),
            Op::Suspend { node: 56 },
            Op::Suspend { node: 42 },
            Op::Wait(6727),
            Op::Stop { node: 52 },
            Op::Restart { node: 43 },
            Op::LinkDown { node: 39 },
            Op::LinkDown { node: 20 },
            Op::Wait(177),
        ],
    });
}

/// Delayed heartbeats looked as if the peer had given up the stream.
#[test]
fn overtaken_beats_do_not_end_stream() {
    must_hold(&Plan {
        setup: Setup {
            seed: 16_864_892_681_173_883_242,
            max_delay: 300,
            journal_bytes: 2000,
            journal_ms: 2000,
            max_payload: 200,
            ..SETUP
        },
        ops: vec![
            Op::Open { node: 1 },
            Op::Open { node: 6 },
            Op::Wait(189),
            Op::Join { client: 676, room: 2 },
            Op::Disconnect { node: 28, client: 983 },
            Op::Open { node: 17 },
        ],
    });
}

/// A broken link lost every other frame of a large message. Each loss was requested only after the
/// previous one had arrived, so the stream was given up several times.
#[test]
fn scattered_losses_are_requested_immediately() {
    must_hold(&Plan {
        setup: Setup {
            seed: 7_673_568_953_300_687_093,
            nodes: 5,
            max_delay: 300,
            max_payload: 200,
            ..SETUP
        },
        ops: vec![
            Op::LinkDown { node: 47 },
            Op::Open { node: 38 },
            Op::Open { node: 53 },
            Op::Open { node: 22 },
            Op::Open { node: 18 },
            Op::Open { node: 4 },
            Op::BrokerUp,
            Op::Close { client: 537 },
            Op::Open { node: 8 },
            Op::Wait(3303),
            Op::Send { client: 275, room: 0, size: 17_847 },
            Op::Wait(3),
            Op::LinkDown { node: 62 },
        ],
    });
}

/// A request that the broker had repeated arrived after its stream had been given up. It restarted
/// the stream under the same number, so the peer mistook the new frames for a continuation of the old
/// ones.
#[test]
fn repeated_request_does_not_restart_stream() {
    must_hold(&Plan {
        setup: Setup {
            seed: 18_082_415_410_439_377_397,
            max_delay: 300,
            repeated: 100,
            journal_bytes: 500,
            journal_ms: 2000,
            backlog_bytes: 500,
            loss: Loss::Count,
            has_order: true,
            has_info: true,
            ..SETUP
        },
        ops: vec![Op::Open { node: 3 }, Op::Wait(1779), Op::SetInfo { client: 134, by: 1 }],
    });
}

/// A slow broker had to deliver so many repeated frames that the new ones behind them arrived too
/// late.
#[test]
fn retransmitted_frames_keep_peer_alive() {
    must_hold(&Plan {
        setup: Setup {
            seed: 9_121_316_519_266_936_105,
            nodes: 5,
            max_delay: 300,
            repeated: 10,
            late_interest: 400,
            max_payload: 200,
            has_order: true,
            has_info: true,
            ..SETUP
        },
        ops: vec![
            Op::Open { node: 3 },
            Op::Open { node: 4 },
            Op::Open { node: 2 },
            Op::Open { node: 5 },
            Op::Wait(169),
            Op::Wait(4749),
            Op::Wait(1474),
            Op::Wait(5607),
            Op::Wait(307),
            Op::Open { node: 26 },
            Op::SetInfo { client: 104, by: 3 },
            Op::Wait(310),
            Op::Join { client: 404, room: 1 },
            Op::Wait(20),
            Op::Wait(209),
            Op::Join { client: 547, room: 3 },
            Op::Wait(1868),
            Op::ServerSend { node: 25, room: 3, except: 812 },
            Op::Send { client: 425, room: 0, size: 63_880 },
        ],
    });
}

/// The node knew that a member had left, but not that it had joined again and sent a message. The
/// checker wrongly expected that the loss would be visible.
#[test]
fn loss_of_second_membership_is_invisible() {
    must_hold(&Plan {
        setup: Setup {
            seed: 13_732_759_587_773_848_486,
            nodes: 2,
            max_delay: 300,
            repeated: 100,
            late_interest: 400,
            journal_ms: 100,
            backlog_bytes: 500,
            max_payload: 1000,
            has_info: true,
            ..SETUP
        },
        ops: vec![
            Op::Open { node: 6 },
            Op::Open { node: 4 },
            Op::Open { node: 6 },
            Op::Open { node: 40 },
            Op::Close { client: 278 },
            Op::Close { client: 137 },
            Op::Close { client: 801 },
            Op::Open { node: 9 },
            Op::Close { client: 638 },
            Op::Disconnect { node: 59, client: 457 },
            Op::Open { node: 0 },
            Op::Disconnect { node: 24, client: 596 },
            Op::Open { node: 20 },
            Op::Open { node: 35 },
            Op::Open { node: 25 },
            Op::Open { node: 22 },
            Op::Close { client: 240 },
            Op::Open { node: 23 },
            Op::Open { node: 21 },
            Op::Wait(6379),
            Op::Leave { client: 937, room: 0 },
            Op::Join { client: 135, room: 4 },
            Op::Close { client: 554 },
            Op::Wait(17),
            Op::Disconnect { node: 30, client: 866 },
            Op::SetInfo { client: 486, by: 1 },
            Op::Join { client: 510, room: 0 },
            Op::Send { client: 658, room: 0, size: 16 },
        ],
    });
}

/// A receiver of two messages stopped. Each new home, which had never known that node, waited a second
/// for it. Since the homes stopped one after the other, the second message waited too long.
#[test]
fn homes_do_not_wait_for_stopped_receiver() {
    must_hold(&Plan {
        setup: Setup {
            seed: 11_949_213_419_551_247_529,
            nodes: 4,
            max_delay: 10,
            repeated: 100,
            late_interest: 0,
            max_payload: 200,
            has_order: true,
            ..SETUP
        },
        ops: vec![
            Op::Open { node: 2 },
            Op::Open { node: 3 },
            Op::Join { client: 30, room: 1 },
            Op::Join { client: 953, room: 1 },
            Op::Wait(8),
            Op::Wait(17),
            Op::Wait(19),
            Op::Wait(11),
            Op::Wait(19),
            Op::Wait(15),
            Op::Stop { node: 3 },
            Op::Send { client: 846, room: 1, size: 5 },
            Op::Wait(6),
            Op::Send { client: 382, room: 1, size: 5 },
            Op::Wait(13),
            Op::Wait(600),
            Op::Restart { node: 3 },
            Op::Wait(300),
            Op::Wait(100),
            Op::Wait(12),
            Op::Stop { node: 1 },
            Op::Wait(7),
            Op::Wait(6),
            Op::Restart { node: 1 },
            Op::Open { node: 1 },
            Op::Join { client: 727, room: 1 },
            Op::Wait(10),
            Op::Wait(13),
            Op::Wait(100),
            Op::Wait(4),
            Op::Wait(7),
            Op::Wait(16),
            Op::Wait(5),
            Op::Wait(15),
            Op::Wait(19),
            Op::Wait(10),
            Op::Wait(12),
            Op::Wait(19),
            Op::Wait(11),
            Op::Stop { node: 0 },
            Op::Wait(100),
            Op::Restart { node: 0 },
            Op::Wait(16),
            Op::Wait(12),
            Op::Wait(19),
            Op::Wait(7),
            Op::Wait(17),
            Op::Wait(300),
            Op::Wait(6),
            Op::Wait(14),
            Op::Wait(17),
            Op::Wait(100),
            Op::Stop { node: 3 },
            Op::Send { client: 455, room: 1, size: 5 },
            Op::Wait(16),
            Op::Restart { node: 3 },
            Op::Wait(300),
            Op::Wait(300),
            Op::Wait(300),
            Op::Wait(300),
            Op::Stop { node: 0 },
        ],
    });
}
