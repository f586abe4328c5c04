//! Plans in which one poll handles several events of a session.
//!
//! Events may also be handled in the wrong order because the server was delayed.

use roomer_simulator::sessions::must_hold;
use roomer_simulator::sessions::plan::AppAction::ToRoom as AppToRoom;
use roomer_simulator::sessions::plan::ClientAction::{App, Break, Deliver, Send};
use roomer_simulator::sessions::plan::ClientPacket::{Call, ToRoom};
use roomer_simulator::sessions::plan::Ending::{Drain, Expire, Shutdown};
use roomer_simulator::sessions::plan::ResumeKind::{Ahead, Honest, OtherUser, Rewound};
use roomer_simulator::sessions::plan::{Break as Failure, Plan, Setup, Step};

const ALL: u32 = u32::MAX;

/// The configuration for the plans below.
const SETUP: Setup = Setup {
    window: 30_000,
    buffer: 262_144,
    max_detached: 200,
    max_connections: 200,
    memory_slack: None,
    max_backlog: 1 << 20,
    pong: 2000,
    write: 10_000,
    handler_wait: 1,
    auth_wait: None,
    valid_for: 0,
    ack_every: 16,
    drain: (4000, 1000),
    ending: Drain,
    announces_away: false,
};

/// Seed 40324462: two requests for a session arrive in the wrong order, and the server stops for
/// longer than the earlier one may wait. That request then gets a new session, and must not take the
/// session from the socket of the later one.
#[test]
fn request_that_no_longer_waits_does_not_take_session() {
    let steps = vec![
        Step::Connect { slot: 2, extended: true, user: 1 },
        Step::Client(2, Deliver(ALL)),
        Step::PollWoken { nth: 3 },
        Step::PollWoken { nth: 1 },
        Step::Client(2, Send(ToRoom { room: 2, len: 100 })),
        Step::Connect { slot: 2, extended: true, user: 1 },
        Step::Client(2, Deliver(ALL)),
        Step::DeliverOld,
        Step::PollWoken { nth: 3 },
        Step::PollWoken { nth: 3 },
        Step::PollWoken { nth: 2 },
        Step::PollWoken { nth: 2 },
        Step::Resume { slot: 2, resume_kind: Honest },
        Step::Client(2, Deliver(ALL)),
        Step::Resume { slot: 2, resume_kind: Honest },
        Step::Client(2, Deliver(ALL)),
        Step::PollWoken { nth: 1 },
        Step::PollWoken { nth: 3 },
        Step::PollWoken { nth: 0 },
        Step::Clock { millis: 26000 },
        Step::PollWoken { nth: 3 },
        Step::PollWoken { nth: 2 },
    ];
    let setup = Setup { max_detached: 0, pong: 60_000, handler_wait: 800, ending: Expire, ..SETUP };
    must_hold(&Plan { setup, steps });
}

/// Seed 40451922: the same if the requests arrive in the right order, and the later one has waited
/// too long.
#[test]
fn session_stays_on_older_socket_if_newer_one_has_given_up() {
    let steps = vec![
        Step::Connect { slot: 1, extended: false, user: 1 },
        Step::Connect { slot: 4, extended: true, user: 0 },
        Step::Client(4, Deliver(ALL)),
        Step::RunFor { millis: 26000 },
        Step::Client(4, Break(Failure::Fin)),
        Step::PollWoken { nth: 2 },
        Step::Client(1, Deliver(ALL)),
        Step::Resume { slot: 4, resume_kind: Honest },
        Step::Client(4, Deliver(ALL)),
        Step::Resume { slot: 4, resume_kind: Rewound(4) },
        Step::PollWoken { nth: 0 },
        Step::PollWoken { nth: 0 },
        Step::Client(4, Deliver(ALL)),
        Step::PollWoken { nth: 1 },
        Step::PollWoken { nth: 1 },
        Step::PollWoken { nth: 0 },
        Step::Clock { millis: 30000 },
        Step::PollWoken { nth: 2 },
        Step::PollWoken { nth: 2 },
    ];
    let setup = Setup {
        buffer: 4000,
        pong: 60_000,
        write: 1000,
        handler_wait: 800,
        drain: (500, 10),
        ending: Shutdown,
        ..SETUP
    };
    must_hold(&Plan { setup, steps });
}

/// Seed 40523579: a socket fails while a handler is pending. In the poll in which the server notices
/// this, it discards the acknowledgement behind the handler's packet, and then the handler completes and
/// sends more than the session can keep without that acknowledgement.
#[test]
fn handler_may_overflow_session_whose_socket_is_lost() {
    let steps = vec![
        Step::Connect { slot: 0, extended: true, user: 0 },
        Step::Client(0, Deliver(ALL)),
        Step::Connect { slot: 1, extended: true, user: 1 },
        Step::Connect { slot: 2, extended: true, user: 0 },
        Step::Client(2, Deliver(ALL)),
        Step::Connect { slot: 3, extended: true, user: 0 },
        Step::RunUntilIdle,
        Step::Client(0, Send(Call(4))),
        Step::Client(2, Send(Call(4))),
    ];
    let setup = Setup {
        window: 1000,
        buffer: 400,
        handler_wait: 7000,
        ack_every: 3,
        drain: (4000, 1),
        ending: Expire,
        ..SETUP
    };
    must_hold(&Plan { setup, steps });
}

/// Seed 40307661: a slow handler closes a session in the poll in which the server reads the first
/// packet since a resume. The close precedes that packet, so older tokens are still valid.
#[test]
fn slow_handler_closes_session_before_next_packet_confirms_token() {
    let steps = vec![
        Step::Connect { slot: 0, extended: true, user: 0 },
        Step::Client(0, Deliver(ALL)),
        Step::RunUntilIdle,
        Step::Client(0, Send(Call(6))),
        Step::Client(0, Deliver(ALL)),
        Step::Resume { slot: 0, resume_kind: Honest },
        Step::Resume { slot: 0, resume_kind: Honest },
        Step::Client(0, Deliver(ALL)),
        Step::PollWoken { nth: 1 },
        Step::PollWoken { nth: 2 },
        Step::PollWoken { nth: 2 },
        Step::PollWoken { nth: 1 },
        Step::PollWoken { nth: 3 },
        Step::Clock { millis: 5000 },
        Step::Client(0, Send(Call(5))),
        Step::Client(0, Deliver(ALL)),
        Step::DeliverOld,
    ];
    let setup = Setup { write: 1000, drain: (500, 10), ..SETUP };
    must_hold(&Plan { setup, steps });
}

/// Seed 40938074: a client with another user's token is refused, and the first packets of its new
/// session exceed the memory budget, which closes the session of that token in the same poll.
#[test]
fn refused_session_may_be_closed_by_refused_client() {
    let steps = vec![
        Step::Connect { slot: 0, extended: true, user: 0 },
        Step::Client(0, Deliver(ALL)),
        Step::Connect { slot: 1, extended: true, user: 0 },
        Step::Connect { slot: 2, extended: false, user: 0 },
        Step::Client(2, Deliver(ALL)),
        Step::Connect { slot: 3, extended: true, user: 1 },
        Step::Client(3, Deliver(ALL)),
        Step::Connect { slot: 4, extended: true, user: 1 },
        Step::Client(4, Deliver(ALL)),
        Step::Connect { slot: 5, extended: true, user: 0 },
        Step::Client(5, Deliver(ALL)),
        Step::RunFor { millis: 1100 },
        Step::Client(1, Deliver(ALL)),
        Step::Client(3, App(AppToRoom { room: 0, len: 1000 })),
        Step::Resume { slot: 2, resume_kind: Honest },
        Step::Client(2, Deliver(ALL)),
        Step::Resume { slot: 2, resume_kind: Ahead },
        Step::Client(2, Deliver(ALL)),
        Step::RunUntilIdle,
        Step::Resume { slot: 4, resume_kind: OtherUser },
        Step::Client(2, Send(ToRoom { room: 0, len: 3000 })),
    ];
    let setup = Setup {
        memory_slack: Some(0),
        max_backlog: 1000,
        pong: 20_000,
        drain: (500, 1000),
        ..SETUP
    };
    must_hold(&Plan { setup, steps });
}
