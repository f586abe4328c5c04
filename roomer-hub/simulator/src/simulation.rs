//! The interface between a simulation and the runner.

/// A simulation determined completely by a seed: it generates a plan, runs it and checks it.
pub trait Simulation {
    /// The names of the coverage marks, at most 128.
    const MARKS: &'static [&'static str];

    /// Runs one seed. The same seed always gives the same outcome.
    fn run(seed: u64) -> Outcome;

    /// Runs a failing seed again, shrinks its plan, and returns a report with the expected and the
    /// actual output, and the plan as a `#[test]`.
    fn explain(seed: u64) -> String;
}

/// The outcome of one seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The number of checked inputs.
    pub steps: u64,
    /// A hash of all output, in order.
    pub hash: u64,
    /// The reached marks, as a bit set in the order of [`MARKS`](Simulation::MARKS).
    pub marks: u128,
    /// A one-line description of the failure; `None` if all checks passed.
    pub fault: Option<String>,
}
