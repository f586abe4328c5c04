//! Runs the protocol's conformance kit with the Rust client.
//!
//! The kit tests a client from outside, case by case.

use std::process::Command;

#[test]
fn rust_client_passes_kit() {
    let kit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../roomer-proto/kit/run.mjs");
    let mut command = Command::new("node");
    command.args([kit, "--jobs", "4", env!("CARGO_BIN_EXE_kit_client")]);
    let output = command.output().expect("Node runs the kit");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("it lacks"), "{text}");
}
