//! A scenario under many seeds.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::application::said;

/// The environment variable that has [`run`] try one seed only.
pub const SEED: &str = "ROOMER_SEED";

/// A seed under which a scenario fails, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The seed: the same one fails the same way, every time.
    pub seed: u64,
    /// What the panic said.
    pub message: String,
}

/// Runs a scenario under each of the seeds, or under the one that the environment variable
/// [`ROOMER_SEED`](SEED) names.
///
/// # Panics
///
/// When the scenario does, under the first seed for which it does; the message says how to have
/// it again.
pub fn run(seeds: Range<u64>, scenario: impl Fn(u64)) {
    let given = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seeds = given.map_or(seeds, |seed: u64| seed..seed.saturating_add(1));
    if let Some(Failure { seed, message }) = find(seeds, scenario) {
        panic!("seed {seed} fails; {SEED}={seed} runs it alone. {message}");
    }
}

/// Looks for the first seed under which a scenario panics. `None` when there is none.
#[must_use]
pub fn find(seeds: Range<u64>, scenario: impl Fn(u64)) -> Option<Failure> {
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
            return Some(Failure { seed, message: said(&*panic) });
        }
    }
    None
}
