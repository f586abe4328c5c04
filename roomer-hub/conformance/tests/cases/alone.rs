//! Runs a test in a separate process, for example to measure how much memory it allocates.

use std::alloc::System;
use std::env;
use std::process::Command;

use cap::Cap;

/// Counts the bytes that are allocated. Resident memory also contains pages that the allocator
/// keeps for reuse, which look like a leak.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The environment variable that is set in a process started for one test.
const ALONE: &str = "ROOMER_TEST_ALONE";

/// Returns the number of bytes that this process has allocated.
pub(crate) fn allocated() -> usize {
    ALLOCATOR.allocated()
}

/// Runs `body` in a separate process, in which no other test allocates memory or starts processes.
/// `name` is the name of the test.
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
