//! Runs a scenario with a range of seeds.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::application::panic_message;

/// The environment variable that makes [`run`] use only the seed that it contains.
pub const SEED_VARIABLE: &str = "ROOMER_SEED";

/// A seed for which a scenario fails, with the panic message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The failing seed, with which the failure can be reproduced.
    pub seed: u64,
    /// The panic message.
    pub message: String,
}

/// Runs a scenario with each of the seeds, or with the one in the environment variable
/// [`ROOMER_SEED`](SEED_VARIABLE).
///
/// # Panics
///
/// Panics if the scenario panics for any seed. The message names the first such seed and explains
/// how to reproduce the failure.
pub fn run(seeds: Range<u64>, scenario: impl Fn(u64)) {
    let given = std::env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok());
    let seeds = given.map_or(seeds, |seed: u64| seed..seed.saturating_add(1));
    if let Some(Failure { seed, message }) = find(seeds, scenario) {
        panic!("seed {seed} fails; {SEED_VARIABLE}={seed} runs it alone. {message}");
    }
}

/// Returns the first seed for which a scenario panics, or `None`.
#[must_use]
pub fn find(seeds: Range<u64>, scenario: impl Fn(u64)) -> Option<Failure> {
    for seed in seeds {
        // Each scenario creates its own world, so a panic cannot leave shared state inconsistent.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
            return Some(Failure { seed, message: panic_message(&*panic) });
        }
    }
    None
}
