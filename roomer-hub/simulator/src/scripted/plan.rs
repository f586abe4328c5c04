//! A plan as data: the actions of the application, of the server and of the network.

use std::time::Duration;

use crate::random::Source;
use crate::scripted::answers::{CLOSES, RESPONSES};
use crate::scripted::hostile::{FRAMES, PAYLOADS};

/// The rooms that the application uses.
pub const ROOMS: [&str; 3] = ["lobby", "other", "root"];

/// The maximum number of steps in a plan.
const MAX_STEPS: u32 = 100;

/// The protocol that the server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The plain protocol.
    Plain,
    /// The extended protocol.
    Extended,
    /// The extended protocol. In addition, the plan contains arbitrary packets and frames.
    Hostile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    // Steps of the application.
    Join(usize),
    /// Joins a room, and requests this many of its latest messages.
    JoinWithHistory(usize, u32),
    Leave(usize),
    Send(usize),
    /// Sends a message to another client.
    SendTo(usize),
    /// Sends a request to the server or, if `direct`, to another client. `limit` is the time limit
    /// in milliseconds.
    Request {
        room: usize,
        is_direct: bool,
        limit: u64,
    },
    Cancel,
    /// Answers the oldest pending request to this client.
    Reply,
    Fail,
    Renew,
    SetInfo,
    Wake,
    Close,
    // Steps of the server.
    /// Handles at most this many of the client's packets.
    Handle(usize),
    /// Makes the server reject joins to a room from now on, or accept them again.
    Reject(usize, bool),
    /// Removes the client from a room.
    Kick(usize),
    /// Puts the client into a room.
    Move(usize),
    /// Makes another client join a room or, if it is a member, leave it.
    ToggleMember(usize, usize),
    /// Makes another client send a message to a room.
    PeerMessage(usize),
    /// Sends an acknowledgement, which may request an acknowledgement from the client.
    Ack,
    Ping,
    /// Closes the connection with one of [`CLOSES`].
    CloseWith(usize),
    /// Ends the stream without a close frame.
    End,
    /// Drops the session and closes the connection, as in a restart.
    Restart,
    /// From now on, answers handshakes with one of [`RESPONSES`].
    Respond(usize),
    /// Sends a packet with arbitrary fields. Each is given by its index in the field's alphabet in
    /// `hostile`.
    Packet([usize; 5]),
    /// Sends one of the invalid or unusual frames in `hostile`.
    Frame(usize),
    // Steps of the network.
    /// Makes connection attempts succeed or fail from now on.
    Reachable(bool),
    /// Makes the network stop accepting the client's bytes, or accept them again.
    Stall(bool),
    Advance(Duration),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The seed that determines how the network splits the byte streams, and the client's delays
    /// between connection attempts.
    pub seed: u64,
    pub server: Server,
    /// True if the client requests the extended protocol.
    pub is_extended: bool,
    pub retries: Option<u32>,
    pub steps: Vec<Step>,
}

/// Generates a plan from a source of randomness.
pub fn generate(random: &mut impl Source) -> Plan {
    let seed = random.below(1 << 16).into();
    let server = random.pick(&[Server::Plain, Server::Extended, Server::Hostile]);
    let is_extended = server == Server::Extended || !random.one_in(4);
    let retries = random.one_in(8).then_some(3);
    // Each plan has different weights for the kinds of steps, so some kinds are rare or missing.
    let weights: Vec<u32> = KINDS.iter().map(|kind| kind.weight * random.below(6)).collect();
    let mut steps = Vec::new();
    for _ in 0..10 + random.below(MAX_STEPS - 10) {
        if random.is_exhausted() {
            break;
        }
        let mut at = random.below(1 + weights.iter().sum::<u32>());
        let chosen = weights.iter().position(|weight| {
            let is_chosen = at < *weight;
            at = at.saturating_sub(*weight);
            is_chosen
        });
        let kind = chosen.and_then(|chosen| KINDS.get(chosen));
        let step =
            kind.map_or(Step::Advance(Duration::from_millis(100)), |kind| step(kind.of, random));
        let is_hostile = matches!(step, Step::Packet(_) | Step::Frame(_));
        if !is_hostile || server == Server::Hostile {
            steps.push(step);
        }
    }
    Plan { seed, server, is_extended, retries, steps }
}

struct Kind {
    weight: u32,
    of: StepKind,
}

#[derive(Clone, Copy)]
enum StepKind {
    Send,
    Rooms,
    Requests,
    Account,
    Handle,
    Rules,
    Others,
    Connection,
    Respond,
    Hostile,
    Reachable,
    Short,
    Long,
}

const KINDS: &[Kind] = &[
    Kind { weight: 8, of: StepKind::Send },
    Kind { weight: 8, of: StepKind::Rooms },
    Kind { weight: 4, of: StepKind::Requests },
    Kind { weight: 1, of: StepKind::Account },
    Kind { weight: 12, of: StepKind::Handle },
    Kind { weight: 5, of: StepKind::Rules },
    Kind { weight: 5, of: StepKind::Others },
    Kind { weight: 2, of: StepKind::Connection },
    Kind { weight: 1, of: StepKind::Respond },
    Kind { weight: 12, of: StepKind::Hostile },
    Kind { weight: 2, of: StepKind::Reachable },
    Kind { weight: 8, of: StepKind::Short },
    Kind { weight: 1, of: StepKind::Long },
];

fn step(kind: StepKind, random: &mut impl Source) -> Step {
    let room = random.below(ROOMS.len() as u32) as usize;
    match kind {
        StepKind::Send if random.one_in(4) => Step::SendTo(room),
        StepKind::Send => Step::Send(room),
        StepKind::Rooms => match random.below(5) {
            0 | 1 => Step::Leave(room),
            2 => Step::JoinWithHistory(room, random.below(4)),
            _ => Step::Join(room),
        },
        StepKind::Requests => match random.below(6) {
            0 => Step::Cancel,
            1 => Step::Reply,
            2 => Step::Fail,
            _ => {
                let limit = random.pick(&[0, 50, 5_000, 600_000]);
                Step::Request { room, is_direct: random.one_in(2), limit }
            }
        },
        // Close the client in only a few plans, because nothing else can happen afterwards.
        StepKind::Account if random.one_in(24) => Step::Close,
        StepKind::Account => random.pick(&[Step::Renew, Step::SetInfo, Step::Wake]),
        StepKind::Handle => Step::Handle(1 + random.below(6) as usize),
        StepKind::Rules => match random.below(4) {
            0 => Step::Reject(room, random.one_in(2)),
            1 => Step::Move(room),
            _ => Step::Kick(room),
        },
        StepKind::Others => match random.below(4) {
            0 => Step::ToggleMember(room, random.below(3) as usize),
            1 => random.pick(&[Step::Ack, Step::Ping]),
            _ => Step::PeerMessage(room),
        },
        StepKind::Connection => match random.below(4) {
            0 => Step::Restart,
            1 | 2 => Step::End,
            _ => Step::CloseWith(random.below(CLOSES.len() as u32) as usize),
        },
        StepKind::Respond => Step::Respond(random.below(RESPONSES.len() as u32) as usize),
        StepKind::Hostile if random.one_in(6) => {
            Step::Frame(random.below(FRAMES.len() as u32) as usize)
        }
        // All indices are below the length of the longest alphabet. In the other alphabets they
        // wrap around.
        StepKind::Hostile => {
            Step::Packet([(); 5].map(|()| random.below(PAYLOADS.len() as u32) as usize))
        }
        StepKind::Reachable if random.one_in(2) => Step::Stall(random.one_in(2)),
        StepKind::Reachable => Step::Reachable(random.one_in(2)),
        StepKind::Short => Step::Advance(Duration::from_millis(random.below(2_000).into())),
        StepKind::Long => Step::Advance(Duration::from_millis(random.below(120_000).into())),
    }
}
