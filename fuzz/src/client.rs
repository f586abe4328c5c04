//! Fuzzes the client: the simulator generates a plan for it and its scripted server from the bytes.

use roomer_simulator::random::ByteSource;
use roomer_simulator::scripted::{must_hold, plan};

/// Runs the plan that is generated from the bytes. Panics if a check fails.
pub fn client(bytes: &[u8]) {
    must_hold(&plan::generate(&mut ByteSource(bytes)));
}
