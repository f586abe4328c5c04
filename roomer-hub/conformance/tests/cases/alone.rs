//! Runs a test in its own process, to measure the memory that the process allocates.

use std::alloc::System;
use std::env;
use std::process::Command;

use cap::Cap;

/// Counts allocated bytes. Resident memory would not distinguish a leak from memory that the
/// allocator keeps for reuse.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The environment variable that marks a process started for a single test.
const ALONE: &str = "ROOMER_TEST_ALONE";

/// Returns the number of bytes that this process has allocated.
pub(crate) fn allocated() -> usize {
    ALLOCATOR.allocated()
}

/// Runs the body of the named test in its own process, where no other test allocates.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return body();
    }
    let output = Command::new(env::current_exe().unwrap())
        .args([name, "--nocapture", "--test-threads=1"])
        .env(ALONE, "")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{errors}");
    assert!(printed.contains("1 passed"), "no test is called {name}: {printed}");
    eprint!("{errors}");
}
