//! Plans in which a session's deadline passes while frames wait.
//!
//! The frames are acknowledgements for a full socket, frames before a close or the end of a stream,
//! and messages that arrive in small parts.

use roomer_simulator::sessions::must_hold;
use roomer_simulator::sessions::plan::AckKind::{Back, Flood};
use roomer_simulator::sessions::plan::ClientAction::{
    Ack, Break, Close, Deliver, Limit, Send, Space, Violate,
};
use roomer_simulator::sessions::plan::ClientPacket::{Call, Leave, ToRoom};
use roomer_simulator::sessions::plan::Ending::{self, Drain, Expire, Shutdown};
use roomer_simulator::sessions::plan::ResumeKind::{Foreign, Honest, OtherUser};
use roomer_simulator::sessions::plan::{Break as Failure, Plan, Setup, Step};

const ALL: u32 = u32::MAX;

/// The configuration for the plans below.
const SETUP: Setup = Setup {
    window: 30_000,
    buffer: 1500,
    max_detached: 200,
    max_connections: 200,
    memory_slack: None,
    max_backlog: 1 << 20,
    pong: 60_000,
    write: 10_000,
    handler_wait: 7000,
    auth_wait: None,
    valid_for: 0,
    ack_every: 1,
    drain: (4000, 1),
    ending: Expire,
    announces_away: false,
};

/// Seed 60045800: the acknowledgement of a client's packet becomes due while the client's socket is
/// above its high-water mark. The server must not regard the packet as acknowledged without sending
/// the acknowledgement.
#[test]
fn due_acknowledgement_is_sent_above_high_water_mark() {
    let steps = vec![
        Step::Connect { slot: 1, extended: true, user: 0 },
        Step::Client(1, Deliver(ALL)),
        Step::Connect { slot: 3, extended: false, user: 0 },
        Step::Client(3, Deliver(ALL)),
        Step::RunUntilIdle,
        Step::Client(1, Send(ToRoom { room: 0, len: 100 })),
        Step::Client(1, Deliver(ALL)),
        Step::RunUntilIdle,
        Step::Client(3, Send(ToRoom { room: 0, len: 3000 })),
        Step::Client(3, Deliver(ALL)),
        Step::Client(3, Break(Failure::Fin)),
        Step::Clock { millis: 26000 },
        Step::Client(1, Space(200)),
    ];
    let setup = Setup {
        window: 5000,
        buffer: 262_144,
        max_detached: 0,
        max_backlog: 1000,
        write: 1000,
        handler_wait: 0,
        drain: (4000, 10),
        ending: Shutdown,
        announces_away: true,
        ..SETUP
    };
    must_hold(&Plan { setup, steps });
}

/// Seed 60123433: a client that acknowledges nothing new too often closes behind a pending handler.
/// After `close_timeout`, the server skips those acknowledgements and handles the close.
#[test]
fn late_close_skips_repeated_acknowledgements() {
    let steps = vec![
        Step::Connect { slot: 2, extended: true, user: 1 },
        Step::Client(2, Deliver(ALL)),
        Step::RunUntilIdle,
        Step::Client(2, Send(Call(5))),
        Step::Client(2, Ack(Flood(80))),
        Step::Client(2, Deliver(ALL)),
        Step::Client(2, Close(1001)),
        Step::Client(2, Deliver(24)),
    ];
    let setup =
        Setup { window: 0, buffer: 400, pong: 2000, auth_wait: Some(0), ack_every: 0, ..SETUP };
    must_hold(&Plan { setup, steps });
}

/// Seed 60286960: the same for an acknowledgement that is lower than the one before it.
#[test]
fn late_close_skips_lower_acknowledgement() {
    let steps = vec![
        Step::Connect { slot: 1, extended: true, user: 1 },
        Step::Client(1, Deliver(ALL)),
        Step::RunUntilIdle,
        Step::Client(1, Send(Call(5))),
        Step::Client(1, Send(Call(5))),
        Step::Client(1, Ack(Back)),
    ];
    let setup = Setup {
        max_connections: 3,
        pong: 20_000,
        valid_for: 40_000,
        drain: (4000, 10),
        ending: Ending::Close,
        ..SETUP
    };
    must_hold(&Plan { setup, steps });
}

/// Seed 60156633: a client closes behind a pending handler and then accepts no more bytes. Its session
/// is not kept, so the server closes it with 1013.
#[test]
fn stuck_socket_of_client_that_has_closed_is_closed() {
    let steps = vec![
        Step::Connect { slot: 1, extended: true, user: 1 },
        Step::Client(1, Deliver(ALL)),
        Step::PollWoken { nth: 3 },
        Step::PollWoken { nth: 3 },
        Step::Client(1, Send(Call(4))),
        Step::Client(1, Close(1000)),
        Step::Client(1, Deliver(ALL)),
        Step::Client(1, Space(10)),
        Step::Resume { slot: 1, resume_kind: OtherUser },
    ];
    let setup =
        Setup { buffer: 400, write: 1000, valid_for: 40_000, ack_every: 0, ending: Drain, ..SETUP };
    must_hold(&Plan { setup, steps });
}

/// Seed 60310098: the stream ends behind a pending handler, a packet and a violation. When the handler
/// completes long after that, the packet is too late, but the violation still ends the session.
#[test]
fn late_packet_before_violation_is_skipped() {
    let steps = vec![
        Step::Resume { slot: 1, resume_kind: Honest },
        Step::Client(1, Deliver(ALL)),
        Step::RunUntilIdle,
        Step::Client(1, Send(Call(4))),
        Step::Client(1, Send(ToRoom { room: 1, len: 100 })),
        Step::Client(1, Violate),
        Step::Client(1, Deliver(ALL)),
        Step::RunFor { millis: 5000 },
        Step::Client(1, Break(Failure::Reset)),
        Step::PollWoken { nth: 0 },
        Step::Clock { millis: 26000 },
    ];
    let setup = Setup {
        window: 0,
        write: 1000,
        valid_for: 40_000,
        ack_every: 3,
        ending: Ending::Close,
        ..SETUP
    };
    must_hold(&Plan { setup, steps });
}

/// Seed 60318524: a message takes longer than `message_timeout` to arrive. The server reads some of
/// it, closes the session, and reads the rest in the same poll.
#[test]
fn message_whose_end_is_read_while_closing_was_too_slow() {
    let steps = vec![
        Step::Connect { slot: 5, extended: true, user: 0 },
        Step::Client(5, Deliver(ALL)),
        Step::Resume { slot: 3, resume_kind: Foreign },
        Step::Client(3, Deliver(ALL)),
        Step::RunFor { millis: 1 },
        Step::Client(5, Limit { read: 7, write: 1 }),
        Step::Client(5, Send(Leave(2))),
        Step::Client(5, Deliver(ALL)),
        Step::PollWoken { nth: 2 },
        Step::PollWoken { nth: 2 },
        Step::PollWoken { nth: 3 },
        Step::Clock { millis: 26000 },
        Step::Clock { millis: 5000 },
    ];
    let setup = Setup {
        window: 5000,
        buffer: 262_144,
        max_backlog: 1000,
        handler_wait: 50,
        auth_wait: Some(1),
        drain: (500, 1),
        ending: Drain,
        ..SETUP
    };
    must_hold(&Plan { setup, steps });
}
