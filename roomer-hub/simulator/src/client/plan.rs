//! A client plan as data: the actions of the applications, and the faults of the connections.

use std::time::Duration;

use crate::random::{Random, Source};

/// The number of clients in each plan.
pub const CLIENTS: usize = 3;

/// The room that all clients join to exchange messages.
pub const LOBBY: &str = "lobby";

/// The rooms that clients join and leave.
pub const ROOMS: [&str; 2] = ["root", "other"];

/// The maximum number of steps in a plan.
const MAX_STEPS: u32 = 120;

/// The losses that a plan permits when connections break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// None: sessions outlast any disconnection.
    Sessions,
    /// Messages sent during a disconnection that outlasts the session.
    ShortSessions,
    /// Messages sent during any disconnection, since plain clients do not have sessions.
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client sends a message to the lobby.
    Send(usize),
    Join(usize, &'static str),
    Leave(usize, &'static str),
    /// A connection breaks, and both ends notice.
    Disconnect(usize),
    /// A connection still looks open to both ends, but the network drops all bytes.
    Blackhole(usize),
    Advance(Duration),
    /// The network delivers all bytes in flight.
    Settle,
    /// Makes connection attempts succeed or fail from now on.
    Reachable(bool),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The seed that determines how the network splits the bytes.
    pub seed: u64,
    pub kind: Kind,
    pub steps: Vec<Step>,
}

impl Plan {
    /// Returns true if a client's connection may break. In plans with losses, the last client stays
    /// connected, and therefore receives everything that the server has accepted.
    pub fn can_break(kind: Kind, client: usize) -> bool {
        kind == Kind::Sessions || client < CLIENTS - 1
    }
}

/// Generates a plan.
pub fn generate(seed: u64, random: &mut Random) -> Plan {
    let kind = random.pick(&[Kind::Sessions, Kind::ShortSessions, Kind::Plain]);
    // Use random weights for the kinds of steps. If some weights are low, the other kinds form
    // longer runs.
    let weights: Vec<u32> = (0..8).map(|_| 1 + random.below(8)).collect();
    let steps = (0..20 + random.below(MAX_STEPS - 20)).map(|_| step(kind, &weights, random));
    let steps = steps.collect();
    Plan { seed, kind, steps }
}

fn step(kind: Kind, weights: &[u32], random: &mut Random) -> Step {
    let client = random.below(CLIENTS as u32) as usize;
    let can_break = Plan::can_break(kind, client);
    let mut at = random.below(weights.iter().sum::<u32>() + weights[0]);
    let chosen = weights.iter().position(|weight| {
        let is_it = at < *weight;
        at = at.saturating_sub(*weight);
        is_it
    });
    match chosen {
        Some(1) => Step::Join(client, random.pick(&ROOMS)),
        Some(2) => Step::Leave(client, random.pick(&ROOMS)),
        Some(3) if can_break => Step::Disconnect(client),
        Some(4) if can_break => Step::Blackhole(client),
        Some(5) => Step::Advance(Duration::from_millis(match kind {
            // Even the sum of all waits in a plan is shorter than a session's lifetime.
            Kind::Sessions => random.below(200).into(),
            _ if random.one_in(4) => random.below(90_000).into(),
            _ => random.below(1_500).into(),
        })),
        Some(6) => Step::Settle,
        Some(7) => Step::Reachable(random.one_in(2)),
        _ => Step::Send(client),
    }
}
