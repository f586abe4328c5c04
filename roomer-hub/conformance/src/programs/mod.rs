//! The examples as programs: what they print, how they end. On each runtime, as real processes.
//!
//! The test executable runs itself: with [`PROGRAM`] in its environment it is that example, with the
//! command line as it is. So it has no harness, and calls its cases by name.

pub mod cases;
mod process;

use std::env;
use std::panic::catch_unwind;
use std::process::{ExitCode, Termination};

/// Names the example that the executable is to be.
pub const PROGRAM: &str = "ROOMER_TEST_PROGRAM";

/// An example by its name, and its `main`.
pub type Example = (&'static str, fn() -> ExitCode);

/// A case by its name.
pub type Case = (&'static str, fn());

/// Is an example, or runs the cases whose names contain what the command line says.
pub fn run(examples: &[Example], cases: &[Case]) -> ExitCode {
    if let Ok(name) = env::var(PROGRAM) {
        let example = examples.iter().find(|example| example.0 == name);
        return example.expect("an example of this runtime").1().report();
    }
    let filters: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if env::args().any(|arg| arg == "--list") {
        cases.iter().for_each(|case| println!("{}: test", case.0));
        return ExitCode::SUCCESS;
    }
    let is_wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|part| name.contains(&**part));
    let mut failed = 0;
    for (name, case) in cases.iter().filter(|case| is_wanted(case.0)) {
        let is_ok = catch_unwind(case).is_ok();
        println!("test {name} ... {}", if is_ok { "ok" } else { "FAILED" });
        failed += usize::from(!is_ok);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
