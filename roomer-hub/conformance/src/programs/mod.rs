//! Runs the examples as real processes on each runtime, and tests their output and exit codes.
//!
//! The test executable starts itself again: if [`PROGRAM`] is in its environment, it runs that
//! example with the given command line. It therefore cannot use the test harness, and calls its
//! tests by name.

pub mod cases;
pub mod cluster;
mod process;

pub use process::{until, until_within};

use std::panic::catch_unwind;
use std::path::PathBuf;
use std::process::{ExitCode, Termination};
use std::{env, fs};

/// The environment variable with the name of the example to run.
pub const PROGRAM: &str = "ROOMER_TEST_PROGRAM";

/// An example's name and its `main` function.
pub type Example = (&'static str, fn() -> ExitCode);

/// A test's name and its function.
pub type Case = (&'static str, fn());

/// Runs an example, or all tests whose names contain a word from the command line.
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
    let _ = fs::remove_dir_all(folder());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns the folder for the files of the tests and examples. Each test process has its own, so
/// that two of them can run at the same time.
fn folder() -> PathBuf {
    let folder = env::temp_dir().join(format!("roomer-programs-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for temporary files");
    folder
}
