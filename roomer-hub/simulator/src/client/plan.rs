//! A plan as data: what the applications do, and what happens to the connections.

use std::time::Duration;

use crate::random::{Random, Source};

/// The number of clients.
pub const CLIENTS: usize = 3;

/// The room in which all clients stay and speak.
pub const LOBBY: &str = "lobby";

/// The rooms that clients join and leave.
pub const ROOMS: [&str; 2] = ["root", "other"];

/// The longest plan.
const MAX_STEPS: u32 = 120;

/// The state that clients lose when their connections break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: sessions last longer than any absence.
    Sessions,
    /// Messages that are sent during absences that are longer than a session.
    ShortSessions,
    /// Messages that are sent during absences, since plain clients have no sessions.
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client sends a message to the lobby.
    Send(usize),
    Join(usize, &'static str),
    Leave(usize, &'static str),
    /// A connection breaks, and both ends see it.
    Cut(usize),
    /// A connection looks open, while no byte passes.
    Darken(usize),
    Advance(Duration),
    /// Everything is delivered.
    Settle,
    /// From here on attempts to connect fail, or succeed again.
    Reachable(bool),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Decides how the network divides the bytes.
    pub seed: u64,
    pub kind: Kind,
    pub steps: Vec<Step>,
}

impl Plan {
    /// Returns true if a client's connection may break. Where something may be lost, the last client
    /// stays, and so shows what has arrived.
    pub fn can_break(kind: Kind, client: usize) -> bool {
        kind == Kind::Sessions || client < CLIENTS - 1
    }
}

/// Generates a plan.
pub fn generate(seed: u64, random: &mut Random) -> Plan {
    let kind = random.pick(&[Kind::Sessions, Kind::ShortSessions, Kind::Plain]);
    // How often each kind of step comes: with few of one, others come in longer rows.
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
        Some(3) if can_break => Step::Cut(client),
        Some(4) if can_break => Step::Darken(client),
        Some(5) => Step::Advance(Duration::from_millis(match kind {
            // All of them together are shorter than a session lasts.
            Kind::Sessions => random.below(200).into(),
            _ if random.one_in(4) => random.below(90_000).into(),
            _ => random.below(1_500).into(),
        })),
        Some(6) => Step::Settle,
        Some(7) => Step::Reachable(random.one_in(2)),
        _ => Step::Send(client),
    }
}
