//! The interface between the simulations and the runner.

/// A simulation that depends only on a seed: it generates a plan, runs the plan, and checks the
/// run.
pub trait Simulation {
    /// The names of the coverage marks, of which there are at most 128.
    const MARKS: &'static [&'static str];

    /// Runs one seed. The outcome is always the same for the same seed.
    fn run(seed: u64) -> Outcome;

    /// Runs a failing seed again and shrinks its plan. Returns a report with the expected and the
    /// actual output, and the plan as a `#[test]`.
    fn explain(seed: u64) -> String;
}

/// The outcome of one seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The number of inputs that were checked.
    pub steps: u64,
    /// A hash of all output, in order.
    pub hash: u64,
    /// The marks that the run has reached: a bit set, in the order of [`MARKS`](Simulation::MARKS).
    pub marks: u128,
    /// The failure, described in one line. `None` if all checks passed.
    pub fault: Option<String>,
}
