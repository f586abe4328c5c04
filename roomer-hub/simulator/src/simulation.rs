//! The interface between a simulation and the runner.

/// A simulation that a seed determines completely: it generates a plan, runs and checks it.
pub trait Simulation {
    /// The names of the situations that a large run has to reach; at most 128.
    const MARKS: &'static [&'static str];

    /// Runs one seed. The same seed always gives the same outcome.
    fn run(seed: u64) -> Outcome;

    /// Runs a failing seed again, shrinks its plan, and returns a report: the plan as a `#[test]`,
    /// the expected and the actual output.
    fn explain(seed: u64) -> String;
}

/// The outcome of one seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The number of inputs that were given and checked.
    pub steps: u64,
    /// A hash of all output, in order.
    pub hash: u64,
    /// The situations that were reached, as bits in the order of [`MARKS`](Simulation::MARKS).
    pub marks: u128,
    /// The reason for the failure, in one line; `None` if all checks passed.
    pub fault: Option<String>,
}
