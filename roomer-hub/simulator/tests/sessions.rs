//! Runs the session plans for a few seeds. `sim --sessions` runs many.
//!
//! `SIM_SEEDS=100000 cargo test --release -p roomer-simulator sessions::` runs more seeds.
//! `UPDATE_HASHES=1` accepts new hashes: use it only if the change to the server's output was
//! intended.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use roomer_simulator::runner;
use roomer_simulator::sessions::SessionPlans;
use roomer_simulator::sessions::plan::{
    AppAction, Break, ClientAction, ClientPacket, Ending, Plan, ResumeKind, Setup, Step,
};
use roomer_simulator::simulation::Simulation;

const ALL: u32 = u32::MAX;

/// Also checks that the result is the same on two threads.
#[test]
fn seeds_pass_and_are_reproducible() {
    let seeds = std::env::var("SIM_SEEDS").ok();
    let count = seeds.map_or(150, |seeds| seeds.parse().unwrap());
    let once = runner::run_seeds::<SessionPlans>(0, count, 1, &|_, _| {});
    if let Some((seed, fault)) = once.examples.first() {
        panic!("seed {seed}: {fault}\n{}", SessionPlans::explain(*seed));
    }
    let again = runner::run_seeds::<SessionPlans>(0, count, 2, &|_, _| {});
    assert_eq!(again, once, "the same seeds once more, on two threads");
}

#[test]
fn hashes_match_committed_hashes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("session_hashes.txt");
    let mut hashes = String::from("# Seed, steps, and a hash of every byte that was received.\n");
    for seed in (0..40).chain((0..8).map(|power| 10_u64.pow(power * 2) + 77)) {
        let outcome = SessionPlans::run(seed);
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
    window: 30_000,
    buffer: 262_144,
    max_detached: 200,
    max_connections: 200,
    memory_slack: None,
    max_backlog: 1 << 20,
    pong: 60_000,
    write: 10_000,
    handler_wait: 1,
    auth_wait: None,
    valid_for: 0,
    ack_every: 0,
    drain: (4000, 1000),
    ending: Ending::Close,
    announces_away: false,
};

fn connect(slot: u8) -> [Step; 2] {
    let client = Step::Connect { slot, extended: true, user: 0 };
    [client, Step::Client(slot, ClientAction::Deliver(ALL))]
}

fn reconnect(slot: u8, resume_kind: ResumeKind) -> [Step; 2] {
    [Step::Resume { slot, resume_kind }, Step::Client(slot, ClientAction::Deliver(ALL))]
}

/// Seed 7962: a handler that completed on a new socket confirmed the token that was sent on this
/// socket. If the client had not received the `hello` with the token, it could not resume its
/// session.
#[test]
fn finished_handler_does_not_confirm_token() {
    let mut steps = Vec::from(connect(0));
    steps.push(Step::RunUntilIdle);
    steps.extend([
        Step::Client(0, ClientAction::Send(ClientPacket::Call(4))),
        Step::Client(0, ClientAction::Deliver(ALL)),
    ]);
    steps.push(Step::PollWoken { nth: 0 });
    // The `hello` on the second socket is lost with the socket.
    steps.extend(reconnect(0, ResumeKind::Honest));
    steps.extend([Step::Client(0, ClientAction::Read(false)), Step::RunFor { millis: 10 }]);
    steps.push(Step::Client(0, ClientAction::Break(Break::Reset)));
    steps.extend(reconnect(0, ResumeKind::Honest));
    steps.push(Step::RunUntilIdle);
    roomer_simulator::sessions::must_hold(&Plan { setup: SETUP, steps });
}

/// A client that waits too long for its session gets a new one. By then the old session has no
/// socket.
#[test]
fn session_of_overdue_client_is_away() {
    let mut steps: Vec<Step> = (0..2).flat_map(connect).collect();
    for slot in 0..2 {
        steps.extend([
            Step::Client(slot, ClientAction::Send(ClientPacket::Join(1))),
            Step::Client(slot, ClientAction::Deliver(ALL)),
        ]);
    }
    steps.push(Step::RunUntilIdle);
    steps.extend(reconnect(0, ResumeKind::Honest));
    // The client requests its session, but the task that has the session is not polled for 6 s.
    steps.extend([Step::PollWoken { nth: 0 }, Step::Clock { millis: 6000 }]);
    steps.extend([Step::Client(0, ClientAction::Poll), Step::RunUntilIdle]);
    let setup = Setup { announces_away: true, ..SETUP };
    roomer_simulator::sessions::must_hold(&Plan { setup, steps });
}

/// Seed 2878: the rest of a flush was lost when a reconnection ended its session. In a room of more
/// than eight, the members were then not notified that the client had left.
#[test]
fn session_ended_by_resume_leaves_large_room_immediately() {
    let mut steps: Vec<Step> = (0..2).flat_map(|_| (0..6).flat_map(connect)).collect();
    steps.push(Step::RunUntilIdle);
    steps.extend(reconnect(3, ResumeKind::Ahead));
    steps.push(Step::RunUntilIdle);
    roomer_simulator::sessions::must_hold(&Plan { setup: SETUP, steps });
}

/// Seed 233: when a network was lost, the first sign was a message that stalled. The session ended
/// as if the client had been too slow.
#[test]
fn stalled_message_does_not_end_session() {
    let mut steps = Vec::from(connect(0));
    steps.push(Step::RunUntilIdle);
    steps.push(Step::Client(0, ClientAction::Send(ClientPacket::ToRoom { room: 0, len: 600 })));
    steps.extend([Step::Client(0, ClientAction::Deliver(100)), Step::RunFor { millis: 35_000 }]);
    steps.extend(reconnect(0, ResumeKind::Honest));
    steps.push(Step::RunUntilIdle);
    roomer_simulator::sessions::must_hold(&Plan { setup: SETUP, steps });
}

/// Seed 1017557: on a full server, a reconnection that a later one has superseded must not keep the
/// session.
#[test]
fn superseded_resume_releases_session() {
    let mut steps = Vec::from(connect(0));
    steps.push(Step::RunUntilIdle);
    steps.extend(reconnect(0, ResumeKind::Honest));
    steps.extend(reconnect(0, ResumeKind::Honest));
    steps.push(Step::Client(0, ClientAction::Break(Break::Fin)));
    steps.extend([0, 2, 0, 1].map(|nth| Step::PollWoken { nth }));
    let setup = Setup { max_detached: 0, pong: 2000, ..SETUP };
    roomer_simulator::sessions::must_hold(&Plan { setup, steps });
}

/// Seeds 1053089 and 1106304: a message from a client stalls, but the client's full socket still
/// accepts bytes, when its session is closed or shortly before. The client has not lost its
/// network.
#[test]
fn progress_on_full_socket_keeps_connection_alive() {
    for at_once in [false, true] {
        let mut steps = Vec::from(connect(0));
        steps.push(Step::RunUntilIdle);
        steps.push(Step::Client(0, ClientAction::Send(ClientPacket::ToRoom { room: 0, len: 600 })));
        steps.extend([Step::Client(0, ClientAction::Deliver(100)), Step::RunUntilIdle]);
        steps.push(Step::Client(0, ClientAction::Limit { read: 100, write: 1 }));
        match at_once {
            false => steps.push(Step::RunFor { millis: 40_000 }),
            true => {
                steps.push(Step::Clock { millis: 30_000 });
                steps.push(Step::Client(0, ClientAction::App(AppAction::Leave(1))));
            }
        }
        steps.push(Step::RunUntilIdle);
        roomer_simulator::sessions::must_hold(&Plan { setup: SETUP, steps });
    }
}

/// Seed 403893: a reconnection that a full server has rejected does not wait for its session, even
/// if its socket accepts no bytes of the response.
#[test]
fn rejected_resume_does_not_wait_for_session() {
    let mut steps: Vec<Step> = (0..2).flat_map(connect).collect();
    steps.push(Step::RunFor { millis: 1 });
    // The first reconnection replaces the old socket, which still exists when the server decides
    // about the second.
    steps.extend(reconnect(0, ResumeKind::Honest));
    steps.extend(reconnect(0, ResumeKind::Honest));
    steps.push(Step::Client(0, ClientAction::Space(0)));
    steps.push(Step::RunFor { millis: 70_000 });
    let setup = Setup { max_connections: 2, auth_wait: Some(1), ..SETUP };
    roomer_simulator::sessions::must_hold(&Plan { setup, steps });
}

/// Seed 1433: the application closes a session after its task has handed it over, and before the new
/// socket's task has taken it. The client then received no close frame, and got a new session.
#[test]
fn session_closed_during_handover_is_closed_at_return() {
    let mut steps = Vec::from(connect(0));
    steps.push(Step::RunUntilIdle);
    steps.extend(reconnect(0, ResumeKind::Rewound(3)));
    steps.extend([Step::PollWoken { nth: 0 }, Step::PollWoken { nth: 0 }]);
    steps.push(Step::Client(0, ClientAction::App(AppAction::Close)));
    roomer_simulator::sessions::must_hold(&Plan { setup: SETUP, steps });
}

/// A client that loses its socket before it receives the application's close receives it at a later
/// return, even if the server is full.
#[test]
fn unanswered_close_is_repeated() {
    for max_connections in [1, 200] {
        let mut steps = Vec::from(connect(0));
        steps.extend([Step::RunUntilIdle, Step::Client(0, ClientAction::Break(Break::Reset))]);
        steps.extend([Step::RunUntilIdle, Step::Client(0, ClientAction::App(AppAction::Close))]);
        steps.extend(connect(1));
        steps.push(Step::RunUntilIdle);
        for _ in 0..3 {
            steps.push(Step::Resume { slot: 0, resume_kind: ResumeKind::Honest });
            steps.extend(
                [ClientAction::Read(false), ClientAction::Deliver(ALL)]
                    .map(|action| Step::Client(0, action)),
            );
            steps.extend([Step::RunUntilIdle, Step::Client(0, ClientAction::Break(Break::Reset))]);
            steps.push(Step::RunUntilIdle);
        }
        for _ in 0..2 {
            steps.extend(reconnect(0, ResumeKind::Honest));
            steps.push(Step::RunUntilIdle);
        }
        let setup = Setup { max_connections, ..SETUP };
        roomer_simulator::sessions::must_hold(&Plan { setup, steps });
    }
}

/// Seed 30039175: the first packet after a resume calls a handler, which closes the session. The
/// packet has confirmed the newest token, so a client that returns with an older one gets a new
/// session.
#[test]
fn packet_that_leads_to_close_confirms_token() {
    let [bye, slow_bye] = [3, 6];
    for handler in [bye, slow_bye] {
        let mut steps = Vec::from(connect(0));
        steps.push(Step::RunUntilIdle);
        steps.extend(reconnect(0, ResumeKind::Honest));
        steps.push(Step::RunUntilIdle);
        steps.push(Step::Client(0, ClientAction::Send(ClientPacket::Call(handler))));
        steps.extend([Step::Client(0, ClientAction::Deliver(ALL)), Step::RunUntilIdle]);
        steps.extend(reconnect(0, ResumeKind::UsedToken));
        let setup = Setup { handler_wait: 0, ..SETUP };
        roomer_simulator::sessions::must_hold(&Plan { setup, steps });
    }
}

/// Seed 6989: while a reconnection waits, its session ends. It must then not count as a connection
/// in addition to its old socket, which is still closing.
#[test]
fn failed_resume_counts_towards_connection_limit() {
    let mut steps: Vec<Step> = (0..2).flat_map(connect).collect();
    steps.push(Step::RunUntilIdle);
    steps.extend(reconnect(0, ResumeKind::Honest));
    steps.push(Step::PollWoken { nth: 0 });
    steps.push(Step::Client(0, ClientAction::App(AppAction::Close)));
    steps.push(Step::RunUntilIdle);
    let setup = Setup { max_connections: 2, ..SETUP };
    roomer_simulator::sessions::must_hold(&Plan { setup, steps });
}

/// Seed 504315: acknowledged frames at the start of a copied buffer count as held until the rest of
/// the buffer is acknowledged. With a budget without slack, fewer unacknowledged bytes therefore
/// exceed the budget.
#[test]
fn acknowledged_frames_in_used_buffer_count_as_held() {
    let users = [0, 1, 0, 1, 1, 0];
    let clients = (0..).zip(users).flat_map(|(slot, user)| {
        let client = Step::Connect { slot, extended: true, user };
        [client, Step::Client(slot, ClientAction::Deliver(ALL))]
    });
    let mut steps: Vec<Step> = clients.collect();
    steps.push(Step::RunUntilIdle);
    let to_room = |slot, room, len| {
        Step::Client(slot, ClientAction::Send(ClientPacket::ToRoom { room, len }))
    };
    steps.extend([
        Step::Client(4, ClientAction::Send(ClientPacket::Join(1))),
        Step::Client(0, ClientAction::Send(ClientPacket::Call(0))),
        Step::Client(1, ClientAction::Break(Break::Fin)),
        to_room(5, 1, 100),
        Step::Resume { slot: 1, resume_kind: ResumeKind::Foreign },
        Step::Client(1, ClientAction::Deliver(ALL)),
        to_room(5, 2, 3000),
        to_room(0, 0, 100),
        Step::Client(3, ClientAction::Send(ClientPacket::ToPeer { slot: 3, len: 20 })),
    ]);
    let setup = Setup {
        window: 1000,
        memory_slack: Some(0),
        max_backlog: 1000,
        pong: 20_000,
        valid_for: 40_000,
        ..SETUP
    };
    roomer_simulator::sessions::must_hold(&Plan { setup, steps });
}

/// Seed 974413: the notices about the first connections that a shutdown closes may exceed the
/// memory budget, which closes later sessions before their turn.
#[test]
fn shutdown_reaches_sessions_over_memory_budget() {
    let client = |slot, extended, user| Step::Connect { slot, extended, user };
    let steps = vec![
        client(0, false, 1),
        Step::Client(0, ClientAction::Deliver(ALL)),
        client(1, true, 1),
        client(2, true, 0),
        client(3, true, 1),
        Step::Client(3, ClientAction::Deliver(ALL)),
        client(4, true, 0),
        client(5, true, 0),
        Step::Client(5, ClientAction::Deliver(ALL)),
        Step::Resume { slot: 3, resume_kind: ResumeKind::Garbage },
        Step::Resume { slot: 5, resume_kind: ResumeKind::NoCount },
    ];
    let setup = Setup {
        buffer: 4000,
        memory_slack: Some(500),
        max_backlog: 1000,
        pong: 20_000,
        write: 1000,
        handler_wait: 800,
        valid_for: 40_000,
        drain: (500, 1000),
        ending: Ending::Shutdown,
        ..SETUP
    };
    roomer_simulator::sessions::must_hold(&Plan { setup, steps });
}

/// Seed 1468172: with a silent socket, the server discards an acknowledgement that follows a packet
/// whose handler completes at the same time. It then keeps packets that the client has
/// acknowledged.
#[test]
fn acknowledgement_behind_slow_handler_may_be_lost_with_socket() {
    let mut steps: Vec<Step> = Vec::new();
    for (slot, user) in [(0, 0), (1, 1), (2, 0)] {
        steps.push(Step::Connect { slot, extended: true, user });
        steps.push(Step::Client(slot, ClientAction::Deliver(ALL)));
    }
    steps.extend([Step::PollWoken { nth: 2 }, Step::PollWoken { nth: 2 }]);
    steps.push(Step::Client(1, ClientAction::Send(ClientPacket::Call(6))));
    steps.extend([Step::PollWoken { nth: 1 }, Step::PollWoken { nth: 1 }]);
    steps.push(Step::Client(2, ClientAction::Send(ClientPacket::ToRoom { room: 2, len: 3000 })));
    steps.push(Step::Client(2, ClientAction::Deliver(ALL)));
    steps.push(Step::Client(2, ClientAction::Send(ClientPacket::Call(5))));
    steps.push(Step::Client(0, ClientAction::Send(ClientPacket::ToRoom { room: 0, len: 100 })));
    let setup = Setup {
        buffer: 400,
        pong: 2000,
        write: 1000,
        handler_wait: 7000,
        valid_for: 40_000,
        ack_every: 1,
        drain: (4000, 10),
        ..SETUP
    };
    roomer_simulator::sessions::must_hold(&Plan { setup, steps });
}
