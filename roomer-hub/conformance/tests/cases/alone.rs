//! Tests in processes of their own, which measure what the process has allocated.

use std::alloc::System;
use std::env;
use std::process::Command;

use cap::Cap;

/// Counts what is allocated. The resident pages of the process would not distinguish a leak from memory
/// that an allocator keeps for later.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The environment variable that marks a process as the test's own.
const ALONE: &str = "ROOMER_TEST_ALONE";

/// Bytes of memory that this process has allocated.
pub(crate) fn allocated() -> usize {
    ALLOCATOR.allocated()
}

/// Runs the body of the test of this name in a process of its own, in which no other test allocates
/// anything.
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
