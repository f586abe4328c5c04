//! Plans that drive sessions, outboxes and handlers byte by byte.

use crate::simulator::simulation::{Outcome, Simulation};

/// Not there yet.
pub(crate) struct Full;

impl Simulation for Full {
    const MARKS: &'static [&'static str] = &[];

    fn run(_seed: u64) -> Outcome {
        Outcome { fault: Some("there are no full plans yet".into()), ..Outcome::default() }
    }

    fn explain(_seed: u64) -> String {
        String::new()
    }
}
