//! What every simulation looks like to whoever runs many seeds of it.

/// Something that a seed decides completely: a plan is drawn from it, run and judged.
pub trait Simulation {
    /// The situations that a large run has to get into, each by a name. At most 128.
    const MARKS: &'static [&'static str];

    /// Runs one seed. The same seed gives the same outcome, everywhere and always.
    fn run(seed: u64) -> Outcome;

    /// Runs a seed that has failed once more, makes its plan as short as can be, and tells all
    /// about it: plan, `#[test]`, what was sent and what was due.
    fn explain(seed: u64) -> String;
}

/// What became of a seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many inputs were given and judged.
    pub steps: u64,
    /// A hash of everything that was sent, in order.
    pub hash: u64,
    /// The situations that there were, as bits: the lowest is the first of
    /// [`MARKS`](Simulation::MARKS).
    pub marks: u128,
    /// Why the run was ended, in one line; `None` when all was well.
    pub fault: Option<String>,
}
